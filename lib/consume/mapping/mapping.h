/* The inside of mappings: their values in the stream's state.
 *
 *     mapping/NAME              settings, status, where it begins (codec.c)
 *     window/NAME/<shard>       the tumbling window that is open in a shard (window.c)
 *
 * How far each shard was worked on, and by whom, is a lease of the group that has the mapping's name and id
 * (lease.h). */
#ifndef LSI_CONSUME_MAPPING_MAPPING_H
#define LSI_CONSUME_MAPPING_MAPPING_H

#include "consume/mapping/batcher.h"
#include "consume/consume.h"

#define LSI_MAPPING_PREFIX "mapping/"
#define LSI_MAPPING_KEY_BYTES (sizeof(LSI_MAPPING_PREFIX) + LSI_STREAM_NAME_MAX)

/* ---- codec.c ---- */

/* The value's bytes, the caller's (lsi_free). NO_MEMORY. */
ls_status lsi_mapping_encode(const lsi_memory *memory, const lsi_mapping *mapping, ls_bytes *out);
/* CORRUPT; VERSION: of a later release. `*out` is the caller's (lsi_mapping_free). */
ls_status lsi_mapping_decode(const lsi_memory *memory, const lsi_state_entry *entry, lsi_mapping **out);

/* ---- window.c ---- */

#define LSI_WINDOW_KEY_BYTES (LSI_STREAM_NAME_MAX + 24u)

/* What makes the window of `progress` that of the shard, or takes it away. Its value is the caller's (lsi_free), its
 * key is in `text`. NO_MEMORY. */
ls_status lsi_window_change(const lsi_memory *memory, const char *name, uint32_t shard, const lsi_progress *progress,
                            char text[LSI_WINDOW_KEY_BYTES], lsi_state_change *out);
/* The fields of `out` for a window, if there is one; the state is a view of `*bytes`, the caller's (lsi_free), on
 * failure too. */
ls_status lsi_window_load(lsi_engine_stream *stream, const char *name, uint32_t shard, lsi_progress *out, void **bytes);

/* What takes all windows of a mapping away. `changes` has room for one change more, which is its first. */
typedef struct lsi_window_removals {
    uint32_t count; /* of keys */
    lsi_state_change *changes;
    struct lsi_window_removal {
        char text[LSI_WINDOW_KEY_BYTES];
        size_t size;
    } *keys;
    size_t capacity;
} lsi_window_removals;
ls_status lsi_window_find_all(lsi_engine_stream *stream, const char *name, lsi_window_removals *out);
void lsi_window_removals_free(const lsi_memory *memory, lsi_window_removals *of);

#endif
