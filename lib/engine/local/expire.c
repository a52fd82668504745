/* Closed shards leave the stream when they have been closed for longer than its retention: then all their records are
 * past their age. They are no longer listed, and their children have parents that are not.
 *
 * The manifest without them is put in place first; then the slots end, and only then files go. That part may die, and
 * upkeep removes what is left (reshard.c): a directory below the highest that is named was named once. The highest
 * shard is always open, so an index comes back to nobody.
 *
 * It was closed when its children were opened. Where stamps were ahead of the clock, what is stated of its end is ahead
 * as well, and theirs is the time that counts. Where that was before LSI_CLOCK_FLOOR_US nobody knows when it was, nor
 * where the clock has passed those stamps since, for then it was late and not they ahead (G4 of storage/age.c): then it
 * counts as closed, and they as opened, now, when the clock may be right; and the manifest says so from then on.
 *
 * A shard is closed no earlier than its parents, so it never goes before them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

#define PIECE_SHARDS 16u /* U1 */
#define LATE_US INT64_C(3600000000) /* as of LSI_CLOCK_STEP_US: by less, a clock was set while it was right */

typedef struct expiry {
    lsi_local *local;
    lsi_local_stream *stream;
    lsi_catalog *fresh;
} expiry;

/* When the shard at `i`, which is closed, was closed. Children have higher indexes, and most follow soon. */
static int64_t closing_us(const lsi_catalog_stream *of, uint32_t i)
{
    const lsi_shard *shards = of->shards;
    int64_t closed_us = shards[i].closed_us;

    for (uint32_t k = i + 1; k < of->shard_count; k++)
        if (shards[k].parent == shards[i].index || shards[k].adjacent_parent == shards[i].index)
            return shards[k].created_us < closed_us ? shards[k].created_us : closed_us;
    return closed_us;
}

bool lsi_local_shard_is_over(const lsi_catalog_stream *of, uint32_t i, int64_t before_us)
{
    return of->shards[i].closed && closing_us(of, i) < before_us;
}

/* It was closed by a clock that was wrong, and is asked about by one that may be right. */
static bool is_doubtful(const expiry *of, const lsi_catalog_stream *about, uint32_t i, int64_t before_us,
                        int64_t now_us)
{
    const lsi_shard *shard = &about->shards[i];
    int64_t lead_us;

    if (of->local->base.env.clock.passing_us != NULL || before_us < LSI_CLOCK_FLOOR_US || !shard->closed)
        return false;
    return closing_us(about, i) < LSI_CLOCK_FLOOR_US ||
        (shard->closed_us <= now_us && !__builtin_sub_overflow(shard->closed_us, closing_us(about, i), &lead_us) &&
         lead_us > LATE_US);
}

static uint32_t count_over(const lsi_catalog_stream *of, int64_t before_us)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < of->shard_count; i++)
        count += lsi_local_shard_is_over(of, i, before_us);
    return count;
}

/* It was closed at `now_us`, and its children opened. */
static void close_now(const lsi_catalog_stream *about, uint32_t i, int64_t now_us)
{
    lsi_shard *shards = about->shards;

    if (shards[i].closed_us < now_us)
        shards[i].closed_us = now_us;
    for (uint32_t k = i + 1; k < about->shard_count; k++)
        if (shards[k].parent == shards[i].index || shards[k].adjacent_parent == shards[i].index)
            shards[k].created_us = now_us;
}

/* `out` is `from` without the first `most` shards that are over. Release its shards. What is doubtful is settled first:
 * no shard may go before its parents, so those that were closed since by their children's time count as closed now as
 * well. */
static ls_status without_some(const expiry *of, const lsi_catalog_stream *from, int64_t before_us,
                              uint32_t most, lsi_catalog_stream *out)
{
    const lsi_memory *memory = &of->local->base.env.memory;
    int64_t now_us = lsi_local_time_us(of->local);
    bool has_doubt = false;
    uint32_t count = 0;

    *out = *from;
    out->shards = lsi_alloc(memory, from->shard_count * sizeof(*out->shards));
    if (out->shards == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for %" PRIu32 " shards", from->name,
                        from->shard_count);
    memcpy(out->shards, from->shards, from->shard_count * sizeof(*out->shards));
    out->shard_count = from->shard_count;
    for (uint32_t i = 0; i < from->shard_count; i++) {
        bool is_early = has_doubt && out->shards[i].closed && closing_us(out, i) < out->shards[i].created_us;

        if (is_early || is_doubtful(of, out, i, before_us, now_us)) {
            close_now(out, i, now_us);
            has_doubt = true;
        }
    }
    for (uint32_t i = 0; i < from->shard_count; i++) {
        if (most > 0 && lsi_local_shard_is_over(out, i, before_us))
            most--;
        else
            out->shards[count++] = out->shards[i];
    }
    out->shard_count = count;
    return LS_OK;
}

static void settle(void *user, bool replaced)
{
    const expiry *of = user;

    if (!replaced)
        return;
    /* Release, and first: who finds the slot ended finds this raised, and asks what became of the shard. */
    atomic_fetch_add_explicit(&of->stream->slot->generation, 1, memory_order_release);
    lsi_local_drop_gone_shards(of->local, of->fresh);
}

/* Without a lock: nobody uses their indexes again. What stays is for upkeep. */
static void remove_logs(const expiry *of, const lsi_catalog_stream *before, const lsi_catalog_stream *after)
{
    lsi_error_state why;

    lsi_error_save(&why);
    for (uint32_t i = 0; i < before->shard_count; i++) {
        uint32_t index = before->shards[i].index;
        char dir[LSI_LOG_DIR_BYTES];

        if (lsi_shard_find(after->shards, after->shard_count, index) != NULL)
            continue;
        (void)snprintf(dir, sizeof(dir), "%" PRIu64 "/%" PRIu32, before->id, index); /* 20 + 1 + 10 */
        (void)lsi_log_destroy(&of->local->base.env, &of->local->root, dir, INT64_MAX);
        lsi_env_log(&of->local->base.env, LS_LOG_INFO, "stream '%s' shard %" PRIu32 " is gone: it was closed, and all "
                    "its records were past their age", before->name, index);
    }
    lsi_error_restore(&why);
}

ls_status lsi_local_expire_shards(lsi_local_stream *stream, int64_t before_us, bool is_all, bool *is_left)
{
    expiry of = {.local = lsi_local_of_stream(&stream->base), .stream = stream};
    const lsi_memory *memory = &of.local->base.env.memory;
    lsi_catalog_stream after = {0};
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    uint32_t over;
    ls_status st = is_all ? lsi_local_catalog_lock(of.local, &catalog) : lsi_local_catalog_try_lock(of.local, &catalog);

    *is_left = true;
    if (st != LS_OK)
        return st;
    found = lsi_catalog_find_id(catalog, stream->id);
    over = found != NULL ? count_over(found, before_us) : 0;
    if (over > 0) {
        st = without_some(&of, found, before_us, is_all ? UINT32_MAX : PIECE_SHARDS, &after);
        if (st == LS_OK)
            st = lsi_catalog_copy(catalog, found->id, &after, &of.fresh);
        if (st == LS_OK)
            st = lsi_local_catalog_replace_at_need(of.local, of.fresh, settle, &of); /* L1 */
    }
    lsi_local_catalog_unlock(of.local);
    if (st == LS_OK) {
        *is_left = !is_all && over > PIECE_SHARDS;
        if (over > 0)
            remove_logs(&of, found, &after);
    }
    lsi_free(memory, after.shards);
    lsi_catalog_unref(of.fresh);
    lsi_catalog_unref(catalog);
    return st;
}
