/*
 * test_json.c - the strict check (RFC 8259 and what reliability.md R12 adds), the
 * reader, the splitter of streams, and printing.
 */
#include "base/json.h"
#include "base/json_digest.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ARENA_MAX ((size_t)1 << 20)

/* The bytes in memory of exactly their size, so that the sanitizer sees a read
 * beyond the end. */
static struct span exact(struct span s)
{
	char *p = malloc(s.len == 0 ? 1 : s.len);

	assert_non_null(p);
	memcpy(p, s.p, s.len);
	return (struct span){ p, s.len };
}

static void drop(struct span s)
{
	free((char *)(uintptr_t)s.p);
}

/* A value of a test: checked, and where it stands in the text. */
static struct span checked(const char *text)
{
	struct err  e = { 0 };
	struct span value;

	if (json_check(span_of(text), &value, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return value;
}

/* ---- the check ------------------------------------------------------------ */

static const struct {
	const char *name;
	struct span text;
} good[] = {
	{ "object",                   SPAN("{}") },
	{ "array",                    SPAN("[]") },
	{ "text",                     SPAN("\"\"") },
	{ "white space around",       SPAN(" \t\r\n[ \t\r\n] \t\r\n") },
	{ "white space inside",       SPAN("{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }") },
	{ "nothing inside",           SPAN("[[],{},[[]],[{}]]") },
	{ "true",                     SPAN("true") },
	{ "false",                    SPAN("false") },
	{ "null",                     SPAN("null") },
	{ "zero",                     SPAN("0") },
	{ "minus zero",               SPAN("-0") },
	{ "minus zero with fraction", SPAN("-0.0") },
	{ "integer",                  SPAN("1234567890") },
	{ "larger than int64",        SPAN("99999999999999999999") },
	{ "fraction",                 SPAN("3.14159") },
	{ "exponent",                 SPAN("1e5") },
	{ "exponent signs",           SPAN("[1E+5,1e-5,0e0,0E+1,1.5e300]") },
	{ "beyond doubles",           SPAN("1e999") },
	{ "all escapes",              SPAN("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\"") },
	{ "escaped NUL",              SPAN("\"\\u0000\"") },
	{ "lone surrogates, escaped", SPAN("[\"\\ud800\",\"\\udc00\",\"\\udc00\\ud800\"]") },
	{ "DEL is no control char",   SPAN("\"\x7f\"") },
	{ "UTF-8, two bytes",         SPAN("\"\xc2\x80\xdf\xbf\"") },
	{ "UTF-8, three bytes",       SPAN("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"") },
	{ "UTF-8, four bytes",        SPAN("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"") },
	{ "UTF-8 in a key",           SPAN("{\"\xd1\x82\":1}") },
	{ "the same key twice",       SPAN("{\"a\":1,\"a\":2}") },
	{ "empty key",                SPAN("{\"\":0}") },
	{ "quotes behind long runs",  SPAN("[\"0123456789abcdef0123456789abcde\",\"0123456789abcde\\\"\"]") },
	{ "backslashes at the end",   SPAN("[\"\\\\\",\"\\\\\\\\\",\"a\\\\\\\"\"]") },
	{ "brackets in strings",      SPAN("[\"[{]}\",{\"}\":\"]\"}]") },
};

static const struct {
	const char *name;
	struct span text;
	const char *message;     /* how it ends: what and where */
} bad[] = {
	{ "empty",                    SPAN(""), "empty" },
	{ "white space alone",        SPAN("  "), "a value should be at byte 2" },
	{ "NaN",                      SPAN("NaN"), "no value at byte 0" },
	{ "nan",                      SPAN("[nan]"), "unknown word at byte 1" },
	{ "Infinity",                 SPAN("[Infinity]"), "no value at byte 1" },
	{ "minus Infinity",           SPAN("[-Infinity]"), "without digits at byte 2" },
	{ "single quotes",            SPAN("{'a':1}"), "no key at byte 1" },
	{ "raw NUL in a string",      SPAN("\"a\0b\""), "control character in a string at byte 2" },
	{ "raw newline in a string",  SPAN("\"a\nb\""), "control character in a string at byte 2" },
	{ "raw tab, late in a string", SPAN("\"0123456789abcdef0123\tb\""), "control character in a string at byte 21" },
	{ "raw 0x1f",                 SPAN("\"\x1f\""), "control character in a string at byte 1" },
	{ "bytes behind a NUL",       SPAN("{}\0{}"), "something after the value at byte 2" },
	{ "NUL at the end",           SPAN("{}\0"), "something after the value at byte 2" },
	{ "NUL between",              SPAN("[1,\0002]"), "no value at byte 3" },
	{ "second value",             SPAN("{} {}"), "something after the value at byte 3" },
	{ "text after",               SPAN("1x"), "something after the value at byte 1" },
	{ "comma after",              SPAN("[],"), "something after the value at byte 2" },
	{ "bracket after",            SPAN("[]]"), "something after the value at byte 2" },
	{ "trailing comma, array",    SPAN("[1,]"), "no value at byte 3" },
	{ "trailing comma, object",   SPAN("{\"a\":1,}"), "no key at byte 7" },
	{ "comma alone",              SPAN("[,]"), "no value at byte 1" },
	{ "two commas",               SPAN("[1,,2]"), "no value at byte 3" },
	{ "no comma",                 SPAN("[1 2]"), "no comma and no closing bracket at byte 3" },
	{ "no comma in an object",    SPAN("{\"a\":1 \"b\":2}"), "no comma and no closing bracket at byte 7" },
	{ "no colon",                 SPAN("{\"a\" 1}"), "no colon after a key at byte 5" },
	{ "two colons",               SPAN("{\"a\"::1}"), "no value at byte 5" },
	{ "key without value",        SPAN("{\"a\":}"), "no value at byte 5" },
	{ "key alone",                SPAN("{\"a\"}"), "no colon after a key at byte 4" },
	{ "key without quotes",       SPAN("{a:1}"), "no key at byte 1" },
	{ "number as key",            SPAN("{1:1}"), "no key at byte 1" },
	{ "key in an array",          SPAN("[\"a\":1]"), "no comma and no closing bracket at byte 4" },
	{ "wrong bracket, array",     SPAN("[1}"), "no comma and no closing bracket at byte 2" },
	{ "wrong bracket, object",    SPAN("{\"a\":1]"), "no comma and no closing bracket at byte 6" },
	{ "brackets crossed",         SPAN("[{\"a\":1]}"), "no comma and no closing bracket at byte 7" },
	{ "closing alone",            SPAN("]"), "no value at byte 0" },
	{ "not closed, array",        SPAN("[1"), "inside of brackets at byte 2" },
	{ "not closed, object",       SPAN("{\"a\":1"), "inside of brackets at byte 6" },
	{ "open bracket alone",       SPAN("["), "a value should be at byte 1" },
	{ "open brace alone",         SPAN("{"), "no key at byte 1" },
	{ "cut behind a key",         SPAN("{\"a\""), "no colon after a key at byte 4" },
	{ "cut behind a colon",       SPAN("{\"a\":"), "a value should be at byte 5" },
	{ "string not closed",        SPAN("\"abc"), "does not end at byte 4" },
	{ "long string not closed",   SPAN("\"0123456789abcdef0123456789abcdef"), "does not end at byte 33" },
	{ "cut in an escape",         SPAN("\"\\"), "unknown escape at byte 1" },
	{ "cut in a \\u",             SPAN("\"\\u00"), "hexadecimal digits at byte 1" },
	{ "escaped quote at the end", SPAN("\"\\\""), "does not end at byte 3" },
	{ "unknown escape",           SPAN("\"\\x41\""), "unknown escape at byte 1" },
	{ "escaped single quote",     SPAN("\"\\'\""), "unknown escape at byte 1" },
	{ "escaped raw NUL",          SPAN("\"\\\0\""), "unknown escape at byte 1" },
	{ "\\u with three digits",    SPAN("\"\\u00e\""), "hexadecimal digits at byte 1" },
	{ "\\U",                      SPAN("\"\\U0041\""), "unknown escape at byte 1" },
	{ "\\u with a g",             SPAN("\"\\u00eg\""), "hexadecimal digits at byte 1" },
	{ "\\u+041",                  SPAN("\"\\u+041\""), "hexadecimal digits at byte 1" },
	{ "leading zero",             SPAN("01"), "begins with 0 at byte 1" },
	{ "minus leading zero",       SPAN("-01"), "begins with 0 at byte 2" },
	{ "two zeros",                SPAN("00"), "begins with 0 at byte 1" },
	{ "plus",                     SPAN("+1"), "no value at byte 0" },
	{ "minus alone",              SPAN("-"), "without digits at byte 1" },
	{ "point first",              SPAN(".5"), "no value at byte 0" },
	{ "point last",               SPAN("1."), "after its point at byte 2" },
	{ "point then exponent",      SPAN("1.e5"), "after its point at byte 2" },
	{ "no exponent",              SPAN("1e"), "in its exponent at byte 2" },
	{ "exponent sign alone",      SPAN("1e+"), "in its exponent at byte 3" },
	{ "exponent with fraction",   SPAN("1e1.5"), "something after the value at byte 3" },
	{ "hexadecimal",              SPAN("0x10"), "something after the value at byte 1" },
	{ "two points",               SPAN("1.2.3"), "something after the value at byte 3" },
	{ "underscore",               SPAN("1_000"), "something after the value at byte 1" },
	{ "word cut",                 SPAN("tru"), "unknown word at byte 0" },
	{ "word in capitals",         SPAN("[True]"), "no value at byte 1" },
	{ "word too long",            SPAN("nulll"), "something after the value at byte 4" },
	{ "undefined",                SPAN("undefined"), "no value at byte 0" },
	{ "comment",                  SPAN("[1/*x*/]"), "no comma and no closing bracket at byte 2" },
	{ "line comment",             SPAN("//x\n1"), "no value at byte 0" },
	{ "byte order mark",          SPAN("\xef\xbb\xbf{}"), "no value at byte 0" },
	{ "no-break space",           SPAN("\xc2\xa0{}"), "no value at byte 0" },
	{ "form feed",                SPAN("\f{}"), "no value at byte 0" },
	{ "vertical tab",             SPAN("[\v]"), "no value at byte 1" },
	{ "UTF-16",                   SPAN("[\0]\0"), "no value at byte 1" },
	{ "overlong, two bytes",      SPAN("\"\xc0\xaf\""), "not UTF-8 at byte 1" },
	{ "overlong, C1",             SPAN("\"\xc1\xbf\""), "not UTF-8 at byte 1" },
	{ "overlong, three bytes",    SPAN("\"\xe0\x9f\xbf\""), "not UTF-8 at byte 1" },
	{ "overlong, four bytes",     SPAN("\"\xf0\x8f\xbf\xbf\""), "not UTF-8 at byte 1" },
	{ "surrogate, low end",       SPAN("\"\xed\xa0\x80\""), "not UTF-8 at byte 1" },
	{ "surrogate, high end",      SPAN("\"\xed\xbf\xbf\""), "not UTF-8 at byte 1" },
	{ "CESU-8 pair",              SPAN("\"\xed\xa0\xbd\xed\xb8\x80\""), "not UTF-8 at byte 1" },
	{ "beyond U+10FFFF",          SPAN("\"\xf4\x90\x80\x80\""), "not UTF-8 at byte 1" },
	{ "lead byte F5",             SPAN("\"\xf5\x80\x80\x80\""), "not UTF-8 at byte 1" },
	{ "lead byte FE",             SPAN("\"\xfe\""), "not UTF-8 at byte 1" },
	{ "lead byte FF",             SPAN("\"\xff\""), "not UTF-8 at byte 1" },
	{ "continuation alone",       SPAN("\"\x80\""), "not UTF-8 at byte 1" },
	{ "continuation behind text", SPAN("\"0123456789abcdef\xc3\xa9\x80\""), "not UTF-8 at byte 19" },
	{ "sequence cut by a quote",  SPAN("\"\xc3\""), "not UTF-8 at byte 1" },
	{ "sequence cut, three",      SPAN("\"\xe2\x82\""), "not UTF-8 at byte 1" },
	{ "sequence cut, four",       SPAN("\"\xf0\x9f\x98\""), "not UTF-8 at byte 1" },
	{ "sequence cut by the end",  SPAN("\"\xf0\x9f\x98"), "not UTF-8 at byte 1" },
	{ "Latin-1 in a key",         SPAN("{\"\xe9t\xe9\":1}"), "not UTF-8 at byte 2" },
};

static void test_check(void **state)
{
	(void)state;
	for (size_t i = 0; i < countof(good); i++) {
		struct err  e = { 0 };
		struct span text = exact(good[i].text), value = { NULL, 0 };

		if (json_check(text, &value, &e) < 0)
			fail_msg("%s: refused: %s", good[i].name, e.msg);
		assert_true(value.p >= text.p && value.p + value.len <= text.p + text.len);
		assert_false(strchr(" \t\r\n", value.p[0]) != NULL);
		assert_false(strchr(" \t\r\n", value.p[value.len - 1]) != NULL);
		drop(text);
	}
	for (size_t i = 0; i < countof(bad); i++) {
		struct err  e = { 0 };
		struct span text = exact(bad[i].text), value;
		size_t      len = strlen(bad[i].message);

		if (json_check(text, &value, &e) == 0)
			fail_msg("%s: accepted", bad[i].name);
		if (e.code != ERR_SYNTAX || strncmp(e.msg, "not JSON: ", 10) != 0 || strlen(e.msg) < len ||
		    strcmp(e.msg + strlen(e.msg) - len, bad[i].message) != 0)
			fail_msg("%s: \"%s\" does not end in \"%s\"", bad[i].name, e.msg, bad[i].message);
		drop(text);
	}
}

/* Every good text cut anywhere is no JSON, but for numbers, and for white space. */
static void test_check_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < countof(good); i++)
		for (size_t len = 0; len < good[i].text.len; len++) {
			struct span text = exact((struct span){ good[i].text.p, len }), value;
			bool        whole = json_check(text, &value, NULL) == 0;
			const char *rest = good[i].text.p + len;

			if (whole && json_type(value) != JSON_NUMBER)
				assert_int_equal(strspn(rest, " \t\r\n"), good[i].text.len - len);
			drop(text);
		}
}

/* A quote, a control character or a byte beyond ASCII is seen at every place of
 * the words that the scan takes at once. */
static void test_check_places(void **state)
{
	static const char odd[] = { '"', '\\', '\n', '\0', '\x1f', '\x80', '\xff' };
	char              text[64];

	(void)state;
	for (size_t len = 3; len < 60; len++)
		for (size_t at = 1; at < len - 1; at++)
			for (size_t i = 0; i < countof(odd); i++) {
				struct span s, value;

				memset(text, 'a', len);
				text[0] = text[len - 1] = '"';
				text[at] = odd[i];
				s = exact((struct span){ text, len });
				assert_int_equal(json_check(s, &value, NULL), -1);
				text[at] = '~';
				drop(s);
				s = exact((struct span){ text, len });
				assert_int_equal(json_check(s, &value, NULL), 0);
				assert_int_equal(value.len, len);
				drop(s);
			}
}

static void test_check_depth(void **state)
{
	static const char *const open[] = { "[", "{\"k\":" }, *const close[] = { "]", "}" };

	(void)state;
	for (size_t kind = 0; kind < 2; kind++)
		for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
			struct buf  b;
			struct err  e = { 0 };
			struct span value;
			int         rc;

			buf_init(&b, 4096);
			for (int i = 0; i < depth - 1; i++)
				buf_adds(&b, open[kind]);
			buf_adds(&b, "[]");
			for (int i = 0; i < depth - 1; i++)
				buf_adds(&b, close[kind]);
			rc = json_check(buf_span(&b), &value, &e);
			assert_int_equal(rc, depth <= JSON_DEPTH_MAX ? 0 : -1);
			if (rc < 0)
				assert_non_null(strstr(e.msg, "nested too deep"));
			buf_clear(&b);
		}
}

/* ---- the reader ----------------------------------------------------------- */

static void test_types(void **state)
{
	static const struct { const char *text; enum json_type type; } cases[] = {
		{ "null", JSON_NULL }, { "true", JSON_BOOL }, { "false", JSON_BOOL }, { "0", JSON_NUMBER },
		{ "-1", JSON_NUMBER }, { "\"x\"", JSON_STRING }, { "[]", JSON_ARRAY }, { "{}", JSON_OBJECT },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		assert_int_equal(json_type(checked(cases[i].text)), cases[i].type);
		assert_int_equal(json_true(checked(cases[i].text)), i == 1);
	}
	assert_int_equal(json_type((struct span){ NULL, 0 }), JSON_NULL);
	assert_false(json_true(checked("\"true\"")));
}

static void test_each(void **state)
{
	static const struct { const char *text, *joined; } cases[] = {
		{ "[]", "" },
		{ " [ ] ", "" },
		{ "{}", "" },
		{ "[1]", "1|" },
		{ "[ 1 , 2,3 ]", "1|2|3|" },
		{ "[\"a,]\\\"b\", [1,[2,\"]\"]] ,{\"x\":[{}]}, null]", "\"a,]\\\"b\"|[1,[2,\"]\"]]|{\"x\":[{}]}|null|" },
		{ "{\"a\":1}", "\"a\"=1|" },
		{ "{ \"a\" : 1 , \"b\\\\\" : { \"}\" : \"{\" } , \"\" : [ ] }", "\"a\"=1|\"b\\\\\"={ \"}\" : \"{\" }|\"\"=[ ]|" },
		{ "{\"a\":true,\"a\":false}", "\"a\"=true|\"a\"=false|" },
		{ "1", "" }, { "\"[1]\"", "" }, { "null", "" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct span      value = checked(cases[i].text), key, v;
		struct json_iter it = json_each(value);
		struct buf       b;
		size_t           n = 0;

		buf_init(&b, 1000);
		while (json_next(&it, &key, &v)) {
			if (json_type(value) == JSON_OBJECT) {
				buf_add(&b, key.p, key.len);
				buf_addc(&b, '=');
			}
			buf_add(&b, v.p, v.len);
			buf_addc(&b, '|');
			n++;
		}
		assert_string_equal(b.p == NULL ? "" : b.p, cases[i].joined);
		assert_int_equal(json_count(value), n);
		buf_clear(&b);
	}
}

static void test_member(void **state)
{
	struct span object = checked("{\"a\":1, \"t\\u0061sks\":[2], \"tasks\\u0000x\":3, \"a\":4, \"sub\":{\"in\":5}, \"a\\\\n\":6}");
	struct span v;

	(void)state;
	assert_int_equal(json_member(object, "a", &v), 0);
	assert_true(span_is(v, "4"));                    /* the last one counts */
	assert_int_equal(json_member(object, "tasks", &v), 0);
	assert_true(span_is(v, "[2]"));                  /* not the key cut at its NUL */
	assert_int_equal(json_member(object, "in", &v), 1);
	assert_int_equal(json_member(object, "", &v), 1);
	assert_int_equal(json_member(object, "a\\n", &v), 0);
	assert_true(span_is(v, "6"));
	assert_int_equal(json_member(object, "a\\\\n", &v), 1);
	assert_int_equal(json_member(checked("[\"a\",1]"), "a", &v), 1);
	assert_int_equal(json_member(checked("\"a\""), "a", &v), 1);
	assert_int_equal(json_member(checked("null"), "a", &v), 1);

	/* several in one pass are each what one by one gives */
	{
		static const char *const key[] = { "tasks", "in", "a" };
		struct span              all[3], one;

		json_members(object, key, 3, all);
		for (size_t i = 0; i < 3; i++)
			assert_true(json_member(object, key[i], &one) == 0 ? all[i].p == one.p && all[i].len == one.len : all[i].p == NULL);
		json_members(checked("[1]"), key, 3, all);
		assert_true(all[0].p == NULL && all[1].p == NULL && all[2].p == NULL);
	}
}

static const struct {
	const char *text;
	struct span want;
} texts[] = {
	{ "\"\"",                             SPAN("") },
	{ "\"plain\"",                        SPAN("plain") },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",   SPAN("\"\\/\b\f\n\r\t") },
	{ "\"\\u0041\\u00e9\\u20AC\"",        SPAN("A\xc3\xa9\xe2\x82\xac") },
	{ "\"\\u007f\\u0080\\u07ff\\u0800\"", SPAN("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80") },
	{ "\"\\ud800\\ue000\\ud800\\uffff\"", SPAN("\xef\xbf\xbd\xee\x80\x80\xef\xbf\xbd\xef\xbf\xbf") },
	{ "\"\\ud800\\udc00\\uDBFF\\uDFFF\"", SPAN("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf") },
	{ "\"\\ud83d\\ude00\"",               SPAN("\xf0\x9f\x98\x80") },
	{ "\"a\\u0000b\"",                    SPAN("a\0b") },
	{ "\"\\ud800\"",                      SPAN("\xef\xbf\xbd") },
	{ "\"\\udc00\"",                      SPAN("\xef\xbf\xbd") },
	{ "\"\\ud800x\"",                     SPAN("\xef\xbf\xbdx") },
	{ "\"\\ud800\\n\"",                   SPAN("\xef\xbf\xbd\n") },
	{ "\"\\ud800\\u0041\"",               SPAN("\xef\xbf\xbd" "A") },
	{ "\"\\udc00\\ud800\"",               SPAN("\xef\xbf\xbd\xef\xbf\xbd") },
	{ "\"\\ud800\\ud83d\\ude00\"",        SPAN("\xef\xbf\xbd\xf0\x9f\x98\x80") },
	{ "\"\\ufffe\\uffff\"",               SPAN("\xef\xbf\xbe\xef\xbf\xbf") },
	{ "\"one \\\\ two \\\\\\\\\"",        SPAN("one \\ two \\\\") },
	{ "\"\xd1\x82\\u0435\xd1\x81\\u0442 end\"", SPAN("\xd1\x82\xd0\xb5\xd1\x81\xd1\x82 end") },
};

static void test_text(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, ARENA_MAX);
	for (size_t i = 0; i < countof(texts); i++) {
		struct err  e = { 0 };
		struct span doc = exact(span_of(texts[i].text)), value, got;

		assert_int_equal(json_check(doc, &value, &e), 0);
		assert_int_equal(json_text(value, &a, &got, &e), 0);
		if (!span_eq(got, texts[i].want))
			fail_msg("%s: %zu bytes \"%.*s\"", texts[i].text, got.len, (int)got.len, got.p);
		assert_int_equal(got.p == doc.p + 1, strchr(texts[i].text, '\\') == NULL);
		assert_true(json_is(value, texts[i].want));
		/* neither a piece of it nor more */
		if (got.len > 0)
			assert_false(json_is(value, (struct span){ got.p, got.len - 1 }));
		assert_false(json_is(value, SPAN("something else altogether")));
		drop(doc);
	}
	arena_clear(&a);
}

static void test_text_trouble(void **state)
{
	struct arena a;
	struct span  got;
	struct err   e = { 0 };

	(void)state;
	arena_init(&a, 16);
	assert_int_equal(json_text(checked("12"), &a, &got, &e), 1);
	assert_int_equal(json_text((struct span){ NULL, 0 }, &a, &got, &e), 1);
	assert_int_equal(json_text(checked("\"no escape, so no memory is needed\""), &a, &got, &e), 0);
	assert_int_equal(json_text(checked("\"an \\u0065scape and no room\""), &a, &got, &e), -1);
	assert_int_equal(e.code, ERR_MEMORY);
	assert_false(json_is(checked("12"), SPAN("12")));
	arena_clear(&a);
}

static void test_int(void **state)
{
	static const struct { const char *text; int64_t min, max; int rc; int64_t n; } cases[] = {
		{ "0", INT64_MIN, INT64_MAX, 0, 0 },
		{ "-0", INT64_MIN, INT64_MAX, 0, 0 },
		{ "12", INT64_MIN, INT64_MAX, 0, 12 },
		{ "-12", INT64_MIN, INT64_MAX, 0, -12 },
		{ "9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX },
		{ "-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN },
		{ "9223372036854775808", INT64_MIN, INT64_MAX, -1, 0 },
		{ "-9223372036854775809", INT64_MIN, INT64_MAX, -1, 0 },
		{ "18446744073709551616", INT64_MIN, INT64_MAX, -1, 0 },
		{ "99999999999999999999", INT64_MIN, INT64_MAX, -1, 0 },
		{ "99999999999999999999999999999999999999", INT64_MIN, INT64_MAX, -1, 0 },
		{ "1", 1, 5, 0, 1 }, { "5", 1, 5, 0, 5 }, { "0", 1, 5, -1, 0 }, { "6", 1, 5, -1, 0 },
		{ "-1", 0, 5, -1, 0 },
		{ "1.0", 0, 5, -1, 0 }, { "1e0", 0, 5, -1, 0 }, { "1E2", 0, 500, -1, 0 },
		{ "\"1\"", 0, 5, -1, 0 }, { "true", 0, 5, -1, 0 }, { "null", 0, 5, -1, 0 }, { "[1]", 0, 5, -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		int64_t n = 0;

		if (json_int(checked(cases[i].text), cases[i].min, cases[i].max, &n) != cases[i].rc || n != cases[i].n)
			fail_msg("%s: %lld", cases[i].text, (long long)n);
	}
}

static void test_real(void **state)
{
	static const char *const same_as_strtod[] = {
		"0", "0.0", "0e5", "1", "-1", "0.1", "0.5", "1e22", "1e23", "123456789012345", "1234567890123456",
		"9007199254740993", "0.30000000000000004", "1.7976931348623157e308", "5e-324", "2.2250738585072011e-308",
		"2.2250738585072014e-308", "1e-400", "123e-25", "1.5E+3", "0.000001", "1000000000000000000000000",
		"179769313486231580793728971405301e276", "8.5", "99999999999999999999", "4.35", "0.00000000000000000000000000001e29",
		"9007199254740992.99999999999999999999999999999999999999",
		/* half way between two doubles, and a digit far behind the tie */
		"1.00000000000000011102230246251565404236316680908203125",
		"1.00000000000000011102230246251565404236316680908203124",
		"1.00000000000000011102230246251565404236316680908203126",
	};
	double x;

	(void)state;
	for (size_t i = 0; i < countof(same_as_strtod); i++) {
		assert_int_equal(json_real(checked(same_as_strtod[i]), &x), 0);
		if (memcmp(&x, &(double){ strtod(same_as_strtod[i], NULL) }, sizeof x) != 0)
			fail_msg("%s: %.17g", same_as_strtod[i], x);
	}
	assert_int_equal(json_real(checked("-0"), &x), 0);
	assert_true(x == 0 && signbit(x));
	assert_int_equal(json_real(checked("1e308"), &x), 0);
	assert_int_equal(json_real(checked("1e309"), &x), -1);
	assert_int_equal(json_real(checked("1e999"), &x), -1);
	assert_int_equal(json_real(checked("-1e99999999999999999999999"), &x), -1);
	assert_int_equal(json_real(checked("1e-99999999999999999999999"), &x), 0);
	assert_true(x == 0);
	assert_int_equal(json_real(checked("\"1\""), &x), -1);
	assert_int_equal(json_real(checked("true"), &x), -1);
}

/* Numbers of thousands of digits. */
static void test_real_long(void **state)
{
	struct buf b;
	double     x;

	(void)state;
	buf_init(&b, 10000);
	/* 1 + 2^-53 is a tie: any digit behind it, however far, rounds up. */
	buf_adds(&b, "1.00000000000000011102230246251565404236316680908203125");
	for (int i = 0; i < 3000; i++)
		buf_addc(&b, '0');
	assert_int_equal(json_real(checked(b.p), &x), 0);
	assert_true(x == 1.0);
	buf_addc(&b, '7');
	assert_int_equal(json_real(checked(b.p), &x), 0);
	assert_true(x == nextafter(1.0, 2.0));
	buf_reset(&b);
	/* 10^-2000 * 10^2000 */
	buf_adds(&b, "0.");
	for (int i = 1; i < 2000; i++)
		buf_addc(&b, '0');
	buf_adds(&b, "1e2000");
	assert_int_equal(json_real(checked(b.p), &x), 0);
	assert_true(x == 1.0);
	buf_reset(&b);
	/* 25 * 10^1998 * 10^-1999 */
	buf_adds(&b, "25");
	for (int i = 0; i < 1998; i++)
		buf_addc(&b, '0');
	buf_adds(&b, "e-1999");
	assert_int_equal(json_real(checked(b.p), &x), 0);
	assert_true(x == 2.5);
	buf_clear(&b);
}

/* ---- streams ---------------------------------------------------------------- */

static void test_complete(void **state)
{
	static const struct { const char *text; int64_t len; } cases[] = {
		{ "", 0 }, { "  ", 0 }, { "{", 0 }, { "{}", 2 }, { " {} []", 3 }, { "[1,2", 0 }, { "[1,2]x", 5 },
		{ "[\"]\"]", 5 }, { "[\"\\\"]\"]", 7 }, { "\"a", 0 }, { "\"a\"", 3 }, { "\"a\\\"", 0 },
		{ "12", 0 }, { "12 ", 2 }, { "12,", 2 }, { "true\n", 4 }, { "tru", 0 },
		{ "}", -1 }, { ",", -1 }, { "x", -1 }, { "'a'", -1 },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct span text = exact(span_of(cases[i].text));

		if (json_complete(text) != cases[i].len)
			fail_msg("%s: %lld", cases[i].text, (long long)json_complete(text));
		drop(text);
	}
	assert_int_equal(json_complete(SPAN("\0")), -1);
}

struct joined {
	struct buf b;
	size_t     stop_at;     /* element at which to fail; SIZE_MAX: none */
	size_t     n;
};

static int join(void *arg, struct span element, struct err *e)
{
	struct joined *j = arg;

	if (j->n++ == j->stop_at)
		return err_set(e, ERR_STOPPED, "enough");
	buf_add(&j->b, element.p, element.len);
	buf_addc(&j->b, '|');
	return 0;
}

/* The text in chunks of `size` bytes; what the elements join to, or the code. */
static enum err_code split(struct span text, size_t size, size_t max, struct joined *j, struct err *e)
{
	struct json_splitter s;
	int                  rc = 0;

	j->n = 0;
	buf_reset(&j->b);
	json_splitter_init(&s, max, join, j);
	rc = json_splitter_feed(&s, (struct span){ NULL, 0 }, e);       /* no bytes are no end */
	for (size_t at = 0; rc == 0 && at < text.len; at += size) {
		struct span chunk = exact((struct span){ text.p + at, text.len - at < size ? text.len - at : size });

		rc = json_splitter_feed(&s, chunk, e);
		drop(chunk);
	}
	if (rc == 0)
		rc = json_splitter_end(&s, e);
	if (rc == 0)
		assert_int_equal(s.count, j->n);
	json_splitter_clear(&s);
	return rc == 0 ? ERR_OK : e->code;
}

static void test_splitter(void **state)
{
	static const struct { struct span text; const char *joined; enum err_code code; } cases[] = {
		{ SPAN("[]"), "", ERR_OK },
		{ SPAN(" \n[ ] \n"), "", ERR_OK },
		{ SPAN("[1]"), "1|", ERR_OK },
		{ SPAN("[1,2, 3 ,\n4]"), "1|2|3|4|", ERR_OK },
		{ SPAN("[{\"a\":\"]},\\\"\"},[[],{}],\"x\\\\\",true,null , -1.5e3]"),
		  "{\"a\":\"]},\\\"\"}|[[],{}]|\"x\\\\\"|true|null|-1.5e3|", ERR_OK },
		{ SPAN("[{\"data\":{\"text\":\"\xd1\x82\xd0\xb5\xd1\x81\xd1\x82\"}}]"),
		  "{\"data\":{\"text\":\"\xd1\x82\xd0\xb5\xd1\x81\xd1\x82\"}}|", ERR_OK },
		{ SPAN(""), "", ERR_SYNTAX },
		{ SPAN("{}"), "", ERR_SYNTAX },
		{ SPAN("{\"a\":[]}"), "", ERR_SYNTAX },
		{ SPAN("1"), "", ERR_SYNTAX },
		{ SPAN("<html>"), "", ERR_SYNTAX },
		{ SPAN("["), "", ERR_SYNTAX },
		{ SPAN("[1"), "", ERR_SYNTAX },
		{ SPAN("[1,"), "1|", ERR_SYNTAX },
		{ SPAN("[1,{\"a\":"), "1|", ERR_SYNTAX },
		{ SPAN("[,1]"), "", ERR_SYNTAX },
		{ SPAN("[1,]"), "1|", ERR_SYNTAX },
		{ SPAN("[1,,2]"), "1|", ERR_SYNTAX },
		{ SPAN("[1 2]"), "1|", ERR_SYNTAX },
		{ SPAN("[{} {}]"), "{}|", ERR_SYNTAX },
		{ SPAN("[{}{}]"), "{}|", ERR_SYNTAX },
		{ SPAN("[1;2]"), "", ERR_SYNTAX },
		{ SPAN("[1}"), "1|", ERR_SYNTAX },
		{ SPAN("[1:2]"), "1|", ERR_SYNTAX },
		{ SPAN("[}]"), "", ERR_SYNTAX },
		{ SPAN("[[}]"), "", ERR_SYNTAX },
		{ SPAN("[1]]"), "1|", ERR_SYNTAX },
		{ SPAN("[1] x"), "1|", ERR_SYNTAX },
		{ SPAN("[1][2]"), "1|", ERR_SYNTAX },
		{ SPAN("[1]\0"), "1|", ERR_SYNTAX },
		{ SPAN("[\0]"), "", ERR_SYNTAX },
		{ SPAN("[1,NaN]"), "1|", ERR_SYNTAX },
		{ SPAN("[{'a':1}]"), "", ERR_SYNTAX },
		{ SPAN("[\"\xff\"]"), "", ERR_SYNTAX },
		{ SPAN("[\"a\nb\"]"), "", ERR_SYNTAX },
		{ SPAN("[01]"), "", ERR_SYNTAX },
	};
	struct joined j = { .stop_at = SIZE_MAX };

	(void)state;
	buf_init(&j.b, 1000);
	for (size_t i = 0; i < countof(cases); i++)
		for (size_t size = 1; size <= cases[i].text.len + 1; size++) {
			struct err e = { 0 };

			if (split(cases[i].text, size, 1000, &j, &e) != cases[i].code ||
			    strcmp(j.b.p == NULL ? "" : j.b.p, cases[i].joined) != 0)
				fail_msg("case %zu in chunks of %zu: \"%s\", %s", i, size, j.b.p, e.msg);
		}
	buf_clear(&j.b);
}

static void test_splitter_limits(void **state)
{
	struct joined j = { .stop_at = SIZE_MAX };

	(void)state;
	buf_init(&j.b, 1000);
	for (size_t size = 1; size < 30; size++) {
		struct err e = { 0 };

		/* of exactly the limit, and one more */
		assert_int_equal(split(SPAN("[\"123456\",[1,22,3]]"), size, 8, &j, &e), ERR_OK);
		assert_string_equal(j.b.p, "\"123456\"|[1,22,3]|");
		assert_int_equal(split(SPAN("[1,\"123456\",[1,22,33]]"), size, 8, &j, &e), ERR_TOO_LARGE);
		assert_string_equal(e.msg, "element 2 is larger than 8 bytes");
		assert_string_equal(j.b.p, "1|\"123456\"|");
		/* what each() says ends it */
		err_clear(&e);
		j.stop_at = 1;
		assert_int_equal(split(SPAN("[1,2,3]"), size, 8, &j, &e), ERR_STOPPED);
		assert_int_equal(j.n, 2);
		j.stop_at = SIZE_MAX;
	}
	buf_clear(&j.b);
}

/* ---- printing ----------------------------------------------------------------- */

static void test_put_text(void **state)
{
	static const struct { struct span text; const char *want; } cases[] = {
		{ SPAN(""), "\"\"" },
		{ SPAN("plain"), "\"plain\"" },
		{ SPAN("\"\\/\b\f\n\r\t"), "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
		{ SPAN("a\0b\x1f\x7f"), "\"a\\u0000b\\u001f\x7f\"" },
		{ SPAN("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		/* U+FFFD as the Unicode Standard (table 3-8) and Python replace */
		{ SPAN("\xff"), "\"\xef\xbf\xbd\"" },
		{ SPAN("a\x80z"), "\"a\xef\xbf\xbdz\"" },
		{ SPAN("\xe2\x82"), "\"\xef\xbf\xbd\"" },
		{ SPAN("\xe2\x82x"), "\"\xef\xbf\xbdx\"" },
		{ SPAN("\xf0\x9f\x98"), "\"\xef\xbf\xbd\"" },
		{ SPAN("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ SPAN("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ SPAN("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"),
		  "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" "A\xef\xbf\xbd\xef\xbf\xbd" "B\"" },
		{ SPAN("\xc3\xa9\"\xc3\xa9\xff\""), "\"\xc3\xa9\\\"\xc3\xa9\xef\xbf\xbd\\\"\"" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct span  text = exact(cases[i].text);
		struct buf   b;

		buf_init(&b, 1000);
		json_put_text(&b, text);
		if (strcmp(b.p, cases[i].want) != 0)
			fail_msg("case %zu: %s", i, b.p);
		(void)checked(b.p);
		buf_clear(&b);
		drop(text);
	}
}

static const struct { double x; const char *want; } reals[] = {
	{ 0, "0" }, { -0.0, "-0" }, { 1, "1" }, { -1.5, "-1.5" }, { 0.1, "0.1" }, { 0.93, "0.93" },
	{ 1.0 / 3, "0.3333333333333333" }, { 0.1 + 0.2, "0.30000000000000004" }, { 2.0 / 3, "0.6666666666666666" },
	/* At the edges of what whole numbers print: halfway between two of 15 digits, all nines. */
	{ 32769.0 / 65536, "0.5000152587890625" }, { 1 - 0x1p-53, "0.9999999999999999" }, { 0.999999999999999, "0.999999999999999" },
	{ 1e22, "1e+22" }, { 1e-7, "1e-07" }, { 123456789, "123456789" }, { 5e-324, "4.94065645841247e-324" },
	{ 1.7976931348623157e308, "1.7976931348623157e+308" }, { NAN, "0" }, { INFINITY, "0" }, { -INFINITY, "0" },
};

static void put_reals(void)
{
	for (size_t i = 0; i < countof(reals); i++) {
		struct buf b;
		double     x = 0;

		buf_init(&b, 100);
		json_put_real(&b, reals[i].x);
		if (strcmp(b.p, reals[i].want) != 0)
			fail_msg("%.17g: %s", reals[i].x, b.p);
		if (isfinite(reals[i].x)) {
			assert_int_equal(json_real(checked(b.p), &x), 0);
			assert_true(x == reals[i].x);
		}
		buf_clear(&b);
	}
}

static void test_put_real(void **state)
{
	uint64_t seed = 42;

	(void)state;
	put_reals();
	for (int i = 0; i < 200000; i++) {
		char       text[32];
		struct buf b;
		double     x, back;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		memcpy(&x, &seed, sizeof x);
		if (i % 2 == 0)
			x = (double)(seed >> 11) * 0x1p-53;         /* a probability */
		if (i % 8 == 0)
			x = (double)(seed >> 50) / (i % 16 == 0 ? 1e4 : 16384);     /* one of few digits */
		if (!isfinite(x))
			continue;
		buf_init(&b, 100);
		json_put_real(&b, x);
		assert_int_equal(json_real(checked(b.p), &back), 0);
		assert_memory_equal(&x, &back, sizeof x);
		/* and no shorter one does */
		for (int precision = 15; precision <= 17; precision++) {
			snprintf(text, sizeof text, "%.*g", precision, x);
			if (strtod(text, NULL) == x)
				break;
		}
		assert_string_equal(b.p, text);
		buf_clear(&b);
	}
}

/* A program that calls the library may have set a locale with a decimal comma;
 * this one is made for the test. */
static void test_locale(void **state)
{
	char   folder[] = "/tmp/test_json.XXXXXX", command[200];
	int    rc;
	double x;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >%s/out 2>&1", folder, folder);
	rc = system(command);
	setenv("LOCPATH", folder, 1);
	if (rc != 0 || setlocale(LC_ALL, "de_DE.UTF-8") == NULL) {
		print_message("no locale with a decimal comma: localedef can't make one here\n");
		snprintf(command, sizeof command, "rm -r %s", folder);
		assert_int_equal(system(command), 0);
		skip();
	}
	snprintf(command, sizeof command, "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof command, "%.1f", 1.5);
	assert_string_equal(command, "1,5");
	put_reals();
	assert_int_equal(json_real(checked("0.3000000000000000444"), &x), 0);
	assert_true(x == 0.1 + 0.2);
	setlocale(LC_ALL, "C");
}

static void test_put_int(void **state)
{
	static const struct { int64_t n; const char *want; } cases[] = {
		{ 0, "0" }, { 7, "7" }, { -7, "-7" }, { 10, "10" }, { INT64_MAX, "9223372036854775807" },
		{ INT64_MIN, "-9223372036854775808" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct buf b;

		buf_init(&b, 100);
		json_put_int(&b, cases[i].n);
		assert_string_equal(b.p, cases[i].want);
		buf_clear(&b);
	}
}

/* json_digest.h: the same in other words, and not the same. */
static void test_same(void **state)
{
	static const struct {
		const char *a, *b;
		bool        same;
	} cases[] = {
		{ "{}", " { } ", true }, { "[]", "{}", false }, { "null", "0", false }, { "\"1\"", "1", false },
		{ "{\"a\":1,\"b\":2}", "{ \"b\" : 2.0, \"a\" : 1e0 }", true }, { "{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}", false },
		{ "[1,2]", "[2,1]", false }, { "[[1],2]", "[1,[2]]", false }, { "[\"ab\"]", "[\"a\",\"b\"]", false },
		{ "\"\\u00e9\\/\"", "\"\xc3\xa9/\"", true }, { "\"a\"", "\"A\"", false }, { "true", "false", false },
		{ "9007199254740993", "9007199254740992", false }, { "-0.5", "-5e-1", true },
		{ "{\"a\":{\"b\":1},\"c\":{\"d\":1}}", "{\"a\":{\"d\":1},\"c\":{\"b\":1}}", false },
		{ "{\"a\":1}", "{\"a\":1,\"a\":1}", false },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct span a, b;

		assert_int_equal(json_check(span_of(cases[i].a), &a, NULL), 0);
		assert_int_equal(json_check(span_of(cases[i].b), &b, NULL), 0);
		if (json_same(a, b) != cases[i].same || json_same(b, a) != cases[i].same || !json_same(a, a))
			fail_msg("%s and %s", cases[i].a, cases[i].b);
	}
	assert_true(json_same((struct span){ NULL, 0 }, (struct span){ NULL, 0 }));
	assert_false(json_same((struct span){ NULL, 0 }, SPAN("{}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check), cmocka_unit_test(test_same), cmocka_unit_test(test_check_cut), cmocka_unit_test(test_check_places),
		cmocka_unit_test(test_check_depth), cmocka_unit_test(test_types), cmocka_unit_test(test_each),
		cmocka_unit_test(test_member), cmocka_unit_test(test_text), cmocka_unit_test(test_text_trouble),
		cmocka_unit_test(test_int), cmocka_unit_test(test_real), cmocka_unit_test(test_real_long),
		cmocka_unit_test(test_complete), cmocka_unit_test(test_splitter), cmocka_unit_test(test_splitter_limits),
		cmocka_unit_test(test_put_text), cmocka_unit_test(test_put_real), cmocka_unit_test(test_locale),
		cmocka_unit_test(test_put_int),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
