/* Values of a stream's state, looked at one by one by who understands them: mappings, deliveries, rules of alerts. */
#include "consume/consume.h"

#include "base/status.h"

typedef struct looking {
    size_t key_bytes; /* of the one that is looked for; 0: all are */
    lsi_kept_take take;
    void *user;
    ls_status st;
    lsi_error_state error; /* when it is not LS_OK: a reading that succeeds leaves the last one alone */
} looking;

static bool look(void *user, const lsi_state_entry *entry)
{
    looking *of = user;
    bool goes_on = of->key_bytes == 0;

    if (!goes_on && entry->key.size != of->key_bytes)
        return false; /* The one that is looked for would be the first of those that begin like it. */
    of->st = of->take(of->user, entry, &goes_on);
    if (of->st == LS_OK)
        return goes_on;
    lsi_error_save(&of->error);
    return false;
}

static ls_status read_state(lsi_engine_stream *stream, ls_bytes prefix, looking *of)
{
    ls_status st = stream->engine->ops->state_read(stream, prefix, look, of);

    if (st != LS_OK || of->st == LS_OK)
        return st;
    lsi_error_restore(&of->error);
    return of->st;
}

ls_status lsi_kept_find(lsi_engine_stream *stream, ls_bytes key, lsi_kept_take take, void *user)
{
    looking of = {.key_bytes = key.size, .take = take, .user = user, .st = LS_OK};

    return read_state(stream, key, &of);
}

ls_status lsi_kept_each(lsi_engine_stream *stream, ls_bytes prefix, lsi_kept_take take, void *user)
{
    looking of = {.take = take, .user = user, .st = LS_OK};

    return read_state(stream, prefix, &of);
}
