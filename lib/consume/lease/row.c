/* Groups and leases as values of a stream's state.
 *
 * A row is: format 1 (1), kind (1), bytes of the name (2), switches (4), counter (8), number (8), part (4), note (4),
 * owner (8), who asks (8), name; of format 2 then what is prepared: number (8), part (4), state; of format 3 batches
 * that were tried: routing (4), and each: first record, number (8) and part (4), its records (4), those behind them
 * (4), attempts (4), flags (4); of one that was given up these three are the last record, number (8) and part (4), and
 * the lane is beside the flags. Settings: format 1 (1), kind of the beginning (1), zero (2), number (4), its time (8),
 * when it was made (8), the mapping whose group it is (8). What fails its checks is damage: the values were written
 * whole. */
#include "consume/lease/lease.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define GROUP_PREFIX "group/"

#define FORMAT 1u
#define FORMAT_PENDING 2u
#define FORMAT_TRIED 3u
#define ROW_BYTES 48u
#define PENDING_BYTES 12u
#define TRIAL_BYTES 28u
#define TRIAL_IS_BEGUN 1u
#define TRIAL_IS_UNHANDLED 2u
#define TRIAL_IS_REPORTED 4u
#define TRIAL_IS_OVER 8u
#define TRIAL_LANE_AT 8u
#define ROUTING_BYTES 4u
#define SETTINGS_BYTES 32u
#define KEY_BYTES LSI_LEASE_KEY_BYTES
_Static_assert(LSI_LEASE_ROW_BYTES == ROW_BYTES + LSI_WORKER_NAME_MAX + PENDING_BYTES + LS_LEASE_STATE_BYTES_MAX,
               "a row fits its room");
_Static_assert(ROUTING_BYTES + LSI_TRIALS_MAX * TRIAL_BYTES <= PENDING_BYTES + LS_LEASE_STATE_BYTES_MAX,
               "so it does with trials");

typedef struct key {
    char text[KEY_BYTES];
    ls_bytes bytes;
} key;

static void key_make(key *of, const char *prefix, const char *name, const char *rest)
{
    int size = snprintf(of->text, sizeof(of->text), "%s/%s%s", prefix, name, rest);

    of->bytes = (ls_bytes){of->text, (size_t)size};
}

static void key_of_row(key *of, const char *name, uint32_t shard)
{
    char digits[16];

    (void)snprintf(digits, sizeof(digits), "/%010" PRIu32, shard); /* 11 */
    key_make(of, "lease", name, digits);
}

/* ---- settings ---- */

typedef struct finding {
    ls_bytes name; /* its key */
    lsi_group_settings *out;
    uint8_t used[LSI_GROUPS_MAX / 8];
    bool is_bad;
} finding;

static bool settings_decode(ls_bytes value, lsi_group_settings *out)
{
    lsi_cursor from = {value.data, (const unsigned char *)value.data + value.size, false};
    uint8_t format = lsi_take_u8(&from), kind = lsi_take_u8(&from);
    uint16_t zero = lsi_take_u16(&from);

    out->number = lsi_take_u32(&from);
    out->start = (lsi_lease_start){(lsi_lease_start_kind)kind, (int64_t)lsi_take_u64(&from)};
    out->created_us = (int64_t)lsi_take_u64(&from);
    out->mapping = lsi_take_u64(&from);
    return !from.bad && from.at == from.end && format == FORMAT && zero == 0 && kind <= LSI_START_TIME &&
        out->number < LSI_GROUPS_MAX;
}

static void settings_encode(const lsi_group_settings *from, unsigned char bytes[SETTINGS_BYTES])
{
    lsi_writer to = {bytes, bytes + SETTINGS_BYTES};

    lsi_put_u8(&to, FORMAT);
    lsi_put_u8(&to, (uint8_t)from->start.kind);
    lsi_put_u16(&to, 0);
    lsi_put_u32(&to, from->number);
    lsi_put_u64(&to, (uint64_t)from->start.us);
    lsi_put_u64(&to, (uint64_t)from->created_us);
    lsi_put_u64(&to, from->mapping);
}

