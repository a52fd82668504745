/* See hooked_files.h. Everything that is not hooked is the system's own function. */
#include "support/hooked_files.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"
#include "storage/control_layout.h"

static hooked_files *hooked_of(const lsi_files *files)
{
    return (hooked_files *)(uintptr_t)files;
}

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static hook_target target_of(const char *name)
{
    size_t size = strlen(name);

    if (size > 4 && strcmp(name + size - 4, ".seg") == 0)
        return HOOK_SEGMENT;
    if (size > 4 && strcmp(name + size - 4, ".idx") == 0)
        return HOOK_INDEX;
    return strcmp(name, LSI_CONTROL_NAME) == 0 ? HOOK_CONTROL : HOOK_OTHER;
}

static hook_target target_of_fd(const hooked_files *hooked, int fd)
{
    return fd >= 0 && fd < HOOKED_FDS ? (hook_target)hooked->target[fd] : HOOK_OTHER;
}

static int before(hooked_files *hooked, const hook_event *event)
{
    return hooked->before != NULL ? hooked->before(hooked->user, event) : 0;
}

static void after(hooked_files *hooked, hook_event *event, int64_t from_us)
{
    event->took_us = now_us() - from_us;
    if (hooked->after != NULL)
        hooked->after(hooked->user, event);
}

static int hooked_root_kind(const lsi_root *root, lsi_fs_kind *out)
{
    const hooked_files *hooked = hooked_of(root->files);

    if (!hooked->kind_set)
        return lsi_files_system.root_kind(root, out);
    *out = hooked->kind;
    return 0;
}

static int hooked_open(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    hooked_files *hooked = hooked_of(root->files);
    int result = lsi_files_system.open(root, name, flags, out);

    if (result == 0 && out->fd < HOOKED_FDS)
        hooked->target[out->fd] = (unsigned char)target_of(name);
    return result;
}

static int hooked_write(const lsi_file *file, const lsi_span *spans, int count, uint64_t at)
{
    hooked_files *hooked = hooked_of(file->files);
    hook_event event = {.call = HOOK_WRITE, .target = target_of_fd(hooked, file->fd), .file = file, .spans = spans,
                        .count = count, .at = at};
    int result = before(hooked, &event);
    int64_t from_us = now_us();

    if (result < 0)
        return result;
    result = lsi_files_system.write(file, spans, count, at);
    after(hooked, &event, from_us);
    return result;
}

/* Cannot be refused. */
static void hooked_store(const lsi_file *file, void *into, const void *bytes, size_t size)
{
    hooked_files *hooked = hooked_of(file->files);
    lsi_span span = {bytes, size};
    hook_event event = {.call = HOOK_STORE, .target = target_of_fd(hooked, file->fd), .file = file, .spans = &span,
                        .count = 1, .into = into};
    int64_t from_us = now_us();

    (void)before(hooked, &event);
    lsi_files_system.store(file, into, bytes, size);
    after(hooked, &event, from_us);
}

void hook_write_part(const hook_event *event, size_t size)
{
    uint64_t at = event->at;

    for (int i = 0; i < event->count && size > 0; i++) {
        lsi_span part = event->spans[i];

        if (part.size > size)
            part.size = size;
        if (event->call == HOOK_STORE)
            lsi_files_system.store(event->file, event->into, part.data, part.size);
        else if (lsi_files_system.write(event->file, &part, 1, at) < 0)
            return;
        at += part.size;
        size -= part.size;
    }
}

static int hooked_sync(const lsi_file *file, bool data_only)
{
    hooked_files *hooked = hooked_of(file->files);
    hook_event event = {.call = HOOK_SYNC, .target = target_of_fd(hooked, file->fd), .file = file};
    int result = before(hooked, &event);
    int64_t from_us = now_us();

    if (result < 0)
        return result;
    result = lsi_files_system.sync(file, data_only);
    after(hooked, &event, from_us);
    return result;
}

static int rename_how(const lsi_root *root, const char *from, const char *to, bool replaces)
{
    hooked_files *hooked = hooked_of(root->files);
    hook_event event = {.call = HOOK_RENAME, .target = HOOK_OTHER};
    int result = before(hooked, &event);
    int64_t from_us = now_us();

    if (result < 0)
        return result;
    result = replaces ? lsi_files_system.rename(root, from, to) : lsi_files_system.rename_new(root, from, to);
    after(hooked, &event, from_us);
    return result;
}

static int hooked_rename(const lsi_root *root, const char *from, const char *to)
{
    return rename_how(root, from, to, true);
}

static int hooked_rename_new(const lsi_root *root, const char *from, const char *to)
{
    return rename_how(root, from, to, false);
}

