/* Group commit: what lib/storage/durable.c does when several writers of one log wait to be durable (SYNC mode).
 *
 * Each writer puts one frame, of size 1, and calls lsi_log_commit(). WRITERS - 1 are threads of one process and share a
 * descriptor; the last is a process of its own, which opens the file when it puts and may be killed anywhere (DEATHS).
 * A step is one access to a word that others see, or a call of the kernel, together with what only its thread sees.
 * Syncs may fail (FAULTS), and then the kernel behaves as it does (E1): pages that it could not write count as written,
 * and each descriptor that was open hears of it once. STOPS times a follower has no patience left and syncs beside the
 * leader. Memory is sequentially consistent here, as in the other models.
 *
 * Shown: durable_end never falls and never passes what the disk has (S4, D5); what is acknowledged is on the disk and
 * below the watermark (D1, E1); nobody sleeps on while nobody has died (no wake is lost); nobody is stuck.
 *
 * Explored: -DWRITERS=2 -DFAULTS=1 -DDEATHS=1
 * Explored: -DSTOPS=0
 * Explored: -DSTOPS=0 -DDEATHS=1
 * Explored: -DFAULTS=1
 * Broken: -DFAULTS=1
 *
 * BROKEN, a number, plants a defect that must be found:
 *   1 durable_end is raised before the sync         5 threads sync through one descriptor side by side
 *   2 the end is read behind the sync               6 what others wrote is not written again
 *   3 durable_end is stored, not raised             7 sync_word changes before the lock is free
 *   4 a sync that failed is tried again             8 the watermark follows durable_end
 *   9 who has said that he will sleep, and does not yet, is woken too early */

#ifndef WRITERS
#define WRITERS 3
#endif
#ifndef FAULTS
#define FAULTS 0
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef BROKEN
#define BROKEN 0
#endif

#define BELOW(end) ((1 << (end)) - 1) /* a set of frames by their bits */
#define IS_SYNCED(end) ((disk & BELOW(end)) == BELOW(end))
#define NOBODY 255
#define MORTAL (WRITERS - 1)
#define FD (me == MORTAL -> 1 : 0)

/* The slot: lsi_slot in lib/storage/control.h. */
byte append_lock = NOBODY, sync_lock = NOBODY;
byte committed_end, durable_end, watermark, sync_word;
bool sync_wanted, is_failed;

/* The kernel, and what may still happen. */
byte dirty, disk, lost_writes;
byte faults = FAULTS, stops = STOPS;
bool died;
bool asleep[WRITERS];

/* A descriptor, of the threads and of the process. `heard`: of so many lost writes it was told; `failed` and `lock`:
 * sync_failed and sync_lock of lsi_segment. */
byte heard[2], held_from[2], lock[2] = NOBODY;
bool is_open[2], failed[2];

inline wake_all() /* lsi_word_wake_all() */
{
    atomic {
        at = 0;
        do
        :: at < WRITERS -> asleep[at] = false; at++
        :: else -> break
        od;
        at = 0
    }
}

/* A sync takes what is dirty when it begins; what another one has failed to write meanwhile is not dirty any more. */
inline sync_begin()
{
    atomic {
#if BROKEN != 5
        lock[FD] == NOBODY;
        lock[FD] = me;
#endif
        taken = dirty
    }
}

inline sync_end()
{
    atomic {
        if
#if BROKEN != 4 && BROKEN != 5
        :: failed[FD] -> rc = true
        :: !failed[FD] ->
#else
        :: true ->
#endif
            if
            :: disk = disk | (taken & dirty)
            :: faults > 0 && (taken & dirty) != 0 -> faults--; lost_writes++
            fi;
            dirty = dirty & ~taken;
            rc = heard[FD] != lost_writes;
            heard[FD] = lost_writes;
            failed[FD] = failed[FD] || rc
        fi;
#if BROKEN == 4
        if
        :: rc -> disk = disk | dirty; dirty = 0; rc = heard[FD] != lost_writes
        :: else
        fi;
#endif
        taken = 0;
        lock[FD] = NOBODY
    }
}

/* lsi_watermark_note(), called by lsi_log_note_durable(). */
inline note_watermark()
{
    atomic {
        watermark = (watermark > target -> watermark : target);
        assert(IS_SYNCED(watermark))
    }
}

