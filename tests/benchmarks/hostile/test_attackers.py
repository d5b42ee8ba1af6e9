"""Every misdeed at a real service over the fake target: the service goes on, and honest answers are what they were."""

from __future__ import annotations

import asyncio
import random

import pytest

from benchmarks.hostile.attackers import INSIDERS, STRANGERS, Attack, run
from benchmarks.hostile.measuring import Result, Setting
from benchmarks.hostile.mutations import mutated
from edge.video import Clip
from tests.cloud.test_security import EDGE, Tokens, peers, tokens
from tests.cloud.test_service import clip, serving
from tests.fakes import FakeRunner

__all__ = ["clip", "tokens"]  # fixtures


@pytest.mark.parametrize(("inside", "kind"), [*((True, kind) for kind in INSIDERS), *((False, k) for k in STRANGERS)])
async def test_a_misdeed_and_what_goes_on(
    monkeypatch: pytest.MonkeyPatch, tokens: Tokens, clip: Clip, inside: bool, kind: str
) -> None:
    monkeypatch.setattr("benchmarks.hostile.attackers._HEAR_S", 0.3)
    honest = tokens.add("honest", "edge-1", *EDGE)
    tokens.add("insider", "insider", *EDGE)
    misdeed = (INSIDERS if inside else STRANGERS)[kind]
    more = {"max_message_bytes": 8 << 20, "max_video_bytes": 64 << 20, "sessions_per_client": 2}
    async with serving(monkeypatch, tokens=str(tokens.path), **more) as served:
        secret = tokens.secrets["insider"] if inside else ""
        attacks = [Attack(served.daemon.address, secret, FakeRunner.tokenizer_hash, seed) for seed in range(4)]
        tasks = [asyncio.create_task(run(attack, misdeed)) for attack in attacks]
        async with peers(served, honest) as edge:
            await asyncio.sleep(0.2)
            assert await edge.works(clip, "session-1")
            for attack in attacks:
                attack.stop = True
            await asyncio.wait(tasks, timeout=10)
            assert await edge.works(clip, "session-2")
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        assert sum(attack.heard.total() for attack in attacks) > 0
        if not inside and kind != "knock":
            assert {what for attack in attacks for what in attack.heard} <= {
                "status UNAUTHENTICATED",
                "status INTERNAL",  # what its own gRPC says of a write after the end
                "misdeeds",
            }


def test_mutations_are_seeded_and_change_something() -> None:
    good = [b"hello world" * 5, b"another"]
    first = [mutated(good[0], random.Random(seed), good) for seed in range(50)]
    assert first == [mutated(good[0], random.Random(seed), good) for seed in range(50)]
    assert sum(data != good[0] for data in first) > 40
    mutated(b"", random.Random(1), [b""])


def test_what_is_good() -> None:
    setting = Setting()
    fine = Result(setting, (100.0,) * 20, (140.0,) * 20, (1.4,), 0, 0, 0, {"x": {"misdeeds": 3}}, works_afterwards=True)
    assert fine.good
    assert fine.as_dict()["p95_ratio"] == pytest.approx(1.4)
    assert fine.as_dict()["misdeeds"] == 3
    for changes in (
        {"beside_ms": (160.0,) * 20},
        {"different": 1},
        {"failed": 1},
        {"fallbacks": 1},
        {"works_afterwards": False},
    ):
        values = {name: getattr(fine, name) for name in Result.__dataclass_fields__}
        assert not Result(**{**values, **changes}).good
