/* What every engine promises above engine.h, asked of each location in turn: a store in memory, and a directory in each
 * durability. A new engine is one more line in main(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "engine/engine.h"
#include "support/temp.h"

/* ---- the store under test ---- */

typedef struct location {
    bool in_memory;
    ls_durability durability;
} location;

static location where; /* set before each group runs */

typedef struct fixture {
    temp_dir temp;
    lsi_env env;
    lsi_files *memory;
    lsi_engine *engine;
    const lsi_engine_ops *ops;
} fixture;

static int set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    ls_store_options options = LS_STORE_OPTIONS_INIT;

    lsi_env_default(&fx->env);
    options.durability = where.durability;
    options.segment_bytes = 64 << 10;
    options.sync_interval_ms = 20;
    temp_make(&fx->temp);
    if (where.in_memory) {
        fx->memory = lsi_files_memory_new(&lsi_memory_libc);
        fx->env.files = fx->memory;
    }
    assert_int_equal(lsi_local_open(where.in_memory ? "memory" : temp_path(&fx->temp, "store"), &options, &fx->env,
                                    &fx->engine),
                     LS_OK);
    fx->ops = fx->engine->ops;
    *state = fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    assert_int_equal(fx->ops->close(fx->engine), LS_OK);
    lsi_files_memory_free(fx->memory);
    temp_remove(&fx->temp);
    free(fx);
    return 0;
}

static void create(fixture *fx, const char *name, uint32_t shard_count)
{
    lsi_stream_spec spec = {name, shard_count, 24, LS_STREAM_ON_DEMAND, 1 << 20};

    assert_int_equal(fx->ops->create(fx->engine, &spec), LS_OK);
}

static lsi_engine_stream *create_and_open(fixture *fx, const char *name, uint32_t shard_count)
{
    lsi_engine_stream *stream;

    create(fx, name, shard_count);
    assert_int_equal(fx->ops->stream_open(fx->engine, name, &stream), LS_OK);
    return stream;
}

/* Appends `count` records "key" -> "<prefix><i>" to the shard and commits them; the first one's number. */
static ls_seqno append(fixture *fx, lsi_engine_stream *stream, uint32_t shard, const char *prefix, uint32_t count)
{
    char data[64][32];
    ls_put_entry entries[64];
    lsi_appender *appender;
    lsi_append_result result;
    lsi_append batch = {entries, NULL, count, false};

    assert_true(count <= 64);
    for (uint32_t i = 0; i < count; i++) {
        int size = snprintf(data[i], sizeof data[i], "%s%u", prefix, i);

        entries[i] = (ls_put_entry){{"key", 3}, {data[i], (size_t)size}, NULL};
    }
    assert_int_equal(fx->ops->appender_open(stream, &appender), LS_OK);
    assert_int_equal(fx->ops->append(appender, shard, &batch, &result), LS_OK);
    assert_int_equal(result.accepted, count);
    assert_false(result.moved);
    assert_int_equal(fx->ops->commit(appender, shard, result.end, LS_DURABILITY_DEFAULT), LS_OK);
    fx->ops->appender_close(appender);
    return result.first_seqno;
}

static lsi_reader *reader_at(fixture *fx, lsi_engine_stream *stream, uint32_t shard, ls_position position)
{
    lsi_reader *reader;

    assert_int_equal(fx->ops->reader_open(stream, shard, 0, &reader), LS_OK);
    assert_int_equal(fx->ops->seek(reader, &position), LS_OK);
    return reader;
}

static lsi_reader *reader_at_start(fixture *fx, lsi_engine_stream *stream, uint32_t shard)
{
    return reader_at(fx, stream, shard, (ls_position){.kind = LS_TRIM_HORIZON});
}

static void assert_data(const ls_record *record, const char *data)
{
    assert_int_equal(record->data.size, strlen(data));
    assert_memory_equal(record->data.data, data, strlen(data));
}

/* ---- streams ---- */

static bool note_name(void *user, const char *name)
{
    char *names = user;

    strcat(names, name);
    strcat(names, " ");
    return strlen(names) < 100;
}

/* Goal: listing. Method: create out of order, list from the start and from a name, stop after the first. */
static void streams_are_listed_in_byte_order(void **state)
{
    fixture *fx = *state;
    char names[256] = "";

    assert_int_equal(fx->ops->list(fx->engine, "", note_name, names), LS_OK);
    assert_string_equal(names, "");
    create(fx, "b", 1);
    create(fx, "a.1", 1);
    create(fx, "B", 1);
    create(fx, "a", 1);
    assert_int_equal(fx->ops->list(fx->engine, "", note_name, names), LS_OK);
    assert_string_equal(names, "B a a.1 b ");
    names[0] = '\0';
    assert_int_equal(fx->ops->list(fx->engine, "a", note_name, names), LS_OK);
    assert_string_equal(names, "a.1 b ");
    names[0] = '\0';
    assert_int_equal(fx->ops->list(fx->engine, "aa", note_name, names), LS_OK);
    assert_string_equal(names, "b ");
}

/* Goal: what is created is described. Method: compare every field; the ranges must cover the key space. */
static void a_stream_is_as_it_was_created(void **state)
{
    fixture *fx = *state;
    lsi_stream_spec spec = {"orders", 3, 48, LS_STREAM_PROVISIONED, 4096};
    lsi_engine_stream *stream;
    lsi_stream_info info;
    ls_hash_key firsts[3];
    uint32_t indexes[3], open_count;

    assert_int_equal(fx->ops->create(fx->engine, &spec), LS_OK);
    assert_int_equal(fx->ops->stream_open(fx->engine, "orders", &stream), LS_OK);
    assert_int_equal(fx->ops->info(stream, &info), LS_OK);
    assert_string_equal(info.name, "orders");
    assert_int_equal(info.retention_hours, 48);
    assert_int_equal(info.mode, LS_STREAM_PROVISIONED);
    assert_int_equal(info.record_bytes_max, 4096);
    assert_int_equal(info.shard_count, 3);
    assert_true(info.created_us > INT64_C(1600000000000000));
    assert_int_equal(info.generation, fx->ops->generation(stream));
    assert_int_equal(lsi_route_build(info.shards, 3, firsts, indexes, &open_count), LS_OK);
    assert_int_equal(open_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(info.shards[i].index, i);
        assert_int_equal(info.shards[i].parent, LSI_NO_SHARD);
        assert_false(info.shards[i].closed);
        assert_int_equal(info.shards[i].created_us, info.created_us);
    }
    lsi_stream_info_free(&info);
    lsi_stream_info_free(&info); /* accepts a released one */
    fx->ops->stream_close(stream);
}

