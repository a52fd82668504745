/* deliver/marks.h beside an array of bools: random additions and forgetting, and bytes both ways, which any may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "deliver/marks.h"

#define SPAN 2000u

static uint64_t the_random = 88172645463325252;

static uint32_t pick(uint32_t below)
{
    the_random ^= the_random << 13;
    the_random ^= the_random >> 7;
    the_random ^= the_random << 17;
    return (uint32_t)(the_random >> 33) % below;
}

static void compare(const lsi_marks *marks, const bool *truth, uint64_t from, uint64_t shift)
{
    for (uint64_t at = from; at < SPAN + 200; at++)
        assert_int_equal(lsi_marks_has(marks, shift + at), at < SPAN && truth[at]);
}

/* What is written and read again is the same, also when it is counted from elsewhere then. */
static void go_and_come_back(const lsi_marks *marks, const bool *truth, uint64_t from, uint64_t shift)
{
    size_t size = lsi_marks_bytes(marks, shift + from);
    unsigned char *bytes = malloc(size + 1);
    lsi_writer to = {bytes, bytes + size};
    lsi_marks again;
    bool is_bad;

    lsi_marks_init(&again, &lsi_memory_libc);
    lsi_marks_write(marks, shift + from, &to);
    assert_ptr_equal(to.at, to.end);
    assert_true(lsi_marks_read(&again, from, bytes, size, &is_bad));
    assert_false(is_bad);
    compare(&again, truth, from, 0);
    lsi_marks_free(&again);
    free(bytes);
}

static void it_is_the_set_that_was_made(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        uint64_t below = 0, shift = pick(1000);
        bool truth[SPAN] = {false};
        lsi_marks marks;

        lsi_marks_init(&marks, &lsi_memory_libc);
        for (int step = 0; step < 40; step++) {
            uint64_t from = below + pick((uint32_t)(SPAN - below)), most = SPAN - from;
            uint64_t to = from + pick((uint32_t)(pick(4) == 0 || most < 10 ? most : 10) + 1);

            assert_true(lsi_marks_add(&marks, shift + from, shift + to));
            for (uint64_t at = from; at < to; at++)
                truth[at] = true;
            if (pick(5) == 0) {
                below += pick((uint32_t)(SPAN - below) / 4);
                lsi_marks_forget(&marks, shift + below);
            }
            compare(&marks, truth, below, shift);
            go_and_come_back(&marks, truth, below, shift);
        }
        lsi_marks_free(&marks);
    }
}

static void a_prefix_costs_nothing(void **state)
{
    lsi_marks marks;

    (void)state;
    lsi_marks_init(&marks, &lsi_memory_libc);
    for (uint64_t at = 0; at < 1000000; at++) {
        assert_true(lsi_marks_add(&marks, at, at + 1));
        lsi_marks_forget(&marks, at + 1);
    }
    assert_true(marks.capacity < 16);
    assert_int_equal(lsi_marks_bytes(&marks, 1000000), 0);
    lsi_marks_free(&marks);
}

static void bytes_that_say_nothing_are_bad(void **state)
{
    static const struct { unsigned char bytes[8]; size_t size; } bad[] = {
        {{5}, 1},                                     /* ends with those that are not in it */
        {{0, 0}, 2}, {{1, 1, 0, 1}, 4},               /* an empty run that is not the first */
        {{0x80}, 1}, {{1, 0x80}, 2},                  /* a number that does not end */
        {{0x80, 0x80, 0x80, 0x80, 0x80, 1, 1}, 7},    /* a long one */
        {{0xff, 0xff, 0xff, 0xff, 0x7f, 1}, 6},       /* a large one */
    };
    lsi_marks marks;
    bool is_bad;

    (void)state;
    lsi_marks_init(&marks, &lsi_memory_libc);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        is_bad = false;
        assert_true(lsi_marks_read(&marks, 0, bad[i].bytes, bad[i].size, &is_bad));
        assert_true(is_bad);
    }
    assert_true(lsi_marks_read(&marks, 0, NULL, 0, &is_bad));
    assert_false(is_bad);
    lsi_marks_free(&marks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_set_that_was_made),
        cmocka_unit_test(a_prefix_costs_nothing),
        cmocka_unit_test(bytes_that_say_nothing_are_bad),
    };

    return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
