/* Weather through a stream into keyed tables: each row of NOAA's daily observations becomes one JSON object, put into
 * the on-demand stream `input-stream`; a handler with a deadline of 60 s splits it into the tables Precipitation and
 * Temperature, whose keys are the station's name and the date; then one station is queried in order of the dates.
 *
 *   weather [OPTION...] [FILE...]
 *
 * What it shows of libstream: a handler is called at least once, and a sink that replaces by key makes of that exactly
 * once; the rows themselves are put exactly once, by transactions (feed.h). So it may be killed at any moment and run
 * again, with `--store`, and ends with the same tables. A value that a row lacks is absent in its item, too.
 *
 * It checks what it claims: as many records are in the stream as were put, and the tables are those that the stream,
 * read again from its beginning, gives. When retention has taken records of a store that is kept, the tables must have
 * what the rest gives.
 *
 * Exit code: 0 done, 1 something failed, 2 wrong arguments, 128 and the signal's number when interrupted. */
#include "decimal.h"
#include "flat_json.h"
#include "looking.h"
#include "noaa.h"
#include "source_name.h"
#include "weather_rows.h"
#include "weather_source.h"
#include "weather_tables.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAM_NAME "input-stream"
#define MAPPING_NAME "weather-tables"

static const char usage[] =
    "Usage: weather [OPTION...] [FILE...]\n"
    "\n"
    "Puts NOAA's daily observations into a stream, and from there into two tables by\n"
    "station and date. FILE is a CSV with the columns STATION, NAME, DATE, PRCP,\n"
    "SNOW, TMAX and TMIN. Without FILE: made-up rows; with --token: NOAA's service.\n"
    "\n"
    "  --query STATION   show this station's items, in exact case (default: 31 days\n"
    "                    of the first one)\n"
    "  --from DAY        ... from this day on, YYYY-MM-DD; with --token also what is\n"
    "                    asked\n"
    "  --to DAY          ... up to this day\n"
    "  --key COLUMN      NAME (default) or STATION: the key of stream and tables\n"
    "                    (the same in all runs of a store)\n"
    "  --units TEXT      said in each record: standard (default) or metric; with\n"
    "                    --token also what is asked for (the same in all runs of a\n"
    "                    store)\n"
    "  --shards N        shards of the stream (default 1)\n"
    "  --rate N          rows per second (default 0: no waiting; the seed's pace is\n"
    "                    1)\n"
    "  --batch N         rows put in one step (default 500)\n"
    "  --rows N          made-up rows (default 1240: 31 days of 40 stations)\n"
    "  --seed N          others of them (default 1)\n"
    "  --token TEXT      ask NOAA's service, with this access token\n"
    "  --url URL         ... there (default \" NOAA_URL \")\n"
    "  --location ID     ... for this place (default FIPS:24, Maryland)\n"
    "  --store DIR       keep the store in DIR and the tables in DIR.tables, and go\n"
    "                    on there (default: temporary)\n"
    "  --json            the result as one line of JSON\n"
    "  --help            this text\n";

struct options {
    weather_source put;
    const char *query, *store;
    uint64_t shards;
    bool json, is_asked; /* for certain items of the tables */
};

struct run {
    const struct options *options;
    weather_source put;
    shard_counts counts;             /* of the stream, as it is when all is put */
    char first_key[512];
};

/* ---- checks, and the query ---- */

struct again {
    struct run *run;
    weather_sink sink;
    weather_observation seen;
    flat_json scratch;
    shard_counts counts;
};

static int put_again(const ls_record *record, void *user)
{
    struct again *again = user;

    (void)shard_counts_add(record, &again->counts);
    if (again->counts.records == 1)
        (void)snprintf(again->run->first_key, sizeof(again->run->first_key), "%.*s", (int)record->partition_key.size,
                       (const char *)record->partition_key.data);
    return weather_put(&again->sink, record, &again->seen, &again->scratch);
}

