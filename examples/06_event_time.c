/* Windows over event time: what was bid in every ten minutes, by the bids' own clocks. The bids of the first run come
 * out of order; the last of its windows is still open when it ends, and is kept with the stream. A later run brings a
 * bid behind that window's end, and prints it. The store `event_time.store` stays. */
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

#define DAY_MS (24LL * 60 * 60 * 1000)

static const char *const bids[] = {
    "{\"bidtime\": \"2020-04-15T08:07:00\", \"price\": 2.00, \"item\": \"A\", \"supplier\": \"s1\"}",
    "{\"bidtime\": \"2020-04-15T08:05:00\", \"price\": 4.00, \"item\": \"C\", \"supplier\": \"s1\"}",
    "{\"bidtime\": \"2020-04-15T08:11:00\", \"price\": 3.00, \"item\": \"B\", \"supplier\": \"s2\"}",
    "{\"bidtime\": \"2020-04-15T08:09:00\", \"price\": 5.00, \"item\": \"D\", \"supplier\": \"s2\"}",
    "{\"bidtime\": \"2020-04-15T08:13:00\", \"price\": 1.00, \"item\": \"E\", \"supplier\": \"s1\"}",
    "{\"bidtime\": \"2020-04-15T08:17:00\", \"price\": 6.00, \"item\": \"F\", \"supplier\": \"s2\"}",
};
static const char last_bid[] = "{\"bidtime\": \"2020-04-15T08:25:00\", \"price\": 2.50, \"item\": \"G\", "
                               "\"supplier\": \"s1\"}";

static void print_time(int64_t ms)
{
    int minutes = (int)(ms % DAY_MS / 60000);

    printf("%02d:%02d", minutes / 60, minutes % 60);
}

/* A program that was killed may be given the same result again: who writes it down replaces by key, start and end. */
static ls_window_answer print_result(const ls_window_result *result, void *user)
{
    (void)user;
    print_time(result->start_ms);
    printf(" to ");
    print_time(result->end_ms);
    printf(": %llu bids, %.2f, the highest %.2f\n", (unsigned long long)result->count, result->sum, result->greatest);
    return LS_WINDOW_GO_ON;
}

int main(void)
{
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_window *window = NULL;
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;
    ls_window_run_options how = LS_WINDOW_RUN_OPTIONS_INIT;
    ls_bytes key = {"bid", 3};
    ls_status made;

    CHECK(ls_store_open("event_time.store", NULL, &store));
    made = ls_stream_create(store, "bids", NULL);
    CHECK(made == LS_ERR_EXISTS ? LS_OK : made);
    CHECK(ls_stream_open(store, "bids", &stream));
    CHECK(ls_producer_open(stream, NULL, &producer));
    for (size_t i = 0; made == LS_OK && i < sizeof bids / sizeof bids[0]; i++)
        CHECK(ls_producer_put(producer, key, (ls_bytes){bids[i], strlen(bids[i])}, NULL, NULL));
    if (made != LS_OK)
        CHECK(ls_producer_put(producer, key, (ls_bytes){last_bid, strlen(last_bid)}, NULL, NULL));

    options.kind = LS_WINDOW_TUMBLING;
    options.size_ms = 10 * 60 * 1000;
    options.delay_ms = 5 * 60 * 1000; /* A bid is five minutes late at most. */
    options.time_field = "bidtime";
    options.value_field = "price";
    options.flags = LS_WINDOW_ONE_KEY;
    options.result = print_result;
    CHECK(ls_window_open(stream, "ten-minutes", &options, &window));
    how.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    CHECK(ls_window_run(window, &how));
    return ls_window_close(window) | ls_producer_close(producer) | ls_stream_close(stream) | ls_store_close(store);
}
