/* The tail of a numbered frame: FORMAT.md, "Numbers". It lies behind what may be compressed or sealed, so that what a
 * log remembers of producers can be had without any key; the frame's sum covers it, and so does its tag, if any. */
#include "storage/numbered.h"

#include <assert.h>

/* Where its fields lie, from the end of the frame. */
enum { FIRST_BEFORE = 32, HIGH_BEFORE = 24, LOW_BEFORE = 16, LIST_BYTES_BEFORE = 8, COUNTS_BYTES_BEFORE = 4 };

bool lsi_item_read(const unsigned char *list, uint32_t list_bytes, uint32_t *offset, uint64_t *item)
{
    *item = 0;
    for (uint32_t i = 0; i < LSI_ITEM_BYTES_MAX && *offset < list_bytes; i++) {
        unsigned char byte = list[(*offset)++];

        *item |= (uint64_t)(byte & 0x7f) << (7 * i); /* The tenth has one bit that counts. */
        if ((byte & 0x80) == 0)
            return true;
    }
    return false;
}

bool lsi_tail_next(const unsigned char *list, uint32_t list_bytes, uint32_t *offset, uint64_t *number)
{
    uint64_t more;

    if (!lsi_item_read(list, list_bytes, offset, &more) || more == 0 || more > LS_NUMBER_MAX - *number)
        return false;
    *number += more;
    return true;
}

/* How many numbers so many counts are, or 0: they break the rules. */
static uint64_t sum_counts(const lsi_tail *tail, uint32_t count)
{
    uint32_t offset = 0;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++)
        if (!lsi_tail_next(tail->list + lsi_round_up(tail->list_bytes, 8), tail->counts_bytes, &offset, &sum))
            return 0;
    return offset == tail->counts_bytes ? sum : 0;
}

bool lsi_tail_read(const unsigned char *at, const lsi_frame *frame, lsi_tail *out)
{
    const unsigned char *end = at + frame->bytes;
    lsi_frame without = *frame;
    uint64_t numbers = frame->count;
    uint32_t offset = 0;

    if ((frame->flags & LSI_FRAME_NUMBERED) == 0 || !lsi_frame_take_tail(at, &without))
        return false;
    *out = (lsi_tail){
        .producer = {lsi_read_u64le(end - HIGH_BEFORE), lsi_read_u64le(end - LOW_BEFORE)},
        .first = lsi_read_u64le(end - FIRST_BEFORE),
        .list = at + without.bytes,
        .list_bytes = lsi_read_u32le(end - LIST_BYTES_BEFORE),
        .counts_bytes = lsi_read_u32le(end - COUNTS_BYTES_BEFORE),
    };
    out->last = out->first;
    if ((out->producer.high | out->producer.low) == 0 || out->first == 0 || out->first > LS_NUMBER_MAX)
        return false;
    if (out->counts_bytes != 0)
        numbers = sum_counts(out, frame->count);
    if (numbers == 0)
        return false;
    if (out->list_bytes == 0) {
        if (numbers - 1 > LS_NUMBER_MAX - out->first)
            return false;
        out->last += numbers - 1;
        return true;
    }
    for (uint64_t i = 1; i < numbers; i++)
        if (!lsi_tail_next(out->list, out->list_bytes, &offset, &out->last))
            return false;
    return offset == out->list_bytes;
}

static uint64_t number_at(const ls_put_options *options, const uint32_t *picks, uint32_t i)
{
    return lsi_number_of(options, picks != NULL ? picks[i] : i);
}

static uint32_t item_bytes(uint64_t item)
{
    uint32_t bytes = 1;

    while (item >= 0x80) {
        item >>= 7;
        bytes++;
    }
    return bytes;
}

unsigned char *lsi_item_write(unsigned char *at, uint64_t item)
{
    for (; item >= 0x80; item >>= 7)
        *at++ = (unsigned char)(item | 0x80);
    *at++ = (unsigned char)item;
    return at;
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

/* Of the counts; 0 where all of them are 1. */
static uint32_t counts_bytes(const uint32_t *users, uint32_t count)
{
    bool is_needed = false;
    uint32_t bytes = 0;

    for (uint32_t i = 0; users != NULL && i < count; i++) {
        assert(users[i] > 0);
        is_needed |= users[i] > 1;
        bytes += item_bytes(users[i]);
    }
    return is_needed ? bytes : 0;
}

uint32_t lsi_tail_bytes(const ls_put_options *options, const uint32_t *picks, const uint32_t *users, uint32_t count)
{
    assert(users == NULL || picks == NULL);
    return LSI_TAIL_BYTES + (uint32_t)lsi_round_up(list_bytes(options, picks, lsi_numbers_of(users, count)), 8) +
           (uint32_t)lsi_round_up(counts_bytes(users, count), 8);
}

void lsi_tail_write(unsigned char *at, const ls_put_options *options, const uint32_t *picks, const uint32_t *users,
                    uint32_t count, uint32_t bytes)
{
    unsigned char *end = at + bytes, *list = at, *counts;
    uint32_t of_counts = counts_bytes(users, count), numbers = lsi_numbers_of(users, count);
    uint64_t before = number_at(options, picks, 0);

    memset(at, 0, bytes);
    lsi_write_u64le(end - FIRST_BEFORE, before);
    lsi_write_u64le(end - HIGH_BEFORE, options->producer.high);
    lsi_write_u64le(end - LOW_BEFORE, options->producer.low);
    if (bytes - lsi_round_up(of_counts, 8) > LSI_TAIL_BYTES) {
        for (uint32_t i = 1; i < numbers; i++) {
            uint64_t number = number_at(options, picks, i);

            list = lsi_item_write(list, number - before);
            before = number;
        }
        lsi_write_u32le(end - LIST_BYTES_BEFORE, (uint32_t)(list - at));
    }
    counts = at + lsi_round_up((uint64_t)(list - at), 8);
    for (uint32_t i = 0; of_counts > 0 && i < count; i++)
        counts = lsi_item_write(counts, users[i]);
    lsi_write_u32le(end - COUNTS_BYTES_BEFORE, of_counts);
}
