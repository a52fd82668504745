/* What is remembered of producers, in memory: by id, in the order in which they put last.
 *
 *  M1  Of a producer its last runs are kept, and `floor`: no number above it was in a run that is not. So a number is
 *      repeated (in a run), new (above the floor and in none), or nobody knows.
 *  M2  All of it depends on the frames and their order alone, not on who looks and when: processes agree.
 *  M3  A producer's runs are the last LS_PRODUCER_PUTS_MAX, and as many before them as fit into LS_PRODUCER_BYTES_MAX.
 *      When all of them are above LSI_RUNS_BYTES_MAX, the oldest runs of those who put least recently go, until a
 *      quarter is free: what each has beyond the last LS_PRODUCER_PUTS_MAX; if need be beyond the last one; and that
 *      one. Floors stay: who is forgotten so far is refused and nothing is there twice.
 *
 * The producers lie in an array; their indexes link the chains of the table and the order of use. */
#include "storage/numbered.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

#define NONE UINT32_MAX
#define BUCKETS_FIRST 16u
enum { HEAD_BYTES = 16, PRODUCER_BYTES = 40 };
enum { LAYOUT_OF_DIFFERENCES = 0, LAYOUT_OF_GAPS = 1 };

typedef lsi_known_producer producer;

struct lsi_remembered {
    const lsi_env *env;
    producer *all;
    size_t capacity;
    uint32_t used; /* of `all`: so many were ever taken */
    uint32_t count, free, oldest, newest;
    uint32_t *buckets;
    uint32_t bucket_count; /* a power of two */
    uint64_t bytes; /* of all runs */
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

static void free_runs(lsi_remembered *of, producer *one)
{
    of->bytes -= one->bytes;
    for (uint32_t i = 0; i < one->run_count; i++)
        lsi_run_drop(&of->env->memory, &one->runs[i]);
    lsi_free(&of->env->memory, one->room);
}

void lsi_remembered_free(lsi_remembered *of)
{
    if (of == NULL)
        return;
    for (uint32_t at = of->oldest; at != NONE; at = of->all[at].newer)
        free_runs(of, &of->all[at]);
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
    free_runs(of, one);
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

/* ---- runs ---- */

/* Room for one more run, behind the others; NULL: no memory. */
static lsi_run *make_room(lsi_remembered *of, producer *one)
{
    size_t skipped = one->room != NULL ? (size_t)(one->runs - one->room) : 0;
    void *room = one->room;

    if (skipped > one->run_count) { /* More than half of it: each run is moved once for each that has gone. */
        memmove(one->room, one->runs, one->run_count * sizeof *one->runs);
        skipped = 0;
    }
    if (!lsi_grow(&of->env->memory, &room, &one->room_count, skipped + one->run_count + 1, sizeof *one->runs)) {
        one->runs = one->room != NULL ? one->room + skipped : NULL;
        return NULL;
    }
    one->room = room;
    one->runs = one->room + skipped;
    return &one->runs[one->run_count];
}

static ls_status no_memory(const lsi_remembered *of)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "remembering %u producers: no memory", of->count + 1);
}

/* It was made in what make_room gave, well or not. */
static ls_status count_run(lsi_remembered *of, producer *one, ls_status st)
{
    lsi_run *run = &one->runs[one->run_count++];
    uint64_t bytes = lsi_run_bytes(run);

    one->bytes += bytes;
    of->bytes += bytes;
    if (run->last > one->top)
        one->top = run->last;
    return st;
}

static void raise_floor(producer *one, uint64_t floor)
{
    if (floor > one->floor)
        one->floor = floor;
    if (floor > one->top)
        one->top = floor;
}

static void drop_oldest_run(lsi_remembered *of, producer *one)
{
    uint64_t bytes = lsi_run_bytes(&one->runs[0]);

    raise_floor(one, one->runs[0].last);
    lsi_run_drop(&of->env->memory, &one->runs[0]);
    one->runs++;
    one->run_count--;
    one->bytes -= bytes;
    of->bytes -= bytes;
}

/* M3 of one. */
static void keep_own_bound(lsi_remembered *of, producer *one)
{
    while (one->bytes > LS_PRODUCER_BYTES_MAX && one->run_count > LS_PRODUCER_PUTS_MAX)
        drop_oldest_run(of, one);
}

/* M3 of all; the last one, which has just put, keeps its own. */
static void keep_bound(lsi_remembered *of)
{
    static const uint32_t left[] = {LS_PRODUCER_PUTS_MAX, 1, 0};

    if (of->bytes <= LSI_RUNS_BYTES_MAX)
        return;
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        for (uint32_t at = of->oldest; at != of->newest; at = of->all[at].newer)
            while (of->all[at].run_count > left[i]) {
                if (of->bytes <= LSI_RUNS_BYTES_MAX / 4 * 3)
                    return;
                drop_oldest_run(of, &of->all[at]);
            }
}

