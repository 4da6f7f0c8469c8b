/*
 * prediction.h - what is predicted for one task, and its form in JSON.
 *
 * The structs only point: the regions live where the model that made them keeps
 * them (the scratch arena of a request, or the model itself).
 */
#ifndef STUDIO_PREDICTION_H
#define STUDIO_PREDICTION_H

#include "base/buf.h"
#include "studio/label_config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a control's regions hold; the control's type decides (Choices, Labels,
 * TextArea, Rating, Number). */
enum region_type {
	REGION_CHOICES,         /* names: labels of the control */
	REGION_LABELS,          /* names: labels of the control; start, end, text */
	REGION_TEXTAREA,        /* names: the lines of text */
	REGION_RATING,          /* number: 0 or more, whole */
	REGION_NUMBER,          /* number */
	REGION__MAX
};

struct region {
	enum region_type          type;
	const struct control_tag *control;
	const char               *to_name;
	const char *const        *names;
	size_t                    n_names;
	int64_t                   start, end;   /* code points of the task's text, end exclusive */
	struct span               text;         /* those */
	double                    number;
	double                    score;        /* 0 to 1 */
};

struct prediction {
	double               score;             /* 0 to 1; Label Studio sorts tasks by it */
	const struct region *regions;
	size_t               n_regions;
	/* For evaluation and the command line, where the kind chooses among labels:
	 * one probability for each label of the control, in its order; 0 for a label
	 * that the model was not trained on (trained[i] false). */
	const double        *proba;
	const bool          *trained;
	size_t               n_proba;
};

/* Does it name only what the config has: controls, objects, labels, and finite
 * numbers?  0, or -1 with ERR_DAMAGED and what is wrong: a model's answer is looked
 * at before it leaves, since Label Studio keeps whatever it is given. */
int prediction_check(const struct prediction *p, const struct label_config *config, struct err *e);

/* The label of a control that is chosen, by its position; -1: none is.  Of several the
 * first. */
int prediction_choice(const struct prediction *p, const struct control_tag *control);

/* All that are: chosen [labels of the control]. */
void prediction_choices(const struct prediction *p, const struct control_tag *control, bool *chosen);

/*
 * Appends the entry of one task in the answer to /predict (interface.md "HTTP"):
 *
 *	{"model_version":"…","score":0.93,"result":[{"from_name":"label","to_name":"text",
 *	 "type":"choices","score":0.93,"value":{"choices":["positive"]}}]}
 *
 * Every number that comes out is finite and within 0 to 1, whatever the model
 * says (protocol.md 0.3: one infinite score spoils a whole project): NaN and what
 * lies below becomes 0, what lies above 1.  A prediction without regions gives
 * "result":[].  model_version: not NULL, not empty.  Failures stick to b.
 */
void prediction_put_json(const struct prediction *p, const char *model_version, struct buf *b);

#endif
