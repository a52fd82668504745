/* Finding where a log ends: after a reboot from its last segment, after a death from what the dead noted.
 *
 * The truth is the segments and the list; the control file is a hint (section 3 of the promises), also where all of it
 * fits: it may be older than the segments, as when somebody copied the store while it was written, or put one back:
 *  R2  Frames carry `durable_end`; watermarks in the control file lag behind syncs and never lead.
 *  R3  In the last segment let B be the first byte that is no valid frame. If a valid frame beyond B, or the watermark,
 *      proves bytes past B durable, there is damage at B. Otherwise the tail is torn: the log ends at B, silently but
 *      counted. (A valid frame beyond B alone proves nothing: unsynced pages reach the disk in any order.)
 *  R4  Damage in the last segment stops appends; everything around it stays readable.
 *  R5  A torn segment is never appended to again: the next append begins a new one.
 *  R7  May itself be interrupted anywhere: until the last store nothing but the log's own bytes was written again.
 *  R8  What was found beyond the watermark is written again and synced before anybody reads it.
 */
#include "storage/log.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define VERIFY_BYTES (64u << 10) /* what must be right before ends of this boot are believed */

/* What a scan of the last segment found. */
typedef struct scan {
    uint64_t end;          /* B, or behind the last valid frame when damaged */
    uint64_t durable;      /* what the watermark vouches for, within the segment */
    int64_t arrival_us;
    ls_seqno next_seqno;   /* behind the last frame that was found */
    bool torn;             /* bytes lie beyond the end */
    bool damaged;
    uint64_t damage_at;
    lsi_frame last;        /* the last frame before the end; no bytes: there is none */
    uint64_t hidden_end;   /* not 0: from the end to here lies a step's frame, and nothing says that it was taken */
} scan;

/* Where frames may lie: the file's size, at a frame's boundary, or the end that a closed log has. */
static ls_status file_end(const lsi_log *log, const lsi_segment *segment, uint64_t *out)
{
    uint64_t size;
    int rc = segment->file.files->size(&segment->file, &size);

    if (rc < 0)
        return lsi_fail_errno(-rc, "asking for the size of %s", segment->name);
    uint64_t frames = size > LSI_SEGMENT_HEADER_BYTES ? size - LSI_SEGMENT_HEADER_BYTES : 0;
    if (frames > segment->header.frames_bytes_max)
        frames = segment->header.frames_bytes_max;
    *out = segment->header.base + (frames & ~(uint64_t)7);
    if (log->config.is_closed && *out > log->config.end) /* S9 */
        *out = log->config.end;
    return LS_OK;
}

static ls_status bytes_are_zero(const lsi_env *env, const lsi_segment *segment, uint64_t from, uint64_t to, bool *zero)
{
    unsigned char *buffer = lsi_alloc(&env->memory, VERIFY_BYTES);
    ls_status st = LS_OK;

    if (buffer == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "looking at the tail of %s: no memory", segment->name);
    *zero = true;
    while (from < to && *zero) {
        size_t size = to - from > VERIFY_BYTES ? VERIFY_BYTES : (size_t)(to - from);
        int64_t got = segment->file.files->read(&segment->file, buffer, size,
                                                from - segment->header.base + LSI_SEGMENT_HEADER_BYTES);
        if (got < 0) {
            st = lsi_fail_errno((int)-got, "reading the tail of %s", segment->name);
            break;
        }
        *zero = lsi_is_zero(buffer, (size_t)got);
        if (got < (int64_t)size) /* The file ends here. */
            break;
        from += size;
    }
    lsi_free(&env->memory, buffer);
    return st;
}

