/*
 * measure.c - what tests/bench/run measures of the library itself, in one process.
 *
 *   measure fit THREADS FILE     texts to model: JSON with wall and processor seconds,
 *                                |grad F|, terms, bytes and SHA-256 of the weights
 *   measure micro FILE           scanner, tokenizer, predict and load: a line of JSON each
 *
 * FILE: JSON lines {"text", "label"}.  Reading it is not part of any figure.
 * Processor time, not wall time, of the micro-benchmarks: the least of several rounds.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "models/tfidf_logreg.h"
#include "text/tokenize.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 7
#define countof(a) (sizeof(a) / sizeof((a)[0]))

static void die(const char *what)
{
	fprintf(stderr, "measure: %s\n", what);
	exit(1);
}

static void *need(void *p)
{
	if (p == NULL)
		die("out of memory");
	return p;
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- the data ------------------------------------------------------------------ */

static struct {
	struct buf           bytes;
	struct arena         arena;
	struct example      *ex;
	struct span         *data;       /* {"text": …} of each, as a request has it */
	size_t               n, text_bytes;
	struct label_config *config;
} d;

static void read_file(const char *name)
{
	FILE  *f = fopen(name, "rbe");
	size_t n;

	if (f == NULL)
		die("the file can't be read");
	buf_init(&d.bytes, (size_t)1 << 30);
	do {
		char *room = need(buf_room(&d.bytes, 1 << 16));

		n = fread(room, 1, 1 << 16, f);
		d.bytes.len += n;
	} while (n > 0);
	fclose(f);
}

static void put_escaped(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		switch (s.p[i]) {
		case '&': buf_adds(b, "&amp;"); break;
		case '<': buf_adds(b, "&lt;"); break;
		case '"': buf_adds(b, "&quot;"); break;
		default: buf_addc(b, s.p[i]);
		}
}

static int by_span(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

static void make_config(void)
{
	struct span *labels = need(calloc(d.n + 1, sizeof *labels));
	struct buf   xml;
	struct err   e = { 0 };

	buf_init(&xml, 1 << 20);
	buf_adds(&xml, "<View><Text name=\"text\" value=\"$text\"/><Choices name=\"label\" toName=\"text\">");
	for (size_t i = 0; i < d.n; i++)
		labels[i] = d.ex[i].label;
	qsort(labels, d.n, sizeof *labels, by_span);
	for (size_t i = 0; i < d.n; i++)
		if (i == 0 || !span_eq(labels[i], labels[i - 1])) {
			buf_adds(&xml, "<Choice value=\"");
			put_escaped(&xml, labels[i]);
			buf_adds(&xml, "\"/>");
		}
	buf_adds(&xml, "</Choices></View>");
	if (label_config_parse(&d.config, buf_span(&xml), &e) < 0)
		die(e.msg);
	buf_clear(&xml);
	free(labels);
}

static void read_data(const char *name)
{
	static const char *const key[] = { "text", "label" };
	size_t                   lines = 0;
	const char              *p, *end;
	struct err               e = { 0 };

	read_file(name);
	arena_init(&d.arena, (size_t)1 << 30);
	end = d.bytes.p + d.bytes.len;
	for (p = d.bytes.p; p < end; p++)
		lines += *p == '\n';
	d.ex = need(calloc(lines + 1, sizeof *d.ex));
	d.data = need(calloc(lines + 1, sizeof *d.data));
	for (p = d.bytes.p; p < end; ) {
		const char     *line_end = memchr(p, '\n', (size_t)(end - p));
		struct span     line = { p, (size_t)((line_end == NULL ? end : line_end) - p) }, object, in[2];
		struct example *ex = &d.ex[d.n];

		p += line.len + 1;
		if (line.len == 0)
			continue;
		if (json_check(line, &object, &e) < 0)
			die(e.msg);
		json_members(object, key, 2, in);
		if (json_text(in[0], &d.arena, &ex->text, &e) != 0 || json_text(in[1], &d.arena, &ex->label, &e) != 0)
			die("a line without text or label");
		d.data[d.n] = object;
		d.text_bytes += ex->text.len;
		ex->annotation = ex->task = (int64_t)++d.n;
	}
	if (d.n == 0)
		die("no lines");
	make_config();
}

static const struct model_kind *const kind = &model_tfidf_logreg;

static struct model_settings settings(int threads)
{
	return (struct model_settings){ .kind = kind, .logreg_c = 10, .threads = threads };
}

static struct model *fit(int threads)
{
	const struct model_settings s = settings(threads);
	struct model               *m;
	struct err                  e = { 0 };

	if (kind->fit(&m, d.config, (struct examples){ d.ex, d.n }, &s, &e) < 0)
		die(e.msg);
	return m;
}

static void save(const struct model *m, struct model_parts *parts)
{
	struct err e = { 0 };

	memset(parts, 0, sizeof *parts);
	if (kind->save(m, parts, &e) < 0)
		die(e.msg);
}

/* Not ru_maxrss, which begins with that of the process that started this one. */
static double peak_mb(void)
{
	FILE  *f = fopen("/proc/self/status", "re");
	char   line[200];
	double kb = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "VmHWM: %lf", &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kb / 1024;
}

/* ---- fit ------------------------------------------------------------------------- */

static int measure_fit(int threads)
{
	double                    wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	struct model             *m = fit(threads);
	struct tfidf_logreg_facts facts;
	struct model_parts        parts;
	crypto_hash_sha256_state  h;
	unsigned char             sum[crypto_hash_sha256_BYTES];
	char                      hex[2 * sizeof sum + 1];
	double                    peak;
	size_t                    bytes = 0;

	wall = seconds(CLOCK_MONOTONIC) - wall;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	peak = peak_mb();
	tfidf_logreg_facts(m, &facts);
	save(m, &parts);
	crypto_hash_sha256_init(&h);
	for (size_t i = 0; i < parts.n; i++) {
		struct span part = buf_span(&parts.v[i].bytes);

		crypto_hash_sha256_update(&h, (const unsigned char *)part.p, part.len);
		bytes += part.len;
	}
	crypto_hash_sha256_final(&h, sum);
	sodium_bin2hex(hex, sizeof hex, sum, sizeof sum);
	printf("{\"wall_s\": %.6f, \"cpu_s\": %.6f, \"grad\": %.3g, \"terms\": %zu, \"examples\": %zu, \"bytes\": %zu, "
	       "\"peak_mb\": %.2f, \"sha256\": \"%s\"}\n", wall, cpu, facts.grad, facts.n_terms, d.n, bytes,
	       peak, hex);
	model_parts_clear(&parts);
	kind->free(m);
	return 0;
}

/* ---- micro ------------------------------------------------------------------------ */

static struct model *model;
static struct model_parts saved;
static struct buf body;            /* of a /predict with all texts */
static struct arena scratch;
static volatile size_t sink;       /* so that nothing is left out */

static void scan(void)
{
	struct span value;

	if (json_check(buf_span(&body), &value, NULL) < 0)
		die("the scanner refuses the body");
	sink += value.len;
}

static void tokenize(void)
{
	struct tokenizer t;
	struct span      token;

	for (size_t i = 0; i < d.n; i++) {
		tokenize_begin(&t, d.ex[i].text, TOKEN_WORD, need(arena_alloc(&scratch, tokenize_room(d.ex[i].text.len))));
		while (tokenize_next(&t, &token))
			sink += token.len;
		arena_reset(&scratch);
	}
}

static void predict(void)
{
	struct prediction p;
	struct buf        out;
	struct err        e = { 0 };

	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < d.n; i++) {
		const struct task t = { d.data[i], d.data[i] };

		if (kind->predict(model, &t, (struct span){ NULL, 0 }, &scratch, &p, &e) < 0)
			die(e.msg);
		prediction_put_json(&p, "tfidf_logreg-1-0123456", &out);
		sink += out.len;
		buf_reset(&out);
		arena_reset(&scratch);
	}
	buf_clear(&out);
}

