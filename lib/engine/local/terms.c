/* What a stream's segments are written by: encrypted or not, with which key, and whether frames are compressed.
 *
 * The manifest says it. A change replaces the manifest, then tells each shard's slot that its next append begins a new
 * segment (LSI_ROLL_FIRST_TERMS), whose header takes what the manifest says by then; segments that are there stay as
 * they are. No shard's lock is taken: a put that is under way may end in the old segment, as if it had been earlier,
 * and no stopped process is waited for. Who dies in between leaves the manifest's generation odd, and who settles it
 * (L3) tells all slots. */
#include <string.h>

#include "base/status.h"
#include "base/utf8.h"
#include "engine/local/local.h"

ls_status lsi_local_terms_of(void *user, lsi_log_terms *out)
{
    const lsi_catalog_stream *stream = user;

    *out = stream->terms;
    return LS_OK;
}

ls_status lsi_local_terms_now(void *user, lsi_log_terms *out)
{
    const lsi_local_stream *stream = user;
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    ls_status st = lsi_local_catalog_look(lsi_local_of_stream(&stream->base), &catalog);

    if (st != LS_OK)
        return st;
    found = lsi_catalog_find_id(catalog, stream->id);
    if (found != NULL)
        *out = found->terms;
    else
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' was deleted", stream->name);
    lsi_catalog_unref(catalog);
    return st;
}

typedef struct change {
    lsi_local *local;
    const lsi_catalog_stream *stream;
} change;

/* Locks: store lock held. */
static void tell_slots(void *user, bool replaced)
{
    const change *of = user;
    lsi_slot *slot;

    for (uint32_t i = 0; replaced && i <= of->stream->shard_count; i++) {
        uint32_t shard = i < of->stream->shard_count ? of->stream->shards[i].index : LSI_STATE_SHARD;

        if (lsi_control_slot_find(of->local->control, LSI_SLOT_SHARD, of->stream->id, shard, &slot) == LS_OK &&
            slot != NULL)
            lsi_log_take_terms(slot);
    }
}

/* Lets `decide` change the stream's terms; false: they are so already. Locks: none held. */
static ls_status change_terms(lsi_local *local, const char *name, uint64_t id,
                              ls_status (*decide)(void *user, const lsi_catalog_stream *found, lsi_log_terms *terms),
                              void *user)
{
    lsi_catalog *catalog = NULL, *fresh = NULL;
    const lsi_catalog_stream *found;
    lsi_catalog_stream after;
    ls_status st = lsi_local_catalog_lock(local, &catalog);

    if (st != LS_OK)
        return st;
    st = lsi_local_find(local, catalog, name, &found);
    if (st == LS_OK && id != 0 && found->id != id)
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' does not exist", name);
    if (st == LS_OK)
        st = lsi_local_check_active(local, found);
    if (st != LS_OK)
        goto unlock;
    after = *found;
    st = decide(user, found, &after.terms);
    if (st != LS_OK || memcmp(&after.terms, &found->terms, sizeof after.terms) == 0)
        goto unlock;
    if (strcmp(after.terms.key_id, found->terms.key_id) != 0) /* Compression is not Kinesis's. */
        lsi_local_begin_transition(local, &after, LS_STREAM_UPDATING);
    st = lsi_catalog_copy(catalog, found->id, &after, &fresh);
    if (st == LS_OK) {
        change of = {local, lsi_catalog_find_id(fresh, found->id)};
        st = lsi_local_catalog_replace(local, fresh, tell_slots, &of);
    }
unlock:
    lsi_local_catalog_unlock(local);
    lsi_catalog_unref(fresh);
    lsi_catalog_unref(catalog);
    return st;
}

/* ---- encryption ---- */

static ls_status decide_key(void *user, const lsi_catalog_stream *found, lsi_log_terms *terms)
{
    const lsi_log_terms *wanted = user;

    if (strcmp(terms->key_id, wanted->key_id) == 0 &&
        memcmp(terms->key_mark, wanted->key_mark, sizeof wanted->key_mark) != 0)
        return lsi_fail(LS_ERR_KEY,
                        "stream '%s': the key given for '%s' is not the one that was used: another key takes "
                        "another id", found->name, wanted->key_id);
    uint32_t codec = terms->codec;
    *terms = *wanted;
    terms->codec = codec;
    return LS_OK;
}

static ls_status check_key_id(const char *key_id)
{
    size_t bytes = strlen(key_id);

    if (bytes == 0 || bytes > LSI_KEY_ID_BYTES_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "a key id of %zu bytes: it has 1..%u", bytes, LSI_KEY_ID_BYTES_MAX);
    if (lsi_utf8_count(key_id, bytes) == LSI_UTF8_BAD)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "a key id that is not valid UTF-8");
    for (size_t i = 0; i < bytes; i++)
        if (lsi_utf8_is_control(key_id + i))
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "a key id with a control character at byte %zu", i);
    return LS_OK;
}

ls_status lsi_local_start_encryption(lsi_engine *engine, const char *name, const char *key_id)
{
    lsi_local *local = lsi_local_of(engine);
    lsi_log_terms wanted = {0};
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    lsi_key *key;
    uint64_t id = 0;
    ls_status st = lsi_local_check_writable(local);

    if (st == LS_OK)
        st = check_key_id(key_id);
    if (st == LS_OK)
        st = lsi_local_catalog(local, &catalog);
    if (st != LS_OK)
        return st;
    st = lsi_local_find(local, catalog, name, &found);
    if (st == LS_OK)
        id = found->id;
    lsi_catalog_unref(catalog);
    if (st == LS_OK)
        st = lsi_local_ask_for_key(local, key_id, &key);
    if (st == LS_ERR_KEY) {
        lsi_error_state why;

        lsi_error_save(&why);
        return lsi_fail(LS_ERR_KEY, "stream '%s': %s", name, why.message);
    }
    if (st != LS_OK)
        return st;
    wanted.key_id_bytes = (uint32_t)strlen(key_id);
    memcpy(wanted.key_id, key_id, wanted.key_id_bytes);
    st = lsi_seal_mark(local->store_id, id, key, wanted.key_mark);
    if (st == LS_OK)
        st = change_terms(local, name, id, decide_key, &wanted);
    lsi_key_free(key); /* Who uses it asks for it. */
    return st;
}

static ls_status decide_no_key(void *user, const lsi_catalog_stream *found, lsi_log_terms *terms)
{
    (void)user;
    (void)found;
    *terms = (lsi_log_terms){.codec = terms->codec};
    return LS_OK;
}

ls_status lsi_local_stop_encryption(lsi_engine *engine, const char *name)
{
    lsi_local *local = lsi_local_of(engine);
    ls_status st = lsi_local_check_writable(local);

    return st == LS_OK ? change_terms(local, name, 0, decide_no_key, NULL) : st;
}

/* ---- compression ---- */

static ls_status decide_codec(void *user, const lsi_catalog_stream *found, lsi_log_terms *terms)
{
    (void)found;
    terms->codec = *(const uint32_t *)user;
    return LS_OK;
}

ls_status lsi_local_set_compression(lsi_engine *engine, const char *name, uint32_t codec)
{
    lsi_local *local = lsi_local_of(engine);
    ls_status st = lsi_local_check_writable(local);

    return st == LS_OK ? change_terms(local, name, 0, decide_codec, &codec) : st;
}
