/* Registered consumers as consumer.h promises them: registering, listing, deleting, and every error; their handles. */
#include "api/consumer_support.h"

/* ---- registering ---- */

static void a_registered_consumer_is_described_and_stays(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info made = LS_CONSUMER_INFO_INIT, info = LS_CONSUMER_INFO_INIT;
    struct timespec now;

    assert_int_equal(ls_consumer_describe(stream, "reports", &info), LS_ERR_NOT_FOUND);
    assert_true(says("'reports'"));
    assert_int_equal(ls_consumer_register(stream, "reports", &made), LS_OK);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    assert_int_equal(ls_consumer_describe(stream, "reports", &info), LS_OK);
    assert_memory_equal(&info, &made, sizeof info);
    assert_string_equal(info.name, "reports");
    assert_int_equal(info.status, LS_CONSUMER_ACTIVE);
    assert_in_range(info.created_us / 1000000, now.tv_sec - 10, now.tv_sec);
    assert_int_equal(info.size, sizeof info);
    if (!in_memory) { /* Another handle, and one after all were closed. */
        ls_store *other = NULL;
        ls_stream *there = NULL;

        assert_int_equal(ls_store_open(fx->location, NULL, &other), LS_OK);
        assert_int_equal(ls_stream_open(other, STREAM, &there), LS_OK);
        assert_int_equal(ls_consumer_describe(there, "reports", &info), LS_OK);
        assert_memory_equal(&info, &made, sizeof info);
        assert_int_equal(ls_stream_close(there), LS_OK);
        assert_int_equal(ls_store_close(other), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(fx->store), LS_OK);
        assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
        assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
        assert_int_equal(ls_consumer_describe(stream, "reports", &info), LS_OK);
        assert_memory_equal(&info, &made, sizeof info);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void one_that_is_registered_anew_has_another_id(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1), *other = make_stream(fx, "other", 1);
    ls_consumer_info first = LS_CONSUMER_INFO_INIT, second = LS_CONSUMER_INFO_INIT, third = LS_CONSUMER_INFO_INIT;

    assert_int_equal(ls_consumer_register(stream, "a", &first), LS_OK);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_OK);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_ERR_NOT_FOUND);
    assert_true(says("'a'") && says(STREAM));
    assert_int_equal(ls_consumer_register(stream, "a", &second), LS_OK);
    assert_int_equal(ls_consumer_register(other, "a", &third), LS_OK); /* A name is of its stream. */
    assert_true(second.id > first.id && third.id > second.id);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_close(other), LS_OK);
}

