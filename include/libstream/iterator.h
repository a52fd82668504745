/**
 * @file iterator.h
 * Read one shard, or all shards of a stream, from a position.
 *
 * An iterator shows a prefix that only grows: no gap, no repeat, no reorder. It never expires. Records are views into
 * its own buffer, which was checked after it was read; they are valid until the next call on that iterator.
 *
 * The *merged* iterator (ls_iterator_open_all) reads every shard of the stream through one handle: each batch is of one
 * shard, the order between shards is by readiness, children follow their parents.
 */
#ifndef LIBSTREAM_ITERATOR_H
#define LIBSTREAM_ITERATOR_H

#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where to begin. The five kinds are those of Kinesis. */
typedef int32_t ls_position_kind;
#define LS_TRIM_HORIZON 1          /**< The oldest record that can be read. */
#define LS_LATEST 2                /**< The first one that becomes readable after the call. */
#define LS_AT_SEQUENCE_NUMBER 3    /**< The record with `seqno`, or the first above it. If it was trimmed, the first
                                        call of ls_iterator_next says so, and goes on at the oldest record. */
#define LS_AFTER_SEQUENCE_NUMBER 4 /**< The first record above `seqno`; trimmed: as above. */
#define LS_AT_TIMESTAMP 5          /**< The first record with `arrival_us` at or after `timestamp_us`; the oldest one
                                        when that is younger. Where stamps are wrong, when it counts as arrived
                                        (stream.h, RETENTION) instead. */

/** A position. A frozen value type. */
typedef struct ls_position {
    ls_position_kind kind;
    uint32_t sub_seqno;   /**< AT_SEQUENCE_NUMBER of an iterator that de-aggregates: begin with this user record of the
                               record with `seqno`, or behind that if it has not so many; elsewhere 0. */
    ls_seqno seqno;       /**< AT_ and AFTER_SEQUENCE_NUMBER; elsewhere 0. Not with several shards. */
    int64_t timestamp_us; /**< AT_TIMESTAMP; elsewhere 0. In the future: LS_ERR_INVALID_ARGUMENT. */
} ls_position;

/** `ls_iterator_options.flags`: a wait ends with LS_ERR_CANCELLED when a signal handler ran on its thread. One that ran
 *  in the instants between two looks for records is not noticed: who must not miss it has the handler set a flag, waits
 *  in slices (`timeout_ms`) and looks at the flag. */
#define LS_ITERATOR_INTERRUPTIBLE UINT32_C(1)
/** `ls_iterator_options.flags`: what is an aggregated record (aggregate.h) is shown as its user records, with
 *  LS_RECORD_AGGREGATED; all else as it is. Limits of a call count user records, so that one aggregate may come in
 *  several batches, each of which it may be the whole of; the iterator's place says how far it was given. What the
 *  stream counts and limits stay records as they were put. Without the flag nobody looks into the data of a record. */
#define LS_ITERATOR_DEAGGREGATE UINT32_C(2)
/** `ls_iterator_options.flags`: records are views of the segment files themselves, mapped, where that can be done:
 *  nothing is copied. Two things are given up for it. What was checked may change before it is looked at, when somebody
 *  writes into the store's files who should not. And who looks at a record that its device cannot read any more, or of
 *  a file that somebody cut short, gets SIGBUS, where an iterator without this flag answers LS_ERR_IO or
 *  LS_ERR_CORRUPT. The library itself looks at every record before it shows it, and does not catch that signal.
 *  Compressed and encrypted records are copied as ever. It maps a segment or two of each shard it reads, whose
 *  descriptors, and whose space on disk after they were trimmed, it keeps as long. With LS_ITERATOR_DEAGGREGATE it does
 *  nothing. */
#define LS_ITERATOR_MAPPED UINT32_C(4)

/** Options of an iterator. Zero means the default everywhere. */
typedef struct ls_iterator_options {
    uint32_t size;     /**< Set by the INIT macro. */
    uint32_t flags;    /**< LS_ITERATOR_ bits. */
} ls_iterator_options;
#define LS_ITERATOR_OPTIONS_INIT {(uint32_t)sizeof(ls_iterator_options), 0}

