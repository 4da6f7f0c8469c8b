/* serving.c - what answers for a project now. */
#include "serving.h"

#include "base/log.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define KEEP_MAX   32                       /* entries */
#define KEEP_BYTES ((size_t)512 << 20)      /* of models together */

struct key {
	int64_t       version;                  /* model_version.row, 0: cold */
	unsigned char hash[32];                 /* of config, version's examples and settings */
};

struct entry {
	struct serving s;                       /* first: a serving is its entry */
	struct label_config *config;            /* s.config, to be freed */
	struct key     key;
	size_t         bytes;
	unsigned       users;                   /* requests, and 1 for the table */
	uint64_t       used;                    /* clock of the table when last taken */
};

/* The one thing that threads of a process share. */
static struct {
	pthread_mutex_t mutex;                  /* of all below */
	pthread_mutex_t making;                 /* one is made at a time */
	struct entry   *entry[KEEP_MAX];
	uint64_t        clock;
} table = { .mutex = PTHREAD_MUTEX_INITIALIZER, .making = PTHREAD_MUTEX_INITIALIZER };

/* ---- the version string ----------------------------------------------------- */

static void hash_span(crypto_hash_sha256_state *h, struct span s)
{
	unsigned char len[8];

	for (size_t i = 0; i < sizeof len; i++)
		len[i] = (unsigned char)((uint64_t)s.len >> (8 * i));
	crypto_hash_sha256_update(h, len, sizeof len);
	crypto_hash_sha256_update(h, (const unsigned char *)s.p, s.len);
}

