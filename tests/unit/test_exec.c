/* test_exec.c - models in other languages: questions, answers, and a child that fails. */
#include "models/model.h"

#include "base/child.h"
#include "base/clock.h"
#include "base/json.h"
#include "patience.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CONFIG \
	"<View><Text name=\"text\" value=\"$text\"/><Choices name=\"label\" toName=\"text\">" \
	"<Choice value=\"yes\"/><Choice value=\"no\" alias=\"n\"/></Choices>" \
	"<Labels name=\"ner\" toName=\"text\"><Label value=\"PER\"/></Labels>" \
	"<TextArea name=\"note\" toName=\"text\"/><Rating name=\"stars\" toName=\"text\"/>" \
	"<Number name=\"count\" toName=\"text\"/></View>"

static char folder[64];
static struct label_config *config;

/* ---- a program in a file ------------------------------------------------------------- */

static const char *script(const char *text)
{
	static char path[96];
	static int  n;
	FILE       *f;

	snprintf(path, sizeof path, "%s/model%d.sh", folder, n++);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", text);
	fclose(f);
	assert_int_equal(chmod(path, 0700), 0);
	return path;
}

/* start_s: what a fresh one may take longer; WAIT_S where it is not about that. */
static struct child *child_within(const char *text, size_t line_max, double start_s)
{
	static const char *const env[] = { "PATH=/usr/bin:/bin", "KEY=value", NULL };
	const char *const        argv[] = { script(text), NULL };
	struct err               e = { 0 };
	struct child            *c = child_new(&(struct child_program){ .name = "prog", .argv = argv, .environment = env,
	                                       .folder = folder, .start_s = start_s, .line_max = line_max }, &e);

	assert_non_null(c);
	return c;
}

static struct child *child_of(const char *text, size_t line_max)
{
	return child_within(text, line_max, WAIT_S);
}

static int ask(struct child *c, const char *question, double seconds, char answer[256], struct err *e)
{
	struct span value;
	struct buf  b;
	int         rc;

	err_clear(e);
	buf_init(&b, 0);
	rc = child_ask(c, span_of(question), seconds, NULL, NULL, &b, &value, e);
	if (rc == 0)
		snprintf(answer, 256, "%.*s", (int)value.len, value.p);
	buf_clear(&b);
	return rc;
}

static void test_answers(void **state)
{
	struct child *c = child_of("while read -r line; do echo \"  [\\\"$KEY\\\", $line]\"; done", 1000);
	char          got[256];
	struct err    e = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(c, "17\n", WAIT_S, got, &e), 0);
		assert_string_equal(got, "[\"value\", 17]");
	}
	child_free(c);
}

/* Each costs its answer, says why, and leaves nothing behind. */
static const struct { const char *name, *text, *why; } faults[] = {
	{ "status",         "read l; exit 3",                             "prog ended with status 3" },
	{ "signal",         "read l; kill -9 $$",                         "prog was killed by signal 9" },
	{ "part of a line", "read l; printf '[1'; exit 0",                "prog ended with status 0" },
	{ "no answer",      "read l; sleep 20",                           "prog did not start in time" },
	{ "does not read",  "sleep 20",                                   "prog did not start in time" },
	{ "no end",         "read l; printf '[1]'; sleep 20",             "prog did not start in time" },
	{ "closed",         "read l; exec >&-; sleep 20",                 "prog closed its standard output" },
	{ "not JSON",       "read l; echo loading",                       "prog answered with a line that is not JSON" },
	{ "NaN",            "read l; echo '[NaN]'",                       "prog answered with a line that is not JSON" },
	{ "nothing",        "read l; echo",                               "prog answered with a line that is not JSON" },
	{ "two lines",      "read l; printf '1\\n2\\n'; sleep 20",        "prog answered with more than one line" },
	{ "too long",       "read l; head -c 5000 /dev/zero; sleep 20",   "prog answered with a line that is too long" },
	{ "ignores TERM",   "trap '' TERM INT HUP; read l; sleep 20",     "prog did not start in time" },
};

