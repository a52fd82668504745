/* Streams, and what is set of them. See session.h. */
#include "harness/session_inside.h"

#include <stdlib.h>

ls_status session_create(session *of, const char *name, uint32_t shard_count, uint32_t *out)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    stream_fact *fact;
    ls_status st;

    *out = truth_stream_begin(of->truth, name, shard_count, session_here(of));
    if (*out >= SESSION_STREAMS_MAX)
        abort();
    fact = &of->truth->streams[*out];
    if (of->store == NULL && session_open(of, of->durability) != LS_OK) {
        fact->gone_at = session_here(of);
        return of->last;
    }
    options.shard_count = shard_count;
    options.record_bytes_max = 4u << 20;
    options.write_bytes_per_second = of->write_bytes_per_second;
    options.read_calls_per_second = 1000;
    options.retention_bytes = fact->retention_bytes = of->retention_bytes;
    options.retention_hours = fact->retention_hours = of->retention_hours;
    fact->is_numbered = of->numbers;
    fact->settings[TRUTH_HOURS] = options.retention_hours != 0 ? options.retention_hours : 24;
    fact->settings[TRUTH_BYTES] = options.retention_bytes;
    fact->settings[TRUTH_MODE] = LS_STREAM_ON_DEMAND;
    fact->settings[TRUTH_RECORD_BYTES] = options.record_bytes_max;
    st = session_answered(of, ls_stream_create(of->store, name, &options));
    if (st == LS_OK)
        fact->made_at = session_here(of);
    else if (!session_is_unknown(st))
        fact->gone_at = session_here(of);
    if (st == LS_OK)
        (void)session_want_stream(of, *out); /* learns its id */
    return st;
}

ls_status session_delete(session *of, uint32_t stream)
{
    stream_fact *fact = &of->truth->streams[stream];
    ls_status st;

    if (of->store == NULL && session_open(of, of->durability) != LS_OK)
        return of->last;
    if (fact->gone_at != NEVER || (fact->made_at == NEVER && fact->id == 0))
        return LS_ERR_NOT_FOUND; /* The name may be another one's. */
    session_forget_stream(of, stream);
    fact->drop_begun_at = session_here(of);
    st = session_answered(of, truth_has_consumers(of->truth, stream)
                                  ? ls_stream_delete_with_consumers(of->store, fact->name)
                                  : ls_stream_delete(of->store, fact->name));
    if (st == LS_OK)
        fact->dropped_at = session_here(of);
    else if (!session_is_unknown(st))
        fact->drop_begun_at = NEVER;
    return st;
}

ls_status session_encrypt(session *of, uint32_t stream, const char *key_id)
{
    const char *name = of->truth->streams[stream].name;
    ls_status st = session_want_stream(of, stream);
    setting_fact *fact;

    if (st != LS_OK)
        return st;
    of->is_sealed[stream] = false;
    fact = session_setting_begin(of, stream, TRUTH_KEY, key_id != NULL ? (unsigned char)key_id[0] : 0);
    st = session_answered(of, key_id != NULL ? ls_stream_start_encryption(of->store, name, key_id)
                                             : ls_stream_stop_encryption(of->store, name));
    session_setting_answered(of, fact, st);
    of->is_sealed[stream] = st == LS_OK && key_id != NULL;
    return st;
}

ls_status session_compress(session *of, uint32_t stream, ls_compression compression)
{
    ls_status st = session_want_stream(of, stream);
    setting_fact *fact;

    if (st != LS_OK)
        return st;
    fact = session_setting_begin(of, stream, TRUTH_COMPRESSION, (uint64_t)compression);
    st = session_answered(of, ls_stream_set_compression(of->store, of->truth->streams[stream].name, compression));
    session_setting_answered(of, fact, st);
    return st;
}

ls_status session_press(session *of, uint32_t stream)
{
    uint64_t saved;
    ls_status st = session_want_stream(of, stream);

    return st == LS_OK ? session_answered(of, ls_stream_recompress(of->streams[stream], -1, &saved)) : st;
}

ls_status session_health(session *of, uint32_t stream, uint32_t shard, ls_status *health)
{
    ls_stream_description *description;
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_status st = session_want_stream(of, stream);

    if (st != LS_OK)
        return st;
    st = session_answered(of, ls_stream_describe(of->streams[stream], &description));
    if (st != LS_OK)
        return st;
    st = session_answered(of, ls_stream_description_shard(description, shard, &info));
    *health = info.health;
    ls_stream_description_free(description);
    return st;
}