static bool note_group(void *user, const lsi_state_entry *entry)
{
    finding *of = user;
    lsi_group_settings found = {.version = entry->version};
    bool is_own = entry->key.size == of->name.size && memcmp(entry->key.data, of->name.data, of->name.size) == 0;

    if (!settings_decode(entry->value, &found)) {
        of->is_bad = of->is_bad || is_own;
        return true;
    }
    of->used[found.number / 8] |= (uint8_t)(1u << found.number % 8);
    if (is_own)
        *of->out = found;
    return true;
}

static ls_status find(lsi_engine_stream *stream, const char *name, finding *of, ls_bytes prefix)
{
    ls_status st;

    *of->out = (lsi_group_settings){0};
    memset(of->used, 0, sizeof(of->used));
    st = stream->engine->ops->state_read(stream, prefix, note_group, of);
    if (st == LS_OK && of->is_bad && of->out->version == LSI_STATE_NONE)
        st = lsi_fail(LS_ERR_CORRUPT, "group '%s': its settings are none", name);
    return st;
}

ls_status lsi_group_find(lsi_engine_stream *stream, const char *name, lsi_group_settings *out)
{
    finding of = {.out = out};
    key own;

    key_make(&own, "group", name, "");
    of.name = own.bytes;
    return find(stream, name, &of, own.bytes);
}

static const ls_bytes groups_key = {"groups", 6};

static bool note_version(void *user, const lsi_state_entry *entry)
{
    *(uint64_t *)user = entry->version;
    return false;
}

/* The first number that no group has, and the version of what serialises the making of groups. */
static ls_status find_number(lsi_engine_stream *stream, const char *name, lsi_group_settings *found, uint32_t *number,
                             uint64_t *count_version)
{
    finding of = {.out = found};
    key own;
    ls_status st;

    *count_version = LSI_STATE_NONE;
    st = stream->engine->ops->state_read(stream, groups_key, note_version, count_version);
    key_make(&own, "group", name, "");
    of.name = own.bytes;
    if (st == LS_OK)
        st = find(stream, name, &of, (ls_bytes){"group/", 6});
    if (st != LS_OK || found->version != LSI_STATE_NONE)
        return st;
    *number = 0;
    while (*number < LSI_GROUPS_MAX && (of.used[*number / 8] >> *number % 8 & 1) != 0)
        ++*number;
    if (*number == LSI_GROUPS_MAX)
        return lsi_fail(LS_ERR_STATE, "group '%s': the stream has %u groups, and can have no more", name,
                        LSI_GROUPS_MAX);
    return LS_OK;
}

ls_status lsi_group_make(lsi_engine_stream *stream, const char *name, lsi_lease_start start, lsi_group_settings *out)
{
    unsigned char bytes[SETTINGS_BYTES];
    lsi_state_change changes[2];
    uint64_t count;
    uint32_t number, conflict;
    key own;
    ls_status st = find_number(stream, name, out, &number, &count);

    if (st != LS_OK || out->version != LSI_STATE_NONE)
        return st;
    *out = (lsi_group_settings){.number = number, .start = start,
                                .created_us = lsi_wall_us(&stream->engine->env.clock)};
    settings_encode(out, bytes);
    key_make(&own, "group", name, "");
    changes[0] = (lsi_state_change){groups_key, count, {"1", 1}, 0}; /* Whoever makes one meanwhile has it too. */
    changes[1] = (lsi_state_change){own.bytes, LSI_STATE_NONE, {bytes, sizeof(bytes)}, 0};
    st = stream->engine->ops->state_write(stream, changes, 2, &conflict);
    if (st == LS_OK && conflict == 2)
        out->version = changes[1].version;
    return st;
}

