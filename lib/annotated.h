/*
 * annotated.h - tasks with their annotations, in the form of an export, put into the store.
 *
 * For those who fetch them (reconcile.h) and those who are sent them (intake.h).
 */
#ifndef ANNOTATED_H
#define ANNOTATED_H

#include "base/err.h"
#include "base/span.h"
#include "store/store.h"

#include <stdbool.h>

struct annotated {
	struct store *st;
	int64_t       project;
	const char   *source;           /* of the events: "export" or "import" */
	int64_t       since;            /* event.row when the reading began; 0: revive nothing */
	bool          whole;            /* a task names all its annotations: a list that lacks can't be read */
	/* Told of each annotation that is there, also of one that can't be read; 0: of one
	 * or more whose id can't be.  May be NULL. */
	int         (*there)(void *arg, int64_t id, struct err *e);
	void         *arg;
	int64_t       changed;          /* annotation rows */
	int64_t       unreadable;       /* tasks or annotations that can't be read: left alone */
	/* Of the event that is open: */
	int64_t       event, event_changed;
	bool          tasks_changed;
	double        held_s;           /* how long the last one held the store */
};

/* A task, within annotated_event().  What of it can't be read is counted, named in the
 * log and stops nothing.  where: for the log, until the task's id is known. */
int annotated_put(struct annotated *a, struct span task, const char *where, struct err *e);

/* One write transaction with its event, ended by its counter; none where work() wrote
 * nothing.  work() counts annotation rows in event_changed.  Before another one right
 * behind it those get their turn who wait to write. */
int annotated_event(struct annotated *a, int (*work)(void *arg, struct err *e), void *arg, struct err *e);

#endif
