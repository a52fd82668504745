/* Repairing one log: afterwards all that lies outside the damage can be read, and the shard takes puts again (R4).
 *
 * Nothing that holds records is ever changed but for a damaged segment header. Readers are made to step over what is
 * damaged by *skips* in the segment list; so the original bytes stay where they are, and a better idea may still read
 * them. What is replaced (list, header) is kept beside first. Each step ends in one rename or one write that recovery
 * understands, so a repair that is killed can simply be run again.
 *
 * The order matters: the list is needed for everything; headers decide what can be read; the end of the log is settled
 * by recovery and, when that finds damage, by a reset, which begins a new segment; what is then still no frame gets a
 * skip. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/verify.h"

/* ---- headers ---- */

/* A failure is none of both: the wrong header would make all of the file unreadable. */
static ls_status is_in_blocks(const lsi_log_config *config, const lsi_segment_header *header, bool *is)
{
    lsi_segment *segment;
    ls_status st = lsi_segment_open_as(config, header, &segment);

    if (st != LS_OK)
        return st;
    *is = segment->file.files != config->root->files;
    lsi_segment_unref(segment);
    return LS_OK;
}

/* Writes the header anew; the list then has its sum. `*unread`: nobody knows whether it can be. */
static ls_status repair_header(const lsi_verify *verify, lsi_segment_list *list, uint32_t i, bool *changed,
                               bool *unread)
{
    const lsi_log_config *config = verify->config;
    lsi_segment_entry *entry = &list->entries[i];
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    char name[LSI_SEGMENT_NAME_BYTES], kept[LSI_KEPT_NAME_BYTES], done[LSI_KEPT_NAME_BYTES + 96];
    char why[LSI_MESSAGE_BYTES];
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_SEGMENT_HEADER, .file = name,
                          .bytes = LSI_SEGMENT_HEADER_BYTES, .repairable = 1, .repaired = 1, .advice = done};
    lsi_segment_header header;
    lsi_segment *segment;
    bool can_be = false, in_blocks;
    lsi_file file;
    ls_status st = lsi_segment_open(config, entry->number, false, &segment);
    int rc;

    if (st == LS_OK && lsi_segment_is_named(segment, entry)) {
        lsi_segment_unref(segment);
        return LS_OK;
    }
    if (st == LS_OK)
        lsi_segment_unref(segment);
    if (st == LS_OK || st == LS_ERR_CORRUPT || st == LS_ERR_VERSION) {
        st = lsi_header_salvage(config, list, i, &header, &can_be);
    } else if (st == LS_ERR_NOT_FOUND) {
        st = LS_OK;
    }
    *unread = st != LS_OK && st != LS_ERR_NO_MEMORY;
    if (st != LS_OK)
        return st;
    if (!can_be)
        return LS_OK; /* Its whole range becomes a skip. */
    lsi_say_header(config, entry->number, why);
    lsi_segment_name(config->dir, entry->number, "seg", name);
    st = is_in_blocks(config, &header, &in_blocks);
    if (st == LS_OK)
        st = lsi_keep_aside(config->env, config->root, config->dir, name, LSI_SEGMENT_HEADER_BYTES, kept);
    if (st != LS_OK)
        return st;
    lsi_segment_header_encode(&header, bytes);
    if (in_blocks)
        lsi_segment_header_pack(bytes);
    rc = config->root->files->open(config->root, name, LSI_OPEN_WRITE, &file);
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening %s", name);
    rc = lsi_file_write_one(&file, bytes, sizeof bytes, 0);
    if (rc >= 0)
        rc = file.files->sync(&file, true);
    (void)file.files->close(&file); /* Synced, or it failed already. */
    if (rc < 0)
        return lsi_fail_errno(-rc, "writing the header of %s", name);
    if (entry->header_sum != header.sum) {
        entry->header_sum = header.sum;
        *changed = true;
    }
    (void)snprintf(done, sizeof done, "it was written anew from the segment list; its 4,096 bytes were kept as %s",
                   kept);
    lsi_inspection_tell(verify->inspection, &finding, "%s: no record is lost", why);
    return LS_OK;
}

/* ---- the list ---- */

