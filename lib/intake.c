/* intake.c - annotated tasks that came in a request, in the form of an export. */
#include "intake.h"

#include "annotated.h"
#include "base/json.h"

#include <stdio.h>

#define BATCH_TASKS 200               /* of one write transaction: webhooks wait for it */

struct batch {
	struct annotated into;
	struct json_iter it;
	size_t           at;
	bool             more;
};

static int take_batch(void *arg, struct err *e)
{
	struct batch *b = arg;
	struct span   task;
	char          where[48];

	for (size_t n = 0; n < BATCH_TASKS && (b->more = json_next(&b->it, NULL, &task)); n++) {
		snprintf(where, sizeof where, "annotations[%zu]", b->at++);
		if (annotated_put(&b->into, task, where, e) < 0)
			return -1;
	}
	return 0;
}

int intake_tasks(struct store *st, int64_t project, struct span tasks, struct intake *result, struct err *e)
{
	struct batch b = { .into = { .st = st, .project = project, .source = "export" }, .it = json_each(tasks), .more = true };
	int          rc = 0;

	while (rc == 0 && b.more)
		rc = annotated_event(&b.into, take_batch, &b, e);
	*result = (struct intake){ .changed = b.into.changed, .unreadable = b.into.unreadable };
	return rc;
}
