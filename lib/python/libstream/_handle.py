"""What all open things have in common: they are closed once, after what was opened from them, by one thread, while no
other is in a call of theirs, and by nobody but the process that opened them.

H1 A pointer is handed to C within the handle's gate only, and closing waits until nobody is inside. A thread that is
   there itself, in a function that C calls or a signal's handler, would wait for ever: it is refused, before anything
   is closed.
H2 A parent that is collected together with its children, in whatever order, is closed by the last of them.
H3 In a fork child no lock is touched: a thread that held one is not there. Calls are refused before they look at one,
   and closing frees the memory, as the library promises.
H4 Closing that does not come to its end, for an exception such as KeyboardInterrupt or since the library refuses,
   leaves the handle as it was. Two threads that close one return when it is closed.
H5 What ends a block goes on, whatever closing has to tell; what Ctrl+C ended is closed without delay.
H6 Handlers of signals and finalizers run between any two instructions of Python, use any handle, and raise whatever
   they like. So a thread takes no lock that it could meet there again: it is inside a gate (gate.c), or has a turn
   there.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Callable, ClassVar, Dict, Iterator, List, NoReturn, Optional, Tuple, Type, TypeVar

from libstream._native import ffi
from libstream._walk import Gate
from libstream.errors import Error, InvalidArgumentError, WrongStateError, check

Self = TypeVar("Self", bound="Handle")
_HAS_TURN = 0  # In the place of a process: gate.c says so.
SOON = 0.045  # seconds: so long closing goes on storing when Ctrl+C has ended a block


def of_this_process(pid: int, noun: str) -> None:
    """Refuse what another process has opened."""
    if os.getpid() != pid:
        raise WrongStateError("%s was opened by process %d and works there only: open it anew in this one (%d)"
                              % (noun, pid, os.getpid()))


class Unique:
    """What stands for something of C's that is there once: a copy would be closed once more, or used when it is gone.
    """

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError("%s cannot be copied or pickled: it works in this process only, and once"
                        % type(self).__name__)


class Lent(Unique):
    """What C lends a function until that returns. Threads take turns with it, and its end waits for the turn that
    another one has: C has it for one thread at a time."""

    __slots__ = ("_pointer", "_turn")

    _noun: ClassVar[str] = "context"

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer
        self._turn = threading.RLock()  # A function that is called in a turn may have one of its own.

    def _get(self) -> Any:
        """Within a turn."""
        if self._pointer is None:
            raise WrongStateError("the call that this %s was of has returned" % self._noun)
        return self._pointer

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with self._turn:
            return function(self._get(), *arguments)

    def _end(self) -> None:
        with self._turn:
            self._pointer = None


def turn(lock: Any, noun: str) -> Any:
    """The RLock by which threads take turns at something, as `Gate.run` takes it. Whoever has it already has come again
    out of the midst of his own call, in a function that it calls, a signal's handler or a finalizer: he would spoil it,
    and is refused."""
    if lock._is_owned():
        _refuse(noun, _HAS_TURN)
    return lock


_asking = threading.local()  # .stores: whose function that gives keys this thread is in


@contextmanager
def asked_by(store: Optional["Handle"]) -> Iterator[None]:
    """In a function that C calls for a store in the midst of any of its calls."""
    stores: List[Optional[Handle]] = _asking.__dict__.setdefault("stores", [])
    stores.append(store)
    try:
        yield
    finally:
        stores.pop()


def refuse_asked(handle: "Handle", what: str) -> None:
    """Refuse what would wait for such a function itself."""
    stores = getattr(_asking, "stores", None)
    if not stores:
        return
    top = handle
    while top._parent is not None:
        top = top._parent
    if top in stores:
        raise WrongStateError("%s by a function that gives the store's keys, or takes its log" % what)


class Handle(Unique):
    """An open thing. Closing it closes what was opened from it. It is closed at the end of a `with`, or at last when
    nobody refers to it any more."""

    __slots__ = ("_gate", "_parent", "_children", "_closing", "_pid", "_is_left", "__weakref__")

    _noun: ClassVar[str] = "handle"
    _has_thread: ClassVar[bool] = False  # Closing waits for a thread that may be in a function of the program's.
    _close_call: ClassVar[Callable[..., Any]]
    _close_arguments: ClassVar[Tuple[Any, ...]] = ()

    def _own(self, parent: Optional["Handle"], out: Any, call: Callable[..., int], *arguments: Any) -> None:
        """Become the handle of what a call opens at `out`, a call of the parent's if there is one. It is given back by
        itself when nobody refers to it."""
        self._parent: Optional[Handle] = None
        self._children: Dict[int, "weakref.ref[Handle]"] = {}  # Those that are open, by their `id`.
        self._closing = threading.RLock()  # Of the thread that closes it.
        self._pid = os.getpid()
        self._is_left = False
        self._gate = Gate(self._noun, _refuse, None if self._has_thread else type(self)._close_call,
                          self._close_arguments)
        if parent is not None:
            self._belong(parent)
        try:
            try:
                status = self._gate.open(None if parent is None else parent._gate, out, call, *arguments)
            except OverflowError as error:
                raise out_of_range(error) from None
            check(status)
        except BaseException:
            with self._closing:
                if self._gate.held is not None:  # Ctrl+C, once C had returned.
                    self._gate.give_back(type(self)._close_call, *self._close_arguments)
            if parent is not None and self._gate.held is None:
                parent._children.pop(id(self), None)
            raise

    def _belong(self, parent: "Handle") -> None:
        """Be closed when `parent` is: also where it is not open yet, so that an exception at whatever instruction
        leaves nothing open that the parent does not know."""
        self._parent = self._parent or parent
        parent._children[id(self)] = weakref.ref(self)

    def _open_children(self) -> "List[Handle]":
        found = [child() for child in list(self._children.values())]
        return [child for child in found if child is not None]

    @property
    def _pointer(self) -> Any:
        """None: nobody enters it any more."""
        return self._gate.pointer

    def _call(self, function: Callable[..., int], *arguments: Any) -> None:
        """Call what takes this handle first and answers a status."""
        try:
            status = self._gate.run(None, function, *arguments)
        except OverflowError as error:
            raise out_of_range(error) from None
        check(status)

    def _interrupt(self, pointer: Any) -> None:
        """End calls that wait for something other than the disk: nobody enters any more, and they are waited for."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._gate.pointer is None

    def close(self) -> None:
        """Close it, and before that whatever was opened from it. Closing twice is fine. Waits for calls of other
        threads that are under way. Raises `WrongStateError` in a function that one of them calls: nothing was closed
        then."""
        if os.getpid() == self._pid:
            self._refuse_all()
        first: Optional[BaseException] = None
        for child in self._open_children():
            try:
                child._close_with_parent()
            except Exception as error:  # That it was not closed, or what it has to tell besides.
                if not child.closed:
                    raise
                first = first or error
        self._close_self()
        if first is not None:
            raise first

    def _close_with_parent(self) -> None:
        """Close it since what it was opened from is closed."""
        self.close()

    def _refuse_all(self) -> None:
        """Raise `WrongStateError` where it, or what was opened from it, cannot be closed by this thread now."""
        for child in self._open_children():
            child._refuse_all()
        if self._gate.held is not None:  # Also while another thread closes it, and waits for this one.
            self._refuse_close()

    def _refuse_close(self) -> None:
        """The same of it alone: closing would wait for this thread itself."""
        if self._has_thread:
            refuse_asked(self, "%s cannot be closed" % self._noun)
        if self._gate.is_mine():
            raise WrongStateError("%s cannot be closed by a function that it calls, or within a call of it"
                                  % self._noun)

    def _close_self(self) -> None:
        if os.getpid() != self._pid:
            if not self.closed:
                self._gate.shut()
                try:
                    self._release()
                except Error:  # What a thread of the parent's runs looks as if it ran here: its memory stays.
                    pass
                self._tell_parent()
            return
        if self._gate.held is not None:
            self._refuse_close()
        with self._closing:
            if self.closed:  # Or this thread is closing it further out.
                return
            try:
                self._gate.shut()
                self._empty()
                for child in self._open_children():  # What another thread has opened meanwhile.
                    child._close_with_parent()
                self._release()
            finally:
                if self._gate.held is not None:
                    self._gate.open_again()
                else:
                    self._tell_parent()

    def _empty(self) -> None:
        """Wait until nobody is inside the gate."""
        if self._gate.count > 0:
            self._interrupt(self._gate.held)
        while True:
            left = threading.Lock()
            left.acquire()
            if not self._gate.tell(left):
                return
            left.acquire()

    def _tell_parent(self) -> None:
        if self._parent is not None:
            self._parent._child_closed(self)

    def _child_closed(self, child: "Handle") -> None:
        self._children.pop(id(child), None)
        if not self._children and self._is_left:
            self.close()

    def _release(self) -> None:
        """Give the pointer back."""
        check(self._gate.give_back(type(self)._close_call, *self._close_arguments) or 0)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        if error is None:
            self.close()
            return
        if not isinstance(error, (Exception, GeneratorExit, SystemExit)):  # The latter two are orderly ends.
            self._hurry(time.monotonic() + SOON)
        try:
            self.close()
        except Exception as told:
            add_context(error, told)

    def _hurry(self, until: float) -> None:
        """Let the next closing, of what was opened from it, too, wait no longer than that for what is to be stored."""
        for child in self._open_children():
            child._hurry(until)

    def __del__(self) -> None:
        if getattr(self, "_gate", None) is not None and not self.closed:
            if self._children:
                self._is_left = True
                return
            try:
                self.close()
            except Exception:  # Nobody is there to be told; who wants to know closes it.
                pass


def out_of_range(error: OverflowError) -> InvalidArgumentError:
    """What is raised of a number that C has no room for."""
    return InvalidArgumentError("a number is out of its range: %s" % error)


def add_context(error: BaseException, told: BaseException) -> None:
    """Show besides an exception that goes on what closing had to tell: as the last one of its contexts."""
    first: Optional[BaseException] = told
    while first is not None and first.__context__ is not error:
        first = first.__context__
    if first is not None:
        first.__context__ = None  # It was raised while `error` was handled: that way round nobody sees it.
    last, seen = error, set()
    while last.__context__ is not None and id(last) not in seen:
        seen.add(id(last))
        last = last.__context__
    if last is not told:
        last.__context__ = told


def _refuse(noun: str, pid: int) -> NoReturn:
    """Why nobody enters a gate, or has a turn there."""
    if pid == _HAS_TURN:
        raise WrongStateError("%s is in a call of this thread already: a signal's handler, a finalizer or a function "
                              "that it calls cannot make another one" % noun)
    of_this_process(pid, noun)
    raise WrongStateError("%s is closed" % noun)