/**
 * Open an iterator over one shard.
 *
 * @param shard     Index of the shard.
 * @param position  Borrowed until return. NULL: TRIM_HORIZON.
 * @param options   Borrowed until return. NULL: all defaults.
 * @param out       Owned by the caller, release with ls_iterator_close. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  An unknown kind, a field that does not belong to it, a time in the future, or a
 *                                  seqno that is none.
 * @retval LS_ERR_NOT_FOUND         No such shard, or it expired (stream.h), or the stream was deleted.
 * @retval LS_ERR_CORRUPT           The shard's files are damaged so that no place can be found.
 * @retval LS_ERR_BUSY              Nobody has looked at the shard yet since the store was opened, and a stopped process
 *                                  held it for `busy_timeout_ms`; or one was stopped while it changed a stream.
 * @retval LS_ERR_FULL              The device is full, and the control file was lost, which no death of a process or of
 *                                  the machine does: what was written before must be made durable first. A
 *                                  handle with LS_STORE_READ_ONLY reads what is there.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_iterator_open(ls_stream *stream, uint32_t shard, const ls_position *position,
                                  const ls_iterator_options *options, ls_iterator **out);

/**
 * Open a merged iterator over all shards. Positions by number are refused: numbers belong to a shard.
 *
 * Parameters and errors as ls_iterator_open.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_iterator_open_all(ls_stream *stream, const ls_position *position,
                                      const ls_iterator_options *options, ls_iterator **out);

/**
 * Open an iterator where another one stood, from ls_iterator_place's text; single or merged as that one was. The place
 * of one that de-aggregates may be within an aggregate: without LS_ITERATOR_DEAGGREGATE that comes whole.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The text is not such a text, or of another stream.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_iterator_open_place(ls_stream *stream, const char *place, const ls_iterator_options *options,
                                        ls_iterator **out);

/** Close an iterator. NULL is accepted. Its views end. Threads: any thread, one at a time. Never blocks. Since 0.1. */
LS_API void ls_iterator_close(ls_iterator *iterator);

/** Limits of one call. Zero means the default everywhere. */
typedef struct ls_next_options {
    uint32_t size;          /**< Set by the INIT macro. */
    uint32_t records_max;   /**< At most this many records; default 10,000. */
    uint64_t bytes_max;     /**< At most this many bytes of keys and data, but always one record; default 10 MiB; with
                                 neither limit given 256 KiB, which stays in a processor's cache. */
    int64_t timeout_ms;     /**< How long to wait for a first record: 0 polls, -1 has no end. Default 0. */
} ls_next_options;
#define LS_NEXT_OPTIONS_INIT {(uint32_t)sizeof(ls_next_options), 0, 0, 0}

/** A batch of records of one shard: a view, valid until the next call on its iterator. */
typedef struct ls_batch ls_batch;

/**
 * The next records, in order.
 *
 * Returns as soon as there is at least one record, with as many as are readable now within the limits. An empty batch
 * is LS_OK too: the time is over, nothing has come. The end of a closed shard is told with the batch that reaches it; a
 * merged iterator, which goes on with the children, tells it only with a batch of records, and else passes over it.
 *
 * In a provisioned stream a call is one read of each shard it looks into, however long it waits. One that comes too
 * early waits for its turn as it waits for records.
 *
 * @param options  Borrowed until return. NULL: all defaults.
 * @param out      A view; set on LS_OK only, never NULL.
 *
 * @retval LS_OK             0 or more records.
 * @retval LS_ERR_CANCELLED  ls_iterator_cancel was called, or a signal came (INTERRUPTIBLE). The place is unchanged.
 * @retval LS_ERR_THROTTLED  The time is over, and a limit of the provisioned stream left nothing to read; the message
 *                           names it. The place is unchanged; try again after ls_last_error_retry_after_ms().
 * @retval LS_ERR_TRIMMED    Records that were to come next are past the stream's retention, or over its cap: they were
 *                           not given and cannot be. Said once, naming the oldest position, where the iterator now
 *                           stands. Not said to one that was to begin at the oldest record anyway (TRIM_HORIZON, or a
 *                           time before it), nor to one that had been given everything. Who reads all shards begins
 *                           the children of a shard that he was given something of, and shards that were made since
 *                           he began, with their first records: what was trimmed of these is said.
 * @retval LS_ERR_CORRUPT    Damage at the place: file, offset and numbers are named. The place is unchanged; to go on
 *                           behind the damage, seek to a number beyond it.
 * @retval LS_ERR_KEY        The next record is encrypted, and there is no key or another one than it is encrypted with:
 *                           stream, segment and key id are named. The place is unchanged.
 * @retval LS_ERR_NOT_FOUND  The stream was deleted; or, reading one shard, that was closed and has expired (stream.h).
 *                           One who reads all shards is told LS_ERR_TRIMMED of a shard that he had not read to its
 *                           end, unless he had yet to begin it with its oldest record.
 * @retval LS_ERR_BUSY       As ls_iterator_open: for a shard that is read for the first time, at the end of one, and by
 *                           a merged iterator whose stream was changed since the last call. The place is unchanged.
 * @retval LS_ERR_FULL       As ls_iterator_open, for a shard that is read for the first time. The place is unchanged.
 * @retval LS_ERR_IO, LS_ERR_NO_MEMORY  The place is unchanged.
 *
 * Threads: any thread, one at a time for one iterator. Blocks on disk, up to `timeout_ms` for records and up to
 * `busy_timeout_ms` for locks. Since 0.1.
 */
