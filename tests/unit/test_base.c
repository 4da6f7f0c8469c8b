/* test_base.c - errors, buffers, the arena, time stamps, settings and the log. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- err ---------------------------------------------------------------------- */

static void test_err(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_set(&e, ERR_SHAPE, "tasks[%d] is %s", 3, "missing"), -1);
	assert_int_equal(e.code, ERR_SHAPE);
	assert_string_equal(e.msg, "tasks[3] is missing");
	assert_int_equal(err_set(&e, ERR_STORE, "later"), -1);        /* the first one stays */
	assert_int_equal(e.code, ERR_SHAPE);
	assert_string_equal(e.msg, "tasks[3] is missing");
	err_clear(&e);
	assert_int_equal(e.code, ERR_OK);
	assert_int_equal(err_memory(&e), -1);
	assert_int_equal(e.code, ERR_MEMORY);
	assert_int_equal(err_set(NULL, ERR_SHAPE, "nobody asks"), -1);
	err_clear(&e);
	err_set(&e, ERR_SHAPE, "%s", "a\nb\rc\x1b[0m\x7f\xc3\xa9");
	assert_string_equal(e.msg, "a?b?c?[0m?\xc3\xa9");
	err_clear(&e);
	err_set(&e, ERR_SHAPE, "%s", "a\xc2\x9b" "31m\xe2\x80\xae" "b\xe2\x80\xa8\xe2\x81\xa6\xc2\xa0\xe2\x80\x93");
	assert_string_equal(e.msg, "a??31m???b??????\xc2\xa0\xe2\x80\x93");
}

/* Cut in the middle of a character, wherever that falls, the message stays UTF-8. */
static void test_err_cut(void **state)
{
	static const char *const chars[] = { "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };

	(void)state;
	for (size_t c = 0; c < countof(chars); c++)
		for (size_t before = 0; before < 5; before++) {
			struct err  e = { 0 };
			struct buf  text, json;
			struct span value;

			buf_init(&text, 10000);
			buf_init(&json, 10000);
			for (size_t i = 0; i < before; i++)
				buf_addc(&text, 'x');
			for (size_t i = 0; i < 300; i++)
				buf_adds(&text, chars[c]);
			err_set(&e, ERR_SHAPE, "%s", text.p);
			assert_true(strlen(e.msg) < sizeof e.msg && strlen(e.msg) > sizeof e.msg - 9);
			assert_memory_equal(e.msg, text.p, strlen(e.msg));
			buf_addf(&json, "\"%s\"", e.msg);
			assert_int_equal(json_check(buf_span(&json), &value, NULL), 0);
			buf_clear(&text);
			buf_clear(&json);
		}
}

/* ---- buf ---------------------------------------------------------------------- */

static void test_buf(void **state)
{
	struct buf b;
	struct err e = { 0 };

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(buf_check(&b, "it", &e), 0);
	assert_int_equal(buf_span(&b).len, 0);
	buf_add(&b, "a\0b", 3);
	buf_addc(&b, 'c');
	buf_adds(&b, "de");
	buf_addf(&b, "%d %s", 42, "f");
	assert_int_equal(b.len, 10);
	assert_memory_equal(b.p, "a\0bcde42 f", 11);
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.p, "");
	buf_add_u32(&b, 0x01020304);
	buf_add_u64(&b, UINT64_C(0x0102030405060708));
	assert_int_equal(b.len, 12);
	assert_memory_equal(b.p, "\x04\x03\x02\x01\x08\x07\x06\x05\x04\x03\x02\x01", 13);
	buf_clear(&b);
	assert_null(b.p);
	buf_adds(&b, "again");
	assert_string_equal(b.p, "again");
	buf_clear(&b);
}

