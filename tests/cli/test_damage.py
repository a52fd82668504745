#!/usr/bin/env python3
"""Stores that are damaged on purpose: what `lstream verify` says of each kind of damage, and what `lstream repair`
does.

    test_damage.py LSTREAM [unittest options]

Each damage is one of the kinds of the damage campaign (H9). After a repair two things must hold: verify finds no
damage, and every record that lies outside the damage can be read.
"""

import glob
import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import unittest

from store import LSTREAM, SEGMENT_HEADER, Store, content


class Damage(Store):
    """A stream of one shard with several sealed segments; records are their own numbers."""

    COUNT = 12000

    def setUp(self):
        super().setUp()
        self.make("s", "--segment-bytes", "64K")
        self.run_tool("put", "s", "-k", "key", "--batch", "50",
                      stdin=b"".join(b"%05d\n" % i for i in range(self.COUNT)))
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
        self.assertEqual(self.lines("s", "--skip-damage", "--from", "at:%d" % (max(lost) + 2)),
                         self.everything[max(lost) + 1:])
        self.assertEqual(before, {name: content(name) for name in glob.glob(self.shard_file("*"))})
        self.run_tool("create", "two", "--shards", "2")
        for key in range(8):
            self.run_tool("put", "two", "-k", key, stdin=b"%d\n" % key)
        self.damage(self.shard_file("00000001.seg", shard=0, stream=2), SEGMENT_HEADER)
        one = self.lines("two", "--shard", "1")
        self.assertTrue(one)
        self.assertLessEqual(set(one), set(self.lines("two", "--skip-damage", expect=4)))

    def test_tail_can_go_on_behind_damage(self):
        """Each shard by itself: what is damaged is passed over and said, what follows and what comes is printed, and so
        are the children of a shard that is split meanwhile, and a shard beside one that cannot be read at all."""
        self.damage(self.segments[1], SEGMENT_HEADER + 5000)
        os.unlink(self.segments[2])
        lost = set()
        for f in self.findings("verify", expect=4):
            lost |= self.numbers(f)
        expected = [r for i, r in enumerate(self.everything) if i not in lost]
        oldest = ["tail", "s", "--from", "trim-horizon"]
        self.assertIn("--skip-damage", self.run_tool(*oldest, "--timeout", "200", expect=4).err)
        environment = {**os.environ, "LIBSTREAM_STORE": self.store}
        tail = subprocess.Popen([LSTREAM, *oldest, "--skip-damage", "--limit", str(len(expected))],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
        out, err = tail.communicate(timeout=60)
        self.assertEqual((tail.returncode, out.splitlines()), (4, expected))
        self.assertEqual(err.count("goes on at seqno"), 2)
        self.assertEqual(self.run_tool("tail", "s", "--skip-damage", "--timeout", "0").out, "")
        tail = subprocess.Popen([LSTREAM, *oldest, "--skip-damage", "--limit", str(len(expected) + 8)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
        for line in expected:
            self.assertEqual(tail.stdout.readline().strip(), line)
        self.run_tool("put", "s", "-k", "key", stdin=b"before\n")
        self.run_tool("split", "s", "0")
        for key in range(7):
            self.run_tool("put", "s", "-k", key, stdin=b"%d\n" % key)
        out, _ = tail.communicate(timeout=60)
        self.assertEqual((tail.returncode, out.splitlines()[0]), (4, "before"))
        self.assertEqual(sorted(out.splitlines()[1:]), ["%d" % key for key in range(7)])
        self.run_tool("create", "two", "--shards", "2")
        for key in range(8):
            self.run_tool("put", "two", "-k", key, stdin=b"%d\n" % key)
        one = self.lines("two", "--shard", "1")
        os.unlink(self.shard_file("segments", shard=0, stream=2))
        self.assertEqual(self.run_tool("tail", "two", "--from", "trim-horizon", "--skip-damage", "--timeout", "200",
                                       expect=4).out.splitlines(), one)

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
        self.assertEqual([(f["kind"], f["repairable"]) for f in found], [("segment-list", True)])
        self.assertIn("every record of the shard is lost", found[0]["what"])

    def test_a_shard_without_its_directory_begins_again(self):
        """Empty, above every number that it gave; also when nobody remembers those, and when that happens twice."""
        given = self.numbers_of("s")
        for control in (True, False, False):
            shutil.rmtree(os.path.join(self.store, "1", "0"))
            if not control:
                os.unlink(os.path.join(self.store, "control"))
            found = self.findings("verify", expect=4)
            self.assertEqual([(f["kind"], f["repairable"]) for f in found], [("segment-list", True)])
            self.assertIn("is lost", self.run_tool("get", "s", expect=4).err + found[0]["what"])
            self.assertEqual(self.findings("repair", "--dry-run", expect=4), found)
            told = [f for f in self.findings("repair", expect=0) if f["severity"] != "note"]
            self.assertEqual([(f["kind"], f["repaired"]) for f in told], [("segment-list", True)])
            self.assertEqual(told[0]["records_max"], self.COUNT if control else None)
            notes = self.findings("verify", "--notes", expect=0)
            self.assertEqual([f["kind"] for f in notes], ["skipped"])
            self.assertEqual(notes[0]["first_seqno"], 1)
            self.assertGreaterEqual(notes[0]["last_seqno"], given[-1])
            self.assertEqual(self.lines(), [])
            self.run_tool("put", "s", "-k", "key", stdin=b"after\nand more\n")
            self.assertEqual(self.lines(), ["after", "and more"])
            now = self.numbers_of("s")
            self.assertGreater(now[0], given[-1])
            given = now

    def numbers_of(self, stream):
        return [json.loads(line)["seqno"] for line in self.run_tool("get", stream, "--json").out.splitlines()]

    def test_a_damaged_index_is_a_hint(self):
        self.damage(self.shard_file("00000001.idx"), 5)
        found = self.findings("verify", expect=0)
        self.assertEqual([(f["severity"], f["kind"]) for f in found], [("hint", "index")])
        damaged = content(self.shard_file("00000001.idx"))
        self.assertEqual([f["repaired"] for f in self.findings("repair", expect=0)], [True])
        self.assertEqual(content(self.shard_file("00000001.idx.damaged-1")), damaged)
        self.assertEqual([f["kind"] for f in self.findings("verify", expect=0)], ["stray-file"])
        self.assertEqual(self.lines(), self.everything)
        self.assertEqual(self.lines("s", "--from", "at:3000"), self.everything[2999:])
        self.assertTrue(os.path.exists(self.shard_file("00000001.idx"))) # made anew as it was missed

    def test_a_damaged_control_file_is_a_hint(self):
        self.damage(os.path.join(self.store, "control"), 3)
        found = self.findings("verify", expect=0)
        self.assertEqual([(f["severity"], f["kind"]) for f in found], [("hint", "control")])
        self.assertEqual([f["repaired"] for f in self.findings("repair", expect=0)], [True])
        self.assertEqual([f["kind"] for f in self.findings("verify", expect=0)], ["stray-file"])
        self.assertEqual(self.lines(), self.everything)

    def test_a_damaged_manifest_without_a_copy_is_refused_with_advice(self):
        manifest = os.path.join(self.store, "manifest")
        whole = content(manifest)
        os.unlink(manifest + ".copy")
        for offset in (0, 10, 30, 60, 64, 100, len(whole) - 1):
            self.damage(manifest, offset, bytes([whole[offset] ^ 4]))
            for command in ("verify", "repair"):
                found = self.findings(command, expect=4)
                self.assertEqual([(f["kind"], f["repairable"], f["records_max"]) for f in found],
                                 [("manifest", False, self.COUNT)])
                self.assertIn("%d records" % self.COUNT, found[0]["what"])
                self.assertIn("copy", found[0]["advice"])
            self.assertNotIn("puts its copy", self.run_tool("list", expect=4).err)
            self.run_tool("status", expect=4)
            self.damage(manifest, offset, whole[offset:][:1])
        os.unlink(manifest)
        self.assertEqual([f["kind"] for f in self.findings("verify", expect=4)], ["manifest"])
        self.run_tool("repair", expect=4)
        self.run_tool("list", expect=4)
        with open(manifest, "wb") as file:
            file.write(whole)
        self.assertEqual(self.lines(), self.everything)

    def test_the_copy_takes_the_place_of_a_damaged_manifest(self):
        """Whatever bit it is; who opens the store before says that a repair helps, and changes nothing."""
        manifest = os.path.join(self.store, "manifest")
        whole = content(manifest)
        self.assertEqual(content(manifest + ".copy"), whole)
        for kept, offset in enumerate((0, 10, 30, 60, 64, 100, len(whole) - 1), 1):
            self.damage(manifest, offset, bytes([content(manifest)[offset] ^ 4]))
            bad = content(manifest)
            for command in (["list"], ["put", "s", "-k", "k"], ["get", "s"]):
                self.assertIn("`lstream repair` puts its copy", self.run_tool(*command, stdin=b"x\n", expect=4).err)
            self.assertEqual((content(manifest), content(manifest + ".copy")[64:]), (bad, whole[64:]))
            found = self.findings("repair", "--dry-run", expect=4)
            self.assertEqual([(f["kind"], f["repairable"], f["repaired"]) for f in found if f["severity"] == "DAMAGE"],
                             [("manifest", True, False)])
            found = self.findings("repair", expect=0)
            self.assertEqual([(f["file"], f["repaired"]) for f in found if f["severity"] != "note"],
                             [("manifest", True)])
            self.assertIn("manifest.damaged-%d" % kept, found[0]["advice"])
            self.assertEqual(content(manifest + ".damaged-%d" % kept), bad)
            self.assertEqual(content(manifest)[64:], whole[64:])
            self.assertEqual(self.lines(), self.everything)
            self.assertEqual(content(manifest), content(manifest + ".copy"))

    def test_the_copy_of_another_store_is_not_put_back(self):
        """Its segments say whose a store is; where there are none, the control file does."""
        other = os.path.join(self.folder, "other")
        manifest = os.path.join(self.store, "manifest")
        self.run_tool("create", "s", "--store", other)
        shutil.copy(os.path.join(other, "manifest.copy"), manifest + ".copy")
        os.truncate(manifest, 10)
        self.assertEqual([(f["kind"], f["repairable"]) for f in self.findings("repair", expect=4)],
                         [("manifest", False)])
        self.assertEqual(os.path.getsize(manifest), 10)
        shutil.rmtree(os.path.join(self.store, "1"))
        self.assertEqual([f["repairable"] for f in self.findings("repair", expect=4)], [False])
        os.unlink(os.path.join(self.store, "control")) # Now nothing says that it is another's.
        self.assertEqual([f["repairable"] for f in self.findings("verify", expect=4)][0], True)

    def test_a_copy_that_differs_is_written_again(self):
        copy = os.path.join(self.store, "manifest.copy")
        whole = content(copy)
        for command in (["repair"], ["maintain"], ["put", "s", "-k", "k"]):
            for severity, expect in (("hint", whole[:-1]), ("note", None)):
                if expect is None:
                    os.unlink(copy)
                else:
                    os.truncate(copy, len(whole) - 1)
                found = [f for f in self.findings("verify", expect=0) if f["kind"] == "manifest"]
                self.assertEqual([(f["severity"], f["file"]) for f in found], [(severity, "manifest.copy")])
                self.run_tool(*command, stdin=b"")
                self.assertEqual(content(copy), whole)
        self.assertEqual(content(copy + ".damaged-1"), whole[:-1])

    def test_a_manifest_that_is_older_than_a_shard_or_a_stream_is_told(self):
        manifest = os.path.join(self.store, "manifest")
        old = content(manifest)
        self.run_tool("split", "s", "0")
        self.run_tool("create", "young")
        with open(manifest, "rb") as file:
            newer = file.read()
        with open(manifest, "wb") as file: # Nothing was put: what is not named is empty.
            file.write(old)
        self.findings("verify", expect=0)
        with open(manifest, "wb") as file:
            file.write(newer)
        self.run_tool("put", "s", "-k", "k", stdin=b"x\n")
        self.run_tool("put", "young", "-k", "k", stdin=b"x\n")
        self.assertEqual(self.findings("verify", expect=0), [])
        with open(manifest, "wb") as file:
            file.write(old)
        told = [f for f in self.findings("verify", expect=4) if f["severity"] == "DAMAGE"]
        self.assertEqual(sorted(f["file"][:2] for f in told), ["1/", "2"])
        for finding in told:
            self.assertIn("the manifest is older", finding["what"])
            self.assertIn("newer `manifest`", finding["advice"])
        with open(manifest, "wb") as file:
            file.write(newer)
        self.assertEqual(self.findings("verify", expect=0), [])
        self.assertEqual(len(self.lines()), len(self.everything) + 1)

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

    def test_a_files_name_reaches_no_terminal_as_it_is(self):
        name = b"\x1b]0;x\x07\n\xff.seg"
        with open(os.path.join(os.path.dirname(os.fsencode(self.shard_file("segments"))), name), "wb"):
            pass
        out = self.run_tool("verify", "--notes").stdout
        self.assertEqual(out.count(b"\n"), 4, out)
        self.assertIn(b"/?]0;x???.seg is named by nothing", out)

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


class Kinds(Store):
    """Every kind of damage to every kind of file. Goal: one line that an operator can act on, which says the file, what
    is wrong, what is lost and what to do, and which is true. Method: a store of four segments, damaged in one way; the
    line of verify is compared with a table; the dry run says the same and changes nothing; what repair says was done is
    done, and no more is lost than was said before."""

    COUNT = 1000
    SEALED, LAST, INDEX, LIST = "1/0/00000002.seg", "1/0/00000004.seg", "1/0/00000002.idx", "1/0/segments"

    @classmethod
    def setUpClass(cls):
        cls.base = tempfile.mkdtemp(prefix="lstream-test-")
        cls.addClassCleanup(shutil.rmtree, cls.base)
        cls.sound = os.path.join(cls.base, "store")
        cls.everything = ["%05d" % i + "x" * 200 for i in range(cls.COUNT)]
        environment = {**os.environ, "LIBSTREAM_STORE": cls.sound}
        for command, text in ((["create", "s", "--segment-bytes", "64K"], ""), (["create", "t"], ""),
                              (["put", "s", "-q", "-k", "key", "--batch", "10"], "\n".join(cls.everything)),
                              (["put", "t", "-q", "-k", "key"], "other")):
            with tempfile.TemporaryFile() as stdin: # Of a pipe, a batch is what has come by then.
                stdin.write(text.encode())
                stdin.seek(0)
                subprocess.run([LSTREAM, *command], stdin=stdin, env=environment, check=True)
        assert os.path.exists(os.path.join(cls.sound, cls.LAST))

    # ---- doing damage ----

    def bytes_at(self, path, offset, new):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(new)

    def flip(self, path, offset):
        self.bytes_at(path, offset, bytes([content(path)[offset] ^ 16]))

    def stand_in(self, path, make):
        """Something else under the name; what was there is outside of the store."""
        os.rename(path, os.path.join(self.folder, "was"))
        make(path)

    @staticmethod
    def socket(path):
        here = os.getcwd()
        os.chdir(os.path.dirname(path)) # an address has 108 bytes
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(os.path.basename(path))
        finally:
            os.chdir(here)

    def damage(self, kind, path):
        """What was done to the file, and a part of what is to be said of it."""
        was = os.path.join(self.folder, "was")
        size = os.path.getsize(path) if os.path.isfile(path) else 0
        makers = {"directory": os.mkdir, "fifo": os.mkfifo, "socket": self.socket,
                  "device": lambda p: os.mknod(p, 0o600 | stat.S_IFCHR, os.makedev(1, 3)),
                  "link": lambda p: os.symlink(was, p), "gone": lambda p: None,
                  "file": lambda p: open(p, "wb").close()}
        if kind in makers:
            self.stand_in(path, makers[kind])
        elif kind == "empty":
            os.truncate(path, 0)
        elif kind == "cut":
            os.truncate(path, size // 2)
        elif kind == "flip":
            self.flip(path, 5000 if path.endswith(".seg") else 20)
        elif kind == "flip-header":
            self.flip(path, 20)
        elif kind == "zeros":
            self.bytes_at(path, 0, bytes(min(size, 512)))
        elif kind == "garbage":
            self.bytes_at(path, 0, bytes(i * 7 % 251 for i in range(size)))
        elif kind == "grown":
            self.bytes_at(path, size, b"\xa5" * 100)
        elif kind == "another's":
            shutil.copy(os.path.join(self.store, "2/0/00000001.seg"), path)
        else:
            self.fail(kind)

    # ---- judging ----

    def tree(self):
        """All that a dry run must leave as it is."""
        seen = {}
        for folder, dirs, names in os.walk(self.store):
            for name in dirs + names:
                path = os.path.join(folder, name)
                about = os.lstat(path)
                inside = hashlib.sha256(content(path)).hexdigest() if stat.S_ISREG(about.st_mode) else None
                seen[os.path.relpath(path, self.store)] = (about.st_mode, about.st_ino, about.st_mtime_ns, inside)
        return seen

    def contents(self):
        return [content(os.path.join(folder, name)) for folder, _, names in os.walk(self.store) for name in names
                if os.path.isfile(os.path.join(folder, name)) and not os.path.islink(os.path.join(folder, name))]

    def findings(self, *command, expect):
        lines = [json.loads(line) for line in self.run_tool(*command, "--json", expect=expect).out.splitlines()]
        self.assertEqual(list(lines[-1]), ["summary"])
        return lines[:-1], lines[-1]["summary"]

    def judge(self, file, kind, severity, word, what, lost):
        """`lost`: a number of records, "some" or "all" of the stream's; None: not to be asked, it is not repaired."""
        path = os.path.join(self.store, file)
        damaged = severity == "DAMAGE"
        found, summary = self.findings("verify", expect=4 if damaged else 0)
        self.assertEqual([(f["severity"], f["kind"]) for f in found], [] if severity is None else [(severity, word)])
        self.assertGreaterEqual(summary["records"], 1) # the other stream was looked at, whatever this one is
        before = self.tree()
        self.assertEqual(self.findings("repair", "--dry-run", expect=4 if damaged else 0), (found, summary))
        self.assertEqual(self.tree(), before)
        if severity is None:
            self.assertEqual(self.lines("s"), self.everything)
            return
        one = found[0]
        if damaged: # Who reads meanwhile finds where the log ends, and makes nobody forget how far it went.
            self.run_tool("get", "s", "--skip-damage", expect=None)
            self.assertEqual(self.findings("verify", expect=4), (found, summary))
            before = self.tree()
        self.assertEqual(one["what"].count("\n") + one["advice"].count("\n"), 0)
        self.assertIn(file, one["what"])
        self.assertRegex(one["what"], what)
        self.assertTrue(one["advice"])
        self.assertRegex(one["what"], "lost|cannot be reached")
        self.assertEqual(summary["records_lost_max"], one["records_max"] if damaged else 0)
        text = self.run_tool("verify", expect=4 if damaged else 0).out.splitlines()
        self.assertEqual(text[0], "%s: %s" % (severity, one["what"]))
        self.assertEqual(text[1], "  %s%s" % ("to do: " if damaged else "", one["advice"]))
        if damaged and one["records_max"] == 0:
            self.assertIn("(no record lost)", text[-1])
        if not one["repairable"]:
            self.assertEqual(self.findings("repair", expect=4), (found, summary))
            self.assertEqual(self.tree().keys() - before.keys(), set())
            self.assertIn(os.path.basename(file), self.run_tool("get", "s", expect=4).err)
            self.assertIn(os.path.basename(file), self.run_tool("put", "s", "-k", "k", stdin=b"x\n", expect=4).err)
            return
        was = content(path) if os.path.isfile(path) and not os.path.islink(path) else None
        told, _ = self.findings("repair", expect=0)
        self.assertEqual([(f["severity"], f["kind"], f["repaired"]) for f in told if f["severity"] != "note"],
                         [(severity, word, True)])
        done = [f for f in told if f["severity"] != "note"][0]
        for field in ("records_max", "first_seqno", "last_seqno", "file"):
            self.assertEqual(done[field], one[field])
        self.assertNotIn("lstream repair", done["advice"])
        if was is not None: # R4: every byte is still somewhere
            self.assertTrue(any(was == kept or was == kept + was[len(kept):] and len(kept) == SEGMENT_HEADER
                                for kept in self.contents()), file)
        self.assertEqual([f for f in self.findings("verify", expect=0)[0] if f["severity"] != "note"], [])
        left = self.lines("s")
        there = set(left)
        gone = [i + 1 for i, record in enumerate(self.everything) if record not in there]
        self.assertEqual(left, [record for record in self.everything if record in there])
        if gone:
            self.assertLessEqual(one["first_seqno"], gone[0])
            self.assertGreaterEqual(one["last_seqno"], gone[-1])
        self.assertLessEqual(len(gone), one["records_max"])
        self.assertEqual(len(gone) if lost != "some" else 0 < len(gone) < self.COUNT, lost if lost != "some" else True)
        self.run_tool("put", "s", "-k", "k", stdin=b"after\n")
        self.assertEqual(self.lines("s"), left + ["after"])
        self.assertEqual(self.lines("t"), ["other"])

    def walk(self, file, table, without=None):
        for kind, expected in table.items():
            if kind == "device" and os.geteuid() != 0:
                continue # Only root can make one.
            with self.subTest(file=file, kind=kind):
                shutil.rmtree(self.folder)
                os.mkdir(self.folder)
                shutil.copytree(self.sound, self.store)
                if without is not None:
                    os.unlink(os.path.join(self.store, without))
                self.damage(kind, os.path.join(self.store, file))
                self.judge(file, kind, *expected)

    NO_FILE = {kind: "is not a regular file" for kind in ("directory", "fifo", "socket", "device")}
    NO_FILE["link"] = "is, or lies behind, a symbolic link"

    def test_the_manifest(self):
        says = {**self.NO_FILE, "gone": "is not there", "empty": "is cut short: it has 0 bytes",
                "cut": r"has \d+ bytes, its header states", "flip": "fails its checksum", "zeros": "does not begin",
                "garbage": "does not begin", "grown": r"has \d+ bytes, its header states",
                "another's": "does not begin"}
        table = {kind: ("DAMAGE", "manifest", said + ".*: no stream can be opened until its copy is put in its place: "
                        "nothing is lost", 0) for kind, said in says.items()}
        self.walk("manifest", table)
        table = {kind: ("DAMAGE", "manifest", said + ".*: no stream can be opened, and 1001 records in .*"
                        r"\(ids: 1, 2\) cannot be reached until it is put back; names, settings, "
                        "registered consumers and hash ranges are nowhere else", None) for kind, said in says.items()}
        self.walk("manifest", table, without="manifest.copy")

    def test_the_manifests_copy(self):
        table = {kind: ("hint", "manifest", "is not as the manifest is: nothing is lost", 0)
                 for kind in (*self.NO_FILE, "empty", "cut", "flip", "zeros", "garbage", "grown", "another's")}
        self.walk("manifest.copy", table)

    def test_the_control_file(self):
        hint = ("hint", "control", "nothing is lost", 0)
        self.walk("control", {
            **{kind: ("DAMAGE", "control", said + ": no record is lost, but the store can only be read", 0)
               for kind, said in self.NO_FILE.items()},
            "gone": (None,) * 4, "grown": (None,) * 4,
            "empty": ("hint", "control", "is cut short to 0 bytes", 0), "cut": hint, "flip": hint, "zeros": hint,
            "garbage": hint, "another's": hint})

    def test_what_uses_a_store_whose_control_file_is_none(self):
        """Reading goes on; writing and status say why not, and change nothing."""
        shutil.copytree(self.sound, self.store)
        self.damage("directory", os.path.join(self.store, "control"))
        before = self.tree()
        self.assertIn("control is not a regular file", self.run_tool("put", "s", "-k", "k", stdin=b"x\n", expect=4).err)
        self.assertIn("control is not a regular file", self.run_tool("create", "u", expect=4).err)
        shown = self.run_tool("status", expect=4)
        self.assertIn("control is not a regular file", shown.err)
        self.assertIn("durability  sync", shown.out)
        self.assertEqual(self.lines("s"), self.everything)
        self.run_tool("list")
        self.run_tool("describe", "s")
        self.assertEqual(self.tree(), before)

    def test_the_reserve(self):
        self.walk("reserve", {
            **{kind: ("hint", "reserve", said + ": nothing is lost, but no space is kept", 0)
               for kind, said in self.NO_FILE.items()},
            **{kind: (None,) * 4
               for kind in ("gone", "empty", "cut", "flip", "zeros", "garbage", "grown", "another's")}})

    def test_a_segment_list(self):
        says = {**self.NO_FILE, "gone": "is not there", "empty": "is cut short: it has 0 bytes",
                "cut": r"has \d+ bytes, its header states", "flip": "fails its checksum, or it belongs elsewhere",
                "zeros": "does not begin", "garbage": "does not begin", "grown": r"has \d+ bytes, its header states",
                "another's": "does not begin"}
        self.walk(self.LIST,
                  {kind: ("DAMAGE", "segment-list", said + r".*: the shard cannot be opened until the list is "
                                     r"rebuilt \(segments: 4\); no record is lost", 0) for kind, said in says.items()})

    def segment(self, file, lost, at_most):
        def header(said, lost):
            return "DAMAGE", "segment-header", said, lost
        whole = r": %s\d+ records lost, seqno \d+\.\.\d+" % at_most
        self.walk(file, {
            **{kind: header(said + whole, lost) for kind, said in self.NO_FILE.items()},
            "gone": ("DAMAGE", "segment-missing", "is not there" + whole, lost),
            "empty": header("ends within its header, after 0 bytes" + whole, lost),
            "cut": ("DAMAGE", "segment-short", r"is cut short, from offset 0x[0-9a-f]+ on \d+ bytes are gone" + whole,
                    "some"),
            "flip": ("DAMAGE", "frames", r"is damaged at offset 0x[0-9a-f]+, \d+ bytes: 10 records lost", 10),
            "flip-header": header("the header of .* fails its checksum: no record is lost once it is repaired", 0),
            "zeros": header("the header of .* does not begin as a segment's does" + whole, lost),
            "garbage": header("the header of .* does not begin as a segment's does" + whole, lost),
            "grown": (None,) * 4,
            "another's": header(r"belongs to another log \(stream id 2 shard 0\)" + whole, lost)})

    def test_a_sealed_segment(self):
        self.segment(self.SEALED, 270, "")

    def test_the_last_segment(self):
        self.segment(self.LAST, 190, "at most ")

    def test_an_index(self):
        hint = ("hint", "index", r"has \d+ wrong entr.*: nothing is lost, an index is a hint", 0)
        self.walk(self.INDEX, {
            **{kind: ("hint", "index", said + ": nothing is lost, an index is a hint", 0)
               for kind, said in self.NO_FILE.items()},
            "gone": (None,) * 4, "empty": (None,) * 4, "zeros": (None,) * 4, "cut": hint, "flip": hint, "garbage": hint,
            "grown": hint, "another's": hint})

    def test_a_shards_directory(self):
        lost = ": every record of the shard is lost, at most 1000, seqno 1..1000"
        for file in ("1/0", "1"):
            self.walk(file, {kind: ("DAMAGE", "segment-list", file + " " + said + lost, self.COUNT)
                             for kind, said in {
                "file": "is not a directory", "fifo": "is not a directory", "link": "is not a directory",
                "gone": "is not there"}.items()})

    def test_directories_that_were_exchanged_are_told_apart(self):
        shutil.copytree(self.sound, self.store)
        for a, b in (("1", "x"), ("2", "1"), ("x", "2")):
            os.rename(os.path.join(self.store, a), os.path.join(self.store, b))
        found, _ = self.findings("verify", expect=4)
        self.assertEqual([(f["kind"], f["repairable"]) for f in found], [("segment-list", False)] * 2)
        self.assertIn("those of stream id 2 shard 0", found[0]["what"])
        self.assertIn("give each its name back", found[0]["advice"])
        for a, b in (("1", "x"), ("2", "1"), ("x", "2")):
            os.rename(os.path.join(self.store, a), os.path.join(self.store, b))
        self.assertEqual(self.findings("verify", expect=0)[0], [])

    def test_segments_that_were_exchanged_are_told_apart(self):
        shutil.copytree(self.sound, self.store)
        a, b, x = (os.path.join(self.store, name) for name in (self.SEALED, "1/0/00000003.seg", "x"))
        for old, new in ((a, x), (b, a), (x, b)):
            os.rename(old, new)
        found, _ = self.findings("verify", expect=4)
        self.assertIn("00000002.seg holds segment 3", found[0]["what"])
        self.assertIn("give the file back its own name", found[0]["advice"])

    def test_what_is_lost_is_not_known_when_nobody_can_know(self):
        """No directory, and no control file that remembers the numbers."""
        shutil.copytree(self.sound, self.store)
        shutil.rmtree(os.path.join(self.store, "1/0"))
        os.unlink(os.path.join(self.store, "control"))
        found, summary = self.findings("verify", expect=4)
        self.assertIsNone(found[0]["records_max"])
        self.assertIsNone(summary["records_lost_max"])
        self.assertIn("how many is not known", found[0]["what"])
        self.assertIn("(how many records are lost is not known)", self.run_tool("verify", expect=4).out)

    def test_all_shards_are_looked_at_behind_one_that_is_lost(self):
        """Also when neither its list nor the control file is there, and when the system does not let it be read."""
        shutil.copytree(self.sound, self.store)
        os.unlink(os.path.join(self.store, self.LIST))
        os.unlink(os.path.join(self.store, "control"))
        os.unlink(os.path.join(self.store, "2/0/segments"))
        found, summary = self.findings("verify", expect=4)
        self.assertEqual([f["stream"] for f in found], ["s", "t"])
        self.assertEqual(summary["records"], self.COUNT + 1)
        for f in found:
            self.assertIn("segments after", f["what"])

    def test_a_damaged_manifest_and_more(self):
        """Repairing has to wait for the manifest, and says so; what waits is told all the same."""
        shutil.copytree(self.sound, self.store)
        os.unlink(os.path.join(self.store, self.SEALED))
        os.unlink(os.path.join(self.store, "manifest.copy"))
        self.flip(os.path.join(self.store, "manifest"), 20)
        for command in ("verify", "repair"):
            found, summary = self.findings(command, expect=4)
            self.assertEqual([(f["kind"], f["repairable"], f["stream"]) for f in found],
                             [("segment-missing", False, ""), ("manifest", False, None)])
            self.assertIn("stream id 1 shard 0", found[0]["what"])
            self.assertIn("put `manifest` back first", found[0]["advice"])
            self.assertEqual(found[1]["records_max"], self.COUNT + 1 - found[0]["records_max"])
            self.assertEqual(summary["records_lost_max"], self.COUNT + 1)

    def test_what_may_not_be_read_is_told_with_who_may(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody who may not")
        shutil.copytree(self.sound, self.store)
        os.chmod(self.folder, 0o755)
        for folder, dirs, names in os.walk(self.store):
            os.chmod(folder, 0o755)
            for name in names:
                os.chmod(os.path.join(folder, name), 0o644)
        os.chmod(os.path.join(self.store, self.LIST), 0)
        os.chmod(os.path.join(self.store, "2/0/00000001.seg"), 0)
        tool = os.path.join(self.folder, "lstream")
        shutil.copy(LSTREAM, tool)
        for control in (True, False): # with and without what remembers where the segment ends
            if not control:
                os.unlink(os.path.join(self.store, "control"))
            done = subprocess.run([tool, "verify", "--store", self.store, "--json"], capture_output=True, user=65534,
                                  group=65534, extra_groups=[], env={})
            self.assertEqual(done.returncode, 4, done.stderr)
            found = [json.loads(line) for line in done.stdout.splitlines()][:-1]
            self.assertEqual([(f["kind"], f["file"]) for f in found],
                             [("file-unreadable", self.LIST), ("file-unreadable", "2/0/00000001.seg")])
            for f in found:
                self.assertIn("Permission denied", f["what"])
                self.assertIn("as root", f["advice"])

    def test_upkeep_does_not_touch_what_a_repair_kept(self):
        shutil.copytree(self.sound, self.store)
        for file in ("control", "reserve", self.LIST, self.INDEX):
            self.damage("directory", os.path.join(self.store, file)) if file != self.LIST else self.flip(
                os.path.join(self.store, file), 20)
            shutil.rmtree(os.path.join(self.folder, "was"), ignore_errors=True)
            if os.path.exists(os.path.join(self.folder, "was")):
                os.unlink(os.path.join(self.folder, "was"))
        self.findings("repair", expect=0)
        kept = ["control.damaged-1", "reserve.damaged-1", self.LIST + ".damaged-1", self.INDEX + ".damaged-1"]
        self.run_tool("put", "s", "-k", "k", stdin=b"more\n")
        for name in kept:
            self.assertTrue(os.path.exists(os.path.join(self.store, name)), name)
        notes = [f["file"] for f in self.findings("verify", expect=0)[0]]
        self.assertEqual(sorted(notes), sorted(kept))
        self.run_tool("delete", "s")
        self.assertFalse(os.path.exists(os.path.join(self.store, "1")))


class OneOfMany(Store):
    """Four shards, of which one cannot be opened at all."""

    def setUp(self):
        super().setUp()
        self.make("s", "--shards", "4")
        self.run_tool("put", "s", "--key-column", "1", stdin=b"".join(b"%05d\n" % i for i in range(400)))
        self.others = sorted(sum((self.lines("s", "--shard", i) for i in (0, 2, 3)), []))
        self.assertTrue(200 < len(self.others) < 400)

    def check(self, list_is_lost):
        """The others are read, described and watched over as ever."""
        self.assertEqual(sorted(self.lines("s", "--skip-damage", expect=4)), self.others)
        shards = json.loads(self.run_tool("describe", "s", "--json").out)["shards"]
        self.assertEqual([s["health"] for s in shards], ["ok", "damaged", "ok", "ok"])
        self.assertEqual(shards[1]["oldest_seqno"], None)
        self.assertIn("damaged", self.run_tool("describe", "s").out)
        self.run_tool("retention", "s")
        if list_is_lost:
            self.assertIn("1 of 4 shards in use refuse records", self.run_tool("status").out)
            shards = json.loads(self.run_tool("status", "--json").out)["shards"]
            self.assertEqual(sorted((s["shard"], s["health"]) for s in shards)[1], (1, "damaged"))

    def test_its_list_is_damaged(self):
        path = self.shard_file("segments", shard=1)
        with open(path, "r+b") as file:
            file.seek(70)
            file.write(b"\xa5\xa5")
        self.check(list_is_lost=True)

    def test_its_directory_is_gone(self):
        shutil.rmtree(self.shard_file("", shard=1))
        self.check(list_is_lost=True)

    def test_its_last_segment_is_gone(self):
        os.remove(self.shard_file("00000001.seg", shard=1))
        os.remove(os.path.join(self.store, "control"))
        self.check(list_is_lost=False)


if __name__ == "__main__":
    unittest.main()
