/*
 * faults.c - R7: each call to the disk fails, once and from then on.
 *
 * Whatever fails: no crash, 503 or 507, what was there before or what was asked for and
 * nothing between; where the disk only refuses to be written, predictions go on, of those
 * who have the store open and of those who open it now; and when the disk is well again the
 * same request does what it would have done.
 */
#include "world.h"

#include "disk.h"
#include "event.h"
#include "schema.h"
#include "serving.h"
#include "setup.h"
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

static struct context *worker, *reader;
static size_t          struck;             /* faults that were met */

/* ---- what is done while a call fails ---------------------------------------------------- */

static struct answer of_code(int rc, const struct err *e)
{
	return (struct answer){ .status = rc == 0 ? 200 : http_status(e->code), .e = *e };
}

static struct answer do_create(void)
{
	char body[BODY_MAX];

	body_annotation(body, "ANNOTATION_CREATED", 1, 100, 100, 1, 900);
	return ask(worker, event_webhook, body);
}

static struct answer do_update(void)
{
	char body[BODY_MAX];

	body_annotation(body, "ANNOTATION_UPDATED", 1, 3, 3, 99, 9);
	return ask(worker, event_webhook, body);
}

static struct answer do_delete(void)
{
	char body[BODY_MAX];

	body_delete(body, "TASKS_DELETED", 1, 4);
	return ask(worker, event_webhook, body);
}

static struct answer do_setup(void)
{
	char body[BODY_MAX];

	body_setup(body, 3, 2, 1);
	return ask(worker, setup_project, body);
}

static struct answer do_labels(void)
{
	char body[BODY_MAX];

	body_config(body, 1, 3);
	return ask(worker, event_webhook, body);
}

static struct answer do_intake(void)
{
	char body[BODY_MAX];

	body_train(body, 1, 60, 5);
	return ask(worker, event_train, body);
}

static struct answer do_status(void)
{
	char none[] = "";

	return ask(worker, status_status, none);
}

static struct answer do_predict(void)
{
	char version[VERSION_TEXT_MAX];

	return ask_predict(worker, 1, version);
}

/* The trainer of a job that failed comes again after its back-off, and after its lease. */
static struct answer do_train(void)
{
	struct train_result result = { .state = JOB_NONE };
	struct err          e = { 0 };
	int                 rc = run_trainer(1, &result, &e);

	now_s += 600;
	if (rc == 0 && result.state != JOB_DONE && look_int("SELECT current_version FROM project WHERE id = 1") != 2)
		rc = err_set(&e, ERR_STORE, "not trained: %s", result.note);
	return of_code(rc, &e);
}

static struct answer do_forget(void)
{
	struct err e = { 0 };
	int        rc = run_forget(2, &e);

	if (e.code == ERR_NOT_FOUND) {           /* deleted; what failed was to give back its space */
		err_clear(&e);
		rc = 0;
	}
	return of_code(rc, &e);
}

static struct answer do_open(void)
{
	struct err    e = { 0 };
	struct store *st;
	int           rc = context_store(worker, &st, &e);

	backend_close(worker);
	worker = backend_open();
	return of_code(rc, &e);
}

static const struct scenario {
	const char    *name;
	struct answer (*run)(void);
	bool           warm;              /* worker and reader have the store open */
	enum { FRESH, OLD, KEPT, QUEUED, HOT } from;
	bool           changes;           /* one transaction or more */
	bool           in_parts;          /* several transactions: what is between is no fault */
} scenarios[] = {
	{ "create",               do_create,  true,  KEPT,   true,  false },
	{ "create by a new one",  do_create,  false, KEPT,   true,  false },
	{ "create after a kill",  do_create,  false, HOT,    true,  false },
	{ "update",               do_update,  true,  KEPT,   true,  false },
	{ "delete",               do_delete,  true,  KEPT,   true,  false },
	{ "setup",                do_setup,   true,  KEPT,   true,  false },
	{ "new labels",           do_labels,  true,  KEPT,   true,  false },
	{ "train with tasks",     do_intake,  true,  KEPT,   true,  true  },
	{ "status",               do_status,  true,  KEPT,   false, false },
	{ "predict by a new one", do_predict, false, KEPT,   false, false },
	{ "predict after a kill", do_predict, false, HOT,    false, false },
	{ "training",             do_train,   true,  QUEUED, true,  true  },
	{ "forget",               do_forget,  true,  KEPT,   true,  false },
	{ "the first start",      do_open,    false, FRESH,  true,  true  },
	{ "an old store",         do_open,    false, OLD,    true,  true  },
};

/* ---- where it starts -------------------------------------------------------------------- */

static struct disk *image[HOT + 1];

static bool old_store(void)
{
	sqlite3 *db = look();
	bool     good = db != NULL && sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL) == SQLITE_OK &&
	                sqlite3_exec(db, schema_sql[0], NULL, NULL, NULL) == SQLITE_OK &&
	                sqlite3_exec(db, "INSERT INTO project (id) VALUES (1); PRAGMA user_version = 1", NULL, NULL, NULL) == SQLITE_OK;

	sqlite3_close(db);
	return good;
}

