/* import.c - labelled texts from a file. */
#include "import.h"

#include "base/json.h"
#include "base/log.h"
#include "project.h"
#include "studio/label_config.h"
#include "studio/object_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- JSON lines ------------------------------------------------------------------- */

/* "label": a text or a list of texts, not empty.  0; 1 it is neither; -1. */
static int read_labels(struct span value, struct arena *a, struct jsonl_labels *labels, struct err *e)
{
	struct json_iter it = json_each(value);
	const bool       list = json_type(value) == JSON_ARRAY;
	const size_t     n = list ? json_count(value) : 1;
	struct span     *v = arena_array(a, n, sizeof *v), one = value;
	int              rc = 0;

	if (v == NULL)
		return err_memory(e);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (list)
			(void)json_next(&it, NULL, &one);
		rc = json_text(one, a, &v[i], e);
	}
	*labels = (struct jsonl_labels){ v, rc == 0 ? n : 0, list };
	return rc == 0 && n == 0 ? 1 : rc;
}

/* 0; 1 with `why`: the line can't be used; -1. */
static int read_line(struct span line, struct arena *a, bool need_label, struct span *text,
                     struct jsonl_labels *labels, struct err *why, struct err *e)
{
	struct span object, value;
	int         rc;

	*labels = (struct jsonl_labels){ NULL, 0, false };
	if (json_check(line, &object, why) < 0)
		return 1;
	if (json_type(object) == JSON_STRING && !need_label)
		return json_text(object, a, text, e);
	if (json_member(object, "text", &value) != 0 || (rc = json_text(value, a, text, e)) == 1) {
		err_set(why, ERR_SHAPE, "\"text\" is missing or no string");
		return 1;
	}
	if (rc < 0)
		return -1;
	rc = json_member(object, "label", &value) != 0 ? 1 : read_labels(value, a, labels, e);
	if (rc == 1 && need_label)
		err_set(why, ERR_SHAPE, "\"label\" is missing, or neither a string nor a list of some");
	return rc < 0 ? -1 : rc == 1 && need_label;
}

int jsonl_text(struct span line, struct arena *a, struct span *text, struct err *e)
{
	struct jsonl_labels labels;
	int                 rc = read_line(line, a, false, text, &labels, e, e);

	return rc == 0 ? 0 : -1;
}

int jsonl_read(const char *path, const struct jsonl *how, struct err *e)
{
	FILE        *f = fopen(path, "re");
	struct arena a;
	struct span  text;
	char        *line = NULL;
	struct jsonl_labels labels;
	size_t       cap = 0;
	ssize_t      len;
	int          rc = 0;

	if (f == NULL)
		return err_set(e, errno == ENOMEM ? ERR_MEMORY : ERR_NOT_FOUND, "%.100s: %s", path, strerror(errno));
	arena_init(&a, (size_t)1 << 30);
	for (size_t number = 1; rc == 0 && (len = getline(&line, &cap, f)) >= 0; number++) {
		struct span whole = { line, (size_t)len };
		struct err  why = { 0 };

		while (whole.len > 0 && (whole.p[whole.len - 1] == '\n' || whole.p[whole.len - 1] == '\r'))
			whole.len--;
		if (whole.len == 0)
			continue;
		arena_reset(&a);
		rc = read_line(whole, &a, how->need_label, &text, &labels, &why, e);
		if (rc == 0)
			rc = how->line(how->arg, number, text, &labels, e);
		else if (rc == 1) {
			if (how->bad != NULL)
				how->bad(how->arg, number, why.msg);
			rc = 0;
		}
	}
	/* getline() without memory looks like the end of the file, and is none. */
	if (rc == 0 && !feof(f))
		rc = errno == ENOMEM ? err_memory(e) : err_set(e, ERR_USAGE, "%.100s: %s", path, strerror(errno));
	fclose(f);
	free(line);
	arena_clear(&a);
	return rc;
}

/* ---- into the store ------------------------------------------------------------------ */

struct labels {
	struct arena            arena;
	struct span            *v;
	size_t                  n, cap;
	bool                    multiple;
	struct reconcile_result *result;
};

static void count_bad(void *arg, size_t number, const char *why)
{
	struct labels *l = arg;

	if (l->result->unreadable++ < 10)
		log_line(LOG_WARNING, "line %zu left out: %s", number, why);
}

