/* Looking at a damaged store and repairing it (engine/local/inspect.c; verify.c, repair.c, relist.c, lost.c, unnamed.c,
 * peek.c and dump.c of storage) while calls fail below. A store is damaged in one way after another; then the 1st, 2nd,
 * ... Nth call or allocation fails of a verification, a repair, a look at its state and at its files. Each time:
 *
 *  - verifying changes nothing, and does not say that a store is whole which is not;
 *  - a repair that was cut short is done by the next one: then as much can be read as when nothing had failed;
 *  - nothing leaks, and no file stays open.
 *
 * Then numbers of headers, lists and the control file lie one by one, beneath sums that are right: looking at it
 * changes nothing, nothing leaks, and what was repaired opens.
 *
 * What verify and repair say and do when nothing fails is H9's to ask. The damages are much alike in what is called, so
 * in a short run each has every third call of its own; LIBSTREAM_TEST_LONG has all. */
#include "engine/sim_store.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/segment.h"
#include "support/sim_inside.h"

#define SHARD_RECORDS 23u /* of 6 KiB: nine fill a segment */
#define RECORD_BYTES (6u << 10)
#define STEP 3u

/* ---- the store ---- */

static void put_records(lsi_engine *engine, lsi_engine_stream *stream, uint32_t shard, uint32_t count)
{
    static char data[RECORD_BYTES + 1];

    memset(data, 'd', RECORD_BYTES);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(put_one(engine, stream, shard, data), LS_OK);
}

static sim_files *new_store(void)
{
    sim_files *sim = sim_files_new();
    lsi_engine_stream *stream;
    lsi_engine *engine;
    walk at;

    begin(&at, sim);
    assert_int_equal(open_walk(&at, &engine), LS_OK);
    assert_int_equal(create(engine, "orders", 2), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "orders", &stream), LS_OK);
    put_records(engine, stream, 0, SHARD_RECORDS);
    put_records(engine, stream, 1, 2);
    engine->ops->stream_close(stream);
    close_store(engine);
    return sim;
}

/* ---- damages ---- */

typedef struct hurt {
    const char *name;
    const char *file;    /* that it is done to, and ... */
    const char *another; /* ... one more; NULL: none */
    enum { BYTES, GONE, SHORT, DIRECTORY, OLDER, STRAYS, MOVED } what; /* or is GONE, where `at` is behind the end */
    size_t at;           /* of the byte, or where it ends */
} hurt;

static const hurt hurts[] = {
    {"nothing", NULL, NULL, BYTES, 0},
    {"a frame", "1/0/00000001.seg", NULL, BYTES, 4096 + 3 * RECORD_BYTES},
    {"a frame of the last segment", "1/0/00000003.seg", NULL, BYTES, 4096 + RECORD_BYTES},
    {"the first frame of two segments", "1/0/00000001.seg", "1/0/00000003.seg", BYTES, 4096 + 64},
    {"a header", "1/0/00000002.seg", NULL, BYTES, 60},
    {"a header's salt", "1/0/00000002.seg", NULL, BYTES, 100},
    {"the last header", "1/0/00000003.seg", NULL, BYTES, 60},
    {"a segment is gone", "1/0/00000002.seg", NULL, GONE, 0},
    {"the last segment is gone", "1/0/00000003.seg", NULL, GONE, 0},
    {"a segment is short", "1/0/00000001.seg", NULL, SHORT, 4096 + 5 * RECORD_BYTES},
    {"a segment is a directory", "1/0/00000002.seg", NULL, DIRECTORY, 0},
    {"the list", "1/0/segments", NULL, BYTES, 30},
    {"no list", "1/0/segments", NULL, GONE, 0},
    {"the list and a header", "1/0/segments", "1/0/00000002.seg", BYTES, 60},
    {"the list and the last header", "1/0/segments", "1/0/00000003.seg", BYTES, 60},
    {"no list and no first segment", "1/0/segments", "1/0/00000001.seg", GONE, 0},
    {"all of a shard", "1/1/segments", "1/1/00000001.seg", GONE, 0},
    {"an index", "1/0/00000001.idx", NULL, BYTES, 20},
    {"the control file", "control", NULL, BYTES, 20},
    {"no control file", "control", NULL, GONE, 0},
    {"the control file is a directory", "control", NULL, DIRECTORY, 0},
    {"the manifest", "manifest", NULL, BYTES, 40},
    {"no manifest", "manifest", NULL, GONE, 0},
    {"no manifest and no copy", "manifest", "manifest.copy", GONE, 0},
    {"the manifest and its copy", "manifest", "manifest.copy", BYTES, 40},
    {"the copy", "manifest.copy", NULL, BYTES, 40},
    {"the reserve is a directory", "reserve", NULL, DIRECTORY, 0},
    {"an older list", "1/0/segments", NULL, OLDER, 0},
    {"files that nobody named", "1/0/00000003.seg", NULL, STRAYS, 0},
    {"a shard's directory is gone", "1/1", NULL, MOVED, 0},
    {"a stream's directory is gone", "1", NULL, MOVED, 0},
};

