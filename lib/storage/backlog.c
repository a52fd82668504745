/* How many records lie behind a place. Numbers of one segment have no gaps, and neither have those of two of which the
 * second goes on where the first one ended; only what begins after a crash, a reset or a repair goes on at the first
 * one's limit (S7). So the numbers tell, but for these, where the last frame before is looked for. */
#include "storage/log.h"

#include "base/status.h"

static ls_status count_in(lsi_log *log, const lsi_segment_list *list, uint64_t end, ls_seqno first, uint64_t *out)
{
    ls_seqno known = first, behind; /* gaps below `known` were taken away; `behind` the last record */
    lsi_frame frame;
    bool found;
    ls_status st = lsi_log_last_frame(log, list, end, &found, &frame);

    *out = 0;
    if (st != LS_OK || !found || frame.first_seqno + frame.count <= first)
        return st;
    behind = frame.first_seqno + frame.count;
    *out = behind - first;
    for (uint32_t i = 1; i < list->count && list->entries[i].base_seqno < behind; i++) {
        const lsi_segment_entry *entry = &list->entries[i];

        if (entry->base_seqno <= known || entry->base_seqno != entry[-1].seqno_limit)
            continue;
        st = lsi_log_last_frame(log, list, entry->base, &found, &frame);
        if (st != LS_OK)
            return st;
        if (found && frame.first_seqno + frame.count > known)
            known = frame.first_seqno + frame.count;
        if (known < entry->base_seqno)
            *out -= entry->base_seqno - known;
        known = entry->base_seqno;
    }
    return LS_OK;
}

ls_status lsi_log_count_from(lsi_log *log, ls_seqno first, uint64_t *out)
{
    lsi_segment_list *list;
    lsi_slot *slot;
    ls_status st = lsi_log_step_settle(log);

    if (st == LS_OK)
        st = lsi_log_ready(log, &slot);
    if (st != LS_OK)
        return st;
    uint64_t end = lsi_log_published(log, slot);
    st = lsi_log_list(log, slot, &list);
    if (st != LS_OK)
        return st;
    st = count_in(log, list, end, first, out);
    lsi_segment_list_unref(list);
    return st;
}
