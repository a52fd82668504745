/* Checking every byte of one log, and telling what is damaged in words an operator can act on.
 *
 * What is damage is recovery's rule (R1, R3): all positions before a segment's stated end must be frames, and where the
 * last segment ends is what shared memory of this boot says, else what recovery itself would say. So the two cannot
 * differ. Beyond the ends nothing is damage, only worth a note.
 *
 * Frames that fail are gathered as *gaps*, ranges of positions, with the numbers of the frames around them: within a
 * segment numbers are consecutive, so the records lost in a gap between two frames are known exactly. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/numbered.h"
#include "storage/seal.h"
#include "storage/verify.h"

/* ---- one segment ---- */

/* A gap that reaches the end of segment `i`, behind whose damage no frame follows: the records lost have numbers below
 * those of the next segment, or as far as shared memory knows, or as far as the header allows. `bytes`: the room that
 * they had, which bounds the last of these. */
static void gap_to_end(const lsi_verify *verify, const lsi_segment_list *list, uint32_t i, uint64_t bytes, lsi_gap *gap)
{
    const lsi_segment_entry *entry = &list->entries[i];
    bool is_known = entry->number == verify->known_segment && verify->known_next >= entry->base_seqno &&
                    verify->known_next <= entry->seqno_limit;
    bool is_last = i + 1 == list->count;

    gap->open_ended = is_last || (entry->flags & LSI_SEGMENT_TORN) != 0;
    gap->room_bytes = gap->open_ended && !is_known ? bytes : UINT64_MAX;
    gap->last_seqno = (is_known ? verify->known_next : is_last ? entry->seqno_limit : entry[1].base_seqno) - 1;
}

/* Compressed, any number of records takes little. */
static uint64_t room_of(const lsi_segment *segment, uint64_t bytes)
{
    return lsi_segment_codec(segment) == LSI_CODEC_PLAIN ? bytes : UINT64_MAX;
}

/* The whole of a segment is a gap. */
static ls_status whole_gap(lsi_verify *verify, const lsi_segment_list *list, uint32_t i, uint64_t end,
                           ls_finding_kind kind, int err)
{
    const lsi_segment_entry *entry = &list->entries[i];
    const lsi_skip *skip = lsi_skip_at(list, entry->base);
    lsi_gap gap = {.kind = kind, .number = entry->number, .from = entry->base, .to = end, .err = err};

    if (skip != NULL && skip->to >= end) {
        char name[LSI_SEGMENT_NAME_BYTES];
        ls_finding finding = {.severity = LS_FINDING_NOTE, .kind = LS_FINDING_SKIPPED, .file = name,
                              .first_seqno = skip->first_seqno, .last_seqno = skip->last_seqno};

        lsi_segment_name(verify->config->dir, entry->number, "seg", name);
        lsi_inspection_tell(verify->inspection, &finding, "%s: %s cannot be read; a repair made readers step over it "
                            "(seqno %" PRIu64 "..%" PRIu64 ")", verify->config->label, name, skip->first_seqno,
                            skip->last_seqno);
        return LS_OK;
    }
    if (end == entry->base && i + 1 < list->count) { /* It was sealed empty. */
        char name[LSI_SEGMENT_NAME_BYTES];
        ls_finding finding = {.severity = LS_FINDING_NOTE, .kind = kind, .file = name};

        lsi_segment_name(verify->config->dir, entry->number, "seg", name);
        lsi_inspection_tell(verify->inspection, &finding, "%s: %s cannot be read; it held no record",
                            verify->config->label,
                            name);
        return LS_OK;
    }
    if (end > entry->base || i + 1 == list->count) {
        gap.first_seqno = entry->base_seqno;
        gap_to_end(verify, list, i, UINT64_MAX, &gap); /* Who knows what codec it had. */
    }
    return lsi_gap_add(verify, gap);
}

ls_status lsi_gap_add_unread(lsi_verify *verify, const lsi_segment_list *list, uint32_t i)
{
    const lsi_segment_entry *entry = &list->entries[i];
    bool is_sealed = (entry->flags & LSI_SEGMENT_SEALED) != 0;

    return whole_gap(verify, list, i, is_sealed ? entry->end : entry->base, LS_FINDING_FILE_UNREADABLE,
                     lsi_last_errno());
}

