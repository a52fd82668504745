/* A strict reader of Prometheus text, format 0.0.4: what a scraper may reject is refused, and so is what the library
 * promises not to write (empty lines, timestamps, families without help). */
#ifndef LST_EXPOSITION_H
#define LST_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>

#define EXPOSITION_WHY_BYTES 256

typedef struct exposition exposition;

/* NULL: `why` tells the line and the rule. */
exposition *exposition_read(const char *text, size_t size, char why[EXPOSITION_WHY_BYTES]);
void exposition_free(exposition *of);

/* The value of the sample with exactly these labels, as `a="b",c="d"` sorted by name, unescaped; NaN: there is none. */
double exposition_value(const exposition *of, const char *name, const char *labels);
/* The sum over all samples of the name whose labels contain `part`; `*count`, if not NULL: how many there are. */
double exposition_sum(const exposition *of, const char *name, const char *part, size_t *count);
/* The type of a family: "counter" ...; NULL: there is none of that name. */
const char *exposition_type(const exposition *of, const char *name);

#endif
