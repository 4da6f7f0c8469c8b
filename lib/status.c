/* status.c - what is going on: for people and for Label Studio. */
#include "status.h"

#include "base/clock.h"
#include "base/meter.h"
#include "brief.h"
#include "document.h"
#include "examples.h"
#include "request.h"
#include "serving.h"
#include "web/auth.h"

#include <stdio.h>

#define ARENA_BYTES ((size_t)256 << 20)
#define LABELS_MIN  2                /* that make a model */

/* ---- GET / /health /livez ------------------------------------------------------ */

/* The kind that serves where a project does not choose: of Choices over Text. */
static const char *usual_kind(const struct env *env)
{
	static const struct object_tag         text = { .name = "text", .type = "Text", .value = "text" };
	static const struct object_tag *const  input = &text;
	static const char *const               to_name = "text";
	static const struct control_tag        choices = { .name = "label", .type = "Choices", .choice = "single", .to_name = &to_name,
	                                                   .n_to_name = 1, .inputs = &input, .n_inputs = 1 };
	static const struct label_config       config = { .controls = &choices, .n_controls = 1, .choices = &choices, .text = &text };
	const struct model_settings            settings = { .command = env->model_command };
	const struct model_kind               *kind[MODEL_KINDS_MAX];

	if (env->model != NULL)
		return env->model;
	return model_kinds_for(&config, NULL, &settings, kind) > 0 ? kind[0]->name : "none";
}

int status_health(struct request *req, struct reply *reply, struct err *e)
{
	buf_addf(&reply->body, "{\"status\":\"UP\",\"model_class\":\"%s\",\"version\":\"" PRELABEL_VERSION "\"}",
	         usual_kind(req->env));
	return buf_check(&reply->body, "the answer", e);
}

/* ---- documents ------------------------------------------------------------------- */

static void add_int(json_object *o, const char *key, int64_t n, bool *ok)
{
	if (n == STORE_NULL)
		document_add_null(o, key, ok);
	else
		document_add(o, key, json_object_new_int64(n), ok);
}

static void add_text(json_object *o, const char *key, struct span s, bool *ok)
{
	if (s.p == NULL)
		document_add_null(o, key, ok);
	else
		document_add(o, key, json_object_new_string_len(s.p, s.len > 1 << 20 ? 1 << 20 : (int)s.len), ok);
}

static void add_time(json_object *o, const char *key, int64_t s, bool *ok)
{
	char iso[CLOCK_ISO_BYTES];

	add_text(o, key, s == STORE_NULL ? (struct span){ NULL, 0 } : span_of(clock_iso(s, iso)), ok);
}

static void add_real(json_object *o, const char *key, double x, bool *ok)
{
	char text[40];

	snprintf(text, sizeof text, "%.6g", x);
	document_add(o, key, json_object_new_double_s(x, text), ok);
}

static json_object *job_document(const struct job *j, struct err *e)
{
	json_object *o = json_object_new_object();
	bool         ok = o != NULL;

	if (ok) {
		add_int(o, "job", j->row, &ok);
		add_text(o, "state", span_of(job_state_names[j->state]), &ok);
		add_text(o, "reason", j->reason, &ok);
		add_int(o, "attempt", j->attempt, &ok);
		add_time(o, "queued", j->queued_s, &ok);
		add_time(o, "started", j->started_s, &ok);
		add_time(o, "finished", j->finished_s, &ok);
		if (j->state == JOB_RUNNING)
			add_real(o, "progress", j->progress, &ok);
		add_int(o, "version", j->version_number, &ok);
		add_text(o, "note", j->note, &ok);
	}
	return document_finished(o, ok, e);
}

