/* auth.c - basic auth and the webhook secret. */
#include "web/auth.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/meter.h"
#include "base/span.h"

#include <sodium.h>
#include <strings.h>

/* Longer ones are wrong without a look: the web server's limit of a header. */
#define HEADER_MAX 8192

static void hash(const struct auth *a, struct span text, unsigned char out[AUTH_HASH_BYTES])
{
	crypto_generichash(out, AUTH_HASH_BYTES, (const unsigned char *)text.p, text.len,
	                   a->key, sizeof a->key);
}

static bool same(const struct auth *a, struct span text, const unsigned char want[AUTH_HASH_BYTES])
{
	unsigned char got[AUTH_HASH_BYTES];

	hash(a, text, got);
	return sodium_memcmp(got, want, sizeof got) == 0;
}

void auth_init(struct auth *a, const struct env *env)
{
	*a = (struct auth){ .basic = env->auth_user != NULL, .secret = env->webhook_secret != NULL };
	randombytes_buf(a->key, sizeof a->key);
	hash(a, span_of(env->auth_user), a->user);
	hash(a, span_of(env->auth_pass), a->pass);
	hash(a, span_of(env->webhook_secret), a->webhook);
}

/* libsodium (1.0.18) takes each byte from 0x80 on for a '/'. */
static bool is_ascii(const char *s)
{
	while (*s != '\0' && (unsigned char)*s < 0x80)
		s++;
	return *s == '\0';
}

bool auth_basic(const struct auth *a, const char *authorization)
{
	char        text[HEADER_MAX];
	const char *base64, *colon;
	size_t      len, user_len;
	bool        user_ok, pass_ok;

	if (!a->basic || authorization == NULL || strncasecmp(authorization, "Basic ", 6) != 0)
		return false;
	base64 = authorization + 6 + strspn(authorization + 6, " ");
	if (!is_ascii(base64) ||
	    sodium_base642bin((unsigned char *)text, sizeof text, base64, strlen(base64), NULL, &len, NULL,
	                      sodium_base64_VARIANT_ORIGINAL) != 0)
		return false;
	colon = memchr(text, ':', len);
	if (colon == NULL)
		return false;
	/* By their lengths, so that a NUL inside is a wrong character like any other. */
	user_len = (size_t)(colon - text);
	/* Both always: a wrong user takes as long as a wrong password. */
	user_ok = same(a, (struct span){ text, user_len }, a->user);
	pass_ok = same(a, (struct span){ colon + 1, len - user_len - 1 }, a->pass);
	sodium_memzero(text, len);
	return (int)user_ok & (int)pass_ok;
}

bool auth_secret(const struct auth *a, const char *secret)
{
	return a->secret && secret != NULL && same(a, span_of(secret), a->webhook);
}

#define TELL_S 60

void auth_webhook_refused(void)
{
	const uint64_t now = (uint64_t)clock_s();

	meter_mark(METER_REFUSED_S, now);
	if (meter_turn(METER_TOLD_S, now, TELL_S))
		log_line(LOG_WARNING, "a webhook was refused, and its event is lost: " AUTH_WEBHOOK_CURE);
}
