"""The seeds' scripts, run as their heads say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Dict, List

import pytest

import libstream
from libstream import Store

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "boto3")
PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(libstream.__file__)))
pytestmark = pytest.mark.skipif(not os.path.isdir(EXAMPLES), reason="the examples are not beside these tests")


def run(folder: str, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([sys.executable, os.path.join(EXAMPLES, script), *arguments], cwd=folder, text=True,
                          capture_output=True, timeout=100, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, LIBSTREAM_STORE=folder + "/store", PYTHONPATH=PACKAGES))
    assert done.returncode == 0, done.stderr
    return done


def put_books(folder: str, books: Any) -> "subprocess.CompletedProcess[str]":
    with open(folder + "/amazon_books200.json", "w", encoding="utf-8") as file:
        json.dump(books, file)
    return run(folder, "books_main.py")


def test_books_are_put_counted_and_averaged(folder: str) -> None:
    books: List[Dict[str, Any]] = [
        {"Title": "a", "Price": 10}, {"Title": "b", "Price": 20.5}, {"Title": float("nan"), "Price": float("nan")},
        {"Title": None, "Price": "$1,599.00"}, {"Price": "free"}, {"Title": "é" * 256}, {"Title": "x" * 257},
        {"Title": "\ud800 half a character"}]
    done = put_books(folder, [books])  # As the seed's file is: a list in a list.
    assert "Records put: 6, refused: 2" in done.stdout and "less than or equal to 256" in done.stderr
    assert "half of a surrogate pair" in done.stderr
    assert run(folder, "books_process.py").stdout.splitlines() == [
        "Total number of books: 6", "Books with a price: 3", "Total price of books: 1629.50",
        "Average price of books: 543.1667"]


def test_books_as_many_as_the_seed_s(folder: str) -> None:
    with Store(folder + "/store") as store:
        store.create_stream("amazon-books", shard_count=2).close()
    books = [{"Title": "title %d" % i, "Price": i % 7} for i in range(212)]
    assert "Records put: 212, refused: 0" in put_books(folder, books).stdout
    lines = run(folder, "books_process.py").stdout.splitlines()
    assert lines[:3] == ["Total number of books: 212", "Books with a price: 212",
                         "Total price of books: %d.00" % sum(i % 7 for i in range(212))]


def test_clicks_are_made_and_delivered_with_a_category(folder: str) -> None:
    lines = run(folder, "click_producer.py", "40", "0").stdout.splitlines()
    assert len(lines) == 40 and all(line.startswith("Sent event: ") for line in lines)
    ids = [99, 100, 249, 250, 499, 500, 749, 750, 999, None, "abc", "123"]
    expected = ["Books", "Clothing", "Clothing", "Instruments", "Instruments", "Electronics", "Electronics", "Books",
                "Books", "Other", "Other", "Clothing"]
    with Store(folder + "/store") as store, store.stream("mi-ks-homework12").producer() as producer:
        producer.put_many("k", [json.dumps({"item_id": i, "user_id": "me", "price": 1}).encode() for i in ids])
        producer.put_many("k", [b"no json", b'{"item_id": Infinity}', b"[1]"])
    for _ in range(2):  # The second run has nothing left to do.
        run(folder, "click_transform.py", folder + "/out")
    rows: List[Dict[str, Any]] = []
    failed = 0
    for root, _, names in os.walk(folder + "/out"):
        for name in names:
            with open(os.path.join(root, name), encoding="utf-8") as file:
                found = [json.loads(line) for line in file]
            if "/failed/" in root:
                failed += len(found)
            else:
                rows += found
    mine = [row["category"] for row in rows if row["user_id"] == "me"]
    assert mine == expected and len(rows) == 40 + 12 + 1 and failed == 2
    assert set(rows[0]) == {"user_id", "item_id", "category", "price"}


def test_files_are_put_and_seen_by_each_consumer(folder: str) -> None:
    os.mkdir(folder + "/bucket")
    contents = {"a b.txt": b"plain", "my+file(1).txt": b"\xff\xfe not UTF-8", "empty.txt": b"", "no.TXT": b"other case",
                "large.txt": b"x" * (1 << 20)}
    for name, content in contents.items():
        with open("%s/bucket/%s" % (folder, name), "wb") as file:
            file.write(content)
    done = run(folder, "file_producer.py", folder + "/bucket", *contents)
    assert len(done.stdout.splitlines()) == 3 and "large.txt" in done.stderr
    seen = [repr(contents[name]) for name in ("a b.txt", "my+file(1).txt", "empty.txt")]
    for consumer in ("first", "second"):
        assert run(folder, "file_consumer.py", consumer).stdout.splitlines() == seen
    assert run(folder, "file_consumer.py", "first").stdout == ""
