/* The control file as a file: attaching, starting over, the process table, the store lock. Its slots are in slot.c.
 *
 * It is a cache in shared memory. So every doubt is answered by making it anew, and the only question is who may: he
 * who is alone. Being alone is the kernel's word (P6) and is asked for while the gate is held, so it stays true until
 * the gate is opened again. Robust locks and ends are believed for one boot only.
 *
 *   C1  What is mapped is allocated first, and the file never shrinks (E5): not even a copy that `cp` made sparse.
 *   C2  Starting over may die at any instruction. Watermarks stay where they are while everything around them is
 *       cleared, and the boot id, written last, says that it was finished.
 *   C3  A fork child gives up its descriptor and its mapping before fork returns, so it never keeps a lock of its
 *       parent alive (P9). Both: a mapping alone holds the open file, and with it the OFD locks.
 *   C4  Opening for reading works where nothing can be written (E6): memory of our own stands in for the file, through
 *       the memory table, so all code below sees one and the same thing. What the file says is copied (mirror.c). */
#include "storage/control.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <libstream/store.h>

#include "base/hash.h"
#include "base/patience.h"
#include "base/status.h"
#include "base/thread.h"
#include "storage/control_layout.h"

#define GATE_POLL_US 2000
#define ALLOCATE_CHUNK_BYTES 16384u

/* ---- the gate ---- */

static ls_status gate_take(const lsi_env *env, const lsi_file *file)
{
    _Atomic uint32_t nobody = 0; /* to sleep on: only the time ends it */
    int64_t left_us = lsi_patience_us(env->busy_timeout_ms);

    for (;;) {
        int result = file->files->lock(file, CONTROL_BYTE_GATE, LSI_LOCK_EXCLUSIVE);
        int64_t from_us, took_us;

        if (result == 0)
            return LS_OK;
        if (result != -EAGAIN)
            return lsi_fail_errno(result, "cannot lock the control file");
        if (left_us <= 0 || lsi_patience_us(env->busy_timeout_ms) <= 0)
            return lsi_fail(LS_ERR_BUSY, "another process is opening the store, and the call has waited %s",
                           lsi_patience_waited(env->busy_timeout_ms));
        /* By the system's clock, as all patience: a sleep may take far longer than it was asked to, and a clock of the
         * store's that stands still must not make this endless. */
        from_us = lsi_monotonic_us(&lsi_clock_system);
        (void)lsi_word_sleep(&nobody, 0, GATE_POLL_US);
        took_us = lsi_monotonic_us(&lsi_clock_system) - from_us;
        left_us -= took_us;
        lsi_patience_spend(took_us);
    }
}

/* It cannot be made anew: to move it away while somebody has the real one open would make two stores of one. */
static ls_status fail_open(int result)
{
    if (lsi_file_misfit(result) != NULL)
        return lsi_fail(LS_ERR_CORRUPT, "%s %s: until that is moved away the store can only be read", LSI_CONTROL_NAME,
                        lsi_file_misfit(result));
    return lsi_fail_errno(result, "cannot open the control file");
}

static void abandon_in_child(void *user)
{
    lsi_file *file = user;

    if (lsi_file_is_open(file))
        file->files->abandon(file);
}

/* An own open of the file: what it locks ends with this process, whatever children that has (P6). */
struct lsi_gate {
    const lsi_memory *memory;
    lsi_file file;
    lsi_on_fork on_fork;
};

static int own_open(const lsi_env *env, const lsi_root *root, unsigned flags, lsi_gate **out)
{
    lsi_gate *own = lsi_alloc_zero(&env->memory, sizeof(*own));
    int result;

    if (own == NULL)
        return -ENOMEM;
    own->memory = &env->memory;
    own->on_fork.in_child = abandon_in_child;
    own->on_fork.user = &own->file;
    result = lsi_on_fork_add(&own->on_fork);
    if (result == 0) {
        lsi_fork_hold_off();
        result = root->files->open(root, LSI_CONTROL_NAME, flags, &own->file);
        lsi_fork_let_go();
        if (result == 0) {
            *out = own;
            return 0;
        }
        lsi_on_fork_remove(&own->on_fork);
    }
    lsi_free(own->memory, own);
    return result;
}

