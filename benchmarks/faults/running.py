"""Runs a schedule of faults against a rig: asks, strikes, waits, judges, one fault after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.asking import ask_clip
from benchmarks.faults.asks import RECONNECT_S, Asker, new_id, request_for
from benchmarks.faults.judge import Ending, Truth, Verdict, judge, judge_hopeless, worst
from benchmarks.faults.rig import RESUME_TTL_S, Rig
from benchmarks.faults.schedule import MESSAGE_KINDS, Fault, Kind, Question
from benchmarks.faults.strikes import Struck, strike
from common.ask import Mode
from common.errors import EventSpecError, LinkError
from common.types import SamplingParams

_PATIENCE = 10  # times that the undisturbed answer is asked for
LIMIT_S = 150.0  # an answer that takes longer than this and the fault itself hangs


@dataclass
class Outcome:
    """How one fault ended. Times in seconds; `recovered_s` of each answer that had still tokens to get."""

    fault: Fault
    ending: Ending
    verdicts: list[Verdict]
    seconds: float
    recovered_s: list[float] = field(default_factory=list)
    load_s: float = 0.0
    skipped: str = ""
    trouble: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return {
            "index": self.fault.index,
            "kind": str(self.fault.kind),
            "what": self.fault.describe(),
            "ending": str(self.ending),
            "answers": [asdict(v) for v in self.verdicts],
            "seconds": round(self.seconds, 3),
            "recovered_s": [round(r, 3) for r in self.recovered_s],
            "load_s": round(self.load_s, 3),
            "skipped": self.skipped,
            "trouble": self.trouble,
        }


class Truths:
    """The undisturbed answers, asked for once; a shorter answer is the beginning of a longer one."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._known: dict[tuple[int, SamplingParams, int], Truth] = {}

    def of(self, question: Question) -> Truth:
        """Asks the cloud alone, unless it is known."""
        key = (question.clip, question.sampling, question.max_tokens)
        if key not in self._known:
            self._known[key] = self._ask(question)
        return self._known[key]

    def _ask(self, question: Question) -> Truth:
        clip = self._rig.clips[question.clip]
        met: list[str] = []
        for _ in range(_PATIENCE):  # what the fault before did may still be felt
            report = ask_clip(
                self._rig.address(0),
                clip,
                Mode.CLOUD_ONLY,
                sampling=question.sampling,
                max_tokens=question.max_tokens,
                reconnect_s=RECONNECT_S,
            )
            if report["mode"] == Mode.CLOUD_ONLY.value and not report["resumes"]:
                return Truth(tuple(report["token_ids"]), report["answer"])
            met.append(f"{report['mode']}, {report['resumes']} resumes, {report.get('notices')}")
            time.sleep(1.0)
        raise LinkError(f"the undisturbed answer was disturbed {_PATIENCE} times, at last so: {met[-1]}")


def run_faults(rig: Rig, faults: Iterable[Fault], told: Callable[[Outcome], None]) -> list[Outcome]:
    """All faults in order; `told` hears of each. What a fault left broken is mended before the next."""
    truths, outcomes = Truths(rig), list[Outcome]()
    for fault in faults:
        truth = [truths.of(question) for question in fault.questions]
        outcome = _run_one(rig, fault, truth)
        rig.mend()
        outcomes.append(outcome)
        told(outcome)
    return outcomes


def _run_one(rig: Rig, fault: Fault, truths: list[Truth]) -> Outcome:
    rig.take_tracebacks()
    began = time.monotonic()
    asked = fault.questions[1:] if fault.kind is Kind.KILL_ASKER else fault.questions
    expected = truths[1:] if fault.kind is Kind.KILL_ASKER else truths
    askers = [Asker(rig.address(q.edge), request_for(q, rig.clips[q.clip], new_id())) for q in asked]
    _wait_for_moment(fault, askers[0] if askers else None, truths[0])
    trouble: list[str] = []
    try:
        struck = strike(rig, fault)
    except EventSpecError as error:
        struck = Struck(time.monotonic())
        trouble.append(str(error))
    judged = [*zip(askers, expected, strict=True)]
    judged += [(asker, truths[0]) for asker, known in struck.extra if known]
    strangers = [asker for asker, known in struck.extra if not known]
    deadline = max(struck.healed, began) + LIMIT_S
    for asker in (*(a for a, _ in judged), *strangers):
        asker.wait(deadline)
    if fault.kind in MESSAGE_KINDS and not rig.strike_relay({"do": "met"})["met"]:
        struck.skipped = "no message passed meanwhile"
    verdicts = [judge(asker.witness, truth) for asker, truth in judged]
    verdicts += [v for asker in strangers if (v := _stranger(asker)) is not None]
    trouble += [f"died: {name}" for name in rig.dead()] + rig.take_tracebacks()
    ending = Ending.WRONG if any(t.startswith("died") for t in trouble) else worst(verdicts)
    recovered = [r for asker, _ in judged if (r := _recovery(asker, struck.healed)) is not None]
    return Outcome(fault, ending, verdicts, time.monotonic() - began, recovered, struck.load_s, struck.skipped, trouble)


def _wait_for_moment(fault: Fault, first: Asker | None, truth: Truth) -> None:
    if first is None:
        return
    if fault.after < 0:
        time.sleep(-fault.after)
        return
    wanted, deadline = max(1, round(fault.after * len(truth.text))), time.monotonic() + 20.0
    while len(first.committed) < wanted and not first.done and time.monotonic() < deadline:
        time.sleep(0.002)


def _stranger(asker: Asker) -> Verdict | None:
    """Of an answer without a truth: whether it ended, and with what. None: with an answer."""
    if asker.witness.report is not None:
        return None
    return judge_hopeless(asker.witness)


def _recovery(asker: Asker, healed: float) -> float | None:
    """Seconds from the harm's end to the next committed text, of an answer that was still on its way then."""
    if asker.ended_at is None or asker.ended_at < healed:
        return None
    later = [at for at, _ in asker.witness.shown if at > healed]
    return (later[0] if later else asker.ended_at) - healed


def leaks(rig: Rig) -> dict[str, int]:
    """Sessions that are held when nobody asks any more; leases have run out by then."""
    held = rig.held(RESUME_TTL_S + 20.0)
    return {name: count for name, count in held.items() if count}
