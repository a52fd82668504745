/* The exported functions of store.h: where a location is understood and the engine is chosen, here and nowhere else. */
#include "api/api.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define LIST_LIMIT_DEFAULT 100u
#define LIST_LIMIT_MAX 10000u

/* ---- opening and closing ---- */

typedef struct target {
    bool is_memory;
    const char *path; /* a view into the caller's text */
} target;

static ls_status parse_location(const char *text, target *out)
{
    *out = (target){.is_memory = false, .path = text};
    if (strcmp(text, "memory:") == 0) {
        out->is_memory = true;
        return LS_OK;
    }
    if (strncmp(text, "memory:", 7) == 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "location '%s': a store in memory has no name, only 'memory:'", text);
    if (strncmp(text, "kafka:", 6) == 0)
        return lsi_fail(LS_ERR_UNSUPPORTED, "location '%s': the kafka engine is not part of this build", text);
    if (strncmp(text, "file:", 5) == 0)
        out->path = text + 5;
    if (out->path[0] == '\0')
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "location '%s' has no path", text);
    return LS_OK;
}

/* What the options say goes before what `env` says. */
static lsi_env make_env(const lsi_env *env, const ls_store_options *options)
{
    lsi_env made = *env;

    if (options->resize != NULL)
        made.memory = (lsi_memory){.resize = options->resize, .user = options->resize_user};
    if (options->log != NULL) {
        made.log = options->log;
        made.log_user = options->log_user;
    }
    if (options->busy_timeout_ms != 0)
        made.busy_timeout_ms = options->busy_timeout_ms;
    made.wait = options->wait;
    made.wait_user = options->wait_user;
    if (options->clock != NULL) /* The system's monotonic clock has no user: this one is the other two's. */
        made.clock = (lsi_clock){.wall_us = options->clock,
                                 .monotonic_us = lsi_clock_system.monotonic_us,
                                 .user = options->clock_user,
                                 .passing_us = options->clock};
    return made;
}

/* Accepts a half-built store. */
static void release(ls_store *store)
{
    lsi_memory memory = store->env.memory; /* It frees what it is kept in. */

    lsi_registry_free(store->registry);
    lsi_files_memory_free(store->files);
    lsi_fork_mark_free(store->mark);
    lsi_free(&memory, store);
}

ls_status lsi_store_open_env(const char *text, const ls_store_options *options, const lsi_env *env, ls_store **out)
{
    ls_store_options own;
    lsi_role role;
    target where;
    lsi_env made;
    ls_store *store;
    ls_status st;

    lsi_error_begin();
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_store_options, fault_latency_ms));
    if (st != LS_OK)
        return st;
    st = lsi_role_take(&own, &role);
    if (st != LS_OK)
        return st;
    st = parse_location(text, &where);
    if (st != LS_OK)
        return st;
    if ((uint64_t)own.fault_throttled_per_1000 + own.fault_failed_per_1000 + own.fault_partial_per_1000 > 1000)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT,
                        "of 1000 puts %u are to be throttled, %u to fail and %u to fail in part",
                        own.fault_throttled_per_1000, own.fault_failed_per_1000, own.fault_partial_per_1000);
    made = make_env(env, &own);
    store = lsi_alloc_zero(&made.memory, sizeof *store);
    if (store == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for store '%s'", text);
    store->env = made;
    store->role = role;
    lsi_patience_begin(&made);
    atomic_init(&store->stream_count, 0);
    atomic_init(&store->delivers_in_doubt, false);
    store->mark = lsi_fork_mark_new();
    if (store->mark == NULL) {
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for store '%s'", text);
        goto fail;
    }
    st = lsi_registry_new(&store->env.memory, store->mark, &store->registry);
    if (st != LS_OK)
        goto fail;
    if (where.is_memory) {
        store->files = lsi_files_memory_new(&store->env.memory);
        if (store->files == NULL) {
            st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for store '%s'", text);
            goto fail;
        }
        store->env.files = store->files;
    }
    st = lsi_local_open(where.path, &own, &store->env, &store->engine);
    if (st != LS_OK)
        goto fail;
    store->engine->faults = (lsi_faults){own.fault_seed, own.fault_throttled_per_1000, own.fault_failed_per_1000,
                                         own.fault_partial_per_1000, own.fault_latency_ms};
    store->engine->streams_max = own.streams_max;
    store->engine->shards_max = own.shards_max;
    store->engine->transition_ms = own.transition_ms;
    store->engine->stream_transition_ms = own.stream_transition_ms;
    st = lsi_guard_new(store->engine, &store->guard);
    if (st != LS_OK) {
        lsi_error_state why;

        lsi_error_save(&why);
        (void)store->engine->ops->close(store->engine); /* Nothing was done with it. */
        lsi_error_restore(&why);
        goto fail;
    }
    *out = store;
    return lsi_error_end(LS_OK);
fail:
    release(store);
    return st;
}

ls_status ls_store_open(const char *location, const ls_store_options *options, ls_store **out)
{
    lsi_env env;

    LSI_REFUSE_NULL(location);
    LSI_REFUSE_NULL(out);
    lsi_env_default(&env);
    return lsi_store_open_env(location, options, &env, out);
}

