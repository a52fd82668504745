/* stream/seqno.c: the 56-digit form, against numbers of the service's specification and of the service itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stream/stream.h"

static const struct {
    lsi_seqno56 fields;
    const char *text;
} vectors[] = {
    {{0, 0, 1700000000, 1700000000}, "49646437577108476416916876405825929425585429676275269634"},
    {{1, 0, 1700000000, 1700000005}, "49646437577108476416916876405827138351405044649047359490"},
    {{1, 17, 1700000000, 1700000005}, "49646437577130777162115407028968674069677693010553340178"},
    /* the end of the first shard, closed after 100 s, and the start of its child */
    {{LS_SEQNO_END, 0, 1700000000, 1700000100}, "49646437577119626789516141717395488358902146099801227266"},
    {{0, 1, 1700000101, 1700000101}, "49646437613168781402940894025689185872457837172112752658"},
    /* from the live service: the start of shard 0, made at 2019-02-02T07:42:40Z */
    {{0, 0, 1549093360, 1549093360}, "49592592288669974188510550010873737925033238827737546754"},
};
#define VECTOR_COUNT (sizeof vectors / sizeof vectors[0])

static bool same(const lsi_seqno56 *a, const lsi_seqno56 *b)
{
    return a->counter == b->counter && a->shard == b->shard && a->created_seconds == b->created_seconds &&
           a->record_seconds == b->record_seconds;
}

static void numbers_are_written_as_kinesis_writes_them(void **state)
{
    char text[LSI_SEQNO56_BYTES];

    (void)state;
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        lsi_seqno56_format(&vectors[i].fields, text);
        assert_string_equal(text, vectors[i].text);
    }
}

static void numbers_are_read_as_kinesis_writes_them(void **state)
{
    lsi_seqno56 found;

    (void)state;
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        assert_int_equal(lsi_seqno56_parse(vectors[i].text, &found), LS_OK);
        assert_true(same(&found, &vectors[i].fields));
    }
}

/* Goal: what is written is read again, with every field at its least and its most. */
static void every_field_comes_back(void **state)
{
    static const ls_seqno counters[] = {0, 1, UINT64_C(0x0123456789abcdef), LS_SEQNO_MAX, LS_SEQNO_END};
    static const uint32_t shards[] = {0, 15, 16, UINT32_C(0x89abcdef), UINT32_MAX};
    static const int64_t createds[] = {0, 1700000000, INT64_C(16025174999)};
    static const int64_t records[] = {0, 1700000000, INT64_C(0xfffffffff)};

    (void)state;
    for (size_t i = 0; i < 5 * 5 * 3 * 3; i++) {
        lsi_seqno56 from = {counters[i % 5], shards[i / 5 % 5], createds[i / 25 % 3], records[i / 75]};
        lsi_seqno56 found;
        char text[LSI_SEQNO56_BYTES];

        lsi_seqno56_format(&from, text);
        assert_int_equal(strlen(text), 56);
        assert_int_equal(lsi_seqno56_parse(text, &found), LS_OK);
        assert_true(same(&found, &from));
    }
}

/* Goal: within a shard the counter alone orders, whatever the clock did; a child comes after its parent's end. Method:
 * compare as texts, which for equal lengths is the order of the numbers. */
static void the_counter_orders_and_not_the_clock(void **state)
{
    static const lsi_seqno56 rising[] = {
        {0, 7, 1700000000, 1700000000},
        {1, 7, 1700000000, INT64_C(0xfffffffff)},
        {2, 7, 1700000000, 0},
        {LS_SEQNO_MAX, 7, 1700000000, 5},
        {LS_SEQNO_END, 7, 1700000000, 0},
        {0, 8, 1700000001, 0},
    };
    char before[LSI_SEQNO56_BYTES] = "";
    char text[LSI_SEQNO56_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof rising / sizeof rising[0]; i++) {
        lsi_seqno56_format(&rising[i], text);
        assert_true(strcmp(before, text) < 0);
        memcpy(before, text, sizeof before);
    }
}

/* Goal: a clock that says what the form cannot hold still gives a number that can be read. */
static void impossible_times_become_the_nearest(void **state)
{
    lsi_seqno56 from = {1, 0, -5, INT64_MAX};
    lsi_seqno56 found;
    char text[LSI_SEQNO56_BYTES];

    (void)state;
    lsi_seqno56_format(&from, text);
    assert_int_equal(lsi_seqno56_parse(text, &found), LS_OK);
    assert_int_equal(found.created_seconds, 0);
    assert_int_equal(found.record_seconds, INT64_C(0xfffffffff));
    from = (lsi_seqno56){1, 0, INT64_MAX, -1};
    lsi_seqno56_format(&from, text);
    assert_int_equal(lsi_seqno56_parse(text, &found), LS_OK);
    assert_int_equal(found.created_seconds, INT64_C(16025174999));
    assert_int_equal(found.record_seconds, 0);
}

/* Goal: everything else is refused. Method: for each fixed part of the layout a number that differs from a good one in
 * it alone (made with Python's integers), and texts that are no such number. */
static void other_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "25126508923254254683183323971422191413505218694109724674", /* digit 0 is 1 */
        "74166366230962698150650428840232085289304870603984994306", /* digit 0 is 3 */
        "49646437577108476416916876405827138351405044649047359489", /* version 1 */
        "49646437577108476416916876405827143073771527518692573186", /* digits 27-28 are 01 */
        "49646437577219980142909529521534816942768286456577261570", /* index 0, its low bits 5 */
        "49646437577119626789516141717396697284721754200625643522", /* the counter's top bit */
        "54757830818698251126701659333929306223987972741412159490", /* created at 16025175000 */
        "99999999999999999999999999999999999999999999999999999999",
        "", "0", "1", "TRIM_HORIZON",
        "4964643757710847641691687640582713835140504464904735949",   /* 55 digits */
        "496464375771084764169168764058271383514050446490473594900", /* 57 */
        "04964643757710847641691687640582713835140504464904735949",
        "4964643757710847641691687640582713835140504464904735949x",
        " 4964643757710847641691687640582713835140504464904735949",
        "-4964643757710847641691687640582713835140504464904735949",
    };
    lsi_seqno56 found = {9, 9, 9, 9};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (lsi_seqno56_parse(texts[i], &found) != LS_ERR_INVALID_ARGUMENT)
            fail_msg("'%s' was taken", texts[i]);
    assert_int_equal(lsi_seqno56_parse(NULL, &found), LS_ERR_INVALID_ARGUMENT);
    assert_true(same(&found, &(lsi_seqno56){9, 9, 9, 9}));
    /* The last second before the refused ones. */
    assert_int_equal(lsi_seqno56_parse("54757830818341439203525169363664734731625598957316472834", &found), LS_OK);
}

int main(void)
{
    const struct CMUnitTest numbers_of_56_digits[] = {
        cmocka_unit_test(numbers_are_written_as_kinesis_writes_them),
        cmocka_unit_test(numbers_are_read_as_kinesis_writes_them),
        cmocka_unit_test(every_field_comes_back),
        cmocka_unit_test(the_counter_orders_and_not_the_clock),
        cmocka_unit_test(impossible_times_become_the_nearest),
        cmocka_unit_test(other_texts_are_refused),
    };

    return cmocka_run_group_tests(numbers_of_56_digits, NULL, NULL);
}
