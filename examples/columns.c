/* A CSV file with a header. */
#include "columns.h"
#include "flat_json.h"
#include "pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int columns_open(csv_columns *columns, const char *path, csv_source source, void *user)
{
    const csv_cell *cells;
    size_t count;
    int got;

    columns->path = path;
    columns->reader = source == NULL ? csv_open_file(path) : csv_open_source(path, source, user);
    if (columns->reader == NULL)
        return pipeline_interrupted ? -1 : pipeline_fail("cannot open %s: %s", path, strerror(errno));
    got = columns_next(columns, &cells, &count);
    if (got == 0)
        return pipeline_fail("%s is empty; a line with the names of the columns must come first", path);
    if (got < 0)
        return -1;
    columns->names = calloc(count, sizeof(*columns->names));
    for (size_t i = 0; columns->names != NULL && i < count; i++) {
        if (!utf8_check(cells[i].text, cells[i].size, NULL) || memchr(cells[i].text, 0, cells[i].size) != NULL)
            return pipeline_fail("%s: the name of column %zu is not text in UTF-8", path, i + 1);
        columns->names[i] = strdup(cells[i].text);
        if (columns->names[i] == NULL)
            break;
        columns->count++;
    }
    return columns->count == count ? 0 : pipeline_fail("no memory");
}

void columns_close(csv_columns *columns)
{
    csv_close(columns->reader);
    for (size_t i = 0; i < columns->count; i++)
        free(columns->names[i]);
    free(columns->names);
    memset(columns, 0, sizeof(*columns));
}

int columns_find(const csv_columns *columns, const char *name, size_t *at)
{
    for (size_t i = 0; i < columns->count; i++)
        if (strcmp(columns->names[i], name) == 0) {
            *at = i;
            return 0;
        }
    (void)fprintf(stderr, "%s: %s has no column '%s'. Its columns:", pipeline_name, columns->path, name);
    for (size_t i = 0; i < columns->count; i++)
        (void)fprintf(stderr, "%s '%s'", i == 0 ? "" : ",", columns->names[i]);
    (void)fputc('\n', stderr);
    return -1;
}

int columns_next(csv_columns *columns, const csv_cell **cells, size_t *count)
{
    int got = csv_next(columns->reader, cells, count);

    if (got < 0 && !pipeline_interrupted)
        (void)pipeline_fail("%s", csv_error(columns->reader));
    return got;
}

const char *columns_refuse(const csv_columns *columns, const csv_cell *cells, size_t count)
{
    if (count != columns->count)
        return "not as many cells as the header";
    for (size_t i = 0; i < count; i++)
        if (!utf8_check(cells[i].text, cells[i].size, NULL))
            return "a cell is not UTF-8";
    return NULL;
}
