/* Settings, tags and registered consumers: setting them, and whether a disk shows what was set. See session.h. */
#include "harness/session_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "support/sim_inside.h"

#define NAME_BYTES 16

/* ---- what is shown ---- */

/* The number of one called `prefix` and a number below `count`; `count` if it is not called so. */
static uint32_t number_of(const char *name, const char *prefix, uint32_t count)
{
    size_t size = strlen(prefix);

    if (strncmp(name, prefix, size) != 0 || name[size] < '0' || name[size] - '0' >= (int)count ||
        name[size + 1] != '\0')
        return count;
    return (uint32_t)(name[size] - '0');
}

static ls_status show_tags(session *of, uint32_t stream, truth_shown_setting *found)
{
    ls_tag_list *list;
    ls_status st = session_answered(of, ls_stream_list_tags(of->streams[stream], NULL, 0, &list));

    if (st != LS_OK)
        return st;
    for (uint32_t i = 0; i < ls_tag_list_count(list); i++) {
        ls_tag tag = ls_tag_list_at(list, i);
        uint32_t number = number_of(tag.key, "tag-", TRUTH_TAGS);

        if (number == TRUTH_TAGS)
            session_complain(of, "stream '%s' has a tag '%s'", of->truth->streams[stream].name, tag.key);
        else
            found[TRUTH_TAG + number].value = strtoull(tag.value, NULL, 10);
    }
    ls_tag_list_free(list);
    return LS_OK;
}

static ls_status show_consumers(session *of, uint32_t stream, truth_shown_setting *found)
{
    ls_consumer_list *list;
    ls_status st = session_answered(of, ls_stream_list_consumers(of->streams[stream], NULL, 0, &list));

    if (st != LS_OK)
        return st;
    for (uint32_t i = 0; i < ls_consumer_list_count(list); i++) {
        ls_consumer_info info = LS_CONSUMER_INFO_INIT;
        uint32_t number;

        (void)ls_consumer_list_at(list, i, &info); /* It is of the list. */
        number = number_of(info.name, "consumer-", TRUTH_CONSUMERS);
        if (number == TRUTH_CONSUMERS || info.id == 0 || info.created_us == 0 || info.status != LS_CONSUMER_ACTIVE)
            session_complain(of, "stream '%s' has a consumer '%s' with id %" PRIu64 " and status %d",
                             of->truth->streams[stream].name, info.name, info.id, (int)info.status);
        else
            found[TRUTH_CONSUMER + number] = (truth_shown_setting){1, info.id};
    }
    ls_consumer_list_free(list);
    return LS_OK;
}

/* A value of the state is so many bytes, all of which follow from their number. */
static unsigned char state_byte(uint64_t value, size_t at)
{
    return (unsigned char)(value * 31 + at * 7);
}

typedef struct states {
    session *of;
    truth_shown_setting *found;
    const char *stream;
} states;

/* What the library keeps there by itself. */
static bool is_of_library(ls_bytes key)
{
    static const char *const begins[] = {"delivery", "group", "lease/", "mapping/", "step/", "window/"};
    bool is_so = false;

    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        is_so = is_so || (key.size > strlen(begins[i]) && memcmp(key.data, begins[i], strlen(begins[i])) == 0);
    return is_so;
}

static bool note_state(void *user, const lsi_state_entry *entry)
{
    states *to = user;
    char name[NAME_BYTES] = "";
    uint32_t number;

    if (is_of_library(entry->key))
        return true;
    if (entry->key.size < sizeof(name))
        memcpy(name, entry->key.data, entry->key.size);
    number = number_of(name, "state-", TRUTH_STATES);
    if (number == TRUTH_STATES || entry->version == LSI_STATE_NONE) {
        session_complain(to->of, "stream '%s' has a state '%s' of version %" PRIu64, to->stream, name, entry->version);
        return true;
    }
    to->found[TRUTH_STATE + number].value = entry->value.size;
    for (size_t i = 0; i < entry->value.size; i++)
        if (((const unsigned char *)entry->value.data)[i] != state_byte(entry->value.size, i)) {
            session_complain(to->of, "stream '%s': a byte of %s was never set", to->stream, name);
            break;
        }
    return true;
}

static ls_status show_state(session *of, uint32_t stream, truth_shown_setting *found)
{
    states to = {of, found, of->truth->streams[stream].name};
    lsi_engine_stream *engine = of->streams[stream]->stream;

    return session_answered(of, engine->engine->ops->state_read(engine, (ls_bytes){"", 0}, note_state, &to));
}

