/* The slots of the control file: finding, taking and freeing them; sleeping on them; watermarks.
 *
 * A slot is found through a table of this process, so that a store with many shards does not search the file for each.
 * The table is a cache of identities: what it says is checked against the slot, and what it lacks is looked up again
 * under the store lock.
 *
 *   T1  A slot belongs to one shard until that or its stream is deleted. A pointer to a slot may outlive that; so who
 *       keeps one says so in the slot, and a freed slot is used again only when nobody alive keeps it, nor the slot of
 *       the stream that it was part of: who has a stream in use keeps its slot, and may have pointers to all of its
 *       parts. Or after somebody was alone since: then nobody who kept it is attached.
 *       In the same way a slot's locks are made anew when it is first found after somebody was alone: nobody can hold
 *       them then, and what the file holds in their place may be anything.
 *   T2  `kind` is stored last, with release: who sees it sees the identity and zeroed words. `use` rises before they
 *       change: who finds it the same after he has read a name has read the name of one use.
 *   T3  A valid watermark is never false: its sum covers the slot's identity, and a mixture of two fails it. */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"
#include "storage/control_layout.h"

#define TABLE_SIZE_FIRST 64u
#define GROW_SLOTS_MAX 256u
#define KEPT_FIRST 64u
#define FREED_OF_NOBODY_KNOWS UINT32_MAX /* `freed_of`: it rests until somebody was alone */

/* ---- words ---- */

/* Word by word: who goes through all slots may look meanwhile. No part of its caller, since it does not say what kinds
 * of words these are. */
static __attribute__((noinline)) void zero(lsi_slot *slot, size_t from, size_t to)
{
    unsigned char *bytes = (unsigned char *)slot;

    for (; from < to; from += sizeof(uint64_t))
        atomic_store_explicit((_Atomic uint64_t *)(void *)(bytes + from), 0, memory_order_relaxed);
}

/* Zeroes everything but identity, locks and watermarks. */
static void words_clear(lsi_slot *slot)
{
    const size_t after_append = offsetof(lsi_slot, append_lock) + sizeof(lsi_lock);
    const size_t after_sync = offsetof(lsi_slot, sync_lock) + sizeof(lsi_lock);
    const size_t after_marks = offsetof(lsi_slot, watermark) + sizeof(slot->watermark);

    atomic_store_explicit(&slot->epoch, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->deleted, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->locks_epoch, 0, memory_order_relaxed);
    zero(slot, after_append, offsetof(lsi_slot, sync_lock));
    zero(slot, after_sync, offsetof(lsi_slot, watermark));
    zero(slot, after_marks, LSI_SLOT_BYTES);
}

static void keepers_clear(lsi_slot *slot)
{
    for (uint32_t i = 0; i < LSI_SLOT_KEEPER_WORDS; i++)
        atomic_store_explicit(&slot->keepers[i], 0, memory_order_relaxed);
}

static int locks_init(lsi_slot *slot)
{
    int result = lsi_lock_init(&slot->append_lock);

    return result != 0 ? result : lsi_lock_init(&slot->sync_lock);
}

int lsi_slots_init(lsi_control *control, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        lsi_slot *slot = control_slot_at(control, i);
        int result;

        memset(slot, 0, LSI_SLOT_BYTES);
        result = locks_init(slot);
        if (result != 0)
            return result;
    }
    return 0;
}

int lsi_slots_start_over(lsi_control *control, uint32_t count)
{
    control_header *header = control->header;
    uint32_t used = 0, kept = 0;

    for (uint32_t i = 0; i < count; i++) {
        lsi_slot *slot = control_slot_at(control, i);
        uint32_t segment;
        uint64_t end;
        int result;

        if (atomic_load_explicit(&slot->kind, memory_order_relaxed) == LSI_SLOT_SHARD &&
            atomic_load_explicit(&slot->deleted, memory_order_relaxed) == 0 &&
            lsi_watermark_read(slot, &segment, &end)) {
            words_clear(slot); /* C2: identity and watermarks are not touched */
            keepers_clear(slot);
            used = i + 1;
            kept++;
        } else {
            memset(slot, 0, LSI_SLOT_BYTES);
        }
        result = locks_init(slot);
        if (result != 0)
            return result;
    }
    atomic_store_explicit(&header->used_count, used, memory_order_relaxed);
    atomic_store_explicit(&header->reuse_count, 0, memory_order_relaxed);
    header->free_old = used - kept;
    header->free_new = 0;
    return 0;
}

