/**
 * @file mapping.h
 * Mappings: batch handlers of a stream, as an event source mapping of AWS Lambda has them.
 *
 * A mapping is kept with its stream under a name: where to begin, how records become batches, which of them are
 * wanted, what happens to those that a handler cannot work on. Its settings are Lambda's, with Lambda's defaults and
 * limits. It belongs to the stream, and goes with it; mappings of one stream know nothing of each other.
 *
 * A program *runs* a mapping with a handler (ls_mapping_run). Any number of runs, in any processes, share the shards of
 * the stream among them, each shard with one of them at a time: a mapping is a group, a run is a worker of it, and its
 * shards are leases (lease.h), which ls_stream_list_leases shows under its name. A run whose process is gone is taken
 * for dead within a second, one that is stopped when it was not heard of for `failover_ms`; others go on with its
 * shards.
 *
 * WHAT HOLDS. Every record that is wanted is handled at least once, or discarded by the mapping's settings: nothing is
 * skipped. Records of a partition key are handled in their order; a shard that came from others only after these were
 * finished. Progress is durable at the latest `sync_interval_ms` after it was made, and when a shard or a window ends,
 * a shard is handed over, or the run ends: what was finished since then is handled again after a power loss. Of a
 * process that was killed the others know which batches it had finished, and go on behind them; not so with tumbling
 * windows, which go on from where their state was stored. A run that was taken for dead while it was only slow cannot
 * store progress any more, but a handler that it had begun goes on. State of a window and the place that it belongs to
 * are stored together.
 *
 * EXACTLY ONCE. What a handler of a mapping with LS_MAPPING_EXACTLY_ONCE puts to streams of the store by ls_handler_put
 * is kept until it returns. Then it is one step, as a transaction is (txn.h), with the place behind its batch and the
 * state of its window: whoever is killed when, what comes of each record is in these streams once, in every mode, and
 * readers see it once. That holds for what is put by ls_handler_put alone: the handler itself is called at least once,
 * as without it, and reports of failures are put at least once. What was put is dropped when the batch was not
 * finished: it failed, its time was over, the handler said stop, another run has the shard; of a batch whose records
 * are reported as failed from one on, what comes of this one and of later ones. A step that is refused for now
 * (LS_ERR_THROTTLED, _BUSY, _FULL, _NO_MEMORY) is tried again while the shard waits; when the run is to end meanwhile,
 * the batch comes again in the next. One that cannot be done (LS_ERR_TOO_LARGE, or a stream was deleted) has failed its
 * batch.
 *
 * ATTEMPTS. How often a batch has failed, and to which size a split has brought it, is known to whoever works on its
 * shard next: after an update, a pause, the end of a run, a program's restart, and in another run. Attempts are of its
 * first record: they begin again only when the position advances, when the mapping is moved, and when an update changes
 * its filters, lanes or LS_MAPPING_DEAGGREGATE, by which other records are in a batch. What has failed more often than
 * an update allows is given up without being tried again. What was given up is not tried again where it comes again
 * since another lane holds the position back; of a shard up to 32 such batches are known, with those that failed.
 *
 * A handler in which its process dies has failed, which splits a batch or is one attempt, as any other failure; whoever
 * has the shard next knows of it. Nobody can tell what the process died of: its death is a failure of all batches that
 * were being handled in it, in other lanes and shards, and by other runs. The pause before each of them is tried again
 * is of another length, so that most of them are not there when the one that kills comes again. With several lanes a
 * batch that comes again may be cut in another place, where it meets one that was tried; what is behind the cut begins
 * anew. It is no failure that a run is stopped, gives a shard over, or is taken for dead while it is only slow. A power
 * loss takes the failures of the last `sync_interval_ms`, and those of handlers that ran then.
 *
 * FAILURES. What is given up is told to a run's callback and to the log, and put to the mapping's `failure_stream`, if
 * it has one: the report that Lambda sends to a queue, {"requestContext": {"requestId", "functionArn" (the mapping's
 * name), "condition" ("RetryAttemptsExhausted" or "RecordAgeExceeded"), "approximateInvokeCount"}, "responseContext",
 * "version", "timestamp", "KinesisBatchInfo": {"shardId", "startSequenceNumber", "endSequenceNumber", ..., "batchSize",
 * "streamArn"}, "payload"}, with the event document of the records (ls_handler_event_json) as "payload". Its key is the
 * shard's id. A batch whose report is larger than that stream takes is reported in parts; a single record whose report
 * is, by a report without payload and the record itself, as it was, right behind it. So it is with the state of a
 * window whose last invocation was given up, when it is too large, or no JSON; its key is the shard's id. When the
 * mapping is made that stream takes records as large as the mapping's own. Where a limit was changed since, and a
 * record does not fit, its report goes alone, with "omittedBytes", the size of the data that was left out; the log is
 * told. That one, and any that does not fit by itself, is without "responseContext". The record can be read at the
 * number in the report for as long as its stream keeps it, and the shard goes on. Reports are durable before the place
 * behind them is stored: a crash repeats a report, and loses none. While they cannot be put, for whatever other reason,
 * the shard, or its lane, waits. An encrypted stream's records are encrypted there only if that stream is, too.
 *
 * AGGREGATES. With LS_MAPPING_DEAGGREGATE records that hold others (aggregate.h) are handled as these, each by itself:
 * batches, windows, filters, lanes, failures and counts are of user records, whose key is their own, and what is
 * finished is known of each. A run that was killed, stopped or failed within an aggregate goes on within it. Event
 * documents have "subSequenceNumber" and "aggregated": true, an "explicitHashKey" if there is one, and the number
 * behind a point at the end of the "eventID"; reports have "startSubSequenceNumber" and "endSubSequenceNumber". When
 * the flag is taken from a mapping that stands within an aggregate, that one comes whole.
 *
 * FAN-OUT. A mapping with a `consumer` reads as that registered consumer (consumer.h), by its limits alone: each shard
 * that is worked on is a subscription of it. While another subscription of the consumer has the shard, which it may
 * take over, the mapping waits for it; that is logged. When the consumer is deregistered, runs end with
 * LS_ERR_NOT_FOUND.
 */
