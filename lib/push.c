/* push.c - predictions written to Label Studio, of all its open tasks. */
#include "push.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "studio/ls_rest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE         500                     /* tasks asked for at once; fewer where they are large */
#define REQUEST      500                     /* predictions in one request, at first */
#define REQUEST_MAX  20000
#define REQUEST_BYTES ((size_t)24 << 20)
#define SLOW_S       3.0                     /* a request that takes longer makes the next one larger */
#define PATIENCE_MS  600000                  /* of one */
#define SETTLE_S     60                      /* what was sent and not answered has happened by then, or won't */
#define ARENA_BYTES  ((size_t)256 << 20)

struct pushing {
	struct store              *st;
	const struct env          *env;
	const struct push_options *opt;
	struct push_result        *result;
	struct ls_api             *api;
	struct arena               arena;       /* of a pass */
	struct arena               scratch;     /* of a batch */
	struct project             p;           /* as it was when the pass began */
	struct span                config;      /* Label Studio's */
	struct serving            *s;
	bool                       order;       /* Label Studio's queue is to be in the order of our scores */
	bool                       automatic;   /* listing makes Label Studio ask for predictions first */
	int64_t                    after;       /* the last task that was looked at; tasks come by id */
	int64_t                    total;       /* that lacked the version when the pass began; -1: not known yet */
	size_t                     page, limit; /* of tasks, of predictions in a request */
	struct buf                 answer;      /* a page */
	struct buf                 body;        /* the request that is being filled */
	size_t                     n_body;
	int64_t                    before;      /* value of `after` at its beginning */
	int64_t                    last;        /* its last task */
};

static bool goes_on(const struct pushing *x)
{
	return x->opt->keep_going == NULL || x->opt->keep_going(x->opt->arg);
}

static bool cancelled(void *arg)
{
	return !goes_on(arg);
}

static int stop(struct err *e)
{
	return err_set(e, ERR_STOPPED, "stopped");
}

static void show(const struct pushing *x, const char *what)
{
	double share = x->total > 0 ? (double)x->result->open / (double)x->total : 0;

	if (x->opt->show != NULL)
		x->opt->show(x->opt->show_arg, what, share > 1 ? 1 : share);
}

/* ---- which tasks ----------------------------------------------------------------- */

static void put_filter(struct buf *b, const char *field, const char *operator, const char *type)
{
	buf_addf(b, "{\"filter\":\"filter:tasks:%s\",\"operator\":\"%s\",\"type\":\"%s\",\"value\":", field, operator, type);
}

/*
 * GET of tasks without a prediction of `version`, by the Data Manager's filter: those
 * that are open and behind `after`, or the one task `only`.  By id and from the first
 * page always: what is written meanwhile moves nothing.  Nothing but the tasks comes
 * back; Label Studio takes a few milliseconds a task even so.
 */
static int list(struct pushing *x, const char *version, int64_t only, size_t size, struct span *tasks, int64_t *total,
                struct err *e)
{
	struct buf  query, path;
	struct span whole;
	int         rc = -1;

	buf_init(&query, 4096);
	buf_init(&path, 16384);
	buf_reset(&x->answer);
	buf_adds(&query, "{\"filters\":{\"conjunction\":\"and\",\"items\":[");
	put_filter(&query, "predictions_model_versions", "not_contains", "List");
	buf_addc(&query, '[');
	json_put_text(&query, span_of(version));
	buf_adds(&query, "]},");
	put_filter(&query, "id", only > 0 ? "equal" : "greater", "Number");
	buf_addf(&query, "%lld}", (long long)(only > 0 ? only : x->after));
	if (only <= 0) {
		buf_addc(&query, ',');
		put_filter(&query, "is_labeled", "equal", "Boolean");
		buf_adds(&query, "\"false\"}");
	}
	buf_adds(&query, "]},\"ordering\":[\"tasks:id\"]}");
	buf_addf(&path, "/api/tasks?project=%lld&page=1&page_size=%zu&resolve_uri=false&query=", (long long)x->p.id, size);
	ls_rest_put_encoded(&path, buf_span(&query));
	if (buf_check(&query, "a query", e) < 0 || buf_check(&path, "a query", e) < 0 ||
	    ls_api_request(x->api, "GET", path.p, LS_NO_BODY, &x->answer, e) < 0)
		goto out;
	if (json_check(buf_span(&x->answer), &whole, NULL) < 0 || json_member(whole, "tasks", tasks) != 0 ||
	    json_type(*tasks) != JSON_ARRAY) {
		err_set(e, ERR_REMOTE, "Label Studio's answer to GET /api/tasks is no list of tasks");
		goto out;
	}
	*total = ls_rest_int(whole, "total");
	rc = 0;
out:
	buf_clear(&query);
	buf_clear(&path);
	return rc;
}

