/* Evaluates the alert rules of a stream: a mapping's batches are shown to them, and a thread looks at metrics, and for
 * signals, from time to time. Alerts come on several threads at once: standard output is shared under one lock. */
#include "cli/cli.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>

#define SLICE_MS 200

typedef struct running {
    const lsi_call *call;
    const lsi_alert_running *how;
    ls_mapping *mapping;
    ls_alerts *alerts;
    pthread_mutex_t printing; /* standard output, and `code` */
    int code;                 /* of what ended the run from within */
    lsi_watch over;
} running;

static void end_with(running *of, int code)
{
    (void)pthread_mutex_lock(&of->printing);
    if (of->code == LSI_EXIT_OK)
        of->code = code;
    (void)pthread_mutex_unlock(&of->printing);
}

/* ---- alerts ---- */

static void place_json(lsi_json_writer *json, const char *shard_key, const char *seqno_key, ls_record_id id)
{
    lsi_json_key(json, shard_key);
    if (id.seqno == LS_SEQNO_NONE)
        lsi_json_null(json);
    else
        lsi_json_uint(json, id.shard);
    lsi_json_key(json, seqno_key);
    if (id.seqno == LS_SEQNO_NONE)
        lsi_json_null(json);
    else
        lsi_json_uint(json, id.seqno);
}

static void number_json(lsi_json_writer *json, const char *key, double value)
{
    lsi_json_key(json, key);
    lsi_json_double(json, value);
}

static void write_alert(lsi_json_writer *json, const ls_alert *alert)
{
    lsi_json_object_open(json);
    lsi_member_string(json, "kind", alert->kind == LS_ALERT_FIRED ? "fired" : "cannot-fire");
    lsi_member_string(json, "alert", alert->name);
    lsi_member_string(json, "stream", alert->stream);
    if (alert->kind == LS_ALERT_FIRED) {
        number_json(json, "value", alert->value);
        lsi_member_uint(json, "count", alert->count);
        lsi_member_int(json, "window_start_us", alert->window_start_us);
        lsi_member_int(json, "window_end_us", alert->window_end_us);
        lsi_member_int(json, "at_us", alert->at_us);
        place_json(json, "shard", "seqno", alert->record);
        place_json(json, "first_shard", "first_seqno", alert->first);
    }
    lsi_member_uint(json, "observed", alert->observed_count);
    lsi_member_uint(json, "values", alert->value_count);
    number_json(json, "least", alert->least);
    number_json(json, "greatest", alert->greatest);
    lsi_json_object_close(json);
}

static bool is_over(void *user)
{
    (void)user;
    return lsi_signal_number() != 0;
}

/* Its exit code is the answer. */
static int32_t hand_over(running *of, const ls_alert *alert, const lsi_json_writer *json)
{
    const char *program = of->how->command[0];
    lsi_child_end end = lsi_child_run(of->how->command, json->text, json->size, is_over, NULL, NULL);
    bool is_told = end.err == 0 && !end.is_late && WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0;

    if (end.err != 0) {
        lsi_say(of->call, "cannot run %s: %s", program, strerror(end.err));
        end_with(of, LSI_EXIT_FAILED);
        ls_mapping_stop(of->mapping);
    } else if (!is_told && !end.is_late) {
        lsi_say(of->call, "alert %s: %s %s %d", alert->name, program,
                WIFSIGNALED(end.status) ? "was ended by signal" : "ended with",
                WIFSIGNALED(end.status) ? WTERMSIG(end.status) : WEXITSTATUS(end.status));
    }
    return is_told ? 0 : 1;
}

static int32_t tell(const ls_alert *alert, void *user)
{
    running *of = user;
    lsi_json_writer json;
    int32_t answer = 1;

    lsi_json_begin(&json, &lsi_memory_libc);
    write_alert(&json, alert);
    if (json.failed) {
        lsi_say(of->call, "out of memory");
    } else if (of->how->command != NULL) {
        answer = hand_over(of, alert, &json);
    } else {
        (void)pthread_mutex_lock(&of->printing);
        lsi_out(json.text, json.size);
        lsi_out("\n", 1);
        lsi_out_flush();
        answer = lsi_out_broken() ? 1 : 0;
        (void)pthread_mutex_unlock(&of->printing);
    }
    lsi_json_free(&json);
    return answer;
}

/* ---- running ---- */