#ifndef LIBSTREAM_MAPPING_H
#define LIBSTREAM_MAPPING_H

#include <libstream/iterator.h>
#include <libstream/producer.h>
#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** `ls_mapping_options.flags` */
#define LS_MAPPING_BISECT UINT32_C(1)              /**< A batch that failed is split in two.
                                                        BisectBatchOnFunctionError */
#define LS_MAPPING_REPORT_FAILURES UINT32_C(2)     /**< Handlers may say from which record on a batch failed.
                                                        ReportBatchItemFailures */
#define LS_MAPPING_DISCARD_FAILED_ONLY UINT32_C(4) /**< When retries are over, of a batch whose first record was
                                                        reported that one alone is given up. With REPORT_FAILURES
                                                        only. */
#define LS_MAPPING_DOCUMENT_BYTES UINT32_C(8)      /**< `bytes_max` counts the bytes of Lambda's event document in every
                                                        run; without it in those with LS_RUN_DOCUMENT_BYTES, else those
                                                        of keys and data. */
#define LS_MAPPING_EXACTLY_ONCE UINT32_C(16)       /**< What handlers put by ls_handler_put is one step with their
                                                        batch, as above. With one lane only. */
#define LS_MAPPING_DEAGGREGATE UINT32_C(32)        /**< Aggregated records are handled as their user records, as above.
                                                        Not Lambda's. */

#define LS_MAPPING_NO_RETRIES (-1) /**< For `retries_max`: a batch is given up when it has failed once, be it that its
                                        process was killed. */
#define LS_MAPPING_NO_TIMEOUT (-1) /**< For `handler_timeout_ms`: it may take as long as it likes. */
#define LS_MAPPING_FILTERS_MAX 10u /**< So many filters at most. */

