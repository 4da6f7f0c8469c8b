/* setup.c - Label Studio connects, or looks whether the backend is still there. */
#include "setup.h"

#include "base/clock.h"
#include "base/json.h"
#include "project.h"
#include "request.h"
#include "serving.h"
#include "trainer.h"

/* With a key, and Label Studio was never asked about this project: what was annotated
 * before it was connected is read in the background, once.  (`prelabel start` sees to it
 * where this program is not given the key.)  0 no, 1 yes, -1. */
static int connects(struct request *req, struct store *st, const struct project *p, struct err *e)
{
	struct job job;

	if (req->env->ls_key == NULL || p->created_s == STORE_NULL || p->fetched_s != STORE_NULL || p->fetch_error.p != NULL)
		return 0;
	return store_job_last(st, p->row, req->arena, &job, e);
}

/* Everything is kept as it is: 0; 1 there is something to write; -1. */
static int unchanged(struct request *req, struct store *st, int64_t id, int64_t created_s, struct span schema,
                     struct span extra, struct project *p, struct err *e)
{
	enum job_state state;
	int64_t        row;
	int            rc = store_project_find(st, id, created_s, &row, e);

	if (rc != 0)
		return rc;
	if (store_project_get(st, row, req->arena, p, e) < 0)
		return -1;
	if ((created_s != STORE_NULL && p->created_s != created_s) || !project_has_config(p, schema) ||
	    !span_eq(p->extra_params, extra))
		return 1;
	if (!project_settings_changed(p, req->env))
		return connects(req, st, p, e);
	return store_job_training(st, row, &state, e) < 0 ? -1 : state == JOB_NONE;
}

static int keep(struct request *req, struct store *st, int64_t id, int64_t created_s, struct span schema,
                struct span extra, struct project *p, struct err *e)
{
	int64_t row;
	int     first;

	if (store_begin(st, e) < 0)
		return -1;
	if (store_project_ensure(st, id, created_s, &row, e) < 0 ||
	    store_project_extra(st, row, extra, e) < 0 || store_project_get(st, row, req->arena, p, e) < 0 ||
	    project_configure(st, req->env, p, schema, NULL, e) < 0)
		return -1;
	if (project_settings_changed(p, req->env) &&
	    store_job_queue(st, row, "settings", clock_s(), NULL, e) < 0)
		return -1;
	if ((first = connects(req, st, p, e)) < 0 ||
	    (first == 1 && store_job_queue(st, row, "connect", clock_s(), NULL, e) < 0))
		return -1;
	return store_project_get(st, row, req->arena, p, e) < 0 ? -1 : store_commit(st, e);
}

int setup_project(struct request *req, struct reply *reply, struct err *e)
{
	struct context *c = request_context(req);
	struct span     body, schema, extra;
	struct project  p;
	struct serving *s;
	struct store   *st;
	int64_t         id, created_s;
	int             rc;

	if (request_object(req, &body, e) < 0)
		return -1;
	if ((rc = request_project(req, body, "project", &id, &created_s, e)) != 0)
		return rc < 0 ? -1 : err_set(e, ERR_SHAPE, "project is missing");
	if ((rc = request_text(req, body, "schema", &schema, e)) != 0)
		return rc < 0 ? -1 : err_set(e, ERR_SHAPE, "schema is missing");
	if (json_member(body, "extra_params", &extra) != 0 || json_type(extra) == JSON_NULL)
		extra = (struct span){ NULL, 0 };
	if (schema.len > LABEL_CONFIG_BYTES_MAX)
		return err_set(e, ERR_SHAPE, "schema has %zu bytes, the limit is %zu", schema.len, LABEL_CONFIG_BYTES_MAX);

	if (context_store(c, &st, e) < 0 || (rc = unchanged(req, st, id, created_s, schema, extra, &p, e)) < 0 ||
	    (rc == 1 && keep(req, st, id, created_s, schema, extra, &p, e) < 0) ||
	    serving_get_checked(st, req->env, &p, schema, &s, e) < 0) {
		context_failed(c, e);
		return -1;
	}
	/* The string is the one that /predict gives with its answers: both take it
	 * from the same place, after the same checks of what is stored. */
	buf_adds(&reply->body, "{\"model_version\":");
	json_put_text(&reply->body, span_of(s->version));
	buf_addc(&reply->body, '}');
	serving_release(s);
	reply->after = trainer_after_reply;
	return buf_check(&reply->body, "the answer", e);
}
