/*
 * test_train_faults.c - each thing that a training does fails in turn, and at each it may be
 * told to stop.
 *
 * Whatever happens: no transaction stays open, a reason is told, and the next training, when
 * the lease has ended, publishes a version of all there is to learn from.  A trainer that was
 * told to stop has handed its job back, and used up none of its attempts.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "crossval.h"
#include "examples.h"
#include "learn/metrics.h"
#include "parts.h"
#include "project.h"
#include "push.h"
#include "reconcile.h"
#include "serving.h"
#include "store/store.h"
#include "train.h"
#include "faults.h"
#include "kept_words.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int    sort;                      /* of what fails: from call to call the same, from round to round another */
static bool   stops;                     /* nothing fails: who calls is told to stop */
static double ahead_s;                   /* of the clock: what was waited for */
static double look_s;                    /* and by which it moves on with each look */

static const enum err_code sorts[] = { ERR_BUSY, ERR_LEASE, ERR_AUTH };

static bool fails(const char *name, struct err *e)
{
	if (!fault_here(name, ERR_OK))
		return false;
	if (stops) {
		train_stop();
		return false;
	}
	err_set(e, sorts[sort], "%s fails", name);
	return true;
}

#define FAILING(type, failed, real, parameters, ...) \
	static type faulty_##real parameters { return fails(#real, e) ? (failed) : real(__VA_ARGS__); }

FAILING(int, -1, store_begin, (struct store *st, struct err *e), st, e)
FAILING(int, -1, store_begin_read, (struct store *st, struct err *e), st, e)
FAILING(int, -1, store_commit, (struct store *st, struct err *e), st, e)
FAILING(int, -1, store_project_get, (struct store *st, int64_t row, struct arena *a, struct project *p, struct err *e), st, row, a, p, e)
FAILING(int, -1, store_push_get, (struct store *st, int64_t row, struct arena *a, struct push_row *p, struct err *e), st, row, a, p, e)
FAILING(int, -1, store_fetch_failed, (struct store *st, int64_t p, const char *why, struct err *e), st, p, why, e)
FAILING(int, -1, store_job_queue, (struct store *st, int64_t p, const char *why, int64_t now, int64_t *job, struct err *e), st, p, why, now, job, e)
FAILING(int, -1, store_job_now, (struct store *st, int64_t p, struct err *e), st, p, e)
FAILING(int, -1, store_job_open, (struct store *st, int64_t p, enum job_state *state, struct err *e), st, p, state, e)
FAILING(int, -1, store_job_training, (struct store *st, int64_t p, enum job_state *state, struct err *e), st, p, state, e)
FAILING(int, -1, store_job_due, (struct store *st, int64_t now, int64_t rows[], size_t max, size_t *n, struct err *e), st, now, rows, max, n, e)
FAILING(int, -1, store_lease_take, (struct store *st, int64_t p, int64_t now, struct lease *l, struct err *e), st, p, now, l, e)
FAILING(int, -1, store_lease_renew, (struct store *st, const struct lease *l, int64_t now, double share, struct err *e), st, l, now, share, e)
FAILING(int, -1, store_lease_return, (struct store *st, const struct lease *l, struct err *e), st, l, e)
FAILING(int, -1, store_lease_retry, (struct store *st, const struct lease *l, int64_t when, const char *why, struct err *e), st, l, when, why, e)
FAILING(int, -1, store_lease_finish, (struct store *st, const struct lease *l, enum job_state state, int64_t now, const char *why, struct err *e),
        st, l, state, now, why, e)
FAILING(int, -1, store_version_publish, (struct store *st, const struct lease *l, struct version *v, const struct version_part p[], size_t n,
        int64_t trained, int64_t every, int64_t keep, struct err *e), st, l, v, p, n, trained, every, keep, e)
FAILING(int, -1, store_version_name, (struct store *st, int64_t v, const char *name, struct err *e), st, v, name, e)
FAILING(int, -1, store_version_metrics, (struct store *st, int64_t v, int64_t n, double a, double f, double l, struct err *e), st, v, n, a, f, l, e)
FAILING(int, -1, store_history_prune, (struct store *st, int64_t p, int64_t keep, int64_t most, int64_t *deleted, struct err *e),
        st, p, keep, most, deleted, e)
