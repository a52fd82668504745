/* store.h: locations, options, what is kept, closing, listing, forks. */
#include "api/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "support/sim_memory.h"

/* ---- locations ---- */

static void what_is_no_location_is_refused(void **state)
{
    ls_store *store = NULL;

    (void)state;
    assert_int_equal(ls_store_open(NULL, NULL, &store), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("location"));
    assert_int_equal(ls_store_open("memory:", NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("out"));
    assert_int_equal(ls_store_open("", NULL, &store), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_store_open("file:", NULL, &store), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_store_open("memory:name", NULL, &store), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_store_open("kafka://broker/prefix", NULL, &store), LS_ERR_UNSUPPORTED);
    assert_true(says("kafka"));
    assert_null(store);
}

static bool has_stream(ls_store *store, const char *name)
{
    ls_stream *stream = NULL;
    ls_status st = ls_stream_open(store, name, &stream);

    assert_true(st == LS_OK || st == LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    return st == LS_OK;
}

/* A path and `file:` with it are one store. */
static void a_path_and_file_with_it_are_the_same(void **state)
{
    fixture *fx = *state;
    char location[TEMP_PATH_BYTES * 2 + 8];
    ls_store *other = NULL;

    if (in_memory)
        return;
    assert_int_equal(ls_stream_create(fx->store, "orders", NULL), LS_OK);
    snprintf(location, sizeof location, "file:%s", fx->location);
    assert_int_equal(ls_store_open(location, NULL, &other), LS_OK);
    assert_true(has_stream(other, "orders"));
    assert_int_equal(ls_store_close(other), LS_OK);
}

/* Each `memory:` is a store of its own, gone with its handle. */
static void stores_in_memory_are_private(void **state)
{
    fixture *fx = *state;
    ls_store *other = NULL;

    assert_int_equal(ls_stream_create(fx->store, "orders", NULL), LS_OK);
    assert_int_equal(ls_store_open("memory:", NULL, &other), LS_OK);
    assert_false(has_stream(other, "orders"));
    assert_int_equal(ls_store_close(other), LS_OK);
}

/* The directory is made, its parent is not; neither is anything with READ_ONLY or NO_CREATE. */
static void the_directory_is_made_when_it_may_be(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    char path[TEMP_PATH_BYTES * 2];
    struct stat about;
    ls_store *store = NULL;

    snprintf(path, sizeof path, "%s", temp_path(&fx->temp, "new"));
    options.flags = LS_STORE_NO_CREATE;
    assert_int_equal(ls_store_open(path, &options, &store), LS_ERR_NOT_FOUND);
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(path, &options, &store), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_store_open(temp_path(&fx->temp, "no/parent"), NULL, &store), LS_ERR_NOT_FOUND);
    assert_int_not_equal(stat(path, &about), 0);
    assert_null(store);
    assert_int_equal(ls_store_open(path, NULL, &store), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    options.flags = LS_STORE_NO_CREATE;
    assert_int_equal(ls_store_open(path, &options, &store), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    /* An empty directory is no store either. */
    assert_int_equal(mkdir(temp_path(&fx->temp, "empty"), 0700), 0);
    store = NULL;
    assert_int_equal(ls_store_open(temp_path(&fx->temp, "empty"), &options, &store), LS_ERR_NOT_FOUND);
}

/* ---- options ---- */

static void options_out_of_their_range_are_refused(void **state)
{
    ls_store_options options;
    ls_store *store = NULL;
    const ls_store_options init = LS_STORE_OPTIONS_INIT;

    (void)state;
#define REFUSED(set)                                                                           \
    do {                                                                                       \
        options = init;                                                                        \
        set;                                                                                   \
        assert_int_equal(ls_store_open("memory:", &options, &store), LS_ERR_INVALID_ARGUMENT); \
        assert_null(store);                                                                    \
    } while (0)
    REFUSED(options.size = 0);
    REFUSED(options.size = offsetof(ls_store_options, key_callback) - 1); /* shorter than any release had it */
    REFUSED(options.size = 1u << 20);
    REFUSED(options.flags = 1u << 31);
    REFUSED(options.flags = 1u << 20);
    REFUSED(options.durability = -1);
    REFUSED(options.durability = 4);
    REFUSED(options.sync_interval_ms = 60001);
    REFUSED(options.segment_bytes = (64u << 10) - 1);
    REFUSED(options.segment_bytes = (UINT64_C(1) << 30) + 1);
    REFUSED(options.reserved = 1);
    assert_non_null(strstr(ls_last_error_message(), "reserved is 1"));
#undef REFUSED
}

static void options_at_the_ends_of_their_ranges_are_taken(void **state)
{
    static const uint64_t segment_bytes[] = {64u << 10, UINT64_C(1) << 30, (UINT64_C(1) << 30) - 1};
    static const uint32_t intervals_ms[] = {1, 60000};
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    temp_dir temp;

    (void)state;
    for (size_t i = 0; i < sizeof segment_bytes / sizeof *segment_bytes; i++) {
        options.segment_bytes = segment_bytes[i];
        assert_int_equal(ls_store_open("memory:", &options, &store), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
    for (size_t i = 0; i < sizeof intervals_ms / sizeof *intervals_ms; i++) {
        options.durability = LS_DURABILITY_INTERVAL;
        options.sync_interval_ms = intervals_ms[i];
        assert_int_equal(ls_store_open("memory:", &options, &store), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
    /* Rounded up to 4 KiB: the same store for who asks for either. */
    options = (ls_store_options)LS_STORE_OPTIONS_INIT;
    temp_make(&temp);
    options.segment_bytes = (64u << 10) + 1;
    assert_int_equal(ls_store_open(temp_path(&temp, "store"), &options, &store), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    options.segment_bytes = 68u << 10;
    assert_int_equal(ls_store_open(temp_path(&temp, "store"), &options, &store), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    options.segment_bytes = 64u << 10;
    assert_int_equal(ls_store_open(temp_path(&temp, "store"), &options, &store), LS_ERR_STATE);
    temp_remove(&temp);
}

/* A newer caller's struct is longer: fine while it asks for nothing that is not known. */
static void options_of_a_newer_release_are_read(void **state)
{
    struct {
        ls_store_options known;
        uint64_t unknown;
    } newer = {LS_STORE_OPTIONS_INIT, 0};
    ls_store *store = NULL;

    (void)state;
    newer.known.size = sizeof newer;
    newer.known.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(ls_store_open("memory:", &newer.known, &store), LS_OK);
    assert_int_equal(ls_store_durability(store), LS_DURABILITY_KERNEL);
    assert_int_equal(ls_store_close(store), LS_OK);
    newer.unknown = 1;
    store = NULL;
    assert_int_equal(ls_store_open("memory:", &newer.known, &store), LS_ERR_UNSUPPORTED);
    assert_null(store);
}

/* SYNC for a new store, or what was asked; never DEFAULT. */
static void a_store_has_the_durability_it_was_made_with(void **state)
{
    fixture *fx = *state;

    assert_int_equal(ls_store_durability(fx->store), LS_DURABILITY_SYNC);
    for (ls_durability asked = LS_DURABILITY_KERNEL; asked <= LS_DURABILITY_SYNC; asked++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        ls_store *store = NULL;
        char name[24];

        options.durability = asked;
        snprintf(name, sizeof name, "mode-%d", asked);
        assert_int_equal(ls_store_open(in_memory ? "memory:" : temp_path(&fx->temp, name), &options, &store), LS_OK);
        assert_int_equal(ls_store_durability(store), asked);
        assert_int_equal(ls_store_close(store), LS_OK);
        if (in_memory)
            continue;
        assert_int_equal(ls_store_open(temp_path(&fx->temp, name), NULL, &store), LS_OK); /* and keeps it */
        assert_int_equal(ls_store_durability(store), asked);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
}

/* Another durability is had when nobody else has the store open, else it is refused and stays. */
static void another_durability_needs_the_store_alone(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *other = NULL;

    if (in_memory)
        return;
    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(ls_store_open(fx->location, &options, &other), LS_ERR_STATE);
    assert_null(other);
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    assert_int_equal(ls_store_open(fx->location, &options, &fx->store), LS_OK);
    assert_int_equal(ls_store_durability(fx->store), LS_DURABILITY_KERNEL);
    assert_int_equal(ls_store_open(fx->location, NULL, &other), LS_OK);
    assert_int_equal(ls_store_durability(other), LS_DURABILITY_KERNEL);
    assert_int_equal(ls_store_close(other), LS_OK);
}

/* The size of segments is the store's for good. */
static void another_segment_size_is_refused(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *other = NULL;

    if (in_memory)
        return;
    options.segment_bytes = 64u << 10;
    assert_int_equal(ls_store_open(fx->location, &options, &other), LS_ERR_STATE);
    assert_null(other);
    assert_int_equal(ls_store_open(temp_path(&fx->temp, "small"), &options, &other), LS_OK);
    assert_int_equal(ls_store_close(other), LS_OK);
    assert_int_equal(ls_store_open(temp_path(&fx->temp, "small"), &options, &other), LS_OK);
    assert_int_equal(ls_store_close(other), LS_OK);
}

/* Reading needs no more than reading: nothing can be changed, everything looked at. */
static void a_store_opened_for_reading_changes_nothing(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *reader = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_stream_description *description = NULL;

    if (in_memory)
        return;
    assert_int_equal(ls_stream_create(fx->store, "orders", NULL), LS_OK);
    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->location, &options, &reader), LS_OK);
    assert_int_equal(ls_stream_create(reader, "more", NULL), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_delete(reader, "orders"), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_open(reader, "orders", &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_reset_shard(stream, 0), LS_ERR_READ_ONLY);
    assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
    ls_stream_description_free(description);
    assert_int_equal(ls_store_sync(reader), LS_ERR_READ_ONLY);
    assert_int_equal(ls_store_maintain(reader, -1), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(reader), LS_OK);
    assert_null(producer);
}

/* A damaged manifest refuses to open and is never taken for an empty store. */
static void a_damaged_manifest_is_corrupt(void **state)
{
    fixture *fx = *state;
    char path[TEMP_PATH_BYTES * 2 + 16];
    ls_store *store = NULL;
    unsigned char byte;
    int fd;

    if (in_memory)
        return;
    assert_int_equal(ls_stream_create(fx->store, "orders", NULL), LS_OK);
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    fx->store = NULL;
    snprintf(path, sizeof path, "%s/manifest", fx->location);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, 40), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, 40), 1);
    assert_int_equal(ls_store_open(fx->location, NULL, &store), LS_ERR_CORRUPT);
    assert_null(store);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, 40), 1); /* nothing was changed: whole again */
    close(fd);
    assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
    assert_true(has_stream(fx->store, "orders"));
}

/* ---- memory ---- */

static void *resize(void *user, void *old, size_t bytes)
{
    lsi_memory memory = sim_memory_table(user);

    return memory.resize(memory.user, old, bytes);
}

/* Uses a bit of everything. */
static ls_status use_store(ls_store *store)
{
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;
    ls_stream_list *list = NULL;
    ls_stream_description *description = NULL;
    const ls_batch *batch;
    ls_status st = ls_stream_create(store, "orders", NULL);

    if (st == LS_OK || st == LS_ERR_EXISTS)
        st = ls_stream_open(store, "orders", &stream);
    if (st == LS_OK)
        st = ls_store_list_streams(store, NULL, 0, &list);
    if (st == LS_OK)
        st = ls_stream_describe(stream, &description);
    if (st == LS_OK)
        st = ls_producer_open(stream, NULL, &producer);
    if (st == LS_OK)
        st = ls_producer_put(producer, text("k"), text("d"), NULL, NULL);
    if (st == LS_OK)
        st = ls_iterator_open_all(stream, NULL, NULL, &iterator);
    if (st == LS_OK)
        st = ls_iterator_next(iterator, NULL, &batch);
    ls_iterator_close(iterator);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    ls_stream_description_free(description);
    ls_stream_list_free(list);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    return st;
}

/* Everything is allocated by the caller's callback and given back to it. */
static void the_callers_allocator_gets_everything_back(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    sim_memory memory = SIM_MEMORY_INIT;
    ls_store *store = NULL;

    options.resize = resize;
    options.resize_user = &memory;
    assert_int_equal(ls_store_open(in_memory ? "memory:" : temp_path(&fx->temp, "own"), &options, &store), LS_OK);
    assert_int_equal(use_store(store), LS_OK);
    assert_true(memory.calls > 10);
    assert_int_equal(ls_store_close(store), LS_OK);
    assert_int_equal(memory.live, 0);
}

/* Walks the failing allocation through a store's life: NO_MEMORY or success, no leak, and never damage. */
static void every_allocation_may_fail(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    bool succeeded = false;
    fixture *fx = *state;
    int failures = 0;

    options.resize = resize;
    for (uint64_t nth = 1; !succeeded; nth++) {
        sim_memory memory = SIM_MEMORY_INIT;
        ls_store *store = NULL;
        ls_status st;

        options.resize_user = &memory;
        sim_memory_fail(&memory, nth, false);
        st = ls_store_open(in_memory ? "memory:" : temp_path(&fx->temp, "walked"), &options, &store);
        if (st == LS_OK)
            st = use_store(store);
        succeeded = memory.failed == 0;
        if (st != LS_OK)
            assert_int_equal(st, LS_ERR_NO_MEMORY);
        failures += st != LS_OK;
        if (store != NULL && st != LS_OK)
            assert_int_equal(use_store(store), LS_OK); /* The same handle goes on. */
        assert_int_equal(ls_store_close(store), LS_OK);
        assert_int_equal(memory.live, 0);
    }
    assert_true(failures > 10);
}

/* ---- closing ---- */

static void a_store_does_not_close_over_open_streams(void **state)
{
    fixture *fx = *state;
    ls_stream *first = make_stream(fx, "orders", 1), *second = NULL;

    assert_int_equal(ls_stream_open(fx->store, "orders", &second), LS_OK);
    assert_int_equal(ls_store_close(fx->store), LS_ERR_STATE);
    assert_true(says("2 streams"));
    assert_int_equal(ls_stream_close(first), LS_OK);
    assert_int_equal(ls_store_close(fx->store), LS_ERR_STATE);
    assert_int_equal(ls_store_sync(fx->store), LS_OK); /* it lives on */
    assert_int_equal(ls_stream_close(second), LS_OK);
}

static void closing_and_freeing_nothing_is_fine(void **state)
{
    (void)state;
    assert_int_equal(ls_store_close(NULL), LS_OK);
    assert_int_equal(ls_stream_close(NULL), LS_OK);
    assert_int_equal(ls_producer_close(NULL), LS_OK);
    ls_iterator_close(NULL);
    ls_stream_list_free(NULL);
    ls_stream_description_free(NULL);
}

static void null_handles_are_refused_by_name(void **state)
{
    ls_stream_list *list = NULL;

    (void)state;
    assert_int_equal(ls_store_sync(NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("store"));
    assert_int_equal(ls_store_maintain(NULL, -1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_store_list_streams(NULL, NULL, 0, &list), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_store_durability(NULL), LS_DURABILITY_DEFAULT);
}

static void sync_and_upkeep_may_be_called_at_any_time(void **state)
{
    fixture *fx = *state;

    assert_int_equal(ls_store_sync(fx->store), LS_OK);
    assert_int_equal(ls_store_maintain(fx->store, -1), LS_OK);
    assert_int_equal(use_store(fx->store), LS_OK);
    assert_int_equal(ls_store_sync(fx->store), LS_OK);
    assert_int_equal(ls_store_maintain(fx->store, -1), LS_OK);
}

/* ---- listing ---- */

/* Names come in byte order, page after page, from a name that need not be there. */
static void streams_are_listed_in_pages(void **state)
{
    static const char *const names[] = {"b", "a", "B", "a.b", "a-b", "_", "10", "9"};
    static const char *const sorted[] = {"10", "9", "B", "_", "a", "a-b", "a.b", "b"};
    fixture *fx = *state;
    ls_stream_list *list = NULL;
    const char *after = NULL;
    char last[200];

    assert_int_equal(ls_store_list_streams(fx->store, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_stream_list_count(list), 0);
    assert_null(ls_stream_list_at(list, 0));
    assert_int_equal(ls_stream_list_has_more(list), 0);
    ls_stream_list_free(list);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(ls_stream_create(fx->store, names[i], NULL), LS_OK);
    for (size_t i = 0; i < 8;) {
        size_t count;

        assert_int_equal(ls_store_list_streams(fx->store, after, 3, &list), LS_OK);
        count = ls_stream_list_count(list);
        assert_int_equal(count, i < 6 ? 3 : 2);
        assert_int_equal(ls_stream_list_has_more(list), i + count < 8);
        for (size_t k = 0; k < count; k++)
            assert_string_equal(ls_stream_list_at(list, k), sorted[i + k]);
        assert_null(ls_stream_list_at(list, count));
        i += count;
        snprintf(last, sizeof last, "%s", ls_stream_list_at(list, count - 1));
        after = last;
        ls_stream_list_free(list);
    }
    assert_int_equal(ls_store_list_streams(fx->store, "a.", 0, &list), LS_OK);
    assert_int_equal(ls_stream_list_count(list), 2);
    assert_string_equal(ls_stream_list_at(list, 0), "a.b");
    ls_stream_list_free(list);
    assert_int_equal(ls_store_list_streams(fx->store, "", 8, &list), LS_OK);
    assert_int_equal(ls_stream_list_count(list), 8);
    assert_int_equal(ls_stream_list_has_more(list), 0);
    ls_stream_list_free(list);
    list = NULL;
    assert_int_equal(ls_store_list_streams(fx->store, NULL, 10001, &list), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_store_list_streams(fx->store, NULL, 1, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_null(list);
    assert_int_equal(ls_stream_list_count(NULL), 0);
    assert_null(ls_stream_list_at(NULL, 0));
    assert_int_equal(ls_stream_list_has_more(NULL), 0);
}

/* A page is 100 names unless told otherwise. */
static void a_page_has_100_names_by_default(void **state)
{
    fixture *fx = *state;
    ls_stream_list *list = NULL;

    if (!in_memory)
        return; /* one engine does: a hundred streams take time on a disk */
    for (int i = 0; i <= 100; i++) {
        char name[16];

        snprintf(name, sizeof name, "s%03d", i);
        assert_int_equal(ls_stream_create(fx->store, name, NULL), LS_OK);
    }
    assert_int_equal(ls_store_list_streams(fx->store, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_stream_list_count(list), 100);
    assert_int_equal(ls_stream_list_has_more(list), 1);
    ls_stream_list_free(list);
}

/* ---- forks ---- */

typedef struct handles {
    fixture *fx;
    ls_stream *stream;
    ls_producer *producer;
    ls_iterator *iterator, *merged;
    ls_stream_description *description;
} handles;

/* Every call on a handle of the parent is refused; closing works and does no harm. */
static bool use_the_parents_handles(void *user)
{
    const ls_put_entry entry = {text("k"), text("d"), NULL};
    const ls_position first = {LS_TRIM_HORIZON, 0, 0, 0};
    handles *h = user;
    ls_stream_list *list = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    ls_iterator *iterator = NULL;
    ls_stream_description *description = NULL;
    const ls_batch *batch = NULL;
    char buffer[512];
    int32_t fd;
    bool refused =
        ls_store_sync(h->fx->store) == LS_ERR_STATE && ls_store_maintain(h->fx->store, -1) == LS_ERR_STATE &&
        ls_store_list_streams(h->fx->store, NULL, 0, &list) == LS_ERR_STATE &&
        ls_stream_create(h->fx->store, "child", NULL) == LS_ERR_STATE &&
        ls_stream_delete(h->fx->store, "orders") == LS_ERR_STATE &&
        ls_stream_open(h->fx->store, "orders", &stream) == LS_ERR_STATE &&
        ls_stream_describe(h->stream, &description) == LS_ERR_STATE &&
        ls_stream_reset_shard(h->stream, 0) == LS_ERR_STATE &&
        ls_producer_open(h->stream, NULL, &producer) == LS_ERR_STATE &&
        ls_producer_put(h->producer, text("k"), text("d"), NULL, NULL) == LS_ERR_STATE &&
        ls_producer_put_batch(h->producer, &entry, 1, NULL, NULL, NULL) == LS_ERR_STATE &&
        ls_producer_put_batch(h->producer, NULL, 0, NULL, NULL, NULL) == LS_ERR_STATE &&
        ls_producer_flush(h->producer) == LS_ERR_STATE &&
        ls_iterator_open(h->stream, 0, NULL, NULL, &iterator) == LS_ERR_STATE &&
        ls_iterator_open_all(h->stream, NULL, NULL, &iterator) == LS_ERR_STATE &&
        ls_iterator_open_place(h->stream, "x", NULL, &iterator) == LS_ERR_STATE &&
        ls_iterator_next(h->iterator, NULL, &batch) == LS_ERR_STATE &&
        ls_iterator_next(h->merged, NULL, &batch) == LS_ERR_STATE &&
        ls_iterator_seek(h->iterator, &first) == LS_ERR_STATE &&
        ls_iterator_place(h->iterator, buffer, sizeof buffer, NULL) == LS_ERR_STATE &&
        ls_iterator_event_fd(h->iterator, &fd) == LS_ERR_STATE && says("fork");

    ls_iterator_cancel(h->iterator);
    ls_iterator_close(h->iterator);
    ls_iterator_close(h->merged);
    ls_stream_description_free(h->description);
    return refused && ls_store_close(h->fx->store) == LS_ERR_STATE && /* its stream is open, here too */
           ls_producer_close(h->producer) == LS_OK && ls_stream_close(h->stream) == LS_OK &&
           ls_store_close(h->fx->store) == LS_OK;
}

static void a_fork_child_is_turned_away_and_may_close(void **state)
{
    const ls_batch *batch = NULL;
    handles h = {.fx = *state};
    int32_t fd;

    h.stream = make_stream(h.fx, "orders", 2);
    assert_int_equal(ls_producer_open(h.stream, NULL, &h.producer), LS_OK);
    assert_int_equal(ls_iterator_open(h.stream, 0, NULL, NULL, &h.iterator), LS_OK);
    assert_int_equal(ls_iterator_open_all(h.stream, NULL, NULL, &h.merged), LS_OK);
    assert_int_equal(ls_iterator_event_fd(h.merged, &fd), LS_OK);
    assert_int_equal(ls_stream_describe(h.stream, &h.description), LS_OK);
    assert_int_equal(ls_producer_put(h.producer, text("k"), text("before"), NULL, NULL), LS_OK);
    in_fork_child(use_the_parents_handles, &h);
    /* The parent goes on as if nothing had been. */
    assert_int_equal(ls_producer_put(h.producer, text("k"), text("after"), NULL, NULL), LS_OK);
    assert_int_equal(ls_iterator_next(h.merged, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 2);
    ls_stream_description_free(h.description);
    ls_iterator_close(h.iterator);
    ls_iterator_close(h.merged);
    assert_int_equal(ls_producer_close(h.producer), LS_OK);
    assert_int_equal(ls_stream_close(h.stream), LS_OK);
}

static bool open_ones_own(void *user)
{
    fixture *fx = user;
    ls_store *store = NULL;
    bool done = ls_store_open(fx->location, NULL, &store) == LS_OK && use_store(store) == LS_OK &&
                ls_store_close(store) == LS_OK;

    return done && ls_store_close(fx->store) == LS_OK;
}

/* A child opens the store for itself, while the parent has it open. */
static void a_fork_child_may_open_the_store_for_itself(void **state)
{
    if (in_memory)
        return;
    in_fork_child(open_ones_own, *state);
    assert_true(has_stream(((fixture *)*state)->store, "orders"));
}

/* The options reach the producers; what they do is shown in tests/produce. */
static void faults_strike_the_puts_of_their_handle(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;

    (void)state;
    options.fault_throttled_per_1000 = 600;
    options.fault_failed_per_1000 = 300;
    options.fault_partial_per_1000 = 101;
    assert_int_equal(ls_store_open("memory:", &options, &store), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("600") && says("300") && says("101"));
    options = (ls_store_options)LS_STORE_OPTIONS_INIT;
    options.fault_failed_per_1000 = 1000;
    assert_int_equal(ls_store_open("memory:", &options, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "orders", NULL), LS_OK);
    assert_int_equal(ls_stream_open(store, "orders", &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, NULL), LS_ERR_BUSY);
    assert_true(says("stream 'orders' shard 0: failed on purpose"));
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* Kinesis's limits of an account. Deleting and merging make room again, and are never refused. */
static void streams_and_shards_have_a_limit_when_asked_for(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options four = LS_STREAM_OPTIONS_INIT;
    ls_store *store = NULL;
    ls_stream *stream = NULL;

    (void)state;
    options.streams_max = 2;
    options.shards_max = 5;
    four.shard_count = 4;
    assert_int_equal(ls_store_open("memory:", &options, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "a", &four), LS_OK);
    assert_int_equal(ls_stream_create(store, "b", &four), LS_ERR_STATE);
    assert_string_equal(ls_last_error_message(),
                        "stream 'b': the store has 4 open shards, 4 more would come, and shards_max is 5");
    assert_int_equal(ls_stream_create(store, "b", NULL), LS_OK);
    assert_int_equal(ls_stream_create(store, "c", NULL), LS_ERR_STATE);
    assert_string_equal(ls_last_error_message(), "stream 'c': the store has 2 streams, and streams_max is 2");
    assert_int_equal(ls_stream_open(store, "b", &stream), LS_OK);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_ERR_STATE);
    assert_string_equal(ls_last_error_message(),
                        "stream 'b': the store has 5 open shards, 1 more would come, and shards_max is 5");
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_stream_delete(store, "a"), LS_OK);
    assert_int_equal(ls_stream_open(store, "b", &stream), LS_OK);
    assert_int_equal(ls_stream_split(stream, 0, NULL, NULL, NULL), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* ---- threads ---- */

/* Threads of this process with that name, `others` those with another one. */
static size_t count_threads(const char *name, size_t *others)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t count = 0;

    assert_non_null(tasks);
    *others = 0;
    for (struct dirent *one; (one = readdir(tasks)) != NULL;) {
        char path[300], line[64] = "";
        FILE *file;

        (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", one->d_name);
        file = one->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (file == NULL)
            continue;
        (void)fgets(line, sizeof line, file); /* Of a task that went meanwhile there is none. */
        (void)fclose(file);
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, name) == 0)
            count++;
        else
            (*others)++;
    }
    (void)closedir(tasks);
    return count;
}

/* README, limits: none, but one named ls-sweep per open store in INTERVAL mode, and store.h: with
 * MAINTENANCE_THREAD. */
static void threads_are_named_and_only_where_promised(void **state)
{
    fixture *fx = *state;
    static const struct {
        ls_durability durability;
        uint32_t flags;
        size_t threads;
    } cases[] = {
        {LS_DURABILITY_SYNC, 0, 0},
        {LS_DURABILITY_KERNEL, 0, 0},
        {LS_DURABILITY_INTERVAL, 0, 1},
        {LS_DURABILITY_SYNC, LS_STORE_MAINTENANCE_THREAD, 1},
        {LS_DURABILITY_INTERVAL, LS_STORE_MAINTENANCE_THREAD, 1},
    };
    size_t others, before;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        char path[TEMP_PATH_BYTES * 2];
        ls_store *store;
        int tries = 0;

        (void)snprintf(path, sizeof path, "%s", in_memory ? "memory:" : temp_path(&fx->temp, "threads"));
        options.durability = cases[i].durability;
        options.flags = cases[i].flags;
        assert_int_equal(count_threads("ls-sweep", &before), 0);
        assert_int_equal(ls_store_open(path, &options, &store), LS_OK);
        /* It names itself once it runs. */
        while (count_threads("ls-sweep", &others) < cases[i].threads && tries++ < 2000)
            (void)usleep(1000);
        assert_int_equal(count_threads("ls-sweep", &others), cases[i].threads);
        assert_int_equal(others, before);
        assert_int_equal(ls_store_close(store), LS_OK);
        for (tries = 0; count_threads("ls-sweep", &others) > 0 && tries < 2000; tries++) /* It was joined; it leaves. */
            (void)usleep(1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_no_location_is_refused),
        TEST(a_path_and_file_with_it_are_the_same),
        TEST(stores_in_memory_are_private),
        TEST(the_directory_is_made_when_it_may_be),
        TEST(options_out_of_their_range_are_refused),
        TEST(options_at_the_ends_of_their_ranges_are_taken),
        TEST(options_of_a_newer_release_are_read),
        TEST(a_store_has_the_durability_it_was_made_with),
        TEST(another_durability_needs_the_store_alone),
        TEST(another_segment_size_is_refused),
        TEST(a_store_opened_for_reading_changes_nothing),
        TEST(a_damaged_manifest_is_corrupt),
        TEST(the_callers_allocator_gets_everything_back),
        TEST(every_allocation_may_fail),
        TEST(a_store_does_not_close_over_open_streams),
        TEST(closing_and_freeing_nothing_is_fine),
        TEST(null_handles_are_refused_by_name),
        TEST(sync_and_upkeep_may_be_called_at_any_time),
        TEST(streams_are_listed_in_pages),
        TEST(a_page_has_100_names_by_default),
        TEST(faults_strike_the_puts_of_their_handle),
        TEST(streams_and_shards_have_a_limit_when_asked_for),
        TEST(threads_are_named_and_only_where_promised),
        TEST(a_fork_child_is_turned_away_and_may_close),
        TEST(a_fork_child_may_open_the_store_for_itself),
    };

    run_everywhere("store.h", tests);
}
