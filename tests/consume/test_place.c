/* A place as text: it comes back to where it was, and hostile text is refused. */
#include "consume/support.h"

#include "base/hash.h"

/* Goal: no record is lost or repeated over a place, wherever it is taken. Method: take it after every batch of every
 * size, also in the middle of what one append wrote. */
static void a_place_comes_back_behind_the_last_record(void **state)
{
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a b c d e f g");
    for (uint32_t size = 1; size <= 7; size++) {
        char all[2 * SEEN_BYTES] = "";

        open_one(&fx, 0, NULL);
        for (const char *data; *(data = next_of(&fx, size, 0, NULL)) != '\0';) {
            char kept[256];

            strcat(strcat(all, all[0] == '\0' ? "" : " "), data);
            keep_place(&fx, kept, sizeof kept);
            reopen(&fx, kept);
        }
        assert_string_equal(all, "a b c d e f g");
        lsi_iterator_close(fx.iterator);
    }
    fx.iterator = NULL;
    end(&fx);
}

/* LATEST becomes the number it meant: what came between place and opening is read. */
static void a_place_at_latest_keeps_the_moment(void **state)
{
    const ls_position latest = at(LS_LATEST);
    char kept[256];
    fixture fx;

    (void)state;
    begin(&fx, 2);
    append(&fx, 0, "a");
    open_one(&fx, 0, &latest);
    keep_place(&fx, kept, sizeof kept);
    append(&fx, 0, "b");
    reopen(&fx, kept);
    assert_string_equal(next(&fx), "b");
    lsi_iterator_close(fx.iterator);
    open_all(&fx, &latest);
    keep_place(&fx, kept, sizeof kept);
    append(&fx, 1, "c");
    reopen(&fx, kept);
    assert_string_equal(next(&fx), "c");
    assert_string_equal(next(&fx), "");
    end(&fx);
}

/* At the end of a shard a place is there as well. */
static void a_place_at_the_end_of_a_shard_comes_back(void **state)
{
    const ls_batch *batch;
    char kept[256];
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    (void)memory_engine_split(fx.engine, 0);
    open_one(&fx, 0, NULL);
    assert_string_equal(next(&fx), "a");
    keep_place(&fx, kept, sizeof kept);
    reopen(&fx, kept);
    assert_string_equal(next_of(&fx, 1, 0, &batch), "");
    assert_true(batch->is_shard_end);
    end(&fx);
}

/* A merged place knows each shard: unread, half read, ended, its children unread. */
static void a_merged_place_knows_each_shard(void **state)
{
    const ls_batch *batch;
    uint32_t child;
    char kept[512];
    fixture fx;

    (void)state;
    begin(&fx, 3);
    append(&fx, 0, "a");
    append(&fx, 1, "b c");
    append(&fx, 2, "d");
    open_all(&fx, NULL);
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child, "x");
    assert_string_equal(next_of(&fx, 1, 0, &batch), "a");
    assert_string_equal(next_of(&fx, 1, 0, &batch), "b");
    keep_place(&fx, kept, sizeof kept);
    reopen(&fx, kept);
    assert_string_equal(next_of(&fx, 1, 0, &batch), "c");
    assert_int_equal(batch->shard, 1);
    assert_string_equal(next_of(&fx, 1, 0, &batch), "d");
    assert_string_equal(next_of(&fx, 1, 0, &batch), "x");
    assert_int_equal(batch->shard, child);
    assert_string_equal(next(&fx), "");
    end(&fx);
}

/* Shards born after the place was taken are read from their start. */
static void shards_younger_than_a_place_are_read_whole(void **state)
{
    uint32_t child;
    char kept[512];
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    open_all(&fx, NULL);
    assert_string_equal(next(&fx), "a");
    keep_place(&fx, kept, sizeof kept);
    child = memory_engine_split(fx.engine, 0);
    append(&fx, child + 1, "y");
    reopen(&fx, kept);
    assert_string_equal(next(&fx), "y");
    end(&fx);
}

