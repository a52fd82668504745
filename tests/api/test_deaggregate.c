/* LS_ITERATOR_DEAGGREGATE and LS_SUBSCRIBE_DEAGGREGATE: what was put comes as its user records, each once and in order,
 * in whatever pieces, from whatever place. A model remembers what was put, as user records. */
#include "api/support.h"

#include "fuzz/fuzz.h"
#include "support/exposition.h"
#include "support/sim_memory.h"

enum { ITEMS_MAX = 8000, BYTES_MAX = 1 << 20 };

/* A user record, or a plain one (`sub_count` 0). */
typedef struct item {
    uint32_t shard;
    ls_seqno seqno;
    uint32_t sub_seqno, sub_count;
    ls_bytes key, data;
    bool has_hash;
    ls_hash_key hash;
} item;

typedef struct model {
    ls_stream *stream;
    ls_producer *producer;
    ls_aggregate *aggregate;
    uint64_t seed;
    item items[ITEMS_MAX];
    uint32_t count;
    uint32_t of_shard[64]; /* how many */
    uint32_t outer[64];    /* records as they were put */
    char bytes[BYTES_MAX]; /* keys and data of the items */
    size_t used;
} model;

static model *start(void **state, uint32_t shards, uint64_t seed)
{
    model *m = calloc(1, sizeof *m);

    assert_non_null(m);
    m->stream = make_stream(*state, "orders", shards);
    m->seed = seed;
    assert_int_equal(ls_producer_open(m->stream, NULL, &m->producer), LS_OK);
    assert_int_equal(ls_aggregate_open(NULL, &m->aggregate), LS_OK);
    return m;
}

static void finish(model *m)
{
    ls_aggregate_close(m->aggregate);
    assert_int_equal(ls_producer_close(m->producer), LS_OK);
    assert_int_equal(ls_stream_close(m->stream), LS_OK);
    free(m);
}

static uint32_t chance(model *m, uint32_t below)
{
    return (uint32_t)(fuzz_random(&m->seed) % below);
}

static ls_bytes keep(model *m, const void *bytes, size_t size)
{
    char *at = m->bytes + m->used;

    assert_true(m->used + size <= sizeof m->bytes);
    memcpy(at, bytes, size);
    m->used += size;
    return (ls_bytes){at, size};
}

/* Another item, which belongs to no record yet. Half of them look like aggregates at first. */
static item *new_item(model *m)
{
    item *to = &m->items[m->count++];
    const char *begin = m->count / 64 % 2 == 0 ? "\xf3\x89\x9a\xc2" : "";
    char text[64];
    size_t size = (size_t)snprintf(text, sizeof text, "key-%u", chance(m, 9));

    assert_true(m->count <= ITEMS_MAX);
    to->key = keep(m, text, size);
    size = (size_t)snprintf(text, sizeof text, "%s the data of %u, and then some more", begin, m->count);
    to->data = keep(m, text, chance(m, (uint32_t)size));
    to->has_hash = chance(m, 3) == 0;
    if (to->has_hash)
        to->hash = (ls_hash_key){fuzz_random(&m->seed), 1};
    return to;
}

/* One record of `count` user records; 1: a plain one. */
static void put(model *m, uint32_t count)
{
    item *first = &m->items[m->count];
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_entry packed;
    ls_record_id id;

    ls_aggregate_clear(m->aggregate);
    for (uint32_t i = 0; i < count; i++) {
        const item *it = new_item(m);
        ls_put_entry entry = {it->key, it->data, it->has_hash ? &it->hash : NULL};
        int32_t fits;

        assert_int_equal(ls_aggregate_add(m->aggregate, &entry, &fits), LS_OK);
        assert_int_equal(fits, 1);
    }
    assert_int_equal(ls_aggregate_record(m->aggregate, &packed), LS_OK);
    options.explicit_hash_key = packed.explicit_hash_key;
    assert_int_equal(ls_producer_put(m->producer, packed.partition_key, packed.data, &options, &id), LS_OK);
    for (uint32_t i = 0; i < count; i++) {
        first[i].shard = id.shard;
        first[i].seqno = id.seqno;
        first[i].sub_seqno = count == 1 ? 0 : i;
        first[i].sub_count = count == 1 ? 0 : count;
    }
    m->of_shard[id.shard] += count;
    m->outer[id.shard]++;
}

