"""What a link is like: delay, jitter, rates, loss, queue, outages or a trace. `benchmarks/link/presets.py` has some."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.link.trace import load_trace
from common.errors import SettingsError

PACKET_BYTES = 1500
_QUEUE_PACKETS = 64


@dataclass(frozen=True, slots=True)
class Outage:
    """The line delivers nothing from `start_s` on for `duration_s` seconds; packets queue, up to the queue's limit.

    Times count from the link's start. With `every_s` the outage comes again after that many seconds, for ever.
    """

    start_s: float
    duration_s: float
    every_s: float | None = None

    def __post_init__(self) -> None:
        _check_range("an outage's start_s", self.start_s, 0.0, 1e6)
        _check_range("an outage's duration_s", self.duration_s, 1e-6, 1e6)
        if self.every_s is not None:
            _check_range("an outage's every_s", self.every_s, 1e-3, 1e6)
            if self.every_s <= self.duration_s:
                raise SettingsError(f"an outage of {self.duration_s} s every {self.every_s} s never lets anything pass")


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """A link between an edge and a cloud. Rates count whole IP packets.

    Attributes:
        name: for results.
        rtt_ms: round trip of a small packet on the idle link; half of it each way.
        uplink_mbps: from the edge to the cloud, in 10^6 bits a second; the trace's mean where there is a trace.
        downlink_mbps: from the cloud to the edge.
        jitter_ms: the round trip varies by up to this, up and down: each way's delay is uniform within
            half of it around its mean. Packets never overtake each other.
        loss_pct: of the packets of each way, at random, after the packet took its time on the line.
        queue_ms: how long the queue before each way's line may grow (at its rate); what comes then is dropped.
            None: the round trip's time, but at least 64 full packets.
        outages: when nothing passes, either way.
        uplink_trace: file of delivery opportunities in Mahimahi's format; replaces the rate.
        downlink_trace: the same for the other way.
        source: where the figures come from.
    """

    name: str
    rtt_ms: float
    uplink_mbps: float
    downlink_mbps: float
    jitter_ms: float = 0.0
    loss_pct: float = 0.0
    queue_ms: float | None = None
    outages: tuple[Outage, ...] = ()
    uplink_trace: str | None = None
    downlink_trace: str | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise SettingsError("a link profile needs a name")
        _check_range("rtt_ms", self.rtt_ms, 0.0, 60_000.0)
        _check_range("uplink_mbps", self.uplink_mbps, 0.001, 100_000.0)
        _check_range("downlink_mbps", self.downlink_mbps, 0.001, 100_000.0)
        _check_range("jitter_ms", self.jitter_ms, 0.0, 60_000.0)
        _check_range("loss_pct", self.loss_pct, 0.0, 100.0)
        if self.loss_pct >= 100.0:
            raise SettingsError("loss_pct of 100 is no link")
        if self.jitter_ms > self.rtt_ms:
            raise SettingsError(
                f"jitter_ms {self.jitter_ms:g} is over rtt_ms {self.rtt_ms:g}: no packet can arrive early"
            )
        if sum(o.duration_s / o.every_s for o in self.outages if o.every_s) >= 1.0:
            raise SettingsError("these outages together may never let anything pass")
        if self.queue_ms is not None:
            _check_range("queue_ms", self.queue_ms, 0.0, 600_000.0)

    def queue_bytes(self, mbps: float) -> int:
        """Bytes that may wait before a line of that rate; a whole packet always may."""
        per_ms = mbps * 125.0
        if self.queue_ms is not None:
            return max(PACKET_BYTES, round(self.queue_ms * per_ms))
        return max(_QUEUE_PACKETS * PACKET_BYTES, round(self.rtt_ms * per_ms))

    @property
    def rtt_p99_ms(self) -> float:
        """The 99th percentile of the idle round trip: two uniform delays add up to a triangle."""
        return self.rtt_ms + self.jitter_ms * (1.0 - math.sqrt(0.02))

    def as_dict(self) -> dict[str, Any]:
        """As results hold it, and `from_dict` reads it."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        outages = [{f.name: getattr(outage, f.name) for f in fields(Outage)} for outage in self.outages]
        return {**values, "outages": outages}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LinkProfile:
        """A profile from `as_dict`.

        Raises:
            SettingsError: a value is missing, unknown or makes no sense.
        """
        try:
            outages = tuple(Outage(**outage) for outage in values.get("outages", ()))
            return cls(**{**values, "outages": outages})
        except (TypeError, AttributeError) as error:
            raise SettingsError(f"this isn't a link profile: {error}") from error


def with_traces(profile: LinkProfile, uplink: Path | None, downlink: Path | None) -> LinkProfile:
    """The profile with its rates replaced by traces; rates become the traces' means.

    Raises:
        SettingsError: a trace can't be read.
    """
    if uplink is not None:
        profile = replace(profile, uplink_mbps=load_trace(uplink).mean_mbps, uplink_trace=str(uplink.absolute()))
    if downlink is not None:
        profile = replace(
            profile, downlink_mbps=load_trace(downlink).mean_mbps, downlink_trace=str(downlink.absolute())
        )
    return profile


def _check_range(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SettingsError(f"{name} must be a number, not {value!r}")
    if not low <= value <= high:
        raise SettingsError(f"{name} must be between {low:g} and {high:g}, not {value:g}")
