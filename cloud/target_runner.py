"""The tensor side of the engine: the target, the KV of all slots, the prompts' embeddings. Knows no sessions.

One call of `forward` is one packed row: prompt chunks, drafts and single tokens of many slots, no padding.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from cloud.adapting import TargetAdapter
from cloud.runner import DraftStates, ForwardResult, PromptShape, Work
from cloud.target import VideoLlavaTarget
from common.errors import InputError, ModelError
from common.packed import KVStorage, PackedPlan, Segment, packed_forward, use_packed_attention
from common.sampling import choose
from common.types import SamplingParams, StateEncoding

_UNDECIDED = 0  # stands for drafts that wait for the target's states of a prompt that is still to run


class TargetRunner:
    """Implements `cloud.engine.Runner` with a `VideoLlavaTarget`."""

    def __init__(
        self,
        target: VideoLlavaTarget,
        *,
        slots: int,
        capacity: int,
        frames: int = 8,
        adapter: TargetAdapter | None = None,
    ) -> None:
        if target.tokenizer is None:
            raise ModelError("the target's folder has no tokenizer.json: copy the model's there")
        if adapter is not None:
            adapter.check_target(target.hidden_size)
        self.adapter = adapter
        use_packed_attention(target.language_model)
        self.target = target
        self.frames = frames
        self.storage = KVStorage.for_model(target.language_model, slots=slots, capacity=capacity)
        self._tokenizer_hash = target.tokenizer.hash
        self._prompts: dict[int, torch.Tensor] = {}  # slot -> [length, hidden], video rows filled as they are encoded
        self._next_row: dict[int, int] = {}
        self._kept: dict[int, dict[int, torch.Tensor]] = {}  # slot -> features of a live stream's frames by number

    @property
    def slots(self) -> int:
        """Number of KV slots."""
        return self.storage.slots

    @property
    def capacity(self) -> int:
        """Tokens a slot holds."""
        return self.storage.capacity

    @property
    def vocab_size(self) -> int:
        """Ids that may be chosen are below this."""
        return self.target.vocab_size

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Ids that end an answer."""
        return self.target.eos_token_ids

    @property
    def hidden_size(self) -> int:
        """Width of the target's hidden states."""
        return self.target.hidden_size

    @property
    def tokenizer_hash(self) -> str:
        """Hash of the target's tokenizer."""
        return self._tokenizer_hash

    @property
    def tokens_per_frame(self) -> int:
        """Video features a frame."""
        return self.target.tokens_per_frame

    @property
    def pixels_shape(self) -> tuple[int, int, int]:
        """Shape of one preprocessed frame."""
        return 3, self.target.image_size, self.target.image_size

    @torch.inference_mode()
    def open(self, slot: int, question: str) -> PromptShape:
        """Embed the prompt's text; the video's rows come with `encode`."""
        prompt = self.target.prompt(question)
        before, video = len(prompt.prefix), self.frames * self.target.tokens_per_frame
        length = before + video + len(prompt.suffix)
        rows = torch.zeros(length, self.target.hidden_size, dtype=self.target.dtype, device=self.target.device)
        rows[:before] = self.target.embed(prompt.prefix)
        rows[before + video :] = self.target.embed(prompt.suffix)
        self._prompts[slot] = rows
        self._next_row[slot] = before
        return PromptShape(length, prompt.text_length, before, video)

    @torch.inference_mode()
    def ask(self, slot: int, question: str) -> PromptShape:
        """Put another question to a slot's video: the rows before it and its own stay."""
        prompt = self.target.prompt(question)
        before, video = len(prompt.prefix), self.frames * self.target.tokens_per_frame
        kept = self._prompts[slot][: before + video]
        self._forget_states(slot)
        self._prompts[slot] = torch.cat((kept, self.target.embed(prompt.suffix)))
        return PromptShape(before + video + len(prompt.suffix), prompt.text_length, before, video)

    def close(self, slot: int, poisoned: bool = False) -> None:
        """Free what the slot holds; its KV stays where it is and will be written over."""
        self._prompts.pop(slot, None)
        self._next_row.pop(slot, None)
        self._kept.pop(slot, None)
        self._forget_states(slot)
        if poisoned:
            self.storage.clear(slot)

    def _forget_states(self, slot: int) -> None:
        if self.adapter is not None:
            self.adapter.forget(slot)

    @torch.inference_mode()
    def encode(self, slot: int, pixels: NDArray[np.float32]) -> int:
        """Encode frames into the prompt's next video rows; returns microseconds."""
        started = time.perf_counter_ns()
        self._append(slot, self.target.encode_frames(torch.from_numpy(np.array(pixels, dtype=np.float32))))
        return (time.perf_counter_ns() - started) // 1_000

    @torch.inference_mode()
    def place(self, slot: int, features: NDArray[np.uint8]) -> int:
        """Append features that an edge encoded, uint8 [n, bytes a frame]; returns microseconds.

        Raises:
            InputError: they aren't as many bytes as a frame's features have.
        """
        started = time.perf_counter_ns()
        target = self.target
        if features.shape[1:] != (target.tokens_per_frame * target.hidden_size * target.dtype.itemsize,):
            raise InputError(f"a frame's features have {features.shape[1:]} bytes, which isn't what the target takes")
        rows = torch.from_numpy(np.array(features)).view(target.dtype).view(-1, target.hidden_size)
        self._append(slot, rows)
        return (time.perf_counter_ns() - started) // 1_000

    def _append(self, slot: int, features: torch.Tensor) -> None:
        row = self._next_row[slot]
        self._prompts[slot][row : row + len(features)] = features
        self._next_row[slot] = row + len(features)

    @property
    def frame_bytes(self) -> int:
        """Memory that one frame's features take."""
        return self.target.tokens_per_frame * self.target.hidden_size * self.target.dtype.itemsize

    @torch.inference_mode()
    def keep(self, slot: int, numbers: Sequence[int], pixels: NDArray[np.float32]) -> int:
        """Encode frames of a live stream, and keep their features under these numbers; returns microseconds."""
        started = time.perf_counter_ns()
        features = self.target.encode_frames(torch.from_numpy(np.array(pixels, dtype=np.float32)))
        frames = features.view(len(numbers), self.target.tokens_per_frame, -1)
        kept = self._kept.setdefault(slot, {})
        for number, frame in zip(numbers, frames, strict=True):
            kept[number] = frame.clone()  # a slice would keep its whole group alive
        return (time.perf_counter_ns() - started) // 1_000

    @cached_property
    def _video_start(self) -> int:
        return len(self.target.prompt("?").prefix)

    @torch.inference_mode()
    def arrange(self, slot: int, numbers: Sequence[int], source: int) -> None:
        """Make the features that `source` keeps under these numbers the video of a slot's prompt."""
        features = torch.cat([self._kept[source][number] for number in numbers])
        self._next_row[slot] = self._video_start
        self._append(slot, features)

    def forget(self, slot: int, numbers: Sequence[int]) -> None:
        """Let go of features that are kept under these numbers."""
        for number in numbers:
            self._kept.get(slot, {}).pop(number, None)

    @property
    def adapter_fingerprint(self) -> str:
        """Of the adapter that the drafter's states go through; empty if there is none."""
        return self.adapter.fingerprint if self.adapter is not None else ""

    @property
    def state_widths(self) -> Mapping[StateEncoding, int]:
        """Hidden-state drafts that can be taken, and how wide a row of each is."""
        own = {StateEncoding.TARGET: self.target.hidden_size}
        return own if self.adapter is None else {**own, **self.adapter.widths}

    @torch.inference_mode()
    def draft_ids(self, states: DraftStates) -> list[int]:
        """What adapter and head would choose for positions `states.position ...`, up to the first that isn't finite."""
        rows = torch.from_numpy(states.rows).to(device=self.target.device, dtype=self.target.dtype)
        if states.encoding is StateEncoding.TARGET:
            hidden = rows[states.context :]
        elif self.adapter is not None:
            hidden = self.adapter.adapt(states, rows)
        else:
            return []
        if self.adapter is None or not self.adapter.redrafts or states.encoding is StateEncoding.TARGET:
            return self._chosen(hidden, states.position, states.sampling)
        first = max(states.position, states.committed)
        ids = self._chosen(hidden, first, states.sampling)
        return ids or [_UNDECIDED] * self.adapter.waiting(states.slot, first)

    @property
    def redrafts(self) -> bool:
        """True if the adapter reads the target's own states."""
        return self.adapter is not None and self.adapter.redrafts

    @torch.inference_mode()
    def redraft(self, slot: int, position: int, count: int, sampling: SamplingParams) -> list[int]:
        """What adapter and head would choose now, at most `count` ids from the first uncommitted `position` on."""
        hidden = self.adapter.redraft(slot, position, count) if self.adapter is not None else None
        return [] if hidden is None else self._chosen(hidden, position, sampling)

    def _chosen(self, hidden: torch.Tensor, first: int, sampling: SamplingParams) -> list[int]:
        if not len(hidden):
            return []
        logits = self.target.logits(hidden)
        finite = logits.amax(dim=-1).isfinite().tolist()
        count = finite.index(False) if False in finite else len(finite)
        return choose(logits[:count], sampling, range(first, first + count)) if count else []

    @torch.inference_mode()
    def forward(self, works: Sequence[Work]) -> ForwardResult:
        """One packed forward; the choices of each work."""
        started = time.perf_counter_ns()
        counts = [work.prompt_stop - work.start + len(work.answer) for work in works]
        segments = [Segment(work.slot, work.start, n) for work, n in zip(works, counts, strict=True)]
        plan = PackedPlan(segments, self.storage)
        hidden = packed_forward(self.target.language_model, self._embeddings(works), plan)
        if self.redrafts:
            self._keep_states(works, counts, hidden)
        choices = self._choices(works, counts, hidden)
        return ForwardResult(choices, (time.perf_counter_ns() - started) // 1_000)

    def _keep_states(self, works: Sequence[Work], counts: Sequence[int], hidden: torch.Tensor) -> None:
        """Tell the adapter from which states the target chose, or will choose, at the answer's positions."""
        assert self.adapter is not None
        end = 0
        for work, count in zip(works, counts, strict=True):
            end += count
            first = work.start + 1 - len(self._prompts[work.slot])  # the position that the first row chooses for
            skip = max(0, -first)
            if skip < count:
                self.adapter.verify(work.slot, first + skip, hidden[end - count + skip : end])

    def _embeddings(self, works: Sequence[Work]) -> torch.Tensor:
        if all(work.start == work.prompt_stop for work in works):
            return self.target.embed([token for work in works for token in work.answer])
        parts = []
        for work in works:
            parts.append(self._prompts[work.slot][work.start : work.prompt_stop])
            if work.answer:
                parts.append(self.target.embed(work.answer))
        return torch.cat(parts)

    def _choices(self, works: Sequence[Work], counts: Sequence[int], hidden: torch.Tensor) -> list[list[int] | None]:
        rows: list[int] = []
        end = 0
        for work, count in zip(works, counts, strict=True):
            end += count
            rows.extend(range(end - work.choices, end))
        if not rows:
            return [[] for _ in works]
        logits = self.target.logits(hidden if len(rows) == len(hidden) else hidden[rows])
        best, ids = logits.max(dim=-1)
        finite, greedy = best.isfinite().tolist(), ids.tolist()
        choices: list[list[int] | None] = []
        row = 0
        for work in works:
            span = slice(row, row + work.choices)
            row += work.choices
            if not all(finite[span]):
                choices.append(None)
            elif work.sampling.greedy or not work.choices:
                choices.append(greedy[span])
            else:
                positions = range(work.position, work.position + work.choices)
                choices.append(choose(logits[span], work.sampling, positions))
        return choices
