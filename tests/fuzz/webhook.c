/*
 * webhook.c - POST /webhook and POST /train by their handlers.
 *
 * An event that comes twice changes nothing the second time: neither the counter nor
 * a row of what was annotated.
 */
#include "fuzz.h"

#include "base/json.h"
#include "event.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_open();
	fuzz_project();
	fuzz_keep();
	return 0;
}

/* All counters together, and something of every annotation. */
static int64_t counter(void)
{
	return fuzz_number("SELECT total(updates) FROM project");
}

static int64_t annotated(void)
{
	return fuzz_number("SELECT total(id % 1000003 + 7 * deleted + 31 * length(coalesce(result, '')) + 1009 * was_cancelled"
	                   " + 10007 * ground_truth) FROM annotation");
}

/* Annotations that the newest event changed last. */
static int64_t touched(void)
{
	return fuzz_number("SELECT count(*) FROM annotation WHERE event = (SELECT max(row) FROM event)");
}

static void must_be_ok(struct span answer)
{
	struct span root = fuzz_must_be_json(answer), value;
	int64_t     n;

	must(json_member(root, "status", &value) == 0 && json_is(value, SPAN("ok")));
	must(json_member(root, "training", &value) == 0 && json_type(value) == JSON_STRING);
	must(json_member(root, "counter", &value) != 0 || json_int(value, 0, INT64_MAX, &n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span body = { (const char *)data, size };
	const int64_t     before = store_writes(fuzz_store()), least = counter();
	struct reply      reply;
	struct err        e = { 0 };
	int64_t           once, rows, writes;
	bool              twice;

	if (fuzz_ask(event_webhook, body, "", &reply, &e) == 0) {
		must_be_ok(buf_span(&reply.body));
		must(counter() >= least);
		if (store_writes(fuzz_store()) != before) {
			once = counter();
			rows = annotated();
			/* An event that says two things of one annotation, and of one of them not when,
			 * says them anew when it is repeated (store.h). */
			twice = once - least > touched();
			must(fuzz_ask(event_webhook, body, "", &reply, &e) == 0);
			must_be_ok(buf_span(&reply.body));
			must(twice || (counter() == once && annotated() == rows));
		}
	} else {
		must(counter() == least);
	}
	/* With a project in the URL, where the event names none. */
	(void)fuzz_ask(event_webhook, body, "project=12", &reply, &e);
	writes = store_writes(fuzz_store());
	(void)fuzz_ask(event_train, body, "", &reply, &e);
	if (writes != before || store_writes(fuzz_store()) != writes)
		fuzz_restore();
	return 0;
}
