#!/usr/bin/env python3
"""lstream as somebody at a terminal, or a script, sees it: every command's good case, its errors and exit codes, JSON,
80 columns.

    test_cli.py LSTREAM LEASE_TOOL [unittest options]
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

LEASE_TOOL = os.path.abspath(sys.argv.pop(2))

from store import LSTREAM, Store, is_emulated  # noqa: E402  (it takes the first argument)

COMMANDS = ["create", "delete", "retention", "mode", "limits", "tag", "encrypt", "decrypt", "compress", "list",
            "describe", "shards", "split", "merge", "scale", "consumers", "leases", "mapping", "consume", "delivery",
            "alert", "put", "get", "tail", "filter", "status", "metrics", "dump", "verify", "repair", "maintain",
            "backup", "apply", "version", "help"]


class Commands(Store):
    def test_help_of_every_command_fits_80_columns(self):
        for command in COMMANDS:
            by_option = self.run_tool(command, "--help").out
            self.assertEqual(by_option, self.run_tool("help", command).out)
            self.assertIn("Usage: lstream " + command, by_option)
            for line in by_option.splitlines():
                self.assertLessEqual(len(line), 80, line)
            told = json.loads(self.run_tool("help", command, "--json").out)
            self.assertEqual(told, json.loads(self.run_tool(command, "--help", "--json").out))
            self.assertEqual(told, json.loads(self.run_tool(command, "--json", "--help").out))
            self.assertEqual(told["name"], command)
            self.assertIn(told["help"], by_option)
            for option in told["options"]:
                self.assertIn("--" + option["name"] + (" " + option["value"] if "value" in option else ""), by_option)
        text = self.run_tool("help").out
        for line in text.splitlines():
            self.assertLessEqual(len(line), 80, line)
        for command in COMMANDS:
            self.assertIn("\n  " + command, text)
        self.assertIn("Exit codes:", text)
        self.assertEqual([c["name"] for c in json.loads(self.run_tool("help", "--json").out)["commands"]], COMMANDS)

    def test_a_misspelled_command_or_option_is_guessed(self):
        self.assertIn("did you mean 'create'", self.run_tool("craete", "x", expect=2).err)
        self.assertIn("did you mean 'verify'", self.run_tool("help", "verfy", expect=2).err)
        self.assertIn("did you mean '--shards'", self.run_tool("create", "x", "--shard5", expect=2).err)
        self.assertNotIn("did you mean", self.run_tool("xyzzy", expect=2).err)
        self.run_tool(expect=2)

    def test_a_command_line_that_cannot_be_meant_is_exit_2(self):
        for arguments in (["create"], ["create", "a", "b"], ["create", "a", "--shards"],
                          ["create", "a", "--shards", "0"],
                          ["create", "a", "--shards", "x"], ["create", "a", "--mode", "fast"], ["list", "--json=1"],
                          ["put", "a"], ["put", "a", "--key", "k", "--key-field", "f"],
                          ["put", "a", "--key", ""], ["put", "a", "--key", 257 * "\u00e9"],
                          ["create", "a", "-s", "memory:"], ["get", "a", "--from", "now"],
                          ["put", "a", "--key", "k", "--explicit-hash-key", "-1"],
                          ["create", "a", "--durability", "none"],
                          ["tail", "a", "--from", "at:5"], ["create", "a/b"], ["-s", "x", "list"], ["split", "a"],
                          ["split", "a", "x"], ["split", "a", "-1"], ["split", "a", "0", "--at", str(2**128)],
                          ["merge", "a", "0"], ["merge", "a", "0", "shardId-"], ["scale", "a", "0"],
                          ["scale", "a", "65537"],
                          ["scale", "a", "2x"], ["shards", "a", "--filter", "open"],
                          ["shards", "a", "--filter", "at:soon"],
                          ["shards", "a", "--filter", "after:"], ["consumers", "register", "a"],
                          ["consumers", "list", "a", "b"], ["consumers", "registr", "a", "b"],
                          ["consumers", "a"]):
            self.run_tool(*arguments, expect=2)
        self.assertIn("which store", self.run_tool("list", expect=2, env={"LIBSTREAM_STORE": ""}).err)

    def test_what_a_killed_deleter_left_is_removed(self):
        """Its bytes come back by any command that opens the store for writing, and by `maintain` at once."""
        self.make("kept")
        for command, tries in (["maintain"], 1), (["list"], 100):  # A piece of 10 ms each, however busy the machine is.
            self.make("gone", "--shards", 4)
            self.run_tool("put", "gone", "--key", "k", stdin=b"x" * 100000 + b"\n")
            directory = os.path.join(self.store, max(filter(str.isdigit, os.listdir(self.store)), key=int))
            shutil.copytree(directory, directory + ".left")
            self.run_tool("delete", "gone")
            os.rename(directory + ".left", directory)
            os.unlink(os.path.join(directory, "0", "segments"))  # He had begun.
            self.assertIn("named by nothing", self.run_tool("verify", "--notes").out)
            while os.path.exists(directory) and tries > 0:
                self.run_tool(*command)
                tries -= 1
            self.assertFalse(os.path.exists(directory))
        self.assertEqual(json.loads(self.run_tool("maintain", "--json", "--timeout", 10000).out), {"maintained": True})

    def test_create_list_describe_delete(self):
        self.run_tool("create", "b", "--shards", 3, "--retention-hours=48", "--mode", "provisioned",
                      "--record-bytes-max", "64K", "--segment-bytes", "128K", "--durability", "kernel")
        self.assertEqual(json.loads(self.run_tool("create", "a", "--json").out), {"created": "a"})
        self.assertIn("'a'", self.run_tool("create", "a", expect=6).err)
        self.assertEqual(self.run_tool("list").out, "a\nb\n")
        self.assertEqual(json.loads(self.run_tool("list", "--json").out), {"streams": ["a", "b"]})
        told = json.loads(self.run_tool("describe", "b", "--json").out)
        self.assertEqual((told["name"], told["retention_hours"], told["mode"], told["record_bytes_max"],
                          told["durability"], len(told["shards"])), ("b", 48, "provisioned", 65536, "kernel", 3))
        self.assertEqual(told["shards"][0]["first_hash_key"], "0")
        self.assertEqual(told["shards"][2]["last_hash_key"], str(2**128 - 1))
        for line in self.run_tool("describe", "b").out.splitlines():
            self.assertLessEqual(len(line), 80)
        self.assertEqual(json.loads(self.run_tool("delete", "b", "--json").out), {"deleted": "b"})
        self.run_tool("delete", "b", expect=3)
        self.run_tool("describe", "b", expect=3)
        self.assertEqual(self.run_tool("list", "-s", self.store).out, "a\n")

    def key_file(self, name, byte):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write("%02x" % byte * 32 + "\n")
        os.chmod(path, 0o600)
        return path

    def test_encrypt_change_the_key_and_decrypt(self):
        keys = os.path.join(self.folder, "keys")
        os.mkdir(keys, 0o700)
        one, two = self.key_file("keys/one", 1), self.key_file("keys/two", 2)
        self.make()
        if "without encryption" in subprocess.run([LSTREAM, "encrypt", "s", "--key-id", "one", "--key-file", one],
                                                  env={**os.environ, "LIBSTREAM_STORE": self.store},
                                                  capture_output=True, text=True).stderr:
            self.skipTest("built without encryption")
        self.run_tool("encrypt", "s", "--key-file", one, expect=2)
        self.assertIn("--key-file", self.run_tool("encrypt", "s", "--key-id", "one", expect=2).err)
        self.run_tool("put", "s", "--key", "SecretKey", "--key-file", one, stdin=b"SecretOne\n")
        self.assertIn("'one'", self.run_tool("put", "s", "--key", "k", stdin=b"x\n", expect=1).err)
        self.assertIn("--key-file", self.run_tool("get", "s", expect=1).err)
        self.assertEqual(json.loads(self.run_tool("encrypt", "s", "--key-id", "two", "--key-file", keys, "--json").out),
                         {"encrypted": "s"})
        self.run_tool("put", "s", "--key", "SecretKey", stdin=b"SecretTwo\n", env={"LIBSTREAM_KEY_FILE": keys})
        self.assertEqual(json.loads(self.run_tool("describe", "s", "--json").out)["encryption_key_id"], "two")
        self.assertIn("encrypted     key two", self.run_tool("describe", "s").out)
        self.assertEqual(self.lines("s", "--key-file", keys), ["SecretOne", "SecretTwo"])
        got = self.run_tool("get", "s", "--key-file", one, expect=1)
        self.assertEqual(got.out, "SecretOne\n")
        self.assertIn("is not the one that was used", got.err)
        self.run_tool("verify")
        dumped = self.run_tool("dump", self.shard_file("00000003.seg")).out
        self.assertIn("encrypted with key 'two'", dumped)
        self.assertIn("nonce", dumped)
        for folder, _, names in os.walk(self.store):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    self.assertNotIn(b"Secret", file.read(), name)
        self.assertEqual(json.loads(self.run_tool("decrypt", "s", "--json").out), {"decrypted": "s"})
        self.run_tool("put", "s", "--key", "k", stdin=b"plain\n")
        self.assertEqual(self.lines("s", "--key-file", keys), ["SecretOne", "SecretTwo", "plain"])
        os.chmod(one, 0o640)
        self.assertIn("chmod 600", self.run_tool("get", "s", "--key-file", one, expect=1).err)

    def test_retention(self):
        self.make("s", "--retention-bytes", "1G")
        self.assertEqual(self.run_tool("retention", "s").out, "24 h, at most 1.0 GiB\n")
        self.assertEqual(json.loads(self.run_tool("retention", "s", 48, "--json").out),
                         {"retention_hours": 48, "retention_bytes": 1 << 30})
        self.assertEqual(self.run_tool("retention", "s", 1, "--no-bytes").out, "1 h\n")
        self.assertEqual(json.loads(self.run_tool("retention", "s", "--bytes", "64M", "--json").out),
                         {"retention_hours": 1, "retention_bytes": 64 << 20})
        self.assertIn("retention     1 h, at most 64.0 MiB\n", self.run_tool("describe", "s").out)
        told = json.loads(self.run_tool("describe", "s", "--json").out)
        self.assertEqual((told["retention_hours"], told["retention_bytes"]), (1, 64 << 20))
        for wrong in ["0", "8761", "1h", "-1", ""]:
            self.run_tool("retention", "s", "--", wrong, expect=2)
        self.run_tool("retention", "s", "--bytes", "1M", "--no-bytes", expect=2)
        self.run_tool("retention", "t", expect=3)
        self.assertEqual(self.run_tool("retention", "s").out, "1 h, at most 64.0 MiB\n")

    def test_mode(self):
        self.make()
        self.assertEqual(self.run_tool("mode", "s").out, "on-demand\n")
        self.assertEqual(json.loads(self.run_tool("mode", "s", "provisioned", "--json").out), {"mode": "provisioned"})
        self.assertIn("mode          provisioned", self.run_tool("describe", "s").out)
        self.assertIn("'fast' is no mode", self.run_tool("mode", "s", "fast", expect=2).err)
        self.assertEqual(self.run_tool("mode", "s", "on-demand").out, "on-demand\n")

    def test_limits(self):
        self.make()
        usual = {"write_bytes_per_second": 1 << 20, "write_records_per_second": 1000,
                 "read_bytes_per_second": 2 << 20, "read_calls_per_second": 5}
        self.assertEqual(json.loads(self.run_tool("limits", "s", "--json").out), usual)
        self.assertIn("but not while it is on-demand", self.run_tool("limits", "s").out)
        self.run_tool("mode", "s", "provisioned")
        self.assertEqual(self.run_tool("limits", "s", "--write-records-per-second", 7,
                                       "--read-bytes-per-second", "3M").out,
                         "limits        a shard takes 1.0 MiB and 7 records a second\n"
                         "              and gives 3.0 MiB in 5 reads\n")
        told = json.loads(self.run_tool("describe", "s", "--json").out)["limits"]
        self.assertEqual(told, {**usual, "write_records_per_second": 7, "read_bytes_per_second": 3 << 20})
        told = json.loads(self.run_tool("limits", "s", "--kinesis", "--reads-per-second", 6, "--json").out)
        self.assertEqual(told, {**usual, "read_calls_per_second": 6})
        self.run_tool("limits", "s", "--write-bytes-per-second", 1023, expect=2)
        self.run_tool("limits", "t", expect=3)

    def test_tag(self):
        self.make()
        self.assertEqual(self.run_tool("tag", "s").out, "")
        self.assertEqual(self.run_tool("tag", "s", "team=a b", "cost=", "eq=1=2").out, "cost=\neq=1=2\nteam=a b\n")
        self.assertEqual(json.loads(self.run_tool("tag", "s", "team=c", "--json").out),
                         {"tags": {"cost": "", "eq": "1=2", "team": "c"}})
        self.assertEqual(self.run_tool("tag", "s", "--remove", "cost", "none").out, "eq=1=2\nteam=c\n")
        self.assertIn("'team' is no tag", self.run_tool("tag", "s", "team", expect=2).err)
        self.assertIn("reserved", self.run_tool("tag", "s", "aws:x=1", expect=2).err)
        self.run_tool("tag", "s", "--remove", expect=2)
        self.assertEqual(json.loads(self.run_tool("tag", "s", "--json").out), {"tags": {"eq": "1=2", "team": "c"}})

    def test_compress(self):
        self.make()
        self.assertEqual(json.loads(self.run_tool("compress", "s", "--json").out), {"compressed": "s"})
        self.assertIn("compressed    zstd", self.run_tool("describe", "s").out)
        self.run_tool("put", "s", "--key", "k", stdin=b"the same again\n" * 5000)
        self.assertEqual(self.lines(), ["the same again"] * 5000)
        dumped = self.run_tool("dump", self.shard_file("00000002.seg")).out
        self.assertIn("compressed: plain it has", dumped)
        self.assertTrue('seqno 5000 key 1 "k" data 14' in dumped)
        self.run_tool("verify")
        self.run_tool("compress", "s", "--off")
        self.assertEqual(json.loads(self.run_tool("describe", "s", "--json").out)["compression"], "none")

    def test_compress_sealed(self):
        self.make("s", "--segment-bytes", "64K")
        lines = "".join("{\"number\": %d, \"town\": \"somewhere\"}\n" % i for i in range(9000))
        self.run_tool("put", "s", "--key", "k", stdin=lines.encode())
        segment = os.path.join(self.store, "1", "0", "00000001.seg")
        before = os.path.getsize(segment)
        self.assertGreater(json.loads(self.run_tool("compress", "s", "--sealed", "--json").out)["saved_bytes"], 60000)
        self.assertLess(os.path.getsize(segment), before / 2)
        self.assertEqual(self.run_tool("compress", "s", "--sealed").out, "0 B less\n")
        self.assertEqual(self.run_tool("get", "s", "--from", "trim-horizon").out, lines)
        self.assertEqual(self.run_tool("get", "s", "--from", "TRIM_HORIZON").out, lines)
        self.run_tool("verify")
        dumped = self.run_tool("dump", segment).out
        self.assertIn("the file is in blocks", dumped)
        self.assertIn("seqno 1 key 1", dumped)
        self.assertIn("recompressed", self.run_tool("dump", os.path.join(self.store, "1", "0", "segments")).out)
        self.assertEqual(self.run_tool("compress", "s", "--upkeep", "on").out, "")
        self.assertTrue(json.loads(self.run_tool("describe", "s", "--json").out)["recompression"])
        self.assertIn("recompressed  by upkeep", self.run_tool("describe", "s").out)
        self.run_tool("compress", "s", "--upkeep", "off")
        self.assertFalse(json.loads(self.run_tool("describe", "s", "--json").out)["recompression"])
        self.run_tool("compress", "s", "--upkeep", "maybe", expect=2)
        self.run_tool("compress", "s", "--off", "--sealed", expect=2)

    def test_what_trimming_took_is_shown(self):
        self.make("s", "--segment-bytes", "64K")
        self.assertNotIn("cut ", self.run_tool("describe", "s").out)
        lines = "".join("%08d %s\n" % (i, "x" * 90) for i in range(3000))
        self.run_tool("put", "s", "--key", "k", stdin=lines.encode())
        self.run_tool("retention", "s", 24, "--bytes", "64K")
        self.run_tool("maintain")
        oldest = json.loads(self.run_tool("describe", "s", "--json").out)["shards"][0]["oldest_seqno"]
        self.assertGreater(oldest, 1000)
        self.run_tool("get", "s", "--shard", 0, "--from", "at:1")
        told = json.loads(self.run_tool("describe", "s", "--json").out)["cuts"]
        self.assertEqual((told["count"], told["records"], told["bytes"], told["lag_ms"]), (1, oldest - 1, 0, 0))
        self.assertLess(abs(told["last_us"] / 1e6 - time.time()), 60)
        self.assertIn("up to %d records " % (oldest - 1), self.run_tool("describe", "s").out)
        stream = json.loads(self.run_tool("status", "--json").out)["streams"][0]
        self.assertEqual((stream["cuts"], stream["cut_records"], stream["cut_bytes"], stream["cut_lag_ms"]),
                         (1, oldest - 1, 0, 0))
        self.assertIn("up to %d records " % (oldest - 1), self.run_tool("status").out)

    def test_leases(self):
        self.run_tool("create", "s")
        self.assertIn("'g'", self.run_tool("leases", "s", "g", expect=3).err)
        self.assertIn("'t'", self.run_tool("leases", "t", "g", expect=3).err)
        self.run_tool("leases", "s", expect=2)
        self.run_tool("leases", "s", "a b", expect=2)

    def test_leases_of_children_that_wait(self):
        self.run_tool("create", "s")
        self.run_tool("mapping", "create", "s", "m", "--from", "trim-horizon")
        self.run_tool("put", "s", "--key", "k", stdin=b"a\n")
        self.run_tool("split", "s", "0")
        self.run_tool("put", "s", "--key", "k", stdin=b"b\nc\n")
        lines = [line.split() for line in self.run_tool("leases", "s", "m").out.splitlines()[1:]]
        self.assertEqual([line[:2] for line in lines], [["0", "not"], ["1", "waiting"], ["2", "waiting"]])
        leases = json.loads(self.run_tool("leases", "s", "m", "--json").out)["leases"]
        self.assertEqual([lease["state"] for lease in leases], ["not begun", "waiting", "waiting"])
        lag = [line for line in self.run_tool("metrics").out.splitlines()
               if line.startswith("libstream_consumer_lag_records{")]
        self.assertEqual(sorted(float(line.split()[-1]) for line in lag), [0, 1, 2])

    def test_leases_that_a_worker_left(self):
        self.run_tool("create", "s")
        self.run_tool("put", "s", "--key", "k", stdin=b"a\nb\n")
        subprocess.run([LEASE_TOOL, self.store, "s", "g", "ann", "2", "file 7"], check=True, timeout=60)
        line, more = self.run_tool("leases", "s", "g").out.splitlines()[1:]
        self.assertEqual(line.split()[:3], ["0", "begun", "1"])
        self.assertTrue(line.endswith(" ann (gone)"), line)
        self.assertEqual(more.split(), ["prepared:", "2,", "with", "6", "bytes"])
        lease, = json.loads(self.run_tool("leases", "s", "g", "--json").out)["leases"]
        self.assertEqual(lease["pending"], {"seqno": 2, "sub_seqno": None, "state_base64": "ZmlsZSA3"})
        subprocess.run([LEASE_TOOL, self.store, "s", "g", "bob", "0", ""], check=True, timeout=60)
        self.assertEqual(len(self.run_tool("leases", "s", "g").out.splitlines()), 2)
        lease, = json.loads(self.run_tool("leases", "s", "g", "--json").out)["leases"]
        self.assertEqual((lease["seqno"], lease["pending"], lease["owner"]), (1, None, "bob"))

    def test_metrics(self):
        self.run_tool("create", "s")
        self.run_tool("put", "s", "--key", "k", stdin=b"a\nb\nc\n")
        line = 'libstream_put_records_total{stream="s",shard="shardId-000000000000"} 3\n'
        self.assertIn(line, self.run_tool("metrics").out)
        samples = json.loads(self.run_tool("metrics", "--json").out)["metrics"]
        put = [m for m in samples if m["name"] == "libstream_put_records_total"]
        self.assertEqual(put, [{"name": "libstream_put_records_total", "type": "counter", "value": 3,
                                "labels": {"stream": "s", "shard": "shardId-000000000000"},
                                "cloudwatch_name": "IncomingRecords", "cloudwatch_unit": "Count",
                                "cloudwatch_scale": 1}])
        for sample in samples:
            if sample["type"] == "histogram":
                self.assertEqual(len(sample["buckets"]), len(sample["bounds"]) + 1)
                self.assertEqual(sample["buckets"][-1], sample["count"])
        path = os.path.join(self.folder, "x.prom")
        self.assertEqual(self.run_tool("metrics", "--file", path).out, "")
        with open(path, encoding="utf-8") as file:
            self.assertIn(line, file.read())
        self.run_tool("metrics", "--file", path, "--json", expect=2)
        self.run_tool("metrics", "--every", "0", expect=2)
        self.run_tool("metrics", "s", expect=2)

    def test_metrics_without_a_reader_end(self):
        self.run_tool("create", "s")
        with subprocess.Popen([LSTREAM, "metrics", "-s", self.store, "--every", "60"], stdout=subprocess.PIPE) as tool:
            self.assertTrue(tool.stdout.readline())
            tool.stdout.close()
            try:
                self.assertEqual(tool.wait(timeout=20), 0)
            finally:
                tool.kill()
        with open("/dev/full", "wb") as full:
            done = subprocess.run([LSTREAM, "metrics", "-s", self.store, "--every", "60"], stdout=full,
                                  stderr=subprocess.PIPE, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output: No space left", done.stderr)

    def test_a_file_of_metrics_that_cannot_be_written_is_tried_again(self):
        self.run_tool("create", "s")
        folder = os.path.join(self.folder, "away")
        tool = subprocess.Popen([LSTREAM, "metrics", "-s", self.store, "--every", "1", "--file", folder + "/x.prom"],
                                stderr=subprocess.PIPE)
        try:
            self.assertIn(b"No such file", tool.stderr.readline())
            os.mkdir(folder)
            until = time.time() + 30
            while not os.path.exists(folder + "/x.prom") and time.time() < until and tool.poll() is None:
                time.sleep(0.05)
            self.assertTrue(os.path.exists(folder + "/x.prom"))
        finally:
            tool.send_signal(signal.SIGTERM)
            self.assertEqual(tool.wait(timeout=30), 128 + signal.SIGTERM)
            tool.stderr.close()

    def test_metrics_again_and_again(self):
        self.run_tool("create", "s")
        path = os.path.join(self.folder, "x.prom")
        tool = subprocess.Popen([LSTREAM, "metrics", "-s", self.store, "--every", "1", "--file", path])
        try:
            for wanted in ("", " 2\n"):
                until = time.time() + 30
                while time.time() < until:
                    if os.path.exists(path):
                        with open(path, encoding="utf-8") as file:
                            if 'put_records_total{stream="s",shard="shardId-000000000000"}' + wanted in file.read():
                                break
                    time.sleep(0.05)
                else:
                    self.fail("nothing was written")
                self.run_tool("put", "s", "--key", "k", stdin=b"a\nb\n") if wanted == "" else None
        finally:
            tool.send_signal(signal.SIGTERM)
            self.assertEqual(tool.wait(timeout=30), 128 + signal.SIGTERM)

    def test_consumers(self):
        def names():
            return [c["name"] for c in json.loads(self.run_tool("consumers", "list", "s", "--json").out)["consumers"]]

        self.run_tool("create", "s")
        self.assertEqual(names(), [])
        before = time.time()
        made = json.loads(self.run_tool("consumers", "register", "s", "b", "--json").out)
        self.assertEqual((made["name"], made["id"], made["status"]), ("b", 1, "active"))
        self.assertTrue(before - 2 < made["created_us"] / 1e6 < time.time() + 2)
        self.assertIn(" a\n", self.run_tool("consumers", "register", "s", "a").out)
        self.assertEqual(names(), ["a", "b"])
        lines = self.run_tool("consumers", "list", "s").out.splitlines()
        self.assertEqual([line.split()[-1] for line in lines], ["NAME", "a", "b"])
        self.assertEqual(lines[1].index(" a"), lines[0].index(" NAME"))
        self.assertEqual(json.loads(self.run_tool("consumers", "describe", "s", "b", "--json").out), made)
        self.assertIn("'b'", self.run_tool("consumers", "register", "s", "b", expect=6).err)
        self.assertIn("did you mean 'register'", self.run_tool("consumers", "registr", "s", "c", expect=2).err)
        self.assertIn("2 registered consumers", self.run_tool("delete", "s", expect=6).err)
        self.assertEqual(json.loads(self.run_tool("consumers", "deregister", "s", "a", "--json").out),
                         {"deregistered": "a"})
        self.assertEqual(self.run_tool("consumers", "deregister", "s", "b").out, "")
        self.assertIn("'b'", self.run_tool("consumers", "deregister", "s", "b", expect=3).err)
        self.run_tool("consumers", "describe", "s", "b", expect=3)
        self.run_tool("consumers", "list", "t", expect=3)
        self.run_tool("consumers", "register", "s", "a b", expect=2)
        self.assertEqual(names(), [])
        for i in range(20):
            self.run_tool("consumers", "register", "s", "c%d" % i)
        self.assertIn("20", self.run_tool("consumers", "register", "s", "d", expect=6).err)
        self.assertIn("consumer 22 'c19'", self.run_tool("dump", os.path.join(self.store, "manifest")).out)
        self.run_tool("delete", "s", "--with-consumers")
        self.run_tool("consumers", "list", "s", expect=3)

    def test_mappings(self):
        def names():
            return [m["name"] for m in json.loads(self.run_tool("mapping", "list", "s", "--json").out)["mappings"]]

        self.run_tool("create", "s")
        self.assertEqual(names(), [])
        made = json.loads(self.run_tool("mapping", "create", "s", "b", "--from", "latest", "--json").out)
        self.assertEqual((made["name"], made["status"], made["from"]), ("b", "enabled", "latest"))
        self.assertEqual((made["batch"], made["batch_bytes"], made["window_ms"], made["lanes"], made["retries"],
                          made["record_age_s"], made["tumbling_s"], made["timeout_ms"], made["bisect"],
                          made["report_failures"], made["exactly_once"], made["filters"]),
                         (100, 6291456, 0, 1, None, None, 0, 3000, False, False, False, []))
        self.run_tool("consumers", "register", "s", "fast")
        self.assertEqual(self.run_tool("mapping", "create", "s", "a", "--from", "trim-horizon", "--batch", 7,
                                       "--batch-bytes", "1M", "--window-ms", 20, "--lanes", 1, "--retries", 0,
                                       "--record-age", 60, "--tumbling", 5, "--timeout-ms", 9, "--bisect",
                                       "--report-failures", "--exactly-once", "--consumer", "fast").out, "")
        self.assertEqual(names(), ["a", "b"])
        is_a = json.loads(self.run_tool("mapping", "describe", "s", "a", "--json").out)
        self.assertIsNone(is_a["failures"])
        self.assertEqual((is_a["consumer"], made["consumer"]), ("fast", None))
        self.assertEqual((is_a["batch"], is_a["batch_bytes"], is_a["window_ms"], is_a["lanes"], is_a["retries"],
                          is_a["record_age_s"], is_a["tumbling_s"], is_a["timeout_ms"], is_a["bisect"],
                          is_a["report_failures"], is_a["exactly_once"]), (7, 1 << 20, 20, 1, 0, 60, 5, 9, True, True, True))
        text = self.run_tool("mapping", "describe", "s", "a").out
        for line in ("batch      7 records, 1048576 bytes, filled for 20 ms\n", "retries    0\n",
                     "age        up to 60 s\n", "windows    of 5 s\n", "timeout    9 ms\n", "bisects\n",
                     "takes reports of failures\n", "puts exactly once\n", "reads      as consumer fast\n"):
            self.assertIn(line, text)
        lines = self.run_tool("mapping", "list", "s").out.splitlines()
        self.assertEqual([line.split()[-1] for line in lines], ["NAME", "a", "b"])
        self.assertEqual(lines[1].index(" a"), lines[0].index(" NAME"))
        own = json.loads(self.run_tool("mapping", "create", "s", "d", "--from", "latest", "--report-failures",
                                       "--discard-failed-only", "--document-bytes", "--json").out)
        self.assertEqual((own["discard_failed_only"], own["document_bytes"]), (True, True))
        self.assertEqual((made["discard_failed_only"], made["document_bytes"]), (False, False))
        text = self.run_tool("mapping", "describe", "s", "d").out
        for line in (" bytes of document, filled", "gives up what was reported alone\n"):
            self.assertIn(line, text)
        self.run_tool("mapping", "delete", "s", "d")
        self.assertIn("needs --report-failures", self.run_tool("mapping", "create", "s", "d", "--from", "latest",
                                                               "--discard-failed-only", expect=2).err)
        self.assertIn("'b'", self.run_tool("mapping", "create", "s", "b", "--from", "latest", expect=6).err)
        self.assertEqual(json.loads(self.run_tool("mapping", "pause", "s", "b", "--json").out)["status"], "disabled")
        self.assertEqual(json.loads(self.run_tool("mapping", "resume", "s", "b", "--json").out)["status"], "enabled")
        moved = json.loads(self.run_tool("mapping", "seek", "s", "b", "--from", "time:1000.5", "--json").out)
        self.assertEqual((moved["from"], moved["from_us"]), ("time", 1000500000))
        self.assertIn("needs --from", self.run_tool("mapping", "create", "s", "c", expect=2).err)
        self.run_tool("mapping", "create", "s", "c", "--from", "at:1", expect=2)
        self.run_tool("mapping", "create", "s", "c", "--from", "time:2200-01-01T00:00:00Z", expect=2)
        self.assertIn("takes no --batch", self.run_tool("mapping", "pause", "s", "b", "--batch", 1, expect=2).err)
        self.assertIn("did you mean 'create'", self.run_tool("mapping", "creat", "s", "c", expect=2).err)
        self.run_tool("mapping", "create", "s", "a b", "--from", "latest", expect=2)
        self.run_tool("mapping", "delete", "s", expect=2)
        self.run_tool("mapping", "list", "s", "b", expect=2)
        self.run_tool("mapping", "create", "s", "c", "--from", "latest", "--lanes", 2, "--tumbling", 1, expect=2)
        self.assertEqual(json.loads(self.run_tool("mapping", "delete", "s", "a", "--json").out), {"deleted": "a"})
        self.assertEqual(self.run_tool("mapping", "delete", "s", "b").out, "")
        for act in ("delete", "describe", "pause", "resume"):
            self.assertIn("'b'", self.run_tool("mapping", act, "s", "b", expect=3).err)
        self.run_tool("mapping", "list", "t", expect=3)

    def test_settings_of_a_mapping_are_changed_one_by_one(self):
        def told(*arguments):
            return json.loads(self.run_tool("mapping", *arguments, "--json").out)

        self.run_tool("create", "s")
        self.run_tool("create", "dead")
        self.run_tool("consumers", "register", "s", "fast")
        before = told("create", "s", "m", "--from", "latest", "--batch", 7, "--retries", 0, "--bisect")
        self.assertEqual(told("update", "s", "m")["batch"], 7)
        self.assertEqual(self.run_tool("mapping", "update", "s", "m", "--batch", 9).out, "")
        after = told("describe", "s", "m")
        self.assertGreater(after["modified_us"], before["modified_us"])
        self.assertEqual({**after, "modified_us": 0}, {**before, "batch": 9, "modified_us": 0})
        settings = {"batch_bytes": ("--batch-bytes", 4096), "window_ms": ("--window-ms", 3), "retries": ("--retries", 2),
                    "record_age_s": ("--record-age", 60), "tumbling_s": ("--tumbling", 4),
                    "timeout_ms": ("--timeout-ms", 8), "failures": ("--failures", "dead"),
                    "consumer": ("--consumer", "fast"), "report_failures": ("--report-failures",),
                    "discard_failed_only": ("--discard-failed-only",), "document_bytes": ("--document-bytes",),
                    "exactly_once": ("--exactly-once",), "deaggregate": ("--deaggregate",)}
        expected = {**after, "modified_us": 0}
        for name, option in settings.items():
            expected[name] = option[1] if len(option) > 1 else True
            self.assertEqual({**told("update", "s", "m", *option), "modified_us": 0}, expected)
        help_text = self.run_tool("mapping", "--help").out
        for name in after:
            self.assertIn(f'"{name}"', help_text)
        plain = told("create", "s", "plain", "--from", "latest")
        names = ["batch", "retries", "bisect", "batch-bytes", "window-ms", "record-age", "tumbling", "timeout-ms",
                 "failures", "consumer", "discard-failed-only", "report-failures", "document-bytes", "exactly-once",
                 "deaggregate"]
        reset = told("update", "s", "m", *[word for name in names for word in ("--reset", name)])
        for name in [*settings, "batch", "bisect"]:
            self.assertEqual(reset[name], plain[name], name)
        self.assertEqual(told("update", "s", "m", "--lanes", 3)["lanes"], 3)
        self.assertEqual(told("update", "s", "m", "--reset", "lanes", "--tumbling", 1)["lanes"], 1)
        self.assertIn("lane_count 2", self.run_tool("mapping", "update", "s", "m", "--lanes", 2, expect=2).err)
        self.assertIn("--reset is 'from'", self.run_tool("mapping", "update", "s", "m", "--reset", "from",
                                                         expect=2).err)
        self.assertIn("takes no --from", self.run_tool("mapping", "update", "s", "m", "--from", "latest",
                                                       expect=2).err)
        self.assertIn("takes no --reset", self.run_tool("mapping", "create", "s", "x", "--from", "latest", "--reset",
                                                        "batch", expect=2).err)
        self.assertIn("'none'", self.run_tool("mapping", "update", "s", "m", "--consumer", "none", expect=3).err)
        self.assertIn("'x'", self.run_tool("mapping", "update", "s", "x", "--batch", 1, expect=3).err)
        self.assertEqual(told("describe", "s", "m")["lanes"], 1)

    def shards(self, *options):
        return [shard["shard"] for shard in json.loads(self.run_tool("shards", "s", "--json", *options).out)["shards"]]

    def test_split_merge_scale_and_shards(self):
        self.make()
        self.run_tool("put", "s", "--key", "k", stdin=b"a\nb\n")
        self.assertEqual(json.loads(self.run_tool("split", "s", "0", "--json").out),
                         {"split": 0, "lower": 1, "upper": 2})
        self.assertIn("0 has been merged or split", self.run_tool("split", "s", "0", expect=6).err)
        self.assertEqual(self.run_tool("split", "s", "shardId-000000000002", "--at", hex(3 << 126)).out,
                         "shard 2 is closed; its keys are those of 3 and 4 now\n")
        self.run_tool("split", "s", "3", "--at", "5", expect=2)
        self.run_tool("split", "s", "9", expect=3)
        self.run_tool("merge", "s", "3", "1", expect=2)
        self.assertEqual(json.loads(self.run_tool("merge", "s", 1, 3, "--json").out), {"merged": [1, 3], "child": 5})
        self.assertEqual(self.run_tool("merge", "s", 5, 4).out,
                         "shards 5 and 4 are closed; their keys are those of 6 now\n")
        self.assertEqual(self.shards(), [0, 1, 2, 3, 4, 5, 6])
        self.assertEqual(self.shards("--filter", "at-latest"), [6])
        self.assertEqual(self.shards("--filter", "at-trim-horizon"), [0])
        self.assertEqual(self.shards("--filter", "after:4"), [5, 6])
        self.assertEqual(self.shards("--filter", "at:1"), [0])
        self.assertEqual(self.shards("--filter", "from:%.6f" % time.time()), [6])
        refused = self.run_tool("shards", "s", "--filter", "at:2200-01-01T00:00:00Z", expect=2)
        self.assertEqual(refused.out, "")  # no heading of a list that there is none of
        self.assertEqual(json.loads(self.run_tool("scale", "s", 4, "--json").out), {"open_shards": 4})
        self.run_tool("scale", "s", 9, "--kinesis-limits", expect=2)
        self.assertEqual(self.run_tool("scale", "s", 8, "--kinesis-limits").out,
                         "stream 's' has 8 open shards of equal width\n")
        told = json.loads(self.run_tool("describe", "s", "--json").out)["shards"]
        self.assertEqual(sum(shard["open"] for shard in told), 8)
        self.assertEqual((told[5]["parent"], told[5]["adjacent_parent"], told[0]["parent"]), (1, 3, None))
        self.assertGreater(told[1]["starting_seqno"], told[0]["ending_seqno"])
        self.assertGreaterEqual(told[0]["closed_us"], told[0]["latest_arrival_us"])
        self.assertGreater(told[0]["stored_bytes"], 0)
        self.assertIsNone(told[6]["oldest_arrival_us"])
        self.assertEqual(self.lines("s", "--shard", 0), ["a", "b"])
        self.assertEqual(self.lines("s"), ["a", "b"])

    def test_automatic_scaling_is_set_and_shown(self):
        self.make("s", "--shards", 2)
        usual = {"hot_percent": 80, "hot_seconds": 60, "cold_percent": 25, "cold_seconds": 900, "shards_min": 1,
                 "shards_max": 200}

        def described():
            return json.loads(self.run_tool("describe", "s", "--json").out)["auto_scaling"]
        self.assertIsNone(described())
        self.assertNotIn("auto scaling", self.run_tool("describe", "s").out)
        self.assertEqual(json.loads(self.run_tool("scale", "s", "--auto", "on", "--json").out), {"auto_scaling": usual})
        self.assertEqual(described(), usual)
        self.assertEqual(self.run_tool("scale", "s", "--auto", "on", "--hot-percent", 120, "--hot-seconds", 7,
                                       "--cold-percent", 30, "--cold-seconds", 8, "--shards-min", 2,
                                       "--shards-max", 9).out,
                         "auto scaling  splits above 120 % for 7 s, up to 9 shards\n"
                         "              merges below 30 % for 8 s, down to 2 shards\n")
        self.assertIn("splits above 120 % for 7 s", self.run_tool("describe", "s").out)
        self.assertIn("scaled automatically: above 120 % for 7 s",
                      self.run_tool("dump", os.path.join(self.store, "manifest")).out)
        self.run_tool("mode", "s", "provisioned")
        self.assertIn("not while provisioned", self.run_tool("describe", "s").out)
        self.assertIn("hot_percent", self.run_tool("scale", "s", "--auto", "on", "--hot-percent", 20, expect=2).err)
        self.assertEqual(described()["hot_percent"], 120)
        self.assertEqual(self.run_tool("scale", "s", "--auto", "off").out, "auto scaling  off\n")
        self.assertEqual(json.loads(self.run_tool("scale", "s", "--auto", "off", "--json").out), {"auto_scaling": None})
        self.assertIsNone(described())
        for wrong in (["s"], ["s", 2, "--auto", "on"], ["s", "--auto", "maybe"],
                      ["s", "--auto", "off", "--hot-percent", 9],
                      ["s", 2, "--shards-max", 4], ["s", "--auto", "on", "--kinesis-limits"],
                      ["s", "--auto", "on", "--shards-max", 65537]):
            self.run_tool("scale", *wrong, expect=2)

    def test_describe_draws_ranges_and_lineage(self):
        self.make("s", "--shards", 2)
        self.run_tool("put", "s", "--key", "k", "--explicit-hash-key", "0", stdin=b"x" * 100 + b"\n")
        self.run_tool("put", "s", "--key", "k", "--explicit-hash-key", str(1 << 127), stdin=(b"y" * 90000 + b"\n") * 9)
        self.run_tool("split", "s", 1)
        self.run_tool("merge", "s", 0, 2)
        text = self.run_tool("describe", "s").out
        for line in text.splitlines():
            self.assertLessEqual(len(line), 80)
        picture = text[text.index("SHARD FROM"):].splitlines()
        self.assertEqual([line[:51] for line in picture[1:]],
                         ["    0 -           |" + "." * 16 + " " * 16,
                          "    1 -           |" + " " * 16 + "@" * 16,
                          "    2 1           |" + " " * 16 + "." * 8 + " " * 8,
                          "    3 1           [" + " " * 24 + "." * 8,
                          "    4 0+2         [" + "." * 24 + " " * 8])
        self.assertRegex(picture[2], r" 791\.[0-9] KiB +791\.[0-9] KiB/s$")

    def test_all_names_are_listed_beyond_one_page(self):
        self.make("x", "--durability", "kernel")
        names = ["n%04d" % i for i in range(30)]
        for name in names:
            self.make(name)
        self.assertEqual(self.run_tool("list").out.split(), names + ["x"])

    def test_a_store_that_is_not_there_is_exit_3_and_is_not_made(self):
        for command in (["list"], ["describe", "s"], ["get", "s"], ["verify"], ["repair"], ["status"], ["delete", "s"],
                        ["put", "s", "--key", "k"], ["dump", self.store + "/manifest"]):
            self.run_tool(*command, expect=3)
        self.assertFalse(os.path.exists(self.store))
        os.mkdir(self.store)
        self.run_tool("verify", expect=3)
        self.run_tool("list", expect=3)

    def test_version(self):
        told = json.loads(self.run_tool("version", "--json").out)
        self.assertEqual(told["version"], told["library"])
        self.assertIn(told["version"], self.run_tool("version").out)
        self.assertEqual([w for w in ("json", "crypto") if w in told["features"].split()], told["features"].split())

    def test_dump_of_what_is_no_file_of_a_store_says_what_it_is(self):
        self.make()
        self.assertIn("'%s' is not a regular file" % self.store, self.run_tool("dump", self.store, expect=2).err)
        fifo, link, text, large = [os.path.join(self.folder, name) for name in ("fifo", "link", "text", "manifest")]
        os.mkfifo(fifo)
        os.symlink(os.path.join(self.store, "manifest"), link)
        with open(text, "w", encoding="ascii") as file:
            file.write("none of ours")
        with open(large, "wb") as file:
            file.truncate(1 << 30)
        self.assertIn("'%s' is not a regular file" % fifo, self.run_tool("dump", fifo, expect=2).err)
        self.assertIn("'%s' is, or lies behind, a symbolic link" % link, self.run_tool("dump", link, expect=2).err)
        self.assertIn("'%s': neither its" % text, self.run_tool("dump", text, expect=2).err)
        self.assertIn("'%s' is larger than 67108864 bytes" % large, self.run_tool("dump", large, expect=4).err)
        self.assertIn("there is no such file", self.run_tool("dump", self.store + "/none", expect=3).err)

    @unittest.skipIf(is_emulated(), "the compiler at hand is for another machine")
    def test_a_network_file_system_is_used_when_asked_for(self):
        """Method: a library before libc's says that every file system is NFS."""
        source, library = os.path.join(self.folder, "nfs.c"), os.path.join(self.folder, "nfs.so")
        with open(source, "w", encoding="ascii") as file:
            file.write("#include <string.h>\n#include <sys/vfs.h>\n#undef fstatfs64\n"
                       "int fstatfs64(int fd, struct statfs64 *out)\n"
                       "{ (void)fd; memset(out, 0, sizeof *out); out->f_type = 0x6969; return 0; }\n"
                       "int fstatfs(int fd, struct statfs *out)\n"
                       "{ (void)fd; memset(out, 0, sizeof *out); out->f_type = 0x6969; return 0; }\n")
        subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", source, "-o", library], check=True)
        nfs = {"LD_PRELOAD": library, "ASAN_OPTIONS": "verify_asan_link_order=0"}
        self.make()
        for command in (["create", "t"], ["put", "s", "--key", "k"], ["get", "s"], ["list"], ["describe", "s"],
                        ["tail", "s", "--timeout", 1], ["verify"], ["repair"], ["maintain"], ["delete", "s"]):
            self.assertIn("network file system", self.run_tool(*command, expect=1, env=nfs, stdin=b"a\n").err)
            self.run_tool(*command, "--network-fs", env=nfs, stdin=b"a\n")

    def test_a_backup_is_a_store_and_takes_what_is_new(self):
        copy = self.store + ".copy"
        self.make("s")
        self.run_tool("put", "s", "--key", "k", stdin=b"a\nb\n")
        self.assertRegex(self.run_tool("backup", copy).out, "^copied [0-9.]+ KiB into .* in [0-9.]+ s\n$")
        self.run_tool("put", "s", "--key", "k", stdin=b"c\n")
        told = json.loads(self.run_tool("backup", copy, "--json").out)
        self.assertGreater(told["copied_bytes"], 0)
        self.assertEqual(self.run_tool("get", "-s", copy, "s").out.split(), ["a", "b", "c"])
        self.assertEqual(self.run_tool("backup", copy, "--quiet").out, "")
        self.run_tool("put", "-s", copy, "s", "--key", "k", stdin=b"d\n")
        self.assertIn("somebody wrote to it", self.run_tool("backup", copy, expect=6).err)


