/*
 * stub.c - every part of a start, as small as the supervisor's tests need it.
 *
 * The name it is called by says what it is:
 *
 *   predict, setup, status   FastCGI; answers GET /env with its environment, /sleep?S after
 *                            S seconds, the rest with its process id
 *   webhook                  the same, and wakes the supervisor after each reply
 *   prelabel start           the supervisor, with `due` from the file $STUB_DUE (a row a line)
 *   prelabel train ...       a trainer: works until SIGTERM, or as $STUB_DUE.ROW says:
 *                            "done" takes its row out of $STUB_DUE and ends, "fail" ends with
 *                            status 1, "deaf" ignores SIGTERM
 *
 * $STUB_LOG gets a line for each thing that happens: seconds, process id, what.  The
 * program that $STUB_DEAF names ignores SIGTERM.
 */
#include "base/clock.h"
#include "base/env.h"
#include "base/log.h"
#include "supervisor.h"
#include "wake.h"

#include <fcgiapp.h>

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void record(const char *fmt, const char *detail)
{
	char        line[256];
	const char *path = getenv("STUB_LOG");
	int         n = snprintf(line, sizeof line, "%.6f %ld ", clock_monotonic(), (long)getpid());
	int         fd;

	if (path == NULL)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	n += snprintf(line + n, sizeof line - (size_t)n, "%s %s\n", fmt, detail);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		abort();
	close(fd);
}

static void catch_term(bool deaf)
{
	struct sigaction sa = { .sa_handler = deaf ? SIG_IGN : on_term };

	sigaction(SIGTERM, &sa, NULL);
}

/* ---- a FastCGI program ---- */

static const char *param(const FCGX_Request *r, const char *name)
{
	const char *s = FCGX_GetParam(name, r->envp);

	return s == NULL ? "" : s;
}

static int program(const char *name)
{
	FCGX_Request r;

	/* As lib/web/serve.c does: the parent is lighttpd. */
	prctl(PR_SET_PDEATHSIG, (unsigned long)SIGTERM, 0UL, 0UL, 0UL);
	FCGX_Init();
	FCGX_InitRequest(&r, 0, FCGI_FAIL_ACCEPT_ON_INTR);
	catch_term(getenv("STUB_DEAF") != NULL && strcmp(getenv("STUB_DEAF"), name) == 0);
	record("start", name);
	while (!stop && FCGX_Accept_r(&r) >= 0) {
		char path[256];

		snprintf(path, sizeof path, "%s%s", param(&r, "SCRIPT_NAME"), param(&r, "PATH_INFO"));
		if (strcmp(path, "/error") == 0)
			FCGX_FPrintF(r.out, "Status: %s\r\n", param(&r, "REDIRECT_STATUS"));
		if (strstr(path, "/sleep") != NULL) {
			record("asked", name);
			for (double end = clock_monotonic() + atof(param(&r, "QUERY_STRING")); clock_monotonic() < end; )
				usleep(10000);
		}
		FCGX_FPrintF(r.out, "Content-Type: text/plain\r\n\r\n%s %ld\n", name, (long)getpid());
		if (strstr(path, "/env") != NULL)
			for (char **v = environ; *v != NULL; v++)
				FCGX_FPrintF(r.out, "%s\n", *v);
		FCGX_Finish_r(&r);
		record("answered", name);
		if (strcmp(name, "webhook") == 0)
			record("wake", supervisor_wake() ? "taken" : "nobody");
	}
	record("end", name);
	return 0;
}

/* ---- a trainer ---- */

static void row_done(int64_t row)
{
	int64_t rows[64];
	size_t  n = 0;
	FILE   *f = fopen(getenv("STUB_DUE"), "r");

	while (f != NULL && n < 64 && fscanf(f, "%" SCNd64, &rows[n]) == 1)
		n += rows[n] != row;
	if (f != NULL)
		fclose(f);
	f = fopen(getenv("STUB_DUE"), "w");
	for (size_t i = 0; f != NULL && i < n; i++)
		fprintf(f, "%" PRId64 "\n", rows[i]);
	if (f != NULL)
		fclose(f);
}

static int train(const char *row)
{
	char       path[4096], how[16] = "";
	struct env env;
	FILE      *f;

	snprintf(path, sizeof path, "%s.%s", getenv("STUB_DUE"), row);
	f = fopen(path, "r");
	if (f != NULL && fgets(how, sizeof how, f) != NULL)
		how[strcspn(how, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
	catch_term(strcmp(how, "deaf") == 0);
	record("start train", row);
	snprintf(path, sizeof path, "nice %d settings %d key %d auth %d", getpriority(PRIO_PROCESS, 0),
	         env_read(&env, NULL) == 0,
	         getenv("LABEL_STUDIO_API_KEY") != NULL || getenv("LABEL_STUDIO_ACCESS_TOKEN") != NULL,
	         getenv("BASIC_AUTH_PASS") != NULL || getenv("WEBHOOK_SECRET") != NULL);
	record("train", path);
	if (strcmp(how, "fail") == 0)
		return 1;
	if (strcmp(how, "done") == 0)
		row_done(strtoll(row, NULL, 10));
	else
		while (!stop)
			pause();
	record("end train", row);
	return 0;
}

/* ---- the supervisor ---- */

static int due(void *arg, int64_t projects[], size_t max, struct err *e)
{
	size_t n = 0;
	FILE  *f = fopen(arg, "r");

	record("look", "");
	if (f == NULL)
		return err_set(e, ERR_STORE, "no such file");
	while (n < max && fscanf(f, "%" SCNd64, &projects[n]) == 1)
		n++;
	fclose(f);
	return (int)n;
}

static int start(const char *self)
{
	char       folder[4096], programs[4200], conf[4200];
	struct env env;
	struct err e = { 0 };

	log_open("prelabel", LOG_DEBUG);
	if (env_read(&env, &e) < 0) {
		log_line(LOG_ERROR, "%s", e.msg);
		return 1;
	}
	snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(self, '/') - self), self);
	snprintf(programs, sizeof programs, "%s/cgi", folder);
	snprintf(conf, sizeof conf, "%s/lighttpd.conf", folder);
	return supervisor_run(&(struct supervisor){ .env = &env, .programs = programs, .conf = conf,
	                                            .prelabel = self, .due = due, .arg = getenv("STUB_DUE") });
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/') == NULL ? argv[0] : strrchr(argv[0], '/') + 1;

	if (strcmp(name, "prelabel") != 0)
		return program(name);
	if (argc == 2 && strcmp(argv[1], "start") == 0)
		return start(argv[0]);
	if (argc == 4 && strcmp(argv[1], "train") == 0 && strcmp(argv[2], "--queued") == 0)
		return train(argv[3]);
	fprintf(stderr, "stub: called in no known way\n");
	return 2;
}
