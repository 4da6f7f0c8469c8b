/* test_annotation.c - annotations and tasks of events and exports. */
#include "studio/annotation.h"
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct span checked(const char *json)
{
	struct span value;
	struct err  e = { 0 };

	if (json_check(span_of(json), &value, &e) < 0)
		fail_msg("%s: %s", json, e.msg);
	return value;
}

/* ---- objects ---- */

static void test_annotation(void **state)
{
	struct annotation a;
	struct err        e = { 0 };

	(void)state;
	assert_int_equal(annotation_parse(&a, checked("{\"id\": 7, \"task\": 9007199254740993, \"project\": 1,"
		" \"result\": [ {} ], \"was_cancelled\": true, \"ground_truth\": false, \"completed_by\": 4,"
		" \"updated_at\": \"2026-11-22T00:10:00.973798Z\"}"), "annotation", &e), 0);
	assert_int_equal(a.id, 7);
	assert_true(a.task == 9007199254740993);        /* 2^53 + 1 */
	assert_true(span_is(a.result, "[ {} ]"));
	assert_true(a.was_cancelled);
	assert_false(a.ground_truth);
	assert_int_equal(a.completed_by, 4);
	assert_true(a.updated_us == 1795306200973798);

	assert_int_equal(annotation_parse(&a, checked("{\"ground_truth\": true, \"was_cancelled\": false,"
		" \"completed_by\": {\"id\": 12, \"email\": \"x\"}, \"id\": 9223372036854775807}"), "a", &e), 0);
	assert_true(a.id == INT64_MAX);
	assert_int_equal(a.task, 0);
	assert_true(a.ground_truth);
	assert_false(a.was_cancelled);
	assert_int_equal(a.completed_by, 12);
	assert_true(a.updated_us == UPDATED_UNKNOWN);
	assert_true(span_is(a.result, "[]"));

	assert_int_equal(annotation_parse(&a, checked("{\"id\": 1, \"task\": null, \"result\": null,"
		" \"was_cancelled\": null, \"ground_truth\": null, \"completed_by\": null,"
		" \"updated_at\": null}"), "a", &e), 0);
	assert_int_equal(a.task, 0);
	assert_int_equal(a.completed_by, 0);
	assert_true(span_is(a.result, "[]"));
	assert_true(a.updated_us == UPDATED_UNKNOWN);

	assert_int_equal(annotation_parse(&a, checked("{\"id\": 1, \"completed_by\": {}}"), "a", &e), 0);
	assert_int_equal(a.completed_by, 0);
	/* No label is refused for who gave it. */
	assert_int_equal(annotation_parse(&a, checked("{\"id\": 1, \"completed_by\": \"me\"}"), "a", &e), 0);
	assert_int_equal(a.completed_by, 0);
	assert_int_equal(annotation_parse(&a, checked("{\"id\": 1, \"completed_by\": 0}"), "a", &e), 0);
	assert_int_equal(a.completed_by, 0);
	assert_int_equal(e.code, ERR_OK);
}

static void test_wrong_annotations(void **state)
{
	static const struct { const char *json, *message; } cases[] = {
		{ "[]",                        "annotations[3] is not an object" },
		{ "null",                      "annotations[3] is not an object" },
		{ "{}",                        "annotations[3].id is missing" },
		{ "{\"id\": null}",            "annotations[3].id is missing" },
		{ "{\"id\": \"1\"}",           "annotations[3].id is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": 0}",               "annotations[3].id is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": -1}",              "annotations[3].id is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": 1.5}",             "annotations[3].id is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": 1e3}",             "annotations[3].id is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": true}",            "annotations[3].id is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": 9223372036854775808}",  "annotations[3].id is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": 99999999999999999999}", "annotations[3].id is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": 1, \"task\": 0}",  "annotations[3].task is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": 1, \"task\": {\"id\": 1}}", "annotations[3].task is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": 1, \"result\": {}}",        "annotations[3].result is not an array" },
		{ "{\"id\": 1, \"result\": \"[]\"}",    "annotations[3].result is not an array" },
		{ "{\"id\": 1, \"was_cancelled\": 0}",  "annotations[3].was_cancelled is neither true nor false" },
		{ "{\"id\": 1, \"ground_truth\": \"true\"}", "annotations[3].ground_truth is neither true nor false" },
		{ "{\"id\": 1, \"updated_at\": 5}",     "annotations[3].updated_at is not a time (ISO 8601)" },
		{ "{\"id\": 1, \"updated_at\": \"\"}",  "annotations[3].updated_at is not a time (ISO 8601)" },
		{ "{\"id\": 1, \"updated_at\": \"2026-13-01T00:00:00Z\"}", "annotations[3].updated_at is not a time (ISO 8601)" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct annotation a;
		struct err        e = { 0 };

		if (annotation_parse(&a, checked(cases[i].json), "annotations[3]", &e) == 0)
			fail_msg("%s was taken", cases[i].json);
		assert_int_equal(e.code, ERR_SHAPE);
		assert_string_equal(e.msg, cases[i].message);
	}
}

