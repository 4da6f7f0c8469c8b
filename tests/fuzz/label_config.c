/* label_config.c - labeling configurations: parsed, within their limits, and safe. */
#include "fuzz.h"

#include "base/json.h"
#include "studio/config_elements.h"
#include "studio/label_config.h"

#include <libxml/parser.h>

static void silent(void *context, const char *msg, ...)
{
	(void)context;
	(void)msg;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	xmlSetGenericErrorFunc(NULL, silent);
	return 0;
}

/* What libxml2 by itself takes for a document type. */
static bool has_document_type(struct span xml)
{
	xmlDoc *doc = xmlReadMemory(xml.p, (int)xml.len, NULL, "UTF-8", XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	bool    has = doc != NULL && (doc->intSubset != NULL || doc->extSubset != NULL);

	xmlFreeDoc(doc);
	return has;
}

static void must_be_control(const struct control_tag *c)
{
	/* toName="," names nothing: the reason why nothing is served says so */
	must(c->name != NULL && c->type != NULL && c->choice != NULL);
	must(fuzz_is_utf8(span_of(c->name)));
	must(c->n_inputs <= c->n_to_name && c->n_labels <= LABEL_CONFIG_LABELS_MAX);
	for (size_t i = 0; i < c->n_labels; i++) {
		struct span name = span_of(c->labels[i].name);

		must(name.len > 0 && name.len <= LABEL_CONFIG_LABEL_MAX && fuzz_is_utf8(name));
		must(control_label(c, name) == (int)i);         /* every one once */
	}
	must(control_label(c, SPAN("\x01 no label")) == -1);
}

/* The labels of the Choices, in a config made of them, are these labels. */
static void must_come_back(const struct control_tag *choices)
{
	struct label_config *again;
	struct buf           b;
	struct err           e = { 0 };

	buf_init(&b, LABEL_CONFIG_BYTES_MAX * 8);
	buf_adds(&b, "<View><Text name=\"t\" value=\"$t\"/><Choices name=\"c\" toName=\"t\">");
	for (size_t i = 0; i < choices->n_labels; i++)
		label_config_put_choice(&b, span_of(choices->labels[i].name));
	buf_adds(&b, "</Choices></View>");
	must(buf_check(&b, "config", &e) == 0);
	if (b.len <= LABEL_CONFIG_BYTES_MAX) {
		must(label_config_parse(&again, buf_span(&b), &e) == 0);
		must(again->choices != NULL && again->choices->n_labels == choices->n_labels);
		for (size_t i = 0; i < choices->n_labels; i++)
			must(strcmp(again->choices->labels[i].name, choices->labels[i].name) == 0);
		label_config_free(again);
	}
	buf_clear(&b);
}

/* What is kept of its elements makes the same config again. */
static void must_be_kept(const struct label_config *c, struct span json)
{
	struct label_config *recorded, *again;
	struct buf           elements, b;
	struct err           e = { 0 };

	buf_init(&elements, CONFIG_ELEMENTS_MAX);
	buf_init(&b, (size_t)1 << 28);
	must(label_config_record(&recorded, c->xml, &elements, &e) == 0);
	must(label_config_replay(&again, c->xml, buf_span(&elements), &e) == 0);
	label_config_put_json(again, &b);
	must(span_eq(buf_span(&b), json) && (again->choices == NULL) == (c->choices == NULL));
	label_config_free(recorded);
	label_config_free(again);
	buf_clear(&b);
	buf_clear(&elements);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span    xml = { (const char *)data, size };
	struct label_config *c = NULL;
	struct span          root;
	struct buf           b;
	struct err           e = { 0 };

	if (label_config_parse(&c, xml, &e) < 0) {
		must(e.code == ERR_SHAPE);
		fuzz_must_be_error(&e);
		return 0;
	}
	must(span_eq(c->xml, xml) && fuzz_is_utf8(xml));
	must(size > 4096 || !has_document_type(xml));
	must(c->n_controls <= LABEL_CONFIG_CONTROLS_MAX && (c->choices == NULL) == (c->reason != NULL));
	for (size_t i = 0; i < c->n_controls; i++)
		must_be_control(&c->controls[i]);
	if (c->choices != NULL) {
		must(c->text != NULL && c->text->value != NULL);
		must_come_back(c->choices);
	}
	buf_init(&b, (size_t)1 << 28);
	label_config_put_json(c, &b);
	root = fuzz_must_be_json(buf_span(&b));
	must(json_type(root) == JSON_OBJECT);
	must_be_kept(c, buf_span(&b));
	buf_clear(&b);
	label_config_free(c);
	return 0;
}
