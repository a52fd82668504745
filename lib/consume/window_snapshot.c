/* A snapshot of windows over event time. Little-endian:
 *
 *     OFFSET  SIZE  FIELD
 *     0       4     "LSW1"
 *     4       4     kind
 *     8       40    size, step, gap, offset (ms); bytes of a sum
 *     48      8     watermark
 *     56      4     inputs
 *     60      4     keys
 *     64            inputs: number u32, state u32, watermark i64, greatest i64, position u64
 *                   keys: size u32, panes u32, bytes, panes: start i64, end i64, count u64, flags u64, sum
 *
 * It is valid if and only if
 *   N1  the head is whole, its first word and its settings are ours;
 *   N2  inputs ascend, and their states are known;
 *   N3  no key comes twice or has no panes; its panes ascend, are not empty, and have elements; sessions are apart;
 *   N4  nothing is behind.
 * It is not summed: what stores it does that. */
#include "consume/window_inside.h"

#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define MAGIC UINT32_C(0x3157534c) /* "LSW1" */
#define HEAD_BYTES 64u
#define INPUT_BYTES 32u
#define KEY_BYTES 8u
#define PANE_BYTES 32u

#define FLAG_FIRED UINT64_C(1)
#define FLAG_AGAIN UINT64_C(2)

/* ---- writing ---- */

static void put_head(const lsi_windows *windows, lsi_writer *to)
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
    lsi_put_u32(to, (uint32_t)windows->input_count);
    lsi_put_u32(to, (uint32_t)windows->key_count);
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

ls_status lsi_windows_save(const lsi_windows *windows, void **out, size_t *out_size)
{
    size_t size = HEAD_BYTES + windows->input_count * INPUT_BYTES +
                  windows->pane_count * (PANE_BYTES + windows->settings.fold.bytes);
    unsigned char *bytes;
    lsi_writer to;

    for (size_t i = 0; i < windows->place_count; i++)
        for (const lsi_pane_key *key = windows->table[i]; key != NULL; key = key->next)
            size += KEY_BYTES + key->size;
    bytes = lsi_alloc(&windows->memory, size);
    if (bytes == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a snapshot of windows, %zu bytes", size);
    to = (lsi_writer){bytes, bytes + size};
    put_head(windows, &to);
    for (size_t i = 0; i < windows->input_count; i++) {
        const lsi_window_input *input = &windows->inputs[i];

        lsi_put_u32(&to, input->input);
        lsi_put_u32(&to, (uint32_t)input->state);
        lsi_put_u64(&to, (uint64_t)input->watermark_ms);
        lsi_put_u64(&to, (uint64_t)input->greatest_ms);
        lsi_put_u64(&to, input->position);
    }
    for (size_t i = 0; i < windows->place_count; i++)
        for (const lsi_pane_key *key = windows->table[i]; key != NULL; key = key->next)
            put_key(windows, key, &to);
    *out = bytes;
    *out_size = size;
    return LS_OK;
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

static ls_status take_input(lsi_windows *windows, lsi_cursor *from)
{
    uint32_t number = lsi_take_u32(from), state = lsi_take_u32(from);
    int64_t watermark_ms = (int64_t)lsi_take_u64(from), greatest_ms = (int64_t)lsi_take_u64(from);
    uint64_t position = lsi_take_u64(from);
    lsi_window_input *input;

    if (from->bad || state > LSI_INPUT_ENDED || /* N2 */
        (windows->input_count > 0 && windows->inputs[windows->input_count - 1].input >= number))
        return corrupt("an input");
    input = lsi_window_input_make(windows, number);
    if (input == NULL)
        return LS_ERR_NO_MEMORY;
    input->state = (lsi_input_state)state;
    input->watermark_ms = watermark_ms;
    input->greatest_ms = greatest_ms;
    input->position = position;
    return LS_OK;
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

static ls_status take_key(lsi_windows *windows, lsi_cursor *from)
{
    uint32_t size = lsi_take_u32(from), panes = lsi_take_u32(from);
    const unsigned char *bytes = lsi_take_bytes(from, size);
    lsi_pane_key *key;
    ls_status st;

    if (from->bad || panes == 0 || lsi_pane_key_find(windows, (ls_bytes){bytes, size}) != NULL) /* N3 */
        return corrupt("a key");
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

    for (uint32_t i = 0; st == LS_OK && i < inputs; i++)
        st = take_input(windows, &from);
    for (uint32_t i = 0; st == LS_OK && i < keys; i++)
        st = take_key(windows, &from);
    if (st == LS_OK && from.at != from.end) /* N4 */
        st = corrupt("something is behind it");
    return st;
}
