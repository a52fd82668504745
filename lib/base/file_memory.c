/* A whole file system in memory: what `memory:` stores stand on, and what the tests' file layer is built upon.
 *
 * It keeps what file.h promises and what the engine relies on of a real one: names apart from files (an unlinked file
 * lives as long as it is open or mapped), renames that replace, OFD locks per open. Nothing is durable, so syncing
 * always succeeds.
 *
 * A mapped file never moves. While a file is not mapped, its bytes grow by realloc from the caller's memory; the first
 * mapping moves them into address space reserved for good (RESERVED_BYTES), of which only what the file has is
 * accessible: touching what lies past its end faults, as with a real file. That space comes from mmap and not from the
 * caller's memory: an allocator that may move or refuse cannot keep the promise.
 *
 * One mutex guards everything. `each` of list() is called without it, from a copy of the names. Stores through a
 * mapping do not take it, as they take no lock of the kernel's either.
 *
 * Not kept: permissions (a mapping made read only may be written), times, links. A path given to root_open names a
 * directory of this file system and is only compared. */
#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/lock.h"

#define RESERVED_BYTES (sizeof(void *) >= 8 ? (size_t)1 << 30 : (size_t)1 << 26)
#define FIRST_CAPACITY 4096u

typedef struct node node;
typedef struct opened opened;
typedef struct held_lock held_lock;

typedef struct entry {
    struct entry *next;
    node *to; /* counted in its refs */
    char name[];
} entry;

struct held_lock {
    held_lock *next;
    opened *by;
    uint64_t byte;
    lsi_lock_kind kind;
};

struct node {
    node *next, *previous; /* every node of the file system */
    unsigned refs;         /* names, opens and mappings */
    bool is_dir;
    entry *entries;   /* a directory's */
    unsigned char *bytes; /* a file's; [size, capacity) is zero */
    size_t size, capacity;
    bool reserved; /* `bytes` is address space of RESERVED_BYTES, accessible up to `capacity` */
    held_lock *locks;
};

struct opened {
    opened *next, *previous; /* every open of the file system */
    node *of;
    bool writable;
};

typedef struct memory_fs {
    lsi_files table;
    lsi_memory memory;
    lsi_fork_mark *mark; /* says whether the mutex can be believed */
    pthread_mutex_t mutex;
    node *nodes;
    opened *opens;
    node *roots; /* a directory that nobody reaches: its entries are the paths given to root_open */
} memory_fs;

/* ---- nodes. Locks: fs->mutex held. ---- */

static memory_fs *fs_of(const lsi_files *files)
{
    return files->user;
}

static node *node_new(memory_fs *fs, bool is_dir)
{
    node *made = lsi_alloc_zero(&fs->memory, sizeof(*made));

    if (made == NULL)
        return NULL;
    made->is_dir = is_dir;
    made->next = fs->nodes;
    if (fs->nodes != NULL)
        fs->nodes->previous = made;
    fs->nodes = made;
    return made;
}

static void node_free(memory_fs *fs, node *gone)
{
    while (gone->entries != NULL) {
        entry *next = gone->entries->next;

        lsi_free(&fs->memory, gone->entries);
        gone->entries = next;
    }
    while (gone->locks != NULL) {
        held_lock *next = gone->locks->next;

        lsi_free(&fs->memory, gone->locks);
        gone->locks = next;
    }
    if (gone->reserved)
        (void)munmap(gone->bytes, RESERVED_BYTES); /* cannot fail on what mmap gave */
    else
        lsi_free(&fs->memory, gone->bytes);
    if (gone->next != NULL)
        gone->next->previous = gone->previous;
    if (gone->previous != NULL)
        gone->previous->next = gone->next;
    else
        fs->nodes = gone->next;
    lsi_free(&fs->memory, gone);
}

static void node_drop(memory_fs *fs, node *of)
{
    if (--of->refs == 0)
        node_free(fs, of);
}

