/* base/address.h: addresses, blocks, and what is neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"

/* -1: the address is none; -2: the block is none. */
static int is_in(const char *address, const char *block)
{
    lsi_address of_address, of_block;
    uint32_t bits;

    if (!lsi_address_block_parse(block, strlen(block), &of_block, &bits))
        return -2;
    if (!lsi_address_parse(address, strlen(address), &of_address))
        return -1;
    return lsi_address_is_in(&of_address, &of_block, bits);
}

static void addresses_lie_in_their_blocks(void **state)
{
    (void)state;
    assert_int_equal(is_in("10.0.0.0", "10.0.0.0/24"), 1);
    assert_int_equal(is_in("10.0.0.255", "10.0.0.0/24"), 1);
    assert_int_equal(is_in("10.0.1.0", "10.0.0.0/24"), 0);
    assert_int_equal(is_in("10.0.0.1", "10.0.0.77/24"), 1);
    assert_int_equal(is_in("10.0.0.127", "10.0.0.0/25"), 1);
    assert_int_equal(is_in("10.0.0.128", "10.0.0.0/25"), 0);
    assert_int_equal(is_in("255.1.2.3", "0.0.0.0/0"), 1);
    assert_int_equal(is_in("10.0.0.1", "10.0.0.1/32"), 1);
    assert_int_equal(is_in("10.0.0.2", "10.0.0.1/32"), 0);
    assert_int_equal(is_in("2001:db8::ffff", "2001:db8::/32"), 1);
    assert_int_equal(is_in("2001:db9::", "2001:db8::/32"), 0);
    assert_int_equal(is_in("2001:db9::", "2001:db8::/31"), 1);
    assert_int_equal(is_in("::1", "::1/128"), 1);
    assert_int_equal(is_in("::1", "0.0.0.0/0"), 0);
    assert_int_equal(is_in("0.0.0.1", "::/0"), 0);
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const none[] = {"", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1 ", " 10.0.0.1", "localhost",
        "1", ":",
                                       "2001:db8::1%eth0", "10.0.0.1/24", "1:2:3:4:5:6:7:8:9",
                                       "0000000000000000000000000000000000000000000000000::"};

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (is_in(none[i], "0.0.0.0/0") != -1)
            fail_msg("'%s' was taken", none[i]);
    assert_false(lsi_address_parse("10.0.0.1\0x", 10, &(lsi_address){0}));
}

static void what_is_no_block_is_refused(void **state)
{
    static const char *const none[] = {"", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/ 8",
        "10.0.0.0/0008",
                                       "10.0.0.0/8/8", "::/129", "x/8", "10.0.0.0/255.0.0.0", "10.0.0.0/2x"};

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (is_in("10.0.0.0", none[i]) != -2)
            fail_msg("'%s' was taken", none[i]);
}

int main(void)
{
    const struct CMUnitTest addresses[] = {
        cmocka_unit_test(addresses_lie_in_their_blocks),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(what_is_no_block_is_refused),
    };

    return cmocka_run_group_tests(addresses, NULL, NULL);
}
