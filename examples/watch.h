/* Watch a directory for files that are dropped into it: those that were written and closed, moved there, or linked
 * there, whose names end as asked for (a.txt is not a.TXT), and at first those that are there already. One that
 * somebody writes then is told when it is closed: where that is not told, as of a file of O_TMPFILE that was linked
 * before, it is looked at again until it is whole or gone, after 100 ms first and after a second at last. One that is
 * written anew later, or in two goes, is told each time: who drops files writes them elsewhere and moves them in. */
#ifndef EXAMPLES_WATCH_H
#define EXAMPLES_WATCH_H

#include <limits.h>
#include <stdbool.h>

typedef struct dir_watch dir_watch;

/* Whether a name ends so. */
bool watch_is_wanted(const char *suffix, const char *name);

/* NULL with errno set. `path` and `suffix` live as long as the watch. */
dir_watch *watch_open(const char *path, const char *suffix);
void watch_close(dir_watch *watch); /* NULL is accepted. */

/* The name of the next file, within the directory; it may be gone by now. 1; 0: none has come for `timeout_ms`, or a
 * signal handler ran; -1 with errno set, ENOENT when the directory itself was removed or moved. A file may be told
 * again, and when more came at once than the system keeps all that are there are: whoever must take each once compares
 * their times. */
int watch_next(dir_watch *watch, int timeout_ms, char name[NAME_MAX + 1]);

/* Lets the next call look again at all that were being written, without a wait: before one ends. */
void watch_look_now(dir_watch *watch);

#endif
