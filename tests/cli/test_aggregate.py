#!/usr/bin/env python3
"""Aggregated records: the tool's --deaggregate, and what others make of ours and we of theirs.

    test_aggregate.py LSTREAM TOOL ours|kpl|protoc [unittest options]

The judges are `aws_kinesis_agg` (PyPI) and `protoc --decode`, each a test of its own: exit status 77 where it is not
installed. The vectors of tests/stream/test_aggregate.c, which aws_kinesis_agg made, are always tested.
"""

import base64
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

TOOL = os.path.abspath(sys.argv.pop(2))
JUDGE = sys.argv.pop(2)

from store import LSTREAM, Store  # noqa: E402  (it takes the first argument)

try:
    from aws_kinesis_agg import aggregator, deaggregator
except ImportError:
    aggregator = None

PROTO = """syntax = "proto2";
message AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2;
                           repeated Record records = 3; }
message Tag { required string key = 1; optional string value = 2; }
message Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2;
                 required bytes data = 3; repeated Tag tags = 4; }
"""


def line_of(key, hash_key, data):
    return "x%s %s x%s\n" % (key.encode().hex(), hash_key or "-", data.hex())


def run(arguments, lines):
    return subprocess.run([TOOL, *arguments], input="".join(lines), capture_output=True, text=True, check=True).stdout


def pack(records):
    """The outer key, its hash key, and the data that libstream makes of (key, hash key, data)."""
    key, hash_key, data = run(["pack"], [line_of(*record) for record in records]).split()
    return bytes.fromhex(key[1:]).decode(), None if hash_key == "-" else hash_key, bytes.fromhex(data[1:])


def unpack(data):
    """What libstream finds in it: (key, hash key, data) of each user record."""
    found = []
    for line in run(["unpack"], ["x%s\n" % data.hex()]).splitlines()[:-1]:
        key, hash_key, data = line.split()
        found.append((bytes.fromhex(key[1:]).decode(), None if hash_key == "-" else hash_key, bytes.fromhex(data[1:])))
    return found


def some_records(seed):
    chance = random.Random(seed)
    keys = ["k%d" % i for i in range(chance.choice([1, 5, 300]))] + ["é\U0001f600" * 40]
    hash_keys = [str(chance.randrange(2 ** chance.choice([1, 20, 128]))) for _ in range(9)]
    return [(chance.choice(keys), chance.choice(hash_keys) if chance.random() < 0.3 else None,
             chance.randbytes(chance.choice([0, 1, 100, 127, 128, 300])))
            for _ in range(chance.choice([2, 3, 40, 700]))]


class Printing(Store):
    def put(self, *records):
        run(["put", self.store, "s"], [line_of(*record) for record in records])

    def test_aggregates_are_shown_as_asked(self):
        self.make("s", "--shards", 2)
        self.put(("3", None, b"one"), ("123", None, b"two"), ("3", str(2 ** 128 - 1), b"three"))
        self.put(("3", None, b"four"))
        for command in (["get", "s"], ["tail", "s", "--from", "trim-horizon", "--timeout", "0"],
                        ["tail", "s", "--from", "trim-horizon", "--timeout", "0", "--skip-damage"]):
            whole = [json.loads(line) for line in self.run_tool(*command, "--json").out.splitlines()]
            self.assertEqual(len(whole), 2)
            self.assertTrue(whole[0]["data_base64"].startswith("84mawg"))
            apart = [json.loads(line) for line in self.run_tool(*command, "--deaggregate", "--json").out.splitlines()]
            self.assertEqual([record["data"] for record in apart], ["one", "two", "three", "four"])
            self.assertEqual([record["key"] for record in apart], ["3", "123", "3", "3"])
            self.assertEqual([record.get("sub_seqno") for record in apart], [0, 1, 2, None])
            self.assertEqual([record.get("sub_count") for record in apart], [3, 3, 3, None])
            self.assertEqual([record.get("outside_shard") for record in apart], [None, True, None, None])
            self.assertEqual(apart[2]["explicit_hash_key"], str(2 ** 128 - 1))
            self.assertEqual({record["seqno"] for record in apart[:3]}, {whole[0]["seqno"]})
        self.assertEqual(self.lines("s", "--shard", 1, "--deaggregate", "--limit", 2), ["one", "two"])

    def test_a_mapping_takes_them_apart(self):
        self.make()
        self.put(("a", None, b"one"), ("b", None, b"two"))
        made = json.loads(self.run_tool("mapping", "create", "s", "m", "--from", "trim-horizon", "--deaggregate",
                                        "--json").out)
        self.assertTrue(made["deaggregate"])
        self.assertIn("takes aggregates apart\n", self.run_tool("mapping", "describe", "s", "m").out)
        done = self.run_tool("consume", "s", "m", "--until-caught-up", "--", "cat")
        records = json.loads(done.out)["Records"]
        self.assertEqual([base64.b64decode(record["kinesis"]["data"]) for record in records], [b"one", b"two"])
        self.assertEqual([record["kinesis"]["subSequenceNumber"] for record in records], [0, 1])
        plain = json.loads(self.run_tool("mapping", "create", "s", "n", "--from", "latest", "--json").out)
        self.assertFalse(plain["deaggregate"])


