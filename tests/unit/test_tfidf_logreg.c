/*
 * test_tfidf_logreg.c - the model kind: what it answers, what it stores, and what
 * it makes of stored bytes that are wrong.
 */
#include "models/part.h"
#include "models/tfidf_logreg.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct model_kind *const kind = &model_tfidf_logreg;

/* -- a config of labels ------------------------------------------------------------ */

#define LABELS_MAX 8

struct set_up {
	struct label_config config;
	struct control_tag  control;
	struct object_tag   object;
	struct label        labels[LABELS_MAX];
};

static void labels(struct set_up *s, const char *const *names, size_t n)
{
	*s = (struct set_up){ .object = { .name = "text", .type = "Text", .value = "body" } };
	for (size_t i = 0; i < n; i++)
		s->labels[i].name = names[i];
	s->control = (struct control_tag){ .name = "label", .type = "Choices", .choice = "single",
	                                   .labels = s->labels, .n_labels = n };
	s->config = (struct label_config){ .controls = &s->control, .n_controls = 1,
	                                   .choices = &s->control, .text = &s->object };
}

#define LABELS(s, ...) labels((s), (const char *const[]){ __VA_ARGS__ }, \
                              countof(((const char *const[]){ __VA_ARGS__ })))

/* Examples of a text and a label: what else there is concerns other kinds. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static const struct model_settings plain = { .token_pattern = TOKEN_WORD1, .logreg_c = 10, .threads = 1 };

#define EX(i, text, label) { (i), (i), { (text), sizeof (text) - 1 }, { (label), sizeof (label) - 1 } }

static const struct example examples3[] = {
	EX(1, "great film really great", "pos"), EX(2, "awful film", "neg"), EX(3, "it was a film", "neu"),
	EX(4, "really good", "pos"), EX(5, "really bad, awful", "neg"), EX(6, "", "neu"),
	EX(7, "good good good film", "pos"), EX(8, "it was", "neu"),
};
static const struct examples three = { examples3, countof(examples3) };

static struct model *fitted(const struct set_up *s, struct examples ex)
{
	struct model *m = NULL;
	struct err    e = { 0 };

	if (kind->fit(&m, &s->config, ex, &plain, &e) < 0)
		fail_msg("%s", e.msg);
	return m;
}

/* -- predicting ---------------------------------------------------------------------- */

/* The prediction of a text, which must hold no quote; valid until the next call. */
static struct prediction predict(const struct model *m, const char *text)
{
	static struct arena scratch;
	static char         json[768], data[512];
	struct prediction   p;
	struct err          e = { 0 };
	struct task         task;

	arena_clear(&scratch);
	arena_init(&scratch, 1 << 20);
	snprintf(data, sizeof data, "{\"body\":\"%s\"}", text);
	snprintf(json, sizeof json, "{\"data\":%s}", data);
	task = (struct task){ span_of(json), span_of(data) };
	assert_int_equal(kind->predict(m, &task, SPAN(""), &scratch, &p, &e), 0);
	return p;
}

static void check_prediction(const struct set_up *s, const struct prediction *p)
{
	double sum = 0.0, best = 0.0;

	assert_int_equal(p->n_proba, s->control.n_labels);
	for (size_t i = 0; i < p->n_proba; i++) {
		assert_true(p->proba[i] >= 0.0 && p->proba[i] <= 1.0);
		assert_true(p->trained[i] || p->proba[i] == 0.0);
		sum += p->proba[i];
		best = fmax(best, p->proba[i]);
	}
	assert_true(fabs(sum - 1.0) < 1e-12);
	assert_int_equal(p->n_regions, 1);
	assert_ptr_equal(p->regions[0].control, &s->control);
	assert_string_equal(p->regions[0].to_name, "text");
	assert_int_equal(p->regions[0].n_names, 1);
	assert_true(p->score == best && p->regions[0].score == best);
}

static void test_predict(void **state)
{
	static const struct { const char *text, *label; } cases[] = {
		{ "great", "pos" }, { "GREAT film!", "pos" }, { "awful", "neg" }, { "it was", "neu" },
	};
	struct set_up     s;
	struct model     *m;
	struct prediction p;
	double            empty[3];

	(void)state;
	LABELS(&s, "pos", "neu", "neg");         /* not the order of the classes */
	m = fitted(&s, three);
	for (size_t i = 0; i < countof(cases); i++) {
		p = predict(m, cases[i].text);
		check_prediction(&s, &p);
		assert_string_equal(p.regions[0].names[0], cases[i].label);
		assert_true(p.proba[i < 2 ? 0 : i == 2 ? 2 : 1] == p.score);
	}
	/* Nothing known: b alone, whatever the text. */
	p = predict(m, "");
	check_prediction(&s, &p);
	memcpy(empty, p.proba, sizeof empty);
	p = predict(m, "zzz yyy");
	assert_memory_equal(p.proba, empty, sizeof empty);
	assert_true(kind->bytes(m) > 500 && kind->bytes(m) < 10000);
	kind->free(m);
}

/* Text of a task: missing and other types are empty. */
static void test_task_text(void **state)
{
	static const struct { const char *data, *text; } cases[] = {
		{ "{\"body\":\"a b\"}", "a b" }, { "{}", "" }, { "{\"body\":null}", "" }, { "{\"body\":7}", "" },
		{ "{\"body\":[\"a\"]}", "" }, { "{\"bod\":\"a\"}", "" }, { "{\"body\":\"\\u00e9\"}", "\xC3\xA9" },
	};
	static const struct object_tag tag = { .name = "text", .value = "body" }, list = { .name = "text" };
	struct arena scratch;
	struct span  text;
	struct err   e = { 0 };

	(void)state;
	arena_init(&scratch, 4096);
	for (size_t i = 0; i < countof(cases); i++) {
		struct task task = { span_of(cases[i].data), span_of(cases[i].data) };

		assert_int_equal(task_text(&task, &tag, &scratch, &text, &e), 0);
		assert_true(span_is(text, cases[i].text));
		assert_int_equal(task_text(&task, &list, &scratch, &text, &e), 0);
		assert_int_equal(text.len, 0);
	}
	arena_clear(&scratch);
}

