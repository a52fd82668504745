/* See truth.h. Small lists searched from end to end: a history has some dozens of puts. */
#include "harness/truth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define ROOM_FOR_ONE(array, count, capacity)                                           \
    do {                                                                               \
        if ((count) == (capacity)) {                                                   \
            (capacity) = (capacity) != 0 ? (capacity) * 2 : 16;                        \
            (array) = realloc((array), (capacity) * sizeof(*(array)));                 \
            if ((array) == NULL)                                                       \
                abort();                                                               \
        }                                                                              \
    } while (0)

static void *copy_of(const void *from, size_t bytes)
{
    void *made = malloc(bytes != 0 ? bytes : 1);

    if (made == NULL)
        abort();
    if (bytes > 0)
        memcpy(made, from, bytes);
    return made;
}

void truth_free(truth *of)
{
    for (size_t i = 0; i < of->seen_count; i++)
        free(of->seen[i].puts);
    free(of->puts);
    free(of->streams);
    free(of->seen);
    free(of->reshards);
    free(of->settings);
    free(of->results);
    free(of->objects);
    *of = (truth){0};
}

static size_t folded(size_t fact_at, size_t at)
{
    return fact_at <= at ? 0 : NEVER;
}

/* Of what begins at a place: one that is not before `at` did nothing yet. */
static size_t folded_begin(size_t begun_at, size_t at)
{
    return begun_at < at ? 0 : NEVER;
}

truth truth_after(const truth *of, size_t at)
{
    truth made = *of;

    made.puts = copy_of(of->puts, of->put_count * sizeof(*of->puts));
    made.put_capacity = of->put_count;
    made.streams = copy_of(of->streams, of->stream_count * sizeof(*of->streams));
    made.stream_capacity = of->stream_count;
    made.seen = copy_of(of->seen, of->seen_count * sizeof(*of->seen));
    made.seen_capacity = of->seen_count;
    made.seen_count = 0;
    made.reshards = copy_of(of->reshards, of->reshard_count * sizeof(*of->reshards));
    made.reshard_capacity = of->reshard_count;
    made.settings = copy_of(of->settings, of->setting_count * sizeof(*of->settings));
    made.setting_capacity = of->setting_count;
    made.results = copy_of(of->results, of->result_count * sizeof(*of->results));
    made.result_capacity = of->result_count;
    made.objects = copy_of(of->objects, of->object_count * sizeof(*of->objects));
    made.object_capacity = of->object_count;
    made.object_count = 0;
    for (size_t i = 0; i < of->object_count; i++) {
        object_fact object = of->objects[i];

        object.seen_at = object.durable_at = folded(object.durable_at, at);
        if (of->objects[i].seen_at <= at) /* Else there was none of that name. */
            made.objects[made.object_count++] = object;
    }
    for (size_t i = 0; i < made.result_count; i++)
        made.results[i].at = folded(of->results[i].at, at);
    for (size_t i = 0; i < made.put_count; i++) {
        put_fact *put = &made.puts[i];

        put->begun_at = folded_begin(put->begun_at, at);
        put->given_at = folded(put->given_at, at);
        put->acked_at = folded(put->durable_at, at); /* the others are as if they had never been answered */
        put->durable_at = folded(put->durable_at, at);
        put->gone_at = folded(put->gone_at, at);
        put->sealed_at = folded_begin(put->sealed_at, at);
        put->expired_at = folded_begin(put->expired_at, at);
        put->copied_at = folded(put->copied_at, at);
        put->delivered_at = folded(put->delivered_at, at);
        put->is_shown = false; /* Nobody has looked. */
    }
    for (size_t i = 0; i < made.stream_count; i++) {
        stream_fact *stream = &made.streams[i];

        stream->begun_at = folded_begin(stream->begun_at, at);
        stream->made_at = folded(stream->made_at, at);
        stream->gone_at = folded(stream->gone_at, at);
        stream->drop_begun_at = folded_begin(stream->drop_begun_at, at);
        stream->dropped_at = folded(stream->dropped_at, at);
        stream->mapped_at = folded(stream->mapped_at, at);
        stream->delivery_at = folded(stream->delivery_at, at);
    }
    for (size_t i = 0; i < made.reshard_count; i++) {
        reshard_fact *reshard = &made.reshards[i];

        reshard->begun_at = folded_begin(reshard->begun_at, at);
        reshard->made_at = folded(reshard->made_at, at);
        reshard->gone_at = folded(reshard->gone_at, at);
    }
    for (size_t i = 0; i < made.setting_count; i++) {
        setting_fact *setting = &made.settings[i];

        setting->begun_at = folded_begin(setting->begun_at, at);
        setting->made_at = folded(setting->made_at, at);
        setting->gone_at = folded(setting->gone_at, at);
        setting->copied_at = folded(setting->copied_at, at);
    }
    for (size_t i = 0; i < of->seen_count; i++)
        if (of->seen[i].at <= at && of->seen[i].stays) {
            seen_fact seen = of->seen[i];

            seen.at = 0;
            seen.puts = copy_of(seen.puts, seen.count * sizeof(*seen.puts));
            made.seen[made.seen_count++] = seen;
        }
    return made;
}

