/**
 * @file delivery.h
 * Deliveries: what is put to a stream goes to files, or to wherever else, as Amazon Data Firehose delivers it.
 *
 * A delivery is kept with its stream under a name: where to begin, how records become objects, what these are called,
 * where they go. It belongs to the stream, and goes with it. Records are collected until there are enough of them or
 * the first has waited long enough, and become an object: their data one behind the other. Where that is no byte, no
 * object is made.
 *
 * A program *runs* a delivery (ls_delivery_run), on the calling thread. Any number of runs, in any processes, share the
 * shards of the stream among them, each shard with one of them at a time, as runs of mappings do (mapping.h): a run
 * whose process is gone is replaced within a second, one that stands still when it was not heard of for `failover_ms`.
 * An object has records of one shard.
 *
 * WHAT HOLDS. Every record is delivered: its data, or what the transform made of it; or it was dropped by the
 * transform; or it is in the error output. What was not delivered yet lies in the stream, so that a destination that is
 * down loses nothing before the stream's retention does, and memory is bounded (`memory_bytes_max`). Within a
 * partition, records are in the order of their shard; a shard that came from others is begun when these are delivered.
 *
 * ONCE. Which records an object has, and its name, are stored before its first byte is written. Whoever goes on after a
 * crash at any instruction makes the same object under the same name, and a directory has it once, whole: a name that
 * is there is never written over. So nothing is repeated there, where the service delivers a second object under
 * another name. A record stays in the object that was begun with it, and the object keeps its name, though settings are
 * changed before it is made again; if it is not there yet, its records are as the settings then make them. What may
 * still come twice: records of an object of data that the transform fails on when it is asked a second time, after a
 * crash before that they were delivered was stored; those of a shard whose undelivered part met retention; and what a
 * callback (LS_DELIVERY_TO_CALLBACK) was given before a crash, under the same name. Nor does a destination know an
 * object's name that has it no longer: that an object is there is stored at once, before the run does anything else but
 * begin the next one; of a crash in between, it is delivered again when its file was taken away from the directory
 * meanwhile, and lies in both when `directory` was changed before the next run. A run that ls_delivery_stop ends, or a
 * signal the tool, repeats nothing of this.
 *
 * S3. With `s3_bucket` an object is put by one request, where none of its name is: one that is there is its twin, as in
 * a directory. (A service that does not know `If-None-Match` puts it again, the same bytes; or it answers 501, which
 * ends the run.) Who runs the delivery has AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN in
 * its environment; nothing of them is kept. Requests are signed with the machine's time, and when the service says that
 * this is off, with the service's. What is not an answer of S3, or is cut off, is tried again: also a 200 that has
 * neither an ETag nor a header of AWS's. A redirect that passes (307) is followed, three times at most, to a host of
 * the bucket and not from https to http, else it is tried again, too. Before an object over 1 MiB is sent S3 is asked
 * (Expect: 100-continue), so one that is refused, there already or redirected is not sent in vain; a service that does
 * not answer that is waited for 1 s once in a run, and not asked again. What S3 refuses for good ends the run: no such
 * bucket, no access, another region. With an endpoint, or a point in the bucket's name, the bucket is in the path, else
 * in the host's name. Needs libcurl 7.84, which is loaded when a run begins.
 *
 * NAMES. `<prefix><delivery>-<version>-YYYY-MM-DD-HH-MM-SS-<uuid><extension>`, in UTC. Prefixes may hold expressions:
 * `!{timestamp:PATTERN}` (Java's letters; the arrival of the object's oldest record), `!{firehose:random-string}`,
 * `!{firehose:error-output-type}` (error prefix only), `!{partitionKeyFromQuery:KEY}`, `!{partitionKeyFromLambda:KEY}`
 * (what the transform gave). To a prefix without a timestamp `yyyy/MM/dd/HH/` is appended, as it is: no slash comes in
 * between. The version begins at 1 and rises with each ls_delivery_update.
 *
 * SPLITTING. Pieces of a record, with `split`, have its key, number and time, and part numbers from 0 as those of an
 * aggregate, but `sub_count` is UINT32_MAX until the last one. A piece without a byte is none, unless the record has no
 * other. A record that is no JSON by its brackets and quotes goes to the error output as a whole. The backup has it as
 * it was put.
 *
 * ERROR OUTPUT. What a transform failed on, or did not answer, or what cannot be given a partition, becomes a line of
 * JSON in an object under the error prefix: {"attemptsMade", "arrivalTimestamp", "errorCode", "errorMessage",
 * "attemptEndingTimestamp", "rawData"}, with the record's original data in base64.
 *
 * IN THE WAY. In a directory a name may be none that a file can have: an operator's file, a link or a directory
 * without rights stands where a directory is to be, or anything but a file where the object is to be. Waiting does not
 * help, and nothing else is held up: the object, of whatever kind and as it is, takes the name that it was to have
 * beneath the error prefix, whose error type is `directory-failed`; and where that cannot be, or is too long, the last
 * part of its name, beneath none. That is stored first (ONCE), logged with both names, and counted
 * (`libstream_delivery_moved_objects_total`). The error prefix is evaluated then, at that time.
 */
