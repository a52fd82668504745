/* A segment's header written anew from its entry of the segment list and what is left of it (storage/salvage.c): which
 * byte of it is wrong does not matter, but for its salt, which nobody else knows; then it is as it was, or such that
 * every frame is right beneath it. On the simulated disk. */
#include "storage/log_store.h"

#include <stdlib.h>

#include "storage/verify.h"
#include "support/sim_files.h"

#define RECORD 20000u
#define RECORDS 8u /* three fill a segment */
#define SALT_BYTES 32u
#define CHAIN_END (LSI_SEGMENT_PREVIOUS_AT + 24)
#define TERMS_AT 160u
#define TERMS_END (184u + LSI_KEY_ID_BYTES_MAX)

typedef struct fixture {
    sim_files *sim;
    lsi_files *files;
    log_store store;
    lsi_segment_list *list;
} fixture;

static int set_up(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.sim = sim_files_new();
    fx.files = sim_files_table(fx.sim);
    log_store_open(&fx.store, fx.files, true, LS_DURABILITY_SYNC, LSI_SEGMENT_BYTES_MIN);
    for (unsigned n = 0; n < RECORDS; n++)
        assert_int_equal(log_store_put(&fx.store, n, RECORD, &(ls_seqno){0}), LS_OK);
    assert_int_equal(lsi_segment_list_load(&fx.store.config, &fx.list), LS_OK);
    assert_int_equal(fx.list->count, 3);
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    lsi_segment_list_unref(fx->list);
    (void)log_store_close(&fx->store);
    sim_files_free(fx->sim);
    return 0;
}

