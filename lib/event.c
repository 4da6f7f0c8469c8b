/* event.c - a webhook event in, a stored change, a counter and perhaps a job out. */
#include "event.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "intake.h"
#include "project.h"
#include "request.h"
#include "rows.h"
#include "studio/annotation.h"
#include "trainer.h"

#include <stdio.h>

/* What the event says, and what came of it. */
struct event {
	struct request *req;
	struct store   *st;
	struct span     body;
	struct project  project;       /* the one it belongs to */
	int64_t         row;           /* event.row */
	int64_t         changed;       /* annotation rows */
	bool            other_change;  /* something else that is kept */
	bool            task_changed;  /* or a task, in passing */
};

/* ---- effects --------------------------------------------------------------- */

static int put_task(struct event *ev, struct span json, const char *where, struct err *e)
{
	struct task_row row;
	struct ls_task  t;
	bool            changed;

	if (ls_task_parse(&t, json, where, e) < 0)
		return -1;
	row = task_row_of(&t);
	if (store_task_put(ev->st, ev->project.row, &row, 0, &changed, e) < 0)
		return -1;
	ev->task_changed |= changed;
	return 0;
}

static int put_annotation(struct event *ev, struct span json, const char *where, struct err *e)
{
	struct annotation     a;
	struct annotation_row row;
	bool                  changed;

	if (annotation_parse(&a, json, where, e) < 0)
		return -1;
	if (a.task == 0)
		return err_set(e, ERR_SHAPE, "%s.task is missing", where);
	row = annotation_row_of(&a, a.task);
	if (store_annotation_put(ev->st, ev->project.row, &row, ev->row, 0, &changed, e) < 0)
		return -1;
	ev->changed += changed;
	return 0;
}

/* Calls one() for a member that is an object, or for each element of a list. */
static int each_object(struct event *ev, const char *key,
                       int (*one)(struct event *, struct span, const char *, struct err *), bool needed,
                       struct err *e)
{
	struct json_iter it;
	struct span      value, element;
	char             where[64];

	if (json_member(ev->body, key, &value) != 0)
		return needed ? err_set(e, ERR_SHAPE, "%s is missing", key) : 0;
	if (json_type(value) == JSON_OBJECT)
		return one(ev, value, key, e);
	if (json_type(value) != JSON_ARRAY)
		return err_set(e, ERR_SHAPE, "%s is neither an object nor a list", key);
	it = json_each(value);
	for (size_t i = 0; json_next(&it, NULL, &element); i++) {
		snprintf(where, sizeof where, "%s[%zu]", key, i);
		if (one(ev, element, where, e) < 0)
			return -1;
	}
	return 0;
}

/* Tasks first: an annotation of a task that was deleted is refused by the store. */
static int upsert(struct event *ev, struct err *e)
{
	if (each_object(ev, "task", put_task, false, e) < 0)
		return -1;
	return each_object(ev, "annotation", put_annotation, true, e);
}

static int delete_annotation(struct event *ev, struct span json, const char *where, struct err *e)
{
	int64_t id, changed;

	if (ls_id_parse(&id, json, where, e) < 0 ||
	    store_annotation_delete(ev->st, ev->project.row, id, ev->row, &changed, e) < 0)
		return -1;
	ev->changed += changed;
	return 0;
}

static int delete_task(struct event *ev, struct span json, const char *where, struct err *e)
{
	int64_t id, changed;

	if (ls_id_parse(&id, json, where, e) < 0 ||
	    store_task_delete(ev->st, ev->project.row, id, ev->row, &changed, e) < 0)
		return -1;
	ev->changed += changed;
	ev->other_change = true;
	return 0;
}

static int delete_annotations(struct event *ev, struct err *e)
{
	return each_object(ev, "annotations", delete_annotation, true, e);
}

/* The singular is of no release that is known (protocol.md 6.2): clients of others send
 * it, with one annotation in place of the list. */
