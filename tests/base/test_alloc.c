/* base/alloc.h: memory through a function that may be the application's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"

/* An application's allocator: counts blocks and refuses when told. Fresh memory is dirty, so that clearing shows. */
typedef struct counting {
    size_t blocks;
    size_t frees;
    bool refuses;
} counting;

static void *counting_resize(void *user, void *old, size_t bytes)
{
    counting *c = user;
    void *p;

    if (bytes == 0) {
        c->blocks -= old != NULL;
        c->frees++;
        free(old);
        return NULL;
    }
    if (c->refuses)
        return NULL;
    p = realloc(old, bytes);
    assert_non_null(p);
    if (old == NULL) {
        memset(p, 0xa5, bytes);
        c->blocks++;
    }
    return p;
}

/* Goal: 0 bytes give a pointer, from each call. */
static void no_bytes_give_a_pointer(void **state)
{
    counting c = {0, 0, false};
    lsi_memory memory = {counting_resize, &c};
    void *a = lsi_alloc(&memory, 0);
    void *b = lsi_alloc_zero(&memory, 0);

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    a = lsi_resize(&memory, a, 0);
    assert_non_null(a);
    assert_int_equal(c.blocks, 2);
    lsi_free(&memory, a);
    lsi_free(&memory, b);
    assert_int_equal(c.blocks, 0);
}

/* Goal: alloc_zero clears what the allocator left in it. */
static void cleared_memory_is_zero(void **state)
{
    counting c = {0, 0, false};
    lsi_memory memory = {counting_resize, &c};
    unsigned char *p = lsi_alloc_zero(&memory, 100);

    (void)state;
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    lsi_free(&memory, p);
}

/* Goal: freeing NULL does not even reach the allocator. */
static void freeing_null_does_nothing(void **state)
{
    counting c = {0, 0, false};
    lsi_memory memory = {counting_resize, &c};

    (void)state;
    lsi_free(&memory, NULL);
    assert_int_equal(c.frees, 0);
}

static void a_text_is_copied_with_its_end(void **state)
{
    char text[] = "orders";
    char *copy = lsi_strdup(&lsi_memory_libc, text);

    (void)state;
    text[0] = 'x';
    assert_string_equal(copy, "orders");
    lsi_free(&lsi_memory_libc, copy);
}

/* Goal: growth keeps what is there, holds what was wanted, and costs few steps. Method: one element at a time. */
static void an_array_grows_by_doubling(void **state)
{
    counting c = {0, 0, false};
    lsi_memory memory = {counting_resize, &c};
    uint64_t *array = NULL;
    size_t capacity = 0;
    size_t steps = 0;

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        size_t before = capacity;

        assert_true(lsi_grow(&memory, (void **)&array, &capacity, i + 1, sizeof *array));
        assert_true(capacity > i);
        steps += capacity != before;
        array[i] = i;
    }
    assert_true(steps <= 8);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(array[i], i);
    lsi_free(&memory, array);
}

/* Goal: without memory, or for a size that no number holds, growth changes nothing. */
static void a_failed_growth_changes_nothing(void **state)
{
    counting c = {0, 0, false};
    lsi_memory memory = {counting_resize, &c};
    uint64_t *array = NULL;
    uint64_t *before;
    size_t capacity = 0;
    size_t capacity_before;

    (void)state;
    assert_true(lsi_grow(&memory, (void **)&array, &capacity, 3, sizeof *array));
    array[2] = 42;
    before = array;
    capacity_before = capacity;
    assert_false(lsi_grow(&memory, (void **)&array, &capacity, SIZE_MAX, sizeof *array));
    assert_false(lsi_grow(&memory, (void **)&array, &capacity, SIZE_MAX / 8 + 2, sizeof *array));
    c.refuses = true;
    assert_false(lsi_grow(&memory, (void **)&array, &capacity, capacity + 1, sizeof *array));
    assert_ptr_equal(array, before);
    assert_int_equal(capacity, capacity_before);
    assert_int_equal(array[2], 42);
    lsi_free(&memory, array);
    assert_int_equal(c.blocks, 0);
}

/* Goal: NULL, and nothing else, says "no memory". */
static void a_refusal_is_passed_on(void **state)
{
    counting c = {0, 0, true};
    lsi_memory memory = {counting_resize, &c};

    (void)state;
    assert_null(lsi_alloc(&memory, 1));
    assert_null(lsi_alloc_zero(&memory, 1));
    assert_null(lsi_strdup(&memory, "x"));
}

int main(void)
{
    const struct CMUnitTest memory_by_way_of_the_application[] = {
        cmocka_unit_test(no_bytes_give_a_pointer),
        cmocka_unit_test(cleared_memory_is_zero),
        cmocka_unit_test(freeing_null_does_nothing),
        cmocka_unit_test(a_text_is_copied_with_its_end),
        cmocka_unit_test(an_array_grows_by_doubling),
        cmocka_unit_test(a_failed_growth_changes_nothing),
        cmocka_unit_test(a_refusal_is_passed_on),
    };

    return cmocka_run_group_tests(memory_by_way_of_the_application, NULL, NULL);
}
