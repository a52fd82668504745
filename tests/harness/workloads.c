/* See workloads.h. Every workload leaves its store open, and goes on when calls fail, so that each can be walked with
 * faults. Segments have 64 KiB: records of 20 KB roll after three. */
#include "harness/workloads.h"

#include <errno.h>

static void single_puts(session *of)
{
    static const uint32_t sizes[] = {12, 100, 3000, 12, 700, 512, 4000, 30};
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 16; i++) {
        (void)session_put(of, stream, 0, sizes[i % 8]);
        if (i % 5 == 3)
            (void)session_read_all(of, stream);
    }
}

static void batches(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 5; i++) {
        (void)session_batch(of, stream, 0, 5, 200 + 4000 * i, false);
        (void)session_read_all(of, stream);
        (void)session_put(of, stream, 0, 1000);
    }
}

static void atomic_batches(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    (void)session_batch(of, stream, 0, 3, 2000, true);
    (void)session_put(of, stream, 0, 50);
    (void)session_batch(of, stream, 0, 8, 300, true);
    (void)session_batch(of, stream, 0, 3, 30000, true); /* more than a segment */
    (void)session_read_all(of, stream);
    (void)session_batch(of, stream, 0, 2, 12, true);
    (void)session_batch(of, stream, 0, 3, 10000, true);
}

/* Somebody else reads while puts are under way. */
static void watched_puts(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    session_watch(of, stream);
    for (uint32_t i = 0; i < 6; i++) {
        (void)session_put(of, stream, 0, 400 + 8000 * i);
        (void)session_batch(of, stream, 0, 3, 150, i % 2 == 0);
    }
}

static void kernel_rolls(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_KERNEL);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 14; i++) {
        (void)session_put(of, stream, 0, i % 3 == 2 ? 500 : 18000);
        if (i % 4 == 1)
            (void)session_read_all(of, stream);
    }
    (void)session_batch(of, stream, 0, 6, 100, true);
}

static void interval_syncs(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_INTERVAL);
    (void)session_create(of, "s", 2, &stream);
    for (uint32_t i = 0; i < 15; i++) {
        (void)session_put(of, stream, i % 2, i % 4 == 0 ? 25000 : 300);
        if (i % 5 == 4)
            (void)session_sync(of);
        if (i == 7)
            (void)session_read_all(of, stream);
    }
}

static void create_and_delete(session *of)
{
    uint32_t a, b, again;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "a", 1, &a);
    (void)session_put(of, a, 0, 100);
    (void)session_create(of, "b", 2, &b);
    (void)session_put(of, b, 0, 200);
    (void)session_put(of, b, 1, 300);
    (void)session_read_all(of, b);
    (void)session_delete(of, a);
    (void)session_create(of, "a", 2, &again);
    (void)session_put(of, again, 1, 400);
    (void)session_put(of, again, 0, 40000);
    (void)session_put(of, again, 0, 40000);
    (void)session_delete(of, b);
    (void)session_put(of, again, 1, 12);
}

/* A stream's blocks are used again by one that is put to alike: what is left in them of the deleted one's frames lies
 * where frames of the new one belong, with the numbers that come next there (R9). */
static void use_blocks_again(session *of, ls_durability durability)
{
    uint32_t stream;

    (void)session_open(of, durability);
    for (uint32_t round = 0; round < 3; round++) {
        (void)session_create(of, "s", 1, &stream);
        for (uint32_t i = 0; i < 3 + round; i++)
            (void)session_put(of, stream, 0, i < 3 ? 700 : 30000); /* at last into a second segment */
        (void)session_sync(of);
        (void)session_read_all(of, stream);
        if (round < 2)
            (void)session_delete(of, stream);
    }
}

static void reused_blocks(session *of)
{
    use_blocks_again(of, LS_DURABILITY_SYNC);
}

static void kernel_reused_blocks(session *of)
{
    use_blocks_again(of, LS_DURABILITY_KERNEL);
}

