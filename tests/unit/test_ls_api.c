/*
 * test_ls_api.c - the calls to Label Studio, against one that misbehaves
 * (tests/unit/ls_stub.py; the first part of a path chooses how).
 *
 * Every case also shows that no message holds the key; at the end, that nothing
 * ever went to another host.
 */
#include "studio/ls_api.c"

#include "patience.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LEGACY "e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0deadbeef"

static pid_t stub_pid;
static int   stub_stdin, port, foreign_port;
static char  refresh_key[300];          /* a personal access token */

/* ---- the stub ---- */

static int start_stub(void **state)
{
	static const char payload[] = "{\"token_type\":\"refresh\",\"exp\":8102506261,\"user_id\":\"1\"}";
	static char script[] = __FILE__;
	int         in[2], out[2];
	char        line[64], b64[200];
	FILE       *from_stub;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	strcpy(strrchr(script, '/'), "/ls_stub.py");
	if (pipe(in) < 0 || pipe(out) < 0 || (stub_pid = fork()) < 0)
		return -1;
	if (stub_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		execlp("python3", "python3", script, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	stub_stdin = in[1];
	if ((from_stub = fdopen(out[0], "r")) == NULL)
		return -1;
	if (fgets(line, sizeof line, from_stub) == NULL)
		line[0] = '\0';
	fclose(from_stub);
	sodium_bin2base64(b64, sizeof b64, (const unsigned char *)payload, sizeof payload - 1,
	                  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	snprintf(refresh_key, sizeof refresh_key, "eyJhbGciOiJIUzI1NiJ9.%s.c2VjcmV0c2lnbmF0dXJl", b64);
	return sscanf(line, "%d %d", &port, &foreign_port) == 2 ? 0 : -1;
}

static int stop_stub(void **state)
{
	(void)state;
	close(stub_stdin);
	return waitpid(stub_pid, NULL, 0) == stub_pid ? 0 : -1;
}

/* ---- helpers ---- */

/* Limits that a test can wait for where one is what is tested: elsewhere they would
 * be met on a slow machine. */
static struct ls_api *open_mode(const char *mode, const char *key)
{
	const bool     limited = strcmp(mode, "drip") == 0 || strcmp(mode, "no_answer") == 0 ||
	                         strncmp(mode, "late", 4) == 0;
	struct ls_api *api = NULL;
	struct err     e = { 0 };
	char           url[100];

	snprintf(url, sizeof url, "http://127.0.0.1:%d/%s/", port, mode);
	if (ls_api_open(&api, url, key, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(api->connect_ms, 5000);
	assert_int_equal(api->total_ms, 60000);
	assert_int_equal(api->stall_s, 15);
	assert_int_equal(api->build_s, 300);
	assert_true(api->wait_max_s == 60);
	if (limited) {
		api->total_ms = 1500;
		api->stall_s = 1;
		api->build_s = 3;
	}
	api->backoff_s = 0.02;
	return api;
}

/* What the stub saw of a mode. */
struct seen {
	int64_t hits, exchanges, foreign;
	char    auth[2000];             /* the headers, one behind the other */
};

static struct seen seen_of(const char *mode)
{
	struct ls_api   *api = open_mode("ctl", "none-that-counts");
	struct buf       answer;
	struct err       e = { 0 };
	struct seen      seen = { 0 };
	struct span      object, value, auth;
	struct json_iter it;
	char             path[100];

	buf_init(&answer, 1 << 20);
	snprintf(path, sizeof path, "/%s", mode);
	if (ls_api_request(api, "GET", path, (struct span){ 0 }, &answer, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(json_check(buf_span(&answer), &object, &e), 0);
	assert_int_equal(json_member(object, "hits", &value), 0);
	assert_int_equal(json_int(value, 0, 1000000, &seen.hits), 0);
	assert_int_equal(json_member(object, "exchanges", &value), 0);
	assert_int_equal(json_int(value, 0, 1000000, &seen.exchanges), 0);
	assert_int_equal(json_member(object, "foreign", &value), 0);
	assert_int_equal(json_int(value, 0, 1000000, &seen.foreign), 0);
	assert_int_equal(json_member(object, "auth", &value), 0);
	for (it = json_each(value); json_next(&it, NULL, &auth); )
		if (strlen(seen.auth) + auth.len < sizeof seen.auth)
			strncat(seen.auth, auth.p, auth.len);
	buf_clear(&answer);
	ls_api_close(api);
	return seen;
}

/* The ids of an export, "2 3 4 "; "!" where a task could not be read. */
struct ids {
	char text[4000];
	int  n, fail_at;                /* fail_at: the call that says no, counted from 1 */
};

static int note_id(void *arg, struct span task, struct err *e)
{
	struct ids *ids = arg;
	struct span value;
	int64_t     id;
	size_t      len = strlen(ids->text);

	if (++ids->n == ids->fail_at)
		return err_set(e, ERR_LEASE, "the lease is lost");
	if (json_member(task, "id", &value) == 0 && json_int(value, 1, INT64_MAX, &id) == 0)
		snprintf(ids->text + len, sizeof ids->text - len, "%" PRId64 " ", id);
	else
		snprintf(ids->text + len, sizeof ids->text - len, "!");
	return 0;
}

static void check_no_secret(const struct ls_api *api, const struct err *e)
{
	if (tells(span_of(e->msg), api->key) ||
	    (api->access != NULL && tells(span_of(e->msg), api->access)))
		fail_msg("the key shows: %s", e->msg);
}

static bool yes(void *arg)
{
	(void)arg;
	return true;
}

/* true some time after the first question. */
static bool soon(void *arg)
{
	double *begin = arg;

	if (*begin == 0)
		*begin = clock_monotonic();
	return clock_monotonic() - *begin > 0.3;
}

/* ---- the table of misbehaviours: export ---- */

#define ALL "2 3 4 5 10 13 "

static const struct {
	const char   *mode;
	int           hits;             /* requests that the stub must have seen */
	enum err_code code;
	const char   *message;          /* a part of it */
	const char   *ids;              /* handed over before that */
} exports[] = {
	{ "ok",               1, ERR_OK,        "", ALL },
	{ "html",             1, ERR_REMOTE,    "export can't be read: not a JSON array", "" },
	{ "empty",            1, ERR_REMOTE,    "not whole", "" },
	{ "no_content",       1, ERR_REMOTE,    "not whole", "" },
	{ "object",           1, ERR_REMOTE,    "not a JSON array", "" },
	{ "scalar_element",   1, ERR_REMOTE,    "element 1 is not a task", "1 " },
	{ "garbage_behind",   1, ERR_REMOTE,    "after the array", "1 " },
	{ "trailing_comma",   1, ERR_REMOTE,    "can't be read", "1 " },
	{ "not_a_number",     1, ERR_REMOTE,    "can't be read: not JSON", "" },
	{ "bad_utf8",         1, ERR_REMOTE,    "can't be read: not JSON", "" },
	{ "nul",              1, ERR_REMOTE,    "can't be read", "1 " },
	{ "deep",             1, ERR_REMOTE,    "can't be read", "" },
	{ "bomb",             1, ERR_REMOTE,    "not a JSON array", "" },
	{ "cut_length",       1, ERR_REMOTE,    "broke off", "2 3 4 " },
	{ "cut_early_twice",  3, ERR_OK,        "", ALL },
	{ "cut_chunked",      1, ERR_REMOTE,    "broke off", "2 3 4 " },
	{ "cut_array",        1, ERR_REMOTE,    "not whole", "2 3 " },
	{ "drip",             1, ERR_REMOTE,    "less than 1 KB/s for 1 s", "" },
	{ "no_answer",        1, ERR_REMOTE,    "sent nothing of its export within 3 s", "" },
	{ "late",             1, ERR_OK,        "", ALL },
	{ "late_then_stalls", 1, ERR_REMOTE,    "less than 1 KB/s for 1 s", "2 " },
	{ "reset",            3, ERR_REMOTE,    "broke off", "" },
	{ "close_once",       2, ERR_OK,        "", ALL },
	{ "close",            3, ERR_REMOTE,    "broke off", "" },
	{ "not_http",         1, ERR_REMOTE,    "does not answer in HTTP", "" },
	{ "bad_chunk",        3, ERR_REMOTE,    "broke off", "" },
	{ "two_lengths",      3, ERR_REMOTE,    "broke off", "" },
	{ "endless_headers",  1, ERR_REMOTE,    "more than 256 KB of headers", "" },
	{ "endless_continue", 1, ERR_REMOTE,    "more than 256 KB of headers", "" },
	{ "endless_refusal",  1, ERR_REMOTE,    "answered 403", "" },
	{ "huge_element",     1, ERR_REMOTE,    "element 0 is larger than 67108864 bytes", "" },
	{ "moved",            1, ERR_REMOTE,    "redirects (302)", "" },
	{ "moved_keep_method",1, ERR_REMOTE,    "redirects (307)", "" },
	{ "moved_here",       1, ERR_REMOTE,    "redirects (301)", "" },
	{ "foreign_links",    1, ERR_OK,        "", "1 " },
	{ "legacy_refused",   1, ERR_AUTH,      "refused the key: legacy tokens are disabled in this organization", "" },
	{ "echo_key",         1, ERR_AUTH,      "refused the key", "" },
	{ "echo_part",        1, ERR_REMOTE,    "answered 403", "" },
	{ "forbidden",        1, ERR_REMOTE,    "answered 403 to GET /api/projects/1/export?exportType=JSON: You do not have permission", "" },
	{ "absent",           1, ERR_NOT_FOUND, "No Project matches", "" },
	{ "bad_request",      1, ERR_REMOTE,    "answered 400 to GET /api/projects/1/export?exportType=JSON: two??lines", "" },
	{ "invalid",          1, ERR_REMOTE,    "answered 400 to GET /api/projects/1/export?exportType=JSON: url: Enter a URL", "" },
	{ "invalid_odd",      1, ERR_REMOTE,    "answered 400 to GET /api/projects/1/export?exportType=JSON: Validation error", "" },
	{ "invalid_echo",     1, ERR_REMOTE,    "answered 400", "" },
	{ "down",             3, ERR_REMOTE,    "answered 503", "" },
	{ "down_twice",       3, ERR_OK,        "", ALL },
	{ "busy_once",        2, ERR_OK,        "", ALL },
	{ "busy_long",        1, ERR_REMOTE,    "asks to wait for 3600 s", "" },
	{ "busy",             3, ERR_REMOTE,    "answered 429", "" },
};

static void test_exports(void **state)
{
	(void)state;
	for (size_t i = 0; i < countof(exports); i++) {
		const char    *mode = exports[i].mode;
		struct ls_api *api = open_mode(mode, LEGACY);
		struct err     e = { 0 };
		struct ids     ids = { .n = 0 };
		const double   began = clock_monotonic() - held_up(getpid()) - held_up(stub_pid);
		const double   asked = clock_monotonic();
		struct seen    seen;
		int            rc = ls_api_export(api, 1, note_id, &ids, &e);
		const double   took = clock_monotonic() - held_up(getpid()) - held_up(stub_pid) - began;

		seen = seen_of(mode);
		if (rc != (exports[i].code == ERR_OK ? 0 : -1) || e.code != exports[i].code ||
		    strstr(e.msg, exports[i].message) == NULL || strcmp(ids.text, exports[i].ids) != 0)
			fail_msg("%s: %d, code %d, \"%s\", tasks \"%s\"", mode, rc, e.code, e.msg, ids.text);
		if (seen.hits != exports[i].hits)
			fail_msg("%s: %d requests, not %d", mode, (int)seen.hits, exports[i].hits);
		if (strstr(seen.auth, "\"Token " LEGACY "\"") == NULL)
			fail_msg("%s: sent %s", mode, seen.auth);
		if (took > 4)
			fail_msg("%s: took %.1f s", mode, took);
		if (strcmp(mode, "busy_once") == 0 && clock_monotonic() - asked < 1)
			fail_msg("Retry-After: 1 was not obeyed: %.2f s", clock_monotonic() - asked);
		check_no_secret(api, &e);
		ls_api_close(api);
	}
}

/* ---- other calls ---- */

static void test_project(void **state)
{
	static const struct { const char *mode; enum err_code code; const char *message; } cases[] = {
		{ "ok",             ERR_OK,        "" },
		{ "other_project",  ERR_REMOTE,    "not about project 1" },
		{ "no_config",      ERR_REMOTE,    "lacks the project's label_config" },
		{ "config_number",  ERR_REMOTE,    "lacks the project's label_config" },
		{ "bad_time",       ERR_REMOTE,    "no time in the project's created_at" },
		{ "huge_id",        ERR_REMOTE,    "not about project 1" },
		{ "html",           ERR_REMOTE,    "not JSON" },
		{ "deep",           ERR_REMOTE,    "not JSON" },
		{ "endless_answer", ERR_REMOTE,    "larger than 67108864 bytes" },
		{ "no_answer",      ERR_REMOTE,    "did not answer GET /api/projects/1/ within 1 s" },
		{ "drip",           ERR_REMOTE,    "did not answer GET /api/projects/1/ within 1 s" },
		{ "absent",         ERR_NOT_FOUND, "answered 404" },
		{ "moved",          ERR_REMOTE,    "redirects" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct ls_api    *api = open_mode(cases[i].mode, LEGACY);
		struct ls_project p;
		struct arena      a;
		struct err        e = { 0 };
		int               rc;

		arena_init(&a, 1 << 20);
		rc = ls_api_project(api, 1, &a, &p, &e);
		if (rc != (cases[i].code == ERR_OK ? 0 : -1) || e.code != cases[i].code ||
		    strstr(e.msg, cases[i].message) == NULL)
			fail_msg("%s: %d, code %d, \"%s\"", cases[i].mode, rc, e.code, e.msg);
		if (rc == 0) {
			assert_int_equal(p.id, 1);
			assert_int_equal(p.created_s, 1795306195);      /* as in /setup */
			assert_true(span_is(p.title, "Reviews"));
			assert_true(p.label_config.len > 100);
			assert_memory_equal(p.label_config.p, "<View><Text name=\"text\"", 23);
		}
		check_no_secret(api, &e);
		arena_clear(&a);
		ls_api_close(api);
	}
}

static void test_request(void **state)
{
	static const char *const methods[] = { "POST", "PUT", "PATCH", "DELETE" };
	struct ls_api     *api = open_mode("ok", LEGACY);
	struct err         e = { 0 };
	struct buf         answer;
	char               want[100];

	(void)state;
	buf_init(&answer, 1000);
	buf_adds(&answer, "before ");
	for (size_t i = 0; i < countof(methods); i++) {
		answer.len = 7;
		if (ls_api_request(api, methods[i], "/echo/", SPAN("{\"a\":1}"), &answer, &e) < 0)
			fail_msg("%s: %s", methods[i], e.msg);
		snprintf(want, sizeof want, "before {\"method\": \"%s\", \"body\": \"{\\\"a\\\":1}\"}",
		         methods[i]);
		assert_string_equal(answer.p, want);
	}
	answer.len = 0;
	assert_int_equal(ls_api_request(api, "POST", "/echo/", (struct span){ 0 }, &answer, &e), 0);
	assert_string_equal(answer.p, "{\"method\": \"POST\", \"body\": \"\"}");

	/* The caller's own limit holds, and a failure leaves its bytes alone. */
	buf_clear(&answer);
	buf_init(&answer, 20);
	buf_adds(&answer, "before ");
	assert_int_equal(ls_api_request(api, "POST", "/echo/", SPAN("{}"), &answer, &e), -1);
	assert_int_equal(e.code, ERR_REMOTE);
	assert_string_equal(answer.p, "before ");
	assert_int_equal(answer.failed, ERR_OK);
	buf_clear(&answer);
	ls_api_close(api);
}

/* What changes something is not sent twice where it may have been carried out. */
static void test_post_is_not_repeated(void **state)
{
	static const struct { const char *mode; int hits; } cases[] = {
		{ "down", 1 }, { "close", 1 }, { "cut_chunked", 1 }, { "busy", 3 },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct ls_api *api = open_mode(cases[i].mode, LEGACY);
		const int64_t  before = seen_of(cases[i].mode).hits;
		struct err     e = { 0 };
		struct buf     answer;

		buf_init(&answer, 1 << 20);
		assert_int_equal(ls_api_request(api, "POST", "/api/predictions/", SPAN("{}"), &answer, &e), -1);
		assert_int_equal(e.code, ERR_REMOTE);
		if (seen_of(cases[i].mode).hits - before != cases[i].hits)
			fail_msg("%s: %d requests", cases[i].mode, (int)(seen_of(cases[i].mode).hits - before));
		assert_int_equal(answer.len, 0);
		buf_clear(&answer);
		ls_api_close(api);
	}
}

static void test_bad_requests(void **state)
{
	struct ls_api *api = open_mode("ok", LEGACY);
	struct buf     answer;
	static const struct { const char *method, *path; } cases[] = {
		{ "TRACE", "/api/" }, { "GET\r\nX: y", "/api/" }, { "GET", "api/" }, { "GET", "" },
		{ "GET", "@127.0.0.1/" }, { "GET", "/a b" }, { "GET", "/a\r\nX: y" }, { "get", "/" },
	};

	(void)state;
	buf_init(&answer, 1000);
	for (size_t i = 0; i < countof(cases); i++) {
		struct err e = { 0 };

		assert_int_equal(ls_api_request(api, cases[i].method, cases[i].path, (struct span){ 0 },
		                                &answer, &e), -1);
		assert_int_equal(e.code, ERR_USAGE);
	}
	ls_api_close(api);
}

/* ---- tokens ---- */

static int export_with(const char *mode, const char *key, int times, struct err *e)
{
	struct ls_api *api = open_mode(mode, key);
	int            rc = 0;

	for (int i = 0; i < times && rc == 0; i++) {
		struct ids ids = { .n = 0 };

		rc = ls_api_export(api, 1, note_id, &ids, e);
		if (rc == 0)
			assert_string_equal(ids.text, ALL);
	}
	check_no_secret(api, e);
	ls_api_close(api);
	return rc;
}

static void test_exchange(void **state)
{
	static const struct {
		const char   *mode;
		int           times, exchanges, hits;
		enum err_code code;
		const char   *message;
	} cases[] = {
		/* Kept between calls, 30 s before its end renewed, renewed once on 401. */
		{ "exchange",         3, 1, 4, ERR_OK, "" },
		{ "exchange_short",   3, 3, 6, ERR_OK, "" },
		{ "exchange_in_vain", 1, 1, 2, ERR_AUTH, "refused the key" },
		{ "exchange_refused", 1, 1, 1, ERR_AUTH, "refused the personal access token" },
		{ "exchange_html",    1, 1, 1, ERR_REMOTE, "no access token" },
		{ "exchange_inject",  1, 1, 1, ERR_REMOTE, "no access token" },
		{ "exchange_echo",    1, 1, 1, ERR_REMOTE, "answered 400 to POST /api/token/refresh/" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct err  e = { 0 };
		int         rc = export_with(cases[i].mode, refresh_key, cases[i].times, &e);
		struct seen seen = seen_of(cases[i].mode);

		if (rc != (cases[i].code == ERR_OK ? 0 : -1) || e.code != cases[i].code ||
		    strstr(e.msg, cases[i].message) == NULL)
			fail_msg("%s: %d, code %d, \"%s\"", cases[i].mode, rc, e.code, e.msg);
		if (seen.exchanges != cases[i].exchanges || seen.hits != cases[i].hits)
			fail_msg("%s: %d exchanges, %d requests", cases[i].mode, (int)seen.exchanges,
			         (int)seen.hits);
		/* The personal access token itself is never a header. */
		assert_null(strstr(seen.auth, refresh_key));
	}
}

/* One that was good and is refused before its time: exchanged anew, once. */
static void test_access_ends_early(void **state)
{
	struct ls_api *api = open_mode("exchange_expired", refresh_key);
	struct err     e = { 0 };
	struct ids     ids = { .n = 0 };
	struct seen    seen;

	(void)state;
	assert_int_equal(exchange_key(api, &e), 0);
	assert_int_equal(ls_api_export(api, 1, note_id, &ids, &e), 0);
	assert_string_equal(ids.text, ALL);
	seen = seen_of("exchange_expired");
	assert_int_equal(seen.exchanges, 2);
	assert_int_equal(seen.hits, 4);
	ls_api_close(api);
}

static void test_key_kinds(void **state)
{
	static const struct { const char *key; enum key_kind kind; int64_t exp; } cases[] = {
		{ LEGACY, KEY_LEGACY, 0 },
		{ "a.b", KEY_LEGACY, 0 },
		{ "a.b.c", KEY_LEGACY, 0 },
		{ "a..c", KEY_LEGACY, 0 },
		{ "a.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c.d", KEY_LEGACY, 0 },
		/* {"token_type":"access"}, {"token_type":"sliding"}, [1], {"token_type":7} */
		{ "a.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c", KEY_ACCESS, 0 },
		{ "a.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0=.c", KEY_ACCESS, 0 },
		{ "a.eyJ0b2tlbl90eXBlIjoic2xpZGluZyJ9.c", KEY_LEGACY, 0 },
		{ "a.WzFd.c", KEY_LEGACY, 0 },
		{ "a.eyJ0b2tlbl90eXBlIjo3fQ.c", KEY_LEGACY, 0 },
		/* as recorded */
		{ "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCIsImV4cCI6ODEwMjUwNjI2MSwia"
		  "WF0IjoxNzk1MzA2MjYxLCJqdGkiOiI0MTFmZTAzYjBiNTA0YzNmOTFlOWM2MzVjODk4ODY5ZCIsInVzZXJfaWQiOiIxIn0.x",
		  KEY_REFRESH, 8102506261 },
		{ "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIiwiZXhwIjoxNzk1MzA2NTYxLCJp"
		  "YXQiOjE3OTUzMDYyNjEsImp0aSI6ImRlNzRiM2JkMDBmNDQ3ODI5ZTRkNWVkYjE3NDA4NjYwIiwidXNlcl9pZCI6IjEifQ.x",
		  KEY_ACCESS, 1795306561 },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		int64_t exp;

		if (token_read(cases[i].key, &exp) != cases[i].kind || exp != cases[i].exp)
			fail_msg("case %zu: kind %d, exp %" PRId64, i, (int)token_read(cases[i].key, &exp), exp);
	}
}

static void test_access_token_as_key(void **state)
{
	static const char key[] = "a.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c";
	struct err        e = { 0 };

	(void)state;
	assert_int_equal(export_with("ok", key, 1, &e), 0);
	assert_non_null(strstr(seen_of("ok").auth, "\"Bearer a.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c\""));
	assert_int_equal(export_with("echo_key", key, 1, &e), -1);
	assert_int_equal(e.code, ERR_AUTH);
	assert_non_null(strstr(e.msg, "good for 5 minutes"));
}

static void test_open(void **state)
{
	static const struct { const char *url, *key; } bad[] = {
		{ "ftp://127.0.0.1/", LEGACY }, { "file:///etc/passwd", LEGACY }, { "127.0.0.1:8080", LEGACY },
		{ "http://user:pass@127.0.0.1/", LEGACY }, { "http://user@127.0.0.1/", LEGACY },
		{ "http://127.0.0.1/?a=b", LEGACY }, { "http://127.0.0.1/#x", LEGACY },
		{ "http://127.0.0.1/\r\nX: y", LEGACY }, { "http://", LEGACY }, { "", LEGACY },
		{ "http://127.0.0.1/", "" }, { "http://127.0.0.1/", " \n" },
		{ "http://127.0.0.1/", "two words" }, { "http://127.0.0.1/", "a\r\nX-Injected: yes" },
		{ "http://127.0.0.1/", "schl\xc3\xbcssel" },
	};
	struct ls_api *api = NULL;
	struct err     e = { 0 };

	(void)state;
	for (size_t i = 0; i < countof(bad); i++) {
		err_clear(&e);
		if (ls_api_open(&api, bad[i].url, bad[i].key, &e) == 0)
			fail_msg("%s was taken", bad[i].url);
		assert_int_equal(e.code, ERR_USAGE);
		assert_null(strstr(e.msg, "pass@"));
		assert_null(strstr(e.msg, "words"));
	}
	/* A key from a file ends with a line. */
	assert_int_equal(ls_api_open(&api, "https://ls.example.org/labels///", " " LEGACY "\n", &e), 0);
	assert_string_equal(api->url, "https://ls.example.org/labels");
	assert_string_equal(api->key, LEGACY);
	ls_api_close(api);
	ls_api_close(NULL);
}

/* ---- the network ---- */

static void test_nobody_listens(void **state)
{
	struct ls_api *api = open_mode("ok", LEGACY);
	struct err     e = { 0 };
	struct ids     ids = { .n = 0 };
	char           want[100];

	(void)state;
	snprintf(api->url, sizeof api->url, "http://127.0.0.1:1");
	assert_int_equal(ls_api_export(api, 1, note_id, &ids, &e), -1);
	assert_int_equal(e.code, ERR_REMOTE);
	snprintf(want, sizeof want, "Label Studio at http://127.0.0.1:1 does not answer: Connection refused");
	assert_string_equal(e.msg, want);

	err_clear(&e);
	snprintf(api->url, sizeof api->url, "http://nowhere.invalid");
	assert_int_equal(ls_api_export(api, 1, note_id, &ids, &e), -1);
	assert_string_equal(e.msg, "Label Studio at http://nowhere.invalid does not answer: no such host");
	ls_api_close(api);
}

/* With a proxy in the environment the calls still go straight. */
static void test_no_proxy(void **state)
{
	static const char *const names[] = { "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy" };
	char                     proxy[60];
	struct err               e = { 0 };

	(void)state;
	snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", foreign_port);
	for (size_t i = 0; i < countof(names); i++)
		setenv(names[i], proxy, 1);
	if (export_with("ok", LEGACY, 1, &e) < 0)
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < countof(names); i++)
		unsetenv(names[i]);
	assert_int_equal(seen_of("ok").foreign, 0);
}

static void test_cancel(void **state)
{
	static const char *const modes[] = { "no_answer", "drip", "down" };
	struct ls_api           *api = open_mode("ok", LEGACY);
	struct err               e = { 0 };
	struct ids               ids = { .n = 0 };
	const int64_t            before = seen_of("ok").hits;

	(void)state;
	ls_api_cancel(api, yes, NULL);
	assert_int_equal(ls_api_export(api, 1, note_id, &ids, &e), -1);
	assert_int_equal(e.code, ERR_STOPPED);
	assert_int_equal(seen_of("ok").hits, before);
	ls_api_close(api);

	for (size_t i = 0; i < countof(modes); i++) {
		double began = clock_monotonic() - held_up(getpid()), first_asked = 0, took;

		api = open_mode(modes[i], LEGACY);
		api->stall_s = 15;
		api->backoff_s = 30;                    /* it is the pause that is cut short */
		ls_api_cancel(api, soon, &first_asked);
		err_clear(&e);
		ids = (struct ids){ .n = 0 };
		assert_int_equal(ls_api_export(api, 1, note_id, &ids, &e), -1);
		took = clock_monotonic() - held_up(getpid()) - began;
		if (e.code != ERR_STOPPED || took > 1.5)
			fail_msg("%s: %s after %.1f s", modes[i], e.msg, took);
		ls_api_close(api);
	}
}

#define MANY_TASKS  200000

/* true when many tasks came, or none do. */
struct plenty {
	int    n;
	double end;
};

static bool enough(void *arg)
{
	const struct plenty *p = arg;

	return p->n > MANY_TASKS || clock_monotonic() > p->end;
}

static int count_task(void *arg, struct span task, struct err *e)
{
	int *n = &((struct plenty *)arg)->n;

	(void)e;
	*n += task.len > 0;
	return 0;
}

/* An export is never kept as a whole.  The first to run that reads much, since
 * the peak of memory is what is compared. */
static void test_endless_export(void **state)
{
	struct ls_api *api = open_mode("endless_export", LEGACY);
	struct err     e = { 0 };
	struct rusage  before, after;
	struct plenty  p = { 0, clock_monotonic() + WAIT_S };

	(void)state;
	getrusage(RUSAGE_SELF, &before);
	ls_api_cancel(api, enough, &p);
	assert_int_equal(ls_api_export(api, 1, count_task, &p, &e), -1);
	assert_int_equal(e.code, ERR_STOPPED);
	getrusage(RUSAGE_SELF, &after);
	assert_true(p.n > MANY_TASKS);          /* 8 MB and more */
	if (after.ru_maxrss - before.ru_maxrss > 4000)
		fail_msg("%ld KB more for %d tasks", after.ru_maxrss - before.ru_maxrss, p.n);
	ls_api_close(api);
}

/* What each() says ends the export, and is its error. */
static void test_each_says_no(void **state)
{
	struct ls_api *api = open_mode("ok", LEGACY);
	struct err     e = { 0 };
	struct ids     ids = { .fail_at = 3 };
	const int64_t  before = seen_of("ok").hits;

	(void)state;
	assert_int_equal(ls_api_export(api, 1, note_id, &ids, &e), -1);
	assert_int_equal(e.code, ERR_LEASE);
	assert_string_equal(e.msg, "the lease is lost");
	assert_int_equal(ids.n, 3);
	assert_int_equal(seen_of("ok").hits, before + 1);
	ls_api_close(api);
}

static void test_back_off(void **state)
{
	struct ls_api *api = open_mode("ok", LEGACY);
	double         least = 1e9, most = 0;

	(void)state;
	api->backoff_s = 2;
	for (int i = 0; i < 1000; i++) {
		double s = backoff_s(api, 1), s2 = backoff_s(api, 2);

		assert_true(s >= 1 && s <= 3 && s2 >= 2 && s2 <= 6);
		least = s < least ? s : least;
		most = s > most ? s : most;
	}
	assert_true(most - least > 1);          /* there is jitter */
	ls_api_close(api);
}

/* All modes above have run: whatever they pointed at, nothing went there. */
static void test_no_other_host(void **state)
{
	struct ls_api *api = open_mode("ok", LEGACY);
	struct err     e = { 0 };
	struct ids     ids = { .n = 0 };

	(void)state;
	usleep(100000);
	assert_int_equal(seen_of("ok").foreign, 0);

	/* The count itself works. */
	snprintf(api->url, sizeof api->url, "http://127.0.0.1:%d", foreign_port);
	assert_int_equal(ls_api_export(api, 1, note_id, &ids, &e), -1);
	assert_true(seen_of("ok").foreign > 0);
	ls_api_close(api);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_key_kinds),
		cmocka_unit_test(test_endless_export),
		cmocka_unit_test(test_exports),
		cmocka_unit_test(test_project),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_post_is_not_repeated),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_access_ends_early),
		cmocka_unit_test(test_access_token_as_key),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_no_proxy),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_each_says_no),
		cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_no_other_host),
	};

	return cmocka_run_group_tests(tests, start_stub, stop_stub);
}
