/*
 * json.c - the strict check, what reads the checked bytes, the stream, the printing.
 *
 * Compared with json-c, which takes more, on what is taken; with Python's json by
 * differential.py.
 */
#include "fuzz.h"

#include "base/json.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static struct arena arena;

/* The document written anew from what the functions give. */
static void print(struct buf *b, struct span value)
{
	struct json_iter it;
	struct span      key, one, text;
	double           x;
	int64_t          n;
	size_t           count = 0;

	switch (json_type(value)) {
	case JSON_STRING:
		must(json_text(value, &arena, &text, NULL) == 0 && fuzz_is_utf8(text) && json_is(value, text));
		json_put_text(b, text);
		return;
	case JSON_NUMBER:
		if (json_int(value, INT64_MIN, INT64_MAX, &n) == 0)
			json_put_int(b, n);
		else if (json_real(value, &x) == 0)
			json_put_real(b, x == 0 ? 0 : x);       /* -1e-400 is 0, and so is -0 */
		else
			buf_adds(b, "0");
		return;
	case JSON_ARRAY:
	case JSON_OBJECT:
		it = json_each(value);
		buf_addc(b, it.object ? '{' : '[');
		while (json_next(&it, &key, &one)) {
			if (count++ > 0)
				buf_addc(b, ',');
			if (json_type(value) == JSON_OBJECT) {
				print(b, key);
				buf_addc(b, ':');
			}
			print(b, one);
		}
		must(json_type(value) == JSON_OBJECT || json_count(value) == count);
		buf_addc(b, json_type(value) == JSON_OBJECT ? '}' : ']');
		return;
	default:
		buf_add(b, value.p, value.len);
	}
}

/* The same value, read by json-c: members, elements, texts, numbers. */
static void compare(struct span value, json_object *other)
{
	struct json_iter it;
	struct span      key, one, text, found;
	json_object     *member;
	double           x;
	int64_t          n;
	size_t           i = 0;

	switch (json_type(value)) {
	case JSON_NULL:
		must(other == NULL);
		break;
	case JSON_BOOL:
		must(json_object_is_type(other, json_type_boolean) && json_true(value) == json_object_get_boolean(other));
		break;
	case JSON_NUMBER:
		if (json_int(value, INT64_MIN, INT64_MAX, &n) == 0)
			must(json_object_get_int64(other) == n);
		else if (json_real(value, &x) == 0 && json_object_is_type(other, json_type_double))
			must(json_object_get_double(other) == x);
		break;
	case JSON_STRING:
		must(json_object_is_type(other, json_type_string));
		/* json-c 0.16 reads some pairs of surrogate escapes as U+FFFD. */
		if (memmem(value.p, value.len, "\\u", 2) != NULL)
			break;
		must(json_text(value, &arena, &text, NULL) == 0);
		must(span_eq(text, (struct span){ json_object_get_string(other), (size_t)json_object_get_string_len(other) }));
		break;
	case JSON_ARRAY:
		must(json_object_is_type(other, json_type_array) && json_object_array_length(other) == json_count(value));
		for (it = json_each(value); json_next(&it, NULL, &one); i++)
			compare(one, json_object_array_get_idx(other, i));
		break;
	case JSON_OBJECT:
		must(json_object_is_type(other, json_type_object));
		/* json-c cuts keys at \u0000, so that one may stand for another. */
		for (it = json_each(value); json_next(&it, &key, &one);)
			if (memmem(key.p, key.len, "\\u", 2) != NULL)
				return;
		for (it = json_each(value); json_next(&it, &key, &one);) {
			char *name;

			must(json_text(key, &arena, &text, NULL) == 0);
			name = fuzz_text(text);
			must(json_member(value, name, &found) == 0 && json_object_object_get_ex(other, name, &member));
			compare(found, member);
			free(name);
		}
		break;
	}
}

