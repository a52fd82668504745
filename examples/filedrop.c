/* Files dropped in a directory, through an encrypted stream, to two consumers: each file whose name ends in .txt
 * becomes one record with the key 123, as in the seed; two mappings read the stream, each at a place of its own.
 *
 *   filedrop [OPTION...] [DIRECTORY]
 *
 * What it shows of libstream: a provisioned stream, whose limits a put waits for; records encrypted at rest, with the
 * key in a file; two mappings of one stream that know nothing of each other: with --fail the second one fails for ever,
 * and the first one has everything all the same. A constant key goes to one shard, however many there are.
 *
 * A file is taken once in each version of it, its size and time, also by a run after one that was killed; files of one
 * name in two directories are two (file_taker.h).
 *
 * It checks what it claims: what is in the stream is what was put, and each consumer has had all of it; when retention
 * has taken records of it, what is left.
 *
 * Exit code: 0 done, 1 something failed, 2 wrong arguments, 128 and the signal's number when interrupted. */
#include "file_taker.h"
#include "looking.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define STREAM_NAME "filedrop"
#define KEY_ID "filedrop"
#define CONSUMERS 2

static const char usage[] =
    "Usage: filedrop [OPTION...] [DIRECTORY]\n"
    "\n"
    "Puts each file that is dropped into DIRECTORY, and those that are there, into\n"
    "an encrypted stream, which two consumers read. Without DIRECTORY: made-up files\n"
    "are dropped into one beside the store.\n"
    "\n"
    "  --suffix TEXT   only files whose names end so (default .txt), in this case\n"
    "  --idle N        end when no file has come for N seconds (default 1); 0: at\n"
    "                  SIGINT or SIGTERM\n"
    "  --fail          the second consumer fails for ever\n"
    "  --files N       made-up files (default 20)\n"
    "  --seed N        others of them (default 1; the same in all runs of a store)\n"
    "  --rate N        made-up files per second (default 0: no waiting)\n"
    "  --batch N       made-up files dropped at a time (default 1). Each is put by\n"
    "                  itself\n"
    "  --shards N      shards of the stream (default 1)\n"
    "  --reads N       answers a second that a shard gives to all (default 5, as\n"
    "                  Kinesis's)\n"
    "  --store DIR     keep the store in DIR, its key in DIR.key, what the consumers\n"
    "                  had in DIR.tables, and go on there (default: temporary)\n"
    "  --json          the result as one line of JSON\n"
    "  --help          this text\n";

struct options {
    const char *suffix, *store, *directory;
    uint64_t files, seed, rate, batch, shards;
    uint64_t reads; /* 0: not said */
    double idle_s;
    bool fail, json;
};

struct consumer {
    const char *name, *table_name;
    bool fails, quiet;
    table_file *file;
    keyed_table *had;
    pipeline_worker *worker;
};

/* ---- consumers ---- */

/* What a consumer keeps of a record: its place as the key, its size and hash (FNV-1a) as the item. */
static int keep(keyed_table *table, const ls_record *record)
{
    const unsigned char *at = record->data.data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    char shard[32], number[32], item[64];

    for (size_t i = 0; i < record->data.size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    (void)snprintf(shard, sizeof(shard), "shardId-%012" PRIu32, record->shard);
    (void)snprintf(number, sizeof(number), "%020" PRIu64, record->seqno);
    (void)snprintf(item, sizeof(item), "%zu %016" PRIx64, record->data.size, hash);
    return table_put(table, (table_text){shard, strlen(shard)}, (table_text){number, strlen(number)},
                     (table_text){item, strlen(item)}) == TABLE_FAILED ? -1 : 0;
}

static ls_handler_answer consume(const ls_batch *batch, ls_handler_context *context, void *user)
{
    struct consumer *consumer = user;
    int result = 0;

    (void)context;
    if (consumer->fails)
        return LS_HANDLER_RETRY;
    if (tables_begin(consumer->file) != 0)
        return LS_HANDLER_RETRY;
    for (size_t i = 0; result == 0 && i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);

        result = keep(consumer->had, record);
        if (!consumer->quiet)
            (void)printf("%s: record %" PRIu64 ", %zu bytes\n", consumer->name, record->seqno, record->data.size);
    }
    if (result == 0)
        return tables_commit(consumer->file) == 0 ? LS_HANDLER_DONE : LS_HANDLER_RETRY;
    tables_undo(consumer->file);
    return LS_HANDLER_RETRY;
}

