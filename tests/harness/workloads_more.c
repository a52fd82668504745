/* Workloads of what meets what: settings and shards, keys and trimming, numbers, transactions and deliveries, and the
 * dead. See workloads.h, and workloads.c for what each does by itself. */
#include "harness/workloads.h"

/* Consumers are registered and go, in the midst of puts and splits, and all that are left go with the stream. */
void work_consumers(session *of)
{
    uint32_t stream, again;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < TRUTH_CONSUMERS; i++)
        (void)session_set(of, stream, TRUTH_CONSUMER + i, 1);
    (void)session_put(of, stream, 0, 300);
    (void)session_set(of, stream, TRUTH_CONSUMER + 1, 0);
    (void)session_split(of, stream, 0); /* 1, 2 */
    (void)session_set(of, stream, TRUTH_CONSUMER + 1, 1); /* another one of that name */
    (void)session_set(of, stream, TRUTH_CONSUMER + 3, 0);
    (void)session_put(of, stream, 1, 400);
    (void)session_delete(of, stream);
    (void)session_create(of, "s", 1, &again);
    (void)session_set(of, again, TRUTH_CONSUMER + 2, 1);
    (void)session_read_all(of, again);
}

void work_tags(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    (void)session_tag(of, stream, 0, TRUTH_TAGS, 1);
    (void)session_put(of, stream, 0, 300);
    (void)session_tag(of, stream, 1, 2, 2);
    (void)session_close(of);
    (void)session_tag(of, stream, 0, 2, 0);
    (void)session_tag(of, stream, 0, 3, 3);
    (void)session_tag(of, stream, 0, TRUTH_TAGS, 0);
    (void)session_put(of, stream, 0, 400);
}

/* What a stream is paid for is changed beside how many shards it has, and how large its records are. */
void work_modes(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_KERNEL);
    (void)session_create(of, "s", 2, &stream);
    (void)session_put(of, stream, 0, 300);
    (void)session_set(of, stream, TRUTH_MODE, LS_STREAM_PROVISIONED);
    (void)session_double(of, stream); /* 2 to 5 */
    (void)session_put(of, stream, 3, 400);
    (void)session_set(of, stream, TRUTH_RECORD_BYTES, 1u << 20);
    (void)session_merge(of, stream, 2, 3); /* 6 */
    (void)session_set(of, stream, TRUTH_MODE, LS_STREAM_ON_DEMAND);
    (void)session_put(of, stream, 6, 500);
    (void)session_sync(of);
    (void)session_set(of, stream, TRUTH_HOURS, 72);
    (void)session_double(of, stream);
    (void)session_read_all(of, stream);
}

/* Segments of several keys go over the cap, and what holds after a split does for the children. */
void work_sealed_trims(session *of)
{
    uint32_t stream;

    of->retention_bytes = 4 * SESSION_SEGMENT_BYTES;
    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 12; i++) {
        if (i % 4 == 1)
            (void)session_encrypt(of, stream, i % 8 == 1 ? "a" : "b");
        (void)session_put(of, stream, 0, 30000);
    }
    (void)session_maintain(of);
    (void)session_split(of, stream, 0); /* 1, 2 */
    (void)session_put(of, stream, 1, 400);
    (void)session_read_all(of, stream);
}

/* Full segments of a stream that has a key, and then another, are compressed. */
void work_sealed_presses(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    (void)session_encrypt(of, stream, "a");
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < 4; k++)
            (void)session_put(of, stream, 0, 30000);
        (void)session_press(of, stream);
        (void)session_read_all(of, stream);
        (void)session_encrypt(of, stream, "b");
    }
    (void)session_put(of, stream, 0, 100);
}

/* Transactions into a stream whose shards are split and merged, with checkpoints of one that is split, too. */
void work_split_steps(session *of)
{
    uint32_t stream, to;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    (void)session_create(of, "to", 1, &to);
    (void)session_put(of, stream, 0, 300);
    (void)session_work(of, stream, 0);
    (void)session_step(of, stream, 0, 200);
    (void)session_split(of, to, 0); /* 1, 2 */
    (void)session_put(of, stream, 0, 400);
    (void)session_step(of, stream, 0, 300);
    (void)session_split(of, stream, 0); /* 1, 2 */
    (void)session_put(of, stream, 2, 500);
    (void)session_end(of, stream, 0);
    (void)session_work(of, stream, 0);
    (void)session_step(of, stream, 2, 400);
    (void)session_merge(of, to, 1, 2); /* 3 */
    (void)session_put(of, stream, 1, 600);
    (void)session_step(of, stream, 1, 500);
    (void)session_read_all(of, to);
}

void work_interval_reshards(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_INTERVAL);
    (void)session_create(of, "s", 1, &stream);
    for (uint32_t i = 0; i < 3; i++)
        (void)session_put(of, stream, 0, 300 + i);
    (void)session_split(of, stream, 0); /* 1, 2 */
    (void)session_put(of, stream, 1, 400);
    (void)session_put(of, stream, 2, 500);
    (void)session_sync(of);
    (void)session_put(of, stream, 2, 600);
    (void)session_merge(of, stream, 1, 2); /* 3 */
    (void)session_put(of, stream, 3, 700);
    (void)session_read_all(of, stream);
}

