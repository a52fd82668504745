/* See marks.h. */
#include "deliver/marks.h"

#include <assert.h>
#include <string.h>

#define SPAN_MAX (UINT64_C(1) << 32) /* of what is read: 512 MiB of bits */

void lsi_marks_init(lsi_marks *marks, const lsi_memory *memory)
{
    *marks = (lsi_marks){.memory = memory};
}

void lsi_marks_free(lsi_marks *marks)
{
    lsi_free(marks->memory, marks->words);
    lsi_marks_init(marks, marks->memory);
}

static bool make_room(lsi_marks *marks, uint64_t to)
{
    size_t before = marks->capacity, wanted = (size_t)((to - marks->origin + 63) / 64);

    if (wanted <= before)
        return true;
    if (!lsi_grow(marks->memory, (void **)&marks->words, &marks->capacity, wanted, sizeof *marks->words))
        return false;
    memset(marks->words + before, 0, (marks->capacity - before) * sizeof *marks->words);
    return true;
}

bool lsi_marks_add(lsi_marks *marks, uint64_t from, uint64_t to)
{
    if (from == to)
        return true;
    assert(from >= marks->origin);
    if (!make_room(marks, to))
        return false;
    if (marks->end < to)
        marks->end = to;
    while (from < to) {
        uint64_t word = (from - marks->origin) / 64, first = from & 63, left = to - from;
        uint64_t count = left < 64 - first ? left : 64 - first;

        marks->words[word] |= (count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1) << first;
        from += count;
    }
    return true;
}

void lsi_marks_forget(lsi_marks *marks, uint64_t below)
{
    size_t used = marks->end <= marks->origin ? 0 : (size_t)((marks->end - marks->origin + 63) / 64);
    size_t gone = below <= marks->origin ? 0 : (size_t)((below - marks->origin) / 64);

    marks->origin += (uint64_t)gone * 64;
    if (gone > used)
        gone = used;
    if (gone == 0)
        return;
    memmove(marks->words, marks->words + gone, (used - gone) * sizeof *marks->words);
    memset(marks->words + (used - gone), 0, gone * sizeof *marks->words);
}

bool lsi_marks_has(const lsi_marks *marks, uint64_t at)
{
    if (at >= marks->end || at < marks->origin)
        return false;
    return (marks->words[(at - marks->origin) / 64] >> (at & 63) & 1) != 0;
}

/* ---- as bytes ---- */

/* Where the run that begins at `at` ends: at `end` at the latest. */
static uint64_t run_end(const lsi_marks *marks, uint64_t at, bool is_in)
{
    while (at < marks->end) {
        uint64_t word = at < marks->origin ? 0 : marks->words[(at - marks->origin) / 64];
        uint64_t rest = (is_in ? ~word : word) >> (at & 63); /* the first 1 ends it */

        if (rest != 0) {
            at += (uint64_t)__builtin_ctzll(rest);
            break;
        }
        at = (at | 63) + 1;
    }
    return at < marks->end ? at : marks->end;
}

static size_t number_bytes(uint64_t n)
{
    size_t bytes = 1;

    for (; n >= 0x80; n >>= 7)
        bytes++;
    return bytes;
}

size_t lsi_marks_bytes(const lsi_marks *marks, uint64_t from)
{
    size_t bytes = 0;
    bool is_in = false;

    while (from < marks->end) {
        uint64_t to = run_end(marks, from, is_in);

        bytes += number_bytes(to - from);
        from = to;
        is_in = !is_in;
    }
    return bytes;
}

void lsi_marks_write(const lsi_marks *marks, uint64_t from, lsi_writer *to)
{
    bool is_in = false;

    while (from < marks->end) {
        uint64_t end = run_end(marks, from, is_in), n = end - from;

        for (; n >= 0x80; n >>= 7)
            lsi_put_u8(to, (uint8_t)(n | 0x80));
        lsi_put_u8(to, (uint8_t)n);
        from = end;
        is_in = !is_in;
    }
}

bool lsi_marks_read(lsi_marks *marks, uint64_t from, const unsigned char *bytes, size_t size, bool *is_bad)
{
    uint64_t begin = from;
    bool is_in = false;

    *is_bad = true;
    for (size_t i = 0; i < size;) {
        uint64_t n = 0;
        unsigned shift = 0;
        bool goes_on = true;

        for (; i < size && goes_on; shift += 7) {
            if (shift > 28)
                return true;
            n |= (uint64_t)(bytes[i] & 0x7f) << shift;
            goes_on = (bytes[i++] & 0x80) != 0;
        }
        if (goes_on || n > SPAN_MAX - (from - begin) || (n == 0 && (is_in || from != begin)))
            return true;
        if (is_in && !lsi_marks_add(marks, from, from + n)) {
            *is_bad = false;
            return false;
        }
        from += n;
        is_in = !is_in;
    }
    *is_bad = size != 0 && is_in; /* The last run is of those that are in it. */
    return true;
}
