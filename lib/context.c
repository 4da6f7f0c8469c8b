/* context.c - what one thread of a program keeps between requests. */
#include "context.h"

#include <stdlib.h>
#include <string.h>

/* How long a write waits for another's: less than Label Studio waits for the answer,
 * which is 1, 3 and 100 s (protocol §2), and any request is answered within 5.  Without room a prediction would be lost
 * because some disk takes a second to sync. */
#define BUSY_MS       700
#define SETUP_MS      2000
#define PREDICT_MS    4000

#define SCRATCH_BYTES ((size_t)1 << 30)

static int open_waiting(const struct env *env, int busy_ms, void **context, struct err *e)
{
	struct context *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_memory(e);
	c->env = env;
	c->busy_ms = busy_ms;
	arena_init(&c->scratch, SCRATCH_BYTES);
	arena_init(&c->kept.arena, SCRATCH_BYTES);
	*context = c;
	return 0;
}

int context_open(const struct env *env, void **context, struct err *e)
{
	return open_waiting(env, BUSY_MS, context, e);
}

int context_open_setup(const struct env *env, void **context, struct err *e)
{
	return open_waiting(env, SETUP_MS, context, e);
}

int context_open_predict(const struct env *env, void **context, struct err *e)
{
	return open_waiting(env, PREDICT_MS, context, e);
}

void context_close(void *context)
{
	struct context *c = context;

	if (c == NULL)
		return;
	store_close(c->store);
	arena_clear(&c->scratch);
	arena_clear(&c->kept.arena);
	free(c);
}

int context_store(struct context *c, struct store **st, struct err *e)
{
	if (c->store != NULL && store_outdated(c->store)) {
		store_close(c->store);
		c->store = NULL;
		c->kept.holds = false;      /* store_state() says nothing across connections */
	}
	if (c->store == NULL && store_open(&c->store, c->env->model_dir, c->busy_ms, e) < 0)
		return -1;
	*st = c->store;
	return 0;
}

int context_project(struct context *c, int64_t id, int64_t created_s, struct project *p, struct err *e)
{
	struct store *st;
	int64_t       state[2];
	int           rc;

	if (context_store(c, &st, e) < 0 || store_state(st, state, e) < 0)
		return -1;
	/* The number is read first: what another commits meanwhile is read again. */
	if (!c->kept.holds || c->kept.id != id || c->kept.created_s != created_s ||
	    memcmp(c->kept.state, state, sizeof state) != 0) {
		c->kept.holds = false;
		arena_reset(&c->kept.arena);
		rc = store_project_named(st, id, created_s, &c->kept.arena, &c->kept.project, e);
		if (rc < 0)
			return -1;
		c->kept.holds = true;
		c->kept.known = rc == 0;
		c->kept.id = id;
		c->kept.created_s = created_s;
		memcpy(c->kept.state, state, sizeof state);
	}
	*p = c->kept.project;
	return c->kept.known ? 0 : 1;
}

void context_failed(struct context *c, const struct err *e)
{
	c->kept.holds = false;
	if (c->store == NULL)
		return;
	store_rollback(c->store);
	if (e->code == ERR_STORE || e->code == ERR_DAMAGED || e->code == ERR_DISK || store_stuck(c->store)) {
		store_close(c->store);
		c->store = NULL;
	}
}
