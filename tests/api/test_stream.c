/* stream.h: creating, deleting, opening, describing, resetting. */
#include "api/support.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "support/sim_files.h"

static const ls_stream_options init = LS_STREAM_OPTIONS_INIT;

static void names_keep_their_rule(void **state)
{
    static const char *const bad[] = {"", " ", "a b", "a/b", "..x/", "\xc3\xa9", "a:b", "a\n"};
    static const char *const good[] = {"a", "A", "0", ".", "..", "-", "_", "a.b-c_D9"};
    fixture *fx = *state;
    char name[140];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ls_stream *stream = NULL;

        assert_int_equal(ls_stream_create(fx->store, bad[i], NULL), LS_ERR_INVALID_ARGUMENT);
        assert_int_equal(ls_stream_open(fx->store, bad[i], &stream), LS_ERR_INVALID_ARGUMENT);
        assert_int_equal(ls_stream_delete(fx->store, bad[i]), LS_ERR_INVALID_ARGUMENT);
        assert_null(stream);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(ls_stream_create(fx->store, good[i], NULL), LS_OK);
        assert_int_equal(ls_stream_delete(fx->store, good[i]), LS_OK);
    }
    memset(name, 'n', sizeof name);
    name[129] = '\0';
    assert_int_equal(ls_stream_create(fx->store, name, NULL), LS_ERR_INVALID_ARGUMENT);
    name[128] = '\0';
    assert_int_equal(ls_stream_create(fx->store, name, NULL), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, name), LS_OK);
}

static void options_out_of_their_range_are_refused(void **state)
{
    fixture *fx = *state;
    ls_stream_options options;
    ls_stream *stream = NULL;

#define REFUSED(set)                                                                              \
    do {                                                                                          \
        options = init;                                                                           \
        set;                                                                                      \
        assert_int_equal(ls_stream_create(fx->store, "s", &options), LS_ERR_INVALID_ARGUMENT);    \
    } while (0)
    REFUSED(options.size = 4);
    REFUSED(options.shard_count = 65537);
    REFUSED(options.retention_hours = 8761);
    REFUSED(options.mode = 2);
    REFUSED(options.mode = -1);
    REFUSED(options.record_bytes_max = 1023);
    REFUSED(options.record_bytes_max = (10u << 20) + 1);
    REFUSED(options.compression = -1);
    REFUSED(options.compression = 2);
    REFUSED(options.write_bytes_per_second = 1023);
    REFUSED(options.read_bytes_per_second = 1);
    REFUSED(options.read_bytes_per_second = 1023);
#undef REFUSED
    assert_int_equal(ls_stream_open(fx->store, "s", &stream), LS_ERR_NOT_FOUND);
}

static void options_at_the_ends_of_their_ranges_are_taken(void **state)
{
    static const struct {
        uint32_t shards, hours, record_bytes_max;
    } ends[] = {{1, 1, 1 << 10}, {40, 8760, 10 << 20}};
    fixture *fx = *state;
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        ls_stream_description *told = NULL;
        ls_stream *stream = NULL;

        options.shard_count = ends[i].shards;
        options.retention_hours = ends[i].hours;
        options.record_bytes_max = ends[i].record_bytes_max;
        assert_int_equal(ls_stream_create(fx->store, "s", &options), LS_OK);
        assert_int_equal(ls_stream_open(fx->store, "s", &stream), LS_OK);
        assert_int_equal(ls_stream_describe(stream, &told), LS_OK);
        assert_int_equal(ls_stream_description_shard_count(told), ends[i].shards);
        assert_int_equal(ls_stream_description_retention_hours(told), ends[i].hours);
        assert_int_equal(ls_stream_description_record_bytes_max(told), ends[i].record_bytes_max);
        ls_stream_description_free(told);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_stream_delete(fx->store, "s"), LS_OK);
    }
}

