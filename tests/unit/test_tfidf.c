/* test_tfidf.c - vocabulary, counts, idf, merged columns. */
#include "by_document.h"
#include "learn/columns.h"
#include "text/corpus.h"
#include "text/tfidf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct built {
	struct vocab    v;
	struct postings postings;
	struct counts   counts;
	uint32_t       *df;
	double         *idf;
};

static void build(struct built *b, const struct span *texts, size_t n, enum token_pattern pattern)
{
	struct err     e = { 0 };
	struct corpus *c = corpus_new(pattern, &e);
	size_t         terms;

	assert_non_null(c);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(corpus_add(c, texts[i], &e), 0);
	assert_int_equal(corpus_finish(c, &b->v, &b->postings, &e), 0);
	assert_true(counts_of(&b->counts, &b->postings));
	corpus_free(c);
	terms = vocab_terms(&b->v);
	for (size_t t = 0; t < b->postings.n_terms; t++)
		for (size_t k = b->postings.at[t]; k + 1 < b->postings.at[t + 1]; k++)
			assert_true(b->postings.v[k].doc < b->postings.v[k + 1].doc);
	assert_int_equal(b->counts.n_docs, n);
	assert_int_equal(b->counts.n_terms, terms);
	b->df = calloc(terms + 1, sizeof *b->df);
	b->idf = calloc(terms + 1, sizeof *b->idf);
	assert_true(b->df != NULL && b->idf != NULL);
	for (size_t k = 0; k < b->counts.at[n]; k++)
		b->df[b->counts.v[k].term]++;
	for (size_t t = 0; t < terms; t++)
		b->idf[t] = tfidf_idf((double)n, b->df[t]);
}

static void clear(struct built *b)
{
	vocab_clear(&b->v);
	postings_clear(&b->postings);
	counts_clear(&b->counts);
	free(b->df);
	free(b->idf);
}

static const struct {
	const char *name;
	const char *texts[4];
	enum token_pattern pattern;
	const char *terms;           /* by level, each in the order of code points */
} cases[] = {
	{ "levels and order", { "b a", "a b c" }, TOKEN_WORD1, "a|b|c|a b|b a|b c|a b c" },
	{ "n-grams go over what is dropped", { "plan a trip" }, TOKEN_WORD, "plan|trip|plan trip" },
	{ "repeated", { "x x x x" }, TOKEN_WORD1, "x|x x|x x x" },
	{ "a prefix comes first", { "ab abc abcdefghi abcdefghij a" }, TOKEN_WORD1,
	  "a|ab|abc|abcdefghi|abcdefghij|ab abc|abc abcdefghi|abcdefghi abcdefghij|abcdefghij a|"
	  "ab abc abcdefghi|abc abcdefghi abcdefghij|abcdefghi abcdefghij a" },
	{ "code points, not UTF-16", { "\xEF\xBF\xA6\xF0\x9D\x90\x80 \xF0\x9D\x90\x80\xF0\x9D\x90\x80 \xEF\xBD\x81\xEF\xBD\x81" }, TOKEN_WORD,
	  "\xEF\xBD\x81\xEF\xBD\x81|\xF0\x9D\x90\x80\xF0\x9D\x90\x80|\xF0\x9D\x90\x80\xF0\x9D\x90\x80 \xEF\xBD\x81\xEF\xBD\x81" },
	{ "no word", { "", "!?" }, TOKEN_WORD, "" },
};

static void test_terms(void **state)
{
	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		struct span  texts[4];
		struct built b;
		struct buf   got;
		size_t       n = 0;

		while (n < countof(texts) && cases[i].texts[n] != NULL) {
			texts[n] = span_of(cases[i].texts[n]);
			n++;
		}
		build(&b, texts, n, cases[i].pattern);
		buf_init(&got, 4096);
		for (uint32_t t = 0; t < vocab_terms(&b.v); t++) {
			size_t begin = got.len + (t > 0);

			if (t > 0)
				buf_addc(&got, '|');
			vocab_put_term(&b.v, t, &got);
			assert_int_equal(vocab_find(&b.v, (struct span){ got.p + begin, got.len - begin }), t);
		}
		if (!span_is(buf_span(&got), cases[i].terms))
			fail_msg("%s: %s", cases[i].name, got.len > 0 ? got.p : "");
		buf_clear(&got);
		clear(&b);
	}
}