static ls_status show(session *of, uint32_t stream, truth_shown_setting found[TRUTH_SETTINGS])
{
    ls_stream_description *about;
    ls_auto_scaling scaling = LS_AUTO_SCALING_INIT;
    ls_status st = session_answered(of, ls_stream_describe(of->streams[stream], &about));

    memset(found, 0, TRUTH_SETTINGS * sizeof(*found));
    if (st != LS_OK)
        return st;
    (void)ls_stream_description_auto_scaling(about, &scaling); /* Its size was set. */
    found[TRUTH_HOURS].value = ls_stream_description_retention_hours(about);
    found[TRUTH_BYTES].value = ls_stream_description_retention_bytes(about);
    found[TRUTH_MODE].value = (uint64_t)ls_stream_description_mode(about);
    found[TRUTH_RECORD_BYTES].value = ls_stream_description_record_bytes_max(about);
    found[TRUTH_SCALING].value = scaling.enabled != 0 ? scaling.shards_max : 0;
    found[TRUTH_KEY].value = (unsigned char)ls_stream_description_key_id(about)[0];
    found[TRUTH_COMPRESSION].value = (uint64_t)ls_stream_description_compression(about);
    ls_stream_description_free(about);
    st = show_tags(of, stream, found);
    if (st == LS_OK)
        st = show_consumers(of, stream, found);
    if (st == LS_OK)
        st = show_state(of, stream, found);
    return st == LS_OK ? session_show_leases(of, stream, of->streams[stream], found) : st;
}

void session_check_settings(session *of, uint32_t stream, size_t at, bool power)
{
    truth_shown_setting found[TRUTH_SETTINGS];
    char what[256];

    if (show(of, stream, found) == LS_OK) {
        if (!truth_check_settings(of->truth, stream, found, at, power, session_here(of), what))
            session_complain(of, "stream '%s': %s", of->truth->streams[stream].name, what);
    } else if (at < NEVER - 2 || !of->may_have_failed) {
        session_complain(of, "what is set of stream '%s' cannot be read: %s", of->truth->streams[stream].name,
                         ls_last_error_message());
    }
}

/* ---- setting ---- */

setting_fact *session_setting_begin(session *of, uint32_t stream, uint32_t setting, uint64_t value)
{
    uint32_t index = truth_setting_begin(of->truth, stream, setting, value, 0, session_here(of));

    return &of->truth->settings[index];
}

void session_setting_answered(session *of, setting_fact *fact, ls_status st)
{
    if (st == LS_OK)
        fact->made_at = session_here(of);
    else if (!session_is_unknown(st))
        fact->gone_at = session_here(of);
    (void)session_look(of);
    if (st == LS_OK) /* Whoever asks is shown it from now on. */
        session_check_settings(of, fact->stream, NEVER - 2, false);
}

static ls_status set_scaling(ls_stream *stream, uint32_t shards_max)
{
    ls_auto_scaling scaling = LS_AUTO_SCALING_INIT;

    scaling.enabled = 1;
    scaling.hot_seconds = 1;
    scaling.cold_seconds = 2;
    scaling.shards_max = shards_max;
    return ls_stream_set_auto_scaling(stream, shards_max != 0 ? &scaling : NULL);
}

static ls_status set_hours(ls_stream *stream, uint32_t hours)
{
    ls_stream_description *about;
    bool up;
    ls_status st = ls_stream_describe(stream, &about);

    if (st != LS_OK)
        return LS_ERR_BUSY; /* Nothing was asked yet. */
    up = hours > ls_stream_description_retention_hours(about);
    ls_stream_description_free(about);
    return up ? ls_stream_increase_retention(stream, hours) : ls_stream_decrease_retention(stream, hours);
}

static ls_status register_one(ls_stream *stream, uint32_t number, bool is_to_be, uint64_t *id)
{
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    char name[NAME_BYTES];
    ls_status st;

    (void)snprintf(name, sizeof(name), "consumer-%" PRIu32, number % TRUTH_CONSUMERS);
    if (!is_to_be)
        return ls_consumer_deregister(stream, name);
    st = ls_consumer_register(stream, name, &info);
    *id = info.id;
    return st;
}

