/*
 * kept_words.h - whatever happened to a store: by the words that were kept in it a training
 * reads the examples that it reads without them.
 */
#ifndef TESTS_KEPT_WORDS_H
#define TESTS_KEPT_WORDS_H

#include "base/arena.h"
#include "examples.h"
#include "store/store.h"
#include "studio/label_config.h"

#include <string.h>

static inline bool kept_words_same(const struct example_set *a, const struct example_set *b)
{
	bool same = a->n == b->n && a->n_labelled == b->n_labelled && a->n_cancelled == b->n_cancelled && a->n_empty == b->n_empty &&
	            a->n_unknown == b->n_unknown && a->n_overruled == b->n_overruled && strcmp(a->hash, b->hash) == 0;

	for (size_t i = 0; same && i < a->n; i++)
		same = a->v[i].annotation == b->v[i].annotation && a->v[i].task == b->v[i].task && span_eq(a->v[i].text, b->v[i].text) &&
		       span_eq(a->v[i].label, b->v[i].label) && span_eq(a->v[i].result, b->v[i].result);
	return same;
}

/* Of the project in this row, as a training with this pattern reads it; "" or what is
 * wrong.  fresh (may be NULL): how many annotations it would read whole. */
static inline const char *kept_words_wrong(struct store *st, int64_t row, enum token_pattern pattern, size_t *fresh)
{
	struct example_set   kept = { .n = 0 }, anew = { .n = 0 };
	struct label_config *config = NULL;
	struct project       p;
	struct arena         a;
	const char          *wrong = "";

	arena_init(&a, (size_t)1 << 24);
	if (store_begin_read(st, NULL) < 0 || store_project_get(st, row, &a, &p, NULL) != 0)
		wrong = "no project";
	else if (label_config_replay(&config, p.label_config, p.config_elements, NULL) < 0)
		config = NULL;                   /* that no training reads */
	else if (examples_read_words(&kept, st, &p, config, pattern, NULL) < 0)
		wrong = "the examples can't be read";
	if (wrong[0] == '\0' && config != NULL) {
		p.words_form = (struct span){ NULL, 0 };
		if (examples_read_words(&anew, st, &p, config, pattern, NULL) < 0)
			wrong = "the examples can't be read without the words";
		else if (!kept_words_same(&kept, &anew))
			wrong = "the words that were kept are other examples";
	}
	store_rollback(st);
	if (fresh != NULL)
		*fresh = kept.n_fresh;
	examples_clear(&kept);
	examples_clear(&anew);
	label_config_free(config);
	arena_clear(&a);
	return wrong;
}

#endif
