/* metrics.c - how good predictions are. */
#include "learn/metrics.h"

#include <math.h>
#include <stdlib.h>

#define P_LEAST 1e-15

int metrics_init(struct metrics *m, size_t n_labels, struct err *e)
{
	*m = (struct metrics){ .n_labels = n_labels };
	m->label = calloc(n_labels + 1, sizeof *m->label);
	return m->label == NULL ? err_memory(e) : 0;
}

void metrics_clear(struct metrics *m)
{
	free(m->label);
	*m = (struct metrics){ 0 };
}

void metrics_add_row(struct metrics *m, size_t gold, size_t predicted, bool trained, double p)
{
	m->n++;
	m->label[gold].support++;
	m->label[predicted].predicted++;
	if (gold == predicted) {
		m->right++;
		m->label[gold].right++;
	}
	if (trained) {
		m->n_loss++;
		m->loss -= log(fmax(p, P_LEAST));
	}
}

void metrics_add(struct metrics *m, size_t gold, const double *proba, const bool *trained)
{
	size_t best = m->n_labels;

	for (size_t i = 0; i < m->n_labels; i++)
		if (trained[i] && (best == m->n_labels || proba[i] > proba[best]))
			best = i;
	if (best < m->n_labels)
		metrics_add_row(m, gold, best, trained[gold], proba[gold]);
}

void metrics_add_set(struct metrics *m, const bool *gold, const bool *predicted, const bool *trained,
                     const double *proba, bool strange)
{
	bool   right = !strange;
	double loss = 0.0;
	size_t n = 0;

	for (size_t i = 0; i < m->n_labels; i++) {
		m->label[i].support += gold[i];
		m->label[i].predicted += predicted[i];
		m->label[i].right += gold[i] && predicted[i];
		right &= gold[i] == predicted[i];
		if (trained[i]) {
			loss -= log(fmax(gold[i] ? proba[i] : 1.0 - proba[i], P_LEAST));
			n++;
		}
	}
	m->n++;
	m->right += right;
	if (n > 0) {
		m->n_loss++;
		m->loss += loss / (double)n;
	}
}

static double ratio(uint64_t part, uint64_t whole)
{
	return whole > 0 ? (double)part / (double)whole : 0.0;
}

double metrics_accuracy(const struct metrics *m)
{
	return ratio(m->right, m->n);
}

double metrics_precision(const struct metrics *m, size_t label)
{
	return ratio(m->label[label].right, m->label[label].predicted);
}

double metrics_recall(const struct metrics *m, size_t label)
{
	return ratio(m->label[label].right, m->label[label].support);
}

double metrics_f1(const struct metrics *m, size_t label)
{
	/* tp + fn is the support, tp + fp what was predicted */
	return ratio(2 * m->label[label].right, m->label[label].support + m->label[label].predicted);
}

double metrics_macro_f1(const struct metrics *m)
{
	double   sum = 0.0;
	uint64_t n = 0;

	for (size_t i = 0; i < m->n_labels; i++) {
		if (m->label[i].support + m->label[i].predicted == 0)
			continue;
		sum += metrics_f1(m, i);
		n++;
	}
	return n > 0 ? sum / (double)n : 0.0;
}

double metrics_log_loss(const struct metrics *m)
{
	return m->n_loss > 0 ? m->loss / (double)m->n_loss : NAN;
}