/* One page; smaller ones where the answer is too large. */
static int list_page(struct pushing *x, size_t size, struct span *tasks, int64_t *total, struct err *e)
{
	struct err why = { 0 };

	/* The setting makes Label Studio predict, and store, for those that have no
	 * prediction at all, and list them then as they were before. */
	if (x->automatic && list(x, x->result->version, 0, size, tasks, total, e) < 0)
		return -1;
	while (list(x, x->result->version, 0, size, tasks, total, &why) < 0) {
		if (why.code != ERR_REMOTE || ls_api_status(x->api) != 200 || size <= 1)
			return err_set(e, why.code, "%s", why.msg);
		x->page = size = size / 2;
		err_clear(&why);
	}
	return 0;
}

/* ---- what is predicted ------------------------------------------------------------- */

static void put_prediction(struct pushing *x, int64_t task, const struct prediction *p)
{
	size_t at;

	buf_addc(&x->body, x->n_body == 0 ? '[' : ',');
	buf_addf(&x->body, "{\"task\":%lld", (long long)task);
	at = x->body.len;
	prediction_put_json(p, x->s->version, &x->body);
	if (x->body.failed == ERR_OK)
		x->body.p[at] = ',';    /* in place of its brace */
	x->n_body++;
	x->last = task;
}

/* The next task of a page that is to be predicted; false: there is none. */
static bool next_task(struct pushing *x, struct json_iter *it, struct task *t, int64_t *id)
{
	while (json_next(it, NULL, &t->json)) {
		*id = ls_rest_int(t->json, "id");
		/* A Label Studio that does not know the filter must not be written to twice. */
		if (*id <= x->after)
			continue;
		x->after = *id;
		if (!ls_rest_true(t->json, "is_labeled") && json_member(t->json, "data", &t->data) == 0 &&
		    json_type(t->data) == JSON_OBJECT)
			return true;
	}
	return false;
}

static int predict_page(struct pushing *x, struct span tasks, struct err *e)
{
	struct json_iter  it = json_each(tasks);
	struct prediction p[SERVING_BATCH_MAX];
	struct task       t[SERVING_BATCH_MAX];
	int64_t           id[SERVING_BATCH_MAX];
	size_t            n;

	do {
		for (n = 0; n < SERVING_BATCH_MAX && next_task(x, &it, &t[n], &id[n]); n++)
			;
		if (n > 0 && serving_predict_batch(x->s, t, n, (struct span){ NULL, 0 }, &x->scratch, p, e) < 0)
			return -1;
		for (size_t i = 0; i < n; i++)
			put_prediction(x, id[i], &p[i]);
		x->result->open += (int64_t)n;
		arena_reset(&x->scratch);
		if (!goes_on(x))
			return stop(e);
	} while (n > 0);
	return buf_check(&x->body, "a request", e);
}

/* ---- what is written --------------------------------------------------------------- */

/* Waits for a request whose answer never came: Label Studio carries on without us.
 * The predictions of one are stored at once, so its last task stands for all.
 * 0: they are there; 1: they are not, at `until`. */
static int settle(struct pushing *x, const char *version, int64_t task, int64_t until, struct err *e)
{
	struct span tasks;
	int64_t     total;

	for (;;) {
		if (list(x, version, task, 1, &tasks, &total, e) < 0)
			return -1;
		if (total == 0 || clock_s() >= until)
			return total == 0 ? 0 : 1;
		show(x, "waiting for what Label Studio was sent before");
		for (int i = 0; i < 10; i++) {
			if (!goes_on(x))
				return stop(e);
			usleep(100000);
		}
	}
}