#ifndef LIBSTREAM_DELIVERY_H
#define LIBSTREAM_DELIVERY_H

#include <libstream/iterator.h>
#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** `ls_delivery_options.flags` */
#define LS_DELIVERY_TO_CALLBACK UINT32_C(1) /**< Objects go to the callback of the run. */
#define LS_DELIVERY_TRANSFORM UINT32_C(2)   /**< Records go through the transform of the run. */
#define LS_DELIVERY_PARTITION UINT32_C(4)   /**< Records whose partition keys differ go to different objects. Both
                                                 prefixes are given, and the first has a key. Dynamic partitioning */
#define LS_DELIVERY_BACKUP UINT32_C(8)      /**< All records, as they were put, go to `backup_prefix`, too, with nothing
                                                 between them. It cannot be turned off. S3BackupMode */

/** What becomes of an object's bytes. */
typedef int32_t ls_delivery_compression;
#define LS_DELIVERY_UNCOMPRESSED 0
#define LS_DELIVERY_GZIP 1 /**< One member; `.gz` */
#define LS_DELIVERY_ZSTD 2 /**< One frame; `.zst`. Not the service's. */

#define LS_DELIVERY_AT_ONCE (-1)    /**< For `interval_ms`: what there is is not waited for. */
#define LS_DELIVERY_NO_RETRIES (-1) /**< For `transform_retries_max`. */

/** Settings of a delivery. Zero means the default everywhere. The service's name of each stands behind it. */
typedef struct ls_delivery_options {
    uint32_t size;                 /**< Set by the INIT macro. */
    uint32_t flags;                /**< LS_DELIVERY_ bits. */
    uint64_t buffer_bytes;         /**< Of an object, before it is compressed: 1 byte..1 GiB, default 5 MiB; but always
                                        one record. SizeInMBs, of 1,048,576 bytes. With PARTITION it is the same, where
                                        the service wants 64 MiB at least: each partition may take so much memory */
    int32_t interval_ms;           /**< How long an object's first record waits at most, from its arrival on, whoever
                                        runs the delivery; of a run that lies behind, from when it was read, till that
                                        has caught up: 1..900,000 or LS_DELIVERY_AT_ONCE; default 300,000.
                                        IntervalInSeconds */
    ls_delivery_compression compression; /**< CompressionFormat */
    int32_t transform_retries_max; /**< Calls of the transform after one that failed: 1..300 or LS_DELIVERY_NO_RETRIES;
                                        default 3. NumberOfRetries */
    uint32_t transform_bytes_max;  /**< Of records in one call of the transform, but always one: up to 6 MiB, default
                                        1 MiB. BufferSizeInMBs. A call has what is there, and does not wait for more:
                                        BufferIntervalInSeconds 0 */
    uint32_t transform_records_max; /**< The same in records: 1..10,000, default 500. */
    uint32_t partitions_max;       /**< Partitions of a shard that are being filled: 1..5,000, default 500. With
                                        PARTITION only. */
    uint32_t partition_key_count;  /**< Of `partition_keys` and `partition_queries`: up to 50. */
    uint32_t reserved;             /**< 0 */
    const char *prefix;            /**< Default NULL: none. Prefix */
    const char *error_prefix;      /**< Default NULL: the prefix and `processing-failed/`. ErrorOutputPrefix */
    const char *backup_prefix;     /**< With BACKUP only. Default NULL: none. */
    const char *extension;         /**< Default NULL: that of the compression. FileExtension */
    const char *delimiter;         /**< Put behind each record's data, up to 256 bytes. Default NULL: nothing.
                                        AppendDelimiterToRecord is "\n" */
    const char *const *partition_keys;    /**< Names. With PARTITION only. MetadataExtractionQuery has both. */
    const char *const *partition_queries; /**< How the key of that name is found in the data, JSON: `.a.b[0]`, behind
                                               that `| strftime("%Y")` of seconds since the epoch, or `| tostring`. */
    const char *directory;         /**< Where objects become files: made when it is not there, beneath a directory that
                                        is. Its path is as the running process understands it. */
    const char *s3_bucket;         /**< Where objects go instead: 3..255 of 0-9 a-z A-Z . - _. BucketARN */
    const char *s3_endpoint;       /**< With a bucket only: `https://` or `http://`, a host, perhaps a port. Default:
                                        AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL of the running process, else AWS's. */
    const char *s3_region;         /**< With a bucket only. Default NULL: AWS_REGION or AWS_DEFAULT_REGION, else
                                        us-east-1. */
    const char *split;             /**< Records hold several, up to 256 bytes between them, and each of these is one for
                                        the transform, the partitions and the objects; "": JSON values, one behind the
                                        other. It cannot be changed. Default NULL: they do not. RecordDeAggregation */
    uint64_t backup_buffer_bytes;  /**< With BACKUP only. As buffer_bytes, of objects of the backup; default 0: that. */
    int32_t backup_interval_ms;    /**< The same of interval_ms. BufferingHints of S3BackupConfiguration */
    uint32_t reserved_2;           /**< 0 */
} ls_delivery_options;
#define LS_DELIVERY_OPTIONS_INIT {(uint32_t)sizeof(ls_delivery_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, \
                                  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0}

