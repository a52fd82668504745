/* SQL over delivered files, as Amazon Athena runs it over a bucket: the lines of JSON become the rows of a table
 * `accidents` (id, severity, city, county, state) of SQLite, in a temporary file. */
#ifndef EXAMPLES_ACCIDENT_SQL_H
#define EXAMPLES_ACCIDENT_SQL_H

#include "accident_json.h"

#include <stddef.h>
#include <stdint.h>

typedef struct accident_counts {
    uint64_t rows, severities[ACCIDENT_SEVERITIES]; /* by severity; one that is none counts in `rows` alone */
    size_t files;
} accident_counts;

/* SELECT severity, count(*) FROM accidents GROUP BY severity, of all files beneath the directory. 0, or -1: said. */
int accident_sql_count(const char *directory, accident_counts *out);

#endif
