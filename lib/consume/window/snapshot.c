/* A snapshot of windows over event time, or a part of one. Little-endian:
 *
 *     OFFSET  SIZE  FIELD
 *     0       4     "LSW1"
 *     4       4     kind
 *     8       40    size, step, gap, offset (ms); bytes of a sum
 *     48      8     watermark
 *     56      4     inputs
 *     60      4     keys
 *     64            inputs: number u32, state u8, part u24 (0: all of the record at the position; else only so many of
 *                   its user records), watermark i64, greatest i64, position u64
 *                   keys: size u32, panes u32, bytes, panes: start i64, end i64, count u64, flags u64, sum
 *
 * A part with inputs has all of them. A key of a later part takes the place of what was known of it, and is gone when
 * it has no panes.
 *
 * It is valid if and only if
 *   N1  the head is whole, its first word and its settings are ours;
 *   N2  inputs ascend, and their states are known;
 *   N3  the panes of a key ascend, are not empty, and have elements; its sessions are apart;
 *   N4  nothing is behind.
 * It is not summed: what stores it does that. */
#include "consume/window/inside.h"

#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define MAGIC UINT32_C(0x3157534c) /* "LSW1" */
#define HEAD_BYTES 64u
#define INPUT_BYTES 32u
#define PART_SHIFT 8 /* no record has so many user records, which take six bytes each, as 24 bits can say */
#define KEY_BYTES 8u
#define PANE_BYTES 32u

#define FLAG_FIRED UINT64_C(1)
#define FLAG_AGAIN UINT64_C(2)

/* ---- writing ---- */

static void put_head(const lsi_windows *windows, size_t input_count, lsi_writer *to)
{
    const lsi_windows_settings *settings = &windows->settings;

    lsi_put_u32(to, MAGIC);
    lsi_put_u32(to, (uint32_t)settings->kind);
    lsi_put_u64(to, (uint64_t)settings->size_ms);
    lsi_put_u64(to, (uint64_t)settings->step_ms);
    lsi_put_u64(to, (uint64_t)settings->gap_ms);
    lsi_put_u64(to, (uint64_t)settings->offset_ms);
    lsi_put_u64(to, settings->fold.bytes);
    lsi_put_u64(to, (uint64_t)windows->watermark_ms);
    lsi_put_u32(to, (uint32_t)input_count);
    lsi_put_u32(to, 0); /* Keys are counted when they are there. */
}

static void put_input(const lsi_window_input *input, lsi_writer *to)
{
    lsi_put_u32(to, input->input);
    lsi_put_u32(to, (uint32_t)input->state | input->position.part << PART_SHIFT);
    lsi_put_u64(to, (uint64_t)input->watermark_ms);
    lsi_put_u64(to, (uint64_t)input->greatest_ms);
    lsi_put_u64(to, input->position.seqno);
}

static void put_key(const lsi_windows *windows, const lsi_pane_key *key, lsi_writer *to)
{
    lsi_put_u32(to, (uint32_t)key->size);
    lsi_put_u32(to, (uint32_t)key->pane_count);
    lsi_put_bytes(to, key->bytes, key->size);
    for (size_t i = 0; i < key->pane_count; i++) {
        const lsi_pane *pane = key->panes[i];

        lsi_put_u64(to, (uint64_t)pane->start_ms);
        lsi_put_u64(to, (uint64_t)pane->end_ms);
        lsi_put_u64(to, pane->count);
        lsi_put_u64(to, (pane->has_fired ? FLAG_FIRED : 0) | (pane->wants_again ? FLAG_AGAIN : 0));
        lsi_put_bytes(to, pane->sum, windows->settings.fold.bytes);
    }
}

static size_t bytes_of(const lsi_windows *windows, const lsi_pane_key *key)
{
    return KEY_BYTES + key->size + key->pane_count * (PANE_BYTES + windows->settings.fold.bytes);
}

/* The key that the part is at, or comes to from where it is. NULL: there is none. */
static const lsi_pane_key *come_to(const lsi_windows *windows, lsi_windows_part *part)
{
    const lsi_pane_key *key = part->next;

    if (part->keys == LSI_KEYS_CHANGED && part->place == 0) {
        part->place = 1; /* It has begun. */
        key = windows->changed;
    }
    while (part->keys == LSI_KEYS_ALL && (key == NULL ? part->place < windows->place_count : key->pane_count == 0))
        key = key == NULL ? windows->table[part->place++] : key->next;
    part->next = key;
    return key;
}

static void pass(lsi_windows_part *part, const lsi_pane_key *key)
{
    part->next = part->keys == LSI_KEYS_CHANGED ? key->changed_next : key->next;
}