static json_object *version_document(const struct version *v, const char *text, bool in_force, struct err *e)
{
	json_object *o = json_object_new_object(), *left = NULL, *held_out = NULL;
	bool         ok = o != NULL;

	if (!ok)
		return document_finished(o, ok, e);
	add_text(o, "model_version", span_of(text), &ok);
	add_int(o, "number", v->number, &ok);
	document_add(o, "in_force", json_object_new_boolean(in_force), &ok);
	if (v->row != 0) {
		add_text(o, "kind", v->kind, &ok);
		add_time(o, "trained_at", v->created_s, &ok);
		add_real(o, "seconds", v->train_seconds, &ok);
		add_int(o, "examples", v->n_examples, &ok);
		left = json_object_new_object();
		if (left != NULL) {
			add_int(left, "skipped", v->n_cancelled, &ok);
			add_int(left, "empty", v->n_empty, &ok);
			add_int(left, "unknown_label", v->n_unknown, &ok);
			add_int(left, "overruled", v->n_overruled, &ok);
		}
		document_add(o, "left_out", left, &ok);
		add_text(o, "token_pattern", v->token_pattern, &ok);
		add_real(o, "logistic_regression_c", v->logreg_c, &ok);
		if (v->n_held_out == STORE_NULL) {
			document_add_null(o, "held_out", &ok);
		} else if ((held_out = json_object_new_object()) != NULL) {
			add_int(held_out, "n", v->n_held_out, &ok);
			add_real(held_out, "accuracy", v->accuracy, &ok);
			add_real(held_out, "macro_f1", v->macro_f1, &ok);
			add_real(held_out, "log_loss", v->log_loss, &ok);
			document_add(o, "held_out", held_out, &ok);
		} else {
			ok = false;
		}
		document_add(o, "kept", json_object_new_boolean(v->has_parts && !v->damaged), &ok);
		document_add(o, "damaged", json_object_new_boolean(v->damaged), &ok);
	}
	return document_finished(o, ok, e);
}

/* ---- version strings ---------------------------------------------------------------- */

/* The config to name versions by; one without Choices where none is known. */
static int config_of(const struct project *p, struct label_config **config, struct err *e)
{
	return label_config_replay(config, p->label_config.p == NULL ? SPAN("<View/>") : p->label_config, p->config_elements, e);
}

static int version_text(const struct env *env, const struct project *p, const struct label_config *config,
                        const struct version *v, struct arena *a, char out[VERSION_TEXT_MAX], struct err *e)
{
	const struct version_of of = { v->examples_hash, v->formats, v->number };

	return serving_version(env, config, serving_kinds(env, p, a), v->row == 0 ? NULL : &of, out, e);
}

json_object *status_version_list(struct store *st, const struct env *env, int64_t row, struct err *e)
{
	struct label_config *config = NULL;
	struct version      *list, cold = { .row = 0 };
	struct project       p;
	struct arena         a;
	json_object         *out = json_object_new_array(), *one;
	char                 text[VERSION_TEXT_MAX];
	size_t               n;
	int                  rc = -1;

	arena_init(&a, ARENA_BYTES);
	if (out == NULL)
		err_memory(e);
	else if (store_project_get(st, row, &a, &p, e) == 0 && config_of(&p, &config, e) == 0)
		rc = store_version_list(st, row, &a, &list, &n, e);
	for (size_t i = 0; rc == 0 && i <= n; i++) {
		const struct version *v = i < n ? &list[i] : &cold;

		one = version_text(env, &p, config, v, &a, text, e) < 0 ? NULL
		      : version_document(v, text, v->row == p.version.row, e);
		if (one == NULL)
			rc = -1;
		else if (json_object_array_add(out, one) != 0) {
			json_object_put(one);
			rc = err_memory(e);
		}
	}
	label_config_free(config);
	arena_clear(&a);
	if (rc == 0)
		return out;
	json_object_put(out);
	return NULL;
}

/* ---- one project ----------------------------------------------------------------------- */

