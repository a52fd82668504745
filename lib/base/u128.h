/* Unsigned 128-bit numbers as `ls_hash_key`: order, small arithmetic, decimal and hexadecimal text. */
#ifndef LSI_BASE_U128_H
#define LSI_BASE_U128_H

#include <stdbool.h>
#include <stddef.h>

#include <libstream/types.h>

#define LSI_U128_MAX ((ls_hash_key){UINT64_MAX, UINT64_MAX})
#define LSI_U128_TEXT_BYTES 40 /* 39 digits and the terminator */

int lsi_u128_compare(ls_hash_key a, ls_hash_key b); /* <0, 0, >0 */
ls_hash_key lsi_u128_add(ls_hash_key a, ls_hash_key b);      /* modulo 2^128 */
ls_hash_key lsi_u128_subtract(ls_hash_key a, ls_hash_key b); /* modulo 2^128 */
ls_hash_key lsi_u128_multiply(ls_hash_key a, uint64_t b);    /* modulo 2^128 */
/* 2^128 / n, rounded down; n >= 2 (n = 1 does not fit). */
ls_hash_key lsi_u128_whole_divided_by(uint64_t n);

void lsi_u128_to_decimal(ls_hash_key n, char text[LSI_U128_TEXT_BYTES]);
/* Kinesis's form: 0 or no leading zero, only digits, below 2^128. `size` bytes, not terminated. */
bool lsi_u128_from_decimal(const char *text, size_t size, ls_hash_key *out);

#endif
