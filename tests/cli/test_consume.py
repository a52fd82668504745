#!/usr/bin/env python3
"""lstream consume: batches that are printed, and programs that are handlers.

    test_consume.py LSTREAM JSON [unittest options]        JSON is `true` when the tool can read JSON
"""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

from store import LSTREAM, Store, is_emulated

CAN_READ = sys.argv.pop(1) == "true"

# A handler that keeps what it was given, a line per batch, and fails the records of which it is told.
HANDLER = """
import base64, json, os, sys
event = json.load(sys.stdin)
data = [base64.b64decode(r["kinesis"]["data"]).decode() for r in event["Records"]]
with open(os.environ["SEEN"], "a") as seen:
    seen.write(json.dumps({**event, "data": data}) + "\\n")
bad = [r["kinesis"]["sequenceNumber"] for r, d in zip(event["Records"], data) if d in os.environ.get("BAD", "").split()]
answer = {"batchItemFailures": [{"itemIdentifier": n} for n in bad]}
if "window" in event:
    answer["state"] = {"sum": event["state"].get("sum", 0) + len(data)}
print(os.environ.get("ANSWER", json.dumps(answer)))
sys.exit(int(os.environ.get("CODE", "0")))
"""


class Consumer(Store):
    def setUp(self):
        super().setUp()
        self.seen_path = os.path.join(self.folder, "seen")

    def fill(self, *settings, records=b"0\n1\n2\n3\n4\n5\n", shards=1):
        self.make("s", "--shards", shards)
        self.run_tool("mapping", "create", "s", "m", "--from", "trim-horizon", *settings)
        self.run_tool("put", "s", "--key", "k", stdin=records)

    def consume(self, *arguments, expect=0, **env):
        return self.run_tool("consume", "s", "m", "--until-caught-up", *arguments, expect=expect,
                             env={"SEEN": self.seen_path, **env})

    def last_result(self):
        return json.loads(self.run_tool("mapping", "describe", "s", "m", "--json").out)["last_result"]

    def wait_for(self, invocations):
        """Until HANDLER was run so often, and what it answered last was stored."""
        end = time.monotonic() + 30
        while time.monotonic() < end and (not os.path.exists(self.seen_path) or self.count_seen() < invocations or
                                          self.behind() != 0):
            time.sleep(0.05)
        self.assertGreaterEqual(self.count_seen(), invocations)

    def count_seen(self):
        with open(self.seen_path) as seen:
            return len(seen.readlines())

    def behind(self):
        return sum(lease["millis_behind_latest"] or 0 for lease in self.leases())

    def leases(self):
        return json.loads(self.run_tool("leases", "s", "m", "--json").out)["leases"]

    def update(self, *settings, records):
        """What was put then is worked on with the new settings alone."""
        self.run_tool("mapping", "pause", "s", "m")
        while any(lease["owner"] for lease in self.leases()):
            time.sleep(0.05)
        self.run_tool("mapping", "update", "s", "m", *settings)
        self.run_tool("put", "s", "--key", "k", stdin=records)
        self.run_tool("mapping", "resume", "s", "m")

    def handle(self, *arguments, **named):
        """Runs HANDLER for each batch: what it printed, and what it saw."""
        if os.path.exists(self.seen_path):
            os.remove(self.seen_path)
        done = self.consume(*arguments, "--", sys.executable, "-c", HANDLER, **named)
        if not os.path.exists(self.seen_path):
            return done, []
        with open(self.seen_path) as seen:
            return done, [json.loads(line) for line in seen]


