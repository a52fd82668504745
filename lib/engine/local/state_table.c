/* Named values in order of their names: what replaying a stream's state log has given so far.
 *
 * A sorted array of pointers. Names come nearly in order, since shards are born in order and a snapshot is written in
 * order, so an insertion is mostly at the end; looking is a binary search. */
#include "engine/local/state.h"

#include <string.h>

#include "base/bytes.h"

static int compare(ls_bytes a, ls_bytes b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

size_t lsi_state_table_at(const lsi_state_table *table, ls_bytes key)
{
    size_t low = 0, high = table->count;

    if (high > 0 && compare(lsi_state_key(table->entries[high - 1]), key) < 0)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(lsi_state_key(table->entries[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const lsi_state_table_entry *lsi_state_table_find(const lsi_state_table *table, ls_bytes key)
{
    size_t at = lsi_state_table_at(table, key);

    return at < table->count && compare(lsi_state_key(table->entries[at]), key) == 0 ? table->entries[at] : NULL;
}

static uint64_t cost(ls_bytes key, ls_bytes value)
{
    return LSI_STATE_RECORD_BYTES + LSI_STATE_VERSION_BYTES + key.size + value.size;
}

static void take_out(lsi_state_table *table, size_t at)
{
    lsi_state_table_entry *entry = table->entries[at];

    table->live_bytes -= cost(lsi_state_key(entry), lsi_state_value(entry));
    lsi_free(table->memory, entry);
    table->count--;
    memmove(&table->entries[at], &table->entries[at + 1], (table->count - at) * sizeof(*table->entries));
}

bool lsi_state_table_set(lsi_state_table *table, ls_bytes key, uint64_t version, ls_bytes value)
{
    size_t at = lsi_state_table_at(table, key);
    bool is_there = at < table->count && compare(lsi_state_key(table->entries[at]), key) == 0;
    lsi_state_table_entry *entry;

    if (value.size == 0) {
        if (is_there)
            take_out(table, at);
        return true;
    }
    entry = lsi_alloc(table->memory, sizeof(*entry) + key.size + LSI_STATE_VERSION_BYTES + value.size);
    if (entry == NULL)
        return false;
    if (!is_there && !lsi_grow(table->memory, (void **)&table->entries, &table->capacity, table->count + 1,
                               sizeof(*table->entries))) {
        lsi_free(table->memory, entry);
        return false;
    }
    entry->version = version;
    entry->key_bytes = (uint32_t)key.size;
    entry->value_bytes = (uint32_t)value.size;
    memcpy(entry->bytes, key.data, key.size);
    lsi_write_u64le(entry->bytes + key.size, version);
    memcpy(entry->bytes + key.size + LSI_STATE_VERSION_BYTES, value.data, value.size);
    if (is_there)
        take_out(table, at);
    memmove(&table->entries[at + 1], &table->entries[at], (table->count - at) * sizeof(*table->entries));
    table->entries[at] = entry;
    table->count++;
    table->live_bytes += cost(key, value);
    return true;
}

void lsi_state_table_free(lsi_state_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        lsi_free(table->memory, table->entries[i]);
    lsi_free(table->memory, table->entries);
    *table = (lsi_state_table){.memory = table->memory};
}
