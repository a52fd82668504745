"""What the tests of the pipelines share: run one in a directory of its own, and kill one until it is done."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

SEED = random.SystemRandom().randrange(1 << 32)


class Case(unittest.TestCase):
    maxDiff = None
    program = None  # the path of the pipeline, and that of lstream, set by the test's file
    tool = None

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="libstream-test-", dir="/var/tmp")
        self.addCleanup(temporary.cleanup)
        self.directory = temporary.name
        self.program = self.program and os.path.abspath(self.program)  # It may run in another directory.
        self.stores = os.path.join(self.directory, "stores")  # Of runs without --store: empty after each.
        os.mkdir(self.stores)
        self.environment = dict(os.environ, TMPDIR=self.stores)
        self.kept = os.path.join(self.directory, "kept")

    def path(self, name):
        return os.path.join(self.directory, name)

    def file(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return self.path(name)

    def run_it(self, *arguments, **more):
        return subprocess.run([self.program, *map(str, arguments)], capture_output=True, timeout=200,
                              stdin=subprocess.DEVNULL, env=self.environment, **more)

    def result(self, *arguments):
        done = self.run_it("--json", *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(os.listdir(self.stores), [])
        return json.loads(done.stdout.decode().splitlines()[-1])

    def fails(self, code, part, *arguments):
        done = self.run_it(*arguments)
        self.assertEqual((done.returncode, done.stdout), (code, b""), done.stderr)
        lines = done.stderr.decode().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith(os.path.basename(self.program)) or lines[0].startswith(self.program), lines)
        self.assertIn(part, lines[0])
        self.assertEqual(os.listdir(self.stores), [])

    def help_fits(self):
        done = self.run_it("--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertLessEqual(max(map(len, done.stdout.decode().splitlines())), 80)

    def killed_until_done(self, kills, *arguments):
        """Kills it `kills` times with a store that is kept, at random moments, and returns what the next run says. The
        lives that are ended are as long together as one run that is left alone, on this machine, now."""
        chance = random.Random(SEED)
        survived = 0
        began = time.monotonic()
        self.result("--store", self.path("left-alone"), *arguments)
        most_s = 2 * (time.monotonic() - began) / kills
        for _ in range(kills):
            process = subprocess.Popen([self.program, "--json", "--store", self.kept, *map(str, arguments)],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.environment)
            try:
                errors = process.communicate(timeout=chance.uniform(0, most_s))[1]
                survived += 1
                self.assertEqual((process.returncode, errors), (0, b""), "seed %d" % SEED)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        print("%d kills, %d runs came to their end before" % (kills - survived, survived))
        self.assertGreater(kills, survived, "nothing was killed: seed %d" % SEED)
        return self.result("--store", self.kept, *arguments)

    def goes_on_from_another_place(self, *arguments):
        """What the second of two runs says, which begin in different directories, with paths relative to these."""
        results = []
        for place, store in (("here", "../kept"), (".", "kept")):
            os.makedirs(self.path(place), exist_ok=True)
            done = self.run_it("--json", "--store", store, *arguments[len(results)], cwd=self.path(place))
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            results.append(json.loads(done.stdout))
        self.assertEqual(os.listdir(self.path("here")), [])
        return results[1]

    def goes_on_where_it_was_moved(self, *arguments):
        """What the second of two runs says, before which the store and all that lies beside it got another name."""
        self.result("--store", self.kept, *arguments[0])
        for name in os.listdir(self.directory):
            if name.startswith("kept"):
                os.rename(self.path(name), self.path(name.replace("kept", "moved")))
        result = self.result("--store", self.path("moved"), *arguments[1])
        self.assertEqual([name for name in os.listdir(self.directory) if name.startswith("kept")], [])
        return result

    def takes_a_pipe(self, path):
        """What a program writes, as `zcat FILE.gz | ...`, is read as the file is, and once by a store."""
        with open(path, "rb") as file:
            rows = file.read()
        for told in (b"", b"rows are passed over"):
            done = subprocess.run([self.program, "--json", "--store", self.kept, "/dev/stdin"], input=rows,
                                  capture_output=True, timeout=200, env=self.environment)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(told, done.stderr)
            self.assertEqual(told == b"", done.stderr == b"")
            result = json.loads(done.stdout.decode().splitlines()[-1])
        return result

    def grows(self, path, *parts):
        """A file that grows by parts, which end anywhere, read twice after each: what the last run of each says. That
        it ended in the midst of a row is said when that is read again, and only then."""
        results, content = [], b""
        for part, is_said in parts:
            content += part.encode()
            self.file(os.path.basename(path), content)
            for said in (is_said, False):
                done = self.run_it("--json", "--store", self.kept, path)
                self.assertEqual(done.returncode, 0, done.stderr)
                told = done.stderr.count(b"grown in the midst of its last row: that is put again, whole")
                self.assertEqual(told, said)
                results.append(json.loads(done.stdout.decode().splitlines()[-1]))
            self.assertEqual(results.pop()["records"], results[-1]["records"])
        return results

    def shards_are_those_of_the_stream(self, *arguments):
        first = self.result("--store", self.kept, "--shards", "2", *arguments)
        self.assertEqual(len(first["shards"]), 2)
        for other in ("1", "5"):
            self.assertEqual(self.result("--store", self.kept, "--shards", other, *arguments)["shards"],
                             first["shards"])

    def a_second_run_is_refused(self, *arguments):
        """Two runs that read one source would put its rows twice. The first one is killed: then the store is free."""
        first = subprocess.Popen([self.program, "--store", self.kept, *map(str, arguments)], env=self.environment,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(2000):
                if os.path.exists(os.path.join(self.kept, "2")):  # It makes streams: nobody else may run any more.
                    break
                time.sleep(0.01)
            self.fails(1, "another pipeline runs on it", "--store", self.kept, *arguments)
        finally:
            first.kill()
            first.wait()

    def lstream(self, *arguments):
        done = subprocess.run([self.tool, *arguments, "--store", self.kept], capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout.decode()

    def small_segments(self, *streams):
        """A store that is kept, of which retention can take a little: the streams, in segments of 64 KiB."""
        for stream in streams:
            self.lstream("create", stream, "--segment-bytes", "64K")

    def trim(self, *streams):
        """Lets retention take all but the last segments."""
        for stream in streams:
            held = len(self.lstream("get", stream, "--json").splitlines())
            self.lstream("retention", stream, "--bytes", "128K")
            self.lstream("maintain")
            left = len(self.lstream("get", stream, "--json").splitlines())
            self.assertTrue(0 < left < held, (stream, left, held))

    def tables(self, path):
        with sqlite3.connect(path) as database:
            names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: database.execute('SELECT * FROM "%s" ORDER BY 1, 2' % name).fetchall() for name in names}


def main(groups=None, group=None):
    """Runs all cases of the main module, or those of one group."""
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromTestCase(groups[group]) if groups else \
        loader.loadTestsFromModule(sys.modules["__main__"])
    sys.exit(not unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite).wasSuccessful())
