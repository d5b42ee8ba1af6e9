"""A target that is a plain function, behind the engine's `Runner`: the whole protocol runs without torch, in
microseconds.

The next token is a hash of everything in the slot's KV. A wrong rollback, a lost or doubled token, a wrong position:
each changes every later token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from cloud.runner import DraftStates, ForwardResult, PromptShape, Work
from common.errors import PromptError
from common.types import SamplingParams, StateEncoding

VOCAB = 50
EOS = 2
VIDEO_FRAMES = 2
TOKENS_PER_FRAME = 3


def next_token(context: Sequence[int], sampling: SamplingParams, position: int, eos_every: int = 23) -> int:
    """The fake target's choice after `context`."""
    seed = 0 if sampling.greedy else sampling.seed * 1009 + position
    value = crc32(np.asarray(context, dtype="<i8").tobytes(), seed)
    return EOS if value % eos_every == 0 else 3 + value % (VOCAB - 3)


def prompt_tokens(question: str, frames: Sequence[int] | None = None) -> list[int]:
    """The fake prompt: one token a character, with the video's features (or those of live frames) in the middle."""
    video = [-7 - i for i in range(VIDEO_FRAMES * TOKENS_PER_FRAME)]
    if frames is not None:
        video = [token for number in frames for token in live_features(number)]
    return [1, *video, *(1000 + ord(c) for c in question)]


def live_features(number: int) -> list[int]:
    """The fake features of a live stream's frame."""
    return [-1_000 * (number + 1) - i for i in range(TOKENS_PER_FRAME)]


def reference_answer(
    question: str, sampling: SamplingParams, max_tokens: int, frames: Sequence[int] | None = None
) -> list[int]:
    """What the fake target says alone, of its video or of live frames."""
    answer: list[int] = []
    while len(answer) < max_tokens and (not answer or answer[-1] != EOS):
        answer.append(next_token([*prompt_tokens(question, frames), *answer], sampling, len(answer)))
    return answer


class FakeRunner:
    """Implements `cloud.engine.Runner`; checks that it is fed exactly what a KV cache would need."""

    tokenizer_hash = "fake"
    vocab_size = VOCAB
    eos_token_ids = frozenset({EOS})
    tokens_per_frame = TOKENS_PER_FRAME
    hidden_size = 4
    pixels_shape = (3, 2, 2)
    adapter_fingerprint = ""
    state_widths: Mapping[StateEncoding, int] = dict.fromkeys(StateEncoding, 4)

    def __init__(self, slots: int = 4, capacity: int = 400) -> None:
        self.slots = slots
        self.capacity = capacity
        self.forwards = 0
        self.rows: list[int] = []
        self.fail_slots: set[int] = set()
        self._kv: dict[int, list[int]] = {}
        self._prompts: dict[int, list[int]] = {}
        self._encoded: dict[int, int] = {}
        self.kept: dict[int, set[int]] = {}

    def open(self, slot: int, question: str) -> PromptShape:
        if not question.strip():
            raise PromptError("the question is empty")
        assert slot not in self._prompts, "slot opened twice"
        self._prompts[slot] = prompt_tokens(question)
        self._kv[slot], self._encoded[slot] = [], 0
        video = VIDEO_FRAMES * TOKENS_PER_FRAME
        return PromptShape(len(self._prompts[slot]), len(self._prompts[slot]) - video, 1, video)

    def ask(self, slot: int, question: str) -> PromptShape:
        if not question.strip():
            raise PromptError("the question is empty")
        video = VIDEO_FRAMES * TOKENS_PER_FRAME
        self._prompts[slot] = [*self._prompts[slot][: 1 + video], *prompt_tokens(question)[1 + video :]]
        return PromptShape(len(self._prompts[slot]), len(self._prompts[slot]) - video, 1, video)

    def close(self, slot: int, poisoned: bool = False) -> None:
        del self._prompts[slot], self._kv[slot], self._encoded[slot]
        self.kept.pop(slot, None)

    frame_bytes = 100

    def keep(self, slot: int, numbers: Sequence[int], pixels: NDArray[np.float32]) -> int:
        assert slot in self._prompts and len(numbers) == len(pixels)
        self.kept.setdefault(slot, set()).update(numbers)
        return 100

    def arrange(self, slot: int, numbers: Sequence[int], source: int) -> None:
        assert set(numbers) <= self.kept[source], "features that aren't kept"
        assert len(numbers) == VIDEO_FRAMES
        features = [token for number in numbers for token in live_features(number)]
        self._prompts[slot][1 : 1 + len(features)] = features
        self._encoded[slot] = VIDEO_FRAMES

    def forget(self, slot: int, numbers: Sequence[int]) -> None:
        self.kept[slot] -= set(numbers)

    def encode(self, slot: int, pixels: NDArray[np.float32]) -> int:
        self._encoded[slot] += len(pixels)
        assert self._encoded[slot] <= VIDEO_FRAMES, "more frames than the prompt has room for"
        return 100

    def place(self, slot: int, features: NDArray[np.uint8]) -> int:
        self._encoded[slot] += len(features)
        return 0

    def draft_ids(self, states: DraftStates) -> list[int]:
        return [int(row[0]) for row in states.rows[states.context :]]  # the fake head reads the id off the state

    redrafts = False

    def redraft(self, slot: int, position: int, count: int, sampling: SamplingParams) -> list[int]:
        return []

    def forward(self, works: Sequence[Work]) -> ForwardResult:
        self.forwards += 1
        self.rows.append(sum(w.prompt_stop - w.start + len(w.answer) for w in works))
        return ForwardResult([self._choices(work) for work in works], 1_000)

    def _choices(self, work: Work) -> list[int] | None:
        kv, prompt = self._kv[work.slot], self._prompts[work.slot]
        assert work.start <= len(kv), "a hole in the KV"
        seen = 1 + self._encoded[work.slot] * TOKENS_PER_FRAME
        if self._encoded[work.slot] < VIDEO_FRAMES:
            assert work.prompt_stop <= seen, "fed video features that aren't encoded yet"
        del kv[work.start :]
        kv += prompt[work.start : work.prompt_stop]
        kv += work.answer
        if work.slot in self.fail_slots:
            return None
        first = len(kv) - work.choices + 1
        return [next_token(kv[: first + i], work.sampling, work.position + i) for i in range(work.choices)]
