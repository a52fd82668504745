/* manifest.h: a checked file is what was written, or CORRUPT, or VERSION; never something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/manifest.h"
#include "support/sim_files.h"
#include "support/temp.h"

#define SALT UINT64_C(0x1234567890)

static lsi_env env;
static const char text[] = "streams and shards";

typedef struct checked {
    unsigned char *bytes;
    size_t size;
} checked;

static checked encode(const void *payload, size_t size)
{
    checked made;

    assert_int_equal(lsi_checked_encode(&env, LSI_CHECKED_MANIFEST, SALT, (lsi_checked_head){7, 5}, payload, size,
                                        (void **)&made.bytes, &made.size),
                     LS_OK);
    return made;
}

static uint32_t flags_seen; /* by decode() */

static ls_status decode(const void *bytes, size_t size, uint64_t salt, uint32_t kind, ls_bytes *payload)
{
    const unsigned char *view = NULL;
    size_t view_size = 0;
    lsi_checked_head head = {0};
    ls_status st = lsi_checked_decode("manifest", kind, salt, bytes, size, &head, &view, &view_size);

    if (st == LS_OK) {
        assert_int_equal(head.generation, 7);
        flags_seen = head.flags;
        *payload = (ls_bytes){view, view_size};
    }
    return st;
}

static int set_up(void **state)
{
    (void)state;
    lsi_env_default(&env);
    return 0;
}

static void what_was_written_is_read(void **state)
{
    checked made = encode(text, sizeof text);
    ls_bytes payload;

    (void)state;
    assert_int_equal(made.size, LSI_CHECKED_HEADER_BYTES + sizeof text);
    assert_int_equal(decode(made.bytes, made.size, SALT, LSI_CHECKED_MANIFEST, &payload), LS_OK);
    assert_int_equal(payload.size, sizeof text);
    assert_memory_equal(payload.data, text, sizeof text);
    lsi_free(&env.memory, made.bytes);
    made = encode(NULL, 0);
    assert_int_equal(decode(made.bytes, made.size, SALT, LSI_CHECKED_MANIFEST, &payload), LS_OK);
    assert_int_equal(payload.size, 0);
    lsi_free(&env.memory, made.bytes);
}

/* Goal: every byte counts. Method: cut at each byte, add one, flip each bit; all are CORRUPT, never VERSION. */
static void any_other_byte_is_damage(void **state)
{
    checked made = encode(text, sizeof text);
    unsigned char *longer = calloc(1, made.size + 1);
    ls_bytes payload;

    (void)state;
    for (size_t cut = 0; cut < made.size; cut++) {
        unsigned char *shorter = malloc(cut + 1); /* exact, so that reading on is seen */

        memcpy(shorter + 1, made.bytes, cut);
        assert_int_equal(decode(shorter + 1, cut, SALT, LSI_CHECKED_MANIFEST, &payload), LS_ERR_CORRUPT);
        free(shorter);
    }
    memcpy(longer, made.bytes, made.size);
    assert_int_equal(decode(longer, made.size + 1, SALT, LSI_CHECKED_MANIFEST, &payload), LS_ERR_CORRUPT);
    for (size_t bit = 0; bit < made.size * 8; bit++) {
        made.bytes[bit / 8] = (unsigned char)(made.bytes[bit / 8] ^ 1u << bit % 8);
        assert_int_equal(decode(made.bytes, made.size, SALT, LSI_CHECKED_MANIFEST, &payload), LS_ERR_CORRUPT);
        assert_non_null(strstr(lsi_error_current()->message, "manifest"));
        made.bytes[bit / 8] = (unsigned char)(made.bytes[bit / 8] ^ 1u << bit % 8);
    }
    assert_int_equal(decode(made.bytes, made.size, SALT, LSI_CHECKED_MANIFEST, &payload), LS_OK);
    free(longer);
    lsi_free(&env.memory, made.bytes);
}

