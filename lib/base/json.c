/* json.c - strict JSON: the check, reading in place, splitting a stream, printing. */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define REPLACEMENT "\xef\xbf\xbd"      /* U+FFFD */

/* ---- bytes ---------------------------------------------------------------- */

/* The same byte eight times. */
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define TOPS       EACH(0x80)

static inline uint64_t load8(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof w);
	return w;
}

/* Not 0 exactly when one of the eight bytes ends a run of plain string bytes: a
 * control character, '"', '\\' or a byte beyond ASCII.  Without the last, each of
 * the others sets its top bit by borrowing (Mycroft's zero-byte test). */
static inline uint64_t not_plain(uint64_t w)
{
	uint64_t quote = w ^ EACH('"'), backslash = w ^ EACH('\\');

	return ((w - EACH(0x20)) | (quote - EACH(1)) | (backslash - EACH(1)) | w) & TOPS;
}

static inline bool is_plain(char c)
{
	return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

/* Behind the run of plain string bytes at p. */
static inline const char *skip_plain(const char *p, const char *end)
{
	while (end - p >= 16 && (not_plain(load8(p)) | not_plain(load8(p + 8))) == 0)
		p += 16;
	while (p < end && is_plain(*p))
		p++;
	return p;
}

static inline bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline const char *skip_space(const char *p, const char *end)
{
	while (p < end && is_space(*p))
		p++;
	return p;
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* -1: no hexadecimal digit. */
static inline int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * The UTF-8 sequence at p, p < end, which is beyond ASCII: its length, or minus the
 * number of bytes that stand for one U+FFFD when it is none (overlong, surrogate,
 * beyond U+10FFFF, cut).
 * The Unicode Standard, tables 3-7 and 3-8.
 */
static inline int utf8_step(const char *p, const char *end)
{
	const unsigned char *s = (const unsigned char *)p;
	const ptrdiff_t      left = end - p;
	unsigned char        least = 0x80, most = 0xbf;
	int                  len;

	if (s[0] < 0xc2 || s[0] > 0xf4)
		return -1;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		least = 0xa0;
	else if (s[0] == 0xed)
		most = 0x9f;
	else if (s[0] == 0xf0)
		least = 0x90;
	else if (s[0] == 0xf4)
		most = 0x8f;
	if (left < 2 || s[1] < least || s[1] > most)
		return -1;
	for (int i = 2; i < len; i++)
		if (i >= left || (s[i] & 0xc0) != 0x80)
			return -i;
	return len;
}

static size_t utf8_put(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* ---- the check ------------------------------------------------------------ */

/* The three below stand at the first byte of what they check and give the place
 * behind it, or NULL with *at where it goes wrong and *why. */
struct fault {
	const char *at, *why;
};

static const char *fault(struct fault *f, const char *at, const char *why)
{
	*f = (struct fault){ at, why };
	return NULL;
}

static const char *check_string(const char *p, const char *end, struct fault *f)
{
	p++;                                             /* the opening quote */
	for (;;) {
		p = skip_plain(p, end);
		if (p == end)
			return fault(f, p, "a string that does not end");
		if (*p == '"')
			return p + 1;
		if (*p == '\\') {
			if (end - p >= 2 && p[1] == 'u') {
				for (int i = 2; i < 6; i++)
					if (end - p <= i || hex_value(p[i]) < 0)
						return fault(f, p, "\\u without four hexadecimal digits");
				p += 6;
			} else if (end - p >= 2 && p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) != NULL) {
				p += 2;
			} else {
				return fault(f, p, "an unknown escape");
			}
			continue;
		}
		if ((unsigned char)*p < 0x20)
			return fault(f, p, "a control character in a string");
		do {
			int len = utf8_step(p, end);

			if (len < 0)
				return fault(f, p, "bytes that are not UTF-8");
			p += len;
		} while (p < end && (unsigned char)*p >= 0x80);
	}
}

static const char *check_number(const char *p, const char *end, struct fault *f)
{
	if (*p == '-')
		p++;
	if (p == end || !is_digit(*p))
		return fault(f, p, "a number without digits");
	if (*p == '0')
		p++;
	else
		while (p < end && is_digit(*p))
			p++;
	if (p < end && is_digit(*p))
		return fault(f, p, "a number that begins with 0");
	if (p < end && *p == '.') {
		if (++p == end || !is_digit(*p))
			return fault(f, p, "a number without digits after its point");
		while (p < end && is_digit(*p))
			p++;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		if (p == end || !is_digit(*p))
			return fault(f, p, "a number without digits in its exponent");
		while (p < end && is_digit(*p))
			p++;
	}
	return p;
}

static const char *check_word(const char *p, const char *end, struct fault *f)
{
	const char  *word = *p == 't' ? "true" : *p == 'f' ? "false" : "null";
	const size_t len = strlen(word);

	if ((size_t)(end - p) < len || memcmp(p, word, len) != 0)
		return fault(f, p, "an unknown word");
	return p + len;
}

/* The bits of `kinds` are the open brackets, innermost lowest: 1 an object. */
static const char *check_value(const char *p, const char *end, struct fault *f)
{
	uint64_t kinds = 0;
	int      depth = 0;

value:
	if (p == end)
		return fault(f, p, "the end where a value should be");
	switch (*p) {
	case '{':
	case '[':
		if (depth == JSON_DEPTH_MAX)
			return fault(f, p, "brackets nested too deep");
		depth++;
		kinds = kinds << 1 | (*p == '{');
		p = skip_space(p + 1, end);
		if (p < end && *p == ((kinds & 1) != 0 ? '}' : ']'))
			break;
		if ((kinds & 1) != 0)
			goto key;
		goto value;
	case '"':
		p = check_string(p, end, f);
		goto behind;
	case 't':
	case 'f':
	case 'n':
		p = check_word(p, end, f);
		goto behind;
	default:
		if (*p != '-' && !is_digit(*p))
			return fault(f, p, "no value");
		p = check_number(p, end, f);
		goto behind;
	}

close:
	p++;
	depth--;
	kinds >>= 1;
behind:
	if (p == NULL || depth == 0)
		return p;
	p = skip_space(p, end);
	if (p == end)
		return fault(f, p, "the end inside of brackets");
	if (*p == ((kinds & 1) != 0 ? '}' : ']'))
		goto close;
	if (*p != ',')
		return fault(f, p, "no comma and no closing bracket");
	p = skip_space(p + 1, end);
	if ((kinds & 1) == 0)
		goto value;
key:
	if (p == end || *p != '"')
		return fault(f, p, "no key");
	p = check_string(p, end, f);
	if (p == NULL)
		return NULL;
	p = skip_space(p, end);
	if (p == end || *p != ':')
		return fault(f, p, "no colon after a key");
	p = skip_space(p + 1, end);
	goto value;
}

int json_check(struct span text, struct span *value, struct err *e)
{
	struct fault f;
	const char  *begin, *p, *end;

	if (text.len == 0)
		return err_set(e, ERR_SYNTAX, "not JSON: empty");
	end = text.p + text.len;
	begin = skip_space(text.p, end);
	p = check_value(begin, end, &f);
	if (p != NULL) {
		*value = (struct span){ begin, (size_t)(p - begin) };
		p = skip_space(p, end);
		if (p == end)
			return 0;
		fault(&f, p, "something after the value");
	}
	return err_set(e, ERR_SYNTAX, "not JSON: %s at byte %zu", f.why, (size_t)(f.at - text.p));
}

/* ---- where a value ends, and streams --------------------------------------- */

void json_scan_init(struct json_scan *s)
{
	*s = (struct json_scan){ 0 };
}

/* Over the bytes of a string, to its closing quote or the end. */
static const char *scan_string(struct json_scan *s, const char *p, const char *end)
{
	while (p < end) {
		if (s->escape) {
			s->escape = false;
			p++;
			continue;
		}
		while (end - p >= 8) {
			uint64_t w = load8(p), quote = w ^ EACH('"'), backslash = w ^ EACH('\\');

			if ((((quote - EACH(1)) & ~quote) | ((backslash - EACH(1)) & ~backslash)) & TOPS)
				break;
			p += 8;
		}
		while (p < end && *p != '"' && *p != '\\')
			p++;
		if (p == end)
			break;
		if (*p++ == '"') {
			s->string = false;
			break;
		}
		s->escape = true;
	}
	return p;
}

static bool ends_scalar(char c)
{
	return is_space(c) || c == ',' || c == ']' || c == '}' || c == ':' || c == '"' || c == '[' || c == '{';
}

size_t json_scan(struct json_scan *s, struct span bytes)
{
	const char *p = bytes.p, *end = bytes.len == 0 ? p : p + bytes.len;

	while (p < end && !s->done) {
		if (s->string) {
			p = scan_string(s, p, end);
			s->done = !s->string && s->depth == 0;
		} else if (s->scalar) {
			while (p < end && !ends_scalar(*p))
				p++;
			s->done = p < end;
		} else if (*p == '"') {
			s->string = true;
			p++;
		} else if (*p == '{' || *p == '[') {
			s->depth++;
			p++;
		} else if (s->depth == 0) {
			s->scalar = true;
		} else {
			if (*p == '}' || *p == ']')
				s->done = --s->depth == 0;
			p++;
		}
	}
	return (size_t)(p - bytes.p);
}

int64_t json_complete(struct span text)
{
	struct json_scan s;
	const char      *begin, *end;
	size_t           len;

	if (text.len == 0)
		return 0;
	end = text.p + text.len;
	begin = skip_space(text.p, end);
	if (begin < end && memchr("{[\"tfn-0123456789", *begin, 17) == NULL)
		return -1;
	json_scan_init(&s);
	len = json_scan(&s, (struct span){ begin, (size_t)(end - begin) });
	return s.done ? (int64_t)((size_t)(begin - text.p) + len) : 0;
}

enum { BEFORE_ARRAY, BEFORE_FIRST, BEFORE_NEXT, IN_ELEMENT, BEHIND_ELEMENT, BEHIND_ARRAY };

void json_splitter_init(struct json_splitter *s, size_t element_max,
                        int (*each)(void *arg, struct span element, struct err *e), void *arg)
{
	*s = (struct json_splitter){ .each = each, .arg = arg, .state = BEFORE_ARRAY };
	buf_init(&s->element, element_max);
}

void json_splitter_clear(struct json_splitter *s)
{
	buf_clear(&s->element);
}

static int not_array(const struct json_splitter *s, const char *why, struct err *e)
{
	return err_set(e, ERR_SYNTAX, "not a JSON array: %s at byte %zu", why, s->seen);
}

/* The bytes of an element that are in this chunk, the last ones or not. */
static int take(struct json_splitter *s, struct span part, struct err *e)
{
	struct span whole = part, value;

	if (part.len > s->element.max || s->element.len > s->element.max - part.len)
		return err_set(e, ERR_TOO_LARGE, "element %zu is larger than %zu bytes",
		               s->count, s->element.max);
	/* One that lies in a single chunk is not copied. */
	if (!s->scan.done || s->element.len > 0) {
		buf_add(&s->element, part.p, part.len);
		if (buf_check(&s->element, "an element", e) < 0)
			return -1;
		whole = buf_span(&s->element);
	}
	if (!s->scan.done)
		return 0;
	if (json_check(whole, &value, e) < 0 || s->each(s->arg, value, e) < 0)
		return -1;
	buf_reset(&s->element);
	s->count++;
	return 0;
}

int json_splitter_feed(struct json_splitter *s, struct span bytes, struct err *e)
{
	const char *p = bytes.p, *end = bytes.len == 0 ? p : p + bytes.len;

	while (p < end) {
		size_t len = 1;

		if (s->state != IN_ELEMENT && is_space(*p)) {
			/* white space may stand anywhere between the values */
		} else if (s->state == BEFORE_ARRAY) {
			if (*p != '[')
				return not_array(s, "no opening bracket", e);
			s->state = BEFORE_FIRST;
		} else if (s->state == BEHIND_ARRAY) {
			return not_array(s, "something after the array", e);
		} else if (*p == ']' && (s->state == BEFORE_FIRST || s->state == BEHIND_ELEMENT)) {
			s->state = BEHIND_ARRAY;
		} else if (s->state == BEHIND_ELEMENT) {
			if (*p != ',')
				return not_array(s, "no comma and no closing bracket", e);
			s->state = BEFORE_NEXT;
		} else {
			if (s->state != IN_ELEMENT) {
				if (*p == ']' || *p == ',')
					return not_array(s, "no value", e);
				json_scan_init(&s->scan);
				s->state = IN_ELEMENT;
			}
			len = json_scan(&s->scan, (struct span){ p, (size_t)(end - p) });
			if (take(s, (struct span){ p, len }, e) < 0)
				return -1;
			if (s->scan.done)
				s->state = BEHIND_ELEMENT;
		}
		p += len;
		s->seen += len;
	}
	return 0;
}

int json_splitter_end(const struct json_splitter *s, struct err *e)
{
	return s->state == BEHIND_ARRAY ? 0 : not_array(s, "cut off", e);
}

/* ---- reading checked text --------------------------------------------------- */

/* Behind the string whose opening quote is at p. */
static const char *string_end(const char *p, const char *end)
{
	const char *begin = ++p;

	for (;;) {
		const char *quote = memchr(p, '"', (size_t)(end - p)), *b = quote;

		if (quote == NULL)
			return end;              /* not in checked text */
		while (b > begin && b[-1] == '\\')
			b--;
		if ((quote - b) % 2 == 0)
			return quote + 1;
		p = begin = quote + 1;           /* that quote was escaped */
	}
}

/* Behind the value at p. */
static const char *value_end(const char *p, const char *end)
{
	int depth = 0;

	if (*p == '"')
		return string_end(p, end);
	if (*p != '{' && *p != '[') {
		while (p < end && !ends_scalar(*p))
			p++;
		return p;
	}
	while (p < end) {
		switch (*p) {
		case '"':
			p = string_end(p, end);
			break;
		case '{':
		case '[':
			depth++;
			p++;
			break;
		case '}':
		case ']':
			p++;
			if (--depth == 0)
				return p;
			break;
		default:
			p++;
		}
	}
	return p;
}

enum json_type json_type(struct span value)
{
	switch (value.len == 0 ? 'n' : value.p[0]) {
	case 'n':
		return JSON_NULL;
	case 't':
	case 'f':
		return JSON_BOOL;
	case '"':
		return JSON_STRING;
	case '[':
		return JSON_ARRAY;
	case '{':
		return JSON_OBJECT;
	default:
		return JSON_NUMBER;
	}
}

struct json_iter json_each(struct span value)
{
	enum json_type type = json_type(value);

	if (type != JSON_ARRAY && type != JSON_OBJECT)
		return (struct json_iter){ NULL, NULL, false };
	/* Without the brackets. */
	return (struct json_iter){ value.p + 1, value.p + value.len - 1, type == JSON_OBJECT };
}

bool json_next(struct json_iter *it, struct span *key, struct span *value)
{
	const char *p = it->p;

	while (p < it->end && (is_space(*p) || *p == ','))
		p++;
	if (p == it->end)
		return false;
	if (it->object) {
		const char *after = string_end(p, it->end);

		if (key != NULL)
			*key = (struct span){ p, (size_t)(after - p) };
		p = skip_space(after, it->end);
		p = skip_space(p + 1, it->end);                 /* the colon */
	}
	it->p = value_end(p, it->end);
	*value = (struct span){ p, (size_t)(it->p - p) };
	return true;
}

size_t json_count(struct span array)
{
	struct json_iter it = json_each(array);
	struct span      value;
	size_t           n = 0;

	while (json_next(&it, NULL, &value))
		n++;
	return n;
}

void json_members(struct span object, const char *const key[], size_t n, struct span value[])
{
	struct json_iter it = json_each(object);
	struct span      k, v;

	for (size_t i = 0; i < n; i++)
		value[i] = (struct span){ NULL, 0 };
	while (it.object && json_next(&it, &k, &v))
		for (size_t i = 0; i < n; i++)
			if (json_is(k, span_of(key[i])))
				value[i] = v;
}

int json_member(struct span object, const char *key, struct span *value)
{
	struct span v;

	json_members(object, &key, 1, &v);
	if (v.p == NULL)
		return 1;
	*value = v;
	return 0;
}

static uint32_t four_hex(const char *p)
{
	uint32_t c = 0;

	for (int i = 0; i < 4; i++)
		c = c << 4 | (uint32_t)hex_value(p[i]);
	return c;
}

/* The text of the escape at *p (a backslash), and *p behind it. */
static size_t unescape(const char **p, const char *end, char out[4])
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char       *at;
	uint32_t          c, low;
	char              letter = (*p)[1];

	*p += 2;
	if (letter != 'u') {
		at = strchr(from, letter);
		out[0] = at == NULL ? letter : to[at - from];
		return 1;
	}
	c = four_hex(*p);
	*p += 4;
	if (c >= 0xd800 && c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
		low = four_hex(*p + 2);
		if (low >= 0xdc00 && low < 0xe000) {
			*p += 6;
			return utf8_put(0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), out);
		}
	}
	return utf8_put(c >= 0xd800 && c < 0xe000 ? 0xfffd : c, out);
}

