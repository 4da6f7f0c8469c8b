/* test_auth.c - basic auth: the 32 variants of reliability.md R16, and secrets. */
#include "web/auth.h"
#include "base/buf.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ann:pa:ss */
static const struct env env = { .auth_user = "ann", .auth_pass = "pa:ss", .webhook_secret = "s3cret" };

static const struct {
	const char *name, *header;
	bool        ok;
} cases[] = {
	{ "right",                     "Basic YW5uOnBhOnNz", true },
	{ "scheme in small letters",   "basic YW5uOnBhOnNz", true },
	{ "scheme in capitals",        "BASIC YW5uOnBhOnNz", true },
	{ "two spaces",                "Basic  YW5uOnBhOnNz", true },
	{ "no header",                 NULL, false },
	{ "empty header",              "", false },
	{ "scheme alone",              "Basic", false },
	{ "scheme and space",          "Basic ", false },
	{ "no space",                  "BasicYW5uOnBhOnNz", false },
	{ "tab",                       "Basic\tYW5uOnBhOnNz", false },
	{ "space before",              " Basic YW5uOnBhOnNz", false },
	{ "space behind",              "Basic YW5uOnBhOnNz ", false },
	{ "Bearer",                    "Bearer YW5uOnBhOnNz", false },
	{ "Digest",                    "Digest username=\"ann\"", false },
	{ "not encoded",               "Basic ann:pa:ss", false },
	{ "wrong password",            "Basic YW5uOnBhOnNT", false },            /* ann:pa:sS */
	{ "first byte of it wrong",    "Basic YW5uOlBhOnNz", false },            /* ann:Pa:ss */
	{ "wrong user",                "Basic YW5OOnBhOnNz", false },            /* anN:pa:ss */
	{ "password cut",              "Basic YW5uOnBhOnM=", false },            /* ann:pa:s */
	{ "password cut at its colon", "Basic YW5uOnBh", false },                /* ann:pa */
	{ "password longer",           "Basic YW5uOnBhOnNzcw==", false },        /* ann:pa:sss */
	{ "no password",               "Basic YW5uOg==", false },                /* ann: */
	{ "no user",                   "Basic OnBhOnNz", false },                /* :pa:ss */
	{ "colon alone",               "Basic Og==", false },
	{ "no colon",                  "Basic YW5ucGFzcw==", false },            /* annpass */
	{ "split at the last colon",   "Basic YW5uOnBhOjpzcw==", false },        /* ann:pa::ss */
	{ "NUL behind",                "Basic YW5uOnBhOnNzAA==", false },        /* ann:pa:ss\0 */
	{ "NUL inside",                "Basic YW5uADpwYTpzcw==", false },        /* ann\0:pa:ss */
	{ "newline behind",            "Basic YW5uOnBhOnNzCg==", false },        /* ann:pa:ss\n */
	{ "two headers joined",        "Basic YW5uOnBhOnNz, Basic YW5uOnBhOnNz", false },
	{ "garbage behind",            "Basic YW5uOnBhOnNz!", false },
	{ "base64 cut",                "Basic YW5uOnBhOnN", false },
	{ "padding too much",          "Basic YW5uOnBhOnNz====", false },
	{ "text behind the padding",   "Basic YW5uOnBhOnM=YW5u", false },
	{ "base64 of URLs",            "Basic YW5uOnBhOnNz_-", false },
	{ "newline inside",            "Basic YW5u\nOnBhOnNz", false },
};

static void test_basic(void **state)
{
	struct auth a;

	(void)state;
	auth_init(&a, &env);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (auth_basic(&a, cases[i].header) != cases[i].ok)
			fail_msg("%s", cases[i].name);
}

/* Padding that is missing, and bits that stand for nothing: another text for the
 * same bytes is not the same credentials. */
static void test_canonical(void **state)
{
	static const struct env short_env = { .auth_user = "a", .auth_pass = "bc" };   /* "a:bc" */
	struct auth             a;

	(void)state;
	auth_init(&a, &short_env);
	assert_true(auth_basic(&a, "Basic YTpiYw=="));
	assert_false(auth_basic(&a, "Basic YTpiYw"));
	assert_false(auth_basic(&a, "Basic YTpiYx=="));
	assert_false(auth_basic(&a, "Basic YTpiYw="));
}

static void test_long(void **state)
{
	struct buf  b;
	struct auth a;

	(void)state;
	auth_init(&a, &env);
	buf_init(&b, 100000);
	buf_adds(&b, "Basic YW5uOnBhOnNz");
	for (int i = 0; i < 20000; i++)
		buf_adds(&b, "YWFh");
	assert_false(auth_basic(&a, b.p));
	buf_clear(&b);
}

static void test_secret(void **state)
{
	struct auth a;

	(void)state;
	auth_init(&a, &env);
	assert_true(auth_secret(&a, "s3cret"));
	assert_false(auth_secret(&a, NULL));
	assert_false(auth_secret(&a, ""));
	assert_false(auth_secret(&a, "s3cre"));
	assert_false(auth_secret(&a, "s3crets"));
	assert_false(auth_secret(&a, "S3cret"));
	assert_false(auth_secret(&a, "s3cret, s3cret"));
}

/* What is not configured is never right: not even by the empty text. */
static void test_none(void **state)
{
	static const struct env none;
	struct auth             a;

	(void)state;
	auth_init(&a, &none);
	assert_false(a.basic);
	assert_false(a.secret);
	assert_false(auth_basic(&a, "Basic Og=="));
	assert_false(auth_basic(&a, NULL));
	assert_false(auth_secret(&a, ""));
	assert_false(auth_secret(&a, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basic), cmocka_unit_test(test_canonical), cmocka_unit_test(test_long),
		cmocka_unit_test(test_secret), cmocka_unit_test(test_none),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