/* A tie goes to the class that is first by code point, not by the config. */
static void test_tie(void **state)
{
	static const struct example two[] = { EX(1, "same", "b"), EX(2, "same", "a") };
	static const struct example tie3[] = { EX(1, "x", "c"), EX(2, "x", "b"), EX(3, "x", "a") };
	struct set_up               s;
	struct model               *m;
	struct prediction           p;

	(void)state;
	LABELS(&s, "c", "b", "a");
	m = fitted(&s, (struct examples){ two, 2 });
	p = predict(m, "same");
	check_prediction(&s, &p);
	assert_string_equal(p.regions[0].names[0], "a");
	assert_true(p.score == 0.5 && !p.trained[0]);
	kind->free(m);
	m = fitted(&s, (struct examples){ tie3, 3 });
	p = predict(m, "x");
	assert_string_equal(p.regions[0].names[0], "a");
	kind->free(m);
}

/* -- any number of labels ---------------------------------------------------------------- */

#define SET(choices) "[{\"type\":\"choices\",\"from_name\":\"label\",\"value\":{\"choices\":[" choices "]}}]"
#define EXS(i, text, label, choices) { (i), (i), { (text), sizeof (text) - 1 }, { (label), sizeof (label) - 1 }, \
                                       { NULL, 0 }, { SET(choices), sizeof SET(choices) - 1 } }

static const struct example sets4[] = {
	EXS(1, "good soup", "food", "\"food\""), EXS(2, "cheap soup, good", "price", "\"food\",\"price\""),
	EXS(3, "cheap", "price", "\"price\""), EXS(4, "rude waiter", "staff", "\"staff\""),
	EXS(5, "cheap waiter", "price", "\"staff\",\"price\",\"gone\""), EXS(6, "soup and waiter", "food", "\"staff\",\"food\""),
};
static const struct examples six = { sets4, countof(sets4) };

#define MULTIPLE(s, ...) do { LABELS((s), __VA_ARGS__); (s)->control.choice = "multiple"; } while (0)

/* "price,food": the labels in the prediction's order; and all that has to be right of it. */
static const char *chosen(const struct set_up *s, const struct prediction *p)
{
	static char out[200];
	double      certainty = 0.0;
	size_t      n = 0, above = 0, at = 0;

	assert_int_equal(p->n_proba, s->control.n_labels);
	assert_int_equal(p->n_regions, 1);
	for (size_t i = 0; i < p->n_proba; i++) {
		assert_true(p->proba[i] >= 0.0 && p->proba[i] <= 1.0 && (p->trained[i] || p->proba[i] == 0.0));
		if (!p->trained[i])
			continue;
		above += p->proba[i] > 0.5;
		certainty += fmax(p->proba[i], 1.0 - p->proba[i]);
		n++;
	}
	assert_true(fabs(p->score - certainty / (double)n) < 1e-15 && p->regions[0].score == p->score);
	assert_int_equal(p->regions[0].n_names, above > 0 ? above : 1);
	out[0] = '\0';
	for (size_t i = 0; i < p->regions[0].n_names; i++)
		at += (size_t)snprintf(out + at, sizeof out - at, "%s%s", i > 0 ? "," : "", p->regions[0].names[i]);
	return out;
}

static void test_multiple(void **state)
{
	static const struct { const char *text, *labels; } cases[] = {
		{ "good soup", "food" }, { "cheap soup", "price,food" }, { "rude waiter", "staff" }, { "cheap waiter", "staff,price" },
	};
	struct set_up             s;
	struct model             *m;
	struct prediction         p;
	struct tfidf_logreg_facts facts;

	(void)state;
	MULTIPLE(&s, "staff", "never", "price", "food");         /* not the order of the classes */
	m = fitted(&s, six);
	for (size_t i = 0; i < countof(cases); i++) {
		p = predict(m, cases[i].text);
		assert_string_equal(chosen(&s, &p), cases[i].labels);
		assert_false(p.trained[1]);                      /* no example: no model, no certainty */
	}
	tfidf_logreg_facts(m, &facts);
	assert_true(facts.multiple && facts.n_classes == 3 && facts.grad <= 1e-6 && facts.objective > 0);
	kind->free(m);
}

/* What all examples have is certain, whatever the text. */
static void test_always(void **state)
{
	static const struct example all[] = {
		EXS(1, "one", "a", "\"a\""), EXS(2, "two", "a", "\"a\",\"b\""), EXS(3, "three", "a", "\"a\""),
	};
	struct set_up     s;
	struct model     *m;
	struct prediction p;

	(void)state;
	MULTIPLE(&s, "b", "a");
	m = fitted(&s, (struct examples){ all, countof(all) });
	p = predict(m, "two two");
	assert_string_equal(chosen(&s, &p), "b,a");
	assert_true(p.proba[1] == 1.0 && p.proba[0] > 0.5 && p.proba[0] < 1.0);
	p = predict(m, "unknown");
	assert_string_equal(chosen(&s, &p), "a");
	kind->free(m);
}

