#!/usr/bin/env python3
"""Runs of a delivery that are killed at any instruction, while records are put and shards split: when one has come to
its end, each record was delivered once, in its key's order; no file was ever seen that was not whole; nothing else is
left.

The same while the delivery's settings are changed beneath the runs.

    test_delivery_kills.py LSTREAM [unittest options]
"""

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

from store import LSTREAM, Store

KEYS = 5
ROUNDS = 200 if os.environ.get("LIBSTREAM_TEST_LONG") else 12


class Kills(Store):
    def setUp(self):
        super().setUp()
        self.twice = set()

    def files(self, *roots):
        """The lines of all files, by name; a file without a line feed at its end is not whole. One that is beneath two
        roots is the same in both, and counts as one; its name is in `self.twice`."""
        found = {}
        for root in roots or ("out",):
            for folder, _, names in os.walk(os.path.join(self.folder, root)):
                for name in names:
                    if name.endswith(".tmp"):
                        continue
                    with (gzip.open if name.endswith(".gz") else open)(os.path.join(folder, name), "rb") as file:
                        content = file.read()
                    self.assertTrue(content.endswith(b"\n"), name)
                    path = os.path.relpath(os.path.join(folder, name), os.path.join(self.folder, root))
                    if path in found:
                        self.twice.add(path)
                    self.assertEqual(found.setdefault(path, content.decode().split()), content.decode().split(), path)
        return found

    def start(self, count):
        return [subprocess.Popen([LSTREAM, "delivery", "run", "--store", self.store, "s", "d"],
                                 stderr=subprocess.DEVNULL) for _ in range(count)]

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
            runs = self.start(1 + round_number % 2)
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

    def test_what_was_taken_away_before_the_kill_is_not_delivered_again(self):
        """That an object is there is stored at once. A machine that stands still for long is given more time, but less
        than the second that other progress waits."""
        out, again = os.path.join(self.folder, "out"), None
        self.run_tool("create", "s")
        self.run_tool("delivery", "create", "s", "d", "--directory", out, "--lines", "--interval-ms", "1")
        for wait_s in (0.05, 0.2, 0.6):
            run = self.start(1)[0]
            self.put(0, 1)
            while not self.files():
                time.sleep(0.002)
            time.sleep(wait_s)
            run.kill()
            run.wait()
            shutil.rmtree(out)
            self.run_tool("delivery", "run", "s", "d", "--until-caught-up")
            again = self.files()
            if not again:
                break
            shutil.rmtree(out)
        self.assertEqual(again, {})

    def test_settings_change_beneath_runs_that_are_killed(self):
        """An object lies in both directories when it was delivered to one, and the run was killed before it could store
        that, and then the directory was changed (delivery.h): that is one for each run that was killed, at most."""
        seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
        chance = random.Random(seed)
        template, put = os.path.join(self.folder, "template.json"), 0
        killed = 0
        print("seed", seed, file=sys.stderr)
        self.run_tool("create", "s", "--shards", 2)
        for round_number in range(ROUNDS):
            with open(template, "w") as file:
                json.dump({"Deliveries": [{
                    "StreamName": "s", "DeliveryStreamName": "d", "StartingPosition": "TRIM_HORIZON",
                    "Directory": os.path.join(self.folder, chance.choice(["out", "other"])),
                    "BufferingHints": {"SizeInMBs": chance.choice([1, 2]), "IntervalInSeconds": 0},
                    "Prefix": chance.choice(["", "p/", "!{timestamp:yyyy}/"]),
                    "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
                    "CompressionFormat": chance.choice(["UNCOMPRESSED", "GZIP"]),
                    "ProcessingConfiguration": {"Enabled": True, "Processors": [{"Type": "AppendDelimiterToRecord"}]},
                }]}, file)
            runs = self.start(1 + round_number % 2) if round_number else []
            time.sleep(chance.random() * 0.02)
            self.put(put, 60)
            put += 60
            self.run_tool("apply", template)
            self.put(put, 20)
            put += 20
            if round_number == ROUNDS // 2:
                self.run_tool("split", "s", 0)
            time.sleep(chance.random() * 0.04)
            for run in runs:
                run.send_signal(signal.SIGKILL)
                run.wait()
            killed += len(runs)
            self.files("out", "other")
        self.run_tool("delivery", "run", "s", "d", "--until-caught-up")
        found = self.files("out", "other")
        numbers = [json.loads(line)["n"] for lines in found.values() for line in lines]
        self.assertEqual(sorted(numbers), list(range(put)), "seed %d" % seed)
        self.assertLessEqual(len(self.twice), killed, "seed %d" % seed)


if __name__ == "__main__":
    unittest.main()
