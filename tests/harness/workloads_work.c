/* Workloads of those who work on a stream: see workloads.h, and workloads.c for all others. */
#include "harness/workloads.h"

/* A group's workers: one has all leases, then two share them, then one stands still and the other has all; and the
 * leases of a shard that is split go over to its children. */
static void share_leases(session *of, ls_durability durability)
{
    uint32_t stream;

    (void)session_open(of, durability);
    (void)session_create(of, "s", 2, &stream);
    (void)session_put(of, stream, 0, 300);
    (void)session_put(of, stream, 1, 400);
    (void)session_work(of, stream, 0);
    (void)session_checkpoint(of, stream, 0);
    (void)session_put(of, stream, 0, 30000);
    (void)session_put(of, stream, 0, 40000); /* into another segment */
    (void)session_prepare(of, stream, 0);
    (void)session_checkpoint(of, stream, 0);
    (void)session_work(of, stream, 1);
    (void)session_put(of, stream, 1, 500);
    (void)session_checkpoint(of, stream, 0);
    (void)session_checkpoint(of, stream, 1);
    (void)session_put(of, stream, 1, 450);
    (void)session_prepare(of, stream, 1); /* and another one has it when it is settled */
    session_outlast(of, stream, 0);
    session_outlast(of, stream, 1);
    (void)session_put(of, stream, 1, 700);
    (void)session_checkpoint(of, stream, 0);
    (void)session_checkpoint(of, stream, 1);
    (void)session_prepare(of, stream, 0);
    (void)session_split(of, stream, 0); /* 2, 3 */
    (void)session_work(of, stream, 1);
    (void)session_end(of, stream, 0);
    (void)session_put(of, stream, 2, 800);
    (void)session_work(of, stream, 0);
    (void)session_checkpoint(of, stream, 2);
    (void)session_put(of, stream, 3, 900);
    (void)session_checkpoint(of, stream, 3);
    (void)session_read_all(of, stream);
}

void work_leases(session *of)
{
    share_leases(of, LS_DURABILITY_SYNC);
}

void work_kernel_leases(session *of)
{
    share_leases(of, LS_DURABILITY_KERNEL);
}

/* Transactions over two shards of one stream and one of another, with the checkpoint of a third one's shard, between
 * puts that are none, into segments that are full, and by another worker than before. */
static void take_steps(session *of, ls_durability durability)
{
    uint32_t stream, wide, single;

    (void)session_open(of, durability);
    (void)session_create(of, "s", 2, &stream);
    (void)session_create(of, "wide", 2, &wide);
    (void)session_create(of, "single", 1, &single);
    (void)session_put(of, stream, 0, 300);
    (void)session_put(of, stream, 1, 400);
    (void)session_work(of, stream, 0);
    (void)session_step(of, stream, 0, 100);
    (void)session_put(of, single, 0, 500);
    (void)session_step(of, stream, 1, 30000);
    (void)session_put(of, stream, 0, 600);
    (void)session_step(of, stream, 0, 40000); /* into another segment */
    (void)session_read_all(of, wide);
    (void)session_put(of, stream, 1, 700);
    (void)session_work(of, stream, 1);
    (void)session_step(of, stream, 1, 200);
    (void)session_put(of, wide, 1, 800);
    (void)session_put(of, stream, 0, 900);
    (void)session_checkpoint(of, stream, 0);
    (void)session_step(of, stream, 0, 300);
    (void)session_read_all(of, single);
}

void work_steps(session *of)
{
    take_steps(of, LS_DURABILITY_SYNC);
}

void work_kernel_steps(session *of)
{
    take_steps(of, LS_DURABILITY_KERNEL);
}

/* A mapping whose handler puts into another stream; where that is lost, the records that it came of are not covered. */
static void map(session *of, ls_durability durability)
{
    uint32_t stream, to;

    (void)session_open(of, durability);
    (void)session_create(of, "s", 1, &stream);
    (void)session_create(of, "to", 1, &to);
    (void)session_map(of, stream, to);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < 4; k++)
            (void)session_put(of, stream, 0, k == 3 ? 20000 : 300);
        (void)session_drain(of, stream);
        (void)session_read_all(of, to);
    }
}