static void turn(fixture *fx, uint32_t number, size_t at)
{
    char name[LSI_SEGMENT_NAME_BYTES];
    unsigned char byte;
    lsi_file file;

    lsi_segment_name("1/0", number, "seg", name);
    assert_int_equal(fx->files->open(&fx->store.root, name, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->read(&file, &byte, 1, at), 1);
    byte ^= 0x11;
    assert_int_equal(lsi_file_write_one(&file, &byte, 1, at), 0);
    assert_int_equal(fx->files->close(&file), 0);
}

/* Whether the entry's frames are right beneath the header. */
static bool opens(const fixture *fx, const lsi_segment_header *header)
{
    lsi_segment *segment;
    lsi_walk walk;
    bool right;

    assert_int_equal(lsi_segment_open_as(&fx->store.config, header, &segment), LS_OK);
    lsi_walk_begin(&walk, fx->store.config.env, segment, header->base, header->base + 3 * RECORD, true);
    assert_int_equal(lsi_walk_resume(&walk, header->base, &right), LS_OK);
    right = right && walk.at == header->base;
    lsi_walk_end(&walk);
    lsi_segment_unref(segment);
    return right;
}

static bool is_within(size_t at, size_t from, size_t to)
{
    return from <= at && at < to;
}

/* Of the first one the list does not say what was before it. */
static void walk_bytes(fixture *fx, const lsi_segment_list *list, uint32_t i)
{
    const lsi_segment_entry *entry = &list->entries[i];

    for (size_t at = 0; at < LSI_SEGMENT_HEADER_BYTES; at += at < TERMS_END ? 1 : 61) {
        bool salt = is_within(at, LSI_SEGMENT_SALT_AT, LSI_SEGMENT_SALT_AT + SALT_BYTES), found;
        bool is_known = !salt && !is_within(at, LSI_SEGMENT_CREATED_AT, LSI_SEGMENT_CREATED_AT + 8) &&
                        !is_within(at, TERMS_AT, TERMS_END) &&
                        (i != 0 || !is_within(at, LSI_SEGMENT_PREVIOUS_AT, CHAIN_END));
        lsi_segment_header out;

        turn(fx, entry->number, at);
        assert_int_equal(lsi_header_salvage(&fx->store.config, list, i, &out, &found), LS_OK);
        if (found != !salt)
            fail_msg("byte %zu of segment %u is wrong: %s", at, entry->number, found ? "found" : "not found");
        if (is_known && out.sum != entry->header_sum)
            fail_msg("byte %zu of segment %u is wrong, and the header is not as it was", at, entry->number);
        if (found)
            assert_true(out.number == entry->number && out.base == entry->base &&
                        out.base_seqno == entry->base_seqno && out.seqno_limit == entry->seqno_limit);
        if (found && !is_within(at, TERMS_AT, TERMS_END)) /* Of another codec or key, frames are not to be opened. */
            assert_true(opens(fx, &out));
        turn(fx, entry->number, at);
    }
}

static void any_byte_but_the_salts_may_be_wrong(void **state)
{
    fixture *fx = *state;

    for (uint32_t i = 0; i < fx->list->count; i++)
        walk_bytes(fx, fx->list, i);
}

/* What was trimmed stays quoted by the header alone. */
static void so_it_is_behind_what_was_trimmed(void **state)
{
    fixture *fx = *state;
    lsi_segment_list rest = *fx->list;

    rest.entries++;
    rest.count--;
    walk_bytes(fx, &rest, 0);
}

/* A segment that took one large frame had more room than others, which only its header says. */
static void the_room_of_a_large_frame_is_kept(void **state)
{
    fixture *fx = *state;
    lsi_segment_header out;
    lsi_segment_list *list;
    bool found;

    assert_int_equal(log_store_put(&fx->store, 8, 3 * LSI_SEGMENT_BYTES_MIN, &(ls_seqno){0}), LS_OK);
    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    turn(fx, 4, 0);
    assert_int_equal(lsi_header_salvage(&fx->store.config, list, 3, &out, &found), LS_OK);
    assert_true(found && out.sum == list->entries[3].header_sum && out.frames_bytes_max > 3 * LSI_SEGMENT_BYTES_MIN);
    turn(fx, 4, LSI_SEGMENT_FRAMES_MAX_AT + 1); /* Then it has at least what is there. */
    assert_int_equal(lsi_header_salvage(&fx->store.config, list, 3, &out, &found), LS_OK);
    assert_true(found && out.frames_bytes_max >= 3 * LSI_SEGMENT_BYTES_MIN && out.frames_bytes_max <= UINT32_MAX);
    turn(fx, 4, LSI_SEGMENT_FRAMES_MAX_AT + 4); /* More than any segment has. */
    assert_int_equal(lsi_header_salvage(&fx->store.config, list, 3, &out, &found), LS_OK);
    assert_true(found && out.frames_bytes_max >= 3 * LSI_SEGMENT_BYTES_MIN && out.frames_bytes_max <= UINT32_MAX);
    lsi_segment_list_unref(list);
}

/* Without a frame nothing proves a salt; without a file there is none. */
static void an_empty_one_is_not_written_anew(void **state)
{
    fixture *fx = *state;
    lsi_segment_header out;
    lsi_file file;
    bool found;

    assert_int_equal(fx->files->open(&fx->store.root, "1/0/00000003.seg", LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->truncate(&file, LSI_SEGMENT_HEADER_BYTES), 0);
    assert_int_equal(fx->files->close(&file), 0);
    turn(fx, 3, LSI_SEGMENT_CREATED_AT);
    assert_int_equal(lsi_header_salvage(&fx->store.config, fx->list, 2, &out, &found), LS_OK);
    assert_false(found);
    assert_int_equal(fx->files->unlink(&fx->store.root, "1/0/00000003.seg"), 0);
    assert_int_equal(lsi_header_salvage(&fx->store.config, fx->list, 2, &out, &found), LS_OK);
    assert_false(found);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(any_byte_but_the_salts_may_be_wrong),
        T(so_it_is_behind_what_was_trimmed),
        T(the_room_of_a_large_frame_is_kept),
        T(an_empty_one_is_not_written_anew),
    };
    return cmocka_run_group_tests_name("a header written anew", tests, NULL, NULL);
}
