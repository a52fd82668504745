/* base/bytes.h: fields in buffers, and cursors that cannot leave theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

/* Goal: fields are little-endian, whatever the alignment. */
static void fields_are_little_endian(void **state)
{
    unsigned char bytes[9] = {0};

    (void)state;
    lsi_write_u64le(bytes + 1, UINT64_C(0x0807060504030201));
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(bytes[i + 1], i + 1);
    assert_true(lsi_read_u64le(bytes + 1) == UINT64_C(0x0807060504030201));
    assert_int_equal(lsi_read_u32le(bytes + 1), 0x04030201);
    assert_int_equal(lsi_read_u16le(bytes + 1), 0x0201);
}

/* Goal: zero means every byte. Method: every length to 40, with one set bit at every place and just past the end. */
static void a_single_bit_is_seen_at_every_place(void **state)
{
    unsigned char bytes[41] = {0};

    (void)state;
    for (size_t size = 0; size <= 40; size++) {
        bytes[size] = 1;
        assert_true(lsi_is_zero(bytes, size));
        bytes[size] = 0;
        for (size_t at = 0; at < size; at++) {
            bytes[at] = 0x80;
            assert_false(lsi_is_zero(bytes, size));
            bytes[at] = 0;
        }
    }
}

static void rounding_goes_up_to_the_unit(void **state)
{
    (void)state;
    assert_int_equal(lsi_round_up(0, 8), 0);
    assert_int_equal(lsi_round_up(1, 8), 8);
    assert_int_equal(lsi_round_up(8, 8), 8);
    assert_int_equal(lsi_round_up(4097, 4096), 8192);
}

/* Goal: what the writer wrote is what the cursor reads, and both end at the end. */
static void what_is_put_is_taken(void **state)
{
    unsigned char bytes[24];
    lsi_writer to = {bytes, bytes + sizeof bytes};
    lsi_cursor from = {bytes, bytes + sizeof bytes, false};

    (void)state;
    memset(bytes, 0xff, sizeof bytes);
    lsi_put_u8(&to, 0x11);
    lsi_put_u16(&to, 0x2233);
    lsi_put_u32(&to, 0x44556677);
    lsi_put_u64(&to, UINT64_C(0x8899aabbccddeeff));
    lsi_put_bytes(&to, "name", 4);
    lsi_put_bytes(&to, NULL, 0);
    lsi_put_zero(&to, 5);
    assert_ptr_equal(to.at, to.end);
    assert_int_equal(lsi_take_u8(&from), 0x11);
    assert_int_equal(lsi_take_u16(&from), 0x2233);
    assert_int_equal(lsi_take_u32(&from), 0x44556677);
    assert_true(lsi_take_u64(&from) == UINT64_C(0x8899aabbccddeeff));
    assert_memory_equal(lsi_take_bytes(&from, 4), "name", 4);
    assert_true(lsi_is_zero(lsi_take_bytes(&from, 5), 5));
    assert_ptr_equal(from.at, from.end);
    assert_false(from.bad);
}

/* Goal: a field that is not whole is zero and bad, the cursor stays, and bad stays bad. Method: cut before each field
 * size's last byte. */
static void past_the_end_is_zero_and_bad(void **state)
{
    unsigned char bytes[8];

    (void)state;
    memset(bytes, 0xff, sizeof bytes);
    for (size_t size = 1; size <= 8; size *= 2) {
        lsi_cursor from = {bytes, bytes + size - 1, false};
        uint64_t got = size == 1   ? lsi_take_u8(&from)
                       : size == 2 ? lsi_take_u16(&from)
                       : size == 4 ? lsi_take_u32(&from)
                                   : lsi_take_u64(&from);

        assert_true(got == 0);
        assert_true(from.bad);
        assert_ptr_equal(from.at, bytes);
        if (size > 1)
            assert_int_equal(lsi_take_u8(&from), 0); /* There is a byte, but the structure is already bad. */
    }
}

/* Goal: a size from disk that is near the largest number cannot wrap the check. */
static void an_enormous_size_is_past_the_end(void **state)
{
    unsigned char bytes[8] = {0};
    lsi_cursor from = {bytes + 4, bytes + 8, false};

    (void)state;
    assert_null(lsi_take_bytes(&from, SIZE_MAX));
    assert_true(from.bad);
}

int main(void)
{
    const struct CMUnitTest fields_and_cursors[] = {
        cmocka_unit_test(fields_are_little_endian),
        cmocka_unit_test(a_single_bit_is_seen_at_every_place),
        cmocka_unit_test(rounding_goes_up_to_the_unit),
        cmocka_unit_test(what_is_put_is_taken),
        cmocka_unit_test(past_the_end_is_zero_and_bad),
        cmocka_unit_test(an_enormous_size_is_past_the_end),
    };

    return cmocka_run_group_tests(fields_and_cursors, NULL, NULL);
}
