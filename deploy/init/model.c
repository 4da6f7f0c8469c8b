/*
 * model.c - which label goes with which words: naive Bayes, Choices over Text.
 *
 *   P(label | text)  ~  (examples of label + 1) * product over words of
 *                       (count of word under label + 1) / (words under label + BUCKETS)
 *
 * Words are runs of letters, digits and bytes beyond ASCII, in lower case; they share a
 * count where their hashes meet.  Kept in two parts: "labels", each name ended by NUL,
 * and "counts", a row of ROW numbers (32 bits, little-endian) for each of them.
 * What each function has to do stands in models/model.h and prelabel-model(3).
 */
#include "models/model.h"

#include <ctype.h>
#include <endian.h>
#include <math.h>
#include <stdlib.h>

#define BUCKETS 4096
enum { WORDS = BUCKETS, EXAMPLES, ROW };      /* two sums behind the counts of a row */

struct model {
	const struct control_tag *control;
	const struct object_tag  *text;
	uint32_t                (*row)[ROW];  /* [labels of the control] */
};

static const struct control_tag *serves(const struct label_config *config, struct span context,
                                        const struct model_settings *settings)
{
	(void)context, (void)settings;
	return config->choices;
}

static void forget(struct model *m)
{
	if (m != NULL)
		free(m->row);
	free(m);
}

static struct model *new(const struct label_config *config, struct err *e)
{
	struct model *m = calloc(1, sizeof *m);

	if (m == NULL || (m->row = calloc(config->choices->n_labels + 1, sizeof *m->row)) == NULL) {
		err_memory(e);
		forget(m);
		return NULL;
	}
	m->control = config->choices;
	m->text = config->text;
	return m;
}

/* Takes the next word off the text, by its bucket. */
static bool next_word(struct span *text, uint32_t *bucket)
{
	uint32_t hash = 2166136261u, letters = 0;

	for (; text->len > 0; text->p++, text->len--) {
		unsigned char c = (unsigned char)*text->p;

		if (c >= 0x80 || isalnum(c))
			hash = (hash ^ (uint32_t)tolower(c)) * 16777619u, letters++;
		else if (letters > 0)
			break;
	}
	*bucket = hash % BUCKETS;
	return letters > 0;
}

static void learn(uint32_t row[ROW], struct span text)
{
	for (uint32_t bucket; next_word(&text, &bucket); row[WORDS]++)
		row[bucket]++;
}

/* Before anything was labelled: the names of the labels are all there is to go by. */
static int cold(struct model **m, const struct label_config *config, const struct model_settings *settings, struct err *e)
{
	(void)settings;
	if ((*m = new(config, e)) == NULL)
		return -1;
	for (size_t i = 0; i < config->choices->n_labels; i++)
		learn((*m)->row[i], span_of(config->choices->labels[i].name));
	return 0;
}

static int fit(struct model **m, const struct label_config *config, struct examples examples,
               const struct model_settings *settings, struct err *e)
{
	(void)settings;
	if (examples.n == 0)
		return err_set(e, ERR_TOO_FEW, "needs an example");
	if ((*m = new(config, e)) == NULL)
		return -1;
	for (size_t i = 0; i < examples.n; i++) {
		uint32_t *row = (*m)->row[control_label(config->choices, examples.v[i].label)];

		learn(row, examples.v[i].text);
		row[EXAMPLES]++;
	}
	return 0;
}

static int predict(const struct model *m, const struct task *task, struct span context, struct arena *scratch,
                   struct prediction *p, struct err *e)
{
	size_t         n = m->control->n_labels, best = 0;
	double        *logp = arena_array(scratch, n, sizeof *logp), sum = 0;
	const char   **name = arena_array(scratch, 1, sizeof *name);
	struct region *region = arena_array(scratch, 1, sizeof *region);
	struct span    text;

	(void)context;
	if (n == 0)
		return 0;
	if (logp == NULL || name == NULL || region == NULL)
		return err_memory(e);
	if (task_text(task, m->text, scratch, &text, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		logp[i] = log(m->row[i][EXAMPLES] + 1.0);
	for (uint32_t bucket; next_word(&text, &bucket);)
		for (size_t i = 0; i < n; i++)
			logp[i] += log((m->row[i][bucket] + 1.0) / (m->row[i][WORDS] + (double)BUCKETS));
	for (size_t i = 1; i < n; i++)
		best = logp[i] > logp[best] ? i : best;
	for (size_t i = 0; i < n; i++)
		sum += exp(logp[i] - logp[best]);
	*name = m->control->labels[best].name;
	*region = (struct region){ .type = REGION_CHOICES, .control = m->control, .to_name = m->text->name,
	                           .names = name, .n_names = 1, .score = 1 / sum };
	*p = (struct prediction){ .score = 1 / sum, .regions = region, .n_regions = 1 };
	return 0;
}

static int save(const struct model *m, struct model_parts *parts, struct err *e)
{
	struct buf *labels = model_parts_add(parts, "labels"), *counts = model_parts_add(parts, "counts");

	for (size_t i = 0; i < m->control->n_labels; i++) {
		buf_add(labels, m->control->labels[i].name, strlen(m->control->labels[i].name) + 1);
		for (size_t k = 0; k < ROW; k++)
			buf_add_u32(counts, m->row[i][k]);
	}
	return buf_check(labels, "labels", e) < 0 ? -1 : buf_check(counts, "counts", e);
}

static int load(struct model **m, const struct label_config *config, const struct model_settings *settings,
                unsigned format, const struct part_source *parts, struct err *e)
{
	struct span labels, counts;
	size_t      known = 0;

	(void)settings, (void)format;
	if (parts->read(parts->arg, "labels", &labels, e) != 0 || parts->read(parts->arg, "counts", &counts, e) != 0)
		return err_set(e, ERR_DAMAGED, "a part is missing");
	if ((*m = new(config, e)) == NULL)
		return -1;
	while (labels.len > 0 && memchr(labels.p, '\0', labels.len) != NULL && counts.len >= sizeof **(*m)->row * ROW) {
		struct span name = span_of(labels.p);
		int         at = control_label(config->choices, name);

		if (at >= 0) {
			memcpy((*m)->row[at], counts.p, sizeof (*m)->row[at]);
			for (size_t k = 0; k < ROW; k++)
				(*m)->row[at][k] = le32toh((*m)->row[at][k]);
			known++;
		}
		labels = (struct span){ labels.p + name.len + 1, labels.len - name.len - 1 };
		counts = (struct span){ counts.p + sizeof (*m)->row[0], counts.len - sizeof (*m)->row[0] };
	}
	if (labels.len == 0 && counts.len == 0 && known > 0)
		return 0;
	forget(*m);
	*m = NULL;
	return labels.len == 0 && counts.len == 0 ? 1 : err_set(e, ERR_DAMAGED, "parts that don't fit each other");
}

static size_t bytes(const struct model *m)
{
	return sizeof *m + (m->control->n_labels + 1) * sizeof *m->row;
}

const struct model_kind model_words = {
	.abi = MODEL_ABI, .name = "words", .format = 1, .serves = serves, .cold = cold, .fit = fit,
	.predict = predict, .save = save, .load = load, .free = forget, .bytes = bytes,
};
