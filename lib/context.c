/* context.c - what one thread of a program keeps between requests. */
#include "context.h"

#include <stdlib.h>

#define BUSY_MS       700                     /* Label Studio gives a webhook one second */
#define SCRATCH_BYTES ((size_t)1 << 30)

int context_open(const struct env *env, void **context, struct err *e)
{
	struct context *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_memory(e);
	c->env = env;
	arena_init(&c->scratch, SCRATCH_BYTES);
	*context = c;
	return 0;
}

void context_close(void *context)
{
	struct context *c = context;

	if (c == NULL)
		return;
	store_close(c->store);
	arena_clear(&c->scratch);
	free(c);
}

int context_store(struct context *c, struct store **st, struct err *e)
{
	if (c->store == NULL && store_open(&c->store, c->env->model_dir, BUSY_MS, e) < 0)
		return -1;
	*st = c->store;
	return 0;
}

void context_failed(struct context *c, const struct err *e)
{
	if (c->store == NULL)
		return;
	store_rollback(c->store);
	if (e->code == ERR_STORE || e->code == ERR_DAMAGED || e->code == ERR_DISK || store_stuck(c->store)) {
		store_close(c->store);
		c->store = NULL;
	}
}
