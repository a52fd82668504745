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

/* This process, as it sees itself: for showing, never for telling whether it lives (P6). */
int32_t lsi_process_id(void);

#endif
