/* The system's files (`lsi_files_system`) and two small things made of any table: replace and load.
 *
 * It is the one place that names a file call of libc or the kernel, so that a harness that replaces the table sees
 * every byte that goes to disk. What it promises beyond file.h:
 *
 *   F1  Nothing outside the root is opened, whatever links somebody put into the directory: openat2 with
 *       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, or one step after another with O_NOFOLLOW where the kernel lacks
 *       openat2 or a seccomp filter forbids it (X3).
 *   F2  Only regular files are opened. O_NONBLOCK keeps a FIFO from hanging the open; fstat refuses it.
 *   F3  A caller sees all bytes or an error: EINTR is retried, short transfers are continued (E4).
 *   F4  Every descriptor is O_CLOEXEC: a program started by the application never keeps a lock alive (P6).
 *   F5  No file of a store is descriptor 0, 1 or 2, also in a process that has closed them: what somebody prints there
 *       would be written over records.
 *
 * close() is not retried after EINTR: on Linux the descriptor is gone and its number may already be another
 * thread's. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file_owner.h"

#define CREATE_TRIES_MAX 100
#define SPANS_PER_CALL 64

bool lsi_file_name_is_plain(const char *name)
{
    const char *part = name;

    if (*name == '\0' || strlen(name) >= LSI_FILE_NAME_BYTES_MAX)
        return false;
    for (;;) {
        size_t size = strcspn(part, "/");

        if (size == 0 || (size == 1 && part[0] == '.') || (size == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        if (part[size] == '\0')
            return true;
        part += size + 1;
    }
}

const char *lsi_file_misfit(int result)
{
    switch (-result) {
    case EINVAL: /* a directory, a FIFO, a socket, a device */
        return "is not a regular file";
    case ELOOP:
        return "is, or lies behind, a symbolic link";
    case ENOTDIR:
        return "lies in what is not a directory";
    default:
        return NULL;
    }
}

/* ---- opening beneath the root ---- */

/* Set once openat2 answered ENOSYS: it will not appear while this kernel runs. Relaxed: only a hint. */
static atomic_bool kernel_lacks_openat2;

static int open_by_steps(int root_fd, const char *name, int flags, mode_t mode)
{
    char part[LSI_FILE_NAME_BYTES_MAX];
    int at = root_fd;
    int fd;

    for (;;) {
        size_t size = strcspn(name, "/");
        bool last = name[size] == '\0';
        int err;

        memcpy(part, name, size);
        part[size] = '\0';
        do {
            fd = last ? openat(at, part, flags | O_NOFOLLOW, mode)
                      : openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        } while (fd < 0 && errno == EINTR);
        err = errno;
        if (at != root_fd)
            (void)close(at); /* O_PATH: nothing that could fail to be written */
        if (fd < 0)
            return -err; /* a link in the middle is ENOTDIR here and ELOOP from openat2 */
        if (last)
            return fd;
        at = fd;
        name += size + 1;
    }
}

/* Whether to try again after this answer. */
static bool made_room(const lsi_root *root, int result)
{
    return (result == -EMFILE || result == -ENFILE) && root->make_room != NULL && root->make_room(root->room_user);
}

static int open_now(int root_fd, const char *name, int flags, mode_t mode)
{
    if (!atomic_load_explicit(&kernel_lacks_openat2, memory_order_relaxed)) {
        struct open_how how;
        long fd;

        memset(&how, 0, sizeof(how));
        how.flags = (uint64_t)(unsigned)flags;
        how.mode = (flags & O_CREAT) != 0 ? mode : 0;
        how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
        do {
            fd = syscall(SYS_openat2, root_fd, name, &how, sizeof(how));
        } while (fd < 0 && errno == EINTR);
        if (fd >= 0)
            return (int)fd;
        if (errno == ENOSYS)
            atomic_store_explicit(&kernel_lacks_openat2, true, memory_order_relaxed);
        else if (errno != EPERM) /* which may be a seccomp filter's word, or the file's: the steps will tell */
            return -errno;
    }
    return open_by_steps(root_fd, name, flags, mode);
}

/* F5. `fd` may be -errno. When no other number is left the low one is kept: a store that can be used, and that a
 * program would have to print into, beats one that cannot. */
int lsi_fd_move_up(int fd)
{
    int moved;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (moved < 0)
        return fd;
    (void)close(fd); /* `moved` is the same open file. */
    return moved;
}