FAILING(int, -1, label_config_replay, (struct label_config **c, struct span xml, struct span elements, struct err *e), c, xml, elements, e)
FAILING(int, -1, examples_read, (struct example_set *set, struct store *st, int64_t p, const struct label_config *c, bool any, struct err *e),
        set, st, p, c, any, e)
FAILING(int, -1, examples_read_words, (struct example_set *set, struct store *st, const struct project *p, const struct label_config *c,
        enum token_pattern pattern, struct err *e), set, st, p, c, pattern, e)
FAILING(int, -1, examples_keep_words, (const struct example_set *set, struct store *st, int64_t p, const struct label_config *c,
        enum token_pattern pattern, bool (*keep_going)(void *arg), void *arg, struct err *e), set, st, p, c, pattern, keep_going, arg, e)
FAILING(struct example *, NULL, examples_labelled, (const struct example_set *set, struct err *e), set, e)
FAILING(int, -1, example_labels, (const struct example *ex, const struct label_config *c, struct arena *a, const uint32_t **labels, size_t *n,
        struct err *e), ex, c, a, labels, n, e)
FAILING(int, -1, serving_version, (const struct env *env, const struct label_config *c, const char *names, const struct version_of *of,
        char name[VERSION_TEXT_MAX], struct err *e), env, c, names, of, name, e)
FAILING(int, -1, metrics_init, (struct metrics *m, size_t n, struct err *e), m, n, e)

static void *out_of_memory(const char *name, void *(*real)(size_t, size_t), size_t n, size_t size)
{
	struct err none = { 0 };

	return fails(name, &none) ? NULL : real(n, size);
}

static void *failing_calloc(size_t n, size_t size)
{
	return out_of_memory("calloc", calloc, n, size);
}

static void *failing_arena_array(struct arena *a, size_t n, size_t size)
{
	struct err none = { 0 };

	return fails("arena_array", &none) ? NULL : arena_array(a, n, size);
}

static enum err_code export_code;        /* what each reading of the export ends with */
static void        (*meanwhile)(struct store *st, int64_t project);      /* while predictions are written */
static int           n_pushed;           /* that came to their end */

/* A Label Studio that has nothing that is not known. */
static int fake_reconcile(struct store *st, const struct env *env, int64_t project, bool (*keep_going)(void *arg), void *arg,
                          struct reconcile_result *result, struct err *e)
{
	(void)st;
	(void)env;
	(void)project;
	*result = (struct reconcile_result){ .tasks = 4 };
	if (export_code != ERR_OK)
		return err_set(e, export_code, "no export");
	if (fails("reconcile", e))
		return -1;
	return keep_going(arg) ? 0 : err_set(e, ERR_STOPPED, "told to stop");
}

static int fake_push(struct store *st, const struct env *env, int64_t project, const struct push_options *opt,
                     struct push_result *result, struct err *e)
{
	(void)env;
	*result = (struct push_result){ .written = 1 };
	if (meanwhile != NULL)
		meanwhile(st, project);
	if (fails("push_uncertainty", e))
		return -1;
	opt->show(opt->show_arg, "writing", .5);
	if (!opt->keep_going(opt->arg))
		return err_set(e, ERR_STOPPED, "told to stop");
	n_pushed++;
	return 0;
}

static int64_t real_clock_s(void)
{
	return clock_s();
}

static int64_t fake_clock_s(void)
{
	return real_clock_s() + (int64_t)ahead_s;
}

static double fake_clock_monotonic(void)
{
	ahead_s += look_s;
	return clock_monotonic() + ahead_s;
}

static void fake_leave_turn(double held_s)
{
	(void)held_s;
}

static int fake_usleep(useconds_t us)
{
	struct err none = { 0 };

	(void)fails("usleep", &none);
	ahead_s += (double)us / 1e6;
	return 0;
}

/* Kinds of the test's own; none of them: those of the program. */
static const struct model_kind *kinds[MODEL_KINDS_MAX];
static size_t                   n_kinds;

