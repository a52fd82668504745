/* Between the files of a session (session.h); no harness looks in here. */
#ifndef LST_SESSION_INSIDE_H
#define LST_SESSION_INSIDE_H

#include "harness/session.h"

/* ---- session.c ---- */

ls_status session_answered(session *of, ls_status st); /* notes a call's answer, and gives it back */
/* Keys follow from their ids. */
ls_status session_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES]);
/* Whether threads of the library get a processor: while one call waits for them. */
void session_threads(session *of, bool run);
ls_status session_want_stream(session *of, uint32_t stream);
void session_forget_stream(session *of, uint32_t stream);

/* ---- session_log.c: a place `from` is where the call in question began ---- */

size_t session_here(session *of); /* the log's end */
/* Whether a status leaves it open what happened. Everything else says that nothing was changed. */
bool session_is_unknown(ls_status st);
bool session_name_ends(const char *name, const char *end);
/* Whether the call replaced the shard's segment list by one with a segment more: it synced what was before (S5). */
bool session_rolled_since(session *of, uint32_t stream, uint32_t shard, size_t from);
/* Behind the write that has the beginning of the put's record; the log's end if there is none. */
size_t session_written_at(session *of, uint32_t put, size_t from);
/* After every call: whether a sync failed since the last look, by whatever thread. */
bool session_look(session *of);
/* A sync failed: in the weaker modes it may cost what was acknowledged before (E1). In SYNC it may not. */
void session_sync_failed(session *of);
/* A call that syncs everything was answered. */
void session_synced(session *of, ls_status st);

#define SESSION_OBJECTS "objects-" /* and the stream's number: a directory that is a delivery's */

/* ---- session_settings.c ---- */

/* What is set of the stream is held against the truth, as session_check_shards does it with shards. */
void session_check_settings(session *of, uint32_t stream, size_t at, bool power);
/* A change of one setting begins; how it was answered. */
setting_fact *session_setting_begin(session *of, uint32_t stream, uint32_t setting, uint64_t value);
void session_setting_answered(session *of, setting_fact *fact, ls_status st);
/* Several were begun, from `begun` on, and one call answers for all. */
void session_settings_answered(session *of, size_t begun, uint32_t count, ls_status st);

/* ---- session_puts.c ---- */

ls_status session_want_producer(session *of, uint32_t stream);
static inline ls_producer_id session_producer_id(uint32_t stream)
{
    return (ls_producer_id){0x6e756d62657273, stream + 1};
}

/* The answer to the put with this number. */
void session_put_answered(session *of, uint32_t number, ls_status st, ls_seqno seqno);
void session_note_expired(session *of, size_t at); /* From `at` on, what is too old or over a cap may be trimmed. */
/* A recovery begins a new segment, and the one before it may be as good as empty: then a cap says nothing of
 * records. */
void session_all_over_cap(session *of);

/* ---- session_read.c ---- */

void session_unwatch(session *of);
/* All of a shard, of whatever store: which puts it has. `records`: [SESSION_SHOWN_MAX]. */
#define SESSION_SHOWN_MAX 4096u
ls_status session_read_shard(session *of, ls_stream *stream, uint32_t shard, shown *records, size_t *count);

/* ---- session_backup.c ---- */

void session_check_backup(session *of, size_t at); /* If there is to be a copy by then. */

/* ---- session_work.c ---- */

void session_leave(session *of); /* All workers close, and give back what they have. */
/* The checkpoints, where somebody works, as `opened` has them: the stream, or its copy. */
ls_status session_show_leases(session *of, uint32_t stream, ls_stream *opened, truth_shown_setting *found);
/* Everything was read: transactions, checkpoints and records agree. */
void session_check_work(session *of, uint32_t stream, size_t at);
/* Somebody new takes all leases and goes on, or it is complained of. */
void session_work_on(session *of, uint32_t stream);

/* ---- session_flow.c ---- */

void session_close_window(session *of);
/* The mapping and the windows of the stream, if it has any, go on to its end, and have had all of it. */
void session_flow_on(session *of, uint32_t stream);

/* ---- session_delivery.c ---- */

/* What stands in the directory of the stream's delivery, if it has one, is held against the truth. */
void session_check_objects(session *of, uint32_t stream, size_t at, bool power);
/* Somebody new runs the stream's delivery, if it has one: all is delivered then. */
void session_deliver_on(session *of, uint32_t stream);

/* ---- session_shards.c ---- */

ls_status session_learn_shards(session *of, uint32_t stream, const ls_stream_description *description);
/* What was learned last is held against the truth, as truth_check does it with records. */
void session_check_shards(session *of, uint32_t stream, size_t at, bool power);
bool session_is_open(const session *of, uint32_t stream, uint32_t shard);
/* Of a stream that may scale by itself: which there are now; and any of them may be closed by the next call. */
ls_status session_follow_shards(session *of, uint32_t stream);
void session_expect_scaling(session *of, uint32_t stream);
/* A key whose place in the shard's range is not always the same. */
ls_hash_key session_key_of(const session *of, uint32_t stream, uint32_t shard, uint32_t number);

#endif
