/* Files, through a table that a test can replace: the system's (`lsi_files_system`), one in memory (`memory:` stores)
 * and the harnesses' that record, tear, fail and crash. Nothing outside base names a file call of libc.
 *
 * Names are relative to a root, "/"-separated, without "." and ".."; the system's table opens them beneath the root
 * with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), or O_NOFOLLOW step by step where the kernel lacks it, and
 * accepts regular files only (a FIFO is EINVAL and does not hang; see lsi_file_misfit).
 *
 * Results: 0 or more is success, below 0 is -errno. EINTR is retried and short transfers are continued inside, so a
 * caller sees all or an error; after a failed write some bytes may have been written. Any thread may use one file. */
#ifndef LSI_BASE_FILE_H
#define LSI_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

typedef struct lsi_files lsi_files;

/* An open root directory: a store's. */
typedef struct lsi_root {
    const lsi_files *files;
    int fd;     /* the system's table; -1 elsewhere */
    void *node; /* other tables */
    bool is_claimed; /* root_claim's */
    /* Asked when the process or the system has no descriptor left: true, one was closed, it is tried again. Called with
     * whatever locks the caller of the file function holds. NULL: nobody can be asked. Whoever opens a root sets it. */
    bool (*make_room)(void *user);
    void *room_user;
} lsi_root;

/* An open file. Zeroed with `files` NULL: not open. */
typedef struct lsi_file {
    const lsi_files *files;
    int fd;
    void *node;
} lsi_file;

typedef struct lsi_span {
    const void *data;
    size_t size;
} lsi_span;

#define LSI_OPEN_WRITE 1u     /* read and write; else read only */
#define LSI_OPEN_CREATE 2u    /* with LSI_OPEN_WRITE: make it if it is not there; owner, group and mode follow the
                                 root's (file_owner.c) */
#define LSI_OPEN_EXCLUSIVE 4u /* with LSI_OPEN_CREATE: -EEXIST if it is there */
#define LSI_OPEN_MAPPED 8u    /* with LSI_OPEN_CREATE: it will be mapped and stored into, so where the file system
                                 copies on write it is made without that, as far as it can be (E5) */

#define LSI_ROOT_CREATE 1u /* make the directory (0700) and its missing parents are an error */
#define LSI_ROOT_SYNC_NAME 4u /* make its own name durable, whoever made it and whenever */
#define LSI_ROOT_WRITE 2u  /* refuse (-EROFS, -EACCES) what cannot be written; without it nothing is ever created */

/* IN_PLACE: local, and writing over bytes that were written before never needs space (no copy on write), so a store
 * into a mapping of such bytes cannot meet a full disk. COPYING: local, and every change takes new blocks, of its
 * metadata too. LOCAL: neither is known. NETWORK: one, or not known to be local (E7). */
typedef enum { LSI_FS_LOCAL, LSI_FS_NETWORK, LSI_FS_IN_PLACE, LSI_FS_COPYING } lsi_fs_kind;
lsi_fs_kind lsi_fs_kind_of(uint32_t type); /* of statfs() */
typedef enum { LSI_LOCK_NONE, LSI_LOCK_SHARED, LSI_LOCK_EXCLUSIVE } lsi_lock_kind;

struct lsi_files {
    void *user;
    int (*root_open)(const lsi_files *self, const char *path, unsigned flags, lsi_root *out);
    void (*root_close)(lsi_root *root);
    int (*root_kind)(const lsi_root *root, lsi_fs_kind *out);
    int (*root_free_bytes)(const lsi_root *root, uint64_t *out);
    /* Whether the directory `path`, which need not be there, is or would be beneath the root: 1 or 0, links followed.
     * NULL: no path is. */
    int (*root_holds)(const lsi_root *root, const char *path);
    /* Until it is closed, or the process has died, nobody else claims the directory: -EWOULDBLOCK, somebody has. Where
     * the file system cannot tell, everybody may. NULL: as there. */
    int (*root_claim)(lsi_root *root);
    /* How many files this process may have open now. NULL: any number. */
    uint32_t (*descriptors_max)(const lsi_files *self);

    int (*open)(const lsi_root *root, const char *name, unsigned flags, lsi_file *out);
    int (*close)(lsi_file *file); /* releases always; marks it not open */
    int64_t (*read)(const lsi_file *file, void *into, size_t size, uint64_t at); /* less than `size` only at the end */
    int (*write)(const lsi_file *file, const lsi_span *spans, int count, uint64_t at); /* all spans, in order */
    int (*sync)(const lsi_file *file, bool data_only); /* fdatasync or fsync */
    int (*allocate)(const lsi_file *file, uint64_t at, uint64_t size); /* grows the file; -EOPNOTSUPP: not here */
    /* A hint, may be NULL: begin to write these bytes back, do not wait, promise nothing. A later sync finds less to
     * do. */
    void (*start_writeback)(const lsi_file *file, uint64_t at, uint64_t size);
    /* A hint, may be NULL: nobody needs these bytes any more, so the space of those blocks that are among them as a
     * whole is given back, where this file system can. They read as zeros then; the size of the file stays. */
    void (*give_back)(const lsi_file *file, uint64_t at, uint64_t size);
    int (*truncate)(const lsi_file *file, uint64_t size);
    int (*size)(const lsi_file *file, uint64_t *out);

