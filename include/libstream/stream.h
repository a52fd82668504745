/**
 * @file stream.h
 * Create, delete, open, describe, set and reshard streams; list their shards.
 *
 * A stream is a set of shards, each owning a range of the 128-bit hash-key space; the open shards cover it without gap
 * or overlap. Names match [a-zA-Z0-9_.-]{1,128}. A deleted name may be used again and never shows the old records.
 *
 * RETENTION. A record cannot be read once it is older than the stream's retention, to the record: iterators pass it
 * over or say LS_ERR_TRIMMED (iterator.h). Its space becomes free when the whole segment is that old, a minute later;
 * trimming waits for no reader and no put, and stops none. With a cap in bytes the oldest segments of all shards go
 * besides, however young, until the stream's segments take no more than the cap and one segment for each shard. What
 * that takes from readers who have not read it is counted: ls_stream_description_cuts. Age is
 * counted from the record's arrival by the wall clock; when that jumps ahead, as if the machine had slept or somebody
 * set it, time goes on as before until the jump has lasted for a minute or two: a jump ahead and back hides and deletes
 * nothing. What was put while the clock stood before 2020, which is surely wrong, counts as arrived when it was right
 * again: at the first put into the shard then, or the first upkeep of it when nobody puts. Where stamps are more than
 * an hour ahead of the clock, since that was in 2099 once, they go on from there, and age is counted by the clock all
 * the same: what was put in 2099 counts as arrived when the clock was first seen to be back, what is put later when it
 * is. Of a clock that stood past 2020 nobody can tell that it was late: what was put by it is as old as it said. A
 * shard that rests keeps no more than kilobytes: what is old of it goes too. A shard that was closed, by a split or a
 * merge, for longer than the retention leaves the stream: it is no longer listed or described, and with the upkeep that
 * comes by a minute later its files are removed, and it is LS_ERR_NOT_FOUND to who names it. Its children stay, with a
 * parent that is not listed.
 */
#ifndef LIBSTREAM_STREAM_H
#define LIBSTREAM_STREAM_H

#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Capacity mode, as Kinesis names it. ON_DEMAND throttles nothing. */
typedef int32_t ls_stream_mode;
#define LS_STREAM_ON_DEMAND 0
/** Each shard takes and gives so much in a second as Kinesis lets it, all processes together: 1 MiB and 1,000 records
 *  in, 2 MiB and 5 reads out, or what the stream's options say. What is over is LS_ERR_THROTTLED. A record larger than
 *  a second's worth draws on ten seconds' worth kept for such; after an answer of more than a second's worth no read is
 *  let through until the average fits. A store that was opened for reading and may not write its control file counts by
 *  itself. */
#define LS_STREAM_PROVISIONED 1

/** What a stream is doing, as Kinesis names it. Streams are ACTIVE as soon as they exist, and gone as soon as they are
 *  deleted, unless that was by a handle of a store opened with `stream_transition_ms` (store.h). Every change of a
 *  stream that is not ACTIVE is LS_ERR_STATE, but that it can be deleted, and its consumers be deregistered. In every
 *  state it is listed and can be opened and described. */
typedef int32_t ls_stream_status;
#define LS_STREAM_ACTIVE 1
#define LS_STREAM_CREATING 2 /**< Shows no shards; puts and iterators find no stream (LS_ERR_NOT_FOUND). */
#define LS_STREAM_UPDATING 3 /**< Takes puts and reads; what was changed is as it was changed already. */
#define LS_STREAM_DELETING 4 /**< Shows no shards; puts and iterators find no stream, those that are open too; its name
                                  is taken. It cannot be deleted again. */

/** What frames of records are compressed with, where that makes them smaller: batches of 4 KiB and more. */
typedef int32_t ls_compression;
#define LS_COMPRESSION_NONE 0
#define LS_COMPRESSION_ZSTD 1

