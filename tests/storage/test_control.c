/* control.h: who is attached, what a slot keeps and what it forgets, watermarks, the store lock.
 *
 * On the simulated files where a death or a reboot is needed, on the system's where real processes are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/hash.h"
#include "storage/control.h"
#include "storage/control_layout.h"
#include "support/emulated.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"
#include "support/temp.h"

static const unsigned char store_id[16] = "0123456789abcde";
static const unsigned char other_id[16] = "another store's";

typedef struct fixture {
    temp_dir temp;
    lsi_env env;
    lsi_root root;
} fixture;

static int set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);

    temp_make(&fx->temp);
    lsi_env_default(&fx->env);
    fx->env.busy_timeout_ms = 60;
    assert_int_equal(fx->env.files->root_open(fx->env.files, fx->temp.path, LSI_ROOT_WRITE, &fx->root), 0);
    *state = fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    lsi_boot_id_pretend(NULL);
    fx->root.files->root_close(&fx->root);
    temp_remove(&fx->temp);
    free(fx);
    return 0;
}

static lsi_control *attach(fixture *fx, bool expected_alone)
{
    lsi_control *control;
    bool alone;

    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, false, &control, &alone), LS_OK);
    assert_int_equal(alone, expected_alone);
    return control;
}

static lsi_slot *slot_of(lsi_control *control, uint64_t stream, uint32_t shard)
{
    lsi_slot *slot;

    assert_int_equal(lsi_control_slot(control, LSI_SLOT_SHARD, stream, shard, &slot), LS_OK);
    return slot;
}

static void reboot(unsigned char number)
{
    unsigned char id[16] = {number, 1};

    lsi_boot_id_pretend(id);
}

/* ---- attaching ---- */

/* Goal: only the first is alone, and being alone raises the epoch. Method: attach two, leave, attach again. */
static void the_first_is_alone_and_raises_the_epoch(void **state)
{
    fixture *fx = *state;
    lsi_control *first = attach(fx, true);
    uint32_t epoch = lsi_control_epoch(first);
    lsi_control *second = attach(fx, false);

    assert_int_not_equal(epoch, 0);
    assert_int_equal(lsi_control_epoch(second), epoch);
    lsi_control_close(first);
    first = attach(fx, false);
    lsi_control_close(first);
    lsi_control_close(second);
    first = attach(fx, true);
    assert_true(lsi_control_epoch(first) != epoch);
    lsi_control_close(first);
}

/* Goal: within one boot nothing is forgotten (kill -9 keeps the ends). Method: leave without a word, come back. */
static void the_same_boot_keeps_everything(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true);
    lsi_slot *slot = slot_of(control, 5, 3);

    atomic_store(&slot->committed_end, 4096);
    atomic_store(&slot->health, LSI_SHARD_HEALTHY);
    lsi_watermark_note(slot, 2, 4000);
    lsi_control_manifest_changed(control);
    uint64_t generation = lsi_control_manifest_generation(control);
    lsi_control_close(control);

    control = attach(fx, true);
    slot = slot_of(control, 5, 3);
    assert_int_equal(atomic_load(&slot->committed_end), 4096);
    assert_int_equal(atomic_load(&slot->health), LSI_SHARD_HEALTHY);
    assert_int_equal(lsi_control_manifest_generation(control), generation);
    assert_true(atomic_load(&slot->epoch) != lsi_control_epoch(control));
    lsi_control_close(control);
}

