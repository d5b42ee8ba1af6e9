"""Clients that ask one after another, each from a thread and an edge daemon of its own, for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

from benchmarks.clips import ClipQuestion
from benchmarks.link.base import EmulatedLink
from benchmarks.paradigms.base import Paradigm
from benchmarks.paradigms.deployment import Deployment
from benchmarks.paradigms.measuring import run_of_turn
from benchmarks.paradigms.plan import Plan, Turn
from benchmarks.results import Run


def warm_up_clients(deployment: Deployment, plan: Plan, clients: int) -> None:
    """Every client asks every paradigm once."""
    with ThreadPoolExecutor(clients) as pool:

        def ask(client: int) -> None:
            for paradigm in plan.paradigms:
                deployment.ask(paradigm, plan.questions[0], plan.sampling, plan.max_tokens, client)

        list(pool.map(ask, range(clients)))


def run_clients(
    deployment: Deployment,
    link: EmulatedLink,
    plan: Plan,
    paradigm: Paradigm,
    clients: int,
    seconds: float,
    *,
    watched: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> list[Run]:
    """All answers that `clients` asked for within `seconds`, each one question after another, without pauses.

    Clients begin at different questions. The first failure stops all, and is raised when all have stopped. With
    `watched` each client asks about one clip, which its edge daemon has streamed and both models have taken in before
    the seconds begin: what is measured is answering alone.
    """
    stop, begin = threading.Event(), _Beginning(clients, clock)

    def work(client: int) -> list[Run]:
        runs: list[Run] = []
        questions = _clip_of(plan.questions, client) if watched else plan.questions
        streamed = deployment.watched(paradigm, questions[0], client) if watched else nullcontext("")
        try:
            with streamed as watch:
                if watched:  # its answer comes when the cloud is through with the clip
                    deployment.ask(paradigm, questions[0], plan.sampling, plan.max_tokens, client, watch)
                started = begin.wait()
                while (asked_at := clock() - started) < seconds and not stop.is_set():
                    question = questions[(client + len(runs)) % len(questions)]
                    report = deployment.ask(paradigm, question, plan.sampling, plan.max_tokens, client, watch)
                    extra = {"client": client, "clients": clients, "asked_at_s": round(asked_at, 6)}
                    runs.append(run_of_turn(Turn(paradigm, question, len(runs)), report, link, plan, **extra))
        except BaseException:
            stop.set()
            begin.abandon()
            raise
        return runs

    with ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(work, client) for client in range(clients)]
        try:
            return _results(futures)
        finally:
            stop.set()


class _Beginning:
    """All clients begin at one time, when the last of them is ready."""

    def __init__(self, clients: int, clock: Callable[[], float]) -> None:
        self._started = 0.0
        self._barrier = threading.Barrier(clients, action=lambda: setattr(self, "_started", clock()))

    def wait(self) -> float:
        """When it began. Raises BrokenBarrierError if a client failed before."""
        self._barrier.wait()
        return self._started

    def abandon(self) -> None:
        """Nobody waits any longer."""
        self._barrier.abort()


def _results(futures: Sequence[Future[list[Run]]]) -> list[Run]:
    """Of all; a client that gave up because another one failed doesn't hide why."""
    failures = [error for future in futures if (error := future.exception()) is not None]
    causes = [error for error in failures if not isinstance(error, threading.BrokenBarrierError)]
    if failures:
        raise (causes or failures)[0]
    return [run for future in futures for run in future.result()]


def _clip_of(questions: Sequence[ClipQuestion], client: int) -> list[ClipQuestion]:
    """The questions about the clip that this client watches; clients take clips in turn."""
    names = list(dict.fromkeys(question.clip for question in questions))
    return [question for question in questions if question.clip == names[client % len(names)]]
