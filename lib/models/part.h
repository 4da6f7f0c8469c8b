/*
 * part.h - the bytes of a saved part, written and read with every count checked.
 *
 *   offset  bytes  meaning
 *        0      4  magic of the kind ("TFLR", "SUBS")
 *        4      4  layout of the part, u32: PART_VERSION
 *        8      8  name of the part, padded with NUL
 *       16      8  bytes that follow, u64
 *
 * All numbers little-endian.  For the kinds of this folder: a kind of your own may
 * lay out its parts as it likes.
 */
#ifndef MODELS_PART_H
#define MODELS_PART_H

#include "models/model.h"

#define PART_VERSION 1
#define PART_HEAD 24

/* ---- writing -------------------------------------------------------------- */

/* name: at most 8 bytes.  bytes: exactly what will follow the head.  NULL: *e. */
struct buf *part_begin(struct model_parts *parts, const char magic[4], const char *name, size_t bytes,
                       struct err *e);
void        part_put_u32s(struct buf *b, const uint32_t *v, size_t n);

/* ---- reading -------------------------------------------------------------- */

struct part {
	const char *name;
	struct span left;       /* not read yet */
};

/* ERR_DAMAGED where it is missing, of another kind or layout, or of another length
 * than it says; or the source's own error. */
int part_open(struct part *p, const struct part_source *source, const char magic[4], const char *name,
              struct err *e);

/* ERR_DAMAGED "model part words: too short".  Returns -1. */
int part_damaged(const struct part *p, const char *what, struct err *e);

/* n elements into memory of their own, one more than asked for, so that an empty
 * array is none; free() it.  Memory is taken only for bytes that are there. */
void     *part_take(struct part *p, size_t n, size_t size, struct err *e);
uint32_t *part_take_u32s(struct part *p, size_t n, struct err *e);

/* Offsets: from 0, never falling, to `end`; at [n + 1]. */
int part_check_offsets(const struct part *p, const uint32_t *at, size_t n, size_t end, struct err *e);

/* The rest of the part as n strings one behind the other, ascending, none twice:
 * string i is bytes[at[i]] up to at[i + 1].  Free *bytes. */
int part_take_strings(struct part *p, const uint32_t *at, size_t n, char **bytes, struct err *e);

/* Was all of it read? */
int part_end(const struct part *p, struct err *e);

#endif
