#!/usr/bin/env python3
"""Every public header compiles alone, and twice, without a warning.

    headers_alone.py INCLUDE_DIR LANGUAGE STANDARD COMPILER HEADER...

Method: for each header a file that includes nothing else. A header that leans on another one having come first, is not
guarded against a second time, or uses what its language standard does not have, fails by name.
"""

import os
import subprocess
import sys


def main():
    include_dir, language, standard, compiler = sys.argv[1:5]
    headers = sys.argv[5:]
    bad = 0
    for header in headers:
        name = os.path.relpath(header, include_dir)
        source = "#include <%s>\n#include <%s>\nint main(void) { return 0; }\n" % (name, name)
        result = subprocess.run(
            [compiler, "-x", language, "-std=" + standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only",
             "-I", include_dir, "-"], input=source, capture_output=True, text=True)
        if result.returncode != 0:
            bad += 1
            print("%s as %s:\n%s" % (name, standard, result.stderr))
    print("%d of %d headers compile alone as %s with %s" % (len(headers) - bad, len(headers), standard, compiler))
    return 1 if bad or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
