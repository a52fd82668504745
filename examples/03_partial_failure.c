/* A record that cannot be handled: the handler says which, those before it are done, it is tried again twice, and
 * then it goes to the stream `rejected` with the reason, while those behind it are handled. Run it again and
 * nothing happens but for the records that it puts. The store `failure.store` stays. */
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

/* Adds up prices; what is no number is the record's failure, not the batch's. */
static ls_handler_answer add(const ls_batch *batch, ls_handler_context *context, void *user)
{
    long *sum = user;

    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *r = ls_batch_at(batch, i);
        char text[16];
        char rest;
        long price;

        snprintf(text, sizeof text, "%.*s", (int)r->data.size, (const char *)r->data.data);
        if (sscanf(text, "%ld%c", &price, &rest) != 1) {
            printf("'%s' is no price, attempt %u\n", text, (unsigned)ls_handler_attempts(context) + 1);
            ls_handler_fail_at(context, i); /* Done up to here. */
            return LS_HANDLER_DONE;
        }
        *sum += price;
    }
    return LS_HANDLER_DONE;
}

/* Whoever was here before has made it. */
static ls_status unless_it_exists(ls_status st)
{
    return st == LS_ERR_EXISTS ? LS_OK : st;
}

int main(void)
{
    const char *prices[] = {"10", "20", "much", "30"};
    ls_store *store = NULL;
    ls_stream *stream = NULL, *rejected = NULL;
    ls_producer *producer = NULL;
    ls_iterator *reader = NULL;
    ls_mapping *mapping = NULL;
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_position oldest = {.kind = LS_TRIM_HORIZON};
    const ls_batch *reports;
    long sum = 0;

    CHECK(ls_store_open("failure.store", NULL, &store));
    CHECK(unless_it_exists(ls_stream_create(store, "prices", NULL)));
    CHECK(unless_it_exists(ls_stream_create(store, "rejected", NULL)));
    CHECK(ls_stream_open(store, "prices", &stream));
    CHECK(ls_stream_open(store, "rejected", &rejected));
    CHECK(ls_producer_open(stream, NULL, &producer));
    for (size_t i = 0; i < sizeof prices / sizeof prices[0]; i++) {
        ls_bytes key = {"shop", 4}, data = {prices[i], strlen(prices[i])};
        CHECK(ls_producer_put(producer, key, data, NULL, NULL));
    }

    settings.flags = LS_MAPPING_REPORT_FAILURES | LS_MAPPING_DISCARD_FAILED_ONLY;
    settings.retries_max = 2;
    settings.failure_stream = "rejected";
    CHECK(unless_it_exists(ls_mapping_create(stream, "sum", &oldest, &settings)));
    CHECK(ls_mapping_open(stream, "sum", &mapping));
    how.flags = LS_RUN_UNTIL_CAUGHT_UP;
    CHECK(ls_mapping_run(mapping, &how, add, &sum));
    printf("sum %ld\n", sum);

    CHECK(ls_iterator_open(rejected, 0, NULL, NULL, &reader));
    CHECK(ls_iterator_next(reader, NULL, &reports));
    for (size_t i = 0; i < ls_batch_count(reports); i++)
        printf("%.*s\n", (int)ls_batch_at(reports, i)->data.size, (const char *)ls_batch_at(reports, i)->data.data);
    ls_iterator_close(reader);
    return ls_mapping_close(mapping) | ls_producer_close(producer) | ls_stream_close(rejected) |
           ls_stream_close(stream) | ls_store_close(store);
}
