/* A process of a simulated machine, for tests of the engine: a store on a sim (sim_files.h) and a stream of it, and
 * what became of the calls that the test is about, which are walked: each call below them fails, or kills the process.
 *
 * A test says what the calls are (`run`, a callback of sim_run), and judges the disk that they left. */
#ifndef LST_SIM_PROCESS_H
#define LST_SIM_PROCESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/local/local.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define PROCESS_STEPS_MAX 4u
#define PROCESS_SEGMENT_BYTES (64u << 10)
#define PROCESS_BEGIN_US INT64_C(1700000000000000)
#define PROCESS_CALLS_MAX 3000u /* no walk is longer */

typedef struct process {
    sim_files *sim;
    sim_memory memory;
    lsi_env env;
    lsi_engine *engine;
    lsi_engine_stream *stream;             /* NULL: not opened */
    ls_durability durability;
    ls_status answers[PROCESS_STEPS_MAX];  /* of the test's steps; -1: not returned */
    size_t returned_at[PROCESS_STEPS_MAX]; /* places in the log when they had */
    uint32_t puts;                         /* the test's */
    int64_t now_us;                        /* of a clock that stands, see process_hold_clock */
} process;

static inline void process_begin(process *who, sim_files *sim)
{
    memset(who, 0, sizeof *who);
    who->sim = sim;
    who->memory = (sim_memory)SIM_MEMORY_INIT;
    who->now_us = PROCESS_BEGIN_US;
    lsi_env_default(&who->env);
    who->env.files = sim_files_table(sim);
    who->env.memory = sim_memory_table(&who->memory);
    who->env.busy_timeout_ms = 3000;
    who->durability = LS_DURABILITY_SYNC;
    for (uint32_t i = 0; i < PROCESS_STEPS_MAX; i++)
        who->answers[i] = -1;
}

static inline int64_t process_now(void *user)
{
    return ((process *)user)->now_us;
}

/* Time is what `now_us` says. */
static inline void process_hold_clock(process *who)
{
    who->env.clock = (lsi_clock){.wall_us = process_now, .monotonic_us = process_now, .user = who};
}

static inline ls_status process_open_store(process *who)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.segment_bytes = PROCESS_SEGMENT_BYTES;
    options.durability = who->durability;
    return lsi_local_open("store", &options, &who->env, &who->engine);
}

static inline ls_status process_open(process *who)
{
    ls_status st = process_open_store(who);

    if (st != LS_OK)
        return st;
    st = who->engine->ops->stream_open(who->engine, "s", &who->stream);
    if (st != LS_OK) {
        (void)who->engine->ops->close(who->engine);
        who->engine = NULL;
    }
    return st;
}

static inline void process_close(process *who)
{
    if (who->stream != NULL)
        who->engine->ops->stream_close(who->stream);
    who->stream = NULL;
    assert_int_equal(who->engine->ops->close(who->engine), LS_OK);
    assert_int_equal(who->memory.live, 0);
}

static inline ls_status process_create(process *who)
{
    lsi_stream_spec spec = {.name = "s", .shard_count = 2, .retention_hours = 24, .record_bytes_max = 1 << 20};

    return who->engine->ops->create(who->engine, &spec);
}

/* ---- steps, one after another until one fails ---- */

static inline void process_take_steps(process *who, uint32_t count, ls_status (*step)(process *who, uint32_t index))
{
    for (uint32_t i = 0; i < count && (i == 0 || who->answers[i - 1] == LS_OK); i++) {
        who->answers[i] = step(who, i);
        who->returned_at[i] = sim_log_count(who->sim);
    }
    if (who->stream != NULL)
        who->engine->ops->stream_close(who->stream);
    (void)who->engine->ops->close(who->engine); /* Whatever it says: it may be the one that fails. */
}

/* So many were acknowledged. */
static inline uint32_t process_stage(const process *who)
{
    uint32_t stage = 0;

    while (stage < PROCESS_STEPS_MAX && who->answers[stage] == LS_OK)
        stage++;
    return stage;
}

/* ---- walks ---- */

typedef struct process_walk {
    void (*begin)(process *who, sim_files *sim);
    void (*run)(void *who);
    /* `least`: so many steps were acknowledged, `most`: so many may have been done. */
    void (*judge)(sim_files *sim, const process *who, uint32_t least, uint32_t most);
    uint32_t steps;
} process_walk;

/* Fails the Nth file call with EIO, with ENOSPC, or the Nth allocation: until all goes well. What answered OK happened,
 * what answered anything but IO did not (D7). */
static inline void process_walk_failures(const process_walk *of, sim_files *start)
{
    for (int kind = 0; kind < 3; kind++)
        for (uint64_t n = 1;; n++) {
            sim_files *sim = sim_clone(start);
            uint32_t least;
            process who;
            bool met;

            of->begin(&who, sim);
            if (kind < 2)
                sim_fault_add(sim, (sim_fault){.nth = n, .err = kind == 0 ? EIO : ENOSPC});
            else
                sim_memory_fail(&who.memory, n, false);
            of->run(&who);
            met = kind < 2 ? sim_faults_met(sim) > 0 : who.memory.failed > 0;
            assert_int_equal(who.memory.live, 0);
            sim_faults_clear(sim);
            least = process_stage(&who);
            of->judge(sim, &who, least, least + (least < of->steps && who.answers[least] == LS_ERR_IO));
            sim_files_free(sim);
            if (!met) {
                assert_int_equal(least, of->steps);
                break;
            }
            assert_true(n < PROCESS_CALLS_MAX);
        }
}

/* Kills it at the Nth file call: whoever comes later, alone, finds a step done or not (P1). */
static inline void process_walk_deaths(const process_walk *of, sim_files *start)
{
    for (uint64_t n = 1;; n++) {
        sim_files *sim = sim_clone(start);
        uint32_t least;
        process who;
        bool killed;

        of->begin(&who, sim);
        sim_fault_add(sim, (sim_fault){.nth = n, .kill = true});
        killed = sim_run(sim, of->run, &who);
        sim_memory_bury(&who.memory);
        sim_faults_clear(sim);
        least = process_stage(&who);
        of->judge(sim, &who, least, least < of->steps ? least + 1 : least);
        sim_files_free(sim);
        if (!killed)
            break;
        assert_true(n < PROCESS_CALLS_MAX);
    }
}

#endif
