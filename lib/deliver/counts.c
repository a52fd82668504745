/* What runs of a delivery count, in words that all processes share and add to: so the sums of all runs are in one
 * place, and a run that dies leaves what it had done. An object is counted when the destination has it; one that is
 * delivered again after a death, when it is. */
#include "deliver/inside.h"

#include "metrics/metrics.h"

_Static_assert(LSI_DELIVERED_RETRIES < LSI_ENGINE_COUNTS, "a delivery's words fit");

uint32_t lsi_delivery_counts_number(uint64_t id)
{
    return (uint32_t)(id ^ id >> 32) & UINT32_C(0x3fffffff); /* as of a mapping, whose words these might have been */
}

void lsi_delivery_count(const lsi_delivery_run_state *run, uint32_t word, uint64_t n)
{
    if (run->counts != NULL)
        lsi_count(&run->counts[word], n);
}

void lsi_delivery_count_object(const lsi_delivery_run_state *run, const lsi_buffer *buffer, size_t bytes)
{
    uint32_t kind = (uint32_t)buffer->kind - LS_DELIVERY_DATA;

    lsi_delivery_count(run, LSI_DELIVERED_OBJECTS + kind, 1);
    lsi_delivery_count(run, LSI_DELIVERED_RECORDS + kind, buffer->record_count);
    lsi_delivery_count(run, LSI_DELIVERED_BYTES + kind, bytes);
}
