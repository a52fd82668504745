/* The log of the tests' file system: what was done, to which file by number, and what mappings changed unasked. See
 * sim_files.h for what it is good for. */
#include "support/sim_inside.h"

#include <assert.h>
#include <string.h>

#define VIEW_BYTES ((size_t)1 << 30) /* what the memory table reserves for a mapped file */

void *sim_must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

uint64_t sim_mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

/* ---- the log ---- */

static char *copy_text(const char *text)
{
    return text != NULL ? sim_must(strdup(text)) : NULL;
}

static unsigned char *copy_bytes(const void *bytes, size_t size)
{
    unsigned char *copy = NULL;

    if (size > 0) {
        copy = sim_must(malloc(size));
        memcpy(copy, bytes, size);
    }
    return copy;
}

/* Takes over what `op` points to. */
void sim_log_add(sim_files *sim, sim_op op)
{
    GROW(sim->log, sim->log_count, sim->log_capacity);
    sim->log[sim->log_count++] = op;
}

void sim_log_bytes(sim_files *sim, sim_op_kind kind, uint32_t file, uint64_t at, const void *bytes, size_t size)
{
    sim_op op = {.kind = kind, .file = file, .at = at, .size = size};

    if (size == 0)
        return;
    op.bytes = copy_bytes(bytes, size);
    sim_log_add(sim, op);
}

sim_op sim_op_copy(const sim_op *from)
{
    sim_op op = *from;

    op.name = copy_text(from->name);
    op.to_name = copy_text(from->to_name);
    op.bytes = from->bytes != NULL ? copy_bytes(from->bytes, (size_t)from->size) : NULL;
    return op;
}

/* ---- things and names ---- */

uint32_t sim_thing_add(sim_files *sim, bool is_dir)
{
    thing fresh = {.is_dir = is_dir};

    GROW(sim->things, sim->thing_count, sim->thing_capacity);
    sim->things[sim->thing_count] = fresh;
    return (uint32_t)sim->thing_count++;
}

static label *name_find(sim_files *sim, uint32_t dir, const char *text, size_t size)
{
    for (size_t i = 0; i < sim->name_count; i++) {
        label *at = &sim->names[i];

        if (at->dir == dir && strncmp(at->text, text, size) == 0 && at->text[size] == '\0')
            return at;
    }
    return NULL;
}

static void name_add(sim_files *sim, uint32_t dir, const char *text, uint32_t file)
{
    label fresh = {dir, file, copy_text(text)};

    GROW(sim->names, sim->name_count, sim->name_capacity);
    sim->names[sim->name_count++] = fresh;
}

static void name_remove(sim_files *sim, label *gone)
{
    free(gone->text);
    *gone = sim->names[--sim->name_count];
}

/* Directory and last part of a path that the inner table accepted. */
static uint32_t parent_of(sim_files *sim, const char *path, const char **last)
{
    uint32_t dir = 0;
    const char *slash;

    while ((slash = strchr(path, '/')) != NULL) {
        label *part = name_find(sim, dir, path, (size_t)(slash - path));

        assert(part != NULL);
        dir = part->file;
        path = slash + 1;
    }
    *last = path;
    return dir;
}

label *sim_path_find(sim_files *sim, const char *path)
{
    const char *last;
    uint32_t dir = parent_of(sim, path, &last);

    return name_find(sim, dir, last, strlen(last));
}

/* The path of a directory by its number, for playing a log. */
void sim_path_of(sim_files *sim, uint32_t file, char *into, size_t size)
{
    if (file == 0) {
        into[0] = '\0';
        return;
    }
    for (size_t i = 0; i < sim->name_count; i++)
        if (sim->names[i].file == file) {
            sim_path_of(sim, sim->names[i].dir, into, size);
            snprintf(into + strlen(into), size - strlen(into), "%s%s", *into != '\0' ? "/" : "", sim->names[i].text);
            return;
        }
    abort(); /* a directory that is used has a name */
}

/* ---- mappings ---- */

size_t sim_file_size(const thing *of)
{
    uint64_t size = 0;

    (void)of->keep.files->size(&of->keep, &size); /* memory's cannot fail */
    return (size_t)size;
}

static void seen_resize(thing *of, size_t size)
{
    if (size > of->seen_capacity) {
        of->seen_capacity = size > 2 * of->seen_capacity ? size : 2 * of->seen_capacity;
        of->seen = sim_must(realloc(of->seen, of->seen_capacity));
    }
    if (size > of->seen_size)
        memset(of->seen + of->seen_size, 0, size - of->seen_size);
    of->seen_size = size;
}

