/* Numbered puts (producer.h): of one producer each number goes into the stream once, whoever repeats it, and when. */
#include "api/support.h"

#include <pthread.h>

#define SMALL_SEGMENT (UINT64_C(64) << 10)

static const ls_producer_id me = {0x1122334455667788, 0x99aabbccddeeff00};

/* A store with one stream and a producer on it. */
typedef struct work {
    fixture *fx;
    ls_stream *stream;
    ls_producer *producer;
} work;

static void open_stream(work *w)
{
    assert_int_equal(ls_stream_open(w->fx->store, "orders", &w->stream), LS_OK);
    assert_int_equal(ls_producer_open(w->stream, NULL, &w->producer), LS_OK);
}

static work start(void **state, uint32_t shard_count)
{
    work w = {.fx = *state};

    w.stream = make_stream(w.fx, "orders", shard_count);
    assert_int_equal(ls_producer_open(w.stream, NULL, &w.producer), LS_OK);
    return w;
}

static void finish(work *w)
{
    assert_int_equal(ls_producer_close(w->producer), LS_OK);
    assert_int_equal(ls_stream_close(w->stream), LS_OK);
}

/* The same in another store, with small segments, whose puts do not wait for the disk. */
static work start_small(void **state, uint32_t shard_count)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    fixture *fx = *state;

    options.segment_bytes = SMALL_SEGMENT;
    options.durability = LS_DURABILITY_KERNEL;
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    if (!in_memory)
        snprintf(fx->location, sizeof fx->location, "%s", temp_path(&fx->temp, "small"));
    assert_int_equal(ls_store_open(fx->location, &options, &fx->store), LS_OK);
    return start(state, shard_count);
}

/* Closes the store and opens it again. One in memory stays as it is. */
static void reopen(work *w)
{
    finish(w);
    if (!in_memory) {
        assert_int_equal(ls_store_close(w->fx->store), LS_OK);
        assert_int_equal(ls_store_open(w->fx->location, NULL, &w->fx->store), LS_OK);
    }
    open_stream(w);
}

static ls_put_options numbered(ls_producer_id producer, uint64_t number)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;

    options.producer = producer;
    options.number = number;
    return options;
}

static ls_status put_by(work *w, ls_producer_id producer, uint64_t number, const char *key, ls_record_id *out)
{
    ls_put_options options = numbered(producer, number);

    return ls_producer_put(w->producer, text(key), text("data"), &options, out);
}

static ls_record_id put(work *w, uint64_t number, const char *key)
{
    ls_record_id id;

    assert_int_equal(put_by(w, me, number, key, &id), LS_OK);
    return id;
}

static bool is_same(ls_record_id a, ls_record_id b)
{
    return a.shard == b.shard && a.seqno == b.seqno;
}

/* How many records the stream shows. */
static size_t count(const work *w)
{
    ls_iterator *iterator = NULL;
    size_t n = 0;

    assert_int_equal(ls_iterator_open_all(w->stream, NULL, NULL, &iterator), LS_OK);
    for (int empty = 0; empty < 50;) { /* One batch is of one shard. */
        const ls_batch *batch = NULL;

        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        empty = ls_batch_count(batch) > 0 ? 0 : empty + 1;
        n += ls_batch_count(batch);
    }
    ls_iterator_close(iterator);
    return n;
}

static void a_repeat_returns_the_first_result_and_writes_nothing(void **state)
{
    work w = start(state, 1);
    ls_record_id a = put(&w, 1, "k"), b = put(&w, 7, "k");

    assert_int_equal(ls_producer_repeats(w.producer), 0);
    assert_true(b.seqno > a.seqno);
    assert_true(is_same(put(&w, 1, "k"), a));
    assert_true(is_same(put(&w, 7, "k"), b));
    assert_true(is_same(put(&w, 7, "k"), b));
    assert_int_equal(ls_producer_repeats(w.producer), 3);
    assert_int_equal(count(&w), 2);
    assert_true(put(&w, 8, "k").seqno > b.seqno);
    assert_int_equal(count(&w), 3);
    finish(&w);
}

/* Another producer's numbers are others. */
static void producers_have_numbers_of_their_own(void **state)
{
    const ls_producer_id others[] = {{me.high, me.low + 1}, {me.high + 1, me.low}, {0, 1}, {1, 0}};
    work w = start(state, 1);
    ls_record_id first = put(&w, 1, "k"), id;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(put_by(&w, others[i], 1, "k", &id), LS_OK);
        assert_false(is_same(id, first));
    }
    assert_int_equal(count(&w), 5);
    assert_true(is_same(put(&w, 1, "k"), first));
    finish(&w);
}

