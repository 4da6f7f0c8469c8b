/* prometheus.c - GET /metrics: what was counted and what is stored. */
#include "prometheus.h"

#include "base/log.h"
#include "base/meter.h"
#include "digest.h"
#include "examples.h"
#include "request.h"
#include "serving.h"
#include "status.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#define ARENA_BYTES ((size_t)64 << 20)

/* ---- the text --------------------------------------------------------------------- */

static void family(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_addf(b, "# HELP prelabel_%s %s\n# TYPE prelabel_%s %s\n", name, help, name, type);
}

/* A label's value between its quotes. */
static void put_value(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\n')
			buf_adds(b, "\\n");
		else if (*s == '\\' || *s == '"')
			buf_addf(b, "\\%c", *s);
		else
			buf_addc(b, *s);
	}
}

static void put_seconds(struct buf *b, uint64_t nanoseconds)
{
	buf_addf(b, "%" PRIu64 ".%09" PRIu64 "\n", nanoseconds / 1000000000, nanoseconds % 1000000000);
}

/* ---- of the programs ----------------------------------------------------------------- */

static uint64_t requests_of(const struct meter_line *l)
{
	uint64_t n = 0;

	for (size_t i = 0; i < METER_BUCKETS; i++)
		n += l->bucket[i];
	return n;
}

static void put_requests(struct buf *b, const struct meter *m)
{
	family(b, "http_requests_total", "counter", "Answered requests.");
	for (size_t i = 0; i < m->n; i++)
		buf_addf(b, "prelabel_http_requests_total{endpoint=\"%s\",status=\"%d\"} %" PRIu64 "\n", m->line[i].endpoint,
		         m->line[i].status, requests_of(&m->line[i]));
}

/* An endpoint's lines, one a status, stand beside each other. */
static void put_durations(struct buf *b, const struct meter *m)
{
	static const char name[] = "prelabel_http_request_duration_seconds";

	family(b, name + strlen("prelabel_"), "histogram", "From the request accepted by the program to its answer handed over.");
	for (size_t i = 0, next; i < m->n; i = next) {
		const char *endpoint = m->line[i].endpoint;
		uint64_t    bucket[METER_BUCKETS] = { 0 }, nanoseconds = 0, n = 0;

		for (next = i; next < m->n && m->line[next].endpoint == endpoint; next++) {
			nanoseconds += m->line[next].nanoseconds;
			for (size_t k = 0; k < METER_BUCKETS; k++)
				bucket[k] += m->line[next].bucket[k];
		}
		for (size_t k = 0; k < METER_BUCKETS - 1; k++)
			buf_addf(b, "%s_bucket{endpoint=\"%s\",le=\"%g\"} %" PRIu64 "\n", name, endpoint, meter_bounds[k], n += bucket[k]);
		n += bucket[METER_BUCKETS - 1];
		buf_addf(b, "%s_bucket{endpoint=\"%s\",le=\"+Inf\"} %" PRIu64 "\n%s_sum{endpoint=\"%s\"} ", name, endpoint, n, name,
		         endpoint);
		put_seconds(b, nanoseconds);
		buf_addf(b, "%s_count{endpoint=\"%s\"} %" PRIu64 "\n", name, endpoint, n);
	}
}

enum outcome { STORED, IGNORED, REFUSED, FAILED, OUTCOME__MAX };

static enum outcome outcome_of(int status)
{
	return status == 201 ? STORED : status == 200 ? IGNORED : status == 401 || status == 403 ? REFUSED : FAILED;
}

/* 405: not POST, and so no event. */
static void put_events(struct buf *b, const struct meter *m)
{
	static const char *const names[OUTCOME__MAX] = { "stored", "ignored", "refused", "failed" };
	uint64_t                 n[OUTCOME__MAX] = { 0 };

	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->line[i].endpoint, "webhook") == 0 && m->line[i].status != 405)
			n[outcome_of(m->line[i].status)] += requests_of(&m->line[i]);
	family(b, "webhook_events_total", "counter", "Events of Label Studio by what became of them.");
	for (size_t i = 0; i < OUTCOME__MAX; i++)
		buf_addf(b, "prelabel_webhook_events_total{outcome=\"%s\"} %" PRIu64 "\n", names[i], n[i]);
}

