/* What is remembered of producers, in memory: by id, in the order in which they put last.
 *
 *  M1  Of a producer the last LS_PRODUCER_PUTS_MAX runs are kept, and `floor`: no number above it was in a run that is
 *      not. So a number is repeated (in a run), new (above the floor and in none), or nobody knows.
 *  M2  All of it depends on the frames and their order alone, not on who looks and when: processes agree.
 *
 * The producers lie in an array; their indexes link the chains of the table and the order of use. */
#include "storage/numbered.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

#define NONE UINT32_MAX
#define BUCKETS_FIRST 16u
enum { HEAD_BYTES = 16, PRODUCER_BYTES = 40, RUN_BYTES = 40 };

typedef lsi_known_producer producer;

struct lsi_remembered {
    const lsi_env *env;
    producer *all;
    size_t capacity;
    uint32_t used; /* of `all`: so many were ever taken */
    uint32_t count, free, oldest, newest;
    uint32_t *buckets;
    uint32_t bucket_count; /* a power of two */
    uint64_t lists_bytes;
};

lsi_remembered *lsi_remembered_new(const lsi_env *env)
{
    lsi_remembered *of = lsi_alloc_zero(&env->memory, sizeof *of);

    if (of == NULL)
        return NULL;
    of->env = env;
    of->free = of->oldest = of->newest = NONE;
    return of;
}

static uint32_t lists_bytes(const lsi_run *run)
{
    return run->list_bytes + run->counts_bytes; /* Both are of one frame. */
}

static const unsigned char *counts_of(const lsi_run *run)
{
    return run->counts_bytes != 0 ? run->list + run->list_bytes : NULL;
}

static void drop_run(lsi_remembered *of, lsi_run *run)
{
    of->lists_bytes -= lists_bytes(run);
    lsi_free(&of->env->memory, run->list);
    run->list = NULL;
}

void lsi_remembered_free(lsi_remembered *of)
{
    if (of == NULL)
        return;
    for (uint32_t at = of->oldest; at != NONE; at = of->all[at].newer)
        for (uint32_t i = 0; i < of->all[at].run_count; i++)
            lsi_free(&of->env->memory, of->all[at].runs[i].list);
    lsi_free(&of->env->memory, of->all);
    lsi_free(&of->env->memory, of->buckets);
    lsi_free(&of->env->memory, of);
}

uint32_t lsi_remembered_count(const lsi_remembered *of)
{
    return of->count;
}

void lsi_remembered_each(const lsi_remembered *of, void (*each)(void *user, const lsi_known_producer *producer),
                         void *user)
{
    for (uint32_t at = of->oldest; at != NONE; at = of->all[at].newer)
        each(user, &of->all[at]);
}

/* ---- the table ---- */

static uint32_t *bucket_of(const lsi_remembered *of, ls_producer_id id)
{
    uint64_t words[2] = {id.high, id.low};

    return &of->buckets[lsi_sum64(words, sizeof words, 0) & (of->bucket_count - 1)];
}

static producer *find(const lsi_remembered *of, ls_producer_id id)
{
    if (of->count == 0)
        return NULL;
    for (uint32_t at = *bucket_of(of, id); at != NONE; at = of->all[at].next)
        if (of->all[at].id.high == id.high && of->all[at].id.low == id.low)
            return &of->all[at];
    return NULL;
}

static void put_in_chain(lsi_remembered *of, uint32_t at)
{
    uint32_t *bucket = bucket_of(of, of->all[at].id);

    of->all[at].next = *bucket;
    *bucket = at;
}

