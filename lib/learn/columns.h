/*
 * columns.h - tf-idf rows with proportional columns merged.
 *
 * Most n-grams of a corpus occur in one document, and most longer ones come with
 * their shorter ones only.  Terms whose counts are proportional (t1: 1 0 2, t2:
 * 2 0 4) have the same document frequency, so the same idf, and proportional
 * columns.  Under a penalty |W|^2, which is rotation invariant, their weights are
 * proportional too: a group of such terms acts as one column
 *
 *   x[i,g] = sqrt(sum over j in g of x[i,j]^2),      w[j] = w[g] * x[i,j] / x[i,g]
 *
 * and the optimum is the same.  With a[j] the greatest common divisor of the
 * counts of term j and u = tf / a[j], the same for all of a group:
 *
 *   x[i,g] = u[i,g] * idf[g] * sqrt(sum a^2) / norm[i],     w[j] = w[g] * a[j] / sqrt(sum a^2)
 *
 * Groups are numbered by falling document frequency, those of the same by their
 * first term, so that the rows of a dense array that every document touches lie
 * together.  The last ones occur in one document each, at most one a document
 * ("own"); they are kept apart, since they can be solved for in closed form.
 */
#ifndef LEARN_COLUMNS_H
#define LEARN_COLUMNS_H

#include "base/err.h"
#include "learn/kernels.h"
#include "text/vocab.h"
#include "text/corpus.h"

#include <stddef.h>
#include <stdint.h>

#define COLUMN_NONE UINT32_MAX

struct columns {
	size_t    n_docs, n_terms;
	size_t    n_groups;
	size_t    n_shared;      /* groups 0 .. n_shared - 1 occur in two documents or more */
	size_t    nnz;           /* of the shared part */

	/* The shared part by row and by column; ascending within each.  What lies beyond
	 * nnz is 0, for kernels that look ahead. */
	uint32_t *row_at, *row_col;      /* [n_docs + 1], [nnz + KERNELS_AHEAD] */
	double   *row_x;                 /* [nnz] */
	uint32_t *col_at, *col_row;      /* [n_shared + 1], [nnz + KERNELS_AHEAD] */
	double   *col_x;                 /* [nnz] */

	uint32_t *own;           /* [n_docs] the document's own group, or COLUMN_NONE */
	double   *own_x;         /* [n_docs] its value, 0 without one */

	uint32_t *group;         /* [n_terms] */
	uint32_t *mult;          /* [n_terms] a */
	uint32_t *df;            /* [n_groups] documents */
	double   *idf;           /* [n_groups] */
	double   *root;          /* [n_groups] sqrt(sum of a^2) */
};

/* 0, or -1: ERR_MEMORY.  Cost: O(postings).  Clear with columns_clear() either way. */
int  columns_merge(struct columns *c, const struct postings *p, struct err *e);
void columns_clear(struct columns *c);

#endif
