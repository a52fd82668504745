/* See block_disk.h. The child answers the kernel's requests one after another, so the record's order is that of the
 * answers; a lock keeps the parent's changes between two of them. */
#include "support/block_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/sim_inside.h"

#define PAGE_BYTES 4096u
#define REQUEST_BYTES ((1u << 20) + 4096u)
#define WRITE_BYTES_MAX (1u << 20)
#define EVENTS_MAX 400000u
#define RECORD_BYTES_MAX ((uint64_t)3 << 30) /* of addresses; memory is what is used of them */
#define NODE_DISK 2u

typedef struct event {
    bool is_flush;
    uint32_t bytes;
    uint64_t at;
    uint64_t data; /* where in the record */
} event;

typedef struct shared {
    pthread_mutex_t mutex;
    bool is_recording, is_cut;
    uint64_t writes_fail, flushes_fail; /* so many more */
    _Atomic size_t count;
    _Atomic uint64_t failed;
    uint64_t record_bytes;
} shared;

struct block_disk {
    uint64_t bytes;
    shared *shared;
    unsigned char *sure;  /* what is on the disk for good */
    unsigned char *now;   /* a page of it counts where `is_new` says so */
    unsigned char *is_new;
    event *events;
    unsigned char *record;
    size_t settled; /* so many events are in `sure` */
    int image_fd;
    unsigned char *image, *is_stale; /* pages that differ from `sure` are in the file, or stale */
    pid_t server;
    int loop, image_loop;
    char dir[64], device[32], image_device[32];
};

static void *share(uint64_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

/* ---- the bytes. Locks: shared->mutex held. ---- */

static void put_bytes(block_disk *disk, uint64_t at, const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        uint64_t page = at / PAGE_BYTES;
        size_t part = PAGE_BYTES - (size_t)(at % PAGE_BYTES);

        part = part < size ? part : size;
        if (!disk->is_new[page] && part < PAGE_BYTES)
            memcpy(disk->now + page * PAGE_BYTES, disk->sure + page * PAGE_BYTES, PAGE_BYTES);
        disk->is_new[page] = 1;
        memcpy(disk->now + at, bytes, part);
        at += part;
        bytes += part;
        size -= part;
    }
}

static void get_bytes(const block_disk *disk, uint64_t at, unsigned char *into, size_t size)
{
    while (size > 0) {
        size_t part = PAGE_BYTES - (size_t)(at % PAGE_BYTES);

        part = part < size ? part : size;
        memcpy(into, (disk->is_new[at / PAGE_BYTES] ? disk->now : disk->sure) + at, part);
        at += part;
        into += part;
        size -= part;
    }
}

static void note(block_disk *disk, bool is_flush, uint64_t at, const unsigned char *bytes, uint32_t size)
{
    shared *of = disk->shared;
    size_t count = atomic_load_explicit(&of->count, memory_order_relaxed);

    if (!of->is_recording || of->is_cut)
        return;
    if (count == EVENTS_MAX || of->record_bytes + size > RECORD_BYTES_MAX) {
        of->is_cut = true;
        return;
    }
    disk->events[count] = (event){is_flush, size, at, of->record_bytes};
    if (size > 0)
        memcpy(disk->record + of->record_bytes, bytes, size);
    of->record_bytes += size;
    atomic_store_explicit(&of->count, count + 1, memory_order_release);
}

/* ---- the child: a file system of one file ---- */

static void answer(int fd, const struct fuse_in_header *to, int error, const void *bytes, size_t size)
{
    struct fuse_out_header head = {.unique = to->unique, .error = error};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)(uintptr_t)bytes, size}};

    head.len = (uint32_t)(sizeof head + (error == 0 ? size : 0));
    (void)!writev(fd, parts, error == 0 && size > 0 ? 2 : 1); /* Who asked may be gone. */
}

static struct fuse_attr attributes(const block_disk *disk, uint64_t node)
{
    struct fuse_attr of = {.ino = node, .nlink = 1, .blksize = PAGE_BYTES};

    of.mode = node == NODE_DISK ? S_IFREG | 0600 : S_IFDIR | 0700;
    of.size = node == NODE_DISK ? disk->bytes : 0;
    of.blocks = of.size / 512;
    return of;
}

