/* How many handlers of a mapping run now: a number that is right at once when a process is killed.
 *
 * Beside the words of each lease there are pairs of words, one for each worker that has handlers of the shard: whose it
 * is, by the ticket of its run, and how many run. Mostly it is one; more are those that have lost the lease while a
 * handler ran. Who counts adds those up whose process lives, so what a killed one has left is no part of it from then
 * on; its pair is taken by the next who needs one. Where all pairs are others', which takes as many workers that lost
 * one lease, a worker is not counted.
 *
 * A pair may still have the number of who had it before, or be of a mapping whose group had the same number: so the
 * upper half of a number says whose it is, too. The words behind the pairs are those of tried.c. */
#include "base/hash.h"
#include "consume/mapping/run.h"

#define PAIRS LSI_LEASE_RUNNING_PAIRS
#define NUMBER UINT64_C(0xffffffff)

static uint64_t mark_of(uint64_t ticket, uint64_t mapping)
{
    const uint64_t words[] = {ticket, mapping};

    return lsi_sum64(words, sizeof(words), PAIRS) & ~NUMBER;
}

static bool lives(lsi_engine *engine, uint64_t ticket)
{
    return ticket != 0 && !engine->ops->ticket_is_gone(engine, ticket);
}

void lsi_worker_running_open(lsi_worker *worker)
{
    const lsi_group *group = worker->run->group;
    lsi_engine_stream *stream = worker->run->stream;
    lsi_engine_count *words = lsi_lease_tried_words(stream, group->settings.number, worker->shard);

    for (uint32_t i = 0; words != NULL && i < PAIRS; i++) {
        lsi_engine_count *pair = words + 2 * i;
        uint64_t whose = atomic_load_explicit(&pair[0], memory_order_acquire);

        if (lives(stream->engine, whose) ||
            !atomic_compare_exchange_strong_explicit(&pair[0], &whose, group->ticket, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        atomic_store_explicit(&pair[1], mark_of(group->ticket, worker->run->how->id), memory_order_relaxed);
        worker->running = &pair[1];
        return;
    }
}

void lsi_worker_running_close(lsi_worker *worker)
{
    if (worker->running == NULL)
        return;
    atomic_store_explicit(worker->running, 0, memory_order_relaxed);
    atomic_store_explicit(worker->running - 1, 0, memory_order_release); /* Pairs with the next one's taking it. */
    worker->running = NULL;
}

ls_status lsi_mapping_executions(lsi_engine_stream *stream, const lsi_mapping *mapping, uint64_t *out)
{
    lsi_group_settings settings;
    lsi_lease_row *rows = NULL;
    uint32_t count = 0;
    ls_status st = lsi_group_find(stream, mapping->name, &settings);

    *out = 0;
    if (st == LS_OK && settings.version != LSI_STATE_NONE)
        st = lsi_lease_rows(stream, mapping->name, &rows, &count);
    for (uint32_t i = 0; st == LS_OK && i < count; i++) {
        const lsi_engine_count *words = lsi_lease_tried_words(stream, settings.number, rows[i].place.shard);

        for (uint32_t k = 0; words != NULL && k < PAIRS; k++) {
            uint64_t whose = atomic_load_explicit(&words[2 * k], memory_order_acquire);
            uint64_t number = atomic_load_explicit(&words[2 * k + 1], memory_order_relaxed);

            if (lives(stream->engine, whose) && (number & ~NUMBER) == mark_of(whose, mapping->id) &&
                (number & NUMBER) <= LSI_BATCHER_LANES_MAX) /* The words may hold anything. */
                *out += number & NUMBER;
        }
    }
    lsi_free(&stream->engine->env.memory, rows);
    return st;
}
