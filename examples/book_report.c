/* What the book pipeline shows. */
#include "book_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const reason_text[BOOK_REASONS] = {
    "title longer than 256 characters",
    "no title",
    "a cell is not UTF-8",
    "record larger than 1 MiB",
    "not as many cells as the header",
};

/* 1234567 as "1,234,567". */
static const char *grouped(uint64_t n, char text[DECIMAL_TEXT_BYTES])
{
    decimal whole = decimal_of(n);

    decimal_write(&whole, 0, ',', text);
    return text;
}

void book_progress_show(book_progress *progress, uint64_t now, const char *what, uint64_t done, uint64_t bytes)
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

void book_progress_end(book_progress *progress)
{
    if (progress->shown)
        (void)fputs("\r\033[K", stderr);
    progress->shown = false;
}

static uint64_t refused_count(const book_outcome *outcome)
{
    uint64_t count = 0;

    for (int i = 0; i < BOOK_REASONS; i++)
        count += outcome->refused[i];
    return count;
}

static double put_seconds(const book_outcome *outcome)
{
    return (double)outcome->put_ns / 1e9;
}

void book_print_json(const book_job *job, const book_outcome *outcome)
{
    decimal mean = decimal_mean(&outcome->sum, outcome->priced);
    char text[DECIMAL_TEXT_BYTES];
    const char *comma = "";

    (void)printf("{\"records\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"refused\":{", outcome->records,
                 outcome->accepted);
    for (int i = 0; i < BOOK_REASONS; i++)
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

static void print_shards(const book_outcome *outcome)
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

void book_print_report(const book_job *job, const book_outcome *outcome)
{
    decimal mean = decimal_mean(&outcome->sum, outcome->priced);
    char text[DECIMAL_TEXT_BYTES];
    double seconds = put_seconds(outcome);

    (void)printf("%s rows", grouped(outcome->records, text));
    (void)printf(" on %u shard%s\n", outcome->shard_count, outcome->shard_count == 1 ? "" : "s");
    (void)printf("  accepted           %s\n", grouped(outcome->accepted, text));
    (void)printf("  refused            %s\n", grouped(refused_count(outcome), text));
    for (int i = 0; i < BOOK_REASONS; i++)
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