/* Whose shard 0 it is, by a header. */
static lsi_log_config owner_of(const lsi_env *env, const lsi_root *root)
{
    lsi_log_config owner = {.env = env, .root = root, .dir = "1/0", .label = "it"};
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES];
    lsi_segment_header header;
    lsi_file file;

    assert_int_equal(root->files->open(root, "1/0/00000001.seg", 0, &file), 0);
    assert_int_equal(root->files->read(&file, bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(root->files->close(&file), 0);
    assert_int_equal(lsi_segment_header_decode("it", bytes, NULL, &header), LS_OK);
    memcpy(owner.store_id, header.store_id, sizeof owner.store_id);
    owner.stream = header.stream;
    owner.shard = header.shard;
    return owner;
}

/* The list as it was before the last roll. */
static void put_older_list(const lsi_root *root)
{
    lsi_segment_entry *last;
    lsi_segment_list *list;
    lsi_log_config owner;
    lsi_env env;

    lsi_env_default(&env);
    owner = owner_of(&env, root);
    assert_int_equal(lsi_segment_list_load(&owner, &list), LS_OK);
    list->count--;
    last = lsi_segment_list_last(list);
    last->flags = 0;
    last->end = last->file_bytes = 0;
    assert_int_equal(lsi_segment_list_store(&owner, list), LS_OK);
    lsi_segment_list_unref(list);
}

/* A copy of a segment under another's name, names that are nearly those of segments, a directory, and an index. */
static void put_strays(const lsi_root *root, const char *of)
{
    static const char *const names[] = {"00000009.seg", "9.seg", "00000009seg", "99999999999.seg", "00000009.idx",
                                        "0000000x.seg", "-0000001.seg", "segments.damaged-1", "00000009.seg.damaged-x"};
    static unsigned char bytes[64u << 10];
    const lsi_files *files = root->files;
    char name[64];
    lsi_file file;
    int64_t size;

    assert_int_equal(files->open(root, of, 0, &file), 0);
    size = files->read(&file, bytes, sizeof bytes, 0);
    assert_true(size > 0);
    assert_int_equal(files->close(&file), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(name, sizeof name, "1/0/%s", names[i]);
        assert_int_equal(files->open(root, name, LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file), 0);
        assert_int_equal(lsi_file_write_one(&file, bytes, (size_t)size, 0), 0);
        assert_int_equal(files->sync(&file, false), 0);
        assert_int_equal(files->close(&file), 0);
    }
    assert_int_equal(files->make_dir(root, "1/0/00000008.seg"), 0);
    assert_int_equal(files->sync_dir(root, "1/0"), 0);
}

static void hurt_file(const lsi_root *root, const hurt *of, const char *name)
{
    const lsi_files *files = root->files;
    unsigned char byte;
    lsi_file file;

    if (of->what == OLDER || of->what == STRAYS || of->what == MOVED) {
        if (of->what == OLDER)
            put_older_list(root);
        else if (of->what == STRAYS)
            put_strays(root, name);
        else
            assert_int_equal(files->rename(root, name, "moved"), 0);
        return;
    }
    if (of->what == GONE || of->what == DIRECTORY) {
        assert_int_equal(files->unlink(root, name), 0);
        if (of->what == DIRECTORY)
            assert_int_equal(files->make_dir(root, name), 0);
        return;
    }
    assert_int_equal(files->open(root, name, LSI_OPEN_WRITE, &file), 0);
    if (of->what == SHORT) {
        assert_int_equal(files->truncate(&file, of->at), 0);
    } else {
        assert_int_equal(files->read(&file, &byte, 1, of->at), 1);
        byte ^= 0x40;
        assert_int_equal(lsi_file_write_one(&file, &byte, 1, of->at), 0);
    }
    assert_int_equal(files->sync(&file, false), 0);
    assert_int_equal(files->close(&file), 0);
}

/* `is_later`: it was another boot that wrote it. */
static sim_files *damaged(sim_files *whole, const hurt *of, bool is_later)
{
    sim_files *sim = is_later ? sim_crash_state(whole, sim_log_count(whole), SIM_SEED_EVERYTHING) : sim_clone(whole);
    lsi_files *files = sim_files_table(sim);
    lsi_root root;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    if (of->file != NULL)
        hurt_file(&root, of, of->file);
    if (of->another != NULL)
        hurt_file(&root, of, of->another);
    files->root_close(&root);
    return sim;
}

/* ---- what is done to it ---- */

typedef struct outcome {
    ls_status st;
    uint64_t damages, left, lines;
    bool could; /* all of them are repairable */
} outcome;

static ls_inspect_act note(const ls_finding *finding, void *user)
{
    outcome *of = user;

    assert_true(finding->what[0] != '\0' && finding->advice[0] != '\0' && finding->file[0] != '\0');
    if (finding->severity == LS_FINDING_DAMAGE && !finding->repairable)
        of->could = false;
    return LS_INSPECT_GO_ON;
}

static outcome inspect(const walk *at, bool repair)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    outcome out = {.could = true};
    lsi_inspection inspection = {.finding = note, .user = &out};

    out.st = lsi_local_inspect(&at->env, "store", &options, repair, &inspection);
    out.damages = inspection.summary.damages;
    out.left = inspection.damages_left;
    return out;
}