static void put_counter(struct buf *b, const char *name, const char *help, uint64_t n)
{
	family(b, name, "counter", help);
	buf_addf(b, "prelabel_%s %" PRIu64 "\n", name, n);
}

static void put_meter(struct buf *b, const struct meter *m)
{
	put_requests(b, m);
	put_durations(b, m);
	put_counter(b, "predicted_tasks_total", "Tasks answered by /predict.", m->counter[METER_TASKS]);
	put_events(b, m);
	put_counter(b, "model_loads_total", "Models loaded from the store into a process.", m->counter[METER_LOADS]);
}

/* ---- of the store: gathering ----------------------------------------------------------- */

/* One project, and what the rest was made from. */
struct line {
	int64_t       row, event, version;
	unsigned char hash[crypto_hash_sha256_BYTES];   /* of its config and extra_params */
	int64_t       id, created_s, updates, pending, tasks, annotations, examples, jobs[JOB__MAX];
	int64_t       number, published_s, webhook_s;
	double        train_seconds, accuracy;
	bool          has_trained, has_accuracy;
	char          text[VERSION_TEXT_MAX];           /* "": cold start */
};

struct lines {
	struct line *v;                                 /* [n], by row */
	size_t       n, cap;
};

struct gathering {
	struct store     *st;
	const struct env *env;
	struct lines      now, before;
	size_t            at;                           /* in before */
};

/* The page before this one, until another takes it; then that counts everything. */
static struct {
	pthread_mutex_t mutex;
	struct lines    lines;
} last = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static struct lines exchange_last(struct lines with)
{
	struct lines was;

	pthread_mutex_lock(&last.mutex);
	was = last.lines;
	last.lines = with;
	pthread_mutex_unlock(&last.mutex);
	return was;
}

static void hash_project(const struct project *p, unsigned char hash[crypto_hash_sha256_BYTES])
{
	crypto_hash_sha256_state h;

	crypto_hash_sha256_init(&h);
	digest_add(&h, p->config_hash);
	digest_add(&h, p->extra_params);
	crypto_hash_sha256_final(&h, hash);
}

/* Takes over what the page before counted, if it still holds. */
static bool as_before(struct gathering *g, struct line *l)
{
	const struct line *was;

	while (g->at < g->before.n && g->before.v[g->at].row < l->row)
		g->at++;
	if (g->at == g->before.n)
		return false;
	was = &g->before.v[g->at];
	if (was->row != l->row || was->event != l->event || was->version != l->version ||
	    memcmp(was->hash, l->hash, sizeof l->hash) != 0)
		return false;
	l->tasks = was->tasks;
	l->annotations = was->annotations;
	l->examples = was->examples;
	memcpy(l->text, was->text, sizeof l->text);
	return true;
}

/* What a training would read: nothing where no kind of model serves the config. */
static int count_examples(struct gathering *g, const struct project *p, const struct label_config *config,
                          const char *names, struct line *l, struct err *e)
{
	const struct model_kind *kind[MODEL_KINDS_MAX];
	struct model_settings    settings;
	size_t                   n;
	bool                     any = false;

	serving_settings(g->env, p, &settings);
	n = p->label_config.p == NULL ? 0 : model_kinds_for(config, names, &settings, kind);
	for (size_t i = 0; i < n; i++)
		any |= kind[i]->any_example;
	return n == 0 ? 0 : examples_count(g->st, p->row, config, any, &l->examples, e);
}

