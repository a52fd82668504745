/* The calls of libc and libcrypto that base makes, each of which can be told to fail: for programs that are linked with
 * the arguments of meson.build (--wrap). One thread at a time makes calls while one is to fail. */
#ifndef LST_FAILING_CALLS_H
#define LST_FAILING_CALLS_H

#include <stdbool.h>
#include <stdint.h>

/* The `nth` call from now on, counted from 1, of those that `of` names, or of all when it is NULL, fails with `err`.
 * 0: it answers 0, and does nothing. */
void failing_at(const char *const *of, unsigned nth, int err);
/* And the next one of them with this; 0: it does what it does. */
void failing_then(int err);
/* All do what they do again. Answers which one has failed; NULL: there were not so many. */
const char *failing_end(void);

/* What calls that do not fail answer; zero: the truth. */
typedef struct failing_answers {
    uint32_t fs_type;     /* of fstatfs */
    bool ioctl_is_known;  /* of any file, which does nothing */
    bool types_are_unknown; /* of entries of directories */
    bool is_unlimited;    /* getrlimit */
    const char *release;  /* uname */
    bool is_short;        /* reads and writes of one byte each */
} failing_answers;
extern failing_answers failing_answer;

#endif
