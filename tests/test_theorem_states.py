"""The theorem with adapters: whatever an untrained adapter makes of the drafter's states, the answer is the target's.

The shipped pair, the edge's own session and drafters, the engine; every message goes through the codec. Untrained
adapters are wrong nearly always, which is what a proof needs: their drafts are rolled back.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cloud.adapting import TargetAdapter
from cloud.engine import Engine
from cloud.messages import Frames
from cloud.target import VideoLlavaTarget
from cloud.target_runner import TargetRunner
from cloud.video import sampled_indices
from common import codec
from common.adapters import create_adapter, load_adapter, save_adapter
from common.adapters.head import TargetHead
from common.errors import LinkError
from common.shipped import adapter_folder, shipped_drafter, shipped_target
from common.tokenizer import Tokenizer
from common.types import Close, Draft, DrafterInfo, EdgeMessage, Failure, Finished, Open, Pace, SamplingParams
from edge.actions import Connect, Done, DraftJob, Send, SendVideo
from edge.adapting import edge_adapter
from edge.controller import DraftLength
from edge.drafter_model import DrafterModel
from edge.eventgpt import EventGPT, prompt_ids
from edge.events import raster
from edge.forms import DraftForm
from edge.session import EdgeSession, SessionSettings
from edge.worker import DraftingThread, Learns
from tests.cloud.driver import Case, generate
from tests.common.adapters.test_levels import stir
from training.data.shards import HELD_OUT, scene_events
from training.world.questions import KINDS, ask
from training.world.render import frame_times, render_rgb
from training.world.scenes import sample_scene

GREEDY, SAMPLED = SamplingParams(), SamplingParams(1.2, top_p=0.95, seed=4)
QUESTIONS = 2
FORMS: list[tuple[str, DraftForm, dict[str, int]]] = [
    ("L1", DraftForm.HIDDEN, {}),
    ("L2", DraftForm.INT8, {}),
    ("L1S", DraftForm.CODES, {"width": 32}),
    ("L1S", DraftForm.HIDDEN, {"layers": 2}),
    ("L3", DraftForm.MIRROR, {"layers": 2}),
    ("L4", DraftForm.HIDDEN, {}),
    ("L4", DraftForm.MIRROR, {}),
    ("L5", DraftForm.INT8, {}),
    ("L5", DraftForm.HIDDEN, {"positions": 7}),
    ("L5", DraftForm.MIRROR, {}),
    ("L5F", DraftForm.HIDDEN, {}),
    ("L5F", DraftForm.INT8, {"layers": 2}),
    ("L5F", DraftForm.HIDDEN, {"positions": 7}),
    ("tokens", DraftForm.MIRROR, {"vocab_size": 640, "embedding": 32, "width": 32, "blocks": 1}),
]


@pytest.fixture(scope="module")
def target() -> VideoLlavaTarget:
    torch.set_num_threads(1)
    return VideoLlavaTarget.from_pretrained(shipped_target())


@pytest.fixture(scope="module")
def drafter_model() -> EventGPT:
    return EventGPT.from_pretrained(shipped_drafter())


@pytest.fixture(scope="module")
def pairs(drafter_model: EventGPT) -> list[tuple[Case, list[Any]]]:
    """Questions about one held-out clip, and what the event camera saw of it."""
    scene = sample_scene(HELD_OUT + 950_000)
    frames = render_rgb(scene, frame_times())
    seen = [frames[i] for i in sampled_indices(len(frames))]
    events = scene_events(scene)
    drawn = raster(events, frames=drafter_model.config.frames, canvas=(events.height, events.width))
    rng = np.random.default_rng(0)
    asked = [q for q in (ask(scene, kind, rng) for kind in KINDS) if q is not None]
    asked.sort(key=lambda question: -len(question.answer))
    return [(Case(question.text, seen, max_tokens=30), drawn) for question in asked[:QUESTIONS]]


@pytest.fixture(scope="module")
def alone(target: VideoLlavaTarget, pairs: list[tuple[Case, list[Any]]]) -> dict[tuple[str, bool], list[int]]:
    """What the target answers, by question and whether it is greedy."""
    answers: dict[tuple[str, bool], list[int]] = {}
    for case, _ in pairs:
        answers[case.question, True] = generate(target, case)
        sampled = replace(case, sampling=SAMPLED)
        one = InProcess(engine_with(target, None), target, None)
        answers[case.question, False] = asyncio.run(one.answer(sampled, []))
    return answers


class InProcess:
    """One edge's session against one engine, turn by turn, with as many steps of the engine as messages allow."""

    def __init__(self, engine: Engine, target: VideoLlavaTarget, drafter: DrafterModel | None) -> None:
        self._engine = engine
        self._target = target
        self._drafter = drafter
        self.drafts: list[Draft] = []
        self.finished: Finished | None = None
        self.successor: Engine | None = None  # takes over once something is committed
        self.session: EdgeSession | None = None

    async def answer(self, case: Case, drawn: list[Any], pace: Pace = Pace.EAGER) -> list[int]:
        model, thread = self._drafter, DraftingThread()
        session = EdgeSession(
            Open("session-1", case.question, case.sampling, case.max_tokens, pace, drafter=self._info()),
            SessionSettings(drafts=model is not None),
            frozenset({2}),
            DraftLength(4),
            started_at=0.0,
            book=model.book() if model is not None else None,
        )
        self.session, drafting = session, None
        if model is not None:
            drafter = model.new(case.sampling, case.max_tokens)
            drafter.prefill(prompt_ids(case.question, model.tokenizer, model.model.config.prompt_template), drawn)
            drafting = model.adapted(drafter, drafter)
            session.drafter_ready(0.0)
        done = False
        while not done:
            actions = session.drain()
            for action in actions:
                match action:
                    case Connect():
                        session.connected(0.0)
                    case Send(message):
                        self._send(session, message)
                    case SendVideo():
                        pixels = self._target.preprocess(case.frames).numpy()
                        self._engine.handle("session-1", Frames(pixels), 0.0)
                    case DraftJob():
                        assert drafting is not None
                        drafted = await thread.draft(drafting, action)
                        session.drafted(drafted.ids, 0.0, drafted.states)
                    case Done(error):
                        assert error is None
                        done = True
            if not done and not any(isinstance(action, DraftJob | Send) for action in actions):
                self._hear(session, self._engine.step(0.0))
                if self.successor is not None and session.committed:
                    self._engine, self.successor = self.successor, None
                    session.link_lost(LinkError("the engine died"), 0.0)
        if isinstance(drafting, Learns):
            drafting.learn(session.committed)
        thread.close()
        assert not session.figures.alone, "the engine failed"
        self._engine.handle("session-1", Close(), 0.0)
        return session.answer

    def _info(self) -> DrafterInfo:
        return self._drafter.info if self._drafter is not None else DrafterInfo()

    def _send(self, session: EdgeSession, message: EdgeMessage) -> None:
        if isinstance(message, Draft):
            self.drafts.append(message)
        again = codec.decode_edge_message(codec.encode_edge_message(message))
        self._hear(session, self._engine.handle("session-1", again, 0.0))

    def _hear(self, session: EdgeSession, outputs: list[Any]) -> None:
        for output in outputs:
            assert not isinstance(output.message, Failure), output.message
            if isinstance(output.message, Finished):
                self.finished = output.message
            session.received(codec.decode_cloud_message(codec.encode_cloud_message(output.message)), 0.0)


