/**
 * @file alert.h
 * Alerts: rules on a field of records, or on a counter or gauge, that call back when something is amiss.
 *
 * A *rule* is kept with its stream under a name: what is looked at, how it compares with a threshold, how often that
 * has to be so within a window, and for how long the rule is quiet afterwards. It says nothing of what happens then:
 * that is for the callback of whoever evaluates it. A rule goes with its stream.
 *
 * RULES ON RECORDS look at a field of the data, which is JSON. A program has a mapping's handler, or whoever reads the
 * stream, show each batch to ls_alerts_observe, which evaluates all rules of the stream. Each record that passes counts
 * once for a rule, however often it is delivered, whoever shows it, and whoever is killed meanwhile: which ones have
 * passed is stored before the call returns. (What was observed is noted as often as it is shown: below.) For that
 * batches of a shard are shown in order, one after another, as a mapping with one lane delivers them; different shards
 * may be shown at once, and by different processes.
 *
 * RULES ON METRICS look at a counter or gauge of the store or the application (metrics.h), or at how fast it grows.
 * They are evaluated whenever ls_alerts_check is called: each call is one look. Look at a metric from one place: what
 * two processes see counts twice.
 *
 * WINDOWS are tumbling, `window_ms` long, counted from the epoch, by the time when records arrived, or a look was
 * taken. They are the stream's, over all of its shards. A rule fires when `count_min` records or looks in one window
 * have passed its comparison: at once, not at the end of the window; once for a window; and not within `cooldown_ms`
 * before or after another time that it fired.
 *
 * WHAT HOLDS. For each rule and window there is one callback, over restarts and redelivery. A process that is killed in
 * it, whose callback refuses, or that cannot store that it was told, leaves it to the next that is shown the batch, or
 * takes a look: then it comes once more. Of a rule the last 64 windows in which something passed, and the last 64 times
 * that it fired, are known: who shows records of a shard that is further behind than that begins such a window anew.
 *
 * RULES THAT CANNOT FIRE. What a field or metric was is noted: how many records were looked at, how many had the field,
 * the least and the greatest of its numbers. When `observed_min` were looked at and none of them passed, the callback
 * is told that the rule cannot fire on what was observed (LS_ALERT_CANNOT_FIRE), and ls_alert_describe says it: once,
 * and once more as above, when the batch is shown again, or by the next ls_alerts_check or ls_alerts_close.
 * A record is noted as often as it is shown: by two mappings of the stream, or when its batch is delivered again.
 * These notes are stored every 1,000 records, with what passes, and by ls_alerts_check and ls_alerts_close; a crash
 * loses what was noted since.
 */
#ifndef LIBSTREAM_ALERT_H
#define LIBSTREAM_ALERT_H

#include <libstream/iterator.h>
#include <libstream/metrics.h>
#include <libstream/status.h>
#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How what is looked at compares with the threshold when it passes. */
typedef int32_t ls_alert_comparison;
#define LS_ALERT_GREATER 1          /**< GreaterThanThreshold */
#define LS_ALERT_GREATER_OR_EQUAL 2 /**< GreaterThanOrEqualToThreshold */
#define LS_ALERT_LESS 3             /**< LessThanThreshold */
#define LS_ALERT_LESS_OR_EQUAL 4    /**< LessThanOrEqualToThreshold */
#define LS_ALERT_EQUAL 5            /**< The number, or `text`. */
#define LS_ALERT_NOT_EQUAL 6        /**< The field has a value that can be compared (with `text` a string, a number,
                                         `true` or `false`, else a number), and it is another one. */

#define LS_ALERT_RATE UINT32_C(1) /**< `ls_alert_options.flags`: what the metric has grown by in a second since the
                                       look before. One that became less has begun anew: that look is none. */
#define LS_ALERTS_MAX 256u        /**< So many rules a stream has at most. */

