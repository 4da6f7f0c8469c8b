/* intake.c - annotated tasks that came in a request, in the form of an export. */
#include "intake.h"

#include "base/json.h"
#include "base/log.h"
#include "rows.h"

#include <stdio.h>

#define BATCH_TASKS   200               /* of one write transaction: webhooks wait for it */
#define UNREADABLE_LOG 10               /* that are named */

struct batch {
	struct store  *st;
	int64_t        project, event;
	int64_t        changed;         /* annotation rows, by this event */
	bool           task_changed;
	struct intake *result;
};

/* What can't be read is counted and named; any other failure is one.  0; -1. */
static int leave_out(struct batch *b, const struct err *why, struct err *e)
{
	if (why->code != ERR_SHAPE)
		return err_set(e, why->code, "%s", why->msg);
	if (b->result->unreadable++ < UNREADABLE_LOG)
		log_line(LOG_WARNING, "left out: %s", why->msg);
	return 0;
}

static int take_annotation(struct batch *b, int64_t task, struct span json, const char *where, struct err *e)
{
	struct annotation     a;
	struct annotation_row row;
	struct err            why = { 0 };
	bool                  changed;

	if (annotation_parse(&a, json, where, &why) < 0)
		return leave_out(b, &why, e);
	row = annotation_row_of(&a, task);
	if (store_annotation_put(b->st, b->project, &row, b->event, 0, &changed, e) < 0)
		return -1;
	b->changed += changed;
	return 0;
}

static int take_task(struct batch *b, struct span json, const char *where, struct err *e)
{
	struct task_row  row;
	struct ls_task   t;
	struct json_iter it;
	struct span      list, annotation;
	struct err       why = { 0 };
	char             which[96];
	bool             changed;

	if (ls_task_parse(&t, json, where, &why) < 0)
		return leave_out(b, &why, e);
	row = task_row_of(&t);
	if (store_task_put(b->st, b->project, &row, 0, &changed, e) < 0)
		return -1;
	b->task_changed |= changed;
	if (json_member(json, "annotations", &list) != 0)
		return 0;
	it = json_each(list);
	for (size_t i = 0; json_next(&it, NULL, &annotation); i++) {
		snprintf(which, sizeof which, "%s.annotations[%zu]", where, i);
		if (take_annotation(b, t.id, annotation, which, e) < 0)
			return -1;
	}
	return 0;
}

/* The next tasks in one transaction with its event, which counts what they change. */
static int take_batch(struct batch *b, struct json_iter *it, size_t *at, bool *more, struct err *e)
{
	struct span task;
	char        where[48];

	b->changed = 0;
	b->task_changed = false;
	if (store_begin(b->st, e) < 0)
		return -1;
	if (store_event_add(b->st, b->project, "export", "RECONCILE", &b->event, e) < 0)
		goto fail;
	for (size_t n = 0; n < BATCH_TASKS && (*more = json_next(it, NULL, &task)); n++) {
		snprintf(where, sizeof where, "annotations[%zu]", (*at)++);
		if (take_task(b, task, where, e) < 0)
			goto fail;
	}
	if ((b->changed == 0 && !b->task_changed ? store_event_drop(b->st, b->event, e)
	     : store_event_end(b->st, b->project, b->event, b->changed, 0, STORE_NULL, e)) < 0 ||
	    store_commit(b->st, e) < 0)
		goto fail;
	b->result->changed += b->changed;
	return 0;
fail:
	store_rollback(b->st);
	return -1;
}

int intake_tasks(struct store *st, int64_t project, struct span tasks, struct intake *result, struct err *e)
{
	struct batch     b = { .st = st, .project = project, .result = result };
	struct json_iter it = json_each(tasks);
	size_t           at = 0;
	bool             more = true;

	*result = (struct intake){ 0 };
	while (more)
		if (take_batch(&b, &it, &at, &more, e) < 0)
			return -1;
	return 0;
}
