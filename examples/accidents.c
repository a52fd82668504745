/* Accidents through two streams to metrics and alerts: rows of "US Accidents" are put as JSON with their time of
 * sending into stream 1; a delivery writes all of them to files in partitions by day; a filter lets the severe ones
 * through, which are counted in windows and put, packed, into stream 2; a handler that unpacks them counts them by
 * severity, city and county, for Prometheus and Grafana, and tells alerts; at last SQL over the delivered files counts
 * again.
 *
 *   accidents [OPTION...] [FILE...]
 *
 * What it shows of libstream: mappings with a filter, exactly once from stream to stream; aggregated records; windows
 * over event time; metrics with labels; alert rules, also the one that can never fire; a delivery in Hive's form. It
 * may be killed at any moment and run again, and ends with the same rows everywhere.
 *
 * It checks what it claims: stream 1, the delivered files and what SQL says of them, stream 2, the windows and the
 * metric agree. Of a store that is kept the files have all rows, and the metric counts what stream 2 still has.
 *
 * Exit code: 0 done, 1 something failed, 2 wrong arguments, 128 and the signal's number when interrupted. */
#include "accident_filter.h"
#include "accident_metrics.h"
#include "accident_put.h"
#include "accident_rows.h"
#include "accident_sql.h"
#include "looking.h"
#include "scrape.h"
#include "source_name.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STREAM_1 "us-accidents-data-stream-1" /* The names of the seed. */
#define STREAM_2 "us-accidents-data-stream-2"
#define DELIVERY_NAME "us_accidents"

static const char usage[] =
    "Usage: accidents [OPTION...] [FILE...]\n"
    "\n"
    "Puts rows of the table \"US Accidents\" into a stream, delivers them to files,\n"
    "filters the severe ones into a second stream, and counts these by severity,\n"
    "city and county. FILE is a CSV with at least the columns ID, Severity, City and\n"
    "County. Without FILE: made-up rows. A row whose Severity is no digit is\n"
    "refused.\n"
    "\n"
    "  --rows N       made-up rows (default 5000)\n"
    "  --seed N       others of them (default 1)\n"
    "  --repeat N     the rows of all files N times (default 1)\n"
    "  --rate N       rows per second (default 0: no waiting; the seed's pace is 1)\n"
    "  --batch N      rows put in one step (default 10000)\n"
    "  --key COLUMN   the partition key of stream 1 (default Severity); like\n"
    "                 --window, the same in all runs of a store\n"
    "  --shards N     shards of each stream (default 1)\n"
    "  --window N     seconds of a window (default 10)\n"
    "  --size N       bytes of a delivered file (default 67108864)\n"
    "  --series N     combinations of severity, city and county that are counted\n"
    "                 apart (default 100000); the rest is counted as \"other\"\n"
    "  --store DIR    keep the store in DIR, the files in DIR.delivered, metrics for\n"
    "                 Prometheus in DIR.prom, anew each second, windows in\n"
    "                 DIR.tables, and go on there (default: temporary). Grafana:\n"
    "                 examples/accidents_dashboard.json\n"
    "  --json         the result as one line of JSON\n"
    "  --help         this text\n";

struct options {
    const char *store;
    accident_put put;
    uint64_t shards, window, series;
    uint64_t size; /* 0: not said */
    bool json;
};

struct run {
    const struct options *options;
    pipeline_place place;
    ls_store *store;
    ls_stream *raw, *severe;       /* streams 1 and 2 */
    row_feed *feed;                /* into stream 1 */
    table_file *file;
    accident_filter filter;
    accident_metrics metrics;      /* of stream 2 */
    accident_put put;
    shard_counts raw_counts;       /* of stream 1 as it is when all is put */
    uint64_t flow_ns, cpu_ns;      /* from the first row to the last one's count; of all threads */
};

/* ---- the ways out of stream 1 ---- */

static int begin_filter(struct run *run, pipeline_worker **worker)
{
    /* A filter on the key spares looking into the data of records that it leaves out. The handler compares numbers. */
    static const char *const by_key[] = {"{\"partitionKey\": [{\"anything-but\": [\"0\", \"1\", \"2\"]}]}"};
    static const char *const by_data[] = {"{\"data\": {\"Severity\": [{\"numeric\": [\">\", 2]}]}}"};
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;

    settings.flags = LS_MAPPING_EXACTLY_ONCE;
    settings.filters = strcmp(run->options->put.key, "Severity") == 0 ? by_key : by_data;
    settings.filter_count = 1;
    settings.records_max = 10000;
    settings.bytes_max = 16 << 20;
    settings.handler_timeout_ms = 60000;
    *worker = pipeline_work(run->raw, "severe", &settings, accident_filter_batch, &run->filter);
    return *worker == NULL ? -1 : 0;
}

