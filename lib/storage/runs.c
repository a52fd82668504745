/* Runs: numbers that a producer put to a shard, packed. FORMAT.md, "Numbers".
 *
 *  M4  A frame lies in one run. So as many runs are at least as many puts and batches.
 *
 * A producer whose records go to several shards by their keys, and among others' records, leaves in each of them
 * numbers with gaps, in records with gaps. An item of the list is a gap: how many numbers follow each other before it,
 * by how much the next number is above the last one, and by how much its record is; mostly that is one byte or two. So
 * many bytes are looked through, rather than searched, for a number below the newest one, which only repeats are. */
#include "storage/numbered.h"

#include "base/bytes.h"
#include "base/status.h"

enum { HAS_LENGTH = 1, HAS_STEP = 2, GAP_SHIFT = 2 };
#define FAR (UINT64_C(1) << 60) /* So far and farther is an item of its own, since two bits are for what follows. */
#define GAP_BYTES_MAX ((size_t)4 * LSI_ITEM_BYTES_MAX)

typedef struct gap {
    uint64_t length;  /* of the span before it, 1 or more */
    uint64_t numbers; /* from its last number to the next, 1 or more */
    uint64_t records; /* the same of their records */
} gap;

static const unsigned char *counts_of(const lsi_run *run)
{
    return run->list + run->list_bytes;
}

static bool read_gap(const lsi_run *run, uint32_t *offset, gap *out)
{
    uint64_t head, far, length = 0, step = 0;

    if (!lsi_item_read(run->list, run->list_bytes, offset, &head))
        return false;
    far = head >> GAP_SHIFT;
    if (far > FAR || (far == FAR && !lsi_item_read(run->list, run->list_bytes, offset, &far)) ||
        ((head & HAS_LENGTH) != 0 && !lsi_item_read(run->list, run->list_bytes, offset, &length)) ||
        ((head & HAS_STEP) != 0 && !lsi_item_read(run->list, run->list_bytes, offset, &step)) ||
        far >= LS_NUMBER_MAX || length >= LS_NUMBER_MAX || step >= LS_SEQNO_MAX)
        return false;
    *out = (gap){.length = (head & HAS_LENGTH) != 0 ? length + 2 : 1,
                 .numbers = far + 1,
                 .records = (head & HAS_STEP) != 0 ? step + 2 : 1};
    return true;
}

static ls_seqno last_seqno(const lsi_run *run)
{
    return run->span_seqno + (run->last - run->span_first);
}

static ls_status add_gap(const lsi_memory *memory, lsi_run *run, uint64_t number, ls_seqno seqno)
{
    uint64_t length = run->last - run->span_first + 1, records = seqno - last_seqno(run);
    uint64_t far = number - run->last - 1, head = far < FAR ? far : FAR;
    void *list = run->list;
    unsigned char *at;

    if (!lsi_grow(memory, &list, &run->capacity, run->list_bytes + GAP_BYTES_MAX, 1))
        return lsi_fail(LS_ERR_NO_MEMORY, "remembering %u bytes of numbers: no memory", run->list_bytes);
    run->list = list;
    at = lsi_item_write(run->list + run->list_bytes,
                        head << GAP_SHIFT | (length > 1 ? HAS_LENGTH : 0) | (records > 1 ? HAS_STEP : 0));
    if (head == FAR)
        at = lsi_item_write(at, far);
    if (length > 1)
        at = lsi_item_write(at, length - 2);
    if (records > 1)
        at = lsi_item_write(at, records - 2);
    run->list_bytes = (uint32_t)(at - run->list);
    run->span_first = run->last = number;
    run->span_seqno = seqno;
    return LS_OK;
}

/* The numbers of a frame behind its first one, which is the run's last: one to a record. */
static ls_status add_rest(const lsi_memory *memory, lsi_run *run, const lsi_tail *tail, ls_seqno seqno)
{
    uint64_t at = tail->first;
    uint32_t offset = 0;
    ls_status st = LS_OK;

    if (tail->list_bytes == 0) {
        run->last = tail->last;
        return LS_OK;
    }
    while (st == LS_OK && lsi_tail_next(tail->list, tail->list_bytes, &offset, &at)) {
        seqno++;
        if (at == run->last + 1)
            run->last = at;
        else
            st = add_gap(memory, run, at, seqno);
    }
    return st;
}

