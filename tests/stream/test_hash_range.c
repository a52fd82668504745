/* stream/hash_range.c: equal ranges as the service makes them, and where keys fall in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/u128.h"
#include "stream/stream.h"

static void assert_range(lsi_hash_range range, const char *first, const char *last)
{
    char text[LSI_U128_TEXT_BYTES];

    lsi_u128_to_decimal(range.first, text);
    assert_string_equal(text, first);
    lsi_u128_to_decimal(range.last, text);
    assert_string_equal(text, last);
}

static void ranges_are_those_of_kinesis(void **state)
{
    (void)state;
    assert_range(lsi_hash_range_of(0, 1), "0", "340282366920938463463374607431768211455");
    assert_range(lsi_hash_range_of(0, 2), "0", "170141183460469231731687303715884105727");
    assert_range(lsi_hash_range_of(1, 2), "170141183460469231731687303715884105728",
                 "340282366920938463463374607431768211455");
    assert_range(lsi_hash_range_of(0, 3), "0", "113427455640312821154458202477256070484");
    assert_range(lsi_hash_range_of(1, 3), "113427455640312821154458202477256070485",
                 "226854911280625642308916404954512140969");
    assert_range(lsi_hash_range_of(2, 3), "226854911280625642308916404954512140970",
                 "340282366920938463463374607431768211455");
}

/* Goal: no gap and no overlap, from 0 to 2^128-1, for every count that may be. Method: each range begins one behind the
 * one before; every count to 300, and the largest ones. */
static void ranges_cover_every_key_once(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= LSI_SHARD_COUNT_MAX; count += count < 300 ? 1 : 16309) {
        ls_hash_key next = {0, 0};

        for (uint32_t i = 0; i < count; i++) {
            lsi_hash_range range = lsi_hash_range_of(i, count);

            assert_int_equal(lsi_u128_compare(range.first, next), 0);
            assert_true(lsi_u128_compare(range.first, range.last) <= 0);
            next = lsi_u128_add(range.last, (ls_hash_key){0, 1});
        }
        assert_int_equal(lsi_u128_compare(next, (ls_hash_key){0, 0}), 0);
    }
    assert_range(lsi_hash_range_of(65535, 65536), "340277174624079928635746076935438991360",
                 "340282366920938463463374607431768211455");
}

static void both_ends_belong_to_a_range(void **state)
{
    lsi_hash_range range = {{1, 5}, {2, 7}};

    (void)state;
    assert_true(lsi_hash_range_contains(range, (ls_hash_key){1, 5}));
    assert_true(lsi_hash_range_contains(range, (ls_hash_key){2, 7}));
    assert_true(lsi_hash_range_contains(range, (ls_hash_key){2, 0}));
    assert_false(lsi_hash_range_contains(range, (ls_hash_key){1, 4}));
    assert_false(lsi_hash_range_contains(range, (ls_hash_key){2, 8}));
    assert_false(lsi_hash_range_contains(range, (ls_hash_key){0, 6}));
    assert_false(lsi_hash_range_contains(range, (ls_hash_key){3, 6}));
}

static void assert_place(const char *key, uint32_t index, uint32_t count)
{
    ls_hash_key hash = lsi_hash_partition_key((ls_bytes){key, strlen(key)});

    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(lsi_hash_range_contains(lsi_hash_range_of(i, count), hash), i == index);
}

/* Goal: keys fall where the service puts them. */
static void keys_fall_where_kinesis_puts_them(void **state)
{
    (void)state;
    assert_place("a", 0, 3);
    assert_place("b", 1, 3);
    assert_place("e", 2, 3);
    assert_place("f", 1, 3);
    /* Trap 15. Small numbers as keys, of two shards, all go to the second: surprising, and so. */
    assert_place("1", 1, 2);
    assert_place("2", 1, 2);
    assert_place("3", 1, 2);
    assert_place("4", 1, 2);
}

int main(void)
{
    const struct CMUnitTest ranges_of_keys[] = {
        cmocka_unit_test(ranges_are_those_of_kinesis),
        cmocka_unit_test(ranges_cover_every_key_once),
        cmocka_unit_test(both_ends_belong_to_a_range),
        cmocka_unit_test(keys_fall_where_kinesis_puts_them),
    };

    return cmocka_run_group_tests(ranges_of_keys, NULL, NULL);
}
