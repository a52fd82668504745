/* The room's door: deliveries. What is kept of them (definition.c), and their runs (run.c).
 *
 * In the state of the stream a delivery is
 *
 *     delivery/NAME                 settings, version, where it begins (codec.c)
 *     delivery-at/NAME/<10 digits>  how far a shard was delivered, beyond what its lease says (progress.c)
 *
 * and a group of its name, whose leases say who delivers which shard and how far that has come. All are made, changed
 * and removed in one write. */
#ifndef LSI_DELIVER_DELIVER_H
#define LSI_DELIVER_DELIVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libstream/delivery.h>

#include "consume/consume.h"

/* ---- definition.c: any thread ---- */

typedef struct lsi_delivery {
    lsi_memory memory;
    char name[LSI_STREAM_NAME_MAX + 1];
    uint64_t id;
    uint64_t state_version; /* of its value in the state */
    uint32_t version;
    int64_t created_us, modified_us;
    ls_position_kind start_kind;
    int64_t start_timestamp_us;
    ls_delivery_options options; /* resolved and valid */
    char *texts;                 /* this and the next: what they point to */
    const char **lists;
} lsi_delivery;
void lsi_delivery_free(lsi_delivery *delivery); /* Accepts NULL. */

/* As the functions of delivery.h. Options are resolved and valid, but for prefixes and queries, which are checked
 * here. */
ls_status lsi_delivery_create(lsi_engine_stream *stream, const char *name, const ls_position *position,
                              const ls_delivery_options *options);
ls_status lsi_delivery_change(lsi_engine_stream *stream, const char *name, uint32_t version,
                              const ls_delivery_options *options);
ls_status lsi_delivery_remove(lsi_engine_stream *stream, const char *name);
ls_status lsi_delivery_load(lsi_engine_stream *stream, const char *name, lsi_delivery **out);
/* In byte order of name, until `each` answers false; views. It calls nothing of the engine. */
ls_status lsi_delivery_each(lsi_engine_stream *stream, bool (*each)(void *user, const lsi_delivery *delivery),
                            void *user);

/* ---- counts.c ---- */
enum { /* the words of LSI_COUNTS_MAPPING, of a delivery */
    LSI_DELIVERED_OBJECTS, /* this and the next two: by kind, less 1 */
    LSI_DELIVERED_RECORDS = LSI_DELIVERED_OBJECTS + 3,
    LSI_DELIVERED_BYTES = LSI_DELIVERED_RECORDS + 3, /* as the destination got them */
    LSI_DELIVERED_DROPPED = LSI_DELIVERED_BYTES + 3, /* records that the transform dropped */
    LSI_DELIVERED_BILLED,    /* bytes of records that are done, as they were put, each rounded up */
    LSI_DELIVERED_CROWDED,   /* records that there was no partition for */
    LSI_DELIVERED_RETRIES,   /* puts of an object that failed, and were tried again */
    LSI_DELIVERED_READ_RECORDS, /* as they were put; this and all that follow count what is done again as often */
    LSI_DELIVERED_READ_BYTES,
    LSI_DELIVERED_READS_HELD,   /* by a limit of the stream */
    LSI_DELIVERED_PUTS,         /* of objects, that succeeded: this and the next two, by kind, less 1 */
    LSI_DELIVERED_BAD_PUTS = LSI_DELIVERED_PUTS + 3,   /* the same of those that failed */
    LSI_DELIVERED_CALLS = LSI_DELIVERED_BAD_PUTS + 3,  /* of the transform, by LSI_TRANSFORMED_ */
    LSI_DELIVERED_PROCESSED_RECORDS = LSI_DELIVERED_CALLS + 3, /* that it kept, replaced or dropped */
    LSI_DELIVERED_PROCESSED_BYTES,                             /* of these, as they were put */
    LSI_DELIVERED_MOVED, /* objects that took another name */
    LSI_DELIVERED_WORDS
};
enum { LSI_TRANSFORMED_OK, LSI_TRANSFORMED_ERROR, LSI_TRANSFORMED_LATE };
uint32_t lsi_delivery_counts_number(uint64_t id);
#define LSI_DELIVERY_UNIT_BYTES UINT64_C(5120) /* so each record is rounded up */
/* How long calls of the transform took, a histogram of durations; NULL: nobody can be told. */
lsi_engine_count *lsi_delivery_transform_times(lsi_engine_stream *stream, uint64_t id);
/* What a run tells of a shard; NULL: nobody can be told. It holds while the lease's owner lives. */
enum {
    LSI_DELIVERING_PARTITIONS, /* so many it fills */
    LSI_DELIVERING_SEQNO,      /* the number of the record that it read last; NONE: where the lease stands */
    LSI_DELIVERING_WORDS
};
lsi_engine_count *lsi_delivery_shard_words(lsi_engine_stream *stream, uint64_t id, uint32_t shard);

/* ---- settings.c ---- */
void lsi_delivery_options_resolve(ls_delivery_options *options);
/* Of resolved ones; texts by their sizes alone. INVALID_ARGUMENT. */
ls_status lsi_delivery_options_check(const ls_delivery_options *options);

/* ---- transform.c: as the functions of delivery.h ---- */

/* What becomes of a record. */
typedef enum {
    LSI_VERDICT_NONE, LSI_VERDICT_KEEP, LSI_VERDICT_REPLACE, LSI_VERDICT_DROP, LSI_VERDICT_FAIL
} lsi_verdict;
size_t lsi_transform_count(const ls_transform *batch);
const ls_record *lsi_transform_at(const ls_transform *batch, size_t index);
uint32_t lsi_transform_attempts(const ls_transform *batch);
bool lsi_transform_is_late(const ls_transform *batch); /* also from other threads, while it is asked */
ls_status lsi_transform_say(ls_transform *batch, size_t index, lsi_verdict verdict, ls_bytes data_or_reason);
ls_status lsi_transform_set_key(ls_transform *batch, size_t index, const char *key, ls_bytes value);
ls_status lsi_transform_event_json(ls_transform *batch, ls_bytes *out);
ls_status lsi_transform_answer_json(ls_transform *batch, ls_bytes document, ls_transform_answer *out);

/* ---- run.c ---- */

/* How a delivery is run; options were checked, none is 0 but `shards_max`, `give_up_ms` and `flags`. */
typedef struct lsi_delivery_running {
    const char *name;
    uint64_t id; /* of the delivery */
    uint32_t flags, failover_ms, shards_max, give_up_ms, transform_timeout_ms;
    uint64_t memory_bytes_max;
    ls_transform_callback transform;
    void *transform_user;
    ls_delivery_callback deliver;
    void *deliver_user;
    const _Atomic bool *is_stopped;
    lsi_guard *guard;
    const lsi_files *files; /* of directories */
    _Atomic bool *doubt;    /* as of lsi_sink_directory_open */
} lsi_delivery_running;
ls_status lsi_delivery_run(lsi_engine_stream *stream, const lsi_delivery_running *how);
void lsi_delivery_wake(lsi_engine_stream *stream); /* a run looks whether it is to end */

#endif
