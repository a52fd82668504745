/* Made-up rows. Every choice comes from one sequence of random numbers that the seed begins (splitmix64: short, and
 * written here so that no library's choice changes the bytes). Who makes a row draws one number per statement: C leaves
 * the order of a call's arguments to the compiler. */
#include "made_up.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void made_up_begin(made_up *rows, uint64_t seed, uint64_t count, const char *header, made_up_row make)
{
    memset(rows, 0, sizeof(*rows));
    rows->random = seed * UINT64_C(0x9e3779b97f4a7c15) ^ UINT64_C(0x6c696273747265);
    rows->count = count;
    rows->header = header;
    rows->make = make;
}

/* The bias of the remainder does not matter here. */
uint64_t made_up_draw(made_up *rows, uint64_t bound)
{
    uint64_t z = rows->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % bound;
}

/* What does not fit is cut, and no row comes near it. */
void made_up_say(made_up *rows, const char *format, ...)
{
    va_list arguments;
    int added;

    va_start(arguments, format);
    added = vsnprintf(rows->text + rows->size, sizeof(rows->text) - rows->size, format, arguments);
    va_end(arguments);
    rows->size += added < 0 ? 0 : (size_t)added;
    if (rows->size >= sizeof(rows->text))
        rows->size = sizeof(rows->text) - 1;
}

const char *made_up_next(made_up *rows, size_t *size)
{
    rows->at = rows->size = 0;
    rows->text[0] = 0;
    if (rows->header != NULL) {
        made_up_say(rows, "%s", rows->header);
        rows->header = NULL;
    } else if (rows->row < rows->count) {
        rows->make(rows, rows->row++);
    } else {
        return NULL;
    }
    *size = rows->size;
    return rows->text;
}

ptrdiff_t made_up_read(void *user, char *to, size_t capacity)
{
    made_up *rows = user;
    size_t given = 0, size;

    while (given < capacity) {
        if (rows->at == rows->size && made_up_next(rows, &size) == NULL)
            break;
        size = rows->size - rows->at;
        if (size > capacity - given)
            size = capacity - given;
        memcpy(to + given, rows->text + rows->at, size);
        rows->at += size;
        given += size;
    }
    return (ptrdiff_t)given;
}
