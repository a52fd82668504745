/* What every process of the storm has: seeded chance, violations, a clock on each call, the hook in its file layer that
 * kills it, and the store. */
#include "harness/h4.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"

storm_shared *storm;
storm_settings storm_set;

int64_t storm_now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* splitmix64: small, seeded, the same everywhere. */
uint64_t storm_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t storm_random_below(uint64_t *state, uint64_t bound)
{
    return storm_random(state) % bound;
}

void storm_violation(const char *format, ...)
{
    uint64_t index = atomic_fetch_add(&storm->violations, 1);
    va_list arguments;

    if (index >= STORM_MESSAGES_MAX)
        return;
    va_start(arguments, format);
    (void)vsnprintf(storm->messages[index], STORM_MESSAGE_BYTES, format, arguments);
    va_end(arguments);
}

_Noreturn void storm_fail(const char *what, ls_status st)
{
    storm_violation("%s: %s: %s", what, ls_status_name(st), ls_last_error_message());
    _exit(3);
}

uint32_t storm_number_of(const ls_record *record, uint32_t none)
{
    uint32_t number;

    if (record->data.size != sizeof number)
        return none;
    memcpy(&number, record->data.data, sizeof number);
    return number;
}

uint64_t storm_end(temp_dir *temp, bool keep)
{
    uint64_t violations = atomic_load(&storm->violations);

    for (uint32_t i = 0; i < STORM_MESSAGES_MAX && i < violations; i++)
        if (storm->messages[i][0] != '\0') /* Who was killed while he wrote it has left nothing. */
            fprintf(stderr, "h4: %s\n", storm->messages[i]);
    if (keep)
        fprintf(stderr, "h4: kept in %s\n", temp->path);
    else
        temp_remove(temp);
    (void)munmap(storm, sizeof *storm);
    storm = NULL;
    return violations;
}

static void raise_to(_Atomic int64_t *most, int64_t value)
{
    int64_t seen = atomic_load(most);

    while (value > seen && !atomic_compare_exchange_weak(most, &seen, value))
        continue;
}

bool storm_is_calm(void)
{
    return (storm_now_us() - storm->began_us) / 1000000 % 6 >= 3;
}

/* ---- the hook: dying at a chosen call ---- */

static void die(const storm_plan *plan)
{
    unsigned held = hooked_files_held(&plan->files);

    atomic_fetch_add(&storm->hooked_kills, 1);
    if (held != 0)
        atomic_fetch_add(&storm->holders, 1);
    if ((held & 1u << LSI_RANK_SHARD) != 0)
        atomic_fetch_add(&storm->append_holders, 1);
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* Any number of the write's first bytes, as a kill between two pages leaves them. */
static void write_part(storm_plan *plan, const hook_event *event)
{
    size_t total = 0;

    for (int i = 0; i < event->count; i++)
        total += event->spans[i].size;
    /* Half of the time within the first span, which is the frame; behind it are zeros. */
    if ((storm_random(&plan->random) & 1) != 0)
        total = event->spans[0].size;
    hook_write_part(event, (size_t)storm_random_below(&plan->random, total + 1));
}

static bool strikes(storm_plan *plan, const hook_event *event)
{
    return event->target != HOOK_CONTROL && plan->countdown >= 0 && plan->countdown-- == 0;
}

static int before_call(void *user, const hook_event *event)
{
    storm_plan *plan = user;

    if (plan->where == 1 || !strikes(plan, event))
        return 0;
    if (plan->where == 2 && (event->call == HOOK_WRITE || event->call == HOOK_STORE))
        write_part(plan, event);
    die(plan);
    return 0;
}

static void after_call(void *user, const hook_event *event)
{
    storm_plan *plan = user;

    if (event->call == HOOK_SYNC || event->call == HOOK_SYNC_DIR)
        if (event->took_us >= 50000)
            atomic_fetch_add(&storm->slow_disk_us, event->took_us);
    if (plan->where == 1 && strikes(plan, event))
        die(plan);
}

void storm_plan_init(storm_plan *plan, uint64_t *random)
{
    hooked_files_init(&plan->files, before_call, after_call, plan);
    plan->random = *random ^ 1;
    plan->countdown = -1;
    plan->where = (int)storm_random_below(random, 3);
    /* Opening costs few calls, a put two or three, a roll ten: early ones and late ones are hit. */
    if (storm_set.kills > 0 && storm_random_below(random, 4) != 0)
        plan->countdown = (int64_t)storm_random_below(random, (storm_random(random) & 1) != 0 ? 12 : 150);
}

/* ---- calls with a clock on them ---- */

int64_t storm_excuses(void)
{
    return atomic_load(&storm->stopped_us) + atomic_load(&storm->slow_disk_us);
}

storm_call storm_call_begins(storm_child *state, int64_t allowed_us)
{
    storm_call made = {state, storm_now_us(), storm_excuses()};

    atomic_store(&state->allowed_us, allowed_us);
    atomic_store(&state->excused_us, made.excused_us);
    atomic_store(&state->busy_since_us, made.from_us);
    return made;
}

/* P1: no wait above a second. */
void storm_call_ends(const storm_call *of, const char *what, int64_t allowed_us)
{
    int64_t took = storm_now_us() - of->from_us - (storm_excuses() - of->excused_us) - (allowed_us - storm_set.wait_us);

    atomic_store(&of->state->busy_since_us, 0);
    raise_to(&storm->longest_us, took);
    if (took > storm_set.wait_us)
        storm_violation("%s took %" PRId64 " ms", what, took / 1000);
}

/* ---- children ---- */

ls_status storm_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

/* Each scaling that nobody asked for says so. */
static void count_scaling(void *user, int32_t level, const char *line)
{
    (void)user;
    if (level == LS_LOG_INFO && (strstr(line, ": hot for ") != NULL || strstr(line, ": cold for ") != NULL))
        atomic_fetch_add(&storm->scaled, 1);
}

ls_store *storm_open_store(storm_plan *plan, storm_child *state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    lsi_env env;
    ls_status st;

    options.key_callback = storm_key;
    options.log = count_scaling;
    lsi_env_default(&env);
    if (plan != NULL)
        env.files = &plan->files.table;
    storm_call clock = storm_call_begins(state, storm_set.wait_us);
    st = lsi_store_open_env(storm_set.dir, &options, &env, &store);
    storm_call_ends(&clock, "opening the store", storm_set.wait_us);
    if (st != LS_OK) {
        storm_violation("opening the store: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    return store;
}

ls_stream *storm_open_stream(ls_store *store, storm_child *state)
{
    ls_stream *stream = NULL;
    storm_call clock = storm_call_begins(state, storm_set.wait_us);
    ls_status st = ls_stream_open(store, STORM_STREAM, &stream);

    storm_call_ends(&clock, "opening the stream", storm_set.wait_us);
    if (st != LS_OK) {
        storm_violation("opening the stream: %s: %s", ls_status_name(st), ls_last_error_message());
        _exit(3);
    }
    return stream;
}

void storm_close(ls_store *store, ls_stream *stream, ls_producer *producer, ls_iterator *iterator)
{
    ls_status st = ls_producer_close(producer);

    ls_iterator_close(iterator);
    if (st == LS_OK)
        st = ls_stream_close(stream);
    if (st == LS_OK)
        st = ls_store_close(store);
    if (st != LS_OK)
        storm_violation("closing: %s: %s", ls_status_name(st), ls_last_error_message());
}