/* The loop at the end of lsi_log_note_durable(): a compare and exchange until it is raised. */
inline raise_durable()
{
#if BROKEN == 3
    atomic { assert(durable_end <= target); durable_end = target; assert(IS_SYNCED(durable_end)) }
#else
    atomic { durable_end = (durable_end > target -> durable_end : target); assert(IS_SYNCED(durable_end)) }
#endif
}

/* lead(), lsi_log_sync_segment(), sync_bytes(). */
inline lead()
{
    target = committed_end;
    atomic { at = durable_end; rc = is_failed || at >= target }
    if
    :: rc -> atomic { rc = false; at = 0; target = 0 }
    :: else ->
        atomic {
            if
            :: BROKEN != 6 && at < held_from[FD] -> /* E2: lsi_log_write_again() */
                dirty = dirty | (BELOW(held_from[FD] < target -> held_from[FD] : target) & ~BELOW(at))
            :: else
            fi;
            at = 0
        }
#if BROKEN == 1
        raise_durable();
#endif
        sync_begin(); /* sync_alone() */
        sync_end();
#if BROKEN == 2
        target = committed_end;
#endif
        if
        :: rc -> /* lsi_log_fail() */
            is_failed = true;
            sync_word++;
            wake_all()
        :: atomic { !rc && is_failed -> skip } /* already_failed() */
        :: atomic { !rc && !is_failed -> skip }
#if BROKEN == 8
            raise_durable();
            note_watermark()
#else
            note_watermark();
            raise_durable()
#endif
        fi;
        atomic { rc = false; target = 0 }
    fi
}

proctype writer(byte me)
{
    byte end, seen, target, taken, at;
    bool rc;

    {
        /* lsi_log_append(): lsi_log_lock(), tail_segment(), append_frame(), lsi_log_unlock(). Who died with the lock
         * left nothing half done here: that is takeover.pml. */
        atomic {
            append_lock == NOBODY;
            append_lock = me;
            if
            :: !is_open[FD] -> is_open[FD] = true; held_from[FD] = committed_end; heard[FD] = lost_writes
            :: else
            fi;
            if
            :: is_failed -> append_lock = NOBODY; goto over /* S6 */
            :: else
            fi
        }
        dirty = dirty | (1 << committed_end);
        atomic { committed_end++; end = committed_end; append_lock = NOBODY }

        /* commit() */
        do
        :: atomic { durable_end >= end -> break }
        :: atomic { durable_end < end -> skip }
            atomic {
                if
                :: is_failed -> goto over
                :: else
                fi
            }
            seen = sync_word;
            if
            :: atomic { sync_lock == NOBODY -> sync_lock = me }
                lead();
#if BROKEN == 7
                sync_word++;
                sync_lock = NOBODY;
#else
                sync_lock = NOBODY;
                sync_word++;
#endif
                if
                :: atomic { sync_wanted -> sync_wanted = false }
#if BROKEN != 9
                    sync_word++;
#endif
                    wake_all()
                :: atomic { !sync_wanted -> skip }
                fi
            :: atomic { sync_lock != NOBODY && stops > 0 -> stops-- }
                lead() /* follow() had no patience left. */
            :: atomic { sync_lock != NOBODY -> skip }
                sync_wanted = true; /* follow() */
                if
                :: atomic { durable_end >= end -> skip }
                :: atomic { durable_end < end -> skip }
                    if /* lsi_word_sleep() */
                    :: atomic { sync_word == seen -> asleep[me] = true }
                        if
                        :: !asleep[me]
                        :: timeout -> atomic { asleep[me] = false; assert(died) }
                        fi
                    :: atomic { sync_word != seen -> skip }
                    fi
                fi
            fi;
            seen = 0
        od;
        assert(IS_SYNCED(end) && watermark >= end) /* It is acknowledged. */
    }
    unless { me == MORTAL && died }
over:
    skip
}

#if DEATHS
/* SIGKILL. Locks are robust: whoever takes them next has them as if they had been free (P1). */
active proctype killer()
{
    if
    :: atomic {
        died = true;
        if
        :: append_lock == MORTAL -> append_lock = NOBODY
        :: else
        fi;
        if
        :: sync_lock == MORTAL -> sync_lock = NOBODY
        :: else
        fi }
    :: true
    fi
}
#endif

init
{
    atomic {
        byte who = 0;
        do
        :: who < WRITERS -> run writer(who); who++
        :: else -> break
        od;
        who = 0
    }
}
