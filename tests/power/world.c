/* world.c - a backend of request handlers on the disk of disk.h, and what there is to say about a store. */
#include "world.h"
#include "../unit/kept_words.h"

#include "base/clock.h"
#include "base/log.h"
#include "disk.h"
#include "event.h"
#include "predict.h"
#include "serving.h"
#include "setup.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CREATED   "2026-01-02T03:04:05.000000Z"
#define CREATED_S 1767323045

char       world_dir[] = "/tmp/prelabel-power.XXXXXX";
struct env world_env = { .train_every = 12, .logreg_c = 10, .train_threads = 1, .keep_versions = 2, .keep_history = 1000,
                         .model_dir = world_dir, .max_body_mb = 8, .threads = 1, .workers = 1 };
uint64_t   world_seed = 1;
bool       world_long;
int64_t    now_s;

static int passed, failed, loud;

/* ---- report -------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 0)))
static void line(bool good, const char *name, const char *detail, va_list ap)
{
	printf("%s %s", good ? "ok  " : "FAIL", name);
	if (!good) {
		printf(" [");
		vprintf(detail, ap);
		putchar(']');
	}
	putchar('\n');
	fflush(stdout);
}

bool check(bool good, const char *name, const char *detail, ...)
{
	va_list ap;

	va_start(ap, detail);
	line(good, name, detail, ap);
	va_end(ap);
	passed += good;
	failed += !good;
	loud = 0;
	return good;
}

bool quiet(bool good, const char *name, const char *detail, ...)
{
	va_list ap;

	passed += good;
	failed += !good;
	if (!good && loud++ < 5) {
		va_start(ap, detail);
		line(good, name, detail, ap);
		va_end(ap);
	}
	return good;
}

int report(void)
{
	printf("%d passed, %d failed\n", passed, failed);
	return failed == 0 && passed > 0 ? 0 : 1;
}

/* ---- the clock ----------------------------------------------------------------------- */

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	if (id != CLOCK_REALTIME || now_s == 0)
		return __real_clock_gettime(id, t);
	*t = (struct timespec){ .tv_sec = now_s };
	return 0;
}

/* ---- the backend --------------------------------------------------------------------- */

void world_open(void)
{
	if (mkdtemp(world_dir) == NULL) {
		perror("mkdtemp");
		exit(1);
	}
	log_open("power", LOG__MAX);
	disk_install();
}

void world_close(void)
{
	char path[sizeof world_dir + 32];

	serving_clear();
	snprintf(path, sizeof path, "%s/" STORE_FILE, world_dir);
	unlink(path);
	rmdir(world_dir);
}

struct context *backend_open(void)
{
	void *c;

	if (context_open(&world_env, &c, NULL) < 0)
		abort();
	return c;
}

void backend_close(struct context *c)
{
	context_close(c);
}

struct answer ask(struct context *c, handler *h, const char *body)
{
	static char *const no_params[] = { NULL };
	struct answer  a = { .status = 200 };
	struct arena   arena;
	struct reply   reply = { .status = 200 };
	struct request req = { .env = &world_env, .method = body[0] == '\0' ? GET : POST, .path = SPAN("/"), .query = SPAN(""),
	                       .body = span_of(body), .secret_ok = true, .basic_ok = true, .arena = &arena, .thread = c,
	                       .params = no_params };

	arena_init(&arena, (size_t)64 << 20);
	buf_init(&reply.body, (size_t)8 << 20);
	if (h(&req, &reply, &a.e) == 0) {
		a.status = reply.status;
		snprintf(a.body, sizeof a.body, "%s", reply.body.p == NULL ? "" : reply.body.p);
		a.starts_trainer = reply.after != NULL;
	} else {
		a.status = http_status(a.e.code);
	}
	buf_clear(&reply.body);
	arena_clear(&arena);
	return a;
}

static void put_config(struct buf *b, int labels)
{
	static const char *const names[] = { "good", "bad", "so so" };

	buf_adds(b, "<View><Text name=\\\"text\\\" value=\\\"$text\\\"/><Choices name=\\\"label\\\" toName=\\\"text\\\">");
	for (int i = 0; i < labels; i++)
		buf_addf(b, "<Choice value=\\\"%s\\\"/>", names[i]);
	buf_adds(b, "</Choices></View>");
}

