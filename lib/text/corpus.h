/*
 * corpus.h - documents in, vocabulary and counts out.
 *
 * Documents are added one by one, each read once; corpus_finish() sorts the
 * terms.  The result depends on the documents and their order alone.
 */
#ifndef TEXT_CORPUS_H
#define TEXT_CORPUS_H

#include "base/env.h"
#include "base/err.h"
#include "base/span.h"
#include "text/vocab.h"

#include <stddef.h>
#include <stdint.h>

/* Document by term, CSR: document i has v[at[i] .. at[i + 1]), every term once,
 * in no particular order.  Empty documents have empty rows. */
struct counts {
	size_t        n_docs, n_terms;
	size_t       *at;            /* [n_docs + 1] */
	struct count *v;             /* [at[n_docs]] */
};
void counts_clear(struct counts *c);

struct corpus;

struct corpus *corpus_new(enum token_pattern pattern, struct err *e);   /* NULL: ERR_MEMORY */
void           corpus_free(struct corpus *c);                           /* NULL allowed */

/* -1: ERR_MEMORY, or ERR_TOO_LARGE at 2^32 terms or counts.  Cost: O(bytes). */
int corpus_add(struct corpus *c, struct span text, struct err *e);

/* Once, at the end; c is of no further use but to corpus_free().  The caller
 * clears v and counts.  A corpus without a word gives an empty vocabulary. */
int corpus_finish(struct corpus *c, struct vocab *v, struct counts *counts, struct err *e);

#endif
