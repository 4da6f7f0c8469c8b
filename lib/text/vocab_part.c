/*
 * vocab_part.c - finding terms in the stored form of a vocabulary, without loading it.
 *
 * The layout is told in models/tfidf_logreg.c.  Nothing is known of what stands there
 * but that a block read is as it was stored: every number is checked where it is used.
 */
#include "text/vocab.h"

#define HEAD 24                 /* of each part */

static int wrong(const char *what, struct err *e)
{
	return err_set(e, ERR_DAMAGED, "model part: %s", what);
}

size_t vocab_part_words_least(const struct vocab *v)
{
	return HEAD + 4 * ((size_t)v->n_words + 1);
}

size_t vocab_part_terms_bytes(const struct vocab *v)
{
	return HEAD + 4 * ((size_t)v->n_words + 2 + 2 * (size_t)v->n_bigrams + v->n_trigrams);
}

/* Numbers i and i + 1 of an array of offsets that ends at `end`. */
static int offsets(struct partial *s, size_t array, uint32_t i, size_t end, uint32_t *from, uint32_t *to, struct err *e)
{
	if (partial_u32(s, array + 4 * (size_t)i, from, e) < 0 || partial_u32(s, array + 4 * (size_t)i + 4, to, e) < 0)
		return -1;
	return *from <= *to && *to <= end ? 0 : wrong("wrong offsets", e);
}

int vocab_part_word(const struct vocab *v, struct span word, uint32_t *term, struct err *e)
{
	struct partial *s = v->words_part;
	const size_t   bytes = vocab_part_words_least(v);
	uint32_t       lo = 0, hi = v->n_words, from, to;

	*term = TERM_NONE;
	while (lo < hi) {
		const uint32_t mid = lo + (hi - lo) / 2;
		int            order;

		if (offsets(s, HEAD, mid, s->len - bytes, &from, &to, e) < 0 ||
		    partial_need(s, bytes + from, to - from, e) < 0)
			return -1;
		order = span_cmp(word, (struct span){ s->p + bytes + from, to - from });
		if (order == 0) {
			*term = mid;
			return 0;
		}
		if (order < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return 0;
}

/* Place of `word` among the children of a parent, or TERM_NONE: of which the first is
 * in the array `first`, and the words in the array `words`, of n. */
static int child(struct partial *s, size_t first, size_t words, uint32_t n, uint32_t parent, uint32_t word,
                 uint32_t *place, struct err *e)
{
	uint32_t lo, hi, at;

	*place = TERM_NONE;
	if (offsets(s, first, parent, n, &lo, &hi, e) < 0)
		return -1;
	while (lo < hi) {
		const uint32_t mid = lo + (hi - lo) / 2;

		if (partial_u32(s, words + 4 * (size_t)mid, &at, e) < 0)
			return -1;
		if (at == word) {
			*place = mid;
			return 0;
		}
		if (word < at)
			hi = mid;
		else
			lo = mid + 1;
	}
	return 0;
}

int vocab_part_bigram(const struct vocab *v, uint32_t word1, uint32_t word2, uint32_t *term, struct err *e)
{
	const size_t word2_at = HEAD + 4 * ((size_t)v->n_words + 1);

	if (child(v->terms_part, HEAD, word2_at, v->n_bigrams, word1, word2, term, e) < 0)
		return -1;
	*term = *term == TERM_NONE ? TERM_NONE : v->n_words + *term;
	return 0;
}

int vocab_part_trigram(const struct vocab *v, uint32_t bigram, uint32_t word3, uint32_t *term, struct err *e)
{
	const size_t first3 = HEAD + 4 * ((size_t)v->n_words + 1 + v->n_bigrams);
	const size_t word3_at = first3 + 4 * ((size_t)v->n_bigrams + 1);

	if (child(v->terms_part, first3, word3_at, v->n_trigrams, bigram - v->n_words, word3, term, e) < 0)
		return -1;
	*term = *term == TERM_NONE ? TERM_NONE : v->n_words + v->n_bigrams + *term;
	return 0;
}
