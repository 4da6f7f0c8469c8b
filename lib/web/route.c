/*
 * route.c - which handler a request goes to, and its query string.
 *
 * The path is SCRIPT_NAME and PATH_INFO, which the web server has decoded and
 * cleaned of "." and ".." (reliability.md R11), never REQUEST_URI.
 */
#include "web/route.h"

#include <stdio.h>

static const char *const method_names[METHOD__MAX] = { [GET] = "GET, HEAD", [POST] = "POST" };

static bool is_method(enum method method, const char *name)
{
	if (method == GET)
		return strcmp(name, "GET") == 0 || strcmp(name, "HEAD") == 0;
	return strcmp(name, "POST") == 0;
}

struct route_match route_find(const struct service *service, struct span path, const char *method)
{
	struct route_match m = { 0 };

	for (size_t i = 0; i < service->n_routes; i++) {
		const struct route *r = &service->routes[i];
		size_t              at = strlen(m.allow);

		if (!span_is(path, r->path))
			continue;
		m.path_known = true;
		m.flags |= r->flags;
		if (m.route == NULL && ((r->flags & ROUTE_ANY) != 0 || is_method(r->method, method)))
			m.route = r;
		snprintf(m.allow + at, sizeof m.allow - at, "%s%s", at == 0 ? "" : ", ",
		         (r->flags & ROUTE_ANY) != 0 ? "GET, HEAD, POST" : method_names[r->method]);
	}
	return m;
}

int route_path(struct request *req, struct err *e)
{
	struct span script = span_of(request_param(req, "SCRIPT_NAME"));
	struct span info = span_of(request_param(req, "PATH_INFO"));
	char       *path = arena_alloc(req->arena, script.len + info.len + 1);

	if (path == NULL)
		return err_memory(e);
	if (script.len > 0)
		memcpy(path, script.p, script.len);
	if (info.len > 0)
		memcpy(path + script.len, info.p, info.len);
	path[script.len + info.len] = '\0';
	req->path = (struct span){ path, script.len + info.len };
	return 0;
}

const char *request_param(const struct request *req, const char *name)
{
	const size_t len = strlen(name);

	for (char *const *p = req->params; *p != NULL; p++)
		if (strncmp(*p, name, len) == 0 && (*p)[len] == '=')
			return *p + len + 1;
	return NULL;
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int percent_decode(struct span raw, char *out, size_t *len)
{
	*len = 0;
	for (size_t i = 0; i < raw.len; i++) {
		char c = raw.p[i] == '+' ? ' ' : raw.p[i];

		if (c == '%') {
			int high = i + 1 < raw.len ? hex_value(raw.p[i + 1]) : -1;
			int low = i + 2 < raw.len ? hex_value(raw.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -1;
			c = (char)(high << 4 | low);
			i += 2;
		}
		out[(*len)++] = c;
	}
	return 0;
}

int request_query(const struct request *req, const char *key, struct span *value, struct err *e)
{
	struct span rest = req->query;

	while (rest.len > 0) {
		const char *amp = memchr(rest.p, '&', rest.len), *equals;
		struct span pair = { rest.p, amp == NULL ? rest.len : (size_t)(amp - rest.p) }, name = pair, raw;
		char       *out;
		size_t      len;

		rest.p += pair.len;
		rest.len -= pair.len;
		if (rest.len > 0) {
			rest.p++;
			rest.len--;
		}
		equals = pair.len == 0 ? NULL : memchr(pair.p, '=', pair.len);
		if (equals != NULL)
			name.len = (size_t)(equals - pair.p);
		if (!span_is(name, key))
			continue;
		raw = equals == NULL ? (struct span){ "", 0 } :
		      (struct span){ equals + 1, pair.len - name.len - 1 };
		out = arena_alloc(req->arena, raw.len + 1);
		if (out == NULL)
			return err_memory(e);
		if (percent_decode(raw, out, &len) < 0)
			return err_set(e, ERR_SHAPE, "query: %s: a %% without two hexadecimal digits", key);
		out[len] = '\0';
		*value = (struct span){ out, len };
		return 0;
	}
	return 1;
}