/** A delivery. The caller sets `size` by the INIT macro. */
typedef struct ls_delivery_info {
    uint32_t size;              /**< Set by the INIT macro. */
    uint32_t version;           /**< From 1; each ls_delivery_update adds 1. */
    uint64_t id;                /**< At random; one that is created anew has another. */
    int64_t created_us;
    int64_t modified_us;        /**< When it was changed last. */
    int64_t start_timestamp_us; /**< With AT_TIMESTAMP, else 0. */
    ls_position_kind start;     /**< Where it began: LS_TRIM_HORIZON, LS_LATEST or LS_AT_TIMESTAMP. */
    uint32_t reserved;          /**< 0 */
    char name[136];             /**< Terminated. */
} ls_delivery_info;
#define LS_DELIVERY_INFO_INIT {(uint32_t)sizeof(ls_delivery_info), 0, 0, 0, 0, 0, 0, 0, {0}}

/**
 * Create a delivery of a stream. Durable when it returns, in every mode; after a crash it is there or not.
 *
 * LATEST and AT_TIMESTAMP are turned into numbers before it returns, as ls_mapping_create says. (The service begins at
 * LATEST by default; here it is said, so that nothing is lost by a default.)
 *
 * @param name      Borrowed until return. [a-zA-Z0-9_.-]{1,128}.
 * @param position  Borrowed until return. LS_TRIM_HORIZON, LS_LATEST or LS_AT_TIMESTAMP.
 * @param options   Borrowed until return, with all that it points to.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The name breaks its rule; the position is of another kind or in the future; a
 *                                  setting is out of its range, or does not go with another; a prefix or a query breaks
 *                                  a rule, which is named with its expression; there is not one destination. Nothing
 *                                  was changed.
 * @retval LS_ERR_UNSUPPORTED       This build has not what a setting needs: JSON for queries, gzip. Nothing was
 *                                  changed.
 * @retval LS_ERR_EXISTS            The stream has a delivery, a mapping or a group of that name. Nothing was changed.
 * @retval LS_ERR_STATE             It has 4,096 of them. Nothing was changed.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted. Nothing was changed.
 * @retval LS_ERR_READ_ONLY         The store was opened for reading.
 * @retval LS_ERR_BUSY              A stopped process held a lock for `busy_timeout_ms`. Nothing was changed.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_CORRUPT, LS_ERR_KEY, LS_ERR_NO_MEMORY  The outcome is unknown for IO, else
 *                                  nothing was changed.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_delivery_create(ls_stream *stream, const char *name, const ls_position *position,
                                    const ls_delivery_options *options);

/**
 * Give a delivery other settings, all of them: begin with those of ls_delivery_description_options. Durable when it
 * returns; runs go by them from their next object on. Its version rises. An object that was begun, and whose run died
 * or could not deliver it, goes where the settings say then.
 *
 * @param version  The one that is to be changed, LS_DELIVERY_ANY_VERSION: whatever there is.
 *                 CurrentDeliveryStreamVersionId
 * @param options  Borrowed until return, with all that it points to.
 *
 * @retval LS_ERR_STATE      The delivery has another version, or a setting cannot be taken back (BACKUP). Nothing was
 *                           changed.
 * @retval LS_ERR_NOT_FOUND  The stream has no delivery of that name, or was deleted. Nothing was changed.
 *
 * Otherwise as ls_delivery_create.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_delivery_update(ls_stream *stream, const char *name, uint32_t version,
                                    const ls_delivery_options *options);
#define LS_DELIVERY_ANY_VERSION UINT32_C(0)

/**
 * Delete a delivery, and what is known of its progress. Durable when it returns. What it has delivered stays. Runs end
 * with LS_ERR_NOT_FOUND.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no delivery of that name, or was deleted.
 * @retval LS_ERR_READ_ONLY, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_CORRUPT, LS_ERR_KEY, LS_ERR_NO_MEMORY  As
 *                           ls_delivery_create. A full disk does not stop it: space is kept for that.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_delivery_delete(ls_stream *stream, const char *name);

/** A delivery with its settings, as they were. */
typedef struct ls_delivery_description ls_delivery_description;

