/* The bytes of the control file, shared by control.c (the file: who is attached) and slot.c (what is in it).
 * FORMAT.md, "Control file". */
#ifndef LSI_STORAGE_CONTROL_LAYOUT_H
#define LSI_STORAGE_CONTROL_LAYOUT_H

#include "storage/control.h"

#define CONTROL_MAP_BYTES (UINT32_C(256) << 20) /* of address space, not of memory: the file grows beneath it */
#define CONTROL_PROCESSES_AT 16384u
#define CONTROL_PROCESSES 256u
#define CONTROL_SLOTS_AT 32768u
#define CONTROL_SLOTS_FIRST 16u /* in a new file, which so is 48 KiB */
#define CONTROL_SLOTS_MAX ((CONTROL_MAP_BYTES - CONTROL_SLOTS_AT) / LSI_SLOT_BYTES)

/* OFD locks: bytes of the control file that stand for something and are never read for it. */
#define CONTROL_BYTE_ALIVE 0u    /* shared: has the store open */
#define CONTROL_BYTE_GATE 1u     /* exclusive: is attaching, or making the store */
#define CONTROL_BYTE_PROCESS 64u /* + k, exclusive: is process k of the table */
#define CONTROL_BYTE_UNLISTED (CONTROL_BYTE_PROCESS + CONTROL_PROCESSES) /* shared: is attached and not in the table */
#define CONTROL_BYTE_CLAIM (UINT64_C(1) << 32) /* + id, exclusive: makes that stream, or clears away its rests */

#define CONTROL_MAGIC "LSCNTRL1"

typedef struct control_header {
    /* Written and read by who holds the gate. `sum` covers what stands before it. */
    unsigned char magic[8];
    uint32_t layout;
    uint32_t features; /* that must be understood: LSI_CONTROL_FEATURES */
    unsigned char store_id[16];
    uint64_t sum;
    unsigned char boot_id[16]; /* zeros while the file is made anew: a death there makes the next one repeat it */

    _Alignas(64) _Atomic uint32_t attach_epoch; /* never 0 */
    _Atomic uint32_t slot_count;  /* slots that are allocated and have their locks */
    _Atomic uint32_t used_count;  /* slots [0, used_count) were used at some time */
    _Atomic uint32_t reuse_count; /* rises when one of them is used again */
    uint32_t free_old; /* store lock: free ones of [0, used_count) that nobody can hold a pointer to any more */
    uint32_t free_new; /* store lock: those freed since somebody was last alone, which may be kept */
    _Atomic uint64_t manifest_generation; /* odd: a replacement is under way, or died or failed */
    uint32_t attach_check; /* the gate: ~attach_epoch, for an epoch that was damaged makes old slots look fresh */
    _Atomic uint32_t unsure; /* 1: shards may have bytes to sync that no slot speaks of */

    _Alignas(64) lsi_lock store_lock; /* LSI_RANK_STORE */

    _Alignas(64) lsi_clock_guard clock_guard; /* of this boot, */
    lsi_upkeep_words upkeep;                  /* and this */
} control_header;
_Static_assert(sizeof(control_header) <= CONTROL_PROCESSES_AT, "the header fits before the process table");

typedef struct control_process {
    _Atomic uint32_t used;
    _Atomic int32_t pid;
    _Atomic uint32_t read_only;
    _Atomic uint32_t uses; /* how often the entry was taken, from a random number on; raised before `used` is set */
    _Atomic int64_t attached_us;
    unsigned char room[40];
} control_process;
_Static_assert(CONTROL_PROCESSES == LSI_SLOT_KEEPER_WORDS * 64, "a slot has a bit for each process");
_Static_assert(CONTROL_PROCESSES < 1u << LSI_PROCESS_PLACE_BITS &&
               LSI_PROCESS_PLACE_BITS < LSI_PROCESS_TAG_SHORT_BITS &&
               LSI_PROCESS_PLACE_BITS + 32 == LSI_PROCESS_TAG_BITS, "a tag is an entry's index and `uses`");
_Static_assert(sizeof(control_process) == 64, "the table's entries are of 64 bytes");
_Static_assert(CONTROL_PROCESSES_AT + CONTROL_PROCESSES * sizeof(control_process) <= CONTROL_SLOTS_AT,
               "the process table fits before the slots");

struct lsi_control {
    const lsi_env *env;
    const lsi_files *files; /* the store's, or `own_files` */
    lsi_files *own_files;   /* private: memory that stands in for the file */
    lsi_root own_root;
    const lsi_root *look_root;   /* private: the store's, where the file may be, or come to be, readable */
    struct lsi_control *watched; /* private: it, mapped for reading; not attached */
    lsi_lock mirror_lock;        /* private: who copies from it, LSI_RANK_SYNC */
    lsi_file file;
    lsi_file mapped; /* a copy of `file`, for unmapping when a fork child has given it up */
    control_header *header;
    control_process *processes;
    unsigned char *slots;
    int process; /* this one's index in the table; -1: the table is full */
    bool read_only;
    lsi_fork_mark *mark;
    lsi_on_fork on_fork;
    bool on_fork_added;

    /* Where slots are: identity to index, open addressing. Filled from the file as it goes. */
    lsi_lock table_lock; /* LSI_RANK_LOCAL */
    uint32_t *table;     /* index + 1; 0: empty */
    uint32_t table_size; /* a power of two; at most half full */
    uint32_t table_used;
    uint32_t scanned;    /* slots [0, scanned) are in the table */
    uint32_t free_from;  /* store lock: the search for a free one goes on here, so that many are found in one round */
    uint32_t reuse_seen;

    uint32_t *kept;      /* table_lock: how often this process keeps each slot; NULL while it keeps none */
    uint32_t kept_size;
};

static inline lsi_slot *control_slot_at(const lsi_control *control, uint32_t index)
{
    return (lsi_slot *)(void *)(control->slots + (size_t)index * LSI_SLOT_BYTES);
}

/* slot.c, for control.c. Locks: the gate held, nobody else attached; or, of `init`, the store lock. */
int lsi_slots_init(lsi_control *control, uint32_t from, uint32_t to); /* zeroed, with locks; -errno */
/* After a boot: slots with a valid watermark keep it and their identity, all others become free. -errno */
int lsi_slots_start_over(lsi_control *control, uint32_t count);

/* slot.c, for control.c, of this process: nothing is kept any more; and, of one that had its entry and died, nothing
 * that it had kept. */
void lsi_slots_let_go_all(lsi_control *control);
void lsi_slots_forget_keeper(lsi_control *control);

/* control.c, for mirror.c: a whole header of this layout and of that store. */
bool lsi_control_header_is_of(const control_header *header, const unsigned char store_id[16]);

/* mirror.c, for control.c. */
void lsi_control_unwatch(lsi_control *control);

/* control.c, for slot.c: allocates the file for `count` slots, before they are touched (E5). */
ls_status lsi_control_allocate(lsi_control *control, uint32_t count);

#endif
