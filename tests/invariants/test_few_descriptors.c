/* G1, G2 and E2: a store has more shards than its process may have files open. Every put and every read works; what is
 * closed meanwhile is synced before.
 *
 * Method: RLIMIT_NOFILE is 64, the stream has 256 shards. The files are the system's, seen through a table that knows
 * which segments hold bytes that no sync has followed. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#include "invariants/processes.h"

#define LIMIT 64u
#define SHARDS 256u
#define ROUNDS 2u
#define THREADS 3u

/* ---- files that are watched ---- */

static struct {
    lsi_files table;
    _Atomic uint32_t is_segment[LIMIT]; /* by descriptor */
    _Atomic uint32_t is_dirty[LIMIT];
    _Atomic uint32_t closed_dirty;
    _Atomic uint32_t closed;
    char fails[64]; /* part of the name of the segment whose next sync fails; "" for none */
    _Atomic uint32_t fails_fd;
} watch;

static int watched_open(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    int result = lsi_files_system.open(root, name, flags, out);

    if (result == 0) {
        assert_in_range(out->fd, 0, LIMIT - 1);
        watch.is_segment[out->fd] = strstr(name, ".seg") != NULL && (flags & LSI_OPEN_WRITE) != 0;
        watch.is_dirty[out->fd] = 0;
        if (watch.fails[0] != '\0' && watch.is_segment[out->fd] && strstr(name, watch.fails) != NULL)
            watch.fails_fd = (uint32_t)out->fd;
    }
    return result;
}

static int watched_close(lsi_file *file)
{
    if (watch.is_segment[file->fd]) {
        watch.closed++;
        watch.closed_dirty += watch.is_dirty[file->fd];
    }
    return lsi_files_system.close(file);
}

static int watched_write(const lsi_file *file, const lsi_span *spans, int count, uint64_t at)
{
    watch.is_dirty[file->fd] = 1;
    return lsi_files_system.write(file, spans, count, at);
}

static void watched_store(const lsi_file *file, void *into, const void *bytes, size_t size)
{
    watch.is_dirty[file->fd] = 1;
    lsi_files_system.store(file, into, bytes, size);
}

static int watched_sync(const lsi_file *file, bool data_only)
{
    if (watch.fails_fd != 0 && watch.fails_fd == (uint32_t)file->fd) {
        watch.fails_fd = 0;
        watch.is_dirty[file->fd] = 0; /* What the kernel says of it too. */
        return -EIO;
    }
    watch.is_dirty[file->fd] = 0;
    return lsi_files_system.sync(file, data_only);
}

static void watch_begin(void)
{
    memset(&watch, 0, sizeof watch);
    watch.table = lsi_files_system;
    watch.table.open = watched_open;
    watch.table.close = watched_close;
    watch.table.write = watched_write;
    watch.table.store = watched_store;
    watch.table.sync = watched_sync;
}

/* ---- a store with many shards ---- */

static struct rlimit usual;

static int set_up_few(void **state)
{
    struct rlimit few;

    watch_begin();
    if (set_up(state) != 0 || getrlimit(RLIMIT_NOFILE, &usual) != 0)
        return 1;
    few = usual;
    few.rlim_cur = LIMIT;
    return setrlimit(RLIMIT_NOFILE, &few);
}

static int tear_down_few(void **state)
{
    return setrlimit(RLIMIT_NOFILE, &usual) | tear_down(state);
}

static void open_many(fixture *fx, ls_durability durability, handles *of)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options stream = LS_STREAM_OPTIONS_INIT;
    ls_status st;
    lsi_env env;

    memset(of, 0, sizeof *of);
    options.durability = durability;
    options.segment_bytes = 64 << 10;
    stream.shard_count = SHARDS;
    lsi_env_default(&env);
    env.files = &watch.table;
    assert_int_equal(lsi_store_open_env(fx->path, &options, &env, &of->store), LS_OK);
    st = ls_stream_create(of->store, STREAM, &stream);
    assert_true(st == LS_OK || st == LS_ERR_EXISTS);
    assert_int_equal(ls_stream_open(of->store, STREAM, &of->stream), LS_OK);
    assert_int_equal(ls_producer_open(of->stream, NULL, &of->producer), LS_OK);
    watch.closed = watch.closed_dirty = 0; /* What a new stream is made of is synced all at once. */
}

