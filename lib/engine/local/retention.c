/* How old records of a stream may get: for readers, who are shown none that is older, to the record; and for upkeep,
 * which removes what is older, by whole segments and later.
 *
 * The time is the wall clock's, unless that has just jumped ahead (E8): then it goes on as before until the jump has
 * lasted for a period of monotonic time. So a jump ahead and back hides nothing and deletes nothing. Upkeep waits for
 * one period more, and in a boot whose first period is not over it deletes nothing at all. A horizon that was written
 * down when the clock was wrong for long lies ahead of the time once it is right again: then it is none. When a record
 * counts as arrived, whatever its stamp, storage knows (storage/age.c).
 *
 * What the manifest says of a stream is kept here beside it, and read again when the stream's generation says that it
 * changed: a change counts for every process from its next call on. Shards that it no longer names are marked then. */
#include <inttypes.h>

#include "base/clock_guard.h"
#include "base/status.h"
#include "engine/local/local.h"

#define PERIOD_US INT64_C(60000000)
#define HOUR_US INT64_C(3600000000)
#define SECOND_US INT64_C(1000000)
#define STEP_US SECOND_US
#define SLEW_PARTS 1000 /* A clock is slewed by at most half of that. */

/* Says when somebody set the clock: then wall and passing time differ by another amount than at this store's last look,
 * by more than a clock that is slewed gains meanwhile. */
static void tell_step(lsi_local *local)
{
    const lsi_env *env = &local->base.env;
    int64_t passing_us = lsi_passing_us(&env->clock), lead_us = 0, step_us = 0, before_us;
    bool is_first;

    if (__builtin_sub_overflow(lsi_wall_us(&env->clock), passing_us, &lead_us))
        return;
    lsi_local_lock(local);
    is_first = !local->looked_at_clock;
    local->looked_at_clock = true;
    if (__builtin_sub_overflow(lead_us, local->clock_lead_us, &step_us))
        step_us = lead_us < 0 ? INT64_MIN : INT64_MAX;
    before_us = local->clock_looked_us;
    local->clock_lead_us = lead_us;
    local->clock_looked_us = passing_us;
    lsi_local_unlock(local);
    if (!is_first && (step_us > STEP_US + (passing_us - before_us) / SLEW_PARTS ||
                      step_us < -STEP_US - (passing_us - before_us) / SLEW_PARTS))
        lsi_env_log(env, LS_LOG_WARNING, "the clock was set %s by %" PRId64 " s", step_us > 0 ? "ahead" : "back",
                    step_us > 0 ? step_us / SECOND_US : -(step_us / SECOND_US));
}

void lsi_local_look_at_clock(lsi_local *local)
{
    if (local->base.read_only)
        return;
    lsi_clock_guard_look(lsi_control_clock_guard(local->control), &local->base.env.clock, PERIOD_US);
    if (local->base.env.log != NULL)
        tell_step(local);
}

/* ---- what the manifest says ---- */

void lsi_local_settings_take_status(lsi_local_stream *stream, const lsi_catalog_stream *from)
{
    atomic_store_explicit(&stream->settings.status_until_us, from->status_until_us, memory_order_relaxed);
    atomic_store_explicit(&stream->settings.status, from->status, memory_order_relaxed);
}

void lsi_local_settings_take(lsi_local_stream *stream, const lsi_catalog_stream *from, uint64_t generation)
{
    lsi_local_settings *to = &stream->settings;

    /* Relaxed, each by itself: a mixture of two is what somebody sees who asks while it changes. */
    atomic_store_explicit(&to->retention_us, (int64_t)from->retention_hours * HOUR_US, memory_order_relaxed);
    atomic_store_explicit(&to->horizon_us, from->horizon_us, memory_order_relaxed);
    lsi_local_settings_take_status(stream, from);
    /* Release pairs with the acquire below. Last: an older one that another thread was about to store is replaced. */
    atomic_store_explicit(&to->seen, generation + 1, memory_order_release);
}

