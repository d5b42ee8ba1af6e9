"""Runs the fleets that `eventspec-bench simulate` was asked for, one after another, and gathers their record."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from benchmarks.link.profile import LinkProfile
from benchmarks.machine import machine_facts
from benchmarks.results import SCHEMA, Record, Run
from benchmarks.simulation.cases import Case, made_up_case
from benchmarks.simulation.fleet import Arrivals, Deployment, Fleet, Questions
from benchmarks.simulation.modes import Mode
from benchmarks.simulation.summary import Objectives, Summary, runs_of, summarise

NOTES = (
    "simulated: the real session and engine code in virtual time; nothing was measured",
    "TCP is approximated: slow start and a largest window, losses as retransmissions; see docs/simulation.md",
)
_TEXT_TOKENS = 20
_MADE_UP = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate: every mode with every client count. Times in seconds."""

    modes: Sequence[Mode]
    clients: Sequence[int]
    deployment: Deployment
    questions: Questions
    link: LinkProfile | None = None
    arrivals: Arrivals = field(default_factory=Arrivals)
    objectives: Objectives = field(default_factory=Objectives)
    duration: float = 60.0
    warm_up: float = 10.0
    seed: int = 0
    most_runs: int = 2_000


def made_up_cases(deployment: Deployment, tokens: int, video_bytes: int, seed: int) -> list[Case]:
    """Questions whose answers have from half to one and a half times `tokens` tokens."""
    rng = random.Random(f"{seed} cases")
    times, per_frame = deployment.costs.times, deployment.tokens_per_frame
    text = times.target.prompt_tokens - times.video.frames * per_frame
    lengths = [rng.randint(max(1, tokens // 2), max(1, tokens + tokens // 2)) for _ in range(_MADE_UP)]
    return [made_up_case(n, length, video_bytes, rng, text) for n, length in enumerate(lengths)]


def tokens_per_frame(prompt_tokens: int, frames: int) -> int:
    """Video features a frame of a prompt so long, its text being about as long as a short question's."""
    return max(1, (prompt_tokens - _TEXT_TOKENS) // frames)


def simulate(plan: Plan, say: Callable[[str], None] = lambda text: None) -> tuple[Record, list[Summary]]:
    """Simulate every fleet of the plan; `say` hears how it goes."""
    summaries: list[Summary] = []
    runs: list[Run] = []
    simulated, wall, events, answers = 0.0, 0.0, 0, 0
    link = plan.link.as_dict() if plan.link is not None else {}
    for mode in plan.modes:
        for clients in plan.clients:
            fleet, summary, took = _simulate_one(plan, mode, clients)
            kept, whole = runs_of(fleet, link, plan.most_runs)
            runs += kept
            answers += whole
            summaries.append(summary)
            simulated, wall, events = simulated + fleet.ended_at, wall + took, events + fleet.timeline.events
            say(f"{mode.label}, {clients} clients: {fleet.ended_at:.0f} s of virtual time in {took:.1f} s")
    speed = {"simulated_s": round(simulated, 3), "wall_s": round(wall, 3), "events": events}
    return Record(_meta(plan, summaries, speed, answers, len(runs)), runs), summaries


def _simulate_one(plan: Plan, mode: Mode, clients: int) -> tuple[Fleet, Summary, float]:
    fleet = Fleet(plan.deployment, mode, plan.questions, clients, plan.arrivals, plan.seed)
    bar = _Bar(f"{mode.label}, {clients} clients")
    began = time.perf_counter()
    totals = fleet.run(plan.duration, warm_up=plan.warm_up, progress=bar.show)
    took = time.perf_counter() - began
    bar.clear()
    return fleet, summarise(fleet, totals, plan.warm_up, plan.duration, plan.objectives), took


class _Bar:
    """A line on standard error that is written over, where that is a terminal."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._last = -1
        self._shown = sys.stderr.isatty()

    def show(self, share: float) -> None:
        """How far it is."""
        percent = int(share * 100)
        if self._shown and percent != self._last:
            self._last = percent
            sys.stderr.write(f"\r{self._text}: {percent:3d} %")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave the line empty."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")


def _meta(plan: Plan, summaries: Sequence[Summary], speed: dict[str, Any], answers: int, kept: int) -> dict[str, Any]:
    notes = list(NOTES)
    if plan.link is not None and (plan.link.uplink_trace or plan.link.downlink_trace):
        notes.append("traces count by their mean rates")
    if kept < answers:
        notes.append(f"runs hold {kept} of {answers} answers, evenly chosen; fleets hold the figures of all")
    on = plan.deployment
    return {
        "schema": SCHEMA,
        "command": "simulate",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_facts(),
        "models": {},
        "link": plan.link.as_dict() if plan.link is not None else {},
        "backend": "simulated",
        "measured": {},
        "replayed": on.costs.times.name,
        "notes": notes,
        "seed": plan.seed,
        "duration_s": plan.duration,
        "warm_up_s": plan.warm_up,
        "slots": on.slots,
        "clouds": on.clouds,
        "arrivals": {"think_s": plan.arrivals.think_s, "per_s": plan.arrivals.per_s},
        "objectives": {"ttft_ms": plan.objectives.ttft_ms, "tpot_ms": plan.objectives.tpot_ms},
        "speed": speed,
        "fleets": [summary.as_dict() for summary in summaries],
    }
