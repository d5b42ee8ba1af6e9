"""Askers of the fairness measurement at a real service over the fake target, and what its figures are made of."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.fairness.asking import Asker, Question
from benchmarks.fairness.measuring import GREEDY, Load, Result, Setting, joined
from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import OpenClip
from common.types import SamplingParams
from edge.video import Clip
from tests.cloud.engine_driver import opening, pixels
from tests.cloud.test_security import EDGE, Tokens, tokens
from tests.cloud.test_service import clip, serving
from tests.fakes import FakeRunner, reference_answer

__all__ = ["clip", "tokens"]  # fixtures


async def test_an_asker_counts_what_it_gets(monkeypatch: pytest.MonkeyPatch, tokens: Tokens, clip: Clip) -> None:
    tokens.add("greedy", "greedy", *EDGE)
    async with serving(monkeypatch, tokens=str(tokens.path)) as served:
        asker = Asker(served.daemon.address, tokens.secrets["greedy"], FakeRunner.tokenizer_hash, 7)
        about = Question("what moves?", clip.header, tuple(clip.packets()), tokens=9, drafts=4)
        async with asyncio.timeout(20):
            await asker.run(about, least=2)
    truth = tuple(reference_answer("what moves?", SamplingParams(), 9))
    assert asker.got.contents == (truth,)
    assert len(asker.got.answers_s) == 2
    assert sum(count for _, count in asker.got.tokens_at) == 2 * len(truth)


def test_without_fair_shares_all_are_one() -> None:
    engine = Engine(FakeRunner(slots=4), EngineLimits(fair_shares=False))
    for number in range(3):
        engine.handle(f"session-{number}", opening(f"session-{number}", client="=greedy"), 0.0)
    engine.handle("clip-0", OpenClip(client="=greedy"), 0.0)  # a fourth place: with shares it would be refused
    engine.handle("session-0", pixels(), 0.0)
    assert engine.sessions == 4
    assert {session.client for session in engine._sessions.values()} == {""}


def load(modest_s: float, greedy: int = 100, text: tuple[int, ...] = (1, 2)) -> Load:
    clients = {GREEDY: greedy, "modest-0": 25, "modest-1": 25}
    contents = {client: frozenset([text if client != GREEDY else (1, 2, 3)]) for client in clients}
    return Load(10.0, clients, dict.fromkeys(clients, (modest_s,) * 20), dict.fromkeys(clients, 1), contents)


def test_shares_and_percentiles() -> None:
    both = joined([load(1.0), load(2.0)])
    assert both.shares == {GREEDY: 2 / 3, "modest-0": 1 / 6, "modest-1": 1 / 6}
    assert (both.as_dict()["modest_answers"], both.as_dict()["modest_p95_s"]) == (80, 2.0)
    assert both.as_dict()["tokens_per_s"][GREEDY] == 10.0


def test_what_is_good() -> None:
    assert Result(Setting(), load(0.5), load(1.0), load(3.0)).good
    assert not Result(Setting(), load(0.5), load(3.0), load(1.0)).good
    assert not Result(Setting(), load(0.5), load(1.0), load(3.0, text=(1, 9))).good
