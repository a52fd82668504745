/* What was set of a stream, setting by setting: retention, mode, tags, registered consumers and so on. See truth.h.
 *
 * A change is durable when it is acknowledged. So after a crash a setting is as the last acknowledged change of it left
 * it, or as one that was begun after that: whole, with everything else that its call set. */
#include "harness/truth.h"

#include <stdio.h>
#include <stdlib.h>

#define BROKEN(...) (snprintf(what, 256, __VA_ARGS__), false)

uint32_t truth_setting_begin(truth *of, uint32_t stream, uint32_t setting, uint64_t value, uint32_t group, size_t at)
{
    if (of->setting_count == of->setting_capacity) {
        of->setting_capacity = of->setting_capacity * 2 + 16;
        of->settings = realloc(of->settings, of->setting_capacity * sizeof(*of->settings));
        if (of->settings == NULL)
            abort();
    }
    of->settings[of->setting_count] = (setting_fact){.stream = stream, .setting = setting, .value = value,
                                                     .group = group, .begun_at = at, .made_at = NEVER,
                                                     .gone_at = NEVER, .copied_at = NEVER};
    return (uint32_t)of->setting_count++;
}

static const char *name_of(uint32_t setting, char into[32])
{
    static const char *const names[TRUTH_TAG] = {"retention_hours", "retention_bytes", "mode", "record_bytes_max",
                                                 "automatic scaling", "key", "compression"};

    if (setting < TRUTH_TAG)
        return names[setting];
    if (setting >= TRUTH_PENDING)
        (void)snprintf(into, 32, "prepared-%u", setting - TRUTH_PENDING);
    else if (setting >= TRUTH_LEASE)
        (void)snprintf(into, 32, "checkpoint-%u", setting - TRUTH_LEASE);
    else if (setting >= TRUTH_STATE)
        (void)snprintf(into, 32, "state-%u", setting - TRUTH_STATE);
    else
        (void)snprintf(into, 32, setting < TRUTH_CONSUMER ? "tag-%u" : "consumer-%u",
                       setting < TRUTH_CONSUMER ? setting - TRUTH_TAG : setting - TRUTH_CONSUMER);
    return into;
}

/* Begun before `at`, and not known to have come to nothing. */
static bool is_possible(const setting_fact *fact, uint32_t stream, uint32_t setting, size_t at)
{
    return fact->stream == stream && fact->setting == setting && fact->begun_at < at && fact->gone_at > at;
}

bool truth_is_id_of_another(const truth *of, size_t index, uint64_t id)
{
    for (size_t i = 0; i < of->setting_count; i++)
        if (i != index && of->settings[i].id == id)
            return true;
    return false;
}

/* A consumer that is registered anew is another one (consumer.h). */
static bool is_shown(const truth *of, size_t index, const truth_shown_setting *as_read)
{
    const setting_fact *fact = &of->settings[index];

    if (fact->value != as_read->value)
        return false;
    if (as_read->id == 0 || fact->id != 0)
        return as_read->id == 0 || fact->id == as_read->id;
    return !truth_is_id_of_another(of, index, as_read->id);
}

/* Whether the setting was something else before, whatever came of what was left open. */
static bool is_distinct(const truth *of, size_t index, size_t at)
{
    const setting_fact *fact = &of->settings[index];
    bool distinct = of->streams[fact->stream].settings[fact->setting] != fact->value;

    for (size_t i = 0; i < index; i++)
        if (is_possible(&of->settings[i], fact->stream, fact->setting, at))
            distinct = (distinct || of->settings[i].made_at <= at) && of->settings[i].value != fact->value;
    return distinct;
}

/* Of a call that set several things none is there without the others, but where another change came after it. */
static bool check_groups(const truth *of, uint32_t stream, const truth_shown_setting *as_read, size_t at,
                         char what[256])
{
    uint32_t group = 0;
    bool was_shown = false;
    char name[32];

    for (size_t i = 0; i < of->setting_count; i++) {
        const setting_fact *fact = &of->settings[i];
        bool is_last = is_possible(fact, stream, fact->setting, at), is_there;

        for (size_t k = i + 1; is_last && k < of->setting_count; k++)
            is_last = !is_possible(&of->settings[k], stream, fact->setting, at);
        if (!is_last || fact->group == 0 || !is_distinct(of, i, at))
            continue;
        is_there = is_shown(of, i, &as_read[fact->setting]);
        if (fact->group == group && is_there != was_shown)
            return BROKEN("of one call's settings %s is %sas it was set, and others are%s",
                          name_of(fact->setting, name), is_there ? "" : "not ", is_there ? " not" : "");
        group = fact->group;
        was_shown = is_there;
    }
    return true;
}

