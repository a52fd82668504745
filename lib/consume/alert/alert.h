/* The inside of alerts: rules, and what is known of each, as values of their stream's state.
 *
 *     alert/NAME      what the rule says (codec.c)
 *     alerted/NAME    what was noted, counted and fired since it says that (state_codec.c)
 *
 * rule.c         defaults and ranges; creating, changing, finding
 * windows.c      what one record or look more makes of what is known: pure
 * values.c       what a batch's records have in the rules' fields
 * alerts.c       the handle: shows a batch to all rules, and takes looks
 * settle.c       makes what was found of one rule true: the loop of comparing and writing, and the callbacks */
#ifndef LSI_CONSUME_ALERT_ALERT_H
#define LSI_CONSUME_ALERT_ALERT_H

#include "base/lock.h"
#include "consume/consume.h"

#define LSI_ALERT_PREFIX "alert/"
#define LSI_ALERTED_PREFIX "alerted/"
#define LSI_ALERT_KEY_BYTES (sizeof(LSI_ALERTED_PREFIX) + LSI_STREAM_NAME_MAX)
#define LSI_ALERT_WINDOWS_MAX 64u
#define LSI_ALERT_TIMES_MAX 64u
#define LSI_ALERT_NOTES_MAX 1000u /* so many are kept in memory */

ls_bytes lsi_alert_key(const char *prefix, const char *name, char text[LSI_ALERT_KEY_BYTES]);

/* ---- codec.c ---- */

/* The value's bytes, the caller's (lsi_free). NO_MEMORY. */
ls_status lsi_alert_rule_encode(const lsi_memory *memory, const lsi_alert_rule *rule, ls_bytes *out);
/* CORRUPT; VERSION: of a later release. `*out` is the caller's (lsi_alert_rule_free). */
ls_status lsi_alert_rule_decode(const lsi_memory *memory, const lsi_state_entry *entry, lsi_alert_rule **out);

/* ---- state_codec.c ---- */

/* A window in which something has passed. */
typedef struct lsi_alert_window {
    int64_t start_us;
    uint64_t count;
    ls_record_id first;
    bool has_fired;
} lsi_alert_window;

/* A shard in which something has passed; LS_NO_SHARD: that of looks. */
typedef struct lsi_alert_row {
    uint32_t shard;
    uint32_t sub_seqno;  /* this and the number: of the last one that was counted */
    ls_seqno seqno;
    bool is_untold;      /* that one made the rule fire, and the callback has not answered yet; then also: */
    double value;
    uint64_t count;
    int64_t window_start_us;
    int64_t at_us;
    ls_record_id first;
} lsi_alert_row;

struct lsi_alert_state {
    lsi_memory memory;
    uint64_t version; /* of its value */
    uint64_t of;      /* the version of the rule's value that it belongs to */
    bool is_reported;  /* that it cannot fire: the callback was told; */
    bool is_reporting; /* or it is to be, by whom is shown this shard; LS_NO_SHARD: by who looks */
    uint32_t reporting_shard;
    lsi_alert_notes notes;
    uint64_t passed, fired;
    int64_t last_fired_us; /* 0: never */
    int64_t times_us[LSI_ALERT_TIMES_MAX]; /* [time_count], rising: of a rule with a cooldown when it has fired */
    uint32_t time_count;
    lsi_alert_window windows[LSI_ALERT_WINDOWS_MAX]; /* [window_count], rising by start */
    uint32_t window_count;
    lsi_alert_row *rows; /* [row_count], in order of their first record that passed */
    size_t row_count, row_capacity;
};

ls_status lsi_alert_state_encode(const lsi_memory *memory, const lsi_alert_state *state, ls_bytes *out);
/* CORRUPT, VERSION, NO_MEMORY. `state` has its memory, and is for lsi_alert_state_clear whatever comes of it. */
ls_status lsi_alert_state_decode(lsi_alert_state *state, const lsi_state_entry *entry);
void lsi_alert_state_clear(lsi_alert_state *state); /* as of a rule that is new */

/* ---- windows.c ---- */

/* Something that passes. */
typedef struct lsi_alert_item {
    ls_seqno seqno; /* LS_SEQNO_NONE: a look */
    uint32_t sub_seqno;
    int64_t at_us;
    double value;
} lsi_alert_item;

void lsi_alert_notes_add(lsi_alert_notes *to, const lsi_alert_notes *more);
bool lsi_alert_compares(const ls_alert_options *options, double value);
bool lsi_alert_cannot_fire(const lsi_alert_state *state, const ls_alert_options *options);
lsi_alert_row *lsi_alert_row_find(lsi_alert_state *state, uint32_t shard); /* NULL: there is none */
/* Whether the item comes behind what was counted. */
bool lsi_alert_is_new(const lsi_alert_row *row, const lsi_alert_item *item);
/* Counts an item that is new. `*fires`: its row is untold now. NO_MEMORY: nothing was changed. */
ls_status lsi_alert_count(lsi_alert_state *state, const ls_alert_options *options, uint32_t shard,
                          const lsi_alert_item *item, bool *fires);

/* ---- alerts.c ---- */

/* What a handle remembers of a rule. */
typedef struct lsi_alert_memo {
    uint64_t of;           /* the version of the rule's value */
    lsi_alert_notes notes; /* that are not stored yet */
    bool has_last;         /* of a rate: the look before */
    double last;
    int64_t last_us;       /* monotonic */
} lsi_alert_memo;

struct lsi_alerts {
    lsi_memory memory;
    lsi_engine_stream *stream;
    ls_alert_callback callback;
    void *user;
    lsi_lock lock; /* LSI_RANK_LOCAL: the memos */
    lsi_alert_memo *memos; /* [memo_count] */
    size_t memo_count, memo_capacity;
};

/* ---- settle.c ---- */

/* What was found of one rule. */
typedef struct lsi_alert_findings {
    uint32_t shard; /* LS_NO_SHARD: by a look */
    lsi_alert_notes notes;
    lsi_alert_item *items; /* what passes, in order; [item_count] */
    size_t item_count, item_capacity;
} lsi_alert_findings;

/* CANCELLED: the callback refused. `*is_noted`: the notes are stored, whatever the answer is. */
ls_status lsi_alert_settle(const lsi_alerts *alerts, const lsi_alert_rule *rule, const lsi_alert_findings *findings,
                           bool *is_noted);

/* ---- values.c ---- */

typedef struct lsi_alert_values lsi_alert_values;
/* UNSUPPORTED, NO_MEMORY */
ls_status lsi_alert_values_open(const lsi_memory *memory, lsi_alert_rule *const *rules, size_t count,
                                lsi_alert_values **out);
void lsi_alert_values_close(lsi_alert_values *values); /* Accepts NULL. */
/* Adds what a record has to `findings` [count], that of each rule on a field. NO_MEMORY */
ls_status lsi_alert_values_find(lsi_alert_values *values, const ls_record *record, lsi_alert_findings *findings);

#endif
