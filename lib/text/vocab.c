/* vocab.c - finding the terms of a text. */
#include "text/vocab.h"

#include "text/tokenize.h"

#include <stdlib.h>

struct vocab_slot {
	uint32_t tag;          /* upper half of the hash: most misses end here */
	uint32_t word;         /* TERM_NONE: empty */
};

static struct span word_at(const struct vocab *v, uint32_t w)
{
	return (struct span){ v->bytes + v->word_at[w], v->word_at[w + 1] - v->word_at[w] };
}

int vocab_index(struct vocab *v, struct err *e)
{
	size_t n = 8;

	while (n < (size_t)v->n_words * 2)
		n *= 2;
	free(v->slots);
	v->slots = malloc(n * sizeof *v->slots);
	if (v->slots == NULL)
		return err_memory(e);
	memset(v->slots, 0xff, n * sizeof *v->slots);
	v->mask = n - 1;
	v->key = hash_key_random();
	for (uint32_t w = 0; w < v->n_words; w++) {
		struct span s = word_at(v, w);
		uint64_t    h = hash_bytes(v->key, s.p, s.len);
		size_t      i = h & v->mask;

		while (v->slots[i].word != TERM_NONE)
			i = (i + 1) & v->mask;
		v->slots[i] = (struct vocab_slot){ (uint32_t)(h >> 32), w };
	}
	return 0;
}

void vocab_clear(struct vocab *v)
{
	free(v->bytes);
	free(v->word_at);
	free(v->first2);
	free(v->word2);
	free(v->first3);
	free(v->word3);
	free(v->slots);
	*v = (struct vocab){ 0 };
}

uint32_t vocab_word(const struct vocab *v, struct span word)
{
	uint64_t h = hash_bytes(v->key, word.p, word.len);

	for (size_t i = h & v->mask;; i = (i + 1) & v->mask) {
		const struct vocab_slot *s = &v->slots[i];

		if (s->word == TERM_NONE)
			return TERM_NONE;
		if (s->tag == (uint32_t)(h >> 32) && span_eq(word, word_at(v, s->word)))
			return s->word;
	}
}

/* Position of `word` in the ascending words[lo .. hi), or TERM_NONE. */
static uint32_t child(const uint32_t *words, uint32_t lo, uint32_t hi, uint32_t word)
{
	const uint32_t *base = words + lo;
	uint32_t        n = hi - lo;

	if (n == 0)
		return TERM_NONE;
	while (n > 1) {
		uint32_t half = n / 2;

		base = base[half] <= word ? base + half : base;
		n -= half;
	}
	return *base == word ? (uint32_t)(base - words) : TERM_NONE;
}

uint32_t vocab_bigram(const struct vocab *v, uint32_t word1, uint32_t word2)
{
	uint32_t i = child(v->word2, v->first2[word1], v->first2[word1 + 1], word2);

	return i == TERM_NONE ? TERM_NONE : v->n_words + i;
}

uint32_t vocab_trigram(const struct vocab *v, uint32_t bigram, uint32_t word3)
{
	uint32_t p = bigram - v->n_words;
	uint32_t i = child(v->word3, v->first3[p], v->first3[p + 1], word3);

	return i == TERM_NONE ? TERM_NONE : v->n_words + v->n_bigrams + i;
}

uint32_t vocab_find(const struct vocab *v, struct span term)
{
	uint32_t    id = TERM_NONE;
	int         level = 0;
	const char *end = term.p + term.len;

	for (const char *p = term.p; level < 3; level++) {
		const char *q = memchr(p, ' ', (size_t)(end - p));
		uint32_t    w = vocab_word(v, (struct span){ p, (size_t)((q == NULL ? end : q) - p) });

		if (w == TERM_NONE)
			return TERM_NONE;
		id = level == 0 ? w : level == 1 ? vocab_bigram(v, id, w) : vocab_trigram(v, id, w);
		if (id == TERM_NONE || q == NULL)
			return id;
		p = q + 1;
	}
	return TERM_NONE;
}