def drafter_with(
    level: str, form: DraftForm, sizes: dict[str, int], folder: Path, model: EventGPT
) -> tuple[DrafterModel, Path]:
    torch.manual_seed(7)
    adapter = create_adapter(level, 128, 256, **sizes)
    stir(adapter)
    save_adapter(adapter, folder)
    head = TargetHead.from_pretrained(shipped_target())
    fitted = edge_adapter(
        load_adapter(folder), form, drafter_hidden=128, drafter_layers=2, vocab_size=model.vocab_size, target=head
    )
    return DrafterModel("tiny", model, Tokenizer.from_folder(shipped_drafter()), fitted), folder


def engine_with(target: VideoLlavaTarget, folder: Path | None) -> Engine:
    adapter = TargetAdapter.from_folder(folder, dtype="float32", device="cpu") if folder is not None else None
    return Engine(TargetRunner(target, slots=2, capacity=320, adapter=adapter))


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(("level", "form", "sizes"), FORMS, ids=[f"{a}-{b.value}-{len(c)}" for a, b, c in FORMS])
async def test_an_untrained_adapter_changes_no_answer(
    level: str,
    form: DraftForm,
    sizes: dict[str, int],
    sampling: SamplingParams,
    target: VideoLlavaTarget,
    drafter_model: EventGPT,
    pairs: list[tuple[Case, list[Any]]],
    alone: dict[tuple[str, bool], list[int]],
    tmp_path: Path,
) -> None:
    drafter, folder = drafter_with(level, form, sizes, tmp_path, drafter_model)
    engine = engine_with(target, None if form is DraftForm.MIRROR else folder)
    for number, (case, drawn) in enumerate(pairs):
        asked = replace(case, sampling=sampling)
        one = InProcess(engine, target, drafter)
        answer = await one.answer(asked, drawn, list(Pace)[number % 2])
        assert answer == alone[case.question, sampling.greedy]
        assert one.drafts
        for draft in one.drafts:
            beyond = draft.base_position + draft.count > sizes.get("positions", 64)
            assert (draft.hidden_states is None) is (form is DraftForm.MIRROR or beyond)
    engine.check_integrity()


