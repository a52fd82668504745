/* The generator of clicks. */
#include "click_events.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* A random UUID, version 4. */
static void draw_uuid(made_up *rows, char text[40])
{
    uint32_t parts[4];

    for (int i = 0; i < 4; i++)
        parts[i] = (uint32_t)made_up_draw(rows, UINT64_C(1) << 32);
    (void)snprintf(text, 40, "%08" PRIx32 "-%04" PRIx32 "-4%03" PRIx32 "-%x%03" PRIx32 "-%04" PRIx32 "%08" PRIx32,
                   parts[0], parts[1] >> 16, parts[1] & 0xfff, 8 + (parts[2] >> 30), parts[2] >> 16 & 0xfff,
                   parts[2] & 0xffff, parts[3]);
}

static void make_event(made_up *rows, uint64_t row)
{
    click_events *events = (click_events *)(void *)rows;  /* Its first member. */
    uint64_t weight, item, cents;
    time_t now = time(NULL);
    char session_id[40], at[32];
    const char *action;
    struct tm date;

    draw_uuid(rows, events->user_id);
    draw_uuid(rows, session_id);
    weight = made_up_draw(rows, 10);
    item = made_up_draw(rows, 900) + 100;
    cents = made_up_draw(rows, 9001) + 1000;
    action = weight < 2 ? "login" : weight < 5 ? "view_item" : weight < 9 ? "add_to_cart" : "checkout";
    (void)gmtime_r(&now, &date);
    (void)strftime(at, sizeof(at), "%Y-%m-%d %H:%M:%S", &date);
    made_up_say(rows, "{\"timestamp\":\"%s\",\"user_id\":\"%s\",\"session_id\":\"%s\",\"action\":\"%s\"", at,
                events->user_id, session_id, action);
    /* Of `count` events the one is broken in which the multiples of `broken` pass one of `count`. */
    if ((row + 1) * events->broken / rows->count > row * events->broken / rows->count)
        return;
    if (weight < 2)
        made_up_say(rows, ",\"item_id\":null,\"price\":null}");
    else
        made_up_say(rows, ",\"item_id\":%" PRIu64 ",\"price\":%" PRIu64 ".%02" PRIu64 "}", item, cents / 100,
                    cents % 100);
}

void click_events_begin(click_events *events, uint64_t seed, uint64_t count, uint64_t broken)
{
    made_up_begin(&events->rows, seed, count, NULL, make_event);
    events->broken = broken;
}

const char *click_events_next(click_events *events, size_t *size)
{
    return made_up_next(&events->rows, size);
}