/* ---- checks ---- */

struct check {
    keyed_table *all;
    shard_counts counts;
};

static int see(const ls_record *record, void *user)
{
    struct check *check = user;

    (void)shard_counts_add(record, &check->counts);
    return keep(check->all, record);
}

static int look(ls_stream *stream, const struct consumer consumers[CONSUMERS], uint64_t expected, struct check *check)
{
    table_file *file = tables_open("");
    int result = -1, trimmed = 0;

    if (file != NULL)
        check->all = tables_table(file, "records");
    if (file == NULL || check->all == NULL || tables_begin(file) != 0)
        (void)pipeline_fail("cannot make a table: %s", tables_error(file));
    else if ((result = pipeline_read_all(stream, see, check)) != 0 || tables_commit(file) != 0)
        result = -1;
    if (result == 0 && (trimmed = pipeline_is_trimmed(stream)) < 0)
        result = -1;
    if (result == 0 && !trimmed && check->counts.records != expected)
        result = pipeline_fail("the stream has %" PRIu64 " records of %" PRIu64, check->counts.records, expected);
    for (int i = 0; result == 0 && i < CONSUMERS; i++)
        if (!consumers[i].fails && (trimmed ? tables_lack(consumers[i].had, check->all)
                                            : tables_differ(consumers[i].had, check->all)) != 0)
            result = pipeline_fail("%s has not had what the stream has", consumers[i].name);
    tables_close(file);
    return result;
}

static void show(const struct options *options, ls_stream *stream, const struct consumer consumers[CONSUMERS],
                 const struct check *check, const file_taker *taken)
{
    if (options->json) {
        (void)printf("{\"records\":%" PRIu64 ",\"taken\":%" PRIu64 ",\"refused\":%" PRIu64 ",", check->counts.records,
                     taken->records, taken->refused);
        shard_counts_show(&check->counts, stream);
        (void)printf(",\"consumers\":[");
        for (int i = 0; i < CONSUMERS; i++)
            (void)printf("%s{\"name\":\"%s\",\"records\":%" PRId64 "}", i == 0 ? "" : ",", consumers[i].name,
                         table_count(consumers[i].had));
        (void)puts("]}");
        return;
    }
    (void)printf("\n%" PRIu64 " records, %" PRIu64 " of them from files of this run; %" PRIu64 " files refused\n",
                 check->counts.records, taken->records, taken->refused);
    for (int i = 0; i < CONSUMERS; i++)
        (void)printf("  %s had %" PRId64 "%s\n", consumers[i].name, table_count(consumers[i].had),
                     consumers[i].fails ? ": it fails for ever" : "");
}

/* ---- all of it ---- */

static int read_seconds(const char *option, const char *text, double *out)
{
    char *end;

    *out = *text >= '0' && *text <= '9' ? strtod(text, &end) : -1;
    if (*out >= 0 && *out <= 1e9 && *end == 0)
        return 0;
    return pipeline_fail("--%s wants a number of seconds, not '%s'", option, text);
}

/* The key that the stream is encrypted with: 32 bytes at random, in a file that only we may read, made once. */
static int make_key(const char *path)
{
    unsigned char key[LS_KEY_BYTES];
    char part[PIPELINE_PATH_BYTES + 8];
    int file;
    bool good;

    if (access(path, F_OK) == 0)
        return 0;
    (void)snprintf(part, sizeof(part), "%s.new", path);
    file = getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key)
         ? open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    good = file >= 0 && write(file, key, sizeof(key)) == (ssize_t)sizeof(key) && fsync(file) == 0;
    explicit_bzero(key, sizeof(key));
    if (file >= 0 && close(file) != 0)
        good = false;
    return good && rename(part, path) == 0 ? 0 : pipeline_fail("cannot make the key %s: %s", path, strerror(errno));
}

