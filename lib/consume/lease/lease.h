/* Inside the room: workers of groups (group.c), what they see (look.c) and take (take.c), and what they do with a lease
 * (lease.c, pending.c); where groups begin (start.c), their rows in the stream's state (row.c, listing.c), and what is
 * noted beside these without touching the disk (noted.c, tried.c).
 *
 * Keys of the state: `groups`, a count that only serialises the making of groups; `group/NAME`, a group's settings;
 * `lease/NAME/<10 digits>`, a row for each shard.
 *
 * A mapping is a group with a handler: its runs are workers, which save more than a place (lsi_lease_save). */
#ifndef LSI_CONSUME_LEASE_LEASE_H
#define LSI_CONSUME_LEASE_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "consume/consume.h"
#include "consume/lease/rules.h"
#include "consume/lease/trial.h"
#include "engine/engine.h"
#include "metrics/metrics.h"

/* ---- row.c ---- */

/* A checkpoint that was prepared. */
typedef struct lsi_lease_pending {
    ls_seqno seqno; /* NONE: nothing was; then all is zero */
    uint32_t sub_seqno;
    uint32_t state_bytes;
    unsigned char state[LS_LEASE_STATE_BYTES_MAX];
} lsi_lease_pending;

typedef struct lsi_lease_row {
    lsi_lease_place place;
    uint32_t sub_seqno;
    ls_seqno seqno;   /* NUMBER; HORIZON: the first number that counts, or 0, when that is not known */
    uint64_t counter; /* rises with each change of owner, checkpoint, end and what is prepared */
    uint32_t switches;
    uint64_t owner;   /* ticket; 0: nobody */
    uint64_t wanted;  /* ticket of who asks for it; 0: nobody */
    char name[LSI_WORKER_NAME_MAX + 1]; /* the owner's */
    uint32_t note;    /* of a mapping: ls_mapping_result of the last batch */
    uint32_t routing;  /* of a mapping: by which settings the following was in lanes and batches */
    lsi_trials trials; /* batches that failed, or were given up, and are not finished */
    lsi_lease_pending pending; /* of what is no mapping */
    uint64_t version; /* of the state; LSI_STATE_NONE: it is to be made */
    bool is_removed;  /* in a write: it is to go */
} lsi_lease_row;

typedef struct lsi_group_settings {
    uint32_t number;
    lsi_lease_start start;
    int64_t created_us; /* or begun anew */
    uint64_t mapping;   /* whose group it is, by its id; 0: nobody's but the workers' */
    uint64_t version; /* LSI_STATE_NONE: there is no such group */
    bool is_changed;  /* in a write of rows: they are to be written, too */
} lsi_group_settings;

ls_status lsi_group_find(lsi_engine_stream *stream, const char *name, lsi_group_settings *out);
/* NOT_FOUND never: `out->version` says that there is one, or that it was made; NONE: somebody was faster. */
ls_status lsi_group_make(lsi_engine_stream *stream, const char *name, lsi_lease_start start, lsi_group_settings *out);
/* As that, of a mapping, with its rows and what goes with them; `*is_done` false: there is one, or something was
 * changed meanwhile. */
ls_status lsi_group_make_mapping(lsi_engine_stream *stream, const char *name, lsi_group_settings *settings,
                                 lsi_lease_row *rows, uint32_t count, lsi_lease_beside beside, bool *is_done);
/* The rows, rising by shard, the caller's with lsi_free. */
ls_status lsi_lease_rows(lsi_engine_stream *stream, const char *name, lsi_lease_row **out, uint32_t *count);
/* All of the rows, as they are and with the versions they had, or none: `*is_done` false. New rows are made only while
 * the group is there: its settings are written with them. */
ls_status lsi_lease_write(lsi_engine_stream *stream, const char *name, lsi_group_settings *settings,
                          lsi_lease_row *rows, uint32_t count, lsi_lease_beside beside, bool *is_done);
/* Settings, rows and what goes with them. `*is_done` false: somebody changed one of them meanwhile. */
ls_status lsi_group_remove(lsi_engine_stream *stream, const char *name, const lsi_group_settings *settings,
                           lsi_lease_beside beside, bool *is_done);

/* ---- start.c ---- */

