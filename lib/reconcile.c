/* reconcile.c - the store brought in line with what Label Studio has. */
#include "reconcile.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "project.h"
#include "rows.h"
#include "studio/ls_api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH_TASKS 1000                       /* of one write transaction */
#define BATCH_BYTES ((size_t)4 << 20)
#define IDS_BYTES   ((size_t)2 << 30)
#define FILE_TASK_MAX ((size_t)64 << 20)

/*
 * Tasks are held back until a batch is full, so that the write lock is taken for
 * one short transaction a batch, never while a task is waited for.
 */
struct reading {
	struct store            *st;
	int64_t                  project;
	int64_t                  id;          /* Label Studio's of the project; 0: a file, of whichever */
	const char              *source;      /* of the events: "export" or "import" */
	int64_t                  since;       /* event.row when the reading began; 0: revive nothing */
	struct buf               batch;       /* the tasks' JSON, one behind the other */
	size_t                   end[BATCH_TASKS];
	size_t                   n;
	int64_t                 *seen;        /* annotation ids */
	size_t                   n_seen, cap_seen;
	bool                     tasks_changed; /* by the event that is open */
	bool                     nameless;    /* there was an annotation whose id can't be read */
	struct reconcile_result *result;
};

static int note_seen(struct reading *r, int64_t id, struct err *e)
{
	int64_t *grown;

	if (r->n_seen == r->cap_seen) {
		r->cap_seen = r->cap_seen == 0 ? 1024 : r->cap_seen * 2;
		grown = realloc(r->seen, r->cap_seen * sizeof *grown);
		if (grown == NULL)
			return err_memory(e);
		r->seen = grown;
	}
	r->seen[r->n_seen++] = id;
	return 0;
}

/* An annotation that can't be read is there all the same. */
static int note_unread(struct reading *r, struct span annotation, struct err *e)
{
	int64_t id;

	if (ls_id_parse(&id, annotation, "annotation", NULL) == 0)
		return note_seen(r, id, e);
	r->nameless = true;
	return 0;
}

/* Those of a task that can't be read. */
static int note_all_unread(struct reading *r, struct span task, struct err *e)
{
	struct json_iter it;
	struct span      list, annotation;

	r->nameless |= json_type(task) != JSON_OBJECT;
	if (json_member(task, "annotations", &list) != 0)
		return 0;
	for (it = json_each(list); json_next(&it, NULL, &annotation); )
		if (note_unread(r, annotation, e) < 0)
			return -1;
	return 0;
}

/* What can't be read is counted and named, and stops nothing. */
static int unreadable(struct reading *r, struct err *why, struct err *e)
{
	if (why->code != ERR_SHAPE)
		return err_set(e, why->code, "%s", why->msg);
	if (r->result->unreadable++ < 10)
		log_line(LOG_WARNING, "left out: %s", why->msg);
	err_clear(why);
	return 0;
}

static int put_annotations(struct reading *r, const struct ls_task *t, struct span list, int64_t event,
                           int64_t *changed, struct err *e)
{
	struct annotation     a;
	struct annotation_row row;
	struct json_iter      it = json_each(list);
	struct span           json;
	struct err            why = { 0 };
	char                  where[64];
	bool                  one;

	for (size_t i = 0; json_next(&it, NULL, &json); i++) {
		snprintf(where, sizeof where, "task %lld: annotations[%zu]", (long long)t->id, i);
		if (annotation_parse(&a, json, where, &why) < 0 ||
		    (a.task != 0 && a.task != t->id && err_set(&why, ERR_SHAPE, "%s.task is another one", where) < 0)) {
			if (unreadable(r, &why, e) < 0 || note_unread(r, json, e) < 0)
				return -1;
			continue;
		}
		row = annotation_row_of(&a, t->id);
		if (store_annotation_put(r->st, r->project, &row, event, r->since, &one, e) < 0 ||
		    note_seen(r, a.id, e) < 0)
			return -1;
		*changed += one;
	}
	return 0;
}

/* Label Studio says of which project a task is; that of another is no export of ours. */
static int check_project(const struct reading *r, struct span task, struct err *e)
{
	struct span value;
	int64_t     id;

	if (r->id == 0 || json_member(task, "project", &value) != 0 || json_type(value) == JSON_NULL ||
	    (json_int(value, 1, INT64_MAX, &id) == 0 && id == r->id))
		return 0;
	return err_set(e, ERR_REMOTE, "Label Studio's export has a task of another project than %lld", (long long)r->id);
}

