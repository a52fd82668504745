/* Who is never killed in the storm over workers: puts numbered records, splits and merges, changes how many records a
 * batch may have, and looks at what workers do. A checkpoint never goes back (O5); what transactions put is there once,
 * and a key's in its order. */
#include "harness/h4_work.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OPEN_MAX 4u /* that the watcher makes */

typedef struct watcher {
    ls_stream *stream;
    ls_producer *producer;
    ls_iterator *out;
    uint64_t *random;
    uint32_t last_out[WORK_KEYS]; /* number + 1, by key */
    ls_seqno places[WORK_MAPPINGS + 1][WORK_SHARDS_MAX]; /* of leases; LS_SEQNO_END: ended */
} watcher;

_Noreturn static void fail(const char *what, ls_status st)
{
    storm_violation("%s: %s: %s", what, ls_status_name(st), ls_last_error_message());
    _exit(3);
}

static void put_some(watcher *of)
{
    for (uint64_t left = 1 + storm_random_below(of->random, 6); left > 0; left--) {
        uint32_t number = atomic_load(&work->put_count);
        char key[16];
        int size = snprintf(key, sizeof key, "key-%u", number % WORK_KEYS);
        ls_status st;

        if (number == WORK_RECORDS_MAX)
            return;
        do
            st = ls_producer_put(of->producer, (ls_bytes){key, (size_t)size}, (ls_bytes){&number, sizeof number}, NULL,
                                 NULL);
        while (st == LS_ERR_BUSY);
        if (st != LS_OK)
            fail("a put beneath workers", st);
        atomic_store(&work->put_count, number + 1);
    }
}

/* Splits one, or merges the first two; while others are about it, another time. */
static void reshard(watcher *of)
{
    ls_stream_description *about = NULL;
    ls_shard_info open[OPEN_MAX + 1];
    uint32_t count, all;
    ls_status st = ls_stream_describe(of->stream, &about);

    if (st != LS_OK)
        fail("the watcher cannot describe the stream", st);
    all = ls_stream_description_shard_count(about);
    count = storm_open_shards(about, open, OPEN_MAX + 1);
    ls_stream_description_free(about);
    if (all + 2 > WORK_SHARDS_MAX)
        return;
    if (count > 1 && (count >= OPEN_MAX || storm_random_below(of->random, 2) == 0))
        st = ls_stream_merge(of->stream, open[0].shard, open[1].shard, NULL);
    else
        st = ls_stream_split(of->stream, open[storm_random_below(of->random, count)].shard, NULL, NULL, NULL);
    if (st != LS_OK && st != LS_ERR_BUSY)
        fail("resharding beneath workers", st);
    atomic_fetch_add(&work->reshards, st == LS_OK);
}

static void change_batches(watcher *of)
{
    uint32_t which = (uint32_t)storm_random_below(of->random, WORK_MAPPINGS);
    ls_mapping_description *about = NULL;
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    char name[16];
    ls_status st;

    work_mapping_name(which, name);
    st = ls_mapping_describe(of->stream, name, &about);
    if (st == LS_OK)
        st = ls_mapping_description_options(about, &settings);
    settings.records_max = 1 + (uint32_t)storm_random_below(of->random, 40);
    if (st == LS_OK)
        st = ls_mapping_update(of->stream, name, &settings);
    ls_mapping_description_free(about);
    if (st != LS_OK && st != LS_ERR_BUSY)
        fail("changing a mapping", st);
}

static void look_at_leases(watcher *of, uint32_t which)
{
    ls_lease_list *list = NULL;
    char name[16] = WORK_GROUP;
    ls_status st;

    if (which < WORK_MAPPINGS)
        work_mapping_name(which, name);
    st = ls_stream_list_leases(of->stream, name, &list);
    if (st == LS_ERR_NOT_FOUND && which == WORK_MAPPINGS) /* Nobody lived for so long yet. */
        return;
    if (st != LS_OK)
        fail("listing leases", st);
    for (uint32_t i = 0; i < ls_lease_list_count(list); i++) {
        ls_lease_info info = LS_LEASE_INFO_INIT;
        ls_seqno place, *before;

        (void)ls_lease_list_at(list, i, &info); /* It is of the list. */
        if (info.shard >= WORK_SHARDS_MAX)
            fail("a lease of a shard that is not there", LS_ERR_STATE);
        place = info.state == LS_LEASE_ENDED ? LS_SEQNO_END : info.state == LS_LEASE_BEGUN ? info.seqno : 0;
        before = &of->places[which][info.shard];
        if (place < *before)
            storm_violation("'%s' shard %u: the checkpoint has gone back from %" PRIu64 " to %" PRIu64, name,
                            info.shard, *before, place);
        *before = place;
    }
    ls_lease_list_free(list);
    atomic_fetch_add(&work->looks, 1);
}

static void look_at_outputs(watcher *of)
{
    const ls_batch *batch = NULL;
    ls_status st = ls_iterator_next(of->out, NULL, &batch);

    if (st != LS_OK)
        fail("the watcher reads", st);
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        uint32_t number, *last;

        memcpy(&number, ls_batch_at(batch, i)->data.data, sizeof number);
        last = &of->last_out[number % WORK_KEYS];
        if (number + 1 != (*last == 0 ? number % WORK_KEYS + 1 : *last + WORK_KEYS))
            storm_violation("transactions put %u behind %u of the same key", number, *last - 1);
        *last = number + 1;
    }
    atomic_fetch_add(&work->out_count, (uint32_t)ls_batch_count(batch));
}

static bool is_all_done(void)
{
    uint32_t count = atomic_load(&work->put_count);

    if (atomic_load(&work->is_over) == 0 || atomic_load(&work->out_count) < count)
        return false;
    for (uint32_t which = 0; which < WORK_MAPPINGS; which++)
        for (uint32_t i = 0; i < count; i++)
            if (atomic_load(&work->diaries[which].is_handled[i]) == 0)
                return false;
    return true;
}

void work_watch(uint64_t *random)
{
    static watcher of;
    ls_store *store = work_open_store(NULL);
    ls_stream *out = NULL;
    ls_status st = ls_stream_open(store, WORK_STREAM, &of.stream);

    of.random = random;
    if (st == LS_OK)
        st = ls_stream_open(store, WORK_OUT, &out);
    if (st == LS_OK)
        st = ls_producer_open(of.stream, NULL, &of.producer);
    if (st == LS_OK)
        st = ls_iterator_open_all(out, NULL, NULL, &of.out);
    if (st != LS_OK)
        fail("the watcher cannot begin", st);
    for (uint32_t turn = 0; !is_all_done() && atomic_load(&storm->violations) == 0; turn++) {
        bool is_over = atomic_load(&work->is_over) != 0;

        if (!is_over)
            put_some(&of);
        if (!is_over && turn % 128 == 127)
            reshard(&of);
        if (!is_over && turn % 64 == 31)
            change_batches(&of);
        if (turn % 8 == 0)
            look_at_leases(&of, turn / 8 % (WORK_MAPPINGS + 1));
        look_at_outputs(&of);
        (void)usleep((useconds_t)storm_random_below(random, 4000));
    }
    _exit(0);
}
