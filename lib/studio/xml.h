/*
 * xml.h - the elements of an XML text, one after the other, in two ways.
 *
 * xml_plain() knows the XML that labeling configurations are written in and nothing
 * else, and says so at once.  xml_read() is libxml2, which knows all and says what is
 * wrong.  What the one takes, the other takes, with the same elements in the same form
 * (tests/unit/test_label_config.c compares them).  libxml2 is not linked, but opened
 * when it is first needed: with ICU and libstdc++, which it brings, it is half of what
 * starting a request program costs, and half a megabyte in each.
 *
 * No document type is taken, so there are no entities but the predefined ones.  Text
 * between tags is looked at and dropped.
 */
#ifndef STUDIO_XML_H
#define STUDIO_XML_H

#include "base/err.h"
#include "base/span.h"

struct xml_events {
	/* attrs: names and values in turn, NULL at the end; never NULL itself.  In the values
	 * each '&' is written "&#38;" (as libxml2 does it).  Valid during the call.
	 * Returns 0, or -1: stop, with an error set for the caller of the reader. */
	int  (*start)(void *arg, const char *name, const char *const *attrs);
	void (*end)(void *arg);
	void  *arg;
};

/* 0, all elements were told; -1, start() failed; 1: not for this reader, nothing was told. */
int xml_plain(struct span xml, const struct xml_events *ev);

/* No byte of xml is NUL.  0; -1: ERR_SHAPE with the line, ERR_MEMORY, or start() failed, which
 * has set *e.  ERR_STORE: libxml2 is not there. */
int xml_read(struct span xml, const struct xml_events *ev, struct err *e);

#endif
