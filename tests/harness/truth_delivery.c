/* What a delivery owes: objects that are whole, stay, and are never others; each record in one of them. See truth.h.
 *
 * Who looks at the objects counts where each record is (`in`); what of it follows is said here. */
#include "harness/truth.h"

#include <stdio.h>
#include <string.h>

#define BROKEN(...) (snprintf(what, 256, __VA_ARGS__), false)

uint32_t truth_goes_to(const truth *of, uint32_t put)
{
    if (of->streams[of->puts[put - 1].stream].delivers != TRUTH_SORTED)
        return TRUTH_DATA;
    return put % 5 == 1 ? TRUTH_OBJECT_KINDS : put % 5 == 2 ? TRUTH_ERRORS : TRUTH_DATA;
}

bool truth_check_objects(const truth *of, uint32_t stream, bool (*found)(void *user, const object_fact *fact),
                         void *user, size_t at, bool power, char what[256])
{
    for (size_t i = 0; i < of->object_count; i++) {
        const object_fact *fact = &of->objects[i];

        if (fact->stream == stream && (power ? fact->durable_at : fact->seen_at) <= at && !found(user, fact))
            return BROKEN("K3: object '%.120s' is lost, or another one now", fact->name);
    }
    for (size_t i = 0; i < of->put_count; i++) {
        const put_fact *put = &of->puts[i];
        uint32_t number = (uint32_t)i + 1, to = truth_goes_to(of, number);

        if (put->stream != stream)
            continue;
        for (uint32_t kind = 0; kind < TRUTH_OBJECT_KINDS; kind++) {
            bool is_to_be = kind == to || (kind == TRUTH_SOURCE && of->streams[stream].delivers == TRUTH_SORTED);

            if (put->in[kind] > 1)
                return BROKEN("V2: put %u is in %u objects of kind %u", number, put->in[kind], kind);
            if (put->in[kind] != 0 && !is_to_be)
                return BROKEN("put %u is in an object of kind %u", number, kind);
            if (put->in[kind] != 0 && put->begun_at >= at)
                return BROKEN("put %u was delivered before it was begun", number);
            if (put->in[kind] != 0 && put->gone_at <= at)
                return BROKEN("D6: put %u was delivered, and is lost in the stream", number);
            if (put->in[kind] == 0 && is_to_be && put->delivered_at <= at)
                return BROKEN("K3: put %u was delivered, and is in no object of kind %u", number, kind);
        }
    }
    return true;
}

bool truth_check_delivered(const truth *of, uint32_t stream, char what[256])
{
    for (size_t i = 0; i < of->put_count; i++) {
        const put_fact *put = &of->puts[i];
        uint32_t number = (uint32_t)i + 1, to = truth_goes_to(of, number);
        bool is_missed = (to < TRUTH_OBJECT_KINDS && put->in[to] == 0) ||
                         (of->streams[stream].delivers == TRUTH_SORTED && put->in[TRUTH_SOURCE] == 0);

        if (put->stream != stream)
            continue;
        if (put->is_shown && is_missed)
            return BROKEN("V4: put %u was passed over", number);
        if (!put->is_shown && put->in[TRUTH_DATA] + put->in[TRUTH_ERRORS] + put->in[TRUTH_SOURCE] != 0)
            return BROKEN("D6: put %u was delivered, and is not in the stream", number);
    }
    return true;
}
