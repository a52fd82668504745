/* Keyed tables over SQLite: each a table without row ids, whose order on disk is that of the keys, byte by byte. */
#include "table.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct keyed_table {
    table_file *file;
    char name[64];
    sqlite3_stmt *get, *put;
    keyed_table *next;
};

struct table_file {
    sqlite3 *db;
    keyed_table *first;
    pthread_mutex_t lock; /* held by who is in a step, or looks */
    char error[256];
};

static char open_error[256];

static int fail(table_file *file)
{
    (void)snprintf(file->error, sizeof(file->error), "%s", sqlite3_errmsg(file->db));
    return -1;
}

static int say(table_file *file, const char *sql)
{
    return sqlite3_exec(file->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(file);
}

table_file *tables_open(const char *path)
{
    table_file *file = calloc(1, sizeof(*file));

    if (file == NULL) {
        (void)snprintf(open_error, sizeof(open_error), "no memory");
        return NULL;
    }
    (void)pthread_mutex_init(&file->lock, NULL);
    /* FULL: a commit is on the device when it returns. With less, a loss of power could take back what the mapping has
     * noted as done. A process that was killed leaves a log that the next one takes over. */
    if (sqlite3_open(path, &file->db) != SQLITE_OK || sqlite3_busy_timeout(file->db, 10000) != SQLITE_OK ||
        say(file, "PRAGMA journal_mode = WAL") != 0 || say(file, "PRAGMA synchronous = FULL") != 0) {
        (void)snprintf(open_error, sizeof(open_error), "%s", sqlite3_errmsg(file->db));
        tables_close(file);
        return NULL;
    }
    return file;
}

void tables_close(table_file *file)
{
    if (file == NULL)
        return;
    while (file->first != NULL) {
        keyed_table *table = file->first;

        file->first = table->next;
        (void)sqlite3_finalize(table->get);
        (void)sqlite3_finalize(table->put);
        free(table);
    }
    (void)sqlite3_close(file->db);  /* All that was committed is durable. */
    (void)pthread_mutex_destroy(&file->lock);
    free(file);
}

const char *tables_error(const table_file *file)
{
    return file == NULL ? open_error : file->error;
}

static sqlite3_stmt *prepare(table_file *file, const char *format, const char *name)
{
    sqlite3_stmt *statement = NULL;
    char sql[512];

    (void)snprintf(sql, sizeof(sql), format, name);
    if (sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL) != SQLITE_OK)
        (void)fail(file);
    return statement;
}

static bool is_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t size = strlen(name);

    return size > 0 && size < sizeof(((keyed_table *)0)->name) && strchr(letters, name[0]) != NULL &&
           strspn(name + strspn(name, letters), "0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") ==
               size - strspn(name, letters);
}

keyed_table *tables_table(table_file *file, const char *name)
{
    char sql[256];
    keyed_table *made;

    for (keyed_table *table = file->first; table != NULL; table = table->next)
        if (strcmp(table->name, name) == 0)
            return table;
    if (!is_name(name)) {
        (void)snprintf(file->error, sizeof(file->error), "'%s' is no name of a table", name);
        return NULL;
    }
    (void)snprintf(sql, sizeof(sql), "CREATE TABLE IF NOT EXISTS \"%s\" (partition TEXT NOT NULL, sort TEXT NOT NULL, "
                   "item TEXT NOT NULL, PRIMARY KEY (partition, sort)) WITHOUT ROWID", name);
    if (say(file, sql) != 0)
        return NULL;
    made = calloc(1, sizeof(*made));
    if (made == NULL) {
        (void)snprintf(file->error, sizeof(file->error), "no memory");
        return NULL;
    }
    (void)snprintf(made->name, sizeof(made->name), "%s", name);
    made->file = file;
    made->get = prepare(file, "SELECT item FROM \"%s\" WHERE partition = ?1 AND sort = ?2", name);
    made->put = prepare(file, "INSERT OR REPLACE INTO \"%s\" VALUES (?1, ?2, ?3)", name);
    made->next = file->first;
    file->first = made;
    return made->get == NULL || made->put == NULL ? NULL : made;
}

int tables_begin(table_file *file)
{
    (void)pthread_mutex_lock(&file->lock);
    if (say(file, "BEGIN IMMEDIATE") == 0)
        return 0;
    (void)pthread_mutex_unlock(&file->lock);
    return -1;
}

int tables_commit(table_file *file)
{
    int result = say(file, "COMMIT");

    if (result != 0)
        (void)sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL); /* Nothing to be undone is fine, too. */
    (void)pthread_mutex_unlock(&file->lock);
    return result;
}

void tables_undo(table_file *file)
{
    (void)sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL); /* An error may have undone it already. */
    (void)pthread_mutex_unlock(&file->lock);
}

/* Borrowed until the statement is reset. */
static int bind(sqlite3_stmt *statement, int at, table_text text)
{
    return sqlite3_bind_text(statement, at, text.size == 0 ? "" : text.text, (int)text.size, SQLITE_STATIC);
}

static table_text column(sqlite3_stmt *statement, int at)
{
    const char *text = (const char *)sqlite3_column_text(statement, at);  /* Before its size, as SQLite asks for. */

    return (table_text){text, (size_t)sqlite3_column_bytes(statement, at)};
}