/* Goal: R2 survives a reboot, nothing else does. Method: two slots, one with a watermark; boot anew. */
static void another_boot_keeps_only_watermarks(void **state)
{
    fixture *fx = *state;
    uint32_t segment, used = 0;
    uint64_t end;

    reboot(1);
    lsi_control *control = attach(fx, true);
    (void)slot_of(control, 5, 0);
    lsi_slot *slot = slot_of(control, 5, 1);
    atomic_store(&slot->committed_end, 4096);
    atomic_store(&slot->health, LSI_SHARD_HEALTHY);
    atomic_store(&slot->generation, 9);
    atomic_store(&slot->wake_wanted, 1);
    lsi_watermark_note(slot, 2, 4000);
    assert_int_equal(lsi_lock_take(&slot->append_lock, LSI_RANK_SHARD, 0), LSI_LOCKED);
    lsi_lock_release(&slot->append_lock, LSI_RANK_SHARD);
    lsi_control_close(control);

    reboot(2);
    control = attach(fx, true);
    slot = slot_of(control, 5, 1);
    assert_int_equal(atomic_load(&slot->health), LSI_SHARD_FRESH);
    assert_int_equal(atomic_load(&slot->committed_end), 0);
    assert_int_equal(atomic_load(&slot->generation), 0);
    assert_int_equal(atomic_load(&slot->wake_wanted), 0);
    assert_int_equal(atomic_load(&slot->epoch), 0);
    assert_true(lsi_watermark_read(slot, &segment, &end));
    assert_int_equal(segment, 2);
    assert_int_equal(end, 4000);
    assert_int_equal(lsi_lock_take(&slot->append_lock, LSI_RANK_SHARD, 0), LSI_LOCKED);
    lsi_lock_release(&slot->append_lock, LSI_RANK_SHARD);
    assert_false(lsi_watermark_read(slot_of(control, 5, 0), &segment, &end));
    used = atomic_load(&control->header->used_count);
    assert_int_equal(used, 2); /* the free one before it was used again */
    lsi_control_close(control);
}

/* Goal: another store's control file says nothing. Method: attach with another store id. */
static void another_stores_file_is_wiped(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true);
    lsi_slot *slot = slot_of(control, 5, 1);
    uint32_t segment;
    uint64_t end;
    bool alone;

    lsi_watermark_note(slot, 2, 4000);
    atomic_store(&slot->health, LSI_SHARD_HEALTHY);
    lsi_control_close(control);
    assert_int_equal(lsi_control_open(&fx->env, &fx->root, other_id, false, &control, &alone), LS_OK);
    slot = slot_of(control, 5, 1);
    assert_int_equal(atomic_load(&slot->health), LSI_SHARD_FRESH);
    assert_false(lsi_watermark_read(slot, &segment, &end));
    lsi_control_close(control);
}

static void write_at(fixture *fx, size_t at, const void *bytes, size_t size)
{
    lsi_file file = {0};

    assert_int_equal(fx->root.files->open(&fx->root, LSI_CONTROL_NAME, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(lsi_file_write_one(&file, bytes, size, at), 0);
    assert_int_equal(file.files->close(&file), 0);
}

/* Goal: P10, while somebody is alive a mismatch refuses; afterwards the file is made anew. Method: change layout,
 * features, boot and magic under an attached process. */
static void a_mismatch_is_refused_while_somebody_is_attached(void **state)
{
    fixture *fx = *state;
    const struct {
        size_t at, size;
    } fields[] = {{offsetof(control_header, layout), 4},
                  {offsetof(control_header, features), 4},
                  {offsetof(control_header, boot_id), 16},
                  {offsetof(control_header, magic), 8},
                  {offsetof(control_header, sum), 8}};

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        for (int with_right_sum = 0; with_right_sum < 2; with_right_sum++) {
            lsi_control *control = attach(fx, true), *refused;
            unsigned char *field = (unsigned char *)control->header + fields[i].at;
            bool alone;

            field[0] ^= 4;
            if (with_right_sum != 0)
                control->header->sum = lsi_sum64(control->header, offsetof(control_header, sum), 0);
            if (fields[i].at != offsetof(control_header, sum) || with_right_sum == 0)
                assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, false, &refused, &alone),
                                 LS_ERR_VERSION);
            lsi_control_close(control);
            lsi_control_close(attach(fx, true));
        }
}

/* Goal: P10, X1: whatever the file holds, who is alone gets a working one. Method: cut it at many sizes, fill it with
 * 0xff, and overwrite the counts. */
static void a_damaged_file_is_made_anew(void **state)
{
    fixture *fx = *state;
    static unsigned char ones[CONTROL_SLOTS_AT + CONTROL_SLOTS_FIRST * LSI_SLOT_BYTES];
    uint32_t huge[3] = {UINT32_MAX, UINT32_MAX, UINT32_MAX};

    memset(ones, 0xff, sizeof ones);
    for (size_t size = 0; size <= sizeof ones; size += 1531) {
        lsi_control *control = attach(fx, true);

        (void)slot_of(control, 1, 1);
        lsi_control_close(control);
        assert_int_equal(truncate(temp_path(&fx->temp, LSI_CONTROL_NAME), (off_t)size), 0);
        control = attach(fx, true);
        assert_int_equal(atomic_load(&slot_of(control, 1, 1)->health), LSI_SHARD_FRESH);
        lsi_control_close(control);
    }
    write_at(fx, 0, ones, sizeof ones);
    lsi_control *control = attach(fx, true);
    (void)slot_of(control, 1, 1);
    lsi_control_close(control);
    write_at(fx, offsetof(control_header, slot_count), huge, sizeof huge);
    control = attach(fx, true);
    (void)slot_of(control, 1, 1);
    assert_int_equal(atomic_load(&control->header->slot_count), CONTROL_SLOTS_FIRST);
    lsi_control_close(control);
}

