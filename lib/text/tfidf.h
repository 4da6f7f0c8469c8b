/*
 * tfidf.h - weights of terms.
 *
 *   idf(t) = ln((1 + n_docs) / (1 + df(t))) + 1
 *   x(t)   = tf(t) * idf(t), the row divided by its Euclidean norm (zero rows stay zero)
 *
 * Agrees with scikit-learn's TfidfVectorizer (smooth_idf, norm="l2"); see
 * tests/golden/tfidf.json for the numbers.
 */
#ifndef TEXT_TFIDF_H
#define TEXT_TFIDF_H

#include "text/vocab.h"

#include <math.h>

static inline double tfidf_idf(double n_docs, double df)
{
	return log((1.0 + n_docs) / (1.0 + df)) + 1.0;
}

/* idf [terms]; x [n] gets the value of counts[i] at i. */
static inline void tfidf_row(const struct count *counts, size_t n, const double *idf, double *x)
{
	double square = 0.0, norm;

	for (size_t i = 0; i < n; i++) {
		x[i] = counts[i].n * idf[counts[i].term];
		square += x[i] * x[i];
	}
	norm = sqrt(square);
	for (size_t i = 0; i < n; i++)
		x[i] /= norm;
}

#endif
