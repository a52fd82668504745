/* One mutex and one condition around everything: this engine is for being right, not for being fast. Its own memory is
 * libc's, so that failing allocations hit the code under test only. */
#include "support/memory_engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "base/u128.h"

#define SHARDS_MAX 64
#define TRACE_BYTES 8192
#define SEQNO_STEP 10
#define RETENTION_HOURS 24
#define GROUPS_MAX 4
#define VALUES_MAX 256
#define TICKETS_MAX 64

typedef struct entry {
    ls_seqno seqno;
    int64_t arrival_us;
    char *key, *data;
    size_t key_size, data_size;
    bool has_hash;
    ls_hash_key hash;
} entry;

typedef struct shard {
    lsi_shard about;
    bool is_listed;
    entry *entries;
    size_t count, capacity;
    ls_seqno next_seqno;
    ls_seqno oldest; /* lower ones are trimmed */
} shard;

/* Of the state, in order of key. */
typedef struct value {
    char *key, *bytes;
    size_t key_size, size;
    uint64_t version;
} value;

typedef struct fault {
    uint32_t shard;
    ls_status status;
    uint32_t times;
    uint32_t accepted;
} fault;

typedef struct appender {
    lsi_appender base;
} appender;

typedef struct numbered_entry {
    ls_producer_id producer;
    uint64_t number;
    ls_seqno seqno;
    uint32_t shard;
    uint32_t sub_seqno, sub_count;
} numbered_entry;

typedef struct reader {
    lsi_reader base;
    ls_seqno next;
    ls_record *records;
} reader;

struct memory_engine {
    lsi_engine engine;
    lsi_engine_stream stream;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    sim_memory memory;
    ls_durability durability;
    uint32_t record_bytes_max;
    numbered_entry *numbers; /* of all numbered puts */
    size_t number_count;

    bool clock_stands;
    int64_t wall_us, monotonic_us, slept_us;

    ls_stream_mode mode;
    lsi_rates rates;
    lsi_cuts cuts;
    lsi_budget_word budgets[SHARDS_MAX][LSI_BUDGET_WORDS];
    lsi_budget_word leases[GROUPS_MAX][SHARDS_MAX][LSI_LEASE_WORDS];
    _Atomic bool are_leased[GROUPS_MAX][SHARDS_MAX];
    value values[VALUES_MAX];
    size_t value_count;
    uint64_t version, tickets, buried[TICKETS_MAX];
    size_t buried_count;
    uint64_t written[SHARDS_MAX];
    shard shards[SHARDS_MAX];
    uint32_t shard_count;
    uint64_t generation;
    bool is_hidden, is_deleted;
    uint64_t shown_generation;      /* while hidden */
    lsi_shard shown[SHARDS_MAX];
    uint32_t shown_count;

    uint32_t word; /* of the eventcount: one for all */
    uint32_t sleep_count;
    bool interrupts;
    void (*on_sleep)(void *user);
    void *on_sleep_user;
    void (*on_arm)(void *user);
    void *on_arm_user;

    fault faults[MEMORY_ENGINE_CALL_COUNT];
    char trace[TRACE_BYTES];
    uint32_t open_count;
};

/* ---- inside ---- */

static memory_engine *of_stream(lsi_engine_stream *stream)
{
    return (memory_engine *)(void *)stream->engine;
}

static void lock(memory_engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
}

static void unlock(memory_engine *engine)
{
    pthread_mutex_unlock(&engine->mutex);
}

static void wake_all(memory_engine *engine)
{
    engine->word++;
    pthread_cond_broadcast(&engine->changed);
}

static void broken(const char *what)
{
    fprintf(stderr, "memory_engine: %s\n", what);
    abort();
}

static void *must(void *p)
{
    if (p == NULL)
        broken("no memory");
    return p;
}

static int64_t wall_us(void *user)
{
    memory_engine *engine = user;
    int64_t now;

    lock(engine);
    now = engine->clock_stands ? engine->wall_us : lsi_wall_us(&lsi_clock_system);
    unlock(engine);
    return now;
}

static int64_t monotonic_us(void *user)
{
    memory_engine *engine = user;
    int64_t now;

    lock(engine);
    now = engine->clock_stands ? engine->monotonic_us : lsi_monotonic_us(&lsi_clock_system);
    unlock(engine);
    return now;
}

/* Whether this call fails; `fault` is set even when it does not. */
static bool is_to_fail(memory_engine *engine, memory_engine_call call, uint32_t index, ls_status *st, fault *met)
{
    fault *set = &engine->faults[call];

    *met = *set;
    if (set->times == 0 || (set->shard != LSI_NO_SHARD && set->shard != index))
        return false;
    set->times--;
    *st = lsi_fail(set->status, "memory engine: shard %u was told to fail", index);
    return true;
}

static void trace(memory_engine *engine, const char *text)
{
    if (strlen(engine->trace) + strlen(text) >= TRACE_BYTES)
        broken("the trace is full");
    strcat(engine->trace, text);
}

