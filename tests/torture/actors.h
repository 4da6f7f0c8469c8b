/*
 * actors.h - the programs that ours start, played by this one.
 *
 * Under the name "lighttpd": it wants all that lighttpd.conf names, listens, and answers
 * nothing.  As MODEL_COMMAND (ACTOR=model): JSON lines, a prediction a task.
 * ACTOR_MODEL=ends: it ends after each answer; =silent: it predicts nothing.
 */
#ifndef ACTORS_H
#define ACTORS_H

#include <stdbool.h>

/* true: this process was one of them, and *status is how it ends. */
bool actor(char *argv[], int *status);

#endif
