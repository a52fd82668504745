#!/usr/bin/env python3
"""The package with its C under AddressSanitizer, UndefinedBehaviorSanitizer and LeakSanitizer, preloaded into the
interpreter: a short run of tests finds no fault, and no leak of the package's.

    sanitized.py SOURCE_ROOT [BUILD]     BUILD is made if it is not there; a temporary one unless given

Builds the library once more. In `meson test --setup long` and by hand all of TESTS run; in other runs of the suite
those of SHORT, in a build that is not optimised. Python keeps memory until its end, which is told as a leak: only
stacks count that go through the package or the library.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile

TESTS = ["reading", "errors", "async_producer", "group", "window", "metrics", "delivery", "kinesis", "aio", "mapping"]
SHORT = ["reading", "errors", "aio"]
TARGETS = ["_native.abi3.so", "_walk.abi3.so", "libstream.so.0"]


def runtime(name):
    return subprocess.run(["gcc", "-print-file-name=" + name], capture_output=True, text=True,
                          check=True).stdout.strip()


def main():
    is_short = "LIBSTREAM_IN_A_SUITE" in os.environ and "LIBSTREAM_TEST_LONG" not in os.environ
    if importlib.util.find_spec("pytest") is None:
        print("skipped: no pytest (python3-pytest) for " + sys.executable)
        return 77
    source = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        build = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else folder + "/build"
        if not os.path.exists(build + "/build.ninja"):
            subprocess.run(["meson", "setup", build, source, "-Dpython=enabled", "-Dtests=disabled", "-Db_lto=false",
                            "-Doptimization=%d" % (not is_short), "-Db_sanitize=address,undefined",
                            "-Db_lundef=false"], check=True, env=dict(os.environ, CC="gcc"))
        package = build + "/lib/python"
        subprocess.run(["ninja", "-C", build] + ["lib/python/libstream/" + name for name in TARGETS], check=True)
        here = os.path.join(source, "tests", "python")
        done = subprocess.run(
            # Not those that look at the size of memory, which a sanitizer keeps, or at how a program with leaks ends.
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", here, "-k",
             "not memory_behind and not control_c"] +
            ["%s/test_%s.py" % (here, name) for name in (SHORT if is_short else TESTS)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", stdin=subprocess.DEVNULL,
            env=dict(
                os.environ, PYTHONPATH=package, PYTHONDONTWRITEBYTECODE="1", ASAN_OPTIONS="detect_leaks=1",
                LD_PRELOAD="%s %s" % (runtime("libasan.so"), runtime("libubsan.so"))))
    passed = re.search(r"^(\d+) passed[^\n]*", done.stdout, re.M)
    ours = [stack for stack in re.split(r"\n\n", done.stdout)
            if re.match(r"(Direct|Indirect) leak", stack) and re.search(r"lsi?_\w+|/libstream/", stack)]
    wrong = re.findall(r"^.*(?:runtime error|ERROR: AddressSanitizer).*$", done.stdout, re.M)
    if passed is None or " failed" in passed.group(0) or wrong or ours:
        print(done.stdout[:20000], *wrong, *ours, sep="\n")
        return 1
    print("sanitized: %s, no fault, no leak" % passed.group(0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