static void show_store(const ls_inspect_store *store, void *user)
{
    (void)user;
    assert_int_equal(store->segment_bytes, 64 << 10);
}

static void show_process(const ls_inspect_process *process, void *user)
{
    (void)process;
    (void)user;
}

static void show_stream(const ls_inspect_stream *stream, void *user)
{
    (void)user;
    assert_string_equal(stream->stream, "orders");
}

static void show_shard(const ls_inspect_shard *shard, void *user)
{
    (void)user;
    assert_in_range(shard->shard, 0, 1);
}

static outcome look(const walk *at, bool unused)
{
    static const ls_inspect_callbacks callbacks = {sizeof callbacks, 0, show_store, show_process, show_stream,
                                                   show_shard};

    (void)unused;
    return (outcome){.st = lsi_local_inspect_status(&at->env, "store", &callbacks, NULL)};
}

static ls_inspect_act take_line(const char *line, void *user)
{
    assert_true(line[0] != '\0');
    ++*(uint64_t *)user;
    return LS_INSPECT_GO_ON;
}

/* Every file, the ones after one that failed too. */
static outcome dump(const walk *at, bool unused)
{
    static const char *const names[] = {"manifest", "manifest.copy", "control", "1/0/segments", "1/0/00000001.seg",
                                        "1/0/00000001.idx", "1/0/00000002.seg", "1/0/00000003.seg", "1/1/segments"};
    const lsi_files *files = at->env.files;
    uint64_t lines = 0;
    lsi_root root;
    outcome out = {0};

    (void)unused;
    if (files->root_open(files, "store", 0, &root) != 0)
        return (outcome){.st = LS_ERR_IO};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        lsi_dump to = {.env = &at->env, .root = &root, .path = names[i], .line = take_line, .user = &lines};
        void *payload = NULL;
        size_t size;
        ls_status st = lsi_dump_file(&to, names[i], &payload, &size);

        lsi_free(&at->env.memory, payload);
        if (st != LS_OK)
            out.st = st;
        out.damages += to.damaged;
    }
    files->root_close(&root);
    out.lines = lines;
    return out;
}

/* What can be read of a store: records, or, negative, why it does not open. */
static int readable(sim_files *sim)
{
    ls_position start = {.kind = LS_TRIM_HORIZON};
    lsi_engine_stream *stream;
    lsi_engine *engine;
    int count = 0;
    ls_status st;
    walk at;

    begin(&at, sim);
    st = open_walk(&at, &engine);
    if (st != LS_OK)
        return -(int)st;
    assert_int_equal(engine->ops->stream_open(engine, "orders", &stream), LS_OK);
    for (uint32_t shard = 0; shard < 2; shard++) {
        lsi_reader *reader;
        lsi_read page;

        if (engine->ops->reader_open(stream, shard, 0, &reader) != LS_OK)
            continue;
        if (engine->ops->seek(reader, &start) == LS_OK)
            while (engine->ops->read(reader, 100, 1 << 20, &page) == LS_OK && page.count != 0)
                count += (int)page.count;
        engine->ops->reader_close(reader);
    }
    engine->ops->stream_close(stream);
    (void)engine->ops->close(engine); /* a damaged shard's may say so */
    return count;
}

/* ---- the walk ---- */

typedef outcome act(const walk *at, bool repair);

/* A damaged disk, and what comes of it where nothing fails. */
typedef struct plain_case {
    const hurt *how;
    sim_files *sim;
    uint64_t hash;
    act *what;
    bool repair;
    outcome outcome;
    int count; /* of the records that can be read after a repair */
} plain_case;

