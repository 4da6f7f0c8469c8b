/* html_text.c - the text of a piece of HTML. */
#include "studio/html_text.h"
#include "studio/html_names.h"

#include <stdlib.h>
#include <strings.h>

/* What is read and what is written; out has room for all of the input, since nothing
 * is written that is longer than what it stands for. */
struct reader {
	const char *p, *end;
	char       *out;
	size_t      len;
	char        gap;         /* white space before the next character: ' ', '\n' or 0 */
};

/* Elements within a line: they do not part words.  Ascending. */
static const char *const inline_names[] = {
	"a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins",
	"kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt",
	"u", "var", "wbr",
};

#define TAG_NAME_MAX 10

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alnum(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9');
}

/* ---- writing ---------------------------------------------------------------------- */

static void put_bytes(struct reader *r, const char *s, size_t n)
{
	if (r->gap != 0 && r->len > 0)
		r->out[r->len++] = r->gap;
	r->gap = 0;
	memcpy(r->out + r->len, s, n);
	r->len += n;
}

static void put_gap(struct reader *r, char gap)
{
	if (r->gap != '\n')
		r->gap = gap;
}

static void put_point(struct reader *r, uint32_t c)
{
	char   s[4];
	size_t n = 0;

	if (c < 0x80 && is_space((char)c)) {
		put_gap(r, ' ');
		return;
	}
	if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		c = 0xFFFD;
	if (c < 0x80) {
		s[n++] = (char)c;
	} else if (c < 0x800) {
		s[n++] = (char)(0xC0 | c >> 6);
	} else if (c < 0x10000) {
		s[n++] = (char)(0xE0 | c >> 12);
		s[n++] = (char)(0x80 | (c >> 6 & 0x3F));
	} else {
		s[n++] = (char)(0xF0 | c >> 18);
		s[n++] = (char)(0x80 | (c >> 12 & 0x3F));
		s[n++] = (char)(0x80 | (c >> 6 & 0x3F));
	}
	if (c >= 0x80)
		s[n++] = (char)(0x80 | (c & 0x3F));
	put_bytes(r, s, n);
}

/* ---- characters -------------------------------------------------------------------- */