static void own_close(lsi_gate *own)
{
    lsi_fork_hold_off();
    if (lsi_file_is_open(&own->file)) /* Else this is a child, which has given it up. */
        (void)own->file.files->close(&own->file); /* nothing was written */
    lsi_fork_let_go();
    lsi_on_fork_remove(&own->on_fork);
    lsi_free(own->memory, own);
}

ls_status lsi_control_gate(const lsi_env *env, const lsi_root *root, lsi_gate **gate)
{
    lsi_gate *own;
    int result = own_open(env, root, LSI_OPEN_WRITE | LSI_OPEN_CREATE | LSI_OPEN_MAPPED, &own);
    ls_status st;

    if (result != 0)
        return fail_open(result);
    st = gate_take(env, &own->file);
    if (st == LS_OK)
        *gate = own;
    else
        own_close(own);
    return st;
}

void lsi_control_gate_release(lsi_gate *gate)
{
    if (gate == NULL)
        return;
    /* By word too: a child that was born without fork handlers may have the same open file. */
    if (lsi_file_is_open(&gate->file))
        (void)gate->file.files->lock(&gate->file, CONTROL_BYTE_GATE, LSI_LOCK_NONE);
    own_close(gate);
}

/* ---- claims ---- */

ls_status lsi_control_claim(const lsi_env *env, const lsi_root *root, uint64_t first, uint64_t last, lsi_claim *out)
{
    lsi_claim claim = {.id = first};
    int result = own_open(env, root, LSI_OPEN_WRITE, &claim.gate);

    if (result != 0)
        return lsi_fail_errno(result, "cannot open the control file");
    for (;; claim.id++) {
        result = root->files->lock(&claim.gate->file, CONTROL_BYTE_CLAIM + claim.id, LSI_LOCK_EXCLUSIVE);
        if (result != -EAGAIN || claim.id >= last)
            break;
    }
    if (result == 0) {
        *out = claim;
        return LS_OK;
    }
    own_close(claim.gate);
    return result == -EAGAIN ? lsi_fail(LS_ERR_BUSY, "stream id %llu is claimed", (unsigned long long)last)
                             : lsi_fail_errno(result, "cannot lock the control file");
}

void lsi_control_claim_release(lsi_claim *claim)
{
    if (claim->gate == NULL)
        return;
    /* By word too, as the gate. */
    if (lsi_file_is_open(&claim->gate->file))
        (void)claim->gate->file.files->lock(&claim->gate->file, CONTROL_BYTE_CLAIM + claim->id, LSI_LOCK_NONE);
    own_close(claim->gate);
    claim->gate = NULL;
}

/* ---- space ---- */

/* Where the file system cannot allocate: bytes that were written are allocated too. Keeps what is there. */
static int rewrite(const lsi_file *file, uint64_t at, uint64_t end)
{
    unsigned char bytes[ALLOCATE_CHUNK_BYTES];

    while (at < end) {
        size_t size = end - at < sizeof(bytes) ? (size_t)(end - at) : sizeof(bytes);
        int64_t got;
        int result;

        got = file->files->read(file, bytes, size, at);
        if (got < 0)
            return (int)got;
        memset(bytes + got, 0, size - (size_t)got);
        result = lsi_file_write_one(file, bytes, size, at);
        if (result != 0)
            return result;
        at += size;
    }
    return 0;
}

/* Allocates [from, end), a range that nobody uses. */
static int allocate(const lsi_file *file, uint64_t from, uint64_t end)
{
    int result = file->files->allocate(file, from, end - from);

    if (result == -EOPNOTSUPP)
        result = rewrite(file, from, end);
    return result;
}

