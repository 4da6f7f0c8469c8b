/*
 * html_text.h - the text of a piece of HTML, as a reader sees it.
 *
 * Tags, comments, declarations and what stands in <script> and <style> are left out;
 * named (HTML 4) and numeric characters are resolved; runs of white space become one
 * space, and one line break where a tag stands between that breaks lines or cells:
 * every one but those known to run on within a line (<b>, <span>, <a> …).  None at the
 * start and the end.  What is no well-formed tag is treated as the HTML standard's
 * tokenizer does: a '<' before no letter is text, a tag, comment or script that is not
 * closed goes to the end.
 *
 * No tree is made and no element is matched with its end, so nothing depends on
 * nesting, and there is nothing that could be loaded.  (libxml2's HTML parser takes
 * time that grows with the square of unmatched end tags and of a tag's attributes:
 * 2.8 s for 280 KB.)  Cost: O(html).
 */
#ifndef STUDIO_HTML_TEXT_H
#define STUDIO_HTML_TEXT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* html: UTF-8, may hold NUL.  *text lives in the arena and is no longer than html.
 * 0, or -1: ERR_MEMORY. */
int html_text(struct span html, struct arena *a, struct span *text, struct err *e);

/* The reverse: appends HTML whose text is `text`, white space aside. */
void html_put_text(struct buf *b, struct span text);

#endif
