/* evaluate.c - how good a model is. */
#include "evaluate.h"

#include "crossval.h"
#include "document.h"
#include "examples.h"
#include "import.h"
#include "learn/metrics.h"
#include "predict.h"
#include "serving.h"

#include <stdio.h>
#include <stdlib.h>

/* The labels of the config, then what else occurs as gold; and who was taken for whom. */
struct tally {
	const struct control_tag *control;
	struct arena              arena;      /* of names that the config lacks */
	struct span              *name;       /* [n] */
	size_t                    n, cap;
	struct row {
		uint32_t gold, predicted;
		bool     trained;
		double   p;                       /* of the gold label */
	}                        *row;        /* [n_rows] */
	size_t                    n_rows, cap_rows;
	struct metrics            sets;       /* in place of rows, where a text may have several labels */
	bool                     *gold, *predicted;    /* [labels of the control], of the row at hand */
	int64_t                   unreadable;
};

static int add_name(struct tally *t, struct span name, struct err *e)
{
	if (t->n == t->cap) {
		size_t       cap = t->cap * 2 + 64;
		struct span *grown = realloc(t->name, cap * sizeof *grown);

		if (grown == NULL)
			return err_memory(e);
		t->name = grown;
		t->cap = cap;
	}
	t->name[t->n++] = name;
	return 0;
}

static int tally_init(struct tally *t, const struct control_tag *control, struct err *e)
{
	*t = (struct tally){ .control = control };
	arena_init(&t->arena, (size_t)64 << 20);
	for (size_t i = 0; i < control->n_labels; i++)
		if (add_name(t, span_of(control->labels[i].name), e) < 0)
			return -1;
	if (!control_multiple(control))
		return 0;
	t->gold = arena_array(&t->arena, control->n_labels, sizeof *t->gold);
	t->predicted = arena_array(&t->arena, control->n_labels, sizeof *t->predicted);
	return t->gold == NULL || t->predicted == NULL ? err_memory(e) : metrics_init(&t->sets, control->n_labels, e);
}

static void tally_clear(struct tally *t)
{
	if (t->sets.label != NULL)
		metrics_clear(&t->sets);
	arena_clear(&t->arena);
	free(t->name);
	free(t->row);
}

static size_t n_rows(const struct tally *t)
{
	return t->sets.label != NULL ? t->sets.n : t->n_rows;
}

/* t->gold is set.  strange: the row has other labels too. */
static void add_set(struct tally *t, const struct prediction *p, bool strange)
{
	prediction_choices(p, t->control, t->predicted);
	if (p->n_proba == t->control->n_labels)
		metrics_add_set(&t->sets, t->gold, t->predicted, p->trained, p->proba, strange);
}

/* Position of a gold label; one that the config lacks is added behind them. */
static int gold_of(struct tally *t, struct span label, size_t *gold, struct err *e)
{
	int known = control_label(t->control, label);

	if (known >= 0) {
		*gold = (size_t)known;
		return 0;
	}
	for (*gold = t->control->n_labels; *gold < t->n; (*gold)++)
		if (span_eq(t->name[*gold], label))
			return 0;
	label.p = arena_copy(&t->arena, label);
	return label.p == NULL ? err_memory(e) : add_name(t, label, e);
}

static int add_row(struct tally *t, struct span label, const struct prediction *p, struct err *e)
{
	struct row *grown;
	size_t      gold;
	int         predicted;

	if (gold_of(t, label, &gold, e) < 0)
		return -1;
	predicted = prediction_choice(p, t->control);
	if (predicted < 0)
		return err_set(e, ERR_DAMAGED, "the model names no label of the config");
	if (t->n_rows == t->cap_rows) {
		grown = realloc(t->row, (t->cap_rows * 2 + 1024) * sizeof *grown);
		if (grown == NULL)
			return err_memory(e);
		t->row = grown;
		t->cap_rows = t->cap_rows * 2 + 1024;
	}
	t->row[t->n_rows++] = (struct row){ (uint32_t)gold, (uint32_t)predicted,
		gold < p->n_proba && p->trained[gold], gold < p->n_proba ? p->proba[gold] : 0 };
	return 0;
}

/* ---- the document -------------------------------------------------------------------- */

static json_object *real(double x)
{
	char text[40];

	snprintf(text, sizeof text, "%.9g", x);
	return json_object_new_double_s(x, text);
}

