/*
 * fuzz.h - what the fuzz targets of this folder have in common.
 *
 * A target is one file, TARGET.c, with LLVMFuzzerTestOneInput(): one input, what is
 * done with it, and what has to hold afterwards (must()).  It is linked twice: with
 * libFuzzer, which looks for inputs (make fuzz), and with plain.c, which runs files
 * and counted mutations of them under any compiler (make test STEPS=fuzz).
 *
 * Inputs that are kept: corpus/TARGET/, small ones that reach much of the code, and
 * regress/TARGET/, each named for what went wrong with it.
 */
#ifndef FUZZ_H
#define FUZZ_H

/* json-c and base/json.h have a name in common. */
#define json_type json_c_type
#include <json-c/json.h>
#undef json_type

#include "base/arena.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "base/span.h"
#include "store/store.h"
#include "web/serve.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Changes data in place, to at most `max` bytes; the new size.  Of libFuzzer, or plain.c. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

/* A promise that was broken is a crash: the input that broke it is kept. */
#define must(promise) ((promise) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #promise))
_Noreturn void fuzz_broken(const char *file, int line, const char *promise);

/* The next bytes of an input; what is not there reads as 0. */
struct fuzz_input {
	const uint8_t *p;
	size_t         left;
};
uint32_t    fuzz_take(struct fuzz_input *in, size_t bytes);        /* little-endian, at most 4 */
struct span fuzz_take_line(struct fuzz_input *in);                 /* without its newline */
char       *fuzz_text(struct span s);      /* a copy up to the first NUL; free() it */

bool fuzz_is_utf8(struct span s);
bool fuzz_is_clean(const char *s);         /* no control character */

/* What an error has to be: a code, and one line that can be shown.  Clears *e. */
void fuzz_must_be_error(struct err *e);

/* A JSON document: strict, and json-c reads it to its end too. */
struct span fuzz_must_be_json(struct span text);

/* ---- requests, by the real handlers, on a store of their own ------------------- */

#define FUZZ_CONFIG \
	"<View><Text name=\"text\" value=\"$text\"/><Choices name=\"label\" toName=\"text\">" \
	"<Choice value=\"good\"/><Choice value=\"bad\"/><Choice value=\"so so\"/></Choices></View>"
#define FUZZ_LABELS \
	"<View><Text name=\"text\" value=\"$text\"/><Labels name=\"ner\" toName=\"text\">" \
	"<Label value=\"place\"/><Label value=\"person\"/></Labels></View>"

typedef int handler(struct request *req, struct reply *reply, struct err *e);

/* An empty store, in a folder in TMPDIR that goes when the process ends well; the
 * settings' defaults, nothing logged.  Then the store, and who holds it. */
const struct env *fuzz_open(void);
struct store     *fuzz_store(void);
void             *fuzz_thread(void);

/* Project 12 with FUZZ_CONFIG and eight annotations, trained: as version 1. */
void fuzz_project(void);

/* Keeps all rows as they are; puts them back. */
void fuzz_keep(void);
void fuzz_restore(void);

/* What a body is answered: 0 with reply->body, valid until the next; or -1. */
int fuzz_ask(handler *handle, struct span body, const char *query, struct reply *reply, struct err *e);

/* An answer of /predict for so many tasks, checked from end to end. */
void fuzz_must_be_predictions(struct span answer, size_t n);

/* The number that a query of the store gives. */
int64_t fuzz_number(const char *sql);

#endif