static void start(int fd, const struct fuse_in_header *head, const struct fuse_init_in *in)
{
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION};

    out.max_readahead = in->max_readahead;
    out.flags = in->flags & (FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS);
    out.max_background = 64;
    out.congestion_threshold = 48;
    out.max_write = WRITE_BYTES_MAX;
    out.max_pages = WRITE_BYTES_MAX / PAGE_BYTES;
    out.time_gran = 1;
    answer(fd, head, 0, &out, sizeof out);
}

/* Locks: mutex held. */
static bool fails_now(shared *of, uint64_t *left)
{
    if (*left == 0)
        return false;
    if (*left != UINT64_MAX)
        --*left;
    atomic_fetch_add_explicit(&of->failed, 1, memory_order_relaxed);
    return true;
}

static void serve_write(block_disk *disk, int fd, const struct fuse_in_header *head, const struct fuse_write_in *in)
{
    struct fuse_write_out out = {.size = in->size};
    bool fails;

    if (in->size > disk->bytes || in->offset > disk->bytes - in->size) {
        answer(fd, head, -ENOSPC, NULL, 0);
        return;
    }
    pthread_mutex_lock(&disk->shared->mutex);
    fails = fails_now(disk->shared, &disk->shared->writes_fail);
    if (!fails) {
        put_bytes(disk, in->offset, (const unsigned char *)(in + 1), in->size);
        note(disk, false, in->offset, (const unsigned char *)(in + 1), in->size);
    }
    pthread_mutex_unlock(&disk->shared->mutex);
    answer(fd, head, fails ? -EIO : 0, &out, sizeof out);
}

static void serve_flush(block_disk *disk, int fd, const struct fuse_in_header *head)
{
    bool fails;

    pthread_mutex_lock(&disk->shared->mutex);
    fails = fails_now(disk->shared, &disk->shared->flushes_fail);
    if (!fails)
        note(disk, true, 0, NULL, 0);
    pthread_mutex_unlock(&disk->shared->mutex);
    answer(fd, head, fails ? -EIO : 0, NULL, 0);
}

static void serve_read(block_disk *disk, int fd, const struct fuse_in_header *head, const struct fuse_read_in *in)
{
    static unsigned char bytes[WRITE_BYTES_MAX];
    uint64_t size = in->size < sizeof bytes ? in->size : sizeof bytes;

    if (in->offset >= disk->bytes)
        size = 0;
    else if (size > disk->bytes - in->offset)
        size = disk->bytes - in->offset;
    pthread_mutex_lock(&disk->shared->mutex);
    get_bytes(disk, in->offset, bytes, (size_t)size);
    pthread_mutex_unlock(&disk->shared->mutex);
    answer(fd, head, 0, bytes, (size_t)size);
}