/* R3. */
static ls_status scan_segment(const lsi_log *log, const lsi_segment_list *list, const lsi_segment *segment,
                              uint64_t watermark, scan *out)
{
    const lsi_env *env = log->config.env;
    uint64_t stop = segment->header.base;
    lsi_walk walk;
    ls_status st = file_end(log, segment, &stop);

    if (st != LS_OK)
        return st;
    *out = (scan){.end = segment->header.base, .arrival_us = segment->header.base_arrival_us,
                  .next_seqno = segment->header.base_seqno};
    out->durable = watermark > segment->header.base ? watermark : segment->header.base;
    lsi_walk_begin(&walk, env, segment, segment->header.base, stop, true);
    uint64_t first_bad = 0; /* B, once met; positions of frames are above it */
    uint64_t last_end = 0;
    bool have_bad = false;
    for (;;) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position;
        st = lsi_walk_next(&walk, &frame, &position, &result);
        if (st != LS_OK)
            goto out;
        if (result == LSI_FRAME_VALID) {
            out->next_seqno = frame.first_seqno + frame.count;
            if (!have_bad) {
                out->end = walk.at;
                out->last = frame;
                last_end = walk.at;
                if (frame.arrival_us > out->arrival_us)
                    out->arrival_us = frame.arrival_us;
            } else if (out->damaged || frame.durable_end > first_bad) {
                /* Proven: it, and what follows, was written after B was durable. */
                out->damaged = true;
                out->end = walk.at;
                if (frame.arrival_us > out->arrival_us)
                    out->arrival_us = frame.arrival_us;
            }
            continue;
        }
        const lsi_skip *skip = lsi_skip_at(list, walk.at);
        if (skip != NULL && skip->to <= stop) { /* A repair has dealt with it. */
            walk.at = skip->to;
            if (out->end < skip->to)
                out->end = skip->to;
            continue;
        }
        if (!have_bad) {
            have_bad = true;
            first_bad = out->damage_at = walk.at;
        }
        bool found;
        st = lsi_walk_resume(&walk, walk.at + 8, &found);
        if (st != LS_OK)
            goto out;
        if (!found)
            break;
    }
    if (!have_bad)
        first_bad = out->end; /* Frames up to the very end of the file. */
    if (out->durable > first_bad) { /* The watermark is a witness too. */
        out->damaged = true;
        if (out->damage_at == 0)
            out->damage_at = first_bad;
        if (out->end < out->durable)
            out->end = lsi_round_up(out->durable, 8);
    }
    if (!out->damaged) {
        bool zero;
        st = bytes_are_zero(env, segment, out->end, stop, &zero);
        if (st != LS_OK)
            goto out;
        out->torn = !zero;
        if (out->durable > out->end)
            out->durable = out->end;
        /* A frame or a skip behind it, or a watermark, would say so: none of them comes before it counts. */
        if (out->last.kind == LSI_FRAME_STEP && out->end == last_end && out->durable < out->end &&
            !log->config.is_closed)
            out->hidden_end = out->end;
    }
out:
    lsi_walk_end(&walk);
    return st;
}

static void publish(lsi_slot *slot, const lsi_segment_entry *last, const scan *found, uint32_t why, uint32_t health)
{
    /* What was known of the numbers stays known: it says what is lost where the end is damaged. Where new ones begin is
     * not asked of it: see LSI_ROLL_FIRST_NUMBERS. */
    ls_seqno next = lsi_load(&slot->next_seqno);

    if (next < found->next_seqno || next < last->base_seqno || next > last->seqno_limit)
        next = last->seqno_limit;
    atomic_store_explicit(&slot->segment_base, last->base, memory_order_release); /* Pairs with lsi_slot_kept_end. */
    atomic_store_explicit(&slot->seqno_limit, last->seqno_limit, memory_order_relaxed);
    atomic_store_explicit(&slot->next_seqno, next, memory_order_relaxed);
    atomic_store_explicit(&slot->last_arrival_us, found->arrival_us, memory_order_relaxed);
    atomic_store_explicit(&slot->allocated_end, found->end, memory_order_relaxed);
    atomic_store_explicit(&slot->zeroed_end, found->end, memory_order_relaxed);
    atomic_store_explicit(&slot->indexed_end, found->end, memory_order_relaxed);
    /* Terms may have been changed by one who holds no lock: what he said stays. */
    (void)atomic_fetch_or_explicit(&slot->roll_first, why, memory_order_relaxed);
    (void)atomic_fetch_and_explicit(&slot->roll_first, why | LSI_ROLL_FIRST_TERMS, memory_order_relaxed);
    atomic_store_explicit(&slot->failed_errno, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->segment, last->number, memory_order_release);
    atomic_store_explicit(&slot->durable_end, found->end, memory_order_seq_cst);
    atomic_store_explicit(&slot->committed_end, found->end, memory_order_seq_cst);
    atomic_store_explicit(&slot->step, found->hidden_end != 0, memory_order_relaxed);
    atomic_store_explicit(&slot->write_end, found->hidden_end != 0 ? found->hidden_end : found->end,
                          memory_order_release);
    /* Last: everything above is true now. Pairs with the loads of health. */
    atomic_store_explicit(&slot->health, health, memory_order_release);
}

void lsi_log_publish_empty(const lsi_log_config *config, lsi_slot *slot, const lsi_segment_entry *first,
                           int64_t arrival_us)
{
    scan found = {.end = first->base, .arrival_us = arrival_us};

    /* The slot may have been one of a log that was never named, or that another manifest named. */
    memset(slot->watermark, 0, sizeof slot->watermark);
    atomic_store_explicit(&slot->closed, LSI_LOG_OPEN, memory_order_relaxed);
    atomic_store_explicit(&slot->given_up_to, 0, memory_order_relaxed);
    publish(slot, first, &found, 0, LSI_SHARD_HEALTHY); /* No manifest names the log yet: nobody else is here. */
    atomic_store_explicit(&slot->next_seqno, first->base_seqno, memory_order_release);
    atomic_store_explicit(&slot->epoch, lsi_control_epoch(config->control), memory_order_release);
}