/**
 * Look at one delivery.
 *
 * @param name  Borrowed until return.
 * @param out   Owned by the caller, release with ls_delivery_description_free. Set on LS_OK only.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no delivery of that name, or was deleted.
 * @retval LS_ERR_CORRUPT    What is stored under that name is none.
 * @retval LS_ERR_VERSION    It was stored by a later release.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_delivery_describe(ls_stream *stream, const char *name, ls_delivery_description **out);

/**
 * What it is.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_delivery_description_info(const ls_delivery_description *description, ls_delivery_info *out);

/**
 * Its settings, with the defaults that were chosen.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written. What it points to is a view,
 *             valid until ls_delivery_description_free.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_delivery_description_options(const ls_delivery_description *description, ls_delivery_options *out);

/** Release a description. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_delivery_description_free(ls_delivery_description *description);

/* ---- transforms ---- */

/** What a transform is asked about: some records of a shard, in their order. */
typedef struct ls_transform ls_transform;

/** What a transform answers. */
typedef int32_t ls_transform_answer;
#define LS_TRANSFORM_DONE 0  /**< What it said of each record holds. Of which it said nothing, that one has failed. */
#define LS_TRANSFORM_RETRY 1 /**< It has failed, what it said is forgotten: it is asked again, `transform_retries_max`
                                  times; then all these records have failed. Any other answer is the same, and so
                                  is one that comes after `transform_timeout_ms`, but for STOP. */
#define LS_TRANSFORM_STOP 2  /**< The run ends, with LS_OK. What it said is forgotten, the records come again. */

/**
 * Says what becomes of records: keep, replace, drop or fail, for each of them once, in any order.
 *
 * Called on the thread of ls_delivery_run, without a lock. It may call whatever it likes, but not close the delivery or
 * its stream. `batch` and all that it shows live until it returns.
 */
typedef ls_transform_answer (*ls_transform_callback)(ls_transform *batch, void *user);

/** How many records there are. Threads: the transform's. Never blocks. Since 0.1. */
LS_API size_t ls_transform_count(const ls_transform *batch);

/** The record at `index`, NULL past the end; a view. Threads: the transform's. Never blocks. Since 0.1. */
LS_API const ls_record *ls_transform_at(const ls_transform *batch, size_t index);

/** How often these records were tried before: 0 the first time. Threads: the transform's. Never blocks. Since 0.1. */
LS_API uint32_t ls_transform_attempts(const ls_transform *batch);

/** 1 when the transform's time is over. Threads: any thread, until the transform returns. Never blocks. Since 0.1. */
LS_API int32_t ls_transform_is_late(const ls_transform *batch);

