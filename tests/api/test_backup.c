/* ls_store_backup: a copy of a store in use. What failures leave is in tests/engine/test_backup.c. */
#include "api/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *target(fixture *fx)
{
    return temp_path(&fx->temp, "copy");
}

/* The records of `stream` in the store at `path`, which say 0, 1, 2 ... in this order. */
static uint64_t count_in(const char *path, const char *name)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_iterator *iterator = NULL;
    uint64_t count = 0;

    options.flags = LS_STORE_NO_CREATE | LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(path, &options, &store), LS_OK);
    assert_int_equal(ls_stream_open(store, name, &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, &(ls_position){.kind = LS_TRIM_HORIZON}, NULL, &iterator), LS_OK);
    for (;;) {
        const ls_batch *batch;

        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        if (ls_batch_count(batch) == 0)
            break;
        for (size_t i = 0; i < ls_batch_count(batch); i++, count++) {
            char want[32];

            snprintf(want, sizeof want, "%llu", (unsigned long long)count);
            assert_int_equal(ls_batch_records(batch)[i].data.size, strlen(want));
            assert_memory_equal(ls_batch_records(batch)[i].data.data, want, strlen(want));
        }
    }
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    return count;
}

static void put_number(ls_producer *producer, uint64_t number)
{
    char data[32];

    snprintf(data, sizeof data, "%llu", (unsigned long long)number);
    assert_int_equal(ls_producer_put(producer, text("k"), text(data), NULL, NULL), LS_OK);
}

static void put_numbers(ls_stream *stream, uint64_t from, uint64_t to)
{
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (uint64_t i = from; i < to; i++)
        put_number(producer, i);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

static void a_copy_is_a_store(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);

    put_numbers(stream, 0, 100);
    assert_int_equal(ls_store_backup(fx->store, target(fx), NULL), LS_OK);
    assert_int_equal(count_in(target(fx), "orders"), 100);
    put_numbers(stream, 100, 130);
    assert_int_equal(ls_store_backup(fx->store, target(fx), NULL), LS_OK);
    assert_int_equal(count_in(target(fx), "orders"), 130);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

typedef struct writer {
    ls_stream *stream;
    _Atomic uint64_t acknowledged;
    _Atomic uint64_t limit; /* it waits there, so that a fast one does not make copies that take for ever */
    atomic_bool stop;
} writer;

static void *write_on(void *user)
{
    writer *w = user;
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(w->stream, NULL, &producer), LS_OK);
    for (uint64_t i = 0; !atomic_load(&w->stop); i++) {
        while (i >= atomic_load(&w->limit) && !atomic_load(&w->stop))
            sched_yield();
        put_number(producer, i);
        atomic_store(&w->acknowledged, i + 1);
    }
    assert_int_equal(ls_producer_close(producer), LS_OK);
    return NULL;
}

/* Goal: a copy contains everything acknowledged before it began. Method: 100 backups while a producer goes on, every
 * tenth into a new directory. */
