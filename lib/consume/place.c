/* An iterator's place as text, both ways.
 *
 *     place   = "ls1:" stream ":" created ":" kind ":" entry {"," entry} ":" sum
 *     kind    = "one" | "all"                one entry | one or more, ascending by shard
 *     entry   = shard "=" where
 *     where   = number                       the next record to be read has at least this sequence number
 *             | number "." sub               the record with that number is an aggregate of which the first `sub` user
 *                                            records were given; `sub` is not 0
 *             | "t"                          nothing was read yet: TRIM_HORIZON
 *             | "e"                          read to the end of the shard ("all" only)
 *     sum     = 16 lower-case hexadecimal digits: XXH3-64 of all text before its colon
 *
 * `stream` is the stream's id and `created` its creation time in microseconds, so that a text of another stream, or of
 * a stream of another store that happens to have the same id, is refused. Numbers are decimal without leading zeros.
 * The text is a hint from outside: it may have been cut, edited or invented. The sum refuses accidents, the grammar
 * everything else (X1); reading allocates no more than the text is long. */
#include "consume/iterator.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"

#define PREFIX "ls1:"
#define SUM_SEED UINT64_C(0x6c73706c61636531) /* "lsplace1" */
#define SUM_DIGITS 16
#define ENTRY_BYTES_MAX 43 /* "4294967294=9223372036854775807.4294967295," and a terminator */

/* ---- writing ---- */

/* Appends to `buffer` as far as it reaches and counts everything. */
typedef struct text_out {
    char *buffer;
    size_t capacity;
    size_t size;
} text_out;

static void add(text_out *to, const char *text)
{
    size_t size = strlen(text);

    if (to->size < to->capacity && size <= to->capacity - to->size)
        memcpy(to->buffer + to->size, text, size);
    to->size += size;
}

static void add_track(text_out *to, const lsi_track *track, bool is_first)
{
    const char *comma = is_first ? "" : ",";
    char text[ENTRY_BYTES_MAX + 1];

    if (track->is_finished) /* Each fits by ENTRY_BYTES_MAX. */
        (void)snprintf(text, sizeof text, "%s%" PRIu32 "=e", comma, track->shard);
    else if (track->position.kind == LS_TRIM_HORIZON)
        (void)snprintf(text, sizeof text, "%s%" PRIu32 "=t", comma, track->shard);
    else if (track->position.sub_seqno == 0)
        (void)snprintf(text, sizeof text, "%s%" PRIu32 "=%" PRIu64, comma, track->shard, track->position.seqno);
    else
        (void)snprintf(text, sizeof text, "%s%" PRIu32 "=%" PRIu64 ".%" PRIu32, comma, track->shard,
                       track->position.seqno, track->position.sub_seqno);
    add(to, text);
}

static void write_body(const lsi_iterator *iterator, text_out *to)
{
    char head[80];

    (void)snprintf(head, sizeof head, PREFIX "%" PRIu64 ":%" PRId64 ":%s:", iterator->stream_id,
                   iterator->stream_created_us, iterator->is_merged ? "all" : "one"); /* 4 + 20 + 20 + 3 and colons */
    add(to, head);
    for (uint32_t i = 0; i < iterator->track_count; i++)
        add_track(to, &iterator->tracks[i], i == 0);
}

ls_status lsi_iterator_place(lsi_iterator *iterator, char *buffer, size_t capacity, size_t *needed)
{
    text_out measure = {.buffer = NULL, .capacity = 0, .size = 0};
    text_out to = {.buffer = buffer, .capacity = capacity, .size = 0};
    size_t bytes;

    write_body(iterator, &measure);
    bytes = measure.size + 1 + SUM_DIGITS + 1;
    if (needed != NULL)
        *needed = bytes;
    if (bytes > capacity)
        return lsi_fail(LS_ERR_TOO_LARGE, "place takes %zu bytes: the buffer has %zu", bytes, capacity);
    write_body(iterator, &to);
    (void)snprintf(buffer + to.size, capacity - to.size, ":%016" PRIx64, lsi_sum64(buffer, to.size, SUM_SEED));
    return LS_OK;
}

/* ---- reading ---- */

