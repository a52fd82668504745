#!/usr/bin/env python3
"""What the examples share: the CSV reader, prices, flat JSON, and the generator of books.

    test_parts.py CHECK_PARTS BOOKS_GENERATE

Method: the CSV reader is compared with Python's on generated and random tables, read in pieces of every small size; the
rest against written answers.
"""

import csv
import io
import itertools
import json
import random
import subprocess
import sys
import tempfile
import unittest

CHECK_PARTS, BOOKS_GENERATE = sys.argv[1:3]
SEED = random.SystemRandom().randrange(1 << 32)


def run(*arguments):
    return subprocess.run(arguments, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)


class Csv(unittest.TestCase):
    def rows(self, data, piece=65536):
        """The rows, the error line, and the exit code."""
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            file.write(data)
            file.flush()
            done = run(CHECK_PARTS, "csv", file.name, str(piece))
            return ([json.loads(line) for line in done.stdout.splitlines()],
                    done.stderr.decode().replace(file.name, "FILE").strip(), done.returncode)

    def test_quotes_commas_line_ends_and_marks_are_read_as_rfc_4180_has_them(self):
        cases = [
            (b"a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
            (b"a,b\r\n1,2", [["a", "b"], ["1", "2"]]),
            (b"a,b\r1,2\r", [["a", "b"], ["1", "2"]]),
            (b"\xef\xbb\xbfa,b\n", [["a", "b"]]),
            (b'"a ""b"" c","d\r\ne","f,g"\n', [['a "b" c', "d\r\ne", "f,g"]]),
            (b'a,"",\n\n\r\n"x"\n', [["a", "", ""], ["x"]]),
            (b'5" disk,b\n', [['5" disk', "b"]]),
            (b"a\0b,c\n", [["a\0b", "c"]]),
            (b"", []),
        ]
        for data, expected in cases:
            for piece in (1, 2, 3, 65536):
                with self.subTest(data=data, piece=piece):
                    self.assertEqual(self.rows(data, piece), (expected, "", 0))

    def test_an_error_names_the_line_and_gives_the_rows_before_it(self):
        rows, error, code = self.rows(b'a,b\n"1\n2",3\nx,"y\n\n')
        self.assertEqual((rows, code), ([["a", "b"], ["1\n2", "3"]], 1))
        self.assertEqual(error, "FILE:4: a quote is opened here and never closed")
        rows, error, code = self.rows(b'a,b\n"1"2,3\n')
        self.assertEqual((rows, code), ([["a", "b"]], 1))
        self.assertTrue(error.startswith("FILE:2: after a closing quote comes byte 0x32"), error)

    def test_memory_is_bounded(self):
        error = self.rows(b'a\n"' + b"x" * (17 << 20))[1]
        self.assertTrue(error.startswith("FILE:2: the row that begins here is longer than 16 MiB"), error)
        error = self.rows(b"," * 5000)[1]
        self.assertEqual(error, "FILE:1: the row that begins here has more than 4096 cells")

    def test_cells_of_every_length_are_split_and_escaped_wherever_something_stands(self):
        cells = [text for size in range(20) for text in ["a" * size] + [
            "a" * at + c + "a" * (size - at - 1) for at in range(size) for c in '"\\\n\x01\x1f \x7f']]
        rows, text = [[cell, "", "x"] for cell in cells], io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.assertEqual(self.rows(text.getvalue().encode()), (rows, "", 0))
        plain = [["b" * size for size in sizes] for sizes in itertools.product(range(10), repeat=3) if any(sizes)]
        data = "".join(",".join(row) + "\n" for row in plain).encode()
        for piece in (1000, 65536):
            self.assertEqual(self.rows(data, piece), (plain, "", 0))

    def test_random_tables_are_read_as_python_reads_them(self):
        chance = random.Random(SEED)
        for _ in range(60):
            table = [["".join(chance.choice('ab ,"\n\r;é') for _ in range(chance.randrange(6)))
                      for _ in range(chance.randrange(1, 4))] for _ in range(chance.randrange(5))]
            text = io.StringIO()
            csv.writer(text, lineterminator=chance.choice(["\n", "\r\n", "\r"]),
                       quoting=chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])).writerows(table)
            expected = [row for row in csv.reader(io.StringIO(text.getvalue(), newline="")) if row not in ([], [""])]
            got = self.rows(text.getvalue().encode(), chance.choice([1, 2, 7, 65536]))
            self.assertEqual(got, (expected, "", 0), "seed %d: %r" % (SEED, text.getvalue()))


class Price(unittest.TestCase):
    def test_a_plain_decimal_is_a_price_and_nothing_else_is(self):
        cases = {
            "1": "1.00", "12.5": "12.50", "1,599": "1599.00", "1,599.00": "1599.00", "12,34,567.5": "1234567.50",
            " 7 ": "7.00", "0.123456789": "0.123456789", "0.1234567895": "0.1234567895", ".99": "0.99",
            "5.": "5.00", "0": "0.00", "1000000000000000000": "1000000000000000000.00",
            "9" * 60 + "." + "9" * 36: "9" * 60 + "." + "9" * 36, "0" * 200 + "7." + "50" + "0" * 200: "7.50",
            "1" + "0" * 60: "none", "0." + "0" * 36 + "1": "none",
            "": "none", " ": "none", ".": "none", "$5": "none", "₹5": "none", "5 USD": "none", "-5": "none",
            "+5": "none",
            "1e5": "none", "NaN": "none", "inf": "none", "1.2.3": "none", "1 2": "none", "12,50": "none",
            ",100": "none", "1,,000": "none", "1,000,": "none", "1234,567": "none", "1.000,00": "none",
        }
        done = run(CHECK_PARTS, "price", *cases)
        self.assertEqual(dict(zip(cases, done.stdout.decode().splitlines())), cases)