/* The same on a copy of the disk, where the `nth` call or allocation fails; answers whether there is one. */
static bool fails(const plain_case *of, uint64_t nth, int err)
{
    sim_files *sim = sim_clone(of->sim);
    const char *name = of->how->name, *call = err == ENOMEM ? "allocation" : "call";
    uint64_t met;
    outcome got;
    walk at;

    begin(&at, sim);
    if (err == ENOMEM)
        sim_memory_fail(&at.memory, nth, false);
    else
        sim_fault_add(sim, (sim_fault){.call = SIM_ANY, .nth = nth, .err = err});
    got = of->what(&at, of->repair);
    met = err == ENOMEM ? at.memory.failed : sim_faults_met(sim);
    sim_memory_fail(&at.memory, 0, false);
    sim_faults_clear(sim);
    if (at.memory.live != 0)
        fail_msg("%s: %s %llu leaks", name, call, (unsigned long long)nth);
    if (sim->opens != NULL)
        fail_msg("%s: %s %llu fails, and %s stays open", name, call, (unsigned long long)nth, sim->opens->name);
    if (!of->repair && sim_hash(sim) != of->hash)
        fail_msg("%s: looking at it changes it", name);
    if (!of->repair && of->outcome.damages != 0 && got.st == LS_OK && got.damages == 0)
        fail_msg("%s: %s %llu fails, and it is said to be whole", name, call, (unsigned long long)nth);
    if (got.st == LS_OK && got.lines < of->outcome.lines)
        fail_msg("%s: %s %llu fails, and what is shown lacks something", name, call, (unsigned long long)nth);
    if (of->repair && met != 0) {
        outcome again = inspect(&at, true);
        int count = readable(sim);

        if (again.st != of->outcome.st || again.left != of->outcome.left || count != of->count)
            fail_msg("%s: %s %llu fails; repaired again it is %s with %llu damages, and %d records, not %d", name, call,
                     (unsigned long long)nth, ls_status_name(again.st), (unsigned long long)again.left, count,
                     of->count);
    }
    sim_files_free(sim);
    return met != 0;
}

static void walk_case(sim_files *whole, const hurt *how, bool is_later, act *what, bool repair)
{
    static const int errors[] = {EIO, EACCES, EPERM};
    plain_case of = {.how = how, .sim = damaged(whole, how, is_later), .what = what, .repair = repair};
    uint64_t step = getenv("LIBSTREAM_TEST_LONG") != NULL ? 1 : SIM_STRIDE * STEP;
    uint64_t first = 1 + (uint64_t)(how - hurts) % step;
    sim_files *sim = sim_clone(of.sim);
    walk at;

    of.hash = sim_hash(of.sim);
    begin(&at, sim);
    of.outcome = what(&at, repair);
    assert_int_equal(at.memory.live, 0);
    if (repair)
        of.count = readable(sim);
    sim_files_free(sim);
    for (uint64_t nth = first; fails(&of, nth, errors[nth / step % 3]); nth += step)
        ;
    for (uint64_t nth = first; fails(&of, nth, ENOMEM); nth += step)
        ;
    sim_files_free(of.sim);
}

static void walk_all(act *what, bool repair)
{
    sim_files *whole = new_store();

    for (size_t i = 0; i < sizeof hurts / sizeof hurts[0]; i++) {
        walk_case(whole, &hurts[i], i % 2 == 0, what, repair);
        if (what == inspect) /* The others hardly ask when the machine was started. */
            walk_case(whole, &hurts[i], i % 2 != 0, what, repair);
    }
    sim_files_free(whole);
}

/* ---- lies ---- */

/* A number of a file, whose sums are made right again: nobody's hand does that by chance, and no look at it may take it
 * for more than it is. */
typedef struct lie {
    const char *file;
    enum { HEADER, LIST, WORDS } kind;
    size_t at, bytes;
} lie;

#define LIST_HEAD_BYTES 64u
#define SLOTS_AT 32768u

