/* Going through the frames of one segment (storage/walk.c) and finding a place in it by its index (index.c), without a
 * log around it: where a walk ends, which numbers it believes, how it goes on behind damage; and which entry is found,
 * for every number and time there is. On the simulated disk. */
#include "storage/log_store.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "support/sim_files.h"

#define FRAMES 24u /* more than a walk reads at a time */
#define RECORD 30000u /* two begin in most blocks of the index */
#define LARGE (1u << 20)
#define BEGIN_US INT64_C(1700000000000000)

typedef struct fixture {
    sim_files *sim;
    log_store store;
    uint64_t positions[FRAMES + 1];
    lsi_segment *segment;
} fixture;

static int set_up(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.sim = sim_files_new();
    log_store_open(&fx.store, sim_files_table(fx.sim), true, LS_DURABILITY_SYNC, LARGE);
    for (unsigned n = 0; n < FRAMES; n++) {
        fx.store.wall_us = BEGIN_US + n;
        assert_int_equal(log_store_put(&fx.store, n, RECORD, &(ls_seqno){0}), LS_OK);
        fx.positions[n + 1] = lsi_load(&lsi_log_slot(fx.store.log)->committed_end);
    }
    assert_int_equal(lsi_segment_open(&fx.store.config, 1, false, &fx.segment), LS_OK);
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    lsi_segment_unref(fx->segment);
    (void)log_store_close(&fx->store);
    sim_files_free(fx->sim);
    return 0;
}

/* Goes on from frame `n` until anything else is met, and answers before which one that is. */
static unsigned walk_from(fixture *fx, unsigned n, uint64_t end, bool check_bodies)
{
    unsigned count = n;
    lsi_walk walk;

    lsi_walk_begin(&walk, &fx->store.env, fx->segment, fx->positions[n], end, check_bodies);
    for (;; count++) {
        lsi_frame_result result;
        uint64_t position;
        lsi_frame frame;

        assert_int_equal(lsi_walk_next(&walk, &frame, &position, &result), LS_OK);
        if (result != LSI_FRAME_VALID)
            break;
        assert_int_equal(position, fx->positions[count]);
        assert_int_equal(frame.first_seqno, count + 1);
        assert_int_equal(walk.at, fx->positions[count + 1]);
    }
    lsi_walk_end(&walk);
    return count;
}

static unsigned walk_to(fixture *fx, uint64_t end, bool check_bodies)
{
    return walk_from(fx, 0, end, check_bodies);
}

/* A frame that reaches beyond the end is none, wherever that is. */
static void a_walk_meets_what_lies_before_its_end_whole(void **state)
{
    fixture *fx = *state;

    for (unsigned n = 1; n <= FRAMES; n++) {
        const uint64_t ends[] = {fx->positions[n - 1] + 8, fx->positions[n - 1] + LSI_FRAME_HEADER_BYTES,
                                 fx->positions[n - 1] + RECORD, fx->positions[n] - 8};

        for (int check = 0; check < 2; check++) {
            assert_int_equal(walk_to(fx, fx->positions[n], check != 0), n);
            for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
                for (unsigned from = 0; from < n; from++)
                    assert_int_equal(walk_from(fx, from, ends[i], check != 0), n - 1);
        }
    }
}

/* What follows damage is found, the last frame, too, and nothing that reaches beyond the end. */
static void a_walk_goes_on_with_the_next_whole_frame(void **state)
{
    fixture *fx = *state;

    for (unsigned n = 0; n < FRAMES; n++)
        for (int cut = 0; cut < 2; cut++) {
            lsi_walk walk;
            bool found;

            lsi_walk_begin(&walk, &fx->store.env, fx->segment, 0, fx->positions[n + 1] - (cut ? 8 : 0), true);
            assert_int_equal(lsi_walk_resume(&walk, n > 0 ? fx->positions[n - 1] + 8 : 0, &found), LS_OK);
            assert_int_equal(found, !cut);
            if (found)
                assert_int_equal(walk.at, fx->positions[n]);
            lsi_walk_end(&walk);
        }
}

/* A number outside of what the header allows was not given in this segment. */
static void numbers_that_the_header_does_not_allow_are_no_frames(void **state)
{
    fixture *fx = *state;
    lsi_segment_header *header = &fx->segment->header;
    uint64_t limit = header->seqno_limit, end = fx->positions[FRAMES];

    header->seqno_limit = FRAMES + 1;
    assert_int_equal(walk_to(fx, end, true), FRAMES);
    for (unsigned allowed = 1; allowed < FRAMES; allowed++) { /* The next one is at the limit, or beyond. */
        header->seqno_limit = allowed + 1;
        assert_int_equal(walk_to(fx, end, true), allowed);
    }
    header->seqno_limit = limit;
    for (ls_seqno base = 2; base <= FRAMES; base++) {
        lsi_frame_result result;
        uint64_t position;
        lsi_frame frame;
        lsi_walk walk;
        bool found;

        header->base_seqno = base;
        lsi_walk_begin(&walk, &fx->store.env, fx->segment, 0, end, true);
        walk.after = 0;
        assert_int_equal(lsi_walk_next(&walk, &frame, &position, &result), LS_OK);
        assert_int_equal(result, LSI_FRAME_BAD);
        assert_int_equal(lsi_walk_resume(&walk, 8, &found), LS_OK);
        assert_true(found);
        assert_int_equal(walk.at, fx->positions[base - 1]);
        lsi_walk_end(&walk);
    }
    header->base_seqno = 1;
}

