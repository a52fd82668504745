/**
 * @file txn.h
 * Transactions: puts to several shards and streams of one store, and checkpoints, that are done as one step or not at
 * all. So whoever reads one stream and writes to others does each record exactly once:
 *
 *     ls_txn_begin(store, NULL, &txn);
 *     for (;;) {
 *         read a batch; for each record that comes of it: ls_txn_put(txn, to, key, data, NULL)
 *         ls_txn_checkpoint(txn, lease, last->seqno, UINT32_MAX)
 *         ls_txn_commit(txn, NULL, 0)          LS_ERR_LEASE_LOST: ls_txn_abort, the next owner does it
 *     }
 *
 * Handlers of a mapping get the same by ls_handler_put (mapping.h), without any of this.
 *
 * WHAT HOLDS. Nobody is shown a record of a transaction, or its checkpoint, before all of it is durable, in every mode;
 * then readers see each record once, in the order of the puts within a shard. A process that is killed, or a loss of
 * power, at any instruction leaves all of it or nothing. A checkpoint is fenced: of two workers who both believe that
 * they have the lease one commits. Between shards nothing is promised of the moment at which each reader sees its part.
 * A copy of the store (ls_store_backup) never has a checkpoint without its records; of a transaction that is committed
 * while it is made it may have records without the checkpoint, which are then done again from the copy.
 *
 * LEASES OF ONE STREAM. Records may go to any streams, but the leases that a transaction has are of one. A stream keeps
 * its leases in a log of its own, its state; and what makes a transaction count, for all of its shards, is the one
 * durable frame of that log in which its checkpoints are. A checkpoint in another stream's state would be a second such
 * frame, which counts only if the first one does. Whoever looks at that stream's leases, to renew, to take, to make any
 * checkpoint, would have to ask the first stream's state before each look, and after a crash two states whose last
 * frames depend on each other would have nobody to ask; nor would a release that knows states without such frames open
 * the store. So who works on several streams commits a transaction for each of them: what comes of a batch of one is
 * put, and its checkpoint made, once, as above. What is joined out of several goes through a stream of its own, into
 * which they are put first.
 *
 * While a transaction is committed no other put goes into its shards; it is as short as its writes and syncs are. What
 * a process that died in it left is decided by the next one that puts or reads there.
 */
#ifndef LIBSTREAM_TXN_H
#define LIBSTREAM_TXN_H

#include <libstream/lease.h>
#include <libstream/producer.h>
#include <libstream/status.h>
#include <libstream/store.h>
#include <libstream/stream.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A transaction: what was added to it since it was begun, committed or aborted. */
typedef struct ls_txn ls_txn;

#define LS_TXN_RECORDS_MAX 65536u                /**< Puts of one transaction, */
#define LS_TXN_BYTES_MAX (64u << 20)             /**< their keys and data together, */
#define LS_TXN_SHARDS_MAX 256u                   /**< how many shards they may go to, */
#define LS_TXN_CHECKPOINTS_MAX 256u              /**< and how many leases may be checkpointed. */

/** Options of a transaction. Zero means the default everywhere. */
typedef struct ls_txn_options {
    uint32_t size;     /**< Set by the INIT macro. */
    uint32_t reserved; /**< 0 */
} ls_txn_options;
#define LS_TXN_OPTIONS_INIT {(uint32_t)sizeof(ls_txn_options), 0}

/**
 * Make a transaction, with nothing in it. It can be used again after each commit and abort.
 *
 * @param options  Borrowed until return. NULL: all defaults.
 * @param out      Owned by the caller, release with ls_txn_close. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  An option.
 * @retval LS_ERR_READ_ONLY         The store was opened for reading or consuming.
 * @retval LS_ERR_NO_MEMORY         As its name says.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_txn_begin(ls_store *store, const ls_txn_options *options, ls_txn **out);

/**
 * Add a record. It is put by ls_txn_commit.
 *
 * @param stream         Of the same store. Used until the transaction is closed.
 * @param partition_key  Copied. As of ls_producer_put.
 * @param data           Copied.
 * @param options        Borrowed until return. `explicit_hash_key` counts and is copied; the durability is that of all
 *                       transactions. NULL: all defaults.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  Key or option, or the stream is of another store. Nothing was added.
 * @retval LS_ERR_UNSUPPORTED       The options number the put: what makes a transaction happen once is its checkpoint.
 *                                  Nothing was added.
 * @retval LS_ERR_TOO_LARGE         Key or record is over its limit, or the transaction would be over
 *                                  LS_TXN_RECORDS_MAX or LS_TXN_BYTES_MAX. Nothing was added.
 * @retval LS_ERR_STATE             The outcome of the commit before is unknown: abort. Nothing was added.
 * @retval LS_ERR_NOT_FOUND, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_NO_MEMORY
 *                                  The stream's limits cannot be had. Nothing was added.
 *
 * Threads: one at a time for one transaction. Blocks on disk at the first record of a stream. Since 0.1.
 */
