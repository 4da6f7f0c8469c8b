/* predict.c - tasks in, predictions out. */
#include "predict.h"

#include "base/json.h"
#include "base/meter.h"
#include "request.h"
#include "studio/object_text.h"
#include "studio/prediction.h"

/* The project a request names, if it is known: 0, 1 unknown, -1. */
static int find_project(struct request *req, struct span project, struct project *p, struct err *e)
{
	int64_t id, created_s;
	int     rc = request_project_of(req, project, "project", &id, &created_s, e);

	return rc == 0 ? context_project(request_context(req), id, created_s, p, e) : rc;
}

static int read_task(struct span json, size_t i, struct task *t, struct err *e)
{
	if (json_type(json) != JSON_OBJECT)
		return err_set(e, ERR_SHAPE, "tasks[%zu] is not an object", i);
	t->json = json;
	if (json_member(json, "data", &t->data) != 0)
		return err_set(e, ERR_SHAPE, "tasks[%zu].data is missing", i);
	if (json_type(t->data) != JSON_OBJECT)
		return err_set(e, ERR_SHAPE, "tasks[%zu].data is not an object", i);
	return 0;
}

#define BATCH_BYTES ((size_t)16 << 20)
#define SPENT_BYTES (1 << 20)       /* worth a call */

/* The answer grows as the tasks are worked through, and these are given back: memory is
 * the body and no more, however many tasks there are. */
static int put_results(const struct request *req, const struct serving *s, struct span tasks, struct span context,
                       struct arena *scratch, struct buf *out, struct err *e)
{
	const char       *spent = tasks.p;
	struct json_iter  it = json_each(tasks);
	const size_t      most = serving_batch(s);
	size_t            done = 0, n, bytes;
	struct span       json;
	struct prediction p[SERVING_BATCH_MAX];
	struct task       t[SERVING_BATCH_MAX];

	buf_adds(out, "{\"results\":[");
	do {
		for (n = bytes = 0; n < most && bytes < BATCH_BYTES && json_next(&it, NULL, &json); n++) {
			if (read_task(json, done + n, &t[n], e) < 0)
				return -1;
			bytes += json.len;
		}
		if (n > 0 && serving_predict_batch(s, t, n, context, scratch, p, e) < 0)
			return -1;
		for (size_t i = 0; i < n; i++) {
			if (done + i > 0)
				buf_addc(out, ',');
			prediction_put_json(&p[i], s->version, out);
		}
		done += n;
		/* What these took is free for the next: 100,000 of them need no more. */
		arena_reset(scratch);
		if (it.p - spent > SPENT_BYTES) {
			request_spent(req, (struct span){ spent, (size_t)(it.p - spent) });
			spent = it.p;
		}
	} while (n > 0);
	buf_adds(out, "]}");
	if (buf_check(out, "the answer", e) < 0)
		return -1;
	meter_add(METER_TASKS, done);
	return 0;
}

/* A larger request comes by so much of a model that it is faster loaded. */
#define ONCE_BYTES ((size_t)16 << 10)

/* Results from what answers now.  A process of one request reads the model in part;
 * where what it reads is not right, what comes of the whole one counts. */
static int answer(struct request *req, struct store *st, const struct project *p, struct span config,
                  struct span tasks, struct span context, struct reply *reply, struct err *e)
{
	struct context *c = request_context(req);
	struct serving *s = NULL;
	bool            once = req->once && tasks.len <= ONCE_BYTES;
	int             rc;

	for (;;) {
		rc = once ? serving_get_once(st, c->env, p, config, &s, e) : serving_get(st, c->env, p, config, &s, e);
		if (rc < 0) {
			context_failed(c, e);
			return -1;
		}
		rc = put_results(req, s, tasks, context, &c->scratch, &reply->body, e);
		once = s->in_part;
		serving_release(s);
		arena_reset(&c->scratch);
		if (rc == 0 || !once || (e->code != ERR_DAMAGED && e->code != ERR_STORE))
			return rc;
		once = false;
		buf_reset(&reply->body);
		err_clear(e);
	}
}

int predict_tasks(struct request *req, struct reply *reply, struct err *e)
{
	static const char *const member[] = { "tasks", "project", "label_config", "params" };
	enum { TASKS, PROJECT, CONFIG, PARAMS, MEMBERS };
	struct context *c = request_context(req);
	struct span     body, in[MEMBERS], config, context = { NULL, 0 };
	struct project  project;
	struct store   *st;
	int             known, rc;

	if (request_object(req, &body, e) < 0)
		return -1;
	json_members(body, member, MEMBERS, in);
	if (in[TASKS].p == NULL)
		return err_set(e, ERR_SHAPE, "tasks is missing");
	if (json_type(in[TASKS]) != JSON_ARRAY)
		return err_set(e, ERR_SHAPE, "tasks is not an array");
	(void)json_member(in[PARAMS], "context", &context);

	if (context_store(c, &st, e) < 0 || (known = find_project(req, in[PROJECT], &project, e)) < 0 ||
	    (rc = request_text_of(req, in[CONFIG], "label_config", &config, e)) < 0)
		goto fail;
	if (rc == 1) {
		if (known != 0 || project.label_config.p == NULL) {
			err_set(e, ERR_SHAPE, "label_config is missing, and none is known for the project");
			goto fail;
		}
		config = project.label_config;
	}
	return answer(req, st, known == 0 ? &project : NULL, config, in[TASKS], context, reply, e);
fail:
	context_failed(c, e);
	return -1;
}

int predict_text(const struct serving *s, struct span text, struct arena *scratch, struct prediction *p,
                 struct err *e)
{
	static const struct object_tag plain = { .type = "Text", .value = "text" };
	const struct object_tag       *tag = s->config->text == NULL ? &plain : s->config->text;
	struct buf  json;
	struct task t;
	int         rc = -1;

	/* Six bytes at most for one; of HyperText five for a '&'. */
	buf_init(&json, text.len * 6 + strlen(tag->value) * 6 + (tag->text_key == NULL ? 0 : strlen(tag->text_key) * 6) + 64);
	buf_adds(&json, "{\"data\":{");
	json_put_text(&json, span_of(tag->value));
	buf_addc(&json, ':');
	object_put_text(tag, text, &json);
	buf_adds(&json, "}}");
	if (buf_check(&json, "the text", e) == 0) {
		struct span whole = { arena_copy(scratch, buf_span(&json)), json.len };

		if (whole.p == NULL)
			err_memory(e);
		else if (read_task(whole, 0, &t, e) == 0)
			rc = serving_predict(s, &t, (struct span){ NULL, 0 }, scratch, p, e);
	}
	buf_clear(&json);
	return rc;
}
