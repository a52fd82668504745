/* Amounts added up exactly: 0.10 ten times is 1, and a sum can be compared with another program's to the last digit. */
#ifndef EXAMPLES_DECIMAL_H
#define EXAMPLES_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DECIMAL_DIGITS_MAX 60 /* before the point, zeros in front not counted */
#define DECIMAL_PLACES_MAX 36 /* behind it, zeros at the end not counted */

/* An amount, not negative: nine digits to a limb, the lowest first, the point behind the first four. 10^12 of the
 * largest ones that decimal_read takes can be added. Zeros are the amount 0. */
typedef struct decimal {
    uint32_t limbs[12];
} decimal;

/* Read a price: digits, of which thousands may be set apart by commas (1,599 and 12,34,567.00 alike), and perhaps a
 * point with digits behind it; blanks around it do not matter. False for all else: empty, a sign, a currency, an
 * exponent, a comma elsewhere, more digits than can be added exactly. */
bool decimal_read(const char *text, size_t size, decimal *out);
decimal decimal_of(uint64_t whole);
void decimal_add(decimal *sum, const decimal *amount);

/* With `places` digits after the point (at most DECIMAL_PLACES_MAX), rounded half up; `comma` between thousands, or 0
 * for none. */
#define DECIMAL_TEXT_BYTES 144
void decimal_write(const decimal *amount, int places, char comma, char text[DECIMAL_TEXT_BYTES]);

int decimal_places(const decimal *amount, int least); /* How many places show it exactly, at least `least`. */
decimal decimal_mean(const decimal *sum, uint64_t count); /* Cut off behind the last place; 0 of none. */

#endif
