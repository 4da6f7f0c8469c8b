/*
 * test_store_faults.c - each call to SQLite, the disk and memory fails in turn, in every
 * function of store.h.
 *
 * It returns -1 and says why, what was there is there unchanged, and the same call then
 * does what it would have done.  tests/torture and tests/power fail the calls behind
 * these, a share of them each day; here it is each one, each time.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "store/store.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const struct { int rc; enum err_code code; } refusals[] = {
	{ SQLITE_NOMEM, ERR_MEMORY }, { SQLITE_FULL, ERR_DISK }, { SQLITE_BUSY, ERR_BUSY },
	{ SQLITE_IOERR_READ, ERR_STORE }, { SQLITE_CORRUPT, ERR_DAMAGED }, { SQLITE_LOCKED, ERR_BUSY },
	{ SQLITE_NOTADB, ERR_DAMAGED },
};

/* What SQLite says is another thing from call to call. */
static int refusal(void)
{
	const size_t i = (size_t)fault_at % (sizeof refusals / sizeof refusals[0]);

	fault_code = refusals[i].code;
	return refusals[i].rc;
}

static bool full;                        /* the disk; else it is not ours to write */

static int denied(void)
{
	errno = full ? ENOSPC : EACCES;
	fault_code = full ? ERR_DISK : ERR_STORE;
	return -1;
}

/* One of those below: a function of the same form, that fails or calls the real one. */
#define REFUSING(name, real, parameters, ...) \
	static int faulty_##real parameters { return fault_here(name, ERR_OK) ? refusal() : real(__VA_ARGS__); }
#define DENIED(real, parameters, ...) \
	static int faulty_##real parameters { return fault_here(#real, ERR_OK) ? denied() : real(__VA_ARGS__); }

REFUSING("prepare", sqlite3_prepare_v2, (sqlite3 *db, const char *sql, int n, sqlite3_stmt **s, const char **tail),
         db, sql, n, s, tail)
REFUSING("prepare", sqlite3_prepare_v3, (sqlite3 *db, const char *sql, int n, unsigned flags, sqlite3_stmt **s, const char **tail),
         db, sql, n, flags, s, tail)
REFUSING("bind", sqlite3_bind_null, (sqlite3_stmt *s, int i), s, i)
REFUSING("bind", sqlite3_bind_int64, (sqlite3_stmt *s, int i, sqlite3_int64 v), s, i, v)
REFUSING("bind", sqlite3_bind_double, (sqlite3_stmt *s, int i, double v), s, i, v)
REFUSING("bind", sqlite3_bind_text, (sqlite3_stmt *s, int i, const char *v, int n, void (*del)(void *)),
         s, i, v, n, del)
REFUSING("bind", sqlite3_bind_text64, (sqlite3_stmt *s, int i, const char *v, sqlite3_uint64 n, void (*del)(void *), unsigned char code),
         s, i, v, n, del, code)
REFUSING("bind", sqlite3_bind_zeroblob, (sqlite3_stmt *s, int i, int n), s, i, n)
REFUSING("bind", sqlite3_bind_blob64, (sqlite3_stmt *s, int i, const void *v, sqlite3_uint64 n, void (*del)(void *)),
         s, i, v, n, del)
REFUSING("step", sqlite3_step, (sqlite3_stmt *s), s)

static sqlite3 *migrates_first;          /* where a newer program does, as soon as somebody wants to write */

static int faulty_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *arg, char **msg)
{
	if (db == migrates_first && strncmp(sql, "BEGIN", 5) == 0) {
		migrates_first = NULL;
		sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL);
	}
	return fault_here("exec", ERR_OK) ? refusal() : sqlite3_exec(db, sql, each, arg, msg);
}

REFUSING("blob_open", sqlite3_blob_open, (sqlite3 *db, const char *file, const char *table, const char *column, sqlite3_int64 row, int flags, sqlite3_blob **blob),
         db, file, table, column, row, flags, blob)
