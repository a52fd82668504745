/* What notes call a file that rows are read of (feed.h), so that each of its rows is taken once, and those of a file
 * that took its place, too.
 *
 * A note's last word says which file it is of: its size, its time and a sum of its content. One that has another size
 * or time, but begins with that content, has grown, or was touched: it is read on. Any other is another file, whose
 * notes have a name of their own. The word ends with where the file ended, if its last row had no line end, and how
 * many rows were read again: when a file has grown in the midst of such a row, that one is put once more, whole. */
#ifndef EXAMPLES_SOURCE_NAME_H
#define EXAMPLES_SOURCE_NAME_H

#include "feed.h"

#include <sys/stat.h>

#define SOURCE_KEY_BYTES 800 /* of less than 200 characters */

typedef struct source_name {
    char text[SOURCE_KEY_BYTES + 16]; /* a partition key */
    char version[96];                 /* what the note's last word begins with; "" of what is no file */
    uint64_t again;                   /* rows that the note counts and the file does not have: halves of others */
} source_name;

#define SOURCE_WORD_BYTES 144

/* The note's last word. `cut_at`: where the file ended if that was in the row that was read last; else 0. */
void source_word(const source_name *name, uint64_t cut_at, char word[SOURCE_WORD_BYTES]);

/* Of a file that is there. Says it when another one was read under this path. What is no file, a pipe, has no version:
 * it is read on where the last one of that path ended, and that is said. 0, or -1: said. */
int source_name_find(const row_feed *feed, const char *path, source_name *name);

/* Size and time of a file. */
void source_version(const struct stat *file, char version[64]);

/* The text itself, or, of one that is too long or not UTF-8, one that no other text has. */
void source_key(const char *text, char key[SOURCE_KEY_BYTES]);

/* That none of these files is there twice, by whatever names: 0, or -1: said. What is no file is nobody's twin. */
int source_check_files(char *const *files, int count);

#endif