/* Goal: C1. Method: a file that `cp` made sparse has all its blocks after attaching. */
static void a_sparse_file_is_allocated_before_it_is_touched(void **state)
{
    fixture *fx = *state;
    struct stat about;
    const char *path;

    path = temp_path(&fx->temp, LSI_CONTROL_NAME);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(close(fd), 0);
    lsi_control *control = attach(fx, true);
    assert_int_equal(stat(path, &about), 0);
    assert_true((uint64_t)about.st_blocks * 512 >= 1 << 20);
    lsi_control_close(control);
}

/* Goal: file systems that cannot allocate work too. Method: a table whose allocate answers EOPNOTSUPP. */
static int cannot_allocate(const lsi_file *file, uint64_t at, uint64_t size)
{
    (void)file;
    (void)at;
    (void)size;
    return -EOPNOTSUPP;
}

static void space_is_written_where_it_cannot_be_allocated(void **state)
{
    fixture *fx = *state;
    lsi_files files = lsi_files_system;

    files.allocate = cannot_allocate;
    fx->root.files = &files;
    lsi_control *control = attach(fx, true);
    for (uint32_t i = 0; i < 100; i++)
        atomic_store(&slot_of(control, 1, i)->committed_end, i);
    lsi_control_close(control);
    control = attach(fx, true); /* what is there is kept when it is written again */
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(atomic_load(&slot_of(control, 1, i)->committed_end), i);
    lsi_control_close(control);
    fx->root.files = &lsi_files_system;
}

static void the_gate_is_waited_for_up_to_the_busy_timeout(void **state)
{
    fixture *fx = *state;
    lsi_gate *gate = NULL;
    lsi_control *control;
    bool alone;
    int64_t began = lsi_monotonic_us(&fx->env.clock);

    assert_int_equal(lsi_control_gate(&fx->env, &fx->root, &gate), LS_OK);
    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, false, &control, &alone), LS_ERR_BUSY);
    assert_true(lsi_monotonic_us(&fx->env.clock) - began >= 55000);
    lsi_control_gate_release(gate);
    lsi_control_gate_release(NULL);
    lsi_control_close(attach(fx, true));
}

/* ---- reading where nothing may be written (E6) ---- */

static void a_read_only_open_makes_no_file(void **state)
{
    fixture *fx = *state;
    lsi_control *control;
    lsi_slot *slot;
    bool alone;

    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, true, &control, &alone), LS_OK);
    assert_true(lsi_control_is_private(control));
    assert_int_equal(lsi_control_slot(control, LSI_SLOT_SHARD, 1, 1, &slot), LS_OK);
    assert_int_equal(lsi_control_lock(control), LS_OK);
    lsi_control_unlock(control);
    lsi_control_close(control);
    assert_int_not_equal(access(temp_path(&fx->temp, LSI_CONTROL_NAME), F_OK), 0);
}

static int refuse_writing(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    if ((flags & LSI_OPEN_WRITE) != 0)
        return -EROFS;
    return lsi_files_system.open(root, name, flags, out);
}

static void a_read_only_medium_gets_memory_of_its_own(void **state)
{
    fixture *fx = *state;
    lsi_files files = lsi_files_system;
    lsi_control *control;
    bool alone;

    lsi_control_close(attach(fx, true));
    files.open = refuse_writing;
    fx->root.files = &files;
    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, true, &control, &alone), LS_OK);
    assert_true(lsi_control_is_private(control));
    lsi_control_close(control);
    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, false, &control, &alone), LS_ERR_READ_ONLY);
    fx->root.files = &lsi_files_system;
}

static int fail_to_open(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    return strcmp(name, LSI_CONTROL_NAME) == 0 ? -EIO : lsi_files_system.open(root, name, flags, out);
}

