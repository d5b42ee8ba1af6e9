"""The near end of a measurement, on the edge's side: `python -m benchmarks.link.probe_client PLAN`, a JSON object.

The plan: `tcp` (HOST:PORT), `udp` (HOST:PORT, or null where only TCP crosses), `profile`, and `quick`. Prints what was
measured as one line of JSON; says on standard error what it is doing.
"""

from __future__ import annotations

import json
import math
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.link.kernel import be_punctual
from benchmarks.link.probing import MESSAGE_BYTES, PACKET, TCP_PAYLOAD, Arrivals, flood, rate_mbps
from benchmarks.link.profile import LinkProfile

BULK_SECONDS = 6.0
LOSS_PACKETS = 10_000
_CONNECTIONS, _PACKETS_EACH, _FIRST_PACKETS = 4, 64, 10  # at most; that one of them can fill; of slow start
_STRUCT = struct.Struct("!4sId")
_UDP_OVERHEAD = 28


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


class ProbeClient:
    """Measures one link from its edge's side."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._tcp = _address(plan["tcp"])
        self._udp = _address(plan["udp"]) if plan["udp"] else None
        self._profile = LinkProfile.from_dict(plan["profile"])
        self._rtt = self._profile.rtt_ms / 1e3
        self._control = self._connect("control")
        self._answers = self._control.makefile("rb")

    def _connect(self, purpose: str) -> socket.socket:
        connection = socket.create_connection(self._tcp, timeout=30 + 10 * self._rtt)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(json.dumps({"do": purpose}).encode() + b"\n")
        return connection

    def _ask(self, **request: Any) -> dict[str, Any]:
        self._control.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer

    def round_trips(self, count: int, spacing: float) -> list[float]:
        """Milliseconds of those of `count` pings that came back, in order of sending; the link is idle otherwise."""
        if self._udp is None:
            with self._connect("echo") as connection:
                time.sleep(2 * self._rtt)
                return _ping(connection, connection.sendall, count, spacing, 2 * self._rtt + 2)
        with _udp_socket() as packets:
            packets.connect(self._udp)
            return _ping(packets, packets.send, count, spacing, 2 * self._rtt + 2)

    def loss_pct(self) -> float:
        """Of packets that cross each way at up to half the rate, in percent of those sent, both ways together."""
        assert self._udp is not None
        slower = min(self._profile.uplink_mbps, self._profile.downlink_mbps)
        spacing = max(1 / 2000, 2 * (MESSAGE_BYTES + _UDP_OVERHEAD) * 8e-6 / slower)
        self._ask(do="reset")
        back = len(self.round_trips(LOSS_PACKETS, spacing))
        arrived = self._ask(do="counts")["packets"]["count"]
        return float(100.0 * (LOSS_PACKETS - back) / (LOSS_PACKETS + arrived))

    def packet_rate(self, up: bool) -> float:
        """Of full packets, sent at a tenth more than the rate, those that arrive; times are the receiver's."""
        assert self._udp is not None
        mbps = self._profile.uplink_mbps if up else self._profile.downlink_mbps
        seconds = BULK_SECONDS + 1.0
        self._ask(do="reset")
        with _udp_socket() as packets:
            if up:
                flood(packets, self._udp, 1.1 * mbps, seconds)
                time.sleep(2 * self._rtt + 0.2)
                arrivals = self._ask(do="counts")["packets"]
            else:
                packets.bind((self._control.getsockname()[0], 0))
                packets.sendto(b"F", self._udp)
                arrivals = _receive(
                    packets,
                    lambda: self._ask(do="flood", to=packets.getsockname(), mbps=1.1 * mbps, seconds=seconds),
                    2 * self._rtt + 0.3,
                )
        return rate_mbps(arrivals, 0.5, BULK_SECONDS) * PACKET / (PACKET - _UDP_OVERHEAD)

    def stream_rate(self, up: bool) -> float:
        """Of TCP connections after their slow start, headers included; times are the receiver's."""
        mbps = self._profile.uplink_mbps if up else self._profile.downlink_mbps
        filling, queue_s = self._rtt * mbps * 1e6 / 8 / PACKET, self._profile.queue_bytes(mbps) * 8e-6 / mbps
        count = max(1, min(_CONNECTIONS, round(filling / _PACKETS_EACH)))
        slow_start = self._rtt * (math.log2(max(2.0, filling / count / _FIRST_PACKETS)) + 2)
        warm = max(1.0, 1.5 * slow_start + 2 * queue_s)
        seconds = max(BULK_SECONDS, 20 * self._rtt)  # bytes that waited for a lost one come in heaps
        self._ask(do="reset")
        mine = Arrivals()
        with self._many(count, "sink" if up else "source") as connections:
            until = time.monotonic() + warm + seconds + 2 * self._rtt + 0.5
            work = _send_until if up else _receive_until
            threads = [threading.Thread(target=work, args=(c, until, mine)) for c in connections]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            arrivals = self._ask(do="counts")["streams"] if up else mine.as_dict()
        time.sleep(3 * self._rtt + 0.3)
        return rate_mbps(arrivals, warm, seconds) * PACKET / TCP_PAYLOAD

    @contextmanager
    def _many(self, count: int, purpose: str) -> Iterator[list[socket.socket]]:
        connections = [self._connect(purpose) for _ in range(count)]
        try:
            yield connections
        finally:
            for connection in connections:  # at once: what is still to be sent must not disturb what comes next
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()


