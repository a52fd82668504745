/* Clicks through a stream into files: a generator puts the events of a shop, or those of a file, into a stream; a
 * delivery gives each a category by its item, and writes them to files by hour, one a line; what cannot be understood
 * lies in its error output; and windows of a minute are counted by the time at which the events happened.
 *
 *   clicks [OPTION...] [FILE]
 *
 * What it shows of libstream: a delivery with a transform, as Amazon Data Firehose has them. It may be killed at any
 * moment and run again: every event is put once (feed.h), and delivered to the directory once, since the files that
 * are to be made, and their names, are stored before they are written.
 *
 * It checks what it claims: the stream is read again, and the lines in the files, delivered and failed, are those that
 * its events give. When retention has taken some of these, the files must hold what all that was put here gave (it is
 * noted with how far a source was read); what is shown by minute, action and shard is of the rest.
 *
 * Exit code: 0 done, 1 something failed, 2 wrong arguments, 128 and the signal's number when interrupted. */
#include "click_category.h"
#include "click_file.h"
#include "click_tally.h"
#include "click_windows.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STREAM_NAME "mi-ks-homework12" /* The names of the seed. */
#define DELIVERY_NAME "mi-ks-homework12-firehose"

static const char usage[] =
    "Usage: clicks [OPTION...] [FILE]\n"
    "\n"
    "Puts a shop's events into a stream, and delivers them with a category to files\n"
    "by hour. FILE has an event as JSON in each line; or its name ends in .csv, and\n"
    "it has the 10 columns of IBM's clickstream. Without FILE: made-up events.\n"
    "\n"
    "  --events N        made-up events (default 1000)\n"
    "  --seed N          others of them (default 1)\n"
    "  --broken N        of them are broken (default 1)\n"
    "  --drop ACTION     events of this action are dropped (the same in all runs of\n"
    "                    a store)\n"
    "  --rate N          events per second (default 0: no waiting; the seed's pace\n"
    "                    is 1)\n"
    "  --batch N         events put in one step (default 500)\n"
    "  --shards N        shards of the stream (default 1)\n"
    "  --interval N      seconds until what is collected is delivered (default 60)\n"
    "  --size N          ... or so many bytes of it (default 5242880)\n"
    "  --store DIR       keep the store in DIR and the files in DIR.delivered, and\n"
    "                    go on there (default: temporary). A stream and a delivery\n"
    "                    that `lstream apply examples/clicks.json --store DIR` has\n"
    "                    made are used\n"
    "  --json            the result as one line of JSON\n"
    "  --help            this text\n";

struct options {
    const char *store, *file, *drop;
    uint64_t events, seed, broken, rate, batch, shards;
    uint64_t interval, size; /* UINT64_MAX, 0: not said */
    bool json;
};

/* ---- events into the stream ---- */

static int put_all(const struct options *options, row_feed *feed)
{
    pipeline_pace pace = {.per_second = (double)options->rate};
    click_source *source = click_source_open(feed, options->file, options->seed, options->events, options->broken);
    const char *note = source == NULL ? NULL : feed_note(feed, click_source_name(source));
    click_tally tally = {.transform.drop = options->drop};
    uint64_t done, number = 0, in_step = 0;
    int result = source == NULL ? -1 : 0, got = 1;

    click_tally_read(&tally, note);
    done = tally.records - (source == NULL ? 0 : click_source_again(source));
    while (result == 0 && got == 1 && !pipeline_interrupted) {
        ls_bytes key, event;

        got = click_source_next(source, &key, &event);
        if (got == 1 && number++ >= done) {
            ls_status status = feed_add(feed, key, event);

            if (status == LS_ERR_TOO_LARGE || status == LS_ERR_INVALID_ARGUMENT)
                result = pipeline_fail("event %" PRIu64 " cannot be put: %s", number, ls_last_error_message());
            else
                result = status == LS_OK ? 0 : -1;
            click_tally_add(&tally, event.data, event.size);
            in_step++;
        }
        if (result == 0 && got >= 0 && feed_is_due(feed, in_step, options->batch, got == 0)) {
            char text[CLICK_NOTE_BYTES], word[SOURCE_WORD_BYTES], noted[sizeof(text) + sizeof(word)];

            pipeline_wait(&pace, in_step);
            click_tally_write(&tally, text);
            click_source_word(source, word);
            (void)snprintf(noted, sizeof(noted), "%s %s", text, word);
            result = feed_step(feed, click_source_name(source), noted);
            in_step = 0;
        }
    }
    click_source_close(source);
    click_tally_free(&tally);
    return got < 0 ? -1 : result;
}

