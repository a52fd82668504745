#!/usr/bin/env python3
"""The book pipeline, run as a user runs it.

    test_books.py BOOKS BOOKS_GENERATE DATA_DIR made_up|published|refusals

Method: made-up rows are worked out again in Python, with its own CSV reader, decimals and MD5; for the published files
the answers are written down here. Exit code 77: the published files are not there.
"""

import csv
import decimal
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BOOKS, BOOKS_GENERATE, DATA, GROUP = sys.argv[1:5]
KEYS = {"records", "accepted", "refused", "priced", "sum", "mean", "shards", "seconds", "seconds_by_page",
        "seconds_async"}
TOO_LONG = "title longer than 256 characters"


def books(*arguments, **more):
    return subprocess.run([BOOKS, *arguments], capture_output=True, timeout=250, stdin=subprocess.DEVNULL, **more)


def worked_out(rows, shards):
    """What the pipeline must find: the same rules, written a second time."""
    accepted = [row for row in rows if 1 <= len(row["Title"]) <= 256]
    prices = [decimal.Decimal(row["Price"].replace(",", "")) for row in accepted
              if re.fullmatch(r"[0-9,]+(\.[0-9]+)?", row["Price"])]
    counts = [0] * shards
    for row in accepted:
        counts[int.from_bytes(hashlib.md5(row["Title"].encode()).digest(), "big") * shards >> 128] += 1
    refused = len(rows) - len(accepted)
    return {"records": len(rows), "accepted": len(accepted), "refused": {TOO_LONG: refused} if refused else {},
            "priced": len(prices), "sum": sum(prices, decimal.Decimal(0)), "shards": counts}


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        # Every store is made in a directory of the test's own, which must be empty again afterwards.
        temporary = tempfile.TemporaryDirectory(prefix="libstream-test-", dir="/var/tmp")
        self.addCleanup(temporary.cleanup)
        self.directory = temporary.name
        self.stores = os.path.join(temporary.name, "stores")
        os.mkdir(self.stores)
        self.environment = dict(os.environ, TMPDIR=self.stores)

    def result(self, *arguments):
        done = books("--json", *arguments, env=self.environment)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(os.listdir(self.stores), [])
        return json.loads(done.stdout.decode().splitlines()[-1], parse_float=decimal.Decimal)

    def agree(self, result, expected):
        self.assertEqual({name: result[name] for name in expected}, expected)
        if expected["priced"] > 0:
            self.assertLess(abs(result["mean"] - expected["sum"] / expected["priced"]), decimal.Decimal("0.000001"))
        for name in ("seconds", "seconds_by_page", "seconds_async"):
            self.assertGreater(result[name], 0)

    def file(self, name, data):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(data)
        return path


class MadeUp(Case):
    def table(self, *arguments):
        data = subprocess.run([BOOKS_GENERATE, *arguments], capture_output=True, check=True).stdout
        return data, list(csv.DictReader(io.StringIO(data.decode(), newline="")))

    def test_without_files_the_seeds_two_cases_run(self):
        rows = self.table()[1]
        cases = self.result()["cases"]
        self.assertEqual([set(case) for case in cases], [KEYS | {"seed_seconds"}] * 2)
        self.assertEqual([case["seed_seconds"] for case in cases],
                         [decimal.Decimal("10.36"), decimal.Decimal("276.68")])
        self.agree(cases[0], worked_out(rows[:212], 1))
        self.agree(cases[1], worked_out(rows, 2))

    def test_a_file_gives_what_its_rows_say(self):
        data, rows = self.table("--seed", "7", "--rows", "1500")
        path = self.file("books.csv", data)
        result = self.result("--shards", "3", path)
        self.assertEqual(set(result), KEYS)
        self.agree(result, worked_out(rows, 3))
        self.agree(self.result("--rows", "700", path), worked_out(rows[:700], 2))
        # Two files are one table; the limit of rows counts across them.
        self.agree(self.result("--shards=1", "--rows", "2000", path, self.file("copy.csv", data)),
                   worked_out((rows + rows)[:2000], 1))

    def test_rows_come_at_a_pace_and_others_for_another_seed(self):
        began = time.monotonic()
        result = self.result("--rows", "30", "--rate", "60", "--batch", "7")
        self.assertGreater(time.monotonic() - began, 2 * 29 / 60)
        for case, shards in zip(result["cases"], (1, 2)):
            self.agree(case, worked_out(self.table("--rows", "30")[1], shards))
        result = self.result("--rows", "30", "--seed", "5", "--batch", "10000")
        self.agree(result["cases"][1], worked_out(self.table("--rows", "30", "--seed", "5")[1], 2))

    def test_the_report_fits_a_terminal_and_names_the_times(self):
        done = books(env=self.environment)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        text = done.stdout.decode()
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        for part in ("212 rows on 1 shard", "8,786 rows on 2 shards", "10.36", "276.68", TOO_LONG, "with a price",
                     "mean", "a page per call", "without waiting"):
            self.assertIn(part, text)

    def test_an_interrupted_run_leaves_nothing_behind(self):
        # A pipe that stays open: the run cannot end by itself.
        path = os.path.join(self.directory, "pipe")
        os.mkfifo(path)
        pipe = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, pipe)
        os.write(pipe, self.table("--rows", "100")[0])
        process = subprocess.Popen([BOOKS, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment)
        deadline = time.monotonic() + 20
        while not os.listdir(self.stores) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=30)
        self.assertEqual((process.returncode, output), (130, (b"", b"")))
        self.assertEqual(os.listdir(self.stores), [])