static void body_end(struct buf *b, char out[BODY_MAX])
{
	snprintf(out, BODY_MAX, "%s", b->p);
	buf_clear(b);
}

struct answer ask_predict(struct context *c, int project, char version[VERSION_TEXT_MAX])
{
	struct answer a;
	struct buf    b;
	char          body[BODY_MAX];
	const char   *at;

	buf_init(&b, BODY_MAX);
	buf_addf(&b, "{\"project\":\"%d.%d\",\"label_config\":\"", project, CREATED_S);
	put_config(&b, 2);
	buf_adds(&b, "\",\"tasks\":[{\"id\":1,\"data\":{\"text\":\"word1 word2 word30 word31\"}}]}");
	body_end(&b, body);
	a = ask(c, predict_tasks, body);
	version[0] = '\0';
	at = a.status == 200 ? strstr(a.body, "\"model_version\":\"") : NULL;
	if (at != NULL)
		sscanf(at, "\"model_version\":\"%127[^\"]", version);
	return a;
}

static void put_project(struct buf *b, int project, int labels)
{
	buf_addf(b, "\"project\":{\"id\":%d,\"title\":\"Project %d\",\"created_at\":\"" CREATED "\",\"label_config\":\"",
	         project, project);
	put_config(b, labels);
	buf_adds(b, "\"}");
}

void body_setup(char out[BODY_MAX], int project, int labels, int extra)
{
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_addf(&b, "{\"project\":\"%d.%d\",\"schema\":\"", project, CREATED_S);
	put_config(&b, labels);
	buf_addf(&b, "\",\"extra_params\":{\"note\":%d}}", extra);
	body_end(&b, out);
}

/* Words of an annotation's text: which follow from its task, so that replays are the same. */
static void put_text(struct buf *b, int task, int words)
{
	uint64_t random = (uint64_t)task * 7919;

	for (int i = 0; i < words; i++)
		buf_addf(b, "%sword%d", i == 0 ? "" : " ", (int)(random_next(&random) % 20) + (task % 2) * 20);
}

static void put_annotation(struct buf *b, int project, int id, int task, int version)
{
	buf_addf(b, "{\"id\":%d,\"task\":%d,\"project\":%d,\"completed_by\":1,\"was_cancelled\":false,\"ground_truth\":false,"
	         "\"updated_at\":\"2026-01-02T04:%02d:%02d.000000Z\",\"result\":[{\"from_name\":\"label\",\"to_name\":\"text\","
	         "\"type\":\"choices\",\"value\":{\"choices\":[\"%s\"]}}]}", id, task, project, version / 60 % 60, version % 60,
	         (task + version) % 2 == 0 ? "good" : "bad");
}

void body_annotation(char out[BODY_MAX], const char *action, int project, int id, int task, int version, int words)
{
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_addf(&b, "{\"action\":\"%s\",", action);
	put_project(&b, project, 2);
	buf_addf(&b, ",\"task\":{\"id\":%d,\"updated_at\":\"" CREATED "\",\"data\":{\"text\":\"", task);
	put_text(&b, task, words);
	buf_adds(&b, "\"}},\"annotation\":");
	put_annotation(&b, project, id, task, version);
	buf_addc(&b, '}');
	body_end(&b, out);
}

void body_delete(char out[BODY_MAX], const char *action, int project, int id)
{
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_addf(&b, "{\"action\":\"%s\",", action);
	put_project(&b, project, 2);
	buf_addf(&b, ",\"%s\":[{\"id\":%d}]}", strcmp(action, "TASKS_DELETED") == 0 ? "tasks" : "annotations", id);
	body_end(&b, out);
}

void body_start(char out[BODY_MAX], int project)
{
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_adds(&b, "{\"action\":\"START_TRAINING\",");
	put_project(&b, project, 2);
	buf_addc(&b, '}');
	body_end(&b, out);
}

void body_config(char out[BODY_MAX], int project, int labels)
{
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_adds(&b, "{\"action\":\"PROJECT_UPDATED\",");
	put_project(&b, project, labels);
	buf_addc(&b, '}');
	body_end(&b, out);
}

