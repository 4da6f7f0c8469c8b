/* fuzz.c - what the fuzz targets have in common. */
#include "fuzz.h"

#include "base/json.h"
#include "base/log.h"
#include "context.h"
#include "event.h"
#include "serving.h"
#include "setup.h"
#include "train.h"

#include <dirent.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void fuzz_broken(const char *file, int line, const char *promise)
{
	fprintf(stderr, "%s:%d: broken: %s\n", file, line, promise);
	abort();
}

/* ---- inputs ---------------------------------------------------------------------- */

uint32_t fuzz_take(struct fuzz_input *in, size_t bytes)
{
	uint32_t v = 0;

	for (size_t i = 0; i < bytes && in->left > 0; i++, in->left--)
		v |= (uint32_t)*in->p++ << 8 * i;
	return v;
}

struct span fuzz_take_line(struct fuzz_input *in)
{
	const uint8_t *end = in->left == 0 ? NULL : memchr(in->p, '\n', in->left);
	struct span    line = { (const char *)in->p, end == NULL ? in->left : (size_t)(end - in->p) };

	in->left -= line.len + (end != NULL);
	in->p = in->left == 0 ? NULL : in->p + line.len + 1;
	return line;
}

char *fuzz_text(struct span s)
{
	char *copy = strndup(s.len == 0 ? "" : s.p, s.len);

	must(copy != NULL);
	return copy;
}

/* ---- what has to hold ------------------------------------------------------------- */

/* By the definition of RFC 3629, not by the code that is tested. */
bool fuzz_is_utf8(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p, *end = p + s.len;

	while (p < end) {
		int      more = *p < 0x80 ? 0 : *p >> 5 == 6 ? 1 : *p >> 4 == 14 ? 2 : *p >> 3 == 30 ? 3 : -1;
		uint32_t c = more < 1 ? *p : *p & (0x3fu >> more);

		if (more < 0 || end - p <= more)
			return false;
		for (int i = 1; i <= more; i++) {
			if (p[i] >> 6 != 2)
				return false;
			c = c << 6 | (p[i] & 0x3f);
		}
		if ((more == 1 && c < 0x80) || (more == 2 && c < 0x800) || (more == 3 && c < 0x10000) || c > 0x10ffff ||
		    (c >= 0xd800 && c < 0xe000))
			return false;
		p += more + 1;
	}
	return true;
}

bool fuzz_is_clean(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

void fuzz_must_be_error(struct err *e)
{
	must(e->code > ERR_OK && e->code < ERR__MAX);
	must(e->msg[0] != '\0' && strlen(e->msg) < sizeof e->msg && fuzz_is_clean(e->msg));
	err_clear(e);
}

struct span fuzz_must_be_json(struct span text)
{
	json_tokener *other = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
	json_object  *doc;
	struct span   value = { NULL, 0 };

	must(json_check(text, &value, NULL) == 0);
	must(fuzz_is_utf8(text));
	must(other != NULL && text.len < INT32_MAX);
	doc = json_tokener_parse_ex(other, text.p, (int)text.len);
	must(json_tokener_get_error(other) == json_tokener_success ||
	     (json_tokener_get_error(other) == json_tokener_continue && json_type(value) <= JSON_NUMBER));
	json_object_put(doc);
	json_tokener_free(other);
	return value;
}

/* ---- the store --------------------------------------------------------------------- */

static char           folder[256];
static struct env     env;
static void          *thread;
static struct arena   arena;
static struct buf     answer;
static sqlite3       *own;         /* a second connection, for what no verb does */

static void leave(void)
{
	DIR           *dir = opendir(folder);
	struct dirent *entry;
	char           path[600];

	serving_clear();
	context_close(thread);
	sqlite3_close(own);
	arena_clear(&arena);
	buf_clear(&answer);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		unlink(path);
	}
	if (dir != NULL)
		closedir(dir);
	rmdir(folder);
}

const struct env *fuzz_open(void)
{
	const char *tmp = getenv("TMPDIR");
	struct err  e = { 0 };

	snprintf(folder, sizeof folder, "%.200s/fuzz-XXXXXX", tmp == NULL ? "/tmp" : tmp);
	must(mkdtemp(folder) != NULL && sodium_init() >= 0);
	setenv("MODEL_DIR", folder, 1);
	must(env_read(&env, &e) == 0);
	env.train_every = 1000000;      /* no training but the one that is asked for */
	log_open("fuzz", LOG__MAX);
	arena_init(&arena, (size_t)64 << 20);
	buf_init(&answer, (size_t)64 << 20);
	must(context_open(&env, &thread, &e) == 0);
	atexit(leave);
	return &env;
}

void *fuzz_thread(void)
{
	return thread;
}

struct store *fuzz_store(void)
{
	struct store *st = NULL;
	struct err    e = { 0 };

	must(context_store(thread, &st, &e) == 0);
	return st;
}

