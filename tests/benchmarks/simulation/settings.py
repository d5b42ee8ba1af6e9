"""A deployment whose times are easily reasoned about."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.simulation.cases import ByPosition, Case, made_up_case
from benchmarks.simulation.costs import Costs
from benchmarks.simulation.fleet import Arrivals, Deployment, Fleet, Questions
from benchmarks.simulation.link import LinkFigures
from benchmarks.simulation.modes import Mode
from common.replay import StageTimes, parse_profile

STEP_MS = 30.0
TOKEN_MS = 5.0
DECODE_MS = 40.0
VISION_MS = 20.0
PREFILL_MS = 300.0


def plain_times(**changes: Any) -> StageTimes:
    """One row or twenty cost the same; a prompt more."""
    values: dict[str, Any] = {
        "name": "plain",
        "about": "for tests",
        "video": {"decode_ms": DECODE_MS, "preprocess_ms": 0, "vision": [[1, VISION_MS]], "frames": 8, "workers": 4},
        "target": {"step": [[64, STEP_MS], [1000, PREFILL_MS]], "session_ms": 0, "prompt_tokens": 1000},
        "drafter": {"vision_ms": 5, "prefill_ms": 25, "token_ms": TOKEN_MS, "prompt_tokens": 600},
    }
    for path, value in changes.items():
        table, name = path.split("__")
        values[table][name] = value
    return parse_profile(values, "test")


def deployment(times: StageTimes | None = None, link: LinkFigures | None = None, **more: Any) -> Deployment:
    """Eight slots on an ideal link, unless said otherwise."""
    per_frame = more.pop("tokens_per_frame", 20)
    return Deployment(Costs(times or plain_times()), link or LinkFigures(), tokens_per_frame=per_frame, **more)


def cases(*lengths: int, video_bytes: int = 5_000) -> list[Case]:
    """Made up answers of these lengths."""
    rng = random.Random(7)
    return [made_up_case(number, length, video_bytes, rng) for number, length in enumerate(lengths)]


def one_answer(mode: Mode, length: int, chance: float, on: Deployment | None = None) -> Fleet:
    """One client asks one question; the fleet has run."""
    questions = Questions(cases(length), ByPosition((), chance))
    fleet = Fleet(on or deployment(), mode, questions, 1, Arrivals(think_s=0, start_s=0, each=1))
    fleet.run(1.0)
    return fleet
