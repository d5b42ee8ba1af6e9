"""Runs a plan on a deployment: warm-up, measured turns, each answer as a `Run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.asking import Values
from benchmarks.link.base import EmulatedLink
from benchmarks.paradigms.deployment import Deployment
from benchmarks.paradigms.plan import Plan, Turn, turns, warm_up_turns
from benchmarks.results import Run, run_of_report

Step = Callable[[Turn], None]


def warm_up(deployment: Deployment, plan: Plan, step: Step = lambda turn: None) -> None:
    """Ask every paradigm the plan's warm-up questions; nothing is kept."""
    for turn in warm_up_turns(plan):
        deployment.ask(turn.paradigm, turn.question, plan.sampling, plan.max_tokens)
        step(turn)


def measure(deployment: Deployment, link: EmulatedLink, plan: Plan, step: Step = lambda turn: None) -> Iterator[Run]:
    """Ask everything in the plan's order; `step` hears of each turn when it is done.

    Raises:
        EventSpecError: a process died, the link failed, or there is no answer.
    """
    for turn in turns(plan):
        report = deployment.ask(turn.paradigm, turn.question, plan.sampling, plan.max_tokens)
        yield run_of_turn(turn, report, link, plan)
        step(turn)


def run_of_turn(turn: Turn, report: Values, link: EmulatedLink, plan: Plan, **extra: Any) -> Run:
    """The run of one turn."""
    paradigm = turn.paradigm
    profile = link.profile.as_dict() if link.profile is not None and paradigm.crosses_link else {}
    return run_of_report(
        report,
        paradigm=paradigm.name,
        mode=paradigm.variant,
        link=profile,
        backend=link.backend if paradigm.crosses_link else "",
        clip=turn.question.clip,
        question=turn.question.question,
        expected=turn.question.expected,
        seed=plan.sampling.seed,
        temperature=plan.sampling.temperature,
        repetition=turn.repetition,
        lossless=paradigm.lossless,
        extra=extra,
    )
