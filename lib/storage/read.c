/* Reading a log: from a place, frame after frame, in bytes of its own (page.c) that are checked before anything of them
 * is shown. A reader takes no lock and writes nothing.
 *
 * This is where a consumer's time goes, so what is done for every frame and every record is inline and in one pass:
 * both sums of a frame, then its records, straight into the array that the caller gets. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash_wide.h"
#include "base/status.h"
#include "storage/frame_read.h"
#include "storage/reader.h"
#include "storage/give.h"

void lsi_give_frames_plain(lsi_log_reader *reader, uint64_t stop, lsi_read_batch *to)
{
    give_frames(reader, stop, to);
}

static bool give_up_segment(lsi_holder *holder, bool sync)
{
    lsi_log_reader *reader = (lsi_log_reader *)((char *)holder - offsetof(lsi_log_reader, holder));
    uint32_t idle = 0;

    (void)sync; /* It only reads. */
    if (reader->is_mapped) /* What is mapped keeps the descriptor. */
        return false;
    if (!atomic_compare_exchange_strong_explicit(&reader->in_use, &idle, 1, memory_order_acquire, memory_order_relaxed))
        return false;
    lsi_segment_unref(reader->segment);
    reader->segment = NULL;
    lsi_reader_leave(reader);
    return true;
}

