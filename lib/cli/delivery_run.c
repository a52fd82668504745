/* lstream delivery run: runs a delivery, with a program as its transform if it has one.
 *
 * The run is on this thread; another looks for a signal, and stops it. */
#include "cli/cli.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define SLICE_MS 500

typedef struct deliverer {
    const lsi_call *call;
    const lsi_delivery_wish *how;
    ls_delivery *delivery;
    int64_t late_ms; /* when the program that runs is late */
    int code;        /* of what ended the run from within */
    lsi_watch over;
} deliverer;

/* ---- the transform ---- */

static bool is_late(void *user)
{
    const deliverer *of = user;

    return lsi_now_ms() >= of->late_ms;
}

/* False, and why is said: the program has failed. */
static bool judge(const deliverer *of, const ls_transform *batch, lsi_child_end end)
{
    char why[64] = "";

    if (end.is_late)
        (void)snprintf(why, sizeof why, "took too long, and was killed");
    else if (end.is_too_much)
        (void)snprintf(why, sizeof why, "returned more than %zu bytes", LSI_CHILD_OUTPUT_MAX);
    else if (WIFSIGNALED(end.status))
        (void)snprintf(why, sizeof why, "was ended by signal %d", WTERMSIG(end.status));
    else if (WEXITSTATUS(end.status) != 0)
        (void)snprintf(why, sizeof why, "ended with %d", WEXITSTATUS(end.status));
    if (why[0] != '\0')
        lsi_say(of->call, "shard %u, %zu records, attempt %u: %s %s", ls_transform_at(batch, 0)->shard,
                ls_transform_count(batch), ls_transform_attempts(batch) + 1, of->how->command[0], why);
    return why[0] == '\0';
}

static ls_transform_answer transform(ls_transform *batch, void *user)
{
    deliverer *of = user;
    ls_transform_answer answer = LS_TRANSFORM_STOP;
    lsi_child_output out = {NULL, 0, 0};
    lsi_child_end end;
    ls_bytes event;
    ls_status st = ls_transform_event_json(batch, &event);

    if (st != LS_OK) {
        of->code = lsi_failed(of->call, st);
        return LS_TRANSFORM_STOP;
    }
    of->late_ms = lsi_now_ms() + of->how->timeout_ms;
    end = lsi_child_run(of->how->command, event.data, event.size, is_late, of, &out);
    if (end.err != 0) {
        lsi_say(of->call, "cannot run %s: %s", of->how->command[0], strerror(end.err));
        of->code = LSI_EXIT_FAILED;
    } else if (!judge(of, batch, end) && out.size <= LSI_CHILD_OUTPUT_MAX) {
        answer = LS_TRANSFORM_RETRY; /* What is too long is an answer, and would be no shorter. */
    } else {
        st = ls_transform_answer_json(batch, (ls_bytes){out.text, out.size}, &answer);
        if (st != LS_OK)
            of->code = lsi_failed(of->call, st);
    }
    free(out.text);
    return answer;
}

/* ---- the run ---- */

static void *watch(void *user)
{
    deliverer *of = user;

    while (!lsi_watch_is_over(&of->over, SLICE_MS))
        if (lsi_signal_number() != 0)
            ls_delivery_stop(of->delivery);
    return NULL;
}

static int deliver(deliverer *of)
{
    ls_delivery_run_options options = LS_DELIVERY_RUN_OPTIONS_INIT;
    ls_status st;
    int err = lsi_watch_begin(&of->over, watch, of);

    if (err != 0) {
        lsi_say(of->call, "%s", strerror(err));
        return LSI_EXIT_FAILED;
    }
    options.flags = of->how->until_caught_up ? LS_DELIVERY_UNTIL_CAUGHT_UP : 0;
    options.shards_max = of->how->shards_max;
    options.give_up_ms = of->how->give_up_ms;
    options.transform_timeout_ms = UINT32_MAX; /* A command that takes too long is killed. */
    options.transform = of->how->command != NULL ? transform : NULL;
    options.transform_user = of;
    st = ls_delivery_run(of->delivery, &options);
    if (st != LS_OK && of->code == LSI_EXIT_OK)
        of->code = lsi_failed(of->call, st);
    lsi_watch_end(&of->over);
    if (of->code != LSI_EXIT_OK)
        return of->code;
    return lsi_signal_number() != 0 ? 128 + lsi_signal_number() : LSI_EXIT_OK;
}

/* That there is a program if and only if the delivery has a transform. Returns an exit code. */
static int check_command(const lsi_call *call, ls_stream *stream, const lsi_delivery_wish *how)
{
    ls_delivery_options is = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description;
    ls_status st = ls_delivery_describe(stream, how->name, &description);
    bool has_transform;

    if (st != LS_OK)
        return lsi_failed(call, st);
    st = ls_delivery_description_options(description, &is);
    has_transform = (is.flags & LS_DELIVERY_TRANSFORM) != 0;
    ls_delivery_description_free(description);
    if (st != LS_OK)
        return lsi_failed(call, st);
    if ((is.flags & LS_DELIVERY_TO_CALLBACK) != 0)
        return lsi_usage(call, "delivery '%s' goes to a callback of a program, which runs it", how->name);
    if (has_transform && how->command == NULL)
        return lsi_usage(call, "delivery '%s' has a transform: a COMMAND is needed", how->name);
    if (!has_transform && how->command != NULL)
        return lsi_usage(call, "delivery '%s' has no transform, and no use for a COMMAND", how->name);
    return LSI_EXIT_OK;
}

int lsi_delivery_run_command(const lsi_call *call, ls_stream *stream, const lsi_delivery_wish *how)
{
    deliverer of = {.call = call, .how = how};
    int code = check_command(call, stream, how);
    ls_status st;

    if (code != LSI_EXIT_OK)
        return code;
    st = ls_delivery_open(stream, how->name, &of.delivery);
    if (st != LS_OK)
        return lsi_failed(call, st);
    code = deliver(&of);
    (void)ls_delivery_close(of.delivery); /* No run is left that it could be refused for. */
    return code;
}
