/* lstream filter: which of the stored records the patterns of a mapping would let pass. Reads, and changes nothing. */
#include "cli/cli.h"

#include <inttypes.h>

#define PATTERNS_MAX 10

enum { SHARD, FROM, LIMIT, DEAGGREGATE, NO_RETRY };
static const lsi_option options[] = {
    [SHARD] = {"shard", LSI_OPTION_NUMBER, "N", "Only this shard; all of them unless told otherwise.", 0,
               UINT32_MAX - 1, 0},
    [FROM] = {"from", LSI_OPTION_TEXT, "P", LSI_FROM_HELP " The default is trim-horizon.", 0, 0, 0},
    [LIMIT] = {"limit", LSI_OPTION_NUMBER, "N", "End after this many records that match.", 1, UINT64_MAX, 'n'},
    [DEAGGREGATE] = {"deaggregate", LSI_OPTION_FLAG, NULL, "Aggregated records are taken for the records in them.", 0,
                     0, 0},
    [NO_RETRY] = {"no-retry", LSI_OPTION_FLAG, NULL, LSI_NO_RETRY_HELP, 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

typedef struct counts {
    uint64_t read, matched;
} counts;

/* Prints those of the batch that match. */
static int filter_batch(const lsi_call *call, ls_filter *filter, const ls_batch *batch, uint64_t limit, counts *so_far)
{
    for (size_t i = 0; i < ls_batch_count(batch) && so_far->matched < limit && !lsi_out_broken(); i++) {
        int32_t matches;

        if (ls_filter_matches(filter, ls_batch_at(batch, i), &matches) != LS_OK)
            return lsi_failed(call, ls_last_error_status());
        so_far->read++;
        if (matches == 0)
            continue;
        so_far->matched++;
        lsi_record_print(ls_batch_at(batch, i), call->json);
    }
    return LSI_EXIT_OK;
}

/* Up to the tip, the limit, or until the reader is gone. */
static int filter_all(const lsi_call *call, ls_filter *filter, ls_iterator *iterator, bool one, counts *so_far)
{
    uint64_t limit = call->values[LIMIT].given ? call->values[LIMIT].number : UINT64_MAX;
    uint32_t tries = 0;

    while (so_far->matched < limit && !lsi_out_broken()) {
        const ls_batch *batch;
        ls_status st = ls_iterator_next(iterator, NULL, &batch);
        int code;

        if (st == LS_ERR_THROTTLED && !call->values[NO_RETRY].given) {
            lsi_out_flush();
            (void)lsi_wait_for_turn(tries++);
            continue;
        }
        tries = 0;
        if (st == LS_ERR_TRIMMED) { /* Said once; the iterator now stands at the oldest record. */
            lsi_say(call, "%s", ls_last_error_message());
            continue;
        }
        if (st != LS_OK) {
            lsi_out_flush();
            return lsi_failed(call, st);
        }
        code = filter_batch(call, filter, batch, limit, so_far);
        if (code != LSI_EXIT_OK)
            return code;
        if (ls_batch_is_shard_end(batch) ? one : ls_batch_count(batch) == 0)
            return LSI_EXIT_OK; /* The tip; of all shards when none was named. */
    }
    return LSI_EXIT_OK;
}

static int print_counts(const lsi_call *call, const ls_filter *filter, const counts *found, int code)
{
    lsi_json_writer json;

    if (!call->json) { /* The records are the output. */
        lsi_out_flush();
        lsi_say(call, "%" PRIu64 " read, %" PRIu64 " matched, %" PRIu64 " not JSON", found->read, found->matched,
                ls_filter_not_json(filter));
        return code;
    }
    lsi_json_begin(&json, &lsi_memory_libc);
    lsi_json_object_open(&json);
    lsi_member_uint(&json, "read", found->read);
    lsi_member_uint(&json, "matched", found->matched);
    lsi_member_uint(&json, "not_json", ls_filter_not_json(filter));
    lsi_json_object_close(&json);
    return lsi_out_json(call, &json, code);
}

static int filter_stream(const lsi_call *call, ls_stream *stream, const ls_position *from, bool one)
{
    ls_filter_options filter_options = LS_FILTER_OPTIONS_INIT;
    ls_iterator_options reading = LS_ITERATOR_OPTIONS_INIT;
    counts found = {0, 0};
    ls_iterator *iterator;
    ls_filter *filter;
    ls_status st;
    int code;

    filter_options.patterns_max = PATTERNS_MAX;
    filter_options.stream = stream;
    st = ls_filter_open((const char *const *)call->arguments + 1, (size_t)call->argument_count - 1, &filter_options,
                        &filter);
    if (st == LS_ERR_INVALID_ARGUMENT)
        return lsi_usage(call, "%s", ls_last_error_message());
    if (st != LS_OK)
        return lsi_failed(call, st);
    reading.flags = call->values[DEAGGREGATE].given ? LS_ITERATOR_DEAGGREGATE : 0;
    if (one)
        st = ls_iterator_open(stream, (uint32_t)call->values[SHARD].number, from, &reading, &iterator);
    else
        st = ls_iterator_open_all(stream, from, &reading, &iterator);
    if (st != LS_OK) {
        code = lsi_failed(call, st);
    } else {
        code = filter_all(call, filter, iterator, one, &found);
        ls_iterator_close(iterator);
        code = print_counts(call, filter, &found, code);
    }
    ls_filter_close(filter);
    if (!lsi_record_print_end() && code == LSI_EXIT_OK) {
        lsi_say(call, "out of memory: a record was not printed");
        code = LSI_EXIT_FAILED;
    }
    return code;
}

static int run(lsi_call *call)
{
    ls_position position = {.kind = LS_TRIM_HORIZON};
    bool one = call->values[SHARD].given;
    ls_store *store;
    ls_stream *stream;
    int code;

    if (call->values[FROM].given && !lsi_parse_position(call->values[FROM].text, &position))
        return lsi_usage(call, "--from is '%s': it is trim-horizon, latest, at:SEQNO, after:SEQNO or time:T",
                         call->values[FROM].text);
    code = lsi_open_stream(call, call->arguments[0], false, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    code = lsi_need_one_shard(call, stream, &position, &one);
    if (code == LSI_EXIT_OK)
        code = filter_stream(call, stream, &position, one);
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_filter = {
    .name = "filter",
    .summary = "Print the records that filter patterns let pass",
    .arguments = "NAME PATTERN...",
    .help = "Prints each record that matches one of the patterns, up to the newest record;\n"
            "then how many were read, how many matched, and how many did not because their\n"
            "data is not JSON: on standard error, with --json as the last line, {\"read\",\n"
            "\"matched\", \"not_json\"}. Nothing is changed.\n"
            "\n"
            "A pattern is JSON in the language of AWS Lambda's event filters, for example\n"
            "  '{\"partitionKey\": [\"k1\"], \"data\": {\"price\": [{\"numeric\": [\">\", 100]}]}}'\n"
            "Up to ten of them; libstream/filter.h has the whole language.\n"
            "\n" LSI_RECORD_JSON_HELP,
    .arguments_min = 2,
    .arguments_max = 1 + PATTERNS_MAX,
    .needs_store = true,
    .options = options,
    .run = run,
};
