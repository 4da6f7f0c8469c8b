/*
 * push.h - predictions written to Label Studio, of all its open tasks.
 *
 * A task is left out while Label Studio calls it labelled, and where it has a
 * prediction of the version in force; those of older versions are kept.  So what a
 * run leaves behind, however it ended, the next one writes, and nothing twice.
 *
 * For the command line and the trainer: it takes as long as Label Studio does.
 */
#ifndef PUSH_H
#define PUSH_H

#include "base/env.h"
#include "base/err.h"
#include "serving.h"
#include "store/store.h"

#include <stdbool.h>

/* keep_going is asked now and then, false ends it with ERR_STOPPED; show, for a
 * terminal, may be NULL. */
struct push_options {
	bool (*keep_going)(void *arg);
	void (*show)(void *show_arg, const char *what, double share);
	void  *arg, *show_arg;
};

struct push_result {
	char    version[VERSION_TEXT_MAX];      /* what all of them have now */
	int64_t open;                           /* tasks that lacked it, of the last pass */
	int64_t written;                        /* predictions, of all passes */
	int64_t left_out;                       /* that Label Studio did not take */
	int64_t passes;                         /* more than 1: another version came in force meanwhile */
};

/*
 * Writes what is missing.  A version, labels or settings that change meanwhile are
 * noticed before each request: it begins anew with what is in force then.  One push
 * of a project at a time: ERR_BUSY.  How it ended is kept (store_push_get).
 * ERR_NOT_FOUND: Label Studio lacks the project; ERR_AUTH; ERR_SHAPE: no model serves
 * its labels; ERR_REMOTE.
 */
int push_run(struct store *st, const struct env *env, int64_t project, const struct push_options *opt,
             struct push_result *result, struct err *e);

/*
 * The same, and then the order of Label Studio's queue by it ("Uncertainty sampling",
 * which is set elsewhere).  Label Studio sorts by the predictions whose version is the
 * project's own, and asks the backend for a task that lacks one while the title of the
 * backend is that version too (protocol.md 9): so both are set to it, in one request,
 * after the predictions are there.  Until then its queue has the order of the version
 * before.  Without a backend that answers, the project's version alone is set.
 */
int push_uncertainty(struct store *st, const struct env *env, int64_t project, const struct push_options *opt,
                     struct push_result *result, struct err *e);

/* One push of a project at a time: the descriptor to be closed after it; -1 with
 * ERR_BUSY while another is under way. */
int push_lock(const struct env *env, int64_t project, struct err *e);

#endif
