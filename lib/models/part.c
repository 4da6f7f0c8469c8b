/* part.c - the bytes of a saved part. */
#include "models/part.h"

#include <endian.h>
#include <stdlib.h>

struct buf *part_begin(struct model_parts *parts, const char magic[4], const char *name, size_t bytes,
                       struct err *e)
{
	struct buf *b = model_parts_add(parts, name);
	char        padded[8] = "";

	if (b == NULL) {
		err_set(e, ERR_TOO_LARGE, "too many parts");
		return NULL;
	}
	memcpy(padded, name, strlen(name));      /* none is longer */
	buf_add(b, magic, 4);
	buf_add_u32(b, PART_VERSION);
	buf_add(b, padded, sizeof padded);
	buf_add_u64(b, bytes);
	/* All at once: no doubling on the way to a hundred megabytes. */
	(void)buf_room(b, bytes);
	return b;
}

void part_put_u32s(struct buf *b, const uint32_t *v, size_t n)
{
	char *p = buf_room(b, n * sizeof *v);

	if (p == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		uint32_t le = htole32(v[i]);

		memcpy(p + i * sizeof le, &le, sizeof le);
	}
	b->len += n * sizeof *v;
}

int part_damaged(const struct part *p, const char *what, struct err *e)
{
	return err_set(e, ERR_DAMAGED, "model part %s: %s", p->name, what);
}

int part_open(struct part *p, const struct part_source *source, const char magic[4], const char *name,
              struct err *e)
{
	struct span bytes = { NULL, 0 };
	char        padded[8] = "";
	uint32_t    version;
	uint64_t    len;

	p->name = name;
	switch (source->read(source->arg, name, &bytes, e)) {
	case 0:  break;
	case 1:  return part_damaged(p, "missing", e);
	default: return -1;
	}
	memcpy(padded, name, strlen(name));
	if (bytes.len < PART_HEAD || memcmp(bytes.p, magic, 4) != 0 || memcmp(bytes.p + 8, padded, 8) != 0)
		return part_damaged(p, "no such part", e);
	memcpy(&version, bytes.p + 4, sizeof version);
	memcpy(&len, bytes.p + 16, sizeof len);
	if (le32toh(version) != PART_VERSION)
		return part_damaged(p, "layout of another version", e);
	if (le64toh(len) != bytes.len - PART_HEAD)
		return part_damaged(p, "wrong length", e);
	p->left = (struct span){ bytes.p + PART_HEAD, bytes.len - PART_HEAD };
	return 0;
}

void *part_take(struct part *p, size_t n, size_t size, struct err *e)
{
	size_t bytes;
	void  *v;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > p->left.len) {
		part_damaged(p, "too short", e);
		return NULL;
	}
	v = malloc(bytes + size);
	if (v == NULL) {
		err_memory(e);
		return NULL;
	}
	memset((char *)v + bytes, 0, size);
	if (bytes > 0)
		memcpy(v, p->left.p, bytes);
	p->left.p += bytes;
	p->left.len -= bytes;
	return v;
}

uint32_t *part_take_u32s(struct part *p, size_t n, struct err *e)
{
	uint32_t *v = part_take(p, n, sizeof *v, e);

	for (size_t i = 0; v != NULL && i < n; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): part_take() filled all n, or gave NULL */
		v[i] = le32toh(v[i]);
	return v;
}

int part_check_offsets(const struct part *p, const uint32_t *at, size_t n, size_t end, struct err *e)
{
	bool good = at[0] == 0 && at[n] == end;

	for (size_t i = 0; i < n; i++)
		good &= at[i] <= at[i + 1];
	return good ? 0 : part_damaged(p, "wrong offsets", e);
}

int part_take_strings(struct part *p, const uint32_t *at, size_t n, char **bytes, struct err *e)
{
	const size_t len = p->left.len;

	*bytes = part_take(p, len, 1, e);
	if (*bytes == NULL || part_check_offsets(p, at, n, len, e) < 0)
		return -1;
	for (size_t i = 1; i < n; i++) {
		const struct span before = { *bytes + at[i - 1], at[i] - at[i - 1] };
		const struct span here = { *bytes + at[i], at[i + 1] - at[i] };

		if (span_cmp(before, here) >= 0)
			return part_damaged(p, "strings out of order", e);
	}
	return 0;
}

int part_end(const struct part *p, struct err *e)
{
	return p->left.len == 0 ? 0 : part_damaged(p, "bytes left over", e);
}
