/* What the application makes of some records of a shard: a verdict for each, given once; what it says is copied into
 * one arena, which is used again for the next. */
#include "deliver/inside.h"

#include <string.h>

void lsi_transform_init(ls_transform *batch, const lsi_env *env, lsi_engine_stream *stream)
{
    *batch = (ls_transform){.memory = &env->memory, .env = env, .stream = stream,
                            .event = {.memory = &env->memory}};
}

void lsi_transform_free(ls_transform *batch)
{
    lsi_transform_free_documents(batch);
    lsi_free(batch->memory, batch->items);
    lsi_free(batch->memory, batch->arena);
    lsi_free(batch->memory, batch->keys);
}

ls_status lsi_transform_begin(ls_transform *batch, const ls_record *const *records, size_t count, uint32_t attempts)
{
    if (!lsi_grow(batch->memory, (void **)&batch->items, &batch->item_capacity, count, sizeof *batch->items))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a transform of %zu records", count);
    for (size_t i = 0; i < count; i++)
        batch->items[i] = (lsi_said){.first_key = LSI_NO_KEY};
    batch->records = records;
    batch->count = count;
    batch->attempts = attempts;
    batch->has_event = false;
    batch->arena_size = 0;
    batch->key_count = 0;
    return LS_OK;
}

uint32_t lsi_transform_keys(const ls_transform *batch, size_t index, lsi_partition_key *out)
{
    uint32_t count = 0;

    for (uint32_t at = batch->items[index].first_key; at != LSI_NO_KEY; at = batch->keys[at].next) {
        const lsi_transform_key *key = &batch->keys[at];

        out[count++] = (lsi_partition_key){lsi_transform_text(batch, key->name_at, key->name_size),
                                           lsi_transform_text(batch, key->value_at, key->value_size)};
    }
    return count;
}

/* ---- what it calls ---- */

size_t lsi_transform_count(const ls_transform *batch)
{
    return batch->count;
}

const ls_record *lsi_transform_at(const ls_transform *batch, size_t index)
{
    return index < batch->count ? batch->records[index] : NULL;
}

uint32_t lsi_transform_attempts(const ls_transform *batch)
{
    return batch->attempts;
}

bool lsi_transform_is_late(const ls_transform *batch)
{
    return lsi_monotonic_us(&batch->env->clock) >= batch->end_us;
}

static ls_status check_index(const ls_transform *batch, size_t index)
{
    return index < batch->count ? LS_OK
                                : lsi_fail(LS_ERR_INVALID_ARGUMENT, "index is %zu: there are %zu records", index,
                                           batch->count);
}

/* Copies `data` behind what there is; `*at` is where. */
static ls_status copy(ls_transform *batch, ls_bytes data, size_t *at)
{
    if (data.size > SIZE_MAX / 4 ||
        !lsi_grow(batch->memory, (void **)&batch->arena, &batch->arena_capacity, batch->arena_size + data.size + 1, 1))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %zu bytes of a transform", data.size);
    *at = batch->arena_size;
    if (data.size != 0)
        memcpy(batch->arena + *at, data.data, data.size);
    batch->arena_size += data.size;
    return LS_OK;
}

ls_status lsi_transform_say(ls_transform *batch, size_t index, lsi_verdict verdict, ls_bytes data)
{
    lsi_said *item;
    size_t at = 0; /* gcc does not see that it is set. */
    ls_status st = check_index(batch, index);

    if (st != LS_OK)
        return st;
    item = &batch->items[index];
    if (item->verdict != LSI_VERDICT_NONE)
        return lsi_fail(LS_ERR_STATE, "it was said already what becomes of record %zu", index);
    st = copy(batch, data, &at);
    if (st != LS_OK)
        return st;
    item->verdict = verdict;
    item->at = at;
    item->size = data.size;
    return LS_OK;
}

ls_status lsi_transform_set_key(ls_transform *batch, size_t index, const char *key, ls_bytes value)
{
    ls_bytes name = {key, strlen(key)};
    lsi_said *item;
    lsi_transform_key made = {.name_size = name.size, .value_size = value.size};
    uint32_t *link;
    ls_status st = check_index(batch, index);

    if (st != LS_OK)
        return st;
    if (name.size == 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "a partition key of record %zu has no name", index);
    item = &batch->items[index];
    for (link = &item->first_key; *link != LSI_NO_KEY; link = &batch->keys[*link].next) {
        lsi_transform_key *old = &batch->keys[*link];

        if (old->name_size == name.size && memcmp(batch->arena + old->name_at, key, name.size) == 0) {
            st = copy(batch, value, &made.value_at);
            if (st != LS_OK)
                return st;
            old->value_at = made.value_at;
            old->value_size = value.size;
            return LS_OK;
        }
    }
    if (item->key_count == LSI_PARTITION_KEYS_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "record %zu has %u partition keys already", index,
                        LSI_PARTITION_KEYS_MAX);
    st = copy(batch, name, &made.name_at);
    if (st == LS_OK)
        st = copy(batch, value, &made.value_at);
    if (st != LS_OK)
        return st;
    made.next = LSI_NO_KEY;
    if (!lsi_grow(batch->memory, (void **)&batch->keys, &batch->key_capacity, batch->key_count + 1,
                  sizeof *batch->keys))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a partition key");
    /* The array may have moved, and the link with it: found again. */
    for (link = &item->first_key; *link != LSI_NO_KEY; link = &batch->keys[*link].next)
        ;
    batch->keys[batch->key_count] = made;
    *link = (uint32_t)batch->key_count++;
    item->key_count++;
    return LS_OK;
}
