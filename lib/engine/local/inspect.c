/* A store seen from outside: walks it through its manifest, for unstable/inspect.h.
 *
 * Verifying and status open nothing: they read files and the control file's bytes. Repairing attaches, and holds the
 * gate all the time, so that nobody can open the store while its files are being changed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

#define PATH_BYTES 512

static ls_status root_open(const lsi_env *env, const char *path, bool write, bool network_allowed, lsi_root *root)
{
    lsi_fs_kind kind;
    int result = env->files->root_open(env->files, path, write ? LSI_ROOT_WRITE : 0, root);

    if (result == -ENOENT || result == -ENOTDIR)
        return lsi_fail(LS_ERR_NOT_FOUND, "'%s' is no directory", path);
    if (result != 0)
        return lsi_fail_errno(result, "cannot open the directory '%s'", path);
    result = env->files->root_kind(root, &kind);
    if (result == 0 && (kind != LSI_FS_NETWORK || network_allowed))
        return LS_OK;
    env->files->root_close(root);
    if (result != 0)
        return lsi_fail_errno(result, "cannot tell the file system of '%s'", path);
    return lsi_fail(LS_ERR_UNSUPPORTED, "'%s' is on a network file system", path);
}

static bool is_stream_dir(const char *entry)
{
    return *entry >= '1' && *entry <= '9' && entry[strspn(entry, "0123456789")] == '\0';
}

static int stream_dir_stop(void *user, const char *entry, bool is_dir)
{
    (void)user;
    return (is_dir && is_stream_dir(entry)) || strcmp(entry, LSI_MANIFEST_COPY_NAME) == 0;
}

/* NOT_FOUND: there is none. `*is_store`: all the same there are streams, or a copy of it. Those are looked for after
 * it, and somebody may have made the store in between: so it is looked for once more. */
static ls_status load_catalog(const lsi_env *env, const lsi_root *root, lsi_catalog **out, bool *is_store)
{
    ls_status st = lsi_local_catalog_load(env, root, out);

    *is_store = true;
    if (st != LS_ERR_NOT_FOUND)
        return st;
    *is_store = root->files->list(root, "", stream_dir_stop, NULL) == 1;
    return *is_store ? lsi_local_catalog_load(env, root, out) : st;
}

/* ---- what nothing names ---- */

typedef struct strays {
    const lsi_root *root;
    const lsi_catalog *catalog;
    bool beside; /* somebody has the store open: it may be about to be named */
    lsi_inspection *inspection;
} strays;

static int stray_note(void *user, const char *entry, bool is_dir)
{
    const strays *known = user;
    ls_finding finding = {.severity = LS_FINDING_NOTE, .kind = LS_FINDING_STRAY_FILE, .file = entry,
                          .advice = "nothing to do: upkeep removes what a killed process left (now: "
                                    "`lstream maintain`)"};
    uint64_t id = 0;

    if (lsi_is_kept(entry)) {
        finding.advice = "nothing to do; it may be removed once nobody wants to look at it";
        lsi_inspection_tell(known->inspection, &finding, "%s%s was kept by a repair", entry, is_dir ? "/" : "");
        return 0;
    }
    if (known->beside || strcmp(entry, LSI_MANIFEST_NAME) == 0 || strcmp(entry, LSI_MANIFEST_COPY_NAME) == 0 ||
        strcmp(entry, LSI_CONTROL_NAME) == 0 || strcmp(entry, LSI_RESERVE_NAME) == 0)
        return 0;
    if (is_stream_dir(entry)) { /* Or what stands in its place, which is told as damage. */
        for (const char *at = entry; *at != '\0'; at++)
            id = id * 10 + (uint64_t)(*at - '0');
        if (lsi_catalog_find_id(known->catalog, id) != NULL ||
            (is_dir && lsi_local_unnamed_stream(known->root, known->catalog, entry, id, known->inspection)))
            return 0;
    }
    lsi_inspection_tell(known->inspection, &finding, "%s%s is named by nothing", entry, is_dir ? "/" : "");
    return 0;
}

/* ---- verify and repair ---- */

