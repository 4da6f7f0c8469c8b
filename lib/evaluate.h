/* evaluate.h - how good a model is: on labelled lines, or on its own examples. */
#ifndef EVALUATE_H
#define EVALUATE_H

#include "base/env.h"
#include "base/err.h"
#include "store/store.h"

#include <json-c/json.h>

/* The version in force on the lines of a JSONL file {"text", "label"}.  The
 * caller's document:
 * {"n", "accuracy", "macro_f1", "log_loss", "per_label": {L: {"precision", "recall",
 *  "f1", "support"}}, "confusion": {gold: {predicted: count}}, "unreadable"};
 * log_loss: the mean of -ln p over the rows whose label was trained, null if none.
 * Where a text may have several labels (choice="multiple"; "label" a list): accuracy
 * is the share of rows whose labels are exactly those predicted, log_loss the mean
 * over rows and trained labels (learn/metrics.h), "confusion" null. */
json_object *evaluate_file(struct store *st, const struct env *env, int64_t project, const char *path,
                           struct err *e);

/* The same by cross-validation (crossval.h) on the project's own examples. */
json_object *evaluate_project(struct store *st, const struct env *env, int64_t project, struct err *e);

#endif
