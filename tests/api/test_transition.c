/* Kinesis's states of a stream (stream.h, `ls_stream_status`), when a store's `stream_transition_ms` asks for them.
 * Method: a clock of the test's own, so that a delay is over when the test says so, and, where the store is on disk, a
 * second handle without the option, which stands for another process. */
#include "api/support.h"

#include <pthread.h>

#define DELAY_MS 5000u
#define DELAY_US (INT64_C(1000) * DELAY_MS)
#define BEGIN INT64_C(1700000000000000)

static int64_t the_time;

static int64_t tell_time(void *user)
{
    return *(const int64_t *)user;
}

static ls_status give_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

/* `other`: as another process has the store open; the same handle where nobody else can. */
typedef struct handles {
    ls_store *store, *other;
} handles;

/* By `the_time`. */
static ls_store *open_with(const char *path, ls_store_options options)
{
    ls_store *store = NULL;

    options.clock = tell_time;
    options.clock_user = &the_time;
    assert_int_equal(ls_store_open(path, &options, &store), LS_OK);
    return store;
}

static ls_store *open_one(const char *path, uint32_t delay_ms)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.key_callback = give_key;
    options.stream_transition_ms = delay_ms;
    return open_with(path, options);
}

static handles open_both(fixture *fx)
{
    char path[TEMP_PATH_BYTES * 2];
    handles of;

    (void)snprintf(path, sizeof path, "%s", in_memory ? "memory:" : temp_path(&fx->temp, "delayed"));
    the_time = BEGIN;
    of.store = open_one(path, DELAY_MS);
    of.other = in_memory ? of.store : open_one(path, 0);
    return of;
}

static void close_both(handles *of)
{
    if (of->other != of->store)
        assert_int_equal(ls_store_close(of->other), LS_OK);
    assert_int_equal(ls_store_close(of->store), LS_OK);
}

static ls_stream *open_stream(ls_store *store, const char *name)
{
    ls_stream *stream = NULL;

    assert_int_equal(ls_stream_open(store, name, &stream), LS_OK);
    return stream;
}

/* What one of them shows of a stream; 0: it is not there. */
static ls_stream_status shown_by(ls_store *store, const char *name, uint32_t *shards)
{
    ls_stream_description *description = NULL;
    ls_stream_list *page = NULL;
    ls_stream_status status = 0;
    ls_stream *stream = NULL;
    ls_shard_list *list = NULL;
    ls_status st = ls_stream_open(store, name, &stream);
    bool is_listed = false;

    assert_int_equal(ls_store_list_streams(store, NULL, 0, &page), LS_OK);
    for (size_t i = 0; i < ls_stream_list_count(page); i++)
        is_listed = is_listed || strcmp(ls_stream_list_at(page, i), name) == 0;
    ls_stream_list_free(page);
    *shards = 0;
    if (st == LS_OK) {
        assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
        status = ls_stream_description_status(description);
        *shards = ls_stream_description_shard_count(description);
        ls_stream_description_free(description);
        assert_int_equal(ls_stream_list_shards(stream, NULL, &list), LS_OK);
        assert_int_equal(ls_shard_list_count(list), *shards);
        ls_shard_list_free(list);
        assert_int_equal(ls_stream_close(stream), LS_OK);
    } else {
        assert_int_equal(st, LS_ERR_NOT_FOUND);
    }
    assert_int_equal(is_listed, status != 0);
    return status;
}

/* What both show. */
static ls_stream_status shown(const handles *of, const char *name)
{
    uint32_t here, there;
    ls_stream_status status = shown_by(of->store, name, &here);

    assert_int_equal(shown_by(of->other, name, &there), status);
    assert_int_equal(there, here);
    assert_int_equal(here > 0, status == LS_STREAM_ACTIVE || status == LS_STREAM_UPDATING);
    return status;
}

