/* Small devices: what an open store with one stream takes of a process's memory, segments of 64 KiB and nothing
 * allocated ahead, after a put.
 *
 *     resident DIRECTORY DATA_KIB_MAX [TOTAL_KIB_MAX]
 *
 * Exit code 1 when the data are more than so much above what the process had before, or all is more than so much.
 * Resident is what the kernel says of each mapping (smaps). Program text and constants are left out of the data: with
 * each fault the kernel maps what lies around in its cache, more or less of it from machine to machine and run to run,
 * and other processes share it. All is with them. */
#include <libstream/libstream.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resident {
    long all; /* KiB */
    long data;
};

/* A line of smaps that begins a mapping: "START-END PERMISSIONS OFFSET DEVICE INODE [NAME]". */
static int is_mapping(const char *line, int *data)
{
    char permissions[5];
    unsigned long inode;

    if (sscanf(line, "%*x-%*x %4s %*x %*s %lu", permissions, &inode) != 2)
        return 0;
    *data = permissions[1] == 'w' || permissions[3] == 's' || inode == 0;
    return 1;
}

static int look(struct resident *out)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[4096 + 256];
    int data = 0;
    long kib;

    memset(out, 0, sizeof(*out));
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL)
        if (!is_mapping(line, &data) && sscanf(line, "Rss: %ld kB", &kib) == 1) {
            out->all += kib;
            out->data += data ? kib : 0;
        }
    (void)fclose(file);
    return out->data > 0;
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
    struct resident before, after;
    long data_max, total_max;

    if (argc < 3)
        return 2;
    data_max = atol(argv[2]);
    total_max = argc > 3 ? atol(argv[3]) : 0;
    options.segment_bytes = 64 << 10;
    options.prealloc_bytes = LS_PREALLOC_NONE;
    if (!look(&before) || !look(&before)) { /* What looking itself takes is there before. */
        (void)puts("the kernel does not say");
        return 77;
    }
    if (ls_store_open(argv[1], &options, &store) != LS_OK || !is_there(ls_stream_create(store, "s", NULL)) ||
        ls_stream_open(store, "s", &stream) != LS_OK || ls_producer_open(stream, NULL, &producer) != LS_OK ||
        ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){"data", 4}, NULL, NULL) != LS_OK) {
        (void)puts(ls_last_error_message());
        return 1;
    }
    if (!look(&after))
        return 1;
    if (ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        return 1;
    (void)printf("resident: %ld KiB, %ld of them since the store was opened, %ld of these data\n", after.all,
                 after.all - before.all, after.data - before.data);
    if (after.data - before.data > data_max) {
        (void)printf("the data may be %ld\n", data_max);
        return 1;
    }
    if (total_max > 0 && after.all > total_max) {
        (void)printf("it may be %ld in all\n", total_max);
        return 1;
    }
    return 0;
}
