/*
 * team.h - a loop over chunks, shared by threads.
 *
 * Which thread takes which chunk is left to chance; a chunk is the same for any
 * number of threads, writes to its own place, and sums over chunks are taken by
 * the caller in their order, so that results do not depend on the number.
 */
#ifndef LEARN_TEAM_H
#define LEARN_TEAM_H

#include <stddef.h>

#define TEAM_THREADS_MAX 64

struct team;

/* The calling thread is one of the `threads` (1 to TEAM_THREADS_MAX; out of
 * range: the nearest).  Starts as many as the system gives; NULL: no memory for
 * the struct itself.  The threads take no signals. */
struct team *team_open(int threads);
void         team_close(struct team *t);      /* NULL allowed */

/* work(arg, 0) to work(arg, n_chunks - 1), in any order; returns when all are done. */
void team_run(struct team *t, void (*work)(void *arg, size_t chunk), void *arg, size_t n_chunks);

#endif
