/* train.c - lease -> examples -> fit -> publish -> evaluate. */
#include "train.h"

#include "base/clock.h"
#include "base/log.h"
#include "crossval.h"
#include "examples.h"
#include "learn/metrics.h"
#include "models/tfidf_logreg.h"
#include "parts.h"
#include "push.h"
#include "serving.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RENEW_S      (LEASE_S / 3)
#define RETRY_S      5              /* first back-off; doubled by each attempt */
#define ALL_FOLDS    1000           /* examples below which every fold is held out in turn */
#define PRUNE_ROWS   500            /* deleted in one transaction: a few milliseconds */
#define DUE_AT_ONCE  32             /* projects looked at in one go */
#define GIVE_WAY     2              /* pushes in a row that may be cut short by the next job */
#define FETCH_SHARE  20             /* reading exports takes at most one part in so many of the time */

static volatile sig_atomic_t stopped;

void train_stop(void)
{
	stopped = 1;
}

struct run {
	struct store               *st;
	const struct env           *env;
	const struct train_options *opt;
	struct lease                lease;
	double                      began, renewed;     /* clock_monotonic() */
	const char                 *step;
	struct err                  lost;               /* why the lease could not be renewed */
	bool                        published;          /* what follows gives way to the next job */
	bool                        insists;            /* … but does not now */
	bool                        nothing_due;        /* read, and there is nothing to train on */
	struct reconcile_result     read;               /* of the export */
	struct err                  refused;            /* why the export could not be read, and never will be */
};

/* ---- the lease --------------------------------------------------------------- */

static bool next_job_waits(const struct run *r)
{
	enum job_state state;

	return store_job_training(r->st, r->lease.project, &state, NULL) < 0 || state == JOB_QUEUED;
}

/* Called by all that takes long; false: stop. */
static bool still_ours(void *arg, double share)
{
	struct run *r = arg;
	double      now = clock_monotonic();

	if (stopped)
		return false;
	if (r->opt->show != NULL)
		r->opt->show(r->opt->arg, r->step, share);
	if (now - r->renewed < (r->published ? 1 : RENEW_S))
		return true;
	r->renewed = now;
	if (r->published)
		return r->insists || !next_job_waits(r);
	if (store_lease_renew(r->st, &r->lease, clock_s(), share, &r->lost) == 0)
		return true;
	/* A store that is busy for a moment costs no training: the lease has two
	 * more thirds.  A lost lease does. */
	if (r->lost.code != ERR_BUSY)
		return false;
	err_clear(&r->lost);
	return true;
}

static bool goes_on(void *arg)
{
	return still_ours(arg, 0);
}

/* ---- the steps ------------------------------------------------------------------ */

/* One of the jobs that read the export first and train only where that, or what came
 * meanwhile, makes it due: at the first connection, after a start, by `prelabel sync`. */
static bool is_reading(const struct run *r)
{
	return strcmp(r->lease.reason, "connect") == 0 || strcmp(r->lease.reason, "sync") == 0;
}

/* The whole export of a large project takes longer than the training does: it is
 * read again when a person asks, when events came without payload, when the last
 * attempt failed, and else as often as costs a twentieth of the time.  Webhooks
 * bring the rest; what they miss waits so long. */
static int fetch_needed(struct run *r, bool *needed, struct err *e)
{
	struct project p;
	struct arena   a;
	int64_t        now = clock_s();
	int            rc;

	arena_init(&a, (size_t)256 << 20);
	rc = store_project_get(r->st, r->lease.project, &a, &p, e);
	*needed = rc == 0 && (r->opt->full || is_reading(r) || strcmp(r->lease.reason, "start") == 0 || p.unread > 0 ||
	                      p.fetched_s == STORE_NULL || p.fetch_error.p != NULL || p.fetched_s > now ||
	                      (now - p.fetched_s) * 1000 >= p.fetch_ms * FETCH_SHARE);
	arena_clear(&a);
	return rc;
}

/* With a key: what Label Studio has comes first.  A refused key is no reason not
 * to learn from what the webhooks brought; a Label Studio that does not answer is
 * worth another attempt. */
