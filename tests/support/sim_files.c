/* See sim_files.h. The bytes live in a memory table (`inner`); this file stands before it: counts, fails, kills, and
 * keeps the log. Every other disk, a clone or a crash state, is made by writing another log and playing it into a
 * memory table of its own, so there is one way in which content comes about. */
#include "support/sim_files.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"

#define SECTOR_BYTES 512u
#define VIEW_BYTES ((size_t)1 << 30) /* what the memory table reserves for a mapped file */

/* A file or directory, from its creation to the end of the sim, named or not. */
typedef struct thing {
    bool is_dir;
    lsi_file keep;         /* a file's, open for us */
    unsigned char *view;   /* the file through a mapping of ours, from the first writable one of others on */
    unsigned char *seen;   /* its bytes when we last looked */
    size_t seen_size, seen_capacity;
} thing;

/* A name in a directory now. */
typedef struct label {
    uint32_t dir, file;
    char *text;
} label;

typedef struct sim_open {
    struct sim_open *next, **at;
    lsi_file inner;
    uint32_t file;
    unsigned process;
    char name[];
} sim_open;

struct sim_files {
    lsi_files table;
    lsi_files *inner;
    lsi_root root;
    bool has_root;
    pthread_mutex_t mutex;
    unsigned char boot_id[16];

    thing *things;
    size_t thing_count, thing_capacity;
    label *names;
    size_t name_count, name_capacity;
    sim_open *opens;
    sim_op *log;
    size_t log_count, log_capacity, log_base;

    sim_fault faults[SIM_FAULTS_MAX];
    uint64_t fault_seen[SIM_FAULTS_MAX]; /* calls it applied to */
    size_t fault_count;
    uint64_t faults_met;
    uint64_t calls[SIM_CALL_COUNT];
    sim_hook *hook;
    void *hook_user;
};

/* The process this thread plays; 0 outside sim_run(). */
static _Thread_local unsigned this_process;
static _Thread_local jmp_buf *this_end;

const char *sim_call_name(sim_call call)
{
    static const char *const names[] = {
        "any",        "root_open", "open",  "close",    "read",             "write",    "sync",   "allocate",
        "truncate",   "size",      "make_dir", "rename", "unlink",          "remove_dir", "sync_dir", "list",
        "map",        "unmap",     "store", "lock",     "locked_elsewhere", "sync_ends",
    };

    return (unsigned)call < SIM_CALL_COUNT ? names[call] : "?";
}

/* Tests do not test the lack of their own memory. */
static void *must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

#define GROW(array, count, capacity)                                                   \
    do {                                                                               \
        if ((count) == (capacity)) {                                                   \
            (capacity) = (capacity) != 0 ? (capacity) * 2 : 16;                        \
            (array) = must(realloc((array), (capacity) * sizeof(*(array))));           \
        }                                                                              \
    } while (0)

static sim_files *sim_of(const lsi_files *files)
{
    return files->user;
}

/* ---- the log ---- */

static char *copy_text(const char *text)
{
    return text != NULL ? must(strdup(text)) : NULL;
}

static unsigned char *copy_bytes(const void *bytes, size_t size)
{
    unsigned char *copy = NULL;

    if (size > 0) {
        copy = must(malloc(size));
        memcpy(copy, bytes, size);
    }
    return copy;
}

/* Takes over what `op` points to. */
static void log_add(sim_files *sim, sim_op op)
{
    GROW(sim->log, sim->log_count, sim->log_capacity);
    sim->log[sim->log_count++] = op;
}

static void log_bytes(sim_files *sim, sim_op_kind kind, uint32_t file, uint64_t at, const void *bytes, size_t size)
{
    sim_op op = {.kind = kind, .file = file, .at = at, .size = size};

    if (size == 0)
        return;
    op.bytes = copy_bytes(bytes, size);
    log_add(sim, op);
}

static sim_op op_copy(const sim_op *from)
{
    sim_op op = *from;

    op.name = copy_text(from->name);
    op.to_name = copy_text(from->to_name);
    op.bytes = from->bytes != NULL ? copy_bytes(from->bytes, (size_t)from->size) : NULL;
    return op;
}

/* ---- things and names ---- */

static uint32_t thing_add(sim_files *sim, bool is_dir)
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

static label *path_find(sim_files *sim, const char *path)
{
    const char *last;
    uint32_t dir = parent_of(sim, path, &last);

    return name_find(sim, dir, last, strlen(last));
}

/* The path of a directory by its number, for playing a log. */
static void path_of(sim_files *sim, uint32_t file, char *into, size_t size)
{
    if (file == 0) {
        into[0] = '\0';
        return;
    }
    for (size_t i = 0; i < sim->name_count; i++)
        if (sim->names[i].file == file) {
            path_of(sim, sim->names[i].dir, into, size);
            snprintf(into + strlen(into), size - strlen(into), "%s%s", *into != '\0' ? "/" : "", sim->names[i].text);
            return;
        }
    abort(); /* a directory that is used has a name */
}

/* ---- mappings ---- */

static size_t file_size(const thing *of)
{
    uint64_t size = 0;

    (void)of->keep.files->size(&of->keep, &size); /* memory's cannot fail */
    return (size_t)size;
}

