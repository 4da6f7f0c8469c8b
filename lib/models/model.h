/*
 * model.h - what a model kind is, and how to write one.
 *
 * A kind is one file in this folder that defines one `const struct model_kind`
 * named after the file: tfidf_logreg.c defines model_tfidf_logreg.  The build
 * writes the table of kinds from the folder; nothing else has to be touched.
 * A kind of your own outside of this tree: `prelabel init`.  One that chooses a label
 * of <Choices> by what it noted of each needs two functions only: chooser.h.
 *
 * THE LIFE OF A MODEL.  serves() says which control of a label config the kind
 * answers for.  cold() makes a first model, before anything was labelled.  The
 * trainer calls fit() with the examples of the project and save() to keep what
 * came of it, in named parts; other processes load() it from them and ask it to
 * predict(), task by task.  free() ends it.
 *
 * A model is bound to a label config when it is made, by any of the three, and
 * names only labels of that config: the config outlives it.  It is immutable
 * afterwards, so that any number of threads predict with it at once.  What it
 * answers is checked against the config before it leaves (prediction_check).
 *
 * The programs that predict are confined (base/sandbox.h): no other process, no
 * connection.  The trainer is not.
 *
 * MEMORY.  What predict() returns lives in the scratch arena, which is emptied
 * after each task, or in the model.  ERRORS.  0, or -1 with *e set.  An error of
 * predict() fails the request (503), never the process.
 */
#ifndef MODELS_MODEL_H
#define MODELS_MODEL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "base/span.h"
#include "base/partial.h"
#include "studio/label_config.h"
#include "studio/prediction.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_ABI 1     /* of this header: a kind compiled for another is refused */

struct model;           /* each kind has its own */

/* One task of a request: its JSON object, checked; json.h reads it in place. */
struct task {
	struct span json;      /* the whole object */
	struct span data;      /* its member `data`, an object */
};

/* The text of a task's object tag, from data[tag->value] (studio/object_text.h): of
 * HyperText without its tags, of Paragraphs a line each.  Missing, null and what has
 * another type count as empty.  Borrowed from the request or the arena. */
int task_text(const struct task *task, const struct object_tag *tag, struct arena *scratch,
              struct span *text, struct err *e);

/* One annotation that is to be learned from: not skipped, not overruled by a ground
 * truth of its task. */
struct example {
	int64_t     annotation, task;    /* Label Studio's ids */
	struct span text;                /* of config->text, UTF-8; empty without one */
	struct span label;               /* of config->choices, one of its labels; p NULL: none.  Of several
	                                  * (choice="multiple") the first in the config's order */
	struct span data;                /* the task's data, a JSON object */
	struct span result;              /* the annotation's regions, a JSON array */
};

/* Data and result are there for kinds with any_example; result also under
 * choice="multiple", where it has what `label` leaves out:  all labels of an example
 * as positions among those of config->choices, ascending, *n of them.  In the arena.
 * 0, or -1: ERR_MEMORY. */
int example_labels(const struct example *ex, const struct label_config *config, struct arena *scratch,
                   const uint32_t **labels, size_t *n, struct err *e);

/* In ascending order of annotation: what is trained is a function of this alone. */
struct examples {
	const struct example *v;
	size_t                n;
};

/* Where parts come from: read() gives one whose checksum was right, valid until
 * the call that was given the source returns; 1 when there is none of that name. */
struct part_source {
	int  (*read)(void *arg, const char *name, struct span *bytes, struct err *e);
	void  *arg;
};

/* The same parts, to be read in part, for a kind that can: open() gives one of which
 * nothing has been read yet; 1 when there is none, or none that can be read so.  The
 * model then is one thread's, and what its predict() finds damaged makes the caller
 * load() anew, as a whole. */
struct partial_source {
	int  (*open)(void *arg, const char *name, struct partial **part, struct err *e);
	void  *arg;
};

/* Named parts of a saved model.  Each is stored, read and checked by itself. */
#define MODEL_PARTS_MAX 16
#define MODEL_PART_BYTES_MAX ((size_t)1 << 30)
struct model_parts {
	struct { char name[24]; struct buf bytes; } v[MODEL_PARTS_MAX];
	size_t n;
};
struct buf *model_parts_add(struct model_parts *p, const char *name);   /* NULL: too many */
void        model_parts_clear(struct model_parts *p);

