#!/usr/bin/env python3
"""The weather pipeline, run as a user runs it.

    test_weather.py WEATHER DATA_DIR made_up|published|service

Method: what the tables must hold is worked out in Python from the same rows; of the published file, the answers are
written down here. NOAA's service is a server of this test's own. Exit code 77: the published file is not there.
"""

import csv
import http.server
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse

import pipelines

WEATHER, LSTREAM, DATA, GROUP = sys.argv[1:5]
pipelines.Case.program = WEATHER
pipelines.Case.tool = LSTREAM
VALUES = {"Precipitation": ("PRCP", "SNOW"), "Temperature": ("TMIN", "TMAX")}
HEADER = "STATION,NAME,DATE,PRCP,SNOW,TMAX,TMIN\n"


def worked_out(rows, key="NAME", units="standard"):
    """What the tables must hold: the same rules, written a second time."""
    tables = {name: {} for name in VALUES}
    for row in rows:
        for name, values in VALUES.items():
            item = {value: float(row[value]) for value in values if row[value] != ""}
            if item:
                tables[name][row[key], row["DATE"]] = dict(item, units=units)
    return tables


def counts(tables):
    return {name: len(items) for name, items in tables.items()}


class Case(pipelines.Case):
    def held(self):
        return {name: {(key, date): json.loads(item) for key, date, item in items}
                for name, items in self.tables(self.kept + ".tables").items()}

    def interrupt(self, *arguments):
        process = subprocess.Popen([WEATHER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.environment)
        deadline = time.monotonic() + 20
        while not os.listdir(self.stores) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.communicate(timeout=70), process.returncode), ((b"", b""), 130))
        self.assertEqual(os.listdir(self.stores), [])


