/* A directory of one's own, for a store that is not to stay. */
#ifndef EXAMPLES_TEMPORARY_H
#define EXAMPLES_TEMPORARY_H

#define TEMPORARY_PATH_BYTES 512

/* Made in $TMPDIR, or in /var/tmp, which unlike /tmp is on a disk everywhere. 0, or -1 with errno set. */
int temporary_make(const char *name, char path[TEMPORARY_PATH_BYTES]);

/* Removes it with all that is in it; it follows no links. 0, or -1 with errno set. An empty path is accepted. */
int temporary_remove(const char *path);

#endif
