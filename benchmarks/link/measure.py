"""Measures what a link really gives, with processes of its own on both of its sides."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import IO, Any

from benchmarks.link.base import EmulatedLink
from benchmarks.link.probe_client import LOSS_PACKETS
from benchmarks.link.profile import LinkProfile
from common.errors import LinkError

_PROJECT = Path(__file__).parents[2]
_NOTHING = LinkProfile("loopback", rtt_ms=0.0, uplink_mbps=1000.0, downlink_mbps=1000.0)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a link gave; None: not measured (`rates_by` and `loss_pct` where the backend can't, all but times if quick).

    Attributes:
        rtt_p50_ms: of small pings on the otherwise idle link.
        rtt_p99_ms: the same.
        uplink_mbps: of several seconds of bulk, headers included.
        downlink_mbps: the same.
        loss_pct: of 10,000 packets each way, both ways together.
        rates_by: how the rates were taken.
    """

    rtt_p50_ms: float
    rtt_p99_ms: float
    uplink_mbps: float | None = None
    downlink_mbps: float | None = None
    loss_pct: float | None = None
    rates_by: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As `link check --json` prints it."""
        values = asdict(self)
        del values["rates_by"]
        return values


def measure_link(link: EmulatedLink, quick: bool = True, say: Callable[[str], None] | None = None) -> Measured:
    """Measure an open link. Quick: round trips only, a few seconds; else also rates and loss, under a minute on most.

    Args:
        link: up, and otherwise idle.
        quick: round trips only.
        say: called with a line of progress now and then.

    Raises:
        LinkError: the measurement failed; with its last words.
    """
    with _probe_server(link) as ports:
        host = link.cloud_listen().rpartition(":")[0]
        plan = {
            "tcp": link.reach(f"{host}:{ports['tcp']}"),
            "udp": None if link.backend == "proxy" else f"{host}:{ports['udp']}",
            "profile": (link.profile or _NOTHING).as_dict(),
            "quick": quick,
        }
        return _evaluate(_run_client(link, plan, say or (lambda _: None)))


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def _probe(module: str, argument: str) -> list[str]:
    return [sys.executable, "-P", "-m", f"benchmarks.link.{module}", argument]


@contextmanager
def _started(command: Sequence[str], **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, text=True, env=_environment(), start_new_session=True, **pipes)
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


@contextmanager
def _probe_server(link: EmulatedLink) -> Iterator[dict[str, int]]:
    command = link.cloud_command(_probe("probe_server", link.cloud_listen().rpartition(":")[0]))
    with _started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise LinkError("the far end of the measurement didn't start")
        yield json.loads(line)


def _run_client(link: EmulatedLink, plan: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    command = link.edge_command(_probe("probe_client", json.dumps(plan)))
    # Its standard input is a pipe from here, so that it ends when this process is gone.
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with _started(command, **pipes) as client:
        assert client.stdout is not None and client.stderr is not None
        words = _follow(client.stderr, say)
        result = client.stdout.read()
        if client.wait() != 0:
            raise LinkError("the measurement failed: " + (words[-1] if words else f"status {client.returncode}"))
    values: dict[str, Any] = json.loads(result)
    return values


def _follow(lines: IO[str], say: Callable[[str], None]) -> list[str]:
    words = []
    for line in lines:
        words.append(line.rstrip())
        say(words[-1])
    return words


def _evaluate(values: dict[str, Any]) -> Measured:
    trips = sorted(values.pop("round_trips_ms"))
    if not trips:
        raise LinkError("no ping came back")
    rounded: dict[str, Any] = {
        name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()
    }
    p50, p99 = (round(trips[min(len(trips) - 1, int(share * len(trips)))], 3) for share in (0.5, 0.99))
    return Measured(p50, p99, **rounded)


def deviations(profile: LinkProfile, measured: Measured) -> list[str]:
    """What is beyond the tolerance, a sentence each: p50 5 % + 1 ms, p99 10 % + 3 ms, rates 10 %, loss 20 %.

    Loss may also be off by three standard deviations of so many draws, and by five packets.
    """
    share = profile.loss_pct / 100.0
    sigma = 100.0 * sqrt(share * (1 - share) / (2 * LOSS_PACKETS))
    loss_tolerance = max(0.2 * profile.loss_pct, 3 * sigma, 100.0 * 5 / (2 * LOSS_PACKETS))
    checks = (
        ("round trip p50", "ms", profile.rtt_ms, measured.rtt_p50_ms, 0.05 * profile.rtt_ms + 1.0),
        ("round trip p99", "ms", profile.rtt_p99_ms, measured.rtt_p99_ms, 0.1 * profile.rtt_p99_ms + 3.0),
        ("uplink", "Mbit/s", profile.uplink_mbps, measured.uplink_mbps, 0.1 * profile.uplink_mbps),
        ("downlink", "Mbit/s", profile.downlink_mbps, measured.downlink_mbps, 0.1 * profile.downlink_mbps),
        ("loss", "%", profile.loss_pct, measured.loss_pct, loss_tolerance),
    )
    return [
        f"{name} is {value:.4g} {unit}, and should be {wanted:.4g} +- {tolerance:.2g}"
        for name, unit, wanted, value, tolerance in checks
        if value is not None and abs(value - wanted) > tolerance
    ]
