/* The batch machine against what a mapping promises, in random runs: random settings, records, handlers that throw,
 * report, are throttled, overrun and stop, destinations that fail, drains, and crashes after which all begins again at
 * the last checkpoint; in every other run with what was known of the batches that were being tried.
 *
 * The judge knows nothing of batches. It knows each record by itself: whether it passed the filters, whether it is with
 * a handler, and whether it is finished, which is so when an invocation of it succeeded or its discard was confirmed.
 * From that it says of every action:
 *
 *   J1  an invocation has 1 to records_max records, ascending, that passed the filters, are not finished and not with
 *       another handler, of whose keys all earlier records are finished or in it, within the bytes, none too old;
 *   J2  a checkpoint is exactly the last given record below the first that is not finished, never lower than before;
 *       whenever the machine waits, it has told the newest one;
 *   J3  what is given up for its retries failed one time more often than there are retries, as that very batch, and
 *       alone when batches are bisected; what is given up for its age is too old. Attempts are counted right, and where
 *       they are known over crashes, of which each is a failure of what had begun, all batches that begin with a record
 *       fail one time more often than there are retries at most;
 *   J4  the state that an invocation is given, and that a checkpoint tells, is the sum of exactly those records of its
 *       window that succeeded below it since the window began; a window ends only when nothing more of it comes; all
 *       records of an invocation are in its window;
 *   J5  it holds no more than it may, and goes on: at the end of the shard all is finished, and the counts add up. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consume/mapping/batcher.h"
#include "support/sim_memory.h"

#define RECORDS 64u
#define KEYS 7u
#define SECOND INT64_C(1000000)

static uint64_t random_state;

static uint32_t chance(uint32_t count)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) % count);
}

/* ---- what the judge knows ---- */

typedef struct known {
    ls_record record;
    char data[16];
    uint32_t key;
    bool matches, is_poison;
    bool is_with_handler, is_finished, has_succeeded;
    bool is_over; /* it was given up, and that is known to who comes next */
    uint32_t failures[RECORDS]; /* [n] of batches that begin here and have n + 1 records */
} known;

/* An invocation or discard that the machine waits for. */
typedef struct pending {
    lsi_batcher_action action;
    lsi_moment since;
    uint32_t first, count; /* indices of its records, which `action` points to as well */
    uint32_t indices[RECORDS];
    uint64_t sum;          /* of the state it was given */
    bool is_overrun_told;
} pending;

typedef struct run {
    sim_memory memory;
    lsi_batcher_settings settings;
    lsi_batcher *machine;
    lsi_moment now;
    known records[RECORDS];
    uint32_t given;        /* how many the machine has */
    bool is_ended, is_draining, is_calm; /* calm: nothing goes wrong any more, so that the run ends */
    pending pendings[LSI_BATCHER_LANES_MAX];
    bool is_pending[LSI_BATCHER_LANES_MAX];
    lsi_progress told;     /* the last checkpoint */
    char told_state[16];
    uint32_t window_from, told_window_from; /* the open window's sum begins with this record */
    uint64_t polled, filtered;
    uint64_t failing_percent, throttle_percent, partial_percent, crash_permille;
    uint64_t seed;
    bool remembers;        /* what was tried, over crashes; until it was more than is kept */
    lsi_trials tried;
    uint32_t crashes, finals, discards, deaths;
} run;

static run r;

static void violated(const char *rule, const char *what)
{
    fail_msg("violation: seed %" PRIu64 ": %s: %s", r.seed, rule, what);
}

#define HOLD(rule, condition) ((condition) ? (void)0 : violated(rule, #condition))

/* ---- making a run ---- */