static ls_status put_to(ls_producer *producer, uint32_t shard, uint32_t round)
{
    ls_hash_key key = {(uint64_t)shard << 56, 0}; /* the first of 256 equal ranges */
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    uint32_t data[400] = {shard, round};

    options.explicit_hash_key = &key;
    return ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){data, sizeof data}, &options, NULL);
}

/* Takes what there is, and adds it up by shard; each shard's come in order. */
static void take_all(ls_iterator *iterator, uint32_t counts[SHARDS])
{
    const ls_batch *batch;

    for (;;) {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        if (ls_batch_count(batch) == 0)
            return;
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            uint32_t data[2];

            memcpy(data, record->data.data, sizeof data);
            assert_int_equal(record->shard, data[0]);
            assert_int_equal(counts[data[0]]++, data[1]);
        }
    }
}

static void put_and_read(fixture *fx, ls_durability durability)
{
    static uint32_t live[SHARDS], later[SHARDS];
    static ls_iterator *single[SHARDS];
    ls_iterator *all = NULL;
    handles of;

    memset(live, 0, sizeof live);
    memset(later, 0, sizeof later);
    open_many(fx, durability, &of);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &all), LS_OK);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t shard = 0; shard < SHARDS; shard++)
            assert_int_equal(put_to(of.producer, shard, round), LS_OK);
        take_all(all, live);
    }
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        assert_int_equal(live[shard], ROUNDS);
    assert_true(watch.closed > SHARDS); /* They were closed, and none that held what no sync had followed. */
    assert_int_equal(watch.closed_dirty, 0);
    ls_iterator_close(all);
    /* As many iterators as shards, all at once, that each stop in the middle. */
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        assert_int_equal(ls_iterator_open(of.stream, shard, NULL, NULL, &single[shard]), LS_OK);
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            ls_next_options one = LS_NEXT_OPTIONS_INIT;
            const ls_batch *batch;
            uint32_t data[2];

            one.records_max = 1;
            assert_int_equal(ls_iterator_next(single[shard], &one, &batch), LS_OK);
            assert_int_equal(ls_batch_count(batch), 1);
            memcpy(data, ls_batch_at(batch, 0)->data.data, sizeof data);
            assert_int_equal(data[0], shard);
            assert_int_equal(data[1], round);
        }
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        ls_iterator_close(single[shard]);
    assert_int_equal(handles_close(&of), LS_OK);
    assert_int_equal(watch.closed_dirty, 0);

    open_many(fx, durability, &of);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &all), LS_OK);
    take_all(all, later);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        assert_int_equal(later[shard], ROUNDS);
    ls_iterator_close(all);
    assert_int_equal(handles_close(&of), LS_OK);
}

static void more_shards_than_descriptors_are_put_to_and_read_durably(void **state)
{
    put_and_read(*state, LS_DURABILITY_SYNC);
}

static void more_shards_than_descriptors_are_put_to_and_read_and_synced_before_they_are_closed(void **state)
{
    put_and_read(*state, LS_DURABILITY_KERNEL);
}

/* Also when the program itself takes nearly all there are: what idle shards hold is given up for whatever is opened. */
static void whatever_is_opened_may_take_the_place_of_idle_shards(void **state)
{
    int taken[LIMIT], count = 0, fd;
    static uint32_t counts[SHARDS];
    ls_iterator *all = NULL;
    handles of;

    memset(counts, 0, sizeof counts);
    open_many(*state, LS_DURABILITY_KERNEL, &of);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        assert_int_equal(put_to(of.producer, shard, 0), LS_OK);
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        taken[count++] = fd;
    assert_true(count > 0);
    assert_int_equal(ls_stream_create(of.store, "another", NULL), LS_OK);
    assert_int_equal(ls_stream_delete(of.store, "another"), LS_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        assert_int_equal(put_to(of.producer, shard, 1), LS_OK);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &all), LS_OK);
    take_all(all, counts);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        assert_int_equal(counts[shard], 2);
    ls_iterator_close(all);
    while (count > 0)
        (void)close(taken[--count]);
    assert_int_equal(watch.closed_dirty, 0);
    assert_int_equal(handles_close(&of), LS_OK);
}

