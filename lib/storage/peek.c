/* The control file seen from outside: its bytes are read, not mapped, and nobody is attached. What is read may be a
 * moment old and half written; it is shown to people, and of the ends only single words are used. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/control_layout.h"
#include "storage/inspect.h"

static const control_header *header_of(const lsi_peek *peek)
{
    return (const control_header *)(const void *)peek->bytes; /* Host layout, see control.h. */
}

ls_status lsi_peek_again(lsi_peek *peek)
{
    uint64_t size;
    int64_t got;
    int rc = peek->file.files->size(&peek->file, &size);

    if (rc < 0)
        return lsi_fail_errno(-rc, "asking for the size of %s", LSI_CONTROL_NAME);
    if (size > CONTROL_MAP_BYTES)
        size = CONTROL_MAP_BYTES;
    if (size > peek->size) {
        void *room = lsi_alloc_zero(&peek->env->memory, (size_t)size + _Alignof(control_header) - 1);

        if (room == NULL)
            return lsi_fail(LS_ERR_NO_MEMORY, "%s: %llu bytes: no memory", LSI_CONTROL_NAME, (unsigned long long)size);
        lsi_free(&peek->env->memory, peek->room);
        peek->room = room;
        peek->bytes = (unsigned char *)room + (0 - (uintptr_t)room) % _Alignof(control_header);
    }
    got = peek->file.files->read(&peek->file, peek->bytes, (size_t)size, 0);
    if (got < 0)
        return lsi_fail_errno((int)-got, "reading %s", LSI_CONTROL_NAME);
    peek->size = (size_t)got;
    return LS_OK;
}

ls_status lsi_peek_open(const lsi_env *env, const lsi_root *root, const unsigned char *store_id, lsi_peek *out)
{
    const control_header *header;
    unsigned char boot_id[16];
    ls_status st;
    int rc;

    memset(out, 0, sizeof *out);
    out->env = env;
    rc = root->files->open(root, LSI_CONTROL_NAME, 0, &out->file);
    out->misfit = lsi_file_misfit(rc);
    if (rc == -ENOENT || out->misfit != NULL) {
        memset(&out->file, 0, sizeof out->file);
        return LS_OK;
    }
    if (rc < 0)
        return lsi_fail_errno(-rc, "opening %s", LSI_CONTROL_NAME);
    st = lsi_peek_again(out);
    if (st != LS_OK) {
        lsi_peek_close(out);
        return st;
    }
    out->alive = root->files->locked_elsewhere(&out->file, CONTROL_BYTE_ALIVE) == 1;
    if (out->size < CONTROL_SLOTS_AT)
        return LS_OK;
    header = header_of(out);
    out->whole = memcmp(header->magic, CONTROL_MAGIC, sizeof header->magic) == 0 &&
                 header->sum == lsi_sum64(header, offsetof(control_header, sum), 0) &&
                 header->layout == LSI_CONTROL_LAYOUT && header->features == LSI_CONTROL_FEATURES &&
                 (store_id == NULL || memcmp(header->store_id, store_id, sizeof header->store_id) == 0);
    lsi_boot_id(boot_id);
    out->current = out->whole && memcmp(header->boot_id, boot_id, sizeof boot_id) == 0 && !lsi_is_zero(boot_id, 16);
    return LS_OK;
}

void lsi_peek_close(lsi_peek *peek)
{
    if (lsi_file_is_open(&peek->file))
        (void)peek->file.files->close(&peek->file); /* It was only read. */
    lsi_free(&peek->env->memory, peek->room);
    peek->room = NULL;
    peek->bytes = NULL;
    peek->size = 0;
    peek->whole = peek->current = false;
}

static uint32_t slots_there(const lsi_peek *peek)
{
    uint32_t used, there;

    if (!peek->whole)
        return 0;
    used = atomic_load_explicit(&header_of(peek)->used_count, memory_order_relaxed);
    there = (uint32_t)((peek->size - CONTROL_SLOTS_AT) / LSI_SLOT_BYTES);
    return used < there ? used : there;
}

static const lsi_slot *slot_at(const lsi_peek *peek, uint32_t index)
{
    return (const lsi_slot *)(const void *)(peek->bytes + CONTROL_SLOTS_AT + (size_t)index * LSI_SLOT_BYTES);
}

