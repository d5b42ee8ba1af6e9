"""Clients that ask one after another, each from a thread and an edge daemon of its own, for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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
    clock: Callable[[], float] = time.monotonic,
) -> list[Run]:
    """All answers that `clients` asked for within `seconds`, each one question after another, without pauses.

    Clients begin at different questions. The first failure stops all, and is raised when all have stopped.
    """
    started, stop = clock(), threading.Event()
    questions = plan.questions

    def work(client: int) -> list[Run]:
        runs: list[Run] = []
        try:
            while (asked_at := clock() - started) < seconds and not stop.is_set():
                question = questions[(client + len(runs)) % len(questions)]
                report = deployment.ask(paradigm, question, plan.sampling, plan.max_tokens, client)
                extra = {"client": client, "clients": clients, "asked_at_s": round(asked_at, 6)}
                runs.append(run_of_turn(Turn(paradigm, question, len(runs)), report, link, plan, **extra))
        except BaseException:
            stop.set()
            raise
        return runs

    with ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(work, client) for client in range(clients)]
        try:
            return [run for future in futures for run in future.result()]
        finally:
            stop.set()
