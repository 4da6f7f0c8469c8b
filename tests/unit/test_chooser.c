/*
 * test_chooser.c - a kind made of learn() and score(): cold, fitted, kept, read back under
 * other labels and from damaged bytes.  Its notes are the examples themselves, its score how
 * often the text's first letter stands in them.
 */
#include "models/chooser.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void learn(struct buf *notes, struct span text)
{
	buf_add(notes, text.p, text.len);
	buf_addc(notes, ';');
}

static double score(struct span notes, struct span text)
{
	double n = 0;

	if (span_is(text, "nan"))
		return NAN;
	for (size_t i = 0; i < notes.len; i++)
		n += text.len > 0 && notes.p[i] == text.p[0];
	return n;
}

static const struct model_kind kind = { .abi = MODEL_ABI, .name = "letters", .format = 1, CHOOSER(learn, score) };
static const struct model_settings settings = { .kind = &kind, .threads = 1 };

static struct label_config *config_of(const char *labels)
{
	struct label_config *config = NULL;
	char                 xml[512];

	snprintf(xml, sizeof xml, "<View><Text name='t' value='$body'/><Choices name='c' toName='t'>%s</Choices></View>", labels);
	assert_int_equal(label_config_parse(&config, span_of(xml), NULL), 0);
	return config;
}

#define CHOICE(name) "<Choice value='" name "'/>"

static const struct example examples[] = {
	{ .annotation = 1, .text = { "xyz", 3 }, .label = { "b", 1 } }, { .annotation = 2, .text = { "pq", 2 }, .label = { "a", 1 } },
	{ .annotation = 3, .text = { "xx", 2 }, .label = { "b", 1 } }, { .annotation = 4, .text = { "w", 1 }, .label = { "gone", 4 } },
};

static struct model *fitted(const struct label_config *config, size_t n, struct err *e)
{
	struct model *m = NULL;

	return kind.fit(&m, config, (struct examples){ examples, n }, &settings, e) < 0 ? NULL : m;
}

#define SAYS 240

/* "b 0.95 a:0.05 b:0.95 -c" or the error's message. */
static const char *says(const struct model *m, const char *text, const struct label_config *config, char out[SAYS])
{
	struct arena      a;
	struct prediction p;
	struct err        e = { 0 };
	struct task       task;
	char              data[100];
	size_t            n;

	arena_init(&a, 1 << 20);
	snprintf(data, sizeof data, "{\"body\": \"%s\"}", text);
	task = (struct task){ .json = span_of(data), .data = span_of(data) };
	if (kind.predict(m, &task, (struct span){ NULL, 0 }, &a, &p, &e) < 0) {
		snprintf(out, SAYS, "%s", e.msg);
	} else {
		assert_int_equal(prediction_check(&p, config, &e), 0);
		n = (size_t)snprintf(out, SAYS, "%s %.2f", p.n_regions > 0 ? p.regions->names[0] : "none", p.score);
		for (size_t i = 0; i < p.n_proba; i++)
			n += (size_t)snprintf(out + n, SAYS - n, p.trained[i] ? " %s:%.2f" : " -%s", config->choices->labels[i].name, p.proba[i]);
	}
	arena_clear(&a);
	return out;
}

static void test_cold_is_of_the_names(void **state)
{
	struct label_config *config = config_of(CHOICE("apple") CHOICE("berry") CHOICE("apricot"));
	struct model        *m = NULL;
	char                 out[SAYS];

	(void)state;
	assert_int_equal(kind.cold(&m, config, &settings, NULL), 0);
	assert_string_equal(says(m, "blue", config, out), "berry 0.58 apple:0.21 berry:0.58 apricot:0.21");
	assert_true(kind.bytes(m) > sizeof "apple;berry;apricot;");
	kind.free(m);
	kind.free(NULL);
	label_config_free(config);
}

static void test_fit(void **state)
{
	const struct example same[] = { examples[0], examples[2] };     /* two of one label */
	struct label_config *config = config_of(CHOICE("a") CHOICE("b") CHOICE("c"));
	struct err           e = { 0 };
	struct model        *m;
	char                 out[SAYS];

	(void)state;
	assert_null(fitted(config, 1, &e));
	assert_int_equal(e.code, ERR_TOO_FEW);
	assert_string_equal(e.msg, "needs 2 labels, has 1");
	err_clear(&e);
	assert_int_equal(kind.fit(&m, config, (struct examples){ same, countof(same) }, &settings, &e), -1);
	assert_string_equal(e.msg, "needs 2 labels, has 1");
	err_clear(&e);
	assert_null(fitted(config, 0, &e));
	assert_string_equal(e.msg, "needs 2 labels, has 0");
	m = fitted(config, countof(examples), &e);
	assert_non_null(m);
	/* three x in b's notes; c has no example and is not chosen */
	assert_string_equal(says(m, "x", config, out), "b 0.95 a:0.05 b:0.95 -c");
	assert_string_equal(says(m, "p", config, out), "a 0.73 a:0.73 b:0.27 -c");
	assert_string_equal(says(m, "", config, out), "a 0.50 a:0.50 b:0.50 -c");
	assert_string_equal(says(m, "nan", config, out), "the score of label 1 is not finite");
	kind.free(m);
	label_config_free(config);
}

