/*
 * spans.c - the substring model on its own: JSON lines in, predictions out.
 *
 *	spans CONFIG.xml
 *
 * A line {"task": {…}, "context": {…}} is answered with a prediction; a line
 * {"fit": [{"data": {…}, "result": […]}, …]} makes the model anew and is answered with
 * {"fit": true}, or {"fit": "why not"}.
 */
#include "base/json.h"
#include "models/model.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

extern const struct model_kind model_substring;

#define LINE_MAX_BYTES ((size_t)256 << 20)

static struct span member(struct span object, const char *key)
{
	struct span value = { NULL, 0 };

	(void)json_member(object, key, &value);
	return value;
}

static void read_config(const char *path, struct label_config **config)
{
	FILE      *f = fopen(path, "r");
	struct buf b;
	char      *room;
	size_t     n = 0;
	struct err e = { 0 };

	buf_init(&b, LABEL_CONFIG_BYTES_MAX);
	room = buf_room(&b, LABEL_CONFIG_BYTES_MAX - 1);
	if (f == NULL || room == NULL || (n = fread(room, 1, LABEL_CONFIG_BYTES_MAX - 1, f)) == 0)
		errx(2, "can't read %s", path);
	fclose(f);
	if (label_config_parse(config, (struct span){ room, n }, &e) < 0)
		errx(2, "%s", e.msg);
	buf_clear(&b);
}

static struct model *make(const struct label_config *config, struct span list, struct buf *out)
{
	static const struct model_settings settings = { .threads = 1 };
	struct examples  examples = { NULL, 0 };
	struct example  *v = calloc(json_count(list) + 1, sizeof *v);
	struct json_iter it = json_each(list);
	struct span      one;
	struct model    *m = NULL;
	struct err       e = { 0 };

	if (v == NULL)
		errx(2, "memory");
	for (; json_next(&it, NULL, &one); examples.n++) {
		v[examples.n].data = member(one, "data");
		v[examples.n].result = member(one, "result");
	}
	examples.v = v;
	buf_adds(out, "{\"fit\":");
	if (list.p != NULL && model_substring.fit(&m, config, examples, &settings, &e) < 0)
		json_put_text(out, span_of(e.msg));
	else
		buf_adds(out, "true");
	buf_addc(out, '}');
	if (m == NULL && model_substring.cold(&m, config, &settings, &e) < 0)
		errx(2, "%s", e.msg);
	free(v);
	return m;
}

static void answer(const struct model *m, const struct label_config *config, struct span line, struct arena *scratch,
                   struct buf *out)
{
	struct task       task = { member(line, "task"), member(member(line, "task"), "data") };
	struct prediction p;
	struct err        e = { 0 };

	if (model_substring.predict(m, &task, member(line, "context"), scratch, &p, &e) < 0 ||
	    prediction_check(&p, config, &e) < 0)
		errx(2, "%s", e.msg);
	prediction_put_json(&p, "v", out);
}

int main(int argc, char **argv)
{
	struct label_config *config;
	struct model        *m;
	struct arena         scratch;
	struct buf           out;
	char                *line = NULL;
	size_t               cap = 0;
	ssize_t              n;

	if (argc != 2)
		errx(2, "usage: spans CONFIG.xml");
	read_config(argv[1], &config);
	arena_init(&scratch, (size_t)1 << 30);
	buf_init(&out, LINE_MAX_BYTES);
	m = make(config, (struct span){ NULL, 0 }, &out);
	while ((n = getline(&line, &cap, stdin)) > 0) {
		struct span whole, fit;
		struct err  e = { 0 };

		buf_reset(&out);
		if (json_check((struct span){ line, (size_t)n }, &whole, &e) < 0)
			errx(2, "%s", e.msg);
		fit = member(whole, "fit");
		if (fit.p != NULL) {
			model_substring.free(m);
			m = make(config, fit, &out);
		} else {
			answer(m, config, whole, &scratch, &out);
		}
		arena_reset(&scratch);
		if (buf_check(&out, "the answer", &e) < 0)
			errx(2, "%s", e.msg);
		fwrite(out.p, 1, out.len, stdout);
		putchar('\n');
		fflush(stdout);
	}
	free(line);
	buf_clear(&out);
	arena_clear(&scratch);
	model_substring.free(m);
	label_config_free(config);
	return 0;
}
