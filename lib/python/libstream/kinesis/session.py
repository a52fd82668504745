"""As `boto3.session`: what makes clients."""

from __future__ import annotations

import os
from typing import Any, Optional, Union

from libstream.kinesis.client import Client
from libstream.store import Store


class Session:
    """As `boto3.Session`, as far as it makes clients. `store`: of those that are not told where theirs is."""

    def __init__(self, region_name: Optional[str] = None, *,
                 store: Union[None, str, "os.PathLike[str]", Store] = None, **ignored: Any) -> None:
        self._store = store
        self._region = region_name

    @property
    def region_name(self) -> Optional[str]:
        """The region, or that of $AWS_DEFAULT_REGION."""
        return self._region or os.environ.get("AWS_DEFAULT_REGION")

    def client(self, service_name: str, region_name: Optional[str] = None, *,
               store: Union[None, str, "os.PathLike[str]", Store] = None, **ignored: Any) -> Client:
        """As the function `libstream.kinesis.client`."""
        if service_name != "kinesis":
            raise ValueError("%r is no service of libstream: 'kinesis' is" % service_name)
        location = store if store is not None else self._store
        if location is None:
            location = os.environ.get("LIBSTREAM_STORE")
        if location is None:
            raise ValueError("where is the store? Say store=PATH, or set LIBSTREAM_STORE")
        return Client(location, region_name=region_name or self.region_name or "us-east-1")