/**
 * The record is delivered as it is. `Ok` with the same data
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `index` is past the end.
 * @retval LS_ERR_STATE             It was said already what becomes of it; that holds.
 *
 * Threads: the transform's. Never blocks. Since 0.1.
 */
LS_API ls_status ls_transform_keep(ls_transform *batch, size_t index);

/**
 * Something else is delivered in the place of the record. `Ok`
 *
 * @param data  Copied. May be empty, may hold several lines: one record for many.
 *
 * @retval LS_ERR_NO_MEMORY  Nothing was said of it.
 *
 * Otherwise as ls_transform_keep.
 *
 * Threads: the transform's. Never blocks. Since 0.1.
 */
LS_API ls_status ls_transform_replace(ls_transform *batch, size_t index, ls_bytes data);

/** Nothing is delivered for the record. `Dropped`. Otherwise as ls_transform_keep. Threads: the transform's. Never
 *  blocks. Since 0.1. */
LS_API ls_status ls_transform_drop(ls_transform *batch, size_t index);

/**
 * The record goes to the error output, as it was put. `ProcessingFailed`
 *
 * @param reason  Copied; becomes the "errorMessage". NULL: a text that says no more than that it failed.
 *
 * Otherwise as ls_transform_replace.
 *
 * Threads: the transform's. Never blocks. Since 0.1.
 */
LS_API ls_status ls_transform_fail(ls_transform *batch, size_t index, const char *reason);

/**
 * Give the record a partition key, for `!{partitionKeyFromLambda:KEY}`. `metadata.partitionKeys`
 *
 * @param key    Copied. One that was given replaces the earlier one.
 * @param value  Copied.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `index` is past the end, `key` is empty, or it has 50 of them.
 * @retval LS_ERR_NO_MEMORY         It was not given.
 *
 * Threads: the transform's. Never blocks. Since 0.1.
 */
LS_API ls_status ls_transform_set_key(ls_transform *batch, size_t index, const char *key, ls_bytes value);

/**
 * The batch as the document that the service hands to transform functions in any language: {"invocationId", "records":
 * [{"recordId", "approximateArrivalTimestamp" (milliseconds), "data" (base64), "kinesisRecordMetadata": {
 * "sequenceNumber", "subsequenceNumber", "partitionKey", "shardId", "approximateArrivalTimestamp"}}]}. Sequence numbers
 * are Kinesis's, of 56 digits; names that only AWS has (ARNs, a region) are left out. The service hands over 6 MiB at
 * most; this one is longer than the records by a third and some 500 bytes each, and stays below that by default, but
 * for a single record of more than 4 MiB.
 *
 * @param out  UTF-8. A view until the transform returns. Set on LS_OK only.
 *
 * @retval LS_ERR_NO_MEMORY  An allocation failed.
 * @retval LS_ERR_CORRUPT, LS_ERR_IO, LS_ERR_NOT_FOUND  The stream cannot be looked at, or was deleted.
 *
 * Threads: the transform's. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_transform_event_json(ls_transform *batch, ls_bytes *out);

/**
 * Take the document that such a function returned for the answer: what was said of records before is forgotten, and
 * `*out` is what the transform is to return.
 *
 * {"records": [{"recordId", "result": "Ok" | "Dropped" | "ProcessingFailed", "data" (base64), "metadata":
 * {"partitionKeys": {...}}}]} has each recordId of the batch exactly once, in any order. "Ok" needs data, which may be
 * empty; of the others it is not looked at. A document that breaks a rule fails all records of the batch, and they
 * are not tried again: their "errorCode" is Lambda.MissingRecordId, Lambda.DuplicatedRecordId, or else
 * Lambda.JsonProcessingException; Lambda.FunctionError if it has more than 6 MiB. "errorMessage" says which rule.
 *
 * @param document  Borrowed until return. May be empty.
 * @param out       LS_TRANSFORM_DONE. Set on LS_OK only.
 *
 * @retval LS_ERR_UNSUPPORTED  libstream was built without JSON. Nothing was changed.
 * @retval LS_ERR_NO_MEMORY    An allocation failed. Nothing is said of any record.
 * @retval LS_ERR_CORRUPT, LS_ERR_IO, LS_ERR_NOT_FOUND  As ls_transform_event_json. Nothing was changed.
 *
 * Threads: the transform's. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_transform_answer_json(ls_transform *batch, ls_bytes document, ls_transform_answer *out);

/* ---- running ---- */