static int put_task(struct reading *r, struct span json, int64_t event, int64_t *changed, struct err *e)
{
	struct task_row row;
	struct ls_task  t;
	struct span     list;
	struct err      why = { 0 };
	bool            one;

	r->result->tasks++;
	if (check_project(r, json, e) < 0)
		return -1;
	if (ls_task_parse(&t, json, "task", &why) < 0)
		return unreadable(r, &why, e) < 0 ? -1 : note_all_unread(r, json, e);
	row = task_row_of(&t);
	if (store_task_put(r->st, r->project, &row, r->since, &one, e) < 0)
		return -1;
	r->tasks_changed |= one;
	if (json_member(json, "annotations", &list) == 0 && json_type(list) == JSON_ARRAY)
		return put_annotations(r, &t, list, event, changed, e);
	if (r->id == 0)
		return 0;
	/* Which ones it has is not said: they are not gone for that. */
	r->nameless = true;
	err_set(&why, ERR_SHAPE, "task %lld.annotations is not an array", (long long)t.id);
	return unreadable(r, &why, e);
}

/* One write transaction with its event, ended by its counter. */
static int in_event(struct reading *r, int (*work)(struct reading *, int64_t event, int64_t *changed, struct err *),
                    struct err *e)
{
	int64_t event, changed = 0, before;

	r->tasks_changed = false;
	if (store_begin(r->st, e) < 0)
		return -1;
	if (store_event_add(r->st, r->project, r->source, "RECONCILE", &event, e) < 0)
		goto fail;
	before = store_writes(r->st);
	if (work(r, event, &changed, e) < 0)
		goto fail;
	if (store_writes(r->st) == before) {
		/* Nothing to wait for the disk for. */
		store_rollback(r->st);
		return 0;
	}
	if (changed == 0 && !r->tasks_changed) {
		/* Nothing did: the event says nothing. */
		if (store_event_drop(r->st, event, e) < 0)
			goto fail;
	} else if (store_event_end(r->st, r->project, event, changed, 0, STORE_NULL, e) < 0) {
		goto fail;
	}
	if (store_commit(r->st, e) < 0)
		goto fail;
	r->result->changed += changed;
	return 0;
fail:
	store_rollback(r->st);
	return -1;
}

static int write_batch(struct reading *r, int64_t event, int64_t *changed, struct err *e)
{
	size_t at = 0;

	for (size_t i = 0; i < r->n; at = r->end[i++])
		if (put_task(r, (struct span){ r->batch.p + at, r->end[i] - at }, event, changed, e) < 0)
			return -1;
	return 0;
}

static int flush(struct reading *r, struct err *e)
{
	if (r->n > 0 && in_event(r, write_batch, e) < 0)
		return -1;
	r->n = 0;
	buf_reset(&r->batch);
	return 0;
}

static int take_task(void *arg, struct span json, struct err *e)
{
	struct reading *r = arg;

	buf_add(&r->batch, json.p, json.len);
	if (buf_check(&r->batch, "a batch of tasks", e) < 0)
		return -1;
	r->end[r->n++] = r->batch.len;
	return r->n == BATCH_TASKS || r->batch.len >= BATCH_BYTES ? flush(r, e) : 0;
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* What the store has and the export lacks is gone, unless an event that came
 * since the reading began has touched it. */
static int delete_missing(struct reading *r, int64_t event, int64_t *changed, struct err *e)
{
	struct arena a;
	int64_t     *ids, one;
	size_t       n, at = 0;
	int          rc;

	arena_init(&a, IDS_BYTES);
	rc = store_annotation_ids(r->st, r->project, r->since, &a, &ids, &n, e);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		while (at < r->n_seen && r->seen[at] < ids[i])
			at++;
		if (at < r->n_seen && r->seen[at] == ids[i])
			continue;
		rc = store_annotation_delete(r->st, r->project, ids[i], event, &one, e);
		*changed += one;
		r->result->deleted += one;
	}
	arena_clear(&a);
	return rc;
}

/* The reading came to its end: what it did not show is gone. */
static int finish_reading(struct reading *r, struct err *e)
{
	if (r->nameless) {
		log_line(LOG_WARNING, "nothing is taken for deleted: the export has annotations that can't be told apart");
		return 0;
	}
	if (r->n_seen > 0)              /* qsort() takes no NULL */
		qsort(r->seen, r->n_seen, sizeof *r->seen, by_id);
	return in_event(r, delete_missing, e);
}

