/* lstream consume: runs a mapping: prints its batches, or runs a program for each, which makes a handler of a program
 * in any language.
 *
 * Handlers are called on several threads at once. Standard output is shared under one lock; programs run side by side.
 * A signal only sets a number: a thread looks for it, and for an output whose reader went away, and stops the run. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define SLICE_MS 500
#define FAILOVER_MS_LEAST 100
#define FAILOVER_MS_MOST 600000

enum { LINES, UNTIL_CAUGHT_UP, SHARDS, FAILOVER };
static const lsi_option options[] = {
    [LINES] = {"lines", LSI_OPTION_FLAG, NULL, "COMMAND gets each record's data as a line instead of the event "
               "document.", 0, 0, 0},
    [UNTIL_CAUGHT_UP] = {"until-caught-up", LSI_OPTION_FLAG, NULL, "End when all shards were worked on up to the "
                         "newest record.", 0, 0, 0},
    [SHARDS] = {"shards", LSI_OPTION_NUMBER, "N", "Work on at most so many shards at once; without it, on as many as "
                "there are for this run.", 1, UINT32_MAX, 0},
    [FAILOVER] = {"failover-ms", LSI_OPTION_NUMBER, "MS", "When this run is not heard of for so long, others go on "
                  "with its shards; 10000.", FAILOVER_MS_LEAST, FAILOVER_MS_MOST, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

typedef struct consumer {
    const lsi_call *call;
    char *const *command; /* NULL: batches are printed */
    ls_mapping *mapping;
    pthread_mutex_t printing; /* standard output, and `code` */
    int code;                 /* of what ended the run from within */
    lsi_watch over;
} consumer;

static void end_with(consumer *of, int code)
{
    (void)pthread_mutex_lock(&of->printing);
    if (of->code == LSI_EXIT_OK)
        of->code = code;
    (void)pthread_mutex_unlock(&of->printing);
}

/* ---- without a program ---- */

static ls_handler_answer print(consumer *of, const ls_batch *batch)
{
    bool is_good;

    (void)pthread_mutex_lock(&of->printing);
    for (size_t i = 0; i < ls_batch_count(batch); i++)
        lsi_record_print(ls_batch_at(batch, i), of->call->json);
    lsi_out_flush();
    is_good = !lsi_out_broken();
    (void)pthread_mutex_unlock(&of->printing);
    return is_good ? LS_HANDLER_DONE : LS_HANDLER_STOP; /* What nobody got is not finished. */
}

/* ---- with one ---- */

/* Says why a batch is not finished. */
static void say_failed(consumer *of, const ls_batch *batch, const ls_handler_context *context, const char *why)
{
    size_t count = ls_batch_count(batch);
    char what[96] = "the end of a window";

    if (count != 0)
        (void)snprintf(what, sizeof what, "%" PRIu64 "..%" PRIu64, ls_batch_at(batch, 0)->seqno,
                       ls_batch_at(batch, count - 1)->seqno);
    (void)pthread_mutex_lock(&of->printing);
    lsi_say(of->call, "shard %" PRIu32 ", %s, attempt %" PRIu32 ": %s %s", ls_batch_shard(batch), what,
            ls_handler_attempts(context) + 1, of->command[0], why);
    (void)pthread_mutex_unlock(&of->printing);
}

/* The batch as lines, malloc's. False: no memory. */
static bool make_lines(const ls_batch *batch, char **text, size_t *bytes)
{
    size_t size = 0, count = ls_batch_count(batch);

    for (size_t i = 0; i < count; i++)
        size += ls_batch_at(batch, i)->data.size + 1;
    *bytes = 0;
    *text = malloc(size + 1); /* An empty one has an address, too. */
    for (size_t i = 0; *text != NULL && i < count; i++) {
        ls_bytes data = ls_batch_at(batch, i)->data;

        if (data.size != 0)
            memcpy(*text + *bytes, data.data, data.size);
        (*text)[*bytes + data.size] = '\n';
        *bytes += data.size + 1;
    }
    return *text != NULL;
}

static bool is_late(void *user)
{
    return ls_handler_is_late(user) != 0;
}

