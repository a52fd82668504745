/**
 * @file window.h
 * Windows over event time: records are gathered by a key and by a time of their own, and a result comes when no more of
 * them are expected. After Apache Flink.
 *
 * An open window operator, ls_window, is given the records of a stream's shards: by ls_window_run, which reads all of
 * them, or batch by batch (ls_window_add) from iterators of the caller's, or in a mapping's handler. What it calculates
 * it hands to a callback. Under a name it keeps in the stream what it has gathered, and goes on there after a crash.
 *
 * Times are milliseconds since the epoch, of either sign. A window is [start, end).
 *
 *     LS_WINDOW_TUMBLING    `size_ms` long, one after another
 *     LS_WINDOW_SLIDING     `size_ms` long; one begins every `step_ms`
 *     LS_WINDOW_CUMULATING  `size_ms` long, one after another, with a result of what there is of it every `step_ms`
 *     LS_WINDOW_SESSION     from a key's first record until none has come for `gap_ms`; two that are exactly so far
 *                           apart are in one
 *
 * WATERMARK. It says up to which time, this included, no more records are expected. Of a shard it is the greatest time
 * seen less `delay_ms` (that of Flink's DataStream API has one more millisecond in its delay), reckoned behind each
 * batch; of all it is the least of the shards'. A shard is left out when it is idle: its reader has found nothing more
 * for `idle_timeout_ms`; backlog is not idleness. One that has not yet given a record holds all others back until it
 * is idle. The children of a split or merge begin with the watermark of their parents. The watermark never goes back:
 * what comes later than it says is judged by itself.
 *
 * FIRING. A window's result comes when the watermark is at its end - 1 or past it. It is kept for `lateness_ms` more: a
 * record that comes meanwhile makes it fire again, with a result that takes the place of the earlier one. After that,
 * its records are *late*: they are counted, and handed to the `left_over` callback. Of sliding windows a record is late
 * only when all of its windows are gone; a session that is still kept takes a late record in that meets it. Results
 * come in the order of the times at which they are due, then of end, start and key. A window without records has none.
 *
 * WHAT HOLDS. Under a name: positions of the shards, watermarks and all open windows are stored in one step
 * (ls_window_store), after what they cover is durable. Whoever opens the name after a crash, at any instruction, has
 * exactly the records counted that lie before those positions, each once, and reads on behind them; a batch that comes
 * again is passed over as far as it is counted. Results and left over records that were handed out after the last store
 * come again: at least once. Key, start and end name a result; a sink that replaces by these three has each once. When
 * nothing was late, the repeated result is equal to the first. One handle has a name at a time: another one's store is
 * refused by the store itself.
 *
 * Stored is what has changed since the last time, and from time to time all of it. It goes with the stream.
 */
#ifndef LIBSTREAM_WINDOW_H
#define LIBSTREAM_WINDOW_H

#include <libstream/iterator.h>
#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An open window operator. */
typedef struct ls_window ls_window;

/** Which windows there are. */
typedef int32_t ls_window_kind;
#define LS_WINDOW_TUMBLING 1
#define LS_WINDOW_SLIDING 2
#define LS_WINDOW_CUMULATING 3
#define LS_WINDOW_SESSION 4

/** `ls_window_options.flags` */
#define LS_WINDOW_ONE_KEY UINT32_C(1)      /**< All records have one key, the empty one. */
#define LS_WINDOW_TIME_SECONDS UINT32_C(2) /**< Numbers in `time_field` are seconds; without it, milliseconds. */
#define LS_WINDOW_BEGIN_ANEW UINT32_C(4)   /**< Children of a split or merge begin without a watermark. */
#define LS_WINDOW_TAKE_OVER UINT32_C(8)    /**< The name is taken from a handle that lives: it cannot store. */
#define LS_WINDOW_DEAGGREGATE UINT32_C(16) /**< ls_window_run reads with LS_ITERATOR_DEAGGREGATE (iterator.h): the user
                                                records of aggregates count, each by itself. */

#define LS_WINDOW_NEVER_IDLE (-1)          /**< For `idle_timeout_ms`. */
#define LS_WINDOW_WATERMARK_NONE INT64_MIN /**< There is none yet. */
#define LS_WINDOW_KEY_BYTES_MAX 1048576u   /**< A key is as long at most. */

