/* crossval.c - predictions of models that did not see what they predict. */
#include "crossval.h"

#include "predict.h"

#include <stdlib.h>

static int ask(const struct serving *s, const struct example_set *set, size_t k,
               int (*take)(void *arg, const struct example *ex, const struct prediction *p, struct err *e),
               void *arg, struct err *e)
{
	struct prediction p;
	struct arena      scratch;
	int               rc = 0;

	arena_init(&scratch, (size_t)1 << 30);
	for (size_t i = k; rc == 0 && i < set->n; i += CROSSVAL_FOLDS) {
		arena_reset(&scratch);
		rc = predict_text(s, set->v[i].text, &scratch, &p, e);
		if (rc == 0)
			rc = take(arg, &set->v[i], &p, e);
	}
	arena_clear(&scratch);
	return rc;
}

int crossval(const struct label_config *config, const struct example_set *set, size_t folds,
             const struct fit_settings *settings,
             int (*take)(void *arg, const struct example *ex, const struct prediction *p, struct err *e),
             void *arg, struct err *e)
{
	struct example *rest = calloc(set->n + 1, sizeof *rest);
	int             rc = rest == NULL ? err_memory(e) : 0;

	for (size_t k = 0; rc == 0 && k < folds; k++) {
		struct serving s = { .config = config, .kind = model_kind_for(config) };
		struct err     why = { 0 };
		size_t         n = 0;

		for (size_t i = 0; i < set->n; i++)
			if (i % CROSSVAL_FOLDS != k)
				rest[n++] = set->v[i];
		if (s.kind->fit(&s.model, config, (struct examples){ rest, n }, settings, &why) == 0)
			rc = ask(&s, set, k, take, arg, e);
		else if (why.code != ERR_TOO_FEW)
			rc = err_set(e, why.code, "%s", why.msg);
		if (s.model != NULL)
			s.kind->free(s.model);
	}
	free(rest);
	return rc;
}
