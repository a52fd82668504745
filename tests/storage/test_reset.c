/* lsi_log_reset (E1): what a failed sync left unknown is given up for good, and whoever was in the middle of something
 * is told the truth. Positions are not used again, so nobody takes a new record for the one he waited for.
 *
 * On the simulated disk, with two logs of one shard as two processes have them: `first` is who is stopped in the
 * middle, `second` who resets and goes on. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "storage/log_store.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SEGMENT_BYTES (1u << 20)

typedef struct fixture {
    sim_files *sim;
    log_store store;
    lsi_log *first, *second;
} fixture;

static int setup(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.sim = sim_files_new();
    *state = &fx;
    return fx.sim == NULL;
}

static void begin(fixture *fx, ls_durability durability)
{
    log_store_open(&fx->store, sim_files_table(fx->sim), true, durability, SEGMENT_BYTES);
    fx->first = fx->store.log;
    assert_int_equal(lsi_log_open(&fx->store.config, &fx->second), LS_OK);
    assert_int_equal(lsi_log_touch(fx->first), LS_OK);
    assert_int_equal(lsi_log_touch(fx->second), LS_OK);
}

static int teardown(void **state)
{
    fixture *fx = *state;

    sim_hook_set(fx->sim, NULL, NULL);
    if (fx->second != NULL)
        (void)lsi_log_close(fx->second);
    if (fx->store.log != NULL)
        (void)log_store_close(&fx->store);
    sim_files_free(fx->sim);
    return 0;
}

/* An empty disk, for the next round of a walk. */
static void end_and_begin_anew(fixture *fx)
{
    assert_int_equal(lsi_log_close(fx->second), LS_OK);
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    fx->second = NULL;
    sim_files_free(fx->sim);
    fx->sim = sim_files_new();
}

/* Appends and does not wait: `*end` is what to wait for. */
static ls_seqno append(fixture *fx, lsi_log *log, const char *text, uint64_t *end)
{
    ls_put_entry entry = {{"k", 1}, {text, strlen(text)}, NULL};
    ls_seqno seqno = LS_SEQNO_NONE;
    uint32_t accepted;
    bool closed;

    assert_int_equal(lsi_log_append(log, fx->store.framer, &entry, NULL, 1, false, &accepted, &seqno, end, &closed),
                     LS_OK);
    return seqno;
}

static void put(fixture *fx, lsi_log *log, const char *text)
{
    uint64_t end;

    (void)append(fx, log, text, &end);
    assert_int_equal(lsi_log_commit(log, end), LS_OK);
}

/* The next sync of a segment fails, and it is one of `log`. */
static void fail_a_sync(fixture *fx, lsi_log *log)
{
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(lsi_log_sync(log), LS_ERR_IO);
    sim_faults_clear(fx->sim);
}

/* Reads on to the tip; texts of the records, each followed by a space. */
static void read_on(lsi_log_reader *reader, char *texts, size_t size)
{
    const ls_record *records;
    bool tip = false, end;
    uint32_t count;
    size_t used = 0;

    while (!tip) {
        assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
        for (uint32_t i = 0; i < count; i++)
            used += (size_t)snprintf(texts + used, size - used, "%.*s ", (int)records[i].data.size,
                                     (const char *)records[i].data.data);
    }
    texts[used] = '\0';
}

static void read_log(lsi_log *log, char *texts, size_t size)
{
    lsi_log_reader *reader;

    assert_int_equal(lsi_log_reader_open(log, LSI_READ_FAST, &reader), LS_OK);
    read_on(reader, texts, size);
    lsi_log_reader_close(reader);
}

static void check_log(lsi_log *log, const char *expected)
{
    char texts[512];

    read_log(log, texts, sizeof texts);
    assert_string_equal(texts, expected);
}