/* Its exit code is the answer; what it returned says more, where the mapping wants to know more. */
static ls_handler_answer judge(consumer *of, const ls_batch *batch, ls_handler_context *context, lsi_child_end end,
                               const lsi_child_output *out)
{
    ls_handler_answer answer = LS_HANDLER_DONE;
    char why[64] = "";
    ls_status st;

    if (end.is_late)
        (void)snprintf(why, sizeof why, "took too long, and was killed");
    else if (end.is_too_much)
        (void)snprintf(why, sizeof why, "returned more than %zu bytes", LSI_CHILD_OUTPUT_MAX);
    else if (WIFSIGNALED(end.status))
        (void)snprintf(why, sizeof why, "was ended by signal %d", WTERMSIG(end.status));
    else if (WEXITSTATUS(end.status) != 0)
        (void)snprintf(why, sizeof why, "ended with %d", WEXITSTATUS(end.status));
    if (why[0] != '\0') {
        say_failed(of, batch, context, why);
        return LS_HANDLER_RETRY;
    }
    if (out == NULL)
        return LS_HANDLER_DONE;
    st = ls_handler_answer_json(context, (ls_bytes){out->text, out->size}, &answer);
    if (st != LS_OK) {
        end_with(of, lsi_failed(of->call, st));
        return LS_HANDLER_STOP;
    }
    if (answer != LS_HANDLER_DONE)
        say_failed(of, batch, context, "returned what is no answer");
    return answer;
}

static ls_handler_answer hand_over(consumer *of, const ls_batch *batch, ls_handler_context *context)
{
    bool takes_answer = ls_handler_takes_answer(context) != 0;
    lsi_child_output out = {NULL, 0, 0};
    ls_handler_answer answer = LS_HANDLER_STOP;
    ls_bytes document = {NULL, 0};
    char *text = NULL;
    lsi_child_end end;
    ls_status st = LS_OK;

    if (of->call->values[LINES].given) {
        if (!make_lines(batch, &text, &document.size)) {
            lsi_say(of->call, "out of memory");
            end_with(of, LSI_EXIT_FAILED);
            return LS_HANDLER_STOP;
        }
        document.data = text;
    } else {
        st = ls_handler_event_json(context, &document);
    }
    if (st != LS_OK) {
        end_with(of, lsi_failed(of->call, st));
        return LS_HANDLER_STOP;
    }
    end = lsi_child_run(of->command, document.data, document.size, is_late, context, takes_answer ? &out : NULL);
    if (end.err != 0) {
        lsi_say(of->call, "cannot run %s: %s", of->command[0], strerror(end.err));
        if (end.err == EAGAIN || end.err == ENOMEM || end.err == EMFILE || end.err == ENFILE)
            answer = LS_HANDLER_LATER; /* It passes by itself. */
        else
            end_with(of, LSI_EXIT_FAILED);
    } else {
        answer = judge(of, batch, context, end, takes_answer ? &out : NULL);
    }
    free(text);
    free(out.text);
    return answer;
}

static ls_handler_answer handle(const ls_batch *batch, ls_handler_context *context, void *user)
{
    consumer *of = user;

    return of->command == NULL ? print(of, batch) : hand_over(of, batch, context);
}

static int32_t say_given_up(const ls_batch *batch, ls_discard_reason reason, uint32_t invoke_count, void *user)
{
    consumer *of = user;
    size_t count = ls_batch_count(batch);

    (void)invoke_count;
    if (count == 0)
        return 0; /* Of a window's end. */
    (void)pthread_mutex_lock(&of->printing);
    lsi_say(of->call, "shard %" PRIu32 ": %" PRIu64 "..%" PRIu64 " are given up: %s", ls_batch_shard(batch),
            ls_batch_at(batch, 0)->seqno, ls_batch_at(batch, count - 1)->seqno,
            reason == LS_DISCARD_RETRIES ? "retries are over" : "they are too old");
    (void)pthread_mutex_unlock(&of->printing);
    return 0;
}

/* ---- the command ---- */

static void *watch(void *user)
{
    consumer *of = user;

    while (!lsi_watch_is_over(&of->over, SLICE_MS))
        if (lsi_signal_number() != 0 || (of->command == NULL && lsi_out_reader_is_gone()))
            ls_mapping_stop(of->mapping);
    return NULL;
}

