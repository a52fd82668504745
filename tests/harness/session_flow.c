/* What works on a stream by itself: a mapping, whose handler makes a record of each, and windows, which count them. See
 * session.h.
 *
 * A mapping's handler runs on a thread of the library, which therefore gets a processor while one runs: of one shard
 * and one lane there is one at a time, and the session waits for it. What it writes and when its progress is stored may
 * be another order the next time: such a workload is repeated only nearly. */
#include "harness/session_inside.h"

#include <string.h>

#include "base/thread.h"

#define MAPPING "m"
#define WINDOW "w"
#define WINDOW_RECORDS 4u /* numbers of puts in a window, which has as many seconds */

/* ---- a mapping ---- */

static ls_status make_mapping(session *of, uint32_t stream)
{
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_status st;

    options.records_max = 3;
    options.sync_interval_ms = 5;
    options.handler_timeout_ms = LS_MAPPING_NO_TIMEOUT;
    st = session_answered(of, ls_mapping_create(of->streams[stream], MAPPING, &horizon, &options));
    if (st == LS_OK)
        of->truth->streams[stream].mapped_at = session_here(of);
    return st;
}

ls_status session_map(session *of, uint32_t stream, uint32_t to)
{
    ls_status st = session_want_stream(of, stream);

    if (st == LS_OK)
        of->truth->streams[stream].maps_to = to;
    return st == LS_OK ? make_mapping(of, stream) : st;
}

static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    session *of = user;

    (void)context;
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        uint32_t number = truth_identify(of->truth, ls_batch_at(batch, i));
        uint32_t to;

        if (number == 0) {
            session_complain(of, "a handler is given a record that was never put");
            return LS_HANDLER_STOP;
        }
        to = of->truth->streams[of->truth->puts[number - 1].stream].maps_to;
        if (session_put(of, to, 0, of->truth->puts[number - 1].data_bytes) != LS_OK)
            return LS_HANDLER_RETRY;
        of->truth->puts[of->truth->put_count - 1].source = number;
    }
    return LS_HANDLER_DONE;
}

ls_status session_drain(session *of, uint32_t stream)
{
    ls_mapping_run_options options = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping *mapping;
    ls_status st = session_want_stream(of, stream);

    if (st == LS_OK)
        st = session_want_stream(of, of->truth->streams[stream].maps_to);
    if (st == LS_OK)
        st = session_answered(of, ls_mapping_open(of->streams[stream], MAPPING, &mapping));
    if (st != LS_OK)
        return st;
    options.flags = LS_RUN_UNTIL_CAUGHT_UP;
    session_threads(of, true);
    st = session_answered(of, ls_mapping_run(mapping, &options, handle, of));
    session_threads(of, false);
    (void)session_look(of);
    if (ls_mapping_close(mapping) != LS_OK)
        session_complain(of, "a mapping does not close: %s", ls_last_error_message());
    return st;
}

static void drain_on(session *of, uint32_t stream)
{
    const stream_fact *fact = &of->truth->streams[stream];
    char what[256];
    ls_status st;

    if (fact->maps_to == stream || session_want_stream(of, fact->maps_to) == LS_ERR_NOT_FOUND)
        return;
    st = session_drain(of, stream);
    if (st == LS_ERR_NOT_FOUND && fact->mapped_at != NEVER)
        session_complain(of, "D6: the mapping of stream '%s' is lost", fact->name);
    if (st == LS_ERR_NOT_FOUND && make_mapping(of, stream) == LS_OK)
        st = session_drain(of, stream);
    if (st == LS_OK)
        st = session_read_all(of, fact->maps_to);
    if (st == LS_OK)
        st = session_read_all(of, stream);
    if (st != LS_OK)
        session_complain(of, "the mapping of stream '%s' does not run: %s", fact->name, ls_last_error_message());
    else if (!truth_check_handled(of->truth, stream, what))
        session_complain(of, "stream '%s': %s", fact->name, what);
}

/* ---- windows ---- */

static int32_t time_of(const ls_record *record, int64_t *time_ms, void *user)
{
    const session *of = user;

    *time_ms = (int64_t)truth_identify(of->truth, record) * 1000;
    return 1;
}

static ls_window_answer take_result(const ls_window_result *result, void *user)
{
    session *of = user;
    uint32_t window = (uint32_t)(result->start_ms / (WINDOW_RECORDS * 1000));

    if (result->start_ms < 0 || window >= TRUTH_WINDOWS)
        session_complain(of, "a window begins at %lld", (long long)result->start_ms);
    else if (of->is_finishing)
        of->rest[window] = result->count;
    else
        truth_result(of->truth, of->worked_on, window, result->count, session_here(of));
    return LS_WINDOW_GO_ON;
}

static void left_over(const ls_record *record, ls_window_reason reason, int64_t time_ms, void *user)
{
    session *of = user;

    (void)record;
    session_complain(of, "the record of second %lld is in no window, for reason %d", (long long)time_ms / 1000,
                     (int)reason);
}

void session_close_window(session *of)
{
    if (of->window != NULL) /* An error is that the name is still taken: the next one takes it over. */
        (void)session_answered(of, ls_window_close(of->window));
    of->window = NULL;
}

ls_status session_count(session *of, uint32_t stream)
{
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;
    ls_window_run_options how = LS_WINDOW_RUN_OPTIONS_INIT;
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    of->truth->streams[stream].is_windowed = true;
    of->worked_on = stream;
    options.kind = LS_WINDOW_TUMBLING;
    options.size_ms = WINDOW_RECORDS * 1000;
    options.idle_timeout_ms = LS_WINDOW_NEVER_IDLE;
    options.flags = LS_WINDOW_ONE_KEY | LS_WINDOW_TAKE_OVER;
    options.time_of = time_of;
    options.result = take_result;
    options.left_over = left_over;
    options.user = of;
    if (of->window == NULL)
        st = session_answered(of, ls_window_open(of->streams[stream], WINDOW, &options, &of->window));
    if (st != LS_OK) {
        of->window = NULL;
        return st;
    }
    how.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    st = session_answered(of, ls_window_run(of->window, &how));
    (void)session_look(of);
    if (st != LS_OK) /* Some of it may not be there any more: whoever goes on reads what is stored. */
        session_close_window(of);
    return st;
}

/* What is stored is gone on with; then the windows that wait for more are looked at, too, and that is not stored. */
static void count_on(session *of, uint32_t stream)
{
    char what[256];
    ls_status st;

    if (!of->truth->streams[stream].is_windowed)
        return;
    session_close_window(of);
    memset(of->rest, 0, sizeof(of->rest));
    st = session_count(of, stream);
    of->is_finishing = true;
    if (st == LS_OK)
        st = session_answered(of, ls_window_finish(of->window));
    of->is_finishing = false;
    session_close_window(of);
    if (st == LS_OK)
        st = session_read_all(of, stream);
    if (st != LS_OK)
        session_complain(of, "the windows of stream '%s' do not go on: %s", of->truth->streams[stream].name,
                         ls_last_error_message());
    else if (!truth_check_windows(of->truth, stream, WINDOW_RECORDS, of->rest,
                                  of->durability == LS_DURABILITY_SYNC, what))
        session_complain(of, "stream '%s': %s", of->truth->streams[stream].name, what);
}

void session_flow_on(session *of, uint32_t stream)
{
    drain_on(of, stream);
    count_on(of, stream);
}