/** Options of ls_stream_create. Zero means the default everywhere. */
typedef struct ls_stream_options {
    uint32_t size;             /**< Set by the INIT macro. */
    uint32_t shard_count;      /**< 1..65536, default 1. */
    uint32_t retention_hours;  /**< 1..8760, default 24. */
    ls_stream_mode mode;       /**< Default ON_DEMAND. */
    uint32_t record_bytes_max; /**< Data and key of one record: 1 KiB..10 MiB, default 1 MiB. */
    ls_compression compression; /**< Default NONE. */
    uint32_t write_bytes_per_second;   /**< PROVISIONED, each shard: keys and data in; from 1 KiB, default 1 MiB. */
    uint32_t write_records_per_second; /**< Records in; default 1,000. */
    uint32_t read_bytes_per_second;    /**< Keys and data out, to all readers; from 1 KiB, default 2 MiB. */
    uint32_t read_calls_per_second;    /**< Reads, of all readers; default 5. */
    uint64_t retention_bytes;          /**< Cap of the stream's segments in bytes; default: none. */
    const ls_tag *tags;                /**< Borrowed until return: `tag_count` of them, see ls_stream_add_tags. */
    uint32_t tag_count;
    uint32_t reserved;                 /**< 0 */
} ls_stream_options;
#define LS_STREAM_OPTIONS_INIT {(uint32_t)sizeof(ls_stream_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0}

/**
 * Create a stream. Atomic: after a crash it is there whole or not at all; durable when it returns, in every mode.
 *
 * @param name     Borrowed until return.
 * @param options  Borrowed until return. NULL: all defaults.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The name, an option or a tag breaks its rule. Nothing was changed.
 * @retval LS_ERR_EXISTS            The name is taken. Nothing was changed.
 * @retval LS_ERR_STATE             `streams_max` or `shards_max` of the store's options, or the store has 5 streams
 *                                  that are CREATING. Nothing was changed.
 * @retval LS_ERR_READ_ONLY         The store was opened for reading.
 * @retval LS_ERR_BUSY              A stopped process held the store's lock for `busy_timeout_ms`. Nothing was changed.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY  The outcome is unknown for IO, else nothing was changed.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_create(ls_store *store, const char *name, const ls_stream_options *options);

/**
 * Delete a stream with its records. Atomic and durable when it returns. Handles on it, in every process, answer
 * LS_ERR_NOT_FOUND from then on, waiting readers included.
 *
 * @retval LS_ERR_NOT_FOUND  No stream of that name. Nothing was changed.
 * @retval LS_ERR_STATE      It has registered consumers: see ls_stream_delete_with_consumers (consumer.h); or it is
 *                           DELETING. Nothing was changed.
 * @retval LS_ERR_READ_ONLY, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY  As ls_stream_create.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_delete(ls_store *store, const char *name);

/**
 * Open a stream for producers and iterators.
 *
 * @param name  Borrowed until return.
 * @param out   Owned by the caller, release with ls_stream_close. Set on LS_OK only.
 *
 * @retval LS_ERR_NOT_FOUND  No stream of that name.
 * @retval LS_ERR_BUSY       A stopped process held the store's lock for `busy_timeout_ms`.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_open(ls_store *store, const char *name, ls_stream **out);

/**
 * Close a stream handle. NULL is accepted.
 *
 * @retval LS_ERR_STATE  Producers, iterators or consumers of it are still open: nothing was closed and `stream` lives
 *                       on.
 *
 * Threads: any thread, when no other call on it is under way. Never blocks. Since 0.1.
 */
LS_API ls_status ls_stream_close(ls_stream *stream);