uint64_t truth_count(const truth *of, size_t at)
{
    uint64_t count = 0;

    for (size_t i = 0; i < of->put_count; i++) {
        const put_fact *put = &of->puts[i];

        count += (uint64_t)(put->begun_at < at) + (put->given_at <= at) + (put->durable_at <= at) +
                 (put->gone_at <= at) + (put->expired_at < at);
    }
    for (size_t i = 0; i < of->stream_count; i++) {
        const stream_fact *stream = &of->streams[i];

        count += (uint64_t)(stream->begun_at < at) + (stream->made_at <= at) + (stream->gone_at <= at) +
                 (stream->drop_begun_at < at) + (stream->dropped_at <= at) + (stream->mapped_at <= at) +
                 (stream->delivery_at <= at);
    }
    for (size_t i = 0; i < of->reshard_count; i++) {
        const reshard_fact *reshard = &of->reshards[i];

        count += (uint64_t)(reshard->begun_at < at) + (reshard->made_at <= at) + (reshard->gone_at <= at);
    }
    for (size_t i = 0; i < of->setting_count; i++) {
        const setting_fact *setting = &of->settings[i];

        count += (uint64_t)(setting->begun_at < at) + (setting->made_at <= at) + (setting->gone_at <= at);
    }
    for (size_t i = 0; i < of->seen_count; i++)
        count += of->seen[i].at <= at;
    for (size_t i = 0; i < of->result_count; i++)
        count += of->results[i].at <= at;
    for (size_t i = 0; i < of->object_count; i++)
        count += of->objects[i].durable_at <= at;
    return count;
}

/* ---- noting ---- */

uint32_t truth_put_begin(truth *of, uint32_t stream, uint32_t shard, uint32_t group, uint32_t bytes, size_t at)
{
    put_fact put = {.stream = stream,
                    .shard = shard,
                    .group = group,
                    .data_bytes = bytes < TRUTH_MARK_BYTES ? TRUTH_MARK_BYTES : bytes,
                    .begun_at = at,
                    .given_at = NEVER,
                    .acked_at = NEVER,
                    .durable_at = NEVER,
                    .gone_at = NEVER,
                    .sealed_at = NEVER,
                    .expired_at = NEVER,
                    .copied_at = NEVER,
                    .delivered_at = NEVER};

    ROOM_FOR_ONE(of->puts, of->put_count, of->put_capacity);
    of->puts[of->put_count++] = put;
    return (uint32_t)of->put_count;
}

uint32_t truth_stream_begin(truth *of, const char *name, uint32_t shard_count, size_t at)
{
    stream_fact stream = {.shard_count = shard_count,
                          .begun_at = at,
                          .made_at = NEVER,
                          .gone_at = NEVER,
                          .drop_begun_at = NEVER,
                          .dropped_at = NEVER,
                          .maps_to = (uint32_t)of->stream_count,
                          .mapped_at = NEVER,
                          .delivery_at = NEVER};

    (void)snprintf(stream.name, sizeof(stream.name), "%s", name);
    ROOM_FOR_ONE(of->streams, of->stream_count, of->stream_capacity);
    of->streams[of->stream_count] = stream;
    return (uint32_t)of->stream_count++;
}

