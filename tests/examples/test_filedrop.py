#!/usr/bin/env python3
"""The pipeline of files dropped in a directory, run as a user runs it.

    test_filedrop.py FILEDROP LSTREAM
"""

import json
import os
import signal
import subprocess
import sys
import time

import pipelines

FILEDROP, LSTREAM = sys.argv[1:3]
pipelines.Case.program = FILEDROP
pipelines.Case.tool = LSTREAM
BODY_BYTES_MAX = (1 << 20) - len("123")


class Filedrop(pipelines.Case):
    def setUp(self):
        super().setUp()
        self.drop = self.path("drop")
        os.mkdir(self.drop)

    def dropped(self, name, data, moved=True):
        target = os.path.join(os.fsencode(self.drop), name if isinstance(name, bytes) else name.encode())
        with open(target + b".part" if moved else target, "wb") as file:
            file.write(data)
        if moved:
            os.rename(target + b".part", target)

    def stored(self):
        """All bodies that are in the stream."""
        done = subprocess.run([LSTREAM, "get", "filedrop", "--store", self.kept, "--key-file", self.kept + ".key",
                               "--json"], capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        records = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual({record["key"] for record in records}, {"123"})
        return [record["data"] for record in records]

    def consumers(self, result):
        return {consumer["name"]: consumer["records"] for consumer in result["consumers"]}

    def run_it(self, *arguments, **more):
        """They need not wait long, for another file or for their turn to read."""
        return super().run_it("--reads", "500", *(["--idle", "0.1"] if self.drop in arguments else []), *arguments,
                              **more)

    def test_made_up_files_reach_both_consumers(self):
        result = self.result()
        self.assertEqual((result["records"], result["refused"]), (20, 0))
        self.assertEqual(self.consumers(result), {"consumer-1": 20, "consumer-2": 20})

    def test_a_made_up_file_that_cannot_be_dropped_is_a_failure(self):
        part = os.path.join(self.kept + ".drop", "000003.part")
        os.makedirs(part)
        self.fails(1, "cannot make %s: Is a directory" % part, "--json", "--store", self.kept)
        os.rmdir(part)
        self.assertEqual(self.result("--store", self.kept)["records"], 20)
        if os.geteuid() != 0:  # Root may write wherever it is.
            os.mkdir(self.path("closed.drop"), 0o555)
            self.fails(1, "000001.part: Permission denied", "--json", "--store", self.path("closed"))
        # What lies there under a made-up file's name, and is none, is missed.
        os.makedirs(os.path.join(self.path("other") + ".drop", "000003.txt"))
        self.fails(1, "1 of 20 made-up files have not come", "--json", "--store", self.path("other"))
        self.assertEqual(self.result("--suffix", "1.txt")["records"], 2)

    def test_made_up_files_of_a_store_are_of_one_seed(self):
        self.assertEqual(self.result("--store", self.kept, "--files", "3")["records"], 3)
        self.fails(1, "--seed is the same in all runs of a store: here it is '1'", "--json", "--store", self.kept,
                   "--files", "5", "--seed", "2")
        self.dropped("a.txt", b"of no seed")
        self.assertEqual(self.result("--store", self.kept, "--seed", "2", self.drop)["taken"], 1)
        # More of the same seed are those that there would have been at once.
        result = self.result("--store", self.kept, "--files", "5")
        self.assertEqual((result["records"], result["taken"]), (6, 2))
        made = [body for body in self.stored() if body != "of no seed"]
        self.kept = self.path("at-once")
        self.result("--store", self.kept, "--files", "5", "--seed", "1")
        self.assertEqual(self.stored(), made)

    def test_made_up_files_are_dropped_at_the_pace_that_is_asked_for(self):
        def times(*arguments):
            kept = self.kept + "-".join(arguments)
            self.result("--files", "6", "--rate", "10", "--store", kept, *arguments)
            return sorted(os.stat(os.path.join(kept + ".drop", name)).st_mtime
                          for name in os.listdir(kept + ".drop"))

        one_by_one = times()
        self.assertEqual(len(one_by_one), 6)
        self.assertGreater(one_by_one[5] - one_by_one[0], 0.35)  # of 0.5 s: the first may have been late
        by_three = times("--batch", "3")
        self.assertGreater(by_three[3] - by_three[2], 0.15)  # of 0.3 s

    def test_a_consumer_that_fails_for_ever_stops_nobody(self):
        result = self.result("--fail", "--shards", "4", "--store", self.kept)
        self.assertEqual([(c["name"], c["records"]) for c in result["consumers"]],
                         [("consumer-1", 20), ("consumer-2", 0)])
        self.assertEqual(result["shards"], [20, 0, 0, 0])  # The hash of 123 is 202cb962...: in the first quarter.
        # Repaired, it has all that it missed, and the other one nothing again.
        result = self.result("--store", self.kept, "--shards", "4")
        self.assertEqual((result["records"], result["taken"]), (20, 0))
        self.assertEqual(self.consumers(result), {"consumer-1": 20, "consumer-2": 20})

    def test_files_are_taken_once_a_version_and_by_their_suffix(self):
        self.dropped("a.txt", b"alpha")
        self.dropped("a.TXT", b"no")
        self.dropped("b.csv", b"no")
        self.dropped("empty.txt", b"")
        self.dropped("my file(1).txt", b"blanks")
        os.mkdir(os.path.join(self.drop, "folder.txt"))
        os.symlink("/etc/passwd", os.path.join(self.drop, "link.txt"))
        result = self.result("--store", self.kept, self.drop)
        self.assertEqual((result["records"], result["taken"], result["refused"]), (3, 3, 0))
        self.assertEqual(sorted(self.stored()), ["", "alpha", "blanks"])
        self.dropped("a.txt", b"alpha, again")
        result = self.result("--store", self.kept, self.drop)
        self.assertEqual((result["records"], result["taken"]), (4, 1))
        self.assertIn("alpha, again", self.stored())
        self.assertEqual(self.result("--suffix", "TXT", self.drop)["records"], 1)

    def test_files_of_one_name_in_two_directories_are_two(self):
        for folder, body in (("A", "one"), ("B", "two")):
            os.mkdir(self.path(folder))
            os.utime(self.file(folder + "/a.txt", body), ns=(10**18, 10**18))
        os.symlink("A", self.path("link"))
        for folder, taken in (("A", 1), ("B", 1), ("A", 0), ("link", 0), ("B/../A", 0), ("B", 0)):
            result = self.result("--idle", "0.1", "--store", self.kept, self.path(folder))
            self.assertEqual(result["taken"], taken, folder)
        self.assertEqual(self.stored(), ["one", "two"])
        # A version is size and time: one of them changes it, and the content alone does not.
        os.utime(self.file("A/a.txt", "ONE"), ns=(10**18, 10**18))
        self.assertEqual(self.result("--idle", "0.1", "--store", self.kept, self.path("A"))["taken"], 0)
        os.utime(self.path("A/a.txt"), ns=(10**18, 10**18 + 1))
        self.assertEqual(self.result("--idle", "0.1", "--store", self.kept, self.path("A"))["taken"], 1)
        os.utime(self.file("A/a.txt", "four"), ns=(10**18, 10**18 + 1))
        self.assertEqual(self.result("--idle", "0.1", "--store", self.kept, self.path("A"))["taken"], 1)
        self.assertEqual(self.stored(), ["one", "two", "ONE", "four"])
        # One whose path is longer than a note's name may be.
        for body in ("five", "six"):
            deep = os.path.join(self.path("deep" * 50), body)
            os.makedirs(deep)
            os.utime(self.file(os.path.join(deep, "a.txt"), "same"), ns=(10**18, 10**18))
            self.assertEqual(self.result("--idle", "0.1", "--store", self.kept, deep)["taken"], 1)
            self.assertEqual(self.result("--idle", "0.1", "--store", self.kept, deep)["taken"], 0)

    def test_limits_are_those_of_a_record(self):
        self.dropped("largest.txt", b"x" * BODY_BYTES_MAX)
        self.dropped("too-large.txt", b"x" * (BODY_BYTES_MAX + 1))
        self.dropped(b"no-\xff-text.txt", b"body")
        secret = os.geteuid() != 0  # Root may read whatever there is.
        if secret:
            self.dropped("secret.txt", b"body")
            os.chmod(os.path.join(self.drop, "secret.txt"), 0)
        done = self.run_it("--json", self.drop)
        result = json.loads(done.stdout)
        self.assertEqual((done.returncode, result["records"], result["refused"]), (0, 2, 1 + secret))
        self.assertEqual(b"secret.txt is refused: Permission denied" in done.stderr, secret)
        self.assertIn(b"too-large.txt is refused: larger than a record may be", done.stderr)

    def told(self, process, wanted):
        """Lines come at once, into a pipe, too; a consumer's may come before the producer's."""
        for line in process.stdout:
            if wanted in line:
                return
        self.fail(wanted + " was not told")

    def test_what_is_dropped_while_it_watches_is_taken_until_a_signal(self):
        process = subprocess.Popen([FILEDROP, "--idle", "0", "--store", self.kept, self.drop], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.environment, text=True)
        self.dropped("first.txt", b"1")
        self.told(process, "first.txt: 1 bytes")
        self.dropped("second.txt", b"22")
        self.dropped("third.txt", b"333", moved=False)
        self.told(process, "third.txt: 3 bytes")
        # A link is taken when it is made, whether its other name stays or not; what is written, when it is closed.
        for name in ("fourth", "fifth"):
            with open(self.path(name), "w") as file:
                file.write(name)
            os.link(self.path(name), os.path.join(self.drop, name + ".txt"))
            if name == "fifth":
                os.unlink(self.path(name))
            self.told(process, name + ".txt: ")
        with open(os.path.join(self.drop, "sixth.txt"), "w") as file:
            for _ in range(3):
                file.write("666")
                file.flush()
                time.sleep(0.1)
        self.told(process, "sixth.txt: 9 bytes")
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
        self.assertEqual((process.returncode, errors), (0, ""))
        self.assertIn("6 records, 6 of them from files of this run", out)
        self.assertEqual(self.stored(), ["1", "22", "333", "fourth", "fifth", "666666666"])

    def test_a_file_that_is_being_written_when_it_begins_is_taken_whole(self):
        with open(os.path.join(self.drop, "slow.txt"), "w") as file:
            file.write("first half, ")
            file.flush()
            process = subprocess.Popen([FILEDROP, "--idle", "0", "--store", self.kept, self.drop], env=self.environment,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.dropped("marker.txt", b"1")
            self.told(process, "marker.txt: 1 bytes")
            time.sleep(0.2)
            file.write("second half")
        self.told(process, "slow.txt: ")
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
        self.assertEqual((process.returncode, errors), (0, ""))
        self.assertEqual(self.stored(), ["1", "first half, second half"])

    def ended(self, process, records):
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
        self.assertEqual((process.returncode, errors), (0, ""))
        self.assertIn("%d records" % records, out)

    def linked(self, name, data):
        """A file that had no name until it was written, by open(2), and that is still open."""
        file = os.open(self.drop, os.O_TMPFILE | os.O_WRONLY, 0o600)
        os.write(file, data)
        directory = os.open(self.drop, os.O_RDONLY)  # With it the link is followed; the path is no part of it.
        os.link("/proc/self/fd/%d" % file, os.path.join(self.drop, name), src_dir_fd=directory, follow_symlinks=True)
        os.fsync(directory)
        os.close(directory)
        return file

    def test_a_file_that_is_linked_while_it_is_written_is_taken_when_it_is_closed(self):
        def link(number):
            return self.linked("%02d.txt" % number, b"first half, ")

        def finish(file):
            os.write(file, b"second half")
            os.close(file)

        there = link(0)  # When it begins, and when it lists the directory.
        process = subprocess.Popen([FILEDROP, "--idle", "0", "--reads", "500", "--store", self.kept, self.drop],
                                   env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        self.dropped("marker.txt", b"marker")
        self.told(process, "marker.txt: 6 bytes")
        files = [link(number) for number in range(1, 41)]
        gone = link(41)
        with open(self.path("named"), "w") as named:  # Its other name stays: that one is told, and not watched.
            named.write("first half, ")
            named.flush()
            os.link(self.path("named"), os.path.join(self.drop, "42.txt"))
            time.sleep(0.4)  # They are looked at more than once.
            named.write("second half")
        for file in files:
            finish(file)
        finish(there)
        os.unlink(os.path.join(self.drop, "41.txt"))
        os.close(gone)
        wanted = {"%02d.txt" % number for number in range(43) if number != 41}
        while wanted:
            line = process.stdout.readline()
            self.assertNotEqual(line, "", wanted)
            if not line.startswith("consumer"):
                self.assertIn(": 23 bytes", line)
                wanted.remove(os.path.basename(line.split(":")[0]))
        empty = link(43)
        os.ftruncate(empty, 0)
        os.close(empty)
        self.told(process, "43.txt: 0 bytes")
        self.ended(process, 44)
        self.assertEqual(sorted(self.stored()), sorted(["marker", ""] + ["first half, second half"] * 42))

    def test_a_file_that_is_closed_before_the_end_is_taken_before_it(self):
        file = self.linked("a.txt", b"body")
        process = subprocess.Popen([FILEDROP, "--json", "--idle", "2", "--store", self.kept, self.drop],
                                   env=self.environment, stdout=subprocess.PIPE, text=True)
        time.sleep(1.6)  # It has looked at 0.1, 0.3, 0.7 and 1.5 s, and would at 2.5 s.
        os.close(file)
        self.assertEqual(json.loads(process.communicate(timeout=60)[0])["taken"], 1)

    def test_a_directory_that_is_taken_away_ends_it(self):
        for take_away in (os.rmdir, lambda path: os.rename(path, path + "-elsewhere")):
            process = subprocess.Popen([FILEDROP, "--idle", "0", "--store", self.kept, self.drop], env=self.environment,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            with open(os.path.join(self.drop, "a.txt"), "w") as file:
                file.write(str(take_away))
            self.told(process, "a.txt: ")
            os.unlink(os.path.join(self.drop, "a.txt"))
            take_away(self.drop)
            errors = process.communicate(timeout=30)[1]
            self.assertEqual((process.returncode, errors),
                             (1, "filedrop: cannot watch %s: No such file or directory\n" % self.drop))
            os.mkdir(self.drop)

    def test_nothing_on_disk_shows_what_was_put_and_a_wrong_key_is_said(self):
        self.dropped("secret.txt", b"PLAINTEXT-" * 500)
        self.result("--store", self.kept, self.drop)
        for folder, _, names in os.walk(self.kept):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    content = file.read()
                self.assertNotIn(b"PLAINTEXT", content)
                self.assertNotIn(b"secret.txt", content)
        with open(self.kept + ".key", "r+b") as key:
            self.assertEqual(os.fstat(key.fileno()).st_mode & 0o777, 0o600)
            key.write(b"?" * 32)
        done = self.run_it("--store", self.kept, self.drop)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"(LS_ERR_KEY)", done.stderr)

    def test_a_result_that_cannot_be_written_is_an_error(self):
        for arguments, said in ((["--json"], b": No space left on device\n"), ([], b"\n")):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([FILEDROP, "--files", "2", "--reads", "500", *arguments], stdout=full,
                                      stderr=subprocess.PIPE, env=self.environment, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (1, b"filedrop: cannot write the result" + said))

    def test_a_run_goes_on_wherever_it_begins(self):
        result = self.goes_on_from_another_place(["--files", 2], ["--files", 3])
        self.assertEqual((result["records"], result["taken"]), (3, 1))

    def test_what_a_shard_gives_is_that_of_this_run(self):
        for arguments, reads in (([], 5), (["--reads", "50"], 50), ([], 50)):
            done = pipelines.Case.run_it(self, "--json", "--store", self.kept, "--files", "2", *arguments)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            limits = json.loads(self.lstream("limits", "filedrop", "--json"))
            self.assertEqual(limits["read_calls_per_second"], reads)

    def test_shards_are_those_that_the_stream_has(self):
        self.shards_are_those_of_the_stream("--files", "5")

    def test_two_runs_do_not_share_a_store(self):
        self.a_second_run_is_refused("--files", "50", "--rate", "10")
        self.assertEqual(self.result("--store", self.kept, "--files", "50")["records"], 50)

    def test_a_store_whose_oldest_records_are_gone_goes_on_and_checks_the_rest(self):
        self.lstream("create", "filedrop", "--segment-bytes", "64K")
        for number in range(8):
            self.dropped("%d.txt" % number, b"%d" % number * 50000)
        self.assertEqual(self.result("--store", self.kept, self.drop)["records"], 8)
        self.lstream("retention", "filedrop", "--bytes", "128K")
        self.lstream("maintain")
        self.dropped("more.txt", b"more")
        result = self.result("--store", self.kept, self.drop)
        self.assertEqual(result["taken"], 1)
        self.assertTrue(1 < result["records"] < 9, result)
        self.assertEqual(self.consumers(result), {"consumer-1": 9, "consumer-2": 9})

    def test_it_may_be_killed_at_any_moment(self):
        for number in range(60):
            self.dropped("%02d.txt" % number, b"body %d" % number)
        result = self.killed_until_done(5, "--reads", "500", "--idle", "0.1", self.drop)
        self.assertEqual(result["records"], 60)
        self.assertEqual(self.consumers(result), {"consumer-1": 60, "consumer-2": 60})
        self.assertEqual(sorted(self.stored()), sorted("body %d" % number for number in range(60)))

    def test_wrong_arguments_are_one_line(self):
        for arguments, part in ((["--what"], "what"), (["--idle", "-1"], "--idle wants"),
                                (["--shards", "0"], "--shards"), ([self.path("nowhere")], "nowhere: No such file"),
                                ([FILEDROP], "filedrop is no directory"), ([self.drop, "more"], "not also 'more'")):
            self.fails(2, part, *arguments)
        self.help_fits()


if __name__ == "__main__":
    pipelines.main()