/* ---- the table of this process ---- */

static uint32_t identity_hash(uint32_t kind, uint64_t stream, uint32_t shard)
{
    uint64_t words[2] = {(uint64_t)kind << 32 | shard, stream};

    return (uint32_t)lsi_sum64(words, sizeof(words), 0);
}

bool lsi_slot_is(const lsi_slot *slot, uint32_t kind, uint64_t stream, uint32_t shard)
{
    uint32_t use = atomic_load_explicit(&slot->use, memory_order_acquire);

    /* Acquire pairs with T2, and the fence with the one of slot_name. */
    if (atomic_load_explicit(&slot->kind, memory_order_acquire) != kind ||
        atomic_load_explicit(&slot->shard, memory_order_relaxed) != shard ||
        atomic_load_explicit(&slot->stream, memory_order_relaxed) != stream ||
        atomic_load_explicit(&slot->deleted, memory_order_relaxed) != 0)
        return false;
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&slot->use, memory_order_relaxed) == use;
}

static void table_insert(lsi_control *control, uint32_t index)
{
    const lsi_slot *slot = control_slot_at(control, index);
    uint32_t kind = atomic_load_explicit(&slot->kind, memory_order_acquire); /* T2 */
    uint32_t at;

    if (kind == LSI_SLOT_FREE)
        return;
    at = identity_hash(kind, atomic_load_explicit(&slot->stream, memory_order_relaxed),
                       atomic_load_explicit(&slot->shard, memory_order_relaxed));
    for (at &= control->table_size - 1; control->table[at] != 0; at = (at + 1) & (control->table_size - 1))
        continue;
    control->table[at] = index + 1;
    control->table_used++;
}

/* Brings the table up to what the file says. False: no memory. Locks: control->table_lock held. */
static bool table_refresh(lsi_control *control)
{
    /* Acquire pairs with the releases of slot_take. */
    uint32_t reuse = atomic_load_explicit(&control->header->reuse_count, memory_order_acquire);
    uint32_t used = atomic_load_explicit(&control->header->used_count, memory_order_acquire);

    if (used > CONTROL_SLOTS_MAX)
        used = CONTROL_SLOTS_MAX;
    if (reuse == control->reuse_seen && control->scanned == used && control->table != NULL)
        return true;
    if (control->table == NULL || reuse != control->reuse_seen || used > control->table_size / 2 ||
        control->table_used > control->table_size / 2) {
        uint32_t size = TABLE_SIZE_FIRST;
        uint32_t *table;

        while (size / 2 < used)
            size *= 2;
        table = lsi_alloc_zero(&control->env->memory, size * sizeof(*table));
        if (table == NULL)
            return false;
        lsi_free(&control->env->memory, control->table);
        control->table = table;
        control->table_size = size;
        control->table_used = 0;
        control->scanned = 0;
    }
    for (; control->scanned < used; control->scanned++)
        table_insert(control, control->scanned);
    control->reuse_seen = reuse;
    return true;
}

static void table_lock(lsi_control *control)
{
    lsi_lock_result result;

    /* Held for moments only, and by threads of this process: an hour never passes. */
    do {
        result = lsi_lock_take(&control->table_lock, LSI_RANK_LOCAL, 3600000);
    } while (result == LSI_LOCK_BUSY);
    if (result == LSI_LOCKED_AFTER_DEATH) {
        lsi_lock_repaired(&control->table_lock);
        control->reuse_seen++; /* a thread that ended in an allocator's callback: the table is made anew */
    }
}

static ls_status table_find(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard, lsi_slot **out)
{
    ls_status st = LS_OK;

    *out = NULL;
    table_lock(control);
    if (table_refresh(control)) {
        uint32_t mask = control->table_size - 1;

        for (uint32_t at = identity_hash(kind, stream, shard) & mask; control->table[at] != 0; at = (at + 1) & mask) {
            lsi_slot *slot = control_slot_at(control, control->table[at] - 1);

            if (lsi_slot_is(slot, kind, stream, shard)) {
                *out = slot;
                break;
            }
        }
    } else {
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for the table of %u slots",
                      atomic_load_explicit(&control->header->used_count, memory_order_relaxed));
    }
    lsi_lock_release(&control->table_lock, LSI_RANK_LOCAL);
    return st;
}

