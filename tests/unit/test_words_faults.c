/*
 * test_words_faults.c - each call of lib/examples.c that may fail does in turn: reading, counting
 * and keeping.
 *
 * A reading that fails says why, and the next one reads the right examples.  A keeping that
 * fails leaves no transaction open and nothing that a training would read otherwise than
 * without it; the next one keeps all.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "examples.h"
#include "project.h"
#include "store/store.h"
#include "studio/annotation.h"
#include "kept_words.h"
#include "faults.h"

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

static void *faulty_realloc(void *was, size_t size)
{
	return fault_here("realloc", ERR_MEMORY) ? NULL : realloc(was, size);
}

/* What the store and the readers of documents fail with is their own matter. */
static bool fails(const char *name, struct err *e)
{
	return fault_here(name, ERR_BUSY) && err_set(e, ERR_BUSY, "%s fails", name) < 0;
}

#define FAILING(real, parameters, ...) \
	static int faulty_##real parameters { return fails(#real, e) ? -1 : real(__VA_ARGS__); }

FAILING(store_begin, (struct store *st, struct err *e), st, e)
FAILING(store_commit, (struct store *st, struct err *e), st, e)
FAILING(store_project_get, (struct store *st, int64_t row, struct arena *a, struct project *p, struct err *e), st, row, a, p, e)
FAILING(store_project_words, (struct store *st, int64_t row, const char *form, struct err *e), st, row, form, e)
FAILING(store_annotation_words, (struct store *st, int64_t p, int64_t id, struct span words, struct span label, struct err *e),
        st, p, id, words, label, e)
FAILING(store_examples, (struct store *st, int64_t p, bool words, int64_t first, int64_t last,
        int (*each)(void *arg, const struct labelled_row *row, struct err *e), void *arg, struct err *e),
        st, p, words, first, last, each, arg, e)
FAILING(annotation_label, (struct span result, const struct label_config *c, struct arena *a, enum annotation_outcome *o, struct span *label,
        struct err *e), result, c, a, o, label, e)
FAILING(annotation_labels, (struct span result, const struct label_config *c, struct arena *a, enum annotation_outcome *o, const uint32_t **v,
        size_t *n, struct err *e), result, c, a, o, v, n, e)
FAILING(example_labels, (const struct example *ex, const struct label_config *c, struct arena *a, const uint32_t **v, size_t *n, struct err *e),
        ex, c, a, v, n, e)
FAILING(task_text, (const struct task *task, const struct object_tag *tag, struct arena *a, struct span *text, struct err *e),
        task, tag, a, text, e)
FAILING(json_text, (struct span value, struct arena *a, struct span *text, struct err *e), value, a, text, e)

static void no_pause(double held_s)
{
	(void)held_s;
}

#define realloc                faulty_realloc
#define calloc                 faulty_calloc
#define arena_alloc            faulty_arena_alloc
#define arena_array            faulty_arena_array
#define arena_copy             faulty_arena_copy
#define store_begin            faulty_store_begin
#define store_commit           faulty_store_commit
#define store_project_get      faulty_store_project_get
#define store_project_words    faulty_store_project_words
#define store_annotation_words faulty_store_annotation_words
#define store_examples         faulty_store_examples
#define annotation_label       faulty_annotation_label
#define annotation_labels      faulty_annotation_labels
#define example_labels         faulty_example_labels
#define task_text              faulty_task_text
#define json_text              faulty_json_text
#define store_leave_turn       no_pause

#include "../../lib/examples.c"

#undef store_begin
#undef store_commit
#undef store_project_get

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CONFIG(choice) "<View><Text name=\"text\" value=\"$text\"/><Choices name=\"label\" toName=\"text\" choice=\"" choice "\">" \
                       "<Choice value=\"good\"/><Choice value=\"bad\"/></Choices></View>"
#define FEW  6
#define MANY 70                          /* more than a first array holds */
#define LOTS 1010                        /* three transactions */

static char                 dir[64];
static struct env           settings = { .train_every = 1000000, .model_dir = dir };
static struct store        *st;
static int64_t              row;
static struct label_config *config;

static void must(int rc, const struct err *e)
{
	if (rc < 0)
		fail_msg("%s", e->msg);
}

