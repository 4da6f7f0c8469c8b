/* prelabel.c - the command line: one row a command; `start` is the supervisor. */
#include "base/clock.h"
#include "base/env.h"
#include "base/log.h"
#include "check.h"
#include "connect.h"
#include "doctor.h"
#include "document.h"
#include "evaluate.h"
#include "import.h"
#include "init.h"
#include "predict.h"
#include "program.h"
#include "push.h"
#include "serving.h"
#include "status.h"
#include "supervisor.h"
#include "train.h"
#include "trainer.h"
#include "web/health.h"

#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LABELS_MAX 1000     /* --label; a labeling config in a file may have more */
#define BUSY_MS 10000       /* a person or a trainer may wait for another's write */

enum { DONE = 0, FAILED = 1, USAGE = 2 };

/* What the options said. */
struct args {
	struct env     env;
	struct store  *st;         /* where the command needs one */
	int64_t        project;    /* Label Studio's id; STORE_NULL: not named */
	int64_t        queued;     /* project row, for a trainer */
	int64_t        started_s, last_job;    /* start: when, and the newest job then */
	bool           json;
	bool           due;        /* train: whatever is due, of all projects */
	bool           full;       /* train: read the export however recent the last one is */
	bool           check;      /* start: look, don't serve */
	bool           force;      /* init: write over what is there */
	const char    *script;     /* init: the model, NULL: that of the templates */
	mode_t         umask;      /* as it was given to us */
	struct init_folder folder; /* start DIR */
	struct connect_options connect;
	const char    *labels[LABELS_MAX];
	char *const   *rest;       /* operands */
	int            n_rest;
	const char    *command;
};

static int fail(const struct err *e)
{
	fprintf(stderr, "prelabel: %s\n", e->msg);
	return e->code == ERR_USAGE ? USAGE : FAILED;
}

static int usage_error(const struct args *a, const char *why)
{
	fprintf(stderr, "prelabel %s: %s (see `prelabel help %s`)\n", a->command, why, a->command);
	return USAGE;
}

/* The project that is meant: DONE, or an exit status when a line has said why. */
static int project_row(struct args *a, int64_t *row)
{
	struct err   e = { 0 };
	struct arena arena;
	int64_t     *rows;
	size_t       n = 0;
	int          rc;

	*row = 0;
	if (a->project != STORE_NULL) {
		rc = store_project_find(a->st, a->project, STORE_NULL, row, &e);
		if (rc == 1)
			err_set(&e, ERR_NOT_FOUND, "project %lld is not known", (long long)a->project);
		return rc == 0 ? DONE : fail(&e);
	}
	arena_init(&arena, (size_t)1 << 26);
	rc = store_project_rows(a->st, &arena, &rows, &n, &e);
	if (rc == 0 && n == 1)
		*row = rows[0];
	arena_clear(&arena);
	if (rc < 0)
		return fail(&e);
	if (n == 0) {
		err_set(&e, ERR_NOT_FOUND, "no project is known yet");
		return fail(&e);
	}
	return n == 1 ? DONE : usage_error(a, "more than one project is known: name one with --project N");
}

/* Memory, for a part of what was printed: the command has failed (main). */
static bool lacked;

static int print_document(json_object *o, void (*put)(struct buf *, json_object *), struct err *e)
{
	struct buf b;
	int        rc;

	buf_init(&b, (size_t)1 << 30);
	put(&b, o);
	rc = buf_check(&b, "the document", e);
	if (rc == 0)
		puts(b.p);
	buf_clear(&b);
	json_object_put(o);
	return rc;
}

/* o NULL: *e says why. */
static int print_json(json_object *o, struct err *e)
{
	return o == NULL || print_document(o, document_put_lines, e) < 0 ? fail(e) : DONE;
}

/* One that was made here: ok, as of document.h. */
static int print_made(json_object *o, bool ok)
{
	struct err e = { 0 };

	return print_json(document_finished(o, ok, &e), &e);
}

static const char *text_of(json_object *o, const char *key)
{
	json_object *v = json_object_object_get(o, key);
	const char  *text = v == NULL ? "-" : json_object_get_string(v);

	lacked |= text == NULL;
	return text == NULL ? "?" : text;
}

static void add_text(json_object *o, const char *key, const char *text, bool *ok)
{
	if (text == NULL)
		document_add_null(o, key, ok);
	else
		document_add(o, key, json_object_new_string(text), ok);
}

/* ---- start -------------------------------------------------------------------------- */

/* What was annotated before a project was connected.  Here, and not in /setup alone:
 * that program need not hold the key. */
