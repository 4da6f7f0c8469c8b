/*
 * exec.c - a model in another language: the program MODEL_COMMAND, asked by JSON lines.
 *
 * The program reads a line from its standard input, writes one line to its standard
 * output and flushes it, again and again, until its input ends.  A line is one of
 *
 *   {"predict": {"tasks": [TASK, …],          as Label Studio sends them
 *                "label_config": "<View>…",
 *                "parsed_label_config": {…},   {"label": {"type", "to_name", "inputs", "labels", …}}
 *                "context": {…} or null,       what is selected in the editor
 *                "extra_params": … or null,    what was entered for the backend
 *                "train_output": {…} or null}} what fit made; null: nothing was trained yet
 *   ->  {"predictions": [{"result": [REGION, …], "score": 0.9}, …]}   one for each task, in order
 *
 *   {"fit": {"event": "updates",               why: "updates", "start", "command", …
 *            "examples": [{"annotation": 7, "task": 3, "text": "…", "label": "…" or null,
 *                          "labels": ["…", …],   all, under choice="multiple" alone
 *                          "data": {…}, "result": [REGION, …]}, …],
 *            "label_config", "parsed_label_config", "extra_params",
 *            "workdir": "…",                   a folder for files, shared by all projects
 *            "previous": {…} or null}}         the train_output in force
 *   ->  any JSON object: the train_output of the new version
 *
 * Either may be answered by {"error": "why not"}; predictions also by the bare array.  A
 * REGION is Label Studio's: from_name, to_name, type, value, score; what it leaves out is
 * taken from the first control that fits the value and from the prediction's score, the
 * text of a span from the task.  What a program has to say to people goes to standard
 * error: it is logged.
 *
 * A .py file is run by the python of .venv beside it, else by python3.  The working
 * directory is the folder of the program.  Of our environment it gets what `inherited`
 * names and, from PRELABEL_WITH, what `prelabel start --with KEY=VALUE` was given: no
 * password, no API key.
 *
 * ONE CHILD A PROCESS.  All threads of a process share one child, and it answers one
 * question at a time.  There are as many processes as processors, and what these
 * programs bring along (an interpreter, a model) is large: more of them would cost
 * memory and gain nothing.  base/child.h has the rest: limits, restarts, its end.
 *
 * Stored form, format 1: the part "train_output", a JSON object.
 */
#include "models/model.h"

#include "base/child.h"
#include "base/json.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES  ((size_t)64 << 20)      /* of an answer, so of a train_output too */
#define QUESTION_MAX    ((size_t)1 << 30)
#define START_S         60.0
#define PREDICT_S       30.0
#define FIT_S           3600.0

#define WITH_VARIABLE   "PRELABEL_WITH"         /* KEY=VALUE, each ended by a newline */

static const char *const inherited[] = {
	"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LOG_LEVEL",
};

/* The child of a command; every model of this process that was made with it has a share. */
struct program {
	struct program *next;
	char           *command;
	struct child   *child;
	double          predict_s, fit_s;
	unsigned        users;
};

static struct {
	pthread_mutex_t mutex;
	struct program *first;
} programs = { .mutex = PTHREAD_MUTEX_INITIALIZER };

struct model {
	const struct label_config *config;
	struct program            *program;
	struct buf                 train_output;    /* empty: none */
	struct buf                 about;           /* ,"label_config":… of every question, for predict with train_output */
	size_t                     about_fit;       /* bytes of it that a question of fit has as well */
};

/* ---- the program -------------------------------------------------------------------- */

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

/* An environment; the strings live in the arena. */
struct strings {
	struct arena *arena;
	const char   *v[256];
	size_t        n;
};

/* "KEY=VALUE", in place of one of that key: of two some programs take the first, others
 * the last. */
