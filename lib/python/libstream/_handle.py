"""What all open things have in common: they are closed once, after what was opened from them, by one thread, while no
other is in a call of theirs, and by nobody but the process that opened them.

H1 A pointer is handed to C between `_enter` and `_leave` only; closing waits until nobody is between them. A thread
   that is there itself, in a function that C calls, would wait for ever: it is refused.
H2 A parent that is collected together with its children, in whatever order, is closed by the last of them.
H3 In a fork child no lock is touched: a thread that held one is not there. Calls are refused before they look at one,
   and closing frees the memory, as the library promises.
H4 Closing that does not come to its end, for an exception such as KeyboardInterrupt or since the library refuses,
   leaves the handle as it was. Two threads that close one return when it is closed.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import Any, Callable, ClassVar, List, NoReturn, Optional, Type, TypeVar

from libstream.errors import Error, WrongStateError, check

Self = TypeVar("Self", bound="Handle")


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
    """What C lends a function until that returns. Threads take turns with it, and its end waits for the turn that another
    one has: C has it for one thread at a time."""

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


class Handle(Unique):
    """An open thing. Closing it closes what was opened from it. It is closed at the end of a `with`, or at last when
    nobody refers to it any more."""

    __slots__ = ("_pointer", "_parent", "_children", "_calls", "_changed", "_pid", "_open", "_is_left", "_closed_by",
                 "__weakref__")

    _noun: ClassVar[str] = "handle"
    _close_call: ClassVar[Callable[[Any], int]]

    def __init__(self, pointer: Any, parent: Optional["Handle"] = None) -> None:
        self._pointer = pointer
        self._parent = parent
        self._children: weakref.WeakSet[Handle] = weakref.WeakSet()
        self._calls: List[int] = []  # The threads that are between _enter and _leave.
        self._closed_by = 0  # The thread that is closing it.
        self._changed = threading.Condition(threading.Lock())
        self._pid = os.getpid()
        self._open = 0  # children
        self._is_left = False
        if parent is not None:
            with parent._changed:
                parent._children.add(self)
                parent._open += 1

    def _enter(self) -> Any:
        of_this_process(self._pid, self._noun)
        with self._changed:
            if self._pointer is None:
                raise WrongStateError("%s is closed" % self._noun)
            self._calls.append(threading.get_ident())
            return self._pointer

    def _leave(self) -> None:
        with self._changed:
            self._calls.remove(threading.get_ident())
            if not self._calls:
                self._changed.notify_all()

    def _call(self, function: Callable[..., int], *arguments: Any) -> None:
        """Call what takes this handle first and answers a status."""
        pointer = self._enter()
        try:
            check(function(pointer, *arguments))
        finally:
            self._leave()

    def _interrupt(self, pointer: Any) -> None:
        """End calls that wait for something other than the disk: nobody enters any more, and they are waited for."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._pointer is None

    def close(self) -> None:
        """Close it, and before that whatever was opened from it. Closing twice is fine. Waits for calls of other
        threads that are under way."""
        first: Optional[BaseException] = None
        for child in list(self._children):
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

    def _close_self(self) -> None:
        if os.getpid() != self._pid:
            pointer, self._pointer = self._pointer, None
            if pointer is not None:
                try:
                    self._release(pointer)
                except Error:  # What a thread of the parent's runs looks as if it ran here: its memory stays.
                    pass
                self._tell_parent()
            return
        me, is_released = threading.get_ident(), False
        pointer = None
        try:
            with self._changed:
                if me in self._calls:
                    raise WrongStateError("%s cannot be closed by a function that it calls" % self._noun)
                while self._closed_by not in (0, me):
                    self._changed.wait()
                if self._pointer is None:
                    return
                self._closed_by = me
                pointer, self._pointer = self._pointer, None  # Nobody enters from here on.
                if self._calls:
                    self._interrupt(pointer)
                while self._calls:
                    self._changed.wait()
            is_released = True
            try:
                self._release(pointer)
            except WrongStateError:
                is_released = False
                raise
            except BaseException:
                is_released = self._was_released(pointer)
                raise
        finally:
            if pointer is not None:
                with self._changed:
                    if not is_released:
                        self._pointer = pointer
                    self._closed_by = 0
                    self._changed.notify_all()
                if is_released:
                    self._tell_parent()

    def _tell_parent(self) -> None:
        if self._parent is not None:
            self._parent._child_closed()

    def _child_closed(self) -> None:
        self._open -= 1  # Under the GIL, or in a fork child: a lock would not do more.
        if self._open == 0 and self._is_left:
            self.close()

    def _was_released(self, pointer: Any) -> bool:
        """Whether `_release`, which was not refused but raised something else, has released it all the same."""
        return True

    def _release(self, pointer: Any) -> None:
        check(type(self)._close_call(pointer))

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_pointer", None) is not None:
            if self._open > 0:
                self._is_left = True
                return
            try:
                self.close()
            except Exception:  # Nobody is there to be told; who wants to know closes it.
                pass