/* The same classes and columns: independent of the order in which the choices came. */
static void test_multiple_is_of_the_sets(void **state)
{
	struct example    turned[countof(sets4)];
	struct set_up     s;
	struct model     *m;
	double            was[4];
	struct prediction p;

	(void)state;
	MULTIPLE(&s, "staff", "price", "food");
	m = fitted(&s, six);
	p = predict(m, "cheap soup");
	memcpy(was, p.proba, 3 * sizeof *was);
	kind->free(m);
	memcpy(turned, sets4, sizeof turned);
	turned[1].result = SPAN(SET("\"price\",\"food\"") );
	turned[4].result = SPAN(SET("\"price\"") );
	m = fitted(&s, (struct examples){ turned, countof(turned) });
	p = predict(m, "cheap soup");
	assert_true(p.proba[0] != was[0]);       /* example 5 has no "staff" now */
	kind->free(m);
	turned[4].result = SPAN(SET("\"gone\",\"price\",\"price\",\"staff\"") );
	m = fitted(&s, (struct examples){ turned, countof(turned) });
	p = predict(m, "cheap soup");
	assert_memory_equal(p.proba, was, 3 * sizeof *was);
	kind->free(m);
}

static void test_multiple_too_few(void **state)
{
	static const struct example one[] = { EXS(1, "a text", "pos", "\"pos\""), EXS(2, "b text", "pos", "\"pos\",\"gone\"") };
	static const struct example no_word[] = { EXS(1, "!!", "pos", "\"pos\",\"neg\"") };
	struct set_up s;
	struct model *m = NULL;
	struct err    e = { 0 };

	(void)state;
	MULTIPLE(&s, "pos", "neg");
	assert_int_equal(kind->fit(&m, &s.config, (struct examples){ one, 2 }, &plain, &e), -1);
	assert_true(e.code == ERR_TOO_FEW);
	assert_string_equal(e.msg, "needs 2 labels, has 1");
	e = (struct err){ 0 };
	assert_int_equal(kind->fit(&m, &s.config, (struct examples){ no_word, 1 }, &plain, &e), -1);
	assert_string_equal(e.msg, "no text holds a word");
	assert_null(m);
}

static void test_multiple_cold(void **state)
{
	struct set_up     s;
	struct model     *m = NULL;
	struct err        e = { 0 };
	struct prediction p;

	(void)state;
	MULTIPLE(&s, "very bad", "good", "service");
	assert_int_equal(kind->cold(&m, &s.config, &plain, &e), 0);
	p = predict(m, "the SERVICE");
	assert_string_equal(chosen(&s, &p), "service");
	/* Nothing above one half: the best one alone; on a tie the first by code point. */
	p = predict(m, "");
	assert_string_equal(chosen(&s, &p), "good");
	assert_true(p.proba[1] < 0.5 && p.proba[1] == fmax(p.proba[0], fmax(p.proba[1], p.proba[2])));
	kind->free(m);

	/* Without a word, and with one label: nothing is known. */
	MULTIPLE(&s, "+", "-");
	assert_int_equal(kind->cold(&m, &s.config, &plain, &e), 0);
	p = predict(m, "x");
	assert_string_equal(chosen(&s, &p), "+");
	assert_true(p.score == 0.5);
	kind->free(m);
	MULTIPLE(&s, "only");
	assert_int_equal(kind->cold(&m, &s.config, &plain, &e), 0);
	p = predict(m, "x");
	assert_string_equal(chosen(&s, &p), "only");
	assert_true(p.score == 0.5);
	kind->free(m);
	labels(&s, NULL, 0);
	s.control.choice = "multiple";
	assert_int_equal(kind->cold(&m, &s.config, &plain, &e), 0);
	p = predict(m, "x");
	assert_true(p.n_regions == 0 && p.score == 0.0);
	kind->free(m);
}

/* -- what makes no model ---------------------------------------------------------------- */

static void test_too_few(void **state)
{
	static const struct example one[] = { EX(1, "a text", "pos"), EX(2, "b text", "pos") };
	static const struct example no_word[] = { EX(1, "!!", "pos"), EX(2, "", "neg") };
	static const struct example strange[] = { EX(1, "a", "pos"), EX(2, "b", "other") };
	static const struct { struct examples ex; enum err_code code; const char *msg; } cases[] = {
		{ { one, 2 }, ERR_TOO_FEW, "needs 2 labels, has 1" },
		{ { one, 0 }, ERR_TOO_FEW, "needs 2 labels, has 0" },
		{ { no_word, 2 }, ERR_TOO_FEW, "no text holds a word" },
		{ { strange, 2 }, ERR_USAGE, "the label config has no label \"other\"" },
	};
	struct set_up s;

	(void)state;
	LABELS(&s, "pos", "neg");
	for (size_t i = 0; i < countof(cases); i++) {
		struct model *m = NULL;
		struct err    e = { 0 };

		assert_int_equal(kind->fit(&m, &s.config, cases[i].ex, &plain, &e), -1);
		assert_int_equal(e.code, cases[i].code);
		assert_string_equal(e.msg, cases[i].msg);
		assert_null(m);
	}
}

static bool stop(void *arg, double done)
{
	++*(int *)arg;
	return done < 0.0;
}

static void test_stop(void **state)
{
	int                       calls = 0;
	const struct model_settings s = { .token_pattern = TOKEN_WORD1, .logreg_c = 10, .threads = 1,
	                                  .progress = stop, .arg = &calls };
	struct set_up             config;
	struct model             *m = NULL;
	struct err                e = { 0 };

	(void)state;
	LABELS(&config, "pos", "neu", "neg");
	assert_int_equal(kind->fit(&m, &config.config, three, &s, &e), -1);
	assert_int_equal(e.code, ERR_STOPPED);
	assert_int_equal(calls, 1);
	assert_null(m);
}

/* -- cold start --------------------------------------------------------------------------- */

