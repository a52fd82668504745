/* Records that hold several: each way of standing together, and what cannot be split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "deliver/split.h"
#include "support/sim_memory.h"

/* The pieces with a bar behind each, or in angle brackets why there are none. A view until the next one. */
static const char *split(lsi_splitter *splitter, const char *data, size_t size)
{
    static char out[4096];
    const ls_bytes *pieces;
    const char *reason;
    size_t count, used = 0;
    char *own = malloc(size != 0 ? size : 1); /* Its own, for bounds checkers. */

    assert_non_null(own);
    memcpy(own, data, size);
    assert_int_equal(lsi_splitter_split(splitter, (ls_bytes){own, size}, &pieces, &count, &reason), LS_OK);
    out[0] = '\0';
    if (reason != NULL) {
        assert_int_equal(count, 0);
        snprintf(out, sizeof out, "<%s>", reason);
    }
    for (size_t i = 0; i < count; i++) {
        assert_true((const char *)pieces[i].data >= own && (const char *)pieces[i].data + pieces[i].size <= own + size);
        used += (size_t)snprintf(out + used, sizeof out - used, "%.*s|", (int)pieces[i].size,
                                 (const char *)pieces[i].data);
    }
    free(own);
    return out;
}

static const char *split_json(lsi_splitter *splitter, const char *data)
{
    return split(splitter, data, strlen(data));
}

static void json_values_stand_behind_each_other(void **state)
{
    static const struct {
        const char *data, *pieces;
    } known[] = {
        {"{\"a\":1}{\"a\":2}", "{\"a\":1}|{\"a\":2}|"},
        {" {\"a\":1}\n\r\t {\"a\":2}\n", "{\"a\":1}|{\"a\":2}|"},
        {"{\"a\":\"}{\"}{\"b\":\"\\\"}{\\\\\"}", "{\"a\":\"}{\"}|{\"b\":\"\\\"}{\\\\\"}|"},
        {"[1,{\"a\":[2]}][]{}", "[1,{\"a\":[2]}]|[]|{}|"},
        {"1 2\"x\"\"y\"null true{}3[4]-5e3", "1|2|\"x\"|\"y\"|null|true|{}|3|[4]|-5e3|"},
        {"", ""}, {" \n", ""},
        {"{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}|"}, /* whose readers decide */
    };
    lsi_splitter *splitter = NULL;

    (void)state;
    assert_int_equal(lsi_splitter_open_json(&lsi_memory_libc, &splitter), LS_OK);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_string_equal(split_json(splitter, known[i].data), known[i].pieces);
    lsi_splitter_close(splitter);
}

static void what_is_not_json_is_split_nowhere(void **state)
{
    static const struct {
        const char *data, *said;
    } bad[] = {
        {"{\"a\":1}{", "<value 2, at byte 7: JSON"}, {"{\"a\":1} x", "<value 2, at byte 8: JSON"},
        {"}", "<value 1, at byte 0"},
        {"{]}", "<value 1, at byte 0"}, {"{\"a\":1},{\"a\":2}", "<value 2, at byte 7"}, {"\"", "<value 1, at byte 0"},
        {"\"\\", "<value 1"}, {"{\"\\", "<value 1"}, {"truefalse", "<value 1"}, {"1 2 -", "<value 3, at byte 4"},
        {"{}\x01", "<value 2, at byte 2"}, {"{\"a\":\"\xff\"}", "<value 1"}, {"[[1]", "<value 1"},
    };
    lsi_splitter *splitter = NULL;

    (void)state;
    assert_int_equal(lsi_splitter_open_json(&lsi_memory_libc, &splitter), LS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *got = split_json(splitter, bad[i].data);

        if (strncmp(got, bad[i].said, strlen(bad[i].said)) != 0)
            fail_msg("'%s': %s", bad[i].data, got);
        assert_string_equal(split_json(splitter, "{}{}"), "{}|{}|"); /* the next record is another */
    }
    assert_memory_equal(split(splitter, "1\0", 2), "<value", 6);
    assert_memory_equal(split(splitter, "{}\0{}", 5), "<value 2, at byte 2", 19);
    lsi_splitter_close(splitter);
}

