/* Directories that the manifest does not name: what a killed creator or deleter left (R6).
 *
 * `new-<id>` is of a creator who had not finished: no record was ever in it, and it is removed once he is gone.
 *
 * A directory whose id is below the manifest's next one was named once and is no longer: its stream was deleted, which
 * is the readable, verified reason that deleting data needs. One whose id is not below was never named, as far as this
 * manifest knows. That is a creator who died just then, or a manifest that somebody brought back from a backup: it is
 * renamed and the id is free (L2). It is kept, unless it turns out that no record was ever in it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

#define NAME_BYTES 256
#define ASIDE_PREFIX "aside-"

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

ls_status lsi_local_remove_dir(lsi_local *local, const char *dir, int64_t until_us)
{
    return lsi_local_remove_tree(&local->base.env, &local->root, dir, until_us);
}

/* Once: `*errno_of` is -ENOTEMPTY when somebody else, who does the same, made our listing leave a name out. */
static ls_status remove_tree(const lsi_env *env, const lsi_root *root, const char *dir, int64_t until_us, int *errno_of)
{
    const lsi_files *files = root->files;
    entries found = {.memory = &env->memory};
    ls_status st = LS_OK;
    int result = files->list(root, dir, entry_note, &found);

    for (size_t i = 0; result == 0 && st != LS_ERR_TIMEOUT && i < found.count; i++) {
        char name[NAME_BYTES];

        (void)snprintf(name, sizeof(name), "%s/%s", dir, found.names[i]); /* Both are below half of it. */
        if (found.is_dir[i]) {
            ls_status removed = lsi_log_destroy(env, root, name, until_us);

            st = st == LS_OK || removed == LS_ERR_TIMEOUT ? removed : st;
        } else {
            result = files->unlink(root, name);
            result = result == -ENOENT ? 0 : result; /* somebody else does the same */
        }
    }
    entries_free(&found);
    if (result == 0 && st == LS_OK)
        result = files->remove_dir(root, dir);
    *errno_of = result == -ENOENT ? 0 : result;
    return st;
}

#define REMOVE_TRIES 8