int table_put(keyed_table *table, table_text partition, table_text sort, table_text item)
{
    int result = TABLE_ADDED, step;

    (void)bind(table->get, 1, partition);
    (void)bind(table->get, 2, sort);
    step = sqlite3_step(table->get);
    if (step == SQLITE_ROW) {
        table_text old = column(table->get, 0);

        result = old.size == item.size && memcmp(old.text, item.text, item.size) == 0 ? TABLE_REPLACED_SAME
                                                                                      : TABLE_REPLACED_OTHER;
    }
    (void)sqlite3_reset(table->get);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return fail(table->file);
    if (result == TABLE_REPLACED_SAME)
        return result;
    (void)bind(table->put, 1, partition);
    (void)bind(table->put, 2, sort);
    (void)bind(table->put, 3, item);
    step = sqlite3_step(table->put);
    (void)sqlite3_reset(table->put);
    return step == SQLITE_DONE ? result : fail(table->file);
}

static int64_t number_of(table_file *file, sqlite3_stmt *statement)
{
    int64_t number = statement != NULL && sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0)
                                                                                : fail(file);

    (void)sqlite3_finalize(statement);
    return number;
}

int64_t table_count(keyed_table *table)
{
    int64_t count;

    (void)pthread_mutex_lock(&table->file->lock);
    count = number_of(table->file, prepare(table->file, "SELECT count(*) FROM \"%s\"", table->name));
    (void)pthread_mutex_unlock(&table->file->lock);
    return count;
}

/* What each condition says of the sort key. */
static const char *const conditions[] = {
    [TABLE_ALL] = "1", [TABLE_EQUAL] = "sort = ?2", [TABLE_LESS] = "sort < ?2", [TABLE_LESS_OR_EQUAL] = "sort <= ?2",
    [TABLE_GREATER] = "sort > ?2", [TABLE_GREATER_OR_EQUAL] = "sort >= ?2",
    [TABLE_BETWEEN] = "sort BETWEEN ?2 AND ?3",
    /* By their bytes: SQLite's length() of a text ends at a byte of zero. */
    [TABLE_BEGINS_WITH] = "sort >= ?2 AND substr(hex(sort), 1, length(hex(?2))) = hex(?2)",
};

int table_query_run(keyed_table *table, const table_query *query, table_item_seen seen, void *user)
{
    sqlite3_stmt *statement = NULL;
    size_t shown = 0;
    char sql[512];
    int step;

    (void)snprintf(sql, sizeof(sql), "SELECT sort, item FROM \"%s\" WHERE partition = ?1 AND %s AND %s "
                   "ORDER BY sort %s", table->name, conditions[query->condition],
                   query->after.text == NULL ? "1" : query->descending ? "sort < ?4" : "sort > ?4",
                   query->descending ? "DESC" : "ASC");
    (void)pthread_mutex_lock(&table->file->lock);
    if (sqlite3_prepare_v2(table->file->db, sql, -1, &statement, NULL) != SQLITE_OK) {
        (void)fail(table->file);
        (void)pthread_mutex_unlock(&table->file->lock);
        return -1;
    }
    /* Those that the query has no use for are out of its range: that is no failure. */
    (void)bind(statement, 1, query->partition);
    (void)bind(statement, 2, query->sort);
    (void)bind(statement, 3, query->sort_last);
    (void)bind(statement, 4, query->after);
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        if (query->limit > 0 && shown == query->limit)
            break;
        shown++;
        if (!seen(user, column(statement, 0), column(statement, 1)))
            break;
    }
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        (void)fail(table->file);
    (void)sqlite3_finalize(statement);
    (void)pthread_mutex_unlock(&table->file->lock);
    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : -1;
}

/* Both are gone through in order of the keys, side by side. With `part`, what `a` has alone does not count. */
static int64_t compare(keyed_table *a, keyed_table *b, bool part)
{
    static const char sql[] = "SELECT partition, sort, item FROM \"%s\" ORDER BY partition, sort";
    sqlite3_stmt *left = prepare(a->file, sql, a->name), *right = prepare(b->file, sql, b->name);
    int left_step = left == NULL ? SQLITE_ERROR : sqlite3_step(left);
    int right_step = right == NULL ? SQLITE_ERROR : sqlite3_step(right);
    int64_t count = 0;

    while (left_step == SQLITE_ROW || right_step == SQLITE_ROW) {
        int order = left_step != SQLITE_ROW ? 1 : right_step != SQLITE_ROW ? -1 : 0;

        for (int i = 0; i < 2 && order == 0; i++) {
            table_text one = column(left, i), other = column(right, i);
            size_t least = one.size < other.size ? one.size : other.size;

            order = memcmp(one.text, other.text, least);
            if (order == 0)
                order = one.size < other.size ? -1 : one.size > other.size;
        }
        if (order == 0) {
            table_text one = column(left, 2), other = column(right, 2);

            count += one.size != other.size || memcmp(one.text, other.text, one.size) != 0;
        } else {
            count += order > 0 || !part;
        }
        if (order <= 0)
            left_step = sqlite3_step(left);
        if (order >= 0)
            right_step = sqlite3_step(right);
    }
    if (left_step != SQLITE_DONE)
        count = fail(a->file);
    if (right_step != SQLITE_DONE)
        count = fail(b->file);
    (void)sqlite3_finalize(left);
    (void)sqlite3_finalize(right);
    return count;
}

int64_t tables_differ(keyed_table *a, keyed_table *b)
{
    return compare(a, b, false);
}

int64_t tables_lack(keyed_table *whole, keyed_table *part)
{
    return compare(whole, part, true);
}