static int take_element(void *arg, struct span element, struct err *e)
{
	struct buf *b = arg;

	(void)e;
	buf_add(b, element.p, element.len);
	buf_addc(b, '\n');
	return 0;
}

/* An array in chunks gives what the whole of it gives, and neither more nor less is refused. */
static void check_stream(struct span text, bool good, struct span value)
{
	const bool           array = good && json_type(value) == JSON_ARRAY;
	const size_t         chunk = text.len == 0 ? 1 : 1 + (unsigned char)text.p[text.len / 2] % 37;
	struct json_splitter s;
	struct json_iter     it;
	struct span          one;
	struct buf           streamed, whole;
	struct err           e = { 0 };
	int                  rc = 0;

	buf_init(&streamed, (size_t)64 << 20);
	buf_init(&whole, (size_t)64 << 20);
	json_splitter_init(&s, (size_t)64 << 20, take_element, &streamed);
	for (size_t at = 0; rc == 0 && at < text.len; at += chunk) {
		struct span part = { text.p + at, text.len - at < chunk ? text.len - at : chunk };
		char       *copy = malloc(part.len);

		must(copy != NULL);
		memcpy(copy, part.p, part.len);
		rc = json_splitter_feed(&s, (struct span){ copy, part.len }, &e);
		free(copy);
	}
	if (rc == 0)
		rc = json_splitter_end(&s, &e);
	json_splitter_clear(&s);
	/* An element may be nested as deep as a document. */
	must(!array || rc == 0);
	if (array) {
		for (it = json_each(value); json_next(&it, NULL, &one);)
			must(take_element(&whole, one, &e) == 0);
		must(span_eq(buf_span(&streamed), buf_span(&whole)));
	} else if (rc == 0) {
		struct err why = { 0 };

		must(json_check(text, &one, &why) < 0 && strstr(why.msg, "too deep") != NULL);
	} else {
		fuzz_must_be_error(&e);
	}
	buf_clear(&streamed);
	buf_clear(&whole);
}

static void check_good(struct span text, struct span value)
{
	json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
	json_object  *other;
	struct span   again;
	struct buf    b, c;
	int64_t       whole = json_complete(text);

	must(fuzz_is_utf8(text));
	must(whole == value.p + value.len - text.p || (whole == 0 && value.p + value.len == text.p + text.len));
	must(tok != NULL);
	other = json_tokener_parse_ex(tok, text.p, (int)text.len);
	must(json_tokener_get_error(tok) == json_tokener_success || json_tokener_get_error(tok) == json_tokener_continue);
	if (json_tokener_get_error(tok) == json_tokener_success)
		compare(value, other);
	json_object_put(other);
	json_tokener_free(tok);

	buf_init(&b, text.len * 8 + 64);
	buf_init(&c, text.len * 8 + 64);
	print(&b, value);
	must(b.failed == ERR_OK);
	again = fuzz_must_be_json(buf_span(&b));
	must(json_type(again) == json_type(value));
	print(&c, again);
	must(span_eq(buf_span(&b), buf_span(&c)));
	buf_clear(&b);
	buf_clear(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char       *copy = malloc(size == 0 ? 1 : size);
	struct span text = { copy, size }, value = { NULL, 0 };
	struct buf  b;
	struct err  e = { 0 };
	bool        good;

	must(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	arena_init(&arena, (size_t)64 << 20);
	good = json_check(text, &value, &e) == 0;
	if (good)
		check_good(text, value);
	else
		fuzz_must_be_error(&e);
	check_stream(text, good, value);
	/* Any bytes, printed as a string, are one. */
	buf_init(&b, size * 6 + 16);
	json_put_text(&b, text);
	must(json_type(fuzz_must_be_json(buf_span(&b))) == JSON_STRING);
	must(!fuzz_is_utf8(text) || json_is(buf_span(&b), text));
	buf_clear(&b);
	arena_clear(&arena);
	free(copy);
	return 0;
}
