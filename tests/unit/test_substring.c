/*
 * test_substring.c - folding and its way back, the search for many strings, and what
 * the substring model makes of stored bytes and of other label configs.  That it finds
 * what it should is checked by tests/substring against a reference.
 */
#include "models/model.h"
#include "text/fold.h"
#include "text/search.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unicase.h>
#include <unistr.h>
#include <cmocka.h>

extern const struct model_kind model_substring;

static const struct model_kind *const kind = &model_substring;

#define NER "<View><Labels name='ner' toName='t'>%s</Labels><Text name='t' value='$body'/></View>"

/* -- folding ---------------------------------------------------------------------------- */

static void test_fold(void **state)
{
	static const struct { const char *text, *folded; size_t n; } cases[] = {
		{ "", "", 0 }, { "Az_9", "az_9", 4 }, { "Straße", "strasse", 6 }, { "ẞ", "ss", 1 }, { "ﬃ", "ffi", 1 },
		{ "İx", "i\u0307x", 2 }, { "ΟΔΟΣ", "οδοσ", 4 }, { "οδος", "οδοσ", 4 }, { "\u212a", "k", 1 }, { "ŉ", "\u02bcn", 1 },
		{ "\U00010400", "\U00010428", 1 }, { "😀A", "😀a", 2 }, { "a\xff" "B", "a\xef\xbf\xbd" "b", 3 },
	};
	struct arena  a;
	struct folded f;
	struct err    e = { 0 };

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < countof(cases); i++) {
		const struct span text = span_of(cases[i].text);

		assert_int_equal(fold_text(&f, text, &a, &e), 0);
		assert_int_equal(f.n, cases[i].n);
		assert_true(span_is(f.bytes, cases[i].folded));
		assert_true(span_eq(fold_original(&f, 0, f.n), text));
		assert_true(span_eq(fold_slice(&f, 0, f.n), f.bytes));
		for (size_t k = 0; k <= f.n; k++)
			assert_int_equal(fold_index(&f, fold_slice(&f, 0, k).len), k);
	}
	assert_int_equal(fold_text(&f, span_of("aßb"), &a, &e), 0);
	assert_int_equal(fold_index(&f, 2), -1);        /* between the two s */
	assert_int_equal(fold_text(&f, (struct span){ "", FOLD_BYTES_MAX + 1 }, &a, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	arena_clear(&a);
}

/* Every code point, alone and behind others: no context, no allocation, no cache tells. */
static void test_fold_every_char(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x110000; c++) {
		uint32_t want[16], got[FOLD_CHARS_MAX];
		size_t   n = countof(want);

		if (c >= 0xD800 && c < 0xE000)
			continue;
		assert_ptr_equal(u32_casefold(&c, 1, NULL, NULL, want, &n), want);
		assert_true(n >= 1 && n <= FOLD_CHARS_MAX);
		assert_int_equal(fold_char(c, got), (int)n);
		assert_memory_equal(got, want, n * sizeof *want);
	}
}

static void test_edges(void **state)
{
	/* '|' where a word begins or ends, or none is. */
	static const char *const cases[] = {
		"|Ann| |met|", "|a1_b|-|c|", "|cafe\u0301| |x|", "|😀|😀|", "|שלום|,|a|", "|中文|", "|",
	};
	struct arena  a;
	struct folded f;
	struct err    e = { 0 };

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < countof(cases); i++) {
		char   text[64];
		bool   want[64] = { false };
		size_t n = 0, chars = 0;

		for (const char *p = cases[i]; *p != '\0'; p++) {
			if (*p == '|') {
				want[chars] = true;
				continue;
			}
			text[n++] = *p;
			chars += (p[1] & 0xC0) != 0x80;
		}
		assert_int_equal(fold_text(&f, (struct span){ text, n }, &a, &e), 0);
		assert_int_equal(f.n, chars);
		for (size_t k = 0; k <= chars; k++)
			assert_int_equal(fold_is_edge(&f, k), want[k]);
	}
	arena_clear(&a);
}

/* -- searching --------------------------------------------------------------------------- */

struct hits {
	char   text[512];
	size_t stop;             /* after so many, 0: never */
	size_t n;
};

static bool note(void *arg, uint32_t string, size_t end)
{
	struct hits *h = arg;

	snprintf(h->text + strlen(h->text), sizeof h->text - strlen(h->text), "%u@%zu ", string, end);
	return ++h->n != h->stop;
}

