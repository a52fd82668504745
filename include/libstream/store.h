/**
 * @file store.h
 * Open a store: a directory of named streams that any number of processes on one machine share.
 *
 * LOCATIONS. A path, `file:PATH` (the same), or `memory:` (a store of its own in memory, private to the handle, gone
 * with it). The directory is made when it is not there; its parent must be.
 *
 * DURABILITY belongs to the store and is kept in it. *Acknowledged* means that the call returned LS_OK:
 *
 *   mode      acknowledged means                            a killed process loses   power loss takes at most
 *   SYNC      on the device (fdatasync returned)            nothing                  nothing
 *   INTERVAL  in the kernel; synced sync_interval_ms later  nothing                  a suffix: since a sync last began
 *   KERNEL    in the kernel; synced at roll and close       nothing                  a suffix of the last segment
 *
 * In SYNC nobody reads a record that a crash could take back. No mode keeps acknowledged bytes in process memory.
 *
 * PROCESSES AND FORK. A handle works in the process that opened it. In a fork child every call on it returns
 * LS_ERR_STATE, and closing it there frees its memory and touches nothing shared.
 *
 * WAITING FOR OTHERS. A process that is killed delays nobody for more than a second. One that is stopped in a lock is
 * waited for: whatever locks a call meets, in however many shards, it waits `busy_timeout_ms` for them in all, and then
 * answers LS_ERR_BUSY, as said there; sooner when the program says so (ls_wait_callback). The lock is never taken from
 * its holder. Only waiting for other processes and threads counts, not the work on the disk, and no time that a call
 * was given to wait for records. Syncing waits for nobody: what another process was stopped in syncing is synced beside
 * it, after a second at most.
 *
 * FILES take owner, group and mode from the store's directory, whoever makes them and whatever the umask: root may use
 * a service's store, and the group of a directory with mode 2770 shares it. Only root can give the owner; others make
 * up for it by an entry in the file's access list, so the service need not be in that group. A group that the maker is
 * not in comes from setgid directories alone: a service that shares its store with a group it is not in needs mode
 * 27xx. Nobody is let in whom the directory does not let in.
 */
#ifndef LIBSTREAM_STORE_H
#define LIBSTREAM_STORE_H

#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** When a put is acknowledged; see the head of this file. */
typedef int32_t ls_durability;
#define LS_DURABILITY_DEFAULT 0 /**< The store's own; SYNC for a new one. */
#define LS_DURABILITY_KERNEL 1
#define LS_DURABILITY_INTERVAL 2
#define LS_DURABILITY_SYNC 3

#define LS_LOG_ERROR 1   /**< Something needs an operator: damage, a failed sync. */
#define LS_LOG_WARNING 2 /**< Something was repaired or held back: a torn tail, a dead process, a clock step. */
#define LS_LOG_INFO 3    /**< Rare events: a roll, a rebuilt control file. */

/**
 * Gets one line about an event. Called on the thread that met it, perhaps while it holds locks of the store: it must
 * not call libstream, and should be quick. `line` is borrowed until return.
 */
typedef void (*ls_log_callback)(void *user, int32_t level, const char *line);

/**
 * Memory for everything the store and its handles allocate: `old` NULL allocates, `bytes` 0 frees and returns NULL,
 * otherwise as realloc(). Called on any thread, perhaps while it holds locks of the store that other processes wait
 * for: it must not call libstream, and should be quick. May return NULL. What zstd, OpenSSL and libc (for listing a
 * directory, for a thread) allocate for themselves, and the pages of keys, do not come from it.
 */
typedef void *(*ls_resize_callback)(void *user, void *old, size_t bytes);

/**
 * What time it is: microseconds since 1970. For tests of programs: see `clock` of ls_store_options. Called on any
 * thread, perhaps under locks of the store: it must not call libstream, and must be quick.
 */
typedef int64_t (*ls_clock_callback)(void *user);

