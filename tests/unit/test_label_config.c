/* test_label_config.c - labeling configs, real ones and hostile ones
 * (tests/data/configs/). */
#include "studio/config_elements.c"
#include "studio/label_config.c"

#include "patience.h"

#include <libxml/parser.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void read_file(struct buf *b, const char *name)
{
	char   path[300];
	FILE  *f;
	char  *room;
	size_t n;

	snprintf(path, sizeof path, "%s", __FILE__);
	snprintf(strrchr(path, '/'), 100, "/../data/configs/%s", name);
	buf_init(b, 4 << 20);
	if ((f = fopen(path, "r")) == NULL)
		fail_msg("%s is missing", path);
	while ((room = buf_room(b, 65536)) != NULL && (n = fread(room, 1, 65536, f)) > 0)
		b->len += n;
	fclose(f);
}

static struct label_config *parse(struct span xml)
{
	struct label_config *config = NULL;
	struct err           e = { 0 };

	if (label_config_parse(&config, xml, &e) < 0)
		fail_msg("%.200s: %s", xml.p, e.msg);
	assert_int_equal(e.code, ERR_OK);
	return config;
}

static struct label_config *parse_file(const char *name)
{
	struct label_config *config;
	struct buf           b;

	read_file(&b, name);
	config = parse(buf_span(&b));
	buf_clear(&b);
	return config;
}

static void check_refused(const char *what, struct span xml, const char *message)
{
	struct label_config *config = NULL;
	struct err           e = { 0 };

	if (label_config_parse(&config, xml, &e) == 0)
		fail_msg("%s was taken", what);
	if (e.code != ERR_SHAPE || strstr(e.msg, message) == NULL)
		fail_msg("%s: code %d, \"%s\"", what, e.code, e.msg);
	assert_null(config);
}

/* ---- what is in a config ---- */

