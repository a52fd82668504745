/* store.h: what each option of ls_store_open does to the files, to time and to upkeep. Which values are refused is in
 * test_store.c; clock, encryption and transitions have files of their own. */
#include "api/support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libstream/unstable/inspect.h>

#include "api/api.h"

typedef struct handles {
    ls_store *store;
    ls_stream *stream;
    ls_producer *producer;
} handles;

static handles open_all(const char *root, const ls_store_options *options)
{
    handles of = {NULL, NULL, NULL};
    ls_status st;

    assert_int_equal(ls_store_open(root, options, &of.store), LS_OK);
    st = ls_stream_create(of.store, "orders", NULL);
    assert_true(st == LS_OK || st == LS_ERR_EXISTS);
    assert_int_equal(ls_stream_open(of.store, "orders", &of.stream), LS_OK);
    assert_int_equal(ls_producer_open(of.stream, NULL, &of.producer), LS_OK);
    return of;
}

static void close_all(handles *of)
{
    assert_int_equal(ls_producer_close(of->producer), LS_OK);
    assert_int_equal(ls_stream_close(of->stream), LS_OK);
    assert_int_equal(ls_store_close(of->store), LS_OK);
}

static ls_status put(const handles *of, size_t size)
{
    static char data[1 << 20];

    return ls_producer_put(of->producer, text("k"), (ls_bytes){data, size}, NULL, NULL);
}

/* ---- log ---- */

/* What the log callback was told: how many lines of a level hold a word. */
typedef struct told {
    int32_t level;
    const char *word;
    int count;
} told;

static void note_line(void *user, int32_t level, const char *line)
{
    for (told *of = user; of->word != NULL; of++)
        of->count += of->level == level && strstr(line, of->word) != NULL;
}

static void put_one(const char *root, told *lines, size_t size, ls_status expected)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    options.flags = LS_STORE_NO_MAPPED_WRITES; /* Files end where their frames do. */
    options.prealloc_bytes = LS_PREALLOC_NONE;
    options.log = lines != NULL ? note_line : NULL;
    options.log_user = lines;
    of = open_all(root, &options);
    assert_int_equal(put(&of, size), expected);
    close_all(&of);
}

/* The events that store.h names, each with its level; those of processes that die and of clocks that are set have tests
 * in tests/invariants. Method: segments fill; the last frame is cut, one in the middle is broken, their file goes away,
 * each behind a reboot, after which no watermark is known. */
static void events_are_told_with_their_level(void **state)
{
    fixture *fx = *state;
    told lines[] = {
        {LS_LOG_INFO, "goes on in segment", 0},
        {LS_LOG_INFO, "the control file was made anew", 0},
        {LS_LOG_WARNING, "a torn tail", 0},
        {LS_LOG_ERROR, "damage at", 0},
        {LS_LOG_ERROR, "not there", 0},
        {0, NULL, 0},
    };
    char control[TEMP_PATH_BYTES * 2 + 32], segment[TEMP_PATH_BYTES * 2 + 32], root[TEMP_PATH_BYTES * 2];
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;
    struct stat of;
    int fd;

    if (in_memory)
        return;
    snprintf(root, sizeof root, "%s", temp_path(&fx->temp, "told"));
    snprintf(control, sizeof control, "%s/control", root);
    snprintf(segment, sizeof segment, "%s/1/0/00000002.seg", root);
    options.segment_bytes = 64u << 10;
    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(ls_store_open(root, &options, &store), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    put_one(root, lines, 40000, LS_OK);
    assert_int_equal(lines[0].count, 0);
    put_one(root, lines, 40000, LS_OK);
    assert_int_equal(lines[0].count, 1);
    for (int i = 0; i < 3; i++)
        put_one(root, NULL, 100, LS_OK);

    assert_int_equal(stat(segment, &of), 0);
    assert_int_equal(truncate(segment, of.st_size - 20), 0);
    assert_int_equal(unlink(control), 0);
    lines[1].count = 0;
    put_one(root, lines, 100, LS_OK);
    assert_int_equal(lines[1].count, 1);
    assert_int_equal(lines[2].count, 1);

    snprintf(segment, sizeof segment, "%s/1/0/00000003.seg", root);
    for (int i = 0; i < 3; i++)
        put_one(root, NULL, 1000, LS_OK);
    fd = open(segment, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &of), 0);
    assert_int_equal(pwrite(fd, "damage", 6, of.st_size - 1500), 6); /* with a whole frame behind it */
    close(fd);
    assert_int_equal(unlink(control), 0);
    put_one(root, lines, 100, LS_ERR_CORRUPT);
    assert_int_equal(lines[3].count, 1);

    assert_int_equal(unlink(segment), 0);
    assert_int_equal(unlink(control), 0);
    put_one(root, lines, 100, LS_ERR_CORRUPT);
    assert_true(lines[4].count >= 1);
}

