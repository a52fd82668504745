/* Kinesis's sequence number: a 56-digit decimal text that carries shard, counter and two times.
 *
 * It is one number of 188 bits, here 47 hexadecimal digits from the left:
 *
 *     DIGITS  BITS     FIELD
 *     0       184-187  2
 *     1-9     148-183  second in which the shard was created
 *     10      144-147  low 4 bits of the shard's index
 *     11-26   80-143   counter: our ls_seqno; the top bit is zero
 *     27-28   72-79    0
 *     29-37   36-71    second of the record
 *     38-45   4-35     shard's index
 *     46      0-3      2, the version
 *
 * So 2^185 <= n < 1.5 * 2^185, which always prints as 56 digits. The counter stands above the record's time: order
 * within a shard is the counter's alone, whatever the clock does. Every field is written and read at its place, so the
 * codec needs no table of numbers, and what formats here parses to the same fields.
 *
 * Reading is strict: each fixed digit, the repeated bits of the index and the ranges are checked, since these texts
 * come back from clients. Older layouts of the service are "not of this form". */
#include "stream/stream.h"

#include <assert.h>
#include <string.h>

#include "base/status.h"

#define DIGITS (LSI_SEQNO56_BYTES - 1)
#define LIMBS 6 /* of 32 bits, the lowest first: 192 bits */

#define CREATED_SECONDS_END INT64_C(16025175000) /* the service refuses shards from this second on */
#define RECORD_SECONDS_MAX INT64_C(0xfffffffff)  /* 36 bits */

/* Writes `count` bits of `value` at bit `at`; the place is zero before. */
static void set_bits(uint32_t limbs[LIMBS], unsigned at, unsigned count, uint64_t value)
{
    for (unsigned i = 0; i < count; i++)
        if (value >> i & 1)
            limbs[(at + i) / 32] |= UINT32_C(1) << (at + i) % 32;
}

static uint64_t get_bits(const uint32_t limbs[LIMBS], unsigned at, unsigned count)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < count; i++)
        value |= (uint64_t)(limbs[(at + i) / 32] >> (at + i) % 32 & 1) << i;
    return value;
}

/* A clock may say anything; a time that the form cannot hold becomes the nearest that it can. */
static uint64_t clamp_seconds(int64_t seconds, int64_t max)
{
    return (uint64_t)(seconds < 0 ? 0 : seconds > max ? max : seconds);
}

void lsi_seqno56_format(const lsi_seqno56 *from, char text[LSI_SEQNO56_BYTES])
{
    uint32_t limbs[LIMBS] = {0};

    assert(from->counter <= LS_SEQNO_END);
    set_bits(limbs, 184, 4, 2);
    set_bits(limbs, 148, 36, clamp_seconds(from->created_seconds, CREATED_SECONDS_END - 1));
    set_bits(limbs, 144, 4, from->shard & 15);
    set_bits(limbs, 80, 64, from->counter);
    set_bits(limbs, 36, 36, clamp_seconds(from->record_seconds, RECORD_SECONDS_MAX));
    set_bits(limbs, 4, 32, from->shard);
    set_bits(limbs, 0, 4, 2);

    /* Nine decimal digits per division, from the right. */
    for (size_t end = DIGITS; end > 0;) {
        uint64_t rest = 0;

        for (size_t i = LIMBS; i-- > 0;) {
            uint64_t part = rest << 32 | limbs[i];

            limbs[i] = (uint32_t)(part / 1000000000u);
            rest = part % 1000000000u;
        }
        for (int i = 0; i < 9 && end > 0; i++) {
            text[--end] = (char)('0' + rest % 10);
            rest /= 10;
        }
    }
    text[DIGITS] = '\0';
}

static ls_status refuse(const char *text)
{
    return lsi_fail(LS_ERR_INVALID_ARGUMENT, "'%.60s' is not a sequence number of 56 digits", text);
}

ls_status lsi_seqno56_parse(const char *text, lsi_seqno56 *out)
{
    uint32_t limbs[LIMBS] = {0};
    lsi_seqno56 found;

    if (text == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "sequence number is NULL");
    if (strnlen(text, DIGITS + 1) != DIGITS || text[0] == '0')
        return refuse(text);
    for (size_t i = 0; i < DIGITS; i++) {
        uint64_t carry = (uint64_t)(unsigned char)text[i] - '0';

        if (carry > 9)
            return refuse(text);
        for (size_t k = 0; k < LIMBS; k++) {
            uint64_t part = (uint64_t)limbs[k] * 10 + carry;

            limbs[k] = (uint32_t)part;
            carry = part >> 32;
        }
        /* 10^56 < 2^187: 192 bits always hold it, no carry is lost. */
    }
    found = (lsi_seqno56){
        .counter = get_bits(limbs, 80, 64),
        .shard = (uint32_t)get_bits(limbs, 4, 32),
        .created_seconds = (int64_t)get_bits(limbs, 148, 36),
        .record_seconds = (int64_t)get_bits(limbs, 36, 36),
    };
    if (get_bits(limbs, 184, 8) != 2 || get_bits(limbs, 0, 4) != 2 || get_bits(limbs, 72, 8) != 0 ||
        get_bits(limbs, 144, 4) != (found.shard & 15) || found.counter > LS_SEQNO_END ||
        found.created_seconds >= CREATED_SECONDS_END)
        return refuse(text);
    *out = found;
    return LS_OK;
}
