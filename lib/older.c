/* older.c - the requests of older Label Studio releases. */
#include "older.h"

#include "base/clock.h"
#include "base/json.h"
#include "models/model.h"
#include "request.h"
#include "store/store.h"
#include "studio/label_config.h"

/* ---- POST /validate --------------------------------------------------------------- */

int older_validate(struct request *req, struct reply *reply, struct err *e)
{
	const struct model_settings settings = { .command = req->env->model_command };
	const struct model_kind    *kind[MODEL_KINDS_MAX];
	struct label_config        *config;
	struct span                 body, xml;
	int                         rc;

	if (request_object(req, &body, e) < 0)
		return -1;
	if ((rc = request_text(req, body, "config", &xml, e)) != 0)
		return rc < 0 ? -1 : err_set(e, ERR_SHAPE, "config is missing");
	if (label_config_parse(&config, xml, e) < 0)
		return -1;
	if (model_kinds_for(config, req->env->model, &settings, kind) == 0)
		rc = err_set(e, ERR_SHAPE, "config: %s",
		             config->reason != NULL ? config->reason : "no kind of model serves it");
	label_config_free(config);
	buf_adds(&reply->body, "{\"status\":\"ok\"}");
	return rc < 0 ? -1 : buf_check(&reply->body, "the answer", e);
}

/* ---- POST /job_status --------------------------------------------------------------- */

/* A training that found nothing to learn from is over like any other: `note` says why. */
static const char *const words[JOB__MAX] = {
	[JOB_NONE] = "removed", [JOB_QUEUED] = "queued", [JOB_RUNNING] = "started", [JOB_DONE] = "finished",
	[JOB_SKIPPED] = "finished", [JOB_FAILED] = "failed",
};

static void put_time(struct buf *b, const char *key, int64_t s)
{
	char iso[CLOCK_ISO_BYTES];

	buf_addf(b, ",\"%s\":", key);
	if (s == STORE_NULL)
		buf_adds(b, "null");
	else
		json_put_text(b, span_of(clock_iso(s, iso)));
}

static void put_job(struct buf *b, struct span id, const struct job *job)
{
	buf_adds(b, "{\"job\":");
	json_put_text(b, id);
	buf_addf(b, ",\"job_status\":\"%s\"", words[job->state]);
	if (job->state != JOB_NONE) {
		put_time(b, "enqueued_at", job->queued_s);
		put_time(b, "started_at", job->started_s);
		put_time(b, "ended_at", job->finished_s);
		buf_adds(b, ",\"note\":");
		if (job->note.p == NULL)
			buf_adds(b, "null");
		else
			json_put_text(b, job->note);
	}
	buf_addc(b, '}');
}

/* The job's number, as it came in the answer to /train, or any text: an id that another
 * backend gave out under this address before.  0; -1. */
static int job_asked(const struct request *req, struct span body, struct span *id, int64_t *row, struct err *e)
{
	struct span value;
	int64_t     n = 0;

	if (json_member(body, "job", &value) != 0)
		return err_set(e, ERR_SHAPE, "job is missing");
	*id = value;
	if (json_type(value) == JSON_STRING) {
		if (json_text(value, req->arena, id, e) < 0)
			return -1;
	} else if (json_int(value, 1, INT64_MAX, &n) < 0) {
		return err_set(e, ERR_SHAPE, "job is neither a number nor a string");
	}
	*row = 0;
	for (size_t i = 0; i < id->len; i++) {
		if (id->len > 18 || id->p[i] < '0' || id->p[i] > '9') {
			*row = 0;
			break;
		}
		*row = *row * 10 + (id->p[i] - '0');
	}
	return 0;
}

int older_job_status(struct request *req, struct reply *reply, struct err *e)
{
	struct context *c = request_context(req);
	struct store   *st;
	struct job      job = { .state = JOB_NONE };
	struct span     body, id;
	int64_t         row;
	int             rc = 1;

	if (request_object(req, &body, e) < 0 || job_asked(req, body, &id, &row, e) < 0)
		return -1;
	if (context_store(c, &st, e) < 0 || (row > 0 && (rc = store_job_get(st, row, req->arena, &job, e)) < 0)) {
		context_failed(c, e);
		return -1;
	}
	if (rc == 1)
		job.state = JOB_NONE;
	put_job(&reply->body, id, &job);
	return buf_check(&reply->body, "the answer", e);
}

/* ---- POST /delete, /duplicate_model ------------------------------------------------------ */

/* A member that has to be there. */
static int project_named(const struct request *req, struct span body, const char *key, int64_t *id,
                         int64_t *created_s, struct err *e)
{
	int rc = request_project(req, body, key, id, created_s, e);

	return rc == 1 ? err_set(e, ERR_SHAPE, "%s is missing", key) : rc;
}

int older_delete(struct request *req, struct reply *reply, struct err *e)
{
	struct span body;
	int64_t     id, created_s;

	if (request_object(req, &body, e) < 0 || project_named(req, body, "project", &id, &created_s, e) < 0)
		return -1;
	buf_addf(&reply->body, "{\"status\":\"ok\",\"note\":\"nothing is deleted here: annotations, trainings and "
	         "models of project %lld stay until prelabel forget --project %lld\"}", (long long)id, (long long)id);
	return buf_check(&reply->body, "the answer", e);
}

int older_duplicate_model(struct request *req, struct reply *reply, struct err *e)
{
	struct span body;
	int64_t     src, dst, created_s;

	if (request_object(req, &body, e) < 0 || project_named(req, body, "project_src", &src, &created_s, e) < 0 ||
	    project_named(req, body, "project_dst", &dst, &created_s, e) < 0)
		return -1;
	buf_addf(&reply->body, "{\"status\":\"ok\",\"note\":\"nothing is copied: a model is made of its own "
	         "project's annotations, and project %lld learns from those that it has\"}", (long long)dst);
	return buf_check(&reply->body, "the answer", e);
}
