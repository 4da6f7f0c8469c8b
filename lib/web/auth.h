/*
 * auth.h - basic auth (RFC 7617) and the webhook secret.
 *
 * Of the settings only keyed hashes are kept, and hashes of a fixed length are
 * compared in constant time: how long an answer takes says nothing about how
 * much of a password was right, nor about its length.
 */
#ifndef WEB_AUTH_H
#define WEB_AUTH_H

#include "base/env.h"

#include <stdbool.h>

#define AUTH_HASH_BYTES 32

struct auth {
	bool          basic, secret;                  /* configured? */
	unsigned char key[AUTH_HASH_BYTES];           /* random, of this process */
	unsigned char user[AUTH_HASH_BYTES], pass[AUTH_HASH_BYTES], webhook[AUTH_HASH_BYTES];
};

void auth_init(struct auth *a, const struct env *env);    /* sodium_init() came before */

/* Is the value of an Authorization header (NULL: none) the right one?  Strict:
 * one "Basic", padded canonical base64 to its end, no NUL, split at the first
 * colon.  Two headers, joined by ", ", are none.  False when not configured. */
bool auth_basic(const struct auth *a, const char *authorization);

/* Likewise X-Webhook-Secret. */
bool auth_secret(const struct auth *a, const char *secret);

/* A webhook was refused: it is kept when (base/meter.h), and once a minute, of all
 * processes together, the log says what to do. */
void auth_webhook_refused(void);

/* One for all cases: not every program is given WEBHOOK_SECRET. */
#define AUTH_WEBHOOK_CURE \
	"the webhook in Label Studio needs the header X-Webhook-Secret with WEBHOOK_SECRET, or Authorization with basic auth: " \
	"prelabel connect --project N puts it there"

#endif
