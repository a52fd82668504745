/* The storm's setter: registers and deregisters consumers of the stream that all others use, and sets its retention,
 * mode and tags. What was acknowledged is as it was set; what somebody was about when he died is there whole or not at
 * all. By the mode it also stops and starts the automatic scaling, which is on from the beginning. */
#include "harness/h4.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOURS_MOST 25u

/* ---- consumers ---- */

static void consumer_name(uint32_t k, char into[32])
{
    (void)snprintf(into, 32, "consumer-%u", k);
}

static void check_consumer(ls_stream *stream, uint32_t k)
{
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    uint32_t was = atomic_load(&storm->registered[k]);
    uint64_t had = atomic_load(&storm->registered_id[k]), highest = atomic_load(&storm->consumer_id);
    char name[32];
    ls_status st;

    consumer_name(k, name);
    st = ls_consumer_describe(stream, name, &info);
    if ((st != LS_OK && st != LS_ERR_NOT_FOUND) || (was == STORM_PRESENT && st != LS_OK) ||
        (was == STORM_ABSENT && st != LS_ERR_NOT_FOUND)) {
        storm_violation("%s is %s, describing it says %s: %s", name,
                        was == STORM_PRESENT ? "registered" : "not registered", ls_status_name(st),
                        ls_last_error_message());
        return;
    }
    if (st == LS_OK && (was == STORM_CREATING ? info.id <= highest : info.id != had))
        storm_violation("%s has the id %" PRIu64 ", it had %" PRIu64 " and the last that was given is %" PRIu64, name,
                        info.id, had, highest);
    if (st == LS_OK && (info.status != LS_CONSUMER_ACTIVE || info.created_us == 0 || strcmp(info.name, name) != 0))
        storm_violation("%s is half registered", name);
    if (st == LS_OK && info.id > highest)
        atomic_store(&storm->consumer_id, info.id);
    atomic_store(&storm->registered_id[k], info.id);
    atomic_store(&storm->registered[k], st == LS_OK ? STORM_PRESENT : STORM_ABSENT);
}

static ls_status change_consumer(ls_stream *stream, uint64_t *random)
{
    uint32_t k = (uint32_t)storm_random_below(random, STORM_REGISTERED);
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    char name[32];
    ls_status st;

    consumer_name(k, name);
    if (atomic_load(&storm->registered[k]) == STORM_PRESENT) {
        atomic_store(&storm->registered[k], STORM_DELETING);
        st = ls_consumer_deregister(stream, name);
        if (st == LS_OK)
            atomic_store(&storm->registered[k], STORM_ABSENT);
        return st;
    }
    atomic_store(&storm->registered[k], STORM_CREATING);
    st = ls_consumer_register(stream, name, &info);
    if (st != LS_OK)
        return st;
    if (info.id <= atomic_load(&storm->consumer_id))
        storm_violation("%s is given the id %" PRIu64 " again", name, info.id);
    atomic_store(&storm->registered_id[k], info.id);
    atomic_store(&storm->registered[k], STORM_PRESENT);
    atomic_store(&storm->consumer_id, info.id);
    return st;
}

/* ---- settings ---- */

/* Both tags are set by one call. */
static uint64_t tags_value(ls_stream *stream)
{
    uint64_t values[2] = {0, 0};
    ls_tag_list *list = NULL;

    if (ls_stream_list_tags(stream, NULL, 0, &list) != LS_OK) {
        storm_violation("the tags cannot be listed: %s", ls_last_error_message());
        return 0;
    }
    for (uint32_t i = 0; i < ls_tag_list_count(list); i++)
        values[strcmp(ls_tag_list_at(list, i).key, "second") == 0] = strtoull(ls_tag_list_at(list, i).value, NULL, 10);
    ls_tag_list_free(list);
    if (values[0] != values[1])
        storm_violation("the tags that were set together are %" PRIu64 " and %" PRIu64, values[0], values[1]);
    return values[0];
}

static void check_value(uint32_t setting, uint64_t value)
{
    static const char *const names[STORM_SETTINGS] = {"retention_hours", "mode", "tags"};
    storm_setting *of = &storm->settings[setting];

    if (value != atomic_load(&of->made) && value != atomic_load(&of->begun))
        storm_violation("%s is %" PRIu64 ", it was %" PRIu64 " and was to be %" PRIu64, names[setting], value,
                        atomic_load(&of->made), atomic_load(&of->begun));
    /* Who was about to set it is dead: so it stays. */
    atomic_store(&of->begun, value);
    atomic_store(&of->made, value);
}

void storm_check_settings(ls_stream *stream)
{
    ls_stream_description *about = NULL;

    if (ls_stream_describe(stream, &about) != LS_OK) {
        storm_violation("describing the stream: %s", ls_last_error_message());
        return;
    }
    check_value(STORM_HOURS, ls_stream_description_retention_hours(about));
    check_value(STORM_MODE, (uint64_t)ls_stream_description_mode(about));
    ls_stream_description_free(about);
    check_value(STORM_TAGS, tags_value(stream));
    for (uint32_t k = 0; k < STORM_REGISTERED; k++)
        check_consumer(stream, k);
}

static ls_status change_setting(ls_stream *stream, uint32_t setting, uint64_t *random)
{
    storm_setting *of = &storm->settings[setting];
    uint64_t was = atomic_load(&of->made), value = was + 1;
    char text[24];
    ls_tag tags[2] = {{"first", text}, {"second", text}};
    ls_status st;

    if (setting == STORM_HOURS)
        value = 24 + (was - 24 + 1 + storm_random_below(random, HOURS_MOST - 1)) % HOURS_MOST;
    else if (setting == STORM_MODE)
        value = was == LS_STREAM_ON_DEMAND ? LS_STREAM_PROVISIONED : LS_STREAM_ON_DEMAND;
    atomic_store(&of->begun, value);
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    if (setting == STORM_TAGS)
        st = ls_stream_add_tags(stream, tags, 2);
    else if (setting == STORM_MODE)
        st = ls_stream_set_mode(stream, (ls_stream_mode)value);
    else if (value > was)
        st = ls_stream_increase_retention(stream, (uint32_t)value);
    else
        st = ls_stream_decrease_retention(stream, (uint32_t)value);
    if (st == LS_OK)
        atomic_store(&of->made, value);
    return st;
}

void storm_change_settings(uint64_t *random, storm_plan *plan)
{
    storm_child *state = &storm->child[STORM_SETTER];
    ls_store *store = storm_open_store(plan, state);
    ls_stream *stream = storm_open_stream(store, state);

    while (atomic_load(&storm->stop) == 0) {
        uint32_t kind = (uint32_t)storm_random_below(random, 2 * STORM_SETTINGS);

        storm_check_settings(stream);
        if (atomic_load(&storm->settings[STORM_MODE].made) == LS_STREAM_PROVISIONED)
            kind = STORM_MODE; /* Not for long: then no shard is scaled. */
        storm_call clock = storm_call_begins(state, storm_set.wait_us);
        ls_status st = kind < STORM_SETTINGS ? change_setting(stream, kind, random) : change_consumer(stream, random);
        storm_call_ends(&clock, "changing what is set", storm_set.wait_us);
        if (st != LS_OK) {
            storm_violation("changing what is set (%u): %s: %s", kind, ls_status_name(st), ls_last_error_message());
            _exit(3);
        }
        atomic_fetch_add(&storm->changes, 1);
        (void)usleep((useconds_t)storm_random_below(random, 20000));
    }
    storm_close(store, stream, NULL, NULL);
}