static lsi_log_reader *reader_at_latest(lsi_log *log)
{
    ls_position latest = {.kind = LS_LATEST};
    lsi_log_reader *reader;

    assert_int_equal(lsi_log_reader_open(log, LSI_READ_FAST, &reader), LS_OK);
    assert_int_equal(lsi_log_reader_seek(reader, &latest), LS_OK);
    return reader;
}

/* What a disk that lost its power here shows, whatever of the unsynced bytes it kept: one of the two. */
static void check_crashed_as(fixture *fx, const char *expected, const char *or_else)
{
    char texts[512];
    size_t now = sim_log_count(fx->sim);

    for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 20; seed++) {
        sim_files *disk = sim_crash_state(fx->sim, now, seed);
        log_store crashed = {0};

        log_store_open(&crashed, sim_files_table(disk), false, fx->store.config.durability, SEGMENT_BYTES);
        read_log(crashed.log, texts, sizeof texts);
        if (strcmp(texts, or_else) != 0)
            assert_string_equal(texts, expected);
        assert_int_equal(log_store_close(&crashed), LS_OK);
        sim_files_free(disk);
    }
}

static void check_crashed(fixture *fx, const char *expected)
{
    check_crashed_as(fx, expected, expected);
}

/* ---- puts that wait ---- */

static const char long_text[] = "long-enough-to-end-behind-all-that-was-given-up-and-a-good-deal-more-than-that-indeed";

/* D1, D7. Once, and through several resets. */
static void a_put_that_waits_through_a_reset_is_not_acknowledged(void **state)
{
    fixture *fx = *state;
    uint64_t end, before;

    begin(fx, LS_DURABILITY_SYNC);
    (void)append(fx, fx->first, "before", &before);
    assert_int_equal(lsi_log_commit(fx->second, before), LS_OK);
    (void)append(fx, fx->first, "victim", &end);
    fail_a_sync(fx, fx->second);
    assert_int_equal(lsi_log_commit(fx->first, end), LS_ERR_IO);
    assert_int_equal(lsi_log_reset(fx->second), LS_OK);
    assert_int_equal(lsi_log_commit(fx->first, end), LS_ERR_IO); /* who asks at once, */
    put(fx, fx->second, long_text);
    assert_int_equal(lsi_log_commit(fx->first, end), LS_ERR_IO); /* and who was stopped meanwhile */
    assert_int_equal(lsi_log_commit(fx->first, before), LS_OK); /* but what was durable is */
    uint64_t other;
    (void)append(fx, fx->second, "another", &other);
    fail_a_sync(fx, fx->second);
    assert_int_equal(lsi_log_reset(fx->second), LS_OK);
    put(fx, fx->second, "after");
    assert_int_equal(lsi_log_commit(fx->first, end), LS_ERR_IO);
    assert_int_equal(lsi_log_commit(fx->first, other), LS_ERR_IO);
    assert_int_equal(lsi_log_commit(fx->first, before), LS_OK);
    char expected[256];
    (void)snprintf(expected, sizeof expected, "before %s after ", long_text);
    check_log(fx->first, expected);
    check_log(fx->second, expected);
    check_crashed(fx, expected);
}

/* ---- syncs that are under way ---- */

typedef struct during {
    fixture *fx;
    bool armed;
    uint64_t end; /* of what was put, and not synced, after the reset */
} during;

static void reset_and_put(void *user)
{
    during *of = user;

    assert_int_equal(lsi_log_fail(of->fx->second, lsi_log_slot(of->fx->second), EIO), LS_ERR_IO);
    assert_int_equal(lsi_log_reset(of->fx->second), LS_OK);
    (void)append(of->fx, of->fx->second, "new", &of->end);
}

/* Inside a sync of the segment: somebody else's sync of the directory fails, and all that follows. In a thread, for
 * this one holds a lock that has a higher rank. */
static void fail_and_reset(void *user, sim_call call, const char *name)
{
    during *of = user;

    if (!of->armed || call != SIM_SYNC_ENDS || strstr(name, ".seg") == NULL)
        return;
    of->armed = false;
    assert_false(sim_run(of->fx->sim, reset_and_put, of));
}

