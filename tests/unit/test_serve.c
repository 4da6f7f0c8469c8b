/*
 * test_serve.c - requests and replies, over plain CGI, FastCGI and lighttpd.
 *
 * The program is its own test service: started with --service it is serve() with
 * the routes below; the tests speak to it as a web server would.
 */
#include "base/json.h"
#include "web/serve.h"
#include "patience.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the service ------------------------------------------------------------ */

static int get_health(struct request *req, struct reply *reply, struct err *e)
{
	(void)req;
	(void)e;
	buf_adds(&reply->body, "{\"status\":\"UP\"}");
	return 0;
}

static int post_echo(struct request *req, struct reply *reply, struct err *e)
{
	struct span text = { 0 };

	if (req->body.p[req->body.len] != '\0')
		return err_set(e, ERR_SHAPE, "no NUL behind the body");
	if (req->body.len > 1000) {
		buf_addf(&reply->body, "%zu", req->body.len);
		return 0;
	}
	if (request_query(req, "status", &text, e) < 0)
		return -1;
	if (text.len > 0)
		reply->status = atoi(text.p);
	json_put_text(&reply->body, req->body);
	return 0;
}

static int get_echo(struct request *req, struct reply *reply, struct err *e)
{
	struct span text;
	int         rc = request_query(req, "project", &text, e);

	if (rc < 0)
		return -1;
	buf_adds(&reply->body, "[");
	if (rc == 0)
		json_put_text(&reply->body, text);
	buf_adds(&reply->body, ",");
	json_put_text(&reply->body, req->path);
	buf_adds(&reply->body, "]");
	return 0;
}

/* Events and START_TRAINING, as webhook tells them apart. */
static int post_hook(struct request *req, struct reply *reply, struct err *e)
{
	if ((span_is(req->body, "START") ? request_needs_basic(req, e) : request_needs_secret(req, e)) < 0)
		return -1;
	buf_adds(&reply->body, "\"taken\"");
	return 0;
}

static int get_slow(struct request *req, struct reply *reply, struct err *e)
{
	const struct timespec half = { .tv_nsec = 500 * 1000 * 1000 };
	struct timespec       left = half;

	(void)req;
	(void)e;
	if (write(STDERR_FILENO, "slow begins\n", 12) < 0)
		return -1;
	while (nanosleep(&left, &left) < 0)
		if (write(STDERR_FILENO, "interrupted\n", 12) < 0)
			break;
	buf_adds(&reply->body, "\"slept\"");
	return 0;
}

/* Fails after it has written, set a status and asked for something afterwards. */
static void never(void *thread, const struct env *env)
{
	(void)thread;
	(void)env;
	abort();
}

static int get_late(struct request *req, struct reply *reply, struct err *e)
{
	(void)req;
	buf_adds(&reply->body, "half of an ans");
	reply->status = 201;
	reply->content_type = "text/html";
	reply->after = never;
	return err_set(e, ERR_SHAPE, "tasks[3].data is \"missing\"");
}

static int get_memory(struct request *req, struct reply *reply, struct err *e)
{
	while (arena_alloc(req->arena, 1 << 20) != NULL)
		;
	(void)reply;
	return err_memory(e);
}

/* The answer grows beyond what it may, and the handler does not look. */
static int get_endless(struct request *req, struct reply *reply, struct err *e)
{
	(void)req;
	(void)e;
	while (reply->body.failed == ERR_OK)
		buf_adds(&reply->body, "0123456789012345678901234567890123456789012345678901234567890123456789");
	return 0;
}

static int get_code(struct request *req, struct reply *reply, struct err *e)
{
	struct span code;

	(void)reply;
	if (request_query(req, "code", &code, e) != 0)
		return err_set(e, ERR_SHAPE, "no code");
	return err_set(e, (enum err_code)atoi(code.p), "as asked");
}

static void tell(void *thread, const struct env *env)
{
	(void)env;
	if (write(STDERR_FILENO, thread == NULL ? "after, no thread\n" : "after, my thread\n", 17) < 0)
		abort();
}

static int get_after(struct request *req, struct reply *reply, struct err *e)
{
	(void)req;
	(void)e;
	reply->content_type = "text/plain";
	buf_adds(&reply->body, "text");
	reply->after = tell;
	return 0;
}

static int get_crash(struct request *req, struct reply *reply, struct err *e)
{
	(void)req;
	(void)reply;
	(void)e;
	kill(getpid(), SIGKILL);
	return 0;
}

static const struct route routes[] = {
	{ GET,  "/health",  get_health,  ROUTE_QUIET },
	{ GET,  "/",        get_health,  ROUTE_QUIET },
	{ GET,  "/livez",   get_health,  ROUTE_OPEN | ROUTE_QUIET },
	{ POST, "/echo",    post_echo,   0 },
	{ GET,  "/echo",    get_echo,    0 },
	{ POST, "/webhook", post_hook,   ROUTE_WEBHOOK },
	{ GET,  "/slow",    get_slow,    0 },
	{ GET,  "/late",    get_late,    0 },
	{ GET,  "/memory",  get_memory,  0 },
	{ GET,  "/endless", get_endless, 0 },
	{ GET,  "/code",    get_code,    0 },
	{ GET,  "/after",   get_after,   0 },
	{ GET,  "/crash",   get_crash,   0 },
	{ GET,  "/error",   web_error,   ROUTE_OPEN | ROUTE_ANY },
};

static int thread_open(const struct env *env, void **thread, struct err *e)
{
	(void)env;
	if (getenv("TEST_NO_THREAD") != NULL)
		return err_set(e, ERR_STORE, "no store today");
	*thread = malloc(1);
	return *thread == NULL ? err_memory(e) : 0;
}

static void thread_close(void *thread)
{
	free(thread);
	if (write(STDERR_FILENO, "thread closed\n", 14) < 0)
		abort();
}

static const struct service service = { "testing", routes, countof(routes), .thread_open = thread_open, .thread_close = thread_close };

/* ---- talking to it ------------------------------------------------------------ */

static char folder[] = "/tmp/test_serve.XXXXXX";

#define PARAMS_MAX 24
#define REPLY_MAX  (1 << 20)

struct ask {
	const char *name;
	const char *method, *path;
	struct span body;
	const char *params[6];       /* further CGI variables; CONTENT_LENGTH in place of the true one */
	bool        no_length;
	/* expected */
	int         status;
	const char *has[4];          /* in the head or the body */
};

struct told {
	char  all[REPLY_MAX];        /* NUL-terminated */
	int   status;
	char *head, *body;
	size_t len;                  /* of the body */
};

static struct told told;         /* the reply of the last request: one test at a time */

