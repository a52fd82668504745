/**
 * @file status.h
 * What a call answers, and the line that says more.
 *
 * A failing call returns a code and sets the calling thread's last error: the code, errno if the system gave one, and
 * one line that names the thing with its numbers. Success leaves the last error alone.
 */
#ifndef LIBSTREAM_STATUS_H
#define LIBSTREAM_STATUS_H

#include <libstream/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** LS_OK, or one of the LS_ERR_ codes. The numbers never change. */
typedef int32_t ls_status;

#define LS_OK 0

/* Usage: the call cannot be meant. Nothing was changed. */
#define LS_ERR_INVALID_ARGUMENT 101 /**< An argument breaks its rule. */
#define LS_ERR_TOO_LARGE 102        /**< A key, a record or a batch is over its limit. */
#define LS_ERR_UNSUPPORTED 103      /**< This build, engine or file system cannot do it. */

/* State: the call is fine, the thing it names is not in a state for it. */
#define LS_ERR_NOT_FOUND 201  /**< No such store, stream or shard. */
#define LS_ERR_EXISTS 202     /**< The name is taken. */
#define LS_ERR_STATE 203      /**< The handle or the store does not allow it now. */
#define LS_ERR_BUSY 204       /**< A lock was not free within `busy_timeout_ms`. */
#define LS_ERR_TIMEOUT 205    /**< The time given to the call is over. */
#define LS_ERR_CANCELLED 206  /**< Cancelled by another thread, or by a signal where that was asked for. */
#define LS_ERR_READ_ONLY 207  /**< The store was opened for reading, or its medium cannot be written. */
#define LS_ERR_VERSION 208    /**< Another release's format or control layout is in use. */
#define LS_ERR_TRIMMED 209    /**< The place was trimmed; the message names the oldest position. */
#define LS_ERR_EXPIRED 210    /**< A text token, or the number of a numbered put, is too old. */
#define LS_ERR_LEASE_LOST 211 /**< Another owner holds the lease. */
#define LS_ERR_KEY 212        /**< The encryption key is wrong or absent. */

/* Throttling. */
#define LS_ERR_THROTTLED 301 /**< Over a limit of a provisioned stream: wait ls_last_error_retry_after_ms(), retry. */

/* I/O and resources. */
#define LS_ERR_IO 401        /**< The system refused an operation; ls_last_error_errno() has its code. */
#define LS_ERR_FULL 402      /**< No space left. Nothing was written; retry after making room. */
#define LS_ERR_NO_MEMORY 403 /**< An allocation failed. Nothing was changed. */

/* Damage. */
#define LS_ERR_CORRUPT 501 /**< Bytes on disk fail their checks; the message names file, offset and numbers. */

/** The class of a status: its hundreds. */
typedef int32_t ls_status_class_t;
#define LS_CLASS_OK 0
#define LS_CLASS_USAGE 1
#define LS_CLASS_STATE 2
#define LS_CLASS_THROTTLING 3
#define LS_CLASS_IO 4
#define LS_CLASS_DAMAGE 5

/**
 * The class of `status`: one of LS_CLASS_. An unknown code gives its hundreds.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API ls_status_class_t ls_status_class(ls_status status);

/**
 * 1 when the same call may succeed later without anybody changing it (BUSY, TIMEOUT, THROTTLED, FULL, NO_MEMORY),
 * else 0.
 *
 * Threads: any thread. Never blocks. Since 0.1.
 */
LS_API int32_t ls_status_is_retryable(ls_status status);

/**
 * The code's name ("LS_ERR_NOT_FOUND"); "LS_ERR_?" for a number that is no code. A constant.
 *
 * Threads: any thread. Never blocks, never allocates. Since 0.1.
 */
LS_API const char *ls_status_name(ls_status status);

/**
 * The code of this thread's last failing call, LS_OK if none failed yet.
 *
 * Threads: any thread; each has its own. Never blocks. Since 0.1.
 */
LS_API ls_status ls_last_error_status(void);

/**
 * The errno of this thread's last failing call, 0 if the system was not the cause.
 *
 * Threads: any thread; each has its own. Never blocks. Since 0.1.
 */
LS_API int32_t ls_last_error_errno(void);

/**
 * After how many milliseconds this thread's last failing call may be tried again, if it was LS_ERR_THROTTLED; else 0.
 * Others who are throttled by the same limit may come first: be ready to wait once more.
 *
 * Threads: any thread; each has its own. Never blocks. Since 0.1.
 */
LS_API uint32_t ls_last_error_retry_after_ms(void);

/**
 * One line about this thread's last failing call, naming the thing and its numbers; "" if none failed yet. UTF-8,
 * at most 511 bytes. A view: valid until this thread's next failing call.
 *
 * Threads: any thread; each has its own. Never blocks. Since 0.1.
 */
LS_API const char *ls_last_error_message(void);

#ifdef __cplusplus
}
#endif
#endif