#define BATCH 40u
typedef struct batch {
    char keys[BATCH][16];
    ls_put_entry entries[BATCH];
    ls_put_result results[BATCH];
    uint64_t numbers[BATCH];
    size_t failed;
} batch;

static void make_batch(batch *b)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        (void)snprintf(b->keys[i], sizeof b->keys[i], "key-%u", i);
        b->entries[i] = (ls_put_entry){text(b->keys[i]), text("data"), NULL};
    }
}

/* Over several shards, so that the numbers of each have gaps: as one frame per shard, with the same results again. */
static void a_batch_is_repeated_record_by_record(void **state)
{
    work w = start(state, 4);
    batch b, again;
    ls_put_options options = numbered(me, 100);

    make_batch(&b);
    make_batch(&again);
    assert_int_equal(ls_producer_put_batch(w.producer, b.entries, 20, &options, b.results, &b.failed), LS_OK);
    assert_int_equal(b.failed, 0);
    assert_int_equal(count(&w), 20);
    /* The second half is new. */
    assert_int_equal(ls_producer_put_batch(w.producer, again.entries, BATCH, &options, again.results, &again.failed),
                     LS_OK);
    assert_int_equal(again.failed, 0);
    assert_int_equal(ls_producer_repeats(w.producer), 20);
    assert_int_equal(count(&w), BATCH);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(again.results[i].seqno, b.results[i].seqno);
        assert_int_equal(again.results[i].shard, b.results[i].shard);
        assert_int_equal(again.results[i].status, LS_OK);
    }
    /* Of all, only those of odd numbers, in an order that is not that of the shards. */
    for (uint32_t i = 0; i < BATCH / 2; i++) {
        b.numbers[i] = 101 + 2 * i;
        b.entries[i] = again.entries[1 + 2 * i];
    }
    options.number = 0;
    options.numbers = b.numbers;
    assert_int_equal(ls_producer_put_batch(w.producer, b.entries, BATCH / 2, &options, b.results, &b.failed), LS_OK);
    for (uint32_t i = 0; i < BATCH / 2; i++) {
        assert_int_equal(b.results[i].seqno, again.results[1 + 2 * i].seqno);
        assert_int_equal(b.results[i].shard, again.results[1 + 2 * i].shard);
    }
    assert_int_equal(count(&w), BATCH);
    finish(&w);
}

/* So many puts by `me` behind `from`, far from each other, that what was put before is forgotten. */
#define FILLED (UINT32_C(40) * 500)
static void fill(work *w, uint64_t from)
{
    static ls_put_entry entries[500];
    uint64_t numbers[500];

    for (uint32_t i = 0; i < FILLED; i++) {
        ls_put_options options = numbered(me, 0);

        entries[i % 500] = (ls_put_entry){text("k"), text("d"), NULL};
        numbers[i % 500] = from + (((uint64_t)i + 1) << 30);
        if (i % 500 != 499)
            continue;
        options.numbers = numbers;
        assert_int_equal(ls_producer_put_batch(w->producer, entries, 500, &options, NULL, NULL), LS_OK);
    }
}

/* Over many segments too, of which the last one alone is looked at, and a snapshot of what was before. */
static void repeats_are_known_after_reopening(void **state)
{
    work w = start_small(state, 1);
    ls_record_id ids[8], first = {0};
    char *data = calloc(1, 20000);

    for (uint64_t round = 0; round < 3; round++) {
        reopen(&w);
        for (uint64_t i = 0; i < 8; i++) {
            ls_put_options options = numbered(me, 1000 * round + 10 * i + 1);

            assert_int_equal(ls_producer_put(w.producer, text("k"), (ls_bytes){data, 20000}, &options, &ids[i]), LS_OK);
        }
        reopen(&w);
        for (uint64_t i = 0; i < 8; i++)
            assert_true(is_same(put(&w, 1000 * round + 10 * i + 1, "k"), ids[i]));
        assert_int_equal(count(&w), 8 * (round + 1));
        first = round == 0 ? ids[0] : first;
    }
    assert_true(is_same(put(&w, 1, "k"), first));
    fill(&w, 3000);
    assert_int_equal(put_by(&w, me, 1, "k", NULL), LS_ERR_EXPIRED);
    free(data);
    finish(&w);
}