/* Which parent has the child i: the last with first[parent] <= i. */
static uint32_t parent(const uint32_t *first, uint32_t n_parents, uint32_t i)
{
	uint32_t lo = 0, hi = n_parents;         /* first[lo] <= i < first[hi] */

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (first[mid] <= i)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

void vocab_put_term(const struct vocab *v, uint32_t term, struct buf *b)
{
	uint32_t    word = term;
	struct span s;

	if (term >= v->n_words + v->n_bigrams) {
		uint32_t i = term - v->n_words - v->n_bigrams;

		vocab_put_term(v, v->n_words + parent(v->first3, v->n_bigrams, i), b);
		word = v->word3[i];
	} else if (term >= v->n_words) {
		vocab_put_term(v, parent(v->first2, v->n_words, term - v->n_words), b);
		word = v->word2[term - v->n_words];
	}
	s = word_at(v, word);
	if (term >= v->n_words)
		buf_addc(b, ' ');
	buf_add(b, s.p, s.len);
}

/* A term or TERM_NONE by one of two ways. */
static int find_word(const struct vocab *v, struct span word, uint32_t *w, struct err *e)
{
	if (v->words_part != NULL)
		return vocab_part_word(v, word, w, e);
	*w = vocab_word(v, word);
	return 0;
}

static int find_bigram(const struct vocab *v, uint32_t word1, uint32_t word2, uint32_t *term, struct err *e)
{
	if (v->terms_part != NULL)
		return vocab_part_bigram(v, word1, word2, term, e);
	*term = vocab_bigram(v, word1, word2);
	return 0;
}

static int find_trigram(const struct vocab *v, uint32_t bigram, uint32_t word3, uint32_t *term, struct err *e)
{
	if (v->terms_part != NULL)
		return vocab_part_trigram(v, bigram, word3, term, e);
	*term = vocab_trigram(v, bigram, word3);
	return 0;
}

/* Terms as they come, repeated; grown by doubling in the arena. */
struct found {
	uint32_t *v;
	size_t    n, cap;
};

static int found_room(struct found *f, struct arena *scratch, struct err *e)
{
	size_t    cap = f->cap == 0 ? 192 : f->cap * 2;
	uint32_t *v;

	if (f->cap - f->n >= 3)
		return 0;
	v = arena_alloc(scratch, cap * sizeof *v);
	if (v == NULL)
		return err_memory(e);
	if (f->n > 0)
		memcpy(v, f->v, f->n * sizeof *v);
	f->v = v;
	f->cap = cap;
	return 0;
}

static int find_terms(const struct vocab *v, enum token_pattern pattern, struct span text,
                      struct arena *scratch, struct found *f, struct err *e)
{
	struct tokenizer t;
	struct span      token;
	uint32_t         before = TERM_NONE, pair = TERM_NONE;     /* the last word and bigram */
	char            *room = arena_alloc(scratch, tokenize_room(text.len));

	if (room == NULL)
		return err_memory(e);
	tokenize_begin(&t, text, pattern, room);
	while (tokenize_next(&t, &token)) {
		uint32_t w, bigram = TERM_NONE, trigram = TERM_NONE;

		if (find_word(v, token, &w, e) < 0)
			return -1;
		if (w != TERM_NONE) {
			if (found_room(f, scratch, e) < 0 ||
			    (before != TERM_NONE && find_bigram(v, before, w, &bigram, e) < 0) ||
			    (pair != TERM_NONE && find_trigram(v, pair, w, &trigram, e) < 0))
				return -1;
			f->v[f->n++] = w;
			if (bigram != TERM_NONE)
				f->v[f->n++] = bigram;
			if (trigram != TERM_NONE)
				f->v[f->n++] = trigram;
		}
		before = w;
		pair = bigram;
	}
	return 0;
}

int vocab_count(const struct vocab *v, enum token_pattern pattern, struct span text,
                struct arena *scratch, struct count **counts, size_t *n, struct err *e)
{
	struct found  f = { NULL, 0, 0 };
	struct count *out;
	uint32_t     *table;                     /* position in out + 1; 0: empty */
	size_t        size = 16, m = 0;

	*counts = NULL;
	*n = 0;
	if (vocab_terms(v) == 0)
		return 0;
	if (find_terms(v, pattern, text, scratch, &f, e) < 0)
		return -1;
	while (size < f.n * 2)
		size *= 2;
	out = arena_alloc(scratch, (f.n + 1) * sizeof *out);
	table = arena_array(scratch, size, sizeof *table);
	if (out == NULL || table == NULL)
		return err_memory(e);
	for (size_t i = 0; i < f.n; i++) {
		size_t at = hash_u64(v->key, f.v[i]) & (size - 1);

		while (table[at] != 0 && out[table[at] - 1].term != f.v[i])
			at = (at + 1) & (size - 1);
		if (table[at] == 0) {
			out[m] = (struct count){ f.v[i], 0 };
			table[at] = (uint32_t)++m;
		}
		out[table[at] - 1].n++;
	}
	*counts = out;
	*n = m;
	return 0;
}
