/* Copying a store that is in use into another directory, whole or what is new since the last time.
 *
 *  B1 Everything acknowledged before the call is in the copy: streams and shards as the manifest has them when it begins,
 *     each shard up to an end that was published after that. Shards are copied one after another, so between them the
 *     copy is of no one moment; each is a prefix of its log.
 *  B2 The copy's manifest is put in place last. Until then the directory holds the earlier copy, with some shards that
 *     go on further, or is no store yet.
 *  B3 Only a directory that is empty, or holds a copy of this store that nobody has open, is written to. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

/* ---- B3 ---- */

static int note_foreign(void *user, const char *entry, bool is_dir)
{
    char *name = user;

    if (is_dir && strspn(entry, "0123456789") == strlen(entry))
        return 0; /* a stream of a copy that was not finished */
    if (strcmp(entry, "lost+found") == 0 || strcmp(entry, LSI_MANIFEST_NAME ".new") == 0)
        return 0;
    (void)snprintf(name, LSI_FILE_NAME_BYTES_MAX, "%s", entry);
    return 1;
}

static ls_status check_target(const lsi_local *local, const lsi_root *root, const char *path, lsi_catalog **earlier)
{
    char foreign[LSI_FILE_NAME_BYTES_MAX] = "";
    lsi_peek peek;
    bool in_use;
    int result;
    ls_status st = lsi_local_catalog_load(&local->base.env, root, earlier);

    if (st == LS_ERR_NOT_FOUND) {
        *earlier = NULL;
        result = root->files->list(root, "", note_foreign, foreign);
        if (result < 0)
            return lsi_fail_errno(-result, "listing '%s'", path);
        if (result > 0)
            return lsi_fail(LS_ERR_EXISTS, "'%s' holds '%s' and no copy of this store: name an empty directory, or a new one",
                            path, foreign);
        return LS_OK;
    }
    if (st != LS_OK)
        return st;
    if (memcmp((*earlier)->store_id, local->store_id, sizeof(local->store_id)) != 0) {
        st = lsi_fail(LS_ERR_EXISTS, "'%s' holds another store", path);
        goto fail;
    }
    st = lsi_peek_open(&local->base.env, root, NULL, &peek);
    if (st != LS_OK)
        goto fail;
    in_use = peek.alive;
    lsi_peek_close(&peek);
    if (in_use) {
        st = lsi_fail(LS_ERR_STATE, "the store in '%s' is open: a copy goes where nobody works", path);
        goto fail;
    }
    return LS_OK;
fail:
    lsi_catalog_unref(*earlier);
    *earlier = NULL;
    return st;
}

/* ---- streams ---- */

static ls_status each_log(lsi_local *local, const lsi_catalog_stream *stream,
                          ls_status (*each)(lsi_log *log, const lsi_root *root, lsi_copy *copy), const lsi_root *root,
                          lsi_copy *copy)
{
    lsi_local_stream *used;
    ls_status st = lsi_local_stream_use(local, stream->id, &used);

    if (st != LS_OK)
        return st;
    for (uint32_t i = 0; st == LS_OK && i < stream->shard_count; i++) {
        lsi_log *log;

        st = lsi_local_stream_log(used, stream->shards[i].index, &log);
        if (st == LS_OK)
            st = lsi_local_stream_explain(used, each(log, root, copy));
    }
    lsi_local_stream_close(&used->base);
    return st;
}

static ls_status measure(lsi_log *log, const lsi_root *root, lsi_copy *copy)
{
    uint64_t bytes;
    ls_status st = lsi_log_copy_bytes(log, &bytes);

    (void)root;
    if (st == LS_OK)
        copy->total_bytes += bytes;
    return st;
}