static bool make_images(void)
{
	struct train_result result;
	struct err          e = { 0 };
	char                body[BODY_MAX];
	bool                good = true;

	disk_put(NULL);
	image[FRESH] = disk_copy();
	good = old_store();
	image[OLD] = disk_copy();
	disk_put(NULL);
	worker = backend_open();
	for (int i = 1; i <= 24; i++) {
		body_annotation(body, "ANNOTATION_CREATED", i <= 20 ? 1 : 2, i, i, 1, 9);
		good = good && ask(worker, event_webhook, body).status == 201;
	}
	good = good && run_trainer(1, &result, &e) == 0 && result.state == JOB_DONE;
	image[HOT] = disk_copy();
	backend_close(worker);
	image[KEPT] = disk_copy();
	worker = backend_open();
	/* Some that the training kept, and some that the next one has to keep. */
	for (int i = 19; i <= 22; i++) {
		body_annotation(body, i <= 20 ? "ANNOTATION_UPDATED" : "ANNOTATION_CREATED", 1, i + (i > 20) * 10, i + (i > 20) * 10, 2, 9);
		good = good && ask(worker, event_webhook, body).status == 201;
	}
	body_start(body, 1);
	good = good && ask(worker, event_webhook, body).status == 201;
	backend_close(worker);
	image[QUEUED] = disk_copy();
	return check(good, "faults: the stores to start from are made", "%s", e.msg);
}

static void begin(const struct scenario *sc)
{
	char version[VERSION_TEXT_MAX];

	now_s = 1790000000;
	disk_well();
	disk_put(image[sc->from]);
	serving_clear();
	worker = backend_open();
	reader = backend_open();
	if (sc->warm) {
		(void)ask_predict(worker, 1, version);
		(void)ask_predict(reader, 1, version);
	}
}

static void end(void)
{
	disk_well();
	backend_close(worker);
	backend_close(reader);
}

/* ---- one fault --------------------------------------------------------------------------- */

struct kinds {
	int code[3];
};
static const struct kinds kinds[DISK_CALL__MAX] = {
	[DISK_WRITE] = { { SQLITE_IOERR_WRITE, SQLITE_FULL } },
	[DISK_SYNC] = { { SQLITE_IOERR_FSYNC, SQLITE_FULL } },
	[DISK_TRUNCATE] = { { SQLITE_IOERR_TRUNCATE } },
	[DISK_DELETE] = { { SQLITE_IOERR_DELETE } },
	[DISK_OPEN] = { { SQLITE_CANTOPEN } },
	[DISK_READ] = { { SQLITE_IOERR_READ } },
	[DISK_SIZE] = { { SQLITE_IOERR_FSTAT } },
	[DISK_ACCESS] = { { SQLITE_IOERR_ACCESS } },
	[DISK_LOCK] = { { SQLITE_IOERR_LOCK, SQLITE_BUSY } },
	[DISK_SHM_MAP] = { { SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMSIZE } },
	[DISK_SHM_LOCK] = { { SQLITE_IOERR_SHMLOCK, SQLITE_BUSY } },
};

struct fault {
	const struct scenario *sc;
	enum disk_call         call;
	long                   nth;
	bool                   for_ever;
	int                    code;
	struct state           before, after;
	char                   text[160];
};

static bool done(const struct answer *a)
{
	return a->status >= 200 && a->status <= 202;
}

/* Those who only read, while the disk takes nothing. */
static void predictions_go_on(const struct fault *f)
{
	struct context *fresh = backend_open();
	char            version[VERSION_TEXT_MAX];
	struct answer   a;

	if (f->sc->warm) {
		a = ask_predict(reader, 1, version);
		quiet(a.status == 200, "faults: predictions go on while nothing can be written", "%s: %d %s", f->text, a.status, a.e.msg);
	}
	serving_clear();
	a = ask_predict(fresh, 1, version);
	quiet(a.status == 200, "faults: one that opens the store predicts while nothing can be written", "%s: %d %s", f->text,
	      a.status, a.e.msg);
	backend_close(fresh);
}

static bool content_is(const struct fault *f, bool may_be_old)
{
	struct state s;

	return state_read(&s) && (s.content == f->after.content || (may_be_old && s.content == f->before.content));
}

