/* All shards: turns, children after their parents, shards that come and go, positions. */
#include "consume/support.h"

/* Everything the iterator gives until a poll finds nothing, batch by batch: "0:a b;1:c;". */
static const char *drain(fixture *fx, uint32_t records_max)
{
    static char all[SEEN_BYTES];
    const ls_batch *batch;
    size_t used = 0;

    all[0] = '\0';
    for (;;) {
        const char *data = next_of(fx, records_max, 0, &batch);

        if (batch->count == 0)
            return all;
        for (uint32_t i = 0; i < batch->count; i++)
            assert_int_equal(batch->records[i].shard, batch->shard);
        used += (size_t)snprintf(all + used, sizeof all - used, "%u:%s;", batch->shard, data);
    }
}

/* A batch is of one shard and says which; an empty one of none. */
static void each_batch_is_of_one_shard(void **state)
{
    const ls_batch *batch = NULL;
    fixture fx;

    (void)state;
    begin(&fx, 3);
    append(&fx, 0, "a b");
    append(&fx, 2, "c");
    open_all(&fx, NULL);
    assert_string_equal(drain(&fx, RECORDS_MAX), "0:a b;2:c;");
    (void)next_of(&fx, RECORDS_MAX, 0, &batch);
    assert_int_equal(batch->shard, LS_NO_SHARD);
    assert_int_equal(batch->count, 0);
    assert_null(batch->records);
    assert_int_equal(batch->millis_behind_latest, 0);
    end(&fx);
}

/* A busy shard does not starve the others: shards that have something take turns. */
static void shards_take_turns(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 3);
    append(&fx, 0, "a b c");
    append(&fx, 1, "d e");
    append(&fx, 2, "f");
    open_all(&fx, NULL);
    assert_string_equal(drain(&fx, 1), "0:a;1:d;2:f;0:b;1:e;0:c;");
    end(&fx);
}

/* How far behind is said of the batch's shard alone. */
static void millis_behind_are_of_the_batchs_shard(void **state)
{
    const ls_batch *batch = NULL;
    fixture fx;

    (void)state;
    begin(&fx, 2);
    append(&fx, 0, "a b");
    append(&fx, 1, "c");
    memory_engine_advance(fx.engine, 4000000);
    open_all(&fx, NULL);
    assert_string_equal(next_of(&fx, 1, 0, &batch), "a");
    assert_int_equal(batch->millis_behind_latest, 4000);
    assert_string_equal(next_of(&fx, 1, 0, &batch), "c");
    assert_int_equal(batch->millis_behind_latest, 0);
    end(&fx);
}

/* M1 with a split: nothing of a child before all of its parent, though the child is ready. */
static void children_follow_their_parent(void **state)
{
    const ls_batch *batch = NULL;
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a b c");
    open_all(&fx, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child + 1, "y");
    append(&fx, child, "x");
    assert_string_equal(next_of(&fx, 1, 0, NULL), "b");
    assert_string_equal(next_of(&fx, 1, 0, &batch), "c");
    assert_true(batch->is_shard_end);
    assert_int_equal(batch->child_count, 2);
    assert_int_equal(batch->children[0], child);
    assert_string_equal(drain(&fx, 1), "1:x;2:y;");
    end(&fx);
}

/* M1 with a merge: the child waits for both parents, of which one is read slowly. */
static void a_merged_child_waits_for_both_parents(void **state)
{
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 2);
    append(&fx, 0, "a");
    append(&fx, 1, "b c d");
    child = memory_engine_merge(fx.engine, 0, 1);
    append(&fx, child, "x");
    open_all(&fx, NULL);
    assert_string_equal(drain(&fx, 1), "0:a;1:b;1:c;1:d;2:x;");
    end(&fx);
}

