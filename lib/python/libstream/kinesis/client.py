"""The client: all operations, with boto3's ways of paging and waiting."""

from __future__ import annotations

from typing import Any

from libstream.kinesis.absent import Absent
from libstream.kinesis.consumers import Consumers
from libstream.kinesis.errors import OperationNotPageableError
from libstream.kinesis.paging import PAGES, Paginator, Waiter


class Client(Consumers, Absent):
    """Kinesis's client over a store: a path, ``"memory:"``, or an open `Store`, which stays the caller's. Any thread
    may use it.

    >>> with Client("memory:") as kinesis:
    ...     for name in ("a", "b", "c"):
    ...         _ = kinesis.create_stream(StreamName=name, ShardCount=1)
    ...     kinesis.get_waiter("stream_exists").wait(StreamName="c")
    ...     pages = kinesis.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 2})
    ...     [page["StreamNames"] for page in pages]
    [['a', 'b'], ['c']]
    """

    def __enter__(self) -> "Client":
        return self

    def can_paginate(self, operation_name: str) -> bool:
        """Whether there is a paginator for this operation. `KeyError`, as botocore's: there is no such operation."""
        if not hasattr(getattr(type(self), operation_name, None), "operation"):
            raise KeyError(operation_name)
        return operation_name in PAGES

    def get_paginator(self, operation_name: str) -> Paginator:
        """The paginator of an operation: describe_stream, list_shards, list_stream_consumers or list_streams.
        `OperationNotPageableError`: of another one."""
        if not self.can_paginate(operation_name):
            raise OperationNotPageableError(operation_name=operation_name)
        return Paginator(getattr(self, operation_name), PAGES[operation_name])

    @property
    def waiter_names(self) -> Any:
        """What can be waited for."""
        return ["stream_exists", "stream_not_exists"]

    def get_waiter(self, waiter_name: str) -> Waiter:
        """A waiter: stream_exists or stream_not_exists."""
        if waiter_name not in self.waiter_names:
            raise ValueError("Waiter does not exist: %s" % waiter_name)
        return Waiter(waiter_name, self.describe_stream)
