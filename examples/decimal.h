/* Amounts added up exactly: 0.10 ten times is 1, and a sum can be compared with another program's to the last digit. */
#ifndef EXAMPLES_DECIMAL_H
#define EXAMPLES_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An amount, not negative, in billionths. 10^11 of the largest ones that decimal_read takes can be added. */
typedef unsigned __int128 decimal;

/* Read a price: digits, of which thousands may be set apart by commas (1,599 and 12,34,567.00 alike), and perhaps a
 * point with digits behind it; blanks around it do not matter. False for all else: empty, a sign, a currency, an
 * exponent, a comma elsewhere, more than 18 digits. Beyond the ninth place after the point it is rounded. */
bool decimal_read(const char *text, size_t size, decimal *out);

/* With `places` digits after the point (at most 9), rounded half up; `comma` between thousands, or 0 for none. */
#define DECIMAL_TEXT_BYTES 72
void decimal_write(decimal amount, int places, char comma, char text[DECIMAL_TEXT_BYTES]);

int decimal_places(decimal amount, int least); /* How many places show it exactly, at least `least`. */
decimal decimal_mean(decimal sum, uint64_t count); /* Rounded half up; 0 of none. */

#endif
