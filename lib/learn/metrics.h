/*
 * metrics.h - how good predictions are.
 *
 *   accuracy   share of rows whose predicted label is the gold one
 *   f1(l)      2 tp / (2 tp + fp + fn)
 *   macro_f1   mean of f1 over the labels that occur in gold or prediction
 *   log_loss   mean of -ln max(p(gold), 1e-15) over the rows whose gold label
 *              was trained
 *
 * Where a row may have any number of labels (metrics_add_set) it is right when exactly
 * its gold labels are predicted; f1(l) is that of the answers "has l"; and the loss of
 * a row is the mean over the trained labels of -ln p(right answer).
 *
 * Agrees with scikit-learn's accuracy_score, f1_score(average="macro",
 * zero_division=0) and with quality() in tests/golden/generate.py.
 */
#ifndef LEARN_METRICS_H
#define LEARN_METRICS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct label_metrics {
	uint64_t support;              /* rows with this gold label */
	uint64_t predicted;            /* rows predicted so */
	uint64_t right;                /* both */
};

struct metrics {
	uint64_t              n, right;
	uint64_t              n_loss;  /* rows that log_loss is a mean of */
	double                loss;    /* their sum */
	size_t                n_labels;
	struct label_metrics *label;   /* [n_labels] */
};

/* 0, or -1: ERR_MEMORY.  The caller frees with metrics_clear(). */
int  metrics_init(struct metrics *m, size_t n_labels, struct err *e);
void metrics_clear(struct metrics *m);

/* One row: gold and predicted < n_labels; p: the probability of the gold label,
 * of no account unless it was trained. */
void metrics_add_row(struct metrics *m, size_t gold, size_t predicted, bool trained, double p);

/* The same from all probabilities [n_labels]: predicted is the first largest one
 * of a trained label.  Some label is trained. */
void metrics_add(struct metrics *m, size_t gold, const double *proba, const bool *trained);

/* A row with any number of labels, all arrays [n_labels].  strange: it also has gold
 * labels that are none of these, so that no answer is right. */
void metrics_add_set(struct metrics *m, const bool *gold, const bool *predicted, const bool *trained,
                     const double *proba, bool strange);

/* 0 without rows; log loss: NAN without rows that it is a mean of.  Of a label: 0
 * where there is nothing to divide by. */
double metrics_accuracy(const struct metrics *m);
double metrics_macro_f1(const struct metrics *m);
double metrics_log_loss(const struct metrics *m);
double metrics_precision(const struct metrics *m, size_t label);
double metrics_recall(const struct metrics *m, size_t label);
double metrics_f1(const struct metrics *m, size_t label);

#endif