static void state_text(const struct project *p, const struct env *env, const struct job *job, bool has_job,
                       size_t n_labels, char out[STATUS_STATE_MAX])
{
	int64_t counter = p->updates - p->updates_trained, missing = env->train_every - counter;
	char    iso[CLOCK_ISO_BYTES];

	if (has_job && (job->state == JOB_RUNNING || job->state == JOB_QUEUED) &&
	    (span_is(job->reason, "connect") || span_is(job->reason, "sync")))
		snprintf(out, STATUS_STATE_MAX, job->note.p == NULL ? "reading what is annotated in Label Studio"
		         : "reading what is annotated in Label Studio, again: %s", job->note.p == NULL ? "" : job->note.p);
	else if (has_job && job->state == JOB_RUNNING)
		snprintf(out, STATUS_STATE_MAX, "training %.0f %%", job->progress * 100);
	else if (has_job && job->state == JOB_QUEUED)
		snprintf(out, STATUS_STATE_MAX, job->note.p == NULL ? "training queued" : "training queued again: %s",
		         job->note.p == NULL ? "" : job->note.p);
	else if (p->reason.p != NULL)
		snprintf(out, STATUS_STATE_MAX, "%s", p->reason.p);
	else if (has_job && job->state == JOB_FAILED)
		snprintf(out, STATUS_STATE_MAX, "last training failed: %s", job->note.p == NULL ? "" : job->note.p);
	else if (has_job && job->state == JOB_SKIPPED)
		snprintf(out, STATUS_STATE_MAX, "not trained: %s", job->note.p == NULL ? "" : job->note.p);
	else if (n_labels < LABELS_MIN)
		snprintf(out, STATUS_STATE_MAX, "needs %d labels, has %zu", LABELS_MIN, n_labels);
	else if (p->version.row == 0)
		snprintf(out, STATUS_STATE_MAX, "waiting for %lld more annotation%s", (long long)missing, missing == 1 ? "" : "s");
	else if (missing > 0)
		snprintf(out, STATUS_STATE_MAX, "waiting for %lld more annotation%s; serving version %lld since %s", (long long)missing,
		         missing == 1 ? "" : "s", (long long)p->version.number, clock_iso(p->version.created_s, iso));
	else
		snprintf(out, STATUS_STATE_MAX, "serving version %lld since %s", (long long)p->version.number, clock_iso(p->version.created_s, iso));
}

/* Webhooks that were refused are nobody's: who sent them did not say, or is not believed.
 * The cure is for who has had none since; within the second, either may have been last. */
static void add_refused(json_object *o, const struct env *env, const struct project *p, bool *ok)
{
	struct meter m;
	int64_t      n = 0, last = 0;

	if (meter_peek(env->model_dir, &m)) {
		n = (int64_t)meter_refused(&m);
		last = (int64_t)m.counter[METER_REFUSED_S];
	}
	add_int(o, "refused_webhooks", n, ok);
	add_time(o, "last_refused", last == 0 ? STORE_NULL : last, ok);
	add_text(o, "cure", last != 0 && (p->webhook_s == STORE_NULL || p->webhook_s <= last)
	         ? SPAN(AUTH_WEBHOOK_CURE) : (struct span){ NULL, 0 }, ok);
}

static json_object *labels_document(struct span labels, struct arena *a)
{
	const char *text = labels.p == NULL ? "[]" : arena_copy(a, labels);

	return text == NULL ? NULL : json_tokener_parse(text);
}

