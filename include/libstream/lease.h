/**
 * @file lease.h
 * Groups: several workers, in any processes, that share the shards of a stream among them and remember how far each
 * shard was worked on. What the Kinesis Client Library is to Kinesis.
 *
 * A *group* has a name and is kept with its stream. A *worker* is an open handle of it. Each shard has a *lease*, which
 * one worker has at a time; he reads the shard as he likes, by an iterator of his own from where the lease stands, and
 * notes in it how far he has come: a *checkpoint*. Workers find each other, take their share of the leases, take over
 * those of a worker that died (at once, the kernel says it) or that stopped for `failover_ms`, and give some up when
 * others have fewer. Children of a split or merge are worked on after all their parents.
 *
 *     for (;;) {
 *         ls_group_next(group, timeout_ms, &event);
 *         TAKEN   begin to read event.lease from ls_lease_info.position
 *         WANTED  finish what is under way, checkpoint, ls_lease_close(event.lease)
 *         LOST    stop, ls_lease_close(event.lease)
 *     }
 *
 * A worker that is busy elsewhere for longer than `failover_ms` calls ls_group_renew meanwhile, from any thread.
 *
 * WHAT HOLDS. A checkpoint is durable when its call returns, in every mode, and never before the records it covers. It
 * never goes back. Whoever has lost a lease cannot write a checkpoint any more, whatever he believes: it is refused by
 * the lease itself, not by a clock. Time is judged by each worker's own monotonic clock alone. Records behind the last
 * checkpoint come again to the next worker: at least once. Nothing is skipped.
 *
 * A worker that does something elsewhere which must happen once with its checkpoint, as sealing a file or completing an
 * upload, tells whoever comes after it what is under way: it prepares the checkpoint (ls_lease_prepare), with a few
 * bytes that say what it is about to do, does it, and makes the checkpoint. Who takes the lease in between is shown
 * both, sees whether that was done, does it or undoes it, and makes the checkpoint or begins from the one before.
 */
#ifndef LIBSTREAM_LEASE_H
#define LIBSTREAM_LEASE_H

#include <libstream/iterator.h>
#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A worker of a group. */
typedef struct ls_group ls_group;
/** A lease that a worker has, or had when it was told of it. */
typedef struct ls_lease ls_lease;

/** Options of a worker, and of a group that it makes. Zero means the default everywhere. */
typedef struct ls_group_options {
    uint32_t size;               /**< Set by the INIT macro. */
    uint32_t failover_ms;        /**< Others take what a worker has that did not renew for so long. 10,000;
                                      100..600,000. Workers of one group should say the same. */
    uint32_t handover_ms;        /**< Others take what they asked for and were not given for so long. 30,000. */
    uint32_t leases_max;         /**< This worker takes no more. Default: no limit. */
    const ls_position *position; /**< Where a group begins that is made by this call: LS_TRIM_HORIZON (default),
                                      LS_LATEST or LS_AT_TIMESTAMP. Borrowed until return. */
    const char *worker;          /**< What others are shown: 1..63 bytes of UTF-8 without control characters. Borrowed
                                      until return. Default: a random one. */
} ls_group_options;
#define LS_GROUP_OPTIONS_INIT {(uint32_t)sizeof(ls_group_options), 0, 0, 0, 0, 0}

/**
 * Open a worker of a group; the group is made when the stream has none of that name.
 *
 * @param name     Borrowed until return. [a-zA-Z0-9_.-]{1,128}.
 * @param options  Borrowed until return. NULL: all defaults.
 * @param out      Owned by the caller, release with ls_group_close. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The name or an option. Nothing was changed.
 * @retval LS_ERR_STATE             The stream has 4,096 groups, mappings among them, or `name` is a mapping's, or the
 *                                  store was opened for producing. Nothing was changed.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 * @retval LS_ERR_READ_ONLY         The store was opened for reading: a group changes the stream's state.
 * @retval LS_ERR_BUSY              A stopped process held the stream's state for `busy_timeout_ms`.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT, LS_ERR_KEY
 *                                  The group may have been made, with no leases yet.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_group_open(ls_stream *stream, const char *name, const ls_group_options *options, ls_group **out);

/**
 * Close a worker. Its leases are given back, so that others take them at once; its handles of them are invalid then.
 * NULL is accepted.
 *
 * @return The first error met in giving back. The worker is released always; others then take over in time.
 *
 * Threads: one at a time. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_group_close(ls_group *group);

/** What happened to a worker. */
typedef int32_t ls_group_event_kind;
#define LS_GROUP_NOTHING 0 /**< The time is over. */
#define LS_GROUP_TAKEN 1   /**< The worker has the lease now. */
#define LS_GROUP_WANTED 2  /**< Another worker asks for it: ls_lease_close gives it over. After `handover_ms` it is
                                lost. */
#define LS_GROUP_LOST 3    /**< Another worker has it, or it is gone with its shard. ls_lease_close releases the
                                handle. */