static void test_parsed_form(void **state)
{
	static const struct { const char *file, *json; } cases[] = {
		{ "sentiment.xml",
		  "{\"sentiment\":{\"type\":\"Choices\",\"to_name\":[\"text\"],"
		  "\"inputs\":[{\"type\":\"Text\",\"value\":\"text\",\"valueType\":null}],"
		  "\"labels\":[\"Positive\",\"Negative\",\"Neutral\"],"
		  "\"labels_attrs\":{\"Positive\":{\"value\":\"Positive\"},\"Negative\":{\"value\":\"Negative\"},"
		  "\"Neutral\":{\"value\":\"Neutral\"}}}}" },
		{ "ner.xml",
		  "{\"ner\":{\"type\":\"Labels\",\"to_name\":[\"textdata\"],"
		  "\"inputs\":[{\"type\":\"Text\",\"value\":\"sample\",\"valueType\":null}],"
		  "\"labels\":[\"PER\",\"ORG\"],"
		  "\"labels_attrs\":{\"PER\":{\"value\":\"PER\",\"background\":\"red\"},"
		  "\"ORG\":{\"value\":\"ORG\",\"background\":\"darkorange\"}}}}" },
		{ "reviews.xml",
		  "{\"spans\":{\"type\":\"Labels\",\"to_name\":[\"body\"],"
		  "\"inputs\":[{\"type\":\"Text\",\"value\":\"review\",\"valueType\":null}],"
		  "\"labels\":[\"Product\",\"PER\"],"
		  "\"labels_attrs\":{\"Product\":{\"value\":\"Product\",\"background\":\"red\",\"hotkey\":\"p\"},"
		  "\"PER\":{\"value\":\"Person\",\"alias\":\"PER\"}}},"
		  "\"photo_ok\":{\"type\":\"Choices\",\"to_name\":[\"photo\"],"
		  "\"inputs\":[{\"type\":\"Image\",\"value\":\"photo\",\"valueType\":null}],"
		  "\"labels\":[\"yes\",\"no\"],\"labels_attrs\":{\"yes\":{\"value\":\"yes\"},\"no\":{\"value\":\"no\"}}},"
		  "\"topic\":{\"type\":\"Choices\",\"to_name\":[\"photo\",\"title\",\"body\",\"gone\"],"
		  "\"inputs\":[{\"type\":\"Image\",\"value\":\"photo\",\"valueType\":null},"
		  "{\"type\":\"Text\",\"value\":\"title\",\"valueType\":null},"
		  "{\"type\":\"Text\",\"value\":\"review\",\"valueType\":null}],"
		  "\"labels\":[\"R&D <lab>\",\"café\",\"Food\",\"food/pizza\",\"&#38; and &amp;\",\"日本語\"],"
		  "\"labels_attrs\":{\"R&D <lab>\":{\"value\":\"R&D <lab>\",\"hint\":\"again\"},"
		  "\"café\":{\"value\":\"café\"},\"Food\":{\"value\":\"Food\",\"alias\":\"\"},"
		  "\"food/pizza\":{\"value\":\"Pizza\",\"alias\":\"food/pizza\"},"
		  "\"&#38; and &amp;\":{\"value\":\"&#38; and &amp;\"},\"日本語\":{\"value\":\"日本語\"}}},"
		  "\"why\":{\"type\":\"TextArea\",\"to_name\":[\"body\"],"
		  "\"inputs\":[{\"type\":\"Text\",\"value\":\"review\",\"valueType\":null}],"
		  "\"labels\":[],\"labels_attrs\":{}}}" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct label_config *config = parse_file(cases[i].file);
		struct span          value;
		struct buf           b;

		buf_init(&b, 1 << 20);
		label_config_put_json(config, &b);
		assert_int_equal(json_check(buf_span(&b), &value, NULL), 0);
		assert_string_equal(b.p, cases[i].json);
		buf_clear(&b);
		label_config_free(config);
	}
}

/* As Label Studio parses the same config (recorded in a project of its API). */
static void test_as_recorded(void **state)
{
	struct label_config *config;
	struct buf           file, got;
	struct span          project, xml, text, want, value, other, key;
	struct json_iter     it;
	struct arena         a;

	(void)state;
	read_file(&file, "../protocol/api-project.json");
	arena_init(&a, 1 << 20);
	assert_int_equal(json_check(buf_span(&file), &project, NULL), 0);
	assert_int_equal(json_member(project, "label_config", &xml), 0);
	assert_int_equal(json_text(xml, &a, &text, NULL), 0);
	assert_int_equal(json_member(project, "parsed_label_config", &want), 0);
	config = parse(text);
	buf_init(&got, 1 << 20);
	label_config_put_json(config, &got);
	assert_int_equal(json_check(buf_span(&got), &other, NULL), 0);

	assert_int_equal(json_count(other), 1);
	assert_int_equal(json_member(want, "label", &want), 0);
	assert_int_equal(json_member(other, "label", &other), 0);
	assert_int_equal(json_count(want), json_count(other));
	for (it = json_each(want); json_next(&it, &key, &value); ) {
		struct span have;
		char        name[30];
		size_t      i = 0, k = 0;

		snprintf(name, sizeof name, "%.*s", (int)key.len - 2, key.p + 1);
		if (json_member(other, name, &have) != 0)
			fail_msg("no %s", name);
		if (strcmp(name, "inputs") == 0)
			continue;               /* its keys come in another order: below */
		while (i < value.len && k < have.len)      /* but for white space */
			if (strchr(" \n", value.p[i]) != NULL)
				i++;
			else
				assert_int_equal(value.p[i++], have.p[k++]);
		assert_int_equal(k, have.len);
	}
	assert_int_equal(config->controls[0].n_inputs, 1);
	assert_string_equal(config->controls[0].inputs[0]->type, "Text");
	assert_string_equal(config->controls[0].inputs[0]->value, "text");
	assert_null(config->controls[0].inputs[0]->value_type);
	buf_clear(&got);
	buf_clear(&file);
	arena_clear(&a);
	label_config_free(config);
}

static void test_choices_over_text(void **state)
{
	static const struct { const char *file, *choices, *text, *reason; } cases[] = {
		{ "sentiment.xml",   "sentiment", "text",  NULL },
		{ "reviews.xml",     "topic",     "title", NULL },
		{ "two_choices.xml", "late",      "text",  NULL },
		{ "ner.xml",     NULL, NULL, "the labeling config has no Choices over a Text" },
		{ "image.xml",   NULL, NULL, "Choices \"label\" is over \"img\", an Image" },
		{ "dynamic.xml", NULL, NULL, "Choices \"label\" has no Choice with a value" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct label_config *config = parse_file(cases[i].file);

		if (cases[i].reason != NULL) {
			assert_null(config->choices);
			assert_null(config->text);
			assert_string_equal(config->reason, cases[i].reason);
		} else {
			assert_null(config->reason);
			assert_string_equal(config->choices->name, cases[i].choices);
			assert_string_equal(config->text->name, cases[i].text);
			assert_true(config->choices >= config->controls &&
			            config->choices < config->controls + config->n_controls);
		}
		label_config_free(config);
	}
}

static void test_reasons(void **state)
{
#define T "<Text name='t' value='$t'/>"
	static const struct { const char *xml, *reason; } cases[] = {
		{ "<View/>", "the labeling config has no Choices over a Text" },
		{ "<View>" T "</View>", "the labeling config has no Choices over a Text" },
		{ "<View>" T "<Choices toName='t'><Choice value='a'/></Choices></View>",
		  "the labeling config has no Choices over a Text" },
		{ "<View>" T "<Choices name='c' toName='x'><Choice value='a'/></Choices></View>",
		  "Choices \"c\" is over \"x\", which the labeling config lacks" },
		{ "<View>" T "<Choices name='c' toName=' , '><Choice value='a'/></Choices></View>",
		  "Choices \"c\" is over \"\", which the labeling config lacks" },
		{ "<View><Audio name='t' value='$t'/><Choices name='c' toName='t'><Choice value='a'/></Choices></View>",
		  "Choices \"c\" is over \"t\", an Audio" },
		{ "<View><HyperText name='t' valueList='$t'/><Choices name='c' toName='t'><Choice value='a'/></Choices></View>",
		  "Choices \"c\" is over \"t\", a HyperText without a value" },
		{ "<View><Text name='t' value='$t' valueType='url'/><Choices name='c' toName='t'><Choice value='a'/></Choices></View>",
		  "Choices \"c\" is over \"t\", a Text of addresses (valueType=\"url\"), which are not opened" },
		{ "<View><Paragraphs name='t' value='$t' valueType='url'/><Choices name='c' toName='t'><Choice value='a'/></Choices></View>",
		  "Choices \"c\" is over \"t\", a Paragraphs of addresses (valueType=\"url\"), which are not opened" },
		{ "<View><Text name='t' valueList='$t'/><Choices name='c' toName='t'><Choice value='a'/></Choices></View>",
		  "Choices \"c\" is over \"t\", a Text without a value" },
		/* Of several the one that lacks least. */
		{ "<View>" T "<Choices name='c' toName='x'/><Choices name='d' toName='t'/><Choices name='e' toName='t'/></View>",
		  "Choices \"d\" has no Choice with a value" },
		/* No half character where a name is cut at 40 bytes. */
		{ "<View><Choices name='aéééééééééééééééééééé' toName='x'/></View>",
		  "Choices \"aééééééééééééééééééé\" is over \"x\", which the labeling config lacks" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct label_config *config = parse(span_of(cases[i].xml));

		assert_null(config->choices);
		assert_null(config->text);
		assert_string_equal(config->reason, cases[i].reason);
		label_config_free(config);
	}
}

/* A Text where there is one, else a HyperText or Paragraphs; what is elsewhere is not. */
static void test_objects_with_text(void **state)
{
#define C(name, to) "<Choices name='" name "' toName='" to "'><Choice value='a'/></Choices>"
#define H "<HyperText name='h' value='$h'/>"
#define P "<Paragraphs name='p' value='$p' textKey='said' nameKey='who'/>"
	static const struct { const char *xml, *choices, *object, *text_key; } cases[] = {
		{ "<View>" H C("c", "h") "</View>", "c", "h", "text" },
		{ "<View>" P C("c", "p") "</View>", "c", "p", "said" },
		{ "<View><Paragraphs name='p' value='$p' textKey=''/>" C("c", "p") "</View>", "c", "p", "text" },
		{ "<View>" H P T C("c", "h") C("d", "p") C("e", "t") C("f", "t") "</View>", "e", "t", "text" },
		{ "<View>" H P C("c", "p") C("d", "h") "</View>", "c", "p", "said" },
		{ "<View>" H T C("c", "h,t") "</View>", "c", "t", "text" },
		{ "<View>" H P C("c", "p,h") "</View>", "c", "p", "said" },
		{ "<View>" H "<Text name='t' value='$t' valueType='url'/>" C("c", "t,h") "</View>", "c", "h", "text" },
		{ "<View><Text name='t' value='$t' valueType='text' saveTextResult='no'/>" C("c", "t") "</View>", "c", "t", "text" },
		{ "<View><Paragraphs name='p' value='$p' valueType='json'/>" C("c", "p") "</View>", "c", "p", "text" },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct label_config *config = parse(span_of(cases[i].xml));

		if (config->choices == NULL)
			fail_msg("%s: %s", cases[i].xml, config->reason);
		assert_null(config->reason);
		assert_string_equal(config->choices->name, cases[i].choices);
		assert_string_equal(config->text->name, cases[i].object);
		assert_string_equal(config->text->text_key, cases[i].text_key);
		label_config_free(config);
	}
}

static void test_multiple(void **state)
{
	static const struct { const char *choice; bool multiple; } cases[] = {
		{ "", false }, { "choice='single'", false }, { "choice='single-radio'", false },
		{ "choice='multiple'", true }, { "choice='Multiple'", false },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		char                 xml[200];
		struct label_config *config;

		snprintf(xml, sizeof xml, "<View>" T "<Choices name='c' toName='t' %s><Choice value='a'/></Choices></View>", cases[i].choice);
		config = parse(span_of(xml));
		assert_int_equal(control_multiple(config->choices), cases[i].multiple);
		label_config_free(config);
	}
}

static void test_details(void **state)
{
	struct label_config *config;
	const struct control_tag *c;

	(void)state;
	/* choice: as written, else single.  Labels of nested controls are their own;
	 * behind an inner control the outer one goes on. */
	config = parse(span_of("<View>" T
		"<Choices name='c' toName='t' choice='multiple'><Choice value='a'/>"
		"<Labels name='in' toName='t'><Label value='x'/><Choice value='a'/></Labels>"
		"<Choice value='b'/></Choices>"
		"<Choices name='d' toName='t'><Choice value='a'/></Choices>"
		"<Taxonomy name='e' toName='t'/><Relations name='r' toName='t'><Relation value='is'/></Relations></View>"));
	assert_int_equal(config->n_controls, 5);
	c = config->controls;
	assert_string_equal(c[0].choice, "multiple");
	assert_int_equal(c[0].n_labels, 2);
	assert_string_equal(c[0].labels[0].name, "a");
	assert_string_equal(c[0].labels[1].name, "b");
	assert_string_equal(c[1].name, "in");
	assert_int_equal(c[1].n_labels, 2);
	assert_string_equal(c[2].choice, "single");
	assert_int_equal(c[2].n_labels, 1);
	assert_string_equal(c[2].labels[0].name, "a");
	assert_int_equal(c[3].n_labels, 0);
	assert_string_equal(c[4].labels[0].name, "is");
	assert_ptr_equal(config->choices, &c[0]);
	assert_int_equal(control_label(&c[0], SPAN("a")), 0);
	assert_int_equal(control_label(&c[0], SPAN("b")), 1);
	assert_int_equal(control_label(&c[0], SPAN("x")), -1);
	assert_int_equal(control_label(&c[0], SPAN("a\0")), -1);
	assert_int_equal(control_label(&c[0], SPAN("")), -1);
	assert_int_equal(control_label(&c[3], SPAN("a")), -1);
	label_config_free(config);

	/* Two controls of one name: the first, with the labels of both.  Two objects:
	 * the last. */
	config = parse(span_of("<View>" T "<Text name='t' value='$u'/>"
		"<Choices name='c' toName='t'><Choice value='a'/></Choices>"
		"<Labels name='c' toName='t'><Label value='b'/></Labels></View>"));
	assert_int_equal(config->n_controls, 1);
	assert_string_equal(config->controls[0].type, "Choices");
	assert_int_equal(config->controls[0].n_labels, 2);
	assert_string_equal(config->text->value, "u");
	label_config_free(config);

	/* SHA-256 of the bytes: sha256sum of "<View/>". */
	config = parse(SPAN("<View/>"));
	for (size_t i = 0; i < 32; i++) {
		static const char hex[] = "22735e1eee21b0ff630713dc2f394850c80ace2b63a7be00028374afaad37eb6";
		unsigned          byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		assert_int_equal(config->hash[i], byte);
	}
	label_config_free(config);
	label_config_free(NULL);
}

/* ---- what is no config ---- */

static void test_refused(void **state)
{
	static const struct { const char *xml, *message; } cases[] = {
		{ "", "is empty" },
		{ " \n\t", "is empty" },
		{ "text", "not well-formed XML: line 1: Start tag expected" },
		{ "<", "not well-formed" },
		{ "a=b=c", "not well-formed" },
		/* UTF-16 and EBCDIC, which libxml2 would follow. */
		{ "\xff\xfe<", "it is not UTF-8" },
		{ "\xfe\xff<", "it is not UTF-8" },
		{ "\x4c\x6f\xa7\x94\x80", "it is not UTF-8" },
		{ "\x4c\x6f\xa7", "not well-formed" },
		{ "{\"a\": 1}", "not well-formed" },
		{ "<View>", "not well-formed" },
		{ "<View></view>", "not well-formed" },
		{ "<View>\n\n<Choices></View>", "line 3: Opening and ending tag mismatch: Choices" },
		{ "<View/><View/>", "not well-formed XML: line 1: Extra content" },
		{ "<View a='1' a='2'/>", "Attribute a redefined" },
		{ "<View a=1/>", "not well-formed" },
		{ "<View>&foo;</View>", "Entity 'foo' not defined" },
		{ "<View a='&foo;'/>", "Entity 'foo' not defined" },
		{ "<View a='<'/>", "not well-formed" },
		{ "<View>&#0;</View>", "not well-formed" },
		{ "<View>\x01</View>", "not well-formed" },
		{ "<View>\xff\xfe</View>", "not well-formed" },
		{ "<View>\xed\xa0\x80</View>", "not well-formed" },
		{ "<!DOCTYPE View><View/>", "has a document type" },
		{ "\xef\xbb\xbf<!DOCTYPE View><View/>", "has a document type" },
		{ "<?xml version='1.0'?><!-- x --><?p?>\n <!DOCTYPE View []><View/>", "has a document type" },
		{ "<!DOCTYPE", "has a document type" },
		{ "<!doctype html><html></html>", "has a document type" },
		{ "<View/><!DOCTYPE View>", "not well-formed" },
		{ "<View><!DOCTYPE View></View>", "not well-formed" },
	};

	char signs[1500];

	(void)state;
	for (size_t i = 0; i < countof(cases); i++)
		check_refused(cases[i].xml, span_of(cases[i].xml), cases[i].message);
	check_refused("NUL", SPAN("<View/>\0<!-- -->"), "holds a NUL");
	/* Attributes are those of an element: signs before the first are none. */
	memset(signs, '=', sizeof signs);
	check_refused("signs", (struct span){ signs, sizeof signs }, "not well-formed");
	check_refused("no bytes", (struct span){ NULL, 0 }, "is empty");
}

/* As an attribute's value, whatever is in it. */
static void test_put_choice(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	label_config_put_choice(&b, SPAN("a<b>&\"c'\x1f \xc3\xa9\t"));
	assert_string_equal(b.p, "<Choice value=\"a&#60;b&#62;&#38;&#34;c'&#31; \xc3\xa9&#9;\"/>");
	buf_clear(&b);
}

static void test_hostile_files(void **state)
{
	static const char *const files[] = {
		"hostile_laughs.xml", "hostile_external.xml", "hostile_dtd.xml", "hostile_parameter.xml",
	};
	struct label_config *config;

	(void)state;
	for (size_t i = 0; i < countof(files); i++) {
		struct buf b;

		read_file(&b, files[i]);
		check_refused(files[i], buf_span(&b), "has a document type");
		buf_clear(&b);
	}
	/* An inclusion is an element like others. */
	config = parse_file("hostile_xinclude.xml");
	assert_int_equal(config->choices->n_labels, 1);
	label_config_free(config);
}

/* Should one pass the look beforehand, libxml2 is stopped before its content. */
static void test_second_line(void **state)
{
	struct builder          b = { .depth = 0 };
	const struct xml_events ev = { start_element, end_element, &b };
	struct err              e = { 0 };

	(void)state;
	assert_int_equal(xml_read(SPAN("<!DOCTYPE v [<!ENTITY a \"a\"> <!bad> ]><v>&a;</v>"), &ev, &e), -1);
	assert_int_equal(e.code, ERR_SHAPE);
	assert_non_null(strstr(e.msg, "has a document type"));
	/* Of the library that was opened: it opens nothing, even what is there. */
	assert_null(xmlGetExternalEntityLoader()("/etc/passwd", NULL, NULL));
}

/* ---- sizes ---- */

static void repeat(struct buf *b, const char *before, size_t n, const char *fmt, const char *after)
{
	char piece[200];

	buf_init(b, 8 << 20);
	buf_adds(b, before);
	for (size_t i = 0; i < n; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(piece, sizeof piece, fmt, (int)i);
#pragma GCC diagnostic pop
		buf_adds(b, piece);
	}
	buf_adds(b, after);
	assert_int_equal(b->failed, ERR_OK);
}

static void nest(struct buf *b, size_t depth, bool closed)
{
	buf_init(b, 8 << 20);
	for (size_t i = 0; i < depth; i++)
		buf_adds(b, "<a>");
	for (size_t i = 0; closed && i < depth; i++)
		buf_adds(b, "</a>");
}

#define HEAD "<View>" T "<Choices name='c' toName='t'>"
#define TAIL "</Choices></View>"

static void test_limits(void **state)
{
	char  label[1100], xml[1300];
	struct buf b;
	struct label_config *config;
	static const struct {
		const char *what, *before, *piece, *after, *message;
		size_t      taken, refused;     /* the greatest number that is, the least that is not */
	} cases[] = {
		{ "labels", HEAD, "<Choice value='l%d'/>", TAIL, "more than 10000 labels", 10000, 10001 },
		{ "controls", "<View>", "<Choices name='c%d' toName='t'/>", "</View>", "more than 1000 controls", 1000, 1001 },
		{ "objects", "<View>", "<Text name='t%d' value='$t'/>", "</View>", "more than 1000 objects", 1000, 1001 },
		{ "attributes", "<View", " a%d=''", "/>", "more than 1000 attributes", 1000, 1001 },
		{ "toName", "<View><Choices name='c' toName='x", ",t%d", "'/></View>", "more than 10000 names", 9999, 10000 },
		{ "bytes", "<View>", "<View>%08d</View>", "</View>  ", "larger than 1 MB", 49931, 49932 },
	};

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		repeat(&b, cases[i].before, cases[i].taken, cases[i].piece, cases[i].after);
		config = parse(buf_span(&b));
		if (i == 0)
			assert_int_equal(config->choices->n_labels, 10000);
		label_config_free(config);
		buf_clear(&b);
		repeat(&b, cases[i].before, cases[i].refused, cases[i].piece, cases[i].after);
		check_refused(cases[i].what, buf_span(&b), cases[i].message);
		buf_clear(&b);
	}

	nest(&b, LABEL_CONFIG_DEPTH_MAX, true);
	label_config_free(parse(buf_span(&b)));
	buf_clear(&b);
	nest(&b, LABEL_CONFIG_DEPTH_MAX + 1, true);
	check_refused("depth", buf_span(&b), "nested more than 100 levels deep");
	buf_clear(&b);

	for (int len = 1024; len <= 1025; len++) {
		memset(label, 'x', sizeof label);
		label[len] = '\0';
		snprintf(xml, sizeof xml, HEAD "<Choice value='%s'/>" TAIL, label);
		if (len == 1024)
			label_config_free(parse(span_of(xml)));
		else
			check_refused("label", span_of(xml), "label of more than 1024 bytes");
	}
}

/* Texts of 1 MB made to cost most, each in a process of its own, whose peak of
 * memory and time are measured.  300 KB of entities took libxml2 2.5 GB. */
static void make_worst(struct buf *b, int which)
{
	switch (which) {
	case 0:         /* quadratic: one long entity, used often */
		buf_init(b, 8 << 20);
		buf_adds(b, "<!DOCTYPE v [<!ENTITY a \"");
		for (int i = 0; i < 150000; i++)
			buf_addc(b, 'a');
		buf_adds(b, "\">]><v>");
		for (int i = 0; i < 50000; i++)
			buf_adds(b, "&a;");
		buf_adds(b, "</v>");
		break;
	case 1:         /* nothing but depth, not even closed */
		nest(b, 300000, false);
		break;
	case 2:         /* names that are all different */
		repeat(b, "<v>", 100000, "<n%d/>", "</v>");
		break;
	case 3:         /* one element of 140,000 attributes */
		repeat(b, "<v", 100000, " a%d=''", "/>");
		break;
	case 4:         /* many of just under 1,000, all labels */
		repeat(b, "", 950, " a%d=''", "/>");
		{
			struct buf one = *b;

			buf_init(b, 8 << 20);
			buf_adds(b, HEAD);
			for (int i = 0; i < 120; i++) {
				buf_addf(b, "<Choice value='l%d'", i);
				buf_add(b, one.p, one.len);
			}
			buf_adds(b, TAIL);
			buf_clear(&one);
		}
		break;
	case 5:         /* errors without end */
		repeat(b, "<v>", 100000, "<a &b='", "");
		break;
	case 6:         /* labels to the limit */
		repeat(b, HEAD, 10000, "<Choice value='label %d' background='x' hotkey='y' alias=''/>", TAIL);
		break;
	case 7:         /* repeated attributes: an error, and all after it */
		repeat(b, "<v a='' a=''", 100000, " a%d=''", "/>");
		break;
	case 8:         /* inputs: names times objects */
		repeat(b, "<View>", 1000, "<Text name='no%d' value='v'/>", "<Choices name='c' toName='x");
		for (int i = 0; i < 9990; i++)
			buf_adds(b, ",nox");
		buf_adds(b, "'/></View>");
		break;
	default:        /* namespaces, declared often and used often */
		repeat(b, "<v", 900, " xmlns:n%d='u'", ">");
		for (int i = 0; i < 150000; i++)
			buf_adds(b, "<z:a/>");
		buf_adds(b, "</v>");
	}
}

/* A sanitizer keeps what was freed: its memory is not the program's. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURES_MEMORY 0
#elif defined(__has_feature)
#define MEASURES_MEMORY (!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer))
#else
#define MEASURES_MEMORY 1
#endif

static void test_worst_cases(void **state)
{
	long idle_kb = 0;

	(void)state;
	for (int which = -1; which < 10; which++) {
		struct rusage u;
		pid_t         pid = fork();
		int           status;

		assert_true(pid >= 0);
		if (pid == 0) {
			struct label_config *config = NULL;
			struct err           e = { 0 };
			struct buf           b;

			buf_init(&b, 100);
			buf_adds(&b, "<View/>");
			if (which >= 0) {
				buf_clear(&b);
				make_worst(&b, which);
			}
			if (b.failed != ERR_OK)
				_exit(1);
			(void)label_config_parse(&config, buf_span(&b), &e);
			if (config == NULL && (e.code != ERR_SHAPE || strstr(e.msg, "1 MB") != NULL))
				_exit(2);
			_exit(0);
		}
		assert_int_equal(wait4(pid, &status, 0, &u), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		if (which < 0)
			idle_kb = u.ru_maxrss;
		/* 2.5 MB of it are the text itself and its buffer. */
		if (MEASURES_MEMORY && measured() && which >= 0 && u.ru_maxrss - idle_kb > 24 * 1024)
			fail_msg("case %d: %ld KB", which, u.ru_maxrss - idle_kb);
		if (MEASURES_MEMORY && measured() && u.ru_utime.tv_sec >= 2)
			fail_msg("case %d: %ld s", which, (long)u.ru_utime.tv_sec);
	}
}

