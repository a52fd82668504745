/* base/iso_time.h: known times, and every day of eight hundred years against the C library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/iso_time.h"

static void known_times_are_as_documents_show_them(void **state)
{
    static const struct {
        int64_t us;
        const char *text, *text_ms;
    } known[] = {
        {0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"},
        {INT64_C(1607497440000000), "2020-12-09T07:04:00Z", "2020-12-09T07:04:00.000Z"},
        {INT64_C(1573691886021999), "2019-11-14T00:38:06Z", "2019-11-14T00:38:06.021Z"},
        {-1, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.999Z"},
        {INT64_C(951782400000000), "2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z"},
        {INT64_C(253402300800000000), "+10000-01-01T00:00:00Z", "+10000-01-01T00:00:00.000Z"},
        {INT64_MAX, "+294247-01-10T04:00:54Z", "+294247-01-10T04:00:54.775Z"},
        {INT64_MIN, "-290308-12-21T19:59:05Z", "-290308-12-21T19:59:05.224Z"},
    };
    char text[LSI_ISO_TIME_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        lsi_iso_time(known[i].us, text);
        assert_string_equal(text, known[i].text);
        lsi_iso_time_ms(known[i].us, text);
        assert_string_equal(text, known[i].text_ms);
    }
}

static void check_parts(lsi_civil got, const struct tm *wanted)
{
    char text[16];

    assert_int_equal(got.year, wanted->tm_year + 1900);
    assert_int_equal(got.month, wanted->tm_mon + 1);
    assert_int_equal(got.day, wanted->tm_mday);
    assert_int_equal(got.day_of_year, wanted->tm_yday + 1);
    assert_int_equal(got.weekday, wanted->tm_wday);
    assert_int_equal(got.hour, wanted->tm_hour);
    assert_int_equal(got.minute, wanted->tm_min);
    assert_int_equal(got.second, wanted->tm_sec);
    assert_int_equal(got.us, 999999);
    assert_true(strftime(text, sizeof text, "%a", wanted) > 0);
    assert_string_equal(lsi_weekday_name(got.weekday), text);
    assert_true(strftime(text, sizeof text, "%b", wanted) > 0);
    assert_string_equal(lsi_month_name(got.month), text);
}

static void every_day_is_the_c_librarys(void **state)
{
    (void)state;
    for (int64_t day = -146097; day <= 146097; day++) {
        int64_t second = day * 86400 + ((day * 7919 % 86400) + 86400) % 86400;
        time_t when = (time_t)second;
        char text[LSI_ISO_TIME_BYTES], expected[LSI_ISO_TIME_BYTES];
        struct tm parts;
        int64_t ms;

        assert_non_null(gmtime_r(&when, &parts));
        assert_true(strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &parts) > 0);
        lsi_iso_time(second * 1000000, text);
        assert_string_equal(text, expected);
        assert_true(lsi_iso_time_read(text, strlen(text), &ms)); /* and back */
        assert_int_equal(ms, second * 1000);
        check_parts(lsi_civil_of(second * 1000000 + 999999), &parts);
    }
}

static void times_are_read_in_all_their_forms(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } known[] = {
        {"2020-12-30T12:13:14.123", INT64_C(1609330394123)},
        {"2020-12-30 12:13:14.123", INT64_C(1609330394123)},
        {"2020-12-30T12:13:14.123999Z", INT64_C(1609330394123)},
        {"2020-12-30t12:13:14,1z", INT64_C(1609330394100)},
        {"2020-12-30T14:13:14.123+02:00", INT64_C(1609330394123)},
        {"2020-12-30T10:43:14.123-0130", INT64_C(1609330394123)},
        {"2020-12-30T13:13:14+01", INT64_C(1609330394000)},
        {"2020-12-30T12:13", INT64_C(1609330380000)},
        {"2020-12-30", INT64_C(1609286400000)},
        {"1969-12-31T23:59:59.999", -1},
        {"0000-02-29T00:00:00Z", INT64_C(-62162121600000)},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
    };
    static const char *const bad[] = {
        "", "2020", "2020-12", "2020-12-3", "2020-13-01", "2020-00-01", "2020-02-30", "2019-02-29", "2020-12-00",
        "2020-12-32", "2020-12-30T", "2020-12-30T1:00", "2020-12-30T24:00", "2020-12-30T12:60", "2020-12-30T12:00:60",
        "2020-12-30T12:00:00.", "2020-12-30T12:00:00.Z", "2020-12-30T12:00:00Zx", "2020-12-30T12:00:00+",
        "2020-12-30T12:00:00+24:00", "2020-12-30T12:00:00+00:60", "2020-12-30T12:00:00+1", "2020-12-30T12:00:00+01:",
        "2020-12-30X12:00", "2020/12/30", "-020-12-30", " 2020-12-30", "2020-12-30T12:00:00 Z", "12/30/2020 12:00",
        "2020-12-30T12", "2020-12-30T12:00:0", "20201230T120000Z", "2020-x2-30",
        "2020-12-30T12:x0", "2020-12-30T12:00:00.+",
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        int64_t ms = 0;

        assert_true(lsi_iso_time_read(known[i].text, strlen(known[i].text), &ms));
        assert_int_equal(ms, known[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms = 0;

        if (lsi_iso_time_read(bad[i], strlen(bad[i]), &ms))
            fail_msg("'%s' is no time", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times_are_as_documents_show_them),
        cmocka_unit_test(every_day_is_the_c_librarys),
        cmocka_unit_test(times_are_read_in_all_their_forms),
    };

    return cmocka_run_group_tests_name("times in documents", tests, NULL, NULL);
}
