/* What one who may only read learns from the control file (storage/mirror.c): each word of a shard that somebody alive
 * vouches for, in its turn; what nobody vouches for as something to be looked at; and nothing at all from a file that
 * is of another store or boot, is being made anew, is too short or is not there (M1-M4). On the system's files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "storage/control.h"
#include "storage/control_layout.h"
#include "support/sim_memory.h"
#include "support/temp.h"

static const unsigned char store_id[16] = "0123456789abcde";

typedef struct fixture {
    temp_dir temp;
    lsi_env env;
    lsi_root root, only_read;
    lsi_files refusing;
    sim_memory memory;
    lsi_control *writer, *reader;
    lsi_slot *slot, *copy; /* of one shard: the file's and the reader's own */
} fixture;

static int maps;  /* that the reader has */
static int fails; /* the call of the reader's table that does: below */
enum { NONE, OPEN, SIZE, MAP };

static int refuse_writing(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    int rc;

    if ((flags & LSI_OPEN_WRITE) != 0)
        return -EACCES;
    if (fails == OPEN)
        return -EIO;
    rc = lsi_files_system.open(root, name, flags, out);
    return rc;
}

static int may_size(const lsi_file *file, uint64_t *out)
{
    return fails == SIZE ? -EIO : lsi_files_system.size(file, out);
}

static int may_map(const lsi_file *file, uint64_t at, size_t size, bool write, void **out)
{
    int rc = fails == MAP ? -ENOMEM : lsi_files_system.map(file, at, size, write, out);

    maps += rc == 0;
    return rc;
}

static void count_unmap(const lsi_file *file, void *map, size_t size)
{
    maps--;
    lsi_files_system.unmap(file, map, size);
}

static lsi_control *attach(fixture *fx)
{
    lsi_control *control;
    bool alone;

    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, false, &control, &alone), LS_OK);
    return control;
}

/* As somebody who has recovered the shard leaves it. */
static void recover(fixture *fx)
{
    assert_int_equal(lsi_control_slot(fx->writer, LSI_SLOT_SHARD, 5, 1, &fx->slot), LS_OK);
    atomic_store(&fx->slot->epoch, lsi_control_epoch(fx->writer));
    atomic_store(&fx->slot->health, LSI_SHARD_HEALTHY);
    atomic_store(&fx->slot->committed_end, 800);
    atomic_store(&fx->slot->write_end, 808);
    atomic_store(&fx->slot->durable_end, 400);
}

static int set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    bool alone;

    fails = NONE;
    temp_make(&fx->temp);
    lsi_env_default(&fx->env);
    fx->memory = (sim_memory)SIM_MEMORY_INIT;
    fx->env.memory = sim_memory_table(&fx->memory);
    assert_int_equal(fx->env.files->root_open(fx->env.files, fx->temp.path, LSI_ROOT_WRITE, &fx->root), 0);
    fx->refusing = lsi_files_system;
    fx->refusing.open = refuse_writing;
    fx->refusing.size = may_size;
    fx->refusing.map = may_map;
    fx->refusing.unmap = count_unmap;
    fx->only_read = fx->root;
    fx->only_read.files = &fx->refusing;
    assert_int_equal(lsi_control_open(&fx->env, &fx->only_read, store_id, true, &fx->reader, &alone), LS_OK);
    assert_true(lsi_control_is_private(fx->reader));
    assert_int_equal(lsi_control_slot(fx->reader, LSI_SLOT_SHARD, 5, 1, &fx->copy), LS_OK);
    assert_false(lsi_control_mirror(fx->reader, fx->copy)); /* There is no file yet. */
    fx->writer = attach(fx);
    recover(fx);
    *state = fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    fails = NONE;
    lsi_control_close(fx->reader);
    assert_int_equal(maps, 0);
    lsi_control_close(fx->writer);
    lsi_boot_id_pretend(NULL);
    assert_int_equal(fx->memory.live, 0);
    fx->root.files->root_close(&fx->root);
    temp_remove(&fx->temp);
    free(fx);
    return 0;
}

static bool is_recovered(const fixture *fx)
{
    return atomic_load(&fx->copy->epoch) == lsi_control_epoch(fx->reader);
}

static void check_nothing(fixture *fx, int line)
{
    bool is_new = lsi_control_mirror(fx->reader, fx->copy);

    if (is_new || atomic_load(&fx->copy->health) != LSI_SHARD_FRESH || atomic_load(&fx->copy->committed_end) != 0)
        fail_msg("line %d: something was learned", line);
}
#define assert_knows_nothing(fx) check_nothing(fx, __LINE__)

