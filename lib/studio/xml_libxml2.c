/*
 * xml_libxml2.c - the elements of an XML text, by libxml2.
 *
 * It only tells us of start and end tags (its first SAX interface, which knows no
 * namespaces); no tree is built.
 *
 * XML_SONAME, from the Makefile, is the name of the library to open where it is needed,
 * which is for a config that nobody has read yet, and to close again: with all it brings
 * (ICU) it is 1.7 MB of a process that has it.  Without it (deploy/static) libxml2 is linked.
 */
#include "studio/xml.h"

#include "base/log.h"

#include <dlfcn.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlerror.h>
#include <pthread.h>
#include <stdbool.h>

/* What is called of it. */
#define CALLS(X) \
	X(xmlInitParser) X(xmlSetExternalEntityLoader) X(xmlSetStructuredErrorFunc) X(xmlNewParserCtxt) \
	X(xmlCtxtReadMemory) X(xmlFreeParserCtxt) X(xmlStopParser) X(xmlCleanupParser)

static struct {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a name */
#define FIELD(name) __typeof__(&name) name;
	CALLS(FIELD)
} lib;

struct reader {
	const struct xml_events *ev;
	struct err              *e;
	int                      rc;             /* -1: *e is set, look at nothing more */
	xmlParserCtxtPtr         xml;
};

/* ---- opening ------------------------------------------------------------------ */

static xmlParserInputPtr load_nothing(const char *url, const char *id, xmlParserCtxtPtr xml)
{
	(void)url;
	(void)id;
	(void)xml;
	return NULL;
}

static bool ours = true;                        /* nobody else in the process has it */

#ifdef XML_SONAME
static void *library;
static bool  stuck;                             /* it did not open or close: it is of no more use */

static bool open_library(void)
{
#define TEXT(x) #x
#define NAME(x) TEXT(x)
	void *other;
	bool  all;

	if (stuck)
		return false;
	other = dlopen(NAME(XML_SONAME), RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
	library = dlopen(NAME(XML_SONAME), RTLD_NOW | RTLD_LOCAL);
	all = library != NULL;

	/* An object pointer read as a function's: what POSIX promises for dlsym(). */
#define LOAD(name) if (all) { void *p = dlsym(library, #name); memcpy(&lib.name, &p, sizeof p); all = p != NULL; }
	CALLS(LOAD)
	if (!all)
		log_line(LOG_ERROR, "libxml2 can't be opened: %s", dlerror());
	if (!all && library != NULL)
		dlclose(library);
	stuck = !all;
	if (other != NULL)
		dlclose(other);
	ours = other == NULL;
	return all;
}

/* Where a model in C has it, too, it stays. */
static bool close_library(void)
{
	stuck = dlclose(library) != 0;
	return !stuck;
}
#else
static bool open_library(void)
{
#define LINKED(name) lib.name = name;
	CALLS(LINKED)
	return true;
}

static bool close_library(void)
{
	return true;
}
#endif

/* ---- reading ------------------------------------------------------------------- */

static void start_element(void *arg, const xmlChar *name, const xmlChar **atts)
{
	static const char *const none[] = { NULL };
	struct reader           *r = arg;

	if (r->rc < 0)
		return;
	r->rc = r->ev->start(r->ev->arg, (const char *)name, atts == NULL ? none : (const char *const *)atts);
	if (r->rc < 0)
		lib.xmlStopParser(r->xml);
}

static void end_element(void *arg, const xmlChar *name)
{
	struct reader *r = arg;

	(void)name;
	r->ev->end(r->ev->arg);
}

static void doctype(void *arg, const xmlChar *name, const xmlChar *id, const xmlChar *system)
{
	struct reader *r = arg;

	(void)name;
	(void)id;
	(void)system;
	r->rc = err_set(r->e, ERR_SHAPE, "the labeling config has a document type (<!DOCTYPE …>), which is not allowed");
	lib.xmlStopParser(r->xml);
}

/* libxml2's messages: the first is ours, none is printed.  The parser must not be
 * stopped from here (that frees what its caller still reads); it sends no more
 * elements after an error. */
static void xml_error(void *arg, xmlErrorPtr x)
{
	struct reader *r = arg;
	const char    *text = x->message == NULL ? "" : x->message;
	int            len = (int)strnlen(text, 100), line_len = (int)strcspn(text, "\n");

	if (r->rc < 0 || x->level < XML_ERR_ERROR)
		return;
	while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;                           /* no half character */
	if (x->code == XML_ERR_NO_MEMORY)
		r->rc = err_memory(r->e);
	else
		r->rc = err_set(r->e, ERR_SHAPE, "the labeling config is not well-formed XML: line %d: %.*s",
		                x->line, len < line_len ? len : line_len, text);
}

/* The text is UTF-8 whatever its XML declaration says, since it came as a string in
 * JSON.  Entities stay unexpanded: without a document type there are only the
 * predefined ones, which the parser resolves by itself. */
static int read_text(struct reader *r, struct span xml)
{
	bool whole;

	r->xml = lib.xmlNewParserCtxt();
	if (r->xml == NULL)
		return r->rc < 0 ? -1 : err_memory(r->e);
	*r->xml->sax = (xmlSAXHandler){
		.initialized = 1,                       /* the first SAX interface */
		.startElement = start_element,
		.endElement = end_element,
		.internalSubset = doctype,
	};
	r->xml->userData = r;
	/* Not by naming it as the encoding: libxml2 (2.9.14) would convert it, and dies where
	 * it finds no memory for that. */
	lib.xmlCtxtReadMemory(r->xml, xml.p, (int)xml.len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_IGNORE_ENC);
	whole = r->xml->wellFormed && !r->xml->disableSAX;
	lib.xmlFreeParserCtxt(r->xml);
	if (r->rc == 0 && !whole)
		return err_set(r->e, ERR_SHAPE, "the labeling config is not well-formed XML");
	return r->rc;
}

/*
 * libxml2 is opened, begins, ends and is closed with each reading.  The thread on which it
 * began is its main one, whose state it does not allocate: for any other it does so when
 * first asked, and (2.9.14) dies where it finds no memory for that.  Where a model in C has
 * it, too, it is never ended, since that ends it for all.
 *
 * Where it can't be opened or closed, memory may have been out.  The next who needs it tries
 * again, but in a process of its own: where dlopen() (glibc 2.36) had opened some of the
 * libraries that libxml2 brings, it never resolves their names again, or dies, and where
 * dlclose() had ended some of them, they are there and do not begin again.
 */
int xml_read(struct span xml, const struct xml_events *ev, struct err *e)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct reader          r = { .ev = ev, .e = e };
	int                    rc;

	pthread_mutex_lock(&mutex);
	if (open_library()) {
		lib.xmlSetStructuredErrorFunc(&r, xml_error);
		lib.xmlInitParser();
		lib.xmlSetExternalEntityLoader(load_nothing);   /* nothing in prelabel wants any */
		rc = r.rc < 0 ? -1 : read_text(&r, xml);
		lib.xmlSetStructuredErrorFunc(NULL, NULL);
		if (ours)
			lib.xmlCleanupParser();
		if (!close_library()) {
			err_clear(e);
			rc = err_set(e, ERR_BROKEN, "libxml2 can't be closed");
		}
	} else {
		rc = err_set(e, ERR_BROKEN, "libxml2 can't be opened");
	}
	pthread_mutex_unlock(&mutex);
	return rc;
}
