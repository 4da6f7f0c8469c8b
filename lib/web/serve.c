/* serve.c - threads that accept requests, and how they start and stop. */
#include "web/serve.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/meter.h"
#include "base/sandbox.h"
#include "web/auth.h"
#include "web/http.h"
#include "web/route.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ERROR_BYTES  ((size_t)4 << 10)      /* of the answer's, always there: an error finds room */
#define EXTRA_BYTES  ((size_t)64 << 20)     /* of a request, besides twice its body */

/* What all threads share; not changed after they have started, but for `failed`. */
struct server {
	const struct service *service;
	struct env            env;
	struct auth           auth;
	atomic_bool           stopping;
	atomic_bool           failed;           /* a thread could not open */
	atomic_bool           broken;           /* a request ended with ERR_BROKEN */
};

struct worker {
	struct server *server;
	pthread_t      thread;
	atomic_bool    accepting;               /* in FCGX_Accept_r: may be interrupted */
	atomic_bool    done;
	void          *own;                     /* of the service */
	struct arena   arena;
	struct buf     body, answer;
	unsigned char  random[32][16];          /* of the next requests' ids */
	size_t         n_random;
};

/* ---- one request -------------------------------------------------------------- */

/* The kernel is asked for many at once: one at a time it is a call a request. */
static void new_id(struct worker *w, char id[33])
{
	if (w->n_random == 0) {
		randombytes_buf(w->random, sizeof w->random);
		w->n_random = countof(w->random);
	}
	w->n_random--;
	sodium_bin2hex(id, 33, w->random[w->n_random], sizeof w->random[0]);
}

static int check_auth(const struct server *s, struct request *req, unsigned flags, struct err *e)
{
	req->basic_ok = !s->auth.basic || auth_basic(&s->auth, request_param(req, "HTTP_AUTHORIZATION"));
	req->secret_ok = auth_secret(&s->auth, request_param(req, "HTTP_X_WEBHOOK_SECRET"));
	if ((flags & ROUTE_OPEN) != 0 || req->basic_ok || ((flags & ROUTE_WEBHOOK) != 0 && req->secret_ok))
		return 0;
	return request_needs_basic(req, e);
}

int request_needs_basic(const struct request *req, struct err *e)
{
	return req->basic_ok ? 0 : err_set(e, ERR_AUTH, "user and password are missing or wrong");
}

int request_needs_secret(const struct request *req, struct err *e)
{
	if (req->env->webhook_secret == NULL)
		return request_needs_basic(req, e);
	if (req->secret_ok || (req->env->auth_user != NULL && req->basic_ok))
		return 0;
	return err_set(e, ERR_AUTH, "X-Webhook-Secret is missing or wrong");
}

/* From the CGI variables to the handler's answer. */
static int answer(struct worker *w, const struct http *h, struct request *req, struct route_match *m,
                  const char *method, struct reply *reply, struct err *e)
{
	const struct server *s = w->server;

	if (route_path(req, e) < 0)
		return -1;
	*m = route_find(s->service, req->path, method);
	if (check_auth(s, req, m->flags, e) < 0)
		return -1;
	if (!m->path_known)
		return err_set(e, ERR_NOT_FOUND, "no such path");
	if (m->route == NULL)
		return err_set(e, ERR_METHOD, "this path takes %s", m->allow);
	req->method = strcmp(method, "POST") == 0 ? POST : GET;
	if (req->method == POST && (m->route->flags & ROUTE_ANY) == 0) {
		if (http_read_body(h, req, env_body_max(&s->env), &w->body, e) < 0)
			return -1;
		req->body = w->body.p == NULL ? SPAN("") : buf_span(&w->body);
	}
	if (m->route->handle(req, reply, e) < 0)
		return -1;
	return buf_check(&reply->body, "the answer", e);
}