static void strike(const struct fault *f)
{
	struct answer a, again;
	const char   *wrong;

	begin(f->sc);
	disk_fail(f->call, f->nth, f->for_ever, f->code);
	a = f->sc->run();
	struck += disk_failed();
	quiet(done(&a) || a.status == 503 || a.status == 507, "faults: it works, or it is 503 or 507", "%s: %d %s", f->text, a.status, a.e.msg);
	/* (Of a training the message alone comes out.) */
	quiet(done(&a) || f->code != SQLITE_FULL || a.status == 507 || strstr(a.e.msg, "is full") != NULL,
	      "faults: a full disk is called so", "%s: %d %s", f->text, a.status, a.e.msg);
	if (f->for_ever && f->call <= DISK_DELETE && (f->sc->from == KEPT || f->sc->from == QUEUED || f->sc->from == HOT))
		predictions_go_on(f);
	disk_well();
	if (f->sc->from >= KEPT || done(&a)) {
		wrong = state_wrong();
		quiet(wrong[0] == '\0', "faults: the store is whole", "%s: %s", f->text, wrong);
		quiet(content_is(f, !done(&a)) || (f->sc->in_parts && !done(&a)), "faults: done or not done", "%s: answered %d", f->text, a.status);
	}
	again = f->sc->run();
	quiet(done(&again), "faults: the next one is right", "%s: %d %s", f->text, again.status, again.e.msg);
	wrong = state_wrong();
	quiet(wrong[0] == '\0' && content_is(f, false), "faults: and does what it would have done", "%s: %s", f->text, wrong);
	end();
}

/* ---- all of them --------------------------------------------------------------------------- */

static size_t strike_all(struct fault *f, long calls, uint64_t *random)
{
	size_t n = 0;
	long   all = world_long ? calls : 12;

	for (f->nth = 1; f->nth <= calls; f->nth++) {
		/* In the short form the first, the last and some between. */
		if (f->nth > 2 && f->nth < calls && random_next(random) % (uint64_t)calls >= (uint64_t)all)
			continue;
		for (int ever = 0; ever < 2; ever++)
			for (size_t i = 0; i < countof(kinds[0].code) && kinds[f->call].code[i] != 0; i++) {
				f->for_ever = ever == 1;
				f->code = kinds[f->call].code[i];
				/* For ever locked is another's doing, and a wait each time. */
				if (f->code == SQLITE_BUSY && f->for_ever)
					continue;
				snprintf(f->text, sizeof f->text, "%s: %s %ld of %ld%s: %s", f->sc->name, disk_call_names[f->call], f->nth,
				         calls, f->for_ever ? " and all after it" : "", sqlite3_errstr(f->code));
				strike(f);
				n++;
			}
	}
	return n;
}

static size_t one_scenario(const struct scenario *sc, uint64_t *random)
{
	struct fault  f = { .sc = sc };
	struct answer a;
	long          calls[DISK_CALL__MAX];
	size_t        n = 0;

	begin(sc);
	if (sc->from >= KEPT)
		state_read(&f.before);
	disk_well();
	a = sc->run();
	for (int c = 0; c < DISK_CALL__MAX; c++)
		calls[c] = disk_calls((enum disk_call)c);
	quiet(done(&a) && state_read(&f.after) && (f.before.content != f.after.content || !sc->changes || sc->in_parts),
	      "faults: undisturbed", "%s: %d %s", sc->name, a.status, a.e.msg);
	end();
	for (int c = 0; c < DISK_CALL__MAX; c++) {
		f.call = (enum disk_call)c;
		n += strike_all(&f, calls[c], random);
	}
	return n;
}

/* ---- a disk that is mounted read-only ---------------------------------------------------- */

static bool read_only;

int __real_statvfs(const char *path, struct statvfs *fs);
int __wrap_statvfs(const char *path, struct statvfs *fs);

int __wrap_statvfs(const char *path, struct statvfs *fs)
{
	int rc = __real_statvfs(path, fs);

	if (read_only)
		fs->f_flag |= ST_RDONLY;
	return rc;
}

/* Predictions as ever; and when it can be written again, the version that is trained then. */
static void check_read_only(void)
{
	static const struct scenario queued = { .from = QUEUED };
	struct train_result result = { .state = JOB_NONE };
	struct err          e = { 0 };
	struct answer       a, event;
	char                version[VERSION_TEXT_MAX];

	read_only = true;
	begin(&queued);
	a = ask_predict(reader, 1, version);
	event = do_create();
	check(a.status == 200 && strncmp(version, "tfidf_logreg-1-", 15) == 0 && event.status == 503,
	      "faults: mounted read-only, predictions go on and events are refused", "%d %s, %d %s", a.status, a.e.msg,
	      event.status, event.e.msg);
	read_only = false;
	event = do_create();
	check(event.status == 201, "faults: mounted for writing again, the next event is taken", "%d %s", event.status, event.e.msg);
	(void)run_trainer(1, &result, &e);
	a = ask_predict(reader, 1, version);
	check(result.state == JOB_DONE && strcmp(version, result.version) == 0,
	      "faults: and who had it open read-only serves what was trained since", "%s, not %s: %d %s%s", version, result.version,
	      a.status, a.e.msg, e.msg);
	end();
}

void check_faults(void)
{
	uint64_t random = world_seed;
	size_t   n = 0;

	if (!make_images())
		return;
	check_read_only();
	for (size_t i = 0; i < countof(scenarios); i++)
		n += one_scenario(&scenarios[i], &random);
	for (size_t i = 0; i < countof(image); i++)
		disk_free(image[i]);
	serving_clear();
	printf("#    faults: %zu met of %zu, in %zu kinds of work\n", struck, n, countof(scenarios));
	check(n > 500 && struck > n - n / 20, "faults: each kind of call", "%zu of %zu", struck, n);
}