/**
 * Asked while a call waits for others, every 20 ms or so, whether to wait on: 0 is yes. Anything else ends the waiting
 * of this call: from there on it does what it does when `busy_timeout_ms` is over (a put answers LS_ERR_BUSY, and
 * nothing was written; one that waits for another's sync does that sync itself, and ends well). For programs in which
 * somebody may lose patience: Ctrl+C, a request whose client is gone. Not asked by who waits for records.
 *
 * Called on the thread that waits, which may be one of the library's, perhaps while it holds locks of the store that
 * other processes wait for: it must not call libstream, and must be quick.
 */
typedef int (*ls_wait_callback)(void *user);

#define LS_KEY_BYTES 32

/**
 * Gives the key that is called `key_id`: writes LS_KEY_BYTES bytes to `key` and returns LS_OK. Any other answer,
 * LS_ERR_KEY for one, means that there is none: the call that needs it fails with LS_ERR_KEY, and the next one asks
 * again. A key that was given is kept until the store is closed, in memory that is in no core dump and no fork child.
 *
 * Called on the thread that needs the key, under no lock. It must not call libstream for the same store. `key_id` and
 * `key` are borrowed until return.
 */
typedef ls_status (*ls_key_callback)(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES]);

/**
 * A ready ls_key_callback: `path`, its `user`, is the path of a file with 32 bytes or 64 hexadecimal digits (and
 * perhaps a line end), which is every key's; or of a directory, in which the key called `key_id` is such a file of that
 * name.
 *
 * @retval LS_ERR_KEY  It cannot be read, is no regular file but a link for one, belongs to somebody else than this user
 *                     or root, may be used by group or others, or holds something else. The message says which.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_key_from_file(void *path, const char *key_id, unsigned char key[LS_KEY_BYTES]);

/* Least privilege: one of READ_ONLY, CONSUME_ONLY and PRODUCE_ONLY, or none for everything. A call that is not part of
 * it is refused by name before it touches anything: LS_ERR_READ_ONLY, of a store for producing LS_ERR_STATE. Streams
 * can be listed, opened and described in each. Who opens a store for producing or consuming takes its durability as it
 * is, and does upkeep as everybody does. */
#define LS_STORE_READ_ONLY UINT32_C(1)       /**< Read only: creates and changes nothing; puts are LS_ERR_READ_ONLY.
                                                  Opens no file for writing but the control file, where it says what it
                                                  waits for; where that can only be read, a wait looks again
                                                  every 50 ms. */
#define LS_STORE_NO_CREATE UINT32_C(2)       /**< LS_ERR_NOT_FOUND when there is no store. */
/** On a network file system, or one that is not known to be local, at your own risk: locks may not hold. */
#define LS_STORE_NETWORK_FS_ALLOWED UINT32_C(4)

#define LS_STORE_NO_MAPPED_WRITES UINT32_C(8) /**< INTERVAL and KERNEL: write small records too instead of storing them
                                                    into a mapped window of the segment. Several times slower; without
                                                    the risk of every mapping, a signal when the device cannot read a
                                                    page back. */

#define LS_STORE_PRODUCE_ONLY UINT32_C(32)  /**< Puts only: opens no iterators, makes and changes no store or stream. */
/** Reads, and keeps how far that came: groups with their leases and checkpoints (lease.h), runs of mappings, deliveries
 *  and alerts, windows with a name. What these are is for others to create, change and delete; with ls_handler_put and
 *  in transactions nothing is put, but what a mapping gives up goes to its `failure_stream`. */
#define LS_STORE_CONSUME_ONLY UINT32_C(64)
#define LS_STORE_MAINTENANCE_THREAD UINT32_C(16) /**< A thread of the store, named `ls-sweep`, does the upkeep that is
                                                      due (ls_store_maintain), so that it goes on while nobody
                                                      calls. */