class Published(Case):
    def setUp(self):
        super().setUp()
        self.files = [os.path.join(DATA, name) for name in ("books_amazon_in.csv", "books_amazon_us.csv")]

    def check(self, arguments, records, accepted, shards, priced, total):
        refused = {TOO_LONG: records - accepted} if records > accepted else {}
        self.agree(self.result(*arguments, *self.files),
                   {"records": records, "accepted": accepted, "refused": refused, "shards": shards, "priced": priced,
                    "sum": decimal.Decimal(total)})

    def test_the_first_212_rows(self):
        self.check(["--rows", "212", "--shards", "1"], 212, 212, [212], 212, "129770.32")
        self.check(["--rows", "212"], 212, 212, [102, 110], 212, "129770.32")

    def test_the_first_8786_rows(self):
        self.check(["--rows", "8786"], 8786, 8772, [4246, 4526], 8770, "3943505.25")

    def test_all_rows(self):
        self.check([], 8874, 8860, [4293, 4567], 8858, "3951205.80")

    def test_all_rows_on_four_shards(self):
        self.check(["--shards", "4"], 8874, 8860, [2195, 2098, 2292, 2275], 8858, "3951205.80")

    def test_other_columns_can_be_named(self):
        kindle = os.path.join(DATA, "books_kindle_blurbs_a.csv")
        result = self.result("--title", "Book Name", kindle)
        self.assertEqual((result["records"], result["priced"], result["sum"]), (368, 368, decimal.Decimal("2435.30")))


