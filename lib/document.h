/*
 * document.h - JSON documents of json-c's, made in full or not at all.
 *
 * json-c answers NULL where memory is out, and takes a NULL for JSON's null: what could
 * not be made is noticed by *ok, and the document then thrown away by
 * document_finished().  Whatever is added belongs to what it is added to, or is freed.
 */
#ifndef DOCUMENT_H
#define DOCUMENT_H

#include "base/buf.h"
#include "base/err.h"

#include <json-c/json.h>
#include <stdbool.h>

/* o may be NULL: that could not be made either.  key is borrowed for good: json-c (0.16)
 * loses its copy of one when memory is out. */
static inline void document_add(json_object *o, const char *key, json_object *value, bool *ok)
{
	if (o == NULL || value == NULL || json_object_object_add_ex(o, key, value, JSON_C_OBJECT_KEY_IS_CONSTANT) != 0) {
		json_object_put(value);
		*ok = false;
	}
}

static inline void document_add_null(json_object *o, const char *key, bool *ok)
{
	if (o == NULL || json_object_object_add_ex(o, key, NULL, JSON_C_OBJECT_KEY_IS_CONSTANT) != 0)
		*ok = false;
}

static inline void document_append(json_object *list, json_object *value, bool *ok)
{
	if (list == NULL || value == NULL || json_object_array_add(list, value) != 0) {
		json_object_put(value);
		*ok = false;
	}
}

/* o, or NULL with ERR_MEMORY. */
static inline json_object *document_finished(json_object *o, bool ok, struct err *e)
{
	if (o != NULL && ok)
		return o;
	json_object_put(o);
	err_memory(e);
	return NULL;
}

/* Prints it without white space.  json-c's own printing leaves out what it finds no
 * memory for, and says nothing. */
void document_put(struct buf *b, json_object *o);

/* For people: a member a line. */
void document_put_lines(struct buf *b, json_object *o);

#endif
