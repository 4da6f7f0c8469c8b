/* env.c - the settings: environment variables, one row each. */
#include "base/env.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define countof(a) (sizeof(a) / sizeof((a)[0]))

enum env_type { ENV_STRING, ENV_SECRET, ENV_URL, ENV_INT, ENV_REAL, ENV_CHOICE };

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define PROCESSORS "processors"    /* a default that depends on the machine */

static const struct env_var {
	const char   *name, *older;     /* older: what other backends call it */
	const char   *deflt;            /* NULL: none */
	enum env_type type;
	double        min, max;         /* ENV_INT, ENV_REAL */
	const char   *choices;          /* ENV_CHOICE: names in order, separated by '|' */
	size_t        offset;           /* in struct env */
	const char   *help;
} vars[] = {
	{ "HOST", NULL, "127.0.0.1", ENV_STRING, 0, 0, NULL, offsetof(struct env, host),
	  "address the embedded web server listens on (0.0.0.0 in a container)" },
	{ "PORT", NULL, "9090", ENV_INT, 1, 65535, NULL, offsetof(struct env, port),
	  "and its port" },
	{ "MODEL_DIR", NULL, "./data", ENV_STRING, 0, 0, NULL, offsetof(struct env, model_dir),
	  "folder of the one SQLite file, prelabel.sqlite3" },
	{ "LABEL_STUDIO_HOST", "LABEL_STUDIO_URL", "http://localhost:8080", ENV_URL, 0, 0, NULL,
	  offsetof(struct env, ls_url),
	  "Label Studio as this machine reaches it; the only host that ever gets the key" },
	{ "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN", NULL, ENV_SECRET, 0, 0, NULL,
	  offsetof(struct env, ls_key), "legacy token or personal access token" },
	{ "START_TRAINING_EACH_N_UPDATES", NULL, "10", ENV_INT, 1, 1e6, NULL,
	  offsetof(struct env, train_every), "annotation events per training" },
	{ "LOGISTIC_REGRESSION_C", NULL, "10", ENV_REAL, 1e-6, 1e6, NULL,
	  offsetof(struct env, logreg_c), "inverse strength of the L2 penalty" },
	{ "BASIC_AUTH_USER", NULL, NULL, ENV_SECRET, 0, 0, NULL, offsetof(struct env, auth_user),
	  "with BASIC_AUTH_PASS: every request needs them, except GET /livez" },
	{ "BASIC_AUTH_PASS", NULL, NULL, ENV_SECRET, 0, 0, NULL, offsetof(struct env, auth_pass),
	  "the password to it" },
	{ "WEBHOOK_SECRET", NULL, NULL, ENV_SECRET, 0, 0, NULL, offsetof(struct env, webhook_secret),
	  "events need it in the header X-Webhook-Secret (or basic auth)" },
	{ "LOG_LEVEL", NULL, "INFO", ENV_CHOICE, 0, 0, "DEBUG|INFO|WARNING|ERROR",
	  offsetof(struct env, log_level), "least important lines that are logged" },
	{ "WORKERS", NULL, PROCESSORS, ENV_INT, 1, 256, NULL, offsetof(struct env, workers),
	  "FastCGI processes of predict" },
	{ "THREADS", NULL, "4", ENV_INT, 1, 256, NULL, offsetof(struct env, threads),
	  "accepting threads in each process; setup and status have two at most" },
	{ "TRAIN_THREADS", NULL, "1", ENV_INT, 1, 64, NULL, offsetof(struct env, train_threads),
	  "threads of a training; the result is the same bytes for any number" },
	{ "TOKEN_PATTERN", NULL, "word", ENV_CHOICE, 0, 0, "word|word1",
	  offsetof(struct env, token_pattern),
	  "word: two or more word characters; word1: single characters too" },
	{ "MODEL", NULL, NULL, ENV_STRING, 0, 0, NULL, offsetof(struct env, model),
	  "kind of model, or several joined by +; unset: chosen by the labeling config" },
	{ "MODEL_COMMAND", NULL, NULL, ENV_STRING, 0, 0, NULL, offsetof(struct env, model_command),
	  "program of a model in another language (the kind exec)" },
	{ "MAX_BODY_MB", NULL, "128", ENV_INT, 1, 1024, NULL, offsetof(struct env, max_body_mb),
	  "largest request body, in the web server too" },
	{ "KEEP_VERSIONS", NULL, "5", ENV_INT, 1, 1000, NULL, offsetof(struct env, keep_versions),
	  "newest model versions of a project whose weights are kept for a rollback" },
	{ "KEEP_HISTORY", NULL, "1000", ENV_INT, 1, 1000000, NULL, offsetof(struct env, keep_history),
	  "newest events, trainings and versions without weights of a project that are kept on record" },
	{ "SANDBOX", NULL, "on", ENV_CHOICE, 0, 0, "on|strict|off", offsetof(struct env, sandbox),
	  "system calls of the request programs: a short list of them; strict: another ends the process" },
};

