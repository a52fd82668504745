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
#include "book_rows.h"
#include "csv.h"
#include "decimal.h"
#include "flat_json.h"
#include "temporary.h"

#include <libstream/libstream.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE_RECORDS 1000
#define STREAM_NAME "books"

static const char usage[] =
    "Usage: books [OPTION...] [FILE...]\n"
    "\n"
    "Puts the rows of CSV files into a stream, one durable record per call, reads them\n"
    "back and reports the number of books, the number with a price, sum and mean; then\n"
    "times the same puts a page per call, and without waiting for each.\n"
    "FILE may be -, standard input. Without FILE: the two cases of the seed, 212 rows on\n"
    "1 shard and 8,786 on 2, made up.\n"
    "\n"
    "  --shards N        shards of the stream (default 2; without FILE: those of the case)\n"
    "  --rows N          only the first N rows (default all; without FILE: of each case)\n"
    "  --title COLUMN    the column that becomes the partition key (default Title)\n"
    "  --price COLUMN    the column with the price (default Price)\n"
    "  --json            the result as one line of JSON\n"
    "  --help            this text\n"
    "\n"
    "Column names match exactly, or else in either case. A price is a plain decimal,\n"
    "perhaps with thousands commas; anything else, a currency sign too, is no price,\n"
    "nor is one of more than 60 digits before the point or 36 behind it.\n"
    "The store is temporary: in $TMPDIR, or in /var/tmp, and removed at the end.\n";

/* ---- what was asked for ---- */

struct options {
    uint32_t shards;      /* 0: not given */
    uint64_t rows;        /* UINT64_MAX: not given */
    const char *title, *price;
    bool json;
    char **files;
    int file_count;
};

/* One run: from where, how much, and what the seed needed for it. */
struct job {
    uint32_t shards;
    uint64_t rows;        /* at most */
    bool generated;
    double seed_seconds;  /* 0: no case of the seed */
    uint64_t seed_rows;
};

/* ---- what came out ---- */

enum reason { TITLE_TOO_LONG, NO_TITLE, NOT_UTF8, RECORD_TOO_LARGE, WRONG_CELL_COUNT, REASONS };

static const char *const reason_text[REASONS] = {
    "title longer than 256 characters",
    "no title",
    "a cell is not UTF-8",
    "record larger than 1 MiB",
    "not as many cells as the header",
};

struct shard_tally {
    uint64_t put_count, put_hash;
    uint64_t read_count, read_hash;
};

struct outcome {
    uint64_t records, accepted;
    uint64_t refused[REASONS];
    uint64_t put_ns, page_ns, async_ns; /* one record per call; a page per call; without waiting */
    struct shard_tally *shards;
    uint32_t shard_count;
    uint64_t books, priced; /* read back */
    decimal sum;
};

/* ---- small things ---- */

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
    interrupted = number;
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = note_signal;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        (void)sigaction(numbers[i], &action, NULL);  /* Without it the directory stays when interrupted, no more. */
    (void)signal(SIGPIPE, SIG_IGN);  /* A closed pipe is reported as a failed write, after cleaning up. */
}

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* 1234567 as "1,234,567". */
static const char *grouped(uint64_t n, char text[DECIMAL_TEXT_BYTES])
{
    decimal whole = decimal_of(n);

    decimal_write(&whole, 0, ',', text);
    return text;
}

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

/* A line on the terminal that says how far it is, ten times a second; nothing when standard error is no terminal. */
struct progress {
    bool shown;
    uint64_t next_ns;
    uint64_t bytes_total; /* of the files; 0: unknown */
};