static bool is_next(const lsi_run *run, const lsi_tail *tail, ls_seqno first_seqno)
{
    return tail->first == run->last + 1 && first_seqno == last_seqno(run) + 1;
}

bool lsi_run_takes(const lsi_run *run, const lsi_tail *tail, uint32_t shard, ls_seqno first_seqno)
{
    if (run->counts_bytes != 0 || tail->counts_bytes != 0 || run->shard != shard || tail->first <= run->last ||
        first_seqno <= last_seqno(run))
        return false;
    return run->list_bytes < LSI_RUN_LIST_BYTES || (tail->list_bytes == 0 && is_next(run, tail, first_seqno));
}

ls_status lsi_run_take(const lsi_memory *memory, lsi_run *run, const lsi_tail *tail, ls_seqno first_seqno)
{
    ls_status st = LS_OK;

    if (is_next(run, tail, first_seqno))
        run->last = tail->first;
    else
        st = add_gap(memory, run, tail->first, first_seqno);
    return st == LS_OK ? add_rest(memory, run, tail, first_seqno) : st;
}

static ls_status set_lists(const lsi_memory *memory, lsi_run *run, const unsigned char *list,
                           const unsigned char *counts)
{
    uint32_t bytes = lsi_run_lists_bytes(run);

    run->list = NULL;
    run->capacity = 0;
    if (bytes == 0)
        return LS_OK;
    run->list = lsi_alloc(memory, bytes);
    if (run->list == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "remembering %u bytes of numbers: no memory", bytes);
    run->capacity = bytes;
    if (run->list_bytes != 0)
        memcpy(run->list, list, run->list_bytes);
    if (run->counts_bytes != 0)
        memcpy(run->list + run->list_bytes, counts, run->counts_bytes);
    return LS_OK;
}

ls_status lsi_run_begin(const lsi_memory *memory, lsi_run *run, const lsi_tail *tail, uint32_t shard,
                        ls_seqno first_seqno)
{
    *run = (lsi_run){.first = tail->first, .last = tail->first, .seqno = first_seqno, .shard = shard,
                     .span_first = tail->first, .span_seqno = first_seqno};
    if (tail->counts_bytes == 0)
        return add_rest(memory, run, tail, first_seqno);
    run->last = tail->last;
    run->list_bytes = tail->list_bytes;
    run->counts_bytes = tail->counts_bytes;
    return set_lists(memory, run, tail->list, tail->list + lsi_round_up(tail->list_bytes, 8));
}

ls_status lsi_run_copy(const lsi_memory *memory, lsi_run *run, const lsi_run *from)
{
    *run = *from;
    return set_lists(memory, run, from->list, from->list != NULL ? counts_of(from) : NULL);
}

void lsi_run_drop(const lsi_memory *memory, lsi_run *run)
{
    lsi_free(memory, run->list);
    run->list = NULL;
}

/* ---- from anywhere ---- */

static bool are_gaps_sound(lsi_run *run)
{
    uint64_t at = run->first;
    ls_seqno seqno = run->seqno;
    uint32_t offset = 0;
    gap next;

    while (offset < run->list_bytes) {
        if (!read_gap(run, &offset, &next) || next.length - 1 > run->last - at)
            return false;
        at += next.length - 1;
        if (next.numbers > run->last - at || next.length - 1 > LS_SEQNO_MAX - seqno)
            return false;
        at += next.numbers;
        seqno += next.length - 1;
        if (next.records > LS_SEQNO_MAX - seqno)
            return false;
        seqno += next.records;
    }
    run->span_first = at;
    run->span_seqno = seqno;
    return run->last - at <= LS_SEQNO_MAX - seqno;
}