static void add_pair(struct strings *s, struct span pair)
{
	const char *eq = pair.len == 0 ? NULL : memchr(pair.p, '=', pair.len);
	const char *copy = eq == NULL ? NULL : arena_copy(s->arena, pair);
	size_t      i = 0;

	if (copy == NULL)
		return;
	while (i < s->n && strncmp(s->v[i], copy, (size_t)(eq - pair.p) + 1) != 0)
		i++;
	if (i == countof(s->v) - 1)
		return;
	s->v[i] = copy;
	s->n += i == s->n;
}

static void add_string(struct strings *s, const char *key, const char *value)
{
	char pair[PATH_MAX + 64];
	int  n = snprintf(pair, sizeof pair, "%s=%s", key, value);

	if (n > 0 && (size_t)n < sizeof pair)
		add_pair(s, (struct span){ pair, (size_t)n });
}

static void add_with(struct strings *s)
{
	const char *with = getenv(WITH_VARIABLE), *end;

	for (; with != NULL && with[0] != '\0'; with = *end == '\0' ? end : end + 1) {
		end = strchrnul(with, '\n');
		add_pair(s, (struct span){ with, (size_t)(end - with) });
	}
}

/* What the program would find under a name. */
static const char *value_of(const struct strings *s, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < s->n; i++)
		if (strncmp(s->v[i], name, len) == 0 && s->v[i][len] == '=')
			return s->v[i] + len + 1;
	return NULL;
}

static double seconds_of(const struct strings *s, const char *name, double deflt)
{
	const char *value = value_of(s, name);
	double      seconds = value == NULL ? 0 : strtod(value, NULL);

	return seconds > 0 && seconds < 1e6 ? seconds : deflt;
}

static int make_child(struct program *p, const char *folder, struct arena *a, struct err *e)
{
	struct strings       env = { .arena = a };
	char                 path[PATH_MAX], home[PATH_MAX], dir[PATH_MAX], venv[PATH_MAX];
	const char          *argv[3] = { path, NULL, NULL };
	struct child_program how = { .name = base_of(p->command), .argv = argv, .environment = env.v,
	                             .folder = dir, .line_max = LINE_MAX_BYTES };
	size_t               len = strlen(p->command);

	/* A path that leads nowhere is told by the attempt to run it, in a request. */
	if (realpath(p->command, path) == NULL)
		snprintf(path, sizeof path, "%s", p->command);
	snprintf(dir, sizeof dir, "%.*s", (int)(base_of(path) - path), path);
	if (dir[0] == '\0')
		how.folder = NULL;
	for (size_t i = 0; i < countof(inherited); i++)
		if (getenv(inherited[i]) != NULL)
			add_string(&env, inherited[i], getenv(inherited[i]));
	if (folder != NULL)
		add_string(&env, "MODEL_DIR", realpath(folder, home) != NULL ? home : folder);
	if (len > 3 && strcmp(p->command + len - 3, ".py") == 0) {
		int n = snprintf(venv, sizeof venv, "%s.venv/bin/python", dir);

		argv[0] = n > 0 && (size_t)n < sizeof venv && access(venv, X_OK) == 0 ? venv : "python3";
		argv[1] = path;
		add_string(&env, "PYTHONUNBUFFERED", "1");      /* or a print without flush is never seen */
		add_string(&env, "PYTHONUTF8", "1");
	}
	add_with(&env);
	how.start_s = seconds_of(&env, "PRELABEL_START_S", START_S);
	p->predict_s = seconds_of(&env, "PRELABEL_PREDICT_S", PREDICT_S);
	p->fit_s = seconds_of(&env, "PRELABEL_FIT_S", FIT_S);
	p->child = child_new(&how, e);
	return p->child == NULL ? -1 : 0;
}

static void program_free(struct program *p)
{
	child_free(p->child);
	free(p->command);
	free(p);
}

static struct program *program_new(const char *command, const char *folder, struct err *e)
{
	struct program *p = calloc(1, sizeof *p);
	struct arena    a;

