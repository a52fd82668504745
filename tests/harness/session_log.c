/* What the log of the sim says of a call, and what syncs promise by it. See session.h. */
#include "harness/session_inside.h"

#include <stdio.h>
#include <string.h>

#include "support/sim_inside.h"

size_t session_here(session *of)
{
    return sim_log_count(of->sim);
}

bool session_is_unknown(ls_status st)
{
    return st == LS_ERR_IO;
}

bool session_name_ends(const char *name, const char *end)
{
    size_t a = strlen(name), b = strlen(end);

    return a >= b && strcmp(name + a - b, end) == 0;
}

/* The log is looked through under its lock: in INTERVAL mode a thread of the library syncs while we do. */
static size_t log_lock(session *of)
{
    size_t count = session_here(of);

    pthread_mutex_lock(&of->sim->mutex);
    return count;
}

static void log_unlock(session *of)
{
    pthread_mutex_unlock(&of->sim->mutex);
}

bool session_rolled_since(session *of, uint32_t stream, uint32_t shard, size_t from)
{
    char path[LSI_FILE_NAME_BYTES_MAX];
    size_t until = log_lock(of);
    bool found = false;
    const label *dir;

    (void)snprintf(path, sizeof(path), "%llu/%u", (unsigned long long)of->truth->streams[stream].id, shard);
    dir = sim_path_find(of->sim, path);
    for (size_t i = from; dir != NULL && i < until; i++) {
        const sim_op *op = &of->sim->log[i];

        found = found || (op->kind == SIM_OP_RENAME && op->to_dir == dir->file &&
                          strcmp(op->name, "segments.new") == 0);
    }
    log_unlock(of);
    return found;
}

/* What a sync was about: an object, or a directory of them, and nothing of the store's. Locks: sim->mutex held. */
static bool is_of_objects(const session *of, const sim_op *sync)
{
    uint32_t about = sync->kind == SIM_OP_DOUBT ? sync->file : sync->dir;

    /* From where it was made up to the root: it may have no name by now. */
    for (size_t i = of->sim->log_count; about != 0 && i-- > 0;) {
        const sim_op *made = &of->sim->log[i];

        if ((made->kind != SIM_OP_CREATE && made->kind != SIM_OP_MAKE_DIR) || made->file != about)
            continue;
        if (made->dir == 0)
            return strncmp(made->name, SESSION_OBJECTS, sizeof(SESSION_OBJECTS) - 1) == 0;
        about = made->dir;
    }
    return false;
}

static bool doubted_since(session *of, size_t from)
{
    size_t until = log_lock(of);
    bool found = false;

    for (size_t i = from; i < until; i++)
        found = found || ((of->sim->log[i].kind == SIM_OP_DOUBT || of->sim->log[i].kind == SIM_OP_DOUBT_DIR) &&
                          !is_of_objects(of, &of->sim->log[i]));
    log_unlock(of);
    return found;
}

/* E1: the shards whose last segment met a sync that failed. One of a new segment, which nothing names yet, is none; nor
 * is recovery's own: who recovers next writes what that sync was about again, and only then believes one (E2, R7). */
static void note_failed_shards(session *of, size_t from)
{
    size_t until = log_lock(of);

    for (size_t i = from; i < until; i++) {
        if (of->sim->log[i].kind != SIM_OP_DOUBT)
            continue;
        for (size_t k = 0; k < from; k++) {
            const sim_op *made = &of->sim->log[k];
            char path[LSI_FILE_NAME_BYTES_MAX];
            unsigned long long id;
            unsigned shard;

            if (made->kind != SIM_OP_CREATE || made->file != of->sim->log[i].file ||
                !session_name_ends(made->name, ".seg"))
                continue;
            sim_path_of(of->sim, made->dir, path, sizeof(path));
            if (sscanf(path, "%llu/%u", &id, &shard) != 2 || shard >= TRUTH_SHARDS_MAX)
                continue;
            for (size_t n = 0; n < of->truth->stream_count; n++)
                if (of->truth->streams[n].id == id)
                    of->failed[n][shard] = of->failed[n][shard] || of->written[n][shard];
        }
    }
    log_unlock(of);
}

size_t session_written_at(session *of, uint32_t put, size_t from)
{
    size_t until = log_lock(of), at = until;

    for (size_t i = from; i < until && at == until; i++) {
        const sim_op *op = &of->sim->log[i];

        if (op->bytes != NULL && truth_is_in(put, op->bytes, (size_t)op->size))
            at = i + 1;
    }
    log_unlock(of);
    return at;
}

/* ---- what syncs promise ---- */

static void all_durable(session *of)
{
    for (size_t i = 0; i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];

        if (put->acked_at != NEVER && put->durable_at == NEVER)
            put->durable_at = session_here(of);
    }
}

void session_sync_failed(session *of)
{
    for (size_t i = 0; i < of->truth->put_count; i++) {
        put_fact *put = &of->truth->puts[i];

        if (put->durable_at == NEVER && put->begun_at != NEVER) {
            put->acked_at = NEVER;
            put->is_unknown = true;
        }
    }
    /* What was shown of it goes as well. */
    if (of->durability != LS_DURABILITY_SYNC)
        for (size_t i = 0; i < of->truth->seen_count; i++)
            while (of->truth->seen[i].count > 0 &&
                   of->truth->puts[of->truth->seen[i].puts[of->truth->seen[i].count - 1] - 1].is_unknown)
                of->truth->seen[i].count--;
}

bool session_look(session *of)
{
    bool doubted = doubted_since(of, of->looked_at);

    note_failed_shards(of, of->looked_at);
    of->looked_at = session_here(of);
    if (doubted && of->durability != LS_DURABILITY_SYNC)
        session_sync_failed(of);
    return doubted;
}

void session_synced(session *of, ls_status st)
{
    (void)session_look(of);
    if (st == LS_OK)
        all_durable(of);
}