static size_t params_of(const struct ask *a, char (*own)[256], const char *out[PARAMS_MAX])
{
	size_t n = 0;
	bool   length = a->no_length;

	snprintf(own[0], 256, "REQUEST_METHOD=%s", a->method);
	snprintf(own[1], 256, "SCRIPT_NAME=%.*s", (int)strcspn(a->path, "?"), a->path);
	snprintf(own[2], 256, "QUERY_STRING=%s", strchr(a->path, '?') == NULL ? "" : strchr(a->path, '?') + 1);
	snprintf(own[3], 256, "CONTENT_LENGTH=%zu", a->body.len);
	out[n++] = own[0];
	out[n++] = own[1];
	out[n++] = own[2];
	out[n++] = "GATEWAY_INTERFACE=CGI/1.1";
	for (size_t i = 0; i < countof(a->params) && a->params[i] != NULL; i++) {
		out[n++] = a->params[i];
		length |= strncmp(a->params[i], "CONTENT_LENGTH=", 15) == 0;
	}
	if (!length && strcmp(a->method, "POST") == 0)
		out[n++] = own[3];
	return n;
}

static void split_reply(size_t len)
{
	told.all[len] = '\0';
	told.head = told.all;
	told.body = strstr(told.all, "\r\n\r\n");
	if (told.body == NULL)
		fail_msg("no head: %s", told.all);
	*told.body = '\0';
	told.body += 4;
	told.len = len - (size_t)(told.body - told.all);
	if (sscanf(told.head, "Status: %d", &told.status) != 1 && sscanf(told.head, "HTTP/1.%*d %d", &told.status) != 1)
		fail_msg("no status: %s", told.head);
}

static bool contains(const struct ask *a, const char *want)
{
	return a->status == told.status && (strstr(told.head, want) != NULL || strstr(told.body, want) != NULL);
}

/* The reply is the one expected, and as every reply must be. */
static void check_reply(const struct ask *a)
{
	char        line[64];
	struct span value, id;
	struct err  e = { 0 };

	if (a->status != told.status)
		fail_msg("%s: %s\n%s", a->name, told.head, told.body);
	for (size_t i = 0; i < countof(a->has) && a->has[i] != NULL; i++)
		if (!contains(a, a->has[i]))
			fail_msg("%s: no %s in\n%s\n\n%s", a->name, a->has[i], told.head, told.body);
	if (strcmp(a->method, "HEAD") == 0) {
		assert_int_equal(told.len, 0);
	} else {
		snprintf(line, sizeof line, "Content-Length: %zu", told.len);
		assert_non_null(strstr(told.head, line));
	}
	assert_non_null(strstr(told.head, "Cache-Control: no-store"));
	assert_non_null(strstr(told.head, "X-Request-Id: "));
	assert_int_equal(strstr(told.head, "Retry-After: ") != NULL, told.status == 503 || told.status == 507);
	assert_int_equal(strstr(told.head, "Allow: ") != NULL, told.status == 405);
	assert_int_equal(strstr(told.head, "WWW-Authenticate: Basic realm=\"prelabel\"") != NULL, told.status == 401);
	if (told.status < 400 || told.len == 0)
		return;
	assert_non_null(strstr(told.head, "Content-Type: application/json"));
	if (json_check((struct span){ told.body, told.len }, &value, &e) < 0)
		fail_msg("%s: %s: %s", a->name, e.msg, told.body);
	assert_int_equal(json_member(value, "status", &id), 0);
	assert_int_equal(atoi(id.p), told.status);
	assert_int_equal(json_member(value, "error", &id), 0);
	assert_true(id.len > 2);
	assert_int_equal(json_member(value, "request_id", &id), 0);
	assert_int_equal(id.len, 34);
	snprintf(line, sizeof line, "X-Request-Id: %.32s", id.p + 1);
	assert_non_null(strstr(told.head, line));
}

static _Noreturn void become_service(char *const settings[], const char *log, struct rlimit memory)
{
	char *const argv[] = { (char[]){ "test_serve" }, (char[]){ "--service" }, NULL };
	int         fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	prctl(PR_SET_PDEATHSIG, SIGKILL);        /* when the tests fail */
	dup2(fd, STDERR_FILENO);
	if (memory.rlim_cur != 0)
		setrlimit(RLIMIT_AS, &memory);
	execve("/proc/self/exe", argv, settings);
	_exit(127);
}

static const char *log_path(void)
{
	static char path[64];

	snprintf(path, sizeof path, "%s/log", folder);
	return path;
}

static size_t log_count(const char *what)
{
	char   line[2048];
	FILE  *f = fopen(log_path(), "r");
	size_t n = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		n += strstr(line, what) != NULL;
	if (f != NULL)
		fclose(f);
	return n;
}

static int exit_status(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* One CGI program for one request; its exit status. */
static int ask_cgi(const struct ask *a, const char *const settings[])
{
	const char *env[PARAMS_MAX + 12];
	char        own[4][256];
	size_t      n = params_of(a, own, env), len = 0;
	ssize_t     got;
	int         out[2];
	FILE       *in = tmpfile();
	pid_t       pid;

	for (; settings != NULL && *settings != NULL; settings++)
		env[n++] = *settings;
	env[n] = NULL;
	assert_non_null(in);
	if (a->body.len > 0)
		assert_int_equal(fwrite(a->body.p, 1, a->body.len, in), a->body.len);
	rewind(in);
	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fileno(in), STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		become_service((char **)(uintptr_t)env, log_path(), (struct rlimit){ 0 });
	}
	fclose(in);
	close(out[1]);
	while ((got = read(out[0], told.all + len, REPLY_MAX - 1 - len)) > 0)
		len += (size_t)got;
	close(out[0]);
	if (len > 0)
		split_reply(len);
	return exit_status(pid);
}

struct fastcgi {
	pid_t pid;
	char  path[80];
};

static struct fastcgi start_fastcgi(const char *const settings[], struct rlimit memory)
{
	struct fastcgi     f;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int                fd = socket(AF_UNIX, SOCK_STREAM, 0);
	static int         serial;

