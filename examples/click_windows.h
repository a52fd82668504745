/* The clicks of a stream by the minute in which they happened, and by what they were: windows over event time. */
#ifndef EXAMPLES_CLICK_WINDOWS_H
#define EXAMPLES_CLICK_WINDOWS_H

#include <libstream/libstream.h>

#define CLICK_MINUTES_MAX 1440
#define CLICK_ACTIONS_MAX 16

typedef struct click_minute {
    int64_t start_ms;
    uint64_t events, carts;
} click_minute;

typedef struct click_windows {
    char actions[CLICK_ACTIONS_MAX][64]; /* the first ones that were met, and how often each was */
    uint64_t action_counts[CLICK_ACTIONS_MAX];
    click_minute minutes[CLICK_MINUTES_MAX]; /* in order; of a longer time the first ones */
    size_t count;
    double cart_price;                       /* of what was put into carts */
} click_windows;

/* All that is in the stream, each time anew: nothing is stored under a name. `windows` is zero. 0, or -1: said. */
int click_windows_count(ls_stream *stream, click_windows *windows);

#endif
