/* document.c - json-c's documents, printed. */
#define json_type json_c_type            /* json.h has a function of that name */
#include "document.h"
#undef json_type

#include "base/json.h"

#include <string.h>

static void put_object(struct buf *b, json_object *o)
{
	struct json_object_iterator at = json_object_iter_begin(o), end = json_object_iter_end(o);
	const char                 *comma = "{";

	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
		buf_adds(b, comma);
		json_put_text(b, span_of(json_object_iter_peek_name(&at)));
		buf_addc(b, ':');
		document_put(b, json_object_iter_peek_value(&at));
		comma = ",";
	}
	buf_adds(b, comma[0] == '{' ? "{}" : "}");
}

static void put_array(struct buf *b, json_object *o)
{
	for (size_t i = 0; i < json_object_array_length(o); i++) {
		buf_addc(b, i == 0 ? '[' : ',');
		document_put(b, json_object_array_get_idx(o, i));
	}
	buf_adds(b, json_object_array_length(o) == 0 ? "[]" : "]");
}

void document_put(struct buf *b, json_object *o)
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
		put_array(b, o);
		break;
	case json_type_object:
		put_object(b, o);
		break;
	}
}
