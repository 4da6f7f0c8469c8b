/*
 * object_text.h - the text that an object tag shows, in the value a task's data has.
 *
 *   Text         a string: itself
 *   HyperText    a string of HTML: its text (html_text.h)
 *   Paragraphs   a list of objects: their texts, under textKey, in order, one a line;
 *                who speaks (nameKey) is no part of it
 *
 * What is of another type counts as empty, of a Paragraphs also single members.  The
 * text is what stands in the data: one that looks like an address or a path is text,
 * and nothing is opened.
 */
#ifndef STUDIO_OBJECT_TEXT_H
#define STUDIO_OBJECT_TEXT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "studio/label_config.h"

/* value: checked JSON.  *text is borrowed from it or lives in the arena.  0, or -1:
 * ERR_MEMORY. */
int object_text(const struct object_tag *tag, struct span value, struct arena *a, struct span *text, struct err *e);

/* The reverse: appends the JSON value in which object_text() finds `text`, of HyperText
 * but for its white space. */
void object_put_text(const struct object_tag *tag, struct span text, struct buf *b);

#endif
