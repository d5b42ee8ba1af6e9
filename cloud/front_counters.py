"""What the cloud's front counts: bytes and messages by kind, failures told, sessions handed over. Plain integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from common.errors import EventSpecError
from common.failures import failure_of

SPECULATE, VIDEO = "speculate", "video"


@dataclass
class FrontCounters:
    """Counters since the start; bytes are of messages, seals included, without what HTTP/2 and TLS add."""

    received_bytes: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    sent_bytes: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    handed_over: int = 0

    def receiving(self, kind: str) -> Callable[[bytes], bytes]:
        """For gRPC, in place of a deserializer: bytes stay bytes."""

        def count(data: bytes) -> bytes:
            self.received_bytes[kind] += len(data)
            self.received[kind] += 1
            return data

        return count

    def sending(self, kind: str) -> Callable[[bytes], bytes]:
        """For gRPC, in place of a serializer."""

        def count(data: bytes) -> bytes:
            self.sent_bytes[kind] += len(data)
            return data

        return count

    def refused(self, error: EventSpecError) -> None:
        """The front tells an edge of a failure."""
        self.failed[failure_of(error).code.value] += 1
