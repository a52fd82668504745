/* What `lstream put` says while it runs: of lines that were refused, of the one that ended it and of those that were
 * not stored either, as ranges; and its progress bar. */
#include "cli/put.h"

#include <string.h>

void lsi_put_clear_bar(const lsi_put_run *run)
{
    if (run->bar && run->drawn_ms != 0)
        (void)fputs("\r\033[K", stderr);
}

void lsi_put_draw_bar(lsi_put_run *run)
{
    int64_t now = lsi_now_ms();
    uint64_t done = lsi_lines_bytes(run->lines);
    int64_t spent = now - run->began_ms;

    if (!run->bar || spent < 300 || now - run->drawn_ms < 100) /* What is quick needs no bar. */
        return;
    run->drawn_ms = now;
    if (run->input_bytes != 0) {
        char bar[31];
        int full = (int)(done >= run->input_bytes ? 30 : done * 30 / run->input_bytes);

        memset(bar, '.', 30);
        memset(bar, '#', (size_t)full);
        bar[30] = '\0';
        (void)fprintf(stderr, "\r\033[K[%s] %3d%%  %" PRIu64 " records  %.0f/s", bar,
                      (int)(done >= run->input_bytes ? 100 : done * 100 / run->input_bytes), run->stored,
                      (double)run->stored * 1000.0 / (double)spent);
    } else {
        (void)fprintf(stderr, "\r\033[K%" PRIu64 " records  %.0f/s", run->stored,
                      (double)run->stored * 1000.0 / (double)spent);
    }
    (void)fflush(stderr);
}

void lsi_put_refuse(lsi_put_run *run, uint64_t line, const char *reason)
{
    lsi_put_clear_bar(run);
    run->refused++;
    lsi_say(run->call, "line %" PRIu64 ": %s", line, reason);
}

bool lsi_put_is_record_fault(ls_status status)
{
    return status == LS_ERR_INVALID_ARGUMENT || status == LS_ERR_TOO_LARGE;
}

bool lsi_put_is_unknown(ls_status status, const char *message)
{
    return status == LS_ERR_IO && strstr(message, "nothing was written") == NULL;
}

void lsi_put_give_up(lsi_put_run *run, uint64_t line, ls_status status, const char *message)
{
    bool is_unknown = lsi_put_is_unknown(status, message);

    lsi_put_clear_bar(run);
    lsi_say(run->call, "line %" PRIu64 ": %s", line, message);
    if (run->async != NULL) /* What comes after it may be stored all the same: the others are told by their lines. */
        lsi_say(run->call, "line %" PRIu64 " %s", line, is_unknown ? "may or may not be stored" : "was not stored");
    else
        lsi_say(run->call, is_unknown ? "line %" PRIu64 " may or may not be stored; nothing after it was put"
                                      : "line %" PRIu64 " was not stored; nothing after its batch was put", line);
    if (status != LS_ERR_FULL) /* What was not written has been said. */
        lsi_advise(run->call, status);
    run->stop_code = lsi_exit_code(status);
}

static void say_not_stored(lsi_put_run *run)
{
    if (run->not_stored[0] != '\0')
        lsi_say(run->call, run->is_unknown ? "not stored either, or not known to be: lines %s"
                                           : "not stored either: lines %s", run->not_stored);
    run->not_stored[0] = '\0';
}

static void end_range(lsi_put_run *run)
{
    size_t used = strlen(run->not_stored);
    char text[48];

    if (run->range_first == 0)
        return;
    if (run->range_first == run->range_last)
        (void)snprintf(text, sizeof text, "%" PRIu64, run->range_first);
    else
        (void)snprintf(text, sizeof text, "%" PRIu64 "-%" PRIu64, run->range_first, run->range_last);
    if (used + strlen(text) + 3 > sizeof run->not_stored) {
        say_not_stored(run);
        used = 0;
    }
    (void)snprintf(run->not_stored + used, sizeof run->not_stored - used, "%s%s", used != 0 ? ", " : "", text);
    run->range_first = 0;
}

void lsi_put_note(lsi_put_run *run, uint64_t line)
{
    if (run->range_first == 0 || line != run->range_last + 1) {
        end_range(run);
        run->range_first = line;
    }
    run->range_last = line;
}

void lsi_put_end_notes(lsi_put_run *run)
{
    end_range(run);
    say_not_stored(run);
}

bool lsi_put_is_interrupted(lsi_put_run *run)
{
    if (lsi_signal_number() == 0 || run->stop_code != LSI_EXIT_OK)
        return lsi_signal_number() != 0;
    lsi_put_clear_bar(run);
    lsi_say(run->call, "ended by a signal behind line %" PRIu64, lsi_lines_number(run->lines));
    run->stop_code = 128 + lsi_signal_number();
    return true;
}
