/**
 * @file consumer.h
 * Registered consumers: Kinesis's enhanced fan-out.
 *
 * A consumer is registered with a stream under a name, and is kept with it. It has a read limit of its own in each
 * shard of a provisioned stream, beside the one that all iterators share; and it *subscribes*: records are pushed to a
 * callback as they come, until it is cancelled.
 *
 * A consumer has one subscription to a shard at a time, whatever process it is in. It ends with its call, or with its
 * process, and then the next one can begin. While it runs another one is refused for its first 5 seconds, and takes
 * over after them.
 */
#ifndef LIBSTREAM_CONSUMER_H
#define LIBSTREAM_CONSUMER_H

#include <libstream/iterator.h>
#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a consumer is doing, as Kinesis names it. A consumer is ACTIVE as soon as it is registered, and gone as soon as
 *  it is deregistered, unless that was by a handle of a store opened with `transition_ms` (store.h). */
typedef int32_t ls_consumer_status;
#define LS_CONSUMER_ACTIVE 1
#define LS_CONSUMER_CREATING 2 /**< It cannot subscribe yet. */
#define LS_CONSUMER_DELETING 4 /**< It cannot subscribe any more; its name is taken. */

/** A registered consumer. The caller sets `size` by the INIT macro. */
typedef struct ls_consumer_info {
    uint32_t size;             /**< Set by the INIT macro. */
    ls_consumer_status status;
    uint64_t id;               /**< Never used again in the store: one that is registered anew has another. */
    int64_t created_us;        /**< When it was registered; its second goes into Kinesis's ARN of a consumer. */
    char name[136];            /**< Terminated. */
    uint64_t cut_count;        /**< What trimming took from its subscriptions before it was pushed: as ls_stream_cuts,*/
    uint64_t cut_records;      /**< of which these are a part. */
    uint64_t cut_bytes;
    uint64_t cut_lag_ms;
    int64_t cut_last_us;
} ls_consumer_info;
#define LS_CONSUMER_INFO_INIT {(uint32_t)sizeof(ls_consumer_info), 0, 0, 0, {0}, 0, 0, 0, 0, 0}

/**
 * Register a consumer with a stream. Durable when it returns, in every mode; after a crash it is registered or not.
 *
 * @param name  Borrowed until return. [a-zA-Z0-9_.-]{1,128}.
 * @param out   Filled as ls_consumer_describe does, on LS_OK only. May be NULL.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The name breaks its rule, or `out->size` was not set. Nothing was changed.
 * @retval LS_ERR_EXISTS            The stream has a consumer of that name. Nothing was changed.
 * @retval LS_ERR_STATE             The stream has 20 consumers, or 5 that are CREATING, or is not ACTIVE itself.
 *                                  Nothing was changed.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 * @retval LS_ERR_READ_ONLY         The store was opened for reading.
 * @retval LS_ERR_BUSY              A stopped process held the store's lock for `busy_timeout_ms`. Nothing was changed.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY  The outcome is unknown for IO, else nothing was changed.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_consumer_register(ls_stream *stream, const char *name, ls_consumer_info *out);

/**
 * Deregister a consumer. Durable when it returns. Its subscriptions, in every process, end with LS_ERR_NOT_FOUND.
 *
 * @param name  Borrowed until return.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no consumer of that name, or was deleted. Nothing was changed.
 * @retval LS_ERR_STATE      It is DELETING. Nothing was changed.
 * @retval LS_ERR_READ_ONLY, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_NO_MEMORY  As ls_consumer_register. A full disk does not
 *                           stop it: space is kept for that.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_consumer_deregister(ls_stream *stream, const char *name);

/**
 * Look at one consumer.
 *
 * @param name  Borrowed until return.
 * @param out   Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 * @retval LS_ERR_NOT_FOUND         The stream has no consumer of that name, or was deleted.
 *
 * Threads: any thread. Blocks on disk when the manifest has changed. Since 0.1.
 */
LS_API ls_status ls_consumer_describe(ls_stream *stream, const char *name, ls_consumer_info *out);

/** A page of a stream's consumers, in byte order of name. */
typedef struct ls_consumer_list ls_consumer_list;

/**
 * List a stream's consumers.
 *
 * @param after  Borrowed until return. Only names after this one; NULL or "": from the first.
 * @param limit  At most this many, 1..10000; 0: 100.
 * @param out    Owned by the caller, release with ls_consumer_list_free. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `limit` is out of its range.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 *
 * Threads: any thread. Blocks on disk when the manifest has changed. Since 0.1.
 */