static json_object *per_label(const struct tally *t, const struct metrics *m, bool *ok)
{
	json_object *all = json_object_new_object();

	for (size_t i = 0; i < t->n; i++) {
		const struct label_metrics *l = &m->label[i];
		json_object                *one;

		if (l->support == 0 && l->predicted == 0)
			continue;
		one = json_object_new_object();
		document_add(one, "precision", real(metrics_precision(m, i)), ok);
		document_add(one, "recall", real(metrics_recall(m, i)), ok);
		document_add(one, "f1", real(metrics_f1(m, i)), ok);
		document_add(one, "support", json_object_new_int64((int64_t)l->support), ok);
		document_add(all, t->name[i].p, one, ok);
	}
	return all;
}

/* The member of that name; made where there is none; NULL when it can't be. */
static json_object *member_of(json_object *o, const char *key, json_object *(*make)(void), bool *ok)
{
	json_object *value = NULL;

	if (o != NULL && !json_object_object_get_ex(o, key, &value)) {
		document_add(o, key, make(), ok);
		(void)json_object_object_get_ex(o, key, &value);
	}
	return value;
}

static json_object *zero(void)
{
	return json_object_new_int64(0);
}

static json_object *confusion(const struct tally *t, bool *ok)
{
	json_object *all = json_object_new_object();

	for (size_t i = 0; i < t->n_rows; i++) {
		json_object *of = member_of(all, t->name[t->row[i].gold].p, json_object_new_object, ok);
		json_object *count = member_of(of, t->name[t->row[i].predicted].p, zero, ok);

		if (count != NULL)
			json_object_int_inc(count, 1);
	}
	return all;
}

static void free_names(json_object *o, void *names)
{
	(void)o;
	free(names);
}

/* Keys of a document are not copied (document.h): the labels' names go with it. */
static void give_names(json_object *o, struct tally *t, bool *ok)
{
	size_t bytes = 1;
	char  *at;

	for (size_t i = 0; i < t->n; i++)
		bytes += t->name[i].len + 1;
	at = o == NULL ? NULL : malloc(bytes);
	if (at == NULL) {
		*ok = false;
		return;
	}
	json_object_set_userdata(o, at, free_names);
	for (size_t i = 0; i < t->n; i++) {
		memcpy(at, t->name[i].p, t->name[i].len);
		at[t->name[i].len] = '\0';
		t->name[i].p = at;
		at += t->name[i].len + 1;
	}
}

static json_object *document(struct tally *t, struct err *e)
{
	const bool     sets = t->sets.label != NULL;
	struct metrics m = t->sets;
	json_object   *o;
	bool           ok = true;

	if (!sets && metrics_init(&m, t->n, e) < 0)
		return NULL;
	for (size_t i = 0; i < t->n_rows; i++)
		metrics_add_row(&m, t->row[i].gold, t->row[i].predicted, t->row[i].trained, t->row[i].p);
	o = json_object_new_object();
	give_names(o, t, &ok);
	document_add(o, "n", json_object_new_int64((int64_t)m.n), &ok);
	document_add(o, "accuracy", real(metrics_accuracy(&m)), &ok);
	document_add(o, "macro_f1", real(metrics_macro_f1(&m)), &ok);
	if (m.n_loss == 0)
		document_add_null(o, "log_loss", &ok);
	else
		document_add(o, "log_loss", real(metrics_log_loss(&m)), &ok);
	document_add(o, "per_label", per_label(t, &m, &ok), &ok);
	if (sets)
		document_add_null(o, "confusion", &ok);
	else
		document_add(o, "confusion", confusion(t, &ok), &ok);
	document_add(o, "unreadable", json_object_new_int64(t->unreadable), &ok);
	if (!sets)
		metrics_clear(&m);
	return document_finished(o, ok, e);
}

/* ---- on a file -------------------------------------------------------------------------- */

struct on_file {
	struct tally          tally;
	const struct serving *s;
	struct arena          scratch;
};

static int take_line(void *arg, size_t number, struct span text, const struct jsonl_labels *labels, struct err *e)
{
	struct on_file   *f = arg;
	struct tally     *t = &f->tally;
	struct prediction p;
	bool              strange = false;

	(void)number;
	arena_reset(&f->scratch);
	if (predict_text(f->s, text, &f->scratch, &p, e) < 0)
		return -1;
	if (t->sets.label == NULL)
		return add_row(t, labels->v[0], &p, e);
	memset(t->gold, 0, t->control->n_labels * sizeof *t->gold);
	for (size_t i = 0; i < labels->n; i++) {
		const int at = control_label(t->control, labels->v[i]);

		strange |= at < 0;
		if (at >= 0)
			t->gold[at] = true;
	}
	add_set(t, &p, strange);
	return 0;
}

static void count_bad(void *arg, size_t number, const char *why)
{
	struct on_file *f = arg;

	fprintf(stderr, "prelabel: line %zu left out: %s\n", number, why);
	f->tally.unreadable++;
}