static void seen_resize(thing *of, size_t size)
{
    if (size > of->seen_capacity) {
        of->seen_capacity = size > 2 * of->seen_capacity ? size : 2 * of->seen_capacity;
        of->seen = must(realloc(of->seen, of->seen_capacity));
    }
    if (size > of->seen_size)
        memset(of->seen + of->seen_size, 0, size - of->seen_size);
    of->seen_size = size;
}

/* Logs what mappings of `file` changed since we looked: runs of whole sectors. */
static void note_mapped(sim_files *sim, uint32_t file)
{
    thing *of = &sim->things[file];
    size_t size, run = SIZE_MAX;

    if (of->view == NULL)
        return;
    size = file_size(of);
    if (size == of->seen_size && (size == 0 || memcmp(of->seen, of->view, size) == 0))
        return;
    seen_resize(of, size);
    for (size_t at = 0;; at += SECTOR_BYTES) {
        size_t part = at >= size ? 0 : size - at < SECTOR_BYTES ? size - at : SECTOR_BYTES;
        bool changed = part > 0 && memcmp(of->seen + at, of->view + at, part) != 0;

        if (changed && run == SIZE_MAX)
            run = at;
        if (!changed && run != SIZE_MAX) {
            size_t end = at < size ? at : size;

            memcpy(of->seen + run, of->view + run, end - run);
            log_bytes(sim, SIM_OP_STORE, file, run, of->seen + run, end - run);
            run = SIZE_MAX;
        }
        if (part == 0)
            break;
    }
}

static void note_all_mapped(sim_files *sim)
{
    for (size_t i = 0; i < sim->thing_count; i++)
        note_mapped(sim, (uint32_t)i);
}

/* A logged call changed [at, at + size) itself: that is not the mappings' doing. */
static void seen_now(sim_files *sim, uint32_t file, uint64_t at, size_t size)
{
    thing *of = &sim->things[file];
    size_t now;

    if (of->view == NULL)
        return;
    now = file_size(of);
    seen_resize(of, now);
    if (at >= now)
        return;
    size = size < now - (size_t)at ? size : now - (size_t)at;
    memcpy(of->seen + at, of->view + at, size);
}

static void watch(sim_files *sim, uint32_t file)
{
    thing *of = &sim->things[file];
    void *view;

    if (of->view != NULL)
        return;
    if (of->keep.files->map(&of->keep, 0, VIEW_BYTES, true, &view) != 0)
        abort();
    of->view = view;
    seen_now(sim, file, 0, SIZE_MAX);
}

/* ---- changing, logged. Locks: sim->mutex held. ---- */

static void created(sim_files *sim, const char *path, bool is_dir)
{
    const char *last;
    uint32_t dir = parent_of(sim, path, &last);
    uint32_t file = thing_add(sim, is_dir);
    sim_op op = {.kind = is_dir ? SIM_OP_MAKE_DIR : SIM_OP_CREATE, .file = file, .dir = dir, .name = copy_text(last)};

    if (!is_dir && sim->inner->open(&sim->root, path, LSI_OPEN_WRITE, &sim->things[file].keep) != 0)
        abort();
    name_add(sim, dir, last, file);
    log_add(sim, op);
}

static void removed(sim_files *sim, const char *path, bool is_dir)
{
    label *gone = path_find(sim, path);
    sim_op op = {.kind = is_dir ? SIM_OP_REMOVE_DIR : SIM_OP_UNLINK, .file = gone->file, .dir = gone->dir};

    op.name = copy_text(gone->text);
    name_remove(sim, gone);
    log_add(sim, op);
}

static void renamed(sim_files *sim, const char *from, const char *to)
{
    const char *to_last;
    uint32_t to_dir = parent_of(sim, to, &to_last);
    label *there = name_find(sim, to_dir, to_last, strlen(to_last));
    label *moved = path_find(sim, from);
    sim_op op = {.kind = SIM_OP_RENAME, .file = moved->file, .dir = moved->dir, .to_dir = to_dir};

    if (there == moved)
        return;
    op.name = copy_text(moved->text);
    op.to_name = copy_text(to_last);
    if (there != NULL) {
        name_remove(sim, there);
        moved = path_find(sim, from); /* it may have been the last, which moved */
    }
    name_remove(sim, moved);
    name_add(sim, to_dir, to_last, op.file);
    log_add(sim, op);
}

/* ---- counting, failing, dying ---- */

typedef struct verdict {
    int err; /* to return, negative; 0: go on */
    bool kill;
    bool is_short;
    size_t short_bytes;
} verdict;

static bool can_fail(sim_call call)
{
    return call != SIM_UNMAP && call != SIM_STORE;
}

static verdict before(sim_files *sim, sim_call call, const char *name)
{
    verdict result = {0};
    sim_hook *hook;
    void *user;

    pthread_mutex_lock(&sim->mutex);
    hook = sim->hook;
    user = sim->hook_user;
    pthread_mutex_unlock(&sim->mutex);
    if (hook != NULL)
        hook(user, call, name);
    pthread_mutex_lock(&sim->mutex);
    sim->calls[SIM_ANY]++;
    sim->calls[call]++;
    for (size_t i = 0; i < sim->fault_count; i++) {
        const sim_fault *fault = &sim->faults[i];

        if ((fault->call != SIM_ANY && fault->call != call) ||
            (fault->name != NULL && strstr(name, fault->name) == NULL))
            continue;
        sim->fault_seen[i]++;
        if (sim->fault_seen[i] != fault->nth && !(fault->sticky && sim->fault_seen[i] > fault->nth))
            continue;
        sim->faults_met++;
        if (fault->err != 0 && can_fail(call))
            result.err = -fault->err;
        result.kill = result.kill || fault->kill;
        if (call == SIM_WRITE && fault->short_bytes > 0) {
            result.is_short = true;
            result.short_bytes = fault->short_bytes;
        }
    }
    pthread_mutex_unlock(&sim->mutex);
    if (result.kill && !result.is_short)
        sim_kill_here();
    return result;
}