/** What an object is of. */
typedef int32_t ls_delivery_kind;
#define LS_DELIVERY_DATA 1
#define LS_DELIVERY_ERRORS 2        /**< of the error output */
#define LS_DELIVERY_SOURCE_BACKUP 3 /**< of LS_DELIVERY_BACKUP */

/** An object. */
typedef struct ls_delivery_object {
    uint32_t size;           /**< of the struct, as the library has it */
    ls_delivery_kind kind;
    const char *name;
    ls_bytes content;        /**< compressed, if that is asked for */
    uint64_t record_count;
    ls_seqno first_seqno;    /**< of the first record in it */
    ls_seqno last_seqno;
    uint32_t shard;
    uint32_t reserved;       /**< 0 */
} ls_delivery_object;

/**
 * Takes an object, with LS_DELIVERY_TO_CALLBACK. One whose name it knows is the same that it was given before, when
 * that was not noted.
 *
 * Called on the thread of ls_delivery_run, without a lock. It may call whatever it likes, but not close the delivery or
 * its stream. `object` and all that it shows live until it returns.
 *
 * @return LS_OK: it is delivered, and will not be lost. Any other: it is given again, later.
 */
typedef ls_status (*ls_delivery_callback)(const ls_delivery_object *object, void *user);

/** `ls_delivery_run_options.flags` */
#define LS_DELIVERY_UNTIL_CAUGHT_UP UINT32_C(1) /**< Once all that is there is read, it is delivered without waiting for
                                                     more, and the run ends. */

/** How a run works. Zero means the default everywhere. */
typedef struct ls_delivery_run_options {
    uint32_t size;              /**< Set by the INIT macro. */
    uint32_t flags;             /**< LS_DELIVERY_UNTIL_CAUGHT_UP */
    uint32_t failover_ms;       /**< A run that was not heard of for so long is taken for dead: 100..600,000, default
                                     10,000. The same for all runs of a delivery. */
    uint32_t shards_max;        /**< So many at once at most; default 0: any number. */
    uint64_t memory_bytes_max;  /**< Of records that are collected: when there are more, the largest object is delivered
                                     early. From 1 MiB, default 256 MiB; one object may be larger. */
    uint32_t give_up_ms;        /**< When the destination has failed for so long, the run ends with its error.
                                     Default 0: it is tried again until the run is stopped. A transfer to S3 whose
                                     bytes move is waited for; one that stands still for 5 s, or for this if it is
                                     less, is ended within about a second, as by ls_delivery_stop. */
    uint32_t transform_timeout_ms; /**< A transform that needs longer has failed, whatever it answers, but it is waited
                                        for (ls_transform_is_late). Default 300,000, the service's 5 minutes. */
    ls_transform_callback transform; /**< With LS_DELIVERY_TRANSFORM, and only then. */
    void *transform_user;
    ls_delivery_callback deliver;    /**< With LS_DELIVERY_TO_CALLBACK, and only then. */
    void *deliver_user;
} ls_delivery_run_options;
#define LS_DELIVERY_RUN_OPTIONS_INIT {(uint32_t)sizeof(ls_delivery_run_options), 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, \
                                      NULL}

/** A delivery that can be run. One run at a time. */
typedef struct ls_delivery ls_delivery;