/* The project's row and config; ERR_SHAPE where it has no Choices over Text. */
static int project_of(struct store *st, int64_t row, struct arena *a, struct project *p, struct err *e)
{
	if (store_project_get(st, row, a, p, e) < 0)
		return -1;
	if (p->label_config.p == NULL)
		return err_set(e, ERR_SHAPE, "project %lld: no labeling config is known yet", (long long)p->id);
	if (p->labels.p == NULL)
		return err_set(e, ERR_SHAPE, "project %lld: its labeling config has no Choices over a Text", (long long)p->id);
	return 0;
}

json_object *evaluate_file(struct store *st, const struct env *env, int64_t project, const char *path,
                           struct err *e)
{
	struct on_file     f = { .s = NULL };
	const struct jsonl how = { take_line, count_bad, &f, true };
	struct serving    *s = NULL;
	struct project     p;
	struct arena       a;
	json_object       *o = NULL;

	arena_init(&a, (size_t)1 << 28);
	arena_init(&f.scratch, (size_t)1 << 30);
	if (project_of(st, project, &a, &p, e) == 0 && serving_get(st, env, &p, p.label_config, &s, e) == 0 &&
	    tally_init(&f.tally, s->config->choices, e) == 0) {
		f.s = s;
		if (jsonl_read(path, &how, e) == 0)
			o = document(&f.tally, e);
	}
	tally_clear(&f.tally);
	serving_release(s);
	arena_clear(&f.scratch);
	arena_clear(&a);
	return o;
}

/* ---- by cross-validation ------------------------------------------------------------------ */

struct on_examples {
	struct tally               tally;
	const struct label_config *config;
	struct arena               scratch;
};

static int take_example(void *arg, const struct example *ex, const struct prediction *p, struct err *e)
{
	struct on_examples *x = arg;
	struct tally       *t = &x->tally;
	const uint32_t     *labels;
	size_t              n;

	if (t->sets.label == NULL)
		return add_row(t, ex->label, p, e);
	arena_reset(&x->scratch);
	if (example_labels(ex, x->config, &x->scratch, &labels, &n, e) < 0)
		return -1;
	memset(t->gold, 0, t->control->n_labels * sizeof *t->gold);
	for (size_t i = 0; i < n; i++)
		t->gold[labels[i]] = true;
	add_set(t, p, false);
	return 0;
}

/* The kind that chooses among the labels of config->choices. */
static const struct model_kind *choosing(const struct env *env, const struct project *p,
                                         const struct label_config *config, const struct model_settings *settings,
                                         struct arena *a)
{
	const struct model_kind *kind[MODEL_KINDS_MAX];
	size_t                   n = model_kinds_for(config, serving_kinds(env, p, a), settings, kind);

	for (size_t i = 0; i < n; i++)
		if (kind[i]->serves(config, (struct span){ NULL, 0 }, settings) == config->choices)
			return kind[i];
	return NULL;
}

json_object *evaluate_project(struct store *st, const struct env *env, int64_t project, struct err *e)
{
	const struct model_kind *kind;
	struct model_settings    settings;
	struct label_config     *config = NULL;
	struct example_set       set = { .n = 0 };
	struct project           p;
	struct arena             a;
	struct on_examples       x = { .config = NULL };
	json_object             *o = NULL;

	arena_init(&a, (size_t)1 << 28);
	arena_init(&x.scratch, (size_t)1 << 30);
	if (project_of(st, project, &a, &p, e) == 0 && label_config_parse(&config, p.label_config, e) == 0 &&
	    tally_init(&x.tally, config->choices, e) == 0 && examples_read(&set, st, project, config, false, e) == 0) {
		x.config = config;
		serving_settings(env, &p, &settings);
		settings.threads = (int)env->train_threads;
		kind = choosing(env, &p, config, &settings, &a);
		if (kind == NULL)
			err_set(e, ERR_SHAPE, "project %lld: no model chooses among its labels", (long long)p.id);
		else if (crossval(config, kind, (struct examples){ set.v, set.n }, CROSSVAL_FOLDS, &settings,
		                  take_example, &x, e) == 0 && n_rows(&x.tally) > 0)
			o = document(&x.tally, e);
		else if (n_rows(&x.tally) == 0)
			err_set(e, ERR_TOO_FEW, "project %lld: %zu examples are too few to cross-validate",
			        (long long)p.id, set.n);
	}
	tally_clear(&x.tally);
	examples_clear(&set);
	label_config_free(config);
	arena_clear(&x.scratch);
	arena_clear(&a);
	return o;
}
