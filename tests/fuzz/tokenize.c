/*
 * tokenize.c - text to tokens, terms and numbers, and text folded.
 *
 * Against another implementation: differential.py.
 */
#include "fuzz.h"

#include "text/corpus.h"
#include "text/fold.h"
#include "text/tfidf.h"
#include "text/tokenize.h"
#include "../unit/by_document.h"

#include <math.h>
#include <stdlib.h>
#include <unistr.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* The tokens joined by spaces; *n of them. */
static struct span tokens_of(struct span text, enum token_pattern pattern, size_t *n)
{
	char            *room = malloc(tokenize_room(text.len)), *out = malloc(2 * tokenize_room(text.len) + 2);
	struct tokenizer t;
	struct span      token, joined = { out, 0 };

	must(room != NULL && out != NULL);
	*n = 0;
	tokenize_begin(&t, text, pattern, room);
	while (tokenize_next(&t, &token)) {
		size_t chars = 0;
		int    len;
		ucs4_t c;

		must(token.p == room && token.len > 0 && token.len <= tokenize_room(text.len) && fuzz_is_utf8(token));
		for (size_t at = 0; at < token.len; at += (size_t)len, chars++) {
			len = u8_mbtouc(&c, (const uint8_t *)token.p + at, token.len - at);
			must(tokenize_is_word(c));
		}
		must(chars >= (pattern == TOKEN_WORD1 ? 1 : 2));
		if ((*n)++ > 0)
			out[joined.len++] = ' ';
		memcpy(out + joined.len, token.p, token.len);
		joined.len += token.len;
	}
	must(!tokenize_next(&t, &token));
	must(pattern == TOKEN_WORD1 || *n <= tokenize_max(text.len));
	free(room);
	return joined;
}

static void check_tokens(struct span text)
{
	for (int pattern = 0; pattern < TOKEN__MAX; pattern++) {
		size_t      n, again;
		struct span once = tokens_of(text, (enum token_pattern)pattern, &n);
		struct span twice = tokens_of(once, (enum token_pattern)pattern, &again);

		/* Lower-cased words stay as they are. */
		must(n == again && span_eq(once, twice));
		free((char *)once.p);
		free((char *)twice.p);
	}
}

/* Lines as documents: every term found again, every row of length 1. */
static void check_terms(struct span text, enum token_pattern pattern)
{
	struct corpus    *corpus;
	struct vocab      v = { 0 };
	struct postings   postings;
	struct counts     counts;
	struct fuzz_input in = { (const uint8_t *)text.p, text.len };
	struct arena      a;
	struct buf        term;
	struct err        e = { 0 };
	size_t            terms;
	double           *idf, *x;

	corpus = corpus_new(pattern, &e);
	must(corpus != NULL);
	while (in.left > 0)
		must(corpus_add(corpus, fuzz_take_line(&in), &e) == 0);
	must(corpus_finish(corpus, &v, &postings, &e) == 0 && counts_of(&counts, &postings));
	corpus_free(corpus);
	terms = vocab_terms(&v);
	must(counts.n_terms == terms);
	must(v.slots != NULL || vocab_index(&v, &e) == 0);
	buf_init(&term, 1 << 20);
	for (size_t i = 0; i < terms; i++) {
		buf_reset(&term);
		vocab_put_term(&v, (uint32_t)i, &term);
		must(fuzz_is_utf8(buf_span(&term)) && vocab_find(&v, buf_span(&term)) == i);
	}
	buf_clear(&term);
	idf = malloc((terms + 1) * sizeof *idf);
	x = malloc((terms + 1) * sizeof *x);
	must(idf != NULL && x != NULL);
	for (size_t i = 0; i < terms; i++)
		idf[i] = tfidf_idf((double)counts.n_docs, 1.0 + (double)(i % (counts.n_docs + 1)));
	arena_init(&a, (size_t)64 << 20);
	in = (struct fuzz_input){ (const uint8_t *)text.p, text.len };
	for (size_t d = 0; d < counts.n_docs; d++) {
		struct count *row;
		size_t        n, sum_known = 0, sum_fit = 0;
		double        square = 0;

		must(vocab_count(&v, pattern, fuzz_take_line(&in), &a, &row, &n, &e) == 0);
		must(n == counts.at[d + 1] - counts.at[d]);
		for (size_t i = 0; i < n; i++) {
			must(row[i].term < terms && row[i].n > 0);
			sum_known += row[i].n;
			sum_fit += counts.v[counts.at[d] + i].n;
		}
		must(sum_known == sum_fit);
		tfidf_row(row, n, idf, x);
		for (size_t i = 0; i < n; i++)
			square += x[i] * x[i];
		must(n == 0 || fabs(square - 1) < 1e-9);
		arena_reset(&a);
	}
	arena_clear(&a);
	free(idf);
	free(x);
	vocab_clear(&v);
	counts_clear(&counts);
	postings_clear(&postings);
}

/* Folded once is folded; every place leads back to where it came from. */
static void check_fold(struct span text)
{
	struct folded f, again;
	struct arena  a;
	struct err    e = { 0 };

	arena_init(&a, (size_t)64 << 20);
	must(fold_text(&f, text, &a, &e) == 0 && fuzz_is_utf8(f.bytes));
	must(span_eq(fold_slice(&f, 0, f.n), f.bytes) && span_eq(fold_original(&f, 0, f.n), text));
	for (size_t i = 0; i <= f.n; i++) {
		must(fold_index(&f, fold_slice(&f, 0, i).len) == (int64_t)i);
		(void)fold_is_edge(&f, i);
	}
	must(fold_text(&again, f.bytes, &a, &e) == 0);
	must(span_eq(again.bytes, f.bytes));
	arena_clear(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span text = { (const char *)data, size };

	if (size > 4096)
		return 0;
	check_tokens(text);
	check_terms(text, TOKEN_WORD);
	check_terms(text, TOKEN_WORD1);
	check_fold(text);
	return 0;
}