static int consume(consumer *of)
{
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    const lsi_value *values = of->call->values;
    ls_status st;
    int err = lsi_watch_begin(&of->over, watch, of);

    if (err != 0) {
        lsi_say(of->call, "%s", strerror(err));
        return LSI_EXIT_FAILED;
    }
    how.flags = values[UNTIL_CAUGHT_UP].given ? LS_RUN_UNTIL_CAUGHT_UP : 0;
    if (of->command != NULL && !values[LINES].given) /* It gets the document. */
        how.flags |= LS_RUN_DOCUMENT_BYTES;
    how.failover_ms = (uint32_t)values[FAILOVER].number;
    how.shards_max = (uint32_t)values[SHARDS].number;
    how.discard = say_given_up;
    st = ls_mapping_run(of->mapping, &how, handle, of);
    if (st != LS_OK)
        end_with(of, lsi_failed(of->call, st));
    lsi_watch_end(&of->over);
    if (of->code != LSI_EXIT_OK)
        return of->code;
    return lsi_signal_number() != 0 ? 128 + lsi_signal_number() : LSI_EXIT_OK;
}

static int run(lsi_call *call)
{
    consumer of = {.call = call, .command = call->argument_count > 2 ? call->arguments + 2 : NULL,
                   .printing = PTHREAD_MUTEX_INITIALIZER};
    ls_store *store;
    ls_stream *stream;
    ls_status st;
    int code;

    if (of.command == NULL && call->values[LINES].given)
        return lsi_usage(call, "--lines is for a COMMAND");
    if (of.command != NULL && call->json)
        return lsi_usage(call, "--json is for batches that are printed: a COMMAND gets the event document");
    lsi_signals_catch();
    code = lsi_open_stream(call, call->arguments[0], true, &store, &stream);
    if (code != LSI_EXIT_OK)
        return code;
    st = ls_mapping_open(stream, call->arguments[1], &of.mapping);
    if (st != LS_OK) {
        code = lsi_failed(call, st);
    } else {
        code = consume(&of);
        (void)ls_mapping_close(of.mapping); /* No run is left that it could be refused for. */
    }
    if (!lsi_record_print_end() && code == LSI_EXIT_OK) {
        lsi_say(call, "out of memory: a record was not printed");
        code = LSI_EXIT_FAILED;
    }
    return lsi_close_stream(call, stream, store, code);
}

const lsi_command lsi_command_consume = {
    .name = "consume",
    .summary = "Run a mapping: print, or run a program",
    .arguments = "STREAM MAPPING [-- COMMAND...]",
    .help = "Works on the stream's records as the mapping says (`lstream mapping`), until\n"
            "Ctrl+C (exit code 130). Any number of these, and of programs that call\n"
            "ls_mapping_run, share the shards among them.\n"
            "\n"
            "Without COMMAND each record's data is printed as a line, and the batch is\n"
            "finished once it was written. With it the program is run for each batch, for\n"
            "several shards and lanes at once, and gets the event document of AWS Lambda on\n"
            "its standard input, which --batch-bytes of the mapping then counts. Exit code\n"
            "0: the batch is finished; anything else: it has failed, and the mapping's\n"
            "settings say what comes then. A program that takes longer than --timeout-ms of\n"
            "the mapping is killed, with all that it has begun and left in its process group.\n"
            "When this command is killed the program is, too, but not what that has begun.\n"
            "\n"
            "Its standard output is this command's. But of a mapping with --report-failures\n"
            "or --tumbling it is the response document, {\"batchItemFailures\":\n"
            "[{\"itemIdentifier\": SEQUENCE NUMBER}], \"state\": {...}}. It has ended when nobody\n"
            "holds that output open any more, and the batch has failed when that is later\n"
            "than --timeout-ms: what a program leaves behind needs another output.\n"
            "\n" LSI_RECORD_JSON_HELP,
    .arguments_min = 2,
    .arguments_max = INT_MAX,
    .needs_store = true,
    .options = options,
    .run = run,
};