/* A file that the disk does not give is no file that may not be written: its words are not done without. */
static void a_disk_that_fails_is_no_read_only_medium(void **state)
{
    fixture *fx = *state;
    lsi_files files = lsi_files_system;
    lsi_control *control;
    bool alone;

    lsi_control_close(attach(fx, true));
    files.open = fail_to_open;
    fx->root.files = &files;
    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, true, &control, &alone), LS_ERR_IO);
    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, false, &control, &alone), LS_ERR_IO);
    fx->root.files = &lsi_files_system;
}

static void a_reader_that_may_write_the_file_attaches_to_it(void **state)
{
    fixture *fx = *state;
    lsi_control *writer = attach(fx, true), *reader;
    bool alone;

    atomic_store(&slot_of(writer, 1, 1)->committed_end, 77);
    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, true, &reader, &alone), LS_OK);
    assert_false(alone);
    assert_false(lsi_control_is_private(reader));
    assert_int_equal(atomic_load(&slot_of(reader, 1, 1)->committed_end), 77);
    lsi_control_close(reader);
    lsi_control_close(writer);
}

/* ---- slots ---- */

/* Goal: a slot is found again, by everybody, however many there are. Method: 1,000 through one, read by another. */
static void slots_are_shared_and_stay_where_they_are(void **state)
{
    fixture *fx = *state;
    lsi_control *one = attach(fx, true), *two = attach(fx, false);
    lsi_slot *first = slot_of(one, 1, 0);

    for (uint32_t i = 0; i < 1000; i++)
        atomic_store(&slot_of(i % 3 == 0 ? two : one, 1 + i % 7, i)->committed_end, i);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(atomic_load(&slot_of(i % 2 == 0 ? two : one, 1 + i % 7, i)->committed_end), i);
    assert_ptr_equal(slot_of(one, 1, 0), first);
    assert_int_equal(atomic_load(&one->header->used_count), 1000);
    lsi_control_close(two);
    lsi_control_close(one);
}

static void a_stream_slot_is_none_of_its_shards(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true);
    lsi_slot *stream;

    assert_int_equal(lsi_control_slot(control, LSI_SLOT_STREAM, 1, 0, &stream), LS_OK);
    assert_ptr_not_equal(stream, slot_of(control, 1, 0));
    lsi_control_close(control);
}

static bool count_slot(void *user, lsi_slot *slot)
{
    uint32_t *count = user;

    assert_int_not_equal(atomic_load(&slot->kind), LSI_SLOT_FREE);
    return ++*count < 3;
}

/* Goal: a deleted stream's slots say so and are not used again while a pointer may be held. Method: drop, take others
 * of the same identity and of another; come back alone, take one more. */
static void a_dropped_slot_rests_until_somebody_was_alone(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true);
    lsi_slot *held = slot_of(control, 1, 0), *kept = slot_of(control, 2, 0), *again;
    uint32_t token = lsi_slot_arm(held), count = 0;

    assert_int_equal(lsi_control_lock(control), LS_OK);
    lsi_control_drop_stream(control, 1, 1);
    lsi_control_unlock(control);
    assert_int_equal(atomic_load(&held->deleted), 1);
    assert_int_equal(atomic_load(&held->stream), 0);
    assert_int_equal(lsi_slot_sleep(held, token, 1000000), LSI_WOKEN);
    assert_int_equal(atomic_load(&kept->deleted), 0);
    lsi_control_each(control, count_slot, &count);
    assert_int_equal(count, 1);
    assert_ptr_not_equal(slot_of(control, 3, 0), held);
    assert_ptr_not_equal(slot_of(control, 1, 0), held);
    lsi_control_close(control);

    control = attach(fx, true);
    again = slot_of(control, 4, 4);
    assert_ptr_equal((unsigned char *)again - control->slots, 0); /* the first one, at last */
    assert_int_equal(atomic_load(&again->deleted), 0);
    assert_int_equal(atomic_load(&again->health), LSI_SHARD_FRESH);
    assert_ptr_equal(slot_of(control, 4, 4), again);
    count = 0;
    lsi_control_each(control, count_slot, &count);
    assert_int_equal(count, 3); /* and stops there: there are four */
    lsi_control_close(control);
}

