/*
 * test_object_text.c - the text of Text, HyperText and Paragraphs; HTML of every kind of
 * wrongness, in time that grows with its length alone.
 */
#include "base/json.h"
#include "studio/html_text.h"
#include "studio/object_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

/* -- HTML ------------------------------------------------------------------------------- */

static const struct { const char *html, *text; } pages[] = {
	{ "", "" }, { "plain", "plain" }, { "  a \t\r\n b  ", "a b" },
	{ "<p>one</p><p>two</p>", "one\ntwo" }, { "<b>bo</b>ld", "bold" }, { "a<br>b<br/>c<BR />d", "a\nb\nc\nd" },
	{ "<table><tr><td>x</td><td>y</td></tr></table>", "x\ny" }, { "<A href='u'>li</A>nk", "link" },
	{ "a <em>b</em> <span class=x>c</span>", "a b c" }, { "<h1>T</h1> text", "T\ntext" },
	/* Not shown: */
	{ "a<script>if (x < 1 && y) document.write('<p>no</p>');</script>b", "a\nb" },
	{ "a<style>p > b { }</style>b", "a\nb" }, { "a<SCRIPT src=x></SCRIPT >b", "a\nb" },
	{ "<script>a</scripts>b</script>c", "c" }, { "a<script>never closed <p>x</p>", "a" },
	{ "a<!-- <p>x</p> -->b", "ab" }, { "a<!-->b", "ab" }, { "a<!--->b", "ab" }, { "a<!-- x", "a" },
	{ "<!DOCTYPE html><?xml version='1'?>a", "a" }, { "<![CDATA[x]]>a", "a" },
	{ "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>&e;", "]>&e;" },
	/* Attributes: */
	{ "<a title=\"x > y\">z</a>", "z" }, { "<a title='x > y' b>z</a>", "z" }, { "<a b\"c>z</a>", "z" },
	{ "<a t = '>'>z", "z" }, { "<a t=x'y>z", "z" }, { "a<b", "a" }, { "<a href=\"never closed>b", "" },
	/* No markup: */
	{ "1 < 2 <3 << >", "1 < 2 <3 << >" }, { "a<", "a<" }, { "a</", "a</" }, { "a</>b</ x>c", "abc" },
	/* Characters: */
	{ "&lt;b&gt; &amp;amp; &quot;&apos;", "<b> &amp; \"'" }, { "caf&eacute; &Eacute;&euro;&nbsp;x", "caf\u00e9 \u00c9\u20ac\u00a0x" },
	{ "&#233;&#xE9;&#XE9 &#128512;", "\u00e9\u00e9\u00e9 \U0001f600" }, { "a&#32;&#10;b", "a b" },
	{ "&#0;&#xD800;&#1114112;&#99999999999999999999;", "\ufffd\ufffd\ufffd\ufffd" },
	{ "&;&#;&#x;&nothing;&eacute &thetasym;&thetasymm;", "&;&#;&#x;&nothing;&eacute \u03d1&thetasymm;" },
	{ "AT&T x&y=1", "AT&T x&y=1" }, { "&lt;script&gt;x", "<script>x" },
	{ "\u65e5\u672c<p>\u8a9e", "\u65e5\u672c\n\u8a9e" },
};

static void test_html(void **state)
{
	struct arena a;
	struct err   e = { 0 };

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < countof(pages); i++) {
		const size_t len = strlen(pages[i].html);
		char        *copy = malloc(len > 0 ? len : 1);      /* of its size: a read beyond it is seen */
		struct span  text;

		memcpy(copy, pages[i].html, len);
		assert_int_equal(html_text((struct span){ copy, len }, &a, &text, &e), 0);
		if (!span_is(text, pages[i].text))
			fail_msg("%s: \"%.*s\"", pages[i].html, (int)text.len, text.p);
		/* Cut off anywhere, it is no longer than what it came from. */
		for (size_t cut = 0; cut <= len; cut++) {
			assert_int_equal(html_text((struct span){ copy, cut }, &a, &text, &e), 0);
			assert_true(text.len <= cut);
		}
		free(copy);
	}
	arena_clear(&a);
	arena_init(&a, 1);
	assert_int_equal(html_text(SPAN("<p>long enough</p>"), &a, &(struct span){ NULL, 0 }, &e), -1);
	assert_int_equal(e.code, ERR_MEMORY);
	arena_clear(&a);
}

static void test_named_characters(void **state)
{
	struct arena a;
	struct span  text;
	struct err   e = { 0 };

	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(html_text(SPAN("&AElig;&zwnj;&zeta;&Zeta;&there4;"), &a, &text, &e), 0);
	assert_true(span_is(text, "\u00c6\u200c\u03b6\u0396\u2234"));
	arena_clear(&a);
}

