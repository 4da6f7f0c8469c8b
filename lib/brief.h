/* brief.h - of a project's status (status.h) what goes into a line of text. */
#ifndef BRIEF_H
#define BRIEF_H

#include "base/env.h"
#include "serving.h"
#include "store/store.h"

#define STATUS_STATE_MAX 320

/* Its model_version and its state. */
int status_brief(struct store *st, const struct env *env, int64_t row, char version[VERSION_TEXT_MAX],
                 char state[STATUS_STATE_MAX], struct err *e);

#endif