/* Split, and then merged: the children know what their parents' producers did, and say where the records are. */
static void repeats_are_known_to_the_children_of_a_reshard(void **state)
{
    work w = start(state, 1);
    batch b, again;
    ls_put_options options = numbered(me, 1);
    ls_record_id mine, others;
    const ls_hash_key middle = {UINT64_C(1) << 63, 0};
    uint32_t children[2], merged;

    make_batch(&b);
    make_batch(&again);
    assert_int_equal(ls_producer_put_batch(w.producer, b.entries, BATCH, &options, b.results, &b.failed), LS_OK);
    assert_int_equal(ls_stream_split(w.stream, 0, &middle, &children[0], &children[1]), LS_OK);
    assert_int_equal(ls_producer_put_batch(w.producer, again.entries, BATCH, &options, again.results, &again.failed),
                     LS_OK);
    for (uint32_t i = 0; i < BATCH; i++) {
        assert_int_equal(again.results[i].status, LS_OK);
        assert_int_equal(again.results[i].seqno, b.results[i].seqno);
        assert_int_equal(again.results[i].shard, 0);
    }
    assert_int_equal(count(&w), BATCH);

    mine = put(&w, 100, "key-1"); /* into either child, by keys */
    others = put(&w, 101, "key-2");
    reopen(&w);
    assert_true(is_same(put(&w, 100, "key-1"), mine));
    assert_true(mine.shard == children[0] || mine.shard == children[1]);
    assert_int_equal(ls_stream_merge(w.stream, children[0], children[1], &merged), LS_OK);
    reopen(&w);
    assert_true(is_same(put(&w, 100, "key-1"), mine));
    assert_true(is_same(put(&w, 101, "key-2"), others));
    assert_int_equal(ls_producer_put_batch(w.producer, again.entries, BATCH, &options, again.results, &again.failed),
                     LS_OK);
    for (uint32_t i = 0; i < BATCH; i++)
        assert_int_equal(again.results[i].seqno, b.results[i].seqno);
    assert_int_equal(count(&w), BATCH + 2);
    assert_int_equal(put(&w, 102, "key-1").shard, merged);
    finish(&w);
}

/* A number that surely was not put before is new, wherever it lies; one that is older than what is remembered is not
 * known, and says so. */
static void numbers_below_the_last_are_new_or_expired(void **state)
{
    work w = start(state, 1);
    ls_record_id id, first, late;

    first = put(&w, 10, "k");
    for (uint64_t i = 2; i <= 100; i++)
        (void)put(&w, 10 * i, "k");
    late = put(&w, 15, "k");
    assert_true(is_same(put(&w, 15, "k"), late));
    assert_true(is_same(put(&w, 10, "k"), first));
    fill(&w, 1000);
    assert_int_equal(put_by(&w, me, 10, "k", &id), LS_ERR_EXPIRED);
    assert_true(says("number 10"));
    assert_int_equal(put_by(&w, me, 9, "k", &id), LS_ERR_EXPIRED); /* which nobody knows any more */
    late = put(&w, 1000 + ((uint64_t)FILLED << 30) - 1, "k");
    assert_true(is_same(put(&w, 1000 + ((uint64_t)FILLED << 30) - 1, "k"), late));
    assert_int_equal(count(&w), 101 + FILLED + 1);
    finish(&w);
}

/* One put after another by a producer whose keys lead to four shards, so that in none of them its numbers follow each
 * other, while another one puts in between: each is known after the store was closed, and to the shards that follow. */
static void single_puts_that_are_spread_over_shards_are_remembered(void **state)
{
    enum { PUTS = 10000 };
    static ls_record_id ids[PUTS];
    work w = start_small(state, 4);
    ls_record_id id;
    char key[16];

    for (uint64_t i = 0; i < PUTS; i++) {
        snprintf(key, sizeof key, "key-%u", (uint32_t)i);
        ids[i] = put(&w, 1 + i, key);
        if (i % 3 == 0)
            assert_int_equal(put_by(&w, (ls_producer_id){5, 5}, 1 + i, key, &id), LS_OK);
    }
    assert_int_equal(count(&w), PUTS + (PUTS + 2) / 3);
    for (int round = 0; round < 2; round++) {
        reopen(&w);
        for (uint64_t i = 0; i < PUTS; i++) {
            snprintf(key, sizeof key, "key-%u", (uint32_t)i);
            assert_true(is_same(put(&w, 1 + i, key), ids[i]));
        }
        assert_int_equal(ls_producer_repeats(w.producer), PUTS);
        for (uint32_t shard = 0; round == 0 && shard < 4; shard++)
            assert_int_equal(ls_stream_split(w.stream, shard, NULL, NULL, NULL), LS_OK);
    }
    assert_int_equal(count(&w), PUTS + (PUTS + 2) / 3);
    finish(&w);
}

