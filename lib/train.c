/* train.c - lease -> examples -> fit -> publish -> evaluate. */
#include "train.h"

#include "base/clock.h"
#include "base/log.h"
#include "examples.h"
#include "learn/metrics.h"
#include "predict.h"
#include "reconcile.h"
#include "serving.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RENEW_S      (LEASE_S / 3)
#define RETRY_S      5              /* first back-off; doubled by each attempt */
#define HELD_OUT     5              /* every fifth example */
#define HELD_OUT_MIN 20             /* examples below which a held-out figure means nothing */

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
};

/* ---- the lease --------------------------------------------------------------- */

static bool next_job_waits(const struct run *r)
{
	enum job_state state;

	return store_job_open(r->st, r->lease.project, &state, NULL) < 0 || state == JOB_QUEUED;
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
		return !next_job_waits(r);
	if (store_lease_renew(r->st, &r->lease, clock_s(), share, &r->lost) == 0)
		return true;
	/* A store that is busy for a moment costs no training: the lease has two
	 * more thirds.  A lost lease does. */
	if (r->lost.code != ERR_BUSY)
		return false;
	err_clear(&r->lost);
	return true;
}

static bool fetch_goes_on(void *arg)
{
	return still_ours(arg, 0);
}

/* ---- the steps ------------------------------------------------------------------ */

/* With a key: what Label Studio has comes first.  A refused key is no reason not
 * to learn from what the webhooks brought; a Label Studio that does not answer is
 * worth another attempt. */