static void a_file_from_elsewhere_is_damage(void **state)
{
    checked made = encode(text, sizeof text);
    ls_bytes payload;

    (void)state;
    assert_int_equal(decode(made.bytes, made.size, SALT + 1, LSI_CHECKED_MANIFEST, &payload), LS_ERR_CORRUPT);
    assert_int_equal(decode(made.bytes, made.size, SALT, LSI_CHECKED_SEGMENTS, &payload), LS_ERR_CORRUPT);
    lsi_free(&env.memory, made.bytes);
}

/* Makes the sums right again. */
static void sign(checked *made)
{
    lsi_write_u64le(made->bytes + 40,
                    lsi_sum64(made->bytes + LSI_CHECKED_HEADER_BYTES, made->size - LSI_CHECKED_HEADER_BYTES, SALT));
    lsi_write_u64le(made->bytes + 56, lsi_sum64(made->bytes, 56, SALT));
}

/* Goal: P11. Method: a later format and an unknown must-refuse flag are VERSION; a may-ignore flag and a longer header
 * are read. */
static void later_formats_are_refused_and_what_may_be_ignored_is_ignored(void **state)
{
    checked made = encode(text, sizeof text), longer;
    ls_bytes payload;

    (void)state;
    lsi_write_u16le(made.bytes + 12, 1);
    sign(&made);
    assert_int_equal(decode(made.bytes, made.size, SALT, LSI_CHECKED_MANIFEST, &payload), LS_ERR_VERSION);
    lsi_write_u16le(made.bytes + 12, 0);
    lsi_write_u32le(made.bytes + 20, 0x80000000u);
    sign(&made);
    assert_int_equal(decode(made.bytes, made.size, SALT, LSI_CHECKED_MANIFEST, &payload), LS_ERR_VERSION);
    lsi_write_u32le(made.bytes + 20, 0);
    lsi_write_u32le(made.bytes + 16, 0x80000000u);
    sign(&made);
    assert_int_equal(decode(made.bytes, made.size, SALT, LSI_CHECKED_MANIFEST, &payload), LS_OK);
    assert_int_equal(flags_seen, 0x80000000u);

    longer.size = made.size + 16;
    longer.bytes = calloc(1, longer.size);
    memcpy(longer.bytes, made.bytes, LSI_CHECKED_HEADER_BYTES);
    memcpy(longer.bytes + LSI_CHECKED_HEADER_BYTES + 16, text, sizeof text);
    lsi_write_u16le(longer.bytes + 14, LSI_CHECKED_HEADER_BYTES + 16);
    sign(&longer);
    assert_int_equal(decode(longer.bytes, longer.size, SALT, LSI_CHECKED_MANIFEST, &payload), LS_OK);
    assert_int_equal(payload.size, sizeof text);
    assert_memory_equal(payload.data, text, sizeof text);
    lsi_write_u16le(longer.bytes + 14, 8); /* a header that is shorter than itself */
    sign(&longer);
    assert_int_equal(decode(longer.bytes, longer.size, SALT, LSI_CHECKED_MANIFEST, &payload), LS_ERR_CORRUPT);
    free(longer.bytes);
    lsi_free(&env.memory, made.bytes);
}

/* ---- in a file ---- */