/** Settings of a mapping. Zero means the default everywhere. Lambda's name of each is in capitals. */
typedef struct ls_mapping_options {
    uint32_t size;               /**< Set by the INIT macro. */
    uint32_t flags;              /**< LS_MAPPING_ bits. */
    uint64_t bytes_max;          /**< Of a batch, but always one record; default 6,291,456, which is also the most with
                                      DOCUMENT_BYTES. Without it up to 1 GiB. */
    uint32_t records_max;        /**< Of a batch: 1..10,000, default 100. BatchSize. On a provisioned stream, whose
                                      reads without a `consumer` are limited, a read is of up to 10,000 records, of
                                      which batches are made. */
    uint32_t batching_window_ms; /**< How long a batch is filled: 0..300,000, default 0: not waited for.
                                      MaximumBatchingWindowInSeconds */
    uint32_t lane_count;         /**< Batches of one shard worked on at once, in order per partition key: 1..10, default
                                      1. ParallelizationFactor */
    int32_t retries_max;         /**< 1..10,000 or LS_MAPPING_NO_RETRIES; default 0: no end of them.
                                      MaximumRetryAttempts, whose -1 is 0 here, and whose 0 is NO_RETRIES. What
                                      counts is said above. */
    uint32_t record_age_s_max;   /**< Older records are given up: 60..604,800; default 0: none are.
                                      MaximumRecordAgeInSeconds */
    uint32_t tumbling_window_s;  /**< Up to 900; default 0: no windows. With one lane only. TumblingWindowInSeconds */
    uint32_t window_state_bytes_max; /**< A window whose state is larger ends early: up to 6 MiB, default 1 MiB. With
                                      windows only. */
    int32_t handler_timeout_ms;  /**< After which a handler has failed: 1..900,000 or LS_MAPPING_NO_TIMEOUT; default
                                      3,000. */
    uint32_t sync_interval_ms;   /**< Progress is durable after so long at the latest: 1..60,000, default 1,000. */
    uint32_t filter_count;       /**< Of `filters`: up to LS_MAPPING_FILTERS_MAX; default 0: all records are wanted. */
    const char *const *filters;  /**< Patterns as filter.h has them; a record is wanted that matches one. Filters */
    const char *failure_stream;  /**< A stream of the same store, which gets what is given up, as below. Default NULL.
                                      OnFailure.Destination */
    const char *consumer;        /**< A registered consumer of the stream to read as. Default NULL: by the limits of
                                      the stream. */
} ls_mapping_options;
#define LS_MAPPING_OPTIONS_INIT {(uint32_t)sizeof(ls_mapping_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, \
                                 NULL}

/**
 * What a mapping is doing. Lambda's other words, Creating, Enabling, Disabling, Updating and Deleting, are for changes
 * that go on after the call that asked for them; here a change holds, durably, when its call returns, so nobody could
 * see them. Runs learn of it at once and end what they are at: which still work shows in the owners of the mapping's
 * leases (ls_stream_list_leases), and in how many handlers run (metrics.h).
 */
typedef int32_t ls_mapping_status;
#define LS_MAPPING_ENABLED 1
#define LS_MAPPING_DISABLED 2 /**< It was paused: nothing more is read, and it knows where it was. */

/** A mapping. The caller sets `size` by the INIT macro. */
typedef struct ls_mapping_info {
    uint32_t size;                   /**< Set by the INIT macro. */
    ls_mapping_status status;
    uint64_t id;                     /**< At random; one that is created anew has another. */
    int64_t created_us;
    int64_t modified_us;             /**< When it was changed last. */
    int64_t start_timestamp_us;      /**< With AT_TIMESTAMP, else 0. */
    ls_position_kind start;          /**< Where it began, or was moved to: LS_TRIM_HORIZON, LS_LATEST or
                                          LS_AT_TIMESTAMP. */
    uint32_t reserved;               /**< 0 */
    char name[136];                  /**< Terminated. */
} ls_mapping_info;
#define LS_MAPPING_INFO_INIT {(uint32_t)sizeof(ls_mapping_info), 0, 0, 0, 0, 0, 0, 0, {0}}