/* The last row of a key is that which is trimmed last: what the rest of a stream gives is what the tables have. */
static int64_t count_differences(bool trimmed, const weather_sink *sink, const weather_sink *again)
{
    if (trimmed)
        return tables_lack(sink->precipitation, again->precipitation) +
               tables_lack(sink->temperature, again->temperature);
    return tables_differ(sink->precipitation, again->precipitation) +
           tables_differ(sink->temperature, again->temperature);
}

static int check(struct run *run, ls_stream *stream, weather_sink *sink)
{
    struct again again = {.run = run};
    int64_t differences;
    int trimmed = 0;
    int result = weather_sink_open(&again.sink, "", run->put.key);

    if (result == 0 && tables_begin(again.sink.file) == 0) {
        result = pipeline_read_all(stream, put_again, &again);
        if (result == 0)
            result = tables_commit(again.sink.file);
        else
            tables_undo(again.sink.file);
    }
    if (result == 0 && (trimmed = pipeline_is_trimmed(stream)) < 0)
        result = -1;
    if (result == 0 && !trimmed && again.counts.records != run->put.noted)
        result = pipeline_fail("the stream has %" PRIu64 " records, and %" PRIu64 " were put", again.counts.records,
                               run->put.noted);
    if (result == 0 && (differences = count_differences(trimmed, sink, &again.sink)) != 0)
        result = pipeline_fail("%" PRId64 " items are not what the stream says", differences);
    run->counts = again.counts;
    weather_observation_free(&again.seen);
    flat_json_free(&again.scratch);
    tables_close(again.sink.file);
    return result;
}

#define SHOWN_UNASKED 31 /* a month */

struct report {
    uint64_t shown_max; /* print so many of the items */
    uint64_t items;
    decimal rain;      /* the sum of PRCP */
    char last[64];     /* the sort key that the page ended with */
};

static bool add_rain(void *user, const char *name, size_t name_size, json_kind kind, const char *value, size_t size)
{
    decimal amount;

    (void)kind;
    if (weather_name_is(name, name_size, "PRCP") && decimal_read(value, size, &amount))
        decimal_add(user, &amount);
    return true;
}

static bool see_item(void *user, table_text date, table_text item)
{
    struct report *report = user;
    flat_json scratch = {0};

    report->items++;
    (void)json_members(item.text, item.size, false, &scratch, add_rain, &report->rain); /* An item is what we put. */
    flat_json_free(&scratch);
    (void)snprintf(report->last, sizeof(report->last), "%.*s", (int)date.size, date.text);
    if (report->items <= report->shown_max)
        (void)printf("  %.*s  %.*s\n", (int)date.size, date.text, (int)item.size, item.text);
    return true;
}

/* All items of a station from a day to a day, page by page. */
static int query(const struct options *options, keyed_table *table, const char *station, struct report *report)
{
    table_query query = {.partition = {station, strlen(station)}, .condition = TABLE_BETWEEN, .limit = 100};
    int more;

    query.sort = (table_text){options->put.from, strlen(options->put.from)};
    query.sort_last = (table_text){options->put.to, strlen(options->put.to)};
    while ((more = table_query_run(table, &query, see_item, report)) == 1)
        query.after = (table_text){report->last, strlen(report->last)};
    return more;
}

static void show_rest(const struct report *report)
{
    if (report->items > report->shown_max)
        (void)printf("  ... and %" PRIu64 " more days: --query, --from and --to show all they ask for\n",
                     report->items - report->shown_max);
}

