"""What both ends of a measurement have in common: arrivals by time, a steady flood of packets, messages of 16 bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from typing import IO, Any

MESSAGE_BYTES = 16
FLOOD_BYTES = 1472  # with IP and UDP headers a full packet
TCP_PAYLOAD, PACKET = 1448, 1500
_BUCKETS_A_SECOND = 20


class Arrivals:
    """Bytes by time since the first; several threads may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget all."""
        with self._lock:
            self._begin: float | None = None
            self._buckets: Counter[int] = Counter()
            self.count = 0

    def add(self, size: int) -> None:
        """`size` bytes came now."""
        now = time.monotonic()
        with self._lock:
            if self._begin is None:
                self._begin = now
            self._buckets[int((now - self._begin) * _BUCKETS_A_SECOND)] += size
            self.count += 1

    def as_dict(self) -> dict[str, Any]:
        """How many came, and bytes by bucket."""
        with self._lock:
            return {"count": self.count, "buckets": {str(key): size for key, size in self._buckets.items()}}


def rate_mbps(arrivals: dict[str, Any], start_s: float, seconds: float) -> float:
    """Bytes that came in `seconds` from `start_s` after the first on, as 10^6 bits a second."""
    first, last = round(start_s * _BUCKETS_A_SECOND), round((start_s + seconds) * _BUCKETS_A_SECOND)
    size = sum(size for key, size in arrivals["buckets"].items() if first <= int(key) < last)
    return float(size * 8 * _BUCKETS_A_SECOND / (last - first) / 1e6)


def flood(sender: socket.socket, to: tuple[str, int], mbps: float, seconds: float) -> None:
    """Send full packets at `mbps` (whole packets' bits) for that long."""
    packet, interval = b"F" + bytes(FLOOD_BYTES - 1), PACKET * 8e-6 / mbps
    begin = time.monotonic()
    for number in range(int(seconds / interval)):
        wait_until(begin + number * interval)
        sender.sendto(packet, to)


def wait_until(moment: float) -> None:
    """Sleep, if it is worth it."""
    left = moment - time.monotonic()
    if left > 50e-6:
        time.sleep(left)


def read_message(lines: IO[bytes]) -> bytes:
    """The next message; empty at the end."""
    message = lines.read(MESSAGE_BYTES)
    return message if len(message) == MESSAGE_BYTES else b""