static void null_arguments_are_refused_by_name(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = NULL;
    ls_stream_description *description = NULL;

    assert_int_equal(ls_stream_create(NULL, "s", NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'store'"));
    assert_int_equal(ls_stream_create(fx->store, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("'name'"));
    assert_int_equal(ls_stream_delete(NULL, "s"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_delete(fx->store, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_open(NULL, "s", &stream), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_open(fx->store, NULL, &stream), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_open(fx->store, "s", NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_describe(NULL, &description), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_reset_shard(NULL, 0), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_description_limits(NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_null(ls_stream_description_name(NULL));
    assert_int_equal(ls_stream_description_id(NULL), 0);
    assert_int_equal(ls_stream_description_shard_count(NULL), 0);
    assert_int_equal(ls_stream_description_shard(NULL, 0, NULL), LS_ERR_INVALID_ARGUMENT);
}

static void a_name_is_taken_once(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = NULL;

    assert_int_equal(ls_stream_create(fx->store, "orders", NULL), LS_OK);
    assert_int_equal(ls_stream_create(fx->store, "orders", NULL), LS_ERR_EXISTS);
    assert_true(says("orders"));
    assert_int_equal(ls_stream_open(fx->store, "others", &stream), LS_ERR_NOT_FOUND);
    assert_true(says("others"));
    assert_null(stream);
    assert_int_equal(ls_stream_delete(fx->store, "others"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_create(fx->store, "Orders", NULL), LS_OK); /* case counts */
}

/* The defaults, and everything that may be set, are described as they were given. */
static void a_description_shows_the_settings(void **state)
{
    static const ls_stream_options set = {sizeof(ls_stream_options), 5, 48, LS_STREAM_PROVISIONED, 2048, 0,
                                          1024, 1, UINT32_MAX, 7};
    fixture *fx = *state;

    for (int kind = 0; kind < 2; kind++) {
        ls_stream *stream = NULL;
        ls_stream_description *about = NULL;
        ls_stream_limits limits = LS_STREAM_LIMITS_INIT;

        assert_int_equal(ls_stream_create(fx->store, kind ? "set" : "plain", kind ? &set : NULL), LS_OK);
        assert_int_equal(ls_stream_open(fx->store, kind ? "set" : "plain", &stream), LS_OK);
        assert_int_equal(ls_stream_describe(stream, NULL), LS_ERR_INVALID_ARGUMENT);
        assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
        assert_string_equal(ls_stream_description_name(about), kind ? "set" : "plain");
        assert_int_equal(ls_stream_description_status(about), LS_STREAM_ACTIVE);
        assert_int_equal(ls_stream_description_mode(about), kind ? LS_STREAM_PROVISIONED : LS_STREAM_ON_DEMAND);
        assert_int_equal(ls_stream_description_retention_hours(about), kind ? 48 : 24);
        assert_int_equal(ls_stream_description_record_bytes_max(about), kind ? 2048 : 1 << 20);
        assert_int_equal(ls_stream_description_shard_count(about), kind ? 5 : 1);
        assert_true(ls_stream_description_created_us(about) > INT64_C(1600000000000000));
        assert_int_equal(ls_stream_description_limits(about, &limits), LS_OK);
        assert_int_equal(limits.write_bytes_per_second, kind ? 1024 : 1 << 20);
        assert_int_equal(limits.write_records_per_second, kind ? 1 : 1000);
        assert_int_equal(limits.read_bytes_per_second, kind ? UINT32_MAX : 2 << 20);
        assert_int_equal(limits.read_calls_per_second, kind ? 7 : 5);
        limits.size = 4;
        assert_int_equal(ls_stream_description_limits(about, &limits), LS_ERR_INVALID_ARGUMENT);
        assert_int_equal(ls_stream_description_limits(about, NULL), LS_ERR_INVALID_ARGUMENT);
        ls_stream_description_free(about);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

/* The shards cover the whole range without gap or overlap; each says what it is. */
static void shards_cover_all_hash_keys(void **state)
{
    static const uint32_t counts[] = {1, 2, 3, 7, 16};
    fixture *fx = *state;

    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        ls_stream_description *about = NULL;
        ls_hash_key next = {0, 0};
        ls_stream *stream;
        char name[16];

        snprintf(name, sizeof name, "s%zu", c);
        stream = make_stream(fx, name, counts[c]);
        assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
        assert_int_equal(ls_stream_description_shard_count(about), counts[c]);
        for (uint32_t i = 0; i < counts[c]; i++) {
            ls_shard_info info = LS_SHARD_INFO_INIT;

            assert_int_equal(ls_stream_description_shard(about, i, &info), LS_OK);
            assert_int_equal(info.shard, i);
            assert_true(info.first_hash_key.high == next.high && info.first_hash_key.low == next.low);
            next.low = info.last_hash_key.low + 1;
            next.high = info.last_hash_key.high + (next.low == 0);
            assert_true(info.starting_seqno >= 1);
            assert_int_equal(info.ending_seqno, LS_SEQNO_NONE);
            assert_int_equal(info.oldest_seqno, LS_SEQNO_NONE);
            assert_int_equal(info.latest_seqno, LS_SEQNO_NONE);
            assert_int_equal(info.created_us, ls_stream_description_created_us(about));
            assert_int_equal(info.parent, LS_NO_SHARD);
            assert_int_equal(info.adjacent_parent, LS_NO_SHARD);
            assert_int_equal(info.is_open, 1);
            assert_int_equal(info.health, LS_OK);
        }
        assert_true(next.high == 0 && next.low == 0);
        ls_stream_description_free(about);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    }
}

/* Numbers of the first and the last record that can be read. */
static void a_description_shows_first_and_last_numbers(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_stream_description *about = NULL;
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    ls_position last_at = {.kind = LS_AT_TIMESTAMP};
    ls_record_id first, last;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("1"), NULL, &first), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("2"), NULL, NULL), LS_OK);
    (void)usleep(2000); /* so that its time is another one */
    assert_int_equal(ls_producer_put(producer, text("k"), text("3"), NULL, &last), LS_OK);
    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_shard(about, 0, &info), LS_OK);
    assert_int_equal(info.oldest_seqno, first.seqno);
    assert_int_equal(info.latest_seqno, last.seqno);
    assert_true(info.starting_seqno <= first.seqno);
    ls_stream_description_free(about);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 3);
    assert_int_equal(info.oldest_arrival_us, ls_batch_at(batch, 0)->arrival_us);
    assert_int_equal(info.latest_arrival_us, ls_batch_at(batch, 2)->arrival_us);
    assert_true(info.latest_arrival_us > info.oldest_arrival_us);
    last_at.timestamp_us = info.latest_arrival_us; /* At that time, and not only after it. */
    assert_int_equal(ls_iterator_seek(iterator, &last_at), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    assert_int_equal(ls_batch_at(batch, 0)->seqno, last.seqno);
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Only as much of a shard's information is written as the caller's release knew. */
static void shard_information_grows_safely(void **state)
{
    struct {
        ls_shard_info info;
        unsigned char beyond[16];
    } newer;
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 2);
    ls_stream_description *about = NULL;

    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    memset(&newer, 0x5a, sizeof newer);
    newer.info.size = 0;
    assert_int_equal(ls_stream_description_shard(about, 0, &newer.info), LS_ERR_INVALID_ARGUMENT);
    newer.info.size = offsetof(ls_shard_info, closed_us) - 4;
    assert_int_equal(ls_stream_description_shard(about, 0, &newer.info), LS_ERR_INVALID_ARGUMENT);
    newer.info.size = offsetof(ls_shard_info, closed_us); /* as the first release knew it */
    assert_int_equal(ls_stream_description_shard(about, 1, &newer.info), LS_OK);
    assert_int_equal(newer.info.shard, 1);
    assert_int_equal(newer.info.closed_us, INT64_C(0x5a5a5a5a5a5a5a5a));
    newer.info.size = sizeof newer;
    assert_int_equal(ls_stream_description_shard(about, 1, &newer.info), LS_OK);
    assert_int_equal(newer.info.size, sizeof newer);
    assert_int_equal(newer.info.shard, 1);
    for (size_t i = 0; i < sizeof newer.beyond; i++)
        assert_int_equal(newer.beyond[i], 0x5a);
    newer.info.size = sizeof newer.info;
    assert_int_equal(ls_stream_description_shard(about, 2, &newer.info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_description_shard(about, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    ls_stream_description_free(about);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A name that is used again never shows the old records, and the id is another. */
static void a_name_used_again_is_another_stream(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    ls_stream_description *about = NULL;
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    uint64_t id;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("old"), NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    id = ls_stream_description_id(about);
    ls_stream_description_free(about);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, "orders"), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "orders", &stream), LS_ERR_NOT_FOUND);
    stream = make_stream(fx, "orders", 1);
    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    assert_int_not_equal(ls_stream_description_id(about), id);
    ls_stream_description_free(about);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 0);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* How many files this process has open that have no name any more. */
static size_t deleted_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    size_t count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char path[300], target[1024];
        ssize_t size;

        (void)snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        size = readlink(path, target, sizeof target - 1);
        target[size > 0 ? size : 0] = '\0';
        count += strstr(target, ".seg (deleted)") != NULL || strstr(target, ".idx (deleted)") != NULL;
    }
    (void)closedir(dir);
    return count;
}

static void use_and_close(fixture *fx, const char *name)
{
    ls_stream *stream = make_stream(fx, name, 2);
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_open_all(stream, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static bool delete_elsewhere(void *user)
{
    fixture *fx = user;
    ls_store *store = NULL;
    bool is_done = ls_store_open(fx->location, NULL, &store) == LS_OK && ls_stream_delete(store, "orders") == LS_OK;

    return ls_store_close(store) == LS_OK && is_done;
}

/* A process that had a stream open and closed it keeps its files open for the next time, but not those of a deleted
 * one: they would keep their space on the disk. Whoever deletes it. */
static void what_was_deleted_keeps_no_space(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = NULL;

    if (in_memory)
        skip();
    use_and_close(fx, "orders");
    assert_int_equal(ls_stream_delete(fx->store, "orders"), LS_OK);
    assert_int_equal(deleted_files(), 0);

    use_and_close(fx, "orders");
    in_fork_child(delete_elsewhere, fx);
    assert_int_equal(ls_store_maintain(fx->store, -1), LS_OK);
    assert_int_equal(deleted_files(), 0);

    use_and_close(fx, "orders");
    in_fork_child(delete_elsewhere, fx);
    stream = make_stream(fx, "others", 1);
    assert_int_equal(deleted_files(), 0);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Every handle on a deleted stream says so, also when its name is in use again. */
static void handles_on_a_deleted_stream_say_so(void **state)
{
    const ls_put_entry entry = {text("k"), text("d"), NULL};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 2);
    ls_stream_description *about = NULL;
    ls_producer *producer = NULL, *second = NULL;
    ls_iterator *iterator = NULL, *merged = NULL, *third = NULL;
    const ls_batch *batch = NULL;
    ls_put_result result = {0};
    size_t failed = 0;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("old"), NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_open_all(stream, NULL, NULL, &merged), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, "orders"), LS_OK);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, NULL), LS_ERR_NOT_FOUND);
        assert_int_equal(ls_producer_put_batch(producer, &entry, 1, NULL, &result, &failed), LS_OK);
        assert_int_equal(failed, 1);
        assert_int_equal(result.status, LS_ERR_NOT_FOUND);
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_ERR_NOT_FOUND);
        assert_int_equal(ls_iterator_next(merged, NULL, &batch), LS_ERR_NOT_FOUND);
        assert_int_equal(ls_stream_describe(stream, &about), LS_ERR_NOT_FOUND);
        assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &third), LS_ERR_NOT_FOUND);
        assert_int_equal(ls_iterator_open_all(stream, NULL, NULL, &third), LS_ERR_NOT_FOUND);
        assert_int_equal(ls_stream_reset_shard(stream, 0), LS_ERR_NOT_FOUND);
        assert_int_equal(ls_stream_create(fx->store, "orders", NULL), again ? LS_ERR_EXISTS : LS_OK);
    }
    ls_iterator_close(iterator);
    ls_iterator_close(merged);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_producer_close(second), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_stream_does_not_close_over_its_handles(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_ERR_STATE);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_ERR_STATE);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* What was created is there after closing and opening the store. */