/* Every change is refused. */
static void assert_unchangeable(ls_store *store, const char *name)
{
    const ls_tag tag = {"k", "v"};
    const char *key = "k";
    ls_auto_scaling scaling = LS_AUTO_SCALING_INIT;
    ls_stream *stream = open_stream(store, name);

    scaling.enabled = 1;
    assert_int_equal(ls_stream_increase_retention(stream, 48), LS_ERR_STATE);
    assert_true(says("it can be changed when it is ACTIVE"));
    assert_int_equal(ls_stream_decrease_retention(stream, 12), LS_ERR_STATE);
    assert_int_equal(ls_stream_set_retention_bytes(stream, 1 << 20), LS_ERR_STATE);
    assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_PROVISIONED), LS_ERR_STATE);
    assert_int_equal(ls_stream_set_record_bytes_max(stream, 2048), LS_ERR_STATE);
    assert_int_equal(ls_stream_set_limits(stream, NULL), LS_ERR_STATE);
    assert_int_equal(ls_stream_set_auto_scaling(stream, &scaling), LS_ERR_STATE);
    assert_int_equal(ls_stream_add_tags(stream, &tag, 1), LS_ERR_STATE);
    assert_int_equal(ls_stream_remove_tags(stream, &key, 1), LS_ERR_STATE);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_ERR_STATE);
    assert_int_equal(ls_stream_merge(stream, 0, 1, NULL), LS_ERR_STATE);
    assert_int_equal(ls_stream_update_shard_count(stream, 3, NULL), LS_ERR_STATE);
    assert_int_equal(ls_stream_start_encryption(store, name, "k"), LS_ERR_STATE);
    assert_int_equal(ls_stream_stop_encryption(store, name), LS_ERR_STATE);
    assert_int_equal(ls_stream_set_compression(store, name, LS_COMPRESSION_ZSTD), LS_ERR_STATE);
    assert_int_equal(ls_consumer_register(stream, "c", NULL), LS_ERR_STATE);
    assert_int_equal(ls_stream_create(store, name, NULL), LS_ERR_EXISTS);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Puts and iterators find no stream. */
static void assert_unusable(ls_store *store, const char *name, const char *word)
{
    ls_stream *stream = open_stream(store, name);
    ls_position latest = {LS_LATEST, 0, 0, 0};
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_ERR_NOT_FOUND);
    assert_true(says(word));
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_ERR_NOT_FOUND);
    assert_true(says(word));
    assert_int_equal(ls_iterator_open(stream, 0, &latest, NULL, &iterator), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_iterator_open_all(stream, NULL, NULL, &iterator), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_iterator_open_all(stream, &latest, NULL, &iterator), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_reset_shard(stream, 0), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void assert_usable(ls_store *store, const char *name)
{
    ls_stream *stream = open_stream(store, name);
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;

    assert_int_equal(ls_iterator_open_all(stream, &(ls_position){LS_LATEST, 0, 0, 0}, NULL, &iterator), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void create(ls_store *store, const char *name, uint32_t shard_count)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;

    options.shard_count = shard_count;
    assert_int_equal(ls_stream_create(store, name, &options), LS_OK);
}

static void create_active(const handles *of, const char *name, uint32_t shard_count)
{
    create(of->store, name, shard_count);
    the_time += DELAY_US;
    assert_int_equal(shown(of, name), LS_STREAM_ACTIVE);
}

/* ---- CREATING ---- */

static void a_created_stream_is_creating_until_its_time(void **state)
{
    handles of = open_both(*state);

    create(of.store, "s", 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(shown(&of, "s"), LS_STREAM_CREATING);
        assert_unchangeable(of.store, "s");
        assert_unchangeable(of.other, "s");
        assert_unusable(of.store, "s", "being created");
        assert_unusable(of.other, "s", "being created");
        the_time += DELAY_US - 1;
    }
    the_time -= DELAY_US - 2;
    assert_int_equal(shown(&of, "s"), LS_STREAM_ACTIVE);
    assert_usable(of.store, "s");
    assert_usable(of.other, "s");
    close_both(&of);
}

static void no_more_than_five_are_creating(void **state)
{
    handles of = open_both(*state);
    char name[] = "a";

    for (; *name < 'f'; ++*name)
        create(of.store, name, 1);
    assert_int_equal(ls_stream_create(of.store, name, NULL), LS_ERR_STATE);
    assert_true(says("5 streams that are being created"));
    assert_int_equal(ls_stream_create(of.other, name, NULL), LS_ERR_STATE);
    assert_int_equal(shown(&of, name), 0);
    the_time += DELAY_US;
    create(of.store, name, 1);
    close_both(&of);
}

/* ---- UPDATING ---- */

/* It is UPDATING, for as long as was asked for; puts and reads go on, also by handles that were open. */
static void assert_updating(const handles *of)
{
    assert_int_equal(shown(of, "s"), LS_STREAM_UPDATING);
    assert_unchangeable(of->store, "s");
    assert_unchangeable(of->other, "s");
    assert_usable(of->store, "s");
    assert_usable(of->other, "s");
    the_time += DELAY_US - 1;
    assert_int_equal(shown(of, "s"), LS_STREAM_UPDATING);
    the_time += 1;
    assert_int_equal(shown(of, "s"), LS_STREAM_ACTIVE);
}

static void changes_of_shards_mode_and_encryption_leave_it_updating(void **state)
{
    handles of = open_both(*state);
    ls_stream *stream;
    ls_producer *producer = NULL;
    uint32_t shards;

    create_active(&of, "s", 2);
    stream = open_stream(of.store, "s");
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, NULL), LS_OK);
    assert_updating(&of);
    assert_int_equal(ls_stream_merge(stream, 2, 3, NULL), LS_OK);
    assert_int_equal(ls_stream_update_shard_count(stream, 2, NULL), LS_ERR_STATE); /* which there are already */
    assert_updating(&of);
    assert_int_equal(ls_stream_update_shard_count(stream, 2, NULL), LS_OK);
    assert_int_equal(shown(&of, "s"), LS_STREAM_ACTIVE);
    /* Several durable steps, of which each but the last leaves it UPDATING for the next. */
    assert_int_equal(ls_stream_update_shard_count(stream, 40, NULL), LS_OK);
    (void)shown_by(of.other, "s", &shards);
    assert_true(shards > 40);
    assert_updating(&of);
    assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_PROVISIONED), LS_OK);
    assert_int_equal(shown(&of, "s"), LS_STREAM_UPDATING);
    the_time += DELAY_US;
    assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_ON_DEMAND), LS_OK);
    assert_updating(&of);
    assert_int_equal(ls_stream_start_encryption(of.store, "s", "a"), LS_OK);
    assert_updating(&of);
    assert_int_equal(ls_stream_start_encryption(of.store, "s", "b"), LS_OK);
    assert_updating(&of);
    assert_int_equal(ls_stream_stop_encryption(of.store, "s"), LS_OK);
    assert_updating(&of);
    assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    close_both(&of);
}