static int run_consumers(const struct options *options, ls_store *store, ls_stream *stream,
                         struct consumer consumers[CONSUMERS], const char *directory)
{
    file_dropper dropper = {.directory = directory, .files = options->files, .seed = options->seed,
                            .rate = options->rate, .batch = options->batch};
    shard_counts before = {0};
    struct check check = {0};
    file_taker taken = {.directory = directory, .suffix = options->suffix, .idle_s = options->idle_s,
                        .quiet = options->json, .dropper = options->directory == NULL ? &dropper : NULL};
    row_feed *feed = feed_open(store, stream, STREAM_NAME);
    int result = feed == NULL ? -1 : pipeline_read_all(stream, shard_counts_add, &before);

    if (result == 0 && ls_stream_start_encryption(store, STREAM_NAME ".read", KEY_ID) != LS_OK)
        result = pipeline_fail_ls("encrypt the notes");
    if (result == 0 && options->directory == NULL) {  /* A made-up file that is there is not made again. */
        char seed[24];

        (void)snprintf(seed, sizeof(seed), "%" PRIu64, options->seed);
        result = feed_settle(feed, "--seed", seed);
    }
    for (int i = 0; result == 0 && i < CONSUMERS; i++) {
        consumers[i].worker = pipeline_work(stream, consumers[i].name, NULL, consume, &consumers[i]);
        result = consumers[i].worker == NULL ? -1 : 0;
    }
    if (result == 0)
        result = file_taker_run(&taken, feed);
    for (int i = 0; i < CONSUMERS; i++)  /* One that fails for ever is never caught up. */
        if (pipeline_work_end(consumers[i].worker, result == 0 && !consumers[i].fails) != 0)
            result = -1;
    if (feed_close(feed) != 0)
        result = -1;
    if (result == 0 && !pipeline_interrupted)
        result = look(stream, consumers, before.records + taken.records, &check);
    if (result == 0 && !pipeline_interrupted)
        show(options, stream, consumers, &check, &taken);
    return result;
}

/* Of a stream that is there: what this run was asked for. */
static int set_reads(ls_stream *stream, uint32_t reads)
{
    ls_stream_description *description = NULL;
    ls_stream_limits limits = LS_STREAM_LIMITS_INIT;
    ls_status status = ls_stream_describe(stream, &description);

    if (status == LS_OK)
        status = ls_stream_description_limits(description, &limits);
    ls_stream_description_free(description);
    if (status == LS_OK && limits.read_calls_per_second != reads) {
        limits.read_calls_per_second = reads;
        status = ls_stream_set_limits(stream, &limits);
    }
    return status == LS_OK ? 0 : pipeline_fail_ls("set the stream's limits");
}