static void serve_one(block_disk *disk, int fd, const unsigned char *request)
{
    const struct fuse_in_header *head = (const void *)request;
    const void *in = head + 1;
    struct fuse_entry_out entry = {.nodeid = NODE_DISK, .entry_valid = 3600, .attr_valid = 3600};
    struct fuse_attr_out attr = {.attr_valid = 3600};
    struct fuse_open_out open_out = {.open_flags = FOPEN_DIRECT_IO}; /* Nothing of it is kept in front of us. */
    struct fuse_statfs_out about = {.st = {.bsize = PAGE_BYTES, .frsize = PAGE_BYTES, .namelen = 255}};

    switch (head->opcode) {
    case FUSE_INIT:
        start(fd, head, in);
        break;
    case FUSE_LOOKUP:
        entry.attr = attributes(disk, NODE_DISK);
        answer(fd, head, strcmp(in, "disk") == 0 ? 0 : -ENOENT, &entry, sizeof entry);
        break;
    case FUSE_GETATTR:
    case FUSE_SETATTR:
        attr.attr = attributes(disk, head->nodeid);
        answer(fd, head, 0, &attr, sizeof attr);
        break;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        answer(fd, head, 0, &open_out, sizeof open_out);
        break;
    case FUSE_READ:
        serve_read(disk, fd, head, in);
        break;
    case FUSE_WRITE:
        serve_write(disk, fd, head, in);
        break;
    case FUSE_FSYNC:
        serve_flush(disk, fd, head);
        break;
    case FUSE_STATFS:
        answer(fd, head, 0, &about, sizeof about);
        break;
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_DESTROY:
        answer(fd, head, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break; /* want no answer */
    default:
        answer(fd, head, -ENOSYS, NULL, 0);
    }
}

static _Noreturn void serve(block_disk *disk, int fd)
{
    static _Alignas(16) unsigned char request[REQUEST_BYTES];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* Then whatever waits for us gets EIO. */
    /* Who is the last in a mount namespace unmounts what is mounted there before his files are closed: with the parent
     * dead we would wait for ourselves, for ever. */
    if (unshare(CLONE_NEWNS) != 0)
        _exit(1);
    (void)umount2(disk->dir, MNT_DETACH);
    for (;;) {
        ssize_t size = read(fd, request, sizeof request);

        if (size >= (ssize_t)sizeof(struct fuse_in_header))
            serve_one(disk, fd, request);
        else if (size >= 0 || (errno != EINTR && errno != ENOENT && errno != EAGAIN))
            _exit(0); /* unmounted */
    }
}

/* ---- making it ---- */

static bool mount_file(block_disk *disk, char why[256])
{
    char options[128];
    int fd;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        (void)snprintf(why, 256, "no mount namespace can be made: %s", strerror(errno));
        return false;
    }
    fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        (void)snprintf(why, 256, "/dev/fuse: %s", strerror(errno));
        return false;
    }
    (void)snprintf(options, sizeof options, "fd=%d,rootmode=40700,user_id=0,group_id=0", fd);
    if (mount("block_disk", disk->dir, "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
        (void)snprintf(why, 256, "FUSE cannot be mounted: %s", strerror(errno));
        (void)close(fd);
        return false;
    }
    disk->server = fork();
    if (disk->server == 0)
        serve(disk, fd);
    (void)close(fd); /* It must be the child's alone: then its death ends all waiting. */
    if (disk->server < 0)
        (void)snprintf(why, 256, "fork: %s", strerror(errno));
    return disk->server > 0;
}

/* A loop device over `fd`, which is closed. It detaches itself when nobody has it open or mounted any more. */
static int attach(int fd, char device[32], char why[256])
{
    struct loop_config config = {.fd = (uint32_t)fd, .block_size = 512, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), loop = -1;

    for (int tries = 0; control >= 0 && fd >= 0 && loop < 0 && tries < 50; tries++) { /* Others want one, too. */
        int number = ioctl(control, LOOP_CTL_GET_FREE);

        if (number < 0)
            break;
        (void)snprintf(device, 32, "/dev/loop%d", number);
        loop = open(device, O_RDWR | O_CLOEXEC);
        if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) != 0) {
            (void)close(loop);
            loop = -1;
        }
    }
    if (loop < 0)
        (void)snprintf(why, 256, "no loop device: %s", strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    if (control >= 0)
        (void)close(control);
    return loop;
}

static bool attach_both(block_disk *disk, char why[256])
{
    char path[80];

    (void)snprintf(path, sizeof path, "%s/disk", disk->dir);
    disk->loop = attach(open(path, O_RDWR | O_CLOEXEC), disk->device, why);
    if (disk->loop >= 0)
        disk->image_loop = attach(fcntl(disk->image_fd, F_DUPFD_CLOEXEC, 3), disk->image_device, why);
    return disk->image_loop >= 0;
}

