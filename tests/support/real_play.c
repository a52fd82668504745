/* See real_play.h. A second sim goes along, operation by operation: it knows what things are called by then. */
#include "support/real_play.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/sim_inside.h"

#define DEPTH_MAX 8u
#define DESCRIPTORS 4096u

struct real_play {
    sim_files *sim, *shadow;
    lsi_root root;
    lsi_file *files; /* by number; not open: `files` is NULL */
    size_t next;
    int first_error;
};

int real_play_begin(sim_files *sim, const char *path, real_play **out)
{
    struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
    real_play *of = sim_must(calloc(1, sizeof(*of)));
    int result;

    (void)setrlimit(RLIMIT_NOFILE, &limit); /* If it is not had, opening says so. */
    of->sim = sim;
    result = lsi_files_system.root_open(&lsi_files_system, path, LSI_ROOT_CREATE | LSI_ROOT_WRITE | LSI_ROOT_SYNC_NAME,
                                        &of->root);
    if (result != 0) {
        free(of);
        return result;
    }
    (void)sim_log_count(sim); /* notes what mappings changed */
    of->files = sim_must(calloc(sim->thing_count + 1, sizeof(*of->files)));
    of->shadow = sim_files_new();
    *out = of;
    return 0;
}

static void path_of(real_play *of, uint32_t dir, const char *name, char into[LSI_FILE_NAME_BYTES_MAX])
{
    size_t size;

    sim_path_of(of->shadow, dir, into, LSI_FILE_NAME_BYTES_MAX);
    size = strlen(into);
    (void)snprintf(into + size, LSI_FILE_NAME_BYTES_MAX - size, "%s%s", size > 0 ? "/" : "", name);
}

/* Whether it has a name now; the root has none, and needs none. */
static bool is_named(const real_play *of, uint32_t file)
{
    for (size_t i = 0; i < of->shadow->name_count; i++)
        if (of->shadow->names[i].file == file)
            return true;
    return file == 0;
}

static int let_go(real_play *of, uint32_t file)
{
    return lsi_file_is_open(&of->files[file]) ? lsi_files_system.close(&of->files[file]) : 0;
}

/* What is stored through a mapping is stored through one. */
static int store(const lsi_file *file, const sim_op *op)
{
    uint64_t from = op->at & ~UINT64_C(4095);
    size_t size = (size_t)(op->at - from + op->size);
    void *map;
    int result = lsi_files_system.map(file, from, size, true, &map);

    if (result != 0)
        return result;
    lsi_files_system.store(file, (char *)map + (op->at - from), op->bytes, (size_t)op->size);
    lsi_files_system.unmap(file, map, size);
    return 0;
}

static int sync_all(real_play *of)
{
    lsi_file bulk;
    int result = lsi_files_system.bulk_begin(&of->root, &bulk);

    return result != 0 ? result : lsi_files_system.bulk_end(&bulk, true);
}

static int play_name(real_play *of, const sim_op *op)
{
    char path[LSI_FILE_NAME_BYTES_MAX], to[LSI_FILE_NAME_BYTES_MAX];
    const label *replaced;
    int result;

    path_of(of, op->dir, op->name, path);
    switch (op->kind) {
    case SIM_OP_CREATE:
        return lsi_files_system.open(&of->root, path,
                                     LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE |
                                         (op->how & LSI_OPEN_MAPPED),
                                     &of->files[op->file]);
    case SIM_OP_MAKE_DIR:
        return lsi_files_system.make_dir(&of->root, path);
    case SIM_OP_REMOVE_DIR:
        return lsi_files_system.remove_dir(&of->root, path);
    case SIM_OP_UNLINK:
        result = lsi_files_system.unlink(&of->root, path);
        return result != 0 ? result : let_go(of, op->file);
    default:
        path_of(of, op->to_dir, op->to_name, to);
        replaced = sim_path_find(of->shadow, to);
        result = lsi_files_system.rename(&of->root, path, to);
        return result != 0 || replaced == NULL ? result : let_go(of, replaced->file);
    }
}