void body_train(char out[BODY_MAX], int project, int first, int n)
{
	struct buf b;

	buf_init(&b, BODY_MAX);
	buf_addc(&b, '{');
	put_project(&b, project, 2);
	buf_adds(&b, ",\"annotations\":[");
	for (int i = first; i < first + n; i++) {
		buf_addf(&b, "%s{\"id\":%d,\"updated_at\":\"" CREATED "\",\"data\":{\"text\":\"", i == first ? "" : ",", i);
		put_text(&b, i, 8);
		buf_adds(&b, "\"},\"annotations\":[");
		put_annotation(&b, project, i, i, 1);
		buf_adds(&b, "]}");
	}
	buf_adds(&b, "]}");
	body_end(&b, out);
}

static int find(struct store *st, int project, int64_t *row, struct err *e)
{
	int rc = store_project_find(st, project, CREATED_S, row, e);

	return rc == 1 ? err_set(e, ERR_NOT_FOUND, "project %d is not known", project) : rc;
}

int run_trainer(int project, struct train_result *result, struct err *e)
{
	struct train_options opt = { .foreground = false };
	struct store        *st;
	int64_t              row;
	int                  rc;

	if (store_open(&st, world_dir, 50, e) < 0)
		return -1;
	rc = find(st, project, &row, e);
	if (rc == 0)
		rc = train_run(st, &world_env, row, &opt, result, e);
	store_close(st);
	return rc;
}

int run_forget(int project, struct err *e)
{
	struct store *st;
	int64_t       row;
	int           rc;

	if (store_open(&st, world_dir, 50, e) < 0)
		return -1;
	rc = find(st, project, &row, e);
	if (rc == 0 && (rc = store_begin(st, e)) == 0 && (rc = store_project_delete(st, row, e)) == 0)
		rc = store_commit(st, e);
	if (rc == 0 && store_compact(st, e) < 0)
		rc = e->code == ERR_BUSY ? 0 : -1;       /* somebody reads: some bytes stay, no fault */
	store_close(st);
	return rc;
}

/* ---- states -------------------------------------------------------------------------- */

/* `event` stands for the numbers of events, which a repetition makes anew. */
static const char *const content_sql[] = {
	"SELECT row, id, created_s, title, config_hash, control, text_key, labels, extra_params, reason, updates, unread, multiple, uncertainty, config_elements FROM project ORDER BY row",
	"SELECT project, id, data, updated_us, deleted <> 0 FROM task ORDER BY project, id",
	"SELECT project, id, task, result, was_cancelled, ground_truth, completed_by, updated_us, deleted FROM annotation ORDER BY project, id",
	"SELECT project, sum(changed) FROM event GROUP BY project HAVING sum(changed) > 0 ORDER BY project",
	"SELECT * FROM push ORDER BY project",
};
static const char *const events_sql[] = {
	"SELECT row, project, received_us, source, action, changed FROM event ORDER BY row",
	"SELECT project, id, event FROM annotation ORDER BY project, id",
	"SELECT row, webhook_s FROM project ORDER BY row",
};
static const char *const model_sql[] = {
	"SELECT row, current_version, last_number, updates_trained FROM project ORDER BY row",
	"SELECT row, project, number, name, kind, formats, labels, examples_hash, n_examples, damaged FROM model_version ORDER BY row",
	"SELECT version, name, checksum, length(bytes) FROM model_part ORDER BY version, name",
	"SELECT row, project, reason, again, queued_s, version, state IN ('queued', 'running') FROM train_job ORDER BY row",
};

static void hash_bytes(uint64_t *h, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++)
		*h = (*h ^ p[i]) * 0x100000001b3u;
}

static bool hash_query(sqlite3 *db, const char *sql, uint64_t *h)
{
	sqlite3_stmt *s;
	int           rc;

	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
		return false;
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		hash_bytes(h, "row", 3);
		for (int i = 0; i < sqlite3_column_count(s); i++) {
			int type = sqlite3_column_type(s, i);

			hash_bytes(h, &type, sizeof type);
			if (type != SQLITE_NULL)
				hash_bytes(h, sqlite3_column_blob(s, i), (size_t)sqlite3_column_bytes(s, i));
		}
	}
	sqlite3_finalize(s);
	return rc == SQLITE_DONE;
}

sqlite3 *look(void)
{
	sqlite3 *db;
	char     path[sizeof world_dir + 32];

	snprintf(path, sizeof path, "%s/" STORE_FILE, world_dir);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK)
		return db;
	sqlite3_close(db);
	return NULL;
}