static bool is_unread(const lsi_verify *verify, uint32_t number)
{
    for (size_t i = 0; i < verify->gap_count; i++)
        if (verify->gaps[i].number == number && verify->gaps[i].kind == LS_FINDING_FILE_UNREADABLE)
            return true;
    return false;
}

static ls_status tell_skipped(lsi_verify *verify, const lsi_segment *segment, const lsi_skip *skip)
{
    ls_finding finding = {.severity = LS_FINDING_NOTE, .kind = LS_FINDING_SKIPPED, .file = segment->name,
                          .offset = skip->from - segment->header.base + LSI_SEGMENT_HEADER_BYTES,
                          .bytes = skip->to - skip->from, .first_seqno = skip->first_seqno,
                          .last_seqno = skip->last_seqno};

    lsi_inspection_tell(verify->inspection, &finding, "%s: %s: %" PRIu64 " bytes at offset 0x%" PRIx64
                        " are stepped over since a repair or a reset (seqno %" PRIu64 "..%" PRIu64 ")",
                        verify->config->label, segment->name, finding.bytes, finding.offset, skip->first_seqno,
                        skip->last_seqno);
    return LS_OK;
}

/* F4 to F7: how many records there are, as far as they can be looked at without a key. */
static ls_status count_records(lsi_unpacker *unpacker, lsi_segment *segment, const unsigned char *at,
                               const lsi_frame *frame, uint32_t *count)
{
    lsi_frame clear = *frame;
    uint32_t offset = 0;
    bool is_right;
    ls_record record;
    lsi_tail tail;

    *count = 0;
    if (((frame->flags & LSI_FRAME_SEALED) != 0) != lsi_segment_is_sealed(segment) ||
        ((frame->flags & LSI_FRAME_NUMBERED) != 0 && !lsi_tail_read(at, frame, &tail))) /* F7 */
        return LS_OK;
    if (lsi_segment_is_sealed(segment)) {
        *count = frame->count;
        return LS_OK;
    }
    if (lsi_frame_is_packed(frame)) {
        lsi_unpacker_reuse(unpacker, false);
        ls_status st = lsi_unpack(unpacker, segment, at, &clear, &at, &is_right);
        if (st != LS_OK || !is_right)
            return st;
    }
    while (*count < frame->count && lsi_frame_next_record(at, &clear, &offset, &record))
        ++*count;
    return LS_OK;
}

