/*
 * variables.c - the CGI variables of a request, through all of serve.c: routes, basic
 * auth, the body's length, the handlers, the reply as a web server reads it.
 *
 * Input: lines NAME=VALUE, an empty line, the body.  In a value the bytes 0x1e and 0x1f
 * stand for CR and LF, which FastCGI can carry.
 */
#include "fuzz.h"

#include "web/serve.c"

#include "base/json.h"
#include "context.h"
#include "event.h"
#include "older.h"
#include "predict.h"
#include "prometheus.h"
#include "setup.h"
#include "status.h"

#include <fcntl.h>
#include <sys/mman.h>

static const struct route routes[] = {
	{ POST, "/predict",         predict_tasks,         0 },
	{ POST, "/setup",           setup_project,         0 },
	{ POST, "/webhook",         event_webhook,         ROUTE_WEBHOOK },
	{ POST, "/train",           event_train,           0 },
	{ GET,  "/",                status_health,         ROUTE_QUIET },
	{ GET,  "/health",          status_health,         ROUTE_QUIET },
	{ GET,  "/livez",           status_health,         ROUTE_OPEN | ROUTE_QUIET },
	{ GET,  "/versions",        status_versions,       0 },
	{ GET,  "/status",          status_status,         0 },
	{ GET,  "/job_status",      status_job,            0 },
	{ GET,  "/metrics",         prometheus_page,       0 },
	{ POST, "/versions",        status_versions,       0 },
	{ POST, "/job_status",      older_job_status,      0 },
	{ POST, "/validate",        older_validate,        0 },
	{ POST, "/delete",          older_delete,          0 },
	{ POST, "/duplicate_model", older_duplicate_model, 0 },
	{ GET,  "/error",           web_error,             ROUTE_OPEN | ROUTE_ANY },
};

#define PARAMS_MAX 64

static const struct service service = { "fuzz", routes, .n_routes = countof(routes) };
static struct server         server = { .service = &service };
static struct worker         worker;
static int                   in_fd, out_fd, out_kept;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	server.env = *fuzz_open();
	fuzz_project();
	fuzz_keep();
	server.env.auth_user = "user";
	server.env.auth_pass = "pass";
	server.env.webhook_secret = "secret";
	server.env.max_body_mb = 1;
	auth_init(&server.auth, &server.env);
	must(worker_open(&worker, &server) == 0);
	worker.own = fuzz_thread();
	in_fd = memfd_create("in", MFD_CLOEXEC);
	out_fd = memfd_create("out", MFD_CLOEXEC);
	out_kept = dup(STDOUT_FILENO);
	must(in_fd >= 0 && out_fd >= 0 && out_kept >= 0);
	return 0;
}

/* ---- the reply ------------------------------------------------------------------------- */

/* The value of a header in a head that ends with an empty line; p NULL: absent. */
static struct span header(struct span head, const char *name)
{
	const size_t len = strlen(name);

	for (size_t at = 0; at + len < head.len;) {
		const char *end = memmem(head.p + at, head.len - at, "\r\n", 2);

		must(end != NULL);
		if (strncmp(head.p + at, name, len) == 0 && head.p[at + len] == ':')
			return (struct span){ head.p + at + len + 2, (size_t)(end - head.p) - at - len - 2 };
		at = (size_t)(end - head.p) + 2;
	}
	return (struct span){ NULL, 0 };
}

