/* The generator. Every choice comes from one sequence of random numbers that the seed begins (splitmix64: short, and
 * written here so that no library's choice changes the bytes). One draw per statement: C leaves the order of a call's
 * arguments to the compiler. */
#include "book_rows.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const adjectives[] = {"Silent", "Distant", "Broken", "Golden", "Hidden", "Last", "Winter", "Burning",
    "Forgotten", "Quiet", "Paper", "Northern", "Crooked", "Second", "Salt", "Iron"};
static const char *const nouns[] = {"River", "Garden", "Harbour", "Letter", "Orchard", "Mirror", "Mountain", "House",
    "Island", "Clock", "Kingdom", "Road", "Daughter", "Season", "Lantern", "Promise"};
static const char *const places[] = {"Lisbon", "Kolkata", "São Paulo", "Kraków", "東京", "Москва", "Nairobi",
    "Aberdeen"};
static const char *const given[] = {"Anna", "José", "Priya", "Tomasz", "Yuki", "Olga", "Samuel", "Chloë", "Ibrahim",
    "Mei", "Peter", "Zofia"};
static const char *const family[] = {"O'Brien", "García", "Iyer", "Nowak", "Tanaka", "Ivanova", "Mwangi", "Smith",
    "Haddad", "Chen", "Müller", "Lindqvist"};
static const char *const sentences[] = {
    "A family returns to the place it left. ", "Nobody knows who wrote the first page. ",
    "\"Unputdownable\", said one reader. ", "It begins with a storm, a debt, and a door that will not close. ",
    "The second edition has a new preface. ", "Told in letters, maps and recipes. ",
    "Two strangers share a train, then a secret. ", "With notes and an index. "};

#define CHOOSE(rows, list) ((list)[draw((rows), sizeof(list) / sizeof((list)[0]))])

/* A number below `bound`. The bias of the remainder does not matter here. */
static size_t draw(book_rows *rows, size_t bound)
{
    uint64_t z = rows->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ z >> 31) % bound);
}

static bool one_in(book_rows *rows, size_t odds)
{
    return draw(rows, odds) == 0;
}

void book_rows_begin(book_rows *rows, uint64_t seed, uint64_t count)
{
    memset(rows, 0, sizeof(*rows));
    rows->random = seed * UINT64_C(0x9e3779b97f4a7c15) ^ UINT64_C(0x6c696273747265);
    rows->rows_left = count;
}

/* Adds to a cell of 4 KiB; what does not fit is cut, and no cell comes near it. */
__attribute__((format(printf, 2, 3)))
static void say(char cell[4096], const char *format, ...)
{
    size_t used = strlen(cell);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(cell + used, 4096 - used, format, arguments);
    va_end(arguments);
}

static void add_cell(book_rows *rows, const char *cell, const char *after)
{
    bool quoted = strpbrk(cell, ",\"\r\n") != NULL;

    if (quoted)
        rows->text[rows->size++] = '"';
    for (const char *c = cell; *c != 0; c++) {
        if (*c == '"')
            rows->text[rows->size++] = '"';
        rows->text[rows->size++] = *c;
    }
    if (quoted)
        rows->text[rows->size++] = '"';
    while (*after != 0)
        rows->text[rows->size++] = *after++;
}

static void title_cell(book_rows *rows, char cell[4096])
{
    cell[0] = 0;
    say(cell, "The %s", CHOOSE(rows, adjectives));
    say(cell, " %s", CHOOSE(rows, nouns));
    if (one_in(rows, 3))
        say(cell, " of %s", CHOOSE(rows, places));
    if (one_in(rows, 4))
        say(cell, ": A Novel");
    if (one_in(rows, 12)) {
        say(cell, ", or \"%s", CHOOSE(rows, adjectives));
        say(cell, " %s\"", CHOOSE(rows, nouns));
    }
    if (one_in(rows, 3))
        say(cell, " (Book %zu)", 1 + draw(rows, 40));
    /* One in 600, as in the published tables of this kind: more than the 256 characters a partition key may have. */
    if (one_in(rows, 600))
        while (strlen(cell) < 700) {
            say(cell, " and the %s", CHOOSE(rows, adjectives));
            say(cell, " %s", CHOOSE(rows, nouns));
        }
}

static void price_cell(book_rows *rows, char cell[4096])
{
    size_t hundredths = 99;

    cell[0] = 0;
    hundredths += draw(rows, 60000);
    if (one_in(rows, 12))
        hundredths += 100000 + draw(rows, 900000);
    if (one_in(rows, 50))
        return;  /* No price. */
    if (one_in(rows, 40))
        say(cell, one_in(rows, 2) ? "$" : "₹");
    if (hundredths >= 100000)
        say(cell, "%zu,%03zu.%02zu", hundredths / 100000, hundredths / 100 % 1000, hundredths % 100);
    else if (one_in(rows, 3))
        say(cell, "%zu", hundredths / 100);
    else
        say(cell, "%zu.%02zu", hundredths / 100, hundredths % 100);
}

static void description_cell(book_rows *rows, char cell[4096])
{
    size_t count = draw(rows, 9);

    cell[0] = 0;
    for (size_t i = 0; i < count; i++) {
        say(cell, "%s", CHOOSE(rows, sentences));
        if (one_in(rows, 10))
            say(cell, "\n\n");
    }
}

static void author(book_rows *rows, char cell[4096], const char *before)
{
    say(cell, "%s%s", before, CHOOSE(rows, given));
    say(cell, " %s", CHOOSE(rows, family));
}

static void make_row(book_rows *rows)
{
    char cell[4096];

    rows->at = 0;
    rows->size = 0;
    title_cell(rows, cell);
    add_cell(rows, cell, ",");
    cell[0] = 0;
    author(rows, cell, "");
    if (one_in(rows, 6))
        author(rows, cell, ", ");
    add_cell(rows, cell, ",");
    price_cell(rows, cell);
    add_cell(rows, cell, ",");
    description_cell(rows, cell);
    add_cell(rows, cell, "\r\n");
}

ptrdiff_t book_rows_read(void *user, char *to, size_t capacity)
{
    book_rows *rows = user;
    size_t given_bytes = 0;

    while (given_bytes < capacity) {
        size_t bytes = rows->size - rows->at;

        if (bytes == 0) {
            if (!rows->header_given) {
                static const char header[] = "Title,Author(s),Price,Description\r\n";

                memcpy(rows->text, header, sizeof(header) - 1);
                rows->at = 0;
                rows->size = sizeof(header) - 1;
                rows->header_given = 1;
            } else if (rows->rows_left > 0) {
                make_row(rows);
                rows->row++;
                rows->rows_left--;
            } else {
                break;
            }
            continue;
        }
        if (bytes > capacity - given_bytes)
            bytes = capacity - given_bytes;
        memcpy(to + given_bytes, rows->text + rows->at, bytes);
        rows->at += bytes;
        given_bytes += bytes;
    }
    return (ptrdiff_t)given_bytes;
}
