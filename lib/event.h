/* event.h - a webhook event in, a stored change, a counter and perhaps a job out. */
#ifndef EVENT_H
#define EVENT_H

#include "web/serve.h"

/* POST /webhook (protocol.md 6).  One write transaction: annotation upserts or
 * deletes, the counter moved by the rows that changed, a training queued if due.
 * 201 stored, 200 for what changes nothing;
 * {"status":"ok","counter":7,"training":"no"}. */
int event_webhook(struct request *req, struct reply *reply, struct err *e);

/* POST /train: a training now; 202 {"job": 12}. */
int event_train(struct request *req, struct reply *reply, struct err *e);

#endif