/** What a rule says. Zero means the default everywhere. */
typedef struct ls_alert_options {
    uint32_t size;                  /**< Set by the INIT macro. */
    ls_alert_comparison comparison; /**< No default. */
    const char *field;              /**< A member of the record's data; points lead into objects ("car.speed"). Of equal
                                         names the last one counts. 1..1,024 bytes. */
    const char *metric;             /**< Instead of a field: a metric's name, as Prometheus has it. 1..256 bytes. Of a
                                         histogram its count is meant. */
    const char *text;               /**< Of a field, with EQUAL and NOT_EQUAL, instead of the threshold: a string, or a
                                         number, `true` or `false` as it is written. Up to 1,024 bytes; NULL: none. */
    const ls_label *labels;         /**< Of a metric: `label_count` labels, of different names; the sum of all series
                                         that have these values. */
    double threshold;               /**< A finite number. Of a field without `text` only numbers are compared, as
                                         doubles: 9007199254740993 equals 9007199254740992. Texts are none, nor is a
                                         number that no double holds, such as 5e400. */
    uint32_t label_count;           /**< 0..30 */
    uint32_t flags;                 /**< LS_ALERT_ bits. */
    uint32_t count_min;             /**< So many must pass in a window: 1..1,000,000,000, default 1. */
    uint32_t window_ms;             /**< 1..86,400,000, default 60,000. */
    uint32_t cooldown_ms;           /**< 0..604,800,000, default 0. */
    uint32_t observed_min;          /**< After so many records or looks it is judged whether it can fire:
                                         1..1,000,000,000, default 1,000. */
} ls_alert_options;
#define LS_ALERT_OPTIONS_INIT {(uint32_t)sizeof(ls_alert_options), 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0}

/**
 * Create a rule. Durable when it returns, in every mode.
 *
 * @param name     Borrowed until return. [a-zA-Z0-9_.-]{1,128}.
 * @param options  Borrowed until return, with all that it points to.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The name breaks its rule; there is neither a field nor a metric, or both; a setting
 *                                  is out of its range, or does not go with another. Nothing was changed.
 * @retval LS_ERR_UNSUPPORTED       There is a field, and libstream was built without JSON. Nothing was changed.
 * @retval LS_ERR_EXISTS            The stream has a rule of that name. Nothing was changed.
 * @retval LS_ERR_STATE             It has LS_ALERTS_MAX of them. Nothing was changed.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted. Nothing was changed.
 * @retval LS_ERR_READ_ONLY         The store was opened for reading or consuming; LS_ERR_STATE: for producing.
 * @retval LS_ERR_BUSY              A stopped process held a lock for `busy_timeout_ms`. Nothing was changed.
 * @retval LS_ERR_IO, LS_ERR_FULL, LS_ERR_CORRUPT, LS_ERR_KEY, LS_ERR_NO_MEMORY  The outcome is unknown for IO, else
 *                                  nothing was changed.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_alert_create(ls_stream *stream, const char *name, const ls_alert_options *options);

/**
 * Give a rule other settings, all of them. Durable when it returns. What was noted, counted and fired is forgotten: it
 * is as a rule that is new.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no rule of that name, or was deleted. Nothing was changed.
 *
 * Otherwise as ls_alert_create.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_alert_update(ls_stream *stream, const char *name, const ls_alert_options *options);

/**
 * Delete a rule, and what is known of it. Durable when it returns.
 *
 * @retval LS_ERR_NOT_FOUND  The stream has no rule of that name, or was deleted. Nothing was changed.
 * @retval LS_ERR_INVALID_ARGUMENT, LS_ERR_READ_ONLY, LS_ERR_STATE, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_FULL, LS_ERR_CORRUPT,
 *         LS_ERR_KEY, LS_ERR_NO_MEMORY  As ls_alert_create.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_alert_delete(ls_stream *stream, const char *name);

/** A rule with what is known of it. The caller sets `size` by the INIT macro. */
typedef struct ls_alert_info {
    uint32_t size;             /**< Set by the INIT macro. */
    int32_t cannot_fire;       /**< 1: `observed_min` were looked at, and none has passed. */
    int64_t created_us;
    int64_t modified_us;       /**< When it was changed last. All that follows is since then. */
    uint64_t observed_count;   /**< Records, as often as they were shown, or looks. */
    uint64_t value_count;      /**< Of them those with a number in the field, or with `text` any value; or where the
                                    metric was there. */
    uint64_t passed_count;     /**< Of them those that pass. */
    uint64_t fired_count;      /**< Callbacks that were answered with 0. */
    double least;              /**< Of numbers; 0 without any. */
    double greatest;           /**< The same. */
    int64_t last_fired_us;     /**< When what made it fire arrived, or was looked at; 0: it has not fired. */
    char name[136];            /**< Terminated. */
} ls_alert_info;
#define LS_ALERT_INFO_INIT {(uint32_t)sizeof(ls_alert_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}}

