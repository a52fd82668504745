/* A record's data, reduced to the values at paths that some pattern asks for, as a tree in one array.
 *
 * The reader's tokens come in; a value nobody asks for is passed over, with all that is in it. A key is cut at its
 * dots, and what lies between becomes objects of one member. Which of two equal keys in one object is meant is known
 * only when the second one comes: so each path notes which object last led to it, by a key of how many steps (the same
 * path can be reached from different objects that are open, by keys of different lengths), and the value before dies.
 * */
#include "consume/filter/filter.h"

#include <string.h>

#include "base/status.h"

/* A new value behind the last of its container; 0: no memory, and `st` says so. It is written where it will lie: a copy
 * of what was just stored piece by piece costs as much as all the rest. */
static uint32_t append(lsi_filter *filter, uint32_t container, uint32_t *last, const lsi_path *at, lsi_value_kind kind)
{
    uint32_t index = filter->value_count;

    if (index == filter->value_capacity) {
        void *values = filter->values;

        if (index == UINT32_MAX || !lsi_grow(&filter->memory, &values, &filter->value_capacity, (size_t)index + 1,
                                             sizeof *filter->values)) {
            filter->st = lsi_fail(LS_ERR_NO_MEMORY, "no memory to filter a record of %zu bytes", filter->data_size);
            return 0;
        }
        filter->values = values;
    }
    filter->values[index] = (lsi_filter_value){.at = at, .kind = kind};
    if (*last != 0)
        filter->values[*last].next = index;
    else
        filter->values[container].first = index;
    *last = index;
    filter->value_count++;
    return index;
}

ls_status lsi_filter_values_begin(lsi_filter *filter)
{
    uint32_t last = 0;

    filter->st = LS_OK;
    filter->data_size = 0;
    filter->value_count = 0;
    filter->text_used = 0;
    filter->level = 0;
    filter->skipped = 0;
    if (filter->value_capacity == 0) {
        filter->values = lsi_alloc(&filter->memory, 64 * sizeof *filter->values);
        if (filter->values == NULL)
            return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a filter");
        filter->value_capacity = 64;
    }
    (void)append(filter, 0, &last, NULL, LSI_VALUE_DEAD); /* so that 0 is none */
    last = 0;
    (void)append(filter, 0, &last, filter->record, LSI_VALUE_OBJECT);
    filter->frames[0] = (lsi_filter_frame){.container = 1, .at = filter->record};
    return LS_OK;
}

ls_status lsi_filter_values_add(lsi_filter *filter, lsi_path *at, lsi_value_kind kind, const char *text, size_t size)
{
    uint32_t index;

    if (size > UINT32_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "a key of %zu bytes is too large to be filtered", size);
    index = append(filter, 1, &filter->frames[0].last, at, kind);
    if (index != 0) {
        filter->values[index].text = size == 0 ? "" : text;
        filter->values[index].text_size = (uint32_t)size;
    }
    return filter->st;
}

/* A string or number that outlives its token: the text is in the data itself, or an unescaped one in a buffer that the
 * reader uses again. All of the latter together are shorter than the data. */
static const char *keep_text(lsi_filter *filter, const char *text, size_t size)
{
    char *own;

    if ((uintptr_t)text >= (uintptr_t)filter->data && (uintptr_t)text < (uintptr_t)filter->data + filter->data_size)
        return text;
    if (filter->text_capacity < filter->data_size) { /* Only ever before the first of them: none is moved. */
        lsi_free(&filter->memory, filter->texts);
        filter->texts = lsi_alloc(&filter->memory, filter->data_size);
        filter->text_capacity = filter->texts == NULL ? 0 : filter->data_size;
        if (filter->texts == NULL) {
            filter->st = lsi_fail(LS_ERR_NO_MEMORY, "no memory to filter a record of %zu bytes", filter->data_size);
            return NULL;
        }
    }
    own = filter->texts + filter->text_used;
    if (size != 0)
        memcpy(own, text, size);
    filter->text_used += size;
    return own;
}

static void see_key(lsi_filter *filter, lsi_filter_frame *frame, const char *key, size_t size)
{
    lsi_filter_seen *seen;

    frame->key_path = lsi_path_find_key(frame->at, key, size, &frame->key_steps);
    if (frame->key_path == NULL)
        return;
    seen = &frame->key_path->seen[frame->key_steps - 1];
    if (seen->object == frame->object && seen->value != 0)
        filter->values[seen->value].kind = LSI_VALUE_DEAD;
    *seen = (lsi_filter_seen){.object = frame->object};
}

/* The objects between the one that is open and the path that its key led to. Returns the last of them, and 0 without
 * memory. */
