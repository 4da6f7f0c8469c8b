/*
 * tfidf_logreg.h - looking into a model of the kind tfidf_logreg.
 *
 * For `prelabel evaluate`, tests and people; serving needs model.h alone.
 */
#ifndef MODELS_TFIDF_LOGREG_H
#define MODELS_TFIDF_LOGREG_H

#include "models/model.h"

extern const struct model_kind model_tfidf_logreg;

struct tfidf_logreg_facts {
	enum token_pattern token_pattern;
	double             logreg_c;
	unsigned           unicode;        /* 1400 for 14.0: the character data it was made with */
	uint64_t           n_examples;
	size_t             n_terms, n_groups;
	size_t             n_classes;      /* as trained, labels that the config lacks included */
	bool               multiple;       /* any number of labels a text: a yes/no model a class */
	/* F and |grad F| where the fit ended; 0, 0 without a fit.  Of yes/no models the sum
	 * of F, and the largest |grad F|. */
	double             objective, grad;
};
void tfidf_logreg_facts(const struct model *m, struct tfidf_logreg_facts *facts);

/* Class c (< n_classes as trained, in the order of code points), and its intercept.
 * With two classes there is one intercept and one coefficient a term, for the
 * second class; of a model with any number of labels a text there is one a class. */
struct span tfidf_logreg_class(const struct model *m, size_t c);
double      tfidf_logreg_intercept(const struct model *m, size_t c);

/* Term i < n_terms: appends its words, joined by a space, to `term` (which may be
 * NULL); *idf; *coef of class c. */
void tfidf_logreg_term(const struct model *m, size_t i, size_t c, struct buf *term,
                       double *idf, double *coef);

/* Position of a term, words joined by a space; -1: not in the vocabulary. */
int64_t tfidf_logreg_find(const struct model *m, struct span term);

/* Probabilities of a text, one a class as trained: p [n_classes], with no regard to
 * the config's labels. */
int tfidf_logreg_proba(const struct model *m, struct span text, struct arena *scratch,
                       double *p, struct err *e);

#endif
