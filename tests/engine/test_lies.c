/* Frames, what they end with, what is remembered of producers, lists with skips and tables of blocks whose numbers lie
 * beneath sums that are right: no disk does that by chance, and nobody may take it for more than it is (X1, F2-F7).
 *
 * Method: stores of several kinds, one number of a file changed to one value after another. Each is verified, dumped,
 * opened, read, put to and repaired:
 *
 *  - looking changes nothing, and nothing leaks;
 *  - what is read rises in its numbers;
 *  - where a repair says that nothing is left, verifying finds nothing, nor does who reads.
 *
 * Headers of segments and words of shards lie in test_inspect_faults. */
#include "engine/sim_store.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/control_layout.h"
#include "storage/frame.h"
#include "storage/segment.h"
#include "support/sim_inside.h"

#define LARGE_BYTES 6000u
#define LARGE 12u /* more than a segment has room for */
#define LIST_HEAD_BYTES 64u
#define STEP 7u /* a short run has one lie of so many */

/* ---- stores ---- */

typedef struct kind {
    const char *name;
    bool packs, seals, has_counts, is_in_blocks;
    const char *skips; /* a frame of this segment; NULL: none */
} kind;

static const kind kinds[] = {
    {"numbered", false, false, false, false, NULL},
    {"packed", true, false, false, false, NULL},
    {"sealed", false, true, false, false, NULL},
    {"counted", false, false, true, false, NULL},
    {"in blocks", false, false, false, true, NULL},
    {"with a skip in the last segment", false, false, false, false, "1/0/00000002.seg"},
    {"with a skip", false, false, false, false, "1/0/00000001.seg"},
};

static ls_status give_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    (void)key_id;
    memset(key, 7, LS_KEY_BYTES);
    return LS_OK;
}

static ls_status open_with_key(walk *at, lsi_engine **out)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    options.segment_bytes = 64 << 10;
    options.key_callback = give_key;
    return lsi_local_open("store", &options, &at->env, out);
}

/* Three records of producer 7, of that size: numbers `first`, + 1 and + 5; or, with counts, records of 2, 3 and 1. */
static ls_status put_numbered(lsi_engine *engine, lsi_engine_stream *stream, uint64_t first, size_t size, bool counted)
{
    static char data[LARGE_BYTES];
    const uint64_t gaps[] = {first, first + 1, first + 5, first + 6, first + 8, first + 9};
    static const uint32_t users[] = {2, 3, 1};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_entry entries[3];
    ls_put_result told[6] = {{0}};
    lsi_append batch = {entries, NULL, 3, true};
    lsi_numbered numbered = {.options = &options, .users = counted ? users : NULL, .told = told};
    lsi_append_result result;
    lsi_appender *appender;
    ls_status st = engine->ops->appender_open(stream, &appender);

    if (st != LS_OK)
        return st;
    memset(data, 'n', sizeof data);
    for (int i = 0; i < 3; i++)
        entries[i] = (ls_put_entry){{"key", 3}, {data, i == 0 ? size : 5}, NULL};
    options.producer = (ls_producer_id){7, 7};
    options.numbers = gaps;
    st = engine->ops->append_numbered(appender, 0, &batch, &numbered, &result);
    if (st == LS_OK)
        st = engine->ops->commit(appender, 0, result.end, LS_DURABILITY_DEFAULT);
    engine->ops->appender_close(appender);
    return st;
}