/* Of several labels each gets the text, and the best one is proposed. */
static void test_fit_of_sets(void **state)
{
	static const char several[] = "[{\"type\":\"choices\",\"from_name\":\"c\",\"value\":{\"choices\":[\"b\",\"a\",\"gone\"]}}]";
	const struct example sets[] = {
		{ .annotation = 1, .text = { "xyz", 3 }, .label = { "a", 1 }, .result = { several, sizeof several - 1 } },
		{ .annotation = 2, .text = { "xx", 2 }, .label = { "b", 1 } },
	};
	struct label_config *config = NULL;
	struct model        *m = NULL;
	char                 out[SAYS];

	(void)state;
	assert_int_equal(label_config_parse(&config, span_of("<View><Text name='t' value='$body'/><Choices name='c' toName='t' "
		"choice='multiple'>" CHOICE("a") CHOICE("b") CHOICE("c") "</Choices></View>"), NULL), 0);
	assert_int_equal(kind.fit(&m, config, (struct examples){ sets, countof(sets) }, &settings, NULL), 0);
	assert_string_equal(says(m, "z", config, out), "a 0.50 a:0.50 b:0.50 -c");
	assert_string_equal(says(m, "x", config, out), "b 0.88 a:0.12 b:0.88 -c");
	kind.free(m);
	label_config_free(config);
}

static int read_part(void *arg, const char *name, struct span *bytes, struct err *e)
{
	(void)e;
	*bytes = *(struct span *)arg;
	return strcmp(name, "notes") == 0 && bytes->p != NULL ? 0 : 1;
}

static int load(struct model **m, const struct label_config *config, struct span bytes, struct err *e)
{
	const struct part_source source = { read_part, &bytes };

	*m = NULL;
	err_clear(e);
	return kind.load(m, config, &settings, 1, &source, e);
}

static void test_kept_by_the_labels_names(void **state)
{
	static const struct { const char *labels; int rc; const char *says; } cases[] = {
		{ CHOICE("a") CHOICE("b") CHOICE("c"), 0, "b 0.95 a:0.05 b:0.95 -c" },
		{ CHOICE("c") CHOICE("b") CHOICE("a"), 0, "b 0.95 -c b:0.95 a:0.05" },
		{ CHOICE("a") CHOICE("c"), 0, "a 1.00 a:1.00 -c" },
		{ CHOICE("c"), 1, NULL }, { CHOICE("d"), 1, NULL },
	};
	struct label_config *config = config_of(CHOICE("a") CHOICE("b") CHOICE("c")), *other;
	struct model_parts   parts = { .n = 0 }, again = { .n = 0 };
	struct err           e = { 0 };
	struct model        *m = fitted(config, countof(examples), &e), *read;
	char                 out[SAYS];

	(void)state;
	assert_int_equal(kind.save(m, &parts, &e), 0);
	kind.free(m);
	for (size_t i = 0; i < countof(cases); i++) {
		other = config_of(cases[i].labels);
		assert_int_equal(load(&read, other, buf_span(&parts.v[0].bytes), &e), cases[i].rc);
		assert_true((read == NULL) == (cases[i].rc != 0));
		if (read != NULL)
			assert_string_equal(says(read, "x", other, out), cases[i].says);
		if (i == 1)     /* a tie goes to the first that has examples */
			assert_string_equal(says(read, "", other, out), "b 0.50 -c b:0.50 a:0.50");
		if (i == 0) {
			assert_int_equal(kind.save(read, &again, &e), 0);
			assert_true(span_eq(buf_span(&again.v[0].bytes), buf_span(&parts.v[0].bytes)));
		}
		kind.free(read);
		label_config_free(other);
	}
	model_parts_clear(&parts);
	model_parts_clear(&again);
	label_config_free(config);
}

/* Cut anywhere, or with any bit turned: refused, or read as what it then says. */
static void test_damaged_notes(void **state)
{
	struct label_config *config = config_of(CHOICE("a") CHOICE("b") CHOICE("c"));
	struct model_parts   parts = { .n = 0 };
	struct err           e = { 0 };
	struct model        *m = fitted(config, countof(examples), &e);
	struct span          whole;
	char                *bytes, out[SAYS];
	size_t               refused = 0;

	(void)state;
	assert_int_equal(kind.save(m, &parts, &e), 0);
	kind.free(m);
	whole = buf_span(&parts.v[0].bytes);
	assert_int_equal(load(&m, config, (struct span){ NULL, 0 }, &e), -1);
	assert_int_equal(e.code, ERR_DAMAGED);
	for (size_t n = 0; n < whole.len; n++) {
		assert_non_null(bytes = malloc(n + 1));
		memcpy(bytes, whole.p, n);
		assert_int_equal(load(&m, config, (struct span){ bytes, n }, &e), -1);
		assert_int_equal(e.code, ERR_DAMAGED);
		free(bytes);
	}
	assert_non_null(bytes = malloc(whole.len));
	memcpy(bytes, whole.p, whole.len);
	for (size_t bit = 0; bit < whole.len * 8; bit++) {
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		if (load(&m, config, (struct span){ bytes, whole.len }, &e) < 0) {
			assert_int_equal(e.code, ERR_DAMAGED);
			refused++;
		} else if (m != NULL) {
			says(m, "x", config, out);
		}
		kind.free(m);
		bytes[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_true(refused > whole.len * 4);
	free(bytes);
	model_parts_clear(&parts);
	label_config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cold_is_of_the_names), cmocka_unit_test(test_fit), cmocka_unit_test(test_fit_of_sets),
		cmocka_unit_test(test_kept_by_the_labels_names), cmocka_unit_test(test_damaged_notes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