/**
 * Encrypt what is put into a stream from now on, with AES-256-GCM and the key called `key_id`; or, when it is encrypted
 * already, with another key. On a live stream: a put that began before may still be written as before. Records that are
 * there stay as they are, and readable as long as the application gives their keys: a key is known by its id for as
 * long as records that were encrypted with it are kept. So an id must not come back with another key before they are
 * gone; that is checked against the present key alone, not against earlier ones. Durable when it returns, in every
 * mode; doing it again changes nothing.
 *
 * Encrypted are records: data, partition keys and explicit hash keys. Not hidden are lengths, times, sequence numbers,
 * key ids and the names of streams. Without its key a stream can be listed, described, verified, repaired, trimmed and
 * deleted; reading and putting is LS_ERR_KEY, which also says that a key is another one than was used. That a whole
 * store was put back to an older copy of itself is not noticed.
 *
 * @param name    Borrowed until return.
 * @param key_id  Borrowed until return. UTF-8 without control characters, 1..256 bytes.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The name or the key id breaks its rule. Nothing was changed.
 * @retval LS_ERR_NOT_FOUND         No stream of that name. Nothing was changed.
 * @retval LS_ERR_KEY               The key callback (`ls_store_options`) gives no such key, or another one than the
 *                                  stream uses under this id. Nothing was changed.
 * @retval LS_ERR_STATE             The stream is not ACTIVE. Nothing was changed.
 * @retval LS_ERR_UNSUPPORTED       libstream was built without encryption. Nothing was changed.
 * @retval LS_ERR_READ_ONLY, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY  As ls_stream_create.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_start_encryption(ls_store *store, const char *name, const char *key_id);

/**
 * Encrypt no more from now on. Otherwise as ls_stream_start_encryption; needs no key.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_stop_encryption(ls_store *store, const char *name);

/**
 * Compress from now on, or no more. On a live stream, durable and errors as ls_stream_start_encryption. Records are
 * read the same, compressed or not, also encrypted.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_set_compression(ls_store *store, const char *name, ls_compression compression);

/** One shard as ls_stream_description_shard shows it. The caller sets `size` by the INIT macro. */
typedef struct ls_shard_info {
    uint32_t size;             /**< Set by the INIT macro. */
    uint32_t shard;            /**< Index; as text `shardId-` and 12 decimal digits. */
    ls_hash_key first_hash_key; /**< Inclusive. */
    ls_hash_key last_hash_key;  /**< Inclusive. */
    ls_seqno starting_seqno;   /**< Every record's number is at least this; it is above the parents' endings. */
    ls_seqno ending_seqno;     /**< LS_SEQNO_NONE while the shard is open, then at least every record's. */
    ls_seqno oldest_seqno;     /**< The first record that can be read; LS_SEQNO_NONE: there is none. */
    ls_seqno latest_seqno;     /**< The last record that can be read; LS_SEQNO_NONE: there is none. */
    int64_t created_us;
    uint32_t parent;           /**< LS_NO_SHARD: none. */
    uint32_t adjacent_parent;  /**< LS_NO_SHARD: none. */
    int32_t is_open;           /**< 1: takes records. */
    ls_status health;          /**< LS_OK; LS_ERR_IO: a sync failed, or its files cannot be read; LS_ERR_CORRUPT:
                                    damaged. Then it refuses puts. */
    int64_t closed_us;         /**< When it was split or merged; not before its last record. 0 while it is open. */
    int64_t oldest_arrival_us; /**< Of `oldest_seqno`; 0: there is none, or it cannot be read. */
    int64_t latest_arrival_us; /**< Of `latest_seqno`; 0: there is none. */
    uint64_t stored_bytes;     /**< On disk, of the records that can be read and of those that go with the next trim. */
} ls_shard_info;
#define LS_SHARD_INFO_INIT {(uint32_t)sizeof(ls_shard_info), 0, {0, 0}, {0, 0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
#define LS_NO_SHARD UINT32_MAX
/** In the place of a shard: the stream's state, which is what its groups and mappings remember. */
#define LS_STATE_SHARD (UINT32_MAX - 1)

/** A stream as it was at one moment. */
typedef struct ls_stream_description ls_stream_description;

/**
 * Describe a stream: settings, and every shard that is listed.
 *
 * @param out  Owned by the caller, release with ls_stream_description_free. Set on LS_OK only.
 *
 * A shard that cannot be opened at all is listed with LS_ERR_CORRUPT or LS_ERR_IO as its `health`, and with 0 in
 * place of what only its files would say: numbers and times of its records, stored bytes (`lstream verify` says more).
 *
 * @retval LS_ERR_NOT_FOUND  The stream was deleted.
 * @retval LS_ERR_BUSY       Nobody has looked at a shard yet since the store was opened, and a stopped process holds
 *                           it; or one was stopped while it changed a stream.
 *
 * Threads: any thread. Blocks on disk: looks at each shard. Since 0.1.
 */
LS_API ls_status ls_stream_describe(ls_stream *stream, ls_stream_description **out);

/** The stream's name. A view into the description. Threads: any thread. Never blocks. Since 0.1. */
LS_API const char *ls_stream_description_name(const ls_stream_description *description);

/** The stream's never-reused id in the store. Threads: any thread. Never blocks. Since 0.1. */
LS_API uint64_t ls_stream_description_id(const ls_stream_description *description);

/** One of LS_STREAM_ACTIVE ... Threads: any thread. Never blocks. Since 0.1. */
LS_API ls_stream_status ls_stream_description_status(const ls_stream_description *description);

/** One of LS_STREAM_ON_DEMAND, _PROVISIONED. Threads: any thread. Never blocks. Since 0.1. */
LS_API ls_stream_mode ls_stream_description_mode(const ls_stream_description *description);

/** What each shard takes and gives in a second while the stream is PROVISIONED. */
typedef struct ls_stream_limits {
    uint32_t size; /**< Set by the INIT macro. */
    uint32_t write_bytes_per_second;
    uint32_t write_records_per_second;
    uint32_t read_bytes_per_second;
    uint32_t read_calls_per_second;
} ls_stream_limits;
#define LS_STREAM_LIMITS_INIT {(uint32_t)sizeof(ls_stream_limits), 0, 0, 0, 0}