/* Cut at every byte: only where no value is cut are there pieces. */
static void a_cut_record_is_split_as_a_whole_or_not_at_all(void **state)
{
    static const char data[] = "{\"a\":\"x\\\"y\"} [1,2,{\"b\":null}]{\"c\":{\"d\":[]}}\n\"z\" 12.5";
    lsi_splitter *splitter = NULL;
    int whole = 0;

    (void)state;
    assert_int_equal(lsi_splitter_open_json(&lsi_memory_libc, &splitter), LS_OK);
    for (size_t cut = 0; cut <= sizeof data - 1; cut++)
        whole += split(splitter, data, cut)[0] != '<';
    assert_string_equal(split(splitter, data, sizeof data - 1),
                        "{\"a\":\"x\\\"y\"}|[1,2,{\"b\":null}]|{\"c\":{\"d\":[]}}|\"z\"|12.5|");
    /* Behind each value and each white space, and within the number where it is one. */
    assert_int_equal(whole, 1 + 2 + 1 + 2 + 2 + 3);
    lsi_splitter_close(splitter);
}

static void a_delimiter_ends_a_piece(void **state)
{
    static const struct {
        const char *delimiter, *data, *pieces;
    } known[] = {
        {"####", "a####b####", "a|b|"}, {"####", "a####b", "a|b|"}, {"####", "a###b", "a###b|"},
        {"####", "####a########b####", "a|b|"}, {"####", "#####", "#|"}, {"####", "", ""}, {"####", "####", ""},
        {"\n", "a\n\nb\r\n", "a|b\r|"}, {"ab", "aabab", "a|"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        lsi_splitter *splitter = NULL;
        ls_bytes delimiter = {known[i].delimiter, strlen(known[i].delimiter)};

        assert_int_equal(lsi_splitter_open_delimited(&lsi_memory_libc, delimiter, &splitter), LS_OK);
        assert_string_equal(split_json(splitter, known[i].data), known[i].pieces);
        lsi_splitter_close(splitter);
    }
}

static void delimiters_have_1_to_128_bytes(void **state)
{
    char bytes[LSI_DELIMITER_MAX + 1] = {0};
    lsi_splitter *splitter = NULL;

    (void)state;
    assert_int_equal(lsi_splitter_open_delimited(&lsi_memory_libc, (ls_bytes){NULL, 0}, &splitter),
                     LS_ERR_INVALID_ARGUMENT);
    assert_string_equal(ls_last_error_message(), "a delimiter of 0 bytes: it has 1 to 128");
    assert_int_equal(lsi_splitter_open_delimited(&lsi_memory_libc, (ls_bytes){bytes, sizeof bytes}, &splitter),
                     LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(lsi_splitter_open_delimited(&lsi_memory_libc, (ls_bytes){bytes, sizeof bytes - 1}, &splitter),
                     LS_OK);
    lsi_splitter_close(splitter);
    lsi_splitter_close(NULL);
}

static void without_memory_nothing_is_left(void **state)
{
    static const char data[] = "{\"a\":1}{\"b\":2}{\"c\":3}1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20";
    sim_memory memory = SIM_MEMORY_INIT;
    lsi_memory table = sim_memory_table(&memory);
    lsi_splitter *splitter = NULL;
    const ls_bytes *pieces;
    const char *reason;
    size_t count = 0;
    ls_status st = LS_ERR_NO_MEMORY;

    (void)state;
    for (uint64_t nth = 1; st != LS_OK; nth++) {
        sim_memory_fail(&memory, nth, false);
        st = lsi_splitter_open_json(&table, &splitter);
        assert_true(st == LS_OK || (st == LS_ERR_NO_MEMORY && splitter == NULL && memory.live == 0));
    }
    st = LS_ERR_NO_MEMORY;
    for (uint64_t nth = 1; st != LS_OK; nth++) {
        sim_memory_fail(&memory, nth, false);
        st = lsi_splitter_split(splitter, (ls_bytes){data, sizeof data - 1}, &pieces, &count, &reason);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        assert_true(nth < 100);
    }
    assert_int_equal(count, 23);
    lsi_splitter_close(splitter);
    assert_int_equal(memory.live, 0);
}

int main(void)
{
    const struct CMUnitTest splitting[] = {
        cmocka_unit_test(json_values_stand_behind_each_other),
        cmocka_unit_test(what_is_not_json_is_split_nowhere),
        cmocka_unit_test(a_cut_record_is_split_as_a_whole_or_not_at_all),
        cmocka_unit_test(a_delimiter_ends_a_piece),
        cmocka_unit_test(delimiters_have_1_to_128_bytes),
        cmocka_unit_test(without_memory_nothing_is_left),
    };

    return cmocka_run_group_tests_name("records that hold several", splitting, NULL, NULL);
}