static void reshard_all_ways(session *of, ls_durability durability)
{
    uint32_t stream;

    (void)session_open(of, durability);
    (void)session_create(of, "s", 2, &stream);
    for (uint32_t i = 0; i < 4; i++)
        (void)session_put(of, stream, i % 2, i == 2 ? 30000 : 400);
    (void)session_split(of, stream, 0); /* 2, 3 */
    (void)session_put(of, stream, 3, 500);
    (void)session_put(of, stream, 2, 600);
    (void)session_put(of, stream, 1, 700);
    (void)session_merge(of, stream, 2, 3); /* 4 */
    (void)session_read_all(of, stream);
    (void)session_put(of, stream, 4, 800);
    (void)session_batch(of, stream, 4, 3, 200, true);
    (void)session_double(of, stream); /* 4 to 5 and 6, 1 to 7 and 8 */
    (void)session_put(of, stream, 6, 40000);
    (void)session_put(of, stream, 6, 40000);
    (void)session_merge(of, stream, 6, 7); /* 9 */
    (void)session_put(of, stream, 9, 90);
    (void)session_put(of, stream, 8, 91);
    (void)session_read_all(of, stream);
}

static void reshards(session *of)
{
    reshard_all_ways(of, LS_DURABILITY_SYNC);
}

static void kernel_reshards(session *of)
{
    reshard_all_ways(of, LS_DURABILITY_KERNEL);
}

static void change_keys(session *of, ls_durability durability)
{
    uint32_t stream;

    (void)session_open(of, durability);
    (void)session_create(of, "s", 1, &stream);
    (void)session_put(of, stream, 0, 300);
    (void)session_encrypt(of, stream, "a");
    (void)session_put(of, stream, 0, 400);
    (void)session_batch(of, stream, 0, 3, 500, true);
    (void)session_put(of, stream, 0, 40000);
    (void)session_put(of, stream, 0, 40000); /* into another segment */
    (void)session_encrypt(of, stream, "b");
    (void)session_put(of, stream, 0, 600);
    (void)session_read_all(of, stream);
    (void)session_compress(of, stream, LS_COMPRESSION_ZSTD);
    (void)session_batch(of, stream, 0, 8, 700, false);
    (void)session_split(of, stream, 0);
    (void)session_put(of, stream, 1, 50);
    (void)session_encrypt(of, stream, NULL);
    (void)session_put(of, stream, 1, 60);
    (void)session_put(of, stream, 2, 70);
    (void)session_read_all(of, stream);
}

static void keys(session *of)
{
    change_keys(of, LS_DURABILITY_SYNC);
}

static void kernel_keys(session *of)
{
    change_keys(of, LS_DURABILITY_KERNEL);
}

/* Numbered puts, over rolls, splits and merges; what was put is put again. */
static void number_puts(session *of, ls_durability durability)
{
    uint32_t stream;

    of->numbers = true;
    (void)session_open(of, durability);
    (void)session_create(of, "s", 1, &stream);
    (void)session_put(of, stream, 0, 300);
    (void)session_batch(of, stream, 0, 3, 200, false);
    (void)session_repeat(of, stream);
    (void)session_put(of, stream, 0, 40000);
    (void)session_put(of, stream, 0, 40000); /* into another segment */
    (void)session_batch(of, stream, 0, 2, 100, true);
    (void)session_split(of, stream, 0); /* 1, 2 */
    (void)session_put(of, stream, 1, 400);
    (void)session_repeat(of, stream);
    (void)session_put(of, stream, 2, 500);
    (void)session_merge(of, stream, 1, 2); /* 3 */
    (void)session_put(of, stream, 3, 600);
    (void)session_close(of);
    (void)session_repeat(of, stream);
    (void)session_put(of, stream, 3, 700);
}

static void numbers(session *of)
{
    number_puts(of, LS_DURABILITY_SYNC);
}

static void kernel_numbers(session *of)
{
    number_puts(of, LS_DURABILITY_KERNEL);
}

/* The oldest segments go: over the cap by whoever puts, and by who comes for it. */
static void trim_over_cap(session *of, ls_durability durability)
{
    uint32_t stream;

    of->retention_bytes = 5 * SESSION_SEGMENT_BYTES;
    (void)session_open(of, durability);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 20; i++) {
        (void)session_put(of, stream, 0, 20000);
        if (i % 6 == 5)
            (void)session_read_all(of, stream);
        if (i % 8 == 7)
            (void)session_maintain(of);
    }
    (void)session_maintain(of);
    (void)session_read_all(of, stream);
    (void)session_put(of, stream, 0, 100);
}

static void trims(session *of)
{
    trim_over_cap(of, LS_DURABILITY_SYNC);
}

static void kernel_trims(session *of)
{
    trim_over_cap(of, LS_DURABILITY_KERNEL);
}

