/**
 * @file async_producer.h
 * Put records without waiting for them: a thread of the library gathers what any threads put, sends it in batches, one
 * per shard, tries again what could not be stored yet, and tells what became of each record.
 *
 *     ls_async_producer_open(stream, NULL, &producer, tell, user);
 *     ls_async_producer_put(producer, &entry, tag, -1, NULL);      from any threads, as often as they like
 *     ls_async_producer_flush(producer, -1, NULL);                 every record has its outcome
 *     ls_async_producer_close(producer, -1);
 *
 * WHAT HOLDS. A put that returned LS_OK has copied its record. From then on the record has exactly one *outcome*: it is
 * given to the callback once, before ls_async_producer_close returns. Until it has one the record is in memory only:
 * what kills the process takes with it every record that was not reported. A record that was reported LS_OK is as
 * durable as after ls_producer_put.
 *
 * ORDER. Records of one partition key are stored, and reported, in the order of their puts, whatever had to be tried
 * again and whoever splits or merges shards meanwhile: if one put returned before another was called, in whatever
 * threads, it is before it. A record that was given up is left out; those behind it go on. Between keys there is no
 * order.
 *
 * MEMORY. Records take `buffered_bytes_max` at most, with 64 bytes for each beside its key and data, and chunks of
 * 128 KiB are freed whole; so what a shard that refuses its records keeps is more than they are. Beside that there are
 * 64 bytes for each record of the largest batch, 96 with numbers and 160 with these and aggregates, 80 for each outcome
 * that is kept, and what is packed into aggregates, once more.
 *
 * AGGREGATES. With LS_ASYNC_AGGREGATE records are packed as the Kinesis producer library does it: as many as fit, in
 * order, all of one shard. To the stream's limits an aggregate is one record. It shares one fate: its records have one
 * outcome. When it was not stored its records are packed anew, with those that came since, each for the shard that is
 * its own by then.
 *
 * FAILURES. What a failure left unwritten (THROTTLED, BUSY, FULL, NO_MEMORY, a shard that was closed) is tried again,
 * after a pause that doubles with each try, until it is stored, or older than `record_ttl_ms`, or was tried
 * `retries_max` times more; meanwhile the shard's later records wait behind it, and other shards go on. What cannot
 * succeed is reported at once, and so is LS_ERR_IO, where the outcome is unknown: nothing is ever stored twice.
 *
 * IDEMPOTENCE. With LS_ASYNC_IDEMPOTENT each record carries a number, and LS_ERR_IO is tried again like the others: a
 * record that is there already is reported LS_OK, with the place that it has. LS_ERR_IO is the outcome when that came
 * to no end. What a kill took can be put again as well: with a `producer` of the caller's own a record's number is its
 * ticket, and who gives `first_ticket` and puts the same records in the same order, from the first that was not
 * reported on, has each of them in the stream once. Then a record that is far behind others of its shard may come out
 * as LS_ERR_EXPIRED: one that had been reported before, or one of a shard that was merged with a busier one (producer.h
 * says how many batches of a producer a shard remembers). Whether it is stored is not known.
 *
 * With LS_ASYNC_AGGREGATE as well, numbers are those of the records, not of the aggregates: what is put again may be
 * cut and routed in any other way, or go by itself, and only records that are not there yet go into new aggregates.
 */
#ifndef LIBSTREAM_ASYNC_PRODUCER_H
#define LIBSTREAM_ASYNC_PRODUCER_H

#include <libstream/producer.h>
#include <libstream/status.h>
#include <libstream/store.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Puts records without waiting for them. */
typedef struct ls_async_producer ls_async_producer;

#define LS_ASYNC_NONE UINT32_MAX /**< `linger_ms`: send at once. `record_ttl_ms`: never give up for age. */

/** `ls_async_options.flags`: records of one shard that go together are packed into aggregates (aggregate.h). */
#define LS_ASYNC_AGGREGATE UINT32_C(1)
/** `ls_async_options.flags`: puts are numbered (producer.h), so that LS_ERR_IO, too, is tried again. */
#define LS_ASYNC_IDEMPOTENT UINT32_C(2)

