/* The mapped tail window (W1 .. W4 of window.c): frames up to and across its edges, where it is not used, and what
 * full disks and deaths make of it at every step of its move and of a roll. On simulated files, which count the calls
 * and fail or kill any of them. */
#include "storage/log_store.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "engine/engine.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define WINDOW (256u << 10)          /* of window.c */
#define SEGMENT ((uint64_t)320 << 10) /* a window and a part of one */
#define FRAME_MOST 4096u             /* larger ones are written */
#define FIRST "1/0/00000001.seg"

/* ---- calls on segments ---- */

typedef struct counts {
    uint64_t maps, stores, writes; /* of files named *.seg */
} counts;

static void count_call(void *user, sim_call call, const char *name)
{
    counts *of = user;

    if (name == NULL || strstr(name, ".seg") == NULL)
        return;
    of->maps += call == SIM_MAP;
    of->stores += call == SIM_STORE;
    of->writes += call == SIM_WRITE;
}

/* ---- a log on simulated files ---- */

typedef struct fixture {
    sim_files *sim;
    counts calls;
    log_store store;
} fixture;

static int set_up(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.sim = sim_files_new();
    log_store_open(&fx.store, sim_files_table(fx.sim), true, LS_DURABILITY_KERNEL, (uint64_t)1 << 20);
    sim_hook_set(fx.sim, count_call, &fx.calls);
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    if (fx->store.log != NULL)
        (void)log_store_close(&fx->store);
    sim_files_free(fx->sim);
    lsi_boot_id_pretend(NULL);
    return 0;
}

static uint64_t end_of(log_store *store)
{
    return lsi_load(&lsi_log_slot(store->log)->committed_end);
}

/* Puts record n in a frame of exactly `bytes`, a multiple of 8. */
static void put_frame(log_store *store, unsigned n, uint64_t bytes)
{
    char key[32];
    size_t key_bytes = (size_t)snprintf(key, sizeof key, "key-%u", n);
    uint64_t before = lsi_log_slot(store->log) == NULL ? 0 : end_of(store);
    ls_seqno seqno;

    assert_int_equal(log_store_put(store, n, bytes - LSI_FRAME_HEADER_BYTES - LSI_RECORD_HEADER_BYTES - key_bytes,
                                   &seqno), LS_OK);
    assert_int_equal(end_of(store) - before, bytes);
}

/* What log_store_put put as record n, `size` bytes. */
static void assert_record(const ls_record *record, unsigned n)
{
    unsigned got;
    char key[32];

    assert_true(record->data.size >= sizeof got);
    memcpy(&got, record->data.data, sizeof got);
    assert_int_equal(got, n);
    for (size_t i = sizeof got; i < record->data.size; i++)
        assert_int_equal(((const char *)record->data.data)[i], 'a' + (int)(n % 26));
    assert_int_equal(record->partition_key.size, snprintf(key, sizeof key, "key-%u", n));
    assert_memory_equal(record->partition_key.data, key, record->partition_key.size);
}

/* Reads records 0 .. count-1 through `log` and compares every byte. */
static void assert_all_there(lsi_log *log, unsigned count)
{
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t got;
    unsigned n = 0;
    bool tip = false, end;

    assert_int_equal(lsi_log_reader_open(log, LSI_READ_FAST, &reader), LS_OK);
    while (!tip) {
        assert_int_equal(lsi_log_reader_read(reader, 50, 1 << 20, &records, &got, &tip, &end), LS_OK);
        for (uint32_t i = 0; i < got; i++)
            assert_record(&records[i], n++);
    }
    lsi_log_reader_close(reader);
    assert_int_equal(n, count);
}