/* What a run that was killed had sent. */
static int settle_former(struct pushing *x, struct err *e)
{
	struct push_row row;
	int             rc = store_push_get(x->st, x->p.row, &x->arena, &row, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (row.sent_s == STORE_NULL || row.sent_task == STORE_NULL || row.sent_s > clock_s())
		return 0;
	return settle(x, row.version.p, row.sent_task, row.sent_s + SETTLE_S, e) < 0 ? -1 : 0;
}

/* May what was sent be carried out though no answer says so?  A server in front of
 * Label Studio gives up earlier than Label Studio does. */
static bool outcome_unknown(const struct ls_api *api)
{
	const long status = ls_api_status(api);

	return status == 0 || (status >= 200 && status < 300) || status == 502 || status == 504;
}

static void count_written(struct pushing *x, int64_t created)
{
	const int64_t n = (int64_t)x->n_body;

	x->result->written += created < 0 || created > n ? n : created;
	if (created < 0 || created >= n)
		return;
	x->result->left_out += n - created;
	log_line(LOG_WARNING, "project %lld: Label Studio left %lld of %lld predictions out: do they fit its labeling config?",
	         (long long)x->p.id, (long long)(n - created), (long long)n);
}

static void begin_request(struct pushing *x)
{
	buf_reset(&x->body);
	x->n_body = 0;
	x->before = x->after;
}

/* A request that is refused, for a task that was deleted meanwhile or for its size, is
 * put together anew, half as large: what is at fault is named in the end. */
static int refused(struct pushing *x, const struct err *why, struct err *e)
{
	const long status = ls_api_status(x->api);

	if ((status != 400 && status != 413) || x->n_body <= 1)
		return err_set(e, why->code, "%s", why->msg);
	x->result->open -= (int64_t)x->n_body;
	x->limit = x->n_body / 2;
	x->after = x->before;
	begin_request(x);
	return 0;
}

/*
 * One request.  Label Studio 1.23 counts the predictions of every task of the project
 * anew for each, so that on large ones a request takes seconds whatever it holds:
 * larger ones are fewer.
 */
static int send(struct pushing *x, struct err *e)
{
	struct err  why = { 0 };
	struct span answer;
	double      began = clock_monotonic();
	int64_t     created = -1;
	int         rc;

	buf_addc(&x->body, ']');
	if (buf_check(&x->body, "a request", e) < 0 ||
	    store_push_sent(x->st, x->p.row, x->s->version, x->last, clock_s(), e) < 0)
		return -1;
	ls_api_patience(x->api, PATIENCE_MS);
	rc = ls_rest(x->api, "POST", buf_span(&x->body), &x->scratch, &answer, &why, "/api/projects/%lld/import/predictions",
	             (long long)x->p.id);
	if (rc == 0) {
		created = answer.p == NULL ? -1 : ls_rest_int(answer, "created");
	} else if (why.code == ERR_STOPPED || why.code == ERR_MEMORY) {
		return err_set(e, why.code, "%s", why.msg);
	} else if (why.code == ERR_REMOTE && outcome_unknown(x->api)) {
		rc = settle(x, x->s->version, x->last, clock_s() + SETTLE_S, e);
		if (rc != 0)
			return rc < 0 ? -1 : err_set(e, why.code, "%s", why.msg);
	}
	arena_reset(&x->scratch);
	if (store_push_sent(x->st, x->p.row, x->s->version, STORE_NULL, 0, e) < 0)
		return -1;
	if (rc < 0)
		return refused(x, &why, e);
	count_written(x, created);
	if (clock_monotonic() - began > SLOW_S && x->limit < REQUEST_MAX)
		x->limit *= 2;
	begin_request(x);
	return 0;
}

/* ---- one pass ------------------------------------------------------------------------ */

/* The project as Label Studio has it now: is it the same one, and what is its config? */
static int read_remote(struct pushing *x, struct err *e)
{
	struct ls_project remote;
	struct span       whole;

	if (ls_api_project(x->api, x->p.id, &x->arena, &remote, e) < 0 ||
	    ls_rest(x->api, "GET", LS_NO_BODY, &x->arena, &whole, e, "/api/projects/%lld/", (long long)x->p.id) < 0)
		return -1;
	if (x->p.created_s != STORE_NULL && x->p.created_s != remote.created_s)
		return err_set(e, ERR_NOT_FOUND, "Label Studio's project %lld is another one: it was made at %lld, not at %lld",
		               (long long)x->p.id, (long long)remote.created_s, (long long)x->p.created_s);
	x->config = remote.label_config;
	x->automatic = ls_rest_true(whole, "evaluate_predictions_automatically");
	return 0;
}

static int begin_pass(struct pushing *x, int64_t project, struct err *e)
{
	serving_release(x->s);
	x->s = NULL;
	arena_reset(&x->arena);
	if (store_project_get(x->st, project, &x->arena, &x->p, e) < 0 || read_remote(x, e) < 0 ||
	    serving_get(x->st, x->env, &x->p, x->config, &x->s, e) < 0)
		return -1;
	if (x->s->n == 0)
		return err_set(e, ERR_SHAPE, "project %lld: %.150s", (long long)x->p.id, x->s->config->reason != NULL
		               ? x->s->config->reason : "no kind of model serves this labeling config");
	if (settle_former(x, e) < 0 || store_push_sent(x->st, project, x->s->version, STORE_NULL, 0, e) < 0)
		return -1;
	memcpy(x->result->version, x->s->version, sizeof x->result->version);
	x->result->open = 0;
	x->result->passes++;
	x->after = 0;
	x->total = -1;
	begin_request(x);
	return 0;
}

/* 1: another version, other labels or settings are in force than when the pass began.
 * What was disconnected meanwhile has no order to be kept any more. */
static int is_stale(struct pushing *x, struct err *e)
{
	struct project  now;
	struct serving *s = NULL;
	struct arena    a;
	int             rc;

	arena_init(&a, ARENA_BYTES);
	rc = store_project_get(x->st, x->p.row, &a, &now, e);
	if (rc == 0 && x->order && !now.uncertainty)
		rc = stop(e);
	if (rc == 0 && !span_eq(now.config_hash, x->p.config_hash))
		rc = 1;
	if (rc == 0 && (rc = serving_get(x->st, x->env, &now, x->config, &s, e)) == 0)
		rc = strcmp(s->version, x->s->version) != 0;
	serving_release(s);
	arena_clear(&a);
	return rc;
}

static size_t page_size(const struct pushing *x)
{
	const size_t room = x->limit - x->n_body;

	return room < x->page ? room : x->page;
}

/* The next page.  *more: there are others behind it.  How many came does not say that:
 * Label Studio may give fewer at once than it is asked for (TASK_API_PAGE_SIZE_MAX). */
static int take_page(struct pushing *x, bool *more, struct err *e)
{
	const int64_t before = x->after;
	const size_t  size = page_size(x);
	struct span   tasks;
	int64_t       total;
	size_t        n;

	if (list_page(x, size, &tasks, &total, e) < 0)
		return -1;
	n = json_count(tasks);
	*more = n > 0 && (total > 0 ? n < (uint64_t)total : n >= (x->page < size ? x->page : size));
	x->total = x->total < 0 ? total : x->total;
	if (predict_page(x, tasks, e) < 0)
		return -1;
	if (*more && x->after == before)
		return err_set(e, ERR_REMOTE, "Label Studio lists the same tasks again: it does not know the filters of GET /api/tasks");
	show(x, "predicting");
	return 0;
}

/* 0: every open task has the version; 1: begin anew. */
static int pass(struct pushing *x, int64_t project, struct err *e)
{
	bool more = true;
	int  rc;

	if (begin_pass(x, project, e) < 0)
		return -1;
	while (more || x->n_body > 0) {
		if (!goes_on(x))
			return stop(e);
		if (more && x->n_body < x->limit && x->body.len < REQUEST_BYTES / 2) {
			if (take_page(x, &more, e) < 0)
				return -1;
			continue;
		}
		rc = is_stale(x, e);
		if (rc != 0)
			return rc;
		show(x, "writing predictions");
		if (x->n_body > 0 && send(x, e) < 0)
			return -1;
		/* One that was refused is listed again. */
		more |= x->after < x->last;
	}
	return is_stale(x, e);
}

/* ---- the order of Label Studio's queue ------------------------------------------------ */

/* The one with the least id.  It need not be the first of Label Studio's list, which has
 * the order of its database: in PostgreSQL one that was changed comes last. */
struct first_backend {
	struct arena *arena;
	struct span   json;
};

static int take_first(void *arg, struct span one, struct err *e)
{
	struct first_backend *b = arg;

	if (b->json.p != NULL && ls_rest_int(b->json, "id") <= ls_rest_int(one, "id"))
		return 0;
	b->json.p = arena_copy(b->arena, one);
	b->json.len = one.len;
	return b->json.p == NULL ? err_memory(e) : 0;
}

static void put_member(struct buf *b, struct span object, const char *key)
{
	struct span value;

	if (json_member(object, key, &value) != 0 || json_type(value) == JSON_NULL)
		return;
	buf_addf(b, ",\"%s\":", key);
	buf_add(b, value.p, value.len);
}

static bool has_auth(struct span backend)
{
	struct span method;

	return json_member(backend, "auth_method", &method) == 0 && json_is(method, SPAN("BASIC_AUTH"));
}

/* Names the backend by the version.  Label Studio asks it again with what the request
 * holds: without its parameters they would look empty to us for a moment, without its
 * user it would be refused.  An empty password keeps the one that is there. */
static int name_backend(struct pushing *x, struct span backend, struct err *e)
{
	struct buf b;
	int        rc;

	buf_init(&b, (size_t)1 << 20);
	buf_addf(&b, "{\"project\":%lld,\"title\":", (long long)x->p.id);
	json_put_text(&b, span_of(x->result->version));
	put_member(&b, backend, "url");
	put_member(&b, backend, "extra_params");
	if (has_auth(backend)) {
		put_member(&b, backend, "auth_method");
		put_member(&b, backend, "basic_auth_user");
		buf_adds(&b, ",\"basic_auth_pass\":\"\"");
	}
	buf_addc(&b, '}');
	rc = buf_check(&b, "a request", e);
	if (rc == 0)
		rc = ls_rest(x->api, "PATCH", buf_span(&b), &x->arena, NULL, e, "/api/ml/%lld", (long long)ls_rest_int(backend, "id"));
	buf_clear(&b);
	return rc;
}

/* 0: it has the title; 1: there is none that has our version.  Only the first one
 * predicts, so only its title counts. */
static int name_first_backend(struct pushing *x, struct err *e)
{
	struct first_backend first = { &x->arena, { NULL, 0 } };
	struct span          value;

	if (ls_rest_each(x->api, take_first, &first, e, "/api/ml?project=%lld", (long long)x->p.id) < 0)
		return -1;
	if (first.json.p == NULL || json_member(first.json, "model_version", &value) != 0 ||
	    !json_is(value, span_of(x->result->version)))
		return 1;
	if (json_member(first.json, "title", &value) == 0 && json_is(value, span_of(x->result->version)))
		return 0;
	return name_backend(x, first.json, e);
}

/* The title first: while it is the project's version, Label Studio moves both at once. */
static int set_order(struct pushing *x, struct err *e)
{
	struct err  why = { 0 };
	struct span whole, value;
	struct buf  b;
	int         rc = name_first_backend(x, &why);

	if (why.code == ERR_STOPPED || why.code == ERR_MEMORY || why.code == ERR_AUTH)
		return err_set(e, why.code, "%s", why.msg);
	if (rc != 0)
		log_line(LOG_WARNING, "project %lld: the queue has the order of %s, but new tasks come without a prediction: %s",
		         (long long)x->p.id, x->result->version, rc < 0 ? why.msg
		         : "no backend that is connected first, and answers, has this version");
	if (ls_rest(x->api, "GET", LS_NO_BODY, &x->arena, &whole, e, "/api/projects/%lld/", (long long)x->p.id) < 0)
		return -1;
	if (json_member(whole, "model_version", &value) == 0 && json_is(value, span_of(x->result->version)))
		return 0;
	buf_init(&b, 1024);
	buf_adds(&b, "{\"model_version\":");
	json_put_text(&b, span_of(x->result->version));
	buf_addc(&b, '}');
	rc = buf_check(&b, "a request", e);
	if (rc == 0)
		rc = ls_rest(x->api, "PATCH", buf_span(&b), &x->arena, NULL, e, "/api/projects/%lld/", (long long)x->p.id);
	buf_clear(&b);
	return rc;
}

/* ---- the whole ---------------------------------------------------------------------------- */

/* By a byte each of a file; a process that dies lets go of it. */
int push_lock(const struct env *env, int64_t project, struct err *e)
{
	struct flock byte = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = project, .l_len = 1 };
	char         path[PATH_MAX];
	int          fd;

	snprintf(path, sizeof path, "%s/push.lock", env->model_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, ERR_STORE, "push.lock in MODEL_DIR: %s", strerror(errno));
	if (fcntl(fd, F_OFD_SETLK, &byte) == 0)
		return fd;
	close(fd);
	return err_set(e, ERR_BUSY, "another push of this project is under way");
}

