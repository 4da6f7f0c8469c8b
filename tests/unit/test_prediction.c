/* test_prediction.c - the form in which Label Studio gets a prediction. */
#include "studio/prediction.h"
#include "base/json.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct control_tag label = { .name = "label", .type = "Choices" };
static const struct control_tag odd = { .name = "a \"b\"\n", .type = "Choices" };

static void check_json(const struct prediction *p, const char *version, const char *want)
{
	struct buf  b;
	struct span value;

	buf_init(&b, 1 << 20);
	prediction_put_json(p, version, &b);
	assert_int_equal(b.failed, ERR_OK);
	assert_int_equal(json_check(buf_span(&b), &value, NULL), 0);
	assert_string_equal(b.p, want);
	buf_clear(&b);
}

static void test_form(void **state)
{
	static const char *const positive[] = { "positive" };
	static const char *const two[] = { "R&D <\"x\">", "日本\x01" };
	const struct region regions[] = {
		{ .control = &label, .to_name = "text", .type = REGION_CHOICES, .names = positive, .n_names = 1, .score = 0.93 },
		{ .control = &odd, .to_name = "t\\x", .type = REGION_CHOICES, .names = two, .n_names = 2, .score = 0.125 },
		{ .control = &label, .to_name = "text", .type = REGION_CHOICES, .names = NULL, .n_names = 0, .score = 1 },
	};

	(void)state;
	/* interface.md, but for white space */
	check_json(&(struct prediction){ .score = 0.93, .regions = regions, .n_regions = 1 },
	           "tfidf_logreg-7-3f9c2a",
	           "{\"model_version\":\"tfidf_logreg-7-3f9c2a\",\"score\":0.93,\"result\":[{\"from_name\":\"label\","
	           "\"to_name\":\"text\",\"type\":\"choices\",\"score\":0.93,\"value\":{\"choices\":[\"positive\"]}}]}");
	check_json(&(struct prediction){ .score = 0.5, .regions = regions + 1, .n_regions = 2 }, "v",
	           "{\"model_version\":\"v\",\"score\":0.5,\"result\":[{\"from_name\":\"a \\\"b\\\"\\n\","
	           "\"to_name\":\"t\\\\x\",\"type\":\"choices\",\"score\":0.125,\"value\":{\"choices\":"
	           "[\"R&D <\\\"x\\\">\",\"日本\\u0001\"]}},{\"from_name\":\"label\",\"to_name\":\"text\","
	           "\"type\":\"choices\",\"score\":1,\"value\":{\"choices\":[]}}]}");
	check_json(&(struct prediction){ .score = 0 }, "v",
	           "{\"model_version\":\"v\",\"score\":0,\"result\":[]}");
}

