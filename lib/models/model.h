/*
 * model.h - what a model kind is.
 *
 * A kind is one file in this folder that defines one `const struct model_kind`
 * named after the file: tfidf_logreg.c defines model_tfidf_logreg.  The build
 * writes the table of kinds from the folder; nothing else has to be touched.
 *
 * A model is bound to a label config when it is made, so that what it predicts
 * names only labels of that config: the config outlives it.  It is immutable
 * afterwards; any number of threads predict with it at once.
 */
#ifndef MODELS_MODEL_H
#define MODELS_MODEL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "base/span.h"
#include "studio/label_config.h"
#include "studio/prediction.h"

#include <stdbool.h>
#include <stdint.h>

struct model;       /* each kind has its own */

/* One task of a request: its JSON object, checked, parsed on demand. */
struct task {
	struct span json;      /* the whole object */
	struct span data;      /* its member `data`, an object */
};

/* The text of a task's object tag: data[tag->value].  Missing, null and all that
 * is no string count as empty.  Borrowed from the request or the arena. */
int task_text(const struct task *task, const struct object_tag *tag, struct arena *scratch,
              struct span *text, struct err *e);

/* One labelled task, as training sees it. */
struct example {
	int64_t     annotation, task;    /* Label Studio's ids */
	struct span text;                /* UTF-8 */
	struct span label;               /* one of the config's */
};

/* In ascending order of annotation: what is trained is a function of this alone. */
struct examples {
	const struct example *v;
	size_t                n;
};

struct fit_settings {
	enum token_pattern token_pattern;
	double             logreg_c;
	int                threads;          /* must not change the result */
	/* Called now and then with the share done, 0 to 1; false: stop, and fit()
	 * returns -1 with ERR_STOPPED.  May be NULL. */
	bool             (*progress)(void *arg, double done);
	void              *arg;
};

/* What a kind answers for one task is a struct prediction (studio/prediction.h);
 * all of it lives in the scratch arena or in the model. */

/* Named parts of a saved model.  Each is stored, read and checked by itself. */
#define MODEL_PARTS_MAX 16
#define MODEL_PART_BYTES_MAX ((size_t)1 << 30)
struct model_parts {
	struct { char name[24]; struct buf bytes; } v[MODEL_PARTS_MAX];
	size_t n;
};
struct buf *model_parts_add(struct model_parts *p, const char *name);   /* NULL: too many */
void        model_parts_clear(struct model_parts *p);

/* Where load() gets them: read() gives a part whose checksum was right, valid
 * until load() returns; -1 when there is none. */
struct part_source {
	int  (*read)(void *arg, const char *name, struct span *bytes, struct err *e);
	void  *arg;
};

struct model_kind {
	const char *name;       /* stored with each version and part of its string; never renamed */
	unsigned    format;     /* of what save() writes; load() is never given a newer one */

	/* Can it serve this config? */
	bool (*accepts)(const struct label_config *config);

	/* A first model from the label names alone.  Never fails for want of data. */
	int  (*cold)(struct model **m, const struct label_config *config,
	             const struct fit_settings *settings, struct err *e);

	/* From examples, starting at zero.  ERR_TOO_FEW with the reason ("needs 2
	 * labels, has 1") when they do not make a model. */
	int  (*fit)(struct model **m, const struct label_config *config, struct examples examples,
	            const struct fit_settings *settings, struct err *e);

	/* context: the editor's object in interactive mode, as JSON, or an empty span. */
	int  (*predict)(const struct model *m, const struct task *task, struct span context,
	                struct arena *scratch, struct prediction *p, struct err *e);

	int  (*save)(const struct model *m, struct model_parts *parts, struct err *e);

	/* Labels that the config lacks are dropped and the rest renormalised; with none
	 * left: 1, and *m untouched.  ERR_DAMAGED for bytes that can't be right: every
	 * count is checked before it is used. */
	int  (*load)(struct model **m, const struct label_config *config, unsigned format,
	             const struct part_source *parts, struct err *e);

	void   (*free)(struct model *m);            /* NULL allowed */
	size_t (*bytes)(const struct model *m);     /* about what it occupies */
};

/* The table written by the build, ended by NULL. */
extern const struct model_kind *const model_kinds[];

const struct model_kind *model_kind_named(const char *name);                     /* or NULL */
const struct model_kind *model_kind_for(const struct label_config *config);      /* or NULL */

#endif
