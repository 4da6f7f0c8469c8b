/*
 * tfidf_logreg.c - TF-IDF of word 1- to 3-grams and logistic regression: Choices
 * over Text, HyperText or Paragraphs.
 *
 * What scikit-learn computes for TfidfVectorizer(ngram_range=(1,3),
 * token_pattern=P) and LogisticRegression(C=C), at the exact optimum (see
 * learn/logreg.h).  Terms with proportional columns share a group and its weights
 * (learn/columns.h); with a the multiplier of a term, one occurrence of it adds
 * a * v[group] to the logits before they are divided by the norm:
 *
 *   z = b + (sum over occurrences of a v[group]) / sqrt(sum over terms of (tf idf)^2)
 *
 * CHOICE="MULTIPLE".  One yes/no model a label that occurs, over the same columns: the
 * same logistic regression of two classes, fitted for each by itself (scikit-learn's
 * OneVsRestClassifier).  A label that every example has is certain (b = CERTAIN, no
 * weights); one that none has is left alone.  Predicted is every label with p > 1/2,
 * and where there is none the one with the largest p, in the config's order.  The
 * score, of the region and of the prediction, is the mean over the trained labels of
 * max(p, 1 - p): how certain the model is of its answers.
 *
 * A model made under the other `choice` goes on until the next training: its classes'
 * probabilities are taken as they are, or divided by their sum.
 *
 * Stored form, format 1: six parts, all integers and doubles (IEEE 754 binary64)
 * little-endian, arrays without gaps.  A reader refuses a part whose version is
 * not its own.  Every part begins with
 *
 *   offset width  meaning
 *        0     4  "TFLR"
 *        4     4  version of the part's layout: 1
 *        8     8  name of the part, filled up with NUL
 *       16     8  bytes that follow
 *
 * "meta"
 *       24     4  token pattern: 0 two or more word characters, 1 one or more
 *       28     4  Unicode version of the character data, 1400 for 14.0
 *       32     8  C
 *       40     8  examples trained on (of these, idf knows)
 *       48     4  classes
 *       52     4  words      }
 *       56     4  bigrams    } terms, numbered in this order (text/vocab.h)
 *       60     4  trigrams   }
 *       64     4  groups
 *       68     4  0 one label a text; 1 any number, a yes/no model each
 *       72     8  objective F where the fit ended
 *       80     8  |grad F| there
 * "labels": names of the classes, ascending by code point
 *       24     4 * (classes + 1)  where each begins in the bytes below, and the end
 *              …  UTF-8
 * "words": ascending by code point, so that one can be found by halving
 *       24     4 * (words + 1)    where each begins in the bytes below, and the end
 *              …  UTF-8
 * "terms": the trie
 *       24     4 * (words + 1)    first bigram of each word, and the end
 *              4 * bigrams        last word of each; ascending for one first word
 *              4 * (bigrams + 1)  first trigram of each bigram, and the end
 *              4 * trigrams       last word of each; ascending for one bigram
 * "groups"
 *       24     4 * terms          group of each term
 *              4 * terms          multiplier a of each term, from 1
 *              4 * groups         document frequency, from 1
 * "weights": columns are classes in the order of "labels"; one column (for the
 * second class) when there are two and a text has one label
 *       24     8 * columns            b
 *              8 * groups * columns   v, row by row
 *
 * What one text needs of a stored model is so at places that can be computed: rows
 * of v, children of a word, words around a middle.  A model that is read in part
 * (settings.in_part) has meta, labels and b, and reads the rest as predict() comes by.
 */
#include "models/tfidf_logreg.h"

#include "base/clock.h"
#include "learn/columns.h"
#include "learn/logreg.h"
#include "models/part.h"
#include "text/corpus.h"
#include "text/tfidf.h"
#include "text/tokenize.h"
#include "text/vocab.h"

#include <endian.h>
#include <stdlib.h>

#define META_BYTES (88 - PART_HEAD)
#define WEIGHT_MAX 1e100       /* of a stored weight: no sum of them overflows */

#define NO_LABEL UINT32_MAX

#define CERTAIN 40.0           /* a logit whose probability is 1 in double precision */

struct model {
	const struct label_config *config;
	enum token_pattern token_pattern;
	double    c, objective, grad;
	uint32_t  unicode;
	uint64_t  n_examples;

	struct vocab vocab;
	uint32_t *group, *mult;    /* [terms] */
	uint32_t *df;              /* [n_groups] */
	double   *idf;             /* [n_groups] */
	uint32_t  n_groups;

	bool      multiple;        /* any number of classes a text: a column each */
	uint32_t  n_classes;       /* as trained; 0 or 1: nothing to choose */
	char     *names;           /* of the classes, one after the other */
	uint32_t *name_at;         /* [n_classes + 1] */
	uint32_t *label;           /* [n_classes] position among the config's, or NO_LABEL */
	uint32_t  n_known;         /* classes that the config has */
	bool     *trained;         /* [labels of the config] */

	size_t    k;               /* columns (columns_of) */
	double   *b;               /* [k] */
	double   *v;               /* [n_groups][k] */

	struct partial *groups_part, *weights_part;     /* in place of group, mult, df, idf, v */
};

static double get_real(const char *p);

/* Of a term: its idf and row of v, and its multiplier. */
struct weight {
	double        idf;
	uint32_t      mult;
	const double *v;           /* [k] */
};

static size_t columns_of(const struct model *m)
{
	return m->multiple || m->n_classes > 2 ? m->n_classes : m->n_classes == 2 ? 1 : 0;
}

static struct span class_name(const struct model *m, size_t c)
{
	return (struct span){ m->names + m->name_at[c], m->name_at[c + 1] - m->name_at[c] };
}

static void model_free(struct model *m)
{
	if (m == NULL)
		return;
	vocab_clear(&m->vocab);
	free(m->group);
	free(m->mult);
	free(m->df);
	free(m->idf);
	free(m->names);
	free(m->name_at);
	free(m->label);
	free(m->trained);
	free(m->b);
	free(m->v);
	free(m);
}

