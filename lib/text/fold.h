/*
 * fold.h - texts without their case, with the way back to the code points of the
 * original.
 *
 * Unicode's full case folding (CaseFolding.txt, C + F), code point by code point and
 * in no language: what Python's str.casefold() gives.  It may make a text longer:
 * "ß" becomes "ss", "ﬁ" "fi", "İ" an i and a mark.  Nothing is normalised: "é" of
 * one code point and "é" of two are different.
 *
 * Folding a part of a text gives the part of the folded text: a slice of one is a
 * slice of the other, as long as both ends lie between code points of the original.
 */
#ifndef TEXT_FOLD_H
#define TEXT_FOLD_H

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

#define FOLD_BYTES_MAX ((size_t)64 << 20)
#define FOLD_CHARS_MAX 3

struct folded {
	struct span     text;        /* the original, borrowed */
	struct span     bytes;       /* folded, UTF-8 */
	size_t          n;           /* code points of the original */
	const uint32_t *text_at;     /* [n + 1] byte of text and of bytes at which each begins, */
	const uint32_t *bytes_at;    /* and the end; NULL: at its own number (all is ASCII) */
};

/* An invalid byte counts as one U+FFFD.  Cost: one pass for ASCII, else two.
 * -1: ERR_TOO_LARGE beyond FOLD_BYTES_MAX, ERR_MEMORY.  Lives in the arena, about
 * 1 byte a byte of ASCII, else up to 8 a code point and 3 a byte. */
int fold_text(struct folded *f, struct span text, struct arena *a, struct err *e);

/* One code point: how many it becomes. */
int fold_char(uint32_t c, uint32_t folded[FOLD_CHARS_MAX]);

/* The code points start to end (exclusive) of the original; their folded bytes. */
struct span fold_original(const struct folded *f, size_t start, size_t end);
struct span fold_slice(const struct folded *f, size_t start, size_t end);

/* The code point whose folded form begins at that byte, n for the end; -1: the byte
 * is in the midst of one ("s" in "ß"). */
int64_t fold_index(const struct folded *f, size_t byte);

/*
 * Does a word end between the code points i - 1 and i, at the text's ends always?
 * It does not where both are word characters: letters, digits, marks (they
 * belong to the letter before them) and '_'.
 */
bool fold_is_edge(const struct folded *f, size_t i);
bool fold_is_word(const struct folded *f, size_t i);     /* i < n */

#endif
