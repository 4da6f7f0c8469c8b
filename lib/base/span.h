/* span.h - bytes with a length: borrowed, not terminated, NUL is a character. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define countof(a) (sizeof(a) / sizeof((a)[0]))

struct span {
	const char *p;      /* may be NULL when len is 0 */
	size_t      len;    /* bytes */
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })

static inline struct span span_of(const char *s)
{
	return (struct span){ s, s == NULL ? 0 : strlen(s) };
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool span_is(struct span a, const char *s)
{
	return s == NULL ? a.len == 0 : span_eq(a, span_of(s));
}

/* Byte order, then length: for UTF-8 this is the order of code points. */
static inline int span_cmp(struct span a, struct span b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int    c = n == 0 ? 0 : memcmp(a.p, b.p, n);

	return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

#endif