static void other_changes_and_none_leave_it_active(void **state)
{
    handles of = open_both(*state);
    const ls_tag tag = {"k", "v"};
    ls_stream *stream;

    create_active(&of, "s", 1);
    stream = open_stream(of.store, "s");
    assert_int_equal(ls_stream_increase_retention(stream, 48), LS_OK);
    assert_int_equal(ls_stream_add_tags(stream, &tag, 1), LS_OK);
    assert_int_equal(ls_stream_set_record_bytes_max(stream, 2048), LS_OK);
    assert_int_equal(ls_stream_set_limits(stream, NULL), LS_OK);
    assert_int_equal(ls_stream_set_compression(of.store, "s", LS_COMPRESSION_ZSTD), LS_OK);
    assert_int_equal(ls_consumer_register(stream, "c", NULL), LS_OK);
    assert_int_equal(ls_stream_set_mode(stream, LS_STREAM_ON_DEMAND), LS_OK);
    assert_int_equal(ls_stream_stop_encryption(of.store, "s"), LS_OK);
    assert_int_equal(ls_stream_update_shard_count(stream, 1, NULL), LS_OK);
    assert_int_equal(shown(&of, "s"), LS_STREAM_ACTIVE);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(shown(&of, "s"), LS_STREAM_UPDATING);
    assert_int_equal(ls_consumer_deregister(stream, "c"), LS_OK); /* as Kinesis, which does not refuse it */
    assert_int_equal(ls_stream_close(stream), LS_OK);
    close_both(&of);
}

static void without_the_option_changes_are_instant(void **state)
{
    handles of = open_both(*state);
    ls_stream *stream;

    if (in_memory) { /* A store of its own, then. */
        close_both(&of);
        of.store = of.other = open_one("memory:", 0);
    }
    create(of.other, "s", 1);
    assert_int_equal(shown(&of, "s"), LS_STREAM_ACTIVE);
    stream = open_stream(of.other, "s");
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(shown(&of, "s"), LS_STREAM_ACTIVE);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_delete(of.other, "s"), LS_OK);
    assert_int_equal(shown(&of, "s"), 0);
    close_both(&of);
}

/* ---- DELETING ---- */

typedef struct waiting {
    ls_iterator *iterator;
    ls_status status;
} waiting;

static void *wait_for_records(void *user)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch = NULL;
    waiting *of = user;

    options.timeout_ms = -1;
    of->status = ls_iterator_next(of->iterator, &options, &batch);
    return NULL;
}