/* ---- callbacks: on the thread that called ls_window_add, ls_window_run, ls_window_finish or ls_window_flush, under no
 * lock. They may call everything but functions of their ls_window; ls_window_stop they may. They return: a jump or a
 * C++ exception must not leave them. Records, keys and results are views until they return. ---- */

/** The time of a record. @return 1: it is in `time_ms`; 0: it has none. */
typedef int32_t (*ls_window_time_callback)(const ls_record *record, int64_t *time_ms, void *user);

/** The key of a record: a view until the next call, of LS_WINDOW_KEY_BYTES_MAX bytes at most. @return 1: it is in
 *  `key`; 0: it is the empty one. */
typedef int32_t (*ls_window_key_callback)(const ls_record *record, ls_bytes *key, void *user);

/** The number of a record that is summed. @return 1: it is in `value`; 0: it has none. */
typedef int32_t (*ls_window_value_callback)(const ls_record *record, double *value, void *user);

/** An aggregate of the application's own: `sum_bytes` for each window, aligned for anything. They are stored as they
 *  are: without pointers, and read by programs for which they mean the same. The caller sets `size` by the INIT
 *  macro. */
typedef struct ls_window_fold {
    uint32_t size;      /**< Set by the INIT macro. */
    uint32_t sum_bytes; /**< 1..65,536 */
    void (*init)(void *sum, void *user);
    void (*add)(void *sum, const ls_record *record, void *user);
    void (*merge)(void *sum, const void *other, void *user); /**< Adds what is in `other`. Sessions only; else may be
                                                                  NULL. */
    void *user;
} ls_window_fold;
#define LS_WINDOW_FOLD_INIT {(uint32_t)sizeof(ls_window_fold), 0, NULL, NULL, NULL, NULL}

/** Which of a window's results this is. */
typedef int32_t ls_window_pane;
#define LS_WINDOW_ON_TIME 1 /**< The first. */
#define LS_WINDOW_UPDATE 2  /**< With what came since; it takes the earlier one's place. */
#define LS_WINDOW_EARLY 3   /**< Flushed before its time. */

/** A result. */
typedef struct ls_window_result {
    uint32_t size;         /**< How much of it the library knows. */
    ls_window_pane pane;
    ls_bytes key;
    int64_t start_ms;
    int64_t end_ms;        /**< The first millisecond behind it. */
    uint64_t count;        /**< Records. */
    uint64_t value_count;  /**< Those that have a number; this and the next four are 0 without `value_field` and
                                `value_of`. */
    double sum;            /**< Compensated: the order of records does not show. */
    double least;          /**< 0 when no record has a number. */
    double greatest;       /**< 0 when no record has a number. */
    double mean;           /**< 0 when no record has a number. */
    const void *fold;      /**< The `sum` of the application's aggregate; NULL without one. */
} ls_window_result;

/** What a result's callback answers. */
typedef int32_t ls_window_answer;
#define LS_WINDOW_GO_ON 0
#define LS_WINDOW_STOP 1 /**< The result was not taken: the call ends with LS_ERR_CANCELLED and the handle can only be
                              closed. Under a name nothing is stored any more: whoever opens it next gets the result
                              again. Anything else but LS_WINDOW_GO_ON is the same. */

/** Gets the results. */
typedef ls_window_answer (*ls_window_result_callback)(const ls_window_result *result, void *user);

/** Why a record is in no window. */
typedef int32_t ls_window_reason;
#define LS_WINDOW_LATE 1    /**< All of its windows are gone. */
#define LS_WINDOW_NO_TIME 2 /**< It has no time, or its data, in which a field is to be found, is not JSON. */
#define LS_WINDOW_LONG_KEY 3 /**< Its key is longer than LS_WINDOW_KEY_BYTES_MAX. */

/** Gets the records that are in no window. `time_ms` is 0 but with LS_WINDOW_LATE. */
typedef void (*ls_window_left_over_callback)(const ls_record *record, ls_window_reason reason, int64_t time_ms,
                                             void *user);

/**
 * Options of a window operator. Zero means the default everywhere.
 *
 * FIELDS name a member of the record's data, which is JSON then; points lead into objects ("bid.price"). Of equal names
 * the last one counts. A time is a number, or a text such as 2020-12-30T12:13:14.123, or with a space for the T, with
 * or without seconds, fraction, and zone (Z, +02:00); without one it is UTC. It is rounded down to milliseconds. A key
 * is a text, or a number, `true` or `false` as it is written; a record without it has the empty key. A value is a
 * number.
 */