/**
 * Create a mapping of a stream. Durable when it returns, in every mode; after a crash it is there or not.
 *
 * LATEST and AT_TIMESTAMP are turned into numbers before it returns: what is put afterwards is not missed, whenever the
 * first handler comes. With LATEST shards that are closed are passed over; with AT_TIMESTAMP those that were closed by
 * then. Shards that are made later are always read from their beginning.
 *
 * @param name      Borrowed until return. [a-zA-Z0-9_.-]{1,128}.
 * @param position  Borrowed until return. LS_TRIM_HORIZON, LS_LATEST or LS_AT_TIMESTAMP.
 * @param options   Borrowed until return, with all that it points to. NULL: all defaults.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The name breaks its rule; the position is of another kind or in the future; a
 *                                  setting is out of its range, or does not go with another; a filter breaks a rule,
 *                                  in the words of ls_filter_open; `failure_stream` is the stream itself, or its
 *                                  records may not be as large as the stream's. Nothing was changed.
 * @retval LS_ERR_TOO_LARGE         A filter is longer than 65,536 bytes. Nothing was changed.
 * @retval LS_ERR_UNSUPPORTED       There are filters, and libstream was built without JSON. Nothing was changed.
 * @retval LS_ERR_EXISTS            The stream has a mapping or a group of that name. Nothing was changed.
 * @retval LS_ERR_STATE             It has 4,096 of them. Nothing was changed.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted, or there is no `failure_stream` or `consumer`. Nothing was
 *                                  changed.
 * @retval LS_ERR_READ_ONLY         The store was opened for reading.
 * @retval LS_ERR_BUSY              A stopped process held a lock for `busy_timeout_ms`. Nothing was changed.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_CORRUPT, LS_ERR_KEY, LS_ERR_NO_MEMORY  The outcome is unknown for IO, else
 *                                  nothing was changed.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_mapping_create(ls_stream *stream, const char *name, const ls_position *position,
                                   const ls_mapping_options *options);

/**
 * Give a mapping other settings, all of them: begin with those of ls_mapping_description_options. Durable when it
 * returns. Status and position stay as they are. Without `tumbling_window_s`, a `window_state_bytes_max` that is the
 * one that the mapping has goes with its windows.
 *
 * @param options  Borrowed until return, with all that it points to. NULL: all defaults.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no mapping of that name, or was deleted. Nothing was changed.
 * @retval LS_ERR_VERSION    It was stored by a later release. Nothing was changed.
 *
 * Otherwise as ls_mapping_create.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_mapping_update(ls_stream *stream, const char *name, const ls_mapping_options *options);

/**
 * Pause a mapping: it becomes DISABLED. Durable when it returns. One that is paused is LS_OK.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no mapping of that name, or was deleted.
 * @retval LS_ERR_VERSION    It was stored by a later release. Nothing was changed.
 * @retval LS_ERR_READ_ONLY, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_CORRUPT, LS_ERR_KEY, LS_ERR_NO_MEMORY  As
 *                           ls_mapping_create. A full disk does not stop it: space is kept for that.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_mapping_pause(ls_stream *stream, const char *name);

/**
 * Let a paused mapping go on where it was. Otherwise as ls_mapping_pause.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_mapping_resume(ls_stream *stream, const char *name);

/**
 * Move a mapping to a position, forwards or back, also while it is run: what was noted of its progress is forgotten,
 * and the shards that there are now are read from the position on, as ls_mapping_create says. Durable when it returns.
 *
 * Handlers that run meanwhile return before their shard goes on at the new position in this process, whichever run of
 * the same ls_store has it then; a run of another process may begin there before. What they finish is not noted. State
 * of windows is gone.
 *
 * @param position  Borrowed until return. LS_TRIM_HORIZON, LS_LATEST or LS_AT_TIMESTAMP.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no mapping of that name, or was deleted. Nothing was changed.
 * @retval LS_ERR_VERSION    It was stored by a later release. Nothing was changed.
 *
 * Otherwise as ls_mapping_create.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_mapping_seek(ls_stream *stream, const char *name, const ls_position *position);

/**
 * Delete a mapping, and what is known of its progress. Durable when it returns. Otherwise as ls_mapping_pause.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_mapping_delete(ls_stream *stream, const char *name);

/** A mapping with its settings, as they were. */
typedef struct ls_mapping_description ls_mapping_description;

/**
 * Look at one mapping.
 *
 * @param name  Borrowed until return.
 * @param out   Owned by the caller, release with ls_mapping_description_free. Set on LS_OK only.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no mapping of that name, or was deleted.
 * @retval LS_ERR_CORRUPT    What is stored under that name is none.
 * @retval LS_ERR_VERSION    It was stored by a later release.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_mapping_describe(ls_stream *stream, const char *name, ls_mapping_description **out);

/**
 * What it is.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_mapping_description_info(const ls_mapping_description *description, ls_mapping_info *out);

/**
 * Its settings, every default spelled out but for those whose default is none, which are 0 or NULL.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written. The texts that it points to
 *             are views until the description is released.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_mapping_description_options(const ls_mapping_description *description, ls_mapping_options *out);

/** What became of the batch that a handler had last. LastProcessingResult */
typedef int32_t ls_mapping_result;
#define LS_MAPPING_RESULT_NONE 0   /**< None had one since the mapping was created or moved: No records processed */
#define LS_MAPPING_RESULT_OK 1     /**< OK */
#define LS_MAPPING_RESULT_FAILED 2 /**< PROBLEM: Function call failed */

