/* Windows: how many orders came in each second, and what they are worth. The state of a window is kept with the
 * place in the stream, so that a window that is open when the program ends goes on in the next run: run it twice,
 * more than a second apart, and the second run prints what the first one began. The store `window.store` stays. */
#include <libstream/libstream.h>
#include <stdio.h>
#include <string.h>

#define CHECK(call)                                          \
    do {                                                     \
        if ((call) != LS_OK) {                               \
            fprintf(stderr, "%s\n", ls_last_error_message()); \
            return 1;                                        \
        }                                                    \
    } while (0)

static ls_handler_answer add_up(const ls_batch *batch, ls_handler_context *context, void *user)
{
    ls_handler_window window = LS_HANDLER_WINDOW_INIT;
    char state[64];
    ls_bytes next = {state, 0};
    unsigned count = 0;
    long worth = 0;

    (void)user;
    if (ls_handler_get_window(context, &window) != LS_OK)
        return LS_HANDLER_RETRY;
    snprintf(state, sizeof state, "%.*s", (int)window.state.size,
             window.state.size > 0 ? (const char *)window.state.data : "");
    (void)sscanf(state, "%u %ld", &count, &worth); /* Empty in a window's first invocation. */
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *r = ls_batch_at(batch, i);
        long price = 0;

        snprintf(state, sizeof state, "%.*s", (int)r->data.size, (const char *)r->data.data);
        (void)sscanf(state, "%ld", &price);
        worth += price;
        count++;
    }
    if (window.is_final)
        printf("%lld: %u orders, %ld\n", (long long)(window.start_us / 1000000), count, worth);
    next.size = (size_t)snprintf(state, sizeof state, "%u %ld", count, worth);
    return ls_handler_set_state(context, next) == LS_OK ? LS_HANDLER_DONE : LS_HANDLER_RETRY;
}

/* Whoever was here before has made it. */
static ls_status unless_it_exists(ls_status st)
{
    return st == LS_ERR_EXISTS ? LS_OK : st;
}

int main(void)
{
    const char *prices[] = {"10", "20", "30"};
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_mapping *mapping = NULL;
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_position oldest = {.kind = LS_TRIM_HORIZON};

    CHECK(ls_store_open("window.store", NULL, &store));
    CHECK(unless_it_exists(ls_stream_create(store, "orders", NULL)));
    CHECK(ls_stream_open(store, "orders", &stream));
    settings.tumbling_window_s = 1;
    CHECK(unless_it_exists(ls_mapping_create(stream, "seconds", &oldest, &settings)));
    CHECK(ls_producer_open(stream, NULL, &producer));
    for (size_t i = 0; i < sizeof prices / sizeof prices[0]; i++) {
        ls_bytes key = {"shop", 4}, data = {prices[i], strlen(prices[i])};
        CHECK(ls_producer_put(producer, key, data, NULL, NULL));
    }
    CHECK(ls_mapping_open(stream, "seconds", &mapping));
    how.flags = LS_RUN_UNTIL_CAUGHT_UP;
    CHECK(ls_mapping_run(mapping, &how, add_up, NULL));
    return ls_mapping_close(mapping) | ls_producer_close(producer) | ls_stream_close(stream) | ls_store_close(store);
}
