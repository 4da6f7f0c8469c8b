/* arena.c - the memory of one request. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#define FIRST_BYTES ((size_t)16 << 10)       /* is kept, by each of many threads */
#define BLOCK_BYTES ((size_t)64 << 10)

struct arena_block {
	struct arena_block *next;
	size_t              cap, used;                       /* of bytes[] */
	alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ .max = max };
}

static void free_from(struct arena_block *b)
{
	while (b != NULL) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
}

void arena_clear(struct arena *a)
{
	free_from(a->first);
	arena_init(a, a->max);
}

void arena_reset(struct arena *a)
{
	a->used = 0;
	if (a->first == NULL)
		return;
	free_from(a->first->next);
	a->first->next = NULL;
	a->first->used = 0;
	a->last = a->first;
}

void *arena_alloc(struct arena *a, size_t len)
{
	const size_t        align = alignof(max_align_t);
	struct arena_block *b = a->last;
	size_t              cap;
	void               *p;

	if (len > a->max || a->used > a->max - len || len > SIZE_MAX / 2)
		return NULL;
	len = (len + align - 1) / align * align;
	while (b == NULL || b->cap - b->used < len) {
		/* The first block has always the same size: it is the one kept. */
		cap = a->first == NULL ? FIRST_BYTES : len > BLOCK_BYTES ? len : BLOCK_BYTES;
		b = malloc(sizeof *b + cap);
		if (b == NULL)
			return NULL;
		*b = (struct arena_block){ .cap = cap };
		if (a->last == NULL)
			a->first = b;
		else
			a->last->next = b;
		a->last = b;
	}
	p = b->bytes + b->used;
	b->used += len;
	a->used += len;
	return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	void *p;

	if (size != 0 && n > SIZE_MAX / size)
		return NULL;
	p = arena_alloc(a, n * size);
	if (p != NULL && n * size > 0)
		memset(p, 0, n * size);
	return p;
}

char *arena_copy(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.len + 1);

	if (p == NULL)
		return NULL;
	if (s.len > 0)
		memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return p;
}