static void test_task(void **state)
{
	static const struct { const char *json, *message; } cases[] = {
		{ "7", "tasks[0] is not an object" },
		{ "{\"data\": {}}", "tasks[0].id is missing" },
		{ "{\"id\": 18446744073709551617, \"data\": {}}", "tasks[0].id is not a whole number from 1 to 2^63 - 1" },
		{ "{\"id\": 1}", "tasks[0].data is missing" },
		{ "{\"id\": 1, \"data\": null}", "tasks[0].data is missing" },
		{ "{\"id\": 1, \"data\": []}", "tasks[0].data is not an object" },
		{ "{\"id\": 1, \"data\": {}, \"updated_at\": \"x\"}", "tasks[0].updated_at is not a time (ISO 8601)" },
	};
	struct ls_task t;
	struct err     e = { 0 };
	int64_t        id;

	(void)state;
	assert_int_equal(ls_task_parse(&t, checked("{\"id\": 5, \"data\": {\"text\": \"x\"}, \"updated_at\":"
		" \"2026-11-22T00:10:01Z\"}"), "task", &e), 0);
	assert_int_equal(t.id, 5);
	assert_true(span_is(t.data, "{\"text\": \"x\"}"));
	assert_true(t.updated_us == 1795306201000000);
	assert_int_equal(ls_task_parse(&t, checked("{\"id\": 5, \"data\": {}}"), "task", &e), 0);
	assert_true(t.updated_us == UPDATED_UNKNOWN);
	for (size_t i = 0; i < countof(cases); i++) {
		err_clear(&e);
		assert_int_equal(ls_task_parse(&t, checked(cases[i].json), "tasks[0]", &e), -1);
		assert_int_equal(e.code, ERR_SHAPE);
		assert_string_equal(e.msg, cases[i].message);
	}

	err_clear(&e);
	assert_int_equal(ls_id_parse(&id, checked("{\"id\": 23}"), "annotations[0]", &e), 0);
	assert_int_equal(id, 23);
	assert_int_equal(ls_id_parse(&id, checked("23"), "annotations[0]", &e), -1);
	assert_string_equal(e.msg, "annotations[0] is not an object");
}

/* ---- labels ---- */

static const char xml[] =
	"<View><Text name='text' value='$text'/><Text name='other' value='$o'/>"
	"<Labels name='ner' toName='text'><Label value='positive'/></Labels>"
	"<Choices name='label' toName='text,other'><Choice value='positive'/><Choice value='neg' alias='negative'/>"
	"<Choice value='caf&#233; &amp; \"bar\"'/></Choices>"
	"<Choices name='second' toName='text'><Choice value='positive'/></Choices></View>";

#define REGION(from, to, type, value) \
	"{\"from_name\": \"" from "\", \"to_name\": \"" to "\", \"type\": \"" type "\", \"value\": " value "}"
#define CHOICE(list) REGION("label", "text", "choices", "{\"choices\": " list "}")