void truth_result(truth *of, uint32_t stream, uint32_t window, uint64_t count, size_t at)
{
    ROOM_FOR_ONE(of->results, of->result_count, of->result_capacity);
    of->results[of->result_count++] = (result_fact){.stream = stream, .window = window, .count = count, .at = at};
}

bool truth_object(truth *of, uint32_t stream, const char *name, uint64_t content, bool is_durable, size_t at,
                  char what[256])
{
    object_fact *fact = NULL;

    for (size_t i = 0; i < of->object_count; i++)
        if (of->objects[i].stream == stream && strcmp(of->objects[i].name, name) == 0)
            fact = &of->objects[i];
    if (fact == NULL) {
        ROOM_FOR_ONE(of->objects, of->object_count, of->object_capacity);
        fact = &of->objects[of->object_count++];
        *fact = (object_fact){.stream = stream, .content = content, .seen_at = NEVER, .durable_at = NEVER};
        (void)snprintf(fact->name, sizeof(fact->name), "%s", name);
    }
    /* One that a crash took away was there to be seen: it comes again as what it was, but for the times in lines of
     * errors. */
    if (fact->seen_at == NEVER && strncmp(name, TRUTH_ERRORS_PREFIX, sizeof(TRUTH_ERRORS_PREFIX) - 1) == 0)
        fact->content = content;
    if (fact->content != content) {
        (void)snprintf(what, 256, "K2: object '%.150s' was another one before", name);
        return false;
    }
    fact->seen_at = fact->seen_at < at ? fact->seen_at : at;
    if (is_durable && fact->durable_at > at)
        fact->durable_at = at;
    return true;
}

uint32_t truth_reshard_begin(truth *of, uint32_t stream, uint64_t parents, size_t at)
{
    reshard_fact reshard = {.stream = stream, .parents = parents, .begun_at = at, .made_at = NEVER, .gone_at = NEVER};

    for (size_t i = 0; i < of->put_count; i++) {
        put_fact *put = &of->puts[i];

        if (put->stream == stream && (parents >> put->shard & 1) != 0 && put->acked_at != NEVER && put->sealed_at > at)
            put->sealed_at = at;
    }
    ROOM_FOR_ONE(of->reshards, of->reshard_count, of->reshard_capacity);
    of->reshards[of->reshard_count] = reshard;
    return (uint32_t)of->reshard_count++;
}

void truth_reshard_expect(truth *of, uint32_t stream, uint64_t parents, size_t at)
{
    reshard_fact reshard = {.stream = stream, .parents = parents, .begun_at = at, .made_at = NEVER, .gone_at = NEVER,
                            .is_maybe = true};

    for (size_t i = 0; i < of->reshard_count; i++)
        if (of->reshards[i].is_maybe && of->reshards[i].stream == stream && of->reshards[i].parents == parents &&
            of->reshards[i].begun_at != NEVER && of->reshards[i].gone_at == NEVER)
            return;
    ROOM_FOR_ONE(of->reshards, of->reshard_count, of->reshard_capacity);
    of->reshards[of->reshard_count++] = reshard;
}

void truth_seal(truth *of, uint32_t stream, size_t at)
{
    for (size_t i = 0; i < of->put_count; i++)
        if (of->puts[i].stream == stream && of->puts[i].acked_at != NEVER && of->puts[i].sealed_at > at)
            of->puts[i].sealed_at = at;
}

void truth_seen(truth *of, uint32_t stream, uint32_t shard, const shown *records, size_t count, bool stays, size_t at)
{
    seen_fact seen = {.stream = stream, .shard = shard, .at = at, .stays = stays, .count = (uint32_t)count};

    seen.puts = copy_of(NULL, 0);
    if (count > 0) {
        free(seen.puts);
        seen.puts = calloc(count, sizeof(*seen.puts));
        if (seen.puts == NULL)
            abort();
        for (size_t i = 0; i < count; i++)
            seen.puts[i] = records[i].put;
    }
    ROOM_FOR_ONE(of->seen, of->seen_count, of->seen_capacity);
    of->seen[of->seen_count++] = seen;
}