static int fetch(struct run *r, struct err *e)
{
	struct err why = { 0 };
	bool       needed;
	int        rc;

	if (r->env->ls_key == NULL && !r->opt->sync)
		return 0;
	if (fetch_needed(r, &needed, e) < 0)
		return -1;
	if (!needed)
		return 0;
	r->step = "reading Label Studio's export";
	if (reconcile(r->st, r->env, r->lease.project, goes_on, r, &r->read, &why) == 0) {
		log_line(LOG_INFO, "job %lld: export read, %lld tasks, %lld annotations changed",
		         (long long)r->lease.job, (long long)r->read.tasks, (long long)r->read.changed);
		return 0;
	}
	if (why.code == ERR_STOPPED || why.code == ERR_LEASE)
		return err_set(e, why.code, "%s", why.msg);
	if (store_begin(r->st, e) < 0)
		return -1;
	rc = store_fetch_failed(r->st, r->lease.project, why.msg, e);
	if (rc < 0 || store_commit(r->st, e) < 0) {
		store_rollback(r->st);
		return -1;
	}
	if (r->opt->sync || (why.code != ERR_AUTH && why.code != ERR_NOT_FOUND))
		return err_set(e, why.code, "%s", why.msg);
	r->refused = why;
	log_line(LOG_WARNING, "job %lld: %s; training on what the webhooks brought", (long long)r->lease.job, why.msg);
	return 0;
}

/* What one training works on. */
struct material {
	struct arena             arena;
	struct project           project;      /* as it was when the examples were read */
	struct label_config     *config;
	struct model_settings    settings;
	const struct model_kind *kind[MODEL_KINDS_MAX];
	struct model            *model[MODEL_KINDS_MAX];    /* NULL: not fitted */
	size_t                   n_kinds;
	struct example_set       set;
	struct example          *labelled;     /* [set.n_labelled] */
};

static void material_clear(struct material *m)
{
	for (size_t i = 0; i < m->n_kinds; i++)
		if (m->model[i] != NULL)
			m->kind[i]->free(m->model[i]);
	free(m->labelled);
	examples_clear(&m->set);
	label_config_free(m->config);
	arena_clear(&m->arena);
}

/* Do all kinds look at words alone?  The one kind that does. */
static bool reads_words(const struct material *m)
{
	return m->n_kinds == 1 && m->kind[0] == &model_tfidf_logreg;
}

static int read_examples(struct run *r, struct material *m, struct err *e)
{
	bool any = false;

	if (m->project.label_config.p == NULL)
		return err_set(e, ERR_TOO_FEW, "no labeling config is known yet");
	if (label_config_replay(&m->config, m->project.label_config, m->project.config_elements, e) < 0)
		return -1;
	serving_settings(r->env, &m->project, &m->settings);
	m->settings.threads = (int)r->env->train_threads;
	m->settings.progress = still_ours;
	m->settings.arg = r;
	m->settings.reason = r->lease.reason;
	m->n_kinds = model_kinds_for(m->config, serving_kinds(r->env, &m->project, &m->arena), &m->settings, m->kind);
	if (m->n_kinds == 0)
		return err_set(e, ERR_TOO_FEW, "%s", m->config->reason != NULL ? m->config->reason
		                                     : "no kind of model serves this labeling config");
	for (size_t i = 0; i < m->n_kinds; i++)
		any |= m->kind[i]->any_example;
	if ((reads_words(m) ? examples_read_words(&m->set, r->st, &m->project, m->config, m->settings.token_pattern, e)
	                    : examples_read(&m->set, r->st, r->lease.project, m->config, any, e)) < 0)
		return -1;
	m->labelled = examples_labelled(&m->set, e);
	return m->labelled == NULL ? -1 : 0;
}

/* Counter and examples in one view: what comes later counts for the next one. */
static int gather(struct run *r, struct material *m, struct err *e)
{
	int rc = -1;

	if (store_begin_read(r->st, e) < 0)
		return -1;
	if (store_project_get(r->st, r->lease.project, &m->arena, &m->project, e) == 0)
		rc = read_examples(r, m, e);
	store_rollback(r->st);
	return rc;
}

static struct examples examples_for(const struct material *m, size_t kind)
{
	return m->kind[kind]->any_example ? (struct examples){ m->set.v, m->set.n }
	                                  : (struct examples){ m->labelled, m->set.n_labelled };
}

/* Fits every kind; what one of them lacks does not stop the others, and the first
 * reason is told when none could be fitted. */
