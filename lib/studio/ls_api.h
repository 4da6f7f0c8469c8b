/*
 * ls_api.h - the calls prelabel makes to Label Studio (protocol.md 8).
 *
 * For programs that may wait: the trainer and the command line, never within a
 * request.  One struct ls_api serves one thread.
 *
 * The key goes to the one origin given, in the Authorization header (a personal
 * access token: in the body of its exchange), and nowhere else: redirects are
 * not followed, proxies of the environment not used, and no message holds it, not
 * even when Label Studio's answer does.
 *
 * Limits: connecting 5 s, an attempt 60 s, an answer 64 MB, headers 256 KB; for
 * an export instead of the 60 s: 300 s to the first byte (Label Studio builds a
 * large one before it sends any), then at least 1 KB/s over 15 s, 64 MB a task and
 * no limit on the whole.  Connection failures, 429 and 5xx are tried three times,
 * with a pause of about 2 and 4 s or what Retry-After says, up to 60 s.  A call
 * that changes something is repeated only where it was not carried out: no
 * connection, or 429.
 *
 * Errors of all calls: ERR_AUTH (401: the key is no good, don't try again),
 * ERR_NOT_FOUND (404), ERR_STOPPED (the cancel function said so), ERR_MEMORY, and
 * ERR_REMOTE for all else, each with one sentence that names the cause.
 */
#ifndef STUDIO_LS_API_H
#define STUDIO_LS_API_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct ls_api;

#define LS_ANSWER_BYTES_MAX ((size_t)64 << 20)

/*
 * url: "http://host[:port][/prefix]", http or https, without credentials.
 * key: legacy token, personal access token or access token; which of them is
 * seen from its form.  Both are copied.  Connects to nothing yet.
 * ERR_USAGE when one of them can't be right.  Close with ls_api_close().
 */
int  ls_api_open(struct ls_api **api, const char *url, const char *key, struct err *e);
void ls_api_close(struct ls_api *api);                      /* NULL allowed */

/* The same without a key, for what Label Studio tells anybody: is it there? */
int  ls_api_open_keyless(struct ls_api **api, const char *url, struct err *e);

/* For a person who waits: one attempt a call, of at most so many milliseconds. */
void ls_api_hurry(struct ls_api *api, long ms);

/* What the key is, by its form.  *exp_s: its end, Unix time; 0: not told. */
enum ls_key { LS_KEY_NONE, LS_KEY_LEGACY, LS_KEY_PERSONAL, LS_KEY_ACCESS };
enum ls_key ls_api_key(const struct ls_api *api, int64_t *exp_s);

/* cancelled(arg) is asked ten times a second or more; true ends the call at hand
 * and all later ones with ERR_STOPPED. */
void ls_api_cancel(struct ls_api *api, bool (*cancelled)(void *arg), void *arg);

/* How long an attempt of later calls may take, where Label Studio is known to be slow. */
void ls_api_patience(struct ls_api *api, long ms);

/*
 * Any call.  method: GET, POST, PUT, PATCH or DELETE.  path: begins with a slash,
 * what follows the url; query included.  body: JSON, or an empty span for none.
 * The body of a 2xx answer is appended to *answer, unchecked; on failure *answer
 * is as before.  Its limit is the buffer's own, at most LS_ANSWER_BYTES_MAX.
 */
int ls_api_request(struct ls_api *api, const char *method, const char *path, struct span body,
                   struct buf *answer, struct err *e);

/* HTTP status of the last answer that came; 0: none came. */
long ls_api_status(const struct ls_api *api);

/* More of the last attempt, for who looks for causes. */
enum ls_trouble {
	LS_ANSWERED,           /* with a status, whichever */
	LS_NO_HOST, LS_NO_CONNECTION, LS_NO_ANSWER,
	LS_NO_TLS,             /* what answers does not speak it, or not ours */
	LS_CERTIFICATE,        /* it is none that this machine trusts */
	LS_NOT_HTTP
};
struct ls_last {
	enum ls_trouble trouble;
	int64_t         date_s;            /* Label Studio's clock (Date); 0: not told */
	int64_t         at_s;              /* and ours when that came */
	bool            legacy_disabled;   /* 401, since legacy tokens are off */
	char            redirect[512];     /* where a 3xx leads; "" */
};
const struct ls_last *ls_api_last(const struct ls_api *api);

struct ls_project {
	int64_t     id;
	int64_t     created_s;          /* Unix time: the part behind the dot in /setup's project */
	struct span title, label_config;
};

/* GET /api/projects/{id}/.  The texts live in the arena. */
int ls_api_project(struct ls_api *api, int64_t id, struct arena *a, struct ls_project *project,
                   struct err *e);

/*
 * GET /api/projects/{id}/export?exportType=JSON: every task with an annotation,
 * skipped ones included, one at a time as they come.  task: a JSON object,
 * checked, borrowed until each() returns; each() returns 0, or -1 with *e set,
 * which ends the export with that error.
 *
 * 0 only when the array was whole: after -1 each() may have seen some tasks, and
 * that others did not come says nothing about them.  It is never called again for
 * a task within one export.
 */
int ls_api_export(struct ls_api *api, int64_t project,
                  int (*each)(void *arg, struct span task, struct err *e), void *arg,
                  struct err *e);

#endif
