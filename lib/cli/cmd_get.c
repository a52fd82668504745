/* lstream get: prints what can be read now, from a position to the tip, and ends.
 *
 * Damage ends it, unless --skip-damage: then shards are read one after the other, so that the damage of one keeps
 * nobody from the others. */
#include "cli/cli.h"

enum { SHARD, FROM, LIMIT, DEAGGREGATE, SKIP, NO_RETRY };
static const lsi_option options[] = {
    [SHARD] = {"shard", LSI_OPTION_NUMBER, "N", "Only this shard; all of them unless told otherwise.", 0,
               UINT32_MAX - 1, 0},
    [FROM] = {"from", LSI_OPTION_TEXT, "P", LSI_FROM_HELP " The default is trim-horizon.", 0, 0, 0},
    [LIMIT] = {"limit", LSI_OPTION_NUMBER, "N", "At most this many records.", 1, UINT64_MAX, 'n'},
    [DEAGGREGATE] = {"deaggregate", LSI_OPTION_FLAG, NULL, LSI_DEAGGREGATE_HELP, 0, 0, 0},
    [SKIP] = {"skip-damage", LSI_OPTION_FLAG, NULL,
        "Go on behind damage, saying what is passed over; the exit code is 4 all the same.", 0, 0, 0},
    [NO_RETRY] = {"no-retry", LSI_OPTION_FLAG, NULL, LSI_NO_RETRY_HELP, 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

/* Prints until the tip, the limit, or the reader is gone. `shard`: LS_NO_SHARD for all of them at once; only a single
 * one can go on behind damage. */
static int print_all(const lsi_call *call, ls_iterator *iterator, uint32_t shard, const ls_position *from,
                     uint64_t *left)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    bool one_shard = shard != LS_NO_SHARD;
    ls_seqno passed = 0;
    uint32_t tries = 0;
    int code = LSI_EXIT_OK;

    if (from->kind == LS_AT_SEQUENCE_NUMBER || from->kind == LS_AFTER_SEQUENCE_NUMBER)
        passed = from->seqno - (from->kind == LS_AT_SEQUENCE_NUMBER && from->seqno != 0);
    while (*left > 0 && !lsi_out_broken()) {
        const ls_batch *batch;
        ls_status st;

        next.records_max = *left < 10000 ? (uint32_t)*left : 10000;
        st = ls_iterator_next(iterator, &next, &batch);
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
        if ((st == LS_ERR_CORRUPT || st == LS_ERR_IO) && one_shard && call->values[SKIP].given) {
            lsi_out_flush();
            code = LSI_EXIT_DAMAGE;
            if (!lsi_pass_damage(call, iterator, shard, &passed))
                return code;
            continue;
        }
        if (st != LS_OK) {
            lsi_out_flush();
            code = lsi_failed(call, st);
            if (st == LS_ERR_CORRUPT || st == LS_ERR_IO)
                lsi_say(call, "records behind it and in other shards can be had with --skip-damage");
            return code;
        }
        if (ls_batch_count(batch) == 0 && (ls_batch_shard(batch) == LS_NO_SHARD || !ls_batch_is_shard_end(batch)))
            return code; /* The tip. */
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);

            passed = record->seqno > passed || !one_shard ? record->seqno : passed;
            if (code == LSI_EXIT_DAMAGE && from->kind == LS_AT_TIMESTAMP && record->arrival_us < from->timestamp_us)
                continue; /* Behind damage that lies before the time asked for. */
            lsi_record_print(record, call->json);
            --*left;
        }
        if (one_shard && ls_batch_is_shard_end(batch))
            return code;
    }
    return code;
}

static int print_shard(const lsi_call *call, ls_stream *stream, uint32_t shard, const ls_position *from,
                       uint64_t *left)
{
    ls_iterator_options how = LS_ITERATOR_OPTIONS_INIT;
    ls_iterator *iterator;
    ls_status st;
    int code;

    how.flags = call->values[DEAGGREGATE].given ? LS_ITERATOR_DEAGGREGATE : 0;
    if (shard == LS_NO_SHARD)
        st = ls_iterator_open_all(stream, from, &how, &iterator);
    else
        st = ls_iterator_open(stream, shard, from, &how, &iterator);
    if (st != LS_OK)
        return lsi_failed(call, st);
    code = print_all(call, iterator, shard, from, left);
    ls_iterator_close(iterator);
    return code;
}

/* Each shard by itself, so that the damage of one keeps nobody from the others. */
static int print_each_shard(const lsi_call *call, ls_stream *stream, const ls_position *from, uint64_t *left)
{
    ls_stream_description *description;
    int code = LSI_EXIT_OK;

    if (ls_stream_describe(stream, &description) != LS_OK)
        return lsi_failed(call, ls_last_error_status());
    for (uint32_t i = 0; i < ls_stream_description_shard_count(description) && *left > 0 && !lsi_out_broken(); i++) {
        ls_shard_info info = LS_SHARD_INFO_INIT;
        int of_shard;

        if (ls_stream_description_shard(description, i, &info) != LS_OK) {
            code = lsi_failed(call, ls_last_error_status());
            break;
        }
        of_shard = print_shard(call, stream, info.shard, from, left);
        if (of_shard != LSI_EXIT_OK)
            code = of_shard;
        if (of_shard != LSI_EXIT_OK && of_shard != LSI_EXIT_DAMAGE)
            break;
    }
    ls_stream_description_free(description);
    return code;
}

static int run(lsi_call *call)
{
    const lsi_value *values = call->values;
    ls_position position = {.kind = LS_TRIM_HORIZON};
    uint64_t left = values[LIMIT].given ? values[LIMIT].number : UINT64_MAX;
    ls_store *store;
    ls_stream *stream;
    bool one = values[SHARD].given;
    int code;

    if (values[FROM].given && !lsi_parse_position(values[FROM].text, &position))
        return lsi_usage(call, "--from is '%s': it is trim-horizon, latest, at:SEQNO, after:SEQNO or time:T",
                         values[FROM].text);
    code = lsi_open_stream(call, call->arguments[0], false, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    code = lsi_need_one_shard(call, stream, &position, &one);
    if (code != LSI_EXIT_OK)
        return lsi_close_stream(call, stream, store, code);
    if (one)
        code = print_shard(call, stream, (uint32_t)values[SHARD].number, &position, &left);
    else if (values[SKIP].given)
        code = print_each_shard(call, stream, &position, &left);
    else
        code = print_shard(call, stream, LS_NO_SHARD, &position, &left);
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
