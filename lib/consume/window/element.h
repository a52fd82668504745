/* What of a record windows go by: its time, key and number, from fields of its data, callbacks or the record itself. */
#ifndef LSI_CONSUME_WINDOW_ELEMENT_H
#define LSI_CONSUME_WINDOW_ELEMENT_H

#include <stdbool.h>
#include <stddef.h>

#include <libstream/window.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/json_field.h"

enum { LSI_FIELD_TIME, LSI_FIELD_KEY, LSI_FIELD_VALUE, LSI_FIELDS };

/* What is found in a record. Views until the next one. */
typedef struct lsi_window_element {
    const ls_record *record;
    bool has_time; /* false: nothing else is known */
    bool has_value;
    int64_t time_ms;
    double value;
    ls_bytes key;
} lsi_window_element;

typedef struct lsi_window_finder {
    lsi_memory memory;
    const ls_window_options *options;
    lsi_json_reader *json; /* NULL: no field is asked for */
    lsi_json_field fields[LSI_FIELDS];
    char *key;
    size_t key_size, key_capacity;
    lsi_window_element *out; /* while data is read */
    bool has_time, is_short;
} lsi_window_finder;

/* `options` are borrowed as long as it lives, but for their fields, which are copied. UNSUPPORTED without JSON,
 * NO_MEMORY. */
ls_status lsi_window_finder_init(lsi_window_finder *finder, const lsi_memory *memory, const ls_window_options *options);
void lsi_window_finder_free(lsi_window_finder *finder); /* The contents; accepts a zeroed one. */
ls_status lsi_window_find(lsi_window_finder *finder, const ls_record *record, lsi_window_element *out); /* NO_MEMORY */

#endif