LS_API ls_status ls_stream_list_consumers(ls_stream *stream, const char *after, uint32_t limit, ls_consumer_list **out);

/** How many consumers the page has. Threads: any thread. Never blocks. Since 0.1. */
LS_API uint32_t ls_consumer_list_count(const ls_consumer_list *list);

/**
 * The consumer at `position` of the page.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  Past the end, or `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_consumer_list_at(const ls_consumer_list *list, uint32_t position, ls_consumer_info *out);

/** 1 when there are more consumers after this page's last. Threads: any thread. Never blocks. Since 0.1. */
LS_API int32_t ls_consumer_list_has_more(const ls_consumer_list *list);

/** Release a page. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_consumer_list_free(ls_consumer_list *list);

/**
 * Delete a stream that has consumers, and these with it: Kinesis's EnforceConsumerDeletion. Otherwise as
 * ls_stream_delete, which refuses such a stream.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_delete_with_consumers(ls_store *store, const char *name);

/** A registered consumer, for subscribing. */
typedef struct ls_consumer ls_consumer;

/**
 * Open a registered consumer. Any number of handles, in any process, may be open at once.
 *
 * @param name  Borrowed until return.
 * @param out   Owned by the caller, release with ls_consumer_close. Set on LS_OK only.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no consumer of that name, or was deleted.
 *
 * Threads: any thread. Blocks on disk when the manifest has changed. Since 0.1.
 */
LS_API ls_status ls_consumer_open(ls_stream *stream, const char *name, ls_consumer **out);

/**
 * Close a consumer handle. The consumer stays registered. NULL is accepted.
 *
 * @retval LS_ERR_STATE  A subscription of this handle is running: nothing was closed and `consumer` lives on.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_consumer_close(ls_consumer *consumer);

/** What a callback answers. */
typedef int32_t ls_push_answer;
#define LS_PUSH_DONE 0 /**< Go on. */
#define LS_PUSH_STOP 1 /**< End the subscription: it returns LS_OK. */

/**
 * Gets the batches of a subscription, one at a time and in order, on the thread that called ls_consumer_subscribe,
 * under no lock. It may take its time: nothing is read ahead of it, and nobody but its own subscription waits for it.
 * It may call everything; closing its own handle, or what that was opened from, is refused with LS_ERR_STATE. It
 * returns: a jump or a C++ exception must not leave it.
 *
 * @param batch  A view until it returns. The first one is empty: it says that the subscription holds. Later ones are
 *               empty when `heartbeat_ms` are over.
 * @param user   As given to ls_consumer_subscribe.
 *
 * @return LS_PUSH_DONE or LS_PUSH_STOP. Anything else ends the subscription with LS_ERR_INVALID_ARGUMENT. A batch that
 *         could not be worked on is not pushed again in the same subscription: answer LS_PUSH_STOP, and subscribe again
 *         where the batch before it ended (ls_batch_place).
 */
typedef ls_push_answer (*ls_push_callback)(const ls_batch *batch, void *user);

/** `ls_subscribe_options.flags`: as LS_ITERATOR_DEAGGREGATE (iterator.h). */
#define LS_SUBSCRIBE_DEAGGREGATE UINT32_C(1)

/** Options of a subscription. Zero means the default everywhere. */
typedef struct ls_subscribe_options {
    uint32_t size;         /**< Set by the INIT macro. */
    uint32_t records_max;  /**< At most this many records in a batch; default 10,000. */
    uint64_t bytes_max;    /**< At most this many bytes of keys and data, but always one record; default 10 MiB; with
                                neither limit given 256 KiB, which stays in a processor's cache. */
    uint32_t heartbeat_ms; /**< An empty batch is pushed when none was for so long. Default 0: never. */
    uint32_t flags;        /**< LS_SUBSCRIBE_ bits. */
} ls_subscribe_options;
#define LS_SUBSCRIBE_OPTIONS_INIT {(uint32_t)sizeof(ls_subscribe_options), 0, 0, 0, 0}