static ls_status begin_run(lsi_remembered *of, producer *one, const lsi_tail *tail, uint32_t shard,
                           ls_seqno first_seqno)
{
    lsi_run *run = make_room(of, one);

    if (run == NULL)
        return no_memory(of);
    return count_run(of, one, lsi_run_begin(&of->env->memory, run, tail, shard, first_seqno));
}

static ls_status go_on(lsi_remembered *of, producer *one, lsi_run *run, const lsi_tail *tail, ls_seqno first_seqno)
{
    uint64_t before = lsi_run_bytes(run);
    ls_status st = lsi_run_take(&of->env->memory, run, tail, first_seqno);

    one->bytes += lsi_run_bytes(run) - before;
    of->bytes += lsi_run_bytes(run) - before;
    if (run->last > one->top)
        one->top = run->last;
    return st;
}

ls_status lsi_remember(lsi_remembered *of, const lsi_tail *tail, uint32_t shard, ls_seqno first_seqno,
                       int64_t arrival_us)
{
    producer *one = use(of, tail->producer, arrival_us);
    lsi_run *last;
    ls_status st;

    if (one == NULL)
        return no_memory(of);
    last = one->run_count > 0 ? &one->runs[one->run_count - 1] : NULL;
    if (last != NULL && lsi_run_takes(last, tail, shard, first_seqno))
        st = go_on(of, one, last, tail, first_seqno);
    else
        st = begin_run(of, one, tail, shard, first_seqno);
    keep_own_bound(of, one);
    keep_bound(of);
    return st;
}

/* ---- asking ---- */

lsi_number_is lsi_remembered_find(const lsi_remembered *of, ls_producer_id id, uint64_t number,
                                  lsi_number_cursor *cursor, uint32_t *shard, ls_seqno *seqno)
{
    const producer *one = find(of, id);

    cursor->sub_seqno = cursor->sub_count = 0;
    if (one == NULL)
        return LSI_NUMBER_NEW;
    for (uint32_t i = one->run_count; i-- > 0;) {
        if (lsi_run_find(&one->runs[i], number, cursor, seqno)) {
            *shard = one->runs[i].shard;
            return LSI_NUMBER_REPEATED;
        }
    }
    return number > one->floor ? LSI_NUMBER_NEW : LSI_NUMBER_EXPIRED;
}

bool lsi_remembered_is_new_from(const lsi_remembered *of, ls_producer_id id, uint64_t number)
{
    const producer *one = find(of, id);

    return one == NULL || number > one->top;
}

/* ---- merging ---- */

/* The runs of `from` but for the first `skipped`, which only raise the floor. */
static ls_status add_runs(lsi_remembered *to, producer *one, const producer *from, uint32_t skipped)
{
    ls_status st = LS_OK;

    raise_floor(one, from->floor);
    for (uint32_t i = 0; i < skipped; i++)
        raise_floor(one, from->runs[i].last);
    for (uint32_t i = skipped; i < from->run_count && st == LS_OK; i++) {
        lsi_run *run = make_room(to, one);

        st = run == NULL ? no_memory(to)
                         : count_run(to, one, lsi_run_copy(&to->env->memory, run, &from->runs[i]));
    }
    return st;
}

/* One that is in both, `mine` in the one that is merged now: of each at least half of what is remembered. */
static ls_status add_both(lsi_remembered *to, producer *one, const producer *mine, const producer *other)
{
    const producer *of[2] = {other, mine}; /* the one that put later is the second */
    uint64_t bytes[2];
    uint32_t skipped[2] = {0, 0};
    ls_status st;

    if (mine->used_us <= other->used_us) {
        of[0] = mine;
        of[1] = other;
    }
    bytes[0] = of[0]->bytes;
    bytes[1] = of[1]->bytes;
    for (;;) {
        uint32_t left[2] = {of[0]->run_count - skipped[0], of[1]->run_count - skipped[1]};
        int k = bytes[1] > bytes[0];

        if (bytes[0] + bytes[1] <= LS_PRODUCER_BYTES_MAX || left[0] + left[1] <= LS_PRODUCER_PUTS_MAX)
            break;
        if (left[k] <= LS_PRODUCER_PUTS_MAX / 2)
            k = 1 - k;
        bytes[k] -= lsi_run_bytes(&of[k]->runs[skipped[k]++]);
    }
    st = add_runs(to, one, of[0], skipped[0]);
    return st == LS_OK ? add_runs(to, one, of[1], skipped[1]) : st;
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
    uint64_t bytes = HEAD_BYTES + of->count * (uint64_t)PRODUCER_BYTES + of->bytes;
    lsi_writer to;

    *out = lsi_alloc(&of->env->memory, bytes);
    if (*out == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%llu bytes for what is remembered of producers: no memory",
                        (unsigned long long)bytes);
    to = (lsi_writer){*out, (unsigned char *)*out + bytes};
    lsi_put_u64(&to, position);
    lsi_put_u32(&to, of->count);
    lsi_put_u32(&to, LAYOUT_OF_GAPS);
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
            lsi_put_bytes(&to, run->list, lsi_run_lists_bytes(run));
            lsi_put_zero(&to, (size_t)(lsi_run_bytes(run) - LSI_RUN_BYTES - lsi_run_lists_bytes(run)));
        }
    }
    assert(to.at == to.end);
    *size = (size_t)bytes;
    return LS_OK;
}