static size_t model_bytes(const struct model *m)
{
	const struct vocab *v = &m->vocab;
	size_t              terms = vocab_terms(v);

	if (m->groups_part != NULL)
		return sizeof *m;
	return sizeof *m + v->word_at[v->n_words] + (v->mask + 1) * 8 +
	       4 * (2 * ((size_t)v->n_words + 1) + 2 * (size_t)v->n_bigrams + 1 + v->n_trigrams) +
	       8 * terms + (size_t)m->n_groups * (12 + 8 * m->k) + m->name_at[m->n_classes] +
	       8 * (size_t)m->n_classes + m->config->choices->n_labels;
}

static const struct control_tag *serves(const struct label_config *config, struct span context,
                                        const struct model_settings *settings)
{
	(void)context;          /* a choice is for the whole text, whatever is selected */
	(void)settings;
	return config->text == NULL ? NULL : config->choices;
}

/* -- labels ------------------------------------------------------------------------- */

/* A control's labels in the order of code points. */
struct sorted_label {
	struct span name;
	uint32_t    at;            /* position among the control's */
};

static int by_name(const void *a, const void *b)
{
	return span_cmp(((const struct sorted_label *)a)->name, ((const struct sorted_label *)b)->name);
}

static struct sorted_label *sort_labels(const struct control_tag *control, struct err *e)
{
	struct sorted_label *s = malloc((control->n_labels + 1) * sizeof *s);

	if (s == NULL) {
		err_memory(e);
		return NULL;
	}
	for (size_t i = 0; i < control->n_labels; i++)
		s[i] = (struct sorted_label){ span_of(control->labels[i].name), (uint32_t)i };
	qsort(s, control->n_labels, sizeof *s, by_name);
	return s;
}

static struct sorted_label *find_label(struct sorted_label *s, size_t n, struct span name)
{
	struct sorted_label key = { name, 0 };

	return bsearch(&key, s, n, sizeof *s, by_name);
}

/* m's classes are set: which labels they are.  Sets label, n_known, trained. */
static int map_labels(struct model *m, struct sorted_label *sorted, struct err *e)
{
	size_t n = m->config->choices->n_labels;

	m->label = malloc(((size_t)m->n_classes + 1) * sizeof *m->label);
	m->trained = calloc(n + 1, sizeof *m->trained);
	if (m->label == NULL || m->trained == NULL)
		return err_memory(e);
	for (size_t c = 0; c < m->n_classes; c++) {
		const struct sorted_label *s = find_label(sorted, n, class_name(m, c));

		m->label[c] = s == NULL ? NO_LABEL : s->at;
		if (s != NULL) {
			m->trained[s->at] = true;
			m->n_known++;
		}
	}
	return 0;
}

/* The classes of a new model: the labels that occur, ascending by code point. */
static int set_classes(struct model *m, struct sorted_label *sorted, const bool *occurs, struct err *e)
{
	size_t n = m->config->choices->n_labels, bytes = 0;

	for (size_t i = 0; i < n; i++) {
		m->n_classes += occurs[i];
		bytes += occurs[i] ? sorted[i].name.len : 0;
	}
	m->names = malloc(bytes + 1);
	m->name_at = malloc(((size_t)m->n_classes + 1) * sizeof *m->name_at);
	if (m->names == NULL || m->name_at == NULL)
		return err_memory(e);
	m->n_classes = 0;
	bytes = 0;
	for (size_t i = 0; i < n; i++) {
		if (!occurs[i])
			continue;
		m->name_at[m->n_classes++] = (uint32_t)bytes;
		memcpy(m->names + bytes, sorted[i].name.p, sorted[i].name.len);
		bytes += sorted[i].name.len;
	}
	m->name_at[m->n_classes] = (uint32_t)bytes;
	return map_labels(m, sorted, e);
}

/* -- training ------------------------------------------------------------------------ */

#define READING_SHARE 0.1      /* of the progress: reading the texts */

struct report {
	const struct model_settings *settings;
	double                     next;
	size_t                     fit, n_fits;      /* which of how many is being solved */
};

static bool report_solving(void *arg, double done)
{
	const struct report *r = arg;
	const double         share = ((double)r->fit + done) / (double)r->n_fits;

	return r->settings->progress(r->settings->arg, READING_SHARE + (1.0 - READING_SHARE) * share);
}

static int report_reading(struct report *r, double done, struct err *e)
{
	double now;

	if (r->settings->progress == NULL || (now = clock_monotonic()) < r->next)
		return 0;
	r->next = now + 0.1;
	return r->settings->progress(r->settings->arg, READING_SHARE * done) ? 0 :
	       err_set(e, ERR_STOPPED, "training was told to stop");
}

static struct model *model_new(const struct label_config *config, const struct model_settings *settings, struct err *e)
{
	struct model *m = calloc(1, sizeof *m);

	if (m == NULL) {
		err_memory(e);
		return NULL;
	}
	m->config = config;
	m->multiple = control_multiple(config->choices);
	m->token_pattern = settings->token_pattern;
	m->c = settings->logreg_c;
	m->unicode = tokenize_unicode();
	return m;
}

/* Texts to m's vocabulary and merged columns.  ERR_TOO_FEW without a word. */
static int read_texts(struct model *m, struct columns *x, struct examples ex, struct report *report, struct err *e)
{
	struct corpus  *corpus = corpus_new(m->token_pattern, e);
	struct postings postings = { 0 };
	int             rc = -1;

	if (corpus == NULL)
		return -1;
	for (size_t i = 0; i < ex.n; i++)
		if (corpus_add(corpus, ex.v[i].text, e) < 0 || report_reading(report, (double)i / (double)ex.n, e) < 0)
			goto out;
	if (corpus_finish(corpus, &m->vocab, &postings, e) < 0)
		goto out;
	corpus_free(corpus);                     /* before columns are made: they are as large */
	corpus = NULL;
	if (vocab_terms(&m->vocab) == 0)
		err_set(e, ERR_TOO_FEW, "no text holds a word");
	else
		rc = columns_merge(x, &postings, e);
out:
	corpus_free(corpus);
	postings_clear(&postings);
	return rc;
}

