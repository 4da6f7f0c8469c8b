/* columns.c - merging proportional columns. */
#include "learn/columns.h"

#include "text/hash.h"
#include "text/tfidf.h"

#include <stdlib.h>

/* The counts by term, of the terms in two documents or more. */
struct postings {
	uint32_t *at;          /* [n_terms + 1] */
	uint32_t *doc, *u;     /* documents ascending; counts divided by their common divisor */
	uint64_t *sum;         /* [n_terms] a hash of the list; of other terms, the document */
};

void columns_clear(struct columns *c)
{
	free(c->row_at);
	free(c->row_col);
	free(c->row_x);
	free(c->col_at);
	free(c->col_row);
	free(c->col_x);
	free(c->own);
	free(c->own_x);
	free(c->group);
	free(c->mult);
	free(c->df);
	free(c->idf);
	free(c->root);
	*c = (struct columns){ 0 };
}

static void postings_clear(struct postings *p)
{
	free(p->at);
	free(p->doc);
	free(p->u);
	free(p->sum);
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b != 0) {
		uint32_t r = a % b;

		a = b;
		b = r;
	}
	return a;
}

/* Divisors into c->mult, document frequencies into df [n_terms]. */
static void scan_terms(struct columns *c, const struct counts *t, uint32_t *df)
{
	for (size_t k = 0; k < t->at[t->n_docs]; k++) {
		uint32_t j = t->v[k].term;

		df[j]++;
		if (c->mult[j] != 1)
			c->mult[j] = gcd(t->v[k].n, c->mult[j]);
	}
}

static int postings_build(struct postings *p, const struct columns *c, const struct counts *t,
                          const uint32_t *df, struct err *e)
{
	struct hash_key key = hash_key_random();
	uint32_t        n = 0;

	p->at = calloc(t->n_terms + 1, sizeof *p->at);
	p->sum = calloc(t->n_terms + 1, sizeof *p->sum);
	if (p->at == NULL || p->sum == NULL)
		return err_memory(e);
	for (size_t j = 0; j < t->n_terms; j++) {
		p->at[j] = n;
		n += df[j] > 1 ? df[j] : 0;      /* corpus.h: less than 2^32 counts in all */
	}
	p->at[t->n_terms] = n;
	p->doc = malloc(((size_t)n + 1) * sizeof *p->doc);
	p->u = malloc(((size_t)n + 1) * sizeof *p->u);
	if (p->doc == NULL || p->u == NULL)
		return err_memory(e);
	for (size_t i = 0; i < t->n_docs; i++) {
		for (size_t k = t->at[i]; k < t->at[i + 1]; k++) {
			uint32_t j = t->v[k].term, u;

			if (df[j] == 1) {
				p->sum[j] = i;
				continue;
			}
			u = c->mult[j] == 1 ? t->v[k].n : t->v[k].n / c->mult[j];
			p->doc[p->at[j]] = (uint32_t)i;
			p->u[p->at[j]++] = u;
			p->sum[j] += hash_u64(key, (uint64_t)i << 32 | u);
		}
	}
	/* The cursors stand at the ends: back to the beginnings. */
	for (size_t j = 0; j < t->n_terms; j++)
		p->at[j] -= df[j] > 1 ? df[j] : 0;
	return 0;
}

static bool same_list(const struct postings *p, uint32_t a, uint32_t b, uint32_t df)
{
	return memcmp(p->doc + p->at[a], p->doc + p->at[b], df * sizeof *p->doc) == 0 &&
	       memcmp(p->u + p->at[a], p->u + p->at[b], df * sizeof *p->u) == 0;
}

/*
 * Preliminary groups into c->group, numbered by their first term, which goes into
 * first [n_terms]; own groups (document frequency 1) into c->own.  Sets n_groups.
 */
static int find_groups(struct columns *c, const struct postings *p, const uint32_t *df,
                       uint32_t *first, struct err *e)
{
	size_t    size = 16, n_multi = 0;
	uint32_t *slots;                         /* group + 1; 0: empty */

	for (size_t j = 0; j < c->n_terms; j++)
		n_multi += df[j] > 1;
	while (size < n_multi * 2)
		size *= 2;
	slots = calloc(size, sizeof *slots);
	if (slots == NULL)
		return err_memory(e);
	for (uint32_t j = 0; j < c->n_terms; j++) {
		uint32_t *g;

		if (df[j] == 1) {
			g = &c->own[p->sum[j]];
			if (*g == COLUMN_NONE) {
				first[c->n_groups] = j;
				*g = (uint32_t)c->n_groups++;
			}
			c->group[j] = *g;
			continue;
		}
		for (size_t i = p->sum[j] & (size - 1);; i = (i + 1) & (size - 1)) {
			if (slots[i] == 0) {
				first[c->n_groups] = j;
				c->group[j] = (uint32_t)c->n_groups++;
				slots[i] = (uint32_t)c->n_groups;
				break;
			}
			uint32_t other = first[slots[i] - 1];

			if (p->sum[other] == p->sum[j] && df[other] == df[j] && same_list(p, other, j, df[j])) {
				c->group[j] = slots[i] - 1;
				break;
			}
		}
	}
	free(slots);
	return 0;
}

/* Renumbers by falling document frequency (a stable counting sort), and gives
 * df, idf, root; first is renumbered with them. */
