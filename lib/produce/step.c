/* The puts of a step, as far as they are of one stream: records are checked, sorted by shard as those of a batch are,
 * and asked for at the shards' budgets. Who makes the step does the rest. */
#include "produce/producer.h"

#include "base/status.h"

ls_status lsi_producer_check(lsi_producer *producer, ls_bytes key, ls_bytes data)
{
    ls_status st = lsi_route_refresh(producer);

    return st == LS_OK ? lsi_check_record(key, data, producer->record_bytes_max) : st;
}

ls_status lsi_producer_plan(lsi_producer *producer, const ls_put_entry *entries, uint32_t count, lsi_step_put *puts,
                            uint32_t puts_max, uint32_t *put_count)
{
    uint32_t part_count;
    ls_status st;

    *put_count = 0;
    if (producer->has_faults)
        lsi_fate_delay(producer);
    st = lsi_route_refresh(producer);
    for (uint32_t i = 0; st == LS_OK && i < count; i++) /* The stream may have been changed since they were added. */
        st = lsi_check_record(entries[i].partition_key, entries[i].data, producer->record_bytes_max);
    if (st != LS_OK)
        return st;
    if (!lsi_batch_make_room(producer, count))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory to sort %u records", count);
    for (uint32_t i = 0; i < count; i++)
        producer->batch.pending[i] = i;
    part_count = lsi_batch_group(producer, entries, count, 0, 0);
    if (part_count > puts_max)
        return lsi_fail(LS_ERR_TOO_LARGE, "stream '%s': the records belong to %u shards, with those of other streams "
                        "too many: the limit is %u", producer->name, part_count, LSI_STEP_PUTS_MAX);
    for (uint32_t i = 0; i < part_count; i++) {
        const lsi_put_part *part = &producer->batch.parts[i];

        puts[i] = (lsi_step_put){.stream = producer->stream, .shard = part->shard, .entries = entries,
                                 .picks = producer->batch.picks + part->begin, .count = part->count};
    }
    *put_count = part_count;
    return LS_OK;
}

ls_status lsi_producer_admit(lsi_producer *producer, const lsi_step_put *put)
{
    uint64_t bytes = 0;

    if (!producer->is_limited)
        return LS_OK;
    for (uint32_t i = 0; i < put->count; i++)
        bytes += put->entries[put->picks[i]].partition_key.size + put->entries[put->picks[i]].data.size;
    return lsi_put_admit(producer, put->shard, put->count, bytes);
}

void lsi_producer_stepped(const lsi_producer *producer, const lsi_step_put *put)
{
    lsi_put_synced(producer, put->shard, put->entries, put->picks, put->count);
}

ls_status lsi_producer_plan_again(lsi_producer *producer, uint32_t shard, int64_t *deadline_us)
{
    ls_status st = lsi_route_wait(producer, producer->generation, shard, deadline_us);

    return st == LS_OK ? lsi_route_rebuild(producer) : st;
}

uint64_t lsi_producer_stream_id(const lsi_producer *producer)
{
    return producer->stream_id;
}
