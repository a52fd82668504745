#!/usr/bin/env python3
"""lstream filter: what it prints, counts and refuses.

    test_filter.py LSTREAM JSON [unittest options]        JSON is `true` when the tool can read JSON
"""

import json
import sys
import unittest

from store import Store

CAN_READ = sys.argv.pop(1) == "true"


@unittest.skipUnless(CAN_READ, "this build reads no JSON")
class Filtering(Store):
    def fill(self, *options):
        self.make("s", *options)
        data = b"".join(b'{"id":"k%d","price":%d}\n' % (i % 7, i) for i in range(100))
        self.run_tool("put", "s", "--key-field", "id", stdin=data)
        self.run_tool("put", "s", "--key", "text", stdin=b"hello\n\n{\"price\":99\n")

    def counts(self, *arguments):
        """The records' data and the counts of a run with --json."""
        lines = [json.loads(line) for line in self.run_tool("filter", "s", *arguments, "--json").out.splitlines()]
        return [line["data"] for line in lines[:-1]], lines[-1]

    def test_records_that_match_are_printed_and_all_are_counted(self):
        self.fill()
        done = self.run_tool("filter", "s", '{"data":{"price":[{"numeric":[">=",98]}]}}')
        self.assertEqual(done.out, '{"id":"k0","price":98}\n{"id":"k1","price":99}\n')
        self.assertEqual(done.err, "lstream: filter: 103 read, 2 matched, 3 not JSON\n")
        found, counts = self.counts('{"data":{"price":[{"numeric":[">=",98]}]}}')
        self.assertEqual(found, ['{"id":"k0","price":98}', '{"id":"k1","price":99}'])
        self.assertEqual(counts, {"read": 103, "matched": 2, "not_json": 3})

    def test_aggregates_are_taken_apart_if_asked_for(self):
        self.make("s")
        data = b"".join(b'{"id":"k%d","price":%d}\n' % (i % 7, i) for i in range(100))
        self.run_tool("put", "s", "--key-field", "id", "--aggregate", stdin=data)
        pattern = '{"partitionKey":["k1"],"data":{"price":[{"numeric":[">=",98]}]}}'
        found, counts = self.counts(pattern, "--deaggregate")
        self.assertEqual(found, ['{"id":"k1","price":99}'])
        self.assertEqual(counts, {"read": 100, "matched": 1, "not_json": 0})
        self.assertEqual(self.counts(pattern, "--deaggregate", "--shard", 0)[1], counts)
        self.assertLess(self.counts(pattern)[1]["read"], 100)

    def test_one_of_several_patterns_is_enough(self):
        self.fill()
        patterns = ['{"data":{"price":[%d]}}' % i for i in range(9)] + ['{"partitionKey":["text"]}']
        found, counts = self.counts(*patterns)
        self.assertEqual(len(found), 9 + 3)
        self.assertEqual(counts, {"read": 103, "matched": 12, "not_json": 0})
        self.assertIn("one argument too many", self.run_tool("filter", "s", *patterns, patterns[0], expect=2).err)

    def test_shards_and_positions_are_those_of_get(self):
        self.fill("--shards", 3)
        everything = '{"partitionKey":[{"exists":true}]}'
        self.assertEqual(self.counts(everything)[1]["read"], 103)
        each = [self.counts(everything, "--shard", shard)[0] for shard in range(3)]
        for shard in range(3):
            self.assertEqual(each[shard], self.lines("s", "--shard", shard))
        self.assertEqual(sum(map(len, each)), 103)
        self.assertEqual(self.counts(everything, "--from", "latest")[1]["read"], 0)
        one = json.loads(self.lines("s", "--shard", 1, "--json")[1])["seqno"]
        self.assertEqual(self.counts(everything, "--shard", 1, "--from", "at:%d" % one)[0], each[1][1:])
        self.assertIn("say --shard N", self.run_tool("filter", "s", everything, "--from", "at:5", expect=2).err)
        self.assertIn("--from is 'now'", self.run_tool("filter", "s", everything, "--from", "now", expect=2).err)
        self.run_tool("filter", "s", everything, "--shard", 3, expect=3)

    def test_closed_shards_are_read_to_their_ends(self):
        self.fill()
        self.run_tool("split", "s", 0)
        self.run_tool("put", "s", "--key", "after", stdin=b"x\n")
        everything = '{"partitionKey":[{"exists":true}]}'
        self.assertEqual(self.counts(everything)[1]["read"], 104)
        self.assertEqual(self.counts(everything, "--shard", 0)[1]["read"], 103)

    def test_a_limit_counts_what_matches(self):
        self.fill()
        found, counts = self.counts('{"data":{"id":["k3"]}}', "--limit", 2)
        self.assertEqual(found, ['{"id":"k3","price":3}', '{"id":"k3","price":10}'])
        self.assertEqual(counts, {"read": 11, "matched": 2, "not_json": 0})

    def test_the_number_of_an_event_is_matched(self):
        self.fill()
        prefix = '{"sequenceNumber":[{"prefix":"4"}],"eventID":[{"prefix":"shardId-000000000000:4"}]}'
        self.assertEqual(self.counts(prefix)[1]["matched"], 103)

    def test_a_wrong_pattern_is_exit_2_in_the_words_of_the_service(self):
        self.make()
        done = self.run_tool("filter", "s", '{"data":{"a":1}}', expect=2)
        self.assertIn('Event pattern is not valid. Reason: "a" must be an object or an array', done.err)
        self.assertEqual(done.out, "")
        self.run_tool("filter", "s", expect=2)
        self.run_tool("filter", "none", '{"a":[1]}', expect=3)

    def test_a_mapping_has_several(self):
        def filters(*arguments):
            return json.loads(self.run_tool("mapping", *arguments, "--json").out)["filters"]

        def given(patterns):
            return [word for pattern in patterns for word in ("--filter", pattern)]

        self.fill()
        patterns = ['{"data":{"price":[%d]}}' % i for i in range(4)] + ['{"partitionKey":["text"]}']
        self.assertEqual(filters("create", "s", "m", "--from", "trim-horizon", *given(patterns)), patterns)
        text = self.run_tool("mapping", "describe", "s", "m").out
        for pattern in patterns:
            self.assertIn("filter     %s\n" % pattern, text)
        seen = self.run_tool("consume", "s", "m", "--until-caught-up").out.splitlines()
        self.assertEqual(seen, ['{"id":"k%d","price":%d}' % (i, i) for i in range(4)] + ["hello", "", '{"price":99'])
        self.assertEqual(filters("update", "s", "m", "--batch", 5), patterns, "as they are")
        self.assertEqual(filters("update", "s", "m", *given(patterns[3:])), patterns[3:], "in place of all")
        self.run_tool("mapping", "seek", "s", "m", "--from", "trim-horizon")
        self.assertEqual(len(self.run_tool("consume", "s", "m", "--until-caught-up").out.splitlines()), 4)
        wrong = [patterns[0], '{"data":{"a":1}}']
        for act in (["create", "s", "x", "--from", "latest"], ["update", "s", "m"]):
            done = self.run_tool("mapping", *act, *given(wrong), expect=2)
            self.assertIn('Event pattern is not valid. Reason: "a" must be an object or an array', done.err)
            many = ['{"data":{"price":[%d]}}' % i for i in range(10)]
            done = self.run_tool("mapping", *act, *given([*many, patterns[4]]), expect=2)
            self.assertIn("--filter comes more than 10 times", done.err)
        self.assertEqual(filters("update", "s", "m", *given(many)), many)
        self.assertEqual(filters("update", "s", "m", "--reset", "filter"), [])
        self.run_tool("mapping", "describe", "s", "x", expect=3)

    def test_a_provisioned_stream_is_waited_for_or_not(self):
        self.make("s", "--mode", "provisioned", "--reads-per-second", 1)
        self.run_tool("put", "s", "-k", "k", stdin=b"a\nb\n")
        everything = '{"partitionKey":["k"]}'
        self.assertEqual(self.counts(everything)[1]["read"], 2)
        done = self.run_tool("filter", "s", everything, "--no-retry", expect=5)
        self.assertIn("its limit of 1 reads/s is reached", done.err)


@unittest.skipIf(CAN_READ, "this build reads JSON")
class WithoutJson(Store):
    def test_it_says_so(self):
        self.make()
        self.assertIn("built without JSON", self.run_tool("filter", "s", '{"a":[1]}', expect=1).err)


if __name__ == "__main__":
    unittest.main()
