/* What is no regular file, and what is no directory, in the place of any file or directory of a store: a symbolic link
 * to a good one, a FIFO, a directory, a file, nothing (X3, R6). With the segment list and without it, with the control
 * file and without, it is verified, dumped, opened and repaired:
 *
 *  - nobody hangs, and nobody goes where a link leads: what lies there stays as it is;
 *  - verifying does not say that it is whole where it can no longer be read;
 *  - where a repair says that nothing is left, verifying finds nothing, and the store is open to who puts and reads. */
#include "engine/local_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LARGE_BYTES 6000u
#define LARGE 24u /* two segments and some */

typedef enum { LINK, FIFO, DIRECTORY, A_FILE, NOTHING, MISFITS } misfit;

static const char *const names[] = {"1/0/00000001.seg", "1/0/00000002.seg", "1/0/00000003.seg", "1/0/00000001.idx",
                                    "1/0/segments",     "1/0",              "1",                "control",
                                    "manifest",         "manifest.copy",    "reserve"};

static void in(const fixture *fx, const char *name, char path[TEMP_PATH_BYTES * 3])
{
    (void)snprintf(path, TEMP_PATH_BYTES * 3, "%s/%s", fx->path, name);
}

static void make_store(fixture *fx)
{
    static char data[LARGE_BYTES + 1];
    lsi_engine *engine = open_store(fx);
    lsi_engine_stream *stream;

    memset(data, 'd', LARGE_BYTES);
    assert_int_equal(create(engine, "s", 1), LS_OK);
    assert_int_equal(engine->ops->stream_open(engine, "s", &stream), LS_OK);
    for (uint32_t i = 0; i < LARGE; i++)
        assert_int_equal(put_one(engine, stream, 0, data), LS_OK);
    engine->ops->stream_close(stream);
    close_store(engine);
}

static void write_file(const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs("of somebody else\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Moves what is there out of the store, to `moved`, and puts something else in its place. */
static void put_misfit(const fixture *fx, const char *name, misfit what, const char *moved)
{
    char path[TEMP_PATH_BYTES * 3];

    in(fx, name, path);
    assert_int_equal(rename(path, moved), 0);
    if (what == LINK)
        assert_int_equal(symlink(moved, path), 0);
    else if (what == FIFO)
        assert_int_equal(mkfifo(path, 0600), 0);
    else if (what == DIRECTORY)
        assert_int_equal(mkdir(path, 0700), 0);
    else if (what == A_FILE)
        write_file(path);
}

static ls_status inspect(const fixture *fx, bool repair, uint64_t *damages, uint64_t *left)
{
    ls_inspect_options options = LS_INSPECT_OPTIONS_INIT;
    lsi_inspection inspection = {.finding = NULL};
    ls_status st = lsi_local_inspect(&fx->env, fx->path, &options, repair, &inspection);

    *damages = inspection.summary.damages;
    *left = inspection.damages_left;
    return st;
}

static ls_inspect_act take_line(const char *line, void *user)
{
    assert_true(line[0] != '\0');
    (void)user;
    return LS_INSPECT_GO_ON;
}

static void dump(const fixture *fx, const char *name)
{
    lsi_dump to = {.env = &fx->env, .path = name, .line = take_line};
    void *payload = NULL;
    size_t size;
    lsi_root root;

    assert_int_equal(fx->env.files->root_open(fx->env.files, fx->path, 0, &root), 0);
    to.root = &root;
    (void)lsi_dump_file(&to, name, &payload, &size);
    lsi_free(&fx->env.memory, payload);
    fx->env.files->root_close(&root);
}

static ls_status read_all(lsi_engine *engine, lsi_engine_stream *stream)
{
    ls_position start = {.kind = LS_TRIM_HORIZON};
    lsi_reader *reader;
    lsi_read page = {0};
    ls_status st = engine->ops->reader_open(stream, 0, 0, &reader);

    if (st != LS_OK)
        return st;
    st = engine->ops->seek(reader, &start);
    do
        st = st == LS_OK ? engine->ops->read(reader, 100, 1 << 20, &page) : st;
    while (st == LS_OK && page.count != 0);
    engine->ops->reader_close(reader);
    return st;
}

/* How reading all of it ends, and putting when `puts`. A stream that the repair could not save is not there. */
static ls_status use(fixture *fx, bool puts)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_engine_stream *stream;
    lsi_engine *engine;
    ls_status st;

    options.segment_bytes = 64 << 10;
    options.flags = LS_STORE_NO_CREATE | (puts ? 0 : LS_STORE_READ_ONLY);
    st = open_with(fx, options, &engine);
    if (st != LS_OK)
        return st;
    st = engine->ops->stream_open(engine, "s", &stream);
    if (st == LS_OK) {
        st = read_all(engine, stream);
        if (st == LS_OK && puts)
            st = put_one(engine, stream, 0, "more");
        engine->ops->stream_close(stream);
    }
    (void)engine->ops->close(engine); /* of what is damaged it may say so */
    return st;
}

/* The link's own and what lies behind it, as a number that changes with them. */
static uint64_t stamp_of(const char *path)
{
    struct stat of;

    if (stat(path, &of) != 0)
        return 0;
    return (uint64_t)of.st_size * 1000003 + (uint64_t)of.st_mtim.tv_sec * 1000000007 + (uint64_t)of.st_mtim.tv_nsec;
}

static void judge(const char *name, misfit what, bool has_list, bool has_control)
{
    char moved[TEMP_PATH_BYTES * 3], path[TEMP_PATH_BYTES * 3];
    uint64_t damages, left, before;
    const char *wrong = NULL;
    fixture *fx;
    void *state;
    ls_status st, read;

    (void)set_up(&state);
    fx = state;
    make_store(fx);
    (void)snprintf(moved, sizeof moved, "%s/moved", fx->temp.path);
    put_misfit(fx, name, what, moved);
    in(fx, "1/0/segments", path);
    if (!has_list)
        (void)unlink(path); /* Or it is what was moved. */
    in(fx, "control", path);
    if (!has_control)
        (void)unlink(path);
    before = stamp_of(moved);
    st = inspect(fx, false, &damages, &left);
    dump(fx, name);
    read = use(fx, false);
    if (st == LS_OK && damages == 0 && read == LS_ERR_CORRUPT)
        wrong = "verifying finds nothing, and it is damaged for who reads it";
    if (inspect(fx, true, &damages, &left) == LS_OK && left == 0) {
        if (inspect(fx, false, &damages, &left) != LS_OK || damages != 0)
            wrong = "it was repaired, and is damaged";
        st = use(fx, true);
        if (st != LS_OK && st != LS_ERR_NOT_FOUND)
            wrong = "it was repaired, and cannot be used";
    }
    if (stamp_of(moved) != before)
        wrong = "somebody went where a link leads";
    if (wrong != NULL)
        fail_msg("%s is %d, list %d, control %d: %s (%s)", name, what, has_list, has_control, wrong,
                 ls_last_error_message());
    (void)tear_down(&state);
}

static void what_stands_in_a_place_is_not_taken_for_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (misfit what = LINK; what < MISFITS; what++)
            for (unsigned has = 0; has < 4; has++)
                judge(names[i], what, (has & 1) != 0, (has & 2) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_in_a_place_is_not_taken_for_it),
    };

    return cmocka_run_group_tests_name("misfits", tests, NULL, NULL);
}
