/*
 * json.h - strict JSON (RFC 8259): one check, then views into the checked bytes.
 *
 * Everything that comes from outside passes json_check() once.  After that a
 * value is a span of the checked text, without white space around it, and the
 * functions below read it in place: no tree, no allocation but for strings that
 * hold escapes.  Never call them on bytes that were not checked.
 *
 * Stricter than json-c's strict mode, which takes NaN, Infinity, 'single
 * quotes', raw control characters and bytes behind a NUL, cuts keys at \u0000
 * and saturates integers.  json-c serves for documents that we build or hand on.
 *
 * Of duplicate keys the last one counts (as in Python and json-c).  A lone
 * surrogate escape reads as U+FFFD.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 64

enum json_type {
	JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT
};

/* text: one JSON value, white space around it allowed; valid UTF-8; nested at
 * most JSON_DEPTH_MAX deep.  *value gets it without the white space.  -1 with
 * ERR_SYNTAX ("not JSON: … at byte 17") otherwise.  Cost: one pass. */
int json_check(struct span text, struct span *value, struct err *e);

/* The length of the first JSON value at the start of text: > 0 complete (bytes
 * including the white space before it), 0 more bytes are needed (a number ends
 * only with a byte behind it), -1 not JSON.  Only brackets and strings are
 * followed: json_check() the value before reading it.  Each call begins anew;
 * for a value that comes in many chunks keep a struct json_scan. */
int64_t json_complete(struct span text);

/* The same, going on from chunk to chunk.  Begin at the first byte of a value;
 * json_scan() gives how many bytes belong to it, all while !s->done. */
struct json_scan {
	size_t depth;                   /* open brackets */
	bool   string, escape, scalar;  /* inside of a string, behind its backslash; of a number or word */
	bool   done;                    /* the value is complete */
};
void   json_scan_init(struct json_scan *s);
size_t json_scan(struct json_scan *s, struct span bytes);

/*
 * The elements of an array that comes in chunks of any size, such as an export of
 * 100,000 tasks, one at a time: each is checked (json_check) and handed to each(),
 * borrowed until that returns.  Strict about what stands around them.
 *
 *	json_splitter_init(&s, 64 << 20, on_task, &import);
 *	while ((n = read(…)) > 0)
 *		if (json_splitter_feed(&s, (struct span){ chunk, n }, e) < 0) …
 *	rc = json_splitter_end(&s, e);
 *	json_splitter_clear(&s);
 *
 * -1: ERR_SYNTAX; ERR_TOO_LARGE for an element of more than element_max bytes;
 * ERR_MEMORY; or what each() set.  After a failure only clear() may follow.
 * Memory: one element at most, none where it lies in a single chunk.
 */
struct json_splitter {
	int  (*each)(void *arg, struct span element, struct err *e);
	void  *arg;
	struct json_scan scan;     /* of the element at hand */
	struct buf       element;  /* its bytes of earlier chunks */
	size_t           count;    /* elements handed out */
	size_t           seen;     /* bytes fed */
	int              state;
};
void json_splitter_init(struct json_splitter *s, size_t element_max,
                        int (*each)(void *arg, struct span element, struct err *e), void *arg);
int  json_splitter_feed(struct json_splitter *s, struct span bytes, struct err *e);
int  json_splitter_end(const struct json_splitter *s, struct err *e);     /* -1: it was cut off */
void json_splitter_clear(struct json_splitter *s);

enum json_type json_type(struct span value);

/* Member of an object: 0 found, 1 absent or `object` is no object.  Of a key that is
 * there twice the last one counts. */
int json_member(struct span object, const char *key, struct span *value);

/* The same for n of them in one pass over the object: value[i].p is NULL where key[i]
 * is absent. */
void json_members(struct span object, const char *const key[], size_t n, struct span value[]);

/* Elements of an array or members of an object, in order:
 *
 *	struct json_iter it = json_each(value);
 *	while (json_next(&it, &key, &element)) …       (key NULL for arrays)
 *
 * Nothing is found in other types.  key is raw: compare with json_is(). */
struct json_iter {
	const char *p, *end;
	bool        object;
};
struct json_iter json_each(struct span value);
bool             json_next(struct json_iter *it, struct span *key, struct span *value);
size_t           json_count(struct span array);

/* A string's text, UTF-8, may hold NUL.  Borrowed from the document where it has
 * no escape, else from the arena.  0; 1 when value is no string; -1 ERR_MEMORY. */
int json_text(struct span value, struct arena *a, struct span *text, struct err *e);

/* Is it the string s (escapes resolved)? */
bool json_is(struct span value, struct span s);

/* An integer within min..max, written without fraction or exponent.
 * 0, or -1 when value is anything else.  Never saturates. */
int json_int(struct span value, int64_t min, int64_t max, int64_t *n);

/* A finite number.  0, or -1. */
int json_real(struct span value, double *x);

/* true exactly for the value `true`. */
bool json_true(struct span value);

/* Printing.  Text that is not UTF-8 comes out as U+FFFD; real must be finite
 * (others print as 0) and comes out as the shortest decimal that reads back. */
void json_put_text(struct buf *b, struct span text);        /* with quotes */
void json_put_real(struct buf *b, double real);
void json_put_int(struct buf *b, int64_t n);

#endif
