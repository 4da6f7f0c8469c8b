/*
 * faults.h - calls that fail when they are told to.
 *
 * faults.c stands in place of the C library's malloc, read, open and their like, for this
 * program and all shared libraries in it.  Armed, it counts the calls that may fail and
 * lets one of them do so, or that one and all of its sort after it.
 *
 * Nothing here sleeps: nanosleep() and usleep() move the clocks instead, so that a
 * back-off or a lease that has to end costs no time.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>
#include <stddef.h>

enum fault_sort {
	FAULT_MEMORY,          /* malloc, calloc, realloc and their like */
	FAULT_MAP,             /* mmap */
	FAULT_THREAD, FAULT_FORK, FAULT_PIPE, FAULT_POLL,
	FAULT_OPEN, FAULT_READ, FAULT_WRITE, FAULT_SYNC, FAULT_NET, FAULT_SECCOMP,
	FAULT__MAX
};
extern const char *const fault_sort_names[FAULT__MAX];

#define FAULT_FRAMES 24

struct fault {
	bool            fired;
	enum fault_sort sort;
	void           *frame[FAULT_FRAMES];     /* who called, innermost first */
	int             n_frames;
};

#define FAULT_NEVER (-1L)

/* From now on this process, and those that it forks, count together and see the same
 * clock; what they execute does not. */
void faults_share(void);

/* Calls of this process count no more (or again): it looks on. */
void faults_aside(bool aside);

/* No call fails that is made to open a shared library, nor is it counted; it stays open,
 * which those who ask are not told. */
void faults_spare_libraries(void);

/* Call number `point` (from 0) of those to come fails; with `on` all of its sort behind it
 * too.  FAULT_NEVER: they are counted. */
void faults_arm(long point, bool on);

/* The calls counted since. */
long faults_disarm(struct fault *f);

/* Blocks of the heap that were given out and not given back. */
long faults_blocks(void);

/* Notes who asks for each block from now on; tells by each() of those of them that are
 * still there, and ends it. */
void faults_trace(void);
void faults_trace_end(void (*each)(void *const frame[], int n));

#endif