static void tell(const lsi_log *log, lsi_slot *slot, const lsi_segment_entry *last, const scan *found)
{
    const char *label = log->config.label;

    if (found->damaged) {
        lsi_env_log(log->config.env, LS_LOG_ERROR,
                    "%s: damage at 0x%llx of %08u.seg, which was durable: puts are refused",
                label, (unsigned long long)(found->damage_at - last->base + LSI_SEGMENT_HEADER_BYTES), last->number);
    } else if (found->torn) {
        (void)atomic_fetch_add_explicit(&slot->torn_count, 1, memory_order_relaxed);
        lsi_env_log(log->config.env, LS_LOG_WARNING,
                    "%s: a torn tail at 0x%llx of %08u.seg: nothing acknowledged is in it",
                label, (unsigned long long)(found->end - last->base + LSI_SEGMENT_HEADER_BYTES), last->number);
    }
}

/* The last segment cannot even be opened: it is damage from its first byte on (R4, R6), and readers that get so far are
 * told so, for the end is put behind it. */
static void publish_unreadable(const lsi_log *log, lsi_slot *slot, const lsi_segment_entry *last)
{
    scan found = {.end = last->base + 8, .arrival_us = last->base_arrival_us, .damaged = true};

    lsi_env_log(log->config.env, LS_LOG_ERROR, "%s: %s", log->config.label, ls_last_error_message());
    publish(slot, last, &found, LSI_ROLL_FIRST_NUMBERS | LSI_ROLL_FIRST_TORN, LSI_SHARD_DAMAGED);
}

static ls_status list_of(const lsi_log *log, const lsi_as_if *as_if, lsi_segment_list **out)
{
    if (as_if == NULL)
        return lsi_segment_list_load(&log->config, out);
    *out = lsi_segment_list_ref(as_if->list);
    return LS_OK;
}

static ls_status open_last(const lsi_log *log, const lsi_as_if *as_if, uint32_t number, bool write, lsi_segment **out)
{
    return as_if != NULL && as_if->header != NULL ? lsi_segment_open_as(&log->config, as_if->header, out)
                                                  : lsi_segment_open(&log->config, number, write, out);
}

/* R8, of the list that led here: who replaced it may have died before he synced its name. Where that sync failed, or
 * may have and nobody knows any more, one that returns 0 now says nothing of it (E1): the list is written once more. */
static ls_status settle_list(const lsi_log *log, const lsi_segment_list *list, lsi_slot *slot)
{
    const lsi_log_config *config = &log->config;
    bool again = atomic_load_explicit(&slot->failed_errno, memory_order_relaxed) != 0 ||
                 lsi_control_is_unsure(config->control);
    lsi_segment_list *fresh;
    ls_status st;
    int rc;

    if (!again) {
        rc = config->root->files->sync_dir(config->root, config->dir);
        if (rc == 0)
            return LS_OK;
        atomic_store_explicit(&slot->failed_errno, (uint32_t)-rc, memory_order_relaxed);
        return lsi_fail_errno(-rc, "%s: syncing the directory %s", config->label, config->dir);
    }
    st = lsi_segment_list_copy(list, &fresh);
    if (st == LS_OK) {
        st = lsi_segment_list_store(config, fresh);
        lsi_segment_list_unref(fresh);
    }
    return st;
}

/* R8. `is_from_disk`: nobody wrote since the boot, so what was read came from the disk, and a sync is enough where
 * there is no space to write it again, as file systems that copy on write ask for: a full disk stops no reader (E3). */
static int settle_bytes(const lsi_log *log, const lsi_segment *segment, uint64_t from, uint64_t to, bool is_from_disk)
{
    int rc = lsi_log_write_again(log, segment, from, to);

    if ((rc == -ENOSPC || rc == -EDQUOT) && is_from_disk)
        rc = 0;
    return rc < 0 ? rc : segment->file.files->sync(&segment->file, true);
}

