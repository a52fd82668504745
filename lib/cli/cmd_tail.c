/* lstream tail: follows all shards until Ctrl+C, a limit, or silence.
 *
 * A signal only sets a number; the wait ends because the iterator was opened INTERRUPTIBLE, and because waits are
 * cut into slices, so that a signal between the look at the flag and the wait costs a slice and no more. After each
 * slice a pipe is asked whether its reader is still there: `lstream tail | head -1` ends without another record.
 *
 * With --skip-damage each shard is followed by itself: follow_each.c. */
#include "cli/cli.h"

#define SLICE_MS 500

enum { FROM, LIMIT, TIMEOUT, DEAGGREGATE, SKIP };
static const lsi_option options[] = {
    [FROM] = {"from", LSI_OPTION_TEXT, "P",
        "Where to begin: latest (the default), trim-horizon, or time:T with T as 2026-11-20T11:42:18Z or seconds since "
        "1970.", 0, 0, 0},
    [LIMIT] = {"limit", LSI_OPTION_NUMBER, "N", "End after this many records.", 1, UINT64_MAX, 'n'},
    [TIMEOUT] = {"timeout", LSI_OPTION_NUMBER, "MS", "End when no record came for this many milliseconds.", 0,
        UINT32_MAX, 0},
    [DEAGGREGATE] = {"deaggregate", LSI_OPTION_FLAG, NULL, LSI_DEAGGREGATE_HELP, 0, 0, 0},
    [SKIP] = {"skip-damage", LSI_OPTION_FLAG, NULL,
        "Go on behind damage, saying what is passed over; the exit code is 4 all the same, but at a signal.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static int follow(const lsi_call *call, ls_iterator *iterator, uint64_t limit, int64_t timeout_ms)
{
    int64_t last_ms = lsi_now_ms();
    uint64_t printed = 0;

    while (lsi_signal_number() == 0 && printed < limit && !lsi_out_broken()) {
        ls_next_options next = LS_NEXT_OPTIONS_INIT;
        const ls_batch *batch;
        int64_t quiet_ms = lsi_now_ms() - last_ms;
        uint64_t left = limit - printed;
        size_t count;
        ls_status st;

        next.records_max = left < 10000 ? (uint32_t)left : 10000;
        next.timeout_ms = quiet_ms >= timeout_ms ? 0 : timeout_ms - quiet_ms;
        if (next.timeout_ms > SLICE_MS)
            next.timeout_ms = SLICE_MS;
        st = ls_iterator_next(iterator, &next, &batch);
        if (st == LS_ERR_CANCELLED)
            continue;
        if (st == LS_ERR_THROTTLED) { /* Who follows a stream waits anyhow. */
            (void)lsi_wait_for_turn(0);
            continue;
        }
        if (st == LS_ERR_TRIMMED) { /* Said once; the iterator now stands at the oldest record. */
            lsi_say(call, "%s", ls_last_error_message());
            continue;
        }
        if (st != LS_OK) {
            lsi_out_flush();
            if (st == LS_ERR_CORRUPT || st == LS_ERR_IO)
                lsi_say(call, "records behind it and in other shards can be had with --skip-damage");
            return lsi_failed(call, st);
        }
        count = ls_batch_count(batch);
        for (size_t i = 0; i < count; i++)
            lsi_record_print(ls_batch_at(batch, i), call->json);
        printed += count;
        if (count != 0) {
            lsi_out_flush();
            last_ms = lsi_now_ms();
        } else if (quiet_ms >= timeout_ms || lsi_out_reader_is_gone()) {
            break;
        }
    }
    return lsi_signal_number() != 0 ? 128 + lsi_signal_number() : LSI_EXIT_OK;
}

static int follow_all(const lsi_call *call, ls_stream *stream, const ls_position *from, uint32_t flags,
                      uint64_t limit, int64_t timeout_ms)
{
    ls_iterator_options interruptible = LS_ITERATOR_OPTIONS_INIT;
    ls_iterator *iterator;
    ls_status st;
    int code;

    interruptible.flags = LS_ITERATOR_INTERRUPTIBLE | flags;
    st = ls_iterator_open_all(stream, from, &interruptible, &iterator);
    if (st != LS_OK)
        return lsi_failed(call, st);
    code = follow(call, iterator, limit, timeout_ms);
    ls_iterator_close(iterator);
    return code;
}

static int run(lsi_call *call)
{
    const lsi_value *values = call->values;
    uint64_t limit = values[LIMIT].given ? values[LIMIT].number : UINT64_MAX;
    int64_t timeout_ms = values[TIMEOUT].given ? (int64_t)values[TIMEOUT].number : INT64_MAX;
    uint32_t flags = values[DEAGGREGATE].given ? LS_ITERATOR_DEAGGREGATE : 0;
    ls_position position = {.kind = LS_LATEST};
    ls_store *store;
    ls_stream *stream;
    int code;

    if (call->values[FROM].given &&
        (!lsi_parse_position(call->values[FROM].text, &position) || position.seqno != LS_SEQNO_NONE ||
         position.kind == LS_AT_SEQUENCE_NUMBER || position.kind == LS_AFTER_SEQUENCE_NUMBER))
        return lsi_usage(call, "--from is '%s': it is latest, trim-horizon or time:T", call->values[FROM].text);
    lsi_signals_catch();
    code = lsi_open_stream(call, call->arguments[0], false, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    if (call->values[SKIP].given)
        code = lsi_follow_each(call, stream, &position, flags, limit, timeout_ms);
    else
        code = follow_all(call, stream, &position, flags, limit, timeout_ms);
    if (!lsi_record_print_end() && code == LSI_EXIT_OK) {
        lsi_say(call, "out of memory: a record was not printed");
        code = LSI_EXIT_FAILED;
    }
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_tail = {
    .name = "tail",
    .summary = "Print records as they come, from all shards",
    .arguments = "NAME",
    .help = "Prints each record's data as a line, until Ctrl+C (exit code 130).\n"
            "\n" LSI_RECORD_JSON_HELP,
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