static void progress_show(struct progress *progress, uint64_t now, const char *what, uint64_t done, uint64_t bytes)
{
    char count[DECIMAL_TEXT_BYTES];

    if (now < progress->next_ns)
        return;
    progress->next_ns = now + UINT64_C(100000000);
    if (!isatty(STDERR_FILENO))
        return;
    progress->shown = true;
    if (progress->bytes_total > 0)
        (void)fprintf(stderr, "\r\033[K%s: %s rows, %" PRIu64 " %% of the input", what, grouped(done, count),
                      bytes * 100 / progress->bytes_total);
    else
        (void)fprintf(stderr, "\r\033[K%s: %s rows", what, grouped(done, count));
}

static void progress_end(struct progress *progress)
{
    if (progress->shown)
        (void)fputs("\r\033[K", stderr);
    progress->shown = false;
}

/* For a call of libstream that failed. */
static int fail_ls(const char *doing)
{
    (void)fprintf(stderr, "books: cannot %s: %s (%s)\n", doing, ls_last_error_message(),
                  ls_status_name(ls_last_error_status()));
    return -1;
}

static int fail_memory(void)
{
    (void)fputs("books: no memory\n", stderr);
    return -1;
}

/* ---- the input: one table after the other, each with its own header ---- */

struct input {
    const struct options *options;
    bool generated;
    book_rows *rows;
    int file;               /* the next one */
    csv_reader *reader;     /* NULL between files */
    uint64_t bytes_before;  /* of the files that were read */
    char **names;           /* the header of the current file */
    size_t name_count, title_at;
};

static void input_close_table(struct input *input)
{
    if (input->reader != NULL)
        input->bytes_before += csv_bytes_read(input->reader);
    csv_close(input->reader);
    input->reader = NULL;
    for (size_t i = 0; i < input->name_count; i++)
        free(input->names[i]);
    free(input->names);
    input->names = NULL;
    input->name_count = 0;
}

/* The column called `wanted`: exactly, or else in either case. `count` when there is none. */
static size_t find_column(char *const *names, size_t count, const char *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], wanted) == 0)
            return i;
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(names[i], wanted) == 0)
            return i;
    return count;
}

static int fail_column(const struct input *input, const char *path, const char *option, const char *wanted)
{
    (void)fprintf(stderr, "books: %s has no column '%s'; name it with %s. Its columns:", path, wanted, option);
    for (size_t i = 0; i < input->name_count; i++)
        (void)fprintf(stderr, "%s '%s'", i == 0 ? "" : ",", input->names[i]);
    (void)fputc('\n', stderr);
    return -1;
}

/* A member's name must be one of its kind in a JSON object, so a second `x` becomes `x.1`, a third `x.2`. */
static char *column_name(const struct input *input, const csv_cell *cell)
{
    char *name = malloc(cell->size + 16);

    if (name == NULL)
        return NULL;
    memcpy(name, cell->text, cell->size + 1);
    for (unsigned next = 1; ; next++) {
        size_t i = 0;

        while (i < input->name_count && strcmp(input->names[i], name) != 0)
            i++;
        if (i == input->name_count)
            return name;
        (void)sprintf(name + cell->size, ".%u", next);
    }
}

static int input_read_header(struct input *input, const char *path)
{
    const csv_cell *cells;
    size_t count;
    int got = csv_next(input->reader, &cells, &count);

    if (got < 0) {
        if (!interrupted)
            (void)fprintf(stderr, "books: %s\n", csv_error(input->reader));
        return -1;
    }
    if (got == 0) {
        (void)fprintf(stderr, "books: %s is empty; a line with the names of the columns must come first\n", path);
        return -1;
    }
    input->names = calloc(count, sizeof(*input->names));
    if (input->names == NULL)
        return fail_memory();
    for (size_t i = 0; i < count; i++) {
        if (!utf8_check(cells[i].text, cells[i].size, NULL) || memchr(cells[i].text, 0, cells[i].size) != NULL) {
            (void)fprintf(stderr, "books: %s: the name of column %zu is not text in UTF-8\n", path, i + 1);
            return -1;
        }
        input->names[i] = column_name(input, &cells[i]);
        if (input->names[i] == NULL)
            return fail_memory();
        input->name_count++;
    }
    input->title_at = find_column(input->names, count, input->options->title);
    if (input->title_at == count)
        return fail_column(input, path, "--title", input->options->title);
    if (find_column(input->names, count, input->options->price) == count)
        return fail_column(input, path, "--price", input->options->price);
    return 0;
}