/* Without the manifest what was known before stays. Leaves the last error alone. */
static void settings_refresh(lsi_local_stream *stream, uint64_t generation)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    const lsi_catalog_stream *found;
    lsi_error_state before;
    lsi_catalog *catalog;
    ls_status st;

    lsi_error_save(&before);
    /* Without the store lock, which may be held for long: a reader waits for nobody. */
    if (lsi_control_manifest_generation(local->control) % 2 == 0)
        st = lsi_local_catalog(local, &catalog);
    else
        st = lsi_local_catalog_read(local, &catalog);
    if (st != LS_OK) {
        lsi_error_restore(&before);
        return;
    }
    found = lsi_catalog_find_id(catalog, stream->id);
    if (found != NULL) {
        lsi_local_lock(local);
        lsi_local_shards_mark_gone(&stream->shards, found);
        lsi_local_unlock(local);
        lsi_local_settings_take(stream, found, generation);
    }
    lsi_catalog_unref(catalog);
}

void lsi_local_settings_follow(lsi_local_stream *stream)
{
    uint64_t generation = atomic_load_explicit(&stream->slot->generation, memory_order_acquire);

    if (atomic_load_explicit(&stream->settings.seen, memory_order_acquire) != generation + 1)
        settings_refresh(stream, generation);
}

/* ---- ages ---- */

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A written horizon, which never was ahead of the time. */
static int64_t horizon_at(int64_t horizon_us, int64_t time_us)
{
    return horizon_us <= time_us ? horizon_us : INT64_MIN;
}

int64_t lsi_local_time_us(lsi_local *local)
{
    const lsi_clock *clock = &local->base.env.clock;

    return lsi_clock_guard_time(lsi_control_clock_guard(local->control), clock, lsi_wall_us(clock));
}

int64_t lsi_local_expired_before_us(void *user, int64_t arrival_us)
{
    lsi_local_stream *stream = user;
    lsi_local *local = lsi_local_of_stream(&stream->base);
    const lsi_clock *clock = &local->base.env.clock;
    const lsi_clock_guard *guard = lsi_control_clock_guard(local->control);
    int64_t wall_us = lsi_wall_us(clock), retention_us, horizon_us;

    lsi_local_settings_follow(stream);
    retention_us = atomic_load_explicit(&stream->settings.retention_us, memory_order_relaxed);
    horizon_us = atomic_load_explicit(&stream->settings.horizon_us, memory_order_relaxed);
    /* The true time is no later than the wall clock's: what is young by that needs no second look. */
    if (horizon_us <= arrival_us && wall_us - retention_us <= arrival_us)
        return arrival_us;
    lsi_local_look_at_clock(local);
    wall_us = lsi_clock_guard_time(guard, clock, wall_us);
    return later(horizon_at(horizon_us, wall_us), wall_us - retention_us);
}

int64_t lsi_local_retained_from_us(lsi_local *local, const lsi_catalog_stream *of)
{
    int64_t time_us = lsi_local_time_us(local);

    return later(horizon_at(of->horizon_us, time_us), time_us - (int64_t)of->retention_hours * HOUR_US);
}

int64_t lsi_local_trim_before_us(lsi_local_stream *stream)
{
    lsi_local *local = lsi_local_of_stream(&stream->base);
    const lsi_clock *clock = &local->base.env.clock;
    const lsi_clock_guard *guard = lsi_control_clock_guard(local->control);
    int64_t limit_us = INT64_MIN, time_us, horizon_us;

    lsi_local_look_at_clock(local);
    lsi_local_settings_follow(stream);
    horizon_us = atomic_load_explicit(&stream->settings.horizon_us, memory_order_relaxed);
    time_us = lsi_clock_guard_time(guard, clock, lsi_wall_us(clock));
    if (lsi_clock_guard_is_proven(guard))
        limit_us = time_us - PERIOD_US - atomic_load_explicit(&stream->settings.retention_us, memory_order_relaxed);
    return later(horizon_at(horizon_us, time_us), limit_us);
}

int64_t lsi_local_horizon_us(lsi_local *local, const lsi_catalog_stream *of)
{
    const lsi_clock *clock = &local->base.env.clock;
    const lsi_clock_guard *guard = lsi_control_clock_guard(local->control);

    int64_t time_us;

    lsi_local_look_at_clock(local);
    if (!lsi_clock_guard_is_proven(guard))
        return of->horizon_us;
    time_us = lsi_clock_guard_time(guard, clock, lsi_wall_us(clock));
    return later(horizon_at(of->horizon_us, time_us), time_us - (int64_t)of->retention_hours * HOUR_US);
}