block_disk *block_disk_new(uint64_t bytes, char why[256])
{
    block_disk *disk = sim_must(calloc(1, sizeof(*disk)));
    pthread_mutexattr_t how;

    disk->bytes = bytes;
    disk->loop = disk->image_loop = -1;
    disk->image_fd = memfd_create("image", MFD_CLOEXEC);
    if (disk->image_fd < 0 || ftruncate(disk->image_fd, (off_t)bytes) != 0)
        abort();
    disk->image = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, disk->image_fd, 0);
    if (disk->image == MAP_FAILED)
        abort();
    disk->is_stale = sim_must(calloc(bytes / PAGE_BYTES + 1, 1));
    disk->shared = sim_must(share(sizeof(*disk->shared)));
    disk->sure = sim_must(share(bytes));
    disk->now = sim_must(share(bytes));
    disk->is_new = sim_must(share(bytes / PAGE_BYTES + 1));
    disk->events = sim_must(share(EVENTS_MAX * sizeof(*disk->events)));
    disk->record = sim_must(share(RECORD_BYTES_MAX));
    pthread_mutexattr_init(&how);
    pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&disk->shared->mutex, &how);
    pthread_mutexattr_destroy(&how);
    (void)snprintf(disk->dir, sizeof disk->dir, "/tmp/libstream-disk-XXXXXX");
    if (geteuid() != 0) {
        (void)snprintf(why, 256, "only root can mount");
    } else if (mkdtemp(disk->dir) == NULL) {
        (void)snprintf(why, 256, "%s: %s", disk->dir, strerror(errno));
    } else if (mount_file(disk, why) && attach_both(disk, why)) {
        return disk;
    }
    block_disk_free(disk);
    return NULL;
}

void block_disk_free(block_disk *disk)
{
    if (disk == NULL)
        return;
    if (disk->loop >= 0)
        (void)close(disk->loop);
    if (disk->image_loop >= 0)
        (void)close(disk->image_loop);
    (void)umount2(disk->dir, MNT_DETACH);
    if (disk->server > 0) {
        /* The loop device has the file until it is detached, which is after its close. */
        for (int i = 0; i < 200 && waitpid(disk->server, NULL, WNOHANG) == 0; i++) {
            (void)usleep(10000);
            if (i == 199) {
                (void)kill(disk->server, SIGKILL);
                (void)waitpid(disk->server, NULL, 0);
            }
        }
    }
    (void)rmdir(disk->dir);
    (void)munmap(disk->image, disk->bytes);
    (void)close(disk->image_fd);
    free(disk->is_stale);
    (void)munmap(disk->shared, sizeof(*disk->shared));
    (void)munmap(disk->sure, disk->bytes);
    (void)munmap(disk->now, disk->bytes);
    (void)munmap(disk->is_new, disk->bytes / PAGE_BYTES + 1);
    (void)munmap(disk->events, EVENTS_MAX * sizeof(*disk->events));
    (void)munmap(disk->record, RECORD_BYTES_MAX);
    free(disk);
}

const char *block_disk_device(const block_disk *disk)
{
    return disk->device;
}

/* ---- the record ---- */

/* Locks: shared->mutex held. */
static void keep_new(block_disk *disk)
{
    for (uint64_t page = 0; page < disk->bytes / PAGE_BYTES; page++)
        if (disk->is_new[page]) {
            memcpy(disk->sure + page * PAGE_BYTES, disk->now + page * PAGE_BYTES, PAGE_BYTES);
            disk->is_stale[page] = 1;
        }
    memset(disk->is_new, 0, disk->bytes / PAGE_BYTES + 1);
}

void block_disk_record(block_disk *disk)
{
    shared *of = disk->shared;

    pthread_mutex_lock(&of->mutex);
    keep_new(disk);
    if (of->record_bytes > 0) /* Gives the memory back. */
        (void)madvise(disk->record, RECORD_BYTES_MAX, MADV_REMOVE);
    of->record_bytes = 0;
    of->is_cut = false;
    of->is_recording = true;
    atomic_store_explicit(&of->count, 0, memory_order_release);
    disk->settled = 0;
    pthread_mutex_unlock(&of->mutex);
}

void block_disk_stop(block_disk *disk)
{
    pthread_mutex_lock(&disk->shared->mutex);
    disk->shared->is_recording = false;
    pthread_mutex_unlock(&disk->shared->mutex);
}

size_t block_disk_here(const block_disk *disk)
{
    return atomic_load_explicit(&disk->shared->count, memory_order_acquire);
}

bool block_disk_is_whole(const block_disk *disk)
{
    return !disk->shared->is_cut;
}

/* ---- images ---- */

