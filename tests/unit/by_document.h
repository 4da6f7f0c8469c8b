/* by_document.h - what a corpus gives term by term, document by document. */
#ifndef BY_DOCUMENT_H
#define BY_DOCUMENT_H

#include "text/corpus.h"

#include <stdlib.h>

/* Document i has v[at[i] .. at[i + 1]), terms ascending. */
struct counts {
	size_t        n_docs, n_terms;
	size_t       *at;
	struct count *v;
};

/* false: no memory.  Clear either way. */
static inline bool counts_of(struct counts *c, const struct postings *p)
{
	*c = (struct counts){ p->n_docs, p->n_terms, calloc(p->n_docs + 2, sizeof *c->at), malloc((p->at[p->n_terms] + 1) * sizeof *c->v) };
	if (c->at == NULL || c->v == NULL)
		return false;
	/* at runs one ahead while it serves as the cursor. */
	for (size_t k = 0; k < p->at[p->n_terms]; k++)
		c->at[p->v[k].doc + 2]++;
	for (size_t i = 2; i < p->n_docs + 2; i++)
		c->at[i] += c->at[i - 1];
	for (size_t j = 0; j < p->n_terms; j++)
		for (size_t k = p->at[j]; k < p->at[j + 1]; k++)
			c->v[c->at[p->v[k].doc + 1]++] = (struct count){ (uint32_t)j, p->v[k].n };
	return true;
}

static inline void counts_clear(struct counts *c)
{
	free(c->at);
	free(c->v);
}

#endif