ls_status lsi_local_remove_tree(const lsi_env *env, const lsi_root *root, const char *dir, int64_t until_us)
{
    int result = -ENOTEMPTY;
    ls_status st = LS_OK;

    for (int tries = 0; st == LS_OK && result == -ENOTEMPTY && tries < REMOVE_TRIES; tries++)
        st = remove_tree(env, root, dir, until_us, &result);
    if (result != 0)
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
    (void)snprintf(to, sizeof(to), ASIDE_PREFIX "%" PRIu64 "-%08" PRIx32, id, number);
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

/* What a creator left who is gone. While his claim is ours nobody makes anything of that name. */
static ls_status remove_unfinished(lsi_local *local, const char *dir, uint64_t id, int64_t until_us)
{
    lsi_claim claim;
    lsi_error_state before;
    ls_status st;

    lsi_error_save(&before);
    st = lsi_control_claim(&local->base.env, &local->root, id, id, &claim);
    if (st == LS_ERR_BUSY) { /* He is alive. */
        lsi_error_restore(&before);
        return LS_OK;
    }
    if (st != LS_OK)
        return st;
    st = lsi_local_remove_dir(local, dir, until_us);
    lsi_control_claim_release(&claim);
    return st;
}

/* Removes what was set aside when no record was ever in it: then it was a creator who died just when his directory had
 * got its name, and not a manifest from a backup. */
static ls_status remove_unused(lsi_local *local, const char *dir, int64_t until_us)
{
    entries found = {.memory = &local->base.env.memory};
    ls_status st = LS_OK;
    bool unused = true;
    int result = local->root.files->list(&local->root, dir, entry_note, &found);

    if (result != 0 && result != -ENOENT)
        st = lsi_fail_errno(result, "cannot list the directory %s", dir);
    for (size_t i = 0; i < found.count && st == LS_OK && unused; i++) {
        char name[NAME_BYTES];

        (void)snprintf(name, sizeof(name), "%s/%s", dir, found.names[i]); /* Both are below half of it. */
        unused = found.is_dir[i];
        if (unused)
            st = lsi_log_is_unused(&local->root, name, &unused);
    }
    entries_free(&found);
    return st == LS_OK && unused ? lsi_local_remove_dir(local, dir, until_us) : st;
}

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* ---- looking ---- */

/* The directories of the root that may be strays; those of others lose their names. */
static ls_status find_strays(lsi_local *local, const lsi_catalog *catalog, entries *found, size_t *count)
{
    ls_status st = LS_OK;
    uint64_t id;
    int result;

    *found = (entries){.memory = &local->base.env.memory};
    *count = 0;
    result = local->root.files->list(&local->root, "", entry_note, found);
    if (result != 0)
        st = lsi_fail_errno(result, "cannot list the store's directory");
    for (size_t i = 0; i < found->count && st == LS_OK; i++) {
        char *name = found->names[i];
        bool is_ours = begins(name, ASIDE_PREFIX) ||
            (begins(name, LSI_UNFINISHED_PREFIX) && id_parse(name + strlen(LSI_UNFINISHED_PREFIX), &id)) ||
            (id_parse(name, &id) && lsi_catalog_find_id(catalog, id) == NULL);

        if (found->is_dir[i] && is_ours)
            (*count)++;
        else
            name[0] = '\0';
    }
    return st;
}

static ls_status remove_strays(lsi_local *local, entries *found, int64_t until_us)
{
    ls_status st = LS_OK, first = LS_OK;
    lsi_error_state why;
    uint64_t id;

    for (size_t i = 0; i < found->count && st != LS_ERR_TIMEOUT; i++) {
        const char *name = found->names[i];

        st = LS_OK;

        if (begins(name, ASIDE_PREFIX))
            st = remove_unused(local, name, until_us);
        else if (begins(name, LSI_UNFINISHED_PREFIX) && id_parse(name + strlen(LSI_UNFINISHED_PREFIX), &id))
            st = remove_unfinished(local, name, id, until_us);
        else if (name[0] != '\0')
            st = lsi_local_remove_dir(local, name, until_us);
        lsi_error_note_first(st, &first, &why); /* One that cannot be removed keeps no other. */
    }
    if (first != LS_OK)
        lsi_error_restore(&why);
    return first;
}

static ls_status clear_root(lsi_local *local, int64_t until_us)
{
    lsi_catalog *catalog;
    entries found;
    size_t count;
    ls_status st = lsi_local_bury(local);

    if (st == LS_OK)
        st = lsi_local_catalog(local, &catalog);
    if (st != LS_OK)
        return st;
    /* A look without the lock: mostly there is nothing. */
    st = find_strays(local, catalog, &found, &count);
    entries_free(&found);
    lsi_catalog_unref(catalog);
    if (st != LS_OK || count == 0)
        return st;
    st = lsi_local_catalog_lock(local, &catalog); /* Nobody gives a directory its name meanwhile. */
    if (st != LS_OK)
        return st;
    st = find_strays(local, catalog, &found, &count);
    for (size_t i = 0; i < found.count && st == LS_OK; i++) {
        uint64_t id;

        if (id_parse(found.names[i], &id) && id >= catalog->next_id) {
            found.names[i][0] = '\0';
            st = lsi_local_set_aside(local, id);
        }
    }
    lsi_local_catalog_unlock(local);
    lsi_catalog_unref(catalog);
    if (st == LS_OK)
        st = remove_strays(local, &found, until_us);
    entries_free(&found);
    return st;
}

ls_status lsi_local_clear_strays(lsi_local *local, uint64_t *id, uint32_t streams_max, int64_t until_us)
{
    lsi_catalog *catalog;
    ls_status st = clear_root(local, until_us), first = LS_OK;
    lsi_error_state why;

    lsi_error_note_first(st, &first, &why);
    if (st != LS_ERR_TIMEOUT)
        st = lsi_local_catalog(local, &catalog);
    if (st != LS_OK)
        return st;
    for (; st != LS_ERR_TIMEOUT && streams_max > 0; streams_max--) {
        const lsi_catalog_stream *next = lsi_catalog_after_id(catalog, *id);

        st = next != NULL ? lsi_local_clear_shards(local, next->id, until_us) : LS_OK;
        lsi_error_note_first(st, &first, &why);
        if (st != LS_ERR_TIMEOUT)
            *id = next != NULL ? next->id : 0;
        if (next == NULL)
            break;
    }
    lsi_catalog_unref(catalog);
    if (first != LS_OK)
        lsi_error_restore(&why);
    return first;
}
