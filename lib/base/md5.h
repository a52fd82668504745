/* What the two files of MD5 share, one message at a time and in lanes; others include base/hash.h. */
#ifndef LSI_BASE_MD5_H
#define LSI_BASE_MD5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

#define LSI_MD5_BLOCK_BYTES 64u
#define LSI_MD5_LENGTH_AT 56u /* the bit length takes the last 8 bytes of the last block */
#define LSI_MD5_SHORT_MAX 55u /* the longest message that fits one block, with 0x80 behind it */

#define LSI_MD5_START_A UINT32_C(0x67452301)
#define LSI_MD5_START_B UINT32_C(0xefcdab89)
#define LSI_MD5_START_C UINT32_C(0x98badcfe)
#define LSI_MD5_START_D UINT32_C(0x10325476)

/* The one block of a message of at most 55 bytes. Two copies of a fixed size, which overlap, cover any size between
 * theirs: a copy of unknown size is a call, and costs a quarter of the hash. No word of the block is put together from
 * two stores, as its load would then wait for both to leave the store buffer: whole words are copied, and the last one,
 * with 0x80 behind the last byte, is made in a register. */
static inline void lsi_md5_pad(unsigned char block[LSI_MD5_BLOCK_BYTES], const void *bytes, size_t size)
{
    const unsigned char *from = bytes;
    size_t whole = size & ~(size_t)3, rest = size & 3;
    uint64_t last = 0;

    memset(block, 0, LSI_MD5_BLOCK_BYTES);
    if (size >= 32) {
        memcpy(block, from, 32);
        memcpy(block + whole - 32, from + whole - 32, 32);
    } else if (size >= 16) {
        memcpy(block, from, 16);
        memcpy(block + whole - 16, from + whole - 16, 16);
    } else if (size >= 8) {
        memcpy(block, from, 8);
        memcpy(block + whole - 8, from + whole - 8, 8);
    } else if (size >= 4) {
        memcpy(block, from, 4);
    } else if (size > 0) { /* An empty run may have no address. */
        last = from[0] | (uint64_t)from[size / 2] << 8 * (size / 2) | (uint64_t)from[size - 1] << 8 * (size - 1);
    }
    if (size >= 4)
        last = (uint64_t)lsi_read_u32le(from + size - 4) >> (32 - 8 * rest);
    lsi_write_u64le(block + whole, last | UINT64_C(0x80) << 8 * rest); /* Ends by byte 60. */
    lsi_write_u64le(block + LSI_MD5_LENGTH_AT, (uint64_t)size * 8);
}

/* For tests and benches: lsi_hash_partition_keys hashes in so many lanes from now on, in every thread. 1 is the plain
 * path, 0 the widest that the processor has, which is the choice without a call. False, and no change, when the
 * processor or the build has no such lanes. */
bool lsi_md5_lanes_force(unsigned lanes);

#endif