static size_t chosen_kinds(const struct label_config *config, const char *names, const struct model_settings *settings,
                           const struct model_kind *chosen[MODEL_KINDS_MAX])
{
	if (n_kinds == 0)
		return model_kinds_for(config, names, settings, chosen);
	memcpy(chosen, kinds, sizeof kinds);
	return n_kinds;
}

#define store_begin           faulty_store_begin
#define store_begin_read      faulty_store_begin_read
#define store_commit          faulty_store_commit
#define store_project_get     faulty_store_project_get
#define store_push_get        faulty_store_push_get
#define store_fetch_failed    faulty_store_fetch_failed
#define store_job_queue       faulty_store_job_queue
#define store_job_now         faulty_store_job_now
#define store_job_open        faulty_store_job_open
#define store_job_training    faulty_store_job_training
#define store_job_due         faulty_store_job_due
#define store_lease_take      faulty_store_lease_take
#define store_lease_renew     faulty_store_lease_renew
#define store_lease_return    faulty_store_lease_return
#define store_lease_retry     faulty_store_lease_retry
#define store_lease_finish    faulty_store_lease_finish
#define store_version_publish faulty_store_version_publish
#define store_version_name    faulty_store_version_name
#define store_version_metrics faulty_store_version_metrics
#define store_history_prune   faulty_store_history_prune
#define label_config_replay   faulty_label_config_replay
#define examples_read         faulty_examples_read
#define examples_read_words   faulty_examples_read_words
#define examples_keep_words   faulty_examples_keep_words
#define examples_labelled     faulty_examples_labelled
#define example_labels        faulty_example_labels
#define serving_version       faulty_serving_version
#define metrics_init          faulty_metrics_init
#define calloc                failing_calloc
#define arena_array           failing_arena_array
#define reconcile             fake_reconcile
#define push_uncertainty      fake_push
#define clock_s               fake_clock_s
#define clock_monotonic       fake_clock_monotonic
#define usleep                fake_usleep
#define store_leave_turn      fake_leave_turn
#define model_kinds_for       chosen_kinds

#include "../../lib/train.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CONFIG(choice) "<View><Text name=\"text\" value=\"$text\"/><Choices name=\"label\" toName=\"text\"" choice ">" \
                       "<Choice value=\"good\"/><Choice value=\"bad\"/></Choices></View>"
#define RESULT(label) "[{\"from_name\":\"label\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"" label "\"]}}]"

static char dir[64];

static struct env settings = { .train_every = 2, .logreg_c = 10, .train_threads = 1, .keep_versions = 5, .keep_history = 0,
                               .model_dir = dir };

static void must(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%s", e->msg);
}

static void shown(void *arg, const char *what, double share)
{
	(void)arg;
	(void)what;
	(void)share;
}

static const struct scenario {
	const char          *name, *reason;      /* of the job that waits; NULL: none does */
	struct train_options opt;
	bool                 due;                /* train_due() */
	bool                 key;                /* there is a Label Studio */
	bool                 uncertain;          /* its queue is kept */
	bool                 running;            /* another trainer is at work */
	bool                 multiple;
	bool                 trained;            /* before, with all there is */
	bool                 texts;              /* the kinds look at more than words */
	enum err_code        no_export;          /* Label Studio is not well */
} scenarios[] = {
	{ "updates", "updates", .opt = { .foreground = false } },
	{ "multiple", "updates", .opt = { .foreground = false }, .multiple = true },
	{ "texts", "updates", .opt = { .foreground = false }, .texts = true },
	{ "command", NULL, .opt = { .foreground = true, .show = shown } },
	{ "due", "updates", .opt = { .foreground = false }, .due = true },
	{ "start", "start", .opt = { .foreground = false }, .key = true },
	{ "connect", "connect", .opt = { .foreground = false }, .key = true },
	{ "connect-trained", "connect", .opt = { .foreground = false }, .key = true, .trained = true },
	{ "unread-trained", "unread", .opt = { .foreground = false }, .key = true, .trained = true },
	{ "sync", NULL, .opt = { .foreground = true, .sync = true }, .key = true },
	{ "sync-queued", "updates", .opt = { .foreground = true, .sync = true }, .key = true },
	{ "push", "updates", .opt = { .foreground = false, .show = shown }, .key = true, .uncertain = true },
	{ "push-keyless", "updates", .opt = { .foreground = false }, .uncertain = true },
	{ "deaf", "updates", .opt = { .foreground = false }, .key = true, .no_export = ERR_REMOTE },
	{ "waiting", "updates", .opt = { .foreground = true }, .running = true },
	{ "waiting-shown", "updates", .opt = { .foreground = true, .show = shown }, .running = true },
};