class AwsKinesisAgg(unittest.TestCase):
    def test_ours_are_theirs_byte_for_byte(self):
        for seed in range(40):
            records = some_records(seed)
            theirs = aggregator.AggRecord()
            for key, hash_key, data in records:
                self.assertTrue(theirs.add_user_record(key, data, hash_key))
            self.assertEqual(pack(records), tuple(theirs.get_contents()))

    def test_both_find_the_same(self):
        for seed in range(40):
            records = some_records(seed)
            key, _, data = pack(records)
            # It reports entry 0 of the hash keys for records that have none.
            theirs = [(r["kinesis"]["partitionKey"], base64.b64decode(r["kinesis"]["data"]),
                       r["kinesis"]["subSequenceNumber"]) for r in deaggregator.iter_deaggregate_records(
                           [{"kinesis": {"kinesisSchemaVersion": "1.0", "sequenceNumber": "1", "partitionKey": key,
                                         "approximateArrivalTimestamp": 1, "data": base64.b64encode(data)}}])]
            self.assertEqual(theirs, [(r[0], r[2], i) for i, r in enumerate(records)])
            self.assertEqual(unpack(data), records)

    def test_both_take_these_for_plain(self):
        good = pack([("a", None, b"one"), ("b", None, b"two")])[2]
        for bad in (good[:-1], good[1:], b"\0" + good[1:], good[:-1] + bytes([good[-1] ^ 1]), good[:20], good[:4], b""):
            theirs = list(deaggregator.iter_deaggregate_records(
                [{"kinesis": {"partitionKey": "outer", "data": base64.b64encode(bad)}}]))
            self.assertEqual([base64.b64decode(r["kinesis"]["data"]) for r in theirs], [bad])
            self.assertEqual(unpack(bad), [("outer", None, bad)])


class Protoc(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="lstream-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        with open(os.path.join(self.folder, "kpl.proto"), "w") as file:
            file.write(PROTO)

    def protoc(self, how, text):
        return subprocess.run(["protoc", "--%s=AggregatedRecord" % how, "-I", self.folder, "kpl.proto"], input=text,
                              capture_output=True, check=True).stdout

    def test_what_we_make_is_what_it_makes(self):
        for seed in range(10):
            data = pack(some_records(seed))[2]
            self.assertEqual(self.protoc("encode", self.protoc("decode", data[4:-16])), data[4:-16])


# The judge's tests, and whether it is there.
GROUPS = {"ours": (None, True), "kpl": (AwsKinesisAgg, aggregator is not None),
          "protoc": (Protoc, shutil.which("protoc") is not None)}


def load_tests(loader, tests, _pattern):
    judged = (AwsKinesisAgg, Protoc)
    if GROUPS[JUDGE][0] is not None:
        return loader.loadTestsFromTestCase(GROUPS[JUDGE][0])
    return unittest.TestSuite(suite for suite in tests if not any(isinstance(test, judged) for test in suite))


if __name__ == "__main__":
    if not GROUPS[JUDGE][1]:
        print("%s is not installed" % JUDGE)
        sys.exit(77)
    unittest.main()
