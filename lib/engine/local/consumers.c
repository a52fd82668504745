/* A stream's registered consumers: entries of the stream in the manifest, whose replacement is the moment of
 * registering and deregistering, so that both are durable, whole, and seen by all processes, and go with the stream.
 *
 * What a consumer shares between processes while it reads is in slots of the control file under its id (holds.c), which
 * is never used again. Deregistering ends them, and wakes who sleeps on the stream's shards: one of them may be a
 * subscription. Who dies in between leaves the manifest's generation odd, and who settles it (L3) ends the slots.
 *
 * With a delay for changes (`transition_ms`) a consumer is CREATING or DELETING until a time that the manifest states.
 * One that is gone by then is left out when the stream's consumers are written the next time. */
#include <inttypes.h>

#include "base/status.h"
#include "engine/local/local.h"

#define CREATING_MAX 5u /* Kinesis */

/* What it is at that time, which turns CREATING into ACTIVE; false: it is gone. */
static bool is_there(lsi_consumer *consumer, int64_t now_us)
{
    if (consumer->status == LS_CONSUMER_ACTIVE || now_us < consumer->status_until_us)
        return true;
    if (consumer->status == LS_CONSUMER_DELETING)
        return false;
    consumer->status = LS_CONSUMER_ACTIVE;
    return true;
}

uint32_t lsi_local_count_consumers(const lsi_catalog_stream *stream, int64_t now_us)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < stream->consumer_count; i++) {
        lsi_consumer consumer = stream->consumers[i];

        count += is_there(&consumer, now_us);
    }
    return count;
}

typedef struct change {
    lsi_local *local;
    lsi_local_stream *stream;
    const char *name;
    int64_t now_us;
    lsi_catalog *catalog;       /* the store lock is held with it */
    const lsi_catalog_stream *found;
    lsi_consumer consumers[LSI_CONSUMERS_MAX + 1]; /* that are there, in byte order of name */
    uint32_t count;
    uint32_t at;                /* where the name is or would be */
    bool has_name;
    uint64_t ended;             /* id of the one whose slots end; 0: none */
} change;

/* Locks: the store lock is held when it answers LS_OK. */
static ls_status change_begin(change *of)
{
    ls_status st = lsi_local_check_writable(of->local);

    if (st == LS_OK)
        st = lsi_local_stream_check(of->stream);
    if (st == LS_OK)
        st = lsi_local_catalog_lock(of->local, &of->catalog);
    if (st != LS_OK)
        return st;
    of->now_us = lsi_wall_us(&of->local->base.env.clock);
    st = lsi_local_find_mine(of->stream, of->catalog, &of->found);
    if (st != LS_OK) {
        lsi_local_catalog_unlock(of->local);
        lsi_catalog_unref(of->catalog);
        return st;
    }
    for (uint32_t i = 0; i < of->found->consumer_count; i++) {
        lsi_consumer *consumer = &of->consumers[of->count];
        int order;

        *consumer = of->found->consumers[i];
        if (!is_there(consumer, of->now_us))
            continue;
        order = strcmp(consumer->name, of->name);
        of->has_name = of->has_name || order == 0;
        of->count++;
        if (order < 0)
            of->at = of->count;
    }
    return LS_OK;
}

static void change_end(const change *of)
{
    lsi_local_catalog_unlock(of->local);
    lsi_catalog_unref(of->catalog);
}

/* Locks: store lock held. */
static void end_slots(void *user, bool replaced)
{
    const change *of = user;
    lsi_control *control = of->local->control;
    lsi_slot *slot;

    if (!replaced || of->ended == 0)
        return;
    lsi_control_drop_stream(control, lsi_consumer_slot_id(of->ended), of->stream->id);
    for (uint32_t i = 0; i < of->found->shard_count; i++)
        if (lsi_control_slot_find(control, LSI_SLOT_SHARD, of->stream->id, of->found->shards[i].index, &slot) ==
                LS_OK && slot != NULL)
            lsi_slots_wake(slot, NULL);
    lsi_slots_wake(of->stream->slot, NULL);
}

/* Makes `consumers` the stream's. `last_id` as it is to be in the manifest. */
static ls_status change_write(change *of, uint64_t last_id)
{
    lsi_catalog_stream after = *of->found;
    lsi_catalog *fresh = NULL;
    ls_status st;

    after.consumers = of->consumers;
    after.consumer_count = of->count;
    st = lsi_catalog_copy(of->catalog, of->found->id, &after, &fresh);
    if (st != LS_OK)
        return st;
    fresh->consumer_id = last_id;
    /* A full disk does not stop deregistering. */
    st = of->ended != 0 ? lsi_local_catalog_replace_at_need(of->local, fresh, end_slots, of)
                        : lsi_local_catalog_replace(of->local, fresh, end_slots, of);
    lsi_catalog_unref(fresh);
    return st;
}

