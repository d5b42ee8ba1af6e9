"""Learning from commits: acceptance rises where the world has shifted, what is worse never serves, restarts go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch

from common.adapters import Adapter, LoadedAdapter, create_adapter, load_adapter
from common.adapters.head import TargetHead
from common.errors import ModelError
from edge.distilling import Distiller, DistillSettings, LearningDrafter
from edge.drafter import Drafter
from edge.idle_learning import IdleLearning
from edge.worker import DraftingThread, Learns
from tests.edge.eventgpt_samples import small_model

HIDDEN, VOCAB = 32, 60
EAGER = DistillSettings(rate=3e-3, steps=12)


class World:
    """States of the drafter's, and a target that says of each what its own head says of a turned copy."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.head = TargetHead(torch.randn(VOCAB, HIDDEN, generator=generator), VOCAB)
        self.turn = torch.linalg.qr(torch.randn(HIDDEN, HIDDEN, generator=generator)).Q
        self._generator = generator

    def answer(self, count: int = 12) -> tuple[torch.Tensor, list[int]]:
        states = torch.randn(count, HIDDEN, generator=self._generator)
        return states, self.head.logits(states @ self.turn).argmax(-1).tolist()


def fresh(level: str = "L1") -> LoadedAdapter:
    torch.manual_seed(0)
    adapter = create_adapter(level, HIDDEN, HIDDEN, width=32)
    assert isinstance(adapter, Adapter)
    return LoadedAdapter(adapter.eval().requires_grad_(False), "base")


def acceptance(adapter: Adapter, world: World) -> float:
    states, ids = world.answer(400)
    return float((world.head.logits(adapter(states)).argmax(-1) == torch.tensor(ids)).float().mean())


def teach(distiller: Distiller, world: World, answers: int) -> None:
    for _ in range(answers):
        distiller.add(*world.answer())
        while distiller.wanted:
            distiller.step()


def test_acceptance_rises_on_a_shifted_distribution(tmp_path: Path) -> None:
    world, loaded = World(), fresh("L3")
    assert isinstance(loaded.adapter, Adapter)
    before = acceptance(loaded.adapter, world)
    distiller = Distiller(loaded, world.head, tmp_path, EAGER)
    teach(distiller, world, 60)
    assert distiller.handed_over >= 1
    assert acceptance(loaded.adapter, world) > before + 0.2


def test_a_restart_goes_on_and_another_adapter_is_refused(tmp_path: Path) -> None:
    world, loaded = World(), fresh("L3")
    first = Distiller(loaded, world.head, tmp_path, EAGER)
    first.save()
    assert not list(tmp_path.iterdir()), "nothing was learnt, nothing is written"
    teach(first, world, 30)
    first.save()
    again = fresh("L3")
    assert isinstance(again.adapter, Adapter)
    assert isinstance(loaded.adapter, Adapter)
    second = Distiller(again, world.head, tmp_path, EAGER)
    assert second.steps == first.steps > 0
    for mine, theirs in zip(again.adapter.parameters(), loaded.adapter.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    lesson = world.answer()
    for distiller in (first, second):
        distiller.lessons.clear()
        distiller.add(*lesson)
        distiller.step()
    for mine, theirs in zip(second._learner.parameters(), first._learner.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert load_adapter(tmp_path).adapter.config == loaded.adapter.config
    with pytest.raises(ModelError, match="another adapter"):
        Distiller(LoadedAdapter(fresh("L3").adapter, "other"), world.head, tmp_path)
    (tmp_path / "learner.safetensors").write_bytes(b"half")
    with pytest.raises(ModelError, match="can't be read"):
        Distiller(fresh("L3"), world.head, tmp_path)


def test_what_is_worse_never_serves(tmp_path: Path) -> None:
    """A learning rate that ruins the copy: the serving adapter keeps its weights, and the copy begins anew."""
    world, loaded = World(), fresh()
    assert isinstance(loaded.adapter, Adapter)
    world.turn = torch.eye(HIDDEN)  # nothing to learn: an untrained L1 is right as it is, but for its norm
    before = [p.clone() for p in loaded.adapter.parameters()]
    distiller = Distiller(loaded, world.head, tmp_path, DistillSettings(rate=10.0, steps=3))
    teach(distiller, world, 20)
    assert distiller.handed_over == 0
    assert all(torch.equal(a, b) for a, b in zip(before, loaded.adapter.parameters(), strict=True))


def test_memory_is_bounded(tmp_path: Path) -> None:
    world = World()
    distiller = Distiller(fresh(), world.head, tmp_path, DistillSettings(answers=5, most_bytes=3 * 12 * HIDDEN * 2))
    for _ in range(20):
        distiller.add(*world.answer())
    assert len(distiller.lessons) == 3
    for _ in range(500):
        distiller.add(*world.answer(2))
    assert len(distiller.lessons) == 5


@pytest.mark.parametrize("level", ["L4", "L5F"])
def test_adapters_that_dont_choose_state_by_state_are_refused(level: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="state by state"):
        Distiller(fresh(level), World().head, tmp_path)


def test_the_lesson_is_the_states_along_the_committed_answer(tmp_path: Path) -> None:
    model = small_model(eos_token_id=127, max_position_embeddings=160)
    width = model.config.hidden_size
    torch.manual_seed(0)
    adapter = create_adapter("L1", width, HIDDEN, width=8)
    assert isinstance(adapter, Adapter)
    distiller = Distiller(LoadedAdapter(adapter, "base"), World().head, tmp_path)
    drafter = Drafter(model, vocab_size=VOCAB, max_tokens=40, layers=1)
    drafter.prefill([1, 5, 9, 30, 8])
    drafter.draft(4)
    learning = LearningDrafter(drafter, drafter, distiller)
    assert isinstance(learning, Learns)
    committed = [*drafter.answer[:2], 7, 9, 11, 127]
    learning.learn(committed)
    ((states, ids),) = distiller.lessons
    assert ids.tolist() == committed
    output = model.model(input_ids=torch.tensor([[1, 5, 9, 30, 8, *committed[:-1]]]), use_cache=False)
    torch.testing.assert_close(states.float(), output.last_hidden_state[0, 4:], rtol=1e-2, atol=1e-2)


class Counting:
    """Wants some steps; tells if it learnt while somebody was answered."""

    def __init__(self) -> None:
        self.left = 5
        self.steps = self.saves = 0

    @property
    def wanted(self) -> bool:
        return self.left > 0

    def step(self) -> None:
        self.left -= 1
        self.steps += 1

    def save(self) -> None:
        self.saves += 1


async def test_it_learns_while_nobody_asks() -> None:
    learner, thread = Counting(), DraftingThread()
    idle = IdleLearning(learner, thread)
    with idle.answering():
        with idle.answering():
            pass
        await asyncio.sleep(0.05)
        assert learner.steps == 0
    await asyncio.sleep(0.03)
    seen = learner.steps
    assert seen >= 1
    with idle.answering():
        await asyncio.sleep(0.02)
        assert learner.steps <= seen + 1, "one that was under way ends"
        stood = learner.steps
        await asyncio.sleep(0.05)
        assert learner.steps == stood
    while learner.wanted:
        await asyncio.sleep(0.01)
    await idle.stop()
    assert (learner.steps, learner.saves >= 1) == (5, True)
    thread.close()
