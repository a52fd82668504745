"""boto3's exceptions: `client.exceptions.ResourceNotFoundException` and the rest, all below `ClientError`."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Dict, Type

import libstream.errors as plain

if TYPE_CHECKING:
    class ClientError(Exception):
        """As botocore's: `response` says what went wrong."""

        response: Dict[str, Any]
        operation_name: str

        def __init__(self, error_response: Dict[str, Any], operation_name: str) -> None: ...

    class ParamValidationError(Exception):
        """As botocore's: an argument is missing, unknown or of another type."""

        def __init__(self, **values: Any) -> None: ...

    class OperationNotPageableError(Exception):
        """As botocore's: an operation has no pages."""

        def __init__(self, *, operation_name: str) -> None: ...

    class WaiterError(Exception):
        """As botocore's: what was waited for did not come."""

        def __init__(self, name: str, reason: str, last_response: Any) -> None: ...
else:
    try:
        from botocore.exceptions import (ClientError, OperationNotPageableError, ParamValidationError,
                                         WaiterError as _WaiterError)
    except ImportError:
        class ClientError(Exception):
            """As botocore's: `response` says what went wrong."""

            def __init__(self, error_response, operation_name):
                error = error_response["Error"]
                super().__init__("An error occurred (%s) when calling the %s operation: %s"
                                 % (error["Code"], operation_name, error["Message"]))
                self.response = error_response
                self.operation_name = operation_name

            def __reduce__(self):
                return type(self), (self.response, self.operation_name)

        class ParamValidationError(Exception):
            """As botocore's: an argument is missing, unknown or of another type."""

            def __init__(self, **values):
                super().__init__("Parameter validation failed:\n%s" % values.get("report"))
                self.kwargs = values

            def __reduce__(self):
                return _again, (type(self), self.kwargs)

        class OperationNotPageableError(Exception):
            """As botocore's: an operation has no pages."""

            def __init__(self, *, operation_name):
                super().__init__("Operation cannot be paginated: %s" % operation_name)
                self.kwargs = {"operation_name": operation_name}

            def __reduce__(self):
                return _again, (type(self), self.kwargs)

        class _WaiterError(Exception):
            def __init__(self, name, reason, last_response):
                super().__init__("Waiter %s failed: %s" % (name, reason))
                self.kwargs = {"name": name, "reason": reason}
                self.last_response = last_response

    class WaiterError(_WaiterError):
        """As botocore's, below which it is: what was waited for did not come. Other processes may have it."""

        def __reduce__(self):
            return _again, (type(self), {**self.kwargs, "last_response": self.last_response})


def _again(kind: Any, values: Dict[str, Any]) -> Any:
    return kind(**values)


_NAMES = [
    "AccessDeniedException", "ExpiredIteratorException", "ExpiredNextTokenException", "InternalFailureException",
    "InvalidArgumentException", "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException",
    "KMSNotFoundException", "KMSOptInRequired", "KMSThrottlingException", "LimitExceededException",
    "ProvisionedThroughputExceededException", "ResourceInUseException", "ResourceNotFoundException",
    "ValidationException",
]


def _parts(error: ClientError) -> Any:
    """What another process makes it of; botocore's own becomes a plain ClientError there."""
    return type(error), (error.response, error.operation_name)


_CLASSES: Dict[str, Type[ClientError]] = {
    name: type(name, (ClientError,), {"__doc__": "As Kinesis's.", "__reduce__": _parts}) for name in _NAMES}
globals().update(_CLASSES)  # Where pickle looks for them.


class Exceptions:
    """`client.exceptions`: a class for each error of the service."""

    def __getattr__(self, name: str) -> Type[ClientError]:
        found = ClientError if name == "ClientError" else _CLASSES.get(name)
        if found is None:
            raise AttributeError("%r is no exception of Kinesis; there are: %s" % (name, ", ".join(_NAMES)))
        return found

    def from_code(self, code: str) -> Type[ClientError]:
        """The class of an error's code; `ClientError` of one that has none."""
        return _CLASSES.get(code, ClientError)

    def __dir__(self) -> Any:
        return ["ClientError"] + _NAMES


def answer(**members: Any) -> Dict[str, Any]:
    """A response, with the part that every one of boto3's has."""
    members["ResponseMetadata"] = {"RequestId": str(uuid.uuid4()), "HTTPStatusCode": 200, "HTTPHeaders": {},
                                   "RetryAttempts": 0}
    return members


class Refusal(Exception):
    """Raised within the client: what its caller will see as an exception of `_NAMES`."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


def not_found(stream: str, account: str) -> Refusal:
    return Refusal("ResourceNotFoundException", "Stream %s under account %s not found." % (stream, account))


def invalid(message: str) -> Refusal:
    return Refusal("InvalidArgumentException", message)


def constraint(value: Any, path: str, rule: str) -> Refusal:
    return Refusal("ValidationException", "1 validation error detected: Value %s at '%s' failed to satisfy constraint: "
                   "%s" % ("null" if value is None else "'%s'" % (value,), path, rule))


# What the library says, as the service would call it.
_BY_STATUS = [
    (plain.NotFoundError, "ResourceNotFoundException"), (plain.ExistsError, "ResourceInUseException"),
    (plain.WrongStateError, "ResourceInUseException"), (plain.LeaseLostError, "ResourceInUseException"),
    (plain.ThrottlingError, "ProvisionedThroughputExceededException"),
    (plain.ExpiredError, "ExpiredIteratorException"), (plain.KeyUnavailableError, "KMSNotFoundException"),
    (plain.ReadOnlyError, "AccessDeniedException"), (plain.TooLargeError, "ValidationException"),
    (plain.UsageError, "InvalidArgumentException"),
]


def translate(error: Exception, operation: str) -> ClientError:
    """The exception that boto3 would raise."""
    if isinstance(error, Refusal):
        name, message = error.name, error.message
    else:
        name = next((name for kind, name in _BY_STATUS if isinstance(error, kind)), "InternalFailureException")
        message = str(error)
    metadata = answer()["ResponseMetadata"]
    metadata["HTTPStatusCode"] = 500 if name == "InternalFailureException" else 400
    return _CLASSES.get(name, ClientError)({"Error": {"Code": name, "Message": message}, "ResponseMetadata": metadata,
                           "message": message}, operation)