/* The place of `name` in `dir`: where the pointer to its entry is, or would be put. */
static entry **entry_place(node *dir, const char *name, size_t size)
{
    entry **at = &dir->entries;

    while (*at != NULL && (strncmp((*at)->name, name, size) != 0 || (*at)->name[size] != '\0'))
        at = &(*at)->next;
    return at;
}

static int entry_add(memory_fs *fs, node *dir, const char *name, node *to)
{
    size_t size = strlen(name);
    entry *made = lsi_alloc(&fs->memory, sizeof(*made) + size + 1);

    if (made == NULL)
        return -ENOMEM;
    memcpy(made->name, name, size + 1);
    made->to = to;
    to->refs++;
    made->next = dir->entries;
    dir->entries = made;
    return 0;
}

static void entry_remove(memory_fs *fs, entry **at)
{
    entry *gone = *at;

    *at = gone->next;
    node_drop(fs, gone->to);
    lsi_free(&fs->memory, gone);
}

/* Finds the directory that holds the last part of `name`. */
static int find_parent(const lsi_root *root, const char *name, node **dir, const char **last)
{
    node *at = root->node;

    if (!lsi_file_name_is_plain(name))
        return -EINVAL;
    for (;;) {
        size_t size = strcspn(name, "/");
        entry *found;

        if (name[size] == '\0')
            break;
        found = *entry_place(at, name, size);
        if (found == NULL)
            return -ENOENT;
        if (!found->to->is_dir)
            return -ENOTDIR;
        at = found->to;
        name += size + 1;
    }
    *dir = at;
    *last = name;
    return 0;
}

static int find_place(const lsi_root *root, const char *name, entry ***place)
{
    const char *last;
    node *dir;
    int result = find_parent(root, name, &dir, &last);

    if (result == 0)
        *place = entry_place(dir, last, strlen(last));
    return result;
}

static int find_dir(const lsi_root *root, const char *name, node **out)
{
    entry **place;
    int result;

    if (*name == '\0') {
        *out = root->node;
        return 0;
    }
    result = find_place(root, name, &place);
    if (result != 0)
        return result;
    if (*place == NULL)
        return -ENOENT;
    *out = (*place)->to;
    return (*out)->is_dir ? 0 : -ENOTDIR;
}

/* Makes room for `size` bytes; `size` of the node stays. */
static int node_reserve(memory_fs *fs, node *of, uint64_t size)
{
    size_t capacity = of->capacity != 0 ? of->capacity : FIRST_CAPACITY;
    unsigned char *moved;

    if (size <= of->capacity)
        return 0;
    if (size > (of->reserved ? RESERVED_BYTES : SIZE_MAX / 2))
        return -EFBIG;
    while (capacity < size)
        capacity *= 2;
    if (of->reserved) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);

        capacity = ((size_t)size + page - 1) / page * page; /* no more than the file has: see the head */
        if (mprotect(of->bytes, capacity, PROT_READ | PROT_WRITE) != 0)
            return -ENOSPC;
        of->capacity = capacity;
        return 0;
    }
    moved = lsi_resize(&fs->memory, of->bytes, capacity);
    if (moved == NULL)
        return -ENOMEM;
    memset(moved + of->capacity, 0, capacity - of->capacity);
    of->bytes = moved;
    of->capacity = capacity;
    return 0;
}

/* Moves a file's bytes to where they stay. */
static int node_pin(memory_fs *fs, node *of)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t capacity = (of->size + page - 1) / page * page;
    void *space;

    if (of->reserved)
        return 0;
    if (of->size > RESERVED_BYTES)
        return -EFBIG;
    space = mmap(NULL, RESERVED_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED)
        return -ENOMEM;
    if (capacity > 0 && mprotect(space, capacity, PROT_READ | PROT_WRITE) != 0) {
        (void)munmap(space, RESERVED_BYTES); /* cannot fail on what mmap gave */
        return -ENOMEM;
    }
    if (of->size > 0)
        memcpy(space, of->bytes, of->size);
    lsi_free(&fs->memory, of->bytes);
    of->bytes = space;
    of->capacity = capacity;
    of->reserved = true;
    return 0;
}