bool state_same(const struct state *a, const struct state *b)
{
	return a->content == b->content && a->events == b->events && a->model == b->model;
}

bool state_read(struct state *s)
{
	sqlite3 *db = look();
	bool     good = db != NULL;

	*s = (struct state){ 0xcbf29ce484222325u, 0xcbf29ce484222325u, 0xcbf29ce484222325u };
	for (size_t i = 0; good && i < countof(content_sql); i++)
		good = hash_query(db, content_sql[i], &s->content);
	for (size_t i = 0; good && i < countof(events_sql); i++)
		good = hash_query(db, events_sql[i], &s->events);
	for (size_t i = 0; good && i < countof(model_sql); i++)
		good = hash_query(db, model_sql[i], &s->model);
	sqlite3_close(db);
	return good;
}

static bool query_text(sqlite3 *db, const char *sql, char *out, size_t cap)
{
	sqlite3_stmt *s;
	bool          good = false;

	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
		return false;
	if (sqlite3_step(s) == SQLITE_ROW) {
		snprintf(out, cap, "%s", sqlite3_column_type(s, 0) == SQLITE_NULL ? "" : (const char *)sqlite3_column_text(s, 0));
		good = true;
	}
	sqlite3_finalize(s);
	return good;
}

int64_t look_int(const char *sql)
{
	sqlite3 *db = look();
	char     text[64] = "-1";

	if (db != NULL && !query_text(db, sql, text, sizeof text))
		snprintf(text, sizeof text, "-1");
	sqlite3_close(db);
	return strtoll(text, NULL, 10);
}

/* Of each project; where the store can't be opened, others say so. */
static const char *words_wrong(void)
{
	struct store *st;
	int64_t       rows[8];
	size_t        n = 0;
	const char   *wrong = "";

	if (look_int("SELECT count(*) FROM annotation WHERE words IS NOT NULL") <= 0 || store_open(&st, world_dir, 50, NULL) < 0)
		return "";
	for (int64_t id = 1; id <= 3; id++)
		n += store_project_find(st, id, STORE_NULL, &rows[n], NULL) == 0;
	for (size_t i = 0; i < n && wrong[0] == '\0'; i++)
		wrong = kept_words_wrong(st, rows[i], (enum token_pattern)world_env.token_pattern, NULL);
	store_close(st);
	return wrong;
}

const char *state_wrong(void)
{
	static const struct {
		const char *what, *sql, *want;
	} rules[] = {
		{ "integrity_check", "PRAGMA integrity_check", "ok" },
		{ "foreign keys", "SELECT count(*) FROM pragma_foreign_key_check", "0" },
		{ "the counter is not the changes", "SELECT count(*) FROM project p WHERE p.updates <> "
		  "(SELECT coalesce(sum(changed), 0) FROM event e WHERE e.project = p.row)", "0" },
		{ "a version in force without parts", "SELECT count(*) FROM project p WHERE p.current_version IS NOT NULL AND NOT "
		  "EXISTS (SELECT 1 FROM model_part m WHERE m.version = p.current_version)", "0" },
		{ "a version that no job published", "SELECT count(*) FROM model_version v WHERE (SELECT count(*) FROM train_job j "
		  "WHERE j.version = v.row AND j.state = 'done') <> 1", "0" },
		{ "two open jobs", "SELECT count(*) FROM (SELECT project FROM train_job WHERE state IN ('queued', 'running') "
		  "GROUP BY project HAVING count(*) > 1)", "0" },
	};
	static char wrong[256];
	sqlite3    *db = look();
	char        got[160];

	wrong[0] = '\0';
	if (db == NULL)
		return "it can't be opened";
	for (size_t i = 0; i < countof(rules) && wrong[0] == '\0'; i++) {
		snprintf(got, sizeof got, "%s", sqlite3_errmsg(db));
		if (!query_text(db, rules[i].sql, got, sizeof got))
			snprintf(wrong, sizeof wrong, "%s: %.150s", rules[i].what, sqlite3_errmsg(db));
		else if (strcmp(got, rules[i].want) != 0)
			snprintf(wrong, sizeof wrong, "%s: %.150s", rules[i].what, got);
	}
	sqlite3_close(db);
	return wrong[0] == '\0' ? words_wrong() : wrong;
}