static void a_deleted_stream_is_deleting_until_its_time(void **state)
{
    handles of = open_both(*state);
    ls_stream *mine, *others;
    ls_producer *producer = NULL, *unused = NULL;
    ls_iterator *reading = NULL;
    waiting one = {NULL, LS_OK}, all = {NULL, LS_OK};
    const ls_batch *batch = NULL;
    pthread_t threads[2];

    create_active(&of, "s", 2);
    mine = open_stream(of.store, "s");
    others = open_stream(of.other, "s");
    assert_int_equal(ls_producer_open(others, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_open(others, NULL, &unused), LS_OK); /* It has touched no shard. */
    assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_open_all(others, NULL, NULL, &reading), LS_OK);
    assert_int_equal(ls_iterator_open(others, 0, &(ls_position){LS_LATEST, 0, 0, 0}, NULL, &one.iterator), LS_OK);
    assert_int_equal(ls_iterator_open_all(mine, &(ls_position){LS_LATEST, 0, 0, 0}, NULL, &all.iterator), LS_OK);
    assert_int_equal(pthread_create(&threads[0], NULL, wait_for_records, &one), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, wait_for_records, &all), 0);
    usleep(20000); /* Most of the time they sleep by then; else they find it out at once. */

    assert_int_equal(ls_stream_delete(of.store, "s"), LS_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(one.status, LS_ERR_NOT_FOUND);
    assert_int_equal(all.status, LS_ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(shown(&of, "s"), LS_STREAM_DELETING);
        assert_int_equal(ls_iterator_next(reading, NULL, &batch), LS_ERR_NOT_FOUND);
        assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, NULL), LS_ERR_NOT_FOUND);
        assert_true(says("being deleted"));
        assert_int_equal(ls_producer_put(unused, text("k"), text("d"), NULL, NULL), LS_ERR_NOT_FOUND);
        assert_unusable(of.store, "s", "being deleted");
        assert_unusable(of.other, "s", "being deleted");
        assert_unchangeable(of.store, "s");
        assert_unchangeable(of.other, "s");
        assert_int_equal(ls_stream_delete(of.other, "s"), LS_ERR_STATE);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        the_time += DELAY_US - 1;
    }
    the_time -= DELAY_US - 2;

    assert_int_equal(shown(&of, "s"), 0); /* Nothing was written: it is what the time says. */
    assert_int_equal(ls_stream_delete(of.other, "s"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_iterator_next(reading, NULL, &batch), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, NULL), LS_ERR_NOT_FOUND);
    create(of.other, "s", 1); /* The name is free, and shows nothing of the old records. */
    the_time += DELAY_US;
    assert_int_equal(shown(&of, "s"), LS_STREAM_ACTIVE);
    assert_int_equal(ls_iterator_next(reading, NULL, &batch), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_producer_put(unused, text("k"), text("d"), NULL, NULL), LS_ERR_NOT_FOUND);
    assert_usable(of.other, "s");
    ls_iterator_close(reading);
    ls_iterator_close(one.iterator);
    ls_iterator_close(all.iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_producer_close(unused), LS_OK);
    assert_int_equal(ls_stream_close(mine), LS_OK);
    assert_int_equal(ls_stream_close(others), LS_OK);
    close_both(&of);
}

static void a_stream_can_be_deleted_in_any_other_state(void **state)
{
    handles of = open_both(*state);
    ls_stream *stream;

    create(of.store, "s", 1);
    assert_int_equal(ls_stream_delete(of.store, "s"), LS_OK);
    assert_int_equal(shown(&of, "s"), LS_STREAM_DELETING);
    the_time += DELAY_US;
    assert_int_equal(shown(&of, "s"), 0);
    create_active(&of, "s", 1);
    stream = open_stream(of.store, "s");
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(shown(&of, "s"), LS_STREAM_UPDATING);
    assert_int_equal(ls_stream_delete(of.store, "s"), LS_OK);
    assert_int_equal(shown(&of, "s"), LS_STREAM_DELETING);
    the_time += DELAY_US;
    assert_int_equal(shown(&of, "s"), 0);
    close_both(&of);
}

static ls_push_answer stop(const ls_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return LS_PUSH_STOP;
}

