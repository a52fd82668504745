#!/usr/bin/env python3
"""lstream alert: rules of a stream, and running them: what fires is a line, or is handed to a program.

    test_alert.py LSTREAM JSON [unittest options]        JSON is `true` when the tool can read JSON
"""

import json
import os
import random
import signal
import subprocess
import sys
import unittest

from store import LSTREAM, Store, is_emulated

CAN_READ = sys.argv.pop(1) == "true"


class Alert(Store):
    def severities(self, *numbers):
        records = "".join('{"Severity": %d}\n' % n for n in numbers).encode()
        self.run_tool("put", "s", "--key", "k", stdin=records)

    def run_rules(self, *arguments, expect=0):
        done = self.run_tool("alert", "run", "s", "m", "--until-caught-up", "--from", "trim-horizon", *arguments,
                             expect=expect)
        return done, [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]

    def describe(self, name):
        return json.loads(self.run_tool("alert", "describe", "s", name, "--json").out)


class Rules(Alert):
    def test_a_rule_is_created_listed_described_and_deleted(self):
        self.make("s")
        self.assertEqual(self.run_tool("alert", "create", "s", "puts", "--metric", "libstream_put_records_total",
                                       "--labels", "stream=s,shard=", "--rate", "--when", ">= 1.5", "--count", 2,
                                       "--window-ms", 1000, "--cooldown-ms", 5, "--observed-min", 7).out, "")
        is_ = self.describe("puts")
        self.assertEqual({k: is_[k] for k in ("name", "state", "metric", "labels", "rate", "comparison", "threshold",
                                              "count", "window_ms", "cooldown_ms", "observed_min", "last_fired_us")},
                         {"name": "puts", "state": "quiet", "metric": "libstream_put_records_total",
                          "labels": {"stream": "s", "shard": ""}, "rate": True, "comparison": ">=", "threshold": 1.5,
                          "count": 2, "window_ms": 1000, "cooldown_ms": 5, "observed_min": 7, "last_fired_us": None})
        self.assertIn("rate of libstream_put_records_total{stream=s,shard=} >= 1.5",
                      self.run_tool("alert", "describe", "s", "puts").out)
        self.assertEqual([a["name"] for a in json.loads(self.run_tool("alert", "list", "s", "--json").out)["alerts"]],
                         ["puts"])
        self.assertIn("quiet", self.run_tool("alert", "list", "s").out)
        self.run_tool("alert", "create", "s", "puts", "--metric", "m", "--when", "> 1", expect=6)
        self.assertEqual(self.run_tool("alert", "delete", "s", "puts", "--json").out, '{"deleted":"puts"}\n')
        self.run_tool("alert", "delete", "s", "puts", expect=3)
        self.run_tool("alert", "describe", "s", "puts", expect=3)
        self.assertEqual(json.loads(self.run_tool("alert", "list", "s", "--json").out), {"alerts": []})

    def test_what_cannot_be_meant_is_exit_code_2(self):
        self.make("s")
        for arguments, word in [
                (("create", "s", "a", "--metric", "m"), "--when"),
                (("create", "s", "a", "--when", "> 1"), "--field or --metric"),
                (("create", "s", "a", "--metric", "m", "--field", "f", "--when", "> 1"), "one of the two"),
                (("create", "s", "a", "--metric", "m", "--when", "about 3"), "--when"),
                (("create", "s", "a", "--metric", "m", "--when", "> 3x"), "--when"),
                (("create", "s", "a", "--metric", "m", "--when", ">"), "--when"),
                (("create", "s", "a", "--field", "m", "--when", '= "open'), "--when"),
                (("create", "s", "a", "--field", "m", "--when", '> "open"'), "comparison"),
                (("create", "s", "a", "--metric", "m", "--labels", "a", "--when", "> 3"), "--labels"),
                (("create", "s", "a", "--metric", "m", "--from", "latest", "--when", "> 3"), "--from"),
                (("run", "s", "a", "--from", "at:3"), "--from"),
                (("run", "s", "a", "--count", 3), "--count"),
                (("describe", "s", "a", "more"), "one argument too many"),
                (("crate", "s", "a"), "did you mean")]:
            self.assertIn(word, self.run_tool("alert", *arguments, expect=2).err)

    def test_help_is_of_80_columns(self):
        for line in self.run_tool("alert", "--help").out.splitlines():
            self.assertLessEqual(len(line), 80, line)


