/*
 * annotation.h - annotations and tasks as Label Studio sends them, in events and
 * in exports alike (protocol.md 6.3, 8.3).
 *
 * The objects are spans that passed json_check(); what is returned borrows from
 * them.  `where` names the object in messages ("annotation", "annotations[3]"):
 * "annotations[3].id is missing".
 */
#ifndef STUDIO_ANNOTATION_H
#define STUDIO_ANNOTATION_H

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"
#include "studio/label_config.h"

#include <stdbool.h>
#include <stdint.h>

#define UPDATED_UNKNOWN INT64_MIN       /* the object has no updated_at, or null */

struct annotation {
	int64_t     id;                 /* 1 or more */
	int64_t     task;               /* its id; 0: not said (old exports leave it out) */
	struct span result;             /* the JSON array of regions; "[]" where absent or null */
	bool        was_cancelled;      /* skipped: never an example */
	bool        ground_truth;
	int64_t     completed_by;       /* user id; 0: unknown */
	int64_t     updated_us;         /* microseconds since 1970 or UPDATED_UNKNOWN */
};

struct ls_task {
	int64_t     id;                 /* 1 or more */
	struct span data;               /* a JSON object */
	int64_t     updated_us;         /* as above */
};

/* 0, or -1 with ERR_SHAPE naming the field.  Ids are whole numbers from 1 to
 * 2^63 - 1, never rounded or cut to fit. */
int annotation_parse(struct annotation *a, struct span object, const char *where, struct err *e);
int ls_task_parse(struct ls_task *t, struct span object, const char *where, struct err *e);

/* An id beside objects: {"id": 1} of ANNOTATIONS_DELETED and TASKS_DELETED. */
int ls_id_parse(int64_t *id, struct span object, const char *where, struct err *e);

enum annotation_outcome {
	ANNOTATION_LABEL,               /* *label is one of the config's */
	ANNOTATION_EMPTY,               /* no choice was made for this control */
	ANNOTATION_UNKNOWN_LABEL,       /* the choice is not, or no longer, in the config */
	ANNOTATION__MAX
};

/*
 * What an annotation's result says for config->choices: the first choice of the
 * first region of type "choices" that comes from this control and has one.
 * Regions of other controls are passed over; per-region choices, whose value also
 * holds offsets, count like others.  Of a nested choice (a list, from the topmost
 * down, with allowNested) the last name is the label.
 *
 * result: a checked JSON value.  *label is the config's own string and lives as
 * long as the config; set for ANNOTATION_LABEL alone.  With config->choices NULL
 * all is ANNOTATION_EMPTY.  scratch serves strings with escapes.
 * 0, or -1 with ERR_MEMORY.
 */
int annotation_label(struct span result, const struct label_config *config, struct arena *scratch,
                     enum annotation_outcome *outcome, struct span *label, struct err *e);

/*
 * The same where any number of labels may be chosen (choice="multiple"): all choices
 * of all regions of this control that are labels of the config, each once, as
 * positions among its labels, ascending.  Choices that the config lacks are passed
 * over; ANNOTATION_UNKNOWN_LABEL where there are no others.  *labels, *n of them, is
 * in scratch; *n is 0 but for ANNOTATION_LABEL.
 */
int annotation_labels(struct span result, const struct label_config *config, struct arena *scratch,
                      enum annotation_outcome *outcome, const uint32_t **labels, size_t *n, struct err *e);

#endif