/* Exactly the maximum fits, by every way of adding; the failure sticks. */
static void test_buf_max(void **state)
{
	(void)state;
	for (size_t max = 0; max < 300; max += 7) {
		struct buf b;
		struct err e = { 0 };

		buf_init(&b, max);
		for (size_t i = 0; i < max; i++)
			buf_addc(&b, 'x');
		assert_int_equal(buf_check(&b, "it", &e), 0);
		assert_int_equal(b.len, max);
		buf_adds(&b, "");
		assert_int_equal(buf_check(&b, "it", &e), 0);
		if (max % 2 == 0)
			buf_addc(&b, 'y');
		else
			buf_addf(&b, "%c", 'y');
		assert_int_equal(buf_check(&b, "the answer", &e), -1);
		assert_int_equal(e.code, ERR_TOO_LARGE);
		assert_non_null(strstr(e.msg, "the answer is larger than"));
		buf_adds(&b, "");
		assert_null(buf_room(&b, 0));
		assert_int_equal(b.len, max);
		buf_reset(&b);
		assert_int_equal(buf_check(&b, "it", NULL), 0);
		buf_clear(&b);
	}
}

static void test_buf_huge(void **state)
{
	struct buf b;
	struct err e = { 0 };

	(void)state;
	buf_init(&b, SIZE_MAX / 2);
	buf_adds(&b, "x");
	assert_null(buf_room(&b, SIZE_MAX));
	assert_int_equal(buf_check(&b, "it", &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	assert_string_equal(b.p, "x");
	buf_clear(&b);
}

/* ---- arena -------------------------------------------------------------------- */

static void test_arena(void **state)
{
	struct arena a;
	char        *first, *p;

	(void)state;
	arena_init(&a, (size_t)1 << 20);
	first = arena_alloc(&a, 1);
	for (int round = 0; round < 3; round++) {
		for (size_t len = 0; len < 2000; len += 13) {
			p = arena_alloc(&a, len);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
			memset(p, 0x55, len);
		}
		p = arena_alloc(&a, 200000);            /* more than a block */
		assert_non_null(p);
		memset(p, 0x55, 200000);
		p = arena_alloc(&a, 10);
		assert_non_null(p);
		arena_reset(&a);
		assert_int_equal(a.used, 0);
		p = arena_alloc(&a, 1);
		assert_ptr_equal(p, first);             /* the first block was kept */
	}
	p = arena_copy(&a, SPAN("ab\0c"));
	assert_memory_equal(p, "ab\0c", 5);
	assert_string_equal(arena_copy(&a, (struct span){ NULL, 0 }), "");
	arena_clear(&a);
	p = arena_alloc(&a, 5);
	assert_non_null(p);
	arena_clear(&a);
}

static void test_arena_large_first(void **state)
{
	struct arena a;
	char        *p;

	(void)state;
	arena_init(&a, (size_t)1 << 20);
	p = arena_alloc(&a, 300000);
	assert_non_null(p);
	memset(p, 1, 300000);
	arena_reset(&a);
	assert_ptr_not_equal(arena_alloc(&a, 1), p);    /* the large block went back */
	p = arena_alloc(&a, 300000);
	assert_non_null(p);
	memset(p, 1, 300000);
	arena_clear(&a);
}

static void test_arena_limits(void **state)
{
	struct arena a;
	int         *zeroed;

	(void)state;
	arena_init(&a, 1024);
	assert_null(arena_alloc(&a, 1025));
	assert_non_null(arena_alloc(&a, 1000));
	assert_null(arena_alloc(&a, 100));
	assert_non_null(arena_alloc(&a, 16));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 1008));
	assert_null(arena_array(&a, SIZE_MAX / 2, 4));
	assert_null(arena_array(&a, (size_t)1 << 32, (size_t)1 << 32));
	arena_reset(&a);
	zeroed = arena_array(&a, 10, sizeof *zeroed);
	for (int i = 0; i < 10; i++)
		assert_int_equal(zeroed[i], 0);
	assert_non_null(arena_array(&a, 0, 8));
	arena_clear(&a);
}

/* ---- clock -------------------------------------------------------------------- */