static void a_taken_name_is_refused(void **state)
{
    fixture *fx = *state;
    lsi_stream_spec spec = {"a", 1, 24, LS_STREAM_ON_DEMAND, 1 << 20};

    create(fx, "a", 2);
    assert_int_equal(fx->ops->create(fx->engine, &spec), LS_ERR_EXISTS);
}

static void an_unknown_name_is_not_found(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = NULL;

    assert_int_equal(fx->ops->stream_open(fx->engine, "a", &stream), LS_ERR_NOT_FOUND);
    assert_null(stream);
    assert_int_equal(fx->ops->remove(fx->engine, "a"), LS_ERR_NOT_FOUND);
}

static void an_unknown_shard_is_not_found(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 2);
    lsi_shard_state shard;
    lsi_reader *reader;

    assert_int_equal(fx->ops->shard_state(stream, 2, &shard), LS_ERR_NOT_FOUND);
    assert_int_equal(fx->ops->reader_open(stream, 2, 0, &reader), LS_ERR_NOT_FOUND);
    assert_int_equal(fx->ops->reset_shard(stream, UINT32_MAX), LS_ERR_NOT_FOUND);
    fx->ops->stream_close(stream);
}

/* Goal: a deleted stream is gone for every handle. Method: delete it under an open stream, appender and reader. */
static void a_deleted_stream_is_not_found_by_its_handles(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1), *again = NULL;
    ls_put_entry entry = {{"k", 1}, {"d", 1}, NULL};
    lsi_append batch = {&entry, NULL, 1, false};
    ls_position position = {.kind = LS_TRIM_HORIZON};
    lsi_append_result result;
    lsi_appender *appender;
    lsi_reader *reader;
    lsi_shard_state shard;
    lsi_stream_info info;
    lsi_read page;
    uint64_t generation = fx->ops->generation(stream);

    (void)append(fx, stream, 0, "x", 3);
    assert_int_equal(fx->ops->appender_open(stream, &appender), LS_OK);
    reader = reader_at_start(fx, stream, 0);
    assert_int_equal(fx->ops->remove(fx->engine, "a"), LS_OK);

    assert_int_equal(fx->ops->append(appender, 0, &batch, &result), LS_ERR_NOT_FOUND);
    assert_int_equal(result.accepted, 0);
    assert_int_equal(fx->ops->read(reader, 10, 1 << 20, &page), LS_ERR_NOT_FOUND);
    assert_int_equal(fx->ops->seek(reader, &position), LS_ERR_NOT_FOUND);
    assert_int_equal(fx->ops->info(stream, &info), LS_ERR_NOT_FOUND);
    assert_int_equal(fx->ops->shard_state(stream, 0, &shard), LS_ERR_NOT_FOUND);
    assert_int_equal(fx->ops->reset_shard(stream, 0), LS_ERR_NOT_FOUND);
    assert_true(fx->ops->generation(stream) != generation);
    assert_int_equal(fx->ops->stream_open(fx->engine, "a", &again), LS_ERR_NOT_FOUND);
    assert_int_equal(fx->ops->remove(fx->engine, "a"), LS_ERR_NOT_FOUND);
    fx->ops->appender_close(appender);
    fx->ops->reader_close(reader);
    fx->ops->stream_close(stream);
}

/* Goal: a name used again is another stream. Method: delete with records and handles open, create anew, read. */
static void a_name_used_again_shows_no_old_records(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *old = create_and_open(fx, "a", 1), *stream;
    lsi_stream_info before, after;
    lsi_reader *reader;
    lsi_read page;

    (void)append(fx, old, 0, "old", 3);
    assert_int_equal(fx->ops->info(old, &before), LS_OK);
    assert_int_equal(fx->ops->remove(fx->engine, "a"), LS_OK);
    stream = create_and_open(fx, "a", 1);
    assert_int_equal(fx->ops->info(stream, &after), LS_OK);
    assert_true(after.id > before.id);
    reader = reader_at_start(fx, stream, 0);
    assert_int_equal(fx->ops->read(reader, 10, 1 << 20, &page), LS_OK);
    assert_int_equal(page.count, 0);
    (void)append(fx, stream, 0, "new", 1);
    assert_int_equal(fx->ops->read(reader, 10, 1 << 20, &page), LS_OK);
    assert_int_equal(page.count, 1);
    assert_data(&page.records[0], "new0");
    fx->ops->reader_close(reader);
    lsi_stream_info_free(&before);
    lsi_stream_info_free(&after);
    fx->ops->stream_close(stream);
    fx->ops->stream_close(old);
}

/* ---- records ---- */

/* Goal: O1. Method: three appends, one reader; numbers rise, data, key, shard and time are right. */
static void records_come_back_in_order(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 2);
    lsi_reader *reader = reader_at_start(fx, stream, 1);
    ls_seqno last = 0;
    int64_t last_us = 0;
    uint32_t got = 0;

    for (uint32_t i = 0; i < 3; i++) {
        ls_seqno first = append(fx, stream, 1, "r", 10);

        assert_true(first > last);
        last = first + 9;
    }
    last = 0;
    while (got < 30) {
        lsi_read page;

        assert_int_equal(fx->ops->read(reader, 1000, 1 << 20, &page), LS_OK);
        assert_true(page.count > 0);
        for (uint32_t i = 0; i < page.count; i++, got++) {
            char data[32];

            (void)snprintf(data, sizeof data, "r%u", got % 10);
            assert_data(&page.records[i], data);
            assert_int_equal(page.records[i].partition_key.size, 3);
            assert_memory_equal(page.records[i].partition_key.data, "key", 3);
            assert_int_equal(page.records[i].shard, 1);
            assert_true(page.records[i].seqno > last);
            assert_true(page.records[i].arrival_us >= last_us);
            last = page.records[i].seqno;
            last_us = page.records[i].arrival_us;
        }
        assert_false(page.shard_end);
    }
    assert_true(fx->ops->place(reader) > last);
    fx->ops->reader_close(reader);
    fx->ops->stream_close(stream);
}