static int note_label(struct labels *l, struct span label, struct err *e)
{
	for (size_t i = 0; i < l->n; i++)
		if (span_eq(l->v[i], label))
			return 0;
	if (l->n == LABEL_CONFIG_LABELS_MAX)
		return err_set(e, ERR_SHAPE, "more than %d labels", LABEL_CONFIG_LABELS_MAX);
	if (l->n == l->cap) {
		struct span *grown = realloc(l->v, (l->cap * 2 + 64) * sizeof *grown);

		if (grown == NULL)
			return err_memory(e);
		l->v = grown;
		l->cap = l->cap * 2 + 64;
	}
	l->v[l->n] = (struct span){ arena_copy(&l->arena, label), label.len };
	return l->v[l->n++].p == NULL ? err_memory(e) : 0;
}

static int note_line(void *arg, size_t number, struct span text, const struct jsonl_labels *labels, struct err *e)
{
	struct labels *l = arg;

	(void)number;
	(void)text;
	l->multiple |= labels->list;
	for (size_t i = 0; i < labels->n; i++)
		if (note_label(l, labels->v[i], e) < 0)
			return -1;
	return 0;
}

/* Was it any number a text before? */
static bool was_multiple(const struct project *p)
{
	struct label_config *config;
	bool                 multiple;

	if (p->label_config.p == NULL || label_config_parse(&config, p->label_config, NULL) < 0)
		return false;
	multiple = config->choices != NULL && control_multiple(config->choices);
	label_config_free(config);
	return multiple;
}

/* <Choices> with these labels over <Text> of `text`. */
static void put_config(struct buf *b, const struct labels *l)
{
	buf_adds(b, "<View><Text name=\"text\" value=\"$text\"/><Choices name=\"label\" toName=\"text\"");
	buf_adds(b, l->multiple ? " choice=\"multiple\">" : ">");
	for (size_t i = 0; i < l->n; i++)
		label_config_put_choice(b, l->v[i]);
	buf_adds(b, "</Choices></View>");
}

/* A project that only imports have fed: what they bring makes its label set.  One
 * that Label Studio has told us about has Label Studio's. */
static int put_labels(struct store *st, const struct env *env, struct project *p, struct labels *l, struct err *e)
{
	struct json_iter it;
	struct span      value, text;
	struct labels    all = { .n = 0, .multiple = l->multiple || was_multiple(p), .result = l->result };
	struct buf       xml;
	int              rc = 0;

	if (p->created_s != STORE_NULL)
		return 0;
	arena_init(&all.arena, (size_t)64 << 20);
	buf_init(&xml, LABEL_CONFIG_BYTES_MAX);
	for (it = json_each(p->labels.p == NULL ? SPAN("[]") : p->labels); rc == 0 && json_next(&it, NULL, &value);) {
		rc = json_text(value, &all.arena, &text, e);
		if (rc == 0)
			rc = note_label(&all, text, e);
	}
	for (size_t i = 0; rc == 0 && i < l->n; i++)
		rc = note_label(&all, l->v[i], e);
	if (rc == 0) {
		put_config(&xml, &all);
		rc = buf_check(&xml, "the labeling config", e) < 0 ? -1
		     : project_configure(st, env, p, buf_span(&xml), NULL, e);
	}
	buf_clear(&xml);
	free(all.v);
	arena_clear(&all.arena);
	return rc;
}

struct rows {
	struct store            *st;
	int64_t                  project, event, id;
	const char              *from;               /* the config's Choices */
	const struct object_tag *over;               /* and what it is over */
	struct buf               data, result;
	struct reconcile_result *out;
};

static int put_row(void *arg, size_t number, struct span text, const struct jsonl_labels *labels, struct err *e)
{
	struct rows          *r = arg;
	struct task_row       task = { .id = r->id, .updated_us = STORE_NULL };
	struct annotation_row row = { .id = r->id, .task = r->id, .completed_by = STORE_NULL,
	                              .updated_us = STORE_NULL };
	bool                  changed;

	(void)number;
	buf_reset(&r->data);
	buf_reset(&r->result);
	buf_addc(&r->data, '{');
	json_put_text(&r->data, span_of(r->over->value));
	buf_addc(&r->data, ':');
	object_put_text(r->over, text, &r->data);
	buf_addc(&r->data, '}');
	buf_adds(&r->result, "[{\"from_name\":");
	json_put_text(&r->result, span_of(r->from));
	buf_adds(&r->result, ",\"to_name\":");
	json_put_text(&r->result, span_of(r->over->name));
	buf_adds(&r->result, ",\"type\":\"choices\",\"value\":{\"choices\":[");
	for (size_t i = 0; i < labels->n; i++) {
		if (i > 0)
			buf_addc(&r->result, ',');
		json_put_text(&r->result, labels->v[i]);
	}
	buf_adds(&r->result, "]}}]");
	if (buf_check(&r->data, "a text", e) < 0 || buf_check(&r->result, "a label", e) < 0)
		return -1;
	task.data = buf_span(&r->data);
	row.result = buf_span(&r->result);
	if (store_task_put(r->st, r->project, &task, 0, &changed, e) < 0 ||
	    store_annotation_put(r->st, r->project, &row, r->event, 0, &changed, e) < 0)
		return -1;
	r->id++;
	r->out->tasks++;
	r->out->changed += changed;
	return 0;
}