/* From the segments alone. `write`: R8 and a shared slot; else for one's own eyes. */
static ls_status recover_from_segments(lsi_log *log, const lsi_as_if *as_if, lsi_slot *slot, bool write)
{
    lsi_segment_list *list;
    lsi_segment *segment = NULL;
    bool trimmed;
    scan found;
    ls_status st = list_of(log, as_if, &list);

    if (st != LS_OK)
        return st;
    const lsi_segment_entry *last = lsi_segment_list_last(list);
    st = open_last(log, as_if, last->number, write, &segment);
    if (st == LS_ERR_NOT_FOUND && !write && lsi_log_was_trimmed(log, last->number, &trimmed) == LS_OK && trimmed) {
        lsi_segment_list_unref(list);
        return recover_from_segments(log, NULL, slot, write); /* Who may write goes on in another one. */
    }
    if (st == LS_OK && !lsi_segment_is_named(segment, last))
        st = lsi_fail(LS_ERR_CORRUPT, "%s: %s is not the file that the segment list names", log->config.label,
                      segment->name);
    if (st == LS_ERR_NOT_FOUND)
        st = lsi_fail(LS_ERR_CORRUPT, "%s: %08u.seg is named by the segment list and not there", log->config.label,
                      last->number);
    if (st == LS_OK && log->config.is_closed && log->config.end < last->base)
        st = lsi_fail(LS_ERR_CORRUPT, "%s: it was closed at position %llu, and %s begins at %llu", log->config.label,
                      (unsigned long long)log->config.end, segment->name, (unsigned long long)last->base);
    if (st == LS_ERR_CORRUPT) {
        publish_unreadable(log, slot, last); /* The shard is damaged; this call has not failed. */
        st = LS_OK;
        goto out;
    }
    if (st != LS_OK)
        goto out;

    uint32_t marked;
    uint64_t watermark = 0;
    if (!lsi_watermark_read(slot, &marked, &watermark) || marked != last->number)
        watermark = 0;
    if (log->config.is_closed) /* S9: that end is as good a witness (R3). */
        watermark = log->config.end;
    st = scan_segment(log, list, segment, watermark, &found);
    if (st != LS_OK)
        goto out;
    if (write && !found.damaged) {
        st = settle_list(log, list, slot);
        if (st != LS_OK)
            goto out;
    }
    if (write && !found.damaged && found.end > found.durable) { /* R8 */
        bool is_from_disk = atomic_load_explicit(&slot->health, memory_order_relaxed) == LSI_SHARD_FRESH &&
                            !lsi_control_is_unsure(log->config.control);
        int rc = settle_bytes(log, segment, found.durable, found.end, is_from_disk);
        if (rc < 0) {
            st = lsi_fail_errno(-rc, "%s: writing again what was found in %s", log->config.label, segment->name);
            goto out;
        }
    }
    tell(log, slot, last, &found);
    if (found.hidden_end != 0) { /* It is decided by who needs to know: see lsi_log_take_over. */
        found.end -= found.last.bytes;
        found.next_seqno = found.last.first_seqno;
        if (found.durable > found.end)
            found.durable = found.end;
    }
    /* Numbers may have been given that nobody knows of any more, so the next append begins a new segment (D4). */
    publish(slot, last, &found, LSI_ROLL_FIRST_NUMBERS | (found.torn || found.damaged ? LSI_ROLL_FIRST_TORN : 0),
            found.damaged ? LSI_SHARD_DAMAGED : LSI_SHARD_HEALTHY);
    if (write && !found.damaged && found.end > segment->header.base)
        lsi_watermark_note(slot, last->number, found.end);
out:
    lsi_segment_unref(segment);
    lsi_segment_list_unref(list);
    return st;
}

ls_status lsi_log_look(lsi_log *log, const lsi_as_if *as_if, lsi_slot *own)
{
    atomic_store_explicit(&own->closed, log->config.is_closed ? LSI_LOG_CLOSED : LSI_LOG_OPEN, memory_order_relaxed);
    return recover_from_segments(log, as_if, own, false);
}

static bool is_space(const lsi_segment *segment, uint64_t position)
{
    return position >= segment->header.base && position - segment->header.base <= segment->header.frames_bytes_max;
}

/* What of the last segment a watermark vouches for: unlike the word durable_end it has a sum. */
static uint64_t marked_end(const lsi_log *log, const lsi_slot *slot, bool valid, uint32_t number, uint64_t marked)
{
    uint64_t base = lsi_load(&slot->segment_base), committed = lsi_load(&slot->committed_end);

    if (log->config.is_closed)
        return committed; /* S9 */
    if (!valid || marked < base || number != atomic_load_explicit(&slot->segment, memory_order_relaxed))
        return base; /* S5 */
    return marked < committed ? marked : committed;
}

/* Whether a whole frame stands at the end that the slot states. */
static ls_status is_frame_at(const lsi_log *log, const lsi_segment *segment, uint64_t end, uint64_t limit, bool *is)
{
    lsi_frame frame;
    lsi_frame_result result;
    uint64_t position;
    lsi_walk walk;

    lsi_walk_begin(&walk, log->config.env, segment, end, limit, true);
    ls_status st = lsi_walk_next(&walk, &frame, &position, &result);
    lsi_walk_end(&walk);
    *is = st == LS_OK && result == LSI_FRAME_VALID;
    return st;
}