/**
 * The stream's limits, also while it is ON_DEMAND and they do not count.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_stream_description_limits(const ls_stream_description *description, ls_stream_limits *out);

/** What trimming took from readers of a stream before they had read it. */
typedef struct ls_stream_cuts {
    uint32_t size;    /**< Set by the INIT macro. */
    uint32_t reserved;
    uint64_t count;   /**< How often a reader was told so: LS_ERR_TRIMMED. */
    uint64_t records; /**< At most so many were never given to it, by their numbers. */
    uint64_t bytes;   /**< What they took in the log. */
    uint64_t lag_ms;  /**< From the arrival of what it was given last to that of what was left to give. */
    int64_t last_us;  /**< When a reader was told last, us since the epoch; 0: never. */
} ls_stream_cuts;
#define LS_STREAM_CUTS_INIT {(uint32_t)sizeof(ls_stream_cuts), 0, 0, 0, 0, 0, 0}

/**
 * What trimming took from the stream's readers, all of them in all processes together: iterators, subscriptions and
 * runs of mappings. Trimming waits for nobody; here one sees what that has cost. Each loss is counted when its reader
 * is told, with one line for the log callback; of a reader that began at a place which was gone by then only the
 * records are known, of a shard that went whole not even these. What a registered consumer lost is also in its
 * ls_consumer_info.
 *
 * Sums since the machine was started, or since the store's control file was made anew. A store that was opened for
 * reading and may not write that file counts by itself.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_stream_description_cuts(const ls_stream_description *description, ls_stream_cuts *out);

/** Creation time, microseconds since the epoch. Threads: any thread. Never blocks. Since 0.1. */
LS_API int64_t ls_stream_description_created_us(const ls_stream_description *description);

/** Threads: any thread. Never blocks. Since 0.1. */
LS_API uint32_t ls_stream_description_retention_hours(const ls_stream_description *description);

/** The cap in bytes, 0: none. Threads: any thread. Never blocks. Since 0.1. */
LS_API uint64_t ls_stream_description_retention_bytes(const ls_stream_description *description);

/** Threads: any thread. Never blocks. Since 0.1. */
LS_API uint32_t ls_stream_description_record_bytes_max(const ls_stream_description *description);

/**
 * The id of the key that records are encrypted with from now on; "" when they are not. A view into the description.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API const char *ls_stream_description_key_id(const ls_stream_description *description);

/** What records are compressed with from now on. Threads: any thread. Never blocks. Since 0.1. */
LS_API ls_compression ls_stream_description_compression(const ls_stream_description *description);

/** 1 when upkeep compresses sealed segments (ls_stream_set_recompression). Threads: any thread. Never blocks. Since
 *  0.1. */
LS_API int32_t ls_stream_description_recompression(const ls_stream_description *description);

/** How many shards are listed, closed ones included. Threads: any thread. Never blocks. Since 0.1. */
LS_API uint32_t ls_stream_description_shard_count(const ls_stream_description *description);

