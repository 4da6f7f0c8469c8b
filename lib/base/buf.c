/* buf.c - a growing byte buffer with a maximum. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_clear(struct buf *b)
{
	free(b->p);
	buf_init(b, b->max);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = ERR_OK;
	if (b->p != NULL)
		b->p[0] = '\0';
}

void buf_shrink(struct buf *b, size_t cap)
{
	char *p;

	if (cap == 0) {
		buf_clear(b);
		return;
	}
	if (b->cap <= cap || b->len >= cap || (p = realloc(b->p, cap)) == NULL)
		return;
	b->p = p;
	b->cap = cap;
}

char *buf_room(struct buf *b, size_t len)
{
	size_t need, cap;
	char  *p;

	if (b->failed != ERR_OK)
		return NULL;
	if (len > b->max || b->len > b->max - len) {
		b->failed = ERR_TOO_LARGE;
		return NULL;
	}
	need = b->len + len + 1;
	if (need > b->cap) {
		cap = b->cap < 128 ? 128 : b->cap;
		while (cap < need)
			cap = cap > SIZE_MAX / 2 ? need : cap * 2;
		if (cap > b->max + 1)
			cap = b->max + 1;
		p = realloc(b->p, cap);
		if (p == NULL) {
			b->failed = ERR_MEMORY;
			return NULL;
		}
		b->p = p;
		b->cap = cap;
	}
	b->p[b->len + len] = '\0';
	return b->p + b->len;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
	char *p = buf_room(b, len);

	if (p == NULL)
		return;
	if (len > 0)
		memcpy(p, bytes, len);
	b->len += len;
}

void buf_addc(struct buf *b, char c)
{
	/* One store where there is room: answers are printed by the character. */
	if (b->failed == ERR_OK && b->len + 1 < b->cap) {
		b->p[b->len++] = c;
		b->p[b->len] = '\0';
	} else {
		buf_add(b, &c, 1);
	}
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char   *p;
	int     n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || (p = buf_room(b, (size_t)n)) == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

static void add_le(struct buf *b, uint64_t v, size_t width)
{
	unsigned char le[8];

	for (size_t i = 0; i < width; i++)
		le[i] = (unsigned char)(v >> (8 * i));
	buf_add(b, le, width);
}

void buf_add_u32(struct buf *b, uint32_t v)
{
	add_le(b, v, 4);
}

void buf_add_u64(struct buf *b, uint64_t v)
{
	add_le(b, v, 8);
}

int buf_check(const struct buf *b, const char *what, struct err *e)
{
	if (b->failed == ERR_OK)
		return 0;
	if (b->failed == ERR_MEMORY)
		return err_memory(e);
	return err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", what, b->max);
}