/* What was put twice is delivered once, also when its shard was split in between. */
void work_numbered_deliveries(session *of)
{
    uint32_t stream;

    of->numbers = true;
    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 1, &stream);
    (void)session_delivery(of, stream, TRUTH_DELIVERED);
    (void)session_batch(of, stream, 0, 4, 200, false);
    (void)session_repeat(of, stream);
    (void)session_deliver(of, stream);
    (void)session_split(of, stream, 0); /* 1, 2 */
    (void)session_put(of, stream, 1, 300);
    (void)session_repeat(of, stream);
    (void)session_close(of);
    (void)session_deliver(of, stream);
    (void)session_repeat(of, stream);
    (void)session_read_all(of, stream);
}

/* Records that are stored under keys are delivered as they are, and what is known of the delivery has the key, too. */
void work_sealed_deliveries(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_KERNEL);
    (void)session_create(of, "s", 1, &stream);
    (void)session_encrypt(of, stream, "a");
    (void)session_delivery(of, stream, TRUTH_SORTED);
    for (uint32_t i = 0; i < 6; i++)
        (void)session_put(of, stream, 0, 200 + i);
    (void)session_deliver(of, stream);
    (void)session_encrypt(of, stream, "b");
    (void)session_put(of, stream, 0, 30000);
    (void)session_put(of, stream, 0, 40000); /* into another segment */
    (void)session_deliver(of, stream);
    (void)session_read_all(of, stream);
}

/* What transactions put is delivered, or nothing of them. */
void work_delivered_steps(session *of)
{
    uint32_t stream, to;

    (void)session_open(of, LS_DURABILITY_KERNEL);
    (void)session_create(of, "s", 1, &stream);
    (void)session_create(of, "to", 2, &to);
    (void)session_delivery(of, to, TRUTH_DELIVERED);
    (void)session_work(of, stream, 0);
    for (uint32_t i = 0; i < 3; i++) {
        (void)session_put(of, stream, 0, 300);
        (void)session_step(of, stream, 0, 200 + i);
        (void)session_put(of, to, i % 2, 100);
        if (i != 1)
            (void)session_deliver(of, to);
    }
    (void)session_read_all(of, to);
}

/* The store is copied in the midst of puts and checkpoints, and once more into the copy. */
void work_backups(session *of)
{
    uint32_t stream, other;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 2, &stream);
    (void)session_put(of, stream, 0, 300);
    (void)session_put(of, stream, 1, 30000);
    (void)session_backup(of);
    (void)session_create(of, "other", 1, &other);
    (void)session_put(of, other, 0, 400);
    (void)session_work(of, stream, 0); /* So it has a state now. */
    (void)session_checkpoint(of, stream, 0);
    (void)session_put(of, stream, 1, 40000); /* into another segment */
    (void)session_put(of, stream, 0, 500);
    (void)session_backup(of);
    (void)session_checkpoint(of, stream, 1);
    (void)session_checkpoint(of, stream, 0);
    (void)session_backup(of);
    (void)session_put(of, stream, 0, 600);
    (void)session_read_all(of, stream);
}

static void deliver_first(session *of)
{
    (void)session_deliver(of, 0);
}

/* Runs of a delivery are killed, one after another, and what each left is what the next one begins with. */
void work_killed_deliveries(session *of)
{
    uint32_t stream;

    (void)session_open(of, LS_DURABILITY_SYNC);
    (void)session_create(of, "s", 2, &stream);
    (void)session_delivery(of, stream, TRUTH_SORTED);
    for (uint32_t i = 0; i < 12; i++)
        (void)session_put(of, stream, i % 2, 200 + 10 * i);
    for (uint32_t i = 0; i < 5; i++) {
        (void)session_die(of, deliver_first, 60 + 25 * i);
        (void)session_put(of, stream, i % 2, 300);
    }
    (void)session_deliver(of, stream);
    (void)session_read_all(of, stream);
}

static void put_and_reshard(session *of)
{
    uint32_t lowest;

    if (session_read_all(of, 0) != LS_OK)
        return;
    lowest = session_lowest(of, 0);
    (void)session_put(of, 0, lowest, 300);
    (void)session_put(of, 0, lowest, 30000);
    (void)session_batch(of, 0, lowest, 3, 200, true);
    (void)session_split(of, 0, lowest);
    (void)session_put(of, 0, session_lowest(of, 0), 400);
}

/* Recoveries are killed, and recoveries of these; what the first of them has shown stays for the last. */
static void recover_from_death(session *of, ls_durability durability)
{
    uint32_t stream;

    (void)session_open(of, durability);
    (void)session_create(of, "s", 1, &stream);
    (void)session_put(of, stream, 0, 300);
    (void)session_put(of, stream, 0, 30000);
    for (uint32_t i = 0; i < 6; i++)
        (void)session_die(of, put_and_reshard, i % 2 == 0 ? 160 - 10 * i : 12 + 14 * i);
    (void)session_read_all(of, stream);
    (void)session_put(of, stream, session_lowest(of, stream), 500);
    (void)session_read_all(of, stream);
}

void work_recoveries(session *of)
{
    recover_from_death(of, LS_DURABILITY_SYNC);
}

void work_kernel_recoveries(session *of)
{
    recover_from_death(of, LS_DURABILITY_KERNEL);
}
