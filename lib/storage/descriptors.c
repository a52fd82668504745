/* Who gives up descriptors first: a clock. The hand goes round; who was used since it last came by is passed over, and
 * so are a few who have something to sync, in the hope that somebody near them has not. */
#include "storage/descriptors.h"

#define NEAR 8u

int lsi_descriptors_init(lsi_descriptors *all, const lsi_files *files)
{
    all->hand = NULL;
    all->count = 0;
    /* The program has uses for descriptors too. */
    all->most = files->descriptors_max != NULL ? files->descriptors_max(files) / 2 : UINT32_MAX;
    return lsi_lock_init(&all->lock);
}

/* Locks: all->lock held. */
static void unlink_holder(lsi_descriptors *all, lsi_holder *holder)
{
    if (all->hand == holder)
        all->hand = holder->next != holder ? holder->next : NULL;
    holder->next->previous = holder->previous;
    holder->previous->next = holder->next;
    holder->next = holder->previous = NULL;
    all->count -= holder->count;
}

/* At most once round, and past no more than `most` of those that it asks for. Locks: all->lock held. */
static bool one_gives_up(lsi_descriptors *all, bool used_too, bool sync, uint32_t most)
{
    lsi_holder *first = all->hand;

    if (first == NULL)
        return false;
    do {
        lsi_holder *holder = all->hand;
        all->hand = holder->next;
        if (atomic_exchange_explicit(&holder->used, 0, memory_order_relaxed) != 0 && !used_too)
            continue;
        if (holder->give_up(holder, sync)) {
            unlink_holder(all, holder);
            return true;
        }
    } while (all->hand != first && --most > 0);
    return false;
}

/* Locks: all->lock held. */
static bool make_room(lsi_descriptors *all)
{
    return one_gives_up(all, false, false, NEAR) || one_gives_up(all, false, true, NEAR) ||
           one_gives_up(all, true, false, UINT32_MAX) || one_gives_up(all, true, true, UINT32_MAX);
}

bool lsi_descriptors_make_room(void *user)
{
    lsi_descriptors *all = user;

    lsi_lock_hold(&all->lock, LSI_RANK_DESCRIPTORS);
    bool made = make_room(all);
    lsi_lock_release(&all->lock, LSI_RANK_DESCRIPTORS);
    return made;
}

void lsi_descriptors_hold(lsi_descriptors *all, lsi_holder *holder)
{
    if (all == NULL)
        return;
    lsi_lock_hold(&all->lock, LSI_RANK_DESCRIPTORS);
    if (holder->next == NULL) {
        while (all->count + holder->count > all->most && make_room(all)) {
        }
        if (all->hand == NULL)
            all->hand = holder->next = holder->previous = holder;
        holder->next = all->hand; /* The hand comes to it last. */
        holder->previous = all->hand->previous;
        holder->previous->next = holder;
        holder->next->previous = holder;
        all->count += holder->count;
    }
    atomic_store_explicit(&holder->used, 1, memory_order_relaxed);
    lsi_lock_release(&all->lock, LSI_RANK_DESCRIPTORS);
}

void lsi_descriptors_let_go(lsi_descriptors *all, lsi_holder *holder)
{
    if (all == NULL)
        return;
    lsi_lock_hold(&all->lock, LSI_RANK_DESCRIPTORS);
    if (holder->next != NULL)
        unlink_holder(all, holder);
    lsi_lock_release(&all->lock, LSI_RANK_DESCRIPTORS);
}
