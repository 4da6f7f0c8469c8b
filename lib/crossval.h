/*
 * crossval.h - predictions of models that did not see what they predict.
 *
 * Of the examples in the order of their ids every fifth is in the same fold; a
 * model is fitted on the other four folds and asked about this one.
 */
#ifndef CROSSVAL_H
#define CROSSVAL_H

#include "models/model.h"

#define CROSSVAL_FOLDS 5

/* ex: labelled ones.  Folds 0 … folds - 1 (at most CROSSVAL_FOLDS); each row goes to take(), whose
 * prediction lives until it returns.  A fold whose other folds don't make a model
 * (ERR_TOO_FEW) is passed over. */
int crossval(const struct label_config *config, const struct model_kind *kind, struct examples ex, size_t folds,
             const struct model_settings *settings,
             int (*take)(void *arg, const struct example *ex, const struct prediction *p, struct err *e),
             void *arg, struct err *e);

#endif