	snprintf(f.path, sizeof f.path, "%s/socket.%d.%d", folder, (int)getpid(), serial++);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", f.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 64), 0);
	f.pid = fork();
	if (f.pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(fd, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		close(fd);
		become_service((char **)(uintptr_t)settings, log_path(), memory);
	}
	close(fd);
	return f;
}

static void record(struct buf *b, int type, struct span content)
{
	size_t part;

	/* An empty one ends a stream. */
	do {
		part = content.len < 65535 ? content.len : 65535;
		buf_add(b, (unsigned char[]){ 1, (unsigned char)type, 0, 1, (unsigned char)(part >> 8),
		                              (unsigned char)part, 0, 0 }, 8);
		buf_add(b, content.p, part);
		content.p += part;
		content.len -= part;
	} while (content.len > 0);
}

enum { WHOLE, ABORTED, CUT };        /* how the request ends */

static int connect_fastcgi(const struct fastcgi *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int                fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static int send_fastcgi(const struct fastcgi *f, const struct ask *a, int end)
{
	const char *params[PARAMS_MAX];
	char        own[4][256];
	size_t      n = params_of(a, own, params), sent = 0;
	struct buf  b, p;
	int         fd;

	buf_init(&b, (size_t)300 << 20);
	buf_init(&p, 1 << 20);
	record(&b, 1, SPAN("\0\1\0\0\0\0\0\0"));
	for (size_t i = 0; i < n; i++) {
		size_t name = strcspn(params[i], "="), value = strlen(params[i]) - name - 1;

		buf_add(&p, (unsigned char[]){ (unsigned char)name }, 1);
		buf_add(&p, (unsigned char[]){ (unsigned char)(0x80 | value >> 24), (unsigned char)(value >> 16),
		                               (unsigned char)(value >> 8), (unsigned char)value }, 4);
		buf_add(&p, params[i], name);
		buf_adds(&p, params[i] + name + 1);
	}
	record(&b, 4, buf_span(&p));
	record(&b, 4, SPAN(""));
	if (a->body.len > 0)
		record(&b, 5, a->body);
	if (end == ABORTED)
		record(&b, 2, SPAN(""));
	if (end == WHOLE)
		record(&b, 5, SPAN(""));
	/* Not before all is there to send: libfcgi hangs up on who says nothing for 2 s. */
	fd = connect_fastcgi(f);
	/* A service that refuses a body need not read all of it. */
	while (sent < b.len) {
		ssize_t part = send(fd, b.p + sent, b.len - sent, MSG_NOSIGNAL);

		if (part <= 0)
			break;
		sent += (size_t)part;
	}
	if (end == CUT)
		shutdown(fd, SHUT_WR);
	buf_clear(&b);
	buf_clear(&p);
	return fd;
}

static int read_all(int fd, void *p, size_t len)
{
	char *at = p;

	while (len > 0) {
		ssize_t n = read(fd, at, len);

		if (n <= 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* false: there was no reply. */
static bool receive_fastcgi(int fd)
{
	unsigned char head[8];
	size_t        len = 0;
	bool          ended = false;

	while (!ended && read_all(fd, head, sizeof head) == 0) {
		size_t size = (size_t)head[4] << 8 | head[5];
		char   trash[65536 + 256];

		assert_true(len + size < REPLY_MAX);
		assert_int_equal(read_all(fd, head[1] == 6 ? told.all + len : trash, size), 0);
		assert_int_equal(read_all(fd, trash, head[6]), 0);
		len += head[1] == 6 ? size : 0;
		ended = head[1] == 3;
	}
	close(fd);
	if (len == 0)
		return false;
	split_reply(len);
	return ended;
}

static void ask_fastcgi(const struct fastcgi *f, const struct ask *a)
{
	if (!receive_fastcgi(send_fastcgi(f, a, WHOLE)))
		fail_msg("%s: no reply", a->name);
	check_reply(a);
}

/* Ends it; milliseconds that took, less those for which the machine let it wait. */
static double stop_fastcgi(const struct fastcgi *f)
{
	const double began = clock_monotonic() - held_up(f->pid) - held_up(getpid());
	siginfo_t    info;
	double       s;

	kill(f->pid, SIGTERM);
	assert_int_equal(waitid(P_PID, (id_t)f->pid, &info, WEXITED | WNOWAIT), 0);
	s = clock_monotonic() - held_up(f->pid) - held_up(getpid()) - began;
	assert_int_equal(exit_status(f->pid), 0);
	return s * 1e3;
}

/* ---- the table: over CGI and over FastCGI ---------------------------------------- */

static const struct ask asks[] = {
	{ "health", "GET", "/health", { 0 }, { 0 }, false, 200,
	  { "{\"status\":\"UP\"}", "Content-Type: application/json\r\n" } },
	{ "root", "GET", "/", { 0 }, { 0 }, false, 200, { "UP" } },
	{ "HEAD", "HEAD", "/health", { 0 }, { 0 }, false, 200, { "Content-Length: 15" } },
	{ "HEAD of nothing", "HEAD", "/none", { 0 }, { 0 }, false, 404, { "Content-Length: " } },
	{ "script name and path info", "GET", "/ec", { 0 }, { "PATH_INFO=ho" }, false, 200, { "[,\"/echo\"]" } },
	{ "path info alone", "GET", "", { 0 }, { "PATH_INFO=/echo" }, false, 200, { "[,\"/echo\"]" } },
	{ "not by the request's URI", "GET", "/none", { 0 }, { "REQUEST_URI=/health" }, false, 404, { 0 } },
	{ "unknown path", "GET", "/nothing", { 0 }, { 0 }, false, 404, { "\"error\": \"no such path\"" } },
	{ "slash behind", "GET", "/health/", { 0 }, { 0 }, false, 404, { 0 } },
	{ "beginning of a path", "GET", "/heal", { 0 }, { 0 }, false, 404, { 0 } },
	{ "path in capitals", "GET", "/HEALTH", { 0 }, { 0 }, false, 404, { 0 } },
	{ "unknown path, POST", "POST", "/nothing", SPAN("{}"), { 0 }, false, 404, { 0 } },
	{ "wrong method", "POST", "/health", SPAN("{}"), { 0 }, false, 405, { "Allow: GET, HEAD", "this path takes GET, HEAD" } },
	{ "wrong method, other way", "GET", "/webhook", { 0 }, { 0 }, false, 405, { "Allow: POST" } },
	{ "HEAD where only POST is", "HEAD", "/webhook", { 0 }, { 0 }, false, 405, { "Allow: POST" } },
	{ "TRACE", "TRACE", "/health", { 0 }, { 0 }, false, 405, { "Allow: GET, HEAD" } },
	{ "OPTIONS, two methods", "OPTIONS", "/echo", { 0 }, { 0 }, false, 405, { "Allow: POST, GET, HEAD" } },
	{ "method in small letters", "get", "/health", { 0 }, { 0 }, false, 405, { 0 } },
	{ "no method", "", "/health", { 0 }, { 0 }, false, 405, { 0 } },

	{ "body", "POST", "/echo", SPAN("{\"a\": 1}"), { 0 }, false, 200, { "\"{\\\"a\\\": 1}\"" } },
	{ "body with a NUL", "POST", "/echo", SPAN("a\0b"), { 0 }, false, 200, { "\"a\\u0000b\"" } },
	{ "empty body", "POST", "/echo", SPAN(""), { 0 }, false, 200, { "\"\"" } },
	{ "status of its own", "POST", "/echo?status=201", SPAN("x"), { 0 }, false, 201, { "Status: 201 Created" } },
	{ "no length", "POST", "/echo", SPAN("x"), { 0 }, true, 411, { "Content-Length" } },
	{ "empty length", "POST", "/echo", SPAN("x"), { "CONTENT_LENGTH=" }, false, 411, { 0 } },
	{ "length with plus", "POST", "/echo", SPAN("x"), { "CONTENT_LENGTH=+1" }, false, 400, { "no number" } },
	{ "length with minus", "POST", "/echo", SPAN("x"), { "CONTENT_LENGTH=-1" }, false, 400, { 0 } },
	{ "length with space", "POST", "/echo", SPAN("x"), { "CONTENT_LENGTH= 1" }, false, 400, { 0 } },
	{ "length with space behind", "POST", "/echo", SPAN("x"), { "CONTENT_LENGTH=1 " }, false, 400, { 0 } },
	{ "hexadecimal length", "POST", "/echo", SPAN("x"), { "CONTENT_LENGTH=0x1" }, false, 400, { 0 } },
	{ "two lengths", "POST", "/echo", SPAN("x"), { "CONTENT_LENGTH=1, 1" }, false, 400, { 0 } },
	{ "length with exponent", "POST", "/echo", SPAN("x"), { "CONTENT_LENGTH=1e0" }, false, 400, { 0 } },
	{ "length with zeros", "POST", "/echo", SPAN("x"), { "CONTENT_LENGTH=0001" }, false, 200, { "\"x\"" } },
	{ "one byte too few", "POST", "/echo", SPAN("abc"), { "CONTENT_LENGTH=4" }, false, 400, { "ends after 3 of 4 bytes" } },
	{ "text/html is not read", "POST", "/echo", SPAN("{}"), { "CONTENT_TYPE=text/html" }, false, 415, { "Content-Type: text/html" } },
	{ "a form is what curl -d says", "POST", "/echo", SPAN("abc"), { "CONTENT_TYPE=application/x-www-form-urlencoded" }, false, 200, { "abc" } },
	{ "JSON by its suffix", "POST", "/echo", SPAN("abc"), { "CONTENT_TYPE=application/ld+json; charset=utf-8" }, false, 200, { "abc" } },
	{ "announced, no body", "POST", "/echo", SPAN(""), { "CONTENT_LENGTH=100000000" }, false, 400, { "ends after 0 of" } },
	{ "one byte above the limit", "POST", "/echo", SPAN(""), { "CONTENT_LENGTH=134217729" }, false, 413, { "larger than 128 MB" } },
	{ "length beyond 2^64", "POST", "/echo", SPAN(""), { "CONTENT_LENGTH=18446744073709551617" }, false, 413, { 0 } },
	{ "smaller limit", "POST", "/echo", SPAN(""), { "CONTENT_LENGTH=1048577", "MAX_BODY_MB=1" }, false, 413, { "1 MB" } },
	{ "gzip", "POST", "/echo", SPAN("x"), { "HTTP_CONTENT_ENCODING=gzip" }, false, 415, { "gzip" } },
	{ "identity", "POST", "/echo", SPAN("x"), { "HTTP_CONTENT_ENCODING=Identity" }, false, 200, { "\"x\"" } },
	{ "GET does not read a body", "GET", "/health", SPAN("abc"), { "CONTENT_LENGTH=zz" }, false, 200, { "UP" } },

	{ "query", "GET", "/echo?project=7", { 0 }, { 0 }, false, 200, { "[\"7\",\"/echo\"]" } },
	{ "query, second", "GET", "/echo?a=1&project=a%20b+c%26&project=8", { 0 }, { 0 }, false, 200, { "[\"a b c&\"," } },
	{ "query, UTF-8", "GET", "/echo?project=%D1%82%d1%82", { 0 }, { 0 }, false, 200, { "\xd1\x82\xd1\x82" } },
	{ "query, NUL", "GET", "/echo?project=1%002", { 0 }, { 0 }, false, 200, { "1\\u00002" } },
	{ "query, no value", "GET", "/echo?project", { 0 }, { 0 }, false, 200, { "[\"\"," } },
	{ "query, empty", "GET", "/echo?&&project=&", { 0 }, { 0 }, false, 200, { "[\"\"," } },
	{ "query, other keys", "GET", "/echo?projects=1&xproject=2&=3", { 0 }, { 0 }, false, 200, { "[," } },
	{ "query, bad escape", "GET", "/echo?project=%zz", { 0 }, { 0 }, false, 422, { "project" } },
	{ "query, escape cut", "GET", "/echo?project=%4", { 0 }, { 0 }, false, 422, { 0 } },
	{ "query, percent last", "GET", "/echo?project=%", { 0 }, { 0 }, false, 422, { 0 } },

	{ "failure behind an answer", "GET", "/late", { 0 }, { 0 }, false, 422,
	  { "{\"status\": 422, \"error\": \"tasks[3].data is \\\"missing\\\"\", \"request_id\": \"" } },
	{ "out of memory", "GET", "/memory", { 0 }, { "MAX_BODY_MB=1" }, false, 503, { "out of memory" } },
	{ "answer too large", "GET", "/endless", { 0 }, { "MAX_BODY_MB=1" }, false, 413, { "the answer is larger" } },
	{ "another type", "GET", "/after", { 0 }, { 0 }, false, 200, { "Content-Type: text/plain\r\n", "text" } },

	{ "error page, direct", "GET", "/error", { 0 }, { 0 }, false, 404, { "no such path" } },
	{ "error page, lighttpd's 200", "GET", "/error", { 0 }, { "REDIRECT_STATUS=200" }, false, 404, { 0 } },
	{ "error page, nonsense", "GET", "/error", { 0 }, { "REDIRECT_STATUS=4e2" }, false, 404, { 0 } },
	{ "error page, too long", "GET", "/error", { 0 }, { "REDIRECT_STATUS=4130" }, false, 404, { 0 } },
	{ "error page, 700", "GET", "/error", { 0 }, { "REDIRECT_STATUS=700" }, false, 404, { 0 } },
	{ "error page, 400", "GET", "/error", { 0 }, { "REDIRECT_STATUS=400" }, false, 400, { 0 } },
	{ "error page, 403", "PUT", "/error", { 0 }, { "REDIRECT_STATUS=403" }, false, 403, { "Forbidden" } },
	{ "error page, 405", "DELETE", "/error", { 0 }, { "REDIRECT_STATUS=405" }, false, 405, { "Allow: GET, HEAD, POST" } },
	{ "error page, 411", "POST", "/error", { 0 }, { "REDIRECT_STATUS=411" }, true, 411, { 0 } },
	{ "error page, 413", "POST", "/error", { 0 }, { "REDIRECT_STATUS=413", "CONTENT_LENGTH=999999999999" }, false, 413,
	  { "MAX_BODY_MB" } },
	{ "error page, 431", "GET", "/error", { 0 }, { "REDIRECT_STATUS=431" }, false, 431, { "Fields Too Large" } },
	{ "error page, 500", "POST", "/error", { 0 }, { "REDIRECT_STATUS=500" }, false, 503, { "started again" } },
	{ "error page, 501", "BREW", "/error", { 0 }, { "REDIRECT_STATUS=501" }, false, 405, { 0 } },
	{ "error page, 502", "GET", "/error", { 0 }, { "REDIRECT_STATUS=502" }, false, 503, { 0 } },
	{ "error page, 504", "GET", "/error", { 0 }, { "REDIRECT_STATUS=504" }, false, 503, { 0 } },
	{ "error page, 505", "GET", "/error", { 0 }, { "REDIRECT_STATUS=505" }, false, 400, { 0 } },
	{ "error page, 507", "GET", "/error", { 0 }, { "REDIRECT_STATUS=507" }, false, 507, { 0 } },
	{ "error page, HEAD", "HEAD", "/error", { 0 }, { "REDIRECT_STATUS=413" }, false, 413, { 0 } },
};

static void test_cgi(void **state)
{
	(void)state;
	for (size_t i = 0; i < countof(asks); i++) {
		assert_int_equal(ask_cgi(&asks[i], NULL), 0);
		check_reply(&asks[i]);
	}
}

/* The input of a CGI program may go on behind the body; that of FastCGI is a
 * request of its own, and a longer one was cut or made up. */
static void test_what_follows_the_body(void **state)
{
	static const char *const settings[] = { "THREADS=1", NULL };
	struct ask               ask = { "one byte too many", "POST", "/echo", SPAN("abc"), { "CONTENT_LENGTH=2" },
	                                 false, 200, { "ab" } };
	struct fastcgi           f = start_fastcgi(settings, (struct rlimit){ 0 });

	(void)state;
	assert_int_equal(ask_cgi(&ask, NULL), 0);
	check_reply(&ask);
	ask.status = 400;
	ask.has[0] = "longer than the 2 bytes";
	ask_fastcgi(&f, &ask);
	stop_fastcgi(&f);
}

/* All over again through one process and its threads: nothing of a request is
 * left in the next. */
static void test_fastcgi(void **state)
{
	static const char *const settings[] = { "THREADS=2", NULL };
	static const char *const one_mb[] = { "THREADS=2", "MAX_BODY_MB=1", NULL };
	struct fastcgi           f = start_fastcgi(settings, (struct rlimit){ 0 });
	struct fastcgi           small = start_fastcgi(one_mb, (struct rlimit){ 0 });

	(void)state;
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < countof(asks); i++) {
			bool one = asks[i].params[0] != NULL && (strcmp(asks[i].params[0], "MAX_BODY_MB=1") == 0 ||
			           (asks[i].params[1] != NULL && strcmp(asks[i].params[1], "MAX_BODY_MB=1") == 0));

			ask_fastcgi(one ? &small : &f, &asks[i]);
		}
	stop_fastcgi(&f);
	stop_fastcgi(&small);
}

/* ---- statuses ---------------------------------------------------------------------- */

static void test_statuses(void **state)
{
	static const int want[ERR__MAX] = {
		[ERR_SYNTAX] = 400, [ERR_AUTH] = 401, [ERR_NOT_FOUND] = 404, [ERR_METHOD] = 405, [ERR_LENGTH] = 411,
		[ERR_TOO_LARGE] = 413, [ERR_MEDIA] = 415, [ERR_SHAPE] = 422, [ERR_BUSY] = 503, [ERR_STORE] = 503,
		[ERR_MEMORY] = 503, [ERR_BROKEN] = 503, [ERR_DISK] = 507, [ERR_REMOTE] = 503, [ERR_TOO_FEW] = 422, [ERR_LEASE] = 503,
		[ERR_STOPPED] = 503, [ERR_DAMAGED] = 503, [ERR_USAGE] = 422,
	};
	static const char *const settings[] = { NULL };
	struct fastcgi           f = start_fastcgi(settings, (struct rlimit){ 0 });

	(void)state;
	for (int code = ERR_OK + 1; code < ERR__MAX; code++) {
		char       path[32];
		struct ask a = { "code", "GET", path, { 0 }, { 0 }, false, want[code], { "as asked" } };

		assert_int_equal(http_status((enum err_code)code), want[code]);
		if (code == ERR_BROKEN)
			continue;               /* below */
		snprintf(path, sizeof path, "/code?code=%d", code);
		ask_fastcgi(&f, &a);
	}
	stop_fastcgi(&f);
}

/* It would have answered 503 for ever. */
static void a_broken_process_answers_and_ends(void **state)
{
	static const char *const settings[] = { "THREADS=2", NULL };
	struct fastcgi           f = start_fastcgi(settings, (struct rlimit){ 0 });
	char                     path[32];
	struct ask               a = { "broken", "GET", path, { 0 }, { 0 }, false, 503, { "as asked" } };

	(void)state;
	snprintf(path, sizeof path, "/code?code=%d", ERR_BROKEN);
	ask_fastcgi(&f, &a);
	assert_int_equal(exit_status(f.pid), 1);
}

/* ---- who may ask -------------------------------------------------------------------- */

#define GOOD "HTTP_AUTHORIZATION=Basic YW5uOnBhOnNz"
#define BAD  "HTTP_AUTHORIZATION=Basic YW5uOnBhOnNT"
#define KEY  "HTTP_X_WEBHOOK_SECRET=s3cret"
#define NOKEY "HTTP_X_WEBHOOK_SECRET=s3creT"

/* The table in serve.h. */
static void test_auth(void **state)
{
	enum { NONE, BASIC, SECRET, BOTH };
	static const char *const settings[4][5] = {
		[NONE]   = { NULL },
		[BASIC]  = { "BASIC_AUTH_USER=ann", "BASIC_AUTH_PASS=pa:ss", NULL },
		[SECRET] = { "WEBHOOK_SECRET=s3cret", NULL },
		[BOTH]   = { "BASIC_AUTH_USER=ann", "BASIC_AUTH_PASS=pa:ss", "WEBHOOK_SECRET=s3cret", NULL },
	};
	static const struct {
		const char *method, *path, *body, *param;
		int         status[4];        /* NONE, BASIC, SECRET, BOTH */
	} cases[] = {
		{ "GET",  "/livez",   "", NULL,       { 200, 200, 200, 200 } },
		{ "GET",  "/error",   "", NULL,       { 404, 404, 404, 404 } },
		{ "GET",  "/health",  "", NULL,       { 200, 401, 200, 401 } },
		{ "HEAD", "/health",  "", NULL,       { 200, 401, 200, 401 } },
		{ "GET",  "/health",  "", GOOD,       { 200, 200, 200, 200 } },
		{ "GET",  "/health",  "", BAD,        { 200, 401, 200, 401 } },
		{ "GET",  "/health",  "", KEY,        { 200, 401, 200, 401 } },
		{ "POST", "/echo",    "x", NULL,      { 200, 401, 200, 401 } },
		{ "POST", "/echo",    "x", KEY,       { 200, 401, 200, 401 } },
		{ "POST", "/echo",    "x", GOOD,      { 200, 200, 200, 200 } },
		{ "GET",  "/nothing", "", NULL,       { 404, 401, 404, 401 } },
		{ "GET",  "/nothing", "", KEY,        { 404, 401, 404, 401 } },
		{ "GET",  "/nothing", "", GOOD,       { 404, 404, 404, 404 } },
		{ "GET",  "/webhook", "", NULL,       { 405, 401, 405, 401 } },
		{ "POST", "/webhook", "event", NULL,  { 200, 401, 401, 401 } },
		{ "POST", "/webhook", "event", GOOD,  { 200, 200, 401, 200 } },
		{ "POST", "/webhook", "event", BAD,   { 200, 401, 401, 401 } },
		{ "POST", "/webhook", "event", KEY,   { 200, 401, 200, 200 } },
		{ "POST", "/webhook", "event", NOKEY, { 200, 401, 401, 401 } },
		{ "POST", "/webhook", "START", NULL,  { 200, 401, 200, 401 } },
		{ "POST", "/webhook", "START", GOOD,  { 200, 200, 200, 200 } },
		{ "POST", "/webhook", "START", KEY,   { 200, 401, 200, 401 } },
		{ "POST", "/webhook", "START", NOKEY, { 200, 401, 200, 401 } },
	};

	(void)state;
	for (int s = NONE; s <= BOTH; s++) {
		struct fastcgi f = start_fastcgi(settings[s], (struct rlimit){ 0 });

		for (size_t i = 0; i < countof(cases); i++) {
			char       name[100];
			struct ask a = { name, cases[i].method, cases[i].path, span_of(cases[i].body), { cases[i].param },
			                 false, cases[i].status[s], { 0 } };

			snprintf(name, sizeof name, "settings %d, case %zu", s, i);
			ask_fastcgi(&f, &a);
		}
		stop_fastcgi(&f);
	}
}

/* Credentials in the request's variables are the client's, not settings. */
static void test_settings_of_the_process(void **state)
{
	static const char *const settings[] = { "BASIC_AUTH_USER=ann", "BASIC_AUTH_PASS=pa:ss", NULL };
	static const struct ask  forged = { "forged", "GET", "/health", { 0 },
	                                    { "BASIC_AUTH_USER=x", "BASIC_AUTH_PASS=", "HTTP_AUTHORIZATION=Basic eDo=" },
	                                    false, 401, { 0 } };
	struct fastcgi           f = start_fastcgi(settings, (struct rlimit){ 0 });

	(void)state;
	ask_fastcgi(&f, &forged);
	stop_fastcgi(&f);
}

/* ---- partial and large bodies --------------------------------------------------------- */

static void test_partial(void **state)
{
	static const char *const settings[] = { "THREADS=1", NULL };
	static const struct ask  part = { "part", "POST", "/echo", SPAN("abc"), { "CONTENT_LENGTH=10" }, false, 400, { 0 } };
	static const struct ask  all = { "all", "POST", "/echo", SPAN("abc"), { 0 }, false, 200, { "\"abc\"" } };
	struct fastcgi           f = start_fastcgi(settings, (struct rlimit){ 0 });
	int                      fd;

	(void)state;
	for (int i = 0; i < 3; i++) {
		/* The library may hang up on these, but never hands on half a body. */
		if (receive_fastcgi(send_fastcgi(&f, &part, ABORTED)))
			check_reply(&part);
		if (receive_fastcgi(send_fastcgi(&f, &part, CUT)))
			check_reply(&part);
		fd = send_fastcgi(&f, &part, CUT);
		close(fd);
		fd = connect_fastcgi(&f);
		close(fd);
		ask_fastcgi(&f, &all);
	}
	stop_fastcgi(&f);
}

/* A body that announces much takes memory as it comes; one that does not fit is
 * a 503, and the next request is right. */
static void test_memory(void **state)
{
	static const char *const settings[] = { "THREADS=1", "MAX_BODY_MB=128", NULL };
	static const struct ask  small = { "small", "POST", "/echo", SPAN("abc"), { 0 }, false, 200, { "\"abc\"" } };
	static const struct ask  grown = { "arena", "GET", "/memory", { 0 }, { 0 }, false, 503, { "out of memory" } };
	struct ask               large = { "large", "POST", "/echo", { 0 }, { 0 }, false, 200, { "33554432" } };
	struct ask               huge = { "huge", "POST", "/echo", { 0 }, { 0 }, false, 503, { "out of memory" } };
	struct rlimit            memory = { (rlim_t)128 << 20, (rlim_t)128 << 20 };
	struct fastcgi           f;
	char                    *body;

	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip();             /* they map terabytes */
#endif
	body = calloc(1, 128 << 20);
	assert_non_null(body);
	f = start_fastcgi(settings, memory);
	large.body = (struct span){ body, 32 << 20 };
	huge.body = (struct span){ body, 128 << 20 };
	for (int i = 0; i < 3; i++) {
		ask_fastcgi(&f, &large);
		ask_fastcgi(&f, &huge);
		ask_fastcgi(&f, &grown);
		ask_fastcgi(&f, &small);
	}
	stop_fastcgi(&f);
	free(body);
}

/* ---- start and stop ------------------------------------------------------------------ */

static void test_after(void **state)
{
	static const char *const settings[] = { NULL };
	static const struct ask  a = { "after", "GET", "/after", { 0 }, { 0 }, false, 200, { "text" } };
	struct fastcgi           f = start_fastcgi(settings, (struct rlimit){ 0 });
	size_t                   before = log_count("after, my thread");

	(void)state;
	ask_fastcgi(&f, &a);
	stop_fastcgi(&f);
	assert_int_equal(log_count("after, my thread"), before + 1);
	assert_int_equal(ask_cgi(&a, NULL), 0);
	assert_int_equal(log_count("after, my thread"), before + 2);
}

static void wait_for(const char *what, size_t n)
{
	const struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };

	for (double end = clock_monotonic() + WAIT_S; log_count(what) < n && clock_monotonic() < end; )
		nanosleep(&pause, NULL);
	assert_true(log_count(what) >= n);
}

/* All threads idle; each closes what it opened. */
static void test_stop_idle(void **state)
{
	static const int         signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	static const char *const settings[] = { "THREADS=8", "LOG_LEVEL=DEBUG", NULL };
	static const struct ask  a = { "health", "GET", "/health", { 0 }, { 0 }, false, 200, { "UP" } };

	(void)state;
	for (size_t i = 0; i < countof(signals); i++) {
		size_t         closed = log_count("thread closed"), ready = log_count("threads accept");
		struct fastcgi f = start_fastcgi(settings, (struct rlimit){ 0 });

		wait_for("threads accept", ready + 1);
		if (i % 2 == 0)
			ask_fastcgi(&f, &a);
		kill(f.pid, signals[i]);
		assert_int_equal(exit_status(f.pid), 0);
		assert_int_equal(log_count("thread closed"), closed + 8);
	}
}

/* A request in flight ends with its answer; idle threads do not wait for it, and
 * it is not disturbed. */
static void test_stop_busy(void **state)
{
	static const char *const settings[] = { "THREADS=3", NULL };
	static const struct ask  slow = { "slow", "GET", "/slow", { 0 }, { 0 }, false, 200, { "\"slept\"" } };
	struct fastcgi           f = start_fastcgi(settings, (struct rlimit){ 0 });
	size_t                   begun = log_count("slow begins"), closed = log_count("thread closed");
	int                      fd = send_fastcgi(&f, &slow, WHOLE);
	double                   ms;

	(void)state;
	wait_for("slow begins", begun + 1);
	kill(f.pid, SIGTERM);
	wait_for("thread closed", closed + 2);
	assert_true(receive_fastcgi(fd));
	check_reply(&slow);
	ms = stop_fastcgi(&f);
	assert_true(ms < 1000);
	assert_int_equal(log_count("interrupted"), 0);
	assert_int_equal(log_count("thread closed"), closed + 3);
}

/* A client that has connected and says nothing holds nothing up. */
static void test_stop_silent(void **state)
{
	static const char *const settings[] = { "THREADS=2", NULL };
	static const struct ask  a = { "health", "GET", "/health", { 0 }, { 0 }, false, 200, { "UP" } };
	struct fastcgi           f = start_fastcgi(settings, (struct rlimit){ 0 });
	int                      fd;

	(void)state;
	ask_fastcgi(&f, &a);
	fd = connect_fastcgi(&f);
	assert_true(stop_fastcgi(&f) < 3000);
	close(fd);
}

static void test_start(void **state)
{
	static const char *const half[] = { "BASIC_AUTH_USER=ann", NULL };
	static const char *const wrong[] = { "THREADS=0", NULL };
	static const char *const unable[] = { "TEST_NO_THREAD=1", "THREADS=3", NULL };
	static const char *const none[] = { NULL };
	static const struct ask  a = { "health", "GET", "/health", { 0 }, { 0 }, false, 200, { "UP" } };
	size_t                   before = log_count("testing: BASIC_AUTH_PASS is not set");
	struct fastcgi           f;
	pid_t                    pid;

	(void)state;
	f = start_fastcgi(half, (struct rlimit){ 0 });
	assert_int_equal(exit_status(f.pid), 2);
	assert_int_equal(log_count("testing: BASIC_AUTH_PASS is not set"), before + 1);
	f = start_fastcgi(wrong, (struct rlimit){ 0 });
	assert_int_equal(exit_status(f.pid), 2);
	assert_true(log_count("testing: THREADS=0: must be a whole number from 1 to 256") > 0);
	assert_int_equal(ask_cgi(&a, half), 2);
	f = start_fastcgi(unable, (struct rlimit){ 0 });
	assert_int_equal(exit_status(f.pid), 1);
	assert_true(log_count("can't start: no store today") > 0);
	assert_int_equal(ask_cgi(&a, unable), 1);
	/* by hand: no socket, no request */
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, STDIN_FILENO);
		become_service((char **)(uintptr_t)none, log_path(), (struct rlimit){ 0 });
	}
	assert_int_equal(exit_status(pid), 1);
	assert_true(log_count("started by a web server") > 0);
}

static long status_field(pid_t pid, const char *format)
{
	char  path[40], line[256];
	long  value = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, format, strlen(format)) == 0)
			value = strtol(line + strlen(format), NULL, 10);
	if (f != NULL)
		fclose(f);
	return value;
}