static shard *find(memory_engine *engine, uint32_t index)
{
    return !engine->is_deleted && index < engine->shard_count && engine->shards[index].is_listed
               ? &engine->shards[index] : NULL;
}

static ls_status no_shard(memory_engine *engine, uint32_t index)
{
    return engine->is_deleted ? lsi_fail(LS_ERR_NOT_FOUND, "stream 'memory' was deleted")
                              : lsi_fail(LS_ERR_NOT_FOUND, "stream 'memory' has no shard %u", index);
}

static char *copy(const void *bytes, size_t size)
{
    char *made = must(malloc(size + 1));

    if (size > 0)
        memcpy(made, bytes, size);
    made[size] = '\0';
    return made;
}

static void add(memory_engine *engine, shard *to, const ls_put_entry *from)
{
    entry *e;

    if (to->count == to->capacity) {
        to->capacity = to->capacity * 2 + 8;
        to->entries = must(realloc(to->entries, to->capacity * sizeof(*to->entries)));
    }
    e = &to->entries[to->count++];
    *e = (entry){
        .seqno = to->next_seqno++,
        .arrival_us = engine->clock_stands ? engine->wall_us : lsi_wall_us(&lsi_clock_system),
        .key = copy(from->partition_key.data, from->partition_key.size),
        .key_size = from->partition_key.size,
        .data = copy(from->data.data, from->data.size),
        .data_size = from->data.size,
        .has_hash = from->explicit_hash_key != NULL,
    };
    if (e->has_hash)
        e->hash = *from->explicit_hash_key;
}

/* ---- the table ---- */

static ls_status op_close(lsi_engine *engine)
{
    (void)engine;
    return LS_OK;
}

static ls_durability op_durability(const lsi_engine *engine)
{
    return ((const memory_engine *)(const void *)engine)->durability;
}

static ls_status op_info(lsi_engine_stream *stream, lsi_stream_info *out)
{
    memory_engine *engine = of_stream(stream);
    ls_status st = LS_OK;
    fault met;

    lock(engine);
    if (is_to_fail(engine, MEMORY_ENGINE_INFO, LSI_NO_SHARD, &st, &met)) {
        unlock(engine);
        return st;
    }
    if (engine->is_deleted) {
        unlock(engine);
        return no_shard(engine, 0);
    }
    *out = (lsi_stream_info){
        .memory = lsi_memory_libc,
        .name = "memory",
        .id = 7,
        .generation = engine->is_hidden ? engine->shown_generation : engine->generation,
        .created_us = 1000000,
        .retention_hours = RETENTION_HOURS,
        .mode = engine->mode,
        .rates = engine->rates,
        .cuts = engine->cuts,
        .record_bytes_max = engine->record_bytes_max,
    };
    out->shards = must(malloc(SHARDS_MAX * sizeof(*out->shards)));
    if (engine->is_hidden) {
        memcpy(out->shards, engine->shown, sizeof(engine->shown));
        out->shard_count = engine->shown_count;
    } else {
        for (uint32_t i = 0; i < engine->shard_count; i++)
            if (engine->shards[i].is_listed)
                out->shards[out->shard_count++] = engine->shards[i].about;
    }
    unlock(engine);
    return LS_OK;
}

static uint64_t op_generation(lsi_engine_stream *stream)
{
    memory_engine *engine = of_stream(stream);
    uint64_t generation;

    lock(engine);
    generation = engine->is_hidden ? engine->shown_generation : engine->generation;
    unlock(engine);
    return generation;
}

static ls_status op_shard_state(lsi_engine_stream *stream, uint32_t index, lsi_shard_state *out)
{
    memory_engine *engine = of_stream(stream);
    const shard *of;

    lock(engine);
    of = find(engine, index);
    if (of == NULL) {
        unlock(engine);
        return no_shard(engine, index);
    }
    *out = (lsi_shard_state){.health = LS_OK};
    for (size_t i = 0; i < of->count; i++) {
        if (of->entries[i].seqno < of->oldest)
            continue;
        if (out->oldest_seqno == 0)
            out->oldest_seqno = of->entries[i].seqno;
        out->latest_seqno = of->entries[i].seqno;
    }
    unlock(engine);
    return LS_OK;
}

static ls_status op_count_from(lsi_engine_stream *stream, uint32_t index, ls_seqno first, uint64_t *out)
{
    memory_engine *engine = of_stream(stream);
    const shard *of;

    *out = 0;
    lock(engine);
    of = find(engine, index);
    if (of == NULL) {
        unlock(engine);
        return no_shard(engine, index);
    }
    for (size_t i = 0; i < of->count; i++)
        *out += of->entries[i].seqno >= first && of->entries[i].seqno >= of->oldest;
    unlock(engine);
    return LS_OK;
}

static lsi_budget_word *op_budget(lsi_engine_stream *stream, uint32_t index)
{
    memory_engine *engine = of_stream(stream);

    return index < SHARDS_MAX ? engine->budgets[index] : NULL;
}

