/*
 * digest.h - SHA-256 over several values, none of which runs into the next: each
 * goes in behind its length (8 bytes, little-endian).  What is in a digest decides
 * model_version, so it must be the same on every machine.
 */
#ifndef DIGEST_H
#define DIGEST_H

#include "base/span.h"

#include <sodium.h>
#include <stdint.h>

static inline void digest_add(crypto_hash_sha256_state *h, struct span s)
{
	unsigned char len[8];

	for (size_t i = 0; i < sizeof len; i++)
		len[i] = (unsigned char)((uint64_t)s.len >> (8 * i));
	crypto_hash_sha256_update(h, len, sizeof len);
	if (s.len > 0)
		crypto_hash_sha256_update(h, (const unsigned char *)s.p, s.len);
}

#endif