void sim_fault_add(sim_files *sim, sim_fault fault)
{
    pthread_mutex_lock(&sim->mutex);
    if (sim->fault_count == SIM_FAULTS_MAX || fault.nth == 0)
        abort();
    sim->fault_seen[sim->fault_count] = 0;
    sim->faults[sim->fault_count++] = fault;
    pthread_mutex_unlock(&sim->mutex);
}

void sim_faults_clear(sim_files *sim)
{
    pthread_mutex_lock(&sim->mutex);
    sim->fault_count = 0;
    sim->faults_met = 0;
    pthread_mutex_unlock(&sim->mutex);
}

uint64_t sim_faults_met(const sim_files *sim)
{
    return sim->faults_met;
}

uint64_t sim_calls(const sim_files *sim, sim_call call)
{
    return sim->calls[call];
}

void sim_hook_set(sim_files *sim, sim_hook *hook, void *user)
{
    pthread_mutex_lock(&sim->mutex);
    sim->hook = hook;
    sim->hook_user = user;
    pthread_mutex_unlock(&sim->mutex);
}

/* ---- processes ---- */

typedef struct process {
    unsigned id;
    void (*body)(void *user);
    void *user;
    bool killed;
} process;

void sim_kill_here(void)
{
    if (this_end == NULL)
        abort(); /* a kill outside sim_run() */
    longjmp(*this_end, 1);
}

static void *process_main(void *user)
{
    process *run = user;
    jmp_buf end;

    this_process = run->id;
    this_end = &end;
    if (setjmp(end) == 0)
        run->body(run->user);
    else
        run->killed = true;
    this_end = NULL;
    return NULL;
}

/* What the kernel does for a dead process. */
static void close_all_of(sim_files *sim, unsigned id)
{
    sim_open *next;

    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    for (sim_open *open = sim->opens; open != NULL; open = next) {
        next = open->next;
        if (open->process != id)
            continue;
        *open->at = open->next;
        if (open->next != NULL)
            open->next->at = open->at;
        (void)sim->inner->close(&open->inner); /* memory's cannot fail */
        free(open);
    }
    /* What it had mapped stays so in the memory table: nothing there counts on the space. */
    pthread_mutex_unlock(&sim->mutex);
}

bool sim_run(sim_files *sim, void (*body)(void *user), void *user)
{
    static unsigned last_id;
    static pthread_mutex_t id_mutex = PTHREAD_MUTEX_INITIALIZER;
    process run = {.body = body, .user = user};
    pthread_t thread;

    pthread_mutex_lock(&id_mutex);
    run.id = ++last_id;
    pthread_mutex_unlock(&id_mutex);
    if (pthread_create(&thread, NULL, process_main, &run) != 0)
        abort();
    (void)pthread_join(thread, NULL); /* after this the kernel has been through its robust locks */
    if (run.killed)
        close_all_of(sim, run.id);
    return run.killed;
}

/* ---- the table ---- */

static int sim_root_open(const lsi_files *self, const char *path, unsigned flags, lsi_root *out)
{
    sim_files *sim = sim_of(self);
    verdict fate = before(sim, SIM_ROOT_OPEN, path);

    if (fate.err != 0)
        return fate.err;
    if ((flags & LSI_ROOT_CREATE) != 0 && (flags & LSI_ROOT_WRITE) == 0)
        return -EINVAL;
    pthread_mutex_lock(&sim->mutex);
    if (!sim->has_root && (flags & LSI_ROOT_CREATE) == 0) {
        pthread_mutex_unlock(&sim->mutex);
        return -ENOENT;
    }
    sim->has_root = true;
    pthread_mutex_unlock(&sim->mutex);
    lsi_boot_id_pretend(sim->boot_id);
    out->files = self;
    out->fd = -1;
    out->node = sim;
    return 0;
}

static void sim_root_close(lsi_root *root)
{
    root->files = NULL;
    root->node = NULL;
}

static int sim_root_kind(const lsi_root *root, lsi_fs_kind *out)
{
    (void)root;
    *out = LSI_FS_LOCAL;
    return 0;
}

static int sim_root_free_bytes(const lsi_root *root, uint64_t *out)
{
    (void)root;
    *out = (uint64_t)1 << 40; /* the same everywhere, so that a run can be repeated */
    return 0;
}

static int sim_file_open(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, SIM_OPEN, name);
    lsi_file inner = {0};
    sim_open *open;
    size_t size = strlen(name) + 1;
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    result = sim->inner->open(&sim->root, name, flags, &inner);
    if (result == 0) {
        if (path_find(sim, name) == NULL)
            created(sim, name, false);
        open = must(calloc(1, sizeof(*open) + size));
        open->inner = inner;
        open->file = path_find(sim, name)->file;
        open->process = this_process;
        memcpy(open->name, name, size);
        open->next = sim->opens;
        open->at = &sim->opens;
        if (open->next != NULL)
            open->next->at = &open->next;
        sim->opens = open;
        out->files = root->files;
        out->fd = -1;
        out->node = open;
    }
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