static lsi_engine_count *op_counts(lsi_engine_stream *stream, lsi_counts_kind kind, uint32_t number)
{
    (void)stream;
    (void)kind;
    (void)number;
    return NULL;
}

static ls_status op_appender_open(lsi_engine_stream *stream, lsi_appender **out)
{
    memory_engine *engine = of_stream(stream);
    appender *made = must(calloc(1, sizeof(*made)));

    made->base.stream = stream;
    lock(engine);
    engine->open_count++;
    unlock(engine);
    *out = &made->base;
    return LS_OK;
}

static void op_appender_close(lsi_appender *base)
{
    memory_engine *engine = of_stream(base->stream);

    lock(engine);
    engine->open_count--;
    unlock(engine);
    free(base);
}

static ls_status op_append(lsi_appender *base, uint32_t index, const lsi_append *batch, lsi_append_result *out)
{
    memory_engine *engine = of_stream(base->stream);
    ls_status st = LS_OK;
    char text[80];
    shard *to;
    fault met;

    *out = (lsi_append_result){0};
    lock(engine);
    snprintf(text, sizeof text, "append %u x%u%s; ", index, batch->count, batch->atomic ? " atomic" : "");
    trace(engine, text);
    to = find(engine, index);
    if (to == NULL) {
        unlock(engine);
        return no_shard(engine, index);
    }
    if (to->about.closed) {
        out->moved = true;
        unlock(engine);
        return LS_OK;
    }
    out->accepted = is_to_fail(engine, MEMORY_ENGINE_APPEND, index, &st, &met) ? met.accepted : batch->count;
    to->next_seqno += SEQNO_STEP;
    out->first_seqno = to->next_seqno;
    for (uint32_t i = 0; i < out->accepted; i++)
        add(engine, to, &batch->entries[batch->picks != NULL ? batch->picks[i] : i]);
    out->end = to->count;
    wake_all(engine);
    unlock(engine);
    return st;
}

/* As told to a producer once: the number is not new any more. */
static const numbered_entry *find_number(const memory_engine *engine, ls_producer_id producer, uint64_t number)
{
    for (size_t i = 0; i < engine->number_count; i++) {
        const numbered_entry *at = &engine->numbers[i];

        if (at->producer.high == producer.high && at->producer.low == producer.low && at->number == number)
            return at;
    }
    return NULL;
}

/* Records that have several numbers each: all of them are new, or nothing is written. */
static void append_together(memory_engine *engine, shard *to, uint32_t index, const lsi_append *batch,
                            lsi_numbered *numbered, lsi_append_result *out)
{
    const uint64_t *numbers = numbered->options->numbers;
    uint32_t count = 0;

    for (uint32_t i = 0; i < batch->count; i++)
        count += numbered->users[i];
    for (uint32_t k = 0; k < count; k++)
        numbered->fresh += find_number(engine, numbered->options->producer, numbers[k]) == NULL;
    if (numbered->fresh < count)
        return;
    out->accepted = batch->count;
    out->first_seqno = to->next_seqno;
    engine->numbers = must(realloc(engine->numbers, (engine->number_count + count) * sizeof *engine->numbers));
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t users = numbered->users[i];

        for (uint32_t k = 0; k < users; k++)
            engine->numbers[engine->number_count++] = (numbered_entry){
                numbered->options->producer, *numbers++, to->next_seqno, index, k, users > 1 ? users : 0};
        add(engine, to, &batch->entries[i]);
    }
}

static ls_status op_append_numbered(lsi_appender *base, uint32_t index, const lsi_append *batch,
                                    lsi_numbered *numbered, lsi_append_result *out)
{
    memory_engine *engine = of_stream(base->stream);
    const ls_put_options *options = numbered->options;
    ls_status st = LS_OK;
    char text[80];
    shard *to;
    fault met;

    *out = (lsi_append_result){0};
    numbered->fresh = 0;
    lock(engine);
    snprintf(text, sizeof text, "%s %u x%u; ", numbered->look_only ? "look" : "numbered", index, batch->count);
    trace(engine, text);
    to = find(engine, index);
    if (to == NULL || to->about.closed) {
        out->moved = to != NULL;
        unlock(engine);
        return to == NULL ? no_shard(engine, index) : LS_OK;
    }
    if (!numbered->look_only && is_to_fail(engine, MEMORY_ENGINE_APPEND, index, &st, &met)) {
        unlock(engine);
        return st;
    }
    if (numbered->users != NULL) {
        append_together(engine, to, index, batch, numbered, out);
        out->end = to->count;
        wake_all(engine);
        unlock(engine);
        return LS_OK;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t pick = batch->picks != NULL ? batch->picks[i] : i;
        uint64_t number = options->numbers != NULL ? options->numbers[pick] : options->number + pick;
        const numbered_entry *known = find_number(engine, options->producer, number);

        if (known != NULL) {
            numbered->told[pick] = (ls_put_result){known->seqno, known->shard, LS_ERR_EXISTS};
            if (numbered->sub_counts != NULL) {
                numbered->sub_seqnos[pick] = known->sub_seqno;
                numbered->sub_counts[pick] = known->sub_count;
            }
            continue;
        }
        numbered->fresh++;
        numbered->told[pick] = (ls_put_result){LS_SEQNO_NONE, index, LS_ERR_NOT_FOUND};
        if (numbered->look_only)
            continue;
        numbered->told[pick] = (ls_put_result){to->next_seqno, index, LS_OK};
        engine->numbers = must(realloc(engine->numbers, (engine->number_count + 1) * sizeof *engine->numbers));
        engine->numbers[engine->number_count++] =
            (numbered_entry){options->producer, number, to->next_seqno, index, 0, 0};
        add(engine, to, &batch->entries[pick]);
    }
    out->accepted = batch->count;
    out->end = to->count;
    wake_all(engine);
    unlock(engine);
    return st;
}