REFUSING("blob_read", sqlite3_blob_read, (sqlite3_blob *blob, void *to, int n, int at), blob, to, n, at)
REFUSING("open_v2", sqlite3_open_v2, (const char *path, sqlite3 **db, int flags, const char *vfs), path, db, flags, vfs)
DENIED(open, (const char *path, int flags, mode_t mode), path, flags, mode)
DENIED(mkdir, (const char *path, mode_t mode), path, mode)

static int faulty_stat(const char *path, struct stat *sb)
{
	return fault_here("stat", ERR_STORE) ? -1 : stat(path, sb);
}
static int faulty_lstat(const char *path, struct stat *sb)
{
	return fault_here("lstat", ERR_STORE) ? -1 : lstat(path, sb);
}
static void *faulty_mmap(void *at, size_t len, int prot, int flags, int fd, off_t from)
{
	return fault_here("mmap", ERR_MEMORY) ? MAP_FAILED : mmap(at, len, prot, flags, fd, from);
}
static int faulty_sodium_init(void)
{
	return fault_here("sodium_init", ERR_STORE) ? -1 : sodium_init();
}

#define sqlite3_prepare_v2 faulty_sqlite3_prepare_v2
#define sqlite3_prepare_v3 faulty_sqlite3_prepare_v3
#define sqlite3_bind_null faulty_sqlite3_bind_null
#define sqlite3_bind_int64 faulty_sqlite3_bind_int64
#define sqlite3_bind_double faulty_sqlite3_bind_double
#define sqlite3_bind_text faulty_sqlite3_bind_text
#define sqlite3_bind_text64 faulty_sqlite3_bind_text64
#define sqlite3_bind_zeroblob faulty_sqlite3_bind_zeroblob
#define sqlite3_bind_blob64 faulty_sqlite3_bind_blob64
#define sqlite3_step faulty_sqlite3_step
#define sqlite3_exec faulty_sqlite3_exec
#define sqlite3_blob_open faulty_sqlite3_blob_open
#define sqlite3_blob_read faulty_sqlite3_blob_read
#define sqlite3_open_v2 faulty_sqlite3_open_v2
#define open faulty_open
#define mkdir faulty_mkdir
#define lstat faulty_lstat
#define mmap faulty_mmap
#define sodium_init faulty_sodium_init
#define stat(path, sb) faulty_stat(path, sb)     /* not the struct */
#define malloc faulty_malloc
#define calloc faulty_calloc
#define arena_array faulty_arena_array
#define arena_copy faulty_arena_copy

#include "../../lib/store/store_sqlite.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MANY 20                          /* more than an array has room for at first */

static char top[64];
static char kept[128], dir[128];         /* a store with something of everything, and a copy of it */

static int64_t      busy, idle;          /* projects: with a training that runs, without */
static struct lease lease;               /* of the one that runs */
static int64_t      version, event, job;
static char         bytes[3000];

/* ---- what is done with it --------------------------------------------------------- */

static const struct version a_version = { .kind = SPAN("kind"), .formats = SPAN("1"), .labels = SPAN("[]"),
	.examples_hash = SPAN("hash"), .token_pattern = SPAN("word"), .created_s = 1000, .n_held_out = STORE_NULL };

static int publish(struct store *st, const struct lease *l, int64_t updates_trained, struct version *v, struct err *e)
{
	const struct version_part part = { "weights", { bytes, sizeof bytes } };

	*v = a_version;
	return store_version_publish(st, l, v, &part, 1, updates_trained, 10, 3, e);
}

static struct task_row task(int64_t id, int64_t at)
{
	return (struct task_row){ .id = id, .updated_us = at, .data = at % 2 == 0 ? SPAN("{\"a\":1}") : SPAN("{\"a\":2}") };
}

