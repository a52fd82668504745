/* The manifest's payload: settings of the store, streams and their shards. FORMAT.md, "Manifest payload".
 *
 * A payload that came through its checksums is still only bytes (X1): every field is checked before it is used, counts
 * are checked against the bytes that are there before anything is allocated, and what breaks a rule is CORRUPT. What is
 * longer than this release knows is LS_ERR_VERSION: writing it back would lose what we do not understand. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "base/u128.h"
#include "engine/local/local.h"

#define SETTINGS_BYTES 64u
#define STREAM_BYTES 120u /* and the name and the tags, each padded to 8 */
#define STREAM_MUST_REFUSE UINT32_C(0xffff0000)
#define STREAM_CONSUMERS UINT32_C(0x00010000) /* of those: consumers follow the terms */
#define STREAM_AUTO_SCALING UINT32_C(0x00020000) /* and its figures, behind those */
#define STREAM_STATE UINT32_C(0x00080000) /* and there is a log `state` beside its shards */
#define AUTO_SCALING_BYTES 24u
#define TAG_BYTES 4u /* the sizes of key and value */
#define TERMS_BYTES 24u /* and the key id, padded to 8 */
#define SHARD_BYTES 88u
#define SHARD_CLOSED 1u

/* ---- encoding ---- */

static size_t name_room(const char *name)
{
    return (size_t)lsi_round_up(strlen(name), 8);
}

/* With the zeros behind them. What is text and two zeros in memory is text and two sizes here. */
static size_t tags_room(const lsi_tags *tags)
{
    return (size_t)lsi_round_up(tags->bytes - 2 * tags->count + (uint64_t)TAG_BYTES * tags->count, 8);
}

static void tags_encode(lsi_writer *to, const lsi_tags *tags)
{
    const unsigned char *end = to->at + tags_room(tags);
    const char *at = NULL;
    ls_tag tag;

    while (lsi_tags_next(tags, &at, &tag)) {
        lsi_put_u16(to, (uint16_t)strlen(tag.key)); /* 128 and 256 characters */
        lsi_put_u16(to, (uint16_t)strlen(tag.value));
        lsi_put_bytes(to, tag.key, strlen(tag.key));
        lsi_put_bytes(to, tag.value, strlen(tag.value));
    }
    lsi_put_zero(to, (size_t)(end - to->at));
}

static void shard_encode(lsi_writer *to, const lsi_shard *shard)
{
    lsi_put_u32(to, shard->index);
    lsi_put_u32(to, shard->parent);
    lsi_put_u32(to, shard->adjacent_parent);
    lsi_put_u32(to, shard->closed ? SHARD_CLOSED : 0);
    lsi_put_u64(to, shard->range.first.high);
    lsi_put_u64(to, shard->range.first.low);
    lsi_put_u64(to, shard->range.last.high);
    lsi_put_u64(to, shard->range.last.low);
    lsi_put_u64(to, shard->first_seqno);
    lsi_put_u64(to, (uint64_t)shard->created_us);
    lsi_put_u64(to, (uint64_t)shard->closed_us);
    lsi_put_u64(to, shard->last_seqno);
    lsi_put_u64(to, shard->end);
}

static size_t terms_room(const lsi_log_terms *terms)
{
    return terms->codec == 0 && terms->key_id_bytes == 0
               ? 0 : TERMS_BYTES + (size_t)lsi_round_up(terms->key_id_bytes, 8);
}

static void terms_encode(lsi_writer *to, const lsi_log_terms *terms)
{
    size_t room = terms_room(terms);

    if (room == 0)
        return;
    lsi_put_u32(to, terms->codec);
    lsi_put_u32(to, terms->key_id_bytes);
    lsi_put_bytes(to, terms->key_mark, sizeof(terms->key_mark));
    lsi_put_bytes(to, terms->key_id, terms->key_id_bytes);
    lsi_put_zero(to, room - TERMS_BYTES - terms->key_id_bytes);
}

static size_t auto_scaling_room(const lsi_catalog_stream *stream)
{
    return lsi_auto_scaling_is_on(&stream->auto_scaling) ? AUTO_SCALING_BYTES : 0;
}

