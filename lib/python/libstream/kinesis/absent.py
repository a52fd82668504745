"""Operations on what only a service has: accounts, policies, and figures that it sells. Those that hold here by
themselves are answered; the rest are there, check their arguments as others do, and say why they cannot be done."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from libstream.kinesis.base import Base, Opened, action
from libstream.kinesis.errors import Refusal, answer, invalid
from libstream.values import StreamMode

_MEASURED = "the metrics of all shards are always on: Store.metrics() has them"
_POLICIES = "there are no accounts for which a policy could say something: the store's directory has permissions"


def _absent(why: str) -> Refusal:
    return Refusal("UnknownOperationException", "libstream cannot do this: %s" % why)


class Absent(Base):
    """What there is no need for."""

    @action
    def enable_enhanced_monitoring(self, *, ShardLevelMetrics: List[str], StreamName: Optional[str] = None,
                                   StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Refused: every shard is measured, always (`Store.metrics`)."""
        raise _absent(_MEASURED)

    @action
    def disable_enhanced_monitoring(self, *, ShardLevelMetrics: List[str], StreamName: Optional[str] = None,
                                    StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Refused: every shard is measured, always (`Store.metrics`)."""
        raise _absent(_MEASURED)

    @action
    def put_resource_policy(self, *, ResourceARN: str, Policy: str) -> Dict[str, Any]:
        """Refused: there are no accounts."""
        raise _absent(_POLICIES)

    @action
    def get_resource_policy(self, *, ResourceARN: str) -> Dict[str, Any]:
        """Refused: there are no accounts."""
        raise _absent(_POLICIES)

    @action
    def delete_resource_policy(self, *, ResourceARN: str) -> Dict[str, Any]:
        """Refused: there are no accounts."""
        raise _absent(_POLICIES)

    @action
    def describe_account_settings(self) -> Dict[str, Any]:
        """No commitment is billed."""
        return answer(MinimumThroughputBillingCommitment={"Status": "DISABLED"})

    @action
    def update_account_settings(self, *, MinimumThroughputBillingCommitment: Dict[str, Any]) -> Dict[str, Any]:
        """Refused: there are no accounts."""
        raise _absent("there is no account, and nothing is billed")

    @action
    def update_stream_warm_throughput(self, *, WarmThroughputMiBps: int, StreamName: Optional[str] = None,
                                      StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Of a stream on demand: that much is taken as it is, for nothing is throttled."""
        name = self._name(StreamName, StreamARN)

        def update(opened: Opened) -> Dict[str, Any]:
            if opened.stream.describe().mode != StreamMode.ON_DEMAND:
                raise invalid("Warm throughput is of streams in On-Demand mode: stream %s under account %s is not."
                              % (name, self._account))
            return answer(StreamName=name, StreamARN=self._arn(name), WarmThroughput={
                "TargetMiBps": WarmThroughputMiBps, "CurrentMiBps": WarmThroughputMiBps})

        return dict(self._with(name, update))
