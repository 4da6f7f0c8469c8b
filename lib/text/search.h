/*
 * search.h - every place at which any of many strings stands in a text, in one pass.
 *
 * Aho and Corasick, "Efficient string matching" (1975), over bytes.  In UTF-8 a
 * match of bytes is a match of characters.  Chosen over hashing by words since
 * what is looked for need not be words, and over one search a string since its
 * time does not grow with their number or with how they repeat themselves:
 *
 *   building   O(bytes of all strings)
 *   searching  O(bytes of the text) + what found() takes
 *
 * The nodes are numbered breadth first, so that the children of one lie side by
 * side and two numbers say which: 17 bytes a node, at most one node a byte.
 */
#ifndef TEXT_SEARCH_H
#define TEXT_SEARCH_H

#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

#define SEARCH_BYTES_MAX ((size_t)64 << 20)      /* of all strings */
#define SEARCH_NONE UINT32_MAX

struct search {
	uint32_t       n;           /* nodes; 0: nothing is looked for */
	unsigned char *byte;        /* [n] that leads to a node */
	uint32_t      *first;       /* [n + 1] children of v: first[v] to first[v + 1], by ascending byte */
	uint32_t      *fail;        /* [n] the longest other node that ends what v spells */
	uint32_t      *string;      /* [n] that ends at a node, or SEARCH_NONE */
	uint32_t      *shorter;     /* [n] the next node down the fails that ends a string; 0: none */
	uint32_t       root[256];   /* child of the root, 0: none */
};

/* strings: n of them, none empty, ascending (span_cmp) and all different; not needed
 * afterwards.  -1: ERR_TOO_LARGE, ERR_MEMORY, and *s is empty. */
int  search_build(struct search *s, const struct span strings[], size_t n, struct err *e);
void search_clear(struct search *s);

/* found(arg, i, end): strings[i] stands before byte `end` of the text.  In the order of
 * the ends, the longest first; false ends the search. */
void search_text(const struct search *s, struct span text,
                 bool (*found)(void *arg, uint32_t string, size_t end), void *arg);

size_t search_bytes(const struct search *s);      /* memory */

#endif