static void test_cold(void **state)
{
	struct set_up     s;
	struct model     *m = NULL;
	struct err        e = { 0 };
	struct prediction p;
	const struct model_settings word = { .token_pattern = TOKEN_WORD, .logreg_c = 10, .threads = 1 };

	(void)state;
	LABELS(&s, "very bad", "good", "very good");
	assert_int_equal(kind->cold(&m, &s.config, &plain, &e), 0);
	p = predict(m, "That is VERY GOOD");
	check_prediction(&s, &p);
	assert_string_equal(p.regions[0].names[0], "very good");
	p = predict(m, "bad");
	assert_string_equal(p.regions[0].names[0], "very bad");
	kind->free(m);

	/* No word in any name: all alike. */
	LABELS(&s, "+", "-", "?");
	assert_int_equal(kind->cold(&m, &s.config, &plain, &e), 0);
	p = predict(m, "anything");
	check_prediction(&s, &p);
	assert_true(fabs(p.proba[0] - 1.0 / 3) < 1e-15 && fabs(p.proba[2] - 1.0 / 3) < 1e-15);
	assert_string_equal(p.regions[0].names[0], "+");
	kind->free(m);
	LABELS(&s, "B", "A");
	assert_int_equal(kind->cold(&m, &s.config, &word, &e), 0);
	p = predict(m, "B");
	check_prediction(&s, &p);
	assert_true(p.score == 0.5);
	assert_string_equal(p.regions[0].names[0], "A");
	kind->free(m);

	LABELS(&s, "only");
	assert_int_equal(kind->cold(&m, &s.config, &plain, &e), 0);
	p = predict(m, "x");
	check_prediction(&s, &p);
	assert_true(p.score == 1.0);
	kind->free(m);

	labels(&s, NULL, 0);
	assert_int_equal(kind->cold(&m, &s.config, &plain, &e), 0);
	p = predict(m, "x");
	assert_true(p.n_regions == 0 && p.score == 0.0 && p.n_proba == 0);
	kind->free(m);
	assert_int_equal(e.code, ERR_OK);
}

/* -- stored form ------------------------------------------------------------------------------ */

struct stored {
	struct model_parts parts;
	char              *copy;       /* of the one that was read last: load() keeps none */
};

static int read_part(void *arg, const char *name, struct span *bytes, struct err *e)
{
	struct stored *s = arg;

	for (size_t i = 0; i < s->parts.n; i++) {
		const struct buf *b = &s->parts.v[i].bytes;

		if (strcmp(s->parts.v[i].name, name) != 0)
			continue;
		free(s->copy);
		s->copy = malloc(b->len + 1);    /* of its size: a read beyond it is seen */
		assert_non_null(s->copy);
		s->copy = realloc(s->copy, b->len > 0 ? b->len : 1);
		memcpy(s->copy, b->p, b->len);
		*bytes = (struct span){ s->copy, b->len };
		return 0;
	}
	return err_set(e, ERR_DAMAGED, "no part %s", name);
}

static void store(struct stored *s, const struct model *m)
{
	struct err e = { 0 };

	*s = (struct stored){ .copy = NULL };
	if (kind->save(m, &s->parts, &e) < 0)
		fail_msg("%s", e.msg);
}

static void stored_clear(struct stored *s)
{
	model_parts_clear(&s->parts);
	free(s->copy);
}

static int load(struct model **m, const struct set_up *config, struct stored *s, struct err *e)
{
	const struct part_source source = { read_part, s };

	return kind->load(m, &config->config, &plain, kind->format, &source, e);
}

/* Kept and read back; under fewer labels; and under the other `choice`, until it is
 * trained anew. */
static void test_multiple_stored(void **state)
{
	struct set_up     s;
	struct model     *m;
	struct stored     kept;
	struct err        e = { 0 };
	struct prediction p;
	double            was[3], sum = 0.0;
	const char       *names;

	(void)state;
	MULTIPLE(&s, "staff", "price", "food");
	m = fitted(&s, six);
	store(&kept, m);
	p = predict(m, "cheap soup");
	memcpy(was, p.proba, sizeof was);
	kind->free(m);

	assert_int_equal(load(&m, &s, &kept, &e), 0);
	p = predict(m, "cheap soup");
	assert_memory_equal(p.proba, was, sizeof was);
	assert_string_equal(chosen(&s, &p), "price,food");
	kind->free(m);

	MULTIPLE(&s, "food", "new", "staff");
	assert_int_equal(load(&m, &s, &kept, &e), 0);
	p = predict(m, "cheap soup");
	assert_string_equal(chosen(&s, &p), "food");
	assert_true(p.proba[0] == was[2] && p.proba[2] == was[0]);
	kind->free(m);

	LABELS(&s, "staff", "price", "food");
	assert_int_equal(load(&m, &s, &kept, &e), 0);
	p = predict(m, "cheap soup");
	check_prediction(&s, &p);
	assert_true(fabs(p.proba[1] - was[1] / (was[0] + was[1] + was[2])) < 1e-15);
	kind->free(m);
	LABELS(&s, "price", "new", "food");
	assert_int_equal(load(&m, &s, &kept, &e), 0);
	p = predict(m, "cheap soup");
	check_prediction(&s, &p);
	kind->free(m);

	/* The number at 68 says which it is. */
	assert_true(kept.parts.v[0].bytes.p[68] == 1);
	kept.parts.v[0].bytes.p[68] = 2;
	assert_int_equal(load(&m, &s, &kept, &e), -1);
	assert_int_equal(e.code, ERR_DAMAGED);
	kept.parts.v[0].bytes.p[68] = 0;         /* one label a text, three classes: the same weights as a softmax */
	assert_int_equal(load(&m, &s, &kept, &e), 0);
	kind->free(m);
	stored_clear(&kept);

	LABELS(&s, "pos", "neu", "neg");
	m = fitted(&s, three);
	store(&kept, m);
	assert_true(kept.parts.v[0].bytes.p[68] == 0);
	kind->free(m);
	s.control.choice = "multiple";
	assert_int_equal(load(&m, &s, &kept, &e), 0);
	p = predict(m, "great");
	names = chosen(&s, &p);
	assert_string_equal(names, "pos");
	for (size_t i = 0; i < 3; i++)
		sum += p.proba[i];
	assert_true(fabs(sum - 1.0) < 1e-12);
	kind->free(m);
	stored_clear(&kept);
}