static bool check_one(truth *of, uint32_t stream, uint32_t setting, const truth_shown_setting *as_read, size_t at,
                      bool power, size_t now, char what[256])
{
    uint64_t wanted = of->streams[stream].settings[setting];
    size_t base = NEVER, found = NEVER;
    bool as_created;
    char name[32];

    for (size_t i = 0; i < of->setting_count; i++)
        if (is_possible(&of->settings[i], stream, setting, at) && of->settings[i].made_at <= at)
            base = i;
    if (base != NEVER) {
        wanted = of->settings[base].value;
        if (is_shown(of, base, as_read))
            found = base;
    }
    as_created = base == NEVER && as_read->value == wanted; /* One that sets it to that may have come to nothing. */
    for (size_t i = base != NEVER ? base + 1 : 0; i < of->setting_count && found == NEVER && !as_created; i++)
        if (is_possible(&of->settings[i], stream, setting, at) && is_shown(of, i, as_read))
            found = i;
    if (found == NEVER && !as_created)
        return BROKEN("D6: %s of stream '%s' is %llu (id %llu); it was set to %llu", name_of(setting, name),
                      of->streams[stream].name, (unsigned long long)as_read->value, (unsigned long long)as_read->id,
                      (unsigned long long)wanted);
    for (size_t i = base != NEVER ? base + 1 : 0; i < of->setting_count && power; i++) /* Else it may come yet. */
        if (i != found && is_possible(&of->settings[i], stream, setting, at) && of->settings[i].gone_at > now)
            of->settings[i].gone_at = now;
    if (found != NEVER) {
        setting_fact *fact = &of->settings[found];

        fact->made_at = fact->made_at < now ? fact->made_at : now;
        fact->id = as_read->id;
    }
    return true;
}

bool truth_check_settings(truth *of, uint32_t stream, const truth_shown_setting as_read[TRUTH_SETTINGS], size_t at,
                          bool power, size_t now, char what[256])
{
    if (!check_groups(of, stream, as_read, at, what))
        return false;
    for (uint32_t setting = 0; setting < TRUTH_SETTINGS; setting++)
        if (!check_one(of, stream, setting, &as_read[setting], at, power, now, what))
            return false;
    return true;
}

bool truth_may_scale(const truth *of, uint32_t stream)
{
    for (size_t i = 0; i < of->setting_count; i++)
        if (of->settings[i].stream == stream && of->settings[i].setting == TRUTH_SCALING &&
            of->settings[i].begun_at != NEVER && of->settings[i].value != 0)
            return true;
    return false;
}

bool truth_has_consumers(const truth *of, uint32_t stream)
{
    for (size_t i = 0; i < of->setting_count; i++)
        if (of->settings[i].stream == stream && of->settings[i].setting >= TRUTH_CONSUMER &&
            of->settings[i].setting < TRUTH_STATE)
            return true;
    return false;
}

bool truth_has_state(const truth *of, uint32_t stream)
{
    for (size_t i = 0; i < of->setting_count; i++)
        if (of->settings[i].stream == stream && of->settings[i].setting >= TRUTH_STATE &&
            of->settings[i].setting < TRUTH_LEASE)
            return true;
    return false;
}

bool truth_has_leases(const truth *of, uint32_t stream)
{
    for (size_t i = 0; i < of->setting_count; i++)
        if (of->settings[i].stream == stream && of->settings[i].setting >= TRUTH_LEASE)
            return true;
    return false;
}

bool truth_has_pending(const truth *of, uint32_t stream, uint32_t shard)
{
    for (size_t i = 0; i < of->setting_count; i++)
        if (of->settings[i].stream == stream && of->settings[i].setting == TRUTH_PENDING + shard)
            return true;
    return false;
}