/* This thread's last error is why the list that is there cannot be used. `slot`: NULL, there is none to be had. */
static ls_status rebuild_list(const lsi_log_config *config, lsi_slot *slot, lsi_inspection *inspection,
                              bool *can_go_on)
{
    char name[LSI_SEGMENT_NAME_BYTES], kept[LSI_KEPT_NAME_BYTES], done[LSI_KEPT_NAME_BYTES + 96];
    char anew[LSI_LOST_DONE_BYTES];
    lsi_recovered_list recovered;
    ls_status st = lsi_list_recover(config, slot, &recovered);

    *can_go_on = false;
    (void)snprintf(name, sizeof name, "%s/%s", config->dir, LSI_SEGMENT_LIST_NAME);
    if (st != LS_OK)
        return st;
    if (recovered.list == NULL) {
        if (recovered.is_lost) {
            st = lsi_lost_make_anew(config, &recovered, anew);
            *can_go_on = st == LS_OK;
        }
        if (*can_go_on && slot != NULL) /* What it says is of the old one. */
            atomic_store_explicit(&slot->health, LSI_SHARD_FRESH, memory_order_release);
        if (st == LS_OK)
            lsi_list_tell(config, &recovered, *can_go_on ? anew : NULL, inspection);
        return st;
    }
    (void)snprintf(done, sizeof done, "the list was rebuilt from the segments' headers; there was none to keep");
    st = lsi_keep_aside(config->env, config->root, config->dir, name, UINT64_MAX, kept);
    if (st == LS_OK)
        (void)snprintf(done, sizeof done, "the list was rebuilt from the segments' headers; the old one was kept as %s",
                       kept);
    if (st == LS_OK || st == LS_ERR_NOT_FOUND)
        st = lsi_segment_list_store(config, recovered.list);
    if (st == LS_OK) {
        *can_go_on = true;
        lsi_list_tell(config, &recovered, done, inspection);
    }
    lsi_segment_list_unref(recovered.list);
    return st;
}

/* ---- skips ---- */

static int by_from(const void *a, const void *b)
{
    const lsi_skip *x = a, *y = b;

    return (x->from > y->from) - (x->from < y->from);
}

/* Before it is replaced. */
static ls_status keep_list(const lsi_log_config *config)
{
    char name[LSI_SEGMENT_NAME_BYTES], kept[LSI_KEPT_NAME_BYTES];

    (void)snprintf(name, sizeof name, "%s/%s", config->dir, LSI_SEGMENT_LIST_NAME);
    return lsi_keep_aside(config->env, config->root, config->dir, name, UINT64_MAX, kept);
}

static bool is_segments_base(const lsi_segment_list *list, uint64_t position)
{
    return list->entries[lsi_segment_list_find(list, position)].base == position;
}

/* Makes readers step over every gap. Skips that touch or overlap become one, but where a segment begins: the numbers of
 * one say nothing of the next one's. */
static ls_status add_skips(const lsi_verify *verify, lsi_slot *slot)
{
    const lsi_log_config *config = verify->config;
    lsi_segment_list *list, *fresh = NULL;
    uint32_t made = 0;
    ls_status st;

    st = lsi_segment_list_load(config, &list);
    if (st != LS_OK)
        return st;
    fresh = lsi_list_with_room(config->env, list, list->count, list->skip_count + verify->gap_count);
    if (fresh == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "%s: %zu skips: no memory", config->label, verify->gap_count);
        goto out;
    }
    for (size_t i = 0; i < verify->gap_count; i++) {
        const lsi_gap *gap = &verify->gaps[i];

        if (gap->from < gap->to && gap->kind != LS_FINDING_FILE_UNREADABLE)
            fresh->skips[fresh->skip_count++] = (lsi_skip){gap->from, gap->to, gap->first_seqno, gap->last_seqno};
    }
    if (fresh->skip_count == list->skip_count)
        goto out;
    qsort(fresh->skips, fresh->skip_count, sizeof *fresh->skips, by_from);
    for (uint32_t i = 0; i < fresh->skip_count; i++) {
        const lsi_skip skip = fresh->skips[i];
        lsi_skip *last = made > 0 ? &fresh->skips[made - 1] : NULL;

        if (last == NULL || skip.from > last->to || (skip.from == last->to && is_segments_base(list, skip.from))) {
            fresh->skips[made++] = skip;
            continue;
        }
        if (skip.to > last->to)
            last->to = skip.to;
        if (skip.last_seqno > last->last_seqno)
            last->last_seqno = skip.last_seqno;
        if (last->first_seqno == 0)
            last->first_seqno = skip.first_seqno;
    }
    fresh->skip_count = made;
    st = keep_list(config);
    if (st == LS_OK)
        st = lsi_segment_list_store(config, fresh);
    if (st == LS_OK)
        (void)atomic_fetch_add_explicit(&slot->list_generation, 1, memory_order_acq_rel); /* Pairs with lsi_log_list. */
out:
    lsi_segment_list_unref(list);
    lsi_segment_list_unref(fresh);
    return st;
}

/* ---- the log ---- */

/* A segment of which nobody knows whether it can be repaired is left as it is, and told as one that cannot be read.
 * Where that is the last one the log cannot go on: its end would be looked for, and what cannot be read be given up. */
static ls_status repair_headers(lsi_verify *verify, bool *can_go_on)
{
    const lsi_log_config *config = verify->config;
    lsi_segment_list *list, *fresh = NULL;
    bool changed = false;
    ls_status st = lsi_segment_list_load(config, &list);

    if (st != LS_OK)
        return st;
    fresh = lsi_list_with_room(config->env, list, list->count, list->skip_count);
    if (fresh == NULL)
        st = lsi_fail(LS_ERR_NO_MEMORY, "%s: its segment list: no memory", config->label);
    for (uint32_t i = 0; st == LS_OK && i < fresh->count; i++) {
        bool unread = false;

        st = repair_header(verify, fresh, i, &changed, &unread);
        if (unread) {
            *can_go_on = *can_go_on && i + 1 < fresh->count;
            st = lsi_gap_add_unread(verify, fresh, i);
        }
    }
    if (st == LS_OK && changed)
        st = keep_list(config);
    if (st == LS_OK && changed)
        st = lsi_segment_list_store(config, fresh);
    lsi_segment_list_unref(list);
    lsi_segment_list_unref(fresh);
    return st;
}

