/* Inside the room: groups and leases (group.c, lease.c) and their rows in the stream's state (lease_row.c).
 *
 * Keys of the state: `groups`, a count that only serialises the making of groups; `group/NAME`, a group's settings;
 * `lease/NAME/<10 digits>`, a row for each shard. */
#ifndef LSI_CONSUME_LEASE_H
#define LSI_CONSUME_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "consume/consume.h"
#include "consume/lease_rules.h"
#include "engine/engine.h"

/* ---- lease_row.c ---- */

typedef struct lsi_lease_row {
    lsi_lease_place place;
    uint32_t sub_seqno;
    ls_seqno seqno;   /* NUMBER */
    uint64_t counter; /* rises with each change of owner, checkpoint and end */
    uint32_t switches;
    uint64_t owner;   /* ticket; 0: nobody */
    uint64_t wanted;  /* ticket of who asks for it; 0: nobody */
    char name[LSI_WORKER_NAME_MAX + 1]; /* the owner's */
    uint64_t version; /* of the state; LSI_STATE_NONE: it is to be made */
    bool is_removed;  /* in a write: it is to go */
} lsi_lease_row;

typedef struct lsi_group_settings {
    uint32_t number;
    lsi_lease_start start;
    int64_t created_us;
    uint64_t version; /* LSI_STATE_NONE: there is no such group */
} lsi_group_settings;

ls_status lsi_group_find(lsi_engine_stream *stream, const char *name, lsi_group_settings *out);
/* NOT_FOUND never: `out->version` says that somebody was faster, or that it was made. */
ls_status lsi_group_make(lsi_engine_stream *stream, const char *name, lsi_lease_start start, lsi_group_settings *out);
/* The rows, rising by shard, the caller's with lsi_free. */
ls_status lsi_lease_rows(lsi_engine_stream *stream, const char *name, lsi_lease_row **out, uint32_t *count);
/* All of the rows, as they are and with the versions they had, or none: `*is_done` false. New rows are made only while
 * the group is there: its settings are written with them. */
ls_status lsi_lease_write(lsi_engine_stream *stream, const char *name, lsi_group_settings *settings,
                          lsi_lease_row *rows, uint32_t count, bool *is_done);

/* A row as a change of the state, whose bytes lie in `room`. */
#define LSI_LEASE_KEY_BYTES (18u + LSI_STREAM_NAME_MAX) /* "lease/", the name, 11 and the end */
#define LSI_LEASE_ROW_BYTES (48u + LSI_WORKER_NAME_MAX)
typedef struct lsi_lease_room {
    char key[LSI_LEASE_KEY_BYTES];
    unsigned char value[LSI_LEASE_ROW_BYTES];
} lsi_lease_room;
lsi_state_change lsi_lease_change(const char *name, const lsi_lease_row *row, lsi_lease_room *room);

/* ---- group.c ---- */

/* A lease that this worker has or had. */
struct lsi_lease {
    lsi_group *group;
    lsi_lease *next; /* in the order of taking */
    lsi_lease_row row;      /* as it was last read or written */
    lsi_budget_word *words;
    bool is_told, is_lost, is_lost_told, is_wanted_told;
};

/* What is known of a row from looking at it again and again. */
typedef struct lsi_lease_watch {
    uint32_t shard;
    lsi_budget_word *words;
    uint64_t owner, counter, beat; /* as of the last look */
    int64_t since_us;              /* monotonic: so long they have been so */
    int64_t asked_us;              /* since then we ask for it; 0: we do not */
    int64_t closed_us;             /* when we gave it back; 0: we did not */
    uint64_t written, load;
    int64_t measured_us;           /* 0: not yet */
} lsi_lease_watch;

struct lsi_group {
    lsi_engine_stream *stream;
    const void *handle; /* of lsi_group_config */
    char name[LSI_STREAM_NAME_MAX + 1];
    char worker[LSI_WORKER_NAME_MAX + 1];
    lsi_group_settings settings;
    uint64_t ticket;
    uint32_t failover_ms, handover_ms, leases_max;
    lsi_lock lock; /* LSI_RANK_LOCAL: `leases`, for those who renew; one thread changes it */
    lsi_lease *leases;
    lsi_lease_row *rows; /* as of the last look */
    lsi_lease_watch *watches;
    uint32_t count; /* of both */
    lsi_stream_info info;
    bool has_info;
    uint32_t token;    /* of the last look, */
    int64_t looked_us; /* and when it was, */
    bool has_failed;   /* and how it went */
    _Atomic bool is_cancelled;
};

/* Takes the group's rows anew and sees which leases are lost. */
ls_status lsi_group_look(lsi_group *group);
ls_status lsi_group_follow_shards(lsi_group *group);
void lsi_group_forget(lsi_lease *lease); /* takes it out of the list and frees it */

#endif
