/* See mapped_once.h. What is kept here must not order the threads that it watches: it is taken with a lock that the
 * sanitizer is told to look away from. */
#include "support/mapped_once.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/control.h"

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#ifdef UNDER_TSAN
void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void AnnotateHappensBefore(const char *file, int line, const volatile void *at);
void AnnotateHappensAfter(const char *file, int line, const volatile void *at);
void __tsan_read_range(void *at, unsigned long size);
void __tsan_write_range(void *at, unsigned long size);
#else
#define AnnotateIgnoreSyncBegin(file, line) ((void)0)
#define AnnotateIgnoreSyncEnd(file, line) ((void)0)
#define AnnotateIgnoreReadsBegin(file, line) ((void)0)
#define AnnotateIgnoreReadsEnd(file, line) ((void)0)
#define AnnotateIgnoreWritesBegin(file, line) ((void)0)
#define AnnotateIgnoreWritesEnd(file, line) ((void)0)
#define AnnotateHappensBefore(file, line, at) ((void)(at))
#define AnnotateHappensAfter(file, line, at) ((void)(at))
#define __tsan_read_range(at, size) ((void)(at), (void)(size))
#define __tsan_write_range(at, size) ((void)(at), (void)(size))
#endif

/* Of address space, of which pages that nobody touches cost nothing: what is mapped of a control file, and of a segment
 * by a reader, from anywhere in one that is small. Other files are not mapped. They are replaced as a whole, or, as
 * indexes, hints with sums, read while they are written. */
#define CONTROL_BYTES ((size_t)256 << 20)
#define SEGMENT_BYTES ((size_t)80 << 20)
#define REGIONS_MAX 8192u
#define FDS_MAX 4096
#define ORDER_WORDS 65536u

typedef struct region {
    dev_t device;
    ino_t inode; /* nobody else gets the number while the file is mapped */
    unsigned char *bytes;
    size_t size;
} region;

static pthread_mutex_t regions_lock = PTHREAD_MUTEX_INITIALIZER;
static region regions[REGIONS_MAX];
static size_t region_count;
static region *region_of[FDS_MAX];
static char order_words[ORDER_WORDS]; /* addresses alone */

