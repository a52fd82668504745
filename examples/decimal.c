/* Exact amounts, as digits. Floating point would be shorter, and its sums would differ in the last cents with the order
 * of the rows; an integer of any type has too few digits for some price. */
#include "decimal.h"

#include <string.h>

#define LIMB UINT32_C(1000000000)
#define LIMB_DIGITS 9
#define LIMBS ((int)(sizeof(((decimal *)0)->limbs) / sizeof(uint32_t)))
#define DIGITS (LIMBS * LIMB_DIGITS)

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digit `at` from the right, the places among them. */
static unsigned digit(const decimal *amount, int at)
{
    uint32_t limb = amount->limbs[at / LIMB_DIGITS];

    for (int i = at % LIMB_DIGITS; i > 0; i--)
        limb /= 10;
    return limb % 10;
}

static void add_at(decimal *amount, int at, unsigned value)
{
    uint64_t carry = value;

    for (int i = at % LIMB_DIGITS; i > 0; i--)
        carry *= 10;
    for (int i = at / LIMB_DIGITS; carry > 0 && i < LIMBS; i++) {
        carry += amount->limbs[i];
        amount->limbs[i] = (uint32_t)(carry % LIMB);
        carry /= LIMB;
    }
}

/* The whole part at `at`, up to the point or the end: in groups when there are commas. The last group of thousands has
 * three digits, those before it two or three (India writes 12,34,567), the first at least one. */
static bool is_whole(const char *at, const char *end)
{
    unsigned group = 0, groups = 0;

    for (; at < end; at++) {
        if (is_digit(*at)) {
            group++;
        } else if (*at == ',' && group >= (groups == 0 ? 1u : 2u) && group <= 3) {
            groups++;
            group = 0;
        } else {
            return false;
        }
    }
    return groups == 0 || group == 3;
}

bool decimal_read(const char *text, size_t size, decimal *out)
{
    const char *begin = text, *end = text + size, *point;
    int place = DECIMAL_PLACES_MAX;
    decimal amount = {{0}};

    while (begin < end && (*begin == ' ' || *begin == '\t'))
        begin++;
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    point = memchr(begin, '.', (size_t)(end - begin));
    if (begin == end || (point != NULL && end - begin == 1) || !is_whole(begin, point == NULL ? end : point))
        return false;
    for (const char *at = point == NULL ? end : point; at-- > begin;) {
        if (*at == ',')
            continue;
        if (*at != '0' && place >= DECIMAL_PLACES_MAX + DECIMAL_DIGITS_MAX)
            return false;
        if (*at != '0')
            add_at(&amount, place, (unsigned)(*at - '0'));
        place++;
    }
    place = DECIMAL_PLACES_MAX;
    for (const char *at = point == NULL ? end : point + 1; at < end; at++) {
        if (!is_digit(*at) || (*at != '0' && place == 0))
            return false;
        if (place > 0)
            add_at(&amount, --place, (unsigned)(*at - '0'));
    }
    *out = amount;
    return true;
}

decimal decimal_of(uint64_t whole)
{
    decimal amount = {{0}};

    for (int i = DECIMAL_PLACES_MAX / LIMB_DIGITS; whole > 0; i++, whole /= LIMB)
        amount.limbs[i] = (uint32_t)(whole % LIMB);
    return amount;
}

void decimal_add(decimal *sum, const decimal *amount)
{
    uint32_t carry = 0;

    for (int i = 0; i < LIMBS; i++) {
        carry += sum->limbs[i] + amount->limbs[i];
        sum->limbs[i] = carry % LIMB;
        carry /= LIMB;
    }
}

void decimal_write(const decimal *amount, int places, char comma, char text[DECIMAL_TEXT_BYTES])
{
    int last = DECIMAL_PLACES_MAX - places, first = DIGITS - 1;
    decimal rounded = *amount;

    if (last > 0)
        add_at(&rounded, last - 1, 5);
    while (first > DECIMAL_PLACES_MAX && digit(&rounded, first) == 0)
        first--;
    for (int at = first; at >= last; at--) {
        if (at == DECIMAL_PLACES_MAX - 1)
            *text++ = '.';
        *text++ = (char)('0' + (int)digit(&rounded, at));
        if (comma != 0 && at > DECIMAL_PLACES_MAX && (at - DECIMAL_PLACES_MAX) % 3 == 0)
            *text++ = comma;
    }
    *text = 0;
}

int decimal_places(const decimal *amount, int least)
{
    int places = DECIMAL_PLACES_MAX;

    while (places > least && digit(amount, DECIMAL_PLACES_MAX - places) == 0)
        places--;
    return places;
}

decimal decimal_mean(const decimal *sum, uint64_t count)
{
    unsigned __int128 rest = 0;
    decimal mean = {{0}};

    for (int i = LIMBS; count > 0 && i-- > 0;) {
        rest = rest * LIMB + sum->limbs[i];
        mean.limbs[i] = (uint32_t)(rest / count);
        rest %= count;
    }
    return mean;
}
