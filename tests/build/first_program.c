/* The smallest program that shows an installed libstream works, valid as C and as C++: a store in memory, one stream,
 * one record put and read back. Says what failed; exit status 0 only when the record came back as it went in. */
#include <libstream/libstream.h>

#include <stdio.h>
#include <string.h>

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, ls_last_error_message());
    return 1;
}

int main(void)
{
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    ls_bytes key = {"customer-7", 10};
    ls_bytes data = {"one book", 8};
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    if (ls_version_number() != (uint32_t)LS_VERSION_NUMBER || strcmp(ls_version_string(), LS_VERSION_STRING) != 0) {
        fprintf(stderr, "headers are %s, the library is %s\n", LS_VERSION_STRING, ls_version_string());
        return 1;
    }
    if (ls_store_open("memory:", &options, &store) != LS_OK)
        return failed("open");
    if (ls_stream_create(store, "orders", NULL) != LS_OK || ls_stream_open(store, "orders", &stream) != LS_OK)
        return failed("stream");
    if (ls_producer_open(stream, NULL, &producer) != LS_OK || ls_producer_put(producer, key, data, NULL, NULL) != LS_OK)
        return failed("put");
    if (ls_iterator_open(stream, 0, NULL, NULL, &iterator) != LS_OK ||
        ls_iterator_next(iterator, NULL, &batch) != LS_OK)
        return failed("read");
    if (ls_batch_count(batch) != 1 || ls_batch_at(batch, 0)->data.size != data.size ||
        memcmp(ls_batch_at(batch, 0)->data.data, data.data, data.size) != 0) {
        fprintf(stderr, "the record that came back is another one\n");
        return 1;
    }
    ls_iterator_close(iterator);
    if (ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        return failed("close");
    printf("libstream %s\n", ls_version_string());
    return 0;
}