static void auto_scaling_encode(lsi_writer *to, const lsi_auto_scaling *from)
{
    if (!lsi_auto_scaling_is_on(from))
        return;
    lsi_put_u32(to, from->hot_percent);
    lsi_put_u32(to, from->hot_seconds);
    lsi_put_u32(to, from->cold_percent);
    lsi_put_u32(to, from->cold_seconds);
    lsi_put_u32(to, from->shards_min);
    lsi_put_u32(to, from->shards_max);
}

/* What the bytes of this stream say that no flag word does: those that are there only when there is something to
 * say. */
static uint32_t must_refuse_of(const lsi_catalog_stream *stream)
{
    return (stream->consumer_count > 0 ? STREAM_CONSUMERS : 0) |
        (lsi_auto_scaling_is_on(&stream->auto_scaling) ? STREAM_AUTO_SCALING : 0) |
        (stream->has_state ? STREAM_STATE : 0);
}

ls_status lsi_catalog_encode(const lsi_catalog *catalog, void **out, size_t *size)
{
    size_t bytes = SETTINGS_BYTES;
    lsi_writer to;

    for (uint32_t i = 0; i < catalog->stream_count; i++)
        bytes += STREAM_BYTES + name_room(catalog->streams[i].name) + tags_room(&catalog->streams[i].tags) +
            terms_room(&catalog->streams[i].terms) + lsi_consumers_room(&catalog->streams[i]) +
            auto_scaling_room(&catalog->streams[i]) +
            (size_t)catalog->streams[i].shard_count * SHARD_BYTES;
    *out = lsi_alloc(catalog->memory, bytes);
    if (*out == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a manifest of %zu bytes", bytes);
    *size = bytes;
    to.at = *out;
    to.end = to.at + bytes;
    lsi_put_u32(&to, SETTINGS_BYTES);
    lsi_put_u32(&to, (uint32_t)catalog->durability);
    lsi_put_bytes(&to, catalog->store_id, sizeof(catalog->store_id));
    lsi_put_u64(&to, catalog->segment_bytes);
    lsi_put_u64(&to, catalog->next_id);
    lsi_put_u32(&to, catalog->sync_interval_ms);
    lsi_put_u32(&to, catalog->stream_count);
    lsi_put_u64(&to, catalog->consumer_id);
    lsi_put_zero(&to, 8);
    for (uint32_t i = 0; i < catalog->stream_count; i++) {
        const lsi_catalog_stream *stream = &catalog->streams[i];
        size_t name_bytes = strlen(stream->name);

        lsi_put_u32(&to, STREAM_BYTES);
        lsi_put_u32(&to, SHARD_BYTES);
        lsi_put_u64(&to, stream->id);
        lsi_put_u64(&to, (uint64_t)stream->created_us);
        lsi_put_u32(&to, stream->retention_hours);
        lsi_put_u32(&to, (uint32_t)stream->mode);
        lsi_put_u32(&to, stream->record_bytes_max);
        lsi_put_u32(&to, stream->shard_count);
        lsi_put_u32(&to, (uint32_t)name_bytes);
        lsi_put_u32(&to, stream->flags | must_refuse_of(stream));
        lsi_put_u64(&to, stream->retention_bytes);
        lsi_put_u64(&to, (uint64_t)stream->horizon_us);
        lsi_put_u64(&to, (uint64_t)stream->mode_changed_us[0]);
        lsi_put_u64(&to, (uint64_t)stream->mode_changed_us[1]);
        lsi_put_u64(&to, (uint64_t)stream->status_until_us);
        lsi_put_u32(&to, (uint32_t)stream->status);
        lsi_put_u32(&to, stream->tags.count);
        lsi_put_u32(&to, (uint32_t)tags_room(&stream->tags));
        lsi_put_u32(&to, (uint32_t)terms_room(&stream->terms));
        lsi_put_u32(&to, stream->rates.write_bytes);
        lsi_put_u32(&to, stream->rates.write_records);
        lsi_put_u32(&to, stream->rates.read_bytes);
        lsi_put_u32(&to, stream->rates.read_calls);
        lsi_put_bytes(&to, stream->name, name_bytes);
        lsi_put_zero(&to, name_room(stream->name) - name_bytes);
        tags_encode(&to, &stream->tags);
        terms_encode(&to, &stream->terms);
        lsi_consumers_encode(&to, stream);
        auto_scaling_encode(&to, &stream->auto_scaling);
        for (uint32_t k = 0; k < stream->shard_count; k++)
            shard_encode(&to, &stream->shards[k]);
    }
    assert(to.at == to.end);
    return LS_OK;
}

/* ---- decoding ---- */

static ls_status corrupt(const char *what)
{
    return lsi_fail(LS_ERR_CORRUPT, "manifest: %s", what);
}

static ls_status shard_decode(lsi_cursor *from, lsi_shard *shard)
{
    uint32_t flags;

    shard->index = lsi_take_u32(from);
    shard->parent = lsi_take_u32(from);
    shard->adjacent_parent = lsi_take_u32(from);
    flags = lsi_take_u32(from);
    shard->closed = (flags & SHARD_CLOSED) != 0;
    shard->range.first.high = lsi_take_u64(from);
    shard->range.first.low = lsi_take_u64(from);
    shard->range.last.high = lsi_take_u64(from);
    shard->range.last.low = lsi_take_u64(from);
    shard->first_seqno = lsi_take_u64(from);
    shard->created_us = (int64_t)lsi_take_u64(from);
    shard->closed_us = (int64_t)lsi_take_u64(from);
    shard->last_seqno = lsi_take_u64(from);
    shard->end = lsi_take_u64(from);
    if (shard->index >= LSI_SHARD_INDEX_END || (flags & ~SHARD_CLOSED) != 0 ||
        (shard->parent != LSI_NO_SHARD && shard->parent >= shard->index) ||
        (shard->adjacent_parent != LSI_NO_SHARD && shard->adjacent_parent >= shard->index) ||
        lsi_u128_compare(shard->range.first, shard->range.last) > 0 || shard->first_seqno == LS_SEQNO_NONE ||
        shard->first_seqno > LS_SEQNO_MAX)
        return corrupt("a shard breaks its rules");
    if (shard->closed ? shard->last_seqno < shard->first_seqno || shard->last_seqno > LS_SEQNO_MAX ||
                            shard->end % 8 != 0
                      : shard->last_seqno != LS_SEQNO_NONE || shard->end != 0 || shard->closed_us != 0)
        return corrupt("the end of a shard breaks its rules");
    return LS_OK;
}

/* `bytes`: the area of `stream->tags.count` tags, which rise by key. */
static ls_status tags_decode(lsi_cursor *from, const lsi_memory *memory, uint32_t bytes, lsi_catalog_stream *stream)
{
    lsi_cursor at = {lsi_take_bytes(from, bytes), NULL, false};
    uint32_t count = stream->tags.count;
    const char *before = NULL;
    char *to;

    if (at.at == NULL)
        return corrupt("ends within tags");
    at.end = at.at + bytes;
    if (count > LSI_TAGS_MAX || bytes % 8 != 0 || (count == 0) != (bytes == 0))
        return lsi_fail(LS_ERR_CORRUPT, "manifest: stream '%s' has %" PRIu32 " tags in %" PRIu32 " bytes", stream->name,
                        count, bytes);
    if (count == 0)
        return LS_OK;
    stream->tags.text = to = lsi_alloc(memory, bytes); /* The sizes of a tag take more than the zeros that end it. */
    if (to == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %" PRIu32 " tags", count);
    for (uint32_t i = 0; i < count; i++) {
        const char *texts[2];
        uint32_t sizes[2];

        sizes[0] = lsi_take_u16(&at);
        sizes[1] = lsi_take_u16(&at);
        for (int k = 0; k < 2; k++) {
            const unsigned char *text = lsi_take_bytes(&at, sizes[k]);

            if (text == NULL || memchr(text, 0, sizes[k]) != NULL)
                return lsi_fail(LS_ERR_CORRUPT, "manifest: stream '%s' has a tag that is none", stream->name);
            memcpy(to, text, sizes[k]);
            texts[k] = to;
            to += sizes[k];
            *to++ = '\0';
        }
        if (lsi_check_tag_key(texts[0]) != LS_OK || lsi_check_tag_value(texts[1]) != LS_OK ||
            (before != NULL && strcmp(before, texts[0]) >= 0))
            return lsi_fail(LS_ERR_CORRUPT, "manifest: stream '%s' has a tag that is none", stream->name);
        before = texts[0];
    }
    stream->tags.bytes = (uint32_t)(to - stream->tags.text);
    if ((size_t)(at.end - at.at) >= 8 || !lsi_is_zero(at.at, (size_t)(at.end - at.at)))
        return lsi_fail(LS_ERR_CORRUPT, "manifest: stream '%s' has bytes behind its tags", stream->name);
    return LS_OK;
}

/* Nothing at all where there is nothing to say, so that there is one form of it. */
static ls_status terms_decode(lsi_cursor *from, uint32_t bytes, lsi_catalog_stream *stream)
{
    lsi_log_terms *terms = &stream->terms;
    const unsigned char *mark, *key_id;
    uint32_t key_id_bytes;

    terms->codec = lsi_take_u32(from);
    key_id_bytes = lsi_take_u32(from);
    mark = lsi_take_bytes(from, sizeof(terms->key_mark));
    if (mark == NULL || bytes < TERMS_BYTES || key_id_bytes > LSI_KEY_ID_BYTES_MAX ||
        bytes != TERMS_BYTES + lsi_round_up(key_id_bytes, 8))
        return lsi_fail(LS_ERR_CORRUPT, "manifest: the terms of stream '%s' break their rules", stream->name);
    key_id = lsi_take_bytes(from, bytes - TERMS_BYTES);
    if (key_id == NULL || !lsi_is_zero(key_id + key_id_bytes, bytes - TERMS_BYTES - key_id_bytes) ||
        memchr(key_id, 0, key_id_bytes) != NULL ||
        (key_id_bytes == 0 && (terms->codec == 0 || !lsi_is_zero(mark, sizeof(terms->key_mark)))))
        return lsi_fail(LS_ERR_CORRUPT, "manifest: the terms of stream '%s' break their rules", stream->name);
    if (terms->codec > LS_COMPRESSION_ZSTD)
        return lsi_fail(LS_ERR_VERSION,
                        "manifest: stream '%s' is compressed with codec %" PRIu32 ", of a later release",
                        stream->name, terms->codec);
    terms->key_id_bytes = key_id_bytes;
    memcpy(terms->key_mark, mark, sizeof(terms->key_mark));
    memcpy(terms->key_id, key_id, key_id_bytes);
    return LS_OK;
}

static ls_status auto_scaling_decode(lsi_cursor *from, lsi_catalog_stream *stream)
{
    lsi_auto_scaling *to = &stream->auto_scaling;

    to->hot_percent = lsi_take_u32(from);
    to->hot_seconds = lsi_take_u32(from);
    to->cold_percent = lsi_take_u32(from);
    to->cold_seconds = lsi_take_u32(from);
    to->shards_min = lsi_take_u32(from);
    to->shards_max = lsi_take_u32(from);
    if (from->bad || lsi_check_auto_scaling(to) != LS_OK)
        return lsi_fail(LS_ERR_CORRUPT, "manifest: the automatic scaling of stream '%s' breaks its rules",
                        stream->name);
    return LS_OK;
}

/* The fields of a stream. What it points to is freed with the catalog, whatever this answers. */
static ls_status stream_decode(lsi_cursor *from, const lsi_catalog *catalog, lsi_catalog_stream *stream)
{
    const lsi_memory *memory = catalog->memory;
    uint64_t next_id = catalog->next_id;
    uint32_t stream_bytes = lsi_take_u32(from), shard_bytes = lsi_take_u32(from), name_bytes, tag_bytes, term_bytes;
    const unsigned char *name;
    bool has_consumers, has_auto_scaling;
    ls_status st;

    memset(stream, 0, sizeof(*stream));
    if (from->bad)
        return corrupt("ends within a stream");
    if (stream_bytes != STREAM_BYTES || shard_bytes != SHARD_BYTES)
        return lsi_fail(LS_ERR_VERSION, "manifest: its streams have another form (%u and %u bytes)", stream_bytes,
                        shard_bytes);
    stream->id = lsi_take_u64(from);
    stream->created_us = (int64_t)lsi_take_u64(from);
    stream->retention_hours = lsi_take_u32(from);
    stream->mode = (ls_stream_mode)lsi_take_u32(from);
    stream->record_bytes_max = lsi_take_u32(from);
    stream->shard_count = lsi_take_u32(from);
    name_bytes = lsi_take_u32(from);
    stream->flags = lsi_take_u32(from);
    stream->retention_bytes = lsi_take_u64(from);
    stream->horizon_us = (int64_t)lsi_take_u64(from);
    stream->mode_changed_us[0] = (int64_t)lsi_take_u64(from);
    stream->mode_changed_us[1] = (int64_t)lsi_take_u64(from);
    stream->status_until_us = (int64_t)lsi_take_u64(from);
    stream->status = (ls_stream_status)lsi_take_u32(from);
    stream->tags.count = lsi_take_u32(from);
    tag_bytes = lsi_take_u32(from);
    term_bytes = lsi_take_u32(from);
    stream->rates.write_bytes = lsi_take_u32(from);
    stream->rates.write_records = lsi_take_u32(from);
    stream->rates.read_bytes = lsi_take_u32(from);
    stream->rates.read_calls = lsi_take_u32(from);
    if (from->bad || name_bytes > LSI_STREAM_NAME_MAX)
        return corrupt("ends within a stream");
    has_consumers = (stream->flags & STREAM_CONSUMERS) != 0;
    has_auto_scaling = (stream->flags & STREAM_AUTO_SCALING) != 0;
    stream->has_state = (stream->flags & STREAM_STATE) != 0;
    /* Said by `consumer_count`, the figures and `has_state` from here. */
    stream->flags &= ~(STREAM_CONSUMERS | STREAM_AUTO_SCALING | STREAM_STATE);
    if ((stream->flags & STREAM_MUST_REFUSE) != 0) /* P11 */
        return lsi_fail(LS_ERR_VERSION, "manifest: a stream with features 0x%" PRIx32 " is of a later release",
                        stream->flags);
    name = lsi_take_bytes(from, (size_t)lsi_round_up(name_bytes, 8));
    if (name == NULL)
        return corrupt("ends within a name");
    memcpy(stream->name, name, name_bytes);
    stream->name[name_bytes] = '\0';
    if (strlen(stream->name) != name_bytes || lsi_check_stream_name(stream->name) != LS_OK)
        return corrupt("holds a name that is none");
    if (!lsi_is_zero(name + name_bytes, (size_t)lsi_round_up(name_bytes, 8) - name_bytes))
        return corrupt("reserved bytes are not zero");
    if (stream->id == 0 || stream->id >= next_id || stream->retention_hours == 0 ||
        stream->retention_hours > LSI_RETENTION_HOURS_MAX || stream->mode < LS_STREAM_ON_DEMAND ||
        stream->mode > LS_STREAM_PROVISIONED || stream->record_bytes_max < LSI_RECORD_BYTES_MIN_LIMIT ||
        stream->record_bytes_max > LSI_RECORD_BYTES_MAX_LIMIT || stream->status < LS_STREAM_ACTIVE ||
        stream->status > LS_STREAM_DELETING || !lsi_rates_are_valid(stream->rates))
        return lsi_fail(LS_ERR_CORRUPT, "manifest: stream '%s' breaks its rules", stream->name);
    st = tags_decode(from, memory, tag_bytes, stream);
    if (st == LS_OK && term_bytes != 0)
        st = terms_decode(from, term_bytes, stream);
    if (st == LS_OK && has_consumers)
        st = lsi_consumers_decode(from, memory, catalog->consumer_id, stream);
    if (st == LS_OK && has_auto_scaling)
        st = auto_scaling_decode(from, stream);
    if (st != LS_OK)
        return st;
    if (stream->shard_count == 0 || stream->shard_count > (size_t)(from->end - from->at) / SHARD_BYTES)
        return lsi_fail(LS_ERR_CORRUPT, "manifest: stream '%s' has %u shards, the bytes left hold fewer", stream->name,
                        stream->shard_count);
    stream->shards = lsi_alloc(memory, stream->shard_count * sizeof(*stream->shards));
    if (stream->shards == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %u shards", stream->shard_count);
    for (uint32_t i = 0; i < stream->shard_count; i++) {
        st = shard_decode(from, &stream->shards[i]);
        if (st == LS_OK && i > 0 && stream->shards[i].index <= stream->shards[i - 1].index)
            st = lsi_fail(LS_ERR_CORRUPT, "manifest: the shards of stream '%s' are out of order", stream->name);
        if (st != LS_OK)
            return st;
    }
    return LS_OK;
}

static int id_compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* No two streams have one id, and no two consumers of whatever streams. */
static ls_status ids_check(const lsi_catalog *catalog)
{
    size_t count = catalog->stream_count, filled = 0;
    ls_status st = LS_OK;
    uint64_t *ids;

    for (uint32_t i = 0; i < catalog->stream_count; i++)
        count += catalog->streams[i].consumer_count;
    ids = lsi_alloc(catalog->memory, count * sizeof(*ids));
    if (ids == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %u streams", catalog->stream_count);
    for (uint32_t i = 0; i < catalog->stream_count; i++) {
        ids[filled++] = catalog->streams[i].id;
        for (uint32_t k = 0; k < catalog->streams[i].consumer_count; k++)
            ids[filled++] = lsi_consumer_slot_id(catalog->streams[i].consumers[k].id);
    }
    qsort(ids, count, sizeof(*ids), id_compare);
    for (size_t i = 1; i < count; i++)
        if (ids[i] == ids[i - 1])
            st = ids[i] > INT64_MAX
                     ? lsi_fail(LS_ERR_CORRUPT, "manifest: two consumers have the id %" PRIu64, ids[i] & INT64_MAX)
                     : lsi_fail(LS_ERR_CORRUPT, "manifest: two streams have the id %" PRIu64, ids[i]);
    lsi_free(catalog->memory, ids);
    return st;
}

static ls_status settings_decode(lsi_cursor *from, lsi_catalog *catalog, uint32_t *stream_count)
{
    uint32_t settings_bytes = lsi_take_u32(from);
    const unsigned char *store_id, *reserved;

    if (from->bad)
        return corrupt("ends within the settings");
    if (settings_bytes != SETTINGS_BYTES)
        return lsi_fail(LS_ERR_VERSION, "manifest: its settings have another form (%u bytes)", settings_bytes);
    catalog->durability = (ls_durability)lsi_take_u32(from);
    store_id = lsi_take_bytes(from, sizeof(catalog->store_id));
    catalog->segment_bytes = lsi_take_u64(from);
    catalog->next_id = lsi_take_u64(from);
    catalog->sync_interval_ms = lsi_take_u32(from);
    *stream_count = lsi_take_u32(from);
    catalog->consumer_id = lsi_take_u64(from);
    reserved = lsi_take_bytes(from, 8);
    if (from->bad)
        return corrupt("ends within the settings");
    memcpy(catalog->store_id, store_id, sizeof(catalog->store_id));
    if (catalog->durability < LS_DURABILITY_KERNEL || catalog->durability > LS_DURABILITY_SYNC ||
        catalog->segment_bytes < LSI_SEGMENT_BYTES_MIN || catalog->segment_bytes > LSI_SEGMENT_BYTES_MAX ||
        catalog->segment_bytes % LSI_SEGMENT_BYTES_UNIT != 0 || catalog->sync_interval_ms == 0 ||
        catalog->sync_interval_ms > LSI_SYNC_INTERVAL_MS_MAX || catalog->next_id == 0 ||
        catalog->consumer_id > INT64_MAX || !lsi_is_zero(reserved, 8))
        return corrupt("the settings break their rules");
    return LS_OK;
}

ls_status lsi_catalog_decode(const lsi_memory *memory, const void *payload, size_t size, lsi_catalog **out)
{
    lsi_cursor from = {payload, (const unsigned char *)payload + size, false};
    lsi_catalog *catalog = lsi_catalog_new(memory);
    uint32_t count = 0;
    ls_status st;

    if (catalog == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the manifest");
    st = settings_decode(&from, catalog, &count);
    if (st != LS_OK)
        goto fail;
    if (count > (size_t)(from.end - from.at) / (STREAM_BYTES + SHARD_BYTES)) {
        st = lsi_fail(LS_ERR_CORRUPT, "manifest: states %u streams, its bytes hold fewer", count);
        goto fail;
    }
    if (count > 0) {
        catalog->streams = lsi_alloc(memory, count * sizeof(*catalog->streams));
        if (catalog->streams == NULL) {
            st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for %u streams", count);
            goto fail;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        catalog->stream_count++;
        st = stream_decode(&from, catalog, &catalog->streams[i]);
        if (st != LS_OK)
            goto fail;
        if (i > 0 && strcmp(catalog->streams[i - 1].name, catalog->streams[i].name) >= 0) {
            st = corrupt("the streams are out of order");
            goto fail;
        }
    }
    if (from.bad || from.at != from.end) {
        st = corrupt("goes on behind its last stream");
        goto fail;
    }
    if (count > 0) {
        st = ids_check(catalog);
        if (st != LS_OK)
            goto fail;
    }
    *out = catalog;
    return LS_OK;
fail:
    lsi_catalog_unref(catalog);
    return st;
}
