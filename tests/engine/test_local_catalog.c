/* The streams of a store on disk as several see them who have it open: creating and deleting, reading only, ids, what
 * killed processes leave in the directory and in the manifest's generation, and the manifest's bytes. What every engine
 * does is in conformance.c; what fails, dies or crashes meanwhile in test_local_crash.c. */
#include "engine/local_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/thread.h"
#include "base/u128.h"
#include "support/sim_memory.h"

/* ---- several who have it open ---- */

static void what_one_creates_and_deletes_the_others_see(void **state)
{
    fixture *fx = *state;
    lsi_engine *one = open_store(fx), *two = open_store(fx);
    lsi_engine_stream *in_one, *in_two;
    lsi_stream_info info;

    assert_int_equal(create(one, "a", 2), LS_OK);
    assert_int_equal(create(two, "a", 2), LS_ERR_EXISTS);
    assert_int_equal(two->ops->stream_open(two, "a", &in_two), LS_OK);
    assert_int_equal(one->ops->stream_open(one, "a", &in_one), LS_OK);
    assert_int_equal(put_one(one, in_one, 1, "x"), LS_OK);
    assert_int_equal(put_one(two, in_two, 1, "y"), LS_OK);
    assert_int_equal(count_records(one, in_one, 1), 2);
    assert_int_equal(count_records(two, in_two, 1), 2);
    assert_int_equal(two->ops->remove(two, "a"), LS_OK);
    assert_int_equal(put_one(one, in_one, 1, "z"), LS_ERR_NOT_FOUND);
    assert_int_equal(one->ops->info(in_one, &info), LS_ERR_NOT_FOUND);
    assert_int_equal(one->ops->remove(one, "a"), LS_ERR_NOT_FOUND);
    assert_int_equal(create(one, "a", 1), LS_OK);
    assert_int_equal(put_one(two, in_two, 0, "z"), LS_ERR_NOT_FOUND); /* the handle is of the old one */
    one->ops->stream_close(in_one);
    two->ops->stream_close(in_two);
    close_store(one);
    close_store(two);
}

typedef struct sleeper {
    lsi_engine *engine;
    lsi_engine_stream *stream;
    lsi_reader *reader;
    _Atomic int armed;
    ls_status status;
    uint32_t count;
} sleeper;

static void wait_for_a_record(void *user)
{
    sleeper *who = user;
    const lsi_engine_ops *ops = who->engine->ops;

    for (int i = 0; i < 20; i++) {
        uint32_t token = ops->arm(who->stream, 0);
        lsi_read page;

        who->status = ops->read(who->reader, 10, 1 << 20, &page);
        who->count = page.count;
        if (who->status != LS_OK || page.count > 0)
            return;
        atomic_store(&who->armed, 1);
        (void)ops->sleep(who->stream, 0, token, 5000000);
    }
}

static void start_waiting(lsi_engine *engine, lsi_engine_stream *stream, sleeper *who, lsi_thread *thread)
{
    ls_position start = {.kind = LS_TRIM_HORIZON};
    _Atomic uint32_t word = 0;

    *who = (sleeper){.engine = engine, .stream = stream};
    assert_int_equal(engine->ops->reader_open(stream, 0, 0, &who->reader), LS_OK);
    assert_int_equal(engine->ops->seek(who->reader, &start), LS_OK);
    assert_int_equal(lsi_thread_start(thread, "sleeper", wait_for_a_record, who), 0);
    while (atomic_load(&who->armed) == 0)
        (void)lsi_word_sleep(&word, 0, 1000);
    (void)lsi_word_sleep(&word, 0, 5000);
}