static double cpu_s(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* 4 MB of what parsers take the square of: each piece repeated, then its end. */
static void test_time(void **state)
{
	static const struct { const char *first, *again, *then; } cases[] = {
		{ "", "<b>", "</i>" }, { "", "<div>", "</p>" }, { "<p ", "a=1 ", ">" }, { "", "<!--", "" }, { "", "<", "" },
		{ "", "&", ";" }, { "", "<script>", "</script" }, { "<a b='", "'", "\"" }, { "<script>", "</scrip", "</script>" },
		{ "", "&#1", "" }, { "<!--", "--!>", "->" }, { "", "<a b=\"", "'>" },
	};
	const size_t bytes = (size_t)4 << 20;
	struct arena a;
	struct span  text;
	struct err   e = { 0 };

	(void)state;
	arena_init(&a, (size_t)64 << 20);
	for (size_t i = 0; i < countof(cases); i++) {
		struct buf b;
		double     began;

		arena_reset(&a);
		buf_init(&b, bytes * 3);
		buf_adds(&b, cases[i].first);
		while (b.len < bytes)
			buf_adds(&b, cases[i].again);
		while (cases[i].then[0] != '\0' && b.len < bytes * 2)
			buf_adds(&b, cases[i].then);
		assert_int_equal(buf_check(&b, "html", &e), 0);
		began = cpu_s();
		assert_int_equal(html_text(buf_span(&b), &a, &text, &e), 0);
		if (cpu_s() - began > 2)
			fail_msg("%s%s…%s: %.1f s", cases[i].first, cases[i].again, cases[i].then, cpu_s() - began);
		buf_clear(&b);
	}
	arena_clear(&a);
}

/* -- objects ------------------------------------------------------------------------------ */

static const struct object_tag plain = { .name = "t", .type = "Text", .value = "t", .text_key = "text" },
	hyper = { .name = "t", .type = "HyperText", .value = "t", .text_key = "text" },
	talk = { .name = "t", .type = "Paragraphs", .value = "t", .text_key = "text" },
	said = { .name = "t", .type = "Paragraphs", .value = "t", .text_key = "said" };

static const struct { const struct object_tag *tag; const char *json, *text; } values[] = {
	{ &plain, "\"<b>a</b> &amp;\"", "<b>a</b> &amp;" }, { &plain, "[{\"text\":\"a\"}]", "" }, { &plain, "7", "" },
	{ &plain, "\"http://127.0.0.1:1/x\"", "http://127.0.0.1:1/x" },
	{ &hyper, "\"<b>a</b> &amp;\"", "a &" }, { &hyper, "null", "" }, { &hyper, "{\"text\":\"a\"}", "" }, { &hyper, "[\"a\"]", "" },
	{ &hyper, "\"<img src='http:\\/\\/127.0.0.1:1\\/x'>caf\\u00e9\"", "caf\u00e9" },
	{ &hyper, "\"file:///etc/passwd\"", "file:///etc/passwd" },
	{ &talk, "[{\"author\":\"Ann\",\"text\":\"Hi \"},{\"text\":\"Hello\",\"author\":\"Bob\"}]", "Hi \nHello" },
	{ &talk, "[{\"author\":\"Ann\"},{\"text\":null},{\"text\":7},7,null,\"x\",[],{\"text\":\"only\"},{\"text\":[\"y\"]}]", "only" },
	{ &talk, "[]", "" }, { &talk, "\"text\"", "" }, { &talk, "{\"text\":\"a\"}", "" }, { &talk, "null", "" },
	{ &talk, "[{\"text\":\"<b>\\u00e9\\n\"},{\"text\":\"\"},{\"text\":\"b\"}]", "<b>\u00e9\n\n\nb" },
	{ &said, "[{\"text\":\"no\",\"said\":\"yes\"},{\"text\":\"no\"},{\"said\":\"too\"}]", "yes\ntoo" },
};

static void test_values(void **state)
{
	struct arena a;
	struct err   e = { 0 };

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < countof(values); i++) {
		struct span value, text = SPAN("untouched");

		assert_int_equal(json_check(span_of(values[i].json), &value, &e), 0);
		assert_int_equal(object_text(values[i].tag, value, &a, &text, &e), 0);
		if (!span_is(text, values[i].text))
			fail_msg("%s of %s: \"%.*s\"", values[i].tag->type, values[i].json, (int)text.len, text.p);
	}
	arena_clear(&a);
}

/* What is written is read back. */
static void test_reverse(void **state)
{
	static const char *const texts[] = { "", "a", "a b", "<b>&amp; & <", "line\nline", "caf\u00e9 \"x\" \\", "http://x/?a=1&lt=2" };
	static const struct object_tag *const tags[] = { &plain, &hyper, &talk, &said };
	struct arena a;
	struct err   e = { 0 };

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < countof(texts); i++) {
		for (size_t k = 0; k < countof(tags); k++) {
			struct span value, text;
			struct buf  b;

			if (tags[k] == &hyper && strchr(texts[i], '\n') != NULL)
				continue;                       /* white space is not kept */
			buf_init(&b, 1000);
			object_put_text(tags[k], span_of(texts[i]), &b);
			assert_int_equal(json_check(buf_span(&b), &value, &e), 0);
			assert_int_equal(object_text(tags[k], value, &a, &text, &e), 0);
			assert_true(span_is(text, texts[i]));
			buf_clear(&b);
		}
	}
	arena_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_html), cmocka_unit_test(test_named_characters), cmocka_unit_test(test_time),
		cmocka_unit_test(test_values), cmocka_unit_test(test_reverse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