class MadeUp(Case):
    def test_without_a_file_a_month_of_rows_is_made_up(self):
        result = self.result()
        self.assertEqual((result["records"], result["refused"], result["replaced"]), (1240, 0, 0))
        self.assertEqual(result["tables"], {"Precipitation": 1240, "Temperature": 310})
        self.assertEqual((result["query"]["station"], result["query"]["Precipitation"]), ("BELTSVILLE, MD US", 31))
        self.assertEqual((result["get_success_percent"], result["failed_invocations"]), (100, 0))
        self.assertGreaterEqual(result["invocations"], 13)

    def test_the_same_rows_for_the_same_seed_and_others_for_another(self):
        first, again, other = (self.result("--seed", seed)["query"] for seed in (3, 3, 4))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_absent_stays_absent_and_an_item_is_of_the_last_row(self):
        path = self.file("rows.csv", HEADER + 'S1,"A, MD",2021-10-01,0.5,,70,\nS1,"A, MD",2021-10-02,,,,\n'
                         'S2,B,2021-10-01,,,,-3\nS3,B,2021-10-01,1.25,0,,\nS4,B,2021-10-01,,,,12.0\n')
        result = self.result("--store", self.kept, "--batch", "2", path)
        self.assertEqual(result["records"], 5)
        self.assertEqual((result["replaced"], result["changed"]), (1, 1))
        self.assertEqual(self.held(), {
            "Precipitation": {("A, MD", "2021-10-01"): {"PRCP": 0.5, "units": "standard"},
                              ("B", "2021-10-01"): {"PRCP": 1.25, "SNOW": 0, "units": "standard"}},
            "Temperature": {("A, MD", "2021-10-01"): {"TMAX": 70, "units": "standard"},
                            ("B", "2021-10-01"): {"TMIN": 12, "units": "standard"}}})
        # By the id of the station nothing meets; a run that finds all put puts nothing, and a file that has grown is
        # read on.
        self.assertEqual(self.result("--key", "STATION", path)["replaced"], 0)
        with open(path, "a") as file:
            file.write("S5,C,2021-10-01,2,,,\n")
        result = self.result("--store", self.kept, "--query", "C", path)
        self.assertEqual((result["records"], result["replaced"], result["query"]["PRCP"]), (6, 0, 2))

    def test_a_file_that_took_anothers_place_is_taken_too(self):
        path, rows = self.path("rows.csv"), HEADER + "".join("S,A,2021-10-%02d,1,,,\n" % day for day in range(1, 4))
        def result():
            done = self.run_it("--json", "--store", self.kept, path)
            self.assertEqual(done.returncode, 0, done.stderr)
            return json.loads(done.stdout.decode().splitlines()[-1])["tables"]["Precipitation"], done.stderr.decode()

        said = "weather: %s is another file than the one that was read: its rows are taken, too\n" % path
        for content, items, message in (
                (rows, 3, ""),
                (rows.replace("S,A", "S,B"), 6, said),  # of the same size
                (rows.replace("S,B", "S,A"), 6, ""),    # The first one is back, and has been put;
                (rows + "S,A,2021-10-09,1,,,\n", 7, ""), # it has grown.
                (HEADER + "S,C,2021-10-01,1,,,\n", 8, said)):
            self.file("rows.csv", content)
            self.assertEqual(result(), (items, message))
            os.utime(path)  # It was touched: that is no other file.
            self.assertEqual(result(), (items, ""))

    def test_a_file_may_grow_in_the_midst_of_a_row(self):
        results = self.grows(self.path("rows.csv"), (HEADER + "S,A,2021-10-01,1,,,\nS,A,2021-10-02,2", False),
                             ("5,,,\nS,A,2021-10-03,1,,,", True), ("\nS,A,2021-10-04,1,,,7", False), ("0\n", True))
        self.assertEqual([(result["records"], result["refused"], result["tables"]["Precipitation"])
                          for result in results], [(1, 1, 1), (3, 1, 3), (4, 1, 4), (5, 1, 4)])
        held = self.held()
        self.assertEqual(held["Precipitation"]["A", "2021-10-02"]["PRCP"], 25)
        self.assertEqual(held["Temperature"]["A", "2021-10-04"]["TMIN"], 70)

    def test_a_file_is_not_given_twice(self):
        path = self.file("rows.csv", HEADER + "S,A,2021-10-01,1,,,\n")
        link, copy = self.path("link.csv"), self.file("copy.csv", HEADER + "S,B,2021-10-01,1,,,\n")
        os.link(path, link)
        self.fails(2, path + " is given twice", path, copy, path)
        self.fails(2, "%s and %s are the same file" % (path, link), path, link)
        self.assertEqual(self.result(path, copy)["records"], 2)

    def test_a_path_may_be_long_or_no_text(self):
        where = os.fsencode(self.directory) + b"/" + b"/".join([b"d" * 200] * 3)
        os.makedirs(where)
        for number, name in enumerate((b"long.csv", b"long\xff.csv", b"long\xfe.csv")):
            path = os.path.join(where, name)
            with open(path, "w") as file:
                file.write(HEADER + "S,A,2021-10-%02d,1,,,\n" % (number + 1))
            for _ in range(2):
                done = self.run_it("--json", "--store", self.kept, os.fsdecode(path))
                self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertEqual(json.loads(done.stdout)["tables"]["Precipitation"], number + 1)

    def test_refused_rows_are_counted(self):
        path = self.file("rows.csv", HEADER.encode() + b"S,A,2021-10-01,1,,\nS,A\xff,2021-10-01,1,,,\n"
                         b"S,,2021-10-01,1,,,\nS,A,2021-10-03,1,,,\nS,A,10/04/2021,1,,,\nS,A,2021-09-31,1,,,\n"
                         b"S,A,2021-10-04 00:00,1,,,\nS,A,,1,,,\nS,A,2021- 1- 4,1,,,\nS,A, 213-01-04,1,,,\n")
        done = self.run_it("--json", path)
        self.assertEqual(done.stderr.decode(), "weather: %s:2 is refused: not as many cells as the header; of others "
                         "the result says how many\n" % path)
        result = json.loads(done.stdout.decode().splitlines()[-1])
        self.assertEqual((result["records"], result["refused"], result["query"]["Precipitation"]), (1, 9, 1))

    def test_it_may_be_killed_at_any_moment(self):
        whole = self.path("whole")
        expected = self.result("--rows", "4000", "--batch", "40", "--shards", "3", "--store", whole)
        result = self.killed_until_done(4, "--rows", "4000", "--batch", "40", "--shards", "3")
        for name in ("records", "tables"):
            self.assertEqual(result[name], expected[name])
        self.assertEqual(self.tables(self.kept + ".tables"), self.tables(whole + ".tables"))

    def test_another_key_and_fewer_rows_are_told_from_what_was_put(self):
        first = self.result("--store", self.kept, "--rows", "120")
        self.fails(1, "--key is the same in all runs of a store: here it is 'NAME'", "--store", self.kept, "--rows",
                   "120", "--key", "STATION")
        self.fails(1, "--units is the same in all runs of a store: here it is 'standard'", "--store", self.kept,
                   "--rows", "120", "--units", "metric")
        fewer = self.result("--store", self.kept, "--rows", "50")
        self.assertEqual((fewer["records"], fewer["refused"], fewer["tables"]), (120, 0, first["tables"]))

    def test_rows_come_from_a_pipe(self):
        path = self.file("rows.csv", HEADER + "S,A,2021-10-01,1,,,\nS,A,2021-10-02,1,,,\n")
        result = self.takes_a_pipe(path)
        self.assertEqual((result["records"], result["shards"]), (2, [2]))

    def test_shards_are_those_that_the_stream_has(self):
        self.shards_are_those_of_the_stream("--rows", "50")

    def test_two_runs_do_not_share_a_store(self):
        self.a_second_run_is_refused("--rows", "100", "--rate", "20")
        self.assertEqual(self.result("--store", self.kept, "--rows", "100")["shards"], [100])

    def test_a_store_whose_oldest_records_are_gone_goes_on_and_checks_the_rest(self):
        self.small_segments("input-stream")
        first = self.result("--store", self.kept, "--rows", "4000")
        self.trim("input-stream")
        second = self.result("--store", self.kept, "--rows", "4000")
        for name in ("records", "tables"):
            self.assertEqual(second[name], first[name])
        self.assertLess(sum(second["shards"]), 4000)
        more = self.result("--store", self.kept, "--rows", "4100")  # What is new comes through as ever.
        self.assertEqual((more["records"], more["tables"]["Precipitation"]), (4100, 4100))
        # A table that has not what the stream still has is found.
        with sqlite3.connect(self.kept + ".tables") as tables:
            tables.execute("UPDATE Precipitation SET item = '{}' WHERE sort = (SELECT max(sort) FROM Precipitation)")
        done = self.run_it("--store", self.kept, "--rows", "4100")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rb"^weather: \d+ items are not what the stream says\n$")

    def test_a_kept_store_takes_one_file_after_the_other(self):
        one = self.file("one.csv", HEADER + "S,A,2021-10-01,1,,,\n")
        other = self.file("other.csv", HEADER + "S,A,2021-10-02,1,,,\nS,B,2021-10-02,1,,,\n")
        self.assertEqual(self.result("--store", self.kept, one)["tables"]["Precipitation"], 1)
        self.assertEqual(self.result("--store", self.kept, other)["tables"]["Precipitation"], 3)

    def test_rows_come_at_a_pace_and_the_handler_keeps_up(self):
        began = time.monotonic()
        self.result("--rows", "40", "--rate", "50", "--batch", "1")
        self.assertGreater(time.monotonic() - began, 0.7)

    def test_an_interrupted_run_leaves_nothing_behind(self):
        self.interrupt("--rate", "1")

    def test_the_report_fits_a_terminal(self):
        lines = self.run_it("--rows", "80").stdout.decode().splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        for part in ("80 rows", "GetRecords success", "invocations", "Temperature of BELTSVILLE, MD US"):
            self.assertIn(part, "\n".join(lines))

    def test_wrong_arguments_are_one_line(self):
        for arguments, part in ((["--what"], "what"), (["--rows", "0"], "--rows wants"), (["--rate", "x"], "--rate"),
                                (["--key", "DATE"], "--key wants NAME or STATION"), (["--store", ""], "--store"),
                                (["--units", "K"], "--units"), (["--token", "t"], "--from and --to"),
                                (["--from", "2021"], "--from and --to want a day as YYYY-MM-DD, not '2021'"),
                                (["--from", "2021-10-01", "--to", "2021-10-1 "], "not '2021-10-1 '"),
                                ([self.path("nowhere.csv")], "nowhere.csv: No such file"), (["--rows"], "rows")):
            self.fails(1 if arguments == ["--store", ""] else 2, part, *arguments)
        self.fails(1, "no column 'DATE'. Its columns: 'STATION', 'NAME'", self.file("few.csv", "STATION,NAME\n"))
        self.fails(1, "empty.csv is empty", self.file("empty.csv", ""))
        self.fails(1, "broken.csv:2: a quote", self.file("broken.csv", HEADER + 'a,"b\n'))
        self.help_fits()


