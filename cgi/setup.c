/* setup.c - POST /setup: Label Studio connects. */
#include "context.h"
#include "setup.h"
#include "trainer.h"
#include "web/serve.h"

static const struct route routes[] = {
	{ POST, "/setup", setup_project, 0 },
};

int main(void)
{
	static const struct service service = {
		"setup", routes, countof(routes), .thread_open = context_open_setup, .thread_close = context_close,
		.before = trainer_prepare, .threads_most = 2,
	};

	return serve(&service);
}
