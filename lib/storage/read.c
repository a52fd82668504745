/* Reading a log: from a place, frame after frame, into a buffer of one's own that is checked before anything of it is
 * shown. A reader takes no lock and writes nothing.
 *
 * The buffer holds one run of positions, [buffer_at, buffer_at + buffer_bytes), which may cross from one segment into
 * the next since positions do not jump. Records are views into it; when it must move while a batch is being made, those
 * already made are moved along. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "storage/reader.h"

#define READ_BYTES (256u << 10)
#define RECORDS_FIRST 512u

ls_status lsi_log_reader_open(lsi_log *log, lsi_log_reader **out)
{
    lsi_slot *slot;
    ls_status st = lsi_log_ready(log, &slot);
    if (st != LS_OK)
        return st;
    lsi_log_reader *reader = lsi_alloc_zero(&log->config.env->memory, sizeof *reader);
    if (reader == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: a reader: no memory", log->config.label);
    reader->log = log;
    st = lsi_log_list(log, slot, &reader->list);
    if (st != LS_OK) {
        lsi_log_reader_close(reader);
        return st;
    }
    reader->at = reader->list->entries[0].base;
    reader->next_seqno = reader->list->entries[0].base_seqno;
    reader->at_horizon = true;
    *out = reader;
    return LS_OK;
}

void lsi_log_reader_close(lsi_log_reader *reader)
{
    if (reader == NULL)
        return;
    const lsi_memory *memory = &reader->log->config.env->memory;
    lsi_segment_unref(reader->segment);
    lsi_segment_list_unref(reader->list);
    lsi_free(memory, reader->buffer);
    lsi_free(memory, reader->records);
    lsi_free(memory, reader);
}

ls_seqno lsi_log_reader_place(const lsi_log_reader *reader)
{
    return reader->next_seqno;
}

void lsi_reader_move_to(lsi_log_reader *reader, uint64_t at, ls_seqno next_seqno)
{
    reader->at = at;
    reader->next_seqno = next_seqno;
    reader->given_bytes = 0;
    reader->given_count = 0;
    if (reader->segment != NULL && (at < reader->segment->header.base || reader->buffer_bytes == 0 ||
                                    at < reader->buffer_at || at > reader->buffer_at + reader->buffer_bytes)) {
        lsi_segment_unref(reader->segment);
        reader->segment = NULL;
        reader->buffer_bytes = 0;
    }
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
    if (reader->segment != NULL) {
        /* A reset may have ended the segment before the place we had reached: go on where the next one begins (E1). */
        for (uint32_t i = 0; i < list->count; i++) {
            const lsi_segment_entry *entry = &list->entries[i];
            if (entry->number == reader->segment->header.number && (entry->flags & LSI_SEGMENT_SEALED) != 0 &&
                reader->at > entry->end && reader->at != entry->base) {
                reader->buffer_bytes = 0;
                lsi_segment_unref(reader->segment);
                reader->segment = NULL;
                lsi_reader_move_to(reader, entry->end, reader->next_seqno);
                break;
            }
        }
    }
    return LS_OK;
}

bool lsi_reader_is_trimmed(const lsi_log_reader *reader)
{
    /* By number too: what was sought may have been trimmed before. */
    return reader->at < reader->list->entries[0].base || reader->next_seqno < reader->list->trimmed;
}