static void test_search(void **state)
{
	static const struct span strings[] = { SPAN("a"), SPAN("ab"), SPAN("abc"), SPAN("b"), SPAN("bc"), SPAN("c\0d"), SPAN("he") };
	static const struct { struct span text; size_t stop; const char *hits; } cases[] = {
		{ SPAN(""), 0, "" }, { SPAN("xyz"), 0, "" }, { SPAN("abc"), 0, "0@1 1@2 3@2 2@3 4@3 " },
		{ SPAN("aab"), 0, "0@1 0@2 1@3 3@3 " }, { SPAN("c\0dc\0d"), 0, "5@3 5@6 " }, { SPAN("hhe"), 0, "6@3 " },
		{ SPAN("abc"), 3, "0@1 1@2 3@2 " },
	};
	struct search s;
	struct err    e = { 0 };

	(void)state;
	assert_int_equal(search_build(&s, strings, countof(strings), &e), 0);
	for (size_t i = 0; i < countof(cases); i++) {
		struct hits h = { .stop = cases[i].stop };

		search_text(&s, cases[i].text, note, &h);
		assert_string_equal(h.text, cases[i].hits);
	}
	search_clear(&s);
	assert_int_equal(search_build(&s, strings, 0, &e), 0);
	search_text(&s, SPAN("abc"), note, NULL);
	search_clear(&s);
	assert_int_equal(search_build(&s, &(struct span){ "", SEARCH_BYTES_MAX + 1 }, 1, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
}

/* More than FEW children, and every byte. */
static void test_search_wide(void **state)
{
	static char text[256][2];
	struct span   strings[256];
	struct search s;
	struct err    e = { 0 };

	(void)state;
	for (size_t i = 0; i < 256; i++) {
		text[i][0] = 'x';
		text[i][1] = (char)i;
		strings[i] = (struct span){ text[i], 2 };
	}
	assert_int_equal(search_build(&s, strings, 256, &e), 0);
	for (size_t i = 0; i < 256; i++) {
		struct hits h = { .n = 0 };
		char        want[16];

		search_text(&s, strings[i], note, &h);
		snprintf(want, sizeof want, "%zu@2 ", i);
		assert_string_equal(h.text, want);
	}
	search_clear(&s);
}

/* -- the model --------------------------------------------------------------------------- */

static struct label_config *config_of(const char *labels)
{
	struct label_config *config;
	struct err           e = { 0 };
	char                 xml[512];

	snprintf(xml, sizeof xml, NER, labels);
	if (label_config_parse(&config, span_of(xml), &e) < 0)
		fail_msg("%s", e.msg);
	return config;
}

static void test_serves(void **state)
{
	static const struct { const char *xml; bool served; } configs[] = {
		{ "<View><Labels name='n' toName='t'><Label value='a'/></Labels><Text name='t' value='$x'/></View>", true },
		{ "<View><Labels name='n' toName='t'/><Text name='t' value='$x'/></View>", true },
		{ "<View><Labels name='n' toName='t'><Label value='a'/></Labels><Text name='t' value='$x' valueType='url'/></View>", false },
		{ "<View><Labels name='n' toName='t'><Label value='a'/></Labels><HyperText name='t' value='$x'/></View>", false },
		{ "<View><Choices name='n' toName='t'><Choice value='a'/></Choices><Text name='t' value='$x'/></View>", false },
		{ "<View/>", false },
	};
	static const struct { const char *context; bool served; } contexts[] = {
		{ "null", true }, { "{}", true }, { "{\"result\":[]}", true }, { "{\"result\":null}", true }, { "7", true },
		{ "{\"result\":[{\"type\":\"labels\",\"from_name\":\"ner\"}]}", true },
		{ "{\"result\":[1,{\"type\":\"labels\",\"from_name\":\"ner\",\"to_name\":\"t\"}]}", true },
		{ "{\"result\":[{\"type\":\"labels\",\"from_name\":\"other\"}]}", false },
		{ "{\"result\":[{\"type\":\"labels\",\"from_name\":\"ner\",\"to_name\":\"u\"}]}", false },
		{ "{\"result\":[{\"type\":\"choices\",\"from_name\":\"ner\"}]}", false },
	};
	static const struct model_settings settings = { .threads = 1 };
	struct label_config *config;
	struct err           e = { 0 };

	(void)state;
	for (size_t i = 0; i < countof(configs); i++) {
		assert_int_equal(label_config_parse(&config, span_of(configs[i].xml), &e), 0);
		assert_int_equal(kind->serves(config, SPAN(""), &settings) != NULL, configs[i].served);
		label_config_free(config);
	}
	config = config_of("<Label value='a'/>");
	for (size_t i = 0; i < countof(contexts); i++)
		assert_int_equal(kind->serves(config, span_of(contexts[i].context), &settings) != NULL, contexts[i].served);
	label_config_free(config);
}

#define REGION(start, end, label) "{\"type\":\"labels\",\"from_name\":\"ner\",\"value\":{\"start\":" start \
	",\"end\":" end ",\"labels\":[\"" label "\"]}}"
#define EX(text, regions) { .data = SPAN("{\"body\":\"" text "\"}"), .result = SPAN("[" regions "]") }

static const struct example examples[] = {
	EX("Ann in Oslo", REGION("0", "3", "Person") "," REGION("7", "11", "Place")),
	EX("ann in oslo", REGION("0", "3", "Place") "," REGION("7", "11", "Place")),
	EX("Ann, Bob", REGION("0", "3", "Person") "," REGION("5", "8", "Gone") "," REGION("5", "8", "Thing")),
	EX("no regions", ""),
	EX("of another control", "{\"type\":\"choices\",\"from_name\":\"c\",\"value\":{\"choices\":[\"Place\"]}}"),
};

static struct model *fitted(const struct label_config *config)
{
	static const struct model_settings settings = { .threads = 1 };
	struct model *m = NULL;
	struct err    e = { 0 };

	if (kind->fit(&m, config, (struct examples){ examples, countof(examples) }, &settings, &e) < 0)
		fail_msg("%s", e.msg);
	return m;
}

/* "start-end label share" of each region. */
static void spans_of(const struct model *m, const char *text, char out[256])
{
	struct arena      scratch;
	struct prediction p;
	struct err        e = { 0 };
	char              data[256];
	struct task       task;

	arena_init(&scratch, 1 << 20);
	snprintf(data, sizeof data, "{\"body\":\"%s\"}", text);
	task = (struct task){ span_of(data), span_of(data) };
	out[0] = '\0';
	assert_int_equal(kind->predict(m, &task, SPAN("null"), &scratch, &p, &e), 0);
	for (size_t i = 0; i < p.n_regions; i++)
		snprintf(out + strlen(out), 256 - strlen(out), "%lld-%lld %s %.2f;", (long long)p.regions[i].start,
		         (long long)p.regions[i].end, p.regions[i].names[0], p.regions[i].score);
	arena_clear(&scratch);
}

static int read_part(void *arg, const char *name, struct span *bytes, struct err *e)
{
	const struct model_parts *p = arg;

	(void)e;
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->v[i].name, name) == 0) {
			*bytes = buf_span(&p->v[i].bytes);
			return 0;
		}
	return 1;
}