static struct annotation_row annotation(int64_t id, int64_t at)
{
	return (struct annotation_row){ .id = id, .task = id, .completed_by = 1, .updated_us = at,
	                                .result = at % 2 == 0 ? SPAN("[]") : SPAN("[1]") };
}

static int do_state(struct store *st, struct err *e) { int64_t s[2]; return store_state(st, s, e); }
static int do_find(struct store *st, struct err *e)
{
	int64_t row;

	return store_project_find(st, 2, 99, &row, e) < 0 || store_project_find(st, 1, STORE_NULL, &row, e) < 0 ? -1 : 0;
}
static int do_ensure(struct store *st, struct err *e)
{
	int64_t row;

	/* There; there without a time; not there. */
	return store_project_ensure(st, 1, 5, &row, e) < 0 || store_project_ensure(st, 3, 7, &row, e) < 0 ||
	       store_project_ensure(st, 4, 7, &row, e) < 0 || store_project_ensure(st, 5, STORE_NULL, &row, e) < 0 ? -1 : 0;
}

static int with_arena(struct store *st, int (*work)(struct store *st, struct arena *a, struct err *e), struct err *e)
{
	struct arena a;
	int          rc;

	arena_init(&a, (size_t)1 << 20);
	rc = work(st, &a, e);
	arena_clear(&a);
	return rc;
}

static int get_projects(struct store *st, struct arena *a, struct err *e)
{
	struct project p;
	int64_t       *rows;
	size_t         n;

	return store_project_get(st, busy, a, &p, e) < 0 || store_project_named(st, 1, 5, a, &p, e) != 0 ||
	       store_project_rows(st, a, &rows, &n, e) < 0 ? -1 : (int)n;
}
static int do_projects(struct store *st, struct err *e) { return with_arena(st, get_projects, e); }

static int get_jobs(struct store *st, struct arena *a, struct err *e)
{
	struct job j;
	int64_t    row;

	return store_job_get(st, job, a, &j, e) != 0 || store_job_last(st, busy, a, &j, e) != 0 ||
	       store_job_newest(st, &row, e) < 0 ? -1 : 0;
}
static int do_jobs(struct store *st, struct err *e) { return with_arena(st, get_jobs, e); }

static int get_versions(struct store *st, struct arena *a, struct err *e)
{
	struct version *list;
	size_t          n;

	return store_version_list(st, busy, a, &list, &n, e) < 0 ? -1 : (int)n;
}
static int do_versions(struct store *st, struct err *e) { return with_arena(st, get_versions, e); }

static int get_ids(struct store *st, struct arena *a, struct err *e)
{
	int64_t *ids, least;
	size_t   n;

	return store_annotation_ids(st, busy, INT64_MAX, a, &ids, &n, e) < 0 ||
	       store_annotation_least(st, busy, &least, e) < 0 ? -1 : (int)n;
}
static int do_ids(struct store *st, struct err *e) { return with_arena(st, get_ids, e); }

static int get_push(struct store *st, struct arena *a, struct err *e)
{
	struct push_row p;

	return store_push_get(st, busy, a, &p, e);
}
static int do_push_get(struct store *st, struct err *e) { return with_arena(st, get_push, e); }

static int do_settings(struct store *st, struct err *e)
{
	struct project_counts c;

	return store_project_config(st, idle, SPAN("<View/>"), "hash", "label", "text", SPAN("[]"), NULL, false, SPAN("[]"), e) < 0 ||
	       store_project_extra(st, idle, SPAN("{}"), e) < 0 || store_project_title(st, idle, SPAN("title"), e) < 0 ||
	       store_project_uncertainty(st, idle, true, e) < 0 || store_project_answered(st, idle, 5, e) < 0 ||
	       store_fetched(st, idle, 1, 0, 3, e) < 0 || store_fetch_failed(st, idle, "why", e) < 0 ||
	       store_project_counts(st, idle, &c, e) < 0 ? -1 : 0;
}
static int do_delete(struct store *st, struct err *e) { return store_project_delete(st, busy, e); }