static const struct model_kind odd;

static int64_t label_one(struct store *st, int64_t project, int64_t id, const char *text, const char *result)
{
	char                  data[64];
	struct task_row       t = { .id = id, .updated_us = STORE_NULL };
	struct annotation_row a = { .id = id, .task = id, .completed_by = 1, .updated_us = STORE_NULL, .result = span_of(result) };
	struct err            e = { 0 };
	int64_t               event;
	bool                  changed, task_changed;

	snprintf(data, sizeof data, "{\"text\":\"%s\"}", text);
	t.data = span_of(data);
	must(store_event_add(st, project, "webhook", "ANNOTATION_CREATED", &event, &e), &e);
	must(store_task_put(st, project, &t, 0, &task_changed, &e), &e);
	must(store_annotation_put(st, project, &a, event, 0, &changed, &e), &e);
	must(store_event_end(st, project, event, changed, 0, 1, &e), &e);
	return event;
}

static int run(const struct scenario *s, struct store *st, int64_t project, struct train_result *result, struct err *e)
{
	*result = (struct train_result){ .state = JOB_NONE };
	return s->due ? train_due(st, &settings, &s->opt, e) : train_run(st, &settings, project, &s->opt, result, e);
}

static struct store *fresh(const struct scenario *s, int64_t *project)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	struct store  *st;
	struct project p;
	struct arena   a;
	struct lease   lease;
	struct train_result result;
	struct err     e = { 0 };
	char           path[sizeof dir + 64];

	serving_clear();
	stopped = 0;
	ahead_s = 0;
	settings.ls_key = s->key ? "key" : NULL;
	kinds[0] = &odd;
	n_kinds = s->texts;
	for (size_t i = 0; i < countof(ends); i++) {
		snprintf(path, sizeof path, "%s/" STORE_FILE "%s", dir, ends[i]);
		unlink(path);
	}
	must(store_open(&st, dir, 200, &e), &e);
	arena_init(&a, 1 << 20);
	must(store_begin(st, &e), &e);
	must(store_project_ensure(st, 1, 1700000000, project, &e), &e);
	must(store_project_get(st, *project, &a, &p, &e), &e);
	must(project_configure(st, &settings, &p, s->multiple ? SPAN(CONFIG(" choice=\"multiple\"")) : SPAN(CONFIG("")), NULL, &e), &e);
	label_one(st, *project, 1, "great food", RESULT("good"));
	label_one(st, *project, 2, "cold soup", RESULT("bad"));
	label_one(st, *project, 3, "friendly staff", RESULT("good"));
	label_one(st, *project, 4, "rude waiter", RESULT("bad"));
	if (s->uncertain)
		must(store_project_uncertainty(st, *project, true, &e), &e);
	if (s->trained) {
		static const struct scenario before = { "before", NULL, .opt = { .foreground = true } };

		must(store_commit(st, &e), &e);
		must(run(&before, st, *project, &result, &e), &e);
		must(store_begin(st, &e), &e);
	}
	if (s->reason != NULL)
		must(store_job_queue(st, *project, s->reason, clock_s(), NULL, &e), &e);
	if (s->running)
		must(store_lease_take(st, *project, clock_s(), &lease, &e), &e);
	must(store_commit(st, &e), &e);
	arena_clear(&a);
	return st;
}

static int64_t number(const char *sql)
{
	sqlite3      *db;
	sqlite3_stmt *s;
	int64_t       n;
	char          path[sizeof dir + 64];

	snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return n;
}

/* Those that are kept are right, and all but so many are. */
static void words_are(struct store *st, const struct scenario *s, int64_t project, long at, size_t left)
{
	size_t      fresh;
	const char *wrong = kept_words_wrong(st, project, (enum token_pattern)settings.token_pattern, &fresh);

	if (wrong[0] != '\0' || fresh > left)
		fail_msg("%s, call %ld (%s): %s, %zu are not kept", s->name, at, fault_name, wrong, fresh);
}

