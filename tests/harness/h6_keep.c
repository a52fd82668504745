/* What keepers of a simulation do to the store, and the look at all of it when everybody else is gone. */
#include "harness/h6.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/u128.h"

/* ---- keepers ---- */

/* Of the open shards one, and for merging the one next to it. */
static bool pick_open(ls_stream *stream, uint32_t *shard, uint32_t *next)
{
    ls_stream_description *about = NULL;
    ls_shard_info open[H6_SHARDS_MAX];
    uint32_t count = 0, all, pick;

    if (ls_stream_describe(stream, &about) != LS_OK)
        return false;
    all = ls_stream_description_shard_count(about);
    for (uint32_t i = 0; i < all && count < H6_SHARDS_MAX; i++) {
        open[count] = (ls_shard_info)LS_SHARD_INFO_INIT;
        if (ls_stream_description_shard(about, i, &open[count]) == LS_OK && open[count].is_open != 0)
            count++;
    }
    ls_stream_description_free(about);
    if (count == 0 || all + 2 > H6_SHARDS_MAX)
        return false;
    pick = (uint32_t)h6_act_below(count);
    *shard = open[pick].shard;
    *next = LS_NO_SHARD;
    for (uint32_t i = 0; i < count; i++)
        if (lsi_u128_compare(open[i].first_hash_key, lsi_u128_add(open[pick].last_hash_key, (ls_hash_key){0, 1})) == 0)
            *next = open[i].shard;
    return true;
}

/* Somebody else may have been first. */
static ls_status unless_closed(ls_status st)
{
    return st == LS_ERR_STATE || st == LS_ERR_INVALID_ARGUMENT || st == LS_ERR_NOT_FOUND ? LS_OK : st;
}

static bool split_or_merge(h6_run *run, h6_process *process)
{
    uint32_t shard, next;

    if (!pick_open(process->stream, &shard, &next))
        return true;
    bool merges = next != LS_NO_SHARD && h6_act_below(2) == 0;
    h6_call of = h6_begins(run, merges ? "merging" : "splitting");
    return h6_ends(&of, unless_closed(merges ? ls_stream_merge(process->stream, shard, next, NULL)
                                          : ls_stream_split(process->stream, shard, NULL, NULL, NULL)), 0);
}

/* A stream that nobody else touches comes and goes: it is there whenever that was said (D6). */
static bool make_or_delete(h6_place *place, h6_process *process)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    bool was_known = place->made != H6_UNKNOWN, deletes = place->made == H6_PRESENT;
    char name[16];
    ls_status st;

    (void)snprintf(name, sizeof name, "own-%u", place->index); /* fits */
    options.shard_count = 1 + (uint32_t)h6_act_below(2);
    place->made = H6_UNKNOWN;
    h6_call of = h6_begins(place->run, deletes ? "deleting a stream" : "creating a stream");
    st = deletes ? ls_stream_delete(process->store, name) : ls_stream_create(process->store, name, &options);
    if (!was_known && st == LS_ERR_EXISTS)
        st = LS_OK;
    if (!h6_ends(&of, st, 0))
        return false;
    place->made = deletes ? H6_ABSENT : H6_PRESENT;
    return true;
}

void h6_keep(h6_place *place, h6_process *process)
{
    h6_run *run = place->run;

    for (; place->calls_left > 0 && run->writers_left > 0; place->calls_left--) {
        uint64_t kind = h6_act_below(run->reshards ? 6 : 3), serial = run->serial;
        bool good;
        h6_call of;

        if (kind == 0) {
            of = h6_begins(run, "syncing");
            good = h6_ends(&of, ls_store_sync(process->store), 0);
            if (good)
                h6_note_synced(run, serial, 0);
        } else if (kind == 1) {
            of = h6_begins(run, "upkeep");
            good = h6_ends(&of, ls_store_maintain(process->store, -1), 0);
        } else {
            good = kind == 2 ? make_or_delete(place, process) : split_or_merge(run, process);
        }
        if (!good)
            break;
        sim_fiber_sleep((int64_t)h6_act_below(3000));
    }
    place->is_done = true;
}

/* ---- the last look ---- */

static void learn_shards(h6_run *run, ls_stream *stream)
{
    ls_stream_description *about = NULL;
    h6_call of = h6_begins(run, "describing the stream");

    if (!h6_ends(&of, ls_stream_describe(stream, &about), 0))
        return;
    run->shards_now = ls_stream_description_shard_count(about);
    for (uint32_t i = 0; i < run->shards_now && i < H6_SHARDS_MAX; i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(about, i, &info) != LS_OK)
            h6_violation(run, "shard %u cannot be described", i);
        run->shards[i] = (history_shard){{info.parent, info.adjacent_parent}};
    }
    ls_stream_description_free(about);
}

static void look_for_made(h6_run *run, ls_store *store)
{
    for (uint32_t i = 0; i < run->place_count; i++) {
        const h6_place *place = &run->places[i];
        ls_stream *stream = NULL;
        char name[16];
        ls_status st;

        if (place->kind != H6_KEEPER)
            continue;
        (void)snprintf(name, sizeof name, "own-%u", place->index); /* fits */
        st = ls_stream_open(store, name, &stream);
        if ((st != LS_OK && st != LS_ERR_NOT_FOUND) || (st == LS_OK && place->made == H6_ABSENT) ||
            (st != LS_OK && place->made == H6_PRESENT))
            h6_violation(run, "D6: stream '%s' is to be %s: %s", name, place->made == H6_ABSENT ? "absent" : "there",
                         ls_status_name(st));
        if (st == LS_OK)
            (void)ls_stream_close(stream); /* Nothing was put by it. */
    }
}

void h6_look(void *user)
{
    h6_run *run = user;
    h6_process process = {.run = run};
    h6_call of;

    if (!h6_open_store(&process))
        return;
    look_for_made(run, process.store);
    if (h6_open_stream(&process)) {
        learn_shards(run, process.stream);
        run->truth_count = 0;
        for (uint32_t shard = 0; shard < run->shards_now; shard++) {
            ls_iterator *iterator = NULL;
            const ls_batch *batch = NULL;
            int64_t stamp = 0;

            of = h6_begins(run, "the last look");
            if (!h6_ends(&of, ls_iterator_open(process.stream, shard, NULL, NULL, &iterator), 0))
                continue;
            do {
                if (!h6_ends(&of, ls_iterator_next(iterator, NULL, &batch), 0))
                    break;
                for (size_t i = 0; i < ls_batch_count(batch); i++) {
                    if (ls_batch_at(batch, i)->arrival_us < stamp)
                        h6_violation(run, "E8: stamps of shard %u go back", shard);
                    stamp = ls_batch_at(batch, i)->arrival_us;
                }
                h6_note_batch(run, UINT32_MAX, batch);
            } while (ls_batch_count(batch) > 0);
            ls_iterator_close(iterator);
        }
        of = h6_begins(run, "closing the stream");
        (void)h6_ends(&of, ls_stream_close(process.stream), 0);
    }
    of = h6_begins(run, "closing the store");
    (void)h6_ends(&of, ls_store_close(process.store), 0);
}