static void a_file_that_is_none_is_told_apart(void **state)
{
    temp_dir temp;
    lsi_root root;
    lsi_checked_head head;
    void *payload;
    size_t size;

    (void)state;
    temp_make(&temp);
    assert_int_equal(env.files->root_open(env.files, temp.path, LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(lsi_checked_load(&env, &root, "m", LSI_CHECKED_MANIFEST, SALT, &head, &payload, &size),
                     LS_ERR_NOT_FOUND);
    assert_int_equal(mkfifo(temp_path(&temp, "fifo"), 0600), 0);
    assert_int_equal(lsi_checked_load(&env, &root, "fifo", LSI_CHECKED_MANIFEST, SALT, &head, &payload, &size),
                     LS_ERR_CORRUPT);
    assert_int_equal(symlink("/etc/passwd", temp_path(&temp, "link")), 0);
    assert_int_equal(lsi_checked_load(&env, &root, "link", LSI_CHECKED_MANIFEST, SALT, &head, &payload, &size),
                     LS_ERR_CORRUPT);
    assert_int_equal(lsi_checked_store(&env, &root, "", "m", LSI_CHECKED_MANIFEST, SALT, (lsi_checked_head){9, 1u << 31}, text,
                                       sizeof text),
                     LS_OK);
    assert_int_equal(lsi_checked_load(&env, &root, "m", LSI_CHECKED_MANIFEST, SALT, &head, &payload, &size),
                     LS_OK);
    assert_int_equal(head.generation, 9);
    assert_true(head.flags == 1u << 31);
    assert_int_equal(size, sizeof text);
    assert_memory_equal(payload, text, sizeof text);
    lsi_free(&env.memory, payload);
    assert_int_equal(truncate(temp_path(&temp, "m"), (off_t)(64u << 20) + 1), 0);
    assert_int_equal(lsi_checked_load(&env, &root, "m", LSI_CHECKED_MANIFEST, SALT, &head, &payload, &size),
                     LS_ERR_CORRUPT);
    root.files->root_close(&root);
    temp_remove(&temp);
}

/* Goal: D6. Method: replace generation 1 by 2, crash after every change of the disk in every way: 1 or 2 is there,
 * whole, and 2 once the call has returned. */
static void a_crash_leaves_the_old_one_or_the_new_one(void **state)
{
    sim_files *sim = sim_files_new();
    lsi_root root;
    size_t before, after;

    (void)state;
    env.files = sim_files_table(sim);
    assert_int_equal(env.files->root_open(env.files, "s", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(lsi_checked_store(&env, &root, "", "m", LSI_CHECKED_MANIFEST, SALT, (lsi_checked_head){1, 0}, "old", 3),
                     LS_OK);
    before = sim_log_count(sim);
    assert_int_equal(lsi_checked_store(&env, &root, "", "m", LSI_CHECKED_MANIFEST, SALT, (lsi_checked_head){2, 0}, text, sizeof text),
                     LS_OK);
    after = sim_log_count(sim);
    for (size_t prefix = before; prefix <= after; prefix++)
        for (uint64_t seed = 0; seed < SIM_SEED_RANDOM + 20; seed++) {
            sim_files *crashed = sim_crash_state(sim, prefix, seed);
            lsi_env own = env;
            lsi_root there;
            lsi_checked_head head;
            void *payload;
            size_t size;

            own.files = sim_files_table(crashed);
            assert_int_equal(own.files->root_open(own.files, "s", LSI_ROOT_WRITE, &there), 0);
            assert_int_equal(lsi_checked_load(&own, &there, "m", LSI_CHECKED_MANIFEST, SALT, &head, &payload,
                                              &size),
                             LS_OK);
            assert_int_equal(size, head.generation == 1 ? 3 : sizeof text);
            assert_memory_equal(payload, head.generation == 1 ? "old" : text, size);
            if (prefix == after)
                assert_int_equal(head.generation, 2);
            lsi_free(&own.memory, payload);
            there.files->root_close(&there);
            sim_files_free(crashed);
        }
    root.files->root_close(&root);
    sim_files_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_written_is_read, set_up),
        cmocka_unit_test_setup(any_other_byte_is_damage, set_up),
        cmocka_unit_test_setup(a_file_from_elsewhere_is_damage, set_up),
        cmocka_unit_test_setup(later_formats_are_refused_and_what_may_be_ignored_is_ignored, set_up),
        cmocka_unit_test_setup(a_file_that_is_none_is_told_apart, set_up),
        cmocka_unit_test_setup(a_crash_leaves_the_old_one_or_the_new_one, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
