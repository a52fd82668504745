/* What is stored of a window operator, as values of its stream's state. FORMAT.md ("State") has the tables.
 *
 * A head says who has the name, where reading goes on, and which parts count; the parts have the windows. A store
 * writes what has changed as one more part, and the head that counts it, in one step. When the parts have become much
 * more than what they tell, all is written anew: in as many steps as it takes, of which only the last one writes a head
 * that counts the new parts and not the old ones.
 *
 *   W1  Every step writes the head, expecting the version that this handle wrote last. So whoever has lost the name
 *       writes nothing at all, and whoever takes it has read all that will ever count of the one before.
 *   W2  Parts that the head does not count are debris of one who died in between. They are written over, and removed by
 *       the next one who takes the name.
 *   W3  Positions are stored when the records behind them are durable. */
#include "consume/window/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define PREFIX LSI_WINDOW_PREFIX
#define PART_DIGITS 16u
#define KEY_BYTES (sizeof(PREFIX) + LSI_STREAM_NAME_MAX + 1 + PART_DIGITS)
#define FORMAT LSI_WINDOW_FORMAT
#define HEAD_BYTES LSI_WINDOW_HEAD_BYTES
#define TICKET_AT 8u
#define PART_BYTES ((size_t)4 << 20)
#define PART_BYTES_MOST ((size_t)14 << 20)   /* of one with a single key; a step has 15 MiB */
#define DEAD_BYTES_LEAST (UINT64_C(1) << 20) /* before it is worth writing all anew */
#define PARTS_LEAST 256u                     /* the same, and one more for each so many bytes that are kept: */
#define BYTES_FOR_A_PART (UINT64_C(64) << 10)
#define REMOVED_AT_ONCE 4096u
#define ANY_PART UINT64_MAX

typedef struct row_key {
    char text[KEY_BYTES];
    ls_bytes bytes;
} row_key;

/* Of the head, or of a part. */
static void make_key(row_key *key, const char *name, uint64_t part)
{
    int size = part == ANY_PART ? snprintf(key->text, KEY_BYTES, PREFIX "%s/", name)
                                : snprintf(key->text, KEY_BYTES, PREFIX "%s/%016" PRIx64, name, part);

    key->bytes = (ls_bytes){key->text, (size_t)size};
}

/* The number of a part. False: it is none's key. */
static bool part_of(ls_bytes key, size_t prefix_bytes, uint64_t *out)
{
    const char *digits = (const char *)key.data + prefix_bytes;

    if (key.size != prefix_bytes + PART_DIGITS)
        return false;
    *out = 0;
    for (size_t i = 0; i < PART_DIGITS; i++) {
        const char *all = "0123456789abcdef", *found = digits[i] == '\0' ? NULL : strchr(all, digits[i]);

        if (found == NULL)
            return false;
        *out = *out << 4 | (uint64_t)(found - all);
    }
    return true;
}

static ls_status lost(lsi_window *window)
{
    window->is_over = true;
    window->has_name = false;
    return lsi_fail(LS_ERR_LEASE_LOST, "window '%s' was taken by another handle, or deleted", window->name);
}

/* One step (W1): changes[0] is the head. */
static ls_status write_step(lsi_window *window, lsi_state_change *changes, uint32_t count)
{
    lsi_window_rows *rows = &window->rows;
    row_key head;
    uint32_t conflict;
    ls_status st;

    make_key(&head, window->name, ANY_PART);
    changes[0].key = head.bytes;
    changes[0].expected = rows->version;
    st = window->stream->engine->ops->state_write(window->stream, changes, count, &conflict);
    if (st == LS_ERR_IO) { /* Nobody knows what is stored. */
        window->is_over = true;
        window->has_name = false;
    }
    if (st != LS_OK)
        return st;
    if (conflict < count)
        return lost(window);
    rows->version = changes[0].version;
    for (uint32_t i = 0; i < count; i++)
        window->stored_bytes += changes[i].value.size;
    return LS_OK;
}

/* ---- reading ---- */

typedef struct loading {
    lsi_window *window;
    row_key prefix;
    unsigned char *head; /* owned */
    size_t head_bytes;
    uint64_t version; /* of the head; NONE: there is none */
    uint64_t ticket, first, end, next, bytes;
    size_t place_bytes;
    uint64_t *debris; /* owned: numbers of parts */
    size_t debris_count, debris_capacity;
    ls_status st;
    lsi_error_state why; /* of `st`, which the read itself knows nothing of */
} loading;

