/* Drops made-up files into a directory, on a thread of its own: each is written under another name and moved into
 * place. The same files for the same seed; one that is there already is not made again. */
#ifndef EXAMPLES_FILE_DROPPER_H
#define EXAMPLES_FILE_DROPPER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct file_dropper {
    const char *directory;
    uint64_t files, seed, rate;  /* how many, of which seed, how many a second (0: no waiting), */
    uint64_t batch;              /* and at a time */
    pthread_t thread;
    int ended;                   /* Written by its thread, read by others: atomically. */
    int result;                  /* its thread's, for file_dropper_wait */
} file_dropper;

int file_dropper_begin(file_dropper *dropper); /* 0, or -1: said. */
bool file_dropper_has_ended(const file_dropper *dropper);
int file_dropper_wait(file_dropper *dropper); /* Until it has ended. 0, or -1: a file could not be dropped; said. */
void file_dropper_name(uint64_t number, char name[32]); /* of a file, from 1 */

#endif
