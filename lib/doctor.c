/* doctor.c - the folder, Label Studio and the key; then project by project. */
#include "doctor.h"

#include "base/clock.h"
#include "base/disk.h"
#include "base/json.h"
#include "doctor_project.h"
#include "studio/ls_rest.h"
#include "web/health.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ARENA_BYTES  ((size_t)256 << 20)
#define BUSY_MS      10000
#define ATTEMPT_MS   20000             /* a call; Label Studio may ask the backend meanwhile */
#define PROBE_MS     5000
#define CLOCK_S      60
#define DISK_LEAST   ((uint64_t)64 << 20)
#define INODES_LEAST 16

/* ---- the folder ------------------------------------------------------------------ */

/* The nearest folder that exists: the rest is made by the start. */
static int nearest(const char *dir, char path[PATH_MAX])
{
	char *slash;

	if (snprintf(path, PATH_MAX, "%s", dir) >= PATH_MAX)
		return -1;
	while (access(path, F_OK) < 0 && errno == ENOENT) {
		slash = strrchr(path, '/');
		if (slash == NULL)
			snprintf(path, PATH_MAX, ".");
		else if (slash == path)
			path[1] = '\0';
		else
			*slash = '\0';
	}
	return 0;
}

/* May this process write what a start would?  The files that are there, too. */
static bool writable(const char *dir, const char *path)
{
	static const char *const files[] = { STORE_FILE, STORE_FILE "-wal", STORE_FILE "-shm" };
	char                     file[PATH_MAX];

	if (access(path, W_OK | X_OK) < 0)
		return false;
	for (size_t i = 0; i < countof(files); i++)
		if (snprintf(file, sizeof file, "%s/%s", dir, files[i]) < (int)sizeof file &&
		    access(file, R_OK | W_OK) < 0 && errno != ENOENT && errno != ENOTDIR)
			return false;
	return true;
}

static uint64_t store_bytes(const char *dir)
{
	char        file[PATH_MAX];
	struct stat sb;

	return snprintf(file, sizeof file, "%s/" STORE_FILE, dir) < (int)sizeof file && stat(file, &sb) == 0 ? (uint64_t)sb.st_size : 0;
}

bool doctor_folder(struct findings *f, const struct env *env)
{
	const char    *dir = env->model_dir, *name;
	struct statvfs vfs;
	char           path[PATH_MAX];
	uint64_t       left, least;
	bool           never;

	if (nearest(dir, path) < 0) {
		found_fault(f, FAULT_FOLDER, "MODEL_DIR", "%.100s…: the path is too long\nSet MODEL_DIR to a shorter one.", dir);
		return false;
	}
	if (!writable(dir, path)) {
		found_fault(f, FAULT_FOLDER, "MODEL_DIR", "%s can't be written to: %s\nGive the user that runs prelabel this folder "
		            "and what is in it (chown, chmod), or set MODEL_DIR to another.", dir, strerror(errno));
		return false;
	}
	if ((name = disk_network(path, &never)) != NULL)
		found_fault(f, FAULT_NETWORK_FS, "MODEL_DIR", "%s is on a network file system (%s), where SQLite's locks do not hold\n"
		            "Set MODEL_DIR to a folder on a disk of this machine.", dir, name);
	if (never)
		return false;           /* the store is not opened there */
	if (statvfs(path, &vfs) == 0) {
		left = (uint64_t)vfs.f_bavail * vfs.f_frsize;
		least = store_bytes(dir) > DISK_LEAST ? store_bytes(dir) : DISK_LEAST;
		if (left < least || (vfs.f_files > 0 && vfs.f_favail < INODES_LEAST)) {
			found_fault(f, FAULT_DISK, "disk", "the disk of %s is nearly full: %llu MB are left, %llu MB are needed\nMake room, "
			            "or set MODEL_DIR to a folder on another disk and move the store there.", dir,
			            (unsigned long long)(left >> 20), (unsigned long long)(least >> 20));
		}
	}
	found(f, "MODEL_DIR", "%s", dir);
	return true;
}

/* ---- Label Studio: is it there? ----------------------------------------------------- */

enum answer { NOBODY, SOMEBODY, STUDIO };