static int count_children(void)
{
	char  line[512];
	int   n = 0;
	FILE *f;
	DIR  *proc = opendir("/proc");

	for (struct dirent *d; (d = readdir(proc)) != NULL; ) {
		char path[300], *p;

		snprintf(path, sizeof path, "/proc/%s/stat", d->d_name);
		f = d->d_name[0] < '0' || d->d_name[0] > '9' ? NULL : fopen(path, "re");
		if (f == NULL)
			continue;
		if (fgets(line, sizeof line, f) != NULL && (p = strrchr(line, ')')) != NULL) {
			char state;
			int  parent;

			n += sscanf(p + 1, " %c %d", &state, &parent) == 2 && parent == (int)getpid();
		}
		fclose(f);
	}
	closedir(proc);
	return n;
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int  n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void test_faults(void **state)
{
	int fds = count_fds();

	(void)state;
	for (size_t i = 0; i < countof(faults); i++) {
		/* Only what is about time is short of it. */
		double        start_s = strstr(faults[i].why, "in time") != NULL ? 0.2 : WAIT_S;
		struct child *c = child_within(faults[i].text, 1000, start_s);
		struct err    e = { 0 };
		double        began = clock_monotonic() - held_up(getpid());
		char          got[256];

		assert_int_equal(ask(c, "1\n", 0.2, got, &e), -1);
		assert_int_equal(e.code, ERR_BUSY);
		if (strcmp(e.msg, faults[i].why) != 0)
			fail_msg("%s: \"%s\", not \"%s\"", faults[i].name, e.msg, faults[i].why);
		assert_true(clock_monotonic() - held_up(getpid()) - began < 2);
		assert_int_equal(count_children(), 0);          /* killed and buried */
		child_free(c);
		assert_int_equal(count_fds(), fds);
	}
}

/* One that ended is started again after a pause, which grows while it fails and is
 * short again after an answer. */
static void test_pauses(void **state)
{
	static const char ended[] = "prog ended with status 1", again[] = "prog ended with status 1: it is started again in ";
	char              text[256], got[256];
	struct child     *c;
	struct err        e = { 0 };
	double            pause = 0.1, since;

	(void)state;
	snprintf(text, sizeof text, "test -f %s/well || exit 1; while read -r l; do echo 1; done", folder);
	c = child_of(text, 1000);
	assert_int_equal(ask(c, "1\n", WAIT_S, got, &e), -1);
	assert_string_equal(e.msg, ended);
	for (since = clock_monotonic(); pause < 0.5; pause *= 2) {
		while (ask(c, "1\n", WAIT_S, got, &e) < 0 && strncmp(e.msg, again, sizeof again - 1) == 0) {
			/* What it says is left, not what this machine makes of it. */
			assert_true(strtod(e.msg + sizeof again - 1, NULL) <= pause + 0.1);
			usleep(2000);
		}
		assert_string_equal(e.msg, ended);
		assert_true(clock_monotonic() - since > pause * 0.9);
		since = clock_monotonic();
	}
	snprintf(text, sizeof text, "%s/well", folder);
	fclose(fopen(text, "we"));
	while (ask(c, "1\n", WAIT_S, got, &e) < 0 && clock_monotonic() - since < WAIT_S)
		usleep(2000);
	assert_string_equal(got, "1");
	assert_true(clock_monotonic() - since > 0.7);
	child_free(c);
}

/* What comes behind an answer belongs to no other question. */
static void test_out_of_step(void **state)
{
	char          text[800], said[200], taken[200], got[256];
	struct err    e = { 0 };
	struct child *c;
	double        end;
	FILE         *f;

	(void)state;
	snprintf(said, sizeof said, "%s/said", folder);
	snprintf(taken, sizeof taken, "%s/taken", folder);
	/* The second line once, and not before the first has been taken. */
	snprintf(text, sizeof text, "n=0; while read -r l; do n=$((n+1)); echo $n; [ -e %s ] || "
	         "{ until [ -e %s ]; do sleep 0.01; done; echo 99; : >%s; }; done", said, taken, said);
	c = child_of(text, 1000);
	assert_int_equal(ask(c, "1\n", WAIT_S, got, &e), 0);
	assert_string_equal(got, "1");
	assert_non_null(f = fopen(taken, "w"));
	fclose(f);
	assert_true(file_comes(said));
	assert_int_equal(ask(c, "1\n", WAIT_S, got, &e), -1);
	assert_string_equal(e.msg, "prog wrote to standard output without being asked");
	for (end = clock_monotonic() + WAIT_S; ask(c, "1\n", WAIT_S, got, &e) < 0 && clock_monotonic() < end; )
		usleep(2000);
	assert_string_equal(got, "1");
	child_free(c);
}

/* A large question to one that does not read it, and to one that does. */
static void test_large(void **state)
{
	struct child *deaf = child_within("sleep 20", 1000, 0.2), *well = child_of("while read -r l; do echo ${#l}; done", 1000);
	size_t        n = 3 << 20;
	char         *question = malloc(n + 2), got[256];
	struct err    e = { 0 };

	(void)state;
	assert_non_null(question);
	memset(question, 'x', n);
	strcpy(question + n, "\n");
	assert_int_equal(ask(deaf, question, 0.2, got, &e), -1);
	assert_string_equal(e.msg, "prog did not start in time");
	assert_int_equal(ask(well, question, WAIT_S, got, &e), 0);
	assert_string_equal(got, "3145728");
	child_free(deaf);
	child_free(well);
	free(question);
}

struct asking {
	struct child *c;
	int           id, wrong;
};

static void *ask_many(void *arg)
{
	struct asking *a = arg;
	char           question[32], want[32], got[256];
	struct err     e = { 0 };

	for (int i = 0; i < 200; i++) {
		snprintf(question, sizeof question, "%d\n", a->id * 1000 + i);
		snprintf(want, sizeof want, "%d", a->id * 1000 + i);
		a->wrong += ask(a->c, question, WAIT_S, got, &e) < 0 || strcmp(got, want) != 0;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct child *c = child_of("while read -r l; do echo $l; done", 1000);
	struct asking a[4];
	pthread_t     t[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		a[i] = (struct asking){ .c = c, .id = i + 1 };
		assert_int_equal(pthread_create(&t[i], NULL, ask_many, &a[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(a[i].wrong, 0);
	}
	child_free(c);
}

static void *ask_long(void *arg)
{
	struct asking *a = arg;
	struct err     e = { 0 };
	char           got[256];

	a->wrong = ask(a->c, "1\n", WAIT_S, got, &e);
	return NULL;
}

/* Waiting for another thread's question counts. */
static void test_waiting_counts(void **state)
{
	char          text[600], asked[200], go[200], got[256];
	struct asking a = { 0 };
	struct err    e = { 0 };
	pthread_t     t;
	struct child *c;

	(void)state;
	snprintf(asked, sizeof asked, "%s/asked", folder);
	snprintf(go, sizeof go, "%s/go", folder);
	snprintf(text, sizeof text, "while read -r l; do test $l = 0 || : >%s; until test $l = 0 || test -e %s; do sleep 0.02; done; "
	         "echo 1; done", asked, go);
	a.c = c = child_of(text, 1000);
	assert_int_equal(ask(c, "0\n", WAIT_S, got, &e), 0);
	assert_int_equal(pthread_create(&t, NULL, ask_long, &a), 0);
	assert_true(file_comes(asked));
	assert_int_equal(ask(c, "0\n", 0.1, got, &e), -1);
	assert_string_equal(e.msg, "prog did not get to this request in time");
	fclose(fopen(go, "we"));
	pthread_join(t, NULL);
	assert_int_equal(a.wrong, 0);           /* the one that was at it got its answer */
	assert_int_equal(ask(c, "0\n", WAIT_S, got, &e), 0);
	child_free(c);
}

static bool three_times(void *arg)
{
	return ++*(int *)arg < 3;
}

static void test_stopped(void **state)
{
	struct child *c = child_of("read l; sleep 20", 1000);
	struct err    e = { 0 };
	struct span   value;
	struct buf    b;
	int           n = 0;

	(void)state;
	buf_init(&b, 0);
	assert_int_equal(child_ask(c, SPAN("1\n"), 20, three_times, &n, &b, &value, &e), -1);
	assert_int_equal(e.code, ERR_STOPPED);
	assert_int_equal(n, 3);
	assert_int_equal(count_children(), 0);
	buf_clear(&b);
	child_free(c);
}

/* ---- the model --------------------------------------------------------------------------- */

static const struct model_kind *kind;

static struct model_settings settings_of(const char *command)
{
	return (struct model_settings){ .command = command, .folder = folder, .extra_params = SPAN("{\"a\":\n1}"),
	                                .reason = "updates" };
}

/* A program that answers everything with one line. */
static const char *says(const char *line)
{
	char text[4096];

	snprintf(text, sizeof text, "while read -r l; do printf '%%s\\n' \"$l\" >>%s/asked; cat <<'END'\n%s\nEND\ndone", folder, line);
	return script(text);
}

static int predict(const char *answer, const char *task, struct buf *json, struct err *e)
{
	struct model_settings settings = settings_of(says(answer));
	struct task           t = { span_of(task), { NULL, 0 } };
	struct prediction     p = { .score = 0 };
	struct model         *m = NULL;
	struct arena          scratch;
	int                   rc;

	err_clear(e);
	assert_int_equal(json_member(t.json, "data", &t.data), 0);
	arena_init(&scratch, 1 << 26);
	assert_int_equal(kind->cold(&m, config, &settings, e), 0);
	rc = kind->predict(m, &t, (struct span){ NULL, 0 }, &scratch, &p, e);
	if (rc == 0 && json != NULL)
		prediction_put_json(&p, "v", json);
	kind->free(m);
	arena_clear(&scratch);
	return rc;
}

#define TASK "{\"id\": 1,\r\n \"data\": {\"text\": \"a\xf0\x9f\x98\x80" "bc d\"}}"

static const struct { const char *answer, *result; } right[] = {
	{ "{\"predictions\": [{\"result\": [], \"score\": 0.25}]}", "\"score\":0.25,\"result\":[]" },
	{ "[{\"result\": [{\"value\": {\"choices\": [\"n\"]}}], \"score\": 0.5}]",
	  "\"score\":0.5,\"result\":[{\"from_name\":\"label\",\"to_name\":\"text\",\"type\":\"choices\",\"score\":0.5,"
	  "\"value\":{\"choices\":[\"n\"]}}]" },
	{ "[{\"result\": [{\"value\": {\"choices\": \"yes\"}, \"score\": 0.75}]}]",
	  "\"score\":0.75,\"result\":[{\"from_name\":\"label\",\"to_name\":\"text\",\"type\":\"choices\",\"score\":0.75,"
	  "\"value\":{\"choices\":[\"yes\"]}}]" },
	{ "[{\"result\": [{\"value\": {\"labels\": [\"PER\"], \"start\": 1, \"end\": 4}}], \"score\": 1}]",
	  "\"score\":1,\"result\":[{\"from_name\":\"ner\",\"to_name\":\"text\",\"type\":\"labels\",\"score\":1,"
	  "\"value\":{\"start\":1,\"end\":4,\"text\":\"\xf0\x9f\x98\x80" "bc\",\"labels\":[\"PER\"]}}]" },
	{ "[{\"result\": [{\"from_name\": \"ner\", \"to_name\": \"text\", \"type\": \"labels\", "
	  "\"value\": {\"labels\": [\"PER\"], \"start\": 6, \"end\": 6, \"text\": \"x\\u0041\"}}], \"score\": 1}]",
	  "\"score\":1,\"result\":[{\"from_name\":\"ner\",\"to_name\":\"text\",\"type\":\"labels\",\"score\":1,"
	  "\"value\":{\"start\":6,\"end\":6,\"text\":\"xA\",\"labels\":[\"PER\"]}}]" },
	{ "[{\"result\": [{\"value\": {\"text\": [\"one\", \"two\"]}}, {\"value\": {\"rating\": 4}}, "
	  "{\"value\": {\"number\": -1.5}}], \"score\": 1}]",
	  "\"score\":1,\"result\":[{\"from_name\":\"note\",\"to_name\":\"text\",\"type\":\"textarea\",\"score\":1,"
	  "\"value\":{\"text\":[\"one\",\"two\"]}},{\"from_name\":\"stars\",\"to_name\":\"text\",\"type\":\"rating\","
	  "\"score\":1,\"value\":{\"rating\":4}},{\"from_name\":\"count\",\"to_name\":\"text\",\"type\":\"number\","
	  "\"score\":1,\"value\":{\"number\":-1.5}}]" },
};

static void test_predictions(void **state)
{
	struct err e = { 0 };
	struct buf b;
	char       want[1024];

	(void)state;
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < countof(right); i++) {
		buf_reset(&b);
		if (predict(right[i].answer, TASK, &b, &e) < 0)
			fail_msg("%s: %s", right[i].answer, e.msg);
		snprintf(want, sizeof want, "{\"model_version\":\"v\",%s}", right[i].result);
		assert_string_equal(b.p, want);
	}
	buf_clear(&b);
}

static const struct { const char *answer, *why; } wrong[] = {
	{ "[]", " answered 1 tasks with 0 predictions" },
	{ "[{\"result\":[]},{\"result\":[]}]", " answered 1 tasks with 2 predictions" },
	{ "{}", " answered without predictions" },
	{ "17", " answered 1 tasks with 0 predictions" },
	{ "{\"error\": \"no\\nweights\"}", ": no?weights" },
	{ "{\"error\": 1}", ": an error that is no text" },
	{ "[1]", ": predictions[0] has no array result" },
	{ "[{\"result\": {}}]", ": predictions[0] has no array result" },
	{ "[{\"result\": [], \"score\": \"1\"}]", ": predictions[0].score is no number" },
	{ "[{\"result\": [], \"score\": 1e999}]", ": predictions[0].score is no number" },
	{ "[{\"result\": [1]}]", ": predictions[0].result[0]: no object with a value" },
	{ "[{\"result\": [{\"value\":{\"choices\":[\"yes\"]}}, {}]}]", ": predictions[0].result[1]: no object with a value" },
	{ "[{\"result\": [{\"value\":{\"choices\":[\"no\"]}}]}]", ": predictions[0].result[0]: label has no label \"no\"" },
	{ "[{\"result\": [{\"value\":{\"choices\":[7]}}]}]", ": predictions[0].result[0]: choices holds something else than texts" },
	{ "[{\"result\": [{\"from_name\":\"x\",\"value\":{\"choices\":[\"yes\"]}}]}]",
	  ": predictions[0].result[0]: from_name is no control of the labeling config" },
	{ "[{\"result\": [{\"from_name\":\"ner\",\"value\":{\"choices\":[\"yes\"]}}]}]",
	  ": predictions[0].result[0]: it is not what ner, a Labels, holds" },
	{ "[{\"result\": [{\"to_name\":\"x\",\"value\":{\"choices\":[\"yes\"]}}]}]",
	  ": predictions[0].result[0]: to_name is nothing that label is over" },
	{ "[{\"result\": [{\"type\":\"brush\",\"value\":{}}]}]", ": predictions[0].result[0]: the labeling config has no control for it" },
	{ "[{\"result\": [{\"type\":\"choices\",\"value\":{}}]}]", ": predictions[0].result[0]: its value has no choices" },
	{ "[{\"result\": [{\"value\":{\"labels\":[\"PER\"]}}]}]", ": predictions[0].result[0]: start and end are not a span" },
	{ "[{\"result\": [{\"value\":{\"labels\":[\"PER\"],\"start\":3,\"end\":2}}]}]", ": predictions[0].result[0]: start and end are not a span" },
	{ "[{\"result\": [{\"value\":{\"labels\":[\"PER\"],\"start\":0,\"end\":7}}]}]", ": predictions[0].result[0]: the span ends behind the text" },
	{ "[{\"result\": [{\"value\":{\"rating\":\"4\"}}]}]", ": predictions[0].result[0]: rating is no number" },
	{ "[{\"result\": [{\"score\":[],\"value\":{\"rating\":4}}]}]", ": predictions[0].result[0]: score is no number" },
};

static void test_wrong_predictions(void **state)
{
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < countof(wrong); i++) {
		const char *why;

		assert_int_equal(predict(wrong[i].answer, TASK, NULL, &e), -1);
		why = strstr(e.msg, ".sh");
		assert_int_equal(strncmp(e.msg, "model", 5), 0);
		if (e.code != ERR_BUSY || why == NULL || strcmp(why + 3, wrong[i].why) != 0)
			fail_msg("%s: %s, not %s", wrong[i].answer, e.msg, wrong[i].why);
	}
}

/* The last line that a program was asked. */
static char *asked(void)
{
	static char line[8192];
	char        path[96];
	FILE       *f;

	snprintf(path, sizeof path, "%s/asked", folder);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof line, f) != NULL)
		;
	fclose(f);
	unlink(path);
	return line;
}

static int read_part(void *arg, const char *name, struct span *bytes, struct err *e)
{
	(void)e;
	if (arg == NULL || strcmp(name, "train_output") != 0)
		return 1;
	*bytes = span_of(arg);
	return 0;
}

static void check_member(struct span object, const char *key, const char *want)
{
	struct span value;

	if (json_member(object, key, &value) != 0)
		fail_msg("%s is missing", key);
	if (!span_is(value, want))
		fail_msg("%s is %.*s, not %s", key, (int)value.len, value.p, want);
}

static void test_questions(void **state)
{
	static const struct example v[] = {
		{ .annotation = 7, .task = 3, .text = { "a\n\"b\"", 5 }, .label = { "yes", 3 }, .data = { "{\"text\":\n1}", 11 },
		  .result = { "[]", 2 } },
		{ .annotation = 8, .task = 3, .text = { "", 0 }, .data = { "{}", 2 }, .result = { "[1]", 3 } },
	};
	struct part_source    previous = { read_part, (void *)(uintptr_t)"{\"old\": 1}" };
	struct model_settings settings = settings_of(says("{\"new\": [1]}"));
	struct model_parts    parts = { .n = 0 };
	struct model         *m = NULL, *again = NULL;
	struct task           t = { SPAN(TASK), SPAN("{}") };
	struct prediction     p;
	struct arena          scratch;
	struct err            e = { 0 };
	struct span           line, body;
	struct buf            parsed, xml;
	char                  workdir[96];

	(void)state;
	arena_init(&scratch, 1 << 26);
	buf_init(&parsed, 1 << 20);
	buf_init(&xml, 1 << 20);
	label_config_put_json(config, &parsed);
	json_put_text(&xml, SPAN(CONFIG));
	settings.previous = &previous;
	settings.previous_format = 1;
	assert_int_equal(kind->fit(&m, config, (struct examples){ v, 2 }, &settings, &e), 0);
	assert_int_equal(json_check(span_of(asked()), &line, &e), 0);
	assert_int_equal(json_member(line, "fit", &body), 0);
	check_member(body, "event", "\"updates\"");
	check_member(body, "examples", "[{\"annotation\":7,\"task\":3,\"text\":\"a\\n\\\"b\\\"\",\"label\":\"yes\",\"data\":{\"text\": 1},"
	             "\"result\":[]},{\"annotation\":8,\"task\":3,\"text\":\"\",\"label\":null,\"data\":{},\"result\":[1]}]");
	check_member(body, "label_config", xml.p);
	check_member(body, "parsed_label_config", parsed.p);
	check_member(body, "extra_params", "{\"a\": 1}");
	check_member(body, "previous", "{\"old\": 1}");
	snprintf(workdir, sizeof workdir, "\"%s/exec\"", folder);
	check_member(body, "workdir", workdir);

	assert_int_equal(kind->save(m, &parts, &e), 0);
	assert_int_equal(parts.n, 1);
	assert_string_equal(parts.v[0].name, "train_output");
	assert_string_equal(parts.v[0].bytes.p, "{\"new\": [1]}");
	previous.arg = parts.v[0].bytes.p;
	assert_int_equal(kind->load(&again, config, &settings, 1, &previous, &e), 0);

	assert_int_equal(kind->predict(again, &t, SPAN("{\"result\":\n[]}"), &scratch, &p, &e), -1);
	assert_int_equal(json_check(span_of(asked()), &line, NULL), 0);
	assert_int_equal(json_member(line, "predict", &body), 0);
	check_member(body, "tasks", "[{\"id\": 1,   \"data\": {\"text\": \"a\xf0\x9f\x98\x80" "bc d\"}}]");
	check_member(body, "context", "{\"result\": []}");
	check_member(body, "train_output", "{\"new\": [1]}");
	check_member(body, "label_config", xml.p);
	check_member(body, "parsed_label_config", parsed.p);
	check_member(body, "extra_params", "{\"a\": 1}");
	kind->free(m);
	kind->free(again);
	model_parts_clear(&parts);
	buf_clear(&parsed);
	buf_clear(&xml);
	arena_clear(&scratch);
}

/* Where a text may have several labels, all of them. */
static void test_examples_of_sets(void **state)
{
	const struct example v[] = {
		{ .annotation = 7, .task = 3, .text = { "a", 1 }, .label = { "yes", 3 }, .data = { "{}", 2 }, .result =
		  SPAN("[{\"type\":\"choices\",\"from_name\":\"c\",\"value\":{\"choices\":[\"no\",\"gone\",\"yes\"]}}]") },
		{ .annotation = 8, .task = 3, .text = { "", 0 }, .data = { "{}", 2 }, .result = { "[]", 2 } },
	};
	struct model_settings settings = settings_of(says("{}"));
	struct label_config  *several = NULL;
	struct model         *m = NULL;
	struct err            e = { 0 };
	struct span           line, body, examples, one;
	struct json_iter      it;

	(void)state;
	assert_int_equal(label_config_parse(&several, SPAN("<View><Text name='t' value='$text'/><Choices name='c' toName='t' "
		"choice='multiple'><Choice value='yes'/><Choice value='no'/></Choices></View>"), &e), 0);
	assert_int_equal(kind->fit(&m, several, (struct examples){ v, countof(v) }, &settings, &e), 0);
	assert_int_equal(json_check(span_of(asked()), &line, &e), 0);
	assert_int_equal(json_member(line, "fit", &body), 0);
	assert_int_equal(json_member(body, "examples", &examples), 0);
	it = json_each(examples);
	assert_true(json_next(&it, NULL, &one));
	check_member(one, "label", "\"yes\"");
	check_member(one, "labels", "[\"yes\",\"no\"]");
	assert_true(json_next(&it, NULL, &one));
	check_member(one, "label", "null");
	check_member(one, "labels", "[]");
	kind->free(m);
	label_config_free(several);
}

static void test_fit_refused(void **state)
{
	static const struct { const char *answer; enum err_code code; const char *why; } cases[] = {
		{ "[1]", ERR_BUSY, " answered fit with something else than an object" },
		{ "{\"error\": \"needs two labels\"}", ERR_TOO_FEW, ": needs two labels" },
	};
	struct example one = { .annotation = 1, .text = SPAN(""), .data = SPAN("{}"), .result = SPAN("[]") };
	struct err     e = { 0 };
	struct model  *m = NULL;

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct model_settings settings = settings_of(says(cases[i].answer));

		err_clear(&e);
		assert_int_equal(kind->fit(&m, config, (struct examples){ &one, 1 }, &settings, &e), -1);
		assert_null(m);
		assert_int_equal(e.code, cases[i].code);
		assert_string_equal(strstr(e.msg, ".sh") + 3, cases[i].why);
		err_clear(&e);
		assert_int_equal(kind->fit(&m, config, (struct examples){ NULL, 0 }, &settings, &e), -1);
		assert_int_equal(e.code, ERR_TOO_FEW);
	}
}

