/* Tumbling windows end at multiples of their length by the wall clock, whenever a test runs. Where it counts what is
 * handled of a window, all that it puts is to lie in one. */
#ifndef LST_ONE_WINDOW_H
#define LST_ONE_WINDOW_H

#include <stdint.h>
#include <time.h>
#include <unistd.h>

/* Windows of 15 minutes: waits, where one ends within as many seconds as putting takes, until the next one begins. */
static inline void wait_for_one_window(void)
{
    while (time(NULL) % 900 >= 900 - 15)
        (void)usleep(100000);
}

#endif