static void put_many(model *m, uint32_t records)
{
    uint32_t plain = 0; /* so many that come are */

    for (uint32_t i = 0; i < records; i++) {
        plain = plain != 0 ? plain - 1 : chance(m, 30) == 0 ? 20 : 0;
        put(m, plain != 0 || chance(m, 3) == 0 ? 1 : chance(m, 20) == 0 ? 200 + chance(m, 100) : 2 + chance(m, 12));
    }
}

static void assert_is(const ls_record *given, const item *expected)
{
    assert_int_equal(given->shard, expected->shard);
    assert_int_equal(given->seqno, expected->seqno);
    assert_int_equal(given->sub_seqno, expected->sub_seqno);
    assert_int_equal(given->sub_count, expected->sub_count);
    assert_int_equal((given->flags & LS_RECORD_AGGREGATED) != 0, expected->sub_count != 0);
    assert_int_equal((given->flags & LS_RECORD_EXPLICIT_HASH_KEY) != 0, expected->has_hash);
    assert_int_equal(given->explicit_hash_key.high, expected->hash.high);
    assert_int_equal(given->partition_key.size, expected->key.size);
    assert_memory_equal(given->partition_key.data, expected->key.data, expected->key.size);
    assert_int_equal(given->data.size, expected->data.size);
    assert_memory_equal(given->data.data, expected->data.data, expected->data.size);
}

/* The item of `shard` at `index`. */
static const item *item_of(const model *m, uint32_t shard, uint32_t index)
{
    uint32_t i = 0;

    while (m->items[i].shard != shard || index-- != 0)
        i++;
    return &m->items[i];
}

static ls_iterator_options unfolding(void)
{
    ls_iterator_options options = LS_ITERATOR_OPTIONS_INIT;

    options.flags = LS_ITERATOR_DEAGGREGATE;
    return options;
}

/* Opens another iterator where this one stands, and goes on with that. */
static void reopen(model *m, ls_iterator **iterator)
{
    ls_iterator_options options = unfolding();
    char place[4096];

    assert_int_equal(ls_iterator_place(*iterator, place, sizeof place, NULL), LS_OK);
    ls_iterator_close(*iterator);
    assert_int_equal(ls_iterator_open_place(m->stream, place, &options, iterator), LS_OK);
}

/* The next batch with limits of any size; `*limit` is what it may hold at most. */
static const ls_batch *next_batch(model *m, ls_iterator *iterator)
{
    ls_next_options options = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch;
    uint64_t bytes = 0;

    options.records_max = chance(m, 2) == 0 ? 0 : 1 + chance(m, 40);
    options.bytes_max = chance(m, 2) == 0 ? 0 : 1 + chance(m, 3000);
    assert_int_equal(ls_iterator_next(iterator, &options, &batch), LS_OK);
    for (size_t i = 0; i < ls_batch_count(batch); i++)
        bytes += ls_batch_at(batch, i)->partition_key.size + ls_batch_at(batch, i)->data.size;
    if (options.records_max != 0)
        assert_true(ls_batch_count(batch) <= options.records_max);
    if (options.bytes_max != 0)
        assert_true(bytes <= options.bytes_max || ls_batch_count(batch) == 1);
    return batch;
}

/* ---- one shard ---- */