static ls_status op_commit(lsi_appender *base, uint32_t index, uint64_t end, ls_durability durability)
{
    static const char *const names[] = {"", " KERNEL", " INTERVAL", " SYNC"};
    memory_engine *engine = of_stream(base->stream);
    ls_status st = LS_OK;
    char text[80];
    fault met;

    lock(engine);
    if (index >= engine->shard_count || end == 0 || end > engine->shards[index].count)
        broken("commit of what was never appended");
    snprintf(text, sizeof text, "commit %u%s; ", index, names[durability]);
    trace(engine, text);
    (void)is_to_fail(engine, MEMORY_ENGINE_COMMIT, index, &st, &met);
    unlock(engine);
    return st;
}

static ls_status op_reader_open(lsi_engine_stream *stream, uint32_t index, uint32_t flags, lsi_reader **out)
{
    memory_engine *engine = of_stream(stream);
    reader *made;

    (void)flags; /* hints */
    lock(engine);
    if (find(engine, index) == NULL) {
        unlock(engine);
        return no_shard(engine, index);
    }
    made = must(calloc(1, sizeof(*made)));
    made->base.stream = stream;
    made->base.shard = index;
    made->next = 1;
    engine->open_count++;
    unlock(engine);
    *out = &made->base;
    return LS_OK;
}

static void op_reader_close(lsi_reader *base)
{
    memory_engine *engine = of_stream(base->stream);
    reader *r = (reader *)(void *)base;

    lock(engine);
    engine->open_count--;
    unlock(engine);
    free(r->records);
    free(r);
}

static ls_status op_seek(lsi_reader *base, const ls_position *position)
{
    memory_engine *engine = of_stream(base->stream);
    reader *r = (reader *)(void *)base;
    ls_status st = LS_OK;
    const shard *of;
    fault met;

    lock(engine);
    of = find(engine, base->shard);
    if (of == NULL) {
        unlock(engine);
        return no_shard(engine, base->shard);
    }
    if (is_to_fail(engine, MEMORY_ENGINE_SEEK, base->shard, &st, &met)) {
        unlock(engine);
        return st;
    }
    switch (position->kind) {
    case LS_TRIM_HORIZON:
        r->next = of->oldest > of->about.first_seqno ? of->oldest : of->about.first_seqno;
        break;
    case LS_LATEST:
        r->next = of->next_seqno;
        break;
    case LS_AT_SEQUENCE_NUMBER:
        r->next = position->seqno;
        break;
    case LS_AFTER_SEQUENCE_NUMBER:
        r->next = position->seqno + 1;
        break;
    case LS_AT_TIMESTAMP:
        r->next = of->next_seqno;
        for (size_t i = of->count; i-- > 0;)
            if (of->entries[i].arrival_us >= position->timestamp_us)
                r->next = of->entries[i].seqno;
        break;
    default:
        broken("seek to an unknown kind");
    }
    unlock(engine);
    return LS_OK;
}

static ls_status op_read(lsi_reader *base, uint32_t records_max, uint64_t bytes_max, lsi_read *out)
{
    memory_engine *engine = of_stream(base->stream);
    reader *r = (reader *)(void *)base;
    uint64_t bytes = 0;
    ls_status st = LS_OK;
    const shard *of;
    size_t at = 0;
    fault met;

    lock(engine);
    of = find(engine, base->shard);
    if (of == NULL) {
        unlock(engine);
        return no_shard(engine, base->shard);
    }
    if (is_to_fail(engine, MEMORY_ENGINE_READ, base->shard, &st, &met)) {
        unlock(engine);
        return st;
    }
    if (r->next < of->oldest && of->count > 0 && of->entries[0].seqno < of->oldest) {
        out->cut.records = of->oldest - r->next;
        r->next = of->oldest;
        unlock(engine);
        return lsi_fail(LS_ERR_TRIMMED, "shard %u: the oldest record is now %llu", base->shard,
                        (unsigned long long)of->oldest);
    }
    free(r->records); /* a view that outlives its call is found by the sanitizers */
    r->records = must(malloc((of->count + 1) * sizeof(*r->records)));
    *out = (lsi_read){.records = r->records};
    while (at < of->count && of->entries[at].seqno < r->next)
        at++;
    for (; at < of->count && out->count < records_max; at++) {
        const entry *e = &of->entries[at];

        if (out->count > 0 && bytes + e->key_size + e->data_size > bytes_max)
            break;
        bytes += e->key_size + e->data_size;
        r->records[out->count++] = (ls_record){
            .partition_key = {e->key, e->key_size},
            .data = {e->data, e->data_size},
            .seqno = e->seqno,
            .arrival_us = e->arrival_us,
            .explicit_hash_key = e->hash,
            .shard = base->shard,
            .flags = e->has_hash ? LS_RECORD_EXPLICIT_HASH_KEY : 0,
        };
        r->next = e->seqno + 1;
    }
    out->at_tip = at == of->count;
    out->shard_end = out->at_tip && of->about.closed;
    unlock(engine);
    return LS_OK;
}