static void reading_init(struct reading *r, struct store *st, int64_t project, const char *source,
                         struct reconcile_result *result)
{
	*r = (struct reading){ .st = st, .project = project, .source = source, .result = result };
	*result = (struct reconcile_result){ 0 };
	buf_init(&r->batch, FILE_TASK_MAX + BATCH_BYTES);
}

static void reading_clear(struct reading *r)
{
	buf_clear(&r->batch);
	free(r->seen);
}

/* ---- from Label Studio ------------------------------------------------------------ */

struct gate {
	bool (*keep_going)(void *arg);
	void  *arg;
};

static bool cancelled(void *arg)
{
	const struct gate *g = arg;

	return !g->keep_going(g->arg);
}

/* The project as Label Studio has it: is it the same one (a re-created database
 * gives old numbers to new projects), and what is its config? */
static int take_project(struct store *st, const struct env *env, int64_t row, const struct project *p, struct ls_api *api,
                        struct arena *a, struct err *e)
{
	struct ls_project remote;
	int64_t           same;
	int               rc = -1;

	if (ls_api_project(api, p->id, a, &remote, e) < 0)
		return -1;
	if (p->created_s != STORE_NULL && p->created_s != remote.created_s)
		return err_set(e, ERR_NOT_FOUND, "Label Studio's project %lld is another one: it was made at %lld, not at %lld",
		               (long long)p->id, (long long)remote.created_s, (long long)p->created_s);
	if (store_begin(st, e) < 0)
		return -1;
	if (store_project_ensure(st, p->id, remote.created_s, &same, e) == 0) {
		if (same != row)
			err_set(e, ERR_NOT_FOUND, "project %lld is kept under two creation times", (long long)p->id);
		else if (store_project_title(st, row, remote.title, e) == 0 &&
		         project_configure(st, env, p, remote.label_config, NULL, e) == 0)
			rc = store_commit(st, e);
	}
	if (rc < 0)
		store_rollback(st);
	return rc;
}

static int read_export(struct reading *r, const struct env *env, struct ls_api *api, struct project *p, struct arena *a, struct err *e)
{
	double began = clock_monotonic();

	if (store_event_last(r->st, &r->since, e) < 0 || store_project_get(r->st, r->project, a, p, e) < 0 ||
	    take_project(r->st, env, r->project, p, api, a, e) < 0)
		return -1;
	r->id = p->id;
	if (ls_api_export(api, p->id, take_task, r, e) < 0 || flush(r, e) < 0)
		return -1;
	if (finish_reading(r, e) < 0 || store_begin(r->st, e) < 0)
		return -1;
	if (store_fetched(r->st, r->project, clock_s(), p->unread, (int64_t)((clock_monotonic() - began) * 1000), e) < 0 || store_commit(r->st, e) < 0) {
		store_rollback(r->st);
		return -1;
	}
	return 0;
}

int reconcile(struct store *st, const struct env *env, int64_t project, bool (*keep_going)(void *arg), void *arg,
              struct reconcile_result *result, struct err *e)
{
	struct gate    gate = { keep_going, arg };
	struct reading r;
	struct project p;
	struct ls_api *api;
	struct arena   a;
	int            rc;

	reading_init(&r, st, project, "export", result);
	if (ls_api_open(&api, env->ls_url, env->ls_key, e) < 0)
		return -1;
	ls_api_cancel(api, cancelled, &gate);
	arena_init(&a, (size_t)256 << 20);
	rc = read_export(&r, env, api, &p, &a, e);
	arena_clear(&a);
	ls_api_close(api);
	reading_clear(&r);
	return rc;
}

/* ---- from a file -------------------------------------------------------------------- */

int reconcile_file(struct store *st, int64_t project, const char *path, struct reconcile_result *result,
                   struct err *e)
{
	struct json_splitter s;
	struct reading       r;
	char                 chunk[1 << 16];
	ssize_t              n = 0;
	int                  fd, rc = 0;

	reading_init(&r, st, project, "import", result);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, ERR_NOT_FOUND, "%.100s: %s", path, strerror(errno));
	json_splitter_init(&s, FILE_TASK_MAX, take_task, &r);
	while (rc == 0 && (n = read(fd, chunk, sizeof chunk)) > 0)
		rc = json_splitter_feed(&s, (struct span){ chunk, (size_t)n }, e);
	if (rc == 0 && n < 0)
		rc = err_set(e, ERR_NOT_FOUND, "%.100s: %s", path, strerror(errno));
	if (rc == 0 && json_splitter_end(&s, e) == 0)
		rc = flush(&r, e);
	else
		rc = -1;
	close(fd);
	json_splitter_clear(&s);
	reading_clear(&r);
	return rc;
}