/* Where a group that begins at `start` is in a shard: the word becomes a number, which is durable. */
ls_status lsi_lease_find_start(lsi_engine_stream *stream, lsi_lease_start start, lsi_lease_row *row);
/* The row of a shard that comes of others: all of its records count. */
lsi_lease_row lsi_lease_heir(const lsi_stream_info *info, uint32_t shard);
/* The rows of a group that begins now, the caller's with lsi_free. */
ls_status lsi_lease_first_rows(lsi_engine_stream *stream, lsi_lease_start start, lsi_lease_row **out, uint32_t *count);

/* A row as a change of the state, whose bytes lie in `room`. */
#define LSI_LEASE_KEY_BYTES (18u + LSI_STREAM_NAME_MAX) /* "lease/", the name, 11 and the end */
#define LSI_LEASE_ROW_BYTES (48u + LSI_WORKER_NAME_MAX + 12u + LS_LEASE_STATE_BYTES_MAX)
typedef struct lsi_lease_room {
    char key[LSI_LEASE_KEY_BYTES];
    unsigned char value[LSI_LEASE_ROW_BYTES];
} lsi_lease_room;
lsi_state_change lsi_lease_change(const char *name, const lsi_lease_row *row, lsi_lease_room *room);

/* ---- noted.c ---- */

/* What the owner of a lease writes his notes with. Whoever has it serialises. */
typedef struct lsi_lease_notes {
    lsi_budget_word *words;
    lsi_engine_count *tried; /* of LSI_COUNTS_LEASE; NULL: nobody can be told */
    uint64_t ticket;
    uint64_t counter; /* the row's; its caller keeps it up */
    uint32_t shard, routing;
    uint32_t next;
} lsi_lease_notes;
lsi_lease_notes lsi_lease_notes_of(const lsi_lease *lease);
/* All up to `place` is finished. Others believe it while the row is his, or until it is written with it. */
void lsi_lease_note(lsi_lease_notes *to, lsi_point place);
/* What the owner of a row, as it was read, has noted: not synced. NONE: nothing. */
lsi_point lsi_lease_noted(const lsi_budget_word *words, const lsi_lease_row *row);

/* ---- tried.c ---- */

/* The words of LSI_COUNTS_LEASE: how many handlers run (running.c), the batch of each lane, and halves of words. */
#define LSI_LEASE_RUNNING_PAIRS 5u
#define LSI_LEASE_TRIED (2 * LSI_LEASE_RUNNING_PAIRS)
#define LSI_LEASE_TRIED_PARTS (LSI_LEASE_TRIED + 2 * LSI_TRIAL_LANES_MAX)
#define LSI_LEASE_TRIED_WORDS (LSI_LEASE_TRIED_PARTS + LSI_TRIAL_LANES_MAX / 2)
/* NULL: there are none. Leaves the last error alone. */
lsi_engine_count *lsi_lease_tried_words(lsi_engine_stream *stream, uint32_t group, uint32_t shard);
/* What others are to know of a lane's batch, as of a place that was noted. NULL: nothing. */
void lsi_lease_try(const lsi_lease_notes *to, uint32_t lane, const lsi_trial *trial);
/* Gives what the row has, if that is by the same `routing`, with what its owner has noted since it was written, and
 * without what he has finished. `is_gone`: his process is; then what he had begun has failed, and the answer is whether
 * he had begun something. */
bool lsi_lease_tried(const lsi_engine_count *words, const lsi_lease_row *row, uint32_t routing, bool is_gone,
                     lsi_trials *to);

/* ---- group.c ---- */

/* A lease that this worker has or had. */
struct lsi_lease {
    lsi_group *group;
    lsi_lease *next; /* in the order of taking */
    lsi_lease_row row;      /* as it was last read or written */
    lsi_budget_word *words;
    bool is_told, is_lost, is_lost_told, is_wanted_told;
};
bool lsi_lease_is_wanted(const lsi_lease *lease); /* Another worker, who lives, asks for it. */

/* As lsi_lease_save, but no END, and with puts. LS_OK with a put that moved: nothing was done. */
ls_status lsi_lease_save_step(lsi_lease *lease, lsi_point point, uint32_t note, lsi_lease_beside beside,
                              lsi_step_put *puts, uint32_t put_count);
#define LSI_LEASE_BESIDE_MAX 1u /* of a step */