static void sql(const char *text)
{
	sqlite3 *db;
	char     path[sizeof dir + 64];

	snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void put(int64_t id)
{
	char                  data[100], result[200];
	struct task_row       t = { .id = id, .updated_us = STORE_NULL };
	struct annotation_row a = { .id = id, .task = id, .completed_by = 1, .updated_us = STORE_NULL };
	struct err            e = { 0 };
	int64_t               event;
	bool                  changed, task_changed;

	snprintf(data, sizeof data, "{\"text\":\"caf\\u00e9 number %d\",\"n\":1}", (int)id);
	snprintf(result, sizeof result, "[{\"from_name\":\"label\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"%s\"]}}]",
	         id % 2 == 0 ? "g\\u006fod" : "bad");
	t.data = span_of(data);
	a.result = span_of(result);
	must(store_event_add(st, row, "webhook", "ANNOTATION_CREATED", &event, &e), &e);
	must(store_task_put(st, row, &t, 0, &task_changed, &e), &e);
	must(store_annotation_put(st, row, &a, event, 0, &changed, &e), &e);
	must(store_event_end(st, row, event, changed, 0, 1, &e), &e);
}

static void close_store(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char                     path[sizeof dir + 64];

	store_close(st);
	st = NULL;
	label_config_free(config);
	config = NULL;
	for (size_t i = 0; i < countof(ends); i++) {
		snprintf(path, sizeof path, "%s/" STORE_FILE "%s", dir, ends[i]);
		unlink(path);
	}
}

static void open_store(const char *xml, int64_t n)
{
	struct project p;
	struct arena   a;
	struct err     e = { 0 };

	close_store();
	arena_init(&a, 1 << 20);
	must(store_open(&st, dir, 200, &e), &e);
	must(store_begin(st, &e), &e);
	must(store_project_ensure(st, 1, 1700000000, &row, &e), &e);
	must(store_project_get(st, row, &a, &p, &e), &e);
	must(project_configure(st, &settings, &p, span_of(xml), NULL, &e), &e);
	for (int64_t id = 1; id <= n; id++)
		put(id);
	must(store_commit(st, &e), &e);
	arena_clear(&a);
	must(label_config_parse(&config, span_of(xml), &e), &e);
}

static int read_words(struct example_set *set, struct err *e)
{
	struct project p;
	struct arena   a;
	struct err     none = { 0 };
	int            rc;

	arena_init(&a, 1 << 20);
	must(store_project_get(st, row, &a, &p, &none), &none);
	rc = examples_read_words(set, st, &p, config, TOKEN_WORD, e);
	arena_clear(&a);
	return rc;
}

static bool always(void *arg)
{
	(void)arg;
	return true;
}

static int keep(const struct example_set *set, struct err *e)
{
	return examples_keep_words(set, st, row, config, TOKEN_WORD, always, NULL, e);
}

static void keep_all(void)
{
	struct example_set set;
	struct err         e = { 0 };

	must(read_words(&set, &e), &e);
	must(keep(&set, &e), &e);
	examples_clear(&set);
}

static const char *as_it_was_told(int rc, const struct err *e)
{
	return rc == 0 ? "it is taken for good" : e->msg[0] == '\0' ? "no reason" : e->code != fault_code ? "another reason" : "";
}

/* ---- reading ---------------------------------------------------------------------------- */

static int do_read(struct err *e, char hash[65])
{
	struct example_set set;
	int                rc = examples_read(&set, st, row, config, false, e);

	snprintf(hash, 65, "%s", set.hash);
	examples_clear(&set);
	return rc;
}

static int do_read_any(struct err *e, char hash[65])
{
	struct example_set set;
	int                rc = examples_read(&set, st, row, config, true, e);

	snprintf(hash, 65, "%s", set.hash);
	examples_clear(&set);
	return rc;
}

static int do_read_words(struct err *e, char hash[65])
{
	struct example_set set;
	struct example    *v = NULL;
	int                rc = read_words(&set, e);

	snprintf(hash, 65, "%s", set.hash);
	if (rc == 0 && (v = examples_labelled(&set, e)) == NULL)
		rc = -1;
	free(v);
	examples_clear(&set);
	return rc;
}

static int do_count(struct err *e, char hash[65])
{
	int64_t n = 0;
	int     rc = examples_count(st, row, config, false, &n, e);

	snprintf(hash, 65, "%d", (int)n);
	return rc;
}

static int do_labels(struct err *e, char hash[65])
{
	size_t n = 0;
	int    rc = examples_labels(st, row, config, 2, &n, e);

	snprintf(hash, 65, "%zu", n);
	return rc;
}

static const struct {
	const char *name;
	int       (*run)(struct err *e, char hash[65]);
} readings[] = {
	{ "texts", do_read }, { "any", do_read_any }, { "words", do_read_words }, { "count", do_count }, { "labels", do_labels },
};

static const char *const configs[] = { CONFIG("single"), CONFIG("multiple") };

/* All kept, some, none. */
static void each_call_of_a_reading_fails_in_turn(void **state)
{
	(void)state;
	for (size_t c = 0; c < countof(configs); c++)
		for (int kept = 0; kept < 3; kept++) {
			open_store(configs[c], c == 0 && kept == 0 ? MANY : FEW);
			if (kept > 0)
				keep_all();
			if (kept == 2)
				sql("UPDATE task SET data = '{\"text\":\"edited\"}' WHERE id IN (2, 3)");
			for (size_t i = 0; i < countof(readings); i++)
				for (long at = 0; ; at++) {
					char        hash[65], again[65];
					struct err  e = { 0 };
					const char *wrong;
					int         rc;

					fault_arm(at);
					rc = readings[i].run(&e, hash);
					fault_disarm();
					if (fault_name == NULL) {
						must(rc, &e);
						assert_true(at > 0);
						break;
					}
					wrong = as_it_was_told(rc, &e);
					if (wrong[0] != '\0')
						fail_msg("%s, call %ld (%s) fails: %s: %d \"%s\"", readings[i].name, at, fault_name, wrong, rc, e.msg);
					err_clear(&e);
					must(readings[i].run(&e, hash), &e);
					must(readings[i].run(&e, again), &e);
					assert_string_equal(hash, again);
				}
		}
	close_store();
}

/* ---- keeping ------------------------------------------------------------------------------ */

static void is_well(const char *what, long at, size_t n_fresh)
{
	struct store *other;
	struct err    e = { 0 };
	size_t        fresh;
	const char   *wrong;

	must(store_open(&other, dir, 0, &e), &e);
	if (store_begin(other, &e) < 0)
		fail_msg("%s, call %ld (%s): a transaction stays open", what, at, fault_name);
	store_rollback(other);
	wrong = kept_words_wrong(other, row, TOKEN_WORD, &fresh);
	store_close(other);
	if (wrong[0] != '\0')
		fail_msg("%s, call %ld (%s): %s", what, at, fault_name, wrong);
	if (fresh > n_fresh)
		fail_msg("%s, call %ld (%s): %zu are not kept", what, at, fault_name, fresh);
}

/* false: that many calls there are not. */
static bool point(const char *what, int64_t n, long at)
{
	struct example_set set;
	struct err         e = { 0 };
	const char        *wrong;
	int                rc;

	must(read_words(&set, &e), &e);
	fault_arm(at);
	rc = keep(&set, &e);
	fault_disarm();
	examples_clear(&set);
	if (fault_name == NULL)
		must(rc, &e);
	wrong = fault_name == NULL ? "" : as_it_was_told(rc, &e);
	if (wrong[0] != '\0')
		fail_msg("%s, call %ld (%s) fails: %s: %d \"%s\"", what, at, fault_name, wrong, rc, e.msg);
	is_well(what, at, fault_name == NULL ? 0 : (size_t)n);
	keep_all();
	is_well(what, at, 0);
	return fault_name != NULL;
}

/* 0: the first time; 1: some are new, some changed, skipped or overruled; 2: their form is another. */
static void before(int how)
{
	static const char *const sqls[] = {
		"UPDATE project SET words_form = NULL; UPDATE annotation SET words = NULL, label = NULL",
		"UPDATE task SET data = '{\"text\":\"now ' || id || hex(randomblob(4)) || '\"}' WHERE id IN (2, 3);"
		"UPDATE annotation SET was_cancelled = 1 WHERE id = 4; UPDATE annotation SET result = '[]' WHERE id = 5;"
		"UPDATE annotation SET words = NULL WHERE id > 5",
		"UPDATE project SET words_form = 'another'; UPDATE annotation SET words = 'not these', label = 'bad' WHERE id <> 5",
	};

	sql(sqls[how]);
}

static void each_call_of_a_keeping_fails_in_turn(void **state)
{
	static const char *const names[] = { "the first time", "some are new", "of another form" };

	(void)state;
	for (size_t c = 0; c < countof(configs); c++) {
		open_store(configs[c], FEW);
		for (int how = 0; how < 3; how++) {
			long at = 0;

			do
				before(how);
			while (point(names[how], FEW, at++));
			if (at < 10)
				fail_msg("%s: %ld calls", names[how], at);
		}
	}
	close_store();
}

/* Between two transactions and in the later ones; all calls of them would be thousands. */
static void a_keeping_of_several_transactions_fails_anywhere(void **state)
{
	(void)state;
	open_store(configs[0], LOTS);
	for (int how = 0; how < 3; how += 2) {
		long at = 0;

		do {
			before(how);
			at += 1499;
		} while (point("of lots", LOTS, at));
		assert_true(at > 3 * 1499);
	}
	close_store();
}

/* ---- single matters ------------------------------------------------------------------------- */

/* A result that is torn on the disk is looked at, though its label was kept: only who reads
 * words takes the label in its place. */
static void a_kept_label_is_no_reason_to_trust_its_result(void **state)
{
	static const char *const torn[] = { "[{\"from_name\":\"la", "[{\"a\":", "[\"", "[{\"type\":\"\\u00", "" };
	char                     text[300];

	(void)state;
	for (size_t i = 0; i < countof(torn); i++)
		for (int any = 0; any < 2; any++) {
			struct example_set set;
			struct err         e = { 0 };
			int64_t            n;

			open_store(configs[0], FEW);
			keep_all();
			/* No trigger sees what a disk does. */
			snprintf(text, sizeof text, "DROP TRIGGER annotation_changed; UPDATE annotation SET result = '%s' WHERE id = 2", torn[i]);
			sql(text);
			must(examples_read(&set, st, row, config, any, &e), &e);
			assert_int_equal(set.n_empty, 1);
			assert_int_equal(set.n, FEW - 1);
			examples_clear(&set);
			must(examples_count(st, row, config, any, &n, &e), &e);
			assert_int_equal(n, FEW - 1);
			must(read_words(&set, &e), &e);
			assert_int_equal(set.n, FEW);
			examples_clear(&set);
		}
	close_store();
}

/* A project that is forgotten meanwhile: nothing is left open. */
static bool forget(void *arg)
{
	struct err e = { 0 };

	(void)arg;
	must(store_begin(st, &e), &e);
	must(store_project_delete(st, row, &e), &e);
	must(store_commit(st, &e), &e);
	return true;
}

static void a_project_that_is_gone_keeps_nothing(void **state)
{
	(void)state;
	for (int anew = 0; anew < 2; anew++) {
		struct example_set set;
		struct err         e = { 0 };

		open_store(configs[0], FEW);
		if (!anew) {
			keep_all();
			before(1);
		}
		must(read_words(&set, &e), &e);
		assert_int_equal(set.other_form, anew);
		if (examples_keep_words(&set, st, row, config, TOKEN_WORD, forget, NULL, &e) < 0)
			assert_int_equal(e.code, ERR_NOT_FOUND);
		must(store_begin(st, &e), &e);
		store_rollback(st);
		examples_clear(&set);
	}
	close_store();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_of_a_reading_fails_in_turn),
		cmocka_unit_test(each_call_of_a_keeping_fails_in_turn),
		cmocka_unit_test(a_keeping_of_several_transactions_fails_anywhere),
		cmocka_unit_test(a_kept_label_is_no_reason_to_trust_its_result),
		cmocka_unit_test(a_project_that_is_gone_keeps_nothing),
	};
	int failed;

	log_open("test", LOG__MAX);
	snprintf(dir, sizeof dir, "%s/prelabel-words-faults.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(dir) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return rmdir(dir) != 0 || failed != 0;
}