/* S4. What the sync covered was given up, and what lies in the log now was written after it began. */
static void a_sync_that_outlasts_a_reset_makes_nothing_durable(void **state)
{
    fixture *fx = *state;
    during of = {.fx = fx};
    uint64_t end, syncs;

    begin(fx, LS_DURABILITY_SYNC);
    put(fx, fx->first, "before");
    (void)append(fx, fx->first, long_text, &end);
    of.armed = true;
    sim_hook_set(fx->sim, fail_and_reset, &of);
    assert_int_equal(lsi_log_commit(fx->first, end), LS_ERR_IO);
    sim_hook_set(fx->sim, NULL, NULL);
    assert_false(of.armed);
    check_log(fx->second, "before "); /* D3: nobody reads what was not synced. */
    syncs = sim_calls(fx->sim, SIM_SYNC);
    assert_int_equal(lsi_log_commit(fx->second, of.end), LS_OK);
    assert_int_equal(sim_calls(fx->sim, SIM_SYNC), syncs + 1);
    check_log(fx->second, "before new ");
    check_crashed(fx, "before new ");
}

typedef struct beside {
    fixture *fx;
    bool armed;
    pthread_t thread;
    _Atomic bool has_ended;
    ls_status answer;
} beside;

static void *sync_beside(void *user)
{
    beside *of = user;

    of->answer = lsi_log_sync(of->fx->first);
    of->has_ended = true;
    return NULL;
}

/* At the end of a sync that fails, before its thread can say so: another one syncs through the same descriptor, once
 * it has waited long enough for this one. */
static void begin_beside(void *user, sim_call call, const char *name)
{
    beside *of = user;

    if (!of->armed || call != SIM_SYNC_ENDS || strstr(name, ".seg") == NULL)
        return;
    of->armed = false;
    assert_int_equal(pthread_create(&of->thread, NULL, sync_beside, of), 0);
    for (int i = 0; i < 2500 && !of->has_ended; i++)
        usleep(1000);
}

/* E1. The kernel tells a lost write to one of those who sync through a descriptor. */
static void of_two_syncs_of_one_process_both_know_of_a_lost_write(void **state)
{
    fixture *fx = *state;
    beside of = {.fx = fx, .answer = LS_OK};
    uint64_t end;

    begin(fx, LS_DURABILITY_SYNC);
    put(fx, fx->first, "before");
    (void)append(fx, fx->first, long_text, &end);
    of.armed = true;
    sim_hook_set(fx->sim, begin_beside, &of);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(lsi_log_commit(fx->first, end), LS_ERR_IO);
    assert_int_equal(pthread_join(of.thread, NULL), 0);
    sim_hook_set(fx->sim, NULL, NULL);
    sim_faults_clear(fx->sim);
    assert_false(of.armed);
    assert_int_equal(of.answer, LS_ERR_IO);
    check_log(fx->second, "before ");
}

typedef struct late {
    fixture *fx;
    uint64_t nth;  /* of the reset's calls */
    uint64_t end;  /* what the sync covered */
    lsi_log_reader *reader;
    char shown[256];
} late;

/* A sync returned 0 and saw the shard healthy; only now its process goes on, which is one store. Then a reader
 * looks. */
static void a_late_store(void *user, sim_call call, const char *name)
{
    late *of = user;
    lsi_slot *slot = lsi_log_slot(of->fx->second);
    uint64_t durable = lsi_load(&slot->durable_end);

    (void)name;
    if (call == SIM_SYNC_ENDS || of->nth == 0 || --of->nth != 0)
        return;
    while (durable < of->end && !atomic_compare_exchange_weak(&slot->durable_end, &durable, of->end)) {
    }
    sim_hook_set(of->fx->sim, NULL, NULL);
    read_on(of->reader, of->shown, sizeof of->shown);
}