/* Goal: another process's table notices a slot that was used again. Method: two attach after a drop; one reuses. */
static void a_slot_used_again_is_found_by_all(void **state)
{
    fixture *fx = *state;
    lsi_control *one = attach(fx, true), *two;
    lsi_slot *slot = slot_of(one, 1, 0);

    (void)slot;
    (void)slot_of(one, 2, 0);
    assert_int_equal(lsi_control_lock(one), LS_OK);
    lsi_control_drop_stream(one, 1, 1);
    lsi_control_unlock(one);
    lsi_control_close(one);
    one = attach(fx, true);
    two = attach(fx, false);
    (void)slot_of(two, 2, 0); /* fills the table, with the free one in it */
    slot = slot_of(one, 3, 3);
    assert_ptr_equal((unsigned char *)slot - one->slots, 0);
    atomic_store(&slot->committed_end, 33);
    assert_int_equal(atomic_load(&slot_of(two, 3, 3)->committed_end), 33);
    lsi_control_close(two);
    lsi_control_close(one);
}

/* Goal: E3, what was reserved is there when the disk is full. Method: reserve, let allocating fail, take slots. */
static int no_space(const lsi_file *file, uint64_t at, uint64_t size)
{
    (void)file;
    (void)at;
    (void)size;
    return -ENOSPC;
}

static void reserved_slots_need_no_space_later(void **state)
{
    fixture *fx = *state;
    lsi_files files = lsi_files_system;
    lsi_control *control;
    lsi_slot *slot;

    fx->root.files = &files;
    control = attach(fx, true);
    assert_int_equal(lsi_control_lock(control), LS_OK);
    assert_int_equal(lsi_control_reserve(control, 50), LS_OK);
    lsi_control_unlock(control);
    files.allocate = no_space;
    for (uint32_t i = 0; i < 50; i++)
        (void)slot_of(control, 1, i);
    assert_int_equal(lsi_control_slot(control, LSI_SLOT_SHARD, 1, 50, &slot), LS_ERR_FULL);
    assert_int_equal(atomic_load(&slot_of(control, 1, 7)->kind), LSI_SLOT_SHARD); /* all else goes on */
    files.allocate = lsi_files_system.allocate;
    (void)slot_of(control, 1, 50);
    lsi_control_close(control);
    fx->root.files = &lsi_files_system;
}

/* ---- watermarks ---- */

static void the_latest_watermark_counts(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true);
    lsi_slot *slot = slot_of(control, 1, 0);
    uint32_t segment;
    uint64_t end;

    assert_false(lsi_watermark_read(slot, &segment, &end));
    for (uint64_t i = 1; i < 10; i++) {
        lsi_watermark_note(slot, (uint32_t)i, i * 100);
        assert_true(lsi_watermark_read(slot, &segment, &end));
        assert_int_equal(segment, i);
        assert_int_equal(end, i * 100);
    }
    lsi_watermark_note(slot, 11, 50); /* a reset goes back; what was noted last counts */
    assert_true(lsi_watermark_read(slot, &segment, &end));
    assert_int_equal(end, 50);
    lsi_control_close(control);
}

/* Goal: T3. Method: every bit of the newer one flipped leaves the older one; of both, none; another shard's slot
 * rejects them. */
static void a_damaged_watermark_does_not_count(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true);
    lsi_slot *slot = slot_of(control, 1, 0);
    uint32_t segment;
    uint64_t end;

    lsi_watermark_note(slot, 1, 100);
    lsi_watermark_note(slot, 2, 200);
    for (size_t bit = 0; bit < sizeof(lsi_watermark) * 8; bit++) {
        unsigned char *byte = (unsigned char *)&slot->watermark[1] + bit / 8;

        assert_true(lsi_watermark_read(slot, &segment, &end));
        if (end != 200)
            byte = (unsigned char *)&slot->watermark[0] + bit / 8;
        assert_int_equal(end, 200);
        *byte = (unsigned char)(*byte ^ 1u << bit % 8);
        assert_true(lsi_watermark_read(slot, &segment, &end));
        assert_int_equal(end, 100);
        *byte = (unsigned char)(*byte ^ 1u << bit % 8);
    }
    slot->shard = 1;
    assert_false(lsi_watermark_read(slot, &segment, &end));
    slot->shard = 0;
    memset(slot->watermark, 0xff, sizeof slot->watermark);
    assert_false(lsi_watermark_read(slot, &segment, &end));
    lsi_watermark_note(slot, 3, 300);
    assert_true(lsi_watermark_read(slot, &segment, &end));
    assert_int_equal(end, 300);
    lsi_control_close(control);
}

