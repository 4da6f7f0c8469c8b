/* crossval.c - predictions of models that did not see what they predict. */
#include "crossval.h"

#include "predict.h"
#include "serving.h"

#include <stdlib.h>

static int ask(const struct serving *s, const struct examples ex, size_t k,
               int (*take)(void *arg, const struct example *ex, const struct prediction *p, struct err *e),
               void *arg, struct err *e)
{
	struct prediction p;
	struct arena      scratch;
	int               rc = 0;

	arena_init(&scratch, (size_t)1 << 30);
	for (size_t i = k; rc == 0 && i < ex.n; i += CROSSVAL_FOLDS) {
		arena_reset(&scratch);
		rc = predict_text(s, ex.v[i].text, &scratch, &p, e);
		if (rc == 0)
			rc = take(arg, &ex.v[i], &p, e);
	}
	arena_clear(&scratch);
	return rc;
}

int crossval(const struct label_config *config, const struct model_kind *kind, struct examples ex, size_t folds,
             const struct model_settings *settings,
             int (*take)(void *arg, const struct example *ex, const struct prediction *p, struct err *e),
             void *arg, struct err *e)
{
	struct example *rest = calloc(ex.n + 1, sizeof *rest);
	int             rc = rest == NULL ? err_memory(e) : 0;

	for (size_t k = 0; rc == 0 && k < folds; k++) {
		struct serving s = { .config = config, .settings = *settings, .n = 1 };
		struct err     why = { 0 };
		size_t         n = 0;

		s.part[0].kind = s.settings.kind = kind;
		for (size_t i = 0; i < ex.n; i++)
			if (i % CROSSVAL_FOLDS != k)
				rest[n++] = ex.v[i];
		if (kind->fit(&s.part[0].model, config, (struct examples){ rest, n }, &s.settings, &why) == 0)
			rc = ask(&s, ex, k, take, arg, e);
		else if (why.code != ERR_TOO_FEW)
			rc = err_set(e, why.code, "%s", why.msg);
		if (s.part[0].model != NULL)
			kind->free(s.part[0].model);
	}
	free(rest);
	return rc;
}