/* Through another handle of the same process, one of another process, and by reading the first segment's file. */
static void assert_everybody_sees(fixture *fx, unsigned count, uint64_t last_offset)
{
    unsigned char header[LSI_FRAME_HEADER_BYTES + LSI_RECORD_HEADER_BYTES + 32];
    char key[32];
    size_t key_bytes = (size_t)snprintf(key, sizeof key, "key-%u", count - 1);
    lsi_log *other;
    log_store elsewhere = {0};
    lsi_file file = {0};

    assert_all_there(fx->store.log, count);
    assert_int_equal(lsi_log_open(&fx->store.config, &other), LS_OK);
    assert_all_there(other, count);
    assert_int_equal(lsi_log_close(other), LS_OK);
    log_store_open(&elsewhere, sim_files_table(fx->sim), false, LS_DURABILITY_KERNEL, fx->store.config.segment_bytes);
    assert_all_there(elsewhere.log, count);
    assert_int_equal(log_store_close(&elsewhere), LS_OK);

    assert_int_equal(fx->store.root.files->open(&fx->store.root, FIRST, 0, &file), 0);
    assert_int_equal(file.files->read(&file, header, sizeof header, last_offset), (int64_t)sizeof header);
    assert_int_equal(file.files->close(&file), 0);
    assert_int_equal(lsi_read_u32le(header), lsi_round_up(lsi_read_u32le(header), 8));
    assert_int_equal(lsi_read_u16le(header + LSI_FRAME_HEADER_BYTES + LSI_RECORD_KEY_AT), key_bytes);
    assert_memory_equal(header + LSI_FRAME_HEADER_BYTES + LSI_RECORD_HEADER_BYTES, key, key_bytes);
}

/* ---- edges ---- */

/* Goal: a frame that ends short of the window's edge, at it, behind it, and one that begins at it, are there for all.
 * Method: fill the window so that the last frame's place is known to the byte; compare through every way of reading. */
static void frames_up_to_and_across_the_edge_come_back(void **state)
{
    static const int over[] = {-64, -8, 0, 8, 64, 1024};

    for (size_t k = 0; k < sizeof over / sizeof over[0]; k++) {
        fixture *fx;
        unsigned n = 0;
        uint64_t offset = LSI_SEGMENT_HEADER_BYTES;

        if (k > 0)
            (void)set_up(state);
        fx = *state;
        for (; WINDOW - offset > 3000; offset += 2000)
            put_frame(&fx->store, n++, 2000);
        put_frame(&fx->store, n++, (uint64_t)((int64_t)(WINDOW - offset) + over[k]));
        offset = (uint64_t)((int64_t)WINDOW + over[k]);
        assert_int_equal(offset, end_of(&fx->store) + LSI_SEGMENT_HEADER_BYTES);
        put_frame(&fx->store, n++, 136);
        assert_everybody_sees(fx, n, offset);
        for (unsigned more = 0; more < 20; more++)
            put_frame(&fx->store, n++, 4000);
        assert_all_there(fx->store.log, n);
        assert_true(fx->calls.maps >= 2); /* Both windows. */
        assert_true(fx->calls.stores >= n - 2);
        if (k + 1 < sizeof over / sizeof over[0])
            (void)tear_down(state);
    }
}

/* Goal: small frames are stored and large ones written, in any mixture, over several rolls. */
static void stored_and_written_frames_alternate_over_rolls(void **state)
{
    fixture *fx = *state;
    unsigned n = 0;
    uint64_t stored, written;

    while (n < 2000) {
        static const uint64_t sizes[] = {FRAME_MOST - 72, FRAME_MOST, 96, 300, 20000, 4000, 8, 70000};
        ls_seqno seqno;
        assert_int_equal(log_store_put(&fx->store, n, (size_t)sizes[n % 8], &seqno), LS_OK);
        n++;
    }
    stored = fx->calls.stores;
    written = fx->calls.writes;
    assert_true(stored > 2000 / 2 && written > 2000 * 3 / 8);
    assert_true(atomic_load(&lsi_log_slot(fx->store.log)->segment) > 10);
    assert_all_there(fx->store.log, n);
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    log_store_open(&fx->store, sim_files_table(fx->sim), false, LS_DURABILITY_KERNEL, (uint64_t)1 << 20);
    assert_all_there(fx->store.log, n);
}

