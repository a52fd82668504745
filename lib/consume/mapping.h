/* The inside of mappings: their values in the stream's state.
 *
 *     mapping/NAME              settings, status, where it begins (mapping_codec.c)
 *     progress/NAME/<shard>     how far a shard was worked on, and who works on it (mapping_rows.c)
 *     runner/NAME/<id>          somebody who runs it, and lives as long as this changes (mapping_rows.c) */
#ifndef LSI_CONSUME_MAPPING_H
#define LSI_CONSUME_MAPPING_H

#include "consume/batcher.h"
#include "consume/consume.h"

#define LSI_MAPPING_PREFIX "mapping/"
#define LSI_MAPPING_KEY_BYTES (sizeof(LSI_MAPPING_PREFIX) + LSI_STREAM_NAME_MAX)

/* ---- mapping_codec.c ---- */

/* The value's bytes, the caller's (lsi_free). NO_MEMORY. */
ls_status lsi_mapping_encode(const lsi_memory *memory, const lsi_mapping *mapping, ls_bytes *out);
/* CORRUPT; VERSION: of a later release. `*out` is the caller's (lsi_mapping_free). */
ls_status lsi_mapping_decode(const lsi_memory *memory, const lsi_state_entry *entry, lsi_mapping **out);

/* ---- mapping_rows.c ---- */

/* How far a shard was worked on. One of another progress id is from before the mapping was moved, or of one that had
 * the name before: it says nothing. */
typedef struct lsi_mapping_row {
    uint32_t shard;
    uint64_t version; /* LSI_STATE_NONE: there is none yet */
    uint64_t progress_id; /* the mapping's */
    uint64_t owner;   /* the runner that works on it; 0: nobody */
    lsi_progress progress; /* the state of a window is a view of `bytes` */
    void *bytes;           /* the owner's (lsi_free) */
    bool is_known;         /* it was read */
    ls_mapping_result result; /* of the last batch */
} lsi_mapping_row;

typedef struct lsi_mapping_runner_row {
    uint64_t id;
    uint64_t version;
    uint32_t failover_ms; /* it is dead when this did not change for so long */
    uint32_t shards_max;  /* 0: no limit */
    uint64_t beat;
    uint64_t ticket; /* the engine's, which knows whether its process is gone */
    bool is_dead;    /* not stored: whoever looks has seen it */
} lsi_mapping_runner_row;

/* All of them; the shards' rise by shard and come without their windows' states. Both arrays are the caller's
 * (lsi_free). What is of another mapping, or is no row, is left out; it is in the way of nobody. */
ls_status lsi_mapping_rows(lsi_engine_stream *stream, const lsi_mapping *mapping, lsi_mapping_row **rows,
                           uint32_t *count, lsi_mapping_runner_row **runners, uint32_t *runner_count);
/* One shard's, whole; without one `version` is NONE, or that of what is in its place. */
ls_status lsi_mapping_row_load(lsi_engine_stream *stream, const lsi_mapping *mapping, uint32_t shard,
                               lsi_mapping_row *out);
/* If it has the version that it had: `*is_done`, and it has its new one. `is_removed`: it goes. */
ls_status lsi_mapping_row_write(lsi_engine_stream *stream, const char *name, lsi_mapping_row *row, bool is_removed,
                                bool *is_done);
ls_status lsi_mapping_runner_write(lsi_engine_stream *stream, const char *name, uint64_t mapping_id,
                                   lsi_mapping_runner_row *row, bool is_removed, bool *is_done);
/* Whatever there is of rows under that name. */
ls_status lsi_mapping_rows_remove(lsi_engine_stream *stream, const char *name);

#endif
