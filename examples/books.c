/* Books through a stream: read tables of books, put each row as JSON with its title as partition key, one record per
 * call, durable; then read every shard from its beginning, 1,000 records a page, and report how many books there are,
 * how many have a price, the prices' sum and mean. At last the same records are put twice more, into streams of their
 * own: a page per call, and without waiting for any; so the three ways can be compared.
 *
 *   books [OPTION...] [FILE...]
 *
 * Without a file it runs on made-up rows (book_rows.h) the two cases that a published experiment timed on Amazon
 * Kinesis: 212 records on 1 shard in 10.36 s, and 8,786 on 2 shards in 276.68 s.
 *
 * What it shows of libstream: create and describe a stream; put, and tell a refused record from a failure; read to
 * the end and no further. An open shard has no end, so "the end" must be said exactly: a page with no records that is
 * 0 ms behind the tip, or the end of a closed shard. An empty page alone does not mean it.
 *
 * It also checks what it claims: numbers ascend within each shard, and each shard gives back, in order, the very
 * bytes that were put into it (a running hash of both).
 *
 * Exit code: 0 done, 1 something failed, 2 wrong arguments, 128 and the signal's number when interrupted. */
#include "book_copy.h"
#include "book_input.h"
#include "flat_json.h"
#include "pipeline.h"
#include "source_name.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_RECORDS 1000
#define STREAM_NAME "books"

static const char usage[] =
    "Usage: books [OPTION...] [FILE...]\n"
    "\n"
    "Puts the rows of CSV files into a stream, one durable record per call, reads\n"
    "them back and reports the number of books, the number with a price, sum and\n"
    "mean; then times the same puts a page per call, and without waiting for each.\n"
    "FILE may be -, standard input. Without FILE: the two cases of the seed, 212\n"
    "rows on 1 shard and 8,786 on 2, made up.\n"
    "\n"
    "  --shards N        shards of the stream (default 2; without FILE: those of the\n"
    "                    case)\n"
    "  --rows N          only the first N rows (default all; without FILE: of each\n"
    "                    case)\n"
    "  --seed N          other made-up rows (default 1)\n"
    "  --rate N          rows per second, in the first way (default 0: no waiting)\n"
    "  --batch N         records of a page in the second way (default 1000)\n"
    "  --title COLUMN    the column that becomes the partition key (default Title)\n"
    "  --price COLUMN    the column with the price (default Price)\n"
    "  --json            the result as one line of JSON\n"
    "  --help            this text\n"
    "\n"
    "Column names match exactly, or else in either case. A price is a plain decimal,\n"
    "perhaps with thousands commas; anything else, a currency sign too, is no price,\n"
    "nor is one of more than 60 digits before the point or 36 behind it. The store\n"
    "is temporary: in $TMPDIR, or in /var/tmp, and removed at the end. There is no\n"
    "--store, since what is timed are puts into new streams.\n";

struct options {
    uint64_t shards;      /* 0: not given */
    uint64_t rows;        /* UINT64_MAX: not given */
    uint64_t seed, rate, batch;
    const char *title, *price;
    bool json;
    char **files;
    int file_count;
};

/* FNV-1a with each part's length first, so that no two sequences of parts run into one. */
static uint64_t hash_part(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < sizeof(size); i++)
        hash = (hash ^ (size >> 8 * i & 0xff)) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* ---- put ---- */

/* The row as JSON, every column under its name in the header. False: a cell is no UTF-8, which JSON must be. */
static bool row_as_json(const book_input *input, const csv_cell *cells, flat_json *json)
{
    flat_json_begin(json);
    for (size_t i = 0; i < input->table.count; i++) {
        if (!utf8_check(cells[i].text, cells[i].size, NULL))
            return false;
        flat_json_member(json, input->table.names[i], strlen(input->table.names[i]), cells[i].text, cells[i].size);
    }
    flat_json_end(json);
    return true;
}

/* Why libstream refused a record: that it did is in the status, and the title shows which of its rules was broken. */
static int reason_of(ls_status status, const csv_cell *title)
{
    size_t characters = 0;

    (void)utf8_check(title->text, title->size, &characters);  /* row_as_json found it well. */
    if (status == LS_ERR_INVALID_ARGUMENT)
        return BOOK_NO_TITLE;
    return characters > 256 ? BOOK_TITLE_TOO_LONG : BOOK_TOO_LARGE;
}

