/* Shards as `describe` and `shards` print them: as JSON, and as a picture of ranges and lineage.
 *
 * The picture has a row per shard, over the hash keys it owns. Indexes rise with every split and merge, so a shard's
 * row lies below those of its parents, and its bar below the part of theirs that it took over: that is the lineage. How
 * dark a bar is says how much comes into it per key; where the picture is dark at the bottom, the stream is hot. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

#define COLUMNS 32u /* of the key space: quarters, eighths and so on fall between two */
#define SHADES ".:-=+*#%@"

/* ---- JSON ---- */

static void json_seqno(lsi_json_writer *json, const char *key, ls_seqno seqno)
{
    lsi_json_key(json, key);
    if (seqno == LS_SEQNO_NONE)
        lsi_json_null(json);
    else
        lsi_json_uint(json, seqno);
}

static void json_time(lsi_json_writer *json, const char *key, int64_t us)
{
    lsi_json_key(json, key);
    if (us == 0)
        lsi_json_null(json);
    else
        lsi_json_int(json, us);
}

static void json_shard_or_null(lsi_json_writer *json, const char *key, uint32_t shard)
{
    lsi_json_key(json, key);
    if (shard == LS_NO_SHARD)
        lsi_json_null(json);
    else
        lsi_json_uint(json, shard);
}

void lsi_shard_json(lsi_json_writer *json, const ls_shard_info *shard, bool is_described)
{
    char text[LSI_HASH_KEY_BYTES];

    lsi_json_object_open(json);
    lsi_member_uint(json, "shard", shard->shard);
    lsi_json_key(json, "id");
    (void)snprintf(text, sizeof text, "shardId-%012" PRIu32, shard->shard);
    lsi_json_string(json, text);
    lsi_member_bool(json, "open", shard->is_open != 0);
    lsi_json_key(json, "first_hash_key");
    lsi_format_hash_key(shard->first_hash_key, text);
    lsi_json_string(json, text);
    lsi_json_key(json, "last_hash_key");
    lsi_format_hash_key(shard->last_hash_key, text);
    lsi_json_string(json, text);
    json_seqno(json, "starting_seqno", shard->starting_seqno);
    json_seqno(json, "ending_seqno", shard->ending_seqno);
    lsi_member_int(json, "created_us", shard->created_us);
    json_time(json, "closed_us", shard->closed_us);
    json_shard_or_null(json, "parent", shard->parent);
    json_shard_or_null(json, "adjacent_parent", shard->adjacent_parent);
    if (is_described) {
        json_seqno(json, "oldest_seqno", shard->oldest_seqno);
        json_seqno(json, "latest_seqno", shard->latest_seqno);
        json_time(json, "oldest_arrival_us", shard->oldest_arrival_us);
        json_time(json, "latest_arrival_us", shard->latest_arrival_us);
        lsi_member_uint(json, "stored_bytes", shard->stored_bytes);
        lsi_member_string(json, "health", lsi_health_word(shard->health));
    }
    lsi_json_object_close(json);
}

/* ---- the picture ---- */

/* Bytes per second, over the time in which what is stored came. */
static double rate_of(const ls_shard_info *shard, int64_t now_us)
{
    int64_t until_us = shard->is_open ? now_us : shard->closed_us;
    double seconds = (double)(until_us - shard->oldest_arrival_us) / 1e6;

    if (shard->oldest_arrival_us == 0 || shard->stored_bytes == 0)
        return 0;
    return (double)shard->stored_bytes / (seconds > 1 ? seconds : 1);
}

/* The share of all keys, never 0. */
static double width_of(const ls_shard_info *shard)
{
    return ((double)(shard->last_hash_key.high - shard->first_hash_key.high) + 1) / 18446744073709551616.0;
}

static unsigned column_of(ls_hash_key key)
{
    return (unsigned)((unsigned __int128)key.high * COLUMNS >> 64);
}

void lsi_parents_text(const ls_shard_info *shard, char text[LSI_PARENTS_BYTES])
{
    if (shard->parent == LS_NO_SHARD)
        (void)snprintf(text, LSI_PARENTS_BYTES, "-");
    else if (shard->adjacent_parent == LS_NO_SHARD)
        (void)snprintf(text, LSI_PARENTS_BYTES, "%" PRIu32, shard->parent);
    else
        (void)snprintf(text, LSI_PARENTS_BYTES, "%" PRIu32 "+%" PRIu32, shard->parent, shard->adjacent_parent);
}

void lsi_shards_draw(const ls_shard_info *shards, uint32_t count, int64_t now_us)
{
    double densest = 0;

    for (uint32_t i = 0; i < count; i++) {
        double density = rate_of(&shards[i], now_us) / width_of(&shards[i]);

        densest = density > densest ? density : densest;
    }
    lsi_out_text("SHARD FROM        0      1/4     1/2     3/4      1       DATA   PER SECOND\n");
    for (uint32_t i = 0; i < count && !lsi_out_broken(); i++) {
        const ls_shard_info *shard = &shards[i];
        double rate = rate_of(shard, now_us), density = rate / width_of(shard);
        unsigned first = column_of(shard->first_hash_key), last = column_of(shard->last_hash_key);
        size_t shade = densest > 0 ? (size_t)(density / densest * (double)(strlen(SHADES) - 1) + 0.5) : 0;
        char bar[COLUMNS + 1], parents[LSI_PARENTS_BYTES], data[LSI_SIZE_BYTES], per_second[LSI_SIZE_BYTES];

        memset(bar, ' ', COLUMNS);
        memset(bar + first, SHADES[shade], last - first + 1);
        bar[COLUMNS] = '\0';
        lsi_parents_text(shard, parents);
        lsi_format_size(shard->stored_bytes, data);
        lsi_format_size((uint64_t)rate, per_second);
        lsi_out_text("%5" PRIu32 " %-11s %c%s%c %10s %10s/s\n", shard->shard, parents, shard->is_open ? '[' : '|', bar,
                     shard->is_open ? ']' : '|', data, per_second);
    }
}
