/* examples.c - what a project's annotations teach. */
#include "examples.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "studio/annotation.h"
#include "text/tokenize.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXAMPLES_BYTES_MAX ((size_t)8 << 30)
#define FIRST_ID           (INT64_MIN + 1)
#define LAST_ID            INT64_MAX
#define KEEP_ROWS          500          /* kept in one transaction: some ten milliseconds */
#define KEEP_BYTES         ((size_t)512 << 10)   /* of texts and results, too: these are what takes long */
#define WORDS_FORMAT       1            /* to be counted up where words or labels come to be read otherwise */

#define HASH_BYTES         32           /* BLAKE2b-256 */

struct reading {
	struct example_set        *set;
	const struct label_config *config;
	bool                       any_example;
	bool                       words;        /* in place of texts */
	enum token_pattern         pattern;
	struct arena               scratch;
	crypto_generichash_state   hash;
};

static int add(struct example_set *set, const struct example *ex, struct err *e)
{
	if (set->n == set->cap) {
		const size_t    cap = set->cap == 0 ? 1024 : set->cap * 2;
		struct example *grown = realloc(set->v, cap * sizeof *grown);

		if (grown == NULL)
			return err_memory(e);
		set->v = grown;
		set->cap = cap;
	}
	set->v[set->n++] = *ex;
	return 0;
}

/* What is kept was JSON when it came; what a failing disk made of it is not to be
 * read in place. */
static bool is_whole(const struct labelled_row *row)
{
	struct span value;

	/* What stands in place of a document was checked with it; else that is looked at. */
	return (row->label.p != NULL || json_check(row->result, &value, NULL) == 0) &&
	       (row->words.p != NULL || json_check(row->data, &value, NULL) == 0);
}

/* Teaches a row nothing, to no kind of model?  Then it is counted. */
static bool left_out(struct reading *r, const struct labelled_row *row)
{
	struct example_set *set = r->set;

	if (row->was_cancelled || row->overruled) {
		set->n_cancelled += row->was_cancelled;
		set->n_overruled += !row->was_cancelled;
		return true;
	}
	if (is_whole(row))
		return false;
	if (set->n_empty++ == 0)
		log_line(LOG_WARNING, "annotation %lld is damaged in the store, and left out", (long long)row->annotation);
	return true;
}

static bool is_multiple(const struct label_config *config)
{
	return config->choices != NULL && control_multiple(config->choices);
}

/* The labels that a row was given: one, or under choice="multiple" any number.  In
 * the scratch arena.  0; 1 there are none, which is counted; -1. */
struct labels {
	const uint32_t *at;            /* [n] positions among those of config->choices, ascending */
	size_t          n;
};

static int labels_of(struct reading *r, const struct labelled_row *row, struct labels *labels, struct err *e)
{
	struct example_set     *set = r->set;
	enum annotation_outcome outcome;
	struct example          one = { .label = { NULL, 0 } };
	int                     rc;

	*labels = (struct labels){ .n = 0 };
	arena_reset(&r->scratch);
	if (is_multiple(r->config)) {
		rc = annotation_labels(row->result, r->config, &r->scratch, &outcome, &labels->at, &labels->n, e);
	} else if (row->label.p != NULL) {
		one.label = row->label;
		outcome = ANNOTATION_LABEL;
		rc = example_labels(&one, r->config, &r->scratch, &labels->at, &labels->n, e);
	} else {
		rc = annotation_label(row->result, r->config, &r->scratch, &outcome, &one.label, e);
		if (rc == 0 && outcome == ANNOTATION_LABEL)
			rc = example_labels(&one, r->config, &r->scratch, &labels->at, &labels->n, e);
	}
	if (rc < 0)
		return -1;
	set->n_empty += outcome == ANNOTATION_EMPTY;
	set->n_unknown += outcome == ANNOTATION_UNKNOWN_LABEL;
	return outcome != ANNOTATION_LABEL;
}

