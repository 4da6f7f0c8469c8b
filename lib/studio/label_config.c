/*
 * label_config.c - Label Studio's labeling configuration (XML), parsed.
 *
 * libxml2 (xml.h), or what was kept of what it told (config_elements.h), tells us of
 * start and end tags; no tree is built.  Elements are linked up in the config's own arena
 * and laid out as arrays at the end, so that the memory is a small multiple of the text
 * whatever the text is.
 *
 * What libxml2 2.9 does slowly or dangerously is refused before it sees the
 * text: a document type (300 KB of entities made it take 2.5 GB; others made it
 * open files), bytes behind a NUL, and elements with very many attributes (each
 * is compared with all before it).
 */
#include "studio/label_config.h"
#include "base/arena.h"
#include "base/json.h"
#include "studio/config_elements.h"
#include "studio/xml.h"

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>

#define ARENA_BYTES_MAX ((size_t)16 << 20)     /* attributes take most: 5 times their text */
#define ATTRS_MAX 1000                          /* of one element */
#define TO_NAMES_MAX 10000                      /* of all controls */
#define N_BUCKETS 1024

#define TEXT_TAG "Text"
#define HYPERTEXT_TAG "HyperText"
#define PARAGRAPHS_TAG "Paragraphs"
#define CHOICES_TAG "Choices"

struct label_node {
	struct label              label;
	const struct control_node *owner;
	uint32_t                  hash;
	struct label_node        *next;             /* of the same control, in document order */
	struct label_node        *same_bucket;
};

struct control_node {
	struct control_tag   tag;
	struct label_node   *first_label, *last_label;
	struct control_node *next;
};

struct object_node {
	struct object_tag   tag;
	struct object_node *next;
};

/* The config and all it points to: one malloc and the blocks of one arena. */
struct whole {
	struct label_config config;
	struct arena        arena;
};

struct builder {
	struct arena        *arena;
	struct err          *e;
	int                  rc;                    /* -1: *e is set, look at nothing more */

	/* The control that a label at this depth belongs to; NULL: none. */
	struct control_node *inside[LABEL_CONFIG_DEPTH_MAX + 1];
	size_t               depth;

	struct control_node *first_control, *last_control;
	struct object_node  *first_object, *last_object;
	size_t               n_controls, n_objects, n_labels, n_to_names;
	struct label_node   *buckets[N_BUCKETS];    /* all labels, by hash */
};

static int refuse(struct builder *b, const char *what)
{
	b->rc = err_set(b->e, ERR_SHAPE, "the labeling config %s", what);
	return -1;
}

/* ---- elements ---- */

static const char *attr_of(const char *const *attrs, const char *name)
{
	for (; attrs != NULL && attrs[0] != NULL; attrs += 2)
		if (strcmp(attrs[0], name) == 0)
			return attrs[1] != NULL ? attrs[1] : "";
	return NULL;
}

/* The same, but an empty value is no value, as in Label Studio. */
static const char *filled(const char *const *attrs, const char *name)
{
	const char *s = attr_of(attrs, name);

	return s == NULL || s[0] == '\0' ? NULL : s;
}

/* Without entity substitution libxml2 hands over a literal '&' of a value as
 * "&#38;", to be read again by whoever builds a tree.  Every '&' comes so, hence
 * this undoes it exactly.  to: room for strlen(s) + 1.  Returns the end. */
static char *copy_value(char *to, const char *s)
{
	while (*s != '\0') {
		*to++ = *s;
		s += strncmp(s, "&#38;", 5) == 0 ? 5 : 1;
	}
	*to = '\0';
	return to;
}

static const char *keep(struct builder *b, const char *s)
{
	char *copy = arena_alloc(b->arena, strlen(s) + 1);

	if (copy == NULL)
		b->rc = err_memory(b->e);
	else
		copy_value(copy, s);
	return copy;
}

static void *node(struct builder *b, size_t size)
{
	void *p = arena_array(b->arena, 1, size);

	if (p == NULL)
		b->rc = err_memory(b->e);
	return p;
}

