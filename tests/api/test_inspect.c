/* unstable/inspect.h: what it shows of a store that is whole, damaged, in use or none. Each kind of damage, and what
 * repairing makes of it, is in tests/cli/test_damage.py and in the damage campaign (h9_damage). */
#include "api/support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libstream/unstable/inspect.h>

#define RECORD_BYTES 1000u
#define PATH_BYTES (TEMP_PATH_BYTES * 2 + 64)

/* The fixture's store with two streams, `orders` of three records in its first shard and `other` of two shards. */
static ls_seqno fill(fixture *fx)
{
    static char data[RECORD_BYTES];
    ls_stream *stream = make_stream(fx, "orders", 1);
    ls_producer *producer = NULL;
    ls_record_id second = {0};

    assert_int_equal(ls_stream_close(make_stream(fx, "other", 2)), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ls_producer_put(producer, text("k"), (ls_bytes){data, sizeof data}, NULL,
                                         i == 1 ? &second : NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    return second.seqno;
}

static void close_store(fixture *fx)
{
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    fx->store = NULL;
}

static const char *path_of(const fixture *fx, const char *name)
{
    static char path[PATH_BYTES];

    snprintf(path, sizeof path, "%s/%s", fx->location, name);
    return path;
}

/* A byte in the second record of `orders` becomes another. */
static void damage(const fixture *fx)
{
    unsigned char byte;
    int fd = open(path_of(fx, "1/0/00000001.seg"), O_RDWR);
    off_t at = 4096 + RECORD_BYTES + RECORD_BYTES / 2;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* ---- dump ---- */

typedef struct lines {
    int count, most; /* it says stop at the `most`th; 0: never */
    bool has_end;    /* one has a line's end in it */
} lines;

static ls_inspect_act take_line(const char *line, void *user)
{
    lines *of = user;

    of->has_end = of->has_end || strchr(line, '\n') != NULL;
    return ++of->count == of->most ? LS_INSPECT_STOP : LS_INSPECT_GO_ON;
}

static void files_are_printed_line_by_line(void **state)
{
    static const char *const names[] = {"manifest", "control", "1/0/segments", "1/0/00000001.seg"};
    fixture *fx = *state;
    lines whole = {0, 0, false}, some = {0, 2, false};
    FILE *file;

    fill(fx);
    close_store(fx);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        whole = (lines){0, 0, false};
        assert_int_equal(ls_inspect_dump(path_of(fx, names[i]), take_line, &whole), LS_OK);
        assert_true(whole.count > 2);
        assert_false(whole.has_end);
        some = (lines){0, 2, false};
        assert_int_equal(ls_inspect_dump(path_of(fx, names[i]), take_line, &some), LS_OK);
        assert_int_equal(some.count, 2);
    }
    damage(fx);
    some = (lines){0, 0, false};
    assert_int_equal(ls_inspect_dump(path_of(fx, "1/0/00000001.seg"), take_line, &some), LS_ERR_CORRUPT);
    assert_true(some.count > 2);
    some = (lines){0, 0, false};
    assert_int_equal(ls_inspect_dump(path_of(fx, "none"), take_line, &some), LS_ERR_NOT_FOUND);
    file = fopen(path_of(fx, "mine"), "w");
    assert_non_null(file);
    fputs("no file of a store, but long enough to be looked at: it begins as none of them does\n", file);
    fclose(file);
    assert_int_equal(ls_inspect_dump(path_of(fx, "mine"), take_line, &some), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(some.count, 0);
}

/* ---- verify, repair ---- */

typedef struct findings {
    int count;
    bool stops;
    ls_finding last;
    char stream[32], file[64], advice[256];
} findings;

static ls_inspect_act take_finding(const ls_finding *finding, void *user)
{
    findings *of = user;

    assert_int_equal(finding->size, sizeof *finding);
    assert_true(finding->what[0] != '\0' && strchr(finding->what, '\n') == NULL);
    assert_true(finding->advice[0] != '\0' && strchr(finding->advice, '\n') == NULL);
    of->count++;
    of->last = *finding;
    snprintf(of->stream, sizeof of->stream, "%s", finding->stream);
    snprintf(of->file, sizeof of->file, "%s", finding->file);
    snprintf(of->advice, sizeof of->advice, "%s", finding->advice);
    return of->stops ? LS_INSPECT_STOP : LS_INSPECT_GO_ON;
}

static void a_store_that_is_whole_is_counted(void **state)
{
    fixture *fx = *state;
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    ls_inspect_summary summary = LS_INSPECT_SUMMARY_INIT;
    findings found = {.count = 0};

    fill(fx);
    for (int is_open = 1; is_open >= 0; is_open--) { /* beside who has it open, too */
        if (is_open == 0)
            close_store(fx);
        assert_int_equal(ls_inspect_verify(fx->location, NULL, take_finding, &summary, &found), LS_OK);
        assert_int_equal(found.count, 0);
        assert_int_equal(summary.streams, 2);
        assert_int_equal(summary.shards, 3);
        assert_int_equal(summary.segments, 3);
        assert_int_equal(summary.frames, 3);
        assert_int_equal(summary.records, 3);
        assert_true(summary.bytes > 3 * RECORD_BYTES);
        assert_int_equal(summary.damages + summary.hints + summary.notes + summary.repaired, 0);
        assert_int_equal(summary.records_lost_max, 0);
    }
    options.stream = "other";
    assert_int_equal(ls_inspect_verify(fx->location, &options, NULL, &summary, NULL), LS_OK);
    assert_int_equal(summary.streams, 1);
    assert_int_equal(summary.shards, 2);
    assert_int_equal(summary.records, 0);
}

static void what_cannot_be_looked_into_is_refused(void **state)
{
    fixture *fx = *state;
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    ls_inspect_summary summary = LS_INSPECT_SUMMARY_INIT;
    ls_inspect_callbacks callbacks = LS_INSPECT_CALLBACKS_INIT;

    fill(fx);
    options.stream = "none";
    assert_int_equal(ls_inspect_verify(fx->location, &options, NULL, NULL, NULL), LS_ERR_NOT_FOUND);
    assert_true(says("'none'"));
    options.stream = NULL;
    options.flags = 2;
    assert_int_equal(ls_inspect_verify(fx->location, &options, NULL, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_inspect_verify("memory:", NULL, NULL, NULL, NULL), LS_ERR_UNSUPPORTED);
    assert_int_equal(ls_inspect_status("memory:", &callbacks, NULL), LS_ERR_UNSUPPORTED);
    assert_int_equal(ls_inspect_verify(path_of(fx, "none"), NULL, NULL, NULL, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_inspect_verify(fx->temp.path, NULL, NULL, NULL, NULL), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_inspect_status(fx->temp.path, &callbacks, NULL), LS_ERR_NOT_FOUND);
    summary.size = 0;
    assert_int_equal(ls_inspect_verify(fx->location, NULL, NULL, &summary, NULL), LS_ERR_INVALID_ARGUMENT);
    callbacks.size = 0;
    assert_int_equal(ls_inspect_status(fx->location, &callbacks, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_inspect_repair(fx->location, NULL, 0, NULL, NULL, NULL), LS_ERR_STATE); /* it is open */
    assert_true(says("nothing was changed"));
    assert_int_equal(ls_inspect_repair(fx->location, NULL, 1, NULL, NULL, NULL), LS_OK);
}

static void damage_is_told_where_it_is_and_stepped_over_when_repaired(void **state)
{
    fixture *fx = *state;
    ls_inspect_summary summary = LS_INSPECT_SUMMARY_INIT;
    findings found = {.count = 0};
    ls_seqno second = fill(fx);
    ls_iterator *iterator = NULL;
    ls_stream *stream = NULL;
    const ls_batch *batch;
    size_t count = 0;

    close_store(fx);
    damage(fx);
    for (int way = 0; way < 3; way++) {
        findings here = {.stops = way == 2};

        assert_int_equal(way == 1 ? ls_inspect_repair(fx->location, NULL, 1, take_finding, &summary, &here)
                                  : ls_inspect_verify(fx->location, NULL, take_finding, &summary, &here),
                         LS_ERR_CORRUPT);
        found = here;
        assert_int_equal(found.count, 1);
        assert_int_equal(found.last.severity, LS_FINDING_DAMAGE);
        assert_int_equal(found.last.kind, LS_FINDING_FRAMES);
        assert_string_equal(found.stream, "orders");
        assert_string_equal(found.file, "1/0/00000001.seg");
        assert_int_equal(found.last.stream_id, 1);
        assert_int_equal(found.last.shard, 0);
        assert_in_range(found.last.offset, 4096 + RECORD_BYTES, 4096 + 2 * RECORD_BYTES);
        assert_int_equal(found.last.first_seqno, second);
        assert_int_equal(found.last.last_seqno, second);
        assert_int_equal(found.last.records_max, 1);
        assert_int_equal(found.last.repairable, 1);
        assert_int_equal(found.last.repaired, 0);
        assert_int_equal(summary.damages, 1);
        assert_int_equal(summary.records_lost_max, 1);
        assert_int_equal(summary.repaired, 0);
        assert_int_equal(summary.streams, way == 2 ? 1 : 2); /* Stopped: no more was looked at. */
    }
    found = (findings){.count = 0};
    assert_int_equal(ls_inspect_repair(fx->location, NULL, 0, take_finding, &summary, &found), LS_OK);
    assert_int_equal(found.last.repaired, 1);
    assert_int_equal(summary.repaired, 1);
    found = (findings){.count = 0};
    assert_int_equal(ls_inspect_verify(fx->location, NULL, take_finding, &summary, &found), LS_OK);
    assert_int_equal(summary.damages, 0);
    assert_true(summary.notes > 0 && found.last.severity == LS_FINDING_NOTE);

    assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "orders", &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
    do {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        for (size_t i = 0; i < ls_batch_count(batch); i++)
            assert_true(ls_batch_at(batch, i)->seqno != second);
        count += ls_batch_count(batch);
    } while (ls_batch_count(batch) != 0);
    assert_int_equal(count, 2);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* What is to be done about a control file whose header is none depends on whether somebody has it open. */
static void who_uses_the_store_decides_what_is_done_about_its_control_file(void **state)
{
    fixture *fx = *state;
    findings found = {.count = 0};
    unsigned char header[64];
    int fd;

    fill(fx);
    fd = open(path_of(fx, "control"), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    header[0] ^= 1;
    for (int open_too = 1; open_too >= 0; open_too--) {
        if (open_too == 0)
            close_store(fx);
        assert_int_equal(pwrite(fd, header, sizeof header, 0), sizeof header);
        found = (findings){.count = 0};
        assert_int_equal(ls_inspect_verify(fx->location, NULL, take_finding, NULL, &found), LS_OK);
        assert_int_equal(found.count, 1);
        assert_int_equal(found.last.severity, LS_FINDING_HINT);
        assert_int_equal(found.last.kind, LS_FINDING_CONTROL);
        assert_string_equal(found.file, "control");
        assert_non_null(strstr(found.advice, open_too != 0 ? "stop all that use the store" : "nothing to do"));
    }
    close(fd);
}

/* ---- status ---- */

typedef struct shown {
    ls_inspect_store store;
    ls_inspect_process processes[4];
    ls_inspect_shard shard; /* of `orders` */
    ls_inspect_stream stream;
    int stores, process_count, streams, shards;
    bool is_in_order;
} shown;

static void show_store(const ls_inspect_store *store, void *user)
{
    shown *of = user;

    of->is_in_order = of->process_count + of->streams + of->shards == 0;
    of->store = *store;
    of->stores++;
}

static void show_process(const ls_inspect_process *process, void *user)
{
    shown *of = user;

    of->is_in_order = of->is_in_order && of->streams + of->shards == 0;
    if (of->process_count < 4)
        of->processes[of->process_count] = *process;
    of->process_count++;
}

static void show_stream(const ls_inspect_stream *stream, void *user)
{
    shown *of = user;

    of->is_in_order = of->is_in_order && of->shards == 0;
    if (strcmp(stream->stream, "orders") == 0)
        of->stream = *stream;
    of->streams++;
}

static void show_shard(const ls_inspect_shard *shard, void *user)
{
    shown *of = user;

    if (strcmp(shard->stream, "orders") == 0)
        of->shard = *shard;
    of->shards++;
}

static shown show(const fixture *fx)
{
    ls_inspect_callbacks callbacks = LS_INSPECT_CALLBACKS_INIT;
    shown seen = {.stores = 0};

    callbacks.store = show_store;
    callbacks.process = show_process;
    callbacks.stream = show_stream;
    callbacks.shard = show_shard;
    assert_int_equal(ls_inspect_status(fx->location, &callbacks, &seen), LS_OK);
    return seen;
}

static void status_shows_who_is_there_and_what_it_takes(void **state)
{
    const int64_t now_us = (int64_t)time(NULL) * 1000000;
    fixture *fx = *state;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_inspect_callbacks none = LS_INSPECT_CALLBACKS_INIT;
    ls_seqno second = fill(fx);
    ls_store *reader = NULL;
    uint32_t writers = 0;
    struct stat of;
    shown seen;

    options.flags = LS_STORE_READ_ONLY;
    assert_int_equal(ls_store_open(fx->location, &options, &reader), LS_OK);
    seen = show(fx);
    assert_int_equal(seen.stores, 1);
    assert_int_equal(seen.streams, 2);
    assert_true(seen.is_in_order);
    assert_int_equal(seen.store.size, sizeof seen.store);
    assert_int_equal(seen.store.durability, LS_DURABILITY_SYNC);
    assert_int_equal(seen.store.segment_bytes, 64u << 20);
    assert_int_equal(seen.store.stream_count, 2);
    assert_int_equal(seen.store.store_lock_holder, 0);
    assert_int_equal(seen.store.control_is_current, 1);
    assert_true(seen.store.bytes > 3 * RECORD_BYTES && seen.store.bytes > seen.stream.bytes);
    assert_true(seen.store.free_bytes > 0);
    assert_int_equal(seen.process_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(seen.processes[i].pid, getpid());
        assert_int_equal(seen.processes[i].alive, 1);
        assert_in_range(seen.processes[i].attached_us, now_us - 60000000, now_us + 60000000);
        writers += seen.processes[i].read_only == 0;
    }
    assert_int_equal(writers, 1);
    assert_int_equal(stat(path_of(fx, "1/0/00000001.seg"), &of), 0);
    assert_int_equal(seen.stream.stream_id, 1);
    assert_int_equal(seen.stream.shards, 1);
    assert_true(seen.stream.files >= 2 && seen.stream.bytes >= (uint64_t)of.st_size);
    assert_int_equal(seen.shard.stream_id, 1);
    assert_int_equal(seen.shard.shard, 0);
    assert_int_equal(seen.shard.health, LS_OK);
    assert_int_equal(seen.shard.failed_errno, 0);
    assert_int_equal(seen.shard.torn_count, 0);
    assert_int_equal(seen.shard.append_lock_holder + seen.shard.sync_lock_holder, 0);
    assert_true(seen.shard.committed_end > 3 * RECORD_BYTES);
    assert_int_equal(seen.shard.durable_end, seen.shard.committed_end);
    assert_true(seen.shard.next_seqno > second);
    assert_int_equal(ls_store_close(reader), LS_OK);
    assert_int_equal(show(fx).process_count, 1);
    assert_int_equal(ls_inspect_status(fx->location, &none, NULL), LS_OK); /* each callback may be NULL */
    close_store(fx);
    assert_int_equal(show(fx).process_count, 0);
    assert_int_equal(unlink(path_of(fx, "control")), 0);
    assert_int_equal(show(fx).store.control_is_current, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_printed_line_by_line),
        TEST(a_store_that_is_whole_is_counted),
        TEST(what_cannot_be_looked_into_is_refused),
        TEST(damage_is_told_where_it_is_and_stepped_over_when_repaired),
        TEST(who_uses_the_store_decides_what_is_done_about_its_control_file),
        TEST(status_shows_who_is_there_and_what_it_takes),
    };

    in_memory = false; /* There is nothing to look into elsewhere. */
    return cmocka_run_group_tests_name("unstable/inspect.h", tests, NULL, NULL);
}