/* A slot is used again: notes it, as long as all that was used again before is in the table. What the table says of its
 * earlier use is a name that the slot no longer has. */
static void table_note_reuse(lsi_control *control, uint32_t index, uint32_t reuse_before)
{
    table_lock(control);
    if (control->table != NULL && control->reuse_seen == reuse_before &&
        control->table_used <= control->table_size / 2) {
        table_insert(control, index);
        control->reuse_seen = reuse_before + 1;
    }
    lsi_lock_release(&control->table_lock, LSI_RANK_LOCAL);
}

/* ---- taking and freeing ---- */

/* Locks: store lock held. */
static ls_status slots_grow(lsi_control *control, uint32_t wanted)
{
    control_header *header = control->header;
    uint32_t count = atomic_load_explicit(&header->slot_count, memory_order_relaxed);
    ls_status st;
    int result;

    if (wanted > CONTROL_SLOTS_MAX)
        return lsi_fail(LS_ERR_FULL, "the control file has no more than %u slots", CONTROL_SLOTS_MAX);
    if (wanted <= count)
        return LS_OK;
    st = lsi_control_allocate(control, wanted);
    if (st != LS_OK)
        return st;
    result = lsi_slots_init(control, count, wanted);
    if (result != 0)
        return lsi_fail_errno(result, "cannot make a lock");
    /* Release: who sees the number may use the slots. A death before it makes the next one do it all again. */
    atomic_store_explicit(&header->slot_count, wanted, memory_order_release);
    return LS_OK;
}

/* Writes the identity of a slot that nobody uses. Locks: store lock held. */
static void slot_name(const lsi_control *control, lsi_slot *slot, uint32_t kind, uint64_t stream, uint32_t shard)
{
    keepers_clear(slot); /* the dead, and who is about to see that it is not what he looks for */
    (void)atomic_fetch_add_explicit(&slot->use, 1, memory_order_release); /* Pairs with keep. */
    atomic_thread_fence(memory_order_release);                            /* T2 */
    words_clear(slot);
    atomic_store_explicit(&slot->locks_epoch, lsi_control_epoch(control), memory_order_relaxed);
    zero(slot, offsetof(lsi_slot, watermark), offsetof(lsi_slot, watermark) + sizeof(slot->watermark));
    atomic_store_explicit(&slot->shard, shard, memory_order_relaxed);
    atomic_store_explicit(&slot->stream, stream, memory_order_relaxed);
    atomic_store_explicit(&slot->kind, kind, memory_order_release); /* T2 */
}

/* What is known of other attached processes while one slot is looked for: they come and go, but who comes later holds
 * nothing of what was free before. */
typedef struct others {
    bool were_asked;
    bool some_unlisted; /* or they cannot be asked for: who keeps what is not known */
    uint64_t asked[LSI_SLOT_KEEPER_WORDS], dead[LSI_SLOT_KEEPER_WORDS];
} others;

static bool is_alive(const lsi_control *control, others *of, uint32_t process)
{
    uint64_t bit = UINT64_C(1) << process % 64;

    if ((int)process == control->process)
        return true;
    if ((of->asked[process / 64] & bit) == 0) {
        of->asked[process / 64] |= bit;
        if (control->files->locked_elsewhere(&control->file, CONTROL_BYTE_PROCESS + process) == 0)
            of->dead[process / 64] |= bit;
    }
    return (of->dead[process / 64] & bit) == 0;
}

static bool is_kept(const lsi_control *control, others *of, const lsi_slot *slot)
{
    for (uint32_t i = 0; i < LSI_SLOT_KEEPER_WORDS; i++) {
        /* Acquire pairs with the release of lsi_control_let_go. */
        uint64_t keepers = atomic_load_explicit(&slot->keepers[i], memory_order_acquire);

        for (uint32_t bit = 0; keepers != 0; bit++, keepers >>= 1)
            if ((keepers & 1) != 0 && is_alive(control, of, i * 64 + bit))
                return true;
    }
    return false;
}

