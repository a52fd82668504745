/* The exported functions of status.h. The state they show lives in base/status.c, beside what sets it. */
#include <libstream/status.h>

#include "base/status.h"

ls_status_class_t ls_status_class(ls_status status)
{
    return status / 100;
}

int32_t ls_status_is_retryable(ls_status status)
{
    switch (status) {
    case LS_ERR_BUSY:
    case LS_ERR_TIMEOUT:
    case LS_ERR_THROTTLED:
    case LS_ERR_FULL:
    case LS_ERR_NO_MEMORY:
        return 1;
    default:
        return 0;
    }
}

const char *ls_status_name(ls_status status)
{
    switch (status) {
#define NAME(code) case code: return #code
    NAME(LS_OK);
    NAME(LS_ERR_INVALID_ARGUMENT);
    NAME(LS_ERR_TOO_LARGE);
    NAME(LS_ERR_UNSUPPORTED);
    NAME(LS_ERR_NOT_FOUND);
    NAME(LS_ERR_EXISTS);
    NAME(LS_ERR_STATE);
    NAME(LS_ERR_BUSY);
    NAME(LS_ERR_TIMEOUT);
    NAME(LS_ERR_CANCELLED);
    NAME(LS_ERR_READ_ONLY);
    NAME(LS_ERR_VERSION);
    NAME(LS_ERR_TRIMMED);
    NAME(LS_ERR_EXPIRED);
    NAME(LS_ERR_LEASE_LOST);
    NAME(LS_ERR_KEY);
    NAME(LS_ERR_THROTTLED);
    NAME(LS_ERR_IO);
    NAME(LS_ERR_FULL);
    NAME(LS_ERR_NO_MEMORY);
    NAME(LS_ERR_CORRUPT);
#undef NAME
    default:
        return "LS_ERR_?";
    }
}

ls_status ls_last_error_status(void)
{
    return lsi_error_current()->status;
}

int32_t ls_last_error_errno(void)
{
    return lsi_error_current()->err;
}

uint32_t ls_last_error_retry_after_ms(void)
{
    return lsi_error_current()->retry_after_ms;
}

const char *ls_last_error_message(void)
{
    return lsi_error_current()->message;
}
