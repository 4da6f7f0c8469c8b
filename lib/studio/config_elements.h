/*
 * config_elements.h - the elements of a labeling config as libxml2 read them, kept with it.
 *
 * A process that answers one request replays them, so that it need not open libxml2,
 * which would be two fifths of its work.  No XML is read here.  The form is JSON, a start tag
 * an array of its name, attributes and values, an end tag 0:
 *
 *	["<sum>",["View"],["Text","name","t","value","$text"],0,0]
 *
 * sum: SHA-256, hexadecimal, of the config's SHA-256 and of what follows the sum.  Elements
 * that are damaged or another config's are so never taken for this one's.
 */
#ifndef STUDIO_CONFIG_ELEMENTS_H
#define STUDIO_CONFIG_ELEMENTS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "studio/xml.h"

/* Twice the text of a config is what they take at most. */
#define CONFIG_ELEMENTS_MAX ((size_t)4 << 20)

/* hash: SHA-256 of the config. */

/* xml_read(), which also appends what was told; `to` is of use only after 0. */
int config_elements_record(struct span xml, const unsigned char hash[32], const struct xml_events *ev, struct buf *to,
                           struct err *e);

/* Tells what xml_read() told.  0; 1: not these, and what was told so far is worth nothing;
 * -1: start() failed. */
int config_elements_replay(struct span elements, const unsigned char hash[32], const struct xml_events *ev);

#endif