/* Takes what a fitted model needs from the columns, and weights to v. */
static int take_weights(struct model *m, struct columns *x, struct logreg *fit)
{
	m->k = fit->k;
	m->n_groups = (uint32_t)x->n_groups;
	m->objective = fit->objective;
	m->grad = fit->grad;
	m->group = x->group;
	m->mult = x->mult;
	m->df = x->df;
	m->idf = x->idf;
	m->b = fit->b;
	m->v = fit->w;
	for (size_t g = 0; g < x->n_groups; g++)
		for (size_t k = 0; k < fit->k; k++)
			m->v[g * fit->k + k] *= x->idf[g] / x->root[g];
	x->group = x->mult = x->df = NULL;
	x->idf = NULL;
	fit->b = fit->w = NULL;
	return 0;
}

/* Who has which label: a pair for each label of each example, by rising row; one a row
 * where a text has one label. */
struct pairs {
	size_t    n, cap;
	uint32_t *row, *class;         /* [n]; class: first the place among the sorted labels */
};

static int add_pair(struct pairs *p, size_t row, size_t class, struct err *e)
{
	if (p->n == p->cap) {
		size_t    cap = p->cap * 2 + 1024;
		uint32_t *grown = realloc(p->row, cap * sizeof *grown);

		if (grown == NULL)
			return err_memory(e);
		p->row = grown;
		grown = realloc(p->class, cap * sizeof *grown);
		if (grown == NULL)
			return err_memory(e);
		p->class = grown;
		p->cap = cap;
	}
	p->row[p->n] = (uint32_t)row;
	p->class[p->n++] = (uint32_t)class;
	return 0;
}

static void pairs_clear(struct pairs *p)
{
	free(p->row);
	free(p->class);
}

static int add_label(struct pairs *p, size_t row, struct span label, struct sorted_label *sorted, size_t n_labels,
                     struct err *e)
{
	const struct sorted_label *s = find_label(sorted, n_labels, label);

	if (s == NULL)
		return err_set(e, ERR_USAGE, "the label config has no label \"%.*s\"",
		               (int)(label.len < 100 ? label.len : 100), label.p);
	return add_pair(p, row, (size_t)(s - sorted), e);
}

static int read_pairs(struct pairs *p, const struct model *m, struct examples ex, struct sorted_label *sorted,
                      struct err *e)
{
	const struct control_tag *control = m->config->choices;
	const uint32_t           *labels;
	struct arena              scratch;
	size_t                    n;
	int                       rc = 0;

	arena_init(&scratch, (size_t)1 << 30);
	for (size_t i = 0; rc == 0 && i < ex.n; i++) {
		if (!m->multiple || ex.v[i].result.p == NULL) {
			rc = add_label(p, i, ex.v[i].label, sorted, control->n_labels, e);
			continue;
		}
		arena_reset(&scratch);
		rc = example_labels(&ex.v[i], m->config, &scratch, &labels, &n, e);
		for (size_t k = 0; rc == 0 && k < n; k++)
			rc = add_label(p, i, span_of(control->labels[labels[k]].name), sorted, control->n_labels, e);
	}
	arena_clear(&scratch);
	return rc;
}

/* Sets the classes of m to the labels that occur, and those of the pairs. */
static int number_classes(struct model *m, struct pairs *p, struct sorted_label *sorted, struct err *e)
{
	const size_t n_labels = m->config->choices->n_labels;
	bool        *occurs = calloc(n_labels + 1, sizeof *occurs);
	uint32_t    *class = calloc(n_labels + 1, sizeof *class);
	int          rc = occurs == NULL || class == NULL ? err_memory(e) : 0;

	for (size_t i = 0; rc == 0 && i < p->n; i++)
		occurs[p->class[i]] = true;
	if (rc == 0)
		rc = set_classes(m, sorted, occurs, e);
	for (uint32_t i = 0, c = 0; rc == 0 && i < n_labels; i++)
		class[i] = occurs[i] ? c++ : 0;
	for (size_t i = 0; rc == 0 && i < p->n; i++)
		p->class[i] = class[p->class[i]];
	free(occurs);
	free(class);
	if (rc == 0 && m->n_classes < 2)
		rc = err_set(e, ERR_TOO_FEW, "needs 2 labels, has %u", (unsigned)m->n_classes);
	return rc;
}

/* Puts the yes/no model of a class, that of all rows with y = 1, into its column. */
static int solve_class(struct logreg *fit, size_t class, const struct columns *x, const uint32_t *y, bool all,
                       const struct logreg_settings *solver, struct err *e)
{
	struct logreg one = { 0 };

	if (all) {
		fit->b[class] = CERTAIN;         /* of two classes there is one: nothing to solve */
		return 0;
	}
	if (logreg_fit(&one, x, y, 2, solver, e) < 0) {
		logreg_clear(&one);
		return -1;
	}
	fit->b[class] = one.b[0];
	for (size_t g = 0; g < x->n_groups; g++)
		fit->w[g * fit->k + class] = one.w[g];
	fit->objective += one.objective;
	fit->grad = fmax(fit->grad, one.grad);
	logreg_clear(&one);
	return 0;
}

/* A yes/no model for each class, all over the same columns. */
static int solve_each(struct logreg *fit, const struct columns *x, const struct pairs *p, size_t n_classes,
                      struct report *report, const struct logreg_settings *solver, struct err *e)
{
	size_t    count, *at = calloc(n_classes + 2, sizeof *at);
	uint32_t *rows = malloc((p->n + 1) * sizeof *rows), *y = malloc((x->n_docs + 1) * sizeof *y);
	int       rc = -1;

