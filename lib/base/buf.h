/*
 * buf.h - a growing byte buffer with a maximum.
 *
 * Every buffer is made with the largest size it may take (an answer, a weights
 * part, a log line), so that no input can make one grow without end.  Errors
 * stick: after the first failed append the others do nothing, and buf_check()
 * at the end tells.  The bytes are always followed by a NUL that does not count.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

struct buf {
	char          *p;      /* len bytes and a NUL; NULL while nothing was added */
	size_t         len;
	size_t         cap;
	size_t         max;    /* bytes it may hold */
	enum err_code  failed; /* ERR_OK, ERR_MEMORY or ERR_TOO_LARGE */
};

void buf_init(struct buf *b, size_t max);       /* allocates nothing */
void buf_clear(struct buf *b);                  /* frees; ready for use with the same max */
void buf_reset(struct buf *b);                  /* empties, keeps the memory */

/* Gives back all but `cap` bytes, where what is in it needs no more; cap 0: as
 * buf_clear(). */
void buf_shrink(struct buf *b, size_t cap);

void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_addc(struct buf *b, char c);
void buf_adds(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for len more bytes at the end, to be filled by the caller, who then adds
 * to b->len.  NULL when it can't be had. */
char *buf_room(struct buf *b, size_t len);

/* Little-endian integers and doubles of stored forms. */
void buf_add_u32(struct buf *b, uint32_t v);
void buf_add_u64(struct buf *b, uint64_t v);

/* 0, or -1 with *e set to what failed first ("answer": names the thing). */
int buf_check(const struct buf *b, const char *what, struct err *e);

static inline struct span buf_span(const struct buf *b)
{
	return (struct span){ b->p, b->len };
}

#endif