typedef struct ls_window_options {
    uint32_t size;                          /**< Set by the INIT macro. */
    ls_window_kind kind;                    /**< No default. */
    int64_t size_ms;                        /**< But for sessions: 1..2^60. */
    int64_t step_ms;                        /**< Sliding and cumulating: 1..2^60, a window has 10,000 steps at most; of
                                                 cumulating ones it divides the size. */
    int64_t gap_ms;                         /**< Sessions: 1..2^60. */
    int64_t offset_ms;                      /**< Of windows' starts from the epoch: less than the size, of sliding ones
                                                 than the step, either way. */
    int64_t delay_ms;                       /**< So much may records be out of order: 0..2^60. */
    int64_t lateness_ms;                    /**< So much longer windows are kept: 0..2^60. */
    int64_t idle_timeout_ms;                /**< Default 1,000; LS_WINDOW_NEVER_IDLE. */
    uint64_t state_bytes_max;               /**< Of all that is gathered; default 1 GiB. */
    uint32_t flags;                         /**< LS_WINDOW_ bits. */
    uint32_t store_interval_ms;             /**< How often ls_window_run stores: 1..3,600,000, default 1,000. */
    const char *time_field;                 /**< Copied, as the next two: 1..1,024 bytes. */
    const char *key_field;
    const char *value_field;
    ls_window_time_callback time_of;        /**< Instead of `time_field`. Without either: when the record arrived. */
    ls_window_key_callback key_of;          /**< Instead of `key_field`. Without either: the partition key. */
    ls_window_value_callback value_of;      /**< Instead of `value_field`. Without either: records are counted only. */
    const ls_window_fold *fold;             /**< Copied. NULL: none. */
    ls_window_result_callback result;       /**< No default. */
    ls_window_left_over_callback left_over; /**< Default: they are counted only. */
    void *user;                             /**< Handed to the callbacks. */
} ls_window_options;
#define LS_WINDOW_OPTIONS_INIT {(uint32_t)sizeof(ls_window_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, \
                                NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL}

/**
 * Open a window operator.
 *
 * @param name     Borrowed until return. [a-zA-Z0-9_.-]{1,128}: what is stored under it, if anything, is gone on with.
 *                 NULL: nothing is stored.
 * @param options  Borrowed until return.
 * @param out      Owned by the caller, release with ls_window_close. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The name or an option.
 * @retval LS_ERR_UNSUPPORTED       A field is named, and libstream was built without JSON.
 * @retval LS_ERR_BUSY              Another handle, of a process that lives, has the name (LS_WINDOW_TAKE_OVER); or a
 *                                  stopped process held the stream's state for `busy_timeout_ms`.
 * @retval LS_ERR_STATE             What is stored under the name is of another kind, size, step, gap or offset, or its
 *                                  sums are of another size: open it with those, or delete it. Or the store was opened
 *                                  for producing.
 * @retval LS_ERR_TOO_LARGE         What is stored is more than `state_bytes_max`.
 * @retval LS_ERR_VERSION           It was stored by a later release.
 * @retval LS_ERR_READ_ONLY         There is a name, and the store was opened for reading.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT, LS_ERR_KEY
 *                                  What is stored cannot be read, or that the handle has it cannot be noted.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_window_open(ls_stream *stream, const char *name, const ls_window_options *options, ls_window **out);

/**
 * Close a window operator. Stores nothing (ls_window_store); what is stored stays, and others may open the name. NULL
 * is accepted.
 *
 * @return LS_ERR_STATE: ls_window_run has not returned: nothing was closed and `window` lives on. Else released always,
 *         and an error met in giving up the name: others then need LS_WINDOW_TAKE_OVER while this process lives.
 *
 * Threads: one at a time. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_window_close(ls_window *window);

/* ---- by itself ---- */

#define LS_WINDOW_UNTIL_CAUGHT_UP UINT32_C(1) /**< `ls_window_run_options.flags`: the run ends when all shards were read
                                                   up to their tips. For tests and batch jobs. */