	if (p == NULL || (p->command = strdup(command)) == NULL) {
		free(p);
		err_memory(e);
		return NULL;
	}
	arena_init(&a, (size_t)4 << 20);
	if (make_child(p, folder, &a, e) < 0) {
		program_free(p);
		p = NULL;
	}
	arena_clear(&a);
	return p;
}

static struct program *program_get(const char *command, const char *folder, struct err *e)
{
	struct program *p;

	pthread_mutex_lock(&programs.mutex);
	for (p = programs.first; p != NULL && strcmp(p->command, command) != 0; p = p->next)
		;
	if (p == NULL && (p = program_new(command, folder, e)) != NULL) {
		p->next = programs.first;
		programs.first = p;
	}
	if (p != NULL)
		p->users++;
	pthread_mutex_unlock(&programs.mutex);
	return p;
}

static void program_put(struct program *p)
{
	struct program **at;

	if (p == NULL)
		return;
	pthread_mutex_lock(&programs.mutex);
	if (--p->users == 0) {
		for (at = &programs.first; *at != p; at = &(*at)->next)
			;
		*at = p->next;
	} else {
		p = NULL;
	}
	pthread_mutex_unlock(&programs.mutex);
	if (p != NULL)
		program_free(p);
}

/* ---- questions ------------------------------------------------------------------------- */

/* A document on one line: between tokens a line's end is as good as a space, and within
 * a string it can't stand (json_check). */
