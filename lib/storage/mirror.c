/* What a reader learns from a control file that he may read and not write (E6).
 *
 * Private slots stand in for those of the file (C4), and what is known in the file is copied to them at every look:
 * so all code above sees slots that are as recovered, and nothing that it writes goes anywhere. Nobody can wake such a
 * reader, for nobody sees that he sleeps: he looks again after a while.
 *
 *   M1  What was closed is read before the ends, and these before everything else; written the other way round. So who
 *       reads the copy as he would the slot sees at each word something at least as new as the words he saw before.
 *   M2  A slot that somebody alive recovered is believed, and copied as it moves on. When nobody is alive it is copied
 *       too, and its ends are checked against the files, as with a file he may write; while somebody is who has not
 *       recovered it, this is done only when nothing is known yet.
 *   M3  Of another boot, or store, or while it is made anew, the file says nothing. It may come later, too.
 *   M4  No byte is touched that the file does not have at that moment: it never shrinks but by force.
 *   M5  Nobody knows that he looks at a slot, and it may become another's meanwhile: what was read is only believed
 *       when its identity is the same afterwards. */
#include <string.h>

#include "base/status.h"
#include "storage/control_layout.h"

/* Opens the file once it is there. Locks: mirror_lock held. */
static bool is_there(lsi_control *control)
{
    const lsi_files *files = control->look_root->files;
    lsi_control *there;
    uint64_t size = 0;
    void *map = NULL;

    if (control->watched != NULL)
        return true;
    there = lsi_alloc_zero(&control->env->memory, sizeof(*there));
    if (there == NULL)
        return false;
    if (lsi_lock_init(&there->table_lock) != 0 ||
        files->open(control->look_root, LSI_CONTROL_NAME, 0, &there->file) != 0) {
        lsi_free(&control->env->memory, there);
        return false;
    }
    if (files->size(&there->file, &size) != 0 || size < CONTROL_SLOTS_AT ||
        files->map(&there->file, 0, CONTROL_MAP_BYTES, false, &map) != 0) {
        (void)files->close(&there->file); /* nothing was written */
        lsi_free(&control->env->memory, there);
        return false;
    }
    there->env = control->env;
    there->files = files;
    there->mark = control->mark;
    there->header = map;
    there->slots = (unsigned char *)map + CONTROL_SLOTS_AT;
    control->watched = there;
    return true;
}

void lsi_control_unwatch(lsi_control *control)
{
    lsi_control *there = control->watched;

    if (there == NULL)
        return;
    there->files->unmap(&there->file, there->header, CONTROL_MAP_BYTES);
    (void)there->files->close(&there->file); /* nothing was written */
    lsi_free(&control->env->memory, there->table);
    lsi_free(&control->env->memory, there);
    control->watched = NULL;
}

/* M3, M4. */
static bool is_of_now(const lsi_control *control)
{
    static const unsigned char none[16];
    const lsi_control *there = control->watched;
    const control_header *header = there->header;
    uint64_t size = 0, used;

    if (there->files->size(&there->file, &size) != 0 || size < CONTROL_SLOTS_AT)
        return false;
    used = atomic_load_explicit(&header->used_count, memory_order_acquire);
    return used <= (size - CONTROL_SLOTS_AT) / LSI_SLOT_BYTES &&
        lsi_control_header_is_of(header, control->header->store_id) &&
        memcmp(header->boot_id, none, sizeof(none)) != 0 &&
        memcmp(header->boot_id, control->header->boot_id, sizeof(none)) == 0;
}

#define COPY(word) atomic_store_explicit(&to->word, atomic_load_explicit(&from->word, memory_order_acquire), \
                                         memory_order_release)

