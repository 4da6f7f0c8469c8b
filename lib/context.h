/*
 * context.h - what one thread of a program keeps between requests.
 *
 * For struct service: thread_open = context_open or one of its like, thread_close =
 * context_close.
 */
#ifndef CONTEXT_H
#define CONTEXT_H

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "store/store.h"

#include <stdbool.h>

struct context {
	const struct env *env;
	int               busy_ms;     /* how long a write waits for another's */
	struct store     *store;       /* NULL until first needed */
	struct arena      scratch;     /* emptied after each task */
	struct {                       /* of context_project() */
		bool           holds, known;
		int64_t        id, created_s, state[2];
		struct project project;
		struct arena   arena;
	} kept;
};

/* A write of the program's waits as long for another's as its callers have time: 0.7 s
 * (a webhook), 2 s (/setup), 4 s (/predict: any request is answered within 5). */
int  context_open(const struct env *env, void **context, struct err *e);
int  context_open_setup(const struct env *env, void **context, struct err *e);
int  context_open_predict(const struct env *env, void **context, struct err *e);
void context_close(void *context);

/* The thread's store, opened when first asked for and again after it failed. */
int context_store(struct context *c, struct store **st, struct err *e);

/* The project as it is in the store now, read again only where the store has changed
 * since.  0; 1 unknown.  Valid until the next call. */
int context_project(struct context *c, int64_t id, int64_t created_s, struct project *p, struct err *e);

/* To be called with the error that a request ended with: a broken connection is
 * closed, so that the next request begins with a new one. */
void context_failed(struct context *c, const struct err *e);

#endif