/** No space is allocated ahead of the data: `prealloc_bytes` for small devices. */
#define LS_PREALLOC_NONE UINT64_MAX

/** Options of ls_store_open. Zero means the default everywhere. */
typedef struct ls_store_options {
    uint32_t size;                  /**< Set by the INIT macro. */
    uint32_t flags;                 /**< LS_STORE_ bits. */
    ls_durability durability;       /**< DEFAULT keeps the store's. Another one than the store's: see ls_store_open. */
    uint32_t sync_interval_ms;      /**< INTERVAL: a sync begins so soon, at most; 1..60000. 0: the store's, of a new
                                         one 100. Another one than the store's is kept in it, for whoever opens it
                                         later; handles that are open go on with theirs. */
    uint64_t segment_bytes;         /**< 64 KiB..1 GiB, default 64 MiB; rounded up to 4 KiB. Kept: new stores only. */
    uint64_t prealloc_bytes;        /**< Largest step of space made ahead, default 8 MiB; LS_PREALLOC_NONE: none. What
                                         a segment has left that ends before it is full is given back. */
    uint32_t busy_timeout_ms;       /**< How long one call waits for others in all, see above; default 5000. */
    uint32_t reserved;              /**< 0 */
    ls_log_callback log;            /**< NULL: silent. */
    void *log_user;
    ls_resize_callback resize;      /**< NULL: malloc and free. */
    void *resize_user;
    ls_key_callback key_callback;   /**< NULL: encrypted records can be neither read nor put, all else can be done. */
    void *key_user;
    uint32_t streams_max;           /**< This handle makes no more streams than so many in the store; 0: any number. */
    uint32_t shards_max;            /**< ... and no more open shards, in all streams together, by creating or split;
                                         scaling to fewer splits before it merges, and needs room for that. */

    /** For tests of programs that put: trouble on purpose, in this handle's puts alone, the same for the same seed as
     *  long as producers are opened in the same order. What fails was not stored. Of 1,000 puts (in a batch: of 1,000
     *  shards' parts) so many are LS_ERR_THROTTLED, so many LS_ERR_BUSY, and of so many batches the records behind some
     *  first ones are either. */
    uint64_t fault_seed;
    uint32_t fault_throttled_per_1000;
    uint32_t fault_failed_per_1000;
    uint32_t fault_partial_per_1000;
    uint32_t fault_latency_ms;      /**< Each put takes so much longer. */
    /** For tests of programs that want to see Kinesis's states: a consumer that this handle registers is CREATING for
     *  so long (5 of a stream at once), one that it deregisters DELETING. 0: at once. */
    uint32_t transition_ms;
    /** The same of streams (stream.h, `ls_stream_status`): one that this handle creates is CREATING for so long (5 of
     *  the store at once), one that it deletes DELETING, and one that it splits, merges, scales, or changes the mode or
     *  the encryption of is UPDATING for so long after it was done. By the `clock`; nothing is written when it is over,
     *  and whoever has the store open sees the same. 0: at once. */
    uint32_t stream_transition_ms;

    /** For tests of programs: the time of day, by which records are stamped, grow old and are trimmed; NULL: the
     *  system's. Time goes on as this says, so a step ahead is time that passed and is believed at once, where a step
     *  of the system's clock is not (stream.h); after the first minute of it upkeep goes by it, too. All who have the
     *  store open at the same time go by the same clock. Waits and timeouts are by the system's, which nobody sets. */
    ls_clock_callback clock;
    void *clock_user;
    ls_wait_callback wait; /**< NULL: nobody is asked. */
    void *wait_user;
} ls_store_options;
#define LS_STORE_OPTIONS_INIT {(uint32_t)sizeof(ls_store_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, \
                               NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL}

