/* webhook.c - POST /webhook: what annotators did; POST /train: a training now. */
#include "context.h"
#include "event.h"
#include "trainer.h"
#include "web/serve.h"

static const struct route routes[] = {
	{ POST, "/webhook", event_webhook, ROUTE_WEBHOOK },
	{ POST, "/train",   event_train,   0 },
};

int main(void)
{
	static const struct service service = {
		"webhook", routes, countof(routes), .thread_open = context_open, .thread_close = context_close,
		.before = trainer_prepare,
	};

	return serve(&service);
}