/**
 * What became of the last batch, as it was; of several shards the worst, and shards that were worked on to their end
 * count as long as no other had a batch. A batch of which records were reported as failed is OK, also when these are
 * given up at last: the handler did answer. It is as late as progress is (`sync_interval_ms`). NULL:
 * LS_MAPPING_RESULT_NONE.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_mapping_result ls_mapping_description_last_result(const ls_mapping_description *description);

/** Release a description. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_mapping_description_free(ls_mapping_description *description);

/* ---- running ---- */

/** An open mapping. */
typedef struct ls_mapping ls_mapping;

/**
 * Open a mapping, for running it. Any number of handles, in any process, may be open at once.
 *
 * @param name  Borrowed until return.
 * @param out   Owned by the caller, release with ls_mapping_close. Set on LS_OK only.
 *
 * Errors as ls_mapping_describe, and LS_ERR_READ_ONLY: the store was opened for reading.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_mapping_open(ls_stream *stream, const char *name, ls_mapping **out);

/**
 * Close a mapping handle. The mapping stays. NULL is accepted.
 *
 * @retval LS_ERR_STATE  A run of this handle has not returned: nothing was closed and `mapping` lives on.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_mapping_close(ls_mapping *mapping);

/** What a handler answers. */
typedef int32_t ls_handler_answer;
#define LS_HANDLER_DONE 0  /**< All records of the batch are finished, or with ls_handler_fail_at those before it. */
#define LS_HANDLER_RETRY 1 /**< The batch has failed: what comes then is for the mapping's settings to say. */
#define LS_HANDLER_STOP 2  /**< End the run. The batch is not finished: it comes again. */
#define LS_HANDLER_LATER 3 /**< It could not begin, as Lambda's throttled invocations: the batch comes again after a
                                pause that grows, and no retry is used up; its age counts. What it put, reported and
                                said of a window is forgotten. */

/** What a handler knows besides the records, and what it answers besides its answer. A view until it returns. */
typedef struct ls_handler_context ls_handler_context;

/**
 * Gets the batches of a mapping, on threads of the library named `ls-map`, under no lock: for each lane of each shard
 * one at a time, among all runs of an ls_store, also when one of them has lost the shard while a handler ran; for
 * different ones at once. It may call everything; closing its own handle or what that was opened
 * from is refused with LS_ERR_STATE. It returns: a jump or a C++ exception must not leave it. A handler that needs
 * longer than `handler_timeout_ms` has failed, whatever it answers, but it is waited for (ls_handler_is_late).
 *
 * @param batch    A view until it returns. All of one shard, in order. Empty only in a window's last invocation.
 *                 ls_batch_place refuses it, ls_batch_is_shard_end says nothing of it.
 * @param context  See there.
 * @param user     As given to ls_mapping_run.
 *
 * @return LS_HANDLER_DONE, _RETRY, _STOP or _LATER. Anything else is as LS_HANDLER_RETRY.
 */
typedef ls_handler_answer (*ls_batch_handler)(const ls_batch *batch, ls_handler_context *context, void *user);

/**
 * How often this batch has failed before, in whatever run or process: 0 at first. Taken over from a process that was
 * killed it is 16,383 at most. Threads: the handler's. Never blocks. Since 0.1.
 */
LS_API uint32_t ls_handler_attempts(const ls_handler_context *context);

/** 1 when the handler's time is over. Threads: any thread, until the handler returns. Never blocks. Since 0.1. */
LS_API int32_t ls_handler_is_late(const ls_handler_context *context);

/**
 * Say that the records from this one on are not finished, of a mapping with LS_MAPPING_REPORT_FAILURES; of another it
 * changes nothing. Counts when the handler answers LS_HANDLER_DONE. An index that the batch has not fails the batch.
 *
 * Threads: the handler's. Never blocks. Since 0.1.
 */
LS_API void ls_handler_fail_at(ls_handler_context *context, size_t index);

