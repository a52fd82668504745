/* Directories that the manifest does not name: what a killed creator or deleter left (R6).
 *
 * A directory whose id is below the manifest's next one was named once and is no longer: its stream was deleted, which
 * is the readable, verified reason that deleting data needs. One whose id is not below was never named, as far as this
 * manifest knows. That is a creator who died, or a manifest that somebody brought back from a backup: it is renamed and
 * kept, and the id is free (L2). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

#define NAME_BYTES 256

/* ---- removing a tree of two levels ---- */

typedef struct entries {
    const lsi_memory *memory;
    char (*names)[NAME_BYTES];
    bool *is_dir;
    size_t names_capacity, is_dir_capacity;
    size_t count;
} entries;

/* Collected first: a listing that is changed while it runs may show a name twice or never. */
static int entry_note(void *user, const char *entry, bool is_dir)
{
    entries *found = user;

    if (strlen(entry) >= NAME_BYTES / 2)
        return 0; /* not ours */
    if (!lsi_grow(found->memory, (void **)&found->names, &found->names_capacity, found->count + 1,
                  sizeof(*found->names)) ||
        !lsi_grow(found->memory, (void **)&found->is_dir, &found->is_dir_capacity, found->count + 1,
                  sizeof(*found->is_dir)))
        return -ENOMEM;
    memcpy(found->names[found->count], entry, strlen(entry) + 1);
    found->is_dir[found->count++] = is_dir;
    return 0;
}

static void entries_free(entries *found)
{
    lsi_free(found->memory, found->names);
    lsi_free(found->memory, found->is_dir);
}

ls_status lsi_local_remove_dir(lsi_local *local, const char *dir)
{
    return lsi_local_remove_tree(&local->base.env, &local->root, dir);
}

ls_status lsi_local_remove_tree(const lsi_env *env, const lsi_root *root, const char *dir)
{
    const lsi_files *files = root->files;
    entries found = {.memory = &env->memory};
    ls_status st = LS_OK;
    int result = files->list(root, dir, entry_note, &found);

    for (size_t i = 0; result == 0 && i < found.count; i++) {
        char name[NAME_BYTES];

        (void)snprintf(name, sizeof(name), "%s/%s", dir, found.names[i]); /* Both are below half of it. */
        if (found.is_dir[i]) {
            ls_status removed = lsi_log_destroy(env, root, name);

            st = st == LS_OK ? removed : st;
        } else {
            result = files->unlink(root, name);
            result = result == -ENOENT ? 0 : result; /* somebody else does the same */
        }
    }
    entries_free(&found);
    if (result == 0 && st == LS_OK)
        result = files->remove_dir(root, dir);
    if (result != 0 && result != -ENOENT)
        st = lsi_fail_errno(result, "cannot remove the directory %s", dir);
    return st;
}

/* ---- setting aside ---- */

ls_status lsi_local_set_aside(lsi_local *local, uint64_t id)
{
    char from[LSI_LOG_DIR_BYTES], to[LSI_LOG_DIR_BYTES];
    uint32_t number;
    int result;

    local->base.env.random(local->base.env.random_user, &number, sizeof(number));
    (void)snprintf(from, sizeof(from), "%" PRIu64, id);
    (void)snprintf(to, sizeof(to), "aside-%" PRIu64 "-%08" PRIx32, id, number);
    result = local->root.files->rename(&local->root, from, to);
    if (result == -ENOENT)
        return LS_OK;
    if (result != 0)
        return lsi_fail_errno(result, "cannot set the directory %s aside", from);
    lsi_env_log(&local->base.env, LS_LOG_WARNING, "directory %s, which the manifest never named, is set aside as %s",
                from, to);
    return LS_OK;
}

/* A stream's directory: a decimal number as we write it. */
static bool id_parse(const char *name, uint64_t *out)
{
    uint64_t id = 0;

    if (*name < '1' || *name > '9' || strlen(name) > 19)
        return false;
    for (; *name != '\0'; name++) {
        if (*name < '0' || *name > '9')
            return false;
        id = id * 10 + (uint64_t)(*name - '0');
    }
    *out = id;
    return true;
}

ls_status lsi_local_clear_strays(lsi_local *local)
{
    entries found = {.memory = &local->base.env.memory};
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog_lock(local, &catalog); /* nobody is creating */
    int result;

    if (st != LS_OK)
        return st;
    result = local->root.files->list(&local->root, "", entry_note, &found);
    if (result != 0)
        st = lsi_fail_errno(result, "cannot list the store's directory");
    for (size_t i = 0; i < found.count; i++) {
        uint64_t id;

        if (!found.is_dir[i] || !id_parse(found.names[i], &id) || lsi_catalog_find_id(catalog, id) != NULL)
            found.names[i][0] = '\0';
        else if (id >= catalog->next_id) {
            found.names[i][0] = '\0';
            st = st == LS_OK ? lsi_local_set_aside(local, id) : st;
        }
    }
    if (st == LS_OK)
        st = lsi_local_clear_shards(local, catalog);
    lsi_local_catalog_unlock(local);
    lsi_catalog_unref(catalog);
    for (size_t i = 0; i < found.count; i++)
        if (found.names[i][0] != '\0' && st == LS_OK)
            st = lsi_local_remove_dir(local, found.names[i]);
    entries_free(&found);
    return st;
}
