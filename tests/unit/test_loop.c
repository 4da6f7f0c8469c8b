/* test_loop.c - the use cases on a store, without HTTP: events to examples to a version, and what goes wrong. */
#include "../../lib/reconcile.c"

#include "base/log.h"
#include "examples.h"
#include "models/model.h"
#include "serving.h"
#include "train.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sqlite3.h>

#include <cmocka.h>

#define CONFIG "<View><Text name=\"text\" value=\"$text\"/><Choices name=\"label\" toName=\"text\">" \
               "<Choice value=\"good\"/><Choice value=\"bad\"/></Choices></View>"
#define RESULT(label) "[{\"from_name\":\"label\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"" label "\"]}}]"

static char dir[] = "/tmp/prelabel-loop.XXXXXX";

static struct env settings = { .train_every = 10, .logreg_c = 10, .train_threads = 1, .keep_versions = 5, .keep_history = 1000,
                               .model_dir = dir };

static void must(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%s", e->msg);
}

static struct store *fresh(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	struct store *st;
	struct err    e = { 0 };
	char          path[sizeof dir + 64];

	serving_clear();
	for (size_t i = 0; i < countof(ends); i++) {
		snprintf(path, sizeof path, "%s/" STORE_FILE "%s", dir, ends[i]);
		unlink(path);
	}
	must(store_open(&st, dir, 200, &e), &e);
	return st;
}

static struct project get(struct store *st, int64_t row, struct arena *a)
{
	struct project p;
	struct err     e = { 0 };

	must(store_project_get(st, row, a, &p, &e), &e);
	return p;
}

static int64_t new_project(struct store *st, int64_t id)
{
	struct arena a;
	struct project p;
	struct err   e = { 0 };
	int64_t      row;

	arena_init(&a, 1 << 20);
	must(store_begin(st, &e), &e);
	must(store_project_ensure(st, id, 1700000000, &row, &e), &e);
	p = get(st, row, &a);
	must(project_configure(st, &settings, &p, SPAN(CONFIG), NULL, &e), &e);
	must(store_commit(st, &e), &e);
	arena_clear(&a);
	return row;
}

/* One event with one annotation of a task of the same number. */
static int64_t label_raw(struct store *st, int64_t project, int64_t id, struct span data, struct span result)
{
	struct task_row       t = { .id = id, .updated_us = STORE_NULL, .data = data };
	struct annotation_row a = { .id = id, .task = id, .completed_by = 1, .updated_us = STORE_NULL, .result = result };
	struct err            e = { 0 };
	int64_t               event;
	bool                  changed, task_changed;

	must(store_begin(st, &e), &e);
	must(store_event_add(st, project, "webhook", "ANNOTATION_CREATED", &event, &e), &e);
	must(store_task_put(st, project, &t, 0, &task_changed, &e), &e);
	must(store_annotation_put(st, project, &a, event, 0, &changed, &e), &e);
	must(store_event_end(st, project, event, changed, 0, 1, &e), &e);
	must(store_commit(st, &e), &e);
	return event;
}

static void label(struct store *st, int64_t project, int64_t id, const char *text, const char *result)
{
	char data[128];

	snprintf(data, sizeof data, "{\"text\":\"%s\"}", text);
	label_raw(st, project, id, span_of(data), span_of(result));
}

static void label_four(struct store *st, int64_t project)
{
	label(st, project, 1, "great food", RESULT("good"));
	label(st, project, 2, "cold soup", RESULT("bad"));
	label(st, project, 3, "friendly staff", RESULT("good"));
	label(st, project, 4, "rude waiter", RESULT("bad"));
}

static void queue(struct store *st, int64_t project, const char *reason)
{
	struct err e = { 0 };

	must(store_begin(st, &e), &e);
	must(store_job_queue(st, project, reason, clock_s(), NULL, &e), &e);
	must(store_commit(st, &e), &e);
}

static int take_at(struct store *st, int64_t project, int64_t now_s, struct lease *lease)
{
	struct err e = { 0 };
	int        rc;

	must(store_begin(st, &e), &e);
	rc = store_lease_take(st, project, now_s, lease, &e);
	must(rc, &e);
	must(store_commit(st, &e), &e);
	return rc;
}

