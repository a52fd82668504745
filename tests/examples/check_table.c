/* Drive the keyed table of the examples (table.h), for its tests: check_table FILE, with one command a line on standard
 * input, its words set apart by tabs. In a key @ stands for a byte of zero.
 *
 *   put P S ITEM                       says added, same or other
 *   query CONDITION P S S2 LIMIT desc|asc AFTER|-     the items of a page, then "more" or "end"
 *   count | begin | commit | undo | die       die: as a kill, in the midst of a step */
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static table_text text_of(char *word)
{
    size_t size = strlen(word);

    for (char *at = word; at < word + size; at++)
        *at = (char)(*at == '@' ? 0 : *at);
    return (table_text){word, size};
}

static bool show(void *user, table_text sort, table_text item)
{
    (void)user;
    for (size_t i = 0; i < sort.size; i++)
        (void)putchar(sort.text[i] == 0 ? '@' : sort.text[i]);
    (void)printf("=%.*s\n", (int)item.size, item.text);
    return true;
}

static int query(keyed_table *table, char **words)
{
    static const char *const names[] = {"all", "=", "<", "<=", ">", ">=", "between", "begins"};
    table_query wanted = {.partition = text_of(words[2]), .sort = text_of(words[3]), .sort_last = text_of(words[4])};
    int more;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], words[1]) == 0)
            wanted.condition = (table_condition)i;
    wanted.limit = strtoul(words[5], NULL, 10);
    wanted.descending = strcmp(words[6], "desc") == 0;
    if (strcmp(words[7], "-") != 0)
        wanted.after = text_of(words[7]);
    more = table_query_run(table, &wanted, show, NULL);
    (void)puts(more == 1 ? "more" : more == 0 ? "end" : "failed");
    return more < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    static const char *const became[] = {"failed", "added", "same", "other"};
    table_file *file = argc == 2 ? tables_open(argv[1]) : NULL;
    keyed_table *table = file == NULL ? NULL : tables_table(file, "t");
    char line[4096], *words[9];
    int result = 0;

    if (table == NULL) {
        (void)fprintf(stderr, "check_table: %s\n", tables_error(file));
        return 1;
    }
    while (result == 0 && fgets(line, sizeof(line), stdin) != NULL) {
        char *rest = line;

        line[strcspn(line, "\n")] = 0;
        for (size_t i = 0; i < 9; i++)
            words[i] = rest == NULL ? line + strlen(line) : strsep(&rest, "\t");
        if (strcmp(words[0], "put") == 0)
            (void)puts(became[table_put(table, text_of(words[1]), text_of(words[2]), text_of(words[3])) + 1]);
        else if (strcmp(words[0], "query") == 0)
            result = query(table, words);
        else if (strcmp(words[0], "count") == 0)
            (void)printf("%lld\n", (long long)table_count(table));
        else if (strcmp(words[0], "begin") == 0)
            result = tables_begin(file);
        else if (strcmp(words[0], "commit") == 0)
            result = tables_commit(file);
        else if (strcmp(words[0], "undo") == 0)
            tables_undo(file);
        else if (strcmp(words[0], "die") == 0)
            _Exit(9);
    }
    if (result != 0)
        (void)fprintf(stderr, "check_table: %s\n", tables_error(file));
    tables_close(file);
    return result == 0 ? 0 : 1;
}