ls_status lsi_control_allocate(lsi_control *control, uint32_t count)
{
    uint64_t from = CONTROL_SLOTS_AT +
        (uint64_t)atomic_load_explicit(&control->header->slot_count, memory_order_relaxed) * LSI_SLOT_BYTES;
    uint64_t end = CONTROL_SLOTS_AT + (uint64_t)count * LSI_SLOT_BYTES;
    int result = allocate(&control->file, from, end);

    if (result != 0)
        return lsi_fail_errno(result, "cannot grow the control file to %llu bytes", (unsigned long long)end);
    return LS_OK;
}

/* ---- starting over, or going on ---- */

static uint64_t header_sum(const control_header *header)
{
    return lsi_sum64(header, offsetof(control_header, sum), 0);
}

static bool header_is_whole(const control_header *header)
{
    return memcmp(header->magic, CONTROL_MAGIC, sizeof(header->magic)) == 0 && header->sum == header_sum(header);
}

bool lsi_control_header_is_of(const control_header *header, const unsigned char store_id[16])
{
    return header_is_whole(header) && header->layout == LSI_CONTROL_LAYOUT &&
           header->features == LSI_CONTROL_FEATURES &&
           memcmp(header->store_id, store_id, sizeof(header->store_id)) == 0;
}

static void header_set_boot(control_header *header, const unsigned char boot_id[16])
{
    /* The gate orders this between processes; the fence keeps a death here from showing it before what it vouches
     * for. */
    atomic_thread_fence(memory_order_seq_cst);
    memcpy(header->boot_id, boot_id, sizeof(header->boot_id));
}

/* The next value but 0, which slots hold that nobody looked at. */
static void epoch_raise(control_header *header)
{
    uint32_t epoch = atomic_load_explicit(&header->attach_epoch, memory_order_relaxed) + 1;

    /* Relaxed: the gate is held, and others read it after they were through the gate. */
    if (epoch == 0)
        epoch = 1;
    header->attach_check = ~epoch; /* first: a death between the two makes the next one start over */
    atomic_store_explicit(&header->attach_epoch, epoch, memory_order_relaxed);
}

/* Nobody is in the table. What is on the disk may still name a process by its tag, and that was in another table: its
 * entries had been taken as often by then only by chance, so who asks is told that it is gone. */
static void processes_clear(lsi_control *control)
{
    uint32_t uses;

    memset(control->processes, 0, CONTROL_PROCESSES * sizeof(control_process));
    control->env->random(control->env->random_user, &uses, sizeof(uses));
    for (uint32_t i = 0; i < CONTROL_PROCESSES; i++) /* Relaxed: the gate is held. */
        atomic_store_explicit(&control->processes[i].uses, uses, memory_order_relaxed);
}

/* Nobody else is attached. `slots_there`: how many the file's size has room for. `was_shorter`: some of them only
 * now. */
