/* What a stream is doing (ls_stream_status), and what may be done with it meanwhile.
 *
 * Changes are whole when their manifest is in place; with a delay (`stream_transition_ms`, for tests of programs) the
 * manifest says besides what the stream is doing and until when. Nothing is written when that time has come: it is
 * asked again each time, by the wall clock, which tests set. So all processes see the same, and none has to live that
 * long.
 *
 *     CREATING ---- time ----> ACTIVE <---- time ---- UPDATING
 *         |                    |    \---- a change ----^  |
 *         +---- delete ----> DELETING <---- delete -------+
 *                              |---- time ----> gone
 *
 * A stream that is DELETING has lost the slots of its shards, like one that is deleted: who puts or reads finds no
 * stream from then on. Its files stay until it is gone, and the manifest names it until somebody buries it (create.c):
 * upkeep, or who creates a stream. */
#include "base/status.h"
#include "engine/local/local.h"

ls_stream_status lsi_catalog_status(const lsi_catalog_stream *of, int64_t now_us)
{
    if (of->status == LS_STREAM_ACTIVE || now_us < of->status_until_us)
        return of->status;
    return of->status == LS_STREAM_DELETING ? LSI_STREAM_GONE : LS_STREAM_ACTIVE;
}

static ls_stream_status status_now(const lsi_local *local, const lsi_catalog_stream *of)
{
    /* Mostly nobody has to look at the clock. */
    return of->status == LS_STREAM_ACTIVE ? LS_STREAM_ACTIVE
                                          : lsi_catalog_status(of, lsi_wall_us(&local->base.env.clock));
}

ls_status lsi_local_find(lsi_local *local, const lsi_catalog *catalog, const char *name,
                         const lsi_catalog_stream **out)
{
    *out = lsi_catalog_find(catalog, name);
    return *out != NULL && status_now(local, *out) != LSI_STREAM_GONE
               ? LS_OK
               : lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' does not exist", name);
}

ls_status lsi_local_find_mine(const lsi_local_stream *stream, const lsi_catalog *catalog,
                              const lsi_catalog_stream **out)
{
    *out = lsi_catalog_find_id(catalog, stream->id);
    return *out != NULL && status_now(lsi_local_of_stream(&stream->base), *out) != LSI_STREAM_GONE
               ? LS_OK
               : lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' was deleted", stream->name);
}

static const char *doing(ls_stream_status status)
{
    return status == LS_STREAM_CREATING ? "created" : status == LS_STREAM_UPDATING ? "updated" : "deleted";
}

ls_status lsi_local_check_active(lsi_local *local, const lsi_catalog_stream *found)
{
    ls_stream_status status = status_now(local, found);

    return status == LS_STREAM_ACTIVE
               ? LS_OK
               : lsi_fail(LS_ERR_STATE, "stream '%s' is being %s: it can be changed when it is ACTIVE", found->name,
                          doing(status));
}

void lsi_local_begin_transition(lsi_local *local, lsi_catalog_stream *after, ls_stream_status status)
{
    int64_t delay_us = (int64_t)local->base.stream_transition_ms * 1000;

    after->status = delay_us > 0 ? status : LS_STREAM_ACTIVE;
    after->status_until_us = delay_us > 0 ? lsi_wall_us(&local->base.env.clock) + delay_us : 0;
}

ls_status lsi_local_stream_check_usable(lsi_local_stream *stream)
{
    const lsi_local_settings *settings = &stream->settings;
    lsi_catalog_stream known = {.status = LS_STREAM_ACTIVE};
    ls_stream_status status;
    ls_status st = lsi_local_stream_check(stream);

    if (st != LS_OK)
        return st;
    lsi_local_settings_follow(stream);
    known.status = atomic_load_explicit(&settings->status, memory_order_relaxed);
    if (known.status == LS_STREAM_ACTIVE || known.status == LS_STREAM_UPDATING)
        return LS_OK;
    known.status_until_us = atomic_load_explicit(&settings->status_until_us, memory_order_relaxed);
    status = status_now(lsi_local_of_stream(&stream->base), &known);
    if (status == LS_STREAM_ACTIVE)
        return LS_OK;
    if (status == LSI_STREAM_GONE)
        return lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' was deleted", stream->name);
    return lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' is being %s", stream->name, doing(status));
}
