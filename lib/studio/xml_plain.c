/*
 * xml_plain.c - the XML that labeling configurations are written in.
 *
 * Elements with ASCII names, up to 64 attributes each, nested up to 100 deep; the
 * predefined entities and numbered characters; comments; text.  The whole text is read
 * twice: first it is seen to be well-formed and nothing else than that, then it is told.
 * Everything with "<?" or "<!" but comments, a name with a colon or beyond ASCII, an
 * attribute xml…, and every error is left to xml_read().
 */
#include "studio/xml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 100
#define ATTRS_MAX 64

struct plain {
	const char *p, *end;
	char       *room;               /* for the names and values of one tag; NULL: the first reading */
	char       *to;
	const char *attr[2 * ATTRS_MAX + 1];
	struct span name[ATTRS_MAX];
	size_t      n_attrs;
	struct span open[DEPTH_MAX];
	size_t      depth;
	const struct xml_events *ev;
};

enum { OTHER = 1 };                     /* what all below return for what is not plain; -1: stopped */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_name(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!first && ((c >= '0' && c <= '9') || c == '-' || c == '.'));
}

static bool skip_space(struct plain *x)
{
	const char *p = x->p;

	while (x->p < x->end && is_space(*x->p))
		x->p++;
	return x->p > p;
}

static bool take(struct plain *x, const char *what)
{
	const size_t n = strlen(what);

	if ((size_t)(x->end - x->p) < n || memcmp(x->p, what, n) != 0)
		return false;
	x->p += n;
	return true;
}

static struct span take_name(struct plain *x)
{
	const char *p = x->p;

	while (x->p < x->end && is_name(*x->p, x->p == p))
		x->p++;
	return (struct span){ p, (size_t)(x->p - p) };
}

static void put(struct plain *x, const char *p, size_t n)
{
	if (x->room == NULL)
		return;
	memcpy(x->to, p, n);
	x->to += n;
}

static const char *put_name(struct plain *x, struct span name)
{
	const char *at = x->to;

	put(x, name.p, name.len);
	put(x, "", 1);
	return at;
}

static bool is_char(uint32_t c)
{
	return c >= 0x20 ? c < 0xd800 || (c > 0xdfff && c < 0xfffe) || (c > 0xffff && c < 0x110000)
	                 : c == '\t' || c == '\n' || c == '\r';
}

/* "#10;" or "#xa;", behind a '&'. */
static int numbered(struct plain *x, uint32_t *c)
{
	const bool  hex = x->p + 1 < x->end && x->p[1] == 'x';
	const char *p = x->p + 1 + hex, *first = p;

	*c = 0;
	for (; p < x->end && *p != ';'; p++) {
		const char     lower = (char)(*p | 0x20);
		const uint32_t digit = *p >= '0' && *p <= '9' ? (uint32_t)(*p - '0') :
		                       hex && lower >= 'a' && lower <= 'f' ? (uint32_t)(lower - 'a' + 10) : 99;

		if (digit == 99 || *c > 0x10ffff)
			return OTHER;
		*c = *c * (hex ? 16 : 10) + digit;
	}
	if (p == x->end || p == first || !is_char(*c))
		return OTHER;
	x->p = p + 1;
	return 0;
}