int json_text(struct span value, struct arena *a, struct span *text, struct err *e)
{
	const char *p, *end, *escape;
	char       *out;
	size_t      len;

	if (json_type(value) != JSON_STRING)
		return 1;
	p = value.p + 1;
	end = value.p + value.len - 1;
	escape = memchr(p, '\\', (size_t)(end - p));
	if (escape == NULL) {
		*text = (struct span){ p, (size_t)(end - p) };
		return 0;
	}
	/* No escape is shorter than what it stands for; the last one may be written
	 * as four bytes, of which fewer count. */
	out = arena_alloc(a, (size_t)(end - p) + 4);
	if (out == NULL)
		return err_memory(e);
	*text = (struct span){ out, 0 };
	while (escape != NULL) {
		len = (size_t)(escape - p);
		memcpy(out, p, len);
		out += len;
		p = escape;
		while (p < end && *p == '\\')
			out += unescape(&p, end, out);
		escape = memchr(p, '\\', (size_t)(end - p));
	}
	len = (size_t)(end - p);
	memcpy(out, p, len);
	text->len = (size_t)(out + len - text->p);
	return 0;
}

bool json_is(struct span value, struct span s)
{
	const char *p, *end;
	size_t      at = 0;

	if (json_type(value) != JSON_STRING)
		return false;
	p = value.p + 1;
	end = value.p + value.len - 1;
	if (memchr(p, '\\', (size_t)(end - p)) == NULL)
		return span_eq(s, (struct span){ p, (size_t)(end - p) });
	while (p < end) {
		char   piece[4] = { *p };
		size_t len = 1;

		if (*p == '\\')
			len = unescape(&p, end, piece);
		else
			p++;
		if (len > s.len - at || memcmp(s.p + at, piece, len) != 0)
			return false;
		at += len;
	}
	return at == s.len;
}