/* ---- the transform ---- */

static ls_transform_answer transform_batch(ls_transform *batch, void *user)
{
    click_transform *transform = user;  /* One run calls on one thread. */

    for (size_t i = 0; i < ls_transform_count(batch); i++) {
        const ls_record *record = ls_transform_at(batch, i);
        const char *reason = click_transform_event(transform, record->data.data, record->data.size);
        ls_status status = reason != NULL ? ls_transform_fail(batch, i, reason) :
            transform->is_dropped ? ls_transform_drop(batch, i) :
            ls_transform_replace(batch, i, (ls_bytes){transform->out.text, transform->out.size});

        if (status != LS_OK)
            return LS_TRANSFORM_RETRY;
    }
    return LS_TRANSFORM_DONE;
}

/* ---- the report ---- */

static void show_json(const click_tally *tally, const click_tally *files, const click_windows *windows,
                      ls_stream *stream)
{
    (void)printf("{\"records\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"dropped\":%" PRIu64
                 ",\"categories\":{", tally->records, files->delivered, files->failed, tally->dropped);
    for (int i = 0; i < CLICK_CATEGORIES; i++)
        (void)printf("%s\"%s\":%" PRIu64, i == 0 ? "" : ",", click_category_names[i], files->categories[i]);
    (void)printf("},\"files\":%zu,", files->files);
    shard_counts_show(&tally->shards, stream);
    (void)printf(",\"minutes\":[");
    for (size_t i = 0; i < windows->count; i++) {
        const click_minute *minute = &windows->minutes[i];

        (void)printf("%s{\"start\":%" PRId64 ",\"events\":%" PRIu64 ",\"add_to_cart\":%" PRIu64 "}", i == 0 ? "" : ",",
                     minute->start_ms / 1000, minute->events, minute->carts);
    }
    (void)printf("],\"actions\":{");
    for (int i = 0; i < CLICK_ACTIONS_MAX && windows->action_counts[i] > 0; i++) {
        flat_json name = {0};

        flat_json_quoted(&name, windows->actions[i], strlen(windows->actions[i]));
        (void)printf("%s%.*s:%" PRIu64, i == 0 ? "" : ",", (int)name.size, name.text, windows->action_counts[i]);
        flat_json_free(&name);
    }
    (void)printf("},\"add_to_cart_price\":%.2f}\n", windows->cart_price);
}

static void show(const click_tally *tally, const click_tally *files, const click_windows *windows,
                 const char *directory)
{
    (void)printf("%" PRIu64 " events: %" PRIu64 " delivered in %zu files, %" PRIu64 " failed, %" PRIu64 " dropped\n",
                 tally->records, files->delivered, files->files, files->failed, tally->dropped);
    for (int i = 0; i < CLICK_CATEGORIES; i++)
        (void)printf("  %-12s %8" PRIu64 "  %5.2f %%\n", click_category_names[i], files->categories[i],
                     files->delivered == 0 ? 0 : 100.0 * (double)files->categories[i] / (double)files->delivered);
    (void)puts("  minute            events  add_to_cart");
    for (size_t i = 0; i < windows->count && i < 10; i++) {
        time_t start = (time_t)(windows->minutes[i].start_ms / 1000);
        struct tm date;
        char text[32];

        (void)gmtime_r(&start, &date);
        (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &date);
        (void)printf("  %s %7" PRIu64 " %12" PRIu64 "\n", text, windows->minutes[i].events, windows->minutes[i].carts);
    }
    if (windows->count > 10)
        (void)printf("  ... %zu minutes in all\n", windows->count);
    (void)printf("  put into carts: %.2f\n", windows->cart_price);
    if (directory != NULL)
        (void)printf("  the files are in %s\n", directory);
}

