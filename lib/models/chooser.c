/*
 * chooser.c - notes of each label, their two functions, and all that a kind needs.
 *
 * Part "notes": u32 labels; for each three u32, the bytes of its name, its examples
 * and the bytes of its notes; then for each its name and its notes.
 */
#include "models/chooser.h"
#include "models/part.h"

#include <math.h>
#include <stdlib.h>

struct known {
	struct buf notes;
	uint32_t   examples;
};

struct model {
	const struct chooser      *chooser;
	const struct label_config *config;
	struct known              *of;          /* [labels of config->choices] */
	bool                      *trained;     /* the same: has it examples? */
};

const struct control_tag *chooser_serves(const struct label_config *config, struct span context,
                                         const struct model_settings *settings)
{
	(void)context, (void)settings;
	return config->choices;
}

void chooser_free(struct model *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; m->of != NULL && i < m->config->choices->n_labels; i++)
		buf_clear(&m->of[i].notes);
	free(m->of);
	free(m->trained);
	free(m);
}

size_t chooser_bytes(const struct model *m)
{
	size_t sum = sizeof *m;

	for (size_t i = 0; i < m->config->choices->n_labels; i++)
		sum += sizeof m->of[i] + m->of[i].notes.cap;
	return sum;
}

static struct model *new(const struct label_config *config, const struct model_settings *settings, struct err *e)
{
	const size_t  n = config->choices->n_labels;
	struct model *m = calloc(1, sizeof *m);

	if (m != NULL) {
		*m = (struct model){ .chooser = settings->kind->own, .config = config,
		                     .of = calloc(n + 1, sizeof *m->of), .trained = calloc(n + 1, sizeof *m->trained) };
		if (m->of != NULL && m->trained != NULL) {
			for (size_t i = 0; i < n; i++)
				buf_init(&m->of[i].notes, MODEL_PART_BYTES_MAX);
			return m;
		}
	}
	err_memory(e);
	chooser_free(m);
	return NULL;
}

/* Of one text of a label, by its position. */
static void learn(struct model *m, int label, struct span text)
{
	m->chooser->learn(&m->of[label].notes, text);
	m->of[label].examples++;
	m->trained[label] = true;
}

/* Were all notes taken?  Else *m is freed and NULL. */
static int noted(struct model **m, struct err *e)
{
	for (size_t i = 0; i < (*m)->config->choices->n_labels; i++)
		if (buf_check(&(*m)->of[i].notes, "notes of a label", e) < 0) {
			chooser_free(*m);
			*m = NULL;
			return -1;
		}
	return 0;
}

int chooser_cold(struct model **m, const struct label_config *config, const struct model_settings *settings,
                 struct err *e)
{
	if ((*m = new(config, settings, e)) == NULL)
		return -1;
	for (size_t i = 0; i < config->choices->n_labels; i++)
		learn(*m, (int)i, span_of(config->choices->labels[i].name));
	return noted(m, e);
}

int chooser_fit(struct model **m, const struct label_config *config, struct examples examples,
                const struct model_settings *settings, struct err *e)
{
	size_t          labels = 0, n;
	const uint32_t *of;
	struct arena    scratch;
	int             rc = 0;

	if ((*m = new(config, settings, e)) == NULL)
		return -1;
	arena_init(&scratch, (size_t)1 << 30);
	for (size_t i = 0; rc == 0 && i < examples.n; i++) {
		arena_reset(&scratch);
		rc = example_labels(&examples.v[i], config, &scratch, &of, &n, e);
		for (size_t k = 0; rc == 0 && k < n; k++) {
			labels += !(*m)->trained[of[k]];
			learn(*m, (int)of[k], examples.v[i].text);
		}
	}
	arena_clear(&scratch);
	if (rc < 0) {
		chooser_free(*m);
		*m = NULL;
		return -1;
	}
	if (labels >= 2)
		return noted(m, e);
	chooser_free(*m);
	*m = NULL;
	return err_set(e, ERR_TOO_FEW, "needs 2 labels, has %zu", labels);
}

int chooser_predict(const struct model *m, const struct task *task, struct span context, struct arena *scratch,
                    struct prediction *p, struct err *e)
{
	const struct control_tag *control = m->config->choices;
	double        *proba = arena_array(scratch, control->n_labels, sizeof *proba);
	const char   **name = arena_array(scratch, 1, sizeof *name);
	struct region *region = arena_array(scratch, 1, sizeof *region);
	size_t         best = control->n_labels;
	double         sum = 0;
	struct span    text;