static int delete_one_or_more(struct event *ev, struct err *e)
{
	struct span list;

	return each_object(ev, json_member(ev->body, "annotations", &list) == 0 ? "annotations" : "annotation",
	                   delete_annotation, true, e);
}

static int delete_tasks(struct event *ev, struct err *e)
{
	return each_object(ev, "tasks", delete_task, true, e);
}

static int take_config(struct event *ev, struct err *e)
{
	struct span project, text;
	bool        changed = false;
	int         rc;

	if (json_member(ev->body, "project", &project) != 0)
		return 0;
	rc = request_text(ev->req, project, "title", &text, e);
	if (rc < 0 || (rc == 0 && !span_eq(text, ev->project.title) &&
	               store_project_title(ev->st, ev->project.row, text, e) < 0))
		return -1;
	ev->other_change |= rc == 0 && !span_eq(text, ev->project.title);
	rc = request_text(ev->req, project, "label_config", &text, e);
	if (rc == 0)
		rc = project_configure(ev->st, ev->req->env, &ev->project, text, &changed, e);
	ev->other_change |= changed;
	return rc < 0 ? -1 : 0;
}

/* The config of a project that has none yet.  One that can't be read must not cost
 * the annotation that came with it: /setup will say what is wrong with it. */
static int adopt_config(struct event *ev, struct err *e)
{
	struct err why = { 0 };

	if (take_config(ev, &why) == 0)
		return 0;
	if (why.code != ERR_SHAPE)
		return err_set(e, why.code, "%s", why.msg);
	log_line(LOG_WARNING, "project %lld: %s", (long long)ev->project.id, why.msg);
	return 0;
}

static int start_training(struct event *ev, struct err *e)
{
	if (adopt_config(ev, e) < 0 || store_job_queue(ev->st, ev->project.row, "start", clock_s(), NULL, e) < 0)
		return -1;
	ev->other_change = true;
	return 0;
}

/* An action that is not here is answered 200 and left alone, as Label Studio's own
 * backend does; TASKS_CREATED has nothing to train on. */
static const struct action {
	const char *name;
	int       (*apply)(struct event *ev, struct err *e);
	bool        webhook;       /* comes with the webhook's headers */
} actions[] = {
	{ "ANNOTATION_CREATED",  upsert,             true  },
	{ "ANNOTATION_UPDATED",  upsert,             true  },
	{ "ANNOTATIONS_CREATED", upsert,             true  },
	{ "ANNOTATIONS_DELETED", delete_annotations, true  },
	{ "ANNOTATION_DELETED",  delete_one_or_more, true  },
	{ "TASKS_DELETED",       delete_tasks,       true  },
	{ "PROJECT_UPDATED",     take_config,        true  },
	{ "START_TRAINING",      start_training,     false },
};

/* ---- which project ----------------------------------------------------------- */

/* The payload's project; 1: the event has none. */
static int payload_project(struct request *req, struct span body, int64_t *id, int64_t *created_s, struct err *e)
{
	struct span project, value, text;
	int64_t     us;

	*created_s = STORE_NULL;
	if (json_member(body, "project", &project) != 0 || json_type(project) == JSON_NULL)
		return 1;
	if (json_type(project) != JSON_OBJECT)
		return request_project(req, body, "project", id, created_s, e);
	if (json_member(project, "id", &value) != 0)
		return err_set(e, ERR_SHAPE, "project.id is missing");
	if (json_int(value, 1, INT64_MAX - 1, id) < 0)
		return err_set(e, ERR_SHAPE, "project.id is not an id");
	if (json_member(project, "created_at", &value) == 0 && json_type(value) != JSON_NULL) {
		if (json_text(value, req->arena, &text, NULL) != 0 || clock_parse_iso(text, &us) < 0)
			return err_set(e, ERR_SHAPE, "project.created_at is not a time");
		*created_s = us >= 0 ? us / 1000000 : (us - 999999) / 1000000;
	}
	return 0;
}

/* ---- applying one -------------------------------------------------------------- */

