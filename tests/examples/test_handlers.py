#!/usr/bin/env python3
"""The examples of handlers, run as their heads say: what each prints, and what a second run of it does.

    test_handlers.py 02_BATCH_HANDLER 03_PARTIAL_FAILURE 04_WINDOW
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

HANDLER, FAILURE, WINDOW = map(os.path.abspath, sys.argv[1:4])


class Handlers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def lines(self, program):
        done = subprocess.run([program], cwd=self.folder, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.splitlines()

    def test_a_second_run_handles_only_what_is_new(self):
        for run in range(2):
            lines = self.lines(HANDLER)
            self.assertEqual([line.split()[2] for line in lines if line.startswith("  ")], ["tea", "bread", "honey"])
            self.assertEqual([line for line in lines if not line.startswith("  ")],
                             ["printer: a batch of 2", "printer: a batch of 1"])

    def test_a_bad_record_is_tried_again_and_put_aside(self):
        for run in range(2):
            lines = self.lines(FAILURE)
            reports = [json.loads(line) for line in lines if line.startswith("{")]
            tries = ["'much' is no price, attempt %d" % n for n in (1, 1, 2, 3)]
            self.assertEqual(lines[:-len(reports)], tries + ["sum 60"])
            self.assertEqual(len(reports), run + 1)
            for report in reports:
                self.assertEqual([r["kinesis"]["data"] for r in report["payload"]["Records"]], ["bXVjaA=="])
                self.assertEqual(report["requestContext"]["approximateInvokeCount"], 3)

    def test_windows_count_every_order_once(self):
        """Those of the last run wait for the next, unless a second ends while it runs."""
        lines = []
        for run in range(3):
            lines += self.lines(WINDOW)
            time.sleep(2.2)  # All that was put is then in windows that are over.
        count = sum(int(line.split()[1]) for line in lines)
        self.assertIn(count, range(6, 10))
        self.assertEqual(sum(int(line.split()[3]) for line in lines), count // 3 * 60 + [0, 10, 30][count % 3])
        self.assertEqual(len({line.split()[0] for line in lines}), len(lines), "a window ends once")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
