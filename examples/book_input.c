/* Tables of books. */
#include "book_input.h"
#include "pipeline.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void book_input_close(book_input *input)
{
    if (input->table.reader != NULL)
        input->bytes_before += csv_bytes_read(input->table.reader);
    columns_close(&input->table);
    input->is_open = false;
}

uint64_t book_input_bytes(const book_input *input)
{
    return input->bytes_before + (input->is_open ? csv_bytes_read(input->table.reader) : 0);
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

static int fail_column(const book_input *input, const char *option, const char *wanted)
{
    (void)fprintf(stderr, "books: %s has no column '%s'; name it with %s. Its columns:", input->table.path, wanted,
                  option);
    for (size_t i = 0; i < input->table.count; i++)
        (void)fprintf(stderr, "%s '%s'", i == 0 ? "" : ",", input->table.names[i]);
    (void)fputc('\n', stderr);
    return -1;
}

/* A member's name must be one of its kind in a JSON object, so a second `x` becomes `x.1`, a third `x.2`. */
static int make_unique(csv_columns *table, size_t column)
{
    size_t size = strlen(table->names[column]);
    char *name = realloc(table->names[column], size + 16);

    if (name == NULL)
        return pipeline_fail("no memory");
    table->names[column] = name;
    for (unsigned next = 1; ; next++) {
        size_t i = 0;

        while (i < column && strcmp(table->names[i], name) != 0)
            i++;
        if (i == column)
            return 0;
        (void)sprintf(name + size, ".%u", next);
    }
}

static int open_table(book_input *input)
{
    csv_columns *table = &input->table;
    int result = input->file_count == 0 ? columns_open(table, "the made-up table", book_rows_read, input->rows)
                                        : columns_open(table, input->files[input->file], NULL, NULL);

    input->file++;
    input->is_open = result == 0;
    for (size_t i = 0; result == 0 && i < table->count; i++)
        result = make_unique(table, i);
    if (result != 0)
        return -1;
    input->title_at = find_column(table->names, table->count, input->title);
    if (input->title_at == table->count)
        return fail_column(input, "--title", input->title);
    if (find_column(table->names, table->count, input->price) == table->count)
        return fail_column(input, "--price", input->price);
    return 0;
}

int book_input_next(book_input *input, const csv_cell **cells, size_t *count)
{
    for (;;) {
        int got;

        if (!input->is_open && input->file == (input->file_count == 0 ? 1 : input->file_count))
            return 0;
        if (!input->is_open && open_table(input) != 0)
            return -1;
        got = columns_next(&input->table, cells, count);
        if (got != 0)
            return got;
        book_input_close(input);
    }
}