/* What is known of a row from looking at it again and again. */
typedef struct lsi_lease_watch {
    uint32_t shard;
    lsi_budget_word *words;
    uint64_t owner, counter, beat; /* as of the last look */
    bool has_renewed;              /* the owner was seen to live, and does not only look alive to who has just come */
    bool is_waiting;               /* it cannot be worked on yet (G4), or not any more */
    uint32_t limit;                /* so many leases its owner takes at most; 0: not known */
    int64_t since_us;              /* monotonic: so long they have been so */
    int64_t asked_us;              /* since then we ask for it; 0: we do not */
    int64_t closed_us;             /* when we gave it back; 0: we did not */
#define LSI_LEASE_LEFT INT64_MAX   /* `closed_us`: for good, until somebody else has had it */
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
    uint64_t mapping; /* its id; 0: none */
    uint32_t routing; /* of lsi_group_config */
    lsi_engine_count *counts; /* LSI_COUNTS_GROUP; NULL: nobody can be told */
    uint32_t failover_ms, handover_ms, leases_max;
    bool is_guarded;
    bool is_leaving; /* what is given back is free, for whoever asked may have left, too */
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

/* What is due of what a worker does: renew, look, take, ask, make rows. `token`: of the state, armed before. */
ls_status lsi_group_step(lsi_group *group, uint32_t token);
/* Sleeps until the state changes, the process of another worker is gone, or the time is over. */
void lsi_group_wait(lsi_group *group, uint32_t token, int64_t timeout_us);
int64_t lsi_group_renew_us(const lsi_group *group); /* A worker is to be heard of again after so long. */
/* Whether nothing comes by time alone, as of the last look: each lease that can be worked on is this worker's, and is
 * asked for by nobody, or was left by it. */
bool lsi_group_is_quiet(const lsi_group *group);

static inline const lsi_engine_ops *lsi_group_ops(const lsi_group *group)
{
    return group->stream->engine->ops;
}

static inline int64_t lsi_group_now_us(const lsi_group *group)
{
    return lsi_monotonic_us(&group->stream->engine->env.clock);
}

/* ---- lease.c ---- */

void lsi_lease_row_describe(const lsi_lease_row *row, ls_lease_info *out); /* all of it but the size, and who lives */
#define LSI_LEASE_CHANGES_MAX (LSI_LEASE_HEIRS_MAX + 1u)
/* Fills the changes of which the first is of the lease's row, which it is given. 0 changes: there is nothing to do. */
typedef ls_status lsi_lease_decide(lsi_lease *lease, lsi_lease_row changes[LSI_LEASE_CHANGES_MAX], uint32_t *count,
                                   const void *user);
/* Makes the changes that `decide` asks for, and again while the row is ours and others ask for it. */
ls_status lsi_lease_alter(lsi_lease *lease, lsi_lease_decide *decide, const void *user);
/* Whether the shard has such a record; then it is durable (D6). */
ls_status lsi_lease_cover(lsi_lease *lease, ls_seqno seqno);
/* Whether a checkpoint may stand there. */
ls_status lsi_lease_check_place(const lsi_lease *lease, const lsi_lease_row *row, ls_seqno seqno, uint32_t sub_seqno);

/* ---- look.c ---- */

/* Takes the group's rows anew and sees which leases are lost. */
ls_status lsi_group_look(lsi_group *group);
ls_status lsi_group_follow_shards(lsi_group *group);
bool lsi_group_is_gone(const lsi_group *group, uint64_t ticket); /* Nobody's, or another's whose process is gone. */
lsi_lease *lsi_group_lease_of(const lsi_group *group, uint32_t shard); /* NULL: this worker does not have it */
void lsi_group_add_lease(lsi_group *group, lsi_lease *lease);
void lsi_group_forget(lsi_lease *lease); /* takes it out of the list and frees it */
void lsi_group_lose(lsi_lease *lease);   /* it is another's, or nobody's any more */
static inline void lsi_group_count(const lsi_group *group, uint32_t word)
{
    if (group->counts != NULL)
        lsi_count(&group->counts[word], 1);
}
ls_status lsi_group_no_memory(const lsi_group *group);

/* ---- take.c ---- */

ls_status lsi_group_turn(lsi_group *group);

#endif