/* What a model is made with.  Borrowed for the call; the strings live as long as
 * the process. */
struct model_kind;
struct model_settings {
	const struct model_kind *kind;       /* which is asked, for functions that several kinds share */
	enum token_pattern token_pattern;
	double             logreg_c;
	int                threads;          /* must not change the result */
	/* Called now and then with the share done, 0 to 1; false: stop, and fit()
	 * returns -1 with ERR_STOPPED.  May be NULL. */
	bool             (*progress)(void *arg, double done);
	void              *arg;
	const char        *command;          /* MODEL_COMMAND, for kinds that run one; NULL: none */
	const char        *folder;           /* where a model may keep files: MODEL_DIR */
	struct span        extra_params;     /* what was entered for the backend in Label Studio, JSON; or empty */
	const char        *reason;           /* fit(): why, "updates", "start", …; else NULL */
	const struct part_source *previous;  /* fit(): the parts of the version in force, of this kind */
	unsigned           previous_format;  /* and format, for a warm start; NULL, 0: none */
	const struct partial_source *in_part; /* load(): for one small request; what it gives lives as long
	                                      * as the model.  NULL: load what read() gives */
};

struct model_kind {
	unsigned    abi;        /* MODEL_ABI */
	const char *name;       /* stored with each version and part of its string; never renamed */
	unsigned    format;     /* of what save() writes; load() is never given a newer one */
	bool        any_example;/* fit() also gets examples without a label of config->choices */
	const void *own;        /* for functions that several kinds share (chooser.h); nothing else reads it */

	/* The control it answers for, NULL: none of this config's.  context: the editor's
	 * object in interactive mode, as JSON, or an empty span. */
	const struct control_tag *(*serves)(const struct label_config *config, struct span context,
	                                    const struct model_settings *settings);

	/* A first model from the label config alone.  Never fails for want of data. */
	int  (*cold)(struct model **m, const struct label_config *config,
	             const struct model_settings *settings, struct err *e);

	/* From examples.  ERR_TOO_FEW with the reason ("needs 2 labels, has 1") when they
	 * do not make a model. */
	int  (*fit)(struct model **m, const struct label_config *config, struct examples examples,
	            const struct model_settings *settings, struct err *e);

	int  (*predict)(const struct model *m, const struct task *task, struct span context,
	                struct arena *scratch, struct prediction *p, struct err *e);

	/* Optional (NULL): several tasks of one request at once, p[n] in their order; then
	 * predict() is not called for requests. */
	int  (*predict_batch)(const struct model *m, const struct task tasks[], size_t n, struct span context,
	                      struct arena *scratch, struct prediction p[], struct err *e);

	int  (*save)(const struct model *m, struct model_parts *parts, struct err *e);

	/* Labels that the config lacks are dropped and the rest renormalised; with none
	 * left: 1, and *m untouched.  ERR_DAMAGED for bytes that can't be right: every
	 * count is checked before it is used. */
	int  (*load)(struct model **m, const struct label_config *config, const struct model_settings *settings,
	             unsigned format, const struct part_source *parts, struct err *e);

	void   (*free)(struct model *m);            /* NULL allowed */
	size_t (*bytes)(const struct model *m);     /* about what it occupies */
};

/* The table written by the build, ended by NULL. */
extern const struct model_kind *const model_kinds[];

const struct model_kind *model_kind_named(struct span name);     /* or NULL */

/*
 * The kinds that serve a config, at most MODEL_KINDS_MAX, in the order of their
 * names' list or else of the table.  names: "tfidf_logreg" or "tfidf_logreg+substring";
 * NULL or "": every kind, but of those that serve the same control the first.
 * Returns how many.
 */
#define MODEL_KINDS_MAX 4
size_t model_kinds_for(const struct label_config *config, const char *names, const struct model_settings *settings,
                       const struct model_kind *kinds[MODEL_KINDS_MAX]);

/* Does every name of such a list exist, and was every kind compiled for this ABI?
 * ERR_USAGE. */
int model_kinds_check(const char *names, struct err *e);

#endif
