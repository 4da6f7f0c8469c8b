/* columns.c - merging proportional columns. */
#include "learn/columns.h"

#include "text/hash.h"
#include "text/tfidf.h"

#include <stdlib.h>
#include <string.h>

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

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b != 0) {
		uint32_t r = a % b;

		a = b;
		b = r;
	}
	return a;
}

static inline uint32_t frequency(const struct postings *p, size_t j)
{
	return p->at[j + 1] - p->at[j];
}

/* The common divisor of a term's counts, and a hash of its list divided by it. */
static uint64_t reduce(const struct postings *p, size_t j, struct hash_key key, uint32_t *divisor)
{
	const struct posting *v = p->v + p->at[j], *end = p->v + p->at[j + 1];
	uint32_t              g = v->n;
	uint64_t              sum = 0;

	for (const struct posting *q = v + 1; q < end && g > 1; q++)
		g = gcd(q->n, g);
	for (; v < end; v++)
		sum += hash_u64(key, (uint64_t)v->doc << 32 | (g <= 1 ? v->n : v->n / g));
	*divisor = g;
	return sum;
}

/* Have two terms of the same frequency proportional lists? */
static bool same_list(const struct postings *p, uint32_t a, uint32_t b, const uint32_t *divisor)
{
	const struct posting *x = p->v + p->at[a], *y = p->v + p->at[b];
	const uint64_t        s = divisor[b], t = divisor[a];

	for (uint32_t i = 0; i < frequency(p, a); i++)
		if (x[i].doc != y[i].doc || x[i].n * s != y[i].n * t)
			return false;
	return true;
}

/*
 * Preliminary groups into c->group, numbered by their first term, which goes into
 * first [n_terms]; own groups (document frequency 1) into c->own; divisors into
 * c->mult.  Sets n_groups.
 */
static int find_groups(struct columns *c, const struct postings *p, uint32_t *first, struct err *e)
{
	struct hash_key key = hash_key_random();
	size_t          size = 16, n_multi = 0;
	struct slot {
		uint64_t sum;
		uint32_t group;                  /* COLUMN_NONE: empty */
	} *slots;

	for (size_t j = 0; j < c->n_terms; j++)
		n_multi += frequency(p, j) > 1;
	while (size < n_multi * 2)
		size *= 2;
	slots = malloc(size * sizeof *slots);
	if (slots == NULL)
		return err_memory(e);
	memset(slots, 0xff, size * sizeof *slots);
	for (uint32_t j = 0; j < c->n_terms; j++) {
		uint64_t sum;
		size_t   i;

		if (frequency(p, j) == 1) {
			uint32_t *g = &c->own[p->v[p->at[j]].doc];

			if (*g == COLUMN_NONE) {
				first[c->n_groups] = j;
				*g = (uint32_t)c->n_groups++;
			}
			c->mult[j] = p->v[p->at[j]].n;
			c->group[j] = *g;
			continue;
		}
		sum = reduce(p, j, key, &c->mult[j]);
		for (i = sum & (size - 1); slots[i].group != COLUMN_NONE; i = (i + 1) & (size - 1)) {
			uint32_t other = first[slots[i].group];

			if (slots[i].sum == sum && frequency(p, other) == frequency(p, j) && same_list(p, other, j, c->mult))
				break;
		}
		if (slots[i].group == COLUMN_NONE) {
			first[c->n_groups] = j;
			slots[i] = (struct slot){ sum, (uint32_t)c->n_groups++ };
		}
		c->group[j] = slots[i].group;
	}
	free(slots);
	return 0;
}

/* Renumbers by falling document frequency (a stable counting sort), and gives
 * df, idf, root; first is renumbered with them. */
static int number_groups(struct columns *c, const struct postings *p, uint32_t *first, struct err *e)
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
		at[c->n_docs - frequency(p, first[g]) + 1]++;
	for (size_t d = 0; d <= c->n_docs; d++)
		at[d + 1] += at[d];
	for (size_t g = 0; g < n; g++)
		to[g] = at[c->n_docs - frequency(p, first[g])]++;
	memcpy(old, first, n * sizeof *old);
	for (size_t g = 0; g < n; g++)
		first[to[g]] = old[g];
	for (size_t g = 0; g < n; g++) {
		c->df[g] = frequency(p, first[g]);
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
	c->col_row = malloc((nnz + KERNELS_AHEAD) * sizeof *c->col_row);
	c->col_x = malloc((nnz + 1) * sizeof *c->col_x);
	c->row_at = calloc(c->n_docs + 2, sizeof *c->row_at);
	c->row_col = malloc((nnz + KERNELS_AHEAD) * sizeof *c->row_col);
	c->row_x = malloc((nnz + 1) * sizeof *c->row_x);
	if (norm == NULL || c->col_at == NULL || c->col_row == NULL || c->col_x == NULL ||
	    c->row_at == NULL || c->row_col == NULL || c->row_x == NULL) {
		free(norm);
		return err_memory(e);
	}
	memset(c->col_row + nnz, 0, KERNELS_AHEAD * sizeof *c->col_row);
	memset(c->row_col + nnz, 0, KERNELS_AHEAD * sizeof *c->row_col);
	nnz = 0;
	for (size_t g = 0; g < c->n_shared; g++) {
		const struct posting *v = p->v + p->at[first[g]];
		const uint32_t        divisor = c->mult[first[g]];
		const double          scale = c->idf[g] * c->root[g];

		c->col_at[g] = (uint32_t)nnz;
		for (size_t k = 0; k < c->df[g]; k++, nnz++) {
			double x = (divisor == 1 ? v[k].n : v[k].n / divisor) * scale;

			c->col_row[nnz] = v[k].doc;
			c->col_x[nnz] = x;
			norm[v[k].doc] += x * x;
			c->row_at[v[k].doc + 2]++;
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

int columns_merge(struct columns *c, const struct postings *p, struct err *e)
{
	uint32_t *first = calloc(p->n_terms + 1, sizeof *first);
	int       rc = -1;

	*c = (struct columns){ .n_docs = p->n_docs, .n_terms = p->n_terms };
	c->group = malloc((p->n_terms + 1) * sizeof *c->group);
	c->mult = calloc(p->n_terms + 1, sizeof *c->mult);
	c->own = malloc((p->n_docs + 1) * sizeof *c->own);
	c->own_x = calloc(p->n_docs + 1, sizeof *c->own_x);
	if (first == NULL || c->group == NULL || c->mult == NULL || c->own == NULL || c->own_x == NULL) {
		err_memory(e);
		goto out;
	}
	memset(c->own, 0xff, p->n_docs * sizeof *c->own);
	rc = find_groups(c, p, first, e) < 0 || number_groups(c, p, first, e) < 0 || build_matrix(c, p, first, e) < 0 ? -1 : 0;
out:
	free(first);
	return rc;
}