def _udp_socket() -> socket.socket:
    packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    return packets


def _ping(
    connection: socket.socket, send: Callable[[bytes], Any], count: int, spacing: float, patience: float
) -> list[float]:
    """Send a ping every `spacing` seconds without waiting for answers; give up `patience` seconds after the last."""
    connection.setblocking(False)
    trips: dict[int, float] = {}
    begin = time.monotonic()
    sent, rest = 0, b""
    while len(trips) < count:
        now = time.monotonic()
        following = begin + sent * spacing if sent < count else begin + count * spacing + patience
        if now >= following:
            if sent == count:
                break
            send(_STRUCT.pack(b"E", sent, time.monotonic()))
            sent += 1
            continue
        if select.select([connection], (), (), following - now)[0]:
            rest += connection.recv(65536)
            now = time.monotonic()
            while len(rest) >= MESSAGE_BYTES:
                _, number, at = _STRUCT.unpack_from(rest)
                trips[number] = (now - at) * 1e3
                rest = rest[MESSAGE_BYTES:]
    return [trips[number] for number in sorted(trips)]


def _receive(packets: socket.socket, ask: Callable[[], Any], quiet: float) -> dict[str, Any]:
    """What arrives while `ask` runs, and until nothing has for `quiet` seconds after it."""
    arrivals = Arrivals()
    asking = threading.Thread(target=ask)
    asking.start()
    packets.settimeout(quiet)
    while True:
        try:
            arrivals.add(len(packets.recv(2048)))
        except TimeoutError:
            if not asking.is_alive():
                return arrivals.as_dict()


def _send_until(connection: socket.socket, until: float, _: Arrivals) -> None:
    connection.settimeout(0.2)
    while time.monotonic() < until:
        try:
            connection.send(bytes(1 << 16))
        except TimeoutError:
            continue


def _receive_until(connection: socket.socket, until: float, arrivals: Arrivals) -> None:
    connection.settimeout(0.2)
    while time.monotonic() < until:
        try:
            arrivals.add(len(connection.recv(1 << 16)))
        except TimeoutError:
            continue


def measure(plan: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """All that the plan asks for: `round_trips_ms`, and, unless quick, rates, the way they were taken, and loss."""
    client = ProbeClient(plan)
    profile = LinkProfile.from_dict(plan["profile"])
    spacing = max(0.01, profile.jitter_ms / 1e3)  # wide enough that no ping waits for the one before
    count = 100 if plan["quick"] else int(max(200, min(600, 6.0 / spacing)))
    say(f"round trip: {count} pings")
    client.round_trips(5, 0.01)
    measured: dict[str, Any] = {"round_trips_ms": client.round_trips(count, spacing)}
    if plan["quick"]:
        return measured
    by_packets = plan["udp"] is not None and profile.loss_pct > 0
    rate = client.packet_rate if by_packets else client.stream_rate
    measured["rates_by"] = "UDP, more than the line takes" if by_packets else f"TCP, up to {_CONNECTIONS} connections"
    for name, up in (("uplink", True), ("downlink", False)):
        say(f"{name}: bulk by {measured['rates_by']}")
        measured[f"{name}_mbps"] = rate(up)
    measured["loss_pct"] = None
    if plan["udp"] is not None:
        say(f"loss: {LOSS_PACKETS} packets each way")
        measured["loss_pct"] = client.loss_pct()
    return measured


def main() -> None:
    """Measure, print."""
    be_punctual()
    plan = json.loads(sys.argv[1])
    print(json.dumps(measure(plan, lambda text: print(text, file=sys.stderr, flush=True))), flush=True)


if __name__ == "__main__":
    main()