static void user_records_come_once_and_in_order(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        model *m = start(state, 1, seed);
        ls_iterator_options options = unfolding();
        ls_iterator *iterator;
        uint32_t at = 0;

        assert_int_equal(ls_iterator_open(m->stream, 0, NULL, &options, &iterator), LS_OK);
        for (uint32_t round = 0; round < 3; round++) {
            const ls_batch *batch;

            put_many(m, 60);
            while (at < m->count) {
                batch = next_batch(m, iterator);
                assert_true(ls_batch_count(batch) > 0);
                for (size_t i = 0; i < ls_batch_count(batch); i++)
                    assert_is(ls_batch_at(batch, i), &m->items[at++]);
                if (at < m->count && ls_batch_at(batch, 0)->arrival_us != 0)
                    assert_true(ls_batch_millis_behind_latest(batch) >= 0);
                if (chance(m, 4) == 0)
                    reopen(m, &iterator);
            }
            assert_int_equal(ls_batch_count(next_batch(m, iterator)), 0);
            reopen(m, &iterator);
            assert_int_equal(ls_batch_count(next_batch(m, iterator)), 0);
        }
        ls_iterator_close(iterator);
        finish(m);
        assert_int_equal(ls_stream_delete(((fixture *)*state)->store, "orders"), LS_OK);
    }
}

static void a_position_may_be_within_an_aggregate(void **state)
{
    model *m = start(state, 1, 11);
    ls_iterator_options options = unfolding();
    ls_iterator *iterator;
    const ls_batch *batch;

    put_many(m, 60);
    assert_int_equal(ls_iterator_open(m->stream, 0, NULL, &options, &iterator), LS_OK);
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t at = chance(m, m->count), expected = at;
        ls_position position = {.kind = LS_AT_SEQUENCE_NUMBER, .seqno = m->items[at].seqno,
                                .sub_seqno = m->items[at].sub_seqno};

        if (chance(m, 5) == 0) { /* as many as it has, or more: the next record */
            position.sub_seqno = m->items[at].sub_count == 0 ? 1 : m->items[at].sub_count + chance(m, 3);
            while (expected < m->count && m->items[expected].seqno == m->items[at].seqno)
                expected++;
        } else if (chance(m, 5) == 0) { /* a number stands for all of it */
            position = (ls_position){.kind = LS_AFTER_SEQUENCE_NUMBER, .seqno = m->items[at].seqno};
            while (expected < m->count && m->items[expected].seqno == m->items[at].seqno)
                expected++;
        }
        assert_int_equal(ls_iterator_seek(iterator, &position), LS_OK);
        if (chance(m, 2) == 0)
            reopen(m, &iterator);
        batch = next_batch(m, iterator);
        assert_int_equal(ls_batch_count(batch) == 0, expected == m->count);
        for (size_t i = 0; i < ls_batch_count(batch); i++)
            assert_is(ls_batch_at(batch, i), &m->items[expected++]);
    }
    ls_iterator_close(iterator);
    finish(m);
}