static void hash_settings(crypto_hash_sha256_state *h, const struct env *env)
{
	char text[64];

	snprintf(text, sizeof text, "%s %.17g", env_token_pattern_name(env->token_pattern), env->logreg_c);
	hash_span(h, span_of(text));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int serving_version(const struct env *env, const struct label_config *config, const struct version_of *v,
                    char out[VERSION_TEXT_MAX], struct err *e)
{
	const struct model_kind *kind = model_kind_for(config);
	crypto_hash_sha256_state h;
	unsigned char            sum[crypto_hash_sha256_BYTES];
	size_t                   n = config->choices == NULL ? 0 : config->choices->n_labels;
	const char             **names = calloc(n + 1, sizeof *names);
	char                     hex[7], format[24];
	struct span              name;

	if (names == NULL)
		return err_memory(e);
	for (size_t i = 0; i < n; i++)
		names[i] = config->choices->labels[i].name;
	qsort(names, n, sizeof *names, by_name);

	name = kind == NULL ? SPAN("none") : v != NULL ? v->kind : span_of(kind->name);
	snprintf(format, sizeof format, "%lld", (long long)(v != NULL ? v->format : kind == NULL ? 0 : (long long)kind->format));
	crypto_hash_sha256_init(&h);
	hash_span(&h, SPAN("prelabel model version"));
	hash_span(&h, v != NULL ? v->examples_hash : SPAN(""));
	for (size_t i = 0; i < n; i++)
		hash_span(&h, span_of(names[i]));
	hash_span(&h, SPAN("settings"));
	hash_settings(&h, env);
	hash_span(&h, span_of(format));
	crypto_hash_sha256_final(&h, sum);
	free(names);
	sodium_bin2hex(hex, sizeof hex, sum, 3);
	snprintf(out, VERSION_TEXT_MAX, "%.*s-%lld-%s", (int)(name.len > 40 ? 40 : name.len), name.p,
	         (long long)(v != NULL ? v->number : 0), hex);
	return 0;
}

/* ---- making one -------------------------------------------------------------- */

static void entry_free(struct entry *en)
{
	if (en == NULL)
		return;
	if (en->s.model != NULL)
		en->s.kind->free(en->s.model);
	label_config_free(en->config);
	free(en);
}

/* The parts of one version, as a model kind asks for them. */
struct parts {
	struct store *store;
	int64_t       version;
	void         *held[MODEL_PARTS_MAX];
	size_t        n;
};

static int read_part(void *arg, const char *name, struct span *bytes, struct err *e)
{
	struct parts *p = arg;
	int           rc;

	if (p->n == MODEL_PARTS_MAX)
		return err_set(e, ERR_DAMAGED, "too many parts");
	rc = store_part(p->store, p->version, name, bytes, e);
	if (rc == 1)
		return err_set(e, ERR_DAMAGED, "part \"%s\" is missing", name);
	if (rc == 0)
		p->held[p->n++] = (void *)(uintptr_t)bytes->p;
	return rc;
}

/* 0; 1 it serves none of the config's labels; -1. */
static int load(struct store *st, const struct project *p, struct entry *en, struct err *e)
{
	struct parts              parts = { .store = st, .version = p->version.row };
	const struct part_source  source = { read_part, &parts };
	char                      name[48];
	int                       rc;

	snprintf(name, sizeof name, "%.*s", (int)(p->version.kind.len > 40 ? 40 : p->version.kind.len), p->version.kind.p);
	en->s.kind = model_kind_named(name);
	if (en->s.kind == NULL)
		return err_set(e, ERR_DAMAGED, "there is no kind of model \"%s\"", name);
	if (p->version.format > (int64_t)en->s.kind->format)
		return err_set(e, ERR_DAMAGED, "format %lld of %s was written by a newer prelabel",
		               (long long)p->version.format, name);
	if (!en->s.kind->accepts(en->s.config))
		return 1;
	rc = en->s.kind->load(&en->s.model, en->s.config, (unsigned)p->version.format, &source, e);
	for (size_t i = 0; i < parts.n; i++)
		free(parts.held[i]);
	return rc;
}

static int start_cold(const struct env *env, struct entry *en, struct err *e)
{
	const struct fit_settings settings = {
		.token_pattern = (enum token_pattern)env->token_pattern, .logreg_c = env->logreg_c, .threads = 1,
	};

	en->s.kind = model_kind_for(en->s.config);
	return en->s.kind == NULL ? 0 : en->s.kind->cold(&en->s.model, en->s.config, &settings, e);
}

/* A damaged version is not served again, by this process or another; the project
 * then has the one before it. */
static int give_up_version(struct store *st, struct project *p, struct arena *a, const struct err *why,
                           struct err *e)
{
	log_line(LOG_ERROR, "project %lld: version %lld is damaged (%s): going back to the one before",
	         (long long)p->id, (long long)p->version.number, why->msg);
	if (store_version_damaged(st, p->version.row, e) < 0)
		return -1;
	return store_project_get(st, p->row, a, p, e);
}

static int make(struct store *st, const struct env *env, struct project *p, struct arena *a,
                struct span label_config, struct entry **out, struct err *e)
{
	struct entry *en = calloc(1, sizeof *en);
	struct err    why = { 0 };
	int           rc = 1;

	if (en == NULL)
		return err_memory(e);
	if (label_config_parse(&en->config, label_config, e) < 0)
		goto fail;
	en->s.config = en->config;
	while (p != NULL && p->version.row != 0 && (rc = load(st, p, en, &why)) < 0) {
		if (why.code != ERR_DAMAGED) {
			err_set(e, why.code, "%s", why.msg);
			goto fail;
		}
		if (give_up_version(st, p, a, &why, e) < 0)
			goto fail;
		err_clear(&why);
		rc = 1;
	}
	if (rc == 1 && start_cold(env, en, e) < 0)
		goto fail;
	if (p != NULL && p->version.row != 0) {
		const struct version_of v = { p->version.kind, p->version.examples_hash, p->version.number,
		                              p->version.format };

		rc = serving_version(env, en->s.config, &v, en->s.version, e);
	} else {
		rc = serving_version(env, en->s.config, NULL, en->s.version, e);
	}
	if (rc < 0)
		goto fail;
	en->bytes = en->s.model == NULL ? 0 : en->s.kind->bytes(en->s.model);
	*out = en;
	return 0;
fail:
	entry_free(en);
	return -1;
}

/* ---- the table ----------------------------------------------------------------- */

static void key_of(struct key *k, const struct env *env, const struct project *p, struct span label_config)
{
	crypto_hash_sha256_state h;

	*k = (struct key){ .version = p == NULL ? 0 : p->version.row };
	crypto_hash_sha256_init(&h);
	hash_span(&h, label_config);
	hash_span(&h, p == NULL || p->version.row == 0 ? SPAN("") : p->version.examples_hash);
	hash_settings(&h, env);
	crypto_hash_sha256_final(&h, k->hash);
}

static struct entry *look_up(const struct key *k)
{
	struct entry *found = NULL;

	pthread_mutex_lock(&table.mutex);
	for (size_t i = 0; i < KEEP_MAX && found == NULL; i++) {
		struct entry *en = table.entry[i];

		if (en != NULL && en->key.version == k->version &&
		    memcmp(en->key.hash, k->hash, sizeof k->hash) == 0)
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

int serving_get(struct store *st, const struct env *env, const struct project *project, struct span label_config,
                struct serving **s, struct err *e)
{
	struct project p;
	struct arena   a;
	struct entry  *en;
	struct key     k;
	size_t         slot;
	int            rc = 0;

	key_of(&k, env, project, label_config);
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
		rc = make(st, env, project == NULL ? NULL : &p, &a, label_config, &en, e);
		if (rc == 0) {
			key_of(&en->key, env, project == NULL ? NULL : &p, label_config);
			en->users = 2;
			pthread_mutex_lock(&table.mutex);
			slot = free_slot(en->bytes);
			en->used = ++table.clock;
			table.entry[slot] = en;
			pthread_mutex_unlock(&table.mutex);
		}
	}
	pthread_mutex_unlock(&table.making);
	arena_clear(&a);
	if (rc == 0)
		*s = &en->s;
	return rc;
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
