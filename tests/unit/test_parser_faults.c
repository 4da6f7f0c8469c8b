/*
 * test_parser_faults.c - each allocation of the readers of a labeling config fails in turn,
 * libxml2 is not there, and two names have one hash.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "studio/config_elements.h"
#include "studio/label_config.h"
#include "faults.h"

#include <dlfcn.h>
#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include <stdlib.h>
#include <string.h>

static int faulty_buf_check(const struct buf *b, const char *what, struct err *e)
{
	return fault_here("buf_check", ERR_MEMORY) ? err_memory(e) : buf_check(b, what, e);
}

static int faulty_json_text(struct span value, struct arena *a, struct span *text, struct err *e)
{
	return fault_here("json_text", ERR_MEMORY) ? err_memory(e) : json_text(value, a, text, e);
}

static void *faulty_dlopen(const char *name, int flags)
{
	return fault_here(flags & RTLD_NOLOAD ? "has it" : "dlopen", ERR_STORE) ? NULL : dlopen(name, flags);
}

static struct {                          /* what stands in place of a function of libxml2 */
	const char *name;
	void       *function;
} instead[2];

static void *faulty_dlsym(void *so, const char *name)
{
	for (size_t i = 0; i < countof(instead); i++)
		if (instead[i].name != NULL && strcmp(name, instead[i].name) == 0)
			return instead[i].function;
	return fault_here("dlsym", ERR_STORE) ? NULL : dlsym(so, name);
}

static int faulty_dlclose(void *so)
{
	const int rc = dlclose(so);

	return fault_here("dlclose", ERR_STORE) ? -1 : rc;
}

#define buf_check   faulty_buf_check
#define dlopen      faulty_dlopen
#define dlsym       faulty_dlsym
#define dlclose     faulty_dlclose
#define malloc      faulty_malloc
#define calloc      faulty_calloc
#define arena_alloc faulty_arena_alloc
#define arena_array faulty_arena_array
#define arena_copy  faulty_arena_copy

#include "../../lib/base/json.c"
#define json_text   faulty_json_text
#include "../../lib/base/json_digest.c"
#include "../../lib/studio/config_elements.c"
#include "../../lib/studio/label_config.c"
#define start_element xml_start_element
#define end_element   xml_end_element
#include "../../lib/studio/xml_libxml2.c"
#undef start_element
#undef end_element

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Controls, objects and labels of all forms; one that serves nothing. */
static const char *const configs[] = {
	"<View><Text name=\"t\" value=\"$t\" valueType=\"url\"/><Text name=\"u\" value=\"$u\"/><Paragraphs name=\"p\" value=\"$p\" textKey=\"k\"/>"
	"<Choices name=\"c\" toName=\"u,t\" choice=\"multiple\"><Choice value=\"a\" hint=\"x\"/><Choice alias=\"b\" value=\"bb\"/>"
	"<Choice value=\"a\" hint=\"y\"/></Choices><Labels name=\"l\" toName=\"u\"><Label value=\"a\"/></Labels></View>",
	"<View><Choices name=\"c\" toName=\"nothing\"><Choice value=\"a\"/></Choices></View>",
};

static int parse(struct span xml, struct buf *elements, struct err *e)
{
	struct label_config *config = NULL;
	int                  rc = elements == NULL ? label_config_parse(&config, xml, e) : label_config_record(&config, xml, elements, e);

	assert_true((rc == 0) == (config != NULL));
	label_config_free(config);
	return rc;
}

/* What harms nobody: to ask whether another has libxml2, and to give that back. */
static bool harmless(void)
{
	return strcmp(fault_name, "has it") == 0 || (strcmp(fault_name, "dlclose") == 0 && !stuck);
}

/* As each call that may fail is to be told. */
static enum err_code failing(void)
{
	return strncmp(fault_name, "dl", 2) == 0 ? ERR_BROKEN : ERR_MEMORY;
}