/* Puts whose numbers and sequence numbers go on count as one. */
static void consecutive_puts_are_remembered_as_one(void **state)
{
    work w = start(state, 1);
    ls_record_id first = put(&w, 1, "k"), id;

    for (uint64_t i = 2; i < 200; i++)
        (void)put(&w, i, "k");
    assert_true(is_same(put(&w, 1, "k"), first));
    id = put(&w, 100, "k");
    assert_int_equal(id.seqno, first.seqno + 99);
    assert_int_equal(count(&w), 199);
    finish(&w);
}

/* One put more, and the producer that put least recently is forgotten: its repeat is a new record. */
static void so_many_producers_are_remembered(void **state)
{
    work w = start_small(state, 1);
    ls_record_id first, second, id;

    assert_int_equal(put_by(&w, (ls_producer_id){1, 1}, 1, "k", &first), LS_OK);
    assert_int_equal(put_by(&w, (ls_producer_id){1, 2}, 1, "k", &second), LS_OK);
    for (uint64_t i = 3; i <= LS_PRODUCERS_MAX; i++)
        assert_int_equal(put_by(&w, (ls_producer_id){1, i}, 1, "k", &id), LS_OK);
    assert_int_equal(put_by(&w, (ls_producer_id){1, 1}, 1, "k", &id), LS_OK);
    assert_true(is_same(id, first)); /* which makes it no more recent */
    assert_int_equal(put_by(&w, me, 1, "k", &id), LS_OK);
    assert_int_equal(put_by(&w, (ls_producer_id){1, 2}, 1, "k", &id), LS_OK);
    assert_true(is_same(id, second));
    assert_int_equal(put_by(&w, (ls_producer_id){1, 1}, 1, "k", &id), LS_OK);
    assert_false(is_same(id, first));
    reopen(&w); /* They are the same to who looks now. */
    assert_int_equal(put_by(&w, (ls_producer_id){1, 3}, 1, "k", &id), LS_OK);
    assert_int_equal(ls_producer_repeats(w.producer), 1);
    assert_int_equal(put_by(&w, (ls_producer_id){1, 2}, 1, "k", &id), LS_OK);
    assert_int_equal(ls_producer_repeats(w.producer), 1); /* forgotten by the last but one */
    finish(&w);
}

