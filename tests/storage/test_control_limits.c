/* The control file (storage/control.c, slot.c) at its limits: words in it that cannot be, tables that are full, and who
 * may not have what others have. On the system's files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/control.h"
#include "storage/control_layout.h"
#include "support/emulated.h"
#include "support/sim_memory.h"
#include "support/temp.h"

static const unsigned char store_id[16] = "0123456789abcde";
static const unsigned char other_id[16] = "another store's";

typedef struct fixture {
    temp_dir temp;
    lsi_env env;
    lsi_root root;
    sim_memory memory;
} fixture;

static int set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);

    temp_make(&fx->temp);
    lsi_env_default(&fx->env);
    fx->env.busy_timeout_ms = 60;
    fx->memory = (sim_memory)SIM_MEMORY_INIT;
    fx->env.memory = sim_memory_table(&fx->memory);
    assert_int_equal(fx->env.files->root_open(fx->env.files, fx->temp.path, LSI_ROOT_WRITE, &fx->root), 0);
    *state = fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    lsi_boot_id_pretend(NULL);
    assert_int_equal(fx->memory.live, 0);
    fx->root.files->root_close(&fx->root);
    temp_remove(&fx->temp);
    free(fx);
    return 0;
}

static ls_status try_attach(fixture *fx, const unsigned char id[16], lsi_control **out)
{
    bool alone;

    return lsi_control_open(&fx->env, &fx->root, id, false, out, &alone);
}

static lsi_control *attach(fixture *fx)
{
    lsi_control *control;

    assert_int_equal(try_attach(fx, store_id, &control), LS_OK);
    return control;
}

static lsi_slot *slot_of(lsi_control *control, uint64_t stream, uint32_t shard)
{
    lsi_slot *slot;

    assert_int_equal(lsi_control_slot(control, LSI_SLOT_SHARD, stream, shard, &slot), LS_OK);
    return slot;
}

/* ---- words that cannot be ---- */

/* P10, X1: the file is of this boot, its header is whole, and one word of it is not one that anybody wrote: nothing
 * that it says is believed, and shards are told to look for what was not synced. */
static void a_word_that_cannot_be_makes_the_file_anew(void **state)
{
    static const struct { size_t at; uint32_t value; } words[] = {
        {offsetof(control_header, attach_check), 0},
        {offsetof(control_header, attach_epoch), 77},
        {offsetof(control_header, slot_count), 0},
        {offsetof(control_header, slot_count), CONTROL_SLOTS_FIRST - 1},
        {offsetof(control_header, slot_count), CONTROL_SLOTS_FIRST + 1},
        {offsetof(control_header, slot_count), UINT32_MAX},
        {offsetof(control_header, used_count), CONTROL_SLOTS_FIRST + 1},
        {offsetof(control_header, used_count), UINT32_MAX},
    };
    fixture *fx = *state;

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        lsi_control *control = attach(fx);
        lsi_slot *slot = slot_of(control, 1, 1);

        atomic_store(&slot->health, LSI_SHARD_HEALTHY);
        lsi_control_is_sure(control);
        memcpy((unsigned char *)control->header + words[i].at, &words[i].value, 4);
        lsi_control_close(control);
        control = attach(fx);
        if (atomic_load(&slot_of(control, 1, 1)->health) != LSI_SHARD_FRESH)
            fail_msg("word %zu is believed", i);
        assert_true(lsi_control_is_unsure(control));
        assert_int_equal(atomic_load(&control->header->slot_count), CONTROL_SLOTS_FIRST);
        lsi_control_close(control);
    }
}

/* Where the machine does not say which boot it is, no file is of this one. */
static void without_a_boot_id_nothing_is_believed(void **state)
{
    static const unsigned char none[16];
    fixture *fx = *state;

    lsi_boot_id_pretend(none);
    for (int i = 0; i < 2; i++) {
        lsi_control *control = attach(fx);
        lsi_slot *slot = slot_of(control, 1, 1);

        assert_int_equal(atomic_load(&slot->health), LSI_SHARD_FRESH);
        assert_true(lsi_control_is_unsure(control));
        atomic_store(&slot->health, LSI_SHARD_HEALTHY);
        lsi_control_close(control);
    }
}

static void truncate_to(fixture *fx, uint64_t size)
{
    assert_int_equal(truncate(temp_path(&fx->temp, LSI_CONTROL_NAME), (off_t)size), 0);
}

/* While somebody is attached the file is what it is: who cannot share it is refused, and breaks nothing. */
static void a_file_that_cannot_be_shared_is_refused(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx), *other;
    uint64_t whole = CONTROL_SLOTS_AT + CONTROL_SLOTS_FIRST * (uint64_t)LSI_SLOT_BYTES;

    atomic_store(&slot_of(control, 1, 1)->committed_end, 5);
    assert_int_equal(try_attach(fx, other_id, &other), LS_ERR_CORRUPT);
    atomic_store(&control->header->slot_count, CONTROL_SLOTS_FIRST + 1);
    assert_int_equal(try_attach(fx, store_id, &other), LS_ERR_CORRUPT);
    atomic_store(&control->header->slot_count, CONTROL_SLOTS_FIRST);
    truncate_to(fx, whole - 1);
    assert_int_equal(try_attach(fx, store_id, &other), LS_ERR_CORRUPT);
    truncate_to(fx, CONTROL_MAP_BYTES + UINT64_C(4096)); /* Sparse; what lies so far is nobody's. */
    other = attach(fx);
    assert_int_equal(atomic_load(&slot_of(other, 1, 1)->committed_end), 5);
    lsi_control_close(other);
    truncate_to(fx, whole);
    lsi_control_close(control);
}

/* ---- who is attached ---- */