/* Another program can write at once, and the next training does its work. */
static void all_is_well(const struct scenario *s, struct store *st, int64_t project, long at)
{
	const struct train_options opt = { .foreground = true };
	struct train_result        result;
	struct store              *other;
	struct err                 e = { 0 };

	must(store_open(&other, dir, 0, &e), &e);
	if (store_begin(other, &e) < 0)
		fail_msg("%s, call %ld (%s): a transaction stays open", s->name, at, fault_name);
	store_rollback(other);
	words_are(other, s, project, at, 4);
	stopped = 0;
	ahead_s += 100000;                   /* behind all leases and pauses */
	if (train_run(st, &settings, project, &opt, &result, &e) < 0 || result.state != JOB_DONE)
		fail_msg("%s, call %ld (%s): then no training: %d, \"%s\" \"%s\"", s->name, at, fault_name, result.state, e.msg, result.note);
	assert_int_equal(number("SELECT count(*) FROM train_job WHERE state IN ('queued', 'running')"), 0);
	assert_int_equal(number("SELECT updates - updates_trained FROM project"), 0);
	words_are(other, s, project, at, s->texts ? 4 : 0);
	store_close(other);
}

/* false: that many calls there are not. */
static bool point(const struct scenario *s, long at)
{
	int64_t             project;
	struct store       *st = fresh(s, &project);
	struct train_result result;
	struct err          e = { 0 };
	int                 rc;

	look_s = s->no_export == ERR_OK ? 11 : 0;            /* each look is a renewal; a pause is not over at once */
	export_code = s->no_export;
	fault_arm(at);
	rc = run(s, st, project, &result, &e);
	fault_disarm();
	look_s = 0;
	export_code = ERR_OK;
	if (rc < 0 && (e.code == ERR_OK || e.msg[0] == '\0'))
		fail_msg("%s, call %ld (%s): no reason", s->name, at, fault_name);
	if (stops && fault_name != NULL) {
		if (rc < 0 && e.code != ERR_STOPPED)
			fail_msg("%s, stopped at call %ld (%s): %d \"%s\"", s->name, at, fault_name, e.code, e.msg);
		if (!s->running && s->no_export == ERR_OK && number("SELECT count(*) FROM train_job WHERE state = 'running' OR (state = 'queued' AND attempt > 0)") > 0)
			fail_msg("%s, stopped at call %ld (%s): the job is not handed back", s->name, at, fault_name);
	}
	all_is_well(s, st, project, at);
	store_close(st);
	return fault_name != NULL;
}

static void sweep(void)
{
	for (size_t i = 0; i < countof(scenarios); i++) {
		long at = 0;

		if (sorts[sort] == ERR_AUTH && !scenarios[i].key)
			continue;                    /* the same as another failure */
		while (point(&scenarios[i], at))
			at++;
		if (at < 5)
			fail_msg("%s: %ld calls", scenarios[i].name, at);
	}
}

static void whatever_fails_the_next_training_is_right(void **state)
{
	(void)state;
	stops = false;
	for (sort = 0; sort < (int)countof(sorts); sort++)
		sweep();
	sort = 0;
}

static void wherever_it_is_told_to_stop_it_hands_its_job_back(void **state)
{
	(void)state;
	stops = true;
	sweep();
	stops = false;
}

/* ---- single matters ------------------------------------------------------------------- */

static const struct scenario plain = { "plain", NULL, .opt = { .foreground = true } };
static const struct scenario kept_order = { "order", "updates", .opt = { .foreground = false }, .key = true, .uncertain = true };