static bool same_parts(const struct model_parts *a, const struct model_parts *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = strcmp(a->v[i].name, b->v[i].name) == 0 && span_eq(buf_span(&a->v[i].bytes), buf_span(&b->v[i].bytes));
	return same;
}

static void test_round_trip(void **state)
{
	static const char *const texts[] = { "great", "really good film", "it was", "", "nothing known", "awful awful film" };
	static const struct example two[] = { EX(1, "up up", "a"), EX(2, "down", "b"), EX(3, "up", "a") };
	static const struct examples sets[] = { { examples3, countof(examples3) }, { two, countof(two) } };

	(void)state;
	for (size_t i = 0; i < countof(sets); i++) {
		struct set_up s, shuffled;
		struct model *m, *back = NULL;
		struct stored stored, again;
		struct err    e = { 0 };

		LABELS(&s, "pos", "neu", "neg", "a", "b");
		LABELS(&shuffled, "b", "neg", "a", "neu", "pos");
		m = fitted(&s, sets[i]);
		store(&stored, m);
		assert_int_equal(load(&back, &shuffled, &stored, &e), 0);
		for (size_t t = 0; t < countof(texts); t++) {
			struct prediction p = predict(m, texts[t]);
			double            proba[5], other[5];
			const char       *label = p.regions[0].names[0];

			memcpy(proba, p.proba, sizeof proba);
			p = predict(back, texts[t]);
			check_prediction(&shuffled, &p);
			memcpy(other, p.proba, sizeof other);
			assert_true(proba[0] == other[4] && proba[1] == other[3] && proba[2] == other[1]);
			assert_true(proba[3] == other[2] && proba[4] == other[0]);
			assert_string_equal(p.regions[0].names[0], label);
		}
		store(&again, back);
		assert_true(same_parts(&stored.parts, &again.parts));
		stored_clear(&again);
		stored_clear(&stored);
		kind->free(m);
		kind->free(back);
	}
}

/* The same bytes for any number of threads; other bytes for another order of labels: none. */
static void test_deterministic(void **state)
{
	struct set_up s, t;
	struct model *a, *b = NULL;
	struct stored x, y;
	struct err    e = { 0 };
	struct model_settings many = plain;

	(void)state;
	LABELS(&s, "pos", "neu", "neg");
	LABELS(&t, "unused", "neg", "pos", "neu");
	a = fitted(&s, three);
	many.threads = 3;
	assert_int_equal(kind->fit(&b, &t.config, three, &many, &e), 0);
	store(&x, a);
	store(&y, b);
	assert_true(same_parts(&x.parts, &y.parts));
	stored_clear(&x);
	stored_clear(&y);
	kind->free(a);
	kind->free(b);
}

/* Labels that a config lacks are dropped, the rest renormalised. */
static void test_labels_dropped(void **state)
{
	static const struct example two[] = { EX(1, "up up", "a"), EX(2, "down", "b") };
	struct set_up     all, some, none;
	struct model     *m, *back = NULL;
	struct stored     stored;
	struct err        e = { 0 };
	struct prediction p;
	double            neg, neu;

	(void)state;
	LABELS(&all, "pos", "neu", "neg");
	LABELS(&some, "new", "neg", "neu");
	LABELS(&none, "new", "Pos");
	m = fitted(&all, three);
	store(&stored, m);
	p = predict(m, "great awful");
	neu = p.proba[1];
	neg = p.proba[2];
	assert_int_equal(load(&back, &some, &stored, &e), 0);
	p = predict(back, "great awful");
	check_prediction(&some, &p);
	assert_true(fabs(p.proba[1] - neg / (neg + neu)) < 1e-14 && fabs(p.proba[2] - neu / (neg + neu)) < 1e-14);
	assert_true(!p.trained[0] && p.trained[1] && p.trained[2]);
	kind->free(back);
	back = NULL;
	assert_int_equal(load(&back, &none, &stored, &e), 1);
	assert_null(back);
	assert_int_equal(e.code, ERR_OK);
	stored_clear(&stored);
	kind->free(m);

	/* One of two is left: it is certain. */
	for (size_t i = 0; i < 2; i++) {
		struct set_up both;

		LABELS(&both, "a", "b");
		m = fitted(&both, (struct examples){ two, 2 });
		store(&stored, m);
		LABELS(&some, "z", i == 0 ? "a" : "b");
		assert_int_equal(load(&back, &some, &stored, &e), 0);
		p = predict(back, "up down");
		check_prediction(&some, &p);
		assert_true(p.proba[1] == 1.0);
		kind->free(back);
		kind->free(m);
		stored_clear(&stored);
	}
}

/* -- damaged bytes --------------------------------------------------------------------------------- */

static struct buf *part(struct stored *s, const char *name)
{
	for (size_t i = 0; i < s->parts.n; i++)
		if (strcmp(s->parts.v[i].name, name) == 0)
			return &s->parts.v[i].bytes;
	fail_msg("no part %s", name);
	return NULL;
}

