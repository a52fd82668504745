/* Sources of clicks. */
#include "click_file.h"
#include "click_events.h"
#include "csv.h"
#include "flat_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct click_source {
    source_name name;
    const char *path;
    click_events events;  /* without a path */
    csv_reader *csv;      /* of a path that ends in .csv */
    FILE *file;           /* of any other, */
    uint64_t cut_at;      /* and where it ended, if the last line had no end; else 0 */
    char *line;
    size_t capacity;
    flat_json json, scratch;
    char key[1100];
};

/* The columns of IBM's sample, which has no header, under the names of the seed where that has them. */
static const struct { const char *name; bool number; } columns[] = {
    {"user_id", false}, {"timestamp", false}, {"action", false}, {"product_name", false}, {"product_category", false},
    {"price", true}, {"total_price_of_basket", true}, {"total_number_of_items_in_basket", true},
    {"total_number_of_distinct_items_in_basket", true}, {"session_duration", true},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

click_source *click_source_open(const row_feed *feed, const char *path, uint64_t seed, uint64_t events,
                                uint64_t broken)
{
    click_source *source = calloc(1, sizeof(*source));
    size_t size = path == NULL ? 0 : strlen(path);

    if (source == NULL) {
        (void)pipeline_fail("no memory");
        return NULL;
    }
    source->path = path;
    if (path == NULL) {
        /* The number is part of the name: which ones are broken goes by it. */
        (void)snprintf(source->name.text, sizeof(source->name.text), "made-up events %" PRIu64 " %" PRIu64 " %" PRIu64,
                       seed, events, broken);
        click_events_begin(&source->events, seed, events, broken);
        return source;
    }
    if (source_name_find(feed, path, &source->name) != 0) {
        click_source_close(source);
        return NULL;
    }
    if (size > 4 && strcmp(path + size - 4, ".csv") == 0)
        source->csv = csv_open_file(path);
    else
        source->file = fopen(path, "r");
    if (source->csv != NULL || source->file != NULL)
        return source;
    (void)pipeline_fail("cannot open %s: %s", path, strerror(errno));
    click_source_close(source);
    return NULL;
}

void click_source_close(click_source *source)
{
    if (source == NULL)
        return;
    csv_close(source->csv);
    if (source->file != NULL)
        (void)fclose(source->file);  /* Only read. */
    flat_json_free(&source->json);
    flat_json_free(&source->scratch);
    free(source->line);
    free(source);
}

const char *click_source_name(const click_source *source)
{
    return source->name.text;
}

uint64_t click_source_again(const click_source *source)
{
    return source->name.again;
}

void click_source_word(const click_source *source, char word[SOURCE_WORD_BYTES])
{
    source_word(&source->name, source->csv != NULL ? csv_cut_at(source->csv) : source->cut_at, word);
}

static bool find_key(void *user, const char *name, size_t name_size, json_kind kind, const char *value, size_t size)
{
    click_source *source = user;

    if (name_size == 7 && memcmp(name, "user_id", 7) == 0 && (kind == JSON_STRING || kind == JSON_NUMBER) &&
        size > 0 && size <= 256)
        (void)snprintf(source->key, sizeof(source->key), "%.*s", (int)size, value);
    return true;
}

static int next_line(click_source *source, ls_bytes *key, ls_bytes *event)
{
    ssize_t got = getline(&source->line, &source->capacity, source->file);

    if (got <= 0)
        return ferror(source->file) ? pipeline_fail("cannot read %s: %s", source->path, strerror(errno)) : 0;
    if (source->line[got - 1] == '\n')
        got--;
    else if (source->name.version[0] != 0) /* It is no pipe. */
        source->cut_at = (uint64_t)ftello(source->file);
    (void)snprintf(source->key, sizeof(source->key), "unknown");
    (void)json_members(source->line, (size_t)got, true, &source->scratch, find_key, source); /* Broken: no key. */
    *key = (ls_bytes){source->key, strlen(source->key)};
    *event = (ls_bytes){source->line, (size_t)got};
    return 1;
}

static int next_row(click_source *source, ls_bytes *key, ls_bytes *event)
{
    const csv_cell *cells;
    size_t count;
    int got = csv_next(source->csv, &cells, &count);

    if (got < 0)
        return pipeline_fail("%s", csv_error(source->csv));
    if (got == 0)
        return 0;
    if (count != COLUMNS)
        return pipeline_fail("%s:%" PRIu64 ": a row has %zu cells, and an event %zu", source->path,
                             csv_line(source->csv), count, COLUMNS);
    flat_json_begin(&source->json);
    for (size_t i = 0; i < COLUMNS; i++)
        if (columns[i].number && json_is_number(cells[i].text, cells[i].size))
            flat_json_plain(&source->json, columns[i].name, cells[i].text, cells[i].size);
        else
            flat_json_member(&source->json, columns[i].name, strlen(columns[i].name), cells[i].text, cells[i].size);
    flat_json_end(&source->json);
    if (source->json.failed)
        return pipeline_fail("no memory");
    *key = (ls_bytes){cells[0].text, cells[0].size};
    *event = (ls_bytes){source->json.text, source->json.size};
    return 1;
}

int click_source_next(click_source *source, ls_bytes *key, ls_bytes *event)
{
    size_t size;
    const char *text;

    if (source->csv != NULL)
        return next_row(source, key, event);
    if (source->file != NULL)
        return next_line(source, key, event);
    text = click_events_next(&source->events, &size);
    if (text == NULL)
        return 0;
    *key = (ls_bytes){source->events.user_id, strlen(source->events.user_id)};
    *event = (ls_bytes){text, size};
    return 1;
}