/* After the reply is out: the request's variables are gone. */
static void log_reply(const struct request *req, const struct route_match *m, const char *method,
                      const struct reply *reply, const struct err *e, double seconds)
{
	const double ms = seconds * 1e3;

	if (reply->status >= 500)
		log_line(LOG_WARNING, "%s %.200s %d %zu bytes %.1f ms: %s", method,
		         req->path.len == 0 ? "-" : req->path.p, reply->status, reply->body.len, ms, e->msg);
	else
		log_line((m->flags & ROUTE_QUIET) != 0 && reply->status < 400 ? LOG_DEBUG : LOG_INFO,
		         "%s %.200s %d %zu bytes %.1f ms", method,
		         req->path.len == 0 ? "-" : req->path.p, reply->status, reply->body.len, ms);
}

static void keep_small(struct buf *b, size_t least)
{
	buf_reset(b);
	if (b->cap > KEEP_BYTES)
		buf_shrink(b, least);
}

static void handle(struct worker *w, const struct http *h)
{
	const struct server *s = w->server;
	const double         began = clock_monotonic();
	struct request       req = { .env = &s->env, .path = SPAN(""), .body = SPAN(""), .arena = &w->arena,
	                             .thread = w->own, .params = h->params, .once = h->fcgi == NULL };
	struct reply         reply = { .status = 200, .body = w->answer };
	struct route_match   m = { 0 };
	struct err           e = { 0 };
	const char          *given = request_param(&req, "REQUEST_METHOD");
	char                 method[16];        /* longer than any there is */
	double               seconds;

	snprintf(method, sizeof method, "%s", given == NULL ? "" : given);
	new_id(w, req.id);
	log_request(req.id);
	req.query = span_of(request_param(&req, "QUERY_STRING"));
	if (answer(w, h, &req, &m, method, &reply, &e) < 0) {
		reply.status = http_status(e.code);
		reply.content_type = NULL;
		reply.after = NULL;
		buf_reset(&reply.body);
		put_error(&reply.body, reply.status, e.msg, req.id);
	}
	if (http_write(h, &req, &reply, reply.status == 405 ? m.allow : "", strcmp(method, "HEAD") == 0) < 0)
		log_line(LOG_DEBUG, "the client left before the reply");
	/* Before the last bytes are out: who has an answer finds it counted. */
	seconds = clock_monotonic() - began;
	meter_request(m.path_known ? req.path : SPAN(""), reply.status, seconds);
	if (reply.status == 401 && (m.flags & ROUTE_WEBHOOK) != 0)
		auth_webhook_refused();
	http_finish(h, &req, w->body.len);
	req.params = NULL;
	log_reply(&req, &m, method, &reply, &e, seconds);
	if (reply.after != NULL)
		reply.after(w->own, &s->env);
	if (e.code == ERR_BROKEN && !req.once) {
		log_line(LOG_ERROR, "%s: the process ends, for another to take its place", e.msg);
		atomic_store(&w->server->broken, true);
		kill(getpid(), SIGTERM);            /* to the main thread, which waits for it */
	}
	log_request(NULL);
	w->answer = reply.body;
	keep_small(&w->answer, ERROR_BYTES);
	keep_small(&w->body, 0);
	arena_reset(&w->arena);
}

/* ---- a thread ------------------------------------------------------------------- */

static int worker_open(struct worker *w, struct server *s)
{
	const struct service *service = s->service;
	const size_t          most = 2 * env_body_max(&s->env) + EXTRA_BYTES;
	struct err            e = { 0 };

	w->server = s;
	w->own = NULL;
	arena_init(&w->arena, most);
	buf_init(&w->body, 0);                  /* its maximum is each request's length */
	buf_init(&w->answer, most);
	if (buf_room(&w->answer, ERROR_BYTES) == NULL) {
		log_line(LOG_ERROR, "can't start: out of memory");
		return -1;
	}
	if (service->thread_open != NULL && service->thread_open(&s->env, &w->own, &e) < 0) {
		log_line(LOG_ERROR, "can't start: %s", e.msg);
		buf_clear(&w->answer);
		return -1;
	}
	return 0;
}

static void worker_close(struct worker *w)
{
	if (w->server->service->thread_close != NULL)
		w->server->service->thread_close(w->own);
	buf_clear(&w->answer);
	buf_clear(&w->body);
	arena_clear(&w->arena);
}

