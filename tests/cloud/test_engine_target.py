"""The theorem on a real (random) target: engine equals `generate`, packed one by one, rollback recompute."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cloud.engine_limits import EngineLimits
from cloud.messages import Frames
from cloud.scheduler import Budget
from cloud.target import VideoLlavaTarget
from common.packed import KVStorage, PackedPlan, Segment, packed_forward, use_packed_attention
from common.tokenizer import Tokenizer
from common.types import (
    Commit,
    Draft,
    DrafterInfo,
    FinishReason,
    Open,
    Pace,
    SamplingParams,
    Tensor,
)
from tests.cloud.driver import DRAFTERS, Case, answer_all, generate, make_engine
from tests.cloud.target_samples import small_video_llava, video_frames
from tests.common.tokenizers import llama_like

FRAMES = 3


@pytest.fixture(scope="module")
def target() -> VideoLlavaTarget:
    model = small_video_llava(max_position_embeddings=512)
    return VideoLlavaTarget(model, tokenizer=Tokenizer(llama_like()))


@pytest.fixture(scope="module")
def cases(target: VideoLlavaTarget) -> list[Case]:
    made = [Case(f"ab as {'ab ' * i}?", video_frames(i, FRAMES), max_tokens=5 + 3 * i) for i in range(8)]
    for case in made:
        case.truth = generate(target, case)
    return made


@pytest.mark.parametrize("drafter", DRAFTERS)
@pytest.mark.parametrize("pace", list(Pace))
def test_eight_sessions_equal_generate(target: VideoLlavaTarget, cases: list[Case], drafter: str, pace: Pace) -> None:
    engine = make_engine(target, frames=FRAMES)
    answers = answer_all(engine, target, cases, DRAFTERS[drafter], pace=pace)
    assert [a.tokens for a in answers] == [c.truth for c in cases]


@pytest.mark.parametrize("chunk", [16, 37, 512])
def test_prompt_chunks_change_nothing(target: VideoLlavaTarget, cases: list[Case], chunk: int) -> None:
    engine = make_engine(target, frames=FRAMES, limits=EngineLimits(vision_chunk=2, budget=Budget(prompt_chunk=chunk)))
    answers = answer_all(engine, target, cases, DRAFTERS["noisy"])
    assert [a.tokens for a in answers] == [c.truth for c in cases]


@pytest.mark.parametrize("drafter", ["right", "wrong", "noisy"])
def test_sampling_does_not_depend_on_drafts(target: VideoLlavaTarget, cases: list[Case], drafter: str) -> None:
    sampled = [
        Case(c.question, c.frames, 24, SamplingParams(1.0, top_k=20 * (i % 2), top_p=1 - 0.1 * (i % 3), seed=i))
        for i, c in enumerate(cases)
    ]
    for case in sampled:
        case.truth = answer_all(make_engine(target, slots=1, frames=FRAMES), target, [case])[0].tokens
    assert any(s.truth != c.truth for s, c in zip(sampled, cases, strict=True)), "sampling must sample"
    answers = answer_all(make_engine(target, frames=FRAMES), target, sampled, DRAFTERS[drafter])
    assert [a.failure for a in answers] == [None] * len(sampled)
    assert [a.tokens for a in answers] == [c.truth for c in sampled]


def test_right_drafts_are_all_accepted(target: VideoLlavaTarget, cases: list[Case]) -> None:
    engine = make_engine(target, frames=FRAMES)
    answers = answer_all(engine, target, cases, DRAFTERS["right"], pace=Pace.PATIENT)
    for answer, case in zip(answers, cases, strict=True):
        assert answer.finished is not None
        assert sum(c.accepted for c in answer.commits) == sum(c.drafted for c in answer.commits)
        assert answer.finished.target_passes <= -(-len(case.truth) // 5) + 1


def test_a_stop_token_inside_an_accepted_run_cuts_it(target: VideoLlavaTarget, cases: list[Case]) -> None:
    case = cases[7]
    stop = case.truth[6]
    cut = case.truth[: case.truth.index(stop) + 1]
    engine = make_engine(target, frames=FRAMES)
    engine._runner.target.eos_token_ids = frozenset({stop})  # type: ignore[attr-defined]
    try:
        answer = answer_all(engine, target, [case], DRAFTERS["right"], length=12)[0]
    finally:
        target.eos_token_ids = frozenset({2})
    assert answer.tokens == cut
    assert answer.finished is not None
    assert answer.finished.reason is FinishReason.STOP


def test_hidden_states_are_drafts_like_any_other(target: VideoLlavaTarget, cases: list[Case]) -> None:
    """The target's own hidden states, sent as a draft, are its own choices: accepted to the last one."""
    case = cases[5]
    embeddings = target.embed(target.prompt_ids(case.question, frames=FRAMES) + case.truth).clone()
    start = len(target.prompt(case.question).prefix)
    features = target.encode_frames(case.frames)
    embeddings[start : start + len(features)] = features
    states = target.language_model(inputs_embeds=embeddings[None], use_cache=False).last_hidden_state[0]
    engine = make_engine(target, frames=FRAMES)
    assert target.tokenizer is not None
    info = DrafterInfo("test", target.tokenizer.hash, target.vocab_size, target.hidden_size)
    engine.handle("session-h", Open("session-h", case.question, max_tokens=case.max_tokens, drafter=info), 0.0)
    count = min(9, len(case.truth) - 1)
    first = len(embeddings) - len(case.truth) - 1
    sent = states[first : first + count].half().numpy()
    tensor = Tensor("float16", sent.shape, sent.tobytes())
    engine.handle("session-h", Draft(1, 0, 0, 0, hidden_states=tensor), 0.0)
    engine.handle("session-h", Frames(target.preprocess(case.frames).numpy()), 0.0)
    commits = [o.message for _ in range(2) for o in engine.step(0.0) if isinstance(o.message, Commit)]
    assert commits[0].accepted == count
    assert list(commits[0].token_ids) == case.truth[: count + 1]
    wide = Tensor("float16", (1, 3), b"\0" * 6)
    assert engine.handle("session-h", Draft(2, 0, 0, 0, hidden_states=wide), 0.0) == []
    assert engine.sessions == 1