/* E1: the sync that comes before closing fails. It concerns that shard, and nobody who only needed a descriptor. */
static void a_sync_that_fails_then_is_the_idle_shards_own_failure(void **state)
{
    handles of;

    open_many(*state, LS_DURABILITY_KERNEL, &of);
    memcpy(watch.fails, "/7/", 4);
    assert_int_equal(put_to(of.producer, 7, 0), LS_OK);
    assert_true(watch.fails_fd != 0);
    watch.fails[0] = '\0';
    for (uint32_t shard = 8; shard < SHARDS; shard++)
        assert_int_equal(put_to(of.producer, shard, 0), LS_OK);
    assert_int_equal(watch.fails_fd, 0); /* It was asked to sync. */
    assert_int_equal(put_to(of.producer, 7, 1), LS_ERR_IO);
    assert_int_equal(ls_last_error_errno(), EIO);
    assert_int_equal(put_to(of.producer, 8, 1), LS_OK);
    (void)ls_producer_close(of.producer);
    (void)ls_stream_close(of.stream);
    assert_int_equal(ls_store_close(of.store), LS_ERR_IO);
}

/* ---- threads ---- */

typedef struct worker {
    pthread_t thread;
    ls_stream *stream;
    uint32_t first; /* puts to every third shard from here on */
} worker;

static void *put_around(void *user)
{
    const worker *one = user;
    ls_producer *producer = NULL;

    if (ls_producer_open(one->stream, NULL, &producer) != LS_OK)
        return NULL;
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t shard = one->first; shard < SHARDS; shard += THREADS)
            if (put_to(producer, shard, round) != LS_OK) {
                fprintf(stderr, "shard %u: %s\n", shard, ls_last_error_message());
                return NULL;
            }
    return ls_producer_close(producer) == LS_OK ? user : NULL;
}

static void threads_that_take_descriptors_from_each_other_lose_nothing(void **state)
{
    static uint32_t counts[SHARDS];
    worker workers[THREADS];
    ls_iterator *all = NULL;
    uint32_t total = 0;
    handles of;

    memset(counts, 0, sizeof counts);
    open_many(*state, LS_DURABILITY_KERNEL, &of);
    assert_int_equal(ls_iterator_open_all(of.stream, NULL, NULL, &all), LS_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){.stream = of.stream, .first = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, put_around, &workers[i]), 0);
    }
    for (int64_t until = now_ms() + 60000; total < SHARDS * ROUNDS && now_ms() < until;) {
        take_all(all, counts);
        total = 0;
        for (uint32_t shard = 0; shard < SHARDS; shard++)
            total += counts[shard];
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        void *well = NULL;
        assert_int_equal(pthread_join(workers[i].thread, &well), 0);
        assert_non_null(well);
    }
    assert_int_equal(total, SHARDS * ROUNDS);
    ls_iterator_close(all);
    assert_int_equal(watch.closed_dirty, 0);
    assert_int_equal(handles_close(&of), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(more_shards_than_descriptors_are_put_to_and_read_durably, set_up_few,
                                        tear_down_few),
        cmocka_unit_test_setup_teardown(
            more_shards_than_descriptors_are_put_to_and_read_and_synced_before_they_are_closed, set_up_few,
            tear_down_few),
        cmocka_unit_test_setup_teardown(whatever_is_opened_may_take_the_place_of_idle_shards, set_up_few,
                                        tear_down_few),
        cmocka_unit_test_setup_teardown(a_sync_that_fails_then_is_the_idle_shards_own_failure, set_up_few,
                                        tear_down_few),
        cmocka_unit_test_setup_teardown(threads_that_take_descriptors_from_each_other_lose_nothing, set_up_few,
                                        tear_down_few),
    };

    return cmocka_run_group_tests_name("few descriptors, many shards", tests, NULL, NULL);
}
