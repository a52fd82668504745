/* QUESTION  How many bytes go to the device for one byte of the user's data, and how much memory does an open store
 *           hold? On flash the first decides how long the medium lives; on a small machine the second is what counts.
 * WORKLOAD  Records of 16-byte keys and 100 or 1,024 bytes of data, one and 100 per call, in every durability mode,
 *           with the default options and with the edge profile (segments of 64 KiB, no space allocated ahead); until
 *           everything is synced and the store is closed.
 * UNIT      bytes per byte of data (keys are not counted as data); KiB of resident memory.
 *
 *   write_cost [RECORDS]      per case, 20,000 by default; a tenth of that in SYNC one by one
 *
 * One line per case:
 *   WRITE  profile  mode  data_bytes  per_call  records  process_x  device_x  file_x
 *     process_x  what this process made dirty in the page cache (write_bytes of /proc/self/io), per byte; a kernel that
 *                keeps files in large folios counts the whole folio for each write that is synced, far above device_x
 *     device_x   what the device took meanwhile (/sys/dev/block/M:N/stat), file system journal and the writes of other
 *                programs included, per byte; `-` where that cannot be known
 *     file_x     the size of the store's files, per byte
 * and one line per profile, by a new process each that has an open store with one stream, a producer and an iterator:
 *   MEMORY  profile  resident_KiB  before_KiB  added_KiB  private_KiB
 *     before is the process with everything but the store; private is what is not shared with other processes. */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

struct profile {
    const char *name;
    uint64_t segment_bytes, prealloc_bytes;
};

static const struct profile profiles[] = {{"default", 0, 0}, {"edge", 64 << 10, LS_PREALLOC_NONE}};
static const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_INTERVAL, LS_DURABILITY_KERNEL};
static const uint32_t sizes[] = {100, 1024};
static const uint32_t calls[] = {1, 100};

static char data[1024];
static char keys[64][17];

/* The number behind `label` in a file of such lines; UINT64_MAX when it is not there. */
static uint64_t number_in(const char *path, const char *label)
{
    FILE *file = fopen(path, "r");
    uint64_t found = UINT64_MAX;
    char line[256];

    if (file == NULL)
        return found;
    while (found == UINT64_MAX && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, label, strlen(label)) == 0)
            found = strtoull(line + strlen(label), NULL, 10);
    (void)fclose(file);
    return found;
}

/* Bytes written to the device that the directory is on, since it was attached. */
static uint64_t device_bytes(void)
{
    struct stat status;
    uint64_t fields[7];
    char path[128];
    FILE *file;
    int got = 0;

    if (stat(bench_directory(), &status) != 0)
        return UINT64_MAX;
    (void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/stat", major(status.st_dev), minor(status.st_dev));
    file = fopen(path, "r");
    if (file == NULL)
        return UINT64_MAX;
    while (got < 7 && fscanf(file, "%" SCNu64, &fields[got]) == 1)
        got++;
    (void)fclose(file);
    return got == 7 ? fields[6] * 512 : UINT64_MAX;  /* The seventh: sectors written, of 512 bytes always. */
}

static void open_store(const struct profile *profile, ls_durability mode, const char *location, ls_store **store,
                       ls_stream **stream)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.durability = mode;
    options.segment_bytes = profile->segment_bytes;
    options.prealloc_bytes = profile->prealloc_bytes;
    if (ls_store_open(location, &options, store) != LS_OK || ls_stream_create(*store, "cost", NULL) != LS_OK ||
        ls_stream_open(*store, "cost", stream) != LS_OK)
        bench_fail_ls("open the store");
}

static void put(ls_producer *producer, uint32_t size, uint32_t per_call, uint64_t first)
{
    static ls_put_entry entries[100];
    ls_status status;
    size_t failed = 0;

    for (uint32_t i = 0; i < per_call; i++) {
        entries[i].partition_key = (ls_bytes){keys[(first + i) % 64], 16};
        entries[i].data = (ls_bytes){data, size};
    }
    if (per_call == 1)
        status = ls_producer_put(producer, entries[0].partition_key, entries[0].data, NULL, NULL);
    else
        status = ls_producer_put_batch(producer, entries, per_call, NULL, NULL, &failed);
    if (status != LS_OK || failed > 0)
        bench_fail_ls("put");
}

