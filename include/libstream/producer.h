/**
 * @file producer.h
 * Put records.
 *
 * A producer handle holds the buffers of one thread at a time; any number of handles, threads and processes may put to
 * one stream. Per shard there is one order: if one put returned before another was called, in whatever process, it is
 * before it.
 *
 * NUMBERED PUTS. A put whose outcome is unknown (LS_ERR_IO, a killed process, a loss of power) can only be tried again
 * if nobody minds a record that is there twice, unless it carries a *producer id* and a *number*: of one producer each
 * number goes into the stream once. A put that repeats a number writes nothing and returns what the first one returned.
 *
 *     options.producer = my_id;              drawn at random once, and kept wherever the producer's work is kept
 *     options.number = line_of_the_input;    rises; what it is tells nobody anything
 *     do
 *         st = ls_producer_put(producer, key, data, &options, &id);
 *     while (st == LS_ERR_IO or so);
 *
 * It holds for repeats by any process, for as long as the shard remembers the number (see below): after a crash, after
 * the store was closed and opened again, and in the children of a shard that was split or merged meanwhile. A repeat
 * has the same partition key (or explicit hash key) as the first: it is looked for where that leads; its data is not
 * compared. It is as durable as it asks, waits for that if need be, and costs nothing of a provisioned stream's limits.
 *
 * Numbers of a producer rise, with or without gaps, in the order in which it puts. A number below the last one is
 * written all the same when it surely was not before; so records that failed may be put again behind others.
 *
 * A shard remembers, of each of the LS_PRODUCERS_MAX producers that put to it last, the puts and batches that fit
 * into LS_PRODUCER_BYTES_MAX bytes, the oldest go first, but the last LS_PRODUCER_PUTS_MAX of them whatever they take.
 * A put whose number and sequence number both go on where the one before ended takes no room. One with a gap before
 * its number, since others of the producer went to other shards, or before its sequence number, since others put in
 * between, takes a byte for a gap of less than 32 numbers, and one more for less than 130 records; so tens of thousands
 * are remembered. One whose number is below the one before takes 40 bytes more, and so does a batch of aggregates
 * (async_producer.h) besides a byte for each aggregate. So much is sure where all producers of the shard together take
 * at most 8 MiB; of what they take more, those that put least recently lose theirs, to the last LS_PRODUCER_PUTS_MAX
 * puts first. A number that is older than what is remembered of its producer is LS_ERR_EXPIRED, and nothing is written.
 * A producer that was forgotten, since LS_PRODUCERS_MAX others put to the shard after it, is a new one: its repeats are
 * written. So at most so many should be at work on a shard between a put and its last repeat. Trimming forgets no
 * number.
 *
 * Ids and numbers are not encrypted, in encrypted streams neither; nobody can change them there unnoticed.
 */
#ifndef LIBSTREAM_PRODUCER_H
#define LIBSTREAM_PRODUCER_H

#include <libstream/status.h>
#include <libstream/store.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Options of ls_producer_open. None yet. */
typedef struct ls_producer_options {
    uint32_t size;     /**< Set by the INIT macro. */
    uint32_t reserved; /**< 0 */
} ls_producer_options;
#define LS_PRODUCER_OPTIONS_INIT {(uint32_t)sizeof(ls_producer_options), 0}

/**
 * Open a producer.
 *
 * @param options  Borrowed until return. NULL: all defaults.
 * @param out      Owned by the caller, release with ls_producer_close. Set on LS_OK only.
 *
 * @retval LS_ERR_READ_ONLY  The store was opened for reading.
 * @retval LS_ERR_NOT_FOUND  The stream was deleted, or is still CREATING.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_producer_open(ls_stream *stream, const ls_producer_options *options, ls_producer **out);

/**
 * Close a producer. NULL is accepted. Nothing is waiting in it: every put was complete when it returned.
 *
 * Threads: any thread, when no other call on it is under way. Never blocks. Since 0.1.
 */
LS_API ls_status ls_producer_close(ls_producer *producer);

/** `ls_put_options.flags`, batches only: all records or none, in one shard. */
#define LS_PUT_ATOMIC UINT32_C(1)

