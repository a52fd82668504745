/* base/search.h: what is found in arrays of any length, next to looking at each of their items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/search.h"

#define COUNT_MAX 20u

typedef struct item {
    uint32_t number;
    unsigned char more[9];
} item;

static void each_number_is_where_it_is_or_belongs(void **state)
{
    item items[COUNT_MAX] = {{0}};

    (void)state;
    for (uint32_t i = 0; i < COUNT_MAX; i++)
        items[i].number = 3 * i + 2;
    items[COUNT_MAX - 1].number = UINT32_MAX;
    for (uint32_t count = 0; count <= COUNT_MAX; count++)
        for (uint32_t n = 0; n <= 3 * COUNT_MAX + 2; n++) {
            uint32_t number = n <= 3 * COUNT_MAX ? n : UINT32_MAX - (n & 1);
            const item *found = NULL;
            size_t place = 0;

            for (uint32_t i = 0; i < count; i++) {
                place += items[i].number < number;
                found = items[i].number == number ? &items[i] : found;
            }
            assert_int_equal(lsi_place_u32(items, count, sizeof(item), number), place);
            assert_ptr_equal(lsi_find_u32(items, count, sizeof(item), number), found);
        }
    assert_null(lsi_find_u32(NULL, 0, sizeof(item), 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_is_where_it_is_or_belongs),
    };

    return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
