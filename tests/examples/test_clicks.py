#!/usr/bin/env python3
"""The pipeline of clicks, run as a user runs it.

    test_clicks.py CLICKS LSTREAM TEMPLATE DATA_DIR

Method: what the transform must say is written down here; that nothing is missing or double in the files is seen in the
files themselves. The case of the published file is skipped where that is not there.
"""

import base64
import collections
import json
import os
import re
import subprocess
import sys
import time
import unittest

import pipelines

CLICKS, LSTREAM, TEMPLATE, DATA = map(os.path.abspath, sys.argv[1:5])
pipelines.Case.program = CLICKS
pipelines.Case.tool = LSTREAM
NAME = re.compile(r"(errors/processing-failed/)?\d{4}/\d\d/\d\d/\d\d/mi-ks-homework12-firehose-1-\d{4}(-\d\d){5}-"
                  r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Clicks(pipelines.Case):
    def lines(self, of):
        """All lines that were delivered, and all of the error output."""
        delivered, errors = [], []
        for folder, _, names in sorted(os.walk(of + ".delivered")):
            for name in sorted(names):
                path = os.path.join(folder, name)
                with open(path) as file:
                    failed = "/errors/" in path
                    (errors if failed else delivered).extend(json.loads(line) for line in file)
                if not failed:
                    self.assertRegex(os.path.relpath(path, of + ".delivered"), NAME)
        return delivered, errors

    def adds_up(self, result):
        self.assertEqual(result["delivered"] + result["failed"] + result["dropped"], result["records"])
        self.assertEqual(sum(result["categories"].values()), result["delivered"])

    def test_made_up_events_have_the_seeds_weights(self):
        result = self.result("--events", "10000", "--broken", "0", "--shards", "4")
        self.adds_up(result)
        self.assertEqual((result["records"], result["failed"]), (10000, 0))
        shares = {"Other": 0.2, "Clothing": 0.8 * 150 / 900, "Instruments": 0.8 * 250 / 900,
                  "Electronics": 0.8 * 250 / 900, "Books": 0.8 * 250 / 900}
        weights = {"login": 0.2, "view_item": 0.3, "add_to_cart": 0.4, "checkout": 0.1}
        for counts, odds in ((result["categories"], shares), (result["actions"], weights)):
            self.assertEqual(set(counts), set(odds))
            for name, share in odds.items():  # Five standard deviations.
                self.assertLess(abs(counts[name] - 10000 * share), 5 * (10000 * share * (1 - share)) ** 0.5, name)
        for count in result["shards"]:  # Keys are UUIDs: they spread evenly.
            self.assertTrue(2284 <= count <= 2716, result["shards"])

    def test_a_broken_record_lies_in_the_error_output_and_the_rest_is_delivered(self):
        result = self.result("--store", self.kept, "--events", "300", "--broken", "3")
        self.adds_up(result)
        self.assertEqual((result["delivered"], result["failed"]), (297, 3))
        delivered, errors = self.lines(self.kept)
        self.assertEqual((len(delivered), len(errors)), (297, 3))
        for error in errors:
            self.assertEqual(error["errorMessage"], "it is no JSON object")
            self.assertRegex(base64.b64decode(error["rawData"]), rb'^\{"timestamp":"[^"]*".*"action":"[a-z_]*"$')
        self.assertEqual({tuple(line) for line in delivered}, {("user_id", "item_id", "category", "price")})

    def test_the_transform_goes_by_the_rules_of_the_seed(self):
        items = [
            ("99", "Books"), ("100", "Clothing"), ("249", "Clothing"), ("250", "Instruments"), ("499", "Instruments"),
            ("500", "Electronics"), ("749", "Electronics"), ("750", "Books"), ("999", "Books"), ("-5", "Books"),
            ("null", "Other"), ('"abc"', "Other"), ('"123"', "Clothing"), ('" 3_00 "', "Instruments"),
            ('"1__0"', "Other"), ('"12.5"', "Other"), ('""', "Other"), 
            ("123.9", "Clothing"), ("249.99", "Clothing"), ("1e3", "Books"),
            ("1e2", "Clothing"), ("true", "Books"), ("[100]", "Other"), ('{"a":100}', "Other"), ("NaN", "Other"),
            ("9" * 400, "Books"), ("Infinity", None), ("1e999", None),
        ]
        events = ['{"user_id":"u\\n%d","item_id":%s,"action":"x","price":1.50}' % (number, item)
                  for number, (item, _) in enumerate(items)]
        others = ["[1]", "null", "7", "{", "", '{"item_id":1} x', '{"item_id":100,"item_id":500}', "{}"]
        path = self.file("events.json", "".join(line + "\n" for line in events + others))
        result = self.result("--store", self.kept, path)
        self.adds_up(result)
        delivered, errors = self.lines(self.kept)
        self.assertEqual([line["category"] for line in delivered],
                         [category for _, category in items if category] + ["Electronics", "Other"])
        self.assertEqual(delivered[0], {"user_id": "u\n0", "item_id": 99, "category": "Books", "price": 1.5})
        self.assertEqual(delivered[-1], {"user_id": None, "item_id": None, "category": "Other", "price": None})
        self.assertEqual([base64.b64decode(error["rawData"]).decode() for error in errors], events[-2:] + others[:6])
        self.assertEqual([error["errorMessage"] for error in errors[:3]],
                         ["item_id is infinite"] * 2 + ["it is no JSON object"])

    def test_delivered_lines_are_what_the_schema_beside_them_says(self):
        apply = [LSTREAM, "apply", TEMPLATE, "--store", self.kept, "--set", "S3BucketName=" + self.kept + ".delivered"]
        subprocess.run(apply, stdout=subprocess.DEVNULL, check=True)
        path = self.file("events.json", '{"item_id":"123","user_id":"a","price":1}\n{"item_id":true}\n{"user_id":5}\n'
                         '{"item_id":250,"price":"x","user_id":null}\n{"item_id":null,"user_id":"u","price":null}\n')
        self.result("--store", self.kept, path)
        self.result("--store", self.kept, "--events", "100")
        with open(self.kept + ".delivered/_mi-ks-homework12-firehose.schema") as file:
            schema = json.load(file)
        os.unlink(self.kept + ".delivered/_mi-ks-homework12-firehose.schema")
        kinds = {"string": str, "null": type(None), "number": (int, float), "integer": int, "object": dict}
        def fits(value, rule):  # As much of JSON Schema as is used.
            self.assertLessEqual(set(rule), {"$schema", "title", "description", "type", "enum", "required",
                                             "properties", "additionalProperties"})
            allowed = rule.get("type", [])
            allowed = [allowed] if isinstance(allowed, str) else allowed
            self.assertTrue(not allowed or isinstance(value, tuple(kinds[name] for name in allowed)), (value, rule))
            self.assertIn(value, rule.get("enum", [value]))
            if isinstance(value, dict):
                self.assertLessEqual(set(rule.get("required", [])), set(value))
                if rule.get("additionalProperties") is False:
                    self.assertLessEqual(set(value), set(rule["properties"]))
                for name, inner in rule.get("properties", {}).items():
                    if name in value:
                        fits(value[name], inner)
        delivered, _ = self.lines(self.kept)
        self.assertEqual(len(delivered), 104)
        for line in delivered:
            fits(line, schema)

    def test_a_file_that_took_anothers_place_is_taken_too(self):
        event = '{"user_id":"u","item_id":%d,"action":"x","price":1}\n'
        path = self.file("events.json", event % 100)
        self.assertEqual(self.result("--store", self.kept, path)["records"], 1)
        self.file("events.json", event % 200 + event % 300)
        done = self.run_it("--json", "--store", self.kept, path)
        self.assertEqual(json.loads(done.stdout.decode().splitlines()[-1])["records"], 3)
        self.assertIn(b"events.json is another file than the one that was read", done.stderr)
        result = self.result("--store", self.kept, path)
        self.adds_up(result)
        self.assertEqual(result["records"], 3)

    def test_a_file_may_grow_in_the_midst_of_a_line(self):
        line = '{"user_id":"u","item_id":%d,"price":1}'
        results = self.grows(self.path("events.json"), (line % 100 + "\n" + (line % 200)[:12], False),
                             ((line % 200)[12:] + "\n" + line % 300, True), ("\n" + line % 400 + "\n" + "{", False),
                             ("}", True), ("\n", False))
        self.assertEqual([(result["delivered"], result["failed"]) for result in results],
                         [(1, 1), (3, 1), (4, 2), (5, 2), (5, 2)])
        items = [event["item_id"] for event in self.lines(self.kept)[0]]
        self.assertCountEqual(items, [100, 200, 300, 400, None])  # Files of one second are in no order.

    def test_a_csv_may_grow_in_the_midst_of_a_row(self):
        row = "u,2020-07-30 23:17:00,%s,x,y,1,2,3,4,%s"
        results = self.grows(self.path("events.csv"), (row % ("login", 5) + "\n" + row % ("checkout", 6), False),
                             ("7\n", True), (row % ("login", 8), False), ("\n", False))
        self.assertEqual([result["records"] for result in results], [2, 3, 4, 4])

    def test_it_may_be_killed_at_any_moment(self):
        arguments = ("--events", "8000", "--batch", "40", "--shards", "2", "--interval", "0", "--size", "50000")
        result = self.killed_until_done(5, *arguments)
        self.adds_up(result)
        self.assertEqual((result["records"], result["failed"]), (8000, 1))
        delivered, errors = self.lines(self.kept)
        users = collections.Counter(line["user_id"] for line in delivered)
        self.assertEqual((len(users), set(users.values()), len(errors)), (7999, {1}, 1))

    def test_events_come_from_a_pipe(self):
        path = self.file("events.json", '{"item_id":100}\n{"item_id":250}\n{"action":"login"}\n')
        self.assertEqual(self.takes_a_pipe(path)["records"], 3)

    def test_shards_are_those_that_the_stream_has(self):
        self.shards_are_those_of_the_stream("--events", "50")

    def test_two_runs_do_not_share_a_store(self):
        self.a_second_run_is_refused("--events", "100", "--rate", "20")
        self.assertEqual(self.result("--store", self.kept, "--events", "100")["records"], 100)

    def test_what_was_set_up_by_file_is_used(self):
        apply = [LSTREAM, "apply", TEMPLATE, "--store", self.kept]
        self.assertIn(b"created", subprocess.run(apply, capture_output=True, check=True, cwd=self.directory).stdout)
        done = self.run_it("--json", "--store", self.kept, "--events", "200", cwd=self.directory)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(json.loads(done.stdout)["delivered"], 199)
        self.assertTrue(os.path.exists(self.path("mi-ks-homework12-s3/errors/processing-failed")))
        done = subprocess.run(apply, capture_output=True, check=True, cwd=self.directory)
        self.assertEqual({line.split()[0] for line in done.stdout.splitlines()}, {b"unchanged"})

    def test_a_stream_that_was_made_anew_gets_its_events_anew(self):
        def apply(*more):
            subprocess.run([LSTREAM, "apply", TEMPLATE, "--store", self.kept, *more], stdout=subprocess.DEVNULL,
                           check=True, cwd=self.directory)

        for number in (200, 200, 100):
            apply()
            for _ in range(2):
                done = self.run_it("--json", "--store", self.kept, "--events", number, cwd=self.directory)
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                result = json.loads(done.stdout)
                self.adds_up(result)
                self.assertEqual((result["records"], result["shards"], result["delivered"]),
                                 (number, [number], number - 1))
            apply("--delete")
        lines = sum(line.count(b"\n") for folder, _, names in os.walk(self.path("mi-ks-homework12-s3"))
                    for line in (open(os.path.join(folder, name), "rb").read() for name in names if name[0] != "_"))
        self.assertEqual(lines, 500)

    def test_a_delivery_that_goes_on_in_another_directory_has_files_in_both(self):
        for number, bucket in enumerate(("one", "other", "other", "one")):
            subprocess.run([LSTREAM, "apply", TEMPLATE, "--store", self.kept, "--set", "S3BucketName=" + bucket],
                           stdout=subprocess.DEVNULL, check=True, cwd=self.directory)
            done = self.run_it("--json", "--store", self.kept, "--events", 100, "--seed", number, cwd=self.directory)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            result = json.loads(done.stdout)
            self.adds_up(result)
            self.assertEqual((result["records"], result["failed"]), (100 * (number + 1), number + 1))
        os.rename(self.path("one"), self.path("away"))  # What is not there is said.
        done = self.run_it("--store", self.kept, "--events", 100, cwd=self.directory)
        self.assertEqual((done.returncode, done.stderr), (1, b"clicks: the files have 198 delivered events of 396, and "
                                                          b"2 failed ones of 4\n"))

    def test_a_store_whose_oldest_records_are_gone_goes_on_and_checks_what_was_noted(self):
        self.small_segments("mi-ks-homework12")
        first = self.result("--store", self.kept, "--events", "3000", "--drop", "login")
        self.assertGreater(first["dropped"], 0)
        self.trim("mi-ks-homework12")
        second = self.result("--store", self.kept, "--events", "3000", "--drop", "login")
        names = ("records", "delivered", "failed", "dropped", "categories")
        self.assertEqual([second[name] for name in names], [first[name] for name in names])
        self.assertLess(sum(second["shards"]), 3000)
        path = self.file("more.json", '{"action":"login"}\n{"item_id":100}\n{\n')
        more = self.result("--store", self.kept, "--drop", "login", path)
        self.adds_up(more)
        self.assertEqual([more[name] - first[name] for name in names[:4]], [3, 1, 1, 1])
        # A line that has changed is found, though its event is gone.
        name = sorted(os.path.join(folder, name) for folder, _, names in os.walk(self.kept + ".delivered")
                      for name in names if "/errors" not in folder)[0]
        with open(name, "r+b") as file:
            at = file.read().index(b'":') - 1  # The end of a member's name, whichever it is.
            file.seek(at)
            file.write(b"?")
        done = self.run_it("--store", self.kept, "--drop", "login", path)
        self.assertEqual((done.returncode, done.stderr), (1, b"clicks: the files do not hold what the events give\n"))

    def test_what_is_dropped_stays_the_same(self):
        first = self.result("--store", self.kept, "--events", "100")
        self.fails(1, "--drop is the same in all runs of a store: here it is not said", "--store", self.kept,
                   "--events", "100", "--drop", "login")
        self.assertEqual(self.result("--store", self.kept, "--events", "100"), first)
        self.kept = self.path("other")
        first = self.result("--store", self.kept, "--events", "100", "--drop", "login")
        self.fails(1, "here it is 'login'", "--store", self.kept, "--events", "100")
        self.assertEqual(self.result("--store", self.kept, "--events", "100", "--drop", "login"), first)

    def test_events_that_are_dropped_are_counted_as_such(self):
        result = self.result("--store", self.kept, "--events", "1000", "--drop", "add_to_cart")
        self.adds_up(result)
        self.assertEqual(result["dropped"], result["actions"]["add_to_cart"])
        self.assertEqual(result["failed"], 1)
        self.assertEqual(len(self.lines(self.kept)[0]), 1000 - 1 - result["dropped"])

    def test_large_events_make_smaller_steps(self):
        event = '{"user_id":"u","item_id":100,"pad":"%s"}\n' % ("x" * 40000)
        result = self.result(self.file("large.json", event * 600))
        self.assertEqual((result["records"], result["delivered"]), (600, 600))

    def test_a_second_run_puts_nothing_again(self):
        first = self.result("--store", self.kept, "--events", "50")
        self.assertEqual(self.result("--store", self.kept, "--events", "50"), first)

    def test_a_run_goes_on_wherever_it_begins(self):
        result = self.goes_on_from_another_place(["--events", 100], ["--events", 200, "--seed", 2])
        self.adds_up(result)
        self.assertEqual((result["records"], result["failed"]), (300, 2))

    def test_a_store_may_be_moved(self):
        result = self.goes_on_where_it_was_moved(["--events", 100], ["--events", 200, "--seed", 2])
        self.adds_up(result)
        self.assertEqual((result["records"], result["failed"]), (300, 2))

    def test_sizes_and_intervals_are_those_of_this_run(self):
        def settings():
            delivery = json.loads(self.lstream("delivery", "describe", "mi-ks-homework12", "mi-ks-homework12-firehose",
                                               "--json"))
            return delivery["size"], delivery["interval_ms"], delivery["version"]

        for arguments, expected in ((["--events", 100], (5242880, 60000, 1)),
                                    (["--events", 200, "--seed", 2, "--size", 1000], (1000, 60000, 2)),
                                    (["--events", 200, "--seed", 2, "--size", 1000], (1000, 60000, 2)),
                                    (["--events", 200, "--seed", 3, "--interval", 0], (1000, 0, 3)),
                                    (["--events", 200, "--seed", 3], (1000, 0, 3))):
            result = self.result("--store", self.kept, *arguments)
            self.assertEqual(settings(), expected)
        self.adds_up(result)
        self.assertGreater(result["files"], 20)

    def test_there_may_be_few_events_and_none(self):
        none = self.result("--store", self.kept, "--events", "0")
        self.assertEqual((none["records"], none["delivered"], none["failed"], none["files"]), (0, 0, 0, 0))
        one = self.result("--events", "1")
        self.assertEqual((one["records"], one["delivered"], one["failed"]), (1, 0, 1))
        self.fails(2, "--broken wants no more than --events, 0", "--events", "0", "--broken", "1")

    def test_events_come_at_a_pace_and_are_delivered_meanwhile(self):
        began = time.monotonic()
        self.assertGreater(self.result("--events", "60", "--rate", "60", "--interval", "0", "--batch", "5")["files"], 3)
        self.assertGreater(time.monotonic() - began, 0.8)

    @unittest.skipUnless(os.path.exists(os.path.join(DATA, "clickstream_ibm_a.csv")), "the published file is not there")
    def test_the_published_file_is_counted_as_it_is_known(self):
        result = self.result("--shards", "4", os.path.join(DATA, "clickstream_ibm_a.csv"))
        self.adds_up(result)
        self.assertEqual((result["records"], result["shards"]), (5000, [1370, 1213, 1060, 1357]))
        self.assertEqual(result["actions"], {"browsing": 2155, "add_to_cart": 1760, "login": 327, "checkout": 308,
                                             "logout_with_purchase": 306, "logout_without_purchase": 144})
        self.assertEqual([(minute["events"], minute["add_to_cart"]) for minute in result["minutes"]],
                         [(458, 133), (1187, 483), (1187, 463), (1187, 269), (981, 412)])
        self.assertEqual(time.strftime("%FT%T", time.gmtime(result["minutes"][0]["start"])), "2020-07-30T23:17:00")
        self.assertEqual(result["add_to_cart_price"], 13970.54)

    def test_the_report_fits_a_terminal(self):
        lines = self.run_it("--events", "100").stdout.decode().splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertIn("100 events: 99 delivered", "\n".join(lines))

    def test_wrong_arguments_are_one_line(self):
        for arguments, part in ((["--what"], "what"), (["--events", "x"], "--events wants"),
                                (["--events", "3", "--broken", "4"], "--broken wants"),
                                ([self.path("nowhere")], "nowhere: No such file"),
                                ([CLICKS, "more"], "not also 'more'")):
            self.fails(2, part, *arguments)
        self.fails(1, "few.csv:1: a row has 2 cells, and an event 10", self.file("few.csv", "a,b\n"))
        self.help_fits()


if __name__ == "__main__":
    pipelines.main()