/* Nothing is printed, whatever is wrong. */
static void test_silence(void **state)
{
	static const char *const texts[] = { "<View>", "<a><b></a>", "<a>&x;</a>", "<a>\xff</a>", "<!DOCTYPE a><a/>" };
	int                      saved[2], out[2];
	char                     byte;

	(void)state;
	fflush(NULL);
	assert_int_equal(pipe(out), 0);
	for (int fd = 1; fd <= 2; fd++) {
		saved[fd - 1] = dup(fd);
		dup2(out[1], fd);
	}
	close(out[1]);
	for (size_t i = 0; i < countof(texts); i++) {
		struct label_config *config = NULL;
		struct err           e = { 0 };

		if (label_config_parse(&config, span_of(texts[i]), &e) == 0)
			label_config_free(config);
	}
	fflush(NULL);
	for (int fd = 1; fd <= 2; fd++) {
		dup2(saved[fd - 1], fd);
		close(saved[fd - 1]);
	}
	assert_int_equal(read(out[0], &byte, 1), 0);
	close(out[0]);
}

/* ---- threads ---- */

static void *parse_often(void *arg)
{
	const struct span *texts = arg;

	for (int i = 0; i < 300; i++) {
		struct label_config *config = NULL;
		struct err           e = { 0 };

		if (label_config_parse(&config, texts[0], &e) < 0 || config->n_controls != 4)
			return arg;
		label_config_free(config);
		if (label_config_parse(&config, texts[1], &e) == 0 ||
		    strstr(e.msg, "mismatch: Choices") == NULL)
			return arg;
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t   threads[4];
	struct buf  b;
	struct span texts[2];

	(void)state;
	read_file(&b, "reviews.xml");
	texts[0] = buf_span(&b);
	texts[1] = SPAN("<View><Choices></View>");
	for (size_t i = 0; i < countof(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, parse_often, texts), 0);
	for (size_t i = 0; i < countof(threads); i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	buf_clear(&b);
}

/* ---- the elements that are kept ---- */

static void same_text(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a != NULL)
		assert_string_equal(a, b);
}

static void same_object(const struct object_tag *a, const struct object_tag *b)
{
	same_text(a->name, b->name);
	same_text(a->type, b->type);
	same_text(a->value, b->value);
	same_text(a->value_type, b->value_type);
	same_text(a->text_key, b->text_key);
}

static void same_control(const struct control_tag *a, const struct control_tag *b)
{
	same_text(a->name, b->name);
	same_text(a->type, b->type);
	same_text(a->choice, b->choice);
	assert_int_equal(a->n_to_name, b->n_to_name);
	for (size_t i = 0; i < a->n_to_name; i++)
		same_text(a->to_name[i], b->to_name[i]);
	assert_int_equal(a->n_inputs, b->n_inputs);
	for (size_t i = 0; i < a->n_inputs; i++)
		same_object(a->inputs[i], b->inputs[i]);
	assert_int_equal(a->n_labels, b->n_labels);
	for (size_t i = 0; i < a->n_labels; i++) {
		same_text(a->labels[i].name, b->labels[i].name);
		assert_int_equal(a->labels[i].n_attrs, b->labels[i].n_attrs);
		for (size_t k = 0; k < a->labels[i].n_attrs; k++) {
			same_text(a->labels[i].attrs[k].name, b->labels[i].attrs[k].name);
			same_text(a->labels[i].attrs[k].value, b->labels[i].attrs[k].value);
		}
	}
}

static void same_config(const struct label_config *a, const struct label_config *b)
{
	assert_int_equal(a->n_controls, b->n_controls);
	for (size_t i = 0; i < a->n_controls; i++)
		same_control(&a->controls[i], &b->controls[i]);
	assert_int_equal(a->choices == NULL, b->choices == NULL);
	if (a->choices != NULL) {
		assert_int_equal(a->choices - a->controls, b->choices - b->controls);
		same_object(a->text, b->text);
	}
	same_text(a->reason, b->reason);
	assert_true(span_eq(a->xml, b->xml));
	assert_memory_equal(a->hash, b->hash, sizeof a->hash);
}

/* From what is kept and nothing else; NULL: it is not taken. */
static struct label_config *replayed(struct span xml, struct span elements)
{
	struct label_config *config = NULL;

	return build(&config, xml, elements, NULL, NULL) == 0 ? config : NULL;
}

/* Parsed, recorded and replayed is one.  Was it taken? */
static bool all_the_same(struct span xml)
{
	struct label_config *config[3] = { NULL };
	struct buf           elements;
	bool                 taken = label_config_parse(&config[0], xml, NULL) == 0;

	buf_init(&elements, CONFIG_ELEMENTS_MAX);
	assert_int_equal(label_config_record(&config[1], xml, &elements, NULL), taken ? 0 : -1);
	if (taken) {
		config[2] = replayed(xml, buf_span(&elements));
		if (config[2] == NULL)
			fail_msg("%.*s: not replayed from %.*s", (int)xml.len, xml.p, (int)elements.len, elements.p);
		same_config(config[0], config[1]);
		same_config(config[0], config[2]);
	}
	for (size_t i = 0; i < countof(config); i++)
		label_config_free(config[i]);
	buf_clear(&elements);
	return taken;
}

static void test_replayed(void **state)
{
	static const char *const files[] = {
		"dynamic.xml", "image.xml", "ner.xml", "reviews.xml", "sentiment.xml", "two_choices.xml", "hostile_xinclude.xml",
		"hostile_dtd.xml", "hostile_external.xml", "hostile_laughs.xml", "hostile_parameter.xml",
	};

	(void)state;
	for (size_t i = 0; i < countof(files); i++) {
		struct buf b;

		read_file(&b, files[i]);
		assert_true(all_the_same(buf_span(&b)) == (i < 7));
		buf_clear(&b);
	}
	/* The largest there are. */
	for (int which = 0; which < 10; which++) {
		struct buf b;

		make_worst(&b, which);
		(void)all_the_same(buf_span(&b));
		buf_clear(&b);
	}
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	return *seed ^= *seed << 17;
}

/* Texts made of pieces, most of them nearly right. */
static void test_replayed_random(void **state)
{
	static const char *const pieces[] = {
		"<Choice value='a'/>", "<Choice value=\"&amp;&#38;b&#x26;\" alias='&lt;&quot;'/>", "<Choice alias='' value='\xc3\xa9'>",
		"</Choice>", "<Choices name='c' toName='t, u'>", "</Choices>", "<Choices name='d&#10;' toName='t' choice='multiple'>",
		"<Text name='u' value='$&#38;'/>", "<View a='\t\r\n&#9;&#13; x' b=''>", "</View>", "<!-- <a/> -->", "<![CDATA[<a>]]>",
		"<Label value='\\u0000'/>", "<HyperText name='t' value='$h' valueType='text'/>", "text", "<?p?>", "<x:y xmlns:x='z' x:w='1'/>",
		"<Choice value='&#x1F600;\xe2\x80\xa8\x7f'/>", "<", "'", "&", "<Choice value=\"'\"/>",
	};
	uint64_t seed = 88172645463325252u;
	size_t   taken = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char   text[1200], copy[1200];
		size_t n = (size_t)snprintf(text, sizeof text, "<View><Text name='t' value='$t'/><Choices name='e' toName='t'>");

		for (int i = 0; i < 5; i++)
			if (next_random(&seed) % 4 != 0)
				n += (size_t)snprintf(text + n, sizeof text - n, "%s", pieces[next_random(&seed) % countof(pieces)]);
		n += (size_t)snprintf(text + n, sizeof text - n, "</Choices></View>");
		memcpy(copy, text, n);
		taken += all_the_same((struct span){ copy, n });
	}
	assert_in_range(taken, 3000, 19000);
}