/* Goal: picks choose and order. Method: pick the last and the first of three; an explicit key comes back. */
static void picks_choose_what_is_appended(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    ls_hash_key key = {7, 8};
    ls_put_entry entries[3] = {{{"a", 1}, {"0", 1}, NULL}, {{"b", 1}, {"1", 1}, NULL}, {{"c", 1}, {NULL, 0}, &key}};
    uint32_t picks[2] = {2, 0};
    lsi_append batch = {entries, picks, 2, true};
    lsi_append_result result;
    lsi_appender *appender;
    lsi_reader *reader;
    lsi_read page;

    assert_int_equal(fx->ops->appender_open(stream, &appender), LS_OK);
    assert_int_equal(fx->ops->append(appender, 0, &batch, &result), LS_OK);
    assert_int_equal(result.accepted, 2);
    assert_int_equal(fx->ops->commit(appender, 0, result.end, LS_DURABILITY_SYNC), LS_OK);
    reader = reader_at_start(fx, stream, 0);
    assert_int_equal(fx->ops->read(reader, 10, 1 << 20, &page), LS_OK);
    assert_int_equal(page.count, 2);
    assert_data(&page.records[0], "");
    assert_int_equal(page.records[0].flags, LS_RECORD_EXPLICIT_HASH_KEY);
    assert_int_equal(page.records[0].explicit_hash_key.high, 7);
    assert_int_equal(page.records[0].explicit_hash_key.low, 8);
    assert_int_equal(page.records[0].seqno, result.first_seqno);
    assert_data(&page.records[1], "0");
    assert_int_equal(page.records[1].flags, 0);
    assert_int_equal(page.records[1].seqno, result.first_seqno + 1);
    fx->ops->reader_close(reader);
    fx->ops->appender_close(appender);
    fx->ops->stream_close(stream);
}

/* Goal: one segment is not the end. Method: 64 KiB segments, 300 records of 2 KiB. */
static void records_go_on_through_many_segments(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    static unsigned char data[2048];
    lsi_appender *appender;
    lsi_reader *reader;
    uint32_t got = 0;

    assert_int_equal(fx->ops->appender_open(stream, &appender), LS_OK);
    for (uint32_t i = 0; i < 300; i++) {
        ls_put_entry entry = {{"k", 1}, {data, sizeof data}, NULL};
        lsi_append batch = {&entry, NULL, 1, false};
        lsi_append_result result;

        memcpy(data, &i, sizeof i);
        assert_int_equal(fx->ops->append(appender, 0, &batch, &result), LS_OK);
        assert_int_equal(fx->ops->commit(appender, 0, result.end, LS_DURABILITY_DEFAULT), LS_OK);
    }
    reader = reader_at_start(fx, stream, 0);
    for (;;) {
        lsi_read page;

        assert_int_equal(fx->ops->read(reader, 7, 1 << 20, &page), LS_OK);
        assert_true(page.count <= 7);
        for (uint32_t i = 0; i < page.count; i++, got++) {
            uint32_t number;

            memcpy(&number, page.records[i].data.data, sizeof number);
            assert_int_equal(number, got);
        }
        if (page.count == 0)
            break;
        assert_true(!page.at_tip || got == 300);
    }
    assert_int_equal(got, 300);
    fx->ops->reader_close(reader);
    fx->ops->appender_close(appender);
    fx->ops->stream_close(stream);
}

/* ---- positions and limits ---- */

static ls_seqno first_read(fixture *fx, lsi_engine_stream *stream, ls_position position)
{
    lsi_reader *reader = reader_at(fx, stream, 0, position);
    lsi_read page;
    ls_seqno seqno;

    assert_int_equal(fx->ops->read(reader, 1, 1 << 20, &page), LS_OK);
    seqno = page.count == 0 ? LS_SEQNO_NONE : page.records[0].seqno;
    assert_int_equal(page.count == 0, page.count == 0 && page.at_tip);
    fx->ops->reader_close(reader);
    return seqno;
}

static void the_five_positions_begin_where_they_say(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    ls_seqno first = append(fx, stream, 0, "x", 5);
    lsi_reader *reader = reader_at(fx, stream, 0, (ls_position){.kind = LS_LATEST});
    ls_seqno second = append(fx, stream, 0, "y", 5);
    lsi_read page;
    int64_t arrival_us;

    assert_int_equal(fx->ops->read(reader, 1, 1 << 20, &page), LS_OK);
    assert_int_equal(page.records[0].seqno, second); /* what came after the seek */
    arrival_us = page.records[0].arrival_us;
    fx->ops->reader_close(reader);
    assert_int_equal(first_read(fx, stream, (ls_position){.kind = LS_TRIM_HORIZON}), first);
    assert_int_equal(first_read(fx, stream, (ls_position){.kind = LS_LATEST}), LS_SEQNO_NONE);
    assert_int_equal(first_read(fx, stream, (ls_position){.kind = LS_AT_SEQUENCE_NUMBER, .seqno = first + 2}),
                     first + 2);
    assert_int_equal(first_read(fx, stream, (ls_position){.kind = LS_AFTER_SEQUENCE_NUMBER, .seqno = first + 2}),
                     first + 3);
    assert_int_equal(first_read(fx, stream, (ls_position){.kind = LS_AFTER_SEQUENCE_NUMBER, .seqno = second + 4}),
                     LS_SEQNO_NONE);
    assert_true(first_read(fx, stream, (ls_position){.kind = LS_AT_TIMESTAMP, .timestamp_us = arrival_us}) <= second);
    assert_int_equal(first_read(fx, stream, (ls_position){.kind = LS_AT_TIMESTAMP, .timestamp_us = 1}), first);
    assert_int_equal(first_read(fx, stream, (ls_position){.kind = LS_AT_TIMESTAMP, .timestamp_us = arrival_us + 1}),
                     LS_SEQNO_NONE);
    fx->ops->stream_close(stream);
}

static void limits_are_kept_but_one_record_always_comes(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    lsi_reader *reader;
    lsi_read page;

    (void)append(fx, stream, 0, "x", 10);
    reader = reader_at_start(fx, stream, 0);
    assert_int_equal(fx->ops->read(reader, 3, 1 << 20, &page), LS_OK);
    assert_int_equal(page.count, 3);
    assert_false(page.at_tip);
    assert_int_equal(fx->ops->read(reader, 100, 1, &page), LS_OK);
    assert_int_equal(page.count, 1);
    assert_data(&page.records[0], "x3");
    assert_int_equal(fx->ops->read(reader, 100, 10, &page), LS_OK); /* two of "key" and two bytes */
    assert_int_equal(page.count, 2);
    assert_int_equal(fx->ops->read(reader, 100, 1 << 20, &page), LS_OK);
    assert_int_equal(page.count, 4);
    assert_true(page.at_tip);
    assert_int_equal(fx->ops->read(reader, 100, 1 << 20, &page), LS_OK);
    assert_int_equal(page.count, 0);
    assert_true(page.at_tip);
    fx->ops->reader_close(reader);
    fx->ops->stream_close(stream);
}

