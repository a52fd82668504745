/* Ending by a signal: the handler sets a number, the command looks at it between its steps, says how far it came and
 * ends. The second signal ends it at once, as if nobody had caught it: a step may take long. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t signal_number;

static void note_signal(int number)
{
    signal_number = number;
}

void lsi_signals_catch(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = note_signal;
    action.sa_flags = (int)SA_RESETHAND; /* Without SA_RESTART: waits shall end. */
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

int lsi_signal_number(void)
{
    return signal_number;
}

int lsi_watch_begin(lsi_watch *watch, void *(*look)(void *user), void *user)
{
    sigset_t signals;
    int err;

    /* A program that is run, and what it leaves behind, must not hold it: a closed end would then say nothing. */
    if (pipe2(watch->over, O_CLOEXEC) != 0)
        return errno;
    err = pthread_create(&watch->thread, NULL, look, user);
    if (err != 0) {
        (void)close(watch->over[0]);
        (void)close(watch->over[1]);
        return err;
    }
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, &watch->before);
    return 0;
}

bool lsi_watch_is_over(const lsi_watch *watch, int slice_ms)
{
    struct pollfd over = {watch->over[0], POLLIN, 0};

    return poll(&over, 1, slice_ms) > 0;
}

void lsi_watch_end(lsi_watch *watch)
{
    (void)close(watch->over[1]); /* That is what it waits for. */
    (void)pthread_join(watch->thread, NULL);
    (void)close(watch->over[0]);
    (void)pthread_sigmask(SIG_SETMASK, &watch->before, NULL);
}
