#!/usr/bin/env python3
"""lstream delivery: deliveries are made, shown, run with and without a program, and removed.

    test_delivery.py LSTREAM JSON [unittest options]        JSON is `true` when the tool can read JSON
"""

import base64
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from store import LSTREAM, Store, is_emulated

CAN_READ = sys.argv.pop(1) == "true"

# A transform, as for the service: upper case; "drop" is dropped, "bad" fails; FAIL makes it fail so often.
TRANSFORM = """
import base64, json, os, sys
calls = os.environ["CALLS"]
with open(calls, "a") as file:
    file.write("x")
event = json.load(sys.stdin)
if os.path.getsize(calls) <= int(os.environ.get("FAIL", "0")):
    sys.exit(3)
answer = []
for record in event["records"]:
    data = base64.b64decode(record["data"]).decode()
    result = {"drop": "Dropped", "bad": "ProcessingFailed"}.get(data, "Ok")
    answer.append({"recordId": record["recordId"], "result": result,
                   "data": base64.b64encode(data.upper().encode()).decode(),
                   "metadata": {"partitionKeys": {"first": data[0]}}})
answer.reverse()
print(os.environ.get("ANSWER") or json.dumps({"records": answer}))
"""


class Deliveries(Store):
    def setUp(self):
        super().setUp()
        self.out_path = os.path.join(self.folder, "out")
        self.calls = os.path.join(self.folder, "calls")

    def fill(self, *settings, records=b"one\ntwo\n", where=True):
        self.make("s")
        to = ("--directory", self.out_path) if where else ()
        self.run_tool("delivery", "create", "s", "d", *to, *settings)
        self.run_tool("put", "s", "--key", "k", stdin=records)

    def deliver(self, *arguments, expect=0, **env):
        return self.run_tool("delivery", "run", "s", "d", "--until-caught-up", *arguments, expect=expect,
                             env={"CALLS": self.calls, **env})

    def transform(self, **named):
        return self.deliver("--", sys.executable, "-c", TRANSFORM, **named)

    def objects(self):
        """Path beneath the directory -> bytes. What a run is writing, and moves away meanwhile, is none."""
        found = {}
        for folder, _, names in os.walk(self.out_path):
            for name in names:
                if name.startswith(".libstream-"):
                    continue
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.out_path)] = file.read()
        return found

    def errors(self):
        return [json.loads(line) for name, content in self.objects().items() if name.startswith("bad/")
                for line in content.splitlines()]

    def data(self):
        return b"".join(content for name, content in sorted(self.objects().items()) if not name.startswith("bad/"))

    # ---- plain ----

    def test_records_become_files_once(self):
        self.fill("--lines", "--prefix", "logs/")
        self.assertEqual(self.deliver().out, "")
        self.assertEqual(self.data(), b"one\ntwo\n")
        self.assertRegex(list(self.objects())[0], r"^logs/\d{4}(/\d\d){3}/d-1-\d{4}(-\d\d){5}-[0-9a-f-]{36}$")
        self.deliver()
        self.assertEqual(len(self.objects()), 1)
        self.run_tool("put", "s", "--key", "k", stdin=b"three\n")
        self.deliver()
        self.assertEqual(len(self.objects()), 2)

    def test_records_stand_behind_each_other_without_anything_between(self):
        self.fill()
        self.deliver()
        self.assertEqual(self.data(), b"onetwo")

    def test_records_that_hold_several_are_split(self):
        for name, split, told, data in (("json", "", "JSON values", b'{"a":1}{"a":2}\n'),
                                        ("text", "##", "##", b'{"a":1}##{"a":2}\n')):
            with self.subTest(split=split):
                self.make(name)
                self.run_tool("delivery", "create", name, "d", "--directory", self.out_path, "--split", split, "--lines",
                              "--prefix", name + "/")
                self.run_tool("put", name, "--key", "k", stdin=data)
                self.run_tool("delivery", "run", name, "d", "--until-caught-up")
                self.assertRegex(self.run_tool("delivery", "describe", name, "d").out, r"(?m)^splits +%s$" % told)
                made = [content for path, content in self.objects().items() if path.startswith(name + "/")]
                self.assertEqual(made, [b'{"a":1}\n{"a":2}\n'])

    def test_a_backup_and_an_early_end(self):
        self.fill("--lines", "--backup-prefix", "raw/", "--prefix", "data/", "--size", "1")
        self.deliver("--shards", "1", "--give-up-ms", "1000")
        names = sorted(name.split("/")[0] for name in self.objects())
        self.assertEqual(names, ["data", "data", "raw", "raw"])

    def test_compressed_objects_decompress_to_the_records(self):
        self.make("s")
        done = self.run_tool("delivery", "create", "s", "d", "--directory", self.out_path, "--compression", "gzip",
                             "--lines", expect=None)
        if done.returncode != 0:
            self.assertIn("gzip", done.err)
            self.skipTest("built without gzip")
        self.run_tool("put", "s", "--key", "k", stdin=b"one\ntwo\n")
        self.deliver()
        self.assertTrue(list(self.objects())[0].endswith(".gz"))
        self.assertEqual(gzip.decompress(self.data()), b"one\ntwo\n")

    def test_where_to_begin(self):
        self.make("s")
        self.run_tool("put", "s", "--key", "k", stdin=b"old\n")
        self.run_tool("delivery", "create", "s", "d", "--directory", self.out_path, "--from", "latest")
        self.run_tool("put", "s", "--key", "k", stdin=b"new\n")
        self.deliver()
        self.assertEqual(self.data(), b"new")

    @unittest.skipUnless(CAN_READ, "built without JSON")
    def test_a_partition_key_is_in_the_name(self):
        self.fill("--key", "who=.user.name", "--prefix", "u=!{partitionKeyFromQuery:who}/", "--error-prefix",
                  "bad/!{firehose:error-output-type}/", "--lines",
                  records=b'{"user":{"name":"ann"}}\n{"user":{"name":"../bob"}}\n{"user":{}}\n')
        self.deliver()
        folders = sorted(name.split("/")[0] for name in self.objects())
        self.assertEqual(folders, ["bad", "u=%2E.%2Fbob", "u=ann"])
        self.assertIn("'who' is null or missing", self.errors()[0]["errorMessage"])

    # ---- with a program ----

    @unittest.skipUnless(CAN_READ, "built without JSON")
    def test_a_program_transforms(self):
        self.fill("--transform", "--lines", "--error-prefix", "bad/!{firehose:error-output-type}/",
                  records=b"one\ndrop\nbad\ntwo\n")
        self.transform()
        self.assertEqual(self.data(), b"ONE\nTWO\n")
        errors = self.errors()
        self.assertEqual([base64.b64decode(e["rawData"]) for e in errors], [b"bad"])
        self.assertEqual(errors[0]["attemptsMade"], 1)

    @unittest.skipUnless(CAN_READ, "built without JSON")
    def test_a_program_gives_partition_keys(self):
        self.fill("--transform", "--lines", "--prefix", "!{partitionKeyFromLambda:first}/", "--error-prefix",
                  "bad/!{firehose:error-output-type}/", records=b"one\ntwo\nonly\n")
        self.transform()
        self.assertEqual({name.split("/")[0]: content for name, content in self.objects().items()},
                         {"o": b"ONE\nONLY\n", "t": b"TWO\n"})

    @unittest.skipUnless(CAN_READ, "built without JSON")
    def test_a_program_that_fails_is_tried_again(self):
        self.fill("--transform", "--retries", "1", "--error-prefix", "bad/!{firehose:error-output-type}/")
        done = self.transform(FAIL="1")
        self.assertEqual(self.data(), b"ONETWO")
        self.assertEqual(done.err, "lstream: delivery: shard 0, 2 records, attempt 1: %s ended with 3\n" %
                         sys.executable)
        self.run_tool("put", "s", "--key", "k", stdin=b"three\n")
        os.remove(self.calls)
        self.transform(FAIL="9")
        self.assertEqual([(e["attemptsMade"], e["errorCode"], e["rawData"]) for e in self.errors()],
                         [(2, "Lambda.FunctionError", base64.b64encode(b"three").decode())])

    @unittest.skipUnless(CAN_READ, "built without JSON")
    def test_an_answer_that_is_none_fails_its_records(self):
        self.fill("--transform", "--error-prefix", "bad/!{firehose:error-output-type}/")
        self.transform(ANSWER='{"records":[]}')
        self.assertEqual([e["errorCode"] for e in self.errors()], ["Lambda.MissingRecordId"] * 2)
        self.assertEqual(self.data(), b"")

    @unittest.skipUnless(CAN_READ, "built without JSON")
    def test_an_answer_that_is_too_long_is_not_asked_for_again(self):
        self.fill("--transform", "--retries", "1", "--error-prefix", "bad/!{firehose:error-output-type}/")
        done = self.deliver("--", "head", "-c", "7000000", "/dev/zero")
        self.assertEqual(done.err, "lstream: delivery: shard 0, 2 records, attempt 1: head returned more than 6291456 "
                         "bytes\n")
        self.assertEqual([(e["attemptsMade"], e["errorCode"], e["errorMessage"]) for e in self.errors()],
                         [(1, "Lambda.FunctionError", "the response has more than 6291456 bytes")] * 2)

    @unittest.skipUnless(CAN_READ, "built without JSON")
    def test_a_program_that_takes_too_long_is_killed(self):
        self.fill("--transform", "--retries", "0", "--error-prefix", "bad/!{firehose:error-output-type}/")
        done = self.deliver("--timeout-ms", "200", "--", "sleep", "30")
        self.assertIn("sleep took too long, and was killed", done.err)
        self.assertEqual(len(self.errors()), 2)

    def test_what_a_program_leaves_behind_is_not_waited_for(self):
        self.fill("--transform", "--retries", "0", "--error-prefix", "bad/!{firehose:error-output-type}/")
        self.leaves_behind(self.deliver, code=1)
        self.assertEqual(len(self.errors()), 2)

    @unittest.skipIf(is_emulated(), "spawning tells nobody here that there is no such program")
    def test_a_program_that_is_not_there_ends_the_run(self):
        self.fill("--transform")
        done = self.deliver("/nonexistent", expect=1)
        self.assertIn("cannot run /nonexistent: ", done.err)
        self.assertEqual(self.objects(), {})

    def test_ctrl_c_ends_it(self):
        self.fill("--lines", "--interval-ms", "0")
        run = subprocess.Popen([LSTREAM, "delivery", "run", "s", "d", "-s", self.store], stderr=subprocess.PIPE)
        end = time.monotonic() + 30
        while self.data() != b"one\ntwo\n" and time.monotonic() < end:
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=30)
        self.assertEqual((run.returncode, said), (130, b""))

    # ---- a destination that fails ----

    def until(self, is_so):
        end = time.monotonic() + 30
        while not is_so() and time.monotonic() < end:
            time.sleep(0.02)
        self.assertTrue(is_so())

    def test_one_line_tells_that_it_fails_and_one_that_it_is_over(self):
        above = os.path.join(self.folder, "above")
        self.out_path = os.path.join(above, "out")
        os.mkdir(above)
        self.fill("--lines", "--interval-ms", "0")
        run = subprocess.Popen([LSTREAM, "delivery", "run", "s", "d", "-s", self.store], stderr=subprocess.PIPE)
        try:
            self.until(lambda: self.data() == b"one\ntwo\n")
            os.rename(above, above + ".away")
            shutil.rmtree(above + ".away")
            self.run_tool("put", "s", "--key", "k", stdin=b"three\n")
            first = run.stderr.readline().decode()
            self.assertRegex(first, r"^lstream: delivery: delivery 'd' shard 0: an object waits: cannot deliver '.*' "
                                    r"\(6 bytes\) to directory '%s': No such file or directory\n$" % self.out_path)
            time.sleep(0.5)  # It is tried some times more.
            os.mkdir(above)
            self.until(lambda: self.data() == b"three\n")
        finally:
            run.send_signal(signal.SIGINT)
            _, said = run.communicate(timeout=30)
        self.assertRegex(said.decode(), r"^lstream: delivery: delivery 'd' shard 0: the object is delivered after \d+ "
                                        r"failures in \d+\.\d{3} s\n$")
        self.assertEqual(run.returncode, 130)

    @unittest.skipUnless(CAN_READ, "built without JSON")
    def test_what_stands_in_the_way_of_a_partition_holds_up_nothing(self):
        self.fill("--key", "p=.p", "--prefix", "!{partitionKeyFromQuery:p}/", "--lines", "--error-prefix",
                  "bad/!{firehose:error-output-type}/", records=b'{"p":"README"}\n{"p":"ok"}\n')
        os.mkdir(self.out_path)
        with open(os.path.join(self.out_path, "README"), "w") as file:
            file.write("of the operator\n")
        done = self.deliver()
        found = self.objects()
        self.assertEqual(found.pop("README"), b"of the operator\n")
        names = {content: name for name, content in found.items()}
        self.assertRegex(names[b'{"p":"ok"}\n'], "^ok/d-1-")
        self.assertRegex(names[b'{"p":"README"}\n'], "^bad/directory-failed/README/d-1-")
        self.assertEqual(len(found), 2)
        self.assertRegex(done.err, r"^lstream: delivery: delivery 'd' shard 0: cannot deliver 'README/d-1-.*: Not a "
                                   r"directory: it goes to 'bad/directory-failed/README/d-1-.*'\n$")
        told = self.run_tool("metrics").out
        self.assertIn('libstream_delivery_moved_objects_total{stream="s",delivery="d"} 1\n', told)
        self.assertIn('libstream_delivery_records_total{stream="s",delivery="d",result="delivered"} 2\n', told)
        self.assertEqual(self.deliver().err, "")
        self.assertEqual(len(self.objects()), 3)

    def test_what_stands_in_the_way_of_everything_but_the_root(self):
        self.fill("--lines", "--prefix", "a/", "--backup-prefix", "b/")
        os.mkdir(self.out_path)
        for name in "ab":
            with open(os.path.join(self.out_path, name), "w"):
                pass
        self.deliver()
        self.assertEqual(sorted(content for name, content in self.objects().items() if name.startswith("d-1-")),
                         [b"one\ntwo\n", b"onetwo"])
        self.assertEqual(len(self.objects()), 4)

    # ---- keeping ----

    def test_settings_are_shown(self):
        self.fill("--lines", "--size", "64K", "--interval-ms", "0", "--compression", "zstd", "--prefix", "p/",
                  "--transform", "--retries", "0")
        is_now = json.loads(self.run_tool("delivery", "describe", "s", "d", "--json").out)
        self.assertEqual({name: is_now[name] for name in is_now if not name.endswith("_us")}, {
            "name": "d", "version": 1, "from": "trim-horizon", "directory": self.out_path, "bucket": None,
            "endpoint": None, "region": None, "prefix": "p/", "error_prefix": None, "backup": False, "split": None,
            "backup_prefix": None, "size": 65536, "interval_ms": 0, "compression": "zstd", "extension": None,
            "delimiter": "\n", "transform": True, "retries": 0, "keys": {}})
        text = self.run_tool("delivery", "describe", "s", "d").out
        for line in ("directory  " + self.out_path, "prefix     p/", "objects    of 65536 bytes, or 0 ms; compression "
                     "zstd", "a newline behind each record", "transform  with 0 retries"):
            self.assertIn(line + "\n", text)
        self.run_tool("delivery", "create", "s", "to-s3", "--bucket", "abc", "--region", "r", "--endpoint",
                      "http://localhost:9000")
        self.assertIn("bucket     abc\nendpoint   http://localhost:9000\nregion     r\n",
                      self.run_tool("delivery", "describe", "s", "to-s3").out)
        listed = json.loads(self.run_tool("delivery", "list", "s", "--json").out)["deliveries"]
        self.assertEqual([one["name"] for one in listed], ["d", "to-s3"])
        self.assertEqual(len(self.run_tool("delivery", "list", "s").out.splitlines()), 3)
        self.assertEqual(self.run_tool("delivery", "delete", "s", "d", "--json").out, '{"deleted":"d"}\n')
        self.run_tool("delivery", "describe", "s", "d", expect=3)
        self.run_tool("delivery", "delete", "s", "d", expect=3)
        self.run_tool("delivery", "create", "s", "to-s3", "--bucket", "abc", expect=6)

    def test_what_cannot_be_meant_is_said(self):
        self.fill()
        create = ("delivery", "create", "s", "x")
        to = ("--directory", self.out_path)
        for arguments, said in (
                (create, "needs --directory or --bucket"),
                ((*create, *to, "--bucket", "abc"), "needs --directory or --bucket"),
                ((*create, *to, "--prefix", "!{timestamp:q}/"), "prefix: '!{timestamp:q}' at byte 12: no such pattern"),
                ((*create, *to, "--compression", "lzma"), "--compression is 'lzma': it is none, gzip or zstd"),
                ((*create, *to, "--key", "abc"), "--key is 'abc': it is NAME=QUERY"),
                ((*create, *to, "--from", "at:5"), "--from is 'at:5': it is trim-horizon, latest or time:T"),
                ((*create, *to, "--shards", "1"), "create takes no --shards"),
                ((*create, *to, "more"), "'more' is one argument too many"),
                (("delivery", "run", "s", "d", *to), "run takes no --directory"),
                (("delivery", "run", "s", "d", "--json"), "run takes no --json"),
                (("delivery", "run", "s", "d", "cat"), "delivery 'd' has no transform, and no use for a COMMAND"),
                (("delivery", "run", "s"), "run which delivery?"),
                (("delivery", "list", "s", "d"), "list takes no name"),
                (("delivery", "rum", "s", "d"), "did you mean 'run'?")):
            self.assertIn(said, self.run_tool(*arguments, expect=2).err)
        self.run_tool(*create, *to, "--transform")
        self.assertIn("has a transform: a COMMAND is needed",
                      self.run_tool("delivery", "run", "s", "x", expect=2).err)
        self.run_tool("delivery", "run", "s", "none", expect=3)


if __name__ == "__main__":
    unittest.main()
