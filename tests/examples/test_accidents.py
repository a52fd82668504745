#!/usr/bin/env python3
"""The pipeline of accidents, run as a user runs it.

    test_accidents.py ACCIDENTS LSTREAM DASHBOARD DATA_DIR pipeline|duckdb

Method: of the published files the answers are written down here; of made-up and killed runs the delivered files are
counted in Python. Cases of published files are skipped where these are not there. DuckDB is a judge of its own: exit
code 77 says that it is not there.
"""

import base64
import collections
import csv
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import unittest

import pipelines

ACCIDENTS, LSTREAM, DASHBOARD, DATA, GROUP = sys.argv[1:6]
pipelines.Case.program = ACCIDENTS
pipelines.Case.tool = LSTREAM
METRIC = "us_accidents_severity_high_total"
MAY19 = os.path.join(DATA, "us_accidents_may19_a.csv")
published = unittest.skipUnless(os.path.exists(MAY19), "the published files are not there")


def fields(message):
    """The fields of a protobuf message: their numbers, and their values, bytes or whole numbers."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(message):
        tag = varint()
        value = varint()
        if tag & 7 == 2:
            at += value
            value = message[at - value:at]
        yield tag >> 3, value


def unpack(data):
    """The user records of an aggregate, as the format has them: key and data."""
    if data[:4] != b"\xf3\x89\x9a\xc2":
        return [(None, data)]
    message = data[4:-16]
    assert hashlib.md5(message).digest() == data[-16:]
    keys = [value.decode() for number, value in fields(message) if number == 1]
    records = [dict(fields(value)) for number, value in fields(message) if number == 3]
    return [(keys[record[1]], record[3]) for record in records]


class Accidents(pipelines.Case):
    def delivered(self):
        names = sorted(glob.glob(self.kept + ".delivered/**/*.json", recursive=True))
        for name in names:
            self.assertRegex(os.path.relpath(name, self.kept + ".delivered"), r"^source/us-east/us_accidents/"
                             r"year=\d{4}/month=\d\d/day=\d\d/us_accidents-1-[-0-9a-f]+\.json$")
        return [json.loads(line) for name in names for line in open(name, encoding="utf-8")]

    def stored(self):
        """The records of stream 2: the keys and data that each holds."""
        done = subprocess.run([LSTREAM, "get", "us-accidents-data-stream-2", "--store", self.kept, "--json"],
                              capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        records = [json.loads(line) for line in done.stdout.splitlines()]
        bodies = [base64.b64decode(record["data_base64"]) if "data_base64" in record else record["data"].encode()
                  for record in records]
        return [[(key or record["key"], json.loads(data)) for key, data in unpack(body)]
                for record, body in zip(records, bodies)]

    def series(self):
        """The metric's, as Prometheus reads it."""
        with open(self.kept + ".prom", encoding="utf-8") as file:
            found = re.findall(r'^%s\{severity_accident="([^"]*)",city_accident="([^"]*)",county_accident="([^"]*)"\} '
                               r'(\d+)$' % METRIC, file.read(), re.M)
        return {tuple(labels): int(count) for *labels, count in found}

    def result_and_said(self, *arguments):
        """Of a run that does not go without a word: the result, and the lines on standard error."""
        done = self.run_it("--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), done.stderr.decode().splitlines()

    def agrees(self, result, rows):
        """All that the program says, with what was delivered."""
        severities = collections.Counter(str(row["Severity"]) for row in rows)
        severe = [row for row in rows if row["Severity"] > 2]
        self.assertEqual((result["records"], result["delivered"]), (len(rows), len(rows)))
        self.assertEqual(result["severities"], dict(severities))
        self.assertEqual((result["filtered"], result["counted"], result["late"]), (len(severe), len(severe), 0))
        self.assertEqual(result["severe"], sum(row["Severity"] > 3 for row in rows))
        series = collections.Counter((str(row["Severity"]), row["City"], row["County"]) for row in severe)
        self.assertEqual(result["series"], len(series))
        self.assertEqual(self.series(), dict(series))

    def test_made_up_rows_come_through_everywhere(self):
        result = self.result("--store", self.kept, "--rows", "3000")
        rows = self.delivered()
        self.assertEqual([row["ID"] for row in rows], ["A-%d" % (number + 1) for number in range(3000)])
        self.agrees(result, rows)
        self.assertEqual((result["alerts"], result["cannot_fire"]), (int(result["severe"] > 0), ["severity-above-4"]))
        # Stream 2 has few records, which hold many, by severity; unpacked they are the projection.
        packed = self.stored()
        self.assertLess(len(packed), 50)
        severe = [{name: row[name] for name in ("ID", "Severity", "City", "County")}
                  for row in rows if row["Severity"] > 2]
        unpacked = [pair for pairs in packed for pair in pairs]
        records = [record for _, record in unpacked]
        self.assertEqual([key for key, _ in unpacked], [str(record["Severity"]) for record in records])
        for record in records:
            self.assertRegex(record.pop("Txn_Timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?$")
        by_id = lambda record: int(record["ID"][2:])
        self.assertEqual(sorted(records, key=by_id), severe)

    def test_rows_are_normalised(self):
        path = self.file("rows.csv", "ID,Severity,City,County,Start_Time,End_Time,Weather_Timestamp,Amenity,TMC,"
                         "Zipcode\r\n"
                         'A-1,3,"Columbus, OH",F,2/8/2016 0:37,2016-02-08 05:46:00,,TRUE,201,01234\r\n'
                         "A-2,4,Größe,F,12/31/2016 23:59,x,2/30/2016 1:00,False,,45424-10\r\n"
                         "A-3,2,C\r\nA-4,3,".encode() + b"\xff,F,,,,,,\r\n")
        result, said = self.result_and_said("--store", self.kept, path)
        self.assertEqual((result["records"], result["refused"], result["filtered"]), (2, 2, 2))
        self.assertEqual(said, ["accidents: %s:4 is refused: it has not as many cells as the header" % path,
                                "accidents: %s:5 is refused: a cell is not UTF-8" % path])
        rows = self.delivered()
        for row in rows:
            self.assertRegex(row.pop("Txn_Timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")
        self.assertEqual(rows, [
            {"ID": "A-1", "Severity": 3, "City": "Columbus, OH", "County": "F", "Start_Time": "2016-02-08T00:37:00",
             "End_Time": "2016-02-08T05:46:00", "Amenity": True, "TMC": 201, "Zipcode": "01234"},
            {"ID": "A-2", "Severity": 4, "City": "Größe", "County": "F", "Start_Time": "2016-12-31T23:59:00",
             "End_Time": "x", "Weather_Timestamp": "2/30/2016 1:00", "Amenity": False, "Zipcode": "45424-10"}])

    def rows(self, *rows):
        return self.file("rows.csv", "ID,Severity,City,County\n" + "".join(
            "A-%d,%s,%s,%s\n" % (number, *row) for number, row in enumerate(rows)))

    def test_a_file_that_took_anothers_place_is_taken_too(self):
        path = self.rows((3, "C", "D"), (4, "C", "D"))
        first, _ = self.result_and_said("--store", self.kept, path)
        other, said = self.result_and_said("--store", self.kept, self.rows((4, "E", "D"), (4, "C", "D")))
        self.assertEqual((first["filtered"], other["filtered"], other["records"]), (2, 4, 2))
        self.assertEqual(said, ["accidents: %s is another file than the one that was read: its rows are taken, too" %
                                path])
        self.assertEqual(self.result("--store", self.kept, path)["filtered"], 4)
        self.fails(2, path + " is given twice", path, path)

    def test_a_file_may_grow_in_the_midst_of_a_row(self):
        results = self.grows(self.path("rows.csv"), ("ID,Severity,City,County\nA-1,3,C,D\nA-2,", False),
                             ("4,C,D\nA-3,3,C,D", True), ("\nA-4,4,C,Da", False), ("yton\n", True))
        self.assertEqual([(result["records"], result["refused"], result["filtered"]) for result in results],
                         [(1, 1, 1), (3, 1, 3), (4, 1, 4), (5, 1, 5)])
        self.assertEqual(sorted((row["ID"], row["County"]) for row in self.delivered()),
                         [("A-1", "D"), ("A-2", "D"), ("A-3", "D"), ("A-4", "Da"), ("A-4", "Dayton")])

    def test_each_digit_is_a_severity_and_nothing_else_is(self):
        path = self.rows(*((severity, "C", "D") for severity in [*range(10), "10", "11", '" 3"', "3.0", "", "+3", "x"]))
        for key in ("Severity", "ID"):
            result, said = self.result_and_said("--store", self.kept + key, "--key", key, path)
            self.assertEqual((result["records"], result["refused"], result["filtered"], result["severe"]),
                             (10, 7, 7, 6))
            self.assertEqual(result["severities"], {str(severity): 1 for severity in range(10)})
            self.assertEqual(result["series"], 7)
            self.assertEqual(said, ['accidents: %s:%d is refused: a severity is a digit, not "%s"' % (path, line, cell)
                                    for line, cell in enumerate(["10", "11", " 3", "3.0", ""], 12)] +
                             ["accidents: more rows are refused; the result says how many"])

    def test_long_names_that_differ_are_two_series(self):
        city = "ö" * 200
        result = self.result("--store", self.kept, self.rows((3, city + "x", "D"), (3, city + "y", "D"),
                                                             (3, city + "y", "D")))
        self.assertEqual((result["series"], result["other"]), (2, 0))
        series = self.series()
        self.assertEqual(sorted(series.values()), [1, 2])
        for _, name, _ in series:
            self.assertRegex(name, "^ö{91}~[0-9a-f]{16}$")

    def test_more_combinations_than_are_counted_apart_are_said(self):
        path = self.rows(*((3, "C%d" % number, "D") for number in range(1500)))
        result = self.result(path)
        self.assertEqual((result["series"], result["other"], result["filtered"]), (1500, 0, 1500))
        text = self.run_it("--series", "1000", path).stdout.decode()
        for part in ("  1000 series of ", '  500 accidents of more combinations are counted as "other"'):
            self.assertIn(part, text)

    def test_it_may_be_killed_at_any_moment(self):
        result = self.killed_until_done(5, "--rows", "4000", "--batch", "200", "--shards", "2", "--key", "ID")
        rows = self.delivered()
        self.assertEqual(sorted(int(row["ID"][2:]) for row in rows), list(range(1, 4001)))
        self.agrees(result, rows)
        self.assertEqual(result["alerts"], int(result["severe"] > 0))
        stored = [record["ID"] for pairs in self.stored() for _, record in pairs]
        self.assertEqual((len(stored), len(set(stored))), (result["filtered"], result["filtered"]))

    def test_fewer_rows_than_were_put_are_none_that_are_refused(self):
        self.result("--store", self.kept, "--rows", "100")
        fewer = self.result("--store", self.kept, "--rows", "50")
        self.assertEqual((fewer["records"], fewer["refused"], fewer["delivered"]), (100, 0, 100))

    def test_another_key_or_window_is_refused_before_anything_is_put(self):
        path = self.rows((2, "C", "D"), (3, "C", "D"))
        self.fails(1, "has no column 'Kye'", "--store", self.kept, "--key", "Kye", path)  # That settles nothing.
        first = self.result("--store", self.kept, path)
        other = self.file("other.csv", "ID,Severity,City,County\nB-1,4,0,D\n")
        self.fails(1, "--key is the same in all runs of a store: here it is 'Severity'", "--store", self.kept, "--key",
                   "City", other)
        self.fails(1, "--window is the same in all runs of a store: here it is '10'", "--store", self.kept, "--window",
                   "20", other)
        again = self.result("--store", self.kept, path)
        self.assertEqual((again["delivered"], again["filtered"]), (first["delivered"], first["filtered"]))
        self.assertEqual(self.result("--store", self.kept, other)["filtered"], 2)

    def test_rows_come_from_a_pipe(self):
        path = self.file("rows.csv", "ID,Severity,City,County\nA-1,3,a,b\nA-2,2,a,b\n")
        result = self.takes_a_pipe(path)
        self.assertEqual((result["records"], result["delivered"], result["filtered"]), (2, 2, 1))

    def test_a_run_goes_on_wherever_it_begins(self):
        result = self.goes_on_from_another_place(["--rows", 100], ["--rows", 200, "--seed", 2])
        self.assertEqual((result["records"], result["delivered"]), (200, 300))

    def test_a_store_may_be_moved(self):
        result = self.goes_on_where_it_was_moved(["--rows", 100], ["--rows", 200, "--seed", 2])
        self.assertEqual((result["records"], result["delivered"]), (200, 300))

    def test_the_size_of_files_is_that_of_this_run(self):
        for seed, more, files in ((1, [], 1), (2, ["--size", 2000], 20), (3, [], 40)):
            result = self.result("--store", self.kept, "--rows", "200", "--seed", seed, *more)
            self.assertGreaterEqual(result["files"], files)

    def test_shards_are_those_that_the_stream_has(self):
        self.shards_are_those_of_the_stream("--rows", "50")

    def test_two_runs_do_not_share_a_store(self):
        self.a_second_run_is_refused("--rows", "100", "--rate", "20", "--batch", "5")
        self.assertEqual(self.result("--store", self.kept, "--rows", "100")["delivered"], 100)

    def test_a_store_whose_oldest_records_are_gone_goes_on_and_checks_the_rest(self):
        streams = ("us-accidents-data-stream-1", "us-accidents-data-stream-2")
        self.small_segments(*streams)
        first = self.result("--store", self.kept, "--rows", "6000", "--batch", "500")
        self.trim(*streams)
        second = self.result("--store", self.kept, "--rows", "6000", "--batch", "500")
        for name in ("records", "delivered", "severities", "windows", "counted", "alerts"):
            self.assertEqual(second[name], first[name])
        self.assertTrue(0 < second["filtered"] < first["filtered"])
        self.assertTrue(0 < sum(second["shards"]) < 6000)

    @published
    def test_the_published_rows_of_2019_are_counted_as_they_are_known(self):
        result = self.result("--store", self.kept, MAY19)
        self.assertEqual((result["records"], result["filtered"], result["severe"], result["series"], result["alerts"]),
                         (5000, 2008, 3, 146, 1))
        self.assertEqual(result["severities"], {"1": 6, "2": 2986, "3": 2005, "4": 3})
        self.assertEqual(result["cannot_fire"], ["severity-above-4"])
        rows = self.delivered()
        self.agrees(result, rows)
        self.assertEqual([row["ID"] for row in rows if row["Severity"] > 3], ["A-620", "A-1198", "A-1902"])
        self.assertEqual(collections.Counter(row["State"] for row in rows), {"CA": 4272, "OH": 726, "WV": 2})
        self.assertEqual(sum("Weather_Timestamp" not in row for row in rows), 26)
        with open(MAY19, newline="", encoding="utf-8") as file:  # Whatever is no time, number or truth is as it was.
            names = ("ID", "Description", "Street", "City", "Zipcode")
            for row, source in zip(rows, csv.DictReader(file)):
                self.assertEqual({name: row[name] for name in names if name in row},
                                 {name: source[name] for name in names if source[name] != ""})

    @published
    def test_other_layouts_and_keys_are_read_too(self):
        for name, records, filtered, severe, series, arguments in (
                ("us_accidents_mar23_1999.csv", 1999, 846, 3, 118, ["--key", "ID"]),
                ("us_accidents_dec20_500.csv", 500, 174, 0, 30, ["--key", "Severity", "--shards", "2"])):
            result = self.result(*arguments, os.path.join(DATA, name))
            self.assertEqual((result["records"], result["filtered"], result["severe"], result["series"], result["late"],
                              result["counted"]), (records, filtered, severe, series, 0, filtered))
            self.assertEqual((result["alerts"], result["cannot_fire"]), (int(severe > 0), ["severity-above-4"]))
        self.assertEqual(result["shards"], [0, 500])  # All hashes of "1" to "4" are in the upper half.

    @published
    def test_records_lie_on_the_shards_that_their_keys_hash_to(self):
        for key, shards in (("ID", [1259, 1239, 1272, 1230]), ("County", [1782, 498, 841, 1879])):
            self.assertEqual(self.result("--key", key, "--shards", 4, MAY19)["shards"], shards)

    def test_the_metric_grows_while_it_runs(self):
        process = subprocess.Popen([ACCIDENTS, "--json", "--store", self.kept, "--rows", "1500", "--rate", "600",
                                    "--batch", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.environment)
        seen = []
        while process.poll() is None:
            if os.path.exists(self.kept + ".prom"):
                seen.append(sum(self.series().values()))
            time.sleep(0.05)
        out, errors = process.communicate()
        self.assertEqual((process.returncode, errors), (0, b""))
        self.assertEqual(seen, sorted(seen))
        self.assertGreaterEqual(len(set(seen) - {0}), 2, seen)
        self.assertEqual(sum(self.series().values()), json.loads(out)["filtered"])

    def test_metrics_that_cannot_be_written_are_said(self):
        os.mkdir(self.kept + ".prom")
        self.fails(1, "cannot write the metrics: ", "--store", self.kept, "--rows", "10")

    def test_the_dashboard_asks_for_what_there_is(self):
        with open(DASHBOARD, encoding="utf-8") as file:
            dashboard = json.load(file)
        self.assertNotIn("__inputs", dashboard)  # Nothing that is asked for when it is loaded.
        asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        self.result("--store", self.kept, "--rows", "300")
        with open(self.kept + ".prom", encoding="utf-8") as file:
            text = file.read()
        for expression in asked:
            metric = re.search(r"\b(us_accidents\w*|libstream\w*)", expression).group(1)
            series = re.search(r"^%s\{(.*)\} " % metric, text, re.M)
            self.assertIsNotNone(series, metric)
            for labels in re.findall(r"by \(([^)]*)\)", expression):
                for label in labels.split(", "):
                    self.assertIn(label + '="', series.group(1))

    def test_the_report_fits_a_terminal_and_tells_alerts(self):
        text = self.run_it("--rows", "3000").stdout.decode()
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        for part in ("alert severity-above-4 cannot fire: of ", "GROUP BY severity", "3000 records in stream 1"):
            self.assertIn(part, text)

    def test_wrong_arguments_are_one_line(self):
        for arguments, part in ((["--what"], "what"), (["--rows", "0"], "--rows wants"),
                                (["--repeat", "x"], "--repeat"), ([self.path("nowhere")], "nowhere: No such file")):
            self.fails(2, part, *arguments)
        path = self.file("few.csv", "ID,City\n1,2\n")
        self.fails(1, "few.csv has no column 'Severity'. Its columns: 'ID', 'City'", path)
        self.fails(1, "has no column 'Key'", "--key", "Key", self.file("rows.csv", "ID,Severity\n"))
        self.help_fits()


class Duckdb(pipelines.Case):
    def test_an_engine_for_sql_counts_the_delivered_files_alike(self):
        result = self.result("--store", self.kept, "--rows", "2000")
        counts = duckdb.sql("SELECT Severity, count(*) FROM read_json_auto('%s.delivered/**/*.json', "
                            "hive_partitioning = true) GROUP BY Severity" % self.kept).fetchall()
        self.assertEqual({str(severity): count for severity, count in counts}, result["severities"])


if __name__ == "__main__":
    if GROUP == "duckdb":
        try:
            import duckdb
        except ImportError:
            print("DuckDB is not there")
            sys.exit(77)
    pipelines.main({"pipeline": Accidents, "duckdb": Duckdb}, GROUP)
