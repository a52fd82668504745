"""A stream against a model of it: whatever is put, split, merged and read, each shard is a list that only grows."""

from __future__ import annotations

import os
import tempfile
from typing import Dict, List, Optional, Tuple

from hypothesis import HealthCheck, settings, strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from libstream import Durability, Iterator, Position, Store

keys = some.text(min_size=1, max_size=8).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)
datas = some.binary(max_size=40)
hash_keys = some.one_of(some.none(), some.integers(0, (1 << 128) - 1))

Row = Tuple[int, str, bytes, Optional[int]]  # number, key, data, hash key


class StreamModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        # In memory where it can be: what survives a loss of power is not looked at.
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/var/tmp")
        self.open_store()
        self.stream = self.store.create_stream("model", shard_count=2)
        self.open_handles()
        self.shards: Dict[int, List[Row]] = {0: [], 1: []}
        self.open = [0, 1]
        self.readers: List[Tuple[Iterator, int, int]] = []  # where it stands in the model's list

    def open_store(self) -> None:
        self.store = Store(self.folder.name + "/store", durability=Durability.KERNEL, segment_bytes=1 << 16)

    def open_handles(self) -> None:
        self.producer = self.stream.producer()

    @initialize()
    def begin(self) -> None:
        self.readers = []

    def note(self, shard: int, seqno: int, key: str, data: bytes, hash_key: Optional[int]) -> None:
        rows = self.shards[shard]
        assert shard in self.open and (not rows or seqno > rows[-1][0])
        rows.append((seqno, key, data, hash_key))

    @rule(key=keys, data=datas, hash_key=hash_keys)
    def put(self, key: str, data: bytes, hash_key: Optional[int]) -> None:
        at = self.producer.put(key, data, hash_key)
        self.note(at.shard, at.seqno, key, data, hash_key)

    @rule(rows=some.lists(some.tuples(keys, datas), max_size=20))
    def put_batch(self, rows: List[Tuple[str, bytes]]) -> None:
        for (key, data), at in zip(rows, self.producer.put_batch(rows)):
            assert at is not None
            self.note(at.shard, at.seqno, key, data, None)

    @rule(data=some.data())
    def split(self, data: some.DataObject) -> None:
        if len(self.open) < 6:
            shard = data.draw(some.sampled_from(self.open))
            children = self.stream.split(shard)
            self.open.remove(shard)
            self.open += children
            self.shards.update((child, []) for child in children)

    @rule()
    def merge(self) -> None:
        found = sorted(self.stream.describe().open_shards, key=lambda shard: shard.first_hash_key)
        assert sorted(shard.shard for shard in found) == sorted(self.open)
        if len(found) > 1:
            child = self.stream.merge(found[0].shard, found[1].shard)
            self.open = [s for s in self.open if s not in (found[0].shard, found[1].shard)] + [child]
            self.shards[child] = []

    @rule(data=some.data())
    def open_iterator(self, data: some.DataObject) -> None:
        shard = data.draw(some.sampled_from(sorted(self.shards)))
        rows = self.shards[shard]
        index = data.draw(some.integers(0, len(rows)))
        start = Position.at(rows[index][0]) if index < len(rows) else \
            Position.after(rows[-1][0]) if rows else Position.TRIM_HORIZON
        self.readers.append((self.stream.iterator(shard, start, records_max=data.draw(some.integers(1, 5))),
                             shard, index))

    @precondition(lambda self: self.readers)
    @rule(data=some.data())
    def read(self, data: some.DataObject) -> None:
        which = data.draw(some.integers(0, len(self.readers) - 1))
        iterator, shard, index = self.readers[which]
        batch = iterator.next_batch()
        rows = [(r.seqno, r.partition_key, r.data, r.explicit_hash_key) for r in batch]
        assert rows == self.shards[shard][index:index + len(rows)]
        assert rows or index == len(self.shards[shard])
        assert not batch.is_shard_end or shard not in self.open
        self.readers[which] = (iterator, shard, index + len(rows))

    @rule()
    def read_all(self) -> None:
        seen: Dict[int, List[Row]] = {shard: [] for shard in self.shards}
        for r in self.stream.iterator():
            seen[r.shard].append((r.seqno, r.partition_key, r.data, r.explicit_hash_key))
        assert seen == self.shards

    @rule()
    def open_anew(self) -> None:
        self.store.close()
        self.readers = []
        self.open_store()
        self.stream = self.store.stream("model")
        self.open_handles()

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


StreamModel.TestCase.settings = settings(max_examples=15, database=None, stateful_step_count=25, deadline=None,
                                         suppress_health_check=list(HealthCheck))
TestStream = StreamModel.TestCase
