/*
 * logreg.h - logistic regression with an L2 penalty, at its optimum.
 *
 * With z = x . w + b, n rows x, labels y and K classes:
 *
 *   K = 2   F(w,b) = C * sum_i log(1 + exp(-s_i z_i)) + |w|^2 / 2        s_i = +1 for class 1, else -1
 *   K >= 3  F(W,b) = C * sum_i [logsumexp_k z_ik - z_i,yi] + |W|^2 / 2
 *
 * b is not penalised.  This is what scikit-learn's LogisticRegression(C=C)
 * minimises; its solver stops well before the minimum, this one at |grad F| <=
 * 1e-6 (2-norm, b included; times C * rows / 2 of the rarest class where that is
 * below 1), which bounds the error of every logit of a row of norm 1 by about as
 * much, whatever n, K and C.  Where rounding forbids that (1e-13 * C * n above it),
 * there.
 *
 * Method: Newton steps, the system solved by conjugate gradients with a tolerance
 * that tightens with the gradient (Nash, "A survey of truncated-Newton methods",
 * 2000; Lin, Weng and Keerthi, "Trust region Newton method for large-scale
 * logistic regression", 2008).  Starts at zero.  The result depends on the
 * arguments alone, not on the number of threads.
 */
#ifndef LEARN_LOGREG_H
#define LEARN_LOGREG_H

#include "base/err.h"
#include "learn/columns.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logreg_settings {
	double c;
	int    threads;
	/* From the calling thread, several times a second; false: stop.  May be NULL. */
	bool (*progress)(void *arg, double done);
	void  *arg;
};

/* K = 2: one weight a group, z > 0 speaks for class 1.  K >= 3: K weights. */
struct logreg {
	size_t   k;            /* weights a group: 1 or K */
	double  *w;            /* [n_groups][k] */
	double  *b;            /* [k], summing to 0 for K >= 3 */
	double   objective;    /* F */
	double   grad;         /* |grad F| */
	unsigned steps, passes;/* Newton steps; products with X or its transpose */
};

/*
 * y: classes 0 .. n_classes - 1 of the rows, each occurring; n_classes >= 2.
 * 0, or -1: ERR_MEMORY, ERR_STOPPED.  Clear with logreg_clear() either way.
 * Cost: O(nnz * k) a pass, 50 to 300 passes; memory about (7 n + 4 n_shared) * k doubles.
 */
int  logreg_fit(struct logreg *m, const struct columns *x, const uint32_t *y, size_t n_classes,
                const struct logreg_settings *settings, struct err *e);
void logreg_clear(struct logreg *m);

/* z [k] to probabilities p [n_classes], in place allowed for n_classes >= 3. */
void logreg_proba(const double *z, size_t n_classes, double *p);

#endif