/* ---- records ---- */

uint32_t truth_begins(const truth *of, const void *bytes, size_t size)
{
    static unsigned char wanted[16u << 20];
    uint32_t put;

    if (size < TRUTH_MARK_BYTES || memcmp(bytes, TRUTH_MARK, 4) != 0)
        return 0;
    memcpy(&put, (const unsigned char *)bytes + 4, 4);
    if (put == 0 || put > of->put_count || of->puts[put - 1].data_bytes > size ||
        of->puts[put - 1].data_bytes > sizeof(wanted))
        return 0;
    truth_data(put, wanted, of->puts[put - 1].data_bytes);
    return memcmp(wanted, bytes, of->puts[put - 1].data_bytes) == 0 ? put : 0;
}

uint32_t truth_identify(const truth *of, const ls_record *record)
{
    char key[16];
    uint32_t put = truth_begins(of, record->data.data, record->data.size);

    if (put == 0 || of->puts[put - 1].data_bytes != record->data.size)
        return 0;
    if (record->partition_key.size != truth_key(put, key) ||
        memcmp(key, record->partition_key.data, record->partition_key.size) != 0)
        return 0;
    return put;
}

bool truth_is_in(uint32_t put, const unsigned char *bytes, size_t size)
{
    unsigned char mark[TRUTH_MARK_BYTES];

    truth_data(put, mark, sizeof(mark));
    return memmem(bytes, size, mark, sizeof(mark)) != NULL;
}

/* ---- what is owed ---- */

#define BROKEN(...) (snprintf(what, 256, __VA_ARGS__), false)

static bool has_expired(const truth *of, uint32_t put, size_t at)
{
    return of->puts[put - 1].expired_at < at;
}

static bool check_seen(const truth *of, const seen_fact *seen, const shown *records, size_t count, size_t at,
                       char what[256])
{
    size_t next = 0;
    uint32_t i = 0;

    /* A crash may bring back what was trimmed, and what was seen may have been trimmed since. */
    while (next < count && seen->count > 0 && records[next].put < seen->puts[0] &&
           has_expired(of, records[next].put, at))
        next++;
    while (i < seen->count && has_expired(of, seen->puts[i], at) &&
           (next >= count || records[next].put != seen->puts[i]))
        i++;
    for (; i < seen->count; i++, next++)
        if (next >= count || records[next].put != seen->puts[i])
            return BROKEN("D3: put %u was read once, as record %u of stream %u '%s' shard %u; now there is %s%u",
                          seen->puts[i], i, seen->stream, of->streams[seen->stream].name, seen->shard,
                          next < count ? "put " : "nothing, of ", next < count ? records[next].put : (uint32_t)count);
    return true;
}

static bool check_group(const truth *of, const shown *records, size_t count, size_t first, char what[256])
{
    uint32_t group = of->puts[first].group;
    size_t size = 0, found = 0;

    for (size_t i = 0; i < of->put_count; i++)
        size += of->puts[i].group == group;
    for (size_t i = 0; i < count; i++)
        found += of->puts[records[i].put - 1].group == group;
    if (found != 0 && found != size)
        return BROKEN("A1: %zu of the %zu records of atomic batch %u are there", found, size, group);
    return true;
}

