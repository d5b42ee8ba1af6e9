"""The running pair in one process, message by message: acceptance and bytes are the runtime's own, times mean nothing.

Sessions, engine, models and codec are the real ones; there are no daemons and no clock. The edge drafts as far ahead as
it may before the cloud takes its next step, so that every verification has a whole draft at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.alignment.ways import Way
from benchmarks.results import Run, run_of_report
from common.types import Close, Draft, EdgeMessage, Failure, Open, Pace, SamplingParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cloud.engine import Engine
    from cloud.target import VideoLlavaTarget
    from common.tokenizer import Tokenizer
    from edge.drafter_model import DrafterModel
    from edge.eventgpt import EventGPT
    from edge.session import EdgeSession
    from edge.worker import Drafting

_SLOTS, _ROOM = 1, 256
_SESSION = "session-1"
GREEDY = SamplingParams()


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A question about a held-out scene, as both models see it: pixels for the target, pictures of the events."""

    clip: str
    text: str
    expected: str
    pixels: NDArray[np.float32]
    pictures: list[Any]


class InProcess:
    """The shipped pair, loaded once, for any number of ways."""

    def __init__(self) -> None:
        from cloud.target import VideoLlavaTarget
        from common.shipped import shipped_drafter, shipped_target
        from edge.eventgpt import EventGPT

        self.target: VideoLlavaTarget = VideoLlavaTarget.from_pretrained(shipped_target())
        self.drafter: EventGPT = EventGPT.from_pretrained(shipped_drafter())

    def questions(self, scenes: int, each: int) -> list[Question]:
        """Up to `each` questions of different kinds about each of so many held-out scenes, longest answers first."""
        from benchmarks.alignment.clips import FIRST_SEED, asked_about
        from common.video_sampling import sampled_indices
        from edge.events import raster
        from training.data.shards import HELD_OUT, scene_events
        from training.world.render import frame_times, render_rgb
        from training.world.scenes import sample_scene

        found = []
        for seed in range(FIRST_SEED, FIRST_SEED + scenes):
            scene = sample_scene(seed)
            frames, events = render_rgb(scene, frame_times()), scene_events(scene)
            pixels = self.target.preprocess([frames[i] for i in sampled_indices(len(frames))]).numpy()
            pictures = raster(events, frames=self.drafter.config.frames, canvas=(events.height, events.width))
            for one in asked_about(scene)[:each]:
                found.append(Question(f"held-out-{seed - HELD_OUT}", one.text, one.answer, pixels, list(pictures)))
        return found

    def serving(self, way: Way) -> Serving:
        """Both sides of a way."""
        from cloud.adapting import TargetAdapter
        from cloud.engine import Engine
        from cloud.target_runner import TargetRunner
        from common.adapters import load_adapter
        from common.adapters.head import TargetHead
        from common.shipped import adapter_folder, shipped_drafter, shipped_target
        from common.tokenizer import Tokenizer
        from edge.adapting import edge_adapter
        from edge.drafter_model import DrafterModel
        from edge.eventgpt import EventGPT
        from edge.forms import DraftForm

        theirs, mine, drafter = None, None, self.drafter
        if way.drafter:
            drafter = EventGPT.from_pretrained(way.drafter)
        if way.adapter:
            mine = edge_adapter(
                load_adapter(way.adapter),
                DraftForm(way.form),
                drafter_hidden=self.drafter.config.hidden_size,
                drafter_layers=self.drafter.config.num_hidden_layers,
                vocab_size=self.drafter.vocab_size,
                target=TargetHead.from_pretrained(shipped_target()),
            )
            if mine.state_form is not None:
                theirs = TargetAdapter.from_folder(adapter_folder(way.adapter), dtype="float32", device="cpu")
        tokenizer = Tokenizer.from_folder(way.drafter or shipped_drafter())
        capacity = 8 * self.target.tokens_per_frame + 2 * _ROOM
        engine = Engine(TargetRunner(self.target, slots=_SLOTS, capacity=capacity, adapter=theirs))
        model = DrafterModel("tiny", drafter, tokenizer, mine)
        return Serving(engine, model if not way.across else _other_drafter(way.across, tokenizer))