/* Goal: a place can be kept as a number. Method: read half, open another reader at the place. */
static void a_place_can_be_returned_to(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    lsi_reader *reader, *other;
    lsi_read page;
    ls_seqno place;

    (void)append(fx, stream, 0, "x", 4);
    (void)append(fx, stream, 0, "y", 4);
    reader = reader_at_start(fx, stream, 0);
    for (int i = 0; i < 8; i++) {
        char data[16];

        place = fx->ops->place(reader);
        other = reader_at(fx, stream, 0, (ls_position){.kind = LS_AT_SEQUENCE_NUMBER, .seqno = place});
        assert_int_equal(fx->ops->read(other, 1, 1, &page), LS_OK);
        (void)snprintf(data, sizeof data, "%c%d", i < 4 ? 'x' : 'y', i % 4);
        assert_data(&page.records[0], data);
        fx->ops->reader_close(other);
        assert_int_equal(fx->ops->read(reader, 1, 1, &page), LS_OK);
        assert_data(&page.records[0], data);
    }
    fx->ops->reader_close(reader);
    fx->ops->stream_close(stream);
}

static void the_state_of_a_shard_names_its_first_and_last_record(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 2);
    lsi_shard_state shard;
    ls_seqno first;

    assert_int_equal(fx->ops->shard_state(stream, 0, &shard), LS_OK);
    assert_int_equal(shard.oldest_seqno, LS_SEQNO_NONE);
    assert_int_equal(shard.latest_seqno, LS_SEQNO_NONE);
    assert_int_equal(shard.health, LS_OK);
    first = append(fx, stream, 0, "x", 5);
    assert_int_equal(fx->ops->shard_state(stream, 0, &shard), LS_OK);
    assert_int_equal(shard.oldest_seqno, first);
    assert_int_equal(shard.latest_seqno, first + 4);
    assert_int_equal(fx->ops->reset_shard(stream, 0), LS_ERR_STATE); /* it is healthy */
    fx->ops->stream_close(stream);
}

typedef struct tag_line {
    char text[200];
    size_t size;
} tag_line;

static bool note_tag(void *user, const ls_tag *tag)
{
    tag_line *line = user;

    line->size += (size_t)snprintf(line->text + line->size, sizeof line->text - line->size, "%s=%s;", tag->key,
                                   tag->value);
    return true;
}

/* Everything that can be changed; the generation says so, and a handle that was open before goes by it. */
static void a_stream_in_use_is_changed(void **state)
{
    static const ls_tag tags[] = {{"b", "2"}, {"a", NULL}};
    static const char *const keys[] = {"b"};
    static const lsi_stream_change changes[] = {
        {.kind = LSI_CHANGE_RETENTION_UP, .value = 48},     {.kind = LSI_CHANGE_RETENTION_DOWN, .value = 12},
        {.kind = LSI_CHANGE_RETENTION_BYTES, .value = 1 << 20},
        {.kind = LSI_CHANGE_MODE, .value = LS_STREAM_PROVISIONED},
        {.kind = LSI_CHANGE_RECORD_BYTES_MAX, .value = 2048}, {.kind = LSI_CHANGE_TAGS_ADD, .tags = tags, .count = 2},
        {.kind = LSI_CHANGE_TAGS_REMOVE, .keys = keys, .count = 1}};
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1), *other;
    lsi_stream_change wrong = {.kind = LSI_CHANGE_RETENTION_UP, .value = 11};
    tag_line line = {.size = 0};
    lsi_stream_info info;

    assert_int_equal(fx->ops->stream_open(fx->engine, "a", &other), LS_OK);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        uint64_t before = fx->ops->generation(other);

        assert_int_equal(fx->ops->update(stream, &changes[i]), LS_OK);
        assert_true(fx->ops->generation(other) != before);
    }
    assert_int_equal(fx->ops->update(stream, &wrong), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(fx->ops->info(other, &info), LS_OK);
    assert_int_equal(info.retention_hours, 12);
    assert_int_equal(info.retention_bytes, 1 << 20);
    assert_int_equal(info.mode, LS_STREAM_PROVISIONED);
    assert_int_equal(info.record_bytes_max, 2048);
    assert_int_equal(info.status, LS_STREAM_ACTIVE);
    lsi_stream_info_free(&info);
    assert_int_equal(fx->ops->tags(other, note_tag, &line), LS_OK);
    assert_string_equal(line.text, "a=;");
    fx->ops->stream_close(other);
    fx->ops->stream_close(stream);
}

/* A cap of two segments: the oldest records go, the newest stay, and who stood at the oldest is told once. */
static void a_cap_drops_the_oldest_records(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    lsi_stream_change cap = {.kind = LSI_CHANGE_RETENTION_BYTES, .value = 2 * (64 << 10)};
    lsi_reader *reader;
    lsi_shard_state shard;
    ls_seqno first = append(fx, stream, 0, "0", 1), last = 0;
    lsi_read page;

    reader = reader_at_start(fx, stream, 0);
    assert_int_equal(fx->ops->read(reader, 1, 1 << 20, &page), LS_OK);
    assert_int_equal(page.count, 1);
    for (int i = 0; i < 400; i++)
        last = append(fx, stream, 0, "0123456789", 60) + 59;
    assert_int_equal(fx->ops->update(stream, &cap), LS_OK);
    assert_int_equal(fx->ops->maintain(fx->engine, -1), LS_OK);
    assert_int_equal(fx->ops->shard_state(stream, 0, &shard), LS_OK);
    assert_true(shard.oldest_seqno > first + 1);
    assert_int_equal(shard.latest_seqno, last);
    assert_int_equal(fx->ops->read(reader, 1, 1 << 20, &page), LS_ERR_TRIMMED);
    assert_int_equal(fx->ops->place(reader), shard.oldest_seqno);
    assert_int_equal(fx->ops->read(reader, 1, 1 << 20, &page), LS_OK);
    assert_int_equal(page.records[0].seqno, shard.oldest_seqno);
    fx->ops->reader_close(reader);
    fx->ops->stream_close(stream);
}