static void test_clock(void **state)
{
	static const struct { const char *text; int64_t us; } good[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01T00:00:00", 0 },
		{ "1970-01-01 00:00:01Z", 1000000 },
		{ "1969-12-31T23:59:59Z", -1000000 },
		{ "2026-11-22T00:10:00.973752Z", INT64_C(1795306200973752) },
		{ "2026-11-22T00:10:00Z", INT64_C(1795306200000000) },
		{ "2026-11-22T02:10:00+02:00", INT64_C(1795306200000000) },
		{ "2026-11-22T02:10:00+0200", INT64_C(1795306200000000) },
		{ "2026-11-21T18:40:00-05:30", INT64_C(1795306200000000) },
		{ "2026-11-22T00:10:00.5Z", INT64_C(1795306200500000) },
		{ "2026-11-22T00:10:00.123456789Z", INT64_C(1795306200123456) },
		{ "2024-02-29T00:00:00Z", INT64_C(1709164800000000) },
		{ "2024-03-01T00:00:00Z", INT64_C(1709251200000000) },
		{ "2000-02-29T12:00:00Z", INT64_C(951825600000000) },
		{ "2100-03-01T00:00:00Z", INT64_C(4107542400000000) },
		{ "0001-01-01T00:00:00Z", INT64_C(-62135596800000000) },
		{ "9999-12-31T23:59:59Z", INT64_C(253402300799000000) },
	};
	static const char *const bad[] = {
		"", "2026", "2026-11-22", "2026-11-22T00:10", "2026-11-22T00:10:00X", "2026-11-22T00:10:00Z ",
		"2026-11-22T00:10:00+2", "2026-11-22T00:10:00+02:0", "2026-11-22T00:10:00+24:00", "2026-11-22T00:10:00+02:60",
		"2026-13-22T00:10:00Z", "2026-00-22T00:10:00Z", "2026-11-00T00:10:00Z", "2026-11-32T00:10:00Z",
		"2026-11-22T24:10:00Z", "2026-11-22T00:60:00Z", "2026-11-22T00:10:61Z", "0000-11-22T00:10:00Z",
		"-026-11-22T00:10:00Z", "2026-11-22t00:10:00Z", "2026/11/22T00:10:00Z", " 2026-11-22T00:10:00Z",
		"2026-11-22T00:10:0aZ", "20261122T001000Z", "+2026-11-22T00:10:00Z", "now",
		"2026-11-22T00:10:00.Z", "2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
	};
	char    iso[CLOCK_ISO_BYTES];
	int64_t us;

	(void)state;
	for (size_t i = 0; i < countof(good); i++)
		if (clock_parse_iso(span_of(good[i].text), &us) != 0 || us != good[i].us)
			fail_msg("%s: %lld", good[i].text, (long long)us);
	for (size_t i = 0; i < countof(bad); i++)
		if (clock_parse_iso(span_of(bad[i]), &us) == 0)
			fail_msg("%s: accepted", bad[i]);
	assert_int_equal(clock_parse_iso((struct span){ "2026-11-22T00:10:00Z\0", 21 }, &us), -1);
	assert_string_equal(clock_iso(1795306200, iso), "2026-11-22T00:10:00Z");
	/* there and back, a day at a time over leap years and centuries */
	for (int64_t day = -200000; day < 200000; day += 17) {
		assert_int_equal(clock_parse_iso(span_of(clock_iso(day * 86400 + 45296, iso)), &us), 0);
		assert_int_equal(us, (day * 86400 + 45296) * 1000000);
	}
	assert_true(clock_us() / 1000000 - clock_s() <= 1 && clock_s() > 1700000000);
}

/* ---- env ---------------------------------------------------------------------- */

static const char *const names[] = {
	"HOST", "PORT", "MODEL_DIR", "LABEL_STUDIO_HOST", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY",
	"LABEL_STUDIO_ACCESS_TOKEN", "START_TRAINING_EACH_N_UPDATES", "LOGISTIC_REGRESSION_C", "BASIC_AUTH_USER",
	"BASIC_AUTH_PASS", "WEBHOOK_SECRET", "LOG_LEVEL", "WORKERS", "THREADS", "TRAIN_THREADS", "TOKEN_PATTERN",
	"MAX_BODY_MB", "KEEP_VERSIONS", "KEEP_HISTORY", "SANDBOX",
};

