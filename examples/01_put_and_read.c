/* The first program, as the README has it: open a store, put one record, read everything that is there. Run it twice
 * and it shows two records: the store `first.store` stays. */
#include <libstream/libstream.h>
#include <stdio.h>

int main(void)
{
    ls_store *store = NULL;
    ls_stream *orders = NULL;
    ls_producer *producer = NULL;
    ls_iterator *reader = NULL;
    const ls_batch *batch;
    ls_bytes key = {"alice", 5}, data = {"{\"item\":\"tea\"}", 14};

    if (ls_store_open("first.store", NULL, &store) != LS_OK ||
        (ls_stream_create(store, "orders", NULL) != LS_OK && ls_last_error_status() != LS_ERR_EXISTS) ||
        ls_stream_open(store, "orders", &orders) != LS_OK || ls_producer_open(orders, NULL, &producer) != LS_OK ||
        ls_producer_put(producer, key, data, NULL, NULL) != LS_OK || /* On the disk when it returns. */
        ls_iterator_open(orders, 0, NULL, NULL, &reader) != LS_OK || ls_iterator_next(reader, NULL, &batch) != LS_OK) {
        fprintf(stderr, "%s\n", ls_last_error_message());
        return 1;
    }
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *r = ls_batch_at(batch, i);
        printf("%llu %.*s %.*s\n", (unsigned long long)r->seqno, (int)r->partition_key.size,
               (const char *)r->partition_key.data, (int)r->data.size, (const char *)r->data.data);
    }
    ls_iterator_close(reader);
    return ls_producer_close(producer) | ls_stream_close(orders) | ls_store_close(store);
}