async def test_an_engine_that_takes_over_has_the_targets_states_again(
    target: VideoLlavaTarget,
    drafter_model: EventGPT,
    pairs: list[tuple[Case, list[Any]]],
    alone: dict[tuple[str, bool], list[int]],
) -> None:
    """A resumed prompt gives the target's states of what is committed, too; the edge sends its own anew."""
    case, drawn = pairs[0]
    fitted = edge_adapter(
        load_adapter("tiny-L5F"),
        DraftForm.INT8,
        drafter_hidden=128,
        drafter_layers=2,
        vocab_size=drafter_model.vocab_size,
        target=None,
    )
    drafter = DrafterModel("tiny", drafter_model, Tokenizer.from_folder(shipped_drafter()), fitted)
    first, second = (engine_with(target, adapter_folder("tiny-L5F")) for _ in range(2))
    one = InProcess(first, target, drafter)
    one.successor = second
    assert await one.answer(case, drawn, Pace.PATIENT) == alone[case.question, True]
    assert one.session is not None
    assert one.session.figures.resumes == 1
    again = [draft for draft in one.drafts if draft.epoch == 1]
    assert again[0].context == again[0].base_position > 0
    assert second.stats.accepted >= second.stats.drafted // 2 > 0


async def test_learning_from_commits_raises_acceptance_and_changes_no_answer(
    target: VideoLlavaTarget,
    drafter_model: EventGPT,
    pairs: list[tuple[Case, list[Any]]],
    alone: dict[tuple[str, bool], list[int]],
    tmp_path: Path,
) -> None:
    """An untrained adapter in a world that it has never seen; the drafts of later rounds are right more often."""
    drafter, _ = drafter_with("L1", DraftForm.MIRROR, {}, tmp_path / "adapter", drafter_model)
    assert drafter.adapter is not None
    learning = replace(drafter, adapter=drafter.adapter.learning(tmp_path / "learnt"))
    assert learning.adapter is not None
    distiller = learning.adapter.distiller
    assert distiller is not None
    rounds = []
    for _ in range(8):
        engine = engine_with(target, None)
        for case, drawn in pairs:
            assert (
                await InProcess(engine, target, learning).answer(case, drawn, Pace.PATIENT)
                == alone[case.question, True]
            )
            while distiller.wanted:
                distiller.step()
        rounds.append(engine.stats.accepted / engine.stats.drafted)
    assert distiller.handed_over >= 1
    assert rounds[-1] > rounds[0] + 0.3


async def test_the_cloud_makes_of_states_what_the_mirror_chooses(
    target: VideoLlavaTarget, drafter_model: EventGPT, pairs: list[tuple[Case, list[Any]]], tmp_path: Path
) -> None:
    """Same adapter, same head, same seed: of the first state both sides make the same id."""
    case, drawn = pairs[0]
    sampled = replace(case, sampling=SAMPLED)
    for level in ("L1", "L5"):
        first: dict[DraftForm, int] = {}
        for form in (DraftForm.HIDDEN, DraftForm.MIRROR):
            drafter, folder = drafter_with(level, form, {}, tmp_path / level, drafter_model)
            engine = engine_with(target, folder)
            seen: list[int] = []
            read_draft = engine._drafts.read

            def noted(session: Any, draft: Draft, read_draft: Any = read_draft, seen: list[int] = seen) -> Draft | None:
                read: Draft | None = read_draft(session, draft)
                seen.extend(read.token_ids if read is not None else ())
                return read

            engine._drafts.read = noted  # type: ignore[method-assign]
            await InProcess(engine, target, drafter).answer(sampled, drawn)
            first[form] = seen[0]
        assert first[DraftForm.HIDDEN] == first[DraftForm.MIRROR]
