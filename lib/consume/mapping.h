/* The inside of mappings: their values in the stream's state.
 *
 *     mapping/NAME    settings, status, where it begins (mapping_codec.c) */
#ifndef LSI_CONSUME_MAPPING_H
#define LSI_CONSUME_MAPPING_H

#include "consume/consume.h"

#define LSI_MAPPING_PREFIX "mapping/"
#define LSI_MAPPING_KEY_BYTES (sizeof(LSI_MAPPING_PREFIX) + LSI_STREAM_NAME_MAX)

/* ---- mapping_codec.c ---- */

/* The value's bytes, the caller's (lsi_free). NO_MEMORY. */
ls_status lsi_mapping_encode(const lsi_memory *memory, const lsi_mapping *mapping, ls_bytes *out);
/* CORRUPT; VERSION: of a later release. `*out` is the caller's (lsi_mapping_free). */
ls_status lsi_mapping_decode(const lsi_memory *memory, const lsi_state_entry *entry, lsi_mapping **out);

#endif
