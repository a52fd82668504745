"""boto3's client of Amazon Kinesis Data Streams, over a store: a program is moved by changing its import.

::

    import libstream.kinesis as boto3              # instead of: import boto3
    kinesis = boto3.client("kinesis")              # the store of $LIBSTREAM_STORE, or store="PATH"

Methods, arguments, answers, exceptions, paginators and waiters are boto3's; sequence numbers have Kinesis's 56 digits,
texts of iterators end after 300 seconds. Where botocore is installed, errors are its `botocore.exceptions.ClientError`.

What differs: changes of streams are done when a call returns; `split_shard` and the like work in both capacity modes;
there is no account, so limits of one are not checked. Consumers have no tags, and those
that are given are refused with `InvalidArgumentException`. Warm throughput is taken and needs nothing; monitoring of
shards is always on (`Store.metrics`). To turn it on or off, resource policies and settings of an account raise
`ClientError` with the code ``UnknownOperationException``.

>>> kinesis = client("kinesis", store="memory:")
>>> _ = kinesis.create_stream(StreamName="orders", ShardCount=1)
>>> put = kinesis.put_record(StreamName="orders", Data=b"tea", PartitionKey="customer-1")
>>> start = kinesis.get_shard_iterator(StreamName="orders", ShardId=put["ShardId"], ShardIteratorType="TRIM_HORIZON")
>>> got = kinesis.get_records(ShardIterator=start["ShardIterator"])
>>> [record["Data"] for record in got["Records"]]
[b'tea']
>>> got["Records"][0]["SequenceNumber"] == put["SequenceNumber"], got["MillisBehindLatest"]
(True, 0)
>>> try:
...     _ = kinesis.describe_stream(StreamName="nothing")
... except kinesis.exceptions.ResourceNotFoundException as error:
...     print(error.response["Error"]["Message"])
Stream nothing under account 000000000000 not found.
>>> kinesis.close()
"""

from __future__ import annotations

import os
from typing import Any, Optional, Union

from libstream.kinesis import session
from libstream.kinesis.client import Client
from libstream.kinesis.errors import ClientError, OperationNotPageableError, ParamValidationError, WaiterError
from libstream.kinesis.session import Session
from libstream.store import Store

__all__ = ["Client", "ClientError", "OperationNotPageableError", "ParamValidationError", "Session", "WaiterError",
           "client", "session", "setup_default_session"]

DEFAULT_SESSION: Optional[Session] = None  #: what `setup_default_session` has made


def setup_default_session(**arguments: Any) -> None:
    """As boto3's: `client` makes clients of a `Session` with these arguments from now on."""
    global DEFAULT_SESSION
    DEFAULT_SESSION = Session(**arguments)


def client(service_name: str, region_name: Optional[str] = None, *arguments: Any,
           store: Union[None, str, "os.PathLike[str]", Store] = None, **named: Any) -> Client:
    """A client, as `boto3.client("kinesis")` makes it. `store`: an open `Store`, which stays the caller's, or where one
    is; `$LIBSTREAM_STORE` unless given. All else is as in `Session.client`."""
    return (DEFAULT_SESSION or Session()).client(service_name, region_name, *arguments, store=store, **named)