/* `shard` NULL: of the stream's state. */
static void log_config(const lsi_env *env, const lsi_root *root, const lsi_catalog *catalog,
                       const lsi_catalog_stream *stream, const lsi_shard *shard, lsi_log_config *out)
{
    const lsi_shard state = {.index = LSI_STATE_SHARD, .first_seqno = 1};

    memset(out, 0, sizeof(*out));
    out->env = env;
    out->root = root;
    memcpy(out->store_id, catalog->store_id, sizeof(out->store_id));
    out->stream = stream->id;
    out->durability = catalog->durability;
    out->segment_bytes = catalog->segment_bytes;
    out->prealloc_bytes = LS_PREALLOC_NONE;
    if (shard == NULL) {
        shard = &state;
        lsi_local_state_place(stream->name, stream->id, out);
    } else {
        (void)snprintf(out->dir, sizeof(out->dir), "%" PRIu64 "/%" PRIu32, stream->id, shard->index);
        (void)snprintf(out->label, sizeof(out->label), "stream '%s' shard %" PRIu32, stream->name, shard->index);
    }
    out->shard = shard->index;
    out->first_seqno = shard->first_seqno;
    out->is_closed = shard->closed;
    out->end = shard->end;
}

/* Each shard of each stream, or of the one that is asked for. `control` NULL: verify only. */
static ls_status each_log(const lsi_env *env, const lsi_root *root, const lsi_catalog *catalog, const char *only,
                          lsi_peek *peek, lsi_control *control, lsi_inspection *inspection)
{
    ls_status st = LS_OK;

    if (only != NULL && lsi_catalog_find(catalog, only) == NULL)
        return lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' does not exist", only);
    for (uint32_t i = 0; st == LS_OK && i < catalog->stream_count && !inspection->stopped; i++) {
        const lsi_catalog_stream *stream = &catalog->streams[i];

        if (only != NULL && strcmp(only, stream->name) != 0)
            continue;
        inspection->summary.streams++;
        inspection->stream = stream->name;
        inspection->stream_id = stream->id;
        for (uint32_t k = 0; st == LS_OK && k < stream->shard_count + stream->has_state && !inspection->stopped; k++) {
            const lsi_shard *shard = k < stream->shard_count ? &stream->shards[k] : NULL;
            lsi_log_config config;

            inspection->shard = shard != NULL ? shard->index : LS_STATE_SHARD;
            log_config(env, root, catalog, stream, shard, &config);
            config.control = control;
            config.read_only = control == NULL;
            st = control == NULL ? lsi_log_verify(&config, peek, inspection) : lsi_log_repair(&config, inspection);
        }
    }
    inspection->stream = "";
    inspection->stream_id = 0;
    inspection->shard = LS_NO_SHARD;
    return st;
}

/* Something that is no file stands where the control file should. Who moves it away must be the only one to do so: a
 * second one would move the control file that the first one made. So the manifest is locked, which nobody else does; or
 * its copy, where that is to be put in its place: whoever does has made the control file before. `locked`: which. */
static ls_status move_misfit(const lsi_env *env, const lsi_root *root, const char *locked,
                             char kept[LSI_KEPT_NAME_BYTES])
{
    const lsi_files *files = root->files;
    lsi_file manifest = {0};
    lsi_peek now = {.env = env};
    int result = files->open(root, locked, LSI_OPEN_WRITE, &manifest);
    ls_status st;

    if (result != 0)
        return lsi_fail_errno(result, "cannot open %s", locked);
    result = files->lock(&manifest, 0, LSI_LOCK_EXCLUSIVE);
    if (result == -EAGAIN)
        st = lsi_fail(LS_ERR_STATE, "somebody else is repairing the store; nothing was changed");
    else if (result != 0)
        st = lsi_fail_errno(result, "cannot lock %s", locked);
    else
        st = lsi_peek_open(env, root, NULL, &now); /* once more: it may have been moved meanwhile */
    if (st == LS_OK && now.misfit != NULL)
        st = lsi_set_aside(root, "", LSI_CONTROL_NAME, kept);
    lsi_peek_close(&now);
    (void)files->close(&manifest); /* Nothing was written. */
    return st;
}