/* ---- rows ---- */

typedef struct row_list {
    const lsi_memory *memory;
    lsi_lease_row *rows;
    size_t capacity;
    uint32_t count;
    size_t prefix_bytes;
    bool is_bad, has_no_memory;
} row_list;

static bool pending_decode(lsi_cursor *from, lsi_lease_pending *out)
{
    const unsigned char *state;

    out->seqno = lsi_take_u64(from);
    out->sub_seqno = lsi_take_u32(from);
    if (from->bad || out->seqno == LS_SEQNO_NONE || out->seqno > LS_SEQNO_MAX ||
        (size_t)(from->end - from->at) > sizeof(out->state))
        return false;
    out->state_bytes = (uint32_t)(from->end - from->at);
    state = lsi_take_bytes(from, out->state_bytes);
    if (out->state_bytes > 0)
        memcpy(out->state, state, out->state_bytes);
    return true;
}

static bool trial_decode(lsi_cursor *from, lsi_trial *to)
{
    uint32_t first, second, third, flags;

    to->first.seqno = lsi_take_u64(from);
    to->first.part = lsi_take_u32(from);
    first = lsi_take_u32(from);
    second = lsi_take_u32(from);
    third = lsi_take_u32(from);
    flags = lsi_take_u32(from);
    if ((flags & TRIAL_IS_OVER) != 0) {
        to->is_over = true;
        to->last = (lsi_point){(uint64_t)second << 32 | first, third};
        to->lane = flags >> TRIAL_LANE_AT;
        return to->lane < LSI_TRIAL_LANES_MAX && (flags & 0xff) == TRIAL_IS_OVER;
    }
    to->count = first;
    to->rest = second;
    to->attempts = third;
    to->is_begun = (flags & TRIAL_IS_BEGUN) != 0;
    to->is_unhandled = (flags & TRIAL_IS_UNHANDLED) != 0;
    to->is_reported = (flags & TRIAL_IS_REPORTED) != 0;
    return to->count <= LSI_TRIAL_RECORDS_MAX && to->rest <= LSI_TRIAL_RECORDS_MAX && flags < TRIAL_IS_OVER;
}

static bool trials_decode(lsi_cursor *from, lsi_lease_row *out)
{
    lsi_trials *to = &out->trials;

    out->routing = lsi_take_u32(from);
    for (to->count = 0; !from->bad && from->at != from->end && to->count < LSI_TRIALS_MAX; to->count++)
        if (!trial_decode(from, &to->at[to->count]))
            return false;
    return !from->bad && to->count > 0;
}

static bool row_decode(ls_bytes value, lsi_lease_row *out)
{
    lsi_cursor from = {value.data, (const unsigned char *)value.data + value.size, false};
    uint8_t format = lsi_take_u8(&from), kind = lsi_take_u8(&from);
    uint16_t name_bytes = lsi_take_u16(&from);
    const unsigned char *name;

    out->place.kind = (lsi_lease_kind)kind;
    out->switches = lsi_take_u32(&from);
    out->counter = lsi_take_u64(&from);
    out->seqno = lsi_take_u64(&from);
    out->sub_seqno = lsi_take_u32(&from);
    out->note = lsi_take_u32(&from);
    out->owner = lsi_take_u64(&from);
    out->wanted = lsi_take_u64(&from);
    if (from.bad || format < FORMAT || format > FORMAT_TRIED || kind > LSI_LEASE_END ||
        name_bytes > LSI_WORKER_NAME_MAX)
        return false;
    name = lsi_take_bytes(&from, name_bytes);
    if (name == NULL || memchr(name, 0, name_bytes) != NULL ||
        (format == FORMAT_PENDING && !pending_decode(&from, &out->pending)) ||
        (format == FORMAT_TRIED && !trials_decode(&from, out)) || from.at != from.end)
        return false;
    memcpy(out->name, name, name_bytes);
    out->name[name_bytes] = '\0';
    return true;
}

