#!/usr/bin/env python3
"""The keyed table of the examples against a model: a dictionary that is sorted.

    test_table.py CHECK_TABLE
"""

import os
import random
import subprocess
import sys

import pipelines

CHECK_TABLE = sys.argv[1]
SEED = pipelines.SEED


class Table(pipelines.Case):
    def say(self, *commands, code=0):
        done = subprocess.run([CHECK_TABLE, self.path("table")], capture_output=True, timeout=60, text=True,
                              input="".join("\t".join(map(str, command)) + "\n" for command in commands))
        self.assertEqual((done.returncode, done.stderr), (code, ""), "seed %d" % SEED)
        return done.stdout.splitlines()

    def test_random_puts_and_queries_are_those_of_a_sorted_dictionary(self):
        chance = random.Random(SEED)
        model, commands, expected = {}, [("begin",)], []
        word = lambda: "".join(chance.choice("abAB%_é@") for _ in range(chance.randrange(4)))
        bytes_of = lambda text: text.replace("@", "\0").encode()
        for _ in range(300):
            key, item = (chance.choice("pP"), word()), chance.choice(["one", "two"])
            commands.append(("put", *key, item))
            expected.append("added" if key not in model else "same" if model[key] == item else "other")
            model[key] = item
        commands.append(("commit",))
        holds = {"all": lambda s, a, b: True, "=": lambda s, a, b: s == a, "<": lambda s, a, b: s < a,
                 "<=": lambda s, a, b: s <= a, ">": lambda s, a, b: s > a, ">=": lambda s, a, b: s >= a,
                 "between": lambda s, a, b: a <= s <= b, "begins": lambda s, a, b: s.startswith(a)}
        for _ in range(300):
            condition, partition, one, other = chance.choice(list(holds)), chance.choice("pPq"), word(), word()
            limit, descending, after = chance.randrange(5), chance.random() < 0.5, chance.choice(["-", word()])
            commands.append(("query", condition, partition, one, other, limit, "desc" if descending else "asc", after))
            # The order is that of the bytes.
            sorts = sorted((s for p, s in model if p == partition and holds[condition](
                bytes_of(s), bytes_of(one), bytes_of(other))), key=bytes_of, reverse=descending)
            if after != "-":
                sorts = [s for s in sorts
                         if (bytes_of(s) < bytes_of(after) if descending else bytes_of(s) > bytes_of(after))]
            page = sorts if limit == 0 else sorts[:limit]
            expected += ["%s=%s" % (s, model[partition, s]) for s in page]
            expected.append("more" if len(page) < len(sorts) else "end")
        commands.append(("count",))
        expected.append(str(len(model)))
        self.assertEqual(self.say(*commands), expected, "seed %d" % SEED)

    def test_a_step_is_done_as_a_whole_or_not_at_all(self):
        self.say(("begin",), ("put", "p", "a", "kept"), ("commit",))
        self.assertEqual(self.say(("begin",), ("put", "p", "a", "lost"), ("put", "p", "b", "lost"), ("undo",),
                                  ("count",)), ["other", "added", "1"])
        self.say(("begin",), ("put", "p", "a", "lost"), ("put", "p", "c", "lost"), ("die",), code=9)
        self.assertEqual(self.say(("query", "all", "p", "", "", 0, "asc", "-")), ["a=kept", "end"])

    def test_a_file_that_is_no_table_is_said(self):
        self.file("table", b"this is no database, whatever its name says" * 100)
        done = subprocess.run([CHECK_TABLE, self.path("table")], capture_output=True, timeout=60, input=b"")
        self.assertEqual((done.returncode, done.stderr), (1, b"check_table: file is not a database\n"))


if __name__ == "__main__":
    pipelines.main()
