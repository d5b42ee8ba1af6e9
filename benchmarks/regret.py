"""How near the edge's controller comes to the best fixed setting, by brute force in the simulator.

At every point of a grid (stage times, drafter, link, ingest) the same questions are asked with every fixed setting
(draft length times pace, and no drafts at all) and with the controller, each with an edge of its own. The controller
has to learn the point from its own answers; the first few don't count, for nobody. Bars: its median total time at most
3 % above the best setting's, and at most 1.03 times that of the cloud alone.

With `branches`, the controller's questions are asked once more with outcome branches (`edge/branches.py`), which
must not make it slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean, median
from statistics import mode as mode_of
from typing import Any

from benchmarks.simulation.cases import Acceptance
from benchmarks.simulation.costs import Costs
from benchmarks.simulation.fleet import Arrivals, Deployment, Fleet, Questions
from benchmarks.simulation.link import LinkFigures
from benchmarks.simulation.modes import AUTO, CLOUD_ONLY, EAGER, PATIENT, Mode
from benchmarks.simulation.running import made_up_cases, tokens_per_frame
from common.replay import Curve, StageTimes, load_profile, parse_profile, shipped_profiles

LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)
BAR = 0.03
_QUESTION_ROWS = 24  # of the prompt, where the video is taken in ahead
_LOAD_S, _HOP_S = 0.03, 0.001

EQUAL_SPEEDS = "equal-speeds"
TINY = "tiny"
_TINY = {
    "name": TINY,
    "about": "about the shipped pair on two cores",
    "assumed": ["Rounded from the runtime's own figures: a pass costs 4.2 ms, eight rows twice as much."],
    "drafter": {"vision_ms": 3, "prefill_ms": 8, "token_ms": 1.5, "prompt_tokens": 200},
    "target": {"step": [[1, 4.2], [8, 8.4], [160, 40]], "session_ms": 0.3, "prompt_tokens": 160},
    "video": {"decode_ms": 20, "preprocess_ms": 5, "vision": [[1, 3], [8, 15]], "frames": 8, "workers": 2},
}


def times_named(name: str) -> StageTimes:
    """A shipped profile, a file's, or one of two that exist only here.

    Raises:
        SettingsError: there is none.
    """
    if name == TINY:
        return parse_profile(_TINY, "benchmarks/regret.py")
    if name == EQUAL_SPEEDS:  # a drafter as slow as the target: it can't pay but before the first token
        times = load_profile("7b-bf16")
        return replace(times, name=name, drafter=replace(times.drafter, token_ms=times.target.step.at(1)))
    return load_profile(name)


def default_profiles() -> list[str]:
    """All that are shipped, and the two that exist only here."""
    return [*shipped_profiles(), EQUAL_SPEEDS, TINY]


@dataclass(frozen=True, slots=True)
class Point:
    """Where to measure. `ahead`: video and events were taken in before the question came. Milliseconds, Mbit/s."""

    profile: str
    rtt_ms: float
    uplink_mbps: float
    ahead: bool


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked at each point: `answers` of about `tokens` tokens, the first `warm_up` of which don't count."""

    acceptance: Acceptance
    answers: int = 32
    warm_up: int = 8
    tokens: int = 32
    video_bytes: int = 500_000
    max_ahead: int = 16
    branches: int = 0
    patience_ms: int = 200
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Regret:
    """One point's result, medians of total times in milliseconds.

    Attributes:
        best: the best fixed setting, `off` for none.
        regret: the controller's median over the best one's, less one; `mean_regret` of means.
        against_alone: the controller's median over that of the cloud alone.
        branches_ms: the controller's median with outcome branches; `branches_mean`: its mean time over that without;
            `branch_hits` of `branch_hits + branch_misses` mistakes found one that went on from the correction. None
            if it wasn't asked for.
        gain: what the reports say of the speed-up, in the median; `off_share`: of the commits while drafting was off.
    """

    point: Point
    best: str
    best_ms: float
    controller_ms: float
    alone_ms: float
    regret: float
    mean_regret: float
    against_alone: float
    gain: float | None
    off_share: float
    pace: str
    totals_ms: dict[str, float]
    branches_ms: float | None = None
    branches_mean: float | None = None
    branch_hits: int = 0
    branch_misses: int = 0

    @property
    def reached(self) -> bool:
        """Both bars."""
        return self.regret <= BAR and self.against_alone <= 1 + BAR

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {**asdict(self), "reached": self.reached}


def settings(load: Load) -> dict[str, Mode]:
    """Every fixed setting by name."""
    modes = {"off": CLOUD_ONLY}
    for base in (EAGER, PATIENT):
        for length in LENGTHS:
            name = base.mode.removeprefix("tokens-")
            modes[f"{name} {length}"] = replace(base, draft_length=length, patience_ms=load.patience_ms)
    return modes


