/* event.h - a webhook event in, a stored change, a counter and perhaps a job out. */
#ifndef EVENT_H
#define EVENT_H

#include "web/serve.h"

/* POST /webhook (protocol.md 6).  One write transaction: annotation upserts or
 * deletes, the counter moved by the rows that changed, a training queued if due.
 * 201 stored, 200 for what changes nothing;
 * {"status":"ok","counter":7,"training":"no"}. */
int event_webhook(struct request *req, struct reply *reply, struct err *e);

/*
 * POST /train: a training now; 202 {"job": 12}.
 *
 * Label Studio 1.4 to 1.10 sends its config and all annotated tasks along, in the form of
 * an export ({"annotations", "project", "label_config", "params"}; ml/api_connector.py):
 * they are taken in first, by updated_at like events, in short transactions; nothing is
 * deleted.  202 {"job": 12, "changed": 8, "unreadable": 0}; `note` where they had to be
 * left alone.  A task that can't be read is counted, named in the log and stops nothing.
 */
int event_train(struct request *req, struct reply *reply, struct err *e);

#endif
