/* What the owners of leases tell the others without touching the disk: words in slots of the control file, one slot per
 * group and shard, freed with the stream's. And who they are: a ticket, of which the low bits are the process's tag
 * (control.h), so that the kernel says when it is gone (P6). The others tell its workers apart; they begin anywhere, so
 * that no worker of another boot has the same. */
#include "base/status.h"
#include "engine/local/local.h"

_Static_assert(LSI_LEASE_WORDS <= LSI_SLOT_BUDGET_WORDS, "a slot has room for a lease's words");

ls_status lsi_local_lease_words(lsi_engine_stream *base, uint32_t group, uint32_t shard, lsi_budget_word **out)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_slot *slot;
    ls_status st = lsi_local_stream_check(stream);

    if (st != LS_OK)
        return st;
    if (group >= LSI_GROUPS_MAX || shard >> LSI_LEASE_SHARD_BITS != 0)
        return lsi_fail(LS_ERR_UNSUPPORTED, "stream '%s': no lease of shard %u, for group %u: they are below %u and %u",
                        stream->name, shard, group, 1u << LSI_LEASE_SHARD_BITS, LSI_GROUPS_MAX);
    st = lsi_control_slot(lsi_local_of_stream(base)->control, LSI_SLOT_LEASE, stream->id,
                          LSI_LEASE_NUMBER(group, shard), &slot);
    if (st == LS_OK)
        *out = slot->budget;
    return st;
}

const lsi_budget_word *lsi_local_find_lease_words(lsi_engine_stream *base, uint32_t group, uint32_t shard)
{
    lsi_error_state before;
    lsi_slot *slot = NULL;
    ls_status st;

    if (group >= LSI_GROUPS_MAX || shard >> LSI_LEASE_SHARD_BITS != 0)
        return NULL;
    lsi_error_save(&before);
    st = lsi_control_slot_find(lsi_local_of_stream(base)->control, LSI_SLOT_LEASE, lsi_local_stream_of(base)->id,
                               LSI_LEASE_NUMBER(group, shard), &slot);
    if (st != LS_OK)
        lsi_error_restore(&before);
    return st == LS_OK && slot != NULL ? slot->budget : NULL;
}

/* Never 0. */
uint64_t lsi_local_ticket(lsi_engine *engine)
{
    lsi_local *local = lsi_local_of(engine);
    uint64_t tag = lsi_control_process_tag(local->control), number;

    if (tag != 0) {
        number = atomic_fetch_add_explicit(&local->ticket_count, 1, memory_order_relaxed);
        return number << LSI_PROCESS_TAG_BITS | tag;
    }
    /* Nothing but a number: many of these processes may be there. */
    engine->env.random(engine->env.random_user, &number, sizeof(number));
    return (number | 1) << LSI_PROCESS_PLACE_BITS;
}

bool lsi_local_ticket_is_gone(lsi_engine *engine, uint64_t ticket)
{
    return lsi_control_is_gone(lsi_local_of(engine)->control, ticket & ((UINT64_C(1) << LSI_PROCESS_TAG_BITS) - 1),
                               LSI_PROCESS_TAG_BITS);
}

ls_status lsi_local_sync_shard(lsi_engine_stream *base, uint32_t shard)
{
    lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_log *log;
    ls_status st;

    if (lsi_local_of_stream(base)->durability == LS_DURABILITY_SYNC)
        return LS_OK; /* D3 */
    st = lsi_local_stream_check_usable(stream);
    if (st == LS_OK)
        st = lsi_local_stream_log(stream, shard, &log);
    if (st == LS_OK)
        st = lsi_log_sync(log);
    return lsi_local_stream_explain(stream, shard, st);
}

uint64_t lsi_local_written(lsi_engine_stream *base, uint32_t shard)
{
    const lsi_local_stream *stream = lsi_local_stream_of(base);
    lsi_error_state before;
    lsi_slot *slot;

    lsi_error_save(&before);
    if (lsi_control_slot_find(lsi_local_of_stream(base)->control, LSI_SLOT_SHARD, stream->id, shard, &slot) == LS_OK)
        return slot != NULL ? atomic_load_explicit(&slot->committed_end, memory_order_relaxed) : 0;
    lsi_error_restore(&before);
    return 0;
}
