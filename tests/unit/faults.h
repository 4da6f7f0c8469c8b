/*
 * faults.h - for a test that takes in a source file whole: of its calls that may fail,
 * which the test gives other names by macros, one does.
 */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static long          fault_at = -1;      /* the call to fail, from 0; -1: none, and none is counted */
static long          fault_calls;        /* since fault_arm() */
static const char   *fault_name;         /* of the call that failed; NULL: none has */
static enum err_code fault_code;         /* that it is to be told by; ERR_OK: any */

static void fault_arm(long at)
{
	fault_at = at;
	fault_calls = 0;
	fault_name = NULL;
	fault_code = ERR_OK;
}

static void fault_disarm(void)
{
	fault_at = -1;
}

/* Asked by each call: does it fail? */
static bool fault_here(const char *name, enum err_code code)
{
	if (fault_at < 0 || fault_calls++ != fault_at)
		return false;
	fault_name = name;
	fault_code = code;
	return true;
}

/* Functions, since a branch written into a macro would count as one of the source. */
static inline void *faulty_malloc(size_t size)
{
	return fault_here("malloc", ERR_MEMORY) ? NULL : malloc(size);
}

static inline void *faulty_calloc(size_t n, size_t size)
{
	return fault_here("calloc", ERR_MEMORY) ? NULL : calloc(n, size);
}

static inline void *faulty_arena_alloc(struct arena *a, size_t len)
{
	return fault_here("arena_alloc", ERR_MEMORY) ? NULL : arena_alloc(a, len);
}

static inline void *faulty_arena_array(struct arena *a, size_t n, size_t size)
{
	return fault_here("arena_array", ERR_MEMORY) ? NULL : arena_array(a, n, size);
}

static inline char *faulty_arena_copy(struct arena *a, struct span s)
{
	return fault_here("arena_copy", ERR_MEMORY) ? NULL : arena_copy(a, s);
}

#endif