/* At each call of a reset: what was acknowledged is there, and so is what a reader was shown. */
static void a_sync_may_end_at_any_moment_of_a_reset(void **state)
{
    fixture *fx = *state;
    uint64_t nth = 0;
    bool met = true;

    while (met) {
        late of = {.fx = fx, .nth = ++nth};

        begin(fx, LS_DURABILITY_SYNC);
        put(fx, fx->first, "before");
        (void)append(fx, fx->first, "late", &of.end);
        (void)lsi_log_fail(fx->second, lsi_log_slot(fx->second), EIO);
        assert_int_equal(lsi_log_reader_open(fx->first, LSI_READ_FAST, &of.reader), LS_OK);
        sim_hook_set(fx->sim, a_late_store, &of);
        assert_int_equal(lsi_log_reset(fx->second), LS_OK);
        met = of.nth == 0;
        sim_hook_set(fx->sim, NULL, NULL);
        bool acknowledged = lsi_log_commit(fx->first, of.end) == LS_OK;
        bool shown = strstr(of.shown, "late") != NULL;
        char more[256];

        put(fx, fx->second, "after");
        read_on(of.reader, more, sizeof more);
        assert_string_equal(more, met ? "after " : acknowledged || shown ? "before late after " : "before after ");
        check_log(fx->second, acknowledged || shown ? "before late after " : "before after ");
        check_crashed(fx, acknowledged || shown ? "before late after " : "before after ");
        lsi_log_reader_close(of.reader);
        end_and_begin_anew(fx);
    }
    assert_true(nth > 5);
}

/* ---- readers ---- */

/* O3: it stood behind what was given up, and gets all that is put from then on, whatever its size. */
static void a_reader_at_latest_misses_nothing(void **state)
{
    fixture *fx = *state;
    static const char *const texts[] = {"lost!", "put-0", long_text};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        lsi_log_reader *at_once, *begun;
        char expected[512], met[512];
        uint64_t end;

        begin(fx, LS_DURABILITY_INTERVAL);
        put(fx, fx->first, "first");
        (void)append(fx, fx->first, "lost!", &end);
        at_once = reader_at_latest(fx->second);
        begun = reader_at_latest(fx->second);
        read_on(begun, met, sizeof met);
        assert_string_equal(met, "");
        fail_a_sync(fx, fx->first);
        assert_int_equal(lsi_log_reset(fx->first), LS_OK);
        for (int k = 0; k < 3; k++)
            (void)append(fx, fx->first, texts[i], &end);
        (void)snprintf(expected, sizeof expected, "%s %s %s ", texts[i], texts[i], texts[i]);
        read_on(at_once, met, sizeof met);
        assert_string_equal(met, expected);
        read_on(begun, met, sizeof met);
        assert_string_equal(met, expected);
        lsi_log_reader_close(at_once);
        lsi_log_reader_close(begun);
        end_and_begin_anew(fx);
    }
}

/* In INTERVAL a reader is shown what is given up later. One that stopped within it goes on with what is in the log;
 * half a batch is finished first (A1). */
static void a_reader_amid_what_is_given_up_goes_on_behind_it(void **state)
{
    fixture *fx = *state;
    ls_put_entry entries[3] = {{{"k", 1}, {"a", 1}, NULL}, {{"k", 1}, {"b", 1}, NULL}, {{"k", 1}, {"c", 1}, NULL}};

    for (uint32_t had = 0; had <= 5; had++) {
        static const char *const more[] = {"kept after ", "after ", "b c after ", "c after ", "after ", "after "};
        lsi_log_reader *reader;
        const ls_record *records;
        bool tip, closed, at_end;
        uint32_t accepted, count;
        uint64_t end;
        ls_seqno first;
        char met[256];

        begin(fx, LS_DURABILITY_INTERVAL);
        put(fx, fx->first, "kept");
        assert_int_equal(lsi_log_append(fx->first, fx->store.framer, entries, NULL, 3, true, &accepted, &first, &end,
                                        &closed),
                         LS_OK);
        (void)append(fx, fx->first, "d", &end);
        assert_int_equal(lsi_log_reader_open(fx->second, LSI_READ_FAST, &reader), LS_OK);
        for (uint32_t i = 0; i < had; i++) {
            assert_int_equal(lsi_log_reader_read(reader, 1, 1 << 20, &records, &count, &tip, &at_end), LS_OK);
            assert_int_equal(count, 1);
        }
        fail_a_sync(fx, fx->first);
        assert_int_equal(lsi_log_reset(fx->first), LS_OK);
        (void)append(fx, fx->first, "after", &end);
        read_on(reader, met, sizeof met);
        assert_string_equal(met, more[had]);
        check_log(fx->first, "kept after ");
        lsi_log_reader_close(reader);
        end_and_begin_anew(fx);
    }
}