static int queue_connected(struct args *a, struct err *e)
{
	int64_t rows[32];
	size_t  n;

	if (a->env.ls_key == NULL || store_job_unasked(a->st, rows, countof(rows), &n, e) < 0 || n == 0)
		return e->code == ERR_OK ? 0 : -1;
	if (store_begin(a->st, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (store_job_queue(a->st, rows[i], "connect", clock_s(), NULL, e) < 0)
			break;
	if (e->code == ERR_OK && store_commit(a->st, e) == 0)
		return 0;
	store_rollback(a->st);
	return -1;
}

static int jobs_due(void *arg, int64_t projects[], size_t max, struct err *e)
{
	struct args *a = arg;
	size_t       n;

	if (queue_connected(a, e) < 0)
		return -1;
	return store_job_due(a->st, clock_s(), projects, max, &n, e) < 0 ? -1 : (int)n;
}

/* One that was connected, or read for another reason, since the start missed nothing;
 * one that was imported from a file is not Label Studio's. */
static int read_project(struct args *a, int64_t row, struct err *e)
{
	struct project p;
	struct arena   arena;
	struct job     last;
	int            rc;

	arena_init(&arena, (size_t)1 << 28);
	rc = store_project_get(a->st, row, &arena, &p, e);
	if (rc == 0 && p.created_s != STORE_NULL && (p.fetched_s == STORE_NULL || p.fetched_s <= a->started_s)) {
		rc = store_job_last(a->st, row, &arena, &last, e);
		if (rc == 1 || (rc == 0 && !(last.row > a->last_job && span_is(last.reason, "connect"))))
			rc = store_job_queue(a->st, row, "sync", clock_s(), NULL, e);
	}
	arena_clear(&arena);
	return rc;
}

/* What was missed while nothing ran here: Label Studio repeats no webhook. */
static int read_all_projects(void *arg, struct err *e)
{
	struct args *a = arg;
	struct arena arena;
	int64_t     *rows;
	size_t       n;
	int          rc = -1;

	if (a->env.ls_key == NULL)
		return 0;
	arena_init(&arena, (size_t)1 << 26);
	if (store_begin(a->st, e) == 0 && (rc = store_project_rows(a->st, &arena, &rows, &n, e)) == 0) {
		for (size_t i = 0; rc == 0 && i < n; i++)
			rc = read_project(a, rows[i], e);
		if (rc == 0)
			rc = store_commit(a->st, e);
	}
	if (rc < 0)
		store_rollback(a->st);
	arena_clear(&arena);
	return rc;
}

/* Where pkg-config finds us, "" where that is not known: in a build, when installed. */
static void pkgconfig_folder(char path[PATH_MAX])
{
	static const char *const places[] = { "prelabel.pc", "../pkgconfig/prelabel.pc" };

	for (size_t i = 0; i < countof(places); i++) {
		char found[PATH_MAX];

		if (program_beside(places[i], found) == 0 && realpath(found, path) != NULL) {
			*strrchr(path, '/') = '\0';
			return;
		}
	}
	path[0] = '\0';
}

/* start DIR: the folder's settings, and its own program where it has one, which then
 * takes our place.  DONE: go on. */
static int enter_folder(struct args *a)
{
	char       pkgconfig[PATH_MAX];
	struct err e = { 0 };

	if (a->n_rest > 1)
		return usage_error(a, "takes one folder");
	pkgconfig_folder(pkgconfig);
	if (init_prepare(a->rest[0], pkgconfig, &a->folder, &e) < 0) {
		fprintf(stderr, "prelabel: %s\n", e.msg);
		return FAILED;
	}
	if (a->folder.prelabel[0] == '\0')
		return DONE;
	execl(a->folder.prelabel, "prelabel", "start", a->check ? "--check" : NULL, (char *)NULL);
	perror(a->folder.prelabel);
	return FAILED;
}

static int run_init(struct args *a)
{
	char        templates[PATH_MAX], conf[PATH_MAX], pkgconfig[PATH_MAX];
	struct init in = { .script = a->script, .templates = templates, .conf = conf, .pkgconfig = pkgconfig, .force = a->force };
	struct err  e = { 0 };
	size_t      n;

	if (a->n_rest != 1)
		return usage_error(a, "needs one folder");
	in.dir = a->rest[0];
	if (program_is_all()) {
		in.templates = in.conf = NULL;
	} else if (program_beside("init", templates) < 0 || program_beside("lighttpd.conf", conf) < 0) {
		err_set(&e, ERR_NOT_FOUND, "init/ and lighttpd.conf are not beside the program");
		return fail(&e);
	}
	pkgconfig_folder(pkgconfig);
	(void)umask(a->umask);
	if (init_write(&in, &n, &e) < 0) {
		fprintf(stderr, "prelabel: %s\n", e.msg);
		return FAILED;
	}
	printf("%zu files are in %s: see its README.md, then `prelabel start %s`\n", n, in.dir, in.dir);
	return DONE;
}

static int run_start(struct args *a)
{
	char              programs[PATH_MAX] = "", conf[PATH_MAX] = "", self[PATH_MAX];
	struct supervisor s = { .env = &a->env, .prelabel = self, .due = jobs_due,
	                        .settled = read_all_projects, .arg = a };
	struct err        e = { 0 };

	if (a->check)
		return check_start(&a->env, stdout) == 0 ? DONE : FAILED;
	if (program_is_all() ? program_self(self) < 0 :
	    program_beside("cgi", programs) < 0 || program_beside("lighttpd.conf", conf) < 0 ||
	    program_beside("prelabel", self) < 0) {
		err_set(&e, ERR_NOT_FOUND, "cgi/ and lighttpd.conf are not beside the program");
		return fail(&e);
	}
	if (a->folder.conf[0] != '\0')
		memcpy(conf, a->folder.conf, sizeof conf);
	a->started_s = clock_s();
	if (store_job_newest(a->st, &a->last_job, &e) < 0)
		err_clear(&e);          /* a store that can't be read is reported once it serves */
	s.programs = programs[0] == '\0' ? NULL : programs;
	s.conf = conf[0] == '\0' ? NULL : conf;
	return supervisor_run(&s);
}

/* ---- status, versions, env ------------------------------------------------------------- */

/* Titles and labels are whose they are. */
static void put_plain(const char *text, int width)
{
	char *copy = strdup(text);

	if (copy != NULL)
		err_plain(copy);
	lacked |= copy == NULL;
	printf("%-*s", width, copy == NULL ? "" : copy);
	free(copy);
}

static void print_project(json_object *p)
{
	json_object *version = json_object_object_get(p, "version"), *held_out;

	printf("project %s  ", text_of(p, "project"));
	put_plain(text_of(p, "title"), 0);
	printf("\n  state          %s\n", text_of(p, "state"));
	printf("  model_version  %s\n", text_of(p, "model_version"));
	printf("  counter        %s of %s\n", text_of(p, "counter"), text_of(p, "start_training_each_n_updates"));
	printf("  annotations    %s (%s skipped) in %s tasks\n", text_of(p, "annotations"), text_of(p, "skipped"),
	       text_of(p, "tasks"));
	fputs("  labels         ", stdout);
	put_plain(text_of(p, "labels"), 0);
	putchar('\n');
	if (version != NULL) {
		printf("  trained        %s on %s examples in %s s\n", text_of(version, "trained_at"),
		       text_of(version, "examples"), text_of(version, "seconds"));
		held_out = json_object_object_get(version, "held_out");
		if (held_out != NULL)
			printf("  held out       %s examples: accuracy %s, macro F1 %s, log loss %s\n",
			       text_of(held_out, "n"), text_of(held_out, "accuracy"), text_of(held_out, "macro_f1"),
			       text_of(held_out, "log_loss"));
	}
	printf("  last webhook   %s\n", json_object_object_get(p, "last_webhook") == NULL
	       ? "none seen yet; the first comes with an annotation, else `prelabel doctor` says why" : text_of(p, "last_webhook"));
	if (json_object_object_get(p, "cure") != NULL)
		printf("  refused        %s webhooks, the last at %s: %s\n", text_of(p, "refused_webhooks"), text_of(p, "last_refused"),
		       text_of(p, "cure"));
	printf("  last answer    %s\n", json_object_object_get(p, "last_answer") == NULL
	       ? "Label Studio has not been asked yet" : text_of(p, "last_answer"));
	if (json_object_object_get(p, "fetch_error") != NULL)
		printf("  Label Studio   %s\n", text_of(p, "fetch_error"));
	if (json_object_object_get(p, "push_error") != NULL)
		printf("  last push      %s\n", text_of(p, "push_error"));
}

static int run_status(struct args *a)
{
	json_object *list = json_object_new_array(), *one = NULL;
	struct err   e = { 0 };
	struct arena arena;
	int64_t     *rows, named;
	size_t       n = 1;
	int          rc = DONE;
	bool         ok = true;

	arena_init(&arena, (size_t)1 << 26);
	rows = &named;
	if (a->project != STORE_NULL)
		rc = project_row(a, &named);
	else if (store_project_rows(a->st, &arena, &rows, &n, &e) < 0)
		rc = fail(&e);
	for (size_t i = 0; rc == DONE && i < n; i++) {
		/* cppcheck-suppress objectIndex ; n is 1 where rows is the address of one */
		one = status_project(a->st, &a->env, rows[i], &e);
		if (one == NULL)
			rc = fail(&e);
		else if (!a->json)
			print_project(one);
		if (one != NULL)
			document_append(list, one, &ok);
	}
	if (rc == DONE && a->json && (!ok || list == NULL))
		rc = print_made(NULL, false);
	else if (rc == DONE && a->json)
		rc = print_json(json_object_get(a->project != STORE_NULL ? one : list), &e);
	else if (rc == DONE && n == 0)
		printf("no project is known yet: connect prelabel in Label Studio, Settings > Model\n");
	json_object_put(list);
	arena_clear(&arena);
	return rc;
}

static int run_versions(struct args *a)
{
	struct err   e = { 0 };
	json_object *list;
	int64_t      row;
	int          rc = project_row(a, &row);

	if (rc != DONE)
		return rc;
	list = status_version_list(a->st, &a->env, row, &e);
	if (list == NULL || a->json)
		return print_json(list, &e);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *v = json_object_array_get_idx(list, i), *held_out = json_object_object_get(v, "held_out");
		bool         kept = json_object_object_get(v, "kept") == NULL ||
		                    json_object_get_boolean(json_object_object_get(v, "kept"));

		printf("%c %-32s %-20s %8s examples", json_object_get_boolean(json_object_object_get(v, "in_force")) ? '*' : ' ',
		       text_of(v, "model_version"), text_of(v, "trained_at"), text_of(v, "examples"));
		if (held_out != NULL)
			printf("  accuracy %s", text_of(held_out, "accuracy"));
		puts(kept ? "" : "  (weights no longer kept)");
	}
	json_object_put(list);
	return DONE;
}

static int run_env(struct args *a)
{
	const struct env_row *rows;
	struct err            e = { 0 };
	size_t                n = env_rows(&rows, &e);

	if (n == 0)
		return fail(&e);
	if (a->json) {
		json_object *o = json_object_new_object();
		bool         ok = true;

		for (size_t i = 0; i < n; i++)
			add_text(o, rows[i].name, rows[i].value, &ok);
		return print_made(o, ok);
	}
	for (size_t i = 0; i < n; i++)
		printf("%s=%s\n    %s%s%s%s%s%s%s\n", rows[i].name, rows[i].value, rows[i].help,
		       rows[i].deflt[0] == '\0' ? "" : "; default ", rows[i].deflt,
		       rows[i].allowed[0] == '\0' ? "" : "; ", rows[i].allowed,
		       rows[i].older == NULL ? "" : "; also ", rows[i].older == NULL ? "" : rows[i].older);
	return DONE;
}

/* For probes: a container's HEALTHCHECK, a service's start. */
static int run_health(struct args *a)
{
	struct health h;
	struct err    e = { 0 };

	if (a->n_rest > 0)
		return usage_error(a, "takes no operands");
	if (health_ask(&a->env, &h, &e) < 0) {
		(void)fail(&e);
		return FAILED;
	}
	if (a->json) {
		json_object *o = json_object_new_object();
		bool         ok = true;

		add_text(o, "status", "UP", &ok);
		add_text(o, "url", h.url, &ok);
		document_add(o, "seconds", json_object_new_double(h.seconds), &ok);
		return print_made(o, ok);
	}
	printf("UP: %s answered in %.0f ms\n", h.url, h.seconds * 1000);
	return DONE;
}

/* ---- doctor ------------------------------------------------------------------------------- */

static int run_doctor(struct args *a)
{
	struct findings f;
	struct err      e = { .code = ERR_MEMORY, .msg = "out of memory" };
	int             rc = DONE;

	if (a->n_rest > 0)
		return usage_error(a, "takes no operands");
	/* What it finds, it says itself. */
	log_open("prelabel", LOG_ERROR);
	findings_init(&f, a->json ? NULL : stdout);
	doctor(&f, &a->env, a->project);
	if (a->json)
		rc = print_json(findings_document(&f), &e);
	else
		printf(f.faults == 0 ? "nothing is wrong\n" : f.faults == 1 ? "%zu thing is wrong\n" : "%zu things are wrong\n", f.faults);
	findings_clear(&f);
	return rc != DONE ? rc : f.faults == 0 ? DONE : FAILED;
}

/* ---- train --------------------------------------------------------------------------------- */

static void on_signal(int sig)
{
	(void)sig;
	train_stop();
}

/* One line of progress on a terminal, written over itself. */
static void show_progress(void *arg, const char *what, double share)
{
	double *last = arg, now = clock_monotonic();

	if (now - *last < 0.1)
		return;
	*last = now;
	if (share > 0)
		fprintf(stderr, "\r\033[K%s: %.0f %%", what, share * 100);
	else
		fprintf(stderr, "\r\033[K%s", what);
}

static int print_trained(const struct args *a, const struct train_result *r, double seconds)
{
	int rc = DONE;

	if (a->json) {
		json_object *o = json_object_new_object();
		bool         ok = true;

		add_text(o, "state", job_state_names[r->state], &ok);
		add_text(o, "model_version", r->state == JOB_DONE ? r->version : NULL, &ok);
		document_add(o, "examples", json_object_new_int64(r->n_examples), &ok);
		document_add(o, "seconds", json_object_new_double(r->seconds), &ok);
		add_text(o, "note", r->note[0] == '\0' ? NULL : r->note, &ok);
		rc = print_made(o, ok);
	} else if (r->state == JOB_DONE) {
		printf("%s: %lld examples, %.3f s (%.3f s with the held-out test)\n", r->version,
		       (long long)r->n_examples, r->seconds, seconds);
	}
	if (r->state == JOB_DONE)
		return rc;
	fprintf(stderr, "prelabel: no new version: %s\n", r->note[0] != '\0' ? r->note : "another trainer took the job");
	return FAILED;
}

static int run_train(struct args *a)
{
	const struct sigaction stop = { .sa_handler = on_signal };
	struct train_options   opt = { .foreground = a->queued == STORE_NULL && !a->due, .full = a->full };
	struct train_result    result = { .state = JOB_NONE };
	struct err             e = { 0 };
	double                 shown = 0, began = clock_monotonic();
	int64_t                row = a->queued;
	int                    rc = DONE, log;

	if (a->due && (a->project != STORE_NULL || a->queued != STORE_NULL || a->json))
		return usage_error(a, "--due is for all projects and prints nothing: no --project, no --json");
	/* A training needs again what it frees, and ends soon: pages that went back to the
	 * system would have to be had, and zeroed, once more. */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 128 << 20);
	log = trainer_log(a->env.model_dir);
	log_open("train", opt.foreground ? LOG_WARNING : (enum log_level)a->env.log_level);
	log_tee(log, (enum log_level)a->env.log_level);
	if (opt.foreground && (rc = project_row(a, &row)) != DONE)
		return rc;
	if (opt.foreground && isatty(STDERR_FILENO)) {
		opt.show = show_progress;
		opt.arg = &shown;
	}
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	rc = a->due ? train_due(a->st, &a->env, &opt, &e) : train_run(a->st, &a->env, row, &opt, &result, &e);
	if (opt.show != NULL)
		fputs("\r\033[K", stderr);
	log_tee(-1, LOG_ERROR);
	if (log >= 0)
		close(log);
	if (rc < 0 && opt.foreground)
		return fail(&e);
	if (rc < 0) {
		log_line(e.code == ERR_STOPPED ? LOG_INFO : LOG_ERROR, "%s", e.msg);
		return e.code == ERR_STOPPED ? DONE : FAILED;
	}
	return opt.foreground ? print_trained(a, &result, clock_monotonic() - began) : DONE;
}

