"""What calls raise: a class for each class of status, and one below it for each status.

::

    Error
      UsageError         InvalidArgumentError TooLargeError UnsupportedError
      StateError         NotFoundError ExistsError WrongStateError BusyError WaitTimeoutError CancelledError
                         ReadOnlyError VersionError TrimmedError ExpiredError LeaseLostError KeyUnavailableError
      ThrottlingError    ThrottledError
      ResourceError      InputOutputError FullError OutOfMemoryError
      DamageError        CorruptError

Where Python has a class of its own for the same thing the class is that, too: a `UsageError` is a `ValueError`, a
`NotFoundError` a `LookupError`, a `WaitTimeoutError` a `TimeoutError`, an `InputOutputError` and a `FullError` an
`OSError`, an `OutOfMemoryError` a `MemoryError`.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, Optional, Type

from libstream._native import ffi, lib

__all__ = [
    "Error", "UsageError", "InvalidArgumentError", "TooLargeError", "UnsupportedError", "StateError", "NotFoundError",
    "ExistsError", "WrongStateError", "BusyError", "WaitTimeoutError", "CancelledError", "ReadOnlyError",
    "VersionError", "TrimmedError", "ExpiredError", "LeaseLostError", "KeyUnavailableError", "ThrottlingError",
    "ThrottledError", "ResourceError", "InputOutputError", "FullError", "OutOfMemoryError", "DamageError",
    "CorruptError",
]


class Error(Exception):
    """Everything that libstream raises. `str()` of it is the library's line, which names the thing and its numbers.

    Attributes
    ----------
    status
        The library's code, `libstream.status(error)` of `status.h`: 201 for one that was not found.
    code
        Its name, ``LS_ERR_NOT_FOUND``.
    system_errno
        What the system said, 0 if it was not the cause.
    retry_after
        After so many seconds the same call may be tried again, of a `ThrottledError`; else 0.0.
    retryable
        Whether the same call may succeed later without anybody changing it.
    """

    status: int = 0

    def __init__(self, message: str = "", status: int | None = None, system_errno: int = 0,
                 retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        if status is not None:
            self.status = status
        self.code: str = ffi.string(lib.ls_status_name(self.status)).decode()
        self.system_errno = system_errno
        self.retry_after = retry_after
        self.retryable: bool = bool(lib.ls_status_is_retryable(self.status))
        if system_errno and isinstance(self, OSError):
            setattr(self, "errno", system_errno)

    def __reduce__(self) -> Any:
        return type(self), (self.message, self.status, self.system_errno, self.retry_after), self.__dict__

    def __str__(self) -> str:
        return self.message


class UsageError(Error, ValueError):
    """The call cannot be meant. Nothing was changed."""


class InvalidArgumentError(UsageError):
    """An argument breaks its rule."""

    status = lib.LS_ERR_INVALID_ARGUMENT


class TooLargeError(UsageError):
    """A key, a record or a batch is over its limit."""

    status = lib.LS_ERR_TOO_LARGE


class UnsupportedError(UsageError):
    """This build, engine or file system cannot do it."""

    status = lib.LS_ERR_UNSUPPORTED


class StateError(Error):
    """The call is fine, the thing that it names is not in a state for it."""


class NotFoundError(StateError, LookupError):
    """No such store, stream, shard, consumer or mapping."""

    status = lib.LS_ERR_NOT_FOUND


class ExistsError(StateError):
    """The name is taken."""

    status = lib.LS_ERR_EXISTS


class WrongStateError(StateError):
    """The handle or the store does not allow it now: it was closed, or opened by the parent of this process."""

    status = lib.LS_ERR_STATE


class BusyError(StateError):
    """A lock was not free within the store's `busy_timeout`; or until Ctrl+C came, whose handler returned."""

    status = lib.LS_ERR_BUSY


class WaitTimeoutError(StateError, TimeoutError):
    """The time given to the call is over."""

    status = lib.LS_ERR_TIMEOUT


