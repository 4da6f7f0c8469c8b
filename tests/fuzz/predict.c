/* predict.c - POST /predict by its handler, for a project with a trained version. */
#include "fuzz.h"

#include "base/json.h"
#include "predict.h"

#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_open();
	fuzz_project();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span body = { (const char *)data, size };
	struct span       root, tasks;
	struct reply      reply;
	struct err        e = { 0 };
	char             *first;
	size_t            len;
	const int64_t     before = store_writes(fuzz_store());

	if (fuzz_ask(predict_tasks, body, "", &reply, &e) == 0) {
		must(json_check(body, &root, &e) == 0 && json_member(root, "tasks", &tasks) == 0);
		fuzz_must_be_predictions(buf_span(&reply.body), json_count(tasks));
		/* The same question has the same answer. */
		len = reply.body.len;
		first = malloc(len);
		must(first != NULL);
		memcpy(first, reply.body.p, len);
		must(fuzz_ask(predict_tasks, body, "", &reply, &e) == 0);
		must(reply.body.len == len && memcmp(first, reply.body.p, len) == 0);
		free(first);
	}
	must(store_writes(fuzz_store()) == before);     /* and nothing is written for it */
	return 0;
}
