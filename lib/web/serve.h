/*
 * serve.h - FastCGI or CGI request in, JSON reply out.
 *
 * serve() reads the settings, then accepts with FCGX_Accept_r in THREADS threads
 * (one when it was started as plain CGI: no listening socket on descriptor 0)
 * until SIGTERM or SIGINT, which let running requests end.  For each request:
 *
 *   id -> body (exact Content-Length, limit) -> route -> auth -> handler -> reply
 *
 * Everything of a request lives in its arena.  An error becomes
 * {"status": 422, "error": "…", "request_id": "…"} by one table.
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
	ROUTE_WEBHOOK = 2      /* WEBHOOK_SECRET will do in place of basic auth */
};

struct request {
	const struct env *env;
	enum method       method;
	struct span       path;            /* SCRIPT_NAME + PATH_INFO, NUL-terminated too */
	struct span       query;           /* raw */
	struct span       body;            /* exactly Content-Length bytes; empty for GET */
	char              id[33];          /* random, hexadecimal */
	bool              secret_ok;       /* WEBHOOK_SECRET is set and was given */
	bool              basic_ok;        /* basic auth is not asked for, or was right */
	struct arena     *arena;
	void             *thread;          /* what service.thread_open() returned */
	char *const      *params;          /* CGI variables, for request_param() */
};

struct reply {
	int          status;               /* 200 unless set */
	struct buf   body;                 /* JSON unless content_type is set */
	const char  *content_type;
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
	 * starts and ends. */
	int  (*thread_open)(const struct env *env, void **thread, struct err *e);
	void (*thread_close)(void *thread);
};

/* The process's exit status: 0 after SIGTERM, 1 when it could not start, 2 when a
 * setting is wrong (one line on standard error says which). */
int serve(const struct service *service);

/* A CGI variable ("HTTP_X_WEBHOOK_SECRET"), NULL when absent. */
const char *request_param(const struct request *req, const char *name);

/* The value of a key in the query string, percent-decoded into the arena.
 * 0; 1 absent; -1 ERR_SHAPE for a bad escape. */
int request_query(const struct request *req, const char *key, struct span *value, struct err *e);

/* The status of an error code. */
int http_status(enum err_code code);

/* {"status":…,"error":…,"request_id":…} */
void put_error(struct buf *b, int status, const char *message, const char *request_id);

#endif
