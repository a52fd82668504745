/* Rows of accidents into stream 1, each once. */
#include "accident_put.h"
#include "accident_json.h"
#include "accident_rows.h"
#include "source_name.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REFUSALS_TOLD 5

struct source {
    source_name name;
    uint64_t done, rows, records;
};

/* A row that cannot be counted is said and passed over, the first ones of a run. */
static int refuse(accident_put *put, const csv_columns *table, const char *why, const csv_cell *cell)
{
    flat_json quoted = {0};

    if (put->told++ == REFUSALS_TOLD)
        (void)pipeline_fail("more rows are refused; the result says how many");
    if (put->told > REFUSALS_TOLD)
        return 0;
    if (cell != NULL)
        flat_json_quoted(&quoted, cell->text, cell->size < 20 ? cell->size : 20);
    (void)pipeline_fail("%s:%" PRIu64 " is refused: %s%s%.*s", table->path, csv_line(table->reader), why,
                        cell == NULL ? "" : ", not ", (int)quoted.size, quoted.size == 0 ? "" : quoted.text);
    flat_json_free(&quoted);
    return 0;
}

static int put_row(accident_put *put, row_feed *feed, struct source *source, const csv_columns *table,
                   accident_layout *layout, size_t key_at, const csv_cell *cells, size_t count, flat_json *json)
{
    ls_status status;
    struct timespec now;

    if (count != table->count)
        return refuse(put, table, "it has not as many cells as the header", NULL);
    if (!accident_is_severity(cells[layout->severity_at].text, cells[layout->severity_at].size))
        return refuse(put, table, "a severity is a digit", &cells[layout->severity_at]);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    accident_as_json(layout, cells, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, json);
    if (json->failed)
        return pipeline_fail("no memory");
    if (!utf8_check(json->text, json->size, NULL))
        return refuse(put, table, "a cell is not UTF-8", NULL);
    status = feed_add(feed, (ls_bytes){cells[key_at].text, cells[key_at].size}, (ls_bytes){json->text, json->size});
    source->records += status == LS_OK;
    if (status == LS_ERR_INVALID_ARGUMENT || status == LS_ERR_TOO_LARGE)
        return refuse(put, table, ls_last_error_message(), NULL);
    return status == LS_OK ? 0 : -1;
}

static int put_table(accident_put *put, row_feed *feed, struct source *source, csv_columns *table,
                     pipeline_pace *pace)
{
    accident_layout layout = {0};
    flat_json json = {0};
    uint64_t in_step = 0;
    size_t key_at = 0;
    int result = accident_layout_make(&layout, table), got = 1;

    if (result == 0)
        result = columns_find(table, put->key, &key_at);
    while (result == 0 && got == 1 && !pipeline_interrupted) {
        const csv_cell *cells;
        size_t count;

        got = columns_next(table, &cells, &count);
        if (got == 1 && source->rows++ >= source->done) {
            result = put_row(put, feed, source, table, &layout, key_at, cells, count, &json);
            in_step++;
        }
        if (result == 0 && got >= 0 && feed_is_due(feed, in_step, put->batch, got == 0)) {
            char word[SOURCE_WORD_BYTES], note[SOURCE_WORD_BYTES + 64];

            pipeline_wait(pace, in_step);
            source_word(&source->name, csv_cut_at(table->reader), word);
            (void)snprintf(note, sizeof(note), "%" PRIu64 " %" PRIu64 " %s", source->rows + source->name.again,
                           source->records, word);
            result = feed_begin_step(feed, source->name.text, note);
            in_step = 0;
        }
    }
    flat_json_free(&json);
    accident_layout_free(&layout);
    return got < 0 ? -1 : result;
}

/* A file, or made-up rows, as often as was asked for. */
static int put_source(accident_put *put, row_feed *feed, const char *path, pipeline_pace *pace)
{
    struct source source = {.done = 0};
    made_up *rows = malloc(sizeof(*rows));
    const char *note;
    int result = rows == NULL ? pipeline_fail("no memory") : 0;

    if (path == NULL)
        (void)snprintf(source.name.text, sizeof(source.name.text), "made-up rows of seed %" PRIu64, put->seed);
    else if (result == 0)
        result = source_name_find(feed, path, &source.name);
    note = result == 0 ? feed_note(feed, source.name.text) : NULL;
    if (note != NULL)
        (void)sscanf(note, "%" SCNu64 " %" SCNu64, &source.done, &source.records);
    source.done -= source.name.again;
    for (uint64_t i = 0; result == 0 && i < put->repeat && !pipeline_interrupted; i++) {
        csv_columns table = {0};

        if (path == NULL)
            accident_rows_begin(rows, put->seed, put->rows);
        result = columns_open(&table, path == NULL ? source.name.text : path, path == NULL ? made_up_read : NULL, rows);
        if (result == 0)
            result = put_table(put, feed, &source, &table, pace);
        columns_close(&table);
    }
    free(rows);
    put->read += source.name.again;
    put->read += source.rows > source.done ? source.rows : source.done; /* Fewer than an earlier run was asked for. */
    put->records += source.records;
    return result;
}

int accident_put_check(const accident_put *put)
{
    int result = 0;

    for (int i = 0; result == 0 && i < put->file_count; i++) {
        accident_layout layout = {0};
        csv_columns table = {0};
        struct stat file;
        size_t at;

        if (stat(put->files[i], &file) != 0 || !S_ISREG(file.st_mode))
            continue; /* Of a pipe the header is read once. */
        result = columns_open(&table, put->files[i], NULL, NULL);
        if (result == 0)
            result = accident_layout_make(&layout, &table);
        if (result == 0)
            result = columns_find(&table, put->key, &at);
        accident_layout_free(&layout);
        columns_close(&table);
    }
    return result;
}

int accident_put_all(accident_put *put, row_feed *feed)
{
    pipeline_pace pace = {.per_second = (double)put->rate};
    int result = 0;

    if (put->file_count == 0)
        result = put_source(put, feed, NULL, &pace);
    for (int i = 0; result == 0 && i < put->file_count && !pipeline_interrupted; i++)
        result = put_source(put, feed, put->files[i], &pace);
    put->noted = feed_noted(feed, 1);
    return result;
}