int json_int(struct span value, int64_t min, int64_t max, int64_t *n)
{
	size_t  i = 0;
	int64_t v = 0;
	bool    minus;

	if (json_type(value) != JSON_NUMBER)
		return -1;
	minus = value.p[0] == '-';
	for (i = minus; i < value.len; i++) {
		int digit = value.p[i] - '0';

		if (!is_digit(value.p[i]))
			return -1;
		/* Counted downwards: the negative side reaches one further. */
		if (v < (INT64_MIN + digit) / 10)
			return -1;
		v = v * 10 - digit;
	}
	if (!minus && v == INT64_MIN)
		return -1;
	if (!minus)
		v = -v;
	if (v < min || v > max)
		return -1;
	*n = v;
	return 0;
}

/*
 * Numbers are read as digits and a power of ten.  Up to 15 digits and 10^22 both
 * are exact doubles, and one multiplication or division rounds correctly
 * (Clinger 1990).  strtod() gets the others, without a decimal point, so that no
 * locale can change what it reads; digits behind the 800th only tell on which
 * side of a tie a number lies, and one 1 says that for all of them.
 */
int json_real(struct span value, double *x)
{
	static const double powers[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
	enum { DIGITS = 800 };
	char        digits[DIGITS + 32];
	const char *p, *end;
	int64_t     power = 0, written = 0;
	uint64_t    whole = 0;
	size_t      n = 0;
	bool        minus, point = false, more = false, below;

	if (json_type(value) != JSON_NUMBER)
		return -1;
	p = value.p;
	end = p + value.len;
	minus = *p == '-';
	for (p += minus; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		if (n < DIGITS) {
			power -= point;
			if (n > 0 || *p != '0')
				digits[n++] = *p;
			if (n <= 15)
				whole = whole * 10 + (uint64_t)(*p - '0');
		} else {
			power += !point;
			more |= *p != '0';
		}
	}
	if (p < end) {
		p++;
		below = *p == '-';
		for (p += *p == '-' || *p == '+'; p < end; p++)
			if (written < INT64_C(1000000000000))
				written = written * 10 + (*p - '0');
		power += below ? -written : written;
	}
	if (n == 0) {
		*x = minus ? -0.0 : 0.0;
		return 0;
	}
	if (n <= 15 && power >= -22 && power <= 22) {
		*x = power < 0 ? (double)whole / powers[-power] : (double)whole * powers[power];
	} else {
		if (more) {
			digits[n++] = '1';
			power--;
		}
		/* Beyond this all is zero or infinite, however many the digits: a text of
		 * n bytes shifts the power by n at most. */
		if (power > INT64_C(1000000000))
			power = INT64_C(1000000000);
		if (power < -INT64_C(1000000000))
			power = -INT64_C(1000000000);
		snprintf(digits + n, sizeof digits - n, "e%lld", (long long)power);
		*x = strtod(digits, NULL);
	}
	if (!isfinite(*x))
		return -1;
	if (minus)
		*x = -*x;
	return 0;
}

bool json_true(struct span value)
{
	return span_eq(value, SPAN("true"));
}

/* ---- printing ----------------------------------------------------------------- */

static void put_escape(struct buf *b, char c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt", hex[] = "0123456789abcdef";
	const char       *at = c == '\0' ? NULL : strchr(from, c);
	char              escape[6] = { '\\', 'u', '0', '0', hex[(unsigned char)c >> 4], hex[c & 15] };

	if (at != NULL) {
		escape[1] = to[at - from];
		buf_add(b, escape, 2);
	} else {
		buf_add(b, escape, 6);
	}
}

void json_put_text(struct buf *b, struct span text)
{
	const char *p = text.p, *end = text.len == 0 ? p : p + text.len, *begin;
	int         len;

	buf_addc(b, '"');
	while (p < end) {
		begin = p;
		len = 1;
		/* A run that can stand as it is … */
		for (p = skip_plain(p, end); p < end && (unsigned char)*p >= 0x80; p = skip_plain(p, end)) {
			len = utf8_step(p, end);
			if (len < 0)
				break;
			p += len;
		}
		buf_add(b, begin, (size_t)(p - begin));
		if (p == end)
			break;
		/* … and what ends it. */
		if (len < 0) {
			buf_adds(b, REPLACEMENT);
			p += -len;
		} else {
			put_escape(b, *p++);
		}
	}
	buf_addc(b, '"');
}

#ifdef __SIZEOF_INT128__
/*
 * Scores, 0.001 <= real < 1, by whole numbers: an eighth of the time of printing and
 * reading back.  real is m / 2^shift; of d decimals the nearest number is
 * round(m 10^d / 2^shift), and it reads back when it is nearer than half the step to
 * the next double, 10^d / 2 in the same units.  10^19 2^53 has 117 bits.  false: not
 * one of these, or a case at the edge, left to the general way.
 */
static bool put_score(struct buf *b, double real)
{
	char              out[24] = "0.";
	const int         zeros = real >= 0.1 ? 0 : real >= 0.01 ? 1 : 2;
	unsigned __int128 ten = 10;
	uint64_t          m;
	int               exponent;

	if (!(real >= 0.001 && real < 1))
		return false;
	m = (uint64_t)ldexp(frexp(real, &exponent), 53);
	if (m == UINT64_C(1) << 52)             /* the step below is half as large */
		return false;
	for (int d = 1; d < 15 + zeros; d++)
		ten *= 10;
	for (int d = 15 + zeros; d <= 17 + zeros; d++, ten *= 10) {
		const int               shift = 53 - exponent;
		const unsigned __int128 exact = m * ten, half = (unsigned __int128)1 << (shift - 1);
		const unsigned __int128 nearest = (exact + half) >> shift, up = nearest << shift;
		const unsigned __int128 off = up > exact ? up - exact : exact - up;
		uint64_t                digits = (uint64_t)nearest;     /* 17 of them at most */
		char                   *p = out + 2 + d;

		if (off == half || nearest == ten)
			return false;
		if (2 * off > ten)                      /* never equal: 2^d divides off */
			continue;
		for (; p > out + 2; digits /= 10)
			*--p = (char)('0' + digits % 10);
		for (p = out + 2 + d; p[-1] == '0'; p--)
			;
		buf_add(b, out, (size_t)(p - out));
		return true;
	}
	return false;
}
#else
static bool put_score(struct buf *b, double real)
{
	(void)b;
	(void)real;
	return false;
}
#endif

void json_put_real(struct buf *b, double real)
{
	char out[40], *p, *rest;

	if (put_score(b, real))
		return;
	if (!isfinite(real))
		real = 0;
	for (int precision = 15; precision <= 17; precision++) {
		snprintf(out, sizeof out, "%.*g", precision, real);
		if (strtod(out, NULL) == real)
			break;
	}
	/* A program that calls the library may have set a locale: whatever stands for
	 * the decimal point becomes one. */
	p = out + strspn(out, "-0123456789");
	if (*p != '\0' && *p != 'e') {
		rest = p + strcspn(p, "0123456789");
		*p = '.';
		memmove(p + 1, rest, strlen(rest) + 1);
	}
	buf_adds(b, out);
}

void json_put_int(struct buf *b, int64_t n)
{
	char     out[24], *p = out + sizeof out;
	uint64_t v = n < 0 ? -(uint64_t)n : (uint64_t)n;

	do
		*--p = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	if (n < 0)
		*--p = '-';
	buf_add(b, p, (size_t)(out + sizeof out - p));
}