static void consumers_go_with_it(void **state)
{
    handles of = open_both(*state);
    ls_consumer *consumer = NULL;
    ls_stream *stream;

    create_active(&of, "s", 1);
    stream = open_stream(of.other, "s");
    assert_int_equal(ls_consumer_register(stream, "c", NULL), LS_OK);
    assert_int_equal(ls_consumer_open(stream, "c", &consumer), LS_OK);
    assert_int_equal(ls_stream_delete(of.store, "s"), LS_ERR_STATE);
    assert_int_equal(shown(&of, "s"), LS_STREAM_ACTIVE);
    assert_int_equal(ls_stream_delete_with_consumers(of.store, "s"), LS_OK);
    assert_int_equal(shown(&of, "s"), LS_STREAM_DELETING);
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, NULL, stop, NULL), LS_ERR_NOT_FOUND);
    the_time += DELAY_US;
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, NULL, stop, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    close_both(&of);
}

/* The manifest names a stream that is gone until somebody creates one or does the upkeep. */
static void shards_of_a_stream_that_is_gone_leave_room_for_others(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store;
    ls_stream *stream;

    (void)state;
    the_time = BEGIN;
    options.stream_transition_ms = DELAY_MS;
    options.shards_max = 2;
    store = open_with("memory:", options);
    assert_int_equal(ls_stream_create(store, "kept", NULL), LS_OK);
    assert_int_equal(ls_stream_create(store, "gone", NULL), LS_OK);
    the_time += DELAY_US;
    stream = open_stream(store, "kept");
    assert_int_equal(ls_stream_delete(store, "gone"), LS_OK);
    the_time += DELAY_US - 1;
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_ERR_STATE);
    assert_true(says("shards_max"));
    the_time++;
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    the_time += DELAY_US;
    assert_int_equal(ls_stream_split(stream, 1, NULL, NULL, NULL), LS_ERR_STATE);
    assert_true(says("2 open shards"));
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* A consumer whose time is over stays in the manifest until the stream's consumers are written the next time. */
static void a_stream_is_deleted_without_asking_once_its_consumers_are_gone(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_store *store;
    ls_stream *stream;

    (void)state;
    the_time = BEGIN;
    options.transition_ms = DELAY_MS;
    store = open_with("memory:", options);
    assert_int_equal(ls_stream_create(store, "orders", NULL), LS_OK);
    stream = open_stream(store, "orders");
    assert_int_equal(ls_consumer_register(stream, "reader", NULL), LS_OK);
    assert_int_equal(ls_stream_delete(store, "orders"), LS_ERR_STATE); /* CREATING */
    assert_int_equal(ls_consumer_deregister(stream, "reader"), LS_OK);
    the_time += DELAY_US - 1;
    assert_int_equal(ls_stream_delete(store, "orders"), LS_ERR_STATE); /* DELETING */
    assert_true(says("1 registered"));
    the_time++;
    assert_int_equal(ls_consumer_describe(stream, "reader", &info), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_delete(store, "orders"), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* A backup has what can be read, in the state that it is in. */
static void a_backup_leaves_out_what_is_deleting(void **state)
{
    fixture *fx = *state;
    handles of = open_both(fx);
    char copy[TEMP_PATH_BYTES * 2];
    uint32_t shards;
    ls_store *store;

    (void)snprintf(copy, sizeof copy, "%s", temp_path(&fx->temp, "copy"));
    create_active(&of, "gone", 1);
    assert_usable(of.store, "gone");
    assert_int_equal(ls_stream_delete(of.store, "gone"), LS_OK);
    create(of.store, "made", 1);
    assert_int_equal(ls_store_backup(of.store, copy, NULL), LS_OK);
    close_both(&of);
    store = open_one(copy, 0);
    assert_int_equal(shown_by(store, "gone", &shards), 0);
    assert_int_equal(shown_by(store, "made", &shards), LS_STREAM_CREATING);
    assert_int_equal(ls_store_close(store), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_created_stream_is_creating_until_its_time),
        TEST(no_more_than_five_are_creating),
        TEST(changes_of_shards_mode_and_encryption_leave_it_updating),
        TEST(other_changes_and_none_leave_it_active),
        TEST(without_the_option_changes_are_instant),
        TEST(a_deleted_stream_is_deleting_until_its_time),
        TEST(a_stream_can_be_deleted_in_any_other_state),
        TEST(consumers_go_with_it),
        TEST(shards_of_a_stream_that_is_gone_leave_room_for_others),
        TEST(a_stream_is_deleted_without_asking_once_its_consumers_are_gone),
        TEST(a_backup_leaves_out_what_is_deleting),
    };

    run_everywhere("states of a stream", tests);
}