static bool note_row(void *user, const lsi_state_entry *entry)
{
    row_list *to = user;
    const char *at = (const char *)entry->key.data + to->prefix_bytes;
    lsi_lease_row row = {.version = entry->version};
    uint64_t shard = 0;
    size_t digits = entry->key.size - to->prefix_bytes;

    for (size_t i = 0; i < digits && digits == 10; i++)
        shard = at[i] >= '0' && at[i] <= '9' ? shard * 10 + (uint64_t)(at[i] - '0') : UINT32_MAX;
    to->is_bad = digits != 10 || shard >= LSI_SHARD_INDEX_END || !row_decode(entry->value, &row);
    row.place.shard = (uint32_t)shard;
    to->has_no_memory = !to->is_bad && !lsi_grow(to->memory, (void **)&to->rows, &to->capacity, (size_t)to->count + 1,
                                                 sizeof(*to->rows));
    if (to->is_bad || to->has_no_memory)
        return false;
    to->rows[to->count++] = row;
    return true;
}

ls_status lsi_lease_rows(lsi_engine_stream *stream, const char *name, lsi_lease_row **out, uint32_t *count)
{
    row_list to = {.memory = &stream->engine->env.memory};
    key prefix;
    ls_status st;

    key_make(&prefix, "lease", name, "/");
    to.prefix_bytes = prefix.bytes.size;
    st = stream->engine->ops->state_read(stream, prefix.bytes, note_row, &to);
    if (st == LS_OK && to.is_bad)
        st = lsi_fail(LS_ERR_CORRUPT, "group '%s': a lease of its is none", name);
    if (st == LS_OK && to.has_no_memory)
        st = lsi_fail(LS_ERR_NO_MEMORY, "group '%s': no memory for its leases", name);
    if (st != LS_OK) {
        lsi_free(to.memory, to.rows);
        return st;
    }
    *out = to.rows;
    *count = to.count;
    return LS_OK;
}

static uint32_t flags_of(const lsi_trial *trial)
{
    if (trial->is_over)
        return TRIAL_IS_OVER | trial->lane << TRIAL_LANE_AT;
    return (trial->is_begun ? TRIAL_IS_BEGUN : 0) | (trial->is_unhandled ? TRIAL_IS_UNHANDLED : 0) |
           (trial->is_reported ? TRIAL_IS_REPORTED : 0);
}

static size_t trials_encode(const lsi_lease_row *row, lsi_writer *to)
{
    const lsi_trials *from = &row->trials;

    if (from->count == 0)
        return 0;
    lsi_put_u32(to, row->routing);
    for (uint32_t i = 0; i < from->count; i++) {
        const lsi_trial *at = &from->at[i];

        lsi_put_u64(to, at->first.seqno);
        lsi_put_u32(to, at->first.part);
        lsi_put_u32(to, at->is_over ? (uint32_t)at->last.seqno : at->count);
        lsi_put_u32(to, at->is_over ? (uint32_t)(at->last.seqno >> 32) : at->rest);
        lsi_put_u32(to, at->is_over ? at->last.part : at->attempts);
        lsi_put_u32(to, flags_of(at));
    }
    return ROUTING_BYTES + from->count * TRIAL_BYTES;
}