/* Whether something was written at or behind the end that the slot states. Then that is an older slot over a newer log,
 * for whoever appends goes on at the end: no hint makes a record vanish. What a dead process had begun to write is no
 * such thing, unless all of it is there; nor is what lies behind an end behind which nothing is appended any more.
 * `*is_older`: it begins with a frame, which nobody can have died over. */
static ls_status is_followed(const lsi_log *log, const lsi_slot *slot, const lsi_segment *segment, bool *followed,
                             bool *is_older)
{
    uint64_t end = lsi_load(&slot->committed_end), under_way = lsi_load(&slot->write_end);
    uint64_t limit = segment->header.base + segment->header.frames_bytes_max;
    bool zero;

    *followed = *is_older = false;
    if (log->config.is_closed || atomic_load_explicit(&slot->health, memory_order_relaxed) == LSI_SHARD_FAILED ||
        (atomic_load_explicit(&slot->roll_first, memory_order_relaxed) & LSI_ROLL_FIRST_TORN) != 0)
        return LS_OK;
    if (under_way == LSI_ROLLING || under_way < end)
        under_way = end;
    if (under_way > limit) {
        *followed = true;
        return LS_OK;
    }
    /* What follows begins right there; more is looked at only for what may have damaged its beginning. */
    ls_status st = bytes_are_zero(log->config.env, segment, under_way,
                                  limit - under_way > VERIFY_BYTES ? under_way + VERIFY_BYTES : limit, &zero);
    if (st != LS_OK || (zero && under_way == end))
        return st;
    st = is_frame_at(log, segment, end, limit, followed);
    *is_older = *followed && !zero;
    *followed = *followed || !zero;
    return st;
}

/* What a look at the end of the last segment says. */
typedef struct ends {
    bool are_true;
    bool is_older;      /* see is_followed */
    int64_t arrival_us; /* of the last frame, or the segment's */
    uint64_t file_end;
} ends;

/* The ends in the slot are of this boot, but nobody was alive in between: look at the frames just before the end, and
 * at what is behind it. */
static ls_status look_at_ends(const lsi_log *log, const lsi_as_if *as_if, const lsi_slot *slot, ends *out)
{
    uint32_t number = atomic_load_explicit(&slot->segment, memory_order_relaxed);
    uint64_t end = lsi_load(&slot->committed_end);
    lsi_segment_list *list;
    lsi_segment *segment = NULL;
    bool followed;
    ls_status st = list_of(log, as_if, &list);

    *out = (ends){.are_true = false};
    if (st != LS_OK)
        return st;
    const lsi_segment_entry *last = lsi_segment_list_last(list);
    ls_seqno next = lsi_load(&slot->next_seqno);
    uint64_t marked;
    uint32_t marked_number;
    if (atomic_load_explicit(&slot->health, memory_order_relaxed) == LSI_SHARD_HEALTHY &&
        lsi_load(&slot->given_up_to) > last->base)
        goto out; /* A reset's words, and no reset is under way: they would hide what is there. */
    if (!log->config.is_closed && lsi_watermark_read(slot, &marked_number, &marked) && marked_number == number &&
        marked > end)
        goto out; /* It has a sum, and never leads. */
    if (last->number != number || last->base != lsi_load(&slot->segment_base) || end < last->base ||
        (log->config.is_closed && end != log->config.end) ||
        lsi_load(&slot->durable_end) > end || lsi_load(&slot->seqno_limit) != last->seqno_limit ||
        next < last->base_seqno || next > last->seqno_limit)
        goto out;
    st = open_last(log, as_if, number, false, &segment);
    if (st != LS_OK || !lsi_segment_is_named(segment, last)) {
        st = st == LS_ERR_CORRUPT || st == LS_ERR_NOT_FOUND ? LS_OK : st;
        goto out;
    }
    st = file_end(log, segment, &out->file_end);
    if (st != LS_OK || !is_space(segment, end))
        goto out;
    out->arrival_us = segment->header.base_arrival_us;
    uint64_t from = end - last->base > VERIFY_BYTES ? end - VERIFY_BYTES : last->base;
    lsi_index_entry hint;
    lsi_walk walk;
    bool hinted = from > last->base && lsi_index_find(&log->config, segment, from, LS_SEQNO_NONE, LSI_NO_TIME, &hint);
    lsi_walk_begin(&walk, log->config.env, segment, hinted ? hint.position : last->base, end, true);
    for (;;) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position;
        st = lsi_walk_next(&walk, &frame, &position, &result);
        if (st != LS_OK)
            break;
        if (result == LSI_FRAME_VALID) {
            out->are_true = walk.at == end && frame.first_seqno + frame.count <= next &&
                            frame.arrival_us <= atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed);
            out->arrival_us = frame.arrival_us;
            continue;
        }
        if (walk.at < end) {
            const lsi_skip *skip = lsi_skip_at(list, walk.at);
            if (skip != NULL && skip->to <= end) {
                walk.at = skip->to;
                out->are_true = walk.at == end;
                continue;
            }
            out->are_true = false;
            if (hinted) {
                hinted = false;
                walk.at = last->base;
                walk.after = segment->header.base_seqno - 1;
                continue;
            }
        }
        break;
    }
    if (end == last->base)
        out->are_true = true;
    lsi_walk_end(&walk);
    if (st == LS_OK && out->are_true) {
        st = is_followed(log, slot, segment, &followed, &out->is_older);
        out->are_true = st == LS_OK && !followed;
    }
