/* request.c - what the requests of Label Studio have in common. */
#include "request.h"

#include "base/json.h"

int request_object(const struct request *req, struct span *object, struct err *e)
{
	if (json_check(req->body, object, e) < 0)
		return -1;
	if (json_type(*object) != JSON_OBJECT)
		return err_set(e, ERR_SHAPE, "the body is not a JSON object");
	return 0;
}

int request_text_of(const struct request *req, struct span value, const char *key, struct span *text, struct err *e)
{
	int rc;

	if (json_type(value) == JSON_NULL)
		return 1;
	rc = json_text(value, req->arena, text, e);
	return rc == 1 ? err_set(e, ERR_SHAPE, "%s is not a string", key) : rc;
}

int request_text(const struct request *req, struct span object, const char *key, struct span *text, struct err *e)
{
	struct span value;

	json_members(object, &key, 1, &value);
	return request_text_of(req, value, key, text, e);
}

/* Digits up to `end`, positive. */
static int number_of(struct span s, int64_t *n)
{
	*n = 0;
	if (s.len == 0 || s.len > 18)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		*n = *n * 10 + (s.p[i] - '0');
	}
	return 0;
}

static int project_of(struct span text, int64_t *id, int64_t *created_s)
{
	const char *dot = text.len == 0 ? NULL : memchr(text.p, '.', text.len);
	size_t      n = dot == NULL ? text.len : (size_t)(dot - text.p);

	*created_s = STORE_NULL;
	if (number_of((struct span){ text.p, n }, id) < 0 || *id < 1)
		return -1;
	if (dot != NULL && number_of((struct span){ dot + 1, text.len - n - 1 }, created_s) < 0)
		return -1;
	return 0;
}

int request_project_of(const struct request *req, struct span value, const char *key, int64_t *id,
                       int64_t *created_s, struct err *e)
{
	struct span text;
	int         rc;

	if (json_type(value) == JSON_NULL)
		return 1;
	if (json_type(value) == JSON_STRING) {
		rc = json_text(value, req->arena, &text, e);
		if (rc < 0)
			return -1;
	} else {
		text = value;
	}
	if ((json_type(value) != JSON_STRING && json_type(value) != JSON_NUMBER) || project_of(text, id, created_s) < 0)
		return err_set(e, ERR_SHAPE, "%s is not \"ID.SECONDS\"", key);
	return 0;
}

int request_project(const struct request *req, struct span object, const char *key, int64_t *id,
                    int64_t *created_s, struct err *e)
{
	struct span value;

	json_members(object, &key, 1, &value);
	return request_project_of(req, value, key, id, created_s, e);
}

int request_query_number(const struct request *req, const char *key, int64_t *n, struct err *e)
{
	struct span text;
	int         rc = request_query(req, key, &text, e);

	if (rc == 0 && (number_of(text, n) < 0 || *n < 1))
		return err_set(e, ERR_SHAPE, "%s in the query is not a number", key);
	return rc;
}

int request_query_project(const struct request *req, int64_t *id, int64_t *created_s, struct err *e)
{
	struct span text;
	int         rc = request_query(req, "project", &text, e);

	if (rc != 0)
		return rc;
	if (project_of(text, id, created_s) < 0)
		return err_set(e, ERR_SHAPE, "project in the query is not a project's number");
	return 0;
}
