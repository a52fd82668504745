/* Inside base, for file.c: whose the files and directories are that the system's table makes. */
#ifndef LSI_BASE_FILE_OWNER_H
#define LSI_BASE_FILE_OWNER_H

/* Gives `fd`, which this process has just made beneath the directory `root_fd`, to whom that directory belongs.
 * Never fails: what is not permitted is left as it is, and never grants more than the directory does. */
void lsi_file_give(int root_fd, int fd);

/* Makes the directory `name` in `parent_fd`, which lies beneath `root_fd` or is it. 0 or -errno. */
int lsi_file_make_dir(int root_fd, int parent_fd, const char *name);

#endif