/** An event. The caller sets `size` by the INIT macro. */
typedef struct ls_group_event {
    uint32_t size;            /**< Set by the INIT macro. */
    ls_group_event_kind kind;
    ls_lease *lease;          /**< Valid until ls_lease_close or ls_group_close. NULL with LS_GROUP_NOTHING. */
} ls_group_event;
#define LS_GROUP_EVENT_INIT {(uint32_t)sizeof(ls_group_event), 0, 0}

/**
 * Do what a worker does: renew its leases, look at the others', take, ask, and make leases of new shards; and tell what
 * happened to this one's, oldest first. Waits until there is something to tell. To be called again and again, at least
 * every third part of `failover_ms`.
 *
 * @param timeout_ms  0: does what is due and does not wait. -1: without end.
 *
 * @retval LS_OK             `out` is filled.
 * @retval LS_ERR_CANCELLED  ls_group_cancel was called.
 * @retval LS_ERR_NOT_FOUND  The group or the stream was deleted.
 * @retval LS_ERR_BUSY, LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT, LS_ERR_KEY
 *                           Leases cannot be read or changed now. Call again; what the worker has it keeps for as long
 *                           as others leave it.
 *
 * Threads: one at a time for one worker and all its leases. Blocks up to `timeout_ms`, and on disk. Since 0.1.
 */
LS_API ls_status ls_group_next(ls_group *group, int64_t timeout_ms, ls_group_event *out);

/** Tell others that the worker lives. Does not take back what was lost. Threads: any thread, at any time between open
 *  and close. Never blocks. Since 0.1. */
LS_API void ls_group_renew(ls_group *group);

/** Let ls_group_next return LS_ERR_CANCELLED, now and from now on. NULL is accepted. Threads: any thread. Never blocks.
 *  Since 0.1. */
LS_API void ls_group_cancel(ls_group *group);

/** How far a shard was worked on. */
typedef int32_t ls_lease_state;
#define LS_LEASE_NOT_BEGUN 1 /**< From its oldest record on. */
#define LS_LEASE_BEGUN 2     /**< Up to and with `seqno` and `sub_seqno`. */
#define LS_LEASE_ENDED 3     /**< To its end. */
#define LS_LEASE_WAITING 4   /**< In a list: as NOT_BEGUN, and nobody can begin before what the shard came of was worked
                                  on to its end. There may be no lease yet: it is made then. */

/** A lease. The caller sets `size` by the INIT macro. */
typedef struct ls_lease_info {
    uint32_t size;                 /**< Set by the INIT macro. */
    uint32_t shard;
    ls_lease_state state;
    uint32_t sub_seqno;            /**< Within a record that holds several; all of it: UINT32_MAX. */
    ls_seqno seqno;                /**< BEGUN: of the checkpoint. */
    ls_position position;          /**< Where to go on reading; with a `sub_seqno` that is not UINT32_MAX at the record
                                        itself, whose first parts, up to that one, were worked on: an iterator that
                                        de-aggregates goes on behind them, when `position.sub_seqno` is made one more
                                        than that. Of a shard that was not begun the first number that counts: that of a
                                        child's first record, or of the oldest one when the lease was made. Whoever
                                        reads from there is told what was trimmed since (LS_ERR_TRIMMED). */
    uint64_t counter;              /**< Rises with every change of owner, and every checkpoint that is made or
                                        prepared. */
    uint32_t switches;             /**< Of the owner, since the last checkpoint. */
    int32_t owner_lives;           /**< 0: there is none, or it is known to be gone. */
    int64_t millis_behind_latest;  /**< In a list: age of the oldest record that is not covered; 0: there is none. -1:
                                        not known. Of a mapping without tumbling windows that is not finished: what a
                                        run has finished counts before it is stored, but where a store was opened
                                        for reading and may not write the control file. */
    char owner[64];                /**< The worker's name; "": nobody has it. */
    ls_seqno pending_seqno;        /**< Of the checkpoint that was prepared and not made (ls_lease_prepare);
                                        LS_SEQNO_NONE: there is none. */
    uint32_t pending_sub_seqno;    /**< As `sub_seqno`. */
    uint32_t reserved;             /**< 0 */
    ls_bytes pending_state;        /**< What was said with it. View: of a lease until the next call with it, with its
                                        group or with a transaction it is part of; of a list until that is released. */
} ls_lease_info;
#define LS_LEASE_INFO_INIT                                                                                             \
    {(uint32_t)sizeof(ls_lease_info), 0, 0, 0, 0, {0, 0, 0, 0}, 0, 0, 0, 0, {0}, 0, 0, 0, {0, 0}}

/**
 * Look at a lease that this worker has: as it was when it was last read or written. `millis_behind_latest` is -1.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: as ls_group_next. Never blocks. Since 0.1.
 */
LS_API ls_status ls_lease_describe(const ls_lease *lease, ls_lease_info *out);

