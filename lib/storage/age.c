/* When a record counts as arrived (E8): by its stamp, unless the clock was wrong.
 *
 * Stamps never decrease, so after a clock that was wrong they may be anything. A log begins a new segment when the
 * clock no longer fits the one it is in, and the header says how they fit: `created_us` is what the clock said, and
 * `base_arrival_us` below which no stamp is. So these are known for good, whatever becomes of the processes:
 *
 *  G1  A segment that was begun more than an hour before its own first stamp is AHEAD: its stamps go on from those of
 *      a clock that was ahead. They go at the pace of the clock, and by so much earlier its records arrived.
 *  G2  A segment that was begun before LSI_CLOCK_FLOOR_US is DOUBTFUL: nobody knows when. The first put with a clock
 *      that may be right, or upkeep, begins another one, and what lies before counts as arrived when that was begun.
 *  G3  No record counts as arrived later than the next segment was begun; where segments at the end are ahead, none
 *      before as later than they were begun. A segment that was ahead and has one behind it that is not, for the clock
 *      has passed all stamps, is as a doubtful one: it may as well have been begun by a clock that was late.
 *  G4  So it is, too, when the clock has passed all stamps and nobody has begun one behind it yet, which the first put
 *      does, or upkeep.
 *  G5  So it is, too, with those behind which one was begun because the clock had been set forward by more than an hour
 *      while stamps were ahead (CORRECTED): they may as well have been begun by a clock that was late. That it was set
 *      only the control file knows, which has what the clock was ahead of passing time at the last put. After a boot
 *      nobody does, and the list is believed.
 *
 * So what counts never decreases along the log either, and who asks for the first record that counts as arrived at or
 * after some time finds it by the list. Who asks about a time before the floor goes by stamps: his clock is no
 * better. */
#include "storage/segment.h"

int64_t lsi_segment_lead_us(const lsi_segment_header *header)
{
    int64_t lead_us;

    if (__builtin_sub_overflow(header->base_arrival_us, header->created_us, &lead_us))
        return 0;
    return lead_us > LSI_CLOCK_STEP_US ? lead_us : 0;
}

int64_t lsi_segment_fits_from_us(const lsi_segment_header *header)
{
    bool is_plain = header->created_us >= LSI_CLOCK_FLOOR_US && lsi_segment_lead_us(header) == 0;

    return is_plain ? LSI_CLOCK_FLOOR_US : INT64_MAX;
}

static bool heeds_doubt(const lsi_env *env)
{
    return env->clock.passing_us == NULL; /* Where a user sets the clock, 1970 is a year as any other. */
}

bool lsi_segment_fits_clock(const lsi_env *env, const lsi_segment_header *header, int64_t last_us, int64_t now_us)
{
    int64_t lead_us = lsi_segment_lead_us(header), stamp_us, behind_us;

    if (heeds_doubt(env) && (header->created_us < LSI_CLOCK_FLOOR_US) != (now_us < LSI_CLOCK_FLOOR_US))
        return false;
    if (now_us >= last_us)
        return lead_us == 0;
    return !__builtin_add_overflow(now_us, lead_us, &stamp_us) &&
           !__builtin_sub_overflow(last_us, stamp_us, &behind_us) && behind_us <= LSI_CLOCK_STEP_US;
}

void lsi_segment_entry_begin(const lsi_env *env, const lsi_segment_header *header, lsi_segment_entry *out)
{
    *out = (lsi_segment_entry){.number = header->number,
                               .base = header->base,
                               .base_seqno = header->base_seqno,
                               .seqno_limit = header->seqno_limit,
                               .base_arrival_us = header->base_arrival_us,
                               .header_sum = header->sum};
    if (heeds_doubt(env) && header->created_us < LSI_CLOCK_FLOOR_US) {
        out->flags = LSI_SEGMENT_DOUBTFUL;
    } else if (lsi_segment_lead_us(header) != 0) {
        out->flags = LSI_SEGMENT_AHEAD;
        out->base_arrival_us = header->created_us;
    }
}

void lsi_segment_entry_follow(lsi_segment_entry *entry, const lsi_segment_entry *old,
                              const lsi_segment_header *old_header, int64_t last_us)
{
    int64_t arrived_us;

    if ((entry->flags & old->flags & LSI_SEGMENT_AHEAD) != 0 &&
        !__builtin_sub_overflow(last_us, lsi_segment_lead_us(old_header), &arrived_us) &&
        arrived_us < entry->base_arrival_us)
        entry->base_arrival_us = arrived_us;
}

bool lsi_clock_is_set_forward(const lsi_env *env, int64_t offset_us)
{
    int64_t by_us;

    return offset_us != 0 && !__builtin_sub_overflow(lsi_clock_offset_us(env), offset_us, &by_us) &&
           by_us > LSI_CLOCK_STEP_US;
}

int64_t lsi_clock_offset_us(const lsi_env *env)
{
    int64_t offset_us;

    if (__builtin_sub_overflow(lsi_wall_us(&env->clock), lsi_passing_us(&env->clock), &offset_us))
        return 0;
    return offset_us;
}

bool lsi_segment_list_is_late(const lsi_segment_list *list, int64_t last_us, int64_t now_us)
{
    uint32_t flags = list->entries[list->count - 1].flags;

    return (flags & (LSI_SEGMENT_AHEAD | LSI_SEGMENT_DOUBTFUL)) != 0 && now_us >= LSI_CLOCK_FLOOR_US &&
           last_us <= now_us;
}

void lsi_segment_list_find_ages(lsi_segment_list *list, bool is_late)
{
    bool is_end = !is_late; /* nothing but what is ahead or doubtful lies behind */
    int64_t newest_us = INT64_MAX;

    list->is_late = is_late;
    for (uint32_t i = list->count; i-- > 0;) {
        lsi_segment_entry *entry = &list->entries[i];
        bool is_ahead = (entry->flags & LSI_SEGMENT_AHEAD) != 0;
        bool is_doubtful = (entry->flags & LSI_SEGMENT_DOUBTFUL) != 0;

        is_end = is_end && (is_ahead || is_doubtful);
        entry->newest_us = newest_us;
        entry->is_stamped = !is_doubtful && (!is_ahead || is_end);
        if (entry->is_stamped && entry->base_arrival_us < newest_us)
            newest_us = entry->base_arrival_us;
        is_end = is_end && (entry->flags & LSI_SEGMENT_CORRECTED) == 0;
    }
}

int64_t lsi_segment_list_newest_us(const lsi_segment_list *list, uint32_t i, int64_t before_us)
{
    if (before_us >= LSI_CLOCK_FLOOR_US)
        return list->entries[i].newest_us;
    return i + 1 < list->count ? list->entries[i + 1].base_arrival_us : INT64_MAX;
}

int64_t lsi_segment_stamp_sought(const lsi_segment_entry *entry, const lsi_segment_header *header, int64_t from_us)
{
    int64_t stamp_us;

    if (from_us < LSI_CLOCK_FLOOR_US)
        return from_us;
    if (entry->newest_us < from_us)
        return INT64_MAX;
    if (!entry->is_stamped)
        return INT64_MIN;
    if ((entry->flags & LSI_SEGMENT_AHEAD) == 0)
        return from_us;
    return __builtin_add_overflow(from_us, lsi_segment_lead_us(header), &stamp_us) ? INT64_MAX : stamp_us;
}