void lsi_reader_enter(lsi_log_reader *reader)
{
    uint32_t idle = 0;

    /* Acquire and release: what was done to the segment by whoever had it last is seen. */
    while (!atomic_compare_exchange_weak_explicit(&reader->in_use, &idle, 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
        lsi_lock_pause(); /* Closing one file. */
        idle = 0;
    }
    lsi_holder_note_use(&reader->holder);
}

void lsi_reader_leave(lsi_log_reader *reader)
{
    atomic_store_explicit(&reader->in_use, 0, memory_order_release);
}

ls_status lsi_log_reader_open(lsi_log *log, lsi_read_way way, lsi_log_reader **out)
{
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);
    if (st != LS_OK)
        return st;
    lsi_log_reader *reader = lsi_alloc_zero(&log->config.env->memory, sizeof *reader);
    if (reader == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: a reader: no memory", log->config.label);
    reader->log = log;
    reader->holder.give_up = give_up_segment;
    reader->holder.count = 1;
    lsi_unpacker_begin(&reader->unpacker, &log->config);
    reader->give_frames = lsi_give_frames_plain;
#ifdef LSI_HASH_WIDE
    if (lsi_sum64_has_avx2())
        reader->give_frames = lsi_give_frames_avx2;
#endif
    reader->is_mapped = way == LSI_READ_MAPPED;
    reader->page_bytes = LSI_PAGE_BYTES_FIRST;
    reader->page_bytes_max = way == LSI_READ_SPARING ? LSI_PAGE_BYTES_SPARING : LSI_PAGE_BYTES;
    st = lsi_log_list(log, slot, &reader->list);
    if (st != LS_OK) {
        lsi_log_reader_close(reader);
        return st;
    }
    reader->at = reader->list->entries[0].base;
    reader->next_seqno = reader->list->entries[0].base_seqno;
    reader->at_horizon = true;
    reader->stood_us = INT64_MIN;
    *out = reader;
    return LS_OK;
}

void lsi_log_reader_close(lsi_log_reader *reader)
{
    if (reader == NULL)
        return;
    const lsi_memory *memory = &reader->log->config.env->memory;
    if (lsi_control_is_mine(reader->log->config.control)) /* P9, as in lsi_log_close */
        lsi_descriptors_let_go(reader->log->config.descriptors, &reader->holder);
    lsi_segment_unref(reader->segment);
    lsi_segment_list_unref(reader->list);
    lsi_reader_free_pages(reader);
    lsi_unpacker_end(&reader->unpacker);
    lsi_free(memory, reader->records);
    lsi_free(memory, reader);
}

ls_seqno lsi_log_reader_place(const lsi_log_reader *reader)
{
    return reader->next_seqno;
}

lsi_log_cut lsi_log_reader_cut(const lsi_log_reader *reader)
{
    return reader->cut;
}

uint64_t lsi_log_reader_bytes(const lsi_log_reader *reader)
{
    return reader->read_bytes;
}

void lsi_reader_move_to(lsi_log_reader *reader, uint64_t at, ls_seqno next_seqno)
{
    reader->at = at;
    reader->next_seqno = next_seqno;
    reader->given_bytes = 0;
    reader->given_count = 0;
    lsi_reader_drop(reader);
    lsi_segment_unref(reader->segment);
    reader->segment = NULL;
}

ls_status lsi_reader_follow_list(lsi_log_reader *reader, lsi_slot *slot)
{
    lsi_segment_list *list;
    ls_status st = lsi_log_list(reader->log, slot, &list);

    if (st != LS_OK)
        return st;
    if (list == reader->list) {
        lsi_segment_list_unref(list);
        return LS_OK;
    }
    lsi_segment_list_unref(reader->list);
    reader->list = list;
    return LS_OK;
}

bool lsi_reader_is_trimmed(const lsi_log_reader *reader)
{
    /* By number too: what was sought may have been trimmed before. */
    return reader->at < reader->list->entries[0].base || reader->next_seqno < reader->list->trimmed;
}

int64_t lsi_reader_expired_before_us(const lsi_log_reader *reader, int64_t arrival_us)
{
    const lsi_log_config *config = &reader->log->config;

    return config->expired_before_us != NULL ? config->expired_before_us(config->expired_user, arrival_us) : INT64_MIN;
}

/* The frame at reader->at is past its age. It counts as no older than its stamp says, but where stamps are ahead. */
static bool is_expired(const lsi_log_reader *reader)
{
    const lsi_segment_list *list = reader->list;
    bool is_ahead = (lsi_segment_list_last(list)->flags & LSI_SEGMENT_AHEAD) != 0;
    int64_t arrival_us = reader->frame.arrival_us;
    int64_t before_us = lsi_reader_expired_before_us(reader, is_ahead ? INT64_MIN : arrival_us);

    return (is_ahead || arrival_us < before_us) &&
           arrival_us < lsi_segment_stamp_sought(&list->entries[lsi_segment_list_find(list, reader->at)],
                                                 &reader->segment->header, before_us);
}

/* One above the numbers of `entry`, an element of the list: who reads on from there misses nothing behind it. */
static ls_seqno numbers_end(const lsi_segment_list *list, const lsi_segment_entry *entry)
{
    return entry == lsi_segment_list_last(list) ? entry->seqno_limit : entry[1].base_seqno;
}

/* R4: nothing of the segment can be read, for the reason in the thread's last error. */
static ls_status unreadable(const lsi_log_reader *reader, const lsi_segment_entry *entry)
{
    lsi_error_state why;

    lsi_error_save(&why);
    return lsi_fail(LS_ERR_CORRUPT, "%s: numbers %llu to %llu may be lost", why.message,
                    (unsigned long long)reader->next_seqno,
                    (unsigned long long)numbers_end(reader->list, entry) - 1);
}

/* Opens the segment that holds reader->at, if it is another one. `*stop`: where it ends, at most `published`. */
static ls_status enter_segment(lsi_log_reader *reader, lsi_slot *slot, uint64_t published, uint64_t *stop)
{
    const lsi_segment_entry *entry = &reader->list->entries[lsi_segment_list_find(reader->list, reader->at)];

    if (reader->segment == NULL || reader->segment->header.number != entry->number) {
        lsi_segment *segment;
        lsi_error_state before;
        lsi_error_save(&before);
        lsi_descriptors_hold(reader->log->config.descriptors, &reader->holder);
        ls_status st = lsi_segment_open(&reader->log->config, entry->number, false, &segment);
        if (st == LS_ERR_NOT_FOUND) {
            uint64_t was = reader->list->head.generation;
            lsi_log_forget_list(reader->log);
            st = lsi_reader_follow_list(reader, slot); /* Trimmed, perhaps, since the list was read. */
            if (st != LS_OK)
                return st;
            if (reader->list->head.generation != was) {
                lsi_error_restore(&before);
                /* If it was trimmed the caller looks for the horizon, and says it. */
                return lsi_reader_is_trimmed(reader) ? LS_ERR_TRIMMED : enter_segment(reader, slot, published, stop);
            }
            if (atomic_load_explicit(&slot->deleted, memory_order_acquire) != 0)
                return lsi_log_deleted(reader->log);
            /* The list may be another copy of the same. */
            entry = &reader->list->entries[lsi_segment_list_find(reader->list, reader->at)];
            (void)lsi_fail(LS_ERR_CORRUPT, "%s: %s/%08u.seg is named by the segment list and not there",
                           reader->log->config.label, reader->log->config.dir, entry->number);
            return unreadable(reader, entry);
        }
        if (st == LS_ERR_CORRUPT)
            return unreadable(reader, entry);
        if (st != LS_OK)
            return st;
        if (!lsi_segment_is_named(segment, entry)) {
            (void)lsi_fail(LS_ERR_CORRUPT, "%s: %s is not the file that the segment list names",
                           reader->log->config.label, segment->name);
            lsi_segment_unref(segment);
            return unreadable(reader, entry);
        }
        lsi_segment_unref(reader->segment);
        reader->segment = segment;
    }
    *stop = (entry->flags & LSI_SEGMENT_SEALED) != 0 && entry->end < published ? entry->end : published;
    return LS_OK;
}

/* R4: says where, and which numbers may be concerned: from the next one to that before the next valid frame, or before
 * the next segment's. */
static ls_status damaged(lsi_log_reader *reader, uint64_t stop)
{
    lsi_walk walk;
    bool found = false;
    const lsi_segment_entry *entry = &reader->list->entries[lsi_segment_list_find(reader->list, reader->at)];
    ls_seqno beyond = numbers_end(reader->list, entry);

    lsi_walk_begin(&walk, reader->log->config.env, reader->segment, reader->at, stop, true);
    walk.after = reader->next_seqno - 1;
    if (lsi_walk_resume(&walk, reader->at + 8, &found) == LS_OK && found) {
        lsi_frame frame;
        lsi_frame_result result;
        uint64_t position;
        if (lsi_walk_next(&walk, &frame, &position, &result) == LS_OK && result == LSI_FRAME_VALID)
            beyond = frame.first_seqno;
    }
    lsi_walk_end(&walk);
    lsi_reader_drop(reader); /* The next try reads again. */
    return lsi_fail(LS_ERR_CORRUPT, "%s: damage at 0x%llx of %s: numbers %llu to %llu may be lost",
                    reader->log->config.label,
                    (unsigned long long)(reader->at - reader->segment->header.base + LSI_SEGMENT_HEADER_BYTES),
                    reader->segment->name, (unsigned long long)reader->next_seqno, (unsigned long long)(beyond - 1));
}

/* The frame at reader->at, which is checked and is not plain: reader->shown then is. */
static __attribute__((noinline)) ls_status unpack(lsi_log_reader *reader, uint64_t stop)
{
    bool is_right;
    ls_status st = lsi_unpack(&reader->unpacker, reader->segment, lsi_reader_here(reader), &reader->frame,
                              &reader->shown, &is_right);

    return st == LS_OK && !is_right ? damaged(reader, stop) : st;
}

/* The frame at reader->at, which is below `stop`, checked and in the run. */
static inline ls_status next_frame(lsi_log_reader *reader, uint64_t stop, bool made)
{
    const lsi_segment *segment = reader->segment;
    const lsi_segment_header *header = &segment->header;
    lsi_frame *frame = &reader->frame;
    size_t wanted = LSI_FRAME_HEADER_BYTES;

    for (;;) { /* Once, or again with the whole frame at the beginning of a page. */
        if (lsi_reader_held(reader) < wanted) {
            ls_status st = lsi_reader_fetch(reader, wanted, stop, made);
            if (st != LS_OK)
                return st;
        }
        if (lsi_reader_held(reader) < wanted ||
            !lsi_frame_decode(lsi_reader_here(reader), segment->seed, reader->at, frame) ||
            frame->bytes > stop - reader->at)
            return damaged(reader, stop);
        if (frame->bytes <= lsi_reader_held(reader))
            break;
        if (wanted != LSI_FRAME_HEADER_BYTES)
            return damaged(reader, stop); /* It changed between two reads. */
        wanted = frame->bytes;
    }
    if (frame->first_seqno < header->base_seqno || frame->first_seqno > header->seqno_limit ||
        frame->count > header->seqno_limit - frame->first_seqno ||
        !lsi_frame_body_is_right(lsi_reader_here(reader), frame, segment->seed))
        return damaged(reader, stop);
    reader->shown = lsi_reader_here(reader);
    reader->frame_bytes = frame->bytes;
    bool is_known = frame->kind == LSI_FRAME_DATA || frame->kind == LSI_FRAME_STEP;
    if (is_known && frame->codec == LSI_CODEC_PLAIN && header->terms.key_id_bytes == 0 &&
        (frame->flags & (LSI_FRAME_MUST_REFUSE | LSI_FRAME_SEALED | LSI_FRAME_NUMBERED)) == 0)
        return LS_OK;
    if (!is_known || frame->codec > LSI_CODEC_ZSTD || (frame->flags & LSI_FRAME_MUST_REFUSE) != 0)
        return lsi_fail(LS_ERR_VERSION, "%s: a frame of kind %u, codec %u, flags 0x%x in %s is of a later release",
                        reader->log->config.label, frame->kind, frame->codec, frame->flags, segment->name);
    return unpack(reader, stop);
}

static ls_status more_records(lsi_log_reader *reader, size_t wanted)
{
    void *records = reader->records;
    if (!lsi_grow(&reader->log->config.env->memory, &records, &reader->record_capacity, wanted, sizeof(ls_record)))
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: %zu records: no memory", reader->log->config.label, wanted);
    reader->records = records;
    return LS_OK;
}

static ls_status breaks_rules(const lsi_log_reader *reader)
{
    return lsi_fail(LS_ERR_CORRUPT, "%s: the frame at 0x%llx of %s holds records that break its rules",
                    reader->log->config.label,
                    (unsigned long long)(reader->at - reader->segment->header.base + LSI_SEGMENT_HEADER_BYTES),
                    reader->segment->name);
}

/* To the first record of the frame at reader->at that is not below the place. */
static inline ls_status enter_frame(lsi_log_reader *reader)
{
    const lsi_frame *frame = &reader->frame;
    const unsigned char *at = reader->shown;
    uint32_t offset, count = 0;
    lsi_record_shape shape;

    if (!lsi_frame_first_record(at, frame, &offset))
        return breaks_rules(reader);
    for (; frame->first_seqno + count < reader->next_seqno && count < frame->count; count++) {
        if (!lsi_record_read_shape(at + offset, frame->bytes - offset, &shape))
            return breaks_rules(reader);
        offset += shape.bytes;
    }
    reader->given_bytes = offset;
    reader->given_count = count;
    return LS_OK;
}

/* Gives records of the frame at reader->at, from the next one on, until a limit is met. */
static inline ls_status give(lsi_log_reader *reader, lsi_read_batch *to)
{
    const lsi_frame *frame = &reader->frame;
    const unsigned char *here = reader->shown;
    const unsigned char *at = here + reader->given_bytes, *end = here + frame->bytes;
    uint32_t left = frame->count - reader->given_count;
    uint32_t room = to->records_max - to->made < left ? to->records_max - to->made : left;

    if (to->made + room > reader->record_capacity) {
        ls_status st = more_records(reader, (size_t)to->made + room);
        if (st != LS_OK)
            return st;
    }
    /* No room: numbers that a damaged list says were given already. Then there may be no records to point into. */
    ls_record *first = room > 0 ? reader->records + to->made : NULL;
    ls_record *out = first, *last = room > 0 ? first + room : NULL;
    ls_seqno seqno = frame->first_seqno + reader->given_count;
    uint64_t bytes_left = to->bytes_left;
    const int64_t arrival_us = frame->arrival_us;
    const uint32_t shard = reader->log->config.shard;
    bool is_right = true;

    /* Most records have the sizes of the one before. Steps of a known size spare the processor from waiting, at each
     * record, for the sizes that say where the next one is: it goes on and compares behind. */
    while (out < last && !to->is_full) {
        lsi_record_shape shape;
        is_right = lsi_record_read_shape(at, (uint32_t)(end - at), &shape);
        if (!is_right)
            break;
        const uint64_t bytes = (uint64_t)shape.key_bytes + shape.data_bytes;
        const unsigned char *at_last = end - shape.bytes;
        do {
            if (bytes > bytes_left && (out > first || to->made > 0)) {
                to->is_full = true;
                break;
            }
            bytes_left -= bytes < bytes_left ? bytes : bytes_left;
            lsi_record_view(at, &shape, out);
            out->seqno = seqno++;
            out->arrival_us = arrival_us;
            out->shard = shard;
            out++;
            at += shape.bytes;
        } while (out < last && at <= at_last && lsi_read_u64le(at) == shape.word);
    }
    uint32_t given = (uint32_t)(out - first);
    for (uint32_t i = 0; i < given && (frame->flags & LSI_FRAME_SEALED) != 0; i++)
        first[i].flags |= LS_RECORD_ENCRYPTED;
    if (!is_right && to->made + given == 0) {
        reader->given_bytes = 0; /* A repair may be looked for. */
        return breaks_rules(reader);
    }
    to->is_full |= !is_right || to->made + given == to->records_max; /* What is whole is given first. */
    to->made += given;
    to->bytes_left = bytes_left;
    reader->given_count += given;
    reader->given_bytes = (uint32_t)(at - here);
    if (seqno > reader->next_seqno)
        reader->next_seqno = seqno;
    if (reader->given_count == frame->count) {
        reader->at += reader->frame_bytes;
        reader->given_bytes = 0;
    }
    return LS_OK;
}

/* How far frames are read before a skip: what lies there may look like frames. */
static uint64_t stop_before_skip(const lsi_log_reader *reader, uint64_t stop)
{
    for (uint32_t i = 0; i < reader->list->skip_count; i++) {
        const lsi_skip *skip = &reader->list->skips[i];
        if (skip->from <= reader->at && reader->at < skip->to)
            return reader->at + 1; /* A frame that was begun is finished: a batch is given whole or not at all (A1). */
        if (skip->from > reader->at && skip->from < stop)
            return skip->from;
    }
    return stop;
}

static ls_status read_on(lsi_log_reader *reader, uint32_t records_max, uint64_t bytes_max,
                         const ls_record **records, uint32_t *count, bool *at_tip, bool *end, lsi_slot **of)
{
    lsi_slot *slot;
    lsi_read_batch to = {.records_max = records_max, .bytes_left = bytes_max};
    ls_status st = lsi_log_ready(reader->log, &slot);

    if (st != LS_OK)
        return st;
    *of = slot;
    /* First the end, then the list: what lies before that end is in a list at least as new. */
    bool closed = reader->log->config.is_closed ||
                  atomic_load_explicit(&slot->closed, memory_order_acquire) == LSI_LOG_CLOSED;
    uint64_t published = lsi_log_published(reader->log, slot);
    st = lsi_reader_follow_list(reader, slot);
    if (st != LS_OK)
        return st;
    if (lsi_reader_is_trimmed(reader)) {
        st = lsi_reader_to_horizon(reader, published);
        if (st != LS_OK)
            return st;
    }
    reader->pages_shown = 1;
    lsi_unpacker_reuse(&reader->unpacker, reader->given_bytes != 0);
    while (!to.is_full && reader->at < published) {
        uint64_t stop;
        const lsi_skip *skip = reader->given_bytes == 0 ? lsi_skip_at(reader->list, reader->at) : NULL;
        if (skip != NULL) { /* A repair or a reset decided to step over these positions. */
            if (to.made > 0)
                break; /* The records made are views of what moving on gives back. */
            lsi_reader_move_to(reader, skip->to, reader->next_seqno);
            continue;
        }
        st = enter_segment(reader, slot, published, &stop);
        if (st == LS_OK)
            stop = stop_before_skip(reader, stop);
        while (st == LS_OK && !to.is_full && reader->at < stop) {
            /* Behind the first, whose age is looked at; and what is not sealed stays in a segment that is not. */
            if (to.made > 0 && reader->given_bytes == 0 && lsi_reader_held(reader) != 0 &&
                !lsi_segment_is_sealed(reader->segment)) {
                reader->give_frames(reader, stop, &to);
                if (to.is_full || reader->at == stop)
                    break;
            }
            if (reader->given_bytes == 0)
                st = next_frame(reader, stop, to.made > 0);
            if (st == LS_OK && to.made == 0 && is_expired(reader)) /* Ages do not increase: only the first can be. */
                st = LS_ERR_TRIMMED;
            if (st == LS_OK && reader->given_bytes == 0)
                st = enter_frame(reader);
            if (st == LS_OK)
                st = give(reader, &to);
        }
        if (st == LS_ERR_TRIMMED && to.made == 0) {
            st = lsi_reader_to_horizon(reader, published);
            if (st == LS_OK)
                continue;
        }
        if (st != LS_OK) {
            if (to.made == 0)
                return st;
            break; /* What came before it is given first; the next call meets it again. */
        }
    }
    if (to.made > 0) {
        reader->at_horizon = false;
        reader->has_given = true;
        reader->stood_us = reader->records[to.made - 1].arrival_us;
    }
    /* `bytes_left` stops at 0, which one record alone may have passed. */
    reader->read_bytes = to.made != 1 ? bytes_max - to.bytes_left
                                      : reader->records[0].partition_key.size + reader->records[0].data.size;
    *records = reader->records;
    *count = to.made;
    *at_tip = reader->at >= published;
    *end = *at_tip && closed;
    return LS_OK;
}

ls_status lsi_log_reader_read(lsi_log_reader *reader, uint32_t records_max, uint64_t bytes_max,
                              const ls_record **records, uint32_t *count, bool *at_tip, bool *end)
{
    for (bool again = true;; again = false) {
        lsi_slot *slot;
        lsi_reader_enter(reader);
        ls_status st = read_on(reader, records_max, bytes_max, records, count, at_tip, end, &slot);
        lsi_reader_leave(reader);
        /* What one who died in a step left at the end waits for nobody else. */
        if (st != LS_OK || !*at_tip || !again || !lsi_log_has_step(slot))
            return st;
        lsi_error_state before;
        lsi_error_save(&before);
        st = lsi_log_step_settle(reader->log);
        if (*count > 0) { /* They are given, whatever is the matter with what follows. */
            *at_tip = st == LS_OK && reader->at >= lsi_log_published(reader->log, slot);
            *end = *end && *at_tip;
            lsi_error_restore(&before);
            return LS_OK;
        }
        if (st != LS_OK)
            return st;
    }
}