static bool count_one(void *user, const lsi_attached *process)
{
    (void)process;
    ++*(unsigned *)user;
    return false; /* no more */
}

static bool count_all(void *user, const lsi_attached *process)
{
    ++*(unsigned *)user;
    return process != NULL;
}

/* The table is full: who comes then works, is in no list and has no tag, and who has none is never gone. */
static void one_too_many_works_and_is_not_listed(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx), *late;
    lsi_file all = {0};
    unsigned count = 0;

    assert_int_equal(fx->root.files->open(&fx->root, LSI_CONTROL_NAME, LSI_OPEN_WRITE, &all), 0);
    for (uint32_t i = 1; i < CONTROL_PROCESSES; i++)
        assert_int_equal(all.files->lock(&all, CONTROL_BYTE_PROCESS + i, LSI_LOCK_EXCLUSIVE), 0);
    late = attach(fx);
    assert_int_equal(lsi_control_process_tag(late), 0);
    assert_false(lsi_control_is_gone(control, 0, LSI_PROCESS_TAG_BITS));
    (void)slot_of(late, 1, 1);
    lsi_control_each_process(control, count_all, &count);
    assert_int_equal(count, 1);
    lsi_control_close(late);
    assert_int_equal(all.files->close(&all), 0);
    lsi_control_close(control);
}

static bool has_left(lsi_control *control, uint64_t tag)
{
    return lsi_control_is_gone(control, tag, LSI_PROCESS_TAG_BITS);
}

static void tags_say_who_is_gone(void **state)
{
    const uint64_t before = UINT64_C(1) << LSI_PROCESS_PLACE_BITS; /* who was there before */
    const uint64_t other_table = UINT64_C(1) << LSI_PROCESS_TAG_SHORT_BITS;
    fixture *fx = *state;
    lsi_control *control = attach(fx), *other = attach(fx);
    uint64_t mine = lsi_control_process_tag(control), his = lsi_control_process_tag(other);
    unsigned count = 0;

    assert_true(mine != his);
    assert_false(has_left(control, mine));
    assert_false(has_left(control, his));
    assert_true(has_left(control, mine ^ before));
    assert_true(has_left(control, his ^ before));
    assert_true(has_left(control, his ^ other_table)); /* The low bits alone were equal by chance. */
    assert_true(has_left(control, his ^ UINT64_C(1) << (LSI_PROCESS_TAG_BITS - 1)));
    assert_false(lsi_control_is_gone(control, his ^ other_table, LSI_PROCESS_TAG_SHORT_BITS));
    assert_true(lsi_control_is_gone(control, his ^ before, LSI_PROCESS_TAG_SHORT_BITS));
    assert_true(has_left(control, CONTROL_PROCESSES + 1)); /* nobody's */
    assert_true(has_left(control, CONTROL_PROCESSES));
    lsi_control_each_process(control, count_one, &count);
    assert_int_equal(count, 1);
    lsi_control_close(other);
    assert_true(has_left(control, his));
    lsi_control_close(control);
}

/* Asks the other one's question as soon as a place of the table is locked. */
typedef struct entering {
    lsi_files table;
    lsi_control *asker;
    uint64_t tag; /* of the place's last one */
    bool was_gone;
} entering;

static entering *entered;

static int lock_and_ask(const lsi_file *file, uint64_t at, lsi_lock_kind kind)
{
    int result = lsi_files_system.lock(file, at, kind);

    if (result == 0 && kind == LSI_LOCK_EXCLUSIVE && at >= CONTROL_BYTE_PROCESS && at < CONTROL_BYTE_UNLISTED)
        entered->was_gone = has_left(entered->asker, entered->tag);
    return result;
}

/* Somebody takes the place of one who is gone, and is interrupted half-way. */
static void who_is_gone_is_gone_while_another_takes_his_place(void **state)
{
    fixture *fx = *state;
    entering now = {.table = *fx->root.files};
    lsi_control *control = attach(fx), *other = attach(fx);
    lsi_root root;
    bool alone;

    now.asker = control;
    now.tag = lsi_control_process_tag(other);
    lsi_control_close(other);
    now.table.lock = lock_and_ask;
    entered = &now;
    assert_int_equal(now.table.root_open(&now.table, fx->temp.path, LSI_ROOT_WRITE, &root), 0);
    assert_int_equal(lsi_control_open(&fx->env, &root, store_id, false, &other, &alone), LS_OK);
    assert_int_equal(lsi_control_process_tag(other) & ((1u << LSI_PROCESS_PLACE_BITS) - 1),
                     now.tag & ((1u << LSI_PROCESS_PLACE_BITS) - 1)); /* the same place */
    assert_true(now.was_gone);
    assert_true(has_left(control, now.tag));
    assert_false(has_left(control, lsi_control_process_tag(other)));
    lsi_control_close(other);
    root.files->root_close(&root);
    lsi_control_close(control);
}

/* P9: what a child asks for is refused, and what it gives back is its parent's still. */
static void a_child_is_refused_and_gives_nothing_back(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx), *other;
    lsi_claim claim = {0}, again;
    lsi_gate *gate = NULL;
    lsi_slot *slot;
    int status;
    bool alone;

    assert_int_equal(lsi_control_claim(&fx->env, &fx->root, 5, 5, &claim), LS_OK);
    assert_int_equal(lsi_control_gate(&fx->env, &fx->root, &gate), LS_OK);
    pid_t child = fork();
    if (child == 0) {
        bool right = !lsi_control_try_lock(control) &&
                     lsi_control_slot_find(control, LSI_SLOT_SHARD, 1, 1, &slot) == LS_ERR_STATE;

        lsi_control_claim_release(&claim);
        lsi_control_gate_release(gate);
        _exit(right ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, false, &other, &alone), LS_ERR_BUSY);
    assert_int_equal(lsi_control_claim(&fx->env, &fx->root, 5, 5, &again), LS_ERR_BUSY);
    assert_int_equal(lsi_control_claim(&fx->env, &fx->root, 5, 6, &again), LS_OK);
    assert_int_equal(again.id, 6);
    lsi_control_claim_release(&again);
    lsi_control_claim_release(&claim);
    lsi_control_claim_release(&claim); /* It has none any more. */
    lsi_control_gate_release(gate);
    assert_true(lsi_control_try_lock(control));
    lsi_control_unlock(control);
    lsi_control_close(control);
}

/* The control file is being opened, and another thread forks. */
typedef struct forking {
    lsi_files table; /* first */
    pthread_t thread;
    _Atomic bool has_forked;
    bool was_open_to_it; /* the child was there before the open file was known to what closes it in children */
} forking;

static void *fork_once(void *user)
{
    forking *of = user;
    pid_t child = fork();
    int status = -1;

    if (child == 0)
        _exit(0);
    atomic_store(&of->has_forked, true);
    (void)waitpid(child, &status, 0);
    return status == 0 ? of : NULL;
}

static int open_while_another_forks(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    forking *of = (forking *)(uintptr_t)root->files;
    int result = lsi_files_system.open(root, name, flags, out);

    if (result == 0 && of->thread == 0) {
        assert_int_equal(pthread_create(&of->thread, NULL, fork_once, of), 0);
        for (int ms = 0; ms < 50 && !atomic_load(&of->has_forked); ms++)
            (void)usleep(1000);
        of->was_open_to_it = atomic_load(&of->has_forked);
    }
    return result;
}

/* P6: a fork waits until the open file is one that children give up: else what it locks would end with the child. */
static void no_child_is_born_while_the_file_is_opened(void **state)
{
    fixture *fx = *state;
    lsi_root root = fx->root;
    forking of = {.table = *fx->root.files};
    lsi_gate *gate = NULL;
    void *done;

    lsi_control_close(attach(fx)); /* The file is there. */
    of.table.open = open_while_another_forks;
    root.files = &of.table;
    assert_int_equal(lsi_control_gate(&fx->env, &root, &gate), LS_OK);
    assert_true(of.thread != 0);
    assert_int_equal(pthread_join(of.thread, &done), 0);
    lsi_control_gate_release(gate);
    assert_non_null(done);
    assert_false(of.was_open_to_it);
}

/* ---- slots that are used up ---- */

/* All slots are in use but the first `free_count` ones, which were freed since somebody was last alone, and which
 * nobody keeps. The file is sparse, and its slots are touched here alone. */
static void use_all(lsi_control *control, uint32_t free_count)
{
    uint32_t epoch = lsi_control_epoch(control);

    for (uint32_t i = 0; i < CONTROL_SLOTS_MAX; i++) {
        lsi_slot *slot = control_slot_at(control, i);

        if (i >= free_count) {
            slot->shard = i;
            atomic_store_explicit(&slot->stream, 99, memory_order_relaxed);
            atomic_store_explicit(&slot->kind, LSI_SLOT_SHARD, memory_order_relaxed);
        } else {
            assert_int_equal(lsi_lock_init(&slot->append_lock), 0);
            assert_int_equal(lsi_lock_init(&slot->sync_lock), 0);
            atomic_store(&slot->kind, LSI_SLOT_FREE);
            atomic_store(&slot->epoch, epoch);
        }
    }
    control->header->free_old = 0;
    control->header->free_new = free_count;
    atomic_store(&control->header->slot_count, CONTROL_SLOTS_MAX);
    atomic_store(&control->header->used_count, CONTROL_SLOTS_MAX);
}

/* Somebody else who has a lock, and gives it back or dies. */
typedef struct holder {
    lsi_lock *lock;
    int rank;
    bool dies;
    pthread_barrier_t has_it, is_over;
    pthread_t thread;
} holder;

static void *hold(void *user)
{
    holder *of = user;
    bool has = lsi_lock_try(of->lock, of->rank) == LSI_LOCKED;

    (void)pthread_barrier_wait(&of->has_it);
    (void)pthread_barrier_wait(&of->is_over);
    if (has && !of->dies)
        lsi_lock_release(of->lock, of->rank);
    return has ? of : NULL;
}

static void hold_begin(holder *of, lsi_lock *lock, int rank, bool dies)
{
    of->lock = lock;
    of->rank = rank;
    of->dies = dies;
    assert_int_equal(pthread_barrier_init(&of->has_it, NULL, 2), 0);
    assert_int_equal(pthread_barrier_init(&of->is_over, NULL, 2), 0);
    assert_int_equal(pthread_create(&of->thread, NULL, hold, of), 0);
    (void)pthread_barrier_wait(&of->has_it);
}

static void hold_end(holder *of)
{
    void *had;

    (void)pthread_barrier_wait(&of->is_over);
    assert_int_equal(pthread_join(of->thread, &had), 0);
    assert_non_null(had);
    assert_int_equal(pthread_barrier_destroy(&of->has_it), 0);
    assert_int_equal(pthread_barrier_destroy(&of->is_over), 0);
}

/* It was given back: somebody else can have it. */
static void assert_is_free(lsi_lock *lock, int rank)
{
    holder of;

    hold_begin(&of, lock, rank, false);
    hold_end(&of);
}

static void drop(lsi_control *control, uint64_t stream, uint64_t of)
{
    assert_int_equal(lsi_control_lock(control), LS_OK);
    lsi_control_drop_stream(control, stream, of);
    lsi_control_unlock(control);
}

/* T1: when there is none any more, one is taken that was freed and that nobody keeps, with both its locks: not one of
 * which somebody still has a lock; a dead one's is nobody's. */
static void a_freed_slot_is_taken_with_its_locks_when_all_are_used(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx);
    lsi_slot *first, *slot;
    holder other;

    SKIP_UNLESS(has_robust_locks);
    truncate_to(fx, CONTROL_MAP_BYTES);
    use_all(control, 1);
    first = control_slot_at(control, 0);
    hold_begin(&other, &first->append_lock, LSI_RANK_SHARD, false);
    assert_int_equal(lsi_control_slot(control, LSI_SLOT_SHARD, 1, 1, &slot), LS_ERR_FULL);
    hold_end(&other);
    hold_begin(&other, &first->sync_lock, LSI_RANK_SYNC, false);
    assert_int_equal(lsi_control_slot(control, LSI_SLOT_SHARD, 1, 1, &slot), LS_ERR_FULL);
    hold_end(&other);
    assert_int_equal(control->header->free_new, 1);
    assert_ptr_equal(slot_of(control, 1, 1), first);
    assert_int_equal(control->header->free_new, 0);
    assert_int_equal(lsi_control_slot(control, LSI_SLOT_SHARD, 1, 2, &slot), LS_ERR_FULL);
    assert_is_free(&first->append_lock, LSI_RANK_SHARD);
    assert_is_free(&first->sync_lock, LSI_RANK_SYNC);

    drop(control, 1, 1);
    hold_begin(&other, &first->append_lock, LSI_RANK_SHARD, true);
    hold_end(&other);
    hold_begin(&other, &first->sync_lock, LSI_RANK_SYNC, true);
    hold_end(&other);
    assert_ptr_equal(slot_of(control, 2, 1), first);
    assert_is_free(&first->append_lock, LSI_RANK_SHARD);
    assert_is_free(&first->sync_lock, LSI_RANK_SYNC);

    /* One that nobody can hold a pointer to is taken first, and at once; its count may be too high or too low. */
    atomic_store(&control_slot_at(control, 7)->kind, LSI_SLOT_FREE);
    atomic_store(&control_slot_at(control, 7)->epoch, lsi_control_epoch(control) - 1);
    assert_ptr_equal(slot_of(control, 3, 1), control_slot_at(control, 7));
    control->header->free_old = 3;
    assert_int_equal(lsi_control_slot(control, LSI_SLOT_SHARD, 4, 1, &slot), LS_ERR_FULL);
    assert_int_equal(control->header->free_old, 0);
    atomic_store(&first->kind, LSI_SLOT_FREE);
    atomic_store(&first->epoch, lsi_control_epoch(control));
    control->header->free_new = 0; /* too low */
    assert_ptr_equal(slot_of(control, 5, 1), first);
    assert_int_equal(control->header->free_new, 0);

    assert_int_equal(lsi_control_lock(control), LS_OK);
    assert_int_equal(lsi_control_reserve(control, UINT32_MAX), LS_OK); /* all that there are are there */
    lsi_control_unlock(control);
    lsi_control_close(control);
}

#define OTHERS UINT64_C(50) /* a stream whose shards fill the file: */
static uint32_t the_next = 1000;

/* Takes all slots that the file has room for, so that the next one is a freed one or makes it grow. */
static void fill(lsi_control *control)
{
    uint32_t count = atomic_load(&control->header->slot_count);

    while (atomic_load(&control->header->used_count) < count)
        (void)slot_of(control, OTHERS, the_next++);
}

/* Whether one more makes the file grow, because no freed slot may be used. */
static bool has_to_grow(lsi_control *control)
{
    uint32_t count = atomic_load(&control->header->slot_count);

    fill(control);
    (void)slot_of(control, OTHERS, the_next++);
    return atomic_load(&control->header->slot_count) > count;
}

static lsi_slot *keep(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard)
{
    lsi_slot *slot;

    assert_int_equal(lsi_control_keep(control, kind, stream, shard, &slot), LS_OK);
    return slot;
}

/* T1, without any clock: what one process keeps no other one makes another's, until it was let go as often as it was
 * kept; and then at once, while all are attached. */
static void a_kept_slot_is_not_used_again(void **state)
{
    fixture *fx = *state;
    lsi_control *one = attach(fx), *two = attach(fx);
    lsi_slot *kept = keep(two, LSI_SLOT_SHARD, 1, 1);

    assert_ptr_equal(keep(two, LSI_SLOT_SHARD, 1, 1), kept);
    drop(one, 1, 1);
    assert_true(has_to_grow(one));
    lsi_control_let_go(two, kept);
    assert_true(has_to_grow(one));
    assert_true(has_to_grow(two)); /* its own, too */
    assert_int_equal(atomic_load(&kept->kind), LSI_SLOT_FREE);
    lsi_control_let_go(two, kept);
    assert_false(has_to_grow(one));
    assert_true(lsi_slot_is(kept, LSI_SLOT_SHARD, OTHERS, atomic_load(&kept->shard)));
    assert_true(has_to_grow(one));
    lsi_control_close(two);
    lsi_control_close(one);
}

/* Who keeps a stream's slot keeps its parts, those of its readers, too: when they go before it, and with it. But what
 * is of a stream that is not known, or that had no slot, only the next one who is alone uses again; unless it is a
 * shard's, which who has a pointer to it keeps. */
static void a_kept_streams_slot_keeps_its_parts(void **state)
{
    static const uint64_t reader = UINT64_C(1) << 63 | 9;
    fixture *fx = *state;
    lsi_control *one = attach(fx), *two = attach(fx);
    lsi_slot *slot, *stream = keep(two, LSI_SLOT_STREAM, 1, 0);

    assert_int_equal(lsi_control_slot(one, LSI_SLOT_CONSUMER, reader, 1, &slot), LS_OK);
    drop(one, reader, 1);
    assert_true(has_to_grow(one));
    (void)slot_of(one, 1, 1);
    drop(one, 1, 1);
    assert_true(has_to_grow(one));
    lsi_control_let_go(two, stream);
    for (int i = 0; i < 3; i++)
        assert_false(has_to_grow(one));
    assert_true(has_to_grow(one));

    assert_int_equal(lsi_control_slot(one, LSI_SLOT_CONSUMER, reader, 1, &slot), LS_OK);
    drop(one, reader, 0);
    assert_int_equal(lsi_control_slot(one, LSI_SLOT_LEASE, 2, 1, &slot), LS_OK);
    drop(one, 2, 2);
    assert_true(has_to_grow(one));
    (void)slot_of(one, 3, 1);
    drop(one, 3, 3);
    assert_false(has_to_grow(one));
    assert_true(has_to_grow(one));
    lsi_control_close(two);
    lsi_control_close(one);
    one = attach(fx);
    uint32_t used = atomic_load(&one->header->used_count);
    for (int i = 0; i < 2; i++)
        (void)slot_of(one, OTHERS, the_next++);
    assert_int_equal(atomic_load(&one->header->used_count), used);
    (void)slot_of(one, OTHERS, the_next++);
    assert_int_equal(atomic_load(&one->header->used_count), used + 1);
    lsi_control_close(one);
}

static bool is_gone(void *user, uint64_t stream, uint32_t shard)
{
    (void)user;
    return stream == 1 && shard == 2;
}

/* So are shards that go while their stream stays. */
static void a_kept_streams_slot_keeps_shards_that_go_before_it(void **state)
{
    fixture *fx = *state;
    lsi_control *one = attach(fx), *two = attach(fx);
    lsi_slot *stream = keep(two, LSI_SLOT_STREAM, 1, 0), *stays = slot_of(one, 1, 1);

    (void)slot_of(one, 1, 2);
    assert_int_equal(lsi_control_lock(one), LS_OK);
    lsi_control_drop_shards(one, is_gone, NULL);
    lsi_control_unlock(one);
    assert_true(lsi_slot_is(stays, LSI_SLOT_SHARD, 1, 1));
    assert_true(has_to_grow(one));
    lsi_control_let_go(two, stream);
    assert_false(has_to_grow(one));
    assert_true(has_to_grow(one));
    lsi_control_close(two);
    lsi_control_close(one);
}

/* Wherever the stream's slot lies. */
static void any_slot_may_be_a_kept_streams(void **state)
{
    fixture *fx = *state;
    lsi_control *one = attach(fx), *two = attach(fx);
    lsi_slot *stream;

    for (uint32_t i = 0; i < 5; i++)
        (void)slot_of(one, OTHERS, the_next++);
    stream = keep(two, LSI_SLOT_STREAM, 1, 0);
    assert_ptr_equal(stream, control_slot_at(two, 5));
    (void)slot_of(one, 1, 1);
    drop(one, 1, 1);
    assert_int_equal(one->header->free_new, 2); /* Each is freed once. */
    assert_true(has_to_grow(one));
    lsi_control_let_go(two, stream);
    assert_false(has_to_grow(one));
    lsi_control_close(two);
    lsi_control_close(one);
}

/* The stream's own slot may be another's before all of its parts are: then nobody keeps them. */
static void parts_outlive_the_slot_that_they_are_parts_of(void **state)
{
    fixture *fx = *state;
    lsi_control *one = attach(fx), *two = attach(fx);
    lsi_slot *stream = keep(one, LSI_SLOT_STREAM, 1, 0), *slot; /* the first one */

    (void)slot_of(one, 1, 1);
    drop(one, 1, 1);
    lsi_control_let_go(one, stream);
    fill(one);
    slot = keep(two, LSI_SLOT_STREAM, 2, 0);
    assert_ptr_equal(slot, control_slot_at(two, 0));
    assert_false(has_to_grow(one));
    assert_true(has_to_grow(one));
    lsi_control_let_go(two, slot);
    lsi_control_close(two);
    lsi_control_close(one);
}

/* X1: a slot that says that it was a part of what cannot be is left alone until somebody is alone. */
static void a_part_of_what_cannot_be_is_left_alone(void **state)
{
    static const uint32_t nowhere[] = {UINT32_MAX - 1, CONTROL_SLOTS_MAX + 1, CONTROL_SLOTS_FIRST * 64};
    fixture *fx = *state;
    lsi_control *control = attach(fx);

    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        lsi_slot *slot = slot_of(control, 1, 1);

        drop(control, 1, 1);
        slot->freed_of = nowhere[i];
        assert_true(has_to_grow(control));
        assert_int_equal(atomic_load(&slot->kind), LSI_SLOT_FREE);
    }
    lsi_control_close(control);
}

/* P6: the dead keep nothing, and who has their place in the table afterwards has kept nothing of theirs. */
static void the_dead_keep_nothing(void **state)
{
    fixture *fx = *state;
    lsi_control *one = attach(fx), *later;
    int ready[2], status;
    char byte;

    for (int round = 0; round < 2; round++) {
        assert_int_equal(pipe(ready), 0);
        pid_t child = fork();
        if (child == 0) {
            lsi_control *control;
            lsi_slot *slot;

            if (try_attach(fx, store_id, &control) == LS_OK &&
                lsi_control_keep(control, LSI_SLOT_SHARD, 1, 1, &slot) == LS_OK && control->process == 1)
                (void)!write(ready[1], "k", 1);
            (void)close(ready[1]);
            for (;;)
                (void)pause();
        }
        assert_true(child > 0);
        (void)close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void)close(ready[0]);
        drop(one, 1, 1);
        assert_true(has_to_grow(one));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        later = round == 0 ? NULL : attach(fx); /* in the dead one's place */
        assert_true(later == NULL || later->process == 1);
        assert_false(has_to_grow(one));
        assert_true(has_to_grow(one));
        lsi_control_close(later);
    }
    lsi_control_close(one);
}

/* Wherever they were listed. */
static void the_dead_keep_nothing_of_any_place(void **state)
{
    static const uint32_t places[] = {1, 63, 64, 65, 127, 128, CONTROL_PROCESSES - 1};
    fixture *fx = *state;
    lsi_control *control = attach(fx);
    lsi_file all = {0};

    assert_int_equal(fx->root.files->open(&fx->root, LSI_CONTROL_NAME, LSI_OPEN_WRITE, &all), 0);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        uint32_t place = places[i];
        lsi_slot *slot = slot_of(control, 1, 1);

        assert_int_equal(all.files->lock(&all, CONTROL_BYTE_PROCESS + place, LSI_LOCK_EXCLUSIVE), 0); /* alive */
        atomic_store(&slot->keepers[place / 64], UINT64_C(1) << place % 64);
        drop(control, 1, 1);
        assert_true(has_to_grow(control));
        assert_int_equal(all.files->lock(&all, CONTROL_BYTE_PROCESS + place, LSI_LOCK_NONE), 0);
        assert_false(has_to_grow(control));
        assert_int_not_equal(atomic_load(&slot->kind), LSI_SLOT_FREE); /* Nor is it theirs who come to that place. */
        for (uint32_t word = 0; word < LSI_SLOT_KEEPER_WORDS; word++)
            assert_int_equal(atomic_load(&slot->keepers[word]), 0);
    }
    assert_int_equal(all.files->close(&all), 0);
    lsi_control_close(control);
}

/* Who looks for a slot under the store's lock leaves its own locks to who has them. */
static void a_slot_that_is_found_keeps_its_locks(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx);
    lsi_slot *slot = slot_of(control, 1, 1), *found;
    holder other;

    hold_begin(&other, &slot->append_lock, LSI_RANK_SHARD, false);
    assert_int_equal(lsi_control_lock(control), LS_OK);
    assert_int_equal(lsi_control_slot_locked(control, LSI_SLOT_SHARD, 1, 1, &found), LS_OK);
    lsi_control_unlock(control);
    assert_ptr_equal(found, slot);
    assert_int_equal(lsi_lock_try(&slot->append_lock, LSI_RANK_SHARD), LSI_LOCK_BUSY);
    hold_end(&other);
    assert_is_free(&slot->append_lock, LSI_RANK_SHARD);
    lsi_control_close(control);
}

/* In a file that begins anew all entries of the table of processes have been taken as often, by chance; and who leaves
 * is in it no more. */
static void the_table_of_processes_begins_by_chance_and_forgets_who_leaves(void **state)
{
    fixture *fx = *state;
    lsi_control *one = attach(fx), *two;
    uint32_t uses = atomic_load(&one->processes[CONTROL_PROCESSES - 1].uses);

    for (uint32_t i = 1; i < CONTROL_PROCESSES; i++) /* The first one is taken once more. */
        assert_int_equal(atomic_load(&one->processes[i].uses), uses);
    assert_int_equal(atomic_load(&one->processes[0].uses), uses + 1);
    two = attach(fx);
    assert_int_equal(two->process, 1);
    assert_int_not_equal(atomic_load(&one->processes[1].used), 0);
    lsi_control_close(two);
    assert_int_equal(atomic_load(&one->processes[1].used), 0);
    assert_int_not_equal(atomic_load(&one->processes[0].used), 0);
    lsi_control_close(one);
}

/* Of slots that were freed before another boot nobody has a pointer: all that are free may be used at once. */
static void what_was_free_before_a_boot_is_free(void **state)
{
    static const unsigned char boots[2][16] = {{1}, {2}};
    fixture *fx = *state;
    lsi_control *control;

    lsi_boot_id_pretend(boots[0]);
    control = attach(fx);
    (void)slot_of(control, 1, 1);
    lsi_watermark_note(slot_of(control, 1, 2), 1, 8);
    drop(control, 1, 1);
    assert_int_equal(control->header->free_new, 2);
    lsi_watermark_note(slot_of(control, 2, 1), 1, 8);
    atomic_store(&control->processes[CONTROL_PROCESSES - 1].used, 1); /* who died */
    lsi_control_close(control);
    lsi_boot_id_pretend(boots[1]);
    control = attach(fx);
    assert_int_equal(atomic_load(&control->processes[CONTROL_PROCESSES - 1].used), 0);
    assert_int_equal(atomic_load(&control->header->used_count), 3);
    assert_int_equal(control->header->free_old, 2);
    assert_int_equal(control->header->free_new, 0);
    (void)slot_of(control, 3, 1);
    assert_int_equal(control->header->free_old, 1);
    assert_int_equal(atomic_load(&control->header->used_count), 3);
    lsi_control_close(control);
}

/* ---- a child that was born without fork handlers ---- */

/* It has the same open files, and no idea of them. */
static pid_t bear(int *hold)
{
    int pipe_fds[2];
    pid_t child;
    char byte;

    assert_int_equal(pipe(pipe_fds), 0);
    child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        (void)close(pipe_fds[1]);
        (void)!read(pipe_fds[0], &byte, 1); /* until the parent closes its end */
        _exit(0);
    }
    assert_true(child > 0);
    (void)close(pipe_fds[0]);
    *hold = pipe_fds[1];
    return child;
}