/* Walks [base, end) of an open segment. */
static ls_status walk_segment(lsi_verify *verify, const lsi_segment_list *list, uint32_t i, lsi_segment *segment,
                              uint64_t end, lsi_index_copy *index, bool *has_gaps)
{
    const lsi_segment_entry *entry = &list->entries[i];
    ls_inspect_summary *summary = &verify->inspection->summary;
    lsi_unpacker unpacker;
    lsi_walk walk;
    uint64_t file_bytes, file_stop;
    ls_status st = LS_OK;
    int rc = segment->file.files->size(&segment->file, &file_bytes);

    if (rc < 0)
        return lsi_fail_errno(-rc, "asking for the size of %s", segment->name);
    file_stop = entry->base;
    if (file_bytes > LSI_SEGMENT_HEADER_BYTES)
        file_stop += file_bytes - LSI_SEGMENT_HEADER_BYTES;
    lsi_walk_begin(&walk, verify->config->env, segment, entry->base, end, true);
    lsi_unpacker_begin(&unpacker, verify->config);
    while (walk.at < end) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position, from = walk.at;
        uint32_t count;

        const lsi_skip *skip = lsi_skip_at(list, from);
        if (skip != NULL) { /* Whatever is there: frames that a reset gave up look like others. */
            (void)tell_skipped(verify, segment, skip);
            *has_gaps = true;
            walk.at = skip->to < end ? skip->to : end;
            if (skip->last_seqno > walk.after && skip->last_seqno < entry->seqno_limit)
                walk.after = skip->last_seqno;
            continue;
        }
        ls_seqno after = walk.after;
        st = lsi_walk_next(&walk, &frame, &position, &result);
        if (st == LS_OK && result == LSI_FRAME_VALID && walk.at > lsi_skip_next(list, from, end)) {
            result = LSI_FRAME_BAD; /* Who reads stops before the skip. */
            walk.after = after;
        }
        if (st == LS_OK && result == LSI_FRAME_VALID) {
            st = count_records(&unpacker, segment, lsi_walk_bytes(&walk, position), &frame, &count);
            if (st != LS_OK)
                break;
            if (count == frame.count) {
                summary->frames++;
                summary->records += count;
                summary->bytes += frame.bytes;
                lsi_index_strike(index, segment, position, &frame);
                continue;
            }
            lsi_gap gap = {.kind = LS_FINDING_FRAMES, .number = entry->number, .from = from, .to = walk.at,
                           .offset = from - entry->base + LSI_SEGMENT_HEADER_BYTES, .first_seqno = frame.first_seqno,
                           .last_seqno = frame.first_seqno + frame.count - 1};
            *has_gaps = true;
            st = lsi_gap_add(verify, gap);
            if (st != LS_OK)
                break;
            continue;
        }
        lsi_gap gap = {.kind = LS_FINDING_FRAMES, .number = entry->number, .from = from, .to = end,
                       .offset = from - entry->base + LSI_SEGMENT_HEADER_BYTES, .first_seqno = walk.after + 1};
        *has_gaps = true;
        if (st == LS_ERR_IO) { /* The medium: told, and the rest of this file left alone. */
            gap.kind = LS_FINDING_FILE_UNREADABLE;
            gap.err = lsi_last_errno();
            gap_to_end(verify, list, i, room_of(segment, end - from), &gap);
            gap.open_ended = true;
            st = lsi_gap_add(verify, gap);
            break;
        }
        if (st != LS_OK)
            break;
        bool found;
        st = lsi_walk_resume(&walk, from + 8, &found);
        if (st != LS_OK && st != LS_ERR_IO)
            break;
        if (st == LS_OK && found) {
            lsi_frame next;
            const unsigned char *at = lsi_walk_bytes(&walk, walk.at);

            /* It was just checked; its first number bounds what is lost. */
            (void)lsi_frame_read_header(at, SIZE_MAX, segment->seed, walk.at, &next);
            gap.to = walk.at;
            gap.last_seqno = next.first_seqno - 1;
        } else {
            walk.at = end;
            gap_to_end(verify, list, i, room_of(segment, end - from), &gap);
            if (file_stop < end)
                gap.kind = LS_FINDING_SEGMENT_SHORT;
        }
        st = lsi_gap_add(verify, gap);
        if (st != LS_OK)
            break;
    }
    lsi_unpacker_end(&unpacker);
    lsi_walk_end(&walk);
    return st;
}

/* Bytes beyond the end are nobody's. */
static void tell_tail(lsi_verify *verify, const lsi_segment *segment, uint64_t end, bool torn)
{
    ls_finding finding = {.severity = LS_FINDING_NOTE, .kind = LS_FINDING_TORN_TAIL, .file = segment->name,
                          .offset = end - segment->header.base + LSI_SEGMENT_HEADER_BYTES};

    if (torn)
        lsi_inspection_tell(verify->inspection, &finding, "%s: %s has a torn tail at offset 0x%" PRIx64
                            ": an append that a crash cut off", verify->config->label, segment->name,
                            finding.offset);
}

/* Beside others a segment may be trimmed while those before it are walked. */
static ls_status was_trimmed(const lsi_verify *verify, uint32_t number, bool *trimmed)
{
    lsi_segment_list *now;
    ls_status st = lsi_segment_list_load(verify->config, &now);

    if (st != LS_OK)
        return st;
    *trimmed = number < now->entries[0].number;
    lsi_segment_list_unref(now);
    return LS_OK;
}

/* The header that a repair would write; NULL: it needs none, or there is none. */
static const lsi_segment_header *salvaged_header(const lsi_verify *verify, uint32_t number)
{
    for (size_t i = 0; i < verify->salvaged_count; i++)
        if (verify->salvaged[i].number == number)
            return &verify->salvaged[i];
    return NULL;
}

/* Headers that can be written anew lose nothing by themselves: what lies behind them is looked at as if they had been,
 * as it will be after a repair. `*list` then has their sums. */