static int show(struct run *run, ls_store *store, ls_stream *stream, weather_sink *sink)
{
    const struct options *options = run->options;
    const char *station = options->query == NULL ? run->first_key : options->query;
    uint64_t shown_max = options->json ? 0 : options->is_asked ? UINT64_MAX : SHOWN_UNASKED;
    struct report rain = {.shown_max = shown_max}, warmth = {.shown_max = shown_max};
    int64_t counts[2] = {table_count(sink->precipitation), table_count(sink->temperature)};
    uint64_t calls = pipeline_counter(store, "libstream_get_calls_total", STREAM_NAME, NULL, NULL);
    uint64_t good_calls = pipeline_counter(store, "libstream_get_calls_total", STREAM_NAME, "result", "ok");
    uint64_t invocations = pipeline_counter(store, "libstream_mapping_invocations_total", STREAM_NAME, NULL, NULL);
    uint64_t good = pipeline_counter(store, "libstream_mapping_invocations_total", STREAM_NAME, "result", "ok");
    double success = calls == 0 ? 100 : 100.0 * (double)good_calls / (double)calls;
    char text[DECIMAL_TEXT_BYTES];

    if (!options->json) {
        (void)printf("%" PRIu64 " rows, %" PRIu64 " records, %" PRIu64 " rows refused\n", run->put.read,
                     run->put.records, run->put.refused);
        (void)printf("  GetRecords success   %.1f %% of %" PRIu64 " calls\n", success, calls);
        (void)printf("  invocations          %" PRIu64 ", %" PRIu64 " failed\n", invocations, invocations - good);
        (void)printf("  Precipitation        %" PRId64 " items\n", counts[0]);
        (void)printf("  Temperature          %" PRId64 " items\n", counts[1]);
        (void)printf("  items replaced       %" PRIu64 ", %" PRIu64 " of them by another\n\n", sink->replaced,
                     sink->changed);
        (void)printf("Precipitation of %s\n", station);
    }
    if (counts[0] < 0 || counts[1] < 0 || query(options, sink->precipitation, station, &rain) < 0)
        return pipeline_fail("the tables: %s", tables_error(sink->file));
    if (!options->json) {
        show_rest(&rain);
        (void)printf("Temperature of %s\n", station);
    }
    if (query(options, sink->temperature, station, &warmth) < 0)
        return pipeline_fail("the tables: %s", tables_error(sink->file));
    if (!options->json)
        show_rest(&warmth);
    if (options->json) {
        flat_json name = {0};

        flat_json_quoted(&name, station, strlen(station));
        decimal_write(&rain.rain, decimal_places(&rain.rain, 2), 0, text);
        (void)printf("{\"records\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"tables\":{\"Precipitation\":%" PRId64
                     ",\"Temperature\":%" PRId64 "},\"replaced\":%" PRIu64 ",\"changed\":%" PRIu64
                     ",\"get_success_percent\":%.1f,\"invocations\":%" PRIu64 ",\"failed_invocations\":%" PRIu64
                     ",\"query\":{\"station\":%.*s,\"Precipitation\":%" PRIu64 ",\"Temperature\":%" PRIu64
                     ",\"PRCP\":%s},", run->put.records, run->put.refused, counts[0], counts[1], sink->replaced,
                     sink->changed, success, invocations, invocations - good, (int)name.size, name.text, rain.items,
                     warmth.items, text);
        shard_counts_show(&run->counts, stream);
        (void)puts("}");
        flat_json_free(&name);
    }
    return 0;
}

/* ---- all of it ---- */

