/* Group commit: many threads put into one log that must be durable, and one sync serves those who wait. On files
 * in memory, whose syncs are counted, slowed and failed, and in a directory. Worth most under the thread sanitizer,
 * which is why these are not the simulator's: it looks at mappings while they change. */
#include "storage/log_store.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "support/temp.h"

#define THREADS 8u
#define PUTS 150u

typedef struct worker {
    pthread_t thread;
    log_store *store;
    unsigned index;
    unsigned acknowledged; /* its first so many records */
    uint64_t end;          /* behind the last of them */
    bool early;            /* told of durability before it was so */
    ls_status st;          /* why it stopped */
} worker;

static void *put_and_commit(void *user)
{
    worker *of = user;
    lsi_framer *framer;

    of->st = lsi_framer_open(&of->store->env, &framer);
    while (of->st == LS_OK && of->acknowledged < PUTS) {
        uint32_t data[25] = {of->index, of->acknowledged};
        ls_put_entry entry = {{"key", 3}, {data, sizeof data}, NULL};
        uint32_t accepted;
        ls_seqno seqno;
        uint64_t end;
        bool closed;

        of->st = lsi_log_append(of->store->log, framer, &entry, NULL, 1, false, &accepted, &seqno, &end, &closed);
        if (of->st == LS_OK)
            of->st = lsi_log_commit(of->store->log, end);
        if (of->st != LS_OK)
            break;
        of->early = of->early || lsi_load(&lsi_log_slot(of->store->log)->durable_end) < end;
        of->end = end;
        of->acknowledged++;
    }
    lsi_framer_close(framer);
    return NULL;
}

static void run_all(log_store *store, worker workers[THREADS])
{
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (worker){.store = store, .index = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, put_and_commit, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
}

/* Reads all; every thread's records are there in its order, at least the acknowledged ones. Returns how many. */
static unsigned assert_acknowledged_are_there(log_store *store, const worker workers[THREADS])
{
    uint32_t next[THREADS] = {0};
    unsigned total = 0;
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count;
    bool tip = false, end;

    assert_int_equal(lsi_log_reader_open(store->log, LSI_READ_FAST, &reader), LS_OK);
    for (; !tip; total += count) {
        assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t who[2];
            memcpy(who, records[i].data.data, sizeof who);
            assert_true(who[0] < THREADS);
            assert_int_equal(who[1], next[who[0]]++);
        }
    }
    lsi_log_reader_close(reader);
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(next[i] >= workers[i].acknowledged);
    return total;
}

/* A disk that takes a while to sync, so that others come meanwhile. The table's syncs after `fail_after` fail. */
static _Atomic uint64_t syncs, fail_after;

static int slow_sync(const lsi_file *file, bool data_only)
{
    uint64_t nth = atomic_fetch_add(&syncs, 1) + 1;

    (void)file;
    (void)data_only;
    (void)usleep(300);
    return nth > atomic_load(&fail_after) ? -EIO : 0;
}

static lsi_files *slow_files(void)
{
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);

    assert_non_null(files);
    files->sync = slow_sync;
    atomic_store(&syncs, 0);
    atomic_store(&fail_after, UINT64_MAX);
    return files;
}

/* Goal: nobody is told before the sync, and one sync serves several. */
static void one_sync_serves_all_who_wait(void **state)
{
    lsi_files *files = slow_files();
    worker workers[THREADS];
    log_store store = {0};

    (void)state;
    log_store_open(&store, files, true, LS_DURABILITY_SYNC, 64 << 10);
    run_all(&store, workers);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].st, LS_OK);
        assert_false(workers[i].early);
    }
    assert_int_equal(assert_acknowledged_are_there(&store, workers), THREADS * PUTS);
    assert_true(atomic_load(&syncs) < THREADS * PUTS / 2);
    assert_int_equal(log_store_close(&store), LS_OK);
    lsi_files_memory_free(files);
}

static void threads_commit_in_a_directory(void **state)
{
    worker workers[THREADS];
    log_store store = {0};
    temp_dir temp;
    char back[4096];

    (void)state;
    temp_make(&temp);
    assert_non_null(getcwd(back, sizeof back)); /* log_store_open opens "store" */
    assert_int_equal(chdir(temp.path), 0);
    log_store_open(&store, &lsi_files_system, true, LS_DURABILITY_SYNC, 64 << 10);
    run_all(&store, workers);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].st, LS_OK);
        assert_false(workers[i].early);
    }
    assert_int_equal(assert_acknowledged_are_there(&store, workers), THREADS * PUTS);
    assert_int_equal(log_store_close(&store), LS_OK);
    assert_int_equal(chdir(back), 0);
    temp_remove(&temp);
}

/* Goal: E1: whoever waits for a sync that fails is told, nobody is told of success that was none, nothing is put
 * afterwards, and what was acknowledged before stays readable. */
static void a_sync_that_fails_is_told_to_all_who_wait(void **state)
{
    (void)state;
    for (uint64_t good = 0; good < 60; good += 7) {
        lsi_files *files = slow_files();
        worker workers[THREADS];
        log_store store = {0};
        uint64_t durable;
        unsigned there;

        log_store_open(&store, files, true, LS_DURABILITY_SYNC, 64 << 10);
        atomic_store(&fail_after, atomic_load(&syncs) + good);
        run_all(&store, workers);
        durable = lsi_load(&lsi_log_slot(store.log)->durable_end);
        for (unsigned i = 0; i < THREADS; i++) {
            assert_int_equal(workers[i].st, LS_ERR_IO);
            assert_false(workers[i].early);
            assert_true(workers[i].end <= durable);
        }
        there = assert_acknowledged_are_there(&store, workers);
        assert_true(good == 0 ? there == 0 : there < THREADS * PUTS);
        (void)log_store_close(&store);
        lsi_files_memory_free(files);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_sync_serves_all_who_wait),
        cmocka_unit_test(threads_commit_in_a_directory),
        cmocka_unit_test(a_sync_that_fails_is_told_to_all_who_wait),
    };

    return cmocka_run_group_tests_name("group commit", tests, NULL, NULL);
}
