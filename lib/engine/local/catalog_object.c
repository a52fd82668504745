/* What the manifest says, in memory: found by name and by id, copied with one stream more, less or other.
 *
 * A catalog that others can see is never changed: who changes the manifest makes a copy, changes that, and puts it in
 * the place of the old one, which goes with its last reader. */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "engine/local/local.h"

lsi_catalog *lsi_catalog_new(const lsi_memory *memory)
{
    lsi_catalog *catalog = lsi_alloc_zero(memory, sizeof(*catalog));

    if (catalog == NULL)
        return NULL;
    catalog->memory = memory;
    atomic_init(&catalog->refs, 1);
    catalog->next_id = 1;
    return catalog;
}

lsi_catalog *lsi_catalog_ref(lsi_catalog *catalog)
{
    atomic_fetch_add_explicit(&catalog->refs, 1, memory_order_relaxed); /* the caller has one already */
    return catalog;
}

void lsi_catalog_unref(lsi_catalog *catalog)
{
    const lsi_memory *memory;

    /* acq_rel: who frees it sees that the others are done with it */
    if (catalog == NULL || atomic_fetch_sub_explicit(&catalog->refs, 1, memory_order_acq_rel) != 1)
        return;
    memory = catalog->memory;
    for (uint32_t i = 0; i < catalog->stream_count; i++) {
        lsi_free(memory, catalog->streams[i].shards);
        lsi_free(memory, catalog->streams[i].tags.text);
        lsi_free(memory, catalog->streams[i].consumers);
    }
    lsi_free(memory, catalog->streams);
    lsi_free(memory, atomic_load_explicit(&catalog->ids, memory_order_relaxed));
    lsi_free(memory, catalog);
}