	fit->k = n_classes;
	fit->b = calloc(n_classes, sizeof *fit->b);
	fit->w = __builtin_mul_overflow(x->n_groups + 1, n_classes, &count) ? NULL : calloc(count, sizeof *fit->w);
	if (at == NULL || rows == NULL || y == NULL || fit->b == NULL || fit->w == NULL) {
		err_memory(e);
		goto out;
	}
	/* The rows of class c come to stand from at[c] to at[c + 1]. */
	for (size_t i = 0; i < p->n; i++)
		at[p->class[i] + 2]++;
	for (size_t c = 0; c < n_classes; c++)
		at[c + 2] += at[c + 1];
	for (size_t i = 0; i < p->n; i++)
		rows[at[p->class[i] + 1]++] = p->row[i];
	report->n_fits = n_classes;
	for (size_t c = 0; c < n_classes; c++) {
		memset(y, 0, x->n_docs * sizeof *y);
		for (size_t i = at[c]; i < at[c + 1]; i++)
			y[rows[i]] = 1;
		report->fit = c;
		if (solve_class(fit, c, x, y, at[c + 1] - at[c] == x->n_docs, solver, e) < 0)
			goto out;
	}
	rc = 0;
out:
	free(at);
	free(rows);
	free(y);
	return rc;
}

static int train(struct model **out, const struct label_config *config, struct examples ex,
                 const struct model_settings *settings, struct err *e)
{
	struct sorted_label *sorted = sort_labels(config->choices, e);
	struct model        *m = model_new(config, settings, e);
	struct pairs         pairs = { .n = 0 };
	struct report        report = { .settings = settings, .n_fits = 1 };
	struct columns       x = { 0 };
	struct logreg        fit = { 0 };
	struct logreg_settings solver = {
		.c = settings->logreg_c, .threads = settings->threads,
		.progress = settings->progress == NULL ? NULL : report_solving, .arg = &report,
	};
	int                  rc = -1;

	if (sorted == NULL || m == NULL || read_pairs(&pairs, m, ex, sorted, e) < 0 ||
	    number_classes(m, &pairs, sorted, e) < 0)
		goto out;
	m->n_examples = ex.n;
	if (read_texts(m, &x, ex, &report, e) < 0 ||
	    (m->multiple ? solve_each(&fit, &x, &pairs, m->n_classes, &report, &solver, e)
	                 : logreg_fit(&fit, &x, pairs.class, m->n_classes, &solver, e)) < 0 ||
	    take_weights(m, &x, &fit) < 0)
		goto out;
	*out = m;
	m = NULL;
	rc = 0;
out:
	logreg_clear(&fit);
	columns_clear(&x);
	model_free(m);
	pairs_clear(&pairs);
	free(sorted);
	return rc;
}

/* All labels alike: without a word to go by, or with one label at most. */
static int uniform(struct model **out, const struct label_config *config,
                   const struct model_settings *settings, struct err *e)
{
	size_t               n = config->choices->n_labels;
	struct sorted_label *sorted = sort_labels(config->choices, e);
	bool                *occurs = calloc(n + 1, sizeof *occurs);
	struct model        *m = model_new(config, settings, e);
	int                  rc = -1;

	if (sorted == NULL || occurs == NULL || m == NULL) {
		err_memory(e);
		goto out;
	}
	memset(occurs, true, n * sizeof *occurs);
	m->vocab.word_at = calloc(1, sizeof *m->vocab.word_at);
	m->vocab.first2 = calloc(1, sizeof *m->vocab.first2);
	m->vocab.first3 = calloc(1, sizeof *m->vocab.first3);
	if (m->vocab.word_at == NULL || m->vocab.first2 == NULL || m->vocab.first3 == NULL) {
		err_memory(e);
		goto out;
	}
	if (set_classes(m, sorted, occurs, e) < 0 || vocab_index(&m->vocab, e) < 0)
		goto out;
	m->k = columns_of(m);
	m->b = calloc(m->k + 1, sizeof *m->b);
	if (m->b == NULL) {
		err_memory(e);
		goto out;
	}
	*out = m;
	m = NULL;
	rc = 0;
out:
	model_free(m);
	free(sorted);
	free(occurs);
	return rc;
}

/* Time and memory of this fit grow with the square of the labels: 0.4 s and 60 MB
 * for 1,000, and /setup has three seconds.  More start from equal probabilities. */
#define COLD_LABELS_MAX 1000

static int cold(struct model **out, const struct label_config *config,
                const struct model_settings *settings, struct err *e)
{
	size_t          n = config->choices->n_labels;
	struct example *ex;
	struct err      why = { 0 };
	int             rc;

	if (n > COLD_LABELS_MAX)
		return uniform(out, config, settings, e);
	ex = calloc(n + 1, sizeof *ex);
	if (ex == NULL)
		return err_memory(e);
	for (size_t i = 0; i < n; i++) {
		ex[i].text = ex[i].label = span_of(config->choices->labels[i].name);
		ex[i].task = ex[i].annotation = (int64_t)i;
	}
	rc = train(out, config, (struct examples){ ex, n }, settings, &why);
	free(ex);
	if (rc == 0)
		return 0;
	return why.code == ERR_TOO_FEW ? uniform(out, config, settings, e) : err_set(e, why.code, "%s", why.msg);
}

static int fit(struct model **out, const struct label_config *config, struct examples examples,
               const struct model_settings *settings, struct err *e)
{
	return train(out, config, examples, settings, e);
}

/* -- predicting ---------------------------------------------------------------------- */

static inline struct weight weight_of(const struct model *m, uint32_t term)
{
	const uint32_t g = m->group[term];

	return (struct weight){ m->idf[g], m->mult[term], m->v + (size_t)g * m->k };
}

