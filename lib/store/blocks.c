/* blocks.c - checksums of a model part's blocks. */
#include "store/blocks.h"

#include <endian.h>
#include <sodium.h>

#define ROOT_BYTES 32
#define SUM_BYTES  crypto_shorthash_BYTES

static size_t n_blocks(size_t part_len)
{
	return part_len / BLOCK_BYTES + (part_len % BLOCK_BYTES != 0);
}

size_t blocks_bytes(size_t part_len)
{
	return ROOT_BYTES + n_blocks(part_len) * SUM_BYTES;
}

static void sum_of(const char *block, size_t n, unsigned char sum[SUM_BYTES])
{
	static const unsigned char key[crypto_shorthash_KEYBYTES];      /* nothing is kept from anybody */

	crypto_shorthash(sum, (const unsigned char *)block, n, key);
}

static void root_of(struct span list, const char *name, size_t part_len, unsigned char root[ROOT_BYTES])
{
	const uint64_t           len = htole64(part_len);
	crypto_generichash_state h;

	crypto_generichash_init(&h, NULL, 0, ROOT_BYTES);
	crypto_generichash_update(&h, (const unsigned char *)name, strlen(name) + 1);
	crypto_generichash_update(&h, (const unsigned char *)&len, sizeof len);
	crypto_generichash_update(&h, (const unsigned char *)list.p, list.len);
	crypto_generichash_final(&h, root, ROOT_BYTES);
}

void blocks_sum(const char *name, struct span part, char *to)
{
	const size_t n = n_blocks(part.len);

	for (size_t i = 0; i < n; i++) {
		const size_t left = part.len - i * BLOCK_BYTES;

		sum_of(part.p + i * BLOCK_BYTES, left < BLOCK_BYTES ? left : BLOCK_BYTES,
		       (unsigned char *)to + ROOT_BYTES + i * SUM_BYTES);
	}
	root_of((struct span){ to + ROOT_BYTES, n * SUM_BYTES }, name, part.len, (unsigned char *)to);
}

bool blocks_right(struct span sums, const char *name, size_t part_len)
{
	unsigned char root[ROOT_BYTES];

	if (sums.len != blocks_bytes(part_len))
		return false;
	root_of((struct span){ sums.p + ROOT_BYTES, sums.len - ROOT_BYTES }, name, part_len, root);
	return memcmp(root, sums.p, ROOT_BYTES) == 0;
}

bool block_right(struct span sums, size_t i, const char *block, size_t n)
{
	unsigned char sum[SUM_BYTES];

	sum_of(block, n, sum);
	return memcmp(sum, sums.p + ROOT_BYTES + i * SUM_BYTES, SUM_BYTES) == 0;
}