class CancelledError(StateError):
    """Cancelled by another thread."""

    status = lib.LS_ERR_CANCELLED


class ReadOnlyError(StateError):
    """The store was opened for reading, or its medium cannot be written."""

    status = lib.LS_ERR_READ_ONLY


class VersionError(StateError):
    """Another release's format or control layout is in use."""

    status = lib.LS_ERR_VERSION


class TrimmedError(StateError):
    """The place was trimmed; the message names the oldest position, where the iterator now stands."""

    status = lib.LS_ERR_TRIMMED


class ExpiredError(StateError):
    """A text token is too old."""

    status = lib.LS_ERR_EXPIRED


class LeaseLostError(StateError):
    """Another owner holds the lease."""

    status = lib.LS_ERR_LEASE_LOST


class KeyUnavailableError(StateError):
    """The encryption key is wrong or absent."""

    status = lib.LS_ERR_KEY


class ThrottlingError(Error):
    """Over a limit."""


class ThrottledError(ThrottlingError):
    """Over a limit of a provisioned stream: wait `retry_after` seconds, and try again."""

    status = lib.LS_ERR_THROTTLED


class ResourceError(Error):
    """The system refused something, or has no more of it."""


class InputOutputError(ResourceError, OSError):
    """The system refused an operation; `errno` has its code."""

    status = lib.LS_ERR_IO


class FullError(ResourceError, OSError):
    """No space is left. Nothing was written."""

    status = lib.LS_ERR_FULL


class OutOfMemoryError(ResourceError, MemoryError):
    """An allocation failed. Nothing was changed."""

    status = lib.LS_ERR_NO_MEMORY


class DamageError(Error):
    """What is on disk is not what was written."""


class CorruptError(DamageError):
    """Bytes on disk fail their checks; the message names file, offset and numbers."""

    status = lib.LS_ERR_CORRUPT


def _classes(root: Type[Error]) -> Dict[int, Type[Error]]:
    found = {root.status: root} if root.status else {}
    for below in root.__subclasses__():
        found.update(_classes(below))
    return found


_BY_STATUS = _classes(Error)
_BY_CLASS: Dict[int, Type[Error]] = {
    lib.LS_CLASS_USAGE: UsageError, lib.LS_CLASS_STATE: StateError, lib.LS_CLASS_THROTTLING: ThrottlingError,
    lib.LS_CLASS_IO: ResourceError, lib.LS_CLASS_DAMAGE: DamageError,
}


_noted = threading.local()  # .cause: a status, and what a function that C called for this thread has raised


def note_cause(status: int, error: BaseException) -> None:
    """What the next exception of this thread that has a status is caused by."""
    _noted.cause = status, error


def _cause(status: int) -> Optional[BaseException]:
    noted: int
    error: Optional[BaseException]
    noted, error = getattr(_noted, "cause", (0, None))
    if noted != status:
        return None
    _noted.cause = 0, None
    if error is not None and not isinstance(error, Exception):  # KeyboardInterrupt, SystemExit: not an error of ours.
        raise error
    return error


def failure(status: int, message: str | None = None) -> Error:
    """The exception of a status, with this thread's last error unless a message is given."""
    kind: Type[Error] = _BY_STATUS.get(status, _BY_CLASS.get(lib.ls_status_class(status), Error))
    number, retry_after = 0, 0.0
    if message is None:
        if lib.ls_last_error_status() == status:
            message = ffi.string(lib.ls_last_error_message()).decode("utf-8", "replace")
            number = lib.ls_last_error_errno()
            retry_after = lib.ls_last_error_retry_after_ms() / 1000
        else:  # Said by the module itself, which has no lines.
            message = ffi.string(lib.ls_status_name(status)).decode()
    made = kind(message, status, number, retry_after)
    if status == lib.LS_ERR_KEY:
        made.__cause__ = _cause(status)
    return made


def check(status: int) -> None:
    """Raise unless it is LS_OK."""
    if status != 0:
        raise failure(status)
