/* What windows over event time keep: a table of keys, each with its open windows in order, and a heap of all of these
 * by the watermark at which something is to be done with them. */
#include "consume/window/inside.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"

#define PLACES_FIRST 64u

/* ---- the bound ---- */

uint64_t lsi_pane_bytes(const lsi_windows *windows)
{
    return sizeof(lsi_pane) + windows->settings.fold.bytes + 2 * sizeof(lsi_pane *); /* of its key, and of the heap */
}

uint64_t lsi_pane_key_bytes(size_t size)
{
    return sizeof(lsi_pane_key) + size + sizeof(lsi_pane_key *);
}

static ls_status take_bytes(lsi_windows *windows, uint64_t bytes)
{
    if (bytes > windows->settings.state_bytes_max || windows->state_bytes > windows->settings.state_bytes_max - bytes)
        return lsi_fail(LS_ERR_TOO_LARGE,
                        "windows: %llu bytes of state are kept, and %llu more are over the bound of %llu",
                        (unsigned long long)windows->state_bytes, (unsigned long long)bytes,
                        (unsigned long long)windows->settings.state_bytes_max);
    windows->state_bytes += bytes;
    return LS_OK;
}

static ls_status no_memory(lsi_windows *windows, uint64_t bytes)
{
    windows->state_bytes -= bytes;
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for windows, %llu bytes", (unsigned long long)bytes);
}

/* ---- the heap ---- */

/* V5 */
static int compare(const lsi_pane *a, const lsi_pane *b)
{
    size_t common = a->key->size < b->key->size ? a->key->size : b->key->size;
    int order;

    if (a->due_ms != b->due_ms)
        return a->due_ms < b->due_ms ? -1 : 1;
    if (a->end_ms != b->end_ms)
        return a->end_ms < b->end_ms ? -1 : 1;
    if (a->start_ms != b->start_ms)
        return a->start_ms < b->start_ms ? -1 : 1;
    order = common == 0 ? 0 : memcmp(a->key->bytes, b->key->bytes, common);
    return order != 0 ? order : (a->key->size > b->key->size) - (a->key->size < b->key->size);
}

static void put(lsi_windows *windows, size_t at, lsi_pane *pane)
{
    windows->heap[at] = pane;
    pane->heap_at = at;
}

