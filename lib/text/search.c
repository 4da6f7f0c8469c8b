/* search.c - many strings in one pass (Aho and Corasick). */
#include "text/search.h"

#include <stdlib.h>

#define FEW 8                  /* children that are looked at one by one */

void search_clear(struct search *s)
{
	free(s->byte);
	free(s->first);
	free(s->fail);
	free(s->string);
	free(s->shorter);
	*s = (struct search){ .n = 0 };
}

size_t search_bytes(const struct search *s)
{
	return sizeof *s + (size_t)s->n * (1 + 4 * sizeof(uint32_t));
}

/* 0: none (the root is nobody's child). */
static inline uint32_t child(const struct search *s, uint32_t v, unsigned char byte)
{
	uint32_t lo, hi;

	if (v == 0)
		return s->root[byte];
	lo = s->first[v];
	hi = s->first[v + 1];
	while (hi - lo > FEW) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (s->byte[mid] <= byte)
			lo = mid;
		else
			hi = mid;
	}
	for (; lo < hi; lo++)
		if (s->byte[lo] == byte)
			return lo;
	return 0;
}

static inline uint32_t next(const struct search *s, uint32_t v, unsigned char byte)
{
	for (;;) {
		uint32_t c = child(s, v, byte);

		if (c != 0 || v == 0)
			return c;
		v = s->fail[v];
	}
}

/* Nodes of the tree of all: a string adds those behind what it shares with the one
 * before it. */
static size_t count_nodes(const struct span strings[], size_t n)
{
	size_t nodes = 1;

	for (size_t i = 0; i < n; i++) {
		size_t same = 0;

		while (i > 0 && same < strings[i - 1].len && same < strings[i].len &&
		       strings[i - 1].p[same] == strings[i].p[same])
			same++;
		nodes += strings[i].len - same;
	}
	return nodes;
}

/* The strings below a node, while the tree is made. */
struct range {
	uint32_t lo, hi;
};

/* Breadth first: whatever a node's fail leads to was made before it. */
static void grow(struct search *s, const struct span strings[], struct range *below)
{
	uint32_t used = 1, level_end = 1;
	size_t   depth = 0;

	for (uint32_t v = 0; v < s->n; v++) {
		uint32_t i = below[v].lo, fail = s->fail[v];

		if (v == level_end) {
			depth++;
			level_end = used;
		}
		s->first[v] = used;
		s->string[v] = strings[i].len == depth ? i++ : SEARCH_NONE;
		s->shorter[v] = s->string[fail] != SEARCH_NONE && fail != 0 ? fail : v == 0 ? 0 : s->shorter[fail];
		while (i < below[v].hi) {
			const unsigned char byte = (unsigned char)strings[i].p[depth];
			const uint32_t      c = used++;

			s->byte[c] = byte;
			s->fail[c] = v == 0 ? 0 : next(s, fail, byte);
			if (v == 0)
				s->root[byte] = c;
			below[c].lo = i;
			while (i < below[v].hi && (unsigned char)strings[i].p[depth] == byte)
				i++;
			below[c].hi = i;
		}
	}
	s->first[s->n] = used;
}

int search_build(struct search *s, const struct span strings[], size_t n, struct err *e)
{
	struct range *below = NULL;
	size_t        bytes = 0, nodes;

	*s = (struct search){ .n = 0 };
	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if ((bytes += strings[i].len) > SEARCH_BYTES_MAX)
			return err_set(e, ERR_TOO_LARGE, "strings to look for of more than %zu bytes", SEARCH_BYTES_MAX);
	nodes = count_nodes(strings, n);
	s->byte = calloc(nodes, sizeof *s->byte);
	s->first = calloc(nodes + 1, sizeof *s->first);
	s->fail = calloc(nodes, sizeof *s->fail);
	s->string = calloc(nodes, sizeof *s->string);
	s->shorter = calloc(nodes, sizeof *s->shorter);
	below = calloc(nodes, sizeof *below);
	if (s->byte == NULL || s->first == NULL || s->fail == NULL || s->string == NULL || s->shorter == NULL ||
	    below == NULL) {
		search_clear(s);
		free(below);
		return err_memory(e);
	}
	s->n = (uint32_t)nodes;
	below[0] = (struct range){ 0, (uint32_t)n };
	grow(s, strings, below);
	free(below);
	return 0;
}

void search_text(const struct search *s, struct span text,
                 bool (*found)(void *arg, uint32_t string, size_t end), void *arg)
{
	uint32_t v = 0;

	if (s->n == 0)
		return;
	for (size_t i = 0; i < text.len; i++) {
		v = next(s, v, (unsigned char)text.p[i]);
		for (uint32_t u = s->string[v] != SEARCH_NONE ? v : s->shorter[v]; u != 0; u = s->shorter[u])
			if (!found(arg, s->string[u], i + 1))
				return;
	}
}
