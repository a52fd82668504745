/* Changing the settings and tags of a stream that is in use: one replacement of the manifest, after which the stream's
 * generation is raised, so that every process takes the new ones at its next call.
 *
 * A longer retention does not bring back what was past the shorter one: the horizon as it is now goes into the manifest
 * with it. Where the clock has not been watched for long enough to know that it is right (E8) the horizon stays as it
 * was, and records may come back. */
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

typedef struct changing {
    lsi_local *local;
    lsi_local_stream *stream;
    const lsi_stream_change *change;
    lsi_catalog_stream after; /* points into the catalog, but for the tags' text if that was made anew */
    bool is_changed, has_tags;
} changing;

static void set_retention(changing *of, bool up)
{
    uint32_t hours = (uint32_t)of->change->value;

    of->is_changed = hours != of->after.retention_hours;
    if (up && of->is_changed)
        of->after.horizon_us = lsi_local_horizon_us(of->local, &of->after);
    of->after.retention_hours = hours;
}

static void set_mode(changing *of)
{
    ls_stream_mode mode = (ls_stream_mode)of->change->value;

    of->is_changed = mode != of->after.mode;
    if (!of->is_changed)
        return;
    of->after.mode_changed_us[1] = of->after.mode_changed_us[0];
    of->after.mode_changed_us[0] = lsi_wall_us(&of->local->base.env.clock);
    of->after.mode = mode;
    lsi_local_begin_transition(of->local, &of->after, LS_STREAM_UPDATING);
}

static ls_status set_tags(changing *of)
{
    const lsi_memory *memory = &of->local->base.env.memory;
    const lsi_stream_change *change = of->change;
    lsi_tags tags;
    ls_status st = change->kind == LSI_CHANGE_TAGS_ADD
                       ? lsi_tags_add(memory, &of->after.tags, change->tags, change->count, &tags)
                       : lsi_tags_remove(memory, &of->after.tags, change->keys, change->count, &tags);

    if (st != LS_OK)
        return st;
    of->is_changed = tags.bytes != of->after.tags.bytes ||
        (tags.bytes > 0 && memcmp(tags.text, of->after.tags.text, tags.bytes) != 0);
    of->after.tags = tags;
    of->has_tags = true;
    return LS_OK;
}

static ls_status apply(changing *of)
{
    const lsi_stream_change *change = of->change;
    bool up = change->kind == LSI_CHANGE_RETENTION_UP;
    uint32_t before = of->after.flags;
    ls_status st = LS_OK;

    switch (change->kind) {
    case LSI_CHANGE_RETENTION_UP:
    case LSI_CHANGE_RETENTION_DOWN:
        st = lsi_check_retention_change(of->after.name, of->after.retention_hours, (uint32_t)change->value, up);
        if (st == LS_OK)
            set_retention(of, up);
        break;
    case LSI_CHANGE_RETENTION_BYTES:
        of->is_changed = change->value != of->after.retention_bytes;
        of->after.retention_bytes = change->value;
        break;
    case LSI_CHANGE_MODE:
        set_mode(of);
        break;
    case LSI_CHANGE_RATES:
        of->is_changed = memcmp(&change->rates, &of->after.rates, sizeof(change->rates)) != 0;
        of->after.rates = change->rates;
        break;
    case LSI_CHANGE_RECORD_BYTES_MAX:
        of->is_changed = change->value != of->after.record_bytes_max;
        of->after.record_bytes_max = (uint32_t)change->value;
        break;
    case LSI_CHANGE_AUTO_SCALING:
        of->is_changed = memcmp(&change->auto_scaling, &of->after.auto_scaling, sizeof(change->auto_scaling)) != 0;
        of->after.auto_scaling = change->auto_scaling;
        break;
    case LSI_CHANGE_RECOMPRESSION:
        of->after.flags &= ~LSI_STREAM_RECOMPRESSES;
        of->after.flags |= change->value != 0 ? LSI_STREAM_RECOMPRESSES : 0;
        of->is_changed = of->after.flags != before;
        break;
    case LSI_CHANGE_TAGS_ADD:
    case LSI_CHANGE_TAGS_REMOVE:
        st = set_tags(of);
        break;
    }
    return st;
}

/* Before the manifest's generation is even: a death in between makes somebody settle, who raises it again. */
static void tell(void *user, bool replaced)
{
    const changing *of = user;

    if (!replaced)
        return;
    /* Release: who sees it asks for the settings again. A cap that is new or lower is heeded at once. */
    atomic_fetch_add_explicit(&of->stream->slot->generation, 1, memory_order_release);
    atomic_store_explicit(&of->stream->slot->upkeep_wanted, 1, memory_order_relaxed);
}

ls_status lsi_local_update(lsi_engine_stream *base, const lsi_stream_change *change)
{
    changing of = {.local = lsi_local_of_stream(base), .stream = lsi_local_stream_of(base), .change = change};
    const lsi_catalog_stream *found;
    lsi_catalog *catalog, *fresh = NULL;
    ls_status st = lsi_local_check_writable(of.local);

    if (st == LS_OK)
        st = lsi_local_stream_check(of.stream);
    if (st == LS_OK)
        st = lsi_local_catalog_lock(of.local, &catalog);
    if (st != LS_OK)
        return st;
    st = lsi_local_find_mine(of.stream, catalog, &found);
    if (st == LS_OK)
        st = lsi_local_check_active(of.local, found);
    if (st != LS_OK)
        goto unlock;
    of.after = *found;
    st = apply(&of);
    if (st == LS_OK && of.is_changed)
        st = lsi_catalog_copy(catalog, found->id, &of.after, &fresh);
    if (st == LS_OK && of.is_changed)
        st = lsi_local_catalog_replace_at_need(of.local, fresh, tell, &of);
unlock:
    lsi_local_catalog_unlock(of.local);
    if (of.has_tags)
        lsi_free(&of.local->base.env.memory, of.after.tags.text);
    lsi_catalog_unref(fresh);
    lsi_catalog_unref(catalog);
    return st;
}

ls_status lsi_local_tags(lsi_engine_stream *base, bool (*each)(void *user, const ls_tag *tag), void *user)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    const lsi_catalog_stream *found;
    const char *at = NULL;
    lsi_catalog *catalog;
    ls_tag tag;
    ls_status st = lsi_local_stream_check(stream);

    if (st == LS_OK)
        st = lsi_local_catalog(lsi_local_of_stream(base), &catalog);
    if (st != LS_OK)
        return st;
    st = lsi_local_find_mine(stream, catalog, &found);
    while (st == LS_OK && lsi_tags_next(&found->tags, &at, &tag) && each(user, &tag))
        continue;
    lsi_catalog_unref(catalog);
    return st;
}