static int begin_delivery(struct run *run, const char *directory, pipeline_worker **worker)
{
    ls_delivery_run_options how = LS_DELIVERY_RUN_OPTIONS_INIT;
    ls_delivery_options settings = LS_DELIVERY_OPTIONS_INIT;
    char was[PIPELINE_PATH_BYTES];

    if (feed_moved(run->feed, DELIVERY_NAME, directory, was) < 0 || feed_remember_place(run->feed, directory) != 0 ||
        pipeline_delivery_change(run->raw, DELIVERY_NAME, run->options->size, 0) != 0)
        return -1;
    settings.buffer_bytes = run->options->size != 0 ? run->options->size : 64 << 20;
    settings.interval_ms = 60000;
    settings.prefix = "source/us-east/us_accidents/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/";
    settings.error_prefix = "errors/!{firehose:error-output-type}/"; /* Without a transform nothing fails. */
    settings.extension = ".json";
    settings.delimiter = "\n";
    settings.directory = directory;
    *worker = pipeline_deliver(run->raw, DELIVERY_NAME, &settings, &how);
    return *worker == NULL ? -1 : 0;
}

/* ---- checks and the report ---- */

static bool add_count(void *user, table_text start, table_text item)
{
    char text[32];

    (void)start;
    (void)snprintf(text, sizeof(text), "%.*s", (int)item.size, item.text);
    *(uint64_t *)user += strtoull(text, NULL, 10);
    return true;
}

/* What the windows have counted, of all severities. */
static int count_windows(struct run *run, int64_t *windows, uint64_t *counted)
{
    *windows = table_count(run->filter.results);
    *counted = 0;
    for (char severity = '0'; severity <= '9'; severity++) {
        table_query query = {.partition = {&severity, 1}};

        if (*windows < 0 || table_query_run(run->filter.results, &query, add_count, counted) < 0)
            return pipeline_fail("the tables: %s", tables_error(run->file));
    }
    return 0;
}

static int check(struct run *run, const accident_counts *sql, const accident_series *series, uint64_t counted)
{
    int raw_trimmed, severe_trimmed;
    uint64_t severe = 0;

    if (pipeline_read_all(run->raw, shard_counts_add, &run->raw_counts) != 0 ||
        (raw_trimmed = pipeline_is_trimmed(run->raw)) < 0 || (severe_trimmed = pipeline_is_trimmed(run->severe)) < 0)
        return -1;
    for (int i = 3; i < ACCIDENT_SEVERITIES; i++)
        severe += sql->severities[i];
    if (sql->rows != run->put.noted || (!raw_trimmed && run->raw_counts.records != run->put.noted))
        return pipeline_fail("SQL finds %" PRIu64 " rows in the files, stream 1 has %" PRIu64 ", and %" PRIu64
                             " were put", sql->rows, run->raw_counts.records, run->put.noted);
    if ((severe_trimmed ? severe < run->metrics.handled : severe != run->metrics.handled) ||
        series->sum != run->metrics.handled)
        return pipeline_fail("SQL finds %" PRIu64 " severe rows, stream 2 has %" PRIu64 ", the metric says %" PRIu64,
                             severe, run->metrics.handled, series->sum);
    if (counted > severe)
        return pipeline_fail("windows have %" PRIu64 " accidents of %" PRIu64, counted, severe);
    return 0;
}