/** A rule as it was when it was looked at. */
typedef struct ls_alert_description ls_alert_description;

/**
 * Look at one rule.
 *
 * @param name  Borrowed until return.
 * @param out   Owned by the caller, release with ls_alert_description_free. Set on LS_OK only.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  The name breaks its rule.
 * @retval LS_ERR_NOT_FOUND         The stream has no rule of that name, or was deleted.
 * @retval LS_ERR_CORRUPT           What is stored under that name is none.
 * @retval LS_ERR_VERSION           It was stored by a later release.
 * @retval LS_ERR_BUSY, LS_ERR_IO, LS_ERR_KEY, LS_ERR_NO_MEMORY  The state could not be read.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_alert_describe(ls_stream *stream, const char *name, ls_alert_description **out);

/**
 * What it is.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_alert_description_info(const ls_alert_description *description, ls_alert_info *out);

/**
 * Its settings, defaults filled in.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written. What it points to is a view,
 *             until the description is freed.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_alert_description_options(const ls_alert_description *description, ls_alert_options *out);

/** Release a description. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_alert_description_free(ls_alert_description *description);

/** All rules of a stream, in byte order of name. */
typedef struct ls_alert_list ls_alert_list;

/**
 * List a stream's rules, of which there are LS_ALERTS_MAX at most.
 *
 * @param out  Owned by the caller, release with ls_alert_list_free. Set on LS_OK only.
 *
 * @retval LS_ERR_NOT_FOUND  The stream was deleted.
 * @retval LS_ERR_CORRUPT, LS_ERR_VERSION, LS_ERR_BUSY, LS_ERR_IO, LS_ERR_KEY, LS_ERR_NO_MEMORY  As ls_alert_describe.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_stream_list_alerts(ls_stream *stream, ls_alert_list **out);

/** How many rules there are. Threads: any thread. Never blocks. Since 0.1. */
LS_API uint32_t ls_alert_list_count(const ls_alert_list *list);

/**
 * The rule at `position`.
 *
 * @param out  Its `size` says how much of it the caller knows; only that much is written.
 *
 * @retval LS_ERR_INVALID_ARGUMENT  Past the end, or `out->size` was not set.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_alert_list_at(const ls_alert_list *list, uint32_t position, ls_alert_info *out);

/** Release a list. NULL is accepted. Threads: any thread. Never blocks. Since 0.1. */
LS_API void ls_alert_list_free(ls_alert_list *list);

/* ---- evaluating ---- */

/** Why the callback is called. */
typedef int32_t ls_alert_kind;
#define LS_ALERT_FIRED 1       /**< `count_min` have passed in the window. */
#define LS_ALERT_CANNOT_FIRE 2 /**< None of what was observed has passed; what is of a window or record is 0 then. */