class Published(Case):
    def test_the_tables_hold_what_the_file_says(self):
        path = os.path.join(DATA, "ghcnd_montgomery_md_2012_2015.csv")
        result = self.result("--store", self.kept, "--query", "BRIGHTON DAM, MD US", "--from", "2013-10-01", "--to",
                             "2013-10-31", "--shards", "4", path)
        self.assertEqual(result["shards"], [8177, 6296, 6200, 11450])
        self.assertEqual((result["records"], result["refused"], result["replaced"]), (32123, 0, 0))
        self.assertEqual(result["tables"], {"Precipitation": 32122, "Temperature": 2767})
        self.assertEqual(result["query"], {"station": "BRIGHTON DAM, MD US", "Precipitation": 31, "Temperature": 31,
                                           "PRCP": 6.35})
        with open(path, newline="") as file:
            self.assertEqual(self.held(), worked_out(csv.DictReader(file)))
        lower = self.result("--store", self.kept, "--query", "brighton dam, md us", path)
        self.assertEqual((lower["records"], lower["query"]["Precipitation"], lower["query"]["Temperature"]),
                         (32123, 0, 0))

    def test_by_station_the_records_lie_on_other_shards(self):
        path = os.path.join(DATA, "ghcnd_montgomery_md_2012_2015.csv")
        self.assertEqual(self.result("--key", "STATION", "--shards", "2", path)["shards"], [13236, 18887])