static int do_events(struct store *st, struct err *e)
{
	int64_t row, last;

	return store_event_add(st, idle, "webhook", "x", &row, e) < 0 || store_event_end(st, idle, row, 2, 1, 3, e) < 0 ||
	       store_event_drop(st, row, e) < 0 || store_event_last(st, &last, e) < 0 ? -1 : 0;
}

/* New; other; the same with another time. */
static int do_tasks(struct store *st, struct err *e)
{
	const struct task_row rows[] = { task(900, 10), task(1, 11), task(2, 12) };
	bool                  changed;
	int                   n = 0;

	for (size_t i = 0; i < countof(rows); i++, n += changed)
		if (store_task_put(st, busy, &rows[i], 0, &changed, e) < 0)
			return -1;
	return n;
}
static int do_annotations(struct store *st, struct err *e)
{
	const struct annotation_row rows[] = { annotation(900, 10), annotation(1, 11), annotation(2, 12) };
	bool                        changed;
	int                         n = 0;

	for (size_t i = 0; i < countof(rows); i++, n += changed)
		if (store_annotation_put(st, busy, &rows[i], event, event + 1, &changed, e) < 0)
			return -1;
	return n;
}
static int do_deletions(struct store *st, struct err *e)
{
	int64_t one, others;

	return store_annotation_delete(st, busy, 3, event, &one, e) < 0 ||
	       store_task_delete(st, busy, 4, event, &others, e) < 0 ? -1 : (int)(one + others);
}

static int stop_at;                      /* rows until each() has enough; 0: never */
static int n_seen;

static int see_row(struct err *e)
{
	return ++n_seen == stop_at ? err_set(e, ERR_STOPPED, "enough") : 0;
}
static int see_example(void *arg, const struct labelled_row *row, struct err *e)
{
	(void)arg;
	(void)row;
	return see_row(e);
}
static int see_report(void *arg, const struct store_report *r, struct err *e)
{
	(void)arg;
	(void)r;
	return see_row(e);
}
static int do_examples(struct store *st, struct err *e)
{
	n_seen = 0;
	return store_examples(st, busy, false, INT64_MIN + 1, INT64_MAX, see_example, NULL, e) < 0 ? -1 : n_seen;
}
/* Those that have words come without their tasks. */
static int do_words(struct store *st, struct err *e)
{
	if (store_project_words(st, busy, "another form", e) < 0 || store_annotation_words(st, busy, 1, SPAN("two words"), SPAN("good"), e) < 0 ||
	    store_annotation_words(st, busy, 2, (struct span){ NULL, 0 }, (struct span){ NULL, 0 }, e) < 0)
		return -1;
	n_seen = 0;
	return store_examples(st, busy, true, 1, 2, see_example, NULL, e) < 0 ? -1 : n_seen;
}
static int do_report(struct store *st, struct err *e)
{
	n_seen = 0;
	return store_report(st, see_report, NULL, e) < 0 ? -1 : n_seen;
}

/* Where none is, where one waits, where one runs; by all reasons. */
static int do_queue(struct store *st, struct err *e)
{
	static const char *const reasons[] = { "updates", "unread", "connect", "command", "sync" };
	enum job_state           state;
	int64_t                  rows[4];
	size_t                   n;

	for (size_t i = 0; i < countof(reasons); i++)
		if (store_job_queue(st, idle, reasons[i], 1000, NULL, e) < 0 ||
		    store_job_queue(st, busy, reasons[i], 1000, &rows[0], e) < 0)
			return -1;
	return store_job_now(st, idle, e) < 0 || store_job_open(st, idle, &state, e) < 0 ||
	       store_job_training(st, idle, &state, e) < 0 || store_job_due(st, 5000, rows, 1, &n, e) < 0 ||
	       store_job_unasked(st, rows, countof(rows), &n, e) < 0 ? -1 : (int)state;
}