/* ---- all of it ---- */

/* Where the delivery puts files, if it was set up before (`lstream apply clicks.json`, or by us); else as it is. */
static int find_directory(ls_stream *stream, char directory[PIPELINE_PATH_BYTES])
{
    ls_delivery_options settings = LS_DELIVERY_OPTIONS_INIT;
    ls_delivery_description *description = NULL;
    ls_status status = ls_delivery_describe(stream, DELIVERY_NAME, &description);
    int result = 0;

    if (status == LS_ERR_NOT_FOUND)
        return 0;
    if (status != LS_OK || ls_delivery_description_options(description, &settings) != LS_OK)
        result = pipeline_fail_ls("look at the delivery");
    else if (snprintf(directory, PIPELINE_PATH_BYTES, "%s", settings.directory == NULL ? "" : settings.directory) >=
             (int)PIPELINE_PATH_BYTES)
        result = pipeline_fail("the delivery's directory has a long path");
    ls_delivery_description_free(description);
    return result;
}

/* Who has moved the store has moved the directory beside it, too. */
static int follow_store(row_feed *feed, const char *directory)
{
    char was[PIPELINE_PATH_BYTES];
    int moved = feed_moved(feed, DELIVERY_NAME, directory, was);

    if (moved < 0 || (moved == 1 && click_tally_moved(feed, was, directory) != 0))
        return -1;
    return feed_remember_place(feed, directory);
}

static int run_stream(const struct options *options, ls_store *store, ls_stream *stream, char *directory,
                      click_windows *windows)
{
    click_transform transform = {.drop = options->drop};
    click_tally stream_says = {.transform.drop = options->drop}, files_say = {.records = 0};
    ls_delivery_run_options how = LS_DELIVERY_RUN_OPTIONS_INIT;
    ls_delivery_options settings = LS_DELIVERY_OPTIONS_INIT;
    row_feed *feed = feed_open(store, stream, STREAM_NAME);
    pipeline_worker *worker;
    int32_t interval_ms = options->interval == UINT64_MAX ? 0
                          : options->interval == 0        ? LS_DELIVERY_AT_ONCE : (int32_t)options->interval * 1000;
    int result;

    if (feed == NULL)
        return -1;
    settings.flags = LS_DELIVERY_TRANSFORM;
    settings.interval_ms = interval_ms != 0 ? interval_ms : 60000;
    settings.buffer_bytes = options->size != 0 ? options->size : 5242880;
    settings.error_prefix = CLICK_ERRORS "!{firehose:error-output-type}/";
    settings.delimiter = "\n"; /* Without it, as in the seed, the objects lie one behind the other on one line. */
    settings.directory = directory;
    result = follow_store(feed, directory);
    if (result == 0)
        result = find_directory(stream, directory);
    if (result == 0)
        result = pipeline_delivery_change(stream, DELIVERY_NAME, options->size, interval_ms);
    if (result == 0)
        result = click_tally_begin(feed, directory);
    how.transform = transform_batch;
    how.transform_user = &transform;
    if (result == 0) /* Checks go by one rule. */
        result = feed_settle(feed, "--drop", options->drop == NULL ? "" : options->drop);
    worker = result == 0 ? pipeline_deliver(stream, DELIVERY_NAME, &settings, &how) : NULL;
    result = worker == NULL ? -1 : put_all(options, feed);
    if (pipeline_work_end(worker, result == 0) != 0)
        result = -1;
    if (result == 0 && !pipeline_interrupted)
        result = click_tally_check(stream, feed, &stream_says, &files_say);
    if (feed_close(feed) != 0)
        result = -1;
    if (result == 0 && !pipeline_interrupted)
        result = click_windows_count(stream, windows);
    if (result == 0 && !pipeline_interrupted && options->json)
        show_json(&stream_says, &files_say, windows, stream);
    else if (result == 0 && !pipeline_interrupted)
        show(&stream_says, &files_say, windows, options->store == NULL ? NULL : directory);
    click_tally_free(&stream_says);
    click_tally_free(&files_say);
    click_transform_free(&transform);
    return result;
}