static int clear_env(void **state)
{
	(void)state;
	for (size_t i = 0; i < countof(names); i++)
		unsetenv(names[i]);
	return 0;
}

static void test_env_defaults(void **state)
{
	struct env env;
	struct err e = { 0 };

	(void)state;
	setenv("PORT", "", 1);                  /* empty counts as unset */
	setenv("BASIC_AUTH_PASS", "", 1);
	assert_int_equal(env_read(&env, &e), 0);
	assert_string_equal(env.host, "127.0.0.1");
	assert_int_equal(env.port, 9090);
	assert_string_equal(env.model_dir, "./data");
	assert_string_equal(env.ls_url, "http://localhost:8080");
	assert_null(env.ls_key);
	assert_int_equal(env.train_every, 10);
	assert_true(env.logreg_c == 10);
	assert_null(env.auth_user);
	assert_null(env.auth_pass);
	assert_null(env.webhook_secret);
	assert_int_equal(env.log_level, 1);
	assert_int_equal(env.threads, 4);
	assert_int_equal(env.train_threads, 1);
	assert_int_equal(env.token_pattern, TOKEN_WORD);
	assert_int_equal(env.max_body_mb, 128);
	assert_int_equal(env.keep_history, 1000);
	assert_int_equal(env_body_max(&env), 134217728);
}

/* A container may have been given two of sixty-four. */
static void workers_are_as_many_as_processors_that_may_be_used(void **state)
{
	struct env env;
	struct err e = { 0 };
	cpu_set_t  all, one;
	size_t     cpu = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(env_read(&env, &e), 0);
	assert_int_equal(env.workers, CPU_COUNT(&all) > 256 ? 256 : CPU_COUNT(&all));
	assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
	assert_int_equal(env_read(&env, &e), 0);
	assert_int_equal(env.workers, 1);
	assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static void test_env_values(void **state)
{
	static const char *const given[][2] = {
		{ "HOST", "0.0.0.0" }, { "PORT", "65535" }, { "MODEL_DIR", "/m" }, { "LABEL_STUDIO_URL", "https://ls.example/sub//" },
		{ "LABEL_STUDIO_ACCESS_TOKEN", "k" }, { "START_TRAINING_EACH_N_UPDATES", "1" }, { "LOGISTIC_REGRESSION_C", "2.5e-1" },
		{ "BASIC_AUTH_USER", "u" }, { "BASIC_AUTH_PASS", "p:q" }, { "WEBHOOK_SECRET", "s" }, { "LOG_LEVEL", "ERROR" },
		{ "WORKERS", "256" }, { "THREADS", "007" }, { "TRAIN_THREADS", "2" }, { "TOKEN_PATTERN", "word1" }, { "MAX_BODY_MB", "1024" },
	};
	struct env env;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < countof(given); i++)
		setenv(given[i][0], given[i][1], 1);
	if (env_read(&env, &e) != 0)
		fail_msg("%s", e.msg);
	assert_string_equal(env.host, "0.0.0.0");
	assert_int_equal(env.port, 65535);
	assert_string_equal(env.model_dir, "/m");
	assert_string_equal(env.ls_url, "https://ls.example/sub");
	assert_string_equal(env.ls_key, "k");
	assert_int_equal(env.train_every, 1);
	assert_true(env.logreg_c == 0.25);
	assert_string_equal(env.auth_user, "u");
	assert_string_equal(env.auth_pass, "p:q");
	assert_string_equal(env.webhook_secret, "s");
	assert_int_equal(env.log_level, 3);
	assert_int_equal(env.workers, 256);
	assert_int_equal(env.threads, 7);
	assert_int_equal(env.train_threads, 2);
	assert_int_equal(env.token_pattern, TOKEN_WORD1);
	assert_int_equal(env.max_body_mb, 1024);
}