/* ---- sync ---------------------------------------------------------------------------------- */

static int print_synced(const struct args *a, const struct train_result *r, const struct project *p)
{
	long long counter = p->updates - p->updates_trained;

	if (a->json) {
		printf("{\"project\":%lld,\"tasks\":%lld,\"changed\":%lld,\"deleted\":%lld,\"unreadable\":%lld,\"counter\":%lld,"
		       "\"training\":\"%s\"}\n", (long long)p->id, (long long)r->read.tasks, (long long)r->read.changed,
		       (long long)r->read.deleted, (long long)r->read.unreadable, counter, job_state_names[r->state]);
		return DONE;
	}
	printf("project %lld: %lld tasks read, %lld annotations new or changed, %lld deleted, %lld could not be read; ",
	       (long long)p->id, (long long)r->read.tasks, (long long)(r->read.changed - r->read.deleted),
	       (long long)r->read.deleted, (long long)r->read.unreadable);
	if (r->state == JOB_NONE)
		printf("%lld of %lld for a training\n", counter, (long long)a->env.train_every);
	else
		printf("a training is %s\n", job_state_names[r->state]);
	return DONE;
}

static int run_sync(struct args *a)
{
	const struct sigaction stop = { .sa_handler = on_signal };
	struct train_options   opt = { .foreground = true, .sync = true };
	struct train_result    result;
	struct project         p = { .updates = 0 };
	struct arena           arena;
	struct err             e = { 0 };
	double                 shown = 0;
	int64_t                row;
	int                    rc = project_row(a, &row);

	if (rc != DONE)
		return rc;
	if (a->n_rest > 0)
		return usage_error(a, "takes no operands");
	log_open("sync", LOG_WARNING);
	if (isatty(STDERR_FILENO)) {
		opt.show = show_progress;
		opt.arg = &shown;
	}
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	arena_init(&arena, (size_t)1 << 28);
	rc = train_run(a->st, &a->env, row, &opt, &result, &e);
	if (opt.show != NULL)
		fputs("\r\033[K", stderr);
	if (rc == 0)
		rc = store_project_get(a->st, row, &arena, &p, &e);
	rc = rc < 0 ? fail(&e) : print_synced(a, &result, &p);
	arena_clear(&arena);
	return rc;
}