class Service(Case):
    """A server that answers as NOAA's does, page by page, and is busy now and then."""

    def setUp(self):
        super().setUp()
        self.stations = [{"id": "GHCND:US1MD%06d" % i, "name": "TOWN %d, MD US" % i} for i in range(1100)]
        self.asked, self.busy, self.garbage, self.only = [], 1, None, 1000
        case = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                asked = dict(urllib.parse.parse_qsl(url.query))
                code, body = 200, case.answer(url.path, asked)
                if self.headers["token"] != "secret":
                    code, body = 400, {"status": "400", "message": "Token parameter is required."}
                elif case.busy > 0 and url.path.endswith("/data"):
                    case.busy -= 1
                    code, body = 503, {"message": "busy"}
                case.asked.append((url.path, asked))
                data = case.garbage or json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.url = "http://127.0.0.1:%d/api/v2" % server.server_port

    def rows(self, day):
        """Of the second day there is nothing."""
        if day == "2021-10-02":
            return []
        kinds = {"PRCP": 0.25, "SNOW": 0.0, "TMIN": 41, "TMAX": 60, "SNWD": 3}
        return [{"date": day + "T00:00:00", "datatype": kind, "station": station["id"], "value": value}
                for number, station in enumerate(self.stations[:900]) for kind, value in kinds.items()
                if kind[0] != "T" or number % 3 == 0]

    def answer(self, path, asked):
        rows = self.stations if path.endswith("/stations") else self.rows(asked["startdate"])
        if not rows:
            return {}
        first, limit = int(asked["offset"]), int(asked["limit"])
        return {"metadata": {"resultset": {"offset": first, "count": len(rows), "limit": limit}},
                "results": rows[first - 1:first - 1 + min(limit, self.only)]}

    def arguments(self, last="2021-10-03"):
        return ["--token", "secret", "--url", self.url, "--from", "2021-10-01", "--to", last]

    def test_all_pages_of_all_days_come_once(self):
        result = self.result("--store", self.kept, "--query", "TOWN 3, MD US", *self.arguments("2021-10-01"))
        self.assertEqual(result["records"], 900)
        result = self.result("--store", self.kept, "--query", "TOWN 3, MD US", *self.arguments())
        self.assertEqual((result["records"], result["replaced"]), (1800, 0))
        self.assertEqual(result["tables"], {"Precipitation": 1800, "Temperature": 600})
        self.assertEqual(result["query"]["PRCP"], 0.5)
        held = self.held()
        self.assertEqual(held["Precipitation"]["TOWN 1, MD US", "2021-10-03"],
                         {"PRCP": 0.25, "SNOW": 0, "units": "standard"})
        self.assertEqual(held["Temperature"]["TOWN 3, MD US", "2021-10-01"],
                         {"TMIN": 41, "TMAX": 60, "units": "standard"})
        # The first day is asked for once, by the first run; one of its pages twice, since the server was busy.
        pages = [asked["offset"] for path, asked in self.asked if asked.get("startdate") == "2021-10-01"]
        self.assertEqual(pages, ["1", "1", "1001", "2001", "3001"])

    def days(self, first, last):
        return ["--token", "secret", "--url", self.url, "--from", "2021-10-" + first, "--to", "2021-10-" + last]

    def test_days_before_and_between_those_that_were_put_come_too(self):
        self.busy = 0
        for first, last, records in (("05", "06", 2), ("09", "09", 1), ("04", "09", 6), ("04", "09", 6),
                                     ("06", "07", 2)):
            result = self.result("--store", self.kept, *self.days(first, last))
            self.assertEqual((result["records"], result["replaced"]), (900 * records, 0))
        self.assertEqual(result["tables"]["Precipitation"], 6 * 900)
        asked = [asked["startdate"][-2:] for path, asked in self.asked
                 if asked.get("offset") == "1" and "startdate" in asked]
        self.assertEqual(asked, ["05", "06", "09", "04", "07", "08"])

    def test_a_day_that_has_no_row_yet_is_asked_for_again(self):
        self.busy = 0
        rows, self.rows = self.rows, lambda day: []
        self.assertEqual(self.result("--store", self.kept, *self.days("05", "05"))["records"], 0)
        self.rows = rows
        for _ in range(2):
            self.assertEqual(self.result("--store", self.kept, *self.days("05", "05"))["records"], 900)

    def test_a_day_is_known_by_the_whole_address_and_in_one_unit(self):
        self.busy = 0
        kept, arguments = ("--store", self.kept), self.days("05", "05")
        first = self.result(*kept, *arguments)
        asked = len(self.asked)
        self.url += "/"
        again = self.result(*kept, *self.days("05", "05"))
        self.assertEqual((again["records"], again["shards"], again["tables"]), (900, [900], first["tables"]))
        self.assertFalse([path for path, _ in self.asked[asked:] if path.endswith("/data")])
        self.fails(1, "--units is the same in all runs of a store: here it is 'standard'", *kept, *arguments, "--units",
                   "metric")
        # Two services whose addresses begin with the same 100 bytes are two.
        where = self.url
        for number, name in enumerate(("one", "two", "two/")):
            self.url = where + "a" * 120 + "/" + name
            result = self.result(*kept, *self.days("05", "05"))
            self.assertEqual(result["shards"], [900 * (2 + min(number, 1))])

    def test_a_run_is_interrupted_while_the_service_does_not_answer(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.url = "http://127.0.0.1:%d" % listener.getsockname()[1]
        began = time.monotonic()
        self.interrupt(*self.arguments())
        self.assertLess(time.monotonic() - began, 20)

    def test_what_goes_wrong_is_said(self):
        self.fails(1, "400: ", *["wrong" if word == "secret" else word for word in self.arguments()])
        self.garbage = b"<html>"
        self.fails(1, "answers what cannot be read", *self.arguments())
        self.garbage, self.only = None, 0
        self.fails(1, "gives 0 rows of 1100", *self.arguments())
        self.url = "http://127.0.0.1:1"
        self.fails(1, "cannot ask http://127.0.0.1:1/stations", *self.arguments())
        self.fails(2, "it goes with no file", *self.arguments(), WEATHER)


if __name__ == "__main__":
    if GROUP == "published" and not os.path.exists(os.path.join(DATA, "ghcnd_montgomery_md_2012_2015.csv")):
        print("the published file is not at", DATA)
        sys.exit(77)
    if GROUP == "service" and b"without libcurl" in subprocess.run(
            [WEATHER, "--token", "t", "--from", "2021-10-01", "--to", "2021-10-01", "--url", "http://127.0.0.1:1"],
            capture_output=True).stderr:
        print("built without libcurl")
        sys.exit(77)
    pipelines.main({"made_up": MadeUp, "published": Published, "service": Service}, GROUP)