static ls_status salvage_headers(lsi_verify *verify, lsi_segment_list **list)
{
    const lsi_log_config *config = verify->config;
    lsi_segment_list *fresh = NULL;
    ls_status st = LS_OK;

    for (uint32_t i = 0; st == LS_OK && i < (*list)->count; i++) {
        const lsi_segment_entry *entry = &(*list)->entries[i];
        void *salvaged = verify->salvaged;
        lsi_segment_header header;
        lsi_segment *segment;
        bool is_right = false;

        st = lsi_segment_open(config, entry->number, false, &segment);
        if (st == LS_OK) {
            is_right = lsi_segment_is_named(segment, entry);
            lsi_segment_unref(segment);
        }
        bool can_be = false;
        if (!is_right && (st == LS_OK || st == LS_ERR_CORRUPT || st == LS_ERR_VERSION))
            st = lsi_header_salvage(config, fresh != NULL ? fresh : *list, i, &header, &can_be);
        if (st == LS_ERR_NO_MEMORY)
            break;
        if (st != LS_OK && st != LS_ERR_NOT_FOUND)
            st = lsi_gap_add_unread(verify, *list, i);
        else
            st = LS_OK;
        if (!can_be)
            continue; /* Its whole range is told as lost, if it is. */
        if (fresh == NULL)
            fresh = lsi_list_with_room(config->env, *list, (*list)->count, (*list)->skip_count);
        if (fresh == NULL || !lsi_grow(&config->env->memory, &salvaged, &verify->salvaged_capacity,
                                       verify->salvaged_count + 1, sizeof header)) {
            st = lsi_fail(LS_ERR_NO_MEMORY, "%s: its damaged headers: no memory", config->label);
            break;
        }
        verify->salvaged = salvaged;
        verify->salvaged[verify->salvaged_count++] = header;
        fresh->entries[i].header_sum = header.sum;
        st = lsi_gap_add(verify, (lsi_gap){.kind = LS_FINDING_SEGMENT_HEADER, .number = entry->number,
                                           .to = LSI_SEGMENT_HEADER_BYTES, .salvageable = true});
    }
    if (st == LS_OK && fresh != NULL) {
        lsi_segment_list_unref(*list);
        *list = fresh;
        return LS_OK;
    }
    lsi_segment_list_unref(fresh);
    return st;
}

static ls_status verify_segment(lsi_verify *verify, const lsi_segment_list *list, uint32_t i, uint64_t end, bool torn)
{
    const lsi_log_config *config = verify->config;
    const lsi_segment_entry *entry = &list->entries[i];
    lsi_segment *segment = NULL;
    lsi_index_copy index;
    bool has_gaps = false;
    const lsi_segment_header *header = salvaged_header(verify, entry->number);
    ls_status st = header != NULL ? lsi_segment_open_as(config, header, &segment)
                                  : lsi_segment_open(config, entry->number, false, &segment);

    verify->inspection->summary.segments++;
    if (st == LS_ERR_NO_MEMORY)
        return st;
    if (st == LS_ERR_NOT_FOUND) {
        bool trimmed = false;

        st = verify->beside ? was_trimmed(verify, entry->number, &trimmed) : LS_OK;
        return st != LS_OK || trimmed ? st : whole_gap(verify, list, i, end, LS_FINDING_SEGMENT_MISSING, 0);
    }
    if (st == LS_OK && !lsi_segment_is_named(segment, entry)) {
        lsi_segment_unref(segment);
        st = LS_ERR_CORRUPT;
    }
    if (st != LS_OK && is_unread(verify, entry->number))
        return LS_OK; /* It has been told. */
    if (st == LS_ERR_CORRUPT || st == LS_ERR_VERSION)
        return whole_gap(verify, list, i, end, LS_FINDING_SEGMENT_HEADER, 0);
    if (st != LS_OK)
        return whole_gap(verify, list, i, end, LS_FINDING_FILE_UNREADABLE, lsi_last_errno());
    verify->inspection->summary.bytes += LSI_SEGMENT_HEADER_BYTES;
    st = lsi_index_load(verify, entry->number, &index);
    if (st == LS_OK)
        st = walk_segment(verify, list, i, segment, end, &index, &has_gaps);
    if (st == LS_OK) {
        verify->inspection->summary.bytes += index.size;
        lsi_index_tell(verify, &index, segment, end, has_gaps);
        tell_tail(verify, segment, end, torn);
    }
    lsi_free(&config->env->memory, index.bytes);
    lsi_segment_unref(segment);
    return st;
}

/* ---- the log ---- */

/* Where the last segment ends: as shared memory says, if it is of this boot and somebody uses it or it is true; else as
 * recovery would say. */