/* The first of n free ids below zero: rows keep the order of the file. */
#define FIRST_ID (-((int64_t)1 << 40))

static int put_rows(struct store *st, int64_t row, const char *path, struct reconcile_result *result, struct err *e)
{
	struct rows          r = { .st = st, .project = row, .out = result };
	const struct jsonl   how = { put_row, NULL, &r, true };
	struct label_config *config = NULL;
	struct project       p;
	struct arena         a;
	int64_t              last;
	int                  rc = -1;

	arena_init(&a, (size_t)256 << 20);
	buf_init(&r.data, (size_t)1 << 30);
	buf_init(&r.result, (size_t)1 << 20);
	if (store_project_get(st, row, &a, &p, e) < 0 || label_config_parse(&config, p.label_config, e) < 0)
		goto out;
	if (config->choices == NULL) {
		err_set(e, ERR_SHAPE, "%s", config->reason);
		goto out;
	}
	r.from = config->choices->name;
	r.over = config->text;
	if (store_annotation_least(st, row, &last, e) < 0)
		goto out;
	r.id = last == STORE_NULL ? FIRST_ID : last + 1;
	if (store_event_add(st, row, "import", "IMPORT", &r.event, e) == 0 && jsonl_read(path, &how, e) == 0)
		rc = store_event_end(st, row, r.event, result->changed, 0, STORE_NULL, e);
out:
	buf_clear(&r.data);
	buf_clear(&r.result);
	label_config_free(config);
	arena_clear(&a);
	return rc;
}

static int import_lines(struct store *st, const struct env *env, int64_t id, const char *path, struct reconcile_result *result, struct err *e)
{
	struct labels      l = { .n = 0, .result = result };
	const struct jsonl how = { note_line, count_bad, &l, true };
	struct project     p;
	int64_t            row;
	int                rc = -1;

	arena_init(&l.arena, (size_t)256 << 20);
	if (jsonl_read(path, &how, e) < 0)
		goto out;
	if (l.n == 0) {
		err_set(e, ERR_SHAPE, "%.100s has no line {\"text\", \"label\"}", path);
		goto out;
	}
	if (store_begin(st, e) < 0)
		goto out;
	if (store_project_ensure(st, id, STORE_NULL, &row, e) < 0 ||
	    store_project_get(st, row, &l.arena, &p, e) < 0 ||
	    put_labels(st, env, &p, &l, e) < 0 || put_rows(st, row, path, result, e) < 0 || store_commit(st, e) < 0)
		store_rollback(st);
	else
		rc = 0;
out:
	free(l.v);
	arena_clear(&l.arena);
	return rc;
}

int import_file(struct store *st, const struct env *env, int64_t id, const char *path, struct reconcile_result *result, struct err *e)
{
	FILE   *f = fopen(path, "re");
	int64_t row;
	int     c;
	bool    whole;

	*result = (struct reconcile_result){ 0 };
	if (f == NULL)
		return err_set(e, errno == ENOMEM ? ERR_MEMORY : ERR_NOT_FOUND, "%.100s: %s", path, strerror(errno));
	do
		c = getc(f);
	while (c == ' ' || c == '\t' || c == '\r' || c == '\n');
	whole = c != EOF || feof(f);
	if (!whole)
		err_set(e, errno == ENOMEM ? ERR_MEMORY : ERR_NOT_FOUND, "%.100s: %s", path, strerror(errno));
	fclose(f);
	if (!whole)
		return -1;
	if (c != '[')
		return import_lines(st, env, id, path, result, e);
	if (store_begin(st, e) < 0)
		return -1;
	if (store_project_ensure(st, id, STORE_NULL, &row, e) < 0 || store_commit(st, e) < 0) {
		store_rollback(st);
		return -1;
	}
	return reconcile_file(st, row, path, result, e);
}