static void measure(const struct profile *profile, ls_durability mode, uint32_t size, uint32_t per_call,
                    uint64_t records)
{
    uint64_t process_before, process_after, device_before, device_after, files;
    double user_bytes = (double)(records * size);
    char location[4200];
    ls_store *store;
    ls_stream *stream;
    ls_producer *producer;

    (void)snprintf(location, sizeof(location), "%s/store", bench_directory());
    sync();  /* What others have still to write is not to be counted here. */
    process_before = number_in("/proc/self/io", "write_bytes: ");
    device_before = device_bytes();
    open_store(profile, mode, location, &store, &stream);
    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("open the producer");
    for (uint64_t i = 0; i < records; i += per_call)
        put(producer, size, per_call, i);
    if (ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close the store");
    sync();
    process_after = number_in("/proc/self/io", "write_bytes: ");
    device_after = device_bytes();
    files = bench_file_bytes(location);
    bench_remove(location);
    (void)printf("WRITE\tprofile=%s\tmode=%s\tdata_bytes=%u\tper_call=%u\trecords=%" PRIu64 "\tprocess_x=%.2f",
                 profile->name, bench_mode_name(mode), size, per_call, records,
                 (double)(process_after - process_before) / user_bytes);
    if (device_before == UINT64_MAX || device_after == UINT64_MAX)
        (void)printf("\tdevice_x=-");
    else
        (void)printf("\tdevice_x=%.2f", (double)(device_after - device_before) / user_bytes);
    (void)printf("\tfile_x=%.2f\n", (double)files / user_bytes);
    (void)fflush(stdout);
}

static void show_memory(const struct profile *profile)
{
    uint64_t before, after, private_kib;
    char location[4200];
    ls_store *store;
    ls_stream *stream;
    ls_producer *producer;
    ls_iterator *iterator;
    const ls_batch *batch;

    (void)snprintf(location, sizeof(location), "%s/memory", bench_directory());
    before = number_in("/proc/self/status", "VmRSS:");
    open_store(profile, LS_DURABILITY_SYNC, location, &store, &stream);
    if (ls_producer_open(stream, NULL, &producer) != LS_OK ||
        ls_iterator_open(stream, 0, NULL, NULL, &iterator) != LS_OK)
        bench_fail_ls("open");
    for (uint64_t i = 0; i < 100; i++)
        put(producer, 100, 1, i);
    if (ls_iterator_next(iterator, NULL, &batch) != LS_OK || ls_batch_count(batch) != 100)
        bench_fail_ls("read");
    after = number_in("/proc/self/status", "VmRSS:");
    private_kib = number_in("/proc/self/smaps_rollup", "Private_Dirty:");
    (void)printf("MEMORY\tprofile=%s\tresident_KiB=%" PRIu64 "\tbefore_KiB=%" PRIu64 "\tadded_KiB=%" PRId64
                 "\tprivate_KiB=%" PRIu64 "\n", profile->name, after, before, (int64_t)(after - before), private_kib);
    (void)fflush(stdout);
    ls_iterator_close(iterator);
    if (ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        bench_fail_ls("close the store");
    bench_remove(location);
}

int main(int argc, char **argv)
{
    uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) / 1000 * 1000 : 20000;

    if (argc == 3 && strcmp(argv[1], "--memory") == 0) {  /* Started below, one process per profile. */
        for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
            if (strcmp(argv[2], profiles[i].name) == 0)
                show_memory(&profiles[i]);
        return 0;
    }
    if (argc > 2 || records == 0) {
        (void)fputs("Usage: write_cost [RECORDS]   at least 1000, default 20000\n", stderr);
        return 2;
    }
    bench_json_record(data, sizeof(data), 0);
    for (unsigned i = 0; i < 64; i++)
        (void)snprintf(keys[i], sizeof(keys[i]), "sensor-%09u", i);
    for (size_t profile = 0; profile < sizeof(profiles) / sizeof(profiles[0]); profile++) {
        pid_t child = fork();

        if (child < 0)
            bench_fail("fork");
        if (child == 0) {
            (void)execl("/proc/self/exe", "write_cost", "--memory", profiles[profile].name, (char *)NULL);
            _exit(127);
        }
        if (waitpid(child, NULL, 0) < 0)
            bench_fail("wait");
    }
    for (size_t profile = 0; profile < sizeof(profiles) / sizeof(profiles[0]); profile++)
        for (size_t mode = 0; mode < sizeof(modes) / sizeof(modes[0]); mode++)
            for (size_t size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++)
                for (size_t call = 0; call < sizeof(calls) / sizeof(calls[0]); call++)
                    measure(&profiles[profile], modes[mode], sizes[size], calls[call],
                            modes[mode] == LS_DURABILITY_SYNC && calls[call] == 1 ? records / 10 : records);
    return 0;
}