static uint64_t get(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static void set(unsigned char *at, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t tell_lie(const lsi_root *root, const lie *of, unsigned which)
{
    static unsigned char bytes[SLOTS_AT + 16 * LSI_SLOT_BYTES];
    const lsi_files *files = root->files;
    uint64_t salt = 0, old, value;
    size_t at = of->kind == LIST ? LIST_HEAD_BYTES + of->at : of->at;
    lsi_file file;
    int64_t size;

    if (of->kind == LIST) {
        lsi_log_config owner = owner_of(NULL, root);

        salt = lsi_segment_list_salt(&owner);
    }
    assert_int_equal(files->open(root, of->file, LSI_OPEN_WRITE, &file), 0);
    size = files->read(&file, bytes, of->kind == HEADER ? LSI_SEGMENT_HEADER_BYTES : sizeof bytes, 0);
    assert_true(size >= (int64_t)(at + of->bytes));
    old = get(bytes + at, of->bytes);
    const uint64_t values[] = {0, old + 1, old - 1, old + 8, old - 8, old ^ 1u << 31, UINT32_MAX, UINT64_MAX,
                               LSI_POSITION_MAX, LS_SEQNO_END, UINT64_C(1) << 40};
    value = values[which];
    set(bytes + at, of->bytes, value);
    if (of->kind == HEADER) {
        lsi_write_u64le(bytes + LSI_SEGMENT_HEADER_BYTES - 8, lsi_sum64(bytes, LSI_SEGMENT_HEADER_BYTES - 8, 0));
    } else if (of->kind == LIST) {
        lsi_write_u64le(bytes + 40, lsi_sum64(bytes + LIST_HEAD_BYTES, (size_t)size - LIST_HEAD_BYTES, salt));
        lsi_write_u64le(bytes + 56, lsi_sum64(bytes, 56, salt));
    }
    assert_int_equal(lsi_file_write_one(&file, bytes, (size_t)size, 0), 0);
    assert_int_equal(files->sync(&file, false), 0);
    assert_int_equal(files->close(&file), 0);
    return value;
}
#define LIES 11u

/* Verified and repaired, and read as far as it can be. Where a repair says that nothing is left, it opens. */
static void judge_lie(sim_files *whole, const hurt *how, const lie *of, unsigned which, bool is_later)
{
    sim_files *sim = damaged(whole, &hurts[0], is_later);
    lsi_files *files = sim_files_table(sim);
    uint64_t hash, value;
    lsi_root root;
    outcome got;
    walk at;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    value = tell_lie(&root, of, which);
    if (how->file != NULL)
        hurt_file(&root, how, how->file);
    if (how->another != NULL)
        hurt_file(&root, how, how->another);
    files->root_close(&root);
    hash = sim_hash(sim);
    begin(&at, sim);
    got = inspect(&at, false);
    if (sim_hash(sim) != hash)
        fail_msg("%s, %zu is %llx, %s: looking at it changes it", of->file, of->at, (unsigned long long)value,
                 how->name);
    (void)look(&at, false);
    got = inspect(&at, true);
    if (at.memory.live != 0 || sim->opens != NULL)
        fail_msg("%s, %zu is %llx, %s: it leaks", of->file, of->at, (unsigned long long)value, how->name);
    if (got.st == LS_OK && got.left == 0 && readable(sim) < 0)
        fail_msg("%s, %zu is %llx, %s: it was repaired, and does not open", of->file, of->at,
                 (unsigned long long)value, how->name);
    sim_files_free(sim);
}

static void numbers_that_lie_break_nothing(void **state)
{
    static const size_t fields[][2] = {{8, 4}, {16, 4}, {20, 4}, {24, 8}, {40, 8}, {48, 4}, {52, 4}, {56, 8}, {64, 8},
                                       {72, 8}, {80, 8}, {88, 8}, {96, 8}, {128, 4}, {136, 8}, {144, 8}, {152, 8},
                                       {160, 4}, {164, 4}};
    static const char *const segments[] = {"1/0/00000001.seg", "1/0/00000002.seg", "1/0/00000003.seg"};
    static const hurt alone[] = {
        {"nothing else", NULL, NULL, BYTES, 0},
        {"no list", "1/0/segments", NULL, GONE, 0},
        {"no list and no first segment", "1/0/segments", "1/0/00000001.seg", GONE, 0},
        {"no list and no second segment", "1/0/segments", "1/0/00000002.seg", GONE, 0},
        {"no list and no last segment", "1/0/segments", "1/0/00000003.seg", GONE, 0},
        {"the list and a header", "1/0/segments", "1/0/00000002.seg", BYTES, 60},
    };
    static const hurt words[] = {
        {"all of a shard", "1/1/segments", "1/1/00000001.seg", GONE, 0},
        {"the last segment is gone", "1/0/00000003.seg", NULL, GONE, 0},
        {"no manifest and no copy", "manifest", "manifest.copy", GONE, 0},
        {"nothing else", NULL, NULL, BYTES, 0},
    };
    sim_files *whole = new_store();
    uint64_t step = getenv("LIBSTREAM_TEST_LONG") != NULL ? 1 : SIM_STRIDE * STEP, nth = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
            for (size_t h = 0; h < sizeof alone / sizeof *alone; h++)
                for (unsigned which = 0; which < LIES; which++)
                    if (nth++ % step == 0)
                        judge_lie(whole, &alone[h], &(lie){segments[i], HEADER, fields[f][0], fields[f][1]}, which,
                                  which % 2 == 0);
    for (size_t at = 0; at < 16 + 3 * 64; at += 8)
        for (size_t h = 0; h < sizeof alone / sizeof *alone; h += 5) /* A list that is gone tells no lies. */
            for (unsigned which = 0; which < LIES; which++)
                if (nth++ % step == 0)
                    judge_lie(whole, &alone[0], &(lie){"1/0/segments", LIST, at, 8}, which, which % 2 == 0);
    for (size_t slot = 0; slot < 4; slot++)
        for (size_t at = 0; at < LSI_SLOT_BYTES / 2; at += 8)
            for (size_t h = 0; h < sizeof words / sizeof *words; h++)
                for (unsigned which = 0; which < LIES; which++)
                    if (nth++ % step == 0)
                        judge_lie(whole, &words[h],
                                  &(lie){"control", WORDS, SLOTS_AT + slot * LSI_SLOT_BYTES + at, 8}, which, false);
    sim_files_free(whole);
}

typedef struct listener {
    unsigned heard, most; /* he stops it at the `most`th; 0: never */
} listener;

static ls_inspect_act listen(const ls_finding *finding, void *user)
{
    listener *of = user;

    (void)finding;
    return ++of->heard == of->most ? LS_INSPECT_STOP : LS_INSPECT_GO_ON;
}

static unsigned hear(sim_files *disk, unsigned most, bool repair)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    sim_files *sim = sim_clone(disk);
    listener of = {.most = most};
    lsi_inspection inspection = {.finding = listen, .user = &of};
    walk at;

    begin(&at, sim);
    (void)lsi_local_inspect(&at.env, "store", &options, repair, &inspection);
    assert_int_equal(at.memory.live, 0);
    sim_files_free(sim);
    return of.heard;
}

static void who_has_heard_enough_is_told_no_more(void **state)
{
    sim_files *whole = new_store();

    (void)state;
    for (size_t i = 0; i < sizeof hurts / sizeof hurts[0]; i++)
        for (int repair = 0; repair < 2; repair++) {
            sim_files *sim = damaged(whole, &hurts[i], repair != 0);
            unsigned all = hear(sim, 0, repair != 0);

            for (unsigned most = 1; most <= all; most++)
                if (hear(sim, most, repair != 0) != most)
                    fail_msg("%s: not stopped at finding %u of %u", hurts[i].name, most, all);
            sim_files_free(sim);
        }
    sim_files_free(whole);
}

static bool is_kept(const lsi_root *root, const char *name)
{
    lsi_file file;
    int rc = root->files->open(root, name, 0, &file);

    if (rc == 0)
        assert_int_equal(root->files->close(&file), 0);
    return rc != -ENOENT; /* or it is a directory */
}

/* R4: what is replaced may be all that is left of something. */
static void what_a_repair_replaces_is_kept(void **state)
{
    static const struct { const char *name, *kept; } cases[] = {
        {"a header", "1/0/00000002.seg.damaged-1"}, {"the last header", "1/0/00000003.seg.damaged-1"},
        {"the list", "1/0/segments.damaged-1"}, {"the list and a header", "1/0/segments.damaged-1"},
        {"all of a shard", "1/1.damaged-1"}, {"the control file", "control.damaged-1"},
        {"the manifest", "manifest.damaged-1"}, {"the reserve is a directory", "reserve.damaged-1"},
    };
    sim_files *whole = new_store();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t h = 0;
        sim_files *sim;
        lsi_files *files;
        lsi_root root;
        walk at;

        while (strcmp(hurts[h].name, cases[i].name) != 0)
            assert_true(++h < sizeof hurts / sizeof hurts[0]);
        sim = damaged(whole, &hurts[h], true);
        files = sim_files_table(sim);
        begin(&at, sim);
        assert_int_equal(inspect(&at, true).left, 0);
        assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
        if (!is_kept(&root, cases[i].kept))
            fail_msg("%s: there is no %s", cases[i].name, cases[i].kept);
        files->root_close(&root);
        sim_files_free(sim);
    }
    sim_files_free(whole);
}