static void give_up(sim_files *sim, lsi_file *file)
{
    sim_open *open = file->node;

    pthread_mutex_lock(&sim->mutex);
    note_mapped(sim, open->file);
    *open->at = open->next;
    if (open->next != NULL)
        open->next->at = open->at;
    (void)sim->inner->close(&open->inner); /* memory's cannot fail */
    free(open);
    pthread_mutex_unlock(&sim->mutex);
    file->files = NULL;
    file->node = NULL;
}

static int sim_close(lsi_file *file)
{
    sim_files *sim = sim_of(file->files);
    verdict fate = before(sim, SIM_CLOSE, ((sim_open *)file->node)->name);

    give_up(sim, file);
    return fate.err;
}

/* Only fork children call it, with a copy of everything that nobody will look at. */
static void sim_abandon(lsi_file *file)
{
    file->files = NULL;
    file->node = NULL;
}

static int64_t sim_read(const lsi_file *file, void *into, size_t size, uint64_t at)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    verdict fate = before(sim, SIM_READ, open->name);

    return fate.err != 0 ? fate.err : sim->inner->read(&open->inner, into, size, at);
}

static int sim_write(const lsi_file *file, const lsi_span *spans, int count, uint64_t at)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    verdict fate = before(sim, SIM_WRITE, open->name);
    size_t size = 0, used = 0;
    unsigned char *all;
    int result = 0;

    if (fate.err != 0 && !fate.is_short)
        return fate.err;
    for (int i = 0; i < count; i++)
        size += spans[i].size;
    all = must(malloc(size != 0 ? size : 1));
    for (int i = 0; i < count; i++) {
        if (spans[i].size > 0)
            memcpy(all + used, spans[i].data, spans[i].size);
        used += spans[i].size;
    }
    if (fate.is_short && fate.short_bytes < size)
        size = fate.short_bytes;
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    result = lsi_file_write_one(&open->inner, all, size, at);
    if (result == 0) {
        log_bytes(sim, SIM_OP_WRITE, open->file, at, all, size);
        seen_now(sim, open->file, at, size);
    }
    pthread_mutex_unlock(&sim->mutex);
    free(all);
    if (fate.kill)
        sim_kill_here();
    return result != 0 ? result : fate.err;
}

static int sim_sync(const lsi_file *file, bool data_only)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    verdict fate = before(sim, SIM_SYNC, open->name);
    sim_op op = {.kind = fate.err != 0 ? SIM_OP_DOUBT : SIM_OP_SYNC, .file = open->file};
    sim_hook *hook;
    void *user;

    (void)data_only; /* what reading needs, sizes among it, is synced by either */
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    op.covers = sim->log_count;
    hook = sim->hook;
    user = sim->hook_user;
    pthread_mutex_unlock(&sim->mutex);
    if (hook != NULL)
        hook(user, SIM_SYNC_ENDS, open->name);
    pthread_mutex_lock(&sim->mutex);
    log_add(sim, op);
    pthread_mutex_unlock(&sim->mutex);
    return fate.err;
}

static int sim_allocate(const lsi_file *file, uint64_t at, uint64_t size)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    verdict fate = before(sim, SIM_ALLOCATE, open->name);
    sim_op op = {.kind = SIM_OP_ALLOCATE, .file = open->file, .at = at, .size = size};
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    result = sim->inner->allocate(&open->inner, at, size);
    if (result == 0 && size > 0) {
        log_add(sim, op);
        seen_now(sim, open->file, 0, 0);
    }
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

static int sim_truncate(const lsi_file *file, uint64_t size)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    verdict fate = before(sim, SIM_TRUNCATE, open->name);
    sim_op op = {.kind = SIM_OP_TRUNCATE, .file = open->file, .size = size};
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    result = sim->inner->truncate(&open->inner, size);
    if (result == 0) {
        log_add(sim, op);
        seen_now(sim, open->file, 0, 0);
    }
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

static int sim_size(const lsi_file *file, uint64_t *out)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    verdict fate = before(sim, SIM_SIZE, open->name);

    return fate.err != 0 ? fate.err : sim->inner->size(&open->inner, out);
}

static int sim_make_dir(const lsi_root *root, const char *name)
{
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, SIM_MAKE_DIR, name);
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    result = sim->inner->make_dir(&sim->root, name);
    if (result == 0)
        created(sim, name, true);
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

static int sim_rename(const lsi_root *root, const char *from, const char *to)
{
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, SIM_RENAME, from);
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    result = sim->inner->rename(&sim->root, from, to);
    if (result == 0)
        renamed(sim, from, to);
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

static int sim_remove(const lsi_root *root, const char *name, bool is_dir)
{
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, is_dir ? SIM_REMOVE_DIR : SIM_UNLINK, name);
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    result = is_dir ? sim->inner->remove_dir(&sim->root, name) : sim->inner->unlink(&sim->root, name);
    if (result == 0)
        removed(sim, name, is_dir);
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

static int sim_unlink(const lsi_root *root, const char *name)
{
    return sim_remove(root, name, false);
}