/* ---- files ---- */

static bool a_segment_is_mapped(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    bool found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        found = found || strstr(line, ".seg") != NULL;
    fclose(maps);
    return found;
}

/* Small records are stored into a mapped window of the segment, but not with NO_MAPPED_WRITES, and never in SYNC. Where
 * the file system copies what is written, none is mapped anyway. */
static void no_segment_is_mapped_when_that_is_not_wanted(void **state)
{
    static const ls_durability modes[] = {LS_DURABILITY_KERNEL, LS_DURABILITY_INTERVAL, LS_DURABILITY_SYNC};
    fixture *fx = *state;

    if (in_memory)
        return;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        for (uint32_t flags = 0; flags <= LS_STORE_NO_MAPPED_WRITES; flags += LS_STORE_NO_MAPPED_WRITES) {
            ls_store_options options = LS_STORE_OPTIONS_INIT;
            lsi_root root = {0};
            lsi_fs_kind kind;
            char name[24];
            handles of;

            snprintf(name, sizeof name, "mapped-%zu-%u", i, flags);
            options.durability = modes[i];
            options.flags = flags;
            of = open_all(temp_path(&fx->temp, name), &options);
            assert_int_equal(lsi_files_system.root_open(&lsi_files_system, temp_path(&fx->temp, name), 0, &root), 0);
            assert_int_equal(lsi_files_system.root_kind(&root, &kind), 0);
            lsi_files_system.root_close(&root);
            for (int n = 0; n < 10; n++)
                assert_int_equal(put(&of, 100), LS_OK);
            assert_int_equal(a_segment_is_mapped(),
                             flags == 0 && modes[i] != LS_DURABILITY_SYNC && kind == LSI_FS_IN_PLACE);
            close_all(&of);
        }
}

static uint64_t ahead(const char *root, uint64_t put_bytes)
{
    char path[TEMP_PATH_BYTES * 2 + 32];
    struct stat of;

    snprintf(path, sizeof path, "%s/1/0/00000001.seg", root);
    assert_int_equal(stat(path, &of), 0);
    return (uint64_t)of.st_blocks * 512 > put_bytes ? (uint64_t)of.st_blocks * 512 - put_bytes : 0;
}

/* How much space a segment takes beyond its records: up to the step that was asked for, 8 MiB unless said otherwise. */
static void space_is_made_ahead_in_steps(void **state)
{
    static const struct {
        uint64_t step, least, most;
    } cases[] = {
        {0, UINT64_C(4) << 20, UINT64_C(8) << 20},
        {UINT64_C(1) << 20, UINT64_C(64) << 10, UINT64_C(1) << 20},
        {LS_PREALLOC_NONE, 0, UINT64_C(128) << 10},
    };
    fixture *fx = *state;

    if (in_memory)
        return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        char name[24];
        uint64_t bytes = 0, most = 0;
        handles of;

        snprintf(name, sizeof name, "ahead-%zu", i);
        options.durability = LS_DURABILITY_KERNEL;
        options.prealloc_bytes = cases[i].step;
        of = open_all(temp_path(&fx->temp, name), &options);
        for (int n = 0; n < 30; n++) {
            uint64_t now;

            assert_int_equal(put(&of, 1000000), LS_OK);
            bytes += 1000000;
            now = ahead(temp_path(&fx->temp, name), bytes);
            most = now > most ? now : most;
        }
        assert_in_range(most, cases[i].least, cases[i].most + (256u << 10)); /* headers, and what was not full */
        close_all(&of);
    }
}

