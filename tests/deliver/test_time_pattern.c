/* Patterns of times: each letter that there is, and every other one refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "deliver/time_pattern.h"

#define ONE_US INT64_C(1565382027012345)  /* Friday, 2019-08-09T20:20:27.012345Z, day 221 */
#define EARLY_US INT64_C(1167703385000001) /* Tuesday, 2007-01-02T02:03:05.000001Z, day 2 */

static const char *write_one(const char *pattern, int64_t us)
{
    static char out[128];
    size_t at = 0, size;

    assert_null(lsi_time_pattern_check(pattern, strlen(pattern), &at));
    size = lsi_time_pattern_write(pattern, strlen(pattern), us, out, sizeof out - 1);
    assert_true(size < sizeof out);
    out[size] = '\0';
    return out;
}

static void each_letter_has_its_meaning(void **state)
{
    static const struct {
        const char *pattern, *one, *early;
    } known[] = {
        {"y", "2019", "2007"}, {"yy", "19", "07"}, {"yyyy", "2019", "2007"},
        {"M", "8", "1"}, {"MM", "08", "01"}, {"MMM", "Aug", "Jan"},
        {"D", "221", "2"}, {"DD", "221", "02"}, {"DDD", "221", "002"},
        {"d", "9", "2"}, {"dd", "09", "02"},
        {"H", "20", "2"}, {"HH", "20", "02"}, {"m", "20", "3"}, {"mm", "20", "03"},
        {"s", "27", "5"}, {"ss", "27", "05"},
        {"S", "0", "0"}, {"SSS", "012", "000"}, {"SSSSSS", "012345", "000001"}, {"SSSSSSSSS", "012345000", "000001000"},
        {"E", "Fri", "Tue"}, {"EEE", "Fri", "Tue"},
        {"yyyy/MM/dd/HH/", "2019/08/09/20/", "2007/01/02/02/"},
        {"'year='yyyy'/day='D", "year=2019/day=221", "year=2007/day=2"},
        {"''yy", "'19", "'07"}, {"'a''b'", "a'b", "a'b"}, {"'#[]{'", "#[]{", "#[]{"},
        {"yyyyMMdd-HHmmss.SSS", "20190809-202027.012", "20070102-020305.000"},
        {" .,:;/_-=()<>|&%$!?*+~^\"0123456789", " .,:;/_-=()<>|&%$!?*+~^\"0123456789",
         " .,:;/_-=()<>|&%$!?*+~^\"0123456789"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_string_equal(write_one(known[i].pattern, ONE_US), known[i].one);
        assert_string_equal(write_one(known[i].pattern, EARLY_US), known[i].early);
    }
}

static void years_far_away_are_those_of_an_era(void **state)
{
    (void)state;
    assert_string_equal(write_one("yyyy-MM-dd", INT64_C(253402300800000000)), "+10000-01-01");
    assert_string_equal(write_one("y", INT64_C(253402300800000000)), "10000");
    assert_string_equal(write_one("yy", INT64_C(253402300800000000)), "00");
    assert_string_equal(write_one("yyyy/MM/dd HH:mm:ss.SSSSSS", -1), "1969/12/31 23:59:59.999999");
    assert_string_equal(write_one("yyyy", INT64_C(-62167219200000000)), "0001"); /* 1 BC */
}

static void what_there_is_not_is_refused_where_it_stands(void **state)
{
    static const struct {
        const char *pattern;
        size_t at;
    } bad[] = {
        {"", 0}, {"yyy", 0}, {"yyyyy", 0}, {"MMMM", 0}, {"DDDD", 0}, {"ddd", 0}, {"HHH", 0}, {"mmm", 0}, {"sss", 0},
        {"SSSSSSSSSS", 0}, {"EEEE", 0}, {"yyyy'T", 4}, {"'", 0}, {"'''", 2}, {"yyyy[MM]", 4}, {"yyyy]", 4},
        {"{", 0}, {"#", 0}, {"yyyy/MM/ddThh", 10},
    };
    static const char letters[] = "abcefghijklnopqrtuvwxzABCFGIJKLNOPQRTUVWXYZ"; /* all others */
    size_t at;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_non_null(lsi_time_pattern_check(bad[i].pattern, strlen(bad[i].pattern), &at));
        assert_int_equal(at, bad[i].at);
    }
    assert_int_equal(strlen(letters), 52 - 9);
    for (const char *letter = letters; *letter != '\0'; letter++)
        assert_non_null(lsi_time_pattern_check(letter, 1, &at));
}

static void no_more_is_written_than_there_is_room_for(void **state)
{
    char out[8];

    (void)state;
    for (size_t room = 0; room < 6; room++) {
        memset(out, '#', sizeof out);
        assert_int_equal(lsi_time_pattern_write("yyyyMM", 6, ONE_US, out, room), 6);
        assert_memory_equal(out, "201908", room);
        assert_int_equal(out[room], '#');
    }
}

int main(void)
{
    const struct CMUnitTest patterns[] = {
        cmocka_unit_test(each_letter_has_its_meaning),
        cmocka_unit_test(years_far_away_are_those_of_an_era),
        cmocka_unit_test(what_there_is_not_is_refused_where_it_stands),
        cmocka_unit_test(no_more_is_written_than_there_is_room_for),
    };

    return cmocka_run_group_tests_name("patterns of times", patterns, NULL, NULL);
}