/** Who puts, of numbered puts: 128 bits, of which no two producers have the same. Zero: nobody. */
typedef struct ls_producer_id {
    uint64_t high;
    uint64_t low;
} ls_producer_id;

#define LS_NUMBER_MAX (UINT64_MAX >> 1)    /**< Numbers of a producer: 1 to this. */
#define LS_PRODUCERS_MAX UINT32_C(10000)   /**< So many producers a shard remembers, the least recent go first; */
#define LS_PRODUCER_PUTS_MAX UINT32_C(8)   /**< of each at least so many puts and batches, */
#define LS_PRODUCER_BYTES_MAX (UINT32_C(64) << 10) /**< and what fits into so many bytes. */

/** Options of one put. Zero means the default everywhere. */
typedef struct ls_put_options {
    uint32_t size;                        /**< Set by the INIT macro. */
    ls_durability durability;             /**< More than the store's mode: waited for. Less changes nothing. */
    uint32_t flags;                       /**< LS_PUT_ bits. */
    uint32_t reserved;                    /**< 0 */
    const ls_hash_key *explicit_hash_key; /**< ls_producer_put only. Borrowed until return. NULL: MD5 of the key. */
    ls_producer_id producer;              /**< Not zero: the put is numbered (see the head of this file). */
    uint64_t number;                      /**< Of its first record; in a batch those after it follow by one. */
    const uint64_t *numbers; /**< Batches: of each record, rising; `number` is 0. Borrowed until return. NULL: none. */
} ls_put_options;
#define LS_PUT_OPTIONS_INIT {(uint32_t)sizeof(ls_put_options), 0, 0, 0, NULL, {0, 0}, 0, NULL}

/**
 * Append one record to the stream.
 *
 * The shard is chosen by the MD5 hash of `partition_key`, or by the explicit hash key. Returns once the record is as
 * durable as the store's mode says (store.h), or as `options` asks if that is more.
 *
 * @param partition_key  Borrowed until return. UTF-8, 1..256 code points.
 * @param data           Borrowed until return. With the key at most `record_bytes_max` bytes; may be empty.
 * @param options        Borrowed until return. NULL: all defaults.
 * @param out            Shard and sequence number, set on LS_OK only. May be NULL.
 *
 * @retval LS_OK                    Durable as above.
 * @retval LS_ERR_INVALID_ARGUMENT  The key is empty or not UTF-8, or an option is out of range. Nothing was written.
 * @retval LS_ERR_TOO_LARGE         Key or record is over its limit. Nothing was written.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted. Nothing was written.
 * @retval LS_ERR_BUSY              A stopped process held the shard for `busy_timeout_ms`. Nothing was written.
 * @retval LS_ERR_THROTTLED         The shard is over a limit of the provisioned stream; the message names it. Nothing
 *                                  was written; try again after ls_last_error_retry_after_ms().
 * @retval LS_ERR_KEY               The stream is encrypted, and there is no key or another one than it is encrypted
 *                                  with. Nothing was written.
 * @retval LS_ERR_FULL              No space. Nothing was written; reading goes on, and a later put may succeed.
 * @retval LS_ERR_CORRUPT           The shard's end is damaged and takes no puts. Nothing was written.
 * @retval LS_ERR_NO_MEMORY         No memory, or no descriptor is left to the process. Nothing was written.
 * @retval LS_ERR_STATE             A fork child called it, or the shard's sequence numbers are used up. Nothing was
 *                                  written.
 * @retval LS_ERR_EXPIRED           The number is older than what is remembered of its producer: whether a record has it
 *                                  is not known. Nothing was written.
 * @retval LS_ERR_UNSUPPORTED       The put is numbered, and the store's engine cannot do that. Nothing was written.
 * @retval LS_ERR_IO                The outcome is unknown: readers may or may not see the record, once. Where a sync
 *                                  failed the shard refuses puts from now on, in every process (ls_stream_reset_shard).
 *
 * Threads: any thread, one at a time for one producer. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_producer_put(ls_producer *producer, ls_bytes partition_key, ls_bytes data,
                                 const ls_put_options *options, ls_record_id *out);

/** One record of a batch. */
typedef struct ls_put_entry {
    ls_bytes partition_key;
    ls_bytes data;
    const ls_hash_key *explicit_hash_key; /**< NULL: MD5 of the key. */
} ls_put_entry;