/* Generations: a grandchild waits for the child, also when parent and child are empty. Empty ends are no batches. */
static void lineages_are_followed_over_generations(void **state)
{
    uint32_t child, grandchild;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child, "m");
    grandchild = memory_engine_split(fx.engine, child);
    append(&fx, grandchild, "x");
    append(&fx, child + 1, "n");
    open_all(&fx, NULL);
    assert_string_equal(drain(&fx, RECORDS_MAX), "1:m;2:n;3:x;");
    end(&fx);
}

/* A parent that is not listed any more counts as read. */
static void a_parent_that_is_gone_is_not_waited_for(void **state)
{
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child, "x");
    memory_engine_forget(fx.engine, 0);
    open_all(&fx, NULL);
    assert_string_equal(drain(&fx, RECORDS_MAX), "1:x;");
    end(&fx);
}

/* A shard that goes with unread records is said to be trimmed, once; the others go on. */
static void a_shard_that_goes_unread_is_said_to_be_trimmed(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 2);
    append(&fx, 0, "a b");
    append(&fx, 1, "c");
    open_all(&fx, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    memory_engine_forget(fx.engine, 0);
    assert_int_equal(next_status(&fx, 0), LS_ERR_TRIMMED);
    assert_non_null(strstr(lsi_error_current()->message, "shard 0"));
    assert_int_equal(cuts_of(&fx), 1);
    assert_string_equal(drain(&fx, 1), "1:c;");
    end(&fx);
}

/* Who is to begin with the oldest record that there is lost nothing with a shard that went before he came to it. He did
 * when he had seen that it was empty, or had been given something that it goes on from. */
static void a_shard_that_goes_before_it_was_begun_is_passed_over(void **state)
{
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 2);
    append(&fx, 0, "a b");
    append(&fx, 1, "c");
    open_all(&fx, NULL);
    memory_engine_forget(fx.engine, 0);
    assert_string_equal(drain(&fx, 1), "1:c;");
    assert_int_equal(cuts_of(&fx), 0);
    end(&fx);

    begin(&fx, 2);
    append(&fx, 1, "c");
    open_all(&fx, NULL);
    assert_string_equal(drain(&fx, 1), "1:c;");
    append(&fx, 0, "a");
    memory_engine_forget(fx.engine, 0);
    assert_int_equal(next_status(&fx, 0), LS_ERR_TRIMMED);
    assert_int_equal(cuts_of(&fx), 1);
    end(&fx);

    begin(&fx, 1);
    append(&fx, 0, "a");
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child, "m");
    open_all(&fx, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    memory_engine_forget(fx.engine, child);
    assert_int_equal(next_status(&fx, 0), LS_ERR_TRIMMED);
    end(&fx);
}

/* M2: what was trimmed of a child before the iterator came to it is said, whether the child was there when it was
 * opened or came later, and once. Who begins with the child, or with a parent that has nothing left, is told
 * nothing. */
static void what_was_trimmed_of_a_child_is_said(void **state)
{
    uint32_t child, grandchild;
    ls_seqno a, o, y;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    a = memory_engine_append(fx.engine, 0, "k", "a");
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child, "m n");
    o = memory_engine_append(fx.engine, child, "k", "o");
    open_all(&fx, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    memory_engine_trim(fx.engine, child, o);
    assert_int_equal(next_status(&fx, 0), LS_ERR_TRIMMED);
    assert_int_equal(cuts_of(&fx), 1);
    assert_string_equal(drain(&fx, 1), "1:o;");

    grandchild = memory_engine_split(fx.engine, child);
    append(&fx, grandchild, "x");
    y = memory_engine_append(fx.engine, grandchild, "k", "y");
    memory_engine_trim(fx.engine, grandchild, y);
    assert_int_equal(next_status(&fx, 0), LS_ERR_TRIMMED);
    assert_string_equal(drain(&fx, 1), "3:y;");
    assert_int_equal(cuts_of(&fx), 2);
    lsi_iterator_close(fx.iterator);

    memory_engine_trim(fx.engine, 0, a + 1);
    memory_engine_trim(fx.engine, child, o + 1);
    open_all(&fx, NULL);
    assert_string_equal(drain(&fx, 1), "3:y;");
    end(&fx);
}