/* Each wrong one: the message has the name, the value and what is allowed. */
static void test_env_wrong(void **state)
{
	static const struct { const char *name, *value, *allowed; } cases[] = {
		{ "PORT", "0", "a whole number from 1 to 65535" },
		{ "PORT", "65536", "1 to 65535" },
		{ "PORT", "-1", "1 to 65535" },
		{ "PORT", "+1", "1 to 65535" },
		{ "PORT", " 1", "1 to 65535" },
		{ "PORT", "1 ", "1 to 65535" },
		{ "PORT", "80.0", "1 to 65535" },
		{ "PORT", "8e1", "1 to 65535" },
		{ "PORT", "0x50", "1 to 65535" },
		{ "PORT", "http", "1 to 65535" },
		{ "PORT", "99999999999999999999999", "1 to 65535" },
		{ "START_TRAINING_EACH_N_UPDATES", "0", "1 to 1000000" },
		{ "START_TRAINING_EACH_N_UPDATES", "1000001", "1 to 1000000" },
		{ "LOGISTIC_REGRESSION_C", "0", "a number from 1e-06 to 1000000" },
		{ "LOGISTIC_REGRESSION_C", "-1", "1e-06 to 1000000" },
		{ "LOGISTIC_REGRESSION_C", "nan", "1e-06 to 1000000" },
		{ "LOGISTIC_REGRESSION_C", "inf", "1e-06 to 1000000" },
		{ "LOGISTIC_REGRESSION_C", "1e999", "1e-06 to 1000000" },
		{ "LOGISTIC_REGRESSION_C", "1,5", "1e-06 to 1000000" },
		{ "LOGISTIC_REGRESSION_C", "0x1", "1e-06 to 1000000" },
		{ "LOGISTIC_REGRESSION_C", "1e", "1e-06 to 1000000" },
		{ "LOG_LEVEL", "info", "one of DEBUG, INFO, WARNING, ERROR" },
		{ "LOG_LEVEL", "WARN", "one of DEBUG, INFO, WARNING, ERROR" },
		{ "LOG_LEVEL", "DEBUG|INFO", "one of DEBUG, INFO, WARNING, ERROR" },
		{ "WORKERS", "0", "1 to 256" },
		{ "WORKERS", "processors", "1 to 256" },
		{ "THREADS", "0", "1 to 256" },
		{ "THREADS", "257", "1 to 256" },
		{ "TRAIN_THREADS", "65", "1 to 64" },
		{ "TOKEN_PATTERN", "words", "one of word, word1" },
		{ "TOKEN_PATTERN", "\\w+", "one of word, word1" },
		{ "MAX_BODY_MB", "0", "1 to 1024" },
		{ "MAX_BODY_MB", "1025", "1 to 1024" },
		{ "KEEP_VERSIONS", "0", "1 to 1000" },
		{ "SANDBOX", "yes", "on, strict, off" },
		{ "KEEP_HISTORY", "0", "1 to 1000000" },
		{ "LABEL_STUDIO_HOST", "localhost:8080", "http:// or https://" },
		{ "LABEL_STUDIO_HOST", "ftp://x", "http:// or https://" },
		{ "LABEL_STUDIO_HOST", "http://", "http:// or https://" },
		{ "LABEL_STUDIO_HOST", "http:///", "http:// or https://" },
		{ "LABEL_STUDIO_HOST", "HTTP://x", "http:// or https://" },
		{ "LABEL_STUDIO_HOST", "http://x y", "http:// or https://" },
		{ "LABEL_STUDIO_HOST", "http://x?y", "http:// or https://" },
	};
	struct env env;

	for (size_t i = 0; i < countof(cases); i++) {
		struct err e = { 0 };
		char       begin[200];

		clear_env(state);
		setenv(cases[i].name, cases[i].value, 1);
		if (env_read(&env, &e) == 0)
			fail_msg("%s=%s: accepted", cases[i].name, cases[i].value);
		assert_int_equal(e.code, ERR_USAGE);
		snprintf(begin, sizeof begin, "%s=%s: must be ", cases[i].name, cases[i].value);
		if (strncmp(e.msg, begin, strlen(begin)) != 0 || strstr(e.msg, cases[i].allowed) == NULL)
			fail_msg("%s", e.msg);
	}
}