/* The same from the stored form; row: room for k numbers. */
static int weight_in_part(const struct model *m, uint32_t term, double *row, struct weight *w, struct err *e)
{
	const size_t terms = vocab_terms(&m->vocab), row_bytes = 8 * m->k;
	uint32_t     g, df;
	bool         good = true;

	if (partial_u32(m->groups_part, PART_HEAD + 4 * (size_t)term, &g, e) < 0 ||
	    partial_u32(m->groups_part, PART_HEAD + 4 * (terms + term), &w->mult, e) < 0)
		return -1;
	if (g >= m->n_groups || w->mult == 0)
		return err_set(e, ERR_DAMAGED, "model part groups: number out of range");
	if (partial_u32(m->groups_part, PART_HEAD + 4 * (2 * terms + g), &df, e) < 0 ||
	    partial_need(m->weights_part, PART_HEAD + row_bytes * ((size_t)g + 1), row_bytes, e) < 0)
		return -1;
	for (size_t k = 0; k < m->k; k++) {
		row[k] = get_real(m->weights_part->p + PART_HEAD + row_bytes * ((size_t)g + 1) + 8 * k);
		good &= fabs(row[k]) <= WEIGHT_MAX;      /* false for NaN */
	}
	if (!good || df == 0 || df > m->n_examples)
		return err_set(e, ERR_DAMAGED, "model part weights: number out of range");
	w->idf = tfidf_idf((double)m->n_examples, df);
	w->v = row;
	return 0;
}

/* Logits z [k] of a text. */
static int logits(const struct model *m, struct span text, struct arena *scratch, double *z, struct err *e)
{
	struct count *counts;
	double       *row = m->groups_part == NULL ? NULL : arena_array(scratch, m->k + 1, sizeof *row);
	size_t        n;
	double        square = 0.0, norm;

	if (m->groups_part != NULL && row == NULL)
		return err_memory(e);
	if (vocab_count(&m->vocab, m->token_pattern, text, scratch, &counts, &n, e) < 0)
		return -1;
	memset(z, 0, m->k * sizeof *z);
	for (size_t i = 0; i < n; i++) {
		struct weight w;
		double        x, times;

		if (row == NULL)
			w = weight_of(m, counts[i].term);
		else if (weight_in_part(m, counts[i].term, row, &w, e) < 0)
			return -1;
		x = counts[i].n * w.idf;
		times = (double)counts[i].n * w.mult;
		square += x * x;
		for (size_t k = 0; k < m->k; k++)
			z[k] += times * w.v[k];
	}
	norm = n == 0 ? 1.0 : sqrt(square);
	for (size_t k = 0; k < m->k; k++)
		z[k] = m->b[k] + z[k] / norm;
	return 0;
}

/* Logits in the arena, then. */
static double *logits_of(const struct model *m, struct span text, struct arena *scratch, struct err *e)
{
	double *z = arena_array(scratch, m->k, sizeof *z);

	if (z == NULL) {
		err_memory(e);
		return NULL;
	}
	return logits(m, text, scratch, z, e) < 0 ? NULL : z;
}

int tfidf_logreg_proba(const struct model *m, struct span text, struct arena *scratch, double *p, struct err *e)
{
	double *z, both[2];

	if (m->n_classes < 2 && !m->multiple) {
		if (m->n_classes == 1)
			p[0] = 1.0;
		return 0;
	}
	if ((z = logits_of(m, text, scratch, e)) == NULL)
		return -1;
	if (!m->multiple)
		logreg_proba(z, m->n_classes, p);
	for (size_t c = 0; m->multiple && c < m->n_classes; c++) {
		logreg_proba(&z[c], 2, both);
		p[c] = both[1];
	}
	return 0;
}

/* Probabilities of yes/no models, for a config with one label a text: those that it
 * has, to sum up to 1. */
static void share_out(const struct model *m, double *p)
{
	double sum = 0.0;

	for (size_t c = 0; c < m->n_classes; c++)
		sum += m->label[c] == NO_LABEL ? 0.0 : p[c];
	for (size_t c = 0; c < m->n_classes; c++)
		p[c] = m->label[c] == NO_LABEL ? 0.0 : sum > 0.0 ? p[c] / sum : 1.0 / m->n_known;
}

/* Probabilities of the classes that the config has.  Where a text has one label they
 * sum to 1: of three or more classes, a softmax over these alone. */
static int known_proba(const struct model *m, struct span text, struct arena *scratch, double *p, struct err *e)
{
	double *z, top, sum = 0.0;

	if (m->multiple || m->n_known == m->n_classes) {
		if (tfidf_logreg_proba(m, text, scratch, p, e) < 0)
			return -1;
		if (m->multiple && !control_multiple(m->config->choices))
			share_out(m, p);
		return 0;
	}
	if (m->n_classes == 2) {
		p[0] = m->label[0] == NO_LABEL ? 0.0 : 1.0;
		p[1] = 1.0 - p[0];
		return 0;
	}
	if ((z = logits_of(m, text, scratch, e)) == NULL)
		return -1;
	top = -INFINITY;
	for (size_t c = 0; c < m->n_classes; c++)
		if (m->label[c] != NO_LABEL && z[c] > top)
			top = z[c];
	for (size_t c = 0; c < m->n_classes; c++)
		sum += p[c] = m->label[c] == NO_LABEL ? 0.0 : exp(z[c] - top);
	for (size_t c = 0; c < m->n_classes; c++)
		p[c] /= sum;
	return 0;
}

/* Every label above one half, else that of class `best`, in the config's order; and
 * how certain all the answers are. */
static void choose_several(const struct model *m, const double *proba, size_t best, const char **names,
                           struct region *region)
{
	const struct control_tag *control = m->config->choices;
	double                    certainty = 0.0;

	for (size_t i = 0; i < control->n_labels; i++) {
		if (!m->trained[i])
			continue;
		certainty += fmax(proba[i], 1.0 - proba[i]);
		if (proba[i] > 0.5)
			names[region->n_names++] = control->labels[i].name;
	}
	if (region->n_names == 0)
		names[region->n_names++] = control->labels[m->label[best]].name;
	region->score = certainty / m->n_known;
}

