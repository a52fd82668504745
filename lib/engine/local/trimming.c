/* What of a stream goes: segments whose records are all past their age; the oldest ones while the stream is over its
 * cap; the last segment of a shard that rests, once another one was begun because all of it is old; and closed shards
 * that are old (expire.c).
 *
 * A look goes by words in the shards' slots and costs some dozens of nanoseconds a shard. Words are hints: what goes is
 * decided by the segment lists, and once more by the frames (storage/trim.c). Nothing here waits for a lock that a put,
 * a read or a change of the manifest may hold; what could not be had is left for the next look.
 *
 *  U1  One piece of upkeep removes at most PIECE_SEGMENTS segments of a shard at a time, reads at most PIECE_UNKNOWN
 *      lists that nobody has looked at since somebody was alone, recovers at most one shard, and begins nothing when
 *      its time is over. What is left stays due, and the next piece goes on there: so many shards are gone through
 *      once, and not once for every few of them. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/local/local.h"

#define PIECE_SEGMENTS 16u
#define PIECE_UNKNOWN 8u

typedef struct trimming {
    lsi_local *local;
    lsi_local_stream *stream;
    const lsi_catalog_stream *about;
    bool is_all;       /* not a piece: all there is */
    int64_t until_us;  /* monotonic */
    int64_t before_us; /* records that arrived before may go */
    int64_t now_us;    /* by the wall clock */
    uint64_t bytes;    /* of all segments' files */
    uint32_t unknown_left, recoveries_left;
    bool is_left;      /* something is due still */
    bool has_spent;    /* the reserve */
    uint32_t shard;    /* that is looked at, for note_failure; LSI_NO_SHARD: none */
    ls_status st;      /* the first failure, and why */
    lsi_error_state why;
} trimming;

static bool time_is_over(const trimming *of)
{
    return lsi_monotonic_us(&of->local->base.env.clock) >= of->until_us;
}

/* BUSY is for the next one; a stream or shard that is gone needs nothing, however its files looked while they went. */
static void note_failure(trimming *of, ls_status st)
{
    if (st != LS_OK && st != LS_ERR_BUSY && of->st == LS_OK)
        st = lsi_local_stream_explain(of->stream, of->shard, st);
    if (st == LS_ERR_BUSY)
        of->is_left = true;
    if (st == LS_OK || st == LS_ERR_BUSY || st == LS_ERR_NOT_FOUND || of->st != LS_OK)
        return;
    of->st = st;
    lsi_error_save(&of->why);
}

/* A full disk does not stop trimming (E3). True: try again. */
static bool makes_room(trimming *of, ls_status st)
{
    if (st != LS_ERR_FULL || of->has_spent)
        return false;
    of->has_spent = true;
    return lsi_local_reserve_spend(of->local);
}

static void trim(trimming *of, lsi_log *log, uint32_t keep, int64_t before_us)
{
    uint32_t removed;
    ls_status st;

    do
        st = lsi_log_trim(log, keep, before_us, &removed);
    while (makes_room(of, st));
    note_failure(of, st);
}

/* ---- by age ---- */

typedef struct old_pieces {
    int64_t before_us;
    uint32_t limit;
    uint32_t keep, count; /* the first that stays, and how many go */
    bool last_may_be_old; /* all records of the last one may be */
    bool last_is_odd;     /* the clock may no longer fit it */
    uint64_t bytes;       /* of all */
} old_pieces;

static bool note_old(void *user, const lsi_log_piece *piece)
{
    old_pieces *of = user;

    of->bytes += piece->bytes;
    if (of->keep == 0) {
        if (piece->is_last || piece->newest_us >= of->before_us || of->count == of->limit)
            of->keep = piece->number;
        else
            of->count++;
    }
    if (piece->is_last) {
        of->last_may_be_old = piece->oldest_us < of->before_us;
        of->last_is_odd = piece->is_odd;
    }
    return true;
}