/* ---- sleeping ---- */

/* The next one goes where nothing valid is, whatever number that has: the other place stays whole (T3). */
static void a_watermark_replaces_the_damaged_one(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true);

    for (int damaged = 0; damaged < 2; damaged++) {
        lsi_slot *slot = slot_of(control, 1, (uint32_t)damaged);
        uint32_t segment;
        uint64_t end;

        lsi_watermark_note(slot, 1, 100);
        lsi_watermark_note(slot, 1, 200);
        lsi_watermark_note(slot, 1, 300);
        atomic_store(&slot->watermark[damaged].serial, 99);
        assert_true(lsi_watermark_read(slot, &segment, &end));
        uint64_t left = end;
        lsi_watermark_note(slot, 1, 400);
        assert_true(lsi_watermark_read(slot, &segment, &end));
        assert_int_equal(end, 400);
        atomic_store(&slot->watermark[damaged].sum, 0);
        assert_true(lsi_watermark_read(slot, &segment, &end));
        assert_int_equal(end, left);
    }
    lsi_control_close(control);
}

static void a_wake_costs_no_generation_when_nobody_armed(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true);
    lsi_slot *slot = slot_of(control, 1, 0);
    uint32_t token;

    lsi_slots_wake(slot, NULL);
    assert_int_equal(atomic_load(&slot->wake_word), 0);
    token = lsi_slot_arm(slot);
    lsi_slots_wake(slot, NULL);
    assert_int_equal(lsi_slot_sleep(slot, token, 1000000), LSI_WOKEN);
    token = lsi_slot_arm(slot);
    assert_int_equal(lsi_slot_sleep(slot, token, 1000), LSI_SLEPT_OUT);
    lsi_control_close(control);
}

/* ---- the store lock and the manifest's generation ---- */

static void a_replacement_under_way_shows_in_the_generation(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true);
    uint64_t before = lsi_control_manifest_generation(control);

    assert_int_equal(before % 2, 0);
    lsi_control_manifest_changing(control);
    lsi_control_manifest_changing(control); /* again, after a failure */
    assert_int_equal(lsi_control_manifest_generation(control), before + 1);
    lsi_control_close(control);
    control = attach(fx, true);
    assert_int_equal(lsi_control_manifest_generation(control), before + 1); /* a death does not hide it */
    lsi_control_manifest_changed(control);
    assert_int_equal(lsi_control_manifest_generation(control), before + 2);
    lsi_control_close(control);
}

static void take_the_lock_and_die(void *user)
{
    fixture *fx = user;

    (void)lsi_control_lock(attach(fx, false));
    _exit(0);
}

/* Goal: P1, P2. Method: another process holds the lock, alive: BUSY; killed: ours. */
static void a_dead_holder_gives_the_store_lock_up(void **state)
{
    fixture *fx = *state;
    int ready[2], status;

    SKIP_UNLESS(has_robust_locks);
    lsi_control *control = attach(fx, true);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (lsi_control_lock(attach(fx, false)) != LS_OK || write(ready[1], "x", 1) != 1)
            _exit(1);
        (void)sleep(30);
        _exit(1);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(lsi_control_lock(control), LS_ERR_BUSY);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(lsi_control_lock(control), LS_OK);
    lsi_control_unlock(control);
    child = fork();
    if (child == 0)
        take_the_lock_and_die(fx);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(lsi_control_lock(control), LS_OK);
    lsi_control_unlock(control);
    (void)close(ready[0]);
    (void)close(ready[1]);
    lsi_control_close(control);
}

/* ---- processes and forks ---- */

typedef struct seen_processes {
    uint32_t count, alive, read_only, mine;
    int32_t dead_pid;
} seen_processes;

static bool note_process(void *user, const lsi_attached *process)
{
    seen_processes *seen = user;

    seen->count++;
    seen->alive += process->alive;
    seen->read_only += process->read_only;
    seen->mine += process->is_this;
    if (!process->alive)
        seen->dead_pid = process->pid;
    assert_true(process->attached_us > 0);
    return true;
}

