#!/usr/bin/env python3
"""The ctypes example, run as its head says: a second run finds what the first one put.

    test_ctypes.py EXAMPLE LIBSTREAM_SO
"""

import subprocess
import sys
import tempfile
import unittest

EXAMPLE, LIBRARY = sys.argv[1:3]


class Ctypes(unittest.TestCase):
    def run_it(self, folder):
        done = subprocess.run([sys.executable, EXAMPLE, LIBRARY, folder + "/store"], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.splitlines()

    def test_what_was_put_is_read_by_this_run_and_the_next(self):
        names = ["tea", "bread", "honey"]
        with tempfile.TemporaryDirectory() as folder:
            for run in range(1, 3):
                lines = self.run_it(folder)
                self.assertEqual(lines[3:], ["record %d: %s" % (i + 1, names[i % 3]) for i in range(3 * run)])
                self.assertEqual(lines[:3], ["put record %d of shard 0" % (3 * run + i - 2) for i in range(3)])

    def test_what_fails_is_told_in_the_library_s_words(self):
        done = subprocess.run([sys.executable, EXAMPLE, LIBRARY, "/proc/no/store"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("OSError: ls_store_open: '/proc/no/store' is no directory", done.stderr)

    def test_it_is_as_short_as_it_says(self):
        with open(EXAMPLE, encoding="utf-8") as file:
            self.assertLessEqual(len(file.readlines()), 60)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
