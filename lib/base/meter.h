/*
 * meter.h - what the programs count, all processes of one folder together.
 *
 * FOLDER/metrics is mapped by every process that serves; counting is one atomic
 * addition, without a lock.  The file is for its owner alone (0600), has a fixed
 * size, and outlives the programs: the counts go on after a restart and begin at 0
 * where the file is gone.  Integers have the byte order of the machine.
 *
 *   offset   bytes
 *        0      16   "prelabel metrics"
 *       16       8   layout, 1
 *       24      32   enum meter_counter
 *       56       8   zeros
 *       64  18,432   128 lines of 144 bytes, one for each pair of endpoint and status:
 *                       8   1 + endpoint * 1000 + status; 0: free.  Never changed once set
 *                       8   nanoseconds that they took together
 *                     128   16 counts: requests of at most meter_bounds[i] (the last: longer)
 *   18,496   1,984   zeros
 *
 * A request is counted in one place, so that what is made of it (by status, by
 * duration, in all) agrees at every moment.  A line is looked for from
 * (1 + endpoint * 1000 + status) % 128 on.
 *
 * A file that is not right (size, first 24 bytes, owner, a link in its place)
 * is replaced, one that was deleted, moved, replaced or cut short under a running
 * process too, by its next request.  Where it can't be made, nothing is counted and
 * nothing else changes: it is tried again each second, and with every request while
 * the folder itself is not there yet.  A full disk is noticed when the file is made,
 * which takes all its blocks; for what may happen to them later there is a handler
 * of SIGBUS that puts ordinary memory in the place of the file.
 */
#ifndef BASE_METER_H
#define BASE_METER_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METER_FILE    "metrics"
#define METER_BUCKETS 16
#define METER_LINES   128

enum meter_counter {
	METER_TASKS,         /* that /predict answered */
	METER_LOADS,         /* of models, from the store */
	METER_REFUSED_S,     /* Unix time: when the last webhook was refused; 0: never */
	METER_TOLD_S,        /* and when the log last said so */
	METER__MAX
};

/* Once, before threads start; before that, and without it, nothing is counted.
 * folder is borrowed for good. */
void meter_open(const char *folder);

void meter_add(enum meter_counter counter, uint64_t n);

/* For the two that are times.  meter_turn(): is the time there at least `every` seconds
 * away?  Then now_s takes its place, for one of all that ask; where nothing is counted,
 * for one of the process. */
void meter_mark(enum meter_counter counter, uint64_t now_s);
bool meter_turn(enum meter_counter counter, uint64_t now_s, uint64_t every);

/* A request that was answered.  path: of its route, SPAN("") where there is none. */
void meter_request(struct span path, int status, double seconds);

extern const double meter_bounds[METER_BUCKETS - 1];     /* seconds; beyond the last: infinity */

struct meter_line {
	const char *endpoint;                /* "predict"; "other": none of the known paths */
	int         status;
	uint64_t    nanoseconds;             /* of all its requests */
	uint64_t    bucket[METER_BUCKETS];   /* requests by duration, each in one of them */
};

struct meter {
	uint64_t          counter[METER__MAX];
	struct meter_line line[METER_LINES]; /* by endpoint, then status */
	size_t            n;
};

/* What was counted up to now.  false: nothing is (see above). */
bool meter_read(struct meter *m);

/* The same from a folder that others count in, without meter_open(): reads, makes and
 * replaces nothing.  false: there is no such file, or none that is right. */
bool meter_peek(const char *folder, struct meter *m);

/* Of what was counted: webhooks that were refused. */
uint64_t meter_refused(const struct meter *m);

#endif
