"""boto3's paginators and waiters."""

from __future__ import annotations

import base64
import importlib
import json
import time
from types import SimpleNamespace
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
    beside: str = ""  #: another list, of what has the same names


PAGES: Dict[str, Pages] = {
    "describe_stream": Pages(("StreamDescription", "Shards"), "HasMoreShards",
                             lambda page: page["StreamDescription"]["Shards"][-1]["ShardId"],
                             "ExclusiveStartShardId", "Limit"),
    "list_shards": Pages(("Shards",), None, lambda page: page.get("NextToken"), "NextToken", "MaxResults"),
    "list_stream_consumers": Pages(("Consumers",), None, lambda page: page.get("NextToken"), "NextToken",
                                   "MaxResults"),
    "list_streams": Pages(("StreamNames",), "HasMoreStreams", lambda page: page["StreamNames"][-1],
                          "ExclusiveStartStreamName", "Limit", "StreamSummaries"),
}
_CUT = "boto_truncate_amount"
_DELAY_S = 10  # Of botocore's waiters, whose streams take long.
_LOOK_S = 0.1


def _at(page: Dict[str, Any], path: Tuple[str, ...]) -> Any:
    for name in path:
        page = page[name]
    return page


def _token_text(argument: str, token: Any, cut: int) -> str:
    """Where to go on, as botocore writes it: behind so many items of the page of a token."""
    said = {argument: token, _CUT: cut} if cut else {argument: token}
    return base64.b64encode(json.dumps(said).encode()).decode()


def _token_of(argument: str, text: str) -> Tuple[Any, int]:
    """The token and how many items of its page were given before; a text that is none of these is a token itself."""
    try:
        said = json.loads(base64.b64decode(text, validate=True))
        return said[argument], int(said.get(_CUT, 0))
    except (ValueError, KeyError, TypeError, AttributeError):
        return text, 0


class PageIterator:
    """The pages of an operation. It can be iterated again, which asks again."""

    resume_token: Optional[str]  #: after `MaxItems`: where to go on, for `StartingToken`; None when that was all

    def __init__(self, call: Call, pages: Pages, arguments: Dict[str, Any], config: Dict[str, Any]) -> None:
        self._call, self._pages, self._arguments = call, pages, arguments
        self._config = config
        self.resume_token = None

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        arguments, pages = dict(self._arguments), self._pages
        self.resume_token = token = None
        left: Optional[int] = None if self._config.get("MaxItems") is None else int(self._config["MaxItems"])
        cut = 0
        if self._config.get("PageSize"):
            arguments[pages.limit] = int(self._config["PageSize"])
        if self._config.get("StartingToken") is not None:
            token, cut = _token_of(pages.argument, self._config["StartingToken"])
        while True:
            if token is not None:
                if pages is PAGES["list_shards"]:  # Whose token says all else by itself, and must stand alone.
                    arguments = {name: value for name, value in arguments.items() if name == pages.limit}
                arguments[pages.argument] = token
            page = self._call(**arguments)
            parent = page if len(pages.items) == 1 else page[pages.items[0]]
            has_more = parent[pages.more] if pages.more else pages.token(page) is not None
            following = pages.token(page) if has_more else None
            items: List[Any] = _at(page, pages.items)
            whole = len(items)
            if left is not None and whole - cut > left:
                self.resume_token = _token_text(pages.argument, token, cut + left)
                del items[cut + left:]
            del items[:cut]
            if pages.beside and len(items) < whole:
                page[pages.beside] = [other for other in page[pages.beside] if other["StreamName"] in items]
            if left is not None:
                left -= len(items)
            yield page
            if self.resume_token is not None or not has_more or not whole:
                return
            if left == 0:
                self.resume_token = _token_text(pages.argument, following, 0)
                return
            token, cut = following, 0

    def build_full_result(self) -> Dict[str, Any]:
        """All pages as one answer, without their metadata; `NextToken` is there when `MaxItems` left something."""
        whole: Dict[str, Any] = {}
        for page in self:
            page.pop("ResponseMetadata", None)
            if not whole:
                whole = page
                continue
            _at(whole, self._pages.items).extend(_at(page, self._pages.items))
            if self._pages.beside:
                whole[self._pages.beside].extend(page[self._pages.beside])
        if self._pages.more:
            (whole if len(self._pages.items) == 1 else whole[self._pages.items[0]]).pop(self._pages.more)
        whole.pop("NextToken", None)
        if self.resume_token is not None:
            whole["NextToken"] = self.resume_token
        return whole

    def search(self, expression: str) -> Iterator[Any]:
        """What a JMESPath expression finds in each page. Needs jmespath, which botocore brings along."""
        compiled = importlib.import_module("jmespath").compile(expression)
        for page in self:
            found = compiled.search(page)
            yield from found if isinstance(found, list) else [found]


class Paginator:
    """What `client.get_paginator` answers."""

    def __init__(self, call: Call, pages: Pages) -> None:
        self._call, self._pages = call, pages

    def paginate(self, PaginationConfig: Optional[Dict[str, Any]] = None, **arguments: Any) -> PageIterator:
        """The pages of a call with these arguments. `PaginationConfig`: MaxItems, PageSize, StartingToken."""
        return PageIterator(self._call, self._pages, arguments, PaginationConfig or {})


class Waiter:
    """What `client.get_waiter` answers. It looks at once, then ten times a second unless `config` or WaiterConfig has
    another delay than botocore's."""

    config: Any  #: as botocore has it, to be set: delay in seconds, 10, and max_attempts, 18

    def __init__(self, name: str, describe: Call) -> None:
        self.name = "".join(part.capitalize() for part in name.split("_"))  #: as botocore has it: StreamExists
        self._is_for_one = name == "stream_exists"
        self._describe = describe
        self.config = SimpleNamespace(delay=_DELAY_S, max_attempts=18)

    def wait(self, WaiterConfig: Optional[Dict[str, Any]] = None, **arguments: Any) -> None:
        """Wait until the stream is ACTIVE, or gone. Raises `WaiterError` when as long is over as botocore's waits, a
        Delay between each two of MaxAttempts: 170 seconds; or at once when there is an error, such as that there is no
        stream that could become ACTIVE."""
        config = WaiterConfig or {}
        delay = float(config.get("Delay", self.config.delay))
        attempts = max(1, int(config.get("MaxAttempts", self.config.max_attempts)))
        if "Delay" not in config and delay == _DELAY_S:  # Nobody asked for a slow one.
            delay, attempts = _LOOK_S, 1 + (attempts - 1) * round(_DELAY_S / _LOOK_S)
        last: Any = {}
        for attempt in range(attempts):
            if attempt > 0:
                time.sleep(delay)
            try:
                last = self._describe(**arguments)
                found = last["StreamDescription"]["StreamStatus"]
            except ClientError as error:
                last = error.response
                if self._is_for_one or last["Error"]["Code"] != "ResourceNotFoundException":
                    raise WaiterError(self.name, "An error occurred (%(Code)s): %(Message)s" % last["Error"],
                                      last) from error
                found = None
            if found == "ACTIVE" if self._is_for_one else found is None:
                return
        raise WaiterError(self.name, "Max attempts exceeded", last)
