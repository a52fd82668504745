/* Failing: set the thread's last error and return the code, in one expression:
 *     return lsi_fail(LS_ERR_NOT_FOUND, "stream '%s' does not exist", name);
 * Returning a code without one of these is a defect: the caller would see an older message. */
#ifndef LSI_BASE_STATUS_H
#define LSI_BASE_STATUS_H

#include <stdbool.h>

#include <libstream/status.h>

#define LSI_MESSAGE_BYTES 512

/* Sets the thread's last error and returns `status`. */
ls_status lsi_fail(ls_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with the system's errno, whose text is appended: "...: No space left on device". Picks the status from
 * the errno: ENOSPC EDQUOT EFBIG are FULL, ENOMEM EMFILE ENFILE NO_MEMORY, EROFS EACCES EPERM READ_ONLY, else IO. `err`
 * may have either sign, as base/file answers -errno. */
ls_status lsi_fail_errno(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same of what could not even be read: EACCES and EPERM are IO then, for to read nothing need be writable. */
ls_status lsi_fail_reading(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* LS_ERR_THROTTLED, and after how many milliseconds the call may be tried again. */
ls_status lsi_fail_throttled(uint32_t retry_after_ms, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes a text that quotes names out of files, or from callers, one line of UTF-8 in place: what is a control character
 * or no UTF-8 becomes '?'. A cut code point at the end is dropped when `was_cut`. */
void lsi_make_one_line(char *text, bool was_cut);

/* Puts "`label`: " in front of the last error's message; returns its status. */
ls_status lsi_fail_within(const char *label);

/* For code that recovers from a failure of its own: what the last error was is restored. */
typedef struct lsi_error_state {
    ls_status status;
    int32_t err;
    uint32_t retry_after_ms; /* 0: not known */
    char message[LSI_MESSAGE_BYTES];
} lsi_error_state;
void lsi_error_save(lsi_error_state *out);
void lsi_error_restore(const lsi_error_state *from);

/* For code that goes on past failures and tells the first one at its end: notes `st`, and why, if it is that one. */
void lsi_error_note_first(ls_status st, ls_status *first, lsi_error_state *why);

/* For the front door: a call that succeeds leaves the last error alone, whatever failed within it and was got over.
 * Each exported call begins and ends so, and gives the user's callbacks back to him in between: a callback's own calls
 * may fail, and that is the last error then. What was there is copied when the first thing fails, so that a call in
 * which nothing does pays for two words. `lsi_error_end` returns `st`. */
void lsi_error_begin(void);
ls_status lsi_error_end(ls_status st);

/* This thread's last error, for the exported ls_last_error_ functions: a view that the next failure overwrites. */
const lsi_error_state *lsi_error_current(void);

#endif
