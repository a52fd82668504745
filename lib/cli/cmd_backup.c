/* lstream backup: copies the store into a directory while it is in use. */
#include "cli/cli.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

enum { QUIET };
static const lsi_option options[] = {
    [QUIET] = {"quiet", LSI_OPTION_FLAG, NULL, "No summary and no progress.", 0, 0, 'q'},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

typedef struct run_state {
    bool shows;            /* progress is wanted */
    bool drawn;
    int64_t drawn_ms;
    uint64_t copied_bytes; /* as far as is known */
} run_state;

static ls_status note(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    run_state *state = user;
    char done[LSI_SIZE_BYTES], total[LSI_SIZE_BYTES];

    state->copied_bytes = done_bytes;
    if (!state->shows || lsi_now_ms() - state->drawn_ms < 100)
        return LS_OK;
    state->drawn_ms = lsi_now_ms();
    state->drawn = true;
    lsi_format_size(done_bytes, done);
    lsi_format_size(total_bytes, total);
    (void)fprintf(stderr, "\r\033[K%s of at most %s", done, total);
    (void)fflush(stderr);
    return LS_OK;
}

static int print(lsi_call *call, const run_state *state, int64_t took_ms)
{
    char copied[LSI_SIZE_BYTES];

    if (call->json) {
        lsi_json_writer json;

        lsi_json_begin(&json, &lsi_memory_libc);
        lsi_json_object_open(&json);
        lsi_member_uint(&json, "copied_bytes", state->copied_bytes);
        lsi_member_uint(&json, "took_ms", (uint64_t)took_ms);
        lsi_json_object_close(&json);
        return lsi_out_json(call, &json, LSI_EXIT_OK);
    }
    lsi_format_size(state->copied_bytes, copied);
    if (!call->values[QUIET].given)
        lsi_out_text("copied %s into %s in %.1f s\n", copied, call->arguments[0], (double)took_ms / 1000.0);
    return LSI_EXIT_OK;
}

static int run(lsi_call *call)
{
    ls_backup_options backup = LS_BACKUP_OPTIONS_INIT;
    run_state state = {.shows = isatty(STDERR_FILENO) != 0 && !call->values[QUIET].given};
    ls_store *store;
    ls_status st;
    int64_t began_ms = lsi_now_ms();
    int code = lsi_open_store(call, false, &store);

    if (code != LSI_EXIT_OK)
        return code;
    state.drawn_ms = began_ms + 200; /* What is quick shows nothing. */
    backup.progress = note;
    backup.user = &state;
    st = ls_store_backup(store, call->arguments[0], &backup);
    if (state.drawn)
        (void)fputs("\r\033[K", stderr);
    code = st == LS_OK ? print(call, &state, lsi_now_ms() - began_ms) : lsi_failed(call, st);
    return lsi_close_stream(call, NULL, store, code);
}

const lsi_command lsi_command_backup = {
    .name = "backup",
    .summary = "Copy the store into a directory while it is in use",
    .arguments = "DIRECTORY",
    .help = "Everything that was acknowledged before the command began is in the copy, which\n"
            "is a store itself: `lstream get -s DIRECTORY ...` reads it, and it can take the\n"
            "place of the original. A directory with an earlier copy gets what is new. Every\n"
            "record is checked as it is copied; exit code 4 when the store is damaged.\n"
            "\n"
            "With --json: {\"copied_bytes\", \"took_ms\"}.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
