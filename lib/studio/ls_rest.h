/*
 * ls_rest.h - Label Studio's objects, for the commands that look at them and change
 * them: connect, disconnect, push, doctor (protocol.md 8).
 *
 * Calls, limits and errors are those of ls_api.h.  Answers are checked JSON, read
 * with base/json.h: what Label Studio sends may lack a member or have it in another
 * type, and then reads as 0, "" or false below.
 */
#ifndef STUDIO_LS_REST_H
#define STUDIO_LS_REST_H

#include "studio/ls_api.h"

#define LS_NO_BODY ((struct span){ NULL, 0 })

/*
 * One call.  path: a format and its arguments, for ls_api_request()'s path.  body:
 * JSON, or LS_NO_BODY.  *answer: the document of a 2xx, in the arena, p NULL for an
 * empty one; NULL where it is not wanted.  ERR_REMOTE too for what is no JSON.
 */
int ls_rest(struct ls_api *api, const char *method, struct span body, struct arena *a, struct span *answer,
            struct err *e, const char *path, ...) __attribute__((format(printf, 7, 8)));

/*
 * GET of a list, all its pages where it comes in pages (protocol.md 8.3): an array, or
 * an object with one as "results" or "tasks".  path: as above; without page and
 * page_size, which are added.  each() gets one element, borrowed during the call; it
 * returns 0, or -1 with *e set, which ends the reading.
 */
int ls_rest_each(struct ls_api *api, int (*each)(void *arg, struct span one, struct err *e), void *arg, struct err *e,
                 const char *path, ...) __attribute__((format(printf, 5, 6)));

/* Into a path's query. */
void ls_rest_put_encoded(struct buf *b, struct span text);

/* Members of an object. */
int64_t     ls_rest_int(struct span object, const char *key);
bool        ls_rest_true(struct span object, const char *key);
struct span ls_rest_text(struct span object, const char *key, struct arena *a);   /* p NULL: no text, or no memory */

#endif
