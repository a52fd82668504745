/* base/number.h: JSON numbers become the nearest double, in any locale, and are told when they do not survive that. */
#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/number.h"

static double read_kept(const char *text)
{
    double value = NAN;

    if (!lsi_number_read(text, strlen(text), &value))
        fail_msg("%s is not kept", text);
    return value;
}

static double read_lost(const char *text)
{
    double value = NAN;

    if (lsi_number_read(text, strlen(text), &value))
        fail_msg("%s is kept", text);
    return value;
}

static void one_number_has_many_forms(void **state)
{
    static const char *const forms[] = {"300", "300.0", "3.0e2", "3E2", "3e+2", "30000e-2", "0.3e3",
        "300.000000000000000000000"};

    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        assert_true(read_kept(forms[i]) == 300);
    assert_true(read_kept("-300") == -300);
    assert_true(read_kept("0") == 0 && read_kept("-0") == 0 && read_kept("0.000e99") == 0 && read_kept("0e-99999999999999999999") == 0);
    assert_true(read_kept("0.1") == 0.1);
    assert_true(read_kept("1545084650.987") == 1545084650.987);
    assert_true(read_kept("1e300") == 1e300 && read_kept("1e-300") == 1e-300);
}

/* Goal: a number is kept when its digits are the shortest ones of its double, and not when there are too many. */
static void too_many_digits_are_not_kept(void **state)
{
    (void)state;
    assert_true(read_kept("9007199254740992") == 9007199254740992.0);
    assert_true(read_lost("9007199254740993") == 9007199254740992.0);
    assert_true(read_lost("0.1000000000000000055511151231257827") == 0.1);
    assert_true(read_kept("0.30000000000000004") == 0.1 + 0.2);
    assert_true(read_lost("0.30000000000000003") == 0.1 + 0.2);
    assert_true(read_kept("1.7976931348623157e308") == DBL_MAX);
    assert_true(read_kept("2.2250738585072014e-308") == DBL_MIN);
    assert_true(read_kept("5e-324") == 5e-324);
    assert_true(read_lost("4.9e-324") == 5e-324);
}

static void numbers_without_a_double_are_not_kept(void **state)
{
    (void)state;
    assert_true(isinf(read_lost("1e400")) && isinf(read_lost("-1e400")));
    assert_true(isinf(read_lost("1e99999999999999999999999999")));
    assert_true(read_lost("1e-400") == 0);
    assert_true(read_lost("1e-99999999999999999999999999") == 0);
}

/* Goal: digits beyond all that a double can tell apart still round right: just above a halfway point is above it. */
static void very_long_numbers_round_right(void **state)
{
    char text[3000];
    size_t size;

    (void)state;
    size = (size_t)snprintf(text, sizeof text, "9007199254740993.");
    memset(text + size, '0', 2000);
    assert_false(lsi_number_read(text, size + 2000, &(double){0}));
    assert_true(({ double v; (void)lsi_number_read(text, size + 2000, &v); v; }) == 9007199254740992.0);
    text[size + 1999] = '1';
    assert_true(({ double v; (void)lsi_number_read(text, size + 2000, &v); v; }) == 9007199254740994.0);
    memset(text, '9', 2000);
    assert_true(({ double v; (void)lsi_number_read(text, 2000, &v); v; }) == INFINITY);
    memcpy(text + 2000, "e-2000", 6);
    assert_true(({ double v; (void)lsi_number_read(text, 2006, &v); v; }) == 1);
    memset(text, '1', 1);
    memset(text + 1, '0', 1999);
    assert_true(lsi_number_read(text, 2006, &(double){0}));
    assert_true(({ double v; (void)lsi_number_read(text, 2006, &v); v; }) == 0.1);
}

/* Goal: the same as libc, and what the shortest print gives is kept. Method: doubles of random bits. */
static void doubles_come_back(void **state)
{
    uint64_t seed = 0x5eed;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[64];
        double value, read;

        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(&value, &seed, sizeof value);
        if (!isfinite(value))
            continue;
        for (int digits = 1; digits <= 17; digits++) {
            (void)snprintf(text, sizeof text, "%.*e", digits - 1, value);
            if (strtod(text, NULL) == value)
                break;
        }
        if (!lsi_number_read(text, strlen(text), &read) || read != value)
            fail_msg("%s", text);
        (void)snprintf(text, sizeof text, "%.20e", value);
        (void)lsi_number_read(text, strlen(text), &read);
        if (read != strtod(text, NULL))
            fail_msg("%s", text);
    }
}

static void a_decimal_comma_changes_nothing(void **state)
{
    (void)state;
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL && setlocale(LC_NUMERIC, "fr_FR.UTF-8") == NULL)
        skip();
    assert_true(read_kept("0.30000000000000004") == 0.1 + 0.2);
    assert_true(read_kept("1.5e30") == 1.5e30);
    (void)setlocale(LC_NUMERIC, "C");
}

int main(void)
{
    const struct CMUnitTest numbers[] = {
        cmocka_unit_test(one_number_has_many_forms),
        cmocka_unit_test(too_many_digits_are_not_kept),
        cmocka_unit_test(numbers_without_a_double_are_not_kept),
        cmocka_unit_test(very_long_numbers_round_right),
        cmocka_unit_test(doubles_come_back),
        cmocka_unit_test(a_decimal_comma_changes_nothing),
    };

    return cmocka_run_group_tests(numbers, NULL, NULL);
}