/* The manifest cannot be used, and its copy can. `kept` NULL: it was not put in its place. */
static void tell_copy(const char *cause, const char *kept, lsi_inspection *inspection)
{
    char done[LSI_KEPT_NAME_BYTES + 64];
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_MANIFEST, .file = LSI_MANIFEST_NAME,
                          .repairable = 1, .repaired = kept != NULL,
                          .advice = "`lstream repair` puts its copy, `" LSI_MANIFEST_COPY_NAME
                                    "`, in its place and keeps the damaged one"};

    if (kept != NULL) {
        (void)snprintf(done, sizeof(done), "its copy was put in its place%s%s",
                       kept[0] != '\0' ? "; the damaged one was kept as " : "", kept);
        finding.advice = done;
    }
    lsi_inspection_tell(inspection, &finding, "%s: no stream can be opened until its copy is put in its place: nothing "
                        "is lost", cause);
}

/* Somebody else may have done it just now. Locks: gate held, and nobody else attached. */
static ls_status restore_manifest(const lsi_env *env, const lsi_root *root, lsi_control *control, lsi_catalog *copy,
                                  const char *cause, lsi_inspection *inspection)
{
    char kept[LSI_KEPT_NAME_BYTES] = "";
    lsi_catalog *there;
    ls_status st = lsi_local_catalog_load(env, root, &there);

    if (st == LS_OK) {
        lsi_catalog_unref(there);
        return lsi_fail(LS_ERR_STATE, "somebody else has put the manifest back just now: try again");
    }
    lsi_control_manifest_changing(control); /* Who opens the store next makes the slots agree with it (L3). */
    st = lsi_local_copy_restore(env, root, copy, kept);
    if (st == LS_OK)
        tell_copy(cause, kept, inspection);
    return st;
}

/* `cause`: why the manifest cannot be used, and `catalog` is its copy's; NULL: it can. */
static ls_status repair_store(const lsi_env *env, const lsi_root *root, lsi_catalog *catalog, const char *cause,
                              const char *only, lsi_inspection *inspection)
{
    char kept[LSI_KEPT_NAME_BYTES] = "";
    lsi_control *control = NULL;
    lsi_gate *gate = NULL;
    lsi_peek before = {0};
    bool alone = false, is_copy = false;
    ls_status st = lsi_peek_open(env, root, catalog->store_id, &before);

    if (st == LS_OK && before.misfit != NULL) {
        st = move_misfit(env, root, cause != NULL ? LSI_MANIFEST_COPY_NAME : LSI_MANIFEST_NAME, kept);
    } else if (st == LS_OK && lsi_file_is_open(&before.file) && !before.whole && !before.alive) {
        is_copy = true;
        st = lsi_keep_aside(env, root, "", LSI_CONTROL_NAME, UINT64_MAX, kept);
    }
    if (st == LS_OK)
        st = lsi_control_open(env, root, catalog->store_id, false, &control, &alone);
    if (st == LS_OK)
        st = lsi_control_gate(env, root, &gate); /* From here on nobody gets in. */
    if (st == LS_OK && !lsi_control_is_alone(control))
        st = lsi_fail(LS_ERR_STATE, "somebody has the store open: stop them first (`lstream status` shows who); "
                                    "nothing was changed");
    if (st == LS_OK) {
        if (cause != NULL)
            st = restore_manifest(env, root, control, catalog, cause, inspection);
        if (kept[0] != '\0')
            lsi_peek_verify(&before, kept, inspection);
        if (st == LS_OK)
            st = lsi_local_copy_verify(env, root, false, true, inspection);
        lsi_local_reserve_verify(root, true, inspection);
        if (st == LS_OK)
            st = each_log(env, root, catalog, only, NULL, control, inspection);
    } else if (is_copy && kept[0] != '\0') {
        (void)root->files->unlink(root, kept); /* A copy of what is still there. */
    }
    lsi_control_gate_release(gate);
    lsi_control_close(control);
    lsi_peek_close(&before);
    return st;
}