/* &#233; and &#xE9;, the semicolon optional.  p: behind "&#".  The end, or NULL: none. */
static const char *read_number(const char *p, const char *end, uint32_t *point)
{
	const bool  hex = p < end && (*p == 'x' || *p == 'X');
	const char *from = p += hex;

	*point = 0;
	for (; p < end; p++) {
		const char c = *p;
		uint32_t   digit;

		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if (hex && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
			digit = (uint32_t)((c | 0x20) - 'a' + 10);
		else
			break;
		/* It stays above what is a character. */
		*point = *point > 0x10FFFF ? *point : *point * (hex ? 16 : 10) + digit;
	}
	if (p == from)
		return NULL;
	return p < end && *p == ';' ? p + 1 : p;
}

static int by_name(const void *key, const void *member)
{
	return strcmp(key, ((const struct html_name *)member)->name);
}

/* &eacute; with its semicolon.  p: behind "&". */
static const char *read_name(const char *p, const char *end, uint32_t *point)
{
	const struct html_name *found;
	char                    name[HTML_NAME_MAX + 1];
	size_t                  n = 0;

	while (p < end && n < HTML_NAME_MAX && is_alnum(*p))
		name[n++] = *p++;
	name[n] = '\0';
	if (p == end || *p != ';')
		return NULL;
	found = bsearch(name, html_names, countof(html_names), sizeof *html_names, by_name);
	if (found == NULL)
		return NULL;
	*point = found->point;
	return p + 1;
}

static void read_character(struct reader *r)
{
	const char *after;
	uint32_t    point;

	if (r->end - r->p >= 2 && r->p[1] == '#')
		after = read_number(r->p + 2, r->end, &point);
	else
		after = read_name(r->p + 1, r->end, &point);
	if (after == NULL) {
		put_bytes(r, r->p++, 1);
		return;
	}
	put_point(r, point);
	r->p = after;
}

/* ---- tags --------------------------------------------------------------------------- */

static int by_string(const void *key, const void *member)
{
	return strcmp(key, *(const char *const *)member);
}

/* To behind what begins at r->p and ends with `close`, or to the end. */
static void pass(struct reader *r, const char *close)
{
	const size_t n = strlen(close), left = (size_t)(r->end - r->p);
	const char  *found = n == 1 ? memchr(r->p, *close, left) : memmem(r->p, left, close, n);

	r->p = found == NULL ? r->end : found + n;
}

/* Behind the '>' of a tag; within a quoted value it is none.  A quote opens a value
 * only behind '='. */
static void pass_attributes(struct reader *r)
{
	char before = ' ';

	while (r->p < r->end) {
		const char c = *r->p++;

		if (c == '>')
			return;
		if ((c == '"' || c == '\'') && before == '=')
			pass(r, (const char[]){ c, '\0' });
		before = is_space(c) ? before : c;
	}
}

/* To the end tag of <script> or <style>, whose content is no HTML. */
static void pass_raw(struct reader *r, const char *name)
{
	const size_t n = strlen(name);

	for (;;) {
		const char *lt = memchr(r->p, '<', (size_t)(r->end - r->p));

		if (lt == NULL || (size_t)(r->end - lt) < n + 2) {
			r->p = r->end;
			return;
		}
		r->p = lt + 1;
		if (lt[1] == '/' && strncasecmp(lt + 2, name, n) == 0 &&
		    (lt + 2 + n == r->end || !is_alnum(lt[2 + n]))) {
			r->p = lt;
			return;
		}
	}
}

/* r->p: at the first letter of its name. */
static void read_tag(struct reader *r, bool closing)
{
	const char *from = r->p;
	char        name[TAG_NAME_MAX + 1];
	size_t      n = 0;

	while (r->p < r->end && !is_space(*r->p) && *r->p != '>' && *r->p != '/')
		r->p++;
	for (; n < TAG_NAME_MAX && from + n < r->p; n++)
		name[n] = is_letter(from[n]) ? (char)(from[n] | 0x20) : from[n];
	name[n] = '\0';
	if (from + n < r->p ||
	    bsearch(name, inline_names, countof(inline_names), sizeof *inline_names, by_string) == NULL)
		put_gap(r, '\n');
	pass_attributes(r);
	if (!closing && (strcmp(name, "script") == 0 || strcmp(name, "style") == 0))
		pass_raw(r, name);
}

/* r->p: at a '<'. */
static void read_markup(struct reader *r)
{
	const size_t left = (size_t)(r->end - r->p);

	if (left >= 4 && memcmp(r->p, "<!--", 4) == 0) {
		/* "<!-->" and "<!--->" are whole comments. */
		r->p += 2;
		if (left >= 5 && r->p[2] == '>')
			r->p += 3;
		else if (left >= 6 && memcmp(r->p + 2, "->", 2) == 0)
			r->p += 4;
		else {
			r->p += 2;
			pass(r, "-->");
		}
	} else if (left >= 2 && is_letter(r->p[1])) {
		r->p++;
		read_tag(r, false);
	} else if (left >= 3 && r->p[1] == '/' && is_letter(r->p[2])) {
		r->p += 2;
		read_tag(r, true);
	} else if (left >= 2 && (r->p[1] == '!' || r->p[1] == '?' || (r->p[1] == '/' && left >= 3))) {
		pass(r, ">");
	} else {
		put_bytes(r, r->p++, 1);
	}
}

int html_text(struct span html, struct arena *a, struct span *text, struct err *e)
{
	struct reader r = { .p = html.p, .end = html.p + html.len, .out = arena_alloc(a, html.len + 1) };

	if (r.out == NULL)
		return err_memory(e);
	while (r.p < r.end) {
		if (*r.p == '<')
			read_markup(&r);
		else if (*r.p == '&')
			read_character(&r);
		else if (is_space(*r.p)) {
			put_gap(&r, ' ');
			r.p++;
		} else
			put_bytes(&r, r.p++, 1);
	}
	*text = (struct span){ r.out, r.len };
	return 0;
}

void html_put_text(struct buf *b, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '<')
			buf_adds(b, "&lt;");
		else if (text.p[i] == '&')
			buf_adds(b, "&amp;");
		else
			buf_addc(b, text.p[i]);
	}
}