/* Queues what is due; leaves *state as it is then. */
static int queue_if_due(struct store *st, const struct env *env, const struct project *p, enum job_state *state,
                        struct err *e)
{
	int64_t counter = p->updates - p->updates_trained;

	if (counter >= env->train_every) {
		if (store_job_queue(st, p->row, "updates", clock_s(), NULL, e) < 0)
			return -1;
	} else if (env->ls_key != NULL && p->unread > 0 && counter + p->unread >= env->train_every) {
		/* Events that only said that something happened: Label Studio knows what. */
		if (store_job_queue(st, p->row, "unread", clock_s(), NULL, e) < 0)
			return -1;
	}
	return store_job_training(st, p->row, state, e);
}

/* One project's share of an event, within a transaction. */
static int apply(struct event *ev, const struct action *act, bool payload, enum job_state *state, struct err *e)
{
	struct project *p = &ev->project;
	int64_t         row = p->row;

	if (store_event_add(ev->st, row, "webhook", act->name, &ev->row, e) < 0)
		return -1;
	if (payload && p->label_config.p == NULL && adopt_config(ev, e) < 0)
		return -1;
	if ((payload || act->apply == start_training) && act->apply(ev, e) < 0)
		return -1;
	if (store_event_end(ev->st, row, ev->row, ev->changed, payload || act->apply == start_training ? 0 : 1,
	                    clock_s(), e) < 0)
		return -1;
	/* A project whose events change nothing is never trained, and nobody would clear its record. */
	if (ev->changed == 0 && !ev->other_change && !ev->task_changed && store_event_drop(ev->st, ev->row, e) < 0)
		return -1;
	if (store_project_get(ev->st, row, ev->req->arena, p, e) < 0)
		return -1;
	return queue_if_due(ev->st, ev->req->env, p, state, e);
}

static void put_answer(struct buf *b, const struct project *p, enum job_state state)
{
	buf_adds(b, "{\"status\":\"ok\"");
	if (p != NULL)
		buf_addf(b, ",\"counter\":%lld", (long long)(p->updates - p->updates_trained));
	buf_addf(b, ",\"training\":\"%s\"}", job_state_names[state]);
}

static int apply_to_one(struct event *ev, const struct action *act, int64_t id, int64_t created_s, bool payload,
                        struct reply *reply, struct err *e)
{
	enum job_state state;
	int64_t        row;

	/* A payload may make its project; a number in the URL names one that is known. */
	if (!payload) {
		int rc = store_project_find(ev->st, id, created_s, &row, e);

		if (rc == 1)
			put_answer(&reply->body, NULL, JOB_NONE);
		if (rc != 0)
			return rc < 0 ? -1 : 0;
	} else if (store_project_ensure(ev->st, id, created_s, &row, e) < 0) {
		return -1;
	}
	if (store_project_get(ev->st, row, ev->req->arena, &ev->project, e) < 0 ||
	    apply(ev, act, payload, &state, e) < 0)
		return -1;
	reply->status = ev->changed > 0 || ev->other_change || !payload ? 201 : 200;
	put_answer(&reply->body, &ev->project, state);
	return 0;
}