static void attached_processes_are_listed_with_the_kernels_word(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true), *reader;
    seen_processes seen = {0};
    int status;
    bool alone;

    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, true, &reader, &alone), LS_OK);
    pid_t child = fork();
    if (child == 0) {
        (void)attach(fx, false);
        _exit(0); /* without a word */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    lsi_control_each_process(control, note_process, &seen);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.alive, 2);
    assert_int_equal(seen.read_only, 1);
    assert_int_equal(seen.mine, 1);
    assert_int_equal(seen.dead_pid, child);
    lsi_control_close(reader);
    lsi_control_close(control);
}

/* Goal: P9. Method: in a child nothing works, closing is harmless, and the child keeps no lock alive. */
static void a_fork_child_has_nothing_and_keeps_nothing(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx, true);
    int status, done[2], go[2];
    char byte;

    (void)slot_of(control, 1, 0);
    assert_int_equal(pipe(done), 0);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        lsi_slot *slot;
        bool right = !lsi_control_is_mine(control) && lsi_control_lock(control) == LS_ERR_STATE &&
            lsi_control_slot(control, LSI_SLOT_SHARD, 1, 0, &slot) == LS_ERR_STATE;

        (void)close(go[1]);
        if (write(done[1], "x", 1) != 1 || read(go[0], &byte, 1) != 0)
            _exit(2);
        lsi_control_close(control);
        _exit(right ? 0 : 1);
    }
    assert_int_equal(read(done[0], &byte, 1), 1);
    assert_true(lsi_control_is_mine(control));
    lsi_control_close(control);
    lsi_control_close(attach(fx, true)); /* the child lives, and does not count */
    (void)close(go[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)close(go[0]);
    (void)close(done[0]);
    (void)close(done[1]);
}