class Consuming(Consumer):
    def test_batches_are_printed_once(self):
        self.fill()
        self.assertEqual(self.last_result(), "none")
        self.assertEqual(self.consume().out.splitlines(), list("012345"))
        self.assertEqual(self.last_result(), "ok")
        self.assertEqual(self.consume().out, "")
        self.run_tool("put", "s", "--key", "k", stdin=b"6\n")
        told = [json.loads(line) for line in self.consume("--json").out.splitlines()]
        self.assertEqual([(r["key"], r["data"]) for r in told], [("k", "6")])

    def test_a_program_gets_the_event_document(self):
        self.fill("--batch", 4)
        done, seen = self.handle()
        self.assertEqual([batch["data"] for batch in seen], [list("0123"), list("45")])
        record = seen[0]["Records"][0]
        self.assertEqual(record["eventName"], "aws:kinesis:record")
        self.assertEqual(record["kinesis"]["partitionKey"], "k")
        self.assertEqual(len(record["kinesis"]["sequenceNumber"]), 56)
        self.assertEqual(record["eventID"], "shardId-000000000000:" + record["kinesis"]["sequenceNumber"])
        self.assertEqual(len(done.out.splitlines()), 2, "what it prints is the command's output")
        self.assertEqual(self.handle()[1], [], "and it is finished")

    def test_a_program_gets_lines(self):
        self.fill("--batch", 4)
        self.assertEqual(self.consume("--lines", "--", "sed", "s/^/x/;$s/$/!/").out.split(),
                         ["x0", "x1", "x2", "x3!", "x4", "x5!"])
        self.assertEqual(self.consume("--lines", "--", "cat").out, "")

    def test_a_program_that_reads_nothing_or_much_is_fed(self):
        lines = b"".join(b"%07d%s\n" % (i, b"x" * 993) for i in range(500))
        self.fill("--batch", 1000, records=lines)
        self.assertEqual(self.consume("--lines", "--", "cat").out.encode(), lines)
        self.run_tool("mapping", "seek", "s", "m", "--from", "trim-horizon")
        self.assertEqual(self.consume("--lines", "--", "true").out, "")
        self.assertEqual(self.consume("--lines", "--", "cat").out, "")

    def test_a_document_is_no_longer_than_lambda_s(self):
        self.fill(records=b"x" * 1000000 + b"\n", shards=1)
        for _ in range(5):
            self.run_tool("put", "s", "--key", "k", stdin=b"x" * 1000000 + b"\n")
        sizes = [int(line) for line in self.consume("--", "wc", "-c").out.split()]
        self.assertEqual(len(sizes), 2)
        self.assertLess(max(sizes), 6291456)
        self.assertEqual(len(self.consume("--lines", "--", "wc", "-c").out.split()), 0)  # All is handled.
        self.run_tool("mapping", "seek", "s", "m", "--from", "trim-horizon")
        self.assertEqual(self.consume("--lines", "--", "wc", "-c").out.split(), [str(6 * 1000001)])

    def test_an_exit_code_fails_the_batch(self):
        self.fill("--retries", 1)
        done, seen = self.handle(CODE="3")
        self.assertEqual(len(seen), 2)
        self.assertEqual(done.err.count("attempt"), 2, done.err)
        self.assertIn("attempt 2: %s ended with 3" % sys.executable, done.err)
        self.assertIn("shard 0: 1..6 are given up: retries are over", done.err)
        self.assertIn("last       failed", self.run_tool("mapping", "describe", "s", "m").out)

    def test_a_shard_that_has_ended_tells_of_no_failure(self):
        self.fill("--retries", 0)
        self.handle(CODE="1")
        self.run_tool("split", "s", 0)
        self.consume()
        self.assertEqual(self.last_result(), "failed", "it is still the last one")
        self.run_tool("put", "s", "--key", "k", stdin=b"6\n")
        self.consume()
        self.assertEqual(self.last_result(), "ok")

    def test_what_is_given_up_goes_to_the_failure_stream(self):
        self.make("dead")
        self.fill("--retries", 0, "--failures", "dead")
        self.assertIn("failures   to stream dead", self.run_tool("mapping", "describe", "s", "m").out)
        self.handle(CODE="1")
        reports = [json.loads(line) for line in self.lines("dead")]
        self.assertEqual([len(r["payload"]["Records"]) for r in reports], [6])
        self.assertEqual(reports[0]["KinesisBatchInfo"]["streamArn"],
                         "arn:aws:kinesis:us-east-1:000000000000:stream/s")

    def test_an_empty_line_says_that_all_is_done(self):
        self.fill("--report-failures")
        self.assertEqual(self.consume("--", "echo").err, "")
        self.assertEqual(self.last_result(), "ok")

    def test_a_program_that_is_killed_has_failed(self):
        self.fill("--retries", 0)
        self.assertIn("sh was ended by signal 9", self.consume("--", "sh", "-c", "kill -9 $$").err)

    def test_a_program_whose_time_is_over_is_killed_with_what_it_began(self):
        self.fill("--retries", 0, "--timeout-ms", 200)
        began = time.monotonic()
        self.assertIn("took too long", self.consume("--", "sh", "-c", "sleep 50 & sleep 50").err)
        self.assertLess(time.monotonic() - began, 20)

    def test_what_a_program_leaves_behind_is_not_waited_for(self):
        self.fill()
        self.leaves_behind(self.consume)

    def test_a_program_does_not_outlive_the_run(self):
        self.fill("--timeout-ms", 60000)
        program = "echo $$ >%s.new; mv %s.new %s; exec sleep 60" % ((self.seen_path,) * 3)
        with subprocess.Popen([LSTREAM, "consume", "s", "m", "-s", self.store, "--", "sh", "-c", program]) as tool:
            while not os.path.exists(self.seen_path):
                time.sleep(0.05)
            tool.kill()
        with open(self.seen_path) as seen:
            program = int(seen.read())
        end = time.monotonic() + 20
        while self.runs(program) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertFalse(self.runs(program))

    def runs(self, process):
        """Not so one that nobody has waited for."""
        try:
            with open("/proc/%d/stat" % process) as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
        except FileNotFoundError:
            return False

    def test_what_a_program_opens_is_no_standard_file(self):
        """Where the tool was begun without them, neither it nor the program opens anything in their place."""
        program = "import os, sys; sys.stdin.read(); print(os.open('/', 0), file=open(%r, 'a'))" % self.seen_path
        for closed in ((0,), (1,), (2,), (0, 1), (0, 1, 2)):
            with self.subTest(closed=closed):
                self.store = os.path.join(self.folder, "store-%d-%d" % (closed[0], len(closed)))
                self.fill()
                self.assertEqual(0, subprocess.run(
                    [LSTREAM, "consume", "s", "m", "--lines", "--until-caught-up", "-s", self.store, "--",
                     sys.executable, "-c", program], timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, preexec_fn=lambda: [os.close(fd) for fd in closed]).returncode)
                with open(self.seen_path) as seen:
                    self.assertTrue(all(int(line) > 2 for line in seen), "what it opened is a standard file")

    @unittest.skipIf(is_emulated(), "spawning tells nobody here that there is no such program")
    def test_a_program_that_is_not_there_ends_the_run(self):
        self.fill()
        self.assertIn("/no/such: No such file", self.consume("--", "/no/such", expect=1).err)
        self.assertEqual(self.consume().out.splitlines(), list("012345"), "its batch comes again")

    def test_a_signal_ends_the_run_in_order(self):
        self.fill()
        program = "sleep 1; cat >/dev/null; echo whole"
        with subprocess.Popen([LSTREAM, "consume", "s", "m", "--lines", "-s", self.store, "--", "sh", "-c", program],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as tool:
            time.sleep(0.5)
            os.killpg(tool.pid, signal.SIGINT)
            out, err = tool.communicate(timeout=30)
        self.assertEqual((tool.returncode, out, err), (128 + signal.SIGINT, b"whole\n", b""))
        self.assertEqual(self.consume().out, "", "what it had begun was finished")

    def test_a_reader_that_went_away_ends_the_run(self):
        self.fill()
        done = subprocess.run("%s consume s m -s %s | head -1" % (LSTREAM, self.store), shell=True, timeout=30,
                              capture_output=True, check=True)
        self.assertEqual((done.stdout, done.stderr), (b"0\n", b""))

    def test_several_shards_and_lanes_print_whole_lines(self):
        records = [b"%d %s\n" % (i, b"y" * 300) for i in range(2000)]
        self.make("s", "--shards", 3)
        self.run_tool("mapping", "create", "s", "m", "--from", "trim-horizon", "--lanes", 4)
        for i in range(20):
            self.run_tool("put", "s", "--key", "k%d" % i, stdin=b"".join(records[i * 100:i * 100 + 100]))
        self.assertEqual(sorted(self.consume().stdout.splitlines(True)), sorted(records))

    def test_refusals(self):
        self.fill()
        self.assertIn("--lines is for a COMMAND", self.consume("--lines", expect=2).err)
        self.assertIn("--json", self.consume("--json", "--", "cat", expect=2).err)
        self.run_tool("consume", "s", expect=2)
        self.assertIn("'x'", self.run_tool("consume", "s", "x", expect=3).err)
        self.run_tool("consume", "t", "m", expect=3)


@unittest.skipUnless(CAN_READ, "this build reads no JSON")
class Answering(Consumer):
    def test_reported_records_are_retried_alone(self):
        self.fill("--report-failures", "--retries", 1)
        done, seen = self.handle(BAD="4")
        self.assertEqual([batch["data"] for batch in seen], [list("012345"), list("45"), list("45")])
        self.assertEqual(done.out, "", "the document is an answer, and no output")

    def test_settings_that_change_meanwhile_say_whose_answer_counts(self):
        self.fill(records=b"0\n")
        with subprocess.Popen([LSTREAM, "consume", "s", "m", "-s", self.store, "--", sys.executable, "-c", HANDLER],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, "SEEN": self.seen_path, "BAD": "1"}) as tool:
            try:
                self.wait_for(1)
                self.update("--report-failures", "--retries", 1, records=b"1\n")
                self.wait_for(3)
                self.update("--reset", "report-failures", records=b"2\n")
                self.wait_for(4)
            finally:
                tool.terminate()
            out, err = tool.communicate(timeout=30)
        with open(self.seen_path) as seen:
            self.assertEqual([json.loads(line)["data"] for line in seen], [["0"], ["1"], ["1"], ["2"]])
        self.assertEqual(out.splitlines(), [b'{"batchItemFailures": []}'] * 2, "of the first, and of the last")
        self.assertIn(b"are given up: retries are over", err)

    def test_an_answer_that_is_none_fails_the_batch(self):
        self.fill("--report-failures", "--retries", 0)
        done, seen = self.handle(ANSWER="done!")
        self.assertEqual(len(seen), 1)
        self.assertIn("returned what is no answer", done.err)

    def test_an_empty_answer_is_a_success(self):
        self.fill("--report-failures")
        self.assertEqual(self.consume("--lines", "--", "true").err, "")
        self.assertEqual(self.consume("--lines", "--", "cat").out, "")

    def test_too_long_an_answer_fails_the_batch(self):
        self.fill("--report-failures", "--retries", 0)
        self.assertIn("returned more than 6291456 bytes", self.consume("--", "cat", "/dev/zero").err)

    def test_output_that_is_left_to_others_is_waited_for_asleep(self):
        self.fill("--report-failures", "--timeout-ms", 60000)
        with subprocess.Popen([LSTREAM, "consume", "s", "m", "--until-caught-up", "-s", self.store, "--", "sh", "-c",
                               "sleep 5 & echo '{}'; : >%s" % self.seen_path], stderr=subprocess.DEVNULL) as tool:
            while not os.path.exists(self.seen_path):
                time.sleep(0.05)
            time.sleep(0.3)
            switches = self.switches(tool.pid)
            time.sleep(2)
            self.assertIsNone(tool.poll(), "the answer is not whole before everybody has closed it")
            switches = self.switches(tool.pid) - switches
            self.assertEqual(tool.wait(30), 0)
        # It looks 20 times a second; who never sleeps has no such switches at all.
        self.assertGreater(switches, 5)

    def switches(self, process):
        """How often the thread that waits for the program went to sleep by itself."""
        return max(self.switches_of("/proc/%d/task/%s/status" % (process, thread))
                   for thread in os.listdir("/proc/%d/task" % process) if self.is_handler(process, thread))

    def is_handler(self, process, thread):
        with open("/proc/%d/task/%s/comm" % (process, thread)) as name:
            return name.read() == "ls-map\n"

    def switches_of(self, path):
        with open(path) as status:
            return next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))

    def test_a_window_gets_its_state(self):
        self.fill("--tumbling", 1, "--batch", 2)
        seen = self.handle()[1]
        time.sleep(1.2)
        self.run_tool("put", "s", "--key", "k", stdin=b"6\n")
        seen += self.handle()[1]
        self.assertEqual(seen[0]["state"], {})
        finals = [batch for batch in seen if batch["isFinalInvokeForWindow"]]
        self.assertEqual(sum(batch["state"]["sum"] for batch in finals), 6)


if __name__ == "__main__":
    unittest.main()