/* A failed batch moves no place; neither does an empty one. */
static void only_handed_out_batches_move_the_place(void **state)
{
    char kept[256];
    fixture fx;

    (void)state;
    begin(&fx, 1);
    append(&fx, 0, "a");
    open_one(&fx, 0, NULL);
    keep_place(&fx, kept, sizeof kept);
    memory_engine_fail(fx.engine, MEMORY_ENGINE_READ, 0, LS_ERR_IO, 1, 0);
    assert_int_equal(next_status(&fx, 0), LS_ERR_IO);
    assert_string_equal(place(&fx), kept);
    assert_string_equal(next(&fx), "a");
    assert_string_not_equal(place(&fx), kept);
    keep_place(&fx, kept, sizeof kept);
    assert_string_equal(next(&fx), "");
    assert_string_equal(place(&fx), kept);
    end(&fx);
}

/* The needed size is told; one byte less is refused and nothing is written; it is ASCII without blanks. */
static void the_size_of_a_place_is_told(void **state)
{
    char buffer[512];
    size_t needed = 0;
    fixture fx;

    (void)state;
    begin(&fx, 3);
    open_all(&fx, NULL);
    assert_int_equal(lsi_iterator_place(fx.iterator, NULL, 0, &needed), LS_ERR_TOO_LARGE);
    assert_in_range(needed, 20, sizeof buffer);
    memset(buffer, 0x5a, sizeof buffer);
    assert_int_equal(lsi_iterator_place(fx.iterator, buffer, needed - 1, NULL), LS_ERR_TOO_LARGE);
    for (size_t i = 0; i < sizeof buffer; i++)
        assert_int_equal(buffer[i], 0x5a);
    assert_int_equal(lsi_iterator_place(fx.iterator, buffer, needed, NULL), LS_OK);
    assert_int_equal(strlen(buffer), needed - 1);
    assert_int_equal(buffer[needed], 0x5a);
    for (size_t i = 0; i < needed - 1; i++)
        assert_in_range(buffer[i], '!', '~');
    end(&fx);
}

static void refuse(fixture *fx, const char *text)
{
    lsi_iterator *iterator = NULL;

    assert_int_equal(lsi_iterator_open_place(fx->stream, text, 0, &iterator), LS_ERR_INVALID_ARGUMENT);
    assert_null(iterator);
}

/* Every cut and every changed character of a good place is refused. */
static void a_damaged_place_is_refused(void **state)
{
    char good[512], bad[520];
    fixture fx;

    (void)state;
    begin(&fx, 3);
    append(&fx, 1, "a");
    open_all(&fx, NULL);
    assert_string_equal(next(&fx), "a");
    keep_place(&fx, good, sizeof good);
    for (size_t i = 0; i < strlen(good); i++) {
        snprintf(bad, sizeof bad, "%.*s", (int)i, good);
        refuse(&fx, bad);
        for (int c = 1; c < 256; c++) {
            if ((char)c == good[i])
                continue;
            snprintf(bad, sizeof bad, "%s", good);
            bad[i] = (char)c;
            refuse(&fx, bad);
        }
    }
    snprintf(bad, sizeof bad, "%s ", good);
    refuse(&fx, bad);
    end(&fx);
}