static bool make_buckets(lsi_remembered *of, uint32_t wanted)
{
    uint32_t count = of->bucket_count != 0 ? of->bucket_count : BUCKETS_FIRST;
    uint32_t *buckets;

    while (count < wanted)
        count *= 2;
    if (count == of->bucket_count)
        return true;
    buckets = lsi_alloc(&of->env->memory, count * sizeof *buckets);
    if (buckets == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        buckets[i] = NONE;
    lsi_free(&of->env->memory, of->buckets);
    of->buckets = buckets;
    of->bucket_count = count;
    for (uint32_t at = of->oldest; at != NONE; at = of->all[at].newer)
        put_in_chain(of, at);
    return true;
}

static void unlink_use(lsi_remembered *of, producer *one)
{
    if (one->older != NONE)
        of->all[one->older].newer = one->newer;
    else
        of->oldest = one->newer;
    if (one->newer != NONE)
        of->all[one->newer].older = one->older;
    else
        of->newest = one->older;
}

static void make_newest(lsi_remembered *of, producer *one)
{
    uint32_t at = (uint32_t)(one - of->all);

    one->older = of->newest;
    one->newer = NONE;
    if (of->newest != NONE)
        of->all[of->newest].newer = at;
    else
        of->oldest = at;
    of->newest = at;
}

static void forget_oldest(lsi_remembered *of)
{
    uint32_t at = of->oldest;
    producer *one = &of->all[at];
    uint32_t *link = bucket_of(of, one->id);

    while (*link != at)
        link = &of->all[*link].next;
    *link = one->next;
    unlink_use(of, one);
    for (uint32_t i = 0; i < one->run_count; i++)
        drop_run(of, &one->runs[i]);
    one->next = of->free;
    of->free = at;
    of->count--;
}

/* The producer, the newest now; NULL: no memory. */
static producer *use(lsi_remembered *of, ls_producer_id id, int64_t used_us)
{
    producer *one = find(of, id);

    if (one != NULL) {
        unlink_use(of, one);
    } else {
        if (of->count == LS_PRODUCERS_MAX)
            forget_oldest(of);
        if (of->free == NONE) {
            void *all = of->all;
            if (!make_buckets(of, 2 * (of->used + 1)) ||
                !lsi_grow(&of->env->memory, &all, &of->capacity, of->used + (size_t)1, sizeof *of->all))
                return NULL;
            of->all = all;
            of->free = of->used++;
            of->all[of->free].next = NONE;
        }
        one = &of->all[of->free];
        of->free = one->next;
        *one = (producer){.id = id};
        put_in_chain(of, (uint32_t)(one - of->all));
        of->count++;
    }
    make_newest(of, one);
    one->used_us = used_us;
    return one;
}

/* M1. The list is copied, and the counts. */
static ls_status add_run(lsi_remembered *of, producer *one, const lsi_run *run, const unsigned char *counts)
{
    lsi_run *last = one->run_count > 0 ? &one->runs[one->run_count - 1] : NULL;
    unsigned char *list = NULL;

    if (last != NULL && lists_bytes(last) == 0 && lists_bytes(run) == 0 && last->shard == run->shard &&
        run->first == last->last + 1 && run->seqno == last->seqno + (last->last - last->first) + 1) {
        last->last = run->last;
        return LS_OK;
    }
    if (lists_bytes(run) != 0) {
        list = lsi_alloc(&of->env->memory, lists_bytes(run));
        if (list == NULL)
            return lsi_fail(LS_ERR_NO_MEMORY, "remembering %u bytes of numbers: no memory", lists_bytes(run));
        if (run->list_bytes != 0)
            memcpy(list, run->list, run->list_bytes);
        if (run->counts_bytes != 0)
            memcpy(list + run->list_bytes, counts, run->counts_bytes);
    }
    if (one->run_count == LS_PRODUCER_PUTS_MAX) {
        if (one->runs[0].last > one->floor)
            one->floor = one->runs[0].last;
        drop_run(of, &one->runs[0]);
        one->run_count--;
        memmove(one->runs, one->runs + 1, one->run_count * sizeof *one->runs);
    }
    one->runs[one->run_count] = *run;
    one->runs[one->run_count++].list = list;
    of->lists_bytes += lists_bytes(run);
    return LS_OK;
}

static ls_status no_memory(const lsi_remembered *of)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "remembering %u producers: no memory", of->count + 1);
}

static void keep_bound(lsi_remembered *of)
{
    while (of->lists_bytes > LSI_LISTS_BYTES_MAX && of->count > 1)
        forget_oldest(of);
}