/* Who had all that was kept, and stands before what was given up, loses nothing when the place goes. */
static void trimming_what_was_given_up_costs_no_reader_anything(void **state)
{
    fixture *fx = *state;
    lsi_log_reader *reader;
    uint32_t removed;
    uint64_t end;
    char met[256];

    begin(fx, LS_DURABILITY_SYNC);
    put(fx, fx->first, "kept");
    assert_int_equal(lsi_log_reader_open(fx->second, LSI_READ_FAST, &reader), LS_OK);
    read_on(reader, met, sizeof met);
    assert_string_equal(met, "kept ");
    (void)append(fx, fx->first, "lost", &end);
    fail_a_sync(fx, fx->first);
    assert_int_equal(lsi_log_reset(fx->first), LS_OK);
    put(fx, fx->first, "after");
    assert_int_equal(lsi_log_trim(fx->first, 2, INT64_MAX, &removed), LS_OK);
    assert_int_equal(removed, 1);
    read_on(reader, met, sizeof met);
    assert_string_equal(met, "after ");
    lsi_log_reader_close(reader);
}

/* ---- what is left ---- */

/* What a reset leaves open is closed where the process has too many files open, as what appends opened is. */
static void what_a_reset_opened_can_be_closed(void **state)
{
    fixture *fx = *state;
    lsi_descriptors all;
    lsi_log *third;
    uint64_t end;

    begin(fx, LS_DURABILITY_SYNC);
    assert_int_equal(lsi_descriptors_init(&all, sim_files_table(fx->sim)), 0);
    fx->store.config.descriptors = &all;
    assert_int_equal(lsi_log_open(&fx->store.config, &third), LS_OK);
    put(fx, fx->first, "kept");
    (void)append(fx, fx->first, "lost", &end);
    fail_a_sync(fx, fx->first);
    assert_false(lsi_descriptors_make_room(&all));
    assert_int_equal(lsi_log_reset(third), LS_OK);
    assert_non_null(third->current);
    assert_true(lsi_descriptors_make_room(&all));
    assert_null(third->current);
    put(fx, third, "after");
    check_log(third, "kept after ");
    assert_int_equal(lsi_log_close(third), LS_OK);
    fx->store.config.descriptors = NULL;
}

