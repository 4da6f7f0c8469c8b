/*
 * tokenize.h - a text, lower-cased, cut into words.
 *
 * Agrees with Python's str.lower() followed by re.findall() of
 *
 *   TOKEN_WORD    (?u)\b\w\w+\b       runs of two or more word characters
 *   TOKEN_WORD1   (?u)\b\w\w+\b|\w    runs of one or more
 *
 * on the Unicode version of libunistring.  A word character is one of general
 * category L or N, or U+005F; marks are none.  Lower case is the full, locale-free
 * mapping of the whole text before it is cut: U+0130 becomes two characters, and
 * capital sigma is final or not by what stands around it (Unicode's Final_Sigma).
 *
 * Text is UTF-8; NUL is an ordinary character, an invalid byte counts as U+FFFD.
 * See tests/golden/analyzer.json for the words.
 */
#ifndef TEXT_TOKENIZE_H
#define TEXT_TOKENIZE_H

#include "base/env.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct tokenizer {
	const unsigned char *start, *p, *end;
	char                *room;
	size_t               least;      /* characters of the shortest token */
};

/* Bytes that the room of a text may need: a token is at most the whole text, and
 * no character grows by more than half (U+023A, two bytes, to three). */
static inline size_t tokenize_room(size_t text_len)
{
	return text_len + text_len / 2 + 4;
}

/* text and room (tokenize_room() bytes; one room serves many texts) are borrowed. */
void tokenize_begin(struct tokenizer *t, struct span text, enum token_pattern pattern, char *room);

/* The next token, valid until the next call; false at the end.
 * Cost: one pass over the text in all. */
bool tokenize_next(struct tokenizer *t, struct span *token);

/* A text of `len` bytes has at most so many tokens. */
static inline size_t tokenize_max(size_t len)
{
	return len / 2 + 1;
}

/* Of a code point, as the tokenizer applies them.  tokenize_lower() gives the
 * number of code points, 1 or 2; sigma standing alone becomes U+03C3. */
bool tokenize_is_word(uint32_t c);
int  tokenize_lower(uint32_t c, uint32_t lower[2]);

/* Unicode version of the character data: 1400 for 14.0, 1510 for 15.1.  0: older
 * than 13.0. */
unsigned tokenize_unicode(void);

#endif