/**
 * Open the store at `location`, making it if it is not there.
 *
 * Costs the same for an empty and for a full store: a shard is looked at when it is first touched. Opening with
 * another `durability` than the store's changes the store's when nobody else has it open (after everything was synced).
 *
 * @param location  Borrowed until return. See the head of this file.
 * @param options   Borrowed until return. NULL: all defaults.
 * @param out       Owned by the caller, release with ls_store_close. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  An option is out of its range.
 * @retval LS_ERR_NOT_FOUND         No store there (READ_ONLY, NO_CREATE), or no parent directory.
 * @retval LS_ERR_STATE             Another `durability` or `segment_bytes` was asked for than the store has, and for
 *                                  the former somebody else has it open, or it is opened for reading.
 * @retval LS_ERR_UNSUPPORTED       A file system that is a network's or is not known to be local, or a location whose
 *                                  engine was not built.
 * @retval LS_ERR_READ_ONLY         The directory cannot be written.
 * @retval LS_ERR_VERSION           Another format, or another control layout is in use by a running process.
 * @retval LS_ERR_CORRUPT           The manifest is damaged, or something else stands in the place of the control file
 *                                  (then READ_ONLY opens); nothing was changed. See `lstream verify`.
 * @retval LS_ERR_BUSY              Another process stopped while opening; `busy_timeout_ms` is over. Nothing is open.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY  Nothing is open. A new store may be half made; opening finishes it.
 *                                                   Reading needs no room: LS_STORE_READ_ONLY opens what is there.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_store_open(const char *location, const ls_store_options *options, ls_store **out);

/**
 * Close a store. What this handle put is synced first, in every mode. Its streams, producers and iterators are closed
 * before it.
 *
 * @param store  NULL is accepted. Released also when an error is returned, but for LS_ERR_STATE.
 *
 * @retval LS_ERR_STATE  Streams, producers or iterators of it are still open: nothing was closed and `store` lives on.
 * @retval LS_ERR_IO     The final sync failed: in INTERVAL and KERNEL a suffix may be lost on power loss.
 *
 * Threads: any thread, when no other call on the store is under way. Blocks on disk, and up to `busy_timeout_ms`. Since
 * 0.1.
 */
LS_API ls_status ls_store_close(ls_store *store);

/**
 * The durability the store has: one of LS_DURABILITY_, never DEFAULT.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_durability ls_store_durability(const ls_store *store);

/**
 * Make everything that was acknowledged before this call durable, in every mode and whoever put it.
 *
 * @retval LS_ERR_READ_ONLY  The store was opened for reading.
 * @retval LS_ERR_IO  A sync failed; the shard it concerns refuses appends from now on (see ls_stream_reset_shard).
 * @retval LS_ERR_BUSY  A shard that an earlier process left to be synced is held by a stopped one. It was not synced;
 *                      all others were.
 *
 * Threads: any thread. Blocks on disk, and up to `busy_timeout_ms`. Since 0.1.
 */
LS_API ls_status ls_store_sync(ls_store *store);

/**
 * Do the upkeep that is due, all of it: trimming (stream.h), removing or setting aside files that a killed process
 * left, keeping space in reserve, and syncing in INTERVAL mode. Whoever opens a store, puts or reads does a bounded
 * piece of it as he goes, once a second at most; this is for programs that rest, and for who wants it done now.
 *
 * @param timeout_ms  Nothing more is begun when so many milliseconds are over; -1: there is no such time.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `timeout_ms` is below -1.
 * @retval LS_ERR_TIMEOUT           The time is over, and something is left to do.
 * @retval LS_ERR_BUSY              A stopped process holds a lock, or somebody has been at the upkeep of a stream for
 *                                  `busy_timeout_ms`. Part of it was done; the next call does the rest.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_NO_MEMORY, LS_ERR_CORRUPT  The first failure; everything else was done.
 *
 * A shard whose sync failed is left as it is until its reset (ls_stream_reset_shard), and so is a store that was opened
 * for reading: LS_OK.
 *
 * Threads: any thread. Blocks on disk, and longer than `timeout_ms` for what was begun. Since 0.1.
 */
