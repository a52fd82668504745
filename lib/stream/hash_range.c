/* Ranges of hash keys, both ends inclusive, because 2^128 itself does not fit a hash key.
 *
 * Equal shards are made as the service makes them: all of width floor(2^128 / count), and the last one takes the
 * rest, less than `count` keys more. */
#include "stream/stream.h"

#include <assert.h>

#include "base/u128.h"

lsi_hash_range lsi_hash_range_of(uint32_t index, uint32_t count)
{
    ls_hash_key width;
    lsi_hash_range range = {{0, 0}, LSI_U128_MAX};

    assert(index < count);
    if (count == 1) /* The width would be 2^128. */
        return range;
    width = lsi_u128_whole_divided_by(count);
    range.first = lsi_u128_multiply(width, index);
    if (index + 1 < count)
        range.last = lsi_u128_subtract(lsi_u128_add(range.first, width), (ls_hash_key){0, 1});
    return range;
}

ls_hash_key lsi_hash_range_middle(lsi_hash_range range)
{
    ls_hash_key width = lsi_u128_subtract(range.last, range.first);
    ls_hash_key half = {width.high >> 1, width.high << 63 | width.low >> 1};

    return lsi_u128_add(lsi_u128_add(range.first, half), (ls_hash_key){0, 1});
}

bool lsi_hash_range_contains(lsi_hash_range range, ls_hash_key key)
{
    return lsi_u128_compare(range.first, key) <= 0 && lsi_u128_compare(key, range.last) <= 0;
}
