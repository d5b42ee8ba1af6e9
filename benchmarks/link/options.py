"""The link's command line options, the same on every command, and the profile that they make.

Use: take the `...Option` types as a command's parameters (default None; `backend: BackendOption = Backend.AUTO`), and
hand them to `link_profile`.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.link.presets import PRESETS, preset
from benchmarks.link.profile import LinkProfile, with_traces
from common.errors import SettingsError


class Backend(StrEnum):
    """What emulates a link. `auto` takes the best that this machine and user can have: tun, netem, proxy."""

    AUTO = "auto"
    TUN = "tun"
    NETEM = "netem"
    PROXY = "proxy"
    LOOPBACK = "loopback"


ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile", metavar="NAME", help=f"A named link: {', '.join(PRESETS)}. Flags below change parts of it."
    ),
]
RttOption = Annotated[float | None, typer.Option("--rtt", metavar="MS", help="Round trip.")]
UplinkOption = Annotated[float | None, typer.Option("--uplink", metavar="MBPS", help="Rate from edge to cloud.")]
DownlinkOption = Annotated[
    float | None, typer.Option("--downlink", metavar="MBPS", help="Rate from cloud to edge. [as --uplink]")
]
JitterOption = Annotated[
    float | None, typer.Option("--jitter", metavar="MS", help="The round trip varies by +- this. [0]")
]
LossOption = Annotated[float | None, typer.Option("--loss", metavar="PCT", help="Lost packets, each way. [0]")]
QueueOption = Annotated[
    float | None,
    typer.Option("--queue", metavar="MS", help="Longest queue before the line. [a round trip, 64 packets]"),
]
TraceOption = Annotated[
    Path | None,
    typer.Option("--trace", metavar="FILE", help="Mahimahi trace that replaces the uplink's rate."),
]
DownlinkTraceOption = Annotated[
    Path | None,
    typer.Option("--downlink-trace", metavar="FILE", help="Mahimahi trace that replaces the downlink's rate."),
]
BackendOption = Annotated[Backend, typer.Option("--backend", help="What emulates the link.")]


def link_profile(
    profile: str | None = None,
    *,
    rtt: float | None = None,
    uplink: float | None = None,
    downlink: float | None = None,
    jitter: float | None = None,
    loss: float | None = None,
    queue: float | None = None,
    trace: Path | None = None,
    downlink_trace: Path | None = None,
) -> LinkProfile | None:
    """The profile that the flags describe; None if there are none.

    Raises:
        SettingsError: there is no such profile, a value makes no sense, or flags leave the link undescribed.
    """
    flags: dict[str, Any] = {
        "rtt_ms": rtt,
        "uplink_mbps": uplink,
        "downlink_mbps": downlink,
        "jitter_ms": jitter,
        "loss_pct": loss,
        "queue_ms": queue,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    traces = [str(path) for path in (trace, downlink_trace) if path is not None]
    if profile is not None:
        base = preset(profile)
        if given or traces:
            base = replace(base, name=_name(profile, given, traces), **given)
    elif not given and not traces:
        return None
    else:
        base = _from_flags(given, trace, downlink_trace)
    return with_traces(base, trace, downlink_trace)


def _from_flags(given: dict[str, Any], trace: Path | None, downlink_trace: Path | None) -> LinkProfile:
    if "rtt_ms" not in given:
        raise SettingsError("give --rtt (or a --profile to start from)")
    if "uplink_mbps" not in given and trace is None:
        raise SettingsError("give --uplink or --trace (or a --profile to start from)")
    if "downlink_mbps" not in given and "uplink_mbps" not in given and downlink_trace is None:
        raise SettingsError("give --downlink or --downlink-trace: a trace rules one direction only")
    uplink = given.get("uplink_mbps", 1.0)  # replaced by the trace's mean where there is a trace
    values: dict[str, Any] = {"uplink_mbps": uplink, "downlink_mbps": uplink, **given}
    traces = [str(path) for path in (trace, downlink_trace) if path is not None]
    return LinkProfile(name=_name("", given, traces), source="given by flags", **values)


def _name(profile: str, given: dict[str, Any], traces: list[str]) -> str:
    """E.g. `50ms-20M-100M`, `lte+loss_pct=1`."""
    if profile:
        changes = [f"{name}={value:g}" for name, value in given.items()] + [Path(trace).name for trace in traces]
        return "+".join([profile, *changes])
    rates = [f"{given[name]:g}M" for name in ("uplink_mbps", "downlink_mbps") if name in given]
    words = [f"{given['rtt_ms']:g}ms", *rates, *(Path(trace).name for trace in traces)]
    if given.get("jitter_ms"):
        words.append(f"jitter{given['jitter_ms']:g}")
    if given.get("loss_pct"):
        words.append(f"loss{given['loss_pct']:g}")
    return "-".join(words)
