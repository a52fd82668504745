/* Checksums (XXH3-64, from the package's header, inlined) and MD5 (RFC 1321), which places keys and protects
 * nothing. */
#ifndef LSI_BASE_HASH_H
#define LSI_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include <libstream/types.h>

uint64_t lsi_sum64(const void *bytes, size_t size, uint64_t seed);

/* MD5 of any length: 16 bytes as RFC 1321 prints them. */
void lsi_md5(const void *bytes, size_t size, unsigned char digest[16]);

/* MD5 of a partition key as one big-endian 128-bit number. Keys up to 55 bytes take one block. */
ls_hash_key lsi_hash_partition_key(ls_bytes key);

/* The same of many keys, any lengths, each in `out` at its index: several at once where the processor has the lanes
 * (md5_lanes.c). Any thread; allocates nothing. */
void lsi_hash_partition_keys(const ls_bytes *keys, uint32_t count, ls_hash_key *out);

#endif
