"""Asks, strikes and looks, for so many minutes."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.faults.asks import Asker, new_id, request_for
from benchmarks.faults.judge import Ending, Truth, judge
from benchmarks.faults.rig import Rig
from benchmarks.faults.running import Truths
from benchmarks.faults.schedule import EDGES, Fault, Kind, Question, make_fault
from benchmarks.faults.strikes import strike
from benchmarks.soak.growth import Sample, Usage, read_usage
from common.errors import EventSpecError
from edge.asking import daemon_status

# what kills a process begins its figures anew; the fault suite has those
SPARED = frozenset({Kind.KILL_CLOUD, Kind.KILL_ENGINE, Kind.KILL_EDGE, Kind.HANG, Kind.NO_MEMORY})
_LOOK_S = 5.0
_LIMIT_S = 120.0


@dataclass
class Soaked:
    """What came of it."""

    samples: list[Sample] = field(default_factory=list)
    endings: Counter[Ending] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def soak(rig: Rig, seconds: float, clients: int, seed: int, told: Callable[[str], None]) -> Soaked:
    """Run `clients` askers, faults one after another, and a look every few seconds."""
    truths = _all_truths(rig, told)
    soaked, stop, lock = Soaked(), threading.Event(), threading.Lock()
    began = time.monotonic()

    def client(number: int) -> None:
        draw = random.Random(f"{seed} {number}")
        while not stop.is_set():
            question, truth = _draw(truths, draw)
            asker = Asker(rig.address(question.edge), request_for(question, rig.clips[question.clip], new_id()))
            asker.wait(time.monotonic() + _LIMIT_S)
            verdict = judge(asker.witness, truth)
            with lock:
                soaked.endings[verdict.ending] += 1
                if verdict.ending in (Ending.WRONG, Ending.HUNG):
                    soaked.notes.append(f"{verdict.ending}: {question}: {verdict.note}")

    def faults() -> None:
        index = 0
        while not stop.is_set():
            fault = make_fault(index, seed)
            index += 1
            if fault.kind in SPARED or fault.seconds > 10.0:
                continue
            _strike(rig, fault, soaked)
            stop.wait(random.Random(index).uniform(0.5, 3.0))

    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(clients)]
    threads.append(threading.Thread(target=faults, daemon=True))
    for thread in threads:
        thread.start()
    while (at := time.monotonic() - began) < seconds:
        with suppress(OSError, EventSpecError):
            soaked.samples.append(_look(rig, at))
        if len(soaked.samples) % 12 == 1:
            told(f"{at / 60:.1f} min: {dict(soaked.endings)}, {sum(soaked.faults.values())} faults")
        time.sleep(_LOOK_S)
    stop.set()
    for thread in threads:
        thread.join(_LIMIT_S + 30.0)
    soaked.notes += [f"died: {name}" for name in rig.dead()]
    return soaked


def _strike(rig: Rig, fault: Fault, soaked: Soaked) -> None:
    try:
        struck = strike(rig, fault)
    except EventSpecError as error:
        soaked.notes.append(f"{fault.kind}: {error}")
        return
    for asker, _ in struck.extra:
        asker.wait(time.monotonic() + _LIMIT_S)
    if not struck.skipped:
        soaked.faults[str(fault.kind)] += 1


def _all_truths(rig: Rig, told: Callable[[str], None]) -> list[tuple[Question, Truth]]:
    """Questions of all sorts, and their undisturbed answers."""
    told("asking for the undisturbed answers")
    truths, known = Truths(rig), list[tuple[Question, Truth]]()
    for index in range(24):
        question = make_fault(index, 0).questions[0]
        known.append((question, truths.of(question)))
    return known


def _draw(truths: list[tuple[Question, Truth]], draw: random.Random) -> tuple[Question, Truth]:
    question, truth = draw.choice(truths)
    edge = draw.randrange(EDGES + 1)
    return Question(edge, question.clip, question.mode, question.sampling, question.pace, question.max_tokens), truth


def _look(rig: Rig, at: float) -> Sample:
    usages: dict[str, Usage] = {"cloud": read_usage(rig.front.pid, rig.cloud_sessions())}
    engine = rig.engine
    if engine is not None:
        usages["engine"] = read_usage(engine)
    for index, edge in enumerate(rig.edges):
        usages[f"edge {index}"] = read_usage(edge.pid, daemon_status(rig.address(index)).sessions)
    return Sample(round(at, 2), usages)