static void hurt_byte(sim_files *sim, const char *name, uint64_t at)
{
    lsi_files *files = sim_files_table(sim);
    unsigned char byte;
    lsi_root root;
    lsi_file file;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(files->open(&root, name, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(files->read(&file, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(lsi_file_write_one(&file, &byte, 1, at), 0);
    assert_int_equal(files->sync(&file, false), 0);
    assert_int_equal(files->close(&file), 0);
    files->root_close(&root);
}

static ls_status inspect(const walk *at, bool repair, uint64_t *damages, uint64_t *left)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    lsi_inspection inspection = {.finding = NULL};
    ls_status st;

    st = lsi_local_inspect(&at->env, "store", &options, repair, &inspection);
    *damages = inspection.summary.damages;
    *left = inspection.damages_left;
    return st;
}

/* A sealed segment, and a last one with four frames. */
static sim_files *new_store(const kind *of)
{
    static char text[LARGE_BYTES + 1];
    sim_files *sim = sim_files_new();
    lsi_engine_stream *stream;
    lsi_engine *engine;
    uint64_t damages, left, saved, number = 1;
    walk at;

    begin(&at, sim);
    assert_int_equal(open_with_key(&at, &engine), LS_OK);
    assert_int_equal(create(engine, "s", 1), LS_OK);
    if (of->packs)
        assert_int_equal(engine->ops->set_compression(engine, "s", LS_COMPRESSION_ZSTD), LS_OK);
    if (of->seals)
        assert_int_equal(engine->ops->start_encryption(engine, "s", "A"), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "s", &stream), LS_OK);
    for (size_t i = 0; i < LARGE_BYTES; i++) /* Half of it, so that a packed segment is full, too. */
        text[i] = (char)('!' + (i % 2 == 0 ? 0 : lsi_sum64(&i, sizeof i, 1) % 64));
    for (uint32_t i = 0; i < (of->packs ? 3 * LARGE : LARGE); i++) {
        if (i < 2) {
            assert_int_equal(put_numbered(engine, stream, number, 40, of->has_counts), LS_OK);
            number += 10;
        }
        assert_int_equal(put_one(engine, stream, 0, text), LS_OK);
    }
    for (uint32_t i = 0; i < 3; i++, number += 10)
        assert_int_equal(put_numbered(engine, stream, number, of->packs ? 440 : 40, of->has_counts), LS_OK);
    assert_int_equal(put_one(engine, stream, 0, "last"), LS_OK);
    if (of->is_in_blocks)
        assert_int_equal(engine->ops->recompress(stream, -1, &saved), LS_OK);
    engine->ops->stream_close(stream);
    close_store(engine);
    if (of->skips != NULL) {
        hurt_byte(sim, of->skips, LSI_SEGMENT_HEADER_BYTES + LARGE_BYTES);
        assert_int_equal(inspect(&at, true, &damages, &left), LS_OK);
        assert_int_equal(left, 0);
    }
    return sim;
}

/* ---- lies ---- */

typedef struct lie {
    const char *file;
    enum { FRAME, EXTENDED, LIST, TABLE, CONTROL } in; /* EXTENDED: a frame that says that it has an extension area */
    uint64_t frame;    /* where it begins in the file */
    size_t at, bytes;  /* in the frame or the file */
    unsigned which;    /* of the values */
} lie;

#define VALUES 15u /* the last one is of a frame alone: the shortest length, or many records */

static uint64_t value_of(uint64_t old, unsigned which)
{
    const uint64_t values[VALUES] = {0, 1, old + 1, old - 1, old + 8, old - 8, old ^ 1, old ^ 2, old ^ 1u << 31,
                                     UINT32_MAX, UINT64_MAX, LSI_POSITION_MAX, LS_SEQNO_END, LS_SEQNO_MAX, 56};

    return values[which];
}

/* The owner of shard 0, and what a segment's sums are made with. */
static lsi_log_config owner_of(const lsi_env *env, const lsi_root *root, const char *name, uint64_t *seed,
                               uint64_t *base)
{
    lsi_log_config owner = {.env = env, .root = root, .dir = "1/0", .label = "it"};
    unsigned char bytes[LSI_SEGMENT_HEADER_BYTES], fields[72];
    lsi_segment_header header;
    lsi_file file;

    assert_int_equal(root->files->open(root, name, 0, &file), 0);
    assert_int_equal(root->files->read(&file, bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(root->files->close(&file), 0);
    assert_int_equal(lsi_segment_header_decode("it", bytes, NULL, &header), LS_OK);
    memcpy(owner.store_id, header.store_id, sizeof owner.store_id);
    owner.stream = header.stream;
    owner.shard = header.shard;
    memcpy(fields, bytes + 24, 40);      /* store id, stream, shard, number, base */
    memcpy(fields + 40, bytes + 96, 32); /* salt */
    *seed = lsi_sum64(fields, sizeof fields, 0);
    *base = header.base;
    return owner;
}

static unsigned char content[256u << 10];

static void tell(sim_files *sim, const lie *of)
{
    lsi_files *files = sim_files_table(sim);
    unsigned char *at;
    uint64_t seed, base, old = 0, value;
    lsi_log_config owner;
    lsi_root root;
    lsi_file file;
    int64_t size;

    assert_int_equal(files->root_open(files, "store", LSI_ROOT_WRITE, &root), 0);
    owner = owner_of(NULL, &root, of->in == LIST || of->in == CONTROL ? "1/0/00000001.seg" : of->file, &seed, &base);
    assert_int_equal(files->open(&root, of->file, LSI_OPEN_WRITE, &file), 0);
    size = files->read(&file, content, sizeof content, 0);
    assert_in_range(size, of->frame + of->at + of->bytes, sizeof content - 1);
    at = content + of->frame;
    memcpy(&old, at + of->at, of->bytes);
    value = value_of(old, of->which);
    memcpy(at + of->at, &value, of->bytes);
    if (of->in == FRAME || of->in == EXTENDED) {
        uint64_t position = base + of->frame - LSI_SEGMENT_HEADER_BYTES;
        uint32_t bytes = lsi_read_u32le(at);

        if (of->in == EXTENDED)
            at[42] |= LSI_FRAME_EXTENDED;
        if (bytes >= LSI_FRAME_HEADER_BYTES && of->frame + bytes <= (uint64_t)size)
            lsi_write_u64le(at + 32, lsi_sum64(at + 48, bytes - 48, 0) ^ seed);
        lsi_write_u32le(at + 44, (uint32_t)lsi_sum64(at, 44, seed + position));
    } else if (of->in == LIST) {
        uint64_t salt = lsi_segment_list_salt(&owner);

        lsi_write_u64le(content + 40, lsi_sum64(content + LIST_HEAD_BYTES, (size_t)size - LIST_HEAD_BYTES, salt));
        lsi_write_u64le(content + 56, lsi_sum64(content, 56, salt));
    } else if (of->in == CONTROL) {
        const size_t sum_at = offsetof(control_header, sum);

        lsi_write_u64le(content + sum_at, lsi_sum64(content, sum_at, 0));
    } else { /* Both tables, of which one would do. */
        uint64_t bytes = lsi_read_u64le(content + size - 8);

        if (bytes <= (uint64_t)size - LSI_SEGMENT_HEADER_BYTES - 8) {
            lsi_write_u64le(at + bytes - 8, lsi_sum64(at, bytes - 8, seed));
            memcpy(content + size - 8 - bytes, at, bytes);
        }
    }
    assert_int_equal(lsi_file_write_one(&file, content, (size_t)size, 0), 0);
    assert_int_equal(files->sync(&file, false), 0);
    assert_int_equal(files->close(&file), 0);
    files->root_close(&root);
}

/* ---- what is done to it ---- */

/* Reads all of it; how that ended. */
static ls_status read_all(lsi_engine *engine, lsi_engine_stream *stream, uint32_t flags)
{
    ls_position start = {.kind = LS_TRIM_HORIZON};
    ls_seqno last = 0;
    lsi_reader *reader;
    lsi_read page = {0};
    ls_status st = engine->ops->reader_open(stream, 0, flags, &reader);

    if (st != LS_OK)
        return st;
    st = engine->ops->seek(reader, &start);
    for (int pages = 0; st == LS_OK; pages++) {
        st = engine->ops->read(reader, 100, 1 << 20, &page);
        if (st != LS_OK || page.count == 0)
            break;
        assert_in_range(pages, 0, 1000);
        for (uint32_t i = 0; i < page.count; i++) {
            assert_true(page.records[i].seqno > last);
            last = page.records[i].seqno;
        }
    }
    engine->ops->reader_close(reader);
    return st;
}

static ls_status use(walk *at, bool puts)
{
    lsi_engine_stream *stream;
    lsi_engine *engine;
    ls_status st = open_with_key(at, &engine);

    if (st != LS_OK)
        return st;
    st = engine->ops->stream_open(engine, "s", &stream);
    if (st == LS_OK) {
        st = read_all(engine, stream, 0);
        if (puts) {
            (void)put_numbered(engine, stream, 21, 5, false); /* which are there, or may be */
            (void)put_one(engine, stream, 0, "more");
            (void)put_numbered(engine, stream, 1000, 5, true);
            (void)read_all(engine, stream, LSI_READER_ONE_OF_MANY);
        }
        engine->ops->stream_close(stream);
    }
    (void)engine->ops->close(engine); /* of what is damaged it may say so */
    return st;
}

static ls_inspect_act take_line(const char *line, void *user)
{
    assert_true(line[0] != '\0');
    (void)user;
    return LS_INSPECT_GO_ON;
}

static void dump(const walk *at, const char *name)
{
    const lsi_files *files = at->env.files;
    lsi_dump to = {.env = &at->env, .path = name, .line = take_line};
    void *payload = NULL;
    size_t size;
    lsi_root root;

    if (files->root_open(files, "store", 0, &root) != 0)
        return;
    to.root = &root;
    (void)lsi_dump_file(&to, name, &payload, &size);
    lsi_free(&at->env.memory, payload);
    files->root_close(&root);
}

static void judge(sim_files *whole, const kind *how, const lie *of)
{
    bool is_later = of->which % 2 == 0; /* Without the control file, and with it. */
    sim_files *sim = is_later ? sim_crash_state(whole, sim_log_count(whole), SIM_SEED_EVERYTHING) : sim_clone(whole);
    sim_files *used;
    uint64_t damages = 0, left = 0, hash;
    const char *wrong = NULL;
    ls_status st;
    walk at;

    tell(sim, of);
    hash = sim_hash(sim);
    begin(&at, sim);
    (void)inspect(&at, false, &damages, &left);
    dump(&at, of->file);
    if (at.memory.live != 0 || sim->opens != NULL || sim_hash(sim) != hash)
        wrong = "looking at it changes it, or leaks";
    used = sim_clone(sim);
    begin(&at, used);
    (void)use(&at, true);
    if (at.memory.live != 0)
        wrong = "using it leaks";
    sim_files_free(used);
    begin(&at, sim);
    st = inspect(&at, true, &damages, &left);
    if (at.memory.live != 0 || sim->opens != NULL)
        wrong = "repairing it leaks";
    if (st == LS_OK && left == 0) {
        st = inspect(&at, false, &damages, &left);
        if (st != LS_OK || damages != 0)
            wrong = "it was repaired, and is damaged";
        else if (use(&at, false) == LS_ERR_CORRUPT && !how->seals) /* What is sealed is verified by its sums alone. */
            wrong = "it was repaired, and is damaged for who reads it";
    }
    if (wrong != NULL)
        fail_msg("%s, %s, %llu + %zu, value %u: %s (%s)", how->name, of->file, (unsigned long long)of->frame, of->at,
                 of->which, wrong, ls_last_error_message());
    sim_files_free(sim);
}

static uint64_t nth;

static void judge_values(sim_files *whole, const kind *how, lie of)
{
    uint64_t step = getenv("LIBSTREAM_TEST_LONG") != NULL ? 1 : STEP * SIM_STRIDE;

    for (of.which = 0; of.which < VALUES; of.which++)
        if ((of.which < VALUES - 1 || of.in == FRAME) && nth++ % step == 0)
            judge(whole, how, &of);
}

/* Into `content`; 0: there is no such file. */
static size_t load(sim_files *sim, const char *name)
{
    lsi_files *files = sim_files_table(sim);
    lsi_root root;
    lsi_file file;
    int64_t size;

    assert_int_equal(files->root_open(files, "store", 0, &root), 0);
    if (files->open(&root, name, 0, &file) != 0) {
        files->root_close(&root);
        return 0;
    }
    size = files->read(&file, content, sizeof content, 0);
    assert_in_range(size, 1, sizeof content - 1);
    assert_int_equal(files->close(&file), 0);
    files->root_close(&root);
    return (size_t)size;
}

/* The first three frames of a file, and their last eight words, which may be a tail. */
static void judge_frames(sim_files *whole, const kind *how, const char *name)
{
    static const size_t fields[][2] = {{0, 4}, {4, 4}, {8, 8}, {16, 8}, {24, 8}, {40, 1}, {41, 1}, {42, 2},
                                       {43, 1}, {48, 4}, {52, 2}, {54, 2}, {56, 4}, {60, 4}};
    uint64_t begins[3];
    uint32_t sizes[3];
    size_t size = load(whole, name), frames = 0;

    for (uint64_t at = LSI_SEGMENT_HEADER_BYTES; frames < 3 && at + 64 < size && lsi_read_u32le(content + at) != 0;) {
        begins[frames] = at;
        sizes[frames] = lsi_read_u32le(content + at);
        at += sizes[frames++];
    }
    for (size_t i = 0; i < frames; i++) {
        for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
            judge_values(whole, how, (lie){name, FRAME, begins[i], fields[f][0], fields[f][1], 0});
        judge_values(whole, how, (lie){name, EXTENDED, begins[i], 48, 4, 0});
        for (size_t back = 4; back <= 64 && sizes[i] - back >= 64; back += 4)
            judge_values(whole, how, (lie){name, FRAME, begins[i], sizes[i] - back, 4, 0});
        for (size_t back = 64; back > 32 && sizes[i] - back >= 64; back--) /* Lists of differences and of counts. */
            judge_values(whole, how, (lie){name, FRAME, begins[i], sizes[i] - back, 1, 0});
    }
}

static void judge_checked(sim_files *whole, const kind *how, const char *name)
{
    size_t size = load(whole, name);

    for (size_t at = LIST_HEAD_BYTES; at + 8 <= size; at += 4) {
        judge_values(whole, how, (lie){name, LIST, 0, at, 4, 0});
        if (at % 8 == 0)
            judge_values(whole, how, (lie){name, LIST, 0, at, 8, 0});
    }
}

static void numbers_that_lie_break_nothing(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        sim_files *whole = new_store(&kinds[k]);

        for (unsigned number = 1; number <= 4; number++) {
            char name[32];

            (void)snprintf(name, sizeof name, "1/0/%08u.seg", number);
            if (!kinds[k].is_in_blocks || number > 1) {
                judge_frames(whole, &kinds[k], name);
                continue;
            }
            for (size_t at = 8; at < 32; at += 4)
                judge_values(whole, &kinds[k], (lie){name, TABLE, LSI_SEGMENT_HEADER_BYTES, at, 4, 0});
        }
        judge_checked(whole, &kinds[k], "1/0/segments");
        judge_checked(whole, &kinds[k], "1/0/producers");
        sim_files_free(whole);
    }
}

/* Verifies, repairs, dumps and uses it, while the nth call or allocation fails; answers whether there was one. Then all
 * goes well, and nothing is left. */
static bool fails(sim_files *whole, const kind *how, uint64_t failing, int err)
{
    static const char *const names[] = {"1/0/segments", "1/0/producers", "1/0/00000001.seg", "1/0/00000002.seg",
                                        "1/0/00000001.idx", "control"};
    bool met = false;

    for (int what = 0; what < 4; what++) {
        sim_files *sim = sim_clone(whole);
        uint64_t damages, left, hash = sim_hash(sim);
        walk at;

        begin(&at, sim);
        if (err == ENOMEM)
            sim_memory_fail(&at.memory, failing, false);
        else
            sim_fault_add(sim, (sim_fault){.call = SIM_ANY, .nth = failing, .err = err});
        if (what == 0)
            (void)inspect(&at, false, &damages, &left);
        else if (what == 1)
            (void)inspect(&at, true, &damages, &left);
        else if (what == 2)
            (void)use(&at, true);
        else
            for (size_t i = 0; i < sizeof names / sizeof *names; i++)
                dump(&at, names[i]);
        met = met || (err == ENOMEM ? at.memory.failed : sim_faults_met(sim)) != 0;
        sim_memory_fail(&at.memory, 0, false);
        sim_faults_clear(sim);
        if (at.memory.live != 0 || sim->opens != NULL)
            fail_msg("%s, %d: call or allocation %llu fails, and it leaks", how->name, what,
                     (unsigned long long)failing);
        if ((what == 0 || what == 3) && sim_hash(sim) != hash)
            fail_msg("%s, %d: looking at it changes it", how->name, what);
        assert_int_equal(inspect(&at, true, &damages, &left), LS_OK);
        if (left != 0 || inspect(&at, false, &damages, &left) != LS_OK || damages != 0 ||
            use(&at, false) == LS_ERR_CORRUPT)
            fail_msg("%s, %d: call or allocation %llu failed, and it is damaged for ever: %s", how->name, what,
                     (unsigned long long)failing, ls_last_error_message());
        sim_files_free(sim);
    }
    return met;
}

static void every_call_and_allocation_may_fail(void **state)
{
    static const char *const hurt_files[] = {NULL, "1/0/producers", "1/0/00000001.seg", "1/0/00000002.seg"};
    uint64_t step = getenv("LIBSTREAM_TEST_LONG") != NULL ? 1 : STEP * SIM_STRIDE;

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t h = 0; h < sizeof hurt_files / sizeof *hurt_files; h++) {
            sim_files *whole = new_store(&kinds[k]);

            if (hurt_files[h] != NULL && load(whole, hurt_files[h]) > LSI_SEGMENT_HEADER_BYTES + 400)
                hurt_byte(whole, hurt_files[h], LSI_SEGMENT_HEADER_BYTES + 300);
            else if (hurt_files[h] != NULL)
                hurt_byte(whole, hurt_files[h], 100);
            for (uint64_t failing = 1 + (k + h) % step; fails(whole, &kinds[k], failing, EIO); failing += step)
                ;
            for (uint64_t failing = 1 + (k + h) % step; fails(whole, &kinds[k], failing, ENOMEM); failing += step)
                ;
            sim_files_free(whole);
        }
}

/* What the control file is of, and how much of it was ever used. */
static void a_control_file_that_lies_breaks_nothing(void **state)
{
    sim_files *whole = new_store(&kinds[0]);

    (void)state;
    for (lie of = {"control", CONTROL, 0, 0, 4, 0}; of.at < offsetof(control_header, store_lock); of.at += 4)
        for (of.which = 0; of.which < VALUES - 1; of.which++)
            if (of.which % 2 != 0 || of.at < offsetof(control_header, sum)) /* A later boot makes it anew. */
                judge(whole, &kinds[0], &of);
    sim_files_free(whole);
}

/* Once verifying took the frame before a skip for whole that reaches into it, which nobody can read. */
static void a_frame_that_reaches_into_a_skip_is_damaged(void **state)
{
    const kind *how = &kinds[sizeof kinds / sizeof *kinds - 1];
    sim_files *whole = new_store(how), *sim = sim_clone(whole);
    const size_t skip = LIST_HEAD_BYTES + 16 + 2 * 64;
    const lie of = {"1/0/segments", LIST, 0, skip, 8, 5}; /* It begins 8 bytes before the end of a frame. */
    uint64_t damages, left;
    walk at;

    (void)state;
    tell(sim, &of);
    begin(&at, sim);
    assert_int_equal(inspect(&at, false, &damages, &left), LS_OK);
    assert_int_equal(damages, 1);
    assert_int_equal(use(&at, false), LS_ERR_CORRUPT);
    judge(whole, how, &of);
    sim_files_free(sim);
    sim_files_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_that_reaches_into_a_skip_is_damaged),
        cmocka_unit_test(numbers_that_lie_break_nothing),
        cmocka_unit_test(a_control_file_that_lies_breaks_nothing),
        cmocka_unit_test(every_call_and_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("lies beneath right sums", tests, NULL, NULL);
}