/* Whatever a model says, what comes out is a number from 0 to 1. */
static void test_scores(void **state)
{
	static const struct { double score; const char *json; } cases[] = {
		{ NAN, "0" }, { -NAN, "0" }, { INFINITY, "1" }, { -INFINITY, "0" }, { -0.0, "0" },
		{ -0.25, "0" }, { 1.0000000000000002, "1" }, { DBL_MAX, "1" }, { -DBL_MAX, "0" },
		{ 1, "1" }, { 0, "0" }, { 0.5, "0.5" }, { 0.1, "0.1" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct region r = { .control = &label, .to_name = "text", .score = cases[i].score };
		char          want[300];

		snprintf(want, sizeof want, "{\"model_version\":\"v\",\"score\":%s,\"result\":[{\"from_name\":"
		         "\"label\",\"to_name\":\"text\",\"type\":\"choices\",\"score\":%s,"
		         "\"value\":{\"choices\":[]}}]}", cases[i].json, cases[i].json);
		check_json(&(struct prediction){ .score = cases[i].score, .regions = &r, .n_regions = 1 },
		           "v", want);
	}
}

/* The digits are enough to read the same number, and no locale changes them. */
static void test_round_trip(void **state)
{
	static const double scores[] = { 1.0 / 3, 0.1 + 0.2, DBL_MIN, 0x1.fffffffffffffp-1, 0x1p-1074, 2.0 / 3 };

	(void)state;
	for (size_t i = 0; i < countof(scores); i++) {
		struct buf  b;
		struct span object, value;
		double      x;

		buf_init(&b, 1000);
		prediction_put_json(&(struct prediction){ .score = scores[i] }, "v", &b);
		assert_int_equal(json_check(buf_span(&b), &object, NULL), 0);
		assert_int_equal(json_member(object, "score", &value), 0);
		assert_int_equal(json_real(value, &x), 0);
		assert_true(x == scores[i]);
		buf_clear(&b);
	}
}

/* With several kinds for a project the first region may be another control's. */
static void test_choice_of_a_control(void **state)
{
	static struct label        names[] = { { .name = "good" }, { .name = "bad" } };
	static const struct control_tag choices = { .name = "c", .type = "Choices", .labels = names, .n_labels = 2 },
	                                spans = { .name = "s", .type = "Labels", .labels = names, .n_labels = 1 };
	static const char *const   good[] = { "good" }, *const bad[] = { "bad" };
	const struct region        r[] = {
		{ .type = REGION_LABELS, .control = &spans, .names = good, .n_names = 1 },
		{ .type = REGION_CHOICES, .control = &choices, .names = bad, .n_names = 1 },
	};

	(void)state;
	assert_int_equal(prediction_choice(&(struct prediction){ .regions = r, .n_regions = 2 }, &choices), 1);
	assert_int_equal(prediction_choice(&(struct prediction){ .regions = r, .n_regions = 1 }, &choices), -1);
	assert_int_equal(prediction_choice(&(struct prediction){ .score = 0 }, &choices), -1);
}

/* What a model may answer, and no more: Label Studio keeps whatever it is given. */
static void test_checked(void **state)
{
	static const char xml[] = "<View><Text name=\"text\" value=\"$text\"/>"
		"<Choices name=\"c\" toName=\"text\"><Choice value=\"good\"/><Choice value=\"bad\"/></Choices>"
		"<Labels name=\"l\" toName=\"text\"><Label value=\"Food\"/></Labels>"
		"<Rating name=\"r\" toName=\"text\"/></View>";
	static const char *const good[] = { "good" }, *const food[] = { "Food" }, *const both[] = { "bad", "worse" };
	struct label_config *config;
	struct err           e = { 0 };

	(void)state;
	assert_int_equal(label_config_parse(&config, (struct span){ xml, sizeof xml - 1 }, &e), 0);
	assert_int_equal(config->n_controls, 3);
	const struct control_tag *c = &config->controls[0], *l = &config->controls[1], *r = &config->controls[2];
	const struct { struct region region; const char *why; } cases[] = {
		{ { REGION_CHOICES, c, "text", good, 1, .score = 1 }, NULL },
		{ { REGION_CHOICES, c, "text", NULL, 0, .score = 0 }, NULL },
		{ { REGION_LABELS, l, "text", food, 1, .start = 3, .end = 3 }, NULL },
		{ { REGION_LABELS, l, "text", food, 1, .start = INT64_MAX, .end = INT64_MAX }, NULL },
		{ { REGION_RATING, r, "text", .number = 4, .score = 0.5 }, NULL },
		{ { REGION_CHOICES, &label, "text", good, 1, .score = 0 }, "a control that the config lacks" },
		{ { REGION_CHOICES, &config->controls[3], "text", good, 1, .score = 0 }, "a control that the config lacks" },
		{ { REGION_CHOICES, c, NULL, good, 1, .score = 0 }, "an object that c is not over" },
		{ { REGION_CHOICES, c, "tex", good, 1, .score = 0 }, "an object that c is not over" },
		{ { REGION__MAX, c, "text", good, 1, .score = 0 }, "gives c, a Choices, what it can't hold" },
		{ { REGION_LABELS, c, "text", good, 1, .score = 0 }, "gives c, a Choices, what it can't hold" },
		{ { REGION_NUMBER, r, "text", .score = 0 }, "gives r, a Rating, what it can't hold" },
		{ { REGION_CHOICES, c, "text", food, 1, .score = 0 }, "a label that c lacks" },
		{ { REGION_CHOICES, c, "text", both, 2, .score = 0 }, "a label that c lacks" },
		{ { REGION_LABELS, l, "text", good, 1, .score = 0 }, "a label that l lacks" },
		{ { REGION_LABELS, l, "text", food, 1, .start = -1, .end = 3 }, "ends before it begins" },
		{ { REGION_LABELS, l, "text", food, 1, .start = INT64_MAX, .end = INT64_MAX - 1 }, "ends before it begins" },
		{ { REGION_RATING, r, "text", .number = NAN }, "number for r is not finite" },
		{ { REGION_RATING, r, "text", .number = INFINITY }, "number for r is not finite" },
		{ { REGION_CHOICES, c, "text", good, 1, .score = NAN }, "score is not finite" },
	};

	for (size_t i = 0; i < countof(cases); i++) {
		const struct region two[] = { cases[0].region, cases[i].region };
		const int           rc = prediction_check(&(struct prediction){ .score = 1, .regions = two, .n_regions = 2 }, config, &e);

		if (rc != (cases[i].why == NULL ? 0 : -1) || (rc < 0 && (e.code != ERR_DAMAGED || strstr(e.msg, cases[i].why) == NULL)))
			fail_msg("case %zu: %d, %s", i, rc, e.msg);
		err_clear(&e);
	}
	assert_int_equal(prediction_check(&(struct prediction){ .score = -INFINITY }, config, &e), -1);
	assert_int_equal(e.code, ERR_DAMAGED);
	label_config_free(config);
}

static void test_appends_and_fails(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	buf_adds(&b, "[");
	prediction_put_json(&(struct prediction){ .score = 1 }, "v", &b);
	buf_adds(&b, "]");
	assert_string_equal(b.p, "[{\"model_version\":\"v\",\"score\":1,\"result\":[]}]");
	buf_clear(&b);
	buf_init(&b, 20);
	prediction_put_json(&(struct prediction){ .score = 1 }, "v", &b);
	assert_int_equal(b.failed, ERR_TOO_LARGE);
	buf_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_scores),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_choice_of_a_control),
		cmocka_unit_test(test_checked),
		cmocka_unit_test(test_appends_and_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