static void rise(lsi_windows *windows, lsi_pane *pane)
{
    size_t at = pane->heap_at;

    while (at > 0 && compare(pane, windows->heap[(at - 1) / 2]) < 0) {
        put(windows, at, windows->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(windows, at, pane);
}

static void sink(lsi_windows *windows, lsi_pane *pane)
{
    size_t at = pane->heap_at;

    for (;;) {
        size_t least = 2 * at + 1;

        if (least + 1 < windows->pane_count && compare(windows->heap[least + 1], windows->heap[least]) < 0)
            least++;
        if (least >= windows->pane_count || compare(pane, windows->heap[least]) <= 0)
            break;
        put(windows, at, windows->heap[least]);
        at = least;
    }
    put(windows, at, pane);
}

void lsi_pane_moved(lsi_windows *windows, lsi_pane *pane)
{
    rise(windows, pane);
    sink(windows, pane);
}

/* ---- keys ---- */

static uint64_t hash_of(ls_bytes key)
{
    return lsi_sum64(key.data, key.size, 0);
}

lsi_pane_key *lsi_pane_key_find(const lsi_windows *windows, ls_bytes key)
{
    uint64_t hash = hash_of(key);
    lsi_pane_key *found = windows->place_count == 0 ? NULL : windows->table[hash & (windows->place_count - 1)];

    while (found != NULL && (found->hash != hash || found->size != key.size ||
                             (key.size != 0 && memcmp(found->bytes, key.data, key.size) != 0)))
        found = found->next;
    return found;
}

static bool grow_table(lsi_windows *windows)
{
    size_t count = windows->place_count == 0 ? PLACES_FIRST : 2 * windows->place_count;
    lsi_pane_key **table;

    if (windows->key_count < windows->place_count)
        return true;
    table = lsi_alloc_zero(&windows->memory, count * sizeof *table);
    if (table == NULL)
        return windows->place_count != 0; /* A crowded table is a slow one, no more. */
    for (size_t i = 0; i < windows->place_count; i++) {
        while (windows->table[i] != NULL) {
            lsi_pane_key *key = windows->table[i];

            windows->table[i] = key->next;
            key->next = table[key->hash & (count - 1)];
            table[key->hash & (count - 1)] = key;
        }
    }
    lsi_free(&windows->memory, windows->table);
    windows->table = table;
    windows->place_count = count;
    return true;
}

ls_status lsi_pane_key_make(lsi_windows *windows, ls_bytes key, lsi_pane_key **out)
{
    lsi_pane_key *made = lsi_pane_key_find(windows, key);
    bool is_there = made != NULL && made->pane_count != 0;
    ls_status st = is_there ? LS_OK : take_bytes(windows, lsi_pane_key_bytes(key.size));

    if (st != LS_OK)
        return st;
    if (made == NULL) {
        made = grow_table(windows) ? lsi_alloc(&windows->memory, sizeof *made + key.size) : NULL;
        if (made == NULL)
            return no_memory(windows, lsi_pane_key_bytes(key.size));
        *made = (lsi_pane_key){.hash = hash_of(key), .pane_capacity = 1, .size = key.size};
        made->panes = &made->only;
        if (key.size != 0)
            memcpy(made->bytes, key.data, key.size);
        made->next = windows->table[made->hash & (windows->place_count - 1)];
        windows->table[made->hash & (windows->place_count - 1)] = made;
        windows->key_count++;
    } else if (!is_there) {
        windows->gone_count--; /* It comes back before anybody was told that it is gone. */
    }
    *out = made;
    return LS_OK;
}

void lsi_pane_key_changed(lsi_windows *windows, lsi_pane_key *key)
{
    if (key->is_changed || !windows->settings.notes_changes)
        return;
    key->is_changed = true;
    key->changed_before = NULL;
    key->changed_next = windows->changed;
    if (windows->changed != NULL)
        windows->changed->changed_before = key;
    windows->changed = key;
}

static void take_from_changed(lsi_windows *windows, lsi_pane_key *key)
{
    if (!key->is_changed)
        return;
    if (key->changed_before != NULL)
        key->changed_before->changed_next = key->changed_next;
    else
        windows->changed = key->changed_next;
    if (key->changed_next != NULL)
        key->changed_next->changed_before = key->changed_before;
    key->is_changed = false;
}

static void free_key(lsi_windows *windows, lsi_pane_key *key)
{
    lsi_pane_key **link = &windows->table[key->hash & (windows->place_count - 1)];

    take_from_changed(windows, key);
    while (*link != key)
        link = &(*link)->next;
    *link = key->next;
    windows->key_count--;
    if (key->panes != &key->only)
        lsi_free(&windows->memory, key->panes);
    lsi_free(&windows->memory, key);
}

void lsi_pane_key_drop(lsi_windows *windows, lsi_pane_key *key)
{
    assert(key->pane_count == 0);
    windows->state_bytes -= lsi_pane_key_bytes(key->size);
    if (!key->is_saved) {
        free_key(windows, key);
        return;
    }
    lsi_pane_key_changed(windows, key);
    windows->gone_count++;
}

void lsi_windows_saved(lsi_windows *windows)
{
    while (windows->changed != NULL) {
        lsi_pane_key *key = windows->changed;

        take_from_changed(windows, key);
        key->is_saved = key->pane_count != 0;
        if (key->is_saved)
            continue;
        windows->gone_count--;
        free_key(windows, key);
    }
    for (size_t i = 0; i < windows->input_count; i++)
        windows->inputs[i].is_ahead = false;
    windows->has_input_changed = false;
}

/* ---- panes ---- */

size_t lsi_pane_place(const lsi_pane_key *key, int64_t start_ms, int64_t end_ms)
{
    size_t low = 0, high = key->pane_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const lsi_pane *pane = key->panes[middle];

        if (pane->start_ms < start_ms || (pane->start_ms == start_ms && pane->end_ms < end_ms))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Most keys have one pane at a time, which needs no array, nor a look at it. False: no memory. */
static bool make_room(lsi_windows *windows, lsi_pane_key *key)
{
    bool is_first = key->panes == &key->only;
    void *panes = is_first ? NULL : key->panes;
    size_t capacity = is_first ? 0 : key->pane_capacity;

    if (key->pane_count < key->pane_capacity)
        return true;
    if (!lsi_grow(&windows->memory, &panes, &capacity, key->pane_count + 1, sizeof *key->panes))
        return false;
    if (is_first)
        ((lsi_pane **)panes)[0] = key->only;
    key->panes = panes;
    key->pane_capacity = capacity;
    return true;
}

ls_status lsi_pane_make(lsi_windows *windows, lsi_pane_key *key, int64_t start_ms, int64_t end_ms, lsi_pane **out)
{
    size_t at = lsi_pane_place(key, start_ms, end_ms);
    void *heap = windows->heap;
    lsi_pane *made = NULL;
    ls_status st = take_bytes(windows, lsi_pane_bytes(windows));

    if (st != LS_OK)
        return st;
    if (lsi_grow(&windows->memory, &heap, &windows->heap_capacity, windows->pane_count + 1, sizeof *windows->heap))
        windows->heap = heap;
    if (windows->heap_capacity > windows->pane_count && make_room(windows, key))
        made = lsi_alloc(&windows->memory, sizeof *made + windows->settings.fold.bytes);
    if (made == NULL)
        return no_memory(windows, lsi_pane_bytes(windows));
    *made = (lsi_pane){.key = key, .start_ms = start_ms, .end_ms = end_ms, .due_ms = end_ms - 1};
    windows->settings.fold.init(windows->settings.fold.user, made->sum);
    memmove(key->panes + at + 1, key->panes + at, (key->pane_count - at) * sizeof *key->panes);
    key->panes[at] = made;
    key->pane_count++;
    put(windows, windows->pane_count++, made);
    rise(windows, made);
    lsi_pane_key_changed(windows, key);
    *out = made;
    return LS_OK;
}

void lsi_pane_drop(lsi_windows *windows, lsi_pane *pane)
{
    lsi_pane_key *key = pane->key;
    lsi_pane *last = windows->heap[--windows->pane_count];
    size_t at = lsi_pane_place(key, pane->start_ms, pane->end_ms);

    if (last != pane) {
        put(windows, pane->heap_at, last);
        lsi_pane_moved(windows, last);
    }
    assert(key->panes[at] == pane);
    lsi_pane_key_changed(windows, key);
    key->pane_count--;
    memmove(key->panes + at, key->panes + at + 1, (key->pane_count - at) * sizeof *key->panes);
    windows->state_bytes -= lsi_pane_bytes(windows);
    lsi_free(&windows->memory, pane);
    if (key->pane_count == 0)
        lsi_pane_key_drop(windows, key);
}

void lsi_panes_free(lsi_windows *windows)
{
    while (windows->pane_count > 0)
        lsi_pane_drop(windows, windows->heap[windows->pane_count - 1]);
    lsi_windows_saved(windows); /* Nobody will ask for those that are gone. */
    assert(windows->key_count == 0 && windows->state_bytes == 0);
    lsi_free(&windows->memory, windows->table);
    lsi_free(&windows->memory, windows->heap);
}
