/* examples.c - what a project's annotations teach. */
#include "examples.h"

#include "base/json.h"
#include "studio/annotation.h"

#include <sodium.h>
#include <stdlib.h>

#define EXAMPLES_BYTES_MAX ((size_t)8 << 30)

struct reading {
	struct example_set        *set;
	const struct label_config *config;
	struct arena               scratch;
	crypto_hash_sha256_state   hash;
};

static void hash_span(crypto_hash_sha256_state *h, struct span s)
{
	unsigned char len[8];

	for (size_t i = 0; i < sizeof len; i++)
		len[i] = (unsigned char)((uint64_t)s.len >> (8 * i));
	crypto_hash_sha256_update(h, len, sizeof len);
	if (s.len > 0)
		crypto_hash_sha256_update(h, (const unsigned char *)s.p, s.len);
}

static int add(struct example_set *set, const struct example *ex, struct err *e)
{
	struct example *grown;

	if (set->n == set->cap) {
		set->cap = set->cap == 0 ? 1024 : set->cap * 2;
		grown = realloc(set->v, set->cap * sizeof *grown);
		if (grown == NULL)
			return err_memory(e);
		set->v = grown;
	}
	set->v[set->n++] = *ex;
	return 0;
}

static int take_row(void *arg, const struct labelled_row *row, struct err *e)
{
	struct reading         *r = arg;
	struct example_set     *set = r->set;
	struct example          ex = { .annotation = row->annotation, .task = row->task };
	struct task             task = { row->data, row->data };
	enum annotation_outcome outcome;
	struct span             text;

	if (row->was_cancelled || row->overruled) {
		set->n_cancelled += row->was_cancelled;
		set->n_overruled += !row->was_cancelled;
		return 0;
	}
	arena_reset(&r->scratch);
	if (annotation_label(row->result, r->config, &r->scratch, &outcome, &ex.label, e) < 0)
		return -1;
	if (outcome != ANNOTATION_LABEL) {
		set->n_empty += outcome == ANNOTATION_EMPTY;
		set->n_unknown += outcome == ANNOTATION_UNKNOWN_LABEL;
		return 0;
	}
	if (task_text(&task, r->config->text, &r->scratch, &text, e) < 0)
		return -1;
	ex.text = (struct span){ arena_copy(&set->arena, text), text.len };
	if (ex.text.p == NULL)
		return err_memory(e);
	hash_span(&r->hash, ex.text);
	hash_span(&r->hash, ex.label);
	return add(set, &ex, e);
}

int examples_read(struct example_set *set, struct store *st, int64_t project, const struct label_config *config,
                  struct err *e)
{
	struct reading r = { .set = set, .config = config };
	unsigned char  sum[crypto_hash_sha256_BYTES];
	int            rc;

	*set = (struct example_set){ .n = 0 };
	arena_init(&set->arena, EXAMPLES_BYTES_MAX);
	arena_init(&r.scratch, (size_t)1 << 30);
	crypto_hash_sha256_init(&r.hash);
	rc = store_examples(st, project, take_row, &r, e);
	crypto_hash_sha256_final(&r.hash, sum);
	sodium_bin2hex(set->hash, sizeof set->hash, sum, sizeof sum);
	arena_clear(&r.scratch);
	return rc;
}

void examples_clear(struct example_set *set)
{
	arena_clear(&set->arena);
	free(set->v);
	*set = (struct example_set){ .n = 0 };
}
