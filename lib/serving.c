/* serving.c - what answers for a project now. */
#include "serving.h"

#include "base/json.h"
#include "base/log.h"
#include "base/meter.h"
#include "digest.h"
#include "parts.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define KEEP_MAX   32                       /* entries */
#define KEEP_BYTES ((size_t)512 << 20)      /* of models together */

/* What one is found by, compared as it is: hashing a labeling config costs more than
 * all else that a request of one task takes here.  Settings are the process's. */
struct key {
	int64_t     version;                    /* model_version.row, 0: cold */
	struct span config, examples, params;   /* labeling config, hash of the version's examples, extra_params */
	bool        checked;                    /* its models were loaded and are gone: for the version alone */
};

struct entry {
	struct serving       s;                 /* first: a serving is its entry */
	struct label_config *config;            /* s.config, to be freed */
	char                *extra_params;      /* of s.settings, to be freed */
	struct key           key;               /* in key_text, to be freed */
	char                *key_text;
	int64_t              project;           /* project.row, 0: none */
	size_t               bytes;
	unsigned             users;             /* requests, and 1 for the table */
	uint64_t             used;              /* clock of the table when last taken */
	struct parts        *parts[MODEL_KINDS_MAX];    /* of models read in part: they read on; else NULL */
};

/* The one thing that threads of a process share. */
static struct {
	pthread_mutex_t mutex;                  /* of all below */
	pthread_mutex_t making;                 /* one is made at a time */
	struct entry   *entry[KEEP_MAX];
	uint64_t        clock;
} table = { .mutex = PTHREAD_MUTEX_INITIALIZER, .making = PTHREAD_MUTEX_INITIALIZER };

/* ---- the version string ----------------------------------------------------- */