/**
 * Subscribe to a shard: push its records to `callback` from a position on, until something ends it. It does not end by
 * itself after 5 minutes as Kinesis's SubscribeToShard does, and need not be renewed.
 *
 * The end of a closed shard is a property of the batch that reaches it, with the children: after that batch the
 * subscription ends with LS_OK. Children are subscribed to from TRIM_HORIZON (ls_consumer_subscribe_all does it).
 *
 * @param shard     Index of the shard.
 * @param position  Borrowed until return. NULL: TRIM_HORIZON. As ls_iterator_open takes it.
 * @param options   Borrowed until return. NULL: all defaults.
 * @param callback  See there.
 * @param user      Handed to `callback`.
 *
 * @retval LS_OK                    The callback said stop, or the shard's end was reached.
 * @retval LS_ERR_CANCELLED         ls_consumer_cancel was called.
 * @retval LS_ERR_STATE             The consumer has a subscription to the shard that began less than 5 seconds ago, or
 *                                  is still CREATING. Nothing was pushed.
 * @retval LS_ERR_LEASE_LOST        Another subscription of the consumer to the shard has taken over. Nothing is pushed
 *                                  any more but the batch that was read already.
 * @retval LS_ERR_THROTTLED         In a provisioned stream: this consumer's last subscription to the shard began less
 *                                  than a second ago. Nothing was pushed; try again after
 *                                  ls_last_error_retry_after_ms().
 * @retval LS_ERR_NOT_FOUND         No such shard; the consumer was deregistered, or the stream deleted.
 * @retval LS_ERR_INVALID_ARGUMENT  The position, an option, or what the callback answered.
 * @retval LS_ERR_TRIMMED, LS_ERR_CORRUPT, LS_ERR_KEY, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY
 *                                  As ls_iterator_next; FULL: no room in the control file for a first subscription.
 *
 * Whatever ended it, every record before the end of the last batch was pushed once, and none after it.
 *
 * In a provisioned stream each consumer gets as many bytes a second of each shard as `read_bytes_per_second` says,
 * beside those that iterators share, and reads are not counted; what is over waits. A store that was opened for reading
 * and may not write its control file counts by itself, and knows of no subscriptions but its own.
 *
 * Threads: any thread, any number at once for one handle. Blocks until it ends; waits as ls_iterator_next does, without
 * looking again and again. Since 0.1.
 */
LS_API ls_status ls_consumer_subscribe(ls_consumer *consumer, uint32_t shard, const ls_position *position,
                                       const ls_subscribe_options *options, ls_push_callback callback, void *user);

/**
 * Subscribe to all shards of the stream, children after their parents, as ls_iterator_open_all reads them: each batch
 * is of one shard. The consumer has its one subscription to each shard that is being read; one that is lost ends the
 * call. It goes on when a shard ends, and so never ends with LS_OK but when the callback says stop.
 *
 * Otherwise as ls_consumer_subscribe. Positions by number are refused: numbers belong to a shard.
 *
 * Threads: any thread, any number at once for one handle. Blocks until it ends. Since 0.1.
 */
LS_API ls_status ls_consumer_subscribe_all(ls_consumer *consumer, const ls_position *position,
                                           const ls_subscribe_options *options, ls_push_callback callback, void *user);

/**
 * Subscribe from where a batch ended: to one shard or to all as it was.
 *
 * @param place  Borrowed until return. The text of ls_batch_place or ls_iterator_place.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The text is not such a text, or of another stream.
 *
 * Otherwise as ls_consumer_subscribe.
 *
 * Threads: any thread, any number at once for one handle. Blocks until it ends. Since 0.1.
 */
LS_API ls_status ls_consumer_subscribe_place(ls_consumer *consumer, const char *place,
                                             const ls_subscribe_options *options, ls_push_callback callback,
                                             void *user);

/**
 * The place behind a batch as text, for storing and for ls_consumer_subscribe_place and ls_iterator_open_place. Also of
 * an empty batch: behind the first one of a subscription stands where it began, also from LATEST or a time.
 *
 * @param buffer  `capacity` bytes, owned by the caller; gets the terminated text. May be NULL when capacity is 0.
 * @param needed  May be NULL. The bytes needed, with the terminator.
 *
 * @retval LS_ERR_TOO_LARGE  `capacity` is too small; nothing was written to `buffer`.
 * @retval LS_ERR_STATE      The batch is a mapping's (mapping.h), which keeps its place itself.
 *
 * Threads: as the batch's iterator or callback. Never blocks. Since 0.1.
 */
LS_API ls_status ls_batch_place(const ls_batch *batch, char *buffer, size_t capacity, size_t *needed);

/**
 * End every subscription of this handle with LS_ERR_CANCELLED: those that are running, once their callback has
 * returned, and those that would begin later. It stays so until the handle is closed. NULL is accepted.
 *
 * Threads: any thread, also from a callback. Never blocks. Since 0.1.
 */
LS_API void ls_consumer_cancel(ls_consumer *consumer);

#ifdef __cplusplus
}
#endif
#endif
