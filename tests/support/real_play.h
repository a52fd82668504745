/* Between a sim's disk (sim_files.h) and a real directory: what a sim's log says, done there by the system's table,
 * call for call; and what stands in a directory, as a sim's disk.
 *
 * One thread. Calls that answer an int answer -errno. */
#ifndef LST_REAL_PLAY_H
#define LST_REAL_PLAY_H

#include "support/sim_files.h"

typedef struct real_play real_play;

/* `sim` is borrowed until the end; the directory `path` is made. Files stay open from their first use until they have
 * no name any more, as the library's do from write to sync. */
int real_play_begin(sim_files *sim, const char *path, real_play **out);
int real_play_next(real_play *of); /* does one operation of the log: the next one; 1: there is none */
int real_play_end(real_play *of);  /* closes all; the first error */

/* A sim whose disk is what stands in the directory, all of it durable. NULL: `what` says what cannot be read. */
sim_files *real_load(const char *path, char what[256]);

#endif