static void test_damaged(void **state)
{
	static const char *const bytes[] = { NULL, "", "[1]", "{\"a\":NaN}", "{\"a\":1", "17" };
	struct model_settings    settings = settings_of("/none");
	struct model            *m = NULL;

	(void)state;
	for (size_t i = 0; i < countof(bytes); i++) {
		struct part_source parts = { read_part, (void *)(uintptr_t)bytes[i] };
		struct err         e = { 0 };

		assert_int_equal(kind->load(&m, config, &settings, 1, &parts, &e), -1);
		assert_int_equal(e.code, ERR_DAMAGED);
		assert_null(m);
	}
}

/* Without a command, or a control, there is nothing to serve; one that can't be run
 * says so. */
static void test_command(void **state)
{
	struct model_settings none = settings_of(NULL), missing = settings_of("/no/such/model"), file = settings_of(folder);
	struct label_config  *empty;
	struct task           t = { SPAN("{}"), SPAN("{}") };
	struct arena          scratch;
	struct err            e = { 0 };

	(void)state;
	assert_int_equal(label_config_parse(&empty, SPAN("<View/>"), &e), 0);
	assert_null(kind->serves(config, SPAN(""), &none));
	assert_null(kind->serves(empty, SPAN(""), &missing));
	assert_ptr_equal(kind->serves(config, SPAN("{\"result\":[1]}"), &missing), &config->controls[0]);
	label_config_free(empty);
	arena_init(&scratch, 1 << 20);
	for (int i = 0; i < 2; i++) {
		struct prediction p;
		struct model     *m = NULL;

		assert_int_equal(kind->cold(&m, config, i == 0 ? &missing : &file, &e), 0);
		assert_int_equal(kind->predict(m, &t, SPAN(""), &scratch, &p, &e), -1);
		assert_int_equal(e.code, ERR_BUSY);
		assert_non_null(strstr(e.msg, " can't be run: "));
		assert_null(strchr(e.msg, '/'));
		err_clear(&e);
		kind->free(m);
	}
	arena_clear(&scratch);
}

