/**
 * @file types.h
 * The small value types that every other header uses. Their layout is frozen.
 */
#ifndef LIBSTREAM_TYPES_H
#define LIBSTREAM_TYPES_H

#include <stddef.h>
#include <stdint.h>

#if defined(LS_STATIC)
#define LS_API
#elif defined(__GNUC__)
#define LS_API __attribute__((visibility("default")))
#else
#define LS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** A run of bytes that somebody else owns. `data` may be NULL when `size` is 0. */
typedef struct ls_bytes {
    const void *data;
    size_t size;
} ls_bytes;

/**
 * A record's sequence number: 1..LS_SEQNO_MAX, strictly increasing within a shard and not consecutive. Numbers of
 * different shards are unrelated; shard and number together name a record of a stream.
 */
typedef uint64_t ls_seqno;

#define LS_SEQNO_NONE UINT64_C(0)                   /**< No record. */
#define LS_SEQNO_MAX UINT64_C(0x7ffffffffffffffe)   /**< The last number a record may have, 2^63-2. */
#define LS_SEQNO_END UINT64_C(0x7fffffffffffffff)   /**< The end of a closed shard, 2^63-1. */

/** An unsigned 128-bit hash key: MD5 of the partition key as a big-endian number, unless given explicitly. */
typedef struct ls_hash_key {
    uint64_t high;
    uint64_t low;
} ls_hash_key;

/** Where a record is: shard index and sequence number. */
typedef struct ls_record_id {
    ls_seqno seqno;
    uint32_t shard;
    uint32_t reserved; /**< 0 */
} ls_record_id;

/** `ls_record.flags`: the producer gave an explicit hash key, which is in `explicit_hash_key`. */
#define LS_RECORD_EXPLICIT_HASH_KEY UINT32_C(1)
/** A user record out of an aggregated one: it has its own key, explicit hash key and data, and the sequence number and
 *  the time of the record that it came in, which it shares with `sub_count` - 1 others. */
#define LS_RECORD_AGGREGATED UINT32_C(2)
/** With LS_RECORD_AGGREGATED: the hash of its own key, or its explicit one, is outside its shard's range, so that some
 *  producer knew the shards as they were before a split or a merge, and may put it again. (The KCL drops all records of
 *  such an aggregate. Here the choice is the reader's.) */
#define LS_RECORD_OUTSIDE_SHARD UINT32_C(4)
/** It is stored encrypted: it was put between ls_stream_start_encryption() and ls_stream_stop_encryption(), and was
 *  opened to be shown. Of a user record: the record that it came in is. One batch may have records of both kinds. */
#define LS_RECORD_ENCRYPTED UINT32_C(8)

/** One record as an iterator shows it: a view, valid until the next call on that iterator. */
typedef struct ls_record {
    ls_bytes partition_key;        /**< UTF-8, 1..256 code points; not terminated, may hold U+0000. */
    ls_bytes data;                 /**< May be empty. */
    ls_seqno seqno;
    int64_t arrival_us;            /**< Microseconds since the epoch; never decreases within a shard: after a clock that
                                        was more than an hour ahead, it stays ahead and goes on from there. */
    ls_hash_key explicit_hash_key; /**< Meaningful with LS_RECORD_EXPLICIT_HASH_KEY, else 0. */
    uint32_t shard;
    uint32_t flags;                /**< LS_RECORD_, combined by OR; others than these are to be ignored. */
    uint32_t sub_seqno;            /**< LS_RECORD_AGGREGATED: its place in the aggregate, from 0; else 0. */
    uint32_t sub_count;            /**< LS_RECORD_AGGREGATED: how many the aggregate has, at least 1; else 0. */
} ls_record;

/** A tag of a stream: terminated UTF-8, see ls_stream_add_tags. */
typedef struct ls_tag {
    const char *key;
    const char *value; /**< NULL: the same as "". */
} ls_tag;

typedef struct ls_store ls_store;       /**< An open store; store.h */
typedef struct ls_stream ls_stream;     /**< An open stream of a store; stream.h */
typedef struct ls_producer ls_producer; /**< Puts records; producer.h */
typedef struct ls_iterator ls_iterator; /**< Reads records; iterator.h */

#ifdef __cplusplus
}
#endif
#endif