class Json(unittest.TestCase):
    def test_objects_of_strings_are_read_and_all_else_is_refused(self):
        done = run(CHECK_PARTS, "json", ' {"a" : "\\u00e9\\ud83d\\ude00\\/\\t", "b":null,"":"x"} ')
        self.assertEqual((done.returncode, done.stdout.decode()), (0, "a=é😀/\t\n=x\n"))
        self.assertEqual(run(CHECK_PARTS, "json", "{}").returncode, 0)
        for bad in ("", "{", "[]", '{"a":1}', '{"a":"b"} x', '{"a":"b",}', '{"a" "b"}', '{"a":"\\ud83d"}',
                    '{"a":"\\x"}', '{"a":"b\n"}', b'{"a":"\xff"}', '{"a":NaN}'):
            self.assertEqual(run(CHECK_PARTS, "json", bad).returncode, 1, bad)


    def kinds(self, text, mode="strict"):
        done = run(CHECK_PARTS, mode, text)
        return done.stdout.decode().splitlines() if done.returncode == 0 else None

    def test_members_of_all_kinds_are_told_as_they_stand(self):
        self.assertEqual(self.kinds(' {"a":-1.5e+3, "b" : true,"c":false,"d":null,"e":"x\\n","f":[1,{"g":"]}"},[]],'
                                    '"g":{ }} '),
                         ["a number -1.5e+3", "b true true", "c false false", "d null null", "e string x", "",
                          'f nested [1,{"g":"]}"},[]]', "g nested { }"])
        self.assertEqual(self.kinds('{"a":NaN,"b":[Infinity],"c":-Infinity}', "members"),
                         ["a nan NaN", "b nested [Infinity]", "c infinite -Infinity"])
        nested = lambda depth: '{"a":%s}' % ("[" * depth + "]" * depth)
        self.assertEqual(self.kinds(nested(64)), ["a nested " + "[" * 64 + "]" * 64])
        self.assertIsNone(self.kinds(nested(65)))
        for bad in ("NaN", '{"a":NaN}', '{"a":01}', '{"a":1.}', '{"a":+1}', '{"a":.5}', '{"a":-}', '{"a":[1,]}',
                    '{"a":[1}', '{"a":{"b"}}', '{"a":{"b":1]}', '{"a":truex}', '{"a":[1 2]}', '{"a":1e}', '{"a":',
                    '{"a":[', "[1]", "7"):
            self.assertIsNone(self.kinds(bad), bad)

    def test_random_documents_are_read_or_refused_as_python_does(self):
        chance = random.Random(SEED)

        def strict(text):
            def refuse(word):
                raise ValueError(word)
            try:
                return isinstance(json.loads(text, parse_constant=refuse), dict)
            except ValueError:
                return False
        for _ in range(300):
            value = {"k%d" % i: chance.choice([1, -2.5, "x\"y", None, True, [1, [], {"a": []}], {}, {"b": [0]}])
                     for i in range(chance.randrange(4))}
            text = json.dumps(value)
            if chance.random() < 0.7:
                at = chance.randrange(len(text))
                text = text[:at] + chance.choice(['', '"', ',', ']', '}', '[', '{', ':', '1', ' ']) + text[at + 1:]
            self.assertEqual(self.kinds(text) is not None, strict(text), "seed %d: %s" % (SEED, text))


class Generator(unittest.TestCase):
    def test_a_seed_gives_the_same_bytes_and_another_one_others(self):
        first, again = run(BOOKS_GENERATE, "--rows", "100"), run(BOOKS_GENERATE, "--seed", "1", "--rows", "100")
        other = run(BOOKS_GENERATE, "--seed", "2", "--rows", "100")
        self.assertEqual(first.stdout, again.stdout)
        self.assertNotEqual(first.stdout, other.stdout)

    def test_the_table_has_what_a_pipeline_must_cope_with(self):
        rows = list(csv.DictReader(io.StringIO(run(BOOKS_GENERATE).stdout.decode(), newline="")))
        self.assertEqual(len(rows), 8786)
        self.assertEqual(list(rows[0]), ["Title", "Author(s)", "Price", "Description"])
        for what in (lambda row: row["Price"] == "", lambda row: "," in row["Price"], lambda row: "$" in row["Price"],
                     lambda row: len(row["Title"]) > 256, lambda row: "\n" in row["Description"]):
            self.assertTrue(any(map(what, rows)))
        self.assertTrue(all(row["Title"] for row in rows))
        # The smaller case of the seed is 212 records that are all stored.
        self.assertTrue(all(len(row["Title"]) <= 256 for row in rows[:212]))

    def test_wrong_arguments_are_refused(self):
        for arguments in (["--rows"], ["--rows", "x"], ["--seed", "-1"], ["--what"]):
            done = run(BOOKS_GENERATE, *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, b""), arguments)
            self.assertIn(b"books_generate: ", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
