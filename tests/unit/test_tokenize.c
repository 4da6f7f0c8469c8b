/* test_tokenize.c - lower case, word boundaries, both patterns. */
#include "text/tokenize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

/* Tokens joined by '|'. */
static void join(struct span text, enum token_pattern pattern, char *out, size_t size)
{
	char            *room = malloc(tokenize_room(text.len));
	struct tokenizer t;
	struct span      token;
	size_t           n = 0, count = 0;

	assert_non_null(room);
	tokenize_begin(&t, text, pattern, room);
	while (tokenize_next(&t, &token)) {
		assert_true(n + token.len + 2 < size);
		if (n > 0)
			out[n++] = '|';
		memcpy(out + n, token.p, token.len);
		n += token.len;
		count++;
	}
	out[n] = '\0';
	assert_true(count <= tokenize_max(text.len));
	free(room);
}

#define TEXT(name, s, word, word1) { name, { s, sizeof s - 1 }, word, word1 }

static const struct {
	const char *name;
	struct span text;
	const char *word, *word1;
} cases[] = {
	TEXT("empty", "", "", ""),
	TEXT("one letter is dropped", "a b2 c", "b2", "a|b2|c"),
	TEXT("punctuation splits", "don-key's end.", "don|key|end", "don|key|s|end"),
	TEXT("underscore and digits belong to words", "_a 1_2 __", "_a|1_2|__", "_a|1_2|__"),
	TEXT("NUL is a character", "ab\0cd", "ab|cd", "ab|cd"),
	TEXT("case beyond ASCII", "\xC3\x89t\xC3\xA9 \xD0\x96\xD0\x97", "\xC3\xA9t\xC3\xA9|\xD0\xB6\xD0\xB7", "\xC3\xA9t\xC3\xA9|\xD0\xB6\xD0\xB7"),
	TEXT("marks split", "cafe\xCC\x81s", "cafe", "cafe|s"),
	TEXT("devanagari", "\xE0\xA4\xA8\xE0\xA4\xAE\xE0\xA4\xB8\xE0\xA5\x8D\xE0\xA4\xA4\xE0\xA5\x87", "\xE0\xA4\xA8\xE0\xA4\xAE\xE0\xA4\xB8", "\xE0\xA4\xA8\xE0\xA4\xAE\xE0\xA4\xB8|\xE0\xA4\xA4"),
	TEXT("two characters, not two bytes", "\xC3\xA9 \xC3\xA9\xC3\xA9", "\xC3\xA9\xC3\xA9", "\xC3\xA9|\xC3\xA9\xC3\xA9"),
	TEXT("dotted capital I becomes two, the second a mark", "\xC4\xB0stanbul x\xC4\xB0y", "stanbul|xi", "i|stanbul|xi|y"),
	TEXT("dotted capital I alone and repeated", "\xC4\xB0\xC4\xB0", "", "i|i"),
	TEXT("growing letter", "\xC8\xBA\xC8\xBA", "\xE2\xB1\xA5\xE2\xB1\xA5", "\xE2\xB1\xA5\xE2\xB1\xA5"),
	TEXT("kelvin shrinks", "\xE2\x84\xAA\xE2\x84\xAA", "kk", "kk"),
	TEXT("final sigma", "\xCE\x9F\xCE\x94\xCE\xA3", "\xCE\xBF\xCE\xB4\xCF\x82", "\xCE\xBF\xCE\xB4\xCF\x82"),
	TEXT("sigma within", "\xCE\x91\xCE\xA3\xCE\x91", "\xCE\xB1\xCF\x83\xCE\xB1", "\xCE\xB1\xCF\x83\xCE\xB1"),
	TEXT("sigma alone", "\xCE\xA3", "", "\xCF\x83"),
	TEXT("a full stop is skipped", "\xCE\x91\xCE\xA3.\xCE\x91", "\xCE\xB1\xCF\x83", "\xCE\xB1\xCF\x83|\xCE\xB1"),
	TEXT("a hyphen is not", "\xCE\x91\xCE\xA3-\xCE\x91", "\xCE\xB1\xCF\x82", "\xCE\xB1\xCF\x82|\xCE\xB1"),
	TEXT("a digit before is not cased", "1\xCE\xA3", "1\xCF\x83", "1\xCF\x83"),
	TEXT("apostrophe before", "\xCE\x91'\xCE\xA3", "", "\xCE\xB1|\xCF\x82"),
	TEXT("sigma after an invalid byte", "\xCE\x91\xCE\xCE\xA3", "", "\xCE\xB1|\xCF\x83"),
	TEXT("invalid bytes split", "ab\xFF" "cd\xC3", "ab|cd", "ab|cd"),
	TEXT("a lead byte does not eat a letter", "ab\xE2" "cd", "ab|cd", "ab|cd"),
	TEXT("overlong and surrogate", "a\xC0\xAF" "b\xED\xA0\x80" "c", "", "a|b|c"),
	TEXT("beyond U+10FFFF", "ab\xF4\x90\x80\x80" "cd", "ab|cd", "ab|cd"),
	TEXT("four bytes", "\xF0\x90\x90\x80\xF0\x90\x90\x81", "\xF0\x90\x90\xA8\xF0\x90\x90\xA9", "\xF0\x90\x90\xA8\xF0\x90\x90\xA9"),
	TEXT("emoji split", "ok\xF0\x9F\x98\x80ok", "ok|ok", "ok|ok"),
	TEXT("circled letters are none, Roman numerals are", "\xE2\x92\xB6\xE2\x92\xB7 \xE2\x85\xA0\xE2\x85\xA1", "\xE2\x85\xB0\xE2\x85\xB1", "\xE2\x85\xB0\xE2\x85\xB1"),
	TEXT("CJK has no spaces", "\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE4\xB8\x96", "\xE4\xBD\xA0\xE5\xA5\xBD", "\xE4\xBD\xA0\xE5\xA5\xBD|\xE4\xB8\x96"),
};