class Putting(Store):
    def test_lines_come_back_as_they_were(self):
        self.make()
        data = b"one\n\xff\xfe binary\n\ntab\there\nlast without end"
        self.assertIn("5 stored", self.run_tool("put", "s", "--key", "k", stdin=data).err)
        environment = dict(os.environ, LIBSTREAM_STORE=self.store)
        self.assertEqual(subprocess.run([LSTREAM, "get", "s"], env=environment, capture_output=True).stdout,
                         data + b"\n")
        records = [json.loads(line) for line in self.lines("s", "--json")]
        self.assertEqual([r["seqno"] for r in records], [1, 2, 3, 4, 5])
        self.assertEqual(records[0]["data"], "one")
        self.assertEqual(records[1]["data_base64"], "//4gYmluYXJ5")
        self.assertEqual({r["key"] for r in records}, {"k"})

    def test_a_file_is_put(self):
        self.make()
        path = os.path.join(self.folder, "input")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join("%d\n" % i for i in range(2000)))
        told = json.loads(self.run_tool("put", "s", path, "-k", "k", "--batch", "7", "--json").out)
        self.assertEqual((told["read"], told["stored"], told["refused"]), (2000, 2000, 0))
        self.assertEqual(self.lines(), [str(i) for i in range(2000)])
        self.run_tool("put", "s", path + ".none", "-k", "k", expect=3)

    def test_limits_of_a_provisioned_stream_are_waited_for(self):
        self.make("s", "--mode", "provisioned", "--write-records-per-second", 400, "--reads-per-second", 2, "--shards",
                  2)
        told = json.loads(self.run_tool("describe", "s", "--json").out)
        self.assertEqual(told["limits"], {"write_bytes_per_second": 1 << 20, "write_records_per_second": 400,
                                          "read_bytes_per_second": 2 << 20, "read_calls_per_second": 2})
        self.assertIn("takes 1.0 MiB and 400 records a second", self.run_tool("describe", "s").out)
        data = "".join('{"k":%d}\n' % i for i in range(1200)).encode()
        told = json.loads(self.run_tool("put", "s", "--key-field", "k", "--json", stdin=data).out)
        self.assertEqual((told["stored"], told["refused"]), (1200, 0))
        self.assertGreater(told["throttled_seconds"], 0)
        for shard in (0, 1):
            keys = [int(json.loads(line)["key"]) for line in self.lines("s", "--json", "--shard", shard)]
            self.assertEqual(keys, sorted(keys))
        self.assertEqual(len(self.lines()), 1200)
        data = "".join('{"k":%d}\n' % i for i in range(5000)).encode()
        done = self.run_tool("put", "s", "--key-field", "k", "--no-retry", stdin=data, expect=5)
        self.assertIn("its limit of 400 records/s in is reached: come again in", done.err)
        self.assertLess(len(self.lines()), 1200 + 5000)

    def test_get_can_give_up_at_a_limit(self):
        self.make("s", "--mode", "provisioned", "--reads-per-second", 1)
        self.run_tool("put", "s", "-k", "k", stdin=b"a\nb\n")
        done = self.run_tool("get", "s", "--no-retry", expect=5)
        self.assertEqual(done.out, "a\nb\n")
        self.assertIn("its limit of 1 reads/s is reached", done.err)
        self.assertEqual(self.lines(), ["a", "b"])

    def test_a_key_from_a_csv_column(self):
        self.make()
        csv = 'id,title\r\n1,"a, ""b""\nc"\r\n2,5" disk\r\n,none\r\n4\r\n'
        done = self.run_tool("put", "s", "--key-column", "title", stdin=csv.encode(), expect=1)
        self.assertIn("line 6: it has no column 2", done.err)
        records = [json.loads(line) for line in self.lines("s", "--json")]
        self.assertEqual([r["key"] for r in records], ['a, "b"\nc', '5" disk', "none"])
        self.assertEqual(records[0]["data"], '1,"a, ""b""\nc"')
        done = self.run_tool("put", "s", "--key-column", "1", "--header", "-d", ";", stdin=b"x;y\n;b\nk;v\n", expect=1)
        self.assertIn("line 2: its column 1, the key, is empty", done.err)
        self.assertEqual(json.loads(self.lines("s", "--json")[-1])["key"], "k")
        done = self.run_tool("put", "s", "--key-column", "1", stdin=b'k,v\n"x,1\ny,2\n', expect=1)
        self.assertIn("line 2: a quote is opened here and never closed", done.err)
        self.assertIn("1 stored", done.err)
        self.assertIn("no column 'nope'", self.run_tool("put", "s", "--key-column", "nope", stdin=b"a,b\n1,2\n",
                                                        expect=1).err)

    def test_a_key_from_a_json_field(self):
        self.make()
        done = self.run_tool("put", "s", "--key-field", "k", expect=1,
                             stdin=b'{"k":"a"}\n{"x":1}\nnot\n{"k":7}\n{"k":{}}\n{"k":true}\n{"k":null}\n')
        for line in (2, 5, 7):
            self.assertIn('line %d: it has no member "k" that is a text, a number or a boolean' % line, done.err)
        self.assertIn("line 3: it is no JSON object", done.err)
        self.assertIn("3 stored", done.err)
        self.assertEqual([json.loads(line)["key"] for line in self.lines("s", "--json")], ["a", "7", "true"])
        self.assertIn("a text, a number or a boolean", " ".join(self.run_tool("put", "--help").out.split()))

    def test_a_line_that_is_refused_is_told_and_the_others_are_stored(self):
        self.make("s", "--record-bytes-max", "1K")
        data = b"".join(b"%d\n" % i if i % 100 != 50 else b"x" * 2000 + b"\n" for i in range(1000))
        done = self.run_tool("put", "s", "-k", "k", stdin=data, expect=1)
        refused = [line for line in done.err.splitlines() if ": line " in line]
        self.assertEqual([int(line.split(": line ")[1].split(":")[0]) for line in refused], list(range(51, 1001, 100)))
        self.assertEqual(self.lines(), [str(i) for i in range(1000) if i % 100 != 50])
        self.run_tool("put", "s", "-k", "k" * 257, stdin=b"x\n", expect=2)
        done = self.run_tool("put", "s", "-k", "k", stdin=b"y" * (12 << 20) + b"\nshort\n", expect=1)
        self.assertIn("line 1: it is longer", done.err)
        self.assertEqual(self.lines()[-1], "short")

    def test_a_signal_ends_it_with_a_summary(self):
        self.make()
        environment = dict(os.environ, LIBSTREAM_STORE=self.store)
        for number in (signal.SIGINT, signal.SIGTERM):
            put = subprocess.Popen([LSTREAM, "put", "s", "-k", "k", "--json"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
            put.stdin.write(b"one\ntwo\nhalf of a")
            put.stdin.flush()
            had = len(self.lines())
            for _ in range(100):
                if len(self.lines()) == had + 2:
                    break
                time.sleep(0.05)
            put.send_signal(number)
            code, out, err = put.wait(20), put.stdout.read(), put.stderr.read()
            put.stdin.close(), put.stdout.close(), put.stderr.close()
            self.assertEqual((code, err), (128 + number, b"lstream: put: ended by a signal behind line 2\n"))
            told = json.loads(out)
            self.assertEqual((told["read"], told["stored"], told["refused"]), (2, 2, 0))
        self.assertEqual(self.lines(), ["one", "two"] * 2)

    def test_where_it_ends_is_told_in_few_lines(self):
        self.make("s", "--segment-bytes", "64K")
        data = b"".join(b"%d\n" % i for i in range(20000))
        limited = subprocess.run("ulimit -f 40; '%s' put s -k k --batch 5000" % LSTREAM, shell=True, input=data,
                                 executable="/bin/bash", env=dict(os.environ, LIBSTREAM_STORE=self.store),
                                 capture_output=True)
        said = limited.stderr.decode().splitlines()
        self.assertEqual(limited.returncode, 5, said)
        stored = len(self.lines())
        self.assertEqual(len(said), 4, said)
        self.assertIn("line %d: stream 's' shard 0: writing to" % (stored + 1), said[0])
        batch_end = stored - stored % 5000 + 5000
        self.assertEqual(said[2], "lstream: put: not stored either: lines %d-%d" % (stored + 2, batch_end))
        self.assertIn("%d stored" % stored, said[3])

    @unittest.skipUnless(shutil.which("strace"), "there is no strace")
    def test_a_failed_sync_is_told_with_what_is_true_and_what_to_do(self):
        self.make()
        environment = dict(os.environ, LIBSTREAM_STORE=self.store, ASAN_OPTIONS="detect_leaks=0")
        done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=2+",
                               LSTREAM, "put", "s", "-k", "k", "--batch", "1"], input=b"one\ntwo\nthree\n",
                              env=environment, capture_output=True)
        said = done.stderr.decode().splitlines()
        stored = self.lines()
        self.assertEqual(done.returncode, 1, said)
        self.assertIn("line %d may or may not be stored" % (len(stored) + 1), said[1])
        self.assertIn("`lstream verify`", said[2])
        said = self.run_tool("put", "s", "-k", "k", stdin=b"four\n", expect=1).err.splitlines()
        self.assertIn("nothing was written", said[0])
        self.assertIn("line 1 was not stored", said[1])
        self.assertIn("until `lstream repair`", self.run_tool("status").out)
        self.run_tool("repair")
        self.run_tool("put", "s", "-k", "k", stdin=b"four\n")
        self.assertEqual(self.lines(), stored + ["four"])

    def test_an_explicit_hash_key_chooses_the_shard(self):
        self.make("s", "--shards", 2)
        self.run_tool("put", "s", "-k", "k", "--explicit-hash-key", "0", stdin=b"low\n")
        self.run_tool("put", "s", "-k", "k", "--explicit-hash-key", "0x" + "f" * 32, stdin=b"high\n")
        self.assertEqual(self.lines("s", "--shard", 0), ["low"])
        self.assertEqual(self.lines("s", "--shard", 1), ["high"])
        self.assertEqual(json.loads(self.lines("s", "--shard", 1, "--json")[0])["explicit_hash_key"], str(2**128 - 1))

    def test_a_slow_pipe_is_not_held_back(self):
        self.make()
        environment = dict(os.environ, LIBSTREAM_STORE=self.store)
        with subprocess.Popen([LSTREAM, "put", "s", "-k", "k", "-q"], stdin=subprocess.PIPE, env=environment) as put:
            put.stdin.write(b"first\n")
            put.stdin.flush()
            for _ in range(100):
                if self.lines() == ["first"]:
                    break
                time.sleep(0.05)
            self.assertEqual(self.lines(), ["first"])
            put.stdin.close()
            self.assertEqual(put.wait(10), 0)


