/* delivery.h: what ends a run or holds it back, and what is refused: a store for reading, keys of a transform, so many
 * shards at once, so many deliveries, records that retention took, progress that is stored before anything is waited
 * for, and that what was begun is made again as it was. */
#include "api/delivery_acting.h"

/* ---- refusals ---- */

static void a_store_for_reading_shows_deliveries_and_changes_none(void **state)
{
    fixture *fx = *state;
    ls_store_options for_reading = LS_STORE_OPTIONS_INIT;
    ls_delivery_options options = to_directory(fx);
    ls_stream *stream = make_stream(fx, STREAM, 1), *theirs = NULL;
    ls_delivery_description *description = NULL;
    ls_delivery_list *page = NULL;
    ls_delivery *delivery = NULL;
    ls_store *reader = NULL;

    make_delivery(stream, &options);
    if (in_memory) { /* Nobody else can open it. */
        assert_int_equal(ls_stream_close(stream), LS_OK);
        return;
    }
    for_reading.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->location, &for_reading, &reader), LS_OK);
    assert_int_equal(ls_stream_open(reader, STREAM, &theirs), LS_OK);
    assert_int_equal(ls_delivery_describe(theirs, NAME, &description), LS_OK);
    assert_int_equal(ls_stream_list_deliveries(theirs, NULL, 0, &page), LS_OK);
    assert_int_equal(ls_delivery_list_count(page), 1);
    assert_int_equal(ls_delivery_create(theirs, "other", &horizon, &options), LS_ERR_READ_ONLY);
    assert_int_equal(ls_delivery_update(theirs, NAME, LS_DELIVERY_ANY_VERSION, &options), LS_ERR_READ_ONLY);
    assert_int_equal(ls_delivery_delete(theirs, NAME), LS_ERR_READ_ONLY);
    assert_int_equal(ls_delivery_open(theirs, NAME, &delivery), LS_ERR_READ_ONLY);
    ls_delivery_list_free(page);
    ls_delivery_description_free(description);
    assert_int_equal(ls_stream_close(theirs), LS_OK);
    assert_int_equal(ls_store_close(reader), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_transform_answer give_keys(ls_transform *batch, void *user)
{
    char key[16];

    (void)user;
    assert_int_equal(ls_transform_set_key(batch, 0, "", text("x")), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_transform_set_key(batch, ls_transform_count(batch), "k", text("x")), LS_ERR_INVALID_ARGUMENT);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(ls_transform_set_key(batch, 0, key, text("early")), LS_OK);
    }
    assert_int_equal(ls_transform_set_key(batch, 0, "k50", text("x")), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_transform_set_key(batch, 0, "k49", text("late")), LS_OK); /* It has that one. */
    assert_int_equal(ls_transform_keep(batch, 0), LS_OK);
    return LS_TRANSFORM_DONE;
}