static ls_status give_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    memset(key, key_id[0], LS_KEY_BYTES);
    return LS_OK;
}

/* A segment that ends before it is full, at another key or with its shard, keeps nothing of what was made ahead of it:
 * not on the disk, and not of what the stream's cap counts. */
static void space_ahead_goes_back_when_a_segment_ends_early(void **state)
{
    static const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_KERNEL};
    static const ls_hash_key half = {UINT64_C(1) << 63, 0};
    enum { PUT = 100000, PUTS = 30, ENDS = 2 };
    fixture *fx = *state;

    if (in_memory)
        return;
    for (size_t i = 0; i < ENDS * sizeof modes / sizeof *modes; i++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        const char *root;
        char name[24];
        handles of;

        snprintf(name, sizeof name, "early-%zu", i);
        root = temp_path(&fx->temp, name);
        options.durability = modes[i / ENDS];
        options.key_callback = give_key;
        of = open_all(root, &options);
        for (int n = 0; n < PUTS; n++)
            assert_int_equal(put(&of, PUT), LS_OK);
        assert_true(ahead(root, PUTS * PUT) > 256 << 10);
        if (i % ENDS == 0)
            assert_int_equal(ls_stream_start_encryption(of.store, "orders", "k"), LS_OK);
        else
            assert_int_equal(ls_stream_split(of.stream, 0, &half, NULL, NULL), LS_OK);
        assert_int_equal(put(&of, PUT), LS_OK);
        assert_in_range(ahead(root, PUTS * PUT), 0, 16 << 10);
        close_all(&of);
    }
}

static void space_that_went_back_counts_for_no_cap(void **state)
{
    enum { KEYS = 20, CAP = 1 << 20 };
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    fixture *fx = *state;
    const ls_batch *batch;
    ls_iterator *iterator;
    handles of;

    if (in_memory)
        return;
    options.durability = LS_DURABILITY_KERNEL;
    options.key_callback = give_key;
    of = open_all(temp_path(&fx->temp, "capped"), &options);
    assert_int_equal(ls_stream_set_retention_bytes(of.stream, CAP), LS_OK);
    for (int n = 0; n < KEYS; n++) {
        char key[] = {(char)('a' + n), '\0'};

        assert_int_equal(ls_stream_start_encryption(of.store, "orders", key), LS_OK);
        assert_int_equal(put(&of, 1000), LS_OK);
    }
    assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), KEYS);
    ls_iterator_close(iterator);
    close_all(&of);
}

/* ---- time ---- */

static void calls_wait_five_seconds_for_others_by_default(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;

    assert_int_equal(fx->store->env.busy_timeout_ms, 5000);
    options.busy_timeout_ms = 70;
    assert_int_equal(ls_store_open("memory:", &options, &store), LS_OK);
    assert_int_equal(store->env.busy_timeout_ms, 70);
    assert_int_equal(ls_store_close(store), LS_OK);
}

static int64_t hasty_clock(void *user)
{
    return *(int64_t *)user += INT64_C(60000000);
}

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits go by the system's clock, whatever `clock` says: one that is a minute later at each look ends none early. */
static void waits_are_by_the_systems_clock(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_next_options wait = LS_NEXT_OPTIONS_INIT;
    int64_t time = INT64_C(1700000000000000), from_ms;
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    handles of;

    (void)state;
    options.clock = hasty_clock;
    options.clock_user = &time;
    of = open_all("memory:", &options);
    assert_int_equal(ls_iterator_open(of.stream, 0, NULL, NULL, &iterator), LS_OK);
    wait.timeout_ms = 150;
    from_ms = now_ms();
    assert_int_equal(ls_iterator_next(iterator, &wait, &batch), LS_OK);
    assert_true(now_ms() - from_ms >= 149);
    ls_iterator_close(iterator);
    close_all(&of);
}

