"""What the tests of the tool share: a store of their own, running the tool, and looking at its files."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

LSTREAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else "lstream"
SEGMENT_HEADER = 4096


def is_emulated():
    """Whether the tool is another machine's. Its emulator makes a copy of who spawns, who then is not told that the
    program could not be begun (posix_spawn)."""
    machines = {62: "x86_64", 183: "aarch64"}
    with open(LSTREAM, "rb") as file:
        return machines.get(int.from_bytes(file.read(20)[18:], "little")) != os.uname().machine


def content(path):
    with open(path, "rb") as file:
        return file.read()


class Store(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="lstream-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.store = os.path.join(self.folder, "store")

    def run_tool(self, *arguments, stdin=b"", expect=0, env=None):
        """Runs the tool and checks its exit code (None: any); messages must name tool and command."""
        environment = {**os.environ, "LIBSTREAM_STORE": self.store, **(env or {})}
        done = subprocess.run([LSTREAM, *map(str, arguments)], input=stdin, capture_output=True, env=environment,
                              timeout=60)
        done.out = done.stdout.decode("utf-8", "replace")
        done.err = done.stderr.decode("utf-8", "replace")
        self.assertEqual(done.returncode, done.returncode if expect is None else expect,
                         "lstream %s\n%s%s" % (" ".join(map(str, arguments)), done.out, done.err))
        for line in done.err.splitlines():
            self.assertTrue(line.startswith("lstream: "), line)
        return done

    def leaves_behind(self, run, code=0):
        """Runs the tool by `run` with a program that leaves another behind, which nothing may wait for."""
        path = os.path.join(self.folder, "left")
        began = time.monotonic()
        try:
            run("--", "sh", "-c", "cat >/dev/null; setsid sleep 40 </dev/null >/dev/null 2>&1 & echo $! >%s; exit %d"
                % (path, code))
            self.assertLess(time.monotonic() - began, 20)
        finally:
            with open(path) as left:
                os.kill(int(left.read()), signal.SIGKILL)

    def make(self, name="s", *options):
        self.run_tool("create", name, *options)

    def lines(self, name="s", *options, expect=0):
        return self.run_tool("get", name, *options, expect=expect).out.splitlines()

    def shard_file(self, name, shard=0, stream=1):
        return os.path.join(self.store, str(stream), str(shard), name)
