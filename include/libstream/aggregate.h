/**
 * @file aggregate.h
 * Many small records in one: the format of Kinesis's producer library (KPL), by hand.
 *
 * An *aggregate* is a record whose data holds others, its *user records*, each with a key, an explicit hash key or
 * none, and data of its own. The store neither makes nor looks into aggregates: it stores, counts and limits the one
 * record, whose fate its user records share. An asynchronous producer packs with LS_ASYNC_AGGREGATE (async_producer.h).
 * Who reads with LS_ITERATOR_DEAGGREGATE (iterator.h), subscribes with LS_SUBSCRIBE_DEAGGREGATE (consumer.h), maps with
 * LS_MAPPING_DEAGGREGATE (mapping.h) or counts with LS_WINDOW_DEAGGREGATE (window.h) is shown user records, and
 * deliveries write these. The two handles here are for all others: one packs, the other unpacks.
 *
 *     F3 89 9A C2 | protobuf AggregatedRecord | MD5 of the protobuf, 16 bytes
 *
 *     message AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2;
 *                                repeated Record records = 3; }
 *     message Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2;
 *                      required bytes data = 3; repeated Tag tags = 4; }
 *
 * WHAT IS AN AGGREGATE. Data that begins with the four bytes, ends with the right MD5 and has such a message between
 * them, with at least one record, whose indices the tables have and whose tables' entries are what records may have:
 * keys of 1..256 characters in UTF-8, decimal numbers below 2^128 without leading zeros. Fields that are not known,
 * tags among them, are passed over. All other data, whatever it begins with, is that of a plain record, and is given as
 * it is. An aggregate in a user record's data is data.
 *
 * ONE SHARD. The record that is put goes where its first user record would have gone, and the others with it. So
 * records of one aggregate should be of one shard: else those of one key, put by different ways, come in no order, and
 * readers see LS_RECORD_OUTSIDE_SHARD.
 */
#ifndef LIBSTREAM_AGGREGATE_H
#define LIBSTREAM_AGGREGATE_H

#include <libstream/producer.h>
#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Records that are becoming one. */
typedef struct ls_aggregate ls_aggregate;

/** Options of an aggregate. Zero means the default everywhere. */
typedef struct ls_aggregate_options {
    uint32_t size;        /**< Set by the INIT macro. */
    uint32_t records_max; /**< It takes at most so many user records; default: any number. */
    uint32_t bytes_max;   /**< Key and data of the record to put are at most so many bytes; default 51,200. At most
                               10 MiB, and not more than the stream's `record_bytes_max`, or putting it is refused. */
} ls_aggregate_options;
#define LS_AGGREGATE_OPTIONS_INIT {(uint32_t)sizeof(ls_aggregate_options), 0, 0}

/**
 * Begin an aggregate, which is empty.
 *
 * @param options  Borrowed until return. NULL: all defaults.
 * @param out      Owned by the caller, release with ls_aggregate_close. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `options.bytes_max` is over its limit.
 * @retval LS_ERR_NO_MEMORY         An allocation failed.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_aggregate_open(const ls_aggregate_options *options, ls_aggregate **out);

/** Release an aggregate; its views end. NULL is accepted. Threads: any thread, one at a time. Never blocks.
 *  Since 0.1. */
LS_API void ls_aggregate_close(ls_aggregate *aggregate);

/**
 * Add a record, if it fits.
 *
 * @param record  Borrowed until return.
 * @param fits    Set on LS_OK only. 1: it was added. 0: it was not, as there are `records_max`, or as the record to put
 *                would get larger than `bytes_max`: put what there is, ls_aggregate_clear, and add it again. One that
 *                does not fit into an empty aggregate fits into none.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The key is empty or not valid UTF-8. Nothing was added.
 * @retval LS_ERR_TOO_LARGE         The key has more than 256 characters. Nothing was added.
 * @retval LS_ERR_NO_MEMORY         Nothing was added.
 *
 * Threads: any thread, one at a time for one aggregate. Never blocks. Since 0.1.
 */
LS_API ls_status ls_aggregate_add(ls_aggregate *aggregate, const ls_put_entry *record, int32_t *fits);

/** How many user records it has. Threads: as ls_aggregate_add. Never blocks. Since 0.1. */
LS_API uint32_t ls_aggregate_count(const ls_aggregate *aggregate);

/**
 * How many bytes key and data of the record to put have, or would have if `with` was added, whether it fits or not.
 *
 * @param with  Borrowed until return; only sizes and what its keys are count. NULL: nothing is added.
 *
 * Threads: as ls_aggregate_add. Never blocks. Since 0.1.
 */
LS_API uint64_t ls_aggregate_bytes(const ls_aggregate *aggregate, const ls_put_entry *with);

/**
 * The record to put. Its key, and its explicit hash key if it has one, are those of the first user record. With a
 * single user record it is that one as it was added, no aggregate.
 *
 * @param out  Set on LS_OK only: views, until the next call that changes the aggregate.
 *
 * @retval LS_ERR_STATE      It is empty.
 * @retval LS_ERR_NO_MEMORY  The aggregate is as it was.
 *
 * Threads: as ls_aggregate_add. Never blocks. Since 0.1.
 */
LS_API ls_status ls_aggregate_record(ls_aggregate *aggregate, ls_put_entry *out);

/** Make it empty again; its memory is kept. Threads: as ls_aggregate_add. Never blocks. Since 0.1. */
LS_API void ls_aggregate_clear(ls_aggregate *aggregate);

/** The user records of one record after another. */
typedef struct ls_user_records ls_user_records;

/**
 * Begin to unpack: there is no record yet.
 *
 * @param out  Owned by the caller, release with ls_user_records_close. Set on LS_OK only.
 *
 * @retval LS_ERR_NO_MEMORY  An allocation failed.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_user_records_open(ls_user_records **out);

/** Release it. NULL is accepted. Its views end. Threads: any thread, one at a time. Never blocks. Since 0.1. */
LS_API void ls_user_records_close(ls_user_records *records);

/**
 * Go on with another record, whatever is left of the one before.
 *
 * @param record  The struct is copied; key and data are borrowed until the next call of this function.
 * @param count   How many user records it has; a plain record has one, itself. Set on LS_OK only. May be NULL.
 *
 * @retval LS_ERR_NO_MEMORY  There is no record then.
 *
 * Threads: any thread, one at a time for one handle. Never blocks. Since 0.1.
 */
LS_API ls_status ls_user_records_set(ls_user_records *records, const ls_record *record, uint32_t *count);

/**
 * The next user record: a view of the handle, until the next call on it; what that points to is the record's that was
 * set. NULL: there is none left. LS_RECORD_OUTSIDE_SHARD is not set: nobody said which shard.
 *
 * Threads: as ls_user_records_set. Never blocks. Since 0.1.
 */
LS_API const ls_record *ls_user_records_next(ls_user_records *records);

#ifdef __cplusplus
}
#endif
#endif