static int attach_alone(lsi_control *control, const unsigned char store_id[16], uint32_t slots_there, bool was_shorter)
{
    static const unsigned char none[16];
    control_header *header = control->header;
    unsigned char boot_id[16];
    bool of_this_store = lsi_control_header_is_of(header, store_id);
    uint32_t count = atomic_load_explicit(&header->slot_count, memory_order_relaxed);
    uint32_t used = atomic_load_explicit(&header->used_count, memory_order_relaxed);
    bool unsure;
    int result;

    lsi_boot_id(boot_id);
    if (of_this_store && !was_shorter && header->attach_check == ~lsi_control_epoch(control) && count <= slots_there &&
        used <= count && count >= CONTROL_SLOTS_FIRST && memcmp(boot_id, none, sizeof(boot_id)) != 0 &&
        memcmp(header->boot_id, boot_id, sizeof(boot_id)) == 0) {
        /* The same boot: everything is as the last one left it, dead or not. Nobody holds a pointer to a slot that
         * was freed before. */
        header->free_old += header->free_new;
        header->free_new = 0;
        /* Nobody can hold it, and the dead leave no more than an odd manifest_generation. */
        result = lsi_lock_init(&header->store_lock);
        if (result != 0)
            return result;
        epoch_raise(header);
        return 0;
    }
    /* Only another boot has surely nothing in its kernel that is not on the disk. */
    unsure = !of_this_store || memcmp(header->boot_id, none, sizeof(none)) == 0 ||
        memcmp(boot_id, none, sizeof(none)) == 0 || memcmp(header->boot_id, boot_id, sizeof(boot_id)) == 0;
    header_set_boot(header, none); /* C2 */
    if (!of_this_store) {
        /* Not even the watermarks: they may be another store's, or another layout's. */
        processes_clear(control);
        memset(header, 0, sizeof(*header));
        result = lsi_slots_init(control, 0, slots_there);
        if (result != 0)
            return result;
        memcpy(header->store_id, store_id, sizeof(header->store_id));
        header->layout = LSI_CONTROL_LAYOUT;
        header->features = LSI_CONTROL_FEATURES;
        memcpy(header->magic, CONTROL_MAGIC, sizeof(header->magic));
        header->sum = header_sum(header);
        count = slots_there;
    } else {
        processes_clear(control);
        count = slots_there;
        result = lsi_slots_start_over(control, count);
        if (result != 0)
            return result;
    }
    atomic_store_explicit(&header->slot_count, count, memory_order_relaxed);
    atomic_store_explicit(&header->unsure, unsure, memory_order_relaxed);
    memset(&header->clock_guard, 0, sizeof(header->clock_guard)); /* Monotonic time begins with the boot. */
    memset(&header->upkeep, 0, sizeof(header->upkeep));
    /* Nobody has a cached manifest. It is even: nothing is under way. */
    atomic_store_explicit(&header->manifest_generation, LSI_CONTROL_GENERATION_FIRST, memory_order_relaxed);
    result = lsi_lock_init(&header->store_lock);
    if (result != 0)
        return result;
    epoch_raise(header);
    header_set_boot(header, boot_id);
    if (control->own_files == NULL)
        lsi_env_log(control->env, LS_LOG_INFO, "the control file was made anew: %s",
                    !of_this_store ? "there was none of this store" :
                    unsure         ? "it was damaged" :
                                     "the machine was started since");
    return 0;
}

static ls_status attach_to_others(lsi_control *control, const unsigned char store_id[16])
{
    const control_header *header = control->header;
    unsigned char boot_id[16];
    uint64_t size, count;
    int result;

    if (!header_is_whole(header))
        return lsi_fail(LS_ERR_VERSION, "the control file in use is not one of this library");
    if (header->layout != LSI_CONTROL_LAYOUT || header->features != LSI_CONTROL_FEATURES)
        return lsi_fail(LS_ERR_VERSION, "the control file in use has layout %u with features 0x%x, this library has %u "
                        "with 0x%x", header->layout, header->features, LSI_CONTROL_LAYOUT, LSI_CONTROL_FEATURES);
    lsi_boot_id(boot_id);
    if (memcmp(header->boot_id, boot_id, sizeof(boot_id)) != 0)
        return lsi_fail(LS_ERR_VERSION, "the control file in use is of another machine or boot");
    if (memcmp(header->store_id, store_id, sizeof(header->store_id)) != 0)
        return lsi_fail(LS_ERR_CORRUPT, "the manifest was exchanged while processes have the store open");
    /* The others may be growing the file, which the gate does not stop: they allocate first and raise the count then.
     * So the count is read first, and the size, which has it all, after it. Pairs with the release in slot.c. */
    count = atomic_load_explicit(&header->slot_count, memory_order_acquire);
    result = control->files->size(&control->file, &size);
    if (result != 0)
        return lsi_fail_errno(result, "cannot open the control file");
    if (size < CONTROL_SLOTS_AT || (size - CONTROL_SLOTS_AT) / LSI_SLOT_BYTES < count)
        return lsi_fail(LS_ERR_CORRUPT, "the control file was shortened while processes have the store open");
    return LS_OK;
}