/* ---- push ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t push_stopped;

static void on_push_signal(int sig)
{
	(void)sig;
	push_stopped = 1;
}

static bool push_goes_on(void *arg)
{
	(void)arg;
	return !push_stopped;
}

static int print_pushed(const struct args *a, const struct push_result *r, double seconds)
{
	json_object *o;
	bool         ok = true;

	if (!a->json) {
		printf("%s: %lld predictions written, %lld left out by Label Studio, %.1f s\n", r->version, (long long)r->written,
		       (long long)r->left_out, seconds);
		return DONE;
	}
	o = json_object_new_object();
	add_text(o, "model_version", r->version, &ok);
	document_add(o, "open", json_object_new_int64(r->open), &ok);
	document_add(o, "written", json_object_new_int64(r->written), &ok);
	document_add(o, "left_out", json_object_new_int64(r->left_out), &ok);
	document_add(o, "passes", json_object_new_int64(r->passes), &ok);
	document_add(o, "seconds", json_object_new_double(seconds), &ok);
	return print_made(o, ok);
}

static int run_push(struct args *a)
{
	const struct sigaction stop = { .sa_handler = on_push_signal };
	struct push_options    opt = { .keep_going = push_goes_on };
	struct push_result     result = { .written = 0 };
	struct project         p = { .uncertainty = false };
	struct arena           arena;
	struct err             e = { 0 };
	double                 shown = 0, began = clock_monotonic();
	int64_t                row;
	int                    rc = project_row(a, &row);

	if (rc != DONE)
		return rc;
	if (a->n_rest > 0)
		return usage_error(a, "takes no operands");
	if (isatty(STDERR_FILENO)) {
		opt.show = show_progress;
		opt.show_arg = &shown;
	}
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	arena_init(&arena, (size_t)1 << 26);
	rc = store_project_get(a->st, row, &arena, &p, &e);
	arena_clear(&arena);
	if (rc == 0)
		rc = (p.uncertainty ? push_uncertainty : push_run)(a->st, &a->env, row, &opt, &result, &e);
	serving_clear();
	if (opt.show != NULL)
		fputs("\r\033[K", stderr);
	if (rc == 0)
		return print_pushed(a, &result, clock_monotonic() - began);
	(void)fail(&e);
	if (result.passes > 0)
		fprintf(stderr, "prelabel: %lld predictions were written; the next push goes on from there\n", (long long)result.written);
	return e.code == ERR_USAGE ? USAGE : FAILED;
}

/* ---- predict ------------------------------------------------------------------------------- */