static void streams_outlive_their_store_handle(void **state)
{
    fixture *fx = *state;
    ls_stream_description *about = NULL;
    ls_stream *stream = make_stream(fx, "orders", 3);

    assert_int_equal(ls_stream_close(stream), LS_OK);
    if (in_memory)
        return;
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "orders", &stream), LS_OK);
    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_shard_count(about), 3);
    ls_stream_description_free(about);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A healthy shard is not reset; one that is not there is not found. */
static void a_healthy_shard_is_not_reset(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);

    assert_int_equal(ls_stream_reset_shard(stream, 0), LS_ERR_STATE);
    assert_int_equal(ls_stream_reset_shard(stream, 1), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A failed sync: the put's outcome is unknown, the shard refuses puts and is described so, reading goes on, and a reset
 * lets it take puts again. Method: files that fail one sync. */
static void a_shard_whose_sync_failed_is_reset(void **state)
{
    sim_files *sim = sim_files_new();
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_stream_description *about = NULL;
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    env.files = sim_files_table(sim);
    assert_int_equal(lsi_store_open_env("/sim", NULL, &env, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "orders", NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, "orders", &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("kept"), NULL, NULL), LS_OK);
    sim_fault_add(sim, (sim_fault){.call = SIM_SYNC, .nth = 1, .err = EIO});
    assert_int_equal(ls_producer_put(producer, text("k"), text("unknown"), NULL, NULL), LS_ERR_IO);
    assert_int_equal(ls_last_error_errno(), EIO);
    assert_int_equal(ls_producer_put(producer, text("k"), text("refused"), NULL, NULL), LS_ERR_IO);
    assert_int_equal(ls_stream_describe(stream, &about), LS_OK);
    assert_int_equal(ls_stream_description_shard(about, 0, &info), LS_OK);
    assert_int_equal(info.health, LS_ERR_IO);
    ls_stream_description_free(about);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    assert_int_equal(ls_stream_reset_shard(stream, 0), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("again"), NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    assert_memory_equal(ls_batch_at(batch, 0)->data.data, "again", 5);
    assert_int_equal(ls_stream_reset_shard(stream, 0), LS_ERR_STATE);
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    sim_files_free(sim);
}

/* E3: the way out of a full disk. Method: the manifest's replacement finds no space, once and then every time. */
static void a_stream_can_be_deleted_on_a_full_disk(void **state)
{
    sim_files *sim = sim_files_new();
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    lsi_env env;

    (void)state;
    lsi_env_default(&env);
    env.files = sim_files_table(sim);
    assert_int_equal(lsi_store_open_env("/sim", NULL, &env, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "first", NULL), LS_OK);
    assert_int_equal(ls_stream_create(store, "second", NULL), LS_OK);
    sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = "manifest", .nth = 1, .err = ENOSPC});
    assert_int_equal(ls_stream_delete(store, "first"), LS_OK); /* With the space that was kept for it. */
    assert_int_equal(ls_stream_open(store, "first", &stream), LS_ERR_NOT_FOUND);
    sim_faults_clear(sim);
    sim_fault_add(sim, (sim_fault){.call = SIM_WRITE, .name = "manifest", .nth = 1, .err = ENOSPC, .sticky = true});
    assert_int_equal(ls_stream_delete(store, "second"), LS_ERR_FULL);
    sim_faults_clear(sim);
    assert_int_equal(ls_stream_open(store, "second", &stream), LS_OK); /* Nothing was changed. */
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_delete(store, "second"), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    sim_files_free(sim);
    lsi_boot_id_pretend(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_keep_their_rule),
        TEST(options_out_of_their_range_are_refused),
        TEST(options_at_the_ends_of_their_ranges_are_taken),
        TEST(null_arguments_are_refused_by_name),
        TEST(a_name_is_taken_once),
        TEST(a_description_shows_the_settings),
        TEST(shards_cover_all_hash_keys),
        TEST(a_description_shows_first_and_last_numbers),
        TEST(shard_information_grows_safely),
        TEST(a_name_used_again_is_another_stream),
        TEST(what_was_deleted_keeps_no_space),
        TEST(handles_on_a_deleted_stream_say_so),
        TEST(a_stream_does_not_close_over_its_handles),
        TEST(streams_outlive_their_store_handle),
        TEST(a_healthy_shard_is_not_reset),
        TEST(a_shard_whose_sync_failed_is_reset),
        TEST(a_stream_can_be_deleted_on_a_full_disk),
    };

    run_everywhere("stream.h", tests);
}