/* Full segments are compressed beside all that replaces lists: rolls, trimming, a reset. */
static void press_and_trim(session *of, ls_durability durability)
{
    uint32_t stream;

    of->retention_bytes = 3 * SESSION_SEGMENT_BYTES;
    (void)session_open(of, durability);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < 4; k++)
            (void)session_put(of, stream, 0, 30000);
        (void)session_press(of, stream);
        (void)session_read_all(of, stream);
    }
    (void)session_maintain(of);
    (void)session_split(of, stream, 0);
    (void)session_put(of, stream, 1, 100);
    (void)session_press(of, stream);
    (void)session_read_all(of, stream);
}

static void presses(session *of)
{
    press_and_trim(of, LS_DURABILITY_SYNC);
}

static void kernel_presses(session *of)
{
    press_and_trim(of, LS_DURABILITY_KERNEL);
}

/* Records grow too old; a shard that rests is begun anew, so that the last of them can go. */
static void ages(session *of)
{
    uint32_t stream;

    of->retention_hours = 1;
    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 2, &stream);
    for (uint32_t hour = 0; hour < 2; hour++) {
        (void)session_put(of, stream, 1, 200);
        for (uint32_t i = 0; i < 5; i++) {
            (void)session_put(of, stream, 0, 20000);
            session_pass(of, INT64_C(600000000));
            (void)session_maintain(of); /* looks at the clock */
        }
        (void)session_read_all(of, stream);
    }
    session_pass(of, INT64_C(1800000000));
    (void)session_maintain(of);
    (void)session_put(of, stream, 0, 300);
    (void)session_read_all(of, stream);
}

/* All that can be set of a stream, registered consumers among it; and it goes with its stream. */
static void settings(session *of)
{
    uint32_t stream, again;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    (void)session_put(of, stream, 0, 300);
    (void)session_set(of, stream, TRUTH_CONSUMER, 1);
    (void)session_set(of, stream, TRUTH_HOURS, 48);
    (void)session_tag(of, stream, 0, 3, 1);
    (void)session_set(of, stream, TRUTH_CONSUMER + 1, 1);
    (void)session_set(of, stream, TRUTH_MODE, LS_STREAM_PROVISIONED);
    (void)session_put(of, stream, 0, 400);
    (void)session_set(of, stream, TRUTH_CONSUMER, 0);
    (void)session_tag(of, stream, 1, 3, 2);
    (void)session_set(of, stream, TRUTH_BYTES, UINT64_C(1) << 30);
    (void)session_close(of);
    (void)session_set(of, stream, TRUTH_CONSUMER, 1);
    (void)session_tag(of, stream, 2, 2, 0);
    (void)session_set(of, stream, TRUTH_RECORD_BYTES, 2u << 20);
    (void)session_split(of, stream, 0);
    (void)session_set(of, stream, TRUTH_HOURS, 30);
    (void)session_set(of, stream, TRUTH_MODE, LS_STREAM_ON_DEMAND);
    (void)session_put(of, stream, 1, 500);
    (void)session_read_all(of, stream);
    (void)session_delete(of, stream);
    (void)session_create(of, "s", 1, &again);
    (void)session_set(of, again, TRUTH_CONSUMER + 1, 1);
    (void)session_put(of, again, 0, 600);
}

/* Shards are split because one is written to, and merged because none is. */
static void scale_by_itself(session *of, ls_durability durability)
{
    uint32_t stream;

    of->write_bytes_per_second = 2000;
    (void)session_open(of, durability);
    (void)session_create(of, "s", 1, &stream);
    (void)session_set(of, stream, TRUTH_SCALING, 3);
    for (uint32_t i = 0; i < 3; i++) {
        session_pass(of, INT64_C(1100000));
        (void)session_put(of, stream, session_lowest(of, stream), 3000);
    }
    (void)session_read_all(of, stream);
    for (uint32_t i = 0; i < 3; i++) {
        session_pass(of, INT64_C(1100000));
        (void)session_maintain(of);
    }
    (void)session_put(of, stream, session_lowest(of, stream), 100);
    (void)session_set(of, stream, TRUTH_SCALING, 0);
    (void)session_read_all(of, stream);
}

static void scales(session *of)
{
    scale_by_itself(of, LS_DURABILITY_SYNC);
}

static void kernel_scales(session *of)
{
    scale_by_itself(of, LS_DURABILITY_KERNEL);
}