static void a_transform_gives_a_record_50_keys(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);

    options.flags |= LS_DELIVERY_TRANSFORM | LS_DELIVERY_PARTITION;
    options.prefix = "!{partitionKeyFromLambda:k0}/!{partitionKeyFromLambda:k49}/";
    options.error_prefix = "bad/!{firehose:error-output-type}/";
    make_delivery(stream, &options);
    put_text(stream, "k", "x");
    run.transform = give_keys;
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 1);
    assert_memory_equal(of->all[0].name, "early/late/", 11);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_stream_has_so_many_deliveries(void **state)
{
    ls_stream *stream;
    ls_delivery_options options = to_callback();
    char name[16];

    if (!in_memory) /* 4,096 changes that are durable each. */
        return;
    stream = make_stream(*state, STREAM, 1);
    for (int i = 0; i < 4096; i++) {
        snprintf(name, sizeof name, "d%d", i);
        assert_int_equal(ls_delivery_create(stream, name, &horizon, &options), LS_OK);
    }
    assert_int_equal(ls_delivery_create(stream, "one-more", &horizon, &options), LS_ERR_STATE);
    assert_int_equal(ls_delivery_delete(stream, "d17"), LS_OK);
    assert_int_equal(ls_delivery_create(stream, "one-more", &horizon, &options), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- so many shards at once ---- */

/* Goal: a run that may have one shard only delivers all of them, one after another, and ends. */
static void a_run_of_few_shards_catches_up_with_all(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 3);
    ls_delivery_options options = to_directory(fx);
    ls_delivery_run_options how = until_caught_up();
    running run = {.st = LS_OK};

    make_delivery(stream, &options);
    put_numbers(stream, 0, 60, 20);
    how.shards_max = 1;
    begin_run(&run, stream, &how);
    (void)nanosleep(&(struct timespec){0, 100000000}, NULL); /* Without the flag (begin_run) it goes on. */
    assert_int_equal(ls_delivery_wait(run.delivery, 0), LS_ERR_BUSY);
    assert_int_equal(end_run(&run), LS_OK);
    run.options = how;
    assert_int_equal(ls_delivery_open(stream, NAME, &run.delivery), LS_OK);
    assert_int_equal(pthread_create(&run.thread, NULL, run_on_thread, &run), 0);
    for (int i = 0; i < 3000 && (i < 10 || ls_delivery_wait(run.delivery, 0) == LS_ERR_BUSY); i++)
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
    assert_int_equal(ls_delivery_wait(run.delivery, 0), LS_OK); /* by itself */
    assert_int_equal(end_run(&run), LS_OK);
    assert_once(fx, 60);
    put_numbers(stream, 60, 90, 20); /* Another run begins where that one ended. */
    assert_int_equal(run_with(stream, &how), LS_OK);
    assert_once(fx, 90);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- what is stored before anything is waited for ---- */

typedef struct looking {
    ls_stream *stream;
    ls_seqno done[3]; /* at each call: the lease's checkpoint */
    uint32_t calls;
} looking;

static ls_transform_answer look_at_the_lease(ls_transform *batch, void *user)
{
    looking *of = user;
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease_list *list = NULL;

    assert_int_equal(ls_stream_list_leases(of->stream, NAME, &list), LS_OK);
    assert_int_equal(ls_lease_list_at(list, 0, &info), LS_OK);
    ls_lease_list_free(list);
    assert_true(of->calls < 3);
    of->done[of->calls++] = info.state == LS_LEASE_BEGUN ? info.seqno : LS_SEQNO_NONE;
    assert_int_equal(ls_transform_keep(batch, 0), LS_OK);
    return LS_TRANSFORM_DONE;
}

/* A transform may take minutes: of a crash in it no object comes again that was there before. */
static void an_object_is_stored_as_done_before_the_next_call_of_a_transform(void **state)
{
    ls_stream *stream = make_stream(*state, STREAM, 1);
    ls_delivery_options options = to_callback();
    taker *of = make_taker();
    ls_delivery_run_options run = into(of);
    looking seen = {.stream = stream};

    options.flags |= LS_DELIVERY_TRANSFORM;
    options.buffer_bytes = 1; /* Each record is an object, */
    options.transform_records_max = 1; /* and a call. */
    make_delivery(stream, &options);
    put_numbers(stream, 0, 3, 1);
    run.transform = look_at_the_lease;
    run.transform_user = &seen;
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(of->count, 3);
    assert_int_equal(seen.calls, 3);
    assert_true(seen.done[0] == LS_SEQNO_NONE);
    assert_true(seen.done[1] == of->all[0].last_seqno);
    assert_true(seen.done[2] == of->all[1].last_seqno);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- retention ---- */

static _Atomic int64_t the_time;
static _Atomic uint32_t lines_about_it;

static int64_t tell_time(void *user)
{
    (void)user;
    return atomic_load(&the_time);
}

static void note_line(void *user, int32_t level, const char *line)
{
    (void)user;
    (void)level;
    if (strstr(line, "delivery '" NAME "' goes on behind records that it has not read") != NULL)
        atomic_fetch_add(&lines_about_it, 1);
}

static void what_retention_took_is_passed_over_and_logged(void **state)
{
    fixture *fx = *state;
    ls_store_options of_store = LS_STORE_OPTIONS_INIT;
    ls_delivery_options options = to_directory(fx);
    ls_stream *stream = NULL;
    ls_store *store = NULL;
    char path[TEMP_PATH_BYTES * 2];
    objects found;

    atomic_store(&the_time, INT64_C(1600000000000000));
    atomic_store(&lines_about_it, 0);
    of_store.clock = tell_time;
    of_store.log = note_line;
    snprintf(path, sizeof path, "%s", in_memory ? "memory:" : temp_path(&fx->temp, "clocked"));
    assert_int_equal(ls_store_open(path, &of_store, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, STREAM, NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, STREAM, &stream), LS_OK);
    make_delivery(stream, &options);
    put_text(stream, "k", "delivered");
    catch_up(stream);
    put_text(stream, "k", "too late");
    atomic_fetch_add(&the_time, INT64_C(30) * 3600 * 1000000);
    for (int i = 0; i < 3; i++) { /* What rests is set aside first, and goes when it is old itself. */
        assert_int_equal(ls_store_maintain(store, -1), LS_OK);
        atomic_fetch_add(&the_time, INT64_C(30) * 3600 * 1000000);
    }
    put_text(stream, "k", "in time");
    catch_up(stream);
    assert_int_equal(atomic_load(&lines_about_it), 1);
    found = delivered(fx);
    assert_int_equal(found.count, 2);
    assert_string_equal(found.all[0].bytes, "delivered\n");
    assert_string_equal(found.all[1].bytes, "in time\n");
    free_objects(&found);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* ---- what was begun before the run ended ---- */

/* Notes objects as they come, one of a name once; from the `bad`th on they are refused, though they are there: so it
 * looks when a run dies behind its destination's answer. */
typedef struct forgetful {
    taker *to;
    uint32_t bad;
} forgetful;

static const char *content_of(const ls_delivery_object *given, char copy[256])
{
    assert_true(given->content.size < 256);
    memcpy(copy, given->content.data, given->content.size);
    copy[given->content.size] = '\0';
    return copy;
}

static ls_status take_and_forget(const ls_delivery_object *given, void *user)
{
    forgetful *of = user;
    char copy[256];

    for (uint32_t i = 0; i < of->to->count; i++)
        if (strcmp(of->to->all[i].name, given->name) == 0) {
            assert_int_equal(of->to->all[i].record_count, given->record_count);
            if (given->kind == LS_DELIVERY_DATA)
                assert_string_equal(of->to->all[i].bytes, content_of(given, copy));
            return i + 1 < of->bad ? LS_OK : LS_ERR_IO;
        }
    assert_int_equal(take(given, of->to), LS_OK);
    return of->to->count < of->bad ? LS_OK : LS_ERR_IO;
}

static const char *const of_letters[] = {".c"}, *const of_digits[] = {".n"};

/* A B C A A, of which two letters may be filled at once. */
static void put_letters(ls_stream *stream)
{
    static const char letters[] = "abcaa";
    char data[32];

    for (uint32_t i = 0; i < 5; i++) {
        snprintf(data, sizeof data, "{\"c\":\"%c\",\"n\":%u}", letters[i], i);
        put_text(stream, "k", data);
    }
}

static uint64_t records_of(const taker *of)
{
    uint64_t records = 0;

    for (uint32_t i = 0; i < of->count; i++)
        records += of->all[i].record_count;
    return records;
}

/* A run ends behind object `bad`, before it has stored that this one is there; then another is made with `after`. */
static void end_behind(fixture *fx, uint32_t bad, const ls_delivery_options *before, const ls_delivery_options *after)
{
    ls_stream *stream = make_stream(fx, STREAM, 1);
    taker *of = make_taker();
    forgetful how = {.to = of, .bad = bad};
    ls_delivery_run_options run = into(of);

    make_delivery(stream, before);
    put_letters(stream);
    run.deliver = take_and_forget;
    run.deliver_user = &how;
    run.give_up_ms = 1;
    assert_int_equal(run_with(stream, &run), LS_ERR_IO);
    assert_int_equal(of->count, bad);
    if (after != before)
        assert_int_equal(ls_delivery_update(stream, NAME, 1, after), LS_OK);
    how.bad = UINT32_MAX;
    run.give_up_ms = 0;
    assert_int_equal(run_with(stream, &run), LS_OK);
    assert_int_equal(records_of(of), 5);
    free_taker(of);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, STREAM), LS_OK);
}

static void what_had_a_partition_or_none_stays_so_when_it_is_made_again(void **state)
{
    ls_delivery_options options = to_callback();

    partition_options(&options, the_keys, of_letters);
    options.partitions_max = 2;
    for (uint32_t bad = 1; bad <= 3; bad++)
        end_behind(*state, bad, &options, &options);
}

static void what_was_begun_is_made_again_under_other_settings(void **state)
{
    ls_delivery_options whole = to_callback(), letters = to_callback(), digits = to_callback();

    partition_options(&letters, the_keys, of_letters);
    letters.partitions_max = 2;
    partition_options(&digits, the_keys, of_digits);
    for (uint32_t bad = 1; bad <= 3; bad++)
        end_behind(*state, bad, &letters, &digits);
    end_behind(*state, 1, &whole, &letters);
    end_behind(*state, 1, &letters, &whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_store_for_reading_shows_deliveries_and_changes_none),
        TEST(a_transform_gives_a_record_50_keys),
        TEST(a_stream_has_so_many_deliveries),
        TEST(a_run_of_few_shards_catches_up_with_all),
        TEST(an_object_is_stored_as_done_before_the_next_call_of_a_transform),
        TEST(what_retention_took_is_passed_over_and_logged),
        TEST(what_had_a_partition_or_none_stays_so_when_it_is_made_again),
        TEST(what_was_begun_is_made_again_under_other_settings),
    };

    run_everywhere("rules of deliveries", tests);
}
