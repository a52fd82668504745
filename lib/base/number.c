/* JSON numbers as doubles.
 *
 * A number is reduced to its digits, without zeros at either end, and an exponent of ten. 15 digits and an exponent
 * that a double holds exactly need one multiplication, which rounds right; that is nearly every number there is. The
 * others go through strtod and snprintf as digits and exponent alone: no decimal point, so no locale. */
#include "base/number.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_EASY 15     /* every number of so many digits is kept, and is exact as an integer */
#define DIGITS_KEPT 17     /* no more are ever kept */
#define DIGITS_READ 800    /* 767 decide how any number is rounded, and one more that something follows */
#define POWER_EASY 22      /* 10^22 is the last power of ten that is exact */
#define EXPONENT_MAX 99999 /* far beyond any double */

typedef struct decimal {
    char digits[DIGITS_READ + 1];
    size_t count;     /* 0: the number is zero */
    int64_t exponent; /* of ten, behind the last digit */
    bool is_negative;
} decimal;

/* The value of the exponent's text, cut to where it makes no more difference. */
static int64_t read_exponent(const char *text, const char *end)
{
    bool is_negative = text < end && *text == '-';
    int64_t exponent = 0;

    if (text < end && (*text == '-' || *text == '+'))
        text++;
    for (; text < end; text++)
        if (exponent <= INT64_C(1) << 40) /* more than any count of digits makes up for */
            exponent = exponent * 10 + (*text - '0');
    return is_negative ? -exponent : exponent;
}

static void reduce(const char *text, size_t size, decimal *out)
{
    const char *end = text + size;
    size_t zeros = 0; /* passed over, behind the last digit */
    bool in_fraction = false;

    out->count = 0;
    out->exponent = 0;
    out->is_negative = text < end && *text == '-';
    if (out->is_negative)
        text++;
    for (; text < end && *text != 'e' && *text != 'E'; text++) {
        if (*text == '.') {
            in_fraction = true;
            continue;
        }
        out->exponent -= in_fraction;
        if (*text == '0') {
            zeros += out->count != 0;
            continue;
        }
        if (out->count + zeros >= DIGITS_READ) { /* What follows counts no more, but that it is not zero. */
            size_t places = out->count + zeros + 1;

            memset(out->digits + out->count, '0', DIGITS_READ - out->count);
            out->digits[DIGITS_READ - 1] = '1';
            out->count = DIGITS_READ;
            zeros = places - DIGITS_READ;
            continue;
        }
        memset(out->digits + out->count, '0', zeros);
        out->count += zeros;
        zeros = 0;
        out->digits[out->count++] = *text;
    }
    out->exponent += (int64_t)zeros;
    if (text < end)
        out->exponent += read_exponent(text + 1, end);
}

/* Whether printing `value` with `count` digits gives this number. */
static bool prints_as(double value, int count, const decimal *number)
{
    char text[64];
    char plain[64];
    decimal printed;
    size_t size = 0;
    bool in_point = false;

    (void)snprintf(text, sizeof text, "%.*e", count - 1, value);
    for (const char *from = text; *from != '\0'; from++) { /* The locale's point may be several bytes. */
        if ((*from >= '0' && *from <= '9') || *from == '-' || *from == '+' || *from == 'e') {
            plain[size++] = *from;
            in_point = false;
        } else if (!in_point) {
            plain[size++] = '.';
            in_point = true;
        }
    }
    reduce(plain, size, &printed);
    return printed.count == number->count && printed.exponent == number->exponent &&
           memcmp(printed.digits, number->digits, printed.count) == 0;
}

static bool reads_as(double value, int count)
{
    char text[64];

    (void)snprintf(text, sizeof text, "%.*e", count - 1, value);
    return strtod(text, NULL) == value; /* Written and read in one locale. */
}

static bool read_hard(decimal *number, double *out)
{
    char text[DIGITS_READ + 32];
    int64_t exponent = number->exponent;

    exponent = exponent > EXPONENT_MAX ? EXPONENT_MAX : exponent < -EXPONENT_MAX ? -EXPONENT_MAX : exponent;
    number->digits[number->count] = '\0';
    (void)snprintf(text, sizeof text, "%se%d", number->digits, (int)exponent);
    *out = strtod(text, NULL);
    if (number->count > DIGITS_KEPT || isinf(*out) || *out == 0)
        return false;
    /* The shortest: of ordinary numbers 15 digits are kept; of the least, whose digits are fewer, any count may do. */
    for (int count = *out < 1e-290 ? 1 : DIGITS_EASY; count <= DIGITS_KEPT; count++)
        if (reads_as(*out, count))
            return prints_as(*out, count, number);
    return false;
}

bool lsi_number_read(const char *text, size_t size, double *out)
{
    static const double powers[POWER_EASY + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    decimal number;
    bool is_kept = true;

    reduce(text, size, &number);
    if (number.count == 0) {
        *out = 0;
    } else if (number.count <= DIGITS_EASY && number.exponent >= -POWER_EASY && number.exponent <= POWER_EASY) {
        int64_t digits = 0;

        for (size_t i = 0; i < number.count; i++)
            digits = digits * 10 + (number.digits[i] - '0');
        *out = number.exponent < 0 ? (double)digits / powers[-number.exponent]
                                   : (double)digits * powers[number.exponent];
    } else {
        is_kept = read_hard(&number, out);
    }
    if (number.is_negative)
        *out = -*out;
    return is_kept;
}

void lsi_number_write(double n, char out[LSI_NUMBER_BYTES])
{
    char text[64]; /* At most 24 characters and a long decimal point. */
    size_t size = 0;
    bool in_point = false;

    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, n);
        if (strtod(text, NULL) == n)
            break;
    }
    /* %g prints digits, signs, an exponent and the locale's decimal point, which may be several bytes: whatever is none
     * of the former is the latter. Asking for the C locale instead would take a lock or an allocation. */
    for (const char *from = text; *from != '\0'; from++) {
        if ((*from >= '0' && *from <= '9') || *from == '-' || *from == '+' || *from == 'e') {
            out[size++] = *from;
            in_point = false;
        } else if (!in_point) {
            out[size++] = '.';
            in_point = true;
        }
    }
    out[size] = '\0';
}
