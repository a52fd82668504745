/* What is counted, in slots of the control file: of a stream, of each shard and of each lease in their own, the rest in
 * slots that have no other use, freed with the stream's.
 *
 * A slot that cannot be had now, for want of memory or disk or because a stopped process has the store's lock, is
 * passed over: what is counted is never worth failing for. */
#include "base/status.h"
#include "engine/local/local.h"
#include "metrics/metrics.h"

_Static_assert(LSI_ENGINE_COUNTS == LSI_SLOT_COUNT_WORDS, "all words of a slot");
_Static_assert(LSI_COUNT_GET_TIMES + LSI_DURATION_WORDS <= LSI_SLOT_COUNT_WORDS, "a stream's words fit");
_Static_assert(LSI_COUNT_PUT_REPEATS < LSI_SLOT_COUNT_WORDS, "a shard's words fit");

#define MAPPINGS UINT32_C(0x80000000) /* their slots have this bit; the lowest one tells the two kinds apart */
#define GROUPS UINT32_C(0x40000000)
#define WINDOWS UINT32_C(0x20000000) /* with GROUPS: of consumers */
_Static_assert(LSI_COUNTS_NAMED <= WINDOWS, "numbers leave the bits of their kind alone");

static lsi_slot *slot_of(lsi_local_stream *stream, lsi_counts_kind kind, uint32_t number)
{
    lsi_control *control = lsi_local_of_stream(&stream->base)->control;
    lsi_slot *slot = NULL;
    lsi_log *log;

    switch (kind) {
    case LSI_COUNTS_STREAM:
        return stream->slot;
    case LSI_COUNTS_SHARD:
        if (lsi_local_stream_log(stream, number, &log) != LS_OK || lsi_log_find_slot(log, &slot) != LS_OK)
            return NULL;
        return slot;
    case LSI_COUNTS_MAPPING:
    case LSI_COUNTS_MAPPING_TIMES:
        number = MAPPINGS | number << 1 | (kind == LSI_COUNTS_MAPPING_TIMES);
        break;
    case LSI_COUNTS_GROUP:
        number |= GROUPS;
        break;
    case LSI_COUNTS_WINDOW:
        number |= WINDOWS;
        break;
    case LSI_COUNTS_CONSUMER:
        number |= GROUPS | WINDOWS;
        break;
    case LSI_COUNTS_LEASE:
        return lsi_control_slot_find(control, LSI_SLOT_LEASE, stream->id, number, &slot) == LS_OK ? slot : NULL;
    case LSI_COUNTS_PUT_TIMES:
        break;
    }
    return lsi_control_slot(control, LSI_SLOT_COUNTS, stream->id, number, &slot) == LS_OK ? slot : NULL;
}

lsi_engine_count *lsi_local_counts(lsi_engine_stream *base, lsi_counts_kind kind, uint32_t number)
{
    lsi_error_state before;
    lsi_slot *slot = NULL;

    lsi_error_save(&before);
    if (lsi_local_check_mine(lsi_local_of_stream(base)) == LS_OK)
        slot = slot_of(lsi_local_stream_of(base), kind, number);
    if (slot != NULL)
        return slot->counts;
    lsi_error_restore(&before);
    return NULL;
}

void lsi_local_keep_counts(lsi_local *local, uint64_t stream, uint32_t shard)
{
    lsi_error_state before;
    lsi_slot *to = NULL, *from = NULL;

    lsi_error_save(&before);
    if (lsi_control_slot_find(local->control, LSI_SLOT_STREAM, stream, 0, &to) == LS_OK && to != NULL &&
        lsi_control_slot_find(local->control, LSI_SLOT_SHARD, stream, shard, &from) == LS_OK && from != NULL)
        lsi_count(&to->counts[LSI_COUNT_PUT_CALLS + LSI_RESULT_OK], lsi_counted(&from->put_alone));
    lsi_error_restore(&before);
}