/* ---- reading ---- */

/* Opening for reading changes nothing: not the durability either, which is then another one than was asked for. */
static void who_opens_for_reading_takes_the_durability_that_is_there(void **state)
{
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;

    if (in_memory)
        return;
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    fx->store = NULL;
    options.flags = LS_STORE_READ_ONLY;
    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(ls_store_open(fx->location, &options, &store), LS_ERR_STATE);
    options.durability = LS_DURABILITY_SYNC;
    assert_int_equal(ls_store_open(fx->location, &options, &store), LS_OK);
    assert_int_equal(ls_store_durability(store), LS_DURABILITY_SYNC);
    assert_int_equal(ls_store_close(store), LS_OK);
    assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
}

/* ---- upkeep ---- */

static void note_ends(const ls_inspect_shard *shard, void *user)
{
    *(uint64_t *)user = shard->committed_end - shard->durable_end;
}

static uint64_t unsynced_bytes(const char *root)
{
    ls_inspect_callbacks callbacks = LS_INSPECT_CALLBACKS_INIT;
    uint64_t bytes = UINT64_MAX;

    callbacks.shard = note_ends;
    assert_int_equal(ls_inspect_status(root, &callbacks, &bytes), LS_OK);
    return bytes;
}

/* In INTERVAL mode upkeep syncs, long before the interval is over; in KERNEL mode ls_store_sync alone does. */
static void upkeep_syncs_in_interval_mode(void **state)
{
    static const ls_durability modes[] = {LS_DURABILITY_INTERVAL, LS_DURABILITY_KERNEL};
    fixture *fx = *state;

    if (in_memory)
        return;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        char root[TEMP_PATH_BYTES * 2];
        handles of;

        snprintf(root, sizeof root, "%s", temp_path(&fx->temp, i == 0 ? "interval" : "kernel"));
        options.durability = modes[i];
        options.sync_interval_ms = 60000;
        of = open_all(root, &options);
        usleep(20000); /* The thread's first look comes before the put. */
        assert_int_equal(put(&of, 100), LS_OK);
        assert_true(unsynced_bytes(root) > 0);
        assert_int_equal(ls_store_maintain(of.store, -1), LS_OK);
        assert_int_equal(unsynced_bytes(root) == 0, modes[i] == LS_DURABILITY_INTERVAL);
        assert_int_equal(ls_store_sync(of.store), LS_OK);
        assert_int_equal(unsynced_bytes(root), 0);
        close_all(&of);
    }
}

/* A put that asks for more than the store's mode waits for a sync, one that asks for less does not get less. */
static void a_put_may_ask_for_more_durability(void **state)
{
    fixture *fx = *state;

    if (in_memory)
        return;
    for (ls_durability mode = LS_DURABILITY_KERNEL; mode <= LS_DURABILITY_SYNC; mode++)
        for (ls_durability asked = LS_DURABILITY_DEFAULT; asked <= LS_DURABILITY_SYNC; asked++)
            for (int is_batch = 0; is_batch < 2; is_batch++) {
                const ls_put_entry entry = {text("k"), text("d"), NULL};
                ls_store_options options = LS_STORE_OPTIONS_INIT;
                ls_put_options how = LS_PUT_OPTIONS_INIT;
                char root[TEMP_PATH_BYTES * 2], name[32];
                handles of;

                snprintf(name, sizeof name, "asked-%d-%d-%d", mode, asked, is_batch);
                snprintf(root, sizeof root, "%s", temp_path(&fx->temp, name));
                options.durability = mode;
                options.sync_interval_ms = 60000;
                of = open_all(root, &options);
                usleep(20000); /* The thread's first look comes before the put. */
                how.durability = asked;
                if (is_batch)
                    assert_int_equal(ls_producer_put_batch(of.producer, &entry, 1, &how, NULL, NULL), LS_OK);
                else
                    assert_int_equal(ls_producer_put(of.producer, text("k"), text("d"), &how, NULL), LS_OK);
                assert_int_equal(unsynced_bytes(root) == 0, mode == LS_DURABILITY_SYNC || asked > mode);
                assert_int_equal(ls_producer_flush(of.producer), LS_OK);
                assert_int_equal(unsynced_bytes(root), 0);
                close_all(&of);
            }
}

