/* json_digest.c - do two JSON documents say the same? */
#include "base/json_digest.h"

#include "base/json.h"

#include <sodium.h>
#include <string.h>

#define TEXT_BYTES_MAX ((size_t)128 << 20)      /* of texts with escapes */
#define DIGITS_MAX     15                       /* of a number that a double holds */

static void hash_part(crypto_generichash_state *h, const void *p, size_t len)
{
	crypto_generichash_update(h, (const unsigned char *)&len, sizeof len);
	crypto_generichash_update(h, p, len);
}

static void digest_of(struct span value, struct arena *a, unsigned char out[JSON_DIGEST_BYTES]);

/* Members are summed up, so that their order does not count. */
static void digest_members(crypto_generichash_state *h, struct span object, struct arena *a)
{
	struct json_iter it = json_each(object);
	struct span      key, value;
	uint64_t         sum[2] = { 0 }, one[2];

	while (json_next(&it, &key, &value)) {
		crypto_generichash_state m;
		unsigned char            d[2 * JSON_DIGEST_BYTES];

		digest_of(key, a, d);
		digest_of(value, a, d + JSON_DIGEST_BYTES);
		crypto_generichash_init(&m, NULL, 0, sizeof one);
		hash_part(&m, d, sizeof d);
		crypto_generichash_final(&m, (unsigned char *)one, sizeof one);
		sum[0] += one[0];
		sum[1] += one[1];
	}
	hash_part(h, sum, sizeof sum);
}

static void digest_of(struct span value, struct arena *a, unsigned char out[JSON_DIGEST_BYTES])
{
	crypto_generichash_state h;
	unsigned char            d[JSON_DIGEST_BYTES], type = (unsigned char)json_type(value);
	struct json_iter         it;
	struct span              text = value, element;
	double                   x = 0;

	crypto_generichash_init(&h, NULL, 0, JSON_DIGEST_BYTES);
	hash_part(&h, &type, 1);
	switch (json_type(value)) {
	case JSON_OBJECT:
		digest_members(&h, value, a);
		break;
	case JSON_ARRAY:
		for (it = json_each(value); json_next(&it, NULL, &element); ) {
			digest_of(element, a, d);
			hash_part(&h, d, sizeof d);
		}
		break;
	case JSON_NUMBER:
		/* More digits than a double holds tell integers apart. */
		if (value.len <= DIGITS_MAX && json_real(value, &x) == 0)
			text = (struct span){ (const char *)&x, sizeof x };
		hash_part(&h, text.p, text.len);
		break;
	case JSON_STRING:
		if (json_text(value, a, &text, NULL) != 0)
			text = value;                   /* no memory: as it is written */
		hash_part(&h, text.p, text.len);
		break;
	case JSON_BOOL:
	case JSON_NULL:
		hash_part(&h, value.p, value.len);
		break;
	}
	crypto_generichash_final(&h, out, JSON_DIGEST_BYTES);
}

void json_digest(struct span value, unsigned char out[JSON_DIGEST_BYTES])
{
	struct arena a;

	arena_init(&a, TEXT_BYTES_MAX);
	digest_of(value, &a, out);
	arena_clear(&a);
}

bool json_same(struct span a, struct span b)
{
	unsigned char of_a[JSON_DIGEST_BYTES], of_b[JSON_DIGEST_BYTES];

	if (a.p == NULL || b.p == NULL || span_eq(a, b))
		return (a.p == NULL) == (b.p == NULL);
	json_digest(a, of_a);
	json_digest(b, of_b);
	return memcmp(of_a, of_b, sizeof of_a) == 0;
}