/** What became of one record of a batch. */
typedef struct ls_put_result {
    ls_seqno seqno;   /**< LS_SEQNO_NONE unless `status` is LS_OK. */
    uint32_t shard;   /**< The shard it went to, or would have gone to. */
    ls_status status; /**< As ls_producer_put returns it for this record. */
} ls_put_result;

/**
 * Append a batch: at most 65,536 records and 64 MiB of keys and data.
 *
 * A bad argument in any record refuses the whole call and writes nothing. After that each record has its own result
 * (the PutRecords rule): the call returns LS_OK when every record was tried, and `*failed` counts those that were not
 * stored. Records of one shard keep the order of the call. When stopped processes hold several shards, the call waits
 * `busy_timeout_ms` for all of them together; the records it did not get in are LS_ERR_BUSY. In a provisioned stream
 * those that fit are stored and the rest is THROTTLED; behind a throttled record all others of its shard are too, so
 * putting the failed ones again keeps the order. Then ls_last_error_retry_after_ms() is that of one of them.
 *
 * With LS_PUT_ATOMIC all records must belong to one shard; they are written as one frame, which readers, crashes and
 * kills show whole or not at all; failing, the call returns the reason itself. Keys and data are at most 16 MiB less
 * 4 KiB, and what they take in the frame 16 MiB less 48 bytes: each record 8 bytes more than its key and data, 24 with
 * an explicit hash key, rounded up to 8.
 *
 * Numbered, keys and data are at most 16 MiB less 4 KiB as well, and what goes to one shard is written as one frame. It
 * takes 32 bytes more, and where its numbers do not follow each other by one, those of one shard, one to ten more for
 * each record. Records that were put before have the results that they had then, also where others of the call are new.
 * With LS_PUT_ATOMIC either all of them were put before or none was.
 *
 * @param entries  Borrowed until return, with all they point to.
 * @param count    0 does nothing and is LS_OK.
 * @param options  Borrowed until return. NULL: all defaults.
 * @param results  `count` elements, owned by the caller, or NULL. Filled when the call returns LS_OK; also, for
 *                 records that may have been stored, on LS_ERR_IO of an atomic batch.
 * @param failed   May be NULL. How many results are not LS_OK.
 *
 * @retval LS_OK                    Every record has its result.
 * @retval LS_ERR_INVALID_ARGUMENT  A record (its index is in the message) or an option breaks its rule; with
 *                                  LS_PUT_ATOMIC also: the records belong to several shards, or some of their numbers
 *                                  were put before and others were not. Nothing was written.
 * @retval LS_ERR_TOO_LARGE         A record or the batch is over its limit. Nothing was written.
 * @retval LS_ERR_UNSUPPORTED       The batch is numbered, and the store's engine cannot do that. Nothing was written.
 * @retval LS_ERR_NO_MEMORY         Nothing was written.
 * @retval LS_ERR_BUSY, LS_ERR_NOT_FOUND, LS_ERR_IO  The producer's first call could not learn the stream's shards.
 *                                  Nothing was written.
 * Others with LS_PUT_ATOMIC, as ls_producer_put.
 *
 * Threads: any thread, one at a time for one producer. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_producer_put_batch(ls_producer *producer, const ls_put_entry *entries, size_t count,
                                       const ls_put_options *options, ls_put_result *results, size_t *failed);

/**
 * Make everything this producer put durable, whatever the store's mode.
 *
 * @retval LS_ERR_IO  The outcome is unknown; see ls_producer_put.
 *
 * Threads: any thread, one at a time for one producer. Blocks on disk, and up to `busy_timeout_ms`. Since 0.1.
 */
LS_API ls_status ls_producer_flush(ls_producer *producer);

/**
 * How many records this producer was told of that had been put before, since it was opened: numbered puts that were
 * repeats, each time that they were.
 *
 * Threads: any thread, one at a time for one producer. Never blocks. Since 0.1.
 */
LS_API uint64_t ls_producer_repeats(const ls_producer *producer);

#ifdef __cplusplus
}
#endif
#endif