static void look_away(void)
{
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

static void look_again(void)
{
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
}

static void fail(const char *what)
{
    perror(what);
    abort();
}

static void order_before(const char *word)
{
    if (word != NULL)
        AnnotateHappensBefore(__FILE__, __LINE__, word);
}

static void order_after(const char *word)
{
    if (word != NULL)
        AnnotateHappensAfter(__FILE__, __LINE__, word);
}

/* Mapped for writing whoever opened it and what for: it is opened once more. */
static void map_region(region *of, int fd)
{
    char name[64];
    int again;

    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    again = open(name, O_RDWR | O_CLOEXEC);
    if (again < 0)
        fail("mapped_once: a file, once more");
    of->bytes = mmap(NULL, of->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, again, 0);
    if (of->bytes == MAP_FAILED)
        fail("mapped_once: mmap");
    (void)close(again); /* It was only mapped. */
}

static region *region_find(int fd, const char *name)
{
    size_t size = strcmp(name, LSI_CONTROL_NAME) == 0 ? CONTROL_BYTES
                  : strstr(name, ".seg") != NULL ? SEGMENT_BYTES
                                                 : 0;
    struct stat about;
    region *found = NULL;

    if (size == 0)
        return NULL;
    if (fstat(fd, &about) != 0)
        fail("mapped_once: fstat");
    (void)pthread_mutex_lock(&regions_lock);
    for (size_t i = region_count; i-- > 0 && found == NULL;)
        if (regions[i].device == about.st_dev && regions[i].inode == about.st_ino)
            found = &regions[i];
    if (found == NULL) {
        if (region_count == REGIONS_MAX) {
            errno = ENFILE;
            fail("mapped_once: more files than it has room for");
        }
        found = &regions[region_count++];
        *found = (region){.device = about.st_dev, .inode = about.st_ino, .size = size};
        map_region(found, fd);
    }
    (void)pthread_mutex_unlock(&regions_lock);
    return found;
}

static region region_at(const lsi_file *file)
{
    region of;

    look_away();
    of = region_of[file->fd] != NULL ? *region_of[file->fd] : (region){0};
    look_again();
    return of;
}

/* What stands for a byte of a file that is locked. NULL: it is not mapped. */
static char *word_of(const lsi_file *file, uint64_t byte)
{
    const region *of;

    look_away();
    of = region_of[file->fd];
    look_again();
    return of == NULL ? NULL : &order_words[((uint64_t)(of - regions) * 4099 + byte) % ORDER_WORDS];
}

/* What stands for the name of a file, mapped or not: who reads a list by its name has what its writer had done before
 * he gave it that. */
static char *word_of_name(const lsi_file *file)
{
    struct stat about;

    if (fstat(file->fd, &about) != 0)
        fail("mapped_once: fstat");
    return &order_words[((uint64_t)about.st_ino * 4099 + about.st_dev) % ORDER_WORDS];
}

static bool is_inside(const region *of, uint64_t at, uint64_t size)
{
    return at <= of->size && size <= of->size - at;
}

/* ---- the table ---- */

static int once_open(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    int result = lsi_files_system.open(root, name, flags, out);

    if (result != 0)
        return result;
    look_away();
    if (out->fd >= FDS_MAX) {
        errno = EMFILE;
        fail("mapped_once: a descriptor's number");
    }
    region_of[out->fd] = region_find(out->fd, name);
    look_again();
    order_after(word_of_name(out)); /* It has the name that it was given. */
    return 0;
}

/* Who opens a file by the name that it is given here sees it as it was. */
static void say_named(const lsi_root *root, const char *name)
{
    lsi_file file;

    if (once_open(root, name, 0, &file) != 0)
        return; /* There is none, as the caller will be told. */
    order_before(word_of_name(&file));
    (void)lsi_files_system.close(&file); /* Nothing was written. */
}

static int once_rename(const lsi_root *root, const char *from, const char *to)
{
    say_named(root, from);
    return lsi_files_system.rename(root, from, to);
}

static int once_rename_new(const lsi_root *root, const char *from, const char *to)
{
    say_named(root, from);
    return lsi_files_system.rename_new(root, from, to);
}

static int64_t once_read(const lsi_file *file, void *into, size_t size, uint64_t at)
{
    int64_t result = lsi_files_system.read(file, into, size, at);
    region of = region_at(file);

    if (result > 0 && is_inside(&of, at, (uint64_t)result))
        __tsan_read_range(of.bytes + at, (unsigned long)result);
    return result;
}

/* Of what is written, from the first byte to the last that is not there already: who takes over writes again what he
 * found (E2), and those who read it beside him find what they would have found. */
static void tell_written(const lsi_file *file, const lsi_span *span, uint64_t at)
{
    const unsigned char *data = span->data;
    region of = region_at(file);
    unsigned char *there;
    uint64_t file_bytes = 0;
    size_t from = 0, to = span->size;

    if (of.bytes == NULL || !is_inside(&of, at, span->size))
        return;
    there = of.bytes + at;
    look_away();
    if (lsi_files_system.size(file, &file_bytes) == 0 && file_bytes >= at + span->size) {
        while (from < to && there[from] == data[from])
            from++;
        while (to > from && there[to - 1] == data[to - 1])
            to--;
    }
    look_again();
    if (to > from)
        __tsan_write_range(there + from, (unsigned long)(to - from));
}

static int once_write(const lsi_file *file, const lsi_span *spans, int count, uint64_t at)
{
    uint64_t to = at;

    for (int i = 0; i < count; i++) {
        tell_written(file, &spans[i], to);
        to += spans[i].size;
    }
    return lsi_files_system.write(file, spans, count, at);
}

static int once_map(const lsi_file *file, uint64_t at, size_t size, bool writable, void **out)
{
    region of = region_at(file);

    (void)writable;
    if (of.bytes == NULL || !is_inside(&of, at, size))
        return -ENOMEM;
    *out = of.bytes + at;
    return 0;
}

static void once_unmap(const lsi_file *file, void *map, size_t size)
{
    (void)file;
    (void)map;
    (void)size;
}

static int once_lock(const lsi_file *file, uint64_t byte, lsi_lock_kind kind)
{
    char *word = word_of(file, byte);
    int result;

    if (kind == LSI_LOCK_NONE)
        order_before(word);
    result = lsi_files_system.lock(file, byte, kind);
    if (result == 0 && kind != LSI_LOCK_NONE)
        order_after(word);
    return result;
}

static int once_locked_elsewhere(const lsi_file *file, uint64_t byte)
{
    int result = lsi_files_system.locked_elsewhere(file, byte);

    if (result == 0)
        order_after(word_of(file, byte));
    return result;
}

lsi_files mapped_once_files;

void mapped_once_begin(void)
{
    mapped_once_files = lsi_files_system;
    mapped_once_files.open = once_open;
    mapped_once_files.rename = once_rename;
    mapped_once_files.rename_new = once_rename_new;
    mapped_once_files.read = once_read;
    mapped_once_files.write = once_write;
    mapped_once_files.map = once_map;
    mapped_once_files.unmap = once_unmap;
    mapped_once_files.lock = once_lock;
    mapped_once_files.locked_elsewhere = once_locked_elsewhere;
}

void mapped_once_end(void)
{
    for (size_t i = 0; i < region_count; i++)
        (void)munmap(regions[i].bytes, regions[i].size); /* It was mapped so. */
    memset(region_of, 0, sizeof region_of);
    region_count = 0;
}
