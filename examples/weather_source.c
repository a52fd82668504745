/* Observations into the stream, each once. */
#include "weather_source.h"
#include "columns.h"
#include "flat_json.h"
#include "noaa.h"
#include "source_name.h"
#include "weather_rows.h"
#include "weather_tables.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct source {
    source_name name;
    uint64_t rows, records;
};

/* What a note says: rows that were read, and records that came of them. */
static int note_source(weather_source *put, struct source *source, const csv_columns *table)
{
    char word[SOURCE_WORD_BYTES], note[SOURCE_WORD_BYTES + 64];

    source_word(&source->name, csv_cut_at(table->reader), word);
    (void)snprintf(note, sizeof(note), "%" PRIu64 " %" PRIu64 " %s", source->rows + source->name.again, source->records,
                   word);
    return feed_step(put->feed, source->name.text, note);
}

static void add_value(flat_json *json, const char *name, const csv_cell *cell)
{
    if (cell->size == 0)
        return;  /* Absent stays absent. */
    if (json_is_number(cell->text, cell->size))
        flat_json_plain(json, name, cell->text, cell->size);
    else
        flat_json_member(json, name, strlen(name), cell->text, cell->size);
}

/* Dates that are written in another way would not lie in the tables in their order. */
static bool is_day(const csv_cell *cell)
{
    char day[NOAA_DAY_BYTES];

    (void)snprintf(day, sizeof(day), "%.*s", (int)(cell->size < sizeof(day) ? cell->size : 0), cell->text);
    return noaa_is_day(day);
}

/* Says why, the first time. */
static void refuse(weather_source *put, const csv_columns *table, const char *why)
{
    if (put->told++ == 0)
        (void)pipeline_fail("%s:%" PRIu64 " is refused: %s; of others the result says how many", table->path,
                            csv_line(table->reader), why);
}

static void add_text(flat_json *json, const char *name, const csv_cell *cell)
{
    flat_json_member(json, name, strlen(name), cell->text, cell->size);
}

/* Where the columns are. */
struct places {
    size_t station, name, date, values[WEATHER_VALUES];
};

static int put_row(weather_source *put, struct source *source, const csv_columns *table, const struct places *at,
                   const csv_cell *cells, size_t count, flat_json *json)
{
    const char *why = columns_refuse(table, cells, count);
    const csv_cell *key = &cells[strcmp(put->key, "NAME") == 0 ? at->name : at->station];
    ls_status status;

    if (why == NULL && !is_day(&cells[at->date]))
        why = "its date is no day as YYYY-MM-DD";
    if (why != NULL) {
        refuse(put, table, why);
        return 0;
    }
    flat_json_begin(json);
    add_text(json, "date", &cells[at->date]);
    add_text(json, "station", &cells[at->station]);
    add_text(json, "name", &cells[at->name]);
    flat_json_member(json, "units", 5, put->units, strlen(put->units));
    for (size_t i = 0; i < WEATHER_VALUES; i++)
        add_value(json, weather_values[i], &cells[at->values[i]]);
    flat_json_end(json);
    if (json->failed)
        return pipeline_fail("no memory");
    status = feed_add(put->feed, (ls_bytes){key->text, key->size}, (ls_bytes){json->text, json->size});
    if (status == LS_OK)
        source->records++;
    else if (status == LS_ERR_INVALID_ARGUMENT || status == LS_ERR_TOO_LARGE)
        refuse(put, table, ls_last_error_message());
    return status == LS_OK || status == LS_ERR_INVALID_ARGUMENT || status == LS_ERR_TOO_LARGE ? 0 : -1;
}

static int put_table(weather_source *put, struct source *source, csv_columns *table)
{
    struct places at;
    uint64_t done = 0, in_step = 0;
    flat_json json = {0};
    int result = 0, got = 1;
    const char *note = feed_note(put->feed, source->name.text);

    if (columns_find(table, "STATION", &at.station) != 0 || columns_find(table, "NAME", &at.name) != 0 ||
        columns_find(table, "DATE", &at.date) != 0)
        return -1;
    for (size_t i = 0; i < WEATHER_VALUES; i++)
        if (columns_find(table, weather_values[i], &at.values[i]) != 0)
            return -1;
    if (note != NULL)
        (void)sscanf(note, "%" SCNu64 " %" SCNu64, &done, &source->records);
    done -= source->name.again;
    while (result == 0 && got == 1 && !pipeline_interrupted) {
        const csv_cell *cells;
        size_t count;

        got = columns_next(table, &cells, &count);
        if (got == 1 && source->rows++ >= done) {
            result = put_row(put, source, table, &at, cells, count, &json);
            in_step++;
        }
        if (result == 0 && got >= 0 && feed_is_due(put->feed, in_step, put->batch, got == 0)) {
            pipeline_wait(&put->pace, in_step);
            result = note_source(put, source, table);
            in_step = 0;
        }
    }
    if (source->rows < done)
        source->rows = done; /* Fewer were asked for than an earlier run has put. */
    flat_json_free(&json);
    return got < 0 ? -1 : result;
}