/* GET /api/version/ needs no key. */
static enum answer probe(const char *url, struct ls_last *last, struct err *e)
{
	struct ls_api *api;
	struct span    answer, value;
	struct arena   a;
	enum answer    is = NOBODY;

	*last = (struct ls_last){ .trouble = LS_NO_CONNECTION };
	if (ls_api_open_keyless(&api, url, e) < 0)
		return NOBODY;
	ls_api_hurry(api, PROBE_MS);
	arena_init(&a, ARENA_BYTES);
	if (ls_rest(api, "GET", LS_NO_BODY, &a, &answer, e, "/api/version/") == 0)
		is = answer.p != NULL && (json_member(answer, "release", &value) == 0 ||
		                          json_member(answer, "label-studio-os-package", &value) == 0) ? STUDIO : SOMEBODY;
	else if (ls_api_status(api) != 0)
		is = SOMEBODY;
	*last = *ls_api_last(api);
	if (ls_api_status(api) >= 500)
		last->trouble = LS_NO_ANSWER;
	arena_clear(&a);
	ls_api_close(api);
	return is;
}

/* What Label Studio's address would be with the other scheme; without its path. */
static void other_scheme(const char *url, char out[ENV_URL_MAX + 8])
{
	bool https = strncmp(url, "https://", 8) == 0;

	snprintf(out, ENV_URL_MAX + 8, "%s%s", https ? "http://" : "https://", url + (https ? 8 : 7));
}

static void origin(const char *url, char out[ENV_URL_MAX + 8])
{
	const char *host = strstr(url, "://") + 3;

	snprintf(out, ENV_URL_MAX + 8, "%.*s%.*s", (int)(host - url), url, (int)strcspn(host, "/"), host);
}

static bool wrong_scheme(struct findings *f, const struct env *env, const struct ls_last *last)
{
	char           url[ENV_URL_MAX + 8];
	struct ls_last there;
	struct err     e = { 0 };
	enum answer    is;

	if (last->trouble == LS_NO_HOST || last->trouble == LS_CERTIFICATE)
		return false;
	other_scheme(env->ls_url, url);
	is = strncmp(last->redirect, url, strlen(url)) == 0 ? STUDIO : probe(url, &there, &e);
	/* A certificate of its own making is a sign of TLS all the same. */
	if (is != STUDIO && !(is == NOBODY && last->trouble != LS_NO_CONNECTION && there.trouble == LS_CERTIFICATE))
		return false;
	found_fault(f, FAULT_LS_SCHEME, "Label Studio", "%s does not answer as Label Studio does, but %s is there\nSet "
	            "LABEL_STUDIO_HOST to %s.", env->ls_url, url, url);
	return true;
}

static void wrong_prefix(struct findings *f, const struct env *env, const struct ls_last *last)
{
	char           url[ENV_URL_MAX + 8], shown[FOREIGN_BYTES];
	struct ls_last there;
	struct err     e = { 0 };

	origin(env->ls_url, url);
	if (strcmp(url, env->ls_url) != 0 && probe(url, &there, &e) == STUDIO)
		found_fault(f, FAULT_LS_PREFIX, "Label Studio", "nothing of Label Studio is at %s, but it is at %s\nSet "
		            "LABEL_STUDIO_HOST to %s.", env->ls_url, url, url);
	else if (last->redirect[0] != '\0')
		found_fault(f, FAULT_LS_PREFIX, "Label Studio", "%s sends us on to %s, and redirects are not followed\nSet "
		            "LABEL_STUDIO_HOST to Label Studio's own address, with its path.", env->ls_url,
		            foreign(span_of(last->redirect), shown));
	else
		found_fault(f, FAULT_LS_PREFIX, "Label Studio", "something answers at %s, but it is not Label Studio\nSet "
		            "LABEL_STUDIO_HOST to the address in the browser, with the path that it is served under (http://host:port/path).",
		            env->ls_url);
}

