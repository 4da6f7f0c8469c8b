/*
 * child.h - a program that lives beside this process and answers questions: a line
 * on its standard input, a line on its standard output.
 *
 * It is started by the first question and again by one that comes after it ended,
 * with a pause of 0.1 s that doubles to 10 s while it fails.  One that ends, is
 * silent for too long, says more than it was asked, a line without end or what is no
 * JSON costs that answer: it is killed with its process group, and what it said is never taken for
 * the answer to another question.  Threads share one: their questions wait for each
 * other, and the waiting counts.
 *
 * A thread of its own hands what it writes to standard error to the log, line by
 * line, and buries it at once when it ends.  It dies with this process, however
 * that ends: the kernel kills it when the descriptor that ties them closes.  It
 * gets no descriptor but 0, 1, 2 and 3 (that tie), no signal mask, and only the
 * environment given here.
 */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>

struct child;

/* All copied; strings in arrays end with NULL. */
struct child_program {
	const char        *name;        /* in messages and log lines: "model.py" */
	const char *const *argv;        /* argv[0] is looked for in PATH unless it has a slash */
	const char *const *environment; /* "KEY=VALUE" */
	const char        *folder;      /* working directory; NULL: ours */
	double             start_s;     /* what the first answer of a fresh one may take longer */
	size_t             line_max;    /* bytes of an answer */
};

/* Starts nothing yet.  NULL: ERR_MEMORY. */
struct child *child_new(const struct child_program *program, struct err *e);

/* Kills and buries it; nobody may be asking.  NULL allowed. */
void child_free(struct child *c);

/*
 * One question, with its '\n' at the end, and the line that answers it: one JSON value,
 * checked (json_check).  seconds: all that it may take, waiting for other threads
 * included; go_on(arg) is called about twice a second meanwhile (NULL: never), false ends
 * it: ERR_STOPPED.  -1: ERR_BUSY with a sentence that names the program and what happened,
 * also while it is down; ERR_MEMORY.  answer: emptied first, its maximum is set here;
 * *value lies in it.
 */
int child_ask(struct child *c, struct span question, double seconds, bool (*go_on)(void *arg), void *arg,
              struct buf *answer, struct span *value, struct err *e);

#endif