/* M1, M2. */
static void every_word_is_learned(void **state)
{
    fixture *fx = *state;
    lsi_slot *of = fx->slot;
    uint32_t segment;
    uint64_t end;

    atomic_store(&of->given_up_from, 8);
    atomic_store(&of->given_up_to, 16);
    atomic_store(&of->segment_base, 24);
    atomic_store(&of->list_generation, 3);
    atomic_store(&of->segment, 4);
    atomic_store(&of->seqno_limit, 50);
    atomic_store(&of->next_seqno, 40);
    atomic_store(&of->last_arrival_us, 60);
    atomic_store(&of->allocated_end, 900);
    atomic_store(&of->zeroed_end, 901);
    atomic_store(&of->roll_first, LSI_ROLL_FIRST_TERMS);
    atomic_store(&of->failed_errno, EIO);
    lsi_watermark_note(of, 4, 48);
    assert_false(lsi_control_mirror(fx->reader, fx->copy)); /* Somebody vouches for it. */
    assert_true(is_recovered(fx));
    assert_int_equal(atomic_load(&fx->copy->health), LSI_SHARD_HEALTHY);
    assert_int_equal(atomic_load(&fx->copy->committed_end), 800);
    assert_int_equal(atomic_load(&fx->copy->write_end), 800); /* What is under way is none of his. */
    assert_int_equal(atomic_load(&fx->copy->durable_end), 400);
    assert_int_equal(atomic_load(&fx->copy->given_up_from), 8);
    assert_int_equal(atomic_load(&fx->copy->given_up_to), 16);
    assert_int_equal(atomic_load(&fx->copy->segment_base), 24);
    assert_int_equal(atomic_load(&fx->copy->list_generation), 3);
    assert_int_equal(atomic_load(&fx->copy->segment), 4);
    assert_int_equal(atomic_load(&fx->copy->seqno_limit), 50);
    assert_int_equal(atomic_load(&fx->copy->next_seqno), 40);
    assert_int_equal(atomic_load(&fx->copy->last_arrival_us), 60);
    assert_int_equal(atomic_load(&fx->copy->allocated_end), 900);
    assert_int_equal(atomic_load(&fx->copy->zeroed_end), 901);
    assert_int_equal(atomic_load(&fx->copy->roll_first), LSI_ROLL_FIRST_TERMS);
    assert_int_equal(atomic_load(&fx->copy->failed_errno), EIO);
    assert_true(lsi_watermark_read(fx->copy, &segment, &end));
    assert_int_equal(segment, 4);
    assert_int_equal(end, 48);
}

/* Each of the words that say that something was changed. */
static void each_change_is_seen(void **state)
{
    fixture *fx = *state;

    (void)lsi_control_mirror(fx->reader, fx->copy);
    atomic_store(&fx->slot->committed_end, 1600);
    (void)lsi_control_mirror(fx->reader, fx->copy);
    assert_int_equal(atomic_load(&fx->copy->committed_end), 1600);
    atomic_store(&fx->slot->durable_end, 1600);
    (void)lsi_control_mirror(fx->reader, fx->copy);
    assert_int_equal(atomic_load(&fx->copy->durable_end), 1600);
    atomic_store(&fx->slot->list_generation, 7);
    (void)lsi_control_mirror(fx->reader, fx->copy);
    assert_int_equal(atomic_load(&fx->copy->list_generation), 7);
    atomic_store(&fx->slot->health, LSI_SHARD_FAILED);
    (void)lsi_control_mirror(fx->reader, fx->copy);
    assert_int_equal(atomic_load(&fx->copy->health), LSI_SHARD_FAILED);
    atomic_store(&fx->slot->closed, LSI_LOG_CLOSED);
    (void)lsi_control_mirror(fx->reader, fx->copy);
    assert_int_equal(atomic_load(&fx->copy->closed), LSI_LOG_CLOSED);
    atomic_store(&fx->slot->segment, 9); /* None of those: it comes with one. */
    (void)lsi_control_mirror(fx->reader, fx->copy);
    assert_int_equal(atomic_load(&fx->copy->segment), 0);
}

/* M2: who has not recovered it vouches for nothing. It is taken over once, to be looked at, and then left. */
static void what_nobody_vouches_for_is_to_be_looked_at(void **state)
{
    fixture *fx = *state;

    atomic_store(&fx->slot->epoch, 0);
    assert_true(lsi_control_mirror(fx->reader, fx->copy));
    assert_false(is_recovered(fx));
    assert_int_equal(atomic_load(&fx->copy->committed_end), 800);
    atomic_store(&fx->slot->committed_end, 1600);
    assert_false(lsi_control_mirror(fx->reader, fx->copy));
    assert_int_equal(atomic_load(&fx->copy->committed_end), 800);
    atomic_store(&fx->slot->epoch, lsi_control_epoch(fx->writer)); /* Now he has. */
    assert_false(lsi_control_mirror(fx->reader, fx->copy));
    assert_true(is_recovered(fx));
    assert_int_equal(atomic_load(&fx->copy->committed_end), 1600);

    lsi_control_close(fx->writer); /* And now nobody is there who could. */
    fx->writer = NULL;
    assert_false(lsi_control_mirror(fx->reader, fx->copy)); /* It is the same. */
    fx->writer = attach(fx);
    recover(fx);
    atomic_store(&fx->slot->committed_end, 2400);
    lsi_control_close(fx->writer);
    fx->writer = NULL;
    assert_true(lsi_control_mirror(fx->reader, fx->copy));
    assert_false(is_recovered(fx));
    assert_int_equal(atomic_load(&fx->copy->committed_end), 2400);
}