LS_API ls_status ls_iterator_next(ls_iterator *iterator, const ls_next_options *options, const ls_batch **out);

/** How many records the batch has. Threads: as the iterator. Never blocks. Since 0.1. */
LS_API size_t ls_batch_count(const ls_batch *batch);

/** All of them, as an array of ls_batch_count elements; a view. Threads: as the iterator. Never blocks. Since 0.1. */
LS_API const ls_record *ls_batch_records(const ls_batch *batch);

/** The record at `index`, NULL past the end; a view. Threads: as the iterator. Never blocks. Since 0.1. */
LS_API const ls_record *ls_batch_at(const ls_batch *batch, size_t index);

/** The shard the batch is of. LS_NO_SHARD (stream.h) in an empty batch of a merged iterator.
 *  Threads: as the iterator. Never blocks. Since 0.1. */
LS_API uint32_t ls_batch_shard(const ls_batch *batch);

/**
 * How far the batch is behind the tip, in milliseconds: 0 when it reaches it, else the age of the batch's last record,
 * at least 1, though clocks be set. An empty batch says nothing of what is unread: 0. For a merged iterator: of the
 * batch's shard.
 *
 * Threads: as the iterator. Never blocks. Since 0.1.
 */
LS_API int64_t ls_batch_millis_behind_latest(const ls_batch *batch);

/** 1 when the shard is closed and this batch reaches its end: nothing will ever follow. Threads: as the iterator.
 *  Never blocks. Since 0.1. */
LS_API int32_t ls_batch_is_shard_end(const ls_batch *batch);

/** At the end of a shard: how many children it has. Threads: as the iterator. Never blocks. Since 0.1. */
LS_API uint32_t ls_batch_child_count(const ls_batch *batch);

/** The index of child `position`; LS_NO_SHARD past the end. Threads: as the iterator. Never blocks. Since 0.1. */
LS_API uint32_t ls_batch_child_at(const ls_batch *batch, uint32_t position);

/**
 * Move to another position. The iterator's views end. For a merged iterator: every shard.
 *
 * Errors as ls_iterator_open; after one the place is unchanged.
 *
 * Threads: any thread, one at a time for one iterator. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_iterator_seek(ls_iterator *iterator, const ls_position *position);

/**
 * End a wait of ls_iterator_next with LS_ERR_CANCELLED; when none is under way, the next call that would wait or poll
 * ends so: one that finds records returns them, and the cancel stays for the first that finds none. One cancel ends one
 * call.
 *
 * Threads: any thread, also while another one is in ls_iterator_next. Never blocks. Since 0.1.
 */
LS_API void ls_iterator_cancel(ls_iterator *iterator);

/**
 * The iterator's place as text: ASCII, for storing and for ls_iterator_open_place. It names the place after the last
 * batch's last record.
 *
 * @param buffer  `capacity` bytes, owned by the caller; gets the terminated text. May be NULL when capacity is 0.
 * @param needed  May be NULL. The bytes needed, with the terminator.
 *
 * @retval LS_ERR_TOO_LARGE  `capacity` is too small; nothing was written to `buffer`.
 *
 * Threads: any thread, one at a time for one iterator. Never blocks. Since 0.1.
 */
LS_API ls_status ls_iterator_place(ls_iterator *iterator, char *buffer, size_t capacity, size_t *needed);

/**
 * A file descriptor that becomes readable when ls_iterator_next would find something, for event loops. Level: it stays
 * readable until a call to ls_iterator_next finds nothing. It belongs to the iterator: do not read or close it. The
 * first call starts a thread of the library, named `ls-event`, which lives until the iterator is closed.
 *
 * @param out  Set on LS_OK only.
 *
 * Threads: any thread, one at a time for one iterator. Never blocks. Since 0.1.
 */
LS_API ls_status ls_iterator_event_fd(ls_iterator *iterator, int32_t *out);

#ifdef __cplusplus
}
#endif
#endif
