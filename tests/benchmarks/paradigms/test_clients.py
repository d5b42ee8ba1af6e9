"""Many clients at once, against a deployment that is made up: who asks what, when the window begins, who fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from benchmarks.clips import ClipQuestion, load_questions
from benchmarks.link.base import EmulatedLink
from benchmarks.paradigms.base import Paradigm
from benchmarks.paradigms.catalogue import TOKENS_PATIENT
from benchmarks.paradigms.clients import run_clients
from benchmarks.paradigms.deployment import Deployment
from benchmarks.paradigms.plan import Plan
from benchmarks.results import Run
from common.errors import LinkError


class MadeLink:
    """A link without a profile."""

    profile = None
    backend = "loopback"


class MadeDeployment:
    """Answers after a millisecond; the watch of client `slow` takes longer, that of `failing` fails."""

    def __init__(self, slow: int = -1, failing: int = -1) -> None:
        self._slow, self._failing = slow, failing
        self._lock = threading.Lock()
        self.asked: list[tuple[int, str, str, float]] = []
        self.watching: set[int] = set()
        self.watched_at: dict[int, float] = {}

    @contextmanager
    def watched(self, paradigm: Paradigm, clip: ClipQuestion, client: int = 0) -> Iterator[str]:
        if client == self._failing:
            raise LinkError("no watch")
        time.sleep(0.2 if client == self._slow else 0.0)
        with self._lock:
            self.watching.add(client)
            self.watched_at[client] = time.monotonic()
        yield f"{client} watches {clip.clip}"
        with self._lock:
            self.watching.remove(client)

    def ask(self, paradigm: Paradigm, clip: ClipQuestion, *how: Any) -> dict[str, Any]:
        client, watch = how[2], how[3] if len(how) > 3 else ""
        with self._lock:
            self.asked.append((client, clip.clip, watch, time.monotonic()))
        time.sleep(0.001)
        return {**dict.fromkeys(("ttft_ms", "total_ms", "tpot_ms"), 1.0), "token_ids": [4, 2], "tokens": 2}


def runs_of(deployment: MadeDeployment, clients: int, **how: Any) -> list[Run]:
    plan = Plan([TOKENS_PATIENT], load_questions(), repetitions=1)
    return run_clients(
        cast(Deployment, deployment), cast(EmulatedLink, MadeLink()), plan, TOKENS_PATIENT, clients, 0.1, **how
    )


def test_every_client_asks_through_the_questions() -> None:
    runs = runs_of(MadeDeployment(), 3)
    assert {run.extra["client"] for run in runs} == {0, 1, 2}
    assert len({run.clip for run in runs if run.extra["client"] == 0}) > 1


def test_a_watching_client_asks_about_its_clip_alone() -> None:
    deployment = MadeDeployment()
    runs = runs_of(deployment, 3, watched=True)
    clips = [{run.clip for run in runs if run.extra["client"] == client} for client in range(3)]
    assert all(len(names) == 1 for names in clips) and clips[0] != clips[1]
    assert all(watch == f"{client} watches {clip}" for client, clip, watch, _ in deployment.asked)
    assert not deployment.watching


def test_nobody_begins_before_the_last_clip_is_taken_in() -> None:
    deployment = MadeDeployment(slow=1)
    runs = runs_of(deployment, 2, watched=True)
    first_answer = {client: min(at for c, _, _, at in deployment.asked if c == client) for client in (0, 1)}
    assert first_answer[0] < deployment.watched_at[1]  # the question that isn't counted needn't wait
    counted = sorted(at for client, _, _, at in deployment.asked if client == 0)[1:]
    assert counted[0] >= deployment.watched_at[1]
    assert max(run.extra["asked_at_s"] for run in runs) < 0.1


def test_a_client_that_fails_ends_all_and_says_why() -> None:
    with pytest.raises(LinkError, match="no watch"):
        runs_of(MadeDeployment(failing=2), 3, watched=True)
