/* SQL over delivered files. */
#include "accident_sql.h"
#include "delivered.h"
#include "pipeline.h"

#include <sqlite3.h>
#include <string.h>

static int add_line(const char *path, const char *line, size_t size, void *user)
{
    sqlite3_stmt *add = user;
    int step;

    (void)sqlite3_bind_text(add, 1, line, (int)size, SQLITE_STATIC);
    step = sqlite3_step(add);
    (void)sqlite3_reset(add);
    return step == SQLITE_DONE ? 0 : pipeline_fail("%s has a line that SQL cannot read: %s", path,
                                                   sqlite3_errmsg(sqlite3_db_handle(add)));
}

static int count(sqlite3_stmt *select, accident_counts *out)
{
    int step;

    while ((step = sqlite3_step(select)) == SQLITE_ROW) {
        bool is_whole = sqlite3_column_type(select, 0) == SQLITE_INTEGER; /* Not "3", which SQL would take for 3. */
        int64_t severity = is_whole ? sqlite3_column_int64(select, 0) : -1;

        out->rows += (uint64_t)sqlite3_column_int64(select, 1);
        if (severity >= 0 && severity < ACCIDENT_SEVERITIES)
            out->severities[severity] += (uint64_t)sqlite3_column_int64(select, 1);
    }
    return step == SQLITE_DONE ? 0 : -1;
}

int accident_sql_count(const char *directory, accident_counts *out)
{
    sqlite3_stmt *add = NULL, *select = NULL;
    sqlite3 *db = NULL;
    int result = -1;

    memset(out, 0, sizeof(*out));
    if (sqlite3_open("", &db) != SQLITE_OK ||
        sqlite3_exec(db, "CREATE TABLE accidents (id, severity, city, county, state); BEGIN", NULL, NULL, NULL) !=
            SQLITE_OK ||
        sqlite3_prepare_v2(db, "INSERT INTO accidents VALUES (json_extract(?1, '$.ID'), "
                           "json_extract(?1, '$.Severity'), json_extract(?1, '$.City'), "
                           "json_extract(?1, '$.County'), json_extract(?1, '$.State'))", -1, &add, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "SELECT severity, count(*) FROM accidents GROUP BY severity", -1, &select, NULL) !=
            SQLITE_OK)
        (void)pipeline_fail("cannot begin with SQL: %s", sqlite3_errmsg(db));
    else if (delivered_read(directory, add_line, add, &out->files) == 0 && (result = count(select, out)) != 0)
        (void)pipeline_fail("cannot count by SQL: %s", sqlite3_errmsg(db));
    (void)sqlite3_finalize(add);
    (void)sqlite3_finalize(select);
    (void)sqlite3_close(db);
    return result;
}