json_object *status_project(struct store *st, const struct env *env, int64_t row, struct err *e)
{
	struct project_counts counts;
	struct label_config  *config = NULL;
	struct version       *list = NULL, *v = NULL, cold = { .row = 0 };
	struct project        p;
	struct arena          a;
	struct job            job = { .row = 0 };
	struct push_row       pushed = { .error = { NULL, 0 } };
	json_object          *o = NULL;
	char                  text[VERSION_TEXT_MAX], state[STATUS_STATE_MAX];
	size_t                n = 0, n_labels = LABELS_MIN;
	bool                  ok = true, has_job;
	int                   rc;

	arena_init(&a, ARENA_BYTES);
	if (store_project_get(st, row, &a, &p, e) < 0 || store_project_counts(st, row, &counts, e) < 0 ||
	    (rc = store_job_last(st, row, &a, &job, e)) < 0 || config_of(&p, &config, e) < 0 ||
	    store_version_list(st, row, &a, &list, &n, e) < 0 || store_push_get(st, row, &a, &pushed, e) < 0)
		goto out;
	has_job = rc == 0;
	for (size_t i = 0; i < n; i++)
		if (list[i].row == p.version.row)
			v = &list[i];
	if (version_text(env, &p, config, v == NULL ? &cold : v, &a, text, e) < 0)
		goto out;
	/* What was trained once had enough of them. */
	if (v == NULL && config->choices != NULL && examples_labels(st, row, config, LABELS_MIN, &n_labels, e) < 0)
		goto out;
	state_text(&p, env, &job, has_job, n_labels, state);
	o = json_object_new_object();
	if (o == NULL) {
		err_memory(e);
		goto out;
	}
	add_int(o, "project", p.id, &ok);
	add_time(o, "created", p.created_s, &ok);
	add_text(o, "title", p.title, &ok);
	add_text(o, "state", span_of(state), &ok);
	add_text(o, "model_version", span_of(text), &ok);
	add_int(o, "counter", p.updates - p.updates_trained, &ok);
	add_int(o, "start_training_each_n_updates", env->train_every, &ok);
	add_int(o, "updates", p.updates, &ok);
	add_int(o, "updates_trained", p.updates_trained, &ok);
	add_int(o, "unread", p.unread, &ok);
	add_int(o, "annotations", counts.annotations, &ok);
	add_int(o, "skipped", counts.cancelled, &ok);
	add_int(o, "tasks", counts.tasks, &ok);
	document_add(o, "labels", labels_document(p.labels, &a), &ok);
	add_text(o, "reason", p.reason, &ok);
	if (v == NULL)
		document_add_null(o, "version", &ok);
	else
		document_add(o, "version", version_document(v, text, true, e), &ok);
	if (has_job)
		document_add(o, "job", job_document(&job, e), &ok);
	else
		document_add_null(o, "job", &ok);
	add_time(o, "last_webhook", p.webhook_s, &ok);
	add_refused(o, env, &p, &ok);
	add_time(o, "last_answer", p.api_s, &ok);
	add_time(o, "last_fetch", p.fetched_s, &ok);
	add_text(o, "fetch_error", p.fetch_error, &ok);
	add_text(o, "push_error", pushed.error, &ok);
	o = document_finished(o, ok, e);
out:
	label_config_free(config);
	arena_clear(&a);
	return o;
}

int status_brief(struct store *st, const struct env *env, int64_t row, char version[VERSION_TEXT_MAX],
                 char state[STATUS_STATE_MAX], struct err *e)
{
	json_object *o = status_project(st, env, row, e);

	if (o == NULL)
		return -1;
	snprintf(version, VERSION_TEXT_MAX, "%s", json_object_get_string(json_object_object_get(o, "model_version")));
	snprintf(state, STATUS_STATE_MAX, "%s", json_object_get_string(json_object_object_get(o, "state")));
	json_object_put(o);
	return 0;
}

/* ---- requests ------------------------------------------------------------------------------ */

/* Appends the document and ends it. */
static int put_document(struct reply *reply, json_object *o, struct err *e)
{
	if (o == NULL)
		return -1;
	document_put(&reply->body, o);
	json_object_put(o);
	return buf_check(&reply->body, "the answer", e);
}

/* ?project=N, or {"project"} of a POST: 0; 1 none was named; -1 (ERR_NOT_FOUND when it
 * is not known). */
static int named_project(struct request *req, struct store *st, int64_t *row, struct err *e)
{
	struct span body;
	int64_t     id, created_s;
	int         rc = request_query_project(req, &id, &created_s, e);

	if (rc == 1 && req->method == POST) {
		if (request_object(req, &body, e) < 0)
			return -1;
		rc = request_project(req, body, "project", &id, &created_s, e);
	}
	if (rc == 0 && (rc = store_project_find(st, id, created_s, row, e)) == 1)
		return err_set(e, ERR_NOT_FOUND, "project %lld is not known", (long long)id);
	return rc;
}