static void backups_under_load_lack_nothing_acknowledged(void **state)
{
    fixture *fx = *state;
    writer w = {.stream = make_stream(fx, "orders", 1)};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    for (int i = 0; i < 100; i++) {
        char path[TEMP_PATH_BYTES * 2], name[16];
        uint64_t before;

        snprintf(name, sizeof name, "copy%d", i / 10);
        snprintf(path, sizeof path, "%s", temp_path(&fx->temp, name));
        before = atomic_load(&w.acknowledged);
        atomic_store(&w.limit, before + 200);
        assert_int_equal(ls_store_backup(fx->store, path, NULL), LS_OK);
        assert_true(count_in(path, "orders") >= before);
    }
    atomic_store(&w.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(ls_stream_close(w.stream), LS_OK);
}

static void streams_that_were_deleted_leave_the_copy(void **state)
{
    fixture *fx = *state;
    ls_store *copy = NULL;
    ls_stream *stream = NULL;

    assert_int_equal(ls_stream_close(make_stream(fx, "gone", 2)), LS_OK);
    assert_int_equal(ls_stream_close(make_stream(fx, "kept", 1)), LS_OK);
    assert_int_equal(ls_store_backup(fx->store, target(fx), NULL), LS_OK);
    assert_int_equal(ls_stream_delete(fx->store, "gone"), LS_OK);
    assert_int_equal(ls_stream_close(make_stream(fx, "new", 1)), LS_OK);
    assert_int_equal(ls_store_backup(fx->store, target(fx), NULL), LS_OK);
    assert_int_equal(access(temp_path(&fx->temp, "copy/1"), F_OK), -1);
    assert_int_equal(ls_store_open(target(fx), NULL, &copy), LS_OK);
    assert_int_equal(ls_stream_open(copy, "gone", &stream), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_open(copy, "new", &stream), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(copy), LS_OK);
}

static ls_status delete_next(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    ls_store **other = user;

    (void)done_bytes;
    (void)total_bytes;
    if (*other == NULL)
        return LS_OK;
    assert_int_equal(ls_stream_delete(*other, "second"), LS_OK);
    assert_int_equal(ls_store_close(*other), LS_OK);
    *other = NULL;
    return LS_OK;
}

/* Method: by another handle, as another process would, between the copies of two streams that this one has looked
 * into. */
static void a_stream_that_another_process_deletes_meanwhile_is_left_out(void **state)
{
    fixture *fx = *state;
    ls_backup_options options = LS_BACKUP_OPTIONS_INIT;
    ls_store *other = NULL, *copy = NULL;
    ls_stream *stream;

    if (in_memory)
        return; /* Nobody else has it. */
    stream = make_stream(fx, "first", 1);
    put_numbers(stream, 0, 10);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_close(make_stream(fx, "second", 1)), LS_OK);
    assert_int_equal(ls_store_open(fx->location, NULL, &other), LS_OK);
    options.progress = delete_next;
    options.user = &other;
    assert_int_equal(ls_store_backup(fx->store, target(fx), &options), LS_OK);
    assert_null(other);
    assert_int_equal(count_in(target(fx), "first"), 10);
    assert_int_equal(ls_store_open(target(fx), NULL, &copy), LS_OK);
    assert_int_equal(ls_stream_open(copy, "second", &stream), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_store_close(copy), LS_OK);
}

