/*
 * partial.h - bytes of which only what was asked for has been read and checked.
 *
 * There is room for all of them at one address, and of that only the places that
 * partial_need() said 0 for hold anything.  One thread at a time.
 */
#ifndef BASE_PARTIAL_H
#define BASE_PARTIAL_H

#include "base/err.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

struct partial {
	const char *p;
	size_t      len;
	/* Bytes at .. at + n, which lie within.  0; -1: ERR_DAMAGED where they are not
	 * what was stored, or why they can't be read. */
	int (*fetch)(struct partial *s, size_t at, size_t n, struct err *e);
};

static inline int partial_need(struct partial *s, size_t at, size_t n, struct err *e)
{
	if (at > s->len || n > s->len - at)
		return err_set(e, ERR_DAMAGED, "model part: too short");
	return n == 0 ? 0 : s->fetch(s, at, n, e);
}

/* A little-endian number at any place. */
static inline int partial_u32(struct partial *s, size_t at, uint32_t *v, struct err *e)
{
	if (partial_need(s, at, sizeof *v, e) < 0)
		return -1;
	memcpy(v, s->p + at, sizeof *v);
	*v = le32toh(*v);
	return 0;
}

#endif