/* Each of these must be found out. */
static void test_damage_is_found(void **state)
{
	static const struct { const char *part; size_t at; unsigned char bytes[8]; size_t len; } cases[] = {
		{ "meta", 0, "X", 1 }, { "meta", 4, "\2", 1 }, { "meta", 8, "x", 1 }, { "meta", 16, "\1", 1 },
		{ "meta", 24, "\2", 1 },                                        /* token pattern */
		{ "meta", 32, "\0\0\0\0\0\0\0", 8 },                            /* C is 0 */
		{ "meta", 40, "\1\0\0\0", 4 },                                  /* fewer examples than df */
		{ "meta", 48, "\2", 1 }, { "meta", 48, "\4", 1 },               /* classes */
		{ "meta", 52, "\377", 1 }, { "meta", 56, "\1", 1 }, { "meta", 60, "\377\377\377\377", 4 },
		{ "meta", 64, "\1", 1 },                                        /* groups */
		{ "labels", 24, "\1", 1 }, { "labels", 28, "\377", 1 }, { "labels", 40, "z", 1 },
		{ "words", 24, "\1", 1 }, { "words", 28, "\377\377", 2 },
		{ "terms", 24, "\1", 1 }, { "terms", 28, "\377", 1 },
		{ "groups", 24, "\377\377\377\377", 4 },                        /* group of the first term */
		{ "weights", 24, "\0\0\0\0\0\0\360\177", 8 },                   /* infinite */
		{ "weights", 56, "\0\0\0\0\0\0\370\177", 8 },                   /* NaN */
		{ "weights", 56, "\0\0\0\0\0\0\360\157", 8 },                   /* 1e230 */
	};
	struct set_up s;
	struct model *m, *back = NULL;

	(void)state;
	LABELS(&s, "pos", "neu", "neg");
	m = fitted(&s, three);
	for (size_t i = 0; i < countof(cases); i++) {
		struct stored stored;
		struct err    e = { 0 };
		struct buf   *b;

		store(&stored, m);
		b = part(&stored, cases[i].part);
		memcpy(b->p + cases[i].at, cases[i].bytes, cases[i].len);
		if (load(&back, &s, &stored, &e) != -1 || e.code != ERR_DAMAGED)
			fail_msg("%s at %zu was not found out", cases[i].part, cases[i].at);
		assert_null(back);
		stored_clear(&stored);
	}
	for (size_t i = 0; i < 6; i++) {                 /* each part cut, lengthened, lost */
		for (int how = 0; how < 3; how++) {
			struct stored stored;
			struct err    e = { 0 };
			struct buf   *b;

			store(&stored, m);
			assert_int_equal(stored.parts.n, 6);
			b = &stored.parts.v[i].bytes;
			if (how == 0)
				b->len--;
			else if (how == 1)
				buf_addc(b, 'x');
			else
				stored.parts.v[i].name[0] = 'X';
			if (load(&back, &s, &stored, &e) != -1 || e.code != ERR_DAMAGED)
				fail_msg("part %zu, way %d, was not found out", i, how);
			stored_clear(&stored);
		}
	}
	kind->free(m);
}

/* Whatever stands there: no crash, and a model that loads answers finite numbers. */
static void test_mutations(void **state)
{
	static const unsigned char odd[] = { 0, 1, 2, 0x7f, 0x80, 0xfe, 0xff };
	struct set_up s;
	struct model *m;
	struct stored original;
	size_t        n_loaded = 0, n_damaged = 0;

	(void)state;
	LABELS(&s, "pos", "neu", "neg");
	m = fitted(&s, three);
	store(&original, m);
	srand(1);
	for (int round = 0; round < 20000; round++) {
		struct stored mutated = original;
		struct model *back = NULL;
		struct err    e = { 0 };
		int           rc;

		mutated.copy = NULL;
		for (size_t i = 0; i < mutated.parts.n; i++) {
			struct buf *b = &mutated.parts.v[i].bytes;

			buf_init(b, MODEL_PART_BYTES_MAX);
			buf_add(b, original.parts.v[i].bytes.p, original.parts.v[i].bytes.len);
		}
		for (int k = rand() % 3; k >= 0; k--) {
			struct buf *b = &mutated.parts.v[(size_t)rand() % mutated.parts.n].bytes;
			size_t      at = b->len == 0 ? 0 : (size_t)rand() % b->len;

			if (b->len == 0)
				continue;
			if (rand() % 16 == 0) {
				b->len = at;
				/* With a length that agrees, the checks behind it are reached. */
				for (size_t i = 0; rand() % 2 == 0 && at >= 24 && i < 8; i++)
					b->p[16 + i] = (char)((at - 24) >> (8 * i));
			} else if (rand() % 2 == 0) {
				b->p[at] = (char)odd[(size_t)rand() % countof(odd)];
			} else {
				b->p[at] = (char)(b->p[at] ^ (1 << rand() % 8));
			}
		}
		rc = load(&back, &s, &mutated, &e);
		if (rc == 0) {
			struct prediction p = predict(back, "great film it was really bad awful good good good");

			check_prediction(&s, &p);
			kind->free(back);
			n_loaded++;
		} else {
			assert_null(back);
			n_damaged += rc == -1 && e.code == ERR_DAMAGED;
			assert_true(rc == 1 || e.code == ERR_DAMAGED || e.code == ERR_MEMORY);
		}
		model_parts_clear(&mutated.parts);
		free(mutated.copy);
	}
	/* Both ways were taken: weights may be anything finite, structure may not. */
	assert_true(n_loaded > 1000 && n_damaged > 1000);
	stored_clear(&original);
	kind->free(m);
}

/* -- read in part ---------------------------------------------------------------------------- */

/* A part whose bytes are there only where they were asked for: elsewhere stands what
 * no number of a model is. */
struct torn {
	struct partial partial;
	struct span   whole;
	char         *room;
	size_t        read;
};

struct torn_source {
	struct stored *stored;
	struct torn    torn[8];
	size_t         n, refuse;      /* refuse: the how manieth fetch fails; 0: none */
	size_t         fetched;
};