static void check_clock(struct findings *f, const struct ls_last *last)
{
	int64_t off = last->at_s - last->date_s;

	if (last->date_s == 0)
		return;
	if (off > CLOCK_S || off < -CLOCK_S)
		found_fault(f, FAULT_CLOCK, "clock", "the clock of this machine is %lld s %s that of Label Studio\nSet the clocks "
		            "(timedatectl set-ntp true), since tokens and the order of annotations go by them.",
		            (long long)(off < 0 ? -off : off), off > 0 ? "ahead of" : "behind");
	else
		found(f, "clock", "within %d s of Label Studio's", CLOCK_S);
}

/* Without libcurl, or memory, nobody was asked. */
static bool could_not_ask(struct findings *f, const struct err *e)
{
	if (e->code != ERR_MEMORY && e->code != ERR_STORE)
		return false;
	found_fault(f, FAULT_LS_UNREACHABLE, "Label Studio", "it can't be asked: %s\nSee to this machine: it says nothing of "
	            "Label Studio.", e->msg);
	return true;
}

static bool reach(struct findings *f, const struct env *env)
{
	struct ls_last last;
	struct err     e = { 0 };

	switch (probe(env->ls_url, &last, &e)) {
	case STUDIO:
		found(f, "Label Studio", "%s answers", env->ls_url);
		check_clock(f, &last);
		return true;
	case SOMEBODY:
		if (last.trouble == LS_NO_ANSWER)
			found_fault(f, FAULT_LS_ERROR, "Label Studio", "%s\nLook at Label Studio's log, or that of the proxy before it.", e.msg);
		else if (!wrong_scheme(f, env, &last))
			wrong_prefix(f, env, &last);
		return false;
	case NOBODY:
		break;
	}
	if (!could_not_ask(f, &e) && !wrong_scheme(f, env, &last))
		found_fault(f, FAULT_LS_UNREACHABLE, "Label Studio", "%s\nStart Label Studio, or set LABEL_STUDIO_HOST to its address as "
		            "this machine reaches it%s.", e.msg, last.trouble == LS_CERTIFICATE
		            ? ", under a name and with a certificate that this machine trusts" :
		            strstr(env->ls_url, "//localhost") != NULL || strstr(env->ls_url, "//127.") != NULL
		            ? " (localhost, in a container, is the container itself)" : "");
	return false;
}

/* ---- and the key? ---------------------------------------------------------------- */

#define NEW_KEY "Make a personal access token in Label Studio (Account & Settings > Personal Access Token), and set LABEL_STUDIO_API_KEY to it."

static void key_refused(struct findings *f, const struct ls_api *api, const struct err *e)
{
	int64_t exp_s;

	if (ls_api_last(api)->legacy_disabled) {
		found_fault(f, FAULT_KEY_LEGACY, "key", "the key is a legacy token, and legacy tokens are disabled in this organization\n"
		            NEW_KEY);
		return;
	}
	switch (ls_api_key(api, &exp_s)) {
	case LS_KEY_ACCESS:
		found_fault(f, FAULT_KEY_ACCESS, "key", "the key is an access token, which is good for 5 minutes and has ended\n" NEW_KEY);
		break;
	case LS_KEY_PERSONAL:
		if (exp_s != 0 && exp_s < clock_s())
			found_fault(f, FAULT_KEY_EXPIRED, "key", "the key is a personal access token that has expired\n" NEW_KEY);
		else
			found_fault(f, FAULT_KEY_REVOKED, "key", "the key is a personal access token, and Label Studio refuses it: it was "
			            "revoked, or is another Label Studio's\n" NEW_KEY);
		break;
	default:
		found_fault(f, FAULT_KEY_WRONG, "key", "%s\n" NEW_KEY, e->msg);
	}
}

