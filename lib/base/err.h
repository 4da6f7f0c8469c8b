/*
 * err.h - what went wrong, for a person and for an HTTP status.
 *
 * A fallible function takes `struct err *e` last, returns 0 or -1 (a pointer:
 * NULL), and on failure has filled *e.  The first message wins, since it is
 * nearest to the fault; err_clear() before using the struct again.  A look-up
 * that finds nothing is not an error: it returns 1.
 *
 * A message is one line that names the thing and the value; never a secret,
 * a path of the server or more than 100 characters of the input.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stddef.h>

enum err_code {
	ERR_OK,
	ERR_SYNTAX,        /* 400 not JSON, or no HTTP message that we read */
	ERR_AUTH,          /* 401 */
	ERR_NOT_FOUND,     /* 404 */
	ERR_METHOD,        /* 405 */
	ERR_LENGTH,        /* 411 no Content-Length */
	ERR_TOO_LARGE,     /* 413 */
	ERR_MEDIA,         /* 415 content coding or type that we do not read */
	ERR_SHAPE,         /* 422 JSON of the wrong shape */
	ERR_BUSY,          /* 503 passes by itself */
	ERR_STORE,         /* 503 the database refuses */
	ERR_MEMORY,        /* 503 out of memory */
	ERR_BROKEN,        /* 503 this process can't do it any more, the next one may */
	ERR_DISK,          /* 507 disk full */
	ERR_REMOTE,        /* Label Studio did not answer as it should */
	ERR_TOO_FEW,       /* not enough examples or labels to train */
	ERR_LEASE,         /* the lease of a training job was lost */
	ERR_STOPPED,       /* told to stop */
	ERR_DAMAGED,       /* stored bytes that fail their checks */
	ERR_USAGE,         /* a setting or an argument is wrong */
	ERR__MAX
};

struct err {
	enum err_code code;
	char          msg[240];
};

/* Sets *e unless it is set already; the message is cut at 239 bytes, control
 * characters become '?'.  Returns -1, so that callers can `return err_set(…)`.
 * e may be NULL: the caller does not want to know. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Text from outside for a terminal, in place: each byte of what one would obey, or
 * reorder text by, becomes '?' (control characters, U+0080 to U+009F too; line
 * separators; directions of writing). */
void err_plain(char *s);

/* How many bytes at p, which is NUL-terminated, are one of those: 0 none, 1 to 3. */
size_t err_obeyed(const char *p);

/* The usual message for an allocation that failed.  Returns -1. */
int err_memory(struct err *e);

void err_clear(struct err *e);      /* NULL allowed */

/* What they return, for compilers and analyzers that don't look into err.c. */
static inline int err_failed(int rc)
{
	(void)rc;
	return -1;
}
#define err_set(...)  err_failed((err_set)(__VA_ARGS__))
#define err_memory(e) err_failed((err_memory)(e))

#endif
