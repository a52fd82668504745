/* Made-up clicks of a shop, one JSON object a line, with the fields and weights of the seed: timestamp (now, UTC),
 * user_id and session_id (UUIDs, new ones for each event), action (login 0.2, view_item 0.3, add_to_cart 0.4,
 * checkout 0.1), item_id (100..999) and price (10.00..100.00), both null of a login. */
#ifndef EXAMPLES_CLICK_EVENTS_H
#define EXAMPLES_CLICK_EVENTS_H

#include "made_up.h"

/* `broken` of them, spread evenly, are cut off in the middle. */
typedef struct click_events {
    made_up rows;    /* first: a row's maker finds the rest behind it */
    uint64_t broken;
    char user_id[40]; /* of the last event */
} click_events;

void click_events_begin(click_events *events, uint64_t seed, uint64_t count, uint64_t broken);

/* The next event, without a line end; NULL behind the last one. A view until the next call. */
const char *click_events_next(click_events *events, size_t *size);

#endif
