/*
 * corpus.c - documents in, vocabulary and counts out.
 *
 * While documents come, a term is a node (parent node, word), found by one table
 * of pairs; words and nodes are numbered as they appear.  At the end words are
 * sorted by code point and nodes by (parent, word), level by level, which gives
 * the trie of vocab.h, and the counts are renumbered.
 */
#include "text/corpus.h"

#include "text/tokenize.h"

#include <stdbool.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct word {
	uint64_t hash;
	uint32_t at;           /* of its bytes; it ends where the next one begins */
	uint32_t node;         /* its unigram */
};

struct node {
	uint32_t parent;       /* NONE: a unigram */
	uint32_t word;
	uint32_t last;         /* 1 + where its latest count is; 0: none */
};

struct pair_slot {
	uint64_t pair;         /* parent node << 32 | word */
	uint32_t node;         /* NONE: empty */
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
	struct node *nodes;
	size_t       n_nodes, cap_nodes;

	uint32_t         *word_slots;      /* word + 1; 0: empty */
	size_t            word_mask;
	struct pair_slot *pair_slots;
	size_t            pair_mask, n_pairs;

	size_t       *at;      /* where each document's counts begin */
	size_t        n_docs, cap_docs;
	struct count *counts;  /* term: a node */
	size_t        n_counts, cap_counts;
};

void counts_clear(struct counts *c)
{
	free(c->at);
	free(c->v);
	*c = (struct counts){ 0 };
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
	c->word_mask = c->pair_mask = 1023;
	c->word_slots = calloc(c->word_mask + 1, sizeof *c->word_slots);
	c->pair_slots = malloc((c->pair_mask + 1) * sizeof *c->pair_slots);
	if (c->word_slots == NULL || c->pair_slots == NULL) {
		corpus_free(c);
		err_memory(e);
		return NULL;
	}
	memset(c->pair_slots, 0xff, (c->pair_mask + 1) * sizeof *c->pair_slots);
	return c;
}

void corpus_free(struct corpus *c)
{
	if (c == NULL)
		return;
	free(c->room);
	free(c->bytes);
	free(c->words);
	free(c->nodes);
	free(c->word_slots);
	free(c->pair_slots);
	free(c->at);
	free(c->counts);
	free(c);
}

static int node_new(struct corpus *c, uint32_t parent, uint32_t word, uint32_t *node, struct err *e)
{
	if (c->n_nodes >= NONE - 1)
		return err_set(e, ERR_TOO_LARGE, "more than %u different terms", NONE - 1);
	if (GROW(c, nodes, cap_nodes, c->n_nodes, 1, e) < 0)
		return -1;
	*node = (uint32_t)c->n_nodes;
	c->nodes[c->n_nodes++] = (struct node){ parent, word, 0 };
	return 0;
}

static int words_rehash(struct corpus *c, struct err *e)
{
	size_t    size = (c->word_mask + 1) * 2;
	uint32_t *slots = calloc(size, sizeof *slots);

	if (slots == NULL)
		return err_memory(e);
	for (size_t w = 0; w < c->n_words; w++) {
		size_t i = c->words[w].hash & (size - 1);

		while (slots[i] != 0)
			i = (i + 1) & (size - 1);
		slots[i] = (uint32_t)w + 1;
	}
	free(c->word_slots);
	c->word_slots = slots;
	c->word_mask = size - 1;
	return 0;
}

static struct span word_span(const struct corpus *c, size_t w)
{
	size_t end = w + 1 < c->n_words ? c->words[w + 1].at : c->n_bytes;

	return (struct span){ c->bytes + c->words[w].at, end - c->words[w].at };
}

static int word_intern(struct corpus *c, struct span s, uint32_t *word, struct err *e)
{
	uint64_t h = hash_bytes(c->key, s.p, s.len);
	size_t   i;
	uint32_t node;

	for (i = h & c->word_mask; c->word_slots[i] != 0; i = (i + 1) & c->word_mask) {
		uint32_t w = c->word_slots[i] - 1;

		if (c->words[w].hash == h && span_eq(s, word_span(c, w))) {
			*word = w;
			return 0;
		}
	}
	if (s.len > UINT32_MAX - c->n_bytes)
		return err_set(e, ERR_TOO_LARGE, "words of more than %u bytes in all", UINT32_MAX);
	if (GROW(c, bytes, cap_bytes, c->n_bytes, s.len, e) < 0 ||
	    GROW(c, words, cap_words, c->n_words, 1, e) < 0 ||
	    node_new(c, NONE, (uint32_t)c->n_words, &node, e) < 0)
		return -1;
	memcpy(c->bytes + c->n_bytes, s.p, s.len);
	c->words[c->n_words] = (struct word){ h, (uint32_t)c->n_bytes, node };
	c->n_bytes += s.len;
	*word = (uint32_t)c->n_words++;
	c->word_slots[i] = *word + 1;
	return c->n_words * 2 > c->word_mask ? words_rehash(c, e) : 0;
}

