/* What is worked on: transactions, checkpoints, handlers and windows, and what they owe each other. See truth.h.
 *
 * All is held together after everything was read: `is_shown` says of each put whether its record is there now. */
#include "harness/truth.h"

#include <stdio.h>

#define BROKEN(...) (snprintf(what, 256, __VA_ARGS__), false)

/* How many records of a transaction there are to be, and are. */
static uint32_t count_step(const truth *of, uint32_t step, uint32_t *found)
{
    uint32_t count = 0;

    *found = 0;
    for (size_t i = 0; i < of->put_count; i++)
        if (of->puts[i].step == step) {
            count++;
            *found += of->puts[i].is_shown;
        }
    return count;
}

static bool covers(const truth *of, uint32_t stream, uint32_t shard, uint64_t checkpoint)
{
    for (size_t i = 0; i < of->put_count; i++) {
        const put_fact *put = &of->puts[i];

        if (put->stream == stream && put->shard == shard && put->is_shown && put->seqno == checkpoint)
            return true;
    }
    return false;
}

/* A checkpoint that only transactions made, which are not there. */
static bool is_alone(const truth *of, const setting_fact *like, size_t at)
{
    for (size_t i = 0; i < of->setting_count; i++) {
        const setting_fact *fact = &of->settings[i];
        uint32_t found;

        if (fact->stream == like->stream && fact->setting == like->setting && fact->value == like->value &&
            fact->begun_at < at && (fact->step == 0 || count_step(of, fact->step, &found) == found))
            return false;
    }
    return true;
}

bool truth_check_work(const truth *of, uint32_t stream, const truth_shown_setting as_read[TRUTH_SETTINGS], size_t at,
                      char what[256])
{
    for (size_t i = 0; i < of->setting_count; i++) {
        const setting_fact *fact = &of->settings[i];
        uint64_t place = as_read[fact->setting].value;
        uint32_t count, found;

        if (fact->stream != stream || fact->step == 0 || fact->begun_at >= at)
            continue;
        count = count_step(of, fact->step, &found);
        if (found != 0 && found != count)
            return BROKEN("A1: %u of the %u records of transaction %u are there", found, count, fact->step);
        if (found != 0 && place < fact->value)
            return BROKEN("O5: the records of transaction %u are there, and its checkpoint %llu is not: it is %llu",
                          fact->step, (unsigned long long)fact->value, (unsigned long long)place);
        if (place == fact->value && is_alone(of, fact, at))
            return BROKEN("O5: the checkpoint %llu of transaction %u is there, and its records are not",
                          (unsigned long long)place, fact->step);
    }
    for (uint32_t shard = 0; shard < TRUTH_LEASES; shard++) {
        uint64_t place = as_read[TRUTH_LEASE + shard].value, pending = as_read[TRUTH_PENDING + shard].value;

        if (pending != 0 && (!covers(of, stream, shard, pending) || place > pending))
            return BROKEN("D6: a checkpoint of shard %u was prepared at %llu, and it is at %llu, or there is no such "
                          "record", shard, (unsigned long long)pending, (unsigned long long)place);
        if (place != 0 && place != TRUTH_LEASE_ENDED && !covers(of, stream, shard, place))
            return BROKEN("D6: the checkpoint of shard %u is %llu, and there is no such record", shard,
                          (unsigned long long)place);
    }
    return true;
}

bool truth_check_handled(const truth *of, uint32_t stream, char what[256])
{
    for (size_t i = 0; i < of->put_count; i++) {
        bool is_handled = of->puts[i].stream != stream || !of->puts[i].is_shown;

        for (size_t k = i + 1; k < of->put_count && !is_handled; k++)
            is_handled = of->puts[k].is_shown && of->puts[k].source == i + 1;
        if (!is_handled)
            return BROKEN("O5: put %zu was passed over: what its handler put is not there", i + 1);
    }
    return true;
}

bool truth_check_windows(const truth *of, uint32_t stream, uint32_t size, const uint64_t *rest, bool exact,
                         char what[256])
{
    uint64_t expected[TRUTH_WINDOWS] = {0}, last[TRUTH_WINDOWS] = {0};

    for (size_t i = 0; i < of->put_count; i++)
        if (of->puts[i].stream == stream && of->puts[i].is_shown && (i + 1) / size < TRUTH_WINDOWS)
            expected[(i + 1) / size]++;
    for (size_t i = 0; i < of->result_count; i++) {
        const result_fact *fact = &of->results[i];

        if (fact->stream != stream || fact->at == NEVER)
            continue;
        last[fact->window] = fact->count;
        if (exact && fact->count != expected[fact->window])
            return BROKEN("O5: window %u was said to have %llu records, and has %llu", fact->window,
                          (unsigned long long)fact->count, (unsigned long long)expected[fact->window]);
    }
    for (uint32_t i = 0; i < TRUTH_WINDOWS; i++)
        if ((rest[i] != 0 ? rest[i] : last[i]) != expected[i] && (rest[i] != 0 || expected[i] != 0))
            return BROKEN("O5: window %u has %llu records, and its result says %llu", i,
                          (unsigned long long)expected[i], (unsigned long long)(rest[i] != 0 ? rest[i] : last[i]));
    return true;
}