/* Goal: what another process put is behind what this one has mapped, and this one goes on there. */
static void two_processes_store_into_one_segment_in_turn(void **state)
{
    fixture *fx = *state;
    log_store other = {0};
    ls_seqno seqno;

    log_store_open(&other, sim_files_table(fx->sim), false, LS_DURABILITY_KERNEL, (uint64_t)1 << 20);
    for (unsigned n = 0; n < 3000; n++)
        assert_int_equal(log_store_put(n / 3 % 2 == 0 ? &fx->store : &other, n, 900, &seqno), LS_OK);
    assert_all_there(fx->store.log, 3000);
    assert_all_there(other.log, 3000);
    assert_int_equal(log_store_close(&other), LS_OK);
}

/* ---- where it is not used ---- */

static int is_local(const lsi_root *root, lsi_fs_kind *out)
{
    (void)root;
    *out = LSI_FS_LOCAL;
    return 0;
}

/* Puts 300 records into a new store and returns what that asked of its segments. */
static counts calls_of_a_store(lsi_fs_kind kind, ls_durability durability, uint32_t flags)
{
    sim_files *sim = sim_files_new();
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_stream_spec spec = {"window", 1, 24, LS_STREAM_ON_DEMAND, 1 << 20};
    lsi_engine_stream *stream;
    lsi_appender *appender;
    lsi_engine *engine;
    counts calls = {0};
    lsi_env env;

    lsi_env_default(&env);
    env.files = sim_files_table(sim);
    if (kind == LSI_FS_LOCAL)
        sim_files_table(sim)->root_kind = is_local;
    options.durability = durability;
    options.flags = flags;
    options.segment_bytes = 64 << 10; /* so that it rolls */
    options.sync_interval_ms = 60000;
    assert_int_equal(lsi_local_open("store", &options, &env, &engine), LS_OK);
    assert_int_equal(engine->ops->create(engine, &spec), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, spec.name, &stream), LS_OK);
    assert_int_equal(engine->ops->appender_open(stream, &appender), LS_OK);
    sim_hook_set(sim, count_call, &calls);
    for (unsigned n = 0; n < 300; n++) {
        char data[400] = {0};
        ls_put_entry entry = {{"key", 3}, {data, sizeof data}, NULL};
        lsi_append batch = {&entry, NULL, 1, false};
        lsi_append_result result;
        assert_int_equal(engine->ops->append(appender, 0, &batch, &result), LS_OK);
        assert_int_equal(engine->ops->commit(appender, 0, result.end, LS_DURABILITY_DEFAULT), LS_OK);
    }
    sim_hook_set(sim, NULL, NULL);
    engine->ops->appender_close(appender);
    engine->ops->stream_close(stream);
    assert_int_equal(engine->ops->close(engine), LS_OK);
    sim_files_free(sim);
    lsi_boot_id_pretend(NULL);
    return calls;
}

static void buffered_stores_in_place_use_it(void **state)
{
    (void)state;
    for (ls_durability mode = LS_DURABILITY_KERNEL; mode <= LS_DURABILITY_INTERVAL; mode++) {
        counts calls = calls_of_a_store(LSI_FS_IN_PLACE, mode, 0);
        assert_true(calls.maps >= 1);
        assert_true(calls.stores >= 290); /* All but what crosses an edge. */
        assert_true(calls.writes < 30);
    }
}

static void a_store_that_shall_not_map_does_not(void **state)
{
    (void)state;
    counts calls = calls_of_a_store(LSI_FS_IN_PLACE, LS_DURABILITY_KERNEL, LS_STORE_NO_MAPPED_WRITES);
    assert_int_equal(calls.maps, 0);
    assert_int_equal(calls.stores, 0);
    assert_true(calls.writes >= 300);
}

static void a_file_system_that_copies_on_write_is_not_mapped(void **state)
{
    (void)state;
    counts calls = calls_of_a_store(LSI_FS_LOCAL, LS_DURABILITY_KERNEL, 0);
    assert_int_equal(calls.maps, 0);
    assert_int_equal(calls.stores, 0);
    assert_true(calls.writes >= 300);
}