static void test_no_core(void **state)
{
	static const char *const settings[] = { NULL };
	static const struct ask  a = { "health", "GET", "/health", { 0 }, { 0 }, false, 200, { "UP" } };
	struct fastcgi           f = start_fastcgi(settings, (struct rlimit){ 0 });

	(void)state;
	ask_fastcgi(&f, &a);
	assert_int_equal(status_field(f.pid, "Max core file size"), 1);
	stop_fastcgi(&f);
}

/* With PRELABEL_RUN_DIR set the service goes when its parent is killed. */
static void test_follows_parent(void **state)
{
	static const char *const settings[] = { "PRELABEL_RUN_DIR=/", "LOG_LEVEL=DEBUG", NULL };
	size_t                   ready = log_count("threads accept"), ended = log_count("ended");
	pid_t                    parent = fork();

	(void)state;
	if (parent == 0) {
		(void)start_fastcgi(settings, (struct rlimit){ 0 });
		for (;;)
			pause();
	}
	wait_for("threads accept", ready + 1);
	kill(parent, SIGKILL);
	exit_status(parent);
	wait_for("ended", ended + 1);
}

/* ---- the log ---------------------------------------------------------------------------- */

static void test_log(void **state)
{
	static const char *const settings[] = { "BASIC_AUTH_USER=ann", "BASIC_AUTH_PASS=pa:ss", "THREADS=1", NULL };
	static const struct ask  quiet = { "quiet", "GET", "/health", { 0 }, { GOOD }, false, 200, { 0 } };
	static const struct ask  told_of = { "told", "GET", "/echo?project=geheim", { 0 }, { GOOD }, false, 200, { 0 } };
	static const struct ask  forged = { "forged", "GET", "/a\n2026-11-22T00:00:00Z ERROR forged", { 0 }, { GOOD }, false, 404, { 0 } };
	static const struct ask  failing = { "failing", "GET", "/code?code=10", { 0 }, { GOOD }, false, 503, { 0 } };
	struct fastcgi           f;
	size_t                   health = log_count("GET /health"), echo = log_count("GET /echo 200 ");
	size_t                   warned = log_count(" WARNING testing ");

	(void)state;
	f = start_fastcgi(settings, (struct rlimit){ 0 });
	ask_fastcgi(&f, &quiet);
	ask_fastcgi(&f, &told_of);
	ask_fastcgi(&f, &forged);
	ask_fastcgi(&f, &failing);
	stop_fastcgi(&f);
	assert_int_equal(log_count("GET /health"), health);
	assert_int_equal(log_count("GET /echo 200 "), echo + 1);
	assert_int_equal(log_count("geheim"), 0);
	assert_int_equal(log_count("YW5u"), 0);
	assert_int_equal(log_count("GET /a\\x0a2026"), 1);
	assert_int_equal(log_count(" WARNING testing "), warned + 1);
	assert_true(log_count("GET /code 503 ") > 0 && log_count(": as asked") > 0);
}

