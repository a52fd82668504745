/* Inside the local engine: a stream's state, which engine.h describes, behind state.c and state_table.c. */
#ifndef LSI_ENGINE_LOCAL_STATE_H
#define LSI_ENGINE_LOCAL_STATE_H

#include "engine/local/local.h"

/* ---- state.c ---- */

/* What happens between comparing the versions and writing the changes, with the state lock held and nothing else. */
typedef struct lsi_state_between {
    /* Not LS_OK: nothing is written, and that is the answer. It may fill in values of changes. */
    ls_status (*before)(void *user);
    /* When that answered LS_OK, once: LS_OK: they are durable; LS_ERR_IO, NOT_FOUND: nobody knows; others: they were
     * not written. */
    void (*after)(void *user, ls_status st);
    void *user;
} lsi_state_between;
/* As lsi_local_state_write. NULL: nothing happens. */
ls_status lsi_local_state_change(lsi_local_stream *stream, lsi_state_change *changes, uint32_t count,
                                 const lsi_state_between *between, uint32_t *conflict);

/* ---- state_table.c: named values in order of their names ---- */

#define LSI_STATE_VERSION_BYTES 8u
typedef struct lsi_state_table_entry {
    uint64_t version;
    uint32_t key_bytes, value_bytes;
    unsigned char bytes[]; /* key, then the data of its record: version and value */
} lsi_state_table_entry;

typedef struct lsi_state_table {
    const lsi_memory *memory;
    lsi_state_table_entry **entries; /* [count], rising by key as bytes */
    size_t count, capacity;
    uint64_t live_bytes; /* what writing all of them takes, about */
} lsi_state_table;
#define LSI_STATE_RECORD_BYTES 32u /* of a record besides its key and value, about */

void lsi_state_table_free(lsi_state_table *table); /* the contents; it is empty then */
size_t lsi_state_table_at(const lsi_state_table *table, ls_bytes key); /* position of the first that is not below */
const lsi_state_table_entry *lsi_state_table_find(const lsi_state_table *table, ls_bytes key); /* NULL: none */
/* `value` without bytes: the key goes. False: no memory, nothing was changed. */
bool lsi_state_table_set(lsi_state_table *table, ls_bytes key, uint64_t version, ls_bytes value);

static inline ls_bytes lsi_state_key(const lsi_state_table_entry *entry)
{
    return (ls_bytes){entry->bytes, entry->key_bytes};
}
static inline ls_bytes lsi_state_value(const lsi_state_table_entry *entry)
{
    return (ls_bytes){entry->bytes + entry->key_bytes + LSI_STATE_VERSION_BYTES, entry->value_bytes};
}
static inline ls_bytes lsi_state_data(const lsi_state_table_entry *entry) /* of the record in a snapshot */
{
    return (ls_bytes){entry->bytes + entry->key_bytes, LSI_STATE_VERSION_BYTES + entry->value_bytes};
}

#endif
