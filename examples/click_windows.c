/* Clicks counted by minute and by action. */
#include "click_windows.h"
#include "pipeline.h"

#include <string.h>

static void count_action(click_windows *windows, const ls_window_result *result)
{
    int i = 0;

    while (i < CLICK_ACTIONS_MAX && windows->action_counts[i] > 0 &&
           (strlen(windows->actions[i]) != result->key.size ||
            memcmp(windows->actions[i], result->key.data, result->key.size) != 0))
        i++;
    if (i == CLICK_ACTIONS_MAX || result->key.size >= sizeof(windows->actions[i]))
        return;
    (void)snprintf(windows->actions[i], sizeof(windows->actions[i]), "%.*s", (int)result->key.size,
                   (const char *)result->key.data);
    windows->action_counts[i] += result->count;
}

static ls_window_answer see_window(const ls_window_result *result, void *user)
{
    click_windows *windows = user;
    bool cart = result->key.size == 11 && memcmp(result->key.data, "add_to_cart", 11) == 0;
    click_minute *minute = &windows->minutes[windows->count];

    count_action(windows, result);
    if (windows->count > 0 && minute[-1].start_ms == result->start_ms)
        minute--;  /* Results come in order of time, one for each action. */
    else if (windows->count == CLICK_MINUTES_MAX)
        return LS_WINDOW_GO_ON;
    else
        windows->minutes[windows->count++] = (click_minute){.start_ms = result->start_ms};
    minute->events += result->count;
    if (cart) {
        minute->carts += result->count;
        windows->cart_price += result->sum;
    }
    return LS_WINDOW_GO_ON;
}

int click_windows_count(ls_stream *stream, click_windows *windows)
{
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;
    ls_window_run_options how = LS_WINDOW_RUN_OPTIONS_INIT;
    ls_window *window = NULL;
    int result = 0;

    options.kind = LS_WINDOW_TUMBLING;
    options.size_ms = 60000;
    options.time_field = "timestamp";
    options.key_field = "action";
    options.value_field = "price";
    options.delay_ms = 86400000; /* Runs that were killed and repeated may be apart. */
    options.result = see_window;
    options.user = windows;
    how.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    if (ls_window_open(stream, NULL, &options, &window) != LS_OK)
        return pipeline_fail_ls("open windows");
    if (ls_window_run(window, &how) != LS_OK || ls_window_finish(window) != LS_OK)
        result = pipeline_fail_ls("count windows");
    (void)ls_window_close(window);  /* It has no name that could be given up. */
    return result;
}