static void an_atomic_batch_is_repeated_whole_or_refused(void **state)
{
    work w = start(state, 1);
    batch b, again;
    ls_put_options options = numbered(me, 100);

    make_batch(&b);
    make_batch(&again);
    options.flags = LS_PUT_ATOMIC;
    assert_int_equal(ls_producer_put_batch(w.producer, b.entries, 10, &options, b.results, &b.failed), LS_OK);
    assert_int_equal(ls_producer_put_batch(w.producer, b.entries, 10, &options, again.results, &again.failed), LS_OK);
    assert_int_equal(again.failed, 0);
    assert_int_equal(again.results[9].seqno, b.results[9].seqno);
    assert_int_equal(ls_producer_put_batch(w.producer, b.entries, 11, &options, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_true(says("number 100"));
    assert_true(says("110"));
    assert_int_equal(count(&w), 10);
    fill(&w, 1000);
    assert_int_equal(ls_producer_put_batch(w.producer, b.entries, 10, &options, NULL, NULL), LS_ERR_EXPIRED);
    options.number = 0;
    options.flags = 0; /* By itself each record is told. */
    for (uint32_t i = 0; i < 10; i++)
        b.numbers[i] = i < 5 ? 105 + i : (UINT64_C(1) << 50) + i;
    options.numbers = b.numbers;
    assert_int_equal(ls_producer_put_batch(w.producer, b.entries, 10, &options, again.results, &again.failed), LS_OK);
    assert_int_equal(again.failed, 5);
    assert_int_equal(again.results[4].status, LS_ERR_EXPIRED);
    assert_int_equal(again.results[4].seqno, LS_SEQNO_NONE);
    assert_int_equal(again.results[5].status, LS_OK);
    assert_int_equal(count(&w), 10 + FILLED + 5);
    finish(&w);
}

#define THREADS 4u
#define RACED 60u
typedef struct racer {
    ls_stream *stream;
    ls_record_id ids[RACED];
    uint64_t repeats;
    bool failed;
} racer;

static void *race(void *user)
{
    racer *of = user;
    ls_producer *producer;

    if (ls_producer_open(of->stream, NULL, &producer) != LS_OK)
        abort(); /* The others would wait for it. */
    for (uint64_t i = 0; i < RACED; i++) {
        const ls_put_options options = numbered(me, 1 + 2 * i);

        of->failed |= ls_producer_put(producer, text("k"), text("data"), &options, &of->ids[i]) != LS_OK;
        of->failed |= ls_producer_put(producer, text("k"), text("data"), NULL, NULL) != LS_OK;
    }
    of->repeats = ls_producer_repeats(producer);
    of->failed |= ls_producer_close(producer) != LS_OK;
    return NULL;
}

/* All put the same numbers, each at its own pace: one of them writes a number, and all are told of its record. */
static void threads_that_race_put_each_number_once(void **state)
{
    work w = start_small(state, 1);
    racer racers[THREADS] = {{0}};
    pthread_t threads[THREADS];
    uint64_t repeats = 0;

    for (uint32_t i = 0; i < THREADS; i++) {
        racers[i].stream = w.stream;
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        repeats += racers[i].repeats;
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_false(racers[i].failed);
        assert_memory_equal(racers[i].ids, racers[0].ids, sizeof racers[0].ids);
    }
    assert_int_equal(repeats, (THREADS - 1) * RACED);
    assert_int_equal(count(&w), RACED + THREADS * RACED);
    finish(&w);
}

static void what_cannot_be_meant_is_refused(void **state)
{
    const uint64_t level[] = {5, 5}, none[] = {0, 1}, large[] = {1, LS_NUMBER_MAX + 1};
    const ls_put_entry entries[2] = {{text("k"), text("d"), NULL}, {text("k"), text("d"), NULL}};
    work w = start(state, 1);
    ls_put_options options;

#define REFUSED(call, word)                                   \
    do {                                                      \
        assert_int_equal(call, LS_ERR_INVALID_ARGUMENT);      \
        assert_true(says(word));                              \
    } while (0)
#define ONE ls_producer_put(w.producer, text("k"), text("d"), &options, NULL)
#define TWO ls_producer_put_batch(w.producer, entries, 2, &options, NULL, NULL)
    options = numbered((ls_producer_id){0, 0}, 1);
    REFUSED(ONE, "without options.producer");
    REFUSED(TWO, "without options.producer");
    options = numbered(me, 0);
    REFUSED(ONE, "numbers are 1..");
    REFUSED(TWO, "numbers are 1..");
    options = numbered(me, LS_NUMBER_MAX);
    REFUSED(TWO, "numbers are 1..");
    options = numbered(me, LS_NUMBER_MAX + 1);
    REFUSED(ONE, "numbers are 1..");
    options = numbered((ls_producer_id){0, 0}, 0);
    options.numbers = level;
    REFUSED(TWO, "without options.producer");
    options.producer = me;
    REFUSED(TWO, "numbers rise");
    REFUSED(ONE, "numbers are for batches");
    options.numbers = none;
    REFUSED(TWO, "record 0");
    options.numbers = large;
    REFUSED(TWO, "record 1");
    options.number = 1;
    REFUSED(TWO, "options.numbers say others");
    assert_int_equal(count(&w), 0);
    options = numbered(me, LS_NUMBER_MAX);
    assert_int_equal(ONE, LS_OK); /* and no further */
#undef REFUSED
#undef ONE
#undef TWO
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_repeat_returns_the_first_result_and_writes_nothing),
        TEST(producers_have_numbers_of_their_own),
        TEST(a_batch_is_repeated_record_by_record),
        TEST(repeats_are_known_after_reopening),
        TEST(repeats_are_known_to_the_children_of_a_reshard),
        TEST(numbers_below_the_last_are_new_or_expired),
        TEST(single_puts_that_are_spread_over_shards_are_remembered),
        TEST(consecutive_puts_are_remembered_as_one),
        TEST(so_many_producers_are_remembered),
        TEST(an_atomic_batch_is_repeated_whole_or_refused),
        TEST(threads_that_race_put_each_number_once),
        TEST(what_cannot_be_meant_is_refused),
    };
    run_everywhere("numbered puts", tests);
}
