/* Looking at what came of a pipeline. */
#include "looking.h"
#include "pipeline.h"

#include <inttypes.h>
#include <string.h>

static bool has_label(const ls_metric_sample *sample, const char *name, const char *value)
{
    for (uint32_t i = 0; i < sample->label_count && name != NULL; i++)
        if (strcmp(sample->labels[i].name, name) == 0)
            return strcmp(sample->labels[i].value, value) == 0;
    return name == NULL;
}

uint64_t pipeline_counter(ls_store *store, const char *counter, const char *stream, const char *name,
                          const char *value)
{
    ls_metrics_snapshot *snapshot = NULL;
    uint64_t sum = 0;

    if (ls_metrics_snapshot_take(store, &snapshot) != LS_OK) {
        (void)pipeline_fail_ls("look at the counters");
        return 0;
    }
    for (size_t i = 0; i < ls_metrics_snapshot_count(snapshot); i++) {
        ls_metric_sample sample = LS_METRIC_SAMPLE_INIT;

        if (ls_metrics_snapshot_at(snapshot, i, &sample) == LS_OK && strcmp(sample.name, counter) == 0 &&
            has_label(&sample, "stream", stream) && has_label(&sample, name, value))
            sum += sample.count;
    }
    ls_metrics_snapshot_free(snapshot);
    return sum;
}

int shard_counts_add(const ls_record *record, void *user)
{
    shard_counts *counts = user;

    counts->records++;
    if (record->shard < SHARDS_SHOWN)
        counts->shards[record->shard]++;
    return 0;
}

void shard_counts_show(const shard_counts *counts, ls_stream *stream)
{
    ls_stream_description *description = NULL;
    ls_shard_info last = LS_SHARD_INFO_INIT;
    uint32_t listed = 0, count = 0;

    if (ls_stream_describe(stream, &description) == LS_OK)
        listed = ls_stream_description_shard_count(description);
    if (listed > 0 && ls_stream_description_shard(description, listed - 1, &last) == LS_OK)
        count = last.shard + 1;
    else
        (void)pipeline_fail_ls("describe the stream");
    ls_stream_description_free(description);
    (void)printf("\"shards\":[");
    for (uint32_t i = 0; i < count && i < SHARDS_SHOWN; i++)
        (void)printf("%s%" PRIu64, i == 0 ? "" : ",", counts->shards[i]);
    (void)putchar(']');
}

/* An open stream has no end: it is read until a page is empty and 0 ms behind. */
int pipeline_read_all(ls_stream *stream, pipeline_record_seen seen, void *user)
{
    ls_next_options page = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    int result = 0;

    page.timeout_ms = 0;
    if (ls_iterator_open_all(stream, NULL, NULL, &iterator) != LS_OK)
        return pipeline_fail_ls("open an iterator");
    while (result == 0) {
        const ls_batch *batch;
        ls_status status = ls_iterator_next(iterator, &page, &batch);

        if (status == LS_ERR_THROTTLED) {
            pipeline_sleep_ms(200); /* A provisioned shard gives five answers a second. */
            continue;
        }
        if (status == LS_ERR_TRIMMED)
            continue; /* Retention was faster; the iterator stands at the oldest record. */
        if (status != LS_OK) {
            result = pipeline_fail_ls("read");
            break;
        }
        if (ls_batch_count(batch) == 0 && ls_batch_millis_behind_latest(batch) == 0)
            break;
        for (size_t i = 0; result == 0 && i < ls_batch_count(batch); i++)
            result = seen(ls_batch_at(batch, i), user);
    }
    ls_iterator_close(iterator);
    return result;
}

/* Whoever begins at a shard's first number is told when records from there on are gone. */
static int is_shard_trimmed(ls_stream *stream, const ls_shard_info *shard)
{
    ls_position first = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = shard->starting_seqno};
    ls_next_options page = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    ls_status status;

    page.timeout_ms = 0;
    page.records_max = 1;
    if (ls_iterator_open(stream, shard->shard, &first, NULL, &iterator) != LS_OK)
        return pipeline_fail_ls("open an iterator");
    while ((status = ls_iterator_next(iterator, &page, &batch)) == LS_ERR_THROTTLED && !pipeline_interrupted)
        pipeline_sleep_ms(200);
    if (status != LS_OK && status != LS_ERR_TRIMMED)
        (void)pipeline_fail_ls("read");
    ls_iterator_close(iterator);
    return status == LS_OK ? 0 : status == LS_ERR_TRIMMED ? 1 : -1;
}

int pipeline_is_trimmed(ls_stream *stream)
{
    ls_stream_description *description = NULL;
    int result = 0;

    if (ls_stream_describe(stream, &description) != LS_OK)
        return pipeline_fail_ls("describe the stream");
    for (uint32_t i = 0; result == 0 && i < ls_stream_description_shard_count(description); i++) {
        ls_shard_info shard = LS_SHARD_INFO_INIT;

        if (ls_stream_description_shard(description, i, &shard) != LS_OK)
            result = pipeline_fail_ls("look at a shard");
        else  /* A shard that is listed no more was trimmed whole: there is a gap. */
            result = shard.shard != i ? 1 : is_shard_trimmed(stream, &shard);
    }
    ls_stream_description_free(description);
    return result;
}