static ls_status check_room(const change *of)
{
    uint32_t creating = 0;

    if (of->has_name)
        return lsi_fail(LS_ERR_EXISTS, "stream '%s' has a consumer '%s'", of->stream->name, of->name);
    for (uint32_t i = 0; i < of->count; i++)
        creating += of->consumers[i].status == LS_CONSUMER_CREATING;
    if (creating >= CREATING_MAX)
        return lsi_fail(LS_ERR_STATE, "stream '%s' has %u consumers that are being created, as many as it can have",
                        of->stream->name, creating);
    if (of->count >= LSI_CONSUMERS_MAX)
        return lsi_fail(LS_ERR_STATE, "stream '%s' has %u consumers, as many as it can have", of->stream->name,
                        of->count);
    if (of->catalog->consumer_id >= INT64_MAX)
        return lsi_fail(LS_ERR_STATE, "the store has no ids for consumers left");
    return LS_OK;
}

ls_status lsi_local_register_consumer(lsi_engine_stream *base, const char *name, lsi_consumer *out)
{
    change of = {.local = lsi_local_of_stream(base), .stream = lsi_local_stream_of(base), .name = name};
    int64_t delay_us = (int64_t)base->engine->transition_ms * 1000;
    lsi_consumer *made;
    ls_status st = lsi_check_consumer_name(name);

    if (st == LS_OK)
        st = change_begin(&of);
    if (st != LS_OK)
        return st;
    st = lsi_local_check_active(of.local, of.found);
    if (st == LS_OK)
        st = check_room(&of);
    if (st == LS_OK) {
        made = &of.consumers[of.at];
        memmove(made + 1, made, (of.count - of.at) * sizeof(*made));
        of.count++;
        *made = (lsi_consumer){
            .id = of.catalog->consumer_id + 1,
            .created_us = of.now_us,
            .status = delay_us > 0 ? LS_CONSUMER_CREATING : LS_CONSUMER_ACTIVE,
            .status_until_us = delay_us > 0 ? of.now_us + delay_us : 0,
        };
        memcpy(made->name, name, strlen(name));
        st = change_write(&of, made->id);
        if (st == LS_OK)
            *out = *made;
    }
    change_end(&of);
    return st;
}

ls_status lsi_local_deregister_consumer(lsi_engine_stream *base, const char *name)
{
    change of = {.local = lsi_local_of_stream(base), .stream = lsi_local_stream_of(base), .name = name};
    int64_t delay_us = (int64_t)base->engine->transition_ms * 1000;
    lsi_consumer *gone;
    ls_status st = change_begin(&of);

    if (st != LS_OK)
        return st;
    gone = &of.consumers[of.at];
    if (!of.has_name) {
        st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no consumer '%s'", of.stream->name, name);
    } else if (gone->status == LS_CONSUMER_DELETING) {
        st = lsi_fail(LS_ERR_STATE, "consumer '%s' of stream '%s' is being deregistered", name, of.stream->name);
    } else {
        of.ended = gone->id;
        if (delay_us > 0) {
            gone->status = LS_CONSUMER_DELETING;
            gone->status_until_us = of.now_us + delay_us;
        } else {
            of.count--;
            memmove(gone, gone + 1, (of.count - of.at) * sizeof(*gone));
        }
        st = change_write(&of, of.catalog->consumer_id);
    }
    change_end(&of);
    return st;
}

ls_status lsi_local_consumers(lsi_engine_stream *base, bool (*each)(void *user, const lsi_consumer *consumer),
                              void *user)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_local *local = lsi_local_of_stream(base);
    const lsi_catalog_stream *found;
    lsi_catalog *catalog;
    int64_t now_us;
    ls_status st = lsi_local_stream_check(stream);

    if (st == LS_OK)
        st = lsi_local_catalog(local, &catalog);
    if (st != LS_OK)
        return st;
    now_us = lsi_wall_us(&local->base.env.clock);
    st = lsi_local_find_mine(stream, catalog, &found);
    for (uint32_t i = 0; st == LS_OK && i < found->consumer_count; i++) {
        lsi_consumer consumer = found->consumers[i];

        if (!is_there(&consumer, now_us))
            continue;
        consumer.cuts = lsi_local_consumer_cuts(local, consumer.id);
        if (!each(user, &consumer))
            break;
    }
    lsi_catalog_unref(catalog);
    return st;
}
