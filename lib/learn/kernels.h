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

struct kernels {
	const char *name;

	/* t [ld] += sum over i < n of x[i] * v[at[i]][ld], in the order of i */
	void (*gather)(double *t, size_t ld, const uint32_t *at, const double *x, size_t n, const double *v);

	/* sum of a[i] * b[i], in eight lanes */
	double (*dot)(const double *a, const double *b, size_t n);

	/* to += f * v */
	void (*add_times)(double *to, double f, const double *v, size_t n);

	/* Of conjugate gradients, in single precision; x is rounded, sums over more than
	 * SINGLE_RUN elements are taken in double. */
	void   (*gather_single)(float *t, size_t ld, const uint32_t *at, const double *x, size_t n, const float *v);
	double (*dot_single)(const float *a, const float *b, size_t n);
	double (*weighted)(const float *a, const float *d, size_t n);            /* sum of d[i] * a[i]^2 */
	void   (*curve)(float *u, float c, const float *m, float mean, size_t n);   /* u = c * m * (u - mean) */
	void   (*sum_up)(double *to, const float *v, size_t n);                  /* to += v */

	/* s += alpha * dir, r -= alpha * q */
	void (*advance)(double *s, float *r, double alpha, const float *dir, const float *q, size_t n);

	/* dir = r + beta * dir;  dir = d * r + beta * dir */
	void (*turn)(float *dir, float beta, const float *r, size_t n);
	void (*turn_weighted)(float *dir, float beta, const float *r, const float *d, size_t n);
};

extern const struct kernels kernels_narrow;      /* 16 bytes: what every machine has */

/* The widest that this processor has. */
const struct kernels *kernels_best(void);

#endif