/* The value given, by either name; NULL when there is none. */
static const char *given(const struct env_var *v)
{
	const char *s = getenv(v->name);

	if ((s == NULL || s[0] == '\0') && v->older != NULL)
		s = getenv(v->older);
	return s == NULL || s[0] == '\0' ? NULL : s;
}

static const char *default_of(const struct env_var *v, char buf[64])
{
	cpu_set_t may_use;
	int       n;

	if (v->deflt == NULL || strcmp(v->deflt, PROCESSORS) != 0)
		return v->deflt;
	/* Those of a cpuset, where it was given one, without the files that sysconf() reads.  A
	 * kernel for more processors than a cpu_set_t holds (1,024) does not say. */
	n = sched_getaffinity(0, sizeof may_use, &may_use) == 0 ? CPU_COUNT(&may_use) : (int)sysconf(_SC_NPROCESSORS_ONLN);
	snprintf(buf, 64, "%d", n < 1 ? 1 : n > 256 ? 256 : n);
	return buf;
}

static void allowed_text(const struct env_var *v, char out[64])
{
	out[0] = '\0';
	if (v->type == ENV_INT || v->type == ENV_REAL)
		snprintf(out, 64, "%.15g to %.15g", v->min, v->max);
	else if (v->type == ENV_URL)
		snprintf(out, 64, "a URL that begins with http:// or https://");
	else if (v->type == ENV_CHOICE)
		for (size_t i = 0, n = 0; v->choices[i] != '\0' && n < 60; i++) {
			out[n++] = v->choices[i] == '|' ? ',' : v->choices[i];
			if (v->choices[i] == '|')
				out[n++] = ' ';
			out[n] = '\0';
		}
}

static int bad_value(const struct env_var *v, const char *value, struct err *e)
{
	char allowed[64];

	allowed_text(v, allowed);
	return err_set(e, ERR_USAGE, "%s=%.100s: must be %s%s", v->name, value,
	               v->type == ENV_CHOICE ? "one of " : v->type == ENV_INT ? "a whole number from " :
	               v->type == ENV_REAL ? "a number from " : "", allowed);
}

static int choice_of(const struct env_var *v, const char *value, int64_t *index)
{
	const char *name = v->choices;

	for (*index = 0; ; (*index)++) {
		size_t len = strcspn(name, "|");

		if (strlen(value) == len && strncmp(name, value, len) == 0)
			return 0;
		if (name[len] == '\0')
			return -1;
		name += len + 1;
	}
}

static int url_of(const char *value, char out[ENV_URL_MAX])
{
	size_t len = strlen(value), scheme;

	if (strncmp(value, "http://", 7) == 0)
		scheme = 7;
	else if (strncmp(value, "https://", 8) == 0)
		scheme = 8;
	else
		return -1;
	while (len > 0 && value[len - 1] == '/')
		len--;
	if (len <= scheme || len >= ENV_URL_MAX)
		return -1;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)value[i] <= 0x20 || value[i] == '@' || value[i] == '?' || value[i] == '#')
			return -1;
	memcpy(out, value, len);
	out[len] = '\0';
	return 0;
}

static int read_one(struct env *env, const struct env_var *v, struct err *e)
{
	char        buf[64], *end;
	const char *value = given(v), *older = v->older == NULL ? NULL : getenv(v->older);
	void       *field = (char *)env + v->offset;
	double      real;

	if (value != NULL && older != NULL && older[0] != '\0' && strcmp(value, older) != 0) {
		if (v->type == ENV_SECRET)
			return err_set(e, ERR_USAGE, "%s and %s are both set and differ: set one of them",
			               v->name, v->older);
		return err_set(e, ERR_USAGE, "%s=%.70s and %s=%.70s differ: set one of them",
		               v->name, value, v->older, older);
	}
	if (value == NULL)
		value = default_of(v, buf);

	switch (v->type) {
	case ENV_STRING:
	case ENV_SECRET:
		*(const char **)field = value;
		return 0;
	case ENV_URL:
		return url_of(value, field) < 0 ? bad_value(v, value, e) : 0;
	case ENV_CHOICE:
		return choice_of(v, value, field) < 0 ? bad_value(v, value, e) : 0;
	case ENV_INT:
	case ENV_REAL:
		break;
	}
	errno = 0;
	real = strtod(value, &end);
	/* strtod also reads " 1", "0x1f", "inf" and "nan": only plain decimals here. */
	if (end == value || *end != '\0' || errno != 0 || !isfinite(real) ||
	    value[strspn(value, "0123456789.eE+-")] != '\0' || real < v->min || real > v->max ||
	    (v->type == ENV_INT && value[strspn(value, "0123456789")] != '\0'))
		return bad_value(v, value, e);
	if (v->type == ENV_INT)
		*(int64_t *)field = (int64_t)real;
	else
		*(double *)field = real;
	return 0;
}

