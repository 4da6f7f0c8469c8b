/*
 * examples.h - what a project's annotations teach.
 *
 * Every annotation that is not skipped and whose first choice is a label of the
 * config is one example, under choice="multiple" every one with a choice that is; two annotators are two examples; a ground truth stands
 * in place of the others of its task.  In ascending order of annotation ids.
 *
 * For kinds of model that learn from more than choices (any_example), those
 * without a choice are there too, with label.p NULL.
 */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include "base/arena.h"
#include "models/model.h"
#include "store/store.h"

struct example_set {
	struct arena    arena;                  /* of the texts and labels */
	struct example *v;                      /* [n] */
	size_t          n, cap;
	size_t          n_labelled;             /* of them, those with a label */
	int64_t         n_cancelled, n_empty, n_unknown, n_overruled;    /* left out */
	char            hash[65];               /* SHA-256 of all that was taken, in its order */
};

/* Free with examples_clear() also after a failure. */
int  examples_read(struct example_set *set, struct store *st, int64_t project, const struct label_config *config,
                   bool any_example, struct err *e);
void examples_clear(struct example_set *set);

/* Those with a label, in their order: n_labelled of them, on the heap.  NULL: ERR_MEMORY. */
struct example *examples_labelled(const struct example_set *set, struct err *e);

/* How many examples_read() would find. */
int examples_count(struct store *st, int64_t project, const struct label_config *config, bool any_example, int64_t *n,
                   struct err *e);

/* How many different labels a training would find; counting ends at `enough`. */
int examples_labels(struct store *st, int64_t project, const struct label_config *config, size_t enough, size_t *n,
                    struct err *e);

#endif