static void change(const char *sql)
{
	sqlite3 *db;
	char     path[sizeof dir + 64];

	snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void queue_another(struct store *st, int64_t project)
{
	struct err e = { 0 };

	meanwhile = NULL;
	must(store_job_queue(st, project, "start", clock_s(), NULL, &e), &e);
}

/* The lease has two more thirds; a lost one has none, and anything else no reason to go on. */
static void a_store_that_is_busy_for_a_moment_costs_no_training(void **state)
{
	int64_t       project;
	struct store *st = fresh(&kept_order, &project);
	struct run    r = { .st = st, .env = &settings, .opt = &kept_order.opt };
	struct err    e = { 0 };

	(void)state;
	must(store_lease_take(st, project, clock_s(), &r.lease, &e), &e);
	for (sort = 0; sort < (int)countof(sorts); sort++) {
		bool goes_on;

		r.renewed = clock_monotonic() - RENEW_S;
		fault_arm(0);
		goes_on = still_ours(&r, .5);
		fault_disarm();
		assert_string_equal(fault_name, "store_lease_renew");
		assert_int_equal(goes_on, sorts[sort] == ERR_BUSY);
		assert_int_equal(r.lost.code, goes_on ? ERR_OK : sorts[sort]);
		err_clear(&r.lost);
	}
	sort = 0;
	store_close(st);
}

/* A push gives way to the next training, but not for ever. */
static void a_push_gives_way_twice(void **state)
{
	(void)state;
	for (int gave_way = 0; gave_way < 3; gave_way++) {
		int64_t             project;
		struct store       *st = fresh(&kept_order, &project);
		struct train_result result;
		struct err          e = { 0 };

		must(store_push_sent(st, project, "v", STORE_NULL, 0, &e), &e);
		for (int i = 0; i < gave_way; i++)
			must(store_push_ended(st, project, STORE_NULL, true, NULL, &e), &e);
		n_pushed = 0;
		look_s = 11;
		meanwhile = queue_another;
		must(run(&kept_order, st, project, &result, &e), &e);
		look_s = 0;
		assert_int_equal(n_pushed, gave_way < 2 ? 1 : 2);       /* that of the other training is one */
		store_close(st);
	}
}

static void the_export_is_read_when_it_may_tell_something(void **state)
{
	static const struct { const char *set; bool needed; } cases[] = {
		{ "fetched_s = 1000, fetch_ms = 1000, fetch_error = NULL, unread = 0", false },
		{ "fetched_s = 1001, fetch_ms = 1000, fetch_error = NULL, unread = 0", true },         /* the clock was set back */
		{ "fetched_s = 980, fetch_ms = 1001, fetch_error = NULL, unread = 0", false },
		{ "fetched_s = 980, fetch_ms = 1000, fetch_error = NULL, unread = 0", true },
		{ "fetched_s = 1000, fetch_ms = 1000, fetch_error = 'why', unread = 0", true },
		{ "fetched_s = 1000, fetch_ms = 1000, fetch_error = NULL, unread = 1", true },
		{ "fetched_s = NULL, fetch_ms = 1000, fetch_error = NULL, unread = 0", true },
	};
	static const struct train_options full = { .full = true }, now_and_then = { .full = false };
	int64_t       project;
	struct store *st = fresh(&plain, &project);
	struct run    r = { .st = st, .env = &settings, .opt = &now_and_then,
	                    .lease = { .project = project, .reason = "updates" } };
	struct err    e = { 0 };

	(void)state;
	ahead_s = 1000 - (double)real_clock_s();
	for (size_t i = 0; i < countof(cases); i++) {
		char sql[200];
		bool needed;

		snprintf(sql, sizeof sql, "UPDATE project SET %s", cases[i].set);
		change(sql);
		must(fetch_needed(&r, &needed, &e), &e);
		if (needed != cases[i].needed)
			fail_msg("%s", cases[i].set);
		r.opt = &full;
		must(fetch_needed(&r, &needed, &e), &e);
		assert_true(needed);
		r.opt = &now_and_then;
	}
	store_close(st);
}

static void pauses_grow_to_minutes_and_differ(void **state)
{
	int64_t least = INT64_MAX, most = 0;

	(void)state;
	for (int64_t attempt = 1; attempt < 100; attempt++) {
		int64_t s = back_off_s(attempt), base = attempt < 7 ? (int64_t)RETRY_S << (attempt - 1) : 320;

		assert_in_range(s, base, base + base / 2);
		least = attempt >= 7 && s < least ? s : least;
		most = s > most ? s : most;
	}
	assert_true(least < most);
}

/* Reading is not training: what could not be read failed at no training. */
static void a_reading_that_fails_for_good_is_no_failed_training(void **state)
{
	static const struct scenario reading = { "reading", "connect", .opt = { .foreground = false }, .key = true };
	static const struct { enum err_code code; const char *attempt, *ended; } cases[] = {
		{ ERR_REMOTE, "4", "skipped" }, { ERR_SHAPE, "0", "skipped" }, { ERR_TOO_FEW, "0", "skipped" },
	};

	(void)state;
	settings.keep_history = 1000;
	for (size_t i = 0; i < countof(cases); i++) {
		int64_t             project;
		struct store       *st = fresh(&reading, &project);
		struct train_result result;
		struct err          e = { 0 };
		char                sql[200];

		snprintf(sql, sizeof sql, "UPDATE train_job SET attempt = %s", cases[i].attempt);
		change(sql);
		export_code = cases[i].code;
		must(run(&reading, st, project, &result, &e), &e);
		export_code = ERR_OK;
		snprintf(sql, sizeof sql, "SELECT count(*) FROM train_job WHERE reason = 'connect' AND state = '%s'", cases[i].ended);
		if (number(sql) != 1)
			fail_msg("case %zu: not %s", i, cases[i].ended);
		store_close(st);
	}
	settings.keep_history = 0;
}

/* ---- kinds of models that are odd --------------------------------------------------------- */

struct model { int odd; };
static struct model the_model;
static enum err_code fit_code, save_code;
static size_t        n_answered;         /* probabilities of its predictions */
static bool          chooses;            /* a label in each */
static bool          elsewhere;          /* it serves no control of the config */

static const struct control_tag *its_control;

static const struct control_tag *odd_serves(const struct label_config *config, struct span context, const struct model_settings *s)
{
	its_control = config->choices;
	(void)context;
	(void)s;
	return elsewhere ? NULL : config->choices;
}

static int odd_fit(struct model **m, const struct label_config *config, struct examples ex, const struct model_settings *s, struct err *e)
{
	(void)config;
	(void)ex;
	(void)s;
	if (fit_code != ERR_OK)
		return err_set(e, fit_code, "no fit");
	*m = &the_model;
	return 0;
}

static int never_fits(struct model **m, const struct label_config *config, struct examples ex, const struct model_settings *s, struct err *e)
{
	(void)m;
	(void)config;
	(void)ex;
	(void)s;
	return err_set(e, ERR_TOO_FEW, "too few for this one");
}

static int odd_predict(const struct model *m, const struct task *task, struct span context, struct arena *a, struct prediction *p, struct err *e)
{
	static const double proba[2] = { .5, .5 };
	static const bool   trained[2] = { true, true };
	static const char *const names[] = { "good" };
	static struct region region;

	(void)m;
	(void)task;
	(void)context;
	(void)a;
	(void)e;
	region = (struct region){ .type = REGION_CHOICES, .control = its_control, .to_name = "text", .names = names, .n_names = 1, .score = .5 };
	*p = (struct prediction){ .score = .5, .proba = proba, .trained = trained, .n_proba = n_answered, .regions = &region,
	                          .n_regions = chooses };
	return 0;
}

static int odd_save(const struct model *m, struct model_parts *parts, struct err *e)
{
	(void)m;
	parts->n = 0;
	return save_code == ERR_OK ? 0 : err_set(e, save_code, "no save");
}

static void odd_free(struct model *m)
{
	(void)m;
}

#define ODD .abi = MODEL_ABI, .format = 1, .serves = odd_serves, .predict = odd_predict, .save = odd_save, .free = odd_free
static const struct model_kind odd = { ODD, .name = "odd", .fit = odd_fit };
static const struct model_kind any = { ODD, .name = "any", .fit = odd_fit, .any_example = true };
static const struct model_kind poor = { ODD, .name = "poor", .fit = never_fits };
static const struct model_kind long_name = { ODD, .fit = odd_fit,
	.name = "a_name_of_fifty_characters_and_no_fewer_characters" };

static void odd_kinds_do_what_they_say(void **state)
{
	static const struct {
		const struct model_kind *kinds[MODEL_KINDS_MAX];
		enum err_code            fit, save;
		size_t                   n_answered;
		bool                     chooses, elsewhere, multiple;
		enum job_state           ended;
		const char              *note;
		int64_t                  held_out;       /* examples that tell how good it is */
	} cases[] = {
		{ { &odd }, .n_answered = 2, .ended = JOB_DONE },
		{ { &odd }, .n_answered = 2, .chooses = true, .ended = JOB_DONE, .held_out = 4 },
		{ { &odd }, .n_answered = 1, .chooses = true, .ended = JOB_DONE, .held_out = 2 },
		{ { &odd }, .n_answered = 0, .chooses = true, .ended = JOB_DONE },
		{ { &odd }, .n_answered = 0, .multiple = true, .ended = JOB_DONE },
		{ { &odd }, .n_answered = 2, .multiple = true, .ended = JOB_DONE, .held_out = 4 },
		{ { &poor, &odd }, .ended = JOB_DONE },
		{ { &any }, .ended = JOB_DONE },
		{ { &odd }, .elsewhere = true, .ended = JOB_DONE },
		{ { &poor, &poor }, .ended = JOB_SKIPPED, .note = "too few for this one" },
		{ { &odd }, .fit = ERR_SHAPE, .ended = JOB_SKIPPED, .note = "no fit" },
		{ { &odd }, .fit = ERR_MEMORY, .ended = JOB_QUEUED, .note = "no fit" },
		{ { &odd }, .save = ERR_MEMORY, .ended = JOB_QUEUED, .note = "no save" },
		{ { &long_name, &long_name, &long_name }, .ended = JOB_QUEUED, .note = "too long" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct scenario     s = plain;
		int64_t             project;
		struct store       *st;
		struct train_result result;
		struct err          e = { 0 };

		s.multiple = cases[i].multiple;
		st = fresh(&s, &project);
		for (n_kinds = 0; n_kinds < MODEL_KINDS_MAX && cases[i].kinds[n_kinds] != NULL; n_kinds++)
			kinds[n_kinds] = cases[i].kinds[n_kinds];
		fit_code = cases[i].fit;
		save_code = cases[i].save;
		n_answered = cases[i].n_answered;
		chooses = cases[i].chooses;
		elsewhere = cases[i].elsewhere;
		must(run(&s, st, project, &result, &e), &e);
		n_kinds = 0;
		if (result.state != cases[i].ended || (cases[i].note != NULL && strstr(result.note, cases[i].note) == NULL))
			fail_msg("case %zu: %d \"%s\"", i, result.state, result.note);
		assert_int_equal(number("SELECT coalesce(max(n_held_out), 0) FROM model_version"), cases[i].held_out);
		store_close(st);
	}
}

/* MODEL names a kind that has nothing to do with the labels. */
static void no_kind_for_a_good_config_is_said(void **state)
{
	int64_t             project;
	struct store       *st = fresh(&plain, &project);
	struct train_result result;
	struct err          e = { 0 };

	(void)state;
	settings.model = "substring";
	must(run(&plain, st, project, &result, &e), &e);
	settings.model = NULL;
	assert_int_equal(result.state, JOB_SKIPPED);
	assert_non_null(strstr(result.note, "no kind of model serves"));
	store_close(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_fails_the_next_training_is_right),
		cmocka_unit_test(wherever_it_is_told_to_stop_it_hands_its_job_back),
		cmocka_unit_test(a_store_that_is_busy_for_a_moment_costs_no_training),
		cmocka_unit_test(a_push_gives_way_twice),
		cmocka_unit_test(the_export_is_read_when_it_may_tell_something),
		cmocka_unit_test(pauses_grow_to_minutes_and_differ),
		cmocka_unit_test(a_reading_that_fails_for_good_is_no_failed_training),
		cmocka_unit_test(odd_kinds_do_what_they_say),
		cmocka_unit_test(no_kind_for_a_good_config_is_said),
	};
	char command[128];
	int  failed;

	log_open("test", LOG__MAX);
	snprintf(dir, sizeof dir, "%s/prelabel-train-faults.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(dir) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command) != 0 || failed != 0;
}