static void hash_settings(crypto_hash_sha256_state *h, const struct env *env)
{
	char text[64];

	snprintf(text, sizeof text, "%s %.17g", env_token_pattern_name(env->token_pattern), env->logreg_c);
	digest_add(h, span_of(text));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* How many labels a text may have, and how its text is read, where that is not one
 * label of a Text. */
static void hash_reading(crypto_hash_sha256_state *h, const struct label_config *config)
{
	if (control_multiple(config->choices))
		digest_add(h, SPAN("multiple"));
	if (strcmp(config->text->type, "Text") != 0) {
		digest_add(h, span_of(config->text->type));
		digest_add(h, span_of(config->text->text_key));
	}
}

/* A control's labels in the order of their names. */
static int hash_labels(crypto_hash_sha256_state *h, const struct control_tag *control, struct err *e)
{
	size_t       n = control == NULL ? 0 : control->n_labels;
	const char **names = calloc(n + 1, sizeof *names);

	if (names == NULL)
		return err_memory(e);
	for (size_t i = 0; i < n; i++)
		names[i] = control->labels[i].name;
	qsort(names, n, sizeof *names, by_name);
	for (size_t i = 0; i < n; i++)
		digest_add(h, span_of(names[i]));
	free(names);
	return 0;
}

int serving_version(const struct env *env, const struct label_config *config, const char *names,
                    const struct version_of *v, char out[VERSION_TEXT_MAX], struct err *e)
{
	const struct model_settings settings = { .command = env->model_command };
	const struct model_kind    *kind[MODEL_KINDS_MAX];
	const size_t                n = model_kinds_for(config, names, &settings, kind);
	crypto_hash_sha256_state    h;
	unsigned char               sum[crypto_hash_sha256_BYTES];
	char                        hex[7], name[VERSION_TEXT_MAX - 32] = "none", formats[32] = "";
	size_t                      at = 0, f = 0;

	for (size_t i = 0; i < n && at < sizeof name - 1 && f < sizeof formats - 1; i++) {
		at += (size_t)snprintf(name + at, sizeof name - at, "%s%s", i == 0 ? "" : "+", kind[i]->name);
		f += (size_t)snprintf(formats + f, sizeof formats - f, "%s%u", i == 0 ? "" : "+", kind[i]->format);
	}
	crypto_hash_sha256_init(&h);
	digest_add(&h, SPAN("prelabel model version"));
	digest_add(&h, v != NULL ? v->examples_hash : SPAN(""));
	for (size_t i = 0; i < n; i++) {
		const struct control_tag *control = kind[i]->serves(config, (struct span){ NULL, 0 }, &settings);

		digest_add(&h, SPAN("labels"));
		if (hash_labels(&h, control, e) < 0)
			return -1;
		if (control != NULL && control == config->choices)
			hash_reading(&h, config);
	}
	digest_add(&h, SPAN("settings"));
	hash_settings(&h, env);
	digest_add(&h, v != NULL ? v->formats : span_of(formats));
	crypto_hash_sha256_final(&h, sum);
	sodium_bin2hex(hex, sizeof hex, sum, 3);
	snprintf(out, VERSION_TEXT_MAX, "%s-%lld-%s", name, (long long)(v != NULL ? v->number : 0), hex);
	return 0;
}

/* ---- settings of a project ------------------------------------------------------- */

const char *serving_kinds(const struct env *env, const struct project *p, struct arena *a)
{
	struct span params, value, text;

	if (p != NULL && p->extra_params.p != NULL && json_check(p->extra_params, &params, NULL) == 0 &&
	    json_member(params, "model", &value) == 0 &&
	    json_text(value, a, &text, NULL) == 0 && text.len > 0) {
		const char *names = arena_copy(a, text);

		/* A name that is none serves nothing: better what would be served without it. */
		if (names != NULL && strlen(names) == text.len && model_kinds_check(names, NULL) == 0)
			return names;
	}
	if (env->model != NULL)
		return env->model;
	return env->model_command != NULL ? "exec" : NULL;
}

void serving_settings(const struct env *env, const struct project *p, struct model_settings *s)
{
	*s = (struct model_settings){ .token_pattern = (enum token_pattern)env->token_pattern,
		.logreg_c = env->logreg_c, .threads = 1, .command = env->model_command, .folder = env->model_dir };
	if (p != NULL && p->extra_params.p != NULL)
		s->extra_params = p->extra_params;
}

/* ---- making one -------------------------------------------------------------- */

static void free_models(struct entry *en)
{
	for (size_t i = 0; i < en->s.n; i++)
		if (en->s.part[i].model != NULL)
			en->s.part[i].kind->free(en->s.part[i].model);
	en->s.n = 0;
	for (size_t i = 0; i < MODEL_KINDS_MAX; i++) {
		if (en->parts[i] != NULL)
			parts_close(en->parts[i]);
		free(en->parts[i]);
		en->parts[i] = NULL;
	}
}

static void entry_free(struct entry *en)
{
	if (en == NULL)
		return;
	free_models(en);
	label_config_free(en->config);
	free(en->extra_params);
	free(en->key_text);
	free(en);
}

/* One kind's model: of the version, or cold where the version has none of it, or
 * none for these labels.  parts: for one that reads on, until parts_close(); or NULL. */
static int make_model(struct store *st, const struct project *p, struct serving *s,
                      const struct model_kind *kind, struct parts *parts, struct model **m, struct err *e)
{
	struct parts own = { .n = 0 }, *from = parts == NULL ? &own : parts;
	unsigned     format = parts_open(from, st, p, kind->name);
	int          rc = 1;

	s->settings.kind = kind;
	if (format > kind->format)
		return err_set(e, ERR_DAMAGED, "format %u of %s was written by a newer prelabel", format, kind->name);
	s->settings.in_part = parts == NULL ? NULL : &parts->partial;
	if (format > 0)
		rc = kind->load(m, s->config, &s->settings, format, &from->source, e);
	s->settings.in_part = NULL;
	if (parts == NULL)
		parts_close(&own);
	if (rc == 0)
		meter_add(METER_LOADS, 1);
	return rc == 1 ? kind->cold(m, s->config, &s->settings, e) : rc;
}

static int make_models(struct store *st, const struct project *p, struct entry *en, const char *names, bool in_part,
                       struct err *e)
{
	const struct model_kind *kind[MODEL_KINDS_MAX];
	size_t                   n = model_kinds_for(en->s.config, names, &en->s.settings, kind);

	for (size_t i = 0; i < n; i++) {
		en->s.part[i].kind = kind[i];
		en->s.part[i].model = NULL;
		if (in_part && (en->parts[i] = calloc(1, sizeof *en->parts[i])) == NULL)
			return err_memory(e);
		if (make_model(st, p, &en->s, kind[i], en->parts[i], &en->s.part[i].model, e) < 0)
			return -1;
		en->s.n = i + 1;
	}
	return 0;
}

/* A damaged version is not served again, by this process or another; the project
 * then has the one before it.  One that is no longer in force was not damaged: its
 * parts may have been deleted when the next was published (KEEP_VERSIONS=1). */
static int give_up_version(struct store *st, struct project *p, struct arena *a, const struct err *why,
                           struct err *e)
{
	const int64_t row = p->version.row;

	/* Where the disk gives nothing at all, it is not the version that is damaged. */
	store_drop_cache(st);
	if (store_project_get(st, p->row, a, p, e) < 0)
		return -1;
	if (p->version.row != row)
		return 0;
	log_line(LOG_ERROR, "project %lld: version %lld is damaged (%s): going back to the one before",
	         (long long)p->id, (long long)p->version.number, why->msg);
	if (store_version_damaged(st, row, e) < 0)
		return -1;
	return store_project_get(st, p->row, a, p, e);
}

/* What is kept of the elements of this very config. */
static struct span elements_of(const struct project *p, struct span label_config)
{
	return p != NULL && span_eq(p->label_config, label_config) ? p->config_elements : (struct span){ NULL, 0 };
}

static int make(struct store *st, const struct env *env, struct project *p, struct arena *a,
                struct span label_config, const char *names, bool in_part, struct entry **out, struct err *e)
{
	struct entry *en = calloc(1, sizeof *en);
	struct err    why = { 0 };
	bool          again = false;

	if (en == NULL)
		return err_memory(e);
	if (label_config_replay(&en->config, label_config, elements_of(p, label_config), e) < 0)
		goto fail;
	en->s.config = en->config;
	serving_settings(env, p, &en->s.settings);
	if (en->s.settings.extra_params.p != NULL) {
		en->extra_params = strndup(en->s.settings.extra_params.p, en->s.settings.extra_params.len);
		if (en->extra_params == NULL) {
			err_memory(e);
			goto fail;
		}
		en->s.settings.extra_params.p = en->extra_params;
	}
	en->s.in_part = in_part;
	while (make_models(st, p, en, names, in_part, &why) < 0) {
		free_models(en);
		if (in_part || why.code != ERR_DAMAGED || p == NULL || p->version.row == 0) {
			err_set(e, why.code, "%s", why.msg);
			goto fail;
		}
		/* SQLite calls a disk's error "damaged", too: such a one may pass. */
		if (again && give_up_version(st, p, a, &why, e) < 0)
			goto fail;
		again = !again;
		err_clear(&why);
	}
	if (p != NULL && p->version.row != 0) {
		const struct version_of v = { p->version.examples_hash, p->version.formats, p->version.number };

		if (serving_version(env, en->s.config, names, &v, en->s.version, e) < 0)
			goto fail;
	} else if (serving_version(env, en->s.config, names, NULL, en->s.version, e) < 0) {
		goto fail;
	}
	for (size_t i = 0; i < en->s.n; i++)
		en->bytes += en->s.part[i].kind->bytes(en->s.part[i].model);
	*out = en;
	return 0;
fail:
	entry_free(en);
	return -1;
}

/* ---- predicting ------------------------------------------------------------------ */

/* Has the editor selected something? */
static bool interactive(struct span context)
{
	struct span result;

	return context.len > 0 && json_member(context, "result", &result) == 0 && json_count(result) > 0;
}

/* Adds what one kind says to what the others said. */
static int merge(struct prediction *p, const struct prediction *one, struct arena *scratch, struct err *e)
{
	struct region *all;
	size_t         n = p->n_regions + one->n_regions;

	if (p->n_proba == 0) {
		p->proba = one->proba;
		p->trained = one->trained;
		p->n_proba = one->n_proba;
	}
	if (one->n_regions == 0)
		return 0;
	p->score = p->n_regions == 0 || one->score < p->score ? one->score : p->score;
	if (p->n_regions == 0) {
		p->regions = one->regions;
		p->n_regions = n;
		return 0;
	}
	all = arena_array(scratch, n, sizeof *all);
	if (all == NULL)
		return err_memory(e);
	memcpy(all, p->regions, p->n_regions * sizeof *all);
	memcpy(all + p->n_regions, one->regions, one->n_regions * sizeof *all);
	p->regions = all;
	p->n_regions = n;
	return 0;
}

size_t serving_batch(const struct serving *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->part[i].kind->predict_batch != NULL)
			return SERVING_BATCH_MAX;
	return 1;
}