static void names_and_numbers_of_consumers_have_their_limits(void **state)
{
    static const char *const bad[] = {"", "a b", "a/b", "\xc3\xa4", "a\n"};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    char name[140];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(ls_consumer_register(stream, bad[i], NULL), LS_ERR_INVALID_ARGUMENT);
    memset(name, 'x', sizeof name);
    name[129] = '\0';
    assert_int_equal(ls_consumer_register(stream, name, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("128"));
    name[128] = '\0';
    assert_int_equal(ls_consumer_register(stream, name, &info), LS_OK);
    assert_string_equal(info.name, name);
    assert_int_equal(ls_consumer_register(stream, name, NULL), LS_ERR_EXISTS);
    assert_int_equal(ls_consumer_register(stream, "aZ09_.-", NULL), LS_OK);
    assert_int_equal(ls_consumer_register(stream, "aZ09_.-", NULL), LS_ERR_EXISTS);
    assert_true(says("aZ09_.-") && says(STREAM));
    for (int i = 2; i < 20; i++) {
        snprintf(name, sizeof name, "c%d", i);
        assert_int_equal(ls_consumer_register(stream, name, NULL), LS_OK);
    }
    assert_int_equal(ls_consumer_register(stream, "more", NULL), LS_ERR_STATE);
    assert_true(says("20"));
    assert_int_equal(ls_consumer_register(stream, "c2", NULL), LS_ERR_EXISTS); /* also then */
    assert_int_equal(ls_consumer_deregister(stream, "c7"), LS_OK);
    assert_int_equal(ls_consumer_register(stream, "more", NULL), LS_OK);
    /* The size of what is to be filled is looked at before anything is done. */
    assert_int_equal(ls_consumer_deregister(stream, "more"), LS_OK);
    info.size = 0;
    assert_int_equal(ls_consumer_register(stream, "more", &info), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("INIT"));
    assert_int_equal(ls_consumer_describe(stream, "c2", &info), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_consumer_deregister(stream, "more"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void consumers_are_listed_by_name_in_pages(void **state)
{
    static const char *const names[] = {"b", "a", "c", "B", "a.b"};
    static const char *const sorted[] = {"B", "a", "a.b", "b", "c"};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer_list *list = NULL;
    char after[136] = "";
    uint32_t seen = 0;

    assert_int_equal(ls_stream_list_consumers(stream, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_consumer_list_count(list), 0);
    assert_int_equal(ls_consumer_list_has_more(list), 0);
    ls_consumer_list_free(list);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ls_consumer_register(stream, names[i], NULL), LS_OK);
    for (bool more = true; more;) {
        assert_int_equal(ls_stream_list_consumers(stream, after, 2, &list), LS_OK);
        for (uint32_t i = 0; i < ls_consumer_list_count(list); i++) {
            assert_int_equal(ls_consumer_list_at(list, i, &info), LS_OK);
            assert_string_equal(info.name, sorted[seen++]);
            strcpy(after, info.name);
        }
        more = ls_consumer_list_has_more(list) != 0;
        assert_int_equal(more, seen < 5);
        assert_int_equal(ls_consumer_list_at(list, 2, &info), LS_ERR_INVALID_ARGUMENT);
        info.size = 3;
        assert_int_equal(ls_consumer_list_at(list, 0, &info), LS_ERR_INVALID_ARGUMENT);
        info.size = sizeof info;
        ls_consumer_list_free(list);
    }
    assert_int_equal(seen, 5);
    assert_int_equal(ls_stream_list_consumers(stream, NULL, 10000, &list), LS_OK);
    assert_int_equal(ls_consumer_list_count(list), 5);
    ls_consumer_list_free(list);
    assert_int_equal(ls_stream_list_consumers(stream, NULL, 10001, &list), LS_ERR_INVALID_ARGUMENT);
    ls_consumer_list_free(NULL);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_stream_with_consumers_is_deleted_only_with_them(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer_list *list = NULL;

    assert_int_equal(ls_consumer_register(stream, "a", NULL), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, STREAM), LS_ERR_STATE);
    assert_true(says("1 registered consumer"));
    put_text(stream, "k", "0");
    assert_int_equal(ls_stream_delete_with_consumers(fx->store, STREAM), LS_OK);
    assert_int_equal(ls_consumer_describe(stream, "a", &info), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_consumer_register(stream, "b", NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_list_consumers(stream, NULL, 0, &list), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_delete_with_consumers(fx->store, STREAM), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    stream = make_stream(fx, STREAM, 1); /* The name again: without them. */
    assert_int_equal(ls_stream_list_consumers(stream, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_consumer_list_count(list), 0);
    ls_consumer_list_free(list);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_delete_with_consumers(fx->store, STREAM), LS_OK); /* also when there are none */
}

static void null_is_refused_by_name(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer_list *list = NULL;
    ls_consumer *consumer = make_consumer(stream, "a");

#define REFUSED(call, argument)                              \
    do {                                                     \
        assert_int_equal(call, LS_ERR_INVALID_ARGUMENT);     \
        assert_true(says("'" argument "'"));                 \
    } while (0)
    REFUSED(ls_consumer_register(NULL, "a", NULL), "stream");
    REFUSED(ls_consumer_register(stream, NULL, NULL), "name");
    REFUSED(ls_consumer_deregister(NULL, "a"), "stream");
    REFUSED(ls_consumer_deregister(stream, NULL), "name");
    REFUSED(ls_consumer_describe(NULL, "a", &info), "stream");
    REFUSED(ls_consumer_describe(stream, NULL, &info), "name");
    REFUSED(ls_consumer_describe(stream, "a", NULL), "out");
    REFUSED(ls_stream_list_consumers(NULL, NULL, 0, &list), "stream");
    REFUSED(ls_stream_list_consumers(stream, NULL, 0, NULL), "out");
    REFUSED(ls_stream_delete_with_consumers(NULL, "a"), "store");
    REFUSED(ls_stream_delete_with_consumers(fx->store, NULL), "name");
    REFUSED(ls_consumer_open(NULL, "a", &consumer), "stream");
    REFUSED(ls_consumer_open(stream, NULL, &consumer), "name");
    REFUSED(ls_consumer_open(stream, "a", NULL), "out");
    REFUSED(ls_consumer_subscribe(NULL, 0, NULL, NULL, take, NULL), "consumer");
    REFUSED(ls_consumer_subscribe(consumer, 0, NULL, NULL, NULL, NULL), "callback");
    REFUSED(ls_consumer_subscribe_all(NULL, NULL, NULL, take, NULL), "consumer");
    REFUSED(ls_consumer_subscribe_place(consumer, NULL, NULL, take, NULL), "place");
    REFUSED(ls_consumer_subscribe_place(NULL, "", NULL, take, NULL), "consumer");
    REFUSED(ls_batch_place(NULL, NULL, 0, NULL), "batch");
    REFUSED(ls_consumer_list_at(NULL, 0, &info), "list");
#undef REFUSED
    ls_consumer_cancel(NULL);
    assert_int_equal(ls_consumer_close(NULL), LS_OK);
    assert_int_equal(ls_consumer_list_count(NULL), 0);
    assert_int_equal(ls_consumer_list_has_more(NULL), 0);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* The states of Kinesis, when they are asked for. */
static void with_a_delay_a_consumer_is_creating_and_deleting(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    fixture *fx = *state;
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    ls_consumer *consumer;
    watch of;

    options.transition_ms = 3600000;
    assert_int_equal(ls_store_open(in_memory ? "memory:" : temp_path(&fx->temp, "delayed"), &options, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_consumer_register(stream, "a", &info), LS_OK);
    assert_int_equal(info.status, LS_CONSUMER_CREATING);
    consumer = open_consumer(stream, "a");
    watch_init(&of, consumer);
    assert_int_equal(watch_here(&of), LS_ERR_STATE);
    assert_non_null(strstr(of.message, "being created"));
    for (char name[] = "b"; *name < 'f'; ++*name)
        assert_int_equal(ls_consumer_register(stream, name, NULL), LS_OK);
    assert_int_equal(ls_consumer_register(stream, "f", NULL), LS_ERR_STATE);
    assert_true(says("5 consumers that are being created"));
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_OK);
    assert_int_equal(ls_consumer_describe(stream, "a", &info), LS_OK);
    assert_int_equal(info.status, LS_CONSUMER_DELETING);
    assert_int_equal(ls_consumer_deregister(stream, "a"), LS_ERR_STATE);
    assert_int_equal(ls_consumer_register(stream, "a", NULL), LS_ERR_EXISTS);
    assert_int_equal(watch_here(&of), LS_ERR_NOT_FOUND);
    assert_int_equal(of.batches, 0);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static void a_backup_has_the_consumers(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer_info made = LS_CONSUMER_INFO_INIT, info = LS_CONSUMER_INFO_INIT;
    char copy[TEMP_PATH_BYTES * 2];
    ls_store *store = NULL;

    snprintf(copy, sizeof copy, "%s", temp_path(&fx->temp, "copy"));
    assert_int_equal(ls_consumer_register(stream, "a", &made), LS_OK);
    assert_int_equal(ls_store_backup(fx->store, copy, NULL), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_open(copy, NULL, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_consumer_describe(stream, "a", &info), LS_OK);
    assert_memory_equal(&info, &made, sizeof info);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* ---- handles ---- */

typedef struct nested {
    ls_consumer *consumer;
    ls_stream *stream;
    ls_store *store;
    ls_status closed[3];
    ls_status registered;
} nested;

static ls_push_answer use_the_library(const ls_batch *batch, void *user)
{
    nested *of = user;

    (void)batch;
    of->closed[0] = ls_consumer_close(of->consumer);
    of->closed[1] = ls_stream_close(of->stream);
    of->closed[2] = ls_store_close(of->store);
    of->registered = ls_consumer_register(of->stream, "inside", NULL);
    ls_consumer_cancel(of->consumer);
    return LS_PUSH_DONE;
}

static void a_callback_may_call_everything_and_closing_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    ls_consumer *consumer = make_consumer(stream, "a");
    nested of = {.consumer = consumer, .stream = stream, .store = fx->store};
    watch late;

    put_numbers(stream, 0, 3);
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, NULL, use_the_library, &of), LS_ERR_CANCELLED);
    for (int i = 0; i < 3; i++)
        assert_int_equal(of.closed[i], LS_ERR_STATE);
    assert_int_equal(of.registered, LS_OK);
    /* A cancel stays, and other handles know nothing of it. */
    watch_init(&late, consumer);
    assert_int_equal(watch_here(&late), LS_ERR_CANCELLED);
    assert_int_equal(late.batches, 0);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    consumer = open_consumer(stream, "a");
    assert_int_equal(ls_stream_close(stream), LS_ERR_STATE); /* a handle is open */
    watch_init(&late, consumer);
    late.stop_after = 3;
    assert_int_equal(watch_here(&late), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static bool use_in_child(void *user)
{
    nested *of = user;
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    ls_consumer *consumer;
    ls_consumer_list *list;
    watch seen = {0};

    ls_consumer_cancel(of->consumer);
    return ls_consumer_register(of->stream, "b", NULL) == LS_ERR_STATE &&
        ls_consumer_deregister(of->stream, "a") == LS_ERR_STATE &&
        ls_consumer_describe(of->stream, "a", &info) == LS_ERR_STATE &&
        ls_stream_list_consumers(of->stream, NULL, 0, &list) == LS_ERR_STATE &&
        ls_consumer_open(of->stream, "a", &consumer) == LS_ERR_STATE &&
        ls_consumer_subscribe(of->consumer, 0, NULL, NULL, take, &seen) == LS_ERR_STATE &&
        ls_consumer_close(of->consumer) == LS_OK && seen.batches == 0;
}

static void a_fork_child_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 1);
    nested of = {.consumer = make_consumer(stream, "a"), .stream = stream, .store = fx->store};

    in_fork_child(use_in_child, &of);
    assert_int_equal(ls_consumer_close(of.consumer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_registered_consumer_is_described_and_stays),
        TEST(one_that_is_registered_anew_has_another_id),
        TEST(names_and_numbers_of_consumers_have_their_limits),
        TEST(consumers_are_listed_by_name_in_pages),
        TEST(a_stream_with_consumers_is_deleted_only_with_them),
        TEST(null_is_refused_by_name),
        TEST(with_a_delay_a_consumer_is_creating_and_deleting),
        TEST(a_backup_has_the_consumers),
        TEST(a_callback_may_call_everything_and_closing_is_refused),
        TEST(a_fork_child_is_refused),
    };

    run_everywhere("consumers", tests);
}