out:
    lsi_segment_unref(segment);
    lsi_segment_list_unref(list);
    return st;
}

ls_status lsi_log_ends_are_true(const lsi_log *log, const lsi_as_if *as_if, const lsi_slot *slot, bool *true_ends,
                                bool *is_older)
{
    ends found;
    ls_status st = look_at_ends(log, as_if, slot, &found);

    *true_ends = found.are_true;
    *is_older = found.is_older;
    return st;
}

/* The ends are true; of what else the slot says, what the files can say is theirs to say, and the rest is not believed
 * to be more than can be: zeros that are not there would be mapped, and those written from too low a place would be
 * written over frames; space that nobody has would be counted as the stream's, and a stamp from the future would be
 * every later record's. */
static void settle_words(lsi_slot *slot, const ends *found)
{
    uint64_t end = lsi_load(&slot->committed_end), zeroed = lsi_load(&slot->zeroed_end);
    uint64_t allocated = lsi_load(&slot->allocated_end);

    if (zeroed < end || zeroed > found->file_end)
        atomic_store_explicit(&slot->zeroed_end, end, memory_order_relaxed);
    if (allocated < end || allocated > found->file_end)
        atomic_store_explicit(&slot->allocated_end, found->file_end > end ? found->file_end : end,
                              memory_order_relaxed);
    atomic_store_explicit(&slot->last_arrival_us, found->arrival_us, memory_order_relaxed);
}

ls_status lsi_log_ends_hold(lsi_log *log, lsi_slot *slot, bool *hold)
{
    uint64_t durable = lsi_load(&slot->durable_end), marked = 0;
    uint32_t number = 0;
    bool valid = lsi_watermark_read(slot, &number, &marked);

    *hold = false;
    if (atomic_load_explicit(&slot->health, memory_order_acquire) != LSI_SHARD_HEALTHY)
        return LS_OK;
    ends found;
    ls_status st = look_at_ends(log, NULL, slot, &found);
    *hold = found.are_true;
    /* Less than that would hide records that were acknowledged. */
    if (durable != lsi_load(&slot->committed_end) &&
        (!valid || durable != marked_end(log, slot, valid, number, marked)))
        *hold = false;
    return st;
}

/* E2: the last process may have died, or been wrong, between a write and its sync. Only what the watermark vouches for
 * is believed to be durable, and in SYNC the rest is made so before anybody waits to read it. */
static ls_status settle_durable(lsi_log *log, lsi_slot *slot, uint64_t marked)
{
    uint64_t committed = lsi_load(&slot->committed_end);
    lsi_segment *segment;

    /* Nobody believes it before the epoch says so, so this once it may fall. */
    if (lsi_load(&slot->durable_end) != marked)
        atomic_store_explicit(&slot->durable_end, marked, memory_order_seq_cst);
    if (log->config.durability != LS_DURABILITY_SYNC || marked == committed)
        return LS_OK;
    ls_status st = lsi_log_segment(log, slot, atomic_load_explicit(&slot->segment, memory_order_relaxed), &segment);
    if (st != LS_OK)
        return st;
    st = lsi_log_sync_segment(log, slot, segment, committed);
    lsi_segment_unref(segment);
    return st;
}

/* E1: of a shard that FAILED nothing is synced any more, so readers see what the watermark vouches for and nothing
 * else: whoever was told that more is durable saw it noted there before (S4). No reset is under way where nobody is
 * alive; one that died begins again, and gives up what is not durable and nothing else. */
static void settle_failed(lsi_slot *slot, uint64_t marked)
{
    atomic_store_explicit(&slot->given_up_to, 0, memory_order_seq_cst);
    atomic_store_explicit(&slot->durable_end, marked, memory_order_seq_cst);
}