static void finish(struct store *st, const struct lease *lease)
{
	struct err e = { 0 };

	must(store_begin(st, &e), &e);
	must(store_lease_finish(st, lease, JOB_DONE, clock_s(), NULL, &e), &e);
	must(store_commit(st, &e), &e);
}

static void train_now(struct store *st, int64_t project, struct train_result *result)
{
	struct train_options opt = { .foreground = true };
	struct err           e = { 0 };

	must(train_run(st, &settings, project, &opt, result, &e), &e);
}

/* ---- trainers ---------------------------------------------------------------- */

static void a_training_publishes_what_is_then_served(void **state)
{
	struct store       *st = fresh();
	int64_t             row = new_project(st, 1);
	struct train_result result;
	struct serving     *s;
	struct project      p;
	struct arena        a;
	struct err          e = { 0 };

	(void)state;
	label_four(st, row);
	train_now(st, row, &result);
	assert_int_equal(result.state, JOB_DONE);
	arena_init(&a, 1 << 20);
	p = get(st, row, &a);
	assert_int_equal(p.updates, 4);
	assert_int_equal(p.updates_trained, 4);
	must(serving_get(st, &settings, &p, SPAN(CONFIG), &s, &e), &e);
	assert_string_equal(s->version, result.version);
	serving_release(s);
	arena_clear(&a);
	store_close(st);
}

struct waiting {
	int64_t             project;
	struct train_result result;
	int                 rc;
	struct err          e;
};

static void *foreground(void *arg)
{
	struct waiting      *w = arg;
	struct train_options opt = { .foreground = true };
	struct store        *st;

	w->rc = store_open(&st, dir, 2000, &w->e);
	if (w->rc == 0) {
		w->rc = train_run(st, &settings, w->project, &opt, &w->result, &w->e);
		store_close(st);
	}
	return NULL;
}

/* `prelabel train` while a trainer is at work, which takes all that is queued for
 * it behind its own job: the person's command has to come to an end too. */
static void a_person_who_waits_for_another_trainer_is_served(void **state)
{
	struct store   *st = fresh();
	int64_t         row = new_project(st, 1);
	struct waiting  w = { .project = row };
	struct lease    lease;
	struct timespec until;
	pthread_t       thread;

	(void)state;
	label_four(st, row);
	queue(st, row, "updates");
	assert_int_equal(take_at(st, row, clock_s(), &lease), 0);
	assert_int_equal(pthread_create(&thread, NULL, foreground, &w), 0);
	usleep(500 * 1000);
	finish(st, &lease);
	if (take_at(st, row, clock_s(), &lease) == 0)
		finish(st, &lease);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	if (pthread_timedjoin_np(thread, NULL, &until) != 0) {
		train_stop();
		pthread_join(thread, NULL);
		fail_msg("still waiting after 60 s");
	}
	assert_int_equal(w.rc, 0);
	assert_int_equal(w.result.state, JOB_DONE);
	assert_string_not_equal(w.result.version, "");
	store_close(st);
}

/* A training that kills its trainer (out of memory, say) never comes to the line
 * that counts failures. */
static void a_job_that_kills_its_trainers_is_given_up(void **state)
{
	struct train_options opt = { .foreground = false };
	struct store        *st = fresh();
	int64_t              row = new_project(st, 1);
	struct train_result  result;
	struct lease         lease;
	struct job           job;
	struct arena         a;
	struct err           e = { 0 };

	(void)state;
	label_four(st, row);
	queue(st, row, "updates");
	for (int i = 0; i < JOB_ATTEMPTS_MAX; i++)
		assert_int_equal(take_at(st, row, clock_s() - 1000 + 100 * i, &lease), 0);
	must(train_run(st, &settings, row, &opt, &result, &e), &e);
	assert_int_equal(result.state, JOB_FAILED);
	arena_init(&a, 1 << 20);
	assert_int_equal(store_job_last(st, row, &a, &job, &e), 0);
	assert_int_equal(job.state, JOB_FAILED);
	assert_non_null(strstr(job.note.p, "died"));
	/* and the next one starts anew */
	train_now(st, row, &result);
	assert_int_equal(result.state, JOB_DONE);
	arena_clear(&a);
	store_close(st);
}