@unittest.skipUnless(CAN_READ, "built without JSON")
class Running(Alert):
    def test_an_alert_is_a_line_once_for_a_window(self):
        self.make("s")
        self.run_tool("alert", "create", "s", "severe", "--field", "Severity", "--when", "> 3", "--window-ms", 86400000)
        self.severities(1, 2, 4, 4)
        done, alerts = self.run_rules()
        self.assertEqual(len(alerts), 1)
        fields = ("kind", "alert", "stream", "value", "count", "shard", "first_shard")
        self.assertEqual({k: alerts[0][k] for k in fields},
                         {"kind": "fired", "alert": "severe", "stream": "s", "value": 4, "count": 1, "shard": 0,
                          "first_shard": 0})
        self.assertEqual(alerts[0]["seqno"], alerts[0]["first_seqno"])
        self.assertEqual(alerts[0]["window_end_us"] - alerts[0]["window_start_us"], 86400000000)
        self.severities(4)
        self.assertEqual(self.run_rules()[1], [])
        self.assertEqual(self.describe("severe")["passed"], 3)
        self.assertEqual(self.describe("severe")["state"], "fired")

    def test_a_rule_that_cannot_fire_says_so(self):
        self.make("s")
        self.run_tool("alert", "create", "s", "seed", "--field", "Severity", "--when", "> 4", "--observed-min", 5)
        self.severities(1, 2, 3, 4, 4)
        alerts = self.run_rules()[1]
        self.assertEqual(alerts, [{"kind": "cannot-fire", "alert": "seed", "stream": "s", "observed": 5, "values": 5,
                                   "least": 1, "greatest": 4}])
        self.assertIn("cannot-fire", self.run_tool("alert", "list", "s").out)
        self.assertIn("It cannot fire", self.run_tool("alert", "describe", "s", "seed").out)

    def test_a_text_and_a_metric(self):
        self.make("s")
        self.run_tool("alert", "create", "s", "open", "--field", "door.state", "--when", '= "open"')
        self.run_tool("alert", "create", "s", "puts", "--metric", "libstream_put_records_total", "--labels", "stream=s",
                      "--when", "!= 0")
        self.run_tool("put", "s", "--key", "k", stdin=b'{"door": {"state": "open"}}\n')
        done, alerts = self.run_rules()
        self.assertEqual(sorted(a["alert"] for a in alerts), ["open", "puts"])
        self.assertEqual([a["seqno"] is None for a in sorted(alerts, key=lambda a: a["alert"])], [False, True])

    def test_a_program_gets_the_alert_and_one_that_fails_gets_it_again(self):
        self.make("s")
        self.run_tool("alert", "create", "s", "severe", "--field", "Severity", "--when", "> 3")
        self.severities(4)
        seen = os.path.join(self.folder, "seen")
        script = ("import os, sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n');"
                  "sys.exit(len(open(sys.argv[1]).readlines()) < 3)")
        done, _ = self.run_rules("--", sys.executable, "-c", script, seen)
        with open(seen) as lines:
            told = [json.loads(line) for line in lines]
        self.assertEqual(len(told), 3)
        self.assertEqual(told[0], told[2])
        self.assertIn("ended with 1", done.err)
        self.assertEqual(self.describe("severe")["fired"], 1)

    def test_what_a_program_leaves_behind_is_not_waited_for(self):
        self.make("s")
        self.run_tool("alert", "create", "s", "severe", "--field", "Severity", "--when", "> 3")
        self.severities(4)
        self.leaves_behind(self.run_rules)

    @unittest.skipIf(is_emulated(), "spawning tells nobody here that there is no such program")
    def test_a_program_that_is_not_there_ends_the_run(self):
        self.make("s")
        self.run_tool("alert", "create", "s", "severe", "--field", "Severity", "--when", "> 3")
        self.severities(4)
        done, _ = self.run_rules("--", "/no/such/program", expect=1)
        self.assertIn("cannot run /no/such/program", done.err)
        self.assertEqual(len(self.run_rules()[1]), 1)  # Nobody was told before.

    def test_a_mapping_whose_batches_are_not_in_order_is_refused(self):
        self.make("s")
        self.run_tool("mapping", "create", "s", "lanes", "--from", "trim-horizon", "--lanes", 2)
        self.run_tool("mapping", "create", "s", "windows", "--from", "trim-horizon", "--tumbling", 2)
        self.assertIn("several lanes", self.run_tool("alert", "run", "s", "lanes", expect=2).err)
        self.assertIn("windows", self.run_tool("alert", "run", "s", "windows", expect=2).err)
        self.run_tool("alert", "run", "s", "none", expect=3)

    def test_killed_at_any_moment_no_window_is_missed_and_few_come_twice(self):
        self.make("s")
        self.run_tool("alert", "create", "s", "severe", "--field", "Severity", "--when", "> 3", "--window-ms", 10)
        for _ in range(12):
            self.severities(1, 4, 4)
        arrivals = [json.loads(line) for line in self.run_tool("get", "s", "--json").out.splitlines()]
        wanted = sorted({a["arrival_us"] // 10000 * 10000 for a in arrivals if a["data"].endswith("4}")})
        told = os.path.join(self.folder, "told")
        arguments = ["alert", "run", "s", "m", "--until-caught-up", "--from", "trim-horizon", "--", "sh", "-c",
                     "line=$(cat); printf '%%s\\n' \"$line\" >> '%s'" % told]  # It dies with the run: in one write.
        seed = random.randrange(1 << 30)
        dice, kills = random.Random(seed), 0
        for _ in range(6):
            run = subprocess.Popen([LSTREAM, *arguments], env={**os.environ, "LIBSTREAM_STORE": self.store})
            try:
                run.wait(timeout=dice.uniform(0, 0.03))
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
                kills += 1
        self.run_tool(*arguments)
        with open(told) as lines:
            starts = [json.loads(line)["window_start_us"] for line in lines if line.endswith("}\n")]
        self.assertEqual(sorted(set(starts)), wanted, "seed %d" % seed)
        self.assertLessEqual(len(starts) - len(wanted), kills, "seed %d" % seed)
        self.assertEqual(self.describe("severe")["passed"], 24, "seed %d" % seed)
        self.assertEqual(self.describe("severe")["fired"], len(wanted), "seed %d" % seed)

    def test_metrics_are_looked_at_until_a_signal_comes(self):
        self.make("s")
        self.run_tool("alert", "create", "s", "build", "--metric", "libstream_build_info", "--when", "= 1",
                      "--window-ms", 50)
        run = subprocess.Popen([LSTREAM, "alert", "run", "s", "m", "--from", "latest", "--interval-ms", "20"],
                               stdout=subprocess.PIPE, env={**os.environ, "LIBSTREAM_STORE": self.store})
        try:
            starts = [json.loads(run.stdout.readline())["window_start_us"] for _ in range(3)]
            self.assertEqual(starts, sorted(set(starts)))
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=30)
            self.assertEqual(run.returncode, 130)
        finally:
            run.kill()
            run.wait()


if __name__ == "__main__":
    unittest.main()