static void test_unknown_terms(void **state)
{
	static const struct span texts[] = { { "a b c", 5 }, { "c a", 3 } };
	static const char *const absent[] = { "d", "a d", "d a", "b a", "a b a", "c a b", "a b c d", "", "a ", " a" };
	struct built             b;

	(void)state;
	build(&b, texts, 2, TOKEN_WORD1);
	for (size_t i = 0; i < countof(absent); i++)
		if (vocab_find(&b.v, span_of(absent[i])) != TERM_NONE)
			fail_msg("\"%s\" was found", absent[i]);
	clear(&b);
}

#define DOCS 60
#define WORDS 9

/* Random documents of few words, some twice, so that much merges and much does not. */
static void random_texts(struct span *texts, char (*room)[256], unsigned seed)
{
	srand(seed);
	for (size_t i = 0; i < DOCS; i++) {
		size_t n = (size_t)rand() % 14;
		int    len = 0;

		room[i][0] = '\0';
		for (size_t k = 0; k < n; k++)
			len += snprintf(room[i] + len, 256 - (size_t)len, "w%d ", rand() % 3 == 0 ? rand() % 200 : rand() % WORDS);
		if (i % 7 == 3)
			len += snprintf(room[i] + len, 256 - (size_t)len, "%s%s", room[i - 1], room[i - 1]);
		texts[i] = (struct span){ room[i], (size_t)len };
	}
}

/* Looking terms up gives what counting gave. */
static void test_count_as_trained(void **state)
{
	static char  room[DOCS][256];
	struct span  texts[DOCS];
	struct built b;
	struct arena scratch;
	struct err   e = { 0 };

	(void)state;
	random_texts(texts, room, 3);
	build(&b, texts, DOCS, TOKEN_WORD1);
	arena_init(&scratch, 1 << 20);
	for (size_t i = 0; i < DOCS; i++) {
		struct count *got;
		size_t        n, matched = 0;

		arena_reset(&scratch);
		assert_int_equal(vocab_count(&b.v, TOKEN_WORD1, texts[i], &scratch, &got, &n, &e), 0);
		assert_int_equal(n, b.counts.at[i + 1] - b.counts.at[i]);
		for (size_t k = b.counts.at[i]; k < b.counts.at[i + 1]; k++)
			for (size_t g = 0; g < n; g++)
				matched += got[g].term == b.counts.v[k].term && got[g].n == b.counts.v[k].n;
		assert_int_equal(matched, n);
	}
	arena_clear(&scratch);
	clear(&b);
}

/* An arena that is too small is an error, not a crash. */
static void test_count_memory(void **state)
{
	static const struct span text = { "a b c a b c", 11 };
	struct built  b;
	struct count *got;
	size_t        n;

	(void)state;
	build(&b, &text, 1, TOKEN_WORD1);
	for (size_t max = 0; max < 900; max += 50) {
		struct arena scratch;
		struct err   e = { 0 };

		arena_init(&scratch, max);
		assert_int_equal(vocab_count(&b.v, TOKEN_WORD1, text, &scratch, &got, &n, &e), -1);
		assert_int_equal(e.code, ERR_MEMORY);
		arena_clear(&scratch);
	}
	clear(&b);
}

static void test_idf(void **state)
{
	(void)state;
	assert_true(fabs(tfidf_idf(9, 1) - (log(5.0) + 1.0)) < 1e-15);
	assert_true(tfidf_idf(4, 4) == 1.0);
}

