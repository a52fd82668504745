/* A write to a broken pipe raises it on the thread that wrote: blocked there, it stays pending until it is fetched. One
 * that was pending before is the application's, and stays. */
#include "base/sigpipe.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

void lsi_sigpipe_hold(lsi_sigpipe *held)
{
    sigset_t set, before;

    (void)sigemptyset(&set); /* None of these can fail with such arguments. */
    (void)sigpending(&set);
    held->was_pending = sigismember(&set, SIGPIPE) == 1;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &set, &before);
    held->was_blocked = sigismember(&before, SIGPIPE) == 1;
}

void lsi_sigpipe_let_go(const lsi_sigpipe *held)
{
    const struct timespec at_once = {0, 0};
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    if (!held->was_pending)
        while (sigtimedwait(&set, NULL, &at_once) >= 0)
            ;
    if (!held->was_blocked)
        (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
