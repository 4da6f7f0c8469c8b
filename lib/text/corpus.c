/*
 * corpus.c - documents in, vocabulary and postings out.
 *
 * While documents come, only their words are looked up, in one table, and the corpus
 * becomes a row of word numbers.  At the end words are sorted by code point and the
 * n-grams by counting sorts of the places where they begin: places sorted by their
 * word, shifted by one, are sorted by the last word of the bigram that ends there;
 * sorted again by its first word, stably, equal bigrams stand together, in the order
 * of the trie of vocab.h and each by rising document.  Trigrams likewise, by their
 * last word and by their bigram.  No n-gram is ever hashed.
 */
#include "text/corpus.h"

#include "text/tokenize.h"

#include <stdlib.h>

struct word {
	uint64_t hash;
	uint32_t at;           /* of its bytes; it ends where the next one begins */
};

struct corpus {
	enum token_pattern pattern;
	struct hash_key    key;

	char  *room;           /* the tokenizer's */
	size_t room_cap;

	char        *bytes;    /* of all words */
	size_t       n_bytes, cap_bytes;
	struct word *words;
	size_t       n_words, cap_words;
	uint32_t    *slots;    /* word + 1; 0: empty */
	size_t       mask;

	uint32_t *tokens;      /* words, document by document */
	size_t    n_tokens, cap_tokens;
	uint32_t *ends;        /* [n_docs] of the documents among the tokens */
	size_t    n_docs, cap_docs;
};

void postings_clear(struct postings *p)
{
	free(p->at);
	free(p->v);
	*p = (struct postings){ 0 };
}

/* Room for `more` elements beyond n in an array that doubles. */
static int grow(void **v, size_t *cap, size_t n, size_t more, size_t size, struct err *e)
{
	size_t need, want;
	void  *p;

	if (__builtin_add_overflow(n, more, &need))
		return err_memory(e);
	if (need <= *cap)
		return 0;
	want = *cap < 64 ? 64 : *cap;
	while (want < need)
		want = want > SIZE_MAX / 2 ? need : want * 2;
	if (want > SIZE_MAX / size)
		return err_memory(e);
	p = realloc(*v, want * size);
	if (p == NULL)
		return err_memory(e);
	*v = p;
	*cap = want;
	return 0;
}

#define GROW(c, array, cap, n, more, e) \
	grow((void **)&(c)->array, &(c)->cap, (n), (more), sizeof *(c)->array, (e))

struct corpus *corpus_new(enum token_pattern pattern, struct err *e)
{
	struct corpus *c = calloc(1, sizeof *c);

	if (c == NULL) {
		err_memory(e);
		return NULL;
	}
	c->pattern = pattern;
	c->key = hash_key_random();
	c->mask = 1023;
	c->slots = calloc(c->mask + 1, sizeof *c->slots);
	if (c->slots == NULL) {
		corpus_free(c);
		err_memory(e);
		return NULL;
	}
	return c;
}

void corpus_free(struct corpus *c)
{
	if (c == NULL)
		return;
	free(c->room);
	free(c->bytes);
	free(c->words);
	free(c->slots);
	free(c->tokens);
	free(c->ends);
	free(c);
}

static int rehash(struct corpus *c, struct err *e)
{
	size_t    size = (c->mask + 1) * 2;
	uint32_t *slots = calloc(size, sizeof *slots);

	if (slots == NULL)
		return err_memory(e);
	for (size_t w = 0; w < c->n_words; w++) {
		size_t i = c->words[w].hash & (size - 1);

		while (slots[i] != 0)
			i = (i + 1) & (size - 1);
		slots[i] = (uint32_t)w + 1;
	}
	free(c->slots);
	c->slots = slots;
	c->mask = size - 1;
	return 0;
}

static struct span word_span(const struct corpus *c, size_t w)
{
	size_t end = w + 1 < c->n_words ? c->words[w + 1].at : c->n_bytes;

	return (struct span){ c->bytes + c->words[w].at, end - c->words[w].at };
}

static int intern(struct corpus *c, struct span s, uint32_t *word, struct err *e)
{
	uint64_t h = hash_bytes(c->key, s.p, s.len);
	size_t   i;

	for (i = h & c->mask; c->slots[i] != 0; i = (i + 1) & c->mask) {
		uint32_t w = c->slots[i] - 1;

		if (c->words[w].hash == h && span_eq(s, word_span(c, w))) {
			*word = w;
			return 0;
		}
	}
	if (s.len > UINT32_MAX - c->n_bytes)
		return err_set(e, ERR_TOO_LARGE, "words of more than %u bytes in all", UINT32_MAX);
	if (GROW(c, bytes, cap_bytes, c->n_bytes, s.len, e) < 0 || GROW(c, words, cap_words, c->n_words, 1, e) < 0)
		return -1;
	memcpy(c->bytes + c->n_bytes, s.p, s.len);
	c->words[c->n_words] = (struct word){ h, (uint32_t)c->n_bytes };
	c->n_bytes += s.len;
	*word = (uint32_t)c->n_words++;
	c->slots[i] = *word + 1;
	return c->n_words * 2 > c->mask ? rehash(c, e) : 0;
}

