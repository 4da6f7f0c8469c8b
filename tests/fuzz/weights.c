/*
 * weights.c - stored models, damaged behind their checksum.
 *
 * An input is no model but a list of changes to one that was saved a moment ago, so
 * that it says the same whatever the stored form is: which model, what config it is
 * loaded with, then changes of 8 bytes each: what, in which part, where, with what.
 * The parts reach load() as a store would hand them on whose checksum is right.
 *
 * Either the model is refused, or what it predicts is finite and names only what the
 * config has.
 */
#include "fuzz.h"

#include "base/json.h"
#include "models/model.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define CHOICES(attr, labels) \
	"<View><Text name='text' value='$text'/><Choices name='c' toName='text'" attr ">" labels "</Choices></View>"
#define ONE "<Choice value='one'/>"
#define TWO "<Choice value='two'/>"
#define SIX "<Choice value='six'/>"
#define NER(labels) "<View><Text name='text' value='$text'/><Labels name='n' toName='text'>" labels "</Labels></View>"

/* Those of a line are of one sort: what was fitted with the first is loaded with each. */
enum { CONFIGS = 4 };
static const struct { const char *kind, *xml[CONFIGS]; } sorts[] = {
	{ "tfidf_logreg", { CHOICES("", ONE TWO SIX), CHOICES("", SIX ONE), CHOICES(" choice='multiple'", ONE TWO SIX),
	                    CHOICES("", "<Choice value='new'/>") } },
	{ "tfidf_logreg", { CHOICES("", ONE TWO), CHOICES("", TWO), CHOICES("", SIX TWO ONE), CHOICES("", SIX) } },
	{ "tfidf_logreg", { CHOICES(" choice='multiple'", ONE TWO SIX), CHOICES("", ONE TWO SIX),
	                    CHOICES(" choice='multiple'", TWO), CHOICES(" choice='multiple'", SIX) } },
	{ "substring",    { NER("<Label value='place'/><Label value='person'/>"), NER("<Label value='person'/>"),
	                    NER("<Label value='new'/>"), NER("<Label value='place'/>") } },
};

static const struct { const char *text, *label, *result; } rows[] = {
	{ "a warm and friendly place in Rome", "one",
	  "[{\"from_name\":\"c\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"one\",\"six\"]}},"
	  "{\"from_name\":\"n\",\"to_name\":\"text\",\"type\":\"labels\",\"value\":{\"start\":29,\"end\":33,\"text\":\"Rome\",\"labels\":[\"place\"]}}]" },
	{ "cold soup, cold room, Ann said", "two",
	  "[{\"from_name\":\"c\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"two\"]}},"
	  "{\"from_name\":\"n\",\"to_name\":\"text\",\"type\":\"labels\",\"value\":{\"start\":22,\"end\":25,\"text\":\"Ann\",\"labels\":[\"person\"]}}]" },
	{ "warm soup and a friendly room", "one",
	  "[{\"from_name\":\"c\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"one\"]}}]" },
	{ "Rome is cold, Ann said so", "two",
	  "[{\"from_name\":\"c\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"two\",\"six\"]}},"
	  "{\"from_name\":\"n\",\"to_name\":\"text\",\"type\":\"labels\",\"value\":{\"start\":0,\"end\":4,\"text\":\"Rome\",\"labels\":[\"place\"]}}]" },
	{ "neither here nor there", "six",
	  "[{\"from_name\":\"c\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"six\"]}}]" },
	{ "so it goes, so it goes", "six",
	  "[{\"from_name\":\"c\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"six\"]}}]" },
};

/* What models are asked. */
static const char *const asked[] = {
	"{\"text\":\"\"}", "{\"text\":\"warm soup and a friendly place in Rome\"}", "{\"text\":\"cold cold cold room, Ann said so\"}",
	"{\"text\":\"never seen before \\u03a3\\u0130\"}",
};

