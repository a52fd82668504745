"""Kinesis's own description, as botocore has it: what the client answers and refuses is held against it."""

from __future__ import annotations

import inspect
from datetime import datetime
from typing import Any, Dict, Iterator, List, Tuple

from libstream.kinesis import Client

try:
    from botocore import xform_name
    from botocore.session import get_session
    from botocore.validate import ParamValidator
except ImportError:
    MODEL: Any = None
    IS_OLD = False
else:
    MODEL = get_session().get_service_model("kinesis")
    IS_OLD = "UpdateMaxRecordSize" not in MODEL.operation_names

# Members that are younger than the botocore of Debian 12.
YOUNGER = {"MaxRecordSizeInKiB", "NextToken", "StreamARN", "StreamId", "StreamSummaries", "WarmThroughputMiBps"}
# Every operation may answer these, whether its description names them or not.
COMMON = {"ValidationException", "InternalFailureException", "AccessDeniedException", "LimitExceededException",
          "InvalidArgumentException", "UnknownOperationException"}
_PYTHON = {"string": str, "integer": int, "long": int, "boolean": bool, "blob": bytes, "timestamp": datetime,
           "double": float}


def operations() -> Dict[str, Any]:
    """Those that the client has, by its names, of those that are described."""
    found = {}
    for name in MODEL.operation_names:
        if hasattr(Client, xform_name(name)):
            found[xform_name(name)] = MODEL.operation_model(name)
    return found


def faults(value: Any, shape: Any, path: str) -> Iterator[str]:
    """What is wrong with an answer, or a part of it."""
    if shape.type_name == "structure":
        if shape.name.endswith("EventStream"):
            return  # Its events are looked at where they are taken.
        if not isinstance(value, dict):
            yield "%s is no structure" % path
            return
        yield from ("%s: %s is missing" % (path, name) for name in shape.required_members if name not in value)
        for name, member in value.items():
            if name in shape.members:
                yield from faults(member, shape.members[name], "%s.%s" % (path, name))
            elif name not in YOUNGER or not IS_OLD:
                yield "%s has no member %s" % (path, name)
    elif shape.type_name == "list":
        if not isinstance(value, list):
            yield "%s is no list" % path
        for index, item in enumerate(value):
            yield from faults(item, shape.member, "%s[%d]" % (path, index))
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from faults(item, shape.value, "%s[%r]" % (path, key))
    else:
        kind = _PYTHON[shape.type_name]
        if not isinstance(value, kind) or kind is int and isinstance(value, bool):
            yield "%s is %r, no %s" % (path, value, shape.type_name)
        elif shape.type_name == "string" and shape.enum and value not in shape.enum:
            yield "%s is %r, none of %s" % (path, value, shape.enum)
        elif kind is str and not shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", len(value)):
            yield "%s has %d characters: %r" % (path, len(value), dict(shape.metadata))


class Checked(Client):
    """The client, of which every answer and every error is held against the description."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        operation = _OPERATIONS.get(name)
        if operation is None:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                answer = found(*arguments, **named)
            except self.exceptions.ClientError as error:  # type: ignore[misc]
                code = error.response["Error"]["Code"]  # type: ignore[attr-defined]
                assert code in COMMON or code in {shape.name for shape in operation.error_shapes}, (name, code)
                assert error.operation_name == operation.name  # type: ignore[attr-defined]
                raise
            said = {member: value for member, value in answer.items() if member != "ResponseMetadata"}
            shape = operation.output_shape
            wrong: List[str] = list(faults(said, shape, name)) if shape else list(said)
            assert not wrong, wrong
            return answer

        return call


_OPERATIONS: Dict[str, Any] = operations() if MODEL is not None else {}


def parameters(name: str) -> Dict[str, bool]:
    """The arguments of an operation of the client: whether each is needed."""
    found = list(inspect.signature(getattr(Client, name)).parameters.values())[1:]
    return {p.name: p.default is p.empty for p in found}


WRONG = [5, "x", b"x", [], {}, None, True, 1.5, ["x"], [5], {"a": 5}, {5: "a"}, "", 0, -1, 1 << 33, {"Type": 5}, [{}],
         [{"Data": 5, "PartitionKey": ""}], {"Type": "LATEST", "Timestamp": "noon"}]


def wrong_calls() -> Iterator[Tuple[str, Dict[str, Any], bool]]:
    """Calls of every operation in which one argument is something else: method, arguments, whether botocore refuses
    them before it asks the service."""
    validator = ParamValidator()

    def right(shape: Any, name: str) -> Any:
        kind = shape.type_name
        if kind == "structure":
            needed = {*shape.required_members, *({"PartitionKey"} & set(shape.members))}
            return {member: right(shape.members[member], member) for member in needed}
        if kind in ("list", "map"):
            return [right(shape.member, name)] if kind == "list" else {"a": "b"}
        text = "arn:aws:kinesis:us-east-1:000000000000:stream/orders" if name.endswith("ARN") else "orders"
        return {"blob": b"x", "timestamp": 0, "boolean": False, "string": text}.get(kind, 1024)

    for method, operation in operations().items():
        shape = operation.input_shape
        if shape is None:
            continue
        base = right(shape, "")  # With what the youngest descriptions do not call required any more.
        base.update({name: right(shape.members[name], name) for name, is_needed in parameters(method).items()
                     if is_needed and name in shape.members})
        for name in set(shape.members) & (set(parameters(method)) | {"StreamId"}):
            for value in WRONG:
                arguments = {**base, name: value}
                yield method, arguments, validator.validate(arguments, shape).has_errors()
