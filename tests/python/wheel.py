#!/usr/bin/env python3
"""The wheel, as users get it: built from a source distribution, and by pip from lib/python, which must have the same in
it; installed in a clean virtual environment of every CPython from 3.9 on that is on the machine, and tested there.

    wheel.py SOURCE_ROOT [PYTHON...]     interpreters; those in PATH, /usr/bin and pyenv's unless given

Takes minutes and asks PyPI, so it runs when it is called, and in `meson test --setup long`; else it is skipped. The
last line counts. The oldest interpreter builds: its wheel is every later one's.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile
import zipfile


def version_of(program):
    """(3, 9), or None when it is no CPython of 3.9 or later that can make environments."""
    asked = "import sys, venv, ensurepip; print(sys.implementation.name, *sys.version_info[:2])"
    try:
        said = subprocess.run([program, "-c", asked], capture_output=True, text=True, timeout=60).stdout.split()
    except OSError:
        return None
    found = tuple(map(int, said[1:])) if said and said[0] == "cpython" else None
    return found if found and found >= (3, 9) else None


def interpreters():
    """One program for each version, oldest first."""
    places = os.environ.get("PATH", "").split(":") + ["/usr/bin", os.path.expanduser("~/.pyenv/versions/*/bin")]
    found = {}
    for place in places:
        for program in sorted(glob.glob(os.path.join(place, "python3*"))):
            if re.fullmatch(r"python3(\.\d+)?", os.path.basename(program)) and "/shims/" not in program:
                version = version_of(program)
                if version is not None:
                    found.setdefault(version, program)
    return [found[version] for version in sorted(found)]


def run(*command, **more):
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **more)


def environment(folder, program):
    """A clean virtual environment; the path of its interpreter."""
    run(program, "-m", "venv", folder)
    return os.path.join(folder, "bin", "python")


def main():
    if "LIBSTREAM_IN_A_SUITE" in os.environ and "LIBSTREAM_TEST_LONG" not in os.environ:
        print("skipped: takes minutes and asks PyPI; meson test --setup long, or by hand")
        return 77
    source = os.path.abspath(sys.argv[1])
    programs = sys.argv[2:] or interpreters()
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        builder = environment(folder + "/builder", programs[0])
        run(builder, "-m", "pip", "install", "-q", "build")
        run(builder, "-m", "build", "-o", folder + "/dist", source)  # The wheel from the source distribution.
        wheels = glob.glob(folder + "/dist/*.whl")
        assert len(wheels) == 1 and re.search(r"-cp39-abi3-|-cp3\d+-abi3-", wheels[0]), wheels
        print(os.path.basename(wheels[0]), os.path.getsize(wheels[0]), "bytes", flush=True)
        run(builder, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, os.path.join(source, "lib", "python"))
        other = folder + "/" + os.path.basename(wheels[0])
        assert zipfile.ZipFile(other).namelist() == zipfile.ZipFile(wheels[0]).namelist(), os.listdir(folder)
        for index, program in enumerate(programs):
            python = environment("%s/%d" % (folder, index), program)
            run(python, "-m", "pip", "install", "-q", wheels[0], "pytest", "hypothesis", "numpy", "pyarrow",
                "botocore")
            run(python, os.path.join(source, "tests", "python", "run.py"), os.path.join(source, "tests", "python"),
                cwd=folder)
    print("wheel: %d interpreters passed: %s" % (len(programs), " ".join(programs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