static ls_status look_at_pieces(const trimming *of, lsi_log *log, old_pieces *out)
{
    *out = (old_pieces){.before_us = of->before_us, .limit = of->is_all ? UINT32_MAX : PIECE_SEGMENTS};
    return lsi_log_each_piece(log, of->before_us, note_old, out);
}

static bool is_recovered(const trimming *of, const lsi_slot *slot)
{
    return atomic_load_explicit(&slot->health, memory_order_acquire) != LSI_SHARD_FRESH &&
        atomic_load_explicit(&slot->epoch, memory_order_acquire) == lsi_control_epoch(of->local->control);
}

/* The last segment holds records, and all are old. Of a recovered slot. */
static bool is_resting(const trimming *of, const lsi_slot *slot)
{
    return atomic_load_explicit(&slot->closed, memory_order_relaxed) == LSI_LOG_OPEN &&
        atomic_load_explicit(&slot->health, memory_order_relaxed) == LSI_SHARD_HEALTHY &&
        atomic_load_explicit(&slot->committed_end, memory_order_acquire) >
            atomic_load_explicit(&slot->segment_base, memory_order_relaxed) &&
        atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed) < of->before_us;
}

/* Stamps are ahead of the clock: they may not have been when the last segment was begun. Of a recovered slot. */
static bool is_ahead(const trimming *of, const lsi_slot *slot)
{
    return atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed) > of->now_us;
}

/* Trims what is old of one shard, looking closely. `*bytes`: what its files took before. */
static ls_status trim_old(trimming *of, lsi_log *log, const lsi_slot *slot, uint64_t *bytes)
{
    old_pieces old;
    bool rolled = false, recovers = !is_recovered(of, slot), moved;
    ls_status st = look_at_pieces(of, log, &old);

    if (st != LS_OK)
        return st;
    moved = !recovers && (old.last_is_odd || is_ahead(of, slot));
    *bytes = old.bytes;
    if (old.last_may_be_old && recovers && of->recoveries_left == 0) {
        of->is_left = true;
    } else if (moved || (old.last_may_be_old && (recovers || is_resting(of, slot)))) {
        of->recoveries_left -= recovers ? 1 : 0;
        do
            st = lsi_log_retire(log, of->before_us, &rolled);
        while (makes_room(of, st));
        note_failure(of, st);
    }
    if (rolled) {
        st = look_at_pieces(of, log, &old);
        if (st != LS_OK)
            return st;
    }
    trim(of, log, old.keep, of->before_us);
    of->is_left = of->is_left || old.count == PIECE_SEGMENTS;
    return LS_OK;
}

/* What a shard's files take, by the words of its slot. */
static uint64_t bytes_of(const lsi_slot *slot)
{
    uint64_t base = atomic_load_explicit(&slot->segment_base, memory_order_relaxed);
    uint64_t end = atomic_load_explicit(&slot->committed_end, memory_order_relaxed);
    uint64_t allocated = atomic_load_explicit(&slot->allocated_end, memory_order_relaxed);

    if (end < allocated)
        end = allocated;
    return atomic_load_explicit(&slot->sealed_bytes, memory_order_relaxed) - 1 + (end > base ? end - base : 0);
}

/* The slot of a shard. One that has none yet gets it, which takes the store lock: a piece does not wait for that. */
static ls_status find_slot(trimming *of, uint32_t shard, lsi_slot **out)
{
    lsi_control *control = of->local->control;
    ls_status st = lsi_control_slot_find(control, LSI_SLOT_SHARD, of->stream->id, shard, out);

    if (st != LS_OK || *out != NULL)
        return st;
    if (of->is_all)
        return lsi_control_slot(control, LSI_SLOT_SHARD, of->stream->id, shard, out);
    if (!lsi_control_try_lock(control))
        return LS_ERR_BUSY;
    st = lsi_control_slot_locked(control, LSI_SLOT_SHARD, of->stream->id, shard, out);
    lsi_control_unlock(control);
    return st;
}