static void op_count_cut(lsi_engine_stream *stream, const lsi_consumer *consumer, const lsi_cut *cut)
{
    memory_engine *engine = of_stream(stream);

    (void)consumer; /* It has none. */
    lock(engine);
    engine->cuts.count++;
    engine->cuts.sum.records += cut->records;
    unlock(engine);
}

static ls_seqno op_place(const lsi_reader *base)
{
    return ((const reader *)(const void *)base)->next;
}

static uint32_t op_arm(lsi_engine_stream *stream, uint32_t index)
{
    memory_engine *engine = of_stream(stream);
    void (*hook)(void *user);
    void *hook_user;
    uint32_t token;

    (void)index; /* One word for all: who sleeps on a shard is woken needlessly, which is allowed. */
    lock(engine);
    hook = engine->on_arm;
    hook_user = engine->on_arm_user;
    unlock(engine);
    if (hook != NULL)
        hook(hook_user);
    lock(engine);
    token = engine->word;
    unlock(engine);
    return token;
}

static lsi_sleep_result op_sleep(lsi_engine_stream *stream, uint32_t index, uint32_t token, int64_t timeout_us)
{
    memory_engine *engine = of_stream(stream);
    lsi_sleep_result result = LSI_WOKEN;
    struct timespec until;
    void (*hook)(void *user);
    void *hook_user;

    (void)index;
    lock(engine);
    hook = engine->on_sleep;
    hook_user = engine->on_sleep_user;
    engine->sleep_count++;
    unlock(engine);
    if (hook != NULL)
        hook(hook_user);
    lock(engine);
    if (engine->interrupts) {
        engine->interrupts = false;
        unlock(engine);
        return LSI_INTERRUPTED;
    }
    if (engine->word == token && engine->clock_stands) {
        engine->wall_us += timeout_us;
        engine->monotonic_us += timeout_us;
        engine->slept_us += timeout_us;
        result = LSI_SLEPT_OUT;
    } else if (engine->word == token) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += timeout_us / 1000000;
        until.tv_nsec += (timeout_us % 1000000) * 1000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        while (engine->word == token && result == LSI_WOKEN)
            if (pthread_cond_timedwait(&engine->changed, &engine->mutex, &until) != 0)
                result = LSI_SLEPT_OUT;
    }
    unlock(engine);
    return result;
}

static void op_wake(lsi_engine_stream *stream, uint32_t index)
{
    memory_engine *engine = of_stream(stream);

    (void)index;
    lock(engine);
    wake_all(engine);
    unlock(engine);
}

/* ---- state and leases ---- */

static int compare_keys(const value *a, ls_bytes b)
{
    size_t least = a->key_size < b.size ? a->key_size : b.size;
    int order = memcmp(a->key, b.data, least);

    return order != 0 ? order : (a->key_size > b.size) - (a->key_size < b.size);
}

static size_t find_value(const memory_engine *engine, ls_bytes key)
{
    size_t at = 0;

    while (at < engine->value_count && compare_keys(&engine->values[at], key) < 0)
        at++;
    return at;
}

static bool has_value(const memory_engine *engine, size_t at, ls_bytes key)
{
    return at < engine->value_count && compare_keys(&engine->values[at], key) == 0;
}

static ls_status op_state_read(lsi_engine_stream *stream, ls_bytes prefix,
                               bool (*each)(void *user, const lsi_state_entry *entry), void *user)
{
    memory_engine *engine = of_stream(stream);
    ls_status st;
    fault met;

    lock(engine);
    if (is_to_fail(engine, MEMORY_ENGINE_STATE_READ, LSI_NO_SHARD, &st, &met)) {
        unlock(engine);
        return st;
    }
    for (size_t i = find_value(engine, prefix); i < engine->value_count; i++) {
        const value *at = &engine->values[i];
        lsi_state_entry found = {{at->key, at->key_size}, at->version, {at->bytes, at->size}};

        if (at->key_size < prefix.size || memcmp(at->key, prefix.data, prefix.size) != 0 || !each(user, &found))
            break;
    }
    unlock(engine);
    return LS_OK;
}