/* T1. Of a slot that was freed since somebody was last alone. Locks: store lock held. */
static bool may_be_used_again(const lsi_control *control, others *of, const lsi_slot *slot)
{
    uint32_t freed_of = slot->freed_of;
    const lsi_slot *whole;

    if (!of->were_asked) {
        of->were_asked = true;
        of->some_unlisted = control->process < 0 ||
            control->files->locked_elsewhere(&control->file, CONTROL_BYTE_UNLISTED) != 0;
    }
    if (of->some_unlisted || freed_of == FREED_OF_NOBODY_KNOWS)
        return false;
    /* Pairs with the fence of keep: either he finds the slot freed, or we find that he keeps it. */
    atomic_thread_fence(memory_order_seq_cst);
    if (is_kept(control, of, slot))
        return false;
    if (freed_of == 0 || freed_of > atomic_load_explicit(&control->header->used_count, memory_order_relaxed))
        return freed_of == 0; /* nobody had looked at the stream; or it is garbage */
    whole = control_slot_at(control, freed_of - 1);
    return atomic_load_explicit(&whole->use, memory_order_relaxed) != slot->freed_use || !is_kept(control, of, whole);
}

/* T1. Takes both locks of a slot that nobody keeps, which only the dead can have, and gives it its new name. */
static bool slot_take_freed(lsi_control *control, others *of, lsi_slot *slot, uint32_t kind, uint64_t stream,
                            uint32_t shard)
{
    lsi_lock_result append, sync;

    if (!may_be_used_again(control, of, slot))
        return false;
    append = lsi_lock_try(&slot->append_lock, LSI_RANK_SHARD);
    if (append == LSI_LOCKED_AFTER_DEATH)
        lsi_lock_repaired(&slot->append_lock); /* nothing of the dead one's work is left to repair */
    else if (append != LSI_LOCKED)
        return false;
    sync = lsi_lock_try(&slot->sync_lock, LSI_RANK_SYNC);
    if (sync == LSI_LOCKED_AFTER_DEATH)
        lsi_lock_repaired(&slot->sync_lock);
    if (sync == LSI_LOCKED || sync == LSI_LOCKED_AFTER_DEATH) {
        slot_name(control, slot, kind, stream, shard);
        lsi_lock_release(&slot->sync_lock, LSI_RANK_SYNC);
    }
    lsi_lock_release(&slot->append_lock, LSI_RANK_SHARD);
    return sync == LSI_LOCKED || sync == LSI_LOCKED_AFTER_DEATH;
}

/* A freed one, if there is one that may be used. Locks: store lock held. */
static lsi_slot *slot_take_again(lsi_control *control, bool only_old, uint32_t kind, uint64_t stream, uint32_t shard)
{
    control_header *header = control->header;
    uint32_t used = atomic_load_explicit(&header->used_count, memory_order_relaxed);
    uint32_t epoch = lsi_control_epoch(control), kept = 0;
    others of = {0};

    for (uint32_t count = 0; count < used; count++) {
        uint32_t i = control->free_from < used ? control->free_from : 0;
        lsi_slot *slot = control_slot_at(control, i);
        bool is_old;

        control->free_from = i + 1;
        if (atomic_load_explicit(&slot->kind, memory_order_relaxed) != LSI_SLOT_FREE)
            continue;
        is_old = atomic_load_explicit(&slot->epoch, memory_order_relaxed) != epoch;
        if (is_old && locks_init(slot) != 0)
            continue;
        if (is_old)
            slot_name(control, slot, kind, stream, shard);
        else if (only_old || !slot_take_freed(control, &of, slot, kind, stream, shard)) {
            kept++;
            continue;
        }
        if (is_old && header->free_old > 0)
            header->free_old--;
        else if (!is_old && header->free_new > 0)
            header->free_new--;
        /* Release: tables that hold the old name are made anew. */
        table_note_reuse(control, i, atomic_fetch_add_explicit(&header->reuse_count, 1, memory_order_release));
        return slot;
    }
    if (only_old)
        header->free_old = 0; /* a death had left the count too high */
    header->free_new = kept;
    return NULL;
}

/* T1. Everybody who wants a slot comes past here first. */
static bool locks_are_made(const lsi_control *control, const lsi_slot *slot)
{
    return atomic_load_explicit(&slot->locks_epoch, memory_order_acquire) == lsi_control_epoch(control);
}