/* Goal: the same when the parent is killed. Method: a child attaches, has a child that lives on, and is killed. */
static void a_fork_child_of_a_killed_process_keeps_nothing(void **state)
{
    fixture *fx = *state;
    int ready[2], go[2], status;
    char byte;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t parent = fork();
    if (parent == 0) {
        (void)close(go[1]);
        (void)attach(fx, true);
        if (fork() == 0) {
            bool told = write(ready[1], "x", 1) == 1;

            _exit(told && read(go[0], &byte, 1) == 0 ? 0 : 1); /* until the test lets go of the other end */
        }
        (void)sleep(30);
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(waitpid(parent, &status, 0), parent);
    lsi_control_close(attach(fx, true));
    for (int i = 0; i < 2; i++) {
        (void)close(ready[i]);
        (void)close(go[i]);
    }
}

static void private_memory_is_released_in_a_fork_child_too(void **state)
{
    fixture *fx = *state;
    lsi_control *control;
    bool alone;
    int status;

    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, true, &control, &alone), LS_OK);
    pid_t child = fork();
    if (child == 0) {
        bool right = !lsi_control_is_mine(control);

        lsi_control_close(control);
        _exit(right ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    lsi_control_close(control);
}

/* ---- walked failures (H1) ---- */

typedef struct walk {
    sim_files *sim;
    sim_memory memory;
    ls_status st;
    lsi_env env;
    lsi_root root;
} walk;

static void open_take_close(void *user)
{
    walk *at = user;
    lsi_control *control;
    lsi_slot *slot = NULL;
    bool alone;

    at->st = lsi_control_open(&at->env, &at->root, store_id, false, &control, &alone);
    if (at->st != LS_OK)
        return;
    for (uint32_t i = 0; i < 20 && at->st == LS_OK; i++)
        at->st = lsi_control_slot(control, LSI_SLOT_SHARD, 1, i, &slot);
    if (at->st == LS_OK)
        lsi_watermark_note(slot, 1, 100);
    lsi_control_close(control);
}

static void begin(walk *at)
{
    memset(at, 0, sizeof *at);
    at->sim = sim_files_new();
    at->memory = (sim_memory)SIM_MEMORY_INIT;
    lsi_env_default(&at->env);
    at->env.files = sim_files_table(at->sim);
    at->env.memory = sim_memory_table(&at->memory);
    at->env.busy_timeout_ms = 100;
    assert_int_equal(at->env.files->root_open(at->env.files, "s", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &at->root), 0);
}

static void end(walk *at)
{
    at->root.files->root_close(&at->root);
    sim_files_free(at->sim);
    lsi_boot_id_pretend(NULL);
}

/* Goal: every failing file call or allocation ends in a status, leaks nothing, and the next open works. Method: fail
 * the Nth until none is met. */
static void every_failing_call_leaves_a_file_that_opens(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (uint64_t n = 1;; n++) {
            bool met;
            walk at;

            begin(&at);
            if (kind < 2)
                sim_fault_add(at.sim, (sim_fault){.nth = n, .err = kind == 0 ? EIO : ENOSPC});
            else
                sim_memory_fail(&at.memory, n, false);
            open_take_close(&at);
            met = kind < 2 ? sim_faults_met(at.sim) > 0 : at.memory.failed > 0;
            if (!met)
                assert_int_equal(at.st, LS_OK);
            assert_int_equal(at.memory.live, 0);
            sim_faults_clear(at.sim);
            sim_memory_fail(&at.memory, 0, false);
            open_take_close(&at);
            assert_int_equal(at.st, LS_OK);
            end(&at);
            if (!met)
                break;
            assert_true(n < 1000);
        }
}

/* Goal: C2, P1: killed anywhere, the next one goes on, and a watermark that was there stays. Method: kill at the Nth
 * call while a file of an earlier boot is made anew; then look. */
static void a_death_at_any_call_leaves_a_file_that_opens(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        unsigned char id[16] = {9};
        lsi_control *control;
        lsi_slot *slot;
        uint32_t segment;
        uint64_t mark;
        bool killed, alone;
        walk at;

        begin(&at);
        open_take_close(&at); /* shard 19 gets a watermark */
        assert_int_equal(at.st, LS_OK);
        lsi_boot_id_pretend(id);
        sim_fault_add(at.sim, (sim_fault){.nth = n, .kill = true});
        killed = sim_run(at.sim, open_take_close, &at);
        sim_memory_bury(&at.memory);
        sim_faults_clear(at.sim);
        assert_int_equal(lsi_control_open(&at.env, &at.root, store_id, false, &control, &alone), LS_OK);
        assert_true(alone);
        assert_int_equal(lsi_control_slot(control, LSI_SLOT_SHARD, 1, 19, &slot), LS_OK);
        assert_true(lsi_watermark_read(slot, &segment, &mark));
        assert_int_equal(mark, 100);
        lsi_control_close(control);
        end(&at);
        if (!killed)
            break;
        assert_true(n < 1000);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_first_is_alone_and_raises_the_epoch),
        CASE(the_same_boot_keeps_everything),
        CASE(another_boot_keeps_only_watermarks),
        CASE(another_stores_file_is_wiped),
        CASE(a_mismatch_is_refused_while_somebody_is_attached),
        CASE(a_damaged_file_is_made_anew),
        CASE(a_sparse_file_is_allocated_before_it_is_touched),
        CASE(space_is_written_where_it_cannot_be_allocated),
        CASE(the_gate_is_waited_for_up_to_the_busy_timeout),
        CASE(a_read_only_open_makes_no_file),
        CASE(a_read_only_medium_gets_memory_of_its_own),
        CASE(a_disk_that_fails_is_no_read_only_medium),
        CASE(a_reader_that_may_write_the_file_attaches_to_it),
        CASE(slots_are_shared_and_stay_where_they_are),
        CASE(a_stream_slot_is_none_of_its_shards),
        CASE(a_dropped_slot_rests_until_somebody_was_alone),
        CASE(a_slot_used_again_is_found_by_all),
        CASE(reserved_slots_need_no_space_later),
        CASE(the_latest_watermark_counts),
        CASE(a_damaged_watermark_does_not_count),
        CASE(a_watermark_replaces_the_damaged_one),
        CASE(a_wake_costs_no_generation_when_nobody_armed),
        CASE(a_replacement_under_way_shows_in_the_generation),
        CASE(a_dead_holder_gives_the_store_lock_up),
        CASE(attached_processes_are_listed_with_the_kernels_word),
        CASE(a_fork_child_has_nothing_and_keeps_nothing),
        CASE(a_fork_child_of_a_killed_process_keeps_nothing),
        CASE(private_memory_is_released_in_a_fork_child_too),
        cmocka_unit_test(every_failing_call_leaves_a_file_that_opens),
        cmocka_unit_test(a_death_at_any_call_leaves_a_file_that_opens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
