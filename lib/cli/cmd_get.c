/* lstream get: prints what can be read now, from a position to the tip, and ends. */
#include "cli/cli.h"

#include <inttypes.h>

enum { SHARD, FROM, LIMIT };
static const lsi_option options[] = {
    [SHARD] = {"shard", LSI_OPTION_NUMBER, "N", "Only this shard; all of them unless told otherwise.", 0,
               UINT32_MAX - 1, 0},
    [FROM] = {"from", LSI_OPTION_TEXT, "P", LSI_FROM_HELP " The default is trim-horizon.", 0, 0, 0},
    [LIMIT] = {"limit", LSI_OPTION_NUMBER, "N", "At most this many records.", 1, UINT64_MAX, 'n'},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

/* Prints until the tip, the limit, or the reader is gone. */
static int print_all(const lsi_call *call, ls_iterator *iterator, bool one_shard, uint64_t limit)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    uint64_t printed = 0;

    while (printed < limit && !lsi_out_broken()) {
        const ls_batch *batch;
        uint64_t left = limit - printed;
        ls_status st;

        next.records_max = left < 10000 ? (uint32_t)left : 10000;
        st = ls_iterator_next(iterator, &next, &batch);
        if (st == LS_ERR_TRIMMED) { /* Said once; the iterator now stands at the oldest record. */
            lsi_say(call, "%s", ls_last_error_message());
            continue;
        }
        if (st != LS_OK)
            return lsi_failed(call, st);
        if (ls_batch_count(batch) == 0 && (ls_batch_shard(batch) == LS_NO_SHARD || !ls_batch_is_shard_end(batch)))
            return LSI_EXIT_OK; /* The tip. */
        for (size_t i = 0; i < ls_batch_count(batch); i++)
            lsi_record_print(ls_batch_at(batch, i), call->json);
        printed += ls_batch_count(batch);
        if (one_shard && ls_batch_is_shard_end(batch))
            return LSI_EXIT_OK;
    }
    return LSI_EXIT_OK;
}

static int run(lsi_call *call)
{
    const lsi_value *values = call->values;
    ls_position position = {.kind = LS_TRIM_HORIZON};
    ls_iterator *iterator;
    ls_store *store;
    ls_stream *stream;
    ls_status st;
    bool one = values[SHARD].given, by_number;
    int code;

    if (values[FROM].given && !lsi_parse_position(values[FROM].text, &position))
        return lsi_usage(call, "--from is '%s': it is trim-horizon, latest, at:SEQNO, after:SEQNO or time:T",
                         values[FROM].text);
    code = lsi_open_stream(call, call->arguments[0], false, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    by_number = position.kind == LS_AT_SEQUENCE_NUMBER || position.kind == LS_AFTER_SEQUENCE_NUMBER;
    if (!one && by_number) { /* Numbers belong to a shard: with one shard it is clear which. */
        ls_stream_description *description;

        st = ls_stream_describe(stream, &description);
        if (st != LS_OK) {
            code = lsi_failed(call, st);
            return lsi_close_stream(call, stream, store, code);
        }
        one = ls_stream_description_shard_count(description) == 1;
        if (!one)
            code = lsi_usage(call, "stream '%s' has %" PRIu32 " shards, and numbers belong to a shard: say --shard N",
                             call->arguments[0], ls_stream_description_shard_count(description));
        ls_stream_description_free(description);
        if (!one)
            return lsi_close_stream(call, stream, store, code);
    }
    if (one)
        st = ls_iterator_open(stream, (uint32_t)values[SHARD].number, &position, NULL, &iterator);
    else
        st = ls_iterator_open_all(stream, &position, NULL, &iterator);
    if (st != LS_OK) {
        code = lsi_failed(call, st);
    } else {
        code = print_all(call, iterator, one, values[LIMIT].given ? values[LIMIT].number : UINT64_MAX);
        ls_iterator_close(iterator);
    }
    if (!lsi_record_print_end() && code == LSI_EXIT_OK) {
        lsi_say(call, "out of memory: a record was not printed");
        code = LSI_EXIT_FAILED;
    }
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_get = {
    .name = "get",
    .summary = "Print the records that are there",
    .arguments = "NAME",
    .help = "Prints each record's data as a line, up to the newest record, and ends. Records\n"
            "of one shard come in order; between shards there is none.\n"
            "\n" LSI_RECORD_JSON_HELP,
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