/* Locks: store lock held. */
static ls_status slot_take(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard, lsi_slot **out)
{
    control_header *header = control->header;
    uint32_t used = atomic_load_explicit(&header->used_count, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&header->slot_count, memory_order_relaxed);
    ls_status st;
    int result;

    *out = header->free_old > 0 ? slot_take_again(control, true, kind, stream, shard) : NULL;
    if (*out != NULL)
        return LS_OK;
    if (used >= count) {
        uint32_t step = count < GROW_SLOTS_MAX ? count : GROW_SLOTS_MAX;

        *out = header->free_new > 0 || count >= CONTROL_SLOTS_MAX
                   ? slot_take_again(control, false, kind, stream, shard)
                   : NULL;
        if (*out != NULL)
            return LS_OK;
        if (step > CONTROL_SLOTS_MAX - count)
            step = CONTROL_SLOTS_MAX - count;
        if (step == 0)
            return lsi_fail(LS_ERR_FULL, "all %u slots of the control file are used", CONTROL_SLOTS_MAX);
        st = slots_grow(control, count + step);
        if (st != LS_OK)
            st = slots_grow(control, count + 1); /* a nearly full disk */
        if (st != LS_OK)
            return st;
    }
    *out = control_slot_at(control, used);
    result = locks_init(*out);
    if (result != 0)
        return lsi_fail_errno(result, "cannot make a lock");
    slot_name(control, *out, kind, stream, shard);
    /* Release: who sees the number sees the name. */
    atomic_store_explicit(&header->used_count, used + 1, memory_order_release);
    return LS_OK;
}

ls_status lsi_control_slot_locked(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard, lsi_slot **out)
{
    lsi_slot *slot;
    ls_status st = table_find(control, kind, stream, shard, &slot);

    if (st == LS_OK && slot == NULL)
        st = slot_take(control, kind, stream, shard, &slot);
    if (st == LS_OK && !locks_are_made(control, slot)) {
        int result = locks_init(slot);

        if (result != 0)
            return lsi_fail_errno(result, "cannot make a lock");
        /* Release pairs with locks_are_made. */
        atomic_store_explicit(&slot->locks_epoch, lsi_control_epoch(control), memory_order_release);
    }
    if (st == LS_OK)
        *out = slot;
    return st;
}

ls_status lsi_control_slot(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard, lsi_slot **out)
{
    lsi_slot *slot;
    ls_status st;

    if (!lsi_control_is_mine(control))
        return lsi_fail(LS_ERR_STATE, "the store was opened before a fork");
    st = table_find(control, kind, stream, shard, &slot);
    if (st == LS_OK && (slot == NULL || !locks_are_made(control, slot))) {
        st = lsi_control_lock(control);
        if (st != LS_OK)
            return st;
        st = lsi_control_slot_locked(control, kind, stream, shard, &slot); /* somebody may have been faster */
        lsi_control_unlock(control);
    }
    if (st == LS_OK)
        *out = slot;
    return st;
}

ls_status lsi_control_slot_find(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard, lsi_slot **out)
{
    if (!lsi_control_is_mine(control))
        return lsi_fail(LS_ERR_STATE, "the store was opened before a fork");
    return table_find(control, kind, stream, shard, out);
}

/* ---- keeping ---- */

/* Locks: control->table_lock held. */
static bool kept_reaches(lsi_control *control, uint32_t index)
{
    uint32_t size = control->kept_size > 0 ? control->kept_size : KEPT_FIRST;
    uint32_t *kept;

    if (index < control->kept_size)
        return true;
    while (size <= index)
        size *= 2;
    kept = lsi_alloc_zero(&control->env->memory, size * sizeof(*kept));
    if (kept == NULL)
        return false;
    if (control->kept != NULL)
        memcpy(kept, control->kept, control->kept_size * sizeof(*kept));
    lsi_free(&control->env->memory, control->kept);
    control->kept = kept;
    control->kept_size = size;
    return true;
}

static uint32_t index_of(const lsi_control *control, const lsi_slot *slot)
{
    return (uint32_t)((size_t)((const unsigned char *)slot - control->slots) / LSI_SLOT_BYTES);
}

/* Who is not in the table of processes says that he is there by a lock of all such (T1). */
static void keep_bit(const lsi_control *control, lsi_slot *slot, bool keeps)
{
    uint32_t process = (uint32_t)control->process;

    if (control->process < 0)
        return;
    if (keeps)
        (void)atomic_fetch_or_explicit(&slot->keepers[process / 64], UINT64_C(1) << process % 64,
                                       memory_order_seq_cst);
    else /* Release: whatever was done to the slot came before. */
        (void)atomic_fetch_and_explicit(&slot->keepers[process / 64], ~(UINT64_C(1) << process % 64),
                                        memory_order_release);
}