static void sync_and_maintain_succeed_on_a_healthy_store(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 2);

    (void)append(fx, stream, 0, "x", 5);
    (void)append(fx, stream, 1, "x", 5);
    assert_int_equal(fx->ops->sync(fx->engine), LS_OK);
    assert_int_equal(fx->ops->maintain(fx->engine, -1), LS_OK);
    assert_int_equal(fx->ops->durability(fx->engine), where.durability);
    fx->ops->stream_close(stream);
}

/* ---- resharding ---- */

static ls_status split(fixture *fx, lsi_engine_stream *stream, uint32_t shard, ls_hash_key at, uint32_t *first)
{
    lsi_reshard_step step = {.shard = shard, .adjacent = LSI_NO_SHARD, .at = at};

    return fx->ops->reshard(stream, &step, 1, false, first);
}

/* Whether an append to the shard finds it closed. */
static bool is_moved(fixture *fx, lsi_engine_stream *stream, uint32_t shard)
{
    ls_put_entry entry = {{"k", 1}, {"d", 1}, NULL};
    lsi_append batch = {&entry, NULL, 1, false};
    lsi_append_result result;
    lsi_appender *appender;

    assert_int_equal(fx->ops->appender_open(stream, &appender), LS_OK);
    assert_int_equal(fx->ops->append(appender, shard, &batch, &result), LS_OK);
    assert_int_equal(result.accepted, result.moved ? 0 : 1);
    fx->ops->appender_close(appender);
    return result.moved;
}

/* Reads from where the reader is: how many records, which end the shard or do not. */
static uint32_t read_to_end(fixture *fx, lsi_reader *reader, bool ends)
{
    uint32_t count = 0;
    lsi_read page;

    do {
        assert_int_equal(fx->ops->read(reader, 3, 1 << 20, &page), LS_OK);
        count += page.count;
        assert_true(page.at_tip || !page.shard_end);
    } while (!page.at_tip);
    assert_int_equal(page.shard_end, ends);
    return count;
}

static uint32_t open_shards(fixture *fx, lsi_engine_stream *stream, lsi_stream_info *info)
{
    ls_hash_key firsts[64];
    uint32_t indexes[64], count;

    assert_int_equal(fx->ops->info(stream, info), LS_OK);
    assert_true(info->shard_count <= 64);
    assert_int_equal(lsi_route_build(info->shards, info->shard_count, firsts, indexes, &count), LS_OK);
    return count;
}

/* Goal: a split is what engine.h says, to those who hold handles on the parent and to those who come after. */
static void a_split_closes_the_parent_and_opens_its_children(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    uint64_t generation = fx->ops->generation(stream);
    ls_hash_key at = {7, 0};
    ls_seqno number = append(fx, stream, 0, "x", 7), child_number;
    lsi_reader *before = reader_at_start(fx, stream, 0), *after;
    lsi_shard_state about;
    lsi_stream_info info;
    uint32_t first = 99;

    assert_int_equal(read_to_end(fx, before, false), 7);
    assert_int_equal(split(fx, stream, 0, at, &first), LS_OK);
    assert_int_equal(first, 1);
    assert_true(fx->ops->generation(stream) != generation);
    assert_int_equal(open_shards(fx, stream, &info), 2);
    assert_int_equal(info.generation, fx->ops->generation(stream));
    assert_int_equal(info.shard_count, 3);
    assert_true(info.shards[0].closed && info.shards[0].last_seqno >= number + 6);
    assert_true(info.shards[0].closed_us >= info.created_us);
    assert_true(info.shards[1].range.last.high == 6 && info.shards[2].range.first.high == 7);
    for (uint32_t i = 1; i < 3; i++) {
        assert_int_equal(info.shards[i].parent, 0);
        assert_int_equal(info.shards[i].adjacent_parent, LSI_NO_SHARD);
        assert_true(info.shards[i].first_seqno > info.shards[0].last_seqno);
    }
    assert_true(is_moved(fx, stream, 0));
    assert_int_equal(read_to_end(fx, before, true), 0);
    after = reader_at_start(fx, stream, 0);
    assert_int_equal(read_to_end(fx, after, true), 7);
    assert_int_equal(fx->ops->shard_state(stream, 0, &about), LS_OK);
    assert_int_equal(about.latest_seqno, number + 6);
    assert_int_equal(about.health, LS_OK);
    child_number = append(fx, stream, 2, "y", 2);
    assert_true(child_number >= info.shards[2].first_seqno);
    fx->ops->reader_close(after);
    after = reader_at_start(fx, stream, 2);
    assert_int_equal(read_to_end(fx, after, false), 2);
    fx->ops->reader_close(after);
    fx->ops->reader_close(before);
    assert_int_equal(fx->ops->sync(fx->engine), LS_OK);
    lsi_stream_info_free(&info);
    fx->ops->stream_close(stream);
}

/* Goal: several steps are one. Method: a split and a merge together; then a list whose last step breaks a rule. */
static void several_steps_are_all_done_or_none(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 4);
    lsi_reshard_step steps[2] = {{0, LSI_NO_SHARD, {9, 9}}, {2, 3, {0, 0}}};
    lsi_stream_info info;
    uint64_t generation;
    uint32_t first = 99;

    (void)append(fx, stream, 2, "x", 3);
    (void)append(fx, stream, 3, "x", 4);
    assert_int_equal(fx->ops->reshard(stream, steps, 2, false, &first), LS_OK);
    assert_int_equal(first, 4);
    assert_int_equal(open_shards(fx, stream, &info), 4);
    assert_int_equal(info.shard_count, 7);
    assert_int_equal(info.shards[4].parent, 0);
    assert_int_equal(info.shards[5].range.first.high, 9);
    assert_int_equal(info.shards[6].parent, 2);
    assert_int_equal(info.shards[6].adjacent_parent, 3);
    assert_true(info.shards[6].first_seqno > info.shards[2].last_seqno &&
                info.shards[6].first_seqno > info.shards[3].last_seqno);
    lsi_stream_info_free(&info);
    generation = fx->ops->generation(stream);
    steps[0] = (lsi_reshard_step){1, 6, {0, 0}};
    steps[1] = (lsi_reshard_step){4, 6, {0, 0}}; /* 6 is taken by the step before */
    assert_int_equal(fx->ops->reshard(stream, steps, 2, false, &first), LS_ERR_STATE);
    steps[1] = (lsi_reshard_step){5, LSI_NO_SHARD, {9, 9}}; /* its first key */
    assert_int_equal(fx->ops->reshard(stream, steps, 2, false, &first), LS_ERR_INVALID_ARGUMENT);
    steps[1] = (lsi_reshard_step){7, LSI_NO_SHARD, {9, 9}};
    assert_int_equal(fx->ops->reshard(stream, steps, 2, false, &first), LS_ERR_NOT_FOUND);
    assert_int_equal(fx->ops->generation(stream), generation);
    assert_int_equal(open_shards(fx, stream, &info), 4);
    assert_int_equal(info.shard_count, 7);
    lsi_stream_info_free(&info);
    assert_false(is_moved(fx, stream, 1));
    assert_false(is_moved(fx, stream, 6));
    assert_int_equal(fx->ops->sync(fx->engine), LS_OK);
    fx->ops->stream_close(stream);
}

