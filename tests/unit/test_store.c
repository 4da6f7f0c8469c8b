/* test_store.c - store.h: statements, rules of order, leases, versions, opening. */
#include <string.h>
#include <sys/statvfs.h>

static int mounted(const char *path, struct statvfs *fs);
#define statvfs(path, fs) mounted(path, fs)
#include "../../lib/store/store_sqlite.c"
#undef statvfs

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char dir[] = "/tmp/prelabel-store.XXXXXX";

static bool read_only;       /* as it is mounted for who opens a store now */
static bool unknown;         /* nobody can say how */

static int mounted(const char *path, struct statvfs *fs)
{
	(void)path;
	memset(fs, 0, sizeof *fs);
	fs->f_flag = read_only ? ST_RDONLY : 0;
	return unknown ? -1 : 0;
}

static struct store *opened(void)
{
	struct store *st;
	struct err    e = { 0 };

	if (store_open(&st, dir, 100, &e) < 0)
		fail_msg("%s", e.msg);
	return st;
}

static void path_to(char path[static sizeof dir + 64], const char *end)
{
	snprintf(path, sizeof dir + 64, "%s/" STORE_FILE "%s", dir, end);
}

static void remove_store(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char path[sizeof dir + 64];

	for (size_t i = 0; i < countof(ends); i++) {
		path_to(path, ends[i]);
		unlink(path);
	}
}

/* A store of its own for each test. */
static struct store *fresh(void)
{
	remove_store();
	return opened();
}

/* The file as a person opens it with sqlite3. */
static sqlite3 *by_hand(void)
{
	sqlite3 *db;
	char     path[sizeof dir + 64];

	path_to(path, "");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	return db;
}