/* 1: the next table is open. 0: there is none. -1: failed, and said. */
static int input_open_table(struct input *input)
{
    const char *path = "the made-up table";

    if (input->generated) {
        if (input->file++ > 0)
            return 0;
        input->reader = csv_open_source(path, book_rows_read, input->rows);
    } else {
        if (input->file == input->options->file_count)
            return 0;
        path = input->options->files[input->file++];
        input->reader = csv_open_file(path);
    }
    if (input->reader == NULL) {
        if (!interrupted)
            (void)fprintf(stderr, "books: cannot open %s: %s\n", path, strerror(errno));
        return -1;
    }
    return input_read_header(input, path) == 0 ? 1 : -1;
}

static int input_next(struct input *input, const csv_cell **cells, size_t *count)
{
    for (;;) {
        int got;

        if (input->reader == NULL) {
            got = input_open_table(input);
            if (got != 1)
                return got;
        }
        got = csv_next(input->reader, cells, count);
        if (got < 0 && !interrupted)
            (void)fprintf(stderr, "books: %s\n", csv_error(input->reader));
        if (got != 0)
            return got;
        input_close_table(input);
    }
}

/* ---- put ---- */

/* The row as JSON, every column under its name in the header. False: a cell is no UTF-8, which JSON must be. */
static bool row_as_json(const struct input *input, const csv_cell *cells, flat_json *json)
{
    flat_json_begin(json);
    for (size_t i = 0; i < input->name_count; i++) {
        if (!utf8_check(cells[i].text, cells[i].size, NULL))
            return false;
        flat_json_member(json, input->names[i], strlen(input->names[i]), cells[i].text, cells[i].size);
    }
    flat_json_end(json);
    return true;
}

/* Why libstream refused a record: that it did is in the status, and the title shows which of its rules was broken. */
static enum reason reason_of(ls_status status, const csv_cell *title)
{
    size_t characters = 0;

    (void)utf8_check(title->text, title->size, &characters);  /* row_as_json found it well. */
    if (status == LS_ERR_INVALID_ARGUMENT)
        return NO_TITLE;
    return characters > 256 ? TITLE_TOO_LONG : RECORD_TOO_LARGE;
}

static int put_row(ls_producer *producer, const struct input *input, const csv_cell *cells, size_t count,
                   flat_json *json, struct outcome *outcome)
{
    const csv_cell *title = &cells[input->title_at];
    struct shard_tally *tally;
    ls_record_id id;
    ls_status status;
    uint64_t began;

    outcome->records++;
    if (count != input->name_count) {
        outcome->refused[WRONG_CELL_COUNT]++;
        return 0;
    }
    if (!row_as_json(input, cells, json)) {
        outcome->refused[NOT_UTF8]++;
        return 0;
    }
    if (json->failed)
        return fail_memory();
    began = now_ns();
    status = ls_producer_put(producer, (ls_bytes){title->text, title->size}, (ls_bytes){json->text, json->size}, NULL,
                             &id);
    outcome->put_ns += now_ns() - began;
    /* A refusal is about this record, and writes nothing: the next may be fine. Anything else is about the store. */
    if (status == LS_ERR_TOO_LARGE || (status == LS_ERR_INVALID_ARGUMENT && title->size == 0)) {
        outcome->refused[reason_of(status, title)]++;
        return 0;
    }
    if (status != LS_OK)
        return fail_ls("put a record");
    if (id.shard >= outcome->shard_count) {
        (void)fprintf(stderr, "books: a record went to shard %u of %u\n", id.shard, outcome->shard_count);
        return -1;
    }
    tally = &outcome->shards[id.shard];
    tally->put_hash = hash_part(hash_part(tally->put_hash, title->text, title->size), json->text, json->size);
    tally->put_count++;
    outcome->accepted++;
    return 0;
}