def _other_drafter(across: str, target: Tokenizer) -> DrafterModel:
    """The shipped drafter with a vocabulary of its own, for the target's."""
    from common.shipped import shipped_other_drafter
    from common.tokenizer import Tokenizer
    from edge.drafter_model import DrafterModel
    from edge.eventgpt import EventGPT
    from edge.vocabularies import vocabularies
    from edge.vocabulary import Way as AcrossWay

    folder = shipped_other_drafter()
    model, words = EventGPT.from_pretrained(folder), Tokenizer.from_folder(folder)
    known = vocabularies(words, [target], AcrossWay(across), model.config.eos_token_ids)
    return DrafterModel(folder.name, model, words, known=known).speaking(known.speaking(target.hash))


@dataclass(slots=True)
class Serving:
    """One way, ready to answer."""

    engine: Engine
    model: DrafterModel

    def answer(
        self,
        question: Question,
        pace: Pace,
        draft_length: int,
        sampling: SamplingParams = GREEDY,
        **known: Any,
    ) -> Run:
        """Ask; drafts of `draft_length` tokens, no further ahead."""
        from edge.controller import DraftLength
        from edge.eventgpt import prompt_ids
        from edge.session import EdgeSession, SessionSettings

        model = self.model
        session = EdgeSession(
            Open(_SESSION, question.text, sampling, max_tokens=80, pace=pace, drafter=model.info),
            SessionSettings(max_ahead=draft_length),
            model.eos_token_ids,
            DraftLength(draft_length),
            started_at=0.0,
            book=model.book(),
        )
        drafter = model.new(session.opening.sampling, 80)
        template = model.model.config.prompt_template
        drafter.prefill(prompt_ids(question.text, model.tokenizer, template), question.pictures)
        _Turns(self.engine, session, model.adapted(drafter, drafter), question.pixels).run()
        report = {
            "token_ids": session.answer,
            "tokens": len(session.answer),
            "answer": model.words.decode(session.answer),
            "seed": sampling.seed,
            "temperature": sampling.temperature,
            **session.figures.report(len(session.answer)),
        }
        about = {"clip": question.clip, "question": question.text, "expected": question.expected}
        return run_of_report(report, paradigm="stream_to_cloud", link={}, backend="in process", **about, **known)


class _Turns:
    """One answer, turn by turn."""

    def __init__(self, engine: Engine, session: EdgeSession, drafting: Drafting, pixels: NDArray[np.float32]) -> None:
        self._engine, self._session, self._drafting, self._pixels = engine, session, drafting, pixels

    def run(self) -> None:
        """To the end."""
        from edge.actions import DraftJob, Send

        self._session.drafter_ready(0.0)
        done = False
        while not done:
            actions = self._session.drain()
            for action in actions:
                done = self._act(action) or done
            if not done and not any(isinstance(action, DraftJob | Send) for action in actions):
                self._hear(self._engine.step(0.0))
        self._engine.handle(_SESSION, Close(), 0.0)

    def _act(self, action: Any) -> bool:
        from cloud.messages import Frames
        from edge.actions import Connect, Done, DraftJob, Send, SendVideo
        from edge.worker import do_job

        match action:
            case Connect():
                self._session.connected(0.0)
            case Send(message):
                self._send(message)
            case SendVideo():
                self._engine.handle(_SESSION, Frames(self._pixels), 0.0)
            case DraftJob():
                drafted = do_job(self._drafting, action)
                self._session.drafted(drafted.ids, 0.0, drafted.states)
            case Done(error):
                if error is not None:
                    raise error
                return True
        return False

    def _send(self, message: EdgeMessage) -> None:
        from common import codec

        wire = codec.encode_edge_message(message)
        self._session.figures.uplink_bytes["drafts" if isinstance(message, Draft) else "control"] += len(wire)
        self._hear(self._engine.handle(_SESSION, codec.decode_edge_message(wire), 0.0))

    def _hear(self, outputs: Sequence[Any]) -> None:
        from common.failures import error_of

        for output in outputs:
            if isinstance(output.message, Failure):
                raise error_of(output.message)
            self._session.received(output.message, 0.0)