static int sim_remove_dir(const lsi_root *root, const char *name)
{
    return sim_remove(root, name, true);
}

static int sim_sync_dir(const lsi_root *root, const char *name)
{
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, SIM_SYNC_DIR, name);
    sim_op op = {.kind = fate.err != 0 ? SIM_OP_DOUBT_DIR : SIM_OP_SYNC_DIR};
    int result;

    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    result = sim->inner->sync_dir(&sim->root, name);
    if (result == 0) {
        op.dir = *name != '\0' ? path_find(sim, name)->file : 0;
        op.covers = sim->log_count;
        log_add(sim, op);
    }
    pthread_mutex_unlock(&sim->mutex);
    return result != 0 ? result : fate.err;
}

static int sim_list(const lsi_root *root, const char *name, int (*each)(void *user, const char *entry, bool is_dir),
                    void *user)
{
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, SIM_LIST, name);

    return fate.err != 0 ? fate.err : sim->inner->list(&sim->root, name, each, user);
}

static int sim_map(const lsi_file *file, uint64_t at, size_t size, bool writable, void **out)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    verdict fate = before(sim, SIM_MAP, open->name);
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    result = sim->inner->map(&open->inner, at, size, writable, out);
    if (result == 0 && writable)
        watch(sim, open->file);
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

static void sim_unmap(const lsi_file *file, void *map, size_t size)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;

    (void)before(sim, SIM_UNMAP, open->name);
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    sim->inner->unmap(&open->inner, map, size);
    pthread_mutex_unlock(&sim->mutex);
}

static void sim_store(const lsi_file *file, void *into, const void *bytes, size_t size)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    thing *of;
    size_t at;

    (void)before(sim, SIM_STORE, open->name);
    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    of = &sim->things[open->file];
    assert(of->view != NULL && (unsigned char *)into >= of->view && "stores go into a writable mapping of the file");
    at = (size_t)((unsigned char *)into - of->view);
    assert(at + size <= file_size(of) && "what is mapped is allocated first (E5)");
    sim->inner->store(&open->inner, into, bytes, size);
    log_bytes(sim, SIM_OP_STORE, open->file, at, bytes, size);
    seen_now(sim, open->file, at, size);
    pthread_mutex_unlock(&sim->mutex);
}

static int sim_lock(const lsi_file *file, uint64_t byte, lsi_lock_kind kind)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    verdict fate = before(sim, SIM_LOCK, open->name);

    return fate.err != 0 ? fate.err : sim->inner->lock(&open->inner, byte, kind);
}

static int sim_locked_elsewhere(const lsi_file *file, uint64_t byte)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    verdict fate = before(sim, SIM_LOCKED_ELSEWHERE, open->name);

    return fate.err != 0 ? fate.err : sim->inner->locked_elsewhere(&open->inner, byte);
}

/* ---- making and freeing ---- */

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static void new_boot(sim_files *sim)
{
    static uint64_t last;
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    uint64_t id[2];

    pthread_mutex_lock(&mutex);
    id[0] = mix(++last);
    pthread_mutex_unlock(&mutex);
    id[1] = mix(id[0]);
    memcpy(sim->boot_id, id, sizeof(id));
}

sim_files *sim_files_new(void)
{
    static const lsi_files table = {
        .root_open = sim_root_open,
        .root_close = sim_root_close,
        .root_kind = sim_root_kind,
        .root_free_bytes = sim_root_free_bytes,
        .open = sim_file_open,
        .close = sim_close,
        .read = sim_read,
        .write = sim_write,
        .sync = sim_sync,
        .allocate = sim_allocate,
        .truncate = sim_truncate,
        .size = sim_size,
        .make_dir = sim_make_dir,
        .rename = sim_rename,
        .unlink = sim_unlink,
        .remove_dir = sim_remove_dir,
        .sync_dir = sim_sync_dir,
        .list = sim_list,
        .map = sim_map,
        .unmap = sim_unmap,
        .store = sim_store,
        .lock = sim_lock,
        .locked_elsewhere = sim_locked_elsewhere,
        .abandon = sim_abandon,
    };
    sim_files *sim = must(calloc(1, sizeof(*sim)));

    sim->table = table;
    sim->table.user = sim;
    (void)pthread_mutex_init(&sim->mutex, NULL);
    sim->inner = must(lsi_files_memory_new(&lsi_memory_libc));
    if (sim->inner->root_open(sim->inner, "sim", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &sim->root) != 0)
        abort();
    (void)thing_add(sim, true); /* the root */
    new_boot(sim);
    return sim;
}

void sim_files_free(sim_files *sim)
{
    if (sim == NULL)
        return;
    while (sim->opens != NULL) {
        sim_open *next = sim->opens->next;

        free(sim->opens);
        sim->opens = next;
    }
    for (size_t i = 0; i < sim->thing_count; i++)
        free(sim->things[i].seen);
    for (size_t i = 0; i < sim->name_count; i++)
        free(sim->names[i].text);
    for (size_t i = 0; i < sim->log_count; i++) {
        free(sim->log[i].name);
        free(sim->log[i].to_name);
        free(sim->log[i].bytes);
    }
    free(sim->things);
    free(sim->names);
    free(sim->log);
    lsi_files_memory_free(sim->inner); /* and every open and mapping in it */
    (void)pthread_mutex_destroy(&sim->mutex);
    free(sim);
}