static int count(struct gathering *g, const struct project *p, struct line *l, struct err *e)
{
	const struct version_of v = { p->version.examples_hash, p->version.formats, p->version.number };
	struct project_counts   counts;
	struct label_config    *config = NULL;
	struct arena            a;
	const char             *names;
	int                     rc;

	arena_init(&a, ARENA_BYTES);
	names = serving_kinds(g->env, p, &a);
	rc = store_project_counts(g->st, p->row, &counts, e);
	if (rc == 0)
		rc = label_config_replay(&config, p->label_config.p == NULL ? SPAN("<View/>") : p->label_config, p->config_elements, e);
	if (rc == 0 && l->version != 0)
		rc = serving_version(g->env, config, names, &v, l->text, e);
	if (rc == 0)
		rc = count_examples(g, p, config, names, l, e);
	if (rc == 0) {
		l->tasks = counts.tasks;
		l->annotations = counts.annotations;
	}
	label_config_free(config);
	arena_clear(&a);
	return rc;
}

static struct line *new_line(struct lines *list, struct err *e)
{
	if (list->n == list->cap) {
		const size_t cap = list->cap == 0 ? 16 : list->cap * 2;
		struct line *grown = realloc(list->v, cap * sizeof *grown);

		if (grown == NULL) {
			err_memory(e);
			return NULL;
		}
		list->v = grown;
		list->cap = cap;
	}
	return &list->v[list->n++];
}

static int take_project(void *arg, const struct store_report *r, struct err *e)
{
	struct gathering     *g = arg;
	const struct project *p = &r->project;
	struct line          *l = new_line(&g->now, e);

	if (l == NULL)
		return -1;
	*l = (struct line){ .row = p->row, .event = r->last_event, .version = p->version.row, .id = p->id,
		.created_s = p->created_s == STORE_NULL ? 0 : p->created_s, .updates = p->updates,
		.pending = p->updates - p->updates_trained, .number = p->version.number, .published_s = p->version.row == 0 ? STORE_NULL : p->version.created_s,
		.webhook_s = p->webhook_s, .train_seconds = r->train_seconds, .has_trained = r->has_trained,
		.accuracy = r->accuracy, .has_accuracy = r->has_accuracy };
	memcpy(l->jobs, r->jobs, sizeof l->jobs);
	hash_project(p, l->hash);
	return as_before(g, l) ? 0 : count(g, p, l, e);
}

static int gather(struct gathering *g, struct err *e)
{
	if (store_begin_read(g->st, e) < 0)
		return -1;
	if (store_report(g->st, take_project, g, e) < 0)
		return -1;                      /* context_failed() ends the transaction */
	return store_commit(g->st, e);
}

/* ---- of the store: the text --------------------------------------------------------------- */

static void put_labels(struct buf *b, const char *name, const struct line *l)
{
	buf_addf(b, "prelabel_%s{project=\"%" PRId64 "\",created=\"%" PRId64 "\"", name, l->id, l->created_s);
}

/* A family of one integer a project; STORE_NULL: absent. */
static void put_ints(struct buf *b, const struct lines *lines, const char *name, const char *type, size_t offset,
                     const char *help)
{
	family(b, name, type, help);
	for (size_t i = 0; i < lines->n; i++) {
		const struct line *l = &lines->v[i];
		int64_t            n;

		memcpy(&n, (const char *)l + offset, sizeof n);
		if (n == STORE_NULL)
			continue;
		put_labels(b, name, l);
		buf_addf(b, "} %" PRId64 "\n", n);
	}
}

static void put_jobs(struct buf *b, const struct lines *lines)
{
	family(b, "jobs", "gauge", "Training jobs by state.");
	for (size_t i = 0; i < lines->n; i++)
		for (enum job_state s = JOB_NONE + 1; s < JOB__MAX; s++) {
			put_labels(b, "jobs", &lines->v[i]);
			buf_addf(b, ",state=\"%s\"} %" PRId64 "\n", job_state_names[s], lines->v[i].jobs[s]);
		}
}

static void put_versions(struct buf *b, const struct lines *lines)
{
	family(b, "model_info", "gauge", "The model_version that /setup answers.");
	for (size_t i = 0; i < lines->n; i++) {
		if (lines->v[i].version == 0)
			continue;
		put_labels(b, "model_info", &lines->v[i]);
		buf_adds(b, ",model_version=\"");
		put_value(b, lines->v[i].text);
		buf_adds(b, "\"} 1\n");
	}
}