int corpus_add(struct corpus *c, struct span text, struct err *e)
{
	struct tokenizer t;
	struct span      token;

	if (text.len > UINT32_MAX / 2)
		return err_set(e, ERR_TOO_LARGE, "a text of %zu bytes", text.len);
	if (GROW(c, room, room_cap, 0, tokenize_room(text.len), e) < 0 ||
	    GROW(c, tokens, cap_tokens, c->n_tokens, tokenize_max(text.len), e) < 0 ||
	    GROW(c, ends, cap_docs, c->n_docs, 1, e) < 0)
		return -1;
	tokenize_begin(&t, text, c->pattern, c->room);
	while (tokenize_next(&t, &token)) {
		if (c->n_tokens == CORPUS_TOKENS_MAX)
			return err_set(e, ERR_TOO_LARGE, "more than %u words", CORPUS_TOKENS_MAX);
		if (intern(c, token, &c->tokens[c->n_tokens], e) < 0)
			return -1;
		c->n_tokens++;
	}
	c->ends[c->n_docs++] = (uint32_t)c->n_tokens;
	return 0;
}

/* The first eight bytes as a number decide nearly every comparison of words. */
struct sort_word {
	uint64_t    head;
	struct span s;
	uint32_t    word;
};

static int by_code_point(const void *a, const void *b)
{
	const struct sort_word *x = a, *y = b;

	if (x->head != y->head)
		return x->head < y->head ? -1 : 1;
	return span_cmp(x->s, y->s);
}

/* v's words in order, and rank [n_words]: where each came to stand. */
static int sort_words(const struct corpus *c, struct vocab *v, uint32_t *rank, struct err *e)
{
	struct sort_word *w = malloc((c->n_words + 1) * sizeof *w);
	uint32_t          at = 0;

	v->bytes = malloc(c->n_bytes + 1);
	v->word_at = malloc((c->n_words + 1) * sizeof *v->word_at);
	if (w == NULL || v->bytes == NULL || v->word_at == NULL) {
		free(w);
		return err_memory(e);
	}
	for (size_t i = 0; i < c->n_words; i++) {
		w[i] = (struct sort_word){ 0, word_span(c, i), (uint32_t)i };
		for (size_t k = 0; k < 8; k++)
			w[i].head = w[i].head << 8 | (k < w[i].s.len ? (unsigned char)w[i].s.p[k] : 0);
	}
	qsort(w, c->n_words, sizeof *w, by_code_point);
	for (size_t i = 0; i < c->n_words; i++) {
		rank[w[i].word] = (uint32_t)i;
		v->word_at[i] = at;
		memcpy(v->bytes + at, w[i].s.p, w[i].s.len);
		at += (uint32_t)w[i].s.len;
	}
	v->word_at[c->n_words] = at;
	v->n_words = (uint32_t)c->n_words;
	free(w);
	return 0;
}

/* What the sorting of n-grams works on: places are positions among the tokens. */
struct sorting {
	size_t          n;
	uint32_t       *word;          /* [n] at each place, in v's numbers */
	uint32_t       *doc;           /* [n] */
	uint32_t       *by_word;       /* [n] places, by word */
	uint32_t       *by_term;       /* [n] places where the n-grams of a level begin, by term */
	uint32_t       *bigram;        /* [n] that begins there, numbered from 0 */
	struct posting *to;            /* of the next posting */
	struct postings *p;
};

/* A term ends the run of places [from, to) of by_term: its postings. */
static void put_term(struct sorting *s, size_t from, size_t to)
{
	while (from < to) {
		uint32_t doc = s->doc[s->by_term[from]], n = 1;

		while (++from < to && s->doc[s->by_term[from]] == doc)
			n++;
		*s->to++ = (struct posting){ doc, n };
	}
	s->p->at[++s->p->n_terms] = (uint32_t)(s->to - s->p->v);
}

/* Places by word, and the terms of one word. */
static int sort_unigrams(struct sorting *s, size_t n_words, struct err *e)
{
	uint32_t *end = calloc(n_words + 2, sizeof *end);

	if (end == NULL)
		return err_memory(e);
	/* end runs one ahead while it serves as the cursor. */
	for (size_t i = 0; i < s->n; i++)
		end[s->word[i] + 2]++;
	for (size_t w = 2; w < n_words + 2; w++)
		end[w] += end[w - 1];
	for (size_t i = 0; i < s->n; i++)
		s->by_word[end[s->word[i] + 1]++] = (uint32_t)i;
	memcpy(s->by_term, s->by_word, s->n * sizeof *s->by_term);
	for (size_t w = 0; w < n_words; w++)
		put_term(s, end[w], end[w + 1]);
	free(end);
	return 0;
}