static int predict(const struct model *m, const struct task *task, struct span context,
                   struct arena *scratch, struct prediction *out, struct err *e)
{
	const struct control_tag *control = m->config->choices;
	const bool     several = control_multiple(control);
	struct span    text;
	double        *p = arena_array(scratch, (size_t)m->n_classes + 1, sizeof *p);
	double        *proba = arena_array(scratch, control->n_labels, sizeof *proba);
	const char   **choices = arena_array(scratch, several ? control->n_labels + 1 : 1, sizeof *choices);
	struct region *region = arena_array(scratch, 1, sizeof *region);
	size_t         best = m->n_classes;

	(void)context;                           /* what the annotator is at changes nothing here */
	*out = (struct prediction){ 0 };
	if (p == NULL || proba == NULL || choices == NULL || region == NULL)
		return err_memory(e);
	if (task_text(task, m->config->text, scratch, &text, e) < 0 || known_proba(m, text, scratch, p, e) < 0)
		return -1;
	for (size_t c = 0; c < m->n_classes; c++) {
		if (m->label[c] == NO_LABEL)
			continue;
		proba[m->label[c]] = p[c];
		if (best == m->n_classes || p[c] > p[best])
			best = c;                /* a tie goes to the lower class */
	}
	out->proba = proba;
	out->trained = m->trained;
	out->n_proba = control->n_labels;
	if (best == m->n_classes)
		return 0;                        /* a config without labels */
	*region = (struct region){
		.type = REGION_CHOICES, .control = control, .to_name = m->config->text->name, .names = choices,
	};
	if (several) {
		choose_several(m, proba, best, choices, region);
	} else {
		choices[region->n_names++] = control->labels[m->label[best]].name;
		region->score = p[best];
	}
	out->regions = region;
	out->n_regions = 1;
	out->score = region->score;
	return 0;
}

/* -- saving -------------------------------------------------------------------------- */

static void put_real(struct buf *b, double real)
{
	uint64_t bits;

	memcpy(&bits, &real, sizeof bits);
	buf_add_u64(b, bits);
}

static void put_reals(struct buf *b, const double *v, size_t n)
{
	char *p = buf_room(b, n * sizeof *v);

	if (p == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		uint64_t le;

		memcpy(&le, &v[i], sizeof le);
		le = htole64(le);
		memcpy(p + i * sizeof le, &le, sizeof le);
	}
	b->len += n * sizeof *v;
}

/* Names one after the other, and where each begins. */
static int put_strings(struct model_parts *parts, const char *name, const char *bytes,
                       const uint32_t *at, size_t n, struct err *e)
{
	struct buf *b = part_begin(parts, "TFLR", name, (n + 1) * sizeof *at + at[n], e);

	if (b == NULL)
		return -1;
	part_put_u32s(b, at, n + 1);
	buf_add(b, bytes, at[n]);
	return buf_check(b, name, e);
}

static int save(const struct model *m, struct model_parts *parts, struct err *e)
{
	const struct vocab *v = &m->vocab;
	size_t              terms = vocab_terms(v);
	struct buf         *b;

	if ((b = part_begin(parts, "TFLR", "meta", META_BYTES, e)) == NULL)
		return -1;
	buf_add_u32(b, (uint32_t)m->token_pattern);
	buf_add_u32(b, m->unicode);
	put_real(b, m->c);
	buf_add_u64(b, m->n_examples);
	buf_add_u32(b, m->n_classes);
	buf_add_u32(b, v->n_words);
	buf_add_u32(b, v->n_bigrams);
	buf_add_u32(b, v->n_trigrams);
	buf_add_u32(b, m->n_groups);
	buf_add_u32(b, m->multiple);
	put_real(b, m->objective);
	put_real(b, m->grad);
	if (buf_check(b, "meta", e) < 0)
		return -1;

	if (put_strings(parts, "labels", m->names, m->name_at, m->n_classes, e) < 0 ||
	    put_strings(parts, "words", v->bytes, v->word_at, v->n_words, e) < 0)
		return -1;

	b = part_begin(parts, "TFLR", "terms", 4 * ((size_t)v->n_words + 1 + 2 * (size_t)v->n_bigrams + 1 + v->n_trigrams), e);
	if (b == NULL)
		return -1;
	part_put_u32s(b, v->first2, (size_t)v->n_words + 1);
	part_put_u32s(b, v->word2, v->n_bigrams);
	part_put_u32s(b, v->first3, (size_t)v->n_bigrams + 1);
	part_put_u32s(b, v->word3, v->n_trigrams);
	if (buf_check(b, "terms", e) < 0)
		return -1;

	if ((b = part_begin(parts, "TFLR", "groups", 4 * (2 * terms + m->n_groups), e)) == NULL)
		return -1;
	part_put_u32s(b, m->group, terms);
	part_put_u32s(b, m->mult, terms);
	part_put_u32s(b, m->df, m->n_groups);
	if (buf_check(b, "groups", e) < 0)
		return -1;

	if ((b = part_begin(parts, "TFLR", "weights", 8 * m->k * ((size_t)m->n_groups + 1), e)) == NULL)
		return -1;
	put_reals(b, m->b, m->k);
	put_reals(b, m->v, m->n_groups * m->k);
	return buf_check(b, "weights", e);
}

/* -- loading ------------------------------------------------------------------------- */

/* What is left of a part; every take checks it. */
static uint32_t get_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return le32toh(v);
}

static uint64_t get_u64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return le64toh(v);
}

static double get_real(const char *p)
{
	uint64_t bits = get_u64(p);
	double   real;

	memcpy(&real, &bits, sizeof real);
	return real;
}

/* Doubles within -WEIGHT_MAX .. WEIGHT_MAX. */
static double *take_reals(struct part *r, size_t n, struct err *e)
{
	double *v = part_take(r, n, sizeof *v, e);
	bool    good = true;

	for (size_t i = 0; v != NULL && i < n; i++) {
		uint64_t bits;

		memcpy(&bits, &v[i], sizeof bits);
		bits = le64toh(bits);
		memcpy(&v[i], &bits, sizeof bits);
		good &= fabs(v[i]) <= WEIGHT_MAX;        /* false for NaN */
	}
	if (v != NULL && !good) {
		free(v);
		v = NULL;
		part_damaged(r, "weight out of range", e);
	}
	return v;
}

