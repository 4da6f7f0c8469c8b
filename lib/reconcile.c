/* reconcile.c - the store brought in line with what Label Studio has. */
#include "reconcile.h"

#include "annotated.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "project.h"
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
	struct annotated         into;
	int64_t                  id;          /* Label Studio's of the project; 0: a file, of whichever */
	struct buf               batch;       /* the tasks' JSON, one behind the other */
	size_t                   end[BATCH_TASKS];
	size_t                   n;
	int64_t                 *seen;        /* annotation ids */
	size_t                   n_seen, cap_seen;
	bool                     nameless;    /* there was an annotation whose id can't be read */
	struct reconcile_result *result;
};

static int note_seen(void *arg, int64_t id, struct err *e)
{
	struct reading *r = arg;

	if (id == 0) {
		r->nameless = true;
		return 0;
	}
	if (r->n_seen == r->cap_seen) {
		const size_t cap = r->cap_seen == 0 ? 1024 : r->cap_seen * 2;
		int64_t     *grown = realloc(r->seen, cap * sizeof *grown);

		if (grown == NULL)
			return err_memory(e);
		r->seen = grown;
		r->cap_seen = cap;
	}
	r->seen[r->n_seen++] = id;
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

static int write_batch(void *arg, struct err *e)
{
	struct reading *r = arg;
	size_t          at = 0;

	for (size_t i = 0; i < r->n; at = r->end[i++]) {
		struct span task = { r->batch.p + at, r->end[i] - at };

		r->result->tasks++;
		if (check_project(r, task, e) < 0 || annotated_put(&r->into, task, "task", e) < 0)
			return -1;
	}
	return 0;
}

static int flush(struct reading *r, struct err *e)
{
	if (r->n > 0 && annotated_event(&r->into, write_batch, r, e) < 0)
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
static int delete_missing(void *arg, struct err *e)
{
	struct reading   *r = arg;
	struct annotated *in = &r->into;
	struct arena      a;
	int64_t          *ids, one;
	size_t            n, at = 0;
	int               rc;

	arena_init(&a, IDS_BYTES);
	rc = store_annotation_ids(in->st, in->project, in->since, &a, &ids, &n, e);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		while (at < r->n_seen && r->seen[at] < ids[i])
			at++;
		if (at < r->n_seen && r->seen[at] == ids[i])
			continue;
		rc = store_annotation_delete(in->st, in->project, ids[i], in->event, &one, e);
		in->event_changed += one;
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
	return annotated_event(&r->into, delete_missing, r, e);
}

static void reading_init(struct reading *r, struct store *st, int64_t project, const char *source,
                         struct reconcile_result *result)
{
	*r = (struct reading){ .into = { .st = st, .project = project, .source = source, .there = note_seen, .arg = r },
	                       .result = result };
	*result = (struct reconcile_result){ 0 };
	buf_init(&r->batch, FILE_TASK_MAX + BATCH_BYTES);
}

static void reading_clear(struct reading *r)
{
	r->result->changed = r->into.changed;
	r->result->unreadable = r->into.unreadable;
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
	struct store *st = r->into.st;
	const int64_t row = r->into.project;
	const double  began = clock_monotonic();

	if (store_event_last(st, &r->into.since, e) < 0 || store_project_get(st, row, a, p, e) < 0 ||
	    take_project(st, env, row, p, api, a, e) < 0)
		return -1;
	r->id = p->id;
	r->into.whole = true;
	if (ls_api_export(api, p->id, take_task, r, e) < 0 || flush(r, e) < 0 || finish_reading(r, e) < 0 || store_begin(st, e) < 0)
		return -1;
	if (store_fetched(st, row, clock_s(), p->unread, (int64_t)((clock_monotonic() - began) * 1000), e) < 0 ||
	    store_commit(st, e) < 0) {
		store_rollback(st);
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
