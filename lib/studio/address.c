/* address.c - the addresses of backends and webhooks. */
#include "studio/address.h"

#include <strings.h>

struct address address_of(struct span url)
{
	struct address a = { { NULL, 0 }, SPAN(""), SPAN("") };
	const char    *end = url.p == NULL ? NULL : url.p + url.len, *p, *slash, *at;

	if (url.p == NULL)
		return a;
	p = memmem(url.p, url.len, "://", 3);
	p = p == NULL ? url.p : p + 3;
	slash = memchr(p, '/', (size_t)(end - p));
	if (slash == NULL)
		slash = end;
	at = memrchr(p, '@', (size_t)(slash - p));
	if (at != NULL) {
		a.userinfo = (struct span){ p, (size_t)(at - p) };
		p = at + 1;
	}
	a.host = (struct span){ p, (size_t)(slash - p) };
	a.path = (struct span){ slash, (size_t)(end - slash) };
	return a;
}

struct span address_trimmed(struct span url)
{
	while (url.len > 0 && url.p[url.len - 1] == '/')
		url.len--;
	return url;
}

bool address_is(struct span url, struct span base, const char *behind)
{
	const struct address a = address_of(url), b = address_of(base);
	const struct span    path = address_trimmed(a.path), front = address_trimmed(b.path), tail = span_of(behind);

	return a.host.len == b.host.len && strncasecmp(a.host.p, b.host.p, a.host.len) == 0 &&
	       path.len == front.len + tail.len && memcmp(path.p, front.p, front.len) == 0 &&
	       memcmp(path.p + front.len, tail.p, tail.len) == 0;
}

bool address_is_loopback(struct span url)
{
	static const char *const hosts[] = { "localhost", "127.", "[::1]", "0.0.0.0" };
	const struct span        host = address_of(url).host;

	for (size_t i = 0; i < countof(hosts); i++)
		if (host.len >= strlen(hosts[i]) && strncasecmp(host.p, hosts[i], strlen(hosts[i])) == 0)
			return true;
	return false;
}