LS_API ls_status ls_store_maintain(ls_store *store, int64_t timeout_ms);

/** Options of ls_store_backup. Zero means the default everywhere. */
typedef struct ls_backup_options {
    uint32_t size;     /**< Set by the INIT macro. */
    uint32_t reserved; /**< 0 */
    /** Called as bytes are copied, in the thread of the call, under no lock; it may call anything but ls_store_close.
        `total_bytes` is what a first copy takes, about; an incremental one ends before it. Answers LS_OK to go on;
        anything else ends the call with LS_ERR_CANCELLED. NULL: not called. */
    ls_status (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
    void *user;
} ls_backup_options;
#define LS_BACKUP_OPTIONS_INIT {(uint32_t)sizeof(ls_backup_options), 0, NULL, NULL}

/**
 * Copy the store into `directory` while it is in use: everything that was acknowledged before this call, and perhaps
 * more. Each shard of the copy is a prefix of the shard; the copy is synced, and is a store that can be opened, read,
 * verified, or put in the place of the original.
 *
 * A directory that holds an earlier copy of the same store gets what is new, and loses what was trimmed or deleted
 * since: sealed segments are not copied again. Every frame is checked as it is copied. Producers and readers are
 * neither stopped nor waited for.
 *
 * @param directory  Borrowed until return. Made (0700) when it is not there; its parent must be. It is empty or holds
 *                   an earlier copy that nobody has open. It may be on a network file system. Not within the store.
 * @param options    Borrowed until return. NULL: all defaults.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The directory is, or would be, within the store, by whatever path. Nothing was
 *                           changed.
 * @retval LS_ERR_EXISTS     The directory holds something else: another store, or a file. Nothing was changed.
 * @retval LS_ERR_STATE      Another backup into the directory is under way (on NFS that is not noticed). Or the copy
 *                           there is open, or was written to: it has records, streams, splits or merges that this
 *                           store never had. Settings that were changed there do not count, and are lost. A
 *                           stream that was made there goes unnoticed when this store has since made and deleted one.
 * @retval LS_ERR_CORRUPT    A part of the store is damaged, or of the copy; see `lstream verify`.
 * @retval LS_ERR_CANCELLED  `progress` said so.
 * @retval LS_ERR_FULL, LS_ERR_IO, LS_ERR_READ_ONLY, LS_ERR_NOT_FOUND, LS_ERR_NO_MEMORY  As their names say, of the
 *                           directory. After these and the three before an earlier copy is still a copy, some shards of
 *                           which may go on further; the same call may be made again.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_store_backup(ls_store *store, const char *directory, const ls_backup_options *options);

/** A page of stream names, in byte order. */
typedef struct ls_stream_list ls_stream_list;

/**
 * List the store's streams.
 *
 * @param after  Borrowed until return. Only names after this one; NULL or "": from the first.
 * @param limit  At most this many, 1..10000; 0: 100.
 * @param out    Owned by the caller, release with ls_stream_list_free. Set on LS_OK only.
 *
 * @retval LS_ERR_BUSY  A process was killed while it created or deleted a stream, and another one is stopped that puts
 *                      this right.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_store_list_streams(ls_store *store, const char *after, uint32_t limit, ls_stream_list **out);

/** How many names the page has. Threads: any thread. Never blocks. Since 0.1. */
LS_API size_t ls_stream_list_count(const ls_stream_list *list);

/**
 * The name at `index`, or NULL past the end. A view: valid until the list is freed.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API const char *ls_stream_list_at(const ls_stream_list *list, size_t index);

/** 1 when there are more names after this page's last. Threads: any thread. Never blocks. Since 0.1. */
LS_API int32_t ls_stream_list_has_more(const ls_stream_list *list);

/** Release a page. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_stream_list_free(ls_stream_list *list);

#ifdef __cplusplus
}
#endif
#endif
