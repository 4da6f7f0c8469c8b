/*
 * older.h - what Label Studio 1.4 to 1.10 can ask of a backend, and 1.23 no longer does.
 *
 * Read from the packages label-studio 1.4.1, 1.7.0 and 1.10.0, ml/api_connector.py (the
 * bodies) and ml/models.py, ml/api.py (what is done with the answers): a status of 400 or
 * more is an error, and the body of the others has to be JSON.  POST /train is in event.h,
 * POST /versions (1.7) in status.h.
 */
#ifndef OLDER_H
#define OLDER_H

#include "web/serve.h"

/* POST /validate {"config"}: 200 {"status":"ok"} for one that a kind of model serves;
 * else 422 with the reason. */
int older_validate(struct request *req, struct reply *reply, struct err *e);

/* POST /job_status {"job": "12"}: 200 {"job":"12","job_status":…} with `queued`, `started`,
 * `finished`, `failed`, in the words that Label Studio compares with, the times, and in
 * `note` what went wrong; or `removed`, which it makes of a job that nobody knows any more. */
int older_job_status(struct request *req, struct reply *reply, struct err *e);

/* POST /delete {"project"}, POST /duplicate_model {"project_src","project_dst"}: 200, and
 * nothing is deleted or copied; `note` says so.  What annotators did is lost by
 * `prelabel forget` alone, and a model is made of its own project's annotations. */
int older_delete(struct request *req, struct reply *reply, struct err *e);
int older_duplicate_model(struct request *req, struct reply *reply, struct err *e);

#endif
