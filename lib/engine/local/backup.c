/* Copying a store that is in use into another directory, whole or what is new since the last time.
 *
 *  B1 Everything acknowledged before the call is in the copy: streams and shards as the manifest has them when it
 *     begins, each shard up to an end that was published after that. Shards are copied one after another, so between
 *     them the copy is of no one moment; each is a prefix of its log.
 *  B2 The copy's manifest is put in place last. Until then the directory holds the earlier copy, with some shards that
 *     go on further, or is no store yet.
 *     A directory that the copy's manifest does not name is of a call that failed, perhaps in the sync that was to make
 *     its name durable, and later syncs say nothing of that (E1): its name is made anew.
 *  B3 Only a directory that is empty, or holds a copy of this store that nobody has open or wrote to, is written to,
 *     and by one call at a time: of two the one that began earlier might end later, and put its manifest in place,
 *     which does not name what the other was to have copied. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "base/u128.h"
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
            return lsi_fail(LS_ERR_EXISTS,
                            "'%s' holds '%s' and no copy of this store: name an empty directory, or a new one",
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

/* Shard numbers and streams' ids only rise, so what is above all of ours was made there. What is below and not here was
 * deleted here, or has expired. */
static ls_status written_to(const char *stream, const char *what)
{
    return lsi_fail(LS_ERR_STATE, "stream '%s': the copy has %s that this store never had: somebody wrote to it; copy "
                    "into another directory", stream, what);
}

static ls_status check_shards(const lsi_catalog_stream *here, const lsi_catalog_stream *there)
{
    for (uint32_t i = 0; i < there->shard_count; i++) {
        const lsi_shard *copied = &there->shards[i];
        const lsi_shard *own = lsi_shard_find(here->shards, here->shard_count, copied->index);

        if (own == NULL ? copied->index > here->shards[here->shard_count - 1].index
                        : own->parent != copied->parent || own->adjacent_parent != copied->adjacent_parent ||
                              lsi_u128_compare(own->range.first, copied->range.first) != 0 ||
                              lsi_u128_compare(own->range.last, copied->range.last) != 0 ||
                              (copied->closed && !own->closed))
            return written_to(there->name, "a split or merge");
    }
    return LS_OK;
}

/* B3: every stream and shard of the copy, which goes with what this store no longer names, is or was one of this store.
 * What the segments say is asked when they are copied. */
static ls_status check_history(const lsi_catalog *here, const lsi_catalog *earlier)
{
    ls_status st = LS_OK;

    for (uint32_t i = 0; earlier != NULL && i < earlier->stream_count && st == LS_OK; i++) {
        const lsi_catalog_stream *there = &earlier->streams[i];
        const lsi_catalog_stream *own = lsi_catalog_find_id(here, there->id);

        if (own == NULL ? there->id >= here->next_id
                        : strcmp(own->name, there->name) != 0 || own->created_us != there->created_us)
            st = written_to(there->name, "one");
        else if (own != NULL && there->has_state && !own->has_state)
            st = written_to(there->name, "groups or mappings");
        else if (own != NULL)
            st = check_shards(own, there);
    }
    return st;
}

/* ---- streams ---- */

/* B2. Beside `dir` is where it is for a moment: its name with a zero before it, which nothing else has. Who dies
 * then leaves it there, and the next one takes it back. */
static int make_dir(const lsi_root *root, const char *dir, bool is_named)
{
    const char *last = strrchr(dir, '/');
    int above = last == NULL ? 0 : (int)(last + 1 - dir), result;
    char aside[LSI_LOG_DIR_BYTES + 1];

    (void)snprintf(aside, sizeof(aside), "%.*s0%s", above, dir, dir + above);
    if (!is_named) {
        result = root->files->rename(root, aside, dir);
        if (result != 0 && result != -ENOENT)
            return result;
    }
    result = root->files->make_dir(root, dir);
    if (result != -EEXIST || is_named)
        return result == -EEXIST ? 0 : result;
    result = root->files->rename(root, dir, aside);
    return result == 0 ? root->files->rename(root, aside, dir) : result;
}