static void make_settings(void)
{
    static const int64_t windows[] = {0, 0, 5, 60};
    static const int32_t retries[] = {-1, 0, 1, 3};

    r.settings = (lsi_batcher_settings){
        .records_max = 1 + chance(chance(2) == 0 ? 3 : 20),
        .bytes_max = chance(3) == 0 ? 1 + chance(40) : LSI_BATCHER_BYTES_DEFAULT,
        .batching_window_us = chance(2) * (int64_t)chance(20) * SECOND,
        .lane_count = chance(2) == 0 ? 1 : 1 + chance(LSI_BATCHER_LANES_MAX),
        .retries_max = retries[chance(4)],
        .record_age_us_max = chance(4) == 0 ? 60 * SECOND : -1,
        .retention_us = chance(8) == 0 ? 90 * SECOND : -1,
        .bisects = chance(2) == 0,
        .reports_failures = chance(2) == 0,
        .discards_failed_only = chance(4) == 0,
        .window_state_bytes_max = chance(3) == 0 ? 2 : 1000,
        .handler_timeout_us = chance(2) == 0 ? 3 * SECOND : -1,
        .held_records_max = chance(2) == 0 ? 1 + chance(30) : 0,
        .seed = r.seed,
    };
    if (r.settings.lane_count == 1)
        r.settings.tumbling_us = windows[chance(4)] * SECOND;
    r.failing_percent = chance(3) * 20;
    r.throttle_percent = chance(3) * 10;
    r.partial_percent = chance(3) * 20;
    r.crash_permille = chance(3) * 8;
}

static void make_records(void)
{
    uint32_t poison_percent = chance(3) * 5, filtered_percent = chance(3) * 30;
    int64_t arrival = r.now.wall_us - (int64_t)chance(100) * SECOND;
    ls_seqno seqno = 0;

    for (uint32_t i = 0; i < RECORDS; i++) {
        known *one = &r.records[i];
        static const char keys[] = "abcdefghij";

        seqno += 1 + chance(3);
        if (chance(3) == 0)
            arrival += chance(4000) * 1000;
        if (chance(4) == 0) /* Many stand on the edge of a window. */
            arrival += SECOND - arrival % SECOND;
        snprintf(one->data, sizeof one->data, "d%u", i);
        one->key = chance(KEYS);
        one->matches = chance(100) >= filtered_percent;
        one->is_poison = chance(100) < poison_percent;
        one->record = (ls_record){.partition_key = {keys + one->key, 1}, .data = {one->data, strlen(one->data)},
                                  .seqno = seqno, .arrival_us = arrival};
    }
}

static void open_machine(void)
{
    lsi_memory memory = sim_memory_table(&r.memory);

    assert_int_equal(lsi_batcher_open(&memory, &r.settings, &r.told, r.now, &r.machine), LS_OK);
    r.given = 0;
    while (r.given < RECORDS && r.records[r.given].record.seqno <= r.told.position.seqno)
        r.given++;
    r.is_ended = r.told.position.seqno == LS_SEQNO_END;
    r.is_draining = false;
    memset(r.is_pending, 0, sizeof r.is_pending);
    r.window_from = r.told_window_from;
    r.polled = r.filtered = 0;
    for (uint32_t i = 0; i < RECORDS; i++) {
        known *one = &r.records[i];

        if (!r.remembers || one->is_finished)
            memset(one->failures, 0, sizeof one->failures);
        one->is_with_handler = false;
        one->is_over = one->is_over && r.remembers;
        if (one->record.seqno > r.told.position.seqno) {
            one->is_finished = one->is_over;
            one->has_succeeded = false;
        }
    }
    if (r.remembers)
        lsi_batcher_resume(r.machine, &r.tried);
}

/* As the words of a lease have it: what is with a handler has begun, and has failed. */
static void remember(void)
{
    lsi_batcher_trials(r.machine, &r.tried);
    for (uint32_t lane = 0; lane < r.settings.lane_count; lane++) {
        const pending *p = &r.pendings[lane];
        bool is_begun = r.is_pending[lane] && p->action.kind == LSI_BATCHER_INVOKE;
        lsi_trial trial;

        if (!lsi_batcher_trial(r.machine, lane, is_begun, &trial))
            continue;
        lsi_trials_add(&r.tried, &trial);
        r.deaths += is_begun;
        if (is_begun && p->count > 0)
            r.records[p->indices[0]].failures[p->count - 1]++;
    }
    r.remembers = r.tried.count < LSI_TRIALS_MAX;
}

/* As after a crash, or a drain: what was not told is forgotten. */
static void reopen(void)
{
    if (r.remembers)
        remember();
    lsi_batcher_close(r.machine);
    r.crashes++;
    open_machine();
}

/* ---- judging ---- */

static uint32_t index_of(const ls_record *record)
{
    for (uint32_t i = 0; i < r.given; i++)
        if (r.records[i].record.seqno == record->seqno)
            return i;
    violated("J1", "a record that nobody gave");
    return 0;
}