static void positions_within_are_for_those_who_look_within(void **state)
{
    model *m = start(state, 1, 12);
    ls_iterator_options options = unfolding();
    ls_next_options three = LS_NEXT_OPTIONS_INIT;
    ls_position position = {.kind = LS_AT_SEQUENCE_NUMBER, .sub_seqno = 1};
    ls_iterator *iterator = NULL;
    const ls_batch *batch;
    char place[200];

    put(m, 5);
    position.seqno = m->items[0].seqno;
    assert_int_equal(ls_iterator_open(m->stream, 0, &position, NULL, &iterator), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("position.sub_seqno is 1: it is for AT_SEQUENCE_NUMBER of an iterator that de-aggregates"));
    position.kind = LS_AFTER_SEQUENCE_NUMBER;
    assert_int_equal(ls_iterator_open(m->stream, 0, &position, &options, &iterator), LS_ERR_INVALID_ARGUMENT);
    position = (ls_position){.kind = LS_TRIM_HORIZON, .sub_seqno = 1};
    assert_int_equal(ls_iterator_open_all(m->stream, &position, &options, &iterator), LS_ERR_INVALID_ARGUMENT);
    /* A place within an aggregate is the aggregate to who does not look into it, and a place still. */
    assert_int_equal(ls_iterator_open(m->stream, 0, NULL, &options, &iterator), LS_OK);
    three.records_max = 3;
    assert_int_equal(ls_iterator_next(iterator, &three, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 3);
    assert_int_equal(ls_iterator_place(iterator, place, sizeof place, NULL), LS_OK);
    ls_iterator_close(iterator);
    assert_int_equal(ls_iterator_open_place(m->stream, place, NULL, &iterator), LS_OK);
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
    assert_int_equal(ls_batch_count(batch), 1);
    assert_int_equal(ls_batch_at(batch, 0)->seqno, m->items[0].seqno);
    assert_int_equal(ls_batch_at(batch, 0)->flags & LS_RECORD_AGGREGATED, 0);
    ls_iterator_close(iterator);
    finish(m);
}

/* ---- all shards, and what becomes of them ---- */

static void split(model *m)
{
    assert_int_equal(ls_stream_split(m->stream, 0, NULL, NULL, NULL), LS_OK);
    put_many(m, 40);
    assert_true(m->outer[2] + m->outer[3] > 0 && m->outer[0] > 0);
}

static void each_shard_ends_with_its_last_user_record(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        model *m = start(state, 2, 100 + seed);
        ls_iterator_options options = unfolding();
        uint32_t given[64] = {0}, total = 0, ends = 0, foreign = 0;
        bool is_split = false;
        ls_iterator *iterator;

        put_many(m, 50);
        if (seed % 2 == 1)
            split(m);
        assert_int_equal(ls_iterator_open_all(m->stream, NULL, &options, &iterator), LS_OK);
        while (total < m->count) {
            const ls_batch *batch = next_batch(m, iterator);
            uint32_t shard = ls_batch_shard(batch);

            assert_true(ls_batch_count(batch) > 0);
            for (size_t i = 0; i < ls_batch_count(batch); i++, total++) {
                assert_is(ls_batch_at(batch, i), item_of(m, shard, given[shard]++));
                foreign += (ls_batch_at(batch, i)->flags & LS_RECORD_OUTSIDE_SHARD) != 0;
            }
            if (ls_batch_is_shard_end(batch)) {
                assert_int_equal(given[shard], m->of_shard[shard]);
                assert_int_equal(ls_batch_child_count(batch), 2);
                ends++;
            }
            if (chance(m, 4) == 0)
                reopen(m, &iterator);
            if (!is_split && seed % 2 == 0) { /* what was read of it had no end yet */
                is_split = true;
                split(m);
            }
        }
        assert_true(seed % 2 == 0 ? ends <= 1 : ends == 1); /* an end without records is passed over */
        assert_true(foreign > 0); /* keys of the other shards, in whatever aggregate */
        ls_iterator_close(iterator);
        finish(m);
        assert_int_equal(ls_stream_delete(((fixture *)*state)->store, "orders"), LS_OK);
    }
}

typedef struct pushed {
    model *m;
    uint32_t at;
} pushed;

static ls_push_answer take_push(const ls_batch *batch, void *user)
{
    pushed *to = user;

    for (size_t i = 0; i < ls_batch_count(batch); i++)
        assert_is(ls_batch_at(batch, i), &to->m->items[to->at++]);
    return to->at == to->m->count ? LS_PUSH_STOP : LS_PUSH_DONE;
}

static void subscriptions_are_pushed_user_records(void **state)
{
    ls_subscribe_options options = LS_SUBSCRIBE_OPTIONS_INIT;
    model *m = start(state, 1, 13);
    pushed to = {.m = m};
    ls_consumer *consumer;

    put_many(m, 40);
    assert_int_equal(ls_consumer_register(m->stream, "reader", NULL), LS_OK);
    assert_int_equal(ls_consumer_open(m->stream, "reader", &consumer), LS_OK);
    options.flags = LS_SUBSCRIBE_DEAGGREGATE;
    options.records_max = 7;
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, &options, take_push, &to), LS_OK);
    assert_int_equal(to.at, m->count);
    to.at = 0;
    assert_int_equal(ls_consumer_subscribe_all(consumer, NULL, &options, take_push, &to), LS_OK);
    assert_int_equal(ls_consumer_close(consumer), LS_OK);
    finish(m);
}

