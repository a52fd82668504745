"""boto3's paginators and waiters."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from libstream.kinesis.errors import ClientError, WaiterError

Call = Callable[..., Dict[str, Any]]


class Pages(NamedTuple):
    """How an operation's answers follow one another."""

    items: Tuple[str, ...]  #: where the list is
    more: Optional[str]  #: a member that says whether there is more; None: when there is a token
    token: Callable[[Dict[str, Any]], Any]
    argument: str  #: where the token goes
    limit: str  #: where the size of a page goes


PAGES: Dict[str, Pages] = {
    "describe_stream": Pages(("StreamDescription", "Shards"), "HasMoreShards",
                             lambda page: page["StreamDescription"]["Shards"][-1]["ShardId"],
                             "ExclusiveStartShardId", "Limit"),
    "list_shards": Pages(("Shards",), None, lambda page: page.get("NextToken"), "NextToken", "MaxResults"),
    "list_stream_consumers": Pages(("Consumers",), None, lambda page: page.get("NextToken"), "NextToken",
                                   "MaxResults"),
    "list_streams": Pages(("StreamNames",), "HasMoreStreams", lambda page: page["StreamNames"][-1],
                          "ExclusiveStartStreamName", "Limit"),
}


def _at(page: Dict[str, Any], path: Tuple[str, ...]) -> Any:
    for name in path:
        page = page[name]
    return page


class PageIterator:
    """The pages of an operation. It can be iterated again, which asks again."""

    def __init__(self, call: Call, pages: Pages, arguments: Dict[str, Any], config: Dict[str, Any]) -> None:
        self._call, self._pages, self._arguments = call, pages, arguments
        self._config = config

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        arguments, pages = dict(self._arguments), self._pages
        left = self._config.get("MaxItems")
        if self._config.get("PageSize"):
            arguments[pages.limit] = self._config["PageSize"]
        token = self._config.get("StartingToken")
        while True:
            if token is not None:
                if pages is PAGES["list_shards"]:  # Whose token says all else by itself, and must stand alone.
                    arguments = {name: value for name, value in arguments.items() if name == pages.limit}
                arguments[pages.argument] = token
            page = self._call(**arguments)
            items: List[Any] = _at(page, pages.items)
            if left is not None:
                del items[int(left):]
                left = int(left) - len(items)
            yield page
            parent = page if len(pages.items) == 1 else page[pages.items[0]]
            has_more = parent[pages.more] if pages.more else pages.token(page) is not None
            if not has_more or not items or left == 0:
                return
            token = pages.token(page)

    def build_full_result(self) -> Dict[str, Any]:
        """All pages as one answer, without their metadata."""
        whole: Dict[str, Any] = {}
        for page in self:
            page.pop("ResponseMetadata", None)
            if not whole:
                whole = page
            else:
                _at(whole, self._pages.items).extend(_at(page, self._pages.items))
        whole.pop("NextToken", None)
        return whole


class Paginator:
    """What `client.get_paginator` answers."""

    def __init__(self, call: Call, pages: Pages) -> None:
        self._call, self._pages = call, pages

    def paginate(self, PaginationConfig: Optional[Dict[str, Any]] = None, **arguments: Any) -> PageIterator:
        """The pages of a call with these arguments. `PaginationConfig`: MaxItems, PageSize, StartingToken."""
        return PageIterator(self._call, self._pages, arguments, PaginationConfig or {})


class Waiter:
    """What `client.get_waiter` answers. It looks at once, then ten times a second unless WaiterConfig says else."""

    def __init__(self, name: str, describe: Call) -> None:
        self.name = name
        self._describe = describe

    def wait(self, WaiterConfig: Optional[Dict[str, Any]] = None, **arguments: Any) -> None:
        """Wait until the stream is ACTIVE, or gone. Raises `WaiterError` after Delay times MaxAttempts: 180 seconds."""
        config = WaiterConfig or {}
        delay = float(config.get("Delay", 0.1))
        attempts = int(config.get("MaxAttempts", 18 if "Delay" in config else 1800))
        last: Any = {}
        for attempt in range(attempts):
            if attempt > 0:
                time.sleep(delay)
            try:
                last = self._describe(**arguments)
                found = last["StreamDescriptionSummary"]["StreamStatus"]
            except ClientError as error:
                last = error.response
                if last["Error"]["Code"] != "ResourceNotFoundException":
                    raise WaiterError(self.name, "An error occurred (%(Code)s): %(Message)s" % last["Error"],
                                      last) from error
                found = None
            if found == "ACTIVE" if self.name == "stream_exists" else found is None:
                return
        raise WaiterError(self.name, "Max attempts exceeded", last)
