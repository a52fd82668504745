/* The list of a shard's segments: which files there are, where each begins and ends. It is truth (R6): a file it names
 * and the directory lacks is damage, a file it does not name was never acknowledged. Replaced whole at each roll. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/manifest.h"
#include "storage/segment.h"

enum { HEAD_BYTES = 16, ENTRY_BYTES = 64, SKIP_BYTES = 32 };

/* A header and the most frames it may allow, and more: what is above is no size of a segment's file. */
#define SEGMENT_FILE_BYTES_END (UINT64_C(1) << 33)

uint64_t lsi_segment_list_salt(const lsi_log_config *owner)
{
    unsigned char fields[28];

    memcpy(fields, owner->store_id, 16);
    lsi_write_u64le(fields + 16, owner->stream);
    lsi_write_u32le(fields + 24, owner->shard);
    return lsi_sum64(fields, sizeof fields, 0);
}

static lsi_segment_list *list_new(const lsi_env *env, uint32_t count, uint32_t skip_count)
{
    size_t bytes = sizeof(lsi_segment_list) + count * sizeof(lsi_segment_entry) + skip_count * sizeof(lsi_skip);
    lsi_segment_list *list = lsi_alloc_zero(&env->memory, bytes);

    if (list == NULL)
        return NULL;
    list->env = env;
    atomic_init(&list->references, 1);
    list->count = count;
    list->skip_count = skip_count;
    list->entries = (lsi_segment_entry *)(list + 1);
    list->skips = (lsi_skip *)(list->entries + count);
    return list;
}

static bool entry_is_sound(const lsi_segment_entry *entry, const lsi_segment_entry *before, bool last)
{
    bool sealed = (entry->flags & LSI_SEGMENT_SEALED) != 0;

    if (entry->number == 0 || entry->base % 8 != 0 || entry->base > LSI_POSITION_MAX || sealed == last ||
        entry->base_seqno == 0 || entry->seqno_limit < entry->base_seqno || entry->seqno_limit > LS_SEQNO_END ||
        entry->file_bytes >= SEGMENT_FILE_BYTES_END)
        return false;
    /* No header allows more bytes; and what searches a segment by its end would take hours. */
    if (sealed ? entry->end < entry->base || entry->end % 8 != 0 || entry->end - entry->base > UINT32_MAX
               : entry->end != 0)
        return false;
    return before == NULL || (entry->number > before->number && entry->base == before->end &&
                              entry->base_seqno >= before->base_seqno);
}