/* False: it is left, for this piece has done its share. */
static bool trim_shard(trimming *of, uint32_t shard)
{
    uint64_t bytes = 0;
    lsi_slot *slot;
    lsi_log *log;
    bool is_known, is_over;
    ls_status st = find_slot(of, shard, &slot);

    of->shard = shard;
    if (st != LS_OK) {
        note_failure(of, st);
        return true;
    }
    if (atomic_load_explicit(&slot->health, memory_order_acquire) == LSI_SHARD_FAILED)
        return true; /* E1: its directory's syncs may not be believed. */
    is_known = is_recovered(of, slot) && atomic_load_explicit(&slot->sealed_bytes, memory_order_relaxed) != 0;
    is_over = time_is_over(of);
    if (is_known && (!of->is_all || is_over)) {
        of->bytes += bytes_of(slot);
        if (atomic_load_explicit(&slot->oldest_us, memory_order_relaxed) >= of->before_us && !is_resting(of, slot) &&
            !is_ahead(of, slot))
            return true;
    }
    if ((!is_known && of->unknown_left == 0) || is_over) {
        of->is_left = true;
        return false;
    }
    of->unknown_left -= is_known ? 0 : 1;
    st = lsi_local_stream_log(of->stream, shard, &log);
    if (st == LS_OK)
        st = trim_old(of, log, slot, &bytes);
    if (!is_known || of->is_all)
        of->bytes += bytes;
    note_failure(of, st);
    return true;
}

/* A piece begins with the shard that the last one left, and ends with the one that it leaves; but what a cap is held
 * against is the sum of all. True: it met shards that are closed and past their age, which it leaves alone. */
static bool trim_shards(trimming *of)
{
    bool some_are_over = false;
    uint32_t count = of->about->shard_count, first = of->is_all ? 0 : of->stream->trim_from;

    if (first >= count)
        first = 0;
    of->stream->trim_from = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i < count - first ? first + i : i - (count - first);
        const lsi_shard *shard = &of->about->shards[at];

        if (lsi_local_shard_is_over(of->about, at, of->before_us)) {
            some_are_over = true;
        } else if (!trim_shard(of, shard->index) && !of->is_all && of->about->retention_bytes == 0) {
            of->stream->trim_from = at;
            break;
        }
    }
    return some_are_over;
}

/* ---- by bytes ---- */

typedef struct sealed_piece {
    uint32_t position; /* of its shard, in the stream's list */
    uint32_t number;
    uint64_t bytes;
    int64_t newest_us;
} sealed_piece;

typedef struct heap {
    const lsi_memory *memory;
    sealed_piece *of;
    size_t count, capacity;
    uint64_t bytes; /* last segments included */
    uint32_t position;
    bool no_memory;
} heap;

static bool note_piece(void *user, const lsi_log_piece *piece)
{
    heap *all = user;

    all->bytes += piece->bytes;
    if (piece->is_last)
        return true;
    if (!lsi_grow(all->memory, (void **)&all->of, &all->capacity, all->count + 1, sizeof(*all->of))) {
        all->no_memory = true;
        return false;
    }
    all->of[all->count++] = (sealed_piece){all->position, piece->number, piece->bytes, piece->newest_us};
    return true;
}