static int check_range(const struct part *r, const uint32_t *v, size_t n, uint32_t min, uint32_t max, struct err *e)
{
	uint32_t lo = UINT32_MAX, hi = 0;

	for (size_t i = 0; i < n; i++) {
		lo = v[i] < lo ? v[i] : lo;
		hi = v[i] > hi ? v[i] : hi;
	}
	return n == 0 || (lo >= min && hi <= max) ? 0 : part_damaged(r, "number out of range", e);
}

/* Strings, ascending: what put_strings() wrote. */
static int get_strings(struct part *r, char **bytes, uint32_t **at, size_t n, struct err *e)
{
	*at = part_take_u32s(r, n + 1, e);
	return *at == NULL ? -1 : part_take_strings(r, *at, n, bytes, e);
}

static int load_meta(struct model *m, const struct part_source *parts, struct err *e)
{
	struct part r;
	const char   *p;

	if (part_open(&r, parts, "TFLR", "meta", e) < 0)
		return -1;
	if (r.left.len != META_BYTES)
		return part_damaged(&r, "wrong length", e);
	p = r.left.p;
	if (get_u32(p) >= TOKEN__MAX)
		return part_damaged(&r, "unknown token pattern", e);
	m->token_pattern = (enum token_pattern)get_u32(p);
	m->unicode = get_u32(p + 4);
	m->c = get_real(p + 8);
	m->n_examples = get_u64(p + 16);
	m->n_classes = get_u32(p + 24);
	m->vocab.n_words = get_u32(p + 28);
	m->vocab.n_bigrams = get_u32(p + 32);
	m->vocab.n_trigrams = get_u32(p + 36);
	m->n_groups = get_u32(p + 40);
	if (get_u32(p + 44) > 1)
		return part_damaged(&r, "unknown kind of choice", e);
	m->multiple = get_u32(p + 44) == 1;
	m->objective = get_real(p + 48);
	m->grad = get_real(p + 56);
	m->k = columns_of(m);
	if (!(m->c > 0.0) || !isfinite(m->c) || !isfinite(m->objective) || !isfinite(m->grad))
		return part_damaged(&r, "number out of range", e);
	if (vocab_terms(&m->vocab) >= TERM_NONE || m->n_classes == UINT32_MAX)
		return part_damaged(&r, "too many terms", e);
	return 0;
}

static int load_vocab(struct vocab *v, const struct part_source *parts, struct err *e)
{
	struct part r;
	bool          ascending = true;

	if (part_open(&r, parts, "TFLR", "words", e) < 0 || get_strings(&r, &v->bytes, &v->word_at, v->n_words, e) < 0)
		return -1;
	if (part_open(&r, parts, "TFLR", "terms", e) < 0 ||
	    (v->first2 = part_take_u32s(&r, (size_t)v->n_words + 1, e)) == NULL ||
	    (v->word2 = part_take_u32s(&r, v->n_bigrams, e)) == NULL ||
	    (v->first3 = part_take_u32s(&r, (size_t)v->n_bigrams + 1, e)) == NULL ||
	    (v->word3 = part_take_u32s(&r, v->n_trigrams, e)) == NULL || part_end(&r, e) < 0)
		return -1;
	if (part_check_offsets(&r, v->first2, v->n_words, v->n_bigrams, e) < 0 ||
	    part_check_offsets(&r, v->first3, v->n_bigrams, v->n_trigrams, e) < 0)
		return -1;
	/* A child below n_words and above its left neighbour, if they are of one parent. */
	if (v->n_words == 0 ? v->n_bigrams > 0 :
	    check_range(&r, v->word2, v->n_bigrams, 0, v->n_words - 1, e) < 0 ||
	    check_range(&r, v->word3, v->n_trigrams, 0, v->n_words - 1, e) < 0)
		return part_damaged(&r, "number out of range", e);
	for (size_t p = 0; p < v->n_words; p++)
		for (size_t i = (size_t)v->first2[p] + 1; i < v->first2[p + 1]; i++)
			ascending &= v->word2[i - 1] < v->word2[i];
	for (size_t p = 0; p < v->n_bigrams; p++)
		for (size_t i = (size_t)v->first3[p] + 1; i < v->first3[p + 1]; i++)
			ascending &= v->word3[i - 1] < v->word3[i];
	if (!ascending)
		return part_damaged(&r, "terms out of order", e);
	return vocab_index(v, e);
}

static int load_weights(struct model *m, const struct part_source *parts, struct err *e)
{
	size_t        terms = vocab_terms(&m->vocab), count;
	struct part r;

	if (part_open(&r, parts, "TFLR", "groups", e) < 0 ||
	    (m->group = part_take_u32s(&r, terms, e)) == NULL || (m->mult = part_take_u32s(&r, terms, e)) == NULL ||
	    (m->df = part_take_u32s(&r, m->n_groups, e)) == NULL || part_end(&r, e) < 0)
		return -1;
	if (terms > 0 && m->n_groups == 0)
		return part_damaged(&r, "number out of range", e);
	if (check_range(&r, m->group, terms, 0, m->n_groups - 1, e) < 0 ||
	    check_range(&r, m->mult, terms, 1, UINT32_MAX, e) < 0 ||
	    check_range(&r, m->df, m->n_groups, 1, UINT32_MAX, e) < 0)
		return -1;
	m->idf = malloc(((size_t)m->n_groups + 1) * sizeof *m->idf);
	if (m->idf == NULL)
		return err_memory(e);
	for (size_t g = 0; g < m->n_groups; g++) {
		if (m->df[g] > m->n_examples)
			return part_damaged(&r, "document frequency out of range", e);
		m->idf[g] = g > 0 && m->df[g] == m->df[g - 1] ? m->idf[g - 1] :
		            tfidf_idf((double)m->n_examples, m->df[g]);
	}

	if (part_open(&r, parts, "TFLR", "weights", e) < 0 || (m->b = take_reals(&r, m->k, e)) == NULL)
		return -1;
	if (__builtin_mul_overflow((size_t)m->n_groups, m->k, &count))
		return part_damaged(&r, "too short", e);
	m->v = take_reals(&r, count, e);
	return m->v == NULL ? -1 : part_end(&r, e);
}

