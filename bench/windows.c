/* QUESTION  What does a record cost in a window operator, and does that grow with the windows that are kept? What does
 *           a store cost when little has changed?
 * WORKLOAD  Tumbling windows that all stay open, one for each of 1,000, 100,000 and 1,000,000 keys, which come at
 *           random. `call`: time and key by callbacks, a record of 24 bytes; `json`: time, key and number from JSON of
 *           about 60 bytes. First every key once; then RECORDS at random, which are measured. Then, under a name: a
 *           store of everything, and stores after each of 100 batches of 100 records.
 * UNIT      nanoseconds of processor time of this process a record, with the reading of the stream, in memory, and
 *           milliseconds and bytes a store.
 *
 *   windows [RECORDS [WORK [KEYS]]]
 *
 * One line per workload:
 *   WINDOWS  work  keys  ns_per_record  state_bytes_per_key  store_all_ms  store_all_bytes  store_ms  store_bytes */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define RECORDS_DEFAULT 1000000u
#define BATCH 500u
#define RECORD_BYTES 80u
#define STORES 100u
#define STORE_RECORDS 100u

static const uint32_t key_counts[] = {1000, 100000, 1000000};

static int32_t time_of(const ls_record *record, int64_t *time_ms, void *user)
{
    (void)user;
    memcpy(time_ms, record->data.data, sizeof *time_ms);
    return 1;
}

static int32_t key_of(const ls_record *record, ls_bytes *key, void *user)
{
    (void)user;
    *key = (ls_bytes){(const char *)record->data.data + 8, 8};
    return 1;
}

static int32_t value_of(const ls_record *record, double *value, void *user)
{
    (void)user;
    memcpy(value, (const char *)record->data.data + 16, sizeof *value);
    return 1;
}

static ls_window_answer take(const ls_window_result *result, void *user)
{
    (void)result;
    (void)user;
    return LS_WINDOW_STOP; /* None is due. */
}

static size_t make_record(bool is_json, uint64_t key, char to[RECORD_BYTES])
{
    int64_t time_ms = (int64_t)(bench_random() % 1000);
    double value = (double)(bench_random() % 1000);

    if (is_json)
        return (size_t)snprintf(to, RECORD_BYTES,
                                "{\"time\":%lld,\"sensor\":\"s-%07llu\",\"celsius\":%.1f,\"ok\":true}",
                                (long long)time_ms, (unsigned long long)key, value / 10);
    memcpy(to, &time_ms, 8);
    memcpy(to + 8, &key, 8);
    memcpy(to + 16, &value, 8);
    return 24;
}

/* Keys 0, 1, 2 ..., or at random. */
static void put(ls_producer *producer, bool is_json, uint64_t records, uint64_t keys, bool in_order)
{
    static char data[BATCH][RECORD_BYTES];
    static ls_put_entry entries[BATCH];
    size_t failed = 0;

    for (uint64_t done = 0; done < records;) {
        uint64_t count = records - done < BATCH ? records - done : BATCH;

        for (uint64_t i = 0; i < count; i++) {
            uint64_t key = in_order ? done + i : bench_random() % keys;

            entries[i] = (ls_put_entry){{"p", 1}, {data[i], make_record(is_json, key, data[i])}, NULL};
        }
        if (ls_producer_put_batch(producer, entries, count, NULL, NULL, &failed) != LS_OK || failed != 0)
            bench_fail_ls("ls_producer_put_batch");
        done += count;
    }
}

static double run(ls_window *window)
{
    ls_window_run_options options = LS_WINDOW_RUN_OPTIONS_INIT;
    double began = bench_cpu_seconds(RUSAGE_SELF);

    options.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    if (ls_window_run(window, &options) != LS_OK)
        bench_fail_ls("ls_window_run");
    return bench_cpu_seconds(RUSAGE_SELF) - began;
}

static ls_window *open_window(ls_stream *stream, const char *name, bool is_json)
{
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;
    ls_window *window = NULL;

    options.kind = LS_WINDOW_TUMBLING;
    options.size_ms = 1000000;
    options.store_interval_ms = 3600000;
    options.result = take;
    options.time_field = is_json ? "time" : NULL;
    options.key_field = is_json ? "sensor" : NULL;
    options.value_field = is_json ? "celsius" : NULL;
    options.time_of = is_json ? NULL : time_of;
    options.key_of = is_json ? NULL : key_of;
    options.value_of = is_json ? NULL : value_of;
    if (ls_window_open(stream, name, &options, &window) != LS_OK)
        bench_fail_ls("ls_window_open");
    return window;
}

static ls_window_info info_of(ls_window *window)
{
    ls_window_info info = LS_WINDOW_INFO_INIT;

    if (ls_window_describe(window, &info) != LS_OK)
        bench_fail_ls("ls_window_describe");
    return info;
}

static void measure(bool is_json, uint32_t keys, uint64_t records)
{
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_window *window;
    double seconds, all_seconds, store_seconds = 0;
    uint64_t all_bytes, store_bytes, state_bytes;

    if (ls_store_open("memory:", NULL, &store) != LS_OK || ls_stream_create(store, "s", NULL) != LS_OK ||
        ls_stream_open(store, "s", &stream) != LS_OK || ls_producer_open(stream, NULL, &producer) != LS_OK)
        bench_fail_ls("opening a store");
    window = open_window(stream, NULL, is_json);
    put(producer, is_json, keys, keys, true);
    (void)run(window);
    put(producer, is_json, records, keys, false);
    seconds = run(window);
    state_bytes = info_of(window).state_bytes;
    if (ls_window_close(window) != LS_OK)
        bench_fail_ls("ls_window_close");

    window = open_window(stream, NULL, is_json); /* How long all of it takes without stores. */
    all_seconds = -run(window);
    (void)ls_window_close(window);
    window = open_window(stream, "w", is_json);
    all_seconds += run(window);
    all_bytes = info_of(window).stored_bytes;
    for (uint32_t i = 0; i < STORES; i++) {
        put(producer, is_json, STORE_RECORDS, keys, false);
        store_seconds += run(window);
    }
    store_bytes = info_of(window).stored_bytes - all_bytes;
    (void)printf("WINDOWS\twork=%s\tkeys=%u\tns_per_record=%.0f\tstate_bytes_per_key=%.0f\tstore_all_ms=%.1f\t"
                 "store_all_bytes=%llu\tstore_ms=%.3f\tstore_bytes=%.0f\n",
                 is_json ? "json" : "call", keys, seconds * 1e9 / (double)records, (double)state_bytes / keys,
                 all_seconds * 1e3, (unsigned long long)all_bytes, store_seconds * 1e3 / STORES,
                 (double)store_bytes / STORES);
    (void)fflush(stdout);
    if (ls_window_close(window) != LS_OK || ls_producer_close(producer) != LS_OK || ls_stream_close(stream) != LS_OK ||
        ls_store_close(store) != LS_OK)
        bench_fail_ls("closing");
}

int main(int argc, char **argv)
{
    long long records = argc > 1 ? atoll(argv[1]) : (long long)RECORDS_DEFAULT;

    if (records < 1)
        bench_fail("RECORDS is a number from 1");
    for (int is_json = 0; is_json < 2; is_json++)
        for (size_t i = 0; i < sizeof key_counts / sizeof key_counts[0]; i++)
            if ((argc < 3 || strcmp(argv[2], is_json ? "json" : "call") == 0) &&
                (argc < 4 || (uint32_t)atoi(argv[3]) == key_counts[i]))
                measure(is_json != 0, key_counts[i], (uint64_t)records);
    return 0;
}
