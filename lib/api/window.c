/* The exported functions of window.h: arguments and options are checked, then the room `consume` does it. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define FLAGS (LS_WINDOW_ONE_KEY | LS_WINDOW_TIME_SECONDS | LS_WINDOW_BEGIN_ANEW | LS_WINDOW_TAKE_OVER | \
               LS_WINDOW_DEAGGREGATE)
#define IDLE_TIMEOUT_MS_DEFAULT 1000
#define STATE_BYTES_DEFAULT (UINT64_C(1) << 30)
#define STORE_INTERVAL_MS_DEFAULT 1000u
#define STORE_INTERVAL_MS_MOST 3600000u
#define FIELD_BYTES_MAX 1024u
#define SUM_BYTES_MAX 65536u
#define KNOWN_INFO_BYTES LSI_SIZE_UP_TO(ls_window_info, stored_bytes)

/* ---- options ---- */

static ls_status check_field(const char *name, const char *path, bool has_callback)
{
    size_t size;
    bool is_bad;

    if (path == NULL)
        return LS_OK;
    if (has_callback)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is given, and a callback for the same: only one can be",
                        name);
    size = strnlen(path, FIELD_BYTES_MAX + 1);
    is_bad = size == 0 || size > FIELD_BYTES_MAX || path[0] == '.' || path[size - 1] == '.' ||
             strstr(path, "..") != NULL;
    return is_bad ? lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.%s is no name of 1 to %u bytes, with points between "
                             "names", name, FIELD_BYTES_MAX)
                  : LS_OK;
}

static ls_status check_fields(const ls_window_options *options)
{
    ls_status st = check_field("time_field", options->time_field, options->time_of != NULL);

    if (st == LS_OK)
        st = check_field("key_field", options->key_field, options->key_of != NULL);
    if (st == LS_OK)
        st = check_field("value_field", options->value_field, options->value_of != NULL);
    if (st == LS_OK && (options->flags & LS_WINDOW_ONE_KEY) != 0 &&
        (options->key_field != NULL || options->key_of != NULL))
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has LS_WINDOW_ONE_KEY, and there is a key besides");
    return st;
}

static ls_status take_fold(const ls_window_options *options, ls_window_fold *out)
{
    ls_status st;

    if (options->fold == NULL)
        return LS_OK;
    st = lsi_options_import(out, sizeof *out, options->fold, LSI_SIZE_UP_TO(ls_window_fold, user));
    if (st != LS_OK)
        return st;
    if (out->sum_bytes == 0 || out->sum_bytes > SUM_BYTES_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.fold.sum_bytes is %" PRIu32 ": it is 1 to %u", out->sum_bytes,
                        SUM_BYTES_MAX);
    if (out->init == NULL || out->add == NULL || (out->merge == NULL && options->kind == LS_WINDOW_SESSION))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.fold lacks %s", out->init == NULL ? "init"
                                                                          : out->add == NULL ? "add" : "merge");
    return LS_OK;
}

static ls_status take_options(const ls_window_options *options, ls_window_options *own, ls_window_fold *fold)
{
    ls_status st = lsi_options_import(own, sizeof *own, options, LSI_SIZE_UP_TO(ls_window_options, user));

    if (st != LS_OK)
        return st;
    if (own->kind < LS_WINDOW_TUMBLING || own->kind > LS_WINDOW_SESSION)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.kind is %" PRId32 ": the kinds are %d..%d", own->kind,
                        LS_WINDOW_TUMBLING, LS_WINDOW_SESSION);
    if ((own->flags & ~FLAGS) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has the unknown bits 0x%" PRIx32, own->flags & ~FLAGS);
    if (own->result == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.result is NULL");
    if (own->idle_timeout_ms < LS_WINDOW_NEVER_IDLE)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.idle_timeout_ms is %" PRId64 ": it is -1 or more",
                        own->idle_timeout_ms);
    if (own->store_interval_ms > STORE_INTERVAL_MS_MOST)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.store_interval_ms is %" PRIu32 ": it is 1 to %u",
                        own->store_interval_ms, STORE_INTERVAL_MS_MOST);
    if (own->idle_timeout_ms == 0)
        own->idle_timeout_ms = IDLE_TIMEOUT_MS_DEFAULT;
    if (own->store_interval_ms == 0)
        own->store_interval_ms = STORE_INTERVAL_MS_DEFAULT;
    if (own->state_bytes_max == 0)
        own->state_bytes_max = STATE_BYTES_DEFAULT;
    st = check_fields(own);
    if (st == LS_OK)
        st = take_fold(own, fold);
    if (st == LS_OK && own->fold != NULL)
        own->fold = fold;
    return st == LS_OK ? lsi_window_check(own) : st;
}

/* ---- the handle ---- */

ls_status ls_window_open(ls_stream *stream, const char *name, const ls_window_options *options, ls_window **out)
{
    ls_window_options own;
    ls_window_fold fold;
    ls_window *window;
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(options);
    LSI_REFUSE_NULL(out);
    LSI_ENTER_TO(name != NULL ? LSI_MAY_CONSUME : LSI_MAY_READ, stream->store);
    st = name != NULL ? lsi_check_window_name(name) : LS_OK;
    if (st == LS_OK)
        st = take_options(options, &own, &fold);
    if (st != LS_OK)
        return st;
    window = lsi_alloc_zero(&stream->store->env.memory, sizeof *window);
    if (window == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "stream '%s': no memory for a window operator", stream->name);
    window->stream = stream;
    atomic_init(&window->is_running, false);
    st = lsi_window_open(stream->stream, name, &own, &window->window);
    if (st != LS_OK) {
        lsi_free(&stream->store->env.memory, window);
        return st;
    }
    atomic_fetch_add_explicit(&stream->child_count, 1, memory_order_relaxed);
    *out = window;
    return lsi_error_end(LS_OK);
}