/** Options of an asynchronous producer. Zero means the default everywhere. */
typedef struct ls_async_options {
    uint32_t size;                 /**< Set by the INIT macro. */
    uint32_t linger_ms;            /**< A shard's batch goes when its oldest record is so old. 5; up to 3,600,000;
                                        LS_ASYNC_NONE: at once. */
    uint64_t batch_bytes_max;      /**< ... or has so many bytes of keys and data, and has no more, but one record at
                                        least. 4 MiB; up to 64 MiB. */
    uint32_t batch_records_max;    /**< ... or so many records, and has no more. 16,384; up to 65,536. */
    uint32_t record_ttl_ms;        /**< A record that is not stored so long after its put is given up. 30,000, and more
                                        than `linger_ms`; LS_ASYNC_NONE: never. */
    uint64_t buffered_bytes_max;   /**< Memory for records without an outcome. 64 MiB; 1 MiB..64 GiB. */
    uint32_t retries_max;          /**< So often a record is tried again. Default: until it is too old. */
    uint32_t retry_backoff_ms;     /**< The first pause of a shard before a try, unless a limit says when to come
                                        again; it doubles. 10; up to 60,000. */
    uint32_t retry_backoff_max_ms; /**< The longest pause. 1,000; up to 60,000, and not below the first. */
    uint32_t outcomes_kept;        /**< For ls_async_producer_wait: so many of the last tickets. Default: none with a
                                        callback, 65,536 without one; up to 1,048,576. */
    ls_durability durability;      /**< More than the store's mode: waited for. Less changes nothing. */
    uint32_t flags;                /**< LS_ASYNC_ bits. */
    uint32_t aggregate_bytes_max;  /**< LS_ASYNC_AGGREGATE: the largest aggregate, key and data. 51,200; 1 KiB..1 MiB,
                                        and not more than the stream takes. */
    uint32_t reserved;             /**< 0 */
    ls_producer_id producer;       /**< LS_ASYNC_IDEMPOTENT: who puts. Default: one that is drawn at random. */
    uint64_t first_ticket;         /**< The first record's ticket. 1; up to LS_NUMBER_MAX / 2. */
} ls_async_options;
#define LS_ASYNC_OPTIONS_INIT {(uint32_t)sizeof(ls_async_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0, 0}, 0}

/** What became of a record. */
typedef struct ls_async_outcome {
    uint64_t ticket;        /**< As ls_async_producer_put gave it. */
    void *tag;              /**< As it was given to ls_async_producer_put. */
    ls_seqno seqno;         /**< LS_SEQNO_NONE unless `status` is LS_OK. */
    uint32_t shard;         /**< The shard it went to, or would have gone to. */
    uint32_t attempts;      /**< So often it was tried; 0: it never was. */
    ls_status status;       /**< LS_OK: stored. LS_ERR_IO: unknown. Else it was not stored, and why: as ls_producer_put
                                 returned it last, or LS_ERR_TIMEOUT when it grew too old before it could be tried,
                                 there or in a shard that took its place, or LS_ERR_CANCELLED. */
    uint32_t sub_seqno;     /**< In an aggregate: its place there, from 0; all in it have one sequence number. */
    uint32_t sub_count;     /**< ... which has so many; 0: it went alone. */
    uint32_t reserved;      /**< 0 */
    ls_bytes partition_key; /**< The record, for the callback: views, until it returns. Else without bytes. */
    ls_bytes data;
} ls_async_outcome;

/**
 * Told what became of one record. Within it ls_last_error_message() says more of a record that was not stored.
 *
 * It runs in the producer's thread, which does nothing else meanwhile: it should be quick. It may call everything, but
 * of its own producer only ls_async_producer_put, which does not wait then.
 *
 * @param outcome  A view, until it returns.
 */
typedef void (*ls_outcome_callback)(const ls_async_outcome *outcome, void *user);

/**
 * Open an asynchronous producer. It has a thread of its own, named "ls-async", which takes no signals.
 *
 * @param options  Borrowed until return. NULL: all defaults.
 * @param out      Owned by the caller, release with ls_async_producer_close. Set on LS_OK only.
 * @param callback  Told of each record. NULL: outcomes are asked for by their tickets.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  An option is out of range; the message names it.
 * @retval LS_ERR_READ_ONLY         The store was opened for reading.
 * @retval LS_ERR_UNSUPPORTED       LS_ASYNC_IDEMPOTENT, and the store's engine has no numbered puts.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 * @retval LS_ERR_BUSY, LS_ERR_IO, LS_ERR_CORRUPT  The stream's shards could not be learned.
 * @retval LS_ERR_NO_MEMORY         No memory, or no thread can be had.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_async_producer_open(ls_stream *stream, const ls_async_options *options, ls_async_producer **out,
                                        ls_outcome_callback callback, void *user);

/**
 * Give a record to the producer, which copies it.
 *
 * @param entry       Borrowed until return, with all it points to. As for ls_producer_put_batch.
 * @param tag         Comes back in the outcome; nothing else is done with it. May be NULL.
 * @param timeout_ms  How long to wait while the memory is full: 0 does not wait, -1 has no end. In a callback of this
 *                    producer it is 0.
 * @param ticket      The record's number, set on LS_OK only: `first_ticket` and on, in the order of puts. May be NULL.
 *
 * @retval LS_OK                    It will have an outcome.
 * @retval LS_ERR_INVALID_ARGUMENT  The key is empty or not UTF-8. There will be no outcome, here and below.
 * @retval LS_ERR_TOO_LARGE         Key or record is over its limit, or does not fit `buffered_bytes_max`.
 * @retval LS_ERR_BUSY              The memory is full, and `timeout_ms` is over.
 * @retval LS_ERR_NO_MEMORY         An allocation failed.
 * @retval LS_ERR_STATE             A fork child called it, or the producer is being closed.
 *
 * Threads: any thread. Blocks up to `timeout_ms`; with 0 it never blocks. Since 0.1.
 */