/* ---- the process table ---- */

static void process_enter(lsi_control *control)
{
    control->process = -1;
    for (uint32_t i = 0; i < CONTROL_PROCESSES; i++) {
        control_process *process = &control->processes[i];

        if (control->files->locked_elsewhere(&control->file, CONTROL_BYTE_PROCESS + i) != 0)
            continue; /* another's; and where locks fail altogether, nobody is listed */
        /* Before the lock, which nobody else takes while the gate is ours: who finds the place held finds its last one
         * gone by the number. */
        atomic_fetch_add_explicit(&process->uses, 1, memory_order_release);
        if (control->files->lock(&control->file, CONTROL_BYTE_PROCESS + i, LSI_LOCK_EXCLUSIVE) != 0)
            continue;
        control->process = (int)i;
        if (atomic_load_explicit(&process->used, memory_order_relaxed) != 0)
            lsi_slots_forget_keeper(control); /* Its last one died. */
        /* Relaxed: whoever lists processes may see an entry half written. `used` is released last. */
        atomic_store_explicit(&process->pid, lsi_process_id(), memory_order_relaxed);
        atomic_store_explicit(&process->read_only, control->read_only, memory_order_relaxed);
        atomic_store_explicit(&process->attached_us, lsi_wall_us(&control->env->clock), memory_order_relaxed);
        atomic_store_explicit(&process->used, 1, memory_order_release);
        return;
    }
    /* What it keeps nobody knows, so nobody uses freed slots again while it is attached. When this fails, so does
     * asking for it. */
    (void)control->files->lock(&control->file, CONTROL_BYTE_UNLISTED, LSI_LOCK_SHARED);
}

static uint64_t tag_of(const lsi_control *control, uint32_t index)
{
    uint32_t uses = atomic_load_explicit(&control->processes[index].uses, memory_order_acquire);

    return (uint64_t)uses << LSI_PROCESS_PLACE_BITS | (index + 1);
}

uint64_t lsi_control_process_tag(const lsi_control *control)
{
    return control->process < 0 ? 0 : tag_of(control, (uint32_t)control->process);
}

bool lsi_control_is_gone(lsi_control *control, uint64_t tag, unsigned bits)
{
    uint32_t index = tag & ((1u << LSI_PROCESS_PLACE_BITS) - 1);
    uint64_t mask = (UINT64_C(1) << bits) - 1;

    if (index == 0)
        return false;
    index--;
    if (index >= CONTROL_PROCESSES)
        return true; /* garbage */
    /* The lock first: the number is raised before it is taken. Where locks cannot be asked for, nobody is gone. */
    if ((int)index != control->process &&
        control->files->locked_elsewhere(&control->file, CONTROL_BYTE_PROCESS + index) == 0)
        return true;
    return ((tag_of(control, index) ^ tag) & mask) != 0;
}

void lsi_control_each_process(lsi_control *control, bool (*each)(void *user, const lsi_attached *process), void *user)
{
    for (uint32_t i = 0; i < CONTROL_PROCESSES; i++) {
        const control_process *process = &control->processes[i];
        lsi_attached attached;

        if (atomic_load_explicit(&process->used, memory_order_acquire) == 0) /* pairs with process_enter */
            continue;
        attached.is_this = (int)i == control->process;
        attached.alive = attached.is_this ||
            control->files->locked_elsewhere(&control->file, CONTROL_BYTE_PROCESS + i) == 1;
        attached.pid = atomic_load_explicit(&process->pid, memory_order_relaxed);
        attached.read_only = atomic_load_explicit(&process->read_only, memory_order_relaxed) != 0;
        attached.attached_us = atomic_load_explicit(&process->attached_us, memory_order_relaxed);
        if (!each(user, &attached))
            return;
    }
}

/* ---- opening and closing ---- */