/* Two names of one setting: the same value is fine, two values stop the start;
 * which key they were is not told. */
static void test_env_alias(void **state)
{
	struct env env;
	struct err e = { 0 };

	(void)state;
	setenv("LABEL_STUDIO_HOST", "http://a:1", 1);
	setenv("LABEL_STUDIO_URL", "http://a:1", 1);
	setenv("LABEL_STUDIO_API_KEY", "", 1);
	setenv("LABEL_STUDIO_ACCESS_TOKEN", "marker", 1);
	assert_int_equal(env_read(&env, &e), 0);
	assert_string_equal(env.ls_url, "http://a:1");
	assert_string_equal(env.ls_key, "marker");

	setenv("LABEL_STUDIO_URL", "http://b:2", 1);
	assert_int_equal(env_read(&env, &e), -1);
	assert_string_equal(e.msg, "LABEL_STUDIO_HOST=http://a:1 and LABEL_STUDIO_URL=http://b:2 differ: set one of them");

	err_clear(&e);
	unsetenv("LABEL_STUDIO_URL");
	setenv("LABEL_STUDIO_API_KEY", "another", 1);
	assert_int_equal(env_read(&env, &e), -1);
	assert_non_null(strstr(e.msg, "LABEL_STUDIO_API_KEY and LABEL_STUDIO_ACCESS_TOKEN"));
	assert_null(strstr(e.msg, "marker"));
	assert_null(strstr(e.msg, "another"));
}

static void test_env_pair(void **state)
{
	struct env env;
	struct err e = { 0 };

	setenv("BASIC_AUTH_USER", "u", 1);
	assert_int_equal(env_read(&env, &e), -1);
	assert_string_equal(e.msg, "BASIC_AUTH_PASS is not set, but BASIC_AUTH_USER is: set both or neither");
	clear_env(state);
	err_clear(&e);
	setenv("BASIC_AUTH_PASS", "geheim", 1);
	assert_int_equal(env_read(&env, &e), -1);
	assert_string_equal(e.msg, "BASIC_AUTH_USER is not set, but BASIC_AUTH_PASS is: set both or neither");
	err_clear(&e);
	setenv("BASIC_AUTH_USER", "a:b", 1);
	assert_int_equal(env_read(&env, &e), -1);
	assert_non_null(strstr(e.msg, "BASIC_AUTH_USER"));
	assert_null(strstr(e.msg, "geheim"));
}

/* A setting's value may hold what the err struct must not: it is one line. */
static void test_env_hostile(void **state)
{
	struct env env;
	struct err e = { 0 };

	(void)state;
	setenv("LOG_LEVEL", "x\ny", 1);
	assert_int_equal(env_read(&env, &e), -1);
	assert_null(strchr(e.msg, '\n'));
	assert_non_null(strstr(e.msg, "LOG_LEVEL=x?y: must be"));
}

static const struct env_row *row_of(const struct env_row *rows, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	fail_msg("no row %s", name);
	return NULL;
}

static void test_env_rows(void **state)
{
	const struct env_row *rows, *row;
	struct err            e = { 0 };
	size_t                n;

	(void)state;
	setenv("WEBHOOK_SECRET", "geheim", 1);
	setenv("LABEL_STUDIO_URL", "http://a:1/", 1);
	setenv("THREADS", "9", 1);
	n = env_rows(&rows, &e);
	assert_true(n >= 19);
	for (size_t i = 0; i < n; i++)
		assert_null(strstr(rows[i].value, "geheim"));
	row = row_of(rows, n, "WEBHOOK_SECRET");
	assert_string_equal(row->value, "(set)");
	assert_true(row->is_set);
	row = row_of(rows, n, "LABEL_STUDIO_HOST");
	assert_string_equal(row->value, "http://a:1");
	assert_string_equal(row->older, "LABEL_STUDIO_URL");
	assert_true(row->is_set);
	row = row_of(rows, n, "THREADS");
	assert_string_equal(row->value, "9");
	assert_string_equal(row->deflt, "4");
	assert_string_equal(row->allowed, "1 to 256");
	row = row_of(rows, n, "PORT");
	assert_string_equal(row->value, "9090");
	assert_false(row->is_set);

	assert_int_equal(env_export(&e), 0);
	assert_string_equal(getenv("PORT"), "9090");
	assert_string_equal(getenv("LABEL_STUDIO_HOST"), "http://a:1");
	assert_string_equal(getenv("WEBHOOK_SECRET"), "geheim");
	assert_null(getenv("BASIC_AUTH_USER"));
	assert_true(atoi(getenv("WORKERS")) >= 1);
	/* what was exported reads back */
	assert_int_equal(env_export(&e), 0);

	setenv("PORT", "x", 1);
	assert_int_equal(env_rows(&rows, &e), 0);
	assert_int_equal(env_export(&e), -1);
}

