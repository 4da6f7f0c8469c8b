/*
 * blocks.h - checksums of a model part's blocks, so that a few of them can be read
 * and checked without the rest.
 *
 *   offset  bytes  meaning
 *        0     32  BLAKE2b-256 of the part's name and a NUL, its length as u64, little-endian,
 *                  and all that follows: checked before anything else is believed
 *       32      8  of each block of BLOCK_BYTES (the last is as long as what is left) its
 *                  SipHash-2-4 under the key of sixteen zeros: as sharp as a CRC-64
 */
#ifndef STORE_BLOCKS_H
#define STORE_BLOCKS_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* A text of 20 words needs some 250 places of a model.  Smaller blocks read less and
 * have more sums, all of which are read: at 512 they are 1.6 % of the part. */
#define BLOCK_BYTES ((size_t)512)

/* Bytes of the sums of a part; to: so many. */
size_t blocks_bytes(size_t part_len);
void   blocks_sum(const char *name, struct span part, char *to);

/* Are they the sums of a part of that name and length, whole?  And is block i, of n
 * bytes, the one that was summed? */
bool   blocks_right(struct span sums, const char *name, size_t part_len);
bool   block_right(struct span sums, size_t i, const char *block, size_t n);

#endif