ls_status lsi_remember(lsi_remembered *of, const lsi_tail *tail, uint32_t shard, ls_seqno first_seqno,
                       int64_t arrival_us)
{
    lsi_run run = {.first = tail->first, .last = tail->last, .seqno = first_seqno, .shard = shard,
                   .list_bytes = tail->list_bytes, .counts_bytes = tail->counts_bytes};
    producer *one = use(of, tail->producer, arrival_us);
    ls_status st;

    if (one == NULL)
        return no_memory(of);
    run.list = (unsigned char *)(uintptr_t)tail->list; /* add_run copies it */
    st = add_run(of, one, &run, run.counts_bytes != 0 ? tail->list + lsi_round_up(tail->list_bytes, 8) : NULL);
    keep_bound(of);
    return st;
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

static bool is_in(const lsi_run *run, uint64_t number, lsi_number_cursor *cursor, ls_seqno *seqno)
{
    if (number < run->first || number > run->last)
        return false;
    if (lists_bytes(run) == 0) {
        *seqno = run->seqno + (number - run->first);
        return true;
    }
    if (cursor->run != run || cursor->at > number)
        *cursor = (lsi_number_cursor){.run = run, .at = run->first};
    if (run->list_bytes == 0) {
        cursor->at = number;
        cursor->index = number - run->first;
    }
    while (cursor->at < number && lsi_tail_next(run->list, run->list_bytes, &cursor->offset, &cursor->at))
        cursor->index++;
    if (cursor->at != number || (run->counts_bytes != 0 && !find_record(run, cursor)))
        return false;
    *seqno = run->seqno + (run->counts_bytes != 0 ? cursor->record : cursor->index);
    return true;
}

lsi_number_is lsi_remembered_find(const lsi_remembered *of, ls_producer_id id, uint64_t number,
                                  lsi_number_cursor *cursor, uint32_t *shard, ls_seqno *seqno)
{
    const producer *one = find(of, id);

    cursor->sub_seqno = cursor->sub_count = 0;
    if (one == NULL)
        return LSI_NUMBER_NEW;
    for (uint32_t i = one->run_count; i-- > 0;) {
        if (is_in(&one->runs[i], number, cursor, seqno)) {
            *shard = one->runs[i].shard;
            return LSI_NUMBER_REPEATED;
        }
    }
    return number > one->floor ? LSI_NUMBER_NEW : LSI_NUMBER_EXPIRED;
}

bool lsi_remembered_is_new_from(const lsi_remembered *of, ls_producer_id id, uint64_t number)
{
    const producer *one = find(of, id);

    if (one == NULL)
        return true;
    for (uint32_t i = 0; i < one->run_count; i++)
        if (number <= one->runs[i].last)
            return false;
    return number > one->floor;
}

/* ---- merging ---- */

/* The runs of `from` but for the first `skipped`, which only raise the floor. */
static ls_status add_runs(lsi_remembered *to, producer *one, const producer *from, uint32_t skipped)
{
    ls_status st = LS_OK;

    if (from->floor > one->floor)
        one->floor = from->floor;
    for (uint32_t i = 0; i < skipped; i++)
        if (from->runs[i].last > one->floor)
            one->floor = from->runs[i].last;
    for (uint32_t i = skipped; i < from->run_count && st == LS_OK; i++)
        st = add_run(to, one, &from->runs[i], counts_of(&from->runs[i]));
    return st;
}

/* One that is in both, `mine` in the one that is merged now: of each at least half of what is remembered. */
static ls_status add_both(lsi_remembered *to, producer *one, const producer *mine, const producer *other)
{
    const producer *early = mine->used_us <= other->used_us ? mine : other, *late = early == mine ? other : mine;
    uint32_t of_late = late->run_count, of_early = early->run_count;
    ls_status st;

    while (of_late + of_early > LS_PRODUCER_PUTS_MAX) {
        if (of_late > of_early)
            of_late--;
        else
            of_early--;
    }
    st = add_runs(to, one, early, early->run_count - of_early);
    return st == LS_OK ? add_runs(to, one, late, late->run_count - of_late) : st;
}

ls_status lsi_remembered_merge(const lsi_remembered *a, const lsi_remembered *b, lsi_remembered **out)
{
    lsi_remembered *to = lsi_remembered_new(a->env);
    uint32_t at[2] = {a->oldest, b != NULL ? b->oldest : NONE};
    const lsi_remembered *of[2] = {a, b};
    ls_status st = LS_OK;

    if (to == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "remembering producers: no memory");
    while (st == LS_OK && (at[0] != NONE || at[1] != NONE)) { /* by time, the least recent first */
        int k = at[0] == NONE || (at[1] != NONE && b->all[at[1]].used_us < a->all[at[0]].used_us);
        const producer *from = &of[k]->all[at[k]];
        const producer *other = of[1 - k] != NULL ? find(of[1 - k], from->id) : NULL;
        bool is_second = find(to, from->id) != NULL;
        producer *one = use(to, from->id, from->used_us);

        if (one == NULL)
            st = no_memory(to);
        else if (is_second)
            st = LS_OK; /* Both were added with the first. */
        else if (other != NULL)
            st = add_both(to, one, from, other);
        else
            st = add_runs(to, one, from, 0);
        at[k] = from->newer;
    }
    keep_bound(to);
    if (st == LS_OK)
        *out = to;
    else
        lsi_remembered_free(to);
    return st;
}

/* ---- the file ---- */

ls_status lsi_remembered_encode(const lsi_remembered *of, uint64_t position, void **out, size_t *size)
{
    uint64_t bytes = HEAD_BYTES + of->count * (uint64_t)PRODUCER_BYTES;
    lsi_writer to;

    for (uint32_t at = of->oldest; at != NONE; at = of->all[at].newer)
        for (uint32_t i = 0; i < of->all[at].run_count; i++)
            bytes += RUN_BYTES + lsi_round_up(lists_bytes(&of->all[at].runs[i]), 8);
    *out = lsi_alloc(&of->env->memory, bytes);
    if (*out == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%llu bytes for what is remembered of producers: no memory",
                        (unsigned long long)bytes);
    to = (lsi_writer){*out, (unsigned char *)*out + bytes};
    lsi_put_u64(&to, position);
    lsi_put_u32(&to, of->count);
    lsi_put_u32(&to, 0);
    for (uint32_t at = of->oldest; at != NONE; at = of->all[at].newer) {
        const producer *one = &of->all[at];

        lsi_put_u64(&to, one->id.high);
        lsi_put_u64(&to, one->id.low);
        lsi_put_u64(&to, one->floor);
        lsi_put_u64(&to, (uint64_t)one->used_us);
        lsi_put_u32(&to, one->run_count);
        lsi_put_u32(&to, 0);
        for (uint32_t i = 0; i < one->run_count; i++) {
            const lsi_run *run = &one->runs[i];

            lsi_put_u64(&to, run->first);
            lsi_put_u64(&to, run->last);
            lsi_put_u64(&to, run->seqno);
            lsi_put_u32(&to, run->shard);
            lsi_put_u32(&to, run->list_bytes);
            lsi_put_u32(&to, run->counts_bytes);
            lsi_put_u32(&to, 0);
            lsi_put_bytes(&to, run->list, lists_bytes(run));
            lsi_put_zero(&to, (size_t)(lsi_round_up(lists_bytes(run), 8) - lists_bytes(run)));
        }
    }
    assert(to.at == to.end);
    *size = (size_t)bytes;
    return LS_OK;
}

/* A list leads from the run's first number to its last, and the counts are of as many numbers. */
static bool is_sound(const lsi_run *run)
{
    uint64_t at = run->first, numbers = 1, counted = 0, records = 0;
    uint32_t offset = 0;

    if (run->first == 0 || run->last < run->first || run->last > LS_NUMBER_MAX || run->seqno == LS_SEQNO_NONE ||
        run->seqno > LS_SEQNO_MAX || run->last - run->first > LS_SEQNO_MAX)
        return false;
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
    if (run->counts_bytes == 0)
        records = numbers;
    else if (counted != numbers)
        return false;
    return records - 1 <= LS_SEQNO_MAX - run->seqno;
}

static bool take_run(lsi_cursor *from, lsi_run *run)
{
    run->first = lsi_take_u64(from);
    run->last = lsi_take_u64(from);
    run->seqno = lsi_take_u64(from);
    run->shard = lsi_take_u32(from);
    run->list_bytes = lsi_take_u32(from);
    run->counts_bytes = lsi_take_u32(from);
    (void)lsi_take_u32(from);
    if (from->bad || run->list_bytes > LSI_FRAME_BYTES_MAX || run->counts_bytes > LSI_FRAME_BYTES_MAX)
        return false;
    run->list = (unsigned char *)(uintptr_t)lsi_take_bytes(from, (size_t)lsi_round_up(lists_bytes(run), 8));
    return !from->bad && is_sound(run);
}

ls_status lsi_remembered_decode(const lsi_env *env, const char *name, const unsigned char *payload, size_t size,
                                uint64_t *position, lsi_remembered **out)
{
    lsi_cursor from = {payload, payload + size, false};
    uint32_t count;
    lsi_remembered *of = lsi_remembered_new(env);
    ls_status st = LS_OK;

    if (of == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: no memory", name);
    *position = lsi_take_u64(&from);
    count = lsi_take_u32(&from);
    (void)lsi_take_u32(&from);
    if (from.bad || count > LS_PRODUCERS_MAX || *position % 8 != 0 || *position > LSI_POSITION_MAX)
        goto broken;
    for (uint32_t i = 0; i < count; i++) {
        ls_producer_id id = {.high = lsi_take_u64(&from)};
        uint64_t floor;
        int64_t used_us;
        uint32_t runs;
        producer *one;

        id.low = lsi_take_u64(&from);
        floor = lsi_take_u64(&from);
        used_us = (int64_t)lsi_take_u64(&from);
        runs = lsi_take_u32(&from);
        (void)lsi_take_u32(&from);
        if (from.bad || (id.high | id.low) == 0 || runs == 0 || runs > LS_PRODUCER_PUTS_MAX || find(of, id) != NULL)
            goto broken;
        one = use(of, id, used_us);
        if (one == NULL) {
            st = no_memory(of);
            goto fail;
        }
        one->floor = floor;
        for (uint32_t k = 0; k < runs; k++) {
            lsi_run run;

            if (!take_run(&from, &run))
                goto broken;
            st = add_run(of, one, &run, counts_of(&run));
            if (st != LS_OK)
                goto fail;
        }
    }
    if (from.at != from.end)
        goto broken;
    keep_bound(of);
    *out = of;
    return LS_OK;
broken:
    st = lsi_fail(LS_ERR_CORRUPT, "%s: what it says of producers breaks its rules", name);
fail:
    lsi_remembered_free(of);
    return st;
}
