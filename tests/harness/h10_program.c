/* The program that h10_outside.sh runs under strace: public headers and the shared library only.
 *
 *     h10_program STORE sync|kernel    puts records, one line per outcome: "put N LS_OK"
 *     h10_program STORE read           "record N" for each; also where there is no store
 *
 * Lines are written at once, so that what was acknowledged before a kill is known. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libstream/libstream.h>

#define RECORDS 40
#define DATA_BYTES 4000 /* so that RECORDS of them roll a segment of 64 KiB */
#define STREAM "outside"

static void say(const char *what, int number, ls_status st)
{
    printf("%s %d %s\n", what, number, ls_status_name(st));
}

static int put_all(const char *path, ls_durability durability)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    static char data[DATA_BYTES];
    ls_status st;

    options.segment_bytes = 64u << 10;
    options.durability = durability;
    st = ls_store_open(path, &options, &store);
    if (st == LS_OK)
        st = ls_stream_create(store, STREAM, NULL);
    if (st == LS_OK)
        st = ls_stream_open(store, STREAM, &stream);
    if (st == LS_OK)
        st = ls_producer_open(stream, NULL, &producer);
    if (st != LS_OK)
        say("begin", 0, st);
    for (int i = 0; st == LS_OK && i < RECORDS; i++) {
        memset(data, 0, sizeof data);
        (void)snprintf(data, sizeof data, "%d", i);
        say("put", i, ls_producer_put(producer, (ls_bytes){"key", 3}, (ls_bytes){data, sizeof data}, NULL, NULL));
    }
    (void)ls_producer_close(producer);
    (void)ls_stream_close(stream);
    (void)ls_store_close(store); /* After a failed sync it says so again. */
    return st == LS_OK ? 0 : 1;
}

static int read_all(const char *path)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    ls_status st;

    options.flags = LS_STORE_NO_CREATE;
    st = ls_store_open(path, &options, &store);
    if (st == LS_OK)
        st = ls_stream_open(store, STREAM, &stream);
    if (st == LS_OK)
        st = ls_iterator_open(stream, 0, NULL, NULL, &iterator);
    while (st == LS_OK && (st = ls_iterator_next(iterator, NULL, &batch)) == LS_OK && ls_batch_count(batch) > 0)
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            char text[32] = "";

            memcpy(text, record->data.data, record->data.size < sizeof text - 1 ? record->data.size : sizeof text - 1);
            printf("record %s\n", text);
        }
    if (st != LS_OK && st != LS_ERR_NOT_FOUND)
        printf("%s: %s\n", ls_status_name(st), ls_last_error_message());
    ls_iterator_close(iterator);
    (void)ls_stream_close(stream);
    (void)ls_store_close(store); /* Everything was read. */
    return st == LS_OK || st == LS_ERR_NOT_FOUND ? 0 : 1;
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && strcmp(argv[2], "read") == 0)
        return read_all(argv[1]);
    if (argc == 3 && strcmp(argv[2], "sync") == 0)
        return put_all(argv[1], LS_DURABILITY_SYNC);
    if (argc == 3 && strcmp(argv[2], "kernel") == 0)
        return put_all(argv[1], LS_DURABILITY_KERNEL);
    fprintf(stderr, "usage: %s STORE sync|kernel|read\n", argv[0]);
    return 2;
}