static int number_groups(struct columns *c, const uint32_t *df, uint32_t *first, struct err *e)
{
	size_t    n = c->n_groups;
	uint32_t *at = calloc(c->n_docs + 2, sizeof *at);
	uint32_t *to = calloc(n + 1, sizeof *to), *old = calloc(n + 1, sizeof *old);
	int       rc = -1;

	c->df = calloc(n + 1, sizeof *c->df);
	c->idf = calloc(n + 1, sizeof *c->idf);
	c->root = calloc(n + 1, sizeof *c->root);
	if (at == NULL || to == NULL || old == NULL || c->df == NULL || c->idf == NULL || c->root == NULL) {
		err_memory(e);
		goto out;
	}
	for (size_t g = 0; g < n; g++)
		at[c->n_docs - df[first[g]] + 1]++;
	for (size_t d = 0; d <= c->n_docs; d++)
		at[d + 1] += at[d];
	for (size_t g = 0; g < n; g++)
		to[g] = at[c->n_docs - df[first[g]]]++;
	memcpy(old, first, n * sizeof *old);
	for (size_t g = 0; g < n; g++)
		first[to[g]] = old[g];
	for (size_t g = 0; g < n; g++) {
		c->df[g] = df[first[g]];
		c->n_shared += c->df[g] > 1;
		/* Equal frequencies stand together: one logarithm for each. */
		c->idf[g] = g > 0 && c->df[g] == c->df[g - 1] ? c->idf[g - 1] : tfidf_idf((double)c->n_docs, c->df[g]);
	}
	for (size_t j = 0; j < c->n_terms; j++) {
		c->group[j] = to[c->group[j]];
		c->root[c->group[j]] += (double)c->mult[j] * c->mult[j];
	}
	for (size_t g = 0; g < n; g++)
		c->root[g] = sqrt(c->root[g]);
	for (size_t i = 0; i < c->n_docs; i++)
		if (c->own[i] != COLUMN_NONE)
			c->own[i] = to[c->own[i]];
	rc = 0;
out:
	free(at);
	free(to);
	free(old);
	return rc;
}

/* Both sparse forms: columns from the postings of each group's first term, rows
 * by transposing, values last. */
static int build_matrix(struct columns *c, const struct postings *p, const uint32_t *first, struct err *e)
{
	double *norm = calloc(c->n_docs + 1, sizeof *norm);
	size_t  nnz = 0;

	for (size_t g = 0; g < c->n_shared; g++)
		nnz += c->df[g];
	c->nnz = nnz;
	c->col_at = malloc((c->n_shared + 1) * sizeof *c->col_at);
	c->col_row = malloc((nnz + 1) * sizeof *c->col_row);
	c->col_x = malloc((nnz + 1) * sizeof *c->col_x);
	c->row_at = calloc(c->n_docs + 2, sizeof *c->row_at);
	c->row_col = malloc((nnz + 1) * sizeof *c->row_col);
	c->row_x = malloc((nnz + 1) * sizeof *c->row_x);
	if (norm == NULL || c->col_at == NULL || c->col_row == NULL || c->col_x == NULL ||
	    c->row_at == NULL || c->row_col == NULL || c->row_x == NULL) {
		free(norm);
		return err_memory(e);
	}
	nnz = 0;
	for (size_t g = 0; g < c->n_shared; g++) {
		const uint32_t *doc = p->doc + p->at[first[g]], *u = p->u + p->at[first[g]];
		double          scale = c->idf[g] * c->root[g];

		c->col_at[g] = (uint32_t)nnz;
		for (size_t k = 0; k < c->df[g]; k++, nnz++) {
			double x = u[k] * scale;

			c->col_row[nnz] = doc[k];
			c->col_x[nnz] = x;
			norm[doc[k]] += x * x;
			c->row_at[doc[k] + 2]++;
		}
	}
	c->col_at[c->n_shared] = (uint32_t)nnz;
	for (size_t i = 0; i < c->n_docs; i++) {
		double x = c->own[i] == COLUMN_NONE ? 0.0 : c->idf[c->own[i]] * c->root[c->own[i]];

		norm[i] = sqrt(norm[i] + x * x);
		c->own_x[i] = x > 0.0 ? x / norm[i] : 0.0;
		c->row_at[i + 2] += c->row_at[i + 1];
	}
	/* row_at runs one ahead while it serves as the cursor. */
	for (size_t g = 0; g < c->n_shared; g++) {
		for (size_t k = c->col_at[g]; k < c->col_at[g + 1]; k++) {
			uint32_t i = c->col_row[k], to = c->row_at[i + 1]++;

			c->col_x[k] /= norm[i];
			c->row_col[to] = (uint32_t)g;
			c->row_x[to] = c->col_x[k];
		}
	}
	free(norm);
	return 0;
}

int columns_merge(struct columns *c, const struct counts *t, struct err *e)
{
	struct postings p = { 0 };
	uint32_t       *df = calloc(t->n_terms + 1, sizeof *df);
	uint32_t       *first = calloc(t->n_terms + 1, sizeof *first);
	int             rc = -1;

	*c = (struct columns){ .n_docs = t->n_docs, .n_terms = t->n_terms };
	c->group = malloc((t->n_terms + 1) * sizeof *c->group);
	c->mult = calloc(t->n_terms + 1, sizeof *c->mult);
	c->own = malloc((t->n_docs + 1) * sizeof *c->own);
	c->own_x = calloc(t->n_docs + 1, sizeof *c->own_x);
	if (df == NULL || first == NULL || c->group == NULL || c->mult == NULL || c->own == NULL || c->own_x == NULL) {
		err_memory(e);
		goto out;
	}
	memset(c->own, 0xff, t->n_docs * sizeof *c->own);
	scan_terms(c, t, df);
	if (postings_build(&p, c, t, df, e) == 0 && find_groups(c, &p, df, first, e) == 0 &&
	    number_groups(c, df, first, e) == 0 && build_matrix(c, &p, first, e) == 0)
		rc = 0;
out:
	postings_clear(&p);
	free(df);
	free(first);
	return rc;
}
