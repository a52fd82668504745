/* What a delivery has put into a directory: all files beneath it, line by line. */
#ifndef EXAMPLES_DELIVERED_H
#define EXAMPLES_DELIVERED_H

#include <stddef.h>

/* Called for each line, without its end; `path` begins behind the directory. Not 0 ends it. */
typedef int (*delivered_line)(const char *path, const char *line, size_t size, void *user);

/* Files are read in order of their paths. A directory that is not there has none. `*files` counts them. 0, or -1: said,
 * or `seen` has ended it. */
int delivered_read(const char *directory, delivered_line seen, void *user, size_t *files);

#endif