/** Options of a run. Zero means the default everywhere. */
typedef struct ls_window_run_options {
    uint32_t size;               /**< Set by the INIT macro. */
    uint32_t flags;              /**< LS_WINDOW_UNTIL_CAUGHT_UP */
    const ls_position *position; /**< Where it begins when it has not yet: LS_TRIM_HORIZON (default), LS_LATEST or
                                      LS_AT_TIMESTAMP. Later it goes on where it was. Borrowed until return. */
} ls_window_run_options;
#define LS_WINDOW_RUN_OPTIONS_INIT {(uint32_t)sizeof(ls_window_run_options), 0, NULL}

/**
 * Read all shards of the stream, and hand out results, until it is stopped. Under a name, stores every
 * `store_interval_ms` when there is something, and at the end. Shards that are made later belong to it, children after
 * their parents. Records that retention took before they were read are passed over, logged and counted (`cut_count`).
 *
 * @retval LS_OK                    ls_window_stop was called, or all is caught up. Under a name all is stored.
 * @retval LS_ERR_CANCELLED         A callback answered LS_WINDOW_STOP.
 * @retval LS_ERR_LEASE_LOST        Another handle has taken the name.
 * @retval LS_ERR_INVALID_ARGUMENT  An option. Nothing was read.
 * @retval LS_ERR_STATE             It runs already, or can only be closed.
 * @retval LS_ERR_TOO_LARGE         `state_bytes_max` would be passed: no record is lost, those before are counted, and
 *                                  the next run comes to this one again. Or as ls_window_store.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 * @retval LS_ERR_NO_MEMORY, LS_ERR_IO, LS_ERR_CORRUPT, LS_ERR_KEY, LS_ERR_BUSY, LS_ERR_FULL
 *                                  Records cannot be read, or what is gathered cannot be stored. Run it again; after
 *                                  LS_ERR_IO of a store the handle can only be closed.
 *
 * Threads: one at a time for one window. Blocks until it ends. Since 0.1.
 */
LS_API ls_status ls_window_run(ls_window *window, const ls_window_run_options *options);

/**
 * Let ls_window_run end, the one that is under way or the next. NULL is accepted.
 *
 * Threads: any thread, also from a callback, at any time between open and close. Never blocks. Since 0.1.
 */
LS_API void ls_window_stop(ls_window *window);

/* ---- batch by batch ---- */

/**
 * Tell of a shard whose batches will come: it holds results back from now on. Without this call a shard counts from its
 * first batch on; children of one that ends are told of by its last batch. One that is known is LS_OK.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no such shard, or was deleted.
 *
 * Threads: one at a time for one window. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_window_add_shard(ls_window *window, uint32_t shard);

/**
 * Where to read a shard on: behind what was counted of it, or LS_TRIM_HORIZON. A shard that has ended is
 * LS_AFTER_SEQUENCE_NUMBER of its last record. Within an aggregate, of which user records were added (iterator.h), it
 * is a place for an iterator that de-aggregates: LS_AT_SEQUENCE_NUMBER with a `sub_seqno`.
 *
 * @param out  Set on LS_OK only.
 *
 * Threads: one at a time for one window. Never blocks. Since 0.1.
 */
LS_API ls_status ls_window_position(const ls_window *window, uint32_t shard, ls_position *out);

/**
 * Add the records of a batch, of one shard, and hand out what is due. Records up to the shard's position are passed
 * over: a batch may come again. Batches of a shard come in order; a record in between that is not given is not missed.
 * A batch that ends its shard (ls_batch_is_shard_end) ends it here.
 *
 * In a handler of a mapping: call ls_window_store before it answers LS_HANDLER_DONE, since the mapping does not give
 * these records again. Handlers of several shards run at once: the caller makes them take turns. A mapping that several
 * processes run gives each of them some shards only: there each shard has a window operator of its own name, opened
 * with LS_WINDOW_TAKE_OVER, and the key is the partition key; or use ls_window_run, which needs no mapping.
 *
 * @param batch  Borrowed until return.
 *
 * @retval LS_ERR_CANCELLED  A callback answered LS_WINDOW_STOP.
 * @retval LS_ERR_STATE      ls_window_run is under way, or the handle can only be closed.
 * @retval LS_ERR_TOO_LARGE  `state_bytes_max` would be passed: the records before are counted.
 * @retval LS_ERR_NO_MEMORY  The same: the batch may be added again.
 * @retval LS_ERR_NOT_FOUND, LS_ERR_IO, LS_ERR_BUSY, LS_ERR_CORRUPT  The stream's shards cannot be looked up, when a
 *                           shard comes for the first time or ends. Nothing more was counted of it than before.
 *
 * Threads: one at a time for one window. Blocks as long as callbacks, and on disk when a shard is new. Since 0.1.
 */
