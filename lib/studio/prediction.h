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

struct region {
	const struct control_tag *control;
	const char               *to_name;
	const char *const        *choices;      /* type "choices": label names of the control */
	size_t                    n_choices;
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