static int load(const struct label_config *config, struct model_parts *parts, struct model **m, struct err *e)
{
	static const struct model_settings settings = { .threads = 1 };
	const struct part_source source = { read_part, parts };

	*m = NULL;
	err_clear(e);
	return kind->load(m, config, &settings, 1, &source, e);
}

#define ALL "<Label value='Person'/><Label value='Place'/><Label value='Thing'/>"

static void test_labels_of_another_config(void **state)
{
	static const struct { const char *labels; int rc; const char *spans; } cases[] = {
		{ ALL, 0, "0-3 Person 0.67;4-8 Place 1.00;9-12 Thing 1.00;" },
		{ "<Label value='Place'/><Label value='New'/>", 0, "0-3 Place 1.00;4-8 Place 1.00;" },
		{ "<Label value='Thing'/><Label value='Place'/><Label value='Person'/>", 0,
		  "0-3 Person 0.67;4-8 Place 1.00;9-12 Thing 1.00;" },
		{ "<Label value='New'/>", 1, "" },
	};
	struct label_config *config = config_of(ALL), *other;
	struct model        *m = fitted(config), *again;
	struct model_parts   parts = { .n = 0 }, twice = { .n = 0 };
	struct err           e = { 0 };
	char                 spans[256];

	(void)state;
	assert_int_equal(kind->save(m, &parts, &e), 0);
	for (size_t i = 0; i < countof(cases); i++) {
		other = config_of(cases[i].labels);
		assert_int_equal(load(other, &parts, &again, &e), cases[i].rc);
		if (cases[i].rc == 0) {
			spans_of(again, "ANN OSLO BOB ANNA", spans);
			assert_string_equal(spans, cases[i].spans);
			assert_true(kind->bytes(again) > 500 && kind->bytes(again) < 10000);
			/* What was dropped for this config is kept for the next. */
			assert_int_equal(kind->save(again, &twice, &e), 0);
			for (size_t k = 0; k < parts.n; k++)
				assert_true(span_eq(buf_span(&parts.v[k].bytes), buf_span(&twice.v[k].bytes)));
			model_parts_clear(&twice);
		}
		kind->free(again);
		label_config_free(other);
	}
	spans_of(m, "ANN OSLO BOB ANNA", spans);
	assert_string_equal(spans, cases[0].spans);
	kind->free(m);
	model_parts_clear(&parts);
	label_config_free(config);
}