static void accept_loop(struct worker *w)
{
	const struct timespec pause = { .tv_nsec = 100000000 };     /* 0.1 s */
	FCGX_Request          fcgi;
	int                   rc;

	FCGX_InitRequest(&fcgi, STDIN_FILENO, FCGI_FAIL_ACCEPT_ON_INTR);
	while (!atomic_load(&w->server->stopping)) {
		atomic_store(&w->accepting, true);
		rc = FCGX_Accept_r(&fcgi);
		atomic_store(&w->accepting, false);
		if (rc == 0) {
			handle(w, &(struct http){ .fcgi = &fcgi, .params = fcgi.envp });
		} else if (!atomic_load(&w->server->stopping)) {
			/* Out of descriptors, say: others may give some back. */
			log_line(LOG_WARNING, "accept: %s", strerror(-rc));
			nanosleep(&pause, NULL);
		}
	}
	FCGX_Free(&fcgi, 1);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	if (worker_open(w, w->server) == 0) {
		accept_loop(w);
		worker_close(w);
	} else {
		atomic_store(&w->server->failed, true);
		kill(getpid(), SIGTERM);            /* to the main thread, which waits for it */
	}
	atomic_store(&w->done, true);
	return NULL;
}

/* ---- the process ------------------------------------------------------------------ */

static void woken(int sig)
{
	(void)sig;
}

/* The signals that end the process: blocked in every thread, taken by sigwait(). */
static sigset_t stop_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);       /* FastCGI process managers mean the same by it */
	return set;
}

/*
 * accept() gives up (FCGI_FAIL_ACCEPT_ON_INTR) only in a thread that a signal
 * interrupts, and only when it is already asleep in it: so each one is sent
 * SIGUSR2 until it is out.  Threads that are at a request are left alone, because
 * the library takes an interrupted read for the end of the body; they see
 * `stopping` afterwards.
 *
 * Not FCGX_ShutdownPending(): with that set, a connection that stays silent makes
 * libfcgi 2.4.2 loop for ever over closing one descriptor number, whose ever it
 * has become.  For the same reason its own handler of SIGTERM must never run.
 *
 * In a broken process a thread may wait for ever for what another left locked, as
 * dlopen() does where memory is out: it has its 4 s, and exit(), which would wait for
 * the same, is not called.
 */