typedef struct gathered {
    char bytes[1 << 20];
    size_t size;
} gathered;

static ls_status gather(const char *bytes, size_t size, void *user)
{
    gathered *to = user;

    assert_true(to->size + size <= sizeof to->bytes);
    memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
    return LS_OK;
}

/* What the metric says of all there is. */
static double sample(ls_store *store, const char *name)
{
    char why[EXPOSITION_WHY_BYTES];
    gathered *to = calloc(1, sizeof *to);
    exposition *read;
    double value;

    assert_int_equal(ls_metrics_write_text(store, gather, to), LS_OK);
    read = exposition_read(to->bytes, to->size, why);
    assert_non_null(read);
    value = exposition_sum(read, name, "", NULL);
    exposition_free(read);
    free(to);
    return value;
}

/* What a provisioned stream limits, and every stream counts, are records as they were put: of an aggregate that comes
 * in five pieces the first is a read, and the others are none. */
static void pieces_of_an_aggregate_are_one_read(void **state)
{
    model *m = start(state, 1, 14);
    ls_iterator_options options = unfolding();
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    ls_iterator *iterator;
    const ls_batch *batch;

    put(m, 60);
    put(m, 1);
    assert_int_equal(ls_stream_set_mode(m->stream, LS_STREAM_PROVISIONED), LS_OK);
    assert_int_equal(ls_iterator_open(m->stream, 0, NULL, &options, &iterator), LS_OK);
    next.records_max = 6;
    for (uint32_t i = 0; i < 11; i++) { /* 5 reads a second are what the shard gives */
        assert_int_equal(ls_iterator_next(iterator, &next, &batch), LS_OK);
        assert_int_equal(ls_batch_count(batch), i < 10 ? 6 : 1);
        if (i == 1)
            assert_int_equal((int)sample(((fixture *)*state)->store, "libstream_get_records_total"), 2);
    }
    assert_int_equal((int)sample(((fixture *)*state)->store, "libstream_get_records_total"), 2);
    assert_true(sample(((fixture *)*state)->store, "libstream_get_bytes_total") ==
                sample(((fixture *)*state)->store, "libstream_put_bytes_total"));
    ls_iterator_close(iterator);
    finish(m);
}

/* ---- without memory ---- */

static void *resize(void *user, void *old, size_t bytes)
{
    lsi_memory memory = sim_memory_table(user);

    return memory.resize(memory.user, old, bytes);
}

/* Every allocation of opening and reading fails once: the call says so, the place is unchanged, and the same call is
 * made good. */
static void no_memory_loses_and_doubles_nothing(void **state)
{
    sim_memory sim = SIM_MEMORY_INIT;
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    fixture fx = {0};
    void *own = &fx;
    uint64_t failed = 0;
    model *m;

    (void)state;
    options.resize = resize;
    options.resize_user = &sim;
    assert_int_equal(ls_store_open("memory:", &options, &fx.store), LS_OK);
    m = start(&own, 2, 17);
    put_many(m, 12);
    for (uint64_t nth = 1;; nth++) {
        ls_iterator_options unfold = unfolding();
        ls_next_options next = LS_NEXT_OPTIONS_INIT;
        uint32_t given[64] = {0}, total = 0;
        uint64_t before = sim.calls;
        ls_iterator *iterator;

        sim_memory_fail(&sim, nth, false);
        next.records_max = 7;
        while (ls_iterator_open_all(m->stream, NULL, &unfold, &iterator) != LS_OK) {
            assert_int_equal(ls_last_error_status(), LS_ERR_NO_MEMORY);
            failed++;
        }
        while (total < m->count) {
            const ls_batch *batch;
            ls_status st = ls_iterator_next(iterator, &next, &batch);

            if (st != LS_OK) {
                assert_int_equal(st, LS_ERR_NO_MEMORY);
                failed++;
                continue;
            }
            for (size_t i = 0; i < ls_batch_count(batch); i++, total++)
                assert_is(ls_batch_at(batch, i), item_of(m, ls_batch_shard(batch), given[ls_batch_shard(batch)]++));
        }
        ls_iterator_close(iterator);
        if (sim.calls - before < nth)
            break;
    }
    assert_true(failed > 8);
    finish(m);
    assert_int_equal(ls_store_close(fx.store), LS_OK);
    assert_int_equal(sim.live, 0);
}