/* In the copy, of which `earlier` is what the manifest says of the stream; NULL: nothing. */
static ls_status make_log_dir(const lsi_root *root, const lsi_catalog_stream *stream, uint32_t shard,
                              const lsi_catalog_stream *earlier)
{
    bool is_named = earlier != NULL && (shard == LSI_STATE_SHARD
                        ? earlier->has_state : lsi_shard_find(earlier->shards, earlier->shard_count, shard) != NULL);
    lsi_log_config config;
    int result;

    if (shard == LSI_STATE_SHARD)
        lsi_local_state_place(stream->name, stream->id, &config);
    else
        (void)snprintf(config.dir, sizeof(config.dir), "%" PRIu64 "/%" PRIu32, stream->id, shard); /* 20 + 1 + 10 */
    result = make_dir(root, config.dir, is_named);
    return result == 0 ? LS_OK : lsi_fail_errno(result, "stream '%s': making the directory %s of the copy",
                                                stream->name, config.dir);
}

/* With a `root`, after its directory there was made. */
static ls_status each_log(lsi_local *local, const lsi_catalog_stream *stream, const lsi_catalog_stream *earlier,
                          ls_status (*each)(lsi_log *log, const lsi_root *root, lsi_copy *copy), const lsi_root *root,
                          lsi_copy *copy)
{
    lsi_local_stream *used;
    ls_status st = lsi_local_stream_use(local, stream->id, &used);

    if (st != LS_OK)
        return st;
    /* State first: what it says was done is in what is copied later. */
    for (uint32_t i = stream->has_state ? 0 : 1; st == LS_OK && i <= stream->shard_count; i++) {
        uint32_t shard = i == 0 ? LSI_STATE_SHARD : stream->shards[i - 1].index;
        lsi_log *log;

        st = root == NULL ? LS_OK : make_log_dir(root, stream, shard, earlier);
        if (st == LS_OK)
            st = lsi_local_any_log(used, shard, &log);
        if (st == LS_OK)
            st = lsi_local_stream_explain(used, shard, each(log, root, copy));
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

static ls_status copy_stream(lsi_local *local, const lsi_catalog_stream *stream, const lsi_catalog_stream *earlier,
                             const lsi_root *root, lsi_copy *copy)
{
    char dir[32];
    int result;
    ls_status st;

    (void)snprintf(dir, sizeof(dir), "%" PRIu64, stream->id);
    result = make_dir(root, dir, earlier != NULL);
    if (result != 0)
        return lsi_fail_errno(result, "stream '%s': making the directory %s of the copy", stream->name, dir);
    st = each_log(local, stream, earlier, lsi_log_copy, root, copy);
    if (st == LS_OK) {
        result = root->files->sync_dir(root, dir);
        if (result != 0)
            st = lsi_fail_errno(-result, "stream '%s': syncing the directory %s of the copy", stream->name, dir);
    }
    return st;
}

/* `stream` without the shards that have expired since, in `out`, whose shards are to be freed; their number. */
static ls_status without_expired(lsi_local *local, const lsi_catalog_stream *stream, lsi_catalog_stream *out,
                                 uint32_t *expired)
{
    lsi_local_stream *used;
    ls_status st = lsi_local_stream_use(local, stream->id, &used);

    *expired = 0;
    if (st != LS_OK)
        return st;
    st = lsi_local_stream_recheck(used); /* It is still in use here, perhaps, while another process deletes it. */
    if (st != LS_OK) {
        lsi_local_stream_close(&used->base);
        return st;
    }
    *out = *stream;
    out->shard_count = 0;
    out->shards = lsi_alloc(&local->base.env.memory, stream->shard_count * sizeof(*out->shards));
    if (out->shards == NULL)
        st = lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a list of its shards", stream->name);
    for (uint32_t i = 0; st == LS_OK && i < stream->shard_count; i++) {
        if (lsi_local_shard_is_gone(used, stream->shards[i].index))
            ++*expired;
        else
            out->shards[out->shard_count++] = stream->shards[i];
    }
    lsi_local_stream_close(&used->base);
    return st;
}

/* Leaves out of `*catalog` what was deleted meanwhile, when `st` says so of the stream `id` or of a shard of it; else
 * gives `st` back. */
static ls_status without_deleted(lsi_local *local, lsi_catalog **catalog, uint64_t id, ls_status st)
{
    const lsi_catalog_stream *stream = lsi_catalog_find_id(*catalog, id);
    lsi_catalog_stream rest = {0};
    lsi_error_state why;
    lsi_catalog *fewer;
    uint32_t expired;

    if (st != LS_ERR_NOT_FOUND)
        return st;
    lsi_error_save(&why);
    st = without_expired(local, stream, &rest, &expired);
    if (st == LS_OK && expired == 0) {
        lsi_error_restore(&why); /* The stream is there, and so are its shards: it was something else. */
        st = LS_ERR_NOT_FOUND;
        goto out;
    }
    if (st != LS_OK && st != LS_ERR_NOT_FOUND)
        goto out;
    st = lsi_catalog_copy(*catalog, id, st == LS_OK ? &rest : NULL, &fewer);
    if (st != LS_OK)
        goto out;
    fewer->head = (*catalog)->head;
    lsi_catalog_unref(*catalog);
    *catalog = fewer;
out:
    lsi_free(&local->base.env.memory, rest.shards);
    return st;
}

/* Leaves out of `*catalog` what nobody can read any more. */
static ls_status without_deleting(lsi_catalog **catalog)
{
    for (uint32_t i = 0; i < (*catalog)->stream_count;) {
        lsi_catalog *fewer;
        ls_status st;

        if ((*catalog)->streams[i].status != LS_STREAM_DELETING) {
            i++;
            continue;
        }
        st = lsi_catalog_copy(*catalog, (*catalog)->streams[i].id, NULL, &fewer);
        if (st != LS_OK)
            return st;
        lsi_catalog_unref(*catalog);
        *catalog = fewer;
    }
    return LS_OK;
}

static ls_status copy_all(lsi_local *local, lsi_catalog **catalog, const lsi_catalog *there, const lsi_root *root,
                          lsi_copy *copy)
{
    ls_status st = LS_OK;

    for (int pass = 0; pass < 2; pass++) /* Measured first, for a progress that knows its end. */
        for (uint32_t i = 0; st == LS_OK && i < (*catalog)->stream_count;) {
            uint64_t id = (*catalog)->streams[i].id;
            const lsi_catalog *before = *catalog;
            uint64_t total = copy->total_bytes, done = copy->done_bytes;

            st = pass == 0 ? each_log(local, &(*catalog)->streams[i], NULL, measure, NULL, copy)
                           : copy_stream(local, &(*catalog)->streams[i],
                                         there == NULL ? NULL : lsi_catalog_find_id(there, id), root, copy);
            st = without_deleted(local, catalog, id, st);
            if (st == LS_OK && *catalog == before) {
                i++;
            } else { /* What is left of it once more, or the next one, which has its place. */
                copy->total_bytes = total;
                copy->done_bytes = done;
            }
        }
    return st;
}

/* ---- what an earlier copy has and this one has not ---- */

typedef struct expired_dirs {
    lsi_local *local;
    const lsi_root *root;
    const lsi_catalog_stream *stream;
    ls_status st;
} expired_dirs;

static int remove_expired_dir(void *user, const char *entry, bool is_dir)
{
    expired_dirs *of = user;
    const lsi_catalog_stream *stream = of->stream;
    char dir[LSI_LOG_DIR_BYTES];
    uint32_t index = 0;

    for (const char *at = entry; *at >= '0' && *at <= '9' && index < LSI_SHARD_INDEX_END; at++)
        index = index * 10 + (uint32_t)(*at - '0');
    (void)snprintf(dir, sizeof(dir), "%" PRIu32, index); /* 10 */
    if (!is_dir || strcmp(dir, entry) != 0 || lsi_shard_find(stream->shards, stream->shard_count, index) != NULL)
        return 0;
    (void)snprintf(dir, sizeof(dir), "%" PRIu64 "/%" PRIu32, stream->id, index); /* 20 + 1 + 10 */
    of->st = lsi_local_remove_tree(&of->local->base.env, of->root, dir, INT64_MAX);
    return of->st == LS_OK ? 0 : 1;
}

/* What the copy's manifest no longer names. */
static ls_status remove_rest(lsi_local *local, const lsi_root *root, const lsi_catalog *earlier,
                             const lsi_catalog *catalog)
{
    char dir[LSI_LOG_DIR_BYTES];
    ls_status st = LS_OK;

    for (uint32_t i = 0; st == LS_OK && earlier != NULL && i < earlier->stream_count; i++) {
        if (lsi_catalog_find_id(catalog, earlier->streams[i].id) != NULL)
            continue;
        (void)snprintf(dir, sizeof(dir), "%" PRIu64, earlier->streams[i].id); /* 20 */
        st = lsi_local_remove_tree(&local->base.env, root, dir, INT64_MAX);
    }
    for (uint32_t i = 0; st == LS_OK && i < catalog->stream_count; i++) {
        expired_dirs of = {local, root, &catalog->streams[i], LS_OK};
        int result;

        (void)snprintf(dir, sizeof(dir), "%" PRIu64, catalog->streams[i].id); /* 20 */
        result = root->files->list(root, dir, remove_expired_dir, &of);
        st = result >= 0 ? of.st : lsi_fail_errno(result, "listing the directory %s of the copy", dir);
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
    result = local->root.files->root_holds != NULL ? local->root.files->root_holds(&local->root, path) : 0;
    if (result > 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "'%s' lies within the store: a copy goes elsewhere", path);
    /* What cannot be looked at says so when it is opened. */
    result = files->root_open(files, path, LSI_ROOT_CREATE | LSI_ROOT_WRITE | LSI_ROOT_SYNC_NAME, &root);
    if (result == -ENOENT)
        return lsi_fail(LS_ERR_NOT_FOUND, "'%s' cannot be made: there is no directory to make it in", path);
    if (result != 0)
        return lsi_fail_errno(-result, "opening the directory '%s' for the copy", path);
    root.make_room = local->root.make_room;
    root.room_user = local->root.room_user;
    if (files->root_claim != NULL && files->root_claim(&root) == -EWOULDBLOCK)
        st = lsi_fail(LS_ERR_STATE, "another backup into '%s' is under way", path);
    if (st == LS_OK)
        st = check_target(local, &root, path, &earlier);
    if (st == LS_OK)
        st = lsi_local_catalog_read(local, &catalog);
    if (st == LS_OK)
        st = check_history(catalog, earlier);
    if (st == LS_OK)
        st = without_deleting(&catalog);
    if (st == LS_OK)
        st = copy_all(local, &catalog, earlier, &root, &copy);
    if (st == LS_OK) {
        result = root.files->sync_dir(&root, ""); /* the streams' names, before the manifest that names them (R6) */
        if (result != 0)
            st = lsi_fail_errno(-result, "syncing the directory '%s'", path);
    }
    if (st == LS_OK)
        st = lsi_local_catalog_write(&local->base.env, &root, catalog); /* B2 */
    if (st == LS_OK)
        st = remove_rest(local, &root, earlier, catalog);
    lsi_catalog_unref(earlier);
    lsi_catalog_unref(catalog);
    root.files->root_close(&root);
    return st;
}