static void unkeep(lsi_control *control, lsi_slot *slot)
{
    if (--control->kept[index_of(control, slot)] == 0)
        keep_bit(control, slot, false);
}

/* `*is`: it was that slot still. */
static ls_status keep(lsi_control *control, lsi_slot *slot, uint32_t kind, uint64_t stream, uint32_t shard, bool *is)
{
    ls_status st = LS_OK;

    table_lock(control);
    if (kept_reaches(control, index_of(control, slot))) {
        /* Acquire: who finds it the same afterwards has set his bit behind the keepers_clear that came with it. */
        uint32_t use = atomic_load_explicit(&slot->use, memory_order_acquire);

        if (control->kept[index_of(control, slot)]++ == 0)
            keep_bit(control, slot, true);
        /* Pairs with the fence of may_be_used_again. */
        atomic_thread_fence(memory_order_seq_cst);
        *is = lsi_slot_is(slot, kind, stream, shard) &&
            atomic_load_explicit(&slot->use, memory_order_relaxed) == use;
        if (!*is)
            unkeep(control, slot);
    } else {
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for a list of %u slots", index_of(control, slot) + 1);
    }
    lsi_lock_release(&control->table_lock, LSI_RANK_LOCAL);
    return st;
}

ls_status lsi_control_keep(lsi_control *control, uint32_t kind, uint64_t stream, uint32_t shard, lsi_slot **out)
{
    lsi_slot *slot = NULL;
    bool is = false;
    ls_status st;

    do { /* Again only when it was dropped between the two. */
        st = lsi_control_slot(control, kind, stream, shard, &slot);
        if (st == LS_OK)
            st = keep(control, slot, kind, stream, shard, &is);
    } while (st == LS_OK && !is);
    if (st == LS_OK)
        *out = slot;
    return st;
}

void lsi_control_let_go(lsi_control *control, lsi_slot *slot)
{
    if (!lsi_control_is_mine(control))
        return; /* What is kept there is the parent's. */
    table_lock(control);
    unkeep(control, slot);
    lsi_lock_release(&control->table_lock, LSI_RANK_LOCAL);
}

void lsi_slots_let_go_all(lsi_control *control)
{
    for (uint32_t i = 0; i < control->kept_size; i++)
        if (control->kept[i] != 0)
            keep_bit(control, control_slot_at(control, i), false);
}

void lsi_slots_forget_keeper(lsi_control *control)
{
    uint32_t used = atomic_load_explicit(&control->header->used_count, memory_order_acquire);

    for (uint32_t i = 0; i < used && i < CONTROL_SLOTS_MAX; i++) {
        lsi_slot *slot = control_slot_at(control, i);

        if (atomic_load_explicit(&slot->keepers[control->process / 64], memory_order_relaxed) != 0)
            keep_bit(control, slot, false);
    }
}

/* ---- freeing ---- */

ls_status lsi_control_reserve(lsi_control *control, uint32_t count)
{
    return slots_grow(control, count < CONTROL_SLOTS_MAX ? count : CONTROL_SLOTS_MAX);
}

/* Ends every sleep on `word`, whether or not somebody said that he sleeps. */
static void word_shake(_Atomic uint32_t *word)
{
    atomic_fetch_add_explicit(word, 1, memory_order_seq_cst);
    lsi_word_wake_all(word);
}

/* The slot of a stream, as `freed_of` has it: 0 when it has none. Locks: store lock held. */
static uint32_t whole_of(const lsi_control *control, uint64_t stream)
{
    uint32_t used = atomic_load_explicit(&control->header->used_count, memory_order_relaxed);

    if (stream == 0)
        return FREED_OF_NOBODY_KNOWS;
    for (uint32_t i = 0; i < used; i++)
        if (lsi_slot_is(control_slot_at(control, i), LSI_SLOT_STREAM, stream, 0))
            return i + 1;
    return 0;
}

static bool is_slot(uint32_t whole)
{
    return whole != 0 && whole != FREED_OF_NOBODY_KNOWS;
}