static void another_ones_append_and_deletion_wake_a_waiting_reader(void **state)
{
    fixture *fx = *state;
    lsi_engine *one = open_store(fx), *two = open_store(fx);
    lsi_engine_stream *in_one, *in_two;
    lsi_thread thread = {0};
    sleeper who;
    int64_t began;

    assert_int_equal(create(one, "a", 1), LS_OK);
    assert_int_equal(one->ops->stream_open(one, "a", &in_one), LS_OK);
    assert_int_equal(two->ops->stream_open(two, "a", &in_two), LS_OK);
    start_waiting(one, in_one, &who, &thread);
    began = lsi_monotonic_us(&fx->env.clock);
    assert_int_equal(put_one(two, in_two, 0, "x"), LS_OK);
    lsi_thread_join(&thread);
    assert_int_equal(who.status, LS_OK);
    assert_int_equal(who.count, 1);
    one->ops->reader_close(who.reader);

    assert_int_equal(two->ops->remove(two, "a"), LS_OK);
    two->ops->stream_close(in_two);
    one->ops->stream_close(in_one);
    assert_int_equal(create(one, "a", 1), LS_OK);
    assert_int_equal(one->ops->stream_open(one, "a", &in_one), LS_OK);
    start_waiting(one, in_one, &who, &thread);
    assert_int_equal(two->ops->remove(two, "a"), LS_OK);
    lsi_thread_join(&thread);
    assert_int_equal(who.status, LS_ERR_NOT_FOUND);
    assert_true(lsi_monotonic_us(&fx->env.clock) - began < 900000); /* by wakes, not by the engine's own limit */
    one->ops->reader_close(who.reader);
    one->ops->stream_close(in_one);
    close_store(one);
    close_store(two);
}

/* Goal: more streams than are kept idle. Method: open and close 200, put into each, read them again. */
static void many_streams_come_and_go(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine;
    lsi_engine_stream *stream;
    char name[16];

    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(open_with(fx, options, &engine), LS_OK);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 100; i++) {
            (void)snprintf(name, sizeof name, "s%d", i);
            if (round == 0)
                assert_int_equal(create(engine, name, 1), LS_OK);
            assert_int_equal(engine->ops->stream_open(engine, name, &stream), LS_OK);
            assert_int_equal(put_one(engine, stream, 0, name), LS_OK);
            assert_int_equal(count_records(engine, stream, 0), (uint32_t)round + 1);
            engine->ops->stream_close(stream);
        }
    assert_true(lsi_local_of(engine)->idle_count <= 70);
    close_store(engine);
}

/* ---- reading only ---- */

static void a_read_only_open_reads_and_changes_nothing(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine *engine = open_store(fx);
    lsi_engine_stream *stream;
    char path[TEMP_PATH_BYTES * 3];
    uint32_t entries;

    assert_int_equal(create(engine, "a", 1), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "a", &stream), LS_OK);
    assert_int_equal(put_one(engine, stream, 0, "x"), LS_OK);
    engine->ops->stream_close(stream);
    close_store(engine);
    (void)snprintf(path, sizeof path, "%s/control", fx->path);
    for (int without_control = 0; without_control < 2; without_control++) {
        if (without_control != 0)
            assert_int_equal(unlink(path), 0);
        entries = count_entries(fx->path);
        options.flags = LS_STORE_READ_ONLY;
        assert_int_equal(open_with(fx, options, &engine), LS_OK);
        assert_int_equal(engine->ops->stream_open(engine, "a", &stream), LS_OK);
        assert_int_equal(count_records(engine, stream, 0), 1);
        assert_int_equal(put_one(engine, stream, 0, "y"), LS_ERR_READ_ONLY);
        assert_int_equal(create(engine, "b", 1), LS_ERR_READ_ONLY);
        assert_int_equal(engine->ops->remove(engine, "a"), LS_ERR_READ_ONLY);
        assert_int_equal(engine->ops->reset_shard(stream, 0), LS_ERR_READ_ONLY);
        assert_int_equal(engine->ops->maintain(engine, -1), LS_OK);
        engine->ops->stream_close(stream);
        close_store(engine);
        assert_int_equal(count_entries(fx->path), entries);
        options.durability = LS_DURABILITY_KERNEL;
        assert_int_equal(open_with(fx, options, &engine), LS_ERR_STATE);
        options.durability = LS_DURABILITY_DEFAULT;
    }
}

