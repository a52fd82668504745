/* Inside the room: a delivery as a value of its stream's state. */
#ifndef LSI_DELIVER_DEFINITION_H
#define LSI_DELIVER_DEFINITION_H

#include "deliver/deliver.h"
#include "deliver/naming.h"
#include "deliver/query.h"

#define LSI_DELIVERY_PREFIX "delivery/"
#define LSI_DELIVERY_KEY_BYTES (sizeof(LSI_DELIVERY_PREFIX) + LSI_STREAM_NAME_MAX)
#define LSI_DELIVERY_AT_PREFIX "delivery-at/"
#define LSI_DELIVERY_AT_KEY_BYTES (sizeof(LSI_DELIVERY_AT_PREFIX) + LSI_STREAM_NAME_MAX + 11)

/* The value's bytes, the caller's (lsi_free). NO_MEMORY. */
ls_status lsi_delivery_encode(const lsi_memory *memory, const lsi_delivery *delivery, ls_bytes *out);
/* CORRUPT; VERSION: of a later release. `*out` is the caller's (lsi_delivery_free). */
ls_status lsi_delivery_decode(const lsi_memory *memory, const lsi_state_entry *entry, lsi_delivery **out);

/* Names of its objects, and of those of the source backup (NULL: there is none). */
ls_status lsi_delivery_naming(const lsi_delivery *delivery, lsi_naming **names, lsi_naming **backup_names);
/* NULL: there are none. */
ls_status lsi_delivery_queries(const lsi_delivery *delivery, lsi_queries **out);
const char *lsi_delivery_extension(const ls_delivery_options *options); /* "": none */

#endif
