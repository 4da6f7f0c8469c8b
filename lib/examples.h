/*
 * examples.h - what a project's annotations teach.
 *
 * Every annotation that is not skipped and whose first choice is a label of the
 * config is one example, under choice="multiple" every one with a choice that is; two annotators are two examples; a ground truth stands
 * in place of the others of its task.  In ascending order of annotation ids.
 *
 * For kinds of model that learn from more than choices (any_example), those
 * without a choice are there too, with label.p NULL.
 *
 * WORDS.  Where all kinds look at a text's words alone, an example has them in place of
 * its text: in lower case, a space between.  The store keeps them beside the annotation
 * (columns words and label), so that a training reads and cuts only what is new since the
 * last one; a trigger forgets them where the annotation or its task changes, and they
 * count for nothing where the config, the token pattern, the Unicode data or WORDS_FORMAT
 * (examples.c) is another than they were made with (project.words_form).  A training that
 * finds them and one that does not read the same examples.
 */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include "base/arena.h"
#include "models/model.h"
#include "store/store.h"

#define WORDS_FORM_MAX 128      /* bytes of project.words_form, its end included */

struct example_set {
	struct arena    arena;                  /* of the texts and labels */
	struct example *v;                      /* [n] */
	size_t          n, cap;
	size_t          n_labelled;             /* of them, those with a label */
	int64_t         n_cancelled, n_empty, n_unknown, n_overruled;    /* left out */
	char            hash[65];               /* BLAKE2b-256 of all that was taken, in its order */

	/* Of words: what examples_keep_words() has to do. */
	char            form[WORDS_FORM_MAX];   /* how they are made; "" for texts */
	bool            other_form;             /* what was kept is of another one, or nothing was */
	int64_t        *fresh;                  /* [n_fresh] examples' annotations that were read whole */
	size_t          n_fresh, cap_fresh;
};

/* Free with examples_clear() also after a failure. */
int  examples_read(struct example_set *set, struct store *st, int64_t project, const struct label_config *config,
                   bool any_example, struct err *e);
void examples_clear(struct example_set *set);

/* The same as words, p being the project as it is in the same view of the store. */
int  examples_read_words(struct example_set *set, struct store *st, const struct project *p,
                         const struct label_config *config, enum token_pattern pattern, struct err *e);

/* Keeps them, as the annotations are by now, in short transactions of its own.  What is
 * not done (ERR_STOPPED after goes_on() said so; another trainer was faster: 0), the next
 * training makes good. */
int  examples_keep_words(const struct example_set *set, struct store *st, int64_t project,
                         const struct label_config *config, enum token_pattern pattern,
                         bool (*goes_on)(void *arg), void *arg, struct err *e);

/* Those with a label, in their order: n_labelled of them, on the heap.  NULL: ERR_MEMORY. */
struct example *examples_labelled(const struct example_set *set, struct err *e);

/* How many examples_read() would find. */
int examples_count(struct store *st, int64_t project, const struct label_config *config, bool any_example, int64_t *n,
                   struct err *e);

/* How many different labels a training would find; counting ends at `enough`. */
int examples_labels(struct store *st, int64_t project, const struct label_config *config, size_t enough, size_t *n,
                    struct err *e);

#endif