static size_t pair_slot(const struct pair_slot *slots, size_t mask, struct hash_key key, uint64_t pair)
{
	size_t i = hash_u64(key, pair) & mask;

	while (slots[i].node != NONE && slots[i].pair != pair)
		i = (i + 1) & mask;
	return i;
}

static int pairs_rehash(struct corpus *c, struct err *e)
{
	size_t            size = (c->pair_mask + 1) * 2;
	struct pair_slot *slots = size > SIZE_MAX / sizeof *slots ? NULL : malloc(size * sizeof *slots);

	if (slots == NULL)
		return err_memory(e);
	memset(slots, 0xff, size * sizeof *slots);
	for (size_t i = 0; i <= c->pair_mask; i++)
		if (c->pair_slots[i].node != NONE)
			slots[pair_slot(slots, size - 1, c->key, c->pair_slots[i].pair)] = c->pair_slots[i];
	free(c->pair_slots);
	c->pair_slots = slots;
	c->pair_mask = size - 1;
	return 0;
}

static int pair_intern(struct corpus *c, uint32_t parent, uint32_t word, uint32_t *node, struct err *e)
{
	uint64_t pair = (uint64_t)parent << 32 | word;
	size_t   i = pair_slot(c->pair_slots, c->pair_mask, c->key, pair);

	if (c->pair_slots[i].node != NONE) {
		*node = c->pair_slots[i].node;
		return 0;
	}
	if (node_new(c, parent, word, node, e) < 0)
		return -1;
	c->pair_slots[i] = (struct pair_slot){ pair, *node };
	return ++c->n_pairs * 2 > c->pair_mask ? pairs_rehash(c, e) : 0;
}

/* One more of the term in the document whose counts begin at `begin`. */
static int count_term(struct corpus *c, uint32_t node, size_t begin, struct err *e)
{
	struct node *n = &c->nodes[node];

	if (n->last > begin) {
		c->counts[n->last - 1].n++;      /* at most as many as a text has bytes */
		return 0;
	}
	if (c->n_counts >= NONE - 1)
		return err_set(e, ERR_TOO_LARGE, "more than %u counts", NONE - 1);
	if (GROW(c, counts, cap_counts, c->n_counts, 1, e) < 0)
		return -1;
	c->counts[c->n_counts++] = (struct count){ node, 1 };
	n->last = (uint32_t)c->n_counts;
	return 0;
}

int corpus_add(struct corpus *c, struct span text, struct err *e)
{
	struct tokenizer t;
	struct span      token;
	size_t           begin = c->n_counts;
	uint32_t         before = NONE, pair = NONE;     /* unigram and bigram that end in the last word */

	/* Counts are 32 bits wide. */
	if (text.len > UINT32_MAX / 2)
		return err_set(e, ERR_TOO_LARGE, "a text of %zu bytes", text.len);
	if (GROW(c, room, room_cap, 0, tokenize_room(text.len), e) < 0 ||
	    GROW(c, at, cap_docs, c->n_docs, 2, e) < 0)
		return -1;
	c->at[c->n_docs++] = begin;
	tokenize_begin(&t, text, c->pattern, c->room);
	while (tokenize_next(&t, &token)) {
		uint32_t word = 0, bigram = NONE, trigram;

		if (word_intern(c, token, &word, e) < 0 || count_term(c, c->words[word].node, begin, e) < 0)
			return -1;
		if (before != NONE && (pair_intern(c, before, word, &bigram, e) < 0 ||
		                       count_term(c, bigram, begin, e) < 0))
			return -1;
		if (pair != NONE && (pair_intern(c, pair, word, &trigram, e) < 0 ||
		                     count_term(c, trigram, begin, e) < 0))
			return -1;
		before = c->words[word].node;
		pair = bigram;
	}
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

/* new_id[node of each word] and v's words. */
static int sort_words(const struct corpus *c, struct vocab *v, uint32_t *new_id, struct err *e)
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
		new_id[c->words[w[i].word].node] = (uint32_t)i;
		v->word_at[i] = at;
		memcpy(v->bytes + at, w[i].s.p, w[i].s.len);
		at += (uint32_t)w[i].s.len;
	}
	v->word_at[c->n_words] = at;
	v->n_words = (uint32_t)c->n_words;
	free(w);
	return 0;
}

