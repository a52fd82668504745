#!/usr/bin/env python3
"""Run the tests of the Python package by pytest, or say why they are skipped.

    run.py FOLDER [OPTION...]   those of a folder, with options for pytest
    run.py --absent             the package was not built
"""

import sys


def skip(reason):
    print("skipped: " + reason)
    sys.exit(77)


def main():
    if sys.argv[1] == "--absent":
        skip("the package needs Python.h (python3-dev) and cffi (python3-cffi), which meson did not find")
    try:
        import pytest
    except ImportError:
        skip("no pytest (python3-pytest) for " + sys.executable)
    try:
        import hypothesis  # noqa: F401
    except ImportError:
        skip("no hypothesis (python3-hypothesis) for " + sys.executable)
    # Caches stay out of the sources; a test that hangs says where.
    return pytest.main(["-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=60", "--durations=3",
                        "--rootdir", sys.argv[1]] + sys.argv[1:])


if __name__ == "__main__":  # multiprocessing imports this file in its children.
    sys.exit(main())
