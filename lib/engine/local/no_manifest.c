/* A store whose manifest cannot be used, seen from outside. Names, settings and hash ranges are nowhere else, but the
 * logs can be checked without it: directories are named by ids, and a segment's header says whose it is. So an operator
 * learns how much waits for the manifest, and whether that is whole. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

#define SHOWN_BYTES 200

typedef struct ids {
    const lsi_memory *memory;
    uint64_t *ids;
    size_t count, capacity;
} ids;

/* Directories that are called as streams' and shards' are: by a number as we write it. */
static int id_note(void *user, const char *entry, bool is_dir)
{
    ids *found = user;
    char *end;
    uint64_t id;

    if (!is_dir || *entry < '0' || *entry > '9' || (*entry == '0' && entry[1] != '\0') || strlen(entry) > 19)
        return 0;
    id = strtoull(entry, &end, 10);
    if (*end != '\0')
        return 0;
    if (!lsi_grow(found->memory, (void **)&found->ids, &found->capacity, found->count + 1, sizeof(*found->ids)))
        return -ENOMEM;
    found->ids[found->count++] = id;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static ls_status ids_in(const lsi_env *env, const lsi_root *root, const char *dir, ids *out)
{
    int result;

    *out = (ids){.memory = &env->memory};
    result = root->files->list(root, dir, id_note, out);
    if (result < 0) {
        lsi_free(&env->memory, out->ids);
        return lsi_fail_errno(result, "cannot list the directory '%s'", dir);
    }
    if (out->count > 0)
        qsort(out->ids, out->count, sizeof(*out->ids), by_number);
    return LS_OK;
}

/* What the manifest would say, as far as it is known. */
static void log_config(const lsi_env *env, const lsi_root *root, uint64_t stream, uint32_t shard, lsi_log_config *out)
{
    memset(out, 0, sizeof(*out));
    out->env = env;
    out->root = root;
    out->stream = stream;
    out->shard = shard;
    out->durability = LS_DURABILITY_KERNEL;
    out->segment_bytes = LSI_SEGMENT_BYTES_DEFAULT;
    out->prealloc_bytes = LS_PREALLOC_NONE;
    out->first_seqno = 1;
    out->read_only = true;
    (void)snprintf(out->dir, sizeof(out->dir), "%" PRIu64 "/%" PRIu32, stream, shard);
    (void)snprintf(out->label, sizeof(out->label), "stream id %" PRIu64 " shard %" PRIu32, stream, shard);
}

typedef struct walk {
    const lsi_env *env;
    const lsi_root *root;
    lsi_inspection *inspection;
    lsi_peek peek;
    bool is_known; /* whose store it is: from the first header that can be read */
    unsigned char store_id[16];
} walk;

static ls_status log_verify(walk *of, uint64_t stream, uint32_t shard)
{
    lsi_log_config config, owner;

    log_config(of->env, of->root, stream, shard, &config);
    owner = config;
    if (!of->is_known && lsi_log_identify(&owner)) {
        ls_status st = lsi_peek_open(of->env, of->root, owner.store_id, &of->peek);

        if (st != LS_OK)
            return st;
        memcpy(of->store_id, owner.store_id, sizeof(of->store_id));
        of->is_known = true;
    }
    memcpy(config.store_id, of->store_id, sizeof(config.store_id));
    of->inspection->stream_id = stream;
    of->inspection->shard = shard;
    return lsi_log_verify(&config, &of->peek, of->inspection);
}

static ls_status stream_verify(walk *of, uint64_t stream)
{
    char dir[32];
    ids shards;
    ls_status st;

    (void)snprintf(dir, sizeof(dir), "%" PRIu64, stream);
    st = ids_in(of->env, of->root, dir, &shards);
    if (st != LS_OK)
        return st;
    of->inspection->summary.streams++;
    for (size_t i = 0; st == LS_OK && i < shards.count && !of->inspection->stopped; i++)
        if (shards.ids[i] < LS_NO_SHARD)
            st = log_verify(of, stream, (uint32_t)shards.ids[i]);
    lsi_free(&of->env->memory, shards.ids);
    return st;
}

/* ---- whose it is ---- */

typedef struct owners {
    const unsigned char *store_id;
    uint32_t known, others; /* logs of which some header can be read; those of another store */
} owners;

static ls_status count_owners(const lsi_env *env, const lsi_root *root, uint64_t stream, owners *of)
{
    lsi_log_config config;
    char dir[32];
    ids shards;
    ls_status st;

    (void)snprintf(dir, sizeof(dir), "%" PRIu64, stream);
    st = ids_in(env, root, dir, &shards);
    if (st != LS_OK)
        return st;
    for (size_t i = 0; i < shards.count && of->known == of->others; i++) {
        if (shards.ids[i] >= LS_NO_SHARD)
            continue;
        log_config(env, root, stream, (uint32_t)shards.ids[i], &config);
        if (!lsi_log_identify(&config))
            continue;
        of->known++;
        of->others += memcmp(config.store_id, of->store_id, sizeof(config.store_id)) != 0;
    }
    lsi_free(&env->memory, shards.ids);
    return LS_OK;
}

/* The segments are the truth: one of them is enough. The control file is asked where none can be read. */
ls_status lsi_local_is_of_store(const lsi_env *env, const lsi_root *root, const unsigned char store_id[16], bool *out)
{
    owners of = {.store_id = store_id};
    lsi_peek any = {.env = env}, ours = {.env = env};
    ids streams;
    ls_status st = ids_in(env, root, "", &streams);

    for (size_t i = 0; st == LS_OK && i < streams.count && of.known == of.others; i++)
        st = count_owners(env, root, streams.ids[i], &of);
    lsi_free(&env->memory, streams.ids);
    *out = of.known > of.others;
    if (st == LS_OK && of.known == 0) {
        st = lsi_peek_open(env, root, NULL, &any);
        if (st == LS_OK)
            st = lsi_peek_open(env, root, store_id, &ours);
        *out = !any.whole || ours.whole;
        lsi_peek_close(&any);
        lsi_peek_close(&ours);
    }
    return st;
}

/* ---- telling ---- */

static void show_ids(const ids *streams, char shown[SHOWN_BYTES])
{
    size_t size = 0;

    for (size_t i = 0; i < streams->count && size + 30 < SHOWN_BYTES; i++)
        size += (size_t)snprintf(shown + size, SHOWN_BYTES - size, "%s%" PRIu64, i > 0 ? ", " : "", streams->ids[i]);
    if (size + 30 >= SHOWN_BYTES)
        (void)snprintf(shown + size, SHOWN_BYTES - size, ", ...");
}

ls_status lsi_local_inspect_no_manifest(const lsi_env *env, const lsi_root *root, const char *path, ls_status why,
                                        lsi_inspection *inspection)
{
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_MANIFEST, .file = LSI_MANIFEST_NAME,
                          .advice = "put `manifest` back from a copy made since streams were last created, deleted, "
                                    "split, merged or set, before anybody opens the store, then verify; keep the "
                                    "damaged one; lstream does not guess one"};
    walk of = {.env = env, .root = root, .inspection = inspection, .peek = {.env = env}};
    char cause[LSI_MESSAGE_BYTES], shown[SHOWN_BYTES] = "none";
    ids streams;
    ls_status st;

    (void)snprintf(cause, sizeof(cause), "%s",
                   why == LS_ERR_NOT_FOUND ? LSI_MANIFEST_NAME " is not there" : lsi_error_current()->message);
    inspection->blocked = "put `manifest` back first, then verify";
    st = ids_in(env, root, "", &streams);
    if (st == LS_OK && why == LS_ERR_NOT_FOUND && streams.count == 0)
        st = lsi_fail(LS_ERR_NOT_FOUND, "'%s' holds no store", path);
    for (size_t i = 0; st == LS_OK && i < streams.count && !inspection->stopped; i++)
        st = stream_verify(&of, streams.ids[i]);
    if (st == LS_OK) {
        inspection->stream_id = 0;
        inspection->shard = LS_NO_SHARD;
        show_ids(&streams, shown);
        finding.records_max = inspection->summary.records;
        lsi_inspection_tell(inspection, &finding, "%s: no stream can be opened, and %" PRIu64 " records%s in the "
                            "directories of the streams (ids: %s) cannot be reached until it is put back; names, "
                            "settings, registered consumers and hash ranges are nowhere else",
                            cause, inspection->summary.records,
                            inspection->summary.records_lost_max == LS_RECORDS_UNKNOWN
                                ? ", and others that cannot be counted," : "", shown);
    }
    lsi_peek_close(&of.peek);
    lsi_free(&env->memory, streams.ids);
    return st;
}
