#!/usr/bin/env python3
"""lstream put --async and --aggregate: what is stored, and what is told of lines that are not."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from store import LSTREAM, Store


def numbers(count):
    return "".join("%d\n" % i for i in range(count)).encode()


class Putting(Store):
    def put(self, *options, stdin=b"", expect=0):
        return self.run_tool("put", "s", *options, stdin=stdin, expect=expect)

    def start(self, *options):
        return subprocess.Popen([LSTREAM, "put", "s", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=dict(os.environ, LIBSTREAM_STORE=self.store))

    def end(self, put):
        """The exit code, what it printed and what it said."""
        code, out, err = put.wait(20), put.stdout.read(), put.stderr.read()
        put.stdin.close(), put.stdout.close(), put.stderr.close()
        return code, out, err.decode()

    def test_all_lines_are_stored_in_order(self):
        self.make("s", "--shards", 2)
        told = json.loads(self.put("--key-column", 1, "--async", "--json", stdin=numbers(20000)).out)
        self.assertEqual([told[name] for name in ("read", "stored", "refused", "bytes")],
                         [20000, 20000, 0, len(numbers(20000)) - 20000])
        self.assertNotIn("aggregates", told)
        for shard in (0, 1):
            got = [int(line) for line in self.lines("s", "--shard", shard)]
            self.assertGreater(len(got), 5000)
            self.assertEqual(got, sorted(set(got)))
        self.assertEqual(len(self.lines()), 20000)

    def test_aggregates_are_packed_by_shard(self):
        self.make("s", "--shards", 2)
        told = json.loads(self.put("--key-column", 1, "--aggregate", "--json", stdin=numbers(20000)).out)
        self.assertEqual((told["read"], told["stored"]), (20000, 20000))
        stored = [json.loads(line) for line in self.lines("s", "--json")]
        apart = [json.loads(line) for line in self.lines("s", "--deaggregate", "--json")]
        self.assertEqual(sorted(int(record["data"]) for record in apart), list(range(20000)))
        self.assertEqual(len({(r["shard"], r["seqno"]) for r in apart if "sub_seqno" in r}), told["aggregates"])
        self.assertLess(len(stored), 2000)
        self.assertFalse(any("outside_shard" in record for record in apart))
        done = self.put("-k", "k", "--aggregate", stdin=b"a\nb\n")
        self.assertRegex(done.err, "2 lines read, 2 stored .*, 0 refused\nlstream: put: [01] aggregates\n")

    def test_options_are_heeded(self):
        self.make("s", "--shards", 2)
        self.put("-k", "k", "--explicit-hash-key", 2 ** 128 - 1, "--async", "--durability", "sync", "--batch", 3,
                 stdin=numbers(10))
        self.assertEqual(self.lines("s", "--shard", 1), [str(i) for i in range(10)])
        for option in ("--async", "--aggregate"):
            done = self.put("-k", "k", option, "--no-retry", expect=2)
            self.assertIn("--no-retry does not go with --async and --aggregate", done.err)

    def test_lines_that_can_be_no_records_are_refused_and_others_stored(self):
        self.make()
        big = b"x" * ((1 << 20) + 1)
        for option in ("--async", "--aggregate"):
            done = self.put("-k", "k", option, stdin=b"one\n" + big + b"\ntwo\n", expect=1)
            said = done.err.splitlines()
            self.assertIn("put: line 2: ", said[0])
            self.assertIn("3 lines read, 2 stored (6 B), 1 refused", said[1])
        self.assertEqual(self.lines("s", "--deaggregate"), ["one", "two"] * 2)

    def test_no_line_waits_for_others_and_a_signal_ends_it(self):
        self.make()
        put = self.start("-k", "k", "--aggregate", "--json")
        put.stdin.write(b"one\ntwo\nhalf of a")
        put.stdin.flush()
        for _ in range(100):
            if len(self.lines("s", "--deaggregate")) == 2:
                break
            time.sleep(0.05)
        put.send_signal(signal.SIGTERM)
        code, out, err = self.end(put)
        self.assertEqual((code, err), (128 + signal.SIGTERM, "lstream: put: ended by a signal behind line 2\n"))
        told = json.loads(out)
        self.assertEqual((told["read"], told["stored"], told["refused"]), (2, 2, 0))
        self.assertEqual(self.lines("s", "--deaggregate"), ["one", "two"])

    def test_a_signal_says_which_lines_were_not_stored(self):
        self.make("s", "--mode", "provisioned", "--write-records-per-second", 3)
        put = self.start("-k", "k", "--async")
        put.stdin.write(numbers(40))
        put.stdin.flush()
        for _ in range(100):
            if self.lines():
                break
            time.sleep(0.05)
        put.send_signal(signal.SIGINT)
        code, _, err = self.end(put)
        stored = self.lines()
        self.assertEqual(code, 128 + signal.SIGINT)
        self.assertTrue(3 <= len(stored) < 40, stored)
        self.assertEqual(stored, [str(i) for i in range(len(stored))])
        said = err.splitlines()
        self.assertIn("not stored either: lines %d-40" % (len(stored) + 1), said[1])
        self.assertIn("40 lines read, %d stored" % len(stored), said[2])

    @unittest.skipUnless(shutil.which("strace"), "there is no strace")
    def test_what_cannot_be_stored_ends_it_and_all_lines_are_told(self):
        self.make()
        done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=1+",
                               LSTREAM, "put", "s", "-k", "k", "--async"], input=numbers(1000), capture_output=True,
                              env=dict(os.environ, LIBSTREAM_STORE=self.store, ASAN_OPTIONS="detect_leaks=0"))
        said = done.stderr.decode().splitlines()
        self.assertEqual(done.returncode, 1, said)
        self.assertIn("put: line 1: ", said[0])
        self.assertEqual(said[1], "lstream: put: line 1 may or may not be stored")
        others = [line for line in said if "not stored either" in line]
        read = int(re.search(r"(\d+) lines read, 0 stored", said[-1]).group(1))
        self.assertEqual(others, ["lstream: put: not stored either, or not known to be: lines 2-%d" % read])


if __name__ == "__main__":
    unittest.main()
