/* Options that outlive releases: a caller's struct is as long as the header it was compiled with says.
 *
 * The size comes first in every such struct and is written by the INIT macro, in the caller's translation unit. So a
 * struct may be shorter than ours (an older caller: what it does not know keeps its default, 0) or longer (a newer one:
 * fine as long as it asks for nothing we cannot do). */
#include "api/api.h"

#include <string.h>

#include "base/status.h"

#define OPTIONS_SIZE_MAX 4096u /* no struct of ours comes near; a size beyond is memory that was never set */

ls_status lsi_options_import(void *own, uint32_t own_size, const void *theirs, uint32_t oldest_size)
{
    const unsigned char *from = theirs;
    uint32_t size;

    memset(own, 0, own_size);
    if (theirs == NULL)
        return LS_OK;
    memcpy(&size, from, sizeof size);
    if (size < oldest_size || size > OPTIONS_SIZE_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "options size is %u: use the INIT macro", size);
    for (uint32_t i = own_size; i < size; i++)
        if (from[i] != 0) /* Refuse, do not guess. */
            return lsi_fail(LS_ERR_UNSUPPORTED, "unknown option at byte %u of %u", i, size);
    memcpy(own, from, size < own_size ? size : own_size);
    return LS_OK;
}
