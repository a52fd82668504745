/* The keys that this process was given, each by its id.
 *
 * The application is asked once for each key, and never under a lock. What it gives is believed when it has the mark
 * that the manifest or a segment states (seal.c), so a wrong key is refused before anything is read or written with it,
 * and may be put right by asking again. Keys are kept until the store is closed: the list only grows at its head, so
 * looking takes no lock. */
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

struct lsi_local_key {
    struct lsi_local_key *next;
    lsi_key *key;
    char key_id[LSI_KEY_ID_BYTES_MAX + 1];
};

static ls_status has_mark(const lsi_local_stream *stream, const lsi_key *key, const unsigned char *mark, bool *has)
{
    unsigned char own[LSI_KEY_MARK_BYTES];
    ls_status st = lsi_seal_mark(lsi_local_of_stream(&stream->base)->store_id, stream->id, key, own);

    *has = st == LS_OK && memcmp(own, mark, sizeof own) == 0;
    return st;
}

ls_status lsi_local_ask_for_key(lsi_local *local, const char *key_id, lsi_key **out)
{
    lsi_key *key;
    lsi_error_state before, why;
    ls_status st;

    if (!lsi_crypto_is_built())
        return lsi_fail(LS_ERR_UNSUPPORTED, "this libstream was built without encryption");
    if (local->key_callback == NULL)
        return lsi_fail(LS_ERR_KEY, "the store was opened without a key callback to ask for the key '%s'", key_id);
    st = lsi_key_new(&key);
    if (st != LS_OK)
        return st;
    lsi_error_save(&before);
    lsi_error_restore(&(lsi_error_state){.status = LS_OK});
    st = local->key_callback(local->key_user, key_id, lsi_key_bytes(key));
    if (st == LS_OK) {
        lsi_error_restore(&before);
        *out = key;
        return LS_OK;
    }
    lsi_key_free(key);
    lsi_error_save(&why); /* A callback of ours says why; another one may not. */
    return why.status == st ? lsi_fail(LS_ERR_KEY, "no key '%s': %s", key_id, why.message)
                            : lsi_fail(LS_ERR_KEY, "no key '%s': the key callback answered %s", key_id,
                                       ls_status_name(st));
}

ls_status lsi_local_keep_key(lsi_local *local, const char *key_id, lsi_key *key)
{
    struct lsi_local_key *kept = lsi_alloc(&local->base.env.memory, sizeof *kept);

    if (kept == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "the key '%s': no memory", key_id);
    kept->key = key;
    memcpy(kept->key_id, key_id, strlen(key_id) + 1); /* It was checked. */
    kept->next = atomic_load_explicit(&local->keys, memory_order_relaxed);
    /* Release: who finds it finds it whole. */
    while (!atomic_compare_exchange_weak_explicit(&local->keys, &kept->next, kept, memory_order_release,
                                                  memory_order_relaxed))
        continue;
    return LS_OK;
}

void lsi_local_free_keys(lsi_local *local)
{
    struct lsi_local_key *next, *at = atomic_load_explicit(&local->keys, memory_order_relaxed);

    for (; at != NULL; at = next) {
        next = at->next;
        lsi_key_free(at->key);
        lsi_free(&local->base.env.memory, at);
    }
}

ls_status lsi_local_find_key(void *user, const lsi_log_terms *terms, bool ask, const lsi_key **out)
{
    const lsi_local_stream *stream = user;
    lsi_local *local = lsi_local_of_stream(&stream->base);
    lsi_key *key;
    bool has;
    ls_status st;

    *out = NULL;
    for (const struct lsi_local_key *at = atomic_load_explicit(&local->keys, memory_order_acquire); at != NULL;
         at = at->next)
        if (strcmp(at->key_id, terms->key_id) == 0) {
            st = has_mark(stream, at->key, terms->key_mark, &has);
            if (st != LS_OK)
                return st;
            if (has) {
                *out = at->key;
                return LS_OK;
            }
        }
    if (!ask)
        return LS_OK;
    st = lsi_local_ask_for_key(local, terms->key_id, &key);
    if (st != LS_OK)
        return st;
    st = has_mark(stream, key, terms->key_mark, &has);
    if (st == LS_OK && !has)
        st = lsi_fail(LS_ERR_KEY, "the key given for '%s' is not the one that was used", terms->key_id);
    if (st == LS_OK)
        st = lsi_local_keep_key(local, terms->key_id, key);
    if (st == LS_OK)
        *out = key;
    else
        lsi_key_free(key);
    return st;
}
