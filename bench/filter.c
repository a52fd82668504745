/* QUESTION  How many records a second does a filter look into, on one processor?
 * WORKLOAD  10,000 records of 200 bytes of JSON, all different, in memory; patterns that ask for a number, for several
 *           things in a nested object of which about half match, five patterns at once, and for the key alone, which
 *           leaves the data unread.
 * UNIT      records per second of processor time; the median, and the best, of 21 runs over all of them, after 3 that
 *           are not counted. The time is this process's own, so that it says something on a busy machine too.
 *
 *   filter [RUNS [WORK]]
 *
 * One line per workload:
 *   FILTER  work  record_bytes  matched_part  records_per_second  best_records_per_second */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define RECORDS 10000u
#define RECORD_BYTES 200u
#define RUNS_DEFAULT 21u
#define WARM_UP 3u

static const char *const one_number[] = {"{\"data\":{\"celsius\":[{\"numeric\":[\">\",20]}]}}"};
static const char *const nested[] = {
    "{\"data\":{\"sensor\":[{\"prefix\":\"s-\"}],\"humidity\":[{\"anything-but\":[1,2,3]}],"
    "\"part0\":{\"value\":[{\"numeric\":[\"<\",50000]}],\"trace\":[{\"wildcard\":\"*\"}]}}}",
};
static const char *const five[] = {
    "{\"data\":{\"sensor\":[\"s-0001\",\"s-0002\"]}}",
    "{\"data\":{\"part0\":{\"trace\":[{\"prefix\":\"00\"}]}}}",
    "{\"data\":{\"part1\":{\"trace\":[{\"suffix\":\"00\"}]}}}",
    "{\"data\":{\"celsius\":[{\"numeric\":[\"<\",0.5]}]}}",
    "{\"data\":{\"none\":[{\"exists\":true}]}}",
};
static const char *const key_only[] = {"{\"partitionKey\":[{\"prefix\":\"key-00\"}]}"};

static const struct {
    const char *name;
    const char *const *patterns;
    size_t count;
} works[] = {{"number", one_number, 1}, {"nested", nested, 1}, {"five", five, 5}, {"key", key_only, 1}};

static char data[RECORDS][RECORD_BYTES];
static char keys[RECORDS][16];
static ls_record records[RECORDS];

/* As bench_json_record makes them, but whole at this size: the last member fills it up. */
static void make_record(uint32_t number)
{
    char text[RECORD_BYTES + 1];
    int used = snprintf(text, sizeof(text),
                        "{\"number\":%u,\"sensor\":\"s-%04u\",\"celsius\":%u.%02u,\"humidity\":%u,"
                        "\"part0\":{\"value\":%u,\"trace\":\"%016llx\"},\"part1\":{\"value\":%u,\"trace\":\"%08llx\"},"
                        "\"note\":\"",
                        number, (unsigned)(bench_random() % 2000), (unsigned)(bench_random() % 40),
                        (unsigned)(bench_random() % 100), (unsigned)(bench_random() % 100),
                        (unsigned)(bench_random() % 100000), (unsigned long long)bench_random(),
                        (unsigned)(bench_random() % 100000), (unsigned long long)bench_random() >> 32);

    if (used < 0 || (size_t)used > RECORD_BYTES - 2)
        bench_fail("a record is too long");
    memset(data[number], '.', RECORD_BYTES);
    memcpy(data[number], text, (size_t)used);
    memcpy(data[number] + RECORD_BYTES - 2, "\"}", 2);
    (void)snprintf(keys[number], sizeof(keys[number]), "key-%06u", number);
    records[number] = (ls_record){
        .partition_key = {keys[number], 10}, .data = {data[number], RECORD_BYTES}, .seqno = number + 1};
}

static void measure(size_t work, unsigned runs)
{
    double *per_second = bench_memory(runs * sizeof(*per_second)), median;
    ls_filter *filter;
    uint64_t matched = 0;

    if (ls_filter_open(works[work].patterns, works[work].count, NULL, &filter) != LS_OK)
        bench_fail_ls("ls_filter_open");
    for (unsigned run = 0; run < runs + WARM_UP; run++) {
        double began = bench_cpu_seconds(RUSAGE_SELF);

        matched = 0;
        for (uint32_t i = 0; i < RECORDS; i++) {
            int32_t matches;

            if (ls_filter_matches(filter, &records[i], &matches) != LS_OK)
                bench_fail_ls("ls_filter_matches");
            matched += (uint64_t)matches;
        }
        per_second[run < WARM_UP ? 0 : run - WARM_UP] = RECORDS / (bench_cpu_seconds(RUSAGE_SELF) - began);
    }
    if (ls_filter_not_json(filter) != 0)
        bench_fail("the records are not JSON");
    ls_filter_close(filter);
    median = bench_median(per_second, runs); /* Sorts them. */
    (void)printf("FILTER\twork=%s\trecord_bytes=%u\tmatched_part=%.2f\trecords_per_second=%.0f\t"
                 "best_records_per_second=%.0f\n",
                 works[work].name, RECORD_BYTES, (double)matched / RECORDS, median, per_second[runs - 1]);
    (void)fflush(stdout);
    free(per_second);
}

int main(int argc, char **argv)
{
    int runs = argc > 1 ? atoi(argv[1]) : (int)RUNS_DEFAULT;

    if (runs < 1)
        bench_fail("RUNS is a number from 1");
    for (uint32_t i = 0; i < RECORDS; i++)
        make_record(i);
    for (size_t work = 0; work < sizeof(works) / sizeof(works[0]); work++)
        if (argc < 3 || strcmp(argv[2], works[work].name) == 0)
            measure(work, (unsigned)runs);
    return 0;
}