static void give_up_in_child(void *user)
{
    lsi_control *control = user;

    /* C3. Who still comes here with a pointer to a slot did not ask lsi_control_is_mine() first. */
    if (control->header != NULL)
        control->files->unmap(&control->mapped, control->header, CONTROL_MAP_BYTES);
    control->header = NULL;
    if (lsi_file_is_open(&control->file))
        control->files->abandon(&control->file);
}

/* Memory stands in for the file (C4). */
static int open_private(lsi_control *control)
{
    int result;

    control->own_files = lsi_files_memory_new(&control->env->memory);
    if (control->own_files == NULL)
        return -ENOMEM;
    control->files = control->own_files;
    result = lsi_lock_init(&control->mirror_lock);
    if (result != 0)
        return result;
    result = control->files->root_open(control->files, "control", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &control->own_root);
    if (result != 0)
        return result;
    return control->files->open(&control->own_root, LSI_CONTROL_NAME, LSI_OPEN_WRITE | LSI_OPEN_CREATE, &control->file);
}

static bool stands_in(int err)
{
    return err == -ENOENT || err == -EROFS || err == -EACCES || err == -EPERM || lsi_file_misfit(err) != NULL;
}

static void let_go(lsi_control *control)
{
    if (control->header != NULL)
        control->files->unmap(&control->mapped, control->header, CONTROL_MAP_BYTES);
    control->header = NULL;
    if (!lsi_file_is_open(&control->file))
        return;
    /* By word too: a child that was born without fork handlers may have the same open file. */
    if (control->process >= 0)
        (void)control->files->lock(&control->file, CONTROL_BYTE_PROCESS + (uint64_t)control->process, LSI_LOCK_NONE);
    (void)control->files->lock(&control->file, CONTROL_BYTE_ALIVE, LSI_LOCK_NONE);
    (void)control->files->lock(&control->file, CONTROL_BYTE_GATE, LSI_LOCK_NONE); /* ours when opening failed */
    (void)control->files->close(&control->file); /* hints: what a failing close loses is found again */
    control->process = -1;
}

static void release(lsi_control *control)
{
    if (control->on_fork_added)
        lsi_on_fork_remove(&control->on_fork);
    lsi_control_unwatch(control);
    let_go(control);
    if (control->own_root.files != NULL)
        control->files->root_close(&control->own_root);
    if (control->own_files != NULL)
        lsi_files_memory_free(control->own_files);
    lsi_fork_mark_free(control->mark);
    lsi_free(&control->env->memory, control->table);
    lsi_free(&control->env->memory, control->kept);
    lsi_free(&control->env->memory, control);
}

/* Maps the file, which is open, and takes a place in it. The gate stays shut when this fails. */
static ls_status attach(lsi_control *control, const unsigned char store_id[16], bool *alone)
{
    uint64_t size, was, least = CONTROL_SLOTS_AT + CONTROL_SLOTS_FIRST * (uint64_t)LSI_SLOT_BYTES;
    uint32_t slots_there;
    void *map = NULL;
    int result;
    ls_status st = gate_take(control->env, &control->file);

    if (st != LS_OK)
        return st;
    result = control->files->locked_elsewhere(&control->file, CONTROL_BYTE_ALIVE);
    if (result < 0)
        return fail_open(result);
    *alone = result == 0;
    result = control->files->lock(&control->file, CONTROL_BYTE_ALIVE, LSI_LOCK_SHARED);
    if (result != 0)
        return fail_open(result);
    result = control->files->size(&control->file, &size);
    if (result != 0)
        return fail_open(result);
    was = size;
    if (*alone) {
        uint64_t whole = size > CONTROL_MAP_BYTES ? CONTROL_MAP_BYTES : size / LSI_SLOT_BYTES * LSI_SLOT_BYTES;

        size = whole < least ? least : whole;
        result = allocate(&control->file, 0, size); /* C1 */
        if (result != 0)
            return fail_open(result);
    } else if (size < least) {
        return lsi_fail(LS_ERR_CORRUPT, "the control file was shortened while processes have the store open");
    } else if (size > CONTROL_MAP_BYTES) {
        size = CONTROL_MAP_BYTES;
    }
    slots_there = (uint32_t)((size - CONTROL_SLOTS_AT) / LSI_SLOT_BYTES);
    result = control->files->map(&control->file, 0, CONTROL_MAP_BYTES, true, &map);
    if (result != 0)
        return fail_open(result);
    control->mapped = control->file;
    control->header = map;
    control->processes = (control_process *)(void *)((unsigned char *)map + CONTROL_PROCESSES_AT);
    control->slots = (unsigned char *)map + CONTROL_SLOTS_AT;
    if (*alone) {
        result = attach_alone(control, store_id, slots_there, was < size);
        if (result != 0)
            return fail_open(result);
    } else {
        st = attach_to_others(control, store_id);
        if (st != LS_OK)
            return st;
    }
    process_enter(control);
    result = control->files->lock(&control->file, CONTROL_BYTE_GATE, LSI_LOCK_NONE);
    return result != 0 ? fail_open(result) : LS_OK;
}