static int run_stream(const struct options *options, ls_store *store, struct consumer consumers[CONSUMERS],
                      const char *directory)
{
    ls_stream_options stream_options = LS_STREAM_OPTIONS_INIT;
    ls_stream *stream;
    int result = 0;

    stream_options.mode = LS_STREAM_PROVISIONED;
    stream_options.shard_count = (uint32_t)options->shards;
    stream_options.read_calls_per_second = (uint32_t)options->reads; /* 0: Kinesis's 5 */
    stream = pipeline_stream(store, STREAM_NAME, &stream_options);
    if (stream == NULL)
        return -1;
    if (options->reads != 0)
        result = set_reads(stream, (uint32_t)options->reads);
    if (result == 0 && ls_stream_start_encryption(store, STREAM_NAME, KEY_ID) != LS_OK)
        result = pipeline_fail_ls("encrypt the stream");
    if (result == 0)
        result = run_consumers(options, store, stream, consumers, directory);
    if (ls_stream_close(stream) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the stream");
    return result;
}

static int run_all(const struct options *options)
{
    struct consumer consumers[CONSUMERS] = {
        {.name = "consumer-1", .table_name = "consumer_1", .quiet = options->json},
        {.name = "consumer-2", .table_name = "consumer_2", .quiet = options->json, .fails = options->fail},
    };
    ls_store_options store_options = LS_STORE_OPTIONS_INIT;
    char key[PIPELINE_PATH_BYTES], drops[PIPELINE_PATH_BYTES], path[PIPELINE_PATH_BYTES];
    table_file *file = NULL;
    ls_store *store = NULL;
    pipeline_place place;
    int result;

    if (pipeline_place_make(&place, options->store) != 0)
        return -1;
    store_options.key_callback = ls_key_from_file;
    store_options.key_user = key;
    (void)pipeline_path(&place, ".key", key);
    result = pipeline_place_open(&place, &store_options, &store);
    if (result == 0)
        result = make_key(key);
    if (result == 0 && (file = tables_open(pipeline_path(&place, ".tables", path))) == NULL)
        result = pipeline_fail("cannot open the tables %s: %s", path, tables_error(NULL));
    for (int i = 0; result == 0 && i < CONSUMERS; i++) {
        consumers[i].file = file;
        consumers[i].had = tables_table(file, consumers[i].table_name);
        if (consumers[i].had == NULL)
            result = pipeline_fail("cannot make a table in %s: %s", path, tables_error(file));
    }
    if (result == 0 && options->directory == NULL && mkdir(pipeline_path(&place, ".drop", drops), 0777) != 0 &&
        errno != EEXIST)
        result = pipeline_fail("cannot make %s: %s", drops, strerror(errno));
    if (result == 0)
        result = run_stream(options, store, consumers, options->directory == NULL ? drops : options->directory);
    tables_close(file);
    if (ls_store_close(store) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the store");
    return pipeline_place_leave(&place) == 0 ? result : -1;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"suffix", required_argument, NULL, 'x'}, {"idle", required_argument, NULL, 'i'},
        {"fail", no_argument, NULL, 'f'},         {"files", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 'e'},   {"rate", required_argument, NULL, 'r'},
        {"shards", required_argument, NULL, 's'}, {"reads", required_argument, NULL, 'c'},
        {"store", required_argument, NULL, 'd'},  {"batch", required_argument, NULL, 'b'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    struct options options = {.suffix = ".txt", .idle_s = 1, .files = 20, .seed = 1, .batch = 1, .shards = 1};
    struct stat status;
    int option, result = 0;

    pipeline_begin("filedrop");
    while (result == 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'x': options.suffix = optarg; break;
        case 'f': options.fail = true; break;
        case 'd': options.store = optarg; break;
        case 'i': result = read_seconds("idle", optarg, &options.idle_s); break;
        case 'n': result = pipeline_number("files", optarg, 1, 999999, &options.files); break;
        case 'e': result = pipeline_number("seed", optarg, 0, UINT64_MAX, &options.seed); break;
        case 'r': result = pipeline_number("rate", optarg, 0, 1000000, &options.rate); break;
        case 'b': result = pipeline_number("batch", optarg, 1, 1000000, &options.batch); break;
        case 's': result = pipeline_number("shards", optarg, 1, 65536, &options.shards); break;
        case 'c': result = pipeline_number("reads", optarg, 1, 1000000, &options.reads); break;
        case 'j': options.json = true; break;
        case 'h': (void)fputs(usage, stdout); return 0;
        default: return 2;
        }
    }
    if (result == 0 && optind + 1 < argc)
        result = pipeline_fail("one directory at most, not also '%s'", argv[optind + 1]);
    if (result == 0 && optind < argc) {
        options.directory = argv[optind];
        if (stat(options.directory, &status) != 0)
            result = pipeline_fail("cannot open %s: %s", options.directory, strerror(errno));
        else if (!S_ISDIR(status.st_mode))
            result = pipeline_fail("%s is no directory", options.directory);
    }
    if (result != 0)
        return 2;
    if (!options.json)
        (void)setvbuf(stdout, NULL, _IOLBF, 0); /* Each line when it happens, also into a pipe. */
    result = run_all(&options);
    if (pipeline_interrupted)
        return 128 + pipeline_interrupted;
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) /* A line of before, of which nobody knows why any more. */
        result = errno != 0 ? pipeline_fail("cannot write the result: %s", strerror(errno))
                            : pipeline_fail("cannot write the result");
    return result == 0 ? 0 : 1;
}