ls_status lsi_local_inspect(const lsi_env *env, const char *path, const ls_inspect_options *options, bool repair,
                            lsi_inspection *inspection)
{
    lsi_root root = {0};
    lsi_catalog *catalog = NULL;
    lsi_peek peek = {0};
    lsi_error_state why;
    char cause[LSI_MESSAGE_BYTES];
    bool is_copy = false, is_store;
    ls_status st =
        root_open(env, path, repair, (options->flags & LS_INSPECT_NETWORK_FS_ALLOWED) != 0, &root), manifest;

    inspection->stream = "";
    inspection->shard = LS_NO_SHARD;
    if (st != LS_OK)
        return st;
    st = manifest = load_catalog(env, &root, &catalog, &is_store);
    if (!is_store) {
        st = lsi_fail(LS_ERR_NOT_FOUND, "'%s' holds no store", path);
        goto out;
    }
    if (st == LS_ERR_NOT_FOUND || lsi_local_is_damage(st)) {
        lsi_error_save(&why);
        (void)snprintf(cause, sizeof(cause), "%s",
                       st == LS_ERR_NOT_FOUND ? LSI_MANIFEST_NAME " is not there" : why.message);
        st = lsi_local_copy_find(env, &root, &catalog);
        is_copy = st == LS_OK;
        if (st != LS_OK && st != LS_ERR_NO_MEMORY) {
            lsi_error_restore(&why);
            st = lsi_local_inspect_no_manifest(env, &root, path, manifest, inspection);
        }
    }
    if (st != LS_OK || catalog == NULL)
        goto out;
    if (repair) {
        st = repair_store(env, &root, catalog, is_copy ? cause : NULL, options->stream, inspection);
        goto out;
    }
    if (is_copy)
        tell_copy(cause, NULL, inspection);
    st = lsi_peek_open(env, &root, catalog->store_id, &peek);
    if (st != LS_OK)
        goto out;
    lsi_peek_verify(&peek, NULL, inspection);
    if (!is_copy)
        st = lsi_local_copy_verify(env, &root, peek.alive, false, inspection);
    lsi_local_reserve_verify(&root, false, inspection);
    if (st == LS_OK)
        st = each_log(env, &root, catalog, options->stream, &peek, NULL, inspection);
    if (st == LS_OK && options->stream == NULL) {
        strays known = {&root, catalog, peek.alive, inspection};
        int result = root.files->list(&root, "", stray_note, &known);

        if (result != 0)
            st = lsi_fail_errno(result, "cannot list the directory '%s'", path);
        if (st == LS_OK && !peek.alive)
            lsi_local_unnamed_shards(&root, catalog, inspection);
    }
    lsi_peek_close(&peek);
out:
    lsi_catalog_unref(catalog);
    root.files->root_close(&root);
    return st;
}

/* ---- status ---- */

typedef struct space {
    const lsi_root *root;
    const char *dir;
    unsigned depth;
    uint64_t files, bytes;
} space;

/* Adds a file, or a directory with what is in it, two levels deep. What vanishes meanwhile does not count. */
static int space_add(void *user, const char *entry, bool is_dir)
{
    space *sum = user;
    char name[PATH_BYTES];
    uint64_t size;
    lsi_file file;
    int written = snprintf(name, sizeof(name), "%s%s%s", sum->dir, sum->dir[0] != '\0' ? "/" : "", entry);

    if (written < 0 || (size_t)written >= sizeof(name))
        return 0;
    if (is_dir) {
        space below = {.root = sum->root, .dir = name, .depth = sum->depth + 1};

        if (sum->depth < 3)
            (void)sum->root->files->list(sum->root, name, space_add, &below);
        sum->files += below.files;
        sum->bytes += below.bytes;
    } else if (sum->root->files->open(sum->root, name, 0, &file) == 0) {
        if (file.files->size(&file, &size) == 0) {
            sum->files++;
            sum->bytes += size;
        }
        (void)file.files->close(&file); /* It was only looked at. */
    }
    return 0;
}

typedef struct status_walk {
    const lsi_env *env;
    const lsi_root *root;
    const lsi_catalog *catalog;
    const ls_inspect_callbacks *callbacks;
    void *user;
    bool current;
} status_walk;

static void status_process(void *user, const lsi_attached *attached)
{
    const status_walk *walk = user;
    ls_inspect_process process = {.size = sizeof(process), .pid = attached->pid, .alive = attached->alive,
                                  .read_only = attached->read_only, .attached_us = attached->attached_us};

    walk->callbacks->process(&process, walk->user);
}

