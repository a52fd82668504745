/* Drive the parts that the examples share, for tests and for curiosity:
 *
 *   check_parts csv FILE [PIECE]   each row as a JSON array, read PIECE bytes at a time
 *   check_parts price TEXT...      each as an amount, or "none"
 *   check_parts json TEXT          the members of a flat object, one per line; exit code 1 when it is none
 *   check_parts members TEXT       those of any object, each with its kind; as Python reads it: NaN and so on
 *   check_parts strict TEXT        the same, as JSON has it */
#include "csv.h"
#include "decimal.h"
#include "flat_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pieces {
    FILE *file;
    size_t size;
};

static ptrdiff_t read_piece(void *user, char *to, size_t capacity)
{
    struct pieces *pieces = user;
    size_t got = fread(to, 1, capacity < pieces->size ? capacity : pieces->size, pieces->file);

    return got == 0 && ferror(pieces->file) ? -1 : (ptrdiff_t)got;
}

static int show_csv(const char *path, size_t piece)
{
    struct pieces pieces = {fopen(path, "rb"), piece};
    flat_json json = {0};
    const csv_cell *cells;
    csv_reader *reader;
    size_t count;
    int got;

    reader = pieces.file == NULL ? NULL : csv_open_source(path, read_piece, &pieces);
    if (reader == NULL) {
        (void)fprintf(stderr, "check_parts: cannot open %s: %s\n", path, strerror(errno));
        return 1;
    }
    while ((got = csv_next(reader, &cells, &count)) == 1) {
        (void)putchar('[');
        for (size_t i = 0; i < count; i++) {
            json.size = 0;
            flat_json_quoted(&json, cells[i].text, cells[i].size);
            (void)printf("%s%.*s", i == 0 ? "" : ",", (int)json.size, json.text);
        }
        (void)puts("]");
    }
    if (got < 0)
        (void)fprintf(stderr, "%s\n", csv_error(reader));
    flat_json_free(&json);
    csv_close(reader);
    (void)fclose(pieces.file);
    return got < 0;
}

static bool show_member(void *user, const char *name, size_t name_size, const char *value, size_t value_size)
{
    (void)user;
    (void)printf("%.*s=%.*s\n", (int)name_size, name, (int)value_size, value);
    return true;
}

static bool show_kind(void *user, const char *name, size_t name_size, json_kind kind, const char *value,
                      size_t value_size)
{
    static const char *const kinds[] = {"string", "number", "true", "false", "null", "nested", "nan", "infinite"};

    (void)user;
    (void)printf("%.*s %s %.*s\n", (int)name_size, name, kinds[kind], (int)value_size, value);
    return true;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "csv") == 0)
        return show_csv(argv[2], argc > 3 ? strtoul(argv[3], NULL, 10) : 65536);
    if (argc == 3 && (strcmp(argv[1], "members") == 0 || strcmp(argv[1], "strict") == 0)) {
        flat_json scratch = {0};
        bool lenient = strcmp(argv[1], "members") == 0;
        bool good = json_members(argv[2], strlen(argv[2]), lenient, &scratch, show_kind, NULL);

        flat_json_free(&scratch);
        return good ? 0 : 1;
    }
    if (argc == 3 && strcmp(argv[1], "json") == 0) {
        flat_json scratch = {0};
        bool good = flat_json_read(argv[2], strlen(argv[2]), &scratch, show_member, NULL);

        flat_json_free(&scratch);
        return good ? 0 : 1;
    }
    if (argc >= 3 && strcmp(argv[1], "price") == 0) {
        for (int i = 2; i < argc; i++) {
            char text[DECIMAL_TEXT_BYTES] = "none";
            decimal amount;

            if (decimal_read(argv[i], strlen(argv[i]), &amount))
                decimal_write(&amount, decimal_places(&amount, 2), 0, text);
            (void)puts(text);
        }
        return 0;
    }
    (void)fputs("Usage: check_parts csv FILE [PIECE] | price TEXT... | json|members|strict TEXT\n", stderr);
    return 2;
}
