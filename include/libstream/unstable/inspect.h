/**
 * @file inspect.h
 * UNSTABLE: everything here may change or go in any release, and is outside the promise of a stable ABI.
 *
 * Looking into a store from outside: print a file's structures, check every byte, repair damage, and see who is at
 * work.
 * This is what `lstream dump`, `verify`, `repair` and `status` are made of.
 *
 * Verifying never changes anything and may run beside producers: it stops where their published end was when it began.
 * Repairing needs the store for itself. It deletes and overwrites nothing: before a file is replaced or put out of use
 * its bytes are kept beside it as NAME.damaged-N.
 *
 * All callbacks run on the calling thread, under no lock, and may call libstream. What they are given is borrowed until
 * they return.
 */
#ifndef LIBSTREAM_UNSTABLE_INSPECT_H
#define LIBSTREAM_UNSTABLE_INSPECT_H

#include <libstream/status.h>
#include <libstream/stream.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a callback answers: go on, or stop: then the call ends as if that had been all there is. */
typedef int32_t ls_inspect_act;
#define LS_INSPECT_GO_ON 0
#define LS_INSPECT_STOP 1

/** Gets one line without its end. */
typedef ls_inspect_act (*ls_inspect_line_callback)(const char *line, void *user);

/**
 * Print every structure of one file of a store, line by line: a manifest, a segment list, a segment with its frames and
 * records, an index, a control file. What it is, is told by its first bytes and its name, not by its place; sums that
 * need to know the store are checked when the file lies in one. Damage is printed and printing goes on where it can.
 *
 * @param path  Borrowed until return. A file.
 *
 * @retval LS_ERR_NOT_FOUND         There is no such file.
 * @retval LS_ERR_INVALID_ARGUMENT  It is no file of a store.
 * @retval LS_ERR_CORRUPT           All was printed that can be; some of it fails its checks.
 * @retval LS_ERR_IO, LS_ERR_NO_MEMORY
 *
 * Threads: any thread. Blocks on disk. Since 0.1, unstable.
 */
LS_API ls_status ls_inspect_dump(const char *path, ls_inspect_line_callback line, void *user);

/** How much a finding matters. */
typedef int32_t ls_finding_severity;
#define LS_FINDING_NOTE 1   /**< As it should be after a crash or a repair: nothing to do. */
#define LS_FINDING_HINT 2   /**< A file that is rebuilt by itself is damaged: nothing is lost. */
#define LS_FINDING_DAMAGE 3 /**< Records or settings cannot be read, or the store cannot be written. */

/** What was found. */
typedef int32_t ls_finding_kind;
#define LS_FINDING_MANIFEST 1        /**< The manifest is missing, fails its checks, or the disk does not give it
                                          back: no stream can be opened. As HINT or NOTE: its copy differs or is
                                          missing. */
#define LS_FINDING_SEGMENT_LIST 2    /**< A shard's segment list is missing or fails its checks. */
#define LS_FINDING_SEGMENT_MISSING 3 /**< A listed segment is not there. */
#define LS_FINDING_SEGMENT_HEADER 4  /**< A segment's header fails its checks: none of it can be read. */
#define LS_FINDING_FRAMES 5          /**< Bytes of a segment that held records are no valid frames. */
#define LS_FINDING_SEGMENT_SHORT 6   /**< A segment's file ends before its records do. */
#define LS_FINDING_INDEX 7           /**< An index has wrong entries. */
#define LS_FINDING_CONTROL 8         /**< The control file fails its checks, is no file, or is older than a shard. */
#define LS_FINDING_TORN_TAIL 9       /**< Bytes after the last record: an append that a crash cut off. */
#define LS_FINDING_SKIPPED 10        /**< Damage that an earlier repair made readers step over. */
#define LS_FINDING_STRAY_FILE 11     /**< A file that nothing names: left by a killed process, or kept by a repair. As
                                          DAMAGE: a segment with records that the segment list should name, or a
                                          directory with records that the manifest is older than. */
#define LS_FINDING_FILE_UNREADABLE 12 /**< The system would not read a file. */
#define LS_FINDING_SYNC_FAILED 13     /**< A sync failed: the shard refuses puts until it is repaired or reset. */
#define LS_FINDING_RESERVE 14         /**< Something else stands in the place of the reserve. */
#define LS_FINDING_PRODUCERS 15       /**< What a shard remembers of producers is missing or fails its checks: numbered
                                           puts are refused. */

/** `records_max` when nobody can say: all of a shard, or of a store. */
#define LS_RECORDS_UNKNOWN UINT64_MAX