static int put_row(ls_producer *producer, const book_input *input, const csv_cell *cells, size_t count,
                   flat_json *json, book_outcome *outcome)
{
    const csv_cell *title = &cells[input->title_at];
    book_shard *tally;
    ls_record_id id;
    ls_status status;
    uint64_t began;

    outcome->records++;
    if (count != input->table.count) {
        outcome->refused[BOOK_WRONG_CELL_COUNT]++;
        return 0;
    }
    if (!row_as_json(input, cells, json)) {
        outcome->refused[BOOK_NOT_UTF8]++;
        return 0;
    }
    if (json->failed)
        return pipeline_fail("no memory");
    began = pipeline_now_ns();
    status = ls_producer_put(producer, (ls_bytes){title->text, title->size}, (ls_bytes){json->text, json->size}, NULL,
                             &id);
    outcome->put_ns += pipeline_now_ns() - began;
    /* A refusal is about this record, and writes nothing: the next may be fine. Anything else is about the store. */
    if (status == LS_ERR_TOO_LARGE || (status == LS_ERR_INVALID_ARGUMENT && title->size == 0)) {
        outcome->refused[reason_of(status, title)]++;
        return 0;
    }
    if (status != LS_OK)
        return pipeline_fail_ls("put a record");
    if (id.shard >= outcome->shard_count)
        return pipeline_fail("a record went to shard %u of %u", id.shard, outcome->shard_count);
    tally = &outcome->shards[id.shard];
    tally->put_hash = hash_part(hash_part(tally->put_hash, title->text, title->size), json->text, json->size);
    tally->put_count++;
    outcome->accepted++;
    return 0;
}

static int put_all(ls_stream *stream, book_input *input, const book_job *job, uint64_t rate, book_progress *progress,
                   book_outcome *outcome)
{
    pipeline_pace pace = {.per_second = (double)rate};
    ls_producer *producer = NULL;
    flat_json json = {0};
    int result = 0;

    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        return pipeline_fail_ls("open a producer");
    while (result == 0 && outcome->records < job->rows && !pipeline_interrupted) {
        const csv_cell *cells;
        size_t count;
        int got = book_input_next(input, &cells, &count);

        if (got == 0)
            break;
        pipeline_wait(&pace, 1);
        result = got < 0 ? -1 : put_row(producer, input, cells, count, &json, outcome);
        book_progress_show(progress, pipeline_now_ns(), "putting", outcome->records, book_input_bytes(input));
    }
    book_progress_end(progress);
    flat_json_free(&json);
    if (ls_producer_close(producer) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the producer");
    return result;
}

/* ---- read back ---- */

struct book {
    const char *price_name;
    bool seen, seen_exact; /* a member of that name, in either case or exactly */
    bool has_price;
    decimal price;
};

/* The price is the member of exactly that name, or else the first of that name in either case. */
static bool see_member(void *user, const char *name, size_t name_size, const char *value, size_t value_size)
{
    struct book *book = user;
    bool exact = strlen(book->price_name) == name_size && memcmp(book->price_name, name, name_size) == 0;

    if (exact || (!book->seen && !book->seen_exact && strlen(book->price_name) == name_size &&
                  strncasecmp(book->price_name, name, name_size) == 0)) {
        book->has_price = decimal_read(value, value_size, &book->price);
        book->seen = true;
        book->seen_exact = exact;
    }
    return true;
}

static int read_record(const struct options *options, const ls_record *record, flat_json *scratch,
                       book_outcome *outcome)
{
    book_shard *tally = &outcome->shards[record->shard];
    struct book book = {.price_name = options->price};

    if (!flat_json_read(record->data.data, record->data.size, scratch, see_member, &book))
        return pipeline_fail("record %" PRIu64 " of shard %u is not the JSON that was put", record->seqno,
                             record->shard);
    tally->read_hash = hash_part(hash_part(tally->read_hash, record->partition_key.data, record->partition_key.size),
                                 record->data.data, record->data.size);
    tally->read_count++;
    outcome->books++;
    if (book.has_price) {
        outcome->priced++;
        decimal_add(&outcome->sum, &book.price);
    }
    return 0;
}

static int read_shard(ls_stream *stream, uint32_t shard, const struct options *options, book_progress *progress,
                      book_outcome *outcome)
{
    static const ls_position oldest = {.kind = LS_TRIM_HORIZON};
    ls_next_options page = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    ls_seqno last = LS_SEQNO_NONE;
    flat_json scratch = {0};
    int result = 0;

    page.records_max = PAGE_RECORDS;
    if (ls_iterator_open(stream, shard, &oldest, NULL, &iterator) != LS_OK)
        return pipeline_fail_ls("open an iterator");
    while (result == 0 && !pipeline_interrupted) {
        const ls_batch *batch;

        if (ls_iterator_next(iterator, &page, &batch) != LS_OK) {
            result = pipeline_fail_ls("read");
            break;
        }
        for (size_t i = 0; result == 0 && i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);

            if (record->shard == shard && record->seqno > last)
                result = read_record(options, record, &scratch, outcome);
            else
                result = pipeline_fail("shard %u: record %" PRIu64 " comes after %" PRIu64, shard, record->seqno, last);
            last = record->seqno;
        }
        book_progress_show(progress, pipeline_now_ns(), "reading back", outcome->books, 0);
        if (ls_batch_is_shard_end(batch) || (ls_batch_count(batch) == 0 && ls_batch_millis_behind_latest(batch) == 0))
            break;
    }
    flat_json_free(&scratch);
    ls_iterator_close(iterator);
    return result;
}