static int read_part(void *arg, const char *name, struct span *bytes, struct err *e)
{
	(void)arg;
	(void)e;
	for (size_t i = 0; i < saved.n; i++)
		if (strcmp(saved.v[i].name, name) == 0) {
			*bytes = buf_span(&saved.v[i].bytes);
			return 0;
		}
	return 1;
}

static void load(void)
{
	const struct model_settings s = settings(1);
	const struct part_source    source = { .read = read_part };
	struct model               *m;
	struct err                  e = { 0 };

	if (kind->load(&m, d.config, &s, kind->format, &source, &e) != 0)
		die(e.msg);
	sink += kind->bytes(m);
	kind->free(m);
}

static double least(void (*run)(void))
{
	double best = 1e9;

	for (int i = 0; i < ROUNDS; i++) {
		double t = seconds(CLOCK_PROCESS_CPUTIME_ID);

		run();
		t = seconds(CLOCK_PROCESS_CPUTIME_ID) - t;
		best = t < best ? t : best;
	}
	return best;
}

static int measure_micro(void)
{
	size_t bytes = 0;

	model = fit(1);
	save(model, &saved);
	for (size_t i = 0; i < saved.n; i++)
		bytes += saved.v[i].bytes.len;
	arena_init(&scratch, (size_t)1 << 30);
	buf_init(&body, (size_t)1 << 30);
	buf_adds(&body, "{\"tasks\":[");
	for (size_t i = 0; i < d.n; i++) {
		buf_adds(&body, i == 0 ? "{\"data\":" : ",{\"data\":");
		buf_add(&body, d.data[i].p, d.data[i].len);
		buf_addc(&body, '}');
	}
	buf_adds(&body, "]}");

	const struct { const char *what, *unit; void (*run)(void); double per; } all[] = {
		{ "scanner: a request body checked", "ns a byte", scan, 1e9 / (double)body.len },
		{ "tokenizer: text cut into words", "ns a byte", tokenize, 1e9 / (double)d.text_bytes },
		{ "predict: a task to its printed answer", "us a task", predict, 1e6 / (double)d.n },
		{ "load: stored parts in memory to a model", "ms", load, 1e3 },
		{ "load, by size", "ns a byte", load, 1e9 / (double)bytes },
	};
	for (size_t i = 0; i < countof(all); i++)
		printf("{\"what\": \"%s\", \"unit\": \"%s\", \"value\": %.4g}\n", all[i].what, all[i].unit,
		       least(all[i].run) * all[i].per);
	model_parts_clear(&saved);
	kind->free(model);
	arena_clear(&scratch);
	buf_clear(&body);
	return 0;
}

int main(int argc, char **argv)
{
	const bool micro = argc == 3 && strcmp(argv[1], "micro") == 0;

	if (!micro && !(argc == 4 && strcmp(argv[1], "fit") == 0)) {
		fprintf(stderr, "usage: measure fit THREADS FILE | measure micro FILE\n");
		return 2;
	}
	if (sodium_init() < 0)
		die("libsodium can't be started");
	read_data(argv[argc - 1]);
	return micro ? measure_micro() : measure_fit(atoi(argv[2]));
}
