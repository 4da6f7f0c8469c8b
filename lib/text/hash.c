/* hash.c - keyed hashes. */
#include "text/hash.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

struct hash_key hash_key_random(void)
{
	struct hash_key key;
	struct timespec now = { 0, 0 };

	if (getrandom(&key, sizeof key, GRND_NONBLOCK) == (ssize_t)sizeof key)
		return key;
	/* Only at boot, before the kernel has gathered anything: the table still
	 * works, its key can merely be guessed with some effort. */
	clock_gettime(CLOCK_REALTIME, &now);
	key.k0 = (uint64_t)now.tv_nsec * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)now.tv_sec;
	key.k1 = key.k0 ^ (uint64_t)(uintptr_t)&key;
	return key;
}

static inline uint64_t rotl(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

uint64_t hash_bytes(struct hash_key key, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t             v[4] = {
		key.k0 ^ UINT64_C(0x736f6d6570736575), key.k1 ^ UINT64_C(0x646f72616e646f6d),
		key.k0 ^ UINT64_C(0x6c7967656e657261), key.k1 ^ UINT64_C(0x7465646279746573),
	};
	uint64_t             last = (uint64_t)len << 56, m;
	size_t               left = len;

	/* Words are read in the machine's byte order: the value never leaves it. */
	for (; left >= 8; p += 8, left -= 8) {
		memcpy(&m, p, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