static char *copy_bytes(ls_bytes from)
{
    char *to = must(malloc(from.size + 1));

    memcpy(to, from.data, from.size);
    return to;
}

static void set_value(memory_engine *engine, lsi_state_change *change)
{
    size_t at = find_value(engine, change->key);

    if (has_value(engine, at, change->key)) {
        free(engine->values[at].key);
        free(engine->values[at].bytes);
        memmove(&engine->values[at], &engine->values[at + 1], (--engine->value_count - at) * sizeof(value));
    }
    change->version = LSI_STATE_NONE;
    if (change->value.size == 0)
        return;
    if (engine->value_count == VALUES_MAX)
        broken("too many values");
    memmove(&engine->values[at + 1], &engine->values[at], (engine->value_count++ - at) * sizeof(value));
    change->version = ++engine->version;
    engine->values[at] = (value){copy_bytes(change->key), copy_bytes(change->value), change->key.size,
                                 change->value.size, change->version};
}

/* A fault that accepts: the change is made, and its answer is lost. */
static ls_status op_state_write(lsi_engine_stream *stream, lsi_state_change *changes, uint32_t count,
                                uint32_t *conflict)
{
    memory_engine *engine = of_stream(stream);
    ls_status st = LS_OK;
    fault met = {0};
    uint32_t i = 0;

    lock(engine);
    if (is_to_fail(engine, MEMORY_ENGINE_STATE_WRITE, LSI_NO_SHARD, &st, &met) && met.accepted == 0) {
        unlock(engine);
        return st;
    }
    for (; i < count; i++) {
        size_t at = find_value(engine, changes[i].key);
        uint64_t version = has_value(engine, at, changes[i].key) ? engine->values[at].version : LSI_STATE_NONE;

        if (changes[i].expected != LSI_STATE_ANY && changes[i].expected != version)
            break;
    }
    *conflict = i;
    for (uint32_t k = 0; i == count && k < count; k++)
        set_value(engine, &changes[k]);
    if (i == count)
        wake_all(engine);
    unlock(engine);
    return st;
}

static ls_status op_lease_words(lsi_engine_stream *stream, uint32_t group, uint32_t index, lsi_budget_word **out)
{
    memory_engine *engine = of_stream(stream);

    if (group >= GROUPS_MAX || index >= SHARDS_MAX)
        broken("too many groups or shards");
    engine->are_leased[group][index] = true;
    *out = engine->leases[group][index];
    return LS_OK;
}

static const lsi_budget_word *op_find_lease_words(lsi_engine_stream *stream, uint32_t group, uint32_t index)
{
    memory_engine *engine = of_stream(stream);

    return group < GROUPS_MAX && index < SHARDS_MAX && engine->are_leased[group][index] ? engine->leases[group][index]
                                                                                       : NULL;
}

static uint64_t op_ticket(lsi_engine *base)
{
    memory_engine *engine = (memory_engine *)(void *)base;
    uint64_t ticket;

    lock(engine);
    ticket = ++engine->tickets;
    unlock(engine);
    return ticket;
}

static bool op_ticket_is_gone(lsi_engine *base, uint64_t ticket)
{
    memory_engine *engine = (memory_engine *)(void *)base;
    bool is_gone = false;

    lock(engine);
    for (size_t i = 0; i < engine->buried_count; i++)
        is_gone = is_gone || engine->buried[i] == ticket;
    unlock(engine);
    return is_gone;
}

static ls_status op_sync_shard(lsi_engine_stream *stream, uint32_t index)
{
    (void)stream;
    (void)index;
    return LS_OK;
}

static uint64_t op_written(lsi_engine_stream *stream, uint32_t index)
{
    memory_engine *engine = of_stream(stream);
    uint64_t written;

    lock(engine);
    written = index < SHARDS_MAX ? engine->written[index] : 0;
    unlock(engine);
    return written;
}

static const lsi_engine_ops table = {
    .state_read = op_state_read,
    .state_write = op_state_write,
    .lease_words = op_lease_words,
    .find_lease_words = op_find_lease_words,
    .ticket = op_ticket,
    .ticket_is_gone = op_ticket_is_gone,
    .sync_shard = op_sync_shard,
    .written = op_written,
    .close = op_close,
    .durability = op_durability,
    .info = op_info,
    .generation = op_generation,
    .shard_state = op_shard_state,
    .count_from = op_count_from,
    .counts = op_counts,
    .budget = op_budget,
    .appender_open = op_appender_open,
    .appender_close = op_appender_close,
    .append = op_append,
    .append_numbered = op_append_numbered,
    .commit = op_commit,
    .reader_open = op_reader_open,
    .reader_close = op_reader_close,
    .seek = op_seek,
    .read = op_read,
    .count_cut = op_count_cut,
    .place = op_place,
    .arm = op_arm,
    .sleep = op_sleep,
    .sleep_guarded = op_sleep,
    .wake = op_wake,
};