static int read_all(ls_stream *stream, const struct options *options, book_progress *progress,
                    book_outcome *outcome)
{
    int result = 0;

    progress->bytes_total = 0;
    for (uint32_t shard = 0; result == 0 && shard < outcome->shard_count && !pipeline_interrupted; shard++) {
        const book_shard *tally = &outcome->shards[shard];

        result = read_shard(stream, shard, options, progress, outcome);
        if (result == 0 && !pipeline_interrupted &&
            (tally->read_count != tally->put_count || tally->read_hash != tally->put_hash))
            result = pipeline_fail("shard %u gave back %" PRIu64 " records of %" PRIu64 "%s", shard, tally->read_count,
                                   tally->put_count,
                                   tally->read_count == tally->put_count ? ", and not the same bytes" : "");
    }
    book_progress_end(progress);
    return result;
}

/* ---- one job, in a store of its own ---- */

/* The shards as the store lists them; a fresh stream's are numbered from 0. */
static int make_tallies(ls_stream *stream, book_outcome *outcome)
{
    ls_stream_description *description = NULL;

    if (ls_stream_describe(stream, &description) != LS_OK)
        return pipeline_fail_ls("describe the stream");
    outcome->shard_count = ls_stream_description_shard_count(description);
    ls_stream_description_free(description);
    outcome->shards = calloc(outcome->shard_count, sizeof(*outcome->shards));
    return outcome->shards == NULL ? pipeline_fail("no memory") : 0;
}

static int run_in_store(ls_store *store, const struct options *options, const book_job *job, book_input *input,
                        book_outcome *outcome)
{
    ls_stream_options stream_options = LS_STREAM_OPTIONS_INIT;
    book_progress progress = {0};
    ls_stream *stream = NULL;
    int result;

    stream_options.shard_count = job->shards;
    if (ls_stream_create(store, STREAM_NAME, &stream_options) != LS_OK)
        return pipeline_fail_ls("create the stream");
    if (ls_stream_open(store, STREAM_NAME, &stream) != LS_OK)
        return pipeline_fail_ls("open the stream");
    for (int i = 0; i < options->file_count; i++) {
        struct stat status;

        if (stat(options->files[i], &status) != 0 || !S_ISREG(status.st_mode)) {
            progress.bytes_total = 0; /* Of a pipe nobody knows how much will come. */
            break;
        }
        progress.bytes_total += (uint64_t)status.st_size;
    }
    result = make_tallies(stream, outcome);
    if (result == 0)
        result = put_all(stream, input, job, options->rate, &progress, outcome);
    if (result == 0 && !pipeline_interrupted)
        result = read_all(stream, options, &progress, outcome);
    if (result == 0 && !pipeline_interrupted)
        result = book_copy(store, stream, STREAM_NAME "-by-page", false, (uint32_t)options->batch, outcome,
                           &outcome->page_ns);
    if (result == 0 && !pipeline_interrupted)
        result = book_copy(store, stream, STREAM_NAME "-async", true, (uint32_t)options->batch, outcome,
                           &outcome->async_ns);
    if (ls_stream_close(stream) != LS_OK && result == 0)
        result = pipeline_fail_ls("close the stream");
    return result;
}

static int run_job(const struct options *options, const book_job *job, book_outcome *outcome)
{
    ls_store_options store_options = LS_STORE_OPTIONS_INIT;
    book_input input = {.title = options->title, .price = options->price, .files = options->files,
                        .file_count = options->file_count, .rows = calloc(1, sizeof(*input.rows))};
    pipeline_place place;
    ls_store *store = NULL;
    int result = -1;

    memset(outcome, 0, sizeof(*outcome));
    if (input.rows == NULL)
        return pipeline_fail("no memory");
    book_rows_begin(input.rows, options->seed, job->seed_rows);
    if (pipeline_place_make(&place, NULL) == 0) {
        store_options.durability = LS_DURABILITY_SYNC;  /* The default, named because the times below depend on it. */
        result = ls_store_open(place.store, &store_options, &store) == LS_OK
               ? run_in_store(store, options, job, &input, outcome) : pipeline_fail_ls("open the store");
        if (ls_store_close(store) != LS_OK && result == 0)
            result = pipeline_fail_ls("close the store");
        if (pipeline_place_leave(&place) != 0)
            result = -1;
    }
    book_input_close(&input);
    free(input.rows);
    return result;
}

