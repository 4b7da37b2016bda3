/* SPDX-License-Identifier: GPL-2.0 */
/* The hash by which an entry is found: of 128 bits, so that no two things have the same one. */
#ifndef HASH_BPF_H
#define HASH_BPF_H

/* Set before the load, at random: nobody is to know what has the same hash. */
const volatile __u32 seed_low = 0;
const volatile __u32 seed_high = 0;

static __always_inline void begin_hash(__u64 hash[2])
{
	hash[0] = seed_low;
	hash[1] = seed_high;
}

static __always_inline void mix(__u64 hash[2], __u64 word)
{
	hash[0] = (hash[0] ^ word) * 0x9E3779B97F4A7C15ULL;
	hash[0] ^= hash[0] >> 29;
	hash[1] = (hash[1] ^ word) * 0xC2B2AE3D27D4EB4FULL;
	hash[1] ^= hash[1] >> 32;
}

#endif