uint32_t lsi_catalog_after(const lsi_catalog *catalog, const char *name)
{
    uint32_t low = 0, high = catalog->stream_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (strcmp(catalog->streams[middle].name, name) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const lsi_catalog_stream *lsi_catalog_find(const lsi_catalog *catalog, const char *name)
{
    uint32_t after = lsi_catalog_after(catalog, name);

    return after > 0 && strcmp(catalog->streams[after - 1].name, name) == 0 ? &catalog->streams[after - 1] : NULL;
}

/* ---- by id ---- */

#define IDS_COUNT_LEAST 32u /* below it looking at all is as fast */

struct lsi_catalog_ids {
    uint32_t count;
    struct lsi_catalog_id {
        uint64_t id;
        uint32_t position;
    } of[]; /* rising */
};

static int by_id(const void *a, const void *b)
{
    const struct lsi_catalog_id *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

/* Made by who first asks, for most catalogs are replaced before anybody does. NULL: look at all. */
static const lsi_catalog_ids *ids_of(lsi_catalog *catalog)
{
    lsi_catalog_ids *ids = atomic_load_explicit(&catalog->ids, memory_order_acquire), *none = NULL;
    uint32_t count = catalog->stream_count;

    if (ids != NULL || count < IDS_COUNT_LEAST)
        return ids != NULL && ids->count == count ? ids : NULL; /* Else it is being made. */
    ids = lsi_alloc(catalog->memory, sizeof(*ids) + count * sizeof(ids->of[0]));
    if (ids == NULL)
        return NULL;
    ids->count = count;
    for (uint32_t i = 0; i < count; i++)
        ids->of[i] = (struct lsi_catalog_id){catalog->streams[i].id, i};
    qsort(ids->of, count, sizeof(ids->of[0]), by_id);
    if (!atomic_compare_exchange_strong_explicit(&catalog->ids, &none, ids, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        lsi_free(catalog->memory, ids); /* Another thread was faster. */
        ids = none;
    }
    return ids;
}

const lsi_catalog_stream *lsi_catalog_after_id(const lsi_catalog *catalog, uint64_t id)
{
    const lsi_catalog_ids *ids = ids_of((lsi_catalog *)(uintptr_t)catalog); /* What it says does not change. */
    const lsi_catalog_stream *next = NULL;

    if (ids != NULL) {
        uint32_t low = 0, high = ids->count;

        while (low < high) {
            uint32_t middle = low + (high - low) / 2;

            if (ids->of[middle].id <= id)
                low = middle + 1;
            else
                high = middle;
        }
        return low < ids->count ? &catalog->streams[ids->of[low].position] : NULL;
    }
    for (uint32_t i = 0; i < catalog->stream_count; i++)
        if (catalog->streams[i].id > id && (next == NULL || catalog->streams[i].id < next->id))
            next = &catalog->streams[i];
    return next;
}

const lsi_catalog_stream *lsi_catalog_find_id(const lsi_catalog *catalog, uint64_t id)
{
    const lsi_catalog_stream *found = id > 0 ? lsi_catalog_after_id(catalog, id - 1) : NULL;

    return found != NULL && found->id == id ? found : NULL;
}

const lsi_consumer *lsi_catalog_find_consumer(const lsi_catalog *catalog, uint64_t id)
{
    for (uint32_t i = 0; i < catalog->stream_count; i++)
        for (uint32_t k = 0; k < catalog->streams[i].consumer_count; k++)
            if (catalog->streams[i].consumers[k].id == id)
                return &catalog->streams[i].consumers[k];
    return NULL;
}

/* A copy of `bytes` bytes at `from`; NULL when there are none, or, with `*there` false, no memory. */
static void *copy_of(const lsi_memory *memory, const void *from, size_t bytes, bool *there)
{
    void *copy = bytes > 0 ? lsi_alloc(memory, bytes) : NULL;

    if (copy != NULL)
        memcpy(copy, from, bytes);
    *there = *there && (copy != NULL || bytes == 0);
    return copy;
}

/* Adds a copy at the end. The array has room. */
static bool stream_add(lsi_catalog *to, const lsi_catalog_stream *stream)
{
    lsi_catalog_stream *copy = &to->streams[to->stream_count];
    bool there = true;

    *copy = *stream;
    copy->shards = copy_of(to->memory, stream->shards, stream->shard_count * sizeof(*copy->shards), &there);
    copy->tags.text = copy_of(to->memory, stream->tags.text, stream->tags.bytes, &there);
    copy->consumers = copy_of(to->memory, stream->consumers, stream->consumer_count * sizeof(*copy->consumers), &there);
    to->stream_count++; /* Whatever there is of it goes with the catalog. */
    return there;
}

ls_status lsi_catalog_copy(const lsi_catalog *from, uint64_t without, const lsi_catalog_stream *with,
                           lsi_catalog **out)
{
    lsi_catalog *copy = lsi_catalog_new(from->memory);
    bool there = copy != NULL;

    if (there) {
        memcpy(copy->store_id, from->store_id, sizeof(copy->store_id));
        copy->head = from->head;
        copy->durability = from->durability;
        copy->sync_interval_ms = from->sync_interval_ms;
        copy->segment_bytes = from->segment_bytes;
        copy->next_id = from->next_id;
        copy->consumer_id = from->consumer_id;
        copy->streams = lsi_alloc(copy->memory, ((size_t)from->stream_count + 1) * sizeof(*copy->streams));
        there = copy->streams != NULL;
    }
    for (uint32_t i = 0; there && i < from->stream_count; i++) {
        const lsi_catalog_stream *stream = &from->streams[i];

        if (with != NULL && strcmp(with->name, stream->name) < 0) {
            there = stream_add(copy, with);
            with = NULL;
        }
        if (there && stream->id != without)
            there = stream_add(copy, stream);
    }
    if (there && with != NULL)
        there = stream_add(copy, with);
    if (!there) {
        lsi_catalog_unref(copy);
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the manifest of %u streams", from->stream_count);
    }
    *out = copy;
    return LS_OK;
}
