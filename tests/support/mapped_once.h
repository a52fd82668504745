/* The system's files, each mapped once: for threads that play processes.
 *
 * The thread sanitizer knows memory by its address. Two processes that map one file have it at two addresses, and so
 * have two stores of one process, so what they do to it at the same time without an order is no race to the sanitizer,
 * nor is a lock that lies in it the same lock. Here every mapping of a file is a part of one, which stays until the
 * end: threads that have a store each share words, locks and windows by address as they share memory. What is read and
 * written by calls is told to the sanitizer as reads and writes of that mapping, and the locks of a file, which order
 * processes as well, as what orders threads. Without the sanitizer all of it is the system's files and nothing more.
 *
 *     mapped_once_begin();
 *     env.files = &mapped_once_files;     for as many stores as there are processes to be played
 *     mapped_once_end();                  when all are closed
 *
 * Programs that use it tell the sanitizer that calls on files order nothing (MAPPED_ONCE_SANITIZER_OPTIONS), which it
 * assumes of every write and every read, whatever the file. */
#ifndef LST_MAPPED_ONCE_H
#define LST_MAPPED_ONCE_H

#include "base/file.h"

extern lsi_files mapped_once_files;

void mapped_once_begin(void);
void mapped_once_end(void);

#define MAPPED_ONCE_SANITIZER_OPTIONS             \
    const char *__tsan_default_options(void);     \
    const char *__tsan_default_options(void)      \
    {                                             \
        return "io_sync=0";                       \
    }

#endif