/* ---- the log --------------------------------------------------------------------- */

/* One line of level ERROR, as it comes out of standard error where JOURNAL_STREAM is
 * that pipe's own name, or "1:1", or unset (NULL). */
static void logged(const char *stream, char out[256], char teed[256])
{
	char        own[64];
	struct stat sb;
	int         p[2], t[2], saved = dup(STDERR_FILENO);
	ssize_t     n;

	assert_true(pipe(p) == 0 && pipe(t) == 0 && saved >= 0 && dup2(p[1], STDERR_FILENO) >= 0);
	assert_int_equal(fstat(p[1], &sb), 0);
	snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)sb.st_dev, (unsigned long long)sb.st_ino);
	if (stream == NULL)
		unsetenv("JOURNAL_STREAM");
	else
		setenv("JOURNAL_STREAM", strcmp(stream, "own") == 0 ? own : stream, 1);
	log_open("test", LOG_INFO);
	log_tee(t[1], LOG_ERROR);
	log_line(LOG_DEBUG, "not this");
	log_line(LOG_ERROR, "a\nb %d", 7);
	log_tee(-1, LOG_ERROR);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	n = read(p[0], out, 255);
	assert_true(n > 0);
	out[n] = '\0';
	n = read(t[0], teed, 255);
	assert_true(n > 0);
	teed[n] = '\0';
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(t[i]);
	}
	close(saved);
	unsetenv("JOURNAL_STREAM");
}