static int fit(struct run *r, struct material *m, struct err *e)
{
	struct err first = { 0 };
	size_t     n = 0;

	r->step = "training";
	for (size_t i = 0; i < m->n_kinds; i++) {
		struct parts previous;
		struct err   why = { 0 };
		int          rc;

		m->settings.kind = m->kind[i];
		m->settings.previous_format = parts_open(&previous, r->st, &m->project, m->kind[i]->name);
		m->settings.previous = m->settings.previous_format > 0 ? &previous.source : NULL;
		rc = m->kind[i]->fit(&m->model[i], m->config, examples_for(m, i), &m->settings, &why);
		parts_close(&previous);
		m->settings.previous = NULL;
		n += rc == 0;
		if (rc < 0 && why.code != ERR_TOO_FEW)
			return err_set(e, why.code, "%s", why.msg);
		if (rc < 0)
			err_set(&first, why.code, "%s", why.msg);
	}
	return n > 0 ? 0 : err_set(e, first.code, "%s", first.msg);
}

/* The parts of all fitted kinds under KIND/PART, and the lists "a+b", "1+1". */
struct saved {
	struct model_parts  parts[MODEL_KINDS_MAX];
	struct version_part part[MODEL_KINDS_MAX * MODEL_PARTS_MAX];
	char                name[MODEL_KINDS_MAX * MODEL_PARTS_MAX][80];
	size_t              n;
	char                kinds[128], formats[64];
};

static int save(const struct material *m, struct saved *s, struct err *e)
{
	size_t at = 0, f = 0;

	for (size_t i = 0; i < m->n_kinds; i++) {
		const struct model_parts *p = &s->parts[i];

		if (m->model[i] == NULL)
			continue;
		if (m->kind[i]->save(m->model[i], &s->parts[i], e) < 0)
			return -1;
		for (size_t k = 0; k < p->n; k++, s->n++) {
			snprintf(s->name[s->n], sizeof s->name[0], "%s/%s", m->kind[i]->name, p->v[k].name);
			s->part[s->n] = (struct version_part){ s->name[s->n], buf_span(&p->v[k].bytes) };
		}
		at += (size_t)snprintf(s->kinds + at, sizeof s->kinds - at, "%s%s", at == 0 ? "" : "+", m->kind[i]->name);
		f += (size_t)snprintf(s->formats + f, sizeof s->formats - f, "%s%u", f == 0 ? "" : "+", m->kind[i]->format);
		if (at >= sizeof s->kinds || f >= sizeof s->formats)
			return err_set(e, ERR_USAGE, "the names of the models are too long");
	}
	return 0;
}

static int name_version(struct run *r, struct material *m, const struct version *v,
                        char name[VERSION_TEXT_MAX], struct err *e)
{
	const struct version_of of = { v->examples_hash, v->formats, v->number };

	return serving_version(r->env, m->config, serving_kinds(r->env, &m->project, &m->arena), &of, name, e) < 0
	       ? -1 : store_version_name(r->st, v->row, name, e);
}

static int publish(struct run *r, struct material *m, struct version *v, char name[VERSION_TEXT_MAX], struct err *e)
{
	struct saved *s = calloc(1, sizeof *s);
	int           rc = -1;

	if (s == NULL)
		return err_memory(e);
	r->step = "publishing";
	if (save(m, s, e) < 0)
		goto out;
	*v = (struct version){ .kind = span_of(s->kinds), .formats = span_of(s->formats),
		.labels = m->project.labels.p == NULL ? SPAN("[]") : m->project.labels,
		.examples_hash = span_of(m->set.hash), .n_examples = (int64_t)m->set.n,
		.n_cancelled = m->set.n_cancelled, .n_empty = m->set.n_empty,
		.n_unknown = m->set.n_unknown, .n_overruled = m->set.n_overruled,
		.token_pattern = span_of(env_token_pattern_name(r->env->token_pattern)),
		.logreg_c = r->env->logreg_c, .created_s = clock_s(),
		.train_seconds = clock_monotonic() - r->began };
	if (store_begin(r->st, e) < 0)
		goto out;
	if (store_version_publish(r->st, &r->lease, v, s->part, s->n, m->project.updates, r->env->train_every,
	                          r->env->keep_versions, e) == 0 &&
	    name_version(r, m, v, name, e) == 0)
		rc = store_commit(r->st, e);
	if (rc < 0)
		store_rollback(r->st);
out:
	for (size_t i = 0; i < MODEL_KINDS_MAX; i++)
		model_parts_clear(&s->parts[i]);
	free(s);
	return rc;
}