/* Oldest first; of one shard in its order. */
static int by_age(const void *a, const void *b)
{
    const sealed_piece *x = a, *y = b;

    if (x->newest_us != y->newest_us)
        return x->newest_us < y->newest_us ? -1 : 1;
    if (x->position != y->position)
        return x->position < y->position ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void gather(trimming *of, heap *all)
{
    for (; all->position < of->about->shard_count && !all->no_memory; all->position++) {
        lsi_log *log;
        ls_status st;

        of->shard = of->about->shards[all->position].index;
        st = lsi_local_stream_log(of->stream, of->shard, &log);
        if (st == LS_OK)
            st = lsi_log_each_piece(log, of->before_us, note_piece, all);
        note_failure(of, st);
    }
}

/* Trims the oldest segments of all shards until the rest is under the cap. */
static void trim_under_cap(trimming *of)
{
    heap all = {.memory = &of->local->base.env.memory};
    uint64_t bytes_max = of->about->retention_bytes;
    uint32_t *keep = lsi_alloc_zero(all.memory, of->about->shard_count * sizeof(*keep));
    size_t go = 0;

    if (keep != NULL)
        gather(of, &all);
    if (keep == NULL || all.no_memory) {
        note_failure(of, lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a list of its segments",
                                  of->stream->name));
        goto out;
    }
    if (all.count > 1)
        qsort(all.of, all.count, sizeof(*all.of), by_age);
    for (; go < all.count && all.bytes > bytes_max && (of->is_all || go < PIECE_SEGMENTS); go++) {
        all.bytes -= all.of[go].bytes;
        keep[all.of[go].position] = all.of[go].number + 1;
    }
    of->is_left = of->is_left || (go < all.count && all.bytes > bytes_max);
    for (uint32_t i = 0; i < of->about->shard_count; i++) {
        lsi_log *log;

        if (keep[i] == 0)
            continue;
        if (time_is_over(of)) {
            of->is_left = true;
            break;
        }
        of->shard = of->about->shards[i].index;
        if (lsi_local_stream_log(of->stream, of->shard, &log) == LS_OK) /* It was found above. */
            trim(of, log, keep[i], INT64_MAX);
    }
out:
    lsi_free(all.memory, keep);
    lsi_free(all.memory, all.of);
}

/* ---- shards ---- */

/* A manifest that somebody is replacing is waited for by who came for upkeep; that takes too long when he is
 * stopped. */
static void expire_shards(trimming *of)
{
    bool is_left;
    ls_status st = lsi_local_expire_shards(of->stream, of->before_us, of->is_all, &is_left);

    of->shard = LSI_NO_SHARD;
    of->is_left = of->is_left || is_left;
    note_failure(of, st);
    if (st == LS_ERR_BUSY && of->is_all && of->st == LS_OK) {
        of->st = st;
        lsi_error_save(&of->why);
    }
}

/* ---- a stream ---- */

ls_status lsi_local_trim_stream(lsi_local_stream *stream, bool is_all, int64_t until_us, bool *is_left)
{
    trimming of = {.local = lsi_local_of_stream(&stream->base), .stream = stream, .is_all = is_all,
                   .until_us = until_us, .unknown_left = is_all ? UINT32_MAX : PIECE_UNKNOWN,
                   .recoveries_left = is_all ? UINT32_MAX : 1, .shard = LSI_NO_SHARD};
    bool some_are_over;
    lsi_catalog *catalog;
    ls_status st;

    *is_left = true;
    /* A manifest that is being replaced would have to be waited for. */
    if (!is_all && lsi_control_manifest_generation(of.local->control) % 2 != 0)
        return LS_OK;
    st = lsi_local_catalog(of.local, &catalog);
    if (st != LS_OK)
        return st;
    of.about = lsi_catalog_find_id(catalog, stream->id);
    if (of.about != NULL && of.about->status != LS_STREAM_DELETING) { /* That goes as a whole. */
        of.before_us = lsi_local_trim_before_us(stream);
        of.now_us = lsi_wall_us(&of.local->base.env.clock);
        some_are_over = trim_shards(&of);
        if (some_are_over && time_is_over(&of))
            of.is_left = true;
        else if (some_are_over)
            expire_shards(&of);
        if (of.about->retention_bytes != 0 && of.bytes > of.about->retention_bytes)
            trim_under_cap(&of);
    }
    lsi_catalog_unref(catalog);
    if (of.has_spent)
        lsi_local_reserve_make(of.local);
    *is_left = of.is_left;
    if (of.st != LS_OK)
        lsi_error_restore(&of.why);
    return of.st;
}