/* What one kind says to the tasks, merged with what the others said. */
static int ask(const struct serving *s, size_t part, const struct task tasks[], size_t n, struct span context,
               struct arena *scratch, struct prediction p[], struct err *e)
{
	const struct model_kind *kind = s->part[part].kind;
	struct prediction        one[SERVING_BATCH_MAX];

	memset(one, 0, n * sizeof *one);
	if (kind->predict_batch != NULL &&
	    kind->predict_batch(s->part[part].model, tasks, n, context, scratch, one, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (kind->predict_batch == NULL &&
		    kind->predict(s->part[part].model, &tasks[i], context, scratch, &one[i], e) < 0)
			return -1;
		if (prediction_check(&one[i], s->config, e) < 0 || merge(&p[i], &one[i], scratch, e) < 0)
			return -1;
	}
	return 0;
}

int serving_predict_batch(const struct serving *s, const struct task tasks[], size_t n, struct span context,
                          struct arena *scratch, struct prediction p[], struct err *e)
{
	const bool alone = interactive(context);

	memset(p, 0, n * sizeof *p);
	for (size_t i = 0; i < s->n; i++) {
		if (alone && s->part[i].kind->serves(s->config, context, &s->settings) == NULL)
			continue;
		if (ask(s, i, tasks, n, context, scratch, p, e) < 0)
			return -1;
		if (alone)
			break;
	}
	return 0;
}

int serving_predict(const struct serving *s, const struct task *task, struct span context,
                    struct arena *scratch, struct prediction *p, struct err *e)
{
	return serving_predict_batch(s, task, 1, context, scratch, p, e);
}

/* ---- the table ----------------------------------------------------------------- */

static struct key key_of(const struct project *p, struct span label_config, bool checked)
{
	if (p == NULL)
		return (struct key){ .config = label_config, .checked = checked };
	return (struct key){ p->version.row, label_config,
	                     p->version.row == 0 ? (struct span){ NULL, 0 } : p->version.examples_hash, p->extra_params,
	                     checked };
}

static bool key_is(const struct key *a, const struct key *b)
{
	return a->version == b->version && a->checked == b->checked && span_eq(a->examples, b->examples) && span_eq(a->params, b->params) &&
	       span_eq(a->config, b->config);
}

static int keep_key(struct entry *en, const struct key *k, struct err *e)
{
	struct span *of[] = { &en->key.config, &en->key.examples, &en->key.params };
	char        *at = malloc(k->config.len + k->examples.len + k->params.len + 1);

	if (at == NULL)
		return err_memory(e);
	en->key_text = at;
	en->key = *k;
	for (size_t i = 0; i < countof(of); i++) {
		if (of[i]->len > 0)
			memcpy(at, of[i]->p, of[i]->len);
		of[i]->p = at;
		at += of[i]->len;
	}
	en->bytes += (size_t)(at - en->key_text);
	return 0;
}

static struct entry *look_up(const struct key *k)
{
	struct entry *found = NULL;

