/*
 * intake.h - annotated tasks that came in a request, in the form of an export.
 *
 * Beside reconcile.h, which fetches them, because the program that takes requests has
 * neither the key nor a client for the network.
 */
#ifndef INTAKE_H
#define INTAKE_H

#include "base/err.h"
#include "base/span.h"
#include "store/store.h"

struct intake {
	int64_t changed;                /* annotation rows */
	int64_t unreadable;             /* tasks or annotations that can't be read: left alone */
};

/*
 * tasks: a checked JSON array of tasks with `annotations`.  Each counts like an event of its
 * updated_at, in short write transactions; not in the caller's.  Nothing is deleted, and
 * nothing that was deleted comes back: the list was made before the request, and a
 * deletion may have overtaken it.  What can't be read is named in the log and stops nothing.
 * -1 when the store fails: what came before is kept, and sending it again does no harm.
 */
int intake_tasks(struct store *st, int64_t project, struct span tasks, struct intake *result, struct err *e);

#endif