static void test_cases(void **state)
{
	char got[256];

	(void)state;
	for (size_t i = 0; i < countof(cases); i++) {
		join(cases[i].text, TOKEN_WORD, got, sizeof got);
		if (strcmp(got, cases[i].word) != 0)
			fail_msg("%s: \"%s\"", cases[i].name, got);
		join(cases[i].text, TOKEN_WORD1, got, sizeof got);
		if (strcmp(got, cases[i].word1) != 0)
			fail_msg("%s, single: \"%s\"", cases[i].name, got);
	}
}

/* Random bytes: every token is valid UTF-8 of word characters, and fits the room,
 * which the sanitizers watch. */
static void test_random_bytes(void **state)
{
	static const char  *const pieces[] = { "\xC8\xBA", "\xC4\xB0", "\xCE\xA3", "'", "\xCE\x91", "\xFF", "\xE2", "\x80", "a", " " };
	char                got[1024], text[64];

	(void)state;
	srand(7);
	for (int round = 0; round < 20000; round++) {
		struct span s = { text, 0 };
		size_t      n = (size_t)rand() % 24;

		for (size_t i = 0; i < n; i++) {
			const char *p = pieces[(size_t)rand() % countof(pieces)];

			memcpy(text + s.len, p, strlen(p));
			s.len += strlen(p);
		}
		join(s, TOKEN_WORD1, got, sizeof got);
		for (const char *p = got; *p != '\0'; p++)
			assert_true((unsigned char)*p != 0xFF && (unsigned char)*p != 0xC8 && *p != ' ' && *p != '\'');
	}
}

/* Each sigma looks left and right over what is case-ignorable: at most once over
 * each character, or a text of quotes and sigmas would take hours. */
static void test_sigma_is_linear(void **state)
{
	size_t           half = 1000000, n = 0;
	char            *text = malloc(3 * half + 2), *room;
	struct tokenizer t;
	struct span      token;
	clock_t          begin = clock();

	(void)state;
	assert_non_null(text);
	memset(text, '\'', half);
	for (size_t i = 0; i < half / 2; i++)
		memcpy(text + half + 2 * i, i % 2 == 0 ? "\xCE\xA3" : "..", 2);
	memset(text + 2 * half, '\'', half);
	room = malloc(tokenize_room(3 * half));
	assert_non_null(room);
	tokenize_begin(&t, (struct span){ text, 3 * half }, TOKEN_WORD1, room);
	while (tokenize_next(&t, &token))
		n++;
	assert_int_equal(n, half / 4);
	assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 5.0);
	free(text);
	free(room);
}

static void test_unicode_version(void **state)
{
	(void)state;
	assert_in_range(tokenize_unicode(), 1300, 9900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases), cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_sigma_is_linear), cmocka_unit_test(test_unicode_version),
	};

	return cmocka_run_group_tests_name("tokenize", tests, NULL, NULL);
}