/* ---- ids and strays ---- */

/* Goal: L2. Method: create and delete; the id never comes back, not even after reopening. */
static void an_id_is_never_given_twice(void **state)
{
    fixture *fx = *state;
    uint64_t last = 0;

    for (int i = 0; i < 4; i++) {
        lsi_engine *engine = open_store(fx);
        lsi_engine_stream *stream;
        lsi_stream_info info;

        assert_int_equal(create(engine, "a", 1), LS_OK);
        assert_int_equal(engine->ops->stream_open(engine, "a", &stream), LS_OK);
        assert_int_equal(engine->ops->info(stream, &info), LS_OK);
        assert_true(info.id > last);
        last = info.id;
        lsi_stream_info_free(&info);
        engine->ops->stream_close(stream);
        assert_int_equal(engine->ops->remove(engine, "a"), LS_OK);
        close_store(engine);
    }
    assert_false(is_there(fx, "1"));
    assert_false(is_there(fx, "4"));
}

/* A log that has something in it, or has not. */
static void make_stray(fixture *fx, const char *id, bool used)
{
    char path[TEMP_PATH_BYTES * 3];

    (void)snprintf(path, sizeof path, "%s/%s", fx->path, id);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/%s/0", fx->path, id);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/%s/0/00000001.seg", fx->path, id);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    assert_int_equal(truncate(path, used ? 4097 : 4096), 0);
}

/* Goal: R6. Method: a directory of a deleted id is removed by upkeep; one of an id that was never given is kept aside,
 * by upkeep as by the one who needs the id, if there is anything in it; what is no stream's directory is left alone. */
static void strays_are_removed_or_set_aside(void **state)
{
    fixture *fx = *state;
    lsi_engine *engine = open_store(fx);
    char path[TEMP_PATH_BYTES * 3];
    uint32_t entries;

    assert_int_equal(create(engine, "a", 1), LS_OK); /* 1 */
    assert_int_equal(create(engine, "b", 1), LS_OK); /* 2 */
    assert_int_equal(engine->ops->remove(engine, "a"), LS_OK);
    make_stray(fx, "1", true);
    make_stray(fx, "3", true);
    make_stray(fx, "77", true);
    make_stray(fx, "88", false);
    make_stray(fx, "new-3", false); /* of creators who died: one whose id is needed again, and one whose is not */
    make_stray(fx, "new-8", false);
    make_stray(fx, "new-x", false);
    (void)snprintf(path, sizeof path, "%s/notes", fx->path);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/007", fx->path);
    assert_int_equal(mkdir(path, 0700), 0);
    entries = count_entries(fx->path);
    assert_int_equal(create(engine, "c", 1), LS_OK); /* 3 */
    assert_int_equal(count_entries(fx->path), entries); /* one more, and "new-3" is gone */
    assert_true(is_there(fx, "3"));
    assert_true(is_there(fx, "1"));
    assert_int_equal(engine->ops->maintain(engine, -1), LS_OK);
    assert_int_equal(count_entries(fx->path), entries - 2);
    assert_false(is_there(fx, "1"));
    assert_false(is_there(fx, "new-8"));
    assert_true(is_there(fx, "new-x"));
    assert_false(is_there(fx, "88"));
    assert_int_equal(engine->ops->maintain(engine, -1), LS_OK); /* of those that are aside, one was never used */
    assert_int_equal(count_entries(fx->path), entries - 3);
    assert_false(is_there(fx, "77"));
    assert_true(is_there(fx, "2/0"));
    assert_true(is_there(fx, "3/0"));
    assert_true(is_there(fx, "notes"));
    assert_true(is_there(fx, "007"));
    close_store(engine);
}

/* ---- settling ---- */