static int put_file(weather_source *put, const char *path)
{
    struct source source = {.rows = 0};
    csv_columns table = {0};
    made_up *rows = NULL;
    int result;

    if (path == NULL) {
        rows = malloc(sizeof(*rows));
        if (rows == NULL)
            return pipeline_fail("no memory");
        weather_rows_begin(rows, put->seed, put->rows);
        (void)snprintf(source.name.text, sizeof(source.name.text), "made-up rows of seed %" PRIu64, put->seed);
    } else if (source_name_find(put->feed, path, &source.name) != 0) {
        return -1;
    }
    result = columns_open(&table, path == NULL ? source.name.text : path, path == NULL ? made_up_read : NULL, rows);
    if (result == 0)
        result = put_table(put, &source, &table);
    columns_close(&table);
    free(rows);
    put->read += source.rows + source.name.again;
    put->records += source.records;
    put->refused += source.rows + source.name.again - source.records;
    return result;
}

/* What NOAA's service gives of a day: one step, the records of all stations, and that the day is done. A day without a
 * row is not: it may be too young to be there, and is asked for again by the next run. */
static int put_day(weather_source *put, noaa *service, const char *source, const char *day, uint64_t *records)
{
    bool key_is_name = strcmp(put->key, "NAME") == 0;
    int result = noaa_ask(service, day), got = 0;
    ls_bytes key, json;
    char note[32];

    *records = 0;
    while (result == 0 && (got = noaa_next(service, key_is_name, &key, &json)) == 1) {
        ls_status status = feed_add(put->feed, key, json);

        *records += status == LS_OK;
        if (status != LS_OK && status != LS_ERR_INVALID_ARGUMENT && status != LS_ERR_TOO_LARGE)
            result = -1;
    }
    if (result != 0 || got < 0)
        return -1;
    if (*records == 0)
        return 0;
    pipeline_wait(&put->pace, feed_added(put->feed));
    (void)snprintf(note, sizeof(note), "done %" PRIu64, *records);
    return feed_step(put->feed, source, note);
}

/* Each day of a place and a service is a source of its own, so that a run asks for those that no run has put, wherever
 * they lie. A URL is the same with a slash behind it. */
static int put_days(weather_source *put)
{
    size_t url_size = strlen(put->url), size;
    char source[SOURCE_KEY_BYTES], day[NOAA_DAY_BYTES];
    char *url, *text;
    noaa *service;
    int result;

    while (url_size > 0 && put->url[url_size - 1] == '/')
        url_size--;
    size = url_size + strlen(put->location) + NOAA_DAY_BYTES + 2;
    url = strndup(put->url, url_size);
    text = malloc(size);
    service = url == NULL ? NULL : noaa_open(url, put->token, put->location, put->units);
    result = url == NULL || text == NULL ? pipeline_fail("no memory") : service == NULL ? -1 : 0;
    (void)snprintf(day, sizeof(day), "%s", put->from);
    for (; result == 0 && strcmp(day, put->to) <= 0 && !pipeline_interrupted; noaa_day_after(day, day)) {
        const char *note;
        uint64_t records = 0;

        (void)snprintf(text, size, "%s %s %s", url, put->location, day);
        source_key(text, source);
        note = feed_note(put->feed, source);
        if (note == NULL)
            result = put_day(put, service, source, day, &records);
        else
            (void)sscanf(note, "done %" SCNu64, &records);
        put->records += records;
    }
    noaa_close(service);
    free(text);
    free(url);
    put->read = put->records;
    return result;
}

int weather_source_put(weather_source *put, ls_store *store, ls_stream *stream, const char *stream_name)
{
    int result;

    put->pace.per_second = (double)put->rate;
    put->feed = feed_open(store, stream, stream_name);
    if (put->feed == NULL)
        return -1;
    result = feed_settle(put->feed, "--key", put->key); /* The tables have one. */
    if (result == 0)
        result = feed_settle(put->feed, "--units", put->units); /* An item is of one, and says what was asked for. */
    if (result == 0 && put->token != NULL)
        result = put_days(put);
    else if (result == 0 && put->file_count == 0)
        result = put_file(put, NULL);
    for (int i = 0; result == 0 && i < put->file_count && !pipeline_interrupted; i++)
        result = put_file(put, put->files[i]);
    put->noted = feed_noted(put->feed, 1);
    return feed_close(put->feed) == 0 ? result : -1;
}