static void settle(block_disk *disk, size_t until)
{
    for (; disk->settled < until; disk->settled++) {
        const event *of = &disk->events[disk->settled];

        if (of->is_flush)
            continue;
        memcpy(disk->sure + of->at, disk->record + of->data, of->bytes);
        memset(disk->is_stale + of->at / PAGE_BYTES, 1,
               (size_t)((of->at + of->bytes - 1) / PAGE_BYTES - of->at / PAGE_BYTES + 1));
    }
}

/* What the kernel keeps of the device's bytes is another image's. */
static void forget_kept(int loop)
{
    if (ioctl(loop, BLKFLSBUF, 0) != 0)
        abort();
}

/* Whoever had the image mounted wrote to it: only the file knows where, and not for good what. */
static void reset_image(block_disk *disk)
{
    off_t end = 0;

    for (off_t from; (from = lseek(disk->image_fd, end, SEEK_DATA)) >= 0;) {
        end = lseek(disk->image_fd, from, SEEK_HOLE);
        if (end < 0)
            abort();
        for (uint64_t page = (uint64_t)from / PAGE_BYTES; page < (uint64_t)end / PAGE_BYTES; page++)
            if (memcmp(disk->image + page * PAGE_BYTES, disk->sure + page * PAGE_BYTES, PAGE_BYTES) != 0)
                disk->is_stale[page] = 1;
    }
    for (uint64_t page = 0; page < disk->bytes / PAGE_BYTES; page++)
        if (disk->is_stale[page])
            memcpy(disk->image + page * PAGE_BYTES, disk->sure + page * PAGE_BYTES, PAGE_BYTES);
    memset(disk->is_stale, 0, disk->bytes / PAGE_BYTES);
}

uint64_t block_disk_image(block_disk *disk, size_t place, uint64_t seed)
{
    size_t flushed = place;
    uint64_t hash;

    while (flushed > 0 && !disk->events[flushed - 1].is_flush)
        flushed--;
    if (place > block_disk_here(disk) || flushed < disk->settled)
        abort();
    forget_kept(disk->image_loop); /* Writes back what is left; so before the image is made, too. */
    settle(disk, flushed);
    reset_image(disk);
    hash = sim_mix(flushed);
    for (size_t i = flushed; i < place; i++) {
        const event *of = &disk->events[i];
        uint64_t odds = sim_mix(seed * 0x9e3779b97f4a7c15 + i);

        if (seed == BLOCK_SEED_NOTHING || (seed >= BLOCK_SEED_RANDOM && odds % 2 == 0))
            continue;
        if (seed == BLOCK_SEED_EVERYTHING || (seed + odds / 2) % 3 != 0) {
            memcpy(disk->image + of->at, disk->record + of->data, of->bytes);
            hash = sim_mix(hash + i + 1);
            continue;
        }
        for (uint64_t at = 0; at < of->bytes; at += SECTOR_BYTES) {
            size_t part = of->bytes - at < SECTOR_BYTES ? (size_t)(of->bytes - at) : SECTOR_BYTES;

            if (sim_mix(odds + at) % 2 == 0)
                continue;
            memcpy(disk->image + of->at + at, disk->record + of->data + at, part);
            hash = sim_mix(hash + i + 1 + (at << 24));
        }
    }
    forget_kept(disk->image_loop);
    return hash;
}

const char *block_disk_image_device(const block_disk *disk)
{
    return disk->image_device;
}

void block_disk_finish(block_disk *disk)
{
    forget_kept(disk->loop);
    pthread_mutex_lock(&disk->shared->mutex);
    memset(disk->is_new, 0, disk->bytes / PAGE_BYTES + 1);
    settle(disk, block_disk_here(disk));
    pthread_mutex_unlock(&disk->shared->mutex);
    forget_kept(disk->loop);
}

/* ---- errors ---- */

void block_disk_fail(block_disk *disk, uint64_t writes, uint64_t flushes)
{
    pthread_mutex_lock(&disk->shared->mutex);
    disk->shared->writes_fail = writes;
    disk->shared->flushes_fail = flushes;
    pthread_mutex_unlock(&disk->shared->mutex);
}

uint64_t block_disk_failed(const block_disk *disk)
{
    return atomic_load_explicit(&disk->shared->failed, memory_order_relaxed);
}
