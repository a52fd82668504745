/* The exported functions of unstable/inspect.h. The local engine's files are the only ones there are to look at. */
#include <libstream/unstable/inspect.h>

#include <stddef.h>
#include <string.h>

#include "api/api.h"
#include "base/env.h"
#include "base/status.h"
#include "engine/local/local.h"

static ls_status path_of(const char *location, const char **path)
{
    LSI_REFUSE_NULL(location);
    if (strncmp(location, "memory:", 7) == 0 || strncmp(location, "kafka:", 6) == 0)
        return lsi_fail(LS_ERR_UNSUPPORTED, "location '%s': only a store in a directory can be looked into", location);
    *path = strncmp(location, "file:", 5) == 0 ? location + 5 : location;
    if ((*path)[0] == '\0')
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "location '%s' has no path", location);
    return LS_OK;
}

/* What was found and repaired, or is no damage, is no failure of the call. A callback's own calls, which may fail, come
 * in between, so lsi_error_begin() does not serve here. */
static ls_status leave_alone(ls_status st, const lsi_error_state *before)
{
    if (st == LS_OK)
        lsi_error_restore(before);
    return st;
}

ls_status ls_inspect_dump(const char *path, ls_inspect_line_callback line, void *user)
{
    lsi_error_state before;
    lsi_env env;

    LSI_REFUSE_NULL(path);
    LSI_REFUSE_NULL(line);
    lsi_error_save(&before);
    lsi_env_default(&env);
    return leave_alone(lsi_local_dump(&env, path, line, user), &before);
}

static ls_status inspect(const char *location, const ls_inspect_options *options, bool repair,
                         ls_inspect_finding_callback finding, ls_inspect_summary *summary, void *user)
{
    ls_inspect_options own;
    lsi_inspection inspection = {.finding = finding, .user = user};
    uint32_t summary_size = 0;
    const char *path;
    lsi_error_state before;
    lsi_env env;
    ls_status st;

    lsi_error_save(&before);
    st = lsi_options_import(&own, sizeof(own), options, LSI_SIZE_UP_TO(ls_inspect_options, stream));
    if (st == LS_OK)
        st = path_of(location, &path);
    if (st == LS_OK && (own.flags & ~LS_INSPECT_NETWORK_FS_ALLOWED) != 0)
        st = lsi_fail(LS_ERR_INVALID_ARGUMENT, "unknown flags 0x%x", own.flags);
    if (st != LS_OK)
        return st;
    if (summary != NULL) {
        summary_size = summary->size;
        if (summary_size < LSI_SIZE_UP_TO(ls_inspect_summary, records_lost_max))
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "the summary's size is %u: use the INIT macro", summary_size);
    }
    lsi_env_default(&env);
    lsi_patience_begin(&env);
    st = lsi_local_inspect(&env, path, &own, repair, &inspection);
    if (summary != NULL) {
        /* What a newer caller knows and we do not stays as its INIT macro made it. */
        memcpy(summary, &inspection.summary, summary_size < sizeof(*summary) ? summary_size : sizeof(*summary));
        summary->size = summary_size;
    }
    if (st == LS_OK && inspection.damages_left != 0)
        st = lsi_fail(LS_ERR_CORRUPT, "'%s': damages: %llu", path, (unsigned long long)inspection.damages_left);
    return leave_alone(st, &before);
}

ls_status ls_inspect_verify(const char *location, const ls_inspect_options *options,
                            ls_inspect_finding_callback finding, ls_inspect_summary *summary, void *user)
{
    return inspect(location, options, false, finding, summary, user);
}

ls_status ls_inspect_repair(const char *location, const ls_inspect_options *options, int32_t dry_run,
                            ls_inspect_finding_callback finding, ls_inspect_summary *summary, void *user)
{
    return inspect(location, options, dry_run == 0, finding, summary, user);
}

ls_status ls_inspect_status(const char *location, const ls_inspect_callbacks *callbacks, void *user)
{
    ls_inspect_callbacks own;
    lsi_error_state before;
    const char *path;
    lsi_env env;
    ls_status st;

    lsi_error_save(&before);
    LSI_REFUSE_NULL(callbacks);
    st = lsi_options_import(&own, sizeof(own), callbacks, LSI_SIZE_UP_TO(ls_inspect_callbacks, shard));
    if (st == LS_OK)
        st = path_of(location, &path);
    if (st != LS_OK)
        return st;
    lsi_env_default(&env);
    return leave_alone(lsi_local_inspect_status(&env, path, &own, user), &before);
}