static size_t row_encode(const lsi_lease_row *row, unsigned char bytes[LSI_LEASE_ROW_BYTES])
{
    lsi_writer to = {bytes, bytes + LSI_LEASE_ROW_BYTES};
    size_t name_bytes = strlen(row->name);
    bool has_pending = row->pending.seqno != LS_SEQNO_NONE;

    assert(!has_pending || row->trials.count == 0);
    lsi_put_u8(&to, has_pending ? FORMAT_PENDING : row->trials.count > 0 ? FORMAT_TRIED : FORMAT);
    lsi_put_u8(&to, (uint8_t)row->place.kind);
    lsi_put_u16(&to, (uint16_t)name_bytes);
    lsi_put_u32(&to, row->switches);
    lsi_put_u64(&to, row->counter);
    lsi_put_u64(&to, row->seqno);
    lsi_put_u32(&to, row->sub_seqno);
    lsi_put_u32(&to, row->note);
    lsi_put_u64(&to, row->owner);
    lsi_put_u64(&to, row->wanted);
    lsi_put_bytes(&to, row->name, name_bytes);
    if (!has_pending)
        return ROW_BYTES + name_bytes + trials_encode(row, &to);
    lsi_put_u64(&to, row->pending.seqno);
    lsi_put_u32(&to, row->pending.sub_seqno);
    lsi_put_bytes(&to, row->pending.state, row->pending.state_bytes);
    return ROW_BYTES + name_bytes + PENDING_BYTES + row->pending.state_bytes;
}

lsi_state_change lsi_lease_change(const char *name, const lsi_lease_row *row, lsi_lease_room *room)
{
    key of;

    key_of_row(&of, name, row->place.shard);
    memcpy(room->key, of.text, of.bytes.size);
    return (lsi_state_change){.key = {room->key, of.bytes.size}, .expected = row->version,
                              .value = {room->value, row_encode(row, room->value)}};
}

static ls_status no_memory(const char *name, uint32_t count)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "group '%s': no memory for %" PRIu32 " leases", name, count);
}

/* Rows, `beside`, then `more`, in one write. */
static ls_status write_all(lsi_engine_stream *stream, const char *name, lsi_lease_row *rows, uint32_t count,
                           lsi_lease_beside beside, lsi_state_change *more, uint32_t more_count, bool *is_done)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    uint32_t all = count + beside.count + more_count, conflict = 0;
    lsi_state_change *changes = lsi_alloc_zero(memory, ((size_t)all + 1) * sizeof(*changes));
    lsi_lease_room *rooms = lsi_alloc(memory, ((size_t)count + 1) * sizeof(*rooms));
    ls_status st = changes != NULL && rooms != NULL ? LS_OK : no_memory(name, count);

    *is_done = false;
    for (uint32_t i = 0; st == LS_OK && i < count; i++) {
        changes[i] = lsi_lease_change(name, &rows[i], &rooms[i]);
        if (rows[i].is_removed)
            changes[i].value = (ls_bytes){NULL, 0};
    }
    for (uint32_t i = 0; st == LS_OK && i < beside.count; i++)
        changes[count + i] = beside.changes[i];
    for (uint32_t i = 0; st == LS_OK && i < more_count; i++)
        changes[count + beside.count + i] = more[i];
    if (st == LS_OK)
        st = stream->engine->ops->state_write(stream, changes, all, &conflict);
    *is_done = st == LS_OK && conflict == all;
    for (uint32_t i = 0; *is_done && i < count; i++)
        rows[i].version = changes[i].version;
    for (uint32_t i = 0; *is_done && i < more_count; i++)
        more[i].version = changes[count + beside.count + i].version;
    lsi_free(memory, changes);
    lsi_free(memory, rooms);
    return st;
}

ls_status lsi_lease_write(lsi_engine_stream *stream, const char *name, lsi_group_settings *settings,
                          lsi_lease_row *rows, uint32_t count, lsi_lease_beside beside, bool *is_done)
{
    unsigned char bytes[SETTINGS_BYTES];
    lsi_state_change group;
    bool has_group = settings->is_changed;
    key own;
    ls_status st;

    for (uint32_t i = 0; i < count; i++)
        has_group = has_group || rows[i].version == LSI_STATE_NONE;
    key_make(&own, "group", name, "");
    settings_encode(settings, bytes);
    group = (lsi_state_change){own.bytes, settings->version, {bytes, sizeof(bytes)}, 0};
    st = write_all(stream, name, rows, count, beside, &group, has_group ? 1 : 0, is_done);
    if (*is_done && has_group)
        settings->version = group.version;
    return st;
}