/**
 * Put a record with what the batch does, of a mapping with LS_MAPPING_EXACTLY_ONCE: it is put if the batch is finished
 * up to the record that it comes of, and then together with the place behind these; nobody is shown it before. Order
 * within a shard is that of the calls. A batch takes as much as a transaction (txn.h).
 *
 * @param index          Of the record in the batch that this comes of, of several the last one. Without records, in a
 *                       window's last invocation: 0.
 * @param stream         Of the same store, also the mapping's own. It is not closed before the run has ended.
 * @param partition_key  Copied. As of ls_producer_put.
 * @param data           Copied.
 * @param options        Borrowed until return. As of ls_txn_put. NULL: all defaults.
 *
 * @retval LS_ERR_STATE             The mapping is without LS_MAPPING_EXACTLY_ONCE. Nothing was added.
 * @retval LS_ERR_INVALID_ARGUMENT  `index` is past the batch. Or as of ls_txn_put. Nothing was added.
 * @retval LS_ERR_TOO_LARGE, LS_ERR_NOT_FOUND, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_NO_MEMORY
 *                                  As of ls_txn_put. Nothing was added: a handler that cannot do without it answers
 *                                  LS_HANDLER_RETRY.
 *
 * Threads: the handler's. Blocks on disk at the first record of a stream. Since 0.1.
 */
LS_API ls_status ls_handler_put(ls_handler_context *context, size_t index, ls_stream *stream, ls_bytes partition_key,
                                ls_bytes data, const ls_put_options *options);

/**
 * The tumbling window of an invocation. The caller sets `size` by the INIT macro.
 *
 * A window has one last invocation, but for one that was ended early, and for a clock that is set back: a record that
 * is put then, into a window that had its last, opens it again, with an empty state and a last invocation of its own.
 * Who sums windows up adds what comes twice.
 */
typedef struct ls_handler_window {
    uint32_t size;               /**< Set by the INIT macro. */
    int32_t is_final;            /**< 1: the window is over, and this its last invocation. */
    int32_t is_terminated_early; /**< 1: since its state has become too large; it goes on from an empty one. */
    uint32_t reserved;           /**< 0 */
    int64_t start_us;
    int64_t end_us;              /**< The first microsecond behind it. */
    ls_bytes state;              /**< What the last invocation of the window set; empty in its first. A view. */
} ls_handler_window;
#define LS_HANDLER_WINDOW_INIT {(uint32_t)sizeof(ls_handler_window), 0, 0, 0, 0, 0, {NULL, 0}}

/**
 * The window that the batch belongs to.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 * @retval LS_ERR_STATE             The mapping has no windows.
 *
 * Threads: the handler's. Never blocks. Since 0.1.
 */
LS_API ls_status ls_handler_get_window(const ls_handler_context *context, ls_handler_window *out);

/**
 * Set the state that the next invocation of the window gets. An invocation of a window that answers LS_HANDLER_DONE
 * without it has failed, but for the last one.
 *
 * @param state  Copied. May be empty.
 *
 * @retval LS_ERR_STATE      The mapping has no windows.
 * @retval LS_ERR_TOO_LARGE  More than 6 MiB.
 * @retval LS_ERR_NO_MEMORY  An allocation failed: nothing was set.
 *
 * Threads: the handler's. Never blocks. Since 0.1.
 */
LS_API ls_status ls_handler_set_state(ls_handler_context *context, ls_bytes state);

/**
 * The batch as the event document that AWS Lambda hands to functions in any language: {"Records": [{"kinesis": {
 * "partitionKey", "sequenceNumber", "data" (base64), "approximateArrivalTimestamp", ...}, "eventID", ...}]}; of a
 * window also "window", "state", "shardId", "isFinalInvokeForWindow" and "isWindowTerminatedEarly". Sequence numbers
 * are Kinesis's, of 56 digits. "eventSourceARN" is arn:aws:kinesis:us-east-1:000000000000:stream/<the stream's name>,
 * "awsRegion" us-east-1, and "invokeIdentityArn" arn:aws:iam::000000000000:role/libstream: there is no such role.
 *
 * @param out  UTF-8. A view until the handler returns. Set on LS_OK only.
 *
 * @retval LS_ERR_STATE        The state of the window, as ls_handler_set_state was given it, is no JSON object.
 * @retval LS_ERR_UNSUPPORTED  There is such a state, and libstream was built without JSON.
 * @retval LS_ERR_NO_MEMORY    An allocation failed.
 *
 * Threads: the handler's. Never blocks. Since 0.1.
 */
LS_API ls_status ls_handler_event_json(ls_handler_context *context, ls_bytes *out);