static ls_status change_state(session *of, ls_stream *stream, uint32_t first, uint32_t count, uint64_t value)
{
    char keys[TRUTH_STATES][NAME_BYTES];
    lsi_state_change changes[TRUTH_STATES];
    unsigned char *bytes = of->data = sim_must(realloc(of->data, value + 1)); /* a process may be killed in here */
    uint32_t conflict;

    for (size_t i = 0; i < value; i++)
        bytes[i] = state_byte(value, i);
    for (uint32_t i = 0; i < count; i++) {
        int size = snprintf(keys[i], sizeof(keys[i]), "state-%" PRIu32, first + i);

        changes[i] = (lsi_state_change){.key = {keys[i], (size_t)size}, .expected = LSI_STATE_ANY,
                                        .value = {bytes, (size_t)value}};
    }
    return stream->stream->engine->ops->state_write(stream->stream, changes, count, &conflict);
}

ls_status session_set(session *of, uint32_t stream, uint32_t setting, uint64_t value)
{
    ls_status st = session_want_stream(of, stream);
    setting_fact *fact;
    ls_stream *handle = of->streams[stream];

    if (st != LS_OK)
        return st;
    fact = session_setting_begin(of, stream, setting, value);
    switch (setting) {
    case TRUTH_HOURS: st = set_hours(handle, (uint32_t)value); break;
    case TRUTH_BYTES: st = ls_stream_set_retention_bytes(handle, value); break;
    case TRUTH_MODE: st = ls_stream_set_mode(handle, (ls_stream_mode)value); break;
    case TRUTH_RECORD_BYTES: st = ls_stream_set_record_bytes_max(handle, (uint32_t)value); break;
    case TRUTH_SCALING: st = set_scaling(handle, (uint32_t)value); break;
    default:
        if (setting >= TRUTH_STATE && setting < TRUTH_SETTINGS) {
            st = change_state(of, handle, setting - TRUTH_STATE, 1, value);
            break;
        }
        if (setting < TRUTH_CONSUMER || setting >= TRUTH_SETTINGS)
            abort();
        st = register_one(handle, setting - TRUTH_CONSUMER, value != 0, &fact->id);
        if (fact->id != 0 && truth_is_id_of_another(of->truth, (size_t)(fact - of->truth->settings), fact->id))
            session_complain(of, "D4: the consumer id %" PRIu64 " is given again", fact->id);
    }
    session_setting_answered(of, fact, session_answered(of, st));
    session_expect_scaling(of, stream);
    return st;
}

void session_settings_answered(session *of, size_t begun, uint32_t count, ls_status st)
{
    for (size_t i = begun; i + 1 < begun + count; i++) {
        if (st == LS_OK)
            of->truth->settings[i].made_at = session_here(of);
        else if (!session_is_unknown(st))
            of->truth->settings[i].gone_at = session_here(of);
    }
    session_setting_answered(of, &of->truth->settings[begun + count - 1], st);
}

ls_status session_state(session *of, uint32_t stream, uint32_t count, uint64_t value)
{
    uint32_t group = ++of->truth->group_count;
    ls_status st = session_want_stream(of, stream);
    size_t begun = of->truth->setting_count;

    if (st != LS_OK)
        return st;
    for (uint32_t i = 0; i < count; i++)
        (void)truth_setting_begin(of->truth, stream, TRUTH_STATE + i, value, group, session_here(of));
    st = session_answered(of, change_state(of, of->streams[stream], 0, count, value));
    session_settings_answered(of, begun, count, st);
    return st;
}

ls_status session_tag(session *of, uint32_t stream, uint32_t first, uint32_t count, uint64_t value)
{
    char keys[TRUTH_TAGS][NAME_BYTES], text[NAME_BYTES];
    const char *names[TRUTH_TAGS];
    ls_tag tags[TRUTH_TAGS];
    size_t from = session_here(of), begun;
    uint32_t group = ++of->truth->group_count;
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    begun = of->truth->setting_count;
    (void)snprintf(text, sizeof(text), "%u", (unsigned)value);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "tag-%" PRIu32, (first + i) % TRUTH_TAGS);
        names[i] = keys[i];
        tags[i] = (ls_tag){keys[i], text};
        (void)truth_setting_begin(of->truth, stream, TRUTH_TAG + first + i, value, group, from);
    }
    st = session_answered(of, value != 0 ? ls_stream_add_tags(of->streams[stream], tags, count)
                                         : ls_stream_remove_tags(of->streams[stream], names, count));
    session_settings_answered(of, begun, count, st);
    return st;
}