/* A run's fields, its lists a view. */
static bool take_run(lsi_cursor *from, lsi_run *run)
{
    *run = (lsi_run){.first = lsi_take_u64(from)};
    run->last = lsi_take_u64(from);
    run->seqno = lsi_take_u64(from);
    run->shard = lsi_take_u32(from);
    run->list_bytes = lsi_take_u32(from);
    run->counts_bytes = lsi_take_u32(from);
    (void)lsi_take_u32(from);
    if (from->bad || run->list_bytes > LSI_FRAME_BYTES_MAX || run->counts_bytes > LSI_FRAME_BYTES_MAX)
        return false;
    run->list = (unsigned char *)(uintptr_t)lsi_take_bytes(from, (size_t)(lsi_run_bytes(run) - LSI_RUN_BYTES));
    return !from->bad;
}

/* As it was written before there were gaps: of one frame, with its differences. */
static ls_status add_old_run(lsi_remembered *to, producer *one, const lsi_run *run, bool *is_sound)
{
    lsi_tail tail = {.first = run->first, .last = run->last, .list = run->list, .list_bytes = run->list_bytes};
    uint64_t at = run->first, records = run->last - run->first + 1;
    uint32_t offset = 0;

    *is_sound = run->first != 0 && run->last >= run->first && run->last <= LS_NUMBER_MAX;
    if (*is_sound && run->list_bytes != 0) {
        for (records = 1; offset < run->list_bytes && *is_sound; records++)
            *is_sound = lsi_tail_next(run->list, run->list_bytes, &offset, &at);
        *is_sound = *is_sound && at == run->last;
    }
    *is_sound = *is_sound && run->seqno != LS_SEQNO_NONE && run->seqno <= LS_SEQNO_MAX &&
                records - 1 <= LS_SEQNO_MAX - run->seqno;
    return *is_sound ? begin_run(to, one, &tail, run->shard, run->seqno) : LS_OK;
}

static ls_status add_run(lsi_remembered *to, producer *one, lsi_run *run, uint32_t layout, bool *is_sound)
{
    lsi_run *at;

    if (layout == LAYOUT_OF_DIFFERENCES && run->counts_bytes == 0)
        return add_old_run(to, one, run, is_sound);
    *is_sound = lsi_run_is_sound(run);
    if (!*is_sound)
        return LS_OK;
    at = make_room(to, one);
    return at == NULL ? no_memory(to) : count_run(to, one, lsi_run_copy(&to->env->memory, at, run));
}

ls_status lsi_remembered_decode(const lsi_env *env, const char *name, const unsigned char *payload, size_t size,
                                uint64_t *position, lsi_remembered **out)
{
    lsi_cursor from = {payload, payload + size, false};
    uint32_t count, layout;
    lsi_remembered *of = lsi_remembered_new(env);
    ls_status st = LS_OK;

    if (of == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: no memory", name);
    *position = lsi_take_u64(&from);
    count = lsi_take_u32(&from);
    layout = lsi_take_u32(&from);
    if (from.bad || count > LS_PRODUCERS_MAX || layout > LAYOUT_OF_GAPS || *position % 8 != 0 ||
        *position > LSI_POSITION_MAX)
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
        if (from.bad || (id.high | id.low) == 0 || find(of, id) != NULL)
            goto broken;
        one = use(of, id, used_us);
        if (one == NULL) {
            st = no_memory(of);
            goto fail;
        }
        raise_floor(one, floor);
        for (uint32_t k = 0; k < runs; k++) {
            bool is_sound;
            lsi_run run;

            if (!take_run(&from, &run))
                goto broken;
            st = add_run(of, one, &run, layout, &is_sound);
            if (st != LS_OK)
                goto fail;
            if (!is_sound)
                goto broken;
        }
        keep_own_bound(of, one);
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