/* A shard that came and went between two looks was never seen: its child says so. */
static void a_shard_that_came_and_went_is_said_to_be_trimmed(void **state)
{
    uint32_t child, grandchild;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    open_all(&fx, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child, "m");
    grandchild = memory_engine_split(fx.engine, child);
    append(&fx, grandchild, "x");
    memory_engine_forget(fx.engine, child);
    assert_int_equal(next_status(&fx, 0), LS_ERR_TRIMMED);
    assert_non_null(strstr(lsi_error_current()->message, "shard 1"));
    assert_string_equal(drain(&fx, 1), "3:x;");
    end(&fx);
}

/* A shard that was read to its end may go without a word. */
static void a_shard_that_was_read_may_go(void **state)
{
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    open_all(&fx, NULL);
    child = memory_engine_split(fx.engine, 0);
    assert_string_equal(drain(&fx, 1), "0:a;");
    memory_engine_forget(fx.engine, 0);
    append(&fx, child, "x");
    assert_string_equal(drain(&fx, 1), "1:x;");
    end(&fx);
}

/* LATEST and a time are resolved for each shard when opened; what is born later is read from its start. */
static void positions_mean_the_moment_of_opening_in_every_shard(void **state)
{
    const ls_position latest = at(LS_LATEST);
    ls_position noon;
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 2);
    append(&fx, 0, "a");
    append(&fx, 1, "b");
    open_all(&fx, &latest);
    append(&fx, 1, "c");
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child, "x");
    assert_string_equal(drain(&fx, RECORDS_MAX), "1:c;2:x;");
    lsi_iterator_close(fx.iterator);
    memory_engine_advance(fx.engine, 1000);
    noon = at_time(WALL_US + 1000);
    append(&fx, 1, "d");
    append(&fx, child + 1, "y");
    open_all(&fx, &noon);
    assert_string_equal(drain(&fx, RECORDS_MAX), "1:d;3:y;");
    end(&fx);
}

/* Goal: what a position leaves behind costs nothing. Method: a long lineage whose closed shards fail every seek; of two
 * that were closed at the very time that is asked for, the records are still looked for. */
static void closed_shards_before_the_position_are_not_looked_at(void **state)
{
    const ls_position latest = at(LS_LATEST);
    ls_position then;
    uint32_t upper = 0;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    for (int i = 0; i < 5; i++) {
        append(&fx, upper, "old");
        upper = memory_engine_split(fx.engine, upper) + 1;
        memory_engine_advance(fx.engine, 1000);
    }
    append(&fx, upper, "x");
    memory_engine_fail(fx.engine, MEMORY_ENGINE_SEEK, 0, LS_ERR_CORRUPT, 1, 0);
    open_all(&fx, &latest);
    append(&fx, upper, "y");
    assert_string_equal(drain(&fx, RECORDS_MAX), "10:y;");
    lsi_iterator_close(fx.iterator);
    then = at_time(WALL_US + 1);
    open_all(&fx, &then);
    assert_string_equal(drain(&fx, RECORDS_MAX), "2:old;4:old;6:old;8:old;10:x y;");
    lsi_iterator_close(fx.iterator);
    fx.iterator = NULL;
    then = at_time(WALL_US); /* shard 0 was closed then, and not before */
    assert_int_equal(lsi_iterator_open_all(fx.stream, &then, 0, &fx.iterator), LS_ERR_CORRUPT);
    open_all(&fx, &then);
    assert_string_equal(drain(&fx, RECORDS_MAX), "0:old;2:old;4:old;6:old;8:old;10:x y;");
    end(&fx);
}