/* ---- how good it is ----------------------------------------------------------------- */

struct held_out {
	const struct label_config *config;
	const struct control_tag  *control;      /* its choices */
	struct metrics             metrics;
	struct arena               scratch;
};

/* Of a row that may have several labels. */
static int count_set(struct held_out *h, const struct example *ex, const struct prediction *p, struct err *e)
{
	const uint32_t *labels;
	size_t          n;
	bool           *gold, *predicted;

	arena_reset(&h->scratch);
	gold = arena_array(&h->scratch, h->control->n_labels, sizeof *gold);
	predicted = arena_array(&h->scratch, h->control->n_labels, sizeof *predicted);
	if (gold == NULL || predicted == NULL)
		return err_memory(e);
	if (example_labels(ex, h->config, &h->scratch, &labels, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		gold[labels[i]] = true;
	prediction_choices(p, h->control, predicted);
	if (p->n_proba == h->control->n_labels)
		metrics_add_set(&h->metrics, gold, predicted, p->trained, p->proba, false);
	return 0;
}

static int count_held_out(void *arg, const struct example *ex, const struct prediction *p, struct err *e)
{
	struct held_out *h = arg;
	size_t           gold = (size_t)control_label(h->control, ex->label);
	int              predicted = prediction_choice(p, h->control);

	if (control_multiple(h->control))
		return count_set(h, ex, p, e);
	if (predicted >= 0 && p->n_proba > gold)
		metrics_add_row(&h->metrics, gold, (size_t)predicted, p->trained[gold], p->proba[gold]);
	return 0;
}

/* Accuracy, F1 and log loss on examples that the model did not see: all of them
 * in turn while that is a matter of milliseconds, every fifth where fits are long.
 * After publishing, so that nobody waits for it; a next job ends it. */
static int held_out(struct run *r, const struct material *m, size_t kind, int64_t version, struct err *e)
{
	struct held_out h = { .config = m->config, .control = m->config->choices };
	size_t          folds = m->set.n_labelled < ALL_FOLDS ? CROSSVAL_FOLDS : 1;
	int             rc = -1;

	r->step = "evaluating";
	arena_init(&h.scratch, (size_t)1 << 30);
	if (metrics_init(&h.metrics, h.control->n_labels, e) == 0)
		rc = crossval(m->config, m->kind[kind], (struct examples){ m->labelled, m->set.n_labelled }, folds,
		              &m->settings, count_held_out, &h, e);
	if (rc == 0 && h.metrics.n > 0) {
		rc = store_begin(r->st, e);
		if (rc == 0 && (store_version_metrics(r->st, version, (int64_t)h.metrics.n, metrics_accuracy(&h.metrics),
		                                      metrics_macro_f1(&h.metrics), metrics_log_loss(&h.metrics), e) < 0 ||
		                store_commit(r->st, e) < 0)) {
			store_rollback(r->st);
			rc = -1;
		}
	}
	metrics_clear(&h.metrics);
	arena_clear(&h.scratch);
	return rc;
}

/* The kind whose choices can be counted right or wrong: one that chooses among the
 * labels and starts from the examples alone. */
static void evaluate(struct run *r, const struct material *m, int64_t version)
{
	struct err why = { 0 };

	for (size_t i = 0; i < m->n_kinds; i++)
		if (m->model[i] != NULL && m->config->choices != NULL && !m->kind[i]->any_example &&
		    m->kind[i]->serves(m->config, (struct span){ NULL, 0 }, &m->settings) == m->config->choices) {
			if (held_out(r, m, i, version, &why) < 0 && why.code != ERR_STOPPED)
				log_line(LOG_INFO, "job %lld: no held-out figures: %s", (long long)r->lease.job, why.msg);
			return;
		}
}

/* To a job that waits it gives no way: that one is faster for it. */
static bool not_stopped(void *arg)
{
	(void)arg;
	return !stopped;
}

/* What was new is read and cut once: the next training finds it so. */
static void keep_words(struct run *r, const struct material *m)
{
	struct err why = { 0 };

	r->step = "keeping words";
	if (m->set.form[0] != '\0' &&
	    examples_keep_words(&m->set, r->st, r->lease.project, m->config, m->settings.token_pattern, not_stopped, NULL, &why) < 0 &&
	    why.code != ERR_STOPPED)
		log_line(LOG_INFO, "job %lld: the next training reads all anew: %s", (long long)r->lease.job, why.msg);
}

/* ---- the order of Label Studio's queue ------------------------------------------------ */

static void push_shown(void *arg, const char *what, double share)
{
	struct run *r = arg;

	if (r->opt->show != NULL)
		r->opt->show(r->opt->arg, what, share);
}

/* Has the queue to be kept, and did waiting trainings cut the last pushes short?  Where
 * annotations come faster than a push is done, every third is done all the same. */
static int order_wanted(struct run *r, bool *wanted, struct err *e)
{
	struct push_row last = { .gave_way = 0 };
	struct project  p;
	struct arena    a;
	int             rc;

	arena_init(&a, (size_t)256 << 20);
	rc = store_project_get(r->st, r->lease.project, &a, &p, e) < 0 || store_push_get(r->st, r->lease.project, &a, &last, e) < 0
	     ? -1 : 0;
	*wanted = rc == 0 && p.uncertainty && r->env->ls_key != NULL;
	r->insists = last.gave_way >= GIVE_WAY;
	arena_clear(&a);
	return rc;
}

/* Predictions of the new version for all open tasks, then Label Studio's queue by them.
 * What fails or is cut short, the next training makes good; until then the queue has
 * the order of the version before. */
static void keep_order(struct run *r)
{
	const struct push_options opt = { goes_on, push_shown, r, r };
	struct push_result        result;
	struct err                why = { 0 };
	bool                      wanted = false;

	r->step = "writing predictions";
	if (order_wanted(r, &wanted, &why) == 0 && !wanted)
		return;
	if (wanted && push_uncertainty(r->st, r->env, r->lease.project, &opt, &result, &why) == 0)
		log_line(LOG_INFO, "job %lld: %lld predictions of %s written, Label Studio's queue is in their order",
		         (long long)r->lease.job, (long long)result.written, result.version);
	serving_clear();
	if (why.code != ERR_OK)
		log_line(why.code == ERR_STOPPED || why.code == ERR_BUSY ? LOG_INFO : LOG_WARNING,
		         "job %lld: Label Studio's queue keeps its order until the next training: %s", (long long)r->lease.job,
		         why.code == ERR_STOPPED ? "another job waits, or it was told to stop" : why.msg);
}

/* ---- one training -------------------------------------------------------------------- */

static bool due(const struct run *r, const struct project *p)
{
	return p->updates - p->updates_trained >= r->env->train_every;
}

/* Did the export, asked for because of events without payload or for its own sake,
 * bring what is due? */
static bool nothing_due(const struct run *r, const struct material *m)
{
	return (strcmp(r->lease.reason, "unread") == 0 || is_reading(r)) && !due(r, &m->project);
}

static int train(struct run *r, struct train_result *result, struct err *e)
{
	struct material m = { .config = NULL };
	struct version  v;

	/* Those that died did not get as far as to count what failed. */
	if (r->lease.attempt > JOB_ATTEMPTS_MAX)
		return err_set(e, ERR_MEMORY, "the trainer died in the last of %d attempts", JOB_ATTEMPTS_MAX);
	arena_init(&m.arena, (size_t)256 << 20);
	if (fetch(r, e) < 0 || gather(r, &m, e) < 0)
		goto out;
	r->nothing_due = nothing_due(r, &m);
	if (r->nothing_due) {
		err_set(e, ERR_TOO_FEW, "%s", r->refused.code != ERR_OK ? r->refused.msg
		                              : "Label Studio has nothing new to train on yet");
		goto out;
	}
	if (fit(r, &m, e) < 0 || publish(r, &m, &v, result->version, e) < 0)
		goto out;
	result->state = JOB_DONE;
	result->n_examples = v.n_examples;
	result->seconds = v.train_seconds;
	log_line(LOG_INFO, "job %lld: %s published, %lld examples, %.3f s", (long long)r->lease.job,
	         result->version, (long long)v.n_examples, v.train_seconds);
	r->published = true;
	keep_words(r, &m);
	evaluate(r, &m, v.row);
	material_clear(&m);
	keep_order(r);
	return 0;
out:
	if (r->lost.code != ERR_OK)
		*e = r->lost;
	material_clear(&m);
	return -1;
}

/* ---- how a job ends that did not publish ------------------------------------------- */

static int64_t back_off_s(int64_t attempt)
{
	int64_t s = RETRY_S;

	while (attempt-- > 1 && s < 300)
		s *= 2;
	/* Not all at once: up to half as much again. */
	return s + (int64_t)((uint64_t)clock_us() % (uint64_t)(s / 2 + 1));
}

/* Within the transaction that ends a job: events that came while it ran found one
 * running and queued none. */
static int queue_if_due(struct run *r, struct err *e)
{
	struct project p;
	struct arena   a;
	int            rc;

	arena_init(&a, (size_t)256 << 20);
	rc = store_project_get(r->st, r->lease.project, &a, &p, e);
	if (rc == 0 && due(r, &p))
		rc = store_job_queue(r->st, r->lease.project, "updates", clock_s(), NULL, e);
	arena_clear(&a);
	return rc;
}

static int end_job(struct run *r, const struct err *why, struct train_result *result, struct err *e)
{
	const struct lease *lease = &r->lease;
	int64_t             now = clock_s();
	int                 rc;

	snprintf(result->note, sizeof result->note, "%s", why->msg);
	if (why->code == ERR_LEASE) {
		result->state = JOB_NONE;
		log_line(LOG_WARNING, "%s", why->msg);
		return err_set(e, why->code, "%s", why->msg);
	}
	if (store_begin(r->st, e) < 0)
		return -1;
	if (why->code == ERR_STOPPED) {
		result->state = JOB_QUEUED;
		rc = store_lease_return(r->st, lease, e);
	} else if (r->nothing_due && r->refused.code == ERR_OK) {
		result->state = JOB_DONE;       /* it was to read, and has */
		rc = store_lease_finish(r->st, lease, JOB_DONE, now, NULL, e);
	} else if (why->code == ERR_TOO_FEW || why->code == ERR_SHAPE) {
		result->state = JOB_SKIPPED;
		rc = store_lease_finish(r->st, lease, JOB_SKIPPED, now, why->msg, e);
	} else if (lease->attempt >= JOB_ATTEMPTS_MAX) {
		/* No training has failed where none was due. */
		result->state = is_reading(r) ? JOB_SKIPPED : JOB_FAILED;
		rc = store_lease_finish(r->st, lease, result->state, now, why->msg, e);
	} else {
		result->state = JOB_QUEUED;
		rc = store_lease_retry(r->st, lease, now + back_off_s(lease->attempt), why->msg, e);
	}
	if (rc == 0 && (r->nothing_due || (is_reading(r) && why->code != ERR_STOPPED && why->code != ERR_TOO_FEW &&
	                                   why->code != ERR_SHAPE)))
		rc = queue_if_due(r, e);
	if (rc < 0 || store_commit(r->st, e) < 0) {
		store_rollback(r->st);
		return -1;
	}
	log_line(result->state == JOB_FAILED ? LOG_ERROR : LOG_INFO, "job %lld: %s: %s", (long long)lease->job,
	         why->code == ERR_STOPPED ? "handed back" : job_state_names[result->state], why->msg);
	return why->code == ERR_STOPPED ? err_set(e, ERR_STOPPED, "%s", why->msg) : 0;
}

/* Events, jobs and versions that lie further back than KEEP_HISTORY: here, where nobody
 * waits, and in transactions short enough for a webhook to pass between them.  What
 * fails or is cut short, the next job makes good. */
static void forget_old(struct run *r)
{
	struct err why = { 0 };
	int64_t    deleted = 0;
	double     held_s = 0, since;

	do {
		store_leave_turn(held_s);
		since = clock_monotonic();
		if (store_begin(r->st, &why) < 0 ||
		    store_history_prune(r->st, r->lease.project, r->env->keep_history, PRUNE_ROWS, &deleted, &why) < 0 ||
		    (deleted > 0 && store_commit(r->st, &why) < 0))
			log_line(LOG_INFO, "job %lld: old events and jobs stay: %s", (long long)r->lease.job, why.msg);
		store_rollback(r->st);
		held_s = clock_monotonic() - since;
	} while (why.code == ERR_OK && deleted > 0 && !stopped);
}

/* What `prelabel sync` does of a job: it reads, ends one that was for no more, hands
 * another back, and leaves the training to who runs those. */
static int read_only(struct run *r, struct train_result *result, struct err *e)
{
	int failed = fetch(r, e), rc;

	result->read = r->read;
	if (failed < 0 && r->lost.code != ERR_OK)
		*e = r->lost;
	if (failed < 0 && e->code == ERR_LEASE)
		return -1;
	if (store_begin(r->st, e) < 0)
		return -1;
	rc = is_reading(r) ? store_lease_finish(r->st, &r->lease, failed < 0 ? JOB_SKIPPED : JOB_DONE, clock_s(),
	                                        failed < 0 ? e->msg : NULL, e)
	                   : store_lease_return(r->st, &r->lease, e);
	if (rc < 0 || queue_if_due(r, e) < 0 || store_job_open(r->st, r->lease.project, &result->state, e) < 0 ||
	    store_commit(r->st, e) < 0) {
		store_rollback(r->st);
		return -1;
	}
	forget_old(r);
	return failed;
}

/* 0 taken; 1 nothing to take. */
static int take(struct run *r, int64_t project, bool queue, struct err *e)
{
	enum job_state state;
	int            rc = store_begin(r->st, e);

	if (rc < 0)
		return -1;
	/* Queued and taken in one transaction: no other trainer comes between.  Never
	 * behind a job that runs: its trainer would take that one as well. */
	if (queue && (rc = store_job_open(r->st, project, &state, e)) == 0 && state != JOB_RUNNING) {
		rc = store_job_queue(r->st, project, r->opt->sync ? "sync" : "command", clock_s(), NULL, e);
		if (rc == 0 && r->opt->sync)
			rc = store_job_now(r->st, project, e);
	}
	if (rc == 0)
		rc = store_lease_take(r->st, project, clock_s(), &r->lease, e);
	if (rc < 0 || store_commit(r->st, e) < 0) {
		store_rollback(r->st);
		return -1;
	}
	return rc;
}

int train_run(struct store *st, const struct env *env, int64_t project, const struct train_options *opt,
              struct train_result *result, struct err *e)
{
	bool queue = opt->foreground;

	*result = (struct train_result){ .state = JOB_NONE };
	for (;;) {
		struct run r = { .st = st, .env = env, .opt = opt, .began = clock_monotonic(),
		                 .renewed = clock_monotonic(), .step = "" };
		struct train_result one = { .state = JOB_NONE };
		struct err          why = { 0 };
		int                 rc = take(&r, project, queue, e);

		if (rc < 0)
			return -1;
		if (rc == 1) {
			if (!opt->foreground || result->state != JOB_NONE)
				return 0;
			/* Another trainer is at it; ours follows. */
			if (opt->show != NULL)
				opt->show(opt->arg, "waiting for the training under way", 0);
			for (int i = 0; i < 20 && !stopped; i++)
				usleep(50000);
			if (stopped)
				return err_set(e, ERR_STOPPED, "stopped");
			continue;
		}
		if (opt->sync)
			return read_only(&r, result, e);
		if (train(&r, &one, &why) < 0 && end_job(&r, &why, &one, e) < 0)
			return -1;
		forget_old(&r);
		/* A reading that somebody else had asked for is not what was asked for here. */
		if (!r.nothing_due) {
			queue = false;
			*result = one;
		}
		if (stopped)
			return 0;
	}
}

int train_due(struct store *st, const struct env *env, const struct train_options *opt, struct err *e)
{
	int64_t rows[DUE_AT_ONCE];
	size_t  n, taken, failed = 0;

	do {
		taken = 0;
		if (store_job_due(st, clock_s(), rows, countof(rows), &n, e) < 0)
			return -1;
		for (size_t i = 0; i < n && !stopped; i++) {
			struct train_result result;
			struct err          why = { 0 };

			if (train_run(st, env, rows[i], opt, &result, &why) < 0 && why.code != ERR_STOPPED) {
				log_line(LOG_ERROR, "project row %lld: %s", (long long)rows[i], why.msg);
				failed++;
			} else if (result.state != JOB_NONE) {
				taken++;
			}
		}
		/* What came meanwhile, and what was behind the first of many; not again what
		 * could not be taken. */
	} while (taken > 0 && !stopped);
	if (stopped)
		return err_set(e, ERR_STOPPED, "stopped");
	return failed == 0 ? 0 : err_set(e, ERR_STORE, "%zu trainings could not be run", failed);
}
