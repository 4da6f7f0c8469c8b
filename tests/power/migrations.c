/*
 * migrations.c - R6: a store of each released schema, killed and cut at each step of its
 * migration: the old schema or a newer one, whole, with all that it held; and the next
 * program that opens it goes on.
 */
#include "world.h"

#include "disk.h"
#include "schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPIES_MAX 512

/* What each schema has had a place for since the first. */
static const char *const rows_sql =
	"INSERT INTO project (id, created_s, label_config, config_hash, labels, updates) "
	" VALUES (1, 1, '<View><Choices choice=\"multiple\"/></View>', 'x', '[\"a\"]', 40), (2, 1, NULL, NULL, NULL, 0);"
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) "
	" INSERT INTO task (project, id, data) SELECT 1, i, '{\"text\":\"' || hex(zeroblob(200)) || '\"}' FROM n;"
	"INSERT INTO annotation (project, id, task, result, event) SELECT 1, id, id, '[]', 1 FROM task;"
	"INSERT INTO event (project, received_us, source, action, changed) VALUES (1, 1, 'webhook', 'ANNOTATIONS_CREATED', 40);"
	"INSERT INTO model_version (project, number, name, kind, formats, labels, examples_hash, n_examples, n_cancelled, n_empty,"
	" n_unknown, n_overruled, token_pattern, logreg_c, created_s, train_seconds) "
	" VALUES (1, 1, 'x', 'tfidf_logreg', '1', '[]', 'x', 40, 0, 0, 0, 0, 'word', 10, 1, 1);"
	"INSERT INTO model_part VALUES (1, 'x', zeroblob(9000), zeroblob(32));"
	"UPDATE project SET current_version = 1 WHERE id = 1;"
	"INSERT INTO train_job (project, state, reason, queued_s, version) VALUES (1, 'done', 'updates', 1, 1);";

/* Of what the rows hold; the same in each schema. */
static const char *const kept_sql =
	"SELECT (SELECT count(*) FROM annotation) || '/' || (SELECT sum(length(data)) FROM task) || '/' || (SELECT sum(updates) "
	"FROM project) || '/' || (SELECT sum(length(bytes)) FROM model_part) || '/' || (SELECT sum(changed) FROM event) || '/' || "
	"(SELECT count(*) FROM train_job) || '/' || (SELECT sum(current_version) FROM project)";

static char *schema_of[SCHEMA_VERSIONS + 1];      /* sqlite_schema at each version */

static bool run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static char *text_of(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *s;
	char         *text = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
		text = strdup(sqlite3_column_type(s, 0) == SQLITE_NULL ? "" : (const char *)sqlite3_column_text(s, 0));
	sqlite3_finalize(s);
	return text != NULL ? text : strdup("(no answer)");
}

static char *schema_text(sqlite3 *db)
{
	return text_of(db, "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema ORDER BY name)");
}

/* A store as a program of that schema left it; hot: killed, so that its journal holds it all. */
static struct disk *old_store(int version, bool hot)
{
	sqlite3     *db;
	struct disk *d = NULL;
	char         mark[48];
	bool         good;