/* What a terminal obeys beyond ASCII, and what is no UTF-8: bytes of theirs. */
static void test_log_escapes(void **state)
{
	static const struct { const char *text, *line; } cases[] = {
		{ "\xc2\x9b" "31m", "\\xc2\\x9b31m" }, { "a\x9b" "b", "a\\x9bb" }, { "\xe2\x80\xa8", "\\xe2\\x80\\xa8" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" }, { "\xc3", "\\xc3" }, { "\xc0\x80", "\\xc0\\x80" },
		{ "\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80", "\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80" }, { "\x7f", "\\x7f" },
	};

	(void)state;
	log_open("test", LOG__MAX);
	for (size_t i = 0; i < countof(cases); i++) {
		char    got[LOG_LINE_MAX + 1] = "", want[128];
		FILE   *f = tmpfile();
		ssize_t n;

		assert_non_null(f);
		log_tee(fileno(f), LOG_DEBUG);
		log_line(LOG_INFO, "%s", cases[i].text);
		log_tee(-1, LOG_DEBUG);
		n = pread(fileno(f), got, sizeof got - 1, 0);
		assert_true(n > 0);
		snprintf(want, sizeof want, "Z INFO test %s\n", cases[i].line);
		assert_string_equal(strchr(got, 'Z'), want);
		fclose(f);
	}
}

static void test_log_journal(void **state)
{
	static const char *const others[] = { NULL, "", "1:1", "x" };
	char                     out[256], teed[256];

	(void)state;
	logged("own", out, teed);
	assert_true(log_to_journal());
	assert_string_equal(out, "<3>ERROR test a\\x0ab 7\n");
	/* a file beside it keeps the time */
	assert_non_null(strstr(teed, "Z ERROR test a\\x0ab 7\n"));
	for (size_t i = 0; i < countof(others); i++) {
		logged(others[i], out, teed);
		assert_false(log_to_journal());
		assert_true(out[0] >= '1' && out[0] <= '9');
		assert_non_null(strstr(out, "Z ERROR test a\\x0ab 7\n"));
	}
}

/* What a file or an option gives, and how it reaches a program that a web server starts. */
static void test_env_give(void **state)
{
	static const char *const bad[] = { "", "1A", "A-B", "A=B", "A B", "\xc3\xa4" };
	struct env  env;
	struct err  e = { 0 };

	(void)state;
	unsetenv("PRELABEL_WITH");
	for (size_t i = 0; i < countof(bad); i++)
		assert_int_equal(env_give(bad[i], "x", true), -1);
	assert_int_equal(env_give("A_MODELS_OWN", "a\nPORT=1", true), -1);
	assert_null(getenv("A_MODELS_OWN"));
	assert_null(getenv("PRELABEL_WITH"));

	assert_int_equal(env_give("A_MODELS_OWN", "a", false), 0);
	assert_int_equal(env_give("A_MODELS_OWN", "b", false), 0);
	assert_string_equal(getenv("A_MODELS_OWN"), "a");
	assert_int_equal(env_give("A_MODELS_OWN", "c", true), 0);
	assert_string_equal(getenv("A_MODELS_OWN"), "c");
	unsetenv("A_MODELS_OWN");
	assert_int_equal(env_read(&env, &e), 0);
	assert_string_equal(getenv("A_MODELS_OWN"), "c");

	/* A setting goes by its own name, or its older one: not by both. */
	setenv("LABEL_STUDIO_URL", "http://older", 1);
	assert_int_equal(env_give("LABEL_STUDIO_HOST", "http://given", false), 0);
	assert_null(getenv("LABEL_STUDIO_HOST"));
	assert_int_equal(env_give("LABEL_STUDIO_HOST", "http://given", true), 0);
	assert_null(getenv("LABEL_STUDIO_URL"));
	assert_int_equal(env_give("LABEL_STUDIO_URL", "http://again", true), 0);
	assert_null(getenv("LABEL_STUDIO_HOST"));
	assert_string_equal(getenv("LABEL_STUDIO_URL"), "http://again");
	unsetenv("LABEL_STUDIO_URL");

	/* No setting comes in by that way, and no line that is none. */
	setenv("PRELABEL_WITH", "=x\nnothing\n\nPORT=1\nA_MODELS_OWN=d\nA_MODELS_OWN=e=f", 1);
	unsetenv("PORT");
	assert_int_equal(env_read(&env, &e), 0);
	assert_null(getenv("PORT"));
	assert_null(getenv("nothing"));
	assert_string_equal(getenv("A_MODELS_OWN"), "e=f");
	unsetenv("A_MODELS_OWN");
	unsetenv("PRELABEL_WITH");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err), cmocka_unit_test(test_err_cut), cmocka_unit_test(test_buf),
		cmocka_unit_test(test_buf_max), cmocka_unit_test(test_buf_huge), cmocka_unit_test(test_arena),
		cmocka_unit_test(test_arena_large_first), cmocka_unit_test(test_arena_limits), cmocka_unit_test(test_clock),
		cmocka_unit_test_setup(test_env_defaults, clear_env), cmocka_unit_test_setup(test_env_values, clear_env),
		cmocka_unit_test_setup(workers_are_as_many_as_processors_that_may_be_used, clear_env),
		cmocka_unit_test_setup(test_env_wrong, clear_env), cmocka_unit_test_setup(test_env_alias, clear_env),
		cmocka_unit_test_setup(test_env_give, clear_env),
		cmocka_unit_test_setup(test_env_pair, clear_env), cmocka_unit_test_setup(test_env_hostile, clear_env),
		cmocka_unit_test_setup(test_env_rows, clear_env), cmocka_unit_test(test_log_escapes),
		cmocka_unit_test(test_log_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