/* ---- variables for the model ------------------------------------------------ */

#define WITH "PRELABEL_WITH"       /* NAME=value, one a line */

static const struct env_var *setting(const char *name)
{
	for (size_t i = 0; i < countof(vars); i++)
		if (strcmp(name, vars[i].name) == 0 || (vars[i].older != NULL && strcmp(name, vars[i].older) == 0))
			return &vars[i];
	return NULL;
}

int env_give(const char *name, const char *value, bool over)
{
	const struct env_var *v = setting(name);
	const char           *old = v == NULL ? getenv(name) : given(v), *with = getenv(WITH);
	size_t                len = strlen(name);
	char                 *more;
	int                   rc;

	if (len == 0 || strspn(name, NAME_CHARS) != len || (name[0] >= '0' && name[0] <= '9') || strchr(value, '\n') != NULL)
		return -1;
	if (!over && old != NULL && old[0] != '\0') {
		if (v != NULL)
			return 0;
		value = old;
	}
	if (v != NULL && v->older != NULL)
		unsetenv(strcmp(name, v->older) == 0 ? v->name : v->older);
	if (setenv(name, value, 1) < 0)
		return -1;
	if (v != NULL)
		return 0;
	/* Of two lines with one name the later counts. */
	if (asprintf(&more, "%s%s=%s\n", with == NULL ? "" : with, name, value) < 0)
		return -1;
	rc = setenv(WITH, more, 1);
	free(more);
	return rc;
}

static int unpack(struct err *e)
{
	const char *with = getenv(WITH);
	char       *copy = with == NULL ? NULL : strdup(with), *line, *eq, *rest = NULL;
	int         rc = 0;

	if (with == NULL)
		return 0;
	if (copy == NULL)
		return err_memory(e);
	for (line = strtok_r(copy, "\n", &rest); line != NULL && rc == 0; line = strtok_r(NULL, "\n", &rest)) {
		eq = strchr(line, '=');
		if (eq == NULL || eq == line)
			continue;
		*eq = '\0';
		if (setting(line) == NULL && setenv(line, eq + 1, 1) < 0)
			rc = err_memory(e);
	}
	free(copy);
	return rc;
}

int env_read(struct env *env, struct err *e)
{
	if (unpack(e) < 0)
		return -1;
	*env = (struct env){ 0 };
	for (size_t i = 0; i < countof(vars); i++)
		if (read_one(env, &vars[i], e) < 0)
			return -1;
	/* "Never open by mistake": half a pair is not no pair. */
	if ((env->auth_user == NULL) != (env->auth_pass == NULL))
		return err_set(e, ERR_USAGE, "%s is not set, but %s is: set both or neither",
		               env->auth_user == NULL ? "BASIC_AUTH_USER" : "BASIC_AUTH_PASS",
		               env->auth_user == NULL ? "BASIC_AUTH_PASS" : "BASIC_AUTH_USER");
	if (env->auth_user != NULL && strchr(env->auth_user, ':') != NULL)
		return err_set(e, ERR_USAGE, "BASIC_AUTH_USER: must not hold a colon");
	return 0;
}

size_t env_rows(const struct env_row **out, struct err *e)
{
	static struct env_row rows[countof(vars)];
	struct env            env;

	if (env_read(&env, e) < 0)
		return 0;
	for (size_t i = 0; i < countof(vars); i++) {
		const struct env_var *v = &vars[i];
		const char           *value = given(v), *deflt;
		char                  buf[64];

		deflt = default_of(v, buf);
		rows[i] = (struct env_row){ .name = v->name, .older = v->older, .help = v->help,
		                            .is_set = value != NULL };
		snprintf(rows[i].deflt, sizeof rows[i].deflt, "%s", v->deflt == NULL ? "" : v->deflt);
		allowed_text(v, rows[i].allowed);
		if (value == NULL)
			value = deflt == NULL ? "" : deflt;
		else if (v->type == ENV_SECRET)
			value = "(set)";
		snprintf(rows[i].value, sizeof rows[i].value, "%s",
		         v->type == ENV_URL ? env.ls_url : value);
	}
	*out = rows;
	return countof(vars);
}

int env_export(struct err *e)
{
	const struct env_row *rows;
	size_t                n = env_rows(&rows, e);

	if (n == 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (vars[i].type == ENV_SECRET)
			continue;
		if (setenv(rows[i].name, rows[i].value, 1) != 0)
			return err_memory(e);
		/* As written it may differ from the value in force: "http://a/", "http://a". */
		if (vars[i].older != NULL)
			unsetenv(vars[i].older);
	}
	return 0;
}

size_t env_body_max(const struct env *env)
{
	return (size_t)env->max_body_mb << 20;
}

const char *env_token_pattern_name(int64_t token_pattern)
{
	return token_pattern == TOKEN_WORD1 ? "word1" : "word";
}