/* Describing, seeking and copying go by what is in the log, before and after a crash takes the given up bytes away. */
static void what_was_given_up_is_met_nowhere(void **state)
{
    fixture *fx = *state;
    lsi_log_facts facts;
    uint64_t end;
    ls_seqno kept, lost;

    begin(fx, LS_DURABILITY_SYNC);
    kept = append(fx, fx->first, "kept", &end);
    assert_int_equal(lsi_log_commit(fx->first, end), LS_OK);
    lost = append(fx, fx->first, "lost", &end);
    fail_a_sync(fx, fx->first);
    assert_int_equal(lsi_log_state(fx->first, &facts), LS_OK);
    assert_int_equal(facts.latest, kept);
    assert_int_equal(lsi_log_reset(fx->first), LS_OK);
    assert_int_equal(lsi_log_state(fx->first, &facts), LS_OK);
    assert_int_equal(facts.latest, kept);
    assert_int_equal(facts.health, LS_OK);
    for (uint64_t seed = 0; seed < SIM_SEED_RANDOM; seed++) {
        sim_files *disk = sim_crash_state(fx->sim, sim_log_count(fx->sim), seed), *other = sim_files_new();
        ls_position at = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = lost};
        log_store crashed = {0}, copied = {0};
        lsi_log_reader *reader;
        lsi_copy copy = {0};
        lsi_root root;
        char met[64];

        log_store_open(&crashed, sim_files_table(disk), false, LS_DURABILITY_SYNC, SEGMENT_BYTES);
        assert_int_equal(lsi_log_state(crashed.log, &facts), LS_OK);
        assert_int_equal(facts.latest, kept);
        assert_int_equal(log_store_put(&crashed, 'n' - 'a', 1, &lost), LS_OK);
        assert_int_equal(lsi_log_reader_open(crashed.log, LSI_READ_FAST, &reader), LS_OK);
        assert_int_equal(lsi_log_reader_seek(reader, &at), LS_OK);
        read_on(reader, met, sizeof met);
        assert_string_equal(met, "n ");
        lsi_log_reader_close(reader);

        const lsi_files *files = sim_files_table(other);
        assert_int_equal(files->root_open(files, "store", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root), 0);
        assert_int_equal(files->make_dir(&root, "1"), 0);
        assert_int_equal(files->make_dir(&root, "1/0"), 0);
        assert_int_equal(lsi_log_copy(crashed.log, &root, &copy), LS_OK);
        assert_int_equal(lsi_log_copy(crashed.log, &root, &copy), LS_OK); /* again, over what is there */
        files->root_close(&root);
        log_store_open(&copied, files, false, LS_DURABILITY_SYNC, SEGMENT_BYTES);
        check_log(copied.log, "kept n ");
        assert_int_equal(log_store_close(&copied), LS_OK);
        assert_int_equal(log_store_close(&crashed), LS_OK);
        sim_files_free(other);
        sim_files_free(disk);
    }
}

/* ---- a reset that dies ---- */

static void reset_here(void *user)
{
    (void)lsi_log_reset(((log_store *)user)->log);
}

static void keep_line(void *user, int32_t level, const char *line)
{
    (void)level;
    (void)snprintf(user, 200, "%s", line);
}

/* For whoever looks at the log afterwards: how much it was, and where the shard goes on. */
static void what_was_given_up_is_logged(void **state)
{
    fixture *fx = *state;
    char line[200] = "", expected[100];
    uint64_t from, end;
    const lsi_slot *slot;

    begin(fx, LS_DURABILITY_SYNC);
    assert_int_equal(log_store_put(&fx->store, 0, 100, &(ls_seqno){0}), LS_OK);
    slot = lsi_log_slot(fx->first);
    from = lsi_load(&slot->committed_end);
    sim_fault_add(fx->sim, (sim_fault){.call = SIM_SYNC, .name = ".seg", .nth = 1, .err = EIO});
    assert_int_equal(log_store_put(&fx->store, 1, 5000, &(ls_seqno){0}), LS_ERR_IO);
    sim_faults_clear(fx->sim);
    end = lsi_load(&slot->committed_end);
    assert_true(end > from + 5000);
    fx->store.env.log = keep_line;
    fx->store.env.log_user = line;
    assert_int_equal(lsi_log_reset(fx->first), LS_OK);
    fx->store.env.log = NULL;
    (void)snprintf(expected, sizeof expected, "reset; goes on in segment 2; %llu bytes were given up",
                   (unsigned long long)(end - from));
    assert_non_null(strstr(line, expected));
}