/* An event may have made the project, before Label Studio's first /setup. */
static void without_a_config_a_training_says_so(void **state)
{
	struct store       *st = fresh();
	struct train_result result;
	struct job          job;
	struct arena        a;
	struct err          e = { 0 };
	int64_t             row;

	(void)state;
	must(store_project_ensure(st, 1, 1700000000, &row, &e), &e);
	train_now(st, row, &result);
	assert_int_equal(result.state, JOB_SKIPPED);
	arena_init(&a, 1 << 20);
	assert_int_equal(store_job_last(st, row, &a, &job, &e), 0);
	assert_non_null(strstr(job.note.p, "no labeling config is known yet"));
	arena_clear(&a);
	store_close(st);
}

static enum job_state last_state(struct store *st, int64_t row)
{
	struct arena a;
	struct job   job = { .state = JOB_NONE };
	struct err   e = { 0 };

	arena_init(&a, 1 << 20);
	assert_int_equal(store_job_last(st, row, &a, &job, &e), 0);
	arena_clear(&a);
	return job.state;
}

/* For a timer: queued jobs and those whose trainer died, of all projects; not those
 * that somebody is at, and what one project lacks keeps none of the others. */
static void what_is_due_is_trained_in_every_project(void **state)
{
	struct train_options opt = { .foreground = false };
	struct store        *st = fresh();
	int64_t              queued = new_project(st, 1), few = new_project(st, 2), orphan = new_project(st, 3),
	                     busy = new_project(st, 4), idle = new_project(st, 5);
	struct lease         lease;
	struct job           job;
	struct arena         a;
	struct err           e = { 0 };

	(void)state;
	label_four(st, queued);
	label_four(st, orphan);
	label_four(st, busy);
	label_four(st, idle);
	queue(st, queued, "updates");
	queue(st, few, "updates");
	queue(st, orphan, "updates");
	queue(st, busy, "updates");
	assert_int_equal(take_at(st, orphan, clock_s() - 100, &lease), 0);
	assert_int_equal(take_at(st, busy, clock_s(), &lease), 0);
	must(train_due(st, &settings, &opt, &e), &e);
	assert_int_equal(last_state(st, queued), JOB_DONE);
	assert_int_equal(last_state(st, few), JOB_SKIPPED);
	assert_int_equal(last_state(st, orphan), JOB_DONE);
	assert_int_equal(last_state(st, busy), JOB_RUNNING);
	arena_init(&a, 1 << 20);
	assert_int_equal(store_job_last(st, idle, &a, &job, &e), 1);
	arena_clear(&a);
	must(train_due(st, &settings, &opt, &e), &e);
	store_close(st);
}

/* With KEEP_VERSIONS=1 the parts of a version go with the publishing of the next:
 * whoever was about to read them found no damage. */
static void a_version_that_was_replaced_meanwhile_is_not_damaged(void **state)
{
	struct store       *st = fresh();
	int64_t             row = new_project(st, 1);
	struct train_result result;
	struct serving     *s;
	struct version     *list;
	struct project      before;
	struct arena        a;
	struct err          e = { 0 };
	size_t              n;

	(void)state;
	settings.keep_versions = 1;
	label_four(st, row);
	train_now(st, row, &result);
	arena_init(&a, 1 << 20);
	before = get(st, row, &a);
	label(st, row, 5, "lovely place", RESULT("good"));
	train_now(st, row, &result);
	settings.keep_versions = 5;
	serving_clear();
	must(serving_get(st, &settings, &before, SPAN(CONFIG), &s, &e), &e);
	assert_string_equal(s->version, result.version);
	serving_release(s);
	must(store_version_list(st, row, &a, &list, &n, &e), &e);
	assert_int_equal(n, 2);
	assert_false(list[0].damaged);
	assert_false(list[1].damaged);
	arena_clear(&a);
	store_close(st);
}

/* ---- examples of a store that is not what it was ------------------------------------ */