/** So many bytes may be said with a checkpoint that is prepared. */
#define LS_LEASE_STATE_BYTES_MAX 1024u

/**
 * Note that a checkpoint is about to be made, and what for. Durable when it returns; where the lease stands does not
 * change. Whoever has the lease, this worker or the next, is shown it by ls_lease_info, until a checkpoint is made,
 * wherever, or the end is noted, or another is prepared, which takes its place; the same again writes nothing. So what
 * is to be done at the end of a shard is prepared at its last record.
 *
 * @param seqno      Of the record, as of ls_lease_checkpoint. LS_SEQNO_NONE, with no state: nothing is prepared any
 *                   more, as when what was under way was undone.
 * @param sub_seqno  As of ls_lease_checkpoint. With LS_SEQNO_NONE it is not looked at.
 * @param state      Copied. 0..LS_LEASE_STATE_BYTES_MAX bytes, which are the application's.
 *
 * @retval LS_ERR_TOO_LARGE         `state` is over its limit. Nothing was changed.
 * @retval LS_ERR_INVALID_ARGUMENT  As of ls_lease_checkpoint; or LS_SEQNO_NONE with a state. Nothing was changed.
 *
 * Otherwise as ls_lease_checkpoint.
 *
 * Threads: as ls_group_next. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_lease_prepare(ls_lease *lease, ls_seqno seqno, uint32_t sub_seqno, ls_bytes state);

/**
 * Note that the shard was worked on up to a record, this one included. Durable when it returns; the same place again
 * writes nothing. In the same step nothing is prepared any more, whatever was: that it was made, or will not be.
 *
 * @param seqno      Of the record.
 * @param sub_seqno  Which part of a record that holds several; UINT32_MAX: all of it.
 *
 * @retval LS_ERR_LEASE_LOST        Another worker has the lease: nothing was changed, and nothing can be.
 * @retval LS_ERR_INVALID_ARGUMENT  It is before the last checkpoint, or behind the last record. Nothing was changed.
 * @retval LS_ERR_STATE             It has ended. Nothing was changed.
 * @retval LS_ERR_NOT_FOUND         The group, the shard or the stream is gone.
 * @retval LS_ERR_IO                The outcome is unknown; call again.
 * @retval LS_ERR_BUSY, LS_ERR_FULL, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT, LS_ERR_KEY  Nothing was changed.
 *
 * Threads: as ls_group_next. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_lease_checkpoint(ls_lease *lease, ls_seqno seqno, uint32_t sub_seqno);

/**
 * Note that a closed shard was worked on to its end: the batch that reaches it says so (ls_batch_is_shard_end). Makes
 * the leases of its children, in the same step. Also when the last record was noted before. Twice is LS_OK.
 *
 * @retval LS_ERR_STATE  The shard is open. Nothing was changed.
 *
 * Otherwise as ls_lease_checkpoint.
 *
 * Threads: as ls_group_next. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_lease_end(ls_lease *lease);

/**
 * Give a lease back: to the worker that asked for it, or to whoever takes it; when nobody does, this one takes it again
 * after `failover_ms`. Releases the handle, always. NULL is accepted.
 *
 * @return An error met in giving it back: others then take over in time. LS_OK when it was lost before.
 *
 * Threads: as ls_group_next. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_lease_close(ls_lease *lease);

/** All leases of a group, by shard, and the shards that will get one. */
typedef struct ls_lease_list ls_lease_list;

/**
 * List a group's leases, or a mapping's. Shards that came of those which are not worked on to their end are listed,
 * too: LS_LEASE_WAITING. Also in a store that was opened for reading.
 *
 * @param group  Borrowed until return. The group's name, or the mapping's.
 * @param out    Owned by the caller, release with ls_lease_list_free. Set on LS_OK only.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no such group, or was deleted.
 * @retval LS_ERR_IO, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT, LS_ERR_KEY  Leases cannot be read.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_list_leases(ls_stream *stream, const char *group, ls_lease_list **out);

/** How many there are. Threads: any thread. Never blocks. Since 0.1. */
LS_API uint32_t ls_lease_list_count(const ls_lease_list *list);

/**
 * The lease at `index`.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  Past the end, or `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_lease_list_at(const ls_lease_list *list, uint32_t index, ls_lease_info *out);

/** Release it. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_lease_list_free(ls_lease_list *list);

/**
 * Delete a group with its leases. Durable when it returns. Its workers end with LS_ERR_NOT_FOUND.
 *
 * @param name  Borrowed until return.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no such group, or was deleted. Nothing was changed.
 * @retval LS_ERR_STATE      It is a mapping's: ls_mapping_delete. Nothing was changed.
 * @retval LS_ERR_READ_ONLY, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT, LS_ERR_KEY
 *                           The outcome is unknown for IO, else nothing was changed.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_group_delete(ls_stream *stream, const char *name);

#ifdef __cplusplus
}
#endif
#endif