/** One thing that verifying found. Given by the library; it never shrinks. */
typedef struct ls_finding {
    uint32_t size;                /**< Of this structure in the library's release. */
    ls_finding_severity severity;
    ls_finding_kind kind;
    uint32_t shard;               /**< LS_NO_SHARD when it is not about one; or LS_STATE_SHARD. */
    uint64_t stream_id;           /**< 0 when it is not about one. */
    const char *stream;           /**< Its name; "" when unknown. */
    const char *file;             /**< Beneath the store's directory. */
    uint64_t offset;              /**< In the file. */
    uint64_t bytes;               /**< How many bytes from there; 0: the rest, or unknown. */
    ls_seqno first_seqno;         /**< The numbers of the records lost lie from here ... */
    ls_seqno last_seqno;          /**< ... to here, inclusive. Both 0: none is lost, or it is not known. */
    uint64_t records_max;         /**< At most so many records are lost (numbers are not consecutive), or, of a damaged
                                       manifest, cannot be reached; or LS_RECORDS_UNKNOWN. */
    int32_t repairable;           /**< 1: ls_inspect_repair does what `advice` says. */
    int32_t repaired;             /**< 1: it just did. */
    const char *what;             /**< One line: file, place, what is wrong, what is lost. */
    const char *advice;           /**< One line: what to do. */
} ls_finding;

/** Gets one finding. */
typedef ls_inspect_act (*ls_inspect_finding_callback)(const ls_finding *finding, void *user);

/** Go on although the store is on a network file system. */
#define LS_INSPECT_NETWORK_FS_ALLOWED UINT32_C(1)

/** Options of verify and repair. Zero means the default everywhere. */
typedef struct ls_inspect_options {
    uint32_t size;       /**< Set by the INIT macro. */
    uint32_t flags;      /**< LS_INSPECT_ bits. */
    const char *stream;  /**< Only this stream's files, and the manifest. Borrowed until return. NULL: all. */
} ls_inspect_options;
#define LS_INSPECT_OPTIONS_INIT {(uint32_t)sizeof(ls_inspect_options), 0, NULL}

/** What was looked at. The caller sets `size` by the INIT macro. */
typedef struct ls_inspect_summary {
    uint32_t size;       /**< Set by the INIT macro. */
    uint32_t streams;
    uint32_t shards;
    uint32_t segments;
    uint64_t frames;     /**< Whole and right. */
    uint64_t records;    /**< In them. */
    uint64_t bytes;      /**< Read. */
    uint64_t damages;    /**< Findings of severity DAMAGE. */
    uint64_t hints;      /**< Of severity HINT. */
    uint64_t notes;      /**< Of severity NOTE. */
    uint64_t repaired;   /**< Findings that were repaired. */
    uint64_t records_lost_max; /**< Sum over the damages; LS_RECORDS_UNKNOWN when one of them is. */
} ls_inspect_summary;
#define LS_INSPECT_SUMMARY_INIT {(uint32_t)sizeof(ls_inspect_summary), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/**
 * Check every byte of the store at `location`: manifest, control file, every segment list, segment, frame, record and
 * index. Changes nothing; needs only to read.
 *
 * @param location  Borrowed until return. A path or `file:PATH`.
 * @param options   Borrowed until return. NULL: all defaults.
 * @param finding   Called once for each thing found. May be NULL.
 * @param summary   May be NULL. Filled also when LS_ERR_CORRUPT is returned.
 *
 * @retval LS_OK                Everything was looked at, there may be findings but no damage.
 * @retval LS_ERR_CORRUPT       There is damage; it was given to `finding`.
 * @retval LS_ERR_NOT_FOUND     No store there, or no stream of that name.
 * @retval LS_ERR_VERSION       The store's format is another release's.
 * @retval LS_ERR_UNSUPPORTED   `location` is no directory, or is on a network file system.
 * @retval LS_ERR_IO, LS_ERR_NO_MEMORY
 *
 * Threads: any thread. Blocks on disk, as long as reading all of the store takes. Since 0.1, unstable.
 */
LS_API ls_status ls_inspect_verify(const char *location, const ls_inspect_options *options,
                                   ls_inspect_finding_callback finding, ls_inspect_summary *summary, void *user);

/**
 * Verify, and repair what is damaged: afterwards everything outside the damage can be read, and shards take puts again.
 * What is lost stays lost; `finding` says what, before and whether it was done.
 *
 * Damaged frames and missing segments are stepped over from then on; the segments' files are not touched. A segment
 * list is rebuilt from the segments' headers, a header from the list. A damaged index or control file is set aside:
 * they are hints, and made anew as they are missed. In the place of a damaged manifest comes the copy that the library
 * keeps of it. Where that is missing or damaged too, the manifest is not repaired: names and settings are nowhere else.
 * Then all logs are looked at as by ls_inspect_verify, with ids for the streams' names, and none is repaired.
 *
 * @param dry_run  1: as ls_inspect_verify, but says what repairing would do.
 *
 * @retval LS_OK           Nothing is damaged any more (dry run: nothing is damaged).
 * @retval LS_ERR_CORRUPT  Damage is left that cannot be repaired (dry run: there is damage).
 * @retval LS_ERR_STATE    Somebody has the store open; nothing was changed. (Not for a dry run.)
 * @retval LS_ERR_BUSY     A process was stopped for 5 seconds while it opened the store; nothing was changed. (Nor for
 *                         one.)
 * @retval LS_ERR_READ_ONLY, LS_ERR_FULL  Repairing stopped there; what was repaired before stays so. Try again.
 * Others as ls_inspect_verify.
 *
 * Threads: any thread. Blocks on disk. Since 0.1, unstable.
 */