/* Without its list a shard refuses everything, whatever its slot says. `shard` NULL: the stream's state. */
static bool has_list(const status_walk *walk, const lsi_catalog_stream *stream, const lsi_shard *shard)
{
    const lsi_catalog_stream *now;
    lsi_catalog *catalog;
    lsi_log_config config;
    lsi_error_state before;
    bool has;

    lsi_error_save(&before);
    log_config(walk->env, walk->root, walk->catalog, stream, shard, &config);
    has = lsi_log_check_list(&config) == LS_OK;
    if (!has && lsi_local_catalog_load(walk->env, walk->root, &catalog) == LS_OK) {
        now = lsi_catalog_find_id(catalog, stream->id);
        has = now == NULL || /* It went just now. */
            (shard != NULL && lsi_shard_find(now->shards, now->shard_count, shard->index) == NULL);
        lsi_catalog_unref(catalog);
    }
    lsi_error_restore(&before);
    return has;
}

static void status_shard(void *user, const lsi_slot *slot)
{
    const status_walk *walk = user;
    uint64_t id = atomic_load_explicit(&slot->stream, memory_order_relaxed);
    uint32_t health = atomic_load_explicit(&slot->health, memory_order_relaxed);
    const lsi_catalog_stream *stream = lsi_catalog_find_id(walk->catalog, id);
    ls_inspect_shard shard = {.size = sizeof(shard), .shard = slot->shard, .stream_id = id};
    const lsi_shard *named;

    if (stream == NULL || health == LSI_SHARD_FRESH)
        return;
    named = lsi_shard_find(stream->shards, stream->shard_count, slot->shard); /* NULL for the state too */
    if (named == NULL && !(stream->has_state && slot->shard == LSI_STATE_SHARD))
        return;
    shard.stream = stream->name;
    shard.health = health == LSI_SHARD_FAILED ? LS_ERR_IO : health == LSI_SHARD_DAMAGED ? LS_ERR_CORRUPT : LS_OK;
    if (shard.health == LS_OK && !has_list(walk, stream, named))
        shard.health = LS_ERR_CORRUPT;
    shard.failed_errno = (int32_t)atomic_load_explicit(&slot->failed_errno, memory_order_relaxed);
    shard.torn_count = atomic_load_explicit(&slot->torn_count, memory_order_relaxed);
    shard.append_lock_holder = lsi_peek_lock_holder(&slot->append_lock);
    shard.sync_lock_holder = lsi_peek_lock_holder(&slot->sync_lock);
    shard.committed_end = atomic_load_explicit(&slot->committed_end, memory_order_relaxed);
    shard.durable_end = lsi_slot_kept_end(slot);
    shard.next_seqno = atomic_load_explicit(&slot->next_seqno, memory_order_relaxed);
    walk->callbacks->shard(&shard, walk->user);
}

/* The open shards of a stream that have no slot to speak for them, and cannot get one. */
static void status_lost_shards(const status_walk *walk, const lsi_catalog_stream *stream, const lsi_peek *peek)
{
    for (uint32_t i = 0; i < stream->shard_count + stream->has_state; i++) {
        const lsi_shard *shard = i < stream->shard_count ? &stream->shards[i] : NULL; /* NULL: the state */
        ls_inspect_shard lost = {.size = sizeof(lost), .shard = shard != NULL ? shard->index : LS_STATE_SHARD,
                                 .stream_id = stream->id, .stream = stream->name, .health = LS_ERR_CORRUPT};
        const lsi_slot *slot;

        if ((shard != NULL && shard->closed) || has_list(walk, stream, shard))
            continue;
        slot = peek->current ? lsi_peek_slot(peek, LSI_SLOT_SHARD, stream->id, lost.shard) : NULL;
        if (slot == NULL || atomic_load_explicit(&slot->health, memory_order_relaxed) == LSI_SHARD_FRESH)
            walk->callbacks->shard(&lost, walk->user);
    }
}

static void status_store(const lsi_root *root, const lsi_catalog *catalog, const lsi_peek *peek,
                         const status_walk *walk)
{
    ls_inspect_store store = {.size = sizeof(store), .durability = catalog->durability,
                              .segment_bytes = catalog->segment_bytes, .stream_count = catalog->stream_count,
                              .store_lock_holder = lsi_peek_store_lock_holder(peek),
                              .control_is_current = peek->current};
    space sum = {.root = root, .dir = ""};

    memcpy(store.store_id, catalog->store_id, sizeof(store.store_id));
    (void)root->files->list(root, "", space_add, &sum); /* What cannot be listed does not count. */
    store.bytes = sum.bytes;
    (void)root->files->root_free_bytes(root, &store.free_bytes); /* 0 where it is not known. */
    walk->callbacks->store(&store, walk->user);
}