/**
 * The shard at `position` of the listing (in order of shard index).
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  Past the end, or `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_stream_description_shard(const ls_stream_description *description, uint32_t position,
                                             ls_shard_info *out);

/** Release a description. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_stream_description_free(ls_stream_description *description);

/**
 * Keep records for longer, as Kinesis's IncreaseStreamRetentionPeriod. What is past the present retention does not come
 * back; but in the first minute after the machine was started it does, for the clock may be wrong then, and nothing is
 * given up for good by it.
 *
 * This and every other change below is durable when it returns, and counts for all processes from their next calls on.
 * A change to what is there already is LS_OK.
 *
 * @param hours  1..8760.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `hours` is out of its range, or below the present retention. Nothing was changed.
 * @retval LS_ERR_STATE             The stream is not ACTIVE (ls_stream_status). Nothing was changed.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 * @retval LS_ERR_READ_ONLY         The store was opened for reading.
 * @retval LS_ERR_BUSY              Another process held the store's lock for `busy_timeout_ms`. Nothing was changed.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY  The outcome is unknown for IO, else nothing was changed.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_increase_retention(ls_stream *stream, uint32_t hours);

/**
 * Keep records for less long, as Kinesis's DecreaseStreamRetentionPeriod: what is older cannot be read from now on.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `hours` is out of its range, or above the present retention. Nothing was changed.
 *
 * Other errors as ls_stream_increase_retention.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_decrease_retention(ls_stream *stream, uint32_t hours);

/**
 * Cap what the stream's segments take; what is over the cap goes at the next put, or by ls_store_maintain.
 *
 * @param bytes  0: no cap. One below what a segment for each shard takes keeps the last segments all the same.
 *
 * Other errors as ls_stream_increase_retention.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_set_retention_bytes(ls_stream *stream, uint64_t bytes);

/**
 * Set the capacity mode, as Kinesis's UpdateStreamMode.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `mode` is none of LS_STREAM_ON_DEMAND, _PROVISIONED. Nothing was changed.
 *
 * Other errors as ls_stream_increase_retention.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_set_mode(ls_stream *stream, ls_stream_mode mode);

/**
 * Set what each shard takes and gives in a second while the stream is PROVISIONED; while it is ON_DEMAND the figures
 * are kept, and are what automatic scaling measures by. Open producers, iterators and subscriptions go by them from
 * their next calls on, in every process. What a shard had given in advance before is still waited for, as long as it
 * was.
 *
 * @param limits  Borrowed until return. A figure of 0 is Kinesis's: 1 MiB and 1,000 records in, 2 MiB and 5 reads out.
 *                NULL: all of them. To change one of them, begin with ls_stream_description_limits.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  A figure of bytes is below 1 KiB, or `limits->size` was not set. Nothing was
 *                                  changed.
 *
 * Other errors as ls_stream_increase_retention.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_set_limits(ls_stream *stream, const ls_stream_limits *limits);

/**
 * Set how large a record may be, as Kinesis's UpdateMaxRecordSize. Records that are there stay as they are.
 *
 * @param bytes  Data and key together: 1 KiB..10 MiB.
 *
 * Other errors as ls_stream_increase_retention.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_set_record_bytes_max(ls_stream *stream, uint32_t bytes);

/**
 * Compress the segments that are full, which no record goes into any more: their files, in blocks of 64 KiB, with zstd,
 * where that makes them smaller by an eighth or more. So small records that were put one by one get smaller too, which
 * ls_stream_set_compression does nothing for.
 *
 * Everything reads the same: records, numbers, arrival times, places. Who has a segment open reads on in the old file.
 * Segments are done one at a time: the new file is written beside the old one, synced, read back and compared, and
 * takes its place by a rename, so that a crash or a kill at any moment leaves one of the two. Each is looked at once
 * only. Left as they are, for good: encrypted segments, since what is encrypted does not get smaller; damaged ones; and
 * those with bytes behind their end that a crash or ls_stream_reset_shard left there. Those of a shard whose sync
 * failed wait for its reset. Needs room for one more segment.
 *
 * Reading from blocks costs their unpacking: bench/README.md has the figure. A backup holds segments as they were
 * before.
 *
 * @param timeout_ms   No segment is begun any more when so many milliseconds are over; -1: there is no such time.
 * @param saved_bytes  By how much files got smaller, also when an error is returned. May be NULL.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `timeout_ms` is below -1.
 * @retval LS_ERR_TIMEOUT           The time is over, and something is left to do.
 * @retval LS_ERR_BUSY              Another process holds a lock, or does the stream's upkeep, and `busy_timeout_ms` is
 *                                  over. Part of it was done; the next call does the rest.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted, or is not there yet (ls_stream_status).
 * @retval LS_ERR_READ_ONLY         The store was opened for reading.
 * @retval LS_ERR_FULL, LS_ERR_IO, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT  The first failure; other shards were done. No
 *                                  record is lost. After LS_ERR_IO a shard may refuse puts: see ls_stream_reset_shard.
 *
 * Threads: any thread. Blocks on disk, and longer than `timeout_ms` for what was begun. Since 0.1.
 */
LS_API ls_status ls_stream_recompress(ls_stream *stream, int64_t timeout_ms, uint64_t *saved_bytes);

