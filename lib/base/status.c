/* The calling thread's last error: what lsi_fail() writes and the exported ls_last_error_ functions show.
 *
 * One fixed buffer per thread, so that failing never allocates and never fails. A message is one line of valid UTF-8
 * whatever it quotes: names come from callers and from damaged files, so control characters and bytes that are not
 * UTF-8 become '?', and a text that is too long is cut between code points. It is built beside the old one and then
 * copied, because a message may quote the one before it. errno is left as it was found. */
#include "base/status.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static _Thread_local lsi_error_state current;
static _Thread_local lsi_error_state before; /* what `current` was when the call began, once something failed in it */
static _Thread_local bool has_failed;        /* and so `before` was taken */

/* Goes before every change of `current`. */
static void take_before(void)
{
    if (!has_failed)
        before = current;
    has_failed = true;
}

void lsi_make_one_line(char *text, bool was_cut)
{
    size_t size = strlen(text);
    size_t at = 0;

    while (at < size) {
        size_t step = lsi_utf8_first(text + at, size - at);
        unsigned char byte = (unsigned char)text[at];

        if (step == 0 && was_cut && size - at < 4 && byte >= 0xc0)
            break;
        if (step == 0 || lsi_utf8_is_control(text + at)) {
            text[at++] = '?';
            continue;
        }
        at += step;
    }
    text[at] = '\0';
}

static void set_current(ls_status status, int err, const char *text, bool was_cut)
{
    char clean[LSI_MESSAGE_BYTES];

    (void)snprintf(clean, sizeof clean, "%s", text);
    lsi_make_one_line(clean, was_cut);
    take_before();
    memcpy(current.message, clean, sizeof clean);
    current.status = status;
    current.err = err;
    current.retry_after_ms = 0;
}

/* Prints into `text`; returns how much of it is used, and sets `*was_cut` when there was more. */
static size_t print(char text[LSI_MESSAGE_BYTES], size_t from, bool *was_cut, const char *format, va_list arguments)
    __attribute__((format(printf, 4, 0)));
static size_t print(char text[LSI_MESSAGE_BYTES], size_t from, bool *was_cut, const char *format, va_list arguments)
{
    int wanted = vsnprintf(text + from, LSI_MESSAGE_BYTES - from, format, arguments);

    if (wanted < 0) {
        text[from] = '\0';
        return from;
    }
    if ((size_t)wanted >= LSI_MESSAGE_BYTES - from) {
        *was_cut = true;
        return LSI_MESSAGE_BYTES - 1;
    }
    return from + (size_t)wanted;
}

ls_status lsi_fail(ls_status status, const char *format, ...)
{
    char text[LSI_MESSAGE_BYTES] = "";
    int errno_before = errno;
    bool was_cut = false;
    va_list arguments;

    assert(status != LS_OK);
    va_start(arguments, format);
    (void)print(text, 0, &was_cut, format, arguments); /* Its length is found again in lsi_make_one_line. */
    va_end(arguments);
    set_current(status, 0, text, was_cut);
    errno = errno_before;
    return status;
}

ls_status lsi_fail_throttled(uint32_t retry_after_ms, const char *format, ...)
{
    char text[LSI_MESSAGE_BYTES] = "";
    int errno_before = errno;
    bool was_cut = false;
    va_list arguments;

    va_start(arguments, format);
    (void)print(text, 0, &was_cut, format, arguments); /* Its length is found again in lsi_make_one_line. */
    va_end(arguments);
    set_current(LS_ERR_THROTTLED, 0, text, was_cut);
    current.retry_after_ms = retry_after_ms;
    errno = errno_before;
    return LS_ERR_THROTTLED;
}

static ls_status status_of_errno(int err)
{
    switch (err) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return LS_ERR_FULL;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return LS_ERR_NO_MEMORY;
    case EROFS:
    case EACCES:
    case EPERM:
        return LS_ERR_READ_ONLY;
    default:
        return LS_ERR_IO;
    }
}

/* The reason is what a person needs most, so a long text before it gives way, not the reason. */
#define REASON_BYTES 96

/* Thread-safe in every libc. */
static const char *reason_of(int err, char room[REASON_BYTES])
{
#ifdef __GLIBC__
    return strerror_r(err, room, REASON_BYTES); /* The GNU one: its answer is always terminated. */
#else
    return strerror_r(err, room, REASON_BYTES) == 0 ? room : "an unknown error";
#endif
}

static ls_status fail_errno(int err, ls_status status, const char *format, va_list arguments)
{
    char text[LSI_MESSAGE_BYTES] = "";
    char given[LSI_MESSAGE_BYTES];
    char room[REASON_BYTES];
    int errno_before = errno;
    bool was_cut = false;
    size_t size = print(text, 0, &was_cut, format, arguments);

    if (size > LSI_MESSAGE_BYTES - 1 - REASON_BYTES) {
        text[LSI_MESSAGE_BYTES - 1 - REASON_BYTES] = '\0';
        was_cut = true;
    }
    lsi_make_one_line(text, was_cut);
    memcpy(given, text, sizeof given);
    (void)snprintf(text, sizeof text, "%.*s: %.*s", LSI_MESSAGE_BYTES - 1 - REASON_BYTES, given, REASON_BYTES - 2,
                   reason_of(err, room)); /* Fits by the two precisions. */
    set_current(status, err, text, true);
    errno = errno_before;
    return current.status;
}

ls_status lsi_fail_errno(int err, const char *format, ...)
{
    va_list arguments;
    ls_status st;

    err = err < 0 ? -err : err;
    va_start(arguments, format);
    st = fail_errno(err, status_of_errno(err), format, arguments);
    va_end(arguments);
    return st;
}

ls_status lsi_fail_reading(int err, const char *format, ...)
{
    va_list arguments;
    ls_status st;

    err = err < 0 ? -err : err;
    st = status_of_errno(err);
    va_start(arguments, format);
    st = fail_errno(err, st == LS_ERR_READ_ONLY ? LS_ERR_IO : st, format, arguments);
    va_end(arguments);
    return st;
}

ls_status lsi_fail_within(const char *label)
{
    char text[LSI_MESSAGE_BYTES] = "";
    int wanted = snprintf(text, sizeof text, "%s: %s", label, current.message);

    set_current(current.status, current.err, text, wanted >= (int)sizeof text);
    return current.status;
}

void lsi_error_save(lsi_error_state *out)
{
    *out = current;
}

void lsi_error_restore(const lsi_error_state *from)
{
    take_before();
    current = *from;
}

void lsi_error_note_first(ls_status st, ls_status *first, lsi_error_state *why)
{
    if (st == LS_OK || *first != LS_OK)
        return;
    *first = st;
    *why = current;
}

void lsi_error_begin(void)
{
    has_failed = false;
}

ls_status lsi_error_end(ls_status st)
{
    if (st == LS_OK && has_failed)
        current = before;
    return st;
}

const lsi_error_state *lsi_error_current(void)
{
    return &current;
}
