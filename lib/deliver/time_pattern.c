/* One walk over the pattern does both: checking is writing to nowhere, up to the first thing that cannot be written. */
#include "deliver/time_pattern.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/iso_time.h"

typedef struct written {
    char *out;
    size_t size, room;
} written;

static void add(written *to, const char *text, size_t size)
{
    if (to->size < to->room)
        memcpy(to->out + to->size, text, size < to->room - to->size ? size : to->room - to->size);
    to->size += size;
}

static void add_number(written *to, int64_t number, int digits)
{
    char text[24];

    add(to, text, (size_t)snprintf(text, sizeof text, "%0*" PRId64, digits, number));
}

/* Java's years are those of an era: 1 BC is 1. Beyond four digits `yyyy` has a sign. */
static void add_year(written *to, int64_t year, size_t count)
{
    year = year > 0 ? year : 1 - year;
    if (count == 2) {
        add_number(to, year % 100, 2);
        return;
    }
    if (count == 4 && year > 9999)
        add(to, "+", 1);
    add_number(to, year, (int)count);
}

static void add_fraction(written *to, int us, size_t count)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%06d000", us);
    add(to, text, count);
}

/* `count` times the same letter; false: there is no such thing. */
static bool add_field(written *to, char letter, size_t count, const lsi_civil *when)
{
    static const char letters[] = "yMDdHmsSE";
    static const char longest[] = {4, 3, 3, 2, 2, 2, 2, 9, 3};
    const char *found = strchr(letters, letter);

    if (found == NULL || count > (size_t)longest[found - letters])
        return false;
    switch (letter) {
    case 'y':
        if (count == 3)
            return false;
        add_year(to, when->year, count);
        break;
    case 'M':
        if (count == 3)
            add(to, lsi_month_name(when->month), 3);
        else
            add_number(to, when->month, (int)count);
        break;
    case 'D': add_number(to, when->day_of_year, (int)count); break;
    case 'd': add_number(to, when->day, (int)count); break;
    case 'H': add_number(to, when->hour, (int)count); break;
    case 'm': add_number(to, when->minute, (int)count); break;
    case 's': add_number(to, when->second, (int)count); break;
    case 'S': add_fraction(to, when->us, count); break;
    default: add(to, lsi_weekday_name(when->weekday), 3); break;
    }
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* From the quote that opens; the byte behind the one that closes, or NULL. */
static const char *add_quoted(written *to, const char *from, const char *end)
{
    if (end - from >= 2 && from[1] == '\'') {
        add(to, "'", 1);
        return from + 2;
    }
    for (from++; from < end; from++) {
        if (*from != '\'') {
            add(to, from, 1);
        } else if (end - from >= 2 && from[1] == '\'') {
            add(to, from++, 1);
        } else {
            return from + 1;
        }
    }
    return NULL;
}

static const char *walk(const char *pattern, size_t size, const lsi_civil *when, written *to, size_t *at)
{
    const char *end = pattern + size;

    for (const char *from = pattern; from < end;) {
        const char *next = from + 1;

        *at = (size_t)(from - pattern);
        if (*from == '\'') {
            next = add_quoted(to, from, end);
            if (next == NULL)
                return "a quote is not closed";
        } else if (is_letter(*from)) {
            while (next < end && *next == *from)
                next++;
            if (!add_field(to, *from, (size_t)(next - from), when))
                return "no such pattern letters: there are y yy yyyy M MM MMM D DD DDD d dd H HH m mm s ss S.. E EE "
                       "EEE, and text in single quotes";
        } else if (memchr("#[]{}", *from, 5) != NULL) {
            return "reserved, it must be in single quotes";
        } else {
            add(to, from, 1);
        }
        from = next;
    }
    return NULL;
}

const char *lsi_time_pattern_check(const char *pattern, size_t size, size_t *at)
{
    lsi_civil when = lsi_civil_of(0);
    written nowhere = {NULL, 0, 0};

    *at = 0;
    return size == 0 ? "the pattern is empty" : walk(pattern, size, &when, &nowhere, at);
}

size_t lsi_time_pattern_write(const char *pattern, size_t size, int64_t us, char *out, size_t room)
{
    lsi_civil when = lsi_civil_of(us);
    written to = {out, 0, room};
    size_t at;

    (void)walk(pattern, size, &when, &to, &at); /* It was found good. */
    return to.size;
}
