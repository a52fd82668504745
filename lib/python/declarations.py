#!/usr/bin/env python3
"""The C of the extension module `libstream._native`: every public call, declared as the public headers declare it.

    declarations.py OUTPUT INCLUDE_DIRECTORY NATIVE_H

Nothing is declared twice: cffi gets the headers themselves, less comments and preprocessor. The compiler then holds
each declaration against the header, so that what is left out by mistake is missing, and never wrong.
"""

import os
import re
import sys

from cffi import FFI

CALLBACKS = """
extern "Python" ls_handler_answer lsi_py_on_batch(const ls_batch *, ls_handler_context *, void *);
extern "Python" int32_t lsi_py_on_discard(const ls_batch *, ls_discard_reason, uint32_t, void *);
extern "Python" int32_t lsi_py_window_time(const ls_record *, int64_t *, void *);
extern "Python" int32_t lsi_py_window_key(const ls_record *, ls_bytes *, void *);
extern "Python" int32_t lsi_py_window_value(const ls_record *, double *, void *);
extern "Python" void lsi_py_fold_init(void *, void *);
extern "Python" void lsi_py_fold_add(void *, const ls_record *, void *);
extern "Python" void lsi_py_fold_merge(void *, const void *, void *);
extern "Python" ls_window_answer lsi_py_on_window(const ls_window_result *, void *);
extern "Python" void lsi_py_on_left_over(const ls_record *, ls_window_reason, int64_t, void *);
extern "Python" ls_status lsi_py_on_text(const char *, size_t, void *);
extern "Python" int32_t lsi_py_on_alert(const ls_alert *, void *);
extern "Python" void lsi_py_on_outcome(const ls_async_outcome *, void *);
extern "Python" ls_push_answer lsi_py_on_push(const ls_batch *, void *);
extern "Python" ls_transform_answer lsi_py_on_transform(ls_transform *, void *);
extern "Python" ls_status lsi_py_on_object(const ls_delivery_object *, void *);
extern "Python" ls_status lsi_py_on_key(void *, const char *, unsigned char *);
extern "Python" void lsi_py_on_log(void *, int32_t, const char *);
extern "Python" ls_status lsi_py_on_progress(void *, uint64_t, uint64_t);
"""


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def constants(text):
    """Names that stand for an integer; the compiler knows which."""
    for name, value in re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(.+?)[ \t]*$", text, re.M):
        if re.match(r"[-(]*(\d|U?INT(32|64)_(C|MAX)|LS_\w+$|LS_)", value) and '"' not in value:
            yield name


def declarations(text):
    """What is left without comments, preprocessor and what only the compiler of C++ or of the library reads."""
    text = re.sub(r"#[ \t]*ifdef __cplusplus.*?#[ \t]*endif", "", text, flags=re.S)
    text = re.sub(r"^[ \t]*#.*?(?<!\\)$", "", text, flags=re.M | re.S)
    return re.sub(r"\bLS_API\b", "", text)


def headers(include, name, seen):
    """The texts of a header and of those that it includes, these first."""
    if name in seen:
        return
    seen.add(name)
    with open(os.path.join(include, name), encoding="utf-8") as file:
        text = without_comments(file.read())
    for other in re.findall(r"#[ \t]*include[ \t]+<(libstream/[^>]+)>", text):
        yield from headers(include, other, seen)
    yield text


def main(output, include, native_h):
    parts, sizes = list(headers(include, "libstream/libstream.h", set())), {}
    with open(native_h, encoding="utf-8") as file:
        parts.append(without_comments(re.search(r"BEGIN: .*?\*/(.*)/\* END", file.read(), re.S).group(1)))
    for part in parts:
        sizes.update((name, value) for name, value in re.findall(r"#[ \t]*define[ \t]+(\w+)[ \t]+(\d+)u?\s", part))
    text = "\n".join(declarations(part) for part in parts)
    text = re.sub(r"\[([A-Z]\w+)\]", lambda match: "[%s]" % sizes[match.group(1)], text)

    ffi = FFI()
    ffi.cdef("".join("#define %s ...\n" % name for part in parts for name in constants(part)) + text + CALLBACKS)
    ffi.set_source("libstream._native", '#include "python/native.h"\n')
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
