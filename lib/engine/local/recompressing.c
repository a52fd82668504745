/* Compressing a stream's sealed segments: on request, or as a piece of upkeep where the stream asks for it. The work is
 * storage's (recompress.c), a segment at a time; here it is given out over the shards.
 *
 * A segment takes a fraction of a second, so it is nothing for who puts or reads: upkeep does it by the maintenance
 * thread, one segment a turn, and in ls_store_maintain, all of them. */
#include "base/status.h"
#include "engine/local/local.h"

#define BUSY_TRIES 8u

typedef struct pressing {
    lsi_local_stream *stream;
    uint32_t pieces_left;
    int64_t until_us;
    uint64_t saved_bytes;
    bool is_left;
    ls_status st; /* the first failure */
    lsi_error_state why;
} pressing;

static void press_shard(pressing *of, uint32_t shard)
{
    const lsi_clock *clock = &of->stream->base.engine->env.clock;
    ls_status st = LS_OK;
    uint64_t saved;
    uint32_t tries = 0;
    bool found = true;
    lsi_log *log;

    st = lsi_local_stream_log(of->stream, shard, &log);
    while (st == LS_OK && found) {
        bool is_over = of->pieces_left == 0 || lsi_monotonic_us(clock) >= of->until_us;

        st = lsi_log_recompress(log, is_over, &found, &saved);
        if (st == LS_OK && is_over) {
            of->is_left = of->is_left || found;
            return;
        }
        tries = st == LS_ERR_BUSY ? tries + 1 : 0;
        if (tries > 0 && tries < BUSY_TRIES)
            st = LS_OK; /* Mostly it was rolled meanwhile: what was done is found at once. */
        else
            of->pieces_left -= st == LS_OK && found;
        of->saved_bytes += st == LS_OK ? saved : 0;
    }
    st = lsi_local_stream_explain(of->stream, shard, st);
    of->is_left = of->is_left || st == LS_ERR_BUSY;
    if (st != LS_OK && st != LS_ERR_BUSY && st != LS_ERR_NOT_FOUND && of->st == LS_OK) {
        of->st = st;
        lsi_error_save(&of->why);
    }
}

ls_status lsi_local_recompress_stream(lsi_local_stream *stream, uint32_t pieces, int64_t until_us,
                                      uint64_t *saved_bytes, bool *is_left)
{
    pressing of = {.stream = stream, .pieces_left = pieces, .until_us = until_us};
    const lsi_catalog_stream *found;
    lsi_error_state before;
    lsi_catalog *catalog;
    ls_status st;

    *saved_bytes = 0;
    *is_left = false;
    lsi_error_save(&before);
    st = lsi_local_catalog(lsi_local_of_stream(&stream->base), &catalog);
    if (st != LS_OK)
        return st;
    st = lsi_local_find_mine(stream, catalog, &found);
    for (uint32_t i = 0; st == LS_OK && found->status != LS_STREAM_DELETING && i < found->shard_count; i++)
        press_shard(&of, found->shards[i].index);
    lsi_catalog_unref(catalog);
    if (st != LS_OK)
        return st;
    *saved_bytes = of.saved_bytes;
    *is_left = of.is_left;
    lsi_error_restore(of.st != LS_OK ? &of.why : &before);
    return of.st;
}

ls_status lsi_local_recompress_if_asked(lsi_local_stream *stream, bool is_all, int64_t until_us, bool *is_left)
{
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    uint64_t saved;
    bool is_asked;
    ls_status st = lsi_local_catalog(lsi_local_of_stream(&stream->base), &catalog);

    *is_left = false;
    if (st != LS_OK)
        return st;
    found = lsi_catalog_find_id(catalog, stream->id);
    is_asked = found != NULL && (found->flags & LSI_STREAM_RECOMPRESSES) != 0;
    lsi_catalog_unref(catalog);
    return is_asked ? lsi_local_recompress_stream(stream, is_all ? UINT32_MAX : 1, until_us, &saved, is_left) : LS_OK;
}