static uint32_t hash_of(const void *owner, const char *s)
{
	uint32_t h = 2166136261u ^ (uint32_t)(uintptr_t)owner;      /* FNV-1a */

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

static struct control_node *control_named(const struct builder *b, const char *name)
{
	struct control_node *c = b->first_control;

	while (c != NULL && strcmp(c->tag.name, name) != 0)
		c = c->next;
	return c;
}

/* toName: names between commas, white space around them ignored. */
static int split_names(struct builder *b, struct control_tag *tag, const char *list)
{
	const char **v;
	char        *s;
	size_t       n = 1;

	for (const char *p = list; *p != '\0'; p++)
		n += *p == ',';
	b->n_to_names += n;
	if (b->n_to_names > TO_NAMES_MAX)
		return refuse(b, "has more than 10000 names in toName");
	v = arena_array(b->arena, n, sizeof *v);
	s = arena_copy(b->arena, span_of(list));
	if (v == NULL || s == NULL)
		return b->rc = err_memory(b->e);
	n = 0;
	for (char *end; s != NULL; s = end) {
		char *last;

		end = strchr(s, ',');
		last = end != NULL ? end : s + strlen(s);
		if (end != NULL)
			end++;
		while (last > s && strchr(" \t\r\n", last[-1]) != NULL)
			last--;
		*last = '\0';
		s += strspn(s, " \t\r\n");
		if (*s != '\0')
			v[n++] = s;
	}
	tag->to_name = v;
	tag->n_to_name = n;
	return 0;
}

/* NULL: failed.  Label Studio refuses to save two controls of one name; where
 * they come all the same, the first counts and gets the labels of both. */
static struct control_node *add_control(struct builder *b, const char *type,
                                        const char *const *attrs)
{
	const char          *choice = filled(attrs, "choice"), *to_name;
	const char          *name = keep(b, filled(attrs, "name"));
	struct control_node *c;

	if (name == NULL)
		return NULL;
	if ((c = control_named(b, name)) != NULL)
		return c;
	if (++b->n_controls > LABEL_CONFIG_CONTROLS_MAX) {
		refuse(b, "has more than 1000 controls");
		return NULL;
	}
	if ((c = node(b, sizeof *c)) == NULL ||
	    (c->tag.type = keep(b, type)) == NULL ||
	    (c->tag.choice = keep(b, choice != NULL ? choice : "single")) == NULL ||
	    (to_name = keep(b, filled(attrs, "toName"))) == NULL ||
	    split_names(b, &c->tag, to_name) < 0)
		return NULL;
	c->tag.name = name;
	if (b->last_control == NULL)
		b->first_control = c;
	else
		b->last_control->next = c;
	b->last_control = c;
	return c;
}

static void add_object(struct builder *b, const char *type, const char *const *attrs)
{
	const char         *value = filled(attrs, "value"), *value_type = attr_of(attrs, "valueType");
	const char         *text_key = filled(attrs, "textKey");
	struct object_node *o;

	if (++b->n_objects > LABEL_CONFIG_CONTROLS_MAX) {
		refuse(b, "has more than 1000 objects");
		return;
	}
	if ((o = node(b, sizeof *o)) == NULL ||
	    (o->tag.type = keep(b, type)) == NULL ||
	    (o->tag.name = keep(b, filled(attrs, "name"))) == NULL)
		return;
	if (value != NULL && (o->tag.value = keep(b, value + strspn(value, "$"))) == NULL)
		return;
	if (value_type != NULL && (o->tag.value_type = keep(b, value_type)) == NULL)
		return;
	if ((o->tag.text_key = keep(b, text_key != NULL ? text_key : "text")) == NULL)
		return;
	if (b->last_object == NULL)
		b->first_object = o;
	else
		b->last_object->next = o;
	b->last_object = o;
}

/* All attributes of an element; their text goes into one allocation. */
static int keep_attrs(struct builder *b, struct label *label, const char *const *attrs)
{
	struct label_attr *v;
	size_t             n = 0, bytes = 0;
	char              *to;

	for (; attrs[2 * n] != NULL; n++)
		bytes += strlen(attrs[2 * n]) + 1 +
		         (attrs[2 * n + 1] == NULL ? 0 : strlen(attrs[2 * n + 1])) + 1;
	v = arena_array(b->arena, n, sizeof *v);
	to = arena_alloc(b->arena, bytes);
	if (v == NULL || to == NULL)
		return b->rc = err_memory(b->e);
	for (size_t i = 0; i < n; i++) {
		v[i].name = to;
		to = copy_value(to, attrs[2 * i]) + 1;
		v[i].value = to;
		to = copy_value(to, attrs[2 * i + 1] == NULL ? "" : attrs[2 * i + 1]) + 1;
	}
	label->attrs = v;
	label->n_attrs = n;
	return 0;
}

static void add_label(struct builder *b, struct control_node *owner, const char *const *attrs)
{
	const char        *name = filled(attrs, "alias");
	struct label_node *l, **bucket;
	uint32_t           hash;

	if (name == NULL)
		name = filled(attrs, "value");
	if (name == NULL)
		return;
	if ((name = keep(b, name)) == NULL)
		return;
	if (strlen(name) > LABEL_CONFIG_LABEL_MAX) {
		refuse(b, "has a label of more than 1024 bytes");
		return;
	}
	hash = hash_of(owner, name);
	bucket = &b->buckets[hash % N_BUCKETS];
	for (l = *bucket; l != NULL; l = l->same_bucket)
		if (l->hash == hash && l->owner == owner && strcmp(l->label.name, name) == 0) {
			/* Once, at its first place, with its last attributes: as a
			 * Python dictionary, which Label Studio's own parser uses. */
			keep_attrs(b, &l->label, attrs);
			return;
		}
	if (++b->n_labels > LABEL_CONFIG_LABELS_MAX) {
		refuse(b, "has more than 10000 labels");
		return;
	}
	if ((l = node(b, sizeof *l)) == NULL || keep_attrs(b, &l->label, attrs) < 0)
		return;
	l->label.name = name;
	l->owner = owner;
	l->hash = hash;
	l->same_bucket = *bucket;
	*bucket = l;
	if (owner->last_label == NULL)
		owner->first_label = l;
	else
		owner->last_label->next = l;
	owner->last_label = l;
	owner->tag.n_labels++;
}

static int start_element(void *arg, const char *type, const char *const *attrs)
{
	struct builder *b = arg;

	if (b->depth == LABEL_CONFIG_DEPTH_MAX) {
		refuse(b, "is nested more than 100 levels deep");
	} else {
		struct control_node *owner = b->inside[b->depth];
		const bool           named = filled(attrs, "name") != NULL;

		if (strcmp(type, "Choice") == 0 || strcmp(type, "Label") == 0 ||
		    strcmp(type, "Relation") == 0) {
			if (owner != NULL)
				add_label(b, owner, attrs);
		} else if (named && filled(attrs, "toName") != NULL) {
			/* Filter only narrows down what another control shows. */
			if (strcmp(type, "Filter") != 0)
				owner = add_control(b, type, attrs);
		} else if (named && (filled(attrs, "value") != NULL || filled(attrs, "valueList") != NULL)) {
			add_object(b, type, attrs);
		}
		b->inside[++b->depth] = owner;
	}
	return b->rc;
}

static void end_element(void *arg)
{
	struct builder *b = arg;

	if (b->depth > 0)
		b->depth--;
}

static int refuse_doctype(struct builder *b)
{
	return refuse(b, "has a document type (<!DOCTYPE …>), which is not allowed");
}

/* How much of s to show: at most max bytes, no half character. */
static int shown(const char *s, int max)
{
	int n = (int)strnlen(s, (size_t)max);

	while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	return n;
}

/* ---- before libxml2 ---- */

/*
 * A '<' can stand nowhere within a tag, not even in a value.  So the attributes
 * of an element are at most the '=' between its '<' and the next, whatever else
 * is wrong with the text, and this count needs no second XML parser.
 */
/* Begins like UTF-16 or EBCDIC, which libxml2 would follow and no UTF-8 does? */
static bool names_encoding(struct span xml)
{
	return (xml.len >= 2 && (memcmp(xml.p, "\xfe\xff", 2) == 0 || memcmp(xml.p, "\xff\xfe", 2) == 0)) ||
	       (xml.len >= 4 && memcmp(xml.p, "\x4c\x6f\xa7\x94", 4) == 0);
}

static int check_bytes(struct builder *b, struct span xml)
{
	const char *lt = xml.p;
	size_t      n = 0;

	if (xml.len > LABEL_CONFIG_BYTES_MAX)
		return refuse(b, "is larger than 1 MB");
	if (xml.len > 0 && memchr(xml.p, '\0', xml.len) != NULL)
		return refuse(b, "is not well-formed XML: it holds a NUL");
	while (n < xml.len && strchr(" \t\r\n", xml.p[n]) != NULL)
		n++;
	if (n == xml.len)
		return refuse(b, "is empty");
	if (names_encoding(xml))
		return refuse(b, "is not well-formed XML: it is not UTF-8");
	n = 0;
	for (const char *p = xml.p; p < xml.p + xml.len; p++) {
		if (*p == '<') {
			lt = p;
			n = 0;
		} else if (*p == '=' && ++n > ATTRS_MAX && *lt == '<') {
			return refuse(b, "has an element with more than 1000 attributes");
		}
	}
	return 0;
}

/* Is there a document type where XML allows one: behind white space, comments and
 * instructions? */
static bool has_doctype(struct span xml)
{
	const char *p = xml.p, *end = xml.p + xml.len;

	if (xml.len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3;
	for (;;) {
		const char *close;

		while (p < end && strchr(" \t\r\n", *p) != NULL)
			p++;
		if (end - p >= 9 && strncasecmp(p, "<!DOCTYPE", 9) == 0)
			return true;
		if (end - p >= 4 && memcmp(p, "<!--", 4) == 0)
			close = "-->";
		else if (end - p >= 2 && memcmp(p, "<?", 2) == 0)
			close = "?>";
		else
			return false;
		p = memmem(p + 2, (size_t)(end - p) - 2, close, strlen(close));
		if (p == NULL)
			return false;
		p += strlen(close);
	}
}

/* ---- the whole ---- */

static const struct object_tag *object_named(const struct builder *b, const char *name)
{
	const struct object_tag *found = NULL;

	/* The last of a name, as in Label Studio. */
	for (const struct object_node *o = b->first_object; o != NULL; o = o->next)
		if (strcmp(o->tag.name, name) == 0)
			found = &o->tag;
	return found;
}

/* The lists of a control as the arrays of struct control_tag. */
static int lay_out(struct builder *b, struct control_node *c)
{
	const struct object_tag **inputs = arena_array(b->arena, c->tag.n_to_name, sizeof *inputs);
	struct label             *labels = arena_array(b->arena, c->tag.n_labels, sizeof *labels);
	size_t                    n = 0;

	if (inputs == NULL || labels == NULL)
		return err_memory(b->e);
	for (const struct label_node *l = c->first_label; l != NULL; l = l->next)
		labels[n++] = l->label;
	for (size_t i = 0; i < c->tag.n_to_name; i++)
		if ((inputs[c->tag.n_inputs] = object_named(b, c->tag.to_name[i])) != NULL)
			c->tag.n_inputs++;
	c->tag.labels = labels;
	c->tag.inputs = inputs;
	return 0;
}

static bool is_text(const struct object_tag *o)
{
	return strcmp(o->type, TEXT_TAG) == 0;
}

/* Does it show text?  Then value names where in a task's data it is. */
static bool shows_text(const struct object_tag *o)
{
	return is_text(o) || strcmp(o->type, HYPERTEXT_TAG) == 0 || strcmp(o->type, PARAGRAPHS_TAG) == 0;
}

/* The data holds where the text is, not the text. */
static bool is_elsewhere(const struct object_tag *o)
{
	return o->value_type != NULL && strcmp(o->value_type, "url") == 0;
}

static const struct object_tag *first_text(const struct control_tag *c)
{
	const struct object_tag *found = NULL;

	for (size_t i = 0; i < c->n_inputs; i++) {
		const struct object_tag *o = c->inputs[i];

		if (!shows_text(o) || o->value == NULL || is_elsewhere(o))
			continue;
		if (is_text(o))
			return o;
		found = found == NULL ? o : found;
	}
	return found;
}

/* Why a Choices can't be served, one sentence. */
static void why_not(struct buf *s, const struct control_tag *c)
{
	const struct object_tag *o = c->n_inputs > 0 ? c->inputs[0] : NULL;
	const char              *over = o != NULL ? o->name : c->n_to_name > 0 ? c->to_name[0] : "";

	if (o != NULL && first_text(c) != NULL) {
		buf_addf(s, "Choices \"%.*s\" has no Choice with a value", shown(c->name, 40), c->name);
		return;
	}
	buf_addf(s, "Choices \"%.*s\" is over \"%.*s\", ", shown(c->name, 40), c->name,
	         shown(over, 40), over);
	if (o == NULL) {
		buf_adds(s, "which the labeling config lacks");
		return;
	}
	buf_addf(s, "%s %.*s", strchr("AEIOU", o->type[0]) != NULL ? "an" : "a", shown(o->type, 40), o->type);
	if (shows_text(o))
		buf_adds(s, o->value == NULL ? " without a value" : " of addresses (valueType=\"url\"), which are not opened");
}

static int choose(struct builder *b, struct label_config *config)
{
	const struct control_tag *closest = NULL;
	struct buf                s;
	int                       rc;

	for (size_t i = 0; i < config->n_controls; i++) {
		const struct control_tag *c = &config->controls[i];

		if (strcmp(c->type, CHOICES_TAG) != 0)
			continue;
		if (c->n_labels > 0 && first_text(c) != NULL &&
		    (config->text == NULL || (!is_text(config->text) && is_text(first_text(c))))) {
			config->choices = c;
			config->text = first_text(c);
		}
		/* A Choices over a Text lacks less than others. */
		if (closest == NULL || (first_text(closest) == NULL && first_text(c) != NULL))
			closest = c;
	}
	if (config->choices != NULL)
		return 0;
	buf_init(&s, 400);
	if (closest == NULL)
		buf_adds(&s, "the labeling config has no Choices over a Text");
	else
		why_not(&s, closest);
	rc = buf_check(&s, "reason", b->e);
	if (rc == 0) {
		config->reason = arena_copy(b->arena, buf_span(&s));
		if (config->reason == NULL)
			rc = err_memory(b->e);
	}
	buf_clear(&s);
	return rc;
}

static int assemble(struct builder *b, struct label_config *config)
{
	struct control_tag *controls = arena_array(b->arena, b->n_controls, sizeof *controls);

	if (controls == NULL)
		return err_memory(b->e);
	for (struct control_node *c = b->first_control; c != NULL; c = c->next) {
		if (lay_out(b, c) < 0)
			return -1;
		controls[config->n_controls++] = c->tag;
	}
	config->controls = controls;
	return choose(b, config);
}

/* From the elements kept of it, where there are; else by libxml2, which are then kept
 * where `record` is given. */
static int build(struct label_config **config, struct span xml, struct span elements, struct buf *record,
                 struct err *e)
{
	struct builder   *b;
	struct whole     *w;
	struct xml_events ev = { start_element, end_element, NULL };
	int               rc;

	b = calloc(1, sizeof *b);
	w = calloc(1, sizeof *w);
	if (b == NULL || w == NULL) {
		free(b);
		free(w);
		return err_memory(e);
	}
	arena_init(&w->arena, ARENA_BYTES_MAX);
	b->arena = &w->arena;
	b->e = e;
	ev.arg = b;
	crypto_hash_sha256(w->config.hash, (const unsigned char *)xml.p, xml.len);
	if ((rc = check_bytes(b, xml)) == 0 && has_doctype(xml))
		rc = refuse_doctype(b);
	if (rc == 0)
		rc = elements.p != NULL ? config_elements_replay(elements, w->config.hash, &ev)
		   : record != NULL     ? config_elements_record(xml, w->config.hash, &ev, record, e)
		                        : xml_read(xml, &ev, e);
	if (rc == 0)
		rc = assemble(b, &w->config);
	if (rc == 0) {
		w->config.xml = (struct span){ arena_copy(&w->arena, xml), xml.len };
		rc = w->config.xml.p == NULL ? err_memory(e) : 0;
	}
	free(b);
	if (rc != 0) {
		label_config_free(&w->config);
		return rc;
	}
	*config = &w->config;
	return 0;
}

int label_config_parse(struct label_config **config, struct span xml, struct err *e)
{
	return build(config, xml, (struct span){ NULL, 0 }, NULL, e);
}

int label_config_record(struct label_config **config, struct span xml, struct buf *elements, struct err *e)
{
	return build(config, xml, (struct span){ NULL, 0 }, elements, e);
}

/* Whatever is wrong with what was kept: the text decides. */
int label_config_replay(struct label_config **config, struct span xml, struct span elements, struct err *e)
{
	if (elements.p != NULL && build(config, xml, elements, NULL, NULL) == 0)
		return 0;
	return label_config_parse(config, xml, e);
}

void label_config_free(struct label_config *config)
{
	struct whole *w = (struct whole *)config;       /* its first member */

	if (w == NULL)
		return;
	arena_clear(&w->arena);
	free(w);
}

/* ---- use ---- */

static void put_string(struct buf *b, const char *s)
{
	if (s == NULL)
		buf_adds(b, "null");
	else
		json_put_text(b, span_of(s));
}

static void put_control(struct buf *b, const struct control_tag *c)
{
	put_string(b, c->name);
	buf_adds(b, ":{\"type\":");
	put_string(b, c->type);
	buf_adds(b, ",\"to_name\":[");
	for (size_t i = 0; i < c->n_to_name; i++) {
		buf_adds(b, i == 0 ? "" : ",");
		put_string(b, c->to_name[i]);
	}
	buf_adds(b, "],\"inputs\":[");
	for (size_t i = 0; i < c->n_inputs; i++) {
		buf_adds(b, i == 0 ? "{\"type\":" : ",{\"type\":");
		put_string(b, c->inputs[i]->type);
		buf_adds(b, ",\"value\":");
		put_string(b, c->inputs[i]->value);
		buf_adds(b, ",\"valueType\":");
		put_string(b, c->inputs[i]->value_type);
		buf_addc(b, '}');
	}
	buf_adds(b, "],\"labels\":[");
	for (size_t i = 0; i < c->n_labels; i++) {
		buf_adds(b, i == 0 ? "" : ",");
		put_string(b, c->labels[i].name);
	}
	buf_adds(b, "],\"labels_attrs\":{");
	for (size_t i = 0; i < c->n_labels; i++) {
		const struct label *l = &c->labels[i];

		buf_adds(b, i == 0 ? "" : ",");
		put_string(b, l->name);
		buf_adds(b, ":{");
		for (size_t k = 0; k < l->n_attrs; k++) {
			buf_adds(b, k == 0 ? "" : ",");
			put_string(b, l->attrs[k].name);
			buf_addc(b, ':');
			put_string(b, l->attrs[k].value);
		}
		buf_addc(b, '}');
	}
	buf_adds(b, "}}");
}

void label_config_put_choice(struct buf *b, struct span name)
{
	buf_adds(b, "<Choice value=\"");
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c == '<' || c == '>' || c == '&' || c == '"' || c < 0x20)
			buf_addf(b, "&#%u;", c);
		else
			buf_addc(b, name.p[i]);
	}
	buf_adds(b, "\"/>");
}

void label_config_put_json(const struct label_config *config, struct buf *b)
{
	buf_addc(b, '{');
	for (size_t i = 0; i < config->n_controls; i++) {
		buf_adds(b, i == 0 ? "" : ",");
		put_control(b, &config->controls[i]);
	}
	buf_addc(b, '}');
}

int control_label(const struct control_tag *control, struct span name)
{
	for (size_t i = 0; i < control->n_labels; i++)
		if (span_is(name, control->labels[i].name))
			return (int)i;
	return -1;
}

bool control_multiple(const struct control_tag *control)
{
	return control->choice != NULL && strcmp(control->choice, "multiple") == 0;
}