static int do_take(struct store *st, struct err *e)
{
	struct lease l;

	return store_job_queue(st, idle, "start", 1000, NULL, e) < 0 ? -1 : store_lease_take(st, idle, 1000, &l, e);
}
static int do_renew(struct store *st, struct err *e) { return store_lease_renew(st, &lease, 2000, .5, e); }
static int do_return(struct store *st, struct err *e) { return store_lease_return(st, &lease, e); }
static int do_retry(struct store *st, struct err *e) { return store_lease_retry(st, &lease, 9000, "why", e); }
static int do_finish(struct store *st, struct err *e)
{
	/* What was asked for meanwhile follows. */
	return store_job_queue(st, busy, "start", 1500, NULL, e) < 0 ? -1 : store_lease_finish(st, &lease, JOB_SKIPPED, 2000, "why", e);
}
static int do_publish(struct store *st, struct err *e)
{
	struct version v;

	return publish(st, &lease, -100, &v, e) < 0 || store_version_name(st, v.row, "name", e) < 0 ||
	       store_version_metrics(st, v.row, 3, .5, .5, .5, e) < 0 || store_version_select(st, busy, 0, e) < 0 ||
	       store_version_damaged(st, v.row, e) < 0 ? -1 : 0;
}
static int do_part(struct store *st, struct err *e)
{
	struct span b = { NULL, 0 };
	int         rc = store_part(st, version, "weights", &b, e);

	free((void *)(uintptr_t)b.p);
	return rc;
}
static int do_part_open(struct store *st, struct err *e)
{
	struct partial *part = NULL;
	int             rc = store_part_open(st, version, "weights", &part, e);

	if (rc == 0)
		rc = partial_need(part, 100, 2000, e);
	store_part_close(part);
	return rc;
}
static int do_prune(struct store *st, struct err *e)
{
	int64_t deleted;

	return store_history_prune(st, busy, 0, 100, &deleted, e) < 0 ? -1 : (int)deleted;
}
static int do_free_pages(struct store *st, struct err *e) { int n; return store_free_pages(st, &n, e); }

/* In transactions of their own. */
static int do_push_sent(struct store *st, struct err *e)
{
	return store_push_sent(st, busy, "v", 5, 6, e) < 0 || store_push_sent(st, busy, "v", STORE_NULL, 7, e) < 0 ? -1 : 0;
}
static int do_push_ended(struct store *st, struct err *e) { return store_push_ended(st, busy, 5, false, "why", e); }
static int do_begin_read(struct store *st, struct err *e)
{
	if (store_begin_read(st, e) < 0)
		return -1;
	store_rollback(st);
	return 0;
}
static int do_compact(struct store *st, struct err *e) { return store_compact(st, e); }
static int do_keep_more(struct store *st, struct err *e) { (void)e; store_keep_more(st); return 0; }
static int do_commit(struct store *st, struct err *e)
{
	struct version v;

	return store_begin(st, e) < 0 || publish(st, &lease, 0, &v, e) < 0 || store_commit(st, e) < 0 ? -1 : 0;
}