/* What serves the project named, with its label config. */
static int serving_of(struct args *a, struct serving **s, struct err *e)
{
	struct project p;
	struct arena   arena;
	int64_t        row;
	int            rc = project_row(a, &row);

	if (rc != DONE)
		return rc;
	arena_init(&arena, (size_t)1 << 28);
	if (store_project_get(a->st, row, &arena, &p, e) < 0)
		rc = fail(e);
	else if (p.label_config.p == NULL) {
		err_set(e, ERR_SHAPE, "project %lld: no labeling config is known yet", (long long)p.id);
		rc = fail(e);
	} else if (serving_get(a->st, &a->env, &p, p.label_config, s, e) < 0) {
		rc = fail(e);
	}
	arena_clear(&arena);
	return rc;
}

static int put_predicted(const struct serving *s, struct span text, struct arena *scratch, struct err *e)
{
	const struct control_tag *control = s->config->choices;
	struct prediction         p;
	const bool                several = control != NULL && control_multiple(control);
	bool                     *chosen = several ? arena_array(scratch, control->n_labels, sizeof *chosen) : NULL;
	json_object              *o, *proba, *all;
	int                       label;
	bool                      ok = true;

	if (several && chosen == NULL)
		return err_memory(e);
	if (predict_text(s, text, scratch, &p, e) < 0)
		return -1;
	label = control == NULL ? -1 : prediction_choice(&p, control);
	o = json_object_new_object();
	proba = json_object_new_object();
	for (size_t i = 0; control != NULL && i < p.n_proba; i++)
		document_add(proba, control->labels[i].name, json_object_new_double(p.proba[i]), &ok);
	document_add(o, "text", json_object_new_string_len(text.p == NULL ? "" : text.p, (int)text.len), &ok);
	if (several) {
		prediction_choices(&p, control, chosen);
		all = json_object_new_array();
		for (size_t i = 0; i < control->n_labels; i++)
			if (chosen[i])
				document_append(all, json_object_new_string(control->labels[i].name), &ok);
		document_add(o, "label", all, &ok);
		document_add(o, "score", json_object_new_double(p.score), &ok);
	} else {
		add_text(o, "label", control == NULL || label < 0 ? NULL : control->labels[label].name, &ok);
		document_add(o, "score", json_object_new_double(label >= 0 && p.n_proba > (size_t)label ? p.proba[label] : p.score), &ok);
	}
	document_add(o, "probabilities", proba, &ok);
	o = document_finished(o, ok, e);
	if (o == NULL || print_document(o, document_put, e) < 0)
		return -1;
	arena_reset(scratch);
	return 0;
}

/* A line is a JSON object with "text", or else the text itself. */
static int predict_line(const struct serving *s, struct span line, struct arena *a, struct arena *scratch, struct err *e)
{
	struct span text = line;
	struct err  why = { 0 };

	if (line.len > 0 && line.p[0] == '{' && jsonl_text(line, a, &text, &why) < 0) {
		if (why.code == ERR_MEMORY)
			return err_memory(e);
		fprintf(stderr, "prelabel: a line is left out: %s\n", why.msg);
		return 0;
	}
	return put_predicted(s, text, scratch, e);
}

static int run_predict(struct args *a)
{
	struct serving *s = NULL;
	struct arena    arena, scratch;
	struct err      e = { 0 };
	FILE           *in = stdin, *opened = NULL;
	char           *line = NULL;
	size_t          cap = 0;
	ssize_t         len;
	int             rc;

	if (a->n_rest > 1)
		return usage_error(a, "takes one file");
	if (a->n_rest == 1 && strcmp(a->rest[0], "-") != 0) {
		opened = fopen(a->rest[0], "re");
		if (opened == NULL) {
			perror(a->rest[0]);
			return FAILED;
		}
		in = opened;
	}
	rc = serving_of(a, &s, &e);
	arena_init(&arena, (size_t)1 << 30);
	arena_init(&scratch, (size_t)1 << 30);
	while (rc == DONE && (len = getline(&line, &cap, in)) >= 0) {
		while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			len--;
		arena_reset(&arena);
		if (predict_line(s, (struct span){ line, (size_t)len }, &arena, &scratch, &e) < 0)
			rc = fail(&e);
	}
	/* getline() without memory looks like the end of the file, and is none. */
	if (rc == DONE && !feof(in)) {
		perror("prelabel: the texts can't be read");
		rc = FAILED;
	}
	free(line);
	if (opened != NULL)
		fclose(opened);
	arena_clear(&arena);
	arena_clear(&scratch);
	serving_release(s);
	serving_clear();
	return rc;
}

/* ---- evaluate, import, rollback, forget ------------------------------------------------------ */

static int run_evaluate(struct args *a)
{
	struct err   e = { 0 };
	json_object *o;
	int64_t      row;
	int          rc = project_row(a, &row);

	if (rc != DONE)
		return rc;
	if (a->n_rest > 1)
		return usage_error(a, "takes one file");
	o = a->n_rest == 1 ? evaluate_file(a->st, &a->env, row, a->rest[0], &e)
	                   : evaluate_project(a->st, &a->env, row, &e);
	serving_clear();
	if (o == NULL || a->json)
		return print_json(o, &e);
	printf("n %s  accuracy %s  macro F1 %s  log loss %s\n", text_of(o, "n"), text_of(o, "accuracy"),
	       text_of(o, "macro_f1"), text_of(o, "log_loss"));
	json_object_object_foreach(json_object_object_get(o, "per_label"), label, of) {
		fputs("  ", stdout);
		put_plain(label, 32);
		printf(" precision %s  recall %s  F1 %s  (%s)\n", text_of(of, "precision"), text_of(of, "recall"),
		       text_of(of, "f1"), text_of(of, "support"));
	}
	json_object_put(o);
	return DONE;
}

static int run_import(struct args *a)
{
	struct reconcile_result r;
	struct err              e = { 0 };

	if (a->project == STORE_NULL)
		return usage_error(a, "needs --project N");
	if (a->n_rest != 1)
		return usage_error(a, "needs one file");
	if (import_file(a->st, &a->env, a->project, a->rest[0], &r, &e) < 0)
		return fail(&e);
	if (a->json)
		printf("{\"tasks\":%lld,\"annotations\":%lld,\"unreadable\":%lld}\n", (long long)r.tasks,
		       (long long)r.changed, (long long)r.unreadable);
	else
		printf("project %lld: %lld tasks read, %lld annotations new or changed, %lld could not be read\n",
		       (long long)a->project, (long long)r.tasks, (long long)r.changed, (long long)r.unreadable);
	return DONE;
}

