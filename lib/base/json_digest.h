/*
 * json_digest.h - do two JSON documents say the same?
 *
 * Neither white space, nor escapes, nor the order of keys, nor the way of writing a
 * number counts: Label Studio prints the same annotation differently in an event and
 * in an export, and a database that keeps documents as trees reorders keys.
 */
#ifndef BASE_JSON_DIGEST_H
#define BASE_JSON_DIGEST_H

#include "base/span.h"

#include <stdbool.h>

#define JSON_DIGEST_BYTES 16

/* value: checked (json.h).  Of this machine alone: not to be stored.  Cost: O(bytes). */
void json_digest(struct span value, unsigned char out[JSON_DIGEST_BYTES]);

/* Both checked; p NULL (nothing) is the same as nothing. */
bool json_same(struct span a, struct span b);

#endif
