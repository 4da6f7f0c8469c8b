/*
 * hash.h - keyed hashes for tables whose keys come from outside.
 *
 * Texts are written by strangers: with a fixed hash, a few thousand chosen words
 * would make every look-up walk a chain.  Each table draws a random key of its
 * own; nothing that is stored or answered depends on it.
 */
#ifndef TEXT_HASH_H
#define TEXT_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
	uint64_t k0, k1;
};

struct hash_key hash_key_random(void);

/* SipHash-1-3 (Aumasson and Bernstein), 64 bits. */
uint64_t hash_bytes(struct hash_key key, const void *bytes, size_t len);

/* A number, for tables of pairs of ids. */
static inline uint64_t hash_u64(struct hash_key key, uint64_t v)
{
	v = (v ^ key.k0) * UINT64_C(0x9e3779b97f4a7c15);
	v ^= v >> 32;
	v = (v + key.k1) * UINT64_C(0xd6e8feb86659fd93);
	return v ^ v >> 32;
}

#endif