/* Whether the write that was under way can have been one of the last segment. */
static ls_status is_in_last_segment(const lsi_log *log, const lsi_slot *slot, bool *is)
{
    lsi_segment_list *list;
    ls_status st = lsi_segment_list_load(&log->config, &list);

    if (st != LS_OK)
        return st;
    const lsi_segment_entry *last = lsi_segment_list_last(list);
    uint64_t committed = lsi_load(&slot->committed_end), under_way = lsi_load(&slot->write_end);
    /* Below the base the differences are large, too. */
    *is = last->number == atomic_load_explicit(&slot->segment, memory_order_relaxed) &&
          committed - last->base <= UINT32_MAX &&
          (under_way == LSI_ROLLING || under_way - last->base <= UINT32_MAX);
    lsi_segment_list_unref(list);
    return LS_OK;
}

ls_status lsi_log_recover(lsi_log *log, lsi_slot *slot)
{
    ls_status st = LS_OK;
    uint32_t health = atomic_load_explicit(&slot->health, memory_order_acquire);
    /* FAILED is nowhere but here; all else can be found out from the segments. */
    bool of_this_boot = health == LSI_SHARD_HEALTHY || health == LSI_SHARD_FAILED;

    uint64_t marked = 0;
    uint32_t number = 0;
    bool valid = lsi_watermark_read(slot, &number, &marked);
    uint32_t failed_errno = atomic_load_explicit(&slot->failed_errno, memory_order_relaxed);

    if (of_this_boot) {
        bool is_left = health == LSI_SHARD_HEALTHY && lsi_load(&slot->write_end) != lsi_load(&slot->committed_end);
        ends found;
        if (is_left) /* Of a roll that was under way only the segments know how far it came. */
            st = is_in_last_segment(log, slot, &of_this_boot);
        if (st == LS_OK && of_this_boot) {
            st = look_at_ends(log, NULL, slot, &found);
            of_this_boot = found.are_true;
        }
        if (st == LS_OK && of_this_boot)
            settle_words(slot, &found);
        if (st == LS_OK && of_this_boot && is_left)
            st = lsi_log_take_over(log, slot, &(lsi_step_left){0});
        if (st == LSI_PREPARE_FIRST)
            st = LS_OK; /* It stays as it is, for who goes on from here. */
        if (st == LS_OK && of_this_boot && health == LSI_SHARD_HEALTHY)
            st = settle_durable(log, slot, marked_end(log, slot, valid, number, marked));
        else if (st == LS_OK && of_this_boot)
            settle_failed(slot, marked_end(log, slot, valid, number, marked));
        if (st != LS_OK)
            return st;
        if (!of_this_boot)
            lsi_env_log(log->config.env, LS_LOG_WARNING, "%s: the control file's ends are not true: scanning",
                    log->config.label);
    }
    if (!of_this_boot) {
        st = recover_from_segments(log, NULL, slot, health != LSI_SHARD_FAILED); /* E1: no second sync is believed. */
        if (st != LS_OK)
            return st;
        (void)atomic_fetch_add_explicit(&slot->list_generation, 1, memory_order_acq_rel);
        /* Nobody waits for anything yet; a reset that died before the list said so begins again. */
        atomic_store_explicit(&slot->given_up_to, 0, memory_order_relaxed);
        if (health == LSI_SHARD_FAILED) { /* S6, and readers see no more than before. */
            atomic_store_explicit(&slot->health, LSI_SHARD_FAILED, memory_order_relaxed);
            atomic_store_explicit(&slot->failed_errno, failed_errno, memory_order_relaxed);
            /* A reset gives up what is not durable, and steps with it. */
            atomic_store_explicit(&slot->step, 0, memory_order_relaxed);
            atomic_store_explicit(&slot->write_end, lsi_load(&slot->committed_end), memory_order_release);
            settle_failed(slot, marked_end(log, slot, valid, number, marked));
        }
    }
    /* An earlier process may have died with a list of its own in place. */
    atomic_store_explicit(&slot->sealed_bytes, 0, memory_order_relaxed);
    /* Who closes it says so after this; what an earlier process left here is no news. */
    atomic_store_explicit(&slot->closed, log->config.is_closed ? LSI_LOG_CLOSED : LSI_LOG_OPEN, memory_order_relaxed);
    /* Pairs with is_recovered(). */
    atomic_store_explicit(&slot->epoch, lsi_control_epoch(log->config.control), memory_order_release);
    return LS_OK;
}