/* The control file knows of the last segment, which is gone with the list: the others are as good as they were. */
static void a_lost_list_and_last_segment_take_no_other_records(void **state)
{
    static const hurt both = {"no list and no last segment", "1/0/segments", "1/0/00000003.seg", GONE, 0};
    sim_files *whole = new_store();

    (void)state;
    for (int later = 0; later < 2; later++) {
        sim_files *sim = damaged(whole, &both, later != 0);
        walk at;

        begin(&at, sim);
        assert_int_equal(inspect(&at, true).left, 0);
        assert_int_equal(readable(sim), 18 + 2);
        sim_files_free(sim);
    }
    sim_files_free(whole);
}

/* The first damage that is told, and what to do about it. */
typedef struct told {
    char what[512], advice[512];
} told;

static ls_inspect_act take_first(const ls_finding *finding, void *user)
{
    told *of = user;

    if (of->what[0] == '\0' && finding->severity == LS_FINDING_DAMAGE) {
        (void)snprintf(of->what, sizeof of->what, "%s", finding->what);
        (void)snprintf(of->advice, sizeof of->advice, "%s", finding->advice);
    }
    return LS_INSPECT_GO_ON;
}

static told first_of(sim_files *sim, bool repair)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    told of = {{0}, {0}};
    lsi_inspection inspection = {.finding = take_first, .user = &of};
    walk at;

    begin(&at, sim);
    assert_int_equal(lsi_local_inspect(&at.env, "store", &options, repair, &inspection), LS_OK);
    assert_int_equal(at.memory.live, 0);
    return of;
}

static void exchange(const lsi_root *root, const char *a, const char *b)
{
    const lsi_files *files = root->files;

    assert_int_equal(files->rename(root, a, "x"), 0);
    assert_int_equal(files->rename(root, b, a), 0);
    assert_int_equal(files->rename(root, "x", b), 0);
}