/* Goal: a shard can be resharded as often as wanted, and all of it stays. Method: 40 splits of the upper half, a record
 * in each, read through another handle that was open all the time. */
static void a_long_lineage_is_followed(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1), *other;
    ls_seqno last = 0;

    assert_int_equal(fx->ops->stream_open(fx->engine, "a", &other), LS_OK);
    for (uint32_t i = 0; i < 40; i++) {
        ls_hash_key at = {UINT64_MAX << (60 - i), 0};
        ls_seqno number = append(fx, stream, 2 * i, "x", 2);
        lsi_reader *reader = reader_at_start(fx, other, 2 * i);
        uint32_t first;

        assert_true(number > last);
        last = number + 1;
        assert_int_equal(split(fx, stream, 2 * i, at, &first), LS_OK);
        assert_int_equal(first, 2 * i + 1);
        assert_int_equal(read_to_end(fx, reader, true), 2);
        fx->ops->reader_close(reader);
    }
    fx->ops->stream_close(other);
    fx->ops->stream_close(stream);
}

/* ---- waiting ---- */

typedef struct sleeper {
    fixture *fx;
    lsi_engine_stream *stream;
    uint32_t shard;
    _Atomic int armed;
    _Atomic int ended;
    int woken;          /* it saw what it waited for */
    lsi_reader *reader; /* NULL: ends with the first wake */
    ls_status status;
} sleeper;

/* Waits as the rooms above do: arm, look, sleep. */
static void sleep_until_there_is_something(void *user)
{
    sleeper *who = user;
    const lsi_engine_ops *ops = who->fx->ops;

    for (int i = 0; i < 20; i++) {
        uint32_t token = ops->arm(who->stream, who->shard);

        if (who->reader != NULL) {
            lsi_read page;

            who->status = ops->read(who->reader, 10, 1 << 20, &page);
            if (who->status != LS_OK || page.count > 0 || page.shard_end) {
                who->woken = 1;
                return;
            }
        }
        atomic_store(&who->armed, 1);
        if (ops->sleep(who->stream, who->shard, token, 5000000) == LSI_WOKEN && who->reader == NULL) {
            who->woken = 1;
            return;
        }
    }
}

static int64_t monotonic_us(void)
{
    return lsi_monotonic_us(&lsi_clock_system);
}

static void wait_for(_Atomic int *flag)
{
    _Atomic uint32_t word = 0;

    for (int i = 0; i < 5000 && atomic_load(flag) == 0; i++)
        (void)lsi_word_sleep(&word, 0, 1000);
    assert_int_equal(atomic_load(flag), 1);
}

static void run_sleeper(fixture *fx, sleeper *who, void (*wake)(fixture *fx, sleeper *who))
{
    lsi_thread thread = {0};
    int64_t began;

    assert_int_equal(lsi_thread_start(&thread, "sleeper", sleep_until_there_is_something, who), 0);
    wait_for(&who->armed);
    began = monotonic_us();
    wake(fx, who);
    lsi_thread_join(&thread);
    assert_int_equal(who->woken, 1);
    assert_true(monotonic_us() - began < 900000); /* by the wake, not by a limit of the engine's */
}

static void wake_by_append(fixture *fx, sleeper *who)
{
    (void)append(fx, who->stream, 1, "x", 1);
}

static void wake_by_wake(fixture *fx, sleeper *who)
{
    fx->ops->wake(who->stream, who->shard);
}

static void wake_by_remove(fixture *fx, sleeper *who)
{
    (void)who;
    assert_int_equal(fx->ops->remove(fx->engine, "a"), LS_OK);
}

static void wake_by_split(fixture *fx, sleeper *who)
{
    uint32_t first;

    assert_int_equal(split(fx, who->stream, 0, (ls_hash_key){3, 3}, &first), LS_OK);
}

static void a_split_wakes_who_waits_on_the_parent_and_on_all_shards(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 2), *again = create_and_open(fx, "b", 2);
    sleeper one = {.fx = fx, .stream = stream, .shard = 0, .reader = reader_at_start(fx, stream, 0)};
    sleeper all = {.fx = fx, .stream = again, .shard = LSI_NO_SHARD};

    run_sleeper(fx, &one, wake_by_split);
    assert_int_equal(one.status, LS_OK);
    run_sleeper(fx, &all, wake_by_split);
    fx->ops->reader_close(one.reader);
    fx->ops->stream_close(stream);
    fx->ops->stream_close(again);
}

static void an_append_wakes_the_readers_of_its_shard_and_of_all_shards(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 2);
    sleeper one = {.fx = fx, .stream = stream, .shard = 1, .reader = reader_at_start(fx, stream, 1)};
    sleeper all = {.fx = fx, .stream = stream, .shard = LSI_NO_SHARD};

    run_sleeper(fx, &one, wake_by_append);
    assert_int_equal(one.status, LS_OK);
    all.reader = reader_at(fx, stream, 1, (ls_position){.kind = LS_LATEST});
    run_sleeper(fx, &all, wake_by_append);
    assert_int_equal(all.status, LS_OK);
    fx->ops->reader_close(one.reader);
    fx->ops->reader_close(all.reader);
    fx->ops->stream_close(stream);
}

static void a_wake_ends_a_sleep(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 2);
    lsi_reader *touched = reader_at_start(fx, stream, 0);
    sleeper one = {.fx = fx, .stream = stream, .shard = 0}, all = {.fx = fx, .stream = stream, .shard = LSI_NO_SHARD};

    run_sleeper(fx, &one, wake_by_wake);
    run_sleeper(fx, &all, wake_by_wake);
    fx->ops->reader_close(touched);
    fx->ops->stream_close(stream);
}

