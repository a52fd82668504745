/* Ending by a signal: the handler sets a number, the command looks at it between its steps, says how far it came and
 * ends. The second signal ends it at once, as if nobody had caught it: a step may take long. */
#include "cli/cli.h"

#include <signal.h>
#include <string.h>

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