static bool is_running(const ls_window *window)
{
    return atomic_load_explicit(&window->is_running, memory_order_acquire); /* Pairs with the release at the end. */
}

static ls_status refuse_running(void)
{
    return lsi_fail(LS_ERR_STATE, "a run of this window operator has not returned");
}

ls_status ls_window_close(ls_window *window)
{
    lsi_error_state before;
    ls_stream *stream;
    ls_status st;
    bool is_mine;

    if (window == NULL)
        return LS_OK;
    stream = window->stream;
    is_mine = lsi_store_is_mine(stream->store);
    if (is_mine && is_running(window)) /* In a fork child nothing runs. */
        return refuse_running();
    lsi_error_save(&before);
    lsi_patience_begin(&stream->store->env);
    st = is_mine ? lsi_window_give_back(window->window) : LS_OK; /* P9 */
    if (st == LS_OK)
        lsi_error_restore(&before);
    lsi_window_free(window->window);
    lsi_free(&stream->store->env.memory, window);
    atomic_fetch_sub_explicit(&stream->child_count, 1, memory_order_release); /* Pairs with ls_stream_close. */
    return st;
}

/* ---- by itself ---- */

ls_status ls_window_run(ls_window *window, const ls_window_run_options *options)
{
    ls_window_run_options own;
    bool was_running = false;
    ls_status st;

    LSI_REFUSE_NULL(window);
    LSI_ENTER(window->stream->store);
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_window_run_options, position));
    if (st != LS_OK)
        return st;
    if ((own.flags & ~LS_WINDOW_UNTIL_CAUGHT_UP) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.flags has the unknown bits 0x%" PRIx32,
                        own.flags & ~LS_WINDOW_UNTIL_CAUGHT_UP);
    if (!atomic_compare_exchange_strong_explicit(&window->is_running, &was_running, true, memory_order_acquire,
                                                 memory_order_relaxed))
        return refuse_running();
    st = lsi_window_run(window->window, (own.flags & LS_WINDOW_UNTIL_CAUGHT_UP) != 0, own.position);
    atomic_store_explicit(&window->is_running, false, memory_order_release);
    return lsi_error_end(st);
}

void ls_window_stop(ls_window *window)
{
    if (window != NULL && lsi_store_is_mine(window->stream->store))
        lsi_window_stop(window->window);
}

/* ---- batch by batch, and both ---- */

/* For the head of what cannot be called while it runs. */
#define ENTER(window)                                \
    do {                                             \
        LSI_REFUSE_NULL(window);                     \
        LSI_ENTER((window)->stream->store);          \
        if (is_running(window))                      \
            return refuse_running();                 \
    } while (0)

ls_status ls_window_add_shard(ls_window *window, uint32_t shard)
{
    ENTER(window);
    return lsi_error_end(lsi_window_add_shard(window->window, shard));
}

ls_status ls_window_position(const ls_window *window, uint32_t shard, ls_position *out)
{
    ENTER(window);
    LSI_REFUSE_NULL(out);
    lsi_window_position(window->window, shard, out);
    return lsi_error_end(LS_OK);
}

ls_status ls_window_add(ls_window *window, const ls_batch *batch)
{
    ENTER(window);
    LSI_REFUSE_NULL(batch);
    return lsi_error_end(lsi_window_add(window->window, batch));
}

ls_status ls_window_tip(ls_window *window, uint32_t shard)
{
    ENTER(window);
    return lsi_error_end(lsi_window_tip(window->window, shard));
}

ls_status ls_window_store(ls_window *window)
{
    ENTER(window);
    return lsi_error_end(lsi_window_store(window->window));
}

ls_status ls_window_finish(ls_window *window)
{
    ENTER(window);
    return lsi_error_end(lsi_window_finish(window->window));
}

ls_status ls_window_flush(ls_window *window)
{
    ENTER(window);
    return lsi_error_end(lsi_window_flush(window->window));
}

ls_status ls_window_describe(const ls_window *window, ls_window_info *out)
{
    ls_window_info info = {0};
    uint32_t size;

    ENTER(window);
    LSI_REFUSE_NULL(out);
    size = out->size;
    if (size < KNOWN_INFO_BYTES)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "out.size is %" PRIu32 ": use the INIT macro", size);
    info.size = size;
    lsi_window_describe(window->window, &info);
    memcpy(out, &info, size < sizeof info ? size : sizeof info);
    return lsi_error_end(LS_OK);
}

ls_status ls_window_delete(ls_stream *stream, const char *name)
{
    ls_status st;

    LSI_REFUSE_NULL(stream);
    LSI_REFUSE_NULL(name);
    LSI_ENTER_TO(LSI_MAY_CHANGE, stream->store);
    st = lsi_check_window_name(name);
    return lsi_error_end(st == LS_OK ? lsi_window_remove(stream->stream, name) : st);
}
