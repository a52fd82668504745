"""Calls that run until somebody stops them, made so that Ctrl+C stops them: in the main thread they run on another one,
while this one waits as Python waits. They end when the functions that they call have returned, which may be never."""

from __future__ import annotations

import inspect
import threading
import time
from typing import Any, Callable, Iterator, List, Optional, TypeVar, cast

from libstream.errors import WaitTimeoutError
from libstream.values import milliseconds

Answer = TypeVar("Answer")
SLICE = 0.09  # seconds: Ctrl+C is noticed within 100 ms, also in the instants in which a signal ends no wait


def slices(timeout: Optional[float]) -> Iterator[int]:
    """Milliseconds to wait in calls one after another, until they are `timeout` together (seconds, None: no end): in
    the main thread in pieces, so that Ctrl+C comes between them; in others in one."""
    if threading.current_thread() is not threading.main_thread():
        yield milliseconds(timeout)
        return
    deadline = None if timeout is None else time.monotonic() + timeout
    left = timeout
    while True:
        yield milliseconds(SLICE if left is None else min(left, SLICE))
        if left is not None and left <= SLICE:
            return
        left = None if deadline is None else max(0.0, deadline - time.monotonic())


def refuse_coroutine(function: Any, what: str) -> None:
    """A coroutine function, called, does nothing until it is awaited, which nobody does here."""
    kinds = inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction
    if any(is_kind(of) for of in (function, getattr(function, "__call__", None)) for is_kind in kinds):
        raise TypeError("%s must be a plain function: what async def or yield is in does nothing when it is called"
                        % what)


def run_interruptibly(call: Callable[[], Answer], stop: Callable[[], object]) -> Answer:
    """What `call` answers or raises. An exception that comes to this thread meanwhile, such as KeyboardInterrupt, calls
    `stop`, and is raised: when `call` has returned, or at once when it does not soon, and goes on to its end alone."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    running = _Running(call)
    try:
        running.done.wait()
    except BaseException:
        stop()
        running.done.wait(SLICE / 2)
        raise
    return cast(Answer, running.answer())


def run_or_leave(call: Callable[[], Answer]) -> Answer:
    """The same of a call that ends by itself and cannot be stopped: it is left alone with its thread."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    running = _Running(call)
    running.done.wait()
    return cast(Answer, running.answer())


def wait_for_all(ends: List[threading.Event], timeout: Optional[float], what: str) -> None:
    """Wait until all of them are set; `WaitTimeoutError` when the time is over before."""
    left = None if milliseconds(timeout) < 0 else milliseconds(timeout) / 1000
    deadline = None if left is None else time.monotonic() + left
    for ended in ends:
        if not ended.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
            raise WaitTimeoutError("%s has not ended" % what)


class _Running:
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._answers: List[object] = []
        self.done = threading.Event()
        threading.Thread(target=self._work, name="libstream", daemon=True).start()

    def _work(self) -> None:
        try:
            self._answers.append(self._call())
        except BaseException as error:
            self._answers.append(error)
        finally:
            self.done.set()

    def answer(self) -> Any:
        """What it answered; or it is raised."""
        answer = self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer
