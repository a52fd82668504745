/* Which window operators a stream has, and how far each has come in its shards: what is stored of them, whoever runs
 * them, so that anybody can look who reads the state. */
#include "consume/window/feed.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define PREFIX_BYTES (sizeof(LSI_WINDOW_PREFIX) - 1)

typedef struct naming {
    bool (*each)(void *user, const char *name);
    void *user;
} naming;

/* The key of a head is the prefix, the name and a stroke; more is a part, or what a mapping keeps. */
static bool name_window(void *user, const lsi_state_entry *entry)
{
    const naming *of = user;
    const char *name = (const char *)entry->key.data + PREFIX_BYTES;
    size_t bytes = entry->key.size - PREFIX_BYTES;
    char text[LSI_STREAM_NAME_MAX + 1];

    if (bytes < 2 || bytes > sizeof text || name[bytes - 1] != '/' || memchr(name, '/', bytes - 1) != NULL)
        return true;
    memcpy(text, name, bytes - 1);
    text[bytes - 1] = '\0';
    return of->each(of->user, text);
}

ls_status lsi_window_each(lsi_engine_stream *stream, bool (*each)(void *user, const char *name), void *user)
{
    naming of = {each, user};

    return stream->engine->ops->state_read(stream, (ls_bytes){LSI_WINDOW_PREFIX, PREFIX_BYTES}, name_window, &of);
}

typedef struct looking {
    void (*each)(void *user, uint32_t shard, int64_t watermark_ms);
    void *user;
} looking;

static void show(void *user, const lsi_windows_place *place)
{
    const looking *of = user;

    if (!place->has_ended && place->watermark_ms != LSI_WATERMARK_NONE)
        of->each(of->user, place->input, place->watermark_ms);
}

/* Damage is for who opens the name: here there is nothing to be seen, then. */
static bool look(void *user, const lsi_state_entry *entry)
{
    lsi_cursor from = {entry->value.data, (const unsigned char *)entry->value.data + entry->value.size, false};
    uint32_t format = lsi_take_u32(&from), place_bytes = lsi_take_u32(&from);

    (void)lsi_take_bytes(&from, LSI_WINDOW_HEAD_BYTES - 8);
    (void)lsi_take_bytes(&from, place_bytes);
    if (!from.bad && format == LSI_WINDOW_FORMAT)
        lsi_windows_each_input(from.at, (size_t)(from.end - from.at), show, user);
    return false; /* The head comes first. */
}

ls_status lsi_window_watermarks(lsi_engine_stream *stream, const char *name,
                                void (*each)(void *user, uint32_t shard, int64_t watermark_ms), void *user)
{
    looking of = {each, user};
    char key[PREFIX_BYTES + LSI_STREAM_NAME_MAX + 2];
    int size = snprintf(key, sizeof key, LSI_WINDOW_PREFIX "%s/", name); /* of 128 bytes at most */

    return stream->engine->ops->state_read(stream, (ls_bytes){key, (size_t)size}, look, &of);
}