/* A descriptor or -errno. `name` is plain. */
static int open_beneath(const lsi_root *root, const char *name, int flags, mode_t mode)
{
    int fd;

    do {
        fd = open_now(root->fd, name, flags | O_CLOEXEC, mode);
    } while (made_room(root, fd));
    return lsi_fd_move_up(fd);
}

/* A descriptor of its own for the root, or -errno. */
static int open_root_again(const lsi_root *root)
{
    int fd;

    do {
        fd = openat(root->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            fd = -errno;
    } while (fd == -EINTR || made_room(root, fd));
    return fd;
}

/* The directory that holds `name`, for the calls that have no "beneath" form, and the last part of the name.
 * `*fd` is the root's own for a name without "/", so give it back with close_parent(). */
static int open_parent(const lsi_root *root, const char *name, int *fd, const char **last)
{
    const char *slash;
    char dir[LSI_FILE_NAME_BYTES_MAX];
    int got;

    if (!lsi_file_name_is_plain(name))
        return -EINVAL;
    slash = strrchr(name, '/');
    if (slash == NULL) {
        *fd = root->fd;
        *last = name;
        return 0;
    }
    memcpy(dir, name, (size_t)(slash - name));
    dir[slash - name] = '\0';
    got = open_beneath(root, dir, O_PATH | O_DIRECTORY, 0);
    if (got < 0)
        return got;
    *fd = got;
    *last = slash + 1;
    return 0;
}

static void close_parent(const lsi_root *root, int fd)
{
    if (fd != root->fd)
        (void)close(fd); /* O_PATH: nothing to write */
}

/* A readable descriptor of directory `name` of its own, "" being the root. */
static int open_dir(const lsi_root *root, const char *name)
{
    if (*name == '\0')
        return open_root_again(root);
    return lsi_file_name_is_plain(name) ? open_beneath(root, name, O_RDONLY | O_DIRECTORY, 0) : -EINVAL;
}

/* ---- roots ---- */

/* The directory in which `path` has its last name. */
static int open_parent_of(const char *path)
{
    char dir[PATH_MAX];
    size_t size = strlen(path);
    int fd;

    while (size > 0 && path[size - 1] == '/')
        size--;
    while (size > 0 && path[size - 1] != '/')
        size--;
    if (size >= sizeof(dir))
        return -ENAMETOOLONG;
    memcpy(dir, path, size);
    dir[size] = '\0';
    do {
        fd = open(size == 0 ? "." : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

/* A name that can vanish in a crash must not hold a store. A parent that may not be read cannot be synced by us. */
static int sync_parent_of(const char *path)
{
    int fd = open_parent_of(path);
    int result = 0;

    if (fd < 0)
        return fd == -EACCES ? 0 : fd;
    while (fsync(fd) != 0) {
        if (errno == EINTR)
            continue;
        result = -errno;
        break;
    }
    (void)close(fd); /* opened to read */
    return result;
}

static int system_root_open(const lsi_files *self, const char *path, unsigned flags, lsi_root *out)
{
    int fd;
    int result;

    if ((flags & LSI_ROOT_CREATE) != 0) {
        if ((flags & LSI_ROOT_WRITE) == 0)
            return -EINVAL;
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return -errno;
    }
    do {
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    fd = lsi_fd_move_up(fd);
    if ((flags & LSI_ROOT_SYNC_NAME) != 0) {
        result = sync_parent_of(path);
        if (result != 0)
            goto fail;
    }
    if ((flags & LSI_ROOT_WRITE) != 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        result = -errno;
        goto fail;
    }
    out->files = self;
    out->fd = fd;
    out->node = NULL;
    out->is_claimed = false;
    return 0;
fail:
    (void)close(fd); /* opened to read */
    return result;
}

/* The lock of the descriptor, since a directory cannot be opened for writing, which others want. NFS refuses it. */
static int system_root_claim(lsi_root *root)
{
    while (flock(root->fd, LOCK_EX | LOCK_NB) != 0)
        if (errno != EINTR)
            return errno == EWOULDBLOCK ? -EWOULDBLOCK : 0;
    root->is_claimed = true;
    return 0;
}

static void system_root_close(lsi_root *root)
{
    if (root->is_claimed) /* A fork child may have the descriptor, too. */
        (void)flock(root->fd, LOCK_UN);
    (void)close(root->fd); /* a directory opened to read has nothing to write */
    root->files = NULL;
    root->fd = -1;
}

/* `dir`: AT_FDCWD or a descriptor. */
static int open_place(int dir, const char *path)
{
    int fd;

    do {
        fd = openat(dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

/* From a directory up to the system's root, which is its own parent. */
static int system_root_holds(const lsi_root *root, const char *path)
{
    struct stat wanted, here, above;
    int result = fstat(root->fd, &wanted) == 0 ? 0 : -errno;
    int fd = open_place(AT_FDCWD, path);

    if (fd >= 0) {
        int own = fd;

        fd = open_place(own, "..");
        (void)close(own); /* nothing was written */
    } else if (fd == -ENOENT) {
        fd = open_parent_of(path);
    }
    if (fd < 0)
        return result < 0 ? result : fd;
    for (bool is_top = false; result == 0 && !is_top;) {
        int up = open_place(fd, "..");

        if (up < 0)
            result = up;
        else if (fstat(fd, &here) != 0 || fstat(up, &above) != 0)
            result = -errno;
        else if (here.st_dev == wanted.st_dev && here.st_ino == wanted.st_ino)
            result = 1;
        is_top = result == 0 && here.st_dev == above.st_dev && here.st_ino == above.st_ino;
        (void)close(fd);
        fd = up;
    }
    if (fd >= 0)
        (void)close(fd);
    return result;
}

/* E7, by a list of what is known to be local. A list of network file systems is never whole: most come from outside of
 * the kernel. And the mistakes differ: whoever keeps his store on a local one that is not here reads in the error which
 * flag lets it pass, and whoever keeps it on a network one that is not there loses records when locks do not hold.
 *
 * Not here: FUSE, for what stands behind it is unknown, and its locks and mappings are often its own invention; GFS2
 * and OCFS2, disks that several machines mount; and what holds no files that can be written, like hugetlbfs. */
lsi_fs_kind lsi_fs_kind_of(uint32_t type)
{
    static const uint32_t in_place[] = {
        0x0000EF53, /* ext2, ext3, ext4 */
        0x58465342, /* XFS: shared extents of a file we made ourselves there are none */
        0x01021994, /* tmpfs */
    };
    static const uint32_t local[] = {
        0xF2F52010, /* F2FS */      0x2FC12FC1, /* ZFS */      0xCA451A4E, /* bcachefs */ 0x794C7630, /* overlayfs */
        0x61756673, /* aufs */      0x0000F15F, /* eCryptfs */ 0x3153464A, /* JFS */      0x52654973, /* ReiserFS */
        0x52345362, /* Reiser4 */   0x00003434, /* NILFS2 */   0x858458F6, /* ramfs */    0x00004D44, /* FAT */
        0x2011BAB0, /* exFAT */     0x5346544E, /* NTFS */     0x7366746E, /* NTFS3 */    0x0000482B, /* HFS+ */
        0x00004244, /* HFS */       0x00011954, /* UFS */      0x15013346, /* UDF */      0x24051905, /* UBIFS */
        0x000072B6, /* JFFS2 */     0x73717368, /* SquashFS */ 0xE0F5E1E2, /* EROFS */    0x00009660, /* ISO 9660 */
        0x28CD3D45, /* cramfs */
    };

    if (type == BTRFS_SUPER_MAGIC)
        return LSI_FS_COPYING;
    for (size_t i = 0; i < sizeof(in_place) / sizeof(in_place[0]); i++)
        if (type == in_place[i])
            return LSI_FS_IN_PLACE;
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        if (type == local[i])
            return LSI_FS_LOCAL;
    return LSI_FS_NETWORK;
}

static int system_root_kind(const lsi_root *root, lsi_fs_kind *out)
{
    struct statfs about;

    while (fstatfs(root->fd, &about) != 0)
        if (errno != EINTR)
            return -errno;
    *out = lsi_fs_kind_of((uint32_t)about.f_type);
    return 0;
}

static int system_root_free_bytes(const lsi_root *root, uint64_t *out)
{
    struct statvfs about;

    while (fstatvfs(root->fd, &about) != 0)
        if (errno != EINTR)
            return -errno;
    *out = (uint64_t)about.f_bavail * about.f_frsize;
    return 0;
}

static uint32_t system_descriptors_max(const lsi_files *self)
{
    struct rlimit now;

    (void)self;
    if (getrlimit(RLIMIT_NOFILE, &now) != 0 || now.rlim_cur > UINT32_MAX) /* RLIM_INFINITY too */
        return UINT32_MAX;
    return (uint32_t)now.rlim_cur;
}

/* ---- files ---- */

/* E5. On btrfs a store into a mapped page takes a new block, however well the file was allocated, and where there is
 * none it is SIGBUS. A file that is not copied on write needs none (Linux 6.17 and later heed that for mappings too).
 * It can be asked for while the file is empty only; a refusal changes nothing. */
static void write_in_place(int fd)
{
    struct statfs about;
    int flags;

    if (fstatfs(fd, &about) != 0 || (uint32_t)about.f_type != BTRFS_SUPER_MAGIC ||
        syscall(SYS_ioctl, fd, FS_IOC_GETFLAGS, &flags) != 0) /* ioctl() wants another type of each libc. */
        return;
    flags |= FS_NOCOW_FL;
    (void)syscall(SYS_ioctl, fd, FS_IOC_SETFLAGS, &flags);
}

static int system_open(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    int how = (flags & LSI_OPEN_WRITE) != 0 ? O_RDWR : O_RDONLY;
    bool created = false;
    struct stat own;
    int fd = -ENOENT;

    if (!lsi_file_name_is_plain(name) || ((flags & LSI_OPEN_CREATE) != 0 && (flags & LSI_OPEN_WRITE) == 0))
        return -EINVAL;
    how |= O_NONBLOCK | O_NOCTTY;
    /* O_EXCL even where an existing file will do: only who made a file may change its owner. The loop ends unless
     * somebody else makes and removes the file all the time. */
    for (int tries = 0; tries < CREATE_TRIES_MAX; tries++) {
        if ((flags & LSI_OPEN_EXCLUSIVE) == 0 || (flags & LSI_OPEN_CREATE) == 0) {
            fd = open_beneath(root, name, how, 0);
            if (fd != -ENOENT || (flags & LSI_OPEN_CREATE) == 0)
                break;
        }
        fd = open_beneath(root, name, how | O_CREAT | O_EXCL, 0600);
        created = fd >= 0;
        if (fd != -EEXIST || (flags & LSI_OPEN_EXCLUSIVE) != 0)
            break;
    }
    /* A socket is ENXIO, a directory opened to write EISDIR; like a FIFO they are not what the name should be. */
    if (fd == -ENXIO || fd == -EISDIR || fd == -ENODEV)
        return -EINVAL;
    if (fd < 0)
        return fd;
    if (created) {
        if ((flags & LSI_OPEN_MAPPED) != 0)
            write_in_place(fd);
        lsi_file_give(root->fd, fd);
    } else {
        /* What could not be looked at may be ours: it is not said to be something else. */
        int result = fstat(fd, &own) != 0 ? -errno : S_ISREG(own.st_mode) ? 0 : -EINVAL;

        if (result != 0) {
            (void)close(fd); /* nothing was written */
            return result;
        }
    }
    out->files = root->files;
    out->fd = fd;
    out->node = NULL;
    return 0;
}

static int system_close(lsi_file *file)
{
    int result = close(file->fd) == 0 ? 0 : -errno;

    file->files = NULL;
    file->fd = -1;
    return result;
}

static void system_abandon(lsi_file *file)
{
    /* An OFD lock ends with its open file description, which the parent still holds; this drops our reference only. */
    (void)system_close(file);
}

static int64_t system_read(const lsi_file *file, void *into, size_t size, uint64_t at)
{
    size_t done = 0;

    if (size > SSIZE_MAX)
        return -EINVAL;
    while (done < size) {
        ssize_t got = pread(file->fd, (char *)into + done, size - done, (off_t)(at + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int system_write(const lsi_file *file, const lsi_span *spans, int count, uint64_t at)
{
    int span = 0;
    size_t skip = 0; /* bytes of spans[span] that are written */

    for (;;) {
        struct iovec parts[SPANS_PER_CALL];
        int used = 0;
        ssize_t put;

        for (int i = span; i < count && used < SPANS_PER_CALL; i++) {
            size_t from = i == span ? skip : 0;

            if (spans[i].size == from)
                continue;
            parts[used].iov_base = (void *)((uintptr_t)spans[i].data + from); /* iovec has no const */
            parts[used].iov_len = spans[i].size - from;
            used++;
        }
        if (used == 0)
            return 0;
        do {
            put = pwritev(file->fd, parts, used, (off_t)at);
        } while (put < 0 && errno == EINTR);
        if (put < 0)
            return -errno;
        if (put == 0)
            return -EIO; /* neither written nor an error: going on would never end */
        at += (uint64_t)put;
        while (put > 0) {
            size_t left = spans[span].size - skip;

            if ((size_t)put < left) {
                skip += (size_t)put;
                break;
            }
            put -= (ssize_t)left;
            span++;
            skip = 0;
        }
    }
}

static int system_sync(const lsi_file *file, bool data_only)
{
    while ((data_only ? fdatasync(file->fd) : fsync(file->fd)) != 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static void system_start_writeback(const lsi_file *file, uint64_t at, uint64_t size)
{
    int err = errno;

    /* What it says is of no use: an error of the device is told by the next sync, and that is where it counts. */
    (void)sync_file_range(file->fd, (off_t)at, (off_t)size, SYNC_FILE_RANGE_WRITE);
    errno = err;
}

static int system_allocate(const lsi_file *file, uint64_t at, uint64_t size)
{
    if (size == 0)
        return 0;
    while (fallocate(file->fd, 0, (off_t)at, (off_t)size) != 0) {
        if (errno == EINTR)
            continue;
        return errno == ENOSYS ? -EOPNOTSUPP : -errno;
    }
    return 0;
}

static void system_give_back(const lsi_file *file, uint64_t at, uint64_t size)
{
    int err = errno;

    while (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)size) != 0)
        if (errno != EINTR) /* What cannot be given back stays. */
            break;
    errno = err;
}

static int system_truncate(const lsi_file *file, uint64_t size)
{
    while (ftruncate(file->fd, (off_t)size) != 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static int system_size(const lsi_file *file, uint64_t *out)
{
    struct stat about;

    if (fstat(file->fd, &about) != 0)
        return -errno;
    *out = (uint64_t)about.st_size;
    return 0;
}

/* ---- names ---- */

static int system_make_dir(const lsi_root *root, const char *name)
{
    const char *last;
    int parent;
    int result = open_parent(root, name, &parent, &last);

    if (result != 0)
        return result;
    result = lsi_file_make_dir(root->fd, parent, last);
    close_parent(root, parent);
    return result;
}

/* Moves a name to one that is not there. Where the file system knows no RENAME_NOREPLACE the file has both names for a
 * moment: a crash in between leaves the old one besides. */
static int move_new(int from_parent, const char *from, int to_parent, const char *to)
{
    /* Not every libc has a function for it. */
    if (syscall(SYS_renameat2, from_parent, from, to_parent, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (linkat(from_parent, from, to_parent, to, 0) != 0)
        return -errno;
    (void)unlinkat(from_parent, from, 0); /* It was moved: what is left over is its maker's to remove. */
    return 0;
}

static int rename_how(const lsi_root *root, const char *from, const char *to, bool replaces)
{
    const char *from_last, *to_last;
    int from_parent, to_parent;
    int result = open_parent(root, from, &from_parent, &from_last);

    if (result != 0)
        return result;
    result = open_parent(root, to, &to_parent, &to_last);
    if (result == 0) {
        if (!replaces)
            result = move_new(from_parent, from_last, to_parent, to_last);
        else if (renameat(from_parent, from_last, to_parent, to_last) != 0)
            result = -errno;
        close_parent(root, to_parent);
    }
    close_parent(root, from_parent);
    return result;
}

static int system_rename(const lsi_root *root, const char *from, const char *to)
{
    return rename_how(root, from, to, true);
}

static int system_rename_new(const lsi_root *root, const char *from, const char *to)
{
    return rename_how(root, from, to, false);
}

static int remove_name(const lsi_root *root, const char *name, int flags)
{
    const char *last;
    int parent;
    int result = open_parent(root, name, &parent, &last);

    if (result != 0)
        return result;
    if (unlinkat(parent, last, flags) != 0)
        result = -errno;
    close_parent(root, parent);
    return result;
}

static int system_unlink(const lsi_root *root, const char *name)
{
    return remove_name(root, name, 0);
}

static int system_remove_dir(const lsi_root *root, const char *name)
{
    return remove_name(root, name, AT_REMOVEDIR);
}

static int system_sync_dir(const lsi_root *root, const char *name)
{
    int fd = open_dir(root, name);
    int result = 0;

    if (fd < 0)
        return fd;
    while (fsync(fd) != 0) {
        if (errno == EINTR)
            continue;
        result = -errno;
        break;
    }
    (void)close(fd); /* opened to read */
    return result;
}

static int system_list(const lsi_root *root, const char *name,
                       int (*each)(void *user, const char *entry, bool is_dir), void *user)
{
    int fd = open_dir(root, name);
    int result = 0;
    DIR *dir;

    if (fd < 0)
        return fd;
    dir = fdopendir(fd);
    if (dir == NULL) {
        result = -errno;
        (void)close(fd); /* opened to read */
        return result;
    }
    for (;;) {
        const struct dirent *entry;
        bool is_dir;

        errno = 0;
        entry = readdir(dir);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        is_dir = entry->d_type == DT_DIR;
        if (entry->d_type == DT_UNKNOWN) {
            struct stat about;

            if (fstatat(fd, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
                if (errno == ENOENT)
                    continue; /* removed meanwhile */
                result = -errno;
                break;
            }
            is_dir = S_ISDIR(about.st_mode);
        }
        result = each(user, entry->d_name, is_dir);
        if (result != 0)
            break;
    }
    (void)closedir(dir); /* closes `fd` too; opened to read */
    return result;
}

/* ---- mappings ---- */

static int system_map(const lsi_file *file, uint64_t at, size_t size, bool writable, void **out)
{
    void *map = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file->fd, (off_t)at);

    if (map == MAP_FAILED)
        return -errno;
    *out = map;
    return 0;
}

static void system_unmap(const lsi_file *file, void *map, size_t size)
{
    (void)file;
    (void)munmap(map, size); /* fails on arguments that are no mapping only */
}

static void system_store(const lsi_file *file, void *into, const void *bytes, size_t size)
{
    (void)file;
    memcpy(into, bytes, size);
}

/* ---- locks ---- */

static struct flock one_byte(uint64_t byte, lsi_lock_kind kind)
{
    struct flock about;

    memset(&about, 0, sizeof(about)); /* l_pid must be 0 for OFD locks */
    about.l_type = kind == LSI_LOCK_NONE ? F_UNLCK : kind == LSI_LOCK_SHARED ? F_RDLCK : F_WRLCK;
    about.l_whence = SEEK_SET;
    about.l_start = (off_t)byte;
    about.l_len = 1;
    return about;
}

static int system_lock(const lsi_file *file, uint64_t byte, lsi_lock_kind kind)
{
    struct flock about = one_byte(byte, kind);

    while (fcntl(file->fd, F_OFD_SETLK, &about) != 0) {
        if (errno == EINTR)
            continue;
        return errno == EACCES ? -EAGAIN : -errno; /* POSIX allows either for "held by another" */
    }
    return 0;
}

static int system_locked_elsewhere(const lsi_file *file, uint64_t byte)
{
    struct flock about = one_byte(byte, LSI_LOCK_EXCLUSIVE);

    while (fcntl(file->fd, F_OFD_GETLK, &about) != 0)
        if (errno != EINTR)
            return -errno;
    return about.l_type != F_UNLCK;
}

/* ---- much at once ---- */

/* File systems on which syncfs() writes out all data and names, waits, and flushes the device. FUSE does not ask what
 * stands behind it, and of a stack of file systems one would have to know them all. */
static bool syncs_whole(uint32_t kind)
{
    static const uint32_t known[] = {
        0x0000EF53, /* ext2, ext3, ext4 */ 0x58465342, /* XFS */ 0x9123683E, /* btrfs */ 0x01021994, /* tmpfs */
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (kind == known[i])
            return true;
    return false;
}

/* Since Linux 5.8 syncfs() tells of every write that failed since its descriptor was opened; before, of none (E1). */
static bool kernel_tells_errors(void)
{
    struct utsname about;
    unsigned major = 0, minor = 0;

    return uname(&about) == 0 && sscanf(about.release, "%u.%u", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 8));
}

static int system_bulk_begin(const lsi_root *root, lsi_file *bulk)
{
    struct statfs about;
    int fd;

    while (fstatfs(root->fd, &about) != 0)
        if (errno != EINTR)
            return -errno;
    if (!syncs_whole((uint32_t)about.f_type) || !kernel_tells_errors())
        return -EOPNOTSUPP;
    /* An own descriptor, opened before the first write: the root's may have been told of an error already, or tells
     * another thread of ours. */
    fd = open_root_again(root);
    if (fd < 0)
        return fd;
    bulk->files = root->files;
    bulk->fd = fd;
    bulk->node = NULL;
    return 0;
}

static int system_bulk_end(lsi_file *bulk, bool sync)
{
    int result = sync && syncfs(bulk->fd) != 0 ? -errno : 0;

    (void)close(bulk->fd); /* a directory opened to read has nothing to write */
    bulk->files = NULL;
    bulk->fd = -1;
    return result;
}

const lsi_files lsi_files_system = {
    .user = NULL,
    .root_open = system_root_open,
    .root_close = system_root_close,
    .root_kind = system_root_kind,
    .root_free_bytes = system_root_free_bytes,
    .root_holds = system_root_holds,
    .root_claim = system_root_claim,
    .descriptors_max = system_descriptors_max,
    .open = system_open,
    .close = system_close,
    .read = system_read,
    .write = system_write,
    .sync = system_sync,
    .allocate = system_allocate,
    .start_writeback = system_start_writeback,
    .give_back = system_give_back,
    .truncate = system_truncate,
    .size = system_size,
    .make_dir = system_make_dir,
    .rename = system_rename,
    .rename_new = system_rename_new,
    .unlink = system_unlink,
    .remove_dir = system_remove_dir,
    .sync_dir = system_sync_dir,
    .bulk_begin = system_bulk_begin,
    .bulk_end = system_bulk_end,
    .list = system_list,
    .map = system_map,
    .unmap = system_unmap,
    .store = system_store,
    .lock = system_lock,
    .locked_elsewhere = system_locked_elsewhere,
    .abandon = system_abandon,
};

/* ---- made of any table ---- */

int lsi_file_replace(const lsi_root *root, const char *dir, const char *name, const void *bytes, size_t size)
{
    const lsi_files *files = root->files;
    char fresh[LSI_FILE_NAME_BYTES_MAX];
    lsi_file file = {0};
    int result, closed;

    if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", name) >= sizeof(fresh))
        return -ENAMETOOLONG;
    /* What a crash left under this name is nobody's: the caller holds the lock that covers `name`. It is removed and
     * not written over, for somebody may have it open under another name. */
    result = files->unlink(root, fresh);
    if (result != 0 && result != -ENOENT)
        return result;
    result = files->open(root, fresh, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE, &file);
    if (result != 0)
        return result;
    result = lsi_file_write_one(&file, bytes, size, 0);
    if (result == 0)
        result = files->sync(&file, false);
    closed = files->close(&file);
    if (result == 0)
        result = closed;
    if (result == 0)
        result = files->rename(root, fresh, name);
    if (result != 0) {
        (void)files->unlink(root, fresh); /* the next replacement does it if this one cannot */
        return result;
    }
    /* Failing here leaves the new file in place, but a crash may bring the old one back. Whatever the reason: an answer
     * other than these two says that the old file is in place. */
    result = files->sync_dir(root, dir);
    if (result == -EMFILE || result == -ENFILE)
        return -EINPROGRESS;
    return result == 0 ? 0 : -EIO;
}

int lsi_file_make(const lsi_root *root, const char *name, const void *bytes, size_t size)
{
    const lsi_files *files = root->files;
    lsi_file file = {0};
    int result = files->open(root, name, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE, &file), closed;

    if (result != 0)
        return result;
    result = lsi_file_write_one(&file, bytes, size, 0);
    closed = files->close(&file);
    return result == 0 ? closed : result;
}

int lsi_file_load(const lsi_root *root, const char *name, size_t max, const lsi_memory *memory, void **out,
                  size_t *size)
{
    const lsi_files *files = root->files;
    lsi_file file = {0};
    void *bytes = NULL;
    uint64_t there;
    int64_t got;
    int result = files->open(root, name, 0, &file);

    if (result != 0)
        return result;
    result = files->size(&file, &there);
    if (result != 0)
        goto done;
    if (there > max) {
        result = -EFBIG;
        goto done;
    }
    bytes = lsi_alloc(memory, (size_t)there);
    if (bytes == NULL) {
        result = -ENOMEM;
        goto done;
    }
    got = files->read(&file, bytes, (size_t)there, 0);
    if (got < 0) {
        result = (int)got;
        goto done;
    }
    *out = bytes;
    *size = (size_t)got; /* less than `there` when somebody shortened it meanwhile: the reader's checks will tell */
    bytes = NULL;
done:
    lsi_free(memory, bytes);
    (void)files->close(&file); /* opened to read */
    return result;
}