static void put_char(struct plain *x, uint32_t c)
{
	const char utf8[4] = {
		(char)(c < 0x80 ? c : c < 0x800 ? 0xc0 | c >> 6 : c < 0x10000 ? 0xe0 | c >> 12 : 0xf0 | c >> 18),
		(char)(0x80 | (c < 0x800 ? c & 63 : c < 0x10000 ? c >> 6 & 63 : c >> 12 & 63)),
		(char)(0x80 | (c < 0x10000 ? c & 63 : c >> 6 & 63)), (char)(0x80 | (c & 63)),
	};

	if (c == '&')
		put(x, "&#38;", 5);
	else
		put(x, utf8, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
}

/* What stands behind a '&', written as xml.h says. */
static int reference(struct plain *x)
{
	static const struct { const char *name, *is; } known[] = {
		{ "amp;", "&#38;" }, { "lt;", "<" }, { "gt;", ">" }, { "quot;", "\"" }, { "apos;", "'" },
	};
	uint32_t c;

	if (x->p < x->end && *x->p == '#') {
		if (numbered(x, &c) != 0)
			return OTHER;
		put_char(x, c);
		return 0;
	}
	for (size_t i = 0; i < countof(known); i++)
		if (take(x, known[i].name)) {
			put(x, known[i].is, strlen(known[i].is));
			return 0;
		}
	return OTHER;
}

/* White space in a value is blanks; a line's end is one character however it is written. */
static int value(struct plain *x)
{
	const char quote = x->p < x->end ? *x->p : '\0';

	if (quote != '"' && quote != '\'')
		return OTHER;
	for (x->p++; x->p < x->end && *x->p != quote;) {
		const char c = *x->p++;

		if (c == '<' || (c == '&' && reference(x) != 0))
			return OTHER;
		if (c == '\r' && x->p < x->end && *x->p == '\n')
			x->p++;
		if (c != '&')
			put(x, is_space(c) ? " " : &c, 1);
	}
	put(x, "", 1);
	return take(x, quote == '"' ? "\"" : "'") ? 0 : OTHER;
}

static int attribute(struct plain *x)
{
	const struct span name = take_name(x);
	const size_t      n = x->n_attrs;

	if (name.len == 0 || n == ATTRS_MAX || (name.len >= 3 && strncasecmp(name.p, "xml", 3) == 0))
		return OTHER;
	for (size_t i = 0; x->room == NULL && i < n; i++)
		if (span_eq(x->name[i], name))
			return OTHER;
	x->name[x->n_attrs++] = name;
	x->attr[2 * n] = put_name(x, name);
	skip_space(x);
	if (!take(x, "="))
		return OTHER;
	skip_space(x);
	x->attr[2 * n + 1] = x->to;
	return value(x);
}

/* Behind its '<'. */
static int start_tag(struct plain *x)
{
	const struct span name = take_name(x);
	const char       *told;
	bool              empty;

	if (name.len == 0 || x->depth == DEPTH_MAX)
		return OTHER;
	x->n_attrs = 0;
	x->to = x->room;
	told = put_name(x, name);
	while (skip_space(x) && x->p < x->end && *x->p != '>' && *x->p != '/')
		if (attribute(x) != 0)
			return OTHER;
	empty = take(x, "/");
	if (!take(x, ">"))
		return OTHER;
	x->open[x->depth++] = name;
	x->attr[2 * x->n_attrs] = NULL;
	if (x->room != NULL && x->ev->start(x->ev->arg, told, x->attr) < 0)
		return -1;
	if (empty) {
		x->depth--;
		if (x->room != NULL)
			x->ev->end(x->ev->arg);
	}
	return 0;
}

static int end_tag(struct plain *x)
{
	if (x->depth == 0 || !span_eq(take_name(x), x->open[x->depth - 1]))
		return OTHER;
	skip_space(x);
	if (!take(x, ">"))
		return OTHER;
	x->depth--;
	if (x->room != NULL)
		x->ev->end(x->ev->arg);
	return 0;
}

static int comment(struct plain *x)
{
	const char *end = memmem(x->p, (size_t)(x->end - x->p), "--", 2);

	if (end == NULL)
		return OTHER;
	x->p = end + 2;
	return take(x, ">") ? 0 : OTHER;
}

/* Up to the next tag. */
static int text(struct plain *x)
{
	while (x->p < x->end && *x->p != '<') {
		if (take(x, "]]>"))
			return OTHER;
		if (*x->p++ == '&') {
			x->to = x->room;         /* of no use */
			if (reference(x) != 0)
				return OTHER;
		}
	}
	return 0;
}

static int elements(struct plain *x)
{
	bool began = false;
	int  rc = 0;

	while (rc == 0 && (skip_space(x), x->p < x->end)) {
		if (take(x, "<!--")) {
			rc = comment(x);
		} else if (take(x, "</")) {
			rc = end_tag(x);
		} else if (take(x, "<")) {
			rc = began && x->depth == 0 ? OTHER : start_tag(x);
			began = true;
		} else {
			rc = x->depth == 0 ? OTHER : text(x);
		}
	}
	return rc != 0 ? rc : began && x->depth == 0 ? 0 : OTHER;
}

/* UTF-8, and no character that XML has not. */
static bool plain_bytes(struct span xml)
{
	const unsigned char *p = (const unsigned char *)xml.p, *end = p + xml.len;

	while (p < end) {
		static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
		const size_t          n = *p < 0x80 ? 1 : *p < 0xc0 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf8 ? 4 : 0;
		uint32_t              c = n == 1 ? *p : *p & (0xffu >> (n + 1));

		if (n == 0 || (size_t)(end - p) < n)
			return false;
		for (size_t i = 1; i < n; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (p[i] & 63);
		}
		if (c < least[n] || !is_char(c))
			return false;
		p += n;
	}
	return true;
}

int xml_plain(struct span xml, const struct xml_events *ev)
{
	struct plain *x;
	int           rc;

	if (xml.len == 0 || !plain_bytes(xml))
		return OTHER;
	x = calloc(1, sizeof *x);
	if (x == NULL)
		return OTHER;
	*x = (struct plain){ .p = xml.p, .end = xml.p + xml.len, .ev = ev };
	rc = elements(x);
	if (rc == 0) {
		/* A reference is never shorter than what is written for it, but "&#38;" and "&amp;",
		 * which are as long; and each name and value takes the place of two characters. */
		x->room = malloc(xml.len + 1);
		x->p = xml.p;
		x->depth = 0;
		rc = x->room == NULL ? OTHER : elements(x);
	}
	free(x->room);
	free(x);
	return rc;
}