static uint32_t append_between(lsi_filter *filter, lsi_filter_frame *frame, lsi_path *path, uint32_t *last)
{
    lsi_path *way[LSI_FILTER_DEPTH_MAX];
    uint32_t container = frame->container;

    for (uint32_t i = frame->key_steps - 1; i > 0; i--) {
        path = path->above;
        way[i - 1] = path;
    }
    for (uint32_t i = 0; i + 1 < frame->key_steps; i++) {
        uint32_t none = 0;
        uint32_t index = append(filter, container, i == 0 ? &frame->last : &none, way[i], LSI_VALUE_OBJECT);

        if (index == 0)
            return 0;
        if (i == 0)
            frame->key_path->seen[frame->key_steps - 1].value = index;
        container = index;
    }
    *last = 0;
    return container;
}

static bool see_value(lsi_filter *filter, lsi_value_kind kind, const char *text, size_t size)
{
    lsi_filter_frame *frame = &filter->frames[filter->level];
    lsi_path *path = frame->is_array ? (lsi_path *)frame->at : frame->key_path;
    bool is_open = kind == LSI_VALUE_OBJECT || kind == LSI_VALUE_ARRAY;
    uint32_t container = frame->container, index, own_last = 0, *last = &frame->last;

    if (path == NULL || !((path->below_count != 0 && is_open) || (path->is_leaf && kind != LSI_VALUE_OBJECT))) {
        filter->skipped += is_open;
        return true;
    }
    if (kind == LSI_VALUE_STRING || kind == LSI_VALUE_NUMBER) {
        text = keep_text(filter, text, size);
        if (text == NULL)
            return false;
    }
    if (!frame->is_array && frame->key_steps > 1) {
        container = append_between(filter, frame, path, &own_last);
        if (container == 0)
            return false;
        last = &own_last;
    }
    index = append(filter, container, last, path, kind);
    if (index == 0)
        return false;
    filter->values[index].text = text;
    filter->values[index].text_size = (uint32_t)size;
    if (!frame->is_array && frame->key_steps == 1)
        path->seen[0].value = index;
    if (is_open)
        filter->frames[++filter->level] = (lsi_filter_frame){
            .container = index,
            .is_array = kind == LSI_VALUE_ARRAY,
            .at = path,
            .object = kind == LSI_VALUE_OBJECT ? ++filter->object_count : 0,
        };
    return true;
}

static bool see_token(void *user, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    lsi_filter *filter = user;

    (void)depth;
    if (filter->skipped != 0) {
        if (kind == LSI_JSON_OBJECT_OPEN || kind == LSI_JSON_ARRAY_OPEN)
            filter->skipped++;
        else if (kind == LSI_JSON_OBJECT_CLOSE || kind == LSI_JSON_ARRAY_CLOSE)
            filter->skipped--;
        return true;
    }
    switch (kind) {
    case LSI_JSON_KEY: see_key(filter, &filter->frames[filter->level], text, size); return true;
    case LSI_JSON_OBJECT_CLOSE:
    case LSI_JSON_ARRAY_CLOSE: filter->level--; return true;
    case LSI_JSON_NULL: return see_value(filter, LSI_VALUE_NULL, NULL, 0);
    case LSI_JSON_BOOL: return see_value(filter, size == 4 ? LSI_VALUE_TRUE : LSI_VALUE_FALSE, NULL, 0);
    case LSI_JSON_NUMBER: return see_value(filter, LSI_VALUE_NUMBER, text, size);
    case LSI_JSON_STRING: return see_value(filter, LSI_VALUE_STRING, text, size);
    case LSI_JSON_OBJECT_OPEN: return see_value(filter, LSI_VALUE_OBJECT, NULL, 0);
    case LSI_JSON_ARRAY_OPEN: return see_value(filter, LSI_VALUE_ARRAY, NULL, 0);
    }
    return true;
}

ls_status lsi_filter_values_read(lsi_filter *filter, const void *data, size_t size, bool *is_json)
{
    lsi_filter_frame *frame = &filter->frames[0];
    uint32_t last = frame->last;
    lsi_error_state before;
    ls_status st;

    if (size > UINT32_MAX)
        return lsi_fail(LS_ERR_TOO_LARGE, "a record of %zu bytes is too large to be filtered", size);
    filter->data = data;
    filter->data_size = size;
    frame->key_path = filter->fields[LSI_FIELD_DATA];
    frame->key_steps = 1;
    lsi_error_save(&before);
    st = lsi_json_read(filter->reader, data, size, see_token, filter);
    if (st == LS_OK)
        st = filter->st; /* why it was stopped, if it was */
    *is_json = st == LS_OK;
    if (st != LS_ERR_INVALID_ARGUMENT)
        return st;
    /* What was read of it is forgotten. */
    frame->last = last;
    if (last != 0)
        filter->values[last].next = 0;
    else
        filter->values[frame->container].first = 0;
    lsi_error_restore(&before);
    return LS_OK;
}