static int play(real_play *of, const sim_op *op)
{
    char path[LSI_FILE_NAME_BYTES_MAX];
    lsi_span bytes = {op->bytes, (size_t)op->size};
    lsi_file *file = op->name == NULL ? &of->files[op->file] : NULL;
    bool is_open = file != NULL && lsi_file_is_open(file);

    switch (op->kind) {
    case SIM_OP_WRITE: /* What has no name any more, nobody sees. */
        return is_open ? lsi_files_system.write(file, &bytes, 1, op->at) : 0;
    case SIM_OP_STORE:
        return is_open ? store(file, op) : 0;
    case SIM_OP_ALLOCATE:
        return is_open ? lsi_files_system.allocate(file, op->at, op->size) : 0;
    case SIM_OP_TRUNCATE:
        return is_open ? lsi_files_system.truncate(file, op->size) : 0;
    case SIM_OP_SYNC:
        if ((op->how & (SIM_HOW_BULK | SIM_HOW_BULK_MORE)) != 0)
            return (op->how & SIM_HOW_BULK) != 0 ? sync_all(of) : 0;
        return is_open ? lsi_files_system.sync(file, (op->how & SIM_HOW_DATA) != 0) : 0;
    case SIM_OP_SYNC_DIR:
        if ((op->how & (SIM_HOW_BULK | SIM_HOW_BULK_MORE)) != 0)
            return (op->how & SIM_HOW_BULK) != 0 ? sync_all(of) : 0;
        if (!is_named(of, op->dir))
            return 0;
        sim_path_of(of->shadow, op->dir, path, sizeof(path));
        return lsi_files_system.sync_dir(&of->root, path);
    case SIM_OP_DOUBT: /* A sync that failed is none. */
    case SIM_OP_DOUBT_DIR:
        return 0;
    default:
        return play_name(of, op);
    }
}

int real_play_next(real_play *of)
{
    const sim_op *op;
    int result;

    if (of->next == of->sim->log_count)
        return 1;
    op = &of->sim->log[of->next++];
    result = play(of, op);
    sim_play(of->shadow, op);
    if (result != 0 && of->first_error == 0)
        of->first_error = result;
    return result;
}

int real_play_end(real_play *of)
{
    int result = of->first_error;

    for (uint32_t i = 0; i < of->sim->thing_count; i++) {
        int closed = let_go(of, i);

        result = result != 0 ? result : closed;
    }
    of->root.files->root_close(&of->root);
    sim_files_free(of->shadow);
    free(of->files);
    free(of);
    return result;
}

/* ---- from a directory ---- */

static bool load_file(sim_files *into, const char *path, uint32_t file, char what[256])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about = {0};
    bool is_read = fd >= 0 && fstat(fd, &about) == 0;
    size_t size = (size_t)about.st_size, had = 0;
    unsigned char *bytes = sim_must(malloc(size + 1));

    while (is_read && had < size) {
        ssize_t part = read(fd, bytes + had, size - had);

        is_read = part > 0;
        had += is_read ? (size_t)part : 0;
    }
    if (!is_read)
        (void)snprintf(what, 256, "'%.150s' cannot be read at %zu of %zu: %s", path, had, size, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    if (is_read && size > 0) {
        sim_op op = {.kind = SIM_OP_WRITE, .file = file, .size = size, .bytes = bytes};

        sim_play(into, &op);
    }
    free(bytes);
    return is_read;
}

static bool load_dir(sim_files *into, const char *path, uint32_t dir, unsigned depth, char what[256])
{
    struct dirent **found = NULL;
    int count = depth < DEPTH_MAX ? scandir(path, &found, NULL, alphasort) : -1;
    bool all = count >= 0;

    if (!all)
        (void)snprintf(what, 256, "'%.150s' cannot be listed: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        char *name = found[i]->d_name, beneath[2048];
        sim_op op = {.kind = SIM_OP_CREATE, .dir = dir, .file = (uint32_t)into->thing_count, .name = name};
        struct stat about;

        if (all && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            (void)snprintf(beneath, sizeof(beneath), "%s/%s", path, name);
            all = lstat(beneath, &about) == 0;
            if (!all)
                (void)snprintf(what, 256, "'%.150s': %s", beneath, strerror(errno));
            if (all && S_ISDIR(about.st_mode))
                op.kind = SIM_OP_MAKE_DIR;
            if (all)
                sim_play(into, &op);
            all = all && (op.kind == SIM_OP_MAKE_DIR ? load_dir(into, beneath, op.file, depth + 1, what)
                                                     : load_file(into, beneath, op.file, what));
        }
        free(found[i]);
    }
    free(found);
    return all;
}

sim_files *real_load(const char *path, char what[256])
{
    sim_files *into = sim_files_new();

    if (!load_dir(into, path, 0, 0, what)) {
        sim_files_free(into);
        return NULL;
    }
    into->log_base = into->log_count;
    into->has_root = true;
    return into;
}