static void bytes_that_are_no_longer_json_cost_one_example(void **state)
{
	static const char *const torn[] = { "[{\"from_name\":\"la", "[{\"a\":", "[\"", "[\\", "", "[{\"type\"", "[{\"type\":\"\\u00" };
	struct label_config *config;
	struct example_set   set;
	struct store        *st = fresh();
	int64_t              row = new_project(st, 1);
	struct err           e = { 0 };

	(void)state;
	label_four(st, row);
	for (size_t i = 0; i < countof(torn); i++) {
		/* On the heap, so that a look behind its end is seen. */
		char *copy = strdup(torn[i]);

		label_raw(st, row, 10 + (int64_t)i, SPAN("{\"text\":\"x\"}"), (struct span){ copy, strlen(copy) });
		label_raw(st, row, 20 + (int64_t)i, (struct span){ copy, strlen(copy) }, SPAN(RESULT("good")));
		free(copy);
	}
	must(label_config_parse(&config, SPAN(CONFIG), &e), &e);
	for (int any = 0; any < 2; any++) {
		must(examples_read(&set, st, row, config, any, &e), &e);
		assert_int_equal(set.n_labelled, 4);
		assert_int_equal(set.n_empty, 2 * countof(torn));
		examples_clear(&set);
	}
	label_config_free(config);
	store_close(st);
}