static ls_status find_end(lsi_verify *verify, lsi_segment_list *list, const lsi_slot *slot, bool current,
                          uint64_t *end, bool *torn)
{
    const lsi_segment_entry *last = &list->entries[list->count - 1];
    uint32_t health = slot == NULL ? LSI_SHARD_FRESH : atomic_load_explicit(&slot->health, memory_order_relaxed);
    lsi_as_if as_if = {list, salvaged_header(verify, last->number)};
    lsi_log log = {.config = *verify->config};
    ls_status st;
    lsi_slot own;

    log.config.read_only = true;
    *torn = false;
    if (verify->config->is_closed && verify->config->end >= last->base) { /* S9 */
        *end = verify->config->end;
        return LS_OK;
    }
    bool is_of_last = current && health != LSI_SHARD_FRESH &&
                      atomic_load_explicit(&slot->segment, memory_order_relaxed) == last->number &&
                      atomic_load_explicit(&slot->segment_base, memory_order_relaxed) == last->base;
    if (is_of_last && verify->known_segment == 0) { /* Else a repair noted it, before it went on in another segment. */
        verify->known_segment = last->number;
        verify->known_next = lsi_load(&slot->next_seqno);
    }
    /* DAMAGED: where that was found ends what is known, and it may be a header that is looked over here. */
    if (is_of_last && (health == LSI_SHARD_HEALTHY || health == LSI_SHARD_FAILED)) {
        bool is_true = verify->beside, is_older = false;

        *end = health == LSI_SHARD_FAILED ? lsi_slot_kept_end(slot) : lsi_load(&slot->committed_end);
        *torn = (atomic_load_explicit(&slot->roll_first, memory_order_relaxed) & LSI_ROLL_FIRST_TORN) != 0;
        if (!is_true && lsi_log_ends_are_true(&log, &as_if, slot, &is_true, &is_older) != LS_OK)
            is_true = true; /* Its file cannot be read, which will be told. */
        if (is_older)
            lsi_older_tell(verify->config, slot, false, verify->inspection);
        if (is_true && *end >= last->base && *end % 8 == 0)
            return LS_OK;
    }
    /* With the watermark as its witness (R3). */
    memset(&own, 0, sizeof own);
    if (slot != NULL)
        memcpy(&own, slot, sizeof own);
    atomic_store_explicit(&own.health, LSI_SHARD_FRESH, memory_order_relaxed);
    st = lsi_log_look(&log, &as_if, &own);
    if (st == LS_ERR_NO_MEMORY)
        return st;
    if (st != LS_OK) { /* Likewise; nobody knows where it ends, but that there is something. */
        *end = last->base + 8;
        return LS_OK;
    }
    *end = lsi_load(lsi_log_has_step(&own) ? &own.write_end : &own.committed_end); /* Taken or not, it is whole. */
    *torn = (atomic_load_explicit(&own.roll_first, memory_order_relaxed) & LSI_ROLL_FIRST_TORN) != 0 &&
            atomic_load_explicit(&own.health, memory_order_relaxed) != LSI_SHARD_DAMAGED;
    return LS_OK;
}

/* The list cannot be used. `slot`: see lsi_list_recover. */
static ls_status tell_list(lsi_verify *verify, ls_status cause, const lsi_slot *slot)
{
    const lsi_log_config *config = verify->config;
    char name[LSI_SEGMENT_NAME_BYTES], why[LSI_MESSAGE_BYTES];
    ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_SEGMENT_LIST, .file = name,
                          .records_max = LS_RECORDS_UNKNOWN, .advice = "use the release that wrote it"};
    lsi_recovered_list recovered = {0};
    ls_status st;

    if (cause == LS_ERR_CORRUPT) {
        st = lsi_list_recover(config, slot, &recovered);
        verify->list = recovered.list;
        if (st == LS_OK)
            lsi_list_tell(config, &recovered, NULL, verify->inspection);
        return st;
    }
    (void)snprintf(name, sizeof name, "%s/%s", config->dir, LSI_SEGMENT_LIST_NAME);
    (void)snprintf(why, sizeof why, "%s", lsi_last_message());
    if (cause != LS_ERR_VERSION) {
        finding.kind = LS_FINDING_FILE_UNREADABLE;
        finding.advice = lsi_unreadable_advice(lsi_last_errno());
    }
    lsi_inspection_tell(verify->inspection, &finding, "%s: the shard can be neither read nor written", why);
    return LS_OK;
}

ls_status lsi_log_check_list(const lsi_log_config *config)
{
    lsi_segment_list *list;
    ls_status st = lsi_segment_list_load(config, &list);

    if (st == LS_OK)
        lsi_segment_list_unref(list);
    return st;
}

