/* examples.c - what a project's annotations teach. */
#include "examples.h"

#include "base/json.h"
#include "base/log.h"
#include "digest.h"
#include "studio/annotation.h"

#include <stdio.h>
#include <stdlib.h>

#define EXAMPLES_BYTES_MAX ((size_t)8 << 30)

struct reading {
	struct example_set        *set;
	const struct label_config *config;
	bool                       any_example;
	struct arena               scratch;
	crypto_hash_sha256_state   hash;
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

	return json_check(row->result, &value, NULL) == 0 && json_check(row->data, &value, NULL) == 0;
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
		digest_add(&r->hash, SPAN("\""));
		digest_add(&r->hash, value);
	} else if (type != JSON_ARRAY && type != JSON_OBJECT) {
		digest_add(&r->hash, json);
	} else {
		digest_add(&r->hash, it.object ? SPAN("{") : SPAN("["));
		/* It was checked to be no deeper than JSON_DEPTH_MAX. */
		while (json_next(&it, &key, &value))
			if ((it.object && hash_json(r, key, e) < 0) || hash_json(r, value, e) < 0)
				return -1;
		digest_add(&r->hash, SPAN("]"));
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
	digest_add(&r->hash, text);
	if (is_multiple(r->config)) {
		snprintf(n, sizeof n, "%zu labels", labels->n);
		digest_add(&r->hash, span_of(n));
	}
	for (size_t i = 0; i < labels->n; i++)
		digest_add(&r->hash, names[i]);
	return 0;
}

static int take_row(void *arg, const struct labelled_row *row, struct err *e)
{
	struct reading     *r = arg;
	struct example_set *set = r->set;
	struct example      ex = { .annotation = row->annotation, .task = row->task };
	struct task         task = { row->data, row->data };
	struct span         text = SPAN("");
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
	if ((r->config->text != NULL && task_text(&task, r->config->text, &r->scratch, &text, e) < 0) ||
	    copy(set, text, &ex.text, e) < 0)
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

int examples_read(struct example_set *set, struct store *st, int64_t project, const struct label_config *config,
                  bool any_example, struct err *e)
{
	struct reading r = { .set = set, .config = config, .any_example = any_example };
	unsigned char  sum[crypto_hash_sha256_BYTES];
	int            rc;

	*set = (struct example_set){ .n = 0 };
	arena_init(&set->arena, EXAMPLES_BYTES_MAX);
	arena_init(&r.scratch, (size_t)1 << 30);
	crypto_hash_sha256_init(&r.hash);
	rc = store_examples(st, project, take_row, &r, e);
	crypto_hash_sha256_final(&r.hash, sum);
	sodium_bin2hex(set->hash, sizeof set->hash, sum, sizeof sum);
	arena_clear(&r.scratch);
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
	rc = store_examples(st, project, count_row, &r, e);
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
	rc = store_examples(st, project, count_label, &c, &why);
	arena_clear(&c.reading.scratch);
	*n = c.n;
	return rc == 0 || why.code == ERR_STOPPED ? 0 : err_set(e, why.code, "%s", why.msg);
}