static int show(struct run *run, const char *directory)
{
    double seconds = (double)run->flow_ns / 1e9, rate = seconds > 0 ? (double)run->put.records / seconds : 0;
    uint64_t late = 0, counted = 0, alerts = 0;
    const char *cannot_fire[ACCIDENT_RULES + 1];
    accident_series series;
    accident_counts sql;
    char path[PIPELINE_PATH_BYTES];
    int64_t windows = 0;

    if (accident_filter_finish(&run->filter, &late) != 0 || count_windows(run, &windows, &counted) != 0 ||
        accident_metrics_count(run->store, &series) != 0 || accident_sql_count(directory, &sql) != 0 ||
        accident_metrics_alerts(&run->metrics, &alerts, cannot_fire) != 0 || check(run, &sql, &series, counted) != 0)
        return -1;
    if (run->options->json) {
        (void)printf("{\"records\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"filtered\":%" PRIu64 ",\"severe\":%" PRIu64
                     ",\"series\":%" PRIu64 ",\"other\":%" PRIu64 ",\"alerts\":%" PRIu64 ",\"cannot_fire\":[",
                     run->put.records, run->put.read - run->put.records, run->metrics.handled, run->metrics.very_severe,
                     series.count, series.other, alerts);
        for (int i = 0; cannot_fire[i] != NULL; i++)
            (void)printf("%s\"%s\"", i == 0 ? "" : ",", cannot_fire[i]);
        (void)printf("],\"severities\":{");
        for (int i = 0, shown = 0; i < ACCIDENT_SEVERITIES; i++)
            if (sql.severities[i] > 0)
                (void)printf("%s\"%d\":%" PRIu64, shown++ == 0 ? "" : ",", i, sql.severities[i]);
        (void)printf("},\"delivered\":%" PRIu64 ",\"files\":%zu,\"windows\":%" PRId64 ",\"counted\":%" PRIu64
                     ",\"late\":%" PRIu64 ",", sql.rows, sql.files, windows, counted, late);
        shard_counts_show(&run->raw_counts, run->raw);
        (void)printf(",\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"rows_per_second\":%.0f}\n", seconds,
                     (double)run->cpu_ns / 1e9, rate);
        return 0;
    }
    (void)printf("%" PRIu64 " rows, %" PRIu64 " refused, %" PRIu64 " records in stream 1, %" PRIu64 " in %zu files\n",
                 run->put.read, run->put.read - run->put.records, run->raw_counts.records, sql.rows, sql.files);
    (void)puts("SELECT severity, count(*) FROM accidents GROUP BY severity");
    for (int i = 0; i < ACCIDENT_SEVERITIES; i++)
        if (sql.severities[i] > 0)
            (void)printf("  %d %10" PRIu64 "\n", i, sql.severities[i]);
    (void)printf("stream 2: %" PRIu64 " with Severity > 2, %" PRIu64 " with Severity > 3\n", run->metrics.handled,
                 run->metrics.very_severe);
    (void)printf("  %" PRIu64 " series of %s\n", series.count, ACCIDENT_METRIC);
    if (series.other > 0)
        (void)printf("  %" PRIu64 " accidents of more combinations are counted as \"other\": see --series\n",
                     series.other);
    (void)printf("  %" PRId64 " windows of %" PRIu64 " s by severity, %" PRIu64 " accidents, %" PRIu64 " late\n",
                 windows, run->options->window, counted, late);
    (void)printf("  %" PRIu64 " alerts\n", alerts);
    (void)printf("%.3f s, %.3f s of processors, %.0f rows/s\n", seconds, (double)run->cpu_ns / 1e9, rate);
    if (run->options->store != NULL)
        (void)printf("metrics: %s; files: %s\n", pipeline_path(&run->place, ".prom", path), directory);
    return 0;
}

/* ---- all of it ---- */

/* The mapping keeps the filter that its first run gave it, which goes by the key, and the windows their length. Both
 * are refused here, by their names, before anything is made or put. */
static int settle(struct run *run)
{
    char window[24];

    (void)snprintf(window, sizeof(window), "%" PRIu64, run->options->window);
    run->feed = feed_open(run->store, run->raw, STREAM_1);
    return run->feed != NULL && feed_settle(run->feed, "--key", run->options->put.key) == 0 &&
           feed_settle(run->feed, "--window", window) == 0 ? 0 : -1;
}

static int flow(struct run *run, const char *directory)
{
    pipeline_worker *filter = NULL, *delivery = NULL;
    char path[PIPELINE_PATH_BYTES];
    scrape_file *metrics = NULL;
    uint64_t began = pipeline_now_ns();
    struct timespec used = {0};
    int result = 0;

    if (accident_metrics_begin(&run->metrics, run->store, run->severe) != 0 ||
        (metrics = scrape_begin(run->store, pipeline_path(&run->place, ".prom", path))) == NULL ||
        begin_filter(run, &filter) != 0 || begin_delivery(run, directory, &delivery) != 0)
        result = -1;
    if (result == 0)
        result = accident_put_all(&run->put, run->feed);
    if (result == 0)
        result = feed_wait(run->feed);
    if (result == 0)
        pipeline_work_ending(delivery); /* It may write its last file meanwhile. */
    /* What comes first in the flow ends first: then all of it is in stream 2 when that is caught up with. */
    if (pipeline_work_end(filter, result == 0) != 0)
        result = -1;
    if (accident_metrics_end(&run->metrics, result == 0) != 0)
        result = -1;
    if (pipeline_work_end(delivery, result == 0) != 0)
        result = -1;
    if (scrape_end(metrics) != 0)
        result = -1;
    run->flow_ns = pipeline_now_ns() - began;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    run->cpu_ns = (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
    return result;
}

static int run_store(struct run *run)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    char directory[PIPELINE_PATH_BYTES], path[PIPELINE_PATH_BYTES];
    int result = -1;

    (void)pipeline_path(&run->place, ".delivered", directory);
    options.shard_count = (uint32_t)run->options->shards;
    run->file = tables_open(pipeline_path(&run->place, ".tables", path));
    if (run->file == NULL)
        (void)pipeline_fail("cannot open the tables %s: %s", path, tables_error(NULL));
    else if (accident_put_check(&run->put) == 0 &&
             (run->raw = pipeline_stream(run->store, STREAM_1, &options)) != NULL && settle(run) == 0 &&
             (run->severe = pipeline_stream(run->store, STREAM_2, &options)) != NULL &&
             accident_filter_open(&run->filter, run->raw, run->severe, run->file, run->options->window * 1000) == 0)
        result = flow(run, directory);
    if (feed_close(run->feed) != 0)
        result = -1;
    if (result == 0 && !pipeline_interrupted)
        result = show(run, directory);
    accident_filter_close(&run->filter);
    tables_close(run->file);
    if ((ls_stream_close(run->raw) != LS_OK || ls_stream_close(run->severe) != LS_OK) && result == 0)
        result = pipeline_fail_ls("close the streams");
    return result;
}