static void bury(pid_t child, int hold)
{
    int status;

    (void)close(hold);
    assert_int_equal(waitpid(child, &status, 0), child);
}

static pid_t born;
static int born_hold;

static int map_fails(const lsi_file *file, uint64_t at, size_t size, bool write, void **out)
{
    (void)file;
    (void)at;
    (void)size;
    (void)write;
    (void)out;
    born = bear(&born_hold);
    return -EIO;
}

/* What its parent gives back is free, though its open file is not closed. */
static void what_is_given_back_is_free_while_a_child_has_it_open(void **state)
{
    fixture *fx = *state;
    lsi_files files = lsi_files_system;
    lsi_control *control = attach(fx), *other;
    lsi_claim claim = {0}, again = {0};
    lsi_gate *gate;
    pid_t child;
    int held;

    assert_int_equal(lsi_control_claim(&fx->env, &fx->root, 7, 7, &claim), LS_OK);
    child = bear(&held);
    assert_int_equal(lsi_control_claim(&fx->env, &fx->root, 7, 7, &again), LS_ERR_BUSY);
    lsi_control_claim_release(&claim);
    assert_int_equal(lsi_control_claim(&fx->env, &fx->root, 7, 7, &again), LS_OK);
    lsi_control_claim_release(&again);
    bury(child, held);

    assert_int_equal(lsi_control_gate(&fx->env, &fx->root, &gate), LS_OK);
    child = bear(&held);
    lsi_control_gate_release(gate);
    assert_int_equal(lsi_control_gate(&fx->env, &fx->root, &gate), LS_OK);
    lsi_control_gate_release(gate);
    bury(child, held);

    /* Opening fails where the gate is shut. */
    files.map = map_fails;
    fx->root.files = &files;
    assert_int_equal(try_attach(fx, store_id, &other), LS_ERR_IO);
    fx->root.files = &lsi_files_system;
    lsi_control_close(attach(fx));
    bury(born, born_hold);
    lsi_control_close(control);
}

/* Where the file system cannot allocate, as many bytes are written as are wanted. */
static int cannot_allocate(const lsi_file *file, uint64_t at, uint64_t size)
{
    (void)file;
    (void)at;
    (void)size;
    return -EOPNOTSUPP;
}

static void any_number_of_slots_can_be_reserved(void **state)
{
    fixture *fx = *state;
    lsi_files files = lsi_files_system;
    lsi_control *control;

    files.allocate = cannot_allocate;
    fx->root.files = &files;
    control = attach(fx);
    for (uint32_t more = 1; more < 80; more += 13) {
        uint32_t count = atomic_load(&control->header->slot_count) + more;
        struct stat about;

        assert_int_equal(lsi_control_lock(control), LS_OK);
        assert_int_equal(lsi_control_reserve(control, count), LS_OK);
        lsi_control_unlock(control);
        assert_int_equal(atomic_load(&control->header->slot_count), count);
        assert_int_equal(stat(temp_path(&fx->temp, LSI_CONTROL_NAME), &about), 0);
        assert_int_equal(about.st_size, CONTROL_SLOTS_AT + (uint64_t)count * LSI_SLOT_BYTES);
    }
    lsi_control_close(control);
    fx->root.files = &lsi_files_system;
}

/* Who is in no table can say of nothing that he keeps it: while he is there nothing is used again. */
static void while_one_is_not_listed_all_is_kept(void **state)
{
    fixture *fx = *state;
    lsi_control *one = attach(fx), *late;
    lsi_file all = {0};
    lsi_slot *kept;

    assert_int_equal(fx->root.files->open(&fx->root, LSI_CONTROL_NAME, LSI_OPEN_WRITE, &all), 0);
    for (uint32_t i = 1; i < CONTROL_PROCESSES; i++)
        assert_int_equal(all.files->lock(&all, CONTROL_BYTE_PROCESS + i, LSI_LOCK_EXCLUSIVE), 0);
    late = attach(fx);
    assert_int_equal(all.files->close(&all), 0);
    kept = keep(late, LSI_SLOT_SHARD, 1, 1);
    drop(one, 1, 1);
    assert_true(has_to_grow(one));
    assert_true(has_to_grow(late));
    lsi_control_let_go(late, kept);
    assert_true(has_to_grow(one));
    lsi_control_close(late);
    assert_false(has_to_grow(one));
    lsi_control_close(one);
}

/* Between finding a slot and keeping it, it becomes another's. */
typedef struct theft {
    fixture *fx;
    lsi_control *by;
    bool is_done;
} theft;

static void *steal(void *user)
{
    theft *of = user;

    drop(of->by, 1, 1);
    assert_false(has_to_grow(of->by));
    return NULL;
}