static const struct model_settings settings = { .token_pattern = TOKEN_WORD1, .logreg_c = 10, .threads = 1 };
static struct {
	const struct model_kind *kind;
	struct label_config     *config[CONFIGS];
	struct model_parts       saved;
} models[countof(sorts)];

static void save_one(size_t s)
{
	struct model_settings   with = settings;
	struct example          v[countof(rows)] = { 0 };
	struct model           *m;
	struct err              e = { 0 };
	const struct model_kind *kind = model_kind_named(span_of(sorts[s].kind));

	must(kind != NULL);
	models[s].kind = with.kind = kind;
	for (size_t i = 0; i < CONFIGS; i++)
		must(label_config_parse(&models[s].config[i], span_of(sorts[s].xml[i]), &e) == 0);
	for (size_t i = 0; i < countof(rows); i++)
		v[i] = (struct example){ .annotation = (int64_t)i + 1, .task = (int64_t)i + 1, .text = span_of(rows[i].text),
		                         .label = span_of(s == 1 && i > 3 ? "two" : rows[i].label), .data = SPAN("{}"),
		                         .result = span_of(rows[i].result) };
	must(kind->fit(&m, models[s].config[0], (struct examples){ v, countof(rows) }, &with, &e) == 0);
	must(kind->save(m, &models[s].saved, &e) == 0);
	kind->free(m);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(sodium_init() >= 0);
	for (size_t s = 0; s < countof(sorts); s++)
		save_one(s);
	return 0;
}

/* ---- changing --------------------------------------------------------------------- */

/* The parts as they are now, each on the heap and no longer than it is. */
struct parts {
	struct { const char *name; char *p; size_t len; } v[MODEL_PARTS_MAX];
	size_t n;
};

static void resize(struct parts *t, size_t i, size_t at, size_t out, size_t in)
{
	const size_t old = t->v[i].len, len = old - out + in;
	char        *p = malloc(len == 0 ? 1 : len);

	must(p != NULL);
	if (at > 0)
		memcpy(p, t->v[i].p, at);
	memset(p + at, 0, in);
	if (old - at - out > 0)
		memcpy(p + at + in, t->v[i].p + at + out, old - at - out);
	free(t->v[i].p);
	t->v[i].p = p;
	t->v[i].len = len;
}

static void put(struct parts *t, size_t i, size_t at, uint64_t v, size_t width)
{
	for (size_t k = 0; k < width && at + k < t->v[i].len; k++)
		t->v[i].p[at + k] = (char)(v >> 8 * k);
}

static void change(struct parts *t, struct fuzz_input *in)
{
	static const uint64_t odd[] = {
		0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
		0xffffffffffffffff, 0x7ff0000000000000 /* infinity */, 0xfff0000000000000, 0x7ff8000000000000 /* NaN */,
		0x7fefffffffffffff /* the largest */, 0x8000000000000000 /* -0 */, 1 /* the smallest */, 0x4000000000000000 /* 2 */,
		0x3fffffff, 0x40000000, 0xc0000000,
	};
	const uint32_t op = fuzz_take(in, 1), part = fuzz_take(in, 1), where = fuzz_take(in, 2), with = fuzz_take(in, 4);
	const size_t   i = part % t->n, len = t->v[i].len;
	size_t         at = len == 0 ? 0 : where % len, n;

	switch (op % 10) {
	case 0:
		put(t, i, at, with, 1);
		break;
	case 1:
		put(t, i, at & ~(size_t)3, with, 4);
		break;
	case 2:
		put(t, i, at & ~(size_t)3, odd[with % countof(odd)], 4);
		break;
	case 3:
		put(t, i, at & ~(size_t)7, odd[with % countof(odd)], 8);
		break;
	case 4:
		if (len > 0)
			t->v[i].p[at] = (char)(t->v[i].p[at] ^ (1 << with % 8));
		break;
	case 5:
		n = len - at < with % 64 ? len - at : with % 64;
		resize(t, i, at, n, 0);
		break;
	case 6:
		resize(t, i, at, 0, with % 64);
		break;
	case 7:
		resize(t, i, with % 2 == 0 ? at : len, with % 2 == 0 ? len - at : 0, with % 3 == 0 ? with % 4096 : 0);
		break;
	case 8:         /* another's bytes */
		n = with % t->n;
		if (t->v[n].len > 0 && n != i) {
			resize(t, i, 0, len, t->v[n].len);
			memcpy(t->v[i].p, t->v[n].p, t->v[n].len);
		}
		break;
	default:        /* and its number in the head says so */
		put(t, i, 16, (uint64_t)len - (len < 24 ? len : 24) + (with % 9 == 0 ? with : 0), 8);
		break;
	}
}