static int put_all(ls_stream *stream, struct input *input, uint64_t rows, struct progress *progress,
                   struct outcome *outcome)
{
    ls_producer *producer = NULL;
    flat_json json = {0};
    int result = 0;

    if (ls_producer_open(stream, NULL, &producer) != LS_OK)
        return fail_ls("open a producer");
    while (result == 0 && outcome->records < rows && !interrupted) {
        const csv_cell *cells;
        size_t count;
        int got = input_next(input, &cells, &count);

        if (got == 0)
            break;
        result = got < 0 ? -1 : put_row(producer, input, cells, count, &json, outcome);
        progress_show(progress, now_ns(), "putting", outcome->records,
                      input->bytes_before + csv_bytes_read(input->reader));
    }
    progress_end(progress);
    flat_json_free(&json);
    if (ls_producer_close(producer) != LS_OK && result == 0)
        result = fail_ls("close the producer");
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
                       struct outcome *outcome)
{
    struct shard_tally *tally = &outcome->shards[record->shard];
    struct book book = {.price_name = options->price};

    if (!flat_json_read(record->data.data, record->data.size, scratch, see_member, &book)) {
        (void)fprintf(stderr, "books: record %" PRIu64 " of shard %u is not the JSON that was put\n", record->seqno,
                      record->shard);
        return -1;
    }
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

static int read_shard(ls_stream *stream, uint32_t shard, const struct options *options, struct progress *progress,
                      struct outcome *outcome)
{
    static const ls_position oldest = {.kind = LS_TRIM_HORIZON};
    ls_next_options page = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    ls_seqno last = LS_SEQNO_NONE;
    flat_json scratch = {0};
    int result = 0;

    page.records_max = PAGE_RECORDS;
    if (ls_iterator_open(stream, shard, &oldest, NULL, &iterator) != LS_OK)
        return fail_ls("open an iterator");
    while (result == 0 && !interrupted) {
        const ls_batch *batch;

        if (ls_iterator_next(iterator, &page, &batch) != LS_OK) {
            result = fail_ls("read");
            break;
        }
        for (size_t i = 0; result == 0 && i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);

            if (record->shard != shard || record->seqno <= last) {
                (void)fprintf(stderr, "books: shard %u: record %" PRIu64 " comes after %" PRIu64 "\n", shard,
                              record->seqno, last);
                result = -1;
                break;
            }
            last = record->seqno;
            result = read_record(options, record, &scratch, outcome);
        }
        progress_show(progress, now_ns(), "reading back", outcome->books, 0);
        if (ls_batch_is_shard_end(batch) || (ls_batch_count(batch) == 0 && ls_batch_millis_behind_latest(batch) == 0))
            break;
    }
    flat_json_free(&scratch);
    ls_iterator_close(iterator);
    return result;
}

static int read_all(ls_stream *stream, const struct options *options, struct progress *progress,
                    struct outcome *outcome)
{
    int result = 0;

    progress->bytes_total = 0;
    for (uint32_t shard = 0; result == 0 && shard < outcome->shard_count && !interrupted; shard++) {
        const struct shard_tally *tally = &outcome->shards[shard];

        result = read_shard(stream, shard, options, progress, outcome);
        if (result == 0 && !interrupted &&
            (tally->read_count != tally->put_count || tally->read_hash != tally->put_hash)) {
            (void)fprintf(stderr, "books: shard %u gave back %" PRIu64 " records of %" PRIu64 "%s\n", shard,
                          tally->read_count, tally->put_count,
                          tally->read_count == tally->put_count ? ", and not the same bytes" : "");
            result = -1;
        }
    }
    progress_end(progress);
    return result;
}

/* ---- the same records, put in other ways ---- */