/* Numbers belong to one shard. */
static void positions_by_number_are_refused(void **state)
{
    const ls_position number = at_seqno(LS_AT_SEQUENCE_NUMBER, 1), after = at_seqno(LS_AFTER_SEQUENCE_NUMBER, 1);
    fixture fx;

    (void)state;
    begin(&fx, 2);
    assert_int_equal(lsi_iterator_open_all(fx.stream, &number, 0, &fx.iterator), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_iterator_open_all(fx.stream, &after, 0, &fx.iterator), LS_ERR_INVALID_ARGUMENT);
    assert_null(fx.iterator);
    open_all(&fx, NULL);
    assert_int_equal(lsi_iterator_seek(fx.iterator, &number), LS_ERR_INVALID_ARGUMENT);
    end(&fx);
}

/* Seeking moves every shard, ends included; one that fails moves none. */
static void seek_moves_every_shard_or_none(void **state)
{
    const ls_position first = at(LS_TRIM_HORIZON), latest = at(LS_LATEST);
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 2);
    append(&fx, 0, "a");
    append(&fx, 1, "b c");
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child, "x");
    open_all(&fx, NULL);
    assert_string_equal(drain(&fx, RECORDS_MAX), "0:a;1:b c;2:x;");
    assert_int_equal(lsi_iterator_seek(fx.iterator, &first), LS_OK);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    memory_engine_fail(fx.engine, MEMORY_ENGINE_SEEK, 1, LS_ERR_IO, 1, 0);
    assert_int_equal(lsi_iterator_seek(fx.iterator, &latest), LS_ERR_IO);
    assert_string_equal(drain(&fx, RECORDS_MAX), "1:b c;2:x;");
    assert_int_equal(lsi_iterator_seek(fx.iterator, &latest), LS_OK);
    append(&fx, 1, "d");
    assert_string_equal(drain(&fx, RECORDS_MAX), "1:d;");
    end(&fx);
}

/* Damage in one shard is said in each round and does not keep the others from being read. */
static void a_damaged_shard_does_not_stop_the_others(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 3);
    append(&fx, 0, "a");
    append(&fx, 1, "b");
    append(&fx, 2, "c");
    open_all(&fx, NULL);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_READ, 1, LS_ERR_CORRUPT, 2, 0);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    assert_int_equal(next_status(&fx, 0), LS_ERR_CORRUPT);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "c");
    assert_int_equal(next_status(&fx, 0), LS_ERR_CORRUPT);
    assert_string_equal(drain(&fx, 1), "1:b;");
    end(&fx);
}

/* A failed look at the stream, at the end of a shard or when shards changed, loses nothing. */
static void a_failed_look_at_the_stream_loses_nothing(void **state)
{
    uint32_t child;
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a b");
    open_all(&fx, NULL);
    assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child, "x");
    memory_engine_fail(fx.engine, MEMORY_ENGINE_INFO, LSI_NO_SHARD, LS_ERR_IO, 1, 0);
    assert_int_equal(next_status(&fx, 0), LS_ERR_IO);
    sim_memory_fail(memory_engine_memory(fx.engine), 1, false);
    assert_int_equal(next_status(&fx, 0), LS_ERR_NO_MEMORY);
    sim_memory_fail(memory_engine_memory(fx.engine), 2, false); /* the list of children */
    assert_int_equal(next_status(&fx, 0), LS_ERR_NO_MEMORY);
    assert_string_equal(drain(&fx, RECORDS_MAX), "0:b;1:x;");
    end(&fx);
}

static void a_deleted_stream_is_not_found(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 2);
    open_all(&fx, NULL);
    assert_string_equal(drain(&fx, 1), "");
    memory_engine_delete_stream(fx.engine);
    assert_int_equal(next_status(&fx, -1), LS_ERR_NOT_FOUND);
    end(&fx);
}

/* Goal: every record once, per shard in order, children behind parents, whatever happens between the batches. Method:
 * random appends, splits, merges, places and reopenings against what the engine holds; the seed is printed. */