/* `whole`: by whole_of. Locks: store lock held. */
static void drop(lsi_control *control, lsi_slot *slot, uint32_t whole)
{
    uint32_t kind = atomic_load_explicit(&slot->kind, memory_order_relaxed);

    control->header->free_new++; /* before it is free: a death in between costs a search, and not the slot */
    /* Who has pointers to a shard's keeps that, too. */
    slot->freed_of = whole == 0 && kind != LSI_SLOT_SHARD && kind != LSI_SLOT_STREAM ? FREED_OF_NOBODY_KNOWS : whole;
    slot->freed_use = is_slot(whole)
                          ? atomic_load_explicit(&control_slot_at(control, whole - 1)->use, memory_order_relaxed)
                          : 0;
    /* Not under the slot's lock, which a stopped process may hold: the words stand alone, and its holders compare
     * `stream` once more when they have it. Release: `deleted` first, so that a sleeper who wakes sees it. */
    atomic_store_explicit(&slot->deleted, 1, memory_order_release);
    atomic_store_explicit(&slot->stream, 0, memory_order_release);
    atomic_fetch_add_explicit(&slot->generation, 1, memory_order_release);
    atomic_store_explicit(&slot->epoch, lsi_control_epoch(control), memory_order_relaxed);
    atomic_store_explicit(&slot->kind, LSI_SLOT_FREE, memory_order_release);
    word_shake(&slot->wake_word);
    word_shake(&slot->sync_word);
}

void lsi_control_drop_stream(lsi_control *control, uint64_t stream, uint64_t of)
{
    uint32_t used = atomic_load_explicit(&control->header->used_count, memory_order_relaxed);
    uint32_t whole = whole_of(control, of);

    for (uint32_t i = 0; i < used; i++) {
        lsi_slot *slot = control_slot_at(control, i);

        if (atomic_load_explicit(&slot->kind, memory_order_relaxed) != LSI_SLOT_FREE && i + 1 != whole &&
            atomic_load_explicit(&slot->stream, memory_order_relaxed) == stream)
            drop(control, slot, whole);
    }
    if (of == stream && is_slot(whole)) /* Last: a death before it leaves the others what they are parts of. */
        drop(control, control_slot_at(control, whole - 1), whole);
}

void lsi_control_drop_shards(lsi_control *control, bool (*is_gone)(void *user, uint64_t stream, uint32_t shard),
                             void *user)
{
    uint32_t used = atomic_load_explicit(&control->header->used_count, memory_order_relaxed), whole = 0;
    uint64_t last = 0; /* whose `whole` is */

    for (uint32_t i = 0; i < used; i++) {
        lsi_slot *slot = control_slot_at(control, i);
        uint64_t stream = atomic_load_explicit(&slot->stream, memory_order_relaxed);

        if (atomic_load_explicit(&slot->kind, memory_order_relaxed) != LSI_SLOT_SHARD ||
            !is_gone(user, stream, atomic_load_explicit(&slot->shard, memory_order_relaxed)))
            continue;
        if (stream != last || i == 0)
            whole = whole_of(control, stream);
        last = stream;
        drop(control, slot, whole);
    }
}

void lsi_control_each(lsi_control *control, bool (*each)(void *user, lsi_slot *slot), void *user)
{
    /* Acquire pairs with slot_take. */
    uint32_t used = atomic_load_explicit(&control->header->used_count, memory_order_acquire);

    for (uint32_t i = 0; i < used; i++) {
        lsi_slot *slot = control_slot_at(control, i);

        if (atomic_load_explicit(&slot->kind, memory_order_acquire) == LSI_SLOT_FREE ||
            atomic_load_explicit(&slot->deleted, memory_order_relaxed) != 0)
            continue;
        if (!each(user, slot))
            return;
    }
}

/* ---- sleeping ---- */

uint32_t lsi_slot_arm(lsi_slot *slot)
{
    uint32_t token = atomic_load_explicit(&slot->wake_word, memory_order_seq_cst);

    atomic_store_explicit(&slot->wake_wanted, 1, memory_order_seq_cst);
    /* Pairs with the fence of lsi_slots_wake: either he sees that we armed, or we see what he published. */
    atomic_thread_fence(memory_order_seq_cst);
    return token;
}

void lsi_slot_wake_armed(lsi_slot *slot)
{
    atomic_store_explicit(&slot->wake_wanted, 0, memory_order_seq_cst);
    atomic_fetch_add_explicit(&slot->wake_word, 1, memory_order_seq_cst);
    lsi_word_wake_all(&slot->wake_word);
}

lsi_sleep_result lsi_slot_sleep(lsi_slot *slot, uint32_t token, int64_t timeout_us)
{
    return lsi_word_sleep(&slot->wake_word, token, timeout_us);
}