static ls_status copy_stream(lsi_local *local, const lsi_catalog_stream *stream, const lsi_root *root, lsi_copy *copy)
{
    char dir[32];
    int result;
    ls_status st;

    (void)snprintf(dir, sizeof(dir), "%" PRIu64, stream->id);
    result = root->files->make_dir(root, dir);
    if (result != 0 && result != -EEXIST)
        return lsi_fail_errno(-result, "stream '%s': making the directory %s of the copy", stream->name, dir);
    st = each_log(local, stream, lsi_log_copy, root, copy);
    if (st == LS_OK) {
        result = root->files->sync_dir(root, dir);
        if (result != 0)
            st = lsi_fail_errno(-result, "stream '%s': syncing the directory %s of the copy", stream->name, dir);
    }
    return st;
}

/* Leaves out of `*catalog` what was deleted meanwhile, when `st` says so of `stream`; else gives `st` back. */
static ls_status without_deleted(lsi_catalog **catalog, uint64_t id, ls_status st)
{
    lsi_catalog *fewer;

    if (st != LS_ERR_NOT_FOUND)
        return st;
    st = lsi_catalog_copy(*catalog, id, NULL, &fewer);
    if (st != LS_OK)
        return st;
    fewer->generation = (*catalog)->generation;
    lsi_catalog_unref(*catalog);
    *catalog = fewer;
    return LS_OK;
}

static ls_status copy_all(lsi_local *local, lsi_catalog **catalog, const lsi_root *root, lsi_copy *copy)
{
    ls_status st = LS_OK;

    for (int pass = 0; pass < 2; pass++) /* Measured first, for a progress that knows its end. */
        for (uint32_t i = 0; st == LS_OK && i < (*catalog)->stream_count;) {
            uint64_t id = (*catalog)->streams[i].id;
            uint32_t count = (*catalog)->stream_count;

            st = pass == 0 ? each_log(local, &(*catalog)->streams[i], measure, root, copy)
                           : copy_stream(local, &(*catalog)->streams[i], root, copy);
            st = without_deleted(catalog, id, st);
            if (st == LS_OK && (*catalog)->stream_count == count)
                i++;
        }
    return st;
}

/* ---- the whole ---- */

ls_status lsi_local_backup(lsi_engine *engine, const lsi_files *files, const char *path, lsi_copy_progress progress,
                           void *user)
{
    lsi_local *local = lsi_local_of(engine);
    lsi_copy copy = {.progress = progress, .user = user};
    lsi_catalog *catalog = NULL, *earlier = NULL;
    lsi_root root = {0};
    int result;
    ls_status st = lsi_local_check_mine(local);

    if (st != LS_OK)
        return st;
    result = files->root_open(files, path, LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root);
    if (result == -ENOENT)
        return lsi_fail(LS_ERR_NOT_FOUND, "'%s' cannot be made: there is no directory to make it in", path);
    if (result != 0)
        return lsi_fail_errno(-result, "opening the directory '%s' for the copy", path);
    root.make_room = local->root.make_room;
    root.room_user = local->root.room_user;
    st = check_target(local, &root, path, &earlier);
    if (st == LS_OK)
        st = lsi_local_catalog_read(local, &catalog);
    if (st == LS_OK)
        st = copy_all(local, &catalog, &root, &copy);
    if (st == LS_OK) {
        result = root.files->sync_dir(&root, ""); /* the streams' names, before the manifest that names them (R6) */
        if (result != 0)
            st = lsi_fail_errno(-result, "syncing the directory '%s'", path);
    }
    if (st == LS_OK)
        st = lsi_local_catalog_write(&local->base.env, &root, catalog); /* B2 */
    for (uint32_t i = 0; st == LS_OK && earlier != NULL && i < earlier->stream_count; i++) {
        char dir[32];

        if (lsi_catalog_find_id(catalog, earlier->streams[i].id) != NULL)
            continue;
        (void)snprintf(dir, sizeof(dir), "%" PRIu64, earlier->streams[i].id);
        st = lsi_local_remove_tree(&local->base.env, &root, dir);
    }
    lsi_catalog_unref(earlier);
    lsi_catalog_unref(catalog);
    root.files->root_close(&root);
    return st;
}