static void a_deletion_wakes_waiting_readers(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 2);
    sleeper one = {.fx = fx, .stream = stream, .shard = 0, .reader = reader_at_start(fx, stream, 0)};

    run_sleeper(fx, &one, wake_by_remove);
    assert_int_equal(one.status, LS_ERR_NOT_FOUND);
    fx->ops->reader_close(one.reader);
    fx->ops->stream_close(stream);
}

static void a_sleep_ends_when_its_time_is_over(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    int64_t began = monotonic_us();
    uint32_t token = fx->ops->arm(stream, 0);

    assert_int_equal(fx->ops->sleep(stream, 0, token, 20000), LSI_SLEPT_OUT);
    assert_true(monotonic_us() - began >= 19000);
    fx->ops->stream_close(stream);
}

/* Goal: no sleep after what it waits for. Method: append between arm and sleep. */
static void what_comes_between_arm_and_sleep_is_not_slept_over(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    lsi_reader *reader = reader_at_start(fx, stream, 0);
    int64_t began = monotonic_us();
    uint32_t token = fx->ops->arm(stream, 0), token_all = fx->ops->arm(stream, LSI_NO_SHARD);

    (void)append(fx, stream, 0, "x", 1);
    assert_int_equal(fx->ops->sleep(stream, 0, token, 5000000), LSI_WOKEN);
    assert_int_equal(fx->ops->sleep(stream, LSI_NO_SHARD, token_all, 5000000), LSI_WOKEN);
    assert_true(monotonic_us() - began < 900000);
    fx->ops->reader_close(reader);
    fx->ops->stream_close(stream);
}

/* Goal: who only looks makes no words, and sees those that there are. */
static void words_of_leases_are_found_once_they_are_wanted(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 2);
    const lsi_budget_word *found;
    lsi_budget_word *words;

    assert_null(fx->ops->find_lease_words(stream, 1, 1));
    assert_int_equal(fx->ops->lease_words(stream, 1, 1, &words), LS_OK);
    atomic_store(&words[LSI_LEASE_BEAT], 7);
    found = fx->ops->find_lease_words(stream, 1, 1);
    assert_non_null(found);
    assert_int_equal(atomic_load(&found[LSI_LEASE_BEAT]), 7);
    assert_null(fx->ops->find_lease_words(stream, 1, 0));
    assert_null(fx->ops->find_lease_words(stream, 0, 1));
    assert_null(fx->ops->find_lease_words(stream, LSI_GROUPS_MAX, 0));
    fx->ops->stream_close(stream);
}

static void sleep_guarded(void *user)
{
    sleeper *who = user;
    uint32_t token = who->fx->ops->arm(who->stream, who->shard);

    atomic_store(&who->armed, 1);
    who->status = who->fx->ops->sleep_guarded(who->stream, who->shard, token, 30000000) == LSI_WOKEN ? LS_OK
                                                                                                   : LS_ERR_TIMEOUT;
    atomic_store(&who->ended, 1);
}

/* Goal: who sleeps for long is woken for what somebody did who was killed before he woke anybody, and for nothing else.
 * Method: what is done before the arming is told to nobody behind it, as if he had died. */
static void the_dead_are_woken_for(void **state)
{
    fixture *fx = *state;
    static const uint32_t places[] = {0, LSI_NO_SHARD, LSI_STATE_SHARD};
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    lsi_reader *reader = reader_at_start(fx, stream, 0);
    uint32_t conflict;

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        sleeper who = {.fx = fx, .stream = stream, .shard = places[i]};
        lsi_state_change change = {{"k", 1}, LSI_STATE_ANY, {"v", 1}, 0};
        lsi_thread thread = {0};
        int64_t began = monotonic_us();

        assert_int_equal(fx->ops->state_write(stream, &change, 1, &conflict), LS_OK);
        fx->ops->rouse(fx->engine);
        if (places[i] == LSI_STATE_SHARD)
            assert_int_equal(fx->ops->state_write(stream, &change, 1, &conflict), LS_OK);
        else
            (void)append(fx, stream, 0, "x", 1);
        assert_int_equal(lsi_thread_start(&thread, "sleeper", sleep_guarded, &who), 0);
        wait_for(&who.armed);
        (void)usleep(50000);
        assert_int_equal(atomic_load(&who.ended), 0);
        fx->ops->rouse(fx->engine);
        wait_for(&who.ended);
        assert_int_equal(who.status, LS_OK);
        lsi_thread_join(&thread);
        assert_true(monotonic_us() - began < 5000000);
        if (places[i] == 0) /* One is woken for the stream's upkeep, now and then. */
            continue;
        atomic_store(&who.armed, 0);
        atomic_store(&who.ended, 0);
        fx->ops->rouse(fx->engine);
        assert_int_equal(lsi_thread_start(&thread, "sleeper", sleep_guarded, &who), 0);
        wait_for(&who.armed);
        fx->ops->rouse(fx->engine);
        (void)usleep(50000);
        assert_int_equal(atomic_load(&who.ended), 0);
        fx->ops->wake(stream, places[i]);
        lsi_thread_join(&thread);
    }
    fx->ops->reader_close(reader);
    fx->ops->stream_close(stream);
}

/* Goal: appenders of several threads share a shard. Method: four threads, 50 records each; all are read, in order. */
typedef struct writer {
    fixture *fx;
    lsi_engine_stream *stream;
    char prefix[16];
} writer;

static void write_fifty(void *user)
{
    writer *who = user;

    for (int i = 0; i < 50; i++)
        (void)append(who->fx, who->stream, 0, who->prefix, 1);
}

