/* base/u128.h: arithmetic at the carries, and text both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/u128.h"

static void assert_equal(ls_hash_key a, uint64_t high, uint64_t low)
{
    assert_true(a.high == high);
    assert_true(a.low == low);
}

static void the_high_word_decides_the_order(void **state)
{
    ls_hash_key small = {1, UINT64_MAX}, large = {2, 0};

    (void)state;
    assert_true(lsi_u128_compare(small, large) < 0);
    assert_true(lsi_u128_compare(large, small) > 0);
    assert_true(lsi_u128_compare((ls_hash_key){1, 1}, (ls_hash_key){1, 2}) < 0);
    assert_int_equal(lsi_u128_compare(small, small), 0);
}

static void sums_carry_and_wrap(void **state)
{
    ls_hash_key one = {0, 1};

    (void)state;
    assert_equal(lsi_u128_add((ls_hash_key){0, UINT64_MAX}, one), 1, 0);
    assert_equal(lsi_u128_add(LSI_U128_MAX, one), 0, 0);
    assert_equal(lsi_u128_add((ls_hash_key){1, 2}, (ls_hash_key){3, 4}), 4, 6);
    assert_equal(lsi_u128_subtract((ls_hash_key){1, 0}, one), 0, UINT64_MAX);
    assert_equal(lsi_u128_subtract((ls_hash_key){0, 0}, one), UINT64_MAX, UINT64_MAX);
}

/* Goal: every partial product and carry counts. Method: products known by algebra and by Python. */
static void products_are_modulo_2_to_the_128(void **state)
{
    (void)state;
    assert_equal(lsi_u128_multiply((ls_hash_key){0, UINT64_MAX}, UINT64_MAX), UINT64_MAX - 1, 1);
    assert_equal(lsi_u128_multiply(LSI_U128_MAX, UINT64_MAX), UINT64_MAX, 1);
    assert_equal(lsi_u128_multiply((ls_hash_key){0, UINT64_C(0x123456789abcdef0)}, UINT64_C(0xfedcba9876543210)),
                 UINT64_C(0x121fa00ad77d7422), UINT64_C(0x236d88fe5618cf00));
    assert_equal(lsi_u128_multiply((ls_hash_key){7, 0}, 3), 21, 0);
    assert_equal(lsi_u128_multiply(LSI_U128_MAX, 0), 0, 0);
}

/* Goal: quotients of 2^128, with a divisor that makes the rest need a 65th bit. Method: Python's. */
static void the_whole_is_divided_rounding_down(void **state)
{
    (void)state;
    assert_equal(lsi_u128_whole_divided_by(2), UINT64_C(0x8000000000000000), 0);
    assert_equal(lsi_u128_whole_divided_by(3), UINT64_C(0x5555555555555555), UINT64_C(0x5555555555555555));
    assert_equal(lsi_u128_whole_divided_by(7), UINT64_C(0x2492492492492492), UINT64_C(0x4924924924924924));
    assert_equal(lsi_u128_whole_divided_by(65535), UINT64_C(0x0001000100010001), UINT64_C(0x0001000100010001));
    assert_equal(lsi_u128_whole_divided_by(65536), UINT64_C(0x0001000000000000), 0);
    assert_equal(lsi_u128_whole_divided_by(1000000007), UINT64_C(0x44b82f988), UINT64_C(0x95147f23df9f377d));
    assert_equal(lsi_u128_whole_divided_by(UINT64_MAX), 1, 1);
}

/* Goal: text and number are each other's. Method: the borders of digits and words, and every power of ten beside its
 * neighbour below. */
static void decimal_text_goes_both_ways(void **state)
{
    static const char *const texts[] = {
        "0", "9", "10", "999999999", "1000000000", "18446744073709551615", "18446744073709551616",
        "113427455640312821154458202477256070485", "340282366920938463463374607431768211455",
    };
    char text[LSI_U128_TEXT_BYTES];
    ls_hash_key n;
    ls_hash_key power = {0, 1};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_true(lsi_u128_from_decimal(texts[i], strlen(texts[i]), &n));
        lsi_u128_to_decimal(n, text);
        assert_string_equal(text, texts[i]);
    }
    for (size_t zeros = 0; zeros <= 38; zeros++) {
        lsi_u128_to_decimal(power, text);
        assert_int_equal(strlen(text), zeros + 1);
        assert_int_equal(text[0], '1');
        assert_int_equal(strspn(text + 1, "0"), zeros);
        lsi_u128_to_decimal(lsi_u128_subtract(power, (ls_hash_key){0, 1}), text);
        if (zeros > 0)
            assert_int_equal(strspn(text, "9"), zeros);
        power = lsi_u128_multiply(power, 10);
    }
    assert_true(lsi_u128_from_decimal("18446744073709551616", 20, &n));
    assert_equal(n, 1, 0);
    assert_true(lsi_u128_from_decimal("340282366920938463463374607431768211455", 39, &n));
    assert_equal(n, UINT64_MAX, UINT64_MAX);
}

/* Goal: what Kinesis's pattern does not match, and 2^128 and above, is refused and leaves the result alone. */
static void other_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "", "00", "01", "-1", "+1", " 1", "1 ", "1x", "0x1", "1.0", "340282366920938463463374607431768211456",
        "340282366920938463463374607431768211460", "999999999999999999999999999999999999999",
        "1000000000000000000000000000000000000000",
    };
    ls_hash_key n = {5, 6};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (lsi_u128_from_decimal(texts[i], strlen(texts[i]), &n))
            fail_msg("'%s' was taken", texts[i]);
    assert_equal(n, 5, 6);
}

/* Goal: the text's end is its size, not a terminator. */
static void no_byte_after_the_size_is_read(void **state)
{
    ls_hash_key n;

    (void)state;
    assert_true(lsi_u128_from_decimal("123", 2, &n));
    assert_equal(n, 0, 12);
}

int main(void)
{
    const struct CMUnitTest numbers_of_128_bits[] = {
        cmocka_unit_test(the_high_word_decides_the_order),
        cmocka_unit_test(sums_carry_and_wrap),
        cmocka_unit_test(products_are_modulo_2_to_the_128),
        cmocka_unit_test(the_whole_is_divided_rounding_down),
        cmocka_unit_test(decimal_text_goes_both_ways),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(no_byte_after_the_size_is_read),
    };

    return cmocka_run_group_tests(numbers_of_128_bits, NULL, NULL);
}