/* M1. Locks: mirror_lock held, so that a word never goes back. */
static void copy_shard(lsi_slot *to, const lsi_slot *from, uint32_t health)
{
    uint32_t closed = atomic_load_explicit(&from->closed, memory_order_acquire);
    uint64_t durable = atomic_load_explicit(&from->durable_end, memory_order_acquire);
    uint64_t committed = atomic_load_explicit(&from->committed_end, memory_order_acquire);

    COPY(given_up_from);
    COPY(given_up_to);
    /* Read behind these two and before the list's, and the copy's is written behind: see lsi_slot_kept_end. */
    uint64_t segment_base = atomic_load_explicit(&from->segment_base, memory_order_acquire);
    COPY(list_generation);
    atomic_store_explicit(&to->segment_base, segment_base, memory_order_release);
    COPY(segment);
    COPY(seqno_limit);
    COPY(next_seqno);
    COPY(last_arrival_us);
    COPY(allocated_end);
    COPY(zeroed_end);
    COPY(roll_first);
    COPY(failed_errno);
    for (int i = 0; i < 2; i++) {
        COPY(watermark[i].end);
        COPY(watermark[i].segment);
        COPY(watermark[i].serial);
        COPY(watermark[i].sum);
    }
    atomic_store_explicit(&to->write_end, committed, memory_order_release);
    atomic_store_explicit(&to->committed_end, committed, memory_order_seq_cst);
    atomic_store_explicit(&to->durable_end, durable, memory_order_seq_cst);
    atomic_store_explicit(&to->health, health, memory_order_release);
    atomic_store_explicit(&to->closed, closed, memory_order_release);
}

/* Whether the copy is what the slot says. */
static bool is_same(const lsi_slot *to, const lsi_slot *from)
{
    return atomic_load_explicit(&to->committed_end, memory_order_relaxed) ==
               atomic_load_explicit(&from->committed_end, memory_order_acquire) &&
        atomic_load_explicit(&to->durable_end, memory_order_relaxed) ==
            atomic_load_explicit(&from->durable_end, memory_order_acquire) &&
        atomic_load_explicit(&to->list_generation, memory_order_relaxed) ==
            atomic_load_explicit(&from->list_generation, memory_order_acquire) &&
        atomic_load_explicit(&to->health, memory_order_relaxed) ==
            atomic_load_explicit(&from->health, memory_order_acquire) &&
        atomic_load_explicit(&to->closed, memory_order_relaxed) ==
            atomic_load_explicit(&from->closed, memory_order_acquire);
}

/* M2. Locks: mirror_lock held. */
static bool mirror_shard(lsi_control *control, lsi_slot *to, const lsi_slot *from)
{
    lsi_slot seen;
    const lsi_control *there = control->watched;
    uint32_t health = atomic_load_explicit(&from->health, memory_order_acquire);
    bool is_recovered = atomic_load_explicit(&from->epoch, memory_order_acquire) == lsi_control_epoch(there);
    bool is_alive = there->files->locked_elsewhere(&there->file, CONTROL_BYTE_ALIVE) == 1;
    bool is_first = atomic_load_explicit(&to->health, memory_order_relaxed) == LSI_SHARD_FRESH;

    if (health == LSI_SHARD_FRESH || (is_alive && !is_recovered && !is_first) || (!is_first && is_same(to, from)))
        return false;
    copy_shard(&seen, from, health);
    if (!lsi_slot_is(from, LSI_SLOT_SHARD, to->stream, to->shard)) /* M5 */
        return false;
    if (is_alive && is_recovered) {
        copy_shard(to, &seen, health);
        /* Pairs with is_recovered in log.c. */
        atomic_store_explicit(&to->epoch, lsi_control_epoch(control), memory_order_release);
        return false;
    }
    atomic_store_explicit(&to->epoch, 0, memory_order_release); /* epochs are not 0 */
    copy_shard(to, &seen, health);
    return true;
}

static __attribute__((noinline)) bool mirror_slot(lsi_control *control, lsi_slot *slot)
{
    uint32_t kind = atomic_load_explicit(&slot->kind, memory_order_relaxed);
    uint64_t stream = atomic_load_explicit(&slot->stream, memory_order_relaxed);
    lsi_error_state before;
    lsi_slot *from = NULL;
    bool is_new = false;

    lsi_error_save(&before);
    lsi_lock_hold(&control->mirror_lock, LSI_RANK_SYNC);
    if (is_there(control) && is_of_now(control) &&
        lsi_control_slot_find(control->watched, kind, stream, slot->shard, &from) == LS_OK && from != NULL) {
        if (kind == LSI_SLOT_SHARD)
            is_new = mirror_shard(control, slot, from);
        else
            atomic_store_explicit(&slot->generation, atomic_load_explicit(&from->generation, memory_order_acquire),
                                  memory_order_release);
    }
    lsi_lock_release(&control->mirror_lock, LSI_RANK_SYNC);
    lsi_error_restore(&before);
    return is_new;
}

/* Asked at each put, by those, too, who have nothing to mirror. */
bool lsi_control_mirror(lsi_control *control, lsi_slot *slot)
{
    return control->own_files != NULL && lsi_control_is_mine(control) && mirror_slot(control, slot);
}