static int run(struct pushing *x, int64_t project, struct err *e)
{
	int rc;

	do {
		rc = pass(x, project, e);
		if (rc == 0 && x->order && set_order(x, e) < 0)
			rc = -1;
		if (rc == 0 && x->order)
			rc = is_stale(x, e);
	} while (rc == 1);
	return rc;
}

/* How it ended, for the status; a failure to note that is no second failure. */
static void note_end(struct store *st, int64_t project, int rc, const struct err *why)
{
	struct err e = { 0 };
	bool       gave_way = rc < 0 && why->code == ERR_STOPPED;

	if (store_push_ended(st, project, rc == 0 ? clock_s() : STORE_NULL, gave_way, rc < 0 && !gave_way ? why->msg : NULL,
	                     &e) < 0)
		log_line(LOG_WARNING, "%s", e.msg);
}

static int push(struct store *st, const struct env *env, int64_t project, const struct push_options *opt, bool order,
                struct push_result *result, struct err *e)
{
	struct pushing x = { .st = st, .env = env, .opt = opt, .result = result, .order = order, .page = PAGE,
	                          .limit = REQUEST };
	struct err     why = { 0 };
	int            rc = -1, fd;

	*result = (struct push_result){ .open = 0 };
	if (env->ls_key == NULL)
		return err_set(e, ERR_USAGE, "LABEL_STUDIO_API_KEY is not set: without a key nothing can be written to %s", env->ls_url);
	fd = push_lock(env, project, e);
	if (fd < 0)
		return -1;
	arena_init(&x.arena, ARENA_BYTES);
	arena_init(&x.scratch, ARENA_BYTES);
	buf_init(&x.answer, LS_ANSWER_BYTES_MAX);
	buf_init(&x.body, REQUEST_BYTES * 2);
	if (ls_api_open(&x.api, env->ls_url, env->ls_key, &why) == 0) {
		ls_api_cancel(x.api, cancelled, &x);
		rc = run(&x, project, &why);
	}
	note_end(st, project, rc, &why);
	if (rc < 0)
		err_set(e, why.code, "%s", why.msg);
	serving_release(x.s);
	ls_api_close(x.api);
	buf_clear(&x.body);
	buf_clear(&x.answer);
	arena_clear(&x.scratch);
	arena_clear(&x.arena);
	close(fd);
	return rc;
}

int push_run(struct store *st, const struct env *env, int64_t project, const struct push_options *opt,
             struct push_result *result, struct err *e)
{
	return push(st, env, project, opt, false, result, e);
}

int push_uncertainty(struct store *st, const struct env *env, int64_t project, const struct push_options *opt,
                     struct push_result *result, struct err *e)
{
	return push(st, env, project, opt, true, result, e);
}