static uint64_t sum_of_state(ls_bytes state)
{
    char text[32] = "0";

    HOLD("J4", state.size < sizeof text);
    if (state.size != 0)
        memcpy(text, state.data, state.size);
    text[state.size == 0 ? 1 : state.size] = '\0';
    return strtoull(text, NULL, 10);
}

/* Of the records that succeeded, below `end` and since the window began. */
static uint64_t sum_until(uint32_t end)
{
    uint64_t sum = 0;

    for (uint32_t i = r.window_from; i < end; i++)
        if (r.records[i].has_succeeded)
            sum += i + 1;
    return sum;
}

/* The first that matches and is not finished; `given` when there is none. */
static uint32_t first_unfinished(void)
{
    for (uint32_t i = 0; i < r.given; i++)
        if (r.records[i].matches && !r.records[i].is_finished)
            return i;
    return r.given;
}

static int64_t age_limit(void)
{
    int64_t age = r.settings.record_age_us_max, retention = r.settings.retention_us;

    return age < 0 ? retention : retention < 0 ? age : age < retention ? age : retention;
}

/* What seems past retention is. */
static ls_seqno horizon_now(void)
{
    uint32_t at = 0;

    while (r.settings.retention_us >= 0 && at < RECORDS &&
           r.now.wall_us - r.records[at].record.arrival_us > r.settings.retention_us)
        at++;
    return at == RECORDS ? LS_SEQNO_END : r.records[at].record.seqno;
}

static bool is_old(const known *one)
{
    return age_limit() >= 0 && r.now.wall_us - one->record.arrival_us > age_limit();
}

static void judge_window(const pending *p)
{
    const lsi_invocation *what = &p->action.invocation;
    uint32_t first = first_unfinished();

    HOLD("J4", what->is_windowed == (r.settings.tumbling_us != 0));
    HOLD("J4", !what->is_final || what->count == 0);
    if (!what->is_windowed)
        return;
    HOLD("J4", what->window_end_us - what->window_start_us == r.settings.tumbling_us);
    HOLD("J4", what->window_start_us % r.settings.tumbling_us == 0);
    for (uint32_t i = 0; i < p->count; i++)
        HOLD("J4", what->records[i].arrival_us >= what->window_start_us &&
                   what->records[i].arrival_us < what->window_end_us);
    HOLD("J4", sum_of_state(what->state) == sum_until(first));
    if (what->is_final) {
        HOLD("J4", what->is_terminated_early == (what->state.size > r.settings.window_state_bytes_max));
        HOLD("J4", what->is_terminated_early || r.is_ended || r.now.wall_us >= what->window_end_us ||
                   (r.given > 0 && r.records[r.given - 1].record.arrival_us >= what->window_end_us));
    } else {
        HOLD("J4", what->state.size <= r.settings.window_state_bytes_max);
    }
}

/* What INVOKE and DISCARD have in common (J1, but what is not asked of discards). */
static pending *judge_records(const lsi_batcher_action *action)
{
    pending *p = &r.pendings[action->lane];
    const lsi_invocation *what = &action->invocation;

    HOLD("J1", action->lane < r.settings.lane_count && !r.is_pending[action->lane]);
    HOLD("J1", what->count <= r.settings.records_max && (what->count > 0 || what->is_final));
    r.is_pending[action->lane] = true;
    *p = (pending){.action = *action, .since = r.now, .count = what->count, .sum = sum_of_state(what->state)};
    for (uint32_t i = 0; i < what->count; i++) {
        uint32_t index = index_of(&what->records[i]);
        known *one = &r.records[index];

        p->indices[i] = index;
        HOLD("J1", i == 0 || index > p->indices[i - 1]);
        HOLD("J1", one->matches && !one->is_finished && !one->is_with_handler);
        HOLD("J1", what->records[i].data.size == one->record.data.size &&
                   memcmp(what->records[i].data.data, one->data, one->record.data.size) == 0);
        HOLD("J1", what->records[i].partition_key.size == 1 &&
                   memcmp(what->records[i].partition_key.data, one->record.partition_key.data, 1) == 0);
        one->is_with_handler = true;
    }
    for (uint32_t i = 0; i < what->count; i++) /* order of the key */
        for (uint32_t k = 0; k < p->indices[i]; k++) {
            const known *before = &r.records[k];
            bool is_in_it = false;

            if (!before->matches || before->key != r.records[p->indices[i]].key)
                continue;
            for (uint32_t m = 0; m < i; m++)
                is_in_it = is_in_it || p->indices[m] == k;
            HOLD("J1", before->is_finished || is_in_it);
        }
    return p;
}