/* W4. */
static void a_durable_store_does_not_map(void **state)
{
    (void)state;
    counts calls = calls_of_a_store(LSI_FS_IN_PLACE, LS_DURABILITY_SYNC, 0);
    assert_int_equal(calls.maps, 0);
    assert_int_equal(calls.stores, 0);
    assert_true(calls.writes >= 300);
}

/* ---- full disks, failing calls and deaths ---- */

/* A workload that passes every step: the first window is nearly filled by one large frame, small frames cross into the
 * second one, the segment is rolled, and the same once more. */
#define WALK_PUTS 56u

static size_t walk_size(unsigned n)
{
    return n % 28 == 0 ? 240u << 10 : 3800;
}

typedef struct walk {
    sim_files *sim;
    sim_memory memory;
    lsi_memory table;
    log_store store;
    unsigned acknowledged;   /* records 0 .. acknowledged-1 */
    unsigned refused;
    ls_status worst;         /* of the refusals, what is not FULL */
} walk;

static void walk_begin(walk *at)
{
    memset(at, 0, sizeof *at);
    at->memory = (sim_memory)SIM_MEMORY_INIT;
    at->table = sim_memory_table(&at->memory);
    at->store.memory = &at->table;
    at->sim = sim_files_new();
    log_store_open(&at->store, sim_files_table(at->sim), true, LS_DURABILITY_KERNEL, SEGMENT);
}

static void walk_end(walk *at)
{
    (void)log_store_close(&at->store);
    assert_int_equal(at->memory.live, 0);
    sim_files_free(at->sim);
    lsi_boot_id_pretend(NULL);
}

/* Puts until `until` are acknowledged or `tries` puts were made. */
static void walk_put(walk *at, unsigned until, unsigned tries)
{
    while (at->acknowledged < until && tries-- > 0) {
        ls_seqno seqno;
        ls_status st = log_store_put(&at->store, at->acknowledged, walk_size(at->acknowledged), &seqno);

        if (st == LS_OK) {
            at->acknowledged++;
        } else {
            at->refused++;
            if (st != LS_ERR_FULL)
                at->worst = st;
        }
    }
}

/* Goal: E3, E5: a disk that is full at any step makes a put fail as FULL or not at all; what was acknowledged is
 * there, nothing else is, and with room again the log goes on. Method: ENOSPC for the Nth allocation, the Nth write
 * (nothing or a part of it written) and the Nth opening of a file, until no call meets it. */
static void a_disk_that_is_full_at_any_step_loses_nothing(void **state)
{
    static const struct {
        sim_call call;
        size_t short_bytes;
        int sticky; /* once, and from then on; only once for openings, of which reading ones need no space */
    } kinds[] = {{SIM_ALLOCATE, 0, 1}, {SIM_WRITE, 0, 1}, {SIM_WRITE, 40, 1}, {SIM_WRITE, 5000, 1}, {SIM_OPEN, 0, 0}};
    unsigned full = 0;

    (void)state;
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++)
        for (int sticky = 0; sticky <= kinds[kind].sticky; sticky++)
            for (uint64_t nth = 1;; nth++) {
                static walk at;
                uint64_t met;

                walk_begin(&at);
                sim_fault_add(at.sim, (sim_fault){.call = kinds[kind].call, .nth = nth, .err = ENOSPC,
                                                  .sticky = sticky != 0, .short_bytes = kinds[kind].short_bytes});
                walk_put(&at, WALK_PUTS, WALK_PUTS + 2);
                met = sim_faults_met(at.sim);
                sim_faults_clear(at.sim);
                assert_int_equal(at.worst, LS_OK);
                full += at.refused;
                assert_int_equal(log_store_count(&at.store, 0), at.acknowledged);
                walk_put(&at, WALK_PUTS + 3, 2 * WALK_PUTS);
                assert_int_equal(at.acknowledged, WALK_PUTS + 3);
                assert_int_equal(at.worst, LS_OK);
                assert_all_there(at.store.log, at.acknowledged);
                walk_end(&at);
                if (met == 0)
                    break;
                assert_true(nth < 1000);
            }
    assert_true(full > 10); /* The walk did meet full disks. */
}

