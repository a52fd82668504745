"""As `boto3.session`: what makes clients."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Union

from libstream.kinesis.client import Client
from libstream.store import Store


_RETRIES = 4


class Session:
    """As `boto3.Session`, as far as it makes clients: credentials and profiles are taken and ignored. `store`: of those
    that are not told where theirs is."""

    def __init__(self, aws_access_key_id: Optional[str] = None, aws_secret_access_key: Optional[str] = None,
                 aws_session_token: Optional[str] = None, region_name: Optional[str] = None,
                 botocore_session: Any = None, profile_name: Optional[str] = None,
                 aws_account_id: Optional[str] = None, *,
                 store: Union[None, str, "os.PathLike[str]", Store] = None) -> None:
        self._store = store
        self._region = region_name

    @property
    def region_name(self) -> Optional[str]:
        """The region, or that of $AWS_DEFAULT_REGION."""
        return self._region or os.environ.get("AWS_DEFAULT_REGION")

    def client(self, service_name: str, region_name: Optional[str] = None, api_version: Optional[str] = None,
               use_ssl: bool = True, verify: Union[None, bool, str] = None, endpoint_url: Optional[str] = None,
               aws_access_key_id: Optional[str] = None, aws_secret_access_key: Optional[str] = None,
               aws_session_token: Optional[str] = None, config: Any = None, aws_account_id: Optional[str] = None, *,
               store: Union[None, str, "os.PathLike[str]", Store] = None) -> Client:
        """A client. Of a `config` of botocore's the region and `retries` count; credentials, endpoints and the like are
        taken and ignored."""
        if service_name != "kinesis":
            raise ValueError("%r is no service of libstream: 'kinesis' is" % service_name)
        location = store if store is not None else self._store
        if location is None:
            location = os.environ.get("LIBSTREAM_STORE")
        if location is None:
            raise ValueError("where is the store? Say store=PATH, or set LIBSTREAM_STORE")
        region = region_name or getattr(config, "region_name", None) or self.region_name or "us-east-1"
        return Client(location, region_name=region, retries=_retries(getattr(config, "retries", None) or {}))


def _retries(asked: Mapping[str, Any]) -> int:
    """How often a call is tried again, as botocore reads its `Config(retries={...})`."""
    if asked.get("total_max_attempts") is not None:
        return max(0, int(asked["total_max_attempts"]) - 1)
    if asked.get("max_attempts") is not None:
        return int(asked["max_attempts"])
    return _RETRIES if asked.get("mode", "legacy") == "legacy" else 2
