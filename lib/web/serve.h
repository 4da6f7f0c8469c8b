/*
 * serve.h - FastCGI or CGI request in, JSON reply out.
 *
 * serve() reads the settings, then accepts with FCGX_Accept_r in THREADS threads
 * (one request and no thread when it was started as plain CGI: no listening
 * socket on descriptor 0) until SIGTERM, SIGINT, SIGHUP or SIGUSR1, which let
 * running requests end.  For each request:
 *
 *   id -> route -> auth -> body (exact Content-Length, limit) -> handler -> reply
 *
 * so that who may not ask is refused before his body is read.  Everything of a
 * request lives in its arena.  An error becomes
 * {"status": 422, "error": "…", "request_id": "…"} by one table.
 *
 * The stop signals are blocked in all threads and SIGPIPE is ignored, which a
 * program started from here inherits: fork(), then an empty signal mask and the
 * default actions, then exec().
 *
 * Files: serve.c the threads, route.c who answers, auth.c who may ask, http.c
 * what is read and written.
 */
#ifndef WEB_SERVE_H
#define WEB_SERVE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>

enum method { GET, POST, METHOD__MAX };

enum {
	ROUTE_OPEN    = 1,     /* no credentials needed: /livez, /error */
	ROUTE_WEBHOOK = 2,     /* WEBHOOK_SECRET will do in place of basic auth; see below */
	ROUTE_ANY     = 4,     /* every method, without its body: /error */
	ROUTE_QUIET   = 8      /* asked every few seconds: its successes are logged at DEBUG */
};

/*
 * Who may ask.  With basic auth configured, serve() answers 401 by itself to all
 * that lack it but ROUTE_OPEN, unknown paths and wrong methods included; a
 * ROUTE_WEBHOOK lets the secret stand in for it.
 *
 * That leaves a ROUTE_WEBHOOK's handler one decision, since START_TRAINING, known
 * only from the body, never carries webhook headers:
 *
 *   BASIC_AUTH_*  WEBHOOK_SECRET   reaches the handler   an event needs      START_TRAINING needs
 *   no            no               everything            nothing             nothing
 *   yes           no               basic_ok              basic_ok            basic_ok
 *   no            yes              everything            secret_ok           nothing
 *   yes           yes              basic_ok or secret_ok basic_ok, secret_ok basic_ok
 *
 * which request_needs_secret() and request_needs_basic() answer.
 */
struct request {
	const struct env *env;
	enum method       method;          /* HEAD reads as GET */
	struct span       path;            /* SCRIPT_NAME + PATH_INFO, NUL-terminated too */
	struct span       query;           /* raw */
	struct span       body;            /* exactly Content-Length bytes, and a NUL; empty for GET */
	char              id[33];          /* random, hexadecimal */
	bool              secret_ok;       /* WEBHOOK_SECRET is set and was given; false where it is not set */
	bool              once;            /* plain CGI: the process answers no other */
	bool              basic_ok;        /* basic auth is not asked for, or was right */
	struct arena     *arena;           /* at most twice the body limit and 64 MB */
	void             *thread;          /* what service.thread_open() returned */
	char *const      *params;          /* CGI variables, for request_param() */
};

/* A handler that fails (-1) gets none of this sent: what it wrote is discarded
 * and its error takes the place. */
struct reply {
	int          status;               /* 200 unless set */
	struct buf   body;                 /* JSON unless content_type is set */
	const char  *content_type;         /* borrowed; a constant */
	void       (*after)(void *thread, const struct env *env); /* runs when the reply is out; or NULL */
};

struct route {
	enum method method;
	const char *path;                  /* "/predict": matched whole */
	int       (*handle)(struct request *req, struct reply *reply, struct err *e);
	unsigned    flags;                 /* ROUTE_* */
};

struct service {
	const char         *name;          /* of the program, in its log lines */
	const struct route *routes;
	size_t              n_routes;
	/* A thread's own things (its store connection, opened when first needed, so
	 * that /health never waits for it); both may be NULL.  Called when the thread
	 * starts and ends; one that can't open ends the process. */
	int  (*thread_open)(const struct env *env, void **thread, struct err *e);
	void (*thread_close)(void *thread);
	/* Once, before any thread and before the sandbox (base/sandbox.h): for what has to
	 * start processes later.  May be NULL.  -1 ends the process. */
	int  (*before)(const struct env *env, struct err *e);
	bool   asks_models;                /* may run MODEL_COMMAND */
	/* Accepting threads in each process where THREADS says more, which counts for the
	 * programs that are asked all day; 0: as many as it says. */
	int    threads_most;
};

/* The process's exit status: 0 after SIGTERM, 1 when it could not start, 2 when a
 * setting is wrong (one line on standard error says which). */
int serve(const struct service *service);

/* A CGI variable ("HTTP_X_WEBHOOK_SECRET"), NULL when absent. */
const char *request_param(const struct request *req, const char *name);

/* A part of the body that nothing reads any more: its memory goes back, as far as it
 * is whole pages.  For bodies that are worked through from one end to the other. */
void request_spent(const struct request *req, struct span part);

/* The value of a key in the query string, percent-decoded into the arena: any
 * bytes.  0; 1 absent; -1 ERR_SHAPE for a bad escape.  Of several the first. */
int request_query(const struct request *req, const char *key, struct span *value, struct err *e);

/* May this request do what the other endpoints do (START_TRAINING)?  And is it to
 * be believed as an event of Label Studio's?  0, or -1 with ERR_AUTH. */
int request_needs_basic(const struct request *req, struct err *e);
int request_needs_secret(const struct request *req, struct err *e);

/* The handler of /error, { GET, "/error", web_error, ROUTE_OPEN | ROUTE_ANY }: says
 * what the web server itself refused (REDIRECT_STATUS) in our words; 5xx as 503. */
int web_error(struct request *req, struct reply *reply, struct err *e);

/* The status of an error code. */
int http_status(enum err_code code);

/* {"status":…,"error":…,"request_id":…} */
void put_error(struct buf *b, int status, const char *message, const char *request_id);

#endif
