#!/usr/bin/env python3
"""What every call promises (status.h, and `out` in all headers) is asked of every call that any test makes.

    watched.py header HEADER... > watched.h
    watched.py source HEADER... > watched.c

Each test is compiled with the header (-include): for each exported function that returns a status it has a macro of its
name, and behind that is a function of the source, which makes the call and aborts unless

1. a call that succeeds left the thread's last error alone, code, errno, time and line (a batch of which records failed
   may change it);
2. a call that fails set it: the code that it returns, one line, not empty, of 511 bytes at most, and a time to wait in
   LS_ERR_THROTTLED only;
3. it set its out-parameters, handles, ids and indexes, when it succeeded, and none of them when it failed.

Calls that a callback makes may fail, and their error is the last one then: the call around them is not asked for 1.
"""

import re
import sys

HEAD = """\
/* Written by watched.py, which says what this is for. */
#ifndef LST_WATCHED_H
#define LST_WATCHED_H

#include <libstream/libstream.h>
#include <libstream/unstable/inspect.h>

"""

SOURCE = """\
/* Written by watched.py, which says what this is for. */
#define LST_WATCHED_C
#include "watched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct watched_error {
    ls_status status;
    int32_t err;
    uint32_t retry_after_ms;
    unsigned failures;
    char message[512];
} watched_error;

static _Thread_local unsigned watched_failures; /* of this thread, for calls within calls */

static void watched_begin(watched_error *before)
{
    before->status = ls_last_error_status();
    before->err = ls_last_error_errno();
    before->retry_after_ms = ls_last_error_retry_after_ms();
    before->failures = watched_failures;
    memcpy(before->message, ls_last_error_message(), strlen(ls_last_error_message()) + 1);
}

static void watched_break(const char *call, const char *promise, ls_status st, const watched_error *before)
{
    fprintf(stderr, "%s answered %s: %s. Last error before: %s '%s'; now: %s '%s'\\n", call, ls_status_name(st), promise,
            ls_status_name(before->status), before->message, ls_status_name(ls_last_error_status()),
            ls_last_error_message());
    abort();
}

static void watched_end(const char *call, ls_status st, const watched_error *before)
{
    const char *message = ls_last_error_message();

    if (st == LS_OK) {
        if (watched_failures == before->failures &&
            (ls_last_error_status() != before->status || ls_last_error_errno() != before->err ||
             ls_last_error_retry_after_ms() != before->retry_after_ms || strcmp(message, before->message) != 0))
            watched_break(call, "success leaves the last error alone", st, before);
        return;
    }
    watched_failures++;
    if (ls_last_error_status() != st)
        watched_break(call, "the last error has the code that was returned", st, before);
    if (message[0] == '\\0' || strlen(message) > 511 || strchr(message, '\\n') != NULL)
        watched_break(call, "a failure is told in one line", st, before);
    if (st != LS_ERR_THROTTLED && ls_last_error_retry_after_ms() != 0)
        watched_break(call, "only LS_ERR_THROTTLED says when to try again", st, before);
}

"""

# Out-parameters whose type is not a structure with a size, which callers may have less of than there is.
OUTS = {"out", "lower", "upper", "child"}
PLAIN = re.compile(r"(const )?\w+ \*\*|uint32_t \*|int32_t \*|ls_record_id \*")


def calls(header):
    """(name, [(type, name), ...]) of the functions that the header declares LS_API and that return a status."""
    with open(header, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
    for name, parameters in re.findall(r"\bLS_API\s+ls_status\s+(\w+)\s*\(([^;]*)\)\s*;", text):
        if parameters.strip() == "void":
            continue
        pairs = []
        for parameter in parameters.split(","):
            parameter = re.sub(r"(\w+)\[\w+\]$", r"*\1", " ".join(parameter.split()))
            pairs.append(re.fullmatch(r"(.*?)(\w+)", parameter).groups())
        yield name, pairs


def declaration(name, parameters):
    return "ls_status watched_%s(%s)" % (name, ", ".join(kind + out for kind, out in parameters))


def function(name, parameters):
    outs = [(kind[:-1], out) for kind, out in parameters if out in OUTS and PLAIN.fullmatch(kind)]
    mine = {out: "%s != NULL ? &my_%s : NULL" % (out, out) for _, out in outs}
    print("%s\n{" % declaration(name, parameters))
    for kind, out in outs:
        print("    %smy_%s;\n    %sno_%s;" % (kind, out, kind, out))
    print("    watched_error before;\n    ls_status st;\n")
    for _, out in outs:
        print("    memset(&no_%s, 0x5a, sizeof no_%s);\n    my_%s = no_%s;" % (out, out, out, out))
    print("    watched_begin(&before);")
    print("    st = %s(%s);" % (name, ", ".join(mine.get(out, out) for _, out in parameters)))
    if name == "ls_producer_put_batch":
        print("    if (st == LS_OK && (failed == NULL || *failed != 0))\n        return st;")
    for _, out in outs:
        print("    if (%s != NULL && (memcmp(&my_%s, &no_%s, sizeof my_%s) == 0) != (st != LS_OK))" % (out, out, out, out))
        print('        watched_break("%s", "`%s` is set on LS_OK, and then only", st, &before);' % (name, out))
        print("    if (%s != NULL && st == LS_OK)\n        *%s = my_%s;" % (out, out, out))
    print('    watched_end("%s", st, &before);\n    return st;\n}\n' % name)


def main():
    what, headers = sys.argv[1], sys.argv[2:]
    found = [call for header in headers for call in calls(header)]
    if what == "source":
        print(SOURCE, end="")
        for name, parameters in found:
            function(name, parameters)
        return
    print(HEAD, end="")
    for name, parameters in found:
        print(declaration(name, parameters) + ";")
    print("\n#ifndef LST_WATCHED_C")
    for name, _ in found:
        print("#define %s(...) watched_%s(__VA_ARGS__)" % (name, name))
    print("#endif\n\n#endif")


if __name__ == "__main__":
    main()