/* Goal: L3, and what a deleter leaves who was killed after the manifest had its name. Method: do by hand what he did:
 * odd generation, new manifest, slots untouched. A reader of another engine notices; who locks next settles. */
static void a_deletion_whose_process_died_is_finished_by_others(void **state)
{
    fixture *fx = *state;
    lsi_engine *one = open_store(fx), *two = open_store(fx);
    lsi_engine_stream *stream;
    lsi_catalog *catalog, *without;
    lsi_thread thread = {0};
    sleeper who;

    assert_int_equal(create(one, "a", 1), LS_OK);
    assert_int_equal(create(one, "b", 1), LS_OK);
    assert_int_equal(one->ops->stream_open(one, "a", &stream), LS_OK);
    start_waiting(one, stream, &who, &thread);
    assert_int_equal(lsi_local_catalog_lock(lsi_local_of(two), &catalog), LS_OK);
    assert_int_equal(lsi_catalog_copy(catalog, lsi_catalog_find(catalog, "a")->id, NULL, &without), LS_OK);
    without->head.generation++;
    lsi_control_manifest_changing(lsi_local_of(two)->control);
    assert_int_equal(lsi_local_catalog_write(&two->env, &lsi_local_of(two)->root, without), LS_OK);
    lsi_local_catalog_unlock(lsi_local_of(two));
    lsi_catalog_unref(without);
    lsi_catalog_unref(catalog);
    lsi_thread_join(&thread); /* within a second or so */
    assert_int_equal(who.status, LS_ERR_NOT_FOUND);
    one->ops->reader_close(who.reader);

    lsi_engine_stream *other;
    assert_int_equal(two->ops->stream_open(two, "b", &other), LS_OK); /* settles first */
    assert_int_equal(lsi_control_manifest_generation(lsi_local_of(one)->control) % 2, 0);
    assert_int_equal(put_one(one, stream, 0, "x"), LS_ERR_NOT_FOUND); /* its slots were ended */
    assert_int_equal(put_one(two, other, 0, "x"), LS_OK);
    two->ops->stream_close(other);
    one->ops->stream_close(stream);
    close_store(one);
    close_store(two);
}

/* P11: what a later release says in the manifest's head, and this one may ignore, is still there when the manifest was
 * replaced. */
static void what_a_later_release_noted_stays(void **state)
{
    fixture *fx = *state;
    lsi_engine *engine = open_store(fx);
    lsi_catalog *catalog, *noted;

    assert_int_equal(create(engine, "a", 1), LS_OK);
    assert_int_equal(lsi_local_catalog_lock(lsi_local_of(engine), &catalog), LS_OK);
    assert_int_equal(lsi_catalog_copy(catalog, 0, NULL, &noted), LS_OK);
    noted->head.flags = 1u << 31 | 2;
    noted->head.generation++;
    lsi_control_manifest_changing(lsi_local_of(engine)->control);
    assert_int_equal(lsi_local_catalog_write(&engine->env, &lsi_local_of(engine)->root, noted), LS_OK);
    lsi_local_catalog_unlock(lsi_local_of(engine));
    lsi_catalog_unref(noted);
    lsi_catalog_unref(catalog);
    assert_int_equal(create(engine, "b", 1), LS_OK);
    assert_int_equal(engine->ops->remove(engine, "a"), LS_OK);
    assert_int_equal(lsi_local_catalog_lock(lsi_local_of(engine), &catalog), LS_OK);
    assert_true(catalog->head.flags == (1u << 31 | 2));
    lsi_local_catalog_unlock(lsi_local_of(engine));
    lsi_catalog_unref(catalog);
    close_store(engine);
}

/* ---- the payload ---- */

/* Goal: X1 behind the checksums. Method: encode a store with two streams, cut the payload at each byte and flip each
 * bit: it decodes to something that keeps the rules, or is CORRUPT or VERSION; no crash, no leak. */