static uint32_t failures_of(const known *first)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < RECORDS; i++)
        sum += first->failures[i];
    return sum;
}

static void judge_attempts(const lsi_invocation *what, const known *first)
{
    if (!r.remembers)
        HOLD("J3", what->attempts == first->failures[what->count - 1]);
    else /* A batch may have less records than it had, when it is formed before all of them were read again. */
        HOLD("J3", what->attempts <= failures_of(first));
    if (r.remembers && r.settings.retries_max >= 0 && !r.settings.bisects)
        HOLD("J3", failures_of(first) <= (uint32_t)r.settings.retries_max);
}

static void judge_invocation(const lsi_batcher_action *action)
{
    const lsi_invocation *what = &action->invocation;
    pending *p = judge_records(action);
    uint64_t bytes = 0;

    HOLD("J5", !r.is_draining);
    for (uint32_t i = 0; i < what->count; i++) {
        bytes += what->records[i].partition_key.size + what->records[i].data.size;
        HOLD("J1", !is_old(&r.records[p->indices[i]]));
    }
    HOLD("J1", what->count <= 1 || bytes <= r.settings.bytes_max);
    if (what->count > 0 && age_limit() < 0)
        judge_attempts(what, &r.records[p->indices[0]]);
    HOLD("J3", r.settings.retries_max < 0 || what->attempts <= (uint32_t)r.settings.retries_max);
    judge_window(p);
}

static void judge_discard(const lsi_batcher_action *action)
{
    const lsi_invocation *what = &action->invocation;
    pending *p = judge_records(action);

    HOLD("J5", !r.is_draining);
    r.discards++;
    if (action->reason == LSI_DISCARD_RETRIES) {
        uint32_t most = 0;

        HOLD("J3", r.settings.retries_max >= 0 && action->invoke_count == (uint32_t)r.settings.retries_max + 1);
        HOLD("J3", !r.settings.bisects || what->count <= 1);
        if (what->count == 0 || age_limit() >= 0)
            return;
        for (uint32_t n = what->count; n <= (r.settings.discards_failed_only ? RECORDS : what->count); n++)
            if (most < r.records[p->indices[0]].failures[n - 1])
                most = r.records[p->indices[0]].failures[n - 1];
        HOLD("J3", r.remembers ? failures_of(&r.records[p->indices[0]]) >= action->invoke_count
                               : most == action->invoke_count);
        return;
    }
    HOLD("J3", action->invoke_count >= 1);
    HOLD("J3", (action->reason == LSI_DISCARD_EXPIRED) == (age_limit() != r.settings.record_age_us_max));
    for (uint32_t i = 0; i < what->count; i++)
        HOLD("J3", is_old(&r.records[p->indices[i]]));
}

/* Where a checkpoint would have to be. */
static ls_seqno newest_position(void)
{
    uint32_t first = first_unfinished();

    if (first == RECORDS && r.is_ended && r.told.position.seqno == LS_SEQNO_END)
        return LS_SEQNO_END;
    return first == 0 ? LS_SEQNO_NONE : r.records[first - 1].record.seqno;
}

static void judge_checkpoint(const lsi_progress *progress)
{
    HOLD("J2", progress->position.seqno >= r.told.position.seqno);
    if (progress->position.seqno == LS_SEQNO_END)
        HOLD("J2", r.is_ended && first_unfinished() == RECORDS && !progress->has_window);
    else
        HOLD("J2", progress->position.seqno == newest_position());
    HOLD("J4", progress->state.size < sizeof r.told_state);
    if (progress->has_window)
        HOLD("J4", sum_of_state(progress->state) == sum_until(first_unfinished()));
    else
        HOLD("J4", sum_until(first_unfinished()) == 0 || r.settings.tumbling_us == 0);
    if (progress->state.size != 0)
        memcpy(r.told_state, progress->state.data, progress->state.size);
    r.told = *progress;
    r.told.state.data = r.told_state;
    r.told_window_from = r.window_from;
}