/* At each of its calls. The next one does it, whatever the first did; nothing comes back. */
static void a_reset_may_die_at_any_call(void **state)
{
    fixture *fx = *state;
    uint64_t nth = 0;
    bool killed = true;

    while (killed) {
        sim_memory memory = SIM_MEMORY_INIT;
        lsi_memory table = sim_memory_table(&memory);
        log_store dying = {.memory = &table};
        uint64_t end;

        begin(fx, LS_DURABILITY_SYNC);
        put(fx, fx->first, "before");
        (void)append(fx, fx->first, "lost", &end);
        fail_a_sync(fx, fx->first);
        log_store_open(&dying, sim_files_table(fx->sim), false, LS_DURABILITY_SYNC, SEGMENT_BYTES);
        assert_int_equal(lsi_log_touch(dying.log), LS_OK);
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_ANY, .nth = ++nth, .kill = true});
        killed = sim_run(fx->sim, reset_here, &dying);
        sim_faults_clear(fx->sim);
        if (killed)
            sim_memory_bury(&memory);
        check_log(fx->first, "before ");
        assert_int_equal(lsi_log_commit(fx->first, end), LS_ERR_IO);
        check_crashed_as(fx, "before ", "before lost "); /* D7: its outcome is unknown until the reset is done. */
        assert_int_equal(lsi_log_reset(fx->first), killed ? LS_OK : LS_ERR_STATE);
        assert_int_equal(lsi_log_commit(fx->first, end), LS_ERR_IO);
        put(fx, fx->first, "after");
        check_log(fx->second, "before after ");
        check_crashed(fx, "before after ");
        if (!killed)
            assert_int_equal(log_store_close(&dying), LS_OK);
        end_and_begin_anew(fx);
    }
    assert_true(nth > 5);
}

/* One that fails leaves the shard as it was: it refuses puts, and the next one may succeed. */
static void a_reset_may_fail_at_any_call(void **state)
{
    fixture *fx = *state;
    static const int errors[] = {EIO, ENOSPC, EMFILE};

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        uint64_t nth = 0, met = 1;

        while (met != 0) {
            uint64_t end;

            begin(fx, LS_DURABILITY_SYNC);
            put(fx, fx->first, "before");
            (void)append(fx, fx->first, "lost", &end);
            fail_a_sync(fx, fx->first);
            sim_fault_add(fx->sim, (sim_fault){.call = SIM_ANY, .nth = ++nth, .err = errors[i]});
            ls_status st = lsi_log_reset(fx->second);
            met = sim_faults_met(fx->sim);
            sim_faults_clear(fx->sim);
            if (met == 0)
                assert_int_equal(st, LS_OK);
            check_log(fx->first, "before ");
            assert_int_equal(lsi_log_commit(fx->first, end), LS_ERR_IO);
            if (st != LS_OK) {
                assert_int_equal(lsi_log_sync(fx->first), LS_ERR_IO);
                assert_int_equal(lsi_log_reset(fx->second), LS_OK);
            }
            put(fx, fx->first, "after");
            check_log(fx->second, "before after ");
            check_crashed(fx, "before after ");
            end_and_begin_anew(fx);
        }
        assert_true(nth > 5);
    }
}

int main(void)
{
#define A_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        A_TEST(a_put_that_waits_through_a_reset_is_not_acknowledged),
        A_TEST(a_sync_that_outlasts_a_reset_makes_nothing_durable),
        A_TEST(of_two_syncs_of_one_process_both_know_of_a_lost_write),
        A_TEST(a_sync_may_end_at_any_moment_of_a_reset),
        A_TEST(a_reader_at_latest_misses_nothing),
        A_TEST(a_reader_amid_what_is_given_up_goes_on_behind_it),
        A_TEST(trimming_what_was_given_up_costs_no_reader_anything),
        A_TEST(what_a_reset_opened_can_be_closed),
        A_TEST(what_was_given_up_is_met_nowhere),
        A_TEST(what_was_given_up_is_logged),
        A_TEST(a_reset_may_die_at_any_call),
        A_TEST(a_reset_may_fail_at_any_call),
    };
#undef A_TEST
    return cmocka_run_group_tests_name("reset", tests, NULL, NULL);
}