static const struct {
	const char            *what, *result;
	enum annotation_outcome outcome;
	const char            *label;
} labels[] = {
	{ "plain",             "[" CHOICE("[\"positive\"]") "]", ANNOTATION_LABEL, "positive" },
	{ "alias",             "[" CHOICE("[\"negative\"]") "]", ANNOTATION_LABEL, "negative" },
	{ "value that has an alias", "[" CHOICE("[\"neg\"]") "]", ANNOTATION_UNKNOWN_LABEL, NULL },
	{ "escapes",           "[" CHOICE("[\"caf\\u00e9 & \\\"bar\\\"\"]") "]", ANNOTATION_LABEL, "café & \"bar\"" },
	{ "removed label",     "[" CHOICE("[\"gone\"]") "]", ANNOTATION_UNKNOWN_LABEL, NULL },
	{ "other case",        "[" CHOICE("[\"Positive\"]") "]", ANNOTATION_UNKNOWN_LABEL, NULL },
	{ "NUL behind",        "[" CHOICE("[\"positive\\u0000\"]") "]", ANNOTATION_UNKNOWN_LABEL, NULL },
	{ "several",           "[" CHOICE("[\"negative\", \"positive\"]") "]", ANNOTATION_LABEL, "negative" },
	{ "several, the first unknown", "[" CHOICE("[\"gone\", \"positive\"]") "]", ANNOTATION_UNKNOWN_LABEL, NULL },
	{ "nested",            "[" CHOICE("[[\"gone\", \"negative\"]]") "]", ANNOTATION_LABEL, "negative" },
	{ "nested, empty",     "[" CHOICE("[[]]") "]", ANNOTATION_EMPTY, NULL },
	{ "other object of the control", "[" REGION("label", "other", "choices", "{\"choices\": [\"positive\"]}") "]",
	  ANNOTATION_LABEL, "positive" },
	{ "no to_name",        "[{\"from_name\": \"label\", \"type\": \"choices\", \"value\": {\"choices\": [\"positive\"]}}]",
	  ANNOTATION_LABEL, "positive" },
	{ "foreign to_name",   "[" REGION("label", "img", "choices", "{\"choices\": [\"positive\"]}") "]", ANNOTATION_EMPTY, NULL },
	{ "behind others",     "[" REGION("ner", "text", "labels", "{\"start\": 0, \"end\": 3, \"labels\": [\"positive\"]}") ","
	                       REGION("second", "text", "choices", "{\"choices\": [\"positive\"]}") ","
	                       CHOICE("[\"negative\"]") "]", ANNOTATION_LABEL, "negative" },
	{ "of another control", "[" REGION("second", "text", "choices", "{\"choices\": [\"positive\"]}") "]", ANNOTATION_EMPTY, NULL },
	{ "of another type",   "[" REGION("label", "text", "labels", "{\"choices\": [\"positive\"]}") "]", ANNOTATION_EMPTY, NULL },
	{ "per region",        "[" REGION("label", "text", "choices",
	                       "{\"start\": 0, \"end\": 4, \"text\": \"Fine\", \"choices\": [\"positive\"]}") "]", ANNOTATION_LABEL, "positive" },
	{ "two, the first without", "[" CHOICE("[]") "," CHOICE("[\"positive\"]") "]", ANNOTATION_LABEL, "positive" },
	{ "two, the first counts",  "[" CHOICE("[\"negative\"]") "," CHOICE("[\"positive\"]") "]", ANNOTATION_LABEL, "negative" },
	{ "two, the first unknown", "[" CHOICE("[\"gone\"]") "," CHOICE("[\"positive\"]") "]", ANNOTATION_UNKNOWN_LABEL, NULL },
	{ "empty result",      "[]", ANNOTATION_EMPTY, NULL },
	{ "no array",          "{}", ANNOTATION_EMPTY, NULL },
	{ "empty list",        "[" CHOICE("[]") "]", ANNOTATION_EMPTY, NULL },
	{ "a number",          "[" CHOICE("[7]") "]", ANNOTATION_EMPTY, NULL },
	{ "a string",          "[" CHOICE("\"positive\"") "]", ANNOTATION_EMPTY, NULL },
	{ "no value",          "[{\"from_name\": \"label\", \"to_name\": \"text\", \"type\": \"choices\"}]", ANNOTATION_EMPTY, NULL },
	{ "regions of any kind", "[null, 7, \"x\", [], {}, {\"type\": 7}]", ANNOTATION_EMPTY, NULL },
};