/* The action alone, no word about the project: it may be any. */
static int apply_to_all(struct event *ev, const struct action *act, struct reply *reply, struct err *e)
{
	enum job_state state = JOB_NONE, one;
	int64_t       *rows;
	size_t         n;

	if (store_project_rows(ev->st, ev->req->arena, &rows, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (store_project_get(ev->st, rows[i], ev->req->arena, &ev->project, e) < 0 ||
		    apply(ev, act, false, &one, e) < 0)
			return -1;
		state = one > state ? one : state;
	}
	reply->status = n > 0 ? 201 : 200;
	put_answer(&reply->body, n == 1 ? &ev->project : NULL, state);
	return 0;
}

static int answer_unchanged(struct event *ev, int64_t id, int64_t created_s, bool known, struct reply *reply,
                            struct err *e)
{
	enum job_state state = JOB_NONE;
	int64_t        row;
	int            rc = known ? store_project_find(ev->st, id, created_s, &row, e) : 1;

	if (rc == 0 && (store_project_get(ev->st, row, ev->req->arena, &ev->project, e) < 0 ||
	                store_job_training(ev->st, row, &state, e) < 0))
		rc = -1;
	put_answer(&reply->body, rc == 0 ? &ev->project : NULL, state);
	return rc < 0 ? -1 : 0;
}

/*
 * Label Studio 1.4 to 1.10, with the flag ff_back_dev_1417_… on, asks for a training by
 * PROJECT_UPDATED.  It comes from the client of /setup and /predict, "heartex/1.10.0", as
 * START_TRAINING does later; the event of that name from "python-requests/2.28.1".
 */
static bool asks_for_training(const struct request *req, struct span name)
{
	const char *agent = request_param(req, "HTTP_USER_AGENT");

	return span_is(name, "PROJECT_UPDATED") && agent != NULL && strncmp(agent, "heartex/", 8) == 0;
}

static const struct action *action_named(struct span name)
{
	for (size_t i = 0; i < countof(actions); i++)
		if (span_is(name, actions[i].name))
			return &actions[i];
	return NULL;
}

int event_webhook(struct request *req, struct reply *reply, struct err *e)
{
	struct context      *c = request_context(req);
	struct event         ev = { .req = req };
	const struct action *act;
	struct span          name;
	int64_t              id = 0, created_s = STORE_NULL;
	int                  rc, none, in_query = 1;

	if (request_object(req, &ev.body, e) < 0) {
		/* What is no JSON is no START_TRAINING: who lacks the secret hears no more. */
		struct err refused = { 0 };

		if (request_needs_secret(req, &refused) < 0)
			*e = refused;
		return -1;
	}
	if ((rc = request_text(req, ev.body, "action", &name, e)) != 0)
		return rc < 0 ? -1 : err_set(e, ERR_SHAPE, "action is missing");
	act = action_named(asks_for_training(req, name) ? SPAN("START_TRAINING") : name);
	if ((act != NULL && !act->webhook ? request_needs_basic(req, e) : request_needs_secret(req, e)) < 0)
		return -1;
	if ((none = payload_project(req, ev.body, &id, &created_s, e)) < 0)
		return -1;
	if (none == 1 && (in_query = request_query_project(req, &id, &created_s, e)) < 0)
		return -1;
	if (context_store(c, &ev.st, e) < 0)
		goto fail;
	if (act == NULL) {
		if (answer_unchanged(&ev, id, created_s, none == 0 || in_query == 0, reply, e) < 0)
			goto fail;
		return buf_check(&reply->body, "the answer", e);
	}
	if (store_begin(ev.st, e) < 0)
		goto fail;
	rc = none == 0 || in_query == 0 ? apply_to_one(&ev, act, id, created_s, none == 0, reply, e)
	                                : apply_to_all(&ev, act, reply, e);
	if (rc < 0 || store_commit(ev.st, e) < 0)
		goto fail;
	log_line(LOG_INFO, "project %lld: %s, %lld rows changed", (long long)id, act->name, (long long)ev.changed);
	reply->after = trainer_after_reply;
	return buf_check(&reply->body, "the answer", e);
fail:
	context_failed(c, e);
	return -1;
}

/* ---- POST /train ------------------------------------------------------------------ */

/* The project that is meant: named in the query or the body, or the only one.  One that
 * comes with its tasks is made where it is not known. */
static int train_project(struct request *req, struct store *st, struct span body, bool with_tasks, int64_t *row,
                         struct err *e)
{
	int64_t id, created_s, *rows;
	size_t  n;
	int     rc = request_query_project(req, &id, &created_s, e);

	if (rc == 1 && body.p != NULL)
		rc = payload_project(req, body, &id, &created_s, e);
	if (rc < 0)
		return -1;
	if (rc == 0) {
		rc = store_project_find(st, id, created_s, row, e);
		if (rc == 1 && with_tasks)
			return store_project_ensure(st, id, created_s, row, e);
		return rc == 1 ? err_set(e, ERR_NOT_FOUND, "project %lld is not known", (long long)id) : rc;
	}
	if (store_project_rows(st, req->arena, &rows, &n, e) < 0)
		return -1;
	if (n != 1)
		return err_set(e, ERR_SHAPE, n == 0 ? "no project is known" : "project is missing, and %zu are known", n);
	*row = rows[0];
	return 0;
}

/* Older releases send the labeling config along.  One that can't be read must not cost
 * the tasks that come with it: /setup says what is wrong with it. */
static int train_config(struct request *req, struct store *st, struct span body, int64_t row, struct err *e)
{
	struct project p;
	struct span    text;
	struct err     why = { 0 };
	int            rc = body.p == NULL ? 1 : request_text(req, body, "label_config", &text, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (store_project_get(st, row, req->arena, &p, e) < 0)
		return -1;
	if (project_configure(st, req->env, &p, text, NULL, &why) < 0) {
		if (why.code != ERR_SHAPE)
			return err_set(e, why.code, "%s", why.msg);
		log_line(LOG_WARNING, "project %lld: %s", (long long)p.id, why.msg);
	}
	return 0;
}

/*
 * And all annotated tasks, as an export has them.  Like START_TRAINING this request never
 * carries webhook headers: with WEBHOOK_SECRET set and not given it starts the training,
 * and what it says of annotations is not believed.  *refused says that.
 */
static int train_tasks(struct request *req, struct store *st, struct span tasks, int64_t row,
                       struct intake *took, struct err *refused, struct err *e)
{
	if (request_needs_secret(req, refused) < 0) {
		log_line(LOG_WARNING, "the annotations of /train are left alone: %s", refused->msg);
		return 0;
	}
	return intake_tasks(st, row, tasks, took, e);
}

static void put_train_answer(struct buf *b, int64_t job, bool with_tasks, const struct intake *took,
                             const struct err *refused)
{
	buf_addf(b, "{\"job\":%lld", (long long)job);
	if (with_tasks)
		buf_addf(b, ",\"changed\":%lld,\"unreadable\":%lld", (long long)took->changed,
		         (long long)took->unreadable);
	if (refused->code != ERR_OK)
		buf_addf(b, ",\"note\":\"the annotations are left alone: %s\"", refused->msg);
	buf_addc(b, '}');
}

int event_train(struct request *req, struct reply *reply, struct err *e)
{
	struct context *c = request_context(req);
	struct intake   took = { 0 };
	struct span     body = { NULL, 0 }, tasks = { NULL, 0 };
	struct store   *st;
	struct err      refused = { 0 };
	int64_t         row, job;

	if (req->body.len > 0 && request_object(req, &body, e) < 0)
		return -1;
	if (body.p != NULL && json_member(body, "annotations", &tasks) == 0 && json_type(tasks) == JSON_NULL)
		tasks.p = NULL;
	if (tasks.p != NULL && json_type(tasks) != JSON_ARRAY)
		return err_set(e, ERR_SHAPE, "annotations is not a list");

	if (context_store(c, &st, e) < 0 || store_begin(st, e) < 0 ||
	    train_project(req, st, body, tasks.p != NULL, &row, e) < 0 || train_config(req, st, body, row, e) < 0 ||
	    store_commit(st, e) < 0)
		goto fail;
	/* Before the job is there to be taken by a trainer. */
	if (tasks.p != NULL && train_tasks(req, st, tasks, row, &took, &refused, e) < 0)
		goto fail;
	if (store_begin(st, e) < 0 || store_job_queue(st, row, "start", clock_s(), &job, e) < 0 ||
	    store_commit(st, e) < 0)
		goto fail;
	put_train_answer(&reply->body, job, tasks.p != NULL, &took, &refused);
	reply->status = 202;
	reply->after = trainer_after_reply;
	return buf_check(&reply->body, "the answer", e);
fail:
	context_failed(c, e);
	return -1;
}