static int run_all(const struct options *options)
{
    ls_stream_options stream_options = LS_STREAM_OPTIONS_INIT;
    click_windows *windows = calloc(1, sizeof(*windows));
    char directory[PIPELINE_PATH_BYTES];
    pipeline_place place;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    int result = -1;

    if (windows == NULL || pipeline_place_make(&place, options->store) != 0) {
        free(windows);
        return -1;
    }
    stream_options.shard_count = (uint32_t)options->shards;
    if (pipeline_place_open(&place, NULL, &store) == 0 &&
        (stream = pipeline_stream(store, STREAM_NAME, &stream_options)) != NULL) {
        (void)pipeline_path(&place, ".delivered", directory);
        result = run_stream(options, store, stream, directory, windows);
    }
    if (ls_stream_close(stream) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the stream");
    if (ls_store_close(store) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the store");
    free(windows);
    return pipeline_place_leave(&place) == 0 ? result : -1;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"events", required_argument, NULL, 'n'},   {"seed", required_argument, NULL, 'e'},
        {"broken", required_argument, NULL, 'k'},   {"rate", required_argument, NULL, 'r'},
        {"drop", required_argument, NULL, 'o'},
        {"batch", required_argument, NULL, 'b'},    {"shards", required_argument, NULL, 's'},
        {"interval", required_argument, NULL, 'i'}, {"size", required_argument, NULL, 'z'},
        {"store", required_argument, NULL, 'd'},    {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    struct options options = {.events = 1000, .seed = 1, .broken = UINT64_MAX, .batch = 500, .shards = 1,
                              .interval = UINT64_MAX};
    int option, result = 0;

    pipeline_begin("clicks");
    while (result == 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'd': options.store = optarg; break;
        case 'o': options.drop = optarg; break;
        case 'n': result = pipeline_number("events", optarg, 0, UINT64_MAX, &options.events); break;
        case 'e': result = pipeline_number("seed", optarg, 0, UINT64_MAX, &options.seed); break;
        case 'k': result = pipeline_number("broken", optarg, 0, 1000000000, &options.broken); break;
        case 'r': result = pipeline_number("rate", optarg, 0, 1000000000, &options.rate); break;
        case 'b': result = pipeline_number("batch", optarg, 1, 10000, &options.batch); break;
        case 's': result = pipeline_number("shards", optarg, 1, 65536, &options.shards); break;
        case 'i': result = pipeline_number("interval", optarg, 0, 900, &options.interval); break;
        case 'z': result = pipeline_number("size", optarg, 1, 1 << 30, &options.size); break;
        case 'j': options.json = true; break;
        case 'h': (void)fputs(usage, stdout); return 0;
        default: return 2;
        }
    }
    if (result == 0 && optind + 1 < argc)
        result = pipeline_fail("one file at most, not also '%s'", argv[optind + 1]);
    if (result == 0 && optind < argc) {
        options.file = argv[optind];
        if (access(options.file, R_OK) != 0)
            result = pipeline_fail("cannot open %s: %s", options.file, strerror(errno));
    }
    if (options.broken == UINT64_MAX) /* It was not said. */
        options.broken = options.events > 0;
    if (result == 0 && options.broken > options.events)
        result = pipeline_fail("--broken wants no more than --events, %" PRIu64, options.events);
    if (result != 0)
        return 2;
    if (options.rate > 0 && options.batch > options.rate)
        options.batch = options.rate;  /* A step a second at least. */
    result = run_all(&options);
    if (pipeline_interrupted)
        return 128 + pipeline_interrupted;
    if (fflush(stdout) != 0 || ferror(stdout))
        result = pipeline_fail("cannot write the result: %s", strerror(errno));
    return result == 0 ? 0 : 1;
}