/* What of our environment a program sees. */
static void test_environment(void **state)
{
	struct err e = { 0 };

	(void)state;
	setenv("LABEL_STUDIO_API_KEY", "secret", 1);
	setenv("PRELABEL_WITH", "A=1\nbroken\nHOME=/elsewhere\nA=2=3\n", 1);
	{
		struct model_settings settings = settings_of(script(
			"while read -r l; do echo \"{\\\"error\\\":\\\"$A $HOME $MODEL_DIR $(env | grep -c secret) $(pwd)\\\"}\"; done"));
		struct task           t = { SPAN("{}"), SPAN("{}") };
		struct prediction     p;
		struct model         *m = NULL;
		struct arena          scratch;
		char                  want[256];

		arena_init(&scratch, 1 << 20);
		assert_int_equal(kind->cold(&m, config, &settings, &e), 0);
		assert_int_equal(kind->predict(m, &t, SPAN(""), &scratch, &p, &e), -1);
		snprintf(want, sizeof want, ": 2=3 /elsewhere %s 0 %s", folder, folder);
		assert_string_equal(strstr(e.msg, ".sh") + 3, want);
		kind->free(m);
		arena_clear(&scratch);
	}
	unsetenv("PRELABEL_WITH");
	unsetenv("LABEL_STUDIO_API_KEY");
}