/* Values of a stream's state, together and alone, changed until snapshots are made (T3), and under keys; and one stream
 * whose state goes with it. */
static void change_states(session *of, ls_durability durability)
{
    uint32_t stream, other;

    (void)session_open(of, durability);
    (void)session_create(of, "s", 1, &stream);
    (void)session_state(of, stream, 2, 700);
    (void)session_put(of, stream, 0, 300);
    (void)session_set(of, stream, TRUTH_STATE + 2, 90);
    for (uint32_t i = 0; i < 4; i++)
        (void)session_set(of, stream, TRUTH_STATE + 1, 150000 + i);
    (void)session_set(of, stream, TRUTH_STATE, 0);
    (void)session_encrypt(of, stream, "A");
    (void)session_state(of, stream, 3, 120);
    for (uint32_t i = 0; i < 3; i++)
        (void)session_set(of, stream, TRUTH_STATE + 2, 150000 + i);
    (void)session_put(of, stream, 0, 400);
    (void)session_create(of, "other", 1, &other);
    (void)session_state(of, other, 1, 50);
    (void)session_delete(of, other);
    (void)session_create(of, "other", 1, &other);
    (void)session_state(of, other, 2, 60);
    (void)session_read_all(of, stream);
}

static void states(session *of)
{
    change_states(of, LS_DURABILITY_SYNC);
}

static void kernel_states(session *of)
{
    change_states(of, LS_DURABILITY_KERNEL);
}

/* So many shards that they are synced at once. Deaths and failures in it are walked by test_local_catalog. */
static void wide_stream(session *of)
{
    uint32_t narrow, wide;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "narrow", 1, &narrow);
    (void)session_put(of, narrow, 0, 100);
    (void)session_create(of, "wide", 33, &wide);
    (void)session_put(of, wide, 32, 200);
    (void)session_put(of, wide, 0, 300);
    (void)session_put(of, narrow, 0, 400);
    (void)session_delete(of, wide);
    (void)session_put(of, narrow, 0, 500);
}

static void reopening(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 4; i++) {
        (void)session_put(of, stream, 0, 500);
        (void)session_put(of, stream, 0, 22000);
        (void)session_close(of);
        (void)session_open(of, LS_DURABILITY_SYNC);
        (void)session_read_all(of, stream);
    }
    (void)session_put(of, stream, 0, 80);
}

static void other_durability(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_KERNEL);
    (void)session_create(of, "s", 2, &stream);
    (void)session_put(of, stream, 0, 600);
    (void)session_put(of, stream, 1, 700);
    (void)session_close(of);
    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_put(of, stream, 0, 800);
    (void)session_read_all(of, stream);
    (void)session_put(of, stream, 1, 900);
    (void)session_close(of);
    (void)session_open(of, LS_DURABILITY_KERNEL);
    (void)session_put(of, stream, 0, 1000);
    (void)session_put(of, stream, 1, 1100);
}

static void large_records(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    (void)session_put(of, stream, 0, 60);
    (void)session_put(of, stream, 0, 100000);
    (void)session_put(of, stream, 0, 70);
    (void)session_put(of, stream, 0, 61000); /* nearly a segment */
    (void)session_read_all(of, stream);
    (void)session_put(of, stream, 0, 300000);
    (void)session_put(of, stream, 0, 80);
}

/* The next sync of a segment fails, once. */
static void fail_next_sync(session *of, uint64_t nth)
{
    sim_fault fault = {.call = SIM_SYNC, .name = ".seg", .nth = nth, .err = EIO};

    sim_fault_add(of->sim, fault);
}

static void reset_after_failed_sync(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    (void)session_put(of, stream, 0, 900);
    (void)session_put(of, stream, 0, 1000);
    fail_next_sync(of, 1);
    if (session_put(of, stream, 0, 1100) != LS_ERR_IO || session_put(of, stream, 0, 1200) != LS_ERR_IO)
        session_complain(of, "E1: a put after a failed sync is not refused");
    sim_faults_clear(of->sim);
    (void)session_read_all(of, stream);
    if (session_put(of, stream, 0, 1300) != LS_ERR_IO)
        session_complain(of, "E1: the sync was tried again and believed");
    if (session_reset(of, stream, 0) != LS_OK)
        session_complain(of, "E1: a failed shard cannot be reset");
    (void)session_read_all(of, stream);
    if (session_put(of, stream, 0, 1400) != LS_OK)
        session_complain(of, "E1: a put after a reset is refused");
    (void)session_put(of, stream, 0, 200);
    (void)session_read_all(of, stream);
    fail_next_sync(of, 2);
    (void)session_batch(of, stream, 0, 4, 300, true);
    (void)session_batch(of, stream, 0, 3, 250, true);
    sim_faults_clear(of->sim);
    (void)session_reset(of, stream, 0);
    (void)session_put(of, stream, 0, 24);
}

