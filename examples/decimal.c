/* Exact amounts, as integers of billionths. Floating point would be shorter and its sums would differ in the last
 * cents with the order of the rows. */
#include "decimal.h"

#include <string.h>

#define PLACES 9
#define UNIT ((decimal)1000000000)

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The whole part at `at`, up to the point or the end: in groups when there are commas. The last group of thousands
 * has three digits, those before it two or three (India writes 12,34,567), the first at least one. */
static bool read_whole(const char *at, const char *end, decimal *out)
{
    decimal whole = 0;
    unsigned digits = 0, group = 0, groups = 0;

    for (; at < end; at++) {
        if (is_digit(*at)) {
            whole = whole * 10u + (unsigned)(*at - '0');
            digits++;
            group++;
        } else if (*at == ',') {
            if (group < (groups == 0 ? 1u : 2u) || group > 3)
                return false;
            groups++;
            group = 0;
        } else {
            return false;
        }
        if (digits > 18)
            return false;
    }
    *out = whole * UNIT;
    return groups == 0 || group == 3;
}

bool decimal_read(const char *text, size_t size, decimal *out)
{
    const char *at = text, *end = text + size, *point;
    decimal amount, place = UNIT / 10;

    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    point = memchr(at, '.', (size_t)(end - at));
    if (at == end || (point != NULL && end - at == 1) || !read_whole(at, point == NULL ? end : point, &amount))
        return false;
    for (at = point == NULL ? end : point + 1; at < end; at++) {
        if (!is_digit(*at))
            return false;
        if (place > 0)
            amount += (unsigned)(*at - '0') * place;
        else if (at - point == PLACES + 1 && *at >= '5')
            amount++;
        place /= 10;
    }
    *out = amount;
    return true;
}

void decimal_write(decimal amount, int places, char comma, char text[DECIMAL_TEXT_BYTES])
{
    char reversed[DECIMAL_TEXT_BYTES];
    decimal step = 1;
    size_t count = 0, digits = 0;

    for (int i = places; i < PLACES; i++)
        step *= 10;
    amount = (amount + step / 2) / step;
    for (int i = 0; i < places; i++, amount /= 10)
        reversed[count++] = (char)('0' + (int)(amount % 10));
    if (places > 0)
        reversed[count++] = '.';
    do {
        if (comma != 0 && digits > 0 && digits % 3 == 0)
            reversed[count++] = comma;
        reversed[count++] = (char)('0' + (int)(amount % 10));
        amount /= 10;
        digits++;
    } while (amount > 0);
    for (size_t i = 0; i < count; i++)
        text[i] = reversed[count - 1 - i];
    text[count] = 0;
}

int decimal_places(decimal amount, int least)
{
    int places = PLACES;

    for (; places > least && amount % 10 == 0; places--)
        amount /= 10;
    return places;
}

decimal decimal_mean(decimal sum, uint64_t count)
{
    return count == 0 ? 0 : (sum + count / 2) / count;
}
