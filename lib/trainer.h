/*
 * trainer.h - who starts `prelabel train`.
 *
 * Under `prelabel start` the supervisor does, when it is woken and once a second.
 * Elsewhere the program that queued a job, or that finds one whose trainer died,
 * starts it detached after its reply: no daemon has to run.  A process of its own does
 * that, made before the sandbox closes (base/sandbox.h) and gone when this one is.
 */
#ifndef TRAINER_H
#define TRAINER_H

#include "base/env.h"
#include "base/err.h"

/* For struct service.before.  -1: ERR_MEMORY. */
int trainer_prepare(const struct env *env, struct err *e);

#define TRAINER_NICE 10        /* requests go first, whoever starts it */

/* For struct reply.after; context: the thread's struct context. */
void trainer_after_reply(void *context, const struct env *env);

/* The trainer's log, MODEL_DIR/train.log, opened for appending and rotated when it
 * is large; -1 when it can't be had. */
int trainer_log(const char *model_dir);

#endif
