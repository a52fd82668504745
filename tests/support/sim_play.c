/* Disks as a whole: what a log says, done to another one; the disk that a kill leaves; which ones are equal. */
#include "support/sim_inside.h"

#include <string.h>

#include "base/hash.h"

void sim_play(sim_files *sim, const sim_op *op)
{
    char path[LSI_FILE_NAME_BYTES_MAX], to[LSI_FILE_NAME_BYTES_MAX];
    lsi_file file = {0};
    int result = 0;

    if (op->name != NULL) {
        sim_path_of(sim, op->dir, path, sizeof(path));
        snprintf(path + strlen(path), sizeof(path) - strlen(path), "%s%s", *path != '\0' ? "/" : "", op->name);
    }
    switch (op->kind) {
    case SIM_OP_CREATE:
        result = sim->inner->open(&sim->root, path, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_EXCLUSIVE, &file);
        if (result == 0) {
            (void)sim->inner->close(&file); /* memory's cannot fail */
            sim_created(sim, path, false);
        }
        break;
    case SIM_OP_MAKE_DIR:
        result = sim->inner->make_dir(&sim->root, path);
        if (result == 0)
            sim_created(sim, path, true);
        break;
    case SIM_OP_UNLINK:
        result = sim->inner->unlink(&sim->root, path);
        if (result == 0)
            sim_removed(sim, path, false);
        break;
    case SIM_OP_REMOVE_DIR:
        result = sim->inner->remove_dir(&sim->root, path);
        if (result == 0)
            sim_removed(sim, path, true);
        break;
    case SIM_OP_RENAME:
        sim_path_of(sim, op->to_dir, to, sizeof(to));
        snprintf(to + strlen(to), sizeof(to) - strlen(to), "%s%s", *to != '\0' ? "/" : "", op->to_name);
        result = sim->inner->rename(&sim->root, path, to);
        if (result == 0)
            sim_renamed(sim, path, to);
        break;
    case SIM_OP_WRITE:
    case SIM_OP_STORE:
        result = lsi_file_write_one(&sim->things[op->file].keep, op->bytes, (size_t)op->size, op->at);
        sim_log_add(sim, sim_op_copy(op));
        break;
    case SIM_OP_ALLOCATE:
        result = sim->inner->allocate(&sim->things[op->file].keep, op->at, op->size);
        sim_log_add(sim, sim_op_copy(op));
        break;
    case SIM_OP_TRUNCATE:
        result = sim->inner->truncate(&sim->things[op->file].keep, op->size);
        sim_log_add(sim, sim_op_copy(op));
        break;
    case SIM_OP_SYNC_DIR:
    case SIM_OP_DOUBT_DIR:
    case SIM_OP_SYNC:
    case SIM_OP_DOUBT:
        sim_log_add(sim, sim_op_copy(op));
        break;
    }
    if (result != 0)
        abort(); /* what happened once can happen again */
}

sim_files *sim_clone(sim_files *sim)
{
    sim_files *copy = sim_files_new();

    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    /* Numbers come out equal: both logs create the same things in the same order. */
    for (size_t i = 0; i < sim->log_count; i++)
        sim_play(copy, &sim->log[i]);
    copy->log_base = sim->log_base;
    copy->has_root = sim->has_root;
    memcpy(copy->boot_id, sim->boot_id, sizeof(copy->boot_id));
    pthread_mutex_unlock(&sim->mutex);
    return copy;
}

/* ---- equal states ---- */

static uint64_t hash_of(sim_files *sim, uint32_t file)
{
    const thing *of = &sim->things[file];
    uint64_t sum = 0; /* of the entries: their order says nothing */

    if (!of->is_dir) {
        size_t size = sim_file_size(of);
        unsigned char *bytes = sim_must(malloc(size != 0 ? size : 1));
        uint64_t hash;

        if (of->keep.files->read(&of->keep, bytes, size, 0) != (int64_t)size)
            abort();
        hash = lsi_sum64(bytes, size, 0);
        free(bytes);
        return hash;
    }
    for (size_t i = 0; i < sim->name_count; i++) {
        const label *at = &sim->names[i];

        if (at->dir == file)
            sum += sim_mix(lsi_sum64(at->text, strlen(at->text), hash_of(sim, at->file)));
    }
    return sim_mix(sum);
}

uint64_t sim_hash(sim_files *sim)
{
    uint64_t hash;

    pthread_mutex_lock(&sim->mutex);
    hash = hash_of(sim, 0);
    pthread_mutex_unlock(&sim->mutex);
    return hash;
}
