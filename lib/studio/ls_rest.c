/* ls_rest.c - Label Studio's objects. */
#include "studio/ls_rest.h"

#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>

#define PAGE_SIZE  100          /* the most that Label Studio gives of projects at once */
#define PAGES_MAX  10000        /* a million objects: more is a list that does not end */
#define PATH_BYTES 1024

static int __attribute__((format(printf, 3, 0)))
format_path(char path[PATH_BYTES], struct err *e, const char *fmt, va_list ap)
{
	int n = vsnprintf(path, PATH_BYTES, fmt, ap);

	return n < 0 || n >= PATH_BYTES ? err_set(e, ERR_USAGE, "a path of Label Studio's API is too long") : 0;
}

/* Of a 204 nothing comes. */
static int check_answer(const struct buf *answer, const char *method, const char *path, struct span *value, struct err *e)
{
	*value = LS_NO_BODY;
	if (answer->len == 0 || json_check(buf_span(answer), value, NULL) == 0)
		return 0;
	return err_set(e, ERR_REMOTE, "Label Studio's answer to %s %.60s is not JSON", method, path);
}

int ls_rest(struct ls_api *api, const char *method, struct span body, struct arena *a, struct span *answer,
            struct err *e, const char *fmt, ...)
{
	struct span value;
	struct buf  b;
	va_list     ap;
	char        path[PATH_BYTES];
	int         rc;

	va_start(ap, fmt);
	rc = format_path(path, e, fmt, ap);
	va_end(ap);
	if (rc < 0)
		return -1;
	buf_init(&b, LS_ANSWER_BYTES_MAX);
	rc = ls_api_request(api, method, path, body, &b, e);
	if (rc == 0 && answer != NULL && (rc = check_answer(&b, method, path, &value, e)) == 0) {
		*answer = value;
		if (value.p != NULL && (answer->p = arena_copy(a, value)) == NULL)
			rc = err_memory(e);
	}
	buf_clear(&b);
	return rc;
}

/* The list within an answer; *more: there may be another page. */
static int list_of(struct span answer, size_t seen, struct span *list, bool *more)
{
	struct span next;
	int64_t     total;

	*more = false;
	*list = answer;
	if (json_member(answer, "results", list) == 0)
		*more = json_member(answer, "next", &next) == 0 && json_type(next) == JSON_STRING && json_count(*list) > 0;
	else if (json_member(answer, "tasks", list) == 0)
		*more = (total = ls_rest_int(answer, "total")) > 0 && seen + json_count(*list) < (uint64_t)total &&
		        json_count(*list) > 0;
	return json_type(*list) == JSON_ARRAY ? 0 : -1;
}

int ls_rest_each(struct ls_api *api, int (*each)(void *arg, struct span one, struct err *e), void *arg, struct err *e,
                 const char *fmt, ...)
{
	struct json_iter it;
	struct span      answer, list, one;
	struct buf       b;
	va_list          ap;
	char             path[PATH_BYTES], paged[PATH_BYTES + 64];
	size_t           seen = 0;
	bool             more = true;
	int              rc;

	va_start(ap, fmt);
	rc = format_path(path, e, fmt, ap);
	va_end(ap);
	buf_init(&b, LS_ANSWER_BYTES_MAX);
	for (int page = 1; rc == 0 && more; page++) {
		snprintf(paged, sizeof paged, "%s%cpage=%d&page_size=%d", path, strchr(path, '?') == NULL ? '?' : '&', page,
		         PAGE_SIZE);
		buf_reset(&b);
		if (page > PAGES_MAX) {
			rc = err_set(e, ERR_REMOTE, "Label Studio's list %.60s does not end", path);
			break;
		}
		if (ls_api_request(api, "GET", paged, LS_NO_BODY, &b, e) < 0 || check_answer(&b, "GET", path, &answer, e) < 0) {
			rc = -1;
			break;
		}
		if (list_of(answer, seen, &list, &more) < 0) {
			rc = err_set(e, ERR_REMOTE, "Label Studio's answer to GET %.60s is not a list", path);
			break;
		}
		for (it = json_each(list); rc == 0 && json_next(&it, NULL, &one); seen++)
			rc = each(arg, one, e);
	}
	buf_clear(&b);
	return rc;
}

void ls_rest_put_encoded(struct buf *b, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.')
			buf_addc(b, (char)c);
		else
			buf_addf(b, "%%%02X", c);
	}
}

int64_t ls_rest_int(struct span object, const char *key)
{
	struct span value;
	int64_t     n;

	return json_member(object, key, &value) == 0 && json_int(value, INT64_MIN, INT64_MAX, &n) == 0 ? n : 0;
}

bool ls_rest_true(struct span object, const char *key)
{
	struct span value;

	return json_member(object, key, &value) == 0 && json_true(value);
}

struct span ls_rest_text(struct span object, const char *key, struct arena *a)
{
	struct span value, text;

	if (json_member(object, key, &value) != 0 || json_text(value, a, &text, NULL) != 0 ||
	    (text.p = arena_copy(a, text)) == NULL)
		return LS_NO_BODY;
	return text;
}
