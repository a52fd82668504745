/* Take-over: what the next owner of append_lock makes of what a dead one left, at any step of an append or of a roll.
 *
 * Each writer is a process that appends one frame, of size 1 and with one number (lib/storage/append.c), and rolls
 * where the segment is full or must not be appended to (roll.c); up to DEATHS of them are killed anywhere, while they
 * repair (lsi_log_take_over in recovery.c) too. A reader (read.c) looks once, at any time. A step is one store that
 * others see, or a call of the kernel. Nobody loses power here: that is recovery.pml.
 *
 * Shown: what lies below committed_end is whole, for good, and where the list says (S1); nothing is written over what a
 * dead one wrote (S2, R5); no number is given twice, and they rise (D4, S7); what is acknowledged stays (D1); every
 * writer who is not killed gets his turn (P1).
 *
 * Explored: -DWRITERS=2
 * Explored: -DDEATHS=1
 * Explored: -DFRAMES=2
 * Broken: -DDEATHS=1
 *
 * BROKEN, a number, plants a defect that must be found:
 *   1 nobody looks at what the dead were writing    5 the slot names a segment before the list does
 *   2 write_end is noted behind the first byte      6 the lock is not robust
 *   3 committed_end is stored before the frame      7 nobody sees that the list is ahead of the slot
 *   4 next_seqno is stored behind committed_end     8 a roll says that it is over before it is */

#ifndef WRITERS
#define WRITERS 3
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#ifndef FRAMES
#define FRAMES 1 /* that a segment holds */
#endif
#ifndef BROKEN
#define BROKEN 0
#endif

#define NOBODY 255
#define ROLLING 255 /* LSI_ROLLING */
#define NUMBERS 3   /* that a segment's header covers */
#define PLACES WRITERS
#define SEGMENTS (2 * WRITERS + DEATHS + 1)
#define TORN 255
#define AT(segment, position) content[(segment) * PLACES + (position)]

/* The slot. */
byte append_lock = NOBODY;
byte committed_end, write_end, next_seqno = 1, segment, segment_base, seqno_limit = 1 + NUMBERS;
bool roll_first; /* LSI_ROLL_FIRST_NUMBERS and _TORN */

/* The files: of a frame its number, 0: nothing was written. Headers; the list is the segments that are named. */
byte content[SEGMENTS * PLACES];
byte base[SEGMENTS], base_seqno[SEGMENTS] = 1;
bool exists[SEGMENTS], named[SEGMENTS];
byte last; /* of the list */

byte deaths = DEATHS;
bool killed[WRITERS], given[(SEGMENTS + 1) * NUMBERS + 1];
byte running = WRITERS;

#define LIMIT(segment) (base_seqno[segment] + NUMBERS)

/* publish(), called by lsi_log_take_over(). */
inline publish()
{
    segment_base = base[last];
    seqno_limit = LIMIT(last);
    if
    :: next_seqno < base_seqno[last] || next_seqno > LIMIT(last) -> next_seqno = LIMIT(last)
    :: else
    fi;
    roll_first = false;
    segment = last;
    atomic { assert(committed_end == base[last]); committed_end = base[last] } /* It never falls. */
    write_end = committed_end;
    next_seqno = base_seqno[last]
}

/* enter(), look_closely(), lsi_log_take_over(): S2. */
inline enter()
{
    if
    :: write_end == committed_end
    :: else ->
        if
        :: BROKEN != 7 && last != segment -> publish()
        :: else ->
            if
            :: BROKEN != 1 && write_end != ROLLING && AT(segment, committed_end) != 0 -> roll_first = true
            :: else
            fi;
            write_end = committed_end
        fi
    fi
}

inline name_in_slot()
{
    segment_base = committed_end;
    seqno_limit = LIMIT(fresh);
    next_seqno = base_seqno[fresh];
    roll_first = false;
    segment = fresh
}

/* lsi_log_roll(). */
inline roll()
{
    write_end = ROLLING;
    atomic { /* lsi_segment_create(): what a dead one made and nobody named is passed over. */
        fresh = last + 1;
        do
        :: exists[fresh] -> fresh++
        :: else -> break
        od;
        exists[fresh] = true;
        base[fresh] = committed_end;
        base_seqno[fresh] = (roll_first -> LIMIT(last) : next_seqno)
    }
#if BROKEN == 5
    name_in_slot();
#endif
#if BROKEN == 8
    write_end = committed_end;
#endif
    atomic { named[fresh] = true; last = fresh } /* lsi_log_replace_list() */
#if BROKEN != 5
    name_in_slot();
#endif
    write_end = committed_end;
    fresh = 0
}

/* append_frame(). Locks: append_lock held. */
inline append()
{
    atomic { position = committed_end; seqno = next_seqno; assert(seqno < seqno_limit) }
#if BROKEN == 3
    committed_end = position + 1;
#endif
#if BROKEN != 2
    write_end = position + 1;
#endif
    atomic { assert(AT(segment, position) == 0); AT(segment, position) = TORN } /* write_frame() */
    AT(segment, position) = seqno;
#if BROKEN == 2
    write_end = position + 1;
#endif
#if BROKEN != 4
    next_seqno = seqno + 1;
#endif
    atomic { /* S1 */
        committed_end = position + 1;
        assert(AT(segment, position) == seqno && !given[seqno]);
        given[seqno] = true
    }
#if BROKEN == 4
    next_seqno = seqno + 1
#endif
}

/* Where the list says that a position is. */
inline find(position, found)
{
    atomic {
        found = last;
        do
        :: base[found] <= position && named[found] -> break
        :: else -> found--
        od
    }
}

proctype writer(byte me)
{
    byte fresh, position, seqno, found;

    {
        atomic { append_lock == NOBODY -> append_lock = me } /* lsi_log_lock() */
        enter();
        do
        :: !roll_first && committed_end - segment_base < FRAMES && next_seqno < seqno_limit -> break /* has_room() */
        :: else -> roll()
        od;
        append();
        append_lock = NOBODY; /* lsi_log_unlock() */
        find(position, found);
        assert(AT(found, position) == seqno) /* It is acknowledged, and where it will be looked for. */
    }
    unless { killed[me] }
    running--
}

proctype killer()
{
    byte who;

    do
    :: deaths > 0 -> atomic {
        who = 0;
        do
        :: who < WRITERS - 1 -> who++
        :: break
        od;
        deaths--;
        killed[who] = true;
#if BROKEN != 6
        if
        :: append_lock == who -> append_lock = NOBODY
        :: else
        fi;
#endif
        who = 0 }
    :: break
    od
}

/* Once at any time, and once at the end, when everything that was shown is still there. */
proctype reader()
{
    byte end, position, found, before;

    atomic { end = committed_end; position = end }
    if
    :: end > 0 -> atomic {
        position--;
        find(position, found);
        assert(AT(found, position) != 0 && AT(found, position) != TORN) }
    :: else
    fi;
    running == 0;
    atomic {
        assert(committed_end >= end);
        position = 0;
        do
        :: position < committed_end ->
            find(position, found);
            assert(AT(found, position) != TORN && AT(found, position) > before);
            before = AT(found, position);
            position++
        :: else -> break
        od
    }
}

init
{
    atomic {
        byte who = 0;
        exists[0] = true;
        named[0] = true;
        do
        :: who < WRITERS -> run writer(who); who++
        :: else -> break
        od;
        who = 0;
        run killer();
        run reader()
    }
}