/* Memory instead of the file, in `root`, that one who only reads can do without (C4). */
static ls_status stand_in(lsi_control *control, const lsi_root *root)
{
    int result;

    let_go(control);
    control->look_root = root;
    result = open_private(control);
    return result != 0 ? fail_open(result) : LS_OK;
}

ls_status lsi_control_open(const lsi_env *env, const lsi_root *root, const unsigned char store_id[16], bool read_only,
                           lsi_control **out, bool *alone)
{
    lsi_control *control = lsi_alloc_zero(&env->memory, sizeof(*control));
    ls_status st;
    int result;

    if (control == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the control file");
    control->env = env;
    control->files = root->files;
    control->read_only = read_only;
    control->process = -1;
    control->mark = lsi_fork_mark_new();
    if (control->mark == NULL || lsi_lock_init(&control->table_lock) != 0) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for the control file");
        goto fail;
    }
    /* A child must give the file up, also one that is born while we wait. */
    control->on_fork.in_child = give_up_in_child;
    control->on_fork.user = control;
    result = lsi_on_fork_add(&control->on_fork);
    if (result != 0) {
        st = fail_open(result);
        goto fail;
    }
    control->on_fork_added = true;
    lsi_fork_hold_off();
    result = control->files->open(root, LSI_CONTROL_NAME,
                                  LSI_OPEN_WRITE | (read_only ? 0 : LSI_OPEN_CREATE | LSI_OPEN_MAPPED), &control->file);
    lsi_fork_let_go();
    st = result == 0 ? LS_OK : read_only && stands_in(result) ? stand_in(control, root) : fail_open(result);
    if (st == LS_OK)
        st = attach(control, store_id, alone);
    if (st == LS_ERR_FULL && read_only && !lsi_control_is_private(control)) { /* E4: reading goes on. */
        st = stand_in(control, root);
        if (st == LS_OK)
            st = attach(control, store_id, alone);
    }
    if (st != LS_OK)
        goto fail;
    *out = control;
    return LS_OK;
fail:
    release(control); /* accepts a half-built one; closing opens the gate */
    return st;
}

ls_status lsi_control_stand_in(lsi_control *control, const lsi_root *root, const unsigned char store_id[16])
{
    bool alone;
    ls_status st;

    assert(control->read_only && control->own_files == NULL && control->table == NULL);
    st = stand_in(control, root);
    return st == LS_OK ? attach(control, store_id, &alone) : st;
}

void lsi_control_close(lsi_control *control)
{
    if (control == NULL)
        return;
    if (lsi_control_is_mine(control)) {
        lsi_slots_let_go_all(control);
        if (control->process >= 0)
            /* Relaxed: the entry's lock goes with the descriptor, and says it again. */
            atomic_store_explicit(&control->processes[control->process].used, 0, memory_order_relaxed);
        if (!control->read_only)
            (void)control->files->sync(&control->file, true); /* a watermark that is lost proves less; nothing breaks */
    }
    release(control);
}

