/*
 * reconcile.h - the store brought in line with what Label Studio has.
 *
 * Label Studio sends an event once, gives it a second and never repeats it; some
 * changes send none at all (protocol.md 6.4).  The export shows what is there:
 * what was missed is added, what is older replaced, what is gone deleted.
 */
#ifndef RECONCILE_H
#define RECONCILE_H

#include "base/env.h"
#include "base/err.h"
#include "store/store.h"

#include <stdbool.h>

struct reconcile_result {
	int64_t tasks;           /* read */
	int64_t changed;         /* annotation rows that differed, deleted ones included */
	int64_t deleted;         /* those that Label Studio no longer has */
	int64_t unreadable;      /* tasks or annotations that can't be read: left alone */
};

/* Reads the export of a project as a stream and changes what differs, in short
 * transactions; nothing counts as deleted unless the export came to its end and
 * began after it was last seen.  keep_going is asked now and then; false ends it
 * with ERR_STOPPED.  ERR_REMOTE, ERR_AUTH (the key is refused), ERR_NOT_FOUND. */
int reconcile(struct store *st, const struct env *env, int64_t project, bool (*keep_going)(void *arg), void *arg,
              struct reconcile_result *result, struct err *e);

/* A file with Label Studio's JSON export, in the same way; nothing is deleted. */
int reconcile_file(struct store *st, int64_t project, const char *path, struct reconcile_result *result,
                   struct err *e);

#endif