/* Damage of every byte, every length, another config's: the text is read. */
static void test_damaged_elements(void **state)
{
	struct label_config *whole, *config = NULL;
	struct buf           xml, elements;

	(void)state;
	read_file(&xml, "sentiment.xml");
	buf_init(&elements, CONFIG_ELEMENTS_MAX);
	assert_int_equal(label_config_record(&whole, buf_span(&xml), &elements, NULL), 0);
	for (size_t i = 0; i <= elements.len; i++)
		for (int bit = 0; bit < 9; bit++) {
			const size_t len = bit < 8 ? elements.len : i;
			char        *kept = malloc(len + 1);         /* no byte too many for ASan */

			assert_non_null(kept);
			memcpy(kept, elements.p, len);
			if (bit < 8 && i < len)
				kept[i] = (char)(kept[i] ^ 1 << bit);
			kept = realloc(kept, len == 0 ? 1 : len);
			config = replayed(buf_span(&xml), (struct span){ kept, len });
			assert_int_equal(config != NULL, i == elements.len);
			label_config_free(config);
			if (bit == (int)(i % 9)) {
				assert_int_equal(label_config_replay(&config, buf_span(&xml), (struct span){ kept, len }, NULL), 0);
				same_config(whole, config);
				label_config_free(config);
			}
			free(kept);
		}
	assert_null(replayed(SPAN("<View/>"), buf_span(&elements)));
	label_config_free(whole);
	buf_clear(&elements);
	buf_clear(&xml);
}

