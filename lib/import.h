/* import.h - labelled texts from a file. */
#ifndef IMPORT_H
#define IMPORT_H

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "reconcile.h"
#include "store/store.h"

/*
 * A file of Label Studio's JSON export (an array of tasks), or of JSON lines
 * {"text": "…", "label": "…"}, the label also a list of them; which of them its first character tells.
 *
 * JSON lines make the project where there is none, with a config whose label set
 * is the file's, in order of first appearance, choice="multiple" if a line has a list
 * of labels; their rows get negative ids, and
 * reconciling with Label Studio leaves them alone.  A line or task that can't be
 * read is counted, named in the log and stops nothing.
 * id: Label Studio's project id.
 */
int import_file(struct store *st, const struct env *env, int64_t id, const char *path, struct reconcile_result *result, struct err *e);

/* What a line was labelled: a text, or a list of one or more. */
struct jsonl_labels {
	const struct span *v;          /* [n] */
	size_t             n;          /* 0 where there is no label */
	bool               list;
};

/* The lines of a JSONL file, each checked: {"text", "label"}.  Texts live until line()
 * returns; it returns 0 or -1.  What can't be read goes to bad(), which may be NULL,
 * with the reason. */
struct jsonl {
	int  (*line)(void *arg, size_t number, struct span text, const struct jsonl_labels *labels, struct err *e);
	void (*bad)(void *arg, size_t number, const char *why);
	void  *arg;
	bool   need_label;
};
/* The text of one such line. */
int jsonl_text(struct span line, struct arena *a, struct span *text, struct err *e);

int jsonl_read(const char *path, const struct jsonl *how, struct err *e);

#endif