ls_status lsi_segment_list_decode(const lsi_env *env, const char *name, const unsigned char *payload, size_t size,
                                  lsi_segment_list **out)
{
    lsi_cursor from = {payload, payload + size, false};
    uint32_t count = lsi_take_u32(&from), skip_count = lsi_take_u32(&from);
    ls_seqno trimmed = lsi_take_u64(&from);

    if (from.bad || count == 0 || count > size / ENTRY_BYTES || skip_count > size / SKIP_BYTES ||
        HEAD_BYTES + (uint64_t)count * ENTRY_BYTES + (uint64_t)skip_count * SKIP_BYTES != size)
        return lsi_fail(LS_ERR_CORRUPT, "the counts of %s (%u segments, %u skips) do not fit its %zu bytes", name,
                        count, skip_count, size);
    lsi_segment_list *list = list_new(env, count, skip_count);
    if (list == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: %u segments: no memory", name, count);
    for (uint32_t i = 0; i < count; i++) {
        lsi_segment_entry *entry = &list->entries[i];
        entry->number = lsi_take_u32(&from);
        entry->flags = lsi_take_u32(&from);
        entry->base = lsi_take_u64(&from);
        entry->end = lsi_take_u64(&from);
        entry->base_seqno = lsi_take_u64(&from);
        entry->seqno_limit = lsi_take_u64(&from);
        entry->base_arrival_us = (int64_t)lsi_take_u64(&from);
        entry->header_sum = lsi_take_u64(&from);
        entry->file_bytes = lsi_take_u64(&from);
        if (!entry_is_sound(entry, i > 0 ? entry - 1 : NULL, i == count - 1)) {
            uint32_t number = entry->number;
            lsi_segment_list_unref(list);
            return lsi_fail(LS_ERR_CORRUPT, "entry %u (segment %u) of %s breaks a rule", i, number, name);
        }
    }
    list->trimmed = trimmed;
    if (trimmed > list->entries[0].base_seqno) {
        lsi_segment_list_unref(list);
        return lsi_fail(LS_ERR_CORRUPT, "%s says that numbers below %llu were trimmed, which its first segment holds",
                        name, (unsigned long long)trimmed);
    }
    for (uint32_t i = 0; i < skip_count; i++) {
        lsi_skip *skip = &list->skips[i];
        skip->from = lsi_take_u64(&from);
        skip->to = lsi_take_u64(&from);
        skip->first_seqno = lsi_take_u64(&from);
        skip->last_seqno = lsi_take_u64(&from);
        if (skip->from >= skip->to || skip->to > 2 * LSI_POSITION_MAX || skip->from % 8 != 0 || skip->to % 8 != 0 ||
            (i > 0 && skip->from < skip[-1].to)) {
            lsi_segment_list_unref(list);
            return lsi_fail(LS_ERR_CORRUPT, "skip %u of %s breaks a rule", i, name);
        }
    }
    lsi_segment_list_find_ages(list, false);
    *out = list;
    return LS_OK;
}

ls_status lsi_segment_list_load(const lsi_log_config *owner, lsi_segment_list **out)
{
    char name[LSI_SEGMENT_NAME_BYTES];
    void *payload;
    size_t size;
    lsi_checked_head head;

    (void)snprintf(name, sizeof name, "%s/%s", owner->dir, LSI_SEGMENT_LIST_NAME);
    ls_status st = lsi_checked_load(owner->env, owner->root, name, LSI_CHECKED_SEGMENTS, lsi_segment_list_salt(owner),
                                    &head, &payload, &size);
    if (st == LS_ERR_NOT_FOUND)
        st = lsi_fail(LS_ERR_CORRUPT, "%s is not there", name);
    if (st == LS_OK) {
        st = lsi_segment_list_decode(owner->env, name, payload, size, out);
        lsi_free(&owner->env->memory, payload);
    }
    if (st != LS_OK)
        return lsi_fail_within(owner->label);
    (*out)->head = head;
    return LS_OK;
}

static ls_status encode_payload(const lsi_log_config *owner, const lsi_segment_list *list, void **out,
                                size_t *out_size)
{
    size_t size = HEAD_BYTES + list->count * (size_t)ENTRY_BYTES + list->skip_count * (size_t)SKIP_BYTES;
    unsigned char *payload = lsi_alloc(&owner->env->memory, size);

    if (payload == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: its segment list: no memory", owner->label);
    lsi_writer to = {payload, payload + size};
    lsi_put_u32(&to, list->count);
    lsi_put_u32(&to, list->skip_count);
    lsi_put_u64(&to, list->trimmed);
    for (uint32_t i = 0; i < list->count; i++) {
        const lsi_segment_entry *entry = &list->entries[i];
        lsi_put_u32(&to, entry->number);
        lsi_put_u32(&to, entry->flags);
        lsi_put_u64(&to, entry->base);
        lsi_put_u64(&to, entry->end);
        lsi_put_u64(&to, entry->base_seqno);
        lsi_put_u64(&to, entry->seqno_limit);
        lsi_put_u64(&to, (uint64_t)entry->base_arrival_us);
        lsi_put_u64(&to, entry->header_sum);
        lsi_put_u64(&to, entry->file_bytes);
    }
    for (uint32_t i = 0; i < list->skip_count; i++) {
        lsi_put_u64(&to, list->skips[i].from);
        lsi_put_u64(&to, list->skips[i].to);
        lsi_put_u64(&to, list->skips[i].first_seqno);
        lsi_put_u64(&to, list->skips[i].last_seqno);
    }
    *out = payload;
    *out_size = size;
    return LS_OK;
}

ls_status lsi_segment_list_encode(const lsi_log_config *owner, const lsi_segment_list *list, void **out, size_t *size)
{
    void *payload;
    size_t payload_size;
    ls_status st = encode_payload(owner, list, &payload, &payload_size);

    if (st != LS_OK)
        return st;
    st = lsi_checked_encode(owner->env, LSI_CHECKED_SEGMENTS, lsi_segment_list_salt(owner), list->head, payload,
                            payload_size, out, size);
    lsi_free(&owner->env->memory, payload);
    return st;
}

ls_status lsi_segment_list_store(const lsi_log_config *owner, const lsi_segment_list *list)
{
    char name[LSI_SEGMENT_NAME_BYTES];
    void *payload;
    size_t size;
    ls_status st = encode_payload(owner, list, &payload, &size);

    if (st != LS_OK)
        return st;
    (void)snprintf(name, sizeof name, "%s/%s", owner->dir, LSI_SEGMENT_LIST_NAME);
    st = lsi_checked_store(owner->env, owner->root, owner->synced_later ? NULL : owner->dir, name, LSI_CHECKED_SEGMENTS,
                           lsi_segment_list_salt(owner), list->head, payload, size);
    lsi_free(&owner->env->memory, payload);
    return st;
}

ls_status lsi_segment_list_copy(const lsi_segment_list *list, lsi_segment_list **out)
{
    lsi_segment_list *copy = list_new(list->env, list->count + 1, list->skip_count + 1);

    if (copy == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "a segment list of %u: no memory", list->count);
    memcpy(copy->entries, list->entries, list->count * sizeof *list->entries);
    memcpy(copy->skips, list->skips, list->skip_count * sizeof *list->skips);
    copy->count = list->count;
    copy->skip_count = list->skip_count;
    copy->trimmed = list->trimmed;
    copy->head = list->head;
    copy->head.generation++;
    *out = copy;
    return LS_OK;
}

lsi_segment_list *lsi_segment_list_ref(lsi_segment_list *list)
{
    (void)atomic_fetch_add_explicit(&list->references, 1, memory_order_relaxed);
    return list;
}

void lsi_segment_list_unref(lsi_segment_list *list)
{
    /* Release pairs with the acquire of whoever takes the last reference away. */
    if (list != NULL && atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) == 1)
        lsi_free(&list->env->memory, list);
}

uint64_t lsi_segment_entry_bytes(const lsi_segment_entry *entry)
{
    return entry->file_bytes != 0 ? entry->file_bytes : LSI_SEGMENT_HEADER_BYTES + (entry->end - entry->base);
}

uint64_t lsi_segment_list_sealed_bytes(const lsi_segment_list *list)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i + 1 < list->count; i++)
        bytes += lsi_segment_entry_bytes(&list->entries[i]);
    return bytes;
}

const lsi_skip *lsi_skip_at(const lsi_segment_list *list, uint64_t position)
{
    for (uint32_t i = 0; i < list->skip_count; i++)
        if (list->skips[i].from <= position && position < list->skips[i].to)
            return &list->skips[i];
    return NULL;
}

uint64_t lsi_skip_next(const lsi_segment_list *list, uint64_t position, uint64_t end)
{
    uint32_t i = 0;

    while (i < list->skip_count && list->skips[i].from <= position)
        i++;
    return i < list->skip_count && list->skips[i].from < end ? list->skips[i].from : end;
}

uint32_t lsi_segment_list_find(const lsi_segment_list *list, uint64_t position)
{
    uint32_t low = 0, high = list->count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (list->entries[middle].base <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}