static void each_allocation_of_a_config_fails_in_turn(void **state)
{
	int n_stuck = 0;

	(void)state;
	for (size_t i = 0; i < countof(configs); i++)
		for (int recorded = 0; recorded < 2; recorded++)
			for (long at = 0; ; at++) {
				struct buf elements;
				struct err e = { 0 };
				int        rc;

				buf_init(&elements, CONFIG_ELEMENTS_MAX);
				fault_arm(at);
				rc = parse(span_of(configs[i]), recorded ? &elements : NULL, &e);
				fault_disarm();
				buf_clear(&elements);
				if (fault_name == NULL) {
					assert_int_equal(rc, 0);
					assert_true(at > 10);
					break;
				}
				if (harmless() ? rc != 0 : rc != -1 || e.code != failing())
					fail_msg("call %ld (%s) fails: %d, %d \"%s\"", at, fault_name, rc, e.code, e.msg);
				err_clear(&e);
				if (stuck) {               /* it stays broken, and its process ends */
					assert_int_equal(parse(span_of(configs[i]), NULL, &e), -1);
					assert_int_equal(e.code, ERR_BROKEN);
					n_stuck++;
				}
				stuck = false;
				err_clear(&e);
				assert_int_equal(parse(span_of(configs[i]), NULL, &e), 0);
			}
	assert_int_equal(n_stuck, 4 * 10);             /* opening, eight names, closing */
}

/* Who asks only whether it can be read is told of no reason. */
static void nobody_is_told_that_it_did_not_close(void **state)
{
	(void)state;
	for (long at = 0; !stuck; at++) {
		assert_true(at < 100);
		fault_arm(at);
		(void)parse(SPAN("<View/>"), NULL, NULL);
		fault_disarm();
		if (stuck && strcmp(fault_name, "dlclose") != 0)
			stuck = false;
	}
	stuck = false;
	assert_int_equal(parse(SPAN("<View/>"), NULL, NULL), 0);
}

/* What was kept can't be read: the text is read instead, whatever is missing. */
static void each_allocation_of_a_replay_fails_in_turn(void **state)
{
	const struct span xml = span_of(configs[0]);
	struct buf        elements;
	struct err        e = { 0 };
	long              at;

	(void)state;
	buf_init(&elements, CONFIG_ELEMENTS_MAX);
	assert_int_equal(parse(xml, &elements, &e), 0);
	for (at = 0; fault_name != NULL || at == 0; at++) {
		struct label_config *config = NULL;

		fault_arm(at);
		assert_int_equal(label_config_replay(&config, xml, buf_span(&elements), &e), 0);
		fault_disarm();
		assert_int_equal(config->n_controls, 2);
		assert_int_equal(config->choices->n_labels, 2);
		label_config_free(config);
	}
	assert_true(at > 20);
	buf_clear(&elements);
}

