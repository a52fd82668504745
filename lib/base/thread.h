/* Threads of the library: only where the caller asked for something that needs one; named "ls-..."; every signal
 * blocked, so that none is taken away from the application. */
#ifndef LSI_BASE_THREAD_H
#define LSI_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

typedef struct lsi_thread {
    pthread_t id;
    int started;
} lsi_thread;

/* 0 or -errno. `name` is at most 15 bytes. */
int lsi_thread_start(lsi_thread *thread, const char *name, void (*run)(void *user), void *user);
void lsi_thread_join(lsi_thread *thread); /* Accepts one that was never started. */

/* For tests: lsi_thread_start() asks `answer` from now on, instead of making a thread, and answers what it says: 0 is a
 * thread that never gets a processor, -errno one that cannot be had. NULL: threads again. Not while one is started. */
void lsi_thread_pretend(int (*answer)(void *user, const char *name), void *user);

/* This process, as it sees itself: for showing, never for telling whether it lives (P6). */
int32_t lsi_process_id(void);

#endif
