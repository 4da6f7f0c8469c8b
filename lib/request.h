/* request.h - what the requests of Label Studio have in common. */
#ifndef REQUEST_H
#define REQUEST_H

#include "context.h"
#include "web/serve.h"

/* The body as one JSON object.  ERR_SYNTAX, ERR_SHAPE. */
int request_object(const struct request *req, struct span *object, struct err *e);

/* A member that is a string, decoded; null counts as absent.  0; 1 absent; -1
 * ERR_SHAPE "label_config is not a string". */
int request_text(const struct request *req, struct span object, const char *key, struct span *text, struct err *e);

/* "12.1795306195", "12" or the number 12 in a member `key`: the project and the
 * second of its creation (STORE_NULL: not given).  0; 1 absent; -1 ERR_SHAPE. */
int request_project(const struct request *req, struct span object, const char *key, int64_t *id,
                    int64_t *created_s, struct err *e);

/* The same two of the member's value (p NULL: absent); key: its name, for the error. */
int request_text_of(const struct request *req, struct span value, const char *key, struct span *text, struct err *e);
int request_project_of(const struct request *req, struct span value, const char *key, int64_t *id,
                       int64_t *created_s, struct err *e);

/* A positive whole number in the query. */
int request_query_number(const struct request *req, const char *key, int64_t *n, struct err *e);

/* The project from ?project=N. */
int request_query_project(const struct request *req, int64_t *id, int64_t *created_s, struct err *e);

static inline struct context *request_context(const struct request *req)
{
	return req->thread;
}

#endif