/* More than they have room for. */
static void elements_without_room_are_refused(void **state)
{
	struct buf elements;
	struct err e = { 0 };

	(void)state;
	buf_init(&elements, 200);
	assert_int_equal(parse(span_of(configs[0]), &elements, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	buf_clear(&elements);
}

/* Where it can't be opened, whole or in part, this process does not try again. */
static void a_libxml2_that_is_not_there(void **state)
{
	struct err e = { 0 };
	long       at;

	(void)state;
	fault_arm(1);
	assert_int_equal(parse(SPAN("<View/>"), NULL, &e), -1);
	fault_disarm();
	assert_string_equal(fault_name, "calloc");
	err_clear(&e);
	fault_arm(3);
	assert_int_equal(parse(SPAN("<View/>"), NULL, &e), -1);
	fault_disarm();
	assert_string_equal(fault_name, "dlopen");
	assert_int_equal(e.code, ERR_BROKEN);
	assert_true(stuck);
	for (at = 0; ; at++) {
		bool all;

		stuck = false;
		fault_arm(at);
		all = open_library();
		fault_disarm();
		if (fault_name == NULL)
			break;
		/* Whether another has it is asked, and given back. */
		assert_int_equal(all, strcmp(fault_name, "has it") == 0 || strcmp(fault_name, "dlclose") == 0);
	}
	assert_int_equal(at, 11);                          /* two openings, eight names, one closing */
}

/* ---- what libxml2 may do, and with these texts does not ------------------------------- */

static void *told;                       /* to whom errors are told */

static void note_who(void *who, xmlStructuredErrorFunc tell)
{
	(void)tell;
	told = who == NULL ? told : who;
}

static void no_memory_to_begin(void)
{
	xmlError x = { .level = XML_ERR_FATAL, .code = XML_ERR_NO_MEMORY };

	xml_error(told, &x);
}

static xmlParserCtxtPtr no_parser(void)
{
	return NULL;
}

static xmlDocPtr silently_wrong(xmlParserCtxtPtr xml, const char *text, int len, const char *url, const char *encoding, int options)
{
	(void)text;
	(void)len;
	(void)url;
	(void)encoding;
	(void)options;
	xml->wellFormed = 0;
	return NULL;
}

static enum err_code parsed_with(const char *name, void *function)
{
	struct err e = { 0 };

	instead[0].name = name;
	instead[0].function = function;
	assert_int_equal(parse(SPAN("<View/>"), NULL, &e), -1);
	instead[0].name = NULL;
	return e.code;
}

/* A function read as an object pointer, as dlsym() gives it. */
#define OBJECT(function) (*(void **)&(__typeof__(&(function))){ &(function) })

static void what_libxml2_fails_at_is_told(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(parsed_with("xmlNewParserCtxt", OBJECT(no_parser)), ERR_MEMORY);
	assert_int_equal(parsed_with("xmlCtxtReadMemory", OBJECT(silently_wrong)), ERR_SHAPE);
	instead[1].name = "xmlSetStructuredErrorFunc";
	instead[1].function = OBJECT(note_who);
	assert_int_equal(parsed_with("xmlInitParser", OBJECT(no_memory_to_begin)), ERR_MEMORY);
	instead[1].name = NULL;
	assert_int_equal(parse(SPAN("<View/>"), NULL, &e), 0);
}

static int count_start(void *arg, const char *name, const char *const *attrs)
{
	(void)name;
	(void)attrs;
	++*(int *)arg;
	return 0;
}

/* The first error is the one that counts, and nothing is looked at behind it. */
static void the_first_error_of_libxml2_counts(void **state)
{
	int                     n = 0;
	struct err              e = { 0 };
	const struct xml_events ev = { count_start, NULL, &n };
	struct reader           r = { .ev = &ev, .e = &e };
	xmlError                x = { .level = XML_ERR_WARNING, .message = NULL };

	(void)state;
	xml_error(&r, &x);
	assert_int_equal(r.rc, 0);                         /* a warning is none */
	xml_start_element(&r, (const xmlChar *)"a", NULL);
	x.level = XML_ERR_FATAL;
	xml_error(&r, &x);
	assert_int_equal(r.rc, -1);
	x.code = XML_ERR_NO_MEMORY;
	xml_error(&r, &x);
	assert_int_equal(e.code, ERR_SHAPE);
	xml_start_element(&r, (const xmlChar *)"a", NULL);
	assert_int_equal(n, 1);
	lib.xmlNewParserCtxt = no_parser;
	assert_int_equal(read_text(&r, SPAN("<a/>")), -1);
	assert_int_equal(e.code, ERR_SHAPE);
	open_library();
}

/* A message is cut between characters: the reply is JSON, and UTF-8. */
static void a_message_is_cut_between_characters(void **state)
{
	(void)state;
	for (int shift = 0; shift < 4; shift++) {
		struct buf xml, out;
		struct err e = { 0 };

		buf_init(&xml, 1000);
		buf_init(&out, 1000);
		buf_addf(&xml, "<a%.*s", shift, "aaaa");
		for (int i = 0; i < 60; i++)
			buf_adds(&xml, "\xe2\x82\xac");
		buf_adds(&xml, "></b>");
		assert_int_equal(parse(buf_span(&xml), NULL, &e), -1);
		assert_int_equal(e.code, ERR_SHAPE);
		json_put_text(&out, span_of(e.msg));
		assert_null(strstr(out.p, "\xef\xbf\xbd"));
		assert_non_null(strstr(out.p, &"aaaa"[4 - shift]));
		buf_clear(&out);
		buf_clear(&xml);
	}
}

/* ---- labels ---------------------------------------------------------------------------- */

struct named {
	uint32_t hash;
	char     name[8];
};

static int by_hash(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* The names that the hash, begun with `owner`, confuses; other owners' follow from it. */
static void confused(const void *owner, char a[8], char b[8])
{
	enum { N = 1 << 20 };
	struct named *v = calloc(N, sizeof *v);
	size_t        i = 0;

	assert_non_null(v);
	for (size_t k = 0; k < N; k++) {
		snprintf(v[k].name, sizeof v[k].name, "%zx", k);
		v[k].hash = hash_of(owner, v[k].name);
	}
	qsort(v, N, sizeof *v, by_hash);
	while (i + 1 < N && v[i].hash != v[i + 1].hash)
		i++;
	assert_true(i + 1 < N);                            /* of 2^39 pairs each 2^32nd */
	strcpy(a, v[i].name);
	strcpy(b, v[i + 1].name);
	free(v);
}

/* Labels are found by a hash, and told apart by what they are. */
static void two_names_of_one_hash_are_two_labels(void **state)
{
	static struct builder b;
	struct arena          a;
	struct err            e = { 0 };
	struct control_node  *c;
	char                  first[8], second[8];

	(void)state;
	arena_init(&a, 1 << 20);
	b = (struct builder){ .arena = &a, .e = &e };
	c = arena_array(&a, 2, sizeof *c);
	assert_non_null(c);
	confused(&c[0], first, second);
	const char *const one[] = { "value", first, NULL }, *const other[] = { "value", second, NULL };

	add_label(&b, &c[0], one);
	add_label(&b, &c[0], other);
	add_label(&b, &c[0], one);
	assert_int_equal(c[0].tag.n_labels, 2);
	/* As though the hashes of two owners met: told apart by the owner. */
	c[0].first_label->owner = &c[1];
	c[0].first_label->next->owner = &c[1];
	add_label(&b, &c[0], one);
	assert_int_equal(c[0].tag.n_labels, 3);
	arena_clear(&a);
}

/* Another reader than libxml2 may leave out what is not there. */
static void attributes_without_a_value_are_empty(void **state)
{
	static struct builder b;
	const char *const     attrs[] = { "value", "a", "hint", NULL, NULL };
	struct control_node   c = { .tag = { .choice = NULL } };
	struct arena          a;
	struct err            e = { 0 };

	(void)state;
	arena_init(&a, 1 << 20);
	b = (struct builder){ .arena = &a, .e = &e };
	end_element(&b);                                   /* nothing is open */
	assert_null(attr_of(NULL, "a"));
	assert_string_equal(attr_of(attrs, "hint"), "");
	assert_false(control_multiple(&c.tag));
	add_label(&b, &c, attrs);
	assert_int_equal(c.tag.n_labels, 1);
	assert_string_equal(c.first_label->label.attrs[1].value, "");
	arena_clear(&a);
}

static int count_element(void *arg, struct span element, struct err *e)
{
	(void)element;
	(void)e;
	++*(int *)arg;
	return 0;
}

/* An element in two chunks is put together. */
static void a_stream_without_memory_ends(void **state)
{
	struct json_splitter s;
	struct err           e = { 0 };
	int                  n = 0;

	(void)state;
	json_splitter_init(&s, 100, count_element, &n);
	fault_arm(0);
	assert_int_equal(json_splitter_feed(&s, SPAN("[1,\"a"), &e), -1);
	fault_disarm();
	assert_string_equal(fault_name, "buf_check");
	assert_int_equal(e.code, ERR_MEMORY);
	assert_int_equal(n, 1);
	json_splitter_clear(&s);
}

static void a_digest_without_memory_is_of_what_is_written(void **state)
{
	const struct span text = SPAN("{\"a\\u0041\":\"b\"}"), same = SPAN("{\"aA\":\"b\"}");

	(void)state;
	assert_true(json_same(text, same));
	fault_arm(0);
	assert_false(json_same(text, same));               /* taken for a change: nothing is lost */
	fault_disarm();
	assert_string_equal(fault_name, "json_text");
	assert_true(json_same((struct span){ NULL, 0 }, (struct span){ NULL, 0 }));
	assert_false(json_same((struct span){ NULL, 0 }, text));
	assert_false(json_same(text, (struct span){ NULL, 0 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_libxml2_that_is_not_there),
		cmocka_unit_test(each_allocation_of_a_config_fails_in_turn),
		cmocka_unit_test(nobody_is_told_that_it_did_not_close),
		cmocka_unit_test(each_allocation_of_a_replay_fails_in_turn),
		cmocka_unit_test(elements_without_room_are_refused),
		cmocka_unit_test(what_libxml2_fails_at_is_told),
		cmocka_unit_test(the_first_error_of_libxml2_counts),
		cmocka_unit_test(a_message_is_cut_between_characters),
		cmocka_unit_test(two_names_of_one_hash_are_two_labels),
		cmocka_unit_test(attributes_without_a_value_are_empty),
		cmocka_unit_test(a_stream_without_memory_ends),
		cmocka_unit_test(a_digest_without_memory_is_of_what_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