LS_API ls_status ls_async_producer_put(ls_async_producer *producer, const ls_put_entry *entry, void *tag,
                                       int64_t timeout_ms, uint64_t *ticket);

/**
 * Send at once what was put before this call, without regard to `linger_ms`, and wait until all of it has its outcome
 * and the callback has returned from the last of them. Pauses before another try are kept.
 *
 * @param timeout_ms  0 does not wait, -1 has no end.
 * @param left        How many records have no outcome yet, those among them that were put meanwhile. May be NULL. Set
 *                    with LS_OK and LS_ERR_TIMEOUT.
 *
 * @retval LS_OK           All have theirs; each tells whether it was stored.
 * @retval LS_ERR_TIMEOUT  The time is over. What is left goes on.
 * @retval LS_ERR_STATE    A fork child or a callback of this producer called it.
 *
 * Threads: any thread. Blocks up to `timeout_ms`. Since 0.1.
 */
LS_API ls_status ls_async_producer_flush(ls_async_producer *producer, int64_t timeout_ms, size_t *left);

/**
 * Wait for the outcome of one record; other than ls_async_producer_flush it hurries nothing.
 *
 * @param ticket      As ls_async_producer_put gave it.
 * @param timeout_ms  0 does not wait, -1 has no end.
 * @param out         Set on LS_OK only; without the record. May be NULL.
 *
 * @retval LS_OK                    It has its outcome: see `out`.
 * @retval LS_ERR_INVALID_ARGUMENT  There was no such ticket.
 * @retval LS_ERR_EXPIRED           `outcomes_kept` later tickets were given out since: it is not known any more.
 * @retval LS_ERR_TIMEOUT           It has none yet.
 * @retval LS_ERR_STATE             A fork child or a callback of this producer called it, or no outcomes are kept.
 *
 * Threads: any thread. Blocks up to `timeout_ms`. Since 0.1.
 */
LS_API ls_status ls_async_producer_wait(ls_async_producer *producer, uint64_t ticket, int64_t timeout_ms,
                                        ls_async_outcome *out);

/**
 * Give up what was put before this call: records that are not being written, also those that wait for a lock of another
 * process, get the outcome LS_ERR_CANCELLED, from the producer's thread, soon after. Puts that wait for memory go on
 * when there is some.
 *
 * @retval LS_ERR_STATE  A fork child called it.
 *
 * Threads: any thread; may be called from a callback. Never blocks. Since 0.1.
 */
LS_API ls_status ls_async_producer_cancel(ls_async_producer *producer);

/**
 * Close a producer. NULL is accepted. As ls_async_producer_flush; what is left when the time is over is given up, as by
 * ls_async_producer_cancel. So every record has had its outcome when it returns.
 *
 * In a fork child it frees memory and reports nothing: the records are the parent's.
 *
 * @param timeout_ms  0 gives up at once, -1 waits for all. It may take longer by the write that is under way, and by
 *                    the callbacks.
 *
 * @retval LS_OK           Every record had its outcome in time.
 * @retval LS_ERR_TIMEOUT  Some were given up. The producer is closed nevertheless.
 * @retval LS_ERR_STATE    A callback of this producer called it. It is not closed.
 *
 * Threads: any thread, when no other call on it is under way. Blocks up to `timeout_ms`, and on disk. Since 0.1.
 */
LS_API ls_status ls_async_producer_close(ls_async_producer *producer, int64_t timeout_ms);

#ifdef __cplusplus
}
#endif
#endif