static int run_all(const struct options *options)
{
    struct run run = {.options = options, .put = options->put,
                      .metrics = {.quiet = options->json, .series_max = (uint32_t)options->series}};
    int result;

    if (pipeline_place_make(&run.place, options->store) != 0)
        return -1;
    result = pipeline_place_open(&run.place, NULL, &run.store) == 0 ? run_store(&run) : -1;
    if (ls_store_close(run.store) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the store");
    return pipeline_place_leave(&run.place) == 0 ? result : -1;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"rows", required_argument, NULL, 'n'},   {"seed", required_argument, NULL, 'e'},
        {"repeat", required_argument, NULL, 'p'}, {"rate", required_argument, NULL, 'r'},
        {"batch", required_argument, NULL, 'b'},  {"key", required_argument, NULL, 'k'},
        {"shards", required_argument, NULL, 's'}, {"window", required_argument, NULL, 'w'},
        {"series", required_argument, NULL, 'c'}, {"size", required_argument, NULL, 'z'},
        {"store", required_argument, NULL, 'd'},  {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    struct options options = {.put = {.key = "Severity", .rows = ACCIDENT_ROWS_DEFAULT, .seed = 1, .repeat = 1,
                                      .batch = 10000}, .shards = 1, .window = 10, .series = 100000};
    int option, result = 0;

    pipeline_begin("accidents");
    while (result == 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'd': options.store = optarg; break;
        case 'k': options.put.key = optarg; break;
        case 'n': result = pipeline_number("rows", optarg, 1, UINT64_MAX, &options.put.rows); break;
        case 'e': result = pipeline_number("seed", optarg, 0, UINT64_MAX, &options.put.seed); break;
        case 'p': result = pipeline_number("repeat", optarg, 1, UINT64_MAX, &options.put.repeat); break;
        case 'r': result = pipeline_number("rate", optarg, 0, 1000000000, &options.put.rate); break;
        case 'b': result = pipeline_number("batch", optarg, 1, 10000, &options.put.batch); break;
        case 's': result = pipeline_number("shards", optarg, 1, 256, &options.shards); break;
        case 'w': result = pipeline_number("window", optarg, 1, 86400, &options.window); break;
        case 'c': result = pipeline_number("series", optarg, 1, 1000000, &options.series); break;
        case 'z': result = pipeline_number("size", optarg, 1, 1 << 30, &options.size); break;
        case 'j': options.json = true; break;
        case 'h': (void)fputs(usage, stdout); return 0;
        default: return 2;
        }
    }
    options.put.files = argv + optind;
    options.put.file_count = argc - optind;
    for (int i = 0; result == 0 && i < options.put.file_count; i++)
        if (access(options.put.files[i], R_OK) != 0)
            result = pipeline_fail("cannot open %s: %s", options.put.files[i], strerror(errno));
    if (result == 0)
        result = source_check_files(options.put.files, options.put.file_count);
    if (result != 0)
        return 2;
    if (options.put.rate > 0 && options.put.batch > options.put.rate)
        options.put.batch = options.put.rate;  /* A step a second at least. */
    result = run_all(&options);
    if (pipeline_interrupted)
        return 128 + pipeline_interrupted;
    if (fflush(stdout) != 0 || ferror(stdout))
        result = pipeline_fail("cannot write the result: %s", strerror(errno));
    return result == 0 ? 0 : 1;
}
