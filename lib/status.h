/* status.h - what is going on: for people and for Label Studio. */
#ifndef STATUS_H
#define STATUS_H

#include "store/store.h"
#include "web/serve.h"

#include <json-c/json.h>

#define PRELABEL_VERSION "0.1.0"

int status_health(struct request *req, struct reply *reply, struct err *e);      /* GET / /health /livez */
int status_versions(struct request *req, struct reply *reply, struct err *e);    /* GET /versions; POST (1.7) */
int status_status(struct request *req, struct reply *reply, struct err *e);      /* GET /status */
int status_job(struct request *req, struct reply *reply, struct err *e);         /* GET /job_status */

/*
 * One project as a document, the caller's (json_object_put):
 *
 *	{"project", "created", "title", "state", "model_version", "counter",
 *	 "start_training_each_n_updates", "annotations", "skipped", "tasks", "labels", "reason",
 *	 "version": {…} or null, "job": {…} or null, "last_webhook", "refused_webhooks",
 *	 "last_refused", "cure", "last_answer", "last_fetch", "fetch_error"}
 *
 * `state` is one sentence: "waiting for 3 more annotations", "training 42 %", …
 * `refused_webhooks` are those of all projects together; `cure` is null unless one was
 * refused and none was taken for this project since.  `last_answer`: of Label Studio, to
 * a call about this project.  GET /job_status has the sentence as "doing".
 * NULL: *e says why.
 */
json_object *status_project(struct store *st, const struct env *env, int64_t row, struct err *e);

/* A project's versions, newest first, version 0 last: [{"model_version", "number",
 * "in_force", "trained_at", "examples", …}].  The caller's. */
json_object *status_version_list(struct store *st, const struct env *env, int64_t row, struct err *e);

#endif