/* How far the numbers of the last segment went, which nobody knows any more when its damage has been looked at. */
static void note_numbers(lsi_verify *verify)
{
    const lsi_log_config *config = verify->config;
    lsi_segment_list *list;
    lsi_slot *slot;

    if (lsi_control_slot(config->control, LSI_SLOT_SHARD, config->stream, config->shard, &slot) != LS_OK ||
        atomic_load_explicit(&slot->health, memory_order_relaxed) == LSI_SHARD_FRESH ||
        lsi_segment_list_load(config, &list) != LS_OK)
        return; /* A bound will do. */
    if (atomic_load_explicit(&slot->segment, memory_order_relaxed) == lsi_segment_list_last(list)->number) {
        verify->known_segment = lsi_segment_list_last(list)->number;
        verify->known_next = lsi_load(&slot->next_seqno);
    }
    lsi_segment_list_unref(list);
}

/* Before it is found again where the log ends. */
static void tell_older(lsi_log *log, lsi_inspection *inspection)
{
    bool are_true, is_older;
    lsi_slot *slot;
    uint32_t health;

    if (lsi_log_find_slot(log, &slot) != LS_OK)
        return; /* Using it says why. */
    health = atomic_load_explicit(&slot->health, memory_order_relaxed);
    if ((health == LSI_SHARD_HEALTHY || health == LSI_SHARD_FAILED) &&
        lsi_log_ends_are_true(log, NULL, slot, &are_true, &is_older) == LS_OK && is_older)
        lsi_older_tell(&log->config, slot, true, inspection);
}

ls_status lsi_log_repair(const lsi_log_config *config, lsi_inspection *inspection)
{
    lsi_verify verify = {.config = config, .inspection = inspection, .repair = true};
    lsi_segment_list *list = NULL;
    lsi_log *log = NULL;
    lsi_slot *slot = NULL;
    bool can_go_on = true;
    ls_status st = lsi_segment_list_load(config, &list);

    inspection->summary.shards++;
    lsi_segment_list_unref(list);
    if (st == LS_ERR_CORRUPT) {
        lsi_error_state why;
        lsi_error_save(&why);
        if (lsi_control_keep(config->control, LSI_SLOT_SHARD, config->stream, config->shard, &slot) != LS_OK)
            slot = NULL;
        lsi_error_restore(&why);
        st = rebuild_list(config, slot, inspection, &can_go_on);
        if (slot != NULL)
            lsi_control_let_go(config->control, slot);
    }
    if (st != LS_OK || !can_go_on)
        return st;
    st = repair_headers(&verify, &can_go_on);
    if (st == LS_OK && can_go_on) {
        note_numbers(&verify);
        st = lsi_log_open(config, &log);
    }
    if (st != LS_OK || !can_go_on) {
        lsi_gaps_tell(&verify, false);
        lsi_free(&config->env->memory, verify.gaps);
        return st;
    }
    tell_older(log, inspection);
    st = lsi_log_touch(log);
    if (st != LS_OK)
        goto out;
    slot = lsi_log_slot(log);

    uint32_t health = atomic_load_explicit(&slot->health, memory_order_acquire);
    /* A closed one takes no puts anyway: stepping over its damage is all there is to do (S9). */
    if (!config->is_closed && (health == LSI_SHARD_FAILED || health == LSI_SHARD_DAMAGED)) {
        int err = (int)atomic_load_explicit(&slot->failed_errno, memory_order_relaxed);
        uint64_t given_up = lsi_unsynced_records(config, slot);

        st = keep_list(config);
        if (st == LS_OK)
            st = lsi_log_reset(log);
        if (st != LS_OK)
            goto out;
        if (health == LSI_SHARD_FAILED) {
            ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_SYNC_FAILED, .file = config->dir,
                                  .repairable = 1, .repaired = 1, .records_max = given_up,
                                  .advice = "it goes on in a new segment at the last place known to be on the disk"};

            char lost[LSI_LOST_BYTES];

            lsi_say_lost(&finding, true, lost);
            lsi_inspection_tell(inspection, &finding, "%s: a sync had failed (%s): what was not synced is given up: %s",
                                config->label, strerror(err), lost);
        }
    }
    st = lsi_verify_segments(&verify, slot, true);
    if (st == LS_OK && verify.gap_count != 0)
        st = add_skips(&verify, slot);
    lsi_gaps_tell(&verify, st == LS_OK);
    if (st == LS_OK && verify.why_snapshot[0] != '\0')
        st = lsi_producers_repair(&verify, log, slot);
out:
    lsi_free(&config->env->memory, verify.gaps);
    {
        ls_status closed = lsi_log_close(log);

        if (st == LS_OK)
            st = closed;
    }
    return st;
}
