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

	/* sum of d[i] * a[i]^2, likewise */
	double (*weighted)(const double *a, const double *d, size_t n);

	/* u = c * m * (u - mean) */
	void (*curve)(double *u, double c, const double *m, double mean, size_t n);

	/* s += alpha * dir, r -= alpha * q */
	void (*advance)(double *s, double *r, double alpha, const double *dir, const double *q, size_t n);

	/* dir = r + beta * dir;  dir = d * r + beta * dir */
	void (*turn)(double *dir, double beta, const double *r, size_t n);
	void (*turn_weighted)(double *dir, double beta, const double *r, const double *d, size_t n);
};

extern const struct kernels kernels_narrow;      /* 16 bytes: what every machine has */

/* The widest that this processor has. */
const struct kernels *kernels_best(void);

#endif
