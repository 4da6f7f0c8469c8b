/*
 * auth.c - the Authorization header and the webhook secret.
 *
 * Input: a line with the user, one with the password, the rest is the header.  It is
 * right exactly when it is "Basic", spaces, and the base64 of user:password.
 */
#include "fuzz.h"

#include "web/auth.h"

#include <sodium.h>
#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(sodium_init() >= 0);
	return 0;
}

static bool is_right(const char *header, const char *user, const char *pass)
{
	const size_t user_len = strlen(user), len = user_len + 1 + strlen(pass);
	const size_t max = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL);
	char        *pair = malloc(len + 1), *base64 = malloc(max);
	bool         right;

	must(pair != NULL && base64 != NULL);
	memcpy(pair, user, user_len);
	pair[user_len] = ':';
	memcpy(pair + user_len + 1, pass, len - user_len);
	sodium_bin2base64(base64, max, (unsigned char *)pair, len, sodium_base64_VARIANT_ORIGINAL);
	right = strncasecmp(header, "basic ", 6) == 0 && strcmp(header + 6 + strspn(header + 6, " "), base64) == 0;
	free(pair);
	free(base64);
	return right;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	char             *user = fuzz_text(fuzz_take_line(&in)), *pass = fuzz_text(fuzz_take_line(&in));
	char             *header = fuzz_text((struct span){ (const char *)in.p, in.left });
	struct env        env = { .auth_user = user, .auth_pass = pass, .webhook_secret = pass };
	struct auth       auth;

	/* A name with a colon is refused at the start; longer pairs fit no header. */
	if (strchr(user, ':') == NULL && strlen(user) + strlen(pass) < 4096) {
		auth_init(&auth, &env);
		must(auth_basic(&auth, header) == is_right(header, user, pass));
		must(auth_secret(&auth, header) == (strcmp(header, pass) == 0));
		must(!auth_basic(&auth, NULL) && !auth_secret(&auth, NULL));
		env = (struct env){ 0 };
		auth_init(&auth, &env);
		must(!auth_basic(&auth, header) && !auth_secret(&auth, header));
	}
	free(user);
	free(pass);
	free(header);
	return 0;
}
