/* annotated.c - tasks with their annotations put into the store. */
#include "annotated.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "rows.h"

#include <stdio.h>

#define UNREADABLE_LOG 10               /* that are named */

static int tell(const struct annotated *a, int64_t id, struct err *e)
{
	return a->there == NULL ? 0 : a->there(a->arg, id, e);
}

/* What can't be read is counted and named; any other failure is one.  0; -1. */
static int leave_out(struct annotated *a, const struct err *why, struct err *e)
{
	if (why->code != ERR_SHAPE)
		return err_set(e, why->code, "%s", why->msg);
	if (a->unreadable++ < UNREADABLE_LOG)
		log_line(LOG_WARNING, "left out: %s", why->msg);
	return 0;
}

/* An annotation that can't be read is there all the same. */
static int tell_unread(const struct annotated *a, struct span annotation, struct err *e)
{
	int64_t id;

	return tell(a, ls_id_parse(&id, annotation, "annotation", NULL) == 0 ? id : 0, e);
}

/* So are those of a task that can't be read. */
static int tell_all_unread(const struct annotated *a, struct span task, struct err *e)
{
	struct json_iter it;
	struct span      list, annotation;

	if (json_type(task) != JSON_OBJECT)
		return tell(a, 0, e);
	if (json_member(task, "annotations", &list) != 0)
		return 0;
	for (it = json_each(list); json_next(&it, NULL, &annotation); )
		if (tell_unread(a, annotation, e) < 0)
			return -1;
	return 0;
}

static int put_annotation(struct annotated *a, int64_t task, struct span json, const char *where, struct err *e)
{
	struct annotation     one;
	struct annotation_row row;
	struct err            why = { 0 };
	bool                  changed;

	if (annotation_parse(&one, json, where, &why) < 0 ||
	    (one.task != 0 && one.task != task && err_set(&why, ERR_SHAPE, "%s.task is another one", where) < 0))
		return leave_out(a, &why, e) < 0 ? -1 : tell_unread(a, json, e);
	row = annotation_row_of(&one, task);
	if (store_annotation_put(a->st, a->project, &row, a->event, a->since, &changed, e) < 0)
		return -1;
	a->event_changed += changed;
	return tell(a, one.id, e);
}

/* Which annotations the task has is not said: they are not gone for that. */
static int lacks_list(struct annotated *a, int64_t task, struct err *e)
{
	struct err why = { 0 };

	if (!a->whole)
		return 0;
	err_set(&why, ERR_SHAPE, "task %lld.annotations is not an array", (long long)task);
	return leave_out(a, &why, e) < 0 ? -1 : tell(a, 0, e);
}

int annotated_put(struct annotated *a, struct span task, const char *where, struct err *e)
{
	struct task_row  row;
	struct ls_task   t;
	struct json_iter it;
	struct span      list, annotation;
	struct err       why = { 0 };
	char             which[64];
	bool             changed;

	if (ls_task_parse(&t, task, where, &why) < 0)
		return leave_out(a, &why, e) < 0 ? -1 : tell_all_unread(a, task, e);
	row = task_row_of(&t);
	if (store_task_put(a->st, a->project, &row, a->since, &changed, e) < 0)
		return -1;
	a->tasks_changed |= changed;
	if (json_member(task, "annotations", &list) != 0 || json_type(list) != JSON_ARRAY)
		return lacks_list(a, t.id, e);
	it = json_each(list);
	for (size_t i = 0; json_next(&it, NULL, &annotation); i++) {
		snprintf(which, sizeof which, "task %lld: annotations[%zu]", (long long)t.id, i);
		if (put_annotation(a, t.id, annotation, which, e) < 0)
			return -1;
	}
	return 0;
}

int annotated_event(struct annotated *a, int (*work)(void *arg, struct err *e), void *arg, struct err *e)
{
	int64_t before;
	double  since;

	a->event_changed = 0;
	a->tasks_changed = false;
	store_leave_turn(a->held_s);
	if (store_begin(a->st, e) < 0)
		return -1;
	since = clock_monotonic();
	if (store_event_add(a->st, a->project, a->source, "RECONCILE", &a->event, e) < 0)
		goto fail;
	before = store_writes(a->st);
	if (work(arg, e) < 0)
		goto fail;
	if (store_writes(a->st) == before) {
		/* Nothing to wait for the disk for. */
		store_rollback(a->st);
		a->held_s = clock_monotonic() - since;
		return 0;
	}
	/* Where nothing changed, the event says nothing. */
	if ((a->event_changed == 0 && !a->tasks_changed ? store_event_drop(a->st, a->event, e)
	     : store_event_end(a->st, a->project, a->event, a->event_changed, 0, STORE_NULL, e)) < 0 ||
	    store_commit(a->st, e) < 0)
		goto fail;
	a->held_s = clock_monotonic() - since;
	a->changed += a->event_changed;
	return 0;
fail:
	store_rollback(a->st);
	return -1;
}