ls_status lsi_verify_segments(lsi_verify *verify, const lsi_slot *slot, bool current)
{
    lsi_segment_list *list;
    uint64_t last_end;
    bool torn;
    ls_status st = LS_OK;

    if (verify->list != NULL)
        list = lsi_segment_list_ref(verify->list);
    else
        st = lsi_segment_list_load(verify->config, &list);
    if (st != LS_OK)
        return st;
    if (!verify->repair) /* Else they have been. */
        st = salvage_headers(verify, &list);
    if (st == LS_OK)
        st = find_end(verify, list, slot, current, &last_end, &torn);
    for (uint32_t i = 0; st == LS_OK && i < list->count && !verify->inspection->stopped; i++) {
        const lsi_segment_entry *entry = &list->entries[i];
        bool sealed = (entry->flags & LSI_SEGMENT_SEALED) != 0;

        st = verify_segment(verify, list, i, sealed ? entry->end : last_end,
                            sealed ? (entry->flags & LSI_SEGMENT_TORN) != 0 : torn);
    }
    if (st == LS_OK)
        st = lsi_producers_check(verify, list, last_end);
    if (st == LS_OK)
        st = lsi_unnamed_tell(verify, list);
    lsi_segment_list_unref(list);
    return st;
}

ls_status lsi_log_verify(const lsi_log_config *config, lsi_peek *peek, lsi_inspection *inspection)
{
    lsi_verify verify = {.config = config, .inspection = inspection, .beside = peek->alive};
    lsi_segment_list *list = NULL;
    const lsi_slot *slot;
    ls_status st = LS_OK;

    inspection->summary.shards++;
    /* Beside producers: a roll between reading the list and the ends would make the ends another segment's. */
    for (int tries = 0; tries < 100; tries++) {
        lsi_segment_list_unref(list);
        list = NULL;
        st = lsi_segment_list_load(config, &list);
        if (st == LS_OK && lsi_file_is_open(&peek->file))
            st = lsi_peek_again(peek);
        slot = lsi_peek_slot(peek, LSI_SLOT_SHARD, config->stream, config->shard);
        if (st != LS_OK || slot == NULL || !peek->current || !peek->alive ||
            atomic_load_explicit(&slot->segment, memory_order_relaxed) == list->entries[list->count - 1].number)
            break;
    }
    lsi_segment_list_unref(list);
    slot = lsi_peek_slot(peek, LSI_SLOT_SHARD, config->stream, config->shard);
    if (st != LS_OK && st != LS_ERR_NO_MEMORY) {
        lsi_slot aged;

        if (slot != NULL && !peek->current) { /* Of an earlier boot: only its watermark is true. */
            memcpy(&aged, slot, sizeof aged);
            atomic_store_explicit(&aged.health, LSI_SHARD_FRESH, memory_order_relaxed);
            atomic_store_explicit(&aged.segment, 0, memory_order_relaxed);
        }
        st = tell_list(&verify, st, slot != NULL && !peek->current ? &aged : slot);
        if (verify.list == NULL)
            return st;
    }
    if (st == LS_OK) {
        if (slot != NULL && peek->current &&
            atomic_load_explicit(&slot->health, memory_order_relaxed) == LSI_SHARD_FAILED) {
            ls_finding finding = {.severity = LS_FINDING_DAMAGE, .kind = LS_FINDING_SYNC_FAILED, .file = config->dir,
                                  .repairable = 1};
            int err = (int)atomic_load_explicit(&slot->failed_errno, memory_order_relaxed);
            char lost[LSI_LOST_BYTES];

            finding.advice = "look at the disk first; then `lstream repair`: goes on at the last place known to be on "
                             "it";
            finding.records_max = lsi_unsynced_records(config, slot);
            lsi_say_lost(&finding, true, lost);
            lsi_inspection_tell(inspection, &finding,
                                "%s: a sync failed (%s): it refuses puts, and what was not synced "
                                "is given up: %s", config->label, strerror(err), lost);
        }
        st = lsi_verify_segments(&verify, slot, peek->current);
    }
    lsi_gaps_tell(&verify, false);
    lsi_segment_list_unref(verify.list);
    lsi_free(&config->env->memory, verify.salvaged);
    lsi_free(&config->env->memory, verify.gaps);
    return st;
}
