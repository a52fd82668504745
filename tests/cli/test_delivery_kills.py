#!/usr/bin/env python3
"""Runs of a delivery that are killed at any instruction, while records are put and shards split: when one has come to its
end, each record was delivered once, in its key's order; no file was ever seen that was not whole; nothing else is left.

    test_delivery_kills.py LSTREAM [unittest options]
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import unittest

from store import LSTREAM, Store

KEYS = 5
ROUNDS = 200 if os.environ.get("LIBSTREAM_TEST_LONG") else 12


class Kills(Store):
    def files(self):
        """The lines of all files, by name; a file without a line feed at its end is not whole."""
        found = {}
        for folder, _, names in os.walk(os.path.join(self.folder, "out")):
            for name in names:
                if name.endswith(".tmp"):
                    continue
                with open(os.path.join(folder, name), "rb") as file:
                    content = file.read()
                self.assertTrue(content.endswith(b"\n"), name)
                found[os.path.join(folder, name)] = content.decode().split()
        return found

    def put(self, first, count):
        lines = "".join('{"k":"k%d","n":%d}\n' % (n % KEYS, n) for n in range(first, first + count))
        self.run_tool("put", "s", "--key-field", "k", "--quiet", stdin=lines.encode())

    def test_killed_runs_repeat_and_lose_nothing(self):
        seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
        chance = random.Random(seed)
        put = 0
        print("seed", seed, file=sys.stderr)
        self.run_tool("create", "s", "--shards", 2)
        self.run_tool("delivery", "create", "s", "d", "--from", "trim-horizon", "--directory",
                      os.path.join(self.folder, "out"), "--lines", "--interval-ms", "1", "--size", "300")
        for round_number in range(ROUNDS):
            runs = [subprocess.Popen([LSTREAM, "delivery", "run", "--store", self.store, "s", "d"],
                                     stderr=subprocess.DEVNULL) for _ in range(1 + round_number % 2)]
            time.sleep(chance.random() * 0.02)
            self.put(put, 60)
            put += 60
            if round_number == ROUNDS // 2:
                self.run_tool("split", "s", 0)
            time.sleep(chance.random() * 0.04)
            for run in runs:
                run.send_signal(signal.SIGKILL)
                run.wait()
            self.files()
        self.run_tool("delivery", "run", "s", "d", "--until-caught-up")
        found = self.files()
        numbers = [json.loads(line)["n"] for lines in found.values() for line in lines]
        self.assertEqual(sorted(numbers), list(range(put)), "seed %d" % seed)
        for lines in found.values():
            for key in range(KEYS):
                own = [n for n in (json.loads(line)["n"] for line in lines) if n % KEYS == key]
                self.assertEqual(own, sorted(own), "seed %d" % seed)
        self.run_tool("delivery", "run", "s", "d", "--until-caught-up")
        self.assertEqual(len(self.files()), len(found))
        left = [name for name in os.listdir(os.path.join(self.folder, "out")) if name.startswith(".")]
        self.assertEqual(left, [])


if __name__ == "__main__":
    unittest.main()