    int (*make_dir)(const lsi_root *root, const char *name); /* owner, group and mode follow the root's; -EEXIST */
    int (*rename)(const lsi_root *root, const char *from, const char *to); /* replaces */
    int (*rename_new)(const lsi_root *root, const char *from, const char *to); /* -EEXIST when there is a `to` */
    int (*unlink)(const lsi_root *root, const char *name);
    int (*remove_dir)(const lsi_root *root, const char *name);
    int (*sync_dir)(const lsi_root *root, const char *name); /* "" is the root itself */
    /* Makes much durable at once. What is written and named beneath the root after `bulk_begin` is on the device when
     * `bulk_end` with `sync` returns 0, as if each file and directory had been synced by a descriptor held from then
     * on. -EOPNOTSUPP: this kernel or file system cannot promise that; sync one by one. `bulk_end` releases always. */
    int (*bulk_begin)(const lsi_root *root, lsi_file *bulk);
    int (*bulk_end)(lsi_file *bulk, bool sync);
    /* Calls `each` for every entry but "." and ".."; a non-zero answer stops and is returned. Any order. */
    int (*list)(const lsi_root *root, const char *name, int (*each)(void *user, const char *entry, bool is_dir),
                void *user);

    /* Shared mapping of [at, at + size); may reach past the end of the file, where it must not be touched. */
    int (*map)(const lsi_file *file, uint64_t at, size_t size, bool writable, void **out);
    void (*unmap)(const lsi_file *file, void *map, size_t size);
    /* A store of `size` bytes into a mapped range, visible to the harnesses. */
    void (*store)(const lsi_file *file, void *into, const void *bytes, size_t size);

    /* OFD locks on one byte. Does not wait: -EAGAIN when another open of the file holds a conflicting one.
     * LSI_LOCK_NONE releases. Locks go with the last close of this open file description. */
    int (*lock)(const lsi_file *file, uint64_t byte, lsi_lock_kind kind);
    /* 1 when another open holds a lock that conflicts with an exclusive one on `byte`, 0 when none does. */
    int (*locked_elsewhere)(const lsi_file *file, uint64_t byte);
    /* What a fork child must do first: give up the descriptor without any effect on the parent's locks. */
    void (*abandon)(lsi_file *file);
};

extern const lsi_files lsi_files_system;

/* A file system of its own in memory. `*out` is owned by the caller. NULL: no memory. */
lsi_files *lsi_files_memory_new(const lsi_memory *memory);
void lsi_files_memory_free(lsi_files *files);

/* What D6 calls replacement: writes `name`.new, fsyncs it, renames it to `name`, fsyncs the directory `dir` ("" for
 * the root). -errno; after -EIO the old file or the new one is there, whole, after any other the old one. -EINPROGRESS:
 * the new one, but there was no descriptor to sync the directory, so no sync has failed (E4); it is LS_ERR_IO, too. */
int lsi_file_replace(const lsi_root *root, const char *dir, const char *name, const void *bytes, size_t size);

/* A new file, which must not be there, with these bytes; not synced. What a failure leaves is the caller's to
 * remove. */
int lsi_file_make(const lsi_root *root, const char *name, const void *bytes, size_t size);

/* Reads a whole file of at most `max` bytes into memory from `memory`. -EFBIG when it is larger. */
int lsi_file_load(const lsi_root *root, const char *name, size_t max, const lsi_memory *memory, void **out,
                  size_t *size);

/* Whether `name` is what every table accepts: relative, "/"-separated, without empty, "." and ".." parts, and shorter
 * than LSI_FILE_NAME_BYTES_MAX. Others are -EINVAL. */
#define LSI_FILE_NAME_BYTES_MAX 1088 /* a delivered object's; "<stream id>/<shard>/00000001.seg.new" is far below it */
bool lsi_file_name_is_plain(const char *name);

/* What stands under a name instead of a regular file, as the end of a sentence that begins with the name, for a
 * `result` of opening or loading it. NULL: `result` says something else. */
const char *lsi_file_misfit(int result);

/* For what opens a descriptor of the library that stays open: `fd` (or -errno, as it is) by a number that is none of
 * standard input, output and error, so that no program prints into it, or loses it by setting those up later. */
int lsi_fd_move_up(int fd);

static inline bool lsi_file_is_open(const lsi_file *file) { return file->files != NULL; }
static inline int lsi_file_write_one(const lsi_file *file, const void *data, size_t size, uint64_t at)
{
    lsi_span span = {data, size};
    return file->files->write(file, &span, 1, at);
}

#endif