/* The version meant by a string or a number: its row (0: cold start), or -1. */
static int64_t version_row(json_object *list, const char *meant, struct version *versions, size_t n)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *v = json_object_array_get_idx(list, i);

		if (strcmp(text_of(v, "model_version"), meant) != 0 && strcmp(text_of(v, "number"), meant) != 0)
			continue;
		if (i == n)
			return 0;
		if (!versions[i].has_parts || versions[i].damaged) {
			fprintf(stderr, "prelabel: the weights of %s are no longer kept\n", text_of(v, "model_version"));
			return -1;
		}
		return versions[i].row;
	}
	fprintf(stderr, "prelabel: the project has no version %s: `prelabel versions` lists them\n", meant);
	return -1;
}

static int run_rollback(struct args *a)
{
	struct version *versions;
	struct err      e = { 0 };
	struct arena    arena;
	json_object    *list = NULL;
	int64_t         row, version = -1;
	size_t          n;
	int             rc;

	if (a->n_rest != 1)
		return usage_error(a, "needs one version");
	rc = project_row(a, &row);
	if (rc != DONE)
		return rc;
	arena_init(&arena, (size_t)1 << 28);
	if (store_version_list(a->st, row, &arena, &versions, &n, &e) < 0 ||
	    (list = status_version_list(a->st, &a->env, row, &e)) == NULL)
		rc = fail(&e);
	else if ((version = version_row(list, a->rest[0], versions, n)) < 0)
		rc = FAILED;
	else if (store_begin(a->st, &e) < 0 || store_version_select(a->st, row, version, &e) < 0 ||
	         store_commit(a->st, &e) < 0)
		rc = fail(&e);
	else
		printf("version %s is in force\n", a->rest[0]);
	json_object_put(list);
	arena_clear(&arena);
	return rc;
}

static int run_forget(struct args *a)
{
	struct err e = { 0 }, why = { 0 };
	int64_t    row;
	int        rc, n;

	if (a->project == STORE_NULL)
		return usage_error(a, "needs --project N");
	rc = store_project_find(a->st, a->project, STORE_NULL, &row, &e);
	/* It may have been deleted by a run that could not compact the file any more. */
	if (rc == 1 && store_free_pages(a->st, &n, &e) == 0) {
		if (n > 0)
			(void)store_compact(a->st, &why);
		err_set(&e, ERR_NOT_FOUND, "project %lld is not known%s%.120s", (long long)a->project,
		        why.code == ERR_OK ? "" : "; what was deleted before still has its room in the file: ", why.msg);
	}
	if (rc != 0)
		return fail(&e);
	/* All of that number: a database that was made anew has another project under it. */
	rc = store_begin(a->st, &e);
	while (rc == 0)
		rc = store_project_delete(a->st, row, &e) < 0 ? -1
		     : store_project_find(a->st, a->project, STORE_NULL, &row, &e);
	if (rc < 0 || store_commit(a->st, &e) < 0)
		return fail(&e);
	if (store_compact(a->st, &why) < 0) {
		err_set(&e, why.code, "project %lld is deleted, but file and journal are not compacted yet (run this again): %.120s",
		        (long long)a->project, why.msg);
		return fail(&e);
	}
	printf("project %lld is forgotten\n", (long long)a->project);
	return DONE;
}

/* ---- connect, disconnect ----------------------------------------------------------------- */

struct connect_output {
	bool         json;
	json_object *steps, *next;   /* of json */
	bool         ok;             /* as of document.h */
	bool         dry_run;
};

static void show_step(void *arg, const char *what, enum connect_did did, const char *text)
{
	struct connect_output *out = arg;
	json_object           *o;

	if (!out->json) {
		printf("%s%-*s %s%s%s\n", out->dry_run && did > CONNECT_RIGHT && did < CONNECT_WARNING ? "would be " : "",
		       did == CONNECT_NEXT ? 4 : 7, connect_did_names[did], what, what[0] == '\0' ? "" : ": ", text);
		return;
	}
	if (did == CONNECT_NEXT) {
		document_append(out->next, json_object_new_string(text), &out->ok);
		return;
	}
	o = json_object_new_object();
	add_text(o, "step", what, &out->ok);
	add_text(o, "did", connect_did_names[did], &out->ok);
	add_text(o, "text", text, &out->ok);
	document_append(out->steps, o, &out->ok);
}

static int end_connect(const struct args *a, struct connect_output *out, const struct connect_report *r, int rc,
                       const struct err *e)
{
	json_object *o;
	int          printed = DONE;

	if (out->json) {
		o = json_object_new_object();
		if (r->project == 0)
			document_add_null(o, "project", &out->ok);
		else
			document_add(o, "project", json_object_new_int64(r->project), &out->ok);
		document_add(o, "dry_run", json_object_new_boolean(a->connect.dry_run), &out->ok);
		document_add(o, "changes", json_object_new_int64(r->changes), &out->ok);
		document_add(o, "steps", out->steps, &out->ok);
		document_add(o, "next", out->next, &out->ok);
		add_text(o, "error", rc == 0 ? NULL : e->msg, &out->ok);
		add_text(o, "cure", rc == 0 || r->cure[0] == '\0' ? NULL : r->cure, &out->ok);
		printed = print_made(o, out->ok);
	}
	if (rc == 0)
		return printed;
	fflush(stdout);
	fprintf(stderr, "prelabel: %s%s%s\n", e->msg, r->cure[0] == '\0' ? "" : ". ", r->cure);
	return e->code == ERR_USAGE ? USAGE : FAILED;
}

/* A dry run makes no store where there is none. */
static int open_store(struct args *a, struct err *e)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/" STORE_FILE, a->env.model_dir);
	if (a->connect.dry_run && access(path, F_OK) < 0)
		return 0;
	if (store_open(&a->st, a->env.model_dir, BUSY_MS, e) < 0)
		return -1;
	store_keep_more(a->st);
	return 0;
}

static int run_connection(struct args *a, bool on)
{
	struct connect_output out = { .json = a->json, .ok = true, .dry_run = a->connect.dry_run };
	struct connect_report r = { .step = show_step, .arg = &out };
	struct health         h;
	struct err            e = { 0 }, down = { 0 };
	int                   rc;

	a->connect.project = a->project == STORE_NULL ? 0 : a->project;
	a->connect.labels = a->labels;
	if (a->json) {
		out.steps = json_object_new_array();
		out.next = json_object_new_array();
	}
	/* Label Studio asks it while it connects: else its message would be about that. */
	if (on && health_ask(&a->env, &h, &down) < 0) {
		if (down.code != ERR_REMOTE)            /* it was not asked */
			return end_connect(a, &out, &r, -1, &down);
		if (!a->connect.dry_run) {
			err_set(&e, ERR_REMOTE, "prelabel is not running: %.200s", down.msg);
			snprintf(r.cure, sizeof r.cure, "Start it first, with these settings: prelabel start");
			return end_connect(a, &out, &r, -1, &e);
		}
		show_step(&out, "prelabel", CONNECT_WARNING, down.msg);
	}
	rc = open_store(a, &e);
	if (rc == 0)
		rc = on ? connect_project(a->st, &a->env, &a->connect, &r, &e)
		        : disconnect_project(a->st, &a->env, &a->connect, &r, &e);
	return end_connect(a, &out, &r, rc, &e);
}