/* Told of each record that was put without waiting for it, by the producer's thread. */
static void count_stored(const ls_async_outcome *outcome, void *user)
{
    uint64_t *stored = user;

    if (outcome->status == LS_OK)
        ++*stored; /* Nobody looks before the producer is closed. */
}

/* Where the records of a page go: one of the two producers. */
struct way {
    ls_producer *pages;
    ls_async_producer *async;
    uint64_t stored;
};

static int put_page(struct way *way, const ls_batch *batch)
{
    static ls_put_entry entries[PAGE_RECORDS];
    size_t count = ls_batch_count(batch), failed = 0;

    for (size_t i = 0; i < count; i++)
        entries[i] = (ls_put_entry){ls_batch_at(batch, i)->partition_key, ls_batch_at(batch, i)->data, NULL};
    if (way->pages != NULL && ls_producer_put_batch(way->pages, entries, count, NULL, NULL, &failed) != LS_OK)
        return fail_ls("put a page");
    if (way->pages != NULL)
        way->stored += count - failed;
    for (size_t i = 0; way->async != NULL && i < count; i++)
        if (ls_async_producer_put(way->async, &entries[i], NULL, -1, NULL) != LS_OK) /* Waits for memory at most. */
            return fail_ls("put without waiting");
    return 0;
}

static int copy_shard(ls_stream *from, uint32_t shard, struct way *way)
{
    ls_next_options page = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    int result = 0;

    page.records_max = PAGE_RECORDS;
    if (ls_iterator_open(from, shard, NULL, NULL, &iterator) != LS_OK)
        return fail_ls("open an iterator");
    while (result == 0 && !interrupted) {
        const ls_batch *batch;

        if (ls_iterator_next(iterator, &page, &batch) != LS_OK)
            result = fail_ls("read");
        else if (ls_batch_count(batch) == 0)
            break;
        else
            result = put_page(way, batch);
    }
    ls_iterator_close(iterator);
    return result;
}

/* Copies all records into the stream `name`; `*ns`: how long that took until the last was durable, reading included. */
static int copy_all(ls_store *store, ls_stream *from, const char *name, bool is_async, const struct outcome *outcome,
                    uint64_t *ns)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    struct way way = {0};
    ls_stream *to = NULL;
    uint64_t began;
    int result = 0;

    options.shard_count = outcome->shard_count;
    if (ls_stream_create(store, name, &options) != LS_OK || ls_stream_open(store, name, &to) != LS_OK)
        return fail_ls("create a stream");
    if ((is_async ? ls_async_producer_open(to, NULL, &way.async, count_stored, &way.stored)
                  : ls_producer_open(to, NULL, &way.pages)) != LS_OK)
        result = fail_ls("open a producer");
    began = now_ns();
    for (uint32_t shard = 0; result == 0 && shard < outcome->shard_count && !interrupted; shard++)
        result = copy_shard(from, shard, &way);
    if (ls_async_producer_close(way.async, interrupted ? 0 : -1) != LS_OK && result == 0 && !interrupted)
        result = fail_ls("close the producer");
    *ns = now_ns() - began;
    if (ls_producer_close(way.pages) != LS_OK && result == 0)
        result = fail_ls("close the producer");
    if (ls_stream_close(to) != LS_OK && result == 0)
        result = fail_ls("close the stream");
    if (result == 0 && !interrupted && way.stored != outcome->accepted) {
        (void)fprintf(stderr, "books: stream %s has %" PRIu64 " records of %" PRIu64 "\n", name, way.stored,
                      outcome->accepted);
        result = -1;
    }
    return result;
}

/* ---- one job, in a store of its own ---- */

/* The shards as the store lists them; a fresh stream's are numbered from 0. */
static int make_tallies(ls_stream *stream, struct outcome *outcome)
{
    ls_stream_description *description = NULL;

    if (ls_stream_describe(stream, &description) != LS_OK)
        return fail_ls("describe the stream");
    outcome->shard_count = ls_stream_description_shard_count(description);
    ls_stream_description_free(description);
    outcome->shards = calloc(outcome->shard_count, sizeof(*outcome->shards));
    return outcome->shards == NULL ? fail_memory() : 0;
}

