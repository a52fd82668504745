/* Exactly once: reads orders and writes an invoice for each, by transactions. The invoices and how far the orders were
 * worked on are done as one step; whatever kills this program, every order has one invoice when it has been run again.
 *
 *     05_exactly_once 3       puts three more orders, and writes the invoices of all that have none
 *     05_exactly_once 3 die   the same, but ends in the middle, between a batch and its commit
 *
 * The store `exactly_once.store` stays. */
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

/* From where the lease stands to the end that there is now, two orders at a time. */
static int write_invoices(ls_txn *txn, ls_stream *orders, ls_stream *invoices, ls_lease *lease, int dies)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;

    CHECK(ls_lease_describe(lease, &info));
    CHECK(ls_iterator_open(orders, info.shard, &info.position, NULL, &iterator));
    next.records_max = 2;
    for (int round = 0;; round++) {
        size_t count;

        CHECK(ls_iterator_next(iterator, &next, &batch));
        count = ls_batch_count(batch);
        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++) {
            const ls_record *order = ls_batch_at(batch, i);
            char text[64];
            ls_bytes data = {text, (size_t)snprintf(text, sizeof text, "invoice for %.*s", (int)order->data.size,
                                                    (const char *)order->data.data)};

            CHECK(ls_txn_put(txn, invoices, order->partition_key, data, NULL));
        }
        CHECK(ls_txn_checkpoint(txn, lease, ls_batch_at(batch, count - 1)->seqno, UINT32_MAX));
        if (dies && round > 0)
            _Exit(9);
        CHECK(ls_txn_commit(txn, NULL, 0));
    }
    ls_iterator_close(iterator);
    return 0;
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
    ls_group_event event = LS_GROUP_EVENT_INIT;
    ls_store *store = NULL;
    ls_stream *orders = NULL, *invoices = NULL;
    ls_group *group = NULL;
    ls_txn *txn = NULL;
    int failed;

    CHECK(ls_store_open("exactly_once.store", NULL, &store));
    CHECK(unless_it_exists(ls_stream_create(store, "orders", NULL)));
    CHECK(unless_it_exists(ls_stream_create(store, "invoices", NULL)));
    CHECK(ls_stream_open(store, "orders", &orders));
    CHECK(ls_stream_open(store, "invoices", &invoices));
    failed = put_orders(orders, argc > 1 ? atoi(argv[1]) : 3);
    CHECK(ls_group_open(orders, "invoicing", NULL, &group));
    CHECK(ls_txn_begin(store, NULL, &txn));
    CHECK(ls_group_next(group, 10000, &event)); /* At once, also when the one before was killed. */
    if (!failed && event.kind == LS_GROUP_TAKEN)
        failed = write_invoices(txn, orders, invoices, event.lease, argc > 2 && strcmp(argv[2], "die") == 0);
    if (!failed)
        failed = print_invoices(invoices);
    ls_txn_close(txn);
    return failed | ls_group_close(group) | ls_stream_close(orders) | ls_stream_close(invoices) | ls_store_close(store);
}
