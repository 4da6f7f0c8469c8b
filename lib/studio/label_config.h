/*
 * label_config.h - Label Studio's labeling configuration (XML), parsed.
 *
 * protocol.md 5: a control is an element with `name` and `toName`, an object one
 * with `name` and `value` (or `valueList`).  Labels are the Choice, Label and
 * Relation elements anywhere below a control, each under its alias if it has a
 * non-empty one, else its value, in document order, every one once.
 *
 * Anything with a document type is refused before its content is looked at; no
 * entity, file or network address is ever opened.  Limits: 1 MB, 100 levels,
 * 10,000 labels a config, 1 KB a label, 1,000 controls, 1,000 objects, 10,000
 * names in toName, 1,000 attributes an element.  The text is taken as UTF-8.
 * Any number of threads may parse at once.
 */
#ifndef STUDIO_LABEL_CONFIG_H
#define STUDIO_LABEL_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>

#define LABEL_CONFIG_BYTES_MAX ((size_t)1 << 20)
#define LABEL_CONFIG_DEPTH_MAX 100
#define LABEL_CONFIG_LABELS_MAX 10000
#define LABEL_CONFIG_LABEL_MAX 1024
#define LABEL_CONFIG_CONTROLS_MAX 1000

struct label_attr {
	const char *name, *value;
};

struct label {
	const char              *name;      /* alias or value: what results carry */
	const struct label_attr *attrs;     /* all attributes of the element */
	size_t                   n_attrs;
};

struct object_tag {
	const char *name;
	const char *type;          /* "Text", "HyperText", … */
	const char *value;         /* without leading '$': the key in a task's data; NULL for valueList alone */
	const char *value_type;    /* valueType, NULL: none */
	const char *text_key;      /* textKey, of Paragraphs; "text" when absent */
};

struct control_tag {
	const char               *name;
	const char               *type;         /* "Choices", "Labels", … */
	const char               *choice;       /* attribute `choice`: "single" when absent */
	const char *const        *to_name;      /* toName, split at commas */
	size_t                    n_to_name;
	const struct object_tag *const *inputs; /* the objects it names that exist */
	size_t                    n_inputs;
	const struct label       *labels;
	size_t                    n_labels;
};

/* Immutable; everything in it lives as long as it does. */
struct label_config {
	const struct control_tag *controls;     /* in document order */
	size_t                    n_controls;
	/* The first Choices over a Text, else over a HyperText or Paragraphs; NULL: none.
	 * Not over addresses of texts (valueType="url"), since none is ever opened. */
	const struct control_tag *choices;
	const struct object_tag  *text;         /* and what it is over: the first such among its inputs */
	const char               *reason;       /* why choices is NULL, one sentence; else NULL */
	struct span               xml;          /* as it was given */
	unsigned char             hash[32];     /* SHA-256 of the XML */
};

/* -1: ERR_SHAPE when it is not XML, has a document type or exceeds a limit. */
int  label_config_parse(struct label_config **config, struct span xml, struct err *e);

/* The same, and appends the elements that were read, to be stored; `elements` is of use
 * only after 0.  And the config from them again, without libxml2; where they are none
 * (p NULL), damaged or not of this xml, it is parsed. */
int  label_config_record(struct label_config **config, struct span xml, struct buf *elements, struct err *e);
int  label_config_replay(struct label_config **config, struct span xml, struct span elements, struct err *e);

void label_config_free(struct label_config *config);      /* NULL allowed */

/* The form that models get (interface.md "The parsed label config"):
 * {"ner": {"type", "to_name", "inputs", "labels", "labels_attrs"}}.  Appends. */
void label_config_put_json(const struct label_config *config, struct buf *b);

/* For a config that is made: appends <Choice value="…"/>. */
void label_config_put_choice(struct buf *b, struct span name);

/* Position of a label among a control's, or -1. */
int  control_label(const struct control_tag *control, struct span name);

/* choice="multiple": any number of its labels may be chosen at once. */
bool control_multiple(const struct control_tag *control);

#endif