ls_status ls_store_close(ls_store *store)
{
    uint32_t open_count;
    bool is_mine;
    ls_status st;

    if (store == NULL)
        return LS_OK;
    /* Pairs with the release in ls_stream_close: what the children did last is seen. */
    open_count = atomic_load_explicit(&store->stream_count, memory_order_acquire);
    if (open_count != 0)
        return lsi_fail(LS_ERR_STATE, "%u streams of the store are still open: close them first", open_count);
    is_mine = lsi_store_is_mine(store);
    lsi_error_begin();
    lsi_patience_begin(&store->env);
    lsi_guard_free(store->guard, is_mine);
    st = store->engine->ops->close(store->engine);
    release(store);
    return lsi_error_end(is_mine ? st : LS_OK); /* In a fork child nothing was to be done, and so nothing failed. */
}

/* ---- of an open store ---- */

ls_status lsi_store_is_elsewhere(void)
{
    return lsi_fail(LS_ERR_STATE, "the handle was opened before a fork, in another process: open the store again");
}

ls_durability ls_store_durability(const ls_store *store)
{
    if (store == NULL) {
        (void)lsi_fail(LS_ERR_INVALID_ARGUMENT, "argument 'store' is NULL"); /* No status to return it in. */
        return LS_DURABILITY_DEFAULT;
    }
    return store->engine->ops->durability(store->engine);
}

ls_status ls_store_sync(ls_store *store)
{
    LSI_REFUSE_NULL(store);
    LSI_ENTER_TO(LSI_MAY_PUT, store);
    return lsi_error_end(store->engine->ops->sync(store->engine));
}

ls_status ls_store_maintain(ls_store *store, int64_t timeout_ms)
{
    LSI_REFUSE_NULL(store);
    LSI_ENTER(store);
    if (timeout_ms < -1)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "timeout_ms is %" PRId64 ": it is -1 or more", timeout_ms);
    return lsi_error_end(store->engine->ops->maintain(store->engine, timeout_ms));
}

static bool backup_progress(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    const ls_backup_options *options = user;
    ls_status answer;

    (void)lsi_error_end(LS_OK);
    answer = options->progress(options->user, done_bytes, total_bytes);
    lsi_error_begin();
    return answer == LS_OK;
}

ls_status ls_store_backup(ls_store *store, const char *directory, const ls_backup_options *options)
{
    ls_backup_options own;
    ls_status st;

    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(directory);
    LSI_ENTER_TO(LSI_MAY_READ, store);
    st = lsi_options_import(&own, sizeof own, options, LSI_SIZE_UP_TO(ls_backup_options, user));
    if (st != LS_OK)
        return st;
    if (own.reserved != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options.reserved is %u, not 0", own.reserved);
    if (directory[0] == '\0')
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "the directory for the copy has no name");
    /* What lives in memory is copied to the disk. */
    st = store->engine->ops->backup(store->engine, store->files != NULL ? &lsi_files_system : store->env.files,
                                    directory, own.progress != NULL ? backup_progress : NULL, &own);
    return lsi_error_end(st);
}

/* ---- listing ---- */

struct ls_stream_list {
    lsi_memory memory; /* A list may outlive its store's env, not its allocator. */
    char (*names)[LSI_STREAM_NAME_MAX + 1];
    size_t count;
    size_t capacity;
    uint32_t limit;
    bool has_more;
    bool is_out_of_memory;
};

static bool keep_name(void *user, const char *name)
{
    ls_stream_list *list = user;

    if (list->count == list->limit) {
        list->has_more = true;
        return false;
    }
    if (!lsi_grow(&list->memory, (void **)&list->names, &list->capacity, list->count + 1, sizeof *list->names)) {
        list->is_out_of_memory = true;
        return false;
    }
    memcpy(list->names[list->count++], name, strnlen(name, LSI_STREAM_NAME_MAX) + 1);
    list->names[list->count - 1][LSI_STREAM_NAME_MAX] = '\0';
    return true;
}

ls_status ls_store_list_streams(ls_store *store, const char *after, uint32_t limit, ls_stream_list **out)
{
    ls_stream_list *list;
    ls_status st;

    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(out);
    LSI_ENTER(store);
    if (limit > LIST_LIMIT_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "limit is %u: it is at most %u", limit, LIST_LIMIT_MAX);
    list = lsi_alloc_zero(&store->env.memory, sizeof *list);
    if (list == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a list of streams");
    list->memory = store->env.memory;
    list->limit = limit == 0 ? LIST_LIMIT_DEFAULT : limit;
    st = store->engine->ops->list(store->engine, after == NULL ? "" : after, keep_name, list);
    if (st == LS_OK && list->is_out_of_memory)
        st = lsi_fail(LS_ERR_NO_MEMORY, "no memory for a list of %zu streams", list->count + 1);
    if (st != LS_OK) {
        ls_stream_list_free(list);
        return st;
    }
    *out = list;
    return lsi_error_end(LS_OK);
}

size_t ls_stream_list_count(const ls_stream_list *list)
{
    return list == NULL ? 0 : list->count;
}

const char *ls_stream_list_at(const ls_stream_list *list, size_t index)
{
    return list == NULL || index >= list->count ? NULL : list->names[index];
}

int32_t ls_stream_list_has_more(const ls_stream_list *list)
{
    return list != NULL && list->has_more;
}

void ls_stream_list_free(ls_stream_list *list)
{
    lsi_memory memory;

    if (list == NULL)
        return;
    memory = list->memory;
    lsi_free(&memory, list->names);
    lsi_free(&memory, list);
}
