/* object_text.c - the text that an object tag shows. */
#include "studio/object_text.h"
#include "base/json.h"
#include "studio/html_text.h"

static bool is_a(const struct object_tag *tag, const char *type)
{
	return tag->type != NULL && strcmp(tag->type, type) == 0;
}

static int paragraphs_text(const struct object_tag *tag, struct span list, struct arena *a, struct span *text, struct err *e)
{
	struct json_iter it;
	struct span      member, value, line;
	/* Text is never longer than its JSON, and brackets and comma outweigh a line break. */
	char            *out = arena_alloc(a, list.len + 1);
	size_t           len = 0;

	if (out == NULL)
		return err_memory(e);
	for (it = json_each(list); json_next(&it, NULL, &member); ) {
		if (json_type(member) != JSON_OBJECT || json_member(member, tag->text_key, &value) != 0)
			continue;
		switch (json_text(value, a, &line, e)) {
		case 0:
			break;
		case 1:
			continue;
		default:
			return -1;
		}
		if (len > 0)
			out[len++] = '\n';
		memcpy(out + len, line.p, line.len);
		len += line.len;
	}
	*text = (struct span){ out, len };
	return 0;
}

int object_text(const struct object_tag *tag, struct span value, struct arena *a, struct span *text, struct err *e)
{
	struct span string = SPAN("");

	*text = SPAN("");
	if (is_a(tag, "Paragraphs"))
		return json_type(value) == JSON_ARRAY ? paragraphs_text(tag, value, a, text, e) : 0;
	if (json_text(value, a, &string, e) < 0)
		return -1;
	if (is_a(tag, "HyperText"))
		return html_text(string, a, text, e);
	*text = string;
	return 0;
}

void object_put_text(const struct object_tag *tag, struct span text, struct buf *b)
{
	struct buf html;

	if (is_a(tag, "Paragraphs")) {
		buf_adds(b, "[{");
		json_put_text(b, span_of(tag->text_key));
		buf_addc(b, ':');
		json_put_text(b, text);
		buf_adds(b, "}]");
	} else if (is_a(tag, "HyperText")) {
		buf_init(&html, text.len * 5 + 64);
		html_put_text(&html, text);
		if (html.failed != ERR_OK && b->failed == ERR_OK)
			b->failed = html.failed;
		json_put_text(b, buf_span(&html));
		buf_clear(&html);
	} else {
		json_put_text(b, text);
	}
}
