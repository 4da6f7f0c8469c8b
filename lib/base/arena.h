/*
 * arena.h - the memory of one request: given out piece by piece, emptied at once.
 *
 * arena_reset() keeps the first block, so that a process that answers the same
 * kind of request for ever asks malloc for nothing; larger blocks go back.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/span.h"

struct arena_block;

struct arena {
	struct arena_block *first, *last;
	size_t              used;     /* bytes given out since the last reset */
	size_t              max;      /* and the most that may be */
};

void  arena_init(struct arena *a, size_t max);
void  arena_clear(struct arena *a);
void  arena_reset(struct arena *a);

/* len bytes, aligned for any type, not zeroed; valid until arena_reset().
 * NULL when memory or the maximum is used up. */
void *arena_alloc(struct arena *a, size_t len);

/* n elements of `size` bytes, zeroed; NULL also when n * size overflows. */
void *arena_array(struct arena *a, size_t n, size_t size);

/* A NUL-terminated copy. */
char *arena_copy(struct arena *a, struct span s);

#endif