/**
 * Do what ls_stream_recompress does as a part of upkeep from now on, or no more; off at first. The maintenance thread
 * (LS_STORE_MAINTENANCE_THREAD) does a segment of each stream a second, at most; ls_store_maintain does all. Who puts
 * or reads does none of it.
 *
 * @param enabled  1: on; 0: off.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `enabled` is neither. Nothing was changed.
 *
 * Other errors as ls_stream_increase_retention.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_set_recompression(ls_stream *stream, int32_t enabled);

/**
 * Add tags, as Kinesis's AddTagsToStream. A tag replaces the one with an equal key.
 *
 * A key has 1..128 characters and a value 0..256: letters (everything beyond ASCII that is no control counts as one),
 * digits, spaces and _ . : / = + - @. A key does not begin with "aws:". A stream has at most 50 tags.
 *
 * @param tags   Borrowed until return.
 * @param count  At most 200. 0 does nothing and is LS_OK.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  A tag breaks its rule, or there would be too many. Nothing was changed.
 *
 * Other errors as ls_stream_increase_retention.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_add_tags(ls_stream *stream, const ls_tag *tags, uint32_t count);

/**
 * Remove tags, as Kinesis's RemoveTagsFromStream. Keys that no tag has are ignored.
 *
 * @param keys   Borrowed until return.
 * @param count  At most 50. 0 does nothing and is LS_OK.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  A key breaks its rule, or there are too many. Nothing was changed.
 *
 * Other errors as ls_stream_increase_retention.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_remove_tags(ls_stream *stream, const char *const *keys, uint32_t count);

/** A page of tags, in byte order of their keys. */
typedef struct ls_tag_list ls_tag_list;

/**
 * List the stream's tags.
 *
 * @param after  Borrowed until return. Only keys after this one; NULL or "": from the first.
 * @param limit  At most this many, 1..50; 0: 50.
 * @param out    Owned by the caller, release with ls_tag_list_free. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `limit` is out of its range.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_list_tags(ls_stream *stream, const char *after, uint32_t limit, ls_tag_list **out);

/** How many tags the page has. Threads: any thread. Never blocks. Since 0.1. */
LS_API uint32_t ls_tag_list_count(const ls_tag_list *list);

/**
 * The tag at `index`; its key is NULL past the end. Views: valid until the list is freed.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_tag ls_tag_list_at(const ls_tag_list *list, uint32_t index);

/** 1 when there are more tags after this page's last. Threads: any thread. Never blocks. Since 0.1. */
LS_API int32_t ls_tag_list_has_more(const ls_tag_list *list);

/** Release a page. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_tag_list_free(ls_tag_list *list);

/**
 * Let a shard that refuses puts take them again, after a failed sync or after damage at its end.
 *
 * Goes on in a new segment, at the last place known to be durable and valid. Records beyond it (never acknowledged in
 * SYNC, possibly acknowledged in the other modes) are no longer read; their bytes stay in the old file.
 *
 * @param shard  Its index; or LS_STATE_SHARD, when the stream's state refuses changes.
 *
 * @retval LS_ERR_STATE  The shard is healthy. Nothing was changed.
 * @retval LS_ERR_BUSY   A stopped process held the shard for `busy_timeout_ms`. Nothing was changed.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_reset_shard(ls_stream *stream, uint32_t shard);

/**
 * Split an open shard in two, as Kinesis's SplitShard. In both modes.
 *
 * The parent keeps its records and stays readable, and is closed: it takes no more, in any process, for ever. Its
 * children share its range: the lower one has the keys below `new_starting_hash_key`, the upper one that key and those
 * above. Their indexes follow the highest one there was; their numbers begin above the parent's last. Closing and
 * opening are one durable step: after a crash or a kill at any moment there is the open parent alone, or the closed one
 * with both children.
 *
 * Puts go on meanwhile: one that comes in between waits for milliseconds, goes to the child that has its key, and keeps
 * its place in the order of its key. Readers get the rest of the parent, then its end with the children's indexes.
 *
 * @param shard                  Index of the shard.
 * @param new_starting_hash_key  Borrowed until return. Greater than the shard's first key plus one, less than its last.
 *                               NULL: the middle.
 * @param lower, upper           The children's indexes, set on LS_OK only. May be NULL.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The key is not strictly inside the shard's range. Nothing was changed.
 * @retval LS_ERR_NOT_FOUND         No such shard, or the stream was deleted.
 * @retval LS_ERR_STATE             The shard was split or merged already; or the stream has as many shards as it can
 *                                  have: 65,536 open ones, 1,048,576 ever; or it is not ACTIVE. Nothing was changed.
 * @retval LS_ERR_READ_ONLY         The store was opened for reading.
 * @retval LS_ERR_BUSY              Another process held a lock for `busy_timeout_ms`. Nothing was changed.
 * @retval LS_ERR_CORRUPT           The shard is damaged and takes no puts: see `lstream verify`. Nothing was changed.
 * @retval LS_ERR_FULL, LS_ERR_NO_MEMORY  Nothing was changed.
 * @retval LS_ERR_IO                The parent could not be synced (it refuses puts from now on: ls_stream_reset_shard),
 *                                  or the outcome is unknown: ls_stream_describe tells it.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_split(ls_stream *stream, uint32_t shard, const ls_hash_key *new_starting_hash_key,
                                 uint32_t *lower, uint32_t *upper);

/**
 * Merge two open shards into one, as Kinesis's MergeShards. In both modes.
 *
 * Both are closed and their child has their keys; everything else is as with ls_stream_split. Readers of all shards get
 * the child after both parents.
 *
 * @param shard           Index of the shard with the lower keys: the child's `parent`.
 * @param adjacent_shard  Index of the shard whose keys follow: the child's `adjacent_parent`.
 * @param child           Its index, set on LS_OK only. May be NULL.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The keys of the second do not follow those of the first. Nothing was changed.
 *
 * Other errors as ls_stream_split.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_merge(ls_stream *stream, uint32_t shard, uint32_t adjacent_shard, uint32_t *child);

/** `ls_scale_options.flags`: refuse what Kinesis refuses: more than double or less than half of the open shards, and
 *  more than 10,000. */