/* One part of known length, or at least so long; 1: it can't be read in part. */
static int open_part(const struct partial_source *parts, const char *name, size_t least, bool exactly,
                     struct partial **part, struct err *e)
{
	char padded[8] = "";
	int  rc = parts->open(parts->arg, name, part, e);

	if (rc != 0)
		return rc;
	memcpy(padded, name, strlen(name));
	if ((*part)->len < least || (exactly && (*part)->len != least))
		return err_set(e, ERR_DAMAGED, "model part %s: wrong length", name);
	if (partial_need(*part, 0, PART_HEAD, e) < 0)
		return -1;
	if (memcmp((*part)->p, "TFLR", 4) != 0 || memcmp((*part)->p + 8, padded, 8) != 0 ||
	    get_u32((*part)->p + 4) != PART_VERSION || get_u64((*part)->p + 16) != (*part)->len - PART_HEAD)
		return err_set(e, ERR_DAMAGED, "model part %s: another layout", name);
	return 0;
}

/* The rest of a model, to be read as it is needed.  Meta and labels are there.  1: it
 * is to be loaded. */
static int load_in_part(struct model *m, const struct partial_source *parts, struct err *e)
{
	const size_t terms = vocab_terms(&m->vocab);
	size_t       weights;
	int          rc;

	if (__builtin_mul_overflow((size_t)m->n_groups + 1, 8 * m->k, &weights))
		return err_set(e, ERR_DAMAGED, "model part weights: too short");
	if ((rc = open_part(parts, "words", vocab_part_words_least(&m->vocab), false, &m->vocab.words_part, e)) != 0 ||
	    (rc = open_part(parts, "terms", vocab_part_terms_bytes(&m->vocab), true, &m->vocab.terms_part, e)) != 0 ||
	    (rc = open_part(parts, "groups", PART_HEAD + 4 * (2 * terms + m->n_groups), true, &m->groups_part, e)) != 0 ||
	    (rc = open_part(parts, "weights", PART_HEAD + weights, true, &m->weights_part, e)) != 0)
		return rc;
	m->b = malloc((m->k + 1) * sizeof *m->b);
	if (m->b == NULL)
		return err_memory(e);
	if (partial_need(m->weights_part, PART_HEAD, 8 * m->k, e) < 0)
		return -1;
	for (size_t k = 0; k < m->k; k++) {
		m->b[k] = get_real(m->weights_part->p + PART_HEAD + 8 * k);
		if (!(fabs(m->b[k]) <= WEIGHT_MAX))
			return err_set(e, ERR_DAMAGED, "model part weights: weight out of range");
	}
	m->vocab.key = hash_key_random();
	return 0;
}

static int load(struct model **out, const struct label_config *config, const struct model_settings *settings,
                unsigned format, const struct part_source *parts, struct err *e)
{
	struct model        *m = calloc(1, sizeof *m);
	struct sorted_label *sorted = sort_labels(config->choices, e);
	struct part        r;
	int                  rc = -1;

	(void)format;                            /* there is one so far */
	if (m == NULL || sorted == NULL) {
		err_memory(e);
		goto out;
	}
	m->config = config;
	if (load_meta(m, parts, e) < 0 || part_open(&r, parts, "TFLR", "labels", e) < 0 ||
	    get_strings(&r, &m->names, &m->name_at, m->n_classes, e) < 0 || map_labels(m, sorted, e) < 0)
		goto out;
	if (m->n_known == 0) {
		rc = 1;
		goto out;
	}
	/* Of the settings it keeps those it was trained with. */
	rc = settings->in_part == NULL ? 1 : load_in_part(m, settings->in_part, e);
	if (rc == 1) {
		m->vocab.words_part = m->vocab.terms_part = m->groups_part = m->weights_part = NULL;
		rc = load_vocab(&m->vocab, parts, e) < 0 || load_weights(m, parts, e) < 0 ? -1 : 0;
	}
	if (rc < 0)
		goto out;
	*out = m;
	m = NULL;
	rc = 0;
out:
	free(sorted);
	model_free(m);
	return rc;
}

/* -- inspection ------------------------------------------------------------------------ */

void tfidf_logreg_facts(const struct model *m, struct tfidf_logreg_facts *facts)
{
	*facts = (struct tfidf_logreg_facts){
		.token_pattern = m->token_pattern, .logreg_c = m->c, .unicode = m->unicode,
		.n_examples = m->n_examples, .n_terms = vocab_terms(&m->vocab), .n_groups = m->n_groups,
		.n_classes = m->n_classes, .multiple = m->multiple, .objective = m->objective, .grad = m->grad,
	};
}

struct span tfidf_logreg_class(const struct model *m, size_t c)
{
	return class_name(m, c);
}

double tfidf_logreg_intercept(const struct model *m, size_t c)
{
	return m->b[c];
}

void tfidf_logreg_term(const struct model *m, size_t i, size_t c, struct buf *term, double *idf, double *coef)
{
	uint32_t g = m->group[i];

	if (term != NULL)
		vocab_put_term(&m->vocab, (uint32_t)i, term);
	*idf = m->idf[g];
	*coef = m->mult[i] * m->v[g * m->k + c] / m->idf[g];
}

int64_t tfidf_logreg_find(const struct model *m, struct span term)
{
	uint32_t t = vocab_find(&m->vocab, term);

	return t == TERM_NONE ? -1 : (int64_t)t;
}

const struct model_kind model_tfidf_logreg = {
	.abi = MODEL_ABI, .name = "tfidf_logreg", .format = 1,
	.serves = serves, .cold = cold, .fit = fit, .predict = predict,
	.save = save, .load = load, .free = model_free, .bytes = model_bytes,
};