/* A value behind its length, so that none runs into the next. */
static void hash_add(struct reading *r, struct span s)
{
	unsigned char len[8];

	for (size_t i = 0; i < sizeof len; i++)
		len[i] = (unsigned char)((uint64_t)s.len >> (8 * i));
	crypto_generichash_update(&r->hash, len, sizeof len);
	if (s.len > 0)
		crypto_generichash_update(&r->hash, (const unsigned char *)s.p, s.len);
}

static int copy(struct example_set *set, struct span from, struct span *to, struct err *e)
{
	*to = (struct span){ arena_copy(&set->arena, from), from.len };
	return to->p == NULL ? err_memory(e) : 0;
}

/* A document as one text whatever white space and escapes they came with: an event
 * and an export print the same ones differently. */
static int hash_json(struct reading *r, struct span json, struct err *e)
{
	const enum json_type type = json_type(json);
	struct json_iter     it = json_each(json);
	struct span          key, value;

	if (type == JSON_STRING) {
		if (json_text(json, &r->scratch, &value, e) < 0)
			return -1;
		hash_add(r, SPAN("\""));
		hash_add(r, value);
	} else if (type != JSON_ARRAY && type != JSON_OBJECT) {
		hash_add(r, json);
	} else {
		hash_add(r, it.object ? SPAN("{") : SPAN("["));
		/* It was checked to be no deeper than JSON_DEPTH_MAX. */
		while (json_next(&it, &key, &value))
			if ((it.object && hash_json(r, key, e) < 0) || hash_json(r, value, e) < 0)
				return -1;
		hash_add(r, SPAN("]"));
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

/* Text and label; where there may be several, text, their number and all of them in
 * the order of their names, since the config's order teaches nothing. */
static int hash_example(struct reading *r, struct span text, const struct labels *labels, struct err *e)
{
	struct span *names = arena_array(&r->scratch, labels->n, sizeof *names);
	char         n[24];

	if (names == NULL)
		return err_memory(e);
	for (size_t i = 0; i < labels->n; i++)
		names[i] = span_of(r->config->choices->labels[labels->at[i]].name);
	qsort(names, labels->n, sizeof *names, by_name);
	hash_add(r, text);
	if (is_multiple(r->config)) {
		snprintf(n, sizeof n, "%zu labels", labels->n);
		hash_add(r, span_of(n));
	}
	for (size_t i = 0; i < labels->n; i++)
		hash_add(r, names[i]);
	return 0;
}

/* ---- words -------------------------------------------------------------------- */

/* A text's words in lower case, a space between: the same words again (text/tokenize.h),
 * since what is lower case stays so.  In the arena. */
static int words_of(enum token_pattern pattern, struct span text, struct arena *a, struct span *words, struct err *e)
{
	const size_t     room = tokenize_room(text.len);
	char            *to = arena_alloc(a, 2 * room + 1), *w = to;
	struct tokenizer t;
	struct span      token;

	if (to == NULL)
		return err_memory(e);
	tokenize_begin(&t, text, pattern, to + room);
	while (tokenize_next(&t, &token)) {
		if (w > to)
			*w++ = ' ';
		memcpy(w, token.p, token.len);
		w += token.len;
	}
	*words = (struct span){ to, (size_t)(w - to) };
	return 0;
}

/* The text of a row, or its words: as they were kept, or cut here.  Not in the set's arena. */
static int text_of(struct reading *r, const struct labelled_row *row, struct span *text, struct err *e)
{
	const struct task task = { row->data, row->data };

	*text = SPAN("");
	if (row->words.p != NULL) {
		*text = row->words;
		return 0;
	}
	if (r->config->text != NULL && task_text(&task, r->config->text, &r->scratch, text, e) < 0)
		return -1;
	return r->words ? words_of(r->pattern, *text, &r->scratch, text, e) : 0;
}

static int add_fresh(struct example_set *set, int64_t annotation, struct err *e)
{
	if (set->n_fresh == set->cap_fresh) {
		const size_t cap = set->cap_fresh == 0 ? 64 : set->cap_fresh * 2;
		int64_t     *grown = realloc(set->fresh, cap * sizeof *grown);

		if (grown == NULL)
			return err_memory(e);
		set->fresh = grown;
		set->cap_fresh = cap;
	}
	set->fresh[set->n_fresh++] = annotation;
	return 0;
}

/* ---- all of it ------------------------------------------------------------------ */

static int take_row(void *arg, const struct labelled_row *row, struct err *e)
{
	struct reading     *r = arg;
	struct example_set *set = r->set;
	struct example      ex = { .annotation = row->annotation, .task = row->task };
	struct span         text;
	struct labels       labels = { NULL, 0 };
	int                 rc;

	if (left_out(r, row))
		return 0;
	if ((rc = labels_of(r, row, &labels, e)) < 0)
		return -1;
	if (rc > 0 && !r->any_example)
		return 0;
	if (rc == 0 && labels.n > 0)
		ex.label = span_of(r->config->choices->labels[labels.at[0]].name);
	if (text_of(r, row, &text, e) < 0 || copy(set, text, &ex.text, e) < 0)
		return -1;
	if (r->words && row->words.p == NULL && add_fresh(set, row->annotation, e) < 0)
		return -1;
	if (ex.label.p != NULL) {
		if (hash_example(r, ex.text, &labels, e) < 0)
			return -1;
		set->n_labelled++;
	}
	if ((r->any_example || is_multiple(r->config)) && copy(set, row->result, &ex.result, e) < 0)
		return -1;
	if (r->any_example && (copy(set, row->data, &ex.data, e) < 0 || hash_json(r, row->data, e) < 0 ||
	                       hash_json(r, row->result, e) < 0))
		return -1;
	return add(set, &ex, e);
}

static int read_all(struct reading *r, struct store *st, int64_t project, bool kept, struct err *e)
{
	struct example_set *set = r->set;
	unsigned char       sum[HASH_BYTES];
	int                 rc;

	arena_init(&set->arena, EXAMPLES_BYTES_MAX);
	arena_init(&r->scratch, (size_t)1 << 30);
	crypto_generichash_init(&r->hash, NULL, 0, sizeof sum);
	rc = store_examples(st, project, kept, FIRST_ID, LAST_ID, take_row, r, e);
	crypto_generichash_final(&r->hash, sum, sizeof sum);
	sodium_bin2hex(set->hash, sizeof set->hash, sum, sizeof sum);
	arena_clear(&r->scratch);
	return rc;
}

int examples_read(struct example_set *set, struct store *st, int64_t project, const struct label_config *config,
                  bool any_example, struct err *e)
{
	struct reading r = { .set = set, .config = config, .any_example = any_example };

	*set = (struct example_set){ .n = 0 };
	return read_all(&r, st, project, false, e);
}

int examples_read_words(struct example_set *set, struct store *st, const struct project *p,
                        const struct label_config *config, enum token_pattern pattern, struct err *e)
{
	struct reading r = { .set = set, .config = config, .words = true, .pattern = pattern };
	bool           kept;

	*set = (struct example_set){ .n = 0 };
	snprintf(set->form, sizeof set->form, "%d %s %u %.*s", WORDS_FORMAT, env_token_pattern_name(pattern),
	         tokenize_unicode(), (int)p->config_hash.len, p->config_hash.p == NULL ? "" : p->config_hash.p);
	kept = span_is(p->words_form, set->form);
	set->other_form = !kept;
	return read_all(&r, st, p->row, kept, e);
}

/* ---- keeping ----------------------------------------------------------------------- */

struct keeping {
	struct reading     reading;
	struct example_set set;               /* its counts alone */
	struct store      *st;
	int64_t            project;
	const struct example_set *of;
	char               form[WORDS_FORM_MAX + 40];    /* that the words have meanwhile */
	size_t             at;                /* of->fresh[at] is next; where all are made anew, `next` is */
	int64_t            next;
	size_t             rows, bytes;       /* in this transaction */
	bool               done;
};

static bool is_enough(const struct keeping *k)
{
	return k->rows >= KEEP_ROWS || k->bytes >= KEEP_BYTES;
}

/* Of one annotation, as it is now. */
static int keep_row(void *arg, const struct labelled_row *row, struct err *e)
{
	struct keeping *k = arg;
	struct reading *r = &k->reading;
	struct labels   labels = { NULL, 0 };
	struct span     words = { NULL, 0 }, label = { NULL, 0 };
	int             rc;

	if (is_enough(k)) {
		k->next = row->annotation;
		return err_set(e, ERR_STOPPED, "enough for one transaction");
	}
	k->rows++;
	k->bytes += row->data.len + row->result.len;
	if (!left_out(r, row)) {
		if ((rc = labels_of(r, row, &labels, e)) < 0)
			return -1;
		if (rc == 0 && text_of(r, row, &words, e) < 0)
			return -1;
		if (rc == 0 && labels.n > 0 && !is_multiple(r->config))
			label = span_of(r->config->choices->labels[labels.at[0]].name);
	}
	return store_annotation_words(k->st, k->project, row->annotation, words, label, e);
}

/* All there are by now, not those that were read: another trainer may have kept words of
 * its form for one that came later. */
static int keep_from_next(struct keeping *k, struct err *e)
{
	struct err why = { 0 };

	if (store_examples(k->st, k->project, false, k->next, LAST_ID, keep_row, k, &why) == 0)
		k->done = true;
	else if (why.code != ERR_STOPPED)
		return err_set(e, why.code, "%s", why.msg);
	return 0;
}

static int keep_fresh(struct keeping *k, struct err *e)
{
	const struct example_set *of = k->of;
	int                       rc = 0;

	for (; rc == 0 && k->at < of->n_fresh && !is_enough(k); k->at++)
		rc = store_examples(k->st, k->project, false, of->fresh[k->at], of->fresh[k->at], keep_row, k, e);
	k->done = k->at == of->n_fresh;
	return rc;
}

/* Do the words still have the form that this keeping counts on?  Another trainer may
 * have read another config meanwhile. */
static int form_is(const struct keeping *k, bool *is, struct err *e)
{
	struct project p;
	struct arena   a;
	int            rc;

	arena_init(&a, (size_t)256 << 20);
	rc = store_project_get(k->st, k->project, &a, &p, e);
	*is = rc == 0 && span_is(p.words_form, k->form);
	arena_clear(&a);
	return rc;
}

/* One transaction's worth. */
static int keep_some(struct keeping *k, bool first, bool *ours, struct err *e)
{
	const bool anew = k->of->other_form;
	int        rc;

	if (store_begin(k->st, e) < 0)
		return -1;
	k->rows = k->bytes = 0;
	rc = first && anew ? store_project_words(k->st, k->project, k->form, e) : form_is(k, ours, e);
	if (rc == 0 && *ours)
		rc = anew ? keep_from_next(k, e) : keep_fresh(k, e);
	if (rc == 0 && *ours && anew && k->done)
		rc = store_project_words(k->st, k->project, k->of->form, e);
	if (rc == 0)
		rc = store_commit(k->st, e);
	store_rollback(k->st);
	return rc;
}

int examples_keep_words(const struct example_set *set, struct store *st, int64_t project, const struct label_config *config,
                        enum token_pattern pattern, bool (*goes_on)(void *arg), void *arg, struct err *e)
{
	struct keeping k = { .st = st, .project = project, .of = set, .next = FIRST_ID,
	                     .done = !set->other_form && set->n_fresh == 0,
	                     .reading = { .config = config, .words = true, .pattern = pattern } };
	bool           ours = true;
	double         held_s = 0, since;
	int            rc = 0;

	/* While they are made anew nobody is to use them, and nobody else makes them so. */
	if (set->other_form)
		snprintf(k.form, sizeof k.form, "-%s %08x%08x", set->form, randombytes_random(), randombytes_random());
	else
		snprintf(k.form, sizeof k.form, "%s", set->form);
	k.reading.set = &k.set;
	arena_init(&k.reading.scratch, (size_t)1 << 30);
	for (bool first = true; rc == 0 && ours && !k.done; first = false) {
		if (!goes_on(arg)) {
			rc = err_set(e, ERR_STOPPED, "told to stop");
			break;
		}
		store_leave_turn(held_s);
		since = clock_monotonic();
		rc = keep_some(&k, first, &ours, e);
		held_s = clock_monotonic() - since;
	}
	arena_clear(&k.reading.scratch);
	return rc;
}

struct example *examples_labelled(const struct example_set *set, struct err *e)
{
	struct example *v = calloc(set->n_labelled + 1, sizeof *v);
	size_t          n = 0;

	if (v == NULL) {
		err_memory(e);
		return NULL;
	}
	for (size_t i = 0; i < set->n; i++)
		if (set->v[i].label.p != NULL)
			v[n++] = set->v[i];
	return v;
}

void examples_clear(struct example_set *set)
{
	arena_clear(&set->arena);
	free(set->v);
	free(set->fresh);
	*set = (struct example_set){ .n = 0 };
}

/* ---- only how many ------------------------------------------------------------- */

static int count_row(void *arg, const struct labelled_row *row, struct err *e)
{
	struct reading *r = arg;
	struct labels   labels;
	int             rc;

	if (left_out(r, row))
		return 0;
	if ((rc = labels_of(r, row, &labels, e)) < 0)
		return -1;
	r->set->n += rc == 0 || r->any_example;
	return 0;
}

int examples_count(struct store *st, int64_t project, const struct label_config *config, bool any_example, int64_t *n,
                   struct err *e)
{
	struct example_set set = { .n = 0 };           /* its counts alone */
	struct reading     r = { .set = &set, .config = config, .any_example = any_example };
	int                rc;

	arena_init(&r.scratch, (size_t)1 << 30);
	rc = store_examples(st, project, false, FIRST_ID, LAST_ID, count_row, &r, e);
	arena_clear(&r.scratch);
	*n = (int64_t)set.n;
	return rc;
}

/* ---- only the labels ------------------------------------------------------------- */

struct counting {
	struct reading     reading;
	struct example_set set;           /* its counts alone */
	uint32_t           seen[16];      /* positions */
	size_t             n, enough;
};

static int count_label(void *arg, const struct labelled_row *row, struct err *e)
{
	struct counting *c = arg;
	struct labels    labels = { NULL, 0 };
	int              rc;

	if (left_out(&c->reading, row))
		return 0;
	if ((rc = labels_of(&c->reading, row, &labels, e)) != 0)
		return rc < 0 ? -1 : 0;
	for (size_t i = 0, k; i < labels.n; i++) {
		for (k = 0; k < c->n && c->seen[k] != labels.at[i]; k++)
			;
		if (k < c->n)
			continue;
		c->seen[c->n++] = labels.at[i];
		if (c->n == c->enough)
			return err_set(e, ERR_STOPPED, "enough");
	}
	return 0;
}

int examples_labels(struct store *st, int64_t project, const struct label_config *config, size_t enough, size_t *n,
                    struct err *e)
{
	struct counting c = { .reading = { .config = config } };
	struct err      why = { 0 };
	int             rc;

	c.enough = enough < countof(c.seen) ? enough : countof(c.seen);
	c.reading.set = &c.set;
	arena_init(&c.reading.scratch, (size_t)1 << 30);
	rc = store_examples(st, project, false, FIRST_ID, LAST_ID, count_label, &c, &why);
	arena_clear(&c.reading.scratch);
	*n = c.n;
	return rc == 0 || why.code == ERR_STOPPED ? 0 : err_set(e, why.code, "%s", why.msg);
}