static const struct scenario {
	const char *name;
	int       (*run)(struct store *st, struct err *e);
	bool        alone;                   /* not in a transaction of the caller */
	bool        forgives;                /* some of what fails is not needed, or comes after a part that stays */
	bool        ends;                    /* the transaction that it began, however it went */
} scenarios[] = {
	{ "state", do_state, .alone = false }, { "find", do_find, .alone = false }, { "ensure", do_ensure, .alone = false },
	{ "projects", do_projects, .alone = false }, { "settings", do_settings, .alone = false },
	{ "delete", do_delete, .alone = false }, { "events", do_events, .alone = false }, { "tasks", do_tasks, .alone = false },
	{ "annotations", do_annotations, .alone = false }, { "deletions", do_deletions, .alone = false },
	{ "ids", do_ids, .alone = false }, { "examples", do_examples, .alone = false },
	{ "words", do_words, .alone = false }, { "queue", do_queue, .alone = false },
	{ "jobs", do_jobs, .alone = false }, { "take", do_take, .alone = false }, { "renew", do_renew, .alone = false },
	{ "return", do_return, .alone = false }, { "retry", do_retry, .alone = false }, { "finish", do_finish, .alone = false },
	{ "publish", do_publish, .alone = false }, { "versions", do_versions, .alone = false },
	{ "part", do_part, .alone = false }, { "part-open", do_part_open, .alone = false }, { "report", do_report, .alone = false },
	{ "prune", do_prune, .alone = false }, { "push-get", do_push_get, .alone = false },
	{ "free-pages", do_free_pages, .alone = false },
	{ "push-sent", do_push_sent, .alone = true, .forgives = true, .ends = true },
	{ "push-ended", do_push_ended, .alone = true, .ends = true },
	{ "begin-read", do_begin_read, .alone = true, .forgives = true }, { "compact", do_compact, .alone = true },
	{ "keep-more", do_keep_more, .alone = true, .forgives = true },
	{ "commit", do_commit, .alone = true, .forgives = true },
};

/* ---- the store ------------------------------------------------------------------------ */

static void must(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%s", e->msg);
}

static struct store *opened(const char *model_dir)
{
	struct store *st;
	struct err    e = { 0 };

	must(store_open(&st, model_dir, 100, &e), &e);
	return st;
}

static void fill(struct store *st)
{
	struct version v;
	struct err     e = { 0 };
	int64_t        none;
	bool           changed;

	must(store_begin(st, &e), &e);
	must(store_project_ensure(st, 1, 5, &busy, &e), &e);
	must(store_project_ensure(st, 2, 6, &idle, &e), &e);
	must(store_project_ensure(st, 3, STORE_NULL, &none, &e), &e);
	must(store_job_queue(st, idle, "start", 1000, &job, &e), &e);
	must(store_lease_take(st, idle, 1000, &lease, &e), &e);
	must(store_lease_finish(st, &lease, JOB_SKIPPED, 2000, "why", &e), &e);
	must(store_project_config(st, busy, SPAN("<View/>"), "hash", "label", "text", SPAN("[]"), "none", false, SPAN("[]"), &e), &e);
	must(store_project_title(st, busy, SPAN("title"), &e), &e);
	must(store_project_extra(st, busy, SPAN("{}"), &e), &e);
	must(store_project_words(st, busy, "form", &e), &e);
	must(store_fetch_failed(st, busy, "why", &e), &e);
	must(store_event_add(st, busy, "webhook", "x", &event, &e), &e);
	for (int i = 1; i <= MANY; i++) {
		const struct task_row       t = task(i, 10);
		const struct annotation_row a = annotation(i, 10);

		must(store_task_put(st, busy, &t, 0, &changed, &e), &e);
		must(store_annotation_put(st, busy, &a, event, 0, &changed, &e), &e);
	}
	must(store_event_end(st, busy, event, MANY, 0, 1, &e), &e);
	for (int i = 0; i < MANY; i++) {
		must(store_job_queue(st, busy, "start", 1000, NULL, &e), &e);
		must(store_lease_take(st, busy, 1000, &lease, &e), &e);
		must(publish(st, &lease, MANY, &v, &e), &e);
	}
	version = v.row;
	must(store_job_queue(st, busy, "start", 1000, NULL, &e), &e);
	must(store_lease_take(st, busy, 1000, &lease, &e), &e);
	must(store_commit(st, &e), &e);
	must(store_push_sent(st, busy, "v", 5, 6, &e), &e);
	must(store_push_ended(st, busy, 5, true, "why", &e), &e);
}

static void copy_store(void)
{
	char command[512];

	snprintf(command, sizeof command, "rm -rf %s && cp -r %s %s", dir, kept, dir);
	assert_int_equal(system(command), 0);
}