	(void)context;
	*p = (struct prediction){ .proba = proba, .trained = m->trained, .n_proba = control->n_labels };
	if (proba == NULL || name == NULL || region == NULL)
		return err_memory(e);
	if (task_text(task, m->config->text, scratch, &text, e) < 0)
		return -1;
	for (size_t i = 0; i < control->n_labels; i++) {
		if (!m->trained[i])
			continue;
		proba[i] = m->chooser->score(buf_span(&m->of[i].notes), text);
		if (!isfinite(proba[i]))
			return err_set(e, ERR_DAMAGED, "the score of label %zu is not finite", i + 1);
		best = best == control->n_labels || proba[i] > proba[best] ? i : best;
	}
	if (best == control->n_labels)
		return 0;                               /* a config without labels */
	const double top = proba[best];

	for (size_t i = 0; i < control->n_labels; i++)
		sum += proba[i] = m->trained[i] ? exp(proba[i] - top) : 0;
	for (size_t i = 0; i < control->n_labels; i++)
		proba[i] /= sum;
	*name = control->labels[best].name;
	*region = (struct region){ .type = REGION_CHOICES, .control = control, .to_name = m->config->text->name,
	                           .names = name, .n_names = 1, .score = proba[best] };
	p->score = proba[best];
	p->regions = region;
	p->n_regions = 1;
	return 0;
}

int chooser_save(const struct model *m, struct model_parts *parts, struct err *e)
{
	const struct control_tag *control = m->config->choices;
	size_t      bytes = sizeof(uint32_t);
	uint32_t    labels = 0;
	struct buf *b;

	for (size_t i = 0; i < control->n_labels; i++) {
		bytes += m->trained[i] ? 3 * sizeof(uint32_t) + strlen(control->labels[i].name) + m->of[i].notes.len : 0;
		labels += m->trained[i];
	}
	if ((b = part_begin(parts, "CHOO", "notes", bytes, e)) == NULL)
		return -1;
	buf_add_u32(b, labels);
	for (size_t i = 0; i < control->n_labels; i++)
		if (m->trained[i])
			part_put_u32s(b, (const uint32_t[]){ (uint32_t)strlen(control->labels[i].name), m->of[i].examples,
			                                     (uint32_t)m->of[i].notes.len }, 3);
	for (size_t i = 0; i < control->n_labels; i++)
		if (m->trained[i]) {
			buf_adds(b, control->labels[i].name);
			buf_add(b, m->of[i].notes.p, m->of[i].notes.len);
		}
	return buf_check(b, "notes", e);
}

/* The next len bytes. */
static int take(struct part *p, size_t len, struct span *bytes, struct err *e)
{
	if (len > p->left.len)
		return part_damaged(p, "too short", e);
	*bytes = (struct span){ p->left.p, len };
	p->left = (struct span){ p->left.p + len, p->left.len - len };
	return 0;
}

static int read_notes(struct model *m, struct part *p, const uint32_t (*row)[3], uint32_t n, struct err *e)
{
	int known = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct span name = { NULL, 0 }, notes = { NULL, 0 };
		int         label;

		if (take(p, row[i][0], &name, e) < 0 || take(p, row[i][2], &notes, e) < 0)
			return -1;
		label = control_label(m->config->choices, name);
		if (row[i][1] == 0 || (label >= 0 && m->trained[label]))
			return part_damaged(p, "a label without examples, or twice", e);
		if (label < 0)
			continue;
		buf_add(&m->of[label].notes, notes.p, notes.len);
		m->of[label].examples = row[i][1];
		m->trained[label] = true;
		known++;
	}
	return part_end(p, e) < 0 ? -1 : known > 0 ? 0 : 1;
}

int chooser_load(struct model **m, const struct label_config *config, const struct model_settings *settings,
                 unsigned format, const struct part_source *parts, struct err *e)
{
	struct model *made = new(config, settings, e);
	uint32_t     *n = NULL, *row = NULL;
	struct part   p;
	int           rc = -1;

	(void)format;
	if (made != NULL && part_open(&p, parts, "CHOO", "notes", e) == 0 &&
	    (n = part_take_u32s(&p, 1, e)) != NULL && (row = part_take_u32s(&p, (size_t)3 * *n, e)) != NULL &&
	    (rc = read_notes(made, &p, (const uint32_t (*)[3])row, *n, e)) == 0 && (rc = noted(&made, e)) == 0) {
		*m = made;
		made = NULL;
	}
	chooser_free(made);
	free(n);
	free(row);
	return rc;
}