static void what_lies_in_anothers_place_is_told_so(void **state)
{
    sim_files *sim = new_store();
    lsi_files *files = sim_files_table(sim);
    lsi_root root;
    told of;

    (void)state;
    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    exchange(&root, "1/0", "1/1");
    of = first_of(sim, false);
    assert_non_null(strstr(of.what, "those of stream id 1 shard 1"));
    assert_non_null(strstr(of.advice, "give each its name back"));
    exchange(&root, "1/0", "1/1");
    exchange(&root, "1/0/00000001.seg", "1/0/00000002.seg");
    of = first_of(sim, false);
    assert_non_null(strstr(of.what, "holds segment 2"));
    assert_non_null(strstr(of.advice, "give the file back its own name"));
    of = first_of(sim, true);
    assert_non_null(strstr(of.advice, "from now on"));
    assert_null(strstr(of.advice, "give"));
    files->root_close(&root);
    sim_files_free(sim);
    sim = new_store();
    files = sim_files_table(sim);
    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->unlink(&root, "1/0/00000001.seg"), 0); /* Nothing is in its place. */
    of = first_of(sim, false);
    assert_non_null(strstr(of.advice, "put the file back from a copy"));
    of = first_of(sim, true);
    assert_string_equal(of.advice, "readers step over it from now on");
    files->root_close(&root);
    sim_files_free(sim);
}

/* Where a segment ends whose last frame is damaged, the header behind it knows, though that is damaged as well. */
static void the_newest_header_is_believed_where_it_can_be(void **state)
{
    static const hurt how[] = {
        {"the last header and the frame before it", "1/0/00000003.seg", NULL, BYTES, 90},
        {"the last frame of a segment", "1/0/00000002.seg", NULL, BYTES, 4096 + 9 * (RECORD_BYTES + 64) - 100},
        {"no list", "1/0/segments", NULL, GONE, 0},
    };
    sim_files *sim = new_store();
    lsi_files *files = sim_files_table(sim);
    lsi_root root;
    outcome got;
    walk at;

    (void)state;
    assert_int_equal(readable(sim), SHARD_RECORDS + 2);
    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    for (size_t i = 0; i < sizeof how / sizeof *how; i++)
        hurt_file(&root, &how[i], how[i].file);
    files->root_close(&root);
    begin(&at, sim);
    got = inspect(&at, true);
    assert_int_equal(got.st, LS_OK);
    assert_int_equal(got.left, 0);
    assert_int_equal(readable(sim), SHARD_RECORDS + 2 - 1);
    sim_files_free(sim);
}

/* D6: power may fail as soon as a repair has answered. */
static void what_a_repair_did_is_durable(void **state)
{
    static const uint64_t seeds[] = {SIM_SEED_NOTHING, SIM_SEED_NAMES, SIM_SEED_BYTES, SIM_SEED_STALE};
    sim_files *whole = new_store();

    (void)state;
    for (size_t i = 0; i < sizeof hurts / sizeof hurts[0]; i++) {
        sim_files *hurt_now = damaged(whole, &hurts[i], false);
        sim_files *sim = sim_crash_state(hurt_now, sim_log_count(hurt_now), SIM_SEED_EVERYTHING); /* for good */
        outcome got, again;
        walk at;

        begin(&at, sim);
        got = inspect(&at, true);
        for (size_t k = 0; got.st == LS_OK && got.left == 0 && k < sizeof seeds / sizeof seeds[0]; k++) {
            sim_files *later = sim_crash_state(sim, sim_log_count(sim), seeds[k]);

            begin(&at, later);
            again = inspect(&at, false);
            if (again.st != LS_OK || again.damages != 0)
                fail_msg("%s: repaired, and after a loss of power (%u) it is %s with %llu damages", hurts[i].name,
                         (unsigned)seeds[k], ls_status_name(again.st), (unsigned long long)again.damages);
            sim_files_free(later);
        }
        sim_files_free(hurt_now);
        sim_files_free(sim);
    }
    sim_files_free(whole);
}

/* Records that the system would not read are there: they are hidden, and not lost. */
static void what_cannot_be_read_is_not_said_to_be_lost(void **state)
{
    sim_files *whole = new_store();
    unsigned seen = 0;

    (void)state;
    for (uint64_t nth = 1; nth < 100; nth++) {
        sim_files *sim = sim_clone(whole);
        told of;

        sim_fault_add(sim, (sim_fault){.call = SIM_READ, .name = "1/0/00000001.seg", .nth = nth, .err = EIO});
        of = first_of(sim, false);
        if (strstr(of.what, "cannot be read at offset") != NULL) {
            assert_non_null(strstr(of.what, "records cannot be read, seqno"));
            assert_null(strstr(of.what, "lost"));
            seen++;
        }
        sim_files_free(sim);
    }
    assert_true(seen > 0);
    sim_files_free(whole);
}

