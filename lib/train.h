/*
 * train.h - lease -> export -> examples -> fit -> publish -> evaluate.
 *
 * A trainer is a process of its own (`prelabel train`).  It works under a lease
 * that it renews; publishing checks the lease in the same transaction, so that
 * one which lost it changes nothing.
 */
#ifndef TRAIN_H
#define TRAIN_H

#include "base/env.h"
#include "base/err.h"
#include "reconcile.h"
#include "serving.h"
#include "store/store.h"

#include <stdbool.h>

struct train_options {
	bool foreground;         /* a person waits: queue a job of their own, show progress */
	bool full;               /* read Label Studio's export however recent the last one is */
	bool sync;               /* foreground: read it, and leave what is due then to others */
	/* Progress for a terminal; NULL: none. */
	void (*show)(void *arg, const char *what, double share);
	void  *arg;
};

struct train_result {
	enum job_state state;            /* JOB_DONE, JOB_SKIPPED, JOB_FAILED, JOB_QUEUED (to be tried again) or JOB_NONE */
	char           version[VERSION_TEXT_MAX];   /* model_version, when done */
	char           note[240];        /* why not, otherwise */
	double         seconds;
	int64_t        n_examples;
	struct reconcile_result read;    /* of the export; sync alone */
};

/* Runs the due jobs of one project, one after the other, until none is left; with
 * opt->sync, one, of which nothing but the reading is done.
 * ERR_STOPPED: told to stop, the job was handed back.  *result: the last one. */
int train_run(struct store *st, const struct env *env, int64_t project, const struct train_options *opt,
              struct train_result *result, struct err *e);

/* The same for every project with a job that is due or that lost its trainer.  One that
 * fails is logged and stops none of the others; -1 then, with how many. */
int train_due(struct store *st, const struct env *env, const struct train_options *opt, struct err *e);

/* Asks a running train_run() or train_due() to stop; may be called from a signal handler. */
void train_stop(void);

#endif
