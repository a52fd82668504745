/* Keyed tables in a file, as Amazon DynamoDB has them: an item has a partition key and a sort key, both strings, and
 * putting it replaces the one with the same two keys, whole. So it does not matter whether a batch is handled once or
 * again: the table is the same. What was replaced is counted, since two things under one key would do so unseen.
 *
 * Over SQLite. A batch's puts are one durable step: tables_begin, table_put ..., tables_commit. */
#ifndef EXAMPLES_TABLE_H
#define EXAMPLES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct table_file table_file; /* A file of tables. */
typedef struct keyed_table keyed_table;

/* NULL: failed, tables_error(NULL) says why. The path "" is a temporary file, which goes with them. Writes are durable
 * when tables_commit returns. Any thread may use the tables, one at a time: tables_begin waits for the others. */
table_file *tables_open(const char *path);
void tables_close(table_file *tables);             /* NULL is accepted. */
const char *tables_error(const table_file *tables); /* What failed last. */

/* The table of that name ([A-Za-z][A-Za-z0-9_]*), made if it is not there. NULL: failed. Lives as long as the file is
 * open. Not between tables_begin and its end. */
keyed_table *tables_table(table_file *tables, const char *name);

/* 0, or -1. What a step has done is undone by tables_undo, by a kill, and when a commit fails. */
int tables_begin(table_file *tables);
int tables_commit(table_file *tables);
void tables_undo(table_file *tables);

typedef struct table_text {
    const char *text;
    size_t size;
} table_text;

/* What became of a put. */
enum { TABLE_FAILED = -1, TABLE_ADDED, TABLE_REPLACED_SAME, TABLE_REPLACED_OTHER };

/* Within a step. */
int table_put(keyed_table *table, table_text partition, table_text sort, table_text item);

/* How many items the table has, or -1. */
int64_t table_count(keyed_table *table);

/* Which sort keys a query wants. Keys are compared byte by byte: "a" and "A" differ. */
typedef enum table_condition {
    TABLE_ALL, TABLE_EQUAL, TABLE_LESS, TABLE_LESS_OR_EQUAL, TABLE_GREATER, TABLE_GREATER_OR_EQUAL,
    TABLE_BETWEEN,    /* `sort` and `sort_last`, both included */
    TABLE_BEGINS_WITH
} table_condition;

typedef struct table_query {
    table_text partition;
    table_condition condition;
    table_text sort, sort_last;
    bool descending;
    size_t limit;      /* of items in this page; 0: none */
    table_text after;  /* The sort key that the page before ended with; its `text` NULL: the first page. */
} table_query;

/* Called for each item, in order of the sort key. Views. False ends the page. */
typedef bool (*table_item_seen)(void *user, table_text sort, table_text item);

/* One page of the items with a partition key. 1: there may be more, behind the last one that was shown; 0: there is
 * none; -1: failed. */
int table_query_run(keyed_table *table, const table_query *query, table_item_seen seen, void *user);

/* How many items `a` and `b`, of any two files, do not have alike, or -1. */
int64_t tables_differ(keyed_table *a, keyed_table *b);

/* How many items of `part` the other one has not alike, or -1. */
int64_t tables_lack(keyed_table *whole, keyed_table *part);

#endif
