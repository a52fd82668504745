/* Deliveries beneath failures: calls of the file system and allocations that fail, in the store and in the directory
 * that objects go to, and losses of power after any change of either. Whatever happens, when a run has come to an end
 * afterwards, each record that can be read was delivered once, to the output that its transform chose, and is in the
 * backup once; no file is seen that is not whole. With records of one number and a newline, with records of several
 * that are split, and with a file where the directory of a partition is to be, which somebody may take away. */
#include "api/support.h"

#include <errno.h>
#include <inttypes.h>

#include "api/api.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define RECORDS 24u
#define PARTITIONS 3u
#define SEVERAL 3u

#define IN_THE_WAY "out/p1" /* of a partition */

static uint32_t numbers = 1; /* in a record */
static bool is_blocked;      /* a file is IN_THE_WAY */

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

typedef struct world {
    lsi_env env;
    ls_store *store;
    ls_stream *stream;
} world;

static ls_status open_world(world *of, sim_files *sim, sim_memory *memory, ls_durability durability)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_status st;

    memset(of, 0, sizeof *of);
    lsi_env_default(&of->env);
    of->env.files = sim_files_table(sim);
    if (memory != NULL)
        of->env.memory = sim_memory_table(memory);
    options.durability = durability;
    st = lsi_store_open_env("/store", &options, &of->env, &of->store);
    return st == LS_OK ? ls_stream_open(of->store, "s", &of->stream) : st;
}