/* Who may read the file and not write it is told that; who may do neither, that it could not be read. */
static void what_may_not_be_opened_is_told_apart(void **state)
{
    fixture *fx = *state;
    lsi_segment *segment;

    for (int write = 0; write < 2; write++)
        for (int sticky = 0; sticky < 2; sticky++) {
            sim_fault_add(fx->sim, (sim_fault){.call = SIM_OPEN, .name = "00000001.seg", .nth = 1, .err = EACCES,
                                               .sticky = sticky != 0});
            assert_int_equal(lsi_segment_open(&fx->store.config, 1, write != 0, &segment),
                             write && !sticky ? LS_ERR_READ_ONLY : LS_ERR_IO);
            assert_int_equal(ls_last_error_errno(), EACCES);
            sim_faults_clear(fx->sim);
        }
}

/* ---- the index ---- */

static uint64_t block_of(const fixture *fx, unsigned frame)
{
    return fx->positions[frame] / LSI_INDEX_BLOCK_BYTES;
}

/* The first frame that begins in each block has an entry, but for blocks that are in `lacking`. */
static bool has_entry(const fixture *fx, unsigned frame, uint32_t lacking)
{
    return (frame == 0 || block_of(fx, frame) != block_of(fx, frame - 1)) && (lacking >> block_of(fx, frame) & 1) == 0;
}

static void write_index(fixture *fx, uint32_t lacking)
{
    static const unsigned char zeros[LSI_INDEX_ENTRY_BYTES];
    lsi_file file;

    for (unsigned n = 0; n < FRAMES; n++)
        if (has_entry(fx, n, 0))
            lsi_index_note(&fx->store.config, fx->segment,
                           &(lsi_index_entry){fx->positions[n], n + 1, BEGIN_US + n});
    assert_int_equal(sim_files_table(fx->sim)->open(&fx->store.root, "1/0/00000001.idx", LSI_OPEN_WRITE, &file), 0);
    for (uint64_t block = 0; block < 32; block++)
        if ((lacking >> block & 1) != 0)
            assert_int_equal(lsi_file_write_one(&file, zeros, sizeof zeros, block * LSI_INDEX_ENTRY_BYTES), 0);
    assert_int_equal(file.files->close(&file), 0);
}

/* The judge: the last frame with an entry that begins before `end` and is not beyond what is sought. */
static void check_find(fixture *fx, uint32_t lacking, uint64_t end, ls_seqno seqno, int64_t before_us)
{
    lsi_index_entry entry;
    unsigned expected = FRAMES;
    bool found;

    for (unsigned n = 0; n < FRAMES; n++)
        if (has_entry(fx, n, lacking) && fx->positions[n] < end &&
            (seqno != LS_SEQNO_NONE ? n + 1 <= seqno : BEGIN_US + n < before_us))
            expected = n;
    found = lsi_index_find(&fx->store.config, fx->segment, end, seqno, before_us, &entry);
    assert_int_equal(found, expected != FRAMES);
    if (!found)
        return;
    assert_int_equal(entry.position, fx->positions[expected]);
    assert_int_equal(entry.first_seqno, expected + 1);
    assert_int_equal(entry.arrival_us, BEGIN_US + expected);
}

static void the_last_entry_before_what_is_sought_is_found(void **state)
{
    static const uint32_t lacking[] = {0, 1, 2, 4, 6, 1 | 4, 8 | 16, ~UINT32_C(1)};
    fixture *fx = *state;

    assert_true(block_of(fx, FRAMES - 1) >= 4);
    for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++) {
        write_index(fx, lacking[i]);
        for (unsigned last = 0; last <= FRAMES; last++)
            for (unsigned n = 0; n <= FRAMES; n++) {
                check_find(fx, lacking[i], fx->positions[last], n + 1, 0);
                check_find(fx, lacking[i], fx->positions[last], LS_SEQNO_NONE, BEGIN_US + n);
            }
        check_find(fx, lacking[i], fx->positions[FRAMES], LS_SEQNO_NONE, LSI_NO_TIME);
    }
}

/* Where the last entry names no frame, what it hides is found all the same. */
static void an_entry_in_the_midst_of_a_frame_hides_nothing(void **state)
{
    fixture *fx = *state;
    uint64_t end = fx->positions[FRAMES];
    lsi_segment_list *list;
    lsi_frame frame;
    bool found;

    assert_int_equal(lsi_segment_list_load(&fx->store.config, &list), LS_OK);
    for (uint64_t at = fx->positions[FRAMES - 1] + 8; at < end; at += 1000) {
        lsi_index_note(&fx->store.config, fx->segment,
                       &(lsi_index_entry){at / 8 * 8, FRAMES, BEGIN_US + FRAMES - 1});
        assert_int_equal(lsi_log_last_frame(fx->store.log, list, end, &found, &frame), LS_OK);
        assert_true(found);
        assert_int_equal(frame.first_seqno, FRAMES);
    }
    lsi_segment_list_unref(list);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_walk_meets_what_lies_before_its_end_whole),
        T(a_walk_goes_on_with_the_next_whole_frame),
        T(numbers_that_the_header_does_not_allow_are_no_frames),
        T(what_may_not_be_opened_is_told_apart),
        T(the_last_entry_before_what_is_sought_is_found),
        T(an_entry_in_the_midst_of_a_frame_hides_nothing),
    };
    return cmocka_run_group_tests_name("going through a segment", tests, NULL, NULL);
}
