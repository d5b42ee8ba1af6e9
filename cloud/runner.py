"""The seam between engine and tensors: what the engine asks of a target. `cloud/target_runner.py` implements it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.types import SamplingParams, StateEncoding


@dataclass(frozen=True, slots=True)
class Work:
    """One session's share of a packed forward.

    Positions `start ... prompt_stop` of the slot are prompt, `answer` follows (committed and draft tokens to feed).
    If `choices` > 0, the target's choice is wanted after each of the last `choices` tokens, the first being for
    answer position `position`.
    """

    slot: int
    start: int
    prompt_stop: int
    answer: tuple[int, ...]
    choices: int
    position: int
    sampling: SamplingParams


@dataclass(frozen=True, slots=True)
class ForwardResult:
    """Choices of each work (None where the logits weren't finite), and how long the forward took in microseconds."""

    choices: list[list[int] | None]
    forward_us: int


@dataclass(frozen=True, slots=True)
class PromptShape:
    """How long a prompt is: `length` positions, of which `video_length` from `video_start` on are video features."""

    length: int
    text_length: int
    video_start: int
    video_length: int


@dataclass(frozen=True, slots=True, eq=False)
class DraftStates:
    """A draft of hidden states for a slot's answer.

    `rows` float32 [context + n, width] are what `encoding` says, for answer positions `position - context ...`; those
    from `position` on draft, the ones before are for an adapter that looks back. The answer has `committed` tokens.
    """

    slot: int
    rows: NDArray[np.float32]
    encoding: StateEncoding
    context: int
    position: int
    sampling: SamplingParams
    committed: int = 0


class Runner(Protocol):
    """The tensor side of the engine: the target, its KV storage and the sessions' video features."""

    @property
    def slots(self) -> int:
        """Number of KV slots."""

    @property
    def capacity(self) -> int:
        """Tokens a slot holds."""

    @property
    def vocab_size(self) -> int:
        """Ids that may be chosen are below this."""

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Ids that end an answer."""

    @property
    def hidden_size(self) -> int:
        """Width of the target's hidden states."""

    @property
    def tokenizer_hash(self) -> str:
        """Hash of the target's tokenizer."""

    @property
    def tokens_per_frame(self) -> int:
        """Video features a frame."""

    @property
    def pixels_shape(self) -> tuple[int, int, int]:
        """Shape of one preprocessed frame."""

    def open(self, slot: int, question: str) -> PromptShape:
        """Prepare a slot for a prompt. Raises PromptError."""

    def ask(self, slot: int, question: str) -> PromptShape:
        """Put another question to a slot's video; what of it is encoded and stored stays. Raises PromptError."""

    def close(self, slot: int, poisoned: bool = False) -> None:
        """Free what the slot holds; `poisoned` if its keys and values may not be finite."""

    def encode(self, slot: int, pixels: NDArray[np.float32]) -> int:
        """Encode frames and append their features to the slot's; returns microseconds."""

    def place(self, slot: int, features: NDArray[np.uint8]) -> int:
        """Append features that an edge encoded, uint8 [n, bytes a frame]; returns microseconds."""

    @property
    def frame_bytes(self) -> int:
        """Memory that one frame's features take."""

    def keep(self, slot: int, numbers: Sequence[int], pixels: NDArray[np.float32]) -> int:
        """Encode frames of a live stream, and keep their features under these numbers; returns microseconds."""

    def arrange(self, slot: int, numbers: Sequence[int], source: int) -> None:
        """Make the features that `source` keeps under these numbers the video of a slot's prompt."""

    def forget(self, slot: int, numbers: Sequence[int]) -> None:
        """Let go of features that are kept under these numbers."""

    @property
    def adapter_fingerprint(self) -> str:
        """Of the adapter that the drafter's states go through; empty if there is none."""

    @property
    def state_widths(self) -> Mapping[StateEncoding, int]:
        """Hidden-state drafts that can be taken, and how wide a row of each is."""

    def draft_ids(self, states: DraftStates) -> list[int]:
        """What adapter and target's head would choose, for as many of the drafted positions as make sense.

        An adapter that `redrafts` chooses for those that aren't committed yet.
        """

    @property
    def redrafts(self) -> bool:
        """True if the adapter reads the target's own states, so that drafts change as the target goes on."""

    def redraft(self, slot: int, position: int, count: int, sampling: SamplingParams) -> list[int]:
        """What adapter and head would choose now, at most `count` ids from the first uncommitted `position` on."""

    def forward(self, works: Sequence[Work]) -> ForwardResult:
        """One packed forward."""