/* What somebody who knows the sum may write: the grammar, the stream and its shards are checked all the same. */
static void an_invented_place_with_the_right_sum_is_refused(void **state)
{
    static const char *const bodies[] = {
        "",
        "ls1",
        "ls2:7:1000000:one:0=1",
        "ls1:8:1000000:one:0=1",
        "ls1:7:1000001:one:0=1",
        "ls1:7:-1000000:one:0=1",
        "ls1:07:1000000:one:0=1",
        "ls1:7:1000000:two:0=1",
        "ls1:7:1000000:one:",
        "ls1:7:1000000:one:0",
        "ls1:7:1000000:one:0=",
        "ls1:7:1000000:one:0=0",
        "ls1:7:1000000:one:0=01",
        "ls1:7:1000000:one:0=-1",
        "ls1:7:1000000:one:0=e",
        "ls1:7:1000000:one:0=x",
        "ls1:7:1000000:one:0=9223372036854775808",
        "ls1:7:1000000:one:0=18446744073709551617",
        "ls1:7:1000000:one:0=1,1=1",
        "ls1:7:1000000:one:0=1,",
        "ls1:7:1000000:one:0=1:",
        "ls1:7:1000000:one:4294967295=1",
        "ls1:7:1000000:one:4294967296=1",
        "ls1:7:1000000:one:3=1",
        "ls1:7:1000000:all:0=1,0=1",
        "ls1:7:1000000:all:1=1,0=1",
        "ls1:7:1000000:all:0=1,,1=1",
        "ls1:7:1000000:all:0=1,1=1,",
        "ls1:7:1000000:all:0=1,1=1,3=1",
        "ls1:7:1000000:all:",
        "ls1:99999999999999999999999999:1000000:one:0=1",
        "ls1:7:1000000:one:0=t ",
        "ls1:7:1000000:one:0=1.",
        "ls1:7:1000000:one:0=1.0",
        "ls1:7:1000000:one:0=1.01",
        "ls1:7:1000000:one:0=1.4294967296",
        "ls1:7:1000000:one:0=t.1",
        "ls1:7:1000000:all:0=e.1",
    };
    fixture fx;

    (void)state;
    begin(&fx, 3);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char text[256];

        snprintf(text, sizeof text, "%s:%016llx", bodies[i],
                 (unsigned long long)lsi_sum64(bodies[i], strlen(bodies[i]), 0x6c73706c61636531));
        refuse(&fx, text);
    }
    /* The same with nothing wrong is taken, so the above were not refused for their sums. */
    {
        static const char *const good[] = {"ls1:7:1000000:one:0=1", "ls1:7:1000000:one:2=t",
                                           "ls1:7:1000000:all:0=1,1=t,2=e",
                                           "ls1:7:1000000:one:0=9223372036854775807",
                                           "ls1:7:1000000:one:0=1.4294967295", "ls1:7:1000000:all:0=1.1,2=e"};

        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            char text[256];

            snprintf(text, sizeof text, "%s:%016llx", good[i],
                     (unsigned long long)lsi_sum64(good[i], strlen(good[i]), 0x6c73706c61636531));
            reopen(&fx, text);
            assert_int_equal(next_status(&fx, 0), LS_OK);
        }
    }
    end(&fx);
}

/* A text with very many entries costs memory in proportion to itself and ends in a status. */
static void a_huge_place_is_refused(void **state)
{
    size_t size = 4u << 20;
    char *text = malloc(size + 32);
    fixture fx;

    (void)state;
    begin(&fx, 1);
    memcpy(text, "ls1:7:1000000:all:", 18);
    memset(text + 18, ',', size - 18);
    snprintf(text + size, 32, ":%016llx", (unsigned long long)lsi_sum64(text, size, 0x6c73706c61636531));
    refuse(&fx, text);
    free(text);
    end(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_comes_back_behind_the_last_record),
        cmocka_unit_test(a_place_at_latest_keeps_the_moment),
        cmocka_unit_test(a_place_at_the_end_of_a_shard_comes_back),
        cmocka_unit_test(a_merged_place_knows_each_shard),
        cmocka_unit_test(shards_younger_than_a_place_are_read_whole),
        cmocka_unit_test(only_handed_out_batches_move_the_place),
        cmocka_unit_test(the_size_of_a_place_is_told),
        cmocka_unit_test(a_damaged_place_is_refused),
        cmocka_unit_test(an_invented_place_with_the_right_sum_is_refused),
        cmocka_unit_test(a_huge_place_is_refused),
    };

    return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