bool truth_check(const truth *of, uint32_t stream, uint32_t shard, const shown *records, size_t count, size_t at,
                 bool power, char what[256])
{
    size_t next = 0;
    uint32_t missing = 0, group = 0;

    for (size_t i = 1; i < count; i++) {
        if (records[i].seqno <= records[i - 1].seqno)
            return BROKEN("O1: record %zu has number %llu, the one before %llu", i,
                          (unsigned long long)records[i].seqno, (unsigned long long)records[i - 1].seqno);
        if (records[i].arrival_us < records[i - 1].arrival_us)
            return BROKEN("E8: record %zu arrived before the one in front of it", i);
    }
    for (size_t i = 0; i < of->seen_count; i++) {
        const seen_fact *seen = &of->seen[i];

        if (seen->stream == stream && seen->shard == shard && seen->at <= at && (seen->stays || !power) &&
            !check_seen(of, seen, records, count, at, what))
            return false;
    }
    for (size_t i = 0; i < of->put_count; i++) {
        const put_fact *put = &of->puts[i];
        uint32_t number = (uint32_t)i + 1;

        if (put->stream != stream || put->shard != shard)
            continue;
        if (next < count && records[next].put == number) {
            if (put->begun_at >= at)
                return BROKEN("put %u is there before it was begun", number);
            if (put->gone_at <= at)
                return BROKEN("D7: put %u is there, although nothing of it was written or it had been lost", number);
            if (missing != 0)
                return BROKEN("D2: put %u is there, put %u before it is not", number, missing);
            if (put->seqno != 0 && put->seqno != records[next].seqno)
                return BROKEN("O1: put %u has number %llu and was told %llu", number,
                              (unsigned long long)records[next].seqno, (unsigned long long)put->seqno);
            next++;
        } else if (next > 0 || !has_expired(of, number, at)) {
            if ((power ? put->durable_at : put->acked_at) <= at)
                return BROKEN("D1: put %u (number %llu) is lost, %s", number, (unsigned long long)put->seqno,
                              power ? "which was durable" : "which was acknowledged");
            if (put->begun_at < at && put->gone_at > at && !put->is_unknown && missing == 0)
                missing = number;
        }
        if (put->group != 0 && put->group != group) {
            group = put->group;
            if (!check_group(of, records, count, i, what))
                return false;
        }
    }
    if (next != count) {
        const put_fact *put = &of->puts[records[next].put - 1];

        return BROKEN("O1: record %zu is put %u of stream %u shard %u, in stream %u shard %u", next, records[next].put,
                      put->stream, put->shard, stream, shard);
    }
    return true;
}

bool truth_check_closed(truth *of, uint32_t stream, uint64_t closed, size_t at, bool power, size_t now, char what[256])
{
    size_t since = at < now ? at : now; /* What is in a closed shard is durable. */
    uint64_t explained = 0;

    for (size_t i = 0; i < of->reshard_count; i++) {
        reshard_fact *reshard = &of->reshards[i];
        uint64_t found = reshard->parents & closed;

        if (reshard->stream != stream || reshard->begun_at >= at || reshard->gone_at <= at)
            continue;
        if (reshard->is_maybe && found != reshard->parents && reshard->made_at > at) {
            reshard->gone_at = power ? now : NEVER; /* It is expected again when the stream is used. */
            continue;
        }
        if (found != 0 && found != reshard->parents)
            return BROKEN("O4: of the shards %#llx, which were to be closed in one step, only %#llx are",
                          (unsigned long long)reshard->parents, (unsigned long long)found);
        if (found == 0 && reshard->made_at <= at)
            return BROKEN("D6: the shards %#llx are open, which were split or merged",
                          (unsigned long long)reshard->parents);
        explained |= found;
        if (found != 0)
            reshard->made_at = reshard->made_at < now ? reshard->made_at : now;
        else if (power) /* Else it may come yet, if that was left open. */
            reshard->gone_at = now;
    }
    if (closed != explained)
        return BROKEN("D7: the shards %#llx are closed, which nobody split or merged",
                      (unsigned long long)(closed & ~explained));
    for (size_t i = 0; i < of->put_count; i++) {
        put_fact *put = &of->puts[i];

        if (put->stream == stream && (closed >> put->shard & 1) != 0 && put->sealed_at < at && put->gone_at > at &&
            !put->is_unknown && put->durable_at > since) {
            put->acked_at = put->acked_at < since ? put->acked_at : since;
            put->durable_at = since;
        }
    }
    return true;
}

ls_seqno truth_highest(const truth *of, uint32_t stream, uint32_t shard, size_t at)
{
    ls_seqno highest = 0;

    for (size_t i = 0; i < of->put_count; i++) {
        const put_fact *put = &of->puts[i];

        if (put->stream == stream && put->shard == shard && put->given_at <= at && put->seqno > highest)
            highest = put->seqno;
    }
    return highest;
}
