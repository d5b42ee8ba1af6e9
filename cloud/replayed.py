"""The target at a deployment's pace: `ReplayedRunner` does the real work and waits until a profile's time is over.

It runs in the engine process, whose loop it blocks exactly as a device that is busy for so long would.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cloud.messages import EngineMessage, Frames, Output
from cloud.runner import DraftStates, ForwardResult, PromptShape, Runner, Work
from common.padding import Padding
from common.replay import StageTimes
from common.types import Finished, Opened, SamplingParams, StateEncoding

_REMEMBERED = 4096  # sessions that may end without a word


class ReplayedRunner:
    """Implements `cloud.runner.Runner` around another one: its choices, the profile's times.

    A prompt costs what the profile's whole prompt costs, each chunk its share, whatever its length here.
    """

    def __init__(self, inner: Runner, times: StageTimes, padding: Padding | None = None) -> None:
        self.times = times
        self.padding = padding or Padding()
        self._inner = inner
        self._shapes: dict[int, PromptShape] = {}  # slot -> its prompt in the model that runs here

    @property
    def slots(self) -> int:
        """Number of KV slots."""
        return self._inner.slots

    @property
    def capacity(self) -> int:
        """Tokens a slot holds."""
        return self._inner.capacity

    @property
    def vocab_size(self) -> int:
        """Ids that may be chosen are below this."""
        return self._inner.vocab_size

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Ids that end an answer."""
        return self._inner.eos_token_ids

    @property
    def hidden_size(self) -> int:
        """Width of the target's hidden states."""
        return self._inner.hidden_size

    @property
    def tokenizer_hash(self) -> str:
        """Hash of the target's tokenizer."""
        return self._inner.tokenizer_hash

    @property
    def tokens_per_frame(self) -> int:
        """Video features a frame."""
        return self._inner.tokens_per_frame

    @property
    def pixels_shape(self) -> tuple[int, int, int]:
        """Shape of one preprocessed frame."""
        return self._inner.pixels_shape

    def open(self, slot: int, question: str) -> PromptShape:
        """Prepare a slot for a prompt."""
        shape = self._inner.open(slot, question)
        self._shapes[slot] = shape
        return shape

    def ask(self, slot: int, question: str) -> PromptShape:
        """Put another question to a slot's video."""
        shape = self._inner.ask(slot, question)
        self._shapes[slot] = shape
        return shape

    def close(self, slot: int, poisoned: bool = False) -> None:
        """Free what the slot holds."""
        self._shapes.pop(slot, None)
        self._inner.close(slot, poisoned)

    def encode(self, slot: int, pixels: NDArray[np.float32]) -> int:
        """Encode frames, padded to so many frames' vision; returns microseconds."""
        started = self.padding.now()
        self._inner.encode(slot, pixels)
        ended = self.padding.wait(started, self.times.video.vision.at(len(pixels)))
        return round((ended - started) * 1e6)

    def place(self, slot: int, features: NDArray[np.uint8]) -> int:
        """Append features that an edge encoded; a copy, not padded."""
        return self._inner.place(slot, features)

    @property
    def frame_bytes(self) -> int:
        """Memory that one frame's features take."""
        return self._inner.frame_bytes

    def keep(self, slot: int, numbers: Sequence[int], pixels: NDArray[np.float32]) -> int:
        """Encode frames of a live stream, padded to so many frames' vision; returns microseconds."""
        started = self.padding.now()
        self._inner.keep(slot, numbers, pixels)
        ended = self.padding.wait(started, self.times.video.vision.at(len(pixels)))
        return round((ended - started) * 1e6)

    def arrange(self, slot: int, numbers: Sequence[int], source: int) -> None:
        """Make kept features the video of a slot's prompt; a copy, not padded."""
        self._inner.arrange(slot, numbers, source)

    def forget(self, slot: int, numbers: Sequence[int]) -> None:
        """Let go of kept features."""
        self._inner.forget(slot, numbers)

    @property
    def adapter_fingerprint(self) -> str:
        """Of the adapter that the drafter's states go through; empty if there is none."""
        return self._inner.adapter_fingerprint

    @property
    def state_widths(self) -> Mapping[StateEncoding, int]:
        """Hidden-state drafts that can be taken."""
        return self._inner.state_widths

    def draft_ids(self, states: DraftStates) -> list[int]:
        """What adapter and target's head would choose; not padded, nobody measured it."""
        return self._inner.draft_ids(states)

    @property
    def redrafts(self) -> bool:
        """True if drafts change as the target goes on."""
        return self._inner.redrafts

    def redraft(self, slot: int, position: int, count: int, sampling: SamplingParams) -> list[int]:
        """What adapter and head would choose now; not padded, nobody measured it."""
        return self._inner.redraft(slot, position, count, sampling)

    def forward(self, works: Sequence[Work]) -> ForwardResult:
        """One packed forward, padded to the profile's pass over as many rows."""
        started = self.padding.now()
        result = self._inner.forward(works)
        ended = self.padding.wait(started, self.forward_ms(works))
        return ForwardResult(result.choices, round((ended - started) * 1e6))

    def forward_ms(self, works: Sequence[Work]) -> float:
        """What the profile says of such a pass, in milliseconds."""
        prompt = sum(self._prompt_rows(work) for work in works if work.prompt_stop > work.start)
        return self.times.step_ms(prompt, sum(len(work.answer) for work in works), len(works))

    def _prompt_rows(self, work: Work) -> float:
        shape = self._shapes[work.slot]
        video_end = shape.video_start + shape.video_length
        fed_video = max(0, min(work.prompt_stop, video_end) - max(work.start, shape.video_start))
        return self.times.prompt_rows(
            work.prompt_stop - work.start, shape.length, fed_video=fed_video, video=shape.video_length
        )


class ReplayBook:
    """Tells edges that the cloud is replayed: marks `Opened`, and counts overruns between it and `Finished`.

    An overrun of the engine delays every session that it holds, so each of them counts it.
    """

    def __init__(self, name: str, padding: Padding) -> None:
        self._name = name
        self._padding = padding
        self._before: OrderedDict[str, int] = OrderedDict()  # session -> overruns when it was opened

    def take_in(self, session_id: str, message: EngineMessage) -> None:
        """A message for the engine: frames bring the front's overruns."""
        if isinstance(message, Frames) and message.overruns and session_id in self._before:
            self._before[session_id] -= message.overruns

    def stamp(self, output: Output) -> Output:
        """The output as its edge shall see it."""
        match output.message:
            case Opened():
                self._before.setdefault(output.session_id, self._padding.overruns)
                if len(self._before) > _REMEMBERED:
                    self._before.popitem(last=False)
                return replace(output, message=replace(output.message, replay=self._name))
            case Finished():
                before = self._before.pop(output.session_id, self._padding.overruns)
                return replace(output, message=replace(output.message, replay_overruns=self._padding.overruns - before))
        return output