/* How many bytes the keys of the next part have. `*at` is where it begins, and the next one's beginning afterwards. */
static size_t measure(const lsi_windows *windows, lsi_windows_part *at, size_t room, uint32_t *count)
{
    const lsi_pane_key *key;
    size_t bytes = 0;

    for (*count = 0; *count < UINT32_MAX && (key = come_to(windows, at)) != NULL; (*count)++) {
        if (bytes_of(windows, key) > room - bytes)
            break;
        bytes += bytes_of(windows, key);
        pass(at, key);
    }
    return bytes;
}

ls_status lsi_windows_save(const lsi_windows *windows, lsi_windows_part *part, void **out, size_t *out_size)
{
    size_t input_count = part->has_inputs ? windows->input_count : 0;
    size_t size = HEAD_BYTES + input_count * INPUT_BYTES;
    lsi_windows_part at = *part, end = *part;
    unsigned char *bytes;
    lsi_writer to;

    size += measure(windows, &end, part->bytes_max > size ? part->bytes_max - size : 0, &end.key_count);
    end.is_last = come_to(windows, &end) == NULL;
    if (end.key_count == 0 && !end.is_last)
        return lsi_fail(LS_ERR_TOO_LARGE, "windows: those of one key take %zu bytes to save, more than %zu",
                        bytes_of(windows, come_to(windows, &end)), part->bytes_max);
    bytes = lsi_alloc(&windows->memory, size);
    if (bytes == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a snapshot of windows, %zu bytes", size);
    to = (lsi_writer){bytes, bytes + size};
    put_head(windows, input_count, &to);
    lsi_write_u32le(bytes + HEAD_BYTES - 4, end.key_count);
    for (size_t i = 0; i < input_count; i++)
        put_input(&windows->inputs[i], &to);
    for (uint32_t i = 0; i < end.key_count; i++) {
        const lsi_pane_key *key = come_to(windows, &at);

        put_key(windows, key, &to);
        pass(&at, key);
    }
    *part = end;
    *out = bytes;
    *out_size = size;
    return LS_OK;
}

uint64_t lsi_windows_save_bytes(const lsi_windows *windows)
{
    uint64_t keys = windows->key_count - windows->gone_count;
    uint64_t panes = windows->pane_count;
    uint64_t names = windows->state_bytes - panes * lsi_pane_bytes(windows) - keys * lsi_pane_key_bytes(0);

    return HEAD_BYTES + windows->input_count * INPUT_BYTES + keys * KEY_BYTES + names +
           panes * (PANE_BYTES + windows->settings.fold.bytes);
}

bool lsi_windows_have_changed(const lsi_windows *windows)
{
    return windows->changed != NULL || windows->has_input_changed;
}

/* ---- reading ---- */

static ls_status corrupt(const char *what)
{
    return lsi_fail(LS_ERR_CORRUPT, "this is no snapshot of windows: %s", what);
}

static ls_status take_head(lsi_windows *windows, lsi_cursor *from, uint32_t *inputs, uint32_t *keys)
{
    const lsi_windows_settings *settings = &windows->settings;
    bool is_ours, is_same;

    is_ours = lsi_take_u32(from) == MAGIC;
    is_same = lsi_take_u32(from) == (uint32_t)settings->kind;
    is_same = (lsi_take_u64(from) == (uint64_t)settings->size_ms) & is_same;
    is_same = (lsi_take_u64(from) == (uint64_t)settings->step_ms) & is_same;
    is_same = (lsi_take_u64(from) == (uint64_t)settings->gap_ms) & is_same;
    is_same = (lsi_take_u64(from) == (uint64_t)settings->offset_ms) & is_same;
    is_same = (lsi_take_u64(from) == settings->fold.bytes) & is_same;
    windows->watermark_ms = (int64_t)lsi_take_u64(from);
    *inputs = lsi_take_u32(from);
    *keys = lsi_take_u32(from);
    if (from->bad || !is_ours) /* N1 */
        return corrupt("its head");
    return is_same ? LS_OK : lsi_fail(LS_ERR_STATE, "a snapshot of windows of other settings cannot be restored");
}

/* False: it is none. */
static bool read_input(lsi_cursor *from, lsi_window_input *out)
{
    uint32_t state;

    out->input = lsi_take_u32(from);
    state = lsi_take_u32(from);
    out->position.part = state >> PART_SHIFT;
    state &= (1u << PART_SHIFT) - 1;
    out->state = (lsi_input_state)state;
    out->watermark_ms = (int64_t)lsi_take_u64(from);
    out->greatest_ms = (int64_t)lsi_take_u64(from);
    out->position.seqno = lsi_take_u64(from);
    return !from->bad && state <= LSI_INPUT_ENDED;
}

static ls_status take_input(lsi_windows *windows, lsi_cursor *from)
{
    lsi_window_input found, *input;

    if (!read_input(from, &found) || /* N2 */
        (windows->input_count > 0 && windows->inputs[windows->input_count - 1].input >= found.input))
        return corrupt("an input");
    input = lsi_window_input_make(windows, found.input);
    if (input == NULL)
        return LS_ERR_NO_MEMORY;
    input->state = found.state;
    input->watermark_ms = found.watermark_ms;
    input->greatest_ms = found.greatest_ms;
    input->position = found.position;
    return LS_OK;
}

void lsi_windows_each_input(const void *bytes, size_t size, void (*each)(void *user, const lsi_windows_place *place),
                            void *user)
{
    lsi_cursor from = {.at = bytes, .end = (const unsigned char *)bytes + size};
    bool is_ours = lsi_take_u32(&from) == MAGIC;
    lsi_window_input found;
    uint32_t count;

    (void)lsi_take_bytes(&from, HEAD_BYTES - 12);
    count = lsi_take_u32(&from);
    (void)lsi_take_u32(&from); /* keys */
    for (uint32_t i = 0; is_ours && i < count && read_input(&from, &found); i++)
        each(user, &(lsi_windows_place){
            .input = found.input,
            .is_idle = found.state == LSI_INPUT_IDLE,
            .has_ended = found.state == LSI_INPUT_ENDED,
            .position = found.position,
            .watermark_ms = found.watermark_ms,
        });
}

static ls_status take_pane(lsi_windows *windows, lsi_pane_key *key, lsi_cursor *from)
{
    int64_t start_ms = (int64_t)lsi_take_u64(from), end_ms = (int64_t)lsi_take_u64(from);
    uint64_t count = lsi_take_u64(from), flags = lsi_take_u64(from);
    const unsigned char *sum = lsi_take_bytes(from, windows->settings.fold.bytes);
    const lsi_pane *before = key->pane_count == 0 ? NULL : key->panes[key->pane_count - 1];
    lsi_pane *pane;
    ls_status st;

    if (from->bad || start_ms >= end_ms || count == 0 || (flags & ~(FLAG_FIRED | FLAG_AGAIN)) != 0)
        return corrupt("a window");
    if (before != NULL && (before->start_ms > start_ms || (before->start_ms == start_ms && before->end_ms >= end_ms)))
        return corrupt("the order of windows"); /* N3 */
    if (before != NULL && windows->settings.kind == LSI_WINDOWS_SESSION && before->end_ms >= start_ms)
        return corrupt("two sessions that are one");
    st = lsi_pane_make(windows, key, start_ms, end_ms, &pane);
    if (st != LS_OK)
        return st;
    if (windows->settings.fold.bytes != 0)
        memcpy(pane->sum, sum, windows->settings.fold.bytes);
    pane->count = count;
    pane->has_fired = (flags & FLAG_FIRED) != 0;
    pane->wants_again = (flags & FLAG_AGAIN) != 0;
    pane->due_ms = lsi_pane_due(windows, pane);
    lsi_pane_moved(windows, pane);
    return LS_OK;
}

/* What is known of a key makes room. */
static void drop_panes(lsi_windows *windows, lsi_pane_key *key)
{
    for (size_t i = key->pane_count; i-- > 0;)
        lsi_pane_drop(windows, key->panes[i]); /* The last one takes the key with it: `i` is 0 then. */
}

static ls_status take_key(lsi_windows *windows, lsi_cursor *from)
{
    uint32_t size = lsi_take_u32(from), panes = lsi_take_u32(from);
    const unsigned char *bytes = lsi_take_bytes(from, size);
    lsi_pane_key *key;
    ls_status st = LS_OK;

    if (from->bad)
        return corrupt("a key");
    key = lsi_pane_key_find(windows, (ls_bytes){bytes, size});
    if (key != NULL)
        drop_panes(windows, key);
    if (panes > 0)
        st = lsi_pane_key_make(windows, (ls_bytes){bytes, size}, &key);
    for (uint32_t i = 0; st == LS_OK && i < panes; i++) {
        st = take_pane(windows, key, from);
        if (st != LS_OK && i == 0)
            lsi_pane_key_drop(windows, key); /* Nothing else would free a key without panes. */
    }
    return st;
}

ls_status lsi_windows_restore(lsi_windows *windows, const void *bytes, size_t size)
{
    lsi_cursor from = {.at = bytes, .end = (const unsigned char *)bytes + size};
    uint32_t inputs, keys;
    ls_status st = take_head(windows, &from, &inputs, &keys);

    if (inputs > 0)
        windows->input_count = 0;
    for (uint32_t i = 0; st == LS_OK && i < inputs; i++)
        st = take_input(windows, &from);
    for (uint32_t i = 0; st == LS_OK && i < keys; i++)
        st = take_key(windows, &from);
    if (st == LS_OK && from.at != from.end) /* N4 */
        st = corrupt("something is behind it");
    if (st == LS_OK)
        lsi_windows_saved(windows); /* It is what is stored. */
    return st;
}
