/* Finding by number in arrays that rise by it: shards, and what is kept for each of them. */
#ifndef LSI_BASE_SEARCH_H
#define LSI_BASE_SEARCH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t lsi_number_at(const void *items, size_t item_bytes, size_t at)
{
    uint32_t number;

    memcpy(&number, (const unsigned char *)items + at * item_bytes, sizeof(number));
    return number;
}

/* The place of the first of `items` [count] whose number, its first field, is not below `number`; `count`: of none. */
static inline size_t lsi_place_u32(const void *items, size_t count, size_t item_bytes, uint32_t number)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (lsi_number_at(items, item_bytes, middle) < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The item of that number. NULL: there is none. */
static inline const void *lsi_find_u32(const void *items, size_t count, size_t item_bytes, uint32_t number)
{
    size_t at = lsi_place_u32(items, count, item_bytes, number);

    return at < count && lsi_number_at(items, item_bytes, at) == number
               ? (const unsigned char *)items + at * item_bytes : NULL;
}

#endif
