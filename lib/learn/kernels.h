/*
 * kernels.h - the inner loops of logreg.c, for the width of vector that the
 * processor has.
 *
 * Every width gives the same bits: what is added to what is fixed by the loops,
 * and no multiplication is fused with an addition.  Lengths are multiples of 4.
 */
#ifndef LEARN_KERNELS_H
#define LEARN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* So many elements ahead a row of v is fetched: at [n + KERNELS_AHEAD] of the gathering
 * ones, the surplus being rows of v, too, whichever (those of what comes next). */
#define KERNELS_AHEAD 8

/* So many elements are summed up in single precision at most: a multiple of every width. */
#define KERNELS_RUN 1024

/* Rows or columns of a matrix: i has x[at[i] .. at[i + 1]), in the columns or rows index[]. */
struct sparse {
	const uint32_t *at, *index;
	const float    *x;
};

struct kernels {
	const char *name;

	/* t [ld] += sum over i < n of x[i] * v[at[i]][ld], in the order of i */
	void (*gather)(double *t, size_t ld, const uint32_t *at, const double *x, size_t n, const double *v);

	/* sum of a[i] * b[i], in eight lanes */
	double (*dot)(const double *a, const double *b, size_t n);

	/* to += f * v */
	void (*add_times)(double *to, double f, const double *v, size_t n);

	/* Of conjugate gradients, in single precision; sums over more than KERNELS_RUN
	 * elements are taken in double. */
	void   (*gather_single)(float *t, size_t ld, const uint32_t *at, const float *x, size_t n, const float *v);
	double (*dot_single)(const float *a, const float *b, size_t n);
	double (*weighted)(const float *a, const float *d, size_t n);            /* sum of d[i] * a[i]^2 */
	void   (*curve)(float *u, float c, const float *m, float mean, size_t n);   /* u = c * m * (u - mean) */
	void   (*sum_up)(double *to, const float *v, size_t n);                  /* to += v */

	/* s += alpha * dir, r -= alpha * q */
	void (*advance)(double *s, float *r, double alpha, const float *dir, const float *q, size_t n);

	/* dir = r + beta * dir;  dir = d * r + beta * dir */
	void (*turn)(float *dir, float beta, const float *r, size_t n);
	void (*turn_weighted)(float *dir, float beta, const float *r, const float *d, size_t n);

	/* A product with the Hessian of three or four classes, rows or columns [from, to)
	 * at once: rows are a dozen elements long, and calls for each cost as much again.
	 *
	 *   us = M (X dir + dirb), sum += column sums of us     m, mu: as in logreg.c
	 *   q = X^T us + dir, returns dir . q
	 */
	void   (*rows4)(float *us, double sum[4], const struct sparse *x, size_t from, size_t to, const float *dir,
	                const float dirb[4], const float *m, const double *mu, float c);
	double (*cols4)(float *q, const struct sparse *x, size_t from, size_t to, const float *us, const float *dir);
};

extern const struct kernels kernels_narrow;      /* 16 bytes: what every machine has */

/* The widest that this processor has. */
const struct kernels *kernels_best(void);

#endif