/**
 * Open a delivery for running it. Keeps its stream open.
 *
 * @param name  Borrowed until return.
 * @param out   Owned by the caller, release with ls_delivery_close. Set on LS_OK only.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no delivery of that name, or was deleted.
 * @retval LS_ERR_READ_ONLY  The store was opened for reading.
 * @retval LS_ERR_CORRUPT, LS_ERR_VERSION, LS_ERR_NO_MEMORY  As ls_delivery_describe.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_delivery_open(ls_stream *stream, const char *name, ls_delivery **out);

/**
 * Close it. NULL is accepted.
 *
 * @retval LS_ERR_STATE  A run has not returned. Nothing was released.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_delivery_close(ls_delivery *delivery);

/**
 * Run a delivery until it is stopped: read, transform, collect, deliver, on this thread. Shares the stream's shards
 * with other runs, and goes by changes of the settings. The shards of a run take turns: while its transform or its
 * destination takes its time, all of them wait. Runs on several threads, each with a handle of its own, share them, so
 * that as many wait for nothing as there are runs. One thread of the store, which stays until the store is closed,
 * tells others that this run lives while it waits for its destination or its transform.
 *
 * @param options  Borrowed until return. NULL: all defaults.
 *
 * @retval LS_OK                    ls_delivery_stop was called, the transform answered LS_TRANSFORM_STOP, or all is
 *                                  caught up.
 * @retval LS_ERR_NOT_FOUND         The delivery or the stream was deleted.
 * @retval LS_ERR_INVALID_ARGUMENT  An option; or a callback is missing, or not wanted. Nothing was run.
 * @retval LS_ERR_STATE             The handle has a run already.
 * @retval LS_ERR_VERSION           A later release has changed the delivery.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_READ_ONLY, LS_ERR_UNSUPPORTED  The destination refuses objects, and neither
 *                                  waiting nor another name helps, or `give_up_ms` is over; this build has not what a
 *                                  setting needs; or:
 * @retval LS_ERR_CORRUPT, LS_ERR_KEY, LS_ERR_NO_MEMORY  Records cannot be read, or progress cannot be stored.
 * @retval LS_ERR_BUSY              At the end a stopped process held the stream's state for `busy_timeout_ms`, and what
 *                                  was done since it was stored last is not stored.
 *
 * Whatever ended it: what was delivered stays delivered, the rest comes in the next run. Shards that cannot be given
 * back, as while a stopped process holds the stream's state, are taken by others after `failover_ms`, which is logged.
 * What retention took away before it was read is passed over, and logged. That an object waits for the destination is
 * logged when its first put has failed, with the reason, and when it is delivered: LS_LOG_WARNING, once each.
 *
 * Threads: any thread. Blocks until it ends. Since 0.1.
 */
LS_API ls_status ls_delivery_run(ls_delivery *delivery, const ls_delivery_run_options *options);

/**
 * Let the run of this handle end, as soon as a callback, or the object that is being delivered, allows. What is
 * collected and not delivered comes in the next run. A run that begins later ends at once. NULL is accepted.
 *
 * Threads: any thread, also from a callback. Never blocks. Since 0.1.
 */
LS_API void ls_delivery_stop(ls_delivery *delivery);

/**
 * Wait until this handle has no run: after ls_delivery_stop, before ls_delivery_close.
 *
 * @param timeout_ms  0: only look; -1: no end. A callback of this run waits for itself with -1: for ever.
 *
 * @retval LS_OK                    It has none, or had none.
 * @retval LS_ERR_BUSY              It has still one.
 * @retval LS_ERR_INVALID_ARGUMENT  `timeout_ms` is below -1.
 *
 * Threads: any thread. Blocks up to `timeout_ms`. Since 0.1.
 */
LS_API ls_status ls_delivery_wait(ls_delivery *delivery, int64_t timeout_ms);

/* ---- listing ---- */

/** A page of a stream's deliveries, in byte order of name. */
typedef struct ls_delivery_list ls_delivery_list;

/**
 * List a stream's deliveries.
 *
 * @param after  Borrowed until return. Only names after this one; NULL or "": from the first.
 * @param limit  At most this many, 1..10000; 0: 100.
 * @param out    Owned by the caller, release with ls_delivery_list_free. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `limit` is out of its range.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 * @retval LS_ERR_CORRUPT, LS_ERR_VERSION  As ls_delivery_describe.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_list_deliveries(ls_stream *stream, const char *after, uint32_t limit,
                                           ls_delivery_list **out);

/** How many deliveries the page has. Threads: any thread. Never blocks. Since 0.1. */
LS_API uint32_t ls_delivery_list_count(const ls_delivery_list *list);

/**
 * The delivery at `position` of the page.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  Past the end, or `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_delivery_list_at(const ls_delivery_list *list, uint32_t position, ls_delivery_info *out);

/** 1 when there are more deliveries after this page's last. Threads: any thread. Never blocks. Since 0.1. */
LS_API int32_t ls_delivery_list_has_more(const ls_delivery_list *list);

/** Release a page. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_delivery_list_free(ls_delivery_list *list);

#ifdef __cplusplus
}
#endif
#endif
