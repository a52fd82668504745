#!/usr/bin/env python3
"""The programs that read CSV stream it: ten times the input takes no more memory.

    test_memory.py PROGRAM...

Method: each is run on a file of 2 MB and on one of 20 MB, and the most memory that was resident is compared; with
LIBSTREAM_TEST_LONG in the environment the larger one has 500 MB. Not for a build with a sanitizer, which keeps what was
freed.
"""

import json
import os
import subprocess
import sys
import unittest

import pipelines

PROGRAMS = {os.path.basename(path): path for path in sys.argv[1:]}
LARGE_BYTES = 500_000_000 if "LIBSTREAM_TEST_LONG" in os.environ else 20_000_000
MORE_KB = 10000  # What a bit more or less of a buffer, and of the C library's heap, makes.

# By program: the header, a row of a number, what comes before the file, and what the result says of records.
INPUTS = {
    "weather": ("STATION,NAME,DATE,PRCP,SNOW,TMAX,TMIN,NOTE\n", "S%d,NAME %d,2021-10-01,0.5,,70,,%s\n", []),
    "clicks": ("", "%d,2020-07-30T23:17:36,browsing,p%d,%s,1.5,2,3,4,5\n", ["--batch", "100", "--size", "500000"]),
    "accidents": ("ID,Severity,City,County,Description\n", "A-%d,3,CITY,COUNTY,%d%s\n",
                  ["--batch", "100", "--size", "500000"]),
    "books": ("Title,Price,Blurb\n", "T%d,1.%d,%s\n", []),
}


class Memory(pipelines.Case):
    def input(self, name, size):
        header, row, _ = INPUTS[name]
        text = "x" * (50000 if name == "books" else 2000)
        count, written = 0, len(header)
        with open(self.path("input.csv"), "w") as file:
            file.write(header)
            while written < size:
                count += 1
                written += file.write(row % (count, count, text))
        return self.path("input.csv"), count

    def most_kb(self, name, size):
        path, count = self.input(name, size)
        with open(self.path("out"), "wb") as out:
            process = subprocess.Popen([PROGRAMS[name], "--json", *INPUTS[name][2], path], stdout=out,
                                       env=self.environment)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        with open(self.path("out")) as out:
            self.assertEqual(json.loads(out.read().splitlines()[-1])["records"], count)
        return used.ru_maxrss

    def check(self, name):
        if name not in PROGRAMS:
            self.skipTest("%s was not built" % name)
        small, large = self.most_kb(name, 2_000_000), self.most_kb(name, LARGE_BYTES)
        print("%s: %d KB of 2 MB, %d KB of %d MB" % (name, small, large, LARGE_BYTES // 1_000_000))
        self.assertLess(large, small + MORE_KB)

    def test_weather(self):
        self.check("weather")

    def test_clicks(self):
        self.check("clicks")

    def test_accidents(self):
        self.check("accidents")

    def test_books(self):
        self.check("books")


if __name__ == "__main__":
    pipelines.main()
