/* predict.c - POST /predict: Label Studio tasks in, predictions out. */
#include "context.h"
#include "predict.h"
#include "web/serve.h"

static const struct route routes[] = {
	{ POST, "/predict", predict_tasks, 0 },
};

int main(void)
{
	static const struct service service = {
		"predict", routes, countof(routes), .thread_open = context_open_predict, .thread_close = context_close,
		.asks_models = true,
	};

	return serve(&service);
}