static void put_training_seconds(struct buf *b, const struct lines *lines)
{
	family(b, "training_duration_seconds", "gauge", "Of the last finished training.");
	for (size_t i = 0; i < lines->n; i++)
		if (lines->v[i].has_trained) {
			put_labels(b, "training_duration_seconds", &lines->v[i]);
			buf_addf(b, "} %.9g\n", lines->v[i].train_seconds);
		}
}

static void put_accuracy(struct buf *b, const struct lines *lines)
{
	family(b, "accuracy_ratio", "gauge", "Cross-validated accuracy of the version in force.");
	for (size_t i = 0; i < lines->n; i++)
		if (lines->v[i].has_accuracy) {
			put_labels(b, "accuracy_ratio", &lines->v[i]);
			buf_addf(b, "} %.9g\n", lines->v[i].accuracy);
		}
}

static void put_store(struct buf *b, const struct lines *l, const struct store *st)
{
	int64_t database, wal;

	store_sizes(st, &database, &wal);
	family(b, "store_size_bytes", "gauge", "Bytes on disk.");
	buf_addf(b, "prelabel_store_size_bytes{file=\"database\"} %" PRId64 "\n"
	            "prelabel_store_size_bytes{file=\"wal\"} %" PRId64 "\n", database, wal);
	family(b, "projects", "gauge", "Projects known.");
	buf_addf(b, "prelabel_projects %zu\n", l->n);
	put_ints(b, l, "tasks", "gauge", offsetof(struct line, tasks), "Tasks kept.");
	put_ints(b, l, "annotations", "gauge", offsetof(struct line, annotations), "Annotations kept.");
	put_ints(b, l, "examples", "gauge", offsetof(struct line, examples), "What a training would learn from now.");
	put_ints(b, l, "updates_total", "counter", offsetof(struct line, updates), "Annotation changes accepted.");
	put_ints(b, l, "updates_pending", "gauge", offsetof(struct line, pending), "Annotation changes not trained on yet.");
	put_jobs(b, l);
	put_training_seconds(b, l);
	put_ints(b, l, "model_version_number", "gauge", offsetof(struct line, number),
	         "Number of the version in force, 0 for the cold start.");
	put_versions(b, l);
	put_ints(b, l, "model_published_timestamp_seconds", "gauge", offsetof(struct line, published_s),
	         "When the version in force was published.");
	put_ints(b, l, "last_webhook_timestamp_seconds", "gauge", offsetof(struct line, webhook_s),
	         "When the last event came.");
	put_accuracy(b, l);
}

/* ---- the page -------------------------------------------------------------------------------- */

int prometheus_page(struct request *req, struct reply *reply, struct err *e)
{
	struct context  *c = request_context(req);
	struct buf      *b = &reply->body;
	struct gathering g = { .env = req->env };
	struct meter     m;
	struct err       why = { 0 };
	bool             up;

	if (meter_read(&m))
		put_meter(b, &m);
	g.before = exchange_last((struct lines){ .n = 0 });
	up = context_store(c, &g.st, &why) == 0 && gather(&g, &why) == 0;
	if (!up) {
		log_line(LOG_WARNING, "the store can't be read: %s", why.msg);
		context_failed(c, &why);
	}
	family(b, "build_info", "gauge", "The version of prelabel.");
	buf_addf(b, "prelabel_build_info{version=\"" PRELABEL_VERSION "\"} 1\n");
	family(b, "store_up", "gauge", "1: the store could be read.");
	buf_addf(b, "prelabel_store_up %d\n", up);
	if (up)
		put_store(b, &g.now, g.st);
	free(g.before.v);
	g.before = exchange_last(up ? g.now : (struct lines){ .n = 0 });
	free(g.before.v);
	if (!up)
		free(g.now.v);
	reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
	return buf_check(b, "the answer", e);
}