static void status_cuts(const lsi_peek *peek, ls_inspect_stream *stream)
{
    const lsi_slot *slot = peek->current ? lsi_peek_slot(peek, LSI_SLOT_STREAM, stream->stream_id, 0) : NULL;
    lsi_cuts cuts = {0};

    if (slot != NULL)
        cuts = lsi_local_cuts_of(slot);
    stream->cut_count = cuts.count;
    stream->cut_records = cuts.sum.records;
    stream->cut_bytes = cuts.sum.bytes;
    stream->cut_lag_ms = cuts.sum.ms;
    stream->cut_last_us = cuts.last_us;
}

ls_status lsi_local_inspect_status(const lsi_env *env, const char *path, const ls_inspect_callbacks *callbacks,
                                   void *user)
{
    lsi_root root = {0};
    lsi_catalog *catalog = NULL;
    lsi_peek peek = {0};
    status_walk walk = {.env = env, .root = &root, .callbacks = callbacks, .user = user};
    ls_status st = root_open(env, path, false, true, &root), manifest;
    bool is_store;

    if (st != LS_OK)
        return st;
    manifest = load_catalog(env, &root, &catalog, &is_store);
    if (manifest == LS_ERR_NOT_FOUND && !is_store)
        st = lsi_fail(LS_ERR_NOT_FOUND, "'%s' holds no store", path);
    else if (manifest == LS_ERR_NOT_FOUND)
        manifest = lsi_fail(LS_ERR_CORRUPT, "'%s' holds streams, but its manifest is missing", path);
    if (st == LS_OK && manifest != LS_OK && manifest != LS_ERR_CORRUPT)
        st = manifest;
    if (st == LS_OK) {
        lsi_error_state why;

        lsi_error_save(&why);
        st = lsi_peek_open(env, &root, catalog != NULL ? catalog->store_id : NULL, &peek);
        if (st == LS_OK)
            lsi_error_restore(&why);
        if (st == LS_OK && manifest == LS_OK && peek.misfit != NULL)
            manifest = lsi_fail(LS_ERR_CORRUPT, "%s %s: who uses the store is not known", LSI_CONTROL_NAME,
                                peek.misfit);
    }
    if (st != LS_OK)
        goto out;
    walk.catalog = catalog;
    if (catalog != NULL && callbacks->store != NULL)
        status_store(&root, catalog, &peek, &walk);
    if (callbacks->process != NULL)
        lsi_peek_each_process(&peek, status_process, &walk);
    for (uint32_t i = 0; catalog != NULL && callbacks->stream != NULL && i < catalog->stream_count; i++) {
        const lsi_catalog_stream *from = &catalog->streams[i];
        ls_inspect_stream stream = {.size = sizeof(stream), .shards = from->shard_count, .stream_id = from->id,
                                    .stream = from->name};
        char dir[32];
        space sum = {.root = &root, .dir = dir, .depth = 1};

        (void)snprintf(dir, sizeof(dir), "%" PRIu64, from->id);
        (void)root.files->list(&root, dir, space_add, &sum); /* Deleted meanwhile: nothing is there. */
        stream.files = sum.files;
        stream.bytes = sum.bytes;
        status_cuts(&peek, &stream);
        callbacks->stream(&stream, user);
    }
    if (catalog != NULL && callbacks->shard != NULL && peek.current)
        lsi_peek_each_slot(&peek, status_shard, &walk);
    for (uint32_t i = 0; catalog != NULL && callbacks->shard != NULL && i < catalog->stream_count; i++)
        status_lost_shards(&walk, &catalog->streams[i], &peek);
    lsi_peek_close(&peek);
    st = manifest;
out:
    lsi_catalog_unref(catalog);
    root.files->root_close(&root);
    return st;
}

/* ---- dump ---- */