#define LS_SCALE_KINESIS_LIMITS UINT32_C(1)

/** Options of ls_stream_update_shard_count. Zero means the default everywhere. */
typedef struct ls_scale_options {
    uint32_t size;  /**< Set by the INIT macro. */
    uint32_t flags; /**< LS_SCALE_ bits. */
} ls_scale_options;
#define LS_SCALE_OPTIONS_INIT {(uint32_t)sizeof(ls_scale_options), 0}

/**
 * Split and merge until the stream has `shard_count` open shards of equal width, as Kinesis's UpdateShardCount with
 * uniform scaling. In both modes.
 *
 * It is a series of splits and merges, of which each is as ls_stream_split says, up to 16 of them in one durable step:
 * a shard in whose range a bound of the new ones lies is split there, neighbours that no bound divides are merged. So
 * the lineage shows shards that lived for a moment only. Equal means: up to rounding; bounds that are there stay, so
 * doubling splits every shard once. The number that is there already is allowed, and makes the widths equal.
 *
 * @param shard_count  1..65536.
 * @param options      Borrowed until return. NULL: all defaults.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `shard_count` or an option is out of its range. Nothing was changed.
 *
 * Other errors as ls_stream_split, but that some of the steps may have been done: every shard is as it was or has its
 * children, and the same call again goes on.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_update_shard_count(ls_stream *stream, uint32_t shard_count,
                                              const ls_scale_options *options);

/** When shards of an ON_DEMAND stream are split and merged by themselves. Zero means the default everywhere. */
typedef struct ls_auto_scaling {
    uint32_t size;         /**< Set by the INIT macro. */
    int32_t enabled;       /**< 1: on; 0, the default: off, and the rest does not count. */
    uint32_t hot_percent;  /**< Split what is above this share of its write limit: 2..10000, default 80. */
    uint32_t hot_seconds;  /**< ... for so long: 1..604800, default 60. */
    uint32_t cold_percent; /**< Merge two neighbours that are together below this: 1..hot_percent - 1, default 25. */
    uint32_t cold_seconds; /**< ... for so long: 1..604800, default 900. */
    uint32_t shards_min;   /**< Merge no more when so few are open: 1..65536, default 1. */
    uint32_t shards_max;   /**< Split no more when so many are open: shards_min..65536, default 200. */
} ls_auto_scaling;
#define LS_AUTO_SCALING_INIT {(uint32_t)sizeof(ls_auto_scaling), 0, 0, 0, 0, 0, 0, 0}

