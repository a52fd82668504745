/* The limits of a provisioned stream on what goes in: asked after a record has its shard and before it is written, so
 * that all processes together keep them (the rules and the words they share are stream/throttle.c's).
 *
 * A batch is taken record by record, as Kinesis does: what fits is stored, the rest fails by itself. Once a record of a
 * shard was refused, those that follow it in the call to the same shard are refused too, however small they are: so a
 * caller who puts the failed ones again, in order, keeps the order per shard. An atomic batch is taken whole.
 *
 * What was taken for a record that then fails for another reason is not given back: the limit is on trying. */
#include "produce/producer.h"

#include "base/status.h"

/* `refused`: so many are told, when it is refused. */
static ls_status admit(lsi_producer *producer, uint32_t shard, uint32_t records, uint64_t bytes, uint32_t refused)
{
    lsi_budget_word *budget = producer->ops->budget(producer->stream, shard);
    lsi_refusal why;

    if (budget == NULL || lsi_rates_admit_write(&producer->rates, budget, records, bytes,
                                                lsi_monotonic_us(&producer->env->clock), &why))
        return LS_OK;
    lsi_put_over(producer, shard, why.limit, refused);
    return lsi_rates_refuse(&why, producer->name, shard);
}

ls_status lsi_put_admit(lsi_producer *producer, uint32_t shard, uint32_t records, uint64_t bytes)
{
    ls_status st = LS_OK;

    if (producer->has_faults)
        (void)lsi_fate_of(producer, shard, records, false, &st); /* all or none: `st` says it too */
    if (st == LS_ERR_THROTTLED)
        lsi_put_over(producer, shard, "records", records);
    return st != LS_OK || !producer->is_provisioned ? st : admit(producer, shard, records, bytes, records);
}

void lsi_put_admit_part(lsi_producer *producer, const ls_put_entry *entries, const uint32_t *picks, lsi_put_part *part)
{
    uint32_t spared = part->count;

    if (producer->has_faults)
        spared = lsi_fate_of(producer, part->shard, part->count, true, &part->refused_status);
    if (spared < part->count && part->refused_status == LS_ERR_THROTTLED)
        lsi_put_over(producer, part->shard, "records", part->count - spared);
    for (uint32_t i = 0; producer->is_provisioned && i < spared; i++) {
        const ls_put_entry *entry = &entries[picks[i]];
        ls_status st = admit(producer, part->shard, 1, entry->partition_key.size + entry->data.size, spared - i);

        if (st != LS_OK) {
            spared = i;
            part->refused_status = st;
        }
    }
    part->refused = part->count - spared;
}