/* ---- windows ---- */

static ls_window_answer count_result(const ls_window_result *result, void *user)
{
    *(uint64_t *)user += result->count;
    return LS_WINDOW_GO_ON;
}

static ls_window *open_window(const model *m, const char *name, uint64_t *counted)
{
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;
    ls_window *window;

    options.kind = LS_WINDOW_TUMBLING;
    options.size_ms = INT64_C(1) << 50; /* all there is */
    options.flags = LS_WINDOW_ONE_KEY | LS_WINDOW_DEAGGREGATE;
    options.result = count_result;
    options.user = counted;
    assert_int_equal(ls_window_open(m->stream, name, &options, &window), LS_OK);
    return window;
}

/* What was stored last is gone on with from the place that it names, within aggregates too; a batch that comes again is
 * passed over. */
static void windows_count_each_user_record_once(void **state)
{
    model *m = start(state, 1, 15);
    ls_iterator_options options = unfolding();
    uint64_t counted = 0;
    uint32_t within = 0;
    ls_window *window = open_window(m, "w", &counted);
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    const ls_batch *batch;
    ls_iterator *iterator;
    ls_position position;

    put_many(m, 60);
    assert_int_equal(ls_iterator_open(m->stream, 0, NULL, &options, &iterator), LS_OK);
    for (;;) {
        next.records_max = 1 + chance(m, 9);
        assert_int_equal(ls_iterator_next(iterator, &next, &batch), LS_OK);
        if (ls_batch_count(batch) == 0)
            break;
        assert_int_equal(ls_window_add(window, batch), LS_OK);
        if (chance(m, 3) == 0)
            assert_int_equal(ls_window_add(window, batch), LS_OK);
        if (chance(m, 3) == 0)
            assert_int_equal(ls_window_store(window), LS_OK);
        if (chance(m, 3) == 0) {
            assert_int_equal(ls_window_close(window), LS_OK);
            window = open_window(m, "w", &counted);
            assert_int_equal(ls_window_position(window, 0, &position), LS_OK);
            within += position.sub_seqno != 0;
            assert_int_equal(ls_iterator_seek(iterator, &position), LS_OK);
        }
    }
    assert_true(within > 0);
    assert_int_equal(ls_window_flush(window), LS_OK);
    assert_int_equal(counted, m->count);
    assert_int_equal(ls_window_close(window), LS_OK);
    ls_iterator_close(iterator);
    finish(m);
}

static void windows_that_run_count_user_records(void **state)
{
    ls_window_run_options options = LS_WINDOW_RUN_OPTIONS_INIT;
    model *m = start(state, 2, 16);
    uint64_t counted = 0;
    ls_window *window;

    options.flags = LS_WINDOW_UNTIL_CAUGHT_UP;
    for (int round = 0; round < 2; round++) {
        put_many(m, 30);
        window = open_window(m, "w", &counted);
        assert_int_equal(ls_window_run(window, &options), LS_OK);
        if (round == 1)
            assert_int_equal(ls_window_flush(window), LS_OK);
        assert_int_equal(ls_window_close(window), LS_OK);
    }
    assert_int_equal(counted, m->count);
    finish(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(user_records_come_once_and_in_order),
        TEST(a_position_may_be_within_an_aggregate),
        TEST(positions_within_are_for_those_who_look_within),
        TEST(each_shard_ends_with_its_last_user_record),
        TEST(subscriptions_are_pushed_user_records),
        TEST(pieces_of_an_aggregate_are_one_read),
        cmocka_unit_test(no_memory_loses_and_doubles_nothing),
        TEST(windows_count_each_user_record_once),
        TEST(windows_that_run_count_user_records),
    };

    run_everywhere("iterators that de-aggregate", tests);
}