/* ---- behind lighttpd ------------------------------------------------------------------------ */

static int free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t          len = sizeof address;
	int                fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	close(fd);
	return ntohs(address.sin_port);
}

/* /crash goes to a program of its own: /error is answered by one that is well. */
static pid_t start_lighttpd(int port)
{
	char  conf[80], self[256] = { 0 };
	FILE *f;
	pid_t pid;

	assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	snprintf(conf, sizeof conf, "%s/lighttpd.conf", folder);
	f = fopen(conf, "w");
	assert_non_null(f);
	fprintf(f,
	        "server.modules = (\"mod_fastcgi\")\n"
	        "server.bind = \"127.0.0.1\"\n"
	        "server.port = %d\n"
	        "server.document-root = \"%s\"\n"
	        "server.upload-dirs = (\"%s\")\n"
	        "server.errorlog = \"%s/lighttpd.log\"\n"
	        "server.max-request-size = 40960\n"
	        "server.max-request-field-size = 8192\n"
	        "server.error-handler = \"/error\"\n"
	        "fastcgi.server = (\"/crash\" => ((\"socket\" => \"%s/lighttpd.crash\", \"bin-path\" => \"%s --service\",\n"
	        "  \"check-local\" => \"disable\", \"max-procs\" => 1, \"bin-environment\" => (\"PRELABEL_RUN_DIR\" => \"/\"),\n"
	        "  \"bin-copy-environment\" => (\"PATH\"))),\n"
	        " \"/\" => ((\"socket\" => \"%s/lighttpd.rest\", \"bin-path\" => \"%s --service\",\n"
	        "  \"check-local\" => \"disable\", \"max-procs\" => 1, \"fix-root-scriptname\" => \"enable\",\n"
	        "  \"bin-environment\" => (\"PRELABEL_RUN_DIR\" => \"/\", \"MAX_BODY_MB\" => \"32\", \"BASIC_AUTH_USER\" => \"ann\",\n"
	        "                        \"BASIC_AUTH_PASS\" => \"pa:ss\"), \"bin-copy-environment\" => (\"PATH\"))))\n",
	        port, folder, folder, folder, folder, self, folder, self);
	fclose(f);
	pid = fork();
	if (pid == 0) {
		int fd = open(log_path(), O_WRONLY | O_CREAT | O_APPEND, 0600);

		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execl("/usr/sbin/lighttpd", "lighttpd", "-D", "-f", conf, (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* Sends bytes, and `zeros` more of them; reads to the end of the reply. */
static void talk(int port, const char *request, size_t zeros)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	                               .sin_port = htons((uint16_t)port) };
	static const char  nothing[65536];
	size_t             len = 0;
	ssize_t            n;
	int                fd = -1;

	for (double end = clock_monotonic() + WAIT_S; clock_monotonic() < end; ) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
			break;
		close(fd);
		fd = -1;
		nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
	}
	assert_true(fd >= 0);
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		fail_msg("send");
	while (zeros > 0) {
		n = send(fd, nothing, zeros < sizeof nothing ? zeros : sizeof nothing, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		zeros -= (size_t)n;
	}
	while ((n = read(fd, told.all + len, REPLY_MAX - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	split_reply(len);
}

static void test_lighttpd(void **state)
{
#define TAIL   "Host: x\r\nConnection: close\r\n"
#define SIGNED "Authorization: Basic YW5uOnBhOnNz\r\n" TAIL
	static const struct { struct ask a; const char *request; size_t zeros; } cases[] = {
		{ { .name = "livez", .method = "GET", .status = 200, .has = { "UP" } },
		  "GET /livez HTTP/1.1\r\n" TAIL "\r\n", 0 },
		{ { .name = "root", .method = "GET", .status = 200, .has = { "UP" } },
		  "GET / HTTP/1.1\r\n" SIGNED "\r\n", 0 },
		{ { .name = "HEAD", .method = "HEAD", .status = 200, .has = { "Content-Length: 15" } },
		  "HEAD /livez HTTP/1.1\r\n" TAIL "\r\n", 0 },
		{ { .name = "path cleaned", .method = "GET", .status = 200, .has = { "[\"1\",\"/echo\"]" } },
		  "GET /x/../ech%6F?project=1 HTTP/1.1\r\n" SIGNED "\r\n", 0 },
		{ { .name = "body", .method = "POST", .status = 200, .has = { "\"abc\"" } },
		  "POST /echo HTTP/1.1\r\nContent-Length: 3\r\n" SIGNED "\r\nabc", 0 },
		{ { .name = "chunked", .method = "POST", .status = 200, .has = { "\"abcd\"" } },
		  "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" SIGNED "\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", 0 },
		{ { .name = "large body", .method = "POST", .status = 200, .has = { "20000000" } },
		  "POST /echo HTTP/1.1\r\nContent-Length: 20000000\r\n" SIGNED "\r\n", 20000000 },
		{ { .name = "not signed", .method = "GET", .status = 401, .has = { 0 } },
		  "GET /health HTTP/1.1\r\n" TAIL "\r\n", 0 },
		{ { .name = "large body, not signed", .method = "POST", .status = 401, .has = { 0 } },
		  "POST /echo HTTP/1.1\r\nContent-Length: 20000000\r\n" TAIL "\r\n", 20000000 },
		{ { .name = "signed twice", .method = "GET", .status = 401, .has = { 0 } },
		  "GET /health HTTP/1.1\r\nAuthorization: Basic YW5uOnBhOnNz\r\n" SIGNED "\r\n", 0 },
		{ { .name = "above our limit", .method = "POST", .status = 413, .has = { "32 MB" } },
		  "POST /echo HTTP/1.1\r\nContent-Length: 33554433\r\n" SIGNED "\r\n", 33554433 },
		{ { .name = "above lighttpd's", .method = "POST", .status = 413, .has = { "MAX_BODY_MB" } },
		  "POST /echo HTTP/1.1\r\nContent-Length: 999999999\r\n" SIGNED "\r\n", 0 },
		{ { .name = "no length", .method = "POST", .status = 411, .has = { "Content-Length" } },
		  "POST /echo HTTP/1.1\r\n" SIGNED "\r\n", 0 },
		{ { .name = "gzip", .method = "POST", .status = 415, .has = { "gzip" } },
		  "POST /echo HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n" SIGNED "\r\nx", 0 },
		{ { .name = "no path", .method = "GET", .status = 404, .has = { 0 } },
		  "GET /nothing HTTP/1.1\r\n" SIGNED "\r\n", 0 },
		{ { .name = "wrong method", .method = "POST", .status = 405, .has = { "Allow: GET, HEAD" } },
		  "POST /health HTTP/1.1\r\nContent-Length: 1\r\n" SIGNED "\r\nx", 0 },
		{ { .name = "TRACE", .method = "TRACE", .status = 405, .has = { 0 } },
		  "TRACE /health HTTP/1.1\r\n" SIGNED "\r\n", 0 },
		{ { .name = "method of nobody", .method = "BREW", .status = 405, .has = { 0 } },
		  "BREW /health HTTP/1.1\r\n" SIGNED "\r\n", 0 },
		{ { .name = "program killed", .method = "GET", .status = 503, .has = { "started again" } },
		  "GET /crash HTTP/1.1\r\n" SIGNED "\r\n", 0 },
		{ { .name = "and back", .method = "GET", .status = 200, .has = { "UP" } },
		  "GET /livez HTTP/1.1\r\n" TAIL "\r\n", 0 },
	};
	int   port = free_port();
	pid_t pid;

	(void)state;
	if (access("/usr/sbin/lighttpd", X_OK) != 0)
		fail_msg("lighttpd is not installed (make deps)");
	pid = start_lighttpd(port);
	for (size_t i = 0; i < countof(cases); i++) {
		talk(port, cases[i].request, cases[i].zeros);
		check_reply(&cases[i].a);
	}
	kill(pid, SIGTERM);
	assert_true(exit_status(pid) <= 1);      /* 1: it has seen a program die */
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command) != 0;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgi),
		cmocka_unit_test(test_what_follows_the_body), cmocka_unit_test(test_fastcgi), cmocka_unit_test(test_statuses),
		cmocka_unit_test(a_broken_process_answers_and_ends),
		cmocka_unit_test(test_auth), cmocka_unit_test(test_settings_of_the_process),
		cmocka_unit_test(test_partial), cmocka_unit_test(test_memory), cmocka_unit_test(test_after),
		cmocka_unit_test(test_stop_idle), cmocka_unit_test(test_stop_busy), cmocka_unit_test(test_stop_silent),
		cmocka_unit_test(test_start), cmocka_unit_test(test_no_core), cmocka_unit_test(test_follows_parent),
		cmocka_unit_test(test_log), cmocka_unit_test(test_lighttpd),
	};

	if (argc > 1 && strcmp(argv[1], "--service") == 0)
		return serve(&service);
	alarm(800);             /* a service that does not end must not hold up the others */
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
