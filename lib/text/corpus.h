/*
 * corpus.h - documents in, vocabulary and postings out.
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

/* Term by document: term j is in the documents v[at[j] .. at[j + 1]), ascending, n
 * times in each. */
struct posting {
	uint32_t doc, n;
};
struct postings {
	size_t          n_docs, n_terms;
	uint32_t       *at;            /* [n_terms + 1] */
	struct posting *v;             /* [at[n_terms]] */
};
void postings_clear(struct postings *p);

/* Three n-grams begin at a token at most: so many have numbers of 32 bits. */
#define CORPUS_TOKENS_MAX (UINT32_MAX / 3 - 1)

struct corpus;

struct corpus *corpus_new(enum token_pattern pattern, struct err *e);   /* NULL: ERR_MEMORY */
void           corpus_free(struct corpus *c);                           /* NULL allowed */

/* -1: ERR_MEMORY, or ERR_TOO_LARGE beyond CORPUS_TOKENS_MAX words in all.  Cost: O(bytes). */
int corpus_add(struct corpus *c, struct span text, struct err *e);

/* Once, at the end; c is of no further use but to corpus_free().  The caller
 * clears v and p.  A corpus without a word gives an empty vocabulary.
 * Cost: O(words * log(words) + tokens); memory about 56 bytes a token. */
int corpus_finish(struct corpus *c, struct vocab *v, struct postings *p, struct err *e);

#endif
