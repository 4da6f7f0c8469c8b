/*
 * model.c - which label goes with which words: naive Bayes, Choices over Text.
 *
 *   P(label | text)  ~  (examples of label + 1) * product over words of
 *                       (count of word under label + 1) / (words under label + BUCKETS)
 *
 * Words are runs of letters, digits and bytes beyond ASCII, in lower case; they share a
 * count where their hashes meet.  Two functions make the model: learn() notes an example
 * of a label, score() says how well a text fits those notes (models/chooser.h).  What
 * wants more, such as spans or numbers, fills in a struct model_kind by itself: see
 * prelabel-model(3).
 */
#include "models/chooser.h"

#include <ctype.h>
#include <math.h>

#define BUCKETS 4096

/* The notes of a label. */
struct counts {
	uint32_t examples, words, word[BUCKETS];
};

/* Takes the next word off the text, by its bucket. */
static bool next_word(struct span *text, uint32_t *bucket)
{
	uint32_t hash = 2166136261u, letters = 0;       /* FNV-1a */

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

static void learn(struct buf *notes, struct span text)
{
	static const struct counts none;
	struct counts             *seen;

	if (notes->len == 0)
		buf_add(notes, &none, sizeof none);
	if (notes->len != sizeof none)
		return;                         /* no memory: the training says so */
	seen = (void *)notes->p;
	for (uint32_t bucket; next_word(&text, &bucket); seen->words++)
		seen->word[bucket]++;
	seen->examples++;
}

static double score(struct span notes, struct span text)
{
	const struct counts *seen = (const void *)notes.p;
	double               logp;

	if (notes.len != sizeof *seen)
		return 0;                       /* kept before BUCKETS was changed; raise .format with it */
	logp = log(seen->examples + 1.0);
	for (uint32_t bucket; next_word(&text, &bucket);)
		logp += log((seen->word[bucket] + 1.0) / (seen->words + (double)BUCKETS));
	return logp;
}

const struct model_kind model_words = {
	.abi = MODEL_ABI, .name = "words", .format = 1, CHOOSER(learn, score)
};
