/* A batch handler: put three orders, then hand all that no run before has handled to a function, in batches of two.
 * Run it twice: the second time it handles only its own three. The store `handler.store` stays, and in it how far
 * the mapping `printer` has come; run it in two terminals at once and they share the work. */
#include <libstream/libstream.h>
#include <stdio.h>

/* Runs on a thread of the library. A batch that is not done comes again, so a real one can be called twice with it. */
static ls_handler_answer print(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)context;
    printf("%s: a batch of %zu\n", (const char *)user, ls_batch_count(batch));
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *r = ls_batch_at(batch, i);
        printf("  %llu %.*s %.*s\n", (unsigned long long)r->seqno, (int)r->partition_key.size,
               (const char *)r->partition_key.data, (int)r->data.size, (const char *)r->data.data);
    }
    return LS_HANDLER_DONE; /* LS_HANDLER_RETRY: it has failed. LS_HANDLER_STOP: end the run. */
}

int main(void)
{
    ls_store *store = NULL;
    ls_stream *orders = NULL;
    ls_producer *producer = NULL;
    ls_mapping *mapping = NULL;
    ls_position oldest = {.kind = LS_TRIM_HORIZON};
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    const char *items[] = {"tea", "bread", "honey"};
    char user[] = "printer";

    settings.records_max = 2;
    how.flags = LS_RUN_UNTIL_CAUGHT_UP; /* Without it the run waits for more, until ls_mapping_stop. */
    if (ls_store_open("handler.store", NULL, &store) != LS_OK ||
        (ls_stream_create(store, "orders", NULL) != LS_OK && ls_last_error_status() != LS_ERR_EXISTS) ||
        ls_stream_open(store, "orders", &orders) != LS_OK || ls_producer_open(orders, NULL, &producer) != LS_OK ||
        (ls_mapping_create(orders, "printer", &oldest, &settings) != LS_OK &&
         ls_last_error_status() != LS_ERR_EXISTS) ||
        ls_mapping_open(orders, "printer", &mapping) != LS_OK)
        goto failed;
    for (int i = 0; i < 3; i++) {
        ls_bytes key = {"alice", 5}, data = {items[i], i == 0 ? 3 : 5};
        if (ls_producer_put(producer, key, data, NULL, NULL) != LS_OK)
            goto failed;
    }
    if (ls_mapping_run(mapping, &how, print, user) != LS_OK)
        goto failed;
    return ls_mapping_close(mapping) | ls_producer_close(producer) | ls_stream_close(orders) | ls_store_close(store);
failed:
    fprintf(stderr, "%s\n", ls_last_error_message());
    return 1;
}