def test_nan_ends_one_session_alone(target: VideoLlavaTarget, cases: list[Case]) -> None:
    engine = make_engine(target, frames=FRAMES)
    bad = Case(cases[0].question, cases[0].frames, 8)
    encode = target.encode_frames
    calls = iter(range(100))

    def poisoned(pixels: torch.Tensor) -> torch.Tensor:
        features = encode(pixels).clone()
        return features * torch.nan if next(calls) == 1 else features

    target.encode_frames = poisoned  # type: ignore[method-assign, assignment]
    try:
        answers = answer_all(engine, target, [cases[1], bad, cases[2]])
    finally:
        del target.encode_frames
    assert answers[1].failure is not None
    assert "finite" in answers[1].failure.message
    assert [answers[0].tokens, answers[2].tokens] == [cases[1].truth, cases[2].truth]
    again = answer_all(engine, target, [cases[3], cases[4], cases[5]])  # the poisoned slot is clean for the next
    assert [a.tokens for a in again] == [c.truth for c in cases[3:6]]


@torch.inference_mode()
def test_packed_equals_one_by_one_and_rollback_equals_recompute(target: VideoLlavaTarget) -> None:
    model = target.language_model
    use_packed_attention(model)
    rng = np.random.default_rng(0)
    rows = [torch.from_numpy(rng.normal(size=(60, target.hidden_size)).astype(np.float32)) for _ in range(5)]
    alone = [model(inputs_embeds=r[None], use_cache=False).last_hidden_state[0] for r in rows]
    storage = KVStorage.for_model(model, slots=9, capacity=64)
    done = [0] * 5
    slots = [4, 2, 0, 8, 5]
    while min(done) < 60:
        for i in range(5):  # go back now and then, over junk that must leave no trace
            if done[i] and rng.random() < 0.3:
                junk = torch.randn(min(3, 64 - done[i]), target.hidden_size)
                packed_forward(model, junk, PackedPlan([Segment(slots[i], done[i], len(junk))], storage))
                done[i] = max(0, done[i] - int(rng.integers(0, 4)))
        counts = [min(60 - d, int(rng.integers(1, 21 if rng.random() < 0.3 else 5))) for d in done]
        chosen = [i for i in range(5) if counts[i] > 0 and rng.random() < 0.8]
        if not chosen:
            continue
        plan = PackedPlan([Segment(slots[i], done[i], counts[i]) for i in chosen], storage)
        out = packed_forward(model, torch.cat([rows[i][done[i] : done[i] + counts[i]] for i in chosen]), plan)
        row = 0
        for i in chosen:
            expected = alone[i][done[i] : done[i] + counts[i]]
            torch.testing.assert_close(out[row : row + counts[i]], expected, atol=1e-4, rtol=1e-4)
            row += counts[i]
            done[i] += counts[i]