/* ---- roots ---- */

static int memory_root_open(const lsi_files *self, const char *path, unsigned flags, lsi_root *out)
{
    memory_fs *fs = fs_of(self);
    entry **place;
    node *made;
    int result = 0;

    if ((flags & LSI_ROOT_CREATE) != 0 && (flags & LSI_ROOT_WRITE) == 0)
        return -EINVAL;
    pthread_mutex_lock(&fs->mutex);
    place = entry_place(fs->roots, path, strlen(path));
    if (*place == NULL) {
        if ((flags & LSI_ROOT_CREATE) == 0) {
            result = -ENOENT;
            goto done;
        }
        made = node_new(fs, true);
        if (made == NULL) {
            result = -ENOMEM;
            goto done;
        }
        result = entry_add(fs, fs->roots, path, made);
        if (result != 0) {
            node_free(fs, made);
            goto done;
        }
        place = &fs->roots->entries;
    }
    out->files = self;
    out->fd = -1;
    out->node = (*place)->to; /* not counted: nothing removes a root */
done:
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

static void memory_root_close(lsi_root *root)
{
    root->files = NULL;
    root->node = NULL;
}

static int memory_root_kind(const lsi_root *root, lsi_fs_kind *out)
{
    (void)root;
    *out = LSI_FS_LOCAL;
    return 0;
}

static int memory_root_free_bytes(const lsi_root *root, uint64_t *out)
{
    long pages = sysconf(_SC_AVPHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);

    (void)root;
    if (pages < 0 || page < 0)
        return -ENOTSUP;
    *out = (uint64_t)pages * (uint64_t)page;
    return 0;
}

/* ---- files ---- */

static int memory_open(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    memory_fs *fs = fs_of(root->files);
    bool create = (flags & LSI_OPEN_CREATE) != 0;
    opened *open = NULL;
    const char *last;
    node *dir, *of;
    entry **place;
    int result;

    if (create && (flags & LSI_OPEN_WRITE) == 0)
        return -EINVAL;
    pthread_mutex_lock(&fs->mutex);
    result = find_parent(root, name, &dir, &last);
    if (result != 0)
        goto done;
    place = entry_place(dir, last, strlen(last));
    if (*place != NULL && create && (flags & LSI_OPEN_EXCLUSIVE) != 0)
        result = -EEXIST;
    else if (*place != NULL && (*place)->to->is_dir)
        result = -EINVAL;
    else if (*place == NULL && !create)
        result = -ENOENT;
    if (result != 0)
        goto done;
    open = lsi_alloc_zero(&fs->memory, sizeof(*open));
    if (open == NULL) {
        result = -ENOMEM;
        goto done;
    }
    if (*place != NULL) {
        of = (*place)->to;
    } else {
        of = node_new(fs, false);
        result = of == NULL ? -ENOMEM : entry_add(fs, dir, last, of);
        if (result != 0) {
            if (of != NULL)
                node_free(fs, of);
            lsi_free(&fs->memory, open);
            goto done;
        }
    }
    of->refs++;
    open->of = of;
    open->writable = (flags & LSI_OPEN_WRITE) != 0;
    open->next = fs->opens;
    if (fs->opens != NULL)
        fs->opens->previous = open;
    fs->opens = open;
    out->files = root->files;
    out->fd = -1;
    out->node = open;
done:
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

/* A fork child has a copy of everything, with a mutex that another thread of the parent may have held. So giving up
 * touches nothing there, nor does unmapping; lsi_files_memory_free() frees what is left. */
static void memory_abandon(lsi_file *file)
{
    file->files = NULL;
    file->node = NULL;
}

static int memory_close(lsi_file *file)
{
    memory_fs *fs = fs_of(file->files);
    opened *open = file->node;

    if (!lsi_fork_mark_is_mine(fs->mark)) { /* The mutex cannot be believed; lsi_files_memory_free() frees it all. */
        memory_abandon(file);
        return 0;
    }
    pthread_mutex_lock(&fs->mutex);
    for (held_lock **at = &open->of->locks; *at != NULL;) {
        held_lock *lock = *at;

        if (lock->by == open) {
            *at = lock->next;
            lsi_free(&fs->memory, lock);
        } else {
            at = &lock->next;
        }
    }
    node_drop(fs, open->of);
    if (open->next != NULL)
        open->next->previous = open->previous;
    if (open->previous != NULL)
        open->previous->next = open->next;
    else
        fs->opens = open->next;
    lsi_free(&fs->memory, open);
    pthread_mutex_unlock(&fs->mutex);
    file->files = NULL;
    file->node = NULL;
    return 0;
}

static int64_t memory_read(const lsi_file *file, void *into, size_t size, uint64_t at)
{
    memory_fs *fs = fs_of(file->files);
    const node *of = ((opened *)file->node)->of;
    size_t got = 0;

    if (size > SSIZE_MAX || at > INT64_MAX)
        return -EINVAL;
    pthread_mutex_lock(&fs->mutex);
    if (at < of->size) {
        got = of->size - (size_t)at;
        got = got < size ? got : size;
        memcpy(into, of->bytes + at, got);
    }
    pthread_mutex_unlock(&fs->mutex);
    return (int64_t)got;
}

static int memory_write(const lsi_file *file, const lsi_span *spans, int count, uint64_t at)
{
    memory_fs *fs = fs_of(file->files);
    opened *open = file->node;
    node *of = open->of;
    uint64_t end = at;
    int result = 0;

    if (!open->writable)
        return -EBADF;
    if (at > INT64_MAX)
        return -EINVAL;
    for (int i = 0; i < count; i++) {
        if (spans[i].size > INT64_MAX - end)
            return -EFBIG;
        end += spans[i].size;
    }
    if (end == at)
        return 0;
    pthread_mutex_lock(&fs->mutex);
    result = node_reserve(fs, of, end);
    if (result == 0) {
        for (int i = 0; i < count; i++) {
            if (spans[i].size > 0)
                memcpy(of->bytes + at, spans[i].data, spans[i].size);
            at += spans[i].size;
        }
        if (end > of->size)
            of->size = (size_t)end;
    }
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

static int memory_sync(const lsi_file *file, bool data_only)
{
    (void)file;
    (void)data_only;
    return 0;
}

static int memory_allocate(const lsi_file *file, uint64_t at, uint64_t size)
{
    memory_fs *fs = fs_of(file->files);
    opened *open = file->node;
    int result;

    if (size == 0)
        return 0;
    if (!open->writable)
        return -EBADF;
    if (at > INT64_MAX || size > INT64_MAX - at)
        return -EFBIG;
    pthread_mutex_lock(&fs->mutex);
    result = node_reserve(fs, open->of, at + size);
    if (result == 0 && at + size > open->of->size)
        open->of->size = (size_t)(at + size);
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

static void memory_give_back(const lsi_file *file, uint64_t at, uint64_t size)
{
    memory_fs *fs = fs_of(file->files);
    opened *open = file->node;
    node *of = open->of;

    pthread_mutex_lock(&fs->mutex);
    if (open->writable && at < of->size)
        memset(of->bytes + at, 0, size < of->size - at ? (size_t)size : of->size - (size_t)at);
    pthread_mutex_unlock(&fs->mutex);
}

static int memory_truncate(const lsi_file *file, uint64_t size)
{
    memory_fs *fs = fs_of(file->files);
    opened *open = file->node;
    node *of = open->of;
    int result;

    if (!open->writable || size > INT64_MAX)
        return -EINVAL;
    pthread_mutex_lock(&fs->mutex);
    result = node_reserve(fs, of, size);
    if (result == 0) {
        if (size < of->size)
            memset(of->bytes + size, 0, of->size - (size_t)size);
        of->size = (size_t)size;
    }
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

static int memory_size(const lsi_file *file, uint64_t *out)
{
    memory_fs *fs = fs_of(file->files);

    pthread_mutex_lock(&fs->mutex);
    *out = ((opened *)file->node)->of->size;
    pthread_mutex_unlock(&fs->mutex);
    return 0;
}

/* ---- names ---- */

static int memory_make_dir(const lsi_root *root, const char *name)
{
    memory_fs *fs = fs_of(root->files);
    const char *last;
    node *dir, *made;
    int result;

    pthread_mutex_lock(&fs->mutex);
    result = find_parent(root, name, &dir, &last);
    if (result != 0)
        goto done;
    if (*entry_place(dir, last, strlen(last)) != NULL) {
        result = -EEXIST;
        goto done;
    }
    made = node_new(fs, true);
    result = made == NULL ? -ENOMEM : entry_add(fs, dir, last, made);
    if (result != 0 && made != NULL)
        node_free(fs, made);
done:
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

static int rename_how(const lsi_root *root, const char *from, const char *to, bool replaces)
{
    memory_fs *fs = fs_of(root->files);
    size_t from_size = strlen(from);
    entry **from_place, **to_place;
    const char *last;
    node *moved, *dir;
    int result;

    if (!lsi_file_name_is_plain(to))
        return -EINVAL;
    pthread_mutex_lock(&fs->mutex);
    result = find_place(root, from, &from_place);
    if (result != 0)
        goto done;
    result = find_parent(root, to, &dir, &last);
    if (result != 0)
        goto done;
    if (*from_place == NULL) {
        result = -ENOENT;
        goto done;
    }
    moved = (*from_place)->to;
    if (moved->is_dir && strncmp(to, from, from_size) == 0 && to[from_size] == '/') {
        result = -EINVAL; /* into itself */
        goto done;
    }
    to_place = entry_place(dir, last, strlen(last));
    if (*to_place != NULL && !replaces) {
        result = -EEXIST;
        goto done;
    }
    if (*to_place != NULL) {
        node *there = (*to_place)->to;

        if (there == moved)
            goto done;
        if (there->is_dir != moved->is_dir)
            result = there->is_dir ? -EISDIR : -ENOTDIR;
        else if (there->is_dir && there->entries != NULL)
            result = -ENOTEMPTY;
        if (result != 0)
            goto done;
        moved->refs++; /* the name `to` */
        (*to_place)->to = moved;
        node_drop(fs, there);
    } else {
        result = entry_add(fs, dir, last, moved);
        if (result != 0)
            goto done;
    }
    /* Found again: adding put an entry in front of the list and may have changed what points to it. */
    (void)find_place(root, from, &from_place); /* it is there: see above */
    entry_remove(fs, from_place);
done:
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

static int memory_rename(const lsi_root *root, const char *from, const char *to)
{
    return rename_how(root, from, to, true);
}

static int memory_rename_new(const lsi_root *root, const char *from, const char *to)
{
    return rename_how(root, from, to, false);
}

static int memory_remove(const lsi_root *root, const char *name, bool is_dir)
{
    memory_fs *fs = fs_of(root->files);
    entry **place;
    int result;

    pthread_mutex_lock(&fs->mutex);
    result = find_place(root, name, &place);
    if (result != 0)
        goto done;
    if (*place == NULL)
        result = -ENOENT;
    else if ((*place)->to->is_dir != is_dir)
        result = is_dir ? -ENOTDIR : -EISDIR;
    else if (is_dir && (*place)->to->entries != NULL)
        result = -ENOTEMPTY;
    else
        entry_remove(fs, place);
done:
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

static int memory_unlink(const lsi_root *root, const char *name)
{
    return memory_remove(root, name, false);
}

static int memory_remove_dir(const lsi_root *root, const char *name)
{
    return memory_remove(root, name, true);
}

static int memory_sync_dir(const lsi_root *root, const char *name)
{
    memory_fs *fs = fs_of(root->files);
    node *dir;
    int result;

    pthread_mutex_lock(&fs->mutex);
    result = find_dir(root, name, &dir);
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

static int memory_bulk_begin(const lsi_root *root, lsi_file *bulk)
{
    *bulk = (lsi_file){.files = root->files, .fd = -1, .node = NULL};
    return 0;
}

static int memory_bulk_end(lsi_file *bulk, bool sync)
{
    (void)sync; /* Nothing is durable here. */
    bulk->files = NULL;
    return 0;
}

static int memory_list(const lsi_root *root, const char *name,
                       int (*each)(void *user, const char *entry, bool is_dir), void *user)
{
    memory_fs *fs = fs_of(root->files);
    size_t bytes = 0;
    char *names = NULL; /* for each entry: 'd' or 'f', its name, '\0' */
    char *put;
    node *dir;
    int result;

    pthread_mutex_lock(&fs->mutex);
    result = find_dir(root, name, &dir);
    if (result == 0) {
        for (const entry *at = dir->entries; at != NULL; at = at->next)
            bytes += strlen(at->name) + 2;
        names = put = lsi_alloc(&fs->memory, bytes);
        if (names == NULL)
            result = -ENOMEM;
        for (const entry *at = dir->entries; names != NULL && at != NULL; at = at->next) {
            size_t size = strlen(at->name) + 1;

            *put++ = at->to->is_dir ? 'd' : 'f';
            memcpy(put, at->name, size);
            put += size;
        }
    }
    pthread_mutex_unlock(&fs->mutex);
    for (const char *at = names; result == 0 && at < names + bytes; at += strlen(at) + 1)
        result = each(user, at + 1, *at == 'd');
    lsi_free(&fs->memory, names);
    return result;
}

/* ---- mappings ---- */

static int memory_map(const lsi_file *file, uint64_t at, size_t size, bool writable, void **out)
{
    memory_fs *fs = fs_of(file->files);
    opened *open = file->node;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    int result;

    if (size == 0 || at % page != 0)
        return -EINVAL;
    if (writable && !open->writable)
        return -EACCES;
    if (at > RESERVED_BYTES || size > RESERVED_BYTES - at)
        return -ENOMEM;
    pthread_mutex_lock(&fs->mutex);
    result = node_pin(fs, open->of);
    if (result == 0) {
        open->of->refs++;
        *out = open->of->bytes + at;
    }
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

static void memory_unmap(const lsi_file *file, void *map, size_t size)
{
    memory_fs *fs = fs_of(file->files);

    (void)map;
    (void)size;
    if (!lsi_fork_mark_is_mine(fs->mark))
        return;
    pthread_mutex_lock(&fs->mutex);
    node_drop(fs, ((opened *)file->node)->of); /* the open counts too: it does not go away here */
    pthread_mutex_unlock(&fs->mutex);
}

static void memory_store(const lsi_file *file, void *into, const void *bytes, size_t size)
{
    (void)file;
    memcpy(into, bytes, size);
}

/* ---- locks ---- */

static bool conflicts(const node *of, const opened *by, uint64_t byte, lsi_lock_kind kind)
{
    for (const held_lock *lock = of->locks; lock != NULL; lock = lock->next)
        if (lock->by != by && lock->byte == byte && (kind == LSI_LOCK_EXCLUSIVE || lock->kind == LSI_LOCK_EXCLUSIVE))
            return true;
    return false;
}

static int memory_lock(const lsi_file *file, uint64_t byte, lsi_lock_kind kind)
{
    memory_fs *fs = fs_of(file->files);
    opened *open = file->node;
    node *of = open->of;
    held_lock **at = &of->locks;
    held_lock *lock;
    int result = 0;

    if (kind == LSI_LOCK_EXCLUSIVE && !open->writable)
        return -EBADF;
    pthread_mutex_lock(&fs->mutex);
    while (*at != NULL && ((*at)->by != open || (*at)->byte != byte))
        at = &(*at)->next;
    lock = *at;
    if (kind == LSI_LOCK_NONE) {
        if (lock != NULL) {
            *at = lock->next;
            lsi_free(&fs->memory, lock);
        }
        goto done;
    }
    if (conflicts(of, open, byte, kind)) {
        result = -EAGAIN;
        goto done;
    }
    if (lock == NULL) {
        lock = lsi_alloc(&fs->memory, sizeof(*lock));
        if (lock == NULL) {
            result = -ENOMEM;
            goto done;
        }
        lock->by = open;
        lock->byte = byte;
        lock->next = of->locks;
        of->locks = lock;
    }
    lock->kind = kind;
done:
    pthread_mutex_unlock(&fs->mutex);
    return result;
}

static int memory_locked_elsewhere(const lsi_file *file, uint64_t byte)
{
    memory_fs *fs = fs_of(file->files);
    const opened *open = file->node;
    bool held;

    pthread_mutex_lock(&fs->mutex);
    held = conflicts(open->of, open, byte, LSI_LOCK_EXCLUSIVE);
    pthread_mutex_unlock(&fs->mutex);
    return held;
}

/* ---- the table ---- */

lsi_files *lsi_files_memory_new(const lsi_memory *memory)
{
    static const lsi_files table = {
        .root_open = memory_root_open,
        .root_close = memory_root_close,
        .root_kind = memory_root_kind,
        .root_free_bytes = memory_root_free_bytes,
        .open = memory_open,
        .close = memory_close,
        .read = memory_read,
        .write = memory_write,
        .sync = memory_sync,
        .allocate = memory_allocate,
        .give_back = memory_give_back,
        .truncate = memory_truncate,
        .size = memory_size,
        .make_dir = memory_make_dir,
        .rename = memory_rename,
        .rename_new = memory_rename_new,
        .unlink = memory_unlink,
        .remove_dir = memory_remove_dir,
        .sync_dir = memory_sync_dir,
        .bulk_begin = memory_bulk_begin,
        .bulk_end = memory_bulk_end,
        .list = memory_list,
        .map = memory_map,
        .unmap = memory_unmap,
        .store = memory_store,
        .lock = memory_lock,
        .locked_elsewhere = memory_locked_elsewhere,
        .abandon = memory_abandon,
    };
    memory_fs *fs = lsi_alloc_zero(memory, sizeof(*fs));

    if (fs == NULL)
        return NULL;
    fs->memory = *memory;
    fs->table = table;
    fs->table.user = fs;
    fs->mark = lsi_fork_mark_new();
    if (fs->mark == NULL || pthread_mutex_init(&fs->mutex, NULL) != 0)
        goto fail;
    fs->roots = node_new(fs, true);
    if (fs->roots == NULL) {
        (void)pthread_mutex_destroy(&fs->mutex); /* nobody saw it */
        goto fail;
    }
    return &fs->table;
fail:
    lsi_fork_mark_free(fs->mark);
    lsi_free(memory, fs);
    return NULL;
}

void lsi_files_memory_free(lsi_files *files)
{
    memory_fs *fs;
    lsi_memory memory;

    if (files == NULL)
        return;
    fs = fs_of(files);
    memory = fs->memory;
    while (fs->opens != NULL) {
        opened *next = fs->opens->next;

        lsi_free(&memory, fs->opens);
        fs->opens = next;
    }
    while (fs->nodes != NULL)
        node_free(fs, fs->nodes);
    if (lsi_fork_mark_is_mine(fs->mark))
        (void)pthread_mutex_destroy(&fs->mutex); /* nobody uses it any more */
    lsi_fork_mark_free(fs->mark);
    lsi_free(&memory, fs);
}