/* Without a list: what shared memory of this boot knows is not said to be unknown, and what is there not to be lost. */
static void what_is_known_of_a_lost_list_is_said(void **state)
{
    static const hurt no_list = {"no list", "1/0/segments", NULL, GONE, 0};
    static const hurt no_segment = {"no list and no second segment", "1/0/segments", "1/0/00000002.seg", GONE, 0};
    sim_files *whole = new_store();

    (void)state;
    for (int is_later = 0; is_later < 2; is_later++) {
        sim_files *sim = damaged(whole, &no_list, is_later != 0);
        told of = first_of(sim, false);

        assert_non_null(strstr(of.advice, "rebuilds the list"));
        assert_true((strstr(of.what, "segments after") != NULL) == (is_later != 0));
        assert_null(strstr(of.what, "told by themselves"));
        sim_files_free(sim);
        sim = damaged(whole, &no_segment, is_later != 0);
        of = first_of(sim, false);
        assert_non_null(strstr(of.what, "gone or unreadable: 1"));
        assert_non_null(strstr(of.what, "told by themselves"));
        sim_files_free(sim);
    }
    sim_files_free(whole);
}

/* Numbers of a shard of which nothing is left go on by the clock, and only by one that can be believed. */
static int64_t wall_of_2019(void *user)
{
    (void)user;
    return INT64_C(1560000000000000);
}

static void a_shard_begins_again_by_no_clock_before_2020(void **state)
{
    static const hurt gone = {"a shard's directory is gone", "1/1", "control", MOVED, 0};
    sim_files *whole = new_store(), *sim = sim_clone(whole);
    lsi_files *files = sim_files_table(sim);
    lsi_root root;
    outcome got;
    walk at;

    (void)state;
    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    hurt_file(&root, &gone, gone.file);
    assert_int_equal(files->unlink(&root, gone.another), 0);
    files->root_close(&root);
    begin(&at, sim);
    at.env.clock.wall_us = wall_of_2019;
    got = inspect(&at, true);
    assert_true(got.st == LS_ERR_STATE || got.left != 0);
    begin(&at, sim);
    got = inspect(&at, true);
    assert_int_equal(got.st, LS_OK);
    assert_int_equal(got.left, 0);
    assert_int_equal(readable(sim), SHARD_RECORDS);
    sim_files_free(sim);
    sim_files_free(whole);
}

/* An empty file in the place of a segment is one that has no header, and no failure of the disk. */
static void an_empty_segment_is_damage_that_can_be_repaired(void **state)
{
    static const hurt empty = {"an empty segment", "1/0/00000002.seg", NULL, SHORT, 0};
    static const hurt no_list = {"no list", "1/0/segments", NULL, GONE, 0};
    sim_files *sim = new_store();
    lsi_files *files = sim_files_table(sim);
    lsi_root root;
    outcome got;
    walk at;

    (void)state;
    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    hurt_file(&root, &empty, empty.file);
    hurt_file(&root, &no_list, no_list.file);
    files->root_close(&root);
    begin(&at, sim);
    got = inspect(&at, true);
    assert_int_equal(got.st, LS_OK);
    assert_int_equal(got.left, 0);
    assert_int_equal(readable(sim), SHARD_RECORDS + 2 - 9); /* As many are in a segment. */
    sim_files_free(sim);
}

static void verifying_changes_nothing_and_hides_nothing(void **state)
{
    (void)state;
    walk_all(inspect, false);
}

static void a_repair_that_is_cut_short_is_done_by_the_next(void **state)
{
    (void)state;
    walk_all(inspect, true);
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    walk_all(look, false);
}

static void files_are_shown_as_far_as_they_can_be(void **state)
{
    (void)state;
    walk_all(dump, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_heard_enough_is_told_no_more),
        cmocka_unit_test(what_a_repair_replaces_is_kept),
        cmocka_unit_test(a_lost_list_and_last_segment_take_no_other_records),
        cmocka_unit_test(what_a_repair_did_is_durable),
        cmocka_unit_test(an_empty_segment_is_damage_that_can_be_repaired),
        cmocka_unit_test(a_shard_begins_again_by_no_clock_before_2020),
        cmocka_unit_test(what_is_known_of_a_lost_list_is_said),
        cmocka_unit_test(what_cannot_be_read_is_not_said_to_be_lost),
        cmocka_unit_test(what_lies_in_anothers_place_is_told_so),
        cmocka_unit_test(the_newest_header_is_believed_where_it_can_be),
        cmocka_unit_test(numbers_that_lie_break_nothing),
        cmocka_unit_test(verifying_changes_nothing_and_hides_nothing),
        cmocka_unit_test(a_repair_that_is_cut_short_is_done_by_the_next),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(files_are_shown_as_far_as_they_can_be),
    };

    return cmocka_run_group_tests_name("inspecting while calls fail", tests, NULL, NULL);
}
