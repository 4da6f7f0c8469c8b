/* tokenize.c - lower case and word boundaries, as Python has them. */
#include "text/tokenize.h"

#include "base/span.h"

#include <unicase.h>
#include <unictype.h>

#define REPLACEMENT 0xFFFD
#define CAPITAL_SIGMA 0x3A3

/* ASCII: the lower-case word character, 0 for all others. */
static const char ascii[128] = {
	['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',
	['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
	['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f',
	['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l',
	['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r',
	['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x',
	['Y'] = 'y', ['Z'] = 'z', ['_'] = '_',
	['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f',
	['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l',
	['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r',
	['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x',
	['y'] = 'y', ['z'] = 'z',
};

bool tokenize_is_word(uint32_t c)
{
	if (c < 128)
		return ascii[c] != 0;
	return uc_is_general_category_withtable(c, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_N);
}

int tokenize_lower(uint32_t c, uint32_t lower[2])
{
	if (c == 0x130) {                       /* the one that grows */
		lower[0] = 'i';
		lower[1] = 0x307;
		return 2;
	}
	lower[0] = uc_tolower(c);
	return 1;
}

unsigned tokenize_unicode(void)
{
	/* Letters that a version was the first to assign: the library tells its own
	 * version, not that of its data. */
	static const struct { uint32_t letter; unsigned version; } first[] = {
		{ 0x16EA0, 1700 }, { 0x105C0, 1600 }, { 0x2EBF0, 1510 }, { 0x11F04, 1500 },
		{ 0x0870, 1400 },  { 0x08BE, 1300 },
	};

	for (size_t i = 0; i < countof(first); i++)
		if (tokenize_is_word(first[i].letter))
			return first[i].version;
	return 0;
}

/* The character at p < end.  *len is 1 for an invalid byte. */
static uint32_t decode(const unsigned char *p, const unsigned char *end, size_t *len)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t                n = *p < 0x80 ? 1 : *p < 0xC2 ? 0 : *p < 0xE0 ? 2 : *p < 0xF0 ? 3 : *p < 0xF5 ? 4 : 0;
	uint32_t              c;

	*len = 1;
	if (n == 1)
		return *p;
	if (n == 0 || (size_t)(end - p) < n)
		return REPLACEMENT;
	c = *p & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return REPLACEMENT;
		c = c << 6 | (p[i] & 0x3Fu);
	}
	if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
		return REPLACEMENT;
	*len = n;
	return c;
}

/* The character that ends at p > start. */
static uint32_t decode_before(const unsigned char *start, const unsigned char *p, size_t *len)
{
	const unsigned char *q = p - 1;
	uint32_t             c;

	while (q > start && p - q < 4 && (*q & 0xC0) == 0x80)
		q--;
	c = decode(q, p, len);
	if (*len == (size_t)(p - q))
		return c;
	*len = 1;
	return REPLACEMENT;
}

static char *encode(char *w, uint32_t c)
{
	if (c < 0x80) {
		*w++ = (char)c;
	} else if (c < 0x800) {
		*w++ = (char)(0xC0 | c >> 6);
		*w++ = (char)(0x80 | (c & 0x3F));
	} else if (c < 0x10000) {
		*w++ = (char)(0xE0 | c >> 12);
		*w++ = (char)(0x80 | (c >> 6 & 0x3F));
		*w++ = (char)(0x80 | (c & 0x3F));
	} else {
		*w++ = (char)(0xF0 | c >> 18);
		*w++ = (char)(0x80 | (c >> 12 & 0x3F));
		*w++ = (char)(0x80 | (c >> 6 & 0x3F));
		*w++ = (char)(0x80 | (c & 0x3F));
	}
	return w;
}

/*
 * Is the sigma at `at` (two bytes) the last letter of its word?  A cased character
 * before and none after, over what is case-ignorable.  Both walks end at the next
 * character that is not, so that a whole text is walked at most twice.
 */
static bool sigma_is_final(const struct tokenizer *t, const unsigned char *at)
{
	const unsigned char *p = at;
	uint32_t             c;
	size_t               len;

	for (;;) {
		if (p == t->start)
			return false;
		c = decode_before(t->start, p, &len);
		if (!uc_is_property_case_ignorable(c))
			break;
		p -= len;
	}
	if (!uc_is_property_cased(c))
		return false;
	for (p = at + 2; p < t->end; p += len) {
		c = decode(p, t->end, &len);
		if (!uc_is_property_case_ignorable(c))
			return !uc_is_property_cased(c);
	}
	return true;
}

void tokenize_begin(struct tokenizer *t, struct span text, enum token_pattern pattern, char *room)
{
	t->start = t->p = (const unsigned char *)text.p;
	t->end = text.len == 0 ? t->p : t->p + text.len;
	t->room = room;
	t->least = pattern == TOKEN_WORD1 ? 1 : 2;
}

bool tokenize_next(struct tokenizer *t, struct span *token)
{
	const unsigned char *p = t->p, *const end = t->end;

	while (p < end) {
		char  *w = t->room;
		size_t n = 0;                            /* characters */

		while (p < end) {
			uint32_t c;
			size_t   len;

			if (*p < 0x80) {
				char a = ascii[*p];

				if (a == 0)
					break;
				*w++ = a;
				n++;
				p++;
				continue;
			}
			c = decode(p, end, &len);
			if (c == 0x130) {                /* i, then a mark, which ends the token */
				*w++ = 'i';
				n++;
				break;
			}
			if (!tokenize_is_word(c))
				break;
			if (c == CAPITAL_SIGMA)
				c = sigma_is_final(t, p) ? 0x3C2 : 0x3C3;
			else
				c = uc_tolower(c);
			w = encode(w, c);
			n++;
			p += len;
		}
		/* Past the character that ended the run: whole, since the bytes inside one
		 * are no word characters by themselves, it may be taken byte by byte. */
		if (p < end)
			p += *p == 0xC4 && end - p > 1 && p[1] == 0xB0 ? 2 : 1;
		while (p < end && (*p & 0xC0) == 0x80)
			p++;
		if (n >= t->least) {
			t->p = p;
			*token = (struct span){ t->room, (size_t)(w - t->room) };
			return true;
		}
	}
	t->p = p;
	return false;
}