/* With the right sum. */
static void forge(struct buf *b, struct span xml, struct span body)
{
	unsigned char hash[32];
	char          sum[SUM_LEN + 1];
	struct buf    summed;

	buf_init(&summed, CONFIG_ELEMENTS_MAX * 2);
	buf_adds(&summed, "\"");
	buf_add(&summed, body.p, body.len);
	crypto_hash_sha256(hash, (const unsigned char *)xml.p, xml.len);
	sum_of(buf_span(&summed), hash, sum);
	buf_init(b, CONFIG_ELEMENTS_MAX * 2);
	buf_addf(b, "[\"%s", sum);
	buf_add(b, summed.p, summed.len);
	buf_clear(&summed);
	assert_int_equal(b->failed, ERR_OK);
}

/* The same with another beginning than `["`, and what is behind the sum. */
static bool framed(struct span xml, const char *begin, const char *behind)
{
	struct label_config *config;
	unsigned char        hash[32];
	char                 sum[SUM_LEN + 1];
	struct buf           b;

	crypto_hash_sha256(hash, (const unsigned char *)xml.p, xml.len);
	sum_of(span_of(behind), hash, sum);
	buf_init(&b, 1000);
	buf_addf(&b, "%s%s%s", begin, sum, behind);
	config = replayed(xml, buf_span(&b));
	label_config_free(config);
	buf_clear(&b);
	return config != NULL;
}