/**
 * 1 when ls_handler_answer_json has a use for a document: of an invocation with LS_MAPPING_REPORT_FAILURES, or with a
 * window. Ask it of each invocation: settings change while a mapping is run.
 *
 * Threads: the handler's. Never blocks. Since 0.1.
 */
LS_API int32_t ls_handler_takes_answer(const ls_handler_context *context);

/**
 * Take the document that such a function returned for the answer: what ls_handler_fail_at and ls_handler_set_state said
 * before is forgotten, and `*out` is what the handler is to return.
 *
 * With LS_MAPPING_REPORT_FAILURES {"batchItemFailures": [{"itemIdentifier": "<sequence number>"}]} says which records
 * failed: the batch comes again from the first of them on. "<sequence number>.<subSequenceNumber>" is that one user
 * record, and the number alone the first one of the batch that has it. Nothing at all, white space, "", [], null, {},
 * and a list that is empty, null or absent say that all is done. With windows "state", an object, is what the next
 * invocation gets; only the last of a window may be without. Anything else fails the batch: a number that is none of
 * it, what is no such document or no JSON. A mapping with neither has no use for a document (ls_handler_takes_answer):
 * whatever it is, the batch is done.
 *
 * @param document  Borrowed until return. May be empty.
 * @param out       LS_HANDLER_DONE or LS_HANDLER_RETRY. Set on LS_OK only.
 *
 * @retval LS_ERR_UNSUPPORTED  The document had to be read, and libstream was built without JSON. Nothing was changed.
 * @retval LS_ERR_NO_MEMORY    An allocation failed. Nothing was changed.
 *
 * Threads: the handler's. Never blocks. Since 0.1.
 */
LS_API ls_status ls_handler_answer_json(ls_handler_context *context, ls_bytes document, ls_handler_answer *out);

/** Why records are given up. */
typedef int32_t ls_discard_reason;
#define LS_DISCARD_RETRIES 1 /**< Retries are over: RetryAttemptsExhausted */
#define LS_DISCARD_AGE 2     /**< RecordAgeExceeded: older than `record_age_s_max`, or than the stream's retention; or
                                  failed, and gone since then, as by the stream's `retention_bytes` */

/**
 * Is told of records that are given up, as handlers are called. The place behind them is not stored before it has
 * returned.
 *
 * @param batch         A view until it returns: the records.
 * @param reason        LS_DISCARD_RETRIES or LS_DISCARD_AGE.
 * @param invoke_count  How often a handler had the batch, at least 1.
 * @param user          As given to ls_mapping_run.
 *
 * @return 0: they may go. Anything else: it is called again with them later, and the shard, or its lane, waits.
 */
typedef int32_t (*ls_discard_callback)(const ls_batch *batch, ls_discard_reason reason, uint32_t invoke_count,
                                       void *user);

#define LS_RUN_UNTIL_CAUGHT_UP UINT32_C(1) /**< `ls_mapping_run_options.flags`: the run ends when every shard that it
                                                can have was worked on up to its tip: but for those that
                                                others work on, which are seen to live. At the tip what is
                                                collected goes without waiting for more, whatever
                                                `batching_window_ms`; a tumbling window that is over, by the
                                                clock and a second more, gets its last invocation. One of a
                                                mapping that is paused waits until it is resumed, or the run
                                                stopped. For tests and batch jobs. */

#define LS_RUN_DOCUMENT_BYTES UINT32_C(2)  /**< The handler asks for the event document, which Lambda's limit of 6 MB
                                                is of: bytes of batches are those of the document, 6,291,456 of them
                                                at most, also of a mapping without LS_MAPPING_DOCUMENT_BYTES. So it is
                                                for `lstream consume -- COMMAND` without --lines, and for Python's
                                                functions that take events. */

/** Options of a run. Zero means the default everywhere. */
typedef struct ls_mapping_run_options {
    uint32_t size;               /**< Set by the INIT macro. */
    uint32_t flags;              /**< LS_RUN_ bits. */
    uint32_t failover_ms;        /**< So long after it was heard of last others take this run for dead: 100..600,000,
                                      default 10,000. */
    uint32_t shards_max;         /**< It works on so many shards at once at most; default: no limit. */
    ls_discard_callback discard; /**< Told before the `failure_stream`, if there is one. Default NULL. */
} ls_mapping_run_options;
#define LS_MAPPING_RUN_OPTIONS_INIT {(uint32_t)sizeof(ls_mapping_run_options), 0, 0, 0, NULL}