static int run_connect(struct args *a)
{
	const struct connect_options *o = &a->connect;

	if (a->n_rest > 0)
		return usage_error(a, "takes no operands");
	if (a->project != STORE_NULL && o->title != NULL)
		return usage_error(a, "takes --project or --title, not both");
	if (a->project == STORE_NULL && o->title == NULL)
		return usage_error(a, "needs --project N or --title T");
	if (o->title != NULL && o->title[0] == '\0')
		return usage_error(a, "--title is empty");
	if (o->title == NULL && (o->n_labels > 0 || o->config != NULL))
		return usage_error(a, "--label and --config are for a project to be made, with --title T");
	if (o->n_labels > 0 && o->config != NULL)
		return usage_error(a, "takes --label or --config, not both");
	if (o->n_labels == 1)
		return usage_error(a, "--label is needed twice at least: there is nothing to choose among one");
	for (size_t i = 0; i < o->n_labels; i++) {
		if (a->labels[i][0] == '\0')
			return usage_error(a, "--label is empty");
		for (size_t j = 0; j < i; j++)
			if (strcmp(a->labels[i], a->labels[j]) == 0)
				return usage_error(a, "the same --label is given twice");
	}
	return run_connection(a, true);
}

static int run_disconnect(struct args *a)
{
	if (a->n_rest > 0)
		return usage_error(a, "takes no operands");
	if (a->project == STORE_NULL)
		return usage_error(a, "needs --project N");
	return run_connection(a, false);
}

/* ---- the table ------------------------------------------------------------------------------- */

static int run_help(struct args *a);

static const struct command {
	const char *name;
	int       (*run)(struct args *a);
	bool        needs_store;
	const char *operands, *help;
} commands[] = {
	{ "start", run_start, true, "[DIR] [--host H] [--port P] [--log-level L] [--with KEY=VAL]… [--basic-auth-user U]"
	  " [--basic-auth-pass P] [--check]",
	  "serve in the foreground: the web server, its programs and the trainers; Ctrl-C ends them all. DIR: a folder of"
	  " `prelabel init`, built if need be. --with: a setting, or a variable for the model. --check: don't serve, say"
	  " whether it would, and whether Label Studio takes the key" },
	{ "init", run_init, false, "DIR [--script FILE] [--force]",
	  "write a backend with a model of your own into the folder DIR: in C, or FILE, which is C, Python or any program"
	  " (a FILE.py that does not exist is written too)" },
	{ "connect", run_connect, false, "--project N | --title T [--label L]… [--config FILE] [--data FILE] [--url URL]"
	  " [--uncertainty] [--dry-run] [--json]",
	  "connect a project of Label Studio: backend, webhook, settings, what is annotated already; a second run changes"
	  " nothing. --title: the project of that title, made where there is none, with these labels or this labeling"
	  " config. --data: tasks to import: a JSON array, JSON lines, or texts, one a line; those that are there already"
	  " are left out. --url: this backend as Label Studio reaches it, else http://localhost:PORT. --uncertainty: the"
	  " least certain task comes first. --dry-run: say what would be done" },
	{ "disconnect", run_disconnect, false, "--project N [--url URL] [--dry-run] [--json]",
	  "take back what connect did in Label Studio, the webhook included; what was learned stays" },
	{ "doctor", run_doctor, false, "[--project N] [--json]",
	  "look for what keeps Label Studio and prelabel from working together, and say what to do: the folder, Label Studio, the"
	  " key; of each project the backend, the webhook, the predictions and the trainings. Exit status 0: nothing is wrong" },
	{ "status", run_status, true, "[--project N] [--json]", "what is going on: counters, jobs, version in force, metrics" },
	{ "train", run_train, true, "[--project N] [--due] [--full] [--json]",
	  "read Label Studio's export (--full: however recent the last reading is), train and publish now. --due: instead,"
	  " the jobs of all projects that are due or whose trainer died, for a timer" },
	{ "sync", run_sync, true, "[--project N] [--json]",
	  "read Label Studio's export now and bring the store in line: annotations that were missed, changed, skipped or"
	  " deleted; a training that this makes due is queued for the server" },
	{ "push", run_push, true, "[--project N] [--json]",
	  "predict all unlabelled tasks and write the predictions to Label Studio; one that was stopped goes on where it was" },
	{ "predict", run_predict, true, "[--project N] [FILE|-]",
	  "texts (lines, or JSON lines with \"text\") in, JSON lines out; no server needed" },
	{ "evaluate", run_evaluate, true, "[--project N] [--json] [FILE]",
	  "the version in force on labelled JSON lines; without FILE, cross-validated on the project's own annotations" },
	{ "import", run_import, true, "--project N [--json] FILE",
	  "Label Studio's JSON export, or JSON lines {\"text\",\"label\"}, the label also a list" },
	{ "versions", run_versions, true, "[--project N] [--json]", "the versions of a project, newest first" },
	{ "rollback", run_rollback, true, "[--project N] VERSION", "serve an older version; 0 is the cold start" },
	{ "forget", run_forget, true, "--project N", "delete everything kept of a project" },
	{ "env", run_env, false, "[--json]", "the settings in force" },
	{ "health", run_health, false, "[--host H] [--port P] [--json]",
	  "ask GET /livez of the server at HOST and PORT: exit status 0 when it is up, 1 when it isn't or takes more than 2 s" },
	{ "help", run_help, false, "[COMMAND]", "this list" },
};