static void a_payload_is_checked_whatever_it_holds(void **state)
{
    sim_memory counted = SIM_MEMORY_INIT;
    lsi_memory memory = sim_memory_table(&counted);
    lsi_catalog *catalog = lsi_catalog_new(&memory), *with, *both, *read;
    lsi_shard shards[2] = {{.index = 0, .parent = LSI_NO_SHARD, .adjacent_parent = LSI_NO_SHARD, .first_seqno = 1}};
    char tags[] = "a\0" "1\0" "b.longer\0";
    lsi_catalog_stream stream = {.name = "abc", .id = 3, .retention_hours = 24, .record_bytes_max = 1 << 20,
                                 .status = LS_STREAM_ACTIVE, .tags = {2, sizeof tags, tags}, .shard_count = 2,
                                 .shards = shards};
    unsigned char *payload;
    size_t size;

    (void)state;
    shards[1] = shards[0];
    shards[1].index = 1;
    shards[0].range = lsi_hash_range_of(0, 2);
    shards[1].range = lsi_hash_range_of(1, 2);
    catalog->durability = LS_DURABILITY_INTERVAL;
    catalog->sync_interval_ms = 100;
    catalog->segment_bytes = 64 << 10;
    catalog->next_id = 9;
    assert_int_equal(lsi_catalog_copy(catalog, 0, &stream, &with), LS_OK);
    strcpy(stream.name, "ab.longer-than-eight");
    stream.id = 8;
    assert_int_equal(lsi_catalog_copy(with, 0, &stream, &both), LS_OK);
    assert_int_equal(lsi_catalog_encode(both, (void **)&payload, &size), LS_OK);
    assert_int_equal(lsi_catalog_decode(&memory, payload, size, &read), LS_OK);
    assert_int_equal(read->stream_count, 2);
    assert_string_equal(read->streams[0].name, "ab.longer-than-eight");
    assert_int_equal(lsi_catalog_find(read, "abc")->shards[1].index, 1);
    assert_int_equal(lsi_u128_compare(lsi_catalog_find(read, "abc")->shards[1].range.last, LSI_U128_MAX), 0);
    assert_int_equal(read->streams[0].tags.bytes, sizeof tags);
    assert_memory_equal(read->streams[0].tags.text, tags, sizeof tags);
    assert_int_equal(read->next_id, 9);
    assert_int_equal(read->durability, LS_DURABILITY_INTERVAL);
    lsi_catalog_unref(read);
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *shorter = malloc(cut + 1);

        memcpy(shorter + 1, payload, cut);
        assert_int_equal(lsi_catalog_decode(&memory, shorter + 1, cut, &read), LS_ERR_CORRUPT);
        free(shorter);
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        payload[bit / 8] = (unsigned char)(payload[bit / 8] ^ 1u << bit % 8);
        ls_status st = lsi_catalog_decode(&memory, payload, size, &read);

        if (st == LS_OK)
            lsi_catalog_unref(read);
        else
            assert_true(st == LS_ERR_CORRUPT || st == LS_ERR_VERSION);
        payload[bit / 8] = (unsigned char)(payload[bit / 8] ^ 1u << bit % 8);
    }
    lsi_free(&memory, payload);
    lsi_catalog_unref(both);
    lsi_catalog_unref(with);
    lsi_catalog_unref(catalog);
    assert_int_equal(counted.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_one_creates_and_deletes_the_others_see),
        CASE(another_ones_append_and_deletion_wake_a_waiting_reader),
        CASE(many_streams_come_and_go),
        CASE(a_read_only_open_reads_and_changes_nothing),
        CASE(an_id_is_never_given_twice),
        CASE(strays_are_removed_or_set_aside),
        CASE(a_deletion_whose_process_died_is_finished_by_others),
        CASE(what_a_later_release_noted_stays),
        CASE(a_payload_is_checked_whatever_it_holds),
    };

    return cmocka_run_group_tests_name("the local engine: catalog", tests, NULL, NULL);
}