/**
 * Run a mapping: hand its batches to a handler until it is stopped. Shares the stream's shards with other runs, goes by
 * changes of the mapping's settings, and waits while it is paused. Makes a thread for each lane of each shard that it
 * works on; and one thread of the store, which stays until the store is closed, looks after all runs while they sleep.
 *
 * @param options  Borrowed until return. NULL: all defaults.
 * @param handler  See there.
 * @param user     Handed to `handler` and `options.discard`.
 *
 * @retval LS_OK                    ls_mapping_stop was called, a handler answered LS_HANDLER_STOP, or all is caught up.
 * @retval LS_ERR_NOT_FOUND         The mapping or the stream was deleted.
 * @retval LS_ERR_INVALID_ARGUMENT  An option. Nothing was run.
 * @retval LS_ERR_STATE             The handle has a run already.
 * @retval LS_ERR_VERSION           A later release has changed the mapping.
 * @retval LS_ERR_CORRUPT, LS_ERR_KEY, LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY  Records cannot be read, or progress,
 *                                  with what handlers put, cannot be stored. What is stored is true; with IO a step of
 *                                  LS_MAPPING_EXACTLY_ONCE is done or not, and the next run begins behind or before it.
 * @retval LS_ERR_BUSY              At the end a stopped process held the stream's state for `busy_timeout_ms`, and what
 *                                  was finished since it was stored last is not stored. It may be handled again.
 *
 * Whatever ended it, no handler runs any more, and all progress was stored if that was possible. Shards that cannot be
 * given back, as while a stopped process holds the stream's state, are taken by others after `failover_ms`, which is
 * logged. What retention took away before it was read is passed over, and logged.
 *
 * Threads: any thread. Blocks until it ends, and as long as handlers run. Since 0.1.
 */
LS_API ls_status ls_mapping_run(ls_mapping *mapping, const ls_mapping_run_options *options, ls_batch_handler handler,
                                void *user);

/**
 * Let the run of this handle end: no handler is called any more; ls_mapping_run returns when those that run have
 * returned. A run that begins later ends at once. NULL is accepted.
 *
 * Threads: any thread, also from a handler. Never blocks. Since 0.1.
 */
LS_API void ls_mapping_stop(ls_mapping *mapping);

/**
 * Wait until this handle has no run: after ls_mapping_stop, before ls_mapping_close.
 *
 * @param timeout_ms  0: only look; -1: no end. A handler of this run waits for itself with -1: for ever.
 *
 * @retval LS_OK                    It has none, or had none.
 * @retval LS_ERR_BUSY              It has still one: a handler has not returned, or it was not stopped.
 * @retval LS_ERR_INVALID_ARGUMENT  `timeout_ms` is below -1.
 *
 * Threads: any thread. Blocks up to `timeout_ms`. Since 0.1.
 */
LS_API ls_status ls_mapping_wait(ls_mapping *mapping, int64_t timeout_ms);

/* ---- listing ---- */

/** A page of a stream's mappings, in byte order of name. */
typedef struct ls_mapping_list ls_mapping_list;

/**
 * List a stream's mappings.
 *
 * @param after  Borrowed until return. Only names after this one; NULL or "": from the first.
 * @param limit  At most this many, 1..10000; 0: 100.
 * @param out    Owned by the caller, release with ls_mapping_list_free. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `limit` is out of its range.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 * @retval LS_ERR_CORRUPT, LS_ERR_VERSION  As ls_mapping_describe.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_list_mappings(ls_stream *stream, const char *after, uint32_t limit, ls_mapping_list **out);

/** How many mappings the page has. Threads: any thread. Never blocks. Since 0.1. */
LS_API uint32_t ls_mapping_list_count(const ls_mapping_list *list);

/**
 * The mapping at `position` of the page.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  Past the end, or `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_mapping_list_at(const ls_mapping_list *list, uint32_t position, ls_mapping_info *out);

/** 1 when there are more mappings after this page's last. Threads: any thread. Never blocks. Since 0.1. */
LS_API int32_t ls_mapping_list_has_more(const ls_mapping_list *list);

/** Release a page. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_mapping_list_free(ls_mapping_list *list);

#ifdef __cplusplus
}
#endif
#endif
