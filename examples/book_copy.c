/* Books from stream to stream. */
#include "book_copy.h"
#include "pipeline.h"

#include <inttypes.h>

#define ASYNC_BYTES (UINT64_C(4) << 20) /* What waits to be stored: enough to keep a disk busy. */

/* Told of each record that was put without waiting for it, by the producer's thread. */
static void count_stored(const ls_async_outcome *outcome, void *user)
{
    uint64_t *stored = user;

    if (outcome->status == LS_OK)
        ++*stored; /* Nobody looks before the producer is closed. */
}

/* Where the records of a page go: one of the two producers. */
struct way {
    ls_producer *pages;
    ls_async_producer *async;
    uint32_t batch;       /* records of a page, and so of a call */
    uint64_t stored;
};

static int put_page(struct way *way, const ls_batch *batch)
{
    static ls_put_entry entries[BOOK_BATCH_MAX];
    size_t count = ls_batch_count(batch), failed = 0;

    for (size_t i = 0; i < count; i++)
        entries[i] = (ls_put_entry){ls_batch_at(batch, i)->partition_key, ls_batch_at(batch, i)->data, NULL};
    if (way->pages != NULL && ls_producer_put_batch(way->pages, entries, count, NULL, NULL, &failed) != LS_OK)
        return pipeline_fail_ls("put a page");
    if (way->pages != NULL)
        way->stored += count - failed;
    for (size_t i = 0; way->async != NULL && i < count; i++)
        if (ls_async_producer_put(way->async, &entries[i], NULL, -1, NULL) != LS_OK) /* Waits for memory at most. */
            return pipeline_fail_ls("put without waiting");
    return 0;
}

static int copy_shard(ls_stream *from, uint32_t shard, struct way *way)
{
    ls_next_options page = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    int result = 0;

    page.records_max = way->batch;
    if (ls_iterator_open(from, shard, NULL, NULL, &iterator) != LS_OK)
        return pipeline_fail_ls("open an iterator");
    while (result == 0 && !pipeline_interrupted) {
        const ls_batch *batch;

        if (ls_iterator_next(iterator, &page, &batch) != LS_OK)
            result = pipeline_fail_ls("read");
        else if (ls_batch_count(batch) == 0)
            break;
        else
            result = put_page(way, batch);
    }
    ls_iterator_close(iterator);
    return result;
}

int book_copy(ls_store *store, ls_stream *from, const char *name, bool is_async, uint32_t batch,
              const book_outcome *outcome, uint64_t *ns)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_async_options async_options = LS_ASYNC_OPTIONS_INIT;
    struct way way = {.batch = batch};
    ls_stream *to = NULL;
    uint64_t began;
    int result = 0;

    options.shard_count = outcome->shard_count;
    async_options.buffered_bytes_max = ASYNC_BYTES;
    if (ls_stream_create(store, name, &options) != LS_OK || ls_stream_open(store, name, &to) != LS_OK)
        return pipeline_fail_ls("create a stream");
    if ((is_async ? ls_async_producer_open(to, &async_options, &way.async, count_stored, &way.stored)
                  : ls_producer_open(to, NULL, &way.pages)) != LS_OK)
        result = pipeline_fail_ls("open a producer");
    began = pipeline_now_ns();
    for (uint32_t shard = 0; result == 0 && shard < outcome->shard_count && !pipeline_interrupted; shard++)
        result = copy_shard(from, shard, &way);
    if (ls_async_producer_close(way.async, pipeline_interrupted ? 0 : -1) != LS_OK && result == 0 &&
        !pipeline_interrupted)
        result = pipeline_fail_ls("close the producer");
    *ns = pipeline_now_ns() - began;
    if (ls_producer_close(way.pages) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the producer");
    if (ls_stream_close(to) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the stream");
    if (result == 0 && !pipeline_interrupted && way.stored != outcome->accepted)
        result = pipeline_fail("stream %s has %" PRIu64 " records of %" PRIu64, name, way.stored, outcome->accepted);
    return result;
}
