/* What every driver shares: releasing a snapshot of a stream. */
#include "engine/engine.h"

#include "base/alloc.h"

void lsi_stream_info_free(lsi_stream_info *info)
{
    if (info->shards != NULL)
        lsi_free(&info->memory, info->shards);
    info->shards = NULL;
    info->shard_count = 0;
}
