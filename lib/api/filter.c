/* The exported functions of filter.h: arguments and options are checked, then the room `consume` compiles and matches.
 * What is added here is where a 56-digit number gets the time at which its shard was created: from the stream's list of
 * shards, which is taken when a record is of a shard that the last list had not. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

struct ls_filter {
    lsi_memory memory;
    ls_stream *stream; /* NULL: none was given */
    lsi_filter *filter;
    lsi_stream_info info; /* zeroed: not asked for yet */
};

static ls_status check_patterns(const char *const *patterns, size_t count, uint32_t patterns_max)
{
    if (count > patterns_max)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%zu patterns: a filter has at most %" PRIu32
                        " (options.patterns_max)", count, patterns_max);
    if (count != 0)
        LSI_REFUSE_NULL(patterns);
    for (size_t i = 0; i < count; i++)
        if (patterns[i] == NULL)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "pattern %zu is NULL", i);
    return LS_OK;
}

ls_status ls_filter_open(const char *const *patterns, size_t count, const ls_filter_options *options, ls_filter **out)
{
    ls_filter_options own;
    lsi_filter_names names;
    char arn[LSI_STREAM_ARN_BYTES];
    ls_filter *filter;
    ls_status st;

    LSI_REFUSE_NULL(out);
    lsi_error_begin();
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_filter_options, aws_region));
    if (st != LS_OK)
        return st;
    if (own.stream != NULL)
        LSI_ENTER(own.stream->store);
    if (own.patterns_max > LSI_FILTERS_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.patterns_max is %" PRIu32 ": at most %u", own.patterns_max,
                        LSI_FILTERS_MAX);
    st = check_patterns(patterns, count, own.patterns_max != 0 ? own.patterns_max : LSI_FILTERS_DEFAULT);
    if (st != LS_OK)
        return st;
    filter = lsi_alloc_zero(own.stream != NULL ? &own.stream->store->env.memory : &lsi_memory_libc, sizeof *filter);
    if (filter == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a filter");
    filter->memory = own.stream != NULL ? own.stream->store->env.memory : lsi_memory_libc;
    names = (lsi_filter_names){own.event_source_arn, own.invoke_identity_arn, own.aws_region};
    if (own.stream != NULL) { /* As mappings of it have them. */
        lsi_stream_arn(own.stream->name, arn);
        names.event_source_arn = names.event_source_arn != NULL ? names.event_source_arn : arn;
        names.invoke_identity_arn = names.invoke_identity_arn != NULL ? names.invoke_identity_arn : LSI_STREAM_ROLE_ARN;
        names.aws_region = names.aws_region != NULL ? names.aws_region : LSI_STREAM_REGION;
    }
    st = lsi_filter_open(&filter->memory, patterns, count, &names, &filter->filter);
    if (st == LS_OK && own.stream == NULL && lsi_filter_asks_number(filter->filter))
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "a pattern asks for sequenceNumber or eventID, in which is when the "
                      "shard was created: options.stream is needed");
    if (st != LS_OK) {
        ls_filter_close(filter);
        return st;
    }
    filter->stream = own.stream;
    if (filter->stream != NULL)
        atomic_fetch_add_explicit(&filter->stream->child_count, 1, memory_order_relaxed);
    *out = filter;
    return lsi_error_end(LS_OK);
}

void ls_filter_close(ls_filter *filter)
{
    lsi_memory memory;
    ls_stream *stream;

    if (filter == NULL)
        return;
    memory = filter->memory;
    stream = filter->stream;
    lsi_filter_close(filter->filter);
    lsi_stream_info_free(&filter->info);
    lsi_free(&memory, filter);
    if (stream != NULL)
        atomic_fetch_sub_explicit(&stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
}

/* When the record's shard was created. */
static ls_status find_created(ls_filter *filter, uint32_t index, int64_t *out)
{
    const lsi_shard *shard = lsi_shard_find(filter->info.shards, filter->info.shard_count, index);

    if (shard == NULL) {
        lsi_stream_info info;
        ls_status st = filter->stream->stream->engine->ops->info(filter->stream->stream, &info);

        if (st != LS_OK)
            return st;
        lsi_stream_info_free(&filter->info);
        filter->info = info;
        shard = lsi_shard_find(filter->info.shards, filter->info.shard_count, index);
    }
    if (shard == NULL)
        return lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no shard %" PRIu32, filter->stream->name, index);
    *out = shard->created_us;
    return LS_OK;
}

ls_status ls_filter_matches(ls_filter *filter, const ls_record *record, int32_t *out)
{
    int64_t created_us = 0;
    bool matches;
    ls_status st = LS_OK;

    LSI_REFUSE_NULL(filter);
    LSI_REFUSE_NULL(record);
    LSI_REFUSE_NULL(out);
    if (record->partition_key.size != 0)
        LSI_REFUSE_NULL(record->partition_key.data);
    if (record->data.size != 0)
        LSI_REFUSE_NULL(record->data.data);
    lsi_error_begin();
    if (filter->stream != NULL)
        LSI_ENTER(filter->stream->store);
    if (lsi_filter_asks_number(filter->filter))
        st = find_created(filter, record->shard, &created_us);
    if (st == LS_OK)
        st = lsi_filter_matches(filter->filter, record, created_us, &matches);
    if (st == LS_OK)
        *out = matches;
    return lsi_error_end(st);
}

uint64_t ls_filter_not_json(const ls_filter *filter)
{
    return filter == NULL ? 0 : lsi_filter_not_json(filter->filter);
}