/* Whose is it? */
static bool check_key(struct findings *f, const struct env *env, struct ls_api *api)
{
	struct arena a;
	struct span  answer, email;
	struct err   e = { 0 };
	char         shown[FOREIGN_BYTES];
	int64_t      exp_s;
	bool         good = false;

	arena_init(&a, ARENA_BYTES);
	if (ls_rest(api, "GET", LS_NO_BODY, &a, &answer, &e, "/api/current-user/whoami") < 0) {
		if (e.code == ERR_AUTH)
			key_refused(f, api, &e);
		else if (ls_api_status(api) == 404)    /* Label Studio tells its version below any path */
			wrong_prefix(f, env, ls_api_last(api));
		else
			found_fault(f, FAULT_LS_ERROR, "key", "%s\nLook at Label Studio's log.", e.msg);
	} else if ((email = ls_rest_text(answer, "email", &a)).p == NULL) {
		found_fault(f, FAULT_LS_PREFIX, "key", "what answers to GET /api/current-user/whoami is not Label Studio\nSet "
		            "LABEL_STUDIO_HOST to Label Studio's own address.");
	} else if (ls_api_key(api, &exp_s) == LS_KEY_ACCESS) {
		found_fault(f, FAULT_KEY_ACCESS, "key", "the key is an access token, which is good for 5 minutes only\n" NEW_KEY);
		good = true;
	} else {
		found(f, "key", "the key is that of %s", foreign(email, shown));
		good = true;
	}
	arena_clear(&a);
	return good;
}

void doctor_studio(struct findings *f, const struct env *env, struct ls_api **api)
{
	struct err e = { 0 };

	*api = NULL;
	if (!reach(f, env))
		return;
	if (env->ls_key == NULL) {
		found_fault(f, FAULT_KEY_MISSING, "key", "LABEL_STUDIO_API_KEY is not set: without a key Label Studio can't be asked\n" NEW_KEY);
		return;
	}
	if (ls_api_open(api, env->ls_url, env->ls_key, &e) < 0) {
		if (!could_not_ask(f, &e))
			found_fault(f, FAULT_KEY_MALFORMED, "key", "%s\n" NEW_KEY, e.msg);
		return;
	}
	ls_api_hurry(*api, ATTEMPT_MS);
	if (check_key(f, env, *api))
		return;
	ls_api_close(*api);
	*api = NULL;
}

/* ---- all of it ------------------------------------------------------------------------ */

/* The store, where there is one: looking makes none. */
static struct store *open_store(struct findings *f, const struct env *env)
{
	struct store *st = NULL;
	struct err    e = { 0 };
	char          file[PATH_MAX];

	if (snprintf(file, sizeof file, "%s/" STORE_FILE, env->model_dir) >= (int)sizeof file || access(file, F_OK) < 0) {
		found(f, "store", "there is none yet: nothing has connected");
		return NULL;
	}
	if (store_open(&st, env->model_dir, BUSY_MS, &e) < 0) {
		found_fault(f, FAULT_STORE, "store", "%s\n" DOCTOR_STORE_CURE, e.msg);
		return NULL;
	}
	return st;
}

void doctor(struct findings *f, const struct env *env, int64_t project)
{
	struct patient p = { .env = env, .f = f };
	struct project one;
	struct arena   a;
	struct err     e = { 0 };
	int64_t       *rows = NULL, newest;
	size_t         n = 0;
	const bool     looked = doctor_folder(f, env);

	if (looked)
		p.st = open_store(f, env);
	p.server_up = health_ask(env, &p.server, &e) == 0;
	if (p.server_up)
		found(f, "server", "%s answers", p.server.url);
	err_clear(&e);
	doctor_studio(f, env, &p.api);
	arena_init(&a, ARENA_BYTES);
	if (project != STORE_NULL)
		doctor_project(&p, project);
	else if (p.st != NULL && store_project_rows(p.st, &a, &rows, &n, &e) < 0)
		found_fault(f, FAULT_STORE, "store", "%s\n" DOCTOR_STORE_CURE, e.msg);
	/* Of two with one number the newer is meant by it. */
	for (size_t i = 0; i < n; i++) {
		newest = 0;
		if (store_project_get(p.st, rows[i], &a, &one, &e) < 0 || store_project_find(p.st, one.id, STORE_NULL, &newest, &e) < 0) {
			found_fault(f, FAULT_STORE, "store", "%s\n" DOCTOR_STORE_CURE, e.msg);
			err_clear(&e);
		} else if (newest == rows[i]) {
			doctor_project(&p, one.id);
		}
	}
	if (project == STORE_NULL && n == 0 && looked)
		doctor_nobody(&p);
	arena_clear(&a);
	ls_api_close(p.api);
	store_close(p.st);
}