class Reading(Store):
    def test_positions(self):
        self.make()
        self.run_tool("put", "s", "-k", "k", stdin=b"1\n2\n3\n")
        time.sleep(0.01)
        between = time.time()
        time.sleep(0.01)
        self.run_tool("put", "s", "-k", "k", stdin=b"4\n5\n")
        self.assertEqual(self.lines("s", "--from", "at:2"), ["2", "3", "4", "5"])
        self.assertEqual(self.lines("s", "--from=after:2", "--limit=2"), ["3", "4"])
        self.assertEqual(self.lines("s", "--from", "latest"), [])
        self.assertEqual(self.lines("s", "--from", "time:%.6f" % between), ["4", "5"])
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(between)) + (".%06dZ" % (between % 1 * 1e6))
        self.assertEqual(self.lines("s", "--from", "time:" + stamp), ["4", "5"])
        self.assertEqual(self.lines("s", "--from", "time:1970-01-01"), ["1", "2", "3", "4", "5"])
        self.lines("s", "--from", "time:2026-13-01", expect=2)
        self.lines("s", "--from", "time:9999-01-01", expect=2)
        self.lines("s", "--shard", 1, expect=3)
        self.make("two", "--shards", 2)
        self.lines("two", "--from", "at:1", expect=2)

    def test_a_reader_that_goes_away_is_no_error(self):
        self.make()
        self.run_tool("put", "s", "-k", "k", stdin=b"x" * 50 + b"\n" + b"line\n" * 50000)
        done = subprocess.run("'%s' get s | head -1; echo ${PIPESTATUS[0]}" % LSTREAM, shell=True,
                              executable="/bin/bash",
                              env=dict(os.environ, LIBSTREAM_STORE=self.store), capture_output=True)
        self.assertEqual(done.stderr, b"")
        self.assertEqual(done.stdout.split()[-1], b"0")
        if os.path.exists("/dev/full"):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([LSTREAM, "get", "s"], env=dict(os.environ, LIBSTREAM_STORE=self.store),
                                      stdout=full, stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"No space left", done.stderr)

    def test_tail_follows_all_shards_and_ends(self):
        self.make("s", "--shards", 3)
        self.run_tool("put", "s", "-k", "old", stdin=b"old\n")
        environment = dict(os.environ, LIBSTREAM_STORE=self.store)
        tail = subprocess.Popen([LSTREAM, "tail", "s", "--limit", "6"], stdout=subprocess.PIPE, env=environment)
        time.sleep(0.5)
        self.run_tool("put", "s", "--key-column", "1", stdin=b"a\nb\nc\nd\ne\nf\n")
        out, _ = tail.communicate(timeout=20)
        self.assertEqual((tail.returncode, sorted(out.split())), (0, [b"a", b"b", b"c", b"d", b"e", b"f"]))
        self.assertEqual(len(self.run_tool("tail", "s", "--from", "trim-horizon", "--timeout", 200).out.split()), 7)
        self.assertEqual(self.run_tool("tail", "s", "--timeout", 0).out, "")

    def test_tail_ends_by_signal_soon_and_quietly(self):
        self.make()
        environment = dict(os.environ, LIBSTREAM_STORE=self.store)
        for number in (signal.SIGINT, signal.SIGTERM):
            tail = subprocess.Popen([LSTREAM, "tail", "s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    env=environment)
            time.sleep(0.5)
            began = time.time()
            tail.send_signal(number)
            out, err = tail.communicate(timeout=20)
            self.assertEqual((tail.returncode, out, err), (128 + number, b"", b""))
            self.assertLess(time.time() - began, 2)

    def test_status_shows_who_is_there(self):
        self.make("s", "--shards", 2)
        self.run_tool("put", "s", "--key-column", "1", stdin=b"a\nb\nc\nd\n")
        environment = dict(os.environ, LIBSTREAM_STORE=self.store)
        tail = subprocess.Popen([LSTREAM, "tail", "s"], stdout=subprocess.DEVNULL, env=environment)
        try:
            time.sleep(0.5)
            told = json.loads(self.run_tool("status", "--json").out)
            self.assertEqual([(p["pid"], p["alive"]) for p in told["processes"]], [(tail.pid, True)])
            self.assertEqual({s["health"] for s in told["shards"]}, {"ok"})
            self.assertEqual([(s["name"], s["shards"]) for s in told["streams"]], [("s", 2)])
            self.assertGreaterEqual(told["bytes"], told["streams"][0]["bytes"])
            for line in self.run_tool("status", "--all").out.splitlines():
                self.assertLessEqual(len(line), 80, line)
            self.assertIn("somebody has the store open", self.run_tool("repair", expect=6).err)
            self.run_tool("verify")
            tail.kill()
            tail.wait()
            told = json.loads(self.run_tool("status", "--json").out)
            self.assertEqual([p["alive"] for p in told["processes"]], [False])
        finally:
            tail.kill()
            tail.wait()

    def test_dump_prints_every_kind_of_file(self):
        self.make("s", "--segment-bytes", "64K")
        self.run_tool("put", "s", "-k", "the key", stdin=b"".join(b"%d\n" % i for i in range(9000)))
        files = [os.path.join(self.store, "manifest"), os.path.join(self.store, "control"), self.shard_file("segments"),
                 self.shard_file("00000001.seg"), self.shard_file("00000001.idx")]
        for path, word in zip(files, ("'s'", "slot: stream 1", "segment 1", '"the key"', "entry: position 0")):
            out = self.run_tool("dump", path).out
            self.assertIn(word, out)
            for line in out.splitlines():
                self.assertLessEqual(len(line), 80, line)
            for line in self.run_tool("dump", path, "--json").out.splitlines()[:50]:
                self.assertEqual(list(json.loads(line)), ["line"])
        self.run_tool("dump", __file__, expect=2)
        self.run_tool("dump", self.shard_file("00000099.seg"), expect=3)
        with open(files[2], "r+b") as file:
            file.seek(70)
            file.write(b"\xff")
        self.assertIn("DAMAGED", self.run_tool("dump", files[2], expect=4).out)


if __name__ == "__main__":
    unittest.main()
