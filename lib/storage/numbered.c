/* The tail of a numbered frame: FORMAT.md, "Numbers". It lies behind what may be compressed or sealed, so that what a
 * log remembers of producers can be had without any key; the frame's sum covers it, and so does its tag, if any. */
#include "storage/numbered.h"

#include <assert.h>

#define LIST_ITEM_BYTES_MAX 10u /* of 64 bits, 7 in each byte */

/* Where its fields lie, from the end of the frame. */
enum { FIRST_BEFORE = 32, HIGH_BEFORE = 24, LOW_BEFORE = 16, LIST_BYTES_BEFORE = 8, RESERVED_BEFORE = 4 };

bool lsi_tail_next(const unsigned char *list, uint32_t list_bytes, uint32_t *offset, uint64_t *number)
{
    uint64_t more = 0;

    for (uint32_t i = 0; i < LIST_ITEM_BYTES_MAX && *offset < list_bytes; i++) {
        unsigned char byte = list[(*offset)++];

        more |= (uint64_t)(byte & 0x7f) << (7 * i); /* The tenth has one bit that counts. */
        if ((byte & 0x80) != 0)
            continue;
        if (more == 0 || more > LS_NUMBER_MAX - *number)
            return false;
        *number += more;
        return true;
    }
    return false;
}

bool lsi_tail_read(const unsigned char *at, const lsi_frame *frame, lsi_tail *out)
{
    const unsigned char *end = at + frame->bytes;
    lsi_frame without = *frame;
    uint32_t offset = 0;

    if ((frame->flags & LSI_FRAME_NUMBERED) == 0 || !lsi_frame_take_tail(at, &without))
        return false;
    *out = (lsi_tail){
        .producer = {lsi_read_u64le(end - HIGH_BEFORE), lsi_read_u64le(end - LOW_BEFORE)},
        .first = lsi_read_u64le(end - FIRST_BEFORE),
        .list = at + without.bytes,
        .list_bytes = lsi_read_u32le(end - LIST_BYTES_BEFORE),
    };
    out->last = out->first;
    if ((out->producer.high | out->producer.low) == 0 || out->first == 0 || out->first > LS_NUMBER_MAX ||
        lsi_read_u32le(end - RESERVED_BEFORE) != 0)
        return false;
    if (out->list_bytes == 0) {
        out->last += frame->count - 1;
        return out->last <= LS_NUMBER_MAX;
    }
    for (uint32_t i = 1; i < frame->count; i++)
        if (!lsi_tail_next(out->list, out->list_bytes, &offset, &out->last))
            return false;
    return offset == out->list_bytes;
}

static uint64_t number_at(const ls_put_options *options, const uint32_t *picks, uint32_t i)
{
    return lsi_number_of(options, picks != NULL ? picks[i] : i);
}

static uint32_t item_bytes(uint64_t difference)
{
    uint32_t bytes = 1;

    while (difference >= 0x80) {
        difference >>= 7;
        bytes++;
    }
    return bytes;
}

/* Of the differences; 0 where all of them are 1. */
static uint32_t list_bytes(const ls_put_options *options, const uint32_t *picks, uint32_t count)
{
    uint64_t before = number_at(options, picks, 0);
    bool is_needed = false;
    uint32_t bytes = 0;

    for (uint32_t i = 1; i < count; i++) {
        uint64_t number = number_at(options, picks, i);

        assert(number > before);
        is_needed |= number - before != 1;
        bytes += item_bytes(number - before);
        before = number;
    }
    return is_needed ? bytes : 0;
}

uint32_t lsi_tail_bytes(const ls_put_options *options, const uint32_t *picks, uint32_t count)
{
    return LSI_TAIL_BYTES + (uint32_t)lsi_round_up(list_bytes(options, picks, count), 8);
}

void lsi_tail_write(unsigned char *at, const ls_put_options *options, const uint32_t *picks, uint32_t count,
                    uint32_t bytes)
{
    unsigned char *end = at + bytes, *list = at;
    uint64_t before = number_at(options, picks, 0);

    memset(at, 0, bytes);
    lsi_write_u64le(end - FIRST_BEFORE, before);
    lsi_write_u64le(end - HIGH_BEFORE, options->producer.high);
    lsi_write_u64le(end - LOW_BEFORE, options->producer.low);
    if (bytes == LSI_TAIL_BYTES)
        return;
    for (uint32_t i = 1; i < count; i++) {
        uint64_t number = number_at(options, picks, i), difference = number - before;

        for (; difference >= 0x80; difference >>= 7)
            *list++ = (unsigned char)(difference | 0x80);
        *list++ = (unsigned char)difference;
        before = number;
    }
    lsi_write_u32le(end - LIST_BYTES_BEFORE, (uint32_t)(list - at));
}