static void steal_once(void *user)
{
    theft *of = user;
    pthread_t thread;

    if (of->is_done)
        return;
    of->is_done = true;
    assert_int_equal(pthread_create(&thread, NULL, steal, of), 0); /* as another process: it has no lock of ours */
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void what_became_anothers_meanwhile_is_not_kept(void **state)
{
    fixture *fx = *state;
    lsi_control *one = attach(fx), *two = attach(fx);
    lsi_slot *first = slot_of(two, 1, 1), *kept;
    theft of = {fx, one, false};

    fill(one);
    (void)slot_of(two, OTHERS, 3); /* Its table needs no memory any more: the next thing that does is keeping. */
    fx->memory.hook = steal_once;
    fx->memory.hook_user = &of;
    kept = keep(two, LSI_SLOT_SHARD, 1, 1);
    fx->memory.hook = NULL;
    assert_true(of.is_done);
    assert_ptr_not_equal(kept, first);
    assert_true(lsi_slot_is(kept, LSI_SLOT_SHARD, 1, 1));
    assert_true(lsi_slot_is(first, LSI_SLOT_SHARD, OTHERS, atomic_load(&first->shard)));
    for (uint32_t i = 0; i < LSI_SLOT_KEEPER_WORDS; i++)
        assert_true(atomic_load(&first->keepers[i]) == 0);
    lsi_control_let_go(two, kept);
    lsi_control_close(two);
    lsi_control_close(one);
}

/* E4: without memory nothing is kept, and nothing stays of having tried. */
static void keeping_needs_memory_once(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx);
    lsi_slot *slot = slot_of(control, 1, 1), *kept = NULL;

    sim_memory_fail(&fx->memory, 1, false);
    assert_int_equal(lsi_control_keep(control, LSI_SLOT_SHARD, 1, 1, &kept), LS_ERR_NO_MEMORY);
    sim_memory_fail(&fx->memory, 0, false);
    assert_true(atomic_load(&slot->keepers[0]) == 0);
    for (uint32_t i = 0; i < 200; i++) /* further than the first piece of the list */
        assert_ptr_equal(keep(control, LSI_SLOT_SHARD, OTHERS, i), slot_of(control, OTHERS, i));
    assert_true(atomic_load(&slot_of(control, OTHERS, 0)->keepers[0]) == 1);
    lsi_control_close(control); /* with all that it keeps */
    control = attach(fx);
    assert_true(atomic_load(&slot_of(control, OTHERS, 0)->keepers[0]) == 0);
    assert_true(atomic_load(&slot_of(control, OTHERS, 199)->keepers[0]) == 0);
    lsi_control_close(control);
}

/* A count that is damaged while somebody is attached reaches no further than the file does. */
static void a_count_of_slots_that_cannot_be_goes_no_further_than_the_map(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx);
    lsi_slot *slot;

    truncate_to(fx, CONTROL_MAP_BYTES);
    atomic_store(&control->header->used_count, UINT32_MAX);
    atomic_store(&control->header->slot_count, UINT32_MAX);
    assert_int_equal(lsi_control_slot_find(control, LSI_SLOT_SHARD, 1, 1, &slot), LS_OK);
    assert_null(slot);
    atomic_store(&control->header->used_count, 0);
    atomic_store(&control->header->slot_count, CONTROL_SLOTS_FIRST);
    lsi_control_close(control);
}

/* ---- reading beside it ---- */

static int refuse_writing(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    return (flags & LSI_OPEN_WRITE) != 0 ? -EPERM : lsi_files_system.open(root, name, flags, out);
}

/* E6: who may only read has memory of his own, also when he finds that out later. */
static void memory_stands_in_for_who_may_only_read(void **state)
{
    fixture *fx = *state;
    lsi_control *control = attach(fx), *reader;
    lsi_files files = lsi_files_system;
    lsi_slot *slot;
    bool alone;

    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, true, &reader, &alone), LS_OK);
    assert_false(lsi_control_is_private(reader));
    assert_int_equal(lsi_control_stand_in(reader, &fx->root, store_id), LS_OK);
    assert_true(lsi_control_is_private(reader));
    assert_int_equal(lsi_control_slot(reader, LSI_SLOT_SHARD, 1, 1, &slot), LS_OK);
    lsi_control_close(reader);

    files.open = refuse_writing;
    fx->root.files = &files;
    assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, true, &reader, &alone), LS_OK);
    assert_true(lsi_control_is_private(reader));
    lsi_control_close(reader);
    fx->root.files = &lsi_files_system;

    for (uint64_t nth = 1;; nth++) { /* E4 */
        ls_status st;

        assert_int_equal(lsi_control_open(&fx->env, &fx->root, store_id, true, &reader, &alone), LS_OK);
        sim_memory_fail(&fx->memory, nth, false);
        st = lsi_control_stand_in(reader, &fx->root, store_id);
        sim_memory_fail(&fx->memory, 0, false);
        lsi_control_close(reader);
        if (st == LS_OK)
            break;
        assert_int_equal(st, LS_ERR_NO_MEMORY);
    }
    lsi_control_close(control);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_word_that_cannot_be_makes_the_file_anew),
        T(without_a_boot_id_nothing_is_believed),
        T(a_file_that_cannot_be_shared_is_refused),
        T(one_too_many_works_and_is_not_listed),
        T(tags_say_who_is_gone),
        T(who_is_gone_is_gone_while_another_takes_his_place),
        T(a_child_is_refused_and_gives_nothing_back),
        T(no_child_is_born_while_the_file_is_opened),
        T(a_freed_slot_is_taken_with_its_locks_when_all_are_used),
        T(a_kept_slot_is_not_used_again),
        T(a_kept_streams_slot_keeps_its_parts),
        T(a_kept_streams_slot_keeps_shards_that_go_before_it),
        T(any_slot_may_be_a_kept_streams),
        T(parts_outlive_the_slot_that_they_are_parts_of),
        T(a_part_of_what_cannot_be_is_left_alone),
        T(the_dead_keep_nothing),
        T(the_dead_keep_nothing_of_any_place),
        T(a_slot_that_is_found_keeps_its_locks),
        T(the_table_of_processes_begins_by_chance_and_forgets_who_leaves),
        T(what_was_free_before_a_boot_is_free),
        T(what_is_given_back_is_free_while_a_child_has_it_open),
        T(any_number_of_slots_can_be_reserved),
        T(while_one_is_not_listed_all_is_kept),
        T(what_became_anothers_meanwhile_is_not_kept),
        T(keeping_needs_memory_once),
        T(a_count_of_slots_that_cannot_be_goes_no_further_than_the_map),
        T(memory_stands_in_for_who_may_only_read),
    };
    return cmocka_run_group_tests_name("the control file at its limits", tests, NULL, NULL);
}