bool lsi_control_is_unsure(const lsi_control *control)
{
    return atomic_load_explicit(&control->header->unsure, memory_order_acquire) != 0;
}

void lsi_control_is_sure(lsi_control *control)
{
    /* Release pairs with the acquire above: the syncs came before. */
    atomic_store_explicit(&control->header->unsure, 0, memory_order_release);
}

bool lsi_control_is_private(const lsi_control *control)
{
    return control->own_files != NULL;
}

bool lsi_control_is_mine(const lsi_control *control)
{
    return lsi_fork_mark_is_mine(control->mark);
}

const lsi_fork_mark *lsi_control_mark(const lsi_control *control)
{
    return control->mark;
}

bool lsi_control_is_alone(const lsi_control *control)
{
    return control->files->locked_elsewhere(&control->file, CONTROL_BYTE_ALIVE) == 0;
}

uint32_t lsi_control_epoch(const lsi_control *control)
{
    /* Relaxed: it does not change while anybody is attached. */
    return atomic_load_explicit(&control->header->attach_epoch, memory_order_relaxed);
}

lsi_upkeep_words *lsi_control_upkeep_words(lsi_control *control)
{
    return &control->header->upkeep;
}

lsi_clock_guard *lsi_control_clock_guard(lsi_control *control)
{
    return &control->header->clock_guard;
}

/* ---- the store lock and what it protects ---- */

ls_status lsi_control_lock(lsi_control *control)
{
    if (!lsi_control_is_mine(control))
        return lsi_fail(LS_ERR_STATE, "the store was opened before a fork");
    switch (lsi_patience_lock(&control->header->store_lock, LSI_RANK_STORE, control->env->busy_timeout_ms)) {
    case LSI_LOCKED:
        return LS_OK;
    case LSI_LOCKED_AFTER_DEATH:
        /* A manifest is replaced whole, and an odd generation says that one was being replaced. A slot half taken is
         * still free, a growth half done is done again. */
        lsi_lock_repaired(&control->header->store_lock);
        return LS_OK;
    case LSI_LOCK_BUSY:
        return lsi_fail(LS_ERR_BUSY, "another process holds the store's lock, and the call has waited %s",
                        lsi_patience_waited(control->env->busy_timeout_ms));
    case LSI_LOCK_BROKEN:
        break;
    }
    return lsi_fail(LS_ERR_CORRUPT, "the store's lock is damaged: close the store in all processes");
}

bool lsi_control_try_lock(lsi_control *control)
{
    lsi_lock_result result = LSI_LOCK_BUSY;

    if (lsi_control_is_mine(control))
        result = lsi_lock_try(&control->header->store_lock, LSI_RANK_STORE);
    if (result == LSI_LOCKED_AFTER_DEATH)
        lsi_lock_repaired(&control->header->store_lock); /* as above */
    return result == LSI_LOCKED || result == LSI_LOCKED_AFTER_DEATH;
}

void lsi_control_unlock(lsi_control *control)
{
    lsi_lock_release(&control->header->store_lock, LSI_RANK_STORE);
}

uint64_t lsi_control_manifest_generation(const lsi_control *control)
{
    /* Pairs with the releases below: who sees the number sees the file it was raised for. */
    return atomic_load_explicit(&control->header->manifest_generation, memory_order_acquire);
}

void lsi_control_manifest_changing(lsi_control *control)
{
    uint64_t generation = atomic_load_explicit(&control->header->manifest_generation, memory_order_relaxed);

    atomic_store_explicit(&control->header->manifest_generation, generation | 1, memory_order_release);
}

void lsi_control_manifest_changed(lsi_control *control)
{
    uint64_t generation = atomic_load_explicit(&control->header->manifest_generation, memory_order_relaxed);

    atomic_store_explicit(&control->header->manifest_generation, (generation | 1) + 1, memory_order_release);
}