static void check_label(const struct label_config *config, const char *what, struct span result,
                        enum annotation_outcome want, const char *name)
{
	enum annotation_outcome outcome = ANNOTATION__MAX;
	struct arena            scratch;
	struct span             label = SPAN("untouched");
	struct err              e = { 0 };

	arena_init(&scratch, 1 << 20);
	assert_int_equal(annotation_label(result, config, &scratch, &outcome, &label, &e), 0);
	if (outcome != want || !span_is(label, name == NULL ? "untouched" : name))
		fail_msg("%s: outcome %d, \"%.*s\"", what, outcome, (int)label.len, label.p);
	arena_clear(&scratch);
	/* It is the config's own string: it outlives scratch and document. */
	if (name != NULL)
		assert_ptr_equal(label.p, config->choices->labels[control_label(config->choices, label)].name);
}

static void test_labels(void **state)
{
	struct label_config *config = NULL;
	struct err           e = { 0 };

	(void)state;
	assert_int_equal(label_config_parse(&config, span_of(xml), &e), 0);
	for (size_t i = 0; i < countof(labels); i++)
		check_label(config, labels[i].what, checked(labels[i].result), labels[i].outcome, labels[i].label);
	label_config_free(config);

	assert_int_equal(label_config_parse(&config, SPAN("<View/>"), &e), 0);
	check_label(config, "no Choices", checked("[" CHOICE("[\"positive\"]") "]"), ANNOTATION_EMPTY, NULL);
	label_config_free(config);
}

/* Where any number may be chosen: the places of the labels, "positive" 0, "negative" 1, "café…" 2. */
static void test_label_sets(void **state)
{
	static const struct { const char *what, *result; enum annotation_outcome outcome; const char *at; } cases[] = {
		{ "one",               "[" CHOICE("[\"positive\"]") "]", ANNOTATION_LABEL, "0" },
		{ "in the config's order", "[" CHOICE("[\"caf\\u00e9 & \\\"bar\\\"\", \"positive\"]") "]", ANNOTATION_LABEL, "02" },
		{ "each once",         "[" CHOICE("[\"negative\", \"negative\"]") "," CHOICE("[\"negative\"]") "]", ANNOTATION_LABEL, "1" },
		{ "of all regions",    "[" CHOICE("[\"negative\"]") "," CHOICE("[]") "," CHOICE("[\"positive\"]") "]", ANNOTATION_LABEL, "01" },
		{ "none of another control", "[" REGION("second", "text", "choices", "{\"choices\": [\"positive\"]}") ","
		                       CHOICE("[\"negative\"]") "]", ANNOTATION_LABEL, "1" },
		{ "an unknown one is passed over", "[" CHOICE("[\"gone\", \"positive\"]") "]", ANNOTATION_LABEL, "0" },
		{ "an unknown one behind", "[" CHOICE("[\"positive\", \"gone\"]") "]", ANNOTATION_LABEL, "0" },
		{ "nothing but unknown", "[" CHOICE("[\"gone\", \"neg\"]") "]", ANNOTATION_UNKNOWN_LABEL, "" },
		{ "nested",            "[" CHOICE("[[\"positive\", \"negative\"], [\"positive\"]]") "]", ANNOTATION_LABEL, "01" },
		{ "no names",          "[" CHOICE("[7, null, []]") "]", ANNOTATION_EMPTY, "" },
		{ "none chosen",       "[" CHOICE("[]") "]", ANNOTATION_EMPTY, "" },
		{ "empty",             "[]", ANNOTATION_EMPTY, "" },
		{ "no list",           "[" CHOICE("\"positive\"") "]", ANNOTATION_EMPTY, "" },
		{ "no array",          "{}", ANNOTATION_EMPTY, "" },
	};
	struct label_config *config = NULL;
	struct arena         scratch;
	struct err           e = { 0 };

	(void)state;
	assert_int_equal(label_config_parse(&config, span_of(xml), &e), 0);
	arena_init(&scratch, 1 << 20);
	for (size_t i = 0; i < countof(cases); i++) {
		enum annotation_outcome outcome = ANNOTATION__MAX;
		const uint32_t         *at;
		char                    got[8] = "";
		size_t                  n = 99;

		assert_int_equal(annotation_labels(checked(cases[i].result), config, &scratch, &outcome, &at, &n, &e), 0);
		for (size_t k = 0; k < n; k++)
			got[k] = (char)('0' + at[k]);
		if (outcome != cases[i].outcome || strcmp(got, cases[i].at) != 0)
			fail_msg("%s: outcome %d, \"%s\"", cases[i].what, outcome, got);
	}
	arena_clear(&scratch);
	label_config_free(config);
}