static void random_reshards_lose_and_repeat_nothing(void **state)
{
    unsigned seed = 987654321;

    (void)state;
    printf("seed %u\n", seed);
    for (int round = 0; round < 40; round++) {
        uint32_t parents[64][2], shard_count = 2, open[64], open_count = 2;
        size_t given[64] = {0}, appended = 0, read = 0;
        fixture fx;

        begin(&fx, 2);
        open_all(&fx, NULL);
        for (uint32_t i = 0; i < 64; i++)
            parents[i][0] = parents[i][1] = LS_NO_SHARD;
        open[0] = 0;
        open[1] = 1;
        for (int step = 0; step < 120 || read < appended; step++) {
            const ls_batch *batch;
            unsigned what, which;
            char data[16];

            seed = seed * 1103515245u + 12345u;
            what = (seed >> 16) % 12;
            seed = seed * 1103515245u + 12345u;
            which = (seed >> 16) % open_count;
            if (step < 120 && what < 5) {
                snprintf(data, sizeof data, "%zu", appended++);
                (void)memory_engine_append(fx.engine, open[which], "k", data);
                continue;
            }
            if (step < 120 && what == 5 && shard_count < 50) {
                uint32_t child = memory_engine_split(fx.engine, open[which]);

                parents[child][0] = parents[child + 1][0] = open[which];
                open[which] = child;
                open[open_count++] = child + 1;
                shard_count += 2;
                continue;
            }
            if (step < 120 && what == 6 && shard_count < 50 && open_count > 1) {
                uint32_t other = (which + 1) % open_count;
                uint32_t child = memory_engine_merge(fx.engine, open[which], open[other]);

                parents[child][0] = open[which];
                parents[child][1] = open[other];
                open[which] = child;
                open[other] = open[--open_count];
                shard_count++;
                continue;
            }
            if (what == 7) {
                static char kept[2048];

                keep_place(&fx, kept, sizeof kept);
                reopen(&fx, kept);
                continue;
            }
            (void)next_of(&fx, 1 + what % 3, 0, &batch);
            for (uint32_t i = 0; i < batch->count; i++) {
                const ls_record *r = &batch->records[i];

                for (int p = 0; p < 2; p++)
                    if (parents[r->shard][p] != LS_NO_SHARD)
                        assert_int_equal(given[parents[r->shard][p]],
                                         memory_engine_count(fx.engine, parents[r->shard][p])); /* M1 */
                assert_memory_equal(r->data.data, memory_engine_data(fx.engine, r->shard, given[r->shard]),
                                    r->data.size);
                given[r->shard]++;
                read++;
            }
        }
        assert_int_equal(read, appended);
        assert_string_equal(drain(&fx, 1), "");
        end(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_batch_is_of_one_shard),
        cmocka_unit_test(shards_take_turns),
        cmocka_unit_test(millis_behind_are_of_the_batchs_shard),
        cmocka_unit_test(children_follow_their_parent),
        cmocka_unit_test(a_merged_child_waits_for_both_parents),
        cmocka_unit_test(lineages_are_followed_over_generations),
        cmocka_unit_test(a_parent_that_is_gone_is_not_waited_for),
        cmocka_unit_test(a_shard_that_goes_unread_is_said_to_be_trimmed),
        cmocka_unit_test(a_shard_that_goes_before_it_was_begun_is_passed_over),
        cmocka_unit_test(what_was_trimmed_of_a_child_is_said),
        cmocka_unit_test(a_shard_that_came_and_went_is_said_to_be_trimmed),
        cmocka_unit_test(a_shard_that_was_read_may_go),
        cmocka_unit_test(positions_mean_the_moment_of_opening_in_every_shard),
        cmocka_unit_test(closed_shards_before_the_position_are_not_looked_at),
        cmocka_unit_test(positions_by_number_are_refused),
        cmocka_unit_test(seek_moves_every_shard_or_none),
        cmocka_unit_test(a_damaged_shard_does_not_stop_the_others),
        cmocka_unit_test(a_failed_look_at_the_stream_loses_nothing),
        cmocka_unit_test(a_deleted_stream_is_not_found),
        cmocka_unit_test(random_reshards_lose_and_repeat_nothing),
    };

    return cmocka_run_group_tests_name("all shards", tests, NULL, NULL);
}
