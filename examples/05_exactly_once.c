/* Exactly once: a handler that reads orders and puts an invoice for each. What it puts and how far the orders were
 * worked on is one step, so whatever kills this program, every order has one invoice when it has been run again.
 *
 *     05_exactly_once 3       puts three more orders, and the invoices of all that have none
 *     05_exactly_once 3 die   the same, but ends in the middle, when the second batch was put and is not finished
 *
 * Whoever reads without a mapping does the same by transactions (txn.h). The store `exactly_once.store` stays. */
#include <libstream/libstream.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(call)                                           \
    do {                                                      \
        if ((call) != LS_OK) {                                \
            fprintf(stderr, "%s\n", ls_last_error_message()); \
            return 1;                                         \
        }                                                     \
    } while (0)

/* Whoever was here before has made it. */
static ls_status unless_it_exists(ls_status st)
{
    return st == LS_ERR_EXISTS ? LS_OK : st;
}

static int put_orders(ls_stream *orders, int count)
{
    ls_producer *producer = NULL;

    CHECK(ls_producer_open(orders, NULL, &producer));
    for (int i = 0; i < count; i++) {
        char text[32];
        ls_bytes data = {text, (size_t)snprintf(text, sizeof text, "%d books", i + 1)};

        CHECK(ls_producer_put(producer, (ls_bytes){"shop", 4}, data, NULL, NULL));
    }
    return ls_producer_close(producer);
}

typedef struct work {
    ls_stream *invoices;
    int dies, batches;
} work;

static ls_handler_answer write_invoices(const ls_batch *batch, ls_handler_context *context, void *user)
{
    work *of = user;

    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *order = ls_batch_at(batch, i);
        char text[64];
        ls_bytes data = {text, (size_t)snprintf(text, sizeof text, "invoice for %.*s", (int)order->data.size,
                                                (const char *)order->data.data)};

        if (ls_handler_put(context, i, of->invoices, order->partition_key, data, NULL) != LS_OK)
            return LS_HANDLER_RETRY; /* What was put is dropped; the batch comes again. */
    }
    if (of->dies && of->batches++ > 0)
        _Exit(9);
    return LS_HANDLER_DONE;
}

static int print_invoices(ls_stream *invoices)
{
    ls_position oldest = {.kind = LS_TRIM_HORIZON};
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;

    CHECK(ls_iterator_open(invoices, 0, &oldest, NULL, &iterator));
    do {
        CHECK(ls_iterator_next(iterator, &next, &batch));
        for (size_t i = 0; i < ls_batch_count(batch); i++)
            printf("%.*s\n", (int)ls_batch_at(batch, i)->data.size, (const char *)ls_batch_at(batch, i)->data.data);
    } while (ls_batch_count(batch) > 0);
    ls_iterator_close(iterator);
    return 0;
}

int main(int argc, char **argv)
{
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_position oldest = {.kind = LS_TRIM_HORIZON};
    ls_store *store = NULL;
    ls_stream *orders = NULL, *invoices = NULL;
    ls_mapping *mapping = NULL;
    work of = {.dies = argc > 2 && strcmp(argv[2], "die") == 0};
    int failed;

    settings.flags = LS_MAPPING_EXACTLY_ONCE;
    settings.records_max = 2;
    how.flags = LS_RUN_UNTIL_CAUGHT_UP; /* Without it the run waits for more, until ls_mapping_stop. */
    CHECK(ls_store_open("exactly_once.store", NULL, &store));
    CHECK(unless_it_exists(ls_stream_create(store, "orders", NULL)));
    CHECK(unless_it_exists(ls_stream_create(store, "invoices", NULL)));
    CHECK(ls_stream_open(store, "orders", &orders));
    CHECK(ls_stream_open(store, "invoices", &invoices));
    CHECK(unless_it_exists(ls_mapping_create(orders, "invoicing", &oldest, &settings)));
    CHECK(ls_mapping_open(orders, "invoicing", &mapping));
    failed = put_orders(orders, argc > 1 ? atoi(argv[1]) : 3);
    of.invoices = invoices;
    CHECK(ls_mapping_run(mapping, &how, write_invoices, &of));
    if (!failed)
        failed = print_invoices(invoices);
    return failed | ls_mapping_close(mapping) | ls_stream_close(orders) | ls_stream_close(invoices) |
           ls_store_close(store);
}