static void judge_wait(const lsi_batcher_action *action)
{
    uint64_t held = 0, over = 0;

    HOLD("J2", r.told.position.seqno == newest_position());
    HOLD("J5", action->until_us > r.now.mono_us);
    for (uint32_t i = 0; i < r.given; i++) {
        held += r.records[i].matches && !r.records[i].is_finished;
        over += r.records[i].is_over;
    }
    HOLD("J5", lsi_batcher_held(r.machine) >= held && lsi_batcher_held(r.machine) <= held + over);
    held = lsi_batcher_held(r.machine); /* What is over waits behind others of its lane. */
    HOLD("J5", r.settings.lane_count > 1 || held + action->records_wanted <= r.settings.records_max ||
               action->records_wanted == 0);
    HOLD("J5", r.settings.lane_count == 1 || r.settings.held_records_max == 0 ||
               held + action->records_wanted <= r.settings.held_records_max || action->records_wanted == 0);
}

/* ---- the world around the machine ---- */

static void finish(known *one, bool has_succeeded)
{
    one->is_finished = true;
    one->has_succeeded = has_succeeded;
    one->is_with_handler = false;
}

/* What the rules make of an outcome (the judge's reading): from which record on the batch has failed. */
static void account(pending *p, const lsi_outcome *outcome, bool is_late)
{
    bool is_windowed = r.settings.tumbling_us != 0;
    uint32_t done = 0, count = p->count;
    bool is_success = outcome->kind == LSI_OUTCOME_SUCCESS ||
                      (outcome->kind == LSI_OUTCOME_PARTIAL && !r.settings.reports_failures);
    bool costs = is_late || (outcome->kind != LSI_OUTCOME_SYSTEM && outcome->kind != LSI_OUTCOME_STOPPED);

    if (!is_late && (outcome->has_state || !is_windowed)) {
        if (is_success)
            done = count;
        else if (outcome->kind == LSI_OUTCOME_PARTIAL && outcome->failed_at < count)
            done = outcome->failed_at;
        if (is_success && p->action.invocation.is_final) {
            r.window_from = first_unfinished();
            r.finals++;
        }
    }
    if (done == 0 && count > 0 && costs)
        r.records[p->indices[0]].failures[count - 1]++;
    for (uint32_t i = 0; i < count; i++) {
        r.records[p->indices[i]].is_with_handler = false;
        if (i < done)
            finish(&r.records[p->indices[i]], true);
    }
}

static lsi_outcome make_outcome(const pending *p)
{
    lsi_outcome outcome = {.kind = LSI_OUTCOME_SUCCESS, .has_state = r.is_calm || chance(30) != 0};
    uint32_t dice = chance(100);

    if (!r.is_calm && dice < r.throttle_percent)
        outcome.kind = chance(10) == 0 ? LSI_OUTCOME_STOPPED : LSI_OUTCOME_SYSTEM;
    else if (!r.is_calm && chance(100) < r.failing_percent)
        outcome.kind = chance(3) == 0 ? LSI_OUTCOME_BAD_RESPONSE : LSI_OUTCOME_FAILED;
    else if (!r.is_calm && chance(100) < r.partial_percent)
        outcome = (lsi_outcome){.kind = LSI_OUTCOME_PARTIAL, .has_state = true, .failed_at = chance(p->count + 2)};
    for (uint32_t i = 0; outcome.kind == LSI_OUTCOME_SUCCESS && i < p->count; i++)
        if (r.records[p->indices[i]].is_poison && (!r.is_calm || r.settings.retries_max >= 0))
            outcome = (lsi_outcome){.kind = r.settings.reports_failures ? LSI_OUTCOME_PARTIAL : LSI_OUTCOME_FAILED,
                                    .has_state = true, .failed_at = i};
    return outcome;
}