static int read_part(void *arg, const char *name, struct span *bytes, struct err *e)
{
	const struct parts *t = arg;

	(void)e;
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i].name, name) == 0) {
			*bytes = (struct span){ t->v[i].p, t->v[i].len };
			return 0;
		}
	return 1;
}

/* ---- asking ------------------------------------------------------------------------- */

static void ask(const struct model_kind *kind, const struct model *m, const struct label_config *config)
{
	struct prediction p;
	struct arena      scratch;
	struct buf        b;
	struct err        e = { 0 };

	arena_init(&scratch, (size_t)1 << 24);
	buf_init(&b, (size_t)1 << 20);
	must(kind->bytes(m) > 0 && kind->bytes(m) < (size_t)1 << 30);
	for (size_t i = 0; i < countof(asked); i++) {
		char              json[256];
		const struct span data = span_of(asked[i]);
		struct task       task;

		snprintf(json, sizeof json, "{\"id\":1,\"data\":%s}", asked[i]);
		task = (struct task){ span_of(json), data };
		p = (struct prediction){ 0 };
		must(kind->predict(m, &task, (struct span){ NULL, 0 }, &scratch, &p, &e) == 0);
		must(prediction_check(&p, config, &e) == 0);
		must(isfinite(p.score) && p.score >= 0 && p.score <= 1);
		for (size_t k = 0; k < p.n_proba; k++)
			must(isfinite(p.proba[k]) && p.proba[k] >= 0 && p.proba[k] <= 1 + 1e-9);
		for (size_t k = 0; k < p.n_regions; k++)
			must(isfinite(p.regions[k].score));
		buf_reset(&b);
		prediction_put_json(&p, "v", &b);
		must(json_type(fuzz_must_be_json(buf_span(&b))) == JSON_OBJECT);
		arena_reset(&scratch);
	}
	buf_clear(&b);
	arena_clear(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input         in = { data, size };
	const size_t              s = fuzz_take(&in, 1) % countof(sorts);
	const struct label_config *config = models[s].config[fuzz_take(&in, 1) % CONFIGS];
	const struct model_kind  *kind = models[s].kind;
	struct model_settings     with = settings;
	struct parts              t = { .n = models[s].saved.n };
	const struct part_source  source = { read_part, &t };
	struct model             *m = NULL;
	struct err                e = { 0 };
	int                       rc;

	for (size_t i = 0; i < t.n; i++) {
		struct span bytes = buf_span(&models[s].saved.v[i].bytes);

		t.v[i].name = models[s].saved.v[i].name;
		resize(&t, i, 0, 0, bytes.len);
		memcpy(t.v[i].p, bytes.p, bytes.len);
	}
	for (int n = 0; in.left > 0 && n < 64; n++)
		change(&t, &in);
	with.kind = kind;
	rc = kind->load(&m, config, &with, kind->format, &source, &e);
	if (rc == 0) {
		ask(kind, m, config);
		kind->free(m);
	} else {
		must(m == NULL);
		/* Not ERR_MEMORY: what a count asks for is there. */
		must(rc == 1 || e.code == ERR_DAMAGED);
		if (rc < 0)
			fuzz_must_be_error(&e);
	}
	must(size > 2 || rc == 0 || rc == 1);           /* unchanged, it is as good as new */
	for (size_t i = 0; i < t.n; i++)
		free(t.v[i].p);
	return 0;
}
