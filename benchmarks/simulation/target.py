"""A target behind the engine's `Runner` seam whose answers are known and whose work costs virtual time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulation.cases import EOS, VOCABULARY, Case
from benchmarks.simulation.costs import Costs
from cloud.runner import ForwardResult, PromptShape, Work
from common.errors import EngineError
from common.types import SamplingParams

PIXELS = (3, 1, 1)  # the engine passes them on; nobody looks
TOKENIZER = "simulated"
_VIDEO_START = 5


class KnownTarget:
    """Implements `cloud.runner.Runner`. The prompt's name chooses the case; `take_spent` tells what the work cost.

    `wrong` says so if it was fed what doesn't continue the answer: an error in the protocol's code, not in a session.
    """

    tokenizer_hash = TOKENIZER
    vocab_size = VOCABULARY
    eos_token_ids = frozenset({EOS})
    hidden_size = 1
    pixels_shape = PIXELS

    def __init__(
        self, costs: Costs, cases: dict[str, Case], *, slots: int, frames: int = 8, tokens_per_frame: int = 256
    ) -> None:
        self.slots = slots
        self.capacity = 1 << 20
        self.frames = frames
        self.tokens_per_frame = tokens_per_frame
        self.passes = 0
        self.batched = 0  # sessions in all passes together
        self._costs = costs
        self._cases = cases  # by prompt
        self._open: dict[int, Case] = {}
        self._stored: dict[int, int] = {}
        self._prompt: dict[int, int] = {}
        self._spent = 0.0
        self.wrong = ""

    def take_spent(self) -> float:
        """Seconds of work since the last call."""
        spent, self._spent = self._spent, 0.0
        return spent

    def open(self, slot: int, question: str) -> PromptShape:
        case = self._cases[question]
        video = self.frames * self.tokens_per_frame
        self._open[slot], self._stored[slot] = case, 0
        self._prompt[slot] = video + case.text_tokens
        return PromptShape(self._prompt[slot], case.text_tokens, min(_VIDEO_START, case.text_tokens), video)

    def ask(self, slot: int, question: str) -> PromptShape:
        stored = self._stored[slot]
        shape = self.open(slot, question)
        self._stored[slot] = stored
        return shape

    def close(self, slot: int, poisoned: bool = False) -> None:
        for table in (self._open, self._stored, self._prompt):
            table.pop(slot, None)

    def encode(self, slot: int, pixels: NDArray[np.float32]) -> int:
        return self._spend(self._costs.vision(len(pixels)))

    def place(self, slot: int, features: NDArray[np.uint8]) -> int:
        raise EngineError("features from the edge aren't simulated")

    def draft_ids(self, states: NDArray[np.float32], sampling: SamplingParams, position: int) -> list[int]:
        raise EngineError("hidden-state drafts aren't simulated")

    def forward(self, works: Sequence[Work]) -> ForwardResult:
        times = self._costs.times
        prompt = sum(
            times.prompt_rows(work.prompt_stop - work.start, self._prompt[work.slot])
            for work in works
            if work.prompt_stop > work.start
        )
        answering = sum(len(work.answer) for work in works)
        self.passes += 1
        self.batched += len(works)
        choices: list[list[int] | None] = [self._choices(work) for work in works]
        return ForwardResult(choices, self._spend(self._costs.step(prompt, answering, len(works))))

    def _choices(self, work: Work) -> list[int]:
        """The truth after each of the last fed tokens; behind a wrong draft token nobody reads it."""
        truth, start = self._open[work.slot].truth, work.start
        if start > self._stored[work.slot]:
            self.wrong = "a hole in the keys and values"
        self._stored[work.slot] = work.prompt_stop + len(work.answer)
        known = len(work.answer) - max(0, work.choices - 1)
        first = max(0, start - self._prompt[work.slot])
        if work.answer[:known] != truth[first : first + known]:
            self.wrong = "committed tokens differ from the target's own"
        return [
            truth[position] if position < len(truth) else EOS
            for position in range(work.position, work.position + work.choices)
        ]

    def _spend(self, seconds: float) -> int:
        self._spent += seconds
        return round(seconds * 1e6)