/* Goal: a mapping that the system refuses costs speed and nothing else. */
static void a_window_that_cannot_be_mapped_is_done_without(void **state)
{
    static walk at;

    (void)state;
    walk_begin(&at);
    walk_put(&at, 1, 1);
    sim_fault_add(at.sim, (sim_fault){.call = SIM_MAP, .name = ".seg", .nth = 1, .err = ENOMEM, .sticky = true});
    walk_put(&at, WALK_PUTS, WALK_PUTS);
    assert_true(sim_faults_met(at.sim) > 0);
    assert_int_equal(at.refused, 0);
    assert_int_equal(sim_calls(at.sim, SIM_STORE), 0);
    assert_all_there(at.store.log, WALK_PUTS);
    walk_end(&at);
}

static void walk_put_all(void *user)
{
    walk_put(user, WALK_PUTS, WALK_PUTS);
}

static void walk_open_and_put(void *user)
{
    walk *at = user;

    log_store_open(&at->store, sim_files_table(at->sim), false, LS_DURABILITY_KERNEL, SEGMENT);
    walk_put_all(at);
    (void)log_store_close(&at->store);
}

/* Goal: P1, P2, S2: killed at any call of window move and roll, everything acknowledged is there for whoever takes
 * over, perhaps one record more, and he goes on. Method: kill the Nth call, from a store's bytes to the list's rename,
 * of a process that puts; take over in the same boot, and every third time without its control file. */
static void a_death_at_any_call_loses_nothing(void **state)
{
    uint64_t stores = 0;

    (void)state;
    for (uint64_t nth = 1;; nth++) {
        static walk at;
        unsigned there;
        bool killed;

        walk_begin(&at);
        assert_int_equal(log_store_close(&at.store), LS_OK);
        sim_fault_add(at.sim, (sim_fault){.call = SIM_ANY, .nth = nth, .kill = true, .short_bytes = nth % 2 * 300});
        killed = sim_run(at.sim, walk_open_and_put, &at);
        sim_faults_clear(at.sim);
        if (killed)
            sim_memory_bury(&at.memory);
        assert_int_equal(at.refused, 0);
        stores += sim_calls(at.sim, SIM_STORE);
        if (nth % 3 == 0) {
            const lsi_files *files = sim_files_table(at.sim);
            lsi_root root;
            assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
            (void)files->unlink(&root, LSI_CONTROL_NAME);
            files->root_close(&root);
        }
        log_store_open(&at.store, sim_files_table(at.sim), false, LS_DURABILITY_KERNEL, SEGMENT);
        there = log_store_count(&at.store, 0);
        assert_true(there == at.acknowledged || (killed && there == at.acknowledged + 1));
        at.acknowledged = there;
        walk_put(&at, there + 30, 30);
        assert_int_equal(at.refused, 0);
        assert_all_there(at.store.log, there + 30);
        walk_end(&at);
        if (!killed)
            break;
        assert_true(nth < 5000);
    }
    assert_true(stores > 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(frames_up_to_and_across_the_edge_come_back),
        CASE(stored_and_written_frames_alternate_over_rolls),
        CASE(two_processes_store_into_one_segment_in_turn),
        cmocka_unit_test(buffered_stores_in_place_use_it),
        cmocka_unit_test(a_store_that_shall_not_map_does_not),
        cmocka_unit_test(a_file_system_that_copies_on_write_is_not_mapped),
        cmocka_unit_test(a_durable_store_does_not_map),
        cmocka_unit_test(a_disk_that_is_full_at_any_step_loses_nothing),
        cmocka_unit_test(a_window_that_cannot_be_mapped_is_done_without),
        cmocka_unit_test(a_death_at_any_call_loses_nothing),
    };

    return cmocka_run_group_tests_name("the mapped window", tests, NULL, NULL);
}
