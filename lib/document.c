/* document.c - json-c's documents, printed. */
#define json_type json_c_type            /* json.h has a function of that name */
#include "document.h"
#undef json_type

#include "base/json.h"

#include <string.h>

#define ON_ONE_LINE (-1)

static void put_value(struct buf *b, json_object *o, int depth);

/* Two spaces a level, as json-c does. */
static void put_break(struct buf *b, int depth)
{
	if (depth == ON_ONE_LINE)
		return;
	buf_addc(b, '\n');
	for (int i = 0; i < depth; i++)
		buf_adds(b, "  ");
}

static int deeper(int depth)
{
	return depth == ON_ONE_LINE ? depth : depth + 1;
}

static void put_object(struct buf *b, json_object *o, int depth)
{
	struct json_object_iterator at = json_object_iter_begin(o), end = json_object_iter_end(o);
	const char                 *comma = "{";

	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
		buf_adds(b, comma);
		put_break(b, deeper(depth));
		json_put_text(b, span_of(json_object_iter_peek_name(&at)));
		buf_adds(b, depth == ON_ONE_LINE ? ":" : ": ");
		put_value(b, json_object_iter_peek_value(&at), deeper(depth));
		comma = ",";
	}
	if (comma[0] == ',')
		put_break(b, depth);
	buf_adds(b, comma[0] == '{' ? "{}" : "}");
}

static void put_array(struct buf *b, json_object *o, int depth)
{
	const size_t n = json_object_array_length(o);

	for (size_t i = 0; i < n; i++) {
		buf_addc(b, i == 0 ? '[' : ',');
		put_break(b, deeper(depth));
		put_value(b, json_object_array_get_idx(o, i), deeper(depth));
	}
	if (n > 0)
		put_break(b, depth);
	buf_adds(b, n == 0 ? "[]" : "]");
}

static void put_value(struct buf *b, json_object *o, int depth)
{
	const char *given;

	switch (json_object_get_type(o)) {
	case json_type_null:
		buf_adds(b, "null");
		break;
	case json_type_boolean:
		buf_adds(b, json_object_get_boolean(o) ? "true" : "false");
		break;
	case json_type_int:
		json_put_int(b, json_object_get_int64(o));
		break;
	case json_type_double:
		given = json_object_get_userdata(o);     /* of json_object_new_double_s() */
		if (given != NULL)
			buf_adds(b, given);
		else
			json_put_real(b, json_object_get_double(o));
		break;
	case json_type_string:
		json_put_text(b, (struct span){ json_object_get_string(o), (size_t)json_object_get_string_len(o) });
		break;
	case json_type_array:
		put_array(b, o, depth);
		break;
	case json_type_object:
		put_object(b, o, depth);
		break;
	}
}

void document_put(struct buf *b, json_object *o)
{
	put_value(b, o, ON_ONE_LINE);
}

void document_put_lines(struct buf *b, json_object *o)
{
	put_value(b, o, 0);
}
