/* What a dump says of the files of released formats (storage/dump.c, unstable/inspect.h): all of one that is whole, and
 * of one that is damaged what is wrong with it, whatever that is. Method: the golden store's files, sealed and
 * compressed ones among them, are printed as they are; with one bit after another changed; cut at one length after
 * another; and while one allocation after another fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "engine/engine.h"
#include "engine/local/local.h"
#include "storage/segment.h"
#include "support/image.h"
#include "support/sim_memory.h"

#define STEP 97u /* bytes of segments between those that are changed, behind the header's fields */
#define FIELDS_BYTES 256u

typedef struct printed {
    uint64_t sum;
    uint32_t lines, damages, most; /* it says stop at the `most`th; 0: never */
} printed;

static sim_memory memory = SIM_MEMORY_INIT;

static ls_inspect_act take_line(const char *line, void *user)
{
    printed *to = user;

    assert_null(strchr(line, '\n'));
    to->sum = lsi_sum64(line, strlen(line), to->sum);
    to->damages += strncmp(line, "DAMAGED: ", 9) == 0;
    return ++to->lines == to->most ? LS_INSPECT_STOP : LS_INSPECT_GO_ON;
}

/* The files of one of the golden directories. */
static image take(const char *dir)
{
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/v0/%s", GOLDEN_DIR, dir);
    return image_take(&lsi_files_system, path);
}

/* `name` as it would lie in a directory with the others. */
static ls_status dump(const image *of, const char *name, printed *to)
{
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    char path[IMAGE_NAME_BYTES + 8];
    lsi_env env;
    ls_status st;

    assert_int_equal(image_put(of, files, "dir"), 0);
    lsi_env_default(&env);
    env.files = files;
    env.memory = sim_memory_table(&memory);
    (void)snprintf(path, sizeof path, "dir/%s", name);
    st = lsi_local_dump(&env, path, take_line, to);
    assert_int_equal(memory.live, 0);
    lsi_files_memory_free(files);
    return st;
}

static bool ends_with(const char *name, const char *end)
{
    return strlen(name) > strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
}

typedef void walk(image *of, image_file *file, const printed *whole);

static void each_file(walk *what)
{
    static const char *const dirs[] = {"1/0", "4/0", ""};

    for (size_t d = 0; d < 3; d++) {
        image of = take(dirs[d]);

        for (size_t i = 0; i < of.count; i++) {
            image_file *file = &of.files[i];
            printed whole = {0};

            if (strchr(file->name, '/') != NULL || strcmp(file->name, "reserve") == 0)
                continue;
            assert_int_equal(dump(&of, file->name, &whole), LS_OK);
            assert_int_equal(whole.damages, 0);
            assert_true(whole.lines > 0);
            what(&of, file, &whole);
        }
        image_free(&of);
    }
}

static bool is_end_of_dump(ls_status st)
{
    return st == LS_OK || st == LS_ERR_CORRUPT || st == LS_ERR_VERSION || st == LS_ERR_INVALID_ARGUMENT;
}

static void flip_each(image *of, image_file *file, const printed *whole)
{
    bool is_segment = ends_with(file->name, ".seg");

    for (size_t at = 0; at < file->size; at += is_segment && at >= FIELDS_BYTES ? STEP : 1) {
        printed now = {0};
        ls_status st;

        file->bytes[at] ^= (unsigned char)(1u << at % 8);
        st = dump(of, file->name, &now);
        file->bytes[at] ^= (unsigned char)(1u << at % 8);
        if (!is_end_of_dump(st) || (now.damages != 0 && st != LS_ERR_CORRUPT))
            fail_msg("%s, byte %zu: %s", file->name, at, ls_status_name(st));
        if (st == LS_OK && now.sum == whole->sum)
            fail_msg("%s, byte %zu: nothing is said of it", file->name, at);
        if (st == LS_OK && !is_segment) /* All of the others is under a sum. A segment's last frame may be torn. */
            fail_msg("%s, byte %zu: it is said to be whole", file->name, at);
    }
}

static void every_changed_bit_is_told(void **state)
{
    (void)state;
    each_file(flip_each);
}

static void cut_each(image *of, image_file *file, const printed *whole)
{
    size_t size = file->size;

    for (size_t cut = 0; cut < size; cut += size < 2 * STEP ? 1 : STEP) {
        printed now = {0};
        ls_status st;

        file->size = cut;
        st = dump(of, file->name, &now);

        if (!is_end_of_dump(st))
            fail_msg("%s, cut at %zu: %s", file->name, file->size, ls_status_name(st));
        if (st == LS_OK && now.sum == whole->sum)
            fail_msg("%s, cut at %zu: nothing is said of it", file->name, file->size);
    }
    file->size = size;
}

static void every_cut_is_told(void **state)
{
    (void)state;
    each_file(cut_each);
}

static void fail_each(image *of, image_file *file, const printed *whole)
{
    (void)whole;
    for (uint64_t nth = 1;; nth++) {
        printed now = {0};
        ls_status st;

        sim_memory_fail(&memory, nth, false);
        st = dump(of, file->name, &now);
        if (memory.failed == 0) {
            assert_int_equal(st, LS_OK);
            break;
        }
        assert_int_equal(st, LS_ERR_NO_MEMORY);
        assert_int_equal(now.damages, 0);
    }
    sim_memory_fail(&memory, 0, false);
}

static void a_lack_of_memory_is_no_damage(void **state)
{
    (void)state;
    each_file(fail_each);
}

static void stop_each(image *of, image_file *file, const printed *whole)
{
    for (uint32_t most = 1; most <= whole->lines && most < 40; most++) {
        printed now = {.most = most};

        assert_int_equal(dump(of, file->name, &now), LS_OK);
        assert_int_equal(now.lines, most);
    }
}

static void who_says_stop_gets_no_more_lines(void **state)
{
    (void)state;
    each_file(stop_each);
}

/* What lies beside a list or an index says whose it is: without it there is less to check, and that is said. */
static void a_file_alone_is_printed_too(void **state)
{
    image of = take("1/0");

    (void)state;
    for (size_t i = 0; i < of.count; i++) {
        image alone = {.count = 0};
        printed whole = {0}, now = {0};
        const char *name = of.files[i].name;
        ls_status st;

        assert_non_null(image_add(&alone, name, of.files[i].bytes, of.files[i].size));
        assert_int_equal(dump(&of, name, &whole), LS_OK);
        st = dump(&alone, name, &now);
        if (ends_with(name, ".seg"))
            assert_int_equal(now.sum, whole.sum);
        else if (ends_with(name, ".idx"))
            assert_true(st == LS_OK && now.lines > whole.lines);
        else
            assert_true(st == LS_ERR_CORRUPT && now.sum != whole.sum);
        image_free(&alone);
    }
    image_free(&of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_changed_bit_is_told),
        cmocka_unit_test(every_cut_is_told),
        cmocka_unit_test(a_lack_of_memory_is_no_damage),
        cmocka_unit_test(who_says_stop_gets_no_more_lines),
        cmocka_unit_test(a_file_alone_is_printed_too),
    };

    return cmocka_run_group_tests_name("printing files", tests, NULL, NULL);
}
