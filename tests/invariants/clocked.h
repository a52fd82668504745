/* A clock of the tests' own, in memory that children see, and a stream of one hour's retention in segments of 64
 * KiB. */
#ifndef LST_CLOCKED_H
#define LST_CLOCKED_H

#include "invariants/processes.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define BEGIN (INT64_C(1700000000) * SECOND)
#define SEGMENT_BYTES (64u << 10)

/* ---- the clock ---- */

typedef struct test_clock {
    _Atomic int64_t wall_us;
    _Atomic int64_t ahead_us; /* of the system's monotonic clock, which goes on by itself: waits have an end */
} test_clock;

static test_clock *the_clock;

static inline int64_t test_wall(void *user)
{
    return atomic_load(&((test_clock *)user)->wall_us);
}

static inline int64_t test_monotonic(void *user)
{
    return lsi_monotonic_us(&lsi_clock_system) + atomic_load(&((test_clock *)user)->ahead_us);
}

/* Time goes on. */
static inline void pass(int64_t us)
{
    atomic_fetch_add(&the_clock->wall_us, us);
    atomic_fetch_add(&the_clock->ahead_us, us);
}

/* Somebody sets the wall clock. */
static inline void jump(int64_t us)
{
    atomic_fetch_add(&the_clock->wall_us, us);
}

static inline int begin(void **state)
{
    int failed = set_up(state);

    the_clock = mmap(NULL, sizeof *the_clock, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (the_clock == MAP_FAILED)
        return -1;
    atomic_store(&the_clock->wall_us, BEGIN);
    return failed;
}

static inline int end(void **state)
{
    (void)munmap(the_clock, sizeof *the_clock);
    return tear_down(state);
}

/* ---- stores ---- */

static inline ls_status open_store(const char *path, uint32_t flags, hooked_files *hooked, ls_store **out)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_env env;

    lsi_env_default(&env);
    env.clock = (lsi_clock){test_wall, test_monotonic, the_clock, NULL};
    if (hooked != NULL)
        env.files = &hooked->table;
    options.flags = flags;
    options.durability = (flags & LS_STORE_READ_ONLY) != 0 ? LS_DURABILITY_DEFAULT : LS_DURABILITY_KERNEL;
    options.segment_bytes = (flags & LS_STORE_READ_ONLY) != 0 ? 0 : SEGMENT_BYTES;
    return lsi_store_open_env(path, &options, &env, out);
}

/* The stream has `shards` shards and one hour of retention. */
static inline handles open_all(const fixture *fx, uint32_t shards)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_status st;
    handles of;

    memset(&of, 0, sizeof of);
    options.shard_count = shards;
    options.retention_hours = 1;
    assert_int_equal(open_store(fx->path, 0, NULL, &of.store), LS_OK);
    st = ls_stream_create(of.store, STREAM, &options);
    assert_true(st == LS_OK || st == LS_ERR_EXISTS);
    assert_int_equal(ls_stream_open(of.store, STREAM, &of.stream), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &of.producer), LS_OK);
    return of;
}

/* Record `n` of `size` bytes into `shard` of 2, or of 1. */
static inline ls_status put_number(ls_producer *producer, uint32_t n, uint32_t shard, size_t size)
{
    static const ls_hash_key keys[2] = {{0, 0}, {UINT64_MAX, 0}};
    static unsigned char data[SEGMENT_BYTES];
    ls_put_options options = LS_PUT_OPTIONS_INIT;

    memcpy(data, &n, sizeof n);
    options.explicit_hash_key = &keys[shard];
    return ls_producer_put(producer, (ls_bytes){"key", 3}, (ls_bytes){data, size}, &options, NULL);
}

/* Records `from` to below `to`, a minute apart, of a third of a segment each. */
static inline void put_minutes(const handles *of, uint32_t from, uint32_t to)
{
    for (; from < to; from++) {
        assert_int_equal(put_number(of->producer, from, 0, 20000), LS_OK);
        pass(60 * SECOND);
    }
}

static inline uint32_t number_of(const ls_record *record)
{
    uint32_t n;

    memcpy(&n, record->data.data, sizeof n);
    return n;
}

static inline ls_status next_one(ls_iterator *iterator, uint32_t *n)
{
    ls_next_options one = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch;
    ls_status st;

    one.records_max = 1;
    *n = UINT32_MAX;
    st = ls_iterator_next(iterator, &one, &batch);
    if (st == LS_OK && ls_batch_count(batch) == 1)
        *n = number_of(ls_batch_at(batch, 0));
    return st;
}

#endif