/* ---- the tests' side ---- */

void memory_engine_bury(memory_engine *engine, uint64_t ticket)
{
    lock(engine);
    if (engine->buried_count == TICKETS_MAX)
        broken("too many tickets");
    engine->buried[engine->buried_count++] = ticket;
    unlock(engine);
}

uint64_t memory_engine_tickets(memory_engine *engine)
{
    return engine->tickets;
}

void memory_engine_write(memory_engine *engine, uint32_t index, uint64_t bytes)
{
    lock(engine);
    engine->written[index] += bytes;
    unlock(engine);
}

static void add_shard(memory_engine *engine, lsi_hash_range range, uint32_t parent, uint32_t adjacent,
                      ls_seqno first_seqno)
{
    uint32_t index = engine->shard_count++;

    if (index >= SHARDS_MAX)
        broken("too many shards");
    engine->shards[index] = (shard){
        .about = {.index = index, .parent = parent, .adjacent_parent = adjacent, .range = range,
                  .first_seqno = first_seqno},
        .is_listed = true,
        .next_seqno = first_seqno,
    };
}

memory_engine *memory_engine_new(uint32_t shard_count, ls_durability durability)
{
    memory_engine *engine = must(calloc(1, sizeof(*engine)));
    pthread_condattr_t about;

    engine->memory = (sim_memory)SIM_MEMORY_INIT;
    engine->engine.ops = &table;
    lsi_env_default(&engine->engine.env);
    engine->engine.env.memory = sim_memory_table(&engine->memory);
    engine->engine.env.clock = (lsi_clock){wall_us, monotonic_us, engine};
    engine->stream.engine = &engine->engine;
    engine->stream.name = "memory";
    pthread_mutex_init(&engine->mutex, NULL);
    pthread_condattr_init(&about);
    pthread_condattr_setclock(&about, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->changed, &about);
    pthread_condattr_destroy(&about);
    engine->durability = durability;
    engine->record_bytes_max = LSI_RECORD_BYTES_DEFAULT;
    engine->generation = 1;
    for (uint32_t i = 0; i < shard_count; i++)
        add_shard(engine, lsi_hash_range_of(i, shard_count), LSI_NO_SHARD, LSI_NO_SHARD, 1);
    return engine;
}

void memory_engine_free(memory_engine *engine)
{
    if (engine->open_count != 0)
        broken("appenders or readers were not closed");
    if (engine->memory.live != 0)
        broken("memory was not freed");
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        for (size_t k = 0; k < engine->shards[i].count; k++) {
            free(engine->shards[i].entries[k].key);
            free(engine->shards[i].entries[k].data);
        }
        free(engine->shards[i].entries);
    }
    for (size_t i = 0; i < engine->value_count; i++) {
        free(engine->values[i].key);
        free(engine->values[i].bytes);
    }
    free(engine->numbers);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->mutex);
    free(engine);
}

lsi_engine_stream *memory_engine_stream(memory_engine *engine)
{
    return &engine->stream;
}

sim_memory *memory_engine_memory(memory_engine *engine)
{
    return &engine->memory;
}

void memory_engine_set_read_only(memory_engine *engine)
{
    engine->engine.read_only = true;
}

void memory_engine_set_record_bytes_max(memory_engine *engine, uint32_t bytes)
{
    lock(engine);
    engine->record_bytes_max = bytes;
    engine->generation++;
    unlock(engine);
}

void memory_engine_set_rates(memory_engine *engine, ls_stream_mode mode, lsi_rates rates)
{
    lock(engine);
    engine->mode = mode;
    engine->rates = rates;
    engine->generation++;
    unlock(engine);
}

void memory_engine_set_faults(memory_engine *engine, lsi_faults faults)
{
    engine->engine.faults = faults;
}

void memory_engine_set_busy_timeout(memory_engine *engine, uint32_t ms)
{
    engine->engine.env.busy_timeout_ms = ms;
}

void memory_engine_stop_clock(memory_engine *engine, int64_t wall)
{
    lock(engine);
    engine->clock_stands = true;
    engine->wall_us = wall;
    engine->monotonic_us = 1000000;
    unlock(engine);
}

void memory_engine_advance(memory_engine *engine, int64_t us)
{
    lock(engine);
    engine->wall_us += us;
    engine->monotonic_us += us;
    unlock(engine);
}

int64_t memory_engine_slept_us(memory_engine *engine)
{
    int64_t us;

    lock(engine);
    us = engine->slept_us;
    unlock(engine);
    return us;
}

static ls_seqno append_one(memory_engine *engine, uint32_t index, const char *key, const char *data, bool wakes)
{
    const ls_put_entry one = {{key, strlen(key)}, {data, strlen(data)}, NULL};
    ls_seqno seqno;

    lock(engine);
    if (index >= engine->shard_count || engine->shards[index].about.closed)
        broken("append to a shard that takes none");
    engine->shards[index].next_seqno += SEQNO_STEP;
    seqno = engine->shards[index].next_seqno;
    add(engine, &engine->shards[index], &one);
    if (wakes)
        wake_all(engine);
    unlock(engine);
    return seqno;
}