static void several_threads_append_to_one_shard(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *stream = create_and_open(fx, "a", 1);
    lsi_thread threads[4] = {{0}};
    writer writers[4];
    lsi_reader *reader;
    ls_seqno last = 0;
    uint32_t got = 0;

    for (int i = 0; i < 4; i++) {
        writers[i] = (writer){fx, stream, ""};
        (void)snprintf(writers[i].prefix, sizeof writers[i].prefix, "w%d.", i);
        assert_int_equal(lsi_thread_start(&threads[i], "writer", write_fifty, &writers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        lsi_thread_join(&threads[i]);
    reader = reader_at_start(fx, stream, 0);
    for (;;) {
        lsi_read page;

        assert_int_equal(fx->ops->read(reader, 1000, 1 << 20, &page), LS_OK);
        if (page.count == 0)
            break;
        for (uint32_t i = 0; i < page.count; i++, got++) {
            assert_true(page.records[i].seqno > last);
            last = page.records[i].seqno;
        }
    }
    assert_int_equal(got, 200);
    fx->ops->reader_close(reader);
    fx->ops->stream_close(stream);
}

/* ---- steps ---- */

typedef struct stepper {
    fixture *fx;
    lsi_engine_stream *from, *to; /* the counter is of the first */
    uint32_t taken;
} stepper;

/* In `size` the counter. */
static bool note_counter(void *user, const lsi_state_entry *entry)
{
    *(lsi_state_entry *)user = (lsi_state_entry){.version = entry->version,
                                                 .value.size = *(const unsigned char *)entry->value.data};
    return true;
}

/* Counts the counter up to 40, as the others do, and puts what it becomes, in one step. */
static void count_to_forty(void *user)
{
    stepper *who = user;

    for (;;) {
        lsi_state_entry now = {.version = LSI_STATE_NONE};
        unsigned char value;
        ls_put_entry entry = {.partition_key = {"k", 1}, .data = {&value, 1}};
        lsi_state_change change = {.key = {"counter", 7}, .value = {&value, 1}};
        lsi_step_put puts[2] = {{.stream = who->from, .shard = 1, .entries = &entry, .count = 1},
                                {.stream = who->to, .shard = 0, .entries = &entry, .count = 1}};
        uint32_t conflict;

        assert_int_equal(who->fx->ops->state_read(who->from, change.key, note_counter, &now), LS_OK);
        if (now.value.size == 40)
            return;
        value = (unsigned char)(now.value.size + 1);
        change.expected = now.version;
        assert_int_equal(who->fx->ops->step(who->from, &change, 1, puts, 2, &conflict), LS_OK);
        who->taken += conflict == 1;
    }
}

/* Goal: of steps that compare with the same state one is taken, and what it puts shows once. Method: three threads
 * count together, while a fourth one puts by itself. */
static void steps_of_several_threads_are_taken_one_by_one(void **state)
{
    fixture *fx = *state;
    lsi_engine_stream *from = create_and_open(fx, "from", 2), *to = create_and_open(fx, "to", 1);
    stepper who[3] = {{fx, from, to, 0}, {fx, from, to, 0}, {fx, from, to, 0}};
    writer beside = {fx, to, "x"};
    lsi_state_entry counter = {.version = LSI_STATE_NONE};
    lsi_thread threads[4];
    lsi_reader *readers[2];

    for (int i = 0; i < 3; i++)
        assert_int_equal(lsi_thread_start(&threads[i], "counts", count_to_forty, &who[i]), 0);
    assert_int_equal(lsi_thread_start(&threads[3], "puts", write_fifty, &beside), 0);
    for (int i = 0; i < 4; i++)
        lsi_thread_join(&threads[i]);
    assert_int_equal(who[0].taken + who[1].taken + who[2].taken, 40);
    assert_int_equal(fx->ops->state_read(from, (ls_bytes){"counter", 7}, note_counter, &counter), LS_OK);
    assert_int_equal(counter.value.size, 40);
    readers[0] = reader_at_start(fx, from, 1);
    readers[1] = reader_at_start(fx, to, 0);
    for (int i = 0; i < 2; i++) {
        uint32_t next = 1, others = 0;
        lsi_read page;

        do {
            assert_int_equal(fx->ops->read(readers[i], 7, 1 << 20, &page), LS_OK);
            for (uint32_t r = 0; r < page.count; r++) {
                unsigned char value = *(const unsigned char *)page.records[r].data.data;

                others += value == 'x';
                if (value != 'x')
                    assert_int_equal(value, next++);
            }
        } while (page.count > 0);
        assert_int_equal(next, 41);
        assert_int_equal(others, i == 0 ? 0 : 50);
        fx->ops->reader_close(readers[i]);
    }
    fx->ops->stream_close(from);
    fx->ops->stream_close(to);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(streams_are_listed_in_byte_order),
        CASE(a_stream_is_as_it_was_created),
        CASE(a_taken_name_is_refused),
        CASE(an_unknown_name_is_not_found),
        CASE(an_unknown_shard_is_not_found),
        CASE(a_deleted_stream_is_not_found_by_its_handles),
        CASE(a_name_used_again_shows_no_old_records),
        CASE(records_come_back_in_order),
        CASE(picks_choose_what_is_appended),
        CASE(records_go_on_through_many_segments),
        CASE(the_five_positions_begin_where_they_say),
        CASE(limits_are_kept_but_one_record_always_comes),
        CASE(a_place_can_be_returned_to),
        CASE(the_state_of_a_shard_names_its_first_and_last_record),
        CASE(a_stream_in_use_is_changed),
        CASE(a_cap_drops_the_oldest_records),
        CASE(sync_and_maintain_succeed_on_a_healthy_store),
        CASE(a_split_closes_the_parent_and_opens_its_children),
        CASE(several_steps_are_all_done_or_none),
        CASE(a_long_lineage_is_followed),
        CASE(a_split_wakes_who_waits_on_the_parent_and_on_all_shards),
        CASE(an_append_wakes_the_readers_of_its_shard_and_of_all_shards),
        CASE(a_wake_ends_a_sleep),
        CASE(a_deletion_wakes_waiting_readers),
        CASE(a_sleep_ends_when_its_time_is_over),
        CASE(what_comes_between_arm_and_sleep_is_not_slept_over),
        CASE(words_of_leases_are_found_once_they_are_wanted),
        CASE(the_dead_are_woken_for),
        CASE(several_threads_append_to_one_shard),
        CASE(steps_of_several_threads_are_taken_one_by_one),
    };
    int failed = 0;

    where = (location){true, LS_DURABILITY_SYNC};
    failed += cmocka_run_group_tests_name("memory", tests, NULL, NULL);
    where = (location){false, LS_DURABILITY_SYNC};
    failed += cmocka_run_group_tests_name("directory, SYNC", tests, NULL, NULL);
    where = (location){false, LS_DURABILITY_INTERVAL};
    failed += cmocka_run_group_tests_name("directory, INTERVAL", tests, NULL, NULL);
    where = (location){false, LS_DURABILITY_KERNEL};
    failed += cmocka_run_group_tests_name("directory, KERNEL", tests, NULL, NULL);
    return failed;
}