static int fetch(struct run *r, struct err *e)
{
	struct reconcile_result result;
	struct err              why = { 0 };
	int                     rc;

	if (r->env->ls_key == NULL)
		return 0;
	r->step = "reading Label Studio's export";
	if (reconcile(r->st, r->env, r->lease.project, fetch_goes_on, r, &result, &why) == 0) {
		log_line(LOG_INFO, "job %lld: export read, %lld tasks, %lld annotations changed",
		         (long long)r->lease.job, (long long)result.tasks, (long long)result.changed);
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
	if (why.code != ERR_AUTH && why.code != ERR_NOT_FOUND)
		return err_set(e, why.code, "%s", why.msg);
	log_line(LOG_WARNING, "job %lld: %s; training on what the webhooks brought", (long long)r->lease.job, why.msg);
	return 0;
}

/* What one training works on. */
struct material {
	struct arena         arena;
	struct project       project;       /* as it was when the examples were read */
	struct label_config *config;
	struct example_set   set;
};

static void material_clear(struct material *m)
{
	examples_clear(&m->set);
	label_config_free(m->config);
	arena_clear(&m->arena);
}

/* Counter and examples in one view: what comes later counts for the next one. */
static int gather(struct run *r, struct material *m, struct err *e)
{
	int rc = -1;

	if (store_begin_read(r->st, e) < 0)
		return -1;
	if (store_project_get(r->st, r->lease.project, &m->arena, &m->project, e) == 0) {
		if (m->project.label_config.p == NULL)
			err_set(e, ERR_TOO_FEW, "no labeling config is known yet");
		else if (label_config_parse(&m->config, m->project.label_config, e) == 0) {
			if (m->config->choices == NULL)
				err_set(e, ERR_TOO_FEW, "%s", m->config->reason);
			else
				rc = examples_read(&m->set, r->st, r->lease.project, m->config, e);
		}
	}
	store_rollback(r->st);
	return rc;
}

static void settings_of(struct run *r, struct fit_settings *s)
{
	*s = (struct fit_settings){ .token_pattern = (enum token_pattern)r->env->token_pattern,
		.logreg_c = r->env->logreg_c, .threads = (int)r->env->train_threads,
		.progress = still_ours, .arg = r };
}

static int publish(struct run *r, const struct material *m, const struct model_kind *kind, struct model *model,
                   struct version *v, struct err *e)
{
	struct version_part part[MODEL_PARTS_MAX];
	struct model_parts  saved = { .n = 0 };
	int                 rc = -1;

	*v = (struct version){ .kind = span_of(kind->name), .format = (int64_t)kind->format,
		.labels = m->project.labels, .examples_hash = span_of(m->set.hash),
		.n_examples = (int64_t)m->set.n, .n_cancelled = m->set.n_cancelled, .n_empty = m->set.n_empty,
		.n_unknown = m->set.n_unknown, .n_overruled = m->set.n_overruled,
		.token_pattern = span_of(env_token_pattern_name(r->env->token_pattern)),
		.logreg_c = r->env->logreg_c, .created_s = clock_s(),
		.train_seconds = clock_monotonic() - r->began };
	if (kind->save(model, &saved, e) < 0)
		goto out;
	for (size_t i = 0; i < saved.n; i++)
		part[i] = (struct version_part){ saved.v[i].name, buf_span(&saved.v[i].bytes) };
	if (store_begin(r->st, e) < 0)
		goto out;
	if (store_version_publish(r->st, &r->lease, v, part, saved.n, m->project.updates, r->env->train_every,
	                          r->env->keep_versions, e) == 0)
		rc = store_commit(r->st, e);
	if (rc < 0)
		store_rollback(r->st);
out:
	model_parts_clear(&saved);
	return rc;
}

/* Accuracy, F1 and log loss of a model that never saw every fifth example.  After
 * publishing, so that nobody waits for it; a next job ends it. */
static int held_out(struct run *r, const struct material *m, const struct model_kind *kind, int64_t version,
                    struct err *e)
{
	struct fit_settings settings;
	struct metrics      metrics = { .n = 0 };
	struct serving      s = { .config = m->config, .kind = kind };
	struct example     *rest;
	struct arena        scratch;
	size_t              n_rest = 0, n_labels = m->config->choices->n_labels;
	int                 rc = -1;

	if (m->set.n < HELD_OUT_MIN)
		return 0;
	settings_of(r, &settings);
	r->step = "evaluating";
	rest = calloc(m->set.n, sizeof *rest);
	if (rest == NULL)
		return err_memory(e);
	for (size_t i = 0; i < m->set.n; i++)
		if (i % HELD_OUT != HELD_OUT - 1)
			rest[n_rest++] = m->set.v[i];
	arena_init(&scratch, (size_t)1 << 30);
	if (metrics_init(&metrics, n_labels, e) < 0 ||
	    kind->fit(&s.model, m->config, (struct examples){ rest, n_rest }, &settings, e) < 0)
		goto out;
	for (size_t i = HELD_OUT - 1; i < m->set.n; i += HELD_OUT) {
		const struct example *ex = &m->set.v[i];
		struct prediction     p;
		size_t                gold = (size_t)control_label(m->config->choices, ex->label);

		arena_reset(&scratch);
		if (predict_text(&s, ex->text, &scratch, &p, e) < 0)
			goto out;
		metrics_add_row(&metrics, gold, (size_t)control_label(m->config->choices, span_of(p.regions[0].choices[0])),
		                p.trained[gold], p.proba[gold]);
	}
	if (store_begin(r->st, e) == 0) {
		rc = store_version_metrics(r->st, version, (int64_t)metrics.n, metrics_accuracy(&metrics),
		                           metrics_macro_f1(&metrics), metrics_log_loss(&metrics), e);
		if (rc < 0 || (rc = store_commit(r->st, e)) < 0)
			store_rollback(r->st);
	}
out:
	if (s.model != NULL)
		kind->free(s.model);
	metrics_clear(&metrics);
	arena_clear(&scratch);
	free(rest);
	return rc;
}

/* Did the export, asked for because of events without payload, bring what is due? */
static bool nothing_due(const struct run *r, const struct material *m)
{
	return strcmp(r->lease.reason, "unread") == 0 &&
	       m->project.updates - m->project.updates_trained < r->env->train_every;
}

static int train(struct run *r, struct train_result *result, struct err *e)
{
	const struct model_kind *kind = NULL;
	struct fit_settings      settings;
	struct material          m = { .config = NULL };
	struct model            *model = NULL;
	struct version           v;
	struct err               why = { 0 };
	int                      rc = -1;

	arena_init(&m.arena, (size_t)256 << 20);
	if (fetch(r, e) < 0 || gather(r, &m, e) < 0)
		goto out;
	if (nothing_due(r, &m)) {
		err_set(e, ERR_TOO_FEW, "Label Studio has nothing new to train on yet");
		goto out;
	}
	kind = model_kind_for(m.config);
	if (kind == NULL) {
		err_set(e, ERR_TOO_FEW, "no kind of model serves this labeling config");
		goto out;
	}
	settings_of(r, &settings);
	r->step = "training";
	if (kind->fit(&model, m.config, (struct examples){ m.set.v, m.set.n }, &settings, e) < 0)
		goto out;
	r->step = "publishing";
	if (publish(r, &m, kind, model, &v, e) < 0)
		goto out;
	rc = 0;
	result->state = JOB_DONE;
	result->n_examples = v.n_examples;
	result->seconds = v.train_seconds;
	{
		const struct version_of of = { v.kind, v.examples_hash, v.number, v.format };

		(void)serving_version(r->env, m.config, &of, result->version, NULL);
	}
	log_line(LOG_INFO, "job %lld: %s published, %lld examples, %.3f s", (long long)r->lease.job,
	         result->version, (long long)v.n_examples, v.train_seconds);
	r->published = true;
	if (held_out(r, &m, kind, v.row, &why) < 0 && why.code != ERR_STOPPED)
		log_line(LOG_INFO, "job %lld: no held-out figures: %s", (long long)r->lease.job, why.msg);
out:
	if (rc < 0 && r->lost.code != ERR_OK)
		*e = r->lost;
	if (model != NULL)
		kind->free(model);
	material_clear(&m);
	return rc;
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
	} else if (why->code == ERR_TOO_FEW || why->code == ERR_SHAPE) {
		result->state = JOB_SKIPPED;
		rc = store_lease_finish(r->st, lease, JOB_SKIPPED, now, why->msg, e);
	} else if (lease->attempt >= JOB_ATTEMPTS_MAX) {
		result->state = JOB_FAILED;
		rc = store_lease_finish(r->st, lease, JOB_FAILED, now, why->msg, e);
	} else {
		result->state = JOB_QUEUED;
		rc = store_lease_retry(r->st, lease, now + back_off_s(lease->attempt), why->msg, e);
	}
	if (rc < 0 || store_commit(r->st, e) < 0) {
		store_rollback(r->st);
		return -1;
	}
	log_line(result->state == JOB_FAILED ? LOG_ERROR : LOG_INFO, "job %lld: %s: %s", (long long)lease->job,
	         why->code == ERR_STOPPED ? "handed back" : job_state_names[result->state], why->msg);
	return why->code == ERR_STOPPED ? err_set(e, ERR_STOPPED, "%s", why->msg) : 0;
}

/* 0 taken; 1 nothing to take. */
static int take(struct run *r, int64_t project, bool queue, struct err *e)
{
	int rc = store_begin(r->st, e);

	if (rc < 0)
		return -1;
	/* Queued and taken in one transaction: no other trainer comes between. */
	if (queue)
		rc = store_job_queue(r->st, project, "command", clock_s(), NULL, e);
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
		struct err why = { 0 };
		int        rc = take(&r, project, queue, e);

		if (rc < 0)
			return -1;
		if (rc == 1) {
			if (!opt->foreground || result->state != JOB_NONE)
				return 0;
			/* Another trainer is at it; ours follows (store_job_queue noted it). */
			if (opt->show != NULL)
				opt->show(opt->arg, "waiting for the training under way", 0);
			queue = false;
			for (int i = 0; i < 20 && !stopped; i++)
				usleep(50000);
			if (stopped)
				return err_set(e, ERR_STOPPED, "stopped");
			continue;
		}
		queue = false;
		if (train(&r, result, &why) < 0 && end_job(&r, &why, result, e) < 0)
			return -1;
		if (stopped)
			return 0;
	}
}