LS_API ls_status ls_inspect_repair(const char *location, const ls_inspect_options *options, int32_t dry_run,
                                   ls_inspect_finding_callback finding, ls_inspect_summary *summary, void *user);

/** A process that has the store open, or died with it open. */
typedef struct ls_inspect_process {
    uint32_t size;       /**< Of this structure in the library's release. */
    int32_t pid;         /**< As the process itself sees it: another PID namespace has other numbers. */
    int32_t alive;       /**< The kernel's word, not the number's. */
    int32_t read_only;
    int64_t attached_us; /**< Since when, microseconds since the epoch. */
} ls_inspect_process;

/** A shard that was used since the machine started. */
typedef struct ls_inspect_shard {
    uint32_t size;               /**< Of this structure in the library's release. */
    uint32_t shard;
    uint64_t stream_id;
    const char *stream;          /**< Its name. */
    ls_status health;            /**< LS_OK, LS_ERR_IO (a sync failed), LS_ERR_CORRUPT (damaged; also
                                      one that nobody has open and whose list of segments cannot be read). */
    int32_t failed_errno;        /**< LS_ERR_IO: what the sync said. */
    uint32_t torn_count;         /**< Torn tails found since the machine started. */
    uint32_t append_lock_holder; /**< Thread id, 0: free. As of this moment. */
    uint32_t sync_lock_holder;   /**< Thread id, 0: free. */
    uint32_t reserved;
    uint64_t committed_end;      /**< Position: frames before it are in the kernel. */
    uint64_t durable_end;        /**< Position: frames before it are on the device. */
    ls_seqno next_seqno;
} ls_inspect_shard;

/** The space a stream takes. */
typedef struct ls_inspect_stream {
    uint32_t size;       /**< Of this structure in the library's release. */
    uint32_t shards;
    uint64_t stream_id;
    const char *stream;  /**< Its name. */
    uint64_t files;
    uint64_t bytes;      /**< Sum of the files' sizes. */
    uint64_t cut_count;  /**< What trimming took from readers since the machine was started, as ls_stream_cuts. */
    uint64_t cut_records;
    uint64_t cut_bytes;
    uint64_t cut_lag_ms;
    int64_t cut_last_us;
} ls_inspect_stream;

/** The store itself. */
typedef struct ls_inspect_store {
    uint32_t size;              /**< Of this structure in the library's release. */
    int32_t durability;         /**< LS_DURABILITY_ of store.h. */
    unsigned char store_id[16];
    uint64_t segment_bytes;
    uint32_t stream_count;
    uint32_t store_lock_holder; /**< Thread id, 0: free. */
    uint64_t bytes;             /**< Sum of all files' sizes. */
    uint64_t free_bytes;        /**< Left on the file system. */
    int32_t control_is_current; /**< 0: nobody opened the store since the machine started. */
    int32_t reserved;
} ls_inspect_store;

/** What ls_inspect_status calls, each may be NULL: the store first, then processes, streams and shards. */
typedef struct ls_inspect_callbacks {
    uint32_t size; /**< Set by the INIT macro. */
    uint32_t reserved;
    void (*store)(const ls_inspect_store *store, void *user);
    void (*process)(const ls_inspect_process *process, void *user);
    void (*stream)(const ls_inspect_stream *stream, void *user);
    void (*shard)(const ls_inspect_shard *shard, void *user);
} ls_inspect_callbacks;
#define LS_INSPECT_CALLBACKS_INIT {(uint32_t)sizeof(ls_inspect_callbacks), 0, NULL, NULL, NULL, NULL}

/**
 * Look at the store at `location` without opening it: who has it open, who holds its locks, which shards refuse puts,
 * how much space it takes. Takes no lock and changes nothing; what it shows may have changed when it is shown.
 *
 * @param location   Borrowed until return. A path or `file:PATH`.
 * @param callbacks  Borrowed until return.
 *
 * @retval LS_ERR_NOT_FOUND  No store there.
 * @retval LS_ERR_CORRUPT    The manifest is damaged: nothing but processes was shown.
 * @retval LS_ERR_VERSION    The control file or the manifest is another release's.
 * @retval LS_ERR_UNSUPPORTED, LS_ERR_IO, LS_ERR_NO_MEMORY
 *
 * Threads: any thread. Blocks on disk. Since 0.1, unstable.
 */
LS_API ls_status ls_inspect_status(const char *location, const ls_inspect_callbacks *callbacks, void *user);

#ifdef __cplusplus
}
#endif
#endif