/* What could not be told or stored for now comes again. */
static ls_handler_answer show(const ls_batch *batch, ls_handler_context *context, void *user)
{
    running *of = user;
    ls_status st = ls_alerts_observe(of->alerts, batch);

    (void)context;
    if (st == LS_OK)
        return LS_HANDLER_DONE;
    if (st == LS_ERR_CANCELLED)
        return lsi_out_broken() || lsi_signal_number() != 0 ? LS_HANDLER_STOP : LS_HANDLER_RETRY;
    if (ls_status_is_retryable(st))
        return LS_HANDLER_RETRY;
    end_with(of, lsi_failed(of->call, st));
    return LS_HANDLER_STOP;
}

static void look(running *of)
{
    ls_status st = ls_alerts_check(of->alerts);

    if (st == LS_OK || st == LS_ERR_CANCELLED || ls_status_is_retryable(st))
        return;
    end_with(of, lsi_failed(of->call, st));
    ls_mapping_stop(of->mapping);
}

static void *watch(void *user)
{
    running *of = user;
    int64_t next_ms = lsi_now_ms();
    int slice = of->how->interval_ms < SLICE_MS ? of->how->interval_ms : SLICE_MS;

    while (!lsi_watch_is_over(&of->over, slice)) {
        if (lsi_signal_number() != 0 || (of->how->command == NULL && lsi_out_reader_is_gone()))
            ls_mapping_stop(of->mapping);
        else if (lsi_now_ms() >= next_ms && !of->how->until_caught_up) {
            look(of);
            next_ms = lsi_now_ms() + of->how->interval_ms;
        }
    }
    return NULL;
}

static int run_both(running *of)
{
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_status st;
    int err = lsi_watch_begin(&of->over, watch, of);

    if (err != 0) {
        lsi_say(of->call, "%s", strerror(err));
        return LSI_EXIT_FAILED;
    }
    how.flags = of->how->until_caught_up ? LS_RUN_UNTIL_CAUGHT_UP : 0;
    st = ls_mapping_run(of->mapping, &how, show, of);
    if (st != LS_OK)
        end_with(of, lsi_failed(of->call, st));
    lsi_watch_end(&of->over);
    if (of->how->until_caught_up && of->code == LSI_EXIT_OK)
        look(of);
    if (of->code != LSI_EXIT_OK)
        return of->code;
    return lsi_signal_number() != 0 ? 128 + lsi_signal_number() : LSI_EXIT_OK;
}

/* Makes the mapping if that is wanted; it must have one lane, since rules are shown batches in their order. */
static int open_mapping(running *of, ls_stream *stream)
{
    ls_mapping_options to = LS_MAPPING_OPTIONS_INIT, is = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_description *description = NULL;
    const char *name = of->how->mapping;
    ls_status st;

    to.flags = LS_MAPPING_DEAGGREGATE; /* Rules are about records as their producers know them. */
    st = of->how->creates ? ls_mapping_create(stream, name, &of->how->from, &to) : LS_OK;

    if (st == LS_OK || st == LS_ERR_EXISTS)
        st = ls_mapping_describe(stream, name, &description);
    if (st == LS_OK)
        st = ls_mapping_description_options(description, &is);
    if (st == LS_OK)
        st = ls_mapping_open(stream, name, &of->mapping);
    ls_mapping_description_free(description);
    if (st != LS_OK)
        return lsi_failed(of->call, st);
    if (is.lane_count == 1 && is.tumbling_window_s == 0)
        return LSI_EXIT_OK;
    (void)ls_mapping_close(of->mapping);
    return lsi_usage(of->call, "mapping '%s' has %s: rules need one whose batches come in order, as they are", name,
                     is.lane_count == 1 ? "windows" : "several lanes");
}

int lsi_alerts_run(const lsi_call *call, ls_stream *stream, const lsi_alert_running *how)
{
    running of = {.call = call, .how = how, .printing = PTHREAD_MUTEX_INITIALIZER};
    int code = open_mapping(&of, stream);
    ls_status st;

    if (code != LSI_EXIT_OK)
        return code;
    st = ls_alerts_open(stream, tell, &of, &of.alerts);
    if (st == LS_OK) {
        code = run_both(&of);
        st = ls_alerts_close(of.alerts);
    }
    if (st != LS_OK && code == LSI_EXIT_OK)
        code = lsi_failed(call, st);
    (void)ls_mapping_close(of.mapping); /* No run is left that it could be refused for. */
    return code;
}