static int hooked_sync_dir(const lsi_root *root, const char *name)
{
    hooked_files *hooked = hooked_of(root->files);
    hook_event event = {.call = HOOK_SYNC_DIR, .target = HOOK_OTHER};
    int result = before(hooked, &event);
    int64_t from_us = now_us();

    if (result < 0)
        return result;
    result = lsi_files_system.sync_dir(root, name);
    after(hooked, &event, from_us);
    return result;
}

static int hooked_bulk_end(lsi_file *bulk, bool sync)
{
    hooked_files *hooked = hooked_of(bulk->files);
    hook_event event = {.call = HOOK_SYNC, .target = HOOK_OTHER};
    int result = sync ? before(hooked, &event) : 0;
    int64_t from_us = now_us();

    if (result < 0 || !sync) {
        (void)lsi_files_system.bulk_end(bulk, false); /* releases */
        return result;
    }
    result = lsi_files_system.bulk_end(bulk, true);
    after(hooked, &event, from_us);
    return result;
}

static int hooked_list(const lsi_root *root, const char *name,
                       int (*each)(void *user, const char *entry, bool is_dir), void *user)
{
    hooked_files *hooked = hooked_of(root->files);
    hook_event event = {.call = HOOK_LIST, .target = HOOK_OTHER};
    int result = before(hooked, &event);
    int64_t from_us = now_us();

    if (result < 0)
        return result;
    result = lsi_files_system.list(root, name, each, user);
    after(hooked, &event, from_us);
    return result;
}

static int hooked_map(const lsi_file *file, uint64_t at, size_t size, bool writable, void **out)
{
    hooked_files *hooked = hooked_of(file->files);
    int result = lsi_files_system.map(file, at, size, writable, out);

    if (result == 0 && target_of_fd(hooked, file->fd) == HOOK_CONTROL && at == 0)
        hooked->control = *out;
    return result;
}

static void hooked_unmap(const lsi_file *file, void *map, size_t size)
{
    hooked_files *hooked = hooked_of(file->files);

    if (hooked->control == map)
        hooked->control = NULL;
    lsi_files_system.unmap(file, map, size);
}

void hooked_files_init(hooked_files *hooked, int (*before_call)(void *, const hook_event *),
                       void (*after_call)(void *, const hook_event *), void *user)
{
    memset(hooked, 0, sizeof *hooked);
    hooked->table = lsi_files_system;
    hooked->table.root_kind = hooked_root_kind;
    hooked->table.open = hooked_open;
    hooked->table.write = hooked_write;
    hooked->table.store = hooked_store;
    hooked->table.sync = hooked_sync;
    hooked->table.rename = hooked_rename;
    hooked->table.rename_new = hooked_rename_new;
    hooked->table.sync_dir = hooked_sync_dir;
    hooked->table.bulk_end = hooked_bulk_end;
    hooked->table.list = hooked_list;
    hooked->table.map = hooked_map;
    hooked->table.unmap = hooked_unmap;
    hooked->before = before_call;
    hooked->after = after_call;
    hooked->user = user;
    memset(hooked->target, HOOK_OTHER, sizeof hooked->target);
}

static unsigned held_bit(const lsi_lock *lock, int rank)
{
    const unsigned tid_mask = 0x3fffffff; /* FUTEX_TID_MASK */

    /* Volatile: other processes write it. Only its being our own is believed, and that only we can change. */
    unsigned word = (unsigned)*(const volatile int *)&lock->mutex.__data.__lock;
    return (word & tid_mask) == (unsigned)syscall(SYS_gettid) ? 1u << rank : 0;
}

unsigned hooked_files_held(const hooked_files *hooked)
{
    const control_header *header = hooked->control;
    const unsigned char *slots = (const unsigned char *)hooked->control + CONTROL_SLOTS_AT;
    unsigned held = 0;

    if (header == NULL)
        return 0;
    held |= held_bit(&header->store_lock, LSI_RANK_STORE);
    for (uint32_t i = 0; i < atomic_load_explicit(&header->used_count, memory_order_acquire); i++) {
        const lsi_slot *slot = (const lsi_slot *)(const void *)(slots + (size_t)i * LSI_SLOT_BYTES);

        held |= held_bit(&slot->append_lock,
                         atomic_load_explicit(&slot->kind, memory_order_relaxed) == LSI_SLOT_STREAM ? LSI_RANK_UPKEEP
                                                                                                   : LSI_RANK_SHARD);
        held |= held_bit(&slot->sync_lock, LSI_RANK_SYNC);
    }
    return held;
}