static void dump_catalog(lsi_dump *dump, const lsi_catalog *catalog)
{
    char id[33];

    for (size_t i = 0; i < 16; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", catalog->store_id[i]);
    lsi_dump_line(dump, "store %s durability %" PRId32, id, catalog->durability);
    lsi_dump_line(dump, "sync interval %" PRIu32 " ms, segments of %" PRIu64 " bytes", catalog->sync_interval_ms,
                  catalog->segment_bytes);
    lsi_dump_line(dump, "next stream id %" PRIu64 ", streams: %" PRIu32, catalog->next_id, catalog->stream_count);
    for (uint32_t i = 0; i < catalog->stream_count && !dump->stopped; i++) {
        const lsi_catalog_stream *stream = &catalog->streams[i];

        lsi_dump_line(dump, "stream %" PRIu64 " '%s'", stream->id, stream->name);
        lsi_dump_line(dump, "    created %" PRId64 " us retention %" PRIu32 " h mode %" PRId32, stream->created_us,
                      stream->retention_hours, stream->mode);
        lsi_dump_line(dump, "    records up to %" PRIu32 " bytes, shards: %" PRIu32, stream->record_bytes_max,
                      stream->shard_count);
        lsi_dump_line(dump, "    a second: %" PRIu32 " bytes and %" PRIu32 " records in, %" PRIu32 " bytes and %" PRIu32
                      " reads out", stream->rates.write_bytes, stream->rates.write_records, stream->rates.read_bytes,
                      stream->rates.read_calls);
        if (lsi_auto_scaling_is_on(&stream->auto_scaling))
            lsi_dump_line(dump, "    scaled automatically: above %" PRIu32 " %% for %" PRIu32 " s split, below %" PRIu32
                          " %% for %" PRIu32 " s merged, %" PRIu32 "..%" PRIu32 " open shards",
                          stream->auto_scaling.hot_percent, stream->auto_scaling.hot_seconds,
                          stream->auto_scaling.cold_percent, stream->auto_scaling.cold_seconds,
                          stream->auto_scaling.shards_min, stream->auto_scaling.shards_max);
        if (stream->has_state)
            lsi_dump_line(dump, "    has state");
        for (uint32_t k = 0; k < stream->consumer_count && !dump->stopped; k++)
            lsi_dump_line(dump, "    consumer %" PRIu64 " '%s' created %" PRId64 " us", stream->consumers[k].id,
                          stream->consumers[k].name, stream->consumers[k].created_us);
        for (uint32_t k = 0; k < stream->shard_count && !dump->stopped; k++) {
            const lsi_shard *shard = &stream->shards[k];

            lsi_dump_line(dump, "    shard %" PRIu32 " %s first seqno %" PRIu64, shard->index,
                          shard->closed ? "closed" : "open", shard->first_seqno);
            lsi_dump_line(dump, "        %016" PRIx64 "%016" PRIx64 "..%016" PRIx64 "%016" PRIx64,
                          shard->range.first.high,
                          shard->range.first.low, shard->range.last.high, shard->range.last.low);
        }
    }
}

ls_status lsi_local_dump(const lsi_env *env, const char *path, ls_inspect_line_callback line, void *user)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char *dir = lsi_strdup(&env->memory, slash == NULL ? "." : path);
    lsi_root root = {0};
    lsi_dump dump = {.env = env, .root = &root, .path = path, .line = line, .user = user};
    lsi_catalog *catalog;
    void *payload = NULL;
    size_t payload_size;
    ls_status st;

    if (dir == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "'%s': no memory", path);
    if (slash != NULL)
        dir[slash == path ? 1 : slash - path] = '\0';
    st = root_open(env, dir, false, true, &root);
    lsi_free(&env->memory, dir);
    if (st != LS_OK)
        return st;
    st = lsi_dump_file(&dump, name, &payload, &payload_size);
    if (st == LS_OK && payload != NULL) {
        st = lsi_catalog_decode(&env->memory, payload, payload_size, &catalog);
        if (st == LS_OK) {
            dump_catalog(&dump, catalog);
            lsi_catalog_unref(catalog);
        }
    }
    lsi_free(&env->memory, payload);
    root.files->root_close(&root);
    if (st == LS_OK && dump.damaged)
        st = lsi_fail(LS_ERR_CORRUPT, "'%s' is damaged, as shown", path);
    return st;
}
