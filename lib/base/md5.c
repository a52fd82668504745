/* MD5 and the placement of keys.
 *
 * MD5 is written out here because Kinesis places keys by it and nothing else needs it: it protects nothing, OpenSSL
 * refuses it in FIPS mode and takes three times as long per key.
 *
 * A key of up to 55 bytes fits one block with its padding (55 + 0x80 + 8 bytes of length = 64), is padded in place and
 * hashed at once; longer input goes block by block. Both end in the same `md5_block`. md5_lanes.c hashes many keys at
 * once. */
#include "base/hash.h"

#include <string.h>

#include "base/bytes.h"
#include "base/md5.h"
#include "base/md5_steps.h"

static const uint32_t md5_start[4] = {LSI_MD5_START_A, LSI_MD5_START_B, LSI_MD5_START_C, LSI_MD5_START_D};

#define WORD(index) lsi_read_u32le(block + 4 * (index))
#define HOLD(sum) __asm__("" : "+r"(sum))

static void md5_block(uint32_t sum[4], const unsigned char *block)
{
    uint32_t a = sum[0], b = sum[1], c = sum[2], d = sum[3];

    MD5_STEPS;
    sum[0] += a;
    sum[1] += b;
    sum[2] += c;
    sum[3] += d;
}

/* At most 55 bytes. */
static void md5_short(uint32_t sum[4], const void *bytes, size_t size)
{
    unsigned char block[LSI_MD5_BLOCK_BYTES];

    memcpy(sum, md5_start, sizeof md5_start);
    lsi_md5_pad(block, bytes, size);
    md5_block(sum, block);
}

/* Any length. */
static void md5_long(uint32_t sum[4], const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    unsigned char tail[2 * LSI_MD5_BLOCK_BYTES] = {0};
    size_t rest = size % LSI_MD5_BLOCK_BYTES;
    size_t tail_bytes = rest < LSI_MD5_LENGTH_AT ? LSI_MD5_BLOCK_BYTES : 2 * LSI_MD5_BLOCK_BYTES;

    memcpy(sum, md5_start, sizeof md5_start);
    for (size_t blocks = size / LSI_MD5_BLOCK_BYTES; blocks > 0; blocks--) {
        md5_block(sum, at);
        at += LSI_MD5_BLOCK_BYTES;
    }
    if (rest != 0)
        memcpy(tail, at, rest);
    tail[rest] = 0x80;
    lsi_write_u64le(tail + tail_bytes - 8, (uint64_t)size * 8);
    md5_block(sum, tail);
    if (tail_bytes > LSI_MD5_BLOCK_BYTES)
        md5_block(sum, tail + LSI_MD5_BLOCK_BYTES);
}

void lsi_md5(const void *bytes, size_t size, unsigned char digest[16])
{
    uint32_t sum[4];

    md5_long(sum, bytes, size);
    for (size_t i = 0; i < 4; i++)
        lsi_write_u32le(digest + 4 * i, sum[i]);
}

ls_hash_key lsi_hash_partition_key(ls_bytes key)
{
    uint32_t sum[4];

    if (key.size <= LSI_MD5_SHORT_MAX)
        md5_short(sum, key.data, key.size);
    else
        md5_long(sum, key.data, key.size);
    /* The digest prints each word lowest byte first and is read as one big-endian number: each word turns round. */
    return (ls_hash_key){(uint64_t)__builtin_bswap32(sum[0]) << 32 | __builtin_bswap32(sum[1]),
                         (uint64_t)__builtin_bswap32(sum[2]) << 32 | __builtin_bswap32(sum[3])};
}