lsi_files *sim_files_table(sim_files *sim)
{
    return &sim->table;
}

/* ---- the log, read ---- */

size_t sim_log_count(sim_files *sim)
{
    size_t count;

    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
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

/* ---- playing a log into a fresh sim ---- */

/* Does what `op` says to `sim` and to its log. */
static void play(sim_files *sim, const sim_op *op)
{
    char path[LSI_FILE_NAME_BYTES_MAX], to[LSI_FILE_NAME_BYTES_MAX];
    lsi_file file = {0};
    int result = 0;

    if (op->name != NULL) {
        path_of(sim, op->dir, path, sizeof(path));
        snprintf(path + strlen(path), sizeof(path) - strlen(path), "%s%s", *path != '\0' ? "/" : "", op->name);
    }
    switch (op->kind) {
    case SIM_OP_CREATE:
        result = sim->inner->open(&sim->root, path, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE, &file);
        if (result == 0) {
            (void)sim->inner->close(&file); /* memory's cannot fail */
            created(sim, path, false);
        }
        break;
    case SIM_OP_MAKE_DIR:
        result = sim->inner->make_dir(&sim->root, path);
        if (result == 0)
            created(sim, path, true);
        break;
    case SIM_OP_UNLINK:
        result = sim->inner->unlink(&sim->root, path);
        if (result == 0)
            removed(sim, path, false);
        break;
    case SIM_OP_REMOVE_DIR:
        result = sim->inner->remove_dir(&sim->root, path);
        if (result == 0)
            removed(sim, path, true);
        break;
    case SIM_OP_RENAME:
        path_of(sim, op->to_dir, to, sizeof(to));
        snprintf(to + strlen(to), sizeof(to) - strlen(to), "%s%s", *to != '\0' ? "/" : "", op->to_name);
        result = sim->inner->rename(&sim->root, path, to);
        if (result == 0)
            renamed(sim, path, to);
        break;
    case SIM_OP_WRITE:
    case SIM_OP_STORE:
        result = lsi_file_write_one(&sim->things[op->file].keep, op->bytes, (size_t)op->size, op->at);
        log_add(sim, op_copy(op));
        break;
    case SIM_OP_ALLOCATE:
        result = sim->inner->allocate(&sim->things[op->file].keep, op->at, op->size);
        log_add(sim, op_copy(op));
        break;
    case SIM_OP_TRUNCATE:
        result = sim->inner->truncate(&sim->things[op->file].keep, op->size);
        log_add(sim, op_copy(op));
        break;
    case SIM_OP_SYNC_DIR:
    case SIM_OP_DOUBT_DIR:
    case SIM_OP_SYNC:
    case SIM_OP_DOUBT:
        log_add(sim, op_copy(op));
        break;
    }
    if (result != 0)
        abort(); /* what happened once can happen again */
}

sim_files *sim_clone(sim_files *sim)
{
    sim_files *copy = sim_files_new();

    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    /* Numbers come out equal: both logs create the same things in the same order. */
    for (size_t i = 0; i < sim->log_count; i++)
        play(copy, &sim->log[i]);
    copy->log_base = sim->log_base;
    copy->has_root = sim->has_root;
    memcpy(copy->boot_id, sim->boot_id, sizeof(copy->boot_id));
    pthread_mutex_unlock(&sim->mutex);
    return copy;
}

/* ---- crash states ---- */

typedef enum fate {
    PENDING,
    DOUBTED,
    SYNCED
} fate;

typedef struct content {
    unsigned char *bytes; /* only as far as something was written; the rest up to `size` is zero */
    size_t written, capacity;
    uint64_t size;
} content;

static bool is_data(const sim_op *op)
{
    return op->kind == SIM_OP_WRITE || op->kind == SIM_OP_STORE || op->kind == SIM_OP_ALLOCATE ||
           op->kind == SIM_OP_TRUNCATE;
}

static bool is_name(const sim_op *op)
{
    return op->kind <= SIM_OP_RENAME;
}

/* The directory whose sync makes a change of names durable. */
static uint32_t dir_of(const sim_op *op)
{
    return op->kind == SIM_OP_RENAME ? op->to_dir : op->dir;
}

/* Which of the first `prefix` changes are surely on the disk. */
static fate *fates_of(const sim_files *sim, size_t prefix)
{
    fate *fates = must(calloc(prefix + 1, sizeof(*fates)));
    /* Up to where the last sync of each file or directory looked: nothing before is pending any more. */
    size_t *looked = must(calloc(sim->thing_count + 1, sizeof(*looked)));

    for (size_t i = 0; i < prefix; i++) {
        const sim_op *sync = &sim->log[i];
        bool of_dir = sync->kind == SIM_OP_SYNC_DIR || sync->kind == SIM_OP_DOUBT_DIR;
        uint32_t id = of_dir ? sync->dir : sync->file;
        bool failed = sync->kind == SIM_OP_DOUBT || sync->kind == SIM_OP_DOUBT_DIR;

        if (i < sim->log_base)
            fates[i] = SYNCED;
        if (sync->kind != SIM_OP_SYNC && !of_dir && sync->kind != SIM_OP_DOUBT)
            continue;
        for (size_t j = looked[id]; j < sync->covers; j++) {
            const sim_op *op = &sim->log[j];

            if (fates[j] == PENDING && (of_dir ? is_name(op) && dir_of(op) == id : is_data(op) && op->file == id))
                fates[j] = failed ? DOUBTED : SYNCED;
        }
        if (sync->covers > looked[id])
            looked[id] = sync->covers;
    }
    free(looked);
    return fates;
}

static void content_put(content *to, uint64_t at, const unsigned char *bytes, size_t size)
{
    size_t end = (size_t)at + size;

    if (size == 0)
        return;
    if (end > to->capacity) {
        to->capacity = end > 2 * to->capacity ? end : 2 * to->capacity;
        to->bytes = must(realloc(to->bytes, to->capacity));
    }
    if (end > to->written) {
        memset(to->bytes + to->written, 0, end - to->written);
        to->written = end;
    }
    memcpy(to->bytes + at, bytes, size);
    if (end > to->size)
        to->size = end;
}

static void content_cut(content *to, uint64_t size)
{
    if (size < to->written)
        to->written = (size_t)size;
    to->size = size;
}

/* Bytes that somebody wrote before, as a disk that reuses blocks shows them. */
static void content_stale(content *to, const sim_files *sim, size_t before_op, uint64_t at, uint64_t end,
                          uint64_t random)
{
    const sim_op *old = NULL;

    for (size_t tries = 0; tries < 8 && before_op > 0; tries++) {
        const sim_op *maybe = &sim->log[mix(random + tries) % before_op];

        if (maybe->bytes != NULL)
            old = maybe;
    }
    while (at < end) {
        unsigned char other[SECTOR_BYTES];
        size_t size = end - at < sizeof(other) ? (size_t)(end - at) : sizeof(other);

        memset(other, 0x5A, sizeof(other));
        if (old != NULL)
            for (size_t i = 0; i < size; i++)
                other[i] = old->bytes[(at + i) % old->size];
        content_put(to, at, other, size);
        at += size;
    }
}

/* Whether the seed keeps this unsynced change, by its kind. */
static bool keeps(uint64_t seed, size_t index, bool is_name_change)
{
    switch (seed) {
    case SIM_SEED_NOTHING:
        return false;
    case SIM_SEED_EVERYTHING:
        return true;
    case SIM_SEED_NAMES:
        return is_name_change;
    case SIM_SEED_BYTES:
        return !is_name_change;
    case SIM_SEED_GROWTH:
    case SIM_SEED_STALE:
        return is_name_change;
    default: {
        /* Each seed has its own odds, 1 to 7 of 8, for names and for bytes: states near each corner come up too. */
        uint64_t odds = 1 + mix(seed * 2 + (is_name_change ? 1 : 0)) % 7;

        return mix(mix(seed) ^ (uint64_t)index) % 8 < odds;
    }
    }
}

/* Puts an unsynced write or store into `to` as the seed has it. */
static void put_unsynced(content *to, const sim_files *sim, size_t index, uint64_t seed)
{
    const sim_op *op = &sim->log[index];
    uint64_t random = mix(mix(seed ^ UINT64_C(0x5EED)) + index);
    uint64_t end = op->at + op->size, old_size = to->size;
    bool stale = seed == SIM_SEED_STALE || (seed >= SIM_SEED_RANDOM && random % 4 == 0);

    if (seed == SIM_SEED_GROWTH || seed == SIM_SEED_STALE || (seed >= SIM_SEED_RANDOM && random / 4 % 6 == 0)) {
        if (end > old_size) { /* only the growth arrived */
            if (stale)
                content_stale(to, sim, index, op->at > old_size ? op->at : old_size, end, random);
            to->size = end;
        }
        return;
    }
    if (!keeps(seed, index, false))
        return;
    if (seed < SIM_SEED_RANDOM || random / 32 % 3 == 0) {
        content_put(to, op->at, op->bytes, (size_t)op->size);
        return;
    }
    /* A subset of its sectors; those left out keep what was there, and beyond the old end show zeros or old bytes. */
    if (stale && end > old_size)
        content_stale(to, sim, index, op->at > old_size ? op->at : old_size, end, random);
    for (uint64_t at = op->at, next; at < end; at = next) {
        next = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
        next = next < end ? next : end;
        if (mix(random ^ at) % 2 == 0)
            content_put(to, at, op->bytes + (at - op->at), (size_t)(next - at));
    }
    if (random / 128 % 2 == 0 && end > to->size)
        to->size = end;
}

static content content_of(const sim_files *sim, uint32_t file, size_t prefix, const fate *fates, uint64_t seed)
{
    content made = {0};

    for (size_t i = 0; i < prefix; i++) {
        const sim_op *op = &sim->log[i];
        bool sure = fates[i] == SYNCED;

        if (op->file != file || !is_data(op))
            continue;
        if (op->kind == SIM_OP_WRITE || op->kind == SIM_OP_STORE) {
            if (sure)
                content_put(&made, op->at, op->bytes, (size_t)op->size);
            else
                put_unsynced(&made, sim, i, seed);
        } else if (sure || seed == SIM_SEED_GROWTH || keeps(seed, i, false)) {
            if (op->kind == SIM_OP_TRUNCATE)
                content_cut(&made, op->size);
            else if (op->at + op->size > made.size)
                made.size = op->at + op->size;
        }
    }
    return made;
}

typedef struct names {
    label *list;
    size_t count, capacity;
} names;

static void names_set(names *of, uint32_t dir, char *text, uint32_t file)
{
    label fresh = {dir, file, text};

    for (size_t i = 0; i < of->count; i++)
        if (of->list[i].dir == dir && strcmp(of->list[i].text, text) == 0) {
            of->list[i] = fresh;
            return;
        }
    GROW(of->list, of->count, of->capacity);
    of->list[of->count++] = fresh;
}

static void names_drop(names *of, uint32_t dir, const char *text, uint32_t file)
{
    for (size_t i = 0; i < of->count; i++)
        if (of->list[i].dir == dir && of->list[i].file == file && strcmp(of->list[i].text, text) == 0) {
            of->list[i] = of->list[--of->count];
            return;
        }
}

/* Borrows its texts from the log. */
static names names_of(const sim_files *sim, size_t prefix, const fate *fates, uint64_t seed)
{
    names made = {0};

    for (size_t i = 0; i < prefix; i++) {
        const sim_op *op = &sim->log[i];

        if (!is_name(op) || (fates[i] != SYNCED && !keeps(seed, i, true)))
            continue;
        switch (op->kind) {
        case SIM_OP_CREATE:
        case SIM_OP_MAKE_DIR:
            names_set(&made, op->dir, op->name, op->file);
            break;
        case SIM_OP_RENAME:
            names_drop(&made, op->dir, op->name, op->file);
            names_set(&made, op->to_dir, op->to_name, op->file);
            break;
        default:
            names_drop(&made, op->dir, op->name, op->file);
            break;
        }
    }
    return made;
}

/* What building a state needs at hand. */
typedef struct building {
    sim_files *from, *into;
    size_t prefix;
    const fate *fates;
    names all;
    uint64_t seed;
    bool *is_placed; /* directories that have a name already: none gets two */
} building;

static void build_dir(building *work, uint32_t dir, uint32_t into_dir)
{
    for (size_t i = 0; i < work->all.count; i++) {
        const label *entry = &work->all.list[i];
        bool is_dir = work->from->things[entry->file].is_dir;
        sim_op op = {.kind = is_dir ? SIM_OP_MAKE_DIR : SIM_OP_CREATE, .dir = into_dir, .name = entry->text};
        uint32_t made = (uint32_t)work->into->thing_count;
        content bytes;

        if (entry->dir != dir || (is_dir && work->is_placed[entry->file]))
            continue;
        play(work->into, &op);
        if (is_dir) {
            work->is_placed[entry->file] = true;
            build_dir(work, entry->file, made);
            continue;
        }
        bytes = content_of(work->from, entry->file, work->prefix, work->fates, work->seed);
        if (bytes.written > 0 && bytes.bytes != NULL) {
            sim_op write = {.kind = SIM_OP_WRITE, .file = made, .size = bytes.written, .bytes = bytes.bytes};

            play(work->into, &write);
        }
        if (bytes.size != bytes.written) {
            sim_op cut = {.kind = SIM_OP_TRUNCATE, .file = made, .size = bytes.size};

            play(work->into, &cut);
        }
        free(bytes.bytes);
    }
}

sim_files *sim_crash_state(sim_files *sim, size_t prefix, uint64_t seed)
{
    building work = {.from = sim, .into = sim_files_new(), .seed = seed};
    fate *fates;

    pthread_mutex_lock(&sim->mutex);
    note_all_mapped(sim);
    prefix = prefix < sim->log_count ? prefix : sim->log_count;
    prefix = prefix > sim->log_base ? prefix : sim->log_base;
    work.prefix = prefix;
    work.fates = fates = fates_of(sim, prefix);
    work.all = names_of(sim, prefix, fates, seed);
    work.is_placed = must(calloc(sim->thing_count, sizeof(*work.is_placed)));
    work.is_placed[0] = true;
    build_dir(&work, 0, 0);
    work.into->log_base = work.into->log_count;
    work.into->has_root = sim->has_root;
    pthread_mutex_unlock(&sim->mutex);
    free(work.is_placed);
    free(work.all.list);
    free(fates);
    return work.into;
}

/* ---- equal states ---- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;

        memcpy(&word, at, 8);
        hash = mix(hash ^ word);
    }
    while (size-- > 0)
        hash = mix(hash ^ *at++);
    return hash;
}

static uint64_t hash_of(sim_files *sim, uint32_t file)
{
    const thing *of = &sim->things[file];
    uint64_t sum = 0; /* of the entries: their order says nothing */

    if (!of->is_dir) {
        size_t size = file_size(of);
        unsigned char *bytes = must(malloc(size != 0 ? size : 1));
        uint64_t hash = mix(size);

        if (of->keep.files->read(&of->keep, bytes, size, 0) != (int64_t)size)
            abort();
        hash = hash_bytes(hash, bytes, size);
        free(bytes);
        return hash;
    }
    for (size_t i = 0; i < sim->name_count; i++)
        if (sim->names[i].dir == file)
            sum += mix(hash_bytes(hash_of(sim, sim->names[i].file), sim->names[i].text, strlen(sim->names[i].text)));
    return mix(sum);
}

uint64_t sim_hash(sim_files *sim)
{
    uint64_t hash;

    pthread_mutex_lock(&sim->mutex);
    hash = hash_of(sim, 0);
    pthread_mutex_unlock(&sim->mutex);
    return hash;
}
