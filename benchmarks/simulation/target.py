"""A target behind the engine's `Runner` seam whose answers are known and whose work takes virtual time.

`KnownTarget` has the answers; around it `ReplayedRunner` (`cloud/replayed.py`) waits as a replayed cloud does, on a
clock that only adds the waits up. So the cost of a pass is the replay's by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulation.cases import EOS, VOCABULARY, Case
from cloud.replayed import ReplayedRunner
from cloud.runner import DraftStates, ForwardResult, PromptShape, Work
from common.errors import EngineError
from common.padding import Padding
from common.replay import StageTimes
from common.types import SamplingParams, StateEncoding

PIXELS = (3, 1, 1)  # the engine passes them on; nobody looks
TOKENIZER = "simulated"
_VIDEO_START = 5


class WorkClock:
    """Adds up the waits of a `ReplayedRunner`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._taken = 0.0

    def padding(self) -> Padding:
        """A padding that waits on this clock."""
        return Padding(clock=lambda: self._now, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self._now += seconds

    def take(self) -> float:
        """Seconds of work since the last call."""
        spent, self._taken = self._now - self._taken, self._now
        return spent


def paced(target: KnownTarget, times: StageTimes, clock: WorkClock) -> ReplayedRunner:
    """The target at a profile's pace."""
    return ReplayedRunner(target, times, clock.padding())


class KnownTarget:
    """Implements `cloud.runner.Runner`. The prompt's name chooses the case.

    Attributes:
        passes: packed forwards; `batched` sessions in all of them together.
        wrong: says so if it was fed what doesn't continue the answer: an error in the protocol's code.
    """

    tokenizer_hash = TOKENIZER
    vocab_size = VOCABULARY
    eos_token_ids = frozenset({EOS})
    hidden_size = 1
    pixels_shape = PIXELS

    def __init__(self, cases: dict[str, Case], *, slots: int, frames: int = 8, tokens_per_frame: int = 256) -> None:
        self.slots = slots
        self.capacity = 1 << 20
        self.tokens_per_frame = tokens_per_frame
        self.passes = 0
        self.batched = 0
        self.wrong = ""
        self._frames = frames
        self._cases = cases  # by prompt
        self._open: dict[int, Case] = {}
        self._stored: dict[int, int] = {}
        self._prompt: dict[int, int] = {}

    def open(self, slot: int, question: str) -> PromptShape:
        case = self._cases[question]
        video = self._frames * self.tokens_per_frame
        self._open[slot], self._stored[slot] = case, 0
        self._prompt[slot] = video + case.text_tokens
        return PromptShape(self._prompt[slot], case.text_tokens, min(_VIDEO_START, case.text_tokens), video)

    def ask(self, slot: int, question: str) -> PromptShape:
        raise EngineError("clips that come before their questions aren't simulated")

    def close(self, slot: int, poisoned: bool = False) -> None:
        for table in (self._open, self._stored, self._prompt):
            table.pop(slot, None)

    def encode(self, slot: int, pixels: NDArray[np.float32]) -> int:
        return 0

    def place(self, slot: int, features: NDArray[np.uint8]) -> int:
        raise EngineError("features from the edge aren't simulated")

    @property
    def frame_bytes(self) -> int:
        return self.tokens_per_frame

    def keep(self, slot: int, numbers: Sequence[int], pixels: NDArray[np.float32]) -> int:
        raise EngineError("live streams aren't simulated")

    def arrange(self, slot: int, numbers: Sequence[int], source: int) -> None:
        raise EngineError("live streams aren't simulated")

    def forget(self, slot: int, numbers: Sequence[int]) -> None:
        raise EngineError("live streams aren't simulated")

    @property
    def adapter_fingerprint(self) -> str:
        return ""

    @property
    def state_widths(self) -> Mapping[StateEncoding, int]:
        return {}

    def draft_ids(self, states: DraftStates) -> list[int]:
        raise EngineError("hidden-state drafts aren't simulated")

    @property
    def redrafts(self) -> bool:
        return False

    def redraft(self, slot: int, position: int, count: int, sampling: SamplingParams) -> list[int]:
        raise EngineError("hidden-state drafts aren't simulated")

    def forward(self, works: Sequence[Work]) -> ForwardResult:
        self.passes += 1
        self.batched += len(works)
        return ForwardResult([self._choices(work) for work in works], 0)

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
