/* Locks that live in memory shared between processes, the words that waiters sleep on, and how a fork is noticed.
 *
 * RANKS. A thread takes locks in rising rank only; debug builds abort on the contrary.
 *     1 LSI_RANK_UPKEEP   one per stream slot: who trims and prepares; held for long, and never waited for by puts
 *     2 LSI_RANK_STORE    one per store, in its control file: growing it, the manifest
 *     3 LSI_RANK_STATE    one per stream slot: who changes the stream's state
 *     4 LSI_RANK_TABLE    inside one process: the values of a stream's state; held while its log is read
 *     5 LSI_RANK_SHARD    one per shard slot: append, roll, recover (several: in order of stream id and shard)
 *     6 LSI_RANK_SYNC     one per shard slot: who syncs (group commit); and, inside one process, who copies from slots
 *                         that may only be read
 *     7 LSI_RANK_LOCAL    inside one process: tables of an open store
 *     8 LSI_RANK_DESCRIPTORS  inside one process: who may be asked to close files; held while they are
 *     9 LSI_RANK_FILE     inside one process: who syncs through a descriptor
 * Mutexes are robust, process-shared and of type NORMAL (P3). No condition variables in shared memory (P4). */
#ifndef LSI_BASE_LOCK_H
#define LSI_BASE_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libstream/status.h>

enum { LSI_RANK_UPKEEP = 1, LSI_RANK_STORE, LSI_RANK_STATE, LSI_RANK_TABLE, LSI_RANK_SHARD, LSI_RANK_SYNC,
       LSI_RANK_LOCAL, LSI_RANK_DESCRIPTORS, LSI_RANK_FILE };

/* Holds a pthread_mutex_t at a fixed size, so that the control file's layout does not hang on the C library. */
typedef union lsi_lock {
    pthread_mutex_t mutex;
    unsigned char room[56];
    uint64_t align;
} lsi_lock;

/* What taking a lock found. */
typedef enum {
    LSI_LOCKED,       /* yours */
    LSI_LOCKED_AFTER_DEATH, /* yours; its last holder died in it: repair, then lsi_lock_repaired(), before unlocking */
    LSI_LOCK_BUSY,    /* not yours: the time is over (P2) */
    LSI_LOCK_BROKEN   /* not yours: ENOTRECOVERABLE, or memory that is no lock; must be unreachable */
} lsi_lock_result;

int lsi_lock_init(lsi_lock *lock); /* 0 or -errno. Only while nobody else can reach it. */
lsi_lock_result lsi_lock_take(lsi_lock *lock, int rank, uint32_t timeout_ms); /* monotonic time */
lsi_lock_result lsi_lock_try(lsi_lock *lock, int rank);
/* With locks of any rank held. Who never waits for a lock needs no order. */
lsi_lock_result lsi_lock_try_any(lsi_lock *lock, int rank);
void lsi_lock_repaired(lsi_lock *lock); /* pthread_mutex_consistent */
/* For a lock that only threads of this process reach and hold for moments: waits as long as it takes. */
void lsi_lock_hold(lsi_lock *lock, int rank);
void lsi_lock_release(lsi_lock *lock, int rank);

/* Inside a loop that looks at shared memory again and again: leaves the processor to its other thread, or to others. */
void lsi_lock_pause(void);

/* Futex words. A word is a 32-bit generation; sleeping returns when it differs from `seen`, when woken, when the time
 * is over, or when a signal handler ran. timeout_ms: -1 has no end. Shared between processes. */
typedef enum { LSI_WOKEN, LSI_SLEPT_OUT, LSI_INTERRUPTED } lsi_sleep_result;
lsi_sleep_result lsi_word_sleep(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_us);
void lsi_word_wake_all(_Atomic uint32_t *word);
bool lsi_word_wake_one(_Atomic uint32_t *word); /* whoever sleeps there; false: nobody did */

/* Fork detection without a system call: a page that fork wipes. `lsi_fork_mark_new` gives a word that holds 1 and
 * reads 0 in every fork child made later (MADV_WIPEONFORK; where the kernel lacks it, pthread_atfork does it). NULL:
 * no memory. */
typedef struct lsi_fork_mark lsi_fork_mark;
lsi_fork_mark *lsi_fork_mark_new(void);
void lsi_fork_mark_free(lsi_fork_mark *mark);
static inline bool lsi_fork_mark_is_mine(const lsi_fork_mark *mark)
{
    return atomic_load_explicit((const _Atomic uint32_t *)mark, memory_order_relaxed) == 1; /* its first word */
}

/* Calls `in_child(user)` in every fork child, before fork returns there. For giving up descriptors that carry OFD
 * locks (P6). `lsi_on_fork_remove` undoes it. 0 or -ENOMEM. */
typedef struct lsi_on_fork {
    void (*in_child)(void *user);
    void *user;
    struct lsi_on_fork *next; /* the list's own */
} lsi_on_fork;
int lsi_on_fork_add(lsi_on_fork *entry);
void lsi_on_fork_remove(lsi_on_fork *entry);
/* Between the two no child is born: for opening what a child has to give up, of which it could not know yet. Held for
 * moments; nothing is added or removed meanwhile. A thread may end in between. */
void lsi_fork_hold_off(void);
void lsi_fork_let_go(void);

/* This boot's id, 16 bytes, from /proc/sys/kernel/random/boot_id; zeros where there is none (then nothing is
 * believed to have survived). */
void lsi_boot_id(unsigned char id[16]);

/* For tests: makes lsi_boot_id() answer `id` in this process from now on, as after a reboot. NULL: the truth again. */
void lsi_boot_id_pretend(const unsigned char id[16]);

#endif
