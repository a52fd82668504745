/* See sim_files.h. The bytes live in a memory table (`inner`); this file stands before it: counts, fails, kills, and
 * has everything logged. */
#include "support/sim_inside.h"

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/lock.h"
#include "support/emulated.h"

/* The process this thread plays; 0 outside sim_run(). */
static _Thread_local unsigned this_process;
static _Thread_local jmp_buf *this_end;
static _Thread_local void (*this_death)(void); /* of a process that somebody else plays */

const char *sim_call_name(sim_call call)
{
    static const char *const names[] = {
        "any",        "root_open", "open",  "close",    "read",             "write",    "sync",   "allocate",
        "give_back",  "truncate",  "size",  "make_dir", "rename",           "unlink",   "remove_dir", "sync_dir",
        "bulk_begin", "bulk_end",  "list",  "map",      "unmap",            "store",    "lock",   "locked_elsewhere",
        "sync_ends",
    };

    return (unsigned)call < SIM_CALL_COUNT ? names[call] : "?";
}

static sim_files *sim_of(const lsi_files *files)
{
    return files->user;
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
    return call != SIM_UNMAP && call != SIM_STORE && call != SIM_GIVE_BACK;
}

static bool is_meant(const sim_fault *fault, const char *name)
{
    size_t size = strlen(name), wanted = strlen(fault->name);

    if (!fault->whole_name)
        return strstr(name, fault->name) != NULL;
    return size >= wanted && strcmp(name + size - wanted, fault->name) == 0 &&
        (size == wanted || name[size - wanted - 1] == '/');
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
            (fault->name != NULL && !is_meant(fault, name)))
            continue;
        sim->fault_seen[i]++;
        if (sim->fault_seen[i] != fault->nth && !(fault->sticky && sim->fault_seen[i] > fault->nth))
            continue;
        sim->faults_met++;
        if (fault->err != 0 && can_fail(call))
            result.err = -fault->err;
        result.kill = result.kill || fault->kill;
        if ((call == SIM_WRITE || call == SIM_STORE) && fault->short_bytes > 0) {
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

void sim_as_process(unsigned id, void (*death)(void))
{
    this_process = id;
    this_death = death;
}

void sim_kill_here(void)
{
    if (this_death != NULL)
        this_death();
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

size_t sim_process_died(sim_files *sim, unsigned id)
{
    sim_open *next;
    size_t count = 0;

    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    for (sim_open *open = sim->opens; open != NULL; open = next) {
        next = open->next;
        if (open->process != id)
            continue;
        *open->at = open->next;
        if (open->next != NULL)
            open->next->at = open->at;
        (void)sim->inner->close(&open->inner); /* memory's cannot fail */
        free(open);
        count++;
    }
    /* What it had mapped stays so in the memory table: nothing there counts on the space. */
    pthread_mutex_unlock(&sim->mutex);
    return count;
}

bool sim_run(sim_files *sim, void (*body)(void *user), void *user)
{
    static unsigned last_id;
    static pthread_mutex_t id_mutex = PTHREAD_MUTEX_INITIALIZER;
    process run = {.body = body, .user = user};
    pthread_t thread;

    SKIP_UNLESS(has_robust_locks);
    pthread_mutex_lock(&id_mutex);
    run.id = ++last_id;
    pthread_mutex_unlock(&id_mutex);
    if (pthread_create(&thread, NULL, process_main, &run) != 0)
        abort();
    (void)pthread_join(thread, NULL); /* after this the kernel has been through its robust locks */
    sim->has_dead = sim->has_dead || run.killed;
    if (run.killed)
        (void)sim_process_died(sim, run.id);
    return run.killed;
}

/* ---- the table ---- */

/* A name beneath `root`, from the one root on. */
static const char *full_name(const lsi_root *root, const char *name, char into[LSI_FILE_NAME_BYTES_MAX])
{
    const sim_beneath *beneath = root->node;

    if (beneath == NULL)
        return name;
    (void)snprintf(into, LSI_FILE_NAME_BYTES_MAX, "%s%s%s", beneath->dir, *name != '\0' ? "/" : "", name);
    return into;
}

/* Locks: sim->mutex held. */
static sim_beneath *find_beneath(sim_files *sim, const char *dir)
{
    sim_beneath *at = sim->beneath;
    size_t size = strlen(dir) + 1;

    while (at != NULL && strcmp(at->dir, dir) != 0)
        at = at->next;
    if (at != NULL)
        return at;
    at = sim_must(malloc(sizeof(*at) + size));
    memcpy(at->dir, dir, size);
    at->next = sim->beneath;
    sim->beneath = at;
    return at;
}

/* A directory right beneath the one root is opened as a root. Locks: sim->mutex held. */
static int open_beneath(sim_files *sim, const char *dir, unsigned flags, lsi_root *out)
{
    sim_op named = {.kind = SIM_OP_SYNC_DIR};
    int result = 0;

    sim_note_all_mapped(sim);
    if (sim_path_find(sim, dir) == NULL) {
        if ((flags & LSI_ROOT_CREATE) == 0)
            return -ENOENT;
        result = sim->inner->make_dir(&sim->root, dir);
        if (result == 0)
            sim_created(sim, dir, true);
    }
    if (result != 0)
        return result;
    named.covers = sim->log_count;
    if ((flags & LSI_ROOT_SYNC_NAME) != 0)
        sim_log_add(sim, named);
    out->node = find_beneath(sim, dir);
    return 0;
}

static int sim_root_open(const lsi_files *self, const char *path, unsigned flags, lsi_root *out)
{
    sim_files *sim = sim_of(self);
    verdict fate = before(sim, SIM_ROOT_OPEN, path);
    const char *slash = strchr(path, '/');
    int result = 0;

    if (fate.err != 0)
        return fate.err;
    if ((flags & LSI_ROOT_CREATE) != 0 && (flags & LSI_ROOT_WRITE) == 0)
        return -EINVAL;
    pthread_mutex_lock(&sim->mutex);
    out->node = NULL;
    if (slash != NULL && slash != path)
        result = open_beneath(sim, slash + 1, flags, out);
    else if (!sim->has_root && (flags & LSI_ROOT_CREATE) == 0)
        result = -ENOENT;
    else
        sim->has_root = true;
    pthread_mutex_unlock(&sim->mutex);
    if (result != 0)
        return result;
    lsi_boot_id_pretend(sim->boot_id);
    out->files = self;
    out->fd = -1;
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
    *out = LSI_FS_IN_PLACE; /* stores into mapped windows are seen, recorded and torn like writes */
    return 0;
}

static int sim_root_free_bytes(const lsi_root *root, uint64_t *out)
{
    (void)root;
    *out = (uint64_t)1 << 40; /* the same everywhere, so that a run can be repeated */
    return 0;
}

static int sim_file_open(const lsi_root *root, const char *beneath, unsigned flags, lsi_file *out)
{
    char full[LSI_FILE_NAME_BYTES_MAX];
    const char *name = full_name(root, beneath, full);
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, SIM_OPEN, name);
    lsi_file inner = {0};
    sim_open *open;
    size_t size = strlen(name) + 1;
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    result = sim->inner->open(&sim->root, name, flags, &inner);
    if (result == 0) {
        if (sim_path_find(sim, name) == NULL) {
            sim_note_all_mapped(sim);
            sim_created(sim, name, false);
            sim->log[sim->log_count - 1].how = flags;
        }
        open = sim_must(calloc(1, sizeof(*open) + size));
        open->inner = inner;
        open->file = sim_path_find(sim, name)->file;
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
    sim_note_mapped(sim, open->file);
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
    all = sim_must(malloc(size != 0 ? size : 1));
    for (int i = 0; i < count; i++) {
        if (spans[i].size > 0)
            memcpy(all + used, spans[i].data, spans[i].size);
        used += spans[i].size;
    }
    if (fate.is_short && fate.short_bytes < size)
        size = fate.short_bytes;
    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    result = lsi_file_write_one(&open->inner, all, size, at);
    if (result == 0) {
        sim_log_bytes(sim, SIM_OP_WRITE, open->file, at, all, size);
        sim_seen_now(sim, open->file, at, size);
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

    op.how = data_only ? SIM_HOW_DATA : 0; /* what reading needs, sizes among it, is synced by either */
    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    op.covers = sim->log_count;
    hook = sim->hook;
    user = sim->hook_user;
    pthread_mutex_unlock(&sim->mutex);
    if (hook != NULL)
        hook(user, SIM_SYNC_ENDS, open->name);
    pthread_mutex_lock(&sim->mutex);
    sim_log_add(sim, op);
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
    sim_note_all_mapped(sim);
    result = sim->inner->allocate(&open->inner, at, size);
    if (result == 0 && size > 0) {
        sim_log_add(sim, op);
        sim_seen_now(sim, open->file, 0, 0);
    }
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

/* For the disk it is a write of zeros: some blocks of it may be there after a loss of power, and others not. */
static void sim_give_back(const lsi_file *file, uint64_t at, uint64_t size)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    size_t end;

    (void)before(sim, SIM_GIVE_BACK, open->name);
    pthread_mutex_lock(&sim->mutex);
    end = sim_file_size(&sim->things[open->file]);
    if (at < end) {
        size_t bytes = size < end - at ? (size_t)size : end - (size_t)at;
        unsigned char *zeros = sim_must(calloc(1, bytes));

        sim_note_all_mapped(sim);
        sim->inner->give_back(&open->inner, at, bytes);
        sim_log_bytes(sim, SIM_OP_WRITE, open->file, at, zeros, bytes);
        sim_seen_now(sim, open->file, at, bytes);
        free(zeros);
    }
    pthread_mutex_unlock(&sim->mutex);
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
    sim_note_all_mapped(sim);
    result = sim->inner->truncate(&open->inner, size);
    if (result == 0) {
        sim_log_add(sim, op);
        sim_seen_now(sim, open->file, 0, 0);
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

static int sim_make_dir(const lsi_root *root, const char *beneath)
{
    char full[LSI_FILE_NAME_BYTES_MAX];
    const char *name = full_name(root, beneath, full);
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, SIM_MAKE_DIR, name);
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    result = sim->inner->make_dir(&sim->root, name);
    if (result == 0)
        sim_created(sim, name, true);
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

static int rename_how(const lsi_root *root, const char *from_beneath, const char *to_beneath, bool replaces)
{
    char full_from[LSI_FILE_NAME_BYTES_MAX], full_to[LSI_FILE_NAME_BYTES_MAX];
    const char *from = full_name(root, from_beneath, full_from), *to = full_name(root, to_beneath, full_to);
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, SIM_RENAME, from);
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    result = replaces ? sim->inner->rename(&sim->root, from, to) : sim->inner->rename_new(&sim->root, from, to);
    if (result == 0)
        sim_renamed(sim, from, to);
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

static int sim_rename(const lsi_root *root, const char *from, const char *to)
{
    return rename_how(root, from, to, true);
}

static int sim_rename_new(const lsi_root *root, const char *from, const char *to)
{
    return rename_how(root, from, to, false);
}

static int sim_remove(const lsi_root *root, const char *beneath, bool is_dir)
{
    char full[LSI_FILE_NAME_BYTES_MAX];
    const char *name = full_name(root, beneath, full);
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, is_dir ? SIM_REMOVE_DIR : SIM_UNLINK, name);
    int result;

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    result = is_dir ? sim->inner->remove_dir(&sim->root, name) : sim->inner->unlink(&sim->root, name);
    if (result == 0)
        sim_removed(sim, name, is_dir);
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

static int sim_sync_dir(const lsi_root *root, const char *beneath)
{
    char full[LSI_FILE_NAME_BYTES_MAX];
    const char *name = full_name(root, beneath, full);
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, SIM_SYNC_DIR, name);
    sim_op op = {.kind = fate.err != 0 ? SIM_OP_DOUBT_DIR : SIM_OP_SYNC_DIR};
    int result;

    if (fate.err == -EMFILE || fate.err == -ENFILE) /* It could not be opened: nothing was synced, and nothing lost. */
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    result = sim->inner->sync_dir(&sim->root, name);
    if (result == 0) {
        op.dir = *name != '\0' ? sim_path_find(sim, name)->file : 0;
        op.covers = sim->log_count;
        sim_log_add(sim, op);
    }
    pthread_mutex_unlock(&sim->mutex);
    return result != 0 ? result : fate.err;
}

/* What a bulk covers is said by the number of the first file or directory that is made in it, kept in `node`. */
static int sim_bulk_begin(const lsi_root *root, lsi_file *bulk)
{
    sim_files *sim = sim_of(root->files);
    verdict fate = before(sim, SIM_BULK_BEGIN, "");

    if (fate.err != 0)
        return fate.err;
    pthread_mutex_lock(&sim->mutex);
    *bulk = (lsi_file){.files = root->files, .fd = -1, .node = (void *)(uintptr_t)sim->thing_count};
    pthread_mutex_unlock(&sim->mutex);
    return 0;
}

/* Syncs everything there is. One that fails leaves what was made in the bulk in doubt; others have descriptors of their
 * own that will tell them. */
static int sim_bulk_end(lsi_file *bulk, bool sync)
{
    sim_files *sim = sim_of(bulk->files);
    verdict fate = before(sim, SIM_BULK_END, "");
    size_t first = (size_t)(uintptr_t)bulk->node, covers;
    unsigned how = SIM_HOW_BULK;

    bulk->files = NULL;
    if (!sync)
        return 0;
    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    covers = sim->log_count;
    for (uint32_t i = 0; i < sim->thing_count; i++) {
        bool is_dir = sim->things[i].is_dir;
        sim_op op = {.kind = is_dir ? SIM_OP_SYNC_DIR : SIM_OP_SYNC, .covers = covers};

        if (is_dir)
            op.dir = i;
        else
            op.file = i;
        if (fate.err != 0 && i >= first)
            op.kind = is_dir ? SIM_OP_DOUBT_DIR : SIM_OP_DOUBT;
        op.how = how;
        if (fate.err != 0 && i < first)
            continue;
        sim_log_add(sim, op);
        how = SIM_HOW_BULK_MORE;
    }
    pthread_mutex_unlock(&sim->mutex);
    return fate.err;
}

static int sim_list(const lsi_root *root, const char *beneath,
                    int (*each)(void *user, const char *entry, bool is_dir), void *user)
{
    char full[LSI_FILE_NAME_BYTES_MAX];
    const char *name = full_name(root, beneath, full);
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
    sim_note_all_mapped(sim);
    result = sim->inner->map(&open->inner, at, size, writable, out);
    if (result == 0 && writable)
        sim_watch(sim, open->file);
    pthread_mutex_unlock(&sim->mutex);
    return result;
}

static void sim_unmap(const lsi_file *file, void *map, size_t size)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;

    if (sim->inner == NULL)
        return;
    (void)before(sim, SIM_UNMAP, open->name);
    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    sim->inner->unmap(&open->inner, map, size);
    pthread_mutex_unlock(&sim->mutex);
}

static void sim_store(const lsi_file *file, void *into, const void *bytes, size_t size)
{
    sim_files *sim = sim_of(file->files);
    sim_open *open = file->node;
    verdict fate = before(sim, SIM_STORE, open->name);
    thing *of;
    size_t at;

    if (fate.is_short && fate.short_bytes < size)
        size = fate.short_bytes;
    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    of = &sim->things[open->file];
    assert(of->view != NULL && (unsigned char *)into >= of->view && "stores go into a writable mapping of the file");
    at = (size_t)((unsigned char *)into - of->view);
    assert(at + size <= sim_file_size(of) && "what is mapped is allocated first (E5)");
    sim->inner->store(&open->inner, into, bytes, size);
    sim_log_bytes(sim, SIM_OP_STORE, open->file, at, bytes, size);
    sim_seen_now(sim, open->file, at, size);
    pthread_mutex_unlock(&sim->mutex);
    if (fate.kill)
        sim_kill_here();
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

static void new_boot(sim_files *sim)
{
    static uint64_t last;
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    uint64_t id[2];

    pthread_mutex_lock(&mutex);
    id[0] = sim_mix(++last);
    pthread_mutex_unlock(&mutex);
    id[1] = sim_mix(id[0]);
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
        .give_back = sim_give_back,
        .truncate = sim_truncate,
        .size = sim_size,
        .make_dir = sim_make_dir,
        .rename = sim_rename,
        .rename_new = sim_rename_new,
        .unlink = sim_unlink,
        .remove_dir = sim_remove_dir,
        .sync_dir = sim_sync_dir,
        .bulk_begin = sim_bulk_begin,
        .bulk_end = sim_bulk_end,
        .list = sim_list,
        .map = sim_map,
        .unmap = sim_unmap,
        .store = sim_store,
        .lock = sim_lock,
        .locked_elsewhere = sim_locked_elsewhere,
        .abandon = sim_abandon,
    };
    sim_files *sim = sim_must(calloc(1, sizeof(*sim)));
    lsi_memory memory;

    sim->table = table;
    sim->table.user = sim;
    (void)pthread_mutex_init(&sim->mutex, NULL);
    sim->memory = (sim_memory)SIM_MEMORY_INIT;
    memory = sim_memory_table(&sim->memory);
    sim->inner = sim_must(lsi_files_memory_new(&memory));
    if (sim->inner->root_open(sim->inner, "sim", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &sim->root) != 0)
        abort();
    (void)sim_thing_add(sim, true); /* the root */
    new_boot(sim);
    return sim;
}

/* A killed process leaves what it wanted to be done in fork children, which goes through the table still: for as long
 * as there may be one of the test's. */
static pthread_mutex_t freed_mutex = PTHREAD_MUTEX_INITIALIZER;
static sim_files *freed;

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
    for (sim_beneath *at = sim->beneath, *next; at != NULL; at = next) {
        next = at->next;
        free(at);
    }
    free(sim->things);
    free(sim->names);
    free(sim->log);
    lsi_files_memory_free(sim->inner); /* and every open and mapping in it */
    (void)pthread_mutex_destroy(&sim->mutex);
    if (!sim->has_dead) {
        sim_memory_scrap(&sim->memory); /* what those wanted back who were killed in the middle of a call */
        free(sim);
        return;
    }
    sim_memory_bury(&sim->memory);
    sim->inner = NULL;
    (void)pthread_mutex_lock(&freed_mutex);
    sim->next_freed = freed;
    freed = sim;
    (void)pthread_mutex_unlock(&freed_mutex);
}

lsi_files *sim_files_table(sim_files *sim)
{
    return &sim->table;
}