/* Whether what was under way is a step's frame, all of it. */
static ls_status find_step(const lsi_log *log, const lsi_segment *segment, uint64_t from, uint64_t to, bool *found,
                           lsi_frame *frame)
{
    lsi_frame_result result;
    uint64_t position;
    lsi_walk walk;

    lsi_walk_begin(&walk, log->config.env, segment, from, to, true);
    ls_status st = lsi_walk_next(&walk, frame, &position, &result);
    *found = st == LS_OK && result == LSI_FRAME_VALID && frame->kind == LSI_FRAME_STEP && walk.at == to;
    lsi_walk_end(&walk);
    return st;
}

/* A step's frame that was taken counts from now on, and is durable: it was, with all that is in front of it, before it
 * could be taken. So it is not synced again, which might fail, and a reset would give up what was acknowledged. Locks:
 * append_lock held. */
static void show_step(lsi_log *log, lsi_slot *slot, const lsi_segment *segment, const lsi_frame *frame, uint64_t end)
{
    atomic_store_explicit(&slot->last_arrival_us, frame->arrival_us, memory_order_relaxed);
    atomic_store_explicit(&slot->next_seqno, frame->first_seqno + frame->count, memory_order_release);
    atomic_store_explicit(&slot->committed_end, end, memory_order_release);
    lsi_log_note_durable(log, slot, segment, end);
    atomic_store_explicit(&slot->step, 0, memory_order_release);
    if (log->config.durability != LS_DURABILITY_SYNC)
        lsi_slots_wake(slot, log->config.stream_slot);
}

/* S2. */
ls_status lsi_log_take_over(lsi_log *log, lsi_slot *slot, lsi_step_left *left)
{
    uint64_t committed = lsi_load(&slot->committed_end), under_way = lsi_load(&slot->write_end);
    uint32_t number = atomic_load_explicit(&slot->segment, memory_order_acquire);
    lsi_segment_list *list;
    lsi_segment *segment = NULL;
    ls_status st = lsi_segment_list_load(&log->config, &list);

    if (st != LS_OK)
        return st;
    const lsi_segment_entry *last = lsi_segment_list_last(list);
    if (last->number != number) {
        /* The dead had rolled and not said so, or had no descriptor left (list_failed in roll.c): the new segment is
         * named, synced and empty. Whether the list that names it would survive a loss of power, nobody knows (S3). */
        int rc = log->config.root->files->sync_dir(log->config.root, log->config.dir);
        if (rc < 0) {
            st = rc == -EMFILE || rc == -ENFILE /* E4 */
                     ? lsi_fail_errno(-rc, "%s: syncing the directory %s", log->config.label, log->config.dir)
                     : lsi_log_fail(log, slot, -rc);
            goto out;
        }
        scan found = {.end = last->base,
                      .arrival_us = atomic_load_explicit(&slot->last_arrival_us, memory_order_relaxed)};
        (void)atomic_fetch_add_explicit(&slot->list_generation, 1, memory_order_acq_rel);
        publish(slot, last, &found, 0, atomic_load_explicit(&slot->health, memory_order_relaxed));
        atomic_store_explicit(&slot->next_seqno, last->base_seqno, memory_order_release);
        lsi_env_log(log->config.env, LS_LOG_INFO, "%s: took over a roll to segment %u", log->config.label,
                    last->number);
        goto out;
    }
    if (under_way != LSI_ROLLING && under_way > committed) {
        bool zero;
        st = lsi_segment_open(&log->config, number, false, &segment);
        bool is_step = false;
        lsi_frame frame;
        if (st == LS_OK && lsi_log_has_step(slot))
            st = find_step(log, segment, committed, under_way, &is_step, &frame);
        if (st == LS_OK && is_step && left->first_seqno != frame.first_seqno) {
            *left = (lsi_step_left){.decider = frame.decider, .first_seqno = frame.first_seqno};
            st = LSI_PREPARE_FIRST;
        }
        if (st == LS_OK && is_step && left->is_taken) {
            show_step(log, slot, segment, &frame, under_way);
            goto out;
        }
        if (st == LS_OK)
            st = bytes_are_zero(log->config.env, segment, committed, under_way, &zero);
        if (st != LS_OK)
            goto out;
        if (!zero) { /* R5: nobody knows what they are, and nobody was told that they are there. */
            (void)atomic_fetch_or_explicit(&slot->roll_first, LSI_ROLL_FIRST_NUMBERS | LSI_ROLL_FIRST_TORN,
                                           memory_order_relaxed);
            (void)atomic_fetch_add_explicit(&slot->torn_count, 1, memory_order_relaxed);
            lsi_env_log(log->config.env, LS_LOG_WARNING, "%s: a process died while it wrote; its write is set aside",
                    log->config.label);
        }
    }
    atomic_store_explicit(&slot->step, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->write_end, committed, memory_order_release);
out:
    lsi_segment_unref(segment);
    lsi_segment_list_unref(list);
    return st;
}