static ls_status corrupt(const lsi_window *window, const char *what)
{
    return lsi_fail(LS_ERR_CORRUPT, "window '%s': what is stored of it is damaged: %s", window->name, what);
}

static ls_status take_head(loading *of, const lsi_state_entry *entry)
{
    lsi_cursor from = {entry->value.data, (const unsigned char *)entry->value.data + entry->value.size, false};
    uint32_t format = lsi_take_u32(&from), place_bytes = lsi_take_u32(&from);

    if (format > FORMAT)
        return lsi_fail(LS_ERR_VERSION, "window '%s' was stored by a later release, as format %" PRIu32,
                        of->window->name, format);
    of->ticket = lsi_take_u64(&from);
    of->first = of->next = lsi_take_u64(&from);
    of->end = lsi_take_u64(&from);
    of->bytes = lsi_take_u64(&from);
    (void)lsi_take_bytes(&from, place_bytes);
    if (from.bad || format != FORMAT || of->first > of->end || of->end == ANY_PART)
        return corrupt(of->window, "its head");
    of->place_bytes = place_bytes;
    of->version = entry->version;
    of->head_bytes = entry->value.size;
    of->head = lsi_alloc(&of->window->env->memory, of->head_bytes);
    if (of->head == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for window '%s'", of->window->name);
    memcpy(of->head, entry->value.data, of->head_bytes);
    return LS_OK;
}

static ls_status note_debris(loading *of, uint64_t part)
{
    void *debris = of->debris;

    if (of->debris_count == REMOVED_AT_ONCE)
        return LS_OK; /* The rest another time. */
    if (!lsi_grow(&of->window->env->memory, &debris, &of->debris_capacity, of->debris_count + 1, sizeof *of->debris))
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for window '%s'", of->window->name);
    of->debris = debris;
    of->debris[of->debris_count++] = part;
    return LS_OK;
}

static ls_status restore(const lsi_window *window, const void *bytes, size_t size)
{
    ls_status st = lsi_windows_restore(window->windows, bytes, size);

    return st == LS_OK ? LS_OK : lsi_fail_within(window->name);
}

/* The head comes first, then the parts as they rise. */
static bool take_row(void *user, const lsi_state_entry *entry)
{
    loading *of = user;
    uint64_t part;

    if (entry->key.size == of->prefix.bytes.size) {
        of->st = take_head(of, entry);
    } else if (part_of(entry->key, of->prefix.bytes.size, &part)) {
        if (of->head == NULL || part < of->first || part >= of->end)
            of->st = note_debris(of, part); /* W2 */
        else if (part != of->next++)
            of->st = corrupt(of->window, "a part is missing");
        else
            of->st = restore(of->window, entry->value.data, entry->value.size);
    }
    if (of->st != LS_OK)
        lsi_error_save(&of->why);
    return of->st == LS_OK;
}

static ls_status load(lsi_window *window, loading *of)
{
    const lsi_engine_ops *ops = window->stream->engine->ops;
    ls_status st = lsi_window_make_windows(window);

    *of = (loading){.window = window, .version = LSI_STATE_NONE, .first = 1, .end = 1, .next = 1, .st = LS_OK};
    make_key(&of->prefix, window->name, ANY_PART);
    if (st == LS_OK)
        st = ops->state_read(window->stream, of->prefix.bytes, take_row, of);
    if (st == LS_OK && of->st != LS_OK) {
        lsi_error_restore(&of->why);
        st = of->st;
    }
    if (st == LS_OK && of->next != of->end)
        st = corrupt(window, "a part is missing");
    if (st == LS_OK && of->head != NULL)
        st = restore(window, of->head + HEAD_BYTES + of->place_bytes,
                     of->head_bytes - HEAD_BYTES - of->place_bytes);
    return st;
}

static void drop_loading(const lsi_memory *memory, loading *of)
{
    lsi_free(memory, of->head);
    lsi_free(memory, of->debris);
}

/* ---- the head ---- */

/* As things are now, with parts first..end - 1 of so many bytes. Owned by the caller. */
static ls_status make_head(lsi_window *window, uint64_t ticket, uint64_t first, uint64_t end, uint64_t part_bytes,
                           unsigned char **out, size_t *out_bytes)
{
    const lsi_memory *memory = &window->env->memory;
    lsi_windows_part inputs = {.keys = LSI_KEYS_NONE, .has_inputs = true, .bytes_max = SIZE_MAX};
    size_t place_bytes = window->place != NULL ? strlen(window->place) : 0, rest_bytes;
    unsigned char *head;
    lsi_writer to;
    void *rest;
    ls_status st = lsi_windows_save(window->windows, &inputs, &rest, &rest_bytes);

    if (st != LS_OK)
        return st;
    head = lsi_alloc(memory, HEAD_BYTES + place_bytes + rest_bytes);
    if (head == NULL) {
        lsi_free(memory, rest);
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for window '%s'", window->name);
    }
    to = (lsi_writer){head, head + HEAD_BYTES + place_bytes + rest_bytes};
    lsi_put_u32(&to, FORMAT);
    lsi_put_u32(&to, (uint32_t)place_bytes);
    lsi_put_u64(&to, ticket);
    lsi_put_u64(&to, first);
    lsi_put_u64(&to, end);
    lsi_put_u64(&to, part_bytes);
    if (place_bytes > 0)
        lsi_put_bytes(&to, window->place, place_bytes);
    lsi_put_bytes(&to, rest, rest_bytes);
    lsi_free(memory, rest);
    *out = head;
    *out_bytes = HEAD_BYTES + place_bytes + rest_bytes;
    return LS_OK;
}

static void keep_head(lsi_window *window, unsigned char *head, size_t bytes)
{
    lsi_free(&window->env->memory, window->rows.head);
    window->rows.head = head;
    window->rows.head_bytes = bytes;
}

/* ---- taking the name ---- */

/* Changes that remove parts; `changes` has room for the head before them. The keys are one allocation, the caller's. */
static ls_status removals(const lsi_window *window, const uint64_t *parts, uint64_t first, uint32_t count,
                          lsi_state_change **changes, row_key **keys, uint32_t more)
{
    const lsi_memory *memory = &window->env->memory;

    *changes = lsi_alloc_zero(memory, (count + more) * sizeof **changes);
    *keys = lsi_alloc(memory, (count + more) * sizeof **keys);
    if (*changes == NULL || *keys == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for window '%s'", window->name);
    for (uint32_t i = 0; i < count; i++) {
        make_key(&(*keys)[i], window->name, parts != NULL ? parts[i] : first + i);
        (*changes)[more + i] = (lsi_state_change){.key = (*keys)[i].bytes, .expected = LSI_STATE_ANY};
    }
    return LS_OK;
}

/* LEASE_LOST: somebody wrote meanwhile. */
static ls_status claim(lsi_window *window, loading *of)
{
    const lsi_engine_ops *ops = window->stream->engine->ops;
    const lsi_memory *memory = &window->env->memory;
    lsi_state_change *changes = NULL;
    row_key *keys = NULL;
    unsigned char *head;
    size_t head_bytes;
    ls_status st;

    if (of->ticket != 0 && (window->options.flags & LS_WINDOW_TAKE_OVER) == 0 &&
        !ops->ticket_is_gone(window->stream->engine, of->ticket))
        return lsi_fail(LS_ERR_BUSY, "window '%s' is open elsewhere, in a process that lives", window->name);
    window->rows = (lsi_window_rows){
        .version = of->version,
        .ticket = ops->ticket(window->stream->engine),
        .first = of->first,
        .end = of->end,
        .bytes = of->bytes,
    };
    lsi_free(memory, window->place);
    window->place = NULL;
    if (of->place_bytes > 0) {
        window->place = lsi_alloc(memory, of->place_bytes + 1);
        if (window->place == NULL)
            return lsi_fail(LS_ERR_NO_MEMORY, "no memory for window '%s'", window->name);
        memcpy(window->place, of->head + HEAD_BYTES, of->place_bytes);
        window->place[of->place_bytes] = '\0';
    }
    st = make_head(window, window->rows.ticket, of->first, of->end, of->bytes, &head, &head_bytes);
    if (st != LS_OK)
        return st;
    keep_head(window, head, head_bytes);
    st = removals(window, of->debris, 0, (uint32_t)of->debris_count, &changes, &keys, 1);
    if (st == LS_OK) {
        changes[0].value = (ls_bytes){head, head_bytes};
        st = write_step(window, changes, 1 + (uint32_t)of->debris_count);
    }
    lsi_free(memory, changes);
    lsi_free(memory, keys);
    return st;
}

ls_status lsi_window_rows_claim(lsi_window *window)
{
    lsi_error_state before;
    ls_status st;

    lsi_error_save(&before);
    do {
        loading of;

        window->is_over = false;
        window->has_name = true;
        st = load(window, &of);
        if (st == LS_OK)
            st = claim(window, &of);
        drop_loading(&window->env->memory, &of);
    } while (st == LS_ERR_LEASE_LOST); /* Somebody has written since: what he wrote counts. */
    if (st == LS_OK)
        lsi_error_restore(&before);
    return st;
}

ls_status lsi_window_rows_give_up(lsi_window *window)
{
    lsi_state_change change = {.value = {window->rows.head, window->rows.head_bytes}};
    lsi_error_state before;
    ls_status st;

    lsi_error_save(&before);
    lsi_write_u64le(window->rows.head + TICKET_AT, 0);
    st = write_step(window, &change, 1);
    if (st != LS_ERR_LEASE_LOST && st != LS_ERR_NOT_FOUND)
        return st;
    lsi_error_restore(&before); /* There is nothing left to give up. */
    return LS_OK;
}

/* ---- storing ---- */

/* W3 */
static ls_status sync_inputs(lsi_window *window)
{
    const lsi_engine_ops *ops = window->stream->engine->ops;
    lsi_error_state before;
    lsi_windows_place place;
    ls_status st = LS_OK;

    lsi_error_save(&before);
    for (size_t i = 0; st == LS_OK && lsi_windows_input_at(window->windows, i, &place); i++) {
        if (place.is_ahead)
            st = ops->sync_shard(window->stream, place.input);
        if (st == LS_ERR_NOT_FOUND) { /* It has expired, or the stream is gone: then the write says so. */
            lsi_error_restore(&before);
            st = LS_OK;
        }
    }
    return st;
}

static bool is_all_due(const lsi_window *window)
{
    const lsi_window_rows *rows = &window->rows;
    uint64_t live = lsi_windows_save_bytes(window->windows);

    return rows->bytes > 2 * live + DEAD_BYTES_LEAST ||
           rows->end - rows->first > PARTS_LEAST + live / BYTES_FOR_A_PART;
}

/* A part of the save under way. One key may need more room than parts have. */
static ls_status next_part(const lsi_window *window, lsi_windows_part *save, void **bytes, size_t *size)
{
    ls_status st;

    save->bytes_max = PART_BYTES;
    st = lsi_windows_save(window->windows, save, bytes, size);
    if (st != LS_ERR_TOO_LARGE)
        return st;
    save->bytes_max = PART_BYTES_MOST;
    st = lsi_windows_save(window->windows, save, bytes, size);
    return st == LS_ERR_TOO_LARGE ? lsi_fail_within(window->name) : st;
}

/* The step that makes all of it count. `part` is the last one; without keys it is not written. */
static ls_status write_last(lsi_window *window, bool is_all, uint64_t number, ls_bytes part, uint64_t bytes)
{
    lsi_window_rows *rows = &window->rows;
    const lsi_memory *memory = &window->env->memory;
    uint64_t end = number + (part.size > 0), first = is_all ? rows->end : rows->first;
    uint32_t gone = is_all ? (uint32_t)(rows->end - rows->first) : 0, count = 1;
    lsi_state_change *changes = NULL;
    row_key *keys = NULL, key;
    unsigned char *head = NULL;
    size_t head_bytes;
    ls_status st = removals(window, NULL, rows->first, gone, &changes, &keys, 2);

    if (st == LS_OK)
        st = make_head(window, rows->ticket, first, end, bytes, &head, &head_bytes);
    if (st != LS_OK)
        goto done;
    changes[0].value = (ls_bytes){head, head_bytes};
    if (part.size > 0) {
        make_key(&key, window->name, number);
        changes[count++] = (lsi_state_change){.key = key.bytes, .expected = LSI_STATE_ANY, .value = part};
    }
    memmove(&changes[count], &changes[2], gone * sizeof *changes);
    st = write_step(window, changes, count + gone);
    if (st != LS_OK)
        goto done;
    keep_head(window, head, head_bytes);
    head = NULL;
    rows->first = first;
    rows->end = end;
    rows->bytes = bytes;
    lsi_windows_saved(window->windows);
done:
    lsi_free(memory, head);
    lsi_free(memory, changes);
    lsi_free(memory, keys);
    return st;
}

/* A step with a part that does not count yet. */
static ls_status write_part(lsi_window *window, uint64_t number, ls_bytes part)
{
    lsi_state_change changes[2] = {
        {.value = {window->rows.head, window->rows.head_bytes}},
        {.expected = LSI_STATE_ANY, .value = part},
    };
    row_key key;

    make_key(&key, window->name, number);
    changes[1].key = key.bytes;
    return write_step(window, changes, 2);
}

ls_status lsi_window_rows_store(lsi_window *window)
{
    bool is_all = is_all_due(window);
    lsi_windows_part save = {.keys = is_all ? LSI_KEYS_ALL : LSI_KEYS_CHANGED};
    uint64_t number = window->rows.end, bytes = is_all ? 0 : window->rows.bytes;
    ls_status st;

    if (!lsi_windows_have_changed(window->windows))
        return LS_OK;
    st = sync_inputs(window);
    while (st == LS_OK) {
        void *part;
        size_t size;

        st = next_part(window, &save, &part, &size);
        if (st != LS_OK)
            break;
        if (save.key_count == 0)
            size = 0;
        bytes += size;
        st = save.is_last ? write_last(window, is_all, number, (ls_bytes){part, size}, bytes)
                          : write_part(window, number, (ls_bytes){part, size});
        number++;
        lsi_free(&window->env->memory, part);
        if (save.is_last)
            break;
    }
    return st;
}

/* ---- deleting ---- */

typedef struct naming {
    const lsi_memory *memory;
    row_key prefix;
    uint64_t parts[REMOVED_AT_ONCE];
    uint32_t count;
    bool has_head;
} naming;

static bool note_row(void *user, const lsi_state_entry *entry)
{
    naming *of = user;

    if (entry->key.size == of->prefix.bytes.size)
        of->has_head = true;
    else if (part_of(entry->key, of->prefix.bytes.size, &of->parts[of->count]))
        of->count++;
    return of->count < REMOVED_AT_ONCE;
}

/* Removes the head, and as many parts as one step takes. */
static ls_status remove_some(lsi_engine_stream *stream, const char *name, naming *of)
{
    const lsi_memory *memory = of->memory;
    lsi_state_change *changes = lsi_alloc_zero(memory, (of->count + 1) * sizeof *changes);
    row_key *keys = lsi_alloc(memory, (of->count + 1) * sizeof *keys);
    uint32_t conflict;
    ls_status st = changes != NULL && keys != NULL
                       ? LS_OK : lsi_fail(LS_ERR_NO_MEMORY, "no memory for window '%s'", name);

    for (uint32_t i = 0; st == LS_OK && i <= of->count; i++) {
        make_key(&keys[i], name, i == 0 ? ANY_PART : of->parts[i - 1]);
        changes[i] = (lsi_state_change){.key = keys[i].bytes, .expected = LSI_STATE_ANY};
    }
    if (st == LS_OK)
        st = stream->engine->ops->state_write(stream, changes, of->count + 1, &conflict);
    lsi_free(memory, changes);
    lsi_free(memory, keys);
    return st;
}

ls_status lsi_window_remove(lsi_engine_stream *stream, const char *name)
{
    const lsi_memory *memory = &stream->engine->env.memory;
    naming *of = lsi_alloc(memory, sizeof *of);
    bool has_any = false;
    ls_status st;

    if (of == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for window '%s'", name);
    do {
        of->memory = memory;
        of->count = 0;
        of->has_head = false;
        make_key(&of->prefix, name, ANY_PART);
        st = stream->engine->ops->state_read(stream, of->prefix.bytes, note_row, of);
        if (st == LS_OK && !of->has_head && !has_any)
            st = lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' has no window of the name '%s'", stream->name, name);
        has_any = true;
        if (st == LS_OK && (of->has_head || of->count > 0))
            st = remove_some(stream, name, of);
    } while (st == LS_OK && of->count == REMOVED_AT_ONCE);
    lsi_free(memory, of);
    return st;
}
