/*
 * address.h - the addresses under which Label Studio has backends and webhooks, compared.
 *
 * Two lead to the same place where host and path are the same.  The scheme does not
 * count (before the same port there is one server), nor do user and password, the
 * host's letters large or small, slashes at the end.
 */
#ifndef STUDIO_ADDRESS_H
#define STUDIO_ADDRESS_H

#include "base/span.h"

#include <stdbool.h>

/* "http://user:pass@host:port/path/", borrowed from the url; a p of NULL counts as "". */
struct address {
	struct span userinfo;      /* "user:pass", as it is written; len 0: none */
	struct span host;          /* "host:port" */
	struct span path;          /* "/path/" or "" */
};
struct address address_of(struct span url);

/* Is it `base`, with `behind` ("/webhook", or "") behind its path? */
bool address_is(struct span url, struct span base, const char *behind);

/* Is the host one that means the asker's own machine? */
bool address_is_loopback(struct span url);

/* Without slashes at its end. */
struct span address_trimmed(struct span url);

#endif
