/* The sparse index: for each 64 KiB of a segment's frames the first frame that begins there, at a fixed place in the
 * file, so that entries need no order of writing and any of them may be missing.
 *
 * It is a hint. An entry counts only if its sum is right, and whoever follows it checks the frame it names; a wrong or
 * missing entry costs time, never a record. Nothing here is synced and no error here is anybody's error. */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/segment.h"

enum { POSITION_AT = 0, SEQNO_AT = 8, ARRIVAL_AT = 16, SUM_AT = 24 };

static bool open_index(const lsi_log_config *owner, lsi_segment *segment, bool write)
{
    if (lsi_file_is_open(&segment->index))
        return true;
    char name[LSI_SEGMENT_NAME_BYTES];
    lsi_segment_name(owner->dir, segment->header.number, "idx", name);
    return owner->root->files->open(owner->root, name, write ? LSI_OPEN_WRITE | LSI_OPEN_CREATE : 0,
                                    &segment->index) >= 0;
}

void lsi_index_note(const lsi_log_config *owner, lsi_segment *segment, const lsi_index_entry *entry)
{
    unsigned char bytes[LSI_INDEX_ENTRY_BYTES];

    if (owner->read_only || !open_index(owner, segment, true))
        return;
    lsi_write_u64le(bytes + POSITION_AT, entry->position);
    lsi_write_u64le(bytes + SEQNO_AT, entry->first_seqno);
    lsi_write_u64le(bytes + ARRIVAL_AT, (uint64_t)entry->arrival_us);
    lsi_write_u64le(bytes + SUM_AT, lsi_sum64(bytes, SUM_AT, segment->seed));
    uint64_t block = (entry->position - segment->header.base) / LSI_INDEX_BLOCK_BYTES;
    (void)lsi_file_write_one(&segment->index, bytes, sizeof bytes, block * LSI_INDEX_ENTRY_BYTES); /* A hint. */
}

static bool read_entry(const lsi_segment *segment, uint64_t block, lsi_index_entry *out)
{
    unsigned char bytes[LSI_INDEX_ENTRY_BYTES];
    int64_t got = segment->index.files->read(&segment->index, bytes, sizeof bytes, block * LSI_INDEX_ENTRY_BYTES);

    if (got != (int64_t)sizeof bytes)
        return false;
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (lsi_read_u64le(bytes + SUM_AT) != lsi_sum64(bytes, SUM_AT, segment->seed))
        return false;
#endif
    out->position = lsi_read_u64le(bytes + POSITION_AT);
    out->first_seqno = lsi_read_u64le(bytes + SEQNO_AT);
    out->arrival_us = (int64_t)lsi_read_u64le(bytes + ARRIVAL_AT);
    return out->position >= segment->header.base &&
           (out->position - segment->header.base) / LSI_INDEX_BLOCK_BYTES == block;
}

static bool is_before(const lsi_index_entry *entry, uint64_t end, ls_seqno seqno, int64_t before_us)
{
    if (entry->position >= end)
        return false;
    if (seqno != LS_SEQNO_NONE)
        return entry->first_seqno <= seqno;
    return entry->arrival_us < before_us;
}

bool lsi_index_find(const lsi_log_config *owner, lsi_segment *segment, uint64_t end, ls_seqno seqno, int64_t before_us,
                    lsi_index_entry *out)
{
    if (end <= segment->header.base || !open_index(owner, segment, !owner->read_only))
        return false;

    /* Blocks without an entry count as the nearest one below that has one; an unbroken search needs few reads. */
    uint64_t low = 0, high = (end - 1 - segment->header.base) / LSI_INDEX_BLOCK_BYTES + 1, size;
    if (segment->index.files->size(&segment->index, &size) < 0)
        return false;
    if (high > size / LSI_INDEX_ENTRY_BYTES) /* Whatever the end is: a short index is searched in short time. */
        high = size / LSI_INDEX_ENTRY_BYTES;
    bool found = false;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2, block = middle;
        lsi_index_entry entry;
        bool have = read_entry(segment, block, &entry);
        while (!have && block > low)
            have = read_entry(segment, --block, &entry);
        if (!have) {
            low = middle + 1;
            continue;
        }
        if (is_before(&entry, end, seqno, before_us)) {
            *out = entry;
            found = true;
            low = middle + 1;
        } else {
            high = block;
        }
    }
    return found;
}