/* {"KEY": [one(row) for each project]} */
static json_object *of_all(struct request *req, struct store *st, const char *key,
                           json_object *(*one)(struct store *, const struct env *, int64_t, struct err *),
                           struct err *e)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array(), *doc;
	int64_t     *rows;
	size_t       n = 0;
	bool         ok = o != NULL && list != NULL &&
	                  store_project_rows(st, req->arena, &rows, &n, e) == 0;

	for (size_t i = 0; ok && i < n; i++) {
		doc = one(st, req->env, rows[i], e);
		if (doc == NULL || json_object_array_add(list, doc) != 0) {
			json_object_put(doc);
			ok = false;
		}
	}
	if (ok && json_object_object_add(o, key, list) == 0)
		return o;
	json_object_put(list);
	json_object_put(o);
	err_memory(e);
	return NULL;
}

static json_object *version_in_force(struct store *st, const struct env *env, int64_t row, struct err *e)
{
	json_object *project = status_project(st, env, row, e), *text = NULL;

	if (project == NULL)
		return NULL;
	text = json_object_get(json_object_object_get(project, "model_version"));
	json_object_put(project);
	return text;
}

int status_versions(struct request *req, struct reply *reply, struct err *e)
{
	struct context *c = request_context(req);
	json_object    *o, *list, *all = NULL;
	struct store   *st;
	int64_t         row;
	int             rc;
	bool            ok = true;

	if (context_store(c, &st, e) < 0 || (rc = named_project(req, st, &row, e)) < 0)
		goto fail;
	if (rc != 0) {
		o = of_all(req, st, "versions", version_in_force, e);
	} else {
		all = status_version_list(st, req->env, row, e);
		o = all == NULL ? NULL : json_object_new_object();
		list = o == NULL ? NULL : json_object_new_array();
		for (size_t i = 0; list != NULL && i < json_object_array_length(all); i++) {
			json_object *v = json_object_array_get_idx(all, i);

			document_append(list, json_object_get(json_object_object_get(v, "model_version")), &ok);
		}
		if (all != NULL) {
			document_add(o, "versions", list, &ok);
			o = document_finished(o, ok, e);
		}
		json_object_put(all);
	}
	if (put_document(reply, o, e) == 0)
		return 0;
fail:
	context_failed(c, e);
	return -1;
}

int status_status(struct request *req, struct reply *reply, struct err *e)
{
	struct context *c = request_context(req);
	struct store   *st;
	int64_t         row;
	int             rc;

	if (context_store(c, &st, e) < 0 || (rc = named_project(req, st, &row, e)) < 0 ||
	    put_document(reply, rc == 0 ? status_project(st, req->env, row, e)
	                                : of_all(req, st, "projects", status_project, e), e) < 0) {
		context_failed(c, e);
		return -1;
	}
	return 0;
}

static json_object *last_job(struct store *st, const struct env *env, int64_t row, struct err *e)
{
	json_object *project = status_project(st, env, row, e), *o = NULL;
	bool         ok = true;

	if (project == NULL)
		return NULL;
	o = json_object_object_get(project, "job");
	o = o == NULL ? json_object_new_object() : json_object_get(o);
	if (o != NULL) {
		document_add(o, "project", json_object_get(json_object_object_get(project, "project")), &ok);
		document_add(o, "doing", json_object_get(json_object_object_get(project, "state")), &ok);
	}
	json_object_put(project);
	return document_finished(o, ok, e);
}

int status_job(struct request *req, struct reply *reply, struct err *e)
{
	struct context *c = request_context(req);
	struct store   *st;
	struct job      job;
	json_object    *o;
	int64_t         row, id;
	int             rc, by_id;

	if ((by_id = request_query_number(req, "job", &id, e)) < 0)
		return -1;
	if (context_store(c, &st, e) < 0)
		goto fail;
	if (by_id == 0) {
		rc = store_job_get(st, id, req->arena, &job, e);
		if (rc == 1)
			return err_set(e, ERR_NOT_FOUND, "job %lld is not known", (long long)id);
		o = rc < 0 ? NULL : job_document(&job, e);
	} else {
		if ((rc = named_project(req, st, &row, e)) < 0)
			goto fail;
		o = rc == 0 ? last_job(st, req->env, row, e) : of_all(req, st, "jobs", last_job, e);
	}
	if (put_document(reply, o, e) == 0)
		return 0;
fail:
	context_failed(c, e);
	return -1;
}