/* Differences lead from the first number to the last one, and the counts are of as many numbers. */
static bool are_counts_sound(const lsi_run *run)
{
    uint64_t at = run->first, numbers = 1, counted = 0, records = 0;
    uint32_t offset = 0;

    while (offset < run->list_bytes) {
        if (!lsi_tail_next(run->list, run->list_bytes, &offset, &at))
            return false;
        numbers++;
    }
    if (run->list_bytes == 0)
        numbers += run->last - run->first;
    else if (at != run->last)
        return false;
    for (offset = 0; offset < run->counts_bytes; records++)
        if (!lsi_tail_next(counts_of(run), run->counts_bytes, &offset, &counted))
            return false;
    return counted == numbers && records - 1 <= LS_SEQNO_MAX - run->seqno;
}

bool lsi_run_is_sound(lsi_run *run)
{
    if (run->first == 0 || run->last < run->first || run->last > LS_NUMBER_MAX || run->seqno == LS_SEQNO_NONE ||
        run->seqno > LS_SEQNO_MAX)
        return false;
    return run->counts_bytes != 0 ? are_counts_sound(run) : are_gaps_sound(run);
}

/* ---- asking ---- */

/* The record of the number that the cursor is at. */
static bool find_record(const lsi_run *run, lsi_number_cursor *cursor)
{
    while (cursor->record_end <= cursor->index) {
        cursor->record += cursor->record_end > 0;
        cursor->record_begin = cursor->record_end;
        if (!lsi_tail_next(counts_of(run), run->counts_bytes, &cursor->counts_offset, &cursor->record_end))
            return false;
    }
    if (cursor->record_end - cursor->record_begin > 1) {
        cursor->sub_seqno = (uint32_t)(cursor->index - cursor->record_begin);
        cursor->sub_count = (uint32_t)(cursor->record_end - cursor->record_begin);
    }
    return true;
}

static bool find_counted(const lsi_run *run, uint64_t number, lsi_number_cursor *cursor, ls_seqno *seqno)
{
    if (cursor->run != run || cursor->at > number)
        *cursor = (lsi_number_cursor){.run = run, .at = run->first};
    if (run->list_bytes == 0) {
        cursor->at = number;
        cursor->index = number - run->first;
    }
    while (cursor->at < number && lsi_tail_next(run->list, run->list_bytes, &cursor->offset, &cursor->at))
        cursor->index++;
    if (cursor->at != number || !find_record(run, cursor))
        return false;
    *seqno = run->seqno + cursor->record;
    return true;
}

/* The end of the span that begins at the cursor's `at`; `gap` is what is behind it. False: nothing is, or it is the
 * last one. */
static bool look_behind(const lsi_run *run, lsi_number_cursor *cursor, gap *behind)
{
    uint32_t offset = cursor->offset;

    if (!read_gap(run, &offset, behind)) {
        cursor->end = run->last;
        return false;
    }
    cursor->end = cursor->at + behind->length - 1;
    return true;
}

static bool find_in_spans(const lsi_run *run, uint64_t number, lsi_number_cursor *cursor, ls_seqno *seqno)
{
    gap behind;

    if (cursor->run != run || number <= cursor->behind) {
        *cursor = (lsi_number_cursor){.run = run, .at = run->first, .seqno = run->seqno};
        (void)look_behind(run, cursor, &behind);
    }
    while (number > cursor->end && read_gap(run, &cursor->offset, &behind)) {
        cursor->behind = cursor->end;
        cursor->seqno += behind.length - 1 + behind.records;
        cursor->at = cursor->end + behind.numbers;
        (void)look_behind(run, cursor, &behind);
    }
    if (number < cursor->at || number > cursor->end)
        return false;
    *seqno = cursor->seqno + (number - cursor->at);
    return true;
}

bool lsi_run_find(const lsi_run *run, uint64_t number, lsi_number_cursor *cursor, ls_seqno *seqno)
{
    cursor->sub_seqno = cursor->sub_count = 0;
    if (number < run->first || number > run->last)
        return false;
    return run->counts_bytes != 0 ? find_counted(run, number, cursor, seqno)
                                  : find_in_spans(run, number, cursor, seqno);
}