const lsi_slot *lsi_peek_slot(const lsi_peek *peek, uint32_t kind, uint64_t stream, uint32_t shard)
{
    for (uint32_t i = 0; i < slots_there(peek); i++) {
        const lsi_slot *slot = slot_at(peek, i);

        if (lsi_slot_is(slot, kind, stream, shard))
            return slot;
    }
    return NULL;
}

void lsi_peek_each_slot(const lsi_peek *peek, void (*each)(void *user, const lsi_slot *slot), void *user)
{
    for (uint32_t i = 0; i < slots_there(peek); i++) {
        const lsi_slot *slot = slot_at(peek, i);

        if (atomic_load_explicit(&slot->kind, memory_order_relaxed) == LSI_SLOT_SHARD &&
            atomic_load_explicit(&slot->deleted, memory_order_relaxed) == 0)
            each(user, slot);
    }
}

void lsi_peek_each_process(const lsi_peek *peek, void (*each)(void *user, const lsi_attached *process), void *user)
{
    if (!peek->whole)
        return;
    for (uint32_t i = 0; i < CONTROL_PROCESSES; i++) {
        const control_process *process =
            (const control_process *)(const void *)(peek->bytes + CONTROL_PROCESSES_AT + i * sizeof(control_process));
        lsi_attached attached;

        if (atomic_load_explicit(&process->used, memory_order_relaxed) == 0)
            continue;
        attached.alive = peek->file.files->locked_elsewhere(&peek->file, CONTROL_BYTE_PROCESS + i) == 1;
        if (!attached.alive && !peek->current)
            continue; /* Of an earlier boot. */
        attached.is_this = false;
        attached.pid = atomic_load_explicit(&process->pid, memory_order_relaxed);
        attached.read_only = atomic_load_explicit(&process->read_only, memory_order_relaxed) != 0;
        attached.attached_us = atomic_load_explicit(&process->attached_us, memory_order_relaxed);
        each(user, &attached);
    }
}

uint32_t lsi_peek_lock_holder(const lsi_lock *lock)
{
#ifdef __GLIBC__
    /* The word of a robust mutex is its owner's thread id; the upper bits say waiters and death. */
    uint32_t word;

    memcpy(&word, lock->room, sizeof word);
    return word & 0x3fffffffu;
#else
    (void)lock;
    return 0;
#endif
}

uint32_t lsi_peek_store_lock_holder(const lsi_peek *peek)
{
    return peek->current ? lsi_peek_lock_holder(&header_of(peek)->store_lock) : 0;
}

void lsi_peek_verify(const lsi_peek *peek, const char *kept, lsi_inspection *inspection)
{
    char done[LSI_KEPT_NAME_BYTES + 64];
    ls_finding finding = {.severity = LS_FINDING_HINT, .kind = LS_FINDING_CONTROL, .file = LSI_CONTROL_NAME,
                          .repairable = 1, .repaired = kept != NULL, .advice = done};

    (void)snprintf(done, sizeof done, "it was made anew; the old one was kept as %s", kept != NULL ? kept : "");
    if (peek->misfit != NULL) {
        finding.severity = LS_FINDING_DAMAGE;
        if (kept == NULL)
            finding.advice = "stop what uses the store, then `lstream repair`: sets it aside and makes a new one";
        lsi_inspection_tell(inspection, &finding, "%s %s: no record is lost, but the store can only be read",
                            LSI_CONTROL_NAME, peek->misfit);
        return;
    }
    if (!lsi_file_is_open(&peek->file) || peek->whole)
        return;
    inspection->summary.bytes += peek->size;
    finding.bytes = peek->size;
    if (kept == NULL)
        finding.advice = peek->alive ? "stop all that use the store, then start them again: it is made anew"
                                     : "nothing to do: whoever opens the store next makes it anew";
    if (peek->size < CONTROL_SLOTS_AT)
        lsi_inspection_tell(inspection, &finding, "%s is cut short to %zu bytes: nothing is lost", LSI_CONTROL_NAME,
                            peek->size);
    else
        lsi_inspection_tell(inspection, &finding, "the header of %s fails its checks, or is another store's or "
                            "release's: nothing is lost", LSI_CONTROL_NAME);
}