static void test_out_of_memory(void **state)
{
	struct label_config    *config = NULL;
	enum annotation_outcome outcome;
	struct arena            scratch;
	struct span             label;
	struct err              e = { 0 };

	(void)state;
	assert_int_equal(label_config_parse(&config, span_of(xml), &e), 0);
	arena_init(&scratch, 1);
	assert_int_equal(annotation_label(checked("[" CHOICE("[\"caf\\u00e9 & \\\"bar\\\"\"]") "]"), config, &scratch,
	                                  &outcome, &label, &e), -1);
	assert_int_equal(e.code, ERR_MEMORY);
	arena_clear(&scratch);
	label_config_free(config);
}

/* ---- what Label Studio sent ---- */

/* The recorded export: ids, tasks, what is a label and what is none. */
static void test_recorded_export(void **state)
{
	static const struct {
		int64_t                 id, task;
		bool                    cancelled, truth;
		enum annotation_outcome outcome;
		const char             *label;
	} want[] = {
		{  2,  2, true,  false, ANNOTATION_EMPTY, NULL },
		{  3,  3, true,  false, ANNOTATION_EMPTY, NULL },
		{  4,  4, false, false, ANNOTATION_EMPTY, NULL },
		{  5,  5, false, true,  ANNOTATION_LABEL, "positive" },
		{  6,  5, false, false, ANNOTATION_LABEL, "negative" },
		{ 10, 10, false, false, ANNOTATION_LABEL, "positive" },
		{ 11, 10, false, false, ANNOTATION_LABEL, "positive" },
		{ 12, 13, false, true,  ANNOTATION_LABEL, "negative" },
	};
	static const char config_xml[] = "<View><Text name='text' value='$text'/><Choices name='label' toName='text'>"
		"<Choice value='positive'/><Choice value='negative'/></Choices></View>";
	static char          path[] = __FILE__ "/with/room/for/the/name/of/the/data/file";
	struct label_config *config = NULL;
	struct err           e = { 0 };
	struct buf           b;
	struct span          export, task, value, annotations;
	struct json_iter     tasks, it;
	size_t               n = 0;
	FILE                *f;

	(void)state;
	strcpy(strstr(path, "/test_annotation.c"), "/../data/protocol/api-export.json");
	assert_non_null(f = fopen(path, "r"));
	buf_init(&b, 1 << 20);
	assert_non_null(buf_room(&b, 100000));
	b.len = fread(b.p, 1, 100000, f);
	fclose(f);
	assert_int_equal(json_check(buf_span(&b), &export, &e), 0);
	assert_int_equal(label_config_parse(&config, span_of(config_xml), &e), 0);
	for (tasks = json_each(export); json_next(&tasks, NULL, &task); ) {
		struct ls_task t;

		assert_int_equal(ls_task_parse(&t, task, "task", &e), 0);
		assert_int_equal(json_member(task, "annotations", &annotations), 0);
		for (it = json_each(annotations); json_next(&it, NULL, &value); n++) {
			struct annotation a;

			assert_int_equal(annotation_parse(&a, value, "annotation", &e), 0);
			assert_true(n < countof(want));
			assert_int_equal(a.id, want[n].id);
			assert_int_equal(a.task, want[n].task);
			assert_int_equal(t.id, want[n].task);
			assert_int_equal(a.was_cancelled, want[n].cancelled);
			assert_int_equal(a.ground_truth, want[n].truth);
			assert_int_equal(a.completed_by, 1);
			assert_true(a.updated_us > 1795306201000000 && a.updated_us < 1795306207000000);
			check_label(config, "recorded", a.result, want[n].outcome, want[n].label);
		}
	}
	assert_int_equal(n, countof(want));
	label_config_free(config);
	buf_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_annotation),
		cmocka_unit_test(test_wrong_annotations),
		cmocka_unit_test(test_task),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_label_sets),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_recorded_export),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
