/* What a store was opened for: every exported function that needs a right asks here before it touches anything. A put
 * or a read asks nothing: without the right there is no producer and no iterator to do it with. */
#include "api/api.h"

#include "base/status.h"

#define ROLES (LS_STORE_READ_ONLY | LS_STORE_CONSUME_ONLY | LS_STORE_PRODUCE_ONLY)

ls_status lsi_role_take(ls_store_options *options, lsi_role *out)
{
    uint32_t asked = options->flags & ROLES;

    *out = (lsi_role){LSI_MAY_PUT | LSI_MAY_READ | LSI_MAY_CHANGE | LSI_MAY_CONSUME, ""};
    if ((asked & (asked - 1)) != 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT,
                        "store flags 0x%x: READ_ONLY, CONSUME_ONLY and PRODUCE_ONLY exclude each other",
                        options->flags);
    options->flags &= ~ROLES;
    if (asked == LS_STORE_READ_ONLY) {
        *out = (lsi_role){LSI_MAY_READ, "reading"};
        options->flags |= LS_STORE_READ_ONLY;
    } else if (asked != 0) {
        *out = asked == LS_STORE_PRODUCE_ONLY ? (lsi_role){LSI_MAY_PUT, "producing"}
                                              : (lsi_role){LSI_MAY_READ | LSI_MAY_CONSUME, "consuming"};
        options->flags |= LS_STORE_NO_CREATE;
        if (options->durability != LS_DURABILITY_DEFAULT || options->sync_interval_ms != 0)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "who opens a store for %s only takes its durability as it is",
                            out->word);
    }
    return LS_OK;
}

ls_status lsi_store_require(const ls_store *store, uint32_t right, const char *call)
{
    if ((store->role.rights & right) != 0)
        return LS_OK;
    return lsi_fail((store->role.rights & LSI_MAY_PUT) != 0 ? LS_ERR_STATE : LS_ERR_READ_ONLY,
                    "%s: the store was opened for %s only", call, store->role.word);
}