static struct torn_source *torn_of;

static int torn_fetch(struct partial *p, size_t at, size_t n, struct err *e)
{
	struct torn *t = (struct torn *)p;

	assert_true(at < p->len && n <= p->len - at);
	if (++torn_of->fetched == torn_of->refuse)
		return err_set(e, ERR_DAMAGED, "refused");
	memcpy(t->room + at, t->whole.p + at, n);
	t->read += n;
	return 0;
}

static int torn_open(void *arg, const char *name, struct partial **out, struct err *e)
{
	struct torn_source *s = arg;
	struct torn        *t = &s->torn[s->n];

	(void)e;
	for (size_t i = 0; i < s->stored->parts.n; i++) {
		if (strcmp(s->stored->parts.v[i].name, name) != 0)
			continue;
		t->whole = buf_span(&s->stored->parts.v[i].bytes);
		t->room = malloc(t->whole.len + 1);
		assert_non_null(t->room);
		memset(t->room, 0xff, t->whole.len + 1);
		t->partial = (struct partial){ t->room, t->whole.len, torn_fetch };
		s->n++;
		*out = &t->partial;
		return 0;
	}
	return 1;
}

static int load_torn(struct model **m, const struct set_up *config, struct stored *s, struct torn_source *torn,
                     struct err *e)
{
	const struct part_source   source = { read_part, s };
	const struct partial_source partial = { torn_open, torn };
	struct model_settings      settings = plain;

	*torn = (struct torn_source){ .stored = s, .refuse = torn->refuse };
	torn_of = torn;
	settings.in_part = &partial;
	return kind->load(m, &config->config, &settings, kind->format, &source, e);
}

static void torn_clear(struct torn_source *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->torn[i].room);
}

/* One that may fail; 0 and *p, or -1. */
static int try_predict(const struct model *m, const char *text, struct arena *scratch, struct prediction *p,
                       struct err *e)
{
	char        json[768], data[512];
	struct task task;

	snprintf(data, sizeof data, "{\"body\":\"%s\"}", text);
	snprintf(json, sizeof json, "{\"data\":%s}", data);
	task = (struct task){ span_of(json), span_of(data) };
	return kind->predict(m, &task, SPAN(""), scratch, p, e);
}

/* The very same numbers, from a fraction of the bytes. */
static void test_in_part(void **state)
{
	static const char *const texts[] = {
		"great", "really good film", "it was", "", "nothing known", "awful awful film", "good good good film zzz good good",
		"a", "zzz", "was a film it was a film",
	};
	struct set_up      s;
	struct model      *m, *part = NULL;
	struct stored      stored;
	struct torn_source torn = { .n = 0 };
	struct arena       scratch;
	struct err         e = { 0 };

	(void)state;
	LABELS(&s, "pos", "neu", "neg");
	m = fitted(&s, three);
	store(&stored, m);
	assert_int_equal(load_torn(&part, &s, &stored, &torn, &e), 0);
	assert_int_equal(torn.n, 4);
	arena_init(&scratch, 1 << 20);
	for (size_t i = 0; i < countof(texts); i++) {
		struct prediction p, q;

		arena_reset(&scratch);
		p = predict(m, texts[i]);
		assert_int_equal(try_predict(part, texts[i], &scratch, &q, &e), 0);
		check_prediction(&s, &q);
		assert_memory_equal(p.proba, q.proba, 3 * sizeof *p.proba);
		if (i == 0)
			assert_true(torn.torn[1].read < torn.torn[1].whole.len / 4 &&
			            torn.torn[3].read < torn.torn[3].whole.len / 4);
	}
	kind->free(part);
	torn_clear(&torn);
	/* Whichever reading fails: an error, from load() or predict(). */
	for (torn.refuse = 1; torn.refuse < 400; torn.refuse++) {
		struct prediction q;

		err_clear(&e);
		arena_reset(&scratch);
		part = NULL;
		if (load_torn(&part, &s, &stored, &torn, &e) == 0 &&
		    try_predict(part, texts[6], &scratch, &q, &e) == 0) {
			assert_true(torn.fetched < torn.refuse);
			kind->free(part);
			torn_clear(&torn);
			break;
		}
		assert_int_equal(e.code, ERR_DAMAGED);
		if (part != NULL)
			kind->free(part);
		torn_clear(&torn);
	}
	assert_true(torn.refuse > 30 && torn.refuse < 400);
	stored_clear(&stored);
	arena_clear(&scratch);
	kind->free(m);
}

/* Parts that can't be read in part are loaded. */
static void test_in_part_without(void **state)
{
	struct set_up              s;
	struct model              *m, *back = NULL;
	struct stored              stored, none = { .copy = NULL };
	struct torn_source         torn = { .stored = &none };
	const struct partial_source partial = { torn_open, &torn };
	struct model_settings      settings = plain;
	struct err                 e = { 0 };
	double                     was[3];
	struct prediction          p;

	(void)state;
	LABELS(&s, "pos", "neu", "neg");
	m = fitted(&s, three);
	p = predict(m, "good film");
	memcpy(was, p.proba, sizeof was);
	store(&stored, m);
	kind->free(m);
	settings.in_part = &partial;
	assert_int_equal(kind->load(&back, &s.config, &settings, kind->format, &(struct part_source){ read_part, &stored }, &e), 0);
	p = predict(back, "good film");
	assert_memory_equal(p.proba, was, sizeof was);
	kind->free(back);
	stored_clear(&stored);
}

