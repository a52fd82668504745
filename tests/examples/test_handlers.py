#!/usr/bin/env python3
"""The examples of handlers, run as their heads say: what each prints, and what a second run of it does.

    test_handlers.py LSTREAM 02_BATCH_HANDLER 03_PARTIAL_FAILURE 04_WINDOW 05_EXACTLY_ONCE 06_EVENT_TIME
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

LSTREAM, HANDLER, FAILURE, WINDOW, EXACTLY_ONCE, EVENT_TIME = map(os.path.abspath, sys.argv[1:7])


class Handlers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def lines(self, *program):
        done = subprocess.run(program, cwd=self.folder, capture_output=True, text=True, timeout=60,
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

    def windows(self):
        """What the example is to print of all that was put: a line for each second, by the records' arrival."""
        done = subprocess.run([LSTREAM, "get", "orders", "--store", "window.store", "--json"], cwd=self.folder,
                              capture_output=True, text=True, timeout=60, check=True, stdin=subprocess.DEVNULL)
        seconds = {}
        for record in map(json.loads, done.stdout.splitlines()):
            seconds.setdefault(record["arrival_us"] // 1000000, []).append(int(record["data"]))
        return ["%d: %d orders, %d" % (second, len(prices), sum(prices)) for second, prices in seconds.items()]

    def test_windows_count_every_order_once(self):
        """A run puts three orders, in one second or in two, and prints the windows that are over by then: all but the
        last, and that one, too, when the run was so slow that it saw its end."""
        lines = []
        for run in range(3):
            lines += self.lines(WINDOW)
            windows = self.windows()
            self.assertEqual(sum(int(line.split()[1]) for line in windows), 3 * run + 3)
            self.assertIn(lines, (windows[:-1], windows))
            time.sleep(1.1)  # What the next run puts is in another second.

    def test_every_order_has_one_invoice_whoever_dies(self):
        invoices = ["invoice for %d books" % n for n in (1, 2, 3)]
        self.assertEqual(self.lines(EXACTLY_ONCE, "3"), invoices)
        died = subprocess.run([EXACTLY_ONCE, "3", "die"], cwd=self.folder, capture_output=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        self.assertEqual((died.returncode, died.stdout, died.stderr), (9, b"", b""))
        self.assertEqual(self.lines(EXACTLY_ONCE, "0"), 2 * invoices)
        self.assertEqual(self.lines(EXACTLY_ONCE, "3"), 3 * invoices)

    def test_a_window_over_event_time_goes_on_in_the_next_run(self):
        self.assertEqual(self.lines(EVENT_TIME), ["08:00 to 08:10: 3 bids, 11.00, the highest 5.00"])
        self.assertEqual(self.lines(EVENT_TIME), ["08:10 to 08:20: 3 bids, 10.00, the highest 6.00"])
        self.assertEqual(self.lines(EVENT_TIME), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
