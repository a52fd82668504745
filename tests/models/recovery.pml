/* Recovery: what is found again of a log when all who used it are gone, once and once more.
 *
 * A machine boots, recovers the log (recover_from_segments() in lib/storage/recovery.c), puts up to PUTS frames of size
 * 1 (append.c, durable.c, roll.c), and at any step it loses power, or everybody who used the log is killed and the
 * words of the control file are gone with them. CRASHES such ends; the last boot only looks. A loss of power leaves of
 * each write that was not synced nothing, a piece or all of it, of each name that was not synced the old or the new
 * one, and of the watermark what was written back at some time. ROT times it takes a frame that was synced as well.
 * KERNEL: puts are acknowledged when they are written; else when they are synced.
 *
 * Shown, by each recovery: what was acknowledged or shown is there (D1, R8), and what was lost once does not come back
 * (R5); what is there is a prefix (D2); no number is given twice (D4); nothing is taken for damage (R3, R6) but what
 * rots, and that is noticed when something behind it was acknowledged later (R3).
 *
 * Explored: -DCRASHES=2
 * Explored: -DCRASHES=2 -DKERNEL=1
 * Explored: -DCRASHES=2 -DROT=1
 * Explored: -DCRASHES=3 -DPUTS=1
 * Explored: -DCRASHES=1 -DPUTS=3 -DKERNEL=1
 * Broken: -DCRASHES=2 -DKERNEL=1
 * Broken: -DCRASHES=2 -DROT=1
 * Broken: -DCRASHES=1 -DPUTS=3 -DKERNEL=1
 *
 * BROKEN, a number, plants a defect that must be found:
 *   1 what is found is not synced before it is shown   6 the directory is not synced behind the list
 *   2 a torn segment is appended to again              7 numbers go on behind the last frame that is found
 *   3 a frame behind a bad one is damage in any case   8 a roll does not sync what it seals
 *   4 the watermark is noted before the sync           9 a frame says that all in front of it is durable
 *   5 the list names a file that is not durable       10 the log ends at the first bad frame in any case */

#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef PUTS
#define PUTS 2
#endif
#ifndef ROT
#define ROT 0
#endif
#ifndef KERNEL
#define KERNEL 0
#endif
#ifndef BROKEN
#define BROKEN 0
#endif

#define PLACES 2 /* that a segment has for frames, and numbers that its header covers */
#define SEGMENTS (CRASHES * PUTS + 1) /* a roll for each put at most */
#define TORN 255
#define AT(where, segment, place) where[(segment) * PLACES + (place)]
#define BIT(number) (1 << (number))

/* Frames by their numbers, 0: nothing. `cache` is what everybody reads; `disk` what a loss of power leaves for sure. */
byte cache[SEGMENTS * PLACES], disk[SEGMENTS * PLACES];
byte states[SEGMENTS * PLACES + 1]; /* durable_end of the frame with that number, in its segment */
byte first[SEGMENTS] = 1;           /* of each header: its first number */
byte ends[SEGMENTS];                /* of the list: where what is sealed ends */
bool exists[SEGMENTS], exists_disk[SEGMENTS];
byte list, list_disk;               /* the last segment it names */
byte mark_segment, mark_end, mark_disk_segment, mark_disk_end; /* the watermark */

/* What is known outside: sets of numbers. */
int given, told, gone;
short rotten = -1; /* the number that is lost by rot */

byte crashes = CRASHES, rot = ROT;
bool lost, killed, is_damaged;

/* The words of the slot. */
byte committed, durable, next;
bool roll_first;

inline write_back_mark()
{
    if
    :: mark_disk_segment = mark_segment; mark_disk_end = mark_end
    :: true
    fi
}

/* lsi_watermark_note(). The page goes to the disk when the kernel likes. */
inline note(end)
{
    atomic { mark_segment = list; mark_end = end; write_back_mark() }
}

inline sync_names()
{
    atomic {
        i = 0;
        do
        :: i < SEGMENTS -> exists_disk[i] = exists[i]; i++
        :: else -> break
        od;
        i = 0;
        list_disk = list
    }
}

/* Of a segment. */
inline sync_bytes(which)
{
    atomic {
        i = 0;
        do
        :: i < PLACES -> AT(disk, which, i) = AT(cache, which, i); i++
        :: else -> break
        od;
        i = 0
    }
}