/*
 * Sorts the nodes of one level (2 or 3) by (parent, word) with two stable counting
 * passes, numbers them from `base` on, and gives the level's arrays.
 *
 * level: its nodes [n]; parents number from parent_base on, n_parents of them.
 */
static int sort_level(const struct corpus *c, const uint32_t *level, size_t n, uint32_t *new_id,
                      uint32_t base, uint32_t parent_base, size_t n_parents,
                      uint32_t **first, uint32_t **words, struct err *e)
{
	uint32_t *by_word = calloc(n + 1, sizeof *by_word);
	uint32_t *at = calloc(c->n_words + 1, sizeof *at);
	uint32_t *f = calloc(n_parents + 2, sizeof *f), *w = malloc((n + 1) * sizeof *w);

	*first = f;
	*words = w;
	if (by_word == NULL || at == NULL || f == NULL || w == NULL) {
		free(by_word);
		free(at);
		return err_memory(e);
	}
	for (size_t i = 0; i < n; i++)
		at[new_id[c->words[c->nodes[level[i]].word].node] + 1]++;
	for (size_t i = 0; i < c->n_words; i++)
		at[i + 1] += at[i];
	for (size_t i = 0; i < n; i++)
		by_word[at[new_id[c->words[c->nodes[level[i]].word].node]]++] = level[i];

	/* f runs one ahead while it serves as the cursor: f[p + 1] ends as where
	 * parent p + 1 begins. */
	for (size_t i = 0; i < n; i++)
		f[new_id[c->nodes[level[i]].parent] - parent_base + 2]++;
	for (size_t i = 2; i < n_parents + 2; i++)
		f[i] += f[i - 1];
	for (size_t i = 0; i < n; i++) {
		const struct node *node = &c->nodes[by_word[i]];
		uint32_t           to = f[new_id[node->parent] - parent_base + 1]++;

		w[to] = new_id[c->words[node->word].node];
		new_id[by_word[i]] = base + to;
	}
	free(by_word);
	free(at);
	return 0;
}

static int sort_terms(const struct corpus *c, struct vocab *v, uint32_t *new_id, struct err *e)
{
	uint32_t *level2 = malloc((c->n_nodes + 1) * sizeof *level2), *level3;
	size_t    n2 = 0, n3 = 0;
	int       rc = -1;

	if (level2 == NULL)
		return err_memory(e);
	/* Bigrams fill the array from its front, trigrams from its back. */
	level3 = level2 + c->n_nodes;
	for (size_t i = 0; i < c->n_nodes; i++) {
		uint32_t parent = c->nodes[i].parent;

		if (parent == NONE)
			continue;
		if (c->nodes[parent].parent == NONE) {
			level2[n2++] = (uint32_t)i;
		} else {
			*--level3 = (uint32_t)i;
			n3++;
		}
	}
	if (sort_words(c, v, new_id, e) == 0 &&
	    sort_level(c, level2, n2, new_id, v->n_words, 0, c->n_words, &v->first2, &v->word2, e) == 0 &&
	    sort_level(c, level3, n3, new_id, v->n_words + (uint32_t)n2, v->n_words, n2, &v->first3,
	               &v->word3, e) == 0) {
		v->n_bigrams = (uint32_t)n2;
		v->n_trigrams = (uint32_t)n3;
		rc = 0;
	}
	free(level2);
	return rc;
}

int corpus_finish(struct corpus *c, struct vocab *v, struct counts *counts, struct err *e)
{
	uint32_t *new_id = malloc((c->n_nodes + 1) * sizeof *new_id);
	int       rc = -1;

	*v = (struct vocab){ 0 };
	*counts = (struct counts){ 0 };
	if (new_id == NULL)
		return err_memory(e);
	if (GROW(c, at, cap_docs, c->n_docs, 1, e) < 0)
		goto out;
	/* The tables are not needed any more: their memory is better used below. */
	free(c->pair_slots);
	c->pair_slots = NULL;
	if (sort_terms(c, v, new_id, e) < 0 || vocab_index(v, e) < 0)
		goto out;
	for (size_t i = 0; i < c->n_counts; i++)
		c->counts[i].term = new_id[c->counts[i].term];
	c->at[c->n_docs] = c->n_counts;
	*counts = (struct counts){ c->n_docs, c->n_nodes, c->at, c->counts };
	c->at = NULL;
	c->counts = NULL;
	rc = 0;
out:
	free(new_id);
	if (rc < 0)
		vocab_clear(v);
	return rc;
}