void work_mapping(session *of)
{
    map(of, LS_DURABILITY_SYNC);
}

void work_kernel_mapping(session *of)
{
    map(of, LS_DURABILITY_KERNEL);
}

/* Windows that are stored, of shards that are split, beside state that is large: so snapshots are made of them (T3). */
static void count_windows(session *of, ls_durability durability)
{
    uint32_t stream;

    (void)session_open(of, durability);
    (void)session_create(of, "s", 2, &stream);
    for (uint32_t i = 0; i < 5; i++)
        (void)session_put(of, stream, i % 2, 200 + i);
    (void)session_count(of, stream);
    for (uint32_t i = 0; i < 3; i++) {
        (void)session_put(of, stream, 0, 300);
        (void)session_put(of, stream, 1, 400);
        (void)session_count(of, stream);
        (void)session_set(of, stream, TRUTH_STATE + 1, 150000 + i);
    }
    (void)session_split(of, stream, 0); /* 2, 3 */
    (void)session_put(of, stream, 3, 500);
    (void)session_put(of, stream, 2, 600);
    (void)session_put(of, stream, 1, 700);
    (void)session_count(of, stream);
    (void)session_put(of, stream, 2, 800);
    (void)session_put(of, stream, 3, 900);
    (void)session_count(of, stream);
}

void work_windows(session *of)
{
    count_windows(of, LS_DURABILITY_SYNC);
}

void work_kernel_windows(session *of)
{
    count_windows(of, LS_DURABILITY_KERNEL);
}

/* Objects of some records each, of shards that are split, before and after the delivery gets other settings. */
static void deliver_all(session *of, ls_durability durability)
{
    uint32_t stream;

    (void)session_open(of, durability);
    (void)session_create(of, "s", 2, &stream);
    (void)session_delivery(of, stream, TRUTH_DELIVERED);
    for (uint32_t i = 0; i < 4; i++)
        (void)session_put(of, stream, i % 2, 200 + 90 * i);
    (void)session_deliver(of, stream);
    (void)session_put(of, stream, 0, 3000); /* more than an object */
    (void)session_put(of, stream, 0, 300);
    (void)session_redirect(of, stream);
    (void)session_deliver(of, stream);
    (void)session_split(of, stream, 0); /* 2, 3 */
    (void)session_put(of, stream, 2, 400);
    (void)session_batch(of, stream, 3, 3, 800, true);
    (void)session_put(of, stream, 1, 600);
    (void)session_deliver(of, stream);
    (void)session_read_all(of, stream);
}

void work_deliveries(session *of)
{
    deliver_all(of, LS_DURABILITY_SYNC);
}

void work_kernel_deliveries(session *of)
{
    deliver_all(of, LS_DURABILITY_KERNEL);
}

/* A delivery goes to another directory through a transform, and back: what was begun goes where the settings say then,
 * under its name, and each record is in one object. */
void work_moved_deliveries(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    (void)session_delivery(of, stream, TRUTH_DELIVERED);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < 4; k++)
            (void)session_put(of, stream, 0, 200 + 90 * k);
        (void)session_deliver(of, stream);
        (void)session_put(of, stream, 0, 300);
        (void)session_move(of, stream, i % 2 == 1);
    }
    (void)session_deliver(of, stream);
    (void)session_read_all(of, stream);
}

/* What a transform drops, fails and parts, and the backup of all of it: several objects of a shard are collected at
 * once, and what is done has holes. */
void work_sorted_deliveries(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    (void)session_delivery(of, stream, TRUTH_SORTED);
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < 8; k++)
            (void)session_put(of, stream, 0, 150 + 20 * k);
        (void)session_deliver(of, stream);
    }
    (void)session_read_all(of, stream);
}