int64_t lsi_reader_expired_before_us(const lsi_log_reader *reader)
{
    const lsi_log_config *config = &reader->log->config;

    return config->expired_before_us != NULL ? config->expired_before_us(config->expired_user) : INT64_MIN;
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
        ls_status st = lsi_segment_open(&reader->log->config, entry->number, false, &segment);
        if (st == LS_ERR_NOT_FOUND) {
            uint64_t was = reader->list->generation;
            lsi_log_forget_list(reader->log);
            st = lsi_reader_follow_list(reader, slot); /* Trimmed, perhaps, since the list was read. */
            if (st != LS_OK)
                return st;
            if (reader->list->generation != was) {
                lsi_error_restore(&before);
                /* If it was trimmed the caller looks for the horizon, and says it. */
                return lsi_reader_is_trimmed(reader) ? LS_ERR_TRIMMED : enter_segment(reader, slot, published, stop);
            }
            if (atomic_load_explicit(&slot->deleted, memory_order_acquire) != 0)
                return lsi_fail(LS_ERR_NOT_FOUND, "%s: the stream was deleted", reader->log->config.label);
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

static size_t held(const lsi_log_reader *reader)
{
    return (size_t)(reader->buffer_at + reader->buffer_bytes - reader->at);
}

/* No views are out: what was given is dropped, once it is more than what is moved for it. */
static void close_up(lsi_log_reader *reader)
{
    if (reader->buffer_bytes == 0 || reader->at - reader->buffer_at < held(reader))
        return;
    memmove(reader->buffer, reader->buffer + (reader->at - reader->buffer_at), held(reader));
    reader->buffer_bytes = held(reader);
    reader->buffer_at = reader->at;
}

/* Makes the buffer hold at least `size` bytes from reader->at, if there are as many before `stop`. Views of `count`
 * records stay good. */
static ls_status fetch(lsi_log_reader *reader, size_t size, uint64_t stop, uint32_t count)
{
    const lsi_env *env = reader->log->config.env;

    if (reader->buffer_bytes == 0)
        reader->buffer_at = reader->at;
    if (held(reader) >= size)
        return LS_OK;
    uint64_t from = reader->buffer_at + reader->buffer_bytes;
    size_t want = size - held(reader) > READ_BYTES ? size - held(reader) : READ_BYTES;
    if (want > stop - from)
        want = (size_t)(stop - from);
    if (reader->capacity - reader->buffer_bytes < want) {
        size_t capacity = reader->buffer_bytes + want;
        if (capacity < reader->capacity * 2)
            capacity = reader->capacity * 2;
        unsigned char *old = reader->buffer, *buffer = lsi_resize(&env->memory, old, capacity);
        if (buffer == NULL)
            return lsi_fail(LS_ERR_NO_MEMORY, "%s: %zu bytes to read into: no memory", reader->log->config.label,
                            capacity);
        for (uint32_t i = 0; i < count && buffer != old; i++) {
            ls_record *record = &reader->records[i];
            size_t key_at = (size_t)((uintptr_t)record->partition_key.data - (uintptr_t)old);
            size_t data_at = (size_t)((uintptr_t)record->data.data - (uintptr_t)old);
            record->partition_key.data = buffer + key_at;
            record->data.data = buffer + data_at;
        }
        reader->buffer = buffer;
        reader->capacity = capacity;
    }
    const lsi_file *file = &reader->segment->file;
    uint64_t offset = from - reader->segment->header.base + LSI_SEGMENT_HEADER_BYTES;
    int64_t got = file->files->read(file, reader->buffer + reader->buffer_bytes, want, offset);
    if (got < 0)
        return lsi_fail_errno((int)-got, "%s: reading %s at 0x%llx", reader->log->config.label, reader->segment->name,
                              (unsigned long long)offset);
    reader->buffer_bytes += (size_t)got;
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
    reader->buffer_bytes = 0; /* The next try reads again. */
    return lsi_fail(LS_ERR_CORRUPT, "%s: damage at 0x%llx of %s: numbers %llu to %llu may be lost",
                    reader->log->config.label,
                    (unsigned long long)(reader->at - reader->segment->header.base + LSI_SEGMENT_HEADER_BYTES),
                    reader->segment->name, (unsigned long long)reader->next_seqno, (unsigned long long)(beyond - 1));
}

/* The frame at reader->at, which is below `stop`, checked and in the buffer. */
static ls_status next_frame(lsi_log_reader *reader, uint64_t stop, uint32_t count)
{
    ls_status st = fetch(reader, LSI_FRAME_HEADER_BYTES, stop, count);
    if (st != LS_OK)
        return st;
    const lsi_segment *segment = reader->segment;
    const unsigned char *at = reader->buffer + (reader->at - reader->buffer_at);
    lsi_frame *frame = &reader->frame;
    lsi_frame_result result = lsi_frame_read_header(at, held(reader), segment->seed, reader->at, frame);
    if (result == LSI_FRAME_SHORT && frame->bytes != 0 && frame->bytes <= stop - reader->at) {
        st = fetch(reader, frame->bytes, stop, count);
        if (st != LS_OK)
            return st;
        at = reader->buffer + (reader->at - reader->buffer_at);
        result = lsi_frame_read_header(at, held(reader), segment->seed, reader->at, frame);
    }
    const lsi_segment_header *header = &segment->header;
    if (result != LSI_FRAME_VALID || frame->bytes > stop - reader->at || frame->first_seqno < header->base_seqno ||
        frame->first_seqno > header->seqno_limit || frame->count > header->seqno_limit - frame->first_seqno ||
        !lsi_frame_check_body(at, frame, segment->seed))
        return damaged(reader, stop);
    if (frame->kind != LSI_FRAME_DATA || frame->codec != LSI_CODEC_PLAIN || (frame->flags & LSI_FRAME_MUST_REFUSE) != 0)
        return lsi_fail(LS_ERR_VERSION, "%s: a frame of kind %u, codec %u, flags 0x%x in %s is of a later release",
                        reader->log->config.label, frame->kind, frame->codec, frame->flags, segment->name);
    return LS_OK;
}

static ls_status more_records(lsi_log_reader *reader, size_t wanted)
{
    void *records = reader->records;
    if (!lsi_grow(&reader->log->config.env->memory, &records, &reader->record_capacity, wanted, sizeof(ls_record)))
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: %zu records: no memory", reader->log->config.label, wanted);
    reader->records = records;
    return LS_OK;
}

/* Gives records of the frame at reader->at until a limit is met. */
static ls_status give(lsi_log_reader *reader, uint32_t records_max, uint64_t bytes_max, uint32_t *count,
                      uint64_t *bytes, bool *full)
{
    const lsi_frame *frame = &reader->frame;
    const unsigned char *at = reader->buffer + (reader->at - reader->buffer_at);
    uint32_t offset = reader->given_bytes, given = reader->given_count, made = *count;
    uint64_t total = *bytes;
    ls_status st = LS_OK;

    uint32_t room = records_max - made < frame->count - given ? records_max - made : frame->count - given;
    if (made + room > reader->record_capacity) {
        st = more_records(reader, (size_t)made + room);
        if (st != LS_OK)
            return st;
    }
    for (; given < frame->count; given++) {
        ls_record record;
        uint32_t next = offset;
        if (made == records_max) {
            *full = true;
            break;
        }
        if (!lsi_frame_next_record(at, frame, &next, &record)) {
            st = lsi_fail(LS_ERR_CORRUPT, "%s: the frame at 0x%llx of %s holds records that break its rules",
                          reader->log->config.label,
                          (unsigned long long)(reader->at - reader->segment->header.base + LSI_SEGMENT_HEADER_BYTES),
                          reader->segment->name);
            break;
        }
        ls_seqno seqno = frame->first_seqno + given;
        if (seqno >= reader->next_seqno) {
            uint64_t size = record.partition_key.size + record.data.size;
            if (made > 0 && total + size > bytes_max) {
                *full = true;
                break;
            }
            record.seqno = seqno;
            record.arrival_us = frame->arrival_us;
            record.shard = reader->log->config.shard;
            record.reserved = 0;
            reader->records[made++] = record;
            total += size;
        }
        offset = next;
    }
    if (st != LS_OK && made > *count) /* What is whole is given first; the next call meets the damage again. */
        st = LS_OK, *full = true;
    if (st == LS_OK && given == frame->count) {
        reader->next_seqno = frame->first_seqno + frame->count > reader->next_seqno ? frame->first_seqno + frame->count
                                                                                    : reader->next_seqno;
        reader->at += frame->bytes;
        offset = given = 0;
    } else if (given > 0 && frame->first_seqno + given > reader->next_seqno) {
        reader->next_seqno = frame->first_seqno + given;
    }
    reader->given_bytes = offset;
    reader->given_count = given;
    *count = made;
    *bytes = total;
    return st;
}

/* A repair decided to step over these positions. */
static bool step_over(lsi_log_reader *reader)
{
    for (uint32_t i = 0; i < reader->list->skip_count; i++) {
        const lsi_skip *skip = &reader->list->skips[i];
        if (skip->from <= reader->at && reader->at < skip->to) {
            reader->buffer_bytes = 0;
            lsi_reader_move_to(reader, skip->to, reader->next_seqno);
            return true;
        }
    }
    return false;
}

ls_status lsi_log_reader_read(lsi_log_reader *reader, uint32_t records_max, uint64_t bytes_max,
                              const ls_record **records, uint32_t *count, bool *at_tip, bool *end)
{
    lsi_slot *slot;
    uint32_t made = 0;
    uint64_t bytes = 0;
    bool full = false;
    ls_status st = lsi_log_ready(reader->log, &slot);

    if (st != LS_OK)
        return st;
    /* First the end, then the list: what lies before that end is in a list at least as new. */
    bool closed = atomic_load_explicit(&slot->closed, memory_order_acquire) != 0;
    uint64_t published = lsi_log_published(reader->log, slot);
    st = lsi_reader_follow_list(reader, slot);
    if (st != LS_OK)
        return st;
    int64_t expired_us = reader->at < published ? lsi_reader_expired_before_us(reader) : INT64_MIN;
    if (lsi_reader_is_trimmed(reader) || (reader->given_bytes != 0 && reader->frame.arrival_us < expired_us)) {
        st = lsi_reader_to_horizon(reader, published, expired_us);
        if (st != LS_OK)
            return st;
    }
    close_up(reader);
    while (!full && made < records_max && reader->at < published) {
        uint64_t stop;
        if (reader->list->skip_count != 0 && reader->given_bytes == 0 && made == 0 && step_over(reader))
            continue;
        st = enter_segment(reader, slot, published, &stop);
        while (st == LS_OK && !full && made < records_max && reader->at < stop) {
            if (reader->given_bytes == 0)
                st = next_frame(reader, stop, made);
            if (st == LS_OK && reader->frame.arrival_us < expired_us && made == 0)
                st = LS_ERR_TRIMMED; /* Stamps do not decrease: only the first one can be. */
            if (st == LS_OK)
                st = give(reader, records_max, bytes_max, &made, &bytes, &full);
        }
        if (st == LS_ERR_TRIMMED && made == 0) {
            st = lsi_reader_to_horizon(reader, published, expired_us);
            if (st == LS_OK)
                continue;
        }
        if (st != LS_OK) {
            if (made == 0)
                return st;
            break; /* What came before it is given first; the next call meets it again. */
        }
    }
    if (made > 0)
        reader->at_horizon = false;
    *records = reader->records;
    *count = made;
    *at_tip = reader->at >= published;
    *end = *at_tip && closed;
    return LS_OK;
}