static void put_json(struct buf *b, struct span json)
{
	size_t from = b->len;

	if (json.len == 0)
		json = SPAN("null");
	buf_add(b, json.p, json.len);
	for (char *p = b->p == NULL ? NULL : b->p + from; p != NULL && p < b->p + b->len; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
}

/* JSON as it is; what is none as a text. */
static void put_params(struct buf *b, struct span params)
{
	struct span value;

	if (params.len > 0 && json_check(params, &value, NULL) < 0)
		json_put_text(b, params);
	else
		put_json(b, params.len > 0 ? value : params);
}

static int put_about(struct model *m, const struct model_settings *settings, struct err *e)
{
	struct buf *b = &m->about;

	buf_adds(b, ",\"label_config\":");
	json_put_text(b, m->config->xml);
	buf_adds(b, ",\"parsed_label_config\":");
	label_config_put_json(m->config, b);
	buf_adds(b, ",\"extra_params\":");
	put_params(b, settings->extra_params);
	m->about_fit = b->len;
	return buf_check(b, "the label config", e);
}

static int put_train_output(struct model *m, struct err *e)
{
	m->about.len = m->about_fit;
	buf_adds(&m->about, ",\"train_output\":");
	put_json(&m->about, buf_span(&m->train_output));
	return buf_check(&m->about, "the train_output", e);
}

static void model_free(struct model *m)
{
	if (m == NULL)
		return;
	program_put(m->program);
	buf_clear(&m->train_output);
	buf_clear(&m->about);
	free(m);
}

static struct model *new_model(const struct label_config *config, const struct model_settings *settings, struct err *e)
{
	struct model *m = calloc(1, sizeof *m);

	if (m == NULL) {
		err_memory(e);
		return NULL;
	}
	m->config = config;
	buf_init(&m->train_output, LINE_MAX_BYTES);
	buf_init(&m->about, QUESTION_MAX / 2);
	m->program = program_get(settings->command, settings->folder, e);
	if (m->program == NULL || put_about(m, settings, e) < 0 || put_train_output(m, e) < 0) {
		model_free(m);
		return NULL;
	}
	return m;
}

static const char *name_of(const struct model *m)
{
	return base_of(m->program->command);
}

/* {"error": "why"}: 0, with as much of it as a message takes; else 1. */
static int said_no(const struct model *m, struct span answer, enum err_code code, struct err *e)
{
	struct span  value, text;
	struct arena a;

	if (json_member(answer, "error", &value) != 0)
		return 1;
	arena_init(&a, LINE_MAX_BYTES);
	if (json_text(value, &a, &text, e) != 0)
		text = SPAN("an error that is no text");
	err_set(e, code, "%s: %.*s", name_of(m), (int)(text.len < 160 ? text.len : 160), text.p);
	arena_clear(&a);
	return 0;
}

/* ---- regions ----------------------------------------------------------------------------- */

/* What each control's value is under. */
static const struct {
	const char *control, *type, *key;
} kinds[REGION__MAX] = {
	[REGION_CHOICES]  = { "Choices",  "choices",  "choices" },
	[REGION_LABELS]   = { "Labels",   "labels",   "labels" },
	[REGION_TEXTAREA] = { "TextArea", "textarea", "text" },
	[REGION_RATING]   = { "Rating",   "rating",   "rating" },
	[REGION_NUMBER]   = { "Number",   "number",   "number" },
};

/* One answer being read; the messages of its errors begin with where. */
struct reading {
	const struct model *m;
	const struct task  *task;
	struct arena       *scratch;
	struct err         *e;
	size_t              task_at, region_at;
};

static int wrong(const struct reading *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int wrong(const struct reading *r, const char *fmt, ...)
{
	char    text[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_set(r->e, ERR_BUSY, "%s: predictions[%zu].result[%zu]: %s", name_of(r->m), r->task_at, r->region_at, text);
}

static enum region_type type_of_control(const struct control_tag *c)
{
	enum region_type t = 0;

	while (t < REGION__MAX && strcmp(kinds[t].control, c->type) != 0)
		t++;
	return t;
}

/* The type by the region's "type", else by what its value holds. */
static enum region_type type_of_region(struct span region, struct span value)
{
	static const enum region_type order[] = {   /* a span of Labels has "text", too */
		REGION_CHOICES, REGION_LABELS, REGION_RATING, REGION_NUMBER, REGION_TEXTAREA,
	};
	struct span type, any;

	if (json_member(region, "type", &type) == 0) {
		for (enum region_type t = 0; t < REGION__MAX; t++)
			if (json_is(type, span_of(kinds[t].type)))
				return t;
		return REGION__MAX;
	}
	for (size_t i = 0; i < countof(order); i++)
		if (json_member(value, kinds[order[i]].key, &any) == 0)
			return order[i];
	return REGION__MAX;
}

static int find_control(const struct reading *r, struct span region, struct span value, struct region *out)
{
	const struct label_config *config = r->m->config;
	struct span                name;
	bool                       named = json_member(region, "from_name", &name) == 0;

	out->type = type_of_region(region, value);
	for (size_t i = 0; i < config->n_controls && out->control == NULL; i++)
		if (named ? json_is(name, span_of(config->controls[i].name))
		          : out->type < REGION__MAX && type_of_control(&config->controls[i]) == out->type)
			out->control = &config->controls[i];
	if (out->control == NULL)
		return named ? wrong(r, "from_name is no control of the labeling config")
		             : wrong(r, "the labeling config has no control for it");
	if (type_of_control(out->control) != out->type)
		return wrong(r, "it is not what %.40s, a %.40s, holds", out->control->name, out->control->type);
	return 0;
}

/* Sets to_name; NULL: not to the name of an object of the config. */
static const struct object_tag *find_object(struct span region, struct region *out)
{
	const struct control_tag *c = out->control;
	struct span               name;

	if (json_member(region, "to_name", &name) != 0) {
		out->to_name = c->n_to_name > 0 ? c->to_name[0] : NULL;
		name = (struct span){ NULL, 0 };
	}
	for (size_t i = 0; i < c->n_to_name && name.p != NULL; i++)
		if (json_is(name, span_of(c->to_name[i])))
			out->to_name = c->to_name[i];
	for (size_t i = 0; i < c->n_inputs && out->to_name != NULL; i++)
		if (strcmp(c->inputs[i]->name, out->to_name) == 0)
			return c->inputs[i];
	return NULL;
}

/* names: a text or an array of texts. */
static int read_names(const struct reading *r, struct span list, struct region *out)
{
	bool             labels = out->type != REGION_TEXTAREA;
	size_t           n = json_type(list) == JSON_ARRAY ? json_count(list) : 1;
	const char     **names = arena_array(r->scratch, n + 1, sizeof *names);
	struct json_iter it = json_each(list);
	struct span      text;

	if (names == NULL)
		return err_memory(r->e);
	for (size_t i = 0; i < n; i++) {
		struct span one = list;
		int         at;

		if (json_type(list) == JSON_ARRAY)
			(void)json_next(&it, NULL, &one);
		switch (json_text(one, r->scratch, &text, r->e)) {
		case 0:
			break;
		case 1:
			return wrong(r, "%s holds something else than texts", kinds[out->type].key);
		default:
			return -1;
		}
		at = labels ? control_label(out->control, text) : 0;
		if (at < 0)
			return wrong(r, "%.40s has no label \"%.*s\"", out->control->name,
			             (int)(text.len < 60 ? text.len : 60), text.p);
		names[i] = labels ? out->control->labels[at].name : arena_copy(r->scratch, text);
		if (names[i] == NULL)
			return err_memory(r->e);
	}
	out->names = names;
	out->n_names = n;
	return 0;
}

/* Moves over one code point; text is UTF-8. */
static const char *next_point(const char *p, const char *end)
{
	p++;
	while (p < end && ((unsigned char)*p & 0xc0) == 0x80)
		p++;
	return p;
}

static int read_span(const struct reading *r, struct span value, const struct object_tag *object, struct region *out)
{
	struct span start, end, given, text;
	const char *p, *from = NULL, *to = NULL, *last;

	if (json_member(value, "start", &start) != 0 || json_member(value, "end", &end) != 0 ||
	    json_int(start, 0, INT32_MAX, &out->start) < 0 || json_int(end, out->start, INT32_MAX, &out->end) < 0)
		return wrong(r, "start and end are not a span");
	if (object == NULL)
		return wrong(r, "there is no text for a span");
	if (task_text(r->task, object, r->scratch, &text, r->e) < 0)
		return -1;
	p = text.p;
	last = text.p + text.len;
	for (int64_t at = 0; ; at++) {
		from = at == out->start ? p : from;
		to = at == out->end ? p : to;
		if (to != NULL || p == last)
			break;
		p = next_point(p, last);
	}
	if (to == NULL)
		return wrong(r, "the span ends behind the text");
	out->text = (struct span){ from, (size_t)(to - from) };
	if (json_member(value, "text", &given) == 0 && json_type(given) == JSON_STRING &&
	    json_text(given, r->scratch, &out->text, r->e) < 0)
		return -1;
	return 0;
}

static int read_region(const struct reading *r, struct span json, struct region *out)
{
	const struct object_tag *object;
	struct span              value, what, score;

	if (json_type(json) != JSON_OBJECT || json_member(json, "value", &value) != 0)
		return wrong(r, "no object with a value");
	if (find_control(r, json, value, out) < 0)
		return -1;
	object = find_object(json, out);
	if (out->to_name == NULL)
		return wrong(r, "to_name is nothing that %.40s is over", out->control->name);
	if (json_member(value, kinds[out->type].key, &what) != 0)
		return wrong(r, "its value has no %s", kinds[out->type].key);
	if (json_member(json, "score", &score) != 0 || json_type(score) == JSON_NULL)
		out->score = NAN;               /* until the prediction's is known */
	else if (json_real(score, &out->score) < 0)
		return wrong(r, "score is no number");
	if (out->type == REGION_RATING || out->type == REGION_NUMBER)
		return json_real(what, &out->number) < 0 ? wrong(r, "%s is no number", kinds[out->type].key) : 0;
	if (out->type == REGION_LABELS && read_span(r, value, object, out) < 0)
		return -1;
	return read_names(r, what, out);
}

/* One prediction; its score, where it has none, is the lowest of its regions', and the
 * other way round. */
static int read_prediction(struct reading *r, struct span json, struct prediction *p)
{
	struct span      result, score, one;
	struct json_iter it;
	struct region   *regions;
	bool             scored;

	if (json_type(json) != JSON_OBJECT || json_member(json, "result", &result) != 0 || json_type(result) != JSON_ARRAY)
		return err_set(r->e, ERR_BUSY, "%s: predictions[%zu] has no array result", name_of(r->m), r->task_at);
	scored = json_member(json, "score", &score) == 0 && json_type(score) != JSON_NULL;
	if (scored && json_real(score, &p->score) < 0)
		return err_set(r->e, ERR_BUSY, "%s: predictions[%zu].score is no number", name_of(r->m), r->task_at);
	p->n_regions = json_count(result);
	regions = arena_array(r->scratch, p->n_regions + 1, sizeof *regions);
	if (regions == NULL)
		return err_memory(r->e);
	it = json_each(result);
	for (size_t i = 0; i < p->n_regions; i++) {
		r->region_at = i;
		(void)json_next(&it, NULL, &one);
		if (read_region(r, one, &regions[i]) < 0)
			return -1;
	}
	for (size_t i = 0; i < p->n_regions && !scored; i++)
		if (!isnan(regions[i].score) && (p->score == 0 || regions[i].score < p->score))
			p->score = regions[i].score;
	for (size_t i = 0; i < p->n_regions; i++)
		if (isnan(regions[i].score))
			regions[i].score = p->score;
	p->regions = regions;
	return 0;
}

/* ---- the model --------------------------------------------------------------------------- */

static const struct control_tag *serves(const struct label_config *config, struct span context,
                                        const struct model_settings *settings)
{
	(void)context;          /* the program is told of it */
	return settings->command == NULL || config->n_controls == 0 ? NULL : &config->controls[0];
}

static int cold(struct model **m, const struct label_config *config, const struct model_settings *settings,
                struct err *e)
{
	*m = new_model(config, settings, e);
	return *m == NULL ? -1 : 0;
}

static int read_predictions(const struct model *m, struct span answer, const struct task tasks[], size_t n,
                            struct arena *scratch, struct prediction p[], struct err *e)
{
	struct reading   r = { .m = m, .scratch = scratch, .e = e };
	struct err       why = { 0 };
	struct span      list = answer, one;
	struct json_iter it;

	if (json_type(answer) == JSON_OBJECT && json_member(answer, "predictions", &list) != 0)
		return said_no(m, answer, ERR_BUSY, e) == 0 ? -1
		       : err_set(e, ERR_BUSY, "%s answered without predictions", name_of(m));
	if (json_type(list) != JSON_ARRAY || json_count(list) != n)
		return err_set(e, ERR_BUSY, "%s answered %zu tasks with %zu predictions", name_of(m), n, json_count(list));
	it = json_each(list);
	for (r.task_at = 0; json_next(&it, NULL, &one); r.task_at++) {
		r.task = &tasks[r.task_at];
		p[r.task_at] = (struct prediction){ .score = 0 };
		if (read_prediction(&r, one, &p[r.task_at]) < 0)
			return -1;
		if (prediction_check(&p[r.task_at], m->config, &why) < 0)
			return err_set(e, ERR_BUSY, "%s: predictions[%zu]: %s", name_of(m), r.task_at, why.msg);
	}
	return 0;
}

static int predict_batch(const struct model *m, const struct task tasks[], size_t n, struct span context,
                         struct arena *scratch, struct prediction p[], struct err *e)
{
	struct buf  question, answer;
	struct span value, kept;
	int         rc = -1;

	buf_init(&question, QUESTION_MAX);
	buf_init(&answer, LINE_MAX_BYTES);
	buf_adds(&question, "{\"predict\":{\"tasks\":[");
	for (size_t i = 0; i < n; i++) {
		buf_adds(&question, i == 0 ? "" : ",");
		put_json(&question, tasks[i].json);
	}
	buf_adds(&question, "],\"context\":");
	put_json(&question, context);
	buf_add(&question, m->about.p, m->about.len);
	buf_adds(&question, "}}\n");
	if (buf_check(&question, "the question", e) == 0 &&
	    child_ask(m->program->child, buf_span(&question), m->program->predict_s, NULL, NULL, &answer, &value, e) == 0) {
		/* Texts without escapes are borrowed from the answer: it has to live as long. */
		kept = (struct span){ arena_copy(scratch, value), value.len };
		rc = kept.p == NULL ? err_memory(e) : read_predictions(m, kept, tasks, n, scratch, p, e);
	}
	buf_clear(&question);
	buf_clear(&answer);
	return rc;
}

static int predict(const struct model *m, const struct task *task, struct span context, struct arena *scratch,
                   struct prediction *p, struct err *e)
{
	return predict_batch(m, task, 1, context, scratch, p, e);
}

/* ---- training ---------------------------------------------------------------------------- */

/* MODEL_DIR/exec, as the program can find it. */
static int workdir(const char *folder, char path[PATH_MAX], struct err *e)
{
	char home[PATH_MAX];
	int  n;

	if (folder == NULL || realpath(folder, home) == NULL)
		return err_set(e, ERR_USAGE, "MODEL_DIR is no folder");
	n = snprintf(path, PATH_MAX, "%s/exec", home);
	if (n < 0 || n >= PATH_MAX)
		return err_set(e, ERR_USAGE, "MODEL_DIR is too long");
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(e, errno == ENOSPC ? ERR_DISK : ERR_USAGE, "no folder exec can be made in MODEL_DIR: %s",
		               strerror(errno));
	return 0;
}

/* Of an example that may have several. */
static int put_labels(struct buf *b, const struct example *ex, const struct label_config *config, struct arena *scratch,
                      struct err *e)
{
	const uint32_t *labels;
	size_t          n;

	arena_reset(scratch);
	if (example_labels(ex, config, scratch, &labels, &n, e) < 0)
		return -1;
	buf_adds(b, ",\"labels\":[");
	for (size_t i = 0; i < n; i++) {
		buf_adds(b, i == 0 ? "" : ",");
		json_put_text(b, span_of(config->choices->labels[labels[i]].name));
	}
	buf_addc(b, ']');
	return 0;
}

static int put_example(struct buf *b, const struct example *ex, const struct label_config *config, struct arena *scratch,
                       struct err *e)
{
	buf_adds(b, "{\"annotation\":");
	json_put_int(b, ex->annotation);
	buf_adds(b, ",\"task\":");
	json_put_int(b, ex->task);
	buf_adds(b, ",\"text\":");
	json_put_text(b, ex->text);
	buf_adds(b, ",\"label\":");
	if (ex->label.p == NULL)
		buf_adds(b, "null");
	else
		json_put_text(b, ex->label);
	if (config->choices != NULL && control_multiple(config->choices) && put_labels(b, ex, config, scratch, e) < 0)
		return -1;
	buf_adds(b, ",\"data\":");
	put_json(b, ex->data);
	buf_adds(b, ",\"result\":");
	put_json(b, ex->result);
	buf_addc(b, '}');
	return 0;
}

static int put_fit(const struct model *m, struct examples examples, const struct model_settings *settings,
                   struct buf *b, struct err *e)
{
	struct span previous = { NULL, 0 }, checked;
	char        path[PATH_MAX];
	struct arena scratch;
	int          rc = 0;

	if (workdir(settings->folder, path, e) < 0)
		return -1;
	if (settings->previous != NULL && settings->previous->read(settings->previous->arg, "train_output", &previous, e) < 0)
		return -1;
	if (previous.len > 0 && json_check(previous, &checked, NULL) < 0)
		previous.len = 0;               /* what is damaged starts nothing warm */
	buf_adds(b, "{\"fit\":{\"event\":");
	json_put_text(b, span_of(settings->reason == NULL ? "" : settings->reason));
	buf_adds(b, ",\"examples\":[");
	arena_init(&scratch, (size_t)1 << 30);
	for (size_t i = 0; rc == 0 && i < examples.n; i++) {
		buf_adds(b, i == 0 ? "" : ",");
		rc = put_example(b, &examples.v[i], m->config, &scratch, e);
	}
	arena_clear(&scratch);
	if (rc < 0)
		return -1;
	buf_adds(b, "],\"workdir\":");
	json_put_text(b, span_of(path));
	buf_adds(b, ",\"previous\":");
	put_json(b, previous);
	buf_add(b, m->about.p, m->about_fit);
	buf_adds(b, "}}\n");
	return buf_check(b, "the examples", e);
}

static bool goes_on(void *settings)
{
	const struct model_settings *s = settings;

	return s->progress == NULL || s->progress(s->arg, 0);
}

static int fit(struct model **out, const struct label_config *config, struct examples examples,
               const struct model_settings *settings, struct err *e)
{
	struct model_settings held = *settings;
	struct model         *m;
	struct buf            question, answer;
	struct span           value;
	int                   rc = -1;

	if (examples.n == 0)
		return err_set(e, ERR_TOO_FEW, "needs an annotation, has none");
	m = new_model(config, settings, e);
	if (m == NULL)
		return -1;
	buf_init(&question, QUESTION_MAX);
	buf_init(&answer, LINE_MAX_BYTES);
	if (put_fit(m, examples, settings, &question, e) == 0 &&
	    child_ask(m->program->child, buf_span(&question), m->program->fit_s, goes_on, &held, &answer, &value, e) == 0) {
		if (json_type(value) != JSON_OBJECT)
			err_set(e, ERR_BUSY, "%s answered fit with something else than an object", name_of(m));
		else if (said_no(m, value, ERR_TOO_FEW, e) != 0) {
			buf_add(&m->train_output, value.p, value.len);
			rc = buf_check(&m->train_output, "the train_output", e) < 0 ? -1 : put_train_output(m, e);
		}
	}
	buf_clear(&question);
	buf_clear(&answer);
	if (rc == 0)
		*out = m;
	else
		model_free(m);
	return rc;
}

/* ---- kept -------------------------------------------------------------------------------- */

static int save(const struct model *m, struct model_parts *parts, struct err *e)
{
	struct buf *b = model_parts_add(parts, "train_output");

	if (b == NULL)
		return err_set(e, ERR_MEMORY, "too many parts");
	buf_add(b, m->train_output.p, m->train_output.len);
	return buf_check(b, "the train_output", e);
}

static int load(struct model **out, const struct label_config *config, const struct model_settings *settings,
                unsigned format, const struct part_source *parts, struct err *e)
{
	struct span   bytes, value;
	struct model *m;
	int           rc = parts->read(parts->arg, "train_output", &bytes, e);

	(void)format;           /* 1 is the first */
	if (rc != 0)
		return rc < 0 ? -1 : err_set(e, ERR_DAMAGED, "the train_output is missing");
	if (bytes.len > LINE_MAX_BYTES || json_check(bytes, &value, NULL) < 0 || json_type(value) != JSON_OBJECT)
		return err_set(e, ERR_DAMAGED, "the train_output is no JSON object");
	m = new_model(config, settings, e);
	if (m == NULL)
		return -1;
	buf_add(&m->train_output, value.p, value.len);
	if (buf_check(&m->train_output, "the train_output", e) < 0 || put_train_output(m, e) < 0) {
		model_free(m);
		return -1;
	}
	*out = m;
	return 0;
}

static size_t model_bytes(const struct model *m)
{
	return sizeof *m + m->train_output.cap + m->about.cap;
}

const struct model_kind model_exec = {
	.abi = MODEL_ABI, .name = "exec", .format = 1, .any_example = true,
	.serves = serves, .cold = cold, .fit = fit, .predict = predict, .predict_batch = predict_batch,
	.save = save, .load = load, .free = model_free, .bytes = model_bytes,
};