static bool forged(struct span xml, struct span body)
{
	struct label_config *config;
	struct buf           b;

	forge(&b, xml, body);
	config = replayed(xml, buf_span(&b));
	label_config_free(config);
	buf_clear(&b);
	return config != NULL;
}

/* What somebody wrote into the store with a sum that is right: the form and the limits
 * hold all the same. */
static void test_forged_elements(void **state)
{
	static const char *const odd[] = {
		"", "]", ",0]", ",[\"a\"]]", ",[\"a\"],0,0]", ",[\"a\"],0,[\"b\"],0]", ",[\"a\"],0", ",[\"a\"],0]]", ",[\"a\"],1]",
		",[\"a\"],null]", ",[\"a\"],\"0\"]", ",[\"a\"],0.0]", ",[],0]", ",[\"a\",\"b\"],0]", ",[\"a\",\"b\",1],0]",
		",[1],0]", ",[\"a\\u0000b\"],0]", ",[\"a\",\"b\",\"\\u0000\"],0]", ",[[\"a\"]],0]", ",{\"a\":1},0]", ",\"a\",0]",
		",[\"a\"],0,]", ",[\"\xff\"],0]", ",[\"a\\\"],0]", ",[\"a\",],0]", ":[\"a\"],0]", ",[\"a\"],0}",
	};
	/* What the sum does not cover: where the document begins. */
	static const struct { const char *begin, *behind; } frames[] = {
		{ "{\"", "\":[\"a\"]}" }, { "[\"", "x\",[\"a\"],0]" }, { "[\"", "\",[\"a\"],0]" },
	};
	static const char *const names[] = { "Text", "name", "t", "value", "Choices", "toName", "Choice", "", "&#38;", "\\ud800", "é" };
	const struct span xml = SPAN("<View/>");
	uint64_t          seed = 4101842887655102017u;
	struct buf        b;

	(void)state;
	assert_true(forged(xml, SPAN(",[\"a\"],0]")));
	assert_true(forged(xml, SPAN(",[\"\",\"\",\"\"],[\"b\"],0,0] ")));
	for (size_t i = 0; i < countof(odd); i++)
		if (forged(xml, span_of(odd[i])))
			fail_msg("%s", odd[i]);
	for (size_t i = 0; i < countof(frames); i++)
		assert_true(framed(xml, frames[i].begin, frames[i].behind) == (i == countof(frames) - 1));
	for (int deep = 100; deep <= 101; deep++) {
		buf_init(&b, 1 << 20);
		for (int i = 0; i < deep; i++)
			buf_adds(&b, ",[\"a\"]");
		for (int i = 0; i < deep; i++)
			buf_adds(&b, ",0");
		buf_addc(&b, ']');
		assert_true(forged(xml, buf_span(&b)) == (deep == 100));
		buf_clear(&b);
	}
	for (int labels = 10000; labels <= 10001; labels++) {
		buf_init(&b, 1 << 20);
		buf_adds(&b, ",[\"c\",\"name\",\"c\",\"toName\",\"t\"]");
		for (int i = 0; i < labels; i++)
			buf_addf(&b, ",[\"Choice\",\"value\",\"%d\"],0", i);
		buf_adds(&b, ",0]");
		assert_true(forged(xml, buf_span(&b)) == (labels == 10000));
		buf_clear(&b);
	}
	/* Nothing of the text is too small for what is kept of it: memory has its limit. */
	buf_init(&b, CONFIG_ELEMENTS_MAX * 2);
	buf_adds(&b, ",[\"a\"");
	while (b.len < CONFIG_ELEMENTS_MAX - 100)
		buf_adds(&b, ",\"\",\"\"");
	buf_adds(&b, "],0]");
	(void)forged(xml, buf_span(&b));
	buf_addf(&b, "%100s", "");
	assert_false(forged(xml, buf_span(&b)));
	buf_clear(&b);
	for (int round = 0; round < 20000; round++) {
		buf_init(&b, 1 << 20);
		for (uint64_t n = next_random(&seed) % 12; n > 0; n--) {
			buf_addf(&b, ",[\"%s\"", names[next_random(&seed) % countof(names)]);
			for (uint64_t k = next_random(&seed) % 7; k > 0; k--)
				buf_addf(&b, ",\"%s\"", names[next_random(&seed) % countof(names)]);
			buf_adds(&b, next_random(&seed) % 2 == 0 ? "],0" : "]");
		}
		buf_adds(&b, next_random(&seed) % 2 == 0 ? ",0]" : "]");
		if (b.len > 0 && next_random(&seed) % 2 == 0)
			b.p[next_random(&seed) % b.len] ^= (char)(1 << next_random(&seed) % 8);
		(void)forged(xml, buf_span(&b));
		buf_clear(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worst_cases),             /* first: forks of a small process */
		cmocka_unit_test(test_parsed_form),
		cmocka_unit_test(test_as_recorded),
		cmocka_unit_test(test_choices_over_text),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_objects_with_text), cmocka_unit_test(test_multiple),
		cmocka_unit_test(test_details),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_put_choice),
		cmocka_unit_test(test_hostile_files),
		cmocka_unit_test(test_second_line),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_replayed), cmocka_unit_test(test_replayed_random),
		cmocka_unit_test(test_damaged_elements), cmocka_unit_test(test_forged_elements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