/**
 * Split hot shards and merge cold ones of the stream by itself from now on, while it is ON_DEMAND; off at first. Of a
 * PROVISIONED stream the setting is kept and does nothing, for there it is for the
 * user to scale, as with Kinesis. Kinesis scales its on-demand streams by rules that it does not state; these are ours.
 *
 * A shard's load is what is written into it, as a share of what it would take if the stream were PROVISIONED
 * (ls_stream_description_limits): of bytes or of records, whichever is more. Bytes are those on disk: with headers and
 * partition keys, after compression. It is looked at by whoever puts, reads or
 * maintains, at times that are a sixth of the shorter of both `_seconds` apart, at least a second; each look averages
 * since the one before. A shard that all looks of `hot_seconds` found above
 * `hot_percent` is split in the middle of its keys; two neighbours that all looks of `cold_seconds` found together
 * below `cold_percent` are merged. Each is as ls_stream_split says, one at a time; the log callback is told. While
 * nobody has the store open nothing is done, and a time without looks of more than half of `hot_seconds` makes no shard
 * hot. Keys that are all one cannot be divided: such a shard is split again and again, up to `shards_max`.
 *
 * One that cannot be done, such as for `shards_max` of the store's options, is logged and tried again after as long.
 *
 * @param options  Borrowed until return. NULL: off.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  A field is out of its range. Nothing was changed.
 *
 * Other errors as ls_stream_increase_retention.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_set_auto_scaling(ls_stream *stream, const ls_auto_scaling *options);

/**
 * The stream's automatic scaling, with its defaults filled in; all 0 when it is off. Also while it is PROVISIONED.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_stream_description_auto_scaling(const ls_stream_description *description, ls_auto_scaling *out);

/** Which shards a listing shows; as the filters of Kinesis's ListShards. A shard that was closed for longer than the
 *  stream's retention, not counting a jump of the clock (RETENTION), is shown by none of them. Each of the AT_ filters
 *  shows shards that cover every hash key exactly once. */
typedef int32_t ls_shard_filter;
#define LS_SHARDS_FROM_TRIM_HORIZON 0 /**< All, open and closed. */
#define LS_SHARDS_AT_TRIM_HORIZON 1   /**< Those that were open at the horizon: as long ago as retention goes. */
#define LS_SHARDS_AT_LATEST 2         /**< The open ones. */
#define LS_SHARDS_AT_TIMESTAMP 3      /**< Those that were open at `timestamp_us`. */
#define LS_SHARDS_FROM_TIMESTAMP 4    /**< The open ones, and those that were closed at `timestamp_us` or later. */
#define LS_SHARDS_AFTER_SHARD_ID 5    /**< Those with an index above `after_shard`. */

/** Options of ls_stream_list_shards. Zero means the default everywhere. */
typedef struct ls_shard_list_options {
    uint32_t size;          /**< Set by the INIT macro. */
    ls_shard_filter filter; /**< Default FROM_TRIM_HORIZON. */
    int64_t timestamp_us;   /**< AT_ and FROM_TIMESTAMP: before the horizon it means the horizon; in the future it is
                                 LS_ERR_INVALID_ARGUMENT. Elsewhere 0. */
    uint32_t after_shard;   /**< AFTER_SHARD_ID; elsewhere 0. */
    uint32_t limit;         /**< At most this many, 1..10000; 0: 1000. */
    uint32_t page_first;    /**< Set by ls_shard_list_next_page; 0 for the first page. */
    uint32_t page_end;      /**< Set by ls_shard_list_next_page; 0 for the first page. */
} ls_shard_list_options;
#define LS_SHARD_LIST_OPTIONS_INIT {(uint32_t)sizeof(ls_shard_list_options), 0, 0, 0, 0, 0, 0}

/** A page of a stream's shards, in order of index. */
typedef struct ls_shard_list ls_shard_list;

/**
 * List a stream's shards, a page at a time.
 *
 * All pages of one listing show the stream as it was when the first one was asked for: a shard that is split between
 * two pages is shown as open, and its children are not.
 *
 * @param options  Borrowed until return. NULL: all defaults.
 * @param out      Owned by the caller, release with ls_shard_list_free. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  An unknown filter, a field that does not belong to it, a limit out of range.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 * @retval LS_ERR_BUSY              A process was stopped while it changed a stream.
 *
 * Threads: any thread. Blocks on disk when the manifest has changed; looks at no shard's files. Since 0.1.
 */
LS_API ls_status ls_stream_list_shards(ls_stream *stream, const ls_shard_list_options *options, ls_shard_list **out);

/** How many shards the page has. Threads: any thread. Never blocks. Since 0.1. */
LS_API uint32_t ls_shard_list_count(const ls_shard_list *list);

/**
 * The shard at `position` of the page. No file was looked at: `oldest_seqno`, `latest_seqno`, their times and
 * `stored_bytes` are 0 and `health` is LS_OK, whatever is true (see ls_stream_describe).
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  Past the end, or `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_shard_list_shard(const ls_shard_list *list, uint32_t position, ls_shard_info *out);

/**
 * 1 when there are more shards behind this page's last: then `options`, those that the page was asked for with, are
 * changed so that they ask for the next one. They are plain values and may be kept.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API int32_t ls_shard_list_next_page(const ls_shard_list *list, ls_shard_list_options *options);

/** Release a page. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_shard_list_free(ls_shard_list *list);

#ifdef __cplusplus
}
#endif
#endif