static void upkeep_keeps_space_in_reserve(void **state)
{
    fixture *fx = *state;
    char path[TEMP_PATH_BYTES * 2 + 32];

    if (in_memory)
        return;
    snprintf(path, sizeof path, "%s/reserve", fx->location);
    (void)unlink(path);
    assert_int_equal(ls_store_maintain(fx->store, -1), LS_OK);
    assert_int_equal(access(path, F_OK), 0);
}

/* What cannot be done keeps nothing else from being done, and is told. Method: directories that creators left, one of
 * which has more in it than upkeep removes, in whatever order they are met, and a stream over its cap. */
static void upkeep_goes_on_behind_what_fails(void **state)
{
    static const char *const dirs[] = {"new-77", "new-77/0", "new-77/0/kept"};
    fixture *fx = *state;
    ls_stream_description *description = NULL;
    ls_shard_info shard = LS_SHARD_INFO_INIT;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    char path[TEMP_PATH_BYTES * 2 + 32], root[TEMP_PATH_BYTES * 2];
    handles of;

    if (in_memory)
        return;
    assert_int_equal(ls_store_maintain(fx->store, -2), LS_ERR_INVALID_ARGUMENT);
    snprintf(root, sizeof root, "%s", temp_path(&fx->temp, "kept-up"));
    options.segment_bytes = 64u << 10;
    options.durability = LS_DURABILITY_KERNEL;
    of = open_all(root, &options);
    for (int i = 0; i < 20; i++)
        assert_int_equal(put(&of, 40000), LS_OK);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        snprintf(path, sizeof path, "%s/%s", root, dirs[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    for (int i = 0; i < 30; i++) {
        snprintf(path, sizeof path, "%s/new-%d", root, 100 + i);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    snprintf(path, sizeof path, "%s/new-77/0/kept/by-somebody", root);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(ls_stream_set_retention_bytes(of.stream, 1), LS_OK);
    assert_int_equal(ls_store_maintain(of.store, -1), LS_ERR_IO);
    assert_true(says("new-77"));
    for (int i = 0; i < 30; i++) {
        snprintf(path, sizeof path, "%s/new-%d", root, 100 + i);
        assert_int_equal(access(path, F_OK), -1);
    }
    assert_int_equal(ls_stream_describe(of.stream, &description), LS_OK);
    assert_int_equal(ls_stream_description_shard(description, 0, &shard), LS_OK);
    assert_in_range(shard.stored_bytes, 0, 2 * options.segment_bytes);
    ls_stream_description_free(description);
    close_all(&of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(events_are_told_with_their_level),
        TEST(no_segment_is_mapped_when_that_is_not_wanted),
        TEST(space_is_made_ahead_in_steps),
        TEST(space_ahead_goes_back_when_a_segment_ends_early),
        TEST(space_that_went_back_counts_for_no_cap),
        TEST(calls_wait_five_seconds_for_others_by_default),
        TEST(waits_are_by_the_systems_clock),
        TEST(who_opens_for_reading_takes_the_durability_that_is_there),
        TEST(upkeep_syncs_in_interval_mode),
        TEST(a_put_may_ask_for_more_durability),
        TEST(upkeep_keeps_space_in_reserve),
        TEST(upkeep_goes_on_behind_what_fails),
    };

    run_everywhere("store.h, options", tests);
}