/** What the callback is told. All pointers are views until it returns. */
typedef struct ls_alert {
    uint32_t size;            /**< How much of it the library knows. */
    ls_alert_kind kind;
    const char *name;         /**< The rule's. */
    const char *stream;       /**< Whose rule it is. */
    double value;             /**< Of the record or look that made it fire; 0 when it is no number. */
    uint64_t count;           /**< How many have passed in the window so far. */
    int64_t window_start_us;
    int64_t window_end_us;    /**< The first microsecond behind it. */
    int64_t at_us;            /**< When the record that made it fire arrived, or the look was taken. */
    ls_record_id first;       /**< The first record that passed in the window, in the order in which they were shown.
                                   Of a metric: LS_SEQNO_NONE, here and in `record`. */
    ls_record_id record;      /**< The one that made it fire. */
    uint64_t observed_count;  /**< This and the next three: as in ls_alert_info. */
    uint64_t value_count;
    double least;
    double greatest;
} ls_alert;

/**
 * Is told of alerts, on the thread that called ls_alerts_observe or ls_alerts_check, under no lock; for different
 * shards and rules on several threads at once. It may call everything but ls_alerts_close of its own handle. It
 * returns: a jump or a C++ exception must not leave it.
 *
 * @return 0: it is told. Anything else: it is not, and the call ends with LS_ERR_CANCELLED; it is told again when the
 *         batch is shown again, or in the next look.
 */
typedef int32_t (*ls_alert_callback)(const ls_alert *alert, void *user);

/** Evaluates the rules of a stream. */
typedef struct ls_alerts ls_alerts;

/**
 * Begin to evaluate a stream's rules, those that are made or changed later, too.
 *
 * @param callback  Called as above.
 * @param user      Handed to it.
 * @param out       Owned by the caller, release with ls_alerts_close. Set on LS_OK only.
 *
 * @retval LS_ERR_READ_ONLY   The store was opened for reading; LS_ERR_STATE: for producing.
 * @retval LS_ERR_UNSUPPORTED libstream was built without JSON.
 * @retval LS_ERR_NO_MEMORY   An allocation failed.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status ls_alerts_open(ls_stream *stream, ls_alert_callback callback, void *user, ls_alerts **out);

/**
 * Evaluate the rules on records with a batch of the stream. What has passed is durable when it returns. A record whose
 * data is not JSON has no field.
 *
 * @param batch  Borrowed until return; of the stream. An empty one changes nothing.
 *
 * @retval LS_OK                    All rules were evaluated, and the callbacks answered 0.
 * @retval LS_ERR_CANCELLED         A callback refused. The batch is to be shown again: a handler answers
 *                                  LS_HANDLER_RETRY.
 * @retval LS_ERR_NOT_FOUND         The stream was deleted.
 * @retval LS_ERR_CORRUPT, LS_ERR_VERSION  As ls_alert_describe.
 * @retval LS_ERR_BUSY, LS_ERR_IO, LS_ERR_FULL, LS_ERR_KEY, LS_ERR_NO_MEMORY  What has passed could not be stored. Some
 *                                  rules were evaluated; the batch is to be shown again.
 *
 * Threads: any thread, for a shard one at a time. Blocks on disk when something passes. Since 0.1.
 */
LS_API ls_status ls_alerts_observe(ls_alerts *alerts, const ls_batch *batch);

/**
 * Take a look: evaluate the rules on metrics, and store what was noted of records.
 *
 * Errors as ls_alerts_observe; the next call is the next look.
 *
 * Threads: any thread, one at a time for one handle. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_alerts_check(ls_alerts *alerts);

/**
 * Store what was noted, and close the handle. NULL is accepted. No call may be under way. It is released also when an
 * error is answered: then what was noted since the last time is not stored.
 *
 * Threads: any thread. Blocks on disk. Since 0.1.
 */
LS_API ls_status ls_alerts_close(ls_alerts *alerts);

#ifdef __cplusplus
}
#endif
#endif
