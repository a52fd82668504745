"""Subscriptions: records of a registered consumer, pushed as they come. `consumer.h` has all that holds."""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING, Any, Dict, Iterator as IteratorOf, Optional, Tuple

from libstream._handle import Handle, of_this_process, out_of_range
from libstream._native import ffi, lib
from libstream.batch import Batch, batch_of
from libstream.errors import check, failure
from libstream.values import PositionLike, c_text, options, position

if TYPE_CHECKING:
    from libstream.stream import Stream

_AHEAD = 2  # So many batches are read ahead of who takes them.


class Subscription(Handle):
    """An iterator over the batches of a subscription: `Stream.subscribe` opens it. It ends with the shard, or when it
    is closed; what else ends it is raised: `LeaseLostError` when the consumer has subscribed anew elsewhere,
    `NotFoundError` when consumer or stream are gone, and what reading raises.

    A thread of its own reads ahead by two batches. Of batches without records it gives the one that ends the shard, and
    heartbeats, if they were asked for.

    >>> store = Store("memory:")
    >>> stream = store.create_stream("orders")
    >>> _ = stream.register_consumer("printer")
    >>> stream.producer().put_many("k", [b"tea", b"honey"]).failed
    0
    >>> with stream.subscribe("printer") as subscription:
    ...     print(next(subscription).data_list())
    [b'tea', b'honey']
    >>> store.close()
    """

    __slots__ = ("_push", "_place", "_keep_empty")

    _noun = "subscription"
    _has_thread = True
    _close_call = lib.ls_consumer_close

    def __init__(self, stream: "Stream", consumer: str, shard: Optional[int], start: PositionLike,
                 place: Optional[str], keep_empty: bool, **settings: Any) -> None:
        self._place = ""
        self._keep_empty = keep_empty
        self._push = _Push(shard, position(start)._to_c(), None if place is None else c_text(place, "place"),
                           options("ls_subscribe_options", **settings))
        out = ffi.new("ls_consumer **")
        self._own(stream, out, lib.ls_consumer_open, c_text(consumer, "consumer"), out)
        try:
            self._push.begin(out[0])
            self._take()  # The first one is empty: the subscription holds.
        except BaseException:
            self.close()
            raise

    def _take(self) -> Optional[Batch]:
        """The next batch, None at the end."""
        of_this_process(self._pid, self._noun)  # No thread fills the queue there, and its locks may be held for ever.
        while not self._push.is_ending:
            try:
                batch, said = self._push.queue.get(timeout=0.1)
            except queue.Empty:  # Is it being closed?
                continue
            self._push.room.put(None)
            if batch is not None:
                self._place = said
                return batch  # type: ignore[no-any-return]
            self.close()
            if said is not None:
                raise said
        return None

    def __iter__(self) -> IteratorOf[Batch]:
        return self

    def __next__(self) -> Batch:
        while True:
            batch = self._take()
            if batch is None:
                raise StopIteration
            if len(batch) > 0 or batch.is_shard_end or self._keep_empty:
                return batch

    @property
    def place(self) -> str:
        """Where the batch that was taken last ends, as text to be kept: `subscribe(place=...)` goes on there."""
        return self._place

    def _release(self) -> None:
        if os.getpid() == self._pid:
            self._push.end(self._gate.held)
        super()._release()

    def __del__(self) -> None:
        push = getattr(self, "_push", None)
        if push is not None and push.thread is threading.current_thread() and not self.closed:
            # It was found in a cycle, by the thread that closing waits for: another one closes it.
            threading.Thread(target=super().__del__, name="libstream-close", daemon=True).start()
            return
        super().__del__()


class _Push:
    """The thread of a subscription, and what it fills. It knows nothing of the subscription, so that one that nobody
    refers to is closed; closing ends the thread before the pointer that it uses goes. Where Ctrl+C comes while it is
    started nobody knows whether it runs: it uses the pointer only if it has said so before the end has."""

    __slots__ = ("queue", "room", "is_ending", "ended", "thread", "_first", "_shard", "_start", "_from", "_settings")

    def __init__(self, shard: Optional[int], start: Any, place: Optional[bytes], settings: Any) -> None:
        self.queue: "queue.SimpleQueue[Any]" = queue.SimpleQueue()  # Of which a signal's handler may take, too.
        self.room: "queue.SimpleQueue[None]" = queue.SimpleQueue()
        for _ in range(_AHEAD):
            self.room.put(None)
        self.is_ending = False
        self.ended = threading.Event()
        self.thread: Optional[threading.Thread] = None
        self._first: Dict[str, str] = {}  # Who came first; `setdefault` says it in one instruction.
        self._shard, self._start, self._from, self._settings = shard, start, place, settings

    def begin(self, pointer: Any) -> None:
        self.thread = threading.Thread(target=self._work, args=(pointer,), name="libstream-push", daemon=True)
        self.thread.start()

    def end(self, pointer: Any) -> None:
        """End the thread, and wait until it uses the pointer no more."""
        self.is_ending = True
        if self._first.setdefault("came", "end") == "thread":
            lib.ls_consumer_cancel(pointer)
            self.ended.wait()

    def _work(self, pointer: Any) -> None:
        if self._first.setdefault("came", "thread") != "thread":
            return
        handle = ffi.new_handle(self)
        error: Optional[BaseException] = None
        try:
            more = (self._settings, lib.lsi_py_on_push, handle)
            if self._from is not None:
                status = lib.ls_consumer_subscribe_place(pointer, self._from, *more)
            elif self._shard is None:
                status = lib.ls_consumer_subscribe_all(pointer, self._start, *more)
            else:
                status = lib.ls_consumer_subscribe(pointer, self._shard, self._start, *more)
            if status not in (0, lib.LS_ERR_CANCELLED):
                error = failure(status)
        except OverflowError as found:
            error = out_of_range(found)
        except BaseException as found:  # Of what is no number at all: whoever waits for the first batch is told.
            error = found
        finally:
            self.ended.set()
        self.give((None, error))

    def give(self, what: Tuple[Any, Any]) -> None:
        while not self.is_ending:
            try:
                self.room.get(timeout=0.1)
            except queue.Empty:
                continue
            self.queue.put(what)
            return


@ffi.def_extern(error=lib.LS_PUSH_STOP)
def lsi_py_on_push(pointer: Any, user: Any) -> int:
    push: _Push = ffi.from_handle(user)
    needed = ffi.new("size_t *")
    lib.ls_batch_place(pointer, ffi.NULL, 0, needed)
    text = ffi.new("char[]", needed[0])
    check(lib.ls_batch_place(pointer, text, needed[0], needed))
    push.give((batch_of(pointer), ffi.string(text).decode()))
    return int(lib.LS_PUSH_STOP if push.is_ending else lib.LS_PUSH_DONE)