/* A decimal number of at most `max`, without leading zeros, which `*at` is moved behind. */
static bool take_number(const char **at, const char *end, uint64_t max, uint64_t *out)
{
    const char *from = *at;
    uint64_t value = 0;

    while (*at < end && **at >= '0' && **at <= '9') {
        uint64_t digit = (uint64_t)(**at - '0');

        if (value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
        (*at)++;
    }
    if (*at == from || (*from == '0' && *at - from > 1))
        return false;
    *out = value;
    return true;
}

static bool take_text(const char **at, const char *end, const char *text)
{
    size_t size = strlen(text);

    if ((size_t)(end - *at) < size || memcmp(*at, text, size) != 0)
        return false;
    *at += size;
    return true;
}

static bool take_entry(const char **at, const char *end, bool is_merged, lsi_track *out)
{
    uint64_t shard, seqno, sub = 0;

    *out = (lsi_track){.parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD, .position = lsi_position_first};
    if (!take_number(at, end, LSI_NO_SHARD - 1, &shard) || !take_text(at, end, "="))
        return false;
    out->shard = (uint32_t)shard;
    if (take_text(at, end, "t"))
        return true;
    if (is_merged && take_text(at, end, "e")) {
        out->is_finished = true;
        return true;
    }
    if (!take_number(at, end, LS_SEQNO_END, &seqno) || seqno == LS_SEQNO_NONE)
        return false;
    if (take_text(at, end, ".") && (!take_number(at, end, UINT32_MAX, &sub) || sub == 0))
        return false;
    out->position = (ls_position){.kind = LS_AT_SEQUENCE_NUMBER, .sub_seqno = (uint32_t)sub, .seqno = seqno};
    return true;
}

/* Everything before the entries. */
static bool take_head(const char **at, const char *end, lsi_place *out)
{
    bool is_negative;
    uint64_t created;

    if (!take_text(at, end, PREFIX) || !take_number(at, end, UINT64_MAX, &out->stream_id) || !take_text(at, end, ":"))
        return false;
    is_negative = take_text(at, end, "-"); /* A store may have been used before 1970, by its clock. */
    if (!take_number(at, end, INT64_MAX, &created) || (is_negative && created == 0) || !take_text(at, end, ":"))
        return false;
    out->stream_created_us = is_negative ? -(int64_t)created : (int64_t)created;
    out->is_merged = take_text(at, end, "all:");
    return out->is_merged || take_text(at, end, "one:");
}

static bool sum_is_right(const char *text, size_t size)
{
    char sum[SUM_DIGITS + 2];

    if (size < SUM_DIGITS + 1)
        return false;
    (void)snprintf(sum, sizeof sum, ":%016" PRIx64, lsi_sum64(text, size - SUM_DIGITS - 1, SUM_SEED));
    return memcmp(text + size - SUM_DIGITS - 1, sum, SUM_DIGITS + 1) == 0;
}

ls_status lsi_place_parse(const lsi_memory *memory, const char *text, lsi_place *out)
{
    size_t size = strlen(text);
    const char *at = text;
    const char *end;
    lsi_place place = {0};
    size_t entry_count = 1;

    if (!sum_is_right(text, size))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "place of %zu bytes is not what ls_iterator_place wrote", size);
    end = text + size - SUM_DIGITS - 1;
    if (!take_head(&at, end, &place))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "place is not of this form: see byte %zu", (size_t)(at - text));
    for (const char *p = at; p < end; p++)
        entry_count += *p == ',';
    if (entry_count > UINT32_MAX || (!place.is_merged && entry_count != 1))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "place has %zu entries", entry_count);
    place.tracks = lsi_alloc(memory, entry_count * sizeof(*place.tracks));
    if (place.tracks == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a place of %zu shards", entry_count);
    for (; place.track_count < entry_count; place.track_count++) {
        lsi_track *track = &place.tracks[place.track_count];

        if ((place.track_count > 0 && !take_text(&at, end, ",")) ||
            !take_entry(&at, end, place.is_merged, track) ||
            (place.track_count > 0 && track->shard <= track[-1].shard))
            break;
    }
    if (place.track_count != entry_count || at != end) {
        lsi_free(memory, place.tracks);
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "place is not of this form: see byte %zu", (size_t)(at - text));
    }
    *out = place;
    return LS_OK;
}