class Refusals(Case):
    def test_each_refused_row_has_its_reason(self):
        longest = "😀" * 256
        data = "Title,Price\r\n%s,1\r\n%s,2\r\n,3\r\nx,4,5\r\ny\r\n" % (longest, longest + "x")
        path = self.file("rows.csv",
                         data.encode() + b"z\xff,6\r\nz,\xff\r\nbig,\"%s\"\r\nlast,7.25\r\n" % (b"x" * (1 << 20)))
        result = self.result("--shards", "1", path)
        self.assertEqual(result["refused"], {TOO_LONG: 1, "no title": 1, "not as many cells as the header": 2,
                                             "a cell is not UTF-8": 2, "record larger than 1 MiB": 1})
        self.assertEqual((result["records"], result["accepted"], result["shards"]), (9, 2, [2]))
        self.assertEqual((result["priced"], result["sum"]), (2, decimal.Decimal("8.25")))

    def test_no_rows_and_no_price_are_answers(self):
        result = self.result("--shards", "1", self.file("none.csv", b"title,price\n"))
        self.assertEqual([result[name] for name in ("records", "priced", "sum", "mean", "shards")],
                         [0, 0, 0, None, [0]])
        result = self.result("--shards", "1", self.file("unpriced.csv", b"TITLE,PRICE\na,$5\nb,\n"))
        self.assertEqual([result[name] for name in ("accepted", "priced", "mean")], [2, 0, None])

    def test_columns_of_one_name_are_kept_apart_and_the_exact_name_wins(self):
        path = self.file("twice.csv", b"title,Title,price,Price,,\nwrong,right,1,2,x,y\n")
        self.assertEqual(self.result(path)["sum"], 2)
        self.assertEqual(self.result("--price", "price", path)["sum"], 1)

    def test_prices_of_many_digits_are_added_exactly(self):
        prices = ["9" * 60, "0." + "0" * 35 + "1", "1,000,000,000,000,000,000", "9" * 59 + ".5"] * 3
        path = self.file("large.csv", ("Title,Price\n" + "".join('t,"%s"\n' % p for p in prices)).encode())
        with decimal.localcontext() as context:
            context.prec = 200
            total = sum(decimal.Decimal(p.replace(",", "")) for p in prices)
            result = self.result("--shards", "1", path)
            self.assertEqual((result["priced"], result["sum"]), (len(prices), total))
            self.assertEqual(result["mean"], (total / len(prices)).quantize(decimal.Decimal("1e-9"),
                                                                            decimal.ROUND_HALF_UP))
        path = self.file("larger.csv", ("Title,Price\na,%s\nb,2\n" % ("9" * 61)).encode())
        result = self.result("--shards", "1", path)
        self.assertEqual((result["accepted"], result["priced"], result["sum"]), (2, 1, 2))

    def test_a_dash_is_standard_input(self):
        first = self.file("first.csv", b"Title,Price\na,1\n")
        done = subprocess.run([BOOKS, "--json", first, "-"], input=b"Title,Price\nb,2.5\nc,x\n", capture_output=True,
                              env=self.environment)
        result = json.loads(done.stdout.decode().splitlines()[-1])
        self.assertEqual((done.returncode, result["records"], result["priced"], result["sum"]), (0, 3, 2, 3.5))
        done = subprocess.run([BOOKS, "-"], input=b"Title,Price\nb,\"2\n", capture_output=True, env=self.environment)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard input:2: ", done.stderr)

    def fails(self, code, part, *arguments):
        done = books(*arguments, env=self.environment)
        self.assertEqual((done.returncode, done.stdout), (code, b""), done.stderr)
        self.assertIn(part, done.stderr.decode())
        self.assertEqual(os.listdir(self.stores), [])

    def test_bad_input_is_named_with_its_place(self):
        good = self.file("good.csv", b"Title,Price\na,1\n")
        self.fails(1, "nowhere.csv: No such file", good, os.path.join(self.directory, "nowhere.csv"))
        self.fails(1, "broken.csv:3: a quote is opened here and never closed",
                   self.file("broken.csv", b'Title,Price\na,1\nb,"2\n'))
        self.fails(1, "empty.csv is empty", self.file("empty.csv", b""))
        self.fails(1, "no column 'Name'; name it with --title. Its columns: 'Title', 'Price'", "--title", "Name", good)
        self.fails(1, "no column 'Cost'; name it with --price", "--price", "Cost", good)
        self.fails(1, "Is a directory", self.directory)

    def test_a_file_is_not_counted_twice(self):
        good, link = self.file("good.csv", b"Title,Price\na,1\n"), os.path.join(self.directory, "link.csv")
        os.symlink(good, link)
        self.fails(2, "good.csv is given twice", good, good)
        self.fails(2, "are the same file", good, link)

    def test_wrong_arguments_are_usage_errors(self):
        for arguments in (["--rows", "0"], ["--rows", "-1"], ["--rows", "1x"], ["--shards", "0"], ["--shards", "65537"],
                          ["--batch", "0"], ["--batch", "10001"], ["--rate", "x"], ["--seed", "-1"],
                          ["--what"], ["--rows"]):
            self.fails(2, "books", *arguments)
        done = books("--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertLessEqual(max(map(len, done.stdout.decode().splitlines())), 80)

    def test_a_result_that_cannot_be_written_is_an_error(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([BOOKS, "--json", self.file("good.csv", b"Title,Price\na,1\n")], stdout=full,
                                  stderr=subprocess.PIPE, env=self.environment, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot write the result", done.stderr)


if __name__ == "__main__":
    if GROUP == "published" and not os.path.exists(os.path.join(DATA, "books_amazon_in.csv")):
        print("the published files are not at", DATA)
        sys.exit(77)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase({"made_up": MadeUp, "published": Published,
                                                              "refusals": Refusals}[GROUP])
    sys.exit(not unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite).wasSuccessful())