/* x of the dense, unmerged matrix. */
static void dense_row(const struct built *b, size_t i, double *x)
{
	size_t  n = b->counts.at[i + 1] - b->counts.at[i];
	double *v = calloc(n + 1, sizeof *v);

	assert_non_null(v);
	memset(x, 0, vocab_terms(&b->v) * sizeof *x);
	tfidf_row(b->counts.v + b->counts.at[i], n, b->idf, v);
	for (size_t k = 0; k < n; k++)
		x[b->counts.v[b->counts.at[i] + k].term] = v[k];
	free(v);
}

static void check_columns(unsigned seed)
{
	static char    room[DOCS][256];
	struct span    texts[DOCS];
	struct built   b;
	struct columns c;
	struct err     e = { 0 };
	size_t         terms, proportional = 0;
	double        *x, *merged;

	random_texts(texts, room, seed);
	build(&b, texts, DOCS, TOKEN_WORD1);
	assert_int_equal(columns_merge(&c, &b.postings, &e), 0);
	terms = vocab_terms(&b.v);
	x = calloc(DOCS * (terms + 1), sizeof *x);
	merged = calloc(DOCS * (c.n_groups + 1), sizeof *merged);
	assert_true(x != NULL && merged != NULL);

	for (size_t i = 0; i < DOCS; i++) {
		double square = 0.0;

		dense_row(&b, i, x + i * terms);
		for (size_t k = c.row_at[i]; k < c.row_at[i + 1]; k++) {
			assert_true(k == c.row_at[i] || c.row_col[k - 1] < c.row_col[k]);
			merged[i * c.n_groups + c.row_col[k]] = c.row_x[k];
		}
		if (c.own[i] != COLUMN_NONE) {
			assert_true(c.own[i] >= c.n_shared);
			merged[i * c.n_groups + c.own[i]] = c.own_x[i];
		}
		for (size_t g = 0; g < c.n_groups; g++)
			square += merged[i * c.n_groups + g] * merged[i * c.n_groups + g];
		assert_true(c.row_at[i] == c.row_at[i + 1] && c.own[i] == COLUMN_NONE ? square == 0.0 : fabs(square - 1.0) < 1e-12);
	}
	/* Every entry is its group's, in proportion. */
	for (size_t i = 0; i < DOCS; i++)
		for (size_t j = 0; j < terms; j++)
			assert_true(fabs(x[i * terms + j] - merged[i * c.n_groups + c.group[j]] *
			                 c.mult[j] / c.root[c.group[j]]) < 1e-13);
	/* The columns' form holds the same numbers, rows ascending; frequencies fall. */
	for (size_t g = 0; g < c.n_groups; g++) {
		assert_true(g == 0 || c.df[g] <= c.df[g - 1]);
		assert_int_equal(c.df[g] > 1, g < c.n_shared);
		for (size_t k = g < c.n_shared ? c.col_at[g] : 0; g < c.n_shared && k < c.col_at[g + 1]; k++) {
			assert_true(k == c.col_at[g] || c.col_row[k - 1] < c.col_row[k]);
			assert_true(c.col_x[k] == merged[c.col_row[k] * c.n_groups + g]);
		}
	}
	/* And no two groups are left that could be one. */
	for (size_t g = 0; g < c.n_groups; g++) {
		for (size_t h = 0; h < g; h++) {
			double gg = 0.0, hh = 0.0, gh = 0.0;

			for (size_t i = 0; i < DOCS; i++) {
				double a = merged[i * c.n_groups + g], d = merged[i * c.n_groups + h];

				gg += a * a;
				hh += d * d;
				gh += a * d;
			}
			proportional += gh * gh > gg * hh * (1.0 - 1e-12);
		}
	}
	assert_int_equal(proportional, 0);
	assert_true(c.n_groups < terms);
	free(x);
	free(merged);
	columns_clear(&c);
	clear(&b);
}

static void test_columns(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 5; seed++)
		check_columns(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terms), cmocka_unit_test(test_unknown_terms),
		cmocka_unit_test(test_count_as_trained), cmocka_unit_test(test_count_memory),
		cmocka_unit_test(test_idf), cmocka_unit_test(test_columns),
	};

	return cmocka_run_group_tests_name("tfidf", tests, NULL, NULL);
}
