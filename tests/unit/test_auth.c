/* test_auth.c - basic auth: the 32 variants of reliability.md R16, and secrets. */
#include "web/auth.h"
#include "base/buf.h"

#include "patience.h"

#include <math.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* Mutation found it: libsodium reads the byte 0xf3 as '/', which stands in the right header. */
static void a_byte_that_is_no_base64_is_refused(void **state)
{
	const struct env odd = { .auth_user = "u", .auth_pass = "\x7f:q" };
	char             header[] = "Basic dTp/OnE=";
	struct auth      a;

	(void)state;
	auth_init(&a, &odd);
	assert_true(auth_basic(&a, header));
	for (int byte = 1; byte < 256; byte++) {
		header[9] = (char)byte;
		assert_int_equal(auth_basic(&a, header), byte == '/');
	}
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

/* ---- how long a refusal takes ---------------------------------------------------- */

#define TRIES  100000          /* of each kind (reliability.md R16) */
#define SECRET 200             /* characters: what a comparison that stops early would save */

/* One attempt at a secret; what it says is of no interest here. */
typedef bool attempt(void *arg, const char *given);

static double seconds_of(attempt *f, void *arg, const char *const text[2], size_t which)
{
	/* Both texts are read, and one is written to one place: what lies differently in the
	 * cache takes different times. */
	static _Alignas(64) char given[4 * SECRET];
	struct timespec from, to;
	volatile bool   said;

	for (size_t i = 0, n = strlen(text[0]) + 1; i < n; i++)
		given[i] = (char)((text[0][i] & -(which == 0)) | (text[1][i] & -(which == 1)));
	clock_gettime(CLOCK_MONOTONIC, &from);
	said = f(arg, given);
	clock_gettime(CLOCK_MONOTONIC, &to);
	(void)said;
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Mean and squared standard error of what is below `most`: interrupts say nothing. */
static void mean_of(const double t[], double most, double *mean, double *error2)
{
	double sum = 0, squares = 0;
	size_t n = 0;

	for (size_t i = 0; i < TRIES; i++)
		if (t[i] < most) {
			sum += t[i];
			squares += t[i] * t[i];
			n++;
		}
	*mean = sum / (double)n;
	*error2 = (squares / (double)n - *mean * *mean) / (double)n;
}

/* How many standard errors the refusals of two texts are apart, tried in turn, in a
 * random order; positive: the second takes longer. */
static double apart(attempt *f, void *arg, const char *const given[2])
{
	double *t[2], *sorted = malloc(TRIES * sizeof *sorted), mean[2], error2[2];
	double  most = 0;

	for (int i = 0; i < 2; i++)
		assert_non_null(t[i] = malloc(TRIES * sizeof *t[i]));
	assert_non_null(sorted);
	for (size_t n = 0; n < TRIES; n++) {
		const uint32_t first = randombytes_uniform(2);

		t[first][n] = seconds_of(f, arg, given, first);
		t[1 - first][n] = seconds_of(f, arg, given, 1 - first);
	}
	for (int i = 0; i < 2; i++) {
		memcpy(sorted, t[i], TRIES * sizeof *sorted);
		qsort(sorted, TRIES, sizeof *sorted, by_size);
		most = fmax(most, sorted[TRIES / 10 * 9] * 1.5);
	}
	for (int i = 0; i < 2; i++) {
		mean_of(t[i], most, &mean[i], &error2[i]);
		free(t[i]);
	}
	free(sorted);
	return (mean[1] - mean[0]) / sqrt(error2[0] + error2[1]);
}

/* One of 370 series is apart by chance: what is so by nature is so three times. */
static bool tells_them_apart(attempt *f, void *arg, const char *const given[2])
{
	const double first = apart(f, arg, given);
	double       z = first;

	for (int i = 0; i < 2 && fabs(z) >= 3 && (z > 0) == (first > 0); i++)
		z = apart(f, arg, given);
	return fabs(z) >= 3 && (z > 0) == (first > 0);
}

static bool try_secret(void *arg, const char *given)
{
	return auth_secret(arg, given);
}

static bool try_basic(void *arg, const char *given)
{
	return auth_basic(arg, given);
}

/* What must not be: it stops at the first character that is wrong. */
static bool try_naive(void *arg, const char *given)
{
	const volatile char *a = arg;

	while (*a != '\0' && *a == *given) {
		a++;
		given++;
	}
	return *a == *given;
}

#define LINES(n) (((n) + 63) / 64 * 64)

static void header_of(char out[4 * SECRET], const char *user, const char *pass)
{
	char text[2 * SECRET + 2];
	int  n = snprintf(text, sizeof text, "%s:%s", user, pass);

	memcpy(out, "Basic ", 7);
	sodium_bin2base64(out + 6, 4 * SECRET - 6, (const unsigned char *)text, (size_t)n, sodium_base64_VARIANT_ORIGINAL);
}

static void test_refusals_take_the_same_time(void **state)
{
	/* Copied from as the time begins to run: at one place within a cache line, each. */
	_Alignas(64) char right[LINES(SECRET + 1)], first[LINES(SECRET + 1)], last[LINES(SECRET + 1)];
	_Alignas(64) char header[4][LINES(4 * SECRET)];
	struct env  long_env = { .auth_user = right, .auth_pass = right, .webhook_secret = right };
	struct auth a;

	(void)state;
	if (!measured())
		skip();
	memset(right, 'x', SECRET);
	right[SECRET] = '\0';
	memcpy(first, right, sizeof first);
	memcpy(last, right, sizeof last);
	first[0] = 'y';
	last[SECRET - 1] = 'y';
	auth_init(&a, &long_env);
	header_of(header[0], right, first);
	header_of(header[1], right, last);
	header_of(header[2], first, right);
	header_of(header[3], last, right);
	/* the measurement finds what there is to be found */
	assert_true(tells_them_apart(try_naive, right, (const char *const[]){ first, last }));
	assert_false(tells_them_apart(try_secret, &a, (const char *const[]){ first, last }));
	assert_false(tells_them_apart(try_basic, &a, (const char *const[]){ header[0], header[1] }));
	assert_false(tells_them_apart(try_basic, &a, (const char *const[]){ header[2], header[3] }));
	/* nor is a wrong user told from a wrong password */
	assert_false(tells_them_apart(try_basic, &a, (const char *const[]){ header[2], header[0] }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basic), cmocka_unit_test(a_byte_that_is_no_base64_is_refused),
		cmocka_unit_test(test_canonical), cmocka_unit_test(test_long),
		cmocka_unit_test(test_secret), cmocka_unit_test(test_none),
		cmocka_unit_test(test_refusals_take_the_same_time),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