LS_API ls_status ls_txn_put(ls_txn *txn, ls_stream *stream, ls_bytes partition_key, ls_bytes data,
                            const ls_put_options *options);

/**
 * Add a checkpoint: that of ls_lease_checkpoint, made by ls_txn_commit. A later one of the same lease replaces it. All
 * leases of a transaction are of one stream, though of any groups.
 *
 * @param lease  Used until commit or abort: it is not closed meanwhile.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `seqno` is none, or the lease is of another store, or of another stream than those
 *                                  that were added before. Nothing was added.
 * @retval LS_ERR_TOO_LARGE         It would be over LS_TXN_CHECKPOINTS_MAX. Nothing was added.
 * @retval LS_ERR_STATE             The outcome of the commit before is unknown: abort. Nothing was added.
 * @retval LS_ERR_NO_MEMORY         As its name says. Nothing was added.
 *
 * Threads: one at a time for one transaction, and as ls_group_next for the lease. Never blocks. Since 0.1.
 */
LS_API ls_status ls_txn_checkpoint(ls_txn *txn, ls_lease *lease, ls_seqno seqno, uint32_t sub_seqno);

/**
 * Do all of it. What goes to one shard has at most 16 MiB, with some bytes for each record. With LS_OK it is durable,
 * in every mode, and the transaction is empty. Without, the transaction is as it was, and may be committed again where
 * the status says so. One that is empty does nothing.
 *
 * @param results  Shard and number of each record, in the order of the puts, set on LS_OK only. Room for `count`.
 *                 NULL: nobody wants to know.
 * @param count    Of `results`: at least as many as records were put. With NULL: 0.
 *
 * @retval LS_ERR_LEASE_LOST        Another worker has one of the leases. Nothing was done.
 * @retval LS_ERR_INVALID_ARGUMENT  A checkpoint goes back, or is behind the shard's last record; or `count`. Nothing
 *                                  was done.
 * @retval LS_ERR_TOO_LARGE         More than LS_TXN_SHARDS_MAX shards, or a shard's part is over its limit. Nothing was
 *                                  done.
 * @retval LS_ERR_THROTTLED         A shard is over a limit of its provisioned stream; the message names it. Nothing was
 *                                  done; commit again after ls_last_error_retry_after_ms().
 * @retval LS_ERR_STATE             The outcome of the commit before is unknown: abort. Or a lease has ended. Nothing
 *                                  was done.
 * @retval LS_ERR_IO                The outcome is unknown, but for all of it the same: the leases, listed anew, tell
 *                                  (ls_stream_list_leases). The transaction takes nothing more until ls_txn_abort. A
 *                                  shard whose sync failed refuses puts from now on (ls_stream_reset_shard); where that
 *                                  was the state of the first stream (LS_STATE_SHARD), which would tell, so do the
 *                                  shards that were put to.
 * @retval LS_ERR_BUSY, LS_ERR_FULL, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT, LS_ERR_KEY, LS_ERR_NOT_FOUND
 *                                  As of ls_producer_put and ls_lease_checkpoint. Nothing was done.
 *
 * Threads: one at a time for one transaction, and as ls_group_next for its leases. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_txn_commit(ls_txn *txn, ls_record_id *results, size_t count);

/** Forget what was added; nothing of it is done. Also after a commit whose outcome is unknown. NULL is accepted.
 *  Threads: one at a time for one transaction. Never blocks. Since 0.1. */
LS_API void ls_txn_abort(ls_txn *txn);

/** Release a transaction; what it has is forgotten. NULL is accepted. Its streams and its store are closed after it.
 *  Threads: one at a time for one transaction. Never blocks. Since 0.1. */
LS_API void ls_txn_close(ls_txn *txn);

#ifdef __cplusplus
}
#endif
#endif