static void answer(uint32_t lane)
{
    pending *p = &r.pendings[lane];
    lsi_outcome outcome = make_outcome(p);
    int64_t took = r.now.mono_us - p->since.mono_us;
    bool is_late = r.settings.handler_timeout_us >= 0 && took > r.settings.handler_timeout_us &&
                   outcome.kind != LSI_OUTCOME_STOPPED;
    uint64_t sum = p->sum;
    char state[32];

    r.is_pending[lane] = false;
    if (p->action.kind == LSI_BATCHER_DISCARD) {
        bool is_written = r.is_calm || chance(3) != 0;

        lsi_batcher_discarded(r.machine, lane, is_written, r.now);
        for (uint32_t i = 0; i < p->count; i++) {
            r.records[p->indices[i]].is_with_handler = false;
            if (is_written) {
                finish(&r.records[p->indices[i]], false);
                r.records[p->indices[i]].is_over = r.settings.lane_count > 1;
            }
        }
        if (is_written && p->action.invocation.is_final)
            r.window_from = first_unfinished();
        return;
    }
    for (uint32_t i = 0; i < p->count; i++)
        if (outcome.kind != LSI_OUTCOME_PARTIAL || !r.settings.reports_failures || i < outcome.failed_at)
            sum += p->indices[i] + 1;
    if (outcome.kind != LSI_OUTCOME_SUCCESS && outcome.failed_at == 0 &&
        (outcome.kind != LSI_OUTCOME_PARTIAL || r.settings.reports_failures))
        sum += 1000000; /* What a batch returns that made no progress counts for nothing. */
    snprintf(state, sizeof state, "%" PRIu64, sum);
    outcome.state = (ls_bytes){state, strlen(state)};
    account(p, &outcome, is_late);
    r.is_draining = r.is_draining || outcome.kind == LSI_OUTCOME_STOPPED;
    assert_int_equal(lsi_batcher_complete(r.machine, lane, &outcome, r.now), LS_OK);
}

/* Gives what the machine wants, or some of it; with one lane at times more (M5). Its memory is another one each time,
 * and is spoilt before the next. */
static void give(const lsi_batcher_action *action)
{
    static ls_record memory[RECORDS];
    static char bytes[RECORDS][16];
    bool matches[RECORDS];
    uint32_t count = RECORDS - r.given;
    bool is_ahead = r.settings.lane_count == 1 && chance(3) == 0;
    uint64_t wanted_bytes = 0;

    if (!is_ahead && count > action->records_wanted)
        count = (uint32_t)action->records_wanted;
    if (count > 1)
        count = 1 + chance(count);
    assert_int_equal(lsi_batcher_own(r.machine), LS_OK);
    memset(memory, 0x5a, sizeof memory);
    memset(bytes, 0x5a, sizeof bytes);
    for (uint32_t i = 0; i < count; i++) {
        const known *one = &r.records[r.given + i];

        wanted_bytes += one->record.partition_key.size + one->record.data.size;
        if (!is_ahead && i > 0 && wanted_bytes > action->bytes_wanted) {
            count = i;
            break;
        }
        memory[i] = one->record;
        bytes[i][0] = *(const char *)one->record.partition_key.data;
        memcpy(bytes[i] + 1, one->data, one->record.data.size);
        memory[i].partition_key.data = bytes[i];
        memory[i].data.data = bytes[i] + 1;
        matches[i] = one->matches;
        r.filtered += !one->matches;
    }
    r.polled += count;
    assert_int_equal(lsi_batcher_give(r.machine, memory, count, matches), LS_OK);
    r.given += count;
}

static void pass(int64_t us)
{
    r.now.mono_us += us;
    r.now.wall_us += us;
}

static bool answer_some(void)
{
    uint32_t from = chance(LSI_BATCHER_LANES_MAX);

    for (uint32_t i = 0; i < LSI_BATCHER_LANES_MAX; i++) {
        uint32_t lane = (from + i) % LSI_BATCHER_LANES_MAX;

        if (r.is_pending[lane]) {
            answer(lane);
            return true;
        }
    }
    return false;
}

static void wait(const lsi_batcher_action *action)
{
    if (r.given == RECORDS && !r.is_ended && action->records_wanted > 0 && chance(2) == 0) {
        lsi_batcher_end(r.machine);
        r.is_ended = true;
    } else if (action->records_wanted > 0 && r.given < RECORDS && chance(4) != 0) {
        give(action);
    } else if (chance(3) != 0 && answer_some()) {
        return;
    } else if (action->until_us != INT64_MAX && chance(3) != 0) {
        pass(action->until_us - r.now.mono_us);
    } else {
        pass(chance(2500000));
    }
    /* What is not given yet arrives no earlier than the clock says once this was said. */
    if (r.settings.tumbling_us != 0 && action->records_wanted > 0 && chance(3) == 0) {
        if (r.given < RECORDS && r.records[r.given].record.arrival_us < r.now.wall_us)
            return;
        lsi_batcher_tip(r.machine, r.now.wall_us);
    }
}