static void stop_workers(struct server *s, struct worker workers[], size_t n)
{
	const struct timespec pause = { .tv_nsec = 10000000 };      /* 10 ms */
	bool                  waiting = true;

	atomic_store(&s->stopping, true);
	for (int rounds = 0; waiting; rounds++) {
		if (rounds == 400 && atomic_load(&s->broken))
			_exit(1);
		waiting = false;
		for (size_t i = 0; i < n; i++) {
			if (atomic_load(&workers[i].done))
				continue;
			waiting = true;
			if (atomic_load(&workers[i].accepting))
				pthread_kill(workers[i].thread, SIGUSR2);
		}
		if (waiting)
			nanosleep(&pause, NULL);
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	if (atomic_load(&s->broken))
		_exit(1);
}

static int serve_fastcgi(struct server *s)
{
	const int        most = s->service->threads_most;
	const size_t     n = (size_t)(most > 0 && s->env.threads > most ? most : s->env.threads);
	const sigset_t   set = stop_signals();
	struct sigaction wake = { .sa_handler = woken };        /* without SA_RESTART */
	struct worker   *workers;
	size_t           started;
	int              sig, rc;

	if (FCGX_Init() != 0 || (workers = calloc(n, sizeof *workers)) == NULL) {
		log_line(LOG_ERROR, "can't start: out of memory");
		return 1;
	}
	sigaction(SIGUSR2, &wake, NULL);
	for (started = 0; started < n; started++) {
		workers[started].server = s;
		rc = pthread_create(&workers[started].thread, NULL, worker_main, &workers[started]);
		if (rc != 0) {
			log_line(LOG_ERROR, "can't start thread %zu of %zu: %s", started + 1, n, strerror(rc));
			break;
		}
	}
	if (started == n) {
		log_line(LOG_DEBUG, "%zu threads accept", n);
		sigwait(&set, &sig);
	}
	stop_workers(s, workers, started);
	free(workers);
	log_line(LOG_DEBUG, "ended");
	return started < n || atomic_load(&s->failed) ? 1 : 0;
}

static int serve_cgi(struct server *s)
{
	struct worker w = { 0 };

	if (getenv("REQUEST_METHOD") == NULL) {
		fprintf(stderr, "%s: a FastCGI or CGI program, started by a web server (see README.md)\n",
		        s->service->name);
		return 1;
	}
	if (worker_open(&w, s) < 0)
		return 1;
	handle(&w, &(struct http){ .params = environ });
	worker_close(&w);
	return 0;
}

/* Under `prelabel start` nothing may outlive its web server.  false: it is gone. */
static bool follow_parent(void)
{
	pid_t parent = getppid();

	if (getenv("PRELABEL_RUN_DIR") == NULL)
		return true;
	return prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && parent != 1 && getppid() == parent;
}

/* A FastCGI program may be started with descriptors 1 and 2 closed (cgi-fcgi does): what
 * is opened next would be what log lines are written to. */
static void fill_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void harden(void)
{
	/* A core would hold the key.  The limit 1 is too small for a file, and the
	 * kernel takes it, unlike 0, as "none" where cores are piped to a program. */
	const struct rlimit no_core = { 1, 1 };

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGPIPE, SIG_IGN);
	umask(077);             /* the web server's own may be odd: what is made here is ours alone */
	/* Large buffers are mapped and given back, always: left to itself, malloc
	 * raises this threshold with the first large one it frees. */
	mallopt(M_MMAP_THRESHOLD, (int)KEEP_BYTES);
	/* One heap for all threads: each of its own would keep what its largest request took. */
	mallopt(M_ARENA_MAX, 1);
}

/* A child that runs MODEL_COMMAND would inherit the filter, and what it needs is not for
 * us to know.  A kernel that refuses (a container may forbid even this) is no reason to
 * serve nobody, unless somebody counts on it. */
static int confine(const struct server *s, struct err *e)
{
	const bool         asks = s->service->asks_models && s->env.model_command != NULL;
	const enum sandbox how = asks ? SANDBOX_OFF : (enum sandbox)s->env.sandbox;
	const int          rc = sandbox_enter(how);

	if (rc < 0 && how == SANDBOX_STRICT)
		return err_set(e, ERR_USAGE, "SANDBOX=strict: the kernel refuses: %s", strerror(errno));
	if (rc < 0)
		log_line(LOG_WARNING, "no sandbox: the kernel refuses: %s", strerror(errno));
	else if (rc > 0)
		log_line(LOG_DEBUG, "no sandbox in this build");
	return 0;
}

int serve(const struct service *service)
{
	struct server  s = { .service = service };
	const sigset_t set = stop_signals();
	struct err     e = { 0 };
	bool           cgi;

	/* First of all, since FCGX_IsCGI() installs the library's own handlers, which
	 * would take a signal of the first moment for themselves. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fill_standard();
	harden();
	if (FCGX_Init() != 0) {         /* FCGX_IsCGI() would end the process, and say nothing */
		fprintf(stderr, "%s: can't start: out of memory\n", service->name);
		return 1;
	}
	cgi = FCGX_IsCGI();
	if (cgi)
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	else if (!follow_parent())
		return 0;
	if (env_read(&s.env, &e) < 0) {
		fprintf(stderr, "%s: %s\n", service->name, e.msg);
		return 2;
	}
	log_open(service->name, (enum log_level)s.env.log_level);
	if (sodium_init() < 0) {
		log_line(LOG_ERROR, "can't start: no random numbers");
		return 1;
	}
	auth_init(&s.auth, &s.env);
	meter_open(s.env.model_dir);
	if ((service->before != NULL && service->before(&s.env, &e) < 0) || confine(&s, &e) < 0) {
		log_line(LOG_ERROR, "can't start: %s", e.msg);
		return 1;
	}
	return cgi ? serve_cgi(&s) : serve_fastcgi(&s);
}