/* A store as a program of an older schema left it, with what `sql` puts there. */
static void leave_older(int schema, const char *sql)
{
	sqlite3 *db;
	char     mark[48];

	remove_store();
	db = by_hand();
	for (int i = 0; i < schema; i++)
		assert_int_equal(sqlite3_exec(db, schema_sql[i], NULL, NULL, NULL), SQLITE_OK);
	snprintf(mark, sizeof mark, "PRAGMA user_version = %d", schema);
	assert_int_equal(sqlite3_exec(db, mark, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static int64_t number(struct store *st, const char *sql)
{
	sqlite3_stmt *s;
	int64_t       n;

	assert_int_equal(sqlite3_prepare_v2(st->db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return n;
}

static int64_t project(struct store *st, int64_t id, int64_t created_s)
{
	struct err e = { 0 };
	int64_t    row = 0;

	assert_int_equal(store_project_ensure(st, id, created_s, &row, &e), 0);
	return row;
}

static void every_statement_is_prepared_on_a_fresh_schema(void **state)
{
	struct store *st = fresh();

	(void)state;
	for (int i = 0; i < SQL__MAX; i++) {
		sqlite3_stmt *s;

		if (sqlite3_prepare_v2(st->db, sql_text[i], -1, &s, NULL) != SQLITE_OK)
			fail_msg("%s: %s", sql_text[i], sqlite3_errmsg(st->db));
		sqlite3_finalize(s);
	}
	store_close(st);
}

/* A store of before choice="multiple" had any meaning. */
static void an_older_store_learns_who_has_several_labels(void **state)
{
	struct store *st, person = { .db = NULL };

	(void)state;
	leave_older(1,
		"INSERT INTO project (id, control, text_key, labels, label_config) VALUES"
		" (1, 'c', 't', '[\"a\",\"b\"]', '<Choices name=\"c\" choice=\"multiple\">'),"
		" (2, 'c', 't', '[\"a\",\"b\"]', '<Choices name=\"c\" choice=\"single\">'), (3, NULL, NULL, NULL, NULL);"
		"INSERT INTO task (project, id, data) VALUES (1, 1, '{\"t\":\"x\"}'), (2, 1, '{\"t\":\"x\"}');"
		"INSERT INTO annotation (project, id, task, result, event) VALUES"
		" (1, 1, 1, '[{\"type\":\"choices\",\"from_name\":\"c\",\"value\":{\"choices\":[\"b\",\"gone\",\"a\"]}}]', 1),"
		" (1, 2, 1, '[{\"type\":\"choices\",\"from_name\":\"c\",\"value\":{\"choices\":[\"gone\"]}}]', 1),"
		" (2, 1, 1, '[{\"type\":\"choices\",\"from_name\":\"c\",\"value\":{\"choices\":[\"b\",\"a\"]}}]', 1);");
	st = opened();
	assert_int_equal(number(st, "SELECT sum(multiple * id) FROM project"), 1);
	store_close(st);
	person.db = by_hand();
	assert_int_equal(number(&person, "SELECT count(*) FROM v_example"), 2);
	assert_int_equal(number(&person, "SELECT label = '[\"a\",\"b\"]' FROM v_example WHERE project = 1"), 1);
	assert_int_equal(number(&person, "SELECT label = 'b' FROM v_example WHERE project = 2"), 1);
	sqlite3_close(person.db);
}

static void a_label_that_reads_like_an_empty_list_has_no_examples(void **state)
{
	struct store person = { .db = NULL };

	(void)state;
	store_close(fresh());
	person.db = by_hand();
	assert_int_equal(sqlite3_exec(person.db,
		"INSERT INTO project (id, control, text_key, labels, multiple) VALUES (1, 'c', 't', '[\"[]\"]', 0), (2, 'c', 't', '[\"a\"]', 1);"
		"INSERT INTO task (project, id, data) VALUES (1, 1, '{}'), (2, 1, '{}');"
		"INSERT INTO annotation (project, id, task, result, event) VALUES"
		" (1, 1, 1, '[{\"type\":\"choices\",\"from_name\":\"c\",\"value\":{\"choices\":[\"[]\"]}}]', 1),"
		" (1, 2, 1, '[]', 1), (2, 1, 1, '[]', 1);", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(number(&person, "SELECT count(*) FROM v_example WHERE label = '[]' AND project = 1"), 1);
	assert_int_equal(number(&person, "SELECT count(*) FROM v_example"), 1);
	sqlite3_close(person.db);
}

/* Looking inside is supported, with views of one's own, too.  SQLite reads them all before
 * it renames a column: one over v_example, whose JSON a program does not trust, or over
 * what is gone shut the store. */
static void a_view_that_somebody_added_stops_no_migration(void **state)
{
	struct store *st, person = { .db = NULL };
	struct err    e = { 0 };

	(void)state;
	leave_older(7,
		"CREATE VIEW mine AS SELECT label, count(*) AS n FROM v_example GROUP BY label;"
		"CREATE VIEW sums AS SELECT hex(sha256) AS sum FROM model_part;"
		"CREATE VIEW broken AS SELECT x FROM gone;");
	st = opened();
	/* And the programs' own guard is up again. */
	assert_int_equal(exec(st, "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = sql", &e), -1);
	store_close(st);
	person.db = by_hand();
	assert_int_equal(number(&person, "SELECT (SELECT count(*) FROM mine) + (SELECT count(*) FROM sums)"), 0);
	sqlite3_close(person.db);
}

/* The supervisor asks every second, and ended jobs are kept. */
static void due_jobs_are_found_without_reading_those_that_ended(void **state)
{
	struct store *st = fresh();
	sqlite3_stmt *s;
	char          sql[1024];

	(void)state;
	snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", sql_text[SQL_JOB_DUE]);
	assert_int_equal(sqlite3_prepare_v2(st->db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	assert_non_null(strstr((const char *)sqlite3_column_text(s, 3), "USING INDEX train_job_open"));
	sqlite3_finalize(s);
	store_close(st);
}

/* As sqlite3 opens it: the programs themselves don't trust a schema with JSON in
 * its views, and have no need of them. */
static void the_views_answer_a_person_with_sqlite3(void **state)
{
	struct store *st = fresh(), person = { .db = NULL };

	(void)state;
	person.db = by_hand();
	number(&person, "SELECT count(*) FROM v_project");
	number(&person, "SELECT count(*) FROM v_training");
	number(&person, "SELECT count(*) FROM v_example");
	sqlite3_close(person.db);
	store_close(st);
}

static void a_committed_write_is_on_disk_and_the_journal_is_wal(void **state)
{
	struct store *st = fresh();

	(void)state;
	assert_int_equal(number(st, "PRAGMA synchronous"), 2);
	assert_int_equal(number(st, "PRAGMA foreign_keys"), 1);
	assert_int_equal(number(st, "PRAGMA secure_delete"), 1);
	assert_int_equal(number(st, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
	store_close(st);
}

static void the_store_is_for_its_owner_alone(void **state)
{
	struct store *st = fresh(), *other;
	struct err    e = { 0 };
	struct stat   sb;
	char          path[sizeof dir + 64], link_dir[sizeof dir + 64], link_to[sizeof dir + 96];

	(void)state;
	snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	store_close(st);
	chmod(path, 0644);
	assert_int_equal(store_open(&st, dir, 100, &e), 0);
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	store_close(st);

	snprintf(link_dir, sizeof link_dir, "%s/link", dir);
	mkdir(link_dir, 0700);
	snprintf(link_to, sizeof link_to, "%s/" STORE_FILE, link_dir);
	assert_int_equal(symlink(path, link_to), 0);
	assert_int_equal(store_open(&other, link_dir, 100, &e), -1);
	unlink(link_to);
	rmdir(link_dir);
}

static void a_folder_that_is_none_is_refused(void **state)
{
	static char   long_name[5000];
	char          file[sizeof dir + 64], below[sizeof dir + 96], as_store[sizeof dir + 96];
	struct store *st;
	struct err    e = { 0 };
	FILE         *f;

	(void)state;
	memset(long_name, 'x', sizeof long_name - 1);
	long_name[0] = '/';
	snprintf(file, sizeof file, "%s/file", dir);
	snprintf(below, sizeof below, "%s/below", file);
	snprintf(as_store, sizeof as_store, "%s/taken/" STORE_FILE, dir);
	f = fopen(file, "we");
	assert_non_null(f);
	fclose(f);
	const struct { const char *dir; enum err_code code; const char *why; } cases[] = {
		{ "", ERR_USAGE, "too long or empty" }, { long_name, ERR_USAGE, "too long or empty" },
		{ file, ERR_STORE, "not a folder" }, { below, ERR_STORE, "can't be made" },
	};

	for (size_t i = 0; i < countof(cases); i++) {
		if (store_open(&st, cases[i].dir, 100, &e) != -1 || e.code != cases[i].code || strstr(e.msg, cases[i].why) == NULL)
			fail_msg("case %zu: %d %s", i, e.code, e.msg);
		err_clear(&e);
	}
	/* What stands at the store's place is no file. */
	*strrchr(as_store, '/') = '\0';
	assert_int_equal(mkdir(as_store, 0700), 0);
	as_store[strlen(as_store)] = '/';
	assert_int_equal(mkdir(as_store, 0700), 0);
	*strrchr(as_store, '/') = '\0';
	assert_int_equal(store_open(&st, as_store, 100, &e), -1);
	assert_int_equal(e.code, ERR_STORE);
	as_store[strlen(as_store)] = '/';
	rmdir(as_store);
	*strrchr(as_store, '/') = '\0';
	rmdir(as_store);
	unlink(file);
}

static void a_newer_store_is_refused(void **state)
{
	struct store *st = fresh(), *again;
	struct err    e = { 0 };

	(void)state;
	assert_int_equal(exec(st, "PRAGMA user_version = 1000", &e), 0);
	store_close(st);
	assert_int_equal(store_open(&again, dir, 100, &e), -1);
	assert_int_equal(e.code, ERR_STORE);
	assert_non_null(strstr(e.msg, "newer prelabel"));
}

static void a_damaged_schema_number_is_no_index(void **state)
{
	struct store *st = fresh(), *again;
	struct err    e = { 0 };

	(void)state;
	assert_int_equal(exec(st, "PRAGMA user_version = -2000000000", &e), 0);
	store_close(st);
	assert_int_equal(store_open(&again, dir, 100, &e), -1);
	assert_int_equal(e.code, ERR_DAMAGED);
}

static void a_project_is_one_row_a_pair(void **state)
{
	struct store *st = fresh();
	struct err    e = { 0 };
	int64_t       a, b, row;

	(void)state;
	a = project(st, 7, STORE_NULL);
	assert_int_equal(project(st, 7, 1700), a);          /* it gets its seconds */
	assert_int_equal(project(st, 7, 1700), a);
	b = project(st, 7, 1800);                           /* a re-created database */
	assert_int_not_equal(a, b);
	assert_int_equal(project(st, 7, STORE_NULL), b);    /* the newest */
	assert_int_equal(store_project_find(st, 7, 1700, &row, &e), 0);
	assert_int_equal(row, a);
	assert_int_equal(store_project_find(st, 7, 1900, &row, &e), 1);
	assert_int_equal(store_project_find(st, 8, STORE_NULL, &row, &e), 1);
	store_close(st);
}

/* What is found by its number is what is found in two steps; and the state of the store
 * is another one after every commit, of this connection or another. */
static void a_project_is_found_and_read_at_once(void **state)
{
	static const struct { int64_t id, created_s; } ask[] = {
		{ 7, 1700 }, { 7, 1800 }, { 7, 1900 }, { 7, STORE_NULL }, { 8, STORE_NULL }, { 8, 5 }, { 9, 1 },
	};
	struct store  *st = fresh(), *other;
	struct err     e = { 0 };
	struct project p;
	struct arena   a;
	int64_t        row, before[2], after[2];

	(void)state;
	arena_init(&a, 1 << 20);
	project(st, 7, 1700);
	project(st, 7, 1800);
	project(st, 8, STORE_NULL);
	for (size_t i = 0; i < sizeof ask / sizeof ask[0]; i++) {
		int rc = store_project_find(st, ask[i].id, ask[i].created_s, &row, &e);

		assert_int_equal(store_project_named(st, ask[i].id, ask[i].created_s, &a, &p, &e), rc);
		if (rc == 0)
			assert_true(p.row == row && p.id == ask[i].id);
	}
	assert_int_equal(store_state(st, before, &e), 0);
	assert_int_equal(store_state(st, after, &e), 0);
	assert_memory_equal(before, after, sizeof before);
	project(st, 10, 1);
	assert_int_equal(store_state(st, after, &e), 0);
	assert_memory_not_equal(before, after, sizeof before);
	assert_int_equal(store_open(&other, dir, 100, &e), 0);
	project(other, 11, 1);
	assert_int_equal(store_state(st, before, &e), 0);
	assert_memory_not_equal(before, after, sizeof before);
	store_close(other);
	arena_clear(&a);
	store_close(st);
}

/* A container that has the folder read-only, beside another that writes. */
static void a_store_that_is_read_only_here_may_change_elsewhere(void **state)
{
	struct store *st = fresh(), *reader;
	struct err    e = { 0 };

	(void)state;
	project(st, 7, 1);
	store_close(st);
	read_only = true;
	assert_int_equal(store_open(&reader, dir, 100, &e), 0);
	assert_true(reader->immutable);
	assert_int_equal(number(reader, "SELECT count(*) FROM project"), 1);
	assert_false(store_outdated(reader));
	read_only = false;
	assert_int_equal(store_open(&st, dir, 100, &e), 0);
	read_only = true;
	project(st, 8, 1);
	assert_true(store_outdated(reader));        /* by its journal */
	store_close(st);
	assert_true(store_outdated(reader));        /* which is gone */
	store_close(reader);
	assert_int_equal(store_open(&reader, dir, 100, &e), 0);
	assert_int_equal(number(reader, "SELECT count(*) FROM project"), 2);
	assert_false(store_outdated(reader));
	read_only = false;
	assert_true(store_outdated(reader));
	store_close(reader);
}

/* By anything that tells one file from another, and by what can't be said. */
static void a_file_that_changed_is_noticed(void **state)
{
	struct store   *st = fresh(), *reader;
	struct err      e = { 0 };
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { 0 } };
	struct stat     was;
	char            path[sizeof dir + 64], other[sizeof dir + 64];

	(void)state;
	project(st, 7, 1);
	store_close(st);
	read_only = true;
	assert_int_equal(store_open(&reader, dir, 100, &e), 0);
	snprintf(path, sizeof path, "%s/" STORE_FILE, dir);
	snprintf(other, sizeof other, "%s/other", dir);
	was = reader->file;
	assert_false(store_outdated(reader));
	unknown = true;
	assert_true(store_outdated(reader));
	unknown = false;
	for (int i = 0; i < 2; i++) {
		times[1] = was.st_mtim;
		times[1].tv_sec += i == 0;
		times[1].tv_nsec = (times[1].tv_nsec + (i == 1)) % 1000000000;
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
		assert_true(store_outdated(reader));
	}
	times[1] = was.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_false(store_outdated(reader));
	assert_int_equal(truncate(path, was.st_size + 1), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_true(store_outdated(reader));
	assert_int_equal(truncate(path, was.st_size), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_false(store_outdated(reader));
	assert_int_equal(rename(path, other), 0);
	assert_true(store_outdated(reader));                /* it is not there */
	{
		FILE *f = fopen(path, "we");

		assert_non_null(f);
		assert_int_equal(fclose(f), 0);
	}
	assert_int_equal(truncate(path, was.st_size), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_true(store_outdated(reader));                /* another one, of its size and time */
	assert_int_equal(rename(other, path), 0);
	assert_false(store_outdated(reader));
	store_close(reader);
	read_only = false;
}

/* It is opened by a URI, in which they mean something else. */
static void a_path_is_taken_as_it_is(void **state)
{
	struct store *st;
	struct err    e = { 0 };
	char          odd[sizeof dir + 64], command[2 * sizeof dir + 160];

	(void)state;
	snprintf(odd, sizeof odd, "%s/50%% off? #1 %%41", dir);
	assert_int_equal(store_open(&st, odd, 100, &e), 0);
	project(st, 7, 1);
	store_close(st);
	read_only = true;
	assert_int_equal(store_open(&st, odd, 100, &e), 0);
	assert_true(st->immutable);
	assert_int_equal(number(st, "SELECT count(*) FROM project"), 1);
	store_close(st);
	read_only = false;
	snprintf(command, sizeof command, "rm -rf '%s'", odd);
	assert_int_equal(system(command), 0);
}

/* Of a folder whose own name still fits. */
static void a_store_without_room_for_its_name_is_refused(void **state)
{
	struct store *st;
	struct err    e = { 0 };
	char          deep[4096];
	size_t        n = strlen(dir);

	(void)state;
	memcpy(deep, dir, n);
	for (; n + 2 < sizeof deep - 4; n += 2)
		memcpy(deep + n, "/.", 2);
	deep[n] = '\0';
	assert_int_equal(store_open(&st, deep, 100, &e), -1);
	assert_int_equal(e.code, ERR_USAGE);
	assert_non_null(strstr(e.msg, "too long"));
	assert_null(st);
}

static int publish_bytes(struct store *st, int64_t p, struct span bytes, struct version *v, struct err *e);

/* No bytes are bytes, too. */
static void an_empty_part_is_a_part(void **state)
{
	static const struct span none[] = { { NULL, 0 }, { "", 0 } };

	(void)state;
	for (size_t i = 0; i < countof(none); i++) {
		struct store  *st = fresh();
		struct version v;
		struct span    got = { NULL, 1 };
		struct err     e = { 0 };
		int64_t        p = project(st, 1, 1);

		assert_int_equal(publish_bytes(st, p, none[i], &v, &e), 0);
		assert_int_equal(store_part(st, v.row, "weights", &got, &e), 0);
		assert_int_equal(got.len, 0);
		assert_string_equal(got.p, "");
		free((void *)(uintptr_t)got.p);
		store_close(st);
	}
}

/* Without a time of its own it gives way to one with, and to none again when it differs. */
static void a_task_without_a_time_gives_way(void **state)
{
	struct store *st = fresh();
	struct err    e = { 0 };
	int64_t       p = project(st, 1, 1);
	const struct { int64_t at; struct span data; bool changed; } steps[] = {
		{ STORE_NULL, SPAN("{\"a\":1}"), true }, { 10, SPAN("{\"a\":2}"), true }, { 9, SPAN("{\"a\":3}"), false },
		{ STORE_NULL, SPAN("{\"a\":4}"), true }, { STORE_NULL, SPAN("{\"a\":4}"), false }, { 11, SPAN("{\"a\":5}"), true },
	};

	(void)state;
	for (size_t i = 0; i < countof(steps); i++) {
		const struct task_row t = { .id = 5, .updated_us = steps[i].at, .data = steps[i].data };
		bool                  changed;

		assert_int_equal(store_task_put(st, p, &t, 0, &changed, &e), 0);
		if (changed != steps[i].changed)
			fail_msg("step %zu", i);
	}
	store_close(st);
}

static void what_is_not_there_is_said(void **state)
{
	struct store  *st = fresh();
	struct project p;
	struct arena   a;
	struct err     e = { 0 };

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(store_project_get(st, 99, &a, &p, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(state_of(SPAN("what a newer prelabel may call it")), JOB_NONE);
	store_part_close(NULL);
	arena_clear(&a);
	store_close(st);
}

/* ---- order and repetition -------------------------------------------------------- */

static bool put(struct store *st, int64_t p, int64_t id, int64_t updated_us, const char *result)
{
	const struct annotation_row a = { .id = id, .task = 5, .completed_by = 1, .updated_us = updated_us,
	                                  .result = span_of(result) };
	struct err                  e = { 0 };
	bool                        changed;

	if (store_annotation_put(st, p, &a, 1, 0, &changed, &e) < 0)
		fail_msg("%s", e.msg);
	return changed;
}

static int64_t drop(struct store *st, int64_t p, int64_t id)
{
	struct err e = { 0 };
	int64_t    changed;

	assert_int_equal(store_annotation_delete(st, p, id, 1, &changed, &e), 0);
	return changed;
}

static void what_is_not_later_changes_nothing(void **state)
{
	struct store *st = fresh();
	int64_t       p = project(st, 1, 1);

	(void)state;
	assert_true(put(st, p, 1, 100, "[1]"));
	assert_false(put(st, p, 1, 100, "[1]"));            /* again */
	assert_false(put(st, p, 1, 100, "[2]"));            /* not later */
	assert_false(put(st, p, 1, 99, "[2]"));             /* older */
	assert_true(put(st, p, 1, 101, "[2]"));
	assert_true(put(st, p, 1, STORE_NULL, "[3]"));      /* no time: newer … */
	assert_false(put(st, p, 1, STORE_NULL, "[3]"));     /* … unless it is equal */
	assert_int_equal(number(st, "SELECT count(*) FROM annotation"), 1);
	store_close(st);
}

static void every_order_of_create_update_delete_ends_the_same(void **state)
{
	static const int order[][4] = {
		{ 0, 1, 2, 3 }, { 0, 1, 3, 2 }, { 0, 2, 1, 3 }, { 0, 2, 3, 1 }, { 0, 3, 1, 2 }, { 0, 3, 2, 1 },
		{ 1, 0, 2, 3 }, { 1, 0, 3, 2 }, { 1, 2, 0, 3 }, { 1, 2, 3, 0 }, { 1, 3, 0, 2 }, { 1, 3, 2, 0 },
		{ 2, 0, 1, 3 }, { 2, 0, 3, 1 }, { 2, 1, 0, 3 }, { 2, 1, 3, 0 }, { 2, 3, 0, 1 }, { 2, 3, 1, 0 },
		{ 3, 0, 1, 2 }, { 3, 0, 2, 1 }, { 3, 1, 0, 2 }, { 3, 1, 2, 0 }, { 3, 2, 0, 1 }, { 3, 2, 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < countof(order); i++) {
		struct store *st = fresh();
		int64_t       p = project(st, 1, 1), deletions = 0;

		for (size_t k = 0; k < 4; k++)
			switch (order[i][k]) {
			case 0: put(st, p, 1, 100, "[1]"); break;
			case 1: put(st, p, 1, 200, "[2]"); break;
			case 2: deletions += drop(st, p, 1); break;
			case 3: put(st, p, 2, 100, "[1]"); put(st, p, 2, 100, "[1]"); break;
			}
		assert_int_equal(number(st, "SELECT count(*) FROM annotation WHERE deleted = 0"), 1);
		assert_int_equal(number(st, "SELECT id FROM annotation WHERE deleted = 0"), 2);
		assert_true(deletions <= 1);
		store_close(st);
	}
}

static void a_task_that_was_deleted_takes_its_annotations_with_it(void **state)
{
	struct store *st = fresh();
	struct err    e = { 0 };
	int64_t       p = project(st, 1, 1), changed;

	(void)state;
	put(st, p, 1, 100, "[1]");
	put(st, p, 2, 100, "[1]");
	assert_int_equal(store_task_delete(st, p, 5, 1, &changed, &e), 0);
	assert_int_equal(changed, 2);
	assert_false(put(st, p, 3, 900, "[1]"));            /* a late event of that task */
	assert_int_equal(number(st, "SELECT count(*) FROM annotation WHERE deleted = 0"), 0);
	store_close(st);
}

static void an_export_brings_back_only_what_was_deleted_before_it(void **state)
{
	struct store               *st = fresh();
	const struct annotation_row a = { .id = 1, .task = 5, .completed_by = 1, .updated_us = 100,
	                                  .result = SPAN("[1]") };
	struct err                  e = { 0 };
	int64_t                     p = project(st, 1, 1), changed;
	bool                        put_back;

	(void)state;
	assert_int_equal(store_annotation_delete(st, p, 1, 10, &changed, &e), 0);
	assert_int_equal(store_annotation_put(st, p, &a, 20, 9, &put_back, &e), 0);
	assert_false(put_back);                             /* deleted while the export was read */
	assert_int_equal(store_annotation_put(st, p, &a, 20, 10, &put_back, &e), 0);
	assert_true(put_back);
	store_close(st);
}

/* Label Studio prints an annotation with blanks in an event and without in an export, and
 * may move its time along without a word: neither is a change. */
static void an_export_that_says_the_same_changes_nothing(void **state)
{
	struct store         *st = fresh();
	struct annotation_row a = { .id = 1, .task = 5, .completed_by = 1, .updated_us = 100,
	                            .result = SPAN("[{\"a\":1,\"b\":[\"\\u00e9\"]}]") };
	struct task_row       t = { .id = 5, .updated_us = 100, .data = SPAN("{\"b\":\"x\",\"text\":\"y\"}") };
	struct err            e = { 0 };
	int64_t               p = project(st, 1, 1);
	bool                  changed;

	(void)state;
	assert_true(put(st, p, 1, 100, "[{\"b\": [\"\xc3\xa9\"], \"a\": 1}]"));
	assert_int_equal(store_annotation_put(st, p, &a, 2, 1, &changed, &e), 0);
	assert_false(changed);
	a.updated_us = 300;
	assert_int_equal(store_annotation_put(st, p, &a, 2, 1, &changed, &e), 0);
	assert_false(changed);
	assert_false(put(st, p, 1, 200, "[2]"));            /* older than what the export said */
	a.result = SPAN("[{\"a\":2,\"b\":[\"\\u00e9\"]}]");
	assert_int_equal(store_annotation_put(st, p, &a, 2, 1, &changed, &e), 0);
	assert_true(changed);                               /* the export has the last word */

	assert_int_equal(store_task_put(st, p, &t, 0, &changed, &e), 0);
	assert_true(changed);
	t.data = SPAN("{\"text\": \"\\u0079\", \"b\": \"x\"}");
	t.updated_us = 200;
	assert_int_equal(store_task_put(st, p, &t, 0, &changed, &e), 0);
	assert_false(changed);
	store_close(st);
}

/* ---- jobs ---------------------------------------------------------------------------- */

static void a_job_has_one_trainer_until_its_lease_ends(void **state)
{
	struct store *st = fresh();
	struct lease  a, b;
	struct err    e = { 0 };
	int64_t       p = project(st, 1, 1), due[4];
	size_t        n;

	(void)state;
	assert_int_equal(store_lease_take(st, p, 1000, &a, &e), 1);             /* no job */
	assert_int_equal(store_job_queue(st, p, "updates", 1000, NULL, &e), 0);
	assert_int_equal(store_job_queue(st, p, "updates", 1000, NULL, &e), 0); /* still one */
	assert_int_equal(number(st, "SELECT count(*) FROM train_job"), 1);
	assert_int_equal(store_lease_take(st, p, 1000, &a, &e), 0);
	assert_int_equal(store_lease_take(st, p, 1030, &b, &e), 1);             /* good until then */
	assert_int_equal(store_job_due(st, 1030, due, 4, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(store_lease_renew(st, &a, 1020, 0.5, &e), 0);
	assert_int_equal(store_lease_take(st, p, 1050, &b, &e), 1);
	assert_int_equal(store_job_due(st, 1051, due, 4, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(store_lease_take(st, p, 1051, &b, &e), 0);
	assert_int_equal(b.attempt, 2);
	assert_int_equal(store_lease_renew(st, &a, 1052, 0.6, &e), -1);         /* the first has lost it */
	assert_int_equal(e.code, ERR_LEASE);
	store_close(st);
}

static void a_clock_set_back_does_not_hold_a_lease_for_ever(void **state)
{
	struct store *st = fresh();
	struct lease  a, b;
	struct err    e = { 0 };
	int64_t       p = project(st, 1, 1), day = 86400;

	(void)state;
	store_job_queue(st, p, "updates", 10 * day, NULL, &e);
	assert_int_equal(store_lease_take(st, p, 10 * day, &a, &e), 0);
	assert_int_equal(store_lease_take(st, p, 9 * day, &b, &e), 0);          /* ends over 30 s ahead */
	store_close(st);
}

static int publish_part(struct store *st, const struct lease *lease, int64_t trained, struct span bytes, int64_t keep,
                        struct version *v, struct err *e)
{
	const struct version_part part = { "weights", bytes };

	*v = (struct version){ .kind = SPAN("kind"), .formats = SPAN("1"), .labels = SPAN("[]"), .examples_hash = SPAN("hash"),
	                       .token_pattern = SPAN("word"), .created_s = 1000 };
	return store_version_publish(st, lease, v, &part, 1, trained, 10, keep, e);
}

static int publish_one(struct store *st, const struct lease *lease, int64_t trained, struct version *v, struct err *e)
{
	return publish_part(st, lease, trained, SPAN("bytes"), 2, v, e);
}

static void a_trainer_that_lost_its_lease_publishes_nothing(void **state)
{
	struct store  *st = fresh();
	struct version v;
	struct lease   a, b;
	struct err     e = { 0 };
	int64_t        p = project(st, 1, 1);

	(void)state;
	store_job_queue(st, p, "updates", 1000, NULL, &e);
	store_lease_take(st, p, 1000, &a, &e);
	store_lease_take(st, p, 2000, &b, &e);
	assert_int_equal(store_begin(st, &e), 0);
	assert_int_equal(publish_one(st, &a, 0, &v, &e), -1);
	assert_int_equal(e.code, ERR_LEASE);
	store_rollback(st);
	assert_int_equal(number(st, "SELECT count(*) FROM model_version"), 0);
	err_clear(&e);
	assert_int_equal(publish_one(st, &b, 0, &v, &e), 0);
	assert_int_equal(v.number, 1);
	store_close(st);
}

static void events_during_a_training_count_for_the_next_one(void **state)
{
	struct store  *st = fresh();
	struct version v;
	struct lease   lease;
	struct arena   a;
	struct project pr;
	struct err     e = { 0 };
	int64_t        p = project(st, 1, 1), event = 0;
	enum job_state open;

	(void)state;
	arena_init(&a, 1 << 20);
	store_job_queue(st, p, "updates", 1000, NULL, &e);
	store_lease_take(st, p, 1000, &lease, &e);
	store_event_add(st, p, "webhook", "X", &event, &e);
	assert_int_equal(store_event_end(st, p, event, 14, 0, 1000, &e), 0);
	assert_int_equal(publish_one(st, &lease, 4, &v, &e), 0);
	assert_int_equal(store_project_get(st, p, &a, &pr, &e), 0);
	assert_int_equal(pr.updates - pr.updates_trained, 10);
	assert_int_equal(pr.version.number, 1);
	assert_int_equal(store_job_open(st, p, &open, &e), 0);
	assert_int_equal(open, JOB_QUEUED);                 /* due again */
	arena_clear(&a);
	store_close(st);
}

static void a_training_asked_for_during_another_follows_it(void **state)
{
	struct store  *st = fresh();
	struct version v;
	struct lease   lease;
	struct err     e = { 0 };
	int64_t        p = project(st, 1, 1);
	enum job_state open;

	(void)state;
	store_job_queue(st, p, "updates", 1000, NULL, &e);
	store_lease_take(st, p, 1000, &lease, &e);
	assert_int_equal(store_job_queue(st, p, "start", 1001, NULL, &e), 0);
	assert_int_equal(publish_one(st, &lease, 0, &v, &e), 0);
	assert_int_equal(store_job_open(st, p, &open, &e), 0);
	assert_int_equal(open, JOB_QUEUED);
	store_close(st);
}

/* A job that only reads the export delays no training, and what takes its place reads it. */
static void a_training_takes_the_place_of_a_reading(void **state)
{
	struct store *st = fresh();
	struct lease  lease;
	struct err    e = { 0 };
	int64_t       p = project(st, 1, 1), rows[4];
	size_t        n;

	(void)state;
	assert_int_equal(store_job_unasked(st, rows, 4, &n, &e), 0);
	assert_int_equal(n, 1);
	store_job_queue(st, p, "connect", 1000, NULL, &e);
	assert_int_equal(store_job_unasked(st, rows, 4, &n, &e), 0);
	assert_int_equal(n, 0);
	store_lease_take(st, p, 1000, &lease, &e);
	assert_int_equal(store_lease_retry(st, &lease, 1300, "down", &e), 0);
	store_job_queue(st, p, "sync", 1001, NULL, &e);             /* as good as it */
	assert_int_equal(store_lease_take(st, p, 1001, &lease, &e), 1);
	store_job_queue(st, p, "updates", 1001, NULL, &e);
	assert_int_equal(number(st, "SELECT unread FROM project"), 1);
	assert_int_equal(store_lease_take(st, p, 1001, &lease, &e), 0);
	assert_string_equal(lease.reason, "updates");
	store_job_queue(st, p, "sync", 1002, NULL, &e);
	store_job_queue(st, p, "labels", 1002, NULL, &e);           /* outweighs it */
	assert_int_equal(number(st, "SELECT again = 'labels' FROM train_job"), 1);
	store_job_queue(st, p, "sync", 1003, NULL, &e);
	assert_int_equal(number(st, "SELECT again = 'labels' FROM train_job"), 1);
	assert_int_equal(number(st, "SELECT unread FROM project"), 1);
	p = project(st, 2, 1);
	store_job_queue(st, p, "updates", 1000, NULL, &e);
	store_job_queue(st, p, "sync", 1000, NULL, &e);             /* the one that is queued reads */
	assert_int_equal(number(st, "SELECT unread FROM project WHERE id = 2"), 1);
	assert_int_equal(e.code, ERR_OK);
	store_close(st);
}

/* ---- versions ---------------------------------------------------------------------------- */

static void publish_again(struct store *st, int64_t p, struct version *v)
{
	struct lease lease;
	struct err   e = { 0 };

	store_job_queue(st, p, "start", 1000, NULL, &e);
	assert_int_equal(store_lease_take(st, p, 1000, &lease, &e), 0);
	assert_int_equal(publish_one(st, &lease, 0, v, &e), 0);
}

static void old_weights_go_and_the_one_in_force_stays(void **state)
{
	struct store  *st = fresh();
	struct version v[5];
	struct err     e = { 0 };
	int64_t        p = project(st, 1, 1);

	(void)state;
	publish_again(st, p, &v[0]);
	publish_again(st, p, &v[1]);
	publish_again(st, p, &v[2]);
	assert_int_equal(number(st, "SELECT count(*) FROM model_part"), 2);
	assert_int_equal(number(st, "SELECT count(*) FROM model_version"), 3);
	/* Rolled back to 2; 4 and 5 come and the newest two are kept. */
	assert_int_equal(store_version_select(st, p, v[1].row, &e), 0);
	assert_int_equal(number(st, "SELECT number FROM model_version v JOIN project p ON v.row = current_version"), 2);
	publish_again(st, p, &v[3]);
	publish_again(st, p, &v[4]);
	assert_int_equal(number(st, "SELECT min(v.number) FROM model_part m JOIN model_version v ON v.row = m.version"), 4);
	store_close(st);
}

/* What this process did so far, to files or wherever, "wchar:" for bytes written, "syscr:"
 * for calls that read; 0 where the kernel does not tell. */
static int64_t done_so_far(const char *what)
{
	FILE     *f = fopen("/proc/self/io", "r");
	char      line[80];
	long long n = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, what, 6) == 0)
			n = atoll(line + 6);
	if (f != NULL)
		fclose(f);
	return n;
}

/* A new version takes the pages that an old one gives up: they go to the journal once,
 * and once from there to the database. */
static void a_version_is_written_once(void **state)
{
	enum { SIZE = 6000000 };
	struct store *st = fresh();
	char         *bytes = malloc(SIZE);
	struct err    e = { 0 };
	int64_t       p = project(st, 1, 1), database, wal, before;

	(void)state;
	assert_non_null(bytes);
	for (int i = 0; i < 4; i++) {
		struct version v;
		struct lease   lease;

		memset(bytes, 'a' + i, SIZE);
		assert_int_equal(store_compact(st, &e), 0);          /* leaves an empty journal */
		store_job_queue(st, p, "command", 1000, NULL, &e);
		assert_int_equal(store_lease_take(st, p, 1000, &lease, &e), 0);
		before = done_so_far("wchar:");
		assert_int_equal(store_begin(st, &e), 0);
		assert_int_equal(publish_part(st, &lease, 0, (struct span){ bytes, SIZE }, 2, &v, &e), 0);
		assert_int_equal(store_commit(st, &e), 0);
		store_sizes(st, &database, &wal);
		assert_in_range(wal, SIZE, SIZE + SIZE / 10);
		assert_true(done_so_far("wchar:") - before < 2 * SIZE + SIZE / 5);
	}
	assert_int_equal(number(st, "SELECT count(*) FROM model_part"), 2);
	free(bytes);
	store_close(st);
}

/* Plain CGI reads a part's blocks in each request.  Without a map of the pages, the last is
 * behind all before it: 489 pages of this part. */
static void a_block_is_read_without_those_before_it(void **state)
{
	enum { SIZE = 2000000, VERSIONS = 7 };
	struct store  *st = fresh();
	char          *bytes = calloc(1, SIZE);
	struct version v[VERSIONS];
	struct err     e = { 0 };
	int64_t        p = project(st, 1, 1), before;

	(void)state;
	assert_non_null(bytes);
	assert_int_equal(number(st, "PRAGMA auto_vacuum"), 2);
	/* From the fourth on they take the pages that one before gave up. */
	for (int i = 0; i < VERSIONS; i++)
		assert_int_equal(publish_bytes(st, p, (struct span){ bytes, SIZE }, &v[i], &e), 0);
	store_close(st);
	for (int i = VERSIONS - 2; i < VERSIONS; i++) {
		struct partial *s;

		st = opened();
		assert_int_equal(store_part_open(st, v[i].row, "weights", &s, &e), 0);
		before = done_so_far("syscr:");
		assert_int_equal(partial_need(s, SIZE - 1, 1, &e), 0);
		assert_true(done_so_far("syscr:") - before < 100);
		store_part_close(s);
		store_close(st);
	}
	free(bytes);
}

/* A store of before there was the map has it when it is compacted. */
static void an_older_store_gets_the_map_of_its_pages(void **state)
{
	struct store *st;
	struct err    e = { 0 };

	(void)state;
	leave_older(1, "");
	st = opened();
	assert_int_equal(number(st, "PRAGMA auto_vacuum"), 0);
	project(st, 1, 1);
	assert_int_equal(store_compact(st, &e), 0);
	store_close(st);
	st = opened();
	assert_int_equal(number(st, "PRAGMA auto_vacuum"), 2);
	assert_int_equal(number(st, "SELECT count(*) FROM project"), 1);
	store_close(st);
}

/* What lies further back than the newest 3: counted, and in no use. */
static void what_lies_back_is_deleted_and_counted(void **state)
{
	struct store  *st = fresh();
	struct version v = { .row = 0 };
	struct err     e = { 0 };
	int64_t        p, other, event = 0, deleted, total = 0;
	bool           changed;

	(void)state;
	assert_int_equal(store_begin(st, &e), 0);
	p = project(st, 7, 1);
	other = project(st, 8, 1);
	for (int i = 0; i < 10; i++) {
		const struct annotation_row a = { .id = i + 1, .task = 1, .updated_us = 5, .completed_by = 1, .result = SPAN("[]") };

		assert_int_equal(store_event_add(st, p, "webhook", "X", &event, &e), 0);
		assert_int_equal(store_annotation_put(st, p, &a, event, 0, &changed, &e), 0);
		assert_int_equal(store_event_end(st, p, event, 1, 0, 9, &e), 0);
		assert_int_equal(store_event_add(st, other, "webhook", "X", &event, &e), 0);
	}
	assert_int_equal(store_annotation_delete(st, p, 2, event, &deleted, &e), 0);
	assert_int_equal(store_commit(st, &e), 0);
	for (int i = 0; i < 10; i++)
		publish_again(st, p, &v);       /* weights of the newest 2 are kept */
	assert_int_equal(store_begin(st, &e), 0);
	/* the second is in force, and has its weights no more; readings follow the last training */
	assert_int_equal(exec(st, "UPDATE project SET current_version = (SELECT row FROM model_version WHERE number = 2) WHERE row = 1;"
	                          "INSERT INTO train_job (project, state, reason, queued_s) SELECT 1, 'done', 'sync', 0 FROM train_job;"
	                          "INSERT INTO train_job (project, state, reason, queued_s) VALUES (1, 'failed', 'updates', 0);"
	                          "UPDATE train_job SET state = 'skipped' WHERE state = 'failed';"
	                          "INSERT INTO train_job (project, state, reason, queued_s) SELECT 1, 'done', 'sync', 0 FROM train_job LIMIT 5;",
	                      &e), 0);
	do {
		assert_int_equal(store_history_prune(st, p, 3, 4, &deleted, &e), 0);
		assert_true(deleted <= 12);
		total += deleted;
	} while (deleted > 0);
	assert_int_equal(store_commit(st, &e), 0);
	assert_int_equal(number(st, "SELECT count(*) FROM event WHERE project = 1"), 3);
	assert_int_equal(number(st, "SELECT count(*) FROM event WHERE project = 2"), 10);
	assert_int_equal(number(st, "SELECT min(row) FROM event WHERE project = 1"), 15);
	/* the open one, 5 readings, and the training behind them, which the status tells of */
	assert_int_equal(number(st, "SELECT count(*) FROM train_job"), 7);
	assert_int_equal(number(st, "SELECT count(*) FROM train_job WHERE state IN ('skipped', 'queued')"), 2);
	assert_int_equal(number(st, "SELECT sum(jobs) FROM train_job_pruned"), 21);
	/* the newest 3 (2 of them with weights), and the one in force */
	assert_int_equal(number(st, "SELECT count(*) FROM model_version"), 4);
	assert_int_equal(number(st, "SELECT count(*) FROM model_version v JOIN project p ON p.current_version = v.row"), 1);
	assert_int_equal(number(st, "SELECT last_number FROM project WHERE row = 1"), 10);
	assert_int_equal(number(st, "SELECT updates FROM project WHERE row = 1"), 10);
	assert_int_equal(total, 7 + 21 + 6);
	/* the numbers go on, and what was deleted stays so */
	assert_int_equal(store_event_last(st, &event, &e), 0);
	assert_int_equal(event, 20);
	assert_false(put(st, p, 2, 9, "[1]"));
	publish_again(st, p, &v);
	assert_int_equal(v.number, 11);
	store_close(st);
}

/* Nor does one that is queued stand for it: it may end as a reading. */
static void the_last_training_stays_while_another_waits(void **state)
{
	struct store  *st = fresh();
	struct version v = { .row = 0 };
	struct err     e = { 0 };
	int64_t        p = project(st, 1, 1), deleted;

	(void)state;
	publish_again(st, p, &v);
	assert_int_equal(exec(st, "DELETE FROM train_job WHERE state = 'queued';"
	                          "INSERT INTO train_job (project, state, reason, queued_s) VALUES (1, 'done', 'sync', 0),"
	                          "(1, 'done', 'sync', 0), (1, 'done', 'sync', 0), (1, 'queued', 'sync', 0)", &e), 0);
	assert_int_equal(store_begin(st, &e), 0);
	assert_int_equal(store_history_prune(st, p, 1, 100, &deleted, &e), 0);
	assert_int_equal(store_commit(st, &e), 0);
	assert_int_equal(number(st, "SELECT count(*) FROM train_job WHERE version IS NOT NULL"), 1);
	store_close(st);
}

static void a_damaged_version_gives_way_to_the_one_before(void **state)
{
	struct store  *st = fresh();
	struct version v[2];
	struct arena   a;
	struct project pr;
	struct span    bytes;
	struct err     e = { 0 };
	int64_t        p = project(st, 1, 1);

	(void)state;
	arena_init(&a, 1 << 20);
	publish_again(st, p, &v[0]);
	publish_again(st, p, &v[1]);
	assert_int_equal(store_part(st, v[1].row, "weights", &bytes, &e), 0);
	assert_true(span_is(bytes, "bytes"));
	free((void *)(uintptr_t)bytes.p);
	assert_int_equal(store_part(st, v[1].row, "other", &bytes, &e), 1);
	/* What b2sum -l 256 says of "bytes"; and sha256sum, as of a part stored before schema 9. */
	assert_int_equal(number(st, "SELECT count(*) FROM model_part "
	                        "WHERE checksum = x'a3ac9bca8624d2caf63b36296ed39fcb257dbe65631499d31f4544eba9717080'"), 2);
	assert_int_equal(exec(st, "UPDATE model_part SET checksum = "
	                      "x'277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9' WHERE version = 2", &e), 0);
	assert_int_equal(store_part(st, v[1].row, "weights", &bytes, &e), 0);
	assert_true(span_is(bytes, "bytes"));
	free((void *)(uintptr_t)bytes.p);
	assert_int_equal(exec(st, "UPDATE model_part SET bytes = x'', checksum = "
	                      "x'0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8' WHERE version = 1", &e), 0);
	assert_int_equal(store_part(st, v[0].row, "weights", &bytes, &e), 0);
	assert_int_equal(bytes.len, 0);
	free((void *)(uintptr_t)bytes.p);
	assert_int_equal(exec(st, "UPDATE model_part SET checksum = substr(checksum, 1, 31) WHERE version = 2", &e), 0);
	assert_int_equal(store_part(st, v[1].row, "weights", &bytes, &e), -1);
	assert_int_equal(e.code, ERR_DAMAGED);
	err_clear(&e);
	assert_int_equal(exec(st, "UPDATE model_part SET bytes = x'00' WHERE version = 2", &e), 0);
	assert_int_equal(store_part(st, v[1].row, "weights", &bytes, &e), -1);
	assert_int_equal(e.code, ERR_DAMAGED);
	err_clear(&e);
	assert_int_equal(store_version_damaged(st, v[1].row, &e), 0);
	assert_int_equal(store_project_get(st, p, &a, &pr, &e), 0);
	assert_int_equal(pr.version.number, 1);
	assert_int_equal(store_version_damaged(st, v[0].row, &e), 0);
	assert_int_equal(store_project_get(st, p, &a, &pr, &e), 0);
	assert_int_equal(pr.version.row, 0);                /* cold start */
	arena_clear(&a);
	store_close(st);
}

static int publish_bytes(struct store *st, int64_t p, struct span bytes, struct version *v, struct err *e)
{
	struct lease lease;

	store_job_queue(st, p, "start", 1000, NULL, e);
	assert_int_equal(store_lease_take(st, p, 1000, &lease, e), 0);
	return publish_part(st, &lease, 0, bytes, 3, v, e);
}

/* Of 100,003 bytes what is asked for, at the edges of blocks too, and nothing else. */
static void a_part_is_read_in_part(void **state)
{
	static const struct { size_t at, n; } places[] = {
		{ 0, 1 }, { 511, 1 }, { 511, 2 }, { 512, 512 }, { 1000, 3000 }, { 100002, 1 }, { 99840, 163 }, { 100003, 0 },
	};
	struct store  *st = fresh();
	struct version v;
	struct partial *s;
	struct err     e = { 0 };
	int64_t        p = project(st, 1, 1);
	static char    bytes[100003];
	size_t         holes = 0;

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 7 + i / 512 + 1);
	assert_int_equal(publish_bytes(st, p, (struct span){ bytes, sizeof bytes }, &v, &e), 0);
	assert_int_equal(store_part_open(st, v.row, "other", &s, &e), 1);
	assert_int_equal(store_part_open(st, v.row, "weights", &s, &e), 0);
	assert_int_equal(s->len, sizeof bytes);
	for (size_t i = 0; i < countof(places); i++) {
		assert_int_equal(partial_need(s, places[i].at, places[i].n, &e), 0);
		assert_memory_equal(s->p + places[i].at, bytes + places[i].at, places[i].n);
	}
	for (size_t i = 20000; i < 90000; i++)
		holes += s->p[i] == 0;
	assert_int_equal(holes, 70000);
	assert_int_equal(partial_need(s, sizeof bytes, 1, &e), -1);
	assert_int_equal(e.code, ERR_DAMAGED);
	err_clear(&e);
	assert_int_equal(partial_need(s, 1, SIZE_MAX, &e), -1);
	store_part_close(s);
	/* A part of before: none of its blocks has a sum. */
	assert_int_equal(exec(st, "DELETE FROM model_blocks", &e), 0);
	assert_int_equal(store_part_open(st, v.row, "weights", &s, &e), 1);
	/* They go with the part. */
	assert_int_equal(publish_bytes(st, p, SPAN("x"), &v, &e), 0);
	assert_int_equal(exec(st, "DELETE FROM model_part", &e), 0);
	assert_int_equal(number(st, "SELECT count(*) FROM model_blocks"), 0);
	store_close(st);
}

/* One bit anywhere: in a block, in its sum, in the sum of the sums, in the length. */
static void each_block_has_its_checksum(void **state)
{
	static const char *const damage[] = {
		"UPDATE model_part SET bytes = CAST(substr(bytes, 1, 1000) || 'y' || substr(bytes, 1002) AS BLOB)",
		"UPDATE model_blocks SET sums = CAST(substr(sums, 1, 45) || x'5555' || substr(sums, 48) AS BLOB)",
		"UPDATE model_blocks SET sums = CAST(x'0000' || substr(sums, 3) AS BLOB)",
		"UPDATE model_blocks SET sums = substr(sums, 1, 40)", "UPDATE model_blocks SET sums = x''",
		"UPDATE model_blocks SET sums = CAST(sums || x'00' AS BLOB)", "UPDATE model_blocks SET length = length - 1",
		"UPDATE model_blocks SET length = length + 1", "UPDATE model_blocks SET length = 0",
		"UPDATE model_blocks SET length = -5", "UPDATE model_blocks SET length = 1 << 62",
		"UPDATE model_part SET bytes = substr(bytes, 1, 4000)", "UPDATE model_part SET bytes = CAST(bytes || x'00' AS BLOB)",
		/* Whole, but another's: */
		"PRAGMA foreign_keys = OFF; UPDATE model_part SET name = 'other'; UPDATE model_blocks SET name = 'other'",
	};
	static char bytes[5000];

	(void)state;
	memset(bytes, 'x', sizeof bytes);
	for (size_t i = 0; i < countof(damage); i++) {
		struct store  *st = fresh();
		struct version v;
		struct partial *s = NULL;
		struct err     e = { 0 };
		int64_t        p = project(st, 1, 1);
		const char    *name = i == countof(damage) - 1 ? "other" : "weights";
		int            rc;

		assert_int_equal(publish_bytes(st, p, (struct span){ bytes, sizeof bytes }, &v, &e), 0);
		assert_int_equal(exec(st, damage[i], &e), 0);
		rc = store_part_open(st, v.row, name, &s, &e);
		if (rc == 0) {
			assert_int_equal(i, 0);              /* what else there is is seen at once */
			assert_int_equal(partial_need(s, 0, 512, &e), 0);
			assert_int_equal(partial_need(s, 1024, 3976, &e), 0);
			rc = partial_need(s, 600, 1, &e);
			store_part_close(s);
		}
		assert_int_equal(rc, -1);
		assert_int_equal(e.code, ERR_DAMAGED);
		store_close(st);
	}
}

/* As another implementation of both hashes has them: what is stored outlives this program. */
static void sums_are_those_of_the_layout(void **state)
{
	static const unsigned char expected[] = {
		0x77, 0x9b, 0x77, 0x10, 0x16, 0x7d, 0xf9, 0x20, 0x3e, 0x6e, 0xe0, 0xe0, 0xc9, 0x05, 0x4e, 0x05,
		0xb6, 0xd7, 0x95, 0x73, 0x29, 0xbc, 0x68, 0x08, 0x33, 0x8a, 0x7e, 0xf6, 0xfa, 0xef, 0x60, 0x3a,
		0xe8, 0xf3, 0xc4, 0xc2, 0xad, 0x91, 0xd1, 0xd8, 0xf7, 0x66, 0x1d, 0xdd, 0xa9, 0xa2, 0xdd, 0xcc,
	};
	char part[512 + 100], sums[sizeof expected];

	(void)state;
	for (size_t i = 0; i < sizeof part; i++)
		part[i] = (char)(i % 251);
	assert_int_equal(blocks_bytes(sizeof part), sizeof sums);
	blocks_sum("kind/weights", (struct span){ part, sizeof part }, sums);
	assert_memory_equal(sums, expected, sizeof sums);
	assert_true(block_right((struct span){ sums, sizeof sums }, 1, part + 512, 100));
	assert_false(block_right((struct span){ sums, sizeof sums }, 0, part + 512, 100));
}

/* They were made otherwise before: none is taken for damage, and the part is read whole. */
static void sums_of_before_schema_11_are_not_looked_at(void **state)
{
	struct store   *st;
	struct partial *s;
	struct span     bytes;
	struct err      e = { 0 };

	(void)state;
	leave_older(10,
		"INSERT INTO project (id) VALUES (1);"
		"INSERT INTO model_version (project, number, name, kind, formats, labels, examples_hash, n_examples, n_cancelled,"
		" n_empty, n_unknown, n_overruled, token_pattern, logreg_c, created_s, train_seconds)"
		" VALUES (1, 1, 'k-1-x', 'k', '1', '[]', 'x', 0, 0, 0, 0, 0, 'word', 10, 1, 1);"
		"INSERT INTO model_part VALUES (1, 'k/weights', x'6279746573',"
		" x'a3ac9bca8624d2caf63b36296ed39fcb257dbe65631499d31f4544eba9717080');"
		"INSERT INTO model_blocks VALUES (1, 'k/weights', 5, zeroblob(40));");
	st = opened();
	assert_int_equal(store_part_open(st, 1, "k/weights", &s, &e), 1);
	assert_int_equal(store_part(st, 1, "k/weights", &bytes, &e), 0);
	assert_true(span_is(bytes, "bytes"));
	free((void *)(uintptr_t)bytes.p);
	store_close(st);
}

static void *commit_soon(void *arg)
{
	usleep(30000);
	sqlite3_exec(arg, "COMMIT", NULL, NULL, NULL);
	return NULL;
}

/* Whoever makes a store, or a person with sqlite3, may hold it for a moment: all of it, or
 * its writing alone, where SQLite waits for nobody. */
static void a_store_that_another_holds_is_waited_for(void **state)
{
	static const char *const held[] = { "BEGIN EXCLUSIVE; CREATE TABLE mine (x)", "BEGIN IMMEDIATE; CREATE TABLE mine (x)" };

	(void)state;
	for (size_t i = 0; i < countof(held); i++) {
		struct store *st;
		struct err    e = { 0 };
		sqlite3      *person;
		pthread_t     thread;

		remove_store();
		person = by_hand();
		sqlite3_busy_timeout(person, 30000);
		assert_int_equal(sqlite3_exec(person, "CREATE TABLE first (x)", NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_exec(person, held[i], NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(store_open(&st, dir, 20, &e), -1);
		assert_int_equal(e.code, ERR_BUSY);
		err_clear(&e);
		assert_int_equal(pthread_create(&thread, NULL, commit_soon, person), 0);
		assert_int_equal(store_open(&st, dir, 30000, &e), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		sqlite3_close(person);
		store_close(st);
	}
}

static void a_forgotten_project_leaves_no_byte(void **state)
{
	struct store *st = fresh();
	const struct task_row t = { .id = 5, .updated_us = STORE_NULL, .data = SPAN("{\"text\":\"marker-zebra-17\"}") };
	struct err    e = { 0 };
	int64_t       p = project(st, 1, 1);
	char          command[256];
	bool          changed;

	(void)state;
	assert_int_equal(store_task_put(st, p, &t, 0, &changed, &e), 0);
	snprintf(command, sizeof command, "cat %s/* | grep -qa marker-zebra-17", dir);
	assert_int_equal(system(command), 0);               /* the check can see it */
	assert_int_equal(store_project_delete(st, p, &e), 0);
	assert_int_equal(store_compact(st, &e), 0);
	assert_int_not_equal(system(command), 0);
	store_close(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_statement_is_prepared_on_a_fresh_schema),
		cmocka_unit_test(a_view_that_somebody_added_stops_no_migration),
		cmocka_unit_test(a_label_that_reads_like_an_empty_list_has_no_examples),
		cmocka_unit_test(an_older_store_learns_who_has_several_labels),
		cmocka_unit_test(due_jobs_are_found_without_reading_those_that_ended),
		cmocka_unit_test(the_views_answer_a_person_with_sqlite3),
		cmocka_unit_test(a_committed_write_is_on_disk_and_the_journal_is_wal),
		cmocka_unit_test(the_store_is_for_its_owner_alone),
		cmocka_unit_test(a_folder_that_is_none_is_refused),
		cmocka_unit_test(a_newer_store_is_refused),
		cmocka_unit_test(a_damaged_schema_number_is_no_index),
		cmocka_unit_test(a_project_is_one_row_a_pair),
		cmocka_unit_test(a_project_is_found_and_read_at_once),
		cmocka_unit_test(a_store_that_is_read_only_here_may_change_elsewhere),
		cmocka_unit_test(a_file_that_changed_is_noticed),
		cmocka_unit_test(a_path_is_taken_as_it_is),
		cmocka_unit_test(a_store_without_room_for_its_name_is_refused),
		cmocka_unit_test(an_empty_part_is_a_part), cmocka_unit_test(a_task_without_a_time_gives_way),
		cmocka_unit_test(what_is_not_there_is_said),
		cmocka_unit_test(what_is_not_later_changes_nothing),
		cmocka_unit_test(every_order_of_create_update_delete_ends_the_same),
		cmocka_unit_test(a_task_that_was_deleted_takes_its_annotations_with_it),
		cmocka_unit_test(an_export_that_says_the_same_changes_nothing),
		cmocka_unit_test(an_export_brings_back_only_what_was_deleted_before_it),
		cmocka_unit_test(a_job_has_one_trainer_until_its_lease_ends),
		cmocka_unit_test(a_clock_set_back_does_not_hold_a_lease_for_ever),
		cmocka_unit_test(a_trainer_that_lost_its_lease_publishes_nothing),
		cmocka_unit_test(a_part_is_read_in_part), cmocka_unit_test(each_block_has_its_checksum),
		cmocka_unit_test(events_during_a_training_count_for_the_next_one),
		cmocka_unit_test(a_training_asked_for_during_another_follows_it),
		cmocka_unit_test(a_training_takes_the_place_of_a_reading),
		cmocka_unit_test(old_weights_go_and_the_one_in_force_stays),
		cmocka_unit_test(a_version_is_written_once),
		cmocka_unit_test(a_block_is_read_without_those_before_it),
		cmocka_unit_test(an_older_store_gets_the_map_of_its_pages),
		cmocka_unit_test(what_lies_back_is_deleted_and_counted),
		cmocka_unit_test(the_last_training_stays_while_another_waits),
		cmocka_unit_test(a_damaged_version_gives_way_to_the_one_before),
		cmocka_unit_test(a_store_that_another_holds_is_waited_for),
		cmocka_unit_test(sums_are_those_of_the_layout),
		cmocka_unit_test(sums_of_before_schema_11_are_not_looked_at),
		cmocka_unit_test(a_forgotten_project_leaves_no_byte),
	};
	char command[128];
	int  failed;

	if (mkdtemp(dir) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command) != 0 || failed != 0;
}