static void judge_counts(void)
{
    lsi_batcher_counts counts;

    lsi_batcher_counts_get(r.machine, &counts);
    HOLD("J5", counts.polled == r.polled && counts.filtered == r.filtered);
    HOLD("J5", counts.polled == counts.filtered + counts.delivered + counts.dropped_undelivered);
    HOLD("J5", counts.invoked >= counts.delivered);
}

static void run_one(uint64_t seed)
{
    memset(&r, 0, sizeof r);
    r.memory = (sim_memory)SIM_MEMORY_INIT;
    r.seed = seed;
    random_state = seed;
    r.now = (lsi_moment){.wall_us = 100000 * SECOND, .mono_us = 7 * SECOND};
    r.remembers = seed % 2 == 0;
    make_settings();
    make_records();
    open_machine();
    for (uint32_t step = 0;; step++) {
        lsi_batcher_action action;

        r.is_calm = step > 3000;
        HOLD("J5", step < 20000); /* It goes on, and ends. */
        lsi_batcher_set_horizon(r.machine, horizon_now());
        assert_int_equal(lsi_batcher_next(r.machine, r.now, &action), LS_OK);
        switch (action.kind) {
        case LSI_BATCHER_INVOKE: judge_invocation(&action); break;
        case LSI_BATCHER_DISCARD: judge_discard(&action); break;
        case LSI_BATCHER_CHECKPOINT: judge_checkpoint(&action.progress); break;
        case LSI_BATCHER_OVERRUN:
            HOLD("J5", r.is_pending[action.lane] && !r.pendings[action.lane].is_overrun_told);
            HOLD("J5", r.now.mono_us - r.pendings[action.lane].since.mono_us > r.settings.handler_timeout_us);
            r.pendings[action.lane].is_overrun_told = true;
            break;
        case LSI_BATCHER_WAIT:
            judge_wait(&action);
            wait(&action);
            break;
        case LSI_BATCHER_DONE:
            for (uint32_t i = 0; i < LSI_BATCHER_LANES_MAX; i++)
                HOLD("J5", !r.is_pending[i]);
            HOLD("J5", r.is_draining || r.told.position.seqno == LS_SEQNO_END);
            if (r.told.position.seqno == LS_SEQNO_END) {
                HOLD("J5", first_unfinished() == RECORDS);
                judge_counts();
                lsi_batcher_close(r.machine);
                HOLD("J5", r.memory.live == 0);
                return;
            }
            reopen();
            break;
        }
        if (!r.is_calm && chance(1000) < r.crash_permille)
            reopen();
        else if (!r.is_calm && !r.is_draining && chance(300) == 0) {
            lsi_batcher_drain(r.machine);
            r.is_draining = true;
        }
    }
}

static void what_a_mapping_promises_holds_in_random_runs(void **state)
{
    const char *given = getenv("LIBSTREAM_TEST_SEED");
    uint64_t from = given != NULL ? strtoull(given, NULL, 10) : 1;
    uint64_t count = given != NULL ? 1 : getenv("LIBSTREAM_TEST_LONG") != NULL ? 100000 : 4000;
    uint64_t crashes = 0, finals = 0, discards = 0, deaths = 0;

    (void)state;
    for (uint64_t seed = from; seed < from + count; seed++) {
        run_one(seed);
        crashes += r.crashes;
        finals += r.finals;
        discards += r.discards;
        deaths += r.deaths;
    }
    printf("seed=%" PRIu64 " cases=%" PRIu64 " reopened=%" PRIu64 " windows=%" PRIu64 " discards=%" PRIu64 " deaths=%"
           PRIu64 "\n", from, count, crashes, finals, discards, deaths);
    if (given == NULL) {
        assert_true(crashes > count / 2);
        assert_true(finals > count / 2);
        assert_true(discards > count / 2);
        assert_true(deaths > count / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_a_mapping_promises_holds_in_random_runs)};

    return cmocka_run_group_tests_name("the batch machine in random runs", tests, NULL, NULL);
}