void lsi_slot_rouse(lsi_slot *slot, uint64_t more, uint64_t *seen)
{
    const uint64_t words[] = {
        atomic_load_explicit(&slot->committed_end, memory_order_acquire),
        atomic_load_explicit(&slot->durable_end, memory_order_acquire),
        atomic_load_explicit(&slot->generation, memory_order_acquire),
        (uint64_t)atomic_load_explicit(&slot->closed, memory_order_acquire) << 32 |
            atomic_load_explicit(&slot->health, memory_order_acquire),
        (uint64_t)atomic_load_explicit(&slot->list_generation, memory_order_acquire) << 32 |
            atomic_load_explicit(&slot->deleted, memory_order_acquire),
        more};
    uint64_t now = lsi_sum64(words, sizeof(words), 0);
    /* A step that a dead one left is decided by whoever looks: until then all do. */
    bool has_changed = now != *seen || atomic_load_explicit(&slot->step, memory_order_acquire) != 0;

    *seen = now;
    /* Pairs with the fence of lsi_slot_arm, as lsi_slots_wake does. */
    atomic_thread_fence(memory_order_seq_cst);
    if (has_changed && atomic_load_explicit(&slot->wake_wanted, memory_order_relaxed) != 0)
        lsi_slot_wake_armed(slot);
}

bool lsi_slot_wake_one(lsi_slot *slot)
{
    return atomic_load_explicit(&slot->wake_wanted, memory_order_relaxed) != 0 && lsi_word_wake_one(&slot->wake_word);
}

/* ---- watermarks ---- */

static uint64_t watermark_sum(const lsi_slot *slot, uint64_t end, uint64_t segment, uint64_t serial)
{
    uint64_t words[5] = {end, segment, serial, atomic_load_explicit(&slot->stream, memory_order_relaxed),
                         atomic_load_explicit(&slot->shard, memory_order_relaxed)};

    return lsi_sum64(words, sizeof(words), LSI_CONTROL_LAYOUT);
}

/* Acquire pairs with the release of the sum: then the others are those it was made of, or newer, which it shows. */
static bool watermark_load(const lsi_slot *slot, const lsi_watermark *mark, uint64_t *end, uint64_t *segment,
                           uint64_t *serial)
{
    uint64_t sum = atomic_load_explicit(&mark->sum, memory_order_acquire);

    *end = atomic_load_explicit(&mark->end, memory_order_relaxed);
    *segment = atomic_load_explicit(&mark->segment, memory_order_relaxed);
    *serial = atomic_load_explicit(&mark->serial, memory_order_relaxed);
    return *serial != 0 && *segment <= UINT32_MAX && sum == watermark_sum(slot, *end, *segment, *serial);
}

void lsi_watermark_note(lsi_slot *slot, uint32_t segment, uint64_t end)
{
    uint64_t ends[2], segments[2], serials[2], serial;
    bool valid[2];
    lsi_watermark *mark;
    int older;

    for (int i = 0; i < 2; i++)
        valid[i] = watermark_load(slot, &slot->watermark[i], &ends[i], &segments[i], &serials[i]);
    if (!valid[0] || !valid[1])
        older = valid[0] ? 1 : 0;
    else
        older = serials[0] < serials[1] ? 0 : 1;
    serial = (valid[1 - older] ? serials[1 - older] : 0) + 1;
    if (valid[1 - older] && segments[1 - older] == segment && ends[1 - older] >= end)
        return; /* A longer sync was faster. */
    mark = &slot->watermark[older];
    /* The page may go to the disk between any two of these: the sum makes it all or nothing. Two who note at once may
     * mix their words, which the sum shows too (T3); the other place stays whole. */
    atomic_store_explicit(&mark->end, end, memory_order_relaxed);
    atomic_store_explicit(&mark->segment, segment, memory_order_relaxed);
    atomic_store_explicit(&mark->serial, serial, memory_order_relaxed);
    atomic_store_explicit(&mark->sum, watermark_sum(slot, end, segment, serial), memory_order_release);
}

bool lsi_watermark_read(const lsi_slot *slot, uint32_t *segment, uint64_t *end)
{
    uint64_t best = 0;

    for (int i = 0; i < 2; i++) {
        uint64_t its_end, its_segment, its_serial;

        if (!watermark_load(slot, &slot->watermark[i], &its_end, &its_segment, &its_serial) || its_serial <= best)
            continue;
        best = its_serial;
        *segment = (uint32_t)its_segment;
        *end = its_end;
    }
    return best != 0;
}