static int run_in_store(ls_store *store, const struct options *options, const struct job *job, struct input *input,
                        struct outcome *outcome)
{
    ls_stream_options stream_options = LS_STREAM_OPTIONS_INIT;
    struct progress progress = {0};
    ls_stream *stream = NULL;
    int result;

    stream_options.shard_count = job->shards;
    if (ls_stream_create(store, STREAM_NAME, &stream_options) != LS_OK)
        return fail_ls("create the stream");
    if (ls_stream_open(store, STREAM_NAME, &stream) != LS_OK)
        return fail_ls("open the stream");
    for (int i = 0; !job->generated && i < options->file_count; i++) {
        struct stat status;

        if (stat(options->files[i], &status) != 0 || !S_ISREG(status.st_mode)) {
            progress.bytes_total = 0; /* Of a pipe nobody knows how much will come. */
            break;
        }
        progress.bytes_total += (uint64_t)status.st_size;
    }
    result = make_tallies(stream, outcome);
    if (result == 0)
        result = put_all(stream, input, job->rows, &progress, outcome);
    if (result == 0 && !interrupted)
        result = read_all(stream, options, &progress, outcome);
    if (result == 0 && !interrupted)
        result = copy_all(store, stream, STREAM_NAME "-by-page", false, outcome, &outcome->page_ns);
    if (result == 0 && !interrupted)
        result = copy_all(store, stream, STREAM_NAME "-async", true, outcome, &outcome->async_ns);
    if (ls_stream_close(stream) != LS_OK && result == 0)
        result = fail_ls("close the stream");
    return result;
}

static int run_job(const struct options *options, const struct job *job, struct outcome *outcome)
{
    ls_store_options store_options = LS_STORE_OPTIONS_INIT;
    struct input input = {.options = options, .generated = job->generated};
    char directory[TEMPORARY_PATH_BYTES] = "", location[TEMPORARY_PATH_BYTES + 16];
    ls_store *store = NULL;
    int result = -1;

    memset(outcome, 0, sizeof(*outcome));
    input.rows = calloc(1, sizeof(*input.rows));
    if (input.rows == NULL)
        return fail_memory();
    book_rows_begin(input.rows, BOOK_ROWS_SEED_DEFAULT, job->generated ? job->seed_rows : 0);
    if (temporary_make("libstream-books", directory) != 0) {
        (void)fprintf(stderr, "books: cannot make a directory for the store: %s\n", strerror(errno));
        goto done;
    }
    (void)snprintf(location, sizeof(location), "%s/store", directory);
    store_options.durability = LS_DURABILITY_SYNC;  /* The default, named because the times below depend on it. */
    if (ls_store_open(location, &store_options, &store) != LS_OK) {
        (void)fail_ls("open the store");
        goto done;
    }
    result = run_in_store(store, options, job, &input, outcome);
    if (ls_store_close(store) != LS_OK && result == 0)
        result = fail_ls("close the store");
done:
    input_close_table(&input);
    free(input.rows);
    if (temporary_remove(directory) != 0)
        (void)fprintf(stderr, "books: could not remove %s: %s\n", directory, strerror(errno));
    return result;
}

/* ---- report ---- */

static uint64_t refused_count(const struct outcome *outcome)
{
    uint64_t count = 0;

    for (int i = 0; i < REASONS; i++)
        count += outcome->refused[i];
    return count;
}

static double put_seconds(const struct outcome *outcome)
{
    return (double)outcome->put_ns / 1e9;
}