ls_seqno memory_engine_append(memory_engine *engine, uint32_t index, const char *key, const char *data)
{
    return append_one(engine, index, key, data, true);
}

ls_seqno memory_engine_append_silently(memory_engine *engine, uint32_t index, const char *key, const char *data)
{
    return append_one(engine, index, key, data, false);
}

static void close_shard(memory_engine *engine, uint32_t index)
{
    engine->shards[index].about.closed = true;
    engine->shards[index].about.closed_us = engine->clock_stands ? engine->wall_us : lsi_wall_us(&lsi_clock_system);
}

uint32_t memory_engine_split(memory_engine *engine, uint32_t index)
{
    shard *parent = &engine->shards[index];
    lsi_hash_range low, high;
    uint32_t first;

    lock(engine);
    low = high = parent->about.range;
    /* The middle of the top word is fine enough for tests. */
    low.last = (ls_hash_key){low.first.high + (high.last.high - low.first.high) / 2, UINT64_MAX};
    high.first = lsi_u128_add(low.last, (ls_hash_key){0, 1});
    close_shard(engine, index);
    first = engine->shard_count;
    add_shard(engine, low, index, LSI_NO_SHARD, parent->next_seqno + 1000);
    add_shard(engine, high, index, LSI_NO_SHARD, parent->next_seqno + 1000);
    engine->generation++;
    wake_all(engine);
    unlock(engine);
    return first;
}

uint32_t memory_engine_merge(memory_engine *engine, uint32_t a, uint32_t b)
{
    lsi_hash_range range = {engine->shards[a].about.range.first, engine->shards[b].about.range.last};
    ls_seqno next = engine->shards[a].next_seqno;
    uint32_t child;

    lock(engine);
    if (engine->shards[b].next_seqno > next)
        next = engine->shards[b].next_seqno;
    close_shard(engine, a);
    close_shard(engine, b);
    child = engine->shard_count;
    add_shard(engine, range, a, b, next + 1000);
    engine->generation++;
    wake_all(engine);
    unlock(engine);
    return child;
}

void memory_engine_hide_changes(memory_engine *engine, bool hidden)
{
    lock(engine);
    if (hidden) {
        engine->shown_generation = engine->generation;
        engine->shown_count = 0;
        for (uint32_t i = 0; i < engine->shard_count; i++)
            if (engine->shards[i].is_listed)
                engine->shown[engine->shown_count++] = engine->shards[i].about;
    }
    engine->is_hidden = hidden;
    unlock(engine);
}

void memory_engine_trim(memory_engine *engine, uint32_t index, ls_seqno oldest)
{
    lock(engine);
    engine->shards[index].oldest = oldest;
    unlock(engine);
}

void memory_engine_forget(memory_engine *engine, uint32_t index)
{
    lock(engine);
    engine->shards[index].is_listed = false;
    engine->generation++;
    wake_all(engine);
    unlock(engine);
}

void memory_engine_delete_stream(memory_engine *engine)
{
    lock(engine);
    engine->is_deleted = true;
    engine->generation++;
    wake_all(engine);
    unlock(engine);
}

size_t memory_engine_count(memory_engine *engine, uint32_t index)
{
    size_t count;

    lock(engine);
    count = engine->shards[index].count;
    unlock(engine);
    return count;
}

const char *memory_engine_data(memory_engine *engine, uint32_t index, size_t at)
{
    const char *data = NULL;

    lock(engine);
    if (at < engine->shards[index].count)
        data = engine->shards[index].entries[at].data;
    unlock(engine);
    return data;
}

void memory_engine_fail(memory_engine *engine, memory_engine_call call, uint32_t index, ls_status status,
                        uint32_t times, uint32_t accepted)
{
    lock(engine);
    engine->faults[call] = (fault){.shard = index, .status = status, .times = times, .accepted = accepted};
    unlock(engine);
}

void memory_engine_interrupt(memory_engine *engine)
{
    lock(engine);
    engine->interrupts = true;
    wake_all(engine);
    unlock(engine);
}

void memory_engine_on_sleep(memory_engine *engine, void (*hook)(void *user), void *user)
{
    lock(engine);
    engine->on_sleep = hook;
    engine->on_sleep_user = user;
    unlock(engine);
}

void memory_engine_on_arm(memory_engine *engine, void (*hook)(void *user), void *user)
{
    lock(engine);
    engine->on_arm = hook;
    engine->on_arm_user = user;
    unlock(engine);
}

const char *memory_engine_trace(memory_engine *engine)
{
    return engine->trace;
}

void memory_engine_trace_clear(memory_engine *engine)
{
    lock(engine);
    engine->trace[0] = '\0';
    unlock(engine);
}

uint32_t memory_engine_sleep_count(memory_engine *engine)
{
    uint32_t count;

    lock(engine);
    count = engine->sleep_count;
    unlock(engine);
    return count;
}
