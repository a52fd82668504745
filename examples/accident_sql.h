/* SQL over delivered files, as Amazon Athena runs it over a bucket: the lines of JSON become the rows of a table
 * `accidents` (id, severity, city, county, state) of SQLite, in a temporary file. */
#ifndef EXAMPLES_ACCIDENT_SQL_H
#define EXAMPLES_ACCIDENT_SQL_H

#include <stddef.h>
#include <stdint.h>

#define ACCIDENT_SEVERITIES 10

typedef struct accident_counts {
    uint64_t rows, severities[ACCIDENT_SEVERITIES]; /* by severity, 0 to 9 */
    size_t files;
} accident_counts;

/* SELECT severity, count(*) FROM accidents GROUP BY severity, of all files beneath the directory. 0, or -1: said. */
int accident_sql_count(const char *directory, accident_counts *out);

#endif