static int setup(void **state)
{
	struct err e = { 0 };
	char       made[] = "/tmp/prelabel-exec-XXXXXX";

	(void)state;
	kind = model_kind_named(SPAN("exec"));
	snprintf(folder, sizeof folder, "%s", mkdtemp(made));
	return kind == NULL ? -1 : label_config_parse(&config, SPAN(CONFIG), &e);
}

static int teardown(void **state)
{
	char path[400];
	DIR *d = opendir(folder);

	(void)state;
	for (struct dirent *f; (f = readdir(d)) != NULL; ) {
		snprintf(path, sizeof path, "%s/%s", folder, f->d_name);
		if (f->d_name[0] != '.')
			(void)remove(path);
	}
	closedir(d);
	rmdir(folder);
	label_config_free(config);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),       cmocka_unit_test(test_faults),
		cmocka_unit_test(test_pauses),        cmocka_unit_test(test_out_of_step),
		cmocka_unit_test(test_large),         cmocka_unit_test(test_threads),
		cmocka_unit_test(test_waiting_counts), cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_predictions),   cmocka_unit_test(test_wrong_predictions),
		cmocka_unit_test(test_questions), cmocka_unit_test(test_examples_of_sets),     cmocka_unit_test(test_fit_refused),
		cmocka_unit_test(test_damaged),       cmocka_unit_test(test_command),
		cmocka_unit_test(test_environment),
	};

	return cmocka_run_group_tests_name("exec", tests, setup, teardown);
}
