/* A snapshot: samples with all that they point to, in memory of its own, so that it needs neither the store nor the
 * registry any more.
 *
 * Samples are added as they are found, stream by stream; Prometheus wants those of one name together. So each carries
 * its family's place, and they are sorted once at the end, those of one family in the order in which they came.
 *
 *   P1  What cannot be had for want of memory sticks (`failed`): nothing that was taken is shown as if it were all. */
#include "metrics/inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

#define CHUNK_BYTES 16384u

typedef struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(8) unsigned char bytes[];
} chunk;

struct ls_metrics_snapshot {
    lsi_memory memory;
    chunk *chunks; /* the one in use is the first */
    lsi_sample *samples;
    size_t count, capacity;
    bool failed;
};

ls_status lsi_snapshot_new(const lsi_memory *memory, lsi_snapshot **out)
{
    lsi_snapshot *snapshot = lsi_alloc_zero(memory, sizeof(*snapshot));

    if (snapshot == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a snapshot of metrics");
    snapshot->memory = *memory;
    *out = snapshot;
    return LS_OK;
}

void lsi_snapshot_free(lsi_snapshot *snapshot)
{
    lsi_memory memory;

    if (snapshot == NULL)
        return;
    memory = snapshot->memory;
    while (snapshot->chunks != NULL) {
        chunk *next = snapshot->chunks->next;

        lsi_free(&memory, snapshot->chunks);
        snapshot->chunks = next;
    }
    lsi_free(&memory, snapshot->samples);
    lsi_free(&memory, snapshot);
}

/* Bytes that go with the snapshot. NULL: no memory (P1). */
static void *take(lsi_snapshot *snapshot, size_t size)
{
    chunk *at = snapshot->chunks;
    void *bytes;

    size = (size + 7) & ~(size_t)7;
    if (at == NULL || at->size - at->used < size) {
        size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;

        at = lsi_alloc(&snapshot->memory, sizeof(*at) + room);
        if (at == NULL) {
            snapshot->failed = true;
            return NULL;
        }
        *at = (chunk){.next = snapshot->chunks, .used = 0, .size = room};
        snapshot->chunks = at;
    }
    bytes = at->bytes + at->used;
    at->used += size;
    return bytes;
}

static const char *take_text(lsi_snapshot *snapshot, const char *text)
{
    char *own = take(snapshot, lsi_utf8_mended_size(text) + 1);

    if (own != NULL)
        (void)lsi_utf8_mend(text, own);
    return own;
}

const lsi_family *lsi_snapshot_family(lsi_snapshot *snapshot, const lsi_family *family)
{
    lsi_family *own = take(snapshot, sizeof(*own));
    const char **labels = take(snapshot, family->label_count * sizeof(*labels));
    double *bounds = take(snapshot, family->bound_count * sizeof(*bounds));

    if (snapshot->failed)
        return NULL;
    *own = *family;
    own->name = take_text(snapshot, family->name);
    own->help = take_text(snapshot, family->help);
    for (uint32_t i = 0; i < family->label_count; i++)
        labels[i] = take_text(snapshot, family->labels[i]);
    for (uint32_t i = 0; i < family->bound_count; i++)
        bounds[i] = family->bounds[i];
    own->labels = labels;
    own->bounds = bounds;
    return snapshot->failed ? NULL : own;
}

static lsi_sample *add(lsi_snapshot *snapshot, const lsi_family *family, uint32_t order, const char *const *values)
{
    ls_label *labels = take(snapshot, family->label_count * sizeof(*labels));
    lsi_sample *sample;

    for (uint32_t i = 0; labels != NULL && i < family->label_count; i++) {
        labels[i].name = family->labels[i];
        labels[i].value = take_text(snapshot, values[i]);
    }
    if (!snapshot->failed && !lsi_grow(&snapshot->memory, (void **)&snapshot->samples, &snapshot->capacity,
                                       snapshot->count + 1, sizeof(*snapshot->samples)))
        snapshot->failed = true;
    if (snapshot->failed)
        return NULL;
    sample = &snapshot->samples[snapshot->count];
    *sample = (lsi_sample){
        .family = family,
        .order = order,
        .serial = (uint32_t)snapshot->count++,
        .label_count = family->label_count,
        .labels = labels,
        .cloudwatch = family->cloudwatch,
    };
    return sample;
}

lsi_sample *lsi_snapshot_counter(lsi_snapshot *snapshot, const lsi_family *family, uint32_t order,
                                 const char *const *values, uint64_t count)
{
    lsi_sample *sample = add(snapshot, family, order, values);

    if (sample != NULL) {
        sample->count = count;
        sample->value = (double)count;
    }
    return sample;
}

lsi_sample *lsi_snapshot_gauge(lsi_snapshot *snapshot, const lsi_family *family, uint32_t order,
                               const char *const *values, double value)
{
    lsi_sample *sample = add(snapshot, family, order, values);

    if (sample != NULL)
        sample->value = value;
    return sample;
}

lsi_sample *lsi_snapshot_histogram(lsi_snapshot *snapshot, const lsi_family *family, uint32_t order,
                                   const char *const *values, const lsi_count_word *words, double sum)
{
    lsi_sample *sample = add(snapshot, family, order, values);
    uint64_t *buckets = take(snapshot, (family->bound_count + 1) * sizeof(*buckets));

    if (sample == NULL || buckets == NULL)
        return NULL;
    for (uint32_t i = 0; i <= family->bound_count; i++) {
        sample->count += lsi_counted(&words[i]);
        buckets[i] = sample->count;
    }
    sample->buckets = buckets;
    sample->sum = sum;
    return sample;
}

static int compare(const void *a, const void *b)
{
    const lsi_sample *one = a, *two = b;

    if (one->order != two->order)
        return one->order < two->order ? -1 : 1;
    return one->serial < two->serial ? -1 : one->serial > two->serial;
}

ls_status lsi_snapshot_finish(lsi_snapshot *snapshot)
{
    if (snapshot->failed)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a snapshot of %zu metrics", snapshot->count + 1);
    if (snapshot->count > 0)
        qsort(snapshot->samples, snapshot->count, sizeof(*snapshot->samples), compare);
    return LS_OK;
}

size_t lsi_snapshot_count(const lsi_snapshot *snapshot)
{
    return snapshot->count;
}

const lsi_sample *lsi_snapshot_at(const lsi_snapshot *snapshot, size_t index)
{
    return &snapshot->samples[index];
}