/* What is mapped may be written by another thread while we look, as a disk's cache may be while it goes out: words of
 * it are atomic for those who wrote them, and for us a word is new or old. ThreadSanitizer, which knows of no disks, is
 * not to look, and no call of the C library may stand in for the loops, for it would look there. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#define UNDER_TSAN __has_feature(thread_sanitizer)
#else
#define UNDER_TSAN 0
#endif
#define NOT_WATCHED __attribute__((no_sanitize("thread"), noinline))

NOT_WATCHED static bool is_as_seen(const unsigned char *seen, const unsigned char *view, size_t size)
{
    const volatile unsigned char *now = view;
    size_t at = 0;

    if (!UNDER_TSAN)
        return memcmp(seen, view, size) == 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t old;

        memcpy(&old, seen + at, sizeof old);
        if (*(const volatile uint64_t *)(now + at) != old)
            return false;
    }
    for (; at < size; at++)
        if (now[at] != seen[at])
            return false;
    return true;
}

NOT_WATCHED static void see(unsigned char *seen, const unsigned char *view, size_t size)
{
    const volatile unsigned char *now = view;
    size_t at = 0;

    for (; at + 8 <= size; at += 8) {
        uint64_t word = *(const volatile uint64_t *)(now + at);

        memcpy(seen + at, &word, sizeof word);
    }
    for (; at < size; at++)
        seen[at] = now[at];
}

/* Logs what mappings of `file` changed since we looked: runs of whole sectors. */
void sim_note_mapped(sim_files *sim, uint32_t file)
{
    thing *of = &sim->things[file];
    size_t size, run = SIZE_MAX;

    if (of->view == NULL)
        return;
    size = sim_file_size(of);
    if (size == of->seen_size && is_as_seen(of->seen, of->view, size))
        return;
    seen_resize(of, size);
    for (size_t at = 0;; at += SECTOR_BYTES) {
        size_t part = at >= size ? 0 : size - at < SECTOR_BYTES ? size - at : SECTOR_BYTES;
        bool changed = part > 0 && !is_as_seen(of->seen + at, of->view + at, part);

        if (changed && run == SIZE_MAX)
            run = at;
        if (!changed && run != SIZE_MAX) {
            size_t end = at < size ? at : size;

            see(of->seen + run, of->view + run, end - run);
            sim_log_bytes(sim, SIM_OP_STORE, file, run, of->seen + run, end - run);
            run = SIZE_MAX;
        }
        if (part == 0)
            break;
    }
}

void sim_note_all_mapped(sim_files *sim)
{
    for (size_t i = 0; i < sim->thing_count; i++)
        sim_note_mapped(sim, (uint32_t)i);
}

/* A logged call changed [at, at + size) itself: that is not the mappings' doing. */
void sim_seen_now(sim_files *sim, uint32_t file, uint64_t at, size_t size)
{
    thing *of = &sim->things[file];
    size_t now;

    if (of->view == NULL)
        return;
    now = sim_file_size(of);
    seen_resize(of, now);
    if (at >= now)
        return;
    size = size < now - (size_t)at ? size : now - (size_t)at;
    memcpy(of->seen + at, of->view + at, size);
}

void sim_watch(sim_files *sim, uint32_t file)
{
    thing *of = &sim->things[file];
    void *view;

    if (of->view != NULL)
        return;
    if (of->keep.files->map(&of->keep, 0, VIEW_BYTES, true, &view) != 0)
        abort();
    of->view = view;
    sim_seen_now(sim, file, 0, SIZE_MAX);
}

/* ---- changing, logged. Locks: sim->mutex held. ---- */

void sim_created(sim_files *sim, const char *path, bool is_dir)
{
    const char *last;
    uint32_t dir = parent_of(sim, path, &last);
    uint32_t file = sim_thing_add(sim, is_dir);
    sim_op op = {.kind = is_dir ? SIM_OP_MAKE_DIR : SIM_OP_CREATE, .file = file, .dir = dir, .name = copy_text(last)};

    if (!is_dir && sim->inner->open(&sim->root, path, LSI_OPEN_WRITE, &sim->things[file].keep) != 0)
        abort();
    name_add(sim, dir, last, file);
    sim_log_add(sim, op);
}

void sim_removed(sim_files *sim, const char *path, bool is_dir)
{
    label *gone = sim_path_find(sim, path);
    sim_op op = {.kind = is_dir ? SIM_OP_REMOVE_DIR : SIM_OP_UNLINK, .file = gone->file, .dir = gone->dir};

    op.name = copy_text(gone->text);
    name_remove(sim, gone);
    sim_log_add(sim, op);
}

void sim_renamed(sim_files *sim, const char *from, const char *to)
{
    const char *to_last;
    uint32_t to_dir = parent_of(sim, to, &to_last);
    label *there = name_find(sim, to_dir, to_last, strlen(to_last));
    label *moved = sim_path_find(sim, from);
    sim_op op = {.kind = SIM_OP_RENAME, .file = moved->file, .dir = moved->dir, .to_dir = to_dir};

    if (there == moved)
        return;
    op.name = copy_text(moved->text);
    op.to_name = copy_text(to_last);
    if (there != NULL) {
        name_remove(sim, there);
        moved = sim_path_find(sim, from); /* it may have been the last, which moved */
    }
    name_remove(sim, moved);
    name_add(sim, to_dir, to_last, op.file);
    sim_log_add(sim, op);
}

/* ---- the log, read ---- */

size_t sim_log_count(sim_files *sim)
{
    size_t count;

    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    count = sim->log_count;
    pthread_mutex_unlock(&sim->mutex);
    return count;
}

size_t sim_log_base(const sim_files *sim)
{
    return sim->log_base;
}

const sim_op *sim_log_at(const sim_files *sim, size_t index)
{
    assert(index < sim->log_count);
    return &sim->log[index];
}

void sim_log_print(sim_files *sim, FILE *to)
{
    static const char *const kinds[] = {
        "create",   "make_dir", "unlink", "remove_dir", "rename",   "sync_dir", "doubt_dir",
        "write",    "store",    "allocate", "truncate", "sync",     "doubt",
    };
    size_t count = sim_log_count(sim);

    for (size_t i = 0; i < count; i++) {
        const sim_op *op = &sim->log[i];

        fprintf(to, "%s%4zu %-10s file %u dir %u", i < sim->log_base ? "=" : " ", i, kinds[op->kind], op->file,
                op->dir);
        if (op->name != NULL)
            fprintf(to, " '%s'", op->name);
        if (op->to_name != NULL)
            fprintf(to, " -> dir %u '%s'", op->to_dir, op->to_name);
        fprintf(to, " at %llu size %llu\n", (unsigned long long)op->at, (unsigned long long)op->size);
    }
}