static void test_cold_and_too_few(void **state)
{
	static const struct model_settings settings = { .threads = 1 };
	struct label_config *config = config_of(ALL);
	struct model        *m = NULL;
	struct model_parts   parts = { .n = 0 };
	struct err           e = { 0 };
	char                 spans[256];

	(void)state;
	assert_int_equal(kind->fit(&m, config, (struct examples){ &examples[3], 2 }, &settings, &e), -1);
	assert_int_equal(e.code, ERR_TOO_FEW);
	assert_string_equal(e.msg, "needs 1 annotated span, has 0");
	err_clear(&e);
	assert_int_equal(kind->cold(&m, config, &settings, &e), 0);
	spans_of(m, "Ann", spans);
	assert_string_equal(spans, "");
	assert_int_equal(kind->save(m, &parts, &e), 0);
	kind->free(m);
	assert_int_equal(load(config, &parts, &m, &e), 1);      /* no label is left: cold again */
	model_parts_clear(&parts);
	label_config_free(config);
}

static bool stop(void *arg, double done)
{
	(void)arg;
	(void)done;
	return false;
}

static void test_stopped(void **state)
{
	const struct model_settings settings = { .threads = 1, .progress = stop };
	struct label_config *config = config_of(ALL);
	struct model        *m = NULL;
	struct err           e = { 0 };

	(void)state;
	assert_int_equal(kind->fit(&m, config, (struct examples){ examples, 1 }, &settings, &e), -1);
	assert_int_equal(e.code, ERR_STOPPED);
	label_config_free(config);
}

/* Every byte changed in turn, and every length: an error or a model that works, never a
 * read beyond the end (run with a sanitizer). */
static void test_damage(void **state)
{
	struct label_config *config = config_of(ALL);
	struct model        *m = fitted(config), *again;
	struct model_parts   parts = { .n = 0 };
	struct err           e = { 0 };
	size_t               refused = 0, tried = 0;
	char                 spans[256];

	(void)state;
	assert_int_equal(kind->save(m, &parts, &e), 0);
	kind->free(m);
	for (size_t k = 0; k < parts.n; k++) {
		struct buf  *b = &parts.v[k].bytes;
		const size_t len = b->len;

		for (size_t i = 0; i < len; i++) {
			static const unsigned char flips[] = { 0x01, 0x80, 0xFF };

			for (size_t f = 0; f < countof(flips); f++) {
				int rc;

				b->p[i] = (char)(b->p[i] ^ flips[f]);
				rc = load(config, &parts, &again, &e);
				b->p[i] = (char)(b->p[i] ^ flips[f]);
				tried++;
				refused += rc != 0;
				assert_true(rc >= 0 || e.code == ERR_DAMAGED);
				assert_true(i >= 24 || rc < 0);         /* a head that is wrong */
				if (rc == 0)
					spans_of(again, "Ann in Oslo", spans);
				kind->free(again);
			}
			b->len = i;
			assert_int_equal(load(config, &parts, &again, &e), -1);
			assert_int_equal(e.code, ERR_DAMAGED);
			b->len = len;
		}
		buf_addc(b, 0);
		assert_int_equal(load(config, &parts, &again, &e), -1);
		b->len = len;
	}
	assert_true(refused > tried / 2);
	/* "ann", "bob", "oslo" end the part: out of order. */
	parts.v[1].bytes.p[parts.v[1].bytes.len - strlen("annbobOslo")] = 'z';
	assert_int_equal(load(config, &parts, &again, &e), -1);
	assert_non_null(strstr(e.msg, "out of order"));
	parts.n = 1;
	assert_int_equal(load(config, &parts, &again, &e), -1);
	assert_int_equal(e.code, ERR_DAMAGED);
	parts.n = 2;
	model_parts_clear(&parts);
	label_config_free(config);
}

/* Only asked by mistake: it has no Labels to give. */
static void test_no_labels(void **state)
{
	static const char    xml[] = "<View><Text name=\"text\" value=\"$text\"/><Choices name=\"c\" toName=\"text\"><Choice value=\"a\"/></Choices></View>";
	struct label_config *config;
	struct model        *m = NULL;
	struct err           e = { 0 };

	(void)state;
	assert_int_equal(label_config_parse(&config, span_of(xml), &e), 0);
	assert_int_equal(kind->cold(&m, config, &(struct model_settings){ .kind = kind }, &e), -1);
	assert_int_equal(e.code, ERR_SHAPE);
	assert_null(m);
	label_config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_fold_every_char),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_search_wide),
		cmocka_unit_test(test_serves),
		cmocka_unit_test(test_labels_of_another_config),
		cmocka_unit_test(test_cold_and_too_few),
		cmocka_unit_test(test_no_labels),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
