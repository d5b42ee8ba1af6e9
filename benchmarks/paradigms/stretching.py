"""Slow motion: a replayed deployment K times slower in everything that is emulated, told in the deployment's own time.

Many clients share the cores of the machine that measures: their own work on messages and small models would be what
limits the fleet, long before the deployment's. With stages, link and patience K times as long, that work counts K times
less; results are divided by K. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from benchmarks.link.profile import LinkProfile
from benchmarks.results import Run
from common.replay import Curve, StageTimes


def stretched_times(times: StageTimes, by: float) -> dict[str, Any]:
    """The content of a profile file whose stages take `by` times as long."""
    values = {name: value for name, value in asdict(times).items() if name not in ("video", "target", "drafter")}
    parts = {name: _stretched(getattr(times, name), by) for name in ("video", "target", "drafter")}
    lists = {name: list(values[name]) for name in ("sources", "assumed")}
    return {**values, **lists, **parts, "name": f"{times.name}-x{by:g}"}


def _stretched(part: Any, by: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in part.__dataclass_fields__:
        value = getattr(part, name)
        if isinstance(value, Curve):
            found[name] = [[count, ms * by] for count, ms in value.points]
        else:
            found[name] = value * by if name.endswith("_ms") else value
    return found


def stretched_link(profile: LinkProfile | None, by: float) -> LinkProfile | None:
    """The same link with all times `by` times as long, and rates as much lower.

    A trace of packets can't be stretched: its file says when each packet goes. Raises ValueError.
    """
    if profile is None:
        return None
    if profile.uplink_trace or profile.downlink_trace or profile.outages:
        raise ValueError("a link with a trace or outages can't be stretched")
    return replace(
        profile,
        rtt_ms=profile.rtt_ms * by,
        jitter_ms=profile.jitter_ms * by,
        queue_ms=None if profile.queue_ms is None else profile.queue_ms * by,
        uplink_mbps=profile.uplink_mbps / by,
        downlink_mbps=profile.downlink_mbps / by,
    )


def told_run(run: Run, profile: LinkProfile | None, by: float) -> Run:
    """A run that was measured stretched, in the deployment's own time; `profile` is the link that was meant."""
    return replace(
        run,
        link=profile.as_dict() if profile is not None and run.link else run.link,
        replayed=run.replayed.replace(f"-x{by:g}", ""),
        ttft_ms=None if run.ttft_ms is None else run.ttft_ms / by,
        tpot_ms=None if run.tpot_ms is None else run.tpot_ms / by,
        total_ms=run.total_ms / by,
        stages=[told(stage, by) for stage in run.stages],
        extra={**told(run.extra, by), **_traces(run.extra, by), "stretched": by},
    )


def told(values: Mapping[str, Any], by: float) -> dict[str, Any]:
    """Everything that is named as a time or a rate, in the deployment's own."""
    found = {}
    for name, value in values.items():
        if name.endswith("_mbps"):
            found[name] = _shorter(value, 1 / by)
        else:
            found[name] = _shorter(value, by) if name.endswith(("_ms", "_s")) else value
    return found


def _traces(extra: Mapping[str, Any], by: float) -> dict[str, Any]:
    """Commits begin with a time, drafts are made of times."""
    found: dict[str, Any] = {}
    if "commit_trace" in extra:
        found["commit_trace"] = [[at / by, *counts] for at, *counts in extra["commit_trace"]]
    if "draft_trace" in extra:
        found["draft_trace"] = _shorter(extra["draft_trace"], by)
    return found


def _shorter(value: Any, by: float) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [_shorter(item, by) for item in value] if isinstance(value, list) else value
    return value / by