static int run_files(const struct options *options)
{
    book_job job = {.shards = options->shards == 0 ? 2 : (uint32_t)options->shards, .rows = options->rows};
    book_outcome outcome;
    int result = run_job(options, &job, &outcome);

    if (result == 0 && !pipeline_interrupted) {
        if (options->json) {
            book_print_json(&job, &outcome);
            (void)putchar('\n');
        } else {
            book_print_report(&job, &outcome);
        }
    }
    free(outcome.shards);
    return result;
}

static int run_seed_cases(const struct options *options)
{
    book_job jobs[] = {
        {.shards = 1, .seed_seconds = 10.36, .seed_rows = 212},
        {.shards = 2, .seed_seconds = 276.68, .seed_rows = 8786},
    };
    const size_t count = sizeof(jobs) / sizeof(jobs[0]);
    book_outcome outcomes[sizeof(jobs) / sizeof(jobs[0])];
    int result = 0;

    memset(outcomes, 0, sizeof(outcomes));
    for (size_t i = 0; result == 0 && i < count && !pipeline_interrupted; i++) {
        if (options->shards != 0)
            jobs[i].shards = (uint32_t)options->shards;
        jobs[i].rows = options->rows;
        result = run_job(options, &jobs[i], &outcomes[i]);
        if (result == 0 && !pipeline_interrupted && !options->json) {
            if (i > 0)
                (void)putchar('\n');
            book_print_report(&jobs[i], &outcomes[i]);
            (void)fflush(stdout);
        }
    }
    if (result == 0 && !pipeline_interrupted && options->json) {
        (void)fputs("{\"cases\":[", stdout);
        for (size_t i = 0; i < count; i++) {
            if (i > 0)
                (void)putchar(',');
            book_print_json(&jobs[i], &outcomes[i]);
        }
        (void)puts("]}");
    }
    for (size_t i = 0; i < count; i++)
        free(outcomes[i].shards);
    return result;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"shards", required_argument, NULL, 's'}, {"rows", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 'e'},   {"rate", required_argument, NULL, 'a'},
        {"batch", required_argument, NULL, 'b'},  {"title", required_argument, NULL, 't'},
        {"price", required_argument, NULL, 'p'},  {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    struct options options = {.rows = UINT64_MAX, .seed = BOOK_ROWS_SEED_DEFAULT, .batch = PAGE_RECORDS,
                              .title = "Title", .price = "Price"};
    int option, result = 0;

    pipeline_begin("books");
    while (result == 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 's': result = pipeline_number("shards", optarg, 1, 65536, &options.shards); break;
        case 'r': result = pipeline_number("rows", optarg, 1, UINT64_MAX, &options.rows); break;
        case 'e': result = pipeline_number("seed", optarg, 0, UINT64_MAX, &options.seed); break;
        case 'a': result = pipeline_number("rate", optarg, 0, 1000000000, &options.rate); break;
        case 'b': result = pipeline_number("batch", optarg, 1, BOOK_BATCH_MAX, &options.batch); break;
        case 't': options.title = optarg; break;
        case 'p': options.price = optarg; break;
        case 'j': options.json = true; break;
        case 'h': (void)fputs(usage, stdout); return 0;
        default: (void)fputs("Try 'books --help'.\n", stderr); return 2;
        }
    }
    if (result != 0)
        return 2;
    options.files = argv + optind;
    options.file_count = argc - optind;
    /* Looked at before anything is done, so that a misspelt second file does not cost the first one's time. */
    for (int i = 0; i < options.file_count; i++)
        if (strcmp(options.files[i], "-") != 0 && access(options.files[i], R_OK) != 0) {
            (void)pipeline_fail("cannot open %s: %s", options.files[i], strerror(errno));
            return 1;
        }
    if (source_check_files(options.files, options.file_count) != 0)
        return 2;
    result = options.file_count > 0 ? run_files(&options) : run_seed_cases(&options);
    if (pipeline_interrupted)
        return 128 + pipeline_interrupted;
    if (fflush(stdout) != 0 || ferror(stdout))
        result = pipeline_fail("cannot write the result: %s", strerror(errno));
    return result == 0 ? 0 : 1;
}
