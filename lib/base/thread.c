/* Starting and joining a thread of the library.
 *
 * A thread starts with every signal blocked, from its first instruction on: the mask is set in the starter and is
 * inherited, so no signal of the application is ever delivered here. What the thread is to do lies on the starter's
 * stack, and the starter waits until the thread has copied it: no allocation, and a `lsi_thread` may be moved. */
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define NAME_BYTES 16 /* the kernel's limit, with the terminator */

typedef struct start {
    void (*run)(void *user);
    void *user;
    sem_t copied;
} start;

static int (*pretended)(void *user, const char *name);
static void *pretended_user;

void lsi_thread_pretend(int (*answer)(void *user, const char *name), void *user)
{
    pretended = answer;
    pretended_user = user;
}

static void *thread_main(void *argument)
{
    start *from = argument;
    void (*run)(void *user) = from->run;
    void *user = from->user;

    (void)sem_post(&from->copied); /* Cannot overflow at 1. `from` is gone after this. */
    run(user);
    return NULL;
}

int lsi_thread_start(lsi_thread *thread, const char *name, void (*run)(void *user), void *user)
{
    start what = {.run = run, .user = user};
    sigset_t all, before;
    int err;

    assert(strlen(name) < NAME_BYTES);
    thread->started = 0;
    if (pretended != NULL)
        return pretended(pretended_user, name);
    if (sem_init(&what.copied, 0, 0) != 0)
        return -errno;
    (void)sigfillset(&all); /* Neither fails with a valid set and a valid `how`. */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&thread->id, NULL, thread_main, &what);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err == 0) {
        while (sem_wait(&what.copied) != 0)
            continue; /* EINTR only: a handler of the application ran. */
        thread->started = 1;
        (void)pthread_setname_np(thread->id, name); /* A name is for people; going without is no failure. */
    }
    (void)sem_destroy(&what.copied); /* Nobody waits on it any more. */
    return -err;
}

void lsi_thread_join(lsi_thread *thread)
{
    if (!thread->started)
        return;
    (void)pthread_join(thread->id, NULL); /* Fails only for a thread that is not ours to join. */
    thread->started = 0;
}

int32_t lsi_process_id(void)
{
    return (int32_t)getpid();
}
