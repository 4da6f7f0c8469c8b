/*
 * vocab.h - the terms of a corpus: every 1-, 2- and 3-gram of its words.
 *
 * A trie of three levels, each an array sorted by (parent, word):
 *
 *   unigram  w            term w                            0 <= w < n_words
 *   bigram   (w1 w2)      term n_words + i                  word2[i] == w2, first2[w1] <= i < first2[w1 + 1]
 *   trigram  (w1 w2 w3)   term n_words + n_bigrams + j      word3[j] == w3, first3[i] <= j < first3[i + 1]
 *
 * Words are numbered in the order of their code points, so that the trie walked
 * depth first gives all terms, joined by one space, in the order of code points
 * (scikit-learn's column order): no word character is below U+0020.
 *
 * No string is made of an n-gram.  A word is found by a keyed hash, the rest by
 * binary search among the children of its prefix; neither can be driven into
 * long chains by chosen texts.
 *
 * Immutable once made.
 *
 * READ IN PART (text/vocab_part.c).  With words_part and terms_part set there are the
 * three counts and `key` and no array at all: vocab_count() finds its terms in the
 * stored form (models/tfidf_logreg.c), of which it reads what it comes by, words by
 * halving too.  The other functions want the arrays.
 */
#ifndef TEXT_VOCAB_H
#define TEXT_VOCAB_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "base/span.h"
#include "base/partial.h"
#include "text/hash.h"

#include <stdint.h>

#define TERM_NONE UINT32_MAX

struct vocab {
	uint32_t  n_words, n_bigrams, n_trigrams;
	char     *bytes;             /* of all words, one after the other */
	uint32_t *word_at;           /* [n_words + 1] word w is bytes[word_at[w] .. word_at[w + 1]) */
	uint32_t *first2, *word2;    /* [n_words + 1], [n_bigrams] */
	uint32_t *first3, *word3;    /* [n_bigrams + 1], [n_trigrams] */

	struct hash_key    key;      /* of the table below: made by vocab_index(), never stored */
	struct vocab_slot *slots;
	size_t             mask;

	struct partial     *words_part, *terms_part;    /* borrowed; NULL: all is in the arrays */
};

/* A term and how often a document has it. */
struct count {
	uint32_t term, n;
};

static inline size_t vocab_terms(const struct vocab *v)
{
	return (size_t)v->n_words + v->n_bigrams + v->n_trigrams;
}

/* Builds the table of words; everything above it is set.  -1: ERR_MEMORY. */
int vocab_index(struct vocab *v, struct err *e);

/* Frees all arrays. */
void vocab_clear(struct vocab *v);

/* Terms or TERM_NONE. */
uint32_t vocab_word(const struct vocab *v, struct span word);
uint32_t vocab_bigram(const struct vocab *v, uint32_t word1, uint32_t word2);
uint32_t vocab_trigram(const struct vocab *v, uint32_t bigram, uint32_t word3);
uint32_t vocab_find(const struct vocab *v, struct span term);    /* words joined by a space */

/* The same of a vocabulary that is read in part.  0; -1: ERR_DAMAGED, or what the
 * reading ended with.  No order or offset is believed: one that is wrong finds
 * nothing or is an error. */
int vocab_part_word(const struct vocab *v, struct span word, uint32_t *term, struct err *e);
int vocab_part_bigram(const struct vocab *v, uint32_t word1, uint32_t word2, uint32_t *term, struct err *e);
int vocab_part_trigram(const struct vocab *v, uint32_t bigram, uint32_t word3, uint32_t *term, struct err *e);

/* Bytes of the stored parts "words" (least) and "terms" (exactly) by the counts. */
size_t vocab_part_words_least(const struct vocab *v);
size_t vocab_part_terms_bytes(const struct vocab *v);

/* Appends the words of a term, joined by a space.  For inspection. */
void vocab_put_term(const struct vocab *v, uint32_t term, struct buf *b);

/* The known terms of a text, each once, in the order of first appearance:
 * *counts, *n from the arena.  -1: ERR_MEMORY.
 * Cost: O(bytes of the text + n-grams * log(children of a prefix)). */
int vocab_count(const struct vocab *v, enum token_pattern pattern, struct span text,
                struct arena *scratch, struct count **counts, size_t *n, struct err *e);

#endif