static int into(void *arg, int n, char **values, char **names)
{
	(void)names;
	for (int i = 0; i < n; i++) {
		const char *text = values[i] == NULL ? "-" : values[i];

		crypto_generichash_update(arg, (const unsigned char *)text, strlen(text) + 1);
	}
	return 0;
}

/* All rows of all tables. */
static uint64_t content(struct store *st)
{
	static const char *const tables[] = {
		"project", "task", "annotation", "event", "train_job", "model_version", "model_part", "model_blocks", "push",
	};
	crypto_generichash_state h;
	unsigned char            sum[crypto_generichash_BYTES_MIN];
	uint64_t                 one;
	char                     sql[64];

	crypto_generichash_init(&h, NULL, 0, sizeof sum);
	for (size_t i = 0; i < countof(tables); i++) {
		snprintf(sql, sizeof sql, "SELECT * FROM %s", tables[i]);
		assert_int_equal(sqlite3_exec(st->db, sql, into, &h, NULL), SQLITE_OK);
	}
	crypto_generichash_final(&h, sum, sizeof sum);
	memcpy(&one, sum, sizeof one);
	return one;
}

/* ---- the checks ------------------------------------------------------------------------- */

static int run(const struct scenario *s, struct store *st, struct err *e)
{
	if (!s->alone)
		must(store_begin(st, e), e);
	return s->run(st, e);
}

/* false: that many calls there are not. */
static bool point(const struct scenario *s, long at, int right)
{
	struct store *st;
	struct err    e = { 0 };
	uint64_t      before;
	int           rc;

	copy_store();
	st = opened(dir);
	before = content(st);
	if (!s->alone)
		must(store_begin(st, &e), &e);
	fault_arm(at);
	rc = s->run(st, &e);
	fault_disarm();
	if (fault_name == NULL) {
		store_close(st);
		return false;
	}
	if (rc >= 0 && !s->forgives)
		fail_msg("%s, call %ld (%s) fails: it is taken for good", s->name, at, fault_name);
	if (rc < 0 && (e.msg[0] == '\0' || (fault_code != ERR_OK && e.code != fault_code)))
		fail_msg("%s, call %ld (%s) fails: code %d for %d, \"%s\"", s->name, at, fault_name, e.code, fault_code, e.msg);
	if (s->ends && !sqlite3_get_autocommit(st->db))
		fail_msg("%s, call %ld (%s) fails: its transaction stays open", s->name, at, fault_name);
	if (rc < 0) {
		store_rollback(st);
		assert_false(store_stuck(st));
		if (content(st) != before && !s->forgives)
			fail_msg("%s, call %ld (%s) fails: it left something", s->name, at, fault_name);
		err_clear(&e);
		rc = run(s, st, &e);
		if (rc != right)
			fail_msg("%s again, after call %ld (%s): %d for %d, \"%s\"", s->name, at, fault_name, rc, right, e.msg);
	}
	store_close(st);
	return true;
}

static void each_call_fails_in_turn(void **state)
{
	(void)state;
	for (size_t i = 0; i < countof(scenarios); i++) {
		struct store *st;
		struct err    e = { 0 };
		long          at = 0;
		int           right;

		copy_store();
		st = opened(dir);
		right = run(&scenarios[i], st, &e);
		if (right < 0)
			fail_msg("%s: %s", scenarios[i].name, e.msg);
		store_close(st);
		while (point(&scenarios[i], at, right))
			at++;
		if (at == 0)
			fail_msg("%s: nothing in it may fail", scenarios[i].name);
	}
}

