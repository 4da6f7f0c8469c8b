/* project.h - a project's label config, as the store keeps it. */
#ifndef PROJECT_H
#define PROJECT_H

#include "base/env.h"
#include "base/err.h"
#include "store/store.h"

/* Keeps `xml` as the config of a project, in the caller's transaction; nothing
 * changes when it is the one kept.  Where the label set changed and there is
 * something to train on, a training is queued.  p: the project as read before;
 * its config fields are stale afterwards.  *changed may be NULL.
 * ERR_SHAPE for a config that can't be read. */
int project_configure(struct store *st, const struct env *env, const struct project *p, struct span xml,
                      bool *changed, struct err *e);

/* Is `xml` what is kept, with its elements (older releases kept none)? */
bool project_has_config(const struct project *p, struct span xml);

/* Was the version in force trained with other settings than these? */
bool project_settings_changed(const struct project *p, const struct env *env);

#endif
