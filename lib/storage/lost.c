/* A shard whose directory is lost, or in it everything that could tell what it held: a repair makes its log anew.
 *
 * All that was in it is lost, and said to be; what matters then is that no number is ever given twice (D4). Shared
 * memory of this boot knows below which one all were given. Where nobody knows, the numbers go on at so many per
 * microsecond since 1970: no shard ever gave numbers as fast, however often it was made anew before, and there are
 * enough until the year 2255. The clock has to be right for that.
 *
 * The list names one segment that is not there, for all that was lost, and a skip over it: the same as a repair leaves
 * where a segment is lost. What stands in the directory's place is set aside first (R4). A repair that dies leaves a
 * directory without a list, which the next one sets aside. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/verify.h"

#define SEQNOS_PER_US UINT64_C(1024)
#define NUMBER_MAX (UINT32_MAX / 2)

void lsi_lost_know(const lsi_log_config *config, const lsi_slot *slot, lsi_lost_log *out)
{
    bool is_known = slot != NULL && atomic_load_explicit(&slot->health, memory_order_relaxed) != LSI_SHARD_FRESH;
    uint32_t number = 0, marked = 0;
    uint64_t end = 0, marked_end;

    *out = (lsi_lost_log){.number = 1, .end = config->is_closed ? config->end : 8};
    if (slot != NULL && lsi_watermark_read(slot, &marked, &marked_end))
        number = marked;
    if (is_known) {
        ls_seqno next = lsi_load(&slot->next_seqno), limit = lsi_load(&slot->seqno_limit);

        marked = atomic_load_explicit(&slot->segment, memory_order_relaxed);
        number = marked > number ? marked : number;
        end = lsi_load(&slot->committed_end);
        if (next >= config->first_seqno && limit >= next && limit < LS_SEQNO_END) {
            out->seqno_limit = limit;
            out->arrival_us = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed);
        }
    }
    if (number > 1 && number <= NUMBER_MAX)
        out->number = number;
    if (!config->is_closed && end % 8 == 0 && end <= LSI_POSITION_MAX / 2 && end != 0)
        out->end = end;
}

/* The stream's directory, or the shard's. */
static ls_status make_room(const lsi_log_config *config, const char *dir, const char *above, bool is_needed,
                           char kept[LSI_KEPT_NAME_BYTES])
{
    const lsi_root *root = config->root;
    int rc = root->files->list(root, dir, lsi_stop_at_once, NULL);
    ls_status st = LS_OK;

    if (rc >= 0 && !is_needed)
        return LS_OK;
    if (rc >= 0 || rc == -ENOTDIR || rc == -ELOOP)
        st = lsi_set_aside(root, above, dir, kept);
    else if (rc != -ENOENT)
        st = lsi_fail_errno(-rc, "%s: looking at %s", config->label, dir);
    if (st != LS_OK || is_needed)
        return st;
    rc = root->files->make_dir(root, dir);
    if (rc >= 0)
        rc = root->files->sync_dir(root, above);
    return rc < 0 ? lsi_fail_errno(-rc, "%s: making the directory %s", config->label, dir) : LS_OK;
}

ls_status lsi_lost_make_anew(const lsi_log_config *config, const lsi_recovered_list *lost,
                             char done[LSI_LOST_DONE_BYTES])
{
    const lsi_lost_log *known = &lost->known;
    int64_t now_us = lsi_wall_us(&config->env->clock);
    ls_seqno first = known->seqno_limit != 0 ? known->seqno_limit : config->first_seqno;
    char above[LSI_LOG_DIR_BYTES], kept[LSI_KEPT_NAME_BYTES] = "";
    lsi_segment_entry entry = {.number = known->number, .flags = LSI_SEGMENT_SEALED, .end = known->end,
                               .base_seqno = config->first_seqno};
    ls_status st;
    int rc;

    if (known->seqno_limit == 0 && now_us < LSI_CLOCK_FLOOR_US)
        return lsi_fail(LS_ERR_STATE, "%s: its directory is lost, and nobody knows which numbers it gave: they can "
                        "only go on by the clock, which stands before 2020. Set the clock first; nothing was changed",
                        config->label);
    if (known->seqno_limit == 0 && first < (uint64_t)now_us * SEQNOS_PER_US)
        first = (uint64_t)now_us * SEQNOS_PER_US;
    entry.seqno_limit = first;
    if (entry.end > UINT32_MAX) /* No segment is longer. */
        entry.base = entry.end - (UINT32_MAX & ~UINT32_C(7));
    (void)snprintf(above, sizeof above, "%s", config->dir);
    *strrchr(above, '/') = '\0';
    st = make_room(config, above, "", false, kept);
    if (st == LS_OK)
        st = make_room(config, config->dir, above, true, kept);
    if (st == LS_OK)
        st = lsi_log_create_behind(config, &entry, (lost->next_seqno != 0 ? lost->next_seqno : first) - 1,
                                   known->arrival_us > now_us ? known->arrival_us : now_us);
    if (st != LS_OK)
        return st;
    rc = config->root->files->sync_dir(config->root, above);
    if (rc < 0)
        return lsi_fail_errno(-rc, "%s: syncing the directory %s", config->label, above);
    (void)snprintf(done, LSI_LOST_DONE_BYTES,
                   "the shard was made anew, empty, and goes on above number %" PRIu64 "%s%s", first - 1,
                   kept[0] != '\0' ? "; what stood in its place was kept as " : "", kept);
    return LS_OK;
}
