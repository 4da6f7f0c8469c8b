/*
 * mutate.c - changes that know JSON.
 *
 * A byte that is changed at random makes most documents unreadable, and nothing behind
 * the first check is reached.  Half of the changes here exchange, repeat, drop or rename
 * whole values of a document that stays one.
 */
#include "fuzz.h"

#include "base/json.h"

#include <stdlib.h>

#define VALUES_MAX 400

struct values {
	struct span v[VALUES_MAX];
	size_t      n;
};

static unsigned random_state;

static size_t below(size_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return n == 0 ? 0 : (random_state >> 8) % n;
}

static void collect(struct values *all, struct span value)
{
	struct json_iter it;
	struct span      one;

	if (all->n == VALUES_MAX)
		return;
	all->v[all->n++] = value;
	for (it = json_each(value); json_next(&it, NULL, &one);)
		collect(all, one);
}

static const char *odd_value(void)
{
	static const char *const odd[] = {
		"null", "true", "false", "0", "-0", "1", "-1", "2", "1.5", "1e3", "1e400", "-1e-400", "9223372036854775807", "9223372036854775808",
		"99999999999999999999", "0.1000000000000000055511151231257827", "\"\"", "\"0\"", "\"12\"", "\"12.1700000000\"", "\"a\"",
		"\"\\u0000\"", "\"\\ud83d\\ude00\"", "\"\\ud800\"", "\"\xce\xa3\xce\x91\xce\xa3 \xc4\xb0 e\xcc\x81\"", "\"\\n\\t\\\"\\\\\"",
		"[]", "{}", "[[]]", "[{}]", "[null]", "{\"\":null}", "{\"id\":1}", "[1,2,3]", "\"2024-01-01T00:00:00Z\"",
		"\"2024-02-30T25:61:61.9999999+99:99\"", "\"good\"", "[\"good\",\"bad\"]", "\"ANNOTATION_CREATED\"", "\"START_TRAINING\"",
		"\"<View><Text name='t' value='$t'/><Choices name='c' toName='t'><Choice value='a'/></Choices></View>\"",
	};

	return odd[below(countof(odd))];
}

/* data with `out` bytes at `at` replaced; as it was where it would become too long. */
static size_t replace(uint8_t *data, size_t size, size_t max, size_t at, size_t out, const char *in, size_t in_len)
{
	char *copy;

	if (size - out + in_len > max)
		return size;
	copy = malloc(in_len == 0 ? 1 : in_len);
	if (copy == NULL)
		return size;
	if (in_len > 0)
		memcpy(copy, in, in_len);
	memmove(data + at + in_len, data + at + out, size - at - out);
	memcpy(data + at, copy, in_len);
	free(copy);
	return size - out + in_len;
}

static size_t change_value(uint8_t *data, size_t size, size_t max, struct span root)
{
	struct values *all = malloc(sizeof *all);
	struct span    one, other;
	const char    *odd = odd_value();
	size_t         at;

	if (all == NULL)
		return size;
	all->n = 0;
	collect(all, root);
	one = all->v[below(all->n)];
	other = all->v[below(all->n)];
	free(all);
	at = (size_t)(one.p - (const char *)data);
	switch (below(5)) {
	case 0:
		return replace(data, size, max, at, one.len, other.p, other.len);
	case 1:         /* once more, with another after it */
		if (json_type(one) == JSON_ARRAY && one.len > 2) {
			size = replace(data, size, max, at + 1, 0, ",", 1);
			return replace(data, size, max, at + 1, 0, odd, strlen(odd));
		}
		return replace(data, size, max, at, one.len, odd, strlen(odd));
	case 2:         /* a member more */
		if (json_type(one) == JSON_OBJECT && one.len > 2) {
			size = replace(data, size, max, at + 1, 0, ",", 1);
			size = replace(data, size, max, at + 1, 0, odd, strlen(odd));
			return replace(data, size, max, at + 1, 0, "\"text\":", 7);
		}
		return replace(data, size, max, at, one.len, odd, strlen(odd));
	case 3:         /* the inside of a text */
		if (json_type(one) == JSON_STRING && one.len > 2) {
			size_t   len = one.len - 2, room = len + 64;
			uint8_t *copy = malloc(room);

			if (copy == NULL)
				return size;
			memcpy(copy, one.p + 1, len);
			len = LLVMFuzzerMutate(copy, len, room);
			size = replace(data, size, max, at + 1, one.len - 2, (char *)copy, len);
			free(copy);
			return size;
		}
		return replace(data, size, max, at, one.len, odd, strlen(odd));
	default:
		return replace(data, size, max, at, one.len, odd, strlen(odd));
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	struct span root;

	random_state = seed;
	if (below(2) == 0 || json_check((struct span){ (char *)data, size }, &root, NULL) < 0)
		return LLVMFuzzerMutate(data, size, max);
	return change_value(data, size, max, root);
}
