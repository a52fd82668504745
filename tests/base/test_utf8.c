/* base/utf8.h, judged by a second decoder that works from values instead of byte ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

/* The bytes of a code point by RFC 3629 section 3, without any check. */
static size_t encode(uint32_t point, unsigned char out[4])
{
    if (point < 0x80) {
        out[0] = (unsigned char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (unsigned char)(0xc0 | point >> 6);
        out[1] = (unsigned char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (unsigned char)(0xe0 | point >> 12);
        out[1] = (unsigned char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (unsigned char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (unsigned char)(0xf0 | point >> 18);
    out[1] = (unsigned char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (unsigned char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (unsigned char)(0x80 | (point & 0x3f));
    return 4;
}

/* Goal: every code point but the surrogates is one, up to U+10FFFF. Method: all of them, and beyond. */
static void every_code_point_counts_once(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x140000; point++) {
        unsigned char bytes[4];
        size_t size = encode(point, bytes);
        bool is_valid = point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);

        if (lsi_utf8_count(bytes, size) != (is_valid ? 1 : LSI_UTF8_BAD) ||
            lsi_utf8_first(bytes, size) != (is_valid ? size : 0))
            fail_msg("U+%04X", point);
    }
}

/* Goal: no overlong or cut form. Method: every two bytes, and every three that begin alike, are valid exactly when
 * decoding and encoding again gives the same bytes. */
static void only_the_shortest_form_is_valid(void **state)
{
    (void)state;
    for (uint32_t first = 0; first < 256; first++) {
        for (uint32_t second = 0; second < 256; second++) {
            unsigned char bytes[3] = {(unsigned char)first, (unsigned char)second, 0x80};
            unsigned char again[4];
            uint32_t two = (first & 0x1f) << 6 | (second & 0x3f);
            uint32_t three = (first & 0x0f) << 12 | (second & 0x3f) << 6;
            bool two_valid = encode(two, again) == 2 && memcmp(again, bytes, 2) == 0;
            bool three_valid = encode(three, again) == 3 && memcmp(again, bytes, 3) == 0 &&
                               (three < 0xd800 || three > 0xdfff);
            size_t wanted = first < 0x80 ? 1 : two_valid ? 2 : three_valid ? 3 : 0;

            if (lsi_utf8_first(bytes, 3) != wanted)
                fail_msg("%02x %02x 80", first, second);
        }
    }
}

static void a_cut_code_point_is_bad(void **state)
{
    (void)state;
    assert_true(lsi_utf8_count("\xc3", 1) == LSI_UTF8_BAD);
    assert_true(lsi_utf8_count("\xe2\x82", 2) == LSI_UTF8_BAD);
    assert_true(lsi_utf8_count("abcdefgh\xf0\x9f\x98", 11) == LSI_UTF8_BAD);
}

/* Goal: the fast path for ASCII sees a byte above 0x7f at every place. Method: every length to 40 with a good and a bad
 * one at every place, at every alignment of the text's start. */
static void other_bytes_are_seen_at_every_place(void **state)
{
    char text[64];

    (void)state;
    for (size_t start = 0; start < 8; start++) {
        for (size_t size = 2; size <= 40; size++) {
            for (size_t at = 0; at + 1 < size; at++) {
                memset(text, 'a', sizeof text);
                memcpy(text + start + at, "\xc3\xa4", 2);
                assert_int_equal(lsi_utf8_count(text + start, size), size - 1);
                text[start + at] = '\x80';
                assert_true(lsi_utf8_count(text + start, size) == LSI_UTF8_BAD);
            }
        }
    }
}

static void nothing_has_no_code_points(void **state)
{
    (void)state;
    assert_int_equal(lsi_utf8_count(NULL, 0), 0);
    assert_int_equal(lsi_utf8_first(NULL, 0), 0);
}

static void u0000_is_a_code_point(void **state)
{
    (void)state;
    assert_int_equal(lsi_utf8_count("a\0b", 3), 3);
}

/* Goal: C0, DEL and C1, and nothing beside them. */
static void controls_are_told(void **state)
{
    (void)state;
    for (int byte = 0; byte < 0x80; byte++)
        assert_int_equal(lsi_utf8_is_control((char[2]){(char)byte, '\0'}), byte < 0x20 || byte == 0x7f);
    assert_true(lsi_utf8_is_control("\xc2\x80"));
    assert_true(lsi_utf8_is_control("\xc2\x9f"));
    assert_false(lsi_utf8_is_control("\xc2\xa0"));
    assert_false(lsi_utf8_is_control("\xc3\x85"));
}

int main(void)
{
    const struct CMUnitTest what_is_utf8[] = {
        cmocka_unit_test(every_code_point_counts_once),
        cmocka_unit_test(only_the_shortest_form_is_valid),
        cmocka_unit_test(a_cut_code_point_is_bad),
        cmocka_unit_test(other_bytes_are_seen_at_every_place),
        cmocka_unit_test(nothing_has_no_code_points),
        cmocka_unit_test(u0000_is_a_code_point),
        cmocka_unit_test(controls_are_told),
    };

    return cmocka_run_group_tests(what_is_utf8, NULL, NULL);
}
