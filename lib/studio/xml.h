/*
 * xml.h - the elements of an XML text, one after the other, read by libxml2.
 *
 * It is not linked, but opened when it is first needed: with ICU and libstdc++, which it
 * brings, it is half of what starting a request program costs, and half a megabyte in
 * each.  config_elements.h keeps what it read.
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

/* No byte of xml is NUL.  0; -1: ERR_SHAPE with the line, ERR_MEMORY, or start() failed, which
 * has set *e.  ERR_BROKEN: libxml2 is not there. */
int xml_read(struct span xml, const struct xml_events *ev, struct err *e);

#endif
