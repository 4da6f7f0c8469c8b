/* check.c - would a start serve, and does Label Studio know us? */
#include "check.h"

#include "base/json.h"
#include "models/model.h"
#include "studio/ls_api.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <unistd.h>

static size_t __attribute__((format(printf, 4, 5)))
found(FILE *out, bool good, const char *what, const char *fmt, ...)
{
	va_list ap;

	fprintf(out, "%-4s %-14s ", good ? "ok" : "FAIL", what);
	va_start(ap, fmt);
	vfprintf(out, fmt, ap);
	va_end(ap);
	fputc('\n', out);
	return good ? 0 : 1;
}

static size_t check_kinds(FILE *out)
{
	fprintf(out, "ok   %-14s", "models");
	for (const struct model_kind *const *k = model_kinds; *k != NULL; k++)
		fprintf(out, " %s", (*k)->name);
	fputc('\n', out);
	return 0;
}

/* The nearest folder that exists: the rest is made by the start. */
static size_t check_folder(const char *dir, FILE *out)
{
	char  path[PATH_MAX];
	char *slash;

	if (snprintf(path, sizeof path, "%s", dir) >= (int)sizeof path)
		return found(out, false, "MODEL_DIR", "%.100s…: the path is too long", dir);
	while (access(path, F_OK) < 0 && errno == ENOENT) {
		slash = strrchr(path, '/');
		if (slash == NULL)
			snprintf(path, sizeof path, ".");
		else if (slash == path)
			path[1] = '\0';
		else
			*slash = '\0';
	}
	if (access(path, W_OK | X_OK) < 0)
		return found(out, false, "MODEL_DIR", "%s: %s", dir, strerror(errno));
	return found(out, true, "MODEL_DIR", "%s", dir);
}

/* A path is looked at; what the shell or PATH finds is known when it runs. */
static size_t check_command(const char *command, FILE *out)
{
	char first[PATH_MAX];

	if (command == NULL)
		return 0;
	snprintf(first, sizeof first, "%.*s", (int)strcspn(command, " \t"), command);
	if (command[0] == '/' && access(first, X_OK) < 0 && access(command, X_OK) < 0)
		return found(out, false, "MODEL_COMMAND", "%s: %s", command, strerror(errno));
	return found(out, true, "MODEL_COMMAND", "%s", command);
}

static size_t check_label_studio(const struct env *env, FILE *out)
{
	struct ls_api *api = NULL;
	struct err     e = { 0 };
	struct span    none = { NULL, 0 }, user, email = SPAN("?");
	struct arena   arena;
	struct buf     answer;
	size_t         bad;

	if (env->ls_key == NULL)
		return found(out, false, "Label Studio", "LABEL_STUDIO_API_KEY is not set: without a key nothing can be asked of %s",
		             env->ls_url);
	arena_init(&arena, (size_t)1 << 20);
	buf_init(&answer, (size_t)1 << 20);
	if (ls_api_open(&api, env->ls_url, env->ls_key, &e) < 0 ||
	    ls_api_request(api, "GET", "/api/current-user/whoami", none, &answer, &e) < 0 ||
	    json_check(buf_span(&answer), &user, &e) < 0) {
		bad = found(out, false, "Label Studio", "%s: %s", env->ls_url, e.msg);
	} else if (json_member(user, "email", &email) != 0 || json_text(email, &arena, &email, &e) != 0) {
		bad = found(out, false, "Label Studio", "%s: answers, but not as Label Studio does", env->ls_url);
	} else {
		bad = found(out, true, "Label Studio", "%s: the key is that of %.*s", env->ls_url,
		            (int)(email.len < 100 ? email.len : 100), email.p);
	}
	ls_api_close(api);
	buf_clear(&answer);
	arena_clear(&arena);
	return bad;
}

size_t check_start(const struct env *env, FILE *out)
{
	size_t bad = found(out, true, "settings", "right: `prelabel env` lists them");

	bad += check_kinds(out);
	bad += check_folder(env->model_dir, out);
	bad += check_command(env->model_command, out);
	return bad + check_label_studio(env, out);
}
