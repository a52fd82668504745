/* Numbers as JSON writes them, read as doubles and written, whatever locale the program has set. */
#ifndef LSI_BASE_NUMBER_H
#define LSI_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* The nearest double, which may be infinite; true when it keeps the number: the shortest decimal that reads as this
 * double is the number itself, however it is written (300, 3.0e2). `text` is a valid JSON number. */
bool lsi_number_read(const char *text, size_t size, double *out);

/* The shortest of %.15g, %.16g and %.17g that reads as this double, which is finite; terminated. */
#define LSI_NUMBER_BYTES 32
void lsi_number_write(double n, char out[LSI_NUMBER_BYTES]);

#endif