/* A store that is there, one that is not, one of the first schema. */
static void each_call_of_an_opening_fails_in_turn(void **state)
{
	char path[256], command[512];

	(void)state;
	for (int what = 0; what < 6; what++)
		for (long at = 0; ; at++) {
			struct store *st;
			struct err    e = { 0 };
			int           rc;

			full = what >= 3;
			copy_store();
			snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
			snprintf(command, sizeof command, "rm -rf %s", dir);
			if (what % 3 > 0)
				assert_int_equal(system(command), 0);
			if (what % 3 == 2) {
				struct store first = { .db = NULL };

				assert_int_equal(mkdir(dir, 0700), 0);
				assert_int_equal(sqlite3_open(path, &first.db), SQLITE_OK);
				must(exec(&first, schema_sql[0], &e), &e);
				must(exec(&first, "PRAGMA user_version = 1", &e), &e);
				sqlite3_close(first.db);
			}
			fault_arm(at);
			rc = store_open(&st, dir, 100, &e);
			fault_disarm();
			if (rc == 0 ? fault_name != NULL && strcmp(fault_name, "stat") != 0
			            : st != NULL || e.msg[0] == '\0' || (fault_code != ERR_OK && e.code != fault_code))
				fail_msg("call %ld (%s) of opening fails: %d, code %d for %d, \"%s\"", at, fault_name, rc, e.code, fault_code, e.msg);
			store_close(st);
			st = opened(dir);
			store_close(st);
			if (fault_name == NULL)
				break;
		}
}

/* While this program waits for its turn to migrate, a newer one does. */
static void a_newer_program_may_migrate_first(void **state)
{
	struct store *st;
	struct err    e = { 0 };

	(void)state;
	copy_store();
	st = opened(dir);
	must(exec(st, "PRAGMA user_version = 1", &e), &e);
	migrates_first = st->db;
	assert_int_equal(migrate(st, &e), -1);
	assert_null(migrates_first);
	assert_int_equal(e.code, ERR_STORE);
	assert_non_null(strstr(e.msg, "newer prelabel"));
	assert_true(sqlite3_get_autocommit(st->db));
	store_close(st);
}

/* Who is called with each row may have enough. */
static void a_reader_that_stops_is_heard(void **state)
{
	struct store *st;
	struct err    e = { 0 };

	(void)state;
	copy_store();
	st = opened(dir);
	stop_at = 2;
	assert_int_equal(do_examples(st, &e), -1);
	assert_int_equal(e.code, ERR_STOPPED);
	err_clear(&e);
	assert_int_equal(do_report(st, &e), -1);
	assert_int_equal(e.code, ERR_STOPPED);
	stop_at = 0;
	assert_int_equal(do_examples(st, &e), MANY);
	store_close(st);
}

/* The transaction stays open where even its end fails: who has the store is told. */
static void a_transaction_that_can_not_be_ended_is_seen(void **state)
{
	struct store *st;
	struct err    e = { 0 };

	(void)state;
	copy_store();
	st = opened(dir);
	assert_false(store_stuck(st));
	must(store_begin(st, &e), &e);
	assert_false(store_stuck(st));
	fault_arm(0);
	store_rollback(st);
	fault_disarm();
	assert_true(store_stuck(st));
	store_close(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_fails_in_turn),
		cmocka_unit_test(each_call_of_an_opening_fails_in_turn),
		cmocka_unit_test(a_newer_program_may_migrate_first),
		cmocka_unit_test(a_reader_that_stops_is_heard),
		cmocka_unit_test(a_transaction_that_can_not_be_ended_is_seen),
	};
	struct store *st;
	char          command[256];
	int           failed;

	/* In memory where that can be: it is opened a thousand times, on the disk's patience. */
	snprintf(top, sizeof top, "%s/prelabel-store-faults.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(top) == NULL)
		return 1;
	snprintf(kept, sizeof kept, "%s/kept", top);
	snprintf(dir, sizeof dir, "%s/dir", top);
	memset(bytes, 'x', sizeof bytes);
	st = opened(kept);
	fill(st);
	store_close(st);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof command, "rm -rf %s", top);
	return system(command) != 0 || failed != 0;
}