/* Segments begin where the one before began, which was given up: its frames would be right there but for their salt. */
static void presses_after_resets(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 3; i++) {
        (void)session_put(of, stream, 0, 20000);
        (void)session_put(of, stream, 0, 20000);
        fail_next_sync(of, 1);
        (void)session_put(of, stream, 0, 300);
        sim_faults_clear(of->sim);
        (void)session_reset(of, stream, 0);
        (void)session_put(of, stream, 0, 40000);
        (void)session_put(of, stream, 0, 40000);
        (void)session_press(of, stream);
        (void)session_read_all(of, stream);
    }
    (void)session_put(of, stream, 0, 400);
}

static void reset_of_empty_segments(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 3; i++) {
        fail_next_sync(of, 1);
        (void)session_put(of, stream, 0, 300);
        sim_faults_clear(of->sim);
        (void)session_reset(of, stream, 0);
        (void)session_read_all(of, stream);
    }
    (void)session_put(of, stream, 0, 300);
    (void)session_put(of, stream, 0, 400);
}

/* A reset gives records up whose numbers were seen: they are put again. */
static void numbers_and_resets(session *of)
{
    uint32_t stream;

    of->numbers = true;
    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 3; i++) {
        (void)session_put(of, stream, 0, 30000);
        fail_next_sync(of, 1);
        (void)session_put(of, stream, 0, 300);
        sim_faults_clear(of->sim);
        (void)session_reset(of, stream, 0);
        (void)session_repeat(of, stream);
    }
    (void)session_put(of, stream, 0, 400);
}

/* The same where records were acknowledged that a failed sync then gives up. */
static void kernel_failed_sync(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_KERNEL);
    (void)session_create(of, "s", 1, &stream);
    (void)session_put(of, stream, 0, 900);
    (void)session_sync(of);
    (void)session_put(of, stream, 0, 1000);
    (void)session_read_all(of, stream);
    (void)session_put(of, stream, 0, 1100);
    fail_next_sync(of, 1);
    if (session_sync(of) != LS_ERR_IO || session_put(of, stream, 0, 1200) != LS_ERR_IO)
        session_complain(of, "E1: a put after a failed sync is not refused");
    sim_faults_clear(of->sim);
    (void)session_read_all(of, stream);
    (void)session_reset(of, stream, 0);
    (void)session_put(of, stream, 0, 200);
    (void)session_put(of, stream, 0, 64);
    (void)session_read_all(of, stream);
}

