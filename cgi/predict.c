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
		"predict", routes, countof(routes), context_open, context_close,
	};

	return serve(&service);
}