/* Only lines that we write. */
static void must_be_head(struct span head)
{
	static const char *const names[] = { "Status", "Content-Type", "Content-Length", "Cache-Control", "X-Request-Id",
	                                     "WWW-Authenticate", "Retry-After", "Allow" };

	for (size_t at = 0; at < head.len;) {
		const char *end = memmem(head.p + at, head.len - at, "\r\n", 2), *colon = memchr(head.p + at, ':', head.len - at);
		size_t      i = 0;

		must(end != NULL && colon != NULL && colon < end);
		while (i < countof(names) && !span_is((struct span){ head.p + at, (size_t)(colon - head.p) - at }, names[i]))
			i++;
		must(i < countof(names));
		for (const char *p = head.p + at; p < end; p++)
			must((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
		at = (size_t)(end - head.p) + 2;
	}
}

/* Who may ask; see the table in web/serve.h. */
struct who {
	bool basic, secret, hook, open;         /* given and right; of the path */
};

static void must_be_reply(struct span out, const char *method, const struct who *who)
{
	const char *end = out.len == 0 ? NULL : memmem(out.p, out.len, "\r\n\r\n", 4);
	struct span head, body, type, root, value;
	long        length;
	int         status;

	must(end != NULL);
	head = (struct span){ out.p, (size_t)(end - out.p) + 2 };
	body = (struct span){ end + 4, out.len - head.len - 2 };
	must_be_head(head);
	must(header(head, "Status").len > 3);
	status = atoi(header(head, "Status").p);
	length = atol(header(head, "Content-Length").p);
	must((status >= 200 && status <= 202) || (status >= 400 && status < 500) || status == 503 || status == 507);
	must(header(head, "X-Request-Id").len == 32);
	must((status == 405) == (header(head, "Allow").p != NULL));
	must((status == 401) == (header(head, "WWW-Authenticate").p != NULL));
	must(who->basic || who->open || (who->hook && who->secret) || status == 401);
	must(!(who->basic || who->open) || status != 401);
	type = header(head, "Content-Type");
	if (strcmp(method, "HEAD") == 0) {
		must(body.len == 0);
		return;
	}
	must((size_t)length == body.len);
	if (!span_is(type, "application/json"))
		return;
	root = fuzz_must_be_json(body);
	if (status >= 400) {
		must(json_member(root, "status", &value) == 0 && json_member(root, "error", &value) == 0 && value.len > 2);
		must(json_member(root, "request_id", &value) == 0 && value.len == 34);
	}
}

/* ---- the request ----------------------------------------------------------------------- */

static const char *value_of(char *const *params, const char *name)
{
	const struct request req = { .params = params };

	return request_param(&req, name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char       out[1 << 20];
	struct fuzz_input in = { data, size };
	char             *params[PARAMS_MAX + 1] = { NULL };
	char              method[17];
	const int64_t     before = store_writes(fuzz_store());
	const char       *given, *path, *more;
	char              whole[32];
	struct who        who = { 0 };
	ssize_t           n;

	for (size_t i = 0; i < PARAMS_MAX && in.left > 0; i++) {
		struct span line = fuzz_take_line(&in);

		if (line.len == 0)
			break;
		params[i] = fuzz_text(line);
		for (char *p = params[i]; *p != '\0'; p++)
			*p = *p == 0x1e ? '\r' : *p == 0x1f ? '\n' : *p;
	}
	must(ftruncate(in_fd, 0) == 0 && lseek(in_fd, 0, SEEK_SET) == 0 && write(in_fd, in.p, in.left) == (ssize_t)in.left);
	must(lseek(in_fd, 0, SEEK_SET) == 0 && ftruncate(out_fd, 0) == 0 && lseek(out_fd, 0, SEEK_SET) == 0);
	must(dup2(in_fd, STDIN_FILENO) == STDIN_FILENO && dup2(out_fd, STDOUT_FILENO) == STDOUT_FILENO);
	given = value_of(params, "REQUEST_METHOD");
	snprintf(method, sizeof method, "%s", given == NULL ? "" : given);
	given = value_of(params, "HTTP_AUTHORIZATION");
	who.basic = given != NULL && strncasecmp(given, "basic ", 6) == 0 &&
	            strcmp(given + 6 + strspn(given + 6, " "), "dXNlcjpwYXNz") == 0;
	given = value_of(params, "HTTP_X_WEBHOOK_SECRET");
	who.secret = given != NULL && strcmp(given, "secret") == 0;
	path = value_of(params, "SCRIPT_NAME");
	more = value_of(params, "PATH_INFO");
	snprintf(whole, sizeof whole, "%s%s", path == NULL ? "" : path, more == NULL ? "" : more);
	who.hook = strcmp(whole, "/webhook") == 0;
	who.open = strcmp(whole, "/livez") == 0 || strcmp(whole, "/error") == 0;
	worker.own = fuzz_thread();
	handle(&worker, &(struct http){ .params = params });
	n = pread(out_fd, out, sizeof out, 0);
	must(dup2(out_kept, STDOUT_FILENO) == STDOUT_FILENO);
	must(n > 0 && n < (ssize_t)sizeof out);
	must_be_reply((struct span){ out, (size_t)n }, method, &who);
	if (store_writes(fuzz_store()) != before)
		fuzz_restore();
	for (size_t i = 0; i < PARAMS_MAX; i++)
		free(params[i]);
	return 0;
}
