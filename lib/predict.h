/* predict.h - tasks in, predictions out. */
#ifndef PREDICT_H
#define PREDICT_H

#include "serving.h"
#include "web/serve.h"

/* POST /predict (protocol.md 4.3, 4.5): reads only, never waits for a training.
 * {"results": […]}: one entry a task, in order. */
int predict_tasks(struct request *req, struct reply *reply, struct err *e);

/* One text through what serves a project; for the command line and evaluation.
 * p's memory is the scratch arena's and the model's. */
int predict_text(const struct serving *s, struct span text, struct arena *scratch, struct prediction *p,
                 struct err *e);

#endif