static void print_json(const struct job *job, const struct outcome *outcome)
{
    decimal mean = decimal_mean(&outcome->sum, outcome->priced);
    char text[DECIMAL_TEXT_BYTES];
    const char *comma = "";

    (void)printf("{\"records\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"refused\":{", outcome->records,
                 outcome->accepted);
    for (int i = 0; i < REASONS; i++)
        if (outcome->refused[i] > 0) {
            (void)printf("%s\"%s\":%" PRIu64, comma, reason_text[i], outcome->refused[i]);
            comma = ",";
        }
    decimal_write(&outcome->sum, decimal_places(&outcome->sum, 2), 0, text);
    (void)printf("},\"priced\":%" PRIu64 ",\"sum\":%s,\"mean\":", outcome->priced, text);
    decimal_write(&mean, 9, 0, text);
    (void)printf("%s,\"shards\":[", outcome->priced == 0 ? "null" : text);
    for (uint32_t i = 0; i < outcome->shard_count; i++)
        (void)printf("%s%" PRIu64, i == 0 ? "" : ",", outcome->shards[i].read_count);
    (void)printf("],\"seconds\":%.6f,\"seconds_by_page\":%.6f,\"seconds_async\":%.6f", put_seconds(outcome),
                 (double)outcome->page_ns / 1e9, (double)outcome->async_ns / 1e9);
    if (job->seed_seconds > 0)
        (void)printf(",\"seed_seconds\":%.2f", job->seed_seconds);
    (void)putchar('}');
}

static void print_shards(const struct outcome *outcome)
{
    int column = printf("  records per shard ");

    for (uint32_t i = 0; i < outcome->shard_count; i++) {
        char text[DECIMAL_TEXT_BYTES];
        int width = (int)strlen(grouped(outcome->shards[i].read_count, text)) + 3;

        if (column + width > 80)
            column = printf("\n%20s", "") - 1;
        column += printf("%s%s", i == 0 || column == 20 ? " " : " / ", text);
    }
    (void)putchar('\n');
}

static void print_report(const struct job *job, const struct outcome *outcome)
{
    decimal mean = decimal_mean(&outcome->sum, outcome->priced);
    char text[DECIMAL_TEXT_BYTES];
    double seconds = put_seconds(outcome);

    (void)printf("%s rows", grouped(outcome->records, text));
    (void)printf(" on %u shard%s\n", outcome->shard_count, outcome->shard_count == 1 ? "" : "s");
    (void)printf("  accepted           %s\n", grouped(outcome->accepted, text));
    (void)printf("  refused            %s\n", grouped(refused_count(outcome), text));
    for (int i = 0; i < REASONS; i++)
        if (outcome->refused[i] > 0)
            (void)printf("    %-40s %s\n", reason_text[i], grouped(outcome->refused[i], text));
    print_shards(outcome);
    (void)printf("  books read back    %s\n", grouped(outcome->books, text));
    (void)printf("  with a price       %s\n", grouped(outcome->priced, text));
    decimal_write(&outcome->sum, 2, ',', text);
    (void)printf("  sum of prices      %s\n", text);
    decimal_write(&mean, 2, ',', text);
    (void)printf("  mean price         %s\n", outcome->priced == 0 ? "none" : text);
    (void)printf("  seconds of puts    %.3f, one record per call, durable", seconds);
    if (outcome->accepted > 0)
        (void)printf(" (%.0f us each)", seconds * 1e6 / (double)outcome->accepted);
    (void)putchar('\n');
    (void)printf("    a page per call  %.3f\n    without waiting  %.3f\n", (double)outcome->page_ns / 1e9,
                 (double)outcome->async_ns / 1e9);
    if (job->seed_seconds > 0) {
        (void)printf("  the seed needed    %.2f", job->seed_seconds);
        if (outcome->records == job->seed_rows && seconds > 0)
            (void)printf(", %.0f times as long", job->seed_seconds / seconds);
        (void)putchar('\n');
    }
}

