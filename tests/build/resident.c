/* Small devices: what an open store with one stream takes of a process's memory, segments of 64 KiB and nothing
 * allocated ahead, after a put.
 *
 *     resident DIRECTORY ADDED_KIB_MAX [TOTAL_KIB_MAX]
 *
 * Exit code 1 when it is more than so much above what the process had before, or than so much in all. Resident is what
 * the kernel says of all mappings together (smaps_rollup), program text that other processes share included. */
#include <libstream/libstream.h>

#include <stdio.h>
#include <stdlib.h>

static long resident_kib(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    long kib = -1;

    while (file != NULL && kib < 0 && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "Rss: %ld kB", &kib) != 1)
            kib = -1;
    if (file != NULL)
        (void)fclose(file);
    return kib;
}

static int is_there(ls_status st)
{
    return st == LS_OK || st == LS_ERR_EXISTS;
}

int main(int argc, char **argv)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_producer *producer;
    ls_stream *stream;
    ls_store *store;
    long before, after, added_max, total_max;

    if (argc < 3)
        return 2;
    added_max = atol(argv[2]);
    total_max = argc > 3 ? atol(argv[3]) : 0;
    options.segment_bytes = 64 << 10;
    options.prealloc_bytes = LS_PREALLOC_NONE;
    (void)resident_kib(); /* What looking itself takes is there before. */
    before = resident_kib();
    if (before < 0) {
        (void)puts("the kernel does not say");
        return 77;
    }
    if (ls_store_open(argv[1], &options, &store) != LS_OK || !is_there(ls_stream_create(store, "s", NULL)) ||
        ls_stream_open(store, "s", &stream) != LS_OK || ls_producer_open(stream, NULL, &producer) != LS_OK ||
        ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){"data", 4}, NULL, NULL) != LS_OK) {
        (void)puts(ls_last_error_message());
        return 1;
    }
    after = resident_kib();
    if (ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        return 1;
    (void)printf("resident: %ld KiB, %ld of them since the store was opened\n", after, after - before);
    if (after - before > added_max) {
        (void)printf("it may be %ld more\n", added_max);
        return 1;
    }
    if (total_max > 0 && after > total_max) {
        (void)printf("it may be %ld in all\n", total_max);
        return 1;
    }
    return 0;
}
