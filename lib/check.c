/* check.c - would a start serve, and does Label Studio know us? */
#include "check.h"

#include "doctor.h"
#include "models/model.h"
#include "studio/ls_api.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static void check_kinds(struct findings *f)
{
	char   list[512] = "";
	size_t n = 0;

	for (const struct model_kind *const *k = model_kinds; *k != NULL && n < sizeof list; k++)
		n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n == 0 ? "" : " ", (*k)->name);
	found(f, "models", "%s", list);
}

/* A path is looked at; what the shell or PATH finds is known when it runs. */
static void check_command(struct findings *f, const char *command)
{
	char first[PATH_MAX];

	if (command == NULL)
		return;
	snprintf(first, sizeof first, "%.*s", (int)strcspn(command, " \t"), command);
	if (command[0] == '/' && access(first, X_OK) < 0 && access(command, X_OK) < 0)
		found_fault(f, FAULT_COMMAND, "MODEL_COMMAND", "%s: %s\nSet MODEL_COMMAND to a program that can be run.", command, strerror(errno));
	else
		found(f, "MODEL_COMMAND", "%s", command);
}

size_t check_start(const struct env *env, FILE *out)
{
	struct findings f;
	struct ls_api  *api;

	findings_init(&f, out);
	found(&f, "settings", "right: `prelabel env` lists them");
	check_kinds(&f);
	(void)doctor_folder(&f, env);
	check_command(&f, env->model_command);
	doctor_studio(&f, env, &api);
	ls_api_close(api);
	findings_clear(&f);
	return f.faults;
}