ls_status lsi_group_make_mapping(lsi_engine_stream *stream, const char *name, lsi_group_settings *settings,
                                 lsi_lease_row *rows, uint32_t count, lsi_lease_beside beside, bool *is_done)
{
    unsigned char bytes[SETTINGS_BYTES];
    lsi_group_settings found;
    lsi_state_change more[2];
    uint64_t groups;
    key own;
    ls_status st = find_number(stream, name, &found, &settings->number, &groups);

    *is_done = false;
    if (st != LS_OK)
        return st;
    if (found.version != LSI_STATE_NONE)
        return lsi_fail(LS_ERR_EXISTS, "stream '%s' has a %s '%s' already", stream->name,
                        found.mapping != 0 ? "mapping or delivery" : "group", name);
    settings->created_us = lsi_wall_us(&stream->engine->env.clock);
    settings_encode(settings, bytes);
    key_make(&own, "group", name, "");
    more[0] = (lsi_state_change){groups_key, groups, {"1", 1}, 0};
    more[1] = (lsi_state_change){own.bytes, LSI_STATE_NONE, {bytes, sizeof(bytes)}, 0};
    return write_all(stream, name, rows, count, beside, more, 2, is_done);
}

ls_status lsi_group_remove(lsi_engine_stream *stream, const char *name, const lsi_group_settings *settings,
                           lsi_lease_beside beside, bool *is_done)
{
    lsi_state_change group = {.expected = settings->version};
    lsi_lease_row *rows;
    uint32_t count;
    key own;
    ls_status st = lsi_lease_rows(stream, name, &rows, &count);

    *is_done = false;
    if (st != LS_OK)
        return st;
    for (uint32_t i = 0; i < count; i++)
        rows[i].is_removed = true;
    key_make(&own, "group", name, "");
    group.key = own.bytes;
    st = write_all(stream, name, rows, count, beside, &group, 1, is_done);
    lsi_free(&stream->engine->env.memory, rows);
    return st;
}

ls_status lsi_group_delete(lsi_engine_stream *stream, const char *name)
{
    lsi_group_settings settings;
    bool is_done = false;
    ls_status st = LS_OK;

    while (st == LS_OK && !is_done) { /* Leases change: again, until nobody was in between. */
        st = lsi_group_find(stream, name, &settings);
        if (st == LS_OK && settings.version == LSI_STATE_NONE)
            return lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no group '%s'", stream->name, name);
        if (st == LS_OK && settings.mapping != 0)
            return lsi_fail(LS_ERR_STATE, "'%s' is a mapping or a delivery, which is deleted as such", name);
        if (st == LS_OK)
            st = lsi_group_remove(stream, name, &settings, (lsi_lease_beside){NULL, 0}, &is_done);
    }
    return st;
}

typedef struct naming {
    bool (*each)(void *user, const char *name);
    void *user;
} naming;

static bool name_group(void *user, const lsi_state_entry *entry)
{
    const naming *of = user;
    const size_t prefix = sizeof(GROUP_PREFIX) - 1;
    char name[LSI_STREAM_NAME_MAX + 1];

    if (entry->key.size - prefix > LSI_STREAM_NAME_MAX)
        return true; /* damage, or a later release's */
    memcpy(name, (const char *)entry->key.data + prefix, entry->key.size - prefix);
    name[entry->key.size - prefix] = '\0';
    return of->each(of->user, name);
}

ls_status lsi_group_each(lsi_engine_stream *stream, bool (*each)(void *user, const char *name), void *user)
{
    naming of = {each, user};

    return stream->engine->ops->state_read(stream, (ls_bytes){GROUP_PREFIX, sizeof(GROUP_PREFIX) - 1}, name_group, &of);
}