static void sql(const char *fmt, const char *name)
{
	char *text = sqlite3_mprintf(fmt, name, name);

	must(text != NULL && sqlite3_exec(own, text, NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_free(text);
}

static void open_own(void)
{
	char path[300];

	if (own != NULL)
		return;
	(void)fuzz_store();
	snprintf(path, sizeof path, "%s/" STORE_FILE, folder);
	must(sqlite3_open(path, &own) == SQLITE_OK);
	sql("PRAGMA synchronous=OFF; PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY; PRAGMA busy_timeout=1000;", "");
}

int64_t fuzz_number(const char *query)
{
	sqlite3_stmt *st;
	int64_t       n;

	open_own();
	must(sqlite3_prepare_v2(own, query, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static void each_table(const char *fmt)
{
	static const char query[] = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%'";
	sqlite3_stmt     *st;

	must(sqlite3_prepare_v2(own, query, -1, &st, NULL) == SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		sql(fmt, (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
}

void fuzz_keep(void)
{
	open_own();
	each_table("CREATE TEMP TABLE \"keep_%w\" AS SELECT * FROM main.\"%w\"");
}

void fuzz_restore(void)
{
	sql("BEGIN IMMEDIATE", "");
	each_table("DELETE FROM main.\"%w\"");
	each_table("INSERT INTO main.\"%w\" SELECT * FROM temp.\"keep_%w\"");
	sql("COMMIT", "");
}

/* ---- requests ----------------------------------------------------------------------- */

int fuzz_ask(handler *handle, struct span body, const char *query, struct reply *reply, struct err *e)
{
	static char *const params[] = { NULL };
	struct request     req = { .env = &env, .method = POST, .path = SPAN("/"), .query = span_of(query),
	                           .id = "0123456789abcdef0123456789abcdef", .basic_ok = true, .arena = &arena,
	                           .thread = thread, .params = params };
	char              *copy = malloc(body.len + 1);
	int                rc;

	/* On the heap and no longer than it is, so that a byte beyond it is seen. */
	must(copy != NULL);
	if (body.len > 0)
		memcpy(copy, body.p, body.len);
	copy[body.len] = '\0';
	req.body = (struct span){ copy, body.len };
	arena_clear(&arena);
	arena_init(&arena, (size_t)64 << 20);
	buf_reset(&answer);
	*reply = (struct reply){ .status = 200, .body = answer };
	rc = handle(&req, reply, e);
	answer = reply->body;
	must(body.len == 0 || memcmp(copy, body.p, body.len) == 0);
	free(copy);
	if (rc == 0) {
		(void)fuzz_must_be_json(buf_span(&reply->body));
		must(reply->status >= 200 && reply->status < 300);
	} else {
		/* 500 is a defect; 503 one of the store, which nothing is wrong with. */
		must(http_status(e->code) >= 400 && http_status(e->code) < 500);
		fuzz_must_be_error(e);
	}
	must(store_begin(fuzz_store(), e) == 0);        /* no transaction was left open */
	store_rollback(fuzz_store());
	return rc;
}

static void ask_well(handler *handle, const char *body)
{
	struct reply reply;
	struct err   e = { 0 };

	must(fuzz_ask(handle, span_of(body), "", &reply, &e) == 0);
}

void fuzz_project(void)
{
	static const struct { const char *text, *label; } rows[] = {
		{ "a warm and friendly place", "good" }, { "cold soup, cold room", "bad" }, { "neither here nor there", "so so" },
		{ "friendly people, warm soup", "good" }, { "the room was cold", "bad" }, { "it was a place", "so so" },
		{ "I would come again", "good" }, { "never again \xce\xa3\xce\x91\xce\xa3", "bad" },
	};
	static const struct train_options opt = { .foreground = true };
	struct train_result               result;
	struct buf                        b;
	struct err                        e = { 0 };
	int64_t                           row;

	buf_init(&b, 65536);
	buf_adds(&b, "{\"project\":\"12.1700000000\",\"schema\":");
	json_put_text(&b, SPAN(FUZZ_CONFIG));
	buf_adds(&b, "}");
	ask_well(setup_project, b.p);
	for (size_t i = 0; i < countof(rows); i++) {
		buf_reset(&b);
		buf_addf(&b, "{\"action\":\"ANNOTATION_CREATED\",\"project\":{\"id\":12,\"created_at\":\"2023-11-14T22:13:20Z\"},"
		         "\"task\":{\"id\":%zu,\"data\":{\"text\":\"%s\"}},\"annotation\":{\"id\":%zu,\"task\":%zu,"
		         "\"updated_at\":\"2024-01-01T00:00:00.000001Z\",\"result\":[{\"from_name\":\"label\",\"to_name\":\"text\","
		         "\"type\":\"choices\",\"value\":{\"choices\":[\"%s\"]}}]}}", i + 1, rows[i].text, i + 1, i + 1, rows[i].label);
		ask_well(event_webhook, b.p);
	}
	buf_clear(&b);
	must(store_project_find(fuzz_store(), 12, STORE_NULL, &row, &e) == 0);
	must(train_run(fuzz_store(), &env, row, &opt, &result, &e) == 0);
	must(result.state == JOB_DONE);
}

/* ---- answers of /predict --------------------------------------------------------------- */

static double number_of(struct span object, const char *key)
{
	struct span value;
	double      x = -1;

	must(json_member(object, key, &value) == 0 && json_real(value, &x) == 0);
	return x;
}

static void must_be_text(struct span object, const char *key)
{
	struct span value;

	must(json_member(object, key, &value) == 0 && json_type(value) == JSON_STRING);
}

void fuzz_must_be_predictions(struct span text, size_t n)
{
	struct span      root = fuzz_must_be_json(text), results, one, regions, region, version, value;
	struct json_iter it, in;

	must(json_member(root, "results", &results) == 0 && json_type(results) == JSON_ARRAY);
	must(json_count(results) == n);
	for (it = json_each(results); json_next(&it, NULL, &one);) {
		must(number_of(one, "score") >= 0 && number_of(one, "score") <= 1);
		must(json_member(one, "model_version", &version) == 0 && json_type(version) == JSON_STRING && version.len > 2);
		must(json_member(one, "result", &regions) == 0 && json_type(regions) == JSON_ARRAY);
		for (in = json_each(regions); json_next(&in, NULL, &region);) {
			must_be_text(region, "from_name");
			must_be_text(region, "to_name");
			must_be_text(region, "type");
			must(number_of(region, "score") >= 0 && number_of(region, "score") <= 1);
			must(json_member(region, "value", &value) == 0 && json_type(value) == JSON_OBJECT);
		}
	}
}
