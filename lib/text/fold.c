/* fold.c - texts without their case. */
#include "text/fold.h"

#include <unicase.h>
#include <unictype.h>
#include <unistr.h>

#define CACHE_SIZE 256         /* a script has its letters within so many */

static const unsigned char *bytes_of(struct span s)
{
	return (const unsigned char *)s.p;
}

/* The code point at p < end; returns its bytes. */
static size_t decode(const unsigned char *p, const unsigned char *end, uint32_t *c)
{
	ucs4_t uc;
	int    n = u8_mbtoucr(&uc, p, (size_t)(end - p));

	*c = n > 0 ? uc : 0xFFFD;
	return n > 0 ? (size_t)n : 1;
}

int fold_char(uint32_t c, uint32_t folded[FOLD_CHARS_MAX])
{
	size_t n = FOLD_CHARS_MAX;

	folded[0] = c;
	if (c < 0x80) {
		folded[0] = c >= 'A' && c <= 'Z' ? c + 32 : c;
		return 1;
	}
	/* Into the array given: it allocates only for what does not fit, and no code
	 * point becomes more than three. */
	return u32_casefold(&c, 1, NULL, NULL, folded, &n) == folded && n > 0 ? (int)n : 1;
}

/* A folded code point as bytes; the library's function takes a while for each. */
struct cached {
	uint32_t      c;           /* 0: empty */
	unsigned char len, bytes[4 * FOLD_CHARS_MAX];
};

static const struct cached *fold_cached(struct cached *cache, uint32_t c)
{
	struct cached *slot = &cache[c % CACHE_SIZE];
	uint32_t       folded[FOLD_CHARS_MAX];
	int            n;

	if (slot->c == c && c != 0)
		return slot;
	*slot = (struct cached){ .c = c };
	n = fold_char(c, folded);
	for (int i = 0; i < n; i++)
		slot->len = (unsigned char)(slot->len + u8_uctomb(slot->bytes + slot->len, folded[i], 4));
	return slot;
}

static bool is_ascii(struct span s)
{
	unsigned char all = 0;

	for (size_t i = 0; i < s.len; i++)
		all |= (unsigned char)s.p[i];
	return all < 0x80;
}

static int fold_ascii(struct folded *f, struct arena *a, struct err *e)
{
	char *w = arena_alloc(a, f->text.len + 1);

	if (w == NULL)
		return err_memory(e);
	for (size_t i = 0; i < f->text.len; i++) {
		char c = f->text.p[i];

		w[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	f->n = f->text.len;
	f->bytes = (struct span){ w, f->text.len };
	return 0;
}

int fold_text(struct folded *f, struct span text, struct arena *a, struct err *e)
{
	const unsigned char *const start = bytes_of(text), *const end = text.len == 0 ? start : start + text.len;
	struct cached              cache[CACHE_SIZE] = { { .c = 0 } };
	uint32_t                  *text_at, *bytes_at, c;
	size_t                     n = 0, len = 0;
	char                      *w;

	*f = (struct folded){ .text = text };
	if (text.len > FOLD_BYTES_MAX)
		return err_set(e, ERR_TOO_LARGE, "text of %zu bytes, limit %zu", text.len, FOLD_BYTES_MAX);
	if (is_ascii(text))
		return fold_ascii(f, a, e);
	for (const unsigned char *p = start; p < end; n++) {
		p += decode(p, end, &c);
		len += fold_cached(cache, c)->len;
	}
	text_at = arena_array(a, n + 1, sizeof *text_at);
	bytes_at = arena_array(a, n + 1, sizeof *bytes_at);
	w = arena_alloc(a, len + 1);
	if (text_at == NULL || bytes_at == NULL || w == NULL)
		return err_memory(e);
	f->bytes = (struct span){ w, len };
	for (const unsigned char *p = start; p < end; f->n++) {
		const struct cached *one;

		text_at[f->n] = (uint32_t)(p - start);
		bytes_at[f->n] = (uint32_t)(w - f->bytes.p);
		p += decode(p, end, &c);
		one = fold_cached(cache, c);
		memcpy(w, one->bytes, one->len);
		w += one->len;
	}
	text_at[n] = (uint32_t)text.len;
	bytes_at[n] = (uint32_t)len;
	f->text_at = text_at;
	f->bytes_at = bytes_at;
	return 0;
}

static struct span part(struct span s, const uint32_t *at, size_t start, size_t end)
{
	size_t from = at == NULL ? start : at[start], to = at == NULL ? end : at[end];

	return (struct span){ s.p + from, to - from };
}

struct span fold_original(const struct folded *f, size_t start, size_t end)
{
	return part(f->text, f->text_at, start, end);
}

struct span fold_slice(const struct folded *f, size_t start, size_t end)
{
	return part(f->bytes, f->bytes_at, start, end);
}

int64_t fold_index(const struct folded *f, size_t byte)
{
	size_t lo = 0, hi = f->n;

	if (f->bytes_at == NULL)
		return (int64_t)byte;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (f->bytes_at[mid] < byte)
			lo = mid + 1;
		else
			hi = mid;
	}
	return f->bytes_at[lo] == byte ? (int64_t)lo : -1;
}

bool fold_is_word(const struct folded *f, size_t i)
{
	struct span s = fold_original(f, i, i + 1);
	uint32_t    c;

	decode(bytes_of(s), bytes_of(s) + s.len, &c);
	if (c < 0x80)
		return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
	return uc_is_general_category_withtable(c, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_N | UC_CATEGORY_MASK_M);
}

bool fold_is_edge(const struct folded *f, size_t i)
{
	return i == 0 || i >= f->n || !fold_is_word(f, i - 1) || !fold_is_word(f, i);
}