	disk_put(NULL);
	db = look();
	good = db != NULL && run(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
	for (int i = 0; good && i < version; i++) {
		snprintf(mark, sizeof mark, "PRAGMA user_version = %d; COMMIT", i + 1);
		good = run(db, "BEGIN IMMEDIATE") && run(db, schema_sql[i]) && run(db, mark);
	}
	good = good && (version == 0 || run(db, rows_sql));
	if (hot)
		d = disk_copy();
	sqlite3_close(db);
	if (!hot)
		d = disk_copy();
	quiet(good, "migrations: an old store is made", "schema %d", version);
	return d;
}

static void learn_schemas(void)
{
	for (int v = 0; v <= SCHEMA_VERSIONS; v++) {
		struct disk *d = old_store(v, false);
		sqlite3     *db = look();

		schema_of[v] = schema_text(db);
		sqlite3_close(db);
		disk_free(d);
	}
}

/* ---- what a killed migration leaves --------------------------------------------------- */

static void check_left(int from, const char *how, size_t at)
{
	sqlite3      *db = look();
	char         *version = text_of(db, "SELECT user_version FROM pragma_user_version"), *schema = schema_text(db), *kept, *whole;
	int           is = atoi(version);
	struct store *st;
	struct err    e = { 0 };

	quiet(is >= from && is <= SCHEMA_VERSIONS && strcmp(schema, schema_of[is]) == 0,
	      "migrations: old or new, never between", "schema %d, %s at %zu: user_version %s", from, how, at, version);
	free(schema);
	free(version);
	sqlite3_close(db);
	if (!quiet(store_open(&st, world_dir, 50, &e) == 0, "migrations: the next program goes on", "schema %d, %s at %zu: %s",
	           from, how, at, e.msg))
		return;
	db = look();
	schema = schema_text(db);
	kept = text_of(db, kept_sql);
	whole = text_of(db, "PRAGMA integrity_check");
	quiet(strcmp(schema, schema_of[SCHEMA_VERSIONS]) == 0 && strcmp(whole, "ok") == 0, "migrations: the new schema is whole",
	      "schema %d, %s at %zu: %s", from, how, at, whole);
	quiet(from == 0 || strcmp(kept, "40/16440/40/9000/40/1/1") == 0, "migrations: nothing is lost", "schema %d, %s at %zu: %s",
	      from, how, at, kept);
	quiet(from == 0 || from >= 3 || look_int("SELECT multiple FROM project WHERE id = 1") == 1, "migrations: what a step computes is there",
	      "schema %d, %s at %zu", from, how, at);
	free(schema);
	free(kept);
	free(whole);
	sqlite3_close(db);
	store_close(st);
}

/* ---- at each SQL step -------------------------------------------------------------------- */

static struct {
	struct disk *copy[COPIES_MAX];
	size_t       n, interrupt;        /* interrupt: the statement to break off; 0: none */
} steps;

static int traced(unsigned what, void *db, void *s, void *text)
{
	(void)what, (void)s, (void)text;
	if (steps.n < COPIES_MAX)
		steps.copy[steps.n++] = steps.interrupt == 0 ? disk_copy() : NULL;
	if (steps.n == steps.interrupt)
		sqlite3_interrupt(db);
	return 0;
}

static int trace(sqlite3 *db, const char **message, const void *api)
{
	(void)message, (void)api;
	sqlite3_trace_v2(db, SQLITE_TRACE_STMT, traced, db);
	return SQLITE_OK;
}

static int opened(size_t interrupt)
{
	struct store *st;
	int           rc;

	steps.n = 0;
	steps.interrupt = interrupt;
	sqlite3_auto_extension((void (*)(void))trace);
	rc = store_open(&st, world_dir, 50, NULL);
	store_close(st);
	sqlite3_cancel_auto_extension((void (*)(void))trace);
	return rc;
}

static size_t at_sql_steps(int from, const struct disk *old)
{
	size_t n;

	disk_put(old);
	quiet(opened(0) == 0, "migrations: undisturbed", "schema %d", from);
	n = steps.n;
	for (size_t i = 0; i < n; i++) {
		disk_put(steps.copy[i]);
		disk_free(steps.copy[i]);
		check_left(from, "killed before SQL step", i);
	}
	for (size_t i = 1; i <= n; i++) {
		disk_put(old);
		(void)opened(i);
		check_left(from, "broken off in SQL step", i);
	}
	return n;
}

/* ---- at each call to the disk -------------------------------------------------------------- */

static size_t at_disk_calls(int from, const struct disk *old, uint64_t *random)
{
	static const char *const names[CUT__MAX] = { "killed", "unsynced dropped", "unsynced mixed" };
	struct store *st;
	size_t        calls;

	disk_put(old);
	disk_record(true);
	quiet(store_open(&st, world_dir, 50, NULL) == 0, "migrations: undisturbed", "schema %d", from);
	store_close(st);
	disk_record(false);
	calls = disk_recorded();
	for (size_t n = 0; n <= calls; n++)
		for (int how = 0; how < CUT__MAX + (world_long ? 4 : 0); how++) {
			enum disk_cut cut = how < CUT__MAX ? (enum disk_cut)how : CUT_MIX;

			disk_cut(n, cut, random_next(random));
			check_left(from, names[cut], n);
		}
	disk_forget();
	return calls;
}

void check_migrations(void)
{
	uint64_t random = world_seed;
	size_t   statements = 0, calls = 0;

	learn_schemas();
	for (int from = 0; from < SCHEMA_VERSIONS; from++)
		for (int hot = 0; hot < 2; hot++) {
			struct disk *old = old_store(from, hot);

			statements += at_sql_steps(from, old);
			calls += at_disk_calls(from, old, &random);
			disk_free(old);
		}
	for (int v = 0; v <= SCHEMA_VERSIONS; v++)
		free(schema_of[v]);
	printf("#    migrations: from %d schemas, %zu SQL steps, %zu calls to the disk\n", SCHEMA_VERSIONS, statements, calls);
	check(statements > 100 && calls > 100, "migrations: each step", "%zu %zu", statements, calls);
}