static void what_is_not_ours_is_left_alone(void **state)
{
    fixture *fx = *state;
    ls_store *other = NULL;
    int fd;

    assert_int_equal(mkdir(temp_path(&fx->temp, "files"), 0700), 0);
    fd = open(temp_path(&fx->temp, "files/letter"), O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(ls_store_backup(fx->store, temp_path(&fx->temp, "files"), NULL), LS_ERR_EXISTS);
    assert_true(says("letter"));

    assert_int_equal(ls_store_open(temp_path(&fx->temp, "other"), NULL, &other), LS_OK);
    assert_int_equal(ls_store_close(other), LS_OK);
    assert_int_equal(ls_store_backup(fx->store, temp_path(&fx->temp, "other"), NULL), LS_ERR_EXISTS);
    assert_true(says("another store"));

    assert_int_equal(ls_store_backup(fx->store, temp_path(&fx->temp, "no/such"), NULL), LS_ERR_NOT_FOUND);
    if (!in_memory) {
        assert_int_equal(ls_store_backup(fx->store, fx->location, NULL), LS_ERR_STATE);
        assert_true(says("open"));
    }
}

/* A store would take it for what a killed process left. */
static void a_place_within_the_store_is_refused_by_any_path(void **state)
{
    static const char *const within[] = {"/copy", "/copy/", "/./copy", "/1/../copy", "/1", "/1/copy"};
    fixture *fx = *state;
    char path[4096];

    if (in_memory)
        skip();
    ls_stream *stream = make_stream(fx, "orders", 1);
    put_numbers(stream, 0, 10);
    for (size_t i = 0; i < sizeof within / sizeof within[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", fx->location, within[i]);
        assert_int_equal(ls_store_backup(fx->store, path, NULL), LS_ERR_INVALID_ARGUMENT);
        assert_true(says("within the store"));
    }
    assert_int_equal(symlink(fx->location, temp_path(&fx->temp, "link")), 0);
    assert_int_equal(ls_store_backup(fx->store, temp_path(&fx->temp, "link/copy"), NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(mkdir(temp_path(&fx->temp, "aside"), 0700), 0);
    (void)snprintf(path, sizeof path, "%s/aside", fx->location);
    assert_int_equal(symlink(temp_path(&fx->temp, "aside"), path), 0);
    assert_int_equal(ls_store_backup(fx->store, path, NULL), LS_OK); /* It only begins there. */
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/copy", fx->location);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Goal: two histories are never mixed. Method: write to the copy, then back up into it again. */
static void a_copy_that_was_written_to_is_refused(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1), *copied = NULL;
    ls_store *copy = NULL;

    put_numbers(stream, 0, 10);
    assert_int_equal(ls_store_backup(fx->store, target(fx), NULL), LS_OK);
    assert_int_equal(ls_store_open(target(fx), NULL, &copy), LS_OK);
    assert_int_equal(ls_stream_open(copy, "orders", &copied), LS_OK);
    assert_int_equal(ls_store_backup(fx->store, target(fx), NULL), LS_ERR_STATE);
    put_numbers(copied, 10, 11);
    assert_int_equal(ls_stream_close(copied), LS_OK);
    assert_int_equal(ls_store_close(copy), LS_OK);
    put_numbers(stream, 10, 20);
    assert_int_equal(ls_store_backup(fx->store, target(fx), NULL), LS_ERR_STATE);
    assert_true(says("wrote"));
    assert_int_equal(count_in(target(fx), "orders"), 11);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

typedef void (*change)(ls_store *copy, ls_stream *orders);

static void make_another(ls_store *copy, ls_stream *orders)
{
    ls_stream *other = NULL;

    (void)orders;
    assert_int_equal(ls_stream_create(copy, "own", NULL), LS_OK);
    assert_int_equal(ls_stream_open(copy, "own", &other), LS_OK);
    put_numbers(other, 0, 3);
    assert_int_equal(ls_stream_close(other), LS_OK);
}

static void split_it(ls_store *copy, ls_stream *orders)
{
    (void)copy;
    assert_int_equal(ls_stream_split(orders, 0, NULL, NULL, NULL), LS_OK);
    put_numbers(orders, 10, 13);
}

static void group_it(ls_store *copy, ls_stream *orders)
{
    ls_group *group = NULL;

    (void)copy;
    assert_int_equal(ls_group_open(orders, "readers", NULL, &group), LS_OK);
    assert_int_equal(ls_group_close(group), LS_OK);
}

static size_t streams_of(ls_store *store)
{
    ls_stream_list *list = NULL;
    size_t count;

    assert_int_equal(ls_store_list_streams(store, NULL, 0, &list), LS_OK);
    count = ls_stream_list_count(list);
    ls_stream_list_free(list);
    return count;
}

/* The same where no segment says so, since this store has none in that place: what is only there would be removed. */
static void a_copy_with_a_history_of_its_own_is_refused(void **state)
{
    static const change changes[] = {make_another, split_it, group_it};
    static const char *const copies[] = {"copy-0", "copy-1", "copy-2"};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);

    put_numbers(stream, 0, 10);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        ls_stream *copied = NULL;
        ls_store *copy = NULL;
        char path[TEMP_PATH_BYTES * 2];

        (void)snprintf(path, sizeof path, "%s", temp_path(&fx->temp, copies[i]));
        for (int pass = 0; pass < 2; pass++) { /* Opened and put to rights it is a copy still. */
            assert_int_equal(ls_store_backup(fx->store, path, NULL), LS_OK);
            assert_int_equal(ls_store_open(path, NULL, &copy), LS_OK);
            assert_int_equal(ls_stream_open(copy, "orders", &copied), LS_OK);
            assert_int_equal(ls_store_maintain(copy, -1), LS_OK);
            if (pass == 1)
                changes[i](copy, copied);
            assert_int_equal(ls_stream_close(copied), LS_OK);
            assert_int_equal(ls_store_close(copy), LS_OK);
        }
        for (int later = 0; later < 2; later++) {
            assert_int_equal(ls_store_backup(fx->store, path, NULL), LS_ERR_STATE);
            assert_true(says("wrote"));
            if (i == 0 && later == 0) /* not even when this store has one of that id and name by now */
                assert_int_equal(ls_stream_create(fx->store, "own", NULL), LS_OK);
        }
        assert_int_equal(ls_store_open(path, NULL, &copy), LS_OK);
        assert_int_equal(streams_of(copy), 2); /* its own, or that of the store */
        assert_int_equal(ls_store_close(copy), LS_OK);
        if (i == 0)
            assert_int_equal(count_in(path, "own"), 3);
    }
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* Goal: damage never takes the place of a good copy. Method: one byte of the source is changed, of a record. */
static void damage_is_reported_and_the_earlier_copy_stays(void **state)
{
    fixture *fx = *state;
    ls_stream *stream;
    unsigned char byte;
    int fd;

    if (in_memory)
        return;
    stream = make_stream(fx, "orders", 1);
    put_numbers(stream, 0, 10);
    assert_int_equal(ls_store_backup(fx->store, target(fx), NULL), LS_OK);
    put_numbers(stream, 10, 20);
    fd = open(temp_path(&fx->temp, "store/1/0/00000001.seg"), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, 4096 + 60), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 4096 + 60), 1);
    close(fd);
    assert_int_equal(ls_store_backup(fx->store, target(fx), NULL), LS_ERR_CORRUPT);
    assert_true(says("orders") && says("00000001"));
    assert_int_equal(count_in(target(fx), "orders"), 10);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static ls_status stop_at_once(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    ++*(int *)user;
    assert_true(done_bytes > 0 && total_bytes >= done_bytes);
    return LS_ERR_CANCELLED;
}

static void progress_may_cancel(void **state)
{
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, "orders", 1);
    ls_backup_options options = LS_BACKUP_OPTIONS_INIT;
    int calls = 0;

    put_numbers(stream, 0, 10);
    options.progress = stop_at_once;
    options.user = &calls;
    assert_int_equal(ls_store_backup(fx->store, target(fx), &options), LS_ERR_CANCELLED);
    assert_int_equal(calls, 1);
    assert_int_equal(ls_store_backup(fx->store, target(fx), NULL), LS_OK);
    assert_int_equal(count_in(target(fx), "orders"), 10);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

typedef struct rival {
    ls_store *store;
    const char *target;
    ls_status status;
    pid_t child;
} rival;

/* Makes something that the backup which is under way has not seen, and wants it copied. */
static ls_status back_up_too(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    rival *of = user;

    (void)done_bytes;
    (void)total_bytes;
    if (of->child != 0)
        return LS_OK;
    assert_int_equal(ls_stream_create(of->store, "later", NULL), LS_OK);
    of->status = ls_store_backup(of->store, of->target, NULL);
    of->child = fork();
    if (of->child == 0) {
        (void)alarm(20);
        for (;;)
            (void)pause();
    }
    return LS_OK;
}

/* Of two at once the one that began earlier put its manifest in place last, without what the other had told of. A fork
 * child that lives on holds nobody up afterwards. */
static void two_backups_at_once_are_one(void **state)
{
    fixture *fx = *state;
    char path[TEMP_PATH_BYTES * 2];
    rival of = {fx->store, path, LS_OK, 0};
    ls_backup_options options = LS_BACKUP_OPTIONS_INIT;
    ls_stream *stream = make_stream(fx, "orders", 1);

    (void)snprintf(path, sizeof path, "%s", target(fx));
    put_numbers(stream, 0, 100);
    options.progress = back_up_too;
    options.user = &of;
    assert_int_equal(ls_store_backup(fx->store, of.target, &options), LS_OK);
    assert_int_equal(of.status, LS_ERR_STATE);
    assert_int_equal(count_in(of.target, "orders"), 100);
    assert_int_equal(ls_store_backup(fx->store, of.target, NULL), LS_OK);
    assert_int_equal(count_in(of.target, "later"), 0);
    assert_int_equal(kill(of.child, SIGKILL), 0);
    assert_int_equal(waitpid(of.child, NULL, 0), of.child);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void arguments_are_checked(void **state)
{
    fixture *fx = *state;
    ls_backup_options options = LS_BACKUP_OPTIONS_INIT;

    assert_int_equal(ls_store_backup(NULL, "x", NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_store_backup(fx->store, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_store_backup(fx->store, "", NULL), LS_ERR_INVALID_ARGUMENT);
    options.reserved = 1;
    assert_int_equal(ls_store_backup(fx->store, target(fx), &options), LS_ERR_INVALID_ARGUMENT);
    options.size = 1;
    assert_int_equal(ls_store_backup(fx->store, target(fx), &options), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(access(target(fx), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_copy_is_a_store),
        TEST(backups_under_load_lack_nothing_acknowledged),
        TEST(streams_that_were_deleted_leave_the_copy),
        TEST(a_stream_that_another_process_deletes_meanwhile_is_left_out),
        TEST(what_is_not_ours_is_left_alone),
        TEST(a_place_within_the_store_is_refused_by_any_path),
        TEST(a_copy_that_was_written_to_is_refused),
        TEST(a_copy_with_a_history_of_its_own_is_refused),
        TEST(damage_is_reported_and_the_earlier_copy_stays),
        TEST(progress_may_cancel),
        TEST(two_backups_at_once_are_one),
        TEST(arguments_are_checked),
    };
    run_everywhere("a copy of a store", tests);
}