static int work(struct run *run, ls_store *store, weather_sink *sink)
{
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_stream *stream;
    pipeline_worker *worker;
    int result;

    options.shard_count = (uint32_t)run->options->shards;
    stream = pipeline_stream(store, STREAM_NAME, &options);
    if (stream == NULL)
        return -1;
    settings.handler_timeout_ms = 60000; /* Of the default, 3 s, the seed learned that it is short. */
    worker = pipeline_work(stream, MAPPING_NAME, &settings, weather_handle, sink);
    result = worker == NULL ? -1 : weather_source_put(&run->put, store, stream, STREAM_NAME);
    if (pipeline_work_end(worker, result == 0) != 0)
        result = -1;
    if (result == 0 && !pipeline_interrupted)
        result = check(run, stream, sink);
    if (result == 0 && !pipeline_interrupted)
        result = show(run, store, stream, sink);
    if (ls_stream_close(stream) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the stream");
    return result;
}

static int run_all(const struct options *options)
{
    struct run run = {.options = options, .put = options->put};
    char path[PIPELINE_PATH_BYTES];
    weather_sink sink = {0};
    pipeline_place place;
    ls_store *store = NULL;
    int result;

    if (pipeline_place_make(&place, options->store) != 0)
        return -1;
    result = pipeline_place_open(&place, NULL, &store);
    if (result == 0)
        result = weather_sink_open(&sink, pipeline_path(&place, ".tables", path), options->put.key);
    if (result == 0)
        result = work(&run, store, &sink);
    tables_close(sink.file);
    if (ls_store_close(store) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the store");
    return pipeline_place_leave(&place) == 0 ? result : -1;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"query", required_argument, NULL, 'q'},    {"from", required_argument, NULL, 'f'},
        {"to", required_argument, NULL, 'o'},       {"key", required_argument, NULL, 'k'},
        {"units", required_argument, NULL, 'u'},    {"shards", required_argument, NULL, 's'},
        {"rate", required_argument, NULL, 'r'},     {"batch", required_argument, NULL, 'b'},
        {"rows", required_argument, NULL, 'n'},     {"seed", required_argument, NULL, 'e'},
        {"token", required_argument, NULL, 't'},    {"url", required_argument, NULL, 'l'},
        {"location", required_argument, NULL, 'a'}, {"store", required_argument, NULL, 'd'},
        {"json", no_argument, NULL, 'j'},           {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.put = {.from = "", .to = "9999-12-31", .key = "NAME", .units = "standard",
                                      .url = NOAA_URL, .location = "FIPS:24", .batch = 500,
                                      .rows = WEATHER_ROWS_DEFAULT, .seed = 1}, .shards = 1};
    int option, result = 0;

    pipeline_begin("weather");
    while (result == 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'q': options.query = optarg, options.is_asked = true; break;
        case 'f': options.put.from = optarg, options.is_asked = true; break;
        case 'o': options.put.to = optarg, options.is_asked = true; break;
        case 'k': options.put.key = optarg; break;
        case 'u': options.put.units = optarg; break;
        case 't': options.put.token = optarg; break;
        case 'l': options.put.url = optarg; break;
        case 'a': options.put.location = optarg; break;
        case 'd': options.store = optarg; break;
        case 's': result = pipeline_number("shards", optarg, 1, 65536, &options.shards); break;
        case 'r': result = pipeline_number("rate", optarg, 0, 1000000000, &options.put.rate); break;
        case 'b': result = pipeline_number("batch", optarg, 1, 10000, &options.put.batch); break;
        case 'n': result = pipeline_number("rows", optarg, 1, UINT64_MAX, &options.put.rows); break;
        case 'e': result = pipeline_number("seed", optarg, 0, UINT64_MAX, &options.put.seed); break;
        case 'j': options.json = true; break;
        case 'h': (void)fputs(usage, stdout); return 0;
        default: return 2;
        }
    }
    options.put.files = argv + optind;
    options.put.file_count = argc - optind;
    if (result == 0 && strcmp(options.put.key, "NAME") != 0 && strcmp(options.put.key, "STATION") != 0)
        result = pipeline_fail("--key wants NAME or STATION, not '%s'", options.put.key);
    if (result == 0 && strcmp(options.put.units, "standard") != 0 && strcmp(options.put.units, "metric") != 0)
        result = pipeline_fail("--units wants standard or metric, not '%s'", options.put.units);
    if (result == 0 && options.put.token != NULL && (!noaa_is_day(options.put.from) || !noaa_is_day(options.put.to)))
        result = pipeline_fail("--token wants --from and --to, days as YYYY-MM-DD");
    if (result == 0 && ((options.put.from[0] != 0 && !noaa_is_day(options.put.from)) || !noaa_is_day(options.put.to)))
        result = pipeline_fail("--from and --to want a day as YYYY-MM-DD, not '%s'",
                               options.put.from[0] != 0 && !noaa_is_day(options.put.from) ? options.put.from
                                                                                           : options.put.to);
    if (result == 0 && options.put.token != NULL && options.put.file_count > 0)
        result = pipeline_fail("--token is for the service: it goes with no file");
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