static const struct command *command_named(const char *name)
{
	for (size_t i = 0; i < countof(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int run_help(struct args *a)
{
	const struct command *one = a->n_rest > 0 ? command_named(a->rest[0]) : NULL;

	if (a->n_rest > 0 && one == NULL)
		return usage_error(a, "there is no such command");
	if (one == NULL)
		puts("prelabel " PRELABEL_VERSION " - machine learning backend for Label Studio\n");
	for (size_t i = 0; i < countof(commands); i++)
		if (one == NULL || one == &commands[i])
			printf("prelabel %s %s\n    %s\n", commands[i].name, commands[i].operands, commands[i].help);
	return DONE;
}

static int number_option(const char *text, int64_t *n)
{
	char     *end;
	long long v = strtoll(text, &end, 10);

	*n = v;
	return *text == '\0' || *end != '\0' || v < 1 || v == LLONG_MAX ? -1 : 0;
}

/* Options that are settings by another name. */
static int set_option(const char *name, const char *value)
{
	return setenv(name, value, 1);
}

static int with_option(char *pair)
{
	char *eq = strchr(pair, '=');
	int   rc;

	if (eq == NULL)
		return -1;
	*eq = '\0';
	rc = env_give(pair, eq + 1, true);
	*eq = '=';
	return rc;
}

static int read_options(struct args *a, int argc, char *argv[])
{
	enum { PROJECT = 256, QUEUED, DUE, JSON, FULL, HOST, PORT, LOG_LEVEL, WITH, AUTH_USER, AUTH_PASS,
	       CHECK, SCRIPT, FORCE, TITLE, LABEL, CONFIG, DATA, URL, UNCERTAINTY, DRY_RUN, HELP };
	static const struct option options[] = {
		{ "project", required_argument, NULL, PROJECT }, { "queued", required_argument, NULL, QUEUED },
		{ "due", no_argument, NULL, DUE }, { "json", no_argument, NULL, JSON }, { "full", no_argument, NULL, FULL }, { "host", required_argument, NULL, HOST },
		{ "port", required_argument, NULL, PORT }, { "log-level", required_argument, NULL, LOG_LEVEL },
		{ "with", required_argument, NULL, WITH }, { "basic-auth-user", required_argument, NULL, AUTH_USER },
		{ "basic-auth-pass", required_argument, NULL, AUTH_PASS }, { "check", no_argument, NULL, CHECK },
		{ "script", required_argument, NULL, SCRIPT }, { "force", no_argument, NULL, FORCE },
		{ "title", required_argument, NULL, TITLE }, { "label", required_argument, NULL, LABEL },
		{ "config", required_argument, NULL, CONFIG }, { "data", required_argument, NULL, DATA },
		{ "url", required_argument, NULL, URL }, { "uncertainty", no_argument, NULL, UNCERTAINTY },
		{ "dry-run", no_argument, NULL, DRY_RUN },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case PROJECT:
			if (number_option(optarg, &a->project) < 0)
				return usage_error(a, "--project takes a project's number");
			break;
		case QUEUED:
			if (number_option(optarg, &a->queued) < 0)
				return usage_error(a, "--queued takes a number");
			break;
		case DUE:
			a->due = true;
			break;
		case JSON:
			a->json = true;
			break;
		case FULL:
			a->full = true;
			break;
		case HOST:
			set_option("HOST", optarg);
			break;
		case PORT:
			set_option("PORT", optarg);
			break;
		case LOG_LEVEL:
			set_option("LOG_LEVEL", optarg);
			break;
		case AUTH_USER:
			set_option("BASIC_AUTH_USER", optarg);
			break;
		case AUTH_PASS:
			/* Not to be seen in the list of processes. */
			set_option("BASIC_AUTH_PASS", optarg);
			memset(optarg, '*', strlen(optarg));
			break;
		case WITH:
			if (with_option(optarg) < 0)
				return usage_error(a, "--with takes KEY=VALUE");
			break;
		case CHECK:
			a->check = true;
			break;
		case SCRIPT:
			a->script = optarg;
			break;
		case FORCE:
			a->force = true;
			break;
		case TITLE:
			a->connect.title = optarg;
			break;
		case LABEL:
			if (a->connect.n_labels == LABELS_MAX)
				return usage_error(a, "too many labels: give them in a --config FILE");
			a->labels[a->connect.n_labels++] = optarg;
			break;
		case CONFIG:
			a->connect.config = optarg;
			break;
		case DATA:
			a->connect.data = optarg;
			break;
		case URL:
			a->connect.url = optarg;
			break;
		case UNCERTAINTY:
			a->connect.uncertainty = true;
			break;
		case DRY_RUN:
			a->connect.dry_run = true;
			break;
		case HELP:
			a->rest = (char *const *)&a->command;
			a->n_rest = 1;
			return run_help(a) == DONE ? -1 : USAGE;
		default:
			return usage_error(a, "unknown option, or one without its value");
		}
	}
	a->rest = argv + optind;
	a->n_rest = argc - optind;
	return DONE;
}

int main(int argc, char *argv[])
{
	struct args           a = { .project = STORE_NULL, .queued = STORE_NULL };
	const struct command *command;
	struct err            e = { 0 };
	int                   rc;
	/* A core would hold keys.  1 is too small for one, and unlike 0 means none where
	 * cores are piped to a program. */
	const struct rlimit   no_core = { 1, 1 };

	if (argc < 2) {
		fputs("prelabel: a command is needed (see `prelabel help`)\n", stderr);
		return USAGE;
	}
	if (strcmp(argv[1], "--help") == 0)
		return run_help(&a);
	if (strcmp(argv[1], "--version") == 0)
		return puts("prelabel " PRELABEL_VERSION) < 0 ? FAILED : DONE;
	a.command = argv[1];
	command = command_named(argv[1]);
	if (command == NULL) {
		fprintf(stderr, "prelabel: there is no command \"%.40s\" (see `prelabel help`)\n", argv[1]);
		return USAGE;
	}
	rc = read_options(&a, argc - 1, argv + 1);
	if (rc != DONE)
		return rc < 0 ? DONE : rc;
	a.umask = umask(077);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (command->run == run_start && a.n_rest > 0 && (rc = enter_folder(&a)) != DONE)
		return rc;
	if (env_read(&a.env, &e) < 0)
		return fail(&e);
	if (model_kinds_check(a.env.model, &e) < 0)
		return fail(&e);
	log_open("prelabel", (enum log_level)a.env.log_level);
	if (command->needs_store && !a.check && store_open(&a.st, a.env.model_dir, BUSY_MS, &e) < 0) {
		fprintf(stderr, "prelabel: MODEL_DIR=%s: %s\n", a.env.model_dir, e.msg);
		return FAILED;
	}
	if (a.st != NULL && command->run != run_start)
		store_keep_more(a.st);
	rc = command->run(&a);
	store_close(a.st);
	if (rc == DONE && lacked) {
		err_memory(&e);
		rc = fail(&e);
	}
	if (fflush(stdout) != 0 || ferror(stdout))
		return FAILED;
	return rc;
}