LS_API ls_status ls_window_add(ls_window *window, const ls_batch *batch);

/**
 * Say that a shard's reader has found nothing more, and hand out what is due. When that is said again and again for
 * `idle_timeout_ms`, with no record in between, the shard is idle.
 *
 * @retval LS_ERR_NOT_FOUND  The shard is not known.
 *
 * Otherwise as ls_window_add.
 *
 * Threads: one at a time for one window. Blocks as long as callbacks. Since 0.1.
 */
LS_API ls_status ls_window_tip(ls_window *window, uint32_t shard);

/* ---- both ---- */

/**
 * Store positions, watermarks and windows, in one step, durable when it returns, in every mode. Writes what has
 * changed. Without a name it does nothing.
 *
 * @retval LS_ERR_LEASE_LOST  Another handle has taken the name, or it was deleted. Nothing was changed; the handle can
 *                            only be closed.
 * @retval LS_ERR_STATE       The handle can only be closed.
 * @retval LS_ERR_IO          The outcome is unknown; the handle can only be closed.
 * @retval LS_ERR_TOO_LARGE   The windows of one key take more than 14 MiB. Nothing was changed.
 * @retval LS_ERR_NOT_FOUND   The stream was deleted.
 * @retval LS_ERR_BUSY, LS_ERR_FULL, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT, LS_ERR_KEY  What was stored before stands. Call
 *                            again.
 *
 * Threads: one at a time for one window. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_window_store(ls_window *window);

/**
 * Nothing comes any more: all windows fire, and whatever is added later is late.
 *
 * Errors as ls_window_add.
 *
 * Threads: one at a time for one window. Blocks as long as callbacks. Since 0.1.
 */
LS_API ls_status ls_window_finish(ls_window *window);

/**
 * Fire all windows that have not fired, LS_WINDOW_EARLY, and forget all of them: what comes later begins others.
 *
 * Errors as ls_window_add.
 *
 * Threads: one at a time for one window. Blocks as long as callbacks. Since 0.1.
 */
LS_API ls_status ls_window_flush(ls_window *window);

/** What an operator has, and has done since it was opened. The caller sets `size` by the INIT macro. */
typedef struct ls_window_info {
    uint32_t size;              /**< Set by the INIT macro. */
    uint32_t shard_count;       /**< Shards that are known and have not ended. */
    int64_t watermark_ms;       /**< LS_WINDOW_WATERMARK_NONE: there is none. */
    uint64_t window_count;      /**< Windows that are kept. */
    uint64_t state_bytes;       /**< What they take of `state_bytes_max`. */
    uint64_t added_count;       /**< Records that are in a window. */
    uint64_t late_count;
    uint64_t no_time_count;     /**< And those with a long key. */
    uint64_t between_count;     /**< Records in none, since there are gaps between sliding windows. */
    uint64_t repeated_count;    /**< Records that were counted before, and passed over. */
    uint64_t result_count;      /**< With the updates. */
    uint64_t update_count;
    uint64_t cut_count;         /**< How often ls_window_run was told that records were trimmed unread. */
    uint64_t stored_bytes;      /**< What was written by stores. */
} ls_window_info;
#define LS_WINDOW_INFO_INIT {(uint32_t)sizeof(ls_window_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/**
 * Look at it.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: one at a time for one window. Never blocks. Since 0.1.
 */
LS_API ls_status ls_window_describe(const ls_window *window, ls_window_info *out);

/**
 * Delete what is stored under a name. Durable when it returns. A handle that has it cannot store any more.
 *
 * @param name  Borrowed until return.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has nothing under that name, or was deleted. Nothing was changed.
 * @retval LS_ERR_READ_ONLY, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT, LS_ERR_KEY
 *                           The outcome is unknown for IO, else nothing was changed.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_window_delete(ls_stream *stream, const char *name);

#ifdef __cplusplus
}
#endif
#endif