/* M3, M4. */
static void a_file_that_is_not_of_now_says_nothing(void **state)
{
    fixture *fx = *state;
    control_header *header = fx->writer->header, whole = *header;
    uint64_t size = CONTROL_SLOTS_AT + CONTROL_SLOTS_FIRST * (uint64_t)LSI_SLOT_BYTES;
    lsi_slot *other;

    atomic_store(&fx->slot->health, LSI_SHARD_FRESH); /* Nobody looked. */
    assert_knows_nothing(fx);
    atomic_store(&fx->slot->health, LSI_SHARD_HEALTHY);
    memset(header->boot_id, 0, sizeof header->boot_id);
    assert_knows_nothing(fx);
    memset(header->boot_id, 9, sizeof header->boot_id);
    assert_knows_nothing(fx);
    memcpy(header->boot_id, whole.boot_id, sizeof header->boot_id);
    header->store_id[0] ^= 1;
    assert_knows_nothing(fx);
    header->sum = lsi_sum64(header, offsetof(control_header, sum), 0); /* another's, and whole */
    assert_knows_nothing(fx);
    header->store_id[0] ^= 1;
    header->sum = whole.sum;
    atomic_store(&header->used_count, CONTROL_SLOTS_FIRST + 1);
    assert_knows_nothing(fx);
    atomic_store(&header->used_count, 1);
    assert_int_equal(truncate(temp_path(&fx->temp, LSI_CONTROL_NAME), CONTROL_SLOTS_AT - 1), 0);
    assert_knows_nothing(fx);
    assert_int_equal(truncate(temp_path(&fx->temp, LSI_CONTROL_NAME), (off_t)size), 0);
    recover(fx);
    fails = SIZE;
    assert_knows_nothing(fx);
    fails = NONE;
    (void)atomic_fetch_add(&header->reuse_count, 1); /* Its table of slots is made anew, ... */
    sim_memory_fail(&fx->memory, 1, true);           /* ... or is not. */
    assert_knows_nothing(fx);
    sim_memory_fail(&fx->memory, 0, false);
    assert_int_equal(lsi_control_slot(fx->reader, LSI_SLOT_SHARD, 6, 1, &other), LS_OK);
    assert_false(lsi_control_mirror(fx->reader, other)); /* It has no such slot. */
    assert_int_equal(atomic_load(&other->health), LSI_SHARD_FRESH);
}

/* Behind its end nothing can be looked at: who maps it would fall. */
static void a_file_that_is_too_short_is_not_looked_into(void **state)
{
    fixture *fx = *state;

    assert_int_equal(truncate(temp_path(&fx->temp, LSI_CONTROL_NAME), CONTROL_SLOTS_AT - 1), 0);
    assert_knows_nothing(fx);
    assert_int_equal(truncate(temp_path(&fx->temp, LSI_CONTROL_NAME), CONTROL_SLOTS_AT), 0);
    assert_knows_nothing(fx);
}

/* What cannot be opened now can be later. */
static void a_file_that_cannot_be_looked_at_is_tried_again(void **state)
{
    fixture *fx = *state;

    for (fails = OPEN; fails <= MAP; fails++)
        assert_knows_nothing(fx);
    fails = NONE;
    sim_memory_fail(&fx->memory, 1, false);
    assert_knows_nothing(fx);
    sim_memory_fail(&fx->memory, 0, false);
    assert_false(lsi_control_mirror(fx->reader, fx->copy));
    assert_true(is_recovered(fx));
}

static void a_streams_generation_is_learned(void **state)
{
    fixture *fx = *state;
    lsi_slot *of, *copy;

    assert_int_equal(lsi_control_slot(fx->writer, LSI_SLOT_STREAM, 5, 0, &of), LS_OK);
    assert_int_equal(lsi_control_slot(fx->reader, LSI_SLOT_STREAM, 5, 0, &copy), LS_OK);
    atomic_store(&of->generation, 12);
    assert_false(lsi_control_mirror(fx->reader, copy));
    assert_int_equal(atomic_load(&copy->generation), 12);
}

/* Nothing to mirror: who shares the file, and a child, which has nothing (P9). */
static void others_mirror_nothing(void **state)
{
    fixture *fx = *state;
    int status;

    assert_false(lsi_control_mirror(fx->writer, fx->slot));
    pid_t child = fork();
    if (child == 0)
        _exit(lsi_control_mirror(fx->reader, fx->copy) ? 1 : 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(every_word_is_learned),
        T(each_change_is_seen),
        T(what_nobody_vouches_for_is_to_be_looked_at),
        T(a_file_that_is_not_of_now_says_nothing),
        T(a_file_that_is_too_short_is_not_looked_into),
        T(a_file_that_cannot_be_looked_at_is_tried_again),
        T(a_streams_generation_is_learned),
        T(others_mirror_nothing),
    };
    return cmocka_run_group_tests_name("what a reader learns of the control file", tests, NULL, NULL);
}
