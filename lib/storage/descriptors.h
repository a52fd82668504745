/* Descriptors that a store holds and could do without for a while: whose they are, how many there may be, and who gives
 * one up first. A shard that is put to and a reader keep their files open because opening costs more than writing; when
 * there are too many, or the process has none left, the ones that were not used for longest are closed, and opened
 * again by the next who needs them.
 *
 * INVARIANTS
 *  G1  Only what can be opened again as it was is given up: a file with bytes that were not synced is synced first
 *      (E2).
 *  G2  Giving up waits for nothing but the disk: locks are tried, and whoever is busy keeps what he has. So it may be
 *      asked for with any lock held, by whoever was just refused a descriptor. */
#ifndef LSI_STORAGE_DESCRIPTORS_H
#define LSI_STORAGE_DESCRIPTORS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"
#include "base/lock.h"

typedef struct lsi_holder lsi_holder;

/* A part of whoever holds files open. */
struct lsi_holder {
    /* Closes them; false: not now. Unless `sync`, only if nothing has to be synced for it. */
    bool (*give_up)(lsi_holder *holder, bool sync);
    uint32_t count;        /* of descriptors, at most */
    _Atomic uint32_t used; /* since it was last looked at */
    lsi_holder *next;      /* a ring; NULL: holds none. The pool's lock */
    lsi_holder *previous;
};

typedef struct lsi_descriptors {
    lsi_lock lock; /* LSI_RANK_DESCRIPTORS */
    lsi_holder *hand;
    uint32_t count;
    uint32_t most;
} lsi_descriptors;

/* For files of `root`. 0 or -errno. */
int lsi_descriptors_init(lsi_descriptors *all, const lsi_files *files);
/* `holder` is about to open what it holds; if that is too much, others give theirs up first, as far as they can. `all`
 * may be NULL here and below: then nothing is bounded. */
void lsi_descriptors_hold(lsi_descriptors *all, lsi_holder *holder);
/* It holds nothing any more, and is not asked when this has returned. */
void lsi_descriptors_let_go(lsi_descriptors *all, lsi_holder *holder);
/* Makes one holder give up what it has. False: none can. For lsi_root.make_room. */
bool lsi_descriptors_make_room(void *all);

static inline void lsi_holder_note_use(lsi_holder *holder)
{
    if (atomic_load_explicit(&holder->used, memory_order_relaxed) == 0)
        atomic_store_explicit(&holder->used, 1, memory_order_relaxed); /* A hint. */
}

#endif