const workload workloads[] = {
    {"single_puts", LS_DURABILITY_SYNC, false, false, false, single_puts},
    {"batches", LS_DURABILITY_SYNC, false, false, false, batches},
    {"atomic_batches", LS_DURABILITY_SYNC, false, false, false, atomic_batches},
    {"watched_puts", LS_DURABILITY_SYNC, true, false, false, watched_puts},
    {"kernel_rolls", LS_DURABILITY_KERNEL, false, false, false, kernel_rolls},
    {"interval_syncs", LS_DURABILITY_INTERVAL, false, false, false, interval_syncs},
    {"create_and_delete", LS_DURABILITY_SYNC, false, false, true, create_and_delete},
    {"reused_blocks", LS_DURABILITY_SYNC, false, false, false, reused_blocks},
    {"kernel_reused_blocks", LS_DURABILITY_KERNEL, false, true, false, kernel_reused_blocks},
    {"reshards", LS_DURABILITY_SYNC, false, false, true, reshards},
    {"kernel_reshards", LS_DURABILITY_KERNEL, false, true, false, kernel_reshards},
    {"keys", LS_DURABILITY_SYNC, false, false, true, keys},
    {"kernel_keys", LS_DURABILITY_KERNEL, false, true, false, kernel_keys},
    {"numbers", LS_DURABILITY_SYNC, false, false, true, numbers},
    {"kernel_numbers", LS_DURABILITY_KERNEL, false, true, true, kernel_numbers},
    {"trims", LS_DURABILITY_SYNC, false, false, false, trims},
    {"kernel_trims", LS_DURABILITY_KERNEL, false, true, false, kernel_trims},
    {"presses", LS_DURABILITY_SYNC, false, false, true, presses},
    {"kernel_presses", LS_DURABILITY_KERNEL, false, true, false, kernel_presses},
    {"ages", LS_DURABILITY_SYNC, false, false, true, ages},
    {"settings", LS_DURABILITY_SYNC, false, false, true, settings},
    {"states", LS_DURABILITY_SYNC, false, false, true, states},
    {"kernel_states", LS_DURABILITY_KERNEL, false, true, false, kernel_states},
    {"leases", LS_DURABILITY_SYNC, false, false, true, work_leases},
    {"kernel_leases", LS_DURABILITY_KERNEL, false, true, true, work_kernel_leases},
    {"steps", LS_DURABILITY_SYNC, false, false, true, work_steps},
    {"kernel_steps", LS_DURABILITY_KERNEL, false, true, true, work_kernel_steps},
    {"mapping", LS_DURABILITY_SYNC, true, false, true, work_mapping},
    {"kernel_mapping", LS_DURABILITY_KERNEL, true, false, true, work_kernel_mapping},
    {"windows", LS_DURABILITY_SYNC, false, false, true, work_windows},
    {"kernel_windows", LS_DURABILITY_KERNEL, false, true, true, work_kernel_windows},
    {"deliveries", LS_DURABILITY_SYNC, false, true, true, work_deliveries},
    {"kernel_deliveries", LS_DURABILITY_KERNEL, false, true, true, work_kernel_deliveries},
    {"sorted_deliveries", LS_DURABILITY_SYNC, false, false, true, work_sorted_deliveries},
    {"moved_deliveries", LS_DURABILITY_SYNC, false, false, true, work_moved_deliveries},
    {"scales", LS_DURABILITY_SYNC, false, true, false, scales},
    {"kernel_scales", LS_DURABILITY_KERNEL, false, false, true, kernel_scales},
    {"consumers", LS_DURABILITY_SYNC, false, true, false, work_consumers},
    {"tags", LS_DURABILITY_SYNC, false, true, false, work_tags},
    {"modes", LS_DURABILITY_KERNEL, false, true, false, work_modes},
    {"sealed_trims", LS_DURABILITY_SYNC, false, true, false, work_sealed_trims},
    {"sealed_presses", LS_DURABILITY_SYNC, false, true, false, work_sealed_presses},
    {"delivered_steps", LS_DURABILITY_KERNEL, false, true, false, work_delivered_steps},
    {"split_steps", LS_DURABILITY_SYNC, false, true, false, work_split_steps},
    {"interval_reshards", LS_DURABILITY_INTERVAL, false, true, false, work_interval_reshards},
    {"numbered_deliveries", LS_DURABILITY_SYNC, false, true, false, work_numbered_deliveries},
    {"sealed_deliveries", LS_DURABILITY_KERNEL, false, true, false, work_sealed_deliveries},
    {"backups", LS_DURABILITY_SYNC, false, false, true, work_backups},
    {"killed_deliveries", LS_DURABILITY_SYNC, true, false, false, work_killed_deliveries},
    {"recoveries", LS_DURABILITY_SYNC, true, false, false, work_recoveries},
    {"kernel_recoveries", LS_DURABILITY_KERNEL, true, false, false, work_kernel_recoveries},
    {"wide_stream", LS_DURABILITY_SYNC, true, false, false, wide_stream},
    {"reopening", LS_DURABILITY_SYNC, false, false, false, reopening},
    {"other_durability", LS_DURABILITY_DEFAULT, false, false, false, other_durability},
    {"large_records", LS_DURABILITY_SYNC, false, false, false, large_records},
    {"reset_after_failed_sync", LS_DURABILITY_SYNC, true, false, false, reset_after_failed_sync},
    {"reset_of_empty_segments", LS_DURABILITY_SYNC, true, false, false, reset_of_empty_segments},
    {"presses_after_resets", LS_DURABILITY_SYNC, true, false, false, presses_after_resets},
    {"numbers_and_resets", LS_DURABILITY_SYNC, true, false, false, numbers_and_resets},
    {"kernel_failed_sync", LS_DURABILITY_KERNEL, true, false, false, kernel_failed_sync},
};
const size_t workload_count = sizeof(workloads) / sizeof(workloads[0]);
