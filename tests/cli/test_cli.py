#!/usr/bin/env python3
"""lstream as somebody at a terminal, or a script, sees it: every command's good case, its errors and exit codes, JSON,
80 columns; and stores that are damaged on purpose, verified and repaired.

    test_cli.py LSTREAM [unittest options]

Each damage is one of the kinds of the damage campaign. After a repair two things must hold: verify finds nothing, and
every record that lies outside the damage can be read.
"""

import glob
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

LSTREAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else "lstream"
COMMANDS = ["create", "delete", "list", "describe", "put", "get", "tail", "status", "dump", "verify", "repair", "backup",
            "version", "help"]
SEGMENT_HEADER = 4096


def content(path):
    with open(path, "rb") as file:
        return file.read()


class Store(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="lstream-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.store = os.path.join(self.folder, "store")

    def run_tool(self, *arguments, stdin=b"", expect=0, env=None):
        """Runs the tool and checks its exit code; messages must name tool and command."""
        environment = {**os.environ, "LIBSTREAM_STORE": self.store, **(env or {})}
        done = subprocess.run([LSTREAM, *map(str, arguments)], input=stdin, capture_output=True, env=environment, timeout=60)
        done.out = done.stdout.decode("utf-8", "replace")
        done.err = done.stderr.decode("utf-8", "replace")
        self.assertEqual(done.returncode, expect, "lstream %s\n%s%s" % (" ".join(map(str, arguments)), done.out, done.err))
        for line in done.err.splitlines():
            self.assertTrue(line.startswith("lstream: "), line)
        return done

    def make(self, name="s", *options):
        self.run_tool("create", name, *options)

    def lines(self, name="s", *options, expect=0):
        return self.run_tool("get", name, *options, expect=expect).out.splitlines()

    def shard_file(self, name, shard=0, stream=1):
        return os.path.join(self.store, str(stream), str(shard), name)


class Commands(Store):
    def test_help_of_every_command_fits_80_columns(self):
        for command in COMMANDS:
            by_option = self.run_tool(command, "--help").out
            self.assertEqual(by_option, self.run_tool("help", command).out)
            self.assertIn("Usage: lstream " + command, by_option)
            for line in by_option.splitlines():
                self.assertLessEqual(len(line), 80, line)
        text = self.run_tool("help").out
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
        for arguments in (["create"], ["create", "a", "b"], ["create", "a", "--shards"], ["create", "a", "--shards", "0"],
                          ["create", "a", "--shards", "x"], ["create", "a", "--mode", "fast"], ["list", "--json=1"],
                          ["put", "a"], ["put", "a", "--key", "k", "--key-field", "f"], ["get", "a", "--from", "now"],
                          ["put", "a", "--key", "k", "--explicit-hash-key", "-1"], ["create", "a", "--durability", "none"],
                          ["tail", "a", "--from", "at:5"], ["create", "a/b"], ["-s", "x", "list"]):
            self.run_tool(*arguments, expect=2)
        self.assertIn("which store", self.run_tool("list", expect=2, env={"LIBSTREAM_STORE": ""}).err)

    def test_create_list_describe_delete(self):
        self.run_tool("create", "b", "--shards", 3, "--retention-hours=48", "--mode", "provisioned", "--record-bytes-max",
                      "64K", "--segment-bytes", "128K", "--durability", "kernel")
        self.assertEqual(json.loads(self.run_tool("create", "a", "--json").out), {"created": "a"})
        self.assertIn("'a'", self.run_tool("create", "a", expect=6).err)
        self.assertEqual(self.run_tool("list").out, "a\nb\n")
        self.assertEqual(json.loads(self.run_tool("list", "--json").out), {"streams": ["a", "b"]})
        told = json.loads(self.run_tool("describe", "b", "--json").out)
        self.assertEqual((told["name"], told["retention_hours"], told["mode"], told["record_bytes_max"], told["durability"],
                          len(told["shards"])), ("b", 48, "provisioned", 65536, "kernel", 3))
        self.assertEqual(told["shards"][0]["first_hash_key"], "0")
        self.assertEqual(told["shards"][2]["last_hash_key"], str(2**128 - 1))
        for line in self.run_tool("describe", "b").out.splitlines():
            self.assertLessEqual(len(line), 80)
        self.assertEqual(json.loads(self.run_tool("delete", "b", "--json").out), {"deleted": "b"})
        self.run_tool("delete", "b", expect=3)
        self.run_tool("describe", "b", expect=3)
        self.assertEqual(self.run_tool("list", "-s", self.store).out, "a\n")

    def test_all_names_are_listed_beyond_one_page(self):
        self.make("x", "--durability", "kernel")
        names = ["n%04d" % i for i in range(30)]
        for name in names:
            self.make(name)
        self.assertEqual(self.run_tool("list").out.split(), names + ["x"])

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


class Putting(Store):
    def test_lines_come_back_as_they_were(self):
        self.make()
        data = b"one\n\xff\xfe binary\n\ntab\there\nlast without end"
        self.assertIn("5 stored", self.run_tool("put", "s", "--key", "k", stdin=data).err)
        environment = dict(os.environ, LIBSTREAM_STORE=self.store)
        self.assertEqual(subprocess.run([LSTREAM, "get", "s"], env=environment, capture_output=True).stdout, data + b"\n")
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
        self.assertIn("no column 'nope'", self.run_tool("put", "s", "--key-column", "nope", stdin=b"a,b\n1,2\n", expect=1).err)

    def test_a_key_from_a_json_field(self):
        self.make()
        done = self.run_tool("put", "s", "--key-field", "k", stdin=b'{"k":"a"}\n{"x":1}\nnot\n{"k":7}\n{"k":{}}\n', expect=1)
        for line in (2, 3, 5):
            self.assertIn("line %d: " % line, done.err)
        self.assertIn("2 stored", done.err)
        self.assertEqual([json.loads(line)["key"] for line in self.lines("s", "--json")], ["a", "7"])

    def test_a_line_that_is_refused_is_told_and_the_others_are_stored(self):
        self.make("s", "--record-bytes-max", "1K")
        data = b"".join(b"%d\n" % i if i % 100 != 50 else b"x" * 2000 + b"\n" for i in range(1000))
        done = self.run_tool("put", "s", "-k", "k", stdin=data, expect=1)
        refused = [line for line in done.err.splitlines() if ": line " in line]
        self.assertEqual([int(line.split(": line ")[1].split(":")[0]) for line in refused], list(range(51, 1001, 100)))
        self.assertEqual(self.lines(), [str(i) for i in range(1000) if i % 100 != 50])
        self.run_tool("put", "s", "-k", "k" * 257, stdin=b"x\n", expect=1)
        done = self.run_tool("put", "s", "-k", "k", stdin=b"y" * (12 << 20) + b"\nshort\n", expect=1)
        self.assertIn("line 1: it is longer", done.err)
        self.assertEqual(self.lines()[-1], "short")

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
        done = subprocess.run("'%s' get s | head -1; echo ${PIPESTATUS[0]}" % LSTREAM, shell=True, executable="/bin/bash",
                              env=dict(os.environ, LIBSTREAM_STORE=self.store), capture_output=True)
        self.assertEqual(done.stderr, b"")
        self.assertEqual(done.stdout.split()[-1], b"0")
        if os.path.exists("/dev/full"):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([LSTREAM, "get", "s"], env=dict(os.environ, LIBSTREAM_STORE=self.store), stdout=full,
                                      stderr=subprocess.PIPE)
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
            tail = subprocess.Popen([LSTREAM, "tail", "s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
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


class Damage(Store):
    """A stream of one shard with several sealed segments; records are their own numbers."""

    COUNT = 12000

    def setUp(self):
        super().setUp()
        self.make("s", "--segment-bytes", "64K")
        self.run_tool("put", "s", "-k", "key", "--batch", "50", stdin=b"".join(b"%05d\n" % i for i in range(self.COUNT)))
        self.segments = sorted(glob.glob(self.shard_file("*.seg")))
        self.assertGreater(len(self.segments), 3)
        self.everything = ["%05d" % i for i in range(self.COUNT)]
        self.assertEqual(self.lines(), self.everything)

    def damage(self, path, offset, new=b"\xa5"):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(new)

    def findings(self, *command, expect):
        lines = [json.loads(line) for line in self.run_tool(*command, "--json", expect=expect).out.splitlines()]
        self.assertEqual(list(lines[-1]), ["summary"])
        return lines[:-1]

    def repaired(self, kind, lost, repairable=True):
        """Verify says `kind` and exit 4, a dry run changes nothing, repair leaves a store in which all but `lost`
        (numbers of records) is readable and takes puts. `lost` None: any."""
        damages = [f for f in self.findings("verify", expect=4) if f["severity"] == "DAMAGE"]
        self.assertIn(kind, [f["kind"] for f in damages])
        for line in self.run_tool("verify", expect=4).out.splitlines()[:-2]:
            self.assertTrue(line.startswith(("DAMAGE: ", "hint: ", "  ")), line)
        before = {name: content(name) for name in glob.glob(self.shard_file("*"))}
        self.findings("repair", "--dry-run", expect=4)
        self.assertEqual(before, {name: content(name) for name in glob.glob(self.shard_file("*"))})
        told = self.findings("repair", expect=0)
        self.assertTrue([f for f in told if f["kind"] == kind and f["repaired"]])
        for f in told: # what was done, not what is to be done
            if f["repaired"]:
                self.assertNotIn("lstream repair", f["advice"])
                self.assertNotIn("from a copy", f["advice"])
        for name, bytes_before in before.items(): # R4: the bytes that were there are still there, here or beside
            kept = [content(path) for path in glob.glob(name) + glob.glob(name + ".damaged-*")]
            if not name.endswith(".idx"):
                self.assertTrue(any(bytes_before.startswith(k) or k.startswith(bytes_before) for k in kept), name)
        self.findings("verify", expect=0)
        expected = [r for i, r in enumerate(self.everything) if lost is not None and i not in lost]
        if lost is not None:
            self.assertEqual(self.lines(), expected)
        else:
            expected = self.lines()
        for f in damages: # what was said to be lost covers what is
            if f["kind"] == kind and f["first_seqno"]:
                self.assertLessEqual(f["records_max"], f["last_seqno"] - f["first_seqno"] + 1)
        self.run_tool("describe", "s")
        self.assertEqual(self.lines("s", "--from", "latest"), [])
        self.run_tool("put", "s", "-k", "key", stdin=b"after\n")
        self.assertEqual(self.lines(), expected + ["after"])
        self.run_tool("describe", "s")
        return damages

    def is_part_of_everything(self, left):
        there = set(left)
        self.assertEqual(left, [r for r in self.everything if r in there])

    def numbers(self, finding):
        return set(range(finding["first_seqno"] - 1, finding["last_seqno"]))

    def test_nothing_is_found_in_a_sound_store(self):
        self.assertEqual(self.findings("verify", "--notes", expect=0), [])
        self.assertEqual(self.findings("repair", expect=0), [])
        self.assertEqual(self.lines(), self.everything)
        self.findings("verify", "--stream", "s", expect=0)
        self.run_tool("verify", "--stream", "none", expect=3)

    def test_damaged_frames_of_a_sealed_segment(self):
        self.damage(self.segments[1], SEGMENT_HEADER + 5000)
        first = [f for f in self.findings("verify", expect=4)][0]
        self.assertEqual(os.path.join(self.store, first["file"]), self.segments[1])
        self.assertLessEqual(first["offset"], SEGMENT_HEADER + 5000)
        self.assertGreater(first["offset"] + first["bytes"], SEGMENT_HEADER + 5000)
        self.lines("s", expect=4)
        self.assertEqual(first["records_max"], 50)
        self.repaired("frames", self.numbers(first))
        self.assertIn("skipped", [f["kind"] for f in self.findings("verify", "--notes", expect=0)])

    def test_get_can_go_on_behind_damage(self):
        """R4 for the operator: all records outside of damage can be had without a repair, from every shard."""
        self.damage(self.segments[1], SEGMENT_HEADER + 5000)
        os.unlink(self.segments[2])
        lost = set()
        for f in self.findings("verify", expect=4):
            lost |= self.numbers(f)
        expected = [r for i, r in enumerate(self.everything) if i not in lost]
        before = {name: content(name) for name in glob.glob(self.shard_file("*"))}
        self.assertIn("--skip-damage", self.run_tool("get", "s", expect=4).err)
        done = self.run_tool("get", "s", "--skip-damage", expect=4)
        self.assertEqual(done.out.splitlines(), expected)
        self.assertEqual(done.err.count("goes on at seqno"), 2)
        self.assertEqual(self.lines("s", "--skip-damage", "--shard", "0", "--limit", "10", expect=0), expected[:10])
        self.assertEqual(self.lines("s", "--skip-damage", "--from", "time:0", expect=4), expected)
        self.assertEqual(self.lines("s", "--skip-damage", "--from", "at:%d" % (max(lost) + 2)), self.everything[max(lost) + 1:])
        self.assertEqual(before, {name: content(name) for name in glob.glob(self.shard_file("*"))})
        self.run_tool("create", "two", "--shards", "2")
        for key in range(8):
            self.run_tool("put", "two", "-k", key, stdin=b"%d\n" % key)
        self.damage(self.shard_file("00000001.seg", shard=0, stream=2), SEGMENT_HEADER)
        one = self.lines("two", "--shard", "1")
        self.assertTrue(one)
        self.assertLessEqual(set(one), set(self.lines("two", "--skip-damage", expect=4)))

    def test_every_frame_header_field_is_covered(self):
        whole = content(self.segments[1])
        for offset in range(48):
            self.damage(self.segments[1], SEGMENT_HEADER + offset, bytes([whole[SEGMENT_HEADER + offset] ^ 1]))
            self.assertEqual([f["kind"] for f in self.findings("verify", expect=4)], ["frames"], offset)
            self.damage(self.segments[1], SEGMENT_HEADER + offset, whole[SEGMENT_HEADER + offset:][:1])
        self.findings("verify", expect=0)

    def test_damage_in_two_places_is_two_findings(self):
        self.damage(self.segments[0], SEGMENT_HEADER + 3000)
        self.damage(self.segments[2], SEGMENT_HEADER + 30000)
        found = self.findings("verify", expect=4)
        self.assertEqual(len(found), 2)
        self.repaired("frames", self.numbers(found[0]) | self.numbers(found[1]))

    def test_damaged_frames_of_the_last_segment(self):
        self.damage(self.segments[-1], SEGMENT_HEADER + 100)
        first = self.findings("verify", expect=4)[0]
        self.repaired("frames", self.numbers(first))

    def test_damaged_frames_of_the_last_segment_when_nobody_knows_its_end(self):
        os.unlink(os.path.join(self.store, "control"))
        self.damage(self.segments[-1], SEGMENT_HEADER + 100)
        first = [f for f in self.findings("verify", expect=4) if f["kind"] == "frames"][0]
        self.repaired("frames", self.numbers(first))

    def test_a_sealed_segment_that_is_missing(self):
        lost = os.path.basename(self.segments[2])
        os.unlink(self.segments[2])
        first = self.findings("verify", expect=4)[0]
        self.assertIn(lost, first["what"])
        self.repaired("segment-missing", self.numbers(first))

    def test_the_first_and_the_last_segment_missing(self):
        os.unlink(self.segments[0])
        os.unlink(self.segments[-1])
        found = [f for f in self.findings("verify", expect=4) if f["kind"] == "segment-missing"]
        self.assertEqual(len(found), 2)
        lost = set()
        for f in found:
            lost |= self.numbers(f)
        self.assertLess(len(lost & set(range(self.COUNT))), self.COUNT)
        self.repaired("segment-missing", lost)

    def test_a_segment_cut_short(self):
        os.truncate(self.segments[1], SEGMENT_HEADER + 20001)
        found = self.findings("verify", expect=4)
        lost = set()
        for f in found:
            lost |= self.numbers(f)
        self.repaired(found[-1]["kind"], lost)

    def test_the_last_segment_cut_within_its_header(self):
        os.truncate(self.segments[-1], 100)
        found = [f for f in self.findings("verify", expect=4) if f["severity"] == "DAMAGE"]
        lost = set()
        for f in found:
            lost |= self.numbers(f)
        self.repaired("segment-header", lost)

    def test_a_damaged_segment_header_is_written_anew_and_nothing_is_lost(self):
        for offset in (0, 8, 30, 60, 75, 90, 130, 145, 153, 2000, 4090):
            self.damage(self.segments[1], offset)
        self.lines("s", expect=4)
        self.repaired("segment-header", set())

    def test_a_segment_header_whose_salt_is_gone_loses_the_segment_only(self):
        self.damage(self.segments[1], 100)
        first = self.findings("verify", expect=4)[0]
        self.assertEqual(first["kind"], "segment-header")
        self.repaired("segment-header", self.numbers(first))

    def test_a_segment_in_anothers_place_is_not_believed(self):
        shutil.copy(self.segments[0], self.segments[1])
        first = self.findings("verify", expect=4)[0]
        self.assertEqual(first["kind"], "segment-header")
        self.repaired("segment-header", self.numbers(first))

    def test_a_damaged_segment_list_is_rebuilt_and_nothing_is_lost(self):
        self.damage(self.shard_file("segments"), 70)
        self.lines("s", expect=4)
        self.repaired("segment-list", set())

    def test_a_segment_list_that_is_missing_is_rebuilt(self):
        os.unlink(self.shard_file("segments"))
        self.repaired("segment-list", set())

    def test_a_segment_list_and_a_segment_missing(self):
        os.unlink(self.shard_file("segments"))
        os.unlink(self.segments[1])
        self.findings("verify", expect=4)
        self.findings("repair", expect=0)
        self.findings("verify", expect=0)
        left = self.lines()
        self.is_part_of_everything(left)
        self.assertGreater(len(left), self.COUNT // 2)

    def test_a_dry_run_tells_the_losses_behind_a_segment_list_that_is_missing(self):
        """What repair finds lost once it has the list again, verify and the dry run must have said before."""
        def losses(found):
            return {(f["kind"], f["first_seqno"], f["last_seqno"], f["records_max"]) for f in found
                    if f["severity"] == "DAMAGE"}
        os.unlink(self.shard_file("segments"))
        os.unlink(self.segments[0])
        os.unlink(self.segments[2])
        self.damage(self.segments[3], SEGMENT_HEADER + 3000)
        before = {name: content(name) for name in glob.glob(self.shard_file("*"))}
        told = losses(self.findings("repair", "--dry-run", expect=4))
        self.assertEqual(told, losses(self.findings("verify", expect=4)))
        self.assertEqual(before, {name: content(name) for name in glob.glob(self.shard_file("*"))})
        self.assertEqual(len(told), 4)
        self.assertEqual(told, losses(self.findings("repair", expect=0)))
        shutil.rmtree(os.path.dirname(self.segments[0]))
        found = self.findings("verify", expect=4)
        self.assertEqual([(f["kind"], f["repairable"]) for f in found], [("segment-list", False)])
        self.assertIn("every record of the shard is lost", found[0]["what"])

    def test_a_shard_without_its_directory_cannot_be_repaired(self):
        shutil.rmtree(os.path.join(self.store, "1", "0"))
        self.assertEqual([f["kind"] for f in self.findings("verify", expect=4)], ["segment-list"])
        told = self.findings("repair", expect=4)
        self.assertEqual([(f["kind"], f["repaired"]) for f in told], [("segment-list", False)])

    def test_a_damaged_index_is_a_hint(self):
        self.damage(self.shard_file("00000001.idx"), 5)
        found = self.findings("verify", expect=0)
        self.assertEqual([(f["severity"], f["kind"]) for f in found], [("hint", "index")])
        self.assertEqual([f["repaired"] for f in self.findings("repair", expect=0)], [True])
        self.assertEqual(self.findings("verify", expect=0), [])
        self.assertEqual(self.lines(), self.everything)

    def test_a_damaged_control_file_is_a_hint(self):
        self.damage(os.path.join(self.store, "control"), 3)
        found = self.findings("verify", expect=0)
        self.assertEqual([(f["severity"], f["kind"]) for f in found], [("hint", "control")])
        self.assertEqual([f["repaired"] for f in self.findings("repair", expect=0)], [True])
        self.assertEqual(self.findings("verify", expect=0), [])
        self.assertEqual(self.lines(), self.everything)

    def test_a_damaged_manifest_is_refused_with_advice(self):
        manifest = os.path.join(self.store, "manifest")
        whole = content(manifest)
        for offset in (0, 10, 30, 60, 64, 100, len(whole) - 1):
            self.damage(manifest, offset, bytes([whole[offset] ^ 4]))
            for command in ("verify", "repair"):
                found = self.findings(command, expect=4)
                self.assertEqual([(f["kind"], f["repairable"]) for f in found], [("manifest", False)])
                self.assertIn("copy", found[0]["advice"])
            self.run_tool("list", expect=4)
            self.run_tool("status", expect=4)
            self.damage(manifest, offset, whole[offset:][:1])
        os.unlink(manifest)
        self.assertEqual([f["kind"] for f in self.findings("verify", expect=4)], ["manifest"])
        self.run_tool("repair", expect=4)
        self.run_tool("list", expect=4)
        with open(manifest, "wb") as file:
            file.write(whole)
        self.assertEqual(self.lines(), self.everything)

    def test_verify_runs_beside_a_producer_and_finds_nothing(self):
        with subprocess.Popen([LSTREAM, "put", "s", "-k", "k", "-q", "--batch", "10"], stdin=subprocess.PIPE,
                              env={**os.environ, "LIBSTREAM_STORE": self.store}) as put:
            for i in range(5):
                put.stdin.write(b"x" * 20 + b"\n" * 3000)
                put.stdin.flush()
                self.assertEqual(self.findings("verify", "--notes", expect=0), [])
            put.stdin.close()
            self.assertEqual(put.wait(20), 0)
        self.assertEqual(self.findings("verify", "--notes", expect=0), [])

    def test_a_file_nobody_names_is_a_note(self):
        with open(self.shard_file("00000099.seg"), "wb") as file:
            file.write(b"x" * 5000)
        self.assertEqual([(f["severity"], f["kind"]) for f in self.findings("verify", "--notes", expect=0)],
                         [("note", "stray-file")])
        self.assertEqual(self.run_tool("verify").out.count("\n"), 2)

    def test_random_damage_never_gives_other_records(self):
        """Flip bytes at places of a fixed sequence in every file of the shard; repair; what can then be read must be a
        part of what was put, in order."""
        number = 12345
        files = sorted(glob.glob(self.shard_file("*.seg"))) + [self.shard_file("segments")]
        for _ in range(6):
            for _ in range(3):
                number = (number * 1103515245 + 12345) % 2**31
                path = files[number % len(files)]
                offset = (number >> 8) % os.path.getsize(path)
                with open(path, "rb") as file:
                    file.seek(offset)
                    old = file.read(1)
                self.damage(path, offset, bytes([old[0] ^ (1 + number % 255)]))
            self.run_tool("repair")
            self.findings("verify", expect=0)
            left = self.lines()
            self.is_part_of_everything(left)
            files = [path for path in files if os.path.exists(path)]


if __name__ == "__main__":
    unittest.main()
