/* Inside the local engine: what a stream remembers of the steps that it decided. FORMAT.md, "State". */
#ifndef LSI_ENGINE_LOCAL_STEP_H
#define LSI_ENGINE_LOCAL_STEP_H

#include "engine/local/local.h"

#define LSI_STEP_PREFIX "step"
#define LSI_STEP_KEY_BYTES 37u /* "step/", 20 digits, "/", 10 digits, a zero byte */
#define LSI_STEP_VALUE_BYTES 16u

typedef struct lsi_step_value {
    bool is_taken;
    ls_seqno first_seqno; /* in the shard that the key names */
} lsi_step_value;

/* step.c */
ls_bytes lsi_step_key(uint64_t stream, uint32_t shard, char key[LSI_STEP_KEY_BYTES]);
bool lsi_step_read_key(ls_bytes key, uint64_t *stream, uint32_t *shard);
bool lsi_step_read_value(ls_bytes value, lsi_step_value *out); /* false: it is none */

/* step_end.c: drops what no log asks for any more; what it cannot do it leaves. No lock is held. */
void lsi_local_step_forget(lsi_local_stream *stream);

/* Before a stream is deleted. NULL and zeros: nothing was asked for yet. */
typedef struct lsi_step_end {
    lsi_local_stream *stream; /* used until it is released */
    uint64_t end;             /* of its state log, as it was looked at */
    bool is_unreadable, is_locked;
} lsi_step_end;
/* Sees to it that no shard needs what the stream remembers. No lock is held. NOT_FOUND: there is no such stream. */
ls_status lsi_local_step_end(lsi_local *local, const char *name, lsi_step_end *of);
/* Takes the state lock, so that it stays so. `*is_same` false: it is not so any more, or the lock is taken: unlock, and
 * begin again. Locks: store lock held. */
ls_status lsi_local_step_end_lock(lsi_step_end *of, bool *is_same);
void lsi_local_step_end_unlock(lsi_step_end *of);
void lsi_local_step_end_release(lsi_step_end *of);

#endif