def grid(
    profiles: Iterable[str], rtts_ms: Sequence[float], uplinks_mbps: Sequence[float], ahead: Sequence[bool]
) -> Iterator[Point]:
    """Every point; where nothing is uploaded the uplink's rate matters little, but it is asked for all the same."""
    for profile in profiles:
        for there in ahead:
            for rtt in rtts_ms:
                for uplink in uplinks_mbps:
                    yield Point(profile, rtt, uplink, there)


def measure(points: Iterable[Point], load: Load, say: Callable[[Regret], None] = lambda found: None) -> list[Regret]:
    """All points; `say` hears of each."""
    found = []
    for point in points:
        found.append(measure_point(point, load))
        say(found[-1])
    return found


def measure_point(point: Point, load: Load) -> Regret:
    """One point, all settings."""
    on = _deployment(point, load)
    fixed = {name: _totals(_run(on, mode, load)) for name, mode in settings(load).items()}
    auto = replace(AUTO, patience_ms=load.patience_ms)
    reports = _run(on, auto, load)
    totals = _totals(reports)
    branched = _run(on, replace(auto, branches=load.branches), load) if load.branches else []
    best = min(fixed, key=lambda name: median(fixed[name]))
    alone = median(fixed["off"])
    gains = [report["speculation_gain"] for report in reports if report["speculation_gain"] is not None]
    return Regret(
        point=point,
        best=best,
        best_ms=median(fixed[best]),
        controller_ms=median(totals),
        alone_ms=alone,
        regret=median(totals) / median(fixed[best]) - 1,
        mean_regret=mean(totals) / min(mean(times) for times in fixed.values()) - 1,
        against_alone=median(totals) / alone,
        gain=median(gains) if gains else None,
        off_share=mean(report["drafting_off_share"] for report in reports),
        pace=mode_of(report["pace"] for report in reports),
        totals_ms={name: median(times) for name, times in fixed.items()},
        branches_ms=median(_totals(branched)) if branched else None,
        branches_mean=mean(_totals(branched)) / mean(totals) if branched else None,
        branch_hits=sum(report["branch_hits"] for report in branched),
        branch_misses=sum(report["branch_misses"] for report in branched),
    )


def reports_of(point: Point, mode: Mode, load: Load) -> list[dict[str, Any]]:
    """The reports of the answers that count, in order, with one mode at one point."""
    return _run(_deployment(point, load), mode, load)


def _deployment(point: Point, load: Load) -> Deployment:
    times = times_named(point.profile)
    per_frame = tokens_per_frame(times.target.prompt_tokens, times.video.frames)
    if point.ahead:
        times, per_frame = _taken_in(times), 1
    rate = point.uplink_mbps * 125e3
    link = LinkFigures(rtt=point.rtt_ms / 1e3, uplink=rate, downlink=rate)
    return Deployment(
        Costs(times, load_s=_LOAD_S, hop_s=_HOP_S), link, max_ahead=load.max_ahead, tokens_per_frame=per_frame
    )


def _taken_in(times: StageTimes) -> StageTimes:
    """What is left to do once video and events are there: the question's part of both prompts."""
    share = _QUESTION_ROWS / times.target.prompt_tokens
    drafter = replace(
        times.drafter, vision_ms=0.0, preprocess_ms=0.0, rasterise_ms=0.0, prefill_ms=times.drafter.prefill_ms * share
    )
    video = replace(times.video, decode_ms=0.0, preprocess_ms=0.0, vision=Curve(((1.0, 0.0),)))
    return replace(times, drafter=drafter, video=video, target=replace(times.target, prompt_tokens=_QUESTION_ROWS))


def _run(on: Deployment, mode: Mode, load: Load) -> list[dict[str, Any]]:
    """Reports of one client's answers, in order, without the first ones."""
    point_ahead = not on.costs.times.video.decode_ms
    video = 1_000 if point_ahead else load.video_bytes
    cases = made_up_cases(on, load.tokens, video, load.seed)
    arrivals = Arrivals(think_s=1.0, start_s=0.0, each=load.answers)
    fleet = Fleet(on, mode, Questions(cases, load.acceptance), 1, arrivals, load.seed)
    fleet.run(1e6)
    outcomes = sorted(fleet.outcomes, key=lambda outcome: outcome.number)[load.warm_up :]
    return [outcome.report for outcome in outcomes]


def _totals(reports: Sequence[dict[str, Any]]) -> list[float]:
    return [report["total_ms"] for report in reports]
