"""Every misdeed at a real service over the fake target: the service goes on, and honest answers are what they were."""

from __future__ import annotations

import asyncio
import random

import pytest

from benchmarks.hostile.attackers import Attack, run
from benchmarks.hostile.attacking import Known, attackers
from benchmarks.hostile.kinds import INSIDERS, STRANGERS
from benchmarks.hostile.measuring import Result, Setting
from benchmarks.hostile.mutations import mutated
from benchmarks.hostile.standing import Stood
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
    monkeypatch.setattr("benchmarks.hostile.doorsteps._STAY_S", 0.3)
    monkeypatch.setattr("benchmarks.hostile.doorsteps._WATCHES", 40)  # attackers share this loop with the service
    honest = tokens.add("honest", "edge-1", *EDGE)
    tokens.add("insider", "insider", *EDGE)
    misdeed = (INSIDERS if inside else STRANGERS)[kind]
    more = {"max_message_bytes": 8 << 20, "max_video_bytes": 64 << 20, "sessions_per_client": 2}
    async with serving(monkeypatch, tokens=str(tokens.path), **more) as served:
        secret = tokens.secrets["insider"] if inside else ""
        attacks = [Attack(served.daemon.address, secret, seed, FakeRunner.tokenizer_hash) for seed in range(4)]
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
        if not inside and kind in ("strange", "fuzz"):
            assert {what for attack in attacks for what in attack.heard} <= {
                "status UNAUTHENTICATED",
                "status INTERNAL",  # what its own gRPC says of a write after the end
                "misdeeds",
            }


async def test_of_a_hundred_attackers_each_kind_has_some() -> None:
    facts = {"tokenizer_hash": "0", "folder": "/nowhere"}
    found = attackers("127.0.0.1:1", Known(100, ["a", "b", "c"], 1, ["127.0.0.1:2", "127.0.0.1:3"], facts))
    names = [name for name, _, _ in found]
    assert len(names) == 100
    assert names.count("asker, files") == 4
    assert {name.split(", ")[1] for name in names} == {"files", *INSIDERS, *STRANGERS}
    for name, one, _ in found:
        assert bool(one.token) or not name.startswith("insider")
        assert (one.address != "127.0.0.1:1") == name.startswith("asker")


def test_mutations_are_seeded_and_change_something() -> None:
    good = [b"hello world" * 5, b"another"]
    first = [mutated(good[0], random.Random(seed), good) for seed in range(50)]
    assert first == [mutated(good[0], random.Random(seed), good) for seed in range(50)]
    assert sum(data != good[0] for data in first) > 40
    mutated(b"", random.Random(1), [b""])


def test_what_is_good() -> None:
    setting = Setting()
    heard, standing = {"x": {"misdeeds": 3}}, (Stood("cloud", True, 100.0, 109.0),)
    fine = Result(setting, (100.0,) * 20, (140.0,) * 20, (1.4,), 0, 0, 0, heard, standing, works_afterwards=True)
    assert fine.good
    assert fine.as_dict()["p95_ratio"] == pytest.approx(1.4)
    assert fine.as_dict()["misdeeds"] == 3
    for changes in (
        {"beside_ms": (160.0,) * 20},
        {"different": 1},
        {"failed": 1},
        {"fallbacks": 1},
        {"works_afterwards": False},
        {"standing": (Stood("cloud", True, 100.0, 111.0),)},
        {"standing": (Stood("cloud", False, 100.0, 90.0),)},
        {"heard": {"x": {"secrets told": 1}}},
    ):
        values = {name: getattr(fine, name) for name in Result.__dataclass_fields__}
        assert not Result(**{**values, **changes}).good