static int run_files(const struct options *options)
{
    struct job job = {.shards = options->shards == 0 ? 2 : options->shards, .rows = options->rows};
    struct outcome outcome;
    int result = run_job(options, &job, &outcome);

    if (result == 0 && !interrupted) {
        if (options->json) {
            print_json(&job, &outcome);
            (void)putchar('\n');
        } else {
            print_report(&job, &outcome);
        }
    }
    free(outcome.shards);
    return result;
}

static int run_seed_cases(const struct options *options)
{
    struct job jobs[] = {
        {.shards = 1, .generated = true, .seed_seconds = 10.36, .seed_rows = 212},
        {.shards = 2, .generated = true, .seed_seconds = 276.68, .seed_rows = 8786},
    };
    const size_t count = sizeof(jobs) / sizeof(jobs[0]);
    struct outcome outcomes[sizeof(jobs) / sizeof(jobs[0])];
    int result = 0;

    memset(outcomes, 0, sizeof(outcomes));
    for (size_t i = 0; result == 0 && i < count && !interrupted; i++) {
        if (options->shards != 0)
            jobs[i].shards = options->shards;
        jobs[i].rows = options->rows;
        result = run_job(options, &jobs[i], &outcomes[i]);
        if (result == 0 && !interrupted && !options->json) {
            if (i > 0)
                (void)putchar('\n');
            print_report(&jobs[i], &outcomes[i]);
            (void)fflush(stdout);
        }
    }
    if (result == 0 && !interrupted && options->json) {
        (void)fputs("{\"cases\":[", stdout);
        for (size_t i = 0; i < count; i++) {
            if (i > 0)
                (void)putchar(',');
            print_json(&jobs[i], &outcomes[i]);
        }
        (void)puts("]}");
    }
    for (size_t i = 0; i < count; i++)
        free(outcomes[i].shards);
    return result;
}

/* ---- arguments ---- */

static int read_number(const char *option, const char *text, uint64_t most, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    if (*out >= 1 && *out <= most && errno == 0 && *end == 0)
        return 0;
    (void)fprintf(stderr, "books: --%s wants a whole number from 1", option);
    if (most != UINT64_MAX)
        (void)fprintf(stderr, " to %" PRIu64, most);
    (void)fprintf(stderr, ", not '%s'\n", text);
    return -1;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"shards", required_argument, NULL, 's'}, {"rows", required_argument, NULL, 'r'},
        {"title", required_argument, NULL, 't'},  {"price", required_argument, NULL, 'p'},
        {"json", no_argument, NULL, 'j'},         {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.rows = UINT64_MAX, .title = "Title", .price = "Price"};
    uint64_t shards = 0;
    int option, result;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 's':
            if (read_number("shards", optarg, 65536, &shards) != 0)
                return 2;
            options.shards = (uint32_t)shards;
            break;
        case 'r':
            if (read_number("rows", optarg, UINT64_MAX, &options.rows) != 0)
                return 2;
            break;
        case 't': options.title = optarg; break;
        case 'p': options.price = optarg; break;
        case 'j': options.json = true; break;
        case 'h':
            (void)fputs(usage, stdout);
            return 0;
        default:
            (void)fputs("Try 'books --help'.\n", stderr);
            return 2;
        }
    }
    options.files = argv + optind;
    options.file_count = argc - optind;
    /* Looked at before anything is done, so that a misspelt second file does not cost the first one's time. */
    for (int i = 0; i < options.file_count; i++)
        if (strcmp(options.files[i], "-") != 0 && access(options.files[i], R_OK) != 0) {
            (void)fprintf(stderr, "books: cannot open %s: %s\n", options.files[i], strerror(errno));
            return 1;
        }
    catch_signals();
    result = options.file_count > 0 ? run_files(&options) : run_seed_cases(&options);
    if (interrupted)
        return 128 + interrupted;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fprintf(stderr, "books: cannot write the result: %s\n", strerror(errno));
        return 1;
    }
    return result == 0 ? 0 : 1;
}