/* What readers are shown: of sealed segments all up to their ends, of the last one up to `end`. */
inline gather(end)
{
    atomic {
        seen = 0;
        i = 0;
        do
        :: i < list * PLACES + end ->
            if
            :: i / PLACES < list && i % PLACES >= ends[i / PLACES]
            :: else ->
                assert(cache[i] != 0 && cache[i] != TORN || rotten >= 0); /* R1: else it is damage. */
                is_damaged = is_damaged || cache[i] == 0 || cache[i] == TORN;
                if
                :: cache[i] != 0 && cache[i] != TORN -> seen = seen | BIT(cache[i])
                :: else
                fi
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
}

/* recover_from_segments(): R3. */
inline recover()
{
    atomic {
        assert(exists[list]); /* R6 */
        i = 0;
        do
        :: i < PLACES && AT(cache, list, i) != 0 && AT(cache, list, i) != TORN -> i++
        :: else -> break
        od;
        committed = i;
        durable = (mark_segment == list -> mark_end : 0);
        is_damaged = BROKEN != 10 && durable > committed;
        roll_first = false;
        do
        :: i < PLACES ->
            if
            :: AT(cache, list, i) != 0 && AT(cache, list, i) != TORN && BROKEN != 10 ->
                is_damaged = is_damaged || BROKEN == 3 || states[AT(cache, list, i)] > committed
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0;
        assert(!is_damaged || rotten >= 0); /* Nothing is damaged. */
        if
        :: is_damaged -> rotten = -1; goto over /* It is told, and puts are refused. */
        :: else
        fi;
        durable = (durable > committed -> committed : durable)
    }
    sync_names(); /* settle_list() */
#if BROKEN != 1
    if
    :: committed > durable -> sync_bytes(list) /* R8: settle_bytes() */
    :: else
    fi;
#endif
    atomic {
        durable = committed;
        next = first[list] + PLACES;
#if BROKEN == 7
        next = (committed > 0 -> AT(cache, list, committed - 1) + 1 : first[list]);
#endif
        roll_first = BROKEN != 2 && BROKEN != 7
    }
    if
    :: committed > 0 -> note(committed)
    :: else
    fi;
    /* Readers are here. */
    gather(committed);
    atomic {
        if
        :: is_damaged -> rotten = -1; goto over
        :: else
        fi;
        assert((seen & gone) == 0);
        assert((told & ~seen) == 0 || rotten >= 0);
        /* What rots is told of when something behind it was synced later. */
        assert(rotten < 0 || (told & ~(BIT(rotten + 1) - 1)) == 0);
        rotten = -1;
        told = seen;
        gone = gone | (given & ~seen);
        seen = 0
    }
}

/* lsi_log_roll(). */
inline roll()
{
#if BROKEN != 8
    if
    :: durable < committed -> sync_bytes(list); durable = committed; note(durable)
    :: else
    fi;
#endif
    atomic {
        fresh = list + 1;
        do
        :: exists[fresh] -> fresh++
        :: else -> break
        od;
        exists[fresh] = true;
        first[fresh] = (roll_first -> first[list] + PLACES : next)
    }
#if BROKEN != 5
    sync_names();
#endif
    atomic { /* lsi_segment_list_store(): the file replaces the old one ... */
        i = list;
        ends[i] = committed;
        i++;
        do
        :: i < fresh -> ends[i] = 0; i++
        :: else -> break
        od;
        i = 0;
        list = fresh
    }
#if BROKEN != 6
    sync_names(); /* ... and its name is synced: S3 */
#endif
    atomic { next = first[list]; committed = 0; durable = 0; roll_first = false; fresh = 0 }
}

inline put()
{
    if
    :: roll_first || committed == PLACES || next >= first[list] + PLACES && BROKEN != 7 && BROKEN != 2 -> roll()
    :: else
    fi;
    atomic { /* append_frame() */
        assert((given & BIT(next)) == 0);
        states[next] = (BROKEN == 9 -> committed : durable);
        AT(cache, list, committed) = next;
        given = given | BIT(next);
        if
        :: KERNEL -> told = told | BIT(next)
        :: else
        fi;
        next++;
        committed++
    }
    if /* lsi_log_commit() */
    :: true ->
#if BROKEN == 4
        note(committed);
#endif
        sync_bytes(list);
#if BROKEN != 4
        note(committed);
#endif
        atomic { durable = committed; told = told | BIT(next - 1) } /* It is acknowledged. */
    :: KERNEL
    fi
}

/* Everything that is not synced: none of it, a piece, or all. */
inline lose_power()
{
    atomic {
        i = 0;
        do
        :: i < SEGMENTS * PLACES ->
            if
            :: cache[i] != disk[i] ->
                if
                :: disk[i] = cache[i]
                :: disk[i] = TORN
                :: true
                fi
            :: else
            fi;
            cache[i] = disk[i];
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < SEGMENTS ->
            if
            :: exists_disk[i] = exists[i]
            :: true
            fi;
            exists[i] = exists_disk[i];
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < SEGMENTS * PLACES && rot > 0 && disk[i] != TORN && (told & BIT(disk[i])) != 0 ->
            rot--;
            rotten = disk[i];
            disk[i] = TORN;
            cache[i] = TORN
        :: i < SEGMENTS * PLACES -> i++
        :: else -> break
        od;
        i = 0;
        if
        :: list_disk = list
        :: true
        fi;
        list = list_disk;
        write_back_mark();
        mark_segment = mark_disk_segment;
        mark_end = mark_disk_end;
        if
        :: KERNEL -> told = 0
        :: else
        fi
    }
}

proctype machine()
{
    byte i, fresh, puts;
    int seen;

    do
    :: {
        recover();
        puts = 0;
        do
        :: puts < PUTS && crashes > 0 -> put(); puts++
        :: break
        od;
        crashes == 0 -> goto over
    }
    unless {
        lost || killed ->
        if
        :: lost -> lose_power()
        :: else
        fi;
        atomic {
            lost = false;
            killed = false;
            i = 0;
            fresh = 0;
            puts = 0;
            seen = 0;
            committed = 0;
            durable = 0;
            next = 0
        }
    }
    od;
over:
    crashes = 0
}

active proctype fate()
{
    do
    :: atomic { crashes > 0 && !lost && !killed ->
        crashes--;
        if
        :: lost = true
        :: killed = true
        fi }
    :: atomic { crashes == 0 -> break }
    od
}

init
{
    atomic { exists[0] = true; exists_disk[0] = true; run machine() }
}