	pthread_mutex_lock(&table.mutex);
	for (size_t i = 0; i < KEEP_MAX && found == NULL; i++) {
		struct entry *en = table.entry[i];

		if (en != NULL && key_is(&en->key, k))
			found = en;
	}
	if (found != NULL) {
		found->users++;
		found->used = ++table.clock;
	}
	pthread_mutex_unlock(&table.mutex);
	return found;
}

static void unuse(struct entry *en)      /* with the mutex held */
{
	if (--en->users == 0)
		entry_free(en);
}

/* Makes room for one more of `bytes`: the one that was used longest ago goes. */
static size_t free_slot(size_t bytes)    /* with the mutex held */
{
	for (;;) {
		size_t sum = bytes, empty = KEEP_MAX, oldest = KEEP_MAX;

		for (size_t i = 0; i < KEEP_MAX; i++) {
			const struct entry *en = table.entry[i];

			if (en == NULL) {
				empty = i;
				continue;
			}
			sum += en->bytes;
			if (oldest == KEEP_MAX || en->used < table.entry[oldest]->used)
				oldest = i;
		}
		if (empty < KEEP_MAX && (sum <= KEEP_BYTES || oldest == KEEP_MAX))
			return empty;
		unuse(table.entry[oldest]);
		table.entry[oldest] = NULL;
	}
}

/* Versions of the project before the new one: nobody asks for them any more.  (Who takes
 * an older one into force again loads it again.) */
static void drop_older(struct entry *new, int64_t project)      /* with the mutex held */
{
	new->project = project;
	for (size_t i = 0; i < KEEP_MAX; i++) {
		struct entry *en = table.entry[i];

		if (en == NULL || en->project != project || en->key.version >= new->key.version)
			continue;
		table.entry[i] = NULL;
		unuse(en);
	}
}

/* checked: once its models have been loaded, and so found whole, they are freed. */
static int get(struct store *st, const struct env *env, const struct project *project, struct span label_config,
               bool checked, struct serving **s, struct err *e)
{
	struct project p;
	struct arena   a;
	struct entry  *en;
	struct key     k = key_of(project, label_config, checked);
	size_t         slot;
	int            rc = 0;
	bool           made = false;

	en = look_up(&k);
	if (en != NULL) {
		*s = &en->s;
		return 0;
	}
	if (label_config.len > LABEL_CONFIG_BYTES_MAX)
		return err_set(e, ERR_SHAPE, "the labeling config has %zu bytes, the limit is %zu", label_config.len,
		               LABEL_CONFIG_BYTES_MAX);
	arena_init(&a, (size_t)64 << 20);
	pthread_mutex_lock(&table.making);
	en = look_up(&k);           /* somebody may have made it while this thread waited */
	if (en == NULL) {
		if (project != NULL)
			p = *project;
		rc = make(st, env, project == NULL ? NULL : &p, &a, label_config, serving_kinds(env, project, &a), false, &en, e);
		if (rc == 0) {
			if (checked) {
				free_models(en);
				en->bytes = 0;
			}
			/* p: a damaged version was given up on the way; what it was made with
			 * beside the version is as it was asked for, p may have newer settings. */
			k = key_of(project == NULL ? NULL : &p, label_config, checked);
			k.params = project == NULL ? (struct span){ NULL, 0 } : project->extra_params;
			rc = keep_key(en, &k, e);
			if (rc < 0)
				entry_free(en);
		}
		if (rc == 0) {
			en->users = 2;
			made = true;
			pthread_mutex_lock(&table.mutex);
			if (project != NULL)
				drop_older(en, project->row);
			slot = free_slot(en->bytes);
			en->used = ++table.clock;
			table.entry[slot] = en;
			pthread_mutex_unlock(&table.mutex);
		}
	}
	arena_clear(&a);
	/* The parts, twice, lay where now holes are. */
	if (made)
		malloc_trim(0);
	pthread_mutex_unlock(&table.making);
	if (rc == 0)
		*s = &en->s;
	return rc;
}

int serving_get(struct store *st, const struct env *env, const struct project *project, struct span label_config,
                struct serving **s, struct err *e)
{
	return get(st, env, project, label_config, false, s, e);
}

int serving_get_checked(struct store *st, const struct env *env, const struct project *project, struct span label_config,
                        struct serving **s, struct err *e)
{
	return get(st, env, project, label_config, true, s, e);
}

int serving_get_once(struct store *st, const struct env *env, const struct project *project, struct span label_config,
                     struct serving **s, struct err *e)
{
	struct project p;
	struct arena   a;
	struct entry  *en = NULL;
	struct err     why = { .code = ERR_DAMAGED };    /* one that the whole may not have */
	int            rc = -1;

	if (label_config.len <= LABEL_CONFIG_BYTES_MAX && project != NULL && project->version.row != 0) {
		p = *project;
		err_clear(&why);
		arena_init(&a, (size_t)64 << 20);
		rc = make(st, env, &p, &a, label_config, serving_kinds(env, project, &a), true, &en, &why);
		arena_clear(&a);
	}
	if (rc < 0 && why.code != ERR_DAMAGED && why.code != ERR_STORE)
		return err_set(e, why.code, "%s", why.msg);
	if (rc < 0)
		return serving_get(st, env, project, label_config, s, e);
	en->users = 1;                           /* of one request: not in the table */
	*s = &en->s;
	return 0;
}

void serving_release(struct serving *s)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&table.mutex);
	unuse((struct entry *)s);
	pthread_mutex_unlock(&table.mutex);
}

void serving_clear(void)
{
	pthread_mutex_lock(&table.mutex);
	for (size_t i = 0; i < KEEP_MAX; i++) {
		if (table.entry[i] != NULL)
			unuse(table.entry[i]);
		table.entry[i] = NULL;
	}
	pthread_mutex_unlock(&table.mutex);
}