/*
 * The n-grams whose last word is `back` places behind the first.  parent [n]: of the
 * n-gram that begins at a place, the one without its last word, below n_parents;
 * number [n], or NULL, gets which n-gram of this level it is.  The level's arrays as
 * in vocab.h; *n_terms: how many.
 */
static int sort_level(struct sorting *s, size_t back, const uint32_t *parent, size_t n_parents, uint32_t *number,
                      uint32_t **first, uint32_t **last, uint32_t *n_terms, struct err *e)
{
	uint32_t *f = calloc(n_parents + 2, sizeof *f), *w = malloc((s->n + 1) * sizeof *w);
	uint32_t  n = 0;
	size_t    from = 0;

	*first = f;
	*last = w;
	if (f == NULL || w == NULL)
		return err_memory(e);
	for (size_t i = back; i < s->n; i++)
		if (s->doc[i - back] == s->doc[i])
			f[parent[i - back] + 2]++;
	for (size_t p = 2; p < n_parents + 2; p++)
		f[p] += f[p - 1];
	for (size_t i = 0; i < s->n; i++) {
		size_t at = s->by_word[i];

		if (at >= back && s->doc[at - back] == s->doc[at])
			s->by_term[f[parent[at - back] + 1]++] = (uint32_t)(at - back);
	}
	/* From places of each parent, f[p] to f[p + 1], to n-grams of each. */
	for (size_t p = 0; p < n_parents; p++) {
		size_t end = f[p + 1];

		f[p] = n;
		while (from < end) {
			size_t   begin = from;
			uint32_t word = s->word[s->by_term[from] + back];

			for (; from < end && s->word[s->by_term[from] + back] == word; from++)
				if (number != NULL)
					number[s->by_term[from]] = n;
			w[n++] = word;
			put_term(s, begin, from);
		}
	}
	f[n_parents] = n;
	*n_terms = n;
	w = realloc(w, ((size_t)n + 1) * sizeof *w);
	if (w != NULL)
		*last = w;
	return 0;
}

static int sort_terms(struct sorting *s, struct vocab *v, struct err *e)
{
	return sort_unigrams(s, v->n_words, e) < 0 ||
	       sort_level(s, 1, s->word, v->n_words, s->bigram, &v->first2, &v->word2, &v->n_bigrams, e) < 0 ||
	       sort_level(s, 2, s->bigram, v->n_bigrams, NULL, &v->first3, &v->word3, &v->n_trigrams, e) < 0 ? -1 : 0;
}

/* Room for the postings of n tokens, given back where there turn out to be fewer. */
static int postings_new(struct postings *p, size_t n_docs, size_t n, struct err *e)
{
	*p = (struct postings){ .n_docs = n_docs };
	p->at = malloc((3 * n + 1) * sizeof *p->at);
	p->v = malloc((3 * n + 1) * sizeof *p->v);
	if (p->at == NULL || p->v == NULL)
		return err_memory(e);
	p->at[0] = 0;
	return 0;
}

static void postings_fit(struct postings *p)
{
	uint32_t       *at = realloc(p->at, (p->n_terms + 1) * sizeof *at);
	struct posting *v;

	if (at != NULL)
		p->at = at;
	v = realloc(p->v, (p->at[p->n_terms] + 1) * sizeof *v);
	if (v != NULL)
		p->v = v;
}

int corpus_finish(struct corpus *c, struct vocab *v, struct postings *p, struct err *e)
{
	struct sorting s = { .n = c->n_tokens, .word = c->tokens, .p = p };
	uint32_t      *rank = malloc((c->n_words + 1) * sizeof *rank), *places = malloc((4 * s.n + 1) * sizeof *places);
	int            rc = -1;

	*v = (struct vocab){ 0 };
	*p = (struct postings){ 0 };
	if (rank == NULL || places == NULL) {
		err_memory(e);
		goto out;
	}
	if (sort_words(c, v, rank, e) < 0 || vocab_index(v, e) < 0 || postings_new(p, c->n_docs, s.n, e) < 0)
		goto out;
	s.to = p->v;
	s.doc = places;
	s.by_word = places + s.n;
	s.by_term = places + 2 * s.n;
	s.bigram = places + 3 * s.n;
	for (size_t i = 0; i < s.n; i++)
		s.word[i] = rank[s.word[i]];
	for (size_t d = 0, i = 0; d < c->n_docs; d++)
		for (; i < c->ends[d]; i++)
			s.doc[i] = (uint32_t)d;
	rc = sort_terms(&s, v, e);
	postings_fit(p);
out:
	free(rank);
	free(places);
	if (rc < 0) {
		vocab_clear(v);
		postings_clear(p);
	}
	return rc;
}
