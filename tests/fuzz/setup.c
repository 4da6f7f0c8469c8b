/*
 * setup.c - POST /setup by its handler.
 *
 * Asked a second time it gives the same version and writes nothing.
 */
#include "fuzz.h"

#include "base/json.h"
#include "setup.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_open();
	fuzz_project();
	fuzz_keep();
	return 0;
}

static size_t version_of(struct span answer, char out[256])
{
	struct span root = fuzz_must_be_json(answer), value;

	must(json_member(root, "model_version", &value) == 0 && json_type(value) == JSON_STRING);
	must(value.len > 2 && value.len < 256);
	memcpy(out, value.p, value.len);
	return value.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span body = { (const char *)data, size };
	const int64_t     before = store_writes(fuzz_store());
	struct reply      reply;
	struct err        e = { 0 };
	char              first[256], second[256];
	size_t            len;
	int64_t           writes;

	if (fuzz_ask(setup_project, body, "", &reply, &e) == 0) {
		len = version_of(buf_span(&reply.body), first);
		writes = store_writes(fuzz_store());
		must(fuzz_ask(setup_project, body, "", &reply, &e) == 0);
		must(version_of(buf_span(&reply.body), second) == len && memcmp(first, second, len) == 0);
		must(store_writes(fuzz_store()) == writes);
	}
	if (store_writes(fuzz_store()) != before)
		fuzz_restore();
	return 0;
}