static void put_in_the_way(const lsi_files *files)
{
    lsi_root root;

    assert_int_equal(files->root_open(files, "/store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->make_dir(&root, "out"), 0);
    assert_int_equal(files->sync_dir(&root, ""), 0);
    assert_int_equal(lsi_file_replace(&root, "out", IN_THE_WAY, "\n", 1), 0);
    files->root_close(&root);
}

static void take_out_of_the_way(const lsi_files *files)
{
    lsi_root root;

    assert_int_equal(files->root_open(files, "/store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->unlink(&root, IN_THE_WAY), 0);
    files->root_close(&root);
}

/* Stream and delivery, and all records; durable. The simulated disk has one root: the prefixes keep objects apart from
 * the store. */
static void make_world(world *of, sim_files *sim, sim_memory *memory, ls_durability durability)
{
    ls_delivery_options options = LS_DELIVERY_OPTIONS_INIT;
    ls_producer *producer = NULL;

    assert_int_equal(open_world(of, sim, memory, durability), LS_ERR_NOT_FOUND);
    of->stream = make_stream(&(fixture){.store = of->store}, "s", 1);
    options.flags = LS_DELIVERY_TRANSFORM | LS_DELIVERY_PARTITION | LS_DELIVERY_BACKUP;
    options.directory = "/store";
    options.prefix = "out/!{partitionKeyFromLambda:p}/";
    options.error_prefix = "bad/!{firehose:error-output-type}/";
    options.backup_prefix = "raw/";
    options.split = options.delimiter = numbers == 1 ? NULL : "\n";
    options.buffer_bytes = numbers == 1 ? 12 : 2; /* three numbers and a bit; or one: a record is in several objects */
    options.transform_records_max = 7;
    assert_int_equal(ls_delivery_create(of->stream, "d", &horizon, &options), LS_OK);
    assert_int_equal(ls_producer_open(of->stream, NULL, &producer), LS_OK);
    for (uint32_t i = 0; i < RECORDS; i += numbers) {
        char data[64] = "";

        for (uint32_t k = 0; k < numbers; k++)
            snprintf(data + strlen(data), sizeof data - strlen(data), "%u\n", i + k);
        assert_int_equal(ls_producer_put(producer, text("k"), text(data), NULL, NULL), LS_OK);
    }
    assert_int_equal(ls_producer_close(producer), LS_OK);
    if (is_blocked)
        put_in_the_way(of->env.files);
}

static ls_status close_world(world *of)
{
    ls_status st;

    assert_int_equal(ls_stream_close(of->stream), LS_OK);
    st = ls_store_close(of->store); /* After a failed sync it says so. */
    memset(of, 0, sizeof *of);
    return st;
}

/* ---- a run ---- */

typedef enum { GOES_OUT, IS_DROPPED, IS_BAD } fate;

static fate fate_of(uint32_t number)
{
    return number % 5 == 3 ? IS_BAD : number % 7 == 5 ? IS_DROPPED : GOES_OUT;
}

static ls_transform_answer transform(ls_transform *batch, void *user)
{
    (void)user;
    for (size_t i = 0; i < ls_transform_count(batch); i++) {
        const ls_record *record = ls_transform_at(batch, i);
        char data[16] = "", partition[16];
        uint32_t number;
        ls_status st;

        memcpy(data, record->data.data, record->data.size < 15 ? record->data.size : 15);
        number = (uint32_t)strtoul(data, NULL, 10);
        snprintf(partition, sizeof partition, "p%u", number % PARTITIONS);
        st = ls_transform_set_key(batch, i, "p", text(partition));
        if (st == LS_OK)
            st = fate_of(number) == GOES_OUT     ? ls_transform_keep(batch, i)
                 : fate_of(number) == IS_DROPPED ? ls_transform_drop(batch, i)
                                                 : ls_transform_fail(batch, i, data);
        if (st != LS_OK)
            return LS_TRANSFORM_RETRY; /* no memory */
    }
    return LS_TRANSFORM_DONE;
}

static ls_status run_it(world *of)
{
    ls_delivery_run_options how = LS_DELIVERY_RUN_OPTIONS_INIT;
    ls_delivery *delivery = NULL;
    ls_status st = ls_delivery_open(of->stream, "d", &delivery);

    if (st != LS_OK)
        return st;
    how.flags = LS_DELIVERY_UNTIL_CAUGHT_UP;
    how.failover_ms = 100;
    how.transform = transform;
    st = ls_delivery_run(delivery, &how);
    assert_int_equal(ls_delivery_close(delivery), LS_OK);
    return st;
}

/* ---- what was delivered ---- */

typedef struct counting {
    lsi_root root;
    char dir[600];
    uint32_t times[RECORDS];
    char names[64][100]; /* of one directory */
    bool are_dirs[64];
    uint32_t count;
} counting;

static int note_name(void *user, const char *name, bool is_dir)
{
    counting *of = user;

    assert_true(of->count < 64);
    snprintf(of->names[of->count], sizeof of->names[0], "%s", name);
    of->are_dirs[of->count++] = is_dir;
    return 0;
}

/* A line is a number, or an error whose message is one. */
static void count_lines(counting *of, char *bytes)
{
    char *rest = bytes, *line;

    while ((line = strsep(&rest, "\n")) != NULL) {
        const char *message = strstr(line, "\"errorMessage\":\"");
        unsigned long number;

        if (line[0] == '\0')
            continue;
        number = strtoul(message != NULL ? message + 16 : line, NULL, 10);
        assert_true(number < RECORDS);
        of->times[number]++;
    }
}

static void count_in(const lsi_files *files, counting *of, const char *dir)
{
    counting inner = {.root = of->root};

    if (files->list(&of->root, dir, note_name, &inner) != 0)
        return; /* Nothing was delivered there. */
    for (uint32_t i = 0; i < inner.count; i++) {
        char name[800];
        void *bytes;
        size_t size;

        snprintf(name, sizeof name, "%s/%s", dir, inner.names[i]);
        if (inner.are_dirs[i]) {
            count_in(files, of, name);
            continue;
        }
        assert_int_equal(lsi_file_load(&of->root, name, 1 << 20, &lsi_memory_libc, &bytes, &size), 0);
        bytes = realloc(bytes, size + 1);
        ((char *)bytes)[size] = '\0';
        assert_true(size != 0 && ((char *)bytes)[size - 1] == '\n'); /* whole */
        count_lines(of, bytes);
        free(bytes);
    }
}

static uint32_t readable(ls_stream *stream)
{
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    uint32_t count = 0;

    assert_int_equal(ls_iterator_open(stream, 0, &horizon, NULL, &iterator), LS_OK);
    while (ls_iterator_next(iterator, &next, &batch) == LS_OK && ls_batch_count(batch) != 0)
        count += (uint32_t)ls_batch_count(batch) * numbers;
    ls_iterator_close(iterator);
    return count;
}

/* Of the records below `count` each is there as often as `times` says of its fate; of others none. `other`: what is
 * there is here, too; NULL. */
static void check(const lsi_files *files, const char *dir, const char *other, uint32_t count, bool has_out,
                  bool has_dropped, bool has_bad, uint32_t least)
{
    counting of = {.count = 0};

    assert_int_equal(files->root_open(files, "/store", 0, &of.root), 0);
    count_in(files, &of, dir);
    if (other != NULL)
        count_in(files, &of, other);
    files->root_close(&of.root);
    for (uint32_t i = 0; i < RECORDS; i++) {
        fate is = fate_of(i);
        bool is_here = i < count && ((is == GOES_OUT && has_out) || (is == IS_DROPPED && has_dropped) ||
                                     (is == IS_BAD && has_bad));

        if (of.times[i] > is_here || (is_here && of.times[i] < least))
            fail_msg("%s: record %u of %u is there %u times", dir, i, count, of.times[i]);
    }
}

static void check_all(world *of, uint32_t count, uint32_t least)
{
    if (is_blocked) {
        check(of->env.files, "out", "bad", count, true, false, true, least);
    } else {
        check(of->env.files, "out", NULL, count, true, false, false, least);
        check(of->env.files, "bad", NULL, count, false, false, true, least);
    }
    check(of->env.files, "raw", NULL, count, true, true, true, least);
}

/* Under the name that it was to have, beneath the error prefix. */
static void check_where_what_was_blocked_is(const lsi_files *files)
{
    counting of = {.count = 0};

    assert_int_equal(files->root_open(files, "/store", 0, &of.root), 0);
    count_in(files, &of, "bad/directory-failed/" IN_THE_WAY);
    files->root_close(&of.root);
    for (uint32_t i = 0; i < RECORDS; i++)
        assert_int_equal(of.times[i], fate_of(i) == GOES_OUT && i % PARTITIONS == 1);
}

/* What is there now is there once at most, and of what can be read; and after a run, all of it is. */
static void all_is_there_once(world *of)
{
    uint32_t count = readable(of->stream);

    check_all(of, count, 0);
    assert_int_equal(run_it(of), LS_OK);
    check_all(of, count, 1);
}

/* ---- power ---- */

static void power_may_fail_anywhere(void **state)
{
    static const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_KERNEL, LS_DURABILITY_SYNC,
                                          LS_DURABILITY_SYNC};
    uint32_t cases = 0;

    (void)state;
    for (uint32_t kind = 0; kind < 4; kind++) {
        sim_files *sim = sim_files_new();
        size_t first, last;
        world of;

        numbers = kind == 2 ? SEVERAL : 1;
        is_blocked = kind == 3;
        make_world(&of, sim, NULL, modes[kind]);
        first = sim_log_count(sim);
        assert_int_equal(run_it(&of), LS_OK);
        last = sim_log_count(sim);
        for (size_t prefix = first; prefix <= last; prefix++)
            for (uint64_t seed = prefix % 5; seed < SIM_SEED_RANDOM + 2; seed += 5 * SIM_STRIDE) {
                sim_files *crashed = sim_crash_state(sim, prefix, seed);
                world again;

                if (open_world(&again, crashed, NULL, modes[kind]) != LS_OK)
                    fail_msg("prefix %zu seed %" PRIu64 ": %s", prefix, seed, ls_last_error_message());
                if (is_blocked && (prefix + seed) % 2 != 0)
                    take_out_of_the_way(again.env.files);
                all_is_there_once(&again);
                assert_int_equal(close_world(&again), LS_OK);
                sim_files_free(crashed);
                cases++;
            }
        if (is_blocked)
            check_where_what_was_blocked_is(of.env.files);
        check_all(&of, RECORDS, 1);
        assert_int_equal(close_world(&of), LS_OK);
        sim_files_free(sim);
    }
    numbers = 1;
    is_blocked = false;
    assert_true(cases > 20);
}

/* ---- calls that fail ---- */

/* Goal: a run that meets an error tells it or gets over it, and the next one goes on; so does one after a loss of
 * power. */
static void any_call_below_may_fail(void **state)
{
    static const struct {
        sim_call call;
        int err;
    } kinds[] = {{SIM_WRITE, EIO}, {SIM_WRITE, ENOSPC}, {SIM_SYNC, EIO}, {SIM_READ, EIO}, {SIM_OPEN, EMFILE},
                 {SIM_RENAME, EIO}, {SIM_MAKE_DIR, ENOSPC}, {SIM_SYNC_DIR, EIO}, {SIM_BULK_END, EIO}};
    uint32_t failures = 0, met = 0;

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        bool has_met = true;

        for (uint64_t nth = 1; has_met; nth += SIM_STRIDE) {
            sim_files *sim = sim_files_new(), *crashed;
            world of, again;
            ls_status st;

            make_world(&of, sim, NULL, LS_DURABILITY_SYNC);
            sim_fault_add(sim, (sim_fault){.call = kinds[k].call, .nth = nth, .err = kinds[k].err});
            st = run_it(&of);
            has_met = sim_faults_met(sim) > 0;
            assert_true(has_met || st == LS_OK);
            assert_true(st == LS_OK || st == LS_ERR_IO || st == LS_ERR_FULL || st == LS_ERR_NO_MEMORY);
            sim_faults_clear(sim);
            met += has_met;
            failures += st != LS_OK;
            crashed = sim_crash_state(sim, sim_log_count(sim), nth % (SIM_SEED_RANDOM + 3));
            if (st != LS_ERR_IO)
                all_is_there_once(&of);
            (void)close_world(&of);
            assert_int_equal(open_world(&again, crashed, NULL, LS_DURABILITY_SYNC), LS_OK);
            all_is_there_once(&again);
            assert_int_equal(close_world(&again), LS_OK);
            sim_files_free(crashed);
            sim_files_free(sim);
        }
    }
    assert_true(met > 20 / SIM_STRIDE && failures > 5 / SIM_STRIDE);
}

static void any_allocation_may_fail(void **state)
{
    bool has_met = true;

    (void)state;
    for (uint64_t nth = 1; has_met; nth += SIM_STRIDE) {
        numbers = nth % 2 == 0 ? SEVERAL : 1;
        sim_files *sim = sim_files_new();
        sim_memory memory = SIM_MEMORY_INIT;
        world of;
        ls_status st;

        make_world(&of, sim, &memory, LS_DURABILITY_SYNC);
        sim_memory_fail(&memory, nth, false);
        st = run_it(&of);
        has_met = memory.failed > 0;
        sim_memory_fail(&memory, 0, false);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        all_is_there_once(&of);
        assert_int_equal(close_world(&of), LS_OK);
        assert_int_equal(memory.live, 0);
        sim_files_free(sim);
        assert_true(nth < 5000);
    }
    numbers = 1;
}

/* The destination's disk is full, the store's is not: that ends the run, too, when it has waited for long enough. */
static void a_full_destination_ends_the_run(void **state)
{
    ls_delivery_run_options how = LS_DELIVERY_RUN_OPTIONS_INIT;
    sim_files *sim = sim_files_new();
    ls_delivery *delivery = NULL;
    world of;

    (void)state;
    make_world(&of, sim, NULL, LS_DURABILITY_SYNC);
    how.flags = LS_DELIVERY_UNTIL_CAUGHT_UP;
    how.give_up_ms = 50;
    how.transform = transform;
    assert_int_equal(ls_delivery_open(of.stream, "d", &delivery), LS_OK);
    sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = ".libstream-", .nth = 1, .err = ENOSPC, .sticky = true});
    assert_int_equal(ls_delivery_run(delivery, &how), LS_ERR_FULL);
    assert_non_null(strstr(ls_last_error_message(), "cannot deliver"));
    sim_faults_clear(sim);
    assert_int_equal(ls_delivery_close(delivery), LS_OK);
    all_is_there_once(&of);
    assert_int_equal(close_world(&of), LS_OK);
    sim_files_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(power_may_fail_anywhere),
        TEST(any_call_below_may_fail),
        TEST(any_allocation_may_fail),
        TEST(a_full_destination_ends_the_run),
    };

    in_memory = true; /* Each makes its own. */
    return cmocka_run_group_tests_name("api/test_delivery_failures", tests, NULL, NULL);
}