/* Bytes with a right checksum that are no model: no crash, finite numbers or an error. */
static void test_in_part_mutations(void **state)
{
	static const unsigned char odd[] = { 0, 1, 2, 0x7f, 0x80, 0xfe, 0xff };
	struct set_up s;
	struct model *m;
	struct stored original;
	struct arena  scratch;
	size_t        n_answered = 0, n_damaged = 0;

	(void)state;
	arena_init(&scratch, 1 << 20);
	LABELS(&s, "pos", "neu", "neg");
	m = fitted(&s, three);
	store(&original, m);
	srand(2);
	for (int round = 0; round < 20000; round++) {
		struct stored      mutated = original;
		struct torn_source torn = { .n = 0 };
		struct model      *back = NULL;
		struct prediction  p;
		struct err         e = { 0 };
		int                rc;

		mutated.copy = NULL;
		for (size_t i = 0; i < mutated.parts.n; i++) {
			struct buf *b = &mutated.parts.v[i].bytes;

			buf_init(b, MODEL_PART_BYTES_MAX);
			buf_add(b, original.parts.v[i].bytes.p, original.parts.v[i].bytes.len);
		}
		for (int k = rand() % 3; k >= 0; k--) {
			struct buf *b = &mutated.parts.v[(size_t)rand() % mutated.parts.n].bytes;
			size_t      at = b->len == 0 ? 0 : (size_t)rand() % b->len;

			if (b->len == 0)
				continue;
			if (rand() % 16 == 0)
				b->len = at;
			else if (rand() % 2 == 0)
				b->p[at] = (char)odd[(size_t)rand() % countof(odd)];
			else
				b->p[at] = (char)(b->p[at] ^ (1 << rand() % 8));
		}
		rc = load_torn(&back, &s, &mutated, &torn, &e);
		arena_reset(&scratch);
		if (rc == 0)
			rc = try_predict(back, "great film it was really bad awful good good good", &scratch, &p, &e);
		if (rc == 0) {
			check_prediction(&s, &p);
			n_answered++;
		} else {
			assert_true(rc == 1 || e.code == ERR_DAMAGED || e.code == ERR_MEMORY);
			n_damaged += e.code == ERR_DAMAGED;
		}
		if (back != NULL)
			kind->free(back);
		torn_clear(&torn);
		model_parts_clear(&mutated.parts);
		free(mutated.copy);
	}
	assert_true(n_answered > 1000 && n_damaged > 1000);
	stored_clear(&original);
	arena_clear(&scratch);
	kind->free(m);
}

static void test_facts(void **state)
{
	struct set_up             s;
	struct model             *m;
	struct tfidf_logreg_facts f;
	double                    idf, coef;
	int64_t                   t;

	(void)state;
	LABELS(&s, "pos", "neu", "neg");
	m = fitted(&s, three);
	tfidf_logreg_facts(m, &f);
	assert_true(f.n_examples == 8 && f.n_classes == 3 && f.logreg_c == 10 && f.token_pattern == TOKEN_WORD1);
	assert_true(f.grad <= 1e-6 && f.objective > 0 && f.n_groups < f.n_terms);
	assert_true(span_is(tfidf_logreg_class(m, 0), "neg") && span_is(tfidf_logreg_class(m, 2), "pos"));
	t = tfidf_logreg_find(m, SPAN("it was"));
	assert_true(t >= 0);
	tfidf_logreg_term(m, (size_t)t, 1, NULL, &idf, &coef);
	assert_true(fabs(idf - (log(9.0 / 3.0) + 1.0)) < 1e-15 && coef > 0.0);
	tfidf_logreg_term(m, (size_t)t, 2, NULL, &idf, &coef);
	assert_true(coef < 0.0);
	assert_int_equal(tfidf_logreg_find(m, SPAN("was it")), -1);
	kind->free(m);
}

/* Counts out of a part, whose product is more than there are bytes, or than there are numbers. */
static void test_part_counts(void **state)
{
	static const struct { size_t n, size; bool good; } cases[] = {
		{ 0, 8, true }, { 2, 4, true }, { 1, 8, true }, { 8, 1, true }, { 3, 4, false }, { 2, 8, false },
		{ INT32_MAX, 4, false }, { (size_t)INT32_MAX + 1, 4, false }, { UINT32_MAX, 8, false }, { (size_t)1 << 61, 8, false },
		{ (size_t)1 << 62, 4, false }, { (size_t)INT64_MAX, 1, false }, { (size_t)1 << 63, 2, false }, { SIZE_MAX / 8 + 2, 8, false },
		{ SIZE_MAX, 8, false },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct part p = { .name = "x", .left = SPAN("12345678") };
		struct err  e = { 0 };
		void       *v = part_take(&p, cases[i].n, cases[i].size, &e);

		if ((v != NULL) != cases[i].good || p.left.len != 8 - (v == NULL ? 0 : cases[i].n * cases[i].size) ||
		    (v == NULL && e.code != ERR_DAMAGED))
			fail_msg("%zu of %zu: %s, %zu left", cases[i].n, cases[i].size, e.msg, p.left.len);
		free(v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_predict), cmocka_unit_test(test_multiple), cmocka_unit_test(test_always),
		cmocka_unit_test(test_multiple_is_of_the_sets), cmocka_unit_test(test_multiple_too_few),
		cmocka_unit_test(test_multiple_cold), cmocka_unit_test(test_multiple_stored),
		cmocka_unit_test(test_task_text), cmocka_unit_test(test_tie),
		cmocka_unit_test(test_too_few), cmocka_unit_test(test_stop), cmocka_unit_test(test_cold),
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_labels_dropped), cmocka_unit_test(test_damage_is_found),
		cmocka_unit_test(test_mutations), cmocka_unit_test(test_facts), cmocka_unit_test(test_part_counts),
		cmocka_unit_test(test_in_part), cmocka_unit_test(test_in_part_without), cmocka_unit_test(test_in_part_mutations),
	};

	return cmocka_run_group_tests_name("tfidf_logreg", tests, NULL, NULL);
}