/* Documents as deep as a request may be are no obstacle, however they are printed. */
static void deep_and_differently_printed_documents_are_examples(void **state)
{
	static const struct { const char *data, *result; } alike[] = {
		{ "{\"text\":\"\\u00e9\",\"n\":[1,{}]}", "[{\"a\": \"b\"}]" },
		{ "{\"text\" : \"\303\251\", \"n\":[1, { }] }", "[ {\"a\":\"\\u0062\"} ]" },
	};
	struct label_config *config;
	struct example_set   set;
	struct store        *st;
	struct err           e = { 0 };
	char                 deep[200], hash[2][65];
	int64_t              row;

	(void)state;
	must(label_config_parse(&config, SPAN(CONFIG), &e), &e);
	for (size_t i = 0; i < countof(alike); i++) {
		st = fresh();
		row = new_project(st, 1);
		label_raw(st, row, 1, span_of(alike[i].data), span_of(alike[i].result));
		must(examples_read(&set, st, row, config, true, &e), &e);
		memcpy(hash[i], set.hash, sizeof hash[i]);
		examples_clear(&set);
		if (i + 1 < countof(alike))
			store_close(st);
	}
	assert_string_equal(hash[0], hash[1]);
	snprintf(deep, sizeof deep, "{\"text\":%.*s%.*s}", JSON_DEPTH_MAX - 1,
	         "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", JSON_DEPTH_MAX - 1,
	         "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
	label_raw(st, row, 2, span_of(deep), SPAN(RESULT("good")));
	must(examples_read(&set, st, row, config, true, &e), &e);
	assert_int_equal(set.n, 2);
	assert_string_not_equal(set.hash, hash[0]);
	examples_clear(&set);
	label_config_free(config);
	store_close(st);
}

/* ---- bringing the store in line ------------------------------------------------------ */

static int64_t count_sql(struct store *st, const char *sql)
{
	sqlite3      *db;
	sqlite3_stmt *s;
	char          path[sizeof dir + 64];
	int64_t       n;

	(void)st;
	snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return n;
}

/* The export as read_export() takes it, its tasks given. */
static void read_tasks(struct reading *r, const char *const tasks[], size_t n)
{
	struct err e = { 0 };

	for (size_t i = 0; i < n; i++)
		must(take_task(r, span_of(tasks[i]), &e), &e);
	must(flush(r, &e), &e);
}

static void end_reading(struct reading *r)
{
	struct err e = { 0 };

	must(finish_reading(r, &e), &e);
	reading_clear(r);
}

static void begin_reading(struct reading *r, struct store *st, int64_t row, struct reconcile_result *result)
{
	struct err e = { 0 };

	reading_init(r, st, row, "export", result);
	must(store_event_last(st, &r->into.since, &e), &e);
}

#define TASK(id, annotations) "{\"id\":" id ",\"data\":{\"text\":\"t\"},\"annotations\":[" annotations "]}"
#define ANNOTATION(id) "{\"id\":" id ",\"result\":" RESULT("good") "}"

static void what_an_export_lacks_is_gone_and_nothing_else(void **state)
{
	static const char *const tasks[] = { TASK("1", ANNOTATION("1")), TASK("3", ANNOTATION("3")) };
	struct store            *st = fresh();
	int64_t                  row = new_project(st, 1);
	struct reconcile_result  result;
	struct reading           r;

	(void)state;
	label_four(st, row);
	begin_reading(&r, st, row, &result);
	label(st, row, 5, "labelled while the export was on its way", RESULT("bad"));
	read_tasks(&r, tasks, countof(tasks));
	end_reading(&r);
	assert_int_equal(count_sql(st, "SELECT sum(1 << id) FROM annotation WHERE deleted = 0"), 1 << 1 | 1 << 3 | 1 << 5);
	store_close(st);
}

/* What can't be read is left alone, as it is kept: not taken for deleted. */
static void what_cannot_be_read_in_an_export_is_kept(void **state)
{
	static const char *const tasks[] = {
		TASK("1", "{\"id\":1,\"result\":\"odd\"}"),
		"{\"id\":2,\"data\":\"odd\",\"annotations\":[" ANNOTATION("2") "]}",
		"{\"id\":\"odd\",\"data\":{},\"annotations\":[" ANNOTATION("3") "]}",
	};
	static const char *const nameless[] = { TASK("1", "{\"id\":\"odd\",\"result\":[]}") };
	struct store            *st = fresh();
	int64_t                  row = new_project(st, 1);
	struct reconcile_result  result;
	struct reading           r;

	(void)state;
	label_four(st, row);
	begin_reading(&r, st, row, &result);
	read_tasks(&r, tasks, countof(tasks));
	end_reading(&r);
	assert_int_equal(result.unreadable, 3);
	assert_int_equal(count_sql(st, "SELECT sum(1 << id) FROM annotation WHERE deleted = 0"), 1 << 1 | 1 << 2 | 1 << 3);
	/* An annotation without an id may be any: nothing is deleted then. */
	begin_reading(&r, st, row, &result);
	read_tasks(&r, nameless, countof(nameless));
	end_reading(&r);
	assert_int_equal(count_sql(st, "SELECT count(*) FROM annotation WHERE deleted = 0"), 3);
	store_close(st);
}

/* A task deleted while an export that still holds it is on its way. */
static void a_task_deleted_during_the_export_stays_deleted(void **state)
{
	static const char *const tasks[] = { TASK("1", ANNOTATION("1") "," ANNOTATION("9")) };
	struct store            *st = fresh();
	int64_t                  row = new_project(st, 1), event, changed;
	struct reconcile_result  result;
	struct reading           r;
	struct err               e = { 0 };

	(void)state;
	label_four(st, row);
	begin_reading(&r, st, row, &result);
	must(store_begin(st, &e), &e);
	must(store_event_add(st, row, "webhook", "TASKS_DELETED", &event, &e), &e);
	must(store_task_delete(st, row, 1, event, &changed, &e), &e);
	must(store_event_end(st, row, event, changed, 0, 1, &e), &e);
	must(store_commit(st, &e), &e);
	read_tasks(&r, tasks, countof(tasks));
	reading_clear(&r);
	assert_int_equal(count_sql(st, "SELECT count(*) FROM annotation WHERE task = 1 AND deleted = 0"), 0);
	assert_int_equal(count_sql(st, "SELECT count(*) FROM task WHERE id = 1 AND deleted = 0"), 0);
	assert_int_equal(count_sql(st, "SELECT count(data) FROM task WHERE id = 1"), 0);
	/* One that is read later and holds it knows better. */
	begin_reading(&r, st, row, &result);
	read_tasks(&r, tasks, countof(tasks));
	reading_clear(&r);
	assert_int_equal(count_sql(st, "SELECT count(*) FROM task WHERE id = 1 AND deleted = 0"), 1);
	assert_int_equal(count_sql(st, "SELECT count(*) FROM annotation WHERE task = 1 AND deleted = 0"), 2);
	store_close(st);
}

/* ---- forgetting -------------------------------------------------------------------------- */

/* A reader of an older view keeps the journal: then the bytes are still there, and
 * that must not read as success. */
static void compacting_says_when_bytes_are_left(void **state)
{
	struct store *st = fresh(), *reader;
	int64_t       row = new_project(st, 1);
	struct arena  a;
	struct err    e = { 0 };

	(void)state;
	label(st, row, 1, "markerword", RESULT("good"));
	must(store_open(&reader, dir, 100, &e), &e);
	must(store_begin_read(reader, &e), &e);
	arena_init(&a, 1 << 20);
	get(reader, row, &a);
	arena_clear(&a);
	must(store_begin(st, &e), &e);
	must(store_project_delete(st, row, &e), &e);
	must(store_commit(st, &e), &e);
	assert_int_equal(store_compact(st, &e), -1);
	assert_int_equal(e.code, ERR_BUSY);
	store_rollback(reader);
	err_clear(&e);
	must(store_compact(st, &e), &e);
	store_close(reader);
	store_close(st);
}

/* An annotation more, with the counter at an edge before: it is counted, or refused where
 * no number is left; it never wraps around. */
static void counters_at_their_edges_do_not_wrap(void **state)
{
	static const struct { int64_t before; bool counted; } edges[] = {
		{ INT32_MAX - 1, true }, { INT32_MAX, true }, { (int64_t)UINT32_MAX, true },
		{ INT64_MAX - 1, true }, { INT64_MAX, false },
	};
	struct arena a;
	char         sql[128];

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < countof(edges); i++) {
		struct store *st = fresh();
		int64_t       row = new_project(st, INT64_MAX - 1), event;
		struct err    e = { 0 };

		snprintf(sql, sizeof sql, "UPDATE project SET updates = %lld, updates_trained = %lld RETURNING 1",
		         (long long)edges[i].before, (long long)edges[i].before);
		count_sql(st, sql);
		must(store_begin(st, &e), &e);
		must(store_event_add(st, row, "webhook", "ANNOTATION_CREATED", &event, &e), &e);
		if (edges[i].counted) {
			must(store_event_end(st, row, event, 1, 0, 1, &e), &e);
			must(store_commit(st, &e), &e);
			assert_true(get(st, row, &a).updates == edges[i].before + 1);
		} else {
			assert_int_equal(store_event_end(st, row, event, 1, 0, 1, &e), -1);
			store_rollback(st);
			assert_true(get(st, row, &a).updates == edges[i].before);
		}
		assert_true(get(st, row, &a).id == INT64_MAX - 1);
		store_close(st);
	}
	arena_clear(&a);
}

static int make_dir(void **state)
{
	(void)state;
	log_open("test_loop", LOG_ERROR);
	return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
	(void)state;
	serving_clear();
	store_close(fresh());
	{
		char path[sizeof dir + 64];

		snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
		unlink(path);
	}
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_training_publishes_what_is_then_served),
		cmocka_unit_test(a_job_that_kills_its_trainers_is_given_up),
		cmocka_unit_test(what_is_due_is_trained_in_every_project),
		cmocka_unit_test(a_version_that_was_replaced_meanwhile_is_not_damaged),
		cmocka_unit_test(bytes_that_are_no_longer_json_cost_one_example),
		cmocka_unit_test(deep_and_differently_printed_documents_are_examples),
		cmocka_unit_test(what_an_export_lacks_is_gone_and_nothing_else),
		cmocka_unit_test(what_cannot_be_read_in_an_export_is_kept),
		cmocka_unit_test(a_task_deleted_during_the_export_stays_deleted),
		cmocka_unit_test(without_a_config_a_training_says_so),
		cmocka_unit_test(compacting_says_when_bytes_are_left),
		cmocka_unit_test(counters_at_their_edges_do_not_wrap),
		cmocka_unit_test(a_person_who_waits_for_another_trainer_is_served),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
