/*
 * trainer.h - who starts `prelabel train`.
 *
 * Under `prelabel start` the supervisor does, when it is woken and once a second.
 * Elsewhere the program that queued a job, or that finds one whose trainer died,
 * starts it detached after its reply: no daemon has to run.
 */
#ifndef TRAINER_H
#define TRAINER_H

#include "base/env.h"

/* For struct reply.after; context: the thread's struct context. */
void trainer_after_reply(void *context, const struct env *env);

/* The trainer's log, MODEL_DIR/train.log, opened for appending and rotated when it
 * is large; -1 when it can't be had. */
int trainer_log(const char *model_dir);

#endif
